/* tests/fuzz/fuzz_sio_msgpack.c — proto/sio_msgpack: what is accepted is a packet as proto/sio
 * would give it, and reads the same once it was written again.
 *
 * The input is one binary message. It also serves as the JSON of an event's arguments, with and
 * without attachments. */
#include "common/assert.h"
#include "proto/attachments.h"
#include "proto/sio_msgpack.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    struct rp_buf json;
    struct rp_buf attachments;
    struct rp_sio_packet packet;
};

static enum rp_err read_message(struct reading *r, struct rp_bytes message) {
    rp_buf_init(&r->json, 64 + 64 * message.len);
    rp_buf_init(&r->attachments, 64 + 5 * message.len);
    return rp_sio_msgpack_parse(message, &r->json, &r->attachments, &r->packet);
}

static void reading_done(struct reading *r) {
    rp_buf_done(&r->json);
    rp_buf_done(&r->attachments);
}

/* The same packet as text, which the other parser must take for the same. */
static void check_as_text(const struct rp_sio_packet *p) {
    struct rp_buf out;
    rp_buf_init(&out, 64 + p->nsp.len + p->payload.len);
    RP_ASSERT(rp_buf_printf(&out, "%d", (int) p->type) == RP_OK);
    if (p->attachments > 0) {
        RP_ASSERT(rp_buf_printf(&out, "%u-", (unsigned) p->attachments) == RP_OK);
    }
    RP_ASSERT(rp_buf_put(&out, p->nsp) == RP_OK && rp_buf_put_str(&out, ",") == RP_OK);
    if (p->has_id) {
        RP_ASSERT(rp_buf_put_u64(&out, p->id) == RP_OK);
    }
    RP_ASSERT(rp_buf_put(&out, p->payload) == RP_OK);
    struct rp_sio_packet text;
    RP_ASSERT(rp_sio_parse(rp_buf_bytes(&out), &text) == RP_OK);
    RP_ASSERT(text.type == p->type && text.attachments == p->attachments);
    RP_ASSERT(text.has_id == p->has_id && text.id == p->id);
    RP_ASSERT(rp_bytes_eq(text.nsp, p->nsp) && rp_bytes_eq(text.payload, p->payload));
    rp_buf_done(&out);
}

/* Writes an event or an ack again; false for other packets. */
static bool write_again(const struct reading *r, struct rp_buf *out) {
    const struct rp_sio_packet *p = &r->packet;
    struct rp_bytes attachments = rp_buf_bytes(&r->attachments);
    if (p->type == RP_SIO_ACK || p->type == RP_SIO_BINARY_ACK) {
        struct rp_bytes args = rp_sio_rest(p->payload, 0);
        RP_ASSERT(rp_sio_msgpack_put_ack(out, p->nsp, p->id, args, attachments) == RP_OK);
        return true;
    }
    if (p->type != RP_SIO_EVENT && p->type != RP_SIO_BINARY_EVENT) {
        return false;
    }
    struct rp_buf name;
    rp_buf_init(&name, p->payload.len);
    RP_ASSERT(rp_json_string_decode(rp_sio_args(p->payload).name, &name) == RP_OK);
    struct rp_sio_event e = {
        .nsp = p->nsp, .name = rp_buf_bytes(&name), .args = rp_sio_rest(p->payload, 1)};
    RP_ASSERT(rp_sio_msgpack_put_event(out, &e, attachments) == RP_OK);
    rp_buf_done(&name);
    return true;
}

static void check_message(struct rp_bytes message) {
    struct reading first, second;
    enum rp_err err = read_message(&first, message);
    RP_ASSERT(err != RP_E_FULL && err != RP_E_INVALID);
    RP_ASSERT(err == RP_OK || (first.json.len == 0 && first.attachments.len == 0));
    if (err == RP_OK) {
        const struct rp_sio_packet *p = &first.packet;
        size_t count;
        RP_ASSERT(rp_sio_shape_valid(p) && rp_sio_nsp_valid(p->nsp));
        RP_ASSERT(rp_attachments_count(rp_buf_bytes(&first.attachments), &count) == RP_OK);
        RP_ASSERT(count == p->attachments && rp_bytes_is_utf8(p->payload));
        RP_ASSERT(count == 0 || rp_sio_placeholders_valid(p->payload, count));
        check_as_text(p);
        struct rp_buf out;
        rp_buf_init(&out, 128 + 3 * first.json.len + first.attachments.len + p->nsp.len);
        if (write_again(&first, &out)) {
            RP_ASSERT(read_message(&second, rp_buf_bytes(&out)) == RP_OK);
            const struct rp_sio_packet *again = &second.packet;
            RP_ASSERT(again->has_id == p->has_id || p->type == RP_SIO_EVENT ||
                      p->type == RP_SIO_BINARY_EVENT);
            RP_ASSERT(rp_bytes_eq(again->nsp, p->nsp));
            RP_ASSERT(again->type == p->type && again->attachments == p->attachments);
            RP_ASSERT(rp_bytes_eq(again->payload, p->payload));
            RP_ASSERT(
                rp_bytes_eq(rp_buf_bytes(&second.attachments), rp_buf_bytes(&first.attachments)));
            reading_done(&second);
        }
        rp_buf_done(&out);
    }
    reading_done(&first);
}

/* Any text can be asked to be written: what is, can be read. */
static void check_args(struct rp_bytes args, struct rp_bytes attachments) {
    struct rp_buf out;
    rp_buf_init(&out, 128 + 3 * args.len + attachments.len);
    struct rp_sio_event e = {
        .name = RP_BYTES_LIT("a"), .args = args, .offset = RP_BYTES_LIT("18734-k7f3")};
    enum rp_err err = rp_sio_msgpack_put_event(&out, &e, attachments);
    RP_ASSERT(err == RP_OK || (err == RP_E_INVALID && out.len == 0));
    if (err == RP_OK && rp_bytes_is_utf8(args)) {
        struct reading r;
        err = read_message(&r, rp_buf_bytes(&out));
        /* the array around the arguments is one level more */
        RP_ASSERT(err == RP_OK || err == RP_E_TOO_BIG);
        reading_done(&r);
    }
    rp_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rp_bytes input = rp_bytes(data, size);
    check_message(input);
    check_args(input, (struct rp_bytes){0});
    check_args(input, RP_BYTES_LIT("\0\0\0\1x\0\0\0\0"));
    return 0;
}
