/* broker/selector.h — rooms as an address: who is in at least one of these and in none of those.
 *
 * Everything a worker sends to more than one socket, or does with more than one, names them so
 * (broker/record.h says what a selector means). */
#pragma once

#include "broker/session.h"

/* Rooms of one namespace; broker/record.h says who is selected. Views are borrowed. */
struct rp_selector {
    struct rp_bytes nsp, room, rooms, except; /* rooms, except: packed */
};

static inline struct rp_selector rp_selector_of(const struct rp_record *r) {
    return (struct rp_selector){
        .nsp = r->f.nsp, .room = r->f.room, .rooms = r->f.rooms, .except = r->f.except};
}
/* The next name of a packed list, taken off its front; false: no more (or malformed). */
bool rp_names_next(struct rp_bytes *list, struct rp_bytes *ret_name);
/* Whether the session was selected at a seq (by an event, say, of this seq). Its namespace must be
 * the selector's. */
bool rp_selector_had(const struct rp_rooms *rooms, const struct rp_selector *selector,
                     const struct rp_session *s, uint64_t seq);
/* Whether the session was in one of the excepted rooms at a seq. */
bool rp_selector_excepted(const struct rp_rooms *rooms, const struct rp_selector *selector,
                          const struct rp_session *s, uint64_t seq);
/* The sessions selected now, each once, by their numbers; the caller frees the array. */
struct rp_session **rp_selector_sessions(const struct rp_rooms *rooms,
                                         const struct rp_selector *selector, size_t *ret_count);
