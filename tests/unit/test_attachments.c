/* tests/unit/test_attachments.c — proto/attachments: packed, taken out again, cut off anywhere. */
#include "proto/attachments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define PACKED                                                                                     \
    "\0\0\0\3abc"                                                                                  \
    "\0\0\0\0"                                                                                     \
    "\0\0\1\0"

enum { LONG = 256, SHORT_PARTS = sizeof PACKED - 1, WHOLE = SHORT_PARTS + LONG };

/* "abc", "", 256 times 'x' */
static void fill(uint8_t packed[WHOLE]) {
    memcpy(packed, PACKED, SHORT_PARTS);
    memset(packed + SHORT_PARTS, 'x', LONG);
}

static void test_attachments_are_packed(void **state) {
    (void) state;
    uint8_t expected[WHOLE];
    fill(expected);
    const struct rp_bytes parts[] = {
        RP_BYTES_LIT("abc"), {0}, rp_bytes(expected + SHORT_PARTS, LONG)};
    struct rp_buf out;
    rp_buf_init(&out, WHOLE);
    for (size_t i = 0; i < 3; i++) {
        size_t before = out.len;
        assert_int_equal(rp_attachments_put(&out, parts[i]), RP_OK);
        assert_int_equal(out.len - before, rp_attachments_packed_len(parts[i].len));
    }
    assert_true(rp_bytes_eq(rp_buf_bytes(&out), rp_bytes(expected, WHOLE)));
    assert_int_equal(rp_attachments_put(&out, (struct rp_bytes){0}), RP_E_FULL);
    assert_int_equal(out.len, WHOLE);
    rp_buf_done(&out);
}

static void test_attachments_are_taken_out(void **state) {
    (void) state;
    uint8_t packed[WHOLE];
    fill(packed);
    struct rp_bytes in = rp_bytes(packed, WHOLE), attachment;
    assert_int_equal(rp_attachments_next(&in, &attachment), RP_OK);
    assert_true(rp_bytes_eq_str(attachment, "abc"));
    assert_int_equal(rp_attachments_next(&in, &attachment), RP_OK);
    assert_int_equal(attachment.len, 0);
    assert_int_equal(rp_attachments_next(&in, &attachment), RP_OK);
    assert_ptr_equal(attachment.data, packed + SHORT_PARTS);
    assert_int_equal(attachment.len, LONG);
    attachment.len = 77;
    assert_int_equal(rp_attachments_next(&in, &attachment), RP_MORE);
    assert_int_equal(attachment.len, 77); /* untouched */
}

static void test_what_is_cut_off_is_refused(void **state) {
    (void) state;
    uint8_t packed[WHOLE];
    fill(packed);
    for (size_t len = 0; len <= WHOLE; len++) {
        uint8_t *copy = malloc(len > 0 ? len : 1);
        assert_non_null(copy);
        memcpy(copy, packed, len);
        size_t wanted = len == 0 ? 0 : len == 7 ? 1 : len == 11 ? 2 : len == WHOLE ? 3 : 99;
        size_t count = 99;
        enum rp_err err = rp_attachments_count(rp_bytes(copy, len), &count);
        assert_int_equal(err, wanted == 99 ? RP_E_PROTOCOL : RP_OK);
        assert_int_equal(count, wanted);
        free(copy);
    }
    size_t count;
    assert_int_equal(rp_attachments_count((struct rp_bytes){0}, &count), RP_OK);
    assert_int_equal(count, 0);
}

static void test_huge_lengths_are_refused(void **state) {
    (void) state;
    static const char *const huge[] = {"\xff\xff\xff\xff----", "\x80\1\1\1----", "\1\1\1\1----"};
    for (size_t i = 0; i < 3; i++) {
        struct rp_bytes in = rp_bytes(huge[i], 8), attachment;
        assert_int_equal(rp_attachments_next(&in, &attachment), RP_E_PROTOCOL);
        assert_int_equal(in.len, 8);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attachments_are_packed),
        cmocka_unit_test(test_attachments_are_taken_out),
        cmocka_unit_test(test_what_is_cut_off_is_refused),
        cmocka_unit_test(test_huge_lengths_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
