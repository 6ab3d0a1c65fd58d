/* msgpack into a list of arguments. What is open is kept on a stack of fixed height, no more than
 * the builder has levels. */
#include "sdk/builder_inner.h"

#include "proto/msgpack_item.h"

struct level {
    uint64_t left; /* elements not yet begun */
    bool is_map;
};

struct reader {
    struct reprise_builder *b;
    struct rp_bytes in;
    size_t depth;
    struct level open[RP_JSON_DEPTH_MAX];
};

static void begin(struct reader *r, bool is_map, uint64_t count) {
    enum reprise_err err = is_map ? reprise_begin_object(r->b) : reprise_begin_array(r->b);
    if (err == REPRISE_OK) {
        r->open[r->depth++] = (struct level){.left = count, .is_map = is_map};
    }
}

static void put_date(struct reprise_builder *b, int64_t ms) {
    char text[RP_MSGPACK_DATE_BYTES];
    reprise_put_string(b, rp_msgpack_date_text(ms, text) ? text : NULL);
}

static void put_item(struct reader *r, const struct rp_msgpack_item *item) {
    struct rp_bytes bytes;
    switch (item->kind) {
    case RP_MSGPACK_NIL:
    case RP_MSGPACK_UNDEFINED:
        reprise_put_null(r->b);
        break;
    case RP_MSGPACK_BOOL:
        reprise_put_bool(r->b, item->as.flag);
        break;
    case RP_MSGPACK_UINT:
        reprise_put_uint64(r->b, item->as.uint);
        break;
    case RP_MSGPACK_INT:
        reprise_put_int64(r->b, item->as.sint);
        break;
    case RP_MSGPACK_FLOAT:
        reprise_put_double(r->b, item->as.real);
        break;
    case RP_MSGPACK_STRING:
        bytes = item->as.bytes;
        reprise_put_text(r->b, (const char *) bytes.data, bytes.len);
        break;
    case RP_MSGPACK_BINARY:
        reprise_put_binary(r->b, item->as.bytes.data, item->as.bytes.len);
        break;
    case RP_MSGPACK_DATE:
        put_date(r->b, item->as.sint);
        break;
    case RP_MSGPACK_ARRAY:
    case RP_MSGPACK_MAP:
        begin(r, item->kind == RP_MSGPACK_MAP, item->as.count);
        break;
    }
}

/* The next element of what is open, or its end. A member that is undefined is left out. */
static enum rp_err take_element(struct reader *r) {
    struct level *level = &r->open[r->depth - 1];
    if (level->left == 0) {
        r->depth--;
        if (level->is_map) {
            reprise_end_object(r->b);
        } else {
            reprise_end_array(r->b);
        }
        return RP_OK;
    }
    level->left--;
    bool is_map = level->is_map;
    struct rp_msgpack_item item;
    struct rp_bytes key;
    enum rp_err err = is_map ? rp_msgpack_take_key(&r->in, &key) : RP_OK;
    err = err ? err : rp_msgpack_take(&r->in, &item);
    if (err != RP_OK || (is_map && item.kind == RP_MSGPACK_UNDEFINED)) {
        return err;
    }
    if (is_map) {
        reprise_put_key_text(r->b, (const char *) key.data, key.len);
    }
    put_item(r, &item);
    return RP_OK;
}

enum reprise_err reprise_put_msgpack(struct reprise_builder *b, const void *data, size_t len) {
    if (b == NULL || b->err != REPRISE_OK) {
        return rp_builder_fail(b, REPRISE_OK);
    }
    struct reader r = {.b = b, .in = rp_bytes(data, data != NULL ? len : 0)};
    struct rp_msgpack_item item;
    enum rp_err err = rp_msgpack_take(&r.in, &item);
    if (err == RP_OK) {
        put_item(&r, &item);
    }
    while (err == RP_OK && b->err == REPRISE_OK && r.depth > 0) {
        err = take_element(&r);
    }
    return rp_builder_fail(b, err == RP_OK && r.in.len == 0 ? REPRISE_OK : REPRISE_E_INVALID);
}
