/* tests/unit/test_sdk_link.c — a worker's link: what it lists, what it repeats, how it begins anew.
 */
#include "tests/unit/sdk_fixture.h"

static enum reprise_err emit(const char *owner, uint64_t flags, enum rp_worker_wait_kind kind) {
    struct rp_op op = {.kind = RP_OP_EMIT,
                       .emit = {.flags = flags, .nsp = B("/"), .name = B("e"), .args = B("[1]")}};
    struct rp_worker_ask ask = {.is_volatile = (flags & RP_OP_EMIT_VOLATILE) != 0,
                                .has_wait = owner != NULL,
                                .wait = kind,
                                .owner = (void *) (uintptr_t) owner};
    return rp_worker_ask(desk.w, &op, &ask);
}

static void test_hello_lists_what_is_served_and_resumes(void **state) {
    (void) state;
    lose_link();
    expect("link down\n");
    struct rp_buf rooms;
    open_link();
    SAY(WELCOME, welcome, .version = 3, .epoch = EPOCH, .head = 200);
    const struct rp_op *op = heard(RP_OP_SERVE);
    assert_true(rp_bytes_eq(op->serve.nsp, B("/")));
    assert_int_equal(op->serve.flags, RP_OP_DURABLE);
    op = heard(RP_OP_SERVE);
    assert_true(rp_bytes_eq(op->serve.nsp, B("/room-*")));
    assert_int_equal(op->serve.flags, RP_OP_PATTERN);
    assert_int_equal(heard(RP_OP_RESUMED)->resumed.sessions, 0);
    SAY(SERVED, served, .workers = 2);
    expect("link up\n"); /* ready only once */
    /* sockets and what is unanswered come with the next */
    SAY(SOCKET, socket, .session = 7, .conn = 9, .nsp = B("/room-x"), .sid = B("s7"),
        .rooms = packed(&rooms, "", "s7"));
    rp_buf_done(&rooms);
    expect("socket s7 0\n");
    assert_int_equal(emit(NULL, 0, 0), REPRISE_OK);
    assert_int_equal(heard(RP_OP_EMIT)->emit.num, 1);
    lose_link();
    open_link();
    SAY(WELCOME, welcome, .version = 3, .epoch = EPOCH, .head = 200);
    heard(RP_OP_SERVE);
    heard(RP_OP_SERVE);
    op = heard(RP_OP_SESSION);
    assert_int_equal(op->session.session, 7);
    assert_int_equal(op->session.conn, 9);
    assert_int_equal(op->session.catching, 0);
    assert_int_equal(op->session.handshake.len, 0);
    assert_int_equal(heard(RP_OP_EMIT)->emit.num, 1);
    assert_int_equal(heard(RP_OP_RESUMED)->resumed.sessions, 1);
    SAY(DONE, done, .num = 1, .seq = 201);
    SAY(DONE, done, .num = 1, .seq = 201); /* once more changes nothing */
    assert_true(rp_worker_is_idle(desk.w));
}

static uint64_t seen(void) {
    struct rp_worker_stats stats;
    rp_worker_stats(desk.w, &stats);
    return stats.seen;
}

static void test_seen_rises_by_what_has_a_position(void **state) {
    (void) state;
    assert_int_equal(seen(), 100);
    SAY(HEARTBEAT, heartbeat, .pos = 110);
    assert_int_equal(seen(), 110);
    SAY(MEMBER, member, .seq = 111, .conn = 5);
    assert_int_equal(seen(), 111);
    SAY(GOT_ACK, got_ack, .seq = 112, .num = 77);
    assert_int_equal(seen(), 112);
    SAY(DONE, done, .num = 77, .seq = 113);
    assert_int_equal(seen(), 113);
    SAY(DONE, done, .num = 77, .seq = 50);
    assert_int_equal(seen(), 113);
    lose_link();
    rp_worker_need(desk.w, desk.now_ms);
    rp_worker_opened(desk.w, desk.now_ms);
    const struct rp_op *hello = heard(RP_OP_HELLO);
    assert_int_equal(hello->hello.seen, 113);
    assert_int_equal(hello->hello.role, RP_OP_WORKER);
    assert_true(rp_bytes_eq(hello->hello.epoch, EPOCH));
    SAY(WELCOME, welcome, .version = 3, .epoch = EPOCH, .head = 500);
    assert_int_equal(seen(), 113); /* the head only counts the first time */
}

static void test_a_silent_broker_is_given_up(void **state) {
    (void) state;
    desk.now_ms += RP_LINK_TIMEOUT_MS;
    turn();
    expect("link down\n");
    assert_int_equal(rp_worker_need(desk.w, desk.now_ms), RP_WORKER_NEED_CLOSE);
    assert_int_equal(rp_worker_need(desk.w, desk.now_ms), RP_WORKER_NEED_NONE);
    desk.now_ms += RP_SDK_RETRY_MS;
    assert_int_equal(rp_worker_need(desk.w, desk.now_ms), RP_WORKER_NEED_OPEN);
}

static void test_what_lay_there_while_the_worker_hung_is_dropped(void **state) {
    (void) state;
    struct reprise_socket *s = connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    expect("socket s5 0\n");
    assert_int_equal(s->state, RP_WORKER_SOCKET_CONNECTED);
    desk.now_ms += RP_LINK_TIMEOUT_MS; /* no turn meanwhile */
    SAY(INVOKE, invoke, .origin = 1, .num = 1, .lowest = 1, .session = 5, .name = B("e"),
        .args = B("[]"));
    expect("link down\n");
    assert_int_equal(rp_worker_need(desk.w, desk.now_ms), RP_WORKER_NEED_CLOSE);
}

static void test_refused_waits_longer(void **state) {
    (void) state;
    SAY(REFUSED, refused, .code = B("busy"), .message = B("not now"));
    expect("link down\n");
    assert_non_null(strstr(rp_worker_notice(desk.w), "not now"));
    assert_int_equal(rp_worker_need(desk.w, desk.now_ms), RP_WORKER_NEED_CLOSE);
    desk.now_ms += RP_SDK_RETRY_MS;
    assert_int_equal(rp_worker_need(desk.w, desk.now_ms), RP_WORKER_NEED_NONE);
    desk.now_ms += RP_SDK_REFUSED_MS;
    assert_int_equal(rp_worker_need(desk.w, desk.now_ms), RP_WORKER_NEED_OPEN);
}

static void test_reset_loses_everything_and_begins_anew(void **state) {
    (void) state;
    uint64_t before = desk.incarnation;
    connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    connect_socket(6, 6, "s6", RP_OP_SOCKET_NEW);
    SAY(LEFT, left, .session = 6, .conn = 6, .nsp = B("/"), .sid = B("s6"));
    assert_int_equal(emit("a", 0, RP_WORKER_WAIT_STORED), REPRISE_OK);
    assert_int_equal(emit("b", RP_OP_EMIT_WANTS_ACK, RP_WORKER_WAIT_ACKS), REPRISE_OK);
    listen();
    SAY(DONE, done, .num = 2, .seq = 101, .replayed = 3);
    expect("socket s5 0\nsocket s6 0\nleft s6 transport close\nstored b 101 of 3\n");
    SAY(RESET, reset, .message = B("another log"));
    /* whoever was away says nothing; the order of the waits is not promised */
    const char *rest = desk.happened;
    assert_true(strncmp(rest, "link down\nleft s5 transport close\n", 34) == 0);
    assert_non_null(strstr(rest, "ended a -8\n"));
    assert_non_null(strstr(rest, "ended b -8\n"));
    desk.happened[0] = '\0';
    assert_true(rp_worker_is_idle(desk.w));
    assert_null(rp_worker_socket_find(desk.w, 5));
    assert_null(rp_worker_socket_find(desk.w, 6));
    forget_heard();
    assert_int_equal(rp_worker_need(desk.w, desk.now_ms), RP_WORKER_NEED_CLOSE);
    desk.now_ms += RP_SDK_RETRY_MS;
    open_link();
    assert_true(desk.incarnation != before);
    SAY(WELCOME, welcome, .version = 3, .epoch = B("other000"), .head = 7);
    assert_int_equal(seen(), 7);
}

static void test_what_is_not_logged_is_not_sent_twice(void **state) {
    (void) state;
    assert_int_equal(emit("v", RP_OP_EMIT_VOLATILE, RP_WORKER_WAIT_STORED), REPRISE_OK);
    struct rp_op side = {.kind = RP_OP_SIDE, .side = {.wants_ack = 1, .nsp = B("/")}};
    struct rp_worker_ask ask = {
        .has_wait = true, .wait = RP_WORKER_WAIT_SIDE, .owner = (void *) (uintptr_t) "s"};
    assert_int_equal(rp_worker_ask(desk.w, &side, &ask), REPRISE_OK);
    heard(RP_OP_EMIT);
    heard(RP_OP_SIDE);
    lose_link();
    expect("link down\nended v -9\nended s -8\n");
    assert_int_equal(emit("v", RP_OP_EMIT_VOLATILE, RP_WORKER_WAIT_STORED), REPRISE_E_LINK);
    /* this one was not sent yet */
    assert_int_equal(rp_worker_ask(desk.w, &side, &ask), REPRISE_OK);
    link_up(100);
    heard(RP_OP_SERVE);
    heard(RP_OP_SERVE);
    heard(RP_OP_RESUMED);
    assert_int_equal(heard(RP_OP_SIDE)->side.num, 3);
    /* its answers would have come on this link */
    SAY(DONE, done, .num = 3, .replayed = 2);
    SAY(SIDE_ANSWERED, side_answered, .num = 3, .args = B("[1]"));
    lose_link();
    expect("link up\nstored s 0 of 2\nresponse s  [1]\nlink down\nended s -8\n");
}

static void test_requests_are_bounded(void **state) {
    (void) state;
    lose_link();
    char *large = rp_alloc(1 << 20);
    memset(large, '1', 1 << 20);
    struct rp_op op = {.kind = RP_OP_EMIT, .emit = {.args = rp_bytes(large, 1 << 20)}};
    struct rp_worker_ask ask = {0};
    size_t count = 0;
    enum reprise_err err;
    while ((err = rp_worker_ask(desk.w, &op, &ask)) == REPRISE_OK) {
        count++;
    }
    assert_int_equal(err, REPRISE_E_BUSY);
    assert_int_equal(count, RP_LINK_REQUESTS_BYTES_MAX >> 20);
    free(large);
    op.emit.args = B("[]");
    link_up(100);
    assert_int_equal(rp_worker_ask(desk.w, &op, &ask), REPRISE_E_BUSY);
    SAY(DONE, done, .num = 1, .seq = 101);
    assert_int_equal(rp_worker_ask(desk.w, &op, &ask), REPRISE_OK);
}

static void test_credit_holds_requests_back(void **state) {
    (void) state;
    char *large = rp_alloc(5 << 20);
    memset(large, '1', 5 << 20);
    struct rp_op op = {.kind = RP_OP_EMIT, .emit = {.args = rp_bytes(large, 5 << 20)}};
    struct rp_worker_ask ask = {0};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(rp_worker_ask(desk.w, &op, &ask), REPRISE_OK);
    }
    free(large);
    for (uint64_t num = 1; num <= 3; num++) {
        assert_int_equal(heard(RP_OP_EMIT)->emit.num, num);
    }
    heard_nothing();
    wait_ms(500); /* it has dealt with them */
    assert_int_equal(heard(RP_OP_EMIT)->emit.num, 4);
    SAY(DONE, done, .num = 1, .seq = 101);
    assert_int_equal(emit(NULL, 0, 0), REPRISE_OK);
    assert_int_equal(heard(RP_OP_EMIT)->emit.num, 5);
}

static void test_serving_more_begins_another_link(void **state) {
    (void) state;
    assert_non_null(rp_worker_serve(desk.w, B("/more"), 0));
    turn();
    expect("link down\n");
    assert_int_equal(rp_worker_need(desk.w, desk.now_ms), RP_WORKER_NEED_CLOSE);
    open_link();
    SAY(WELCOME, welcome, .version = 3, .epoch = EPOCH, .head = 200);
    heard(RP_OP_SERVE);
    heard(RP_OP_SERVE);
    assert_true(rp_bytes_eq(heard(RP_OP_SERVE)->serve.nsp, B("/more")));
    SAY(SERVED, served, .workers = 1);
    expect("link up\n");
    assert_non_null(rp_worker_serve(desk.w, B("/more"), 0)); /* nothing new */
    turn();
    expect("");
}

static void test_names_that_cannot_be_served(void **state) {
    (void) state;
    static const char *const bad[] = {"", "x", "/a,b", "/\xff", "/a*"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_null(rp_worker_serve(desk.w, rp_bytes_str(bad[i]), 0));
    }
    assert_null(rp_worker_serve(desk.w, rp_bytes("/a\0b", 4), 0));
    char name[16];
    for (int i = 2; i < RP_WORKER_NAMESPACES_MAX; i++) {
        snprintf(name, sizeof name, "/n%d", i);
        assert_non_null(rp_worker_serve(desk.w, rp_bytes_str(name), 0));
    }
    assert_null(rp_worker_serve(desk.w, B("/one-more"), 0));
}

static void test_the_best_of_what_is_served(void **state) {
    (void) state;
    struct rp_worker_served *longer = rp_worker_serve(desk.w, B("/room-x*"), RP_OP_PATTERN);
    struct rp_worker_served *exact = rp_worker_serve(desk.w, B("/room-xy"), 0);
    assert_ptr_equal(rp_worker_served_for(desk.w, B("/room-xy")), exact);
    assert_ptr_equal(rp_worker_served_for(desk.w, B("/room-xz")), longer);
    assert_true(
        rp_bytes_eq(rp_bytes_str(rp_worker_served_for(desk.w, B("/room-a"))->name), B("/room-*")));
    assert_null(rp_worker_served_for(desk.w, B("/elsewhere")));
}

static void test_malformed_drops_the_rest_of_a_message(void **state) {
    (void) state;
    struct rp_buf message;
    struct rp_op op = {.kind = RP_OP_HEARTBEAT, .heartbeat = {.pos = 150}};
    rp_buf_init(&message, 1024);
    assert_int_equal(rp_op_put(&message, &op), RP_OK);
    assert_int_equal(rp_buf_put_str(&message, "\xc1nonsense"), RP_OK);
    op.heartbeat.pos = 160;
    assert_int_equal(rp_op_put(&message, &op), RP_OK);
    rp_worker_feed(desk.w, rp_buf_bytes(&message), desk.now_ms);
    pull();
    rp_buf_done(&message);
    assert_int_equal(seen(), 150);
    assert_int_equal(rp_worker_malformed(desk.w), 1);
}

static void test_a_heartbeat_that_cannot_be_ends_the_link(void **state) {
    (void) state;
    SAY(HEARTBEAT, heartbeat, .consumed = UINT64_MAX);
    expect("link down\n");
}

static void test_goodbye(void **state) {
    (void) state;
    connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    assert_int_equal(emit(NULL, 0, 0), REPRISE_OK);
    assert_false(rp_worker_is_idle(desk.w));
    rp_worker_bye(desk.w);
    heard(RP_OP_EMIT);
    const struct rp_op *bye = heard(RP_OP_BYE);
    assert_int_equal(bye->bye.lowest, 1);
    assert_int_equal(bye->bye.idle, 0);
    assert_int_equal(emit(NULL, 0, 0), REPRISE_E_CLOSED);
    SAY(INVOKE, invoke, .origin = 3, .num = 1, .session = 5, .name = B("late"));
    heard_nothing(); /* somebody else is asked */
    assert_false(rp_worker_is_parted(desk.w));
    SAY(REFUSED, refused, .code = B("bye"));
    assert_true(rp_worker_is_parted(desk.w));
    expect("socket s5 0\nlink down\n");
    desk.now_ms += 10000;
    rp_worker_need(desk.w, desk.now_ms);
    assert_int_equal(rp_worker_need(desk.w, desk.now_ms), RP_WORKER_NEED_NONE);
    assert_int_equal(rp_worker_deadline_ms(desk.w), UINT64_MAX);
}

/* What comes behind it was not begun, if all that was is answered. */
static void test_a_goodbye_tells_whether_all_is_answered(void **state) {
    for (int begun = 0; begun < 2; begun++) {
        connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
        if (begun) {
            SAY(INVOKE, invoke, .origin = 3, .num = 1, .session = 5, .name = B("e"));
        }
        assert_int_equal(rp_worker_is_idle(desk.w), !begun);
        rp_worker_bye(desk.w);
        assert_int_equal(heard(RP_OP_BYE)->bye.idle, !begun);
        if (begun) {
            struct rp_op_decided yes = {.verdict = RP_OP_YES};
            assert_int_equal(rp_worker_decide(desk.task, &yes), REPRISE_OK);
        }
        desk_teardown(state);
        desk_setup(state);
    }
}

/* Of more answers than a worker keeps the oldest go, though the broker has not got them: those
 * tasks look as if they had never come. */
static void test_a_goodbye_does_not_vouch_for_answers_it_has_dropped(void **state) {
    (void) state;
    struct rp_op_decided yes = {.verdict = RP_OP_YES};
    connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    lose_link();
    open_link();
    SAY(WELCOME, welcome, .version = RP_PROTOCOL_VERSION, .epoch = EPOCH, .head = 100);
    SAY(SOCKET, socket, .session = 5, .conn = 5, .why = RP_OP_SOCKET_SYNCED, .nsp = B("/"),
        .sid = B("s5"));
    for (uint64_t num = 1; num <= RP_SDK_ANSWERS_MAX + 1; num++) { /* before SERVED none is sent */
        desk.task = NULL;
        SAY(INVOKE, invoke, .origin = 3, .num = num, .session = 5, .name = B("e"));
        assert_non_null(desk.task);
        assert_int_equal(rp_worker_decide(desk.task, &yes), REPRISE_OK);
        desk.happened[0] = '\0';
    }
    SAY(SERVED, served, .workers = 1);
    assert_true(rp_worker_is_idle(desk.w));
    rp_worker_bye(desk.w);
    for (int i = 0; i < 2; i++) {
        heard(RP_OP_SERVE);
    }
    heard(RP_OP_SESSION);
    heard(RP_OP_RESUMED);
    for (uint64_t num = 2; num <= RP_SDK_ANSWERS_MAX + 1; num++) {
        assert_int_equal(heard(RP_OP_DECIDED)->decided.num, num);
    }
    assert_int_equal(heard(RP_OP_BYE)->bye.idle, 0);
}

/* The log must have the namespaces first. */
static void test_requests_wait_until_the_namespaces_are_there(void **state) {
    (void) state;
    struct rp_worker_ask ask = {0};
    struct rp_op op = {.kind = RP_OP_EMIT,
                       .emit = {.nsp = B("/"), .name = B("x"), .args = B("[]")}};
    lose_link();
    assert_int_equal(rp_worker_ask(desk.w, &op, &ask), REPRISE_OK);
    open_link();
    SAY(WELCOME, welcome, .version = RP_PROTOCOL_VERSION, .epoch = EPOCH, .head = 100);
    heard(RP_OP_SERVE);
    heard(RP_OP_SERVE);
    heard(RP_OP_RESUMED);
    ask.is_volatile = true;
    assert_int_equal(rp_worker_ask(desk.w, &op, &ask), REPRISE_E_LINK);
    turn();
    heard_nothing();
    SAY(SERVED, served, .workers = 1);
    assert_int_equal(heard(RP_OP_EMIT)->emit.num, 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, desk_setup, desk_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_hello_lists_what_is_served_and_resumes),
        TEST(test_seen_rises_by_what_has_a_position),
        TEST(test_a_silent_broker_is_given_up),
        TEST(test_what_lay_there_while_the_worker_hung_is_dropped),
        TEST(test_refused_waits_longer),
        TEST(test_reset_loses_everything_and_begins_anew),
        TEST(test_what_is_not_logged_is_not_sent_twice),
        TEST(test_requests_are_bounded),
        TEST(test_requests_wait_until_the_namespaces_are_there),
        TEST(test_credit_holds_requests_back),
        TEST(test_serving_more_begins_another_link),
        TEST(test_names_that_cannot_be_served),
        TEST(test_the_best_of_what_is_served),
        TEST(test_malformed_drops_the_rest_of_a_message),
        TEST(test_a_heartbeat_that_cannot_be_ends_the_link),
        TEST(test_goodbye),
        TEST(test_a_goodbye_tells_whether_all_is_answered),
        TEST(test_a_goodbye_does_not_vouch_for_answers_it_has_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
