/* Any stream of bytes, read whole and in pieces, in either role: the same messages, the same end.
 *
 * Input: one byte of role, limit and whether messages may be compressed, one of how many sizes of
 * pieces follow, the sizes, then the stream. */
#include "common/alloc.h"
#include "common/assert.h"
#include "proto/ws.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORD_BYTES_MAX = 64 << 20 };

static void put(struct rp_buf *record, const void *data, size_t len) {
    RP_ASSERT(rp_buf_put(record, rp_bytes(data, len)) == RP_OK);
}

static void check_msg(const struct rp_ws_msg *msg, size_t message_bytes_max) {
    bool control = msg->kind >= RP_WS_CLOSE;
    RP_ASSERT(msg->payload.len <= (control ? RP_WS_CONTROL_BYTES_MAX : message_bytes_max));
    RP_ASSERT((msg->kind == RP_WS_CLOSE) == (msg->close_code != 0));
    RP_ASSERT(!msg->compressed || !control);
    if ((msg->kind == RP_WS_TEXT && !msg->compressed) || msg->kind == RP_WS_CLOSE) {
        RP_ASSERT(rp_bytes_is_utf8(msg->payload));
    }
}

/* What we write, the other end reads. */
static void check_writer(const struct rp_ws_msg *msg) {
    struct rp_blob *frame;
    if (msg->kind == RP_WS_CLOSE) {
        char reason[RP_WS_REASON_BYTES_MAX + 1] = {0};
        memcpy(reason, msg->payload.data, msg->payload.len);
        frame = rp_ws_close_frame(msg->close_code, reason);
    } else if (msg->compressed) {
        frame = rp_ws_frame_deflated(msg->kind, msg->payload);
    } else {
        frame = rp_ws_frame(msg->kind, msg->payload);
    }
    struct rp_ws_reader r;
    struct rp_ws_msg again;
    struct rp_bytes_mut in = {frame->data, frame->len};
    rp_ws_reader_init(&r, RP_WS_CLIENT, msg->payload.len);
    rp_ws_reader_allow_deflate(&r);
    RP_ASSERT(rp_ws_reader_next(&r, &in, &again) == RP_OK);
    RP_ASSERT(again.kind == msg->kind && again.close_code == msg->close_code);
    RP_ASSERT(again.compressed == msg->compressed);
    if (msg->kind == RP_WS_CLOSE) { /* a reason with a NUL ended there */
        RP_ASSERT(rp_bytes_starts_with(msg->payload, again.payload));
    } else {
        RP_ASSERT(rp_bytes_eq(again.payload, msg->payload));
    }
    rp_ws_reader_done(&r);
    rp_blob_unref(frame);
}

/* Feeds one piece, from memory of exactly its size. */
static enum rp_err feed(struct rp_ws_reader *r, struct rp_bytes piece, size_t message_bytes_max,
                        struct rp_buf *record) {
    uint8_t *copy = malloc(piece.len > 0 ? piece.len : 1);
    RP_ASSERT(copy != NULL);
    if (piece.len > 0) {
        memcpy(copy, piece.data, piece.len);
    }
    struct rp_bytes_mut in = {copy, piece.len};
    struct rp_ws_msg msg;
    enum rp_err err;
    while ((err = rp_ws_reader_next(r, &in, &msg)) == RP_OK) {
        check_msg(&msg, message_bytes_max);
        check_writer(&msg);
        uint64_t head[] = {msg.kind, msg.compressed, msg.close_code, msg.payload.len};
        put(record, head, sizeof head);
        put(record, msg.payload.data, msg.payload.len);
    }
    RP_ASSERT(err != RP_MORE || in.len == 0);
    RP_ASSERT(err == RP_MORE || rp_ws_reader_next(r, &in, &msg) == err);
    RP_ASSERT(r->buf.capacity <= message_bytes_max + RP_WS_CONTROL_BYTES_MAX);
    free(copy);
    return err;
}

/* Pieces of sizes[0], sizes[1], …, around and around; no sizes: whole. */
static void run(uint8_t setting, struct rp_bytes stream, struct rp_bytes sizes,
                struct rp_buf *record) {
    static const size_t limits[] = {0, 1, 16, 125, 126, 1000, 65536, RP_WS_MESSAGE_BYTES_LIMIT};
    size_t message_bytes_max = limits[setting >> 1 & 7];
    struct rp_ws_reader r;
    rp_ws_reader_init(&r, setting & 1 ? RP_WS_CLIENT : RP_WS_SERVER, message_bytes_max);
    if (setting & 0x10) {
        rp_ws_reader_allow_deflate(&r);
    }
    rp_buf_init(record, RECORD_BYTES_MAX);
    enum rp_err err = RP_MORE;
    for (size_t i = 0; stream.len > 0 && err == RP_MORE; i++) {
        size_t n = sizes.len > 0 ? sizes.data[i % sizes.len] + 1u : stream.len;
        n = n < stream.len ? n : stream.len;
        err = feed(&r, rp_bytes(stream.data, n), message_bytes_max, record);
        stream = rp_bytes_skip(stream, n);
    }
    RP_ASSERT(err == RP_MORE || rp_ws_close_code(err) != 1011);
    uint64_t end = (uint64_t) err;
    put(record, &end, sizeof end);
    rp_ws_reader_done(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rp_bytes in = rp_bytes(data, size);
    if (in.len < 2 || in.len - 2 < in.data[1]) {
        return 0;
    }
    uint8_t setting = in.data[0];
    struct rp_bytes sizes = rp_bytes(in.data + 2, in.data[1]);
    struct rp_bytes stream = rp_bytes_skip(in, 2 + sizes.len);
    struct rp_buf whole;
    struct rp_buf pieces;
    run(setting, stream, rp_bytes(NULL, 0), &whole);
    run(setting, stream, sizes, &pieces);
    RP_ASSERT(rp_bytes_eq(rp_buf_bytes(&whole), rp_buf_bytes(&pieces)));
    rp_buf_done(&pieces);
    run(setting, stream, RP_BYTES_LIT("\0"), &pieces); /* byte by byte */
    RP_ASSERT(rp_bytes_eq(rp_buf_bytes(&whole), rp_buf_bytes(&pieces)));
    rp_buf_done(&whole);
    rp_buf_done(&pieces);
    return 0;
}
