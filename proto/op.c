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

/* ---- decoding ---- */

struct rp_op_reader {
    msgpack_zone zone; /* for the arrays of one operation; byte fields stay in the message */
};

enum { ZONE_CHUNK_BYTES = 4096 };

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

static bool get_field(const struct field *field, const msgpack_object *from, struct rp_op *op) {
    char *at = (char *) op + field->offset;
    if (field->kind == FIELD_U64) {
        *(uint64_t *) (void *) at = from->via.u64;
        return from->type == MSGPACK_OBJECT_POSITIVE_INTEGER;
    }
    struct rp_bytes *bytes = (void *) at;
    if (from->type == MSGPACK_OBJECT_BIN) {
        *bytes = rp_bytes(from->via.bin.ptr, from->via.bin.size);
        return true;
    }
    *bytes = rp_bytes(from->via.str.ptr, from->via.str.size);
    return from->type == MSGPACK_OBJECT_STR;
}

static enum rp_err from_object(const msgpack_object *object, struct rp_op *op) {
    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size == 0 ||
        object->via.array.ptr[0].type != MSGPACK_OBJECT_POSITIVE_INTEGER) {
        return RP_E_PROTOCOL;
    }
    const msgpack_object *values = object->via.array.ptr;
    const struct description *d = describe(values[0].via.u64);
    if (d == NULL || object->via.array.size < d->fields_count + 1) {
        return RP_E_PROTOCOL;
    }
    op->kind = d->code;
    for (size_t i = 0; i < d->fields_count; i++) {
        if (!get_field(&d->fields[i], &values[i + 1], op)) {
            return RP_E_PROTOCOL;
        }
    }
    return RP_OK;
}

enum rp_err rp_op_next(struct rp_op_reader *r, struct rp_bytes *in, struct rp_op *ret_op) {
    RP_ASSERT(in->len > 0);
    msgpack_zone_clear(&r->zone);
    msgpack_object object;
    size_t offset = 0;
    msgpack_unpack_return got =
        msgpack_unpack((const char *) in->data, in->len, &offset, &r->zone, &object);
    if (got != MSGPACK_UNPACK_SUCCESS && got != MSGPACK_UNPACK_EXTRA_BYTES) {
        return RP_E_PROTOCOL;
    }
    struct rp_op op = {0};
    enum rp_err err = from_object(&object, &op);
    if (err != RP_OK) {
        return err;
    }
    *in = rp_bytes_skip(*in, offset);
    *ret_op = op;
    return RP_OK;
}
