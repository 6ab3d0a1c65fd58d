/* sdk/worker.h — the core of libreprise: one app worker's end of the link, its sockets, its
 * requests and what it is asked. No I/O, no clock, no callbacks: messages and the time go in,
 * messages and *happenings* come out, and the caller pulls both.
 *
 *     while (there is a message) {
 *         rp_worker_feed(w, message, now_ms);
 *         while (rp_worker_next(w, &h)) { ... answer tasks, ask for things ... }
 *     }
 *     rp_worker_turn(w, now_ms);
 *     while (rp_worker_next(w, &h)) { ... }
 *     while (rp_worker_take(w, now_ms, &out)) { send it }
 *
 * Operations of a message are looked at one by one, as happenings are pulled: what the core knows
 * of a socket is what the caller has been told.
 *
 * Above: sdk/dispatch.c calls the application's handlers. Beside: sdk/uplink.c moves the bytes. Its
 * parts: sdk/worker_state.h. */
#pragma once

#include "common/buf.h"
#include "common/list.h"
#include "common/map.h"
#include "proto/op.h"
#include "sdk/reprise_error.h"

struct rp_worker;
struct rp_patterns;

struct rp_worker_config {
    const char *name;         /* in the broker's log; borrowed as long as the core lives */
    size_t link_credit_bytes; /* RP_LINK_CREDIT_BYTES */
    void (*random)(void *ctx, void *out, size_t len);
    void *random_ctx;
};

/* ---- what it has ---- */

/* A namespace, or a pattern of them, that the worker serves. */
struct rp_worker_served {
    struct rp_list node;
    uint64_t flags;               /* enum rp_op_serve_flag: PATTERN DURABLE ROOMS_ON ROOMS_ASK */
    struct rp_patterns *patterns; /* NULL: the name itself */
    void *owner;                  /* the caller's */
    size_t name_len;
    char name[];
};

enum rp_worker_socket_state {
    RP_WORKER_SOCKET_CONNECTED,
    RP_WORKER_SOCKET_AWAY, /* its session may come back, and is this worker's until then */
    RP_WORKER_SOCKET_GONE,
};

struct rp_worker_room {
    uint32_t len;
    char name[];
};

/* A session that this worker serves; the application's handle of it, too. */
struct reprise_socket {
    struct rp_map_node by_session, by_conn; /* while not GONE */
    struct rp_list node;                    /* in w->sockets_list, doomed or gone */
    struct rp_worker *worker;               /* NULL: that is gone */
    struct rp_worker_served *served;        /* NULL when worker is */
    uint64_t session, conn;
    size_t refs;
    enum rp_worker_socket_state state;
    bool recovered;
    bool adopted;                  /* another worker had this connection before */
    struct rp_buf handshake, data; /* JSON, or empty */
    uint64_t data_num;             /* of the newest request to change data; 0: none */
    struct rp_worker_room **rooms; /* without "" */
    size_t rooms_count, rooms_capacity;
    void *user; /* the application's, for the caller */
    void (*destructor)(void *user);
    char *sid; /* behind nsp; both end with NUL */
    char nsp[];
};

enum rp_worker_task_kind {
    RP_WORKER_TASK_ADMIT,
    RP_WORKER_TASK_INVOKE,
    RP_WORKER_TASK_CHECK,
    RP_WORKER_TASK_SIDE, /* an event of another worker */
};

/* Something this worker is asked, until it has answered. */
struct rp_worker_task {
    struct rp_map_node by_name;
    struct rp_list node;      /* in w->tasks_list */
    struct rp_worker *worker; /* NULL: it cannot be answered any more */
    enum rp_worker_task_kind kind;
    uint64_t origin, num; /* SIDE: num is its id, and link the link's number */
    uint64_t link;
    uint64_t session;                /* ADMIT: which it would resume, or 0 */
    struct reprise_socket *socket;   /* shared; INVOKE and CHECK */
    struct rp_worker_served *served; /* NULL: gone with the worker */
    bool again, wants_ack, decided;
    bool owned;                           /* args and attachments are copies of its own … */
    uint64_t what;                        /* CHECK: enum rp_op_check_what */
    struct rp_bytes nsp, sid, name, room; /* with a NUL behind each */
    struct rp_bytes args, attachments;    /* ADMIT: args is the handshake */
    uint8_t *copy;                        /* … here */
    bool busy;                            /* given out by rp_worker_next, until the next call */
    bool held; /* somebody keeps it, and frees it with rp_worker_task_release */
    /* the caller's */
    void *step; /* where it was left */
    char texts[];
};

/* What a caller waits for after a request. Kept by the core until ENDED was pulled. */
enum rp_worker_wait_kind {
    RP_WORKER_WAIT_STORED, /* until it is done */
    RP_WORKER_WAIT_ACKS,   /* and acks have come */
    RP_WORKER_WAIT_SIDE,
    RP_WORKER_WAIT_FETCH,
};

struct rp_worker_wait {
    struct rp_map_node by_num, by_session;
    struct rp_list ended_node; /* in w->ended */
    enum rp_worker_wait_kind kind;
    uint64_t num;     /* of its request; of the newest page of a FETCH */
    uint64_t session; /* ACKS: of the one socket that is to ack; 0: several */
    bool stored;      /* its request was answered */
    bool ended;       /* nothing finds it any more */
    uint64_t seq, expected, responses_count;
    uint64_t deadline_ms;     /* UINT64_MAX: none */
    size_t place;             /* in the heap of deadlines */
    struct rp_map answered;   /* ACKS of several: struct answered, who was first */
    struct rp_op_fetch fetch; /* FETCH: its selector, views of memory */
    uint8_t *memory;
    enum reprise_err err; /* once it ended */
    void *owner;          /* the caller's */
};

/* ---- what happens ---- */

enum rp_worker_kind {
    RP_WORKER_LINK,     /* up says whether it is; notice says why not */
    RP_WORKER_READY,    /* once */
    RP_WORKER_TASK,     /* task: decide it, or keep it; else it is kept, too */
    RP_WORKER_SOCKET,   /* socket, why (enum rp_op_socket_why; SYNCED only if nothing is new) */
    RP_WORKER_LEFT,     /* socket, text: the reason; its rooms are still there */
    RP_WORKER_RELEASED, /* socket: another worker serves it */
    RP_WORKER_EXPIRED,  /* served, nsp, sid, text: its data; socket or NULL */
    RP_WORKER_STORED,   /* wait: its request is answered, seq and expected are known */
    RP_WORKER_RESPONSE, /* wait, sid, text, attachments: arguments of an ack, a page of FETCH */
    RP_WORKER_ENDED,    /* wait, err: nothing more comes of it */
    RP_WORKER_FAILED,   /* nsp: code, text: message of a request that nobody waits for */
};

/* All views and pointers are valid until the next call of rp_worker_next. */
struct rp_worker_happening {
    enum rp_worker_kind kind;
    bool up;
    uint64_t why;
    enum reprise_err err;
    struct rp_worker_task *task;
    struct reprise_socket *socket;
    struct rp_worker_wait *wait;
    struct rp_worker_served *served;
    struct rp_bytes nsp, sid, text, attachments;
};

/* ---- life ---- */

struct rp_worker *rp_worker_new(const struct rp_worker_config *config);
/* NULL is fine; returns NULL. Sockets and tasks that somebody holds stay, without worker. Waits are
 * freed without a word: see rp_worker_abandon. */
struct rp_worker *rp_worker_free(struct rp_worker *w);

/* Serves a name or, with RP_OP_PATTERN, a pattern, with these flags, from the next link on (which
 * is begun at once if there is one). Asked again it changes the flags. NULL: malformed, or
 * RP_WORKER_NAMESPACES_MAX are served. */
struct rp_worker_served *rp_worker_serve(struct rp_worker *w, struct rp_bytes name, uint64_t flags);
/* What serves a namespace: its own name, else the longest pattern; NULL if nothing does. */
struct rp_worker_served *rp_worker_served_for(const struct rp_worker *w, struct rp_bytes nsp);

/* ---- the link ---- */

enum rp_worker_need { RP_WORKER_NEED_NONE, RP_WORKER_NEED_OPEN, RP_WORKER_NEED_CLOSE };

/* What the shell is to do with its socket: open one and say rp_worker_opened, or close it. */
enum rp_worker_need rp_worker_need(struct rp_worker *w, uint64_t now_ms);
void rp_worker_opened(struct rp_worker *w, uint64_t now_ms);
/* The shell's socket is gone. */
void rp_worker_lost(struct rp_worker *w, uint64_t now_ms);
/* Takes a message of the broker: borrowed until rp_worker_next has returned false. The last one
 * must have been dealt with. What comes after a silence that ends a link is dropped with the link:
 * the caller hung, and the broker has given its sockets to others. */
void rp_worker_feed(struct rp_worker *w, struct rp_bytes message, uint64_t now_ms);
/* What happened next, false: nothing more until there is a message or a turn. */
bool rp_worker_next(struct rp_worker *w, struct rp_worker_happening *ret_happening);
/* Timeouts, heartbeats, requests that may be sent now. Pull what happened afterwards. */
void rp_worker_turn(struct rp_worker *w, uint64_t now_ms);
/* It is this late, for what is asked from here on: its time counts from then, which may be long
 * after the last turn. Earlier ones than it knows are ignored. */
void rp_worker_clock(struct rp_worker *w, uint64_t now_ms);
/* The next message for the broker: the caller frees ret_message->data. False: none. */
bool rp_worker_take(struct rp_worker *w, uint64_t now_ms, struct rp_buf *ret_message);
/* When a turn is due at the latest. */
uint64_t rp_worker_deadline_ms(const struct rp_worker *w);
/* Why the link was lost or refused last, for logs; "" if it never was. */
const char *rp_worker_notice(const struct rp_worker *w);
/* The last message that was cut short because the broker sent something malformed; counts. */
uint64_t rp_worker_malformed(const struct rp_worker *w);

/* ---- goodbye ---- */

/* Nothing is unanswered on either side. */
bool rp_worker_is_idle(const struct rp_worker *w);
/* Says BYE, if there is a link; tasks are not taken any more. */
void rp_worker_bye(struct rp_worker *w);
/* The broker has ended the link after that, or there was none. */
bool rp_worker_is_parted(const struct rp_worker *w);
/* Ends every wait with this error; pull them. */
void rp_worker_abandon(struct rp_worker *w, enum reprise_err err);

/* ---- requests ---- */

struct rp_worker_ask {
    bool is_volatile; /* not kept for the next link; refused without one */
    bool has_wait;    /* the outcome is wanted: happenings with a wait that has this owner */
    enum rp_worker_wait_kind wait;
    uint64_t session;    /* ACKS: see struct rp_worker_wait. MOVE: whose rooms it changes, or 0;
                            DATA: whose */
    uint64_t timeout_ms; /* 0: none */
    void *owner;
};

/* Sends a request (EMIT MOVE EXPEL DATA FETCH SIDE) and keeps it until it is answered; gives it its
 * num. Borrows everything.
 *   REPRISE_E_BUSY     the bound of requests, or of waits, is reached
 *   REPRISE_E_LINK     volatile, and it cannot be sent now
 *   REPRISE_E_CLOSED   the worker has said goodbye */
RP_MUST_USE enum reprise_err rp_worker_ask(struct rp_worker *w, struct rp_op *op,
                                           const struct rp_worker_ask *ask);

/* ---- answers ---- */

/* Answers a task, once: verdict as in DECIDED; SIDE: only args. Borrows. REPRISE_E_GONE: it was
 * answered before, or cannot be. */
enum reprise_err rp_worker_decide(struct rp_worker_task *t, const struct rp_op_decided *answer);
/* Its views become its own, so that it may be held until rp_worker_task_release. */
void rp_worker_task_hold(struct rp_worker_task *t);
void rp_worker_task_release(struct rp_worker_task *t);

/* ---- sockets ---- */

struct reprise_socket *rp_worker_socket_find(const struct rp_worker *w, uint64_t session);
struct reprise_socket *rp_worker_socket_ref(struct reprise_socket *s);
void rp_worker_socket_unref(struct reprise_socket *s);
/* Every socket that is not gone, any order; start with NULL, NULL at the end. */
struct reprise_socket *rp_worker_socket_each(const struct rp_worker *w, struct reprise_socket *s);
bool rp_worker_socket_in(const struct reprise_socket *s, struct rp_bytes room);
/* It is in no room any more: a connection that is gone, after `disconnecting`. */
void rp_worker_socket_left_rooms(struct reprise_socket *s);
/* Asks for the move and notes the room at once. */
RP_MUST_USE enum reprise_err rp_worker_socket_move(struct reprise_socket *s, struct rp_bytes room,
                                                   bool leave);
/* Asks for new data and notes it at once. */
RP_MUST_USE enum reprise_err rp_worker_socket_set_data(struct reprise_socket *s,
                                                       struct rp_bytes json);

/* ---- numbers ---- */

struct rp_worker_stats {
    uint64_t links_opened, links_lost, resets, malformed;
    uint64_t events, emits, tasks_refused, tasks_repeated, answers_dropped;
    uint64_t requests_resent;
    bool linked;
    size_t sockets_count, requests_count, requests_bytes, tasks_count, tasks_bytes, answers_count,
        answers_bytes, waits_count;
    uint64_t seen, incarnation;
};
void rp_worker_stats(const struct rp_worker *w, struct rp_worker_stats *ret_stats);
