#include "proto/offset.h"

#include "common/assert.h"

#include <stdio.h>

bool rp_offset_is_epoch(struct rp_bytes text) {
    for (size_t i = 0; i < text.len; i++) {
        bool letter = text.data[i] >= 'a' && text.data[i] <= 'z';
        if (!letter && (text.data[i] < '0' || text.data[i] > '9')) {
            return false;
        }
    }
    return text.len >= RP_OFFSET_TAG_LEN && text.len <= RP_EPOCH_BYTES_MAX;
}

enum rp_err rp_offset_parse(struct rp_bytes text, struct rp_offset *ret_offset) {
    const uint8_t *dash = text.len > 0 ? memchr(text.data, '-', text.len) : NULL;
    if (dash == NULL || text.len > RP_OFFSET_BYTES_MAX) {
        return RP_E_INVALID;
    }
    struct rp_bytes seq = rp_bytes(text.data, (size_t) (dash - text.data)), pos = seq;
    struct rp_offset offset = {.tag = rp_bytes_skip(text, seq.len + 1)};
    const uint8_t *dot = seq.len > 0 ? memchr(seq.data, '.', seq.len) : NULL;
    if (dot != NULL) {
        pos.len = (size_t) (dot - seq.data);
        seq = rp_bytes_skip(seq, pos.len + 1);
    }
    if (!rp_bytes_to_u64(pos, &offset.pos) || !rp_bytes_to_u64(seq, &offset.seq) ||
        !rp_offset_is_epoch(offset.tag)) {
        return RP_E_INVALID;
    }
    *ret_offset = offset;
    return RP_OK;
}

struct rp_bytes rp_offset_write(const struct rp_offset *offset, char space[RP_OFFSET_BYTES_MAX]) {
    int len;
    if (offset->pos == offset->seq) {
        len = snprintf(space, RP_OFFSET_BYTES_MAX, "%llu-%.*s", (unsigned long long) offset->seq,
                       RP_BYTES_FMT(offset->tag));
    } else {
        len =
            snprintf(space, RP_OFFSET_BYTES_MAX, "%llu.%llu-%.*s", (unsigned long long) offset->pos,
                     (unsigned long long) offset->seq, RP_BYTES_FMT(offset->tag));
    }
    RP_ASSERT(len > 0 && len < RP_OFFSET_BYTES_MAX);
    return rp_bytes(space, (size_t) len);
}
