/* tests/unit/test_json.c — proto/json: what is JSON and where its parts are. Each input is given in
 * a piece of memory of exactly its size, so that a sanitizer sees reads past it. */
#include "proto/json.h"

#include "common/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
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

static enum rp_err check(struct rp_bytes text) {
    uint8_t *copy = exact_copy(text);
    struct rp_bytes value = {0};
    enum rp_err err = rp_json_whole(rp_bytes(copy, text.len), &value);
    if (err == RP_OK) {
        assert_true(value.data >= copy && value.data + value.len <= copy + text.len);
        assert_true(value.len > 0);
        assert_int_not_equal(rp_json_kind(value), RP_JSON_NONE);
    } else {
        assert_null(value.data); /* untouched */
    }
    free(copy);
    return err;
}

static enum rp_err check_str(const char *text) {
    return check(rp_bytes_str(text));
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

static const struct {
    const char *text;
    enum rp_json_kind kind;
} valid[] = {
    {"null", RP_JSON_NULL},
    {"true", RP_JSON_BOOL},
    {"false", RP_JSON_BOOL},
    {"0", RP_JSON_NUMBER},
    {"-0", RP_JSON_NUMBER},
    {"10", RP_JSON_NUMBER},
    {"-12.50", RP_JSON_NUMBER},
    {"0.0", RP_JSON_NUMBER},
    {"1e9", RP_JSON_NUMBER},
    {"1E+09", RP_JSON_NUMBER},
    {"0e-0", RP_JSON_NUMBER},
    {"123456789012345678901234567890.5e-300", RP_JSON_NUMBER},
    {"\"\"", RP_JSON_STRING},
    {"\"a\"", RP_JSON_STRING},
    {"\"seven77\"", RP_JSON_STRING},
    {"\"eight888\"", RP_JSON_STRING},
    {"\"nine99999\"", RP_JSON_STRING},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", RP_JSON_STRING},
    {"\"\\u0000\\uABCD\\uabcd\\ud800\"", RP_JSON_STRING},
    {"\"[{,:}]\"", RP_JSON_STRING},
    {"\"\xc3\xa4\xe2\x80\xa8\xf0\x9f\x98\x80\x7f\"", RP_JSON_STRING},
    {"[]", RP_JSON_ARRAY},
    {"[ \t\r\n ]", RP_JSON_ARRAY},
    {"[[]]", RP_JSON_ARRAY},
    {"[{}]", RP_JSON_ARRAY},
    {"[1]", RP_JSON_ARRAY},
    {"[1,\"2\",[3],{\"4\":5},null,true,false]", RP_JSON_ARRAY},
    {"[ 1 , [ 2 , [ 3 ] ] , 4 ]", RP_JSON_ARRAY},
    {"{}", RP_JSON_OBJECT},
    {"{ }", RP_JSON_OBJECT},
    {"{\"\":0}", RP_JSON_OBJECT},
    {"{\"a\":1,\"a\":1}", RP_JSON_OBJECT},
    {"{ \"a\" : [ { \"b\" : { } } ] , \"c\" : -1e1 }", RP_JSON_OBJECT},
    {"{\"]\":\"[\",\"}\":\"{\",\"\\\"\":\"\\\\\"}", RP_JSON_OBJECT},
};

static void test_valid_values_are_taken_with_their_kind(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        struct rp_bytes value = whole(valid[i].text);
        assert_bytes(value, valid[i].text);
        assert_int_equal(rp_json_kind(value), valid[i].kind);
        assert_int_equal(check_str(valid[i].text), RP_OK);
    }
    assert_int_equal(rp_json_kind((struct rp_bytes){0}), RP_JSON_NONE);
}

static void test_values_cut_anywhere_are_invalid(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        if (valid[i].kind == RP_JSON_NUMBER) {
            continue; /* the front of a number may be one */
        }
        struct rp_bytes text = rp_bytes_str(valid[i].text);
        for (size_t len = 0; len < text.len; len++) {
            assert_int_equal(check(rp_bytes(text.data, len)), RP_E_INVALID);
        }
    }
}

static void test_whitespace_around_is_left_out(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        char text[256];
        snprintf(text, sizeof text, " \t\r\n%s\n\r\t ", valid[i].text);
        assert_bytes(whole(text), valid[i].text);
    }
}

static void test_malformed_values_are_invalid(void **state) {
    (void) state;
    static const char *const malformed[] = {
        /* nothing */
        "", " ", "\n\t\r ",
        /* words */
        "nul", "nulll", "Null", "NULL", "tru", "truetrue", "falsey", "True", "undefined", "NaN",
        "Infinity", "-Infinity", "nan", "true1", "null\"\"", "null[",
        /* numbers */
        "-", "+1", "01", "-01", "00", "1.", ".5", "-.5", "1.e1", "1e", "1e+", "1e-", "1e1.5",
        "1.5.5", "0x10", "1_000", "1,000", "--1", "1-", "1+1", "1a", "1\"", "1[", "1{", "- 1",
        "1 e1", "1/2", "1n", "0e", "-e1", "1\x0b", "\xd9\xa1",
        /* strings */
        "\"", "\"a", "a\"", "'a'", "\"\\\"", "\"\\x41\"", "\"\\a\"", "\"\\0\"", "\"\\'\"",
        "\"\\U0041\"", "\"\\u\"", "\"\\u0\"", "\"\\u00\"", "\"\\u004\"", "\"\\u004g\"",
        "\"\\u 041\"", "\"\\u+041\"", "\"\\u{41}\"", "\"\\", "\"\\u0041", "\"\n\"", "\"\t\"",
        "\"\x1f\"", "\"1234567\x1f\"", "\"12345678\x01\"", "\"\\\n\"", "\"a\"b", "\"a\"\"b\"",
        "`a`",
        /* arrays */
        "[", "]", "[1", "1]", "[,]", "[1,]", "[,1]", "[1,,2]", "[1 2]", "[1;2]", "[1:2]",
        "[\"a\":1]", "[1}", "[[]", "[]]", "[1]]", "[][", "[] []", "[nul]", "[01]", "[1,", "[\"",
        "[1,]2]", "(1)", "[\x0c]", "[\xc2\xa0]", "[1]//", "[/**/]", "[#]", "[...]",
        /* objects */
        "{", "}", "{]", "{,}", "{1}", "{1:2}", "{a:1}", "{'a':1}", "{\"a\"}", "{\"a\":}",
        "{\"a\": }", "{\"a\",}", "{\"a\":1,}", "{,\"a\":1}", "{\"a\":1,,\"b\":2}",
        "{\"a\":1 \"b\":2}", "{\"a\" 1}", "{\"a\"=1}", "{\"a\"::1}", "{\"a\":1:2}", "{\"a\":1]",
        "{\"a\":1", "{\"a\":", "{\"a", "{\"a\":1}}", "{\"a\":{}", "{null:1}", "{[]:1}",
        "{\"a\":1,\"b\"}", "{\"a\":1,\"b\":}", "{\"a\":1,2}", "{\"a\":1}{\"b\":2}", "{\"a\\\":1}",
        "{:1}", "{\"a\":[}", "{\"a\":[}]", "{\"a\":]}", "[{]}", "[{\"a\":1]}", "{\"a\":01}",
        "{\"a\n\":1}",
        /* around it */
        "\xef\xbb\xbf{}", "\xff", "\x80", ",", ":", "1 2", "1 ,", ",1", "1,2", "{} x", "\x1e",
        "\x0b 1"};
    for (size_t i = 0; i < COUNT(malformed); i++) {
        enum rp_err err = check_str(malformed[i]);
        if (err != RP_E_INVALID) {
            fail_msg("%s: %s", malformed[i], rp_strerror(err));
        }
    }
    static const struct rp_bytes with_nul[] = {LIT("null\0"), LIT("\0null"), LIT("1\0"),
                                               LIT("\"\0\""), LIT("[]\0"),   LIT("\x00")};
    for (size_t i = 0; i < COUNT(with_nul); i++) {
        assert_int_equal(check(with_nul[i]), RP_E_INVALID);
    }
}

static void test_next_takes_values_off_the_front(void **state) {
    (void) state;
    struct rp_bytes in = rp_bytes_str(" {\"a\":1}  2\n\"x\"[],3] ");
    static const char *const expected[] = {"{\"a\":1}", "2", "\"x\"", "[]"};
    struct rp_bytes value;
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_int_equal(rp_json_next(&in, &value), RP_OK);
        assert_bytes(value, expected[i]);
    }
    assert_bytes(in, ",3] ");
    assert_int_equal(rp_json_next(&in, &value), RP_E_INVALID);
    assert_bytes(in, ",3] ");  /* unchanged */
    assert_bytes(value, "[]"); /* untouched */
    in = rp_bytes_skip(in, 1);
    assert_int_equal(rp_json_next(&in, &value), RP_OK);
    assert_bytes(value, "3");
    assert_bytes(in, "] ");
}

/* n openings, something inside, n closings */
static char *nest(size_t n, const char *open, const char *inside, const char *close) {
    size_t open_len = strlen(open), close_len = strlen(close), inside_len = strlen(inside);
    char *text = malloc(n * (open_len + close_len) + inside_len + 1);
    assert_non_null(text);
    char *at = text;
    for (size_t i = 0; i < n; i++, at += open_len) {
        memcpy(at, open, open_len);
    }
    memcpy(at, inside, inside_len);
    at += inside_len;
    for (size_t i = 0; i < n; i++, at += close_len) {
        memcpy(at, close, close_len);
    }
    *at = '\0';
    return text;
}

static void test_depth_is_bounded(void **state) {
    (void) state;
    static const struct {
        const char *open, *inside, *close;
    } shapes[] = {
        {"[", "1", "]"},         {"{\"a\":", "1", "}"},    {"[{\"a\":", "null", "}]"},
        {"[1,", "\"x\"", ",2]"}, {"{\"a\":[", "{}", "]}"}, {" [ ", "[]", " ] "},
        {"[", "", "]"},
    };
    for (size_t i = 0; i < COUNT(shapes); i++) {
        const char *const inside = shapes[i].inside;
        size_t levels =
            (strchr(shapes[i].open, '[') != NULL) + (strchr(shapes[i].open, '{') != NULL);
        size_t inner = inside[0] == '[' || inside[0] == '{';
        for (size_t n = 1; n < 3 * RP_JSON_DEPTH_MAX; n++) {
            char *text = nest(n, shapes[i].open, inside, shapes[i].close);
            bool fits = n * levels + inner <= RP_JSON_DEPTH_MAX;
            assert_int_equal(check_str(text), fits ? RP_OK : RP_E_TOO_BIG);
            free(text);
        }
        char *text = nest(100000, shapes[i].open, inside, shapes[i].close);
        assert_int_equal(check_str(text), RP_E_TOO_BIG);
        free(text);
        text = nest(100000, shapes[i].open, "", "");
        assert_int_equal(check_str(text), RP_E_TOO_BIG);
        free(text);
    }
    /* many siblings are not depth */
    char *wide = nest(100000, "[],", "[]", "");
    size_t len = strlen(wide);
    char *text = malloc(len + 3);
    assert_non_null(text);
    snprintf(text, len + 3, "[%s]", wide);
    assert_int_equal(check_str(text), RP_OK);
    free(text);
    free(wide);
}

/* which bracket closes which is remembered on every level */
static void test_brackets_match_on_every_level(void **state) {
    (void) state;
    struct rp_rng rng = {.state = 2};
    for (size_t round = 0; round < 50; round++) {
        char text[RP_JSON_DEPTH_MAX * 6 + 2];
        char closes[RP_JSON_DEPTH_MAX];
        size_t len = 0;
        for (size_t i = 0; i < RP_JSON_DEPTH_MAX; i++) {
            bool is_object = rp_rng_below(&rng, 2) != 0;
            closes[i] = is_object ? '}' : ']';
            len += (size_t) snprintf(text + len, sizeof text - len, is_object ? "{\"\":" : "[");
        }
        text[len++] = '0';
        size_t closing = len;
        for (size_t i = RP_JSON_DEPTH_MAX; i > 0; i--) {
            text[len++] = closes[i - 1];
        }
        assert_int_equal(check(rp_bytes(text, len)), RP_OK);
        for (size_t i = closing; i < len; i++) {
            text[i] ^= ']' ^ '}';
            assert_int_equal(check(rp_bytes(text, len)), RP_E_INVALID);
            text[i] ^= ']' ^ '}';
        }
    }
}

static void test_array_iteration_gives_each_element(void **state) {
    (void) state;
    static const struct {
        const char *array;
        const char *elements[8];
    } table[] = {
        {"[]", {NULL}},
        {"[  ]", {NULL}},
        {"[1]", {"1"}},
        {"[ 1 ]", {"1"}},
        {"[1,2]", {"1", "2"}},
        {"[[1,2],[3,[4]],{\"a\":[5,6],\"b\":{}} , \"]\" ,\"\\\"],[\", null,true ]",
         {"[1,2]", "[3,[4]]", "{\"a\":[5,6],\"b\":{}}", "\"]\"", "\"\\\"],[\"", "null", "true"}},
        {"[\"a\",\"\",-1.5e3,false]", {"\"a\"", "\"\"", "-1.5e3", "false"}},
        {"{\"a\":1}", {NULL}}, /* not an array */
        {"\"[1,2]\"", {NULL}},
        {"12", {NULL}},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_json_iter it = rp_json_iter_array(whole(table[i].array));
        struct rp_bytes key = RP_BYTES_LIT("x"), value;
        for (size_t k = 0; table[i].elements[k] != NULL; k++) {
            assert_true(rp_json_iter_next(&it, k % 2 ? NULL : &key, &value));
            assert_int_equal(key.len, 0);
            assert_bytes(value, table[i].elements[k]);
        }
        assert_false(rp_json_iter_next(&it, &key, &value));
        assert_false(rp_json_iter_next(&it, &key, &value));
    }
}

static void test_object_iteration_gives_each_member(void **state) {
    (void) state;
    static const struct {
        const char *object;
        const char *members[8];
    } table[] = {
        {"{}", {NULL}},
        {"{ }", {NULL}},
        {"{\"a\":1}", {"\"a\"", "1"}},
        {"{ \"a\" : 1 , \"b\" : [ { \"c\" : 2 } ] }", {"\"a\"", "1", "\"b\"", "[ { \"c\" : 2 } ]"}},
        {"{\"\":\"\",\"\\\"}\":\"{,:\",\"a\":{\"b\":{}}}",
         {"\"\"", "\"\"", "\"\\\"}\"", "\"{,:\"", "\"a\"", "{\"b\":{}}"}},
        {"[\"a\",1]", {NULL}}, /* not an object */
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_json_iter it = rp_json_iter_object(whole(table[i].object));
        struct rp_bytes key, value;
        for (size_t k = 0; table[i].members[k] != NULL; k += 2) {
            assert_true(rp_json_iter_next(&it, &key, &value));
            assert_bytes(key, table[i].members[k]);
            assert_bytes(value, table[i].members[k + 1]);
        }
        assert_false(rp_json_iter_next(&it, &key, &value));
    }
}

static void test_iteration_rest_is_raw(void **state) {
    (void) state;
    struct rp_json_iter it = rp_json_iter_array(whole("[ 1 ,  {\"a\": 1} , 2\n]"));
    struct rp_bytes value;
    assert_bytes(it.rest, "1 ,  {\"a\": 1} , 2");
    assert_true(rp_json_iter_next(&it, NULL, &value));
    assert_bytes(it.rest, "{\"a\": 1} , 2");
    struct rp_json_iter bookmark = it;
    assert_true(rp_json_iter_next(&it, NULL, &value));
    assert_true(rp_json_iter_next(&it, NULL, &value));
    assert_int_equal(it.rest.len, 0);
    assert_true(rp_json_iter_next(&bookmark, NULL, &value));
    assert_bytes(value, "{\"a\": 1}");
}

static void test_iteration_of_what_was_not_validated_stays_inside(void **state) {
    (void) state;
    static const char *const texts[] = {
        "[",        "{",        "[[",    "[\"",        "[\"\\",     "[1",       "[]]", "{\"a\"}",
        "{\"a\":}", "{\"a\":1", "{1:2}", "[}]",        "[,]",       "[1 2]",    "[{]", "{\"a",
        "{\"a\"",   "[nul]",    "[[]}",  "{\"a\" 1,}", "{\"a\":[}", "[\"\\u12", "x",   ""};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct rp_bytes text = rp_bytes_str(texts[i]);
        uint8_t *copy = exact_copy(text);
        struct rp_bytes key, value;
        struct rp_json_iter array = rp_json_iter_array(rp_bytes(copy, text.len));
        struct rp_json_iter object = rp_json_iter_object(rp_bytes(copy, text.len));
        size_t count = 0;
        while (rp_json_iter_next(&array, &key, &value) ||
               rp_json_iter_next(&object, &key, &value)) {
            assert_true(value.data >= copy && value.data + value.len <= copy + text.len);
            assert_in_range(++count, 1, text.len);
        }
        free(copy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_values_are_taken_with_their_kind),
        cmocka_unit_test(test_values_cut_anywhere_are_invalid),
        cmocka_unit_test(test_whitespace_around_is_left_out),
        cmocka_unit_test(test_malformed_values_are_invalid),
        cmocka_unit_test(test_next_takes_values_off_the_front),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_brackets_match_on_every_level),
        cmocka_unit_test(test_array_iteration_gives_each_element),
        cmocka_unit_test(test_object_iteration_gives_each_member),
        cmocka_unit_test(test_iteration_rest_is_raw),
        cmocka_unit_test(test_iteration_of_what_was_not_validated_stays_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
