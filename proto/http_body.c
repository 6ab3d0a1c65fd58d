/* Request bodies: by Content-Length, or chunked (RFC 9112 7.1):
 *
 *     chunked-body = *chunk last-chunk trailer-section CRLF
 *     chunk        = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
 *     last-chunk   = 1*("0") [ chunk-ext ] CRLF
 *
 * Extensions and trailers are checked for their form, counted and skipped. */
#include "proto/http.h"

#include "common/assert.h"
#include "proto/http_char.h"

enum { SIZE_DIGITS_MAX = 16 }; /* of a chunk's size, leading zeros included */

static const struct rp_http_problem big_body = {RP_E_TOO_BIG, 413,
                                                "request body larger than the limit"};
static const struct rp_http_problem bad_size = {RP_E_PROTOCOL, 400, "malformed chunk size"};
static const struct rp_http_problem bad_extension = {RP_E_PROTOCOL, 400,
                                                     "malformed or too long chunk extension"};
static const struct rp_http_problem bad_chunk_end = {RP_E_PROTOCOL, 400, "chunk not ended by CRLF"};
static const struct rp_http_problem bad_trailer = {RP_E_PROTOCOL, 400, "malformed trailer"};
static const struct rp_http_problem long_trailer = {RP_E_TOO_BIG, 431,
                                                    "trailers longer than the limit"};

/* What the next byte belongs to. */
enum state {
    SIZE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    DONE,
};

enum rp_err rp_http_body_init(struct rp_http_body *b, const struct rp_http_request *req,
                              uint64_t bytes_max) {
    *b = (struct rp_http_body){.state = DONE, .room = bytes_max};
    if (req->framing == RP_HTTP_BODY_CHUNKED) {
        b->chunked = true;
        b->state = SIZE;
    } else if (req->framing == RP_HTTP_BODY_LENGTH) {
        b->left = req->content_length;
        b->state = b->left > 0 ? DATA : DONE;
        b->problem = b->left > bytes_max ? &big_body : NULL;
    }
    return b->problem != NULL ? b->problem->err : RP_OK;
}

static const struct rp_http_problem *step_size(struct rp_http_body *b, uint8_t c) {
    int digit = http_hex_digit(c);
    if (digit >= 0) {
        if (b->size_digits++ == SIZE_DIGITS_MAX) {
            return &bad_size;
        }
        if (b->left > UINT64_MAX >> 4 || (b->left << 4 | (uint64_t) digit) > b->room) {
            return &big_body;
        }
        b->left = b->left << 4 | (uint64_t) digit;
        return NULL;
    }
    if (b->size_digits == 0 || (c != ';' && c != '\r')) {
        return &bad_size;
    }
    b->state = c == ';' ? EXTENSION : SIZE_LF;
    return NULL;
}

/* The sum over all chunks is bounded, or a body of tiny chunks could be mostly extensions. */
static const struct rp_http_problem *step_extension(struct rp_http_body *b, uint8_t c) {
    if (c == '\r') {
        b->state = SIZE_LF;
        return NULL;
    }
    bool ok = http_is_field(c) && c < 0x80 && b->overhead++ < RP_HTTP_CHUNK_EXT_BYTES_MAX;
    return ok ? NULL : &bad_extension;
}

static const struct rp_http_problem *step_size_end(struct rp_http_body *b, uint8_t c) {
    if (c != '\n') {
        return &bad_size;
    }
    b->size_digits = 0;
    b->room -= b->left;
    b->state = b->left > 0 ? DATA : TRAILER_START;
    if (b->state == TRAILER_START) {
        b->overhead = 0;
    }
    return NULL;
}

static const struct rp_http_problem *step_trailer(struct rp_http_body *b, uint8_t c) {
    if (b->overhead++ >= RP_HTTP_TRAILER_BYTES_MAX) {
        return &long_trailer;
    }
    switch (b->state) {
    case TRAILER_START:
        b->state = c == '\r' ? END_LF : TRAILER_NAME;
        return c == '\r' || http_is_token(c) ? NULL : &bad_trailer;
    case TRAILER_NAME:
        b->state = c == ':' ? TRAILER_VALUE : TRAILER_NAME;
        return c == ':' || http_is_token(c) ? NULL : &bad_trailer;
    case TRAILER_VALUE:
        b->state = c == '\r' ? TRAILER_LF : TRAILER_VALUE;
        return c == '\r' || http_is_field(c) ? NULL : &bad_trailer;
    case TRAILER_LF:
        b->state = TRAILER_START;
        return c == '\n' ? NULL : &bad_trailer;
    default:
        RP_ASSERT(b->state == END_LF);
        b->state = DONE;
        return c == '\n' ? NULL : &bad_trailer;
    }
}

/* One byte of what is around the data. */
static const struct rp_http_problem *step(struct rp_http_body *b, uint8_t c) {
    switch (b->state) {
    case SIZE:
        return step_size(b, c);
    case EXTENSION:
        return step_extension(b, c);
    case SIZE_LF:
        return step_size_end(b, c);
    case DATA_CR:
        b->state = DATA_LF;
        return c == '\r' ? NULL : &bad_chunk_end;
    case DATA_LF:
        b->state = SIZE;
        return c == '\n' ? NULL : &bad_chunk_end;
    default:
        return step_trailer(b, c);
    }
}

static struct rp_bytes take_data(struct rp_http_body *b, struct rp_bytes *in) {
    size_t n = in->len < b->left ? in->len : (size_t) b->left;
    struct rp_bytes part = rp_bytes(in->data, n);
    *in = rp_bytes_skip(*in, n);
    b->left -= n;
    if (b->left == 0) {
        b->state = b->chunked ? DATA_CR : DONE;
    }
    return part;
}

enum rp_err rp_http_body_next(struct rp_http_body *b, struct rp_bytes *in,
                              struct rp_bytes *ret_part) {
    while (b->problem == NULL && b->state != DONE) {
        if (in->len == 0) {
            return RP_MORE;
        }
        if (b->state == DATA) {
            *ret_part = take_data(b, in);
            return RP_OK;
        }
        b->problem = step(b, in->data[0]);
        *in = rp_bytes_skip(*in, 1);
    }
    if (b->problem != NULL) {
        return b->problem->err;
    }
    *ret_part = RP_BYTES_LIT("");
    return RP_OK;
}
