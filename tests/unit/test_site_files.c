/* tests/unit/test_site_files.c — the files of the stock client, the demo page, and what is not
 * there. */
#include "tests/unit/site_fixture.h"

#include "common/pattern.h"

#include <unistd.h>

/* ---- files ---- */

static char dir[] = "/tmp/reprise-test-site-XXXXXX";

static void put_file(const char *name, const char *text, size_t times) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t i = 0; i < times; i++) {
        fputs(text, f);
    }
    fclose(f);
}

static int make_dir(void **state) {
    (void) state;
    assert_non_null(mkdtemp(dir));
    put_file("socket.io.js", "let a; ", 1000);
    put_file("socket.io.min.js", "x", 1);
    put_file("socket.io.js.map", "{}", 1000);
    return 0;
}

static int remove_dir(void **state) {
    (void) state;
    static const char *const names[] = {"socket.io.js", "socket.io.min.js", "socket.io.js.map"};
    for (size_t i = 0; i < COUNT(names); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static void take_etag(const struct asked *a, char ret_etag[64]) {
    const char *at = memmem(a->text, a->len, "\r\nETag: ", 8);
    assert_non_null(at);
    size_t len = strcspn(at + 8, "\r");
    assert_true(len < 64);
    memcpy(ret_etag, at + 8, len);
    ret_etag[len] = '\0';
}

#define GZIP "Accept-Encoding: gzip\r\n"

static void test_files_are_served(void **state) {
    (void) state;
    struct rp_site *s = make((struct rp_site_config){.client_dir = dir, .compress = true});
    static const struct {
        const char *target, *lines, *type;
        size_t len;
        const char *coding;
    } rows[] = {
        {"/socket.io/socket.io.js", "", "application/javascript; charset=utf-8", 7000, NULL},
        {"/socket.io/socket.io.js?v=1", GZIP, "application/javascript; charset=utf-8", 7000,
         "gzip"},
        {"/socket.io/socket.io.js.map", GZIP, "application/json; charset=utf-8", 2000, "gzip"},
        {"/socket.io/socket.io.min.js", GZIP, "application/javascript; charset=utf-8", 1, NULL},
        {"/socket.io/socket.io.js", "Accept-Encoding: deflate\r\n",
         "application/javascript; charset=utf-8", 7000, "deflate"},
    };
    static uint8_t out[8000];
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct asked a = ask_for(s, "GET", rows[i].target, rows[i].lines);
        assert_int_equal(status_of(&a), 200);
        char line[96];
        snprintf(line, sizeof line, "\r\nContent-Type: %s\r\n", rows[i].type);
        assert_has(&a, line);
        assert_has(&a, "\r\nCache-Control: public, max-age=0\r\n");
        assert_length(&a);
        snprintf(line, sizeof line, "\r\nContent-Encoding: %s\r\n", rows[i].coding);
        assert_int_equal(has(&a, rows[i].coding != NULL ? line : "Content-Encoding"),
                         rows[i].coding != NULL);
        assert_int_equal(has(&a, "\r\nVary: Accept-Encoding\r\n"), rows[i].len > 1);
        size_t len = body_of(&a).len;
        if (rows[i].coding != NULL) {
            inflate_all(body_of(&a), out, sizeof out, &len);
        }
        assert_int_equal(len, rows[i].len);
        assert_true(a.keep_alive);
        size_t sent = body_of(&a).len;
        done(&a);
        a = ask_for(s, "HEAD", rows[i].target, rows[i].lines);
        snprintf(line, sizeof line, "\r\nContent-Length: %zu\r\n", sent);
        assert_has(&a, line);
        assert_int_equal(body_of(&a).len, 0);
        assert_true(a.keep_alive);
        done(&a);
    }
    rp_site_free(s);
}

static void test_files_that_did_not_change_are_not_sent(void **state) {
    (void) state;
    struct rp_site *s = make((struct rp_site_config){.client_dir = dir, .compress = true});
    char plain[64], gzip[64];
    struct asked a = ask_for(s, "GET", "/socket.io/socket.io.js", "");
    take_etag(&a, plain);
    done(&a);
    a = ask_for(s, "GET", "/socket.io/socket.io.js", GZIP);
    take_etag(&a, gzip);
    done(&a);
    assert_string_not_equal(plain, gzip);
    const struct {
        const char *form, *etag;
        bool gzip, same;
    } rows[] = {
        {"%s", plain, false, true},        {"%s", gzip, true, true},
        {"W/%s", plain, false, true},      {"W/%s", gzip, true, true},
        {"\"x\", %s", plain, false, true}, {"\"x\" , W/%s,\"y\"", gzip, true, true},
        {"*", plain, false, true},         {"%s", plain, true, false},
        {"%s", gzip, false, false},        {"\"x\"", plain, false, false},
        {"\"\"", plain, false, false},     {"", plain, false, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char value[128], lines[256];
        snprintf(value, sizeof value, rows[i].form, rows[i].etag);
        snprintf(lines, sizeof lines, "If-None-Match: %s\r\n%s", value, rows[i].gzip ? GZIP : "");
        a = ask_for(s, "GET", "/socket.io/socket.io.js", lines);
        assert_int_equal(status_of(&a), rows[i].same ? 304 : 200);
        assert_has(&a, "\r\nETag: ");
        assert_has(&a, "\r\nVary: Accept-Encoding\r\n");
        assert_has(&a, "\r\nCache-Control: public, max-age=0\r\n");
        assert_int_equal(body_of(&a).len > 0, !rows[i].same);
        assert_true(a.keep_alive);
        done(&a);
    }
    rp_site_free(s);
}

static void test_cors_applies_to_files(void **state) {
    (void) state;
    struct rp_patterns *patterns;
    assert_int_equal(rp_patterns_parse("https://a.example", RP_PATTERNS_ANY_CASE, &patterns),
                     RP_OK);
    struct rp_site *s =
        make((struct rp_site_config){.client_dir = dir, .compress = true, .origins = patterns});
    struct asked a = ask_for(s, "GET", "/socket.io/socket.io.js", "Origin: https://a.example\r\n");
    assert_int_equal(status_of(&a), 200);
    assert_has(&a, "\r\nAccess-Control-Allow-Origin: https://a.example\r\n");
    assert_has(&a, "\r\nVary: Origin, Accept-Encoding\r\n");
    done(&a);
    a = ask_for(s, "GET", "/socket.io/socket.io.js", "Origin: https://b.example\r\n");
    assert_int_equal(status_of(&a), 200);
    assert_lacks(&a, "Access-Control");
    assert_has(&a, "\r\nVary: Origin, Accept-Encoding\r\n");
    done(&a);
    rp_site_free(s);
    rp_patterns_free(patterns);
}

static void test_what_is_not_there_is_said(void **state) {
    (void) state;
    static const struct {
        const char *method, *target;
        int status;
        const char *part;
    } rows[] = {
        {"GET", "/", 404, "--demo"},
        {"GET", "/whoami", 404, "not_found"},
        {"GET", "/socket.io/socket.io.js", 404, "--client-dir"},
        {"GET", "/socket.io/../socket.io.js", 404, "not_found"},
        {"GET", "/socket.io/x", 404, "not_found"},
        {"GET", "/socket.iox", 404, "not_found"},
        {"POST", "/", 405, "\r\nAllow: GET, HEAD\r\n"},
        {"OPTIONS", "/socket.io/socket.io.js", 405, "\r\nAllow: GET, HEAD\r\n"},
    };
    struct rp_site *s = make((struct rp_site_config){0});
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct asked a = ask_for(s, rows[i].method, rows[i].target, "");
        assert_int_equal(a.verdict, RP_SITE_ANSWER);
        assert_int_equal(status_of(&a), rows[i].status);
        assert_has(&a, rows[i].part);
        assert_length(&a);
        done(&a);
    }
    rp_site_free(s);
    s = make((struct rp_site_config){.client_dir = dir});
    struct asked a = ask_for(s, "GET", "/socket.io/socket.io.esm.min.js", "");
    assert_int_equal(status_of(&a), 404);
    assert_has(&a, "has no such file");
    done(&a);
    rp_site_free(s);
}

static void test_the_demo_page_and_whoami(void **state) {
    (void) state;
    struct rp_site *s = make((struct rp_site_config){.demo = true, .compress = true, .path = "/"});
    struct asked a = ask_for(s, "GET", "/", "");
    assert_int_equal(status_of(&a), 200);
    assert_has(&a, "\r\nContent-Security-Policy: default-src 'none'");
    assert_has(&a, "<html");
    done(&a);
    a = ask_for(s, "GET", "/?EIO=4&transport=polling", "");
    assert_int_equal(a.verdict, RP_SITE_POLL_OPEN);
    done(&a);
    a = ask_for(s, "GET", "/whoami", "");
    assert_int_equal(status_of(&a), 200);
    assert_true(
        rp_bytes_eq_str(body_of(&a), "{\"gateway\":\"gate \\\"1\\\"\",\"address\":\"192.0.2.7\"}"));
    done(&a);
    rp_site_free(s);
}

static void test_a_directory_without_the_client_is_refused(void **state) {
    (void) state;
    const struct rp_site_config config = {
        .path = "/", .gateway_name = "g", .client_dir = "/", .compress = true};
    struct rp_site *s = NULL;
    struct rp_site_problem problem;
    assert_null(rp_site_check_client_dir(dir));
    assert_non_null(rp_site_check_client_dir("/nonexistent"));
    assert_int_equal(rp_site_new(&config, &s, &problem), RP_E_INVALID);
    assert_null(s);
    assert_non_null(strstr(problem.text, "socket.io.js"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_are_served),
        cmocka_unit_test(test_files_that_did_not_change_are_not_sent),
        cmocka_unit_test(test_cors_applies_to_files),
        cmocka_unit_test(test_what_is_not_there_is_said),
        cmocka_unit_test(test_the_demo_page_and_whoami),
        cmocka_unit_test(test_a_directory_without_the_client_is_refused),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
