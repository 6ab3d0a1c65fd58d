/* tests/unit/test_options.c — gateway/options: what follows from options, and options that do not
 * go together. */
#include "gateway/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

enum { ARGS_MAX = 16 };

static const struct rp_options_program program = {
    .program = "test",
    .summary = "A test.",
    .listen = "127.0.0.1:3000",
    .path = "/socket.io",
    .max_payload = "1000000",
    .max_payload_max = 1 << 24,
};

/* Parses arguments separated by spaces; what is said to the user goes nowhere. */
static int parse(const char *line, struct rp_options *ret_options, char text[512]) {
    char *argv[ARGS_MAX + 1] = {(char *) (uintptr_t) "test"}, *rest = NULL;
    int argc = 1;
    snprintf(text, 512, "%s", line);
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        assert_true(argc < ARGS_MAX);
        argv[argc++] = word;
    }
    return rp_options_parse(&program, argc, argv, ret_options);
}

static void test_options_that_go_together(void **state) {
    (void) state;
    static const struct {
        const char *line;
        bool ok;
    } rows[] = {
        {"", true},
        {"--listen off", false},
        {"--listen off --tls-listen :1 --tls-cert a --tls-key b", true},
        {"--tls-listen :1", false},
        {"--tls-listen :1 --tls-cert a", false},
        {"--tls-listen :1 --tls-key b", false},
        {"--tls-cert a --tls-key b", false},
        {"--tls-key b", false},
        {"--proxy-protocol on", false},
        {"--proxy-protocol on --trusted-proxies 10.0.0.0/8,unix", true},
        {"--proxy-protocol off", true},
        {"--cors-credentials on", false},
        {"--cors-credentials on --cors-origin *", false},
        {"--cors-credentials on --cors-origin https://a.example,**", false},
        {"--cors-credentials on --cors-origin https://*", true},
        {"--cors-credentials off", true},
        {"--listen 127.0.0.1:1,unix:/a", true},
        {"--listen 127.0.0.1:1,off", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rp_options o;
        char text[512];
        int status = parse(rows[i].line, &o, text);
        if (status != (rows[i].ok ? -1 : 2)) {
            fail_msg("%s: %d", rows[i].line, status);
        }
        rp_options_done(&o);
    }
}

static void test_lists_become_what_they_say(void **state) {
    (void) state;
    struct rp_options o;
    char text[512];
    assert_int_equal(parse("--listen 127.0.0.1:1,[::1]:2,unix:/x --transports websocket "
                           "--tls-listen :3 --tls-cert a --tls-key a --trusted-proxies 10.1.2.3",
                           &o, text),
                     -1);
    assert_int_equal(o.addresses.count, 3);
    assert_true(o.addresses.items[2].is_unix);
    assert_int_equal(o.tls_addresses.count, 1);
    assert_int_equal(o.tls_addresses.items[0].port, 3);
    assert_int_equal(o.trusted.count, 1);
    assert_true(o.no_polling);
    assert_false(o.no_websocket);
    rp_options_done(&o);
    assert_int_equal(parse("--transports polling", &o, text), -1);
    assert_true(!o.no_polling && o.no_websocket);
    rp_options_done(&o);
    assert_int_equal(parse("", &o, text), -1);
    assert_true(!o.no_polling && !o.no_websocket);
    assert_int_equal(o.addresses.count, 1);
    assert_int_equal(o.tls_addresses.count, 0);
    assert_int_equal(o.trusted.count, 0);
    assert_true(o.allow_upgrades && o.http_compression && !o.per_message_deflate);
    assert_null(o.cors_origin);
    assert_null(o.cookie);
    rp_options_done(&o);
}

static void test_values_are_checked(void **state) {
    (void) state;
    static const struct {
        const char *name, *value;
        bool ok;
    } rows[] = {
        {"transports", "polling,websocket", true},
        {"transports", "websocket,polling", true},
        {"transports", "websocket,", false},
        {"transports", "websocket,,polling", false},
        {"transports", "webtransport", false},
        {"cors-origin", "https://a.example,http://localhost:*", true},
        {"cors-origin", "*", true},
        {"cors-origin", "*.example", true},
        {"cors-origin", "null", true},
        {"cors-origin", "a.example", false},
        {"cors-origin", "https://a.example/", false},
        {"cors-origin", "https://a.example,", false},
        {"cookie", "io", true},
        {"cookie", "a=b", false},
        {"upgrade-timeout", "10s", true},
        {"upgrade-timeout", "0s", false},
        {"max-payload", "16M", true},
        {"max-payload", "17M", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rp_options o;
        char line[256], text[512];
        snprintf(line, sizeof line, "--%s %s", rows[i].name, rows[i].value);
        if (parse(line, &o, text) != (rows[i].ok ? -1 : 2)) {
            fail_msg("%s", line);
        }
        rp_options_done(&o);
    }
}

static void test_namespaces_begin_with_a_slash(void **state) {
    (void) state;
    static const struct {
        const char *text;
        bool ok;
    } rows[] = {{"/", true},   {"/,/admin, /tenant-*", true},
                {"/*", true},  {"*", false},
                {"", false},   {"admin", false},
                {"/,", false}, {"/, ", false},
                {",/", false}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        if ((rp_options_check_namespaces(rows[i].text) == NULL) != rows[i].ok) {
            fail_msg("\"%s\"", rows[i].text);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_that_go_together),
        cmocka_unit_test(test_lists_become_what_they_say),
        cmocka_unit_test(test_values_are_checked),
        cmocka_unit_test(test_namespaces_begin_with_a_slash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
