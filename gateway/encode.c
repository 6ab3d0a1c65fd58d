/* gateway/encode.c — Socket.IO packets for clients, rendered once for all their receivers, in the
 * parser this gateway speaks. */
#include "gateway/core.h"
#include "gateway/frames.h"
#include "proto/attachments.h"
#include "proto/sio_msgpack.h"

#include <assert.h>

/* JSON grows as msgpack ("1.5," is nine bytes there), and as base64 in the answer to a poll; even
 * so a packet may be relayed. */
enum { GROWTH_PERCENT = 225 * 4 / 3 + 1, ENVELOPE_BYTES = 4096 };

/* Of arguments and attachments; a client cannot say more at once, and a worker must not. */
enum { EVENT_BYTES_MAX = RP_PAYLOAD_BYTES_MAX };
static_assert((uint64_t) RP_PAYLOAD_BYTES_MAX * GROWTH_PERCENT / 100 + ENVELOPE_BYTES <=
                      RP_RELAY_BYTES_MAX &&
                  (int) RP_PACKET_BYTES_MAX <= (int) RP_PAYLOAD_BYTES_MAX,
              "the largest packet fits the answer to a relayed poll");

static void must(enum rp_err err) {
    RP_ASSERT(err == RP_OK); /* there is room for any message of the broker, rendered */
}

static bool is_msgpack(const struct rp_gateway *g) {
    return g->config.parser == RP_PARSER_MSGPACK;
}

/* The broker sent what it must not. */
static struct rp_blob *malformed(struct rp_gateway *g) {
    g->stats.malformed_messages++;
    return NULL;
}

/* What was rendered in g->encoded, as a packet without attachments of its own. */
static struct rp_blob *encoded_frame(struct rp_gateway *g) {
    struct rp_blob *frame =
        rp_ws_frame(is_msgpack(g) ? RP_WS_BINARY : RP_WS_TEXT, rp_buf_bytes(&g->encoded));
    rp_buf_shrink(&g->encoded, RP_PAGE_BYTES);
    return frame;
}

/* A JSON array's text without its brackets. */
static struct rp_bytes elements(struct rp_bytes array) {
    return array.len >= 2 ? rp_bytes(array.data + 1, array.len - 2) : rp_bytes(NULL, 0);
}

/* Written where it stays: this is the way of most events. */
static struct rp_blob *plain_event(const struct rp_sio_event *event) {
    size_t len = rp_sio_event_len(event);
    uint8_t header[RP_WS_HEADER_MAX];
    size_t head = rp_ws_header(header, RP_WS_TEXT, len);
    struct rp_blob *frame = rp_blob_new(head + len);
    memcpy(frame->data, header, head);
    uint8_t *end = rp_sio_event_write(frame->data + head, event);
    RP_ASSERT(end == frame->data + frame->len);
    return frame;
}

static struct rp_blob *binary_event(struct rp_gateway *g, const struct rp_sio_event *event,
                                    struct rp_bytes attachments) {
    rp_buf_clear(&g->encoded);
    uint8_t *at = rp_buf_reserve(&g->encoded, rp_sio_event_len(event));
    RP_ASSERT(at != NULL);
    uint8_t *end = rp_sio_event_write(at, event);
    struct rp_blob *packet = rp_frames_new(rp_bytes(at, (size_t) (end - at)), attachments);
    rp_buf_shrink(&g->encoded, RP_PAGE_BYTES);
    return packet;
}

struct rp_blob *rp_encode_event(struct rp_gateway *g, const struct rp_encode_event *e) {
    char space[RP_OFFSET_BYTES_MAX];
    struct rp_offset offset = {.pos = e->pos, .seq = e->seq, .tag = rp_gateway_tag(g)};
    if (e->args.len + e->attachments.len > EVENT_BYTES_MAX) {
        return malformed(g);
    }
    struct rp_sio_event event = {.nsp = e->nsp,
                                 .name = e->name,
                                 .args = elements(e->args),
                                 .has_id = e->wants_ack,
                                 .id = e->seq};
    if (!g->config.no_recovery && !e->wants_ack) {
        event.offset = rp_offset_write(&offset, space);
    }
    if (is_msgpack(g)) {
        rp_buf_clear(&g->encoded);
        bool valid = rp_sio_msgpack_put_event(&g->encoded, &event, e->attachments) == RP_OK;
        return valid ? encoded_frame(g) : malformed(g);
    }
    if (e->attachments.len == 0) {
        return plain_event(&event);
    }
    if (rp_attachments_count(e->attachments, &event.attachments_count) != RP_OK) {
        return malformed(g);
    }
    return binary_event(g, &event, e->attachments);
}

struct rp_blob *rp_encode_ack(struct rp_gateway *g, struct rp_bytes nsp, uint64_t id,
                              struct rp_bytes json, struct rp_bytes attachments) {
    size_t count = 0;
    rp_buf_clear(&g->encoded);
    if (is_msgpack(g)) {
        bool valid = rp_sio_msgpack_put_ack(&g->encoded, nsp, id, json, attachments) == RP_OK;
        return valid ? encoded_frame(g) : malformed(g);
    }
    if (rp_attachments_count(attachments, &count) != RP_OK) {
        return malformed(g);
    }
    must(rp_sio_put_binary_ack(&g->encoded, nsp, id, json, count));
    if (count == 0) {
        return encoded_frame(g);
    }
    struct rp_blob *packet = rp_frames_new(rp_buf_bytes(&g->encoded), attachments);
    rp_buf_shrink(&g->encoded, RP_PAGE_BYTES);
    return packet;
}

struct rp_blob *rp_encode_disconnect(struct rp_gateway *g, struct rp_bytes nsp) {
    rp_buf_clear(&g->encoded);
    if (is_msgpack(g)) {
        must(rp_sio_msgpack_put_disconnect(&g->encoded, nsp));
    } else {
        must(rp_sio_put_disconnect(&g->encoded, nsp));
    }
    return encoded_frame(g);
}

struct rp_blob *rp_encode_connect(struct rp_gateway *g, struct rp_bytes nsp, struct rp_bytes sid,
                                  struct rp_bytes pid) {
    rp_buf_clear(&g->encoded);
    if (g->config.no_recovery) {
        pid = rp_bytes(NULL, 0);
    }
    if (is_msgpack(g)) {
        must(rp_sio_msgpack_put_connect(&g->encoded, nsp, sid, pid));
    } else {
        must(rp_sio_put_connect(&g->encoded, nsp, sid, pid));
    }
    return encoded_frame(g);
}

struct rp_blob *rp_encode_connect_error(struct rp_gateway *g, struct rp_bytes nsp,
                                        struct rp_bytes message, struct rp_bytes data) {
    struct rp_bytes value;
    bool has_message = message.len <= RP_FAILURE_MESSAGE_BYTES_MAX && rp_bytes_is_utf8(message);
    bool has_data = data.len > 0 && data.len <= EVENT_BYTES_MAX && rp_bytes_is_utf8(data) &&
                    rp_json_whole(data, &value) == RP_OK;
    g->stats.malformed_messages += !has_message || (data.len > 0 && !has_data);
    message = has_message ? message : RP_BYTES_LIT("refused");
    data = rp_bytes(data.data, has_data ? data.len : 0);
    rp_buf_clear(&g->encoded);
    if (is_msgpack(g)) {
        must(rp_sio_msgpack_put_connect_error(&g->encoded, nsp, message, data));
    } else {
        must(rp_sio_put_connect_error(&g->encoded, nsp, message, data));
    }
    return encoded_frame(g);
}
