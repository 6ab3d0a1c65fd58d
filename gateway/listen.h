/* gateway/listen.h — the listening sockets: they accept in bounded bursts and hand the connections
 * to conn.h. When the process has no file descriptors left, accepting pauses for a moment rather
 * than spinning, and says so. */
#pragma once

#include "common/address.h"
#include "common/buf.h"
#include "common/limits.h"
#include "gateway/conn.h"

struct rp_listen;

/* Without a socket yet. Caller frees: then the files of Unix sockets are removed, too. */
struct rp_listen *rp_listen_new(void);
struct rp_listen *rp_listen_free(struct rp_listen *l); /* NULL is fine; returns NULL */

/* Listens at all of the addresses, without accepting yet; what comes in there is of this kind.
 * Before rp_listen_start; may be called again, for another kind. RP_E_IO: ret_why says where and
 * why; what was opened before it stays open. */
RP_MUST_USE enum rp_err rp_listen_add(struct rp_listen *l, const struct rp_addresses *addresses,
                                      struct rp_conn_kind kind, char *ret_why, size_t why_size);
/* Accepts from now on. Borrows base and conns. Once. */
void rp_listen_start(struct rp_listen *l, struct event_base *base, struct rp_conns *conns);

/* Where it really listens: HOST:PORT and unix:PATH, separated by commas, in the order they were
 * added. */
const char *rp_listen_address(const struct rp_listen *l);
/* The first of them: a name for the gateway. "" if there is none. */
const char *rp_listen_first(const struct rp_listen *l);
/* Connections that could not be accepted for want of file descriptors or memory. */
uint64_t rp_listen_pauses(const struct rp_listen *l);
