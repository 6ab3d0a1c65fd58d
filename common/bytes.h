/* common/bytes.h — a view of bytes somebody else owns. Passed by value. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rp_bytes {
    const uint8_t *data;
    size_t len;
};

#define RP_BYTES_LIT(literal)                                                                      \
    ((struct rp_bytes){.data = (const uint8_t *) (literal), .len = sizeof(literal) - 1})

static inline struct rp_bytes rp_bytes(const void *data, size_t len) {
    return (struct rp_bytes){.data = data, .len = len};
}

/* A view of a C string, without its terminator. NULL gives the empty view. */
static inline struct rp_bytes rp_bytes_str(const char *text) {
    return (struct rp_bytes){.data = (const uint8_t *) text, .len = text ? strlen(text) : 0};
}

static inline bool rp_bytes_eq(struct rp_bytes a, struct rp_bytes b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool rp_bytes_eq_str(struct rp_bytes a, const char *text) {
    return rp_bytes_eq(a, rp_bytes_str(text));
}

static inline bool rp_bytes_starts_with(struct rp_bytes a, struct rp_bytes prefix) {
    return a.len >= prefix.len && rp_bytes_eq(rp_bytes(a.data, prefix.len), prefix);
}

/* What is left after the first n bytes; n <= b.len. */
static inline struct rp_bytes rp_bytes_skip(struct rp_bytes b, size_t n) {
    return (struct rp_bytes){.data = n ? b.data + n : b.data, .len = b.len - n};
}

/* for printf("%.*s", RP_BYTES_FMT(b)) */
#define RP_BYTES_FMT(b) (int) (b).len, (const char *) (b).data

/* A whole decimal number without sign or leading zeros (but "0"), at most UINT64_MAX. */
bool rp_bytes_to_u64(struct rp_bytes text, uint64_t *ret_value);

/* Whether the whole text is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool rp_bytes_is_utf8(struct rp_bytes text);

/* Without the white space (ASCII) around it, for texts that people write. */
struct rp_bytes rp_bytes_trim(struct rp_bytes text);
/* Takes the next line off *text, without its end ("\n" or "\r\n"). The last one needs none. */
struct rp_bytes rp_bytes_next_line(struct rp_bytes *text);
/* Takes the next word off *text, what stands between white space (ASCII); empty: there is none. */
struct rp_bytes rp_bytes_next_word(struct rp_bytes *text);
