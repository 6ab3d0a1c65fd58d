/* PROXY headers: each is given whole, with bytes of the client behind it, and with every length of
 * its beginning, as it is when bytes arrive one by one. */
#include "proto/proxy.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\1\2\3\4\x0A\0\0\1\x16\x2E\1\xBB" /* 1.2.3.4:5678 to 10.0.0.1:443 */
#define V6                                                                                         \
    "\xFD\0\0\0\0\0\0\0\0\0\0\0\0\0\0\7"                                                           \
    "\xFD\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\x16\x2E\1\xBB"
#define MAPPED                                                                                     \
    "\0\0\0\0\0\0\0\0\0\0\xFF\xFF\1\2\3\4"                                                         \
    "\0\0\0\0\0\0\0\0\0\0\xFF\xFF\x0A\0\0\1\x16\x2E\1\xBB"
#define TLV "\4\0\3abc"

/* Parses a copy of exactly this length, so that a byte read too far is seen. The answer in words.
 */
static enum rp_err parse(struct rp_bytes in, char ret_text[80], size_t *ret_consumed) {
    uint8_t *copy = rp_alloc(in.len > 0 ? in.len : 1);
    if (in.len > 0) {
        memcpy(copy, in.data, in.len);
    }
    struct rp_proxy_header h;
    enum rp_err err = rp_proxy_parse(rp_bytes(copy, in.len), &h, ret_consumed);
    if (err == RP_OK) {
        char source[RP_IP_TEXT_SIZE];
        rp_ip_format(&h.source, source);
        assert_int_equal(h.is_local, h.source.kind == RP_IP_NONE);
        snprintf(ret_text, 80, "%s %u", source, h.source_port);
    } else {
        snprintf(ret_text, 80, "%s", rp_strerror(err));
    }
    free(copy);
    return err;
}

/* A header that is good, or bad from byte bad_at on (counted from 1). */
static void expect(const char *name, struct rp_bytes in, const char *expected, size_t bad_at) {
    char text[80];
    size_t consumed = 0;
    for (size_t len = 0; len <= in.len; len++) {
        enum rp_err err = parse(rp_bytes(in.data, len), text, &consumed);
        bool certain = len >= (bad_at > 0 ? bad_at : in.len);
        if (strcmp(text, certain ? expected : rp_strerror(RP_MORE)) != 0) {
            fail_msg("%s, %zu bytes: got %s, expected %s", name, len, text, expected);
        }
        assert_true(err != RP_OK || consumed == in.len);
    }
    uint8_t *more = rp_alloc(in.len + 4);
    memcpy(more, in.data, in.len);
    memcpy(more + in.len, "GET ", 4);
    enum rp_err err = parse(rp_bytes(more, in.len + 4), text, &consumed);
    assert_string_equal(text, expected);
    assert_true(err != RP_OK || consumed == in.len);
    free(more);
}

static void test_headers_good_name_the_source(void **state) {
    (void) state;
    const struct {
        const char *name;
        struct rp_bytes header;
        const char *expected;
    } cases[] = {
        {"TCP4", RP_BYTES_LIT(SIGNATURE "\x21\x11\0\x0C" V4), "1.2.3.4 5678"},
        {"TCP4 and TLVs", RP_BYTES_LIT(SIGNATURE "\x21\x11\0\x12" V4 TLV), "1.2.3.4 5678"},
        {"TCP6", RP_BYTES_LIT(SIGNATURE "\x21\x21\0\x24" V6), "fd00::7 5678"},
        {"TCP6 and TLVs", RP_BYTES_LIT(SIGNATURE "\x21\x21\0\x2A" V6 TLV), "fd00::7 5678"},
        {"TCP6 of IPv4", RP_BYTES_LIT(SIGNATURE "\x21\x21\0\x24" MAPPED), "1.2.3.4 5678"},
        {"LOCAL", RP_BYTES_LIT(SIGNATURE "\x20\x00\0\0"), "unknown 0"},
        {"LOCAL with an address", RP_BYTES_LIT(SIGNATURE "\x20\x11\0\x0C" V4), "unknown 0"},
        {"LOCAL of any family", RP_BYTES_LIT(SIGNATURE "\x20\xFF\0\1x"), "unknown 0"},
        {"unknown", RP_BYTES_LIT(SIGNATURE "\x21\x00\0\0"), "unknown 0"},
        {"unknown and TLVs", RP_BYTES_LIT(SIGNATURE "\x21\x00\0\6" TLV), "unknown 0"},
        {"UDP4", RP_BYTES_LIT(SIGNATURE "\x21\x12\0\x0C" V4), "unknown 0"},
        {"IPv4 of no protocol", RP_BYTES_LIT(SIGNATURE "\x21\x10\0\x0C" V4), "unknown 0"},
        {"a stream of no family", RP_BYTES_LIT(SIGNATURE "\x21\x01\0\0"), "unknown 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect(cases[i].name, cases[i].header, cases[i].expected, 0);
    }
    uint8_t of_unix[16 + 216] = SIGNATURE "\x21\x31\0\xD8/run/client";
    expect("Unix", rp_bytes(of_unix, sizeof of_unix), "unknown 0", 0);
}

static void test_headers_bad_are_refused_at_once(void **state) {
    (void) state;
    const struct {
        const char *name;
        struct rp_bytes header;
        size_t bad_at;
    } cases[] = {
        {"HTTP", RP_BYTES_LIT("GET / HTTP/1.1\r\n\r\n"), 1},
        {"an empty line and HTTP", RP_BYTES_LIT("\r\nGET / HTTP/1.1\r\n\r\n"), 3},
        {"version 1", RP_BYTES_LIT("PROXY TCP4 1.2.3.4 10.0.0.1 5678 443\r\n"), 1},
        {"the signature's last byte", RP_BYTES_LIT("\r\n\r\n\0\r\nQUIT\r"), 12},
        {"version 1 in binary", RP_BYTES_LIT(SIGNATURE "\x11\x11\0\x0C" V4), 13},
        {"version 3", RP_BYTES_LIT(SIGNATURE "\x31\x11\0\x0C" V4), 13},
        {"command 2", RP_BYTES_LIT(SIGNATURE "\x22\x11\0\x0C" V4), 13},
        {"family 4", RP_BYTES_LIT(SIGNATURE "\x21\x41\0\x0C" V4), 14},
        {"protocol 3", RP_BYTES_LIT(SIGNATURE "\x21\x13\0\x0C" V4), 14},
        {"too short for IPv4", RP_BYTES_LIT(SIGNATURE "\x21\x11\0\x0B" V4), 16},
        {"too short for IPv6", RP_BYTES_LIT(SIGNATURE "\x21\x21\0\x23" V6), 16},
        {"too short for Unix", RP_BYTES_LIT(SIGNATURE "\x21\x31\0\xD7"), 16},
        {"IPv4 without addresses", RP_BYTES_LIT(SIGNATURE "\x21\x11\0\0"), 16},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect(cases[i].name, cases[i].header, rp_strerror(RP_E_PROTOCOL), cases[i].bad_at);
    }
}

static void test_length_is_bounded(void **state) {
    (void) state;
    uint8_t most[16 + RP_PROXY_BYTES_MAX] = SIGNATURE "\x21\x11\x10\0" V4;
    char text[80];
    size_t consumed;
    assert_int_equal(parse(rp_bytes(most, sizeof most), text, &consumed), RP_OK);
    assert_string_equal(text, "1.2.3.4 5678");
    assert_int_equal(consumed, sizeof most);
    assert_int_equal(parse(rp_bytes(most, sizeof most - 1), text, &consumed), RP_MORE);
    expect("one more", RP_BYTES_LIT(SIGNATURE "\x21\x11\x10\1" V4), rp_strerror(RP_E_TOO_BIG), 16);
    expect("most that can be said", RP_BYTES_LIT(SIGNATURE "\x20\x00\xFF\xFF"),
           rp_strerror(RP_E_TOO_BIG), 16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers_good_name_the_source),
        cmocka_unit_test(test_headers_bad_are_refused_at_once),
        cmocka_unit_test(test_length_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
