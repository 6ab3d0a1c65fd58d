/* proto/json_scan.h — the pieces of JSON's grammar, for proto/json*.c only.
 *
 * Every rp_json_scan_… takes the place p where a thing should begin and the end of the text, and
 * returns the place after the thing, or NULL if it is not there. p and end are of one text, p <=
 * end, and both may be NULL for the empty one. */
#pragma once

#include "common/bytes.h"

/* views of nothing may have a NULL pointer, to which not even 0 may be added */
static inline const uint8_t *rp_json_end_of(struct rp_bytes b) {
    return b.len > 0 ? b.data + b.len : b.data;
}

static inline struct rp_bytes rp_json_between(const uint8_t *start, const uint8_t *end) {
    return rp_bytes(start, (size_t) (end - start));
}

static inline const uint8_t *rp_json_skip_space(const uint8_t *p, const uint8_t *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
        p++;
    }
    return p;
}

/* The first byte from p on that cannot stand for itself in a string (RFC 8259 section 7: quote,
 * backslash, control character), or the end. Eight bytes at a time. */
const uint8_t *rp_json_skip_plain(const uint8_t *p, const uint8_t *end);

/* A string with its quotes. */
const uint8_t *rp_json_scan_string(const uint8_t *p, const uint8_t *end);
/* A number, and that it ends where a number may. */
const uint8_t *rp_json_scan_number(const uint8_t *p, const uint8_t *end);
/* Anything but an array or object; here p < end. */
const uint8_t *rp_json_scan_scalar(const uint8_t *p, const uint8_t *end);

/* The value of a hexadecimal digit, -1 if it is none. */
static inline int rp_json_hex_digit(uint8_t c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}
