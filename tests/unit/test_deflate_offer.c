/* Offers of extensions and weights of codings: tables of headers and the answer. */
#include "proto/deflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Parses a head with these lines; the request borrows `head`. */
static void parse(const char *lines, char head[2000], struct rp_http_request *ret_req) {
    size_t consumed;
    const struct rp_http_problem *problem;
    snprintf(head, 2000, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    assert_int_equal(rp_http_parse_head(rp_bytes_str(head), ret_req, &consumed, &problem), RP_OK);
}

/* ---- extensions ---- */

#define EXT "Sec-WebSocket-Extensions: "
#define PMD "permessage-deflate"
#define AGREED PMD "; server_no_context_takeover; client_no_context_takeover"
#define AGREED_15 AGREED "; server_max_window_bits=15"

static const struct {
    const char *lines;
    const char *response; /* NULL: an ordinary WebSocket */
} offers[] = {
    {"", NULL},
    {EXT "\r\n", NULL},
    {EXT PMD "\r\n", AGREED},
    {"sec-websocket-EXTENSIONS:" PMD "\r\n", AGREED},
    /* what browsers and libraries send */
    {EXT PMD "; client_max_window_bits\r\n", AGREED},
    {EXT PMD "; client_max_window_bits=15\r\n", AGREED},
    {EXT PMD "; server_no_context_takeover; client_no_context_takeover\r\n", AGREED},
    {EXT PMD "; server_max_window_bits=15; client_max_window_bits=15\r\n", AGREED_15},
    {EXT "x-webkit-deflate-frame\r\n", NULL},
    /* each parameter */
    {EXT PMD ";client_max_window_bits=8\r\n", AGREED},
    {EXT PMD ";server_max_window_bits=15\r\n", AGREED_15},
    {EXT PMD ";server_max_window_bits=\"15\"\r\n", AGREED_15},
    {EXT PMD ";server_max_window_bits=\"\\1\\5\"\r\n", AGREED_15},
    {EXT PMD ";server_max_window_bits=14\r\n", NULL},
    {EXT PMD ";server_max_window_bits=8\r\n", NULL},
    {EXT PMD ";server_max_window_bits=16\r\n", NULL},
    {EXT PMD ";server_max_window_bits=015\r\n", NULL},
    {EXT PMD ";server_max_window_bits=0015\r\n", NULL},
    {EXT PMD ";server_max_window_bits=+15\r\n", NULL},
    {EXT PMD ";server_max_window_bits=1e1\r\n", NULL},
    {EXT PMD ";server_max_window_bits\r\n", NULL},
    {EXT PMD ";client_max_window_bits=7\r\n", NULL},
    {EXT PMD ";client_max_window_bits=16\r\n", NULL},
    {EXT PMD ";client_max_window_bits=08\r\n", NULL},
    {EXT PMD ";client_max_window_bits=1500000000000000000000000\r\n", NULL},
    {EXT PMD ";server_no_context_takeover=1\r\n", NULL},
    {EXT PMD ";client_no_context_takeover=\"1\"\r\n", NULL},
    {EXT PMD ";unknown\r\n", NULL},
    {EXT PMD ";client_max_window_bits;unknown=1\r\n", NULL},
    {EXT PMD ";client_max_window_bits;client_max_window_bits\r\n", NULL},
    {EXT PMD ";server_no_context_takeover;server_no_context_takeover\r\n", NULL},
    {EXT PMD ";server_max_window_bits=15;server_max_window_bits=15\r\n", NULL},
    {EXT PMD ";server_max_window_bits=10;server_max_window_bits=15\r\n", NULL},
    /* the first acceptable one */
    {EXT PMD "; server_max_window_bits=10, " PMD "\r\n", AGREED},
    {EXT PMD "; unknown, " PMD "; server_max_window_bits=15, " PMD "\r\n", AGREED_15},
    {EXT PMD ", " PMD "; server_max_window_bits=15\r\n", AGREED},
    {EXT "foo; bar=baz, " PMD "\r\n", AGREED},
    {EXT "foo; bar=\"baz\"; server_max_window_bits=8, " PMD "\r\n", AGREED},
    {EXT "foo\r\n" EXT PMD "\r\n", AGREED},
    {EXT PMD "; unknown\r\nA: b\r\n" EXT PMD ";server_max_window_bits=15\r\n", AGREED_15},
    /* white space and empty members */
    {EXT ",, \t" PMD "\t; \tclient_max_window_bits\t=\t10 ,,\r\n", AGREED},
    {EXT "," PMD "\r\n", AGREED},
    /* not the name */
    {EXT "permessage-deflate2\r\n", NULL},
    {EXT "permessage\r\n", NULL},
    /* malformed, so all of it counts for nothing */
    {EXT PMD ";\r\n", NULL},
    {EXT PMD "; ;client_max_window_bits\r\n", NULL},
    {EXT PMD "=1\r\n", NULL},
    {EXT PMD " client_max_window_bits\r\n", NULL},
    {EXT "\"" PMD "\"\r\n", NULL},
    {EXT PMD ";client_max_window_bits=\r\n", NULL},
    {EXT PMD ";client_max_window_bits=\"\"\r\n", NULL},
    {EXT PMD ";client_max_window_bits=\"\r\n", NULL},
    {EXT PMD ";client_max_window_bits=\"1\r\n", NULL},
    {EXT PMD ";client_max_window_bits=\"1\\\r\n", NULL},
    {EXT PMD ";client_max_window_bits=\"1 5\"\r\n", NULL},
    {EXT PMD ";client_max_window_bits=\"1,5\"\r\n", NULL},
    {EXT PMD ";client_max_window_bits=10 11\r\n", NULL},
    {EXT PMD ";client_max_window_bits=\"10\"x\r\n", NULL},
    {EXT PMD ", foo;\r\n", NULL},
    {EXT PMD ", foo bar\r\n", NULL},
    {EXT PMD "\r\n" EXT "foo;=\r\n", NULL},
    {EXT PMD ", \xC3\xA4\r\n", NULL},
};

static void test_offers_are_taken_or_declined(void **state) {
    (void) state;
    for (size_t i = 0; i < sizeof offers / sizeof *offers; i++) {
        char head[2000];
        struct rp_http_request req;
        const char *response = NULL;
        parse(offers[i].lines, head, &req);
        bool agreed = rp_deflate_negotiate(&req, &response);
        if (agreed != (offers[i].response != NULL)) {
            fail_msg("%s: %s", offers[i].lines, agreed ? response : "declined");
        }
        if (agreed) {
            assert_string_equal(response, offers[i].response);
        }
    }
}

/* ---- codings ---- */

#define ACC "Accept-Encoding: "

static void test_codings_are_picked_by_weight(void **state) {
    (void) state;
    static const struct {
        const char *lines;
        enum rp_http_coding coding;
    } cases[] = {
        {"", RP_HTTP_IDENTITY},
        {ACC "\r\n", RP_HTTP_IDENTITY},
        {ACC "gzip\r\n", RP_HTTP_GZIP},
        {ACC "GZip\r\n", RP_HTTP_GZIP},
        {ACC "x-gzip\r\n", RP_HTTP_GZIP},
        {ACC "deflate\r\n", RP_HTTP_DEFLATE},
        {ACC "gzip, deflate, br, zstd\r\n", RP_HTTP_GZIP},
        {ACC "deflate, gzip\r\n", RP_HTTP_GZIP},
        {ACC "deflate\r\n" ACC "gzip\r\n", RP_HTTP_GZIP},
        {ACC "br\r\n", RP_HTTP_IDENTITY},
        {ACC "*\r\n", RP_HTTP_GZIP},
        {ACC "*;q=0\r\n", RP_HTTP_IDENTITY},
        {ACC "identity\r\n", RP_HTTP_IDENTITY},
        {ACC "identity, gzip\r\n", RP_HTTP_GZIP},
        {ACC "identity;q=1, gzip;q=0.5\r\n", RP_HTTP_IDENTITY},
        {ACC "identity;q=0.5, gzip;q=0.501\r\n", RP_HTTP_GZIP},
        {ACC "gzip;q=0.5, deflate;q=0.8\r\n", RP_HTTP_DEFLATE},
        {ACC "gzip;q=0, deflate\r\n", RP_HTTP_DEFLATE},
        {ACC "gzip;q=0, *\r\n", RP_HTTP_DEFLATE},
        {ACC "gzip;q=0.000, deflate;q=0.\r\n", RP_HTTP_IDENTITY},
        {ACC "gzip;q=0.001\r\n", RP_HTTP_GZIP},
        {ACC "gzip;q=1.000\r\n", RP_HTTP_GZIP},
        {ACC "gzip ; Q=1\r\n", RP_HTTP_GZIP},
        {ACC "identity;q=0\r\n", RP_HTTP_IDENTITY},
        {ACC "identity;q=0, deflate;q=0.1\r\n", RP_HTTP_DEFLATE},
        {ACC "deflate;q=0.3, *;q=0.2\r\n", RP_HTTP_DEFLATE},
        {ACC ",, gzip ,\r\n", RP_HTTP_GZIP},
        /* malformed members do not count */
        {ACC "gzip;q=2\r\n", RP_HTTP_IDENTITY},
        {ACC "gzip;q=1.001\r\n", RP_HTTP_IDENTITY},
        {ACC "gzip;q=0.0001\r\n", RP_HTTP_IDENTITY},
        {ACC "gzip;q=\r\n", RP_HTTP_IDENTITY},
        {ACC "gzip;q=-1\r\n", RP_HTTP_IDENTITY},
        {ACC "gzip;q = 1\r\n", RP_HTTP_IDENTITY},
        {ACC "gzip;level=9\r\n", RP_HTTP_IDENTITY},
        {ACC "gzip deflate\r\n", RP_HTTP_IDENTITY},
        {ACC "gzip;q=x, deflate\r\n", RP_HTTP_DEFLATE},
        {ACC "gzipped, *x, deflate2\r\n", RP_HTTP_IDENTITY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char head[2000];
        struct rp_http_request req;
        parse(cases[i].lines, head, &req);
        if (rp_http_pick_coding(&req) != cases[i].coding) {
            fail_msg("%s: %d", cases[i].lines, rp_http_pick_coding(&req));
        }
    }
    assert_null(rp_http_coding_name(RP_HTTP_IDENTITY));
    assert_string_equal(rp_http_coding_name(RP_HTTP_GZIP), "gzip");
    assert_string_equal(rp_http_coding_name(RP_HTTP_DEFLATE), "deflate");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offers_are_taken_or_declined),
        cmocka_unit_test(test_codings_are_picked_by_weight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
