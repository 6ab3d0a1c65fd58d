/* common/pattern.h — a list of names and patterns that an option's text gives:
 * "/,/admin,/tenant-*", or the origins of some hosts. Made once at start, asked for every
 * connection.
 *
 * Entries are separated by commas; white space around them does not belong to them. '*' stands for
 * any run of bytes, also none; every other byte for itself. There is no escape: a name with a comma
 * or an asterisk cannot be listed alone. */
#pragma once

#include "common/bytes.h"
#include "common/error.h"

struct rp_patterns;

enum rp_patterns_case {
    RP_PATTERNS_EXACT,
    RP_PATTERNS_ANY_CASE, /* ASCII letters are the same in both cases: origins, host names */
};

/* What rp_patterns_parse takes, for messages. */
#define RP_PATTERNS_EXPECTED                                                                       \
    "a list separated by commas, of at most 64 names of up to 255 bytes, where * is any text"

/* Gives the list of a text, a copy of it. RP_E_INVALID: an empty entry (so also an empty text);
 * RP_E_TOO_BIG: more than RP_PATTERNS_MAX entries or one longer than RP_PATTERN_BYTES_MAX. */
RP_MUST_USE enum rp_err rp_patterns_parse(const char *text, enum rp_patterns_case letters,
                                          struct rp_patterns **ret_patterns);
struct rp_patterns *rp_patterns_free(struct rp_patterns *p); /* NULL is fine; returns NULL */

/* For struct rp_option's check: NULL, or what was expected. */
const char *rp_patterns_check(const char *text);

/* Whether some entry is the whole name. A list that is NULL has no entries. Takes time in
 * proportion to name and list; only patterns whose text repeats itself ("*aaaaab") can make it
 * their product. */
bool rp_patterns_match(const struct rp_patterns *p, struct rp_bytes name);
