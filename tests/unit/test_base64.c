/* tests/unit/test_base64.c — common/base64: the vectors of RFC 4648, every length, every character
 * at every place. */
#include "common/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* Decodes a copy of exactly the text's size after something that must stay. */
static enum rp_err decode(struct rp_bytes text, size_t room, struct rp_buf *ret_out) {
    uint8_t *copy = malloc(text.len > 0 ? text.len : 1);
    assert_non_null(copy);
    if (text.len > 0) {
        memcpy(copy, text.data, text.len);
    }
    rp_buf_init(ret_out, 1 + room);
    assert_int_equal(rp_buf_put_str(ret_out, "#"), RP_OK);
    enum rp_err err = rp_base64_decode(rp_bytes(copy, text.len), ret_out);
    assert_int_equal(ret_out->data[0], '#');
    assert_true(err == RP_OK || ret_out->len == 1);
    free(copy);
    return err;
}

static void assert_decodes(struct rp_bytes text, struct rp_bytes data) {
    struct rp_buf out;
    assert_int_equal(decode(text, data.len, &out), RP_OK);
    assert_true(rp_bytes_eq(rp_bytes_skip(rp_buf_bytes(&out), 1), data));
    rp_buf_done(&out);
    if (data.len > 0) {
        assert_int_equal(decode(text, data.len - 1, &out), RP_E_FULL);
        rp_buf_done(&out);
    }
}

static void assert_refused(struct rp_bytes text) {
    struct rp_buf out;
    if (decode(text, text.len, &out) != RP_E_INVALID) {
        fail_msg("%.*s", RP_BYTES_FMT(text));
    }
    rp_buf_done(&out);
}

/* both ways, and without the padding */
static void assert_is(struct rp_bytes data, struct rp_bytes text) {
    assert_int_equal(rp_base64_len(data.len), text.len);
    uint8_t *place = malloc(text.len > 0 ? text.len : 1);
    assert_non_null(place);
    assert_ptr_equal(rp_base64_write(place, data), place + text.len);
    assert_memory_equal(place, text.data, text.len);
    free(place);
    assert_decodes(text, data);
    size_t padding = 0;
    while (padding < text.len && text.data[text.len - 1 - padding] == '=') {
        padding++;
    }
    assert_decodes(rp_bytes(text.data, text.len - padding), data);
    if (padding == 2) { /* all of it or nothing */
        assert_refused(rp_bytes(text.data, text.len - 1));
    }
}

static void test_vectors_of_the_rfc(void **state) {
    (void) state;
    static const struct {
        const char *data, *text;
    } table[] = {{"", ""},
                 {"f", "Zg=="},
                 {"fo", "Zm8="},
                 {"foo", "Zm9v"},
                 {"foob", "Zm9vYg=="},
                 {"fooba", "Zm9vYmE="},
                 {"foobar", "Zm9vYmFy"},
                 {"\xff\xff\xfe", "///+"},
                 {"\x01\x02\x03\x04", "AQIDBA=="}};
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_is(rp_bytes_str(table[i].data), rp_bytes_str(table[i].text));
    }
    assert_is(RP_BYTES_LIT("\0"), RP_BYTES_LIT("AA=="));
    assert_is(RP_BYTES_LIT("\0\0"), RP_BYTES_LIT("AAA="));
}

static void test_every_byte_and_length_comes_back(void **state) {
    (void) state;
    uint8_t data[256], text[400];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t) (i * 167 + 13); /* every byte once, in a wild order */
    }
    for (size_t len = 0; len <= sizeof data; len++) {
        uint8_t *after = rp_base64_write(text, rp_bytes(data, len));
        assert_is(rp_bytes(data, len), rp_bytes(text, (size_t) (after - text)));
    }
}

static void test_other_texts_are_refused(void **state) {
    (void) state;
    static const char *const bad[] = {
        "A",     "AAAAA", "=",      "==",        "===",      "====",      "A=",    "A===",   "AA=",
        "AAA==", "AAAA=", "AAAA==", "AAAA====",  "AA==AAAA", "Zg==Zg==",  "AB==",  "Zh==",   "Zm9=",
        "Zh",    "Zm9",   "Zm9vYh", "Zm9vYmF=A", "Zm 9v",    " Zm9v",     "Zm9v ", "Zm9v\n", "Zm-_",
        "Zm9v,", "=Zm9",  "Z=9v",   "Zm=v",      "Zm9v=Zg=", "\xc3\xa9g="};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_refused(rp_bytes_str(bad[i]));
    }
    assert_refused(RP_BYTES_LIT("Zm9\0"));
}

static void test_every_character_is_looked_at(void **state) {
    (void) state;
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (unsigned byte = 0; byte < 256; byte++) {
        bool is_valid = byte != 0 && strchr(alphabet, (int) byte) != NULL;
        for (size_t place = 0; place < 8; place++) {
            uint8_t text[8] = "AAAAAAAA";
            text[place] = (uint8_t) byte;
            bool is_padding = byte == '=' && place == 7;
            if (is_valid || is_padding) {
                struct rp_buf out;
                assert_int_equal(decode(rp_bytes(text, sizeof text), 6, &out), RP_OK);
                rp_buf_done(&out);
            } else {
                assert_refused(rp_bytes(text, sizeof text));
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_of_the_rfc),
        cmocka_unit_test(test_every_byte_and_length_comes_back),
        cmocka_unit_test(test_other_texts_are_refused),
        cmocka_unit_test(test_every_character_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
