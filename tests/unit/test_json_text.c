/* tests/unit/test_json_text.c — proto/json: what strings, numbers and words mean; writing. */
#include "proto/json.h"

#include "common/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
/* a string literal that may contain NUL */
#define LIT(literal)                                                                               \
    { (const uint8_t *) (literal), sizeof(literal) - 1 }

static uint8_t *exact_copy(struct rp_bytes text) {
    uint8_t *copy = malloc(text.len > 0 ? text.len : 1);
    assert_non_null(copy);
    if (text.len > 0) {
        memcpy(copy, text.data, text.len);
    }
    return copy;
}

static struct rp_bytes whole(const char *text) {
    struct rp_bytes value;
    assert_int_equal(rp_json_whole(rp_bytes_str(text), &value), RP_OK);
    return value;
}

static void assert_bytes(struct rp_bytes actual, const char *expected) {
    if (!rp_bytes_eq_str(actual, expected)) {
        fail_msg("got %.*s instead of %s", RP_BYTES_FMT(actual), expected);
    }
}

static void test_key_is_sees_through_escapes(void **state) {
    (void) state;
    static const struct {
        const char *raw, *name;
        bool same;
    } table[] = {
        {"\"room\"", "room", true},
        {"\"\"", "", true},
        {"\"roo\"", "room", false},
        {"\"rooms\"", "room", false},
        {"\"Room\"", "room", false},
        {"\"\\u0072oom\"", "room", true},
        {"\"\\u0072\\u006f\\u006F\\u006d\"", "room", true},
        {"\"ro\\u006f\"", "room", false},
        {"\"room\\u0000\"", "room", false},
        {"\"\\u0000\"", "", false},
        {"\"a\\/b\\n\"", "a/b\n", true},
        {"\"\\\"\\\\\\b\\f\\r\\t\"", "\"\\\b\f\r\t", true},
        {"\"\\u00e4\"", "\xc3\xa4", true},
        {"\"\xc3\xa4\"", "\xc3\xa4", true},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80", true},
        {"\"\\ud83d\"", "", false},
        {"\"\\ud83d\"", "\xed\xa0\xbd", false},
        {"room", "room", false}, /* not strings */
        {"\"room", "room", false},
        {"12", "12", false},
        {"", "", false},
        {"\"", "", false},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_int_equal(rp_json_key_is(rp_bytes_str(table[i].raw), table[i].name), table[i].same);
    }
}

static void test_plain_string_is_a_view(void **state) {
    (void) state;
    struct rp_bytes text = RP_BYTES_LIT("untouched");
    static const char *const others[] = {"\"a\\nb\"", "12",       "",    "\"",
                                         "[\"\"]",    "\"a\"b\"", "\"a", "\"a\n\""};
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_false(rp_json_string_plain(rp_bytes_str(others[i]), &text));
        assert_bytes(text, "untouched");
    }
    assert_true(rp_json_string_plain(rp_bytes_str("\"lobby \xc3\xa4\""), &text));
    assert_bytes(text, "lobby \xc3\xa4");
    assert_true(rp_json_string_plain(rp_bytes_str("\"\""), &text));
    assert_int_equal(text.len, 0);
}

static void test_string_decode_gives_utf8(void **state) {
    (void) state;
    static const struct {
        const char *raw;
        struct rp_bytes text;
    } table[] = {
        {"\"\"", LIT("")},
        {"\"abc\"", LIT("abc")},
        {"\"a longer text without escapes\"", LIT("a longer text without escapes")},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", LIT("\"\\/\b\f\n\r\t")},
        {"\"a\\u0000b\"", LIT("a\0b")},
        {"\"\\u007f\\u0080\\u07ff\\u0800\\uFFFF\"",
         LIT("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf")},
        {"\"\\ud7ff\\ue000\"", LIT("\xed\x9f\xbf\xee\x80\x80")},
        {"\"\\ud800\\udc00\\uDBFF\\uDFFF\"", LIT("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")},
        {"\"x\\ud83d\\ude00y\"", LIT("x\xf0\x9f\x98\x80y")},
        {"\"\xf0\x9f\x98\x80\\n\xc3\xa4\"", LIT("\xf0\x9f\x98\x80\n\xc3\xa4")},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_buf out;
        rp_buf_init(&out, 1000);
        assert_int_equal(rp_buf_put_str(&out, "before"), RP_OK);
        assert_int_equal(rp_json_string_decode(whole(table[i].raw), &out), RP_OK);
        struct rp_bytes text = rp_bytes_skip(rp_buf_bytes(&out), 6);
        assert_true(rp_bytes_eq(text, table[i].text));
        assert_true(rp_bytes_is_utf8(text));
        rp_buf_done(&out);
    }
}

static void test_string_decode_refuses_and_changes_nothing(void **state) {
    (void) state;
    static const struct {
        const char *raw;
        enum rp_err err;
    } table[] = {
        {"\"abc\\ud800\"", RP_E_UTF8},
        {"\"\\udc00\"", RP_E_UTF8},
        {"\"\\udc00\\udc00\"", RP_E_UTF8},
        {"\"\\ud800x\"", RP_E_UTF8},
        {"\"\\ud800\\n\"", RP_E_UTF8},
        {"\"\\ud800\\u0041\"", RP_E_UTF8},
        {"\"\\ud800\\ud800\\udc00\"", RP_E_UTF8},
        {"\"\\ud800\\ue000\"", RP_E_UTF8},
        {"\"\\udc00\\ud800\"", RP_E_UTF8},
        {"\"ok\xff\"", RP_E_UTF8},
        {"\"\xc3\"", RP_E_UTF8},
        {"\"\xc3\\u0041\xa4\"", RP_E_UTF8}, /* not joined across an escape */
        {"\"\xed\xa0\x80\"", RP_E_UTF8},
        {"\"\xc0\x80\"", RP_E_UTF8},
        {"\"0123456789\"", RP_E_FULL},
        {"\"01234567\\n\"", RP_E_FULL},
        {"\"0123456\\u00e4\"", RP_E_FULL},
        {"12", RP_E_INVALID},
        {"null", RP_E_INVALID},
        {"[\"a\"]", RP_E_INVALID},
        {"", RP_E_INVALID},
        {"\"", RP_E_INVALID},
        {"\"a", RP_E_INVALID},
        {"a\"", RP_E_INVALID},
        {"\"a\"b\"", RP_E_INVALID},
        {"\"a\" ", RP_E_INVALID},
        {"\"\\u12\"", RP_E_INVALID},
        {"\"\\\"", RP_E_INVALID},
        {"\"\n\"", RP_E_INVALID},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_buf out;
        rp_buf_init(&out, 10);
        assert_int_equal(rp_buf_put_str(&out, "##"), RP_OK);
        enum rp_err err = rp_json_string_decode(rp_bytes_str(table[i].raw), &out);
        if (err != table[i].err) {
            fail_msg("%s: %s", table[i].raw, rp_strerror(err));
        }
        assert_bytes(rp_buf_bytes(&out), "##");
        rp_buf_done(&out);
    }
}

static void test_numbers_are_taken_by_value(void **state) {
    (void) state;
    static const struct {
        const char *text;
        uint64_t number;
    } table[] = {
        {"0", 0},
        {"1", 1},
        {"10", 10},
        {"1002003000", 1002003000},
        {"9007199254740991", RP_JSON_INTEGER_MAX},
        {"9007199254740990", RP_JSON_INTEGER_MAX - 1},
        {"0.0", 0},
        {"0e999999999999999999999", 0},
        {"0.000e-5", 0},
        {"5.0", 5},
        {"5.000000000000000000000000000000", 5},
        {"1e3", 1000},
        {"1E+3", 1000},
        {"1e0", 1},
        {"1e-0", 1},
        {"1.5e1", 15},
        {"10.00E+2", 1000},
        {"120e-1", 12},
        {"0.001e3", 1},
        {"0.00000000000000000000000000000000000000012e41", 12},
        {"1200000000000000000000000000000000000000000e-41", 12},
        {"9007199254740991.0", RP_JSON_INTEGER_MAX},
        {"0.9007199254740991e16", RP_JSON_INTEGER_MAX},
        {"90071992547409910e-1", RP_JSON_INTEGER_MAX},
        {"9e15", UINT64_C(9000000000000000)},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        uint64_t number = 77;
        if (!rp_json_to_u64(whole(table[i].text), &number) || number != table[i].number) {
            fail_msg("%s", table[i].text);
        }
    }
}

static void test_other_numbers_are_refused(void **state) {
    (void) state;
    static const char *const table[] = {
        "-1", "-0", "-0.0", "0.5", "1.5", "1e-1", "15e-2", "12.34e1", "0.1e0", "9007199254740992",
        "9007199254740991.5", "9007199254740993.0", "10000000000000000", "18446744073709551615",
        "18446744073709551616", "18446744073709551617", "36893488147419103233", "1e16", "9.1e15",
        "1e99", "1e99999999999999999999", "1e-99999999999999999999",
        "100000000000000000000000000000000000000000000000000001",
        "0.00000000000000000000000000000000000000000000000000001",
        "1.00000000000000000000000000000000000000000000000000001",
        /* not numbers */
        "", "\"1\"", "null", "true", "[1]", "{}", "x", "01", "1x", "1 ", " 1", "+1", ".5", "1.",
        "1e", "0x1"};
    for (size_t i = 0; i < COUNT(table); i++) {
        uint64_t number = 77;
        if (rp_json_to_u64(rp_bytes_str(table[i]), &number)) {
            fail_msg("%s: %llu", table[i], (unsigned long long) number);
        }
        assert_int_equal(number, 77);
    }
    /* long ones end as soon */
    enum { LONG = 1000000 };
    uint8_t *zeros = malloc(LONG);
    assert_non_null(zeros);
    memset(zeros, '0', LONG);
    zeros[0] = '1';
    uint64_t number;
    assert_false(rp_json_to_u64(rp_bytes(zeros, LONG), &number));
    free(zeros);
}

static void test_bools_are_the_two_words(void **state) {
    (void) state;
    bool value = false;
    assert_true(rp_json_to_bool(rp_bytes_str("true"), &value));
    assert_true(value);
    assert_true(rp_json_to_bool(rp_bytes_str("false"), &value));
    assert_false(value);
    static const char *const others[] = {"",         "null", "0",     "1",
                                         "\"true\"", "tru",  "truex", "[true]"};
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_false(rp_json_to_bool(rp_bytes_str(others[i]), &value));
    }
}

static void assert_encodes(struct rp_bytes text, const char *expected) {
    uint8_t *copy = exact_copy(text);
    struct rp_bytes exact = rp_bytes(copy, text.len);
    assert_int_equal(rp_json_string_len(exact), strlen(expected));
    uint8_t *place = malloc(strlen(expected));
    assert_non_null(place);
    assert_ptr_equal(rp_json_write_string(place, exact), place + strlen(expected));
    assert_bytes(rp_bytes(place, strlen(expected)), expected);

    struct rp_buf out;
    rp_buf_init(&out, 1 + strlen(expected));
    assert_int_equal(rp_buf_put_str(&out, "#"), RP_OK);
    assert_int_equal(rp_json_put_string(&out, exact), RP_OK);
    assert_bytes(rp_bytes_skip(rp_buf_bytes(&out), 1), expected);
    rp_buf_done(&out);

    rp_buf_init(&out, strlen(expected)); /* one byte too few */
    assert_int_equal(rp_buf_put_str(&out, "#"), RP_OK);
    assert_int_equal(rp_json_put_string(&out, exact), RP_E_FULL);
    assert_bytes(rp_buf_bytes(&out), "#");
    rp_buf_done(&out);
    free(place);
    free(copy);
}

static void test_strings_are_written_with_minimal_escapes(void **state) {
    (void) state;
    static const struct {
        struct rp_bytes text;
        const char *expected;
    } table[] = {
        {LIT(""), "\"\""},
        {LIT("abc"), "\"abc\""},
        {LIT("0123456789abcdef/\x7f"), "\"0123456789abcdef/\x7f\""},
        {LIT("\""), "\"\\\"\""},
        {LIT("\\"), "\"\\\\\""},
        {LIT("a\b\f\n\r\tz"), "\"a\\b\\f\\n\\r\\tz\""},
        {LIT("\0"), "\"\\u0000\""},
        {LIT("1234567\x01\x1f\x0b"), "\"1234567\\u0001\\u001f\\u000b\""},
        {LIT("12345678\"12345678\\12345678\n"), "\"12345678\\\"12345678\\\\12345678\\n\""},
        {LIT("\xc3\xa4\xe2\x80\xa8\xf0\x9f\x98\x80"), "\"\xc3\xa4\xe2\x80\xa8\xf0\x9f\x98\x80\""},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_encodes(table[i].text, table[i].expected);
    }
    assert_encodes((struct rp_bytes){0}, "\"\"");
}

/* every byte at every place of a word, next to every kind of neighbour: the eight-at-a-time scan */
static void test_every_byte_at_every_place_is_seen(void **state) {
    (void) state;
    static const uint8_t neighbours[] = {'a', 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xff};
    for (size_t n = 0; n < COUNT(neighbours); n++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            for (size_t at = 0; at < 17; at++) {
                uint8_t text[19];
                memset(text, neighbours[n], sizeof text);
                text[0] = text[18] = '"';
                text[1 + at] = (uint8_t) byte;
                bool special = byte < 0x20 || byte == '"' || byte == '\\';
                struct rp_bytes plain;
                assert_int_equal(rp_json_string_plain(rp_bytes(text, 19), &plain), !special);
                size_t escaped =
                    byte == '"' || byte == '\\' || (byte >= 8 && byte <= 13 && byte != 11) ? 2
                    : byte < 0x20                                                          ? 6
                                                                                           : 1;
                assert_int_equal(rp_json_string_len(rp_bytes(text + 1, 17)), 2 + 16 + escaped);
            }
        }
    }
}

static void test_random_text_comes_back(void **state) {
    (void) state;
    static const char *const pieces[] = {
        "a", "\"", "\\", "\n", "\x01", "\xc3\xa4", "\xf0\x9f\x98\x80", "12345678"};
    struct rp_rng rng = {.state = 1};
    for (size_t round = 0; round < 2000; round++) {
        struct rp_buf text, json, back;
        rp_buf_init(&text, 1000);
        rp_buf_init(&json, 10000);
        rp_buf_init(&back, 1000);
        for (uint64_t n = rp_rng_below(&rng, 40); n > 0; n--) {
            assert_int_equal(rp_buf_put_str(&text, pieces[rp_rng_below(&rng, COUNT(pieces))]),
                             RP_OK);
        }
        assert_int_equal(rp_json_put_string(&json, rp_buf_bytes(&text)), RP_OK);
        struct rp_bytes value;
        assert_int_equal(rp_json_whole(rp_buf_bytes(&json), &value), RP_OK);
        assert_true(rp_bytes_eq(value, rp_buf_bytes(&json)));
        assert_int_equal(rp_json_string_decode(value, &back), RP_OK);
        assert_true(rp_bytes_eq(rp_buf_bytes(&back), rp_buf_bytes(&text)));
        rp_buf_done(&text);
        rp_buf_done(&json);
        rp_buf_done(&back);
    }
}

static void assert_pieces(const char *json, const char *expected) {
    struct rp_json_text text;
    struct rp_bytes piece;
    struct rp_buf all;
    rp_buf_init(&all, 4096);
    assert_true(rp_json_text(whole(json), &text));
    while (rp_json_text_next(&text, &piece)) {
        assert_true(piece.len > 0);
        assert_int_equal(rp_buf_put(&all, piece), RP_OK);
    }
    assert_false(rp_json_text_next(&text, &piece));
    assert_bytes(rp_buf_bytes(&all), expected);
    rp_buf_done(&all);
}

static void test_text_comes_piece_by_piece(void **state) {
    (void) state;
    assert_pieces("\"\"", "");
    assert_pieces("\"plain\"", "plain");
    assert_pieces("\"\\n\\u20ac\"", "\n\xE2\x82\xAC");
    assert_pieces("\"a\\tb\\ud83d\\ude00c\"", "a\tb\xF0\x9F\x98\x80"
                                              "c");
    assert_pieces("\"\\ud83dx\\ude00\"", "\xEF\xBF\xBDx\xEF\xBF\xBD");
    struct rp_json_text text;
    assert_false(rp_json_text(rp_bytes_str("7"), &text));
    assert_false(rp_json_text(rp_bytes_str("\"a"), &text));
    assert_false(rp_json_text((struct rp_bytes){0}, &text));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_is_sees_through_escapes),
        cmocka_unit_test(test_plain_string_is_a_view),
        cmocka_unit_test(test_string_decode_gives_utf8),
        cmocka_unit_test(test_string_decode_refuses_and_changes_nothing),
        cmocka_unit_test(test_numbers_are_taken_by_value),
        cmocka_unit_test(test_other_numbers_are_refused),
        cmocka_unit_test(test_bools_are_the_two_words),
        cmocka_unit_test(test_strings_are_written_with_minimal_escapes),
        cmocka_unit_test(test_every_byte_at_every_place_is_seen),
        cmocka_unit_test(test_random_text_comes_back),
        cmocka_unit_test(test_text_comes_piece_by_piece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
