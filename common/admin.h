/* common/admin.h — the little HTTP server of --admin, for machines that watch: GET /metrics
 * (Prometheus text) and GET /health (JSON; 200 when ready, 503 when not). It runs in the program's
 * own loop, so that an answer also says that the loop turns. Not reachable from outside by default,
 * and without secrets. */
#pragma once

#include "common/address.h"
#include "common/buf.h"

#include <event2/event.h>

struct rp_admin;

/* What the program contributes. Called from the loop. */
struct rp_admin_source {
    void *ctx;
    /* Appends the program's metrics (common/metric.h); process_… follow by themselves. */
    enum rp_err (*metrics)(void *ctx, struct rp_buf *out);
    /* Appends members of the health object, each beginning with a comma: `,"head":12`. Returns
     * whether the program serves. */
    bool (*health)(void *ctx, struct rp_buf *out);
};

/* Listens. program is "reprise-broker"; source is copied. RP_E_IO: ret_why says what went wrong. */
RP_MUST_USE enum rp_err rp_admin_new(struct event_base *base, const struct rp_address *address,
                                     const char *program, const struct rp_admin_source *source,
                                     char *ret_why, size_t why_size, struct rp_admin **ret_admin);
struct rp_admin *rp_admin_free(struct rp_admin *admin); /* NULL is fine; returns NULL */

/* Where it listens, as HOST:PORT. */
const char *rp_admin_address(const struct rp_admin *admin);
