/* tests/unit/test_buf.c — common/buf, common/bytes, common/blob: growing bytes with a bound, views,
 * shared bytes. */
#include "common/buf.h"

#include "common/blob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static void assert_bytes(struct rp_bytes actual, const char *expected) {
    if (!rp_bytes_eq_str(actual, expected)) {
        fail_msg("got %.*s instead of %s", RP_BYTES_FMT(actual), expected);
    }
}

/* ---- buf ---- */

static void test_put_fills_to_the_maximum_and_not_past_it(void **state) {
    (void) state;
    for (size_t max = 0; max < 200; max += 13) {
        struct rp_buf b;
        rp_buf_init(&b, max);
        for (size_t i = 0; i < max; i++) {
            char c = (char) ('a' + i % 26);
            assert_int_equal(rp_buf_put(&b, rp_bytes(&c, 1)), RP_OK);
        }
        assert_int_equal(rp_buf_put_str(&b, "x"), RP_E_FULL);
        assert_int_equal(rp_buf_put_u64(&b, 0), RP_E_FULL);
        assert_int_equal(rp_buf_printf(&b, "%d", 1), RP_E_FULL);
        assert_null(rp_buf_reserve(&b, 1));
        assert_null(rp_buf_reserve(&b, SIZE_MAX));
        assert_non_null(rp_buf_reserve(&b, 0));
        assert_int_equal(rp_buf_put(&b, rp_bytes(NULL, 0)), RP_OK);
        assert_int_equal(b.len, max);
        assert_true(b.capacity <= max);
        for (size_t i = 0; i < max; i++) {
            assert_int_equal(b.data[i], 'a' + i % 26);
        }
        rp_buf_done(&b);
        assert_int_equal(b.max, max);
    }
}

static void test_full_changes_nothing(void **state) {
    (void) state;
    struct rp_buf b;
    rp_buf_init(&b, 5);
    assert_int_equal(rp_buf_put_str(&b, "abc"), RP_OK);
    assert_int_equal(rp_buf_put_str(&b, "def"), RP_E_FULL);
    assert_int_equal(rp_buf_put_u64(&b, 123), RP_E_FULL);
    assert_int_equal(rp_buf_printf(&b, "%s", "def"), RP_E_FULL);
    assert_bytes(rp_buf_bytes(&b), "abc");
    assert_int_equal(rp_buf_put_u64(&b, 12), RP_OK);
    assert_bytes(rp_buf_bytes(&b), "abc12");
    rp_buf_done(&b);
}

static void test_numbers_are_decimal(void **state) {
    (void) state;
    static const struct {
        uint64_t value;
        const char *text;
    } table[] = {{0, "0"},
                 {9, "9"},
                 {10, "10"},
                 {UINT32_MAX, "4294967295"},
                 {UINT64_MAX, "18446744073709551615"}};
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_buf b;
        uint64_t back = 1;
        rp_buf_init(&b, 20);
        assert_int_equal(rp_buf_put_u64(&b, table[i].value), RP_OK);
        assert_bytes(rp_buf_bytes(&b), table[i].text);
        assert_true(rp_bytes_to_u64(rp_buf_bytes(&b), &back));
        assert_int_equal(back, table[i].value);
        rp_buf_done(&b);
    }
}

static void test_printf_takes_short_and_long_texts(void **state) {
    (void) state;
    static const size_t lengths[] = {0, 1, 255, 256, 257, 5000};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct rp_buf b;
        rp_buf_init(&b, lengths[i] + 2);
        assert_int_equal(rp_buf_printf(&b, "<%*s>", (int) lengths[i], ""), RP_OK);
        assert_int_equal(b.len, lengths[i] + 2);
        assert_int_equal(b.data[b.len - 1], '>');
        rp_buf_done(&b);
    }
}

static void test_consume_drops_the_front(void **state) {
    (void) state;
    struct rp_buf b;
    rp_buf_init(&b, 100);
    rp_buf_consume(&b, 0); /* of nothing */
    assert_int_equal(rp_buf_put_str(&b, "abcdef"), RP_OK);
    rp_buf_consume(&b, 0);
    rp_buf_consume(&b, 2);
    assert_bytes(rp_buf_bytes(&b), "cdef");
    rp_buf_consume(&b, 4);
    assert_int_equal(b.len, 0);
    assert_int_equal(rp_buf_put_str(&b, "gh"), RP_OK);
    assert_bytes(rp_buf_bytes(&b), "gh");
    rp_buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_true(b.capacity > 0);
    rp_buf_release(&b);
    assert_null(b.data);
    assert_int_equal(rp_buf_put_str(&b, "ij"), RP_OK);
    assert_bytes(rp_buf_bytes(&b), "ij");
    rp_buf_done(&b);
    /* what is small is kept, what is large is not */
    rp_buf_init(&b, 1000);
    assert_int_equal(rp_buf_put_str(&b, "abc"), RP_OK);
    size_t small = b.capacity;
    rp_buf_shrink(&b, small);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.capacity, small);
    rp_buf_shrink(&b, small - 1);
    assert_int_equal(b.capacity, 0);
    rp_buf_done(&b);
}

/* ---- bytes ---- */

static void test_views_compare_and_skip(void **state) {
    (void) state;
    struct rp_bytes ab = RP_BYTES_LIT("ab"), none = rp_bytes(NULL, 0);
    assert_true(rp_bytes_eq(none, rp_bytes_str("")));
    assert_true(rp_bytes_eq(none, rp_bytes_str(NULL)));
    assert_false(rp_bytes_eq(ab, RP_BYTES_LIT("ac")));
    assert_false(rp_bytes_eq(ab, RP_BYTES_LIT("abc")));
    assert_true(rp_bytes_starts_with(ab, none));
    assert_true(rp_bytes_starts_with(ab, RP_BYTES_LIT("a")));
    assert_false(rp_bytes_starts_with(ab, RP_BYTES_LIT("b")));
    assert_false(rp_bytes_starts_with(ab, RP_BYTES_LIT("abc")));
    assert_bytes(rp_bytes_skip(ab, 1), "b");
    assert_int_equal(rp_bytes_skip(ab, 2).len, 0);
    assert_int_equal(rp_bytes_skip(none, 0).len, 0);
}

static void test_to_u64_takes_whole_plain_numbers_only(void **state) {
    (void) state;
    static const char *const wrong[] = {"",
                                        "-1",
                                        "+1",
                                        "01",
                                        "00",
                                        " 1",
                                        "1 ",
                                        "1a",
                                        "a",
                                        "0x1",
                                        "1.0",
                                        "1e3",
                                        ".",
                                        "99999999999999999999",
                                        "18446744073709551616",
                                        "184467440737095516150"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        uint64_t value = 77;
        if (rp_bytes_to_u64(rp_bytes_str(wrong[i]), &value)) {
            fail_msg("taken: \"%s\"", wrong[i]);
        }
        assert_int_equal(value, 77);
    }
    uint64_t value;
    assert_true(rp_bytes_to_u64(RP_BYTES_LIT("18446744073709551615"), &value));
    assert_int_equal(value, UINT64_MAX);
    assert_true(rp_bytes_to_u64(RP_BYTES_LIT("0"), &value));
    assert_int_equal(value, 0);
}

/* The code points by a second road: every string of one to four bytes around the borders of the
 * grammar, decided by decoding. */
static bool decodes(const uint8_t *p, size_t len) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < len;) {
        size_t n = p[i] < 0x80       ? 1
                   : p[i] >> 5 == 6  ? 2
                   : p[i] >> 4 == 14 ? 3
                   : p[i] >> 3 == 30 ? 4
                                     : 0;
        if (n == 0 || i + n > len) {
            return false;
        }
        uint32_t code = n == 1 ? p[i] : p[i] & (0x7Fu >> n);
        for (size_t k = 1; k < n; k++) {
            if (p[i + k] >> 6 != 2) {
                return false;
            }
            code = code << 6 | (p[i + k] & 0x3Fu);
        }
        if (code < least[n] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
            return false;
        }
        i += n;
    }
    return true;
}

static void test_utf8_is_what_decodes(void **state) {
    (void) state;
    static const uint8_t edges[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                    0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE,
                                    0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF8, 0xFE, 0xFF};
    const size_t n = COUNT(edges);
    for (size_t i = 0; i < n * n * n * n; i++) {
        const uint8_t text[] = {edges[i / n / n / n], edges[i / n / n % n], edges[i / n % n],
                                edges[i % n]};
        for (size_t len = 0; len <= 4; len++) {
            assert_int_equal(rp_bytes_is_utf8(rp_bytes(text, len)), decodes(text, len));
        }
    }
}

/* Eight ASCII bytes are taken at once: a wrong byte must be found wherever it stands. */
static void test_utf8_faults_are_found_at_every_place(void **state) {
    (void) state;
    for (size_t len = 1; len <= 40; len++) {
        char text[40];
        memset(text, 'a', sizeof text);
        assert_true(rp_bytes_is_utf8(rp_bytes(text, len)));
        for (size_t at = 0; at < len; at++) {
            text[at] = (char) 0xFF;
            assert_false(rp_bytes_is_utf8(rp_bytes(text, len)));
            text[at] = 'a';
        }
        for (size_t at = 0; at + 1 < len; at++) { /* ä */
            text[at] = (char) 0xC3;
            text[at + 1] = (char) 0xA4;
            assert_true(rp_bytes_is_utf8(rp_bytes(text, len)));
            assert_false(rp_bytes_is_utf8(rp_bytes(text, at + 1)));
            text[at] = text[at + 1] = 'a';
        }
    }
}

/* ---- blob ---- */

static void test_blob_lives_until_its_last_reference(void **state) {
    (void) state;
    struct rp_blob *b = rp_blob_new(3);
    memcpy(b->data, "abc", 3);
    b->twin = rp_blob_new(1); /* goes with it */
    assert_ptr_equal(rp_blob_ref(b), b);
    assert_null(rp_blob_unref(b));
    assert_bytes(rp_blob_bytes(b), "abc"); /* the sanitizer would tell */
    assert_int_equal(b->refs, 1);
    assert_null(rp_blob_unref(b));
    assert_null(rp_blob_unref(NULL));
    b = rp_blob_new(0);
    assert_int_equal(rp_blob_bytes(b).len, 0);
    rp_blob_unref(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_fills_to_the_maximum_and_not_past_it),
        cmocka_unit_test(test_full_changes_nothing),
        cmocka_unit_test(test_numbers_are_decimal),
        cmocka_unit_test(test_printf_takes_short_and_long_texts),
        cmocka_unit_test(test_consume_drops_the_front),
        cmocka_unit_test(test_views_compare_and_skip),
        cmocka_unit_test(test_to_u64_takes_whole_plain_numbers_only),
        cmocka_unit_test(test_utf8_is_what_decodes),
        cmocka_unit_test(test_utf8_faults_are_found_at_every_place),
        cmocka_unit_test(test_blob_lives_until_its_last_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
