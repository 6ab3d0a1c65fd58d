/* broker/hub.h — the broker's ZeroMQ socket: many links, one ROUTER. Moves messages between the
 * links and the core; the loop around it is broker/main.c's.
 *
 * Each connection has a routing id that libzmq made (5 bytes, the first 0); as a number it is the
 * core's link id, and it is never used again while the socket lives. ZMQ_FD is edge-triggered, and
 * sending consumes its edges as well: whoever waits for it must ask rp_hub_is_readable after the
 * last send, and not sleep if it says yes. */
#pragma once

#include "broker/core.h"

struct rp_hub;

struct rp_hub_stats {
    uint64_t messages_received, bytes_received;
    uint64_t messages_sent, bytes_sent;
    uint64_t messages_malformed;  /* not one payload of a link; for the core, see its own stats */
    uint64_t messages_unroutable; /* their link was gone */
};

/* What rp_hub_new listens on, for struct rp_option's check: NULL or what was expected. */
const char *rp_hub_check_endpoint(const char *endpoint);

/* Binds. Endpoints are tcp://HOST:PORT (port 0: any free one) and ipc://PATH. RP_E_IO: ret_why says
 * what went wrong ("Address already in use"). */
RP_MUST_USE enum rp_err rp_hub_new(const char *endpoint, char *ret_why, size_t why_size,
                                   struct rp_hub **ret_hub);
/* Closes the socket; what is not sent yet gets linger_ms to leave. NULL is fine; returns NULL. */
struct rp_hub *rp_hub_free(struct rp_hub *hub, int linger_ms);

/* Gives up to 256 messages (or 4 MiB) to the core, while it wants input. */
void rp_hub_receive(struct rp_hub *hub, struct rp_core *core, struct rp_now now);
/* Sends everything the core has to send. A link that is gone is reported to the core. */
void rp_hub_send(struct rp_hub *hub, struct rp_core *core, struct rp_now now);
/* Whether messages wait. */
bool rp_hub_is_readable(struct rp_hub *hub);
/* No new links from now on. */
void rp_hub_stop_listening(struct rp_hub *hub);

int rp_hub_fd(const struct rp_hub *hub);
/* Where it really listens (the port, if 0 was asked for). */
const char *rp_hub_endpoint(const struct rp_hub *hub);
const struct rp_hub_stats *rp_hub_stats(const struct rp_hub *hub);
