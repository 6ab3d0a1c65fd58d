/* gateway/report.h — what a gateway tells about itself on its admin port: metrics and health. */
#pragma once

#include "common/admin.h"
#include "gateway/serve.h"

struct rp_report {
    const struct rp_serve *serve;
};

/* The source for rp_admin_new; borrows the report. Healthy means: linked to the broker and not
 * stopping, so that a client who connects now is served now. */
struct rp_admin_source rp_report_source(struct rp_report *report);
