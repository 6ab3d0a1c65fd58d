/* broker/state.h — what the files of the core share. Not for anybody else.
 *
 *     core.c     creation, the turn, timers
 *     greet.c    links: HELLO, resume, loss
 *     request.c  operations of gateways → records
 *     commit.c   committed records → state, and what each gateway is told of them
 *     replay.c   cursors: sessions that catch up
 *     answer.c   history and presence
 *     relay.c    what one gateway says to another
 *
 * Two positions matter. `head` is the newest committed seq. A peer's position is the seq up to
 * which everything it should know has been put on its link, in log order; for a live peer that is
 * the head. A session's cursor never passes its peer's position. */
#pragma once

#include "broker/core.h"
#include "broker/session.h"
#include "broker/tail.h"
#include "common/limits.h"
#include "proto/link.h"

#include <assert.h>

/* A JOIN record's aux: where its history begins, and how many events at most. */
enum { RP_LIMIT_BITS = 10 };
static_assert(RP_HISTORY_EVENTS_MAX < 1 << RP_LIMIT_BITS, "a limit fits its bits");

struct rp_read_job;

enum rp_peer_state {
    RP_PEER_DOWN,     /* no link; its sessions stay connected until the gateway timeout */
    RP_PEER_GREETING, /* between HELLO and RESUMED */
    RP_PEER_UP,
};

/* A JOIN with since that was sent again while its record was in the log already: where its history
 * goes on. */
struct rp_resent_join {
    uint64_t num, since, limit;
};

/* The answer of a duplicate whose event the link has not passed yet. */
struct rp_late_done {
    uint64_t num, seq;
};

/* One incarnation of a gateway. */
struct rp_peer {
    struct rp_list node;                        /* in core->peers */
    struct rp_map_node by_incarnation, by_link; /* by_link while it has one */
    uint64_t incarnation;
    enum rp_peer_state state;
    bool live;  /* pos is the head */
    bool going; /* a GONE record is appended */
    uint64_t link_id;
    struct rp_link link;
    uint64_t pos; /* while not live */
    uint64_t down_since_ms;
    struct rp_list sessions; /* connected here */
    struct rp_list answers;  /* struct rp_answer under way */

    uint64_t *inflight; /* nums of appended, undecided records, in append order */
    size_t inflight_from, inflight_count, inflight_capacity;
    uint64_t *known; /* at the last HELLO: nums in the log since `seen` or in flight; sorted */
    size_t known_count;
    struct rp_resent_join *resent;
    size_t resent_count, resent_capacity;
    uint64_t seen; /* of the last HELLO: answers of this very seq are repeated */

    struct rp_late_done *late;
    size_t late_count, late_capacity;
    struct rp_room **lingering; /* rooms whose interest goes when the peer is live: left at a seq it
                                   has yet to see */
    size_t lingering_count, lingering_capacity;
};

/* A message for a link that has no peer (a refusal). */
struct rp_stray {
    struct rp_list node;
    uint64_t link_id;
    struct rp_buf bytes;
};

struct rp_core {
    struct rp_core_config config;
    struct rp_engine *engine;
    struct rp_rooms rooms;
    struct rp_sessions sessions;
    struct rp_tail tail;
    uint64_t head;
    uint64_t first; /* oldest seq that may still be in the log */
    struct rp_list peers, strays;
    size_t strays_count;
    struct rp_map by_incarnation, by_link; /* of peers */
    size_t peers_count;
    struct rp_op_reader *reader;     /* for messages */
    struct rp_op_reader *own_reader; /* for operations kept in between */
    struct rp_buf scratch;           /* one encoded operation, or one JSON answer */

    struct rp_record **backlog; /* records the engine had no room for; input stops meanwhile */
    size_t backlog_from, backlog_count, backlog_capacity;
    size_t undecided; /* appended without outcome */

    struct rp_list cursors; /* all */
    struct rp_list ready;   /* those that can go on */
    size_t cursors_count;
    struct rp_list waiting; /* struct rp_answer the engine, or the link, had no room for */
    struct rp_map reads;    /* struct rp_read_job by id */
    uint64_t next_read_id;
    bool trimming;
    uint64_t next_tick_ms;
    struct rp_now now; /* of the call under way */
    enum rp_err failure;
    char notice[256];
    bool notice_read;
    struct rp_core_stats stats;
};

/* ---- core.c ---- */
/* A new epoch begins above a seq: sessions, rooms and the tail are forgotten, all gateways reset.
 */
void rp_core_forget_all(struct rp_core *core, uint64_t above);

/* ---- greet.c ---- */
void rp_core_hello(struct rp_core *core, uint64_t link_id, const struct rp_op_hello *hello);
void rp_core_session_listed(struct rp_core *core, struct rp_peer *peer,
                            const struct rp_op_session *op);
void rp_core_resumed(struct rp_core *core, struct rp_peer *peer);
/* Tells a link without a peer that it must begin anew. */
void rp_core_refuse_stray(struct rp_core *core, uint64_t link_id);
struct rp_peer *rp_core_peer_of_link(const struct rp_core *core, uint64_t link_id);
struct rp_peer *rp_core_peer_of(const struct rp_core *core, uint64_t incarnation);
struct rp_peer *rp_core_peer_add(struct rp_core *core, uint64_t incarnation);
/* Tells a gateway to close its clients and begin anew, and forgets its link. */
void rp_core_reset(struct rp_core *core, struct rp_peer *peer, const char *why);
void rp_core_peer_down(struct rp_core *core, struct rp_peer *peer);
/* Frees a peer that is down, has no sessions and nothing in flight. */
void rp_core_peer_release(struct rp_core *core, struct rp_peer *peer);
bool rp_peer_knows(const struct rp_peer *peer, uint64_t num);

static inline uint64_t rp_core_peer_pos(const struct rp_core *core, const struct rp_peer *peer) {
    return peer->live ? core->head : peer->pos;
}

/* ---- request.c ---- */
void rp_core_request(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op);
/* Appends a record; the engine's outcome follows some time. */
void rp_core_append(struct rp_core *core, const struct rp_record_fields *fields);
/* Goes on appending what the engine had no room for. */
void rp_core_flush_backlog(struct rp_core *core);
void rp_core_put_failed(struct rp_peer *peer, uint64_t num, const char *code, const char *message);
/* A CONNECT whose position had to be looked up in old parts of the log is decided. */
void rp_core_connect_probed(struct rp_core *core, struct rp_peer *peer,
                            const struct rp_op_connect *op, uint64_t pos, bool complete);

/* ---- commit.c ---- */
void rp_core_outcome(struct rp_core *core, struct rp_engine_outcome *outcome);
void rp_core_put_done(struct rp_peer *peer, uint64_t num, uint64_t seq, bool duplicate);
/* Tells a gateway the rooms a session was in right after a seq. */
void rp_core_put_rooms(struct rp_peer *peer, const struct rp_session *session, uint64_t seq);
/* Answers again the request whose record a gateway has seen the deliveries of, and perhaps not the
 * answer. */
void rp_core_repeat_answer(struct rp_core *core, struct rp_peer *peer, const struct rp_record *r);
/* Lets a peer that is behind catch up with the log as far as its credit goes. */
void rp_core_pump(struct rp_core *core, struct rp_peer *peer);
/* A peer that is behind must still get the events of a room from before a session left it: its
 * interest in the room stays until it is live (or its link is lost). */
void rp_core_linger(struct rp_peer *peer, struct rp_room *room);
void rp_core_linger_end(struct rp_core *core, struct rp_peer *peer);
void rp_core_attach(struct rp_session *session, struct rp_peer *peer);
void rp_core_detach(struct rp_core *core, struct rp_session *session);
/* Closes a session's transport (its gateway does): the client comes back and is decided upon anew.
 */
void rp_core_evict(struct rp_core *core, const struct rp_session *session, const char *reason);
/* Sends an event on all live links that care, without the log. */
void rp_core_deliver_volatile(struct rp_core *core, const struct rp_session *sender,
                              const struct rp_op_publish *op);

/* ---- reads of the engine (read.c) ---- */
enum rp_read_kind { RP_READ_CURSOR, RP_READ_HISTORY_START, RP_READ_HISTORY, RP_READ_ANSWER };

struct rp_read_job {
    struct rp_map_node node; /* in core->reads */
    uint64_t id;
    enum rp_read_kind kind;
    struct rp_cursor *cursor; /* CURSOR, HISTORY_START, HISTORY */
    struct rp_answer *answer; /* ANSWER */
    uint64_t upto; /* CURSOR, HISTORY: the page is complete up to here unless there is more */
};

/* Asks the engine for a page; read->id is set here. The job lives until its page came or it is
 * cancelled. NULL: not now, too many reads are under way. */
struct rp_read_job *rp_core_read(struct rp_core *core, struct rp_engine_read *read,
                                 enum rp_read_kind kind);
void rp_core_read_cancel(struct rp_core *core, struct rp_read_job *job);
void rp_core_page(struct rp_core *core, struct rp_engine_page *page);

/* ---- replay.c ---- */
/* The session catches up from pos. It must have no cursor. */
struct rp_cursor *rp_core_cursor_start(struct rp_core *core, struct rp_session *session,
                                       uint64_t pos);
/* The session has no cursor any more. Joins whose history was not complete are answered with
 * FAILED, unless the link is lost: then they come again. If the connection is to be closed, EVICT
 * must be on the link before, or its client hears that a join failed which did not. */
void rp_core_cursor_drop(struct rp_core *core, struct rp_session *session);
/* The gateway should know that a join with since is done, and where its history ends, before
 * anything else of it: after a lost link it must not be done again, for the session may have left
 * since. */
void rp_core_put_joined(struct rp_peer *peer, uint64_t num, uint64_t upto);
/* Events of one room in (since, upto] come next, at most limit of the newest, then the answer to
 * num. */
void rp_core_cursor_history(struct rp_core *core, struct rp_session *session, struct rp_bytes room,
                            uint64_t num, uint64_t since, uint64_t upto, uint64_t limit);
void rp_core_page_done(struct rp_core *core, struct rp_session *session, uint64_t page);
void rp_core_cursor_page(struct rp_core *core, struct rp_cursor *cursor, enum rp_read_kind kind,
                         uint64_t upto, const struct rp_engine_page *page);
/* Runs the cursors that can go on. True: the turn's budget was used up. */
bool rp_core_replay(struct rp_core *core);
/* The lowest position that a cursor, or a link that is behind, still needs; UINT64_MAX: none. */
uint64_t rp_core_pinned(const struct rp_core *core);

/* ---- relay.c ---- */
/* Passes a RELAY on to the gateway it is for, or tells the sender that it is GONE. */
void rp_core_relay(struct rp_core *core, struct rp_peer *from, const struct rp_op_relay *op);
/* The link of a gateway that was up is lost: all others that are up are told. */
void rp_core_tell_lost(struct rp_core *core, const struct rp_peer *lost);

/* ---- answer.c ---- */
struct rp_answer;
/* Whether events a returning session should get from pos on are gone; rp_core_connect_probed
 * follows. */
void rp_core_probe(struct rp_core *core, struct rp_peer *peer, const struct rp_op_connect *op,
                   uint64_t pos);
/* Answers HISTORY or PRESENCE, now or when the engine and the link can take it. */
void rp_core_answer(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op);
void rp_core_answers_drop(struct rp_core *core, struct rp_peer *peer);
void rp_core_answer_page(struct rp_core *core, struct rp_answer *answer,
                         const struct rp_engine_page *page);
/* Tries again what had to wait. */
void rp_core_answers_retry(struct rp_core *core);
