/* tests/unit/test_retention.c — broker/retention: rules as text, and which of them a room has. */
#include "broker/retention.h"
#include "common/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct rp_retention *made(const char *rules) {
    struct rp_retention *r = NULL;
    assert_int_equal(rp_retention_new(&RP_RETENTION_UNLIMITED, rules, &r), RP_OK);
    return r;
}

static void test_a_rule_has_its_limits(void **state) {
    (void) state;
    static const struct {
        const char *text;
        struct rp_retention_limits limits;
    } table[] = {
        {"* * age=7d", {604800000, UINT64_MAX, UINT64_MAX}},
        {"/ lobby events=1000", {UINT64_MAX, 1000, UINT64_MAX}},
        {"/ lobby bytes=10M", {UINT64_MAX, UINT64_MAX, 10 << 20}},
        {"/a,/b x*,y* bytes=1k events=2 age=500ms", {500, 2, 1024}},
        {"* *", {UINT64_MAX, UINT64_MAX, UINT64_MAX}},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct rp_retention *r = made(table[i].text);
        assert_int_equal(rp_retention_rules(r), 1);
        const struct rp_retention_rule *rule = rp_retention_rule_at(r, 0);
        assert_memory_equal(&rule->limits, &table[i].limits, sizeof rule->limits);
        assert_string_equal(rule->text, table[i].text);
        assert_int_equal(rp_retention_limits_anything(r), i != 4);
        rp_retention_free(r);
    }
}

static void test_rules_are_separated_and_commented(void **state) {
    (void) state;
    struct rp_retention *r = made("  # all of it\n/  a \t events=1 ;; / b events=2;\n"
                                  "\n / c  events=3 # not d\r\n/ e events=5\r\n;");
    static const char *const texts[] = {"/ a events=1", "/ b events=2", "/ c events=3",
                                        "/ e events=5"};
    assert_int_equal(rp_retention_rules(r), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(rp_retention_rule_at(r, i)->text, texts[i]);
        assert_int_equal(rp_retention_rule_at(r, i)->index, i);
    }
    rp_retention_free(r);
    r = made("");
    assert_int_equal(rp_retention_rules(r), 0);
    rp_retention_free(r);
}

static void test_what_is_no_rule_is_refused(void **state) {
    (void) state;
    static const char *const texts[] = {"/",
                                        "* * events=0",
                                        "* * events=",
                                        "* * events=1x",
                                        "* * age=7",
                                        "* * bytes=-1",
                                        "* * events=1 events=2",
                                        "* * size=3",
                                        "* * events",
                                        "* a, events=1",
                                        ",/ a events=1",
                                        "* * events=1 2",
                                        "* * age=99999999999999999999d",
                                        "* * events=18446744073709551615"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct rp_retention *r = NULL;
        assert_int_equal(rp_retention_new(&RP_RETENTION_UNLIMITED, texts[i], &r), RP_E_INVALID);
        assert_null(r);
        assert_string_equal(rp_retention_check(texts[i]), RP_RETENTION_EXPECTED);
    }
    assert_null(rp_retention_check("* * age=1h"));
    struct rp_retention_limits nothing = RP_RETENTION_UNLIMITED;
    nothing.events = 0;
    struct rp_retention *r = NULL;
    assert_int_equal(rp_retention_new(&nothing, NULL, &r), RP_E_INVALID);
}

static void test_too_many_rules_are_refused(void **state) {
    (void) state;
    char *text = calloc(1, RP_RETENTION_TEXT_BYTES_MAX + 64);
    for (int i = 0; i < RP_RETENTION_RULES_MAX; i++) {
        strcat(text, "* * age=1h;");
    }
    struct rp_retention *r = made(text);
    assert_int_equal(rp_retention_rules(r), RP_RETENTION_RULES_MAX);
    rp_retention_free(r);
    strcat(text, "* * age=1h;");
    assert_int_equal(rp_retention_new(&RP_RETENTION_UNLIMITED, text, &r), RP_E_TOO_BIG);
    memset(text, ' ', RP_RETENTION_TEXT_BYTES_MAX + 1);
    assert_int_equal(rp_retention_new(&RP_RETENTION_UNLIMITED, text, &r), RP_E_TOO_BIG);
    free(text);
}

static void test_the_first_rule_that_matches_counts(void **state) {
    (void) state;
    struct rp_retention *r = made("/ a* events=1; /,/chat *b events=2; * keep; * * events=3");
    static const struct {
        const char *nsp, *room;
        size_t rule;
    } table[] = {{"/", "ab", 0},      {"/chat", "ab", 1}, {"/chat", "keep", 2},
                 {"/other", "ab", 3}, {"/", "b", 1},      {"/", "", 3}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct rp_retention_rule *rule =
            rp_retention_rule_of(r, rp_bytes_str(table[i].nsp), rp_bytes_str(table[i].room));
        assert_int_equal(rule->index, table[i].rule);
    }
    rp_retention_free(r);
    r = made("/ a events=1");
    assert_null(rp_retention_rule_of(r, RP_BYTES_LIT("/"), RP_BYTES_LIT("b")));
    rp_retention_free(r);
}

static void test_nothing_keeps_everything(void **state) {
    (void) state;
    assert_int_equal(rp_retention_rules(NULL), 0);
    assert_false(rp_retention_limits_anything(NULL));
    assert_true(rp_retention_whole(NULL).events == UINT64_MAX);
    assert_null(rp_retention_rule_of(NULL, RP_BYTES_LIT("/"), RP_BYTES_LIT("a")));
    assert_null(rp_retention_free(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rule_has_its_limits),
        cmocka_unit_test(test_rules_are_separated_and_commented),
        cmocka_unit_test(test_what_is_no_rule_is_refused),
        cmocka_unit_test(test_too_many_rules_are_refused),
        cmocka_unit_test(test_the_first_rule_that_matches_counts),
        cmocka_unit_test(test_nothing_keeps_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
