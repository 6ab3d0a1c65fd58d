/* tests/unit/test_frames.c — gateway/frames. */
#include "gateway/frames.h"

#include "common/alloc.h"
#include "proto/attachments.h"
#include "proto/deflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* The lengths at which a header changes (RFC 6455 5.2), and around them. */
static const size_t lengths[] = {0, 1, 2, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537};
enum { LENGTHS = sizeof lengths / sizeof lengths[0] };

static uint8_t some[70000];

static int setup(void **state) {
    (void) state;
    for (size_t i = 0; i < sizeof some; i++) {
        some[i] = (uint8_t) ('a' + i * i % 23);
    }
    return 0;
}

static void test_frames_are_taken_apart(void **state) {
    (void) state;
    static const enum rp_ws_kind kinds[] = {RP_WS_TEXT, RP_WS_BINARY};
    for (size_t i = 0; i < LENGTHS; i++) {
        for (size_t k = 0; k < 2; k++) {
            struct rp_blob *blob = rp_ws_frame(kinds[k], rp_bytes(some, lengths[i]));
            struct rp_frame f = rp_frame_of(rp_blob_bytes(blob));
            assert_int_equal(f.kind, kinds[k]);
            assert_true(rp_bytes_eq(f.payload, rp_bytes(some, lengths[i])));
            assert_int_equal(f.len, blob->len);
            rp_blob_unref(blob);
        }
    }
    struct rp_blob *blob = rp_ws_close_frame(1001, "why");
    struct rp_frame f = rp_frame_of(rp_blob_bytes(blob));
    assert_int_equal(f.kind, RP_WS_CLOSE);
    assert_true(rp_bytes_eq(f.payload, RP_BYTES_LIT("\x03\xe9why")));
    rp_blob_unref(blob);
}

static void test_a_packet_is_its_text_and_attachments(void **state) {
    (void) state;
    struct rp_buf packed;
    rp_buf_init(&packed, 1 << 20);
    for (size_t i = 0; i < LENGTHS; i++) {
        assert_int_equal(rp_attachments_put(&packed, rp_bytes(some + i, lengths[i])), RP_OK);
    }
    for (size_t t = 0; t < LENGTHS; t++) {
        struct rp_bytes text = rp_bytes(some, lengths[t]);
        struct rp_blob *blob = rp_frames_new(text, rp_buf_bytes(&packed));
        struct rp_bytes in = rp_blob_bytes(blob);
        struct rp_frame f = rp_frame_of(in);
        assert_int_equal(f.kind, RP_WS_TEXT);
        assert_true(rp_bytes_eq(f.payload, text));
        for (size_t i = 0; i < LENGTHS; i++) {
            in = rp_bytes_skip(in, f.len);
            f = rp_frame_of(in);
            assert_int_equal(f.kind, RP_WS_BINARY);
            assert_true(rp_bytes_eq(f.payload, rp_bytes(some + i, lengths[i])));
        }
        assert_int_equal(f.len, in.len);
        rp_blob_unref(blob);
    }
    rp_buf_done(&packed);
    struct rp_blob *blob = rp_frames_new(RP_BYTES_LIT("x"), rp_bytes(NULL, 0));
    assert_int_equal(blob->len, 3);
    rp_blob_unref(blob);
}

/* What a client reads that inflates. */
static void expect_frame(struct rp_deflate *deflate, struct rp_bytes *in, enum rp_ws_kind kind,
                         struct rp_bytes payload, bool deflated) {
    struct rp_frame f = rp_frame_of(*in);
    assert_int_equal(f.kind, kind);
    assert_int_equal((in->data[0] & 0x40) != 0, deflated);
    assert_int_equal((in->data[0] & 0x80) != 0, true);
    if (deflated) {
        struct rp_buf out;
        rp_buf_init(&out, 1 << 20);
        assert_int_equal(rp_inflate_message(deflate, f.payload, &out), RP_OK);
        assert_true(rp_bytes_eq(rp_buf_bytes(&out), payload));
        rp_buf_done(&out);
    } else {
        assert_true(rp_bytes_eq(f.payload, payload));
    }
    *in = rp_bytes_skip(*in, f.len);
}

static void test_a_twin_is_made_once_and_shared(void **state) {
    (void) state;
    struct rp_deflate *deflate = rp_deflate_new(6);
    struct rp_bytes large = rp_bytes(some, 2000);
    struct rp_blob *blob = rp_ws_frame(RP_WS_TEXT, large);
    struct rp_blob *first = rp_frames_deflated(rp_blob_ref(blob), deflate, 1000);
    struct rp_blob *second = rp_frames_deflated(rp_blob_ref(blob), deflate, 1000);
    assert_ptr_not_equal(first, blob);
    assert_ptr_equal(first, second);
    assert_int_equal(blob->refs, 1);
    assert_int_equal(first->refs, 3);
    rp_blob_unref(blob); /* the twin may stay longer */
    struct rp_bytes in = rp_blob_bytes(first);
    expect_frame(deflate, &in, RP_WS_TEXT, large, true);
    assert_int_equal(in.len, 0);
    rp_blob_unref(first);
    rp_blob_unref(second);
    rp_deflate_free(deflate);
}

static void test_small_frames_stay_as_they_are(void **state) {
    (void) state;
    struct rp_deflate *deflate = rp_deflate_new(6);
    struct rp_blob *small = rp_ws_frame(RP_WS_TEXT, rp_bytes(some, 100));
    assert_ptr_equal(rp_frames_deflated(small, deflate, 1000), small);
    assert_null(small->twin);
    struct rp_blob *pong = rp_ws_frame(RP_WS_PONG, rp_bytes(some, 100)); /* nor control frames */
    assert_ptr_equal(rp_frames_deflated(pong, deflate, 0), pong);
    assert_true(pong->no_twin);
    /* a packet of which one frame is large */
    struct rp_buf packed;
    rp_buf_init(&packed, 1 << 20);
    assert_int_equal(rp_attachments_put(&packed, rp_bytes(some, 10)), RP_OK);
    assert_int_equal(rp_attachments_put(&packed, rp_bytes(some, 5000)), RP_OK);
    assert_int_equal(rp_attachments_put(&packed, rp_bytes(NULL, 0)), RP_OK);
    struct rp_blob *packet =
        rp_frames_deflated(rp_frames_new(RP_BYTES_LIT("text"), rp_buf_bytes(&packed)), deflate, 99);
    struct rp_bytes in = rp_blob_bytes(packet);
    expect_frame(deflate, &in, RP_WS_TEXT, RP_BYTES_LIT("text"), false);
    expect_frame(deflate, &in, RP_WS_BINARY, rp_bytes(some, 10), false);
    expect_frame(deflate, &in, RP_WS_BINARY, rp_bytes(some, 5000), true);
    expect_frame(deflate, &in, RP_WS_BINARY, rp_bytes(NULL, 0), false);
    assert_int_equal(in.len, 0);
    rp_buf_done(&packed);
    rp_blob_unref(small);
    rp_blob_unref(pong);
    rp_blob_unref(packet);
    rp_deflate_free(deflate);
}

/* What does not become smaller is sent as it is, and not tried again. */
static void test_noise_is_not_compressed(void **state) {
    (void) state;
    uint8_t noise[3000];
    uint64_t x = 1;
    for (size_t i = 0; i < sizeof noise; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        noise[i] = (uint8_t) (x >> 56);
    }
    struct rp_deflate *deflate = rp_deflate_new(6);
    struct rp_blob *blob = rp_ws_frame(RP_WS_BINARY, rp_bytes(noise, sizeof noise));
    for (int i = 0; i < 2; i++) {
        assert_ptr_equal(rp_frames_deflated(blob, deflate, 100), blob);
        assert_true(blob->no_twin);
        assert_int_equal(blob->refs, 1);
    }
    rp_blob_unref(blob);
    rp_deflate_free(deflate);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_are_taken_apart),
        cmocka_unit_test(test_a_packet_is_its_text_and_attachments),
        cmocka_unit_test(test_a_twin_is_made_once_and_shared),
        cmocka_unit_test(test_small_frames_stay_as_they_are),
        cmocka_unit_test(test_noise_is_not_compressed),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
