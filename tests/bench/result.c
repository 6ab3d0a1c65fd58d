#include "tests/bench/result.h"

#include "common/assert.h"

#include <math.h>
#include <stdarg.h>

void rp_result_put(struct rp_result *r, double value, const char *name_format, ...) {
    RP_ASSERT(r->figures_count < RP_RESULT_FIGURES_MAX);
    struct rp_figure *f = &r->figures[r->figures_count++];
    va_list args;
    va_start(args, name_format);
    int n = vsnprintf(f->name, sizeof f->name, name_format, args);
    va_end(args);
    RP_ASSERT(n > 0 && (size_t) n < sizeof f->name);
    f->value = value;
}

void rp_result_put_times(struct rp_result *r, const char *what, const struct rp_histogram *times) {
    static const struct {
        const char *name;
        double share;
    } shares[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        rp_result_put(r, (double) rp_histogram_quantile(times, shares[i].share) / 1e3, "%s_us_%s",
                      what, shares[i].name);
    }
    rp_result_put(r, (double) times->max / 1e3, "%s_us_max", what);
}

void rp_result_fail(struct rp_result *r, const char *format, ...) {
    if (rp_result_is_fine(r)) {
        va_list args;
        va_start(args, format);
        vsnprintf(r->failure, sizeof r->failure, format, args);
        va_end(args);
    }
}

bool rp_result_is_fine(const struct rp_result *r) {
    return r->failure[0] == '\0';
}

/* Digits enough to compare by. */
static int decimals(double value) {
    double size = fabs(value);
    return size >= 100 || size == 0 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
}

void rp_result_print_text(const struct rp_result *r, FILE *out) {
    fprintf(out, "%s (%s):", r->job, r->settings);
    for (size_t i = 0; i < r->figures_count; i++) {
        const struct rp_figure *f = &r->figures[i];
        fprintf(out, " %s=%.*f", f->name, decimals(f->value), f->value);
    }
    fprintf(out, "%s%s\n", rp_result_is_fine(r) ? "" : " FAILED: ", r->failure);
}

void rp_result_print_string(const char *text, FILE *out) {
    putc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char) *text;
        if (c == '"' || c == '\\') {
            fprintf(out, "\\%c", c);
        } else if (c < 0x20) {
            fprintf(out, "\\u%04x", c);
        } else {
            putc(c, out);
        }
    }
    putc('"', out);
}

void rp_result_print_json(const struct rp_result *r, FILE *out) {
    fputs("{\"job\":", out);
    rp_result_print_string(r->job, out);
    fputs(",\"settings\":", out);
    rp_result_print_string(r->settings, out);
    fputs(",\"failure\":", out);
    if (rp_result_is_fine(r)) {
        fputs("null", out);
    } else {
        rp_result_print_string(r->failure, out);
    }
    fputs(",\"figures\":{", out);
    for (size_t i = 0; i < r->figures_count; i++) {
        fputs(i > 0 ? "," : "", out);
        rp_result_print_string(r->figures[i].name, out);
        fprintf(out, ":%.4f", r->figures[i].value);
    }
    fputs("}}", out);
}
