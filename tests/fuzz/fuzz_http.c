/* Any bytes as a request: the head's answer must come with one certain byte and stay the same with
 * every more, the body must be the same whole and in pieces, and what the head promises must hold.
 *
 * Input: one byte of how many sizes of pieces follow, the sizes, then the request. */
#include "common/assert.h"
#include "proto/http.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_BYTES_MAX = 1 << 16, EVERY_PREFIX_BYTES_MAX = 600 };

struct answer {
    enum rp_err err;
    size_t consumed;
    const struct rp_http_problem *problem;
    struct rp_http_request
        req; /* borrows bytes that may be gone; only for RP_OK of the caller's own */
};

static uint8_t *exact_copy(struct rp_bytes b) {
    uint8_t *copy = malloc(b.len > 0 ? b.len : 1);
    RP_ASSERT(copy != NULL);
    if (b.len > 0) {
        memcpy(copy, b.data, b.len);
    }
    return copy;
}

static struct answer parse(struct rp_bytes in) {
    struct answer a = {.problem = NULL};
    uint8_t *copy = exact_copy(in);
    a.err = rp_http_parse_head(rp_bytes(copy, in.len), &a.req, &a.consumed, &a.problem);
    free(copy);
    return a;
}

/* A beginning gets "more", or already the answer of the whole. */
static void check_prefix(struct rp_bytes in, size_t len, const struct answer *whole,
                         bool *answered) {
    struct answer a = parse(rp_bytes(in.data, len));
    if (a.err == RP_MORE) {
        RP_ASSERT(!*answered);
        RP_ASSERT(whole->err != RP_OK || len < whole->consumed);
        return;
    }
    *answered = true;
    RP_ASSERT(a.err == whole->err && a.problem == whole->problem);
    if (a.err == RP_OK) {
        RP_ASSERT(a.consumed == whole->consumed && len >= a.consumed);
        RP_ASSERT(a.req.headers_count == whole->req.headers_count);
        RP_ASSERT(a.req.framing == whole->req.framing);
    }
}

static void check_prefixes(struct rp_bytes in, struct rp_bytes sizes, const struct answer *whole) {
    bool answered = false;
    for (size_t i = 0, len = 0; len < in.len; i++) {
        bool every = in.len <= EVERY_PREFIX_BYTES_MAX || sizes.len == 0;
        check_prefix(in, len, whole, &answered);
        len += every ? 1 + in.len / EVERY_PREFIX_BYTES_MAX : sizes.data[i % sizes.len] + 1u;
    }
}

static bool lies_within(struct rp_bytes outer, struct rp_bytes inner) {
    return inner.data >= outer.data && inner.data + inner.len <= outer.data + outer.len;
}

static bool has_control(struct rp_bytes b) {
    for (size_t i = 0; i < b.len; i++) {
        if ((b.data[i] < 0x20 && b.data[i] != '\t') || b.data[i] == 0x7F) {
            return true;
        }
    }
    return false;
}

/* A value a client sent can be put into a response without splitting it. */
static void check_response(const struct rp_http_request *req) {
    struct rp_buf out;
    rp_buf_init(&out, 2 * RP_HTTP_HEAD_BYTES_MAX);
    RP_ASSERT(rp_http_put_response_head(&out, 200, req->headers, req->headers_count, 0, true) ==
              RP_OK);
    size_t lines = 0;
    for (size_t i = 0; i < out.len; i++) {
        lines += out.data[i] == '\n';
        RP_ASSERT(out.data[i] != '\n' || out.data[i - 1] == '\r');
    }
    RP_ASSERT(lines == req->headers_count + 4);
    rp_buf_done(&out);
}

static void check_query(const struct rp_http_request *req) {
    struct rp_bytes raw;
    struct rp_buf out;
    rp_buf_init(&out, RP_HTTP_TARGET_BYTES_MAX);
    if (rp_http_query_get(req->query, "a", &raw)) {
        RP_ASSERT(lies_within(req->query, raw));
        enum rp_err err = rp_http_query_decode(raw, &out);
        RP_ASSERT(err == RP_OK || (err == RP_E_INVALID && out.len == 0));
    }
    rp_buf_clear(&out);
    if (rp_http_percent_decode(req->path, &out) == RP_OK && out.len > 0) {
        RP_ASSERT(memchr(out.data, 0, out.len) == NULL);
    }
    rp_buf_done(&out);
}

static void check_request(struct rp_bytes in, const struct answer *a) {
    const struct rp_http_request *req = &a->req;
    struct rp_bytes head = rp_bytes(in.data, a->consumed);
    RP_ASSERT(a->consumed <= in.len && a->consumed <= RP_HTTP_HEAD_BYTES_MAX);
    RP_ASSERT(lies_within(head, req->method) && lies_within(head, req->target));
    RP_ASSERT(req->path.len > 0 && req->path.data[0] == '/');
    RP_ASSERT(req->version_minor == 0 || req->authority.len > 0);
    RP_ASSERT(req->framing == RP_HTTP_BODY_LENGTH || req->content_length == 0);
    RP_ASSERT(req->headers_count <= RP_HTTP_HEADERS_MAX);
    for (size_t i = 0; i < req->headers_count; i++) {
        RP_ASSERT(lies_within(head, req->headers[i].name));
        RP_ASSERT(lies_within(head, req->headers[i].value));
        RP_ASSERT(!has_control(req->headers[i].name) && !has_control(req->headers[i].value));
    }
    RP_ASSERT(rp_http_has_token(req, "connection", "close") ? !req->keep_alive : true);
    check_response(req);
    check_query(req);
}

/* Reads a body in pieces into out; how it ended, and how much of the input it took. */
static enum rp_err read_body(const struct rp_http_request *req, struct rp_bytes in,
                             struct rp_bytes sizes, struct rp_buf *out, size_t *ret_taken) {
    struct rp_http_body b;
    rp_buf_init(out, BODY_BYTES_MAX);
    enum rp_err err = rp_http_body_init(&b, req, BODY_BYTES_MAX);
    size_t taken = 0;
    bool ended = err != RP_OK;
    for (size_t i = 0; !ended; i++) {
        size_t n = sizes.len > 0 ? sizes.data[i % sizes.len] + 1u : in.len;
        n = n < in.len - taken ? n : in.len - taken;
        uint8_t *copy = exact_copy(rp_bytes(in.data + taken, n));
        struct rp_bytes piece = rp_bytes(copy, n);
        struct rp_bytes part;
        while ((err = rp_http_body_next(&b, &piece, &part)) == RP_OK && part.len > 0) {
            RP_ASSERT(rp_buf_put(out, part) == RP_OK);
        }
        RP_ASSERT(err != RP_MORE || piece.len == 0);
        taken += n - piece.len;
        ended = err != RP_MORE || taken == in.len;
        free(copy);
    }
    RP_ASSERT((err < 0) == (b.problem != NULL));
    *ret_taken = taken;
    return err;
}

static void check_body(const struct rp_http_request *req, struct rp_bytes in,
                       struct rp_bytes sizes) {
    struct rp_buf whole;
    struct rp_buf pieces;
    size_t whole_taken, pieces_taken;
    enum rp_err err = read_body(req, in, rp_bytes(NULL, 0), &whole, &whole_taken);
    RP_ASSERT(read_body(req, in, sizes, &pieces, &pieces_taken) == err);
    RP_ASSERT(whole_taken == pieces_taken);
    RP_ASSERT(rp_bytes_eq(rp_buf_bytes(&whole), rp_buf_bytes(&pieces)));
    rp_buf_done(&whole);
    rp_buf_done(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rp_bytes in = rp_bytes(data, size);
    if (in.len < 1 || in.len - 1 < in.data[0]) {
        return 0;
    }
    struct rp_bytes sizes = rp_bytes(in.data + 1, in.data[0]);
    in = rp_bytes_skip(in, 1 + sizes.len);
    struct answer whole = {.problem = NULL};
    whole.err = rp_http_parse_head(in, &whole.req, &whole.consumed, &whole.problem);
    RP_ASSERT((whole.err < 0) == (whole.problem != NULL));
    check_prefixes(in, sizes, &whole);
    if (whole.err == RP_OK) {
        check_request(in, &whole);
        check_body(&whole.req, rp_bytes_skip(in, whole.consumed), sizes);
    }
    /* bodies need no head to be fuzzed */
    const struct rp_http_request chunked = {.framing = RP_HTTP_BODY_CHUNKED};
    check_body(&chunked, in, sizes);
    return 0;
}
