/* tests/sim/world.h — the whole system in one process: a broker, gateways, clients, the network
 * between them, the time, and every fault, all driven by one seeded generator. The cores are the
 * real ones; sockets, threads and the disk are not.
 *
 *     world.c         the schedule: what there is, and a step of time
 *     broker.c        the broker's process and its disk; every log there ever was
 *     gateways.c      the gateways' processes, and the links
 *     faults.c        what goes wrong
 *     network.c       queues of packets, connections (WebSockets) and calls (HTTP requests)
 *     client.c        what clients do
 *     stock_engine.c  their transports: a model of engine.io-client
 *     stock.c         their sockets: a model of socket.io-client
 *     oracle.h        what is right, in files of its own
 *     tally.h         what happened
 *     apps.h          app workers, and more files for them */
#pragma once

#include "broker/core.h"
#include "broker/engine_memory.h"
#include "common/list.h"
#include "common/rng.h"
#include "gateway/gateway.h"
#include "tests/sim/apps.h"
#include "tests/sim/stock.h"
#include "tests/sim/tally.h"

enum { GATEWAYS = 3, CLIENTS = 8, ROOMS = 5 };

enum { PING_INTERVAL_MS = 2500, PING_TIMEOUT_MS = 2000 };

/* What the processes are bounded by: little, so that it is reached. */
enum {
    LINK_CREDIT_BYTES = 6000,
    PAGE_BYTES = 1500,
    TAIL_BYTES_MAX = 1 << 20,
    GATEWAY_QUEUE_BYTES = 600,
};

/* The kinds of fault; a schedule uses some of them. */
enum fault {
    FAULT_CUT = 1 << 0,     /* a client's connection, or a link, is reset or goes silent */
    FAULT_KILL = 1 << 1,    /* a gateway is killed */
    FAULT_RESTART = 1 << 2, /* the broker is killed and started on the same store */
    FAULT_TAKEOVER =
        1 << 3,            /* a client comes back while the server believes in its old connection */
    FAULT_STALL = 1 << 4,  /* a client stops reading for a while */
    FAULT_TRIM = 1 << 5,   /* retention removes old events */
    FAULT_REFUSE = 1 << 6, /* the disk refuses commits for a moment, or is full */
    FAULT_FORGET = 1 << 7, /* left rooms are remembered for a short while only */
    FAULT_WORKER = 1 << 8, /* an app worker is killed, hangs, or loses its link */
    FAULT_BYE = 1 << 9,    /* one says goodbye, and another comes */
    FAULT_EXPIRE = 1 << 10,    /* sessions are kept for a short while only */
    FAULT_HANG = 1 << 11,      /* the broker, or a gateway, does nothing for a while */
    FAULT_PARTITION = 1 << 12, /* nothing gets through between a gateway and the broker, in one
                                  direction or both */
    FAULT_SLOW = 1 << 13,      /* the disk is slow, and reads are slower than commits */
    FAULT_FATAL = 1 << 14,   /* the log cannot be written any more: the broker stops, and starts */
    FAULT_CLOCK = 1 << 15,   /* the wall clock jumps */
    FAULT_RESTORE = 1 << 16, /* an older copy of the log is put back, with a new epoch */
    FAULT_STOP = 1 << 17,    /* the broker, or a gateway, is stopped in order, and started */
    FAULT_ALL = ((1 << 16) - 1) | FAULT_STOP, /* but RESTORE, which there are no app workers with */
};

/* The kinds after which the broker is another process; those that can end a link. */
enum {
    FAULTS_REBIRTH = FAULT_RESTART | FAULT_FATAL | FAULT_RESTORE | FAULT_STOP,
    FAULTS_LINKS = FAULTS_REBIRTH | FAULT_CUT | FAULT_HANG | FAULT_PARTITION,
};

/* The kinds that go on when the faults stop: they are how the broker is set up. */
enum { FAULTS_LASTING = FAULT_TRIM | FAULT_FORGET | FAULT_EXPIRE };

/* A message on its way, or one that waits for its way. */
struct packet {
    struct rp_list node;
    uint64_t due_ms;
    bool is_binary;
    struct rp_buf bytes;
};

/* A WebSocket of a client; it can outlive the client's belief in it. */
struct conn {
    struct rp_list node; /* in world->conns */
    unsigned client, gateway;
    struct rp_wire *handle; /* NULL: the gateway's side is not there yet, or gone */
    uint64_t opens_ms;      /* when the gateway hears of it; 0: it has */
    bool opening;           /* the gateway has not said yet whether it will have it */
    char sid[40];           /* of the session it is to take over; "": a new one */
    bool client_open;       /* the client believes in it */
    bool silent;            /* nothing gets through to the client any more */
    bool up_late;           /* but what it had sent still arrives, some time */
    uint64_t stalled_until_ms;
    uint64_t gateway_notices_ms; /* when the gateway hears of the cut; 0: nothing to hear */
    struct rp_list up, down;     /* struct packet */
};

enum call_kind { CALL_OPEN, CALL_GET, CALL_POST };

/* Where an HTTP request is. */
enum call_state {
    CALL_UP,    /* on its way */
    CALL_THERE, /* with the gateway */
    CALL_READY, /* answered, but the client's end takes nothing yet */
    CALL_DOWN,  /* the answer is on its way */
    CALL_LOST,  /* there will be no answer */
};

/* An HTTP request of a client; it can outlive the client's interest in it. */
struct call {
    struct rp_list node; /* in world->calls */
    enum call_kind kind;
    enum call_state state;
    unsigned client, gateway;
    struct rp_exchange *handle; /* THERE and READY */
    char sid[40];
    struct rp_buf body; /* of the request, then of the answer */
    int status;
    bool client_waits; /* for the answer */
    bool body_due;     /* of a POST whose head is THERE; due_ms is its */
    uint64_t due_ms;   /* UP, DOWN: when it arrives */
    uint64_t stalled_until_ms;
    uint64_t gateway_notices_ms; /* when the gateway hears of a cut; 0: nothing to hear */
};

struct gateway {
    struct rp_gateway *core; /* NULL: dead */
    struct link link;
    uint64_t restart_at_ms, hung_until_ms;
    uint64_t stops_by_ms; /* it is stopping, and listens no more; 0: it is not */
};

enum engine_state { ENGINE_CLOSED, ENGINE_OPENING, ENGINE_OPEN };
enum pause_state { PAUSE_NOT, PAUSE_PAUSING, PAUSE_PAUSED };

/* A client's transport. */
struct engine {
    enum engine_state state;
    bool polling; /* the transport is long-polling; otherwise it is `wire` */
    bool closing; /* it says goodbye as soon as everything is written */
    bool upgrading;
    enum pause_state pause; /* of long-polling */
    struct call *get, *post;
    struct conn *wire, *probe;
    unsigned home; /* the gateway that has the session */
    char sid[40];
    struct rp_list buffer;     /* struct packet, to be written */
    size_t writing;            /* how many of them are in the POST under way */
    uint64_t probe_at_ms;      /* 0: no upgrade is meant to begin */
    uint64_t heard_ms, get_ms; /* when something came; when the GET under way began */
};

struct client {
    const struct world *world;
    unsigned index;
    struct stock_manager stock;
    struct engine engine;
    unsigned nsps; /* bits: the namespaces that it connects to */
    uint64_t reconnect_at_ms;
    uint64_t leave_ask; /* whose ack says that the second namespace has been left; 0: none */
    const char *problem;
};

/* What kinds of client and event there are; each of 1000. Drawn from the seed. */
struct profile {
    unsigned polling;  /* clients that begin with long-polling */
    unsigned upgrades; /* of these, those that upgrade */
    unsigned astray;   /* requests that reach another gateway than the session's */
    unsigned slow;     /* requests that take long */
    unsigned second;   /* clients that connect to two namespaces */
    unsigned apps;     /* clients that connect to each of the app namespaces */
    unsigned workers;
    bool dark;   /* a worker that is gone stays away for longer than anybody waits */
    bool binary; /* some events have attachments */
    size_t max_payload, client_requests_max, relay_window_bytes;
    size_t tail_records_max, share_bytes;
    uint64_t session_ttl_ms, retention_ms;
    struct rp_retention_limits whole;
    char rules[256];
};

/* A log of records from one epoch to the next: every one that was ever committed, the oracle's own
 * copy. */
struct era {
    char epoch[RP_EPOCH_LEN + 1];
    struct rp_record **log;
    size_t log_count, log_capacity;
    size_t inherited; /* so many of them were in the copy that was put back */
};

/* A room's border moved: noted behind the first `logged` records. */
struct border {
    unsigned era;
    size_t logged;
    bool of_whole; /* the log's beginning was cut off, of which the broker hears at the end of it */
    struct rp_record *last; /* what it was moved to; has the namespace … */
    struct rp_bytes room;   /* … and this is one of its rooms */
};

/* The wall clock was set, behind the first `logged` records; it had shown wall_ms. */
struct jump {
    unsigned era;
    size_t logged;
    uint64_t wall_ms;
};

/* The one process of the broker. */
struct broker {
    struct rp_core *core; /* NULL: dead */
    struct rp_engine *engine;
    struct rp_retention *retention;
    uint64_t restart_at_ms, hung_until_ms, disk_busy_until_ms;
    uint64_t stopping_since_ms; /* it takes nothing more; 0: it is not stopping */
    uint64_t born_head;         /* the log's end when it started */
    uint64_t first;             /* the log's beginning, as far as it has heard of it */
    size_t queue_max;           /* of its engine */
};

struct rp_patterns;

struct world {
    uint64_t seed;
    bool tracing;
    struct rp_rng rng;
    unsigned faults;         /* bits of enum fault that may happen now */
    unsigned faults_allowed; /* those that might ever */
    struct profile profile;
    struct rp_patterns *namespaces;
    uint64_t now_ms, slept_ms;            /* the time; how much of it nobody was awake */
    uint64_t wall_ms;                     /* what the wall clock shows beyond it */
    struct rp_memory_store *store, *copy; /* the disk; a copy made earlier, NULL: none */
    struct broker broker;
    struct gateway gateways[GATEWAYS];
    struct client clients[CLIENTS];
    struct apps apps;
    struct rp_list conns, calls;
    uint64_t next_link_id, next_payload, next_publish_id;
    struct era now;   /* of the store */
    struct era *past; /* those of the epochs before */
    size_t past_count, past_capacity;
    struct border *borders;
    size_t borders_count, borders_capacity;
    struct jump *jumps;
    size_t jumps_count, jumps_capacity;
    uint64_t *known_borders; /* seqs, as they are in the store */
    size_t known_borders_count, known_borders_capacity;
    unsigned era;        /* for the oracle, which looks at one after the other */
    bool is_newest;      /* likewise */
    bool acting;         /* clients do things */
    uint64_t *volatiles; /* by payload / NAMESPACES: 1 + the room of a volatile event; 0: none is */
    size_t volatiles_count, volatiles_capacity;
    uint64_t faults_done;
    const char *problem; /* what must never be, at any time; NULL: nothing */
    struct tally tally;
};

static inline bool client_has(const struct client *client, unsigned nsp) {
    return (client->nsps >> nsp & 1) != 0;
}

void world_init(struct world *w, uint64_t seed, unsigned faults, bool tracing);
void world_done(struct world *w);
/* Lets a few milliseconds pass, or up to so many. */
void world_step(struct world *w, uint64_t ms_max);
/* Adds what the processes that live have counted. */
void world_count(struct world *w);
void world_random(void *ctx, void *out, size_t len);
/* A line of what happens, if anybody wants to see that. */
void world_trace(const struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- broker.c ---- */

struct rp_now broker_now(const struct world *w);
void broker_init(struct world *w);
void broker_done(struct world *w);
void broker_run(struct world *w);
/* It is gone; it starts again in at most so many ms. */
void broker_kill(struct world *w, uint64_t away_ms_max);
/* It stops in order: takes nothing more, commits, answers, says goodbye; then as above. */
void broker_stop(struct world *w);
/* The disk goes back to the copy that was made of it, and the log has a new epoch. */
void broker_restore(struct world *w);
void broker_count(struct world *w);
bool broker_is_awake(const struct world *w);

/* ---- gateways.c ---- */

void gateways_init(struct world *w);
void gateways_run(struct world *w);
void gateway_kill(struct world *w, unsigned index);
/* It sends its clients away, over a while, and is gone when the broker knows it. */
void gateway_stop(struct world *w, unsigned index);
void gateway_count(struct world *w, unsigned index);
static inline bool gateway_is_awake(const struct world *w, unsigned index) {
    return w->gateways[index].core != NULL && w->now_ms >= w->gateways[index].hung_until_ms;
}
/* The core, or NULL: nobody can connect to it, because it is dead or stopping. */
static inline struct rp_gateway *gateway_listening(const struct world *w, unsigned index) {
    return w->gateways[index].stops_by_ms == 0 ? w->gateways[index].core : NULL;
}
/* The broker is dead: so are their links. */
void gateways_broker_died(struct world *w);
/* The same, but it has said goodbye, which is on its way. */
void gateways_broker_parted(struct world *w);
void link_init(struct link *link);
/* Sends a message, which is taken, to the broker or from it. */
void link_put(struct world *w, struct link *link, bool to_broker, struct rp_buf message);
/* The next message that has arrived at the process, or at the broker. */
struct packet *link_take(struct world *w, struct link *link, bool to_broker);
/* Moves what has arrived to the broker. */
void link_deliver(struct world *w, struct link *link);
/* What is on the way is lost, and nothing gets through any more. */
void link_cut(struct link *link);
/* The broker's end is closed: what it had sent still comes. */
void link_close(struct link *link);
/* Whether all of that has come, so that the system tells of the end. */
bool link_is_over(const struct world *w, const struct link *link);
/* There is none, or (id is not 0) a new one. */
void link_renew(struct link *link, uint64_t id);

/* ---- faults.c ---- */

/* Perhaps something goes wrong. */
void faults_run(struct world *w);

static inline uint64_t below(struct world *w, uint64_t bound) {
    return rp_rng_below(&w->rng, bound);
}

static inline bool chance(struct world *w, unsigned per_thousand) {
    return below(w, 1000) < per_thousand;
}

/* ---- network.c: in order, delayed ---- */

/* Takes the bytes. */
void queue_put(struct world *w, struct rp_list *queue, struct rp_buf bytes, bool is_binary);
void queue_put_bytes(struct world *w, struct rp_list *queue, struct rp_bytes bytes, bool is_binary);
/* The next packet that has arrived; the caller frees it with packet_free. NULL: none. */
struct packet *queue_take(struct world *w, struct rp_list *queue);
void packet_free(struct packet *p);
void queue_clear(struct rp_list *queue);
/* Whatever is in it has arrived now. */
void queue_hurry(const struct world *w, struct rp_list *queue);

/* A WebSocket of a new session (sid is ""), or for an upgrade. */
struct conn *conn_open(struct world *w, struct client *client, unsigned gateway, const char *sid);
/* The client closes it in order: what it has sent still arrives. */
void conn_close(struct world *w, struct conn *c);
/* Cut: what is on the way is lost. The gateway hears of it soon, or (unnoticed) not at all. */
void conn_cut(struct world *w, struct conn *c, bool unnoticed);
void conn_run(struct world *w, struct conn *c);
/* The gateway's turn: takes its output. */
void conn_flush(struct world *w, struct conn *c);
void conn_free(struct conn *c);

/* Takes the body. */
struct call *call_start(struct world *w, struct client *client, unsigned gateway,
                        enum call_kind kind, const char *sid, struct rp_buf body);
void call_cut(struct world *w, struct call *c, bool unnoticed);
void call_run(struct world *w, struct call *c);
/* The gateway has answered it. */
void call_answered(struct world *w, struct call *c);
/* The gateway is about to die. */
void call_gateway_dies(struct world *w, struct call *c);
void call_free(struct call *c);

/* ---- stock_engine.c ---- */

void engine_init(struct engine *e);
void engine_done(struct engine *e);
/* Begins a session. */
void engine_open(struct world *w, struct client *client);
/* Queues a message: a Socket.IO packet with Engine.IO's type, or an attachment. Takes the bytes. */
void engine_send(struct world *w, struct client *client, struct rp_buf bytes, bool is_binary);
/* Closes it in order, when all is written. */
void engine_leave(struct world *w, struct client *client);
void engine_run(struct world *w, struct client *client);
/* What the network has for it. status 0: the request failed. */
void engine_answered(struct world *w, struct client *client, struct call *call, int status,
                     struct rp_bytes body);
void engine_conn_opened(struct world *w, struct client *client, struct conn *conn);
void engine_conn_message(struct world *w, struct client *client, struct conn *conn, bool is_binary,
                         struct rp_bytes data);
void engine_conn_closed(struct world *w, struct client *client, struct conn *conn);

/* ---- client.c ---- */

void client_init(struct world *w, unsigned index);
/* Notes an emit with ack, returns its id. False: too many are pending. */
bool client_ask(const struct world *w, struct stock *s, struct ask ask, uint64_t *ret_id);
/* Notes when it heard what it has heard since the last time. */
void client_note(struct world *w, struct client *client);
/* Asks for the members and the history of all rooms that have no workers. */
void client_ask_all(struct world *w, struct client *client);
/* A line of what it does. */
void client_trace(const struct world *w, const struct client *client, const struct stock *s,
                  const char *what, uint64_t id, const char *json);

/* The beginning of an event's packet: type, attachments, namespace, ack id (UINT64_MAX: none). */
void client_begin_event(struct rp_buf *out, const struct stock *s, size_t attachments, uint64_t id);
void client_send_connect(struct world *w, struct client *client, struct stock *s);
/* Appends a payload and the placeholders of its attachments. */
void client_put_payload(struct rp_buf *out, uint64_t payload, size_t attachments);
void client_run(struct world *w, struct client *client);
/* The session is open: its sockets connect. */
void client_opened(struct world *w, struct client *client);
/* The transport is gone. */
void client_closed(struct world *w, struct client *client);
