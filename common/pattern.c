#include "common/pattern.h"

#include "common/alloc.h"
#include "common/limits.h"

#include <stdlib.h>

_Static_assert(RP_PATTERNS_MAX == 64 && RP_PATTERN_BYTES_MAX == 255, "RP_PATTERNS_EXPECTED");

struct rp_patterns {
    bool any_case;
    size_t count;
    struct rp_bytes entries[RP_PATTERNS_MAX]; /* of text */
    char text[];                              /* in lower case if any_case */
};

static uint8_t lower(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? (uint8_t) (c + ('a' - 'A')) : c;
}

/* ---- reading ---- */

static enum rp_err add(struct rp_patterns *p, struct rp_bytes entry) {
    if (entry.len == 0) {
        return RP_E_INVALID;
    }
    if (p->count == RP_PATTERNS_MAX || entry.len > RP_PATTERN_BYTES_MAX) {
        return RP_E_TOO_BIG;
    }
    p->entries[p->count++] = entry;
    return RP_OK;
}

static enum rp_err add_all(struct rp_patterns *p) {
    const char *at = p->text;
    for (;;) {
        size_t len = strcspn(at, ",");
        enum rp_err err = add(p, rp_bytes_trim(rp_bytes(at, len)));
        if (err != RP_OK || at[len] == '\0') {
            return err;
        }
        at += len + 1;
    }
}

enum rp_err rp_patterns_parse(const char *text, enum rp_patterns_case letters,
                              struct rp_patterns **ret_patterns) {
    size_t size = strlen(text) + 1;
    struct rp_patterns *p = rp_alloc(sizeof *p + size);
    p->any_case = letters == RP_PATTERNS_ANY_CASE;
    for (size_t i = 0; i < size; i++) {
        p->text[i] = p->any_case ? (char) lower((uint8_t) text[i]) : text[i];
    }
    enum rp_err err = add_all(p);
    if (err != RP_OK) {
        rp_patterns_free(p);
        return err;
    }
    *ret_patterns = p;
    return RP_OK;
}

struct rp_patterns *rp_patterns_free(struct rp_patterns *p) {
    free(p);
    return NULL;
}

const char *rp_patterns_check(const char *text) {
    struct rp_patterns *p;
    if (rp_patterns_parse(text, RP_PATTERNS_EXACT, &p) != RP_OK) {
        return RP_PATTERNS_EXPECTED;
    }
    rp_patterns_free(p);
    return NULL;
}

/* ---- matching ---- */

/* Two positions and a way back: where the text does not go on as the pattern does, the last
 * asterisk takes one byte more. Earlier asterisks never have to be looked at again: if the rest
 * matches anywhere, it does after the leftmost place of what stands before the last asterisk. */
static bool matches(struct rp_bytes pattern, struct rp_bytes name, bool any_case) {
    size_t p = 0, n = 0, after_star = SIZE_MAX, star_end = 0;
    while (n < name.len) {
        uint8_t c = any_case ? lower(name.data[n]) : name.data[n];
        if (p < pattern.len && pattern.data[p] == '*') {
            after_star = ++p;
            star_end = n;
        } else if (p < pattern.len && pattern.data[p] == c) {
            p++;
            n++;
        } else if (after_star != SIZE_MAX) {
            p = after_star;
            n = ++star_end;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.data[p] == '*') {
        p++;
    }
    return p == pattern.len;
}

bool rp_patterns_match(const struct rp_patterns *p, struct rp_bytes name) {
    for (size_t i = 0; p != NULL && i < p->count; i++) {
        if (matches(p->entries[i], name, p->any_case)) {
            return true;
        }
    }
    return false;
}
