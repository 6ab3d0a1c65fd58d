/* broker/retention.h — how much of the log is kept: of the whole, and, by rules, of single rooms.
 *
 * Limits of the whole log cut off its beginning. A rule bounds each room that it matches by itself;
 * of several that match, the first counts. An event that no limit keeps is removed, and every room
 * it was in remembers the newest seq it has lost (its *border*), so that nobody takes what is left
 * for everything. An event with several rooms goes when the last of them has lost it.
 *
 * Rules are text: `NSP ROOM LIMIT…`, separated by semicolons or newlines; `#` begins a comment that
 * ends with the line. NSP and ROOM are lists as in common/pattern.h; a limit is age=7d,
 * events=1000 or bytes=10M (what rp_record_weight says of each). `* * age=7d` bounds all rooms. A rule
 * without a limit keeps its rooms whatever the rules behind it say.
 *
 * Immutable once made, so threads may share it. */
#pragma once

#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>

/* UINT64_MAX: no limit. */
struct rp_retention_limits {
    uint64_t age_ms; /* older events go */
    uint64_t events; /* the newest so many stay */
    uint64_t bytes;  /* the newest stay that take so much together; the very newest does always */
};

#define RP_RETENTION_UNLIMITED                                                                     \
    ((struct rp_retention_limits){.age_ms = UINT64_MAX, .events = UINT64_MAX, .bytes = UINT64_MAX})

struct rp_retention_rule {
    struct rp_retention_limits limits;
    size_t index;     /* its place in the list */
    const char *text; /* as it was written, with single spaces; ends with a NUL */
    struct rp_patterns *nsps, *rooms;
};

struct rp_retention;

/* What rp_retention_new takes as rules, for messages. */
#define RP_RETENTION_EXPECTED                                                                      \
    "rules \"NAMESPACES ROOMS [age=7d] [events=1000] [bytes=10M]\", at most 64, separated by ; "   \
    "or "                                                                                          \
    "newlines, where NAMESPACES and ROOMS are names or patterns with *, separated by commas"

/* whole.events counts records of every kind, whole.bytes what the log takes on its disk. rules may
 * be NULL or empty: none. RP_E_INVALID: a rule is malformed, or a limit 0; RP_E_TOO_BIG: more than
 * RP_RETENTION_RULES_MAX, or a longer text than RP_RETENTION_TEXT_BYTES_MAX. */
RP_MUST_USE enum rp_err rp_retention_new(const struct rp_retention_limits *whole, const char *rules,
                                         struct rp_retention **ret_retention);
struct rp_retention *rp_retention_free(struct rp_retention *r); /* NULL is fine; returns NULL */
/* For struct rp_option's check: NULL, or what was expected. */
const char *rp_retention_check(const char *rules);

/* NULL keeps everything, here and below. */
struct rp_retention_limits rp_retention_whole(const struct rp_retention *r);
size_t rp_retention_rules(const struct rp_retention *r);
const struct rp_retention_rule *rp_retention_rule_at(const struct rp_retention *r, size_t index);
/* The first rule that matches the room; NULL: none does. */
const struct rp_retention_rule *rp_retention_rule_of(const struct rp_retention *r,
                                                     struct rp_bytes nsp, struct rp_bytes room);
/* Whether anything is ever removed. */
bool rp_retention_limits_anything(const struct rp_retention *r);
