/* broker/state.h — what the files of the core share. Not for anybody else.
 *
 *     core.c     creation, the turn, timers
 *     greet.c    links: HELLO, resume, loss
 *     request.c  operations of gateways → records
 *     commit.c   committed records, and what each gateway is told of them
 *     apply.c    what a committed record changes
 *     replay.c   cursors: sessions that catch up (with replay_*.c; cursor.h)
 *     share.c    pages of rooms for many cursors (share.h)
 *     answer.c   history and presence
 *     relay.c    what one gateway says to another
 *     worker.c   app workers: what they serve, which sockets are whose
 *     task.c     what a worker has to decide or handle
 *     emit.c     what a worker asks for: events, rooms, disconnects, data
 *     fetch.c    what a worker asks to know: sockets
 *     behind.c   answers and questions of a worker that wait for what it asked before
 *     side.c     what workers say to one another
 *
 * Two positions matter. `head` is the newest committed seq. A peer's position is the seq up to
 * which everything it should know has been put on its link, in log order; for a live peer that is
 * the head. A session's cursor never passes its peer's position. */
#pragma once

#include "broker/core.h"
#include "broker/policy.h"
#include "broker/selector.h"
#include "broker/session.h"
#include "broker/share.h"
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

/* A request in the log since `seen`; seq 0: on its way there. */
struct rp_known {
    uint64_t num, seq;
};

/* A request whose record is appended and not decided; is_event: by it the session publishes, or,
 * with session 0, the worker. */
struct rp_inflight {
    uint64_t num, session;
    bool is_event;
};

/* The last request of a session, or of a worker, that is known and publishes. */
struct rp_published {
    uint64_t session, num;
};

/* One incarnation of a gateway, or of a worker. */
struct rp_peer {
    struct rp_list node;                        /* in core->peers */
    struct rp_map_node by_incarnation, by_link; /* by_link while it has one */
    uint64_t incarnation;
    enum rp_peer_state state;
    bool live;  /* pos is the head */
    bool going; /* a GONE record is appended */
    uint64_t link_id;
    struct rp_link link;
    uint64_t pos;            /* while not live */
    uint64_t down_since_ms;  /* 0: a gateway that will not come back */
    struct rp_list sessions; /* connected here */
    struct rp_list parked;   /* struct rp_cursor.ready_node: they wait for the link's credit */
    struct rp_list answers;  /* struct rp_answer under way */

    struct rp_inflight *inflight; /* in append order */
    size_t inflight_from, inflight_count, inflight_capacity;
    struct rp_known *known; /* at the last HELLO: in the log since `seen` or in flight; by num */
    size_t known_count;
    struct rp_published *published; /* of them, by session */
    size_t published_count;
    struct rp_resent_join *resent;
    size_t resent_count, resent_capacity;
    uint64_t seen;     /* of the last HELLO: answers of this very seq are repeated */
    uint64_t has_seen; /* at least: by its last heartbeat. What it may ask again is newer */

    struct rp_late_done *late;
    size_t late_count, late_capacity;
    struct rp_room **lingering; /* rooms whose interest goes when the peer is live: left at a seq it
                                   has yet to see */
    size_t lingering_count, lingering_capacity;

    struct rp_list outbox; /* struct rp_parcel: what is not in the log and waits for credit */
    size_t outbox_bytes;
    size_t outbox_spare; /* what it may hold beside, until it is empty: all that a worker is told
                            when its link begins, however much its sockets are … */
    bool is_told_all;    /* … which is under way */
    bool overflowed;     /* its outbox: the link is to be given up */
    uint64_t hellos;     /* heard by this process */
    uint64_t old_below; /* a gateway's: what it asks again with a lower num may have been asked of a
                           process before this one */
    uint64_t newest;    /* a gateway's: the highest num it has asked */
    uint64_t lowest;    /* a gateway's: it has the answers to all lower nums */
    struct rp_list answered; /* a gateway's: struct rp_task that it may ask about again */
    uint64_t mark;           /* the last event that it was found concerned by */
    uint64_t told_end; /* the last session whose end was told though another worker served it */

    /* a worker's: */
    bool is_worker;
    bool leaving;            /* it said BYE */
    bool parted;             /* and was told that all of its requests are answered */
    bool served;             /* it knows that it gets its share */
    struct rp_list servings; /* struct rp_serving.peer_node */
    struct rp_list wishes;   /* struct rp_wish: what it wants to serve, by the HELLO under way */
    size_t wishes_count;
    struct rp_list behind; /* struct rp_behind */
};

/* What a worker serves, or will as soon as the log has it. */
struct rp_wish {
    struct rp_list node;
    uint32_t flags;      /* of SERVE */
    bool pending;        /* its SERVE record is on its way */
    struct rp_bytes nsp; /* in data */
    uint8_t data[];
};

/* An operation that waits for its link. */
struct rp_parcel {
    struct rp_list node;
    size_t len;
    uint8_t data[];
};

enum rp_task_state {
    RP_TASK_WAITING,  /* there is no worker for it */
    RP_TASK_GIVEN,    /* a worker has it, or will when its link is back */
    RP_TASK_ADMITTED, /* a CONNECT that is being appended */
    RP_TASK_ANSWERED, /* kept until its gateway has the answer */
};

/* A request of a gateway that a worker decides upon or handles. */
struct rp_task {
    struct rp_map_node node;     /* in core->tasks */
    struct rp_list session_node; /* in app->tasks while unanswered; a CONNECT has none */
    struct rp_list list_node;    /* a CONNECT's: in core->admissions until it is answered */
    struct rp_list wait_node;    /* WAITING: in core->tasks_waiting, oldest first */
    struct rp_list origin_node;  /* ANSWERED: in origin->answered */
    enum rp_task_state state;
    enum rp_op_kind kind;
    bool sent;  /* to the worker it is given to */
    bool once;  /* … a single time, and to nobody before */
    bool again; /* somebody may have had it before */
    uint64_t origin, num, since_ms;
    uint64_t asked;             /* on which of its origin's links it came last (peer->hellos) */
    struct rp_session *session; /* NULL: a CONNECT, or it has ended */
    struct rp_serving *serving; /* a CONNECT's */
    struct rp_bytes op;         /* encoded: the request, when ANSWERED the answer; owned */
    uint64_t given_link_id;     /* where it was sent to its worker … */
    uint32_t given;             /* … so often, but for what was DISOWNED */
    uint64_t answered_at; /* the link's sent_bytes behind the answer; 0: it is not on the link */
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
    size_t replay_left;     /* what replays may still do in this turn: RP_REPLAY_EVENTS_PER_TURN */
    struct rp_list waiting; /* struct rp_answer the engine, or the link, had no room for */
    struct rp_policies policies;
    struct rp_map tasks; /* struct rp_task by origin and num */
    struct rp_list admissions, tasks_waiting;
    size_t waiting_count, waiting_bytes;
    struct rp_list unserved; /* struct rp_app.serving_node: sessions that need a worker */
    uint64_t assign_from_ms; /* until then sessions wait for the workers they had */
    struct rp_map sides;     /* struct rp_side by id */
    struct rp_list sides_by_time;
    uint64_t next_side_id, volatile_mark;
    struct rp_op_reader *behind_reader;
    struct rp_buf parcel; /* one encoded operation on its way to an outbox */

    struct rp_list bordered; /* struct rp_room that retention has taken events of the tail from */
    uint64_t border_max;     /* no room has lost an event newer than this */
    uint64_t holes_upto;     /* the same when this process began: up to here the tail may lack what
                                rules of retention have removed */
    uint64_t next_trim_ms;
    struct rp_share share;
    struct rp_map reads; /* struct rp_read_job by id */
    uint64_t next_read_id;
    bool trimming;
    uint64_t next_tick_ms;
    struct rp_now now; /* of the call under way */
    bool parted;       /* goodbye was said: nothing is put on links any more */
    unsigned granted;  /* roles of the messages under way: a sum of RP_CORE_… */
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
/* A gateway has stopped: its link is over, and it will not come back. */
void rp_core_gateway_bye(struct rp_core *core, struct rp_peer *gateway);
/* Frees a peer that is down, has no sessions and nothing in flight. */
void rp_core_peer_release(struct rp_core *core, struct rp_peer *peer);
/* Refuses a peer whose link is up, and forgets the link. */
void rp_core_refuse(struct rp_core *core, struct rp_peer *peer, const char *code,
                    const char *message);
bool rp_peer_knows(const struct rp_peer *peer, uint64_t num);
/* A request to publish, which is not known, was refused before its link was lost: a later one of
 * the session (0: of a worker) is known, and they are decided in their order. */
bool rp_peer_had_refused(const struct rp_peer *peer, uint64_t session, uint64_t num);
/* The seq of a request's record; 0 if it is not known, or on its way into the log. */
uint64_t rp_peer_known_seq(const struct rp_peer *peer, uint64_t num);

static inline uint64_t rp_core_peer_pos(const struct rp_core *core, const struct rp_peer *peer) {
    return peer->live ? core->head : peer->pos;
}

/* A room has lost events to retention: up to seq. */
void rp_core_border(struct rp_core *core, struct rp_bytes nsp, struct rp_bytes name, uint64_t seq);

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

/* A CONNECT was admitted, or needs nobody's leave: opens or resumes a session. */
void rp_core_connect(struct rp_core *core, struct rp_peer *peer, const struct rp_op_connect *op);
/* A room event that nobody has anything against (any more). */
void rp_core_room_request(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op);
/* The session, if the operation comes from its valid connection; otherwise the request is refused.
 */
struct rp_session *rp_core_valid_session(struct rp_core *core, struct rp_peer *peer, uint64_t num,
                                         uint64_t id, uint64_t conn);
/* A JSON array of arguments and packed attachments, together one payload. */
bool rp_core_valid_payload(struct rp_bytes args, struct rp_bytes attachments);

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
/* Sends an event on all live links that care, without the log; seq is set here. */
void rp_core_deliver_volatile(struct rp_core *core, struct rp_op_deliver *deliver);
/* Puts an operation that is not in the log on the link of a peer that is up, behind all that is in
 * the log so far, when there is credit. */
void rp_core_post(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op);
/* The same, encoded already. */
void rp_core_post_encoded(struct rp_peer *peer, struct rp_bytes encoded);
void rp_core_outbox_flush(struct rp_peer *peer);
void rp_core_outbox_clear(struct rp_peer *peer);

/* Tells a gateway, or a worker, that a connection is in a room, or not any more. */
void rp_core_put_member(struct rp_peer *peer, uint64_t seq, uint64_t conn, bool joined,
                        struct rp_bytes room);
/* Whether it is told of what is committed at once; NULL is not. */
static inline bool rp_peer_is_live(const struct rp_peer *peer) {
    return peer != NULL && peer->state == RP_PEER_UP && peer->live;
}

/* ---- apply.c ---- */
/* Changes the state as a record just committed says. */
void rp_core_apply(struct rp_core *core, struct rp_record *r);

/* ---- reads of the engine (read.c) ---- */
enum rp_read_kind {
    RP_READ_CURSOR,
    RP_READ_OWED,
    RP_READ_HISTORY_START,
    RP_READ_HISTORY,
    RP_READ_ANSWER,
    RP_READ_SHARED,
};

struct rp_read_job {
    struct rp_map_node node; /* in core->reads */
    uint64_t id;
    enum rp_read_kind kind;
    struct rp_cursor *cursor; /* CURSOR, OWED, HISTORY… */
    struct rp_answer *answer; /* ANSWER */
    struct rp_shared *shared; /* SHARED */
    uint64_t upto; /* CURSOR, OWED, HISTORY: the page is complete up to here unless there is more */
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
/* The same, but first it gets everything from at or before pos that it owes an ack for: it has come
 * back, or its gateway says that it had not got all of that when the link was lost. */
struct rp_cursor *rp_core_cursor_start_owing(struct rp_core *core, struct rp_session *session,
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
/* The pages it waited for are there. */
void rp_core_cursor_wake(struct rp_core *core, struct rp_cursor *cursor);
/* Whether retention has taken nothing that the session should get from pos, in the tail, on. */
bool rp_core_tail_has_all(const struct rp_session *session, uint64_t pos);
/* Runs the cursors that can go on. True: the turn's budget was used up. */
bool rp_core_replay(struct rp_core *core);
/* The lowest position that a cursor, or a link that is behind, still needs; UINT64_MAX: none. What
 * is owed from before it counts while it is being replayed. */
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
/* The pages it waited for are there: it is looked at in this turn. */
void rp_core_answer_wake(struct rp_core *core, struct rp_answer *answer);
/* Tries again what had to wait. */
void rp_core_answers_retry(struct rp_core *core);

/* ---- worker.c ---- */
void rp_core_serve(struct rp_core *core, struct rp_peer *worker, const struct rp_op_serve *op);
/* A socket the worker had before its link was lost. */
void rp_core_socket_listed(struct rp_core *core, struct rp_peer *worker,
                           const struct rp_op_session *op);
/* HELLO: nothing is confirmed yet. */
void rp_core_worker_hello(struct rp_peer *worker);
void rp_core_worker_resumed(struct rp_core *core, struct rp_peer *worker);
/* It will not come back, or not with what it had: its sockets and tasks go to others. */
void rp_core_worker_lost(struct rp_core *core, struct rp_peer *worker);
/* idle: it has answered all that it had begun. */
void rp_core_worker_bye(struct rp_core *core, struct rp_peer *worker, bool idle);
/* Gives away what nobody serves, evens out who serves how much, refuses what waited too long. */
void rp_core_workers_tick(struct rp_core *core);
void rp_core_assign(struct rp_core *core);
/* A SERVE record is committed. */
void rp_core_apply_serve(struct rp_core *core, const struct rp_record *r);
/* A SERVE record could not be written: who waits for it begins anew. */
void rp_core_serve_refused(struct rp_core *core, const struct rp_record *r);
/* A gateway whose link was not live passes a SERVE record: sockets that were told otherwise, or
 * may have been, are closed. */
void rp_core_serve_passed(struct rp_core *core, const struct rp_peer *gateway,
                          const struct rp_record *r);
/* The worker with the fewest sockets of this policy, NULL: there is none that is up. */
struct rp_serving *rp_core_choose(const struct rp_policy *policy);
/* The session is connected: it gets a worker (by preference this one, which may be NULL), who is
 * told why (enum rp_op_socket_why). */
void rp_core_socket_begins(struct rp_core *core, struct rp_session *session,
                           struct rp_serving *serving, enum rp_op_socket_why why);
/* Its worker is told that the connection is gone; ended: the session too, which is removed next. */
void rp_core_socket_ends(struct rp_core *core, struct rp_session *session, bool ended,
                         struct rp_bytes reason);
void rp_core_socket_member(struct rp_core *core, const struct rp_session *session, uint64_t seq,
                           bool joined, struct rp_bytes room);
/* Its data were changed by this worker, which may not be the one that serves it now. */
void rp_core_socket_data(struct rp_core *core, const struct rp_session *session, uint64_t by);
/* Tells a gateway how many app namespaces there are. */
void rp_core_put_apps(struct rp_core *core, struct rp_peer *gateway);

/* ---- task.c ---- */
/* A CONNECT to an app namespace: a worker is asked. */
void rp_core_admit(struct rp_core *core, struct rp_peer *peer, const struct rp_op_connect *op,
                   const struct rp_policy *policy);
/* An event of a client. */
void rp_core_client_event(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op);
/* A room event that a worker is asked about. */
void rp_core_check(struct rp_core *core, struct rp_peer *peer, struct rp_session *session,
                   const struct rp_op *op);
void rp_core_decided(struct rp_core *core, struct rp_peer *worker, const struct rp_op_decided *op);
/* The task of a request, or NULL. */
struct rp_task *rp_core_task(const struct rp_core *core, uint64_t origin, uint64_t num);
/* Gives a session's tasks to the worker it has now. */
void rp_core_tasks_give(struct rp_core *core, struct rp_session *session);
/* The worker of these is lost: those that may be handled again wait, the others are refused. */
void rp_core_tasks_orphaned(struct rp_core *core, struct rp_session *session, bool durable);
/* The session ends: nobody handles them any more. */
void rp_core_tasks_ended(struct rp_core *core, struct rp_session *session);
/* The worker of these leaves, and has answered all that it had begun: what it was sent once and has
 * not answered was on its way, and nobody has had it. */
void rp_core_tasks_unbegun(struct rp_session *session);
/* CONNECTs that a lost worker was asked about are asked again. */
void rp_core_admissions_orphaned(struct rp_core *core, const struct rp_serving *serving);
/* Its link is back: what it was asked is asked again. */
void rp_core_admissions_give(struct rp_core *core, const struct rp_serving *serving);
void rp_core_admissions_retry(struct rp_core *core);
void rp_core_tasks_expire(struct rp_core *core);
/* The gateway told what it has dealt with: answers that it has are forgotten. */
void rp_core_tasks_heard(struct rp_core *core, struct rp_peer *gateway);
void rp_core_tasks_link_lost(struct rp_peer *gateway);
/* The gateway has asked again for whatever answers it has not; the others are forgotten. */
void rp_core_tasks_asked(struct rp_core *core, struct rp_peer *gateway);
/* The gateway does not ask any more for nums below lowest. */
void rp_core_tasks_settled(struct rp_core *core, struct rp_peer *gateway, uint64_t lowest);
/* The gateway is gone for good. */
void rp_core_tasks_origin_gone(struct rp_core *core, struct rp_peer *gateway);
void rp_core_task_free(struct rp_core *core, struct rp_task *task);

/* ---- emit.c ---- */
/* Whether a selector is well-formed; the namespace may be one that nobody serves. */
bool rp_core_valid_selector(const struct rp_selector *selector);
void rp_core_worker_request(struct rp_core *core, struct rp_peer *worker, const struct rp_op *op);
void rp_core_acked(struct rp_core *core, struct rp_peer *peer, const struct rp_op_acked *op);

/* ---- behind.c ---- */
/* DECIDED or FETCH: done now, or as soon as what the worker asked for before is committed. */
void rp_core_behind(struct rp_core *core, struct rp_peer *worker, const struct rp_op *op);
/* Does those whose time has come. */
void rp_core_behind_turn(struct rp_core *core, struct rp_peer *worker);
/* The worker's link is lost: what it has decided counts, yet not before its time, for this broker
 * may be lost next; its questions come again. */
void rp_core_behind_link_lost(struct rp_core *core, struct rp_peer *worker);
/* The worker is gone: all of its tasks are others' already. */
void rp_core_behind_forget(struct rp_peer *worker);

/* ---- fetch.c ---- */
void rp_core_fetch(struct rp_core *core, struct rp_peer *worker, const struct rp_op_fetch *op);

/* ---- side.c ---- */
void rp_core_side(struct rp_core *core, struct rp_peer *worker, const struct rp_op_side *op);
void rp_core_side_answer(struct rp_core *core, const struct rp_peer *worker,
                         const struct rp_op_side_answer *op);
void rp_core_sides_expire(struct rp_core *core);
void rp_core_sides_free(struct rp_core *core);
