/* tests/fuzz/fuzz_sio.c — proto/eio and proto/sio: what is accepted means the same written again.
 *
 * The input is the text of one frame. As it is, it is taken for an Engine.IO packet, and a
 * message's data for a Socket.IO packet; the same data, cut at NULs, also serves as the parts of
 * what the writers write. */
#include "common/assert.h"
#include "proto/eio.h"
#include "proto/sio.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_inside(struct rp_bytes part, struct rp_bytes whole) {
    return part.len == 0 ||
           (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

static void assert_same(const struct rp_sio_packet *a, const struct rp_sio_packet *b) {
    RP_ASSERT(a->type == b->type);
    RP_ASSERT(a->attachments == b->attachments);
    RP_ASSERT(a->has_id == b->has_id && a->id == b->id);
    RP_ASSERT(rp_bytes_eq(a->nsp, b->nsp));
    RP_ASSERT(rp_bytes_eq(a->payload, b->payload));
}

/* The packet in its canonical form, by the grammar in proto/sio.h and not by its writers. */
static void check_rendered_again(const struct rp_sio_packet *p) {
    struct rp_buf out;
    rp_buf_init(&out, 64 + p->nsp.len + p->payload.len);
    RP_ASSERT(rp_buf_printf(&out, "%d", (int) p->type) == RP_OK);
    if (p->attachments > 0) {
        RP_ASSERT(rp_buf_printf(&out, "%u-", (unsigned) p->attachments) == RP_OK);
    }
    if (!rp_bytes_eq_str(p->nsp, "/")) {
        RP_ASSERT(rp_buf_put(&out, p->nsp) == RP_OK);
        RP_ASSERT(rp_buf_put_str(&out, ",") == RP_OK);
    }
    if (p->has_id) {
        RP_ASSERT(rp_buf_put_u64(&out, p->id) == RP_OK);
    }
    RP_ASSERT(rp_buf_put(&out, p->payload) == RP_OK);
    struct rp_sio_packet again;
    RP_ASSERT(rp_sio_parse(rp_buf_bytes(&out), &again) == RP_OK);
    assert_same(p, &again);
    rp_buf_done(&out);
}

/* The written event, which must be as long as announced, as a packet. Gives the memory. */
static uint8_t *write_event(const struct rp_sio_event *e, struct rp_sio_packet *ret_packet) {
    size_t len = rp_sio_event_len(e);
    uint8_t *frame = malloc(len);
    RP_ASSERT(frame != NULL);
    RP_ASSERT(rp_sio_event_write(frame, e) == frame + len);
    struct rp_eio_packet message;
    RP_ASSERT(rp_eio_parse(rp_bytes(frame, len), &message) == RP_OK);
    RP_ASSERT(message.type == RP_EIO_MESSAGE);
    RP_ASSERT(rp_sio_parse(message.data, ret_packet) == RP_OK);
    bool is_binary = e->attachments_count > 0;
    RP_ASSERT(ret_packet->type == (is_binary ? RP_SIO_BINARY_EVENT : RP_SIO_EVENT));
    RP_ASSERT(ret_packet->attachments == e->attachments_count && !ret_packet->has_id);
    return frame;
}

/* An accepted event, delivered as one to others, has the same name and the same argument bytes. */
static void check_event_delivered(const struct rp_sio_packet *p) {
    struct rp_sio_args args = rp_sio_args(p->payload);
    struct rp_buf name;
    rp_buf_init(&name, args.name.len);
    if (rp_json_string_decode(args.name, &name) == RP_OK) {
        RP_ASSERT(!rp_sio_name_reserved(rp_buf_bytes(&name)));
        struct rp_sio_event e = {.nsp = p->nsp,
                                 .name = rp_buf_bytes(&name),
                                 .args = rp_sio_rest(p->payload, 1),
                                 .offset = RP_BYTES_LIT("1.18734-k7f3"),
                                 .attachments_count = p->attachments};
        struct rp_sio_packet delivered;
        uint8_t *frame = write_event(&e, &delivered);
        RP_ASSERT(rp_bytes_eq(delivered.nsp, p->nsp));
        struct rp_sio_args there = rp_sio_args(delivered.payload);
        struct rp_bytes sent, got;
        while (rp_sio_args_next(&args, &sent)) {
            RP_ASSERT(rp_sio_args_next(&there, &got));
            RP_ASSERT(rp_bytes_eq(sent, got));
        }
        RP_ASSERT(rp_sio_args_next(&there, &got));
        RP_ASSERT(rp_bytes_eq_str(got, "\"1.18734-k7f3\""));
        RP_ASSERT(!rp_sio_args_next(&there, &got));
        free(frame);
    }
    rp_buf_done(&name);
}

/* What is left from each index on is the elements from there on. */
static void check_rest(struct rp_bytes payload) {
    struct rp_json_iter it = rp_json_iter_array(payload);
    struct rp_bytes element;
    enum { INDEXES_MAX = 32 }; /* rp_sio_rest is linear: all indexes would be quadratic */
    for (size_t k = 0; k < INDEXES_MAX; k++) {
        struct rp_bytes rest = rp_sio_rest(payload, k);
        RP_ASSERT(is_inside(rest, payload));
        RP_ASSERT(rp_bytes_eq(rest, it.rest));
        if (!rp_json_iter_next(&it, NULL, &element)) {
            RP_ASSERT(rest.len == 0);
            return;
        }
        RP_ASSERT(rp_bytes_starts_with(rest, element));
    }
}

/* The same question answered by going into each array and object on its own. Quadratic in depth. */
static bool placeholders_by_iterator(struct rp_bytes value, size_t count, uint32_t *named) {
    bool is_object = rp_json_kind(value) == RP_JSON_OBJECT, is_placeholder = false, has_num = false;
    uint64_t num = 0;
    struct rp_json_iter it = is_object ? rp_json_iter_object(value) : rp_json_iter_array(value);
    struct rp_bytes key, element;
    while (rp_json_iter_next(&it, &key, &element)) {
        if (!placeholders_by_iterator(element, count, named)) {
            return false;
        }
        if (is_object && rp_json_key_is(key, "_placeholder")) {
            is_placeholder = rp_bytes_eq_str(element, "true");
        } else if (is_object && rp_json_key_is(key, "num")) {
            has_num = rp_json_to_u64(element, &num);
        }
    }
    if (!is_placeholder) {
        return true;
    }
    if (!has_num || num >= count || (*named >> num & 1) != 0) {
        return false;
    }
    *named |= UINT32_C(1) << num;
    return true;
}

static void check_placeholders(struct rp_bytes payload) {
    for (size_t count = 0; count <= RP_SIO_ATTACHMENTS_MAX; count++) {
        uint32_t named = 0;
        bool valid = placeholders_by_iterator(payload, count, &named);
        RP_ASSERT(rp_sio_placeholders_valid(payload, count) == valid);
    }
    RP_ASSERT(!rp_sio_placeholders_valid(payload, RP_SIO_ATTACHMENTS_MAX + 1));
}

static void check_shape(const struct rp_sio_packet *p) {
    enum rp_json_kind kind = rp_json_kind(p->payload);
    bool is_binary = p->type == RP_SIO_BINARY_EVENT || p->type == RP_SIO_BINARY_ACK;
    RP_ASSERT(is_binary == (p->attachments > 0));
    RP_ASSERT(p->attachments <= RP_SIO_ATTACHMENTS_MAX);
    RP_ASSERT(p->id <= RP_SIO_ID_MAX && (p->has_id || p->id == 0));
    RP_ASSERT(rp_sio_nsp_valid(p->nsp));
    switch (p->type) {
    case RP_SIO_CONNECT:
        RP_ASSERT(kind == RP_JSON_NONE || kind == RP_JSON_OBJECT);
        RP_ASSERT(!p->has_id);
        break;
    case RP_SIO_DISCONNECT:
        RP_ASSERT(kind == RP_JSON_NONE && !p->has_id);
        break;
    case RP_SIO_EVENT:
    case RP_SIO_BINARY_EVENT:
        RP_ASSERT(kind == RP_JSON_ARRAY);
        check_event_delivered(p);
        check_rest(p->payload);
        check_placeholders(p->payload);
        break;
    case RP_SIO_ACK:
    case RP_SIO_BINARY_ACK:
        RP_ASSERT(kind == RP_JSON_ARRAY && p->has_id);
        check_rest(p->payload);
        check_placeholders(p->payload);
        break;
    case RP_SIO_CONNECT_ERROR:
        RP_ASSERT(kind == RP_JSON_OBJECT || kind == RP_JSON_STRING);
        RP_ASSERT(!p->has_id);
        break;
    }
}

static void check_sio(struct rp_bytes text) {
    struct rp_sio_packet p;
    if (rp_sio_parse(text, &p) != RP_OK) {
        return;
    }
    RP_ASSERT(rp_bytes_eq_str(p.nsp, "/") || is_inside(p.nsp, text));
    RP_ASSERT(is_inside(p.payload, text));
    RP_ASSERT(rp_sio_shape_valid(&p));
    struct rp_bytes again;
    RP_ASSERT(p.payload.len == 0 || rp_json_whole(p.payload, &again) == RP_OK);
    check_shape(&p);
    check_rendered_again(&p);
}

static void check_eio(struct rp_bytes text) {
    struct rp_eio_packet packet;
    if (rp_eio_parse(text, &packet) != RP_OK) {
        return;
    }
    struct rp_buf out;
    rp_buf_init(&out, text.len);
    RP_ASSERT(rp_eio_put(&out, packet.type, packet.data) == RP_OK);
    RP_ASSERT(rp_bytes_eq(rp_buf_bytes(&out), text));
    rp_buf_done(&out);
    if (packet.type == RP_EIO_MESSAGE) {
        check_sio(packet.data);
    }
}

/* Takes what comes before the next NUL, or everything. */
static struct rp_bytes take_part(struct rp_bytes *in) {
    const uint8_t *nul = in->len > 0 ? memchr(in->data, 0, in->len) : NULL;
    struct rp_bytes part = rp_bytes(in->data, nul ? (size_t) (nul - in->data) : in->len);
    *in = rp_bytes_skip(*in, nul ? part.len + 1 : part.len);
    return part;
}

/* The packet that a writer appended, and empties the buffer. */
static void check_written(struct rp_buf *out, enum rp_err err, enum rp_sio_type type,
                          struct rp_bytes nsp) {
    RP_ASSERT(err == RP_OK);
    struct rp_sio_packet p;
    RP_ASSERT(out->data[0] == RP_EIO_MESSAGE);
    RP_ASSERT(rp_sio_parse(rp_bytes_skip(rp_buf_bytes(out), 1), &p) == RP_OK);
    RP_ASSERT(p.type == type);
    RP_ASSERT(rp_bytes_eq(p.nsp, nsp));
    rp_buf_clear(out);
}

static void check_writers(struct rp_bytes parts) {
    struct rp_bytes nsp = take_part(&parts), text = take_part(&parts), json = take_part(&parts);
    nsp = rp_sio_nsp_valid(nsp) ? nsp : RP_BYTES_LIT("/");
    /* too short to be so deep that one level more around it is one too many */
    if (rp_json_whole(json, &json) != RP_OK || json.len >= 2 * RP_JSON_DEPTH_MAX) {
        json = RP_BYTES_LIT("{\"ok\":true}");
    }
    struct rp_buf out;
    rp_buf_init(&out, 64 + nsp.len + 12 * text.len + json.len);
    check_written(&out, rp_sio_put_connect(&out, nsp, text, text), RP_SIO_CONNECT, nsp);
    check_written(&out, rp_sio_put_connect_error(&out, nsp, text, json), RP_SIO_CONNECT_ERROR, nsp);
    check_written(&out, rp_sio_put_disconnect(&out, nsp), RP_SIO_DISCONNECT, nsp);
    check_written(&out, rp_sio_put_ack(&out, nsp, text.len, json), RP_SIO_ACK, nsp);
    size_t count = 1 + text.len % RP_SIO_ATTACHMENTS_MAX;
    check_written(&out, rp_sio_put_binary_ack(&out, nsp, text.len, json, count), RP_SIO_BINARY_ACK,
                  nsp);
    rp_buf_done(&out);
    if (!rp_sio_name_reserved(text)) {
        struct rp_sio_event e = {.nsp = nsp, .name = text, .args = json};
        struct rp_sio_packet p;
        uint8_t *frame = write_event(&e, &p);
        RP_ASSERT(rp_bytes_eq(rp_sio_rest(p.payload, 1), json));
        free(frame);
    }
}

static void check_open(struct rp_bytes sid) {
    struct rp_buf out;
    rp_buf_init(&out, 200 + 6 * sid.len);
    struct rp_eio_open open = {.sid = sid, .max_payload = sid.len};
    RP_ASSERT(rp_eio_put_open(&out, &open) == RP_OK);
    struct rp_eio_packet packet;
    RP_ASSERT(rp_eio_parse(rp_buf_bytes(&out), &packet) == RP_OK);
    struct rp_bytes value;
    RP_ASSERT(packet.type == RP_EIO_OPEN && rp_json_whole(packet.data, &value) == RP_OK);
    RP_ASSERT(rp_json_kind(value) == RP_JSON_OBJECT);
    rp_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rp_bytes text = rp_bytes(data, size);
    check_eio(text);
    check_writers(text);
    check_open(text);
    return 0;
}
