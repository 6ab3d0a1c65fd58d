/* Lists of patterns: what is taken, what is refused, what matches; and random patterns against a
 * matcher so simple that it is right. */
#include "common/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct rp_patterns *parse(const char *text, enum rp_patterns_case letters) {
    struct rp_patterns *p;
    assert_int_equal(rp_patterns_parse(text, letters, &p), RP_OK);
    assert_null(rp_patterns_check(text));
    return p;
}

static bool matches(const char *list, enum rp_patterns_case letters, const char *name) {
    struct rp_patterns *p = parse(list, letters);
    bool found = rp_patterns_match(p, rp_bytes_str(name));
    rp_patterns_free(p);
    return found;
}

static void test_names_match_their_patterns(void **state) {
    (void) state;
    static const struct {
        const char *list, *name;
        bool exact, any_case;
    } cases[] = {
        {"/", "/", true, true},
        {"/", "/a", false, false},
        {"/", "", false, false},
        {"/,/admin", "/admin", true, true},
        {"/,/admin", "/Admin", false, true},
        {"/ADMIN", "/admin", false, true},
        {"/,/admin", "/admin2", false, false},
        {"/,/admin", "/,/admin", false, false},
        {" / ,\t/admin ", "/admin", true, true},
        {" / ,\t/admin ", " / ", false, false},
        {"/a b", "/a b", true, true},
        {"*", "", true, true},
        {"*", "anything, at all*", true, true},
        {"**", "", true, true},
        {"/tenant-*", "/tenant-", true, true},
        {"/tenant-*", "/tenant-1", true, true},
        {"/tenant-*", "/tenant", false, false},
        {"/tenant-*", "x/tenant-1", false, false},
        {"*.log", "a.log", true, true},
        {"*.log", ".log.log", true, true},
        {"*.log", "a.log ", false, false},
        {"a*b*c", "abc", true, true},
        {"a*b*c", "a-b-b-c-c", true, true},
        {"a*b*c", "a-c-b", false, false},
        {"a*b*c", "ac", false, false},
        {"*ab*ab", "ab", false, false},
        {"*ab*ab", "aab-aab", true, true},
        {"a?c", "abc", false, false},
        {"a[b]c", "abc", false, false},
        {"a.c", "abc", false, false},
        {"\xC3\xA4*", "\xC3\xA4x", true, true},
        {"https://app.example.com,https://*.example.com", "https://a.b.example.com", true, true},
        {"https://app.example.com,https://*.example.com", "https://A.Example.COM", false, true},
        {"https://app.example.com,https://*.example.com", "https://example.com", false, false},
        {"https://app.example.com,https://*.example.com", "https://a.example.com.evil.org", false,
         false},
        {"https://app.example.com,https://*.example.com", "http://app.example.com", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (matches(cases[i].list, RP_PATTERNS_EXACT, cases[i].name) != cases[i].exact ||
            matches(cases[i].list, RP_PATTERNS_ANY_CASE, cases[i].name) != cases[i].any_case) {
            fail_msg("%s in %s", cases[i].name, cases[i].list);
        }
    }
}

static void test_name_with_a_nul_is_a_name(void **state) {
    (void) state;
    struct rp_patterns *p = parse("/,/a*", RP_PATTERNS_EXACT);
    assert_false(rp_patterns_match(p, RP_BYTES_LIT("/\0")));
    assert_true(rp_patterns_match(p, RP_BYTES_LIT("/a\0b")));
    rp_patterns_free(p);
}

static void test_no_list_matches_nothing(void **state) {
    (void) state;
    assert_false(rp_patterns_match(NULL, rp_bytes_str("")));
    assert_null(rp_patterns_free(NULL));
}

static void test_bad_lists_are_refused(void **state) {
    (void) state;
    static const char *const cases[] = {"", " ", ",", "a,", ",a", "a,,b", "a, ,b"};
    struct rp_patterns *p;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(rp_patterns_parse(cases[i], RP_PATTERNS_EXACT, &p), RP_E_INVALID);
        assert_string_equal(rp_patterns_check(cases[i]), RP_PATTERNS_EXPECTED);
    }
}

static void test_bounds_hold(void **state) {
    (void) state;
    struct rp_patterns *p;
    char text[65 * 2 + 256];
    memset(text, 'x', 256);
    text[255] = '\0';
    rp_patterns_free(parse(text, RP_PATTERNS_EXACT));
    text[255] = 'x';
    text[256] = '\0';
    assert_int_equal(rp_patterns_parse(text, RP_PATTERNS_EXACT, &p), RP_E_TOO_BIG);
    for (size_t i = 0; i < 65; i++) {
        memcpy(text + 2 * i, "y,", 3);
    }
    text[64 * 2 - 1] = '\0';
    rp_patterns_free(parse(text, RP_PATTERNS_EXACT));
    text[64 * 2 - 1] = ',';
    text[65 * 2 - 1] = '\0';
    assert_int_equal(rp_patterns_parse(text, RP_PATTERNS_EXACT, &p), RP_E_TOO_BIG);
    assert_non_null(rp_patterns_check(text));
}

/* Exponential, and plainly what '*' means. */
static bool matches_plainly(const char *pattern, const char *name) {
    if (*pattern == '*') {
        return matches_plainly(pattern + 1, name) ||
               (*name != '\0' && matches_plainly(pattern, name + 1));
    }
    return *pattern == *name && (*name == '\0' || matches_plainly(pattern + 1, name + 1));
}

static void random_text(char *ret_text, const char *letters, size_t len) {
    for (size_t i = 0; i < len; i++) {
        ret_text[i] = letters[(size_t) rand() % strlen(letters)];
    }
    ret_text[len] = '\0';
}

static void test_random_patterns_match_as_defined(void **state) {
    (void) state;
    srand(1);
    size_t found = 0;
    for (int i = 0; i < 200000; i++) {
        char pattern[9], name[13];
        random_text(pattern, "ab*", 1 + (size_t) rand() % 8);
        random_text(name, "ab", (size_t) rand() % 13);
        bool expected = matches_plainly(pattern, name);
        if (matches(pattern, RP_PATTERNS_EXACT, name) != expected) {
            fail_msg("%s as %s: not %d", name, pattern, expected);
        }
        found += expected;
    }
    assert_true(found > 10000 && found < 190000);
}

static void test_hostile_name_takes_no_exponential_time(void **state) {
    (void) state;
    static char name[16384];
    memset(name, 'a', sizeof name);
    struct rp_patterns *p = parse("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", RP_PATTERNS_EXACT);
    assert_false(rp_patterns_match(p, rp_bytes(name, sizeof name)));
    rp_patterns_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_match_their_patterns),
        cmocka_unit_test(test_name_with_a_nul_is_a_name),
        cmocka_unit_test(test_no_list_matches_nothing),
        cmocka_unit_test(test_bad_lists_are_refused),
        cmocka_unit_test(test_bounds_hold),
        cmocka_unit_test(test_random_patterns_match_as_defined),
        cmocka_unit_test(test_hostile_name_takes_no_exponential_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
