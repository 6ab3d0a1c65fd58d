/* Any bytes as a message between processes: operations are taken off it until one is none, and what
 * was taken is written and read again as it was.
 *
 * Input: the message. */
#include "common/alloc.h"
#include "common/assert.h"
#include "proto/op.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_inside(struct rp_bytes inner, struct rp_bytes outer) {
    return inner.data >= outer.data && inner.data + inner.len <= outer.data + outer.len;
}

#define SAME_U64(T, field) RP_ASSERT(a->T.field == b->T.field);
#define SAME_BYTES(T, field)                                                                       \
    RP_ASSERT(is_inside(a->T.field, message) && rp_bytes_eq(a->T.field, b->T.field));
#define SAME(NAME, name, code)                                                                     \
    case RP_OP_##NAME:                                                                             \
        RP_OP_##NAME##_F(name, SAME_U64, SAME_BYTES) break;

static void check_same(const struct rp_op *a, const struct rp_op *b, struct rp_bytes message) {
    RP_ASSERT(a->kind == b->kind);
    switch (a->kind) { RP_OP_LIST(SAME) }
}

static void check_again(const struct rp_op *op, struct rp_bytes message) {
    struct rp_buf out;
    rp_buf_init(&out, message.len + 256); /* a number may have been shorter: 9 bytes each now */
    RP_ASSERT(rp_op_put(&out, op) == RP_OK);
    struct rp_op_reader *r = rp_op_reader_new();
    struct rp_bytes in = rp_buf_bytes(&out);
    struct rp_op again;
    RP_ASSERT(rp_op_next(r, &in, &again) == RP_OK);
    RP_ASSERT(in.len == 0);
    check_same(op, &again, message);
    rp_op_reader_free(r);
    rp_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rp_bytes message = rp_bytes(data, size), in = message;
    struct rp_op_reader *r = rp_op_reader_new();
    while (in.len > 0) {
        struct rp_bytes before = in;
        struct rp_op op;
        if (rp_op_next(r, &in, &op) != RP_OK) {
            RP_ASSERT(in.data == before.data && in.len == before.len);
            break;
        }
        RP_ASSERT(in.len < before.len && in.data + in.len == data + size);
        RP_ASSERT(rp_op_name(op.kind)[0] != '\0');
        check_again(&op, message);
    }
    rp_op_reader_free(r);
    return 0;
}
