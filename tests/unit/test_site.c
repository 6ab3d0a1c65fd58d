/* tests/unit/test_site.c — what a request to a gateway is, and what HTTP wants around answers. */
#include "tests/unit/site_fixture.h"

#include "common/pattern.h"

/* ---- Engine.IO ---- */

struct engine_row {
    const char *method, *target, *lines;
    const char *expected; /* the verdict, or what the body of the answer is */
    int status;           /* of an answer */
};

#define UNKNOWN_TRANSPORT "{\"code\":0,\"message\":\"Transport unknown\"}"
#define UNKNOWN_SID "{\"code\":1,\"message\":\"Session ID unknown\"}"
#define BAD_METHOD "{\"code\":2,\"message\":\"Bad handshake method\"}"
#define BAD_REQUEST "{\"code\":3,\"message\":\"Bad request\"}"
#define FORBIDDEN "{\"code\":4,\"message\":\"Forbidden\"}"
#define BAD_VERSION "{\"code\":5,\"message\":\"Unsupported protocol version\"}"

static void check_row(const struct rp_site *s, const struct engine_row *row) {
    struct asked a = ask_for(s, row->method, row->target, row->lines);
    if (row->status == 0) {
        if (strcmp(verdicts[a.verdict], row->expected) != 0) {
            fail_msg("%s %s is %s: %s", row->method, row->target, verdicts[a.verdict], a.text);
        }
    } else {
        struct rp_bytes body = body_of(&a);
        if (status_of(&a) != row->status || !rp_bytes_eq_str(body, row->expected)) {
            fail_msg("%s %s is answered:\n%s", row->method, row->target, a.text);
        }
        assert_int_equal(a.verdict, RP_SITE_ANSWER);
        assert_length(&a);
        assert_has(&a, "\r\nContent-Type: application/json");
        assert_has(&a, "\r\nCache-Control: no-store\r\n");
        assert_lacks(&a, "Access-Control");
    }
    done(&a);
}

static void test_engine_requests_get_the_reference_servers_errors(void **state) {
    (void) state;
    static const struct engine_row rows[] = {
        /* handshakes */
        {"GET", IO "EIO=4&transport=polling", "", "open", 0},
        {"GET", "/socket.io?EIO=4&transport=polling", "", "open", 0},
        {"GET", IO "EIO=4&transport=polling&sid=", "", "open", 0},
        {"GET", IO "EIO=4&transport=polling&t=Abc&b64=1&j=3", "", "open", 0},
        {"GET", IO "EIO=4&EIO=3&transport=polling&transport=tobi", "", "open", 0},
        {"GET", IO "EIO=4&transport=polling", "Connection: Upgrade\r\nUpgrade: h2c\r\n", "open", 0},
        {"GET", IO "EIO=4&transport=websocket", UPGRADE_13, "websocket", 0},
        {"GET", IO, "", UNKNOWN_TRANSPORT, 400},
        {"GET", IO "EIO=4", "", UNKNOWN_TRANSPORT, 400},
        {"GET", IO "EIO=4&transport=tobi", "", UNKNOWN_TRANSPORT, 400},
        {"GET", IO "EIO=4&transport=constructor", "", UNKNOWN_TRANSPORT, 400},
        {"GET", IO "EIO=4&transport=webtransport", "", UNKNOWN_TRANSPORT, 400},
        {"GET", IO "EIO=4&transport=tobi&transport=polling", "", UNKNOWN_TRANSPORT, 400},
        {"GET", IO "EIO=4&transport=Polling", "", UNKNOWN_TRANSPORT, 400},
        {"POST", IO "transport=tobi", "", UNKNOWN_TRANSPORT, 400},
        {"POST", IO "EIO=4&transport=polling", "", BAD_METHOD, 400},
        {"OPTIONS", IO "EIO=4&transport=polling", "", BAD_METHOD, 400},
        {"PUT", IO "EIO=3&transport=websocket", "", BAD_METHOD, 400},
        {"get", IO "EIO=4&transport=polling", "", BAD_METHOD, 400},
        {"GET", IO "transport=polling", "", BAD_VERSION, 400},
        {"GET", IO "EIO=3&transport=polling", "", BAD_VERSION, 400},
        {"GET", IO "EIO=5&transport=polling", "", BAD_VERSION, 400},
        {"GET", IO "EIO=3&transport=websocket", UPGRADE_13, BAD_VERSION, 400},
        {"GET", IO "transport=websocket", UPGRADE_13, BAD_VERSION, 400},
        {"GET", IO "EIO=4&transport=polling", UPGRADE_13, BAD_REQUEST, 400},
        {"GET", IO "EIO=4&transport=websocket", "", BAD_REQUEST, 400},
        {"GET", IO "EIO=4&transport=websocket", "Upgrade: websocket\r\n", BAD_REQUEST, 400},
        {"GET", IO "EIO=4&transport=websocket", "Connection: upgrade\r\nUpgrade: websocket\r\n",
         BAD_REQUEST, 400},
        {"GET", IO "EIO=4&transport=websocket", UPGRADE_13 "Content-Length: 3\r\n", BAD_REQUEST,
         400},
        {"GET", IO "EIO=4&transport=websocket", UPGRADE_13 "Content-Length: 0\r\n", "websocket", 0},
        {"GET", IO "EIO=4&transport=websocket",
         "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
         BAD_REQUEST, 426},
        /* sessions */
        {"GET", IO "EIO=4&transport=polling&sid=abc", "", "get", 0},
        {"POST", IO "EIO=4&transport=polling&sid=abc", "Content-Length: 2\r\n", "post", 0},
        {"POST", IO "EIO=4&transport=polling&sid=abc", "Transfer-Encoding: chunked\r\n", "post", 0},
        {"POST", IO "EIO=4&transport=polling&sid=abc",
         "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: 2\r\n", "post", 0},
        {"POST", IO "EIO=4&transport=polling&sid=abc",
         "Content-Type: Application/Octet-Stream\r\nContent-Length: 2\r\n", BAD_REQUEST, 400},
        {"PUT", IO "EIO=4&transport=polling&sid=abc", "", BAD_REQUEST, 400},
        {"OPTIONS", IO "EIO=4&transport=polling&sid=abc", "", BAD_REQUEST, 400},
        {"GET", IO "EIO=3&transport=polling&sid=abc", "", "get",
         0}, /* the session has its revision */
        {"GET", IO "transport=polling&sid=abc", "", "get", 0},
        {"GET", IO "EIO=4&transport=websocket&sid=abc", UPGRADE_13, "websocket", 0},
        {"GET", IO "EIO=4&transport=websocket&sid=abc", "", BAD_REQUEST, 400},
        {"GET", IO "EIO=3&transport=websocket&sid=abc", UPGRADE_13, "websocket", 0},
        {"POST", IO "EIO=4&transport=websocket&sid=abc", UPGRADE_13, BAD_REQUEST, 400},
        {"GET", IO "EIO=4&transport=tobi&sid=abc", "", UNKNOWN_TRANSPORT, 400},
        {"GET", IO "EIO=4&transport=polling&sid=1234567890123456789012345678901", "", "get", 0},
        {"GET", IO "EIO=4&transport=polling&sid=12345678901234567890123456789012", "", UNKNOWN_SID,
         400},
        {"GET", IO "EIO=4&transport=polling&sid=%4", "", UNKNOWN_SID, 400},
        {"GET", IO "EIO=4&transport=polling&sid=%00", "", UNKNOWN_SID, 400},
        {"GET", IO "EIO=4&transport=websocket&sid=%zz", UPGRADE_13, UNKNOWN_SID, 400},
    };
    struct rp_site *s = make((struct rp_site_config){.compress = true});
    for (size_t i = 0; i < COUNT(rows); i++) {
        check_row(s, &rows[i]);
    }
    rp_site_free(s);
}

static void test_a_transport_that_is_off_is_unknown(void **state) {
    (void) state;
    static const struct engine_row no_polling[] = {
        {"GET", IO "EIO=4&transport=polling", "", UNKNOWN_TRANSPORT, 400},
        {"POST", IO "EIO=4&transport=polling&sid=a", "", UNKNOWN_TRANSPORT, 400},
        {"GET", IO "EIO=4&transport=websocket", UPGRADE_13, "websocket", 0},
    };
    static const struct engine_row no_websocket[] = {
        {"GET", IO "EIO=4&transport=websocket", UPGRADE_13, UNKNOWN_TRANSPORT, 400},
        {"GET", IO "EIO=4&transport=websocket&sid=a", UPGRADE_13, UNKNOWN_TRANSPORT, 400},
        {"GET", IO "EIO=4&transport=polling", "", "open", 0},
    };
    struct rp_site *s = make((struct rp_site_config){.no_polling = true});
    struct rp_site *t = make((struct rp_site_config){.no_websocket = true});
    for (size_t i = 0; i < COUNT(no_polling); i++) {
        check_row(s, &no_polling[i]);
        check_row(t, &no_websocket[i]);
    }
    rp_site_free(s);
    rp_site_free(t);
}

static void test_a_sid_is_decoded_and_kept(void **state) {
    (void) state;
    static const struct {
        const char *query, *sid;
    } rows[] = {
        {"sid=abc", "abc"},    {"sid=a%62c", "abc"},       {"sid=a-_Z9&sid=b", "a-_Z9"},
        {"sid=%2F%2f", "//"},  {"sid=%c3%A4", "\xc3\xa4"}, {"sid=%ff%01", "\xff\x01"},
        {"ssid=x&sid=y", "y"},
    };
    struct rp_site *s = make((struct rp_site_config){0});
    for (size_t i = 0; i < COUNT(rows); i++) {
        char target[128];
        snprintf(target, sizeof target, IO "EIO=4&transport=polling&%s", rows[i].query);
        struct asked a = ask_for(s, "GET", target, "");
        assert_int_equal(a.verdict, RP_SITE_POLL_GET);
        assert_int_equal(a.request.sid_len, strlen(rows[i].sid));
        assert_memory_equal(a.request.sid, rows[i].sid, a.request.sid_len);
        done(&a);
    }
    rp_site_free(s);
}

static void test_head_of_engine_io_is_an_error_without_a_body(void **state) {
    (void) state;
    struct rp_site *s = make((struct rp_site_config){0});
    struct asked a = ask_for(s, "HEAD", IO "EIO=4&transport=polling", "");
    assert_int_equal(status_of(&a), 400);
    assert_int_equal(body_of(&a).len, 0);
    assert_has(&a, "\r\nContent-Length: 43\r\n");
    assert_true(a.keep_alive);
    done(&a);
    a = ask_for(s, "HEAD", IO "EIO=4&transport=polling&sid=a", "");
    assert_int_equal(status_of(&a), 400);
    assert_int_equal(body_of(&a).len, 0);
    done(&a);
    rp_site_free(s);
}

static void test_a_websocket_is_accepted_with_its_key(void **state) {
    (void) state;
    struct rp_site *s = make((struct rp_site_config){0});
    struct asked a = ask_for(s, "GET", IO "EIO=4&transport=websocket&sid=abc", UPGRADE_13);
    assert_int_equal(status_of(&a), 101);
    assert_has(&a, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
    assert_lacks(&a, "Content-Length");
    assert_lacks(&a, "Sec-WebSocket-Extensions");
    assert_lacks(&a, "Sec-WebSocket-Protocol");
    assert_int_equal(body_of(&a).len, 0);
    assert_memory_equal(a.request.sid, "abc", 3);
    done(&a);
    a = ask_for(s, "GET", IO "EIO=4&transport=websocket",
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 7\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    assert_has(&a, "HTTP/1.1 426 ");
    assert_has(&a, "\r\nSec-WebSocket-Version: 13\r\n");
    done(&a);
    rp_site_free(s);
}

static void test_the_first_subprotocol_is_taken(void **state) {
    (void) state;
    static const struct {
        const char *line, *taken;
    } rows[] = {
        {"Sec-WebSocket-Protocol: chat, other\r\n", "\r\nSec-WebSocket-Protocol: chat\r\n"},
        {"Sec-WebSocket-Protocol: v1.x\r\n", "\r\nSec-WebSocket-Protocol: v1.x\r\n"},
        {"Sec-WebSocket-Protocol: a b, c\r\n", NULL},
        {"Sec-WebSocket-Protocol: (a)\r\n", NULL},
        {"Sec-WebSocket-Protocol: , c\r\n", NULL},
        {"Sec-WebSocket-Protocol: \xc3\xa4\r\n", NULL},
        {"Sec-WebSocket-Protocol:\r\n", NULL},
    };
    struct rp_site *s = make((struct rp_site_config){0});
    for (size_t i = 0; i < COUNT(rows); i++) {
        char lines[512];
        snprintf(lines, sizeof lines, UPGRADE_13 "%s", rows[i].line);
        struct asked a = ask_for(s, "GET", IO "EIO=4&transport=websocket", lines);
        assert_int_equal(a.verdict, RP_SITE_WEBSOCKET);
        if (rows[i].taken != NULL) {
            assert_has(&a, rows[i].taken);
        } else {
            assert_lacks(&a, "Sec-WebSocket-Protocol");
        }
        done(&a);
    }
    char long_name[400];
    memset(long_name, 'a', sizeof long_name);
    char lines[1024];
    snprintf(lines, sizeof lines, UPGRADE_13 "Sec-WebSocket-Protocol: %.399s\r\n", long_name);
    struct asked a = ask_for(s, "GET", IO "EIO=4&transport=websocket", lines);
    assert_int_equal(a.verdict, RP_SITE_WEBSOCKET);
    assert_lacks(&a, "Sec-WebSocket-Protocol");
    done(&a);
    rp_site_free(s);
}

static void test_permessage_deflate_needs_both_sides(void **state) {
    (void) state;
    static const char offer[] =
        UPGRADE_13 "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    static const struct {
        bool enabled;
        const char *lines;
        bool agreed;
    } rows[] = {{true, offer, true}, {true, UPGRADE_13, false}, {false, offer, false}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rp_site *s = make((struct rp_site_config){.deflate = rows[i].enabled});
        struct asked a = ask_for(s, "GET", IO "EIO=4&transport=websocket", rows[i].lines);
        assert_int_equal(a.verdict, RP_SITE_WEBSOCKET);
        assert_int_equal(a.request.deflate, rows[i].agreed);
        assert_int_equal(has(&a, "\r\nSec-WebSocket-Extensions: permessage-deflate"),
                         rows[i].agreed);
        done(&a);
        rp_site_free(s);
    }
}

static void test_any_path_is_a_websocket(void **state) {
    (void) state;
    struct rp_site *s = make((struct rp_site_config){.any_path = true});
    static const char *const targets[] = {"/", "/runCase?case=1&agent=x", "/socket.io/",
                                          "/a/b?sid=12345678901234567890123456789012345"};
    for (size_t i = 0; i < COUNT(targets); i++) {
        struct asked a = ask_for(s, "GET", targets[i], UPGRADE_13);
        assert_int_equal(a.verdict, RP_SITE_WEBSOCKET);
        assert_int_equal(a.request.sid_len, 0);
        done(&a);
        a = ask_for(s, "GET", targets[i], "");
        assert_int_equal(status_of(&a), 426);
        assert_has(&a, "\r\nUpgrade: websocket\r\n");
        done(&a);
        a = ask_for(s, "POST", targets[i], UPGRADE_13);
        assert_int_equal(status_of(&a), 400);
        done(&a);
    }
    rp_site_free(s);
}

static void test_engine_io_may_be_everywhere(void **state) {
    (void) state;
    struct rp_site *s = make((struct rp_site_config){.everywhere = true});
    struct asked a = ask_for(s, "GET", "/engine.io/?EIO=4&transport=polling", "");
    assert_int_equal(a.verdict, RP_SITE_POLL_OPEN);
    done(&a);
    a = ask_for(s, "GET", "/", "");
    assert_int_equal(status_of(&a), 400);
    assert_has(&a, UNKNOWN_TRANSPORT);
    done(&a);
    rp_site_free(s);
}

/* ---- connections ---- */

static void test_a_connection_goes_on_unless_something_is_left_unread(void **state) {
    (void) state;
    static const struct {
        const char *method, *target, *lines;
        bool goes_on;
    } rows[] = {
        {"GET", "/nothing", "", true},
        {"GET", "/nothing", "Connection: close\r\n", false},
        {"HEAD", "/nothing", "", true},
        {"GET", "/nothing", "Content-Length: 5\r\n", false},
        {"GET", "/nothing", "Content-Length: 0\r\n", true},
        {"GET", "/nothing", "Transfer-Encoding: chunked\r\n", false},
        {"POST", IO "EIO=4&transport=polling", "Content-Length: 5\r\n", false},
        {"POST", IO "EIO=4&transport=polling", "", true},
        {"GET", IO "EIO=3&transport=polling", "", true},
    };
    struct rp_site *s = make((struct rp_site_config){0});
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct asked a = ask_for(s, rows[i].method, rows[i].target, rows[i].lines);
        assert_int_equal(a.verdict, RP_SITE_ANSWER);
        assert_int_equal(a.keep_alive, rows[i].goes_on);
        assert_has(&a, rows[i].goes_on ? "\r\nConnection: keep-alive\r\n"
                                       : "\r\nConnection: close\r\n");
        done(&a);
    }
    struct asked a = ask(s, "GET /nothing HTTP/1.0\r\n\r\n");
    assert_false(a.keep_alive);
    done(&a);
    rp_site_free(s);
}

/* ---- origins ---- */

struct origin_row {
    const char *origins; /* NULL: not configured */
    bool credentials;
    const char *lines;
    const char *allowed; /* Access-Control-Allow-Origin; NULL: none */
    bool refused, vary;
};

static void check_headers(const struct asked *a, const struct origin_row *row) {
    char line[512];
    snprintf(line, sizeof line, "\r\nAccess-Control-Allow-Origin: %s\r\n",
             row->allowed != NULL ? row->allowed : "");
    if (row->allowed != NULL) {
        assert_has(a, line);
    } else {
        assert_lacks(a, "Access-Control-Allow-Origin");
    }
    assert_int_equal(has(a, "\r\nAccess-Control-Allow-Credentials: true\r\n"),
                     row->allowed != NULL && row->credentials);
    assert_int_equal(has(a, "\r\nVary: Origin\r\n"), row->vary);
}

static void check_origin(const struct origin_row *row) {
    struct rp_patterns *patterns = NULL;
    if (row->origins != NULL) {
        assert_int_equal(rp_patterns_parse(row->origins, RP_PATTERNS_ANY_CASE, &patterns), RP_OK);
    }
    struct rp_site *s = make((struct rp_site_config){
        .origins = patterns, .credentials = row->credentials, .demo = true});
    /* polling, its answer, and an error of it */
    struct asked a = ask_for(s, "GET", IO "EIO=4&transport=polling", row->lines);
    assert_int_equal(a.verdict, row->refused ? RP_SITE_ANSWER : RP_SITE_POLL_OPEN);
    if (row->refused) {
        assert_int_equal(status_of(&a), 403);
        assert_true(rp_bytes_eq_str(body_of(&a), FORBIDDEN));
        assert_lacks(&a, "Access-Control");
    } else {
        struct rp_exchange x = {.status = 400, .body = RP_BYTES_LIT("{}")};
        struct rp_answer answer;
        rp_site_poll_answer(s, &a.request, &x, &answer);
        keep(&a, &answer);
        check_headers(&a, row);
        rp_site_engine_error(s, &a.request, RP_EIO_UNKNOWN_SID, &answer);
        keep(&a, &answer);
        check_headers(&a, row);
        rp_site_error(413, "too large", &a.request, &answer);
        keep(&a, &answer);
        check_headers(&a, row);
        assert_false(a.keep_alive);
    }
    done(&a);
    a = ask_for(s, "GET", IO "EIO=3&transport=polling", row->lines);
    assert_int_equal(status_of(&a), row->refused ? 403 : 400);
    check_headers(&a, row);
    done(&a);
    char lines[1024];
    snprintf(lines, sizeof lines, UPGRADE_13 "%s", row->lines);
    a = ask_for(s, "GET", IO "EIO=4&transport=websocket", lines);
    assert_int_equal(a.verdict, row->refused ? RP_SITE_ANSWER : RP_SITE_WEBSOCKET);
    assert_int_equal(status_of(&a), row->refused ? 403 : 101);
    done(&a);
    /* what is not Engine.IO is for everybody: browsers do the rest */
    a = ask_for(s, "GET", "/whoami", row->lines);
    assert_int_equal(status_of(&a), 200);
    check_headers(&a, row);
    done(&a);
    rp_site_free(s);
    rp_patterns_free(patterns);
}

static void test_origins_decide_who_may_come(void **state) {
    (void) state;
    static const char list[] = "https://app.example, https://*.dev.example, http://localhost:*";
    static const struct origin_row rows[] = {
        {NULL, false, "", NULL, false, false},
        {NULL, false, "Origin: https://evil.example\r\n", NULL, false, false},
        {list, false, "", NULL, false, true},
        {list, false, "Origin: https://app.example\r\n", "https://app.example", false, true},
        {list, true, "Origin: https://app.example\r\n", "https://app.example", false, true},
        {list, false, "Origin: https://x.dev.example\r\n", "https://x.dev.example", false, true},
        {list, false, "Origin: http://localhost:5173\r\n", "http://localhost:5173", false, true},
        {list, false, "Origin: https://app.example.evil.org\r\n", NULL, true, true},
        {list, false, "Origin: http://app.example\r\n", NULL, true, true},
        {list, false, "Origin: null\r\n", NULL, true, true},
        {list, false, "Origin: https://app.example\r\nOrigin: https://app.example\r\n", NULL, true,
         true},
        {list, false, "Origin: https://evil.org/.dev.example\r\n", NULL, true, true},
        {list, false, "Origin: https://evil.org:1.dev.example\r\n", NULL, true, true},
        {list, false, "Origin: https://evil.org?.dev.example\r\n", NULL, true, true},
        {list, false, "Origin: https://me@x.dev.example\r\n", NULL, true, true},
        {list, false, "Origin: http://localhost:x\r\n", NULL, true, true},
        {"http://[*", false, "Origin: http://[::1]:80\r\n", "http://[::1]:80", false, true},
        {"app://*,null", false, "Origin: app://obsidian.md\r\n", "app://obsidian.md", false, true},
        {"app://*,null", false, "Origin: null\r\n", "null", false, true},
        /* its own host */
        {list, false, "Origin: https://example.com\r\n", NULL, false, true},
        {list, false, "Origin: http://EXAMPLE.com\r\n", NULL, false, true},
        {list, false, "Origin: http://example.com:80\r\n", NULL, false, true},
        {list, false, "Origin: http://example.com:8080\r\n", NULL, true, true},
        {list, false, "Origin: https://example.com.evil.org\r\n", NULL, true, true},
        {list, false, "Origin: ftp://example.com\r\n", NULL, true, true},
        {list, false, "Origin: http://\r\n", NULL, true, true},
        {list, false, "Origin: example.com\r\n", NULL, true, true},
        /* all of them */
        {"*", false, "Origin: https://any.example\r\n", "*", false, false},
        {"*", false, "", "*", false, false},
        {"https://a.example,*", false, "Origin: https://any.example\r\n", "*", false, false},
        {"*", true, "Origin: https://any.example\r\n", "https://any.example", false, true},
        {"*", true, "", NULL, false, true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        check_origin(&rows[i]);
    }
}

static void test_a_long_origin_is_not_allowed(void **state) {
    (void) state;
    char name[300];
    memset(name, 'a', sizeof name);
    struct rp_patterns *patterns;
    assert_int_equal(rp_patterns_parse("https://*", RP_PATTERNS_ANY_CASE, &patterns), RP_OK);
    struct rp_site *s = make((struct rp_site_config){.origins = patterns});
    for (int len = RP_SITE_ORIGIN_BYTES_MAX - 1; len <= RP_SITE_ORIGIN_BYTES_MAX + 1; len++) {
        char lines[512];
        snprintf(lines, sizeof lines, "Origin: https://%.*s\r\n", len - 8, name);
        struct asked a = ask_for(s, "GET", IO "EIO=4&transport=polling", lines);
        bool fits = len <= RP_SITE_ORIGIN_BYTES_MAX;
        assert_int_equal(a.verdict, fits ? RP_SITE_POLL_OPEN : RP_SITE_ANSWER);
        assert_int_equal(status_of(&a), fits ? 0 : 403);
        done(&a);
    }
    rp_site_free(s);
    rp_patterns_free(patterns);
}

static void test_preflights_are_answered(void **state) {
    (void) state;
    struct rp_patterns *patterns;
    assert_int_equal(rp_patterns_parse("https://*.example", RP_PATTERNS_ANY_CASE, &patterns),
                     RP_OK);
    struct rp_site *s = make((struct rp_site_config){.origins = patterns, .credentials = true});
    static const char asks[] =
        "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n"
        "Access-Control-Request-Headers: content-type, X-Token\r\n";
    static const char *const targets[] = {IO "EIO=4&transport=polling", "/socket.io/",
                                          IO "EIO=4&transport=polling&sid=a",
                                          "/socket.io/socket.io.js"};
    for (size_t i = 0; i < COUNT(targets); i++) {
        struct asked a = ask_for(s, "OPTIONS", targets[i], asks);
        assert_int_equal(status_of(&a), 204);
        assert_has(&a, "\r\nAccess-Control-Allow-Origin: https://a.example\r\n");
        assert_has(&a, "\r\nAccess-Control-Allow-Credentials: true\r\n");
        assert_has(&a, "\r\nAccess-Control-Allow-Methods: GET, HEAD, POST\r\n");
        assert_has(&a, "\r\nAccess-Control-Allow-Headers: content-type, X-Token\r\n");
        assert_has(&a, "\r\nAccess-Control-Max-Age: 600\r\n");
        assert_has(&a, "\r\nVary: Origin, Access-Control-Request-Headers\r\n");
        assert_lacks(&a, "Content-Length");
        assert_true(a.keep_alive);
        done(&a);
    }
    struct asked a = ask_for(s, "OPTIONS", targets[0], "Origin: https://evil.org\r\n");
    assert_int_equal(status_of(&a), 403);
    assert_lacks(&a, "Access-Control-Allow");
    done(&a);
    a = ask_for(s, "OPTIONS", targets[0],
                "Origin: https://a.example\r\nAccess-Control-Request-Headers: a\"b, c\r\n");
    assert_int_equal(status_of(&a), 204);
    assert_lacks(&a, "Access-Control-Allow-Headers");
    done(&a);
    char lines[1024], name[600];
    memset(name, 'a', sizeof name);
    snprintf(lines, sizeof lines,
             "Origin: https://a.example\r\nAccess-Control-Request-Headers: %.599s\r\n", name);
    a = ask_for(s, "OPTIONS", targets[0], lines);
    assert_int_equal(status_of(&a), 204);
    assert_lacks(&a, "Access-Control-Allow-Headers");
    done(&a);
    a = ask_for(s, "OPTIONS", "/elsewhere", asks);
    assert_int_equal(status_of(&a), 405);
    done(&a);
    rp_site_free(s);
    rp_patterns_free(patterns);
}

/* ---- answers of the core ---- */

static struct asked poll_answer(const struct rp_site *s, const char *lines, struct rp_exchange x) {
    struct asked a = ask_for(s, "GET", IO "EIO=4&transport=polling", lines);
    assert_int_equal(a.verdict, RP_SITE_POLL_OPEN);
    struct rp_answer answer;
    rp_site_poll_answer(s, &a.request, &x, &answer);
    keep(&a, &answer);
    return a;
}

static void test_exchanges_are_answered(void **state) {
    (void) state;
    struct rp_site *s = make((struct rp_site_config){.cookie = "io", .compress = true});
    struct rp_exchange x = {.status = 200, .body = RP_BYTES_LIT("0{}"), .sid = RP_BYTES_LIT("abc")};
    struct asked a = poll_answer(s, "", x);
    assert_int_equal(status_of(&a), 200);
    assert_has(&a, "\r\nContent-Type: text/plain; charset=UTF-8\r\n");
    assert_has(&a, "\r\nCache-Control: no-store\r\n");
    assert_has(&a, "\r\nSet-Cookie: io=abc; Path=/; HttpOnly; SameSite=Lax\r\n");
    assert_has(&a, "\r\nConnection: keep-alive\r\n");
    assert_has(&a, "\r\nDate: ");
    assert_length(&a);
    assert_true(rp_bytes_eq_str(body_of(&a), "0{}"));
    assert_true(a.keep_alive);
    done(&a);
    x.sid.len = 0;
    a = poll_answer(s, "Connection: close\r\n", x);
    assert_lacks(&a, "Set-Cookie");
    assert_false(a.keep_alive);
    done(&a);
    x = (struct rp_exchange){.status = 400, .body = RP_BYTES_LIT(UNKNOWN_SID)};
    a = poll_answer(s, "", x);
    assert_int_equal(status_of(&a), 400);
    assert_has(&a, "\r\nContent-Type: application/json\r\n");
    assert_true(rp_bytes_eq_str(body_of(&a), UNKNOWN_SID));
    done(&a);
    rp_site_free(s);
    s = make((struct rp_site_config){0});
    x = (struct rp_exchange){
        .status = 200, .body = RP_BYTES_LIT("0{}"), .sid = RP_BYTES_LIT("abc")};
    a = poll_answer(s, "", x);
    assert_lacks(&a, "Set-Cookie");
    done(&a);
    rp_site_free(s);
}

static void test_large_bodies_are_compressed_for_who_accepts_it(void **state) {
    (void) state;
    static const struct {
        bool compress;
        size_t len;
        const char *lines, *coding;
    } rows[] = {
        {true, 1024, "Accept-Encoding: gzip, deflate, br\r\n", "gzip"},
        {true, 1024, "Accept-Encoding: deflate\r\n", "deflate"},
        {true, 1023, "Accept-Encoding: gzip\r\n", NULL},
        {true, 4096, "Accept-Encoding: br\r\n", NULL},
        {true, 4096, "Accept-Encoding: gzip;q=0\r\n", NULL},
        {true, 4096, "", NULL},
        {false, 4096, "Accept-Encoding: gzip\r\n", NULL},
        {true, 9999, "Accept-Encoding: gzip\r\n", "gzip"},
    };
    static uint8_t body[10000], out[10000];
    memset(body, 'a', sizeof body);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rp_site *s = make((struct rp_site_config){.compress = rows[i].compress});
        struct rp_exchange x = {.status = 200, .body = rp_bytes(body, rows[i].len)};
        struct asked a = poll_answer(s, rows[i].lines, x);
        assert_length(&a);
        assert_int_equal(has(&a, "\r\nVary: Accept-Encoding\r\n"),
                         rows[i].compress && rows[i].len >= 1024);
        struct rp_bytes sent = body_of(&a);
        if (rows[i].coding != NULL) {
            char line[64];
            snprintf(line, sizeof line, "\r\nContent-Encoding: %s\r\n", rows[i].coding);
            assert_has(&a, line);
            assert_true(sent.len < 100);
            size_t len;
            inflate_all(sent, out, sizeof out, &len);
            sent = rp_bytes(out, len);
        } else {
            assert_lacks(&a, "Content-Encoding");
        }
        assert_true(rp_bytes_eq(sent, x.body));
        done(&a);
        rp_site_free(s);
    }
}

static void test_what_does_not_compress_is_sent_as_it_is(void **state) {
    (void) state;
    static uint8_t body[4096];
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof body; i++) {
        x = x * 1664525 + 1013904223;
        body[i] = (uint8_t) (x >> 24);
    }
    struct rp_site *s = make((struct rp_site_config){.compress = true});
    struct asked a =
        poll_answer(s, "Accept-Encoding: gzip\r\n",
                    (struct rp_exchange){.status = 200, .body = rp_bytes(body, sizeof body)});
    assert_lacks(&a, "Content-Encoding");
    assert_true(rp_bytes_eq(body_of(&a), rp_bytes(body, sizeof body)));
    done(&a);
    rp_site_free(s);
}

/* ---- errors and options ---- */

static void test_errors_close_and_say_when_to_come_again(void **state) {
    (void) state;
    struct asked a = {.text = NULL};
    struct rp_answer answer;
    rp_site_error(503, "too many \"connections\"", NULL, &answer);
    keep(&a, &answer);
    assert_has(&a, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n");
    assert_has(&a, "{\"error\":{\"code\":\"service_unavailable\",\"message\":\"too many "
                   "\\\"connections\\\"\"}}");
    assert_has(&a, "\r\nConnection: close\r\n");
    assert_length(&a);
    assert_false(a.keep_alive);
    done(&a);
}

static void test_options_are_checked(void **state) {
    (void) state;
    assert_null(rp_site_check_path("/socket.io"));
    assert_null(rp_site_check_path("/"));
    assert_non_null(rp_site_check_path("socket.io"));
    assert_non_null(rp_site_check_path("/a?b"));
    assert_null(rp_site_check_cookie("io"));
    assert_null(rp_site_check_cookie("__Host-io"));
    static const char *const bad[] = {"", "a=b", "a b", "a;b", "a\"", "\xc3\xa4", "a\n"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_non_null(rp_site_check_cookie(bad[i]));
    }
    char name[RP_SITE_COOKIE_BYTES_MAX + 2];
    memset(name, 'a', sizeof name);
    name[RP_SITE_COOKIE_BYTES_MAX + 1] = '\0';
    assert_non_null(rp_site_check_cookie(name));
    name[RP_SITE_COOKIE_BYTES_MAX] = '\0';
    assert_null(rp_site_check_cookie(name));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_requests_get_the_reference_servers_errors),
        cmocka_unit_test(test_a_transport_that_is_off_is_unknown),
        cmocka_unit_test(test_a_sid_is_decoded_and_kept),
        cmocka_unit_test(test_head_of_engine_io_is_an_error_without_a_body),
        cmocka_unit_test(test_a_websocket_is_accepted_with_its_key),
        cmocka_unit_test(test_the_first_subprotocol_is_taken),
        cmocka_unit_test(test_permessage_deflate_needs_both_sides),
        cmocka_unit_test(test_any_path_is_a_websocket),
        cmocka_unit_test(test_engine_io_may_be_everywhere),
        cmocka_unit_test(test_a_connection_goes_on_unless_something_is_left_unread),
        cmocka_unit_test(test_origins_decide_who_may_come),
        cmocka_unit_test(test_a_long_origin_is_not_allowed),
        cmocka_unit_test(test_preflights_are_answered),
        cmocka_unit_test(test_exchanges_are_answered),
        cmocka_unit_test(test_large_bodies_are_compressed_for_who_accepts_it),
        cmocka_unit_test(test_what_does_not_compress_is_sent_as_it_is),
        cmocka_unit_test(test_errors_close_and_say_when_to_come_again),
        cmocka_unit_test(test_options_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
