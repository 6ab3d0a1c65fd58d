/* Messages compressed and inflated: the RFC's examples, round trips, bounds, bad data; bodies,
 * inflated by zlib itself. */
#include "proto/deflate.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

static int setup(void **state) {
    *state = rp_deflate_new(6);
    return 0;
}

static int teardown(void **state) {
    rp_deflate_free(*state);
    return 0;
}

/* Inflates into a buffer with something in it already, from memory of exactly the payload's size.
 */
static enum rp_err inflate_into(struct rp_deflate *d, struct rp_bytes payload, size_t max,
                                struct rp_buf *ret_out) {
    uint8_t *copy = rp_alloc(payload.len > 0 ? payload.len : 1);
    if (payload.len > 0) {
        memcpy(copy, payload.data, payload.len);
    }
    rp_buf_init(ret_out, max + 3);
    assert_int_equal(rp_buf_put_str(ret_out, "abc"), RP_OK);
    enum rp_err err = rp_inflate_message(d, rp_bytes(copy, payload.len), ret_out);
    free(copy);
    assert_true(ret_out->len >= 3 && ret_out->capacity <= max + 3);
    assert_memory_equal(ret_out->data, "abc", 3);
    assert_true(err == RP_OK || ret_out->len == 3);
    rp_buf_consume(ret_out, 3);
    return err;
}

static void expect_inflated(struct rp_deflate *d, struct rp_bytes payload, const char *expected) {
    struct rp_buf out;
    assert_int_equal(inflate_into(d, payload, strlen(expected), &out), RP_OK);
    assert_true(rp_bytes_eq_str(rp_buf_bytes(&out), expected));
    rp_buf_done(&out);
}

/* RFC 7692 7.2.3 */
static void test_examples_of_the_rfc(void **state) {
    struct rp_deflate *d = *state;
    struct rp_bytes hello = RP_BYTES_LIT("\xF2\x48\xCD\xC9\xC9\x07\x00");
    struct rp_buf out;
    expect_inflated(d, hello, "Hello");
    expect_inflated(d, RP_BYTES_LIT("\x00\x05\x00\xFA\xFF\x48\x65\x6C\x6C\x6F\x00"), "Hello");
    expect_inflated(d, RP_BYTES_LIT("\xF3\x48\xCD\xC9\xC9\x07\x00\x00"), "Hello"); /* BFINAL */
    expect_inflated(d, RP_BYTES_LIT("\xF2\x48\x05\x00\x00\x00\xFF\xFF\xCA\xC9\xC9\x07\x00"),
                    "Hello");
    expect_inflated(d, RP_BYTES_LIT("\x00"), "");
    rp_buf_init(&out, 100);
    assert_int_equal(rp_deflate_message(d, RP_BYTES_LIT("Hello"), &out), RP_OK);
    assert_true(rp_bytes_eq(rp_buf_bytes(&out), hello));
    rp_buf_clear(&out);
    assert_int_equal(rp_deflate_message(d, rp_bytes(NULL, 0), &out), RP_OK);
    assert_true(rp_bytes_eq(rp_buf_bytes(&out), RP_BYTES_LIT("\x00")));
    rp_buf_done(&out);
}

static void test_no_context_is_taken_over(void **state) {
    struct rp_deflate *d = *state;
    struct rp_buf first, second;
    rp_buf_init(&first, 100);
    rp_buf_init(&second, 100);
    assert_int_equal(rp_deflate_message(d, RP_BYTES_LIT("Hello"), &first), RP_OK);
    assert_int_equal(rp_deflate_message(d, RP_BYTES_LIT("Hello"), &second), RP_OK);
    assert_true(rp_bytes_eq(rp_buf_bytes(&first), rp_buf_bytes(&second)));
    rp_buf_done(&first);
    expect_inflated(d, rp_buf_bytes(&second), "Hello");
    rp_buf_done(&second);
    /* the RFC's second message, which refers to the first */
    assert_int_equal(inflate_into(d, RP_BYTES_LIT("\xF2\x00\x11\x00\x00"), 100, &first),
                     RP_E_PROTOCOL);
    rp_buf_done(&first);
    /* nor after a final block */
    assert_int_equal(inflate_into(d,
                                  RP_BYTES_LIT("\xF3\x48\xCD\xC9\xC9\x07\x00\xF2\x00\x11\x00\x00"),
                                  100, &first),
                     RP_E_PROTOCOL);
    rp_buf_done(&first);
}

static void test_final_blocks_may_be_many(void **state) {
    struct rp_deflate *d = *state;
    struct rp_buf in, out;
    rp_buf_init(&in, 1 << 20);
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(rp_buf_put(&in, RP_BYTES_LIT("\x4B\x04\x00")), RP_OK); /* "a", final */
    }
    assert_int_equal(rp_buf_put(&in, RP_BYTES_LIT("\x00")), RP_OK);
    assert_int_equal(inflate_into(d, rp_buf_bytes(&in), 100000, &out), RP_OK);
    assert_int_equal(out.len, 100000);
    assert_int_equal(out.data[0], 'a');
    rp_buf_done(&out);
    assert_int_equal(inflate_into(d, rp_buf_bytes(&in), 99999, &out), RP_E_TOO_BIG);
    rp_buf_done(&out);
    rp_buf_done(&in);
}

static void test_empty_payload_is_an_empty_message(void **state) {
    expect_inflated(*state, rp_bytes(NULL, 0), "");
}

/* ---- round trips ---- */

/* Text that repeats itself as JSON does (1), or not at all (0). */
static void fill(uint8_t *data, size_t len, bool repeats) {
    uint32_t random = 12345;
    for (size_t i = 0; i < len; i++) {
        random = random * 1664525 + 1013904223;
        data[i] =
            repeats ? (uint8_t) "{\"room\":\"abc\",\"n\":0}"[i % 20] : (uint8_t) (random >> 24);
        data[i] = repeats && (random >> 24) < 8 ? (uint8_t) ('0' + random % 10) : data[i];
    }
}

static const size_t lens[] = {0,     1,     2,     3,     100,   1000,  16379, 16380, 16381,
                              16383, 16384, 16385, 32767, 32768, 65535, 65536, 300000};

static void test_messages_come_back(void **state) {
    struct rp_deflate *d = *state;
    uint8_t *data = rp_alloc(300000);
    for (size_t i = 0; i < 2 * sizeof lens / sizeof *lens; i++) {
        size_t len = lens[i / 2];
        struct rp_buf packed, out;
        fill(data, len, i % 2);
        rp_buf_init(&packed, 400000);
        assert_int_equal(rp_deflate_message(d, rp_bytes(data, len), &packed), RP_OK);
        assert_true(packed.len > 0);
        if (i % 2 == 1 && len >= 1000) {
            assert_true(packed.len < len / 2);
        }
        assert_int_equal(inflate_into(d, rp_buf_bytes(&packed), len, &out), RP_OK);
        assert_true(rp_bytes_eq(rp_buf_bytes(&out), rp_bytes(data, len)));
        rp_buf_done(&out);
        if (len > 0) { /* one byte less room is too little, and it is never exceeded */
            assert_int_equal(inflate_into(d, rp_buf_bytes(&packed), len - 1, &out), RP_E_TOO_BIG);
            rp_buf_done(&out);
        }
        rp_buf_done(&packed);
    }
    free(data);
}

/* The last bytes of the output fall on every place around a chunk's end. */
static void test_lengths_around_the_chunk_come_back(void **state) {
    struct rp_deflate *d = *state;
    uint8_t *data = rp_alloc(17000);
    fill(data, 17000, false);
    for (size_t len = 16300; len < 16500; len++) {
        struct rp_buf packed, out;
        rp_buf_init(&packed, 20000);
        assert_int_equal(rp_deflate_message(d, rp_bytes(data, len), &packed), RP_OK);
        assert_int_equal(inflate_into(d, rp_buf_bytes(&packed), len, &out), RP_OK);
        assert_true(rp_bytes_eq(rp_buf_bytes(&out), rp_bytes(data, len)));
        rp_buf_done(&out);
        rp_buf_done(&packed);
    }
    free(data);
}

static void test_full_buffer_is_left_as_it_was(void **state) {
    struct rp_deflate *d = *state;
    static uint8_t data[50000];
    struct rp_buf out, exact;
    fill(data, sizeof data, false);
    rp_buf_init(&out, sizeof data); /* random bytes do not get shorter: it does not pay */
    assert_int_equal(rp_buf_put_str(&out, "x"), RP_OK);
    assert_int_equal(rp_deflate_message(d, rp_bytes(data, sizeof data), &out), RP_E_FULL);
    assert_int_equal(rp_http_compress(d, RP_HTTP_GZIP, rp_bytes(data, sizeof data), &out),
                     RP_E_FULL);
    assert_int_equal(rp_http_compress(d, RP_HTTP_IDENTITY, rp_bytes(data, sizeof data), &out),
                     RP_E_FULL);
    assert_int_equal(out.len, 1);
    rp_buf_done(&out);
    /* exactly its own length is enough, one less is not */
    rp_buf_init(&out, 100000);
    assert_int_equal(rp_deflate_message(d, rp_bytes(data, 40000), &out), RP_OK);
    rp_buf_init(&exact, out.len);
    assert_int_equal(rp_deflate_message(d, rp_bytes(data, 40000), &exact), RP_OK);
    assert_true(rp_bytes_eq(rp_buf_bytes(&exact), rp_buf_bytes(&out)));
    rp_buf_done(&exact);
    rp_buf_init(&exact, out.len - 1);
    assert_int_equal(rp_deflate_message(d, rp_bytes(data, 40000), &exact), RP_E_FULL);
    rp_buf_done(&exact);
    rp_buf_done(&out);
}

static void test_bomb_stops_at_the_bound(void **state) {
    struct rp_deflate *d = *state;
    uint8_t *zeros = rp_alloc(64 << 20);
    struct rp_buf packed, out;
    rp_buf_init(&packed, 1 << 20);
    assert_int_equal(rp_deflate_message(d, rp_bytes(zeros, 64 << 20), &packed), RP_OK);
    free(zeros);
    assert_true(packed.len < 70000);
    assert_int_equal(inflate_into(d, rp_buf_bytes(&packed), 100000, &out), RP_E_TOO_BIG);
    rp_buf_done(&out);
    assert_int_equal(inflate_into(d, rp_buf_bytes(&packed), 0, &out), RP_E_TOO_BIG);
    rp_buf_done(&out);
    rp_buf_done(&packed);
    expect_inflated(d, RP_BYTES_LIT("\xF2\x48\xCD\xC9\xC9\x07\x00"), "Hello"); /* still well */
}

static void test_bad_data_is_refused(void **state) {
    struct rp_deflate *d = *state;
    const struct {
        const char *name;
        struct rp_bytes payload;
    } cases[] = {
        {"block type 3", RP_BYTES_LIT("\x06")},
        {"stored lengths that differ", RP_BYTES_LIT("\x00\x05\x00\xFA\xFEHello\x00")},
        {"stored and cut off", RP_BYTES_LIT("\x00\x05\x00\xFA\xFFHel")},
        {"cut off in a block", RP_BYTES_LIT("\xF2\x48\xCD")},
        {"without the empty block's beginning", RP_BYTES_LIT("\xF3\x48\xCD\xC9\xC9\x07\x00")},
        {"with the four bytes that are dropped",
         RP_BYTES_LIT("\x00\x05\x00\xFA\xFFHello\x00\x00\x00\xFF")},
        {"garbage behind a final block", RP_BYTES_LIT("\xF3\x48\xCD\xC9\xC9\x07\x00\x06")},
        {"zlib's container", RP_BYTES_LIT("\x78\x9C\xF3\x48\xCD\xC9\xC9\x07\x00\x05\x8C\x01\xF5")},
        {"gzip's container", RP_BYTES_LIT("\x1F\x8B\x08\x00\x00\x00\x00\x00\x00\x03")},
        {"text", RP_BYTES_LIT("42[\"publish\",{}]")},
        {"too far back", RP_BYTES_LIT("\x4A\x04\x41\x00")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rp_buf out;
        enum rp_err err = inflate_into(d, cases[i].payload, 1000, &out);
        if (err != RP_E_PROTOCOL) {
            fail_msg("%s: %s, %zu bytes", cases[i].name, rp_strerror(err), out.len);
        }
        rp_buf_done(&out);
        expect_inflated(d, RP_BYTES_LIT("\xF2\x48\xCD\xC9\xC9\x07\x00"), "Hello");
    }
}

static void test_every_truncation_is_refused(void **state) {
    struct rp_deflate *d = *state;
    uint8_t data[400];
    struct rp_buf packed, out;
    fill(data, sizeof data, true);
    rp_buf_init(&packed, 1000);
    assert_int_equal(rp_deflate_message(d, rp_bytes(data, sizeof data), &packed), RP_OK);
    for (size_t len = 1; len < packed.len; len++) {
        enum rp_err err = inflate_into(d, rp_bytes(packed.data, len), 100000, &out);
        assert_int_equal(err, RP_E_PROTOCOL);
        rp_buf_done(&out);
    }
    rp_buf_done(&packed);
}

/* ---- bodies ---- */

static void test_bodies_are_what_zlib_reads(void **state) {
    struct rp_deflate *d = *state;
    static uint8_t data[100000], back[100001];
    static const struct {
        enum rp_http_coding coding;
        int window_bits;
        const char *begin;
    } cases[] = {{RP_HTTP_GZIP, 15 + 16, "\x1F\x8B"}, {RP_HTTP_DEFLATE, 15, "\x78"}};
    for (size_t i = 0; i < 2 * sizeof lens / sizeof *lens; i++) {
        size_t len = lens[i / 2] < sizeof data ? lens[i / 2] : sizeof data;
        struct rp_buf out;
        fill(data, len, i & 1);
        for (size_t c = 0; c < 2; c++) {
            rp_buf_init(&out, 200000);
            assert_int_equal(rp_http_compress(d, cases[c].coding, rp_bytes(data, len), &out),
                             RP_OK);
            assert_memory_equal(out.data, cases[c].begin, strlen(cases[c].begin));
            z_stream z = {.next_in = out.data,
                          .avail_in = (uInt) out.len,
                          .next_out = back,
                          .avail_out = sizeof back};
            assert_int_equal(inflateInit2(&z, cases[c].window_bits), Z_OK);
            assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END); /* checksum and all */
            assert_int_equal(z.avail_in, 0);
            assert_int_equal(z.total_out, len);
            assert_memory_equal(back, data, len);
            inflateEnd(&z);
            rp_buf_done(&out);
        }
    }
    struct rp_buf out;
    rp_buf_init(&out, 10);
    assert_int_equal(rp_http_compress(d, RP_HTTP_IDENTITY, RP_BYTES_LIT("as it is"), &out), RP_OK);
    assert_true(rp_bytes_eq_str(rp_buf_bytes(&out), "as it is"));
    rp_buf_done(&out);
}

static void test_every_level_works(void **state) {
    (void) state;
    for (int level = 1; level <= 9; level++) {
        struct rp_deflate *d = rp_deflate_new(level);
        struct rp_buf out;
        rp_buf_init(&out, 100);
        assert_int_equal(rp_deflate_message(d, RP_BYTES_LIT("aaaaaaaaaaaaaaaaaaaa"), &out), RP_OK);
        assert_true(out.len < 10);
        expect_inflated(d, rp_buf_bytes(&out), "aaaaaaaaaaaaaaaaaaaa");
        rp_buf_done(&out);
        assert_null(rp_deflate_free(d));
    }
    assert_null(rp_deflate_free(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples_of_the_rfc),
        cmocka_unit_test(test_no_context_is_taken_over),
        cmocka_unit_test(test_final_blocks_may_be_many),
        cmocka_unit_test(test_empty_payload_is_an_empty_message),
        cmocka_unit_test(test_messages_come_back),
        cmocka_unit_test(test_lengths_around_the_chunk_come_back),
        cmocka_unit_test(test_full_buffer_is_left_as_it_was),
        cmocka_unit_test(test_bomb_stops_at_the_bound),
        cmocka_unit_test(test_bad_data_is_refused),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_bodies_are_what_zlib_reads),
        cmocka_unit_test(test_every_level_works),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
