#include "gateway/handshake.h"

#include "proto/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define FIXED                                                                                      \
    "\"time\":\"2026-02-03T04:05:06.789Z\",\"address\":\"192.0.2.7\",\"xdomain\":false,"           \
    "\"secure\":false,\"issued\":1770091506789,"

enum { SPACE = 40000 };

/* The request part made of a head, of at most bytes_max. */
static struct rp_buf request_part(const char *head, bool secure, size_t bytes_max) {
    struct rp_http_request request;
    const struct rp_http_problem *problem = NULL;
    size_t consumed;
    if (rp_http_parse_head(rp_bytes_str(head), &request, &consumed, &problem) != RP_OK) {
        fail_msg("not a head: %s", head);
    }
    struct rp_handshake h = {.request = &request,
                             .address = "192.0.2.7",
                             .secure = secure,
                             .wall_ms = UINT64_C(1770091506789)};
    struct rp_buf out;
    rp_buf_init(&out, bytes_max + 2);
    rp_handshake_put_request(&out, &h, bytes_max);
    assert_true(out.len <= bytes_max);
    assert_true(rp_bytes_is_utf8(rp_buf_bytes(&out)));
    return out;
}

/* The whole of it is one JSON object. */
static void assert_json(struct rp_bytes part, struct rp_bytes auth) {
    struct rp_buf whole;
    struct rp_bytes value;
    rp_buf_init(&whole, RP_HANDSHAKE_BYTES_MAX);
    rp_handshake_put(&whole, part, auth);
    assert_int_equal(rp_json_whole(rp_buf_bytes(&whole), &value), RP_OK);
    assert_int_equal(rp_json_kind(value), RP_JSON_OBJECT);
    rp_buf_done(&whole);
}

static void expect_part(const char *target, const char *lines, const char *expected) {
    char head[RP_HTTP_HEAD_BYTES_MAX];
    snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", target, lines);
    struct rp_buf part = request_part(head, false, 4096);
    if (!rp_bytes_eq_str(rp_buf_bytes(&part), expected)) {
        fail_msg("got %.*s\ninstead of %s", RP_BYTES_FMT(rp_buf_bytes(&part)), expected);
    }
    assert_json(rp_buf_bytes(&part), rp_bytes(NULL, 0));
    rp_buf_done(&part);
}

static void test_a_handshake_tells_what_the_request_was(void **state) {
    (void) state;
    struct rp_buf part = request_part("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
                                      "Host: example.com\r\nOrigin: https://a.example\r\n"
                                      "COOKIE: a=1\r\nAuthorization: Bearer x\"y\r\n\r\n",
                                      true, 4096);
    struct rp_buf whole;
    rp_buf_init(&whole, 4096);
    rp_handshake_put(&whole, rp_buf_bytes(&part), RP_BYTES_LIT("{\"token\":1}"));
    static const char expected[] =
        "{\"time\":\"2026-02-03T04:05:06.789Z\",\"address\":\"192.0.2.7\",\"xdomain\":true,"
        "\"secure\":true,\"issued\":1770091506789,"
        "\"url\":\"/socket.io/?EIO=4&transport=websocket\","
        "\"query\":{\"EIO\":\"4\",\"transport\":\"websocket\"},"
        "\"headers\":{\"host\":\"example.com\",\"origin\":\"https://a.example\","
        "\"cookie\":\"a=1\",\"authorization\":\"Bearer x\\\"y\"},\"auth\":{\"token\":1}}";
    assert_true(rp_bytes_eq_str(rp_buf_bytes(&whole), expected));
    rp_buf_done(&whole);
    rp_buf_done(&part);
}

static void test_headers_that_are_there_twice(void **state) {
    (void) state;
    static const struct {
        const char *lines, *headers;
    } table[] = {
        {"", ""},
        {"X-A: 1\r\nx-a: 2\r\nX-A: 3\r\n", ",\"x-a\":\"1, 2, 3\""},
        {"Cookie: a=1\r\nX: y\r\ncookie: b=2\r\n", ",\"cookie\":\"a=1; b=2\",\"x\":\"y\""},
        {"User-Agent: a\r\nuser-agent: b\r\n", ",\"user-agent\":\"a\""},
        {"Authorization: a\r\nAuthorization: b\r\n", ",\"authorization\":\"a\""},
        {"Set-Cookie: a\r\n", ",\"set-cookie\":[\"a\"]"},
        {"Set-Cookie: a\r\nset-cookie: \"b\"\r\n", ",\"set-cookie\":[\"a\",\"\\\"b\\\"\"]"},
        {"X: a\tb\r\nY:\r\n", ",\"x\":\"a\\tb\",\"y\":\"\""},
        {"X: \xe9\xc3\xa9!\r\n", ",\"x\":\"\xc3\xa9\xc3\x83\xc2\xa9!\""}, /* Latin-1 */
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        char expected[1024];
        snprintf(expected, sizeof expected,
                 FIXED "\"url\":\"/\",\"query\":{},\"headers\":{\"host\":\"a\"%s}",
                 table[i].headers);
        expect_part("/", table[i].lines, expected);
    }
}

static void test_queries(void **state) {
    (void) state;
    static const struct {
        const char *query, *members;
    } table[] = {
        {"", ""},
        {"a", "\"a\":\"\""},
        {"a=", "\"a\":\"\""},
        {"a=1&b=2&&", "\"a\":\"1\",\"b\":\"2\""},
        {"a=1&b=2&a=3", "\"a\":[\"1\",\"3\"],\"b\":\"2\""},
        {"a=b=c", "\"a\":\"b=c\""},
        {"=x", "\"\":\"x\""},
        {"a=1&&=9&=", "\"a\":\"1\",\"\":\"9\""},
        {"a+b=c%20d+e", "\"a b\":\"c d e\""},
        {"a=%22%0a%c3%a9", "\"a\":\"\\\"\\n\xc3\xa9\""},
        {"a=%ffx%c3", "\"a\":\"\xEF\xBF\xBDx\xEF\xBF\xBD\""},
        {"a=%zz", "\"a\":\"%zz\""},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        char target[128], expected[1024];
        snprintf(target, sizeof target, "/x?%s", table[i].query);
        snprintf(expected, sizeof expected,
                 FIXED "\"url\":\"/x?%s\",\"query\":{%s},\"headers\":{\"host\":\"a\"}",
                 table[i].query, table[i].members);
        expect_part(target, "", expected);
    }
}

/* Whatever the bound, it is kept, and the result is JSON; what is short is there. */
static void test_what_does_not_fit_is_left_out(void **state) {
    (void) state;
    static char head[20000];
    int len = snprintf(head, sizeof head, "GET /x?");
    for (int i = 0; i < 600; i++) { /* more names than are told */
        len += snprintf(head + len, sizeof head - (size_t) len, "n%d=%%ff&", i);
    }
    len += snprintf(head + len, sizeof head - (size_t) len, " HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 60; i++) {
        len += snprintf(head + len, sizeof head - (size_t) len, "X-%d: %0*d\xff\r\n", i, i * 2, 7);
    }
    snprintf(head + len, sizeof head - (size_t) len, "\r\n");
    size_t last = 0;
    for (size_t bytes_max = RP_HANDSHAKE_LEAST_BYTES; bytes_max < 16000; bytes_max += 37) {
        struct rp_buf part = request_part(head, false, bytes_max);
        assert_json(rp_buf_bytes(&part), RP_BYTES_LIT("{\"a\":1}"));
        last = part.len;
        rp_buf_done(&part);
    }
    struct rp_buf part = request_part(head, false, RP_HANDSHAKE_REQUEST_BYTES_MAX);
    assert_int_equal(part.len, last); /* all of it fits */
    struct rp_bytes text = rp_buf_bytes(&part);
    assert_non_null(memmem(text.data, text.len, "\"n99\":", 6));
    assert_null(memmem(text.data, text.len, "\"n100\":", 7));
    assert_non_null(memmem(text.data, text.len, "\"x-59\":", 7));
    rp_buf_done(&part);
    /* headers go first: what comes before them is whole, and a short one may still be there */
    part = request_part("GET /abc HTTP/1.1\r\nHost: a\r\nX: "
                        "0123456789012345678901234567890123456789012345678901234567890123456789"
                        "012345678901234567890123456789"
                        "\r\nY: 1\r\n\r\n",
                        false, RP_HANDSHAKE_LEAST_BYTES);
    text = rp_buf_bytes(&part);
    assert_non_null(memmem(text.data, text.len, "\"url\":\"/abc\"", 12));
    assert_non_null(memmem(text.data, text.len, "{\"host\":\"a\",\"y\":\"1\"}", 20));
    rp_buf_done(&part);
}

/* As hostile as a head can be: 64 headers, 16 KiB of them, all of it twice as long in JSON. */
static void test_a_hostile_head(void **state) {
    (void) state;
    static char head[RP_HTTP_HEAD_BYTES_MAX + 1];
    for (size_t value = 100; value <= 8192; value += 2023) {
        size_t len = (size_t) snprintf(head, sizeof head, "GET /?\\\"=\\ HTTP/1.1\r\nHost: a\r\n");
        for (int i = 0; i < 62 && len + value + 12 < sizeof head; i++) {
            len += (size_t) snprintf(head + len, sizeof head - len, "N%d: ", i);
            memset(head + len, i % 2 ? '"' : 0xE9, value);
            len += value;
            len += (size_t) snprintf(head + len, sizeof head - len, "\r\n");
        }
        snprintf(head + len, sizeof head - len, "\r\n");
        for (size_t bytes_max = 256; bytes_max <= RP_HANDSHAKE_REQUEST_BYTES_MAX;
             bytes_max += 1344) {
            struct rp_buf part = request_part(head, false, bytes_max);
            assert_json(rp_buf_bytes(&part), rp_bytes(NULL, 0));
            rp_buf_done(&part);
        }
    }
}

static void test_auth_is_told_without_credentials_of_recovery(void **state) {
    (void) state;
    static const struct {
        const char *payload, *auth;
    } table[] = {
        {"", "{}"},
        {"{}", "{}"},
        {"{\"pid\":\"a\",\"offset\":\"b\"}", "{}"},
        {"{\"token\":\"x\",\"pid\":\"a\"}", "{\"token\":\"x\"}"},
        {"{\"pid\":\"a\", \"n\" : [1, {\"pid\":2}] ,\"offset\":1,\"m\":null}",
         "{\"n\":[1, {\"pid\":2}],\"m\":null}"},
        {"{\"p\\u0069d\":\"a\",\"x\":\"\\ud800\"}",
         "{\"x\":\"\\ud800\"}"}, /* escaped is the same */
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_buf out;
        rp_buf_init(&out, 4096);
        assert_int_equal(rp_handshake_put_auth(&out, rp_bytes_str(table[i].payload)), RP_OK);
        if (!rp_bytes_eq_str(rp_buf_bytes(&out), table[i].auth)) {
            fail_msg("%.*s", RP_BYTES_FMT(rp_buf_bytes(&out)));
        }
        size_t len = out.len;
        rp_buf_done(&out);
        for (size_t max = 0; max < len; max++) { /* or nothing of it */
            rp_buf_init(&out, max);
            assert_int_equal(rp_handshake_put_auth(&out, rp_bytes_str(table[i].payload)),
                             RP_E_FULL);
            assert_int_equal(out.len, 0);
            rp_buf_done(&out);
        }
    }
}

static void test_too_much_auth_is_left_out(void **state) {
    (void) state;
    static char auth[RP_HANDSHAKE_BYTES_MAX];
    struct rp_bytes part = RP_BYTES_LIT("\"url\":\"/\"");
    for (size_t over = 0; over < 2; over++) {
        size_t len = RP_HANDSHAKE_BYTES_MAX - part.len - strlen("{,\"auth\":{}}") + over;
        memset(auth, ' ', sizeof auth);
        memcpy(auth, "{\"t\":1", 6);
        auth[len - 1] = '}';
        struct rp_buf whole;
        rp_buf_init(&whole, RP_HANDSHAKE_BYTES_MAX);
        rp_handshake_put(&whole, part, rp_bytes(auth, len));
        if (over) {
            assert_true(rp_bytes_eq_str(rp_buf_bytes(&whole), "{\"url\":\"/\",\"auth\":{}}"));
        } else {
            assert_true(whole.len > len);
        }
        rp_buf_done(&whole);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_handshake_tells_what_the_request_was),
        cmocka_unit_test(test_headers_that_are_there_twice),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_what_does_not_fit_is_left_out),
        cmocka_unit_test(test_a_hostile_head),
        cmocka_unit_test(test_auth_is_told_without_credentials_of_recovery),
        cmocka_unit_test(test_too_much_auth_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
