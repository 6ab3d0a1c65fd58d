/* tests/sim/apps.h — app workers in the simulation: the processes, and what the oracle is told of
 * everything that was asked and done in app namespaces.
 *
 *     worker.c        the processes: the real core of libreprise, links, faults
 *     handler.c       what their handlers do
 *     client_app.c    what clients do in app namespaces
 *     oracle_app.c    what is right */
#pragma once

#include "proto/op.h"
#include "sdk/worker.h"
#include "tests/sim/stock.h"

enum { WORKERS = 3, EMIT_ROOMS = 2 };

/* One end of a process's link to the broker. */
struct link {
    uint64_t id;                                   /* 0: there is none */
    bool silent;                                   /* cut: nothing gets through it any more */
    bool closed;                                   /* the broker's process is gone: what it had sent
                                                      still comes, and then the end */
    bool told;                                     /* the last of that is its goodbye */
    uint64_t up_held_until_ms, down_held_until_ms; /* nothing gets through to (from) the broker, but
                                                      it will, if the link lives on */
    struct rp_list to_broker, from_broker;         /* struct packet */
};

/* A task whose answer comes later. */
struct deferred {
    struct rp_worker_task *task;
    uint64_t due_ms;
    size_t handling; /* its number; 0: it is no event */
};

struct app_worker {
    struct rp_worker *core; /* NULL: dead */
    struct link link;
    unsigned birth; /* which process this is, of all there were; index into births */
    uint64_t restart_at_ms;
    uint64_t hung_until_ms;     /* it does nothing */
    uint64_t isolated_until_ms; /* it gets no new link */
    bool leaving;               /* as soon as nothing is under way */
    uint64_t bye_ms;            /* when it said goodbye; 0: not yet */
    bool stale;                 /* it slept so long that others may have its sockets */
    struct deferred *deferred;
    size_t deferred_count, deferred_capacity;
};

/* One worker process. */
struct birth {
    bool alive;
    unsigned troubles; /* how often others may have had reason to take its tasks */
    uint64_t resets;   /* of its core */
};

/* What a client emitted in an app namespace. Its payload is index * NAMESPACES + nsp. */
struct client_event {
    unsigned client, nsp, connection;
    bool wants_ack;
    size_t life;
    unsigned handled;  /* how often */
    uint64_t acked_ms; /* when its client had the answer; 0: not yet */
};

/* A handler was called with an event. */
struct handling {
    uint64_t event, session, at_ms;
    unsigned birth, troubles;
    uint64_t resets; /* of its worker, by then */
    bool again, stale, finished;
};

enum emit_state { EMIT_ASKED, EMIT_STORED, EMIT_FAILED };

/* What a worker emitted. Its payload is given, and rising. */
struct emit {
    uint64_t payload;
    unsigned nsp, birth;
    enum emit_state state;
    bool is_volatile, wants_ack, ended;
    uint64_t session; /* the one that is to ack; 0: several */
    uint64_t seq, expected;
    struct heard *heard; /* acks */
    size_t heard_count, heard_capacity;
    char room[28], rooms[EMIT_ROOMS][28], except[EMIT_ROOMS][28]; /* "" behind the last */
};

/* An ack that a worker was told of. */
struct heard {
    char sid[28];
    uint64_t at_ms;
};

/* What happened in app namespaces, for the oracle. */
struct apps {
    struct app_worker workers[WORKERS];
    struct birth *births;
    size_t births_count, births_capacity;
    struct client_event *events;
    size_t events_count, events_capacity;
    struct handling *handlings; /* their numbers begin with 1 */
    size_t handlings_count, handlings_capacity;
    struct emit *emits;
    size_t emits_count, emits_capacity;
    struct heard *expired; /* sessions */
    size_t expired_count, expired_capacity;
    const char *problem; /* what a worker should never see; NULL: nothing */
};

struct world;
struct client;

/* ---- worker.c ---- */

void workers_init(struct world *w, unsigned count);
void workers_run(struct world *w);
void workers_done(struct world *w);
/* The broker is dead: their links are. */
void workers_broker_died(struct world *w);
/* The same, but it has said goodbye, which is on its way. */
void workers_broker_parted(struct world *w);
/* One of the faults that only workers have. */
void worker_fault(struct world *w);
/* One says goodbye. */
void worker_leave(struct world *w);
void workers_count(struct world *w);

/* ---- handler.c ---- */

/* Something happened to a worker. */
void handler_run(struct world *w, struct app_worker *worker, const struct rp_worker_happening *h);
/* The answers whose time has come. */
void handler_answer_due(struct world *w, struct app_worker *worker);

/* ---- client_app.c ---- */

/* Everything that a client does in an app namespace by itself: comes back, answers late. */
void client_app_run(struct world *w, struct client *client, struct stock *s);
/* Emits an event. */
void client_app_act(struct world *w, struct client *client, struct stock *s);
