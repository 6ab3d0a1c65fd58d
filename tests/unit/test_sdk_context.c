/* tests/unit/test_sdk_context.c — the context's thread: running, stopping, loops of others, posts,
 * lost links, goodbyes. */
#include "tests/unit/sdk_router.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

static void note_link(struct reprise_context *c, bool up, void *user) {
    (void) c;
    (void) user;
    note("link %s;", up ? "up" : "down");
}

static void note_ready(struct reprise_context *c, void *user) {
    (void) c;
    (void) user;
    note("ready;");
}

static void test_options_that_cannot_be(void **state) {
    (void) state;
    struct reprise_context *c;
    static const char key[] = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
    const struct reprise_options bad[] = {
        {.broker = "nowhere"},
        {.broker = "udp://127.0.0.1:5570"},
        {.broker = "tcp://127.0.0.1"},
        {.server_key = key},
        {.server_key = "short", .public_key = key, .secret_key = key},
        {.server_key = key, .public_key = key, .secret_key = key, .plain_links = true},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(reprise_context_new(&bad[i], &c), REPRISE_E_INVALID);
    }
    assert_int_equal(reprise_context_new(NULL, NULL), REPRISE_E_INVALID);
    assert_int_equal(reprise_context_new(NULL, &c), REPRISE_OK);
    reprise_context_close(c, 0);
    struct reprise_options good = {.server_key = key, .public_key = key, .secret_key = key};
    assert_int_equal(reprise_context_new(&good, &c), REPRISE_OK);
    reprise_context_close(c, 0);
}

static void note_log(enum reprise_log_level level, const char *text, void *user) {
    (void) level;
    snprintf(user, 256, "%s", text);
}

static void test_plain_links_stay_on_this_machine_unless_told(void **state) {
    (void) state;
    static const char key[] = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
    static const char *const local[] = {"tcp://127.0.0.1:1", "tcp://[::1]:1", "tcp://localhost:1",
                                        "ipc:///tmp/x"};
    static const char *const remote[] = {"tcp://10.0.0.1:1", "tcp://broker.example:1",
                                         "tcp://127.0.0.1:0;10.0.0.1:1"};
    struct reprise_context *c;
    char said[256] = "";
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++) {
        struct reprise_options options = {.broker = local[i]};
        assert_int_equal(reprise_context_new(&options, &c), REPRISE_OK);
        reprise_context_close(c, 0);
    }
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++) {
        struct reprise_options options = {.broker = remote[i], .log = note_log, .log_user = said};
        assert_int_equal(reprise_context_new(&options, &c), REPRISE_E_INVALID);
        assert_non_null(strstr(said, "plain_links"));
        options.plain_links = true;
        assert_int_equal(reprise_context_new(&options, &c), REPRISE_OK);
        reprise_context_close(c, 0);
        options = (struct reprise_options){
            .broker = remote[i], .server_key = key, .public_key = key, .secret_key = key};
        assert_int_equal(reprise_context_new(&options, &c), REPRISE_OK);
        reprise_context_close(c, 0);
    }
}

/* Somebody else's program is not to die of it. */
static void test_no_descriptors_are_an_error(void **state) {
    (void) state;
    struct rlimit before;
    struct reprise_context *c;
    size_t failed = 0;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    close(next);
    for (int more = 0; more < 32; more++) {
        struct rlimit few = {.rlim_cur = (rlim_t) (next + more), .rlim_max = before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        enum reprise_err err = reprise_context_new(NULL, &c);
        if (err == REPRISE_OK) {
            reprise_context_close(c, 0);
        } else {
            assert_int_equal(err, REPRISE_E_SYSTEM);
            failed++;
        }
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_in_range(failed, 1, 31);
}

static void test_a_lost_link_is_begun_anew(void **state) {
    (void) state;
    raise_stage();
    reprise_on_link(stage.c, note_link, NULL);
    reprise_on_ready(stage.c, note_ready, NULL);
    link_up();
    expect("link up;ready;");
    /* the connection is cut */
    int linger_ms = 0;
    zmq_close(stage.router);
    expect("link down;");
    stage.router = zmq_socket(stage.zmq, ZMQ_ROUTER);
    zmq_setsockopt(stage.router, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    while (zmq_bind(stage.router, stage.endpoint) != 0) {
        poll(NULL, 0, 5);
    }
    link_up();
    expect("link up;");
    struct reprise_stats stats;
    reprise_context_stats(stage.c, &stats);
    assert_true(stats.linked);
    assert_int_equal(stats.links, 2);
    stage_teardown(state);
}

/* ---- threads ---- */

static void stop_it(struct reprise_context *c, void *arg) {
    note("posted %d;", *(int *) arg);
    if (*(int *) arg == 3) {
        assert_int_equal(reprise_context_run(c), REPRISE_E_INVALID); /* from inside */
        assert_int_equal(reprise_context_process(c), REPRISE_E_INVALID);
        reprise_context_close(c, 0); /* nothing happens */
        reprise_context_stop(c);
    }
}

static void *post_three(void *arg) {
    static int numbers[] = {1, 2, 3};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(reprise_context_post(arg, stop_it, &numbers[i]), REPRISE_OK);
    }
    return NULL;
}

static void test_other_threads_post_and_stop(void **state) {
    (void) state;
    raise_stage();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, post_three, stage.c), 0);
    assert_int_equal(reprise_context_run(stage.c), REPRISE_OK);
    pthread_join(thread, NULL);
    assert_string_equal(stage.happened, "posted 1;posted 2;posted 3;");
    reprise_context_stop(stage.c); /* the next run */
    assert_int_equal(reprise_context_run(stage.c), REPRISE_OK);
    stage_teardown(state);
}

static void do_nothing(struct reprise_context *c, void *arg) {
    (void) c;
    ++*(size_t *) arg;
}

static void test_posts_are_bounded(void **state) {
    (void) state;
    raise_stage();
    size_t done = 0, posted = 0;
    while (reprise_context_post(stage.c, do_nothing, &done) == REPRISE_OK) {
        posted++;
    }
    assert_int_equal(posted, RP_SDK_POSTS_MAX);
    while (done < posted) { /* the descriptor tells as long as there are some */
        struct pollfd set = {.fd = reprise_context_fd(stage.c), .events = POLLIN};
        assert_int_equal(poll(&set, 1, 1000), 1);
        assert_int_equal(reprise_context_process(stage.c), REPRISE_OK);
    }
    assert_int_equal(reprise_context_post(stage.c, NULL, NULL), REPRISE_E_INVALID);
    stage_teardown(state);
}

/* ---- loops of others ---- */

static bool is_readable(void) {
    struct pollfd set = {.fd = reprise_context_fd(stage.c), .events = POLLIN};
    return poll(&set, 1, 0) > 0;
}

static void settle(void) {
    for (int quiet = 0; quiet < 20; quiet++) {
        if (is_readable()) {
            reprise_context_process(stage.c);
            quiet = 0;
        }
        receive();
        poll(NULL, 0, 1);
    }
}

static void test_the_descriptor_tells_when(void **state) {
    stage_setup(state);
    settle();
    assert_false(is_readable());
    int timeout_ms = reprise_context_timeout(stage.c);
    assert_true(timeout_ms > 0 && timeout_ms <= RP_LINK_HEARTBEAT_MS);
    /* what the application does outside of handlers is sent without waiting for that */
    assert_int_equal(reprise_target_emit(reprise_all(stage.n), "e", NULL), REPRISE_OK);
    assert_true(is_readable());
    assert_int_equal(reprise_context_timeout(stage.c), 0);
    heard(RP_OP_EMIT);
    settle();
    /* its deadlines come by the descriptor, too */
    struct pollfd set = {.fd = reprise_context_fd(stage.c), .events = POLLIN};
    uint64_t since_ms = rp_clock_mono_ms();
    assert_int_equal(poll(&set, 1, PATIENCE_MS), 1);
    assert_true(rp_clock_mono_ms() - since_ms <= RP_LINK_HEARTBEAT_MS + 200);
    stage_teardown(state);
}

/* ---- goodbye ---- */

static struct reprise_event *kept;
static struct reprise_socket *socket_kept;

static void keep(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    socket_kept = reprise_socket_ref(s);
    reprise_event_keep(e);
    kept = e;
    note("kept");
}

static void note_ack(enum reprise_err err, struct reprise_value args, void *user) {
    (void) args;
    (void) user;
    note("ack %d;", err);
}

/* What the application holds is good after the context, if for nothing. */
static void test_handles_outlive_the_context(void **state) {
    stage_setup(state);
    reprise_on_event(stage.n, "e", keep, NULL);
    connect_socket(5, "s5");
    invoke(1, 5, "e", "[1]");
    expect("kept");
    assert_int_equal(reprise_socket_emit_with_ack(socket_kept, "e", NULL, 0, note_ack, NULL),
                     REPRISE_OK);
    heard(RP_OP_EMIT);
    stage_teardown(state);
    assert_string_equal(stage.happened, "ack -12;"); /* closed */
    assert_false(reprise_socket_connected(socket_kept));
    assert_string_equal(reprise_socket_id(socket_kept), "s5");
    assert_null(reprise_socket_nsp(socket_kept));
    assert_int_equal(reprise_socket_emit(socket_kept, "e", NULL), REPRISE_E_GONE);
    assert_int_equal(reprise_socket_join(socket_kept, "r"), REPRISE_E_GONE);
    assert_int_equal(reprise_socket_set_data(socket_kept, NULL), REPRISE_E_GONE);
    assert_int_equal(reprise_socket_disconnect(socket_kept, true), REPRISE_E_GONE);
    assert_int_equal(reprise_socket_emit_with_ack(socket_kept, "e", NULL, 0, note_ack, NULL),
                     REPRISE_E_GONE);
    assert_int_equal(reprise_event_argc(kept), 1);
    assert_int_equal(reprise_event_ack(kept, reprise_args("i", 1)), REPRISE_E_GONE);
    reprise_event_done(kept);
    reprise_socket_unref(socket_kept);
}

static void *play_goodbye(void *arg) {
    (void) arg;
    uint64_t end_ms = rp_clock_mono_ms() + PATIENCE_MS;
    while (rp_clock_mono_ms() < end_ms) {
        receive();
        struct rp_list *first = rp_list_first(&stage.got);
        if (first == NULL) {
            poll(NULL, 0, 1);
            continue;
        }
        struct got *got = RP_CONTAINER_OF(first, struct got, node);
        enum rp_op_kind kind = got->op.kind;
        if (kind == RP_OP_EMIT) {
            SAY(DONE, done, .num = got->op.emit.num, .seq = 101);
        }
        rp_list_remove(first);
        rp_buf_done(&got->bytes);
        free(got);
        if (kind == RP_OP_BYE) {
            SAY(REFUSED, refused, .code = B("bye"));
            return arg;
        }
    }
    return NULL;
}

/* Requests are answered, then BYE is said, and nobody waits longer than needed. */
static void test_a_goodbye_is_quick(void **state) {
    stage_setup(state);
    assert_int_equal(reprise_target_emit(reprise_all(stage.n), "last", NULL), REPRISE_OK);
    pthread_t thread;
    void *said_goodbye;
    assert_int_equal(pthread_create(&thread, NULL, play_goodbye, &stage), 0);
    uint64_t since_ms = rp_clock_mono_ms();
    reprise_context_close(stage.c, PATIENCE_MS);
    stage.c = NULL;
    assert_true(rp_clock_mono_ms() - since_ms < RP_LINK_BYE_MS);
    pthread_join(thread, &said_goodbye);
    assert_ptr_equal(said_goodbye, &stage);
    stage_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_that_cannot_be),
        cmocka_unit_test(test_plain_links_stay_on_this_machine_unless_told),
        cmocka_unit_test(test_no_descriptors_are_an_error),
        cmocka_unit_test(test_a_lost_link_is_begun_anew),
        cmocka_unit_test(test_other_threads_post_and_stop),
        cmocka_unit_test(test_posts_are_bounded),
        cmocka_unit_test(test_the_descriptor_tells_when),
        cmocka_unit_test(test_handles_outlive_the_context),
        cmocka_unit_test(test_a_goodbye_is_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
