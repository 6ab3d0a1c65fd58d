/* broker/share.h — pages of rooms that sessions share when they come back.
 *
 * When a gateway is lost, all of its clients return at once and have missed the same events of the
 * same rooms. So what lies before the tail is not read for each of them, but room by room, in pages
 * that serve all who ask for a part of what they cover; whoever asks while a page is being read
 * waits for the same read. A page says what of one room's events lies in (after, upto], all of it,
 * and what the room had lost to retention (`border`) when it was read, or since.
 *
 *     loading ──page of the engine──► loaded ──last holder leaves──► idle ──memory is needed──►
 * gone
 *
 * Pages take at most a fixed number of bytes, those under way included: they are counted with what
 * they may become. Idle ones are given up for others, the longest unused first; whoever needs pages
 * gets all of them or none, so nobody waits for somebody who waits. A page nobody waits for any
 * more is not read.
 *
 * A page reaches into the tail: with it the room's newest events are kept for a while longer, so
 * that nobody runs after a tail that moves on while the disk is read. */
#pragma once

#include "broker/engine.h"
#include "common/list.h"

struct rp_core;
struct rp_room;
struct rp_cursor;
struct rp_answer;
struct rp_read_job;

struct rp_share {
    struct rp_list all;    /* struct rp_shared.node */
    struct rp_list idle;   /* struct rp_shared.state_node: loaded, held by nobody; oldest first */
    struct rp_list queue;  /* struct rp_shared.state_node: the engine had no room for its read */
    struct rp_list parked; /* struct rp_cursor.ready_node: they wait for memory … */
    struct rp_list probes; /* … as do these struct rp_answer.waiting_node */
    size_t count, bytes, bytes_max;
    size_t idle_bytes; /* of these, what can be given up */
    size_t refused;    /* somebody needs so many, and comes first when they are there; 0: nobody */
};

/* A page. */
struct rp_shared {
    struct rp_list node, state_node;
    struct rp_list room_node; /* in room->shared, by `after`; unlinked: it is found no more */
    struct rp_list holds;     /* struct rp_share_place.node */
    struct rp_room *room;     /* while room_node is linked */
    struct rp_read_job *job;
    uint64_t after, upto; /* while loading, upto is what was asked for */
    uint64_t border;      /* the newest event that the room has lost; 0: none */
    bool is_loaded;
    bool is_stale; /* what it says may not be so any more: to be asked for again */
    enum rp_err err;
    struct rp_record **records; /* in seq order */
    size_t records_count, records_capacity;
    struct rp_record **newest; /* while loading: the room's events in the tail … */
    size_t newest_count;
    uint64_t newest_upto; /* … all of them up to here; 0: the page ends before the tail */
    size_t cost;          /* of the share's bytes */
};

/* What somebody needs: the events of a room that follow a seq. */
struct rp_share_want {
    struct rp_room *room;
    uint64_t after; /* before the tail's beginning */
    bool align; /* begin the page where others will, too: it may end before `after`, so not twice */
};

struct rp_share_place {
    struct rp_list node; /* in page->holds */
    struct rp_share_hold *hold;
    struct rp_shared *page;
};

/* The pages that somebody has, or waits for. One of cursor and answer is set: who is woken when all
 * are there. */
struct rp_share_hold {
    struct rp_cursor *cursor;
    struct rp_answer *answer;
    size_t missing, count;
    struct rp_share_place places[]; /* as the wants */
};

void rp_share_init(struct rp_share *share, size_t bytes_max);
/* Forgets all pages. Nobody may hold any. */
void rp_share_done(struct rp_core *core);

/* Takes a page for each want. A page that is loaded begins at or before `after`, but may end before
 * it, if it was asked for by somebody else: then ask again while holding it.
 *   RP_OK      *ret_hold has all of them; some may be stale, or have failed (page->err)
 *   RP_MORE    some are being read; cursor or answer is woken when all are there
 *   RP_E_FULL  nothing is taken: there is no memory now; try again later
 * The hold is the caller's, to be dropped. count is at most RP_SHARE_ROOMS_MAX, and above 0. */
RP_MUST_USE enum rp_err rp_share_take(struct rp_core *core, const struct rp_share_want *wants,
                                      size_t count, struct rp_cursor *cursor,
                                      struct rp_answer *answer, struct rp_share_hold **ret_hold);
/* NULL is fine. */
void rp_share_drop(struct rp_core *core, struct rp_share_hold *hold);
/* Whether it waits for pages; NULL does not. */
static inline bool rp_share_waits(const struct rp_share_hold *hold) {
    return hold != NULL && hold->missing > 0;
}
/* How many of those that wait for memory should try again now. */
size_t rp_share_has_room_for(const struct rp_core *core);
/* What went wrong with one of its pages, or RP_OK. */
enum rp_err rp_share_err(const struct rp_share_hold *hold);

/* The engine's page for one of ours; its records are taken from it. */
void rp_share_page(struct rp_core *core, struct rp_shared *shared, struct rp_engine_page *page);
/* A room has lost its events up to seq. */
void rp_share_border(struct rp_room *room, uint64_t seq);
/* All rooms have lost theirs up to seq, or will have: what pages say of before it has to be read
 * again. */
void rp_share_trimmed(struct rp_core *core, uint64_t seq);
/* Reads what had to wait for the engine. */
void rp_share_turn(struct rp_core *core);
