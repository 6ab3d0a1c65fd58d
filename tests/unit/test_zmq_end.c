/* The end of a ZeroMQ context that cannot end. */
#include "common/zmq_end.h"

#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

static void test_what_can_end_is_waited_for(void **state) {
    (void) state;
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_DEALER);
    zmq_close(socket);
    uint64_t begin = rp_clock_mono_ms();
    rp_zmq_end(context, 60000);
    assert_true(rp_clock_mono_ms() - begin < 30000);
}

/* A socket that is open holds it as a name that is being looked up does. */
static void test_what_cannot_end_is_left_behind(void **state) {
    (void) state;
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_DEALER);
    alarm(60);
    rp_zmq_end(context, 50);
    alarm(0);
    char byte;
    assert_int_equal(zmq_recv(socket, &byte, 1, 0), -1); /* it is ending: nobody waits any more */
    assert_int_equal(zmq_errno(), ETERM);
    zmq_close(socket);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_can_end_is_waited_for),
        cmocka_unit_test(test_what_cannot_end_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
