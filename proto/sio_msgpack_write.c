/* JSON to msgpack, in two walks: msgpack says how many elements an array has before the first of
 * them, so the first walk counts, and finds the objects that stand for attachments. */
#include "proto/sio_msgpack.h"

#include "common/assert.h"
#include "proto/attachments.h"
#include "proto/sio_placeholder.h"

#include <msgpack.h>
#include <stdlib.h>

enum { NO_ATTACHMENT = -1 };

/* What the first walk finds out about an array or object. */
struct shape {
    uint32_t count; /* elements, or members */
    int32_t attachment;
};

struct writer {
    struct rp_buf *out;
    size_t before;
    msgpack_packer packer;
    enum rp_err err; /* once it is one, nothing more is written */
    size_t attachments_count;
    struct rp_bytes attachments[RP_SIO_ATTACHMENTS_MAX];
    struct rp_buf shapes;  /* of all arrays and objects, in the order in which they open */
    struct rp_buf scratch; /* the text of one string or number */
};

static int put_bytes(void *ctx, const char *data, size_t len) {
    struct writer *w = ctx;
    w->err = w->err ? w->err : rp_buf_put(w->out, rp_bytes(data, len));
    return w->err ? -1 : 0;
}

/* w is filled in place, since the packer has a pointer to it. */
static void writer_init(struct writer *w, struct rp_buf *out, struct rp_bytes attachments) {
    *w = (struct writer){.out = out, .before = out->len};
    msgpack_packer_init(&w->packer, w, put_bytes);
    rp_buf_init(&w->shapes, SIZE_MAX); /* both are bounded by the JSON */
    rp_buf_init(&w->scratch, SIZE_MAX);
    struct rp_bytes attachment;
    enum rp_err err;
    while ((err = rp_attachments_next(&attachments, &attachment)) == RP_OK) {
        if (w->attachments_count == RP_SIO_ATTACHMENTS_MAX) {
            break;
        }
        w->attachments[w->attachments_count++] = attachment;
    }
    w->err = err == RP_MORE ? RP_OK : RP_E_INVALID;
}

static enum rp_err writer_finish(struct writer *w) {
    if (w->err != RP_OK) {
        w->out->len = w->before;
    }
    rp_buf_done(&w->shapes);
    rp_buf_done(&w->scratch);
    return w->err;
}

/* ---- the first walk ---- */

static struct shape *shape_at(struct writer *w, size_t index) {
    return (struct shape *) (void *) w->shapes.data + index;
}

static size_t add_shape(struct writer *w) {
    struct shape shape = {.attachment = NO_ATTACHMENT};
    enum rp_err err = rp_buf_put(&w->shapes, rp_bytes(&shape, sizeof shape));
    RP_ASSERT(err == RP_OK);
    return w->shapes.len / sizeof shape - 1;
}

/* An array or object that is open. */
struct open {
    size_t shape_index;
    struct rp_sio_placeholder placeholder;
};

static enum rp_err close_shape(struct writer *w, const struct open *open,
                               struct rp_sio_named *named) {
    /* without attachments an object is an object */
    if (w->attachments_count == 0 || !open->placeholder.is_placeholder) {
        return RP_OK;
    }
    if (!rp_sio_placeholder_names(&open->placeholder, named)) {
        return RP_E_INVALID;
    }
    shape_at(w, open->shape_index)->attachment = (int32_t) open->placeholder.index;
    return RP_OK;
}

/* Fills in the shapes. *ret_count is how many values there are, which are not inside another. */
static enum rp_err measure(struct writer *w, struct rp_bytes values, uint32_t *ret_count) {
    struct open open[RP_JSON_DEPTH_MAX]; /* by the depth inside, less one */
    struct rp_sio_named named = {.attachments_count = (uint32_t) w->attachments_count};
    struct rp_json_walk walk = rp_json_walk(values);
    *ret_count = 0;
    for (;;) {
        struct rp_json_token token = rp_json_walk_next(&walk);
        enum rp_err err = RP_OK;
        switch (token.step) {
        case RP_JSON_OPEN:
        case RP_JSON_SCALAR:
            if (token.depth > 0) {
                shape_at(w, open[token.depth - 1].shape_index)->count++;
            } else {
                ++*ret_count;
            }
            if (token.key.len > 0) {
                rp_sio_placeholder_member(&open[token.depth - 1].placeholder, &token);
            }
            if (token.step == RP_JSON_OPEN) {
                open[token.depth] = (struct open){.shape_index = add_shape(w)};
            }
            break;
        case RP_JSON_CLOSE:
            err = close_shape(w, &open[token.depth], &named);
            break;
        case RP_JSON_END:
            return RP_OK;
        case RP_JSON_BROKEN:
            err = RP_E_INVALID;
            break;
        }
        if (err != RP_OK) {
            return err;
        }
    }
}

/* ---- the second walk ---- */

/* What msgpack-c answers is also in w->err. */

static void write_str(struct writer *w, struct rp_bytes utf8) {
    if (msgpack_pack_str(&w->packer, utf8.len) == 0 && utf8.len > 0) {
        msgpack_pack_str_body(&w->packer, utf8.data, utf8.len);
    }
}

static void write_bin(struct writer *w, struct rp_bytes bytes) {
    if (msgpack_pack_bin(&w->packer, bytes.len) == 0 && bytes.len > 0) {
        msgpack_pack_bin_body(&w->packer, bytes.data, bytes.len);
    }
}

static void write_json_string(struct writer *w, struct rp_bytes value) {
    struct rp_bytes text;
    if (!rp_json_string_plain(value, &text)) {
        rp_buf_clear(&w->scratch);
        if (rp_json_string_decode_lossy(value, &w->scratch) != RP_OK) {
            w->err = w->err ? w->err : RP_E_INVALID;
            return;
        }
        text = rp_buf_bytes(&w->scratch);
    }
    write_str(w, text);
}

/* Reads the same as it would in JavaScript, infinity for what is too large among it. */
static void write_float(struct writer *w, struct rp_bytes number) {
    rp_buf_clear(&w->scratch);
    enum rp_err err = rp_buf_put(&w->scratch, number);
    err = err ? err : rp_buf_put(&w->scratch, RP_BYTES_LIT("\0"));
    RP_ASSERT(err == RP_OK);
    msgpack_pack_double(&w->packer, strtod((const char *) w->scratch.data, NULL));
}

static void write_number(struct writer *w, struct rp_bytes number) {
    static const uint64_t magnitude_max = UINT64_C(1) << 63; /* of a negative one */
    bool is_negative = number.data[0] == '-';
    uint64_t magnitude;
    /* fails for what is no integer: there is a '.' or an 'e' in it */
    bool is_integer = rp_bytes_to_u64(rp_bytes_skip(number, is_negative), &magnitude);
    if (is_integer && !is_negative) {
        msgpack_pack_uint64(&w->packer, magnitude);
    } else if (is_integer && magnitude > 0 && magnitude <= magnitude_max) {
        msgpack_pack_int64(&w->packer, -1 - (int64_t) (magnitude - 1));
    } else {
        write_float(w, number);
    }
}

static void write_scalar(struct writer *w, struct rp_bytes value) {
    switch (value.data[0]) {
    case '"':
        write_json_string(w, value);
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

/* Goes on after the array or object that was opened at this depth; its shapes are passed, too. */
static void skip_to_close(struct rp_json_walk *walk, size_t depth, size_t *shape_index) {
    struct rp_json_token token;
    do {
        token = rp_json_walk_next(walk);
        *shape_index += token.step == RP_JSON_OPEN;
        RP_ASSERT(token.step != RP_JSON_END && token.step != RP_JSON_BROKEN);
    } while (token.step != RP_JSON_CLOSE || token.depth != depth);
}

/* The values that were measured. */
static void write_values(struct writer *w, struct rp_bytes values) {
    struct rp_json_walk walk = rp_json_walk(values);
    size_t shape_index = 0;
    while (w->err == RP_OK) {
        struct rp_json_token token = rp_json_walk_next(&walk);
        if (token.step == RP_JSON_END) {
            return;
        }
        RP_ASSERT(token.step != RP_JSON_BROKEN);
        if (token.key.len > 0) {
            write_json_string(w, token.key);
        }
        if (token.step == RP_JSON_SCALAR) {
            write_scalar(w, token.value);
        } else if (token.step == RP_JSON_OPEN) {
            const struct shape *shape = shape_at(w, shape_index++);
            if (shape->attachment != NO_ATTACHMENT) {
                write_bin(w, w->attachments[shape->attachment]);
                skip_to_close(&walk, token.depth, &shape_index);
            } else if (token.value.data[0] == '[') {
                msgpack_pack_array(&w->packer, shape->count);
            } else {
                msgpack_pack_map(&w->packer, shape->count);
            }
        }
    }
}

/* ---- packets ---- */

static void write_key(struct writer *w, const char *key) {
    write_str(w, rp_bytes_str(key));
}

static void write_head(struct writer *w, size_t fields_count, enum rp_sio_type type,
                       struct rp_bytes nsp) {
    bool is_main = nsp.len == 0;
    RP_ASSERT(is_main || rp_sio_nsp_valid(nsp));
    msgpack_pack_map(&w->packer, fields_count);
    write_key(w, "type");
    msgpack_pack_int(&w->packer, (int) type);
    write_key(w, "nsp");
    write_str(w, is_main ? RP_BYTES_LIT("/") : nsp);
}

enum rp_err rp_sio_msgpack_put_event(struct rp_buf *out, const struct rp_sio_event *e,
                                     struct rp_bytes attachments) {
    struct writer w;
    writer_init(&w, out, attachments);
    uint32_t args_count = 0;
    w.err = w.err ? w.err : measure(&w, e->args, &args_count);
    if (w.err == RP_OK) {
        write_head(&w, e->has_id ? 4 : 3, RP_SIO_EVENT, e->nsp);
        if (e->has_id) {
            write_key(&w, "id");
            msgpack_pack_uint64(&w.packer, e->id);
        }
        write_key(&w, "data");
        msgpack_pack_array(&w.packer, 1 + (size_t) args_count + (e->offset.len > 0));
        write_str(&w, e->name);
        write_values(&w, e->args);
        if (e->offset.len > 0) {
            write_str(&w, e->offset);
        }
    }
    return writer_finish(&w);
}

enum rp_err rp_sio_msgpack_put_ack(struct rp_buf *out, struct rp_bytes nsp, uint64_t id,
                                   struct rp_bytes args_json, struct rp_bytes attachments) {
    struct writer w;
    writer_init(&w, out, attachments);
    uint32_t args_count = 0;
    w.err = w.err ? w.err : measure(&w, args_json, &args_count);
    if (w.err == RP_OK) {
        write_head(&w, 4, RP_SIO_ACK, nsp);
        write_key(&w, "id");
        msgpack_pack_uint64(&w.packer, id);
        write_key(&w, "data");
        msgpack_pack_array(&w.packer, args_count);
        write_values(&w, args_json);
    }
    return writer_finish(&w);
}

enum rp_err rp_sio_msgpack_put_connect(struct rp_buf *out, struct rp_bytes nsp, struct rp_bytes sid,
                                       struct rp_bytes pid) {
    struct writer w;
    writer_init(&w, out, (struct rp_bytes){0});
    write_head(&w, 3, RP_SIO_CONNECT, nsp);
    write_key(&w, "data");
    msgpack_pack_map(&w.packer, pid.len > 0 ? 2 : 1);
    write_key(&w, "sid");
    write_str(&w, sid);
    if (pid.len > 0) {
        write_key(&w, "pid");
        write_str(&w, pid);
    }
    return writer_finish(&w);
}

enum rp_err rp_sio_msgpack_put_connect_error(struct rp_buf *out, struct rp_bytes nsp,
                                             struct rp_bytes message, struct rp_bytes data_json) {
    struct writer w;
    writer_init(&w, out, (struct rp_bytes){0});
    uint32_t values_count = 0;
    w.err = measure(&w, data_json, &values_count);
    if (w.err == RP_OK && values_count > 1) {
        w.err = RP_E_INVALID;
    }
    if (w.err == RP_OK) {
        write_head(&w, 3, RP_SIO_CONNECT_ERROR, nsp);
        write_key(&w, "data");
        msgpack_pack_map(&w.packer, 1 + (size_t) values_count);
        write_key(&w, "message");
        write_str(&w, message);
        if (values_count > 0) {
            write_key(&w, "data");
            write_values(&w, data_json);
        }
    }
    return writer_finish(&w);
}

enum rp_err rp_sio_msgpack_put_disconnect(struct rp_buf *out, struct rp_bytes nsp) {
    struct writer w;
    writer_init(&w, out, (struct rp_bytes){0});
    write_head(&w, 2, RP_SIO_DISCONNECT, nsp);
    return writer_finish(&w);
}
