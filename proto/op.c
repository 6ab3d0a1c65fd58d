/* The tables below are made from op_list.h; encoder and decoder both walk them, so they cannot
 * drift apart. */
#include "proto/op.h"

#include "common/alloc.h"
#include "common/assert.h"

#include <msgpack.h>
#include <stdlib.h>

enum field_kind { FIELD_U64, FIELD_BYTES };

struct field {
    enum field_kind kind;
    size_t offset; /* in struct rp_op */
};

struct description {
    enum rp_op_kind code;
    const char *name;
    const struct field *fields;
    size_t fields_count;
};

#define FIELD_OF_U64(T, field) {FIELD_U64, offsetof(struct rp_op, T.field)},
#define FIELD_OF_BYTES(T, field) {FIELD_BYTES, offsetof(struct rp_op, T.field)},
#define FIELDS(NAME, name, code)                                                                   \
    static const struct field name##_fields[] = {                                                  \
        RP_OP_##NAME##_F(name, FIELD_OF_U64, FIELD_OF_BYTES)};
RP_OP_LIST(FIELDS)

enum { CODES_COUNT = 128 };

#define BY_CODE(NAME, name, code)                                                                  \
    [code] = {RP_OP_##NAME, #name, name##_fields, sizeof name##_fields / sizeof name##_fields[0]},
static const struct description by_code[CODES_COUNT] = {RP_OP_LIST(BY_CODE)};

/* The description of an operation, or NULL if nobody knows the code. */
static const struct description *describe(uint64_t code) {
    return code < CODES_COUNT && by_code[code].name != NULL ? &by_code[code] : NULL;
}

const char *rp_op_name(enum rp_op_kind kind) {
    const struct description *d = describe((uint64_t) kind);
    return d != NULL ? d->name : "unknown";
}

/* ---- encoding ---- */

static int put_bytes(void *ctx, const char *data, size_t len) {
    return rp_buf_put(ctx, rp_bytes(data, len)) == RP_OK ? 0 : -1;
}

static int put_field(msgpack_packer *pk, const struct field *field, const struct rp_op *op) {
    const char *at = (const char *) op + field->offset;
    if (field->kind == FIELD_U64) {
        return msgpack_pack_uint64(pk, *(const uint64_t *) (const void *) at);
    }
    const struct rp_bytes *bytes = (const void *) at;
    int failed = msgpack_pack_bin(pk, bytes->len);
    return failed || bytes->len == 0 ? failed : msgpack_pack_bin_body(pk, bytes->data, bytes->len);
}

enum rp_err rp_op_put(struct rp_buf *out, const struct rp_op *op) {
    const struct description *d = describe((uint64_t) op->kind);
    RP_ASSERT(d != NULL);
    size_t before = out->len;
    msgpack_packer pk;
    msgpack_packer_init(&pk, out, put_bytes);
    int failed = msgpack_pack_array(&pk, d->fields_count + 1);
    failed = failed || msgpack_pack_uint64(&pk, (uint64_t) op->kind);
    for (size_t i = 0; !failed && i < d->fields_count; i++) {
        failed = put_field(&pk, &d->fields[i], op);
    }
    if (failed) {
        out->len = before;
        return RP_E_FULL;
    }
    return RP_OK;
}

/* ---- decoding ----
 *
 * msgpack-c would make a tree of the whole operation, and take memory for as many elements as an
 * array announces before it has seen one of them. So the arrays are walked here, and only numbers
 * and bytes are left to it: reading takes no memory at all, whatever a message claims to hold. */

struct rp_op_reader {
    msgpack_zone zone; /* asked for by msgpack_unpack, never used */
};

enum { ZONE_CHUNK_BYTES = 64 };

struct rp_op_reader *rp_op_reader_new(void) {
    struct rp_op_reader *r = RP_NEW(struct rp_op_reader);
    RP_ASSERT(msgpack_zone_init(&r->zone, ZONE_CHUNK_BYTES));
    return r;
}

struct rp_op_reader *rp_op_reader_free(struct rp_op_reader *r) {
    if (r != NULL) {
        msgpack_zone_destroy(&r->zone);
        free(r);
    }
    return NULL;
}

/* The header of an array or a map (https://github.com/msgpack/msgpack/blob/master/spec.md). */
struct container {
    bool is_array;
    size_t header_len;
    uint64_t count; /* of elements; a map's keys and values are elements */
};

/* RP_E_NOT_FOUND: something else begins here. RP_E_PROTOCOL: the header is cut off. */
static enum rp_err get_container(struct rp_bytes in, struct container *ret_container) {
    if (in.len == 0) {
        return RP_E_PROTOCOL;
    }
    uint8_t first = in.data[0];
    bool fixed_array = first >> 4 == 0x9, fixed_map = first >> 4 == 0x8;
    if (fixed_array || fixed_map) {
        uint64_t count = first & 0xFu;
        *ret_container = (struct container){fixed_array, 1, fixed_map ? 2 * count : count};
        return RP_OK;
    }
    if (first < 0xDC || first > 0xDF) { /* array 16, array 32, map 16, map 32 */
        return RP_E_NOT_FOUND;
    }
    size_t count_len = first & 1 ? 4 : 2;
    uint64_t count = 0;
    if (in.len < 1 + count_len) {
        return RP_E_PROTOCOL;
    }
    for (size_t i = 0; i < count_len; i++) {
        count = count << 8 | in.data[1 + i];
    }
    bool is_array = first < 0xDE;
    *ret_container = (struct container){is_array, 1 + count_len, is_array ? count : 2 * count};
    return RP_OK;
}

/* Takes a value that is neither array nor map off the front of *in. */
static enum rp_err get_scalar(struct rp_op_reader *r, struct rp_bytes *in,
                              msgpack_object *ret_value) {
    size_t offset = 0;
    struct container container;
    if (get_container(*in, &container) != RP_E_NOT_FOUND) {
        return RP_E_PROTOCOL;
    }
    msgpack_unpack_return got =
        msgpack_unpack((const char *) in->data, in->len, &offset, &r->zone, ret_value);
    if (got != MSGPACK_UNPACK_SUCCESS && got != MSGPACK_UNPACK_EXTRA_BYTES) {
        return RP_E_PROTOCOL;
    }
    *in = rp_bytes_skip(*in, offset);
    return RP_OK;
}

/* Steps over count values of any kind, and what is in them. Each takes a byte at least, so a count
 * that is a lie ends with the message. */
static enum rp_err skip_values(struct rp_op_reader *r, struct rp_bytes *in, uint64_t count) {
    for (; count > 0; count--) {
        struct container container;
        msgpack_object ignored;
        enum rp_err err = get_container(*in, &container);
        if (err == RP_OK) {
            *in = rp_bytes_skip(*in, container.header_len);
            count += container.count;
        } else if (err == RP_E_NOT_FOUND) {
            err = get_scalar(r, in, &ignored);
        }
        if (err != RP_OK) {
            return err;
        }
    }
    return RP_OK;
}

/* A field's bytes. Where there are none, msgpack-c names no place: it is behind them all the same.
 */
static struct rp_bytes view(const char *data, size_t len, struct rp_bytes behind) {
    return rp_bytes(len > 0 ? (const uint8_t *) data : behind.data, len);
}

static enum rp_err get_field(struct rp_op_reader *r, struct rp_bytes *in, const struct field *field,
                             struct rp_op *op) {
    char *at = (char *) op + field->offset;
    msgpack_object from;
    enum rp_err err = get_scalar(r, in, &from);
    if (err != RP_OK) {
        return err;
    }
    if (field->kind == FIELD_U64 && from.type == MSGPACK_OBJECT_POSITIVE_INTEGER) {
        *(uint64_t *) (void *) at = from.via.u64;
    } else if (field->kind == FIELD_BYTES && from.type == MSGPACK_OBJECT_BIN) {
        *(struct rp_bytes *) (void *) at = view(from.via.bin.ptr, from.via.bin.size, *in);
    } else if (field->kind == FIELD_BYTES && from.type == MSGPACK_OBJECT_STR) {
        *(struct rp_bytes *) (void *) at = view(from.via.str.ptr, from.via.str.size, *in);
    } else {
        return RP_E_PROTOCOL;
    }
    return RP_OK;
}

static enum rp_err get_op(struct rp_op_reader *r, struct rp_bytes *in, struct rp_op *op) {
    struct container array;
    msgpack_object code;
    if (get_container(*in, &array) != RP_OK || !array.is_array || array.count == 0) {
        return RP_E_PROTOCOL;
    }
    *in = rp_bytes_skip(*in, array.header_len);
    if (get_scalar(r, in, &code) != RP_OK || code.type != MSGPACK_OBJECT_POSITIVE_INTEGER) {
        return RP_E_PROTOCOL;
    }
    const struct description *d = describe(code.via.u64);
    if (d == NULL || array.count < d->fields_count + 1) {
        return RP_E_PROTOCOL;
    }
    op->kind = d->code;
    enum rp_err err = RP_OK;
    for (size_t i = 0; i < d->fields_count && err == RP_OK; i++) {
        err = get_field(r, in, &d->fields[i], op);
    }
    return err == RP_OK ? skip_values(r, in, array.count - 1 - d->fields_count) : err;
}

enum rp_err rp_op_next(struct rp_op_reader *r, struct rp_bytes *in, struct rp_op *ret_op) {
    RP_ASSERT(in->len > 0);
    struct rp_bytes rest = *in;
    struct rp_op op = {0};
    enum rp_err err = get_op(r, &rest, &op);
    if (err == RP_OK) {
        *in = rest;
        *ret_op = op;
    }
    return err;
}
