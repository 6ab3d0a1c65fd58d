/* common/log.h — what a process tells the people who run it: one line per fact, on standard error.
 *
 *     rp_log_warn("gateway lost peer=%s bytes=%zu", name, bytes);
 *     2026-11-21T12:00:00.123Z level=warn msg="gateway lost" peer="a b" bytes=12
 *
 * One format, checked by the compiler: first the message, then `key=%…` fields with a space between
 * them. A value is a whole conversion: %s, %.*s (RP_BYTES_FMT), or a number: %d %u, each with l, ll
 * or z (so also PRIu64). Values are quoted and escaped when they need it, so that nothing a peer
 * sends can forge a line. The message itself takes no conversions.
 *
 * Cores and codecs do not log; they return. The shell logs once, with who, what and the way out. */
#pragma once

#include "common/bytes.h"

enum rp_log_level { RP_LOG_ERROR, RP_LOG_WARN, RP_LOG_INFO, RP_LOG_DEBUG };

/* For the option --log-level: names in the order of the enum, NULL at the end. */
extern const char *const rp_log_levels[];

/* Lines above the level are not written. The start is RP_LOG_INFO. Before threads are made. */
void rp_log_set_level(enum rp_log_level level);
bool rp_log_enabled(enum rp_log_level level);

/* Any thread. A line longer than 2,048 bytes is cut. */
void rp_log(enum rp_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define rp_log_error(...) rp_log(RP_LOG_ERROR, __VA_ARGS__)
#define rp_log_warn(...) rp_log(RP_LOG_WARN, __VA_ARGS__)
#define rp_log_info(...) rp_log(RP_LOG_INFO, __VA_ARGS__)
#define rp_log_debug(...) rp_log(RP_LOG_DEBUG, __VA_ARGS__)

/* For lines that peers can cause as often as they like: at most one per second and peer, and at
 * most RP_LOG_LIMIT_PEERS per second in all. Zeroed is ready; one per kind of line. */
enum { RP_LOG_LIMIT_PEERS = 32, RP_LOG_LIMIT_MS = 1000 };

struct rp_log_limit {
    struct {
        uint64_t peer;
        uint64_t until_ms;
        uint64_t suppressed; /* lines not written since the last one */
    } slots[RP_LOG_LIMIT_PEERS];
};

/* Whether the line may be written now; ret_suppressed is how many of this peer were not since its
 * last one (as far as is remembered). */
bool rp_log_limit_pass(struct rp_log_limit *limit, uint64_t peer, uint64_t now_ms,
                       uint64_t *ret_suppressed);
