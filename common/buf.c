#include "common/buf.h"

#include "common/alloc.h"
#include "common/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_SMALLEST = 64 };

void rp_buf_init(struct rp_buf *b, size_t max) {
    *b = (struct rp_buf){.max = max};
}

void rp_buf_done(struct rp_buf *b) {
    free(b->data);
    *b = (struct rp_buf){.max = b->max};
}

uint8_t *rp_buf_reserve(struct rp_buf *b, size_t n) {
    if (n > b->max || b->len > b->max - n) {
        return NULL;
    }
    size_t needed = b->len + n;
    if (needed > b->capacity) {
        size_t grown = b->capacity * 2 > BUF_SMALLEST ? b->capacity * 2 : BUF_SMALLEST;
        grown = grown < needed ? needed : grown;
        grown = grown > b->max ? b->max : grown;
        b->data = rp_realloc(b->data, grown);
        b->capacity = grown;
    }
    return b->data ? b->data + b->len
                   : (uint8_t *) ""; /* n == 0 on a buffer that has no memory yet */
}

enum rp_err rp_buf_put(struct rp_buf *b, struct rp_bytes bytes) {
    if (bytes.len == 0) {
        return RP_OK;
    }
    uint8_t *place = rp_buf_reserve(b, bytes.len);
    if (place == NULL) {
        return RP_E_FULL;
    }
    memcpy(place, bytes.data, bytes.len);
    b->len += bytes.len;
    return RP_OK;
}

enum rp_err rp_buf_put_str(struct rp_buf *b, const char *text) {
    return rp_buf_put(b, rp_bytes_str(text));
}

enum rp_err rp_buf_put_u64(struct rp_buf *b, uint64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char) ('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return rp_buf_put(b, rp_bytes(digits + at, sizeof digits - at));
}

enum rp_err rp_buf_printf(struct rp_buf *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    RP_ASSERT(len >= 0);
    /* vsnprintf writes a terminator; keep a byte for it without counting it */
    char small[256];
    char *text = (size_t) len < sizeof small ? small : rp_alloc((size_t) len + 1);
    vsnprintf(text, (size_t) len + 1, format, again);
    va_end(again);
    enum rp_err err = rp_buf_put(b, rp_bytes(text, (size_t) len));
    if (text != small) {
        free(text);
    }
    return err;
}

void rp_buf_consume(struct rp_buf *b, size_t n) {
    RP_ASSERT(n <= b->len);
    b->len -= n;
    if (b->len > 0 && n > 0) {
        memmove(b->data, b->data + n, b->len);
    }
}

void rp_buf_clear(struct rp_buf *b) {
    b->len = 0;
}

void rp_buf_release(struct rp_buf *b) {
    rp_buf_done(b);
}

void rp_buf_shrink(struct rp_buf *b, size_t kept_bytes) {
    if (b->capacity > kept_bytes) {
        rp_buf_release(b);
    } else {
        rp_buf_clear(b);
    }
}
