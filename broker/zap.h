/* broker/zap.h — answers ZeroMQ's question whether the owner of a key may connect (ZAP, ZeroMQ RFC
 * 27): yes, if the key is in the list of --allow.
 *
 * A REP socket at inproc://zeromq.zap.01 of the hub's context. libzmq asks it in the middle of each
 * CURVE handshake, after the client has proved that the key is its own, and closes the connection
 * unless the answer is 200. The answer's User-Id is the entry's text (allow.h); it comes with each
 * message of the link. */
#pragma once

#include "broker/allow.h"

struct rp_zap;

/* Must be there before the context's CURVE server is bound, and freed before the context. RP_E_IO:
 * ret_why says what went wrong. */
RP_MUST_USE enum rp_err rp_zap_new(void *context, char *ret_why, size_t why_size,
                                   struct rp_zap **ret_zap);
struct rp_zap *rp_zap_free(struct rp_zap *zap); /* NULL is fine; returns NULL */

/* Answers what was asked, and logs whom it refuses. True: more may wait; otherwise the descriptor
 * tells of the next. */
RP_MUST_USE bool rp_zap_serve(struct rp_zap *zap, const struct rp_allow *allow, uint64_t now_ms);
int rp_zap_fd(const struct rp_zap *zap);
uint64_t rp_zap_refused_count(const struct rp_zap *zap);
