/* Log lines: their form, that nobody can forge one, levels, limits. */
#include "common/log.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static int saved, pipe_fds[2];
static char line[8192];

static void capture(void) {
    fflush(stderr);
    saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(pipe_fds), 0);
    dup2(pipe_fds[1], STDERR_FILENO);
    close(pipe_fds[1]);
}

/* What was written since capture, without the time at its front if there is one. */
static const char *captured(void) {
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t n = read(pipe_fds[0], line, sizeof line - 1);
    close(pipe_fds[0]);
    assert_true(n >= 0);
    line[n] = '\0';
    const char *rest = strchr(line, ' ');
    return rest != NULL ? rest + 1 : line;
}

#define ASSERT_LOGS(expected, ...)                                                                 \
    do {                                                                                           \
        capture();                                                                                 \
        rp_log_info(__VA_ARGS__);                                                                  \
        assert_string_equal(captured(), expected);                                                 \
    } while (0)

static void test_lines_have_time_level_message_and_fields(void **state) {
    (void) state;
    ASSERT_LOGS("level=info msg=\"ready\"\n", "ready");
    int year, month, day, hour, minute, second, ms, end = 0;
    assert_int_equal(sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %n", &year, &month, &day, &hour,
                            &minute, &second, &ms, &end),
                     7);
    assert_int_equal(end, 25);
    ASSERT_LOGS("level=info msg=\"a link is lost\" peer=abc n=-5 m=7 z=9\n",
                "a link is lost peer=%s n=%d m=%u z=%zu", "abc", -5, 7u, (size_t) 9);
    ASSERT_LOGS(
        "level=info msg=\"numbers\" a=18446744073709551615 b=-9223372036854775808 c=1 d=2\n",
        "numbers a=%" PRIu64 " b=%" PRId64 " c=%llu d=%lld", UINT64_MAX, INT64_MIN, 1ull, 2ll);
}

static void test_values_are_quoted_when_they_need_it(void **state) {
    (void) state;
    static const struct {
        const char *value, *expected;
    } cases[] = {
        {"plain-._/:", "plain-._/:"},
        {"", "\"\""},
        {"a b", "\"a b\""},
        {"a=b", "\"a=b\""},
        {"say \"hi\"", "\"say \\\"hi\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"x\n2026-01-01T00:00:00.000Z level=error", "\"x\\n2026-01-01T00:00:00.000Z level=error\""},
        {"\x1b[31m\r\x7f", "\"\\x1b[31m\\x0d\\x7f\""},
        {"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\""},
        {"\xff\xc3", "\"\\xff\\xc3\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[256];
        snprintf(expected, sizeof expected, "level=info msg=\"m\" v=%s\n", cases[i].expected);
        ASSERT_LOGS(expected, "m v=%s", cases[i].value);
    }
    ASSERT_LOGS("level=info msg=\"m\" v=\"a\\x00b\" w=c\n", "m v=%.*s w=%s", 3, "a\0b", "c");
}

static void test_long_lines_are_cut_and_end(void **state) {
    (void) state;
    static char value[5000];
    memset(value, 'x', sizeof value - 1);
    capture();
    rp_log_info("m v=%s w=%d", value, 1);
    captured();
    assert_int_equal(strlen(line), 2049);
    assert_int_equal(line[2048], '\n');
}

static void test_levels_above_the_set_one_are_silent(void **state) {
    (void) state;
    capture();
    rp_log_debug("no");
    rp_log_set_level(RP_LOG_ERROR);
    rp_log_warn("no");
    rp_log_error("yes");
    rp_log_set_level(RP_LOG_INFO);
    assert_string_equal(captured(), "level=error msg=\"yes\"\n");
}

static void test_a_peer_has_one_line_per_second(void **state) {
    (void) state;
    static struct rp_log_limit limit;
    uint64_t suppressed = 99;
    assert_true(rp_log_limit_pass(&limit, 7, 5, &suppressed));
    assert_int_equal(suppressed, 0);
    for (uint64_t ms = 5; ms < 5 + RP_LOG_LIMIT_MS; ms++) {
        assert_false(rp_log_limit_pass(&limit, 7, ms, &suppressed));
    }
    assert_true(rp_log_limit_pass(&limit, 0, 6, &suppressed)); /* another one */
    assert_false(rp_log_limit_pass(&limit, 0, 7, &suppressed));
    assert_true(rp_log_limit_pass(&limit, 7, 5 + RP_LOG_LIMIT_MS, &suppressed));
    assert_int_equal(suppressed, RP_LOG_LIMIT_MS);
}

static void test_many_peers_share_a_bound(void **state) {
    (void) state;
    static struct rp_log_limit limit;
    uint64_t suppressed;
    int passed = 0;
    for (uint64_t peer = 1; peer <= 1000; peer++) {
        passed += rp_log_limit_pass(&limit, peer, 100, &suppressed);
    }
    assert_int_equal(passed, RP_LOG_LIMIT_PEERS);
    assert_true(rp_log_limit_pass(&limit, 1001, 100 + RP_LOG_LIMIT_MS, &suppressed));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_have_time_level_message_and_fields),
        cmocka_unit_test(test_values_are_quoted_when_they_need_it),
        cmocka_unit_test(test_long_lines_are_cut_and_end),
        cmocka_unit_test(test_levels_above_the_set_one_are_silent),
        cmocka_unit_test(test_a_peer_has_one_line_per_second),
        cmocka_unit_test(test_many_peers_share_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
