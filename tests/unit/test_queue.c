/* tests/unit/test_queue.c — gateway/queue. */
#include "common/rng.h"
#include "gateway/queue.h"

#include "common/alloc.h"
#include "common/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct rp_queue_total total;
static struct rp_queue queue, other;

static int setup(void **state) {
    (void) state;
    total = (struct rp_queue_total){0};
    queue = other = (struct rp_queue){0};
    return 0;
}

static int teardown(void **state) {
    (void) state;
    rp_queue_clear(&queue, &total);
    rp_queue_clear(&other, &total);
    assert_int_equal(total.bytes, 0);
    assert_int_equal(total.blobs, 0);
    assert_int_equal(total.held_bytes, 0);
    return 0;
}

static struct rp_blob *blob(const char *text) {
    struct rp_blob *b = rp_blob_new(strlen(text));
    memcpy(b->data, text, b->len);
    return b;
}

/* What is to go. */
static void expect(const struct rp_queue *q, const char *text) {
    struct rp_bytes parts[64];
    size_t at = 0, n = rp_queue_parts(q, parts, 64);
    for (size_t i = 0; i < n; i++) {
        assert_true(at + parts[i].len <= strlen(text));
        assert_memory_equal(parts[i].data, text + at, parts[i].len);
        at += parts[i].len;
    }
    assert_int_equal(at, strlen(text));
    assert_int_equal(q->bytes, at);
    assert_int_equal(q->count, n);
}

static void test_bytes_go_in_order(void **state) {
    (void) state;
    static const char text[] = "onetwothree";
    for (size_t step = 1; step <= sizeof text; step++) {
        rp_queue_put(&queue, &total, blob("one"));
        rp_queue_put(&queue, &total, blob("two"));
        rp_queue_put(&queue, &total, blob("three"));
        assert_int_equal(total.blobs, 3);
        assert_int_equal(rp_queue_cost(&queue), 11 + 3 * RP_CLIENT_FRAME_BYTES);
        for (size_t at = 0; at < strlen(text); at += step) {
            expect(&queue, text + at);
            size_t left = strlen(text) - at;
            rp_queue_advance(&queue, &total, step < left ? step : left);
        }
        expect(&queue, "");
        assert_int_equal(total.bytes, 0);
        assert_int_equal(total.blobs, 0);
    }
}

static void test_a_few_parts_at_a_time(void **state) {
    (void) state;
    struct rp_bytes parts[2];
    assert_int_equal(rp_queue_parts(&queue, parts, 2), 0);
    rp_queue_put(&queue, &total, blob("one"));
    rp_queue_put(&queue, &total, blob("two"));
    rp_queue_put(&queue, &total, blob("three"));
    rp_queue_advance(&queue, &total, 1);
    assert_int_equal(rp_queue_parts(&queue, parts, 0), 0);
    assert_int_equal(rp_queue_parts(&queue, parts, 2), 2);
    assert_int_equal(parts[0].len, 2);
    assert_memory_equal(parts[0].data, "ne", 2);
    assert_memory_equal(parts[1].data, "two", 3);
}

static void test_a_blob_lives_as_long_as_somebody_has_it(void **state) {
    (void) state;
    struct rp_blob *shared = blob("shared");
    rp_queue_put(&queue, &total, rp_blob_ref(shared));
    rp_queue_put(&other, &total, rp_blob_ref(shared));
    assert_int_equal(shared->refs, 3);
    rp_queue_advance(&queue, &total, 6);
    assert_int_equal(shared->refs, 2);
    rp_queue_clear(&other, &total);
    assert_int_equal(shared->refs, 1);
    rp_blob_unref(shared);
}

/* What many wait for is in memory once, and whole until the last of them has it. */
static void test_what_is_shared_is_held_once(void **state) {
    (void) state;
    struct rp_blob *shared = blob("shared");
    rp_queue_put(&queue, &total, rp_blob_ref(shared));
    rp_queue_put(&other, &total, rp_blob_ref(shared));
    rp_queue_put(&other, &total, shared); /* twice in one */
    rp_queue_put(&other, &total, blob("own"));
    assert_int_equal(total.bytes, 3 * 6 + 3);
    assert_int_equal(total.held_bytes, 6 + 3);
    assert_int_equal(rp_queue_total_cost(&total), 6 + 3 + 4 * RP_CLIENT_FRAME_BYTES);
    assert_int_equal(rp_queue_share(&queue), 2 + RP_CLIENT_FRAME_BYTES);
    assert_int_equal(rp_queue_share(&other), 2 + 2 + 3 + 3 * RP_CLIENT_FRAME_BYTES);
    rp_queue_advance(&other, &total, 12);
    assert_int_equal(total.held_bytes, 6 + 3);
    rp_queue_advance(&queue, &total, 5);
    assert_int_equal(total.held_bytes, 6 + 3);
    rp_queue_move(&other, &queue, &total); /* of what has gone in part, the rest */
    assert_int_equal(total.bytes, 3 + 1);
    assert_int_equal(total.held_bytes, 3 + 1);
    rp_queue_clear(&other, &total);
    assert_int_equal(total.held_bytes, 0);
}

static void test_what_moves_comes_behind(void **state) {
    (void) state;
    for (size_t gone = 0; gone <= 3; gone += 3) {
        for (size_t sent = 0; sent <= 2; sent++) {
            rp_queue_put(&queue, &total, blob("to"));
            rp_queue_put(&other, &total, blob("onetwo"));
            rp_queue_put(&other, &total, blob("three"));
            rp_queue_advance(&queue, &total, sent);
            rp_queue_advance(&other, &total, gone);
            struct rp_queue_total before = total;
            rp_queue_move(&queue, &other, &total);
            assert_int_equal(total.bytes, before.bytes);
            assert_int_equal(total.blobs, before.blobs);
            assert_int_equal(total.held_bytes, 11 + 2 - gone - (sent == 2 ? 2 : 0));
            expect(&other, "");
            assert_null(other.blobs);
            char text[32] = "";
            strcat(text, &"to"[sent]);
            strcat(text, &"onetwo"[gone]);
            strcat(text, "three");
            expect(&queue, text);
            rp_queue_put(&other, &total, blob("more")); /* both go on */
            rp_queue_move(&queue, &other, &total);
            strcat(text, "more");
            expect(&queue, text);
            rp_queue_clear(&queue, &total);
        }
    }
    rp_queue_move(&queue, &other, &total); /* nothing into nothing */
    expect(&queue, "");
    assert_int_equal(total.blobs, 0);
}

/* An idle client keeps little. */
static void test_an_empty_queue_is_small(void **state) {
    (void) state;
    for (int i = 0; i < 1000; i++) {
        rp_queue_put(&queue, &total, blob("x"));
    }
    assert_true(queue.capacity >= 1000);
    rp_queue_advance(&queue, &total, 999);
    expect(&queue, "x");
    rp_queue_advance(&queue, &total, 1);
    assert_true(queue.capacity <= 64);
}

/* Against a plain text, for long: places that are free in front are used again. */
static void test_any_sequence_agrees_with_a_text(void **state) {
    (void) state;
    static char text[1 << 20];
    size_t from = 0, to = 0;
    struct rp_rng rng = {7};
    while (to < sizeof text - 16) {
        if (rp_rng_below(&rng, 2) == 0 && queue.count < 50) {
            char some[16] = "";
            size_t len = 1 + rp_rng_below(&rng, 9);
            for (size_t i = 0; i < len; i++) {
                some[i] = text[to++] = (char) ('a' + rp_rng_below(&rng, 26));
            }
            rp_queue_put(&queue, &total, blob(some));
        } else {
            size_t n = rp_rng_below(&rng, 12);
            n = n < to - from ? n : to - from;
            rp_queue_advance(&queue, &total, n);
            from += n;
        }
        assert_int_equal(total.bytes, to - from);
        assert_int_equal(total.blobs, queue.count);
        assert_true(queue.capacity <= 256);
        struct rp_bytes first;
        if (rp_queue_parts(&queue, &first, 1) > 0) {
            assert_memory_equal(first.data, text + from, first.len);
        } else {
            assert_int_equal(from, to);
        }
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_bytes_go_in_order),
        TEST(test_a_few_parts_at_a_time),
        TEST(test_a_blob_lives_as_long_as_somebody_has_it),
        TEST(test_what_is_shared_is_held_once),
        TEST(test_what_moves_comes_behind),
        TEST(test_an_empty_queue_is_small),
        TEST(test_any_sequence_agrees_with_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
