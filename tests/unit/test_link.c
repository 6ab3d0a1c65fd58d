/* tests/unit/test_link.c — proto/link: batches, credit, heartbeats, silence. */
#include "proto/link.h"

#include "common/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CREDIT = 1000, START_MS = 50000 };

static struct rp_op resumed(uint64_t sessions) {
    return (struct rp_op){.kind = RP_OP_RESUMED, .resumed = {.sessions = sessions}};
}

static struct rp_op reset(size_t message_bytes) {
    static char text[RP_LINK_BATCH_BYTES];
    return (struct rp_op){.kind = RP_OP_RESET, .reset = {.message = rp_bytes(text, message_bytes)}};
}

static struct rp_op_heartbeat consumed(uint64_t bytes) {
    return (struct rp_op_heartbeat){.consumed = bytes};
}

/* The numbers of the RESUMED operations in the next message; how many there were. */
static size_t take(struct rp_link *l, uint64_t *ret_numbers) {
    struct rp_buf message;
    if (!rp_link_take(l, START_MS, &message)) {
        return 0;
    }
    struct rp_op_reader *r = rp_op_reader_new();
    struct rp_bytes in = rp_buf_bytes(&message);
    size_t count = 0;
    while (in.len > 0) {
        struct rp_op op;
        assert_int_equal(rp_op_next(r, &in, &op), RP_OK);
        ret_numbers[count++] = op.kind == RP_OP_RESUMED ? op.resumed.sessions : 0;
    }
    rp_op_reader_free(r);
    rp_buf_done(&message);
    return count;
}

static void test_what_gathers_goes_as_one_message(void **state) {
    (void) state;
    struct rp_link l;
    uint64_t got[8];
    rp_link_init(&l, CREDIT, START_MS);
    assert_int_equal(take(&l, got), 0);
    for (uint64_t i = 1; i <= 3; i++) {
        struct rp_op op = resumed(i);
        rp_link_put(&l, &op);
    }
    assert_int_equal(l.queued_bytes, l.sent_bytes);
    assert_int_equal(take(&l, got), 3);
    assert_int_equal(got[0] * 100 + got[1] * 10 + got[2], 123);
    assert_int_equal(l.queued_bytes, 0);
    assert_true(l.sent_bytes > 0);
    assert_int_equal(take(&l, got), 0);
    rp_link_done(&l);
}

static void test_encoded_operations_are_put_as_they_are(void **state) {
    (void) state;
    struct rp_link l;
    uint64_t got[8];
    struct rp_buf encoded;
    struct rp_op op = resumed(7);
    rp_buf_init(&encoded, 100);
    assert_int_equal(rp_op_put(&encoded, &op), RP_OK);
    rp_link_init(&l, CREDIT, START_MS);
    rp_link_put_bytes(&l, rp_buf_bytes(&encoded));
    rp_link_put(&l, &op);
    assert_int_equal(l.sent_bytes, 2 * encoded.len);
    assert_int_equal(take(&l, got), 2);
    assert_int_equal(got[0] * 10 + got[1], 77);
    rp_buf_done(&encoded);
    rp_link_done(&l);
}

/* A batch is closed when it is large enough; messages leave in order, the open batch last. */
static void test_large_batches_become_several_messages(void **state) {
    (void) state;
    struct rp_link l;
    uint64_t got[8];
    rp_link_init(&l, CREDIT, START_MS);
    struct rp_op first = resumed(1), big = reset(RP_LINK_BATCH_BYTES), second = resumed(2);
    rp_link_put(&l, &first);
    rp_link_put(&l, &big);
    rp_link_put(&l, &big);
    rp_link_put(&l, &second);
    assert_true(l.queued_bytes > 2 * (size_t) RP_LINK_BATCH_BYTES);
    assert_int_equal(take(&l, got), 2);
    assert_int_equal(got[0], 1);
    assert_int_equal(take(&l, got), 1);
    assert_int_equal(take(&l, got), 1);
    assert_int_equal(got[0], 2);
    assert_int_equal(take(&l, got), 0);
    assert_int_equal(l.queued_bytes, 0);
    rp_link_put(&l, &big);
    rp_link_put(&l, &first);
    rp_link_done(&l); /* with both kinds of messages left */
}

static void test_credit_is_what_the_other_end_has_dealt_with(void **state) {
    (void) state;
    struct rp_link l;
    rp_link_init(&l, CREDIT, START_MS);
    assert_int_equal(rp_link_credit(&l), CREDIT);
    struct rp_op op = reset(600);
    rp_link_put(&l, &op);
    uint64_t sent = l.sent_bytes;
    assert_int_equal(rp_link_credit(&l), CREDIT - sent);
    rp_link_put(&l, &op); /* nobody is stopped; the credit is just gone */
    assert_int_equal(rp_link_credit(&l), 0);
    struct rp_op_heartbeat heartbeat = consumed(sent);
    assert_true(rp_link_heard_heartbeat(&l, &heartbeat));
    assert_int_equal(rp_link_credit(&l), CREDIT - sent);
    heartbeat = consumed(2 * sent);
    assert_true(rp_link_heard_heartbeat(&l, &heartbeat));
    assert_int_equal(rp_link_credit(&l), CREDIT);
    rp_link_done(&l);
}

/* What is larger than the whole credit must pass some time: when little else is under way. */
static void test_what_exceeds_the_credit_passes_alone(void **state) {
    (void) state;
    struct rp_link l;
    rp_link_init(&l, CREDIT, START_MS);
    assert_true(rp_link_may_put(&l, CREDIT));
    assert_true(rp_link_may_put(&l, 10 * CREDIT));
    struct rp_op op = reset(CREDIT / 2);
    rp_link_put(&l, &op);
    assert_true(rp_link_may_put(&l, CREDIT / 4));
    assert_false(rp_link_may_put(&l, CREDIT / 2));
    assert_false(rp_link_may_put(&l, 10 * CREDIT));
    struct rp_op_heartbeat heartbeat = consumed(l.sent_bytes);
    assert_true(rp_link_heard_heartbeat(&l, &heartbeat));
    assert_true(rp_link_may_put(&l, 10 * CREDIT));
    rp_link_done(&l);
}

static void test_a_heartbeat_that_cannot_be_is_refused(void **state) {
    (void) state;
    struct rp_link l;
    rp_link_init(&l, CREDIT, START_MS);
    struct rp_op op = reset(100);
    rp_link_put(&l, &op);
    struct rp_op_heartbeat more = consumed(l.sent_bytes + 1), huge = consumed(UINT64_MAX),
                           half = consumed(l.sent_bytes / 2), none = consumed(0);
    assert_false(rp_link_heard_heartbeat(&l, &more));
    assert_false(rp_link_heard_heartbeat(&l, &huge));
    assert_true(rp_link_heard_heartbeat(&l, &half));
    assert_true(rp_link_heard_heartbeat(&l, &half));  /* nothing new is fine */
    assert_false(rp_link_heard_heartbeat(&l, &none)); /* less than before is not */
    assert_int_equal(l.peer_consumed, half.consumed);
    rp_link_done(&l);
}

static void test_heartbeats_are_due_after_silence_or_much_input(void **state) {
    (void) state;
    struct rp_link l;
    uint64_t got[8], now = START_MS;
    rp_link_init(&l, CREDIT, now);
    assert_false(rp_link_heartbeat_due(&l, now + RP_LINK_HEARTBEAT_MS - 1));
    assert_true(rp_link_heartbeat_due(&l, now + RP_LINK_HEARTBEAT_MS));

    struct rp_buf message;
    struct rp_op op = resumed(1);
    rp_link_put(&l, &op);
    now += 500;
    assert_true(rp_link_take(&l, now, &message)); /* any message tells that we live */
    rp_buf_done(&message);
    assert_false(rp_link_heartbeat_due(&l, now + RP_LINK_HEARTBEAT_MS - 1));
    assert_true(rp_link_heartbeat_due(&l, now + RP_LINK_HEARTBEAT_MS));

    rp_link_received(&l, CREDIT / 16 - 1, now);
    assert_false(rp_link_heartbeat_due(&l, now));
    rp_link_received(&l, 1, now);
    assert_true(rp_link_heartbeat_due(&l, now));
    rp_link_put_heartbeat(&l, 11, 22);
    assert_false(rp_link_heartbeat_due(&l, now)); /* it has been told */
    assert_true(rp_link_take(&l, now, &message));
    struct rp_op_reader *r = rp_op_reader_new();
    struct rp_bytes in = rp_buf_bytes(&message);
    assert_int_equal(rp_op_next(r, &in, &op), RP_OK);
    assert_int_equal(op.kind, RP_OP_HEARTBEAT);
    assert_int_equal(op.heartbeat.pos, 11);
    assert_int_equal(op.heartbeat.consumed, CREDIT / 16);
    assert_int_equal(op.heartbeat.lowest, 22);
    rp_op_reader_free(r);
    rp_buf_done(&message);
    assert_int_equal(take(&l, got), 0);
    rp_link_done(&l);
}

static void test_silence_of_the_other_end_loses_the_link(void **state) {
    (void) state;
    struct rp_link l;
    rp_link_init(&l, CREDIT, START_MS);
    assert_int_equal(rp_link_deadline_ms(&l), START_MS + RP_LINK_HEARTBEAT_MS);
    assert_false(rp_link_is_lost(&l, START_MS + RP_LINK_TIMEOUT_MS - 1));
    assert_true(rp_link_is_lost(&l, START_MS + RP_LINK_TIMEOUT_MS));
    rp_link_received(&l, 1, START_MS + 10);
    assert_false(rp_link_is_lost(&l, START_MS + RP_LINK_TIMEOUT_MS));
    assert_true(rp_link_is_lost(&l, START_MS + 10 + RP_LINK_TIMEOUT_MS));
    struct rp_op op = resumed(1);
    struct rp_buf message;
    rp_link_put(&l, &op);
    assert_true(rp_link_take(&l, START_MS + 4900, &message)); /* our talking does not count */
    rp_buf_done(&message);
    assert_true(rp_link_is_lost(&l, START_MS + 10 + RP_LINK_TIMEOUT_MS));
    /* what was received is still to be told */
    assert_int_equal(rp_link_deadline_ms(&l), START_MS + 10 + RP_LINK_HEARTBEAT_MS);
    rp_link_put_heartbeat(&l, 1, 0);
    assert_true(rp_link_take(&l, START_MS + 4900, &message));
    rp_buf_done(&message);
    assert_int_equal(rp_link_deadline_ms(&l), START_MS + 10 + RP_LINK_TIMEOUT_MS);
    rp_link_done(&l);
}

/* Who talks all the time tells all the same how far it has come. */
static void test_heartbeats_are_due_however_much_is_said(void **state) {
    (void) state;
    struct rp_link l;
    struct rp_op op = resumed(1);
    struct rp_buf message;
    rp_link_init(&l, CREDIT, START_MS);
    rp_link_received(&l, 1, START_MS + 10);
    for (int ms = 0; ms < RP_LINK_HEARTBEAT_MS; ms += 100) {
        rp_link_put(&l, &op);
        assert_true(rp_link_take(&l, START_MS + 10 + (uint64_t) ms, &message));
        rp_buf_done(&message);
        rp_link_received(&l, 1, START_MS + 10 + (uint64_t) ms);
        assert_false(rp_link_heartbeat_due(&l, START_MS + 10 + (uint64_t) ms));
    }
    assert_true(rp_link_heartbeat_due(&l, START_MS + 10 + RP_LINK_HEARTBEAT_MS));
    rp_link_put_heartbeat(&l, 1, 0);
    assert_false(rp_link_heartbeat_due(&l, START_MS + 10 + RP_LINK_HEARTBEAT_MS));
    rp_link_done(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_gathers_goes_as_one_message),
        cmocka_unit_test(test_encoded_operations_are_put_as_they_are),
        cmocka_unit_test(test_large_batches_become_several_messages),
        cmocka_unit_test(test_credit_is_what_the_other_end_has_dealt_with),
        cmocka_unit_test(test_what_exceeds_the_credit_passes_alone),
        cmocka_unit_test(test_a_heartbeat_that_cannot_be_is_refused),
        cmocka_unit_test(test_heartbeats_are_due_after_silence_or_much_input),
        cmocka_unit_test(test_silence_of_the_other_end_loses_the_link),
        cmocka_unit_test(test_heartbeats_are_due_however_much_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
