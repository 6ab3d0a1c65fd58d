/* gateway/listen.h — the listening socket: accepts in bounded bursts and hands the connections to
 * conn.h. When the process has no file descriptors left, accepting pauses for a moment rather than
 * spinning, and says so. */
#pragma once

#include "common/address.h"
#include "common/limits.h"
#include "gateway/conn.h"

struct rp_listen;

/* Listens, without accepting yet. RP_E_IO: ret_why says why. Caller frees. */
RP_MUST_USE enum rp_err rp_listen_new(const struct rp_address *address, char *ret_why,
                                      size_t why_size, struct rp_listen **ret_listen);
/* Accepts from now on. Borrows base and conns. Once. */
void rp_listen_start(struct rp_listen *l, struct event_base *base, struct rp_conns *conns);
struct rp_listen *rp_listen_free(struct rp_listen *l); /* NULL is fine; returns NULL */

/* Where it really listens, as HOST:PORT. */
const char *rp_listen_address(const struct rp_listen *l);
/* Connections that could not be accepted for want of file descriptors or memory. */
uint64_t rp_listen_pauses(const struct rp_listen *l);
