/* tests/bench/crowd.h — many Socket.IO clients in one thread: connections, handshakes, packets.
 *
 * They speak WebSocket, Engine.IO 4 and Socket.IO 5 as the stock client does; to recover is up to
 * the job. What happens is pulled: send, wait, then take events until there are none. A client's
 * socket is read once per wait. */
#pragma once

#include "common/bytes.h"
#include "common/error.h"

#include <netinet/in.h>

enum { RP_CROWD_GATEWAYS_MAX = 16 };

struct rp_crowd;

struct rp_crowd_gateways {
    struct sockaddr_in addresses[RP_CROWD_GATEWAYS_MAX];
    size_t count;
    bool write_each; /* every packet is written at once and alone, as independent clients would;
                        else what is sent to one client between two waits goes in one write */
};

/* Adds those of a list "127.0.0.1:3000,127.0.0.1:3002" of numbers. RP_E_INVALID, RP_E_FULL. */
RP_MUST_USE enum rp_err rp_crowd_gateways_parse(struct rp_crowd_gateways *g, const char *list);

enum rp_crowd_what {
    RP_CROWD_READY,  /* connected to the namespace; payload: {"sid":…,"pid":…} */
    RP_CROWD_EVENT,  /* payload: ["name",…]; id, if it wants an ack, otherwise 0 */
    RP_CROWD_ACK,    /* id; payload: […] */
    RP_CROWD_CLOSED, /* payload: why, for people; nothing more comes of this client */
};

struct rp_crowd_event {
    enum rp_crowd_what what;
    size_t client;           /* numbered from 0 as they were opened */
    uint64_t at_ns;          /* when it was read */
    uint64_t id;             /* of an ACK; see EVENT */
    struct rp_bytes payload; /* borrowed until the next call on the crowd */
};

/* A crowd of at most clients_max. Raises the limit of open files as far as it can.
 *   RP_E_TOO_BIG  the limit does not allow so many
 *   RP_E_IO       errno says why */
RP_MUST_USE enum rp_err rp_crowd_new(const struct rp_crowd_gateways *gateways, size_t clients_max,
                                     struct rp_crowd **ret_crowd);
/* Cuts all connections (with a reset: no TIME_WAIT is left). NULL is fine; returns NULL. */
struct rp_crowd *rp_crowd_free(struct rp_crowd *crowd);

/* Begins to connect one more client, to the gateways in turn. RP_E_IO: errno says why. */
RP_MUST_USE enum rp_err rp_crowd_open(struct rp_crowd *crowd);

/* The same at one of the gateways. */
RP_MUST_USE enum rp_err rp_crowd_open_at(struct rp_crowd *crowd, size_t gateway);
/* Begins to connect a client that is closed once more. auth, as JSON, goes with its CONNECT. */
RP_MUST_USE enum rp_err rp_crowd_reopen(struct rp_crowd *crowd, size_t client, size_t gateway,
                                        struct rp_bytes auth);
/* Cuts a client's connection, with a reset. */
void rp_crowd_cut(struct rp_crowd *crowd, size_t client);

/* Sends or queues an event or an ack with its packet's head: 421["a"] is head "421" and json ["a"],
 * 431["b"] head "431". Nothing happens if the client is closed. */
void rp_crowd_send(struct rp_crowd *crowd, size_t client, struct rp_bytes head,
                   struct rp_bytes json);

/* Sends what is queued and waits until something can be read or the clock shows until_ns. */
void rp_crowd_wait(struct rp_crowd *crowd, uint64_t until_ns);
/* The next event; false if there is none before the next wait. */
bool rp_crowd_next(struct rp_crowd *crowd, struct rp_crowd_event *ret_event);

/* The monotonic clock in ns. */
uint64_t rp_crowd_now_ns(void);
