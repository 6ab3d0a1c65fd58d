/* msgpack to JSON. What is open is kept on a stack of fixed height. */
#include "proto/sio_msgpack.h"

#include "proto/attachments.h"
#include "proto/msgpack_item.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- data as JSON ---- */

struct level {
    uint64_t left; /* elements not yet begun */
    bool is_map;
    bool has_element; /* the next one needs a comma */
};

struct converter {
    struct rp_buf *json;
    struct rp_buf *attachments;
    uint32_t attachments_count;
    size_t element_at; /* where the element being read begins in the JSON, its comma included */
    size_t depth;
    struct level open[RP_JSON_DEPTH_MAX];
};

/* With as few digits as read the same, but not fewer than 15, which most decimals of people come
 * back from at the first try. Nothing in a message costs more: 1 MB of floats takes 80 ms. Programs
 * do not leave the C locale. */
static enum rp_err put_float(struct rp_buf *json, double real) {
    char text[32];
    if (!isfinite(real)) {
        return rp_buf_put_str(json, "null");
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, real);
        if (strtod(text, NULL) == real) {
            break;
        }
    }
    return rp_buf_put_str(json, text);
}

static enum rp_err put_date(struct rp_buf *json, int64_t ms) {
    char text[RP_MSGPACK_DATE_BYTES];
    return rp_msgpack_date_text(ms, text) ? rp_json_put_string(json, rp_bytes_str(text))
                                          : rp_buf_put_str(json, "null");
}

static enum rp_err put_binary(struct converter *c, struct rp_bytes bytes) {
    if (c->attachments_count == RP_SIO_ATTACHMENTS_MAX) {
        return RP_E_TOO_BIG;
    }
    enum rp_err err = rp_attachments_put(c->attachments, bytes);
    return err ? err
               : rp_buf_printf(c->json, "{\"_placeholder\":true,\"num\":%" PRIu32 "}",
                               c->attachments_count++);
}

static enum rp_err push(struct converter *c, bool is_map, uint64_t count) {
    if (c->depth == RP_JSON_DEPTH_MAX) {
        return RP_E_TOO_BIG;
    }
    c->open[c->depth++] = (struct level){.left = count, .is_map = is_map};
    return rp_buf_put_str(c->json, is_map ? "{" : "[");
}

static enum rp_err put_item(struct converter *c, const struct rp_msgpack_item *item) {
    switch (item->kind) {
    case RP_MSGPACK_NIL:
    case RP_MSGPACK_UNDEFINED:
        return rp_buf_put_str(c->json, "null");
    case RP_MSGPACK_BOOL:
        return rp_buf_put_str(c->json, item->as.flag ? "true" : "false");
    case RP_MSGPACK_UINT:
        return rp_buf_put_u64(c->json, item->as.uint);
    case RP_MSGPACK_INT:
        return rp_buf_printf(c->json, "%" PRId64, item->as.sint);
    case RP_MSGPACK_FLOAT:
        return put_float(c->json, item->as.real);
    case RP_MSGPACK_STRING:
        return rp_json_put_string(c->json, item->as.bytes);
    case RP_MSGPACK_BINARY:
        return put_binary(c, item->as.bytes);
    case RP_MSGPACK_DATE:
        return put_date(c->json, item->as.sint);
    case RP_MSGPACK_ARRAY:
    case RP_MSGPACK_MAP:
        return push(c, item->kind == RP_MSGPACK_MAP, item->as.count);
    }
    return RP_E_PROTOCOL;
}

/* What comes before an element: a comma, a key. */
static enum rp_err begin_element(struct converter *c, struct level *level, struct rp_bytes *in) {
    level->left--;
    c->element_at = c->json->len;
    enum rp_err err = level->has_element ? rp_buf_put_str(c->json, ",") : RP_OK;
    struct rp_bytes key;
    if (err == RP_OK && level->is_map) {
        err = rp_msgpack_take_key(in, &key);
        err = err ? err : rp_json_put_string(c->json, key);
        err = err ? err : rp_buf_put_str(c->json, ":");
    }
    return err;
}

static enum rp_err close_levels(struct converter *c) {
    enum rp_err err = RP_OK;
    while (err == RP_OK && c->depth > 0 && c->open[c->depth - 1].left == 0) {
        c->depth--;
        err = rp_buf_put_str(c->json, c->open[c->depth].is_map ? "}" : "]");
    }
    return err;
}

/* Takes a whole value off the front of *in. Nothing is written for nil and undefined. */
static enum rp_err convert(struct converter *c, struct rp_bytes *in) {
    struct rp_msgpack_item item;
    enum rp_err err = rp_msgpack_take(in, &item);
    if (err != RP_OK || item.kind == RP_MSGPACK_NIL || item.kind == RP_MSGPACK_UNDEFINED) {
        return err;
    }
    err = put_item(c, &item);
    err = err ? err : close_levels(c);
    while (err == RP_OK && c->depth > 0) {
        struct level *level = &c->open[c->depth - 1];
        err = begin_element(c, level, in);
        err = err ? err : rp_msgpack_take(in, &item);
        if (err == RP_OK && level->is_map && item.kind == RP_MSGPACK_UNDEFINED) {
            c->json->len = c->element_at;
        } else if (err == RP_OK) {
            level->has_element = true;
            err = put_item(c, &item);
        }
        err = err ? err : close_levels(c);
    }
    return err;
}

/* ---- the packet ---- */

enum field { FIELD_TYPE, FIELD_NSP, FIELD_DATA, FIELD_ID, FIELDS_COUNT };

static enum field field_of(struct rp_bytes key) {
    static const char *const names[FIELDS_COUNT] = {"type", "nsp", "data", "id"};
    enum field field = FIELD_TYPE;
    while (field < FIELDS_COUNT && !rp_bytes_eq_str(key, names[field])) {
        field++;
    }
    return field;
}

static enum rp_err set_type(struct rp_sio_packet *p, const struct rp_msgpack_item *item) {
    if (item->kind != RP_MSGPACK_UINT || item->as.uint > RP_SIO_CONNECT_ERROR) {
        return RP_E_PROTOCOL;
    }
    p->type = (enum rp_sio_type) item->as.uint;
    return RP_OK;
}

static enum rp_err set_nsp(struct rp_sio_packet *p, const struct rp_msgpack_item *item) {
    if (item->kind != RP_MSGPACK_STRING) {
        return RP_E_PROTOCOL;
    }
    if (item->as.bytes.len > RP_SIO_NSP_BYTES_MAX) {
        return RP_E_TOO_BIG;
    }
    p->nsp = item->as.bytes;
    return rp_sio_nsp_valid(p->nsp) ? RP_OK : RP_E_PROTOCOL;
}

static enum rp_err set_id(struct rp_sio_packet *p, const struct rp_msgpack_item *item) {
    if (item->kind == RP_MSGPACK_NIL || item->kind == RP_MSGPACK_UNDEFINED) {
        return RP_OK;
    }
    if (item->kind != RP_MSGPACK_UINT) {
        return RP_E_PROTOCOL;
    }
    p->has_id = true;
    p->id = item->as.uint;
    return p->id <= RP_SIO_ID_MAX ? RP_OK : RP_E_TOO_BIG;
}

/* One key and its value. */
static enum rp_err take_field(struct rp_bytes *in, struct converter *c, bool seen[FIELDS_COUNT],
                              struct rp_sio_packet *p) {
    struct rp_bytes key;
    enum rp_err err = rp_msgpack_take_key(in, &key);
    if (err != RP_OK) {
        return err;
    }
    enum field field = field_of(key);
    if (field == FIELDS_COUNT) {
        return rp_msgpack_skip(in);
    }
    if (seen[field]) {
        return RP_E_PROTOCOL;
    }
    seen[field] = true;
    if (field == FIELD_DATA) {
        return convert(c, in);
    }
    struct rp_msgpack_item item;
    err = rp_msgpack_take(in, &item);
    if (err != RP_OK) {
        return err;
    }
    return field == FIELD_TYPE  ? set_type(p, &item)
           : field == FIELD_NSP ? set_nsp(p, &item)
                                : set_id(p, &item);
}

static enum rp_err take_packet(struct rp_bytes *in, struct converter *c, struct rp_sio_packet *p) {
    struct rp_msgpack_item map;
    enum rp_err err = rp_msgpack_take(in, &map);
    if (err == RP_OK && map.kind != RP_MSGPACK_MAP) {
        err = RP_E_PROTOCOL;
    }
    bool seen[FIELDS_COUNT] = {false};
    for (uint64_t i = 0; err == RP_OK && i < map.as.count; i++) {
        err = take_field(in, c, seen, p);
    }
    if (err == RP_OK && (in->len > 0 || !seen[FIELD_TYPE] || !seen[FIELD_NSP])) {
        err = RP_E_PROTOCOL;
    }
    return err;
}

static enum rp_sio_type with_attachments(enum rp_sio_type type) {
    return type == RP_SIO_EVENT ? RP_SIO_BINARY_EVENT
           : type == RP_SIO_ACK ? RP_SIO_BINARY_ACK
                                : type;
}

enum rp_err rp_sio_msgpack_parse(struct rp_bytes message, struct rp_buf *json,
                                 struct rp_buf *attachments, struct rp_sio_packet *ret_packet) {
    size_t json_before = json->len, attachments_before = attachments->len;
    struct converter c = {.json = json, .attachments = attachments};
    struct rp_sio_packet p = {0};
    enum rp_err err = take_packet(&message, &c, &p);
    if (err == RP_OK) {
        p.payload = rp_bytes_skip(rp_buf_bytes(json), json_before);
        p.attachments = c.attachments_count;
        p.type = p.attachments > 0 ? with_attachments(p.type) : p.type;
        bool is_valid = rp_sio_shape_valid(&p) &&
                        (p.attachments == 0 || rp_sio_placeholders_valid(p.payload, p.attachments));
        err = is_valid ? RP_OK : RP_E_PROTOCOL;
    }
    if (err != RP_OK) {
        json->len = json_before;
        attachments->len = attachments_before;
        return err;
    }
    *ret_packet = p;
    return RP_OK;
}
