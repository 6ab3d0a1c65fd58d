/* Who is the client: tables of a peer, its headers, and the answer. */
#include "proto/forwarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void expect(const char *peer, const char *lines, const char *expected) {
    char head[2000];
    struct rp_http_request req;
    size_t consumed;
    const struct rp_http_problem *problem;
    snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    assert_int_equal(rp_http_parse_head(rp_bytes_str(head), &req, &consumed, &problem), RP_OK);
    struct rp_cidrs trusted;
    assert_int_equal(rp_cidrs_parse("127.0.0.1,10.0.0.0/8,::1,unix", &trusted), RP_OK);
    struct rp_ip ip = {.kind = RP_IP_UNIX};
    assert_true(strcmp(peer, "unix") == 0 || rp_ip_parse(rp_bytes_str(peer), &ip));
    struct rp_ip client = rp_forwarded_for(&req, &ip, &trusted);
    char text[RP_IP_TEXT_SIZE];
    rp_ip_format(&client, text);
    if (strcmp(text, expected) != 0) {
        fail_msg("%s from %s: got %s, expected %s", lines, peer, text, expected);
    }
}

#define XFF "X-Forwarded-For: "

static void test_client_is_the_first_untrusted_from_the_right(void **state) {
    (void) state;
    static const struct {
        const char *peer, *lines, *client;
    } cases[] = {
        {"127.0.0.1", "", "127.0.0.1"},
        {"127.0.0.1", XFF "1.2.3.4\r\n", "1.2.3.4"},
        {"127.0.0.1", "x-forwarded-FOR:1.2.3.4\r\n", "1.2.3.4"},
        {"127.0.0.1", "X-Forwarded: 1.2.3.4\r\n", "127.0.0.1"},
        {"unix", XFF "1.2.3.4\r\n", "1.2.3.4"},
        {"unix", "", "unix"},
        {"::1", XFF "2001:db8::7\r\n", "2001:db8::7"},
        /* nobody asked this peer to speak for others */
        {"9.9.9.9", XFF "1.2.3.4\r\n", "9.9.9.9"},
        {"11.0.0.1", XFF "127.0.0.1\r\n", "11.0.0.1"},
        /* what the client wrote itself, left of what our proxies wrote */
        {"127.0.0.1", XFF "6.6.6.6, 1.2.3.4\r\n", "1.2.3.4"},
        {"127.0.0.1", XFF "6.6.6.6, 1.2.3.4, 10.0.0.2\r\n", "1.2.3.4"},
        {"127.0.0.1", XFF "10.0.0.6, 1.2.3.4, 10.0.0.2, 10.0.0.3\r\n", "1.2.3.4"},
        {"127.0.0.1", XFF "nonsense, 1.2.3.4\r\n", "1.2.3.4"},
        /* all trusted */
        {"127.0.0.1", XFF "10.0.0.1, 10.0.0.2\r\n", "10.0.0.1"},
        /* several headers are one list */
        {"127.0.0.1", XFF "6.6.6.6\r\n" XFF "1.2.3.4\r\n", "1.2.3.4"},
        {"127.0.0.1", XFF "6.6.6.6, 1.2.3.4\r\nA: b\r\n" XFF "10.0.0.1\r\n", "1.2.3.4"},
        {"127.0.0.1", XFF "1.2.3.4\r\n" XFF "\r\n" XFF ",\r\n", "1.2.3.4"},
        /* malformed: the last good one counts */
        {"127.0.0.1", XFF "unknown\r\n", "127.0.0.1"},
        {"127.0.0.1", XFF "1.2.3.4, unknown\r\n", "127.0.0.1"},
        {"127.0.0.1", XFF "1.2.3.4, unknown, 10.0.0.5\r\n", "10.0.0.5"},
        {"127.0.0.1", XFF "1.2.3.4\r\n" XFF "bad, 10.0.0.5\r\n", "10.0.0.5"},
        {"127.0.0.1", XFF "1.2.3.4 5.6.7.8\r\n", "127.0.0.1"},
        {"127.0.0.1", XFF "fe80::1%25eth0\r\n", "127.0.0.1"},
        /* white space and empty entries */
        {"127.0.0.1", XFF ",, \t1.2.3.4\t ,, ,\r\n", "1.2.3.4"},
        {"127.0.0.1", XFF ",\r\n", "127.0.0.1"},
        /* ports and brackets */
        {"127.0.0.1", XFF "1.2.3.4:5678\r\n", "1.2.3.4"},
        {"127.0.0.1", XFF "1.2.3.4:5678, 10.0.0.1:80\r\n", "1.2.3.4"},
        {"127.0.0.1", XFF "[2001:db8::7]:80\r\n", "2001:db8::7"},
        {"127.0.0.1", XFF "[2001:db8::7]\r\n", "2001:db8::7"},
        {"127.0.0.1", XFF "::ffff:1.2.3.4\r\n", "1.2.3.4"},
        {"127.0.0.1", XFF "6.6.6.6, ::ffff:10.0.0.1\r\n", "6.6.6.6"},
        {"127.0.0.1", XFF "1.2.3.4:\r\n", "127.0.0.1"},
        {"127.0.0.1", XFF "1.2.3.4:x\r\n", "127.0.0.1"},
        {"127.0.0.1", XFF "1.2.3.4:123456\r\n", "127.0.0.1"},
        {"127.0.0.1", XFF ":80\r\n", "127.0.0.1"},
        {"127.0.0.1", XFF "[1.2.3.4]:80\r\n", "127.0.0.1"},
        {"127.0.0.1", XFF "[::7\r\n", "127.0.0.1"},
        {"127.0.0.1", XFF "[]:80\r\n", "127.0.0.1"},
        {"127.0.0.1", XFF "[::7]80\r\n", "127.0.0.1"},
        {"127.0.0.1", XFF "[::7]:\r\n", "127.0.0.1"},
        {"127.0.0.1", XFF "\"1.2.3.4\"\r\n", "127.0.0.1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect(cases[i].peer, cases[i].lines, cases[i].client);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_is_the_first_untrusted_from_the_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
