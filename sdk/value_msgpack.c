/* A value as msgpack, in two walks: msgpack says how many elements an array has before the first of
 * them, so the first walk counts, and finds the objects that stand for binary values. Both keep
 * what they need in memory that is asked for (sdk/room), where proto/sio_msgpack may abort. */
#include "sdk/value_inner.h"

#include "proto/json.h"
#include "proto/json_walk.h"
#include "proto/sio_placeholder.h"
#include "sdk/number.h"
#include "sdk/room.h"

#include <msgpack.h>
#include <stdlib.h>

/* What the first walk finds out about an array or object. */
struct shape {
    uint32_t count; /* elements, or members */
    bool is_binary;
    uint8_t attachment; /* its number then */
};

struct writer {
    struct rp_buf out;
    struct rp_buf shapes; /* of all arrays and objects, in the order in which they open */
    msgpack_packer packer;
    enum reprise_err err; /* once it is one, nothing more is written */
    struct reprise_value value;
};

static int put_bytes(void *ctx, const char *data, size_t len) {
    struct writer *w = ctx;
    w->err = w->err ? w->err : rp_room(&w->out, len);
    if (w->err != REPRISE_OK) {
        return -1;
    }
    return rp_buf_put(&w->out, rp_bytes(data, len)) == RP_OK ? 0 : -1;
}

/* ---- the first walk ---- */

static struct shape *shape_at(struct writer *w, size_t index) {
    return (struct shape *) (void *) w->shapes.data + index;
}

static void add_shape(struct writer *w) {
    static const struct shape empty = {.count = 0};
    w->err = rp_room(&w->shapes, sizeof empty);
    if (w->err == REPRISE_OK && rp_buf_put(&w->shapes, rp_bytes(&empty, sizeof empty)) != RP_OK) {
        w->err = REPRISE_E_FULL;
    }
}

/* An array or object that is open. */
struct open {
    size_t shape_index;
    struct rp_sio_placeholder placeholder;
};

static void measure(struct writer *w) {
    struct open open[RP_JSON_DEPTH_MAX]; /* by the depth inside, less one */
    struct rp_json_walk walk = rp_json_walk(rp_value_text(w->value));
    bool has_binary = w->value.binary.len > 0;
    while (w->err == REPRISE_OK) {
        struct rp_json_token token = rp_json_walk_next(&walk);
        switch (token.step) {
        case RP_JSON_OPEN:
        case RP_JSON_SCALAR:
            if (token.depth > 0) {
                shape_at(w, open[token.depth - 1].shape_index)->count++;
            }
            if (token.key.len > 0) {
                rp_sio_placeholder_member(&open[token.depth - 1].placeholder, &token);
            }
            if (token.step == RP_JSON_OPEN) {
                open[token.depth] =
                    (struct open){.shape_index = w->shapes.len / sizeof(struct shape)};
                add_shape(w);
            }
            break;
        case RP_JSON_CLOSE: {
            const struct open *closed = &open[token.depth];
            struct shape *shape = shape_at(w, closed->shape_index);
            shape->is_binary = has_binary && closed->placeholder.is_placeholder;
            shape->attachment = shape->is_binary ? (uint8_t) closed->placeholder.index : 0;
            break;
        }
        case RP_JSON_END:
            return;
        case RP_JSON_BROKEN:
            w->err = REPRISE_E_INVALID;
            break;
        }
    }
}

/* ---- the second walk ---- */

/* What msgpack-c answers is also in w->err. */

static void write_string(struct writer *w, struct rp_bytes json) {
    struct rp_json_text text;
    struct rp_bytes piece;
    size_t len;
    if (!rp_value_text_len((struct reprise_value){.json = rp_to_bytes(json)}, &len) ||
        !rp_json_text(json, &text)) {
        w->err = REPRISE_E_INVALID;
        return;
    }
    msgpack_pack_str(&w->packer, len);
    while (rp_json_text_next(&text, &piece)) {
        msgpack_pack_str_body(&w->packer, piece.data, piece.len);
    }
}

static void write_number(struct writer *w, struct rp_bytes number) {
    bool is_negative;
    uint64_t magnitude;
    bool is_integer = rp_number_to_integer(number, &is_negative, &magnitude) == REPRISE_OK;
    if (is_integer && !is_negative) {
        msgpack_pack_uint64(&w->packer, magnitude);
    } else if (is_integer && magnitude > 0 && magnitude - 1 <= INT64_MAX) {
        msgpack_pack_int64(&w->packer, -1 - (int64_t) (magnitude - 1));
    } else {
        msgpack_pack_double(&w->packer, rp_number_to_double(number));
    }
}

static void write_scalar(struct writer *w, struct rp_bytes value) {
    switch (value.data[0]) {
    case '"':
        write_string(w, value);
        break;
    case 'n':
        msgpack_pack_nil(&w->packer);
        break;
    case 't':
        msgpack_pack_true(&w->packer);
        break;
    case 'f':
        msgpack_pack_false(&w->packer);
        break;
    default:
        write_number(w, value);
        break;
    }
}

/* Goes on after the object that was opened at this depth; its shapes are passed, too. */
static void skip_to_close(struct rp_json_walk *walk, size_t depth, size_t *shape_index) {
    struct rp_json_token token;
    do {
        token = rp_json_walk_next(walk);
        *shape_index += token.step == RP_JSON_OPEN;
    } while (token.step == RP_JSON_OPEN || token.step == RP_JSON_SCALAR ||
             (token.step == RP_JSON_CLOSE && token.depth != depth));
}

static void write_binary(struct writer *w, uint8_t attachment) {
    struct rp_bytes bytes;
    if (!rp_value_attachment(rp_of_bytes(w->value.binary), attachment, &bytes)) {
        w->err = REPRISE_E_INVALID;
        return;
    }
    msgpack_pack_bin(&w->packer, bytes.len);
    if (bytes.len > 0) {
        msgpack_pack_bin_body(&w->packer, bytes.data, bytes.len);
    }
}

/* What was measured, and so is well-formed. */
static void write_all(struct writer *w) {
    struct rp_json_walk walk = rp_json_walk(rp_value_text(w->value));
    size_t shape_index = 0;
    while (w->err == REPRISE_OK) {
        struct rp_json_token token = rp_json_walk_next(&walk);
        if (token.step == RP_JSON_END) {
            return;
        }
        if (token.key.len > 0) {
            write_string(w, token.key);
        }
        if (token.step == RP_JSON_SCALAR) {
            write_scalar(w, token.value);
        } else if (token.step == RP_JSON_OPEN) {
            const struct shape *shape = shape_at(w, shape_index++);
            if (shape->is_binary) {
                write_binary(w, shape->attachment);
                skip_to_close(&walk, token.depth, &shape_index);
            } else if (token.value.data[0] == '[') {
                msgpack_pack_array(&w->packer, shape->count);
            } else {
                msgpack_pack_map(&w->packer, shape->count);
            }
        }
    }
}

enum reprise_err reprise_value_to_msgpack(struct reprise_value v, void **ret_data,
                                          size_t *ret_len) {
    enum reprise_err err = reprise_value_check(v);
    if (err != REPRISE_OK) {
        return err;
    }
    struct writer w = {.value = v};
    rp_buf_init(&w.out, SIZE_MAX); /* both are bounded by the value */
    rp_buf_init(&w.shapes, SIZE_MAX);
    msgpack_packer_init(&w.packer, &w, put_bytes);
    measure(&w);
    write_all(&w);
    rp_buf_done(&w.shapes);
    if (w.err != REPRISE_OK) {
        rp_buf_done(&w.out);
        return w.err;
    }
    *ret_data = w.out.data;
    *ret_len = w.out.len;
    return REPRISE_OK;
}
