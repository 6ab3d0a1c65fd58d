/* tests/unit/test_sdk_worker.c — sockets, tasks and their answers, and what a worker waits for. */
#include "tests/unit/sdk_fixture.h"

/* ---- sockets ---- */

static void test_a_socket_comes_and_goes(void **state) {
    (void) state;
    struct reprise_socket *s = connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    assert_int_equal(s->state, RP_WORKER_SOCKET_CONNECTED);
    assert_int_equal(s->rooms_count, 1); /* its own; not "" */
    SAY(MEMBER, member, .seq = 101, .conn = 5, .joined = 1, .room = B("r"));
    SAY(MEMBER, member, .seq = 101, .conn = 5, .joined = 1, .room = B("r"));
    assert_true(rp_worker_socket_in(s, B("r")));
    assert_int_equal(s->rooms_count, 2);
    rp_worker_socket_ref(s);
    SAY(LEFT, left, .session = 5, .conn = 4, .reason = B("old"));
    expect("socket s5 0\n"); /* not this connection's */
    SAY(LEFT, left, .session = 5, .conn = 5, .reason = B("ping timeout"), .data = B("{\"a\":1}"));
    expect("left s5 ping timeout\n");
    assert_int_equal(s->state, RP_WORKER_SOCKET_AWAY);
    /* it comes back, with the same handle */
    assert_ptr_equal(connect_socket(5, 9, "s5", RP_OP_SOCKET_RECOVERED), s);
    expect("socket s5 1\n");
    assert_true(s->recovered);
    SAY(LEFT, left, .session = 5, .conn = 9, .ended = 1,
        .reason = B("client namespace disconnect"));
    expect("left s5 client namespace disconnect\n");
    assert_int_equal(s->state, RP_WORKER_SOCKET_GONE);
    assert_null(rp_worker_socket_find(desk.w, 5));
    assert_int_equal(rp_worker_socket_move(s, B("r"), false), REPRISE_E_GONE);
    rp_worker_socket_unref(s);
}

static void test_a_session_expires(void **state) {
    (void) state;
    connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    SAY(LEFT, left, .session = 5, .conn = 5, .nsp = B("/"), .sid = B("s5"), .reason = B("x"));
    SAY(LEFT, left, .session = 5, .conn = 5, .ended = 1, .expired = 1, .nsp = B("/"),
        .sid = B("s5"), .data = B("[7]"));
    /* one that this worker did not have, and one of a namespace it does not serve */
    SAY(LEFT, left, .session = 6, .conn = 6, .ended = 1, .expired = 1, .nsp = B("/room-1"),
        .sid = B("s6"));
    SAY(LEFT, left, .session = 7, .conn = 7, .ended = 1, .expired = 1, .nsp = B("/else"));
    expect("socket s5 0\nleft s5 x\nexpired s5 [7]\nexpired s6 \n");
    assert_null(rp_worker_socket_find(desk.w, 5));
}

static void test_a_takeover_ends_the_old_connection_first(void **state) {
    (void) state;
    connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    connect_socket(5, 8, "s5", RP_OP_SOCKET_RECOVERED);
    expect("socket s5 0\nleft s5 transport close\nsocket s5 1\n");
    connect_socket(5, 7, "s5", RP_OP_SOCKET_RECOVERED); /* older */
    connect_socket(5, 8, "s5", RP_OP_SOCKET_SYNCED);    /* nothing new */
    expect("");
    assert_int_equal(rp_worker_socket_find(desk.w, 5)->conn, 8);
    connect_socket(5, 11, "s5", RP_OP_SOCKET_SYNCED); /* came back while the link was away */
    expect("left s5 transport close\nsocket s5 1\n");
}

static void test_adopted_released_and_verdicts(void **state) {
    (void) state;
    struct reprise_socket *s = connect_socket(5, 5, "s5", RP_OP_SOCKET_ADOPTED);
    rp_worker_socket_ref(s);
    connect_socket(6, 6, "s6", RP_OP_SOCKET_SYNCED); /* not known, so adopted */
    connect_socket(7, 7, "s7", RP_OP_SOCKET_NEW);
    SAY(RELEASE, release, .session = 5);
    SAY(RELEASE, release, .session = 5);
    SAY(VERDICT, verdict, .conn = 6, .verdict = RP_OP_UNKNOWN);
    SAY(VERDICT, verdict, .conn = 7, .verdict = RP_OP_KEPT);
    connect_socket(8, 8, "s8", RP_OP_SOCKET_NEW);
    SAY(VERDICT, verdict, .conn = 8, .verdict = RP_OP_SUPERSEDED);
    SAY(VERDICT, verdict, .conn = 99, .verdict = RP_OP_SUPERSEDED);
    expect("socket s5 2\nsocket s6 2\nsocket s7 0\nreleased s5\nleft s6 transport close\n"
           "socket s8 0\nreleased s8\n");
    assert_int_equal(s->state, RP_WORKER_SOCKET_GONE);
    assert_null(rp_worker_socket_find(desk.w, 6));
    assert_non_null(rp_worker_socket_find(desk.w, 7));
    rp_worker_socket_unref(s);
}

static void test_a_handle_outlives_its_worker(void **state) {
    struct reprise_socket *s = rp_worker_socket_ref(connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW));
    struct reprise_socket *gone =
        rp_worker_socket_ref(connect_socket(6, 6, "s6", RP_OP_SOCKET_NEW));
    SAY(RELEASE, release, .session = 6);
    desk_teardown(state);
    assert_null(s->worker);
    assert_null(gone->worker);
    assert_int_equal(rp_worker_socket_move(s, B("r"), false), REPRISE_E_GONE);
    rp_worker_socket_unref(s);
    rp_worker_socket_unref(gone);
    desk_setup(state);
}

static void test_joining_is_noted_at_once_and_undone(void **state) {
    (void) state;
    struct reprise_socket *s = connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    assert_int_equal(rp_worker_socket_move(s, B("r"), false), REPRISE_OK);
    assert_true(rp_worker_socket_in(s, B("r")));
    const struct rp_op *op = heard(RP_OP_MOVE);
    assert_true(rp_bytes_eq(op->move.room, B("s5")));
    assert_true(rp_bytes_eq(op->move.target, B("r")));
    assert_int_equal(op->move.leave, 0);
    SAY(FAILED, failed, .num = 1, .code = B("too_many_rooms"));
    assert_false(rp_worker_socket_in(s, B("r")));
    expect("socket s5 0\nfailed too_many_rooms\n");
    assert_int_equal(rp_worker_socket_move(s, B("s5"), true), REPRISE_E_INVALID); /* its own */
    assert_int_equal(s->rooms_count, 1);
    assert_int_equal(rp_worker_socket_move(s, B("r"), true), REPRISE_OK);
    assert_int_equal(rp_worker_socket_set_data(s, B("{}")), REPRISE_OK);
    assert_int_equal(heard(RP_OP_MOVE)->move.leave, 1);
    assert_int_equal(heard(RP_OP_DATA)->data.session, 5);
    assert_true(rp_bytes_eq(rp_buf_bytes(&s->data), B("{}")));
}

/* ---- tasks ---- */

static void invoke(uint64_t num, uint64_t lowest, const char *name) {
    SAY(INVOKE, invoke, .origin = 77, .num = num, .lowest = lowest, .session = 5, .wants_ack = 1,
        .name = rp_bytes_str(name), .args = B("[]"));
}

static void test_an_answer_is_repeated_and_the_task_is_not(void **state) {
    (void) state;
    desk.answers = true;
    connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    invoke(1, 1, "a");
    const struct rp_op *op = heard(RP_OP_DECIDED);
    assert_int_equal(op->decided.origin, 77);
    assert_int_equal(op->decided.num, 1);
    assert_int_equal(op->decided.verdict, RP_OP_YES);
    assert_true(rp_bytes_eq(op->decided.args, B("[\"yes\"]")));
    invoke(1, 1, "a");
    assert_true(rp_bytes_eq(heard(RP_OP_DECIDED)->decided.args, B("[\"yes\"]")));
    expect("socket s5 0\ninvoke a []\n");
    lose_link();
    link_up(100);
    forget_heard();
    invoke(1, 1, "a");
    assert_int_equal(heard(RP_OP_DECIDED)->decided.num, 1);
    heard_nothing();
    expect("link down\nlink up\n");
    /* once the origin says that it will not ask again, the answer goes */
    invoke(2, 2, "b");
    struct rp_worker_stats stats;
    rp_worker_stats(desk.w, &stats);
    assert_int_equal(stats.answers_count, 1);
    assert_int_equal(stats.tasks_repeated, 2);
}

static void test_a_task_under_way_is_not_a_second_one(void **state) {
    (void) state;
    connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    desk.keeps = true;
    invoke(1, 1, "a");
    struct rp_worker_task *t = desk.task;
    invoke(1, 1, "a");
    lose_link();
    struct rp_op_decided yes = {.args = B("[1]")};
    assert_int_equal(rp_worker_decide(t, &yes), REPRISE_OK); /* without a link */
    assert_int_equal(rp_worker_decide(t, &yes), REPRISE_E_GONE);
    rp_worker_task_release(t);
    link_up(100);
    forget_heard();
    expect("socket s5 0\ninvoke a []\nlink down\nlink up\n");
    invoke(1, 1, "a");
    assert_true(rp_bytes_eq(heard(RP_OP_DECIDED)->decided.args, B("[1]")));
    expect("");
}

/* Views of a task that was left unanswered are its own. */
static void test_a_task_that_is_left_is_kept(void **state) {
    (void) state;
    connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    SAY(INVOKE, invoke, .origin = 77, .num = 1, .session = 5, .name = B("late"),
        .args = B("[\"text\"]"), .attachments = B("\0\0\0\1x"));
    struct rp_worker_task *t = desk.task;
    heard_nothing();
    assert_true(rp_bytes_eq(t->args, B("[\"text\"]")));
    assert_int_equal(t->attachments.len, 5);
    assert_string_equal((const char *) t->name.data, "late");
    struct rp_op_decided no = {.verdict = RP_OP_NO, .code = B("c"), .message = B("m")};
    assert_int_equal(rp_worker_decide(t, &no), REPRISE_OK);
    assert_true(rp_bytes_eq(heard(RP_OP_DECIDED)->decided.message, B("m")));
}

static void test_not_its_socket(void **state) {
    (void) state;
    invoke(1, 1, "a");
    assert_int_equal(heard(RP_OP_DECIDED)->decided.verdict, RP_OP_DISOWNED);
    SAY(CHECK, check, .origin = 77, .num = 2, .session = 5, .what = RP_OP_CHECK_JOIN);
    assert_int_equal(heard(RP_OP_DECIDED)->decided.verdict, RP_OP_DISOWNED);
    SAY(ADMIT, admit, .origin = 77, .num = 3, .nsp = B("/else"));
    assert_int_equal(heard(RP_OP_DECIDED)->decided.verdict, RP_OP_DISOWNED);
    expect("");
    /* it may be its socket later, and is asked again then */
    desk.answers = true;
    connect_socket(5, 5, "s5", RP_OP_SOCKET_ADOPTED);
    invoke(1, 1, "a");
    assert_int_equal(heard(RP_OP_DECIDED)->decided.verdict, RP_OP_YES);
}

static void test_an_event_of_a_client_that_is_gone_is_handled(void **state) {
    (void) state;
    desk.answers = true;
    connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    SAY(LEFT, left, .session = 5, .conn = 5, .reason = B("x"));
    invoke(1, 1, "a");
    expect("socket s5 0\nleft s5 x\ninvoke a []\n");
    assert_int_equal(heard(RP_OP_DECIDED)->decided.verdict, RP_OP_YES);
}

static void test_admit_check_and_side_events(void **state) {
    (void) state;
    desk.answers = true;
    connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    SAY(ADMIT, admit, .origin = 77, .num = 1, .nsp = B("/room-9"), .sid = B("s9"),
        .handshake = B("{\"auth\":{}}"));
    assert_string_equal(rp_op_name(heard(RP_OP_DECIDED)->kind), "decided");
    SAY(CHECK, check, .origin = 77, .num = 2, .session = 5, .what = RP_OP_CHECK_PUBLISH,
        .room = B("r"), .name = B("n"), .args = B("[2]"));
    assert_int_equal(heard(RP_OP_DECIDED)->decided.num, 2);
    SAY(SIDE_EVENT, side_event, .id = 4, .wants_ack = 1, .nsp = B("/"), .name = B("hi"),
        .args = B("[3]"));
    const struct rp_op *op = heard(RP_OP_SIDE_ANSWER);
    assert_int_equal(op->side_answer.id, 4);
    assert_true(rp_bytes_eq(op->side_answer.args, B("[\"yes\"]")));
    SAY(SIDE_EVENT, side_event, .id = 5, .nsp = B("/"), .name = B("hi"), .args = B("[4]"));
    heard_nothing(); /* nobody wants to know */
    expect("socket s5 0\nadmit  {\"auth\":{}}\ncheck nr [2]\nside hi [3]\nside hi [4]\n");
}

static void test_an_answer_to_a_worker_of_an_earlier_link_is_not_sent(void **state) {
    (void) state;
    desk.keeps = true;
    SAY(SIDE_EVENT, side_event, .id = 4, .wants_ack = 1, .nsp = B("/"), .name = B("hi"));
    struct rp_worker_task *t = desk.task;
    lose_link();
    link_up(100);
    forget_heard();
    struct rp_op_decided yes = {.args = B("[1]")};
    assert_int_equal(rp_worker_decide(t, &yes), REPRISE_OK);
    rp_worker_task_release(t);
    heard_nothing();
}

static void test_tasks_are_bounded(void **state) {
    (void) state;
    connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    expect("socket s5 0\n");
    size_t len = RP_SDK_TASKS_BYTES_MAX / 2 - 4096;
    char *large = rp_alloc(len);
    memset(large, '1', len);
    struct rp_worker_task *tasks[2];
    for (uint64_t num = 1; num <= 2; num++) {
        SAY(INVOKE, invoke, .origin = 77, .num = num, .session = 5, .args = rp_bytes(large, len));
        tasks[num - 1] = desk.task;
        desk.happened[0] = '\0';
    }
    heard_nothing();
    SAY(INVOKE, invoke, .origin = 77, .num = 3, .session = 5, .args = rp_bytes(large, len));
    const struct rp_op *op = heard(RP_OP_DECIDED);
    assert_int_equal(op->decided.verdict, RP_OP_NO);
    assert_true(rp_bytes_eq(op->decided.code, B("overloaded")));
    free(large);
    expect("");
    struct rp_op_decided yes = {0};
    assert_int_equal(rp_worker_decide(tasks[0], &yes), REPRISE_OK);
    assert_int_equal(rp_worker_decide(tasks[1], &yes), REPRISE_OK);
    forget_heard();
    struct rp_worker_stats stats;
    rp_worker_stats(desk.w, &stats);
    assert_int_equal(stats.tasks_count, 0);
    assert_int_equal(stats.tasks_bytes, 0);
    desk.answers = true;
    invoke(3, 1, "a");
    assert_int_equal(heard(RP_OP_DECIDED)->decided.verdict, RP_OP_YES);
}

static void test_answers_are_bounded(void **state) {
    (void) state;
    desk.answers = true;
    connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    for (uint64_t num = 1; num <= RP_SDK_ANSWERS_MAX + 10; num++) {
        desk.happened[0] = '\0';
        invoke(num, 1, "a");
        forget_heard();
    }
    struct rp_worker_stats stats;
    rp_worker_stats(desk.w, &stats);
    assert_int_equal(stats.answers_count, RP_SDK_ANSWERS_MAX);
    assert_int_equal(stats.answers_dropped, 10);
    desk.happened[0] = '\0';
    invoke(RP_SDK_ANSWERS_MAX + 11, RP_SDK_ANSWERS_MAX + 11, "a");
    rp_worker_stats(desk.w, &stats);
    assert_int_equal(stats.answers_count, 1);
}

/* Answers to one origin that come in another order than its nums. */
static void test_answers_out_of_order_are_forgotten_too(void **state) {
    (void) state;
    connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    struct rp_worker_task *tasks[4];
    for (uint64_t num = 0; num < 4; num++) {
        invoke(num + 1, 1, "a");
        tasks[num] = desk.task;
    }
    struct rp_op_decided yes = {0};
    for (size_t i = 4; i-- > 0;) {
        assert_int_equal(rp_worker_decide(tasks[i], &yes), REPRISE_OK);
    }
    struct rp_worker_stats stats;
    desk.answers = true;
    invoke(5, 5, "a");
    rp_worker_stats(desk.w, &stats);
    assert_int_equal(stats.answers_count, 1);
}

static void test_a_task_outlives_its_worker(void **state) {
    connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    desk.keeps = true;
    invoke(1, 1, "a");
    struct rp_worker_task *held = desk.task;
    desk.keeps = false;
    SAY(ADMIT, admit, .origin = 77, .num = 2, .nsp = B("/"), .sid = B("s9"));
    struct rp_worker_task *left = desk.task;
    desk_teardown(state);
    struct rp_op_decided yes = {0};
    assert_int_equal(rp_worker_decide(left, &yes), REPRISE_E_GONE);
    assert_int_equal(rp_worker_decide(held, &yes), REPRISE_E_GONE);
    rp_worker_task_release(held);
    desk_setup(state);
}

/* ---- waiting ---- */

static void emit_for_acks(const char *owner, uint64_t session, uint64_t timeout_ms) {
    struct rp_op op = {.kind = RP_OP_EMIT, .emit = {.flags = RP_OP_EMIT_WANTS_ACK, .nsp = B("/")}};
    struct rp_worker_ask ask = {.has_wait = true,
                                .wait = RP_WORKER_WAIT_ACKS,
                                .session = session,
                                .timeout_ms = timeout_ms,
                                .owner = (void *) (uintptr_t) owner};
    assert_int_equal(rp_worker_ask(desk.w, &op, &ask), REPRISE_OK);
    listen();
}

static void test_acks_of_several(void **state) {
    (void) state;
    emit_for_acks("all", 0, 1000);
    SAY(DONE, done, .num = 1, .seq = 101, .replayed = 2);
    SAY(GOT_ACK, got_ack, .seq = 102, .num = 1, .session = 5, .sid = B("s5"), .args = B("[5]"));
    SAY(GOT_ACK, got_ack, .seq = 102, .num = 1, .session = 5, .sid = B("s5"), .args = B("[5]"));
    expect("stored all 101 of 2\nresponse all s5 [5]\n");
    SAY(GOT_ACK, got_ack, .seq = 103, .num = 1, .session = 6, .sid = B("s6"), .args = B("[6]"));
    SAY(GOT_ACK, got_ack, .seq = 104, .num = 1, .session = 7, .sid = B("s7"), .args = B("[7]"));
    expect("response all s6 [6]\nended all 0\n");
    emit_for_acks("none", 0, 1000);
    SAY(DONE, done, .num = 2, .seq = 105);
    expect("stored none 105 of 0\nended none 0\n");
}

static void test_acks_that_do_not_come(void **state) {
    (void) state;
    emit_for_acks("slow", 0, 1000);
    emit_for_acks("quick", 0, 200);
    emit_for_acks("never", 5, 0);
    for (uint64_t num = 1; num <= 3; num++) {
        SAY(DONE, done, .num = num, .seq = 100 + num, .replayed = 2);
    }
    SAY(GOT_ACK, got_ack, .seq = 110, .num = 1, .session = 6, .sid = B("s6"), .args = B("[6]"));
    desk.happened[0] = '\0';
    assert_true(rp_worker_deadline_ms(desk.w) <= desk.now_ms + 200);
    wait_ms(200);
    expect("ended quick -7\n");
    wait_ms(800);
    expect("ended slow -7\n");
    SAY(GOT_ACK, got_ack, .seq = 111, .num = 1, .session = 8, .args = B("[]"));
    wait_ms(60000);
    expect("");
    SAY(LEFT, left, .session = 5, .conn = 5, .ended = 1, .expired = 1, .nsp = B("/"),
        .sid = B("s5"));
    expect("expired s5 \nended never -6\n");
    struct rp_worker_stats stats;
    rp_worker_stats(desk.w, &stats);
    assert_int_equal(stats.waits_count, 0);
}

static void test_one_ack_comes_after_a_lost_link(void **state) {
    (void) state;
    emit_for_acks("one", 5, 0);
    lose_link();
    link_up(100);
    expect("link down\nlink up\n");
    SAY(DONE, done, .num = 1, .seq = 101);
    SAY(GOT_ACK, got_ack, .seq = 102, .num = 1, .session = 5, .sid = B("s5"), .args = B("[1]"));
    SAY(GOT_ACK, got_ack, .seq = 102, .num = 1, .session = 5, .sid = B("s5"), .args = B("[1]"));
    expect("stored one 101 of 0\nresponse one s5 [1]\nended one 0\n");
}

/* The end of a session is told to who has a link then. */
static void test_acks_of_sockets_that_are_elsewhere_end(void **state) {
    (void) state;
    static const char *const names[] = {"one", "two", "three", "four"};
    for (uint64_t i = 0; i < 4; i++) {
        char sid[] = {'s', (char) ('5' + i), 0};
        connect_socket(5 + i, 5 + i, sid, RP_OP_SOCKET_NEW);
        emit_for_acks(names[i], 5 + i, 0);
        SAY(DONE, done, .num = i + 1, .seq = 101 + i);
    }
    desk.happened[0] = '\0';
    SAY(RELEASE, release, .session = 5);
    SAY(RELEASE, release, .session = 6);
    SAY(RELEASE, release, .session = 7);
    SAY(LEFT, left, .session = 6, .conn = 6, .ended = 1, .nsp = B("/"), .sid = B("s6"));
    expect("released s5\nreleased s6\nreleased s7\nended two -6\n");
    wait_ms(RP_SDK_ACK_ELSEWHERE_MS);
    expect(""); /* for as long as it lasts */
    lose_link();
    link_up(200);
    SAY(VERDICT, verdict, .conn = 8, .verdict = RP_OP_UNKNOWN);
    SAY(GOT_ACK, got_ack, .seq = 201, .num = 3, .session = 7, .sid = B("s7"), .args = B("[1]"));
    expect("link down\nlink up\nleft s8 transport close\nresponse three s7 [1]\nended three 0\n");
    wait_ms(RP_SDK_ACK_ELSEWHERE_MS);
    expect("ended one -7\nended four -7\n");
}

static void test_deadlines_in_any_order(void **state) {
    (void) state;
    static const uint64_t timeouts_ms[] = {700, 100, 500, 300, 900, 200, 800, 400, 600};
    static const char *const names[] = {"7", "1", "5", "3", "9", "2", "8", "4", "6"};
    for (size_t i = 0; i < 9; i++) {
        emit_for_acks(names[i], 0, timeouts_ms[i]);
    }
    SAY(DONE, done, .num = 4, .seq = 101); /* "3" goes from the middle */
    expect("stored 3 101 of 0\nended 3 0\n");
    for (uint64_t ms = 100; ms <= 900; ms += 100) {
        char expected[32] = "";
        wait_ms(100);
        if (ms != 300) {
            snprintf(expected, sizeof expected, "ended %d -7\n", (int) (ms / 100));
        }
        expect(expected);
    }
}

static void fetch(const char *owner) {
    struct rp_op op = {.kind = RP_OP_FETCH, .fetch = {.nsp = B("/"), .room = B("r")}};
    struct rp_worker_ask ask = {
        .has_wait = true, .wait = RP_WORKER_WAIT_FETCH, .owner = (void *) (uintptr_t) owner};
    assert_int_equal(rp_worker_ask(desk.w, &op, &ask), REPRISE_OK);
    listen();
}

static void test_pages_of_sockets(void **state) {
    (void) state;
    fetch("f");
    assert_int_equal(heard(RP_OP_FETCH)->fetch.after, 0);
    SAY(RESULT, result, .num = 1, .json = B("{\"sockets\":[1],\"after\":7}"));
    const struct rp_op *op = heard(RP_OP_FETCH);
    assert_int_equal(op->fetch.num, 2);
    assert_int_equal(op->fetch.after, 7);
    assert_true(rp_bytes_eq(op->fetch.room, B("r")));
    lose_link(); /* the page is asked for once more */
    link_up(100);
    heard(RP_OP_SERVE);
    heard(RP_OP_SERVE);
    assert_int_equal(heard(RP_OP_FETCH)->fetch.num, 2);
    SAY(RESULT, result, .num = 2, .json = B("{\"sockets\":[2]}"));
    expect("response f  {\"sockets\":[1],\"after\":7}\nlink down\nlink up\n"
           "response f  {\"sockets\":[2]}\nended f 0\n");
    fetch("g"); /* a broker that goes in circles is not followed */
    SAY(RESULT, result, .num = 3, .json = B("{\"after\":0}"));
    SAY(RESULT, result, .num = 3, .json = B("{\"after\":0}"));
    expect("response g  {\"after\":0}\nended g 0\n");
    fetch("h");
    SAY(FAILED, failed, .num = 4, .code = B("bad_args"), .message = B("m"));
    expect("failed bad_args\nended h -11\n");
}

/* ---- the broker stops ---- */

/* The link is gone at once; sockets, requests and answers are not, and the next link resumes. */
static void test_a_broker_that_stops_is_left_and_waited_for(void **state) {
    (void) state;
    desk.answers = true;
    connect_socket(5, 5, "s5", RP_OP_SOCKET_NEW);
    invoke(1, 1, "a");
    fetch("f");
    expect("socket s5 0\ninvoke a []\n");
    SAY(REFUSED, refused, .code = B("stopping"), .message = B("m"));
    expect("link down\n");
    assert_string_equal(rp_worker_notice(desk.w),
                        "the link to the broker is lost: the broker has been stopped");
    assert_int_equal(rp_worker_deadline_ms(desk.w), desk.now_ms); /* to be closed at once */
    assert_int_equal(rp_worker_need(desk.w, desk.now_ms), RP_WORKER_NEED_CLOSE);
    SAY(RESULT, result, .num = 1, .json = B("{}")); /* behind the last word: not heard */
    expect("");
    desk.now_ms += RP_SDK_RETRY_MS;
    link_up(100);
    heard(RP_OP_SERVE);
    heard(RP_OP_SERVE);
    assert_int_equal(heard(RP_OP_SESSION)->session.session, 5);
    assert_int_equal(heard(RP_OP_FETCH)->fetch.num, 1);
    heard(RP_OP_RESUMED);
    invoke(1, 1, "a"); /* its answer may not have come through */
    assert_int_equal(heard(RP_OP_DECIDED)->decided.num, 1);
    SAY(RESULT, result, .num = 1, .json = B("{}"));
    expect("link up\nresponse f  {}\nended f 0\n");
}

/* Whoever says goodbye when the broker does so has parted. */
static void test_a_worker_that_leaves_a_broker_that_stops_has_parted(void **state) {
    (void) state;
    rp_worker_bye(desk.w);
    assert_false(rp_worker_is_parted(desk.w));
    SAY(REFUSED, refused, .code = B("stopping"), .message = B("m"));
    assert_true(rp_worker_is_parted(desk.w));
    assert_int_equal(rp_worker_need(desk.w, desk.now_ms), RP_WORKER_NEED_CLOSE);
    assert_int_equal(rp_worker_need(desk.w, desk.now_ms + 100000), RP_WORKER_NEED_NONE);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, desk_setup, desk_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_socket_comes_and_goes),
        TEST(test_a_session_expires),
        TEST(test_a_takeover_ends_the_old_connection_first),
        TEST(test_adopted_released_and_verdicts),
        TEST(test_a_handle_outlives_its_worker),
        TEST(test_joining_is_noted_at_once_and_undone),
        TEST(test_an_answer_is_repeated_and_the_task_is_not),
        TEST(test_a_task_under_way_is_not_a_second_one),
        TEST(test_a_task_that_is_left_is_kept),
        TEST(test_not_its_socket),
        TEST(test_an_event_of_a_client_that_is_gone_is_handled),
        TEST(test_admit_check_and_side_events),
        TEST(test_an_answer_to_a_worker_of_an_earlier_link_is_not_sent),
        TEST(test_tasks_are_bounded),
        TEST(test_answers_are_bounded),
        TEST(test_answers_out_of_order_are_forgotten_too),
        TEST(test_a_task_outlives_its_worker),
        TEST(test_acks_of_several),
        TEST(test_acks_that_do_not_come),
        TEST(test_one_ack_comes_after_a_lost_link),
        TEST(test_acks_of_sockets_that_are_elsewhere_end),
        TEST(test_deadlines_in_any_order),
        TEST(test_pages_of_sockets),
        TEST(test_a_broker_that_stops_is_left_and_waited_for),
        TEST(test_a_worker_that_leaves_a_broker_that_stops_has_parted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
