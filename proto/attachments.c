#include "proto/attachments.h"

#include "common/assert.h"

enum { LENGTH_BYTES = 4 };

size_t rp_attachments_packed_len(size_t attachment_len) {
    return LENGTH_BYTES + attachment_len;
}

enum rp_err rp_attachments_put(struct rp_buf *out, struct rp_bytes attachment) {
    RP_ASSERT(attachment.len <= UINT32_MAX);
    uint8_t *place = rp_buf_reserve(out, rp_attachments_packed_len(attachment.len));
    if (place == NULL) {
        return RP_E_FULL;
    }
    for (size_t i = 0; i < LENGTH_BYTES; i++) {
        place[i] = (uint8_t) (attachment.len >> 8 * (LENGTH_BYTES - 1 - i));
    }
    if (attachment.len > 0) {
        memcpy(place + LENGTH_BYTES, attachment.data, attachment.len);
    }
    out->len += rp_attachments_packed_len(attachment.len);
    return RP_OK;
}

enum rp_err rp_attachments_next(struct rp_bytes *in, struct rp_bytes *ret_attachment) {
    if (in->len == 0) {
        return RP_MORE;
    }
    if (in->len < LENGTH_BYTES) {
        return RP_E_PROTOCOL;
    }
    size_t len = 0;
    for (size_t i = 0; i < LENGTH_BYTES; i++) {
        len = len << 8 | in->data[i];
    }
    struct rp_bytes rest = rp_bytes_skip(*in, LENGTH_BYTES);
    if (len > rest.len) {
        return RP_E_PROTOCOL;
    }
    *ret_attachment = rp_bytes(rest.data, len);
    *in = rp_bytes_skip(rest, len);
    return RP_OK;
}

enum rp_err rp_attachments_count(struct rp_bytes packed, size_t *ret_count) {
    size_t count = 0;
    struct rp_bytes attachment;
    enum rp_err err;
    while ((err = rp_attachments_next(&packed, &attachment)) == RP_OK) {
        count++;
    }
    if (err != RP_MORE) {
        return err;
    }
    *ret_count = count;
    return RP_OK;
}
