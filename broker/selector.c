#include "broker/selector.h"

#include "common/alloc.h"
#include "proto/attachments.h"

#include <stdlib.h>

bool rp_names_next(struct rp_bytes *list, struct rp_bytes *ret_name) {
    return rp_attachments_next(list, ret_name) == RP_OK;
}

static bool was_in(const struct rp_rooms *rooms, const struct rp_session *s, struct rp_bytes nsp,
                   struct rp_bytes name, uint64_t seq) {
    const struct rp_room *room = rp_rooms_find(rooms, nsp, name);
    return room != NULL && rp_session_membership_at(s, room, seq) != NULL;
}

static bool was_in_any(const struct rp_rooms *rooms, const struct rp_session *s,
                       struct rp_bytes nsp, struct rp_bytes names, uint64_t seq) {
    struct rp_bytes name;
    while (rp_names_next(&names, &name)) {
        if (was_in(rooms, s, nsp, name, seq)) {
            return true;
        }
    }
    return false;
}

bool rp_selector_excepted(const struct rp_rooms *rooms, const struct rp_selector *selector,
                          const struct rp_session *s, uint64_t seq) {
    return was_in_any(rooms, s, selector->nsp, selector->except, seq);
}

bool rp_selector_had(const struct rp_rooms *rooms, const struct rp_selector *selector,
                     const struct rp_session *s, uint64_t seq) {
    return (was_in(rooms, s, selector->nsp, selector->room, seq) ||
            was_in_any(rooms, s, selector->nsp, selector->rooms, seq)) &&
           !rp_selector_excepted(rooms, selector, s, seq);
}

/* ---- who is selected now ---- */

struct found {
    struct rp_session **sessions;
    size_t count, capacity;
};

static bool is_member(const struct rp_rooms *rooms, const struct rp_session *s, struct rp_bytes nsp,
                      struct rp_bytes names) {
    struct rp_bytes name;
    while (rp_names_next(&names, &name)) {
        const struct rp_room *room = rp_rooms_find(rooms, nsp, name);
        if (room != NULL && rp_session_membership(s, room) != NULL) {
            return true;
        }
    }
    return false;
}

static void add_members(const struct rp_rooms *rooms, const struct rp_selector *selector,
                        struct rp_bytes name, struct found *found) {
    struct rp_room *room = rp_rooms_find(rooms, selector->nsp, name);
    if (room == NULL) {
        return;
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&room->members, it, tmp) {
        struct rp_session *s = RP_CONTAINER_OF(it, struct rp_interval, room_node)->session;
        if (selector->except.len > 0 && is_member(rooms, s, selector->nsp, selector->except)) {
            continue;
        }
        found->sessions = rp_array_reserve(found->sessions, found->count, &found->capacity,
                                           sizeof(struct rp_session *));
        found->sessions[found->count++] = s;
    }
}

static int compare_ids(const void *a, const void *b) {
    uint64_t x = (*(struct rp_session *const *) a)->id, y = (*(struct rp_session *const *) b)->id;
    return x < y ? -1 : x > y;
}

/* Who is in several of the rooms was found several times. */
static void sort_and_drop_repeated(struct found *found) {
    qsort(found->sessions, found->count, sizeof(struct rp_session *), compare_ids);
    size_t kept = 1;
    for (size_t i = 1; i < found->count; i++) {
        if (found->sessions[i] != found->sessions[kept - 1]) {
            found->sessions[kept++] = found->sessions[i];
        }
    }
    found->count = kept;
}

struct rp_session **rp_selector_sessions(const struct rp_rooms *rooms,
                                         const struct rp_selector *selector, size_t *ret_count) {
    struct found found = {0};
    add_members(rooms, selector, selector->room, &found);
    struct rp_bytes names = selector->rooms, name;
    while (rp_names_next(&names, &name)) {
        add_members(rooms, selector, name, &found);
    }
    if (found.count > 1) {
        sort_and_drop_repeated(&found);
    }
    *ret_count = found.count;
    return found.sessions;
}
