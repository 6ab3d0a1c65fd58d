/* broker/hub.h — the broker's ZeroMQ socket: many links, one ROUTER. Moves messages between the
 * links and the core; the loop around it is broker/main.c's.
 *
 * Each connection has a routing id that libzmq made (5 bytes, the first 0); as a number it is the
 * core's link id, and it is never used again while the socket lives. ZMQ_FD is edge-triggered, and
 * sending consumes its edges as well: whoever waits for it must ask rp_hub_is_readable after the
 * last send, and not sleep if it says yes.
 *
 * With keys every link is encrypted and known: zap.h lets in whose key is in the list, and each
 * message of the link comes with the text of the entry that let it in. That entry says what the
 * link may be; if it is not in the list any more, as it is now, the link is given up. */
#pragma once

#include "broker/allow.h"
#include "broker/core.h"

struct rp_hub;

struct rp_hub_stats {
    uint64_t messages_received, bytes_received;
    uint64_t messages_sent, bytes_sent;
    uint64_t messages_malformed;  /* not one payload of a link; for the core, see its own stats */
    uint64_t messages_unroutable; /* their link was gone */
    uint64_t keys_refused;        /* new links whose key was not in the list */
    uint64_t handshakes_failed;   /* new connections that ended before they were a link, for any
                                     other reason: no or another key of ours, no ZeroMQ at all */
    uint64_t messages_revoked;    /* of links whose key has left the list */
};

struct rp_hub_config {
    const char *endpoint;             /* tcp://HOST:PORT (port 0: any free one) or ipc://PATH */
    const struct rp_curve_keys *keys; /* the broker's; NULL: links are plain. Borrowed for the call
                                       */
    struct rp_allow *allow;           /* with keys: taken, also on failure */
};

/* What rp_hub_new listens on, for struct rp_option's check: NULL or what was expected. */
const char *rp_hub_check_endpoint(const char *endpoint);

/* Binds. RP_E_IO: ret_why says what went wrong ("Address already in use"). */
RP_MUST_USE enum rp_err rp_hub_new(const struct rp_hub_config *config, char *ret_why,
                                   size_t why_size, struct rp_hub **ret_hub);
/* Closes the socket; what is not sent yet gets linger_ms to leave. NULL is fine; returns NULL. */
struct rp_hub *rp_hub_free(struct rp_hub *hub, int linger_ms);

/* From now on this is the list; takes it. Only for a hub with keys. */
void rp_hub_set_allow(struct rp_hub *hub, struct rp_allow *allow);

/* Decides about new connections, and logs those that failed. True: more wait. To be called in every
 * turn, whether or not the core wants input. */
RP_MUST_USE bool rp_hub_admit(struct rp_hub *hub, struct rp_now now);
/* Gives up to 256 messages (or 4 MiB) to the core, while it wants input. */
void rp_hub_receive(struct rp_hub *hub, struct rp_core *core, struct rp_now now);
/* Sends everything the core has to send. A link that is gone is reported to the core. */
void rp_hub_send(struct rp_hub *hub, struct rp_core *core, struct rp_now now);
/* Whether messages wait. */
bool rp_hub_is_readable(struct rp_hub *hub);
/* For the end, when all have been told to go: drops what came, so that nothing unread makes the
 * system reset a connection, and with it what is on the way to the other end. To be called every
 * few ms, until it returns 0: that all connections that there were at first are gone. New
 * ones are left unanswered and end with the socket: zmq_unbind would end all of them. */
size_t rp_hub_part(struct rp_hub *hub, struct rp_now now);

/* The descriptors that tell of messages and of new connections; returns how many. */
enum { RP_HUB_FDS_MAX = 3 };
size_t rp_hub_fds(const struct rp_hub *hub, int ret_fds[RP_HUB_FDS_MAX]);
/* Where it really listens (the port, if 0 was asked for). */
const char *rp_hub_endpoint(const struct rp_hub *hub);
const struct rp_hub_stats *rp_hub_stats(const struct rp_hub *hub);
