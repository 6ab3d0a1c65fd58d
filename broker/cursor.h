/* broker/cursor.h — what the files of replay share: sessions that catch up. Not for anybody else.
 *
 *     replay.c          cursors begin, run and end
 *     replay_missed.c   what a session missed
 *     replay_send.c     which events are for the session, pages, the tail's events in order
 *     replay_history.c  the history of a join
 *     replay_owed.c     what the session owes acks for from before its position */
#pragma once

#include "broker/state.h"

/* The history that a join asked for. */
struct rp_cursor_history {
    struct rp_list node; /* in cursor->histories, as they were asked for */
    uint64_t num;
    uint64_t at; /* everything up to here has been sent (or was left out by the limit) */
    uint64_t upto;
    uint64_t limit;
    bool started; /* at is past what the limit leaves out */
    bool truncated;
    uint64_t replayed;
    uint64_t oldest;      /* seq of the first event sent; 0: none */
    struct rp_bytes room; /* in data */
    uint8_t data[];
};

struct rp_cursor {
    struct rp_list node;       /* in core->cursors */
    struct rp_list ready_node; /* in core->ready while it can go on, or in peer->parked or
                                  share.parked */
    struct rp_session *session;
    uint64_t pos;
    bool owing; /* first, what the session owes of (owed_at, pos] */
    uint64_t owed_at;
    uint64_t page;
    size_t page_bytes, page_events;
    bool page_outstanding;
    struct rp_read_job *job;
    struct rp_share_hold *shared; /* pages of rooms that it waits for, or has; NULL: none */
    bool has_shared;              /* it had some: the next ones begin where it is */
    struct rp_list histories;     /* struct rp_cursor_history */
};

/* What a step of a cursor came to. */
enum rp_step {
    RP_STEP_ON,     /* something was done: go on */
    RP_STEP_LATER,  /* stays ready: a place in the engine's queue is missing, or the link's position
                     */
    RP_STEP_CREDIT, /* its link has none: it goes on when others have been dealt with */
    RP_STEP_MEMORY, /* the share has none: it goes on when others' pages are gone */
    RP_STEP_WAIT,   /* somebody will make it ready: PAGE_DONE, a page */
    RP_STEP_GONE,   /* the session is live, or evicted; the cursor is gone */
};

/* ---- replay.c ---- */
/* Asks the engine; the cursor waits for the page. */
enum rp_step rp_cursor_read(struct rp_core *core, struct rp_cursor *c, struct rp_engine_read *read,
                            enum rp_read_kind kind, uint64_t upto);
/* Whether its link may take a page: replays have a share of the credit, so that they do not delay
 * what is live by more than that. */
bool rp_cursor_has_credit(const struct rp_core *core, const struct rp_cursor *c);
/* Takes work off what this turn may do. */
void rp_cursor_spend(struct rp_core *core, size_t work);
/* Ends what cannot be finished, and must not be skipped: the client comes back and is told the
 * truth. The cursor is gone. */
void rp_cursor_give_up(struct rp_core *core, struct rp_cursor *c, const char *reason);

/* ---- replay_missed.c ---- */
/* Goes on with what the session missed, up to upto at most. */
enum rp_step rp_cursor_missed_step(struct rp_core *core, struct rp_cursor *c, uint64_t upto);
void rp_cursor_missed_page(struct rp_core *core, struct rp_cursor *c, uint64_t upto,
                           const struct rp_engine_page *page);

/* ---- replay_send.c ---- */
bool rp_cursor_page_is_full(const struct rp_core *core, const struct rp_cursor *c);
/* Ends a full page: nothing more until the gateway says it was written. */
void rp_cursor_end_page(struct rp_core *core, struct rp_cursor *c);
/* Whether the link may take the event. */
bool rp_cursor_may_put(const struct rp_cursor *c, const struct rp_record *r);
/* Sends an event of one of the session's rooms (h: of the history's), if it is for the session. */
void rp_cursor_offer(struct rp_core *core, struct rp_cursor *c, struct rp_cursor_history *h,
                     const struct rp_record *r);
/* Sends one from before the position, which the session owes an ack for. */
void rp_cursor_put_owed(struct rp_core *core, struct rp_cursor *c, const struct rp_record *r);

/* The next event of one room in the tail, and how many follow. */
struct rp_source {
    struct rp_record **next;
    size_t left;
};

/* The room's events of the tail with after < seq <= upto, but for those that retention has taken;
 * room may be NULL. */
struct rp_source rp_source_of(const struct rp_room *room, uint64_t after, uint64_t upto);
/* The same of a page of the room. */
struct rp_source rp_source_of_page(const struct rp_shared *page, uint64_t after, uint64_t upto);
/* Offers the events of all sources in their order, each once. *at follows, up to upto when all is
 * done; it may also end before, when the page, the credit or the turn is used up. */
enum rp_step rp_cursor_merge(struct rp_core *core, struct rp_cursor *c, struct rp_cursor_history *h,
                             struct rp_source *sources, size_t count, uint64_t upto, uint64_t *at);

/* ---- replay_history.c ---- */
/* The history that must be sent next, or NULL: there is none, or pos has not reached its join. */
struct rp_cursor_history *rp_cursor_history_due(const struct rp_cursor *c);
enum rp_step rp_cursor_history_step(struct rp_core *core, struct rp_cursor *c,
                                    struct rp_cursor_history *h);
void rp_cursor_history_page(struct rp_core *core, struct rp_cursor *c, struct rp_cursor_history *h,
                            enum rp_read_kind kind, uint64_t upto,
                            const struct rp_engine_page *page);
/* Every request is answered: histories that will not be finished are, too. A gateway whose link is
 * lost asks again. */
void rp_cursor_histories_drop(struct rp_cursor *c);

/* ---- replay_owed.c ---- */
/* The next event that the session owes from before the position, while that phase lasts; NULL. */
const struct rp_owed *rp_cursor_owed_next(const struct rp_cursor *c);
enum rp_step rp_cursor_owed_step(struct rp_core *core, struct rp_cursor *c);
/* The cursor may be gone afterwards. */
void rp_cursor_owed_page(struct rp_core *core, struct rp_cursor *c, uint64_t upto,
                         const struct rp_engine_page *page);
