/* tests/fuzz/fuzz_eio_payload.c — proto/eio_payload, with common/base64 below it: what is read from
 * a body and written again is the body, but for padding that was missing.
 *
 * The input is a body. It also serves as one binary message, and as packed attachments. */
#include "common/assert.h"
#include "common/base64.h"
#include "proto/attachments.h"
#include "proto/eio_payload.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the body must be, by the rules in proto/eio_payload.h and not by its reader. */
static bool has_empty_packet(struct rp_bytes body) {
    bool is_empty = true;
    for (size_t i = 0; i < body.len; i++) {
        bool is_separator = body.data[i] == 0x1E;
        if (is_separator && is_empty) {
            return true;
        }
        is_empty = is_separator;
    }
    return is_empty;
}

static void put_again(struct rp_buf *out, const struct rp_eio_payload_packet *packet) {
    size_t before = out->len;
    if (packet->is_binary) {
        RP_ASSERT(rp_eio_payload_put_binary(out, packet->data) == RP_OK);
        RP_ASSERT(out->len == before + rp_eio_payload_binary_len(packet->data.len) - !before);
    } else {
        RP_ASSERT(packet->data.len > 0 && packet->data.data[0] != 'b');
        RP_ASSERT(rp_eio_payload_put_text(out, packet->data) == RP_OK);
        RP_ASSERT(out->len == before + rp_eio_payload_text_len(packet->data.len) - !before);
    }
}

static void check_body(struct rp_bytes body) {
    struct rp_buf space, out;
    rp_buf_init(&space, body.len);
    rp_buf_init(&out, 4 * body.len + 4);
    struct rp_bytes in = body;
    struct rp_eio_payload_packet packet;
    enum rp_err err;
    do {
        size_t left = in.len;
        err = rp_eio_payload_next(&in, &space, &packet);
        if (err == RP_OK) {
            RP_ASSERT(in.len < left);
            put_again(&out, &packet);
        }
    } while (err == RP_OK && in.len > 0);
    RP_ASSERT(err == RP_OK || err == RP_E_PROTOCOL);
    RP_ASSERT(err != RP_OK || !has_empty_packet(body));
    size_t i = 0;
    for (size_t k = 0; err == RP_OK && k < out.len; k++) {
        bool is_same = i < body.len && body.data[i] == out.data[k];
        RP_ASSERT(is_same || out.data[k] == '=');
        i += is_same;
    }
    RP_ASSERT(err != RP_OK || i == body.len);
    rp_buf_done(&space);
    rp_buf_done(&out);
}

static void check_message(struct rp_bytes message) {
    struct rp_buf body, space;
    rp_buf_init(&body, rp_eio_payload_binary_len(message.len));
    rp_buf_init(&space, message.len);
    RP_ASSERT(rp_eio_payload_put_binary(&body, message) == RP_OK);
    struct rp_bytes in = rp_buf_bytes(&body);
    struct rp_eio_payload_packet packet;
    RP_ASSERT(rp_eio_payload_next(&in, &space, &packet) == RP_OK);
    RP_ASSERT(in.len == 0 && packet.is_binary && rp_bytes_eq(packet.data, message));
    rp_buf_done(&body);
    rp_buf_done(&space);
}

static void check_attachments(struct rp_bytes packed) {
    struct rp_buf out;
    rp_buf_init(&out, packed.len);
    struct rp_bytes in = packed, attachment;
    size_t count = 0, counted = 0;
    enum rp_err err;
    while ((err = rp_attachments_next(&in, &attachment)) == RP_OK) {
        RP_ASSERT(rp_attachments_put(&out, attachment) == RP_OK);
        count++;
    }
    RP_ASSERT(err == RP_MORE || err == RP_E_PROTOCOL);
    RP_ASSERT(rp_bytes_starts_with(packed, rp_buf_bytes(&out)));
    RP_ASSERT((err == RP_MORE) == (out.len == packed.len));
    RP_ASSERT(rp_attachments_count(packed, &counted) == (err == RP_MORE ? RP_OK : err));
    RP_ASSERT(err != RP_MORE || counted == count);
    rp_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rp_bytes input = rp_bytes(data, size);
    check_body(input);
    check_message(input);
    check_attachments(input);
    return 0;
}
