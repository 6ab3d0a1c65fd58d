/* Heads: each is given whole and with every length of its beginning, as it is when bytes arrive one
 * by one or in any two pieces; the answer must come with the same byte and be the same. Bodies:
 * whole, byte by byte, and split in two at every point. */
#include "proto/http.h"

#include "common/alloc.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Heads ---- */

/* What was understood, in one line; a refusal as its status. */
static void describe(struct rp_buf *out, enum rp_err err, const struct rp_http_request *req,
                     size_t consumed, const struct rp_http_problem *problem) {
    static const char *const framings[] = {"none", "length", "chunked"};
    rp_buf_clear(out);
    if (err == RP_MORE) {
        assert_int_equal(rp_buf_put_str(out, "more"), RP_OK);
    } else if (err != RP_OK) {
        assert_int_equal(problem->err, err);
        assert_int_equal(rp_buf_printf(out, "%d %s", problem->status, problem->text), RP_OK);
    } else {
        assert_int_equal(
            rp_buf_printf(out, "%zu %.*s %.*s p=%.*s q=%.*s a=%.*s 1.%d h=%zu %s %llu %s%s",
                          consumed, RP_BYTES_FMT(req->method), RP_BYTES_FMT(req->target),
                          RP_BYTES_FMT(req->path), RP_BYTES_FMT(req->query),
                          RP_BYTES_FMT(req->authority), req->version_minor, req->headers_count,
                          framings[req->framing], (unsigned long long) req->content_length,
                          req->keep_alive ? "keep" : "close",
                          req->expect_continue ? " expect" : ""),
            RP_OK);
    }
    assert_int_equal(rp_buf_put(out, rp_bytes("", 1)), RP_OK);
}

/* Parses a copy of exactly this length, so that a byte read too far is seen. */
static enum rp_err parse(struct rp_bytes in, struct rp_buf *out) {
    uint8_t *copy = malloc(in.len ? in.len : 1);
    if (in.len > 0) {
        memcpy(copy, in.data, in.len);
    }
    struct rp_http_request req;
    size_t consumed = 0;
    const struct rp_http_problem *problem = NULL;
    enum rp_err err = rp_http_parse_head(rp_bytes(copy, in.len), &req, &consumed, &problem);
    describe(out, err, &req, consumed, problem);
    free(copy);
    return err;
}

/* The head must get this answer whole, and from every beginning either "more" or this answer, the
 * answer never going away again. Gives the length at which it came. */
static size_t expect_head(struct rp_bytes in, const char *expected) {
    struct rp_buf out;
    rp_buf_init(&out, 100000);
    parse(in, &out);
    if (strcmp((char *) out.data, expected) != 0) {
        fail_msg("%.*s\n  got      %s\n  expected %s", RP_BYTES_FMT(in), out.data, expected);
    }
    size_t answered_at = in.len + 1;
    for (size_t len = 0; len <= in.len; len++) {
        enum rp_err err = parse(rp_bytes(in.data, len), &out);
        if (err == RP_MORE) {
            assert_true(answered_at > in.len);
            continue;
        }
        answered_at = answered_at > in.len ? len : answered_at;
        if (strcmp((char *) out.data, expected) != 0) {
            fail_msg("%zu bytes of %.*s\n  got      %s\n  expected %s", len, RP_BYTES_FMT(in),
                     out.data, expected);
        }
    }
    rp_buf_done(&out);
    return answered_at;
}

#define HOST "Host: a.example\r\n"

static void test_heads_good_are_understood(void **state) {
    (void) state;
    static const struct {
        const char *head;
        const char *expected; /* without the length that was taken, which is the head's */
    } cases[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", "GET / p=/ q= a=a.example 1.1 h=1 none 0 keep"},
        {"GET /a/b?c=d&e HTTP/1.1\r\n" HOST "\r\n",
         "GET /a/b?c=d&e p=/a/b q=c=d&e a=a.example 1.1 h=1 none 0 keep"},
        {"GET /? HTTP/1.1\r\n" HOST "\r\n", "GET /? p=/ q= a=a.example 1.1 h=1 none 0 keep"},
        {"GET /?a?b HTTP/1.1\r\n" HOST "\r\n",
         "GET /?a?b p=/ q=a?b a=a.example 1.1 h=1 none 0 keep"},
        {"\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "GET / p=/ q= a=a.example 1.1 h=1 none 0 keep"},
        {"GET / HTTP/1.0\r\n\r\n", "GET / p=/ q= a= 1.0 h=0 none 0 close"},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / p=/ q= a= 1.0 h=1 none 0 keep"},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
         "GET / p=/ q= a= 1.0 h=1 none 0 close"},
        {"GET / HTTP/1.1\r\n" HOST "Connection: x\r\nconnection:,, CLOSE ,\r\n\r\n",
         "GET / p=/ q= a=a.example 1.1 h=3 none 0 close"},
        {"GET http://b.example:80/x?y HTTP/1.1\r\n" HOST "\r\n",
         "GET http://b.example:80/x?y p=/x q=y a=b.example:80 1.1 h=1 none 0 keep"},
        {"GET HTTPS://[::1] HTTP/1.1\r\n" HOST "\r\n",
         "GET HTTPS://[::1] p=/ q= a=[::1] 1.1 h=1 none 0 keep"},
        {"GET http://b?c/d HTTP/1.1\r\n" HOST "\r\n",
         "GET http://b?c/d p=/ q=c/d a=b 1.1 h=1 none 0 keep"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n",
         "POST / p=/ q= a=a.example 1.1 h=2 length 0 keep"},
        {"POST / HTTP/1.1\r\n" HOST "cONTENT-lENGTH:18446744073709551615\r\n\r\n",
         "POST / p=/ q= a=a.example 1.1 h=2 length 18446744073709551615 keep"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \t Chunked \t\r\n\r\n",
         "POST / p=/ q= a=a.example 1.1 h=2 chunked 0 keep"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-Continue\r\n\r\n",
         "POST / p=/ q= a=a.example 1.1 h=3 length 5 keep expect"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n",
         "POST / p=/ q= a=a.example 1.1 h=3 length 0 keep"},
        {"POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: nonsense\r\n\r\n",
         "POST / p=/ q= a= 1.0 h=2 length 5 close"},
        {"X!#$%&'*+-.^_`|~9 / HTTP/1.1\r\n" HOST "X!#$%&'*+-.^_`|~9:\r\n\r\n",
         "X!#$%&'*+-.^_`|~9 / p=/ q= a=a.example 1.1 h=2 none 0 keep"},
        {"GET / HTTP/1.1\r\nHost:127.0.0.1:3000\r\nX: caf\xC3\xA9\tand \xFF\r\nY: \r\n\r\n",
         "GET / p=/ q= a=127.0.0.1:3000 1.1 h=3 none 0 keep"},
        {"GET /\"<>[]^`{|}\\ HTTP/1.1\r\nHost: [fe80::1.2.3.4]:65535\r\n\r\n",
         "GET /\"<>[]^`{|}\\ p=/\"<>[]^`{|}\\ q= a=[fe80::1.2.3.4]:65535 1.1 h=1 none 0 keep"},
        {"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "GET / p=/ q= a=a: 1.1 h=1 none 0 keep"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rp_bytes head = rp_bytes_str(cases[i].head);
        char expected[500];
        snprintf(expected, sizeof expected, "%zu %s", head.len, cases[i].expected);
        assert_int_equal(expect_head(head, expected), head.len);
        /* with the next request behind it */
        struct rp_buf more;
        rp_buf_init(&more, 10000);
        assert_int_equal(rp_buf_put(&more, head), RP_OK);
        assert_int_equal(rp_buf_put_str(&more, "\x01 GET / HTTP/1.1\r\n\r\n"), RP_OK);
        assert_int_equal(expect_head(rp_buf_bytes(&more), expected), head.len);
        rp_buf_done(&more);
    }
}

/* `at` is the length with which the refusal must come: the first byte that cannot be right. */
struct refusal {
    const char *head;
    size_t at; /* 0: the end of the head */
    const char *expected;
};

#define LINE "GET / HTTP/1.1\r\n"
#define BAD_METHOD "400 malformed request: method"
#define BAD_TARGET "400 malformed request: target"
#define BAD_VERSION "400 malformed request: HTTP version"
#define OTHER_VERSION "505 only HTTP/1.1 and HTTP/1.0 are supported here"
#define BAD_LINE_END "400 malformed request: line not ended by CRLF"
#define FOLDED "400 malformed request: folded header line"
#define BAD_NAME "400 malformed request: header name"
#define BAD_VALUE "400 malformed request: header value"
#define BAD_HOST "400 malformed host"
#define BAD_LENGTH "400 malformed Content-Length"
#define TWO_FRAMINGS "400 both Content-Length and Transfer-Encoding"
#define OTHER_CODING "501 only \"chunked\" is supported as Transfer-Encoding"

static void expect_refusals(const struct refusal *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct rp_bytes head = rp_bytes_str(cases[i].head);
        size_t at = expect_head(head, cases[i].expected);
        if (at != (cases[i].at ? cases[i].at : head.len)) {
            fail_msg("%s: refused at %zu", cases[i].head, at);
        }
    }
}

static void test_request_lines_bad_are_refused_at_once(void **state) {
    (void) state;
    static const struct refusal cases[] = {
        {"\n", 1, BAD_LINE_END},
        {"\rGET", 2, BAD_LINE_END},
        {"\r\n\r\nGET", 3, BAD_METHOD},
        {" GET / HTTP/1.1\r\n", 1, BAD_METHOD},
        {"\x16\x03\x01\x02", 1, BAD_METHOD}, /* TLS */
        {"G\xC3\xA4T / HTTP/1.1\r\n", 2, BAD_METHOD},
        {"GET\t/ HTTP/1.1\r\n", 4, BAD_METHOD},
        {"GET\r\n\r\n", 4, BAD_METHOD},
        {"GE(T / HTTP/1.1\r\n", 3, BAD_METHOD},
        {"GET  / HTTP/1.1\r\n", 5, BAD_TARGET},
        {"GET /\r\n\r\n", 6, BAD_TARGET}, /* HTTP/0.9 */
        {"GET /a#b HTTP/1.1\r\n", 7, BAD_TARGET},
        {"GET /\xC3\xA4 HTTP/1.1\r\n", 6, BAD_TARGET},
        {"GET /\x7F HTTP/1.1\r\n", 6, BAD_TARGET},
        {"GET /\t HTTP/1.1\r\n", 6, BAD_TARGET},
        {"GET /a b HTTP/1.1\r\n", 8, BAD_VERSION},
        {"GET a.example HTTP/1.1\r\n", 24, BAD_TARGET},
        {"GET * HTTP/1.1\r\n", 16, BAD_TARGET},
        {"GET ftp://a/ HTTP/1.1\r\n", 23, BAD_TARGET},
        {"GET http:/a HTTP/1.1\r\n", 22, BAD_TARGET},
        {"GET http:///a HTTP/1.1\r\n", 24, BAD_HOST},
        {"GET http://u@a/ HTTP/1.1\r\n", 26, BAD_HOST},
        {"GET http://a:b/ HTTP/1.1\r\n", 26, BAD_HOST},
        {"CONNECT a:80 HTTP/1.1\r\n", 8, "501 method CONNECT is not supported"},
        {"GET / http/1.1\r\n", 7, BAD_VERSION},
        {"GET / HTTP/1.1 \r\n", 15, BAD_LINE_END},
        {"GET / HTTP/1.1\n", 15, BAD_LINE_END},
        {"GET / HTTP/1.1\rX", 16, BAD_LINE_END},
        {"GET / HTTP/11\r\n", 13, BAD_VERSION},
        {"GET / HTTP/1.x\r\n", 14, BAD_VERSION},
        {"GET / HTTP/x.1\r\n", 12, BAD_VERSION},
        {"GET / HTTP/1.10\r\n", 15, BAD_LINE_END},
        {"GET / HTTP/1.2\r\n", 14, OTHER_VERSION},
        {"GET / HTTP/0.9\r\n", 14, OTHER_VERSION},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 14, OTHER_VERSION},
        {"GET / XTTP/1.1\r\n", 7, BAD_VERSION},
    };
    expect_refusals(cases, sizeof cases / sizeof *cases);
}

static void test_header_lines_bad_are_refused_at_once(void **state) {
    (void) state;
    static const struct refusal cases[] = {
        {LINE " Host: a\r\n", 17, FOLDED},
        {LINE "A: b\r\n c\r\n", 23, FOLDED},
        {LINE "A: b\r\n\tc\r\n", 23, FOLDED},
        {LINE "Host : a\r\n", 21, BAD_NAME},
        {LINE ": a\r\n", 17, BAD_NAME},
        {LINE "Host\r\n", 21, BAD_NAME},
        {LINE "H\xC3\xA4: a\r\n", 18, BAD_NAME},
        {LINE "A(: a\r\n", 18, BAD_NAME},
        {LINE "A: b\x01\r\n", 21, BAD_VALUE},
        {LINE "A: b\x7F\r\n", 21, BAD_VALUE},
        {LINE "A: b\nC: d\r\n", 21, BAD_LINE_END},
        {LINE "A: b\rC: d\r\n", 22, BAD_LINE_END},
        {LINE "A: b\r\r\n", 22, BAD_LINE_END},
        {LINE "\n", 17, BAD_LINE_END},
        {LINE "\rX", 18, BAD_LINE_END},
    };
    expect_refusals(cases, sizeof cases / sizeof *cases);
    struct rp_bytes nul = rp_bytes(LINE "A: b\0\r\n", sizeof LINE + 6);
    assert_int_equal(expect_head(nul, BAD_VALUE), 21);
    nul = rp_bytes(LINE "A\0: b\r\n", sizeof LINE + 6);
    assert_int_equal(expect_head(nul, BAD_NAME), 18);
    nul = rp_bytes("GET\0/", 5);
    assert_int_equal(expect_head(nul, BAD_METHOD), 4);
    nul = rp_bytes("GET /\0 ", 7);
    assert_int_equal(expect_head(nul, BAD_TARGET), 6);
}

static void test_headers_that_contradict_are_refused(void **state) {
    (void) state;
#define WITH(headers) "POST / HTTP/1.1\r\n" HOST headers "\r\n"
    static const struct refusal cases[] = {
        {LINE "\r\n", 0, "400 Host header missing"},
        {LINE "X: a\r\n\r\n", 0, "400 Host header missing"},
        {LINE HOST "host: a.example\r\n\r\n", 0, "400 more than one Host header"},
        {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 0, "400 more than one Host header"},
        {"GET http://a/ HTTP/1.1\r\n\r\n", 0, "400 Host header missing"},
        {LINE "Host:\r\n\r\n", 0, BAD_HOST},
        {LINE "Host: a b\r\n\r\n", 0, BAD_HOST},
        {LINE "Host: a/b\r\n\r\n", 0, BAD_HOST},
        {LINE "Host: a,b:1,c\r\n\r\n", 0, BAD_HOST},
        {LINE "Host: u@a\r\n\r\n", 0, BAD_HOST},
        {LINE "Host: :80\r\n\r\n", 0, BAD_HOST},
        {LINE "Host: a:65536\r\n\r\n", 0, BAD_HOST},
        {LINE "Host: a:000080\r\n\r\n", 0, BAD_HOST},
        {LINE "Host: a:8x\r\n\r\n", 0, BAD_HOST},
        {LINE "Host: [::1\r\n\r\n", 0, BAD_HOST},
        {LINE "Host: []\r\n\r\n", 0, BAD_HOST},
        {LINE "Host: [::g]\r\n\r\n", 0, BAD_HOST},
        {LINE "Host: [::1]80\r\n\r\n", 0, BAD_HOST},
        {LINE "Host: \xC3\xA4\r\n\r\n", 0, BAD_HOST},
        {WITH("Content-Length: 5\r\nContent-Length: 5\r\n"), 0, "400 more than one Content-Length"},
        {WITH("Content-Length: 5\r\nX: y\r\ncontent-length: 6\r\n"), 0,
         "400 more than one Content-Length"},
        {WITH("Content-Length: 5, 5\r\n"), 0, BAD_LENGTH},
        {WITH("Content-Length: +5\r\n"), 0, BAD_LENGTH},
        {WITH("Content-Length: -5\r\n"), 0, BAD_LENGTH},
        {WITH("Content-Length: 0x5\r\n"), 0, BAD_LENGTH},
        {WITH("Content-Length: 05\r\n"), 0, BAD_LENGTH},
        {WITH("Content-Length: 5 5\r\n"), 0, BAD_LENGTH},
        {WITH("Content-Length:\r\n"), 0, BAD_LENGTH},
        {WITH("Content-Length: 18446744073709551616\r\n"), 0, BAD_LENGTH},
        {WITH("Content-Length: 99999999999999999999999\r\n"), 0, BAD_LENGTH},
        {WITH("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 0, TWO_FRAMINGS},
        {WITH("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 0, TWO_FRAMINGS},
        {WITH("Transfer-Encoding: gzip\r\nContent-Length: 5\r\n"), 0, TWO_FRAMINGS},
        {WITH("Transfer-Encoding: gzip\r\n"), 0, OTHER_CODING},
        {WITH("Transfer-Encoding: gzip, chunked\r\n"), 0, OTHER_CODING},
        {WITH("Transfer-Encoding: chunked, chunked\r\n"), 0, OTHER_CODING},
        {WITH("Transfer-Encoding: identity\r\n"), 0, OTHER_CODING},
        {WITH("Transfer-Encoding:\r\n"), 0, OTHER_CODING},
        {WITH("Transfer-Encoding: \"chunked\"\r\n"), 0, OTHER_CODING},
        {WITH("Transfer-Encoding: xchunked\r\n"), 0, OTHER_CODING},
        {WITH("Transfer-Encoding: chunked;q=1\r\n"), 0, OTHER_CODING},
        {WITH("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 0,
         "400 more than one Transfer-Encoding"},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 0,
         "400 Transfer-Encoding in HTTP/1.0"},
        {WITH("Content-Length: 5\r\nExpect: 200-ok\r\n"), 0,
         "417 only \"100-continue\" is supported as Expect"},
        {WITH("Expect: 100-continue\r\nExpect: 100-continue\r\n"), 0,
         "417 only \"100-continue\" is supported as Expect"},
    };
    expect_refusals(cases, sizeof cases / sizeof *cases);
}

/* A head of this many bytes, made long by its last header. */
static struct rp_buf head_of(size_t bytes) {
    struct rp_buf head;
    rp_buf_init(&head, 100000);
    assert_int_equal(rp_buf_put_str(&head, LINE HOST "X: "), RP_OK);
    size_t filler = bytes - head.len - 4;
    uint8_t *place = rp_buf_reserve(&head, filler);
    memset(place, 'x', filler);
    head.len += filler;
    assert_int_equal(rp_buf_put_str(&head, "\r\n\r\n"), RP_OK);
    return head;
}

static void test_limits_are_exact_and_named(void **state) {
    (void) state;
    struct rp_buf out;
    rp_buf_init(&out, 100000);
    struct rp_buf head = head_of(RP_HTTP_HEAD_BYTES_MAX);
    assert_int_equal(parse(rp_buf_bytes(&head), &out), RP_OK);
    rp_buf_done(&head);
    head = head_of(RP_HTTP_HEAD_BYTES_MAX + 1);
    assert_int_equal(parse(rp_buf_bytes(&head), &out), RP_E_TOO_BIG);
    assert_string_equal(out.data, "431 request head longer than 16384 bytes");
    assert_int_equal(parse(rp_bytes(head.data, RP_HTTP_HEAD_BYTES_MAX), &out), RP_MORE);
    rp_buf_done(&head);

    for (size_t over = 0; over <= 1; over++) { /* the target */
        rp_buf_init(&head, 100000);
        assert_int_equal(
            rp_buf_printf(&head, "GET /%0*d", RP_HTTP_TARGET_BYTES_MAX - 1 + (int) over, 0), RP_OK);
        assert_int_equal(parse(rp_buf_bytes(&head), &out), over ? RP_E_TOO_BIG : RP_MORE);
        assert_string_equal(out.data, over ? "414 request target longer than 8192 bytes" : "more");
        rp_buf_done(&head);
    }
    for (int over = 0; over <= 1; over++) { /* the method */
        rp_buf_init(&head, 100000);
        assert_int_equal(rp_buf_printf(&head, "%0*d", RP_HTTP_METHOD_BYTES_MAX + over, 0), RP_OK);
        assert_int_equal(parse(rp_buf_bytes(&head), &out), over ? RP_E_UNSUPPORTED : RP_MORE);
        assert_string_equal(out.data, over ? "501 method longer than 32 bytes" : "more");
        rp_buf_done(&head);
    }
    for (int over = 0; over <= 1; over++) { /* the number of headers */
        rp_buf_init(&head, 100000);
        assert_int_equal(rp_buf_put_str(&head, LINE HOST), RP_OK);
        for (int i = 1; i < RP_HTTP_HEADERS_MAX + over; i++) {
            assert_int_equal(rp_buf_put_str(&head, "X: y\r\n"), RP_OK);
        }
        assert_int_equal(rp_buf_put_str(&head, "\r\n"), RP_OK);
        assert_int_equal(parse(rp_buf_bytes(&head), &out), over ? RP_E_TOO_BIG : RP_OK);
        if (over) {
            assert_string_equal(out.data, "431 more than 64 header lines");
        }
        rp_buf_done(&head);
    }
    rp_buf_done(&out);
}

/* ---- Lookups ---- */

static void test_headers_are_found_and_lists_read(void **state) {
    (void) state;
    struct rp_http_request req;
    size_t consumed;
    const struct rp_http_problem *problem;
    struct rp_bytes head = RP_BYTES_LIT(
        LINE HOST "Upgrade: h2c\r\nConnection: keep-alive , \tUpgrade\r\nUPGRADE:foo,WebSocket,\r\n"
                  "Empty:   \r\nX: upgraded\r\n\r\n");
    assert_int_equal(rp_http_parse_head(head, &req, &consumed, &problem), RP_OK);
    assert_true(rp_bytes_eq_str(rp_http_find(&req, "UPgrade")->value, "h2c"));
    assert_true(rp_bytes_eq_str(rp_http_find(&req, "empty")->value, ""));
    assert_true(rp_bytes_eq_str(rp_http_find(&req, "connection")->value, "keep-alive , \tUpgrade"));
    assert_null(rp_http_find(&req, "upgrad"));
    assert_true(rp_http_has_token(&req, "connection", "upgrade"));
    assert_true(rp_http_has_token(&req, "upgrade", "websocket"));
    assert_true(rp_http_has_token(&req, "upgrade", "H2C"));
    assert_true(rp_http_has_token(&req, "upgrade", "foo"));
    assert_false(rp_http_has_token(&req, "upgrade", "web"));
    assert_false(rp_http_has_token(&req, "x", "upgrade"));
    assert_false(rp_http_has_token(&req, "nothing", "upgrade"));
}

static void test_query_values_are_found(void **state) {
    (void) state;
    static const struct {
        const char *query, *name, *expected; /* NULL: not there */
    } cases[] = {
        {"", "a", NULL},
        {"a=1", "a", "1"},
        {"a=1&a=2", "a", "1"},
        {"ab=1&a=2", "a", "2"},
        {"a", "a", ""},
        {"a=", "a", ""},
        {"b&a&c", "a", ""},
        {"a=b=c", "a", "b=c"},
        {"&&a=1&", "a", "1"},
        {"xa=1", "a", NULL},
        {"A=1", "a", NULL},
        {"a%3D=1", "a", NULL},
        {"EIO=4&transport=websocket&sid=x%20y", "sid", "x%20y"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rp_bytes value = {.len = 0};
        bool found = rp_http_query_get(rp_bytes_str(cases[i].query), cases[i].name, &value);
        assert_int_equal(found, cases[i].expected != NULL);
        assert_true(!found || rp_bytes_eq_str(value, cases[i].expected));
    }
}

static void test_percent_escapes_are_decoded_or_refused(void **state) {
    (void) state;
    static const struct {
        const char *raw, *plain, *query; /* NULL: refused */
    } cases[] = {
        {"", "", ""},
        {"abc", "abc", "abc"},
        {"a%20b+c", "a b+c", "a b c"},
        {"%2b%2B+", "+++", "++ "},
        {"%C3%a4%FF", "\xC3\xA4\xFF", "\xC3\xA4\xFF"},
        {"%25%2541", "%%41", "%%41"},
        {"%01", "\x01", "\x01"},
        {"%00", NULL, NULL},
        {"a%00b", NULL, NULL},
        {"%", NULL, NULL},
        {"a%2", NULL, NULL},
        {"%2g", NULL, NULL},
        {"%g2", NULL, NULL},
        {"%%20", NULL, NULL},
        {"% 20", NULL, NULL},
        {"%u0041", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int query = 0; query <= 1; query++) {
            const char *expected = query ? cases[i].query : cases[i].plain;
            struct rp_buf out;
            rp_buf_init(&out, 100);
            assert_int_equal(rp_buf_put_str(&out, "<"), RP_OK);
            size_t len = strlen(cases[i].raw);
            uint8_t *raw = malloc(len ? len : 1); /* exactly, so that a byte read too far is seen */
            memcpy(raw, cases[i].raw, len);
            enum rp_err err =
                (query ? rp_http_query_decode : rp_http_percent_decode)(rp_bytes(raw, len), &out);
            free(raw);
            assert_int_equal(err, expected ? RP_OK : RP_E_INVALID);
            assert_true(
                rp_bytes_eq_str(rp_bytes_skip(rp_buf_bytes(&out), 1), expected ? expected : ""));
            rp_buf_done(&out);
        }
    }
    struct rp_buf small;
    rp_buf_init(&small, 3);
    assert_int_equal(rp_http_percent_decode(RP_BYTES_LIT("%41%42%43"), &small), RP_OK);
    assert_int_equal(rp_http_percent_decode(RP_BYTES_LIT("%41"), &small), RP_E_FULL);
    assert_int_equal(small.len, 3);
    rp_buf_done(&small);
}

/* ---- Bodies ---- */

/* Feeds first bytes, then step, step, …; writes what came, and how it ended, to out. */
static void read_body(const struct rp_http_request *req, uint64_t bytes_max, struct rp_bytes in,
                      size_t first, size_t step, struct rp_buf *out) {
    struct rp_http_body b;
    enum rp_err err = rp_http_body_init(&b, req, bytes_max);
    size_t fed = 0;
    rp_buf_clear(out);
    for (size_t i = 0; err == RP_OK; i++) {
        size_t n = i == 0 ? first : step;
        n = n < in.len - fed ? n : in.len - fed;
        uint8_t *copy = malloc(n ? n : 1);
        if (n > 0) {
            memcpy(copy, in.data + fed, n);
        }
        struct rp_bytes piece = rp_bytes(copy, n);
        struct rp_bytes part;
        while ((err = rp_http_body_next(&b, &piece, &part)) == RP_OK && part.len > 0) {
            assert_int_equal(rp_buf_put(out, part), RP_OK);
        }
        fed += n - piece.len;
        if (err == RP_OK) {
            struct rp_bytes none = rp_bytes(NULL, 0);
            assert_int_equal(rp_http_body_next(&b, &none, &part), RP_OK); /* and it stays the end */
            assert_int_equal(part.len, 0);
            assert_int_equal(rp_buf_printf(out, "|end, %zu left", in.len - fed), RP_OK);
            free(copy);
            break;
        }
        free(copy);
        if (err == RP_MORE) {
            assert_int_equal(piece.len, 0);
            if (fed == in.len) {
                assert_int_equal(rp_buf_put_str(out, "|more"), RP_OK);
                break;
            }
            err = RP_OK;
        }
    }
    if (err < 0) {
        struct rp_bytes none = rp_bytes(NULL, 0);
        struct rp_bytes part;
        assert_int_equal(rp_http_body_next(&b, &none, &part), err);
        assert_int_equal(b.problem->err, err);
        assert_int_equal(rp_buf_printf(out, "|%d", b.problem->status), RP_OK);
    }
    assert_int_equal(rp_buf_put(out, rp_bytes("", 1)), RP_OK);
}

static void expect_body(const struct rp_http_request *req, uint64_t bytes_max, struct rp_bytes in,
                        const char *expected) {
    struct rp_buf out;
    rp_buf_init(&out, 100000);
    for (size_t first = 0; first <= in.len; first++) {
        for (int whole = 0; whole <= 1; whole++) { /* the rest at once, or byte by byte */
            read_body(req, bytes_max, in, first, whole ? in.len : 1, &out);
            if (strcmp((char *) out.data, expected) != 0) {
                fail_msg("%.*s, %zu at first:\n  got      %s\n  expected %s", RP_BYTES_FMT(in),
                         first, out.data, expected);
            }
        }
    }
    rp_buf_done(&out);
}

static void test_bodies_with_length_end_there(void **state) {
    (void) state;
    struct rp_http_request req = {.framing = RP_HTTP_BODY_LENGTH, .content_length = 5};
    expect_body(&req, 5, RP_BYTES_LIT("hello"), "hello|end, 0 left");
    expect_body(&req, 5, RP_BYTES_LIT("helloGET /"), "hello|end, 5 left");
    expect_body(&req, 5, RP_BYTES_LIT("hell"), "hell|more");
    expect_body(&req, 4, RP_BYTES_LIT("hello"), "|413");
    req.content_length = 0;
    expect_body(&req, 0, RP_BYTES_LIT("GET"), "|end, 3 left");
    req.content_length = UINT64_MAX;
    expect_body(&req, UINT64_MAX, RP_BYTES_LIT("x"), "x|more");
    req.framing = RP_HTTP_BODY_NONE;
    expect_body(&req, 0, RP_BYTES_LIT("GET"), "|end, 3 left");
}

static void test_chunked_bodies_are_strict(void **state) {
    (void) state;
    static const struct {
        const char *in, *expected;
    } cases[] = {
        {"0\r\n\r\n", "|end, 0 left"},
        {"5\r\nhello\r\n0\r\n\r\n", "hello|end, 0 left"},
        {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /", "hello world|end, 5 left"},
        {"b\r\nhello world\r\n00\r\n\r\n", "hello world|end, 0 left"},
        {"0B\r\nhello world\r\n0\r\n\r\n", "hello world|end, 0 left"},
        {"0000000000000001\r\nx\r\n0000000000000000\r\n\r\n", "x|end, 0 left"},
        {"1;a=b;c=\"d \t\"\r\nx\r\n0;last\r\n\r\n", "x|end, 0 left"},
        {"1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\nrest", "x|end, 4 left"},
        {"10\r\n0123456789abcdef\r\n0\r\n\r\n", "0123456789abcdef|end, 0 left"},
        {"8\r\n01234567\r\n8\r\n89abcdef\r\n0\r\n\r\n", "0123456789abcdef|end, 0 left"},
        {"5\r\nhel", "hel|more"},
        {"5\r\nhello", "hello|more"},
        {"5\r\nhello\r\n0\r\n", "hello|more"},
        {"5", "|more"},
        /* more than 16 bytes */
        {"11\r\n", "|413"},
        {"8\r\n01234567\r\n9\r\n", "01234567|413"},
        {"ffffffffffffffff\r\n", "|413"},
        /* malformed */
        {"\r\n", "|400"},
        {";a\r\n", "|400"},
        {"g\r\n", "|400"},
        {" 5\r\n", "|400"},
        {"5 \r\n", "|400"},
        {"+5\r\n", "|400"},
        {"0x5\r\n", "|400"},
        {"5\nhello", "|400"},
        {"5\rhello", "|400"},
        {"5;a\nhello", "|400"},
        {"5;a\x01\r\n", "|400"},
        {"5;\xC3\xA4\r\n", "|400"},
        {"5\r\nhelloX", "hello|400"},
        {"5\r\nhello\n", "hello|400"},
        {"5\r\nhello\rX", "hello|400"},
        {"5\r\nhello\r\n\r\n", "hello|400"},
        {"00000000000000000\r\n", "|400"},
        {"0\r\n\n", "|400"},
        {"0\r\n\rX", "|400"},
        {"0\r\nA b: c\r\n\r\n", "|400"},
        {"0\r\n A: b\r\n\r\n", "|400"},
        {"0\r\n: b\r\n\r\n", "|400"},
        {"0\r\nA\r\n\r\n", "|400"},
        {"0\r\nA: b\n\r\n", "|400"},
        {"0\r\nA: b\rX", "|400"},
        {"0\r\nA: b\x7F\r\n", "|400"},
    };
    const struct rp_http_request req = {.framing = RP_HTTP_BODY_CHUNKED};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_body(&req, 16, rp_bytes_str(cases[i].in), cases[i].expected);
    }
    expect_body(&req, UINT64_MAX, RP_BYTES_LIT("fffffffffffffff0\r\nx"), "x|more");
}

/* Extensions and trailers are counted over the whole body. */
static void test_chunk_overhead_is_bounded(void **state) {
    (void) state;
    const struct rp_http_request req = {.framing = RP_HTTP_BODY_CHUNKED};
    for (int over = 0; over <= 1; over++) {
        struct rp_buf in;
        struct rp_buf out;
        rp_buf_init(&in, 100000);
        rp_buf_init(&out, 100000);
        for (int i = 0; i < RP_HTTP_CHUNK_EXT_BYTES_MAX / 64; i++) {
            assert_int_equal(rp_buf_printf(&in, "1;%064d\r\nx\r\n", 0), RP_OK);
        }
        assert_int_equal(rp_buf_put_str(&in, over ? "0;x\r\n\r\n" : "0\r\n\r\n"), RP_OK);
        read_body(&req, 1000, rp_buf_bytes(&in), in.len, 1, &out);
        assert_string_equal((char *) out.data + RP_HTTP_CHUNK_EXT_BYTES_MAX / 64,
                            over ? "|400" : "|end, 0 left");

        /* the one does not count towards the other */
        rp_buf_clear(&in);
        int filler = RP_HTTP_TRAILER_BYTES_MAX - (int) strlen("A:\r\n\r\n") + over;
        assert_int_equal(rp_buf_printf(&in, "0;%0*d\r\nA:%0*d\r\n\r\n", RP_HTTP_CHUNK_EXT_BYTES_MAX,
                                       0, filler, 0),
                         RP_OK);
        read_body(&req, 1000, rp_buf_bytes(&in), in.len, 1, &out);
        assert_string_equal(out.data, over ? "|431" : "|end, 0 left");
        rp_buf_done(&in);
        rp_buf_done(&out);
    }
}

/* ---- Responses ---- */

static void test_responses_are_written(void **state) {
    (void) state;
    const struct rp_http_header headers[] = {{RP_BYTES_LIT("A"), RP_BYTES_LIT("b c")},
                                             {RP_BYTES_LIT("D"), RP_BYTES_LIT("")}};
    const struct {
        int status;
        size_t headers_count;
        uint64_t content_length;
        bool keep_alive;
        const char *expected;
    } cases[] = {
        {200, 2, 12, true,
         "HTTP/1.1 200 OK\r\nA: b c\r\nD: \r\nContent-Length: 12\r\nConnection: "
         "keep-alive\r\n\r\n"},
        {400, 0, 0, false,
         "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
        {204, 0, 0, true, "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n"},
        {304, 0, RP_HTTP_LENGTH_NONE, true,
         "HTTP/1.1 304 Not Modified\r\nConnection: keep-alive\r\n\r\n"},
        {200, 1, RP_HTTP_LENGTH_NONE, true,
         "HTTP/1.1 200 OK\r\nA: b c\r\nConnection: close\r\n\r\n"},
        {100, 0, 0, true, "HTTP/1.1 100 Continue\r\n\r\n"},
        {299, 0, 0, true,
         "HTTP/1.1 299 Unknown\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rp_buf out;
        rp_buf_init(&out, 1000);
        assert_int_equal(rp_http_put_response_head(&out, cases[i].status, headers,
                                                   cases[i].headers_count, cases[i].content_length,
                                                   cases[i].keep_alive),
                         RP_OK);
        if (!rp_bytes_eq_str(rp_buf_bytes(&out), cases[i].expected)) {
            fail_msg("got %.*s", RP_BYTES_FMT(out));
        }
        rp_buf_done(&out);
        /* one byte too little room: nothing is written */
        rp_buf_init(&out, strlen(cases[i].expected) + 1);
        assert_int_equal(rp_buf_put_str(&out, "<>"), RP_OK);
        assert_int_equal(rp_http_put_response_head(&out, cases[i].status, headers,
                                                   cases[i].headers_count, cases[i].content_length,
                                                   cases[i].keep_alive),
                         RP_E_FULL);
        assert_true(rp_bytes_eq_str(rp_buf_bytes(&out), "<>"));
        rp_buf_done(&out);
    }
}

static void test_headers_that_would_split_a_response_are_refused(void **state) {
    (void) state;
    const struct rp_http_header bad[] = {
        {RP_BYTES_LIT("A"), RP_BYTES_LIT("b\r\nSet-Cookie: x")},
        {RP_BYTES_LIT("A"), RP_BYTES_LIT("b\rc")},
        {RP_BYTES_LIT("A"), RP_BYTES_LIT("b\nc")},
        {RP_BYTES_LIT("A"), RP_BYTES_LIT("b\0c")},
        {RP_BYTES_LIT("A"), RP_BYTES_LIT("b\x7F")},
        {RP_BYTES_LIT("A:b"), RP_BYTES_LIT("c")},
        {RP_BYTES_LIT("A b"), RP_BYTES_LIT("c")},
        {RP_BYTES_LIT("A\r\nB"), RP_BYTES_LIT("c")},
        {RP_BYTES_LIT(""), RP_BYTES_LIT("c")},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct rp_buf out;
        rp_buf_init(&out, 1000);
        assert_int_equal(rp_http_put_response_head(&out, 200, &bad[i], 1, 0, true), RP_E_INVALID);
        assert_int_equal(out.len, 0);
        rp_buf_done(&out);
    }
}

static void test_interim_and_upgrade_responses_are_written(void **state) {
    (void) state;
    struct rp_buf out;
    rp_buf_init(&out, 1000);
    assert_int_equal(rp_http_put_continue(&out), RP_OK);
    const struct rp_http_header headers[] = {
        {RP_BYTES_LIT("Upgrade"), RP_BYTES_LIT("websocket")},
        {RP_BYTES_LIT("Connection"), RP_BYTES_LIT("Upgrade")},
        {RP_BYTES_LIT("Sec-WebSocket-Accept"), RP_BYTES_LIT("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")},
    };
    assert_int_equal(rp_http_put_response_head(&out, 101, headers, 3, 0, true), RP_OK);
    assert_true(rp_bytes_eq_str(rp_buf_bytes(&out),
                                "HTTP/1.1 100 Continue\r\n\r\n"
                                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                "Connection: Upgrade\r\n"
                                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
    rp_buf_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads_good_are_understood),
        cmocka_unit_test(test_request_lines_bad_are_refused_at_once),
        cmocka_unit_test(test_header_lines_bad_are_refused_at_once),
        cmocka_unit_test(test_headers_that_contradict_are_refused),
        cmocka_unit_test(test_limits_are_exact_and_named),
        cmocka_unit_test(test_headers_are_found_and_lists_read),
        cmocka_unit_test(test_query_values_are_found),
        cmocka_unit_test(test_percent_escapes_are_decoded_or_refused),
        cmocka_unit_test(test_bodies_with_length_end_there),
        cmocka_unit_test(test_chunked_bodies_are_strict),
        cmocka_unit_test(test_chunk_overhead_is_bounded),
        cmocka_unit_test(test_responses_are_written),
        cmocka_unit_test(test_headers_that_would_split_a_response_are_refused),
        cmocka_unit_test(test_interim_and_upgrade_responses_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
