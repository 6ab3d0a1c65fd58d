/* tests/unit/test_sdk_value.c — sdk/value*, sdk/number: what is read, and what is not there. */
#include "sdk/number.h"
#include "sdk/reprise_value.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Not checked, as what comes from the network is not. */
static struct reprise_value raw(const char *json) {
    return (struct reprise_value){.json = {.data = json, .len = strlen(json)}};
}

static struct reprise_value with_binary(const char *json, const void *packed, size_t len) {
    struct reprise_value v = raw(json);
    v.binary = (struct reprise_bytes){.data = packed, .len = len};
    return v;
}

/* "abc", "" */
#define PACKED "\0\0\0\3abc\0\0\0\0"
#define WITH_BINARY(json) with_binary((json), PACKED, sizeof PACKED - 1)

static void test_errors_have_texts(void **state) {
    (void) state;
    assert_string_equal(reprise_strerror(REPRISE_OK), "ok");
    assert_string_equal(reprise_strerror(REPRISE_E_FULL), "larger than the limit");
    assert_string_equal(reprise_strerror((enum reprise_err) - 999), "unknown error");
}

static void test_types(void **state) {
    (void) state;
    static const struct {
        const char *json;
        enum reprise_type type;
        const char *name;
    } table[] = {
        {"", REPRISE_ABSENT, "absent"},
        {"  ", REPRISE_ABSENT, "absent"},
        {"null", REPRISE_NULL, "null"},
        {"true", REPRISE_BOOL, "bool"},
        {"false", REPRISE_BOOL, "bool"},
        {"0", REPRISE_NUMBER, "number"},
        {" -1.5e3 ", REPRISE_NUMBER, "number"},
        {"\"\"", REPRISE_STRING, "string"},
        {"[]", REPRISE_ARRAY, "array"},
        {"{}", REPRISE_OBJECT, "object"},
        {"{\"_placeholder\":true,\"num\":0}", REPRISE_OBJECT, "object"},
        {"]", REPRISE_ABSENT, "absent"},
        {"+1", REPRISE_ABSENT, "absent"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        assert_int_equal(reprise_value_type(raw(table[i].json)), table[i].type);
        assert_string_equal(reprise_type_name(reprise_value_type(raw(table[i].json))),
                            table[i].name);
    }
    assert_int_equal(reprise_value_type((struct reprise_value){.json = {NULL, 0}}), REPRISE_ABSENT);
}

static void test_integers_are_exact(void **state) {
    (void) state;
    static const struct {
        const char *json;
        enum reprise_err as_signed;
        int64_t number;
        enum reprise_err as_unsigned;
        uint64_t magnitude;
    } table[] = {
        {"0", REPRISE_OK, 0, REPRISE_OK, 0},
        {"-0", REPRISE_OK, 0, REPRISE_OK, 0},
        {"-0.000e5", REPRISE_OK, 0, REPRISE_OK, 0},
        {"42", REPRISE_OK, 42, REPRISE_OK, 42},
        {" 42\n", REPRISE_OK, 42, REPRISE_OK, 42},
        {"-42", REPRISE_OK, -42, REPRISE_E_RANGE, 0},
        {"1e3", REPRISE_OK, 1000, REPRISE_OK, 1000},
        {"10.00E+2", REPRISE_OK, 1000, REPRISE_OK, 1000},
        {"1200e-2", REPRISE_OK, 12, REPRISE_OK, 12},
        {"1.5", REPRISE_E_TYPE, 0, REPRISE_E_TYPE, 0},
        {"15e-1", REPRISE_E_TYPE, 0, REPRISE_E_TYPE, 0},
        {"1e-99999999999999999999", REPRISE_E_TYPE, 0, REPRISE_E_TYPE, 0},
        {"1e99999999999999999999", REPRISE_E_RANGE, 0, REPRISE_E_RANGE, 0},
        {"0e99999999999999999999", REPRISE_OK, 0, REPRISE_OK, 0},
        {"9007199254740993", REPRISE_OK, 9007199254740993, REPRISE_OK, 9007199254740993},
        {"9223372036854775807", REPRISE_OK, INT64_MAX, REPRISE_OK, INT64_MAX},
        {"9223372036854775808", REPRISE_E_RANGE, 0, REPRISE_OK, UINT64_C(9223372036854775808)},
        {"-9223372036854775808", REPRISE_OK, INT64_MIN, REPRISE_E_RANGE, 0},
        {"-9223372036854775809", REPRISE_E_RANGE, 0, REPRISE_E_RANGE, 0},
        {"18446744073709551615", REPRISE_E_RANGE, 0, REPRISE_OK, UINT64_MAX},
        {"18446744073709551616", REPRISE_E_RANGE, 0, REPRISE_E_RANGE, 0},
        {"184467440737095516150e-1", REPRISE_E_RANGE, 0, REPRISE_OK, UINT64_MAX},
        {"\"1\"", REPRISE_E_TYPE, 0, REPRISE_E_TYPE, 0},
        {"", REPRISE_E_TYPE, 0, REPRISE_E_TYPE, 0},
        {"[1]", REPRISE_E_TYPE, 0, REPRISE_E_TYPE, 0},
        {"01", REPRISE_E_TYPE, 0, REPRISE_E_TYPE, 0},
        {"1x", REPRISE_E_TYPE, 0, REPRISE_E_TYPE, 0},
        {"1.", REPRISE_E_TYPE, 0, REPRISE_E_TYPE, 0},
        {"-", REPRISE_E_TYPE, 0, REPRISE_E_TYPE, 0},
        {"1,2", REPRISE_E_TYPE, 0, REPRISE_E_TYPE, 0},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        int64_t number = 77;
        uint64_t magnitude = 77;
        struct reprise_value v = raw(table[i].json);
        assert_int_equal(reprise_value_int64(v, &number), table[i].as_signed);
        assert_true(number == (table[i].as_signed == REPRISE_OK ? table[i].number : 77));
        assert_int_equal(reprise_value_uint64(v, &magnitude), table[i].as_unsigned);
        assert_true(magnitude == (table[i].as_unsigned == REPRISE_OK ? table[i].magnitude : 77));
    }
    assert_int_equal(reprise_value_int64_or(raw("7"), -1), 7);
    assert_int_equal(reprise_value_int64_or(raw("7.5"), -1), -1);
}

static void test_doubles(void **state) {
    (void) state;
    static const char *const table[] = {"0",
                                        "1",
                                        "-1.5",
                                        "0.1",
                                        "1e300",
                                        "123456789012345678901234567890",
                                        "5e-324",
                                        "2.5e-324",
                                        "2.4e-324",
                                        "1.7976931348623157e308",
                                        "1.7976931348623159e308",
                                        "9007199254740993",
                                        "9007199254740992.99999",
                                        "1e-400",
                                        "-1e400",
                                        "0.000001234",
                                        "1e23",
                                        "8.5e22",
                                        "4.35",
                                        "0.000e-999999999999999999999"};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        double number = 77;
        assert_int_equal(reprise_value_double(raw(table[i]), &number), REPRISE_OK);
        assert_true(number == strtod(table[i], NULL));
    }
    double number = 77;
    assert_int_equal(reprise_value_double(raw("\"1\""), &number), REPRISE_E_TYPE);
    assert_int_equal(reprise_value_double(raw("1e"), &number), REPRISE_E_TYPE);
    assert_true(number == 77);
    assert_int_equal(reprise_value_double(raw("-0"), &number), REPRISE_OK);
    assert_true(number == 0 && signbit(number));
    assert_true(reprise_value_double_or(raw("0.5"), 2) == 0.5);
    assert_true(reprise_value_double_or(raw("null"), 2) == 2);
}

/* Halfway between two doubles, and a digit after thousands of others that decides. */
static void test_doubles_of_many_digits(void **state) {
    (void) state;
    enum { LEN = 4000 };
    static const char half[] = "9007199254740993"; /* between ...2 and ...4, to even: ...2 */
    static char text[LEN + 8];
    memset(text, '0', LEN);
    memcpy(text, half, sizeof half - 1);
    text[sizeof half - 1] = '.';
    text[LEN] = '\0';
    double number;
    assert_int_equal(reprise_value_double(raw(text), &number), REPRISE_OK);
    assert_true(number == 9007199254740992.0);
    text[LEN - 1] = '1';
    assert_int_equal(reprise_value_double(raw(text), &number), REPRISE_OK);
    assert_true(number == 9007199254740994.0);
    memset(text, '9', LEN);
    memcpy(text + LEN - 1, "e-4000", sizeof "e-4000");
    assert_int_equal(reprise_value_double(raw(text), &number), REPRISE_OK);
    assert_true(number == 0.1);
    memset(text, '0', LEN);
    text[1] = '.';
    memcpy(text + LEN - 1, "7e3999", sizeof "7e3999");
    assert_int_equal(reprise_value_double(raw(text), &number), REPRISE_OK);
    assert_true(number == 70);
}

static void check_written(double number, const char *expected) {
    char text[RP_NUMBER_BYTES + 1];
    text[rp_number_write(number, text)] = '\0';
    assert_string_equal(text, expected);
}

/* The expected are JSON.stringify's. */
static void test_doubles_are_written_as_in_javascript(void **state) {
    (void) state;
    check_written(0, "0");
    check_written(-0.0, "0");
    check_written(1, "1");
    check_written(-1.5, "-1.5");
    check_written(0.1, "0.1");
    check_written(0.1 + 0.2, "0.30000000000000004");
    check_written(1e21, "1e+21");
    check_written(1e20, "100000000000000000000");
    check_written(123456789012345680000.0, "123456789012345680000");
    check_written(1e-6, "0.000001");
    check_written(1e-7, "1e-7");
    check_written(-1.5e-7, "-1.5e-7");
    check_written(0.00001234, "0.00001234");
    check_written(5e-324, "5e-324");
    check_written(DBL_MAX, "1.7976931348623157e+308");
    check_written(DBL_MIN, "2.2250738585072014e-308");
    check_written(9007199254740993.0, "9007199254740992");
    check_written(4.35, "4.35");
    check_written(1.0 / 3, "0.3333333333333333");
}

static void test_every_double_comes_back(void **state) {
    (void) state;
    uint64_t bits = 88172645463325252u;
    for (int i = 0; i < 200000; i++) {
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
        double number, again;
        uint64_t some = i % 4 == 0 ? bits & UINT64_C(0x800FFFFFFFFFFFFF) : bits; /* subnormal */
        memcpy(&number, &some, sizeof number);
        if (isfinite(number)) {
            char text[RP_NUMBER_BYTES];
            size_t len = rp_number_write(number, text);
            assert_in_range(len, 1, RP_NUMBER_BYTES - 1);
            struct reprise_value v = {.json = {.data = text, .len = len}};
            assert_int_equal(reprise_value_double(v, &again), REPRISE_OK);
            assert_true(again == number);
        }
    }
}

/* Where the decimal point is a comma. The test is void where there is no such locale. */
static void test_the_locale_does_not_matter(void **state) {
    (void) state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    const char *set = NULL;
    for (size_t i = 0; set == NULL && i < COUNT_OF(names); i++) {
        set = setlocale(LC_ALL, names[i]);
    }
    double number;
    assert_int_equal(reprise_value_double(raw("1.25"), &number), REPRISE_OK);
    assert_true(number == 1.25);
    check_written(1.25, "1.25");
    check_written(1.25e-9, "1.25e-9");
    setlocale(LC_ALL, "C");
    if (set == NULL) {
        skip();
    }
}

static void test_bools(void **state) {
    (void) state;
    bool flag = false;
    assert_int_equal(reprise_value_bool(raw("true"), &flag), REPRISE_OK);
    assert_true(flag);
    assert_int_equal(reprise_value_bool(raw("false"), &flag), REPRISE_OK);
    assert_false(flag);
    assert_int_equal(reprise_value_bool(raw("tru"), &flag), REPRISE_E_TYPE);
    assert_int_equal(reprise_value_bool(raw("1"), &flag), REPRISE_E_TYPE);
    assert_int_equal(reprise_value_bool(raw(""), &flag), REPRISE_E_TYPE);
    assert_true(reprise_value_bool_or(raw("null"), true));
    assert_false(reprise_value_bool_or(raw("false"), true));
}

/* Whatever the size of the buffer: as much as fits, in whole characters, and the whole length. */
static void check_string(const char *json, const char *expected, size_t expected_len) {
    struct reprise_value v = raw(json);
    for (size_t size = 0; size <= expected_len + 2; size++) {
        char *buffer = malloc(size > 0 ? size : 1);
        assert_non_null(buffer);
        assert_int_equal(reprise_value_string(v, size > 0 ? buffer : NULL, size), expected_len);
        if (size > 0) {
            size_t fits = size - 1 < expected_len ? size - 1 : expected_len;
            while (fits < expected_len && fits > 0 && (expected[fits] & 0xC0) == 0x80) {
                fits--;
            }
            assert_memory_equal(buffer, expected, fits);
            assert_int_equal(buffer[fits], '\0');
        }
        free(buffer);
    }
    size_t len = 77;
    char *text = reprise_value_strdup(v, &len);
    assert_non_null(text);
    assert_int_equal(len, expected_len);
    assert_memory_equal(text, expected, len + 1);
    free(text);
    assert_int_equal(reprise_value_is(v, expected), strlen(expected) == expected_len);
}

static void test_strings_are_decoded(void **state) {
    (void) state;
    check_string("\"\"", "", 0);
    check_string("\"lobby\"", "lobby", 5);
    check_string(" \"lobby\" ", "lobby", 5);
    check_string("\"l\\u006fbby\"", "lobby", 5);
    check_string("\"a\\n\\\"\\\\\\/\\b\"", "a\n\"\\/\b", 6);
    check_string("\"h\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80!\"",
                 "h\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80!", 11);
    check_string("\"\\u20ac\\ud83d\\ude00\"", "\xE2\x82\xAC\xF0\x9F\x98\x80", 7);
    check_string("\"\\ud83d!\"", "\xEF\xBF\xBD!", 4);
    check_string("\"\\ude00\\ud83d\"", "\xEF\xBF\xBD\xEF\xBF\xBD", 6);
    check_string("\"a\\u0000b\"", "a\0b", 3);
}

static void test_what_is_no_string(void **state) {
    (void) state;
    static const char *const table[] = {"",        "1",        "null", "\"",          "\"a",
                                        "\"a\\\"", "\"\xFF\"", "[]",   "\"a\" \"b\"", "\"\\x\""};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        char buffer[8] = "before";
        size_t len = 77;
        struct reprise_bytes text;
        assert_int_equal(reprise_value_string(raw(table[i]), buffer, sizeof buffer), -1);
        assert_string_equal(buffer, "");
        assert_int_equal(reprise_value_string(raw(table[i]), NULL, 0), -1);
        assert_null(reprise_value_strdup(raw(table[i]), &len));
        assert_int_equal(len, 77);
        assert_false(reprise_value_plain(raw(table[i]), &text));
        assert_false(reprise_value_is(raw(table[i]), ""));
        assert_false(reprise_value_is(raw(table[i]), "a"));
    }
    assert_false(reprise_value_is(raw("\"a\""), NULL));
    assert_false(reprise_value_is(raw("\"a\""), ""));
    assert_false(reprise_value_is(raw("\"a\""), "ab"));
    assert_false(reprise_value_is(raw("\"ab\""), "a"));
}

static void test_plain_strings_are_not_copied(void **state) {
    (void) state;
    const char *json = "\"lobby\"";
    struct reprise_bytes text;
    assert_true(reprise_value_plain(raw(json), &text));
    assert_ptr_equal(text.data, json + 1);
    assert_int_equal(text.len, 5);
    assert_false(reprise_value_plain(raw("\"a\\n\""), &text));
}

static void test_lookups_chain(void **state) {
    (void) state;
    static const char json[] = "[{\"a\":{\"b\":[1,{\"c\":7}]},\"\\u0061\":8,\"x\":{\"y\":[[9]]}}]";
    struct reprise_value v = reprise_value_parse(json, sizeof json - 1);
    assert_int_equal(reprise_value_type(v), REPRISE_ARRAY);
    struct reprise_value object = reprise_value_at(v, 0);
    assert_int_equal(reprise_value_count(object), 3);
    /* the last of two */
    assert_int_equal(reprise_value_int64_or(reprise_value_get(object, "a"), 0), 8);
    struct reprise_value y = reprise_value_get(reprise_value_get(object, "x"), "y");
    assert_int_equal(reprise_value_int64_or(reprise_value_at(reprise_value_at(y, 0), 0), 0), 9);
    struct reprise_value none = reprise_value_at(
        reprise_value_get(reprise_value_at(reprise_value_get(object, "nope"), 3), "b"), 1);
    assert_int_equal(reprise_value_type(none), REPRISE_ABSENT);
    assert_int_equal(reprise_value_type(reprise_value_at(y, 1)), REPRISE_ABSENT);
    assert_int_equal(reprise_value_type(reprise_value_at(object, 0)), REPRISE_ABSENT);
    assert_int_equal(reprise_value_type(reprise_value_get(y, "0")), REPRISE_ABSENT);
    assert_int_equal(reprise_value_type(reprise_value_get(object, NULL)), REPRISE_ABSENT);
    assert_int_equal(reprise_value_count(none), 0);
    assert_int_equal(reprise_value_count(raw("7")), 0);
}

static void test_iteration(void **state) {
    (void) state;
    struct reprise_iter it =
        reprise_value_iter(raw("{ \"a\" : 1, \"b\\u0062\":[2,3] ,\"a\":\"}\" }"));
    struct reprise_value key, element;
    assert_true(reprise_iter_next(&it, &key, &element));
    assert_true(reprise_value_is(key, "a"));
    assert_int_equal(reprise_value_int64_or(element, 0), 1);
    assert_true(reprise_iter_next(&it, &key, &element));
    assert_true(reprise_value_is(key, "bb"));
    assert_int_equal(reprise_value_count(element), 2);
    assert_true(reprise_iter_next(&it, NULL, &element));
    assert_true(reprise_value_is(element, "}"));
    assert_false(reprise_iter_next(&it, &key, &element));
    assert_false(reprise_iter_next(&it, &key, &element));
    assert_true(reprise_value_is(element, "}"));
    it = reprise_value_iter(raw("[1]"));
    assert_true(reprise_iter_next(&it, &key, &element));
    assert_int_equal(reprise_value_type(key), REPRISE_ABSENT);
    assert_false(reprise_iter_next(&it, &key, &element));
}

static void test_binary_values(void **state) {
    (void) state;
    struct reprise_value v = WITH_BINARY("[{\"_placeholder\":true,\"num\":1},"
                                         "{\"p\":{\"num\":0,\"x\":[],\"_placeholder\":true}},"
                                         "{\"_placeholder\":true,\"num\":2},"
                                         "{\"_placeholder\":true},"
                                         "{\"_placeholder\":false,\"num\":0}]");
    struct reprise_bytes bytes = {.data = NULL, .len = 77};
    assert_int_equal(reprise_value_type(reprise_value_at(v, 0)), REPRISE_BINARY);
    assert_int_equal(reprise_value_binary(reprise_value_at(v, 0), &bytes), REPRISE_OK);
    assert_int_equal(bytes.len, 0);
    assert_int_equal(reprise_value_count(reprise_value_at(v, 0)), 0);
    assert_int_equal(reprise_value_type(reprise_value_get(reprise_value_at(v, 0), "num")),
                     REPRISE_ABSENT);
    struct reprise_value p = reprise_value_get(reprise_value_at(v, 1), "p");
    assert_int_equal(reprise_value_binary(p, &bytes), REPRISE_OK);
    assert_int_equal(bytes.len, 3);
    assert_memory_equal(bytes.data, "abc", 3);
    for (size_t i = 2; i < 5; i++) {
        struct reprise_value other = reprise_value_at(v, i);
        assert_int_equal(reprise_value_type(other), REPRISE_OBJECT);
        assert_int_equal(reprise_value_binary(other, &bytes), REPRISE_E_TYPE);
    }
    assert_int_equal(reprise_value_binary(raw("\"abc\""), &bytes), REPRISE_E_TYPE);
    assert_int_equal(reprise_value_check(v), REPRISE_E_INVALID);
    /* cut off */
    v = with_binary("{\"_placeholder\":true,\"num\":0}", PACKED, 6);
    assert_int_equal(reprise_value_type(v), REPRISE_OBJECT);
    assert_int_equal(reprise_value_check(v), REPRISE_E_INVALID);
}

static void test_checking(void **state) {
    (void) state;
    static const struct {
        const char *json;
        enum reprise_err err;
    } table[] = {
        {"", REPRISE_E_TYPE},
        {"1", REPRISE_OK},
        {" [1, {\"a\":null}] ", REPRISE_OK},
        {"[1", REPRISE_E_INVALID},
        {"1 2", REPRISE_E_INVALID},
        {"nul", REPRISE_E_INVALID},
        {"\"\xFF\"", REPRISE_E_INVALID},
        {"[1,]", REPRISE_E_INVALID},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        assert_int_equal(reprise_value_check(raw(table[i].json)), table[i].err);
        struct reprise_value v = reprise_value_parse(table[i].json, strlen(table[i].json));
        assert_int_equal(reprise_value_type(v) == REPRISE_ABSENT, table[i].err != REPRISE_OK);
    }
    char deep[2 * 129 + 1];
    memset(deep, '[', 129);
    memset(deep + 129, ']', 129);
    deep[2 * 129] = '\0';
    assert_int_equal(reprise_value_check(raw(deep)), REPRISE_E_FULL);
    assert_int_equal(
        reprise_value_check((struct reprise_value){.json = {.data = deep + 1, .len = 2 * 128}}),
        REPRISE_OK);
}

static void check_msgpack(struct reprise_value v, const char *expected, size_t expected_len) {
    void *data = NULL;
    size_t len = 0;
    assert_int_equal(reprise_value_to_msgpack(v, &data, &len), REPRISE_OK);
    assert_int_equal(len, expected_len);
    assert_memory_equal(data, expected, len);
    free(data);
}
#define CHECK_MSGPACK(v, literal) check_msgpack((v), (literal), sizeof(literal) - 1)

static void test_values_as_msgpack(void **state) {
    (void) state;
    CHECK_MSGPACK(raw("null"), "\xC0");
    CHECK_MSGPACK(raw("[true,false]"), "\x92\xC3\xC2");
    CHECK_MSGPACK(raw("[1,-1,1e3,200,-129]"), "\x95\x01\xFF\xCD\x03\xE8\xCC\xC8\xD1\xFF\x7F");
    CHECK_MSGPACK(raw("18446744073709551615"), "\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
    CHECK_MSGPACK(raw("-9223372036854775808"), "\xD3\x80\0\0\0\0\0\0\0");
    CHECK_MSGPACK(raw("0.5"), "\xCB\x3F\xE0\0\0\0\0\0\0");
    CHECK_MSGPACK(raw("-0"), "\xCB\x80\0\0\0\0\0\0\0");
    CHECK_MSGPACK(raw("1e400"), "\xCB\x7F\xF0\0\0\0\0\0\0");
    CHECK_MSGPACK(raw("{\"a\\u0062\":\"\\ud800\",\"\":{}}"), "\x82\xA2"
                                                             "ab\xA3\xEF\xBF\xBD\xA0\x80");
    CHECK_MSGPACK(WITH_BINARY("[{\"x\":{\"_placeholder\":true,\"num\":0,\"y\":[{}]}},[[]],"
                              "{\"_placeholder\":true,\"num\":1}]"),
                  "\x93\x81\xA1x\xC4\x03"
                  "abc\x91\x90\xC4\0");
    void *data = NULL;
    size_t len = 77;
    assert_int_equal(reprise_value_to_msgpack(raw(""), &data, &len), REPRISE_E_TYPE);
    assert_int_equal(reprise_value_to_msgpack(raw("[1"), &data, &len), REPRISE_E_INVALID);
    assert_null(data);
    assert_int_equal(len, 77);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_have_texts),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_integers_are_exact),
        cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_doubles_of_many_digits),
        cmocka_unit_test(test_doubles_are_written_as_in_javascript),
        cmocka_unit_test(test_every_double_comes_back),
        cmocka_unit_test(test_the_locale_does_not_matter),
        cmocka_unit_test(test_bools),
        cmocka_unit_test(test_strings_are_decoded),
        cmocka_unit_test(test_what_is_no_string),
        cmocka_unit_test(test_plain_strings_are_not_copied),
        cmocka_unit_test(test_lookups_chain),
        cmocka_unit_test(test_iteration),
        cmocka_unit_test(test_binary_values),
        cmocka_unit_test(test_checking),
        cmocka_unit_test(test_values_as_msgpack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
