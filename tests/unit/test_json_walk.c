/* tests/unit/test_json_walk.c — proto/json_walk: the steps of a walk as a line of text, and what
 * breaks it off. */
#include "proto/json_walk.h"

#include "common/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* Each step as DEPTH[key:]value, with a '.' at the end and a '!' where it breaks. */
static void assert_walks(const char *values, const char *expected) {
    size_t len = strlen(values);
    char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, values, len);
    struct rp_buf out;
    rp_buf_init(&out, 4096);
    struct rp_json_walk walk = rp_json_walk(rp_bytes(copy, len));
    struct rp_json_token token;
    do {
        token = rp_json_walk_next(&walk);
        if (token.step == RP_JSON_END || token.step == RP_JSON_BROKEN) {
            assert_int_equal(rp_buf_put_str(&out, token.step == RP_JSON_END ? "." : "!"), RP_OK);
            break;
        }
        assert_int_equal(rp_buf_printf(&out, "%zu%.*s%s%.*s ", token.depth, RP_BYTES_FMT(token.key),
                                       token.key.len > 0 ? ":" : "", RP_BYTES_FMT(token.value)),
                         RP_OK);
    } while (true);
    assert_int_equal(rp_json_walk_next(&walk).step, token.step); /* for good */
    if (!rp_bytes_eq_str(rp_buf_bytes(&out), expected)) {
        fail_msg("%s: got %.*s instead of %s", values, RP_BYTES_FMT(rp_buf_bytes(&out)), expected);
    }
    rp_buf_done(&out);
    free(copy);
}

static void test_every_level_is_shown(void **state) {
    (void) state;
    static const char *const table[][2] = {
        {"", "."},
        {" \n", "."},
        {"1", "01 ."},
        {" 1 , \"a\" ,null", "01 0\"a\" 0null ."},
        {"[]", "0[ 0] ."},
        {"{ }", "0{ 0} ."},
        {"[1,[2,3],4]", "0[ 11 1[ 22 23 1] 14 0] ."},
        {"[[]],{}", "0[ 1[ 1] 0] 0{ 0} ."},
        {"{\"a\":1,\"b\" : {\"c\":[{\"d\":true}]}}",
         "0{ 1\"a\":1 1\"b\":{ 2\"c\":[ 3{ 4\"d\":true 3} 2] 1} 0} ."},
        {"[\"]\",\"{\\\"\"]", "0[ 1\"]\" 1\"{\\\"\" 0] ."},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_walks(table[i][0], table[i][1]);
    }
}

static void test_malformed_text_breaks_the_walk(void **state) {
    (void) state;
    static const char *const table[][2] = {
        {",", "!"},
        {"1,", "01 !"},
        {"1 2", "01 !"},
        {"01", "!"},
        {"]", "!"},
        {"[", "0[ !"},
        {"[1", "0[ 11 !"},
        {"[1,]", "0[ 11 !"},
        {"[,1]", "0[ !"},
        {"[1}", "0[ 11 !"},
        {"{]", "0{ !"},
        {"{1:2}", "0{ !"},
        {"{\"a\"}", "0{ !"},
        {"{\"a\":}", "0{ !"},
        {"{\"a\":1,}", "0{ 1\"a\":1 !"},
        {"{\"a\":1 \"b\":2}", "0{ 1\"a\":1 !"},
        {"[]]", "0[ 0] !"},
        {"[][]", "0[ 0] !"},
        {"\"a", "!"},
        {"{\"a\":", "0{ !"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_walks(table[i][0], table[i][1]);
    }
}

static void test_depth_is_bounded(void **state) {
    (void) state;
    char text[2 * (RP_JSON_DEPTH_MAX + 1)];
    for (size_t depth = RP_JSON_DEPTH_MAX; depth <= RP_JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        struct rp_json_walk walk = rp_json_walk(rp_bytes(text, 2 * depth));
        for (size_t i = 0; i < RP_JSON_DEPTH_MAX; i++) {
            assert_int_equal(rp_json_walk_next(&walk).depth, i);
        }
        assert_int_equal(rp_json_walk_next(&walk).step,
                         depth > RP_JSON_DEPTH_MAX ? RP_JSON_BROKEN : RP_JSON_CLOSE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_level_is_shown),
        cmocka_unit_test(test_malformed_text_breaks_the_walk),
        cmocka_unit_test(test_depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
