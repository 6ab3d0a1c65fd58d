/* tests/bench/result.h — what a job found: figures with names that end in their unit, for people
 * and as JSON. */
#pragma once

#include "tests/bench/histogram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { RP_RESULT_FIGURES_MAX = 64, RP_RESULT_NAME_SIZE = 64, RP_RESULT_TEXT_SIZE = 256 };

struct rp_figure {
    char name[RP_RESULT_NAME_SIZE]; /* "cpu_us_per_delivery", and "…/broker" for one process */
    double value;
};

/* A zeroed one with the job's name is empty. */
struct rp_result {
    const char *job;
    char settings[RP_RESULT_TEXT_SIZE]; /* for people: "1 room of 1000, 16 under way" */
    char failure[RP_RESULT_TEXT_SIZE];  /* empty: it went well */
    struct rp_figure figures[RP_RESULT_FIGURES_MAX];
    size_t figures_count;
};

void rp_result_put(struct rp_result *r, double value, const char *name_format, ...)
    __attribute__((format(printf, 3, 4)));
/* p50, p90, p99, p99.9 and the maximum in µs, of ns: "latency_us_p50", … */
void rp_result_put_times(struct rp_result *r, const char *what, const struct rp_histogram *times);
/* Says what went wrong; the first time counts. */
void rp_result_fail(struct rp_result *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool rp_result_is_fine(const struct rp_result *r);

/* One line: the job, then its figures. */
void rp_result_print_text(const struct rp_result *r, FILE *out);
/* One object, in one line. */
void rp_result_print_json(const struct rp_result *r, FILE *out);
/* A JSON string, with its quotes. */
void rp_result_print_string(const char *text, FILE *out);
