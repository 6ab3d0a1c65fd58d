/* tests/unit/test_budget.c — gateway/budget. */
#include "gateway/budget.h"

#include "common/limits.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_without_a_bound_all_is_as_in_limits(void **state) {
    (void) state;
    uint64_t const enough[] = {UINT64_MAX, UINT64_MAX / 2, rp_budget_bytes_max()};
    for (size_t i = 0; i < 3; i++) {
        struct rp_budget b = rp_budget_make(enough[i], 1000000);
        assert_int_equal(b.queues, RP_QUEUES_BYTES_MAX);
        assert_int_equal(b.handshakes, RP_HANDSHAKES_BYTES_MAX);
        assert_int_equal(b.assembling, RP_ASSEMBLING_BYTES_MAX);
        assert_int_equal(b.parked, RP_PARKED_BYTES_MAX);
        assert_int_equal(b.bodies, RP_CONN_BODIES_BYTES);
        assert_int_equal(b.parts, RP_CONN_PARTS_BYTES);
        assert_int_equal(b.answers, RP_CONN_ANSWERS_BYTES);
    }
}

static void test_the_parts_are_the_whole(void **state) {
    (void) state;
    for (uint64_t bytes = 64 << 20; bytes < rp_budget_bytes_max(); bytes += 64 << 20) {
        struct rp_budget b = rp_budget_make(bytes, 1000000);
        assert_true(rp_budget_total(&b) <= bytes && rp_budget_total(&b) > bytes - bytes / 100);
        assert_true(b.queues > 3 * b.bodies && b.parts == b.bodies);
    }
}

static void test_each_takes_a_message(void **state) {
    (void) state;
    struct rp_budget b = rp_budget_make(1, RP_PAYLOAD_BYTES_MAX);
    assert_true(b.queues >= 4u * RP_PAYLOAD_BYTES_MAX);
    assert_true(b.assembling >= 2u * RP_PAYLOAD_BYTES_MAX);
    assert_true(b.parked >= 2u * RP_PAYLOAD_BYTES_MAX);
    assert_true(b.bodies >= 2u * RP_PAYLOAD_BYTES_MAX);
    assert_true(b.parts >= 2u * RP_PAYLOAD_BYTES_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_bound_all_is_as_in_limits),
        cmocka_unit_test(test_the_parts_are_the_whole),
        cmocka_unit_test(test_each_takes_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
