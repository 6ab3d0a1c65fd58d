/* common/metric.h — tables of numbers as Prometheus text (exposition format 0.0.4). */
#pragma once

#include "common/buf.h"

#define RP_METRIC_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum rp_metric_kind { RP_METRIC_COUNTER, RP_METRIC_GAUGE };

struct rp_metric {
    const char *name; /* "reprise_broker_publishes_total"; counters end in _total */
    const char *help; /* one sentence */
    enum rp_metric_kind kind;
    const char *labels; /* NULL, or as it goes between the braces: transport="websocket" */
    uint64_t value;
};

/* Appends the metrics in their order; rows of one name stand together and share their HELP and
 * TYPE. RP_E_FULL: the buffer's bound; the text ends somewhere. */
RP_MUST_USE enum rp_err rp_metric_put(struct rp_buf *out, const struct rp_metric *metrics,
                                      size_t count);
/* Appends what every program tells: reprise_build_info and the usual process_… series (CPU, memory,
 * open files). */
RP_MUST_USE enum rp_err rp_metric_put_process(struct rp_buf *out, const char *program);
