#include "proto/json.h"

#include "proto/json_scan.h"
#include "proto/json_walk.h"

#include <endian.h>

/* Scanning; the conventions are json_scan.h's. */

#define EVERY_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

static bool is_special(uint8_t byte) {
    return byte < 0x20 || byte == '"' || byte == '\\';
}

/* Which of eight bytes are special: their top bits. In (x - 1) & ~x & 0x80 of each byte the lowest
 * hit is exact and only bytes above it may be wrong: the lowest is the first byte in memory. */
static uint64_t specials(uint64_t word) {
    uint64_t quote = word ^ EVERY_BYTE('"');
    uint64_t backslash = word ^ EVERY_BYTE('\\');
    uint64_t hits = ((word - EVERY_BYTE(0x20)) & ~word) | ((quote - EVERY_BYTE(1)) & ~quote) |
                    ((backslash - EVERY_BYTE(1)) & ~backslash);
    return hits & EVERY_BYTE(0x80);
}

const uint8_t *rp_json_skip_plain(const uint8_t *p, const uint8_t *end) {
    uint64_t word;
    while ((size_t) (end - p) >= sizeof word) {
        memcpy(&word, p, sizeof word);
        uint64_t hits = specials(le64toh(word));
        if (hits != 0) {
            return p + __builtin_ctzll(hits) / 8;
        }
        p += sizeof word;
    }
    while (p < end && !is_special(*p)) {
        p++;
    }
    return p;
}

static const uint8_t *scan_escape(const uint8_t *p, const uint8_t *end) {
    if (end - p < 2 || p[0] != '\\') {
        return NULL;
    }
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return p + 2;
    case 'u':
        if (end - p < 6) {
            return NULL;
        }
        for (size_t i = 2; i < 6; i++) {
            if (rp_json_hex_digit(p[i]) < 0) {
                return NULL;
            }
        }
        return p + 6;
    default:
        return NULL;
    }
}

const uint8_t *rp_json_scan_string(const uint8_t *p, const uint8_t *end) {
    if (p == end || *p != '"') {
        return NULL;
    }
    p++;
    for (;;) {
        p = rp_json_skip_plain(p, end);
        if (p == end) {
            return NULL;
        }
        if (*p == '"') {
            return p + 1;
        }
        p = scan_escape(p, end);
        if (p == NULL) {
            return NULL;
        }
    }
}

/* After a key and its colon. */
static const uint8_t *scan_key(const uint8_t *p, const uint8_t *end) {
    p = rp_json_scan_string(p, end);
    if (p == NULL) {
        return NULL;
    }
    p = rp_json_skip_space(p, end);
    return p < end && *p == ':' ? p + 1 : NULL;
}

/* A number or a word ends at something that cannot be part of one. */
static const uint8_t *scan_delimiter(const uint8_t *p, const uint8_t *end) {
    return p == end || *p == ',' || *p == ']' || *p == '}' || rp_json_skip_space(p, end) != p
               ? p
               : NULL;
}

static const uint8_t *scan_word(const uint8_t *p, const uint8_t *end, const char *word) {
    struct rp_bytes expected = rp_bytes_str(word);
    if (!rp_bytes_starts_with(rp_json_between(p, end), expected)) {
        return NULL;
    }
    return scan_delimiter(p + expected.len, end);
}

static const uint8_t *skip_digits(const uint8_t *p, const uint8_t *end) {
    while (p < end && *p >= '0' && *p <= '9') {
        p++;
    }
    return p;
}

static const uint8_t *scan_digits(const uint8_t *p, const uint8_t *end) {
    const uint8_t *after = skip_digits(p, end);
    return after > p ? after : NULL;
}

/* number = [ minus ] int [ frac ] [ exp ], RFC 8259 section 6 */
const uint8_t *rp_json_scan_number(const uint8_t *p, const uint8_t *end) {
    p += p < end && *p == '-';
    p = p < end && *p == '0' ? p + 1 : scan_digits(p, end);
    if (p != NULL && p < end && *p == '.') {
        p = scan_digits(p + 1, end);
    }
    if (p != NULL && p < end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        p = scan_digits(p, end);
    }
    return p != NULL ? scan_delimiter(p, end) : NULL;
}

const uint8_t *rp_json_scan_scalar(const uint8_t *p, const uint8_t *end) {
    switch (*p) {
    case '"':
        return rp_json_scan_string(p, end);
    case 'n':
        return scan_word(p, end, "null");
    case 't':
        return scan_word(p, end, "true");
    case 'f':
        return scan_word(p, end, "false");
    default:
        return rp_json_scan_number(p, end);
    }
}

/* Goes over what may follow a value or an empty array's opening, up to the place of the next value:
 * closing brackets, a comma, a key. With the last bracket closed the depth is 0 and the place is
 * after it. */
static const uint8_t *scan_after_value(const uint8_t *p, const uint8_t *end,
                                       struct rp_json_nesting *open) {
    while (open->depth > 0) {
        bool in_object = rp_json_nesting_in_object(open);
        p = rp_json_skip_space(p, end);
        if (p == end) {
            return NULL;
        }
        if (*p == ',') {
            p = rp_json_skip_space(p + 1, end);
            return in_object ? scan_key(p, end) : p;
        }
        if (*p != (in_object ? '}' : ']')) {
            return NULL;
        }
        p++;
        open->depth--;
    }
    return p;
}

/* Validates one value at *place, which moves after it. Each turn begins where a value must. */
static enum rp_err validate(const uint8_t **place, const uint8_t *end) {
    struct rp_json_nesting open = {.depth = 0};
    const uint8_t *p = *place;
    do {
        p = rp_json_skip_space(p, end);
        if (p == end) {
            return RP_E_INVALID;
        }
        if (*p == '[' || *p == '{') {
            bool is_object = *p == '{';
            if (!rp_json_nesting_push(&open, is_object)) {
                return RP_E_TOO_BIG;
            }
            p = rp_json_skip_space(p + 1, end);
            bool is_empty = p < end && *p == (is_object ? '}' : ']');
            p = is_object && !is_empty ? scan_key(p, end) : p;
            if (p != NULL && !is_empty) {
                continue;
            }
        } else {
            p = rp_json_scan_scalar(p, end);
        }
        p = p != NULL ? scan_after_value(p, end, &open) : NULL;
        if (p == NULL) {
            return RP_E_INVALID;
        }
    } while (open.depth > 0);
    *place = p;
    return RP_OK;
}

enum rp_err rp_json_next(struct rp_bytes *in, struct rp_bytes *ret_value) {
    const uint8_t *end = rp_json_end_of(*in);
    const uint8_t *start = rp_json_skip_space(in->data, end);
    const uint8_t *p = start;
    enum rp_err err = validate(&p, end);
    if (err != RP_OK) {
        return err;
    }
    *ret_value = rp_json_between(start, p);
    *in = rp_json_between(rp_json_skip_space(p, end), end);
    return RP_OK;
}

enum rp_err rp_json_whole(struct rp_bytes text, struct rp_bytes *ret_value) {
    struct rp_bytes value;
    enum rp_err err = rp_json_next(&text, &value);
    if (err != RP_OK) {
        return err;
    }
    if (text.len > 0) {
        return RP_E_INVALID;
    }
    *ret_value = value;
    return RP_OK;
}

enum rp_json_kind rp_json_kind(struct rp_bytes value) {
    if (value.len == 0) {
        return RP_JSON_NONE;
    }
    switch (value.data[0]) {
    case 'n':
        return RP_JSON_NULL;
    case 't':
    case 'f':
        return RP_JSON_BOOL;
    case '"':
        return RP_JSON_STRING;
    case '[':
        return RP_JSON_ARRAY;
    case '{':
        return RP_JSON_OBJECT;
    default:
        return RP_JSON_NUMBER;
    }
}

/* Iteration. The text is valid, so brackets match and only strings can hide one; on text that is
 * not, it ends early and never leaves the view. */

static struct rp_json_iter iter_inside(struct rp_bytes value, bool is_object) {
    struct rp_json_iter it = {.is_object = is_object};
    if (value.len < 2 || value.data[0] != (is_object ? '{' : '[')) {
        return it;
    }
    const uint8_t *end = value.data + value.len - 1;
    const uint8_t *start = rp_json_skip_space(value.data + 1, end);
    while (end > start && rp_json_skip_space(end - 1, end) == end) {
        end--;
    }
    it.rest = rp_json_between(start, end);
    return it;
}

struct rp_json_iter rp_json_iter_array(struct rp_bytes value) {
    return iter_inside(value, false);
}

struct rp_json_iter rp_json_iter_object(struct rp_bytes value) {
    return iter_inside(value, true);
}

/* The place after the array or object that begins at p. */
static const uint8_t *scan_brackets(const uint8_t *p, const uint8_t *end) {
    size_t depth = 0;
    while (p != NULL && p < end) {
        switch (*p) {
        case '"':
            p = rp_json_scan_string(p, end);
            continue;
        case '[':
        case '{':
            depth++;
            break;
        case ']':
        case '}':
            depth--;
            if (depth == 0) {
                return p + 1;
            }
            break;
        default:
            break;
        }
        p++;
    }
    return NULL;
}

/* The element at the front of the rest, and the place after it; NULL if there is none. */
static const uint8_t *scan_element(const struct rp_json_iter *it, struct rp_bytes *ret_key,
                                   struct rp_bytes *ret_value) {
    const uint8_t *p = it->rest.data;
    const uint8_t *end = rp_json_end_of(it->rest);
    struct rp_bytes key = {0};
    if (it->is_object) {
        const uint8_t *after_key = rp_json_scan_string(p, end);
        if (after_key == NULL) {
            return NULL;
        }
        key = rp_json_between(p, after_key);
        p = scan_key(p, end);
        if (p == NULL) {
            return NULL;
        }
        p = rp_json_skip_space(p, end);
    }
    if (p == end) {
        return NULL;
    }
    const uint8_t *after =
        *p == '[' || *p == '{' ? scan_brackets(p, end) : rp_json_scan_scalar(p, end);
    if (after != NULL) {
        *ret_key = key;
        *ret_value = rp_json_between(p, after);
    }
    return after;
}

bool rp_json_iter_next(struct rp_json_iter *it, struct rp_bytes *ret_key,
                       struct rp_bytes *ret_value) {
    struct rp_bytes key;
    struct rp_bytes value;
    const uint8_t *end = rp_json_end_of(it->rest);
    const uint8_t *p = scan_element(it, &key, &value);
    if (p == NULL) {
        it->rest = (struct rp_bytes){0};
        return false;
    }
    p = rp_json_skip_space(p, end);
    it->rest = p < end && *p == ',' ? rp_json_between(rp_json_skip_space(p + 1, end), end)
                                    : (struct rp_bytes){0};
    if (ret_key != NULL) {
        *ret_key = key;
    }
    *ret_value = value;
    return true;
}
