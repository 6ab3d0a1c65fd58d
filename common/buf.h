/* common/buf.h — a growing byte buffer with a maximum it cannot be made without. "Full" is a normal
 * answer. */
#pragma once

#include "common/bytes.h"
#include "common/error.h"

struct rp_buf {
    uint8_t *data;
    size_t len;
    size_t capacity;
    size_t max; /* bytes; appending past it is RP_E_FULL and changes nothing */
};

void rp_buf_init(struct rp_buf *b, size_t max);
void rp_buf_done(struct rp_buf *b); /* frees the memory; b can be initialised again */

/* Appends, or changes nothing: RP_E_FULL. */
RP_MUST_USE enum rp_err rp_buf_put(struct rp_buf *b, struct rp_bytes bytes);
RP_MUST_USE enum rp_err rp_buf_put_str(struct rp_buf *b, const char *text);
RP_MUST_USE enum rp_err rp_buf_put_u64(struct rp_buf *b, uint64_t value); /* decimal */
/* printf into the buffer. */
RP_MUST_USE enum rp_err rp_buf_printf(struct rp_buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Room for n more bytes at data+len, which the caller fills and then adds to len. NULL: full. */
uint8_t *rp_buf_reserve(struct rp_buf *b, size_t n);

/* Drops the first n bytes; n <= len. */
void rp_buf_consume(struct rp_buf *b, size_t n);
/* Empties it, keeping the memory. */
void rp_buf_clear(struct rp_buf *b);
/* Empties it and gives the memory back. */
void rp_buf_release(struct rp_buf *b);
/* Empties it, and gives the memory back if that is more than kept_bytes: for a buffer that is used
 * again and again and is rarely large. */
void rp_buf_shrink(struct rp_buf *b, size_t kept_bytes);

static inline struct rp_bytes rp_buf_bytes(const struct rp_buf *b) {
    return rp_bytes(b->data, b->len);
}
