/* Any bytes as a compressed message, as a message to compress, and as headers to negotiate by: the
 * bound holds, what we compress comes back, what is agreed is one of two answers.
 *
 * Input: one byte of the bound for inflating, then the bytes. */
#include "common/assert.h"
#include "proto/deflate.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PACKED_BYTES_MAX = 8 << 20 };

static enum rp_err inflate_into(struct rp_deflate *d, struct rp_bytes in, size_t max,
                                struct rp_buf *ret_out) {
    uint8_t *copy = malloc(in.len > 0 ? in.len : 1);
    RP_ASSERT(copy != NULL);
    if (in.len > 0) {
        memcpy(copy, in.data, in.len);
    }
    rp_buf_init(ret_out, max);
    enum rp_err err = rp_inflate_message(d, rp_bytes(copy, in.len), ret_out);
    free(copy);
    RP_ASSERT(err == RP_OK || err == RP_E_TOO_BIG || err == RP_E_PROTOCOL);
    RP_ASSERT(ret_out->len <= max && ret_out->capacity <= max);
    RP_ASSERT(err == RP_OK || ret_out->len == 0);
    return err;
}

static void check_round_trip(struct rp_deflate *d, struct rp_bytes in) {
    struct rp_buf packed, out;
    rp_buf_init(&packed, PACKED_BYTES_MAX);
    RP_ASSERT(rp_deflate_message(d, in, &packed) == RP_OK && packed.len > 0);
    RP_ASSERT(inflate_into(d, rp_buf_bytes(&packed), in.len, &out) == RP_OK);
    RP_ASSERT(rp_bytes_eq(rp_buf_bytes(&out), in));
    rp_buf_done(&out);
    if (in.len > 0) {
        RP_ASSERT(inflate_into(d, rp_buf_bytes(&packed), in.len - 1, &out) == RP_E_TOO_BIG);
        rp_buf_done(&out);
    }
    rp_buf_done(&packed);
}

/* A decompressor that met these bytes before answers as a new one does; what came out comes back.
 */
static void check_inflate(struct rp_deflate *used, struct rp_bytes in, size_t max) {
    struct rp_deflate *d = rp_deflate_new(1);
    struct rp_buf first, second;
    enum rp_err err = inflate_into(d, in, max, &first);
    RP_ASSERT(inflate_into(used, in, max, &second) == err);
    RP_ASSERT(rp_bytes_eq(rp_buf_bytes(&first), rp_buf_bytes(&second)));
    rp_buf_done(&second);
    if (err == RP_OK) {
        check_round_trip(used, rp_buf_bytes(&first));
        RP_ASSERT(inflate_into(used, in, first.len, &second) == RP_OK); /* it just fits */
        rp_buf_done(&second);
    }
    rp_buf_done(&first);
    rp_deflate_free(d);
}

/* Each line is one header. */
static void check_offers(struct rp_bytes in) {
    struct rp_http_request extensions = {.headers_count = 0}, codings = {.headers_count = 0};
    while (in.len > 0 && extensions.headers_count < RP_HTTP_HEADERS_MAX) {
        const uint8_t *end = memchr(in.data, '\n', in.len);
        size_t len = end != NULL ? (size_t) (end - in.data) : in.len;
        struct rp_http_header h = {.name = RP_BYTES_LIT("Sec-WebSocket-Extensions"),
                                   .value = rp_bytes(in.data, len)};
        extensions.headers[extensions.headers_count++] = h;
        h.name = RP_BYTES_LIT("Accept-Encoding");
        codings.headers[codings.headers_count++] = h;
        in = rp_bytes_skip(in, end != NULL ? len + 1 : len);
    }
    const char *response = NULL;
    bool agreed = rp_deflate_negotiate(&extensions, &response);
    RP_ASSERT(agreed == (response != NULL));
    RP_ASSERT(!agreed || strncmp(response, "permessage-deflate; ", 20) == 0);
    enum rp_http_coding coding = rp_http_pick_coding(&codings);
    RP_ASSERT((coding == RP_HTTP_IDENTITY) == (rp_http_coding_name(coding) == NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct rp_deflate *used;
    static const size_t bounds[] = {0, 1, 100, 511, 512, 513, 65536, 1 << 20};
    if (size < 1) {
        return 0;
    }
    if (used == NULL) {
        used = rp_deflate_new(1);
    }
    struct rp_bytes in = rp_bytes(data + 1, size - 1);
    check_inflate(used, in, bounds[data[0] & 7]);
    check_round_trip(used, in);
    check_offers(in);
    return 0;
}
