/* tests/sim/world.h — the whole system in one process: a broker, gateways, clients, the network
 * between them, the time, and every fault, all driven by one seeded generator. The cores are the
 * real ones; sockets, threads and the disk are not. */
#pragma once

#include "broker/core.h"
#include "broker/engine_memory.h"
#include "common/list.h"
#include "common/rng.h"
#include "gateway/gateway.h"
#include "tests/sim/stock.h"

enum { GATEWAYS = 3, CLIENTS = 8, ROOMS = 5 };

/* The kinds of fault; a schedule uses some of them. */
enum fault {
    FAULT_CUT = 1,     /* a client's connection, or a link, is reset or goes silent */
    FAULT_KILL = 2,    /* a gateway is killed */
    FAULT_RESTART = 4, /* the broker is killed and started on the same store */
    FAULT_TAKEOVER =
        8, /* a client comes back while the server still believes in its old connection */
    FAULT_STALL = 16,   /* a client stops reading for a while */
    FAULT_TRIM = 32,    /* retention removes old events */
    FAULT_REFUSE = 64,  /* the disk is full for a moment */
    FAULT_FORGET = 128, /* left rooms are remembered for a short while only */
    FAULT_ALL = 255,
    FAULT_UNRECOVERED =
        FAULT_TRIM | FAULT_FORGET, /* those after which a session may not be recoverable */
};

/* One TCP connection of a client; it can outlive the client's belief in it. */
struct conn {
    struct rp_list node; /* in world->conns */
    unsigned client, gateway;
    struct rp_client *handle; /* NULL: the gateway's side is gone */
    bool client_open;         /* the client believes in it */
    bool silent;              /* nothing gets through to the client any more */
    bool up_late;             /* but what it had sent still arrives, some time */
    uint64_t stalled_until_ms;
    uint64_t gateway_notices_ms; /* when the gateway hears of the cut; 0: nothing to hear */
    struct rp_list up, down;     /* struct packet */
};

struct gateway {
    struct rp_gateway *core; /* NULL: dead */
    uint64_t link_id;        /* 0: no link */
    bool link_silent;
    struct rp_list to_broker, to_gateway; /* struct packet */
    uint64_t restart_at_ms;
};

struct client {
    struct stock stock;
    struct conn *conn; /* the one it believes in; NULL: none */
    uint64_t reconnect_at_ms;
    uint64_t farewells; /* how often it left for good, and came back as somebody new */
    uint64_t actions;
};

struct world {
    struct rp_rng rng;
    unsigned faults; /* bits of enum fault that may happen now */
    uint64_t now_ms;
    struct rp_memory_store *store;
    struct rp_engine *engine;
    struct rp_core *core; /* NULL: dead */
    uint64_t broker_restart_at_ms, disk_busy_until_ms;
    struct gateway gateways[GATEWAYS];
    struct client clients[CLIENTS];
    struct rp_list conns;
    uint64_t next_link_id, next_payload, next_publish_id;
    struct rp_record **log; /* every record ever committed: the oracle's own copy */
    size_t log_count, log_capacity;
    bool acting; /* clients do things */
    uint64_t faults_done;
};

void world_init(struct world *w, uint64_t seed, unsigned faults);
void world_done(struct world *w);
/* Lets a few milliseconds pass. */
void world_step(struct world *w);

/* ---- oracle.c ---- */
/* Checks everything the clients saw against the log; the world has come to rest. NULL: all is well,
 * or what is wrong. */
const char *oracle_check(const struct world *w);
