/* proto/http_char.h — which bytes may be where in an HTTP message. For proto/http*.c only. */
#pragma once

#include "common/bytes.h"

static inline bool http_is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

static inline bool http_is_alpha(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 9110 5.6.2 tchar: what methods and header names are made of. */
static inline bool http_is_token(uint8_t c) {
    return http_is_alpha(c) || http_is_digit(c) || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* RFC 9110 5.5: visible characters, bytes past ASCII (never given a meaning), space and tab. */
static inline bool http_is_field(uint8_t c) {
    return (c >= 0x20 && c != 0x7F) || c == '\t';
}

/* -1: not a hexadecimal digit. */
static inline int http_hex_digit(uint8_t c) {
    if (http_is_digit(c)) {
        return c - '0';
    }
    uint8_t low = c | 0x20;
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static inline uint8_t http_lower(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? (uint8_t) (c + ('a' - 'A')) : c;
}

/* Equal but for the case of ASCII letters; not a matter of the locale. */
static inline bool http_same_name(struct rp_bytes a, struct rp_bytes b) {
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (http_lower(a.data[i]) != http_lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

/* Without the optional white space (OWS) around it. */
static inline struct rp_bytes http_trim(struct rp_bytes b) {
    while (b.len > 0 && (b.data[0] == ' ' || b.data[0] == '\t')) {
        b = rp_bytes_skip(b, 1);
    }
    while (b.len > 0 && (b.data[b.len - 1] == ' ' || b.data[b.len - 1] == '\t')) {
        b.len--;
    }
    return b;
}
