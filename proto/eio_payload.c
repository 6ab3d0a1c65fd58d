#include "proto/eio_payload.h"

#include "common/assert.h"
#include "common/base64.h"

enum { SEPARATOR = 0x1E, BINARY = 'b' };

enum rp_err rp_eio_payload_next(struct rp_bytes *in, struct rp_buf *space,
                                struct rp_eio_payload_packet *ret_packet) {
    const uint8_t *separator = in->len > 0 ? memchr(in->data, SEPARATOR, in->len) : NULL;
    struct rp_bytes packet = *in, rest = {0};
    if (separator != NULL) {
        packet.len = (size_t) (separator - in->data);
        rest = rp_bytes_skip(*in, packet.len + 1);
    }
    bool is_last = separator == NULL;
    if (packet.len == 0 || (!is_last && rest.len == 0)) {
        return RP_E_PROTOCOL;
    }
    bool is_binary = packet.data[0] == BINARY;
    if (is_binary) {
        rp_buf_clear(space);
        enum rp_err err = rp_base64_decode(rp_bytes_skip(packet, 1), space);
        if (err != RP_OK) {
            return err == RP_E_INVALID ? RP_E_PROTOCOL : err;
        }
        packet = rp_buf_bytes(space);
    }
    *in = rest;
    *ret_packet = (struct rp_eio_payload_packet){.is_binary = is_binary, .data = packet};
    return RP_OK;
}

/* A place for the packet, after the separator that it needs. NULL: full. */
static uint8_t *start_packet(struct rp_buf *out, size_t packet_len) {
    size_t separator_len = out->len > 0 ? 1 : 0;
    uint8_t *place = rp_buf_reserve(out, separator_len + packet_len);
    if (place == NULL) {
        return NULL;
    }
    if (separator_len > 0) {
        *place++ = SEPARATOR;
    }
    out->len += separator_len + packet_len;
    return place;
}

enum rp_err rp_eio_payload_put_text(struct rp_buf *out, struct rp_bytes text) {
    RP_ASSERT(text.len > 0);
    uint8_t *place = start_packet(out, text.len);
    if (place == NULL) {
        return RP_E_FULL;
    }
    memcpy(place, text.data, text.len);
    return RP_OK;
}

enum rp_err rp_eio_payload_put_binary(struct rp_buf *out, struct rp_bytes message) {
    size_t len = 1 + rp_base64_len(message.len);
    uint8_t *place = start_packet(out, len);
    if (place == NULL) {
        return RP_E_FULL;
    }
    *place = BINARY;
    uint8_t *after = rp_base64_write(place + 1, message);
    RP_ASSERT(after == place + len);
    return RP_OK;
}

size_t rp_eio_payload_text_len(size_t text_len) {
    return 1 + text_len;
}

size_t rp_eio_payload_binary_len(size_t message_len) {
    return 2 + rp_base64_len(message_len);
}
