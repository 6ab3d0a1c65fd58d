/* tests/unit/test_op.c — proto/op: every operation of op_list.h there and back, and everything that
 * is none. The tests walk the list, so a new operation is tested by being in it. */
#include "proto/op.h"

#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

enum { OP_BYTES_MAX = 4 << 20 };

/* ---- what the tests know of each operation ---- */

static const uint64_t numbers[] = {
    0,
    1,
    23,
    127,
    128,
    255,
    256,
    65535,
    65536,
    UINT32_MAX,
    (uint64_t) UINT32_MAX + 1,
    INT64_MAX,
    UINT64_MAX,
};
static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
static uint8_t filling[65536];

/* Gives the k-th value of its kind, so that k from 0 on tries all of them in all fields. */
static uint64_t number(size_t k) {
    return numbers[k % COUNT(numbers)];
}

static struct rp_bytes bytes(size_t k) {
    return rp_bytes(filling, lengths[k % COUNT(lengths)]);
}

#define FILL_U(T, field) op.T.field = number(k++);
#define FILL_B(T, field) op.T.field = bytes(k++);
#define SAME_U(T, field) assert_int_equal(a->T.field, b->T.field);
#define SAME_B(T, field) assert_true(rp_bytes_eq(a->T.field, b->T.field));
#define KIND_U(T, field) "U"
#define KIND_B(T, field) "B"

#define DEFINE(NAME, name, code)                                                                   \
    static struct rp_op fill_##name(size_t k) {                                                    \
        struct rp_op op = {.kind = RP_OP_##NAME};                                                  \
        RP_OP_##NAME##_F(name, FILL_U, FILL_B) return op;                                          \
    }                                                                                              \
    static void assert_same_##name(const struct rp_op *a, const struct rp_op *b) {                 \
        assert_int_equal(a->kind, b->kind);                                                        \
        RP_OP_##NAME##_F(name, SAME_U, SAME_B)                                                     \
    }
RP_OP_LIST(DEFINE)

#define ENTRY(NAME, name, number)                                                                  \
    {.kind = RP_OP_##NAME,                                                                         \
     .code = number,                                                                               \
     .text = #name,                                                                                \
     .fields = RP_OP_##NAME##_F(name, KIND_U, KIND_B),                                             \
     .fill = fill_##name,                                                                          \
     .assert_same = assert_same_##name},

static const struct {
    enum rp_op_kind kind;
    uint64_t code;
    const char *text;
    const char *fields; /* "UB…", one letter a field */
    struct rp_op (*fill)(size_t k);
    void (*assert_same)(const struct rp_op *a, const struct rp_op *b);
} list[] = {RP_OP_LIST(ENTRY)};

/* ---- reading one operation, from memory of exactly its size ---- */

static enum rp_err read_one(struct rp_bytes encoded, struct rp_op *ret_op, size_t *ret_left) {
    uint8_t *copy = malloc(encoded.len);
    assert_non_null(copy);
    memcpy(copy, encoded.data, encoded.len);
    struct rp_bytes in = rp_bytes(copy, encoded.len);
    struct rp_op_reader *r = rp_op_reader_new();
    enum rp_err err = rp_op_next(r, &in, ret_op);
    *ret_left = in.len;
    rp_op_reader_free(r);
    free(copy);
    return err;
}

static void assert_refused(struct rp_bytes encoded) {
    struct rp_op op = {.kind = RP_OP_EVICT, .evict = {.conn = 77}};
    size_t left;
    assert_int_equal(read_one(encoded, &op, &left), RP_E_PROTOCOL);
    assert_int_equal(left, encoded.len);
    assert_int_equal(op.kind, RP_OP_EVICT);
    assert_int_equal(op.evict.conn, 77);
}

static void assert_taken(struct rp_bytes encoded, enum rp_op_kind kind) {
    struct rp_op op;
    size_t left;
    assert_int_equal(read_one(encoded, &op, &left), RP_OK);
    assert_int_equal(left, 0);
    assert_int_equal(op.kind, kind);
}

/* ---- writing what rp_op_put never would ---- */

struct raw {
    msgpack_sbuffer out;
    msgpack_packer pk;
};

static void raw_begin(struct raw *raw, size_t elements) {
    msgpack_sbuffer_init(&raw->out);
    msgpack_packer_init(&raw->pk, &raw->out, msgpack_sbuffer_write);
    msgpack_pack_array(&raw->pk, elements);
}

static struct rp_bytes raw_bytes(const struct raw *raw) {
    return rp_bytes(raw->out.data, raw->out.size);
}

static void raw_number(struct raw *raw) {
    msgpack_pack_uint64(&raw->pk, 1000);
}

static void raw_bin(struct raw *raw) {
    msgpack_pack_bin(&raw->pk, 3);
    msgpack_pack_bin_body(&raw->pk, "abc", 3);
}

static void raw_str(struct raw *raw) {
    msgpack_pack_str(&raw->pk, 3);
    msgpack_pack_str_body(&raw->pk, "abc", 3);
}

static void raw_nil(struct raw *raw) {
    msgpack_pack_nil(&raw->pk);
}

static void raw_bool(struct raw *raw) {
    msgpack_pack_true(&raw->pk);
}

static void raw_negative(struct raw *raw) {
    msgpack_pack_int64(&raw->pk, -1);
}

static void raw_float(struct raw *raw) {
    msgpack_pack_double(&raw->pk, 1.0);
}

static void raw_array(struct raw *raw) {
    msgpack_pack_array(&raw->pk, 2);
    raw_nil(raw);
    raw_bin(raw);
}

static void raw_map(struct raw *raw) {
    msgpack_pack_map(&raw->pk, 1);
    raw_number(raw);
    raw_array(raw);
}

static void raw_ext(struct raw *raw) {
    msgpack_pack_ext(&raw->pk, 2, 5);
    msgpack_pack_ext_body(&raw->pk, "ab", 2);
}

static void (*const others[])(struct raw *) = {raw_nil,   raw_bool, raw_negative, raw_float,
                                               raw_array, raw_map,  raw_ext};

/* The operation i of the list with its field at `at` replaced (at SIZE_MAX: none), and more fields
 * behind. */
static void raw_op(struct raw *raw, size_t i, size_t at, void (*instead)(struct raw *),
                   size_t extra) {
    size_t fields = strlen(list[i].fields);
    raw_begin(raw, 1 + fields + extra);
    msgpack_pack_uint64(&raw->pk, list[i].code);
    for (size_t k = 0; k < fields; k++) {
        if (k == at) {
            instead(raw);
        } else if (list[i].fields[k] == 'U') {
            raw_number(raw);
        } else {
            raw_bin(raw);
        }
    }
}

/* ---- the tests ---- */

static void test_every_operation_comes_back_as_it_was(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(list); i++) {
        for (size_t k = 0; k < COUNT(numbers) * COUNT(lengths); k++) {
            struct rp_op op = list[i].fill(k), back;
            struct rp_buf out;
            rp_buf_init(&out, OP_BYTES_MAX);
            assert_int_equal(rp_op_put(&out, &op), RP_OK);
            struct rp_op_reader *r = rp_op_reader_new();
            struct rp_bytes in = rp_buf_bytes(&out);
            assert_int_equal(rp_op_next(r, &in, &back), RP_OK);
            assert_int_equal(in.len, 0);
            list[i].assert_same(&op, &back);
            rp_op_reader_free(r);
            rp_buf_done(&out);
        }
    }
}

/* Codes are on the wire: they may be added, never changed or used again. */
static void test_codes_and_names_are_what_they_were(void **state) {
    (void) state;
    static const struct {
        uint64_t code;
        const char *name;
    } table[] = {
        {1, "hello"},     {2, "session"},  {3, "resumed"},    {4, "heartbeat"}, {10, "connect"},
        {11, "close"},    {12, "join"},    {13, "leave"},     {14, "publish"},  {15, "history"},
        {16, "presence"}, {20, "catchup"}, {21, "page_done"}, {40, "welcome"},  {41, "refused"},
        {42, "reset"},    {43, "verdict"}, {50, "connected"}, {51, "done"},     {52, "failed"},
        {53, "result"},   {60, "deliver"}, {61, "member"},    {62, "replay"},   {63, "page"},
        {64, "live"},     {65, "evict"},   {66, "hold"},      {67, "joined"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_string_equal(rp_op_name((enum rp_op_kind) table[i].code), table[i].name);
    }
    assert_string_equal(rp_op_name((enum rp_op_kind) 0), "unknown");
    assert_string_equal(rp_op_name((enum rp_op_kind) 1000000), "unknown");
    for (size_t i = 0; i < COUNT(list); i++) {
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(list[i].code, list[k].code);
        }
    }
}

static void test_every_truncation_is_refused(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(list); i++) {
        for (size_t k = 0; k < 4; k++) {
            struct rp_op op = list[i].fill(k);
            struct rp_buf out;
            rp_buf_init(&out, OP_BYTES_MAX);
            assert_int_equal(rp_op_put(&out, &op), RP_OK);
            for (size_t len = 1; len < out.len && out.len < 2000; len++) {
                assert_refused(rp_bytes(out.data, len));
            }
            rp_buf_done(&out);
        }
    }
}

static void test_fewer_fields_are_refused(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(list); i++) {
        for (size_t fields = 0; fields < strlen(list[i].fields); fields++) {
            struct raw raw;
            raw_begin(&raw, 1 + fields);
            msgpack_pack_uint64(&raw.pk, list[i].code);
            for (size_t k = 0; k < fields; k++) {
                (list[i].fields[k] == 'U' ? raw_number : raw_bin)(&raw);
            }
            assert_refused(raw_bytes(&raw));
            msgpack_sbuffer_destroy(&raw.out);
        }
    }
}

/* A newer peer may send more; whatever it is, it is stepped over, and the next operation is found.
 */
static void test_more_fields_are_skipped(void **state) {
    (void) state;
    enum { EXTRA = 20 }; /* past 15 elements the header grows */
    for (size_t i = 0; i < COUNT(list); i++) {
        for (size_t extra = 1; extra <= EXTRA; extra++) {
            struct raw raw;
            raw_op(&raw, i, SIZE_MAX, NULL, extra);
            for (size_t k = 0; k < extra; k++) {
                others[k % COUNT(others)](&raw);
            }
            assert_taken(raw_bytes(&raw), list[i].kind);
            for (size_t len = 1; len < raw.out.size && extra % 10 == 0; len++) {
                assert_refused(rp_bytes(raw.out.data, len));
            }
            msgpack_sbuffer_destroy(&raw.out);
        }
    }
}

static void test_wrong_types_are_refused(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(list); i++) {
        for (size_t at = 0; list[i].fields[at] != '\0'; at++) {
            struct raw raw;
            for (size_t k = 0; k < COUNT(others); k++) {
                raw_op(&raw, i, at, others[k], 0);
                assert_refused(raw_bytes(&raw));
                msgpack_sbuffer_destroy(&raw.out);
            }
            bool is_number = list[i].fields[at] == 'U';
            raw_op(&raw, i, at, is_number ? raw_bin : raw_number, 0);
            assert_refused(raw_bytes(&raw));
            msgpack_sbuffer_destroy(&raw.out);
            raw_op(&raw, i, at, raw_str, 0);
            if (is_number) {
                assert_refused(raw_bytes(&raw));
            } else {
                assert_taken(raw_bytes(&raw), list[i].kind);
            }
            msgpack_sbuffer_destroy(&raw.out);
        }
    }
}

/* Empty ones too, so that they can be given to memcpy. */
static void test_bytes_are_views_into_the_message(void **state) {
    (void) state;
    static const uint8_t message[] = {0x93, 41, 0xA0, 0xA0, 0x93, 41, 0xC4, 0, 0xC4, 0};
    struct rp_bytes in = rp_bytes(message, sizeof message);
    struct rp_op_reader *r = rp_op_reader_new();
    while (in.len > 0) {
        struct rp_op op;
        assert_int_equal(rp_op_next(r, &in, &op), RP_OK);
        assert_int_equal(op.refused.code.len + op.refused.message.len, 0);
        assert_true(op.refused.code.data > message && op.refused.code.data <= in.data);
        assert_true(op.refused.message.data > message && op.refused.message.data <= in.data);
    }
    rp_op_reader_free(r);
}

static bool is_known(uint64_t code) {
    for (size_t i = 0; i < COUNT(list); i++) {
        if (list[i].code == code) {
            return true;
        }
    }
    return false;
}

static void test_unknown_codes_are_refused(void **state) {
    (void) state;
    static const uint64_t far[] = {UINT32_MAX, (uint64_t) UINT32_MAX + 2, UINT64_MAX};
    for (uint64_t i = 0; i < 300 + COUNT(far); i++) {
        uint64_t code = i < 300 ? i : far[i - 300];
        struct raw raw;
        raw_begin(&raw, 12);
        msgpack_pack_uint64(&raw.pk, code);
        for (size_t k = 0; k < 11; k++) {
            raw_number(&raw);
        }
        if (!is_known(code)) {
            assert_refused(raw_bytes(&raw));
        }
        msgpack_sbuffer_destroy(&raw.out);
    }
    for (size_t k = 0; k < COUNT(others); k++) { /* a code that is no number */
        struct raw raw;
        raw_begin(&raw, 2);
        others[k](&raw);
        raw_number(&raw);
        assert_refused(raw_bytes(&raw));
        msgpack_sbuffer_destroy(&raw.out);
    }
}

/* Every first byte, alone and with a few behind it: what is no array of the right length is
 * refused, however much it announces. */
static void test_what_is_no_operation_is_refused(void **state) {
    (void) state;
    for (unsigned first = 0; first < 256; first++) {
        const uint8_t text[] = {(uint8_t) first, 0xFF, 0xFF, 0xFF, 0xFF, 0x01, 0x01, 0x01, 0x01};
        for (size_t len = 1; len <= sizeof text; len++) {
            assert_refused(rp_bytes(text, len));
        }
    }
    uint8_t deep[5000];
    memset(deep, 0x91, sizeof deep); /* arrays of one, one in another */
    assert_refused(rp_bytes(deep, sizeof deep));
}

static void test_operations_are_taken_one_after_another(void **state) {
    (void) state;
    struct rp_buf out;
    rp_buf_init(&out, COUNT(list) * (size_t) OP_BYTES_MAX);
    for (size_t i = 0; i < COUNT(list); i++) {
        struct rp_op op = list[i].fill(i);
        assert_int_equal(rp_op_put(&out, &op), RP_OK);
    }
    size_t whole = out.len;
    assert_int_equal(rp_buf_put_str(&out, "garbage"), RP_OK);
    struct rp_op_reader *r = rp_op_reader_new();
    struct rp_bytes in = rp_buf_bytes(&out);
    struct rp_op op;
    for (size_t i = 0; i < COUNT(list); i++) {
        struct rp_op expected = list[i].fill(i);
        assert_int_equal(rp_op_next(r, &in, &op), RP_OK);
        list[i].assert_same(&op, &expected);
    }
    assert_int_equal(in.len, out.len - whole);
    assert_int_equal(rp_op_next(r, &in, &op), RP_E_PROTOCOL);
    assert_int_equal(in.len, out.len - whole);
    rp_op_reader_free(r);
    assert_null(rp_op_reader_free(NULL));
    rp_buf_done(&out);
}

static void test_a_full_buffer_is_left_as_it_was(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(list); i++) {
        struct rp_op op = list[i].fill(1); /* short fields */
        struct rp_buf out;
        rp_buf_init(&out, OP_BYTES_MAX);
        assert_int_equal(rp_op_put(&out, &op), RP_OK);
        size_t len = out.len;
        rp_buf_done(&out);
        for (size_t room = 0; room <= len; room++) {
            rp_buf_init(&out, 3 + room);
            assert_int_equal(rp_buf_put_str(&out, "abc"), RP_OK);
            assert_int_equal(rp_op_put(&out, &op), room < len ? RP_E_FULL : RP_OK);
            assert_int_equal(out.len, room < len ? 3 : 3 + len);
            assert_memory_equal(out.data, "abc", 3);
            rp_buf_done(&out);
        }
    }
}

int main(void) {
    for (size_t i = 0; i < sizeof filling; i++) {
        filling[i] = (uint8_t) (i * 7 + i / 256);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_operation_comes_back_as_it_was),
        cmocka_unit_test(test_codes_and_names_are_what_they_were),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_fewer_fields_are_refused),
        cmocka_unit_test(test_more_fields_are_skipped),
        cmocka_unit_test(test_wrong_types_are_refused),
        cmocka_unit_test(test_bytes_are_views_into_the_message),
        cmocka_unit_test(test_unknown_codes_are_refused),
        cmocka_unit_test(test_what_is_no_operation_is_refused),
        cmocka_unit_test(test_operations_are_taken_one_after_another),
        cmocka_unit_test(test_a_full_buffer_is_left_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
