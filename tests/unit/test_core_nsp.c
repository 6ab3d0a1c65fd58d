/* tests/unit/test_core_nsp.c — a room of one namespace is not the room of that name in another:
 * nothing of it is seen there, on whatever way an event takes. */
#include "tests/unit/core_fixture.h"

/* A member of x in each of two namespaces, at two gateways. a: 1, b: 2, their joins: 3, 4. */
struct pair {
    struct member a, b;
};

static struct pair two_of_x(void) {
    link_up(1, 5);
    link_up(2, 6);
    struct pair two = {connect_in(1, "/a", 1), connect_in(2, "/b", 2)};
    join(two.a, "x");
    join(two.b, "x");
    return two;
}

/* An event in x of the member's namespace, which its own gateway is told. */
static uint64_t publish_here(struct member m, const char *nsp, const char *args) {
    uint64_t num = ask_publish(m, "x", args);
    run();
    struct rp_op deliver = next(m.link_id, RP_OP_DELIVER);
    assert_text(deliver.deliver.nsp, nsp);
    assert_text(deliver.deliver.args, args);
    uint64_t seq = assert_done(m.link_id, num);
    assert_int_equal(deliver.deliver.seq, seq);
    nothing_more(1);
    nothing_more(2);
    return seq;
}

/* "a1 b2": events in order, by the first letter of their namespace. */
static void publish_story(struct pair two, const char *story) {
    for (; *story != '\0'; story++) {
        bool in_a = *story == 'a';
        publish_here(in_a ? two.a : two.b, in_a ? "/a" : "/b", in_a ? "[\"a\"]" : "[\"b\"]");
    }
}

static void with_and_without_tail(void **state, void (*test)(void)) {
    test();
    bench_teardown(state);
    bench_setup(state);
    bench.config.tail_records_max = 3;
    bench_reconfigure();
    test();
}

static size_t count_of(struct rp_bytes text, const char *what) {
    size_t count = 0, len = strlen(what);
    for (size_t i = 0; i + len <= text.len; i++) {
        count += memcmp(text.data + i, what, len) == 0;
    }
    return count;
}

/* ---- live ---- */

static void test_an_event_reaches_its_namespace_alone(void **state) {
    (void) state;
    struct pair two = two_of_x();
    publish_story(two, "abba");
    struct member same_gateway = connect_in(1, "/b", 3);
    join(same_gateway, "x");
    uint64_t num = ask_publish(two.b, "x", "[7]");
    run();
    assert_text(next(1, RP_OP_DELIVER).deliver.nsp, "/b");
    assert_text(next(2, RP_OP_DELIVER).deliver.nsp, "/b");
    assert_done(2, num);
    publish_here(two.a, "/a", "[8]");
}

static void test_a_volatile_event_reaches_its_namespace_alone(void **state) {
    (void) state;
    struct pair two = two_of_x();
    struct rp_op op = publish_op(two.b, "x", "[1]");
    op.publish.flags = RP_OP_PUBLISH_VOLATILE;
    send(2, op);
    run();
    struct rp_op deliver = next(2, RP_OP_DELIVER);
    assert_int_equal(deliver.deliver.is_volatile, 1);
    assert_text(deliver.deliver.nsp, "/b");
    assert_int_equal(assert_done(2, op.publish.num), 0);
    nothing_more(1);
}

/* The link was lost, and catches up: the same as live. */
static void test_a_link_that_resumes_gets_its_namespaces_alone(void **state) {
    (void) state;
    struct pair two = two_of_x();
    lose_link(1);
    run();
    assert_int_equal(next(2, RP_OP_LOST).lost.incarnation, 5);
    publish_here(two.b, "/b", "[\"b\"]");
    hello(3, 5, EPOCH, 4);
    two.a.link_id = 3;
    list_session(two.a);
    resumed(3);
    run();
    next(3, RP_OP_WELCOME);
    next(3, RP_OP_VERDICT);
    assert_text(next(3, RP_OP_MEMBER).member.room, "x");
    nothing_more(3);
}

static void test_after_a_restart_rooms_are_where_they_were(void **state) {
    (void) state;
    struct pair two = two_of_x();
    bench_restart();
    struct member *both[] = {&two.a, &two.b};
    for (uint64_t i = 0; i < 2; i++) {
        hello(i + 1, i + 5, EPOCH, 4);
        list_session(*both[i]);
        resumed(i + 1);
        run();
        next(i + 1, RP_OP_WELCOME);
        next(i + 1, RP_OP_VERDICT);
        next(i + 1, RP_OP_MEMBER);
    }
    run();
    forget(&bench.received); /* an answer at `seen`, perhaps */
    publish_story(two, "ab");
}

/* ---- later ---- */

static void history_is_of_one_namespace(void) {
    struct pair two = two_of_x();
    publish_story(two, "aabbbab");
    static const uint64_t sinces[] = {UINT64_MAX, 0};
    for (size_t i = 0; i < COUNT(sinces); i++) {
        struct rp_bytes json = read_history(two.a, "x", sinces[i], 1000);
        assert_int_equal(count_of(json, "[\"a\"]"), 3);
        assert_int_equal(count_of(json, "[\"b\"]"), 0);
        json = read_history(two.b, "x", sinces[i], 1000);
        assert_int_equal(count_of(json, "[\"a\"]"), 0);
        assert_int_equal(count_of(json, "[\"b\"]"), 4);
    }
}

static void test_history_is_of_one_namespace(void **state) {
    with_and_without_tail(state, history_is_of_one_namespace);
}

/* Takes REPLAYs off a link; all must have these arguments. */
static void expect_replays(uint64_t link_id, size_t count, const char *args) {
    for (size_t i = 0; i < count; i++) {
        assert_text(next(link_id, RP_OP_REPLAY).replay.args, args);
    }
}

static void a_join_since_is_of_one_namespace(void) {
    struct pair two = two_of_x();
    publish_story(two, "babba");
    struct member late = connect_in(1, "/b", 3);
    uint64_t num = ask_join_since(late, "x", 0, 1000);
    run();
    next(1, RP_OP_JOINED);
    next(1, RP_OP_MEMBER);
    next(1, RP_OP_HOLD);
    expect_replays(1, 3, "[\"b\"]");
    struct rp_op done = next(1, RP_OP_DONE);
    assert_int_equal(done.done.num, num);
    assert_int_equal(done.done.replayed, 3);
    assert_int_equal(done.done.truncated, 0);
    next(1, RP_OP_LIVE);
    nothing_more(1);
}

static void test_a_join_since_is_of_one_namespace(void **state) {
    with_and_without_tail(state, a_join_since_is_of_one_namespace);
}

static void leave_for_a_while(struct member m) {
    uint64_t num = bench.next_num++;
    send(m.link_id, (struct rp_op){.kind = RP_OP_CLOSE,
                                   .close = {.num = num, .session = m.session, .conn = m.conn}});
    run();
    assert_done(m.link_id, num);
}

static void recovery_is_of_one_namespace(void) {
    struct pair two = two_of_x();
    struct member here = connect_in(1, "/a", 3); /* its events come while two.a is away */
    join(here, "x");
    leave_for_a_while(two.a);
    two.a = here;
    publish_story(two, "bbabab");
    ask_connect_in(2, "/a", 4, 1, "");
    run();
    struct rp_op connected = next(2, RP_OP_CONNECTED);
    assert_int_equal(connected.connected.recovered, 1);
    assert_text(next(2, RP_OP_MEMBER).member.room, "x");
    expect_replays(2, 2, "[\"a\"]");
    next(2, RP_OP_LIVE);
    nothing_more(2);
}

static void test_recovery_is_of_one_namespace(void **state) {
    with_and_without_tail(state, recovery_is_of_one_namespace);
}

/* A pid is a session's of its own namespace and nobody's elsewhere. */
static void test_a_pid_of_another_namespace_is_no_session(void **state) {
    (void) state;
    struct pair two = two_of_x();
    ask_connect_in(2, "/b", 3, 1, "");
    run();
    struct rp_op connected = next(2, RP_OP_CONNECTED);
    assert_int_equal(connected.connected.recovered, 0);
    assert_int_equal(connected.connected.session, connected.connected.conn);
    nothing_more(1); /* nobody was evicted */
    publish_story(two, "ab");
    nothing_more(2);
}

static void test_presence_is_of_one_namespace(void **state) {
    (void) state;
    struct pair two = two_of_x();
    join(connect_in(1, "/b", 3), "x");
    const struct member asking[] = {two.a, two.b};
    for (size_t i = 0; i < COUNT(asking); i++) {
        send(asking[i].link_id, (struct rp_op){.kind = RP_OP_PRESENCE,
                                               .presence = {.num = bench.next_num++,
                                                            .session = asking[i].session,
                                                            .conn = asking[i].conn,
                                                            .room = RP_BYTES_LIT("x")}});
        run();
        struct rp_op got = next(asking[i].link_id, RP_OP_RESULT);
        assert_int_equal(count_of(got.result.json, "{\"sid\""), i + 1);
    }
}

/* ---- ids, retention ---- */

static void test_a_publish_id_is_of_one_namespace(void **state) {
    (void) state;
    struct pair two = two_of_x();
    const struct member publishers[] = {two.a, two.b, two.a, two.b};
    for (size_t i = 0; i < COUNT(publishers); i++) {
        struct rp_op op = publish_op(publishers[i], "y", "[1]");
        op.publish.id = RP_BYTES_LIT("k");
        send(publishers[i].link_id, op);
        run();
        struct rp_op done = next(publishers[i].link_id, RP_OP_DONE);
        assert_int_equal(done.done.duplicate, i >= 2);
        assert_int_equal(done.done.seq, 5 + i % 2);
    }
}

/* What x lost in one namespace is not missing in the other. */
static void test_retention_in_one_namespace_is_not_felt_in_another(void **state) {
    (void) state;
    bench.config.tail_records_max = 2;
    bench.retain_events = 6;
    bench_reconfigure();
    struct pair two = two_of_x();
    publish_story(two, "bbbbbbbbbbbb");
    trim();
    assert_true(rp_core_stats(bench.core)->first > 5);
    publish_story(two, "aaa");
    struct rp_bytes json = read_history(two.b, "x", 0, 1000);
    assert_int_equal(count_of(json, "\"truncated\":true"), 1);
    json = read_history(two.a, "x", 0, 1000);
    assert_int_equal(count_of(json, "\"truncated\":false"), 1);
    assert_int_equal(count_of(json, "[\"a\"]"), 3);
    leave_for_a_while(two.a);
    ask_connect_in(1, "/a", 3, 1, "");
    run();
    struct rp_op back = next(1, RP_OP_CONNECTED);
    assert_int_equal(back.connected.recovered, 1);
    forget(&bench.received);
    /* and once it has lost events itself, both have */
    two.a = (struct member){1, back.connected.session, back.connected.conn};
    publish_story(two, "aaaaaaaaaaaa");
    trim();
    assert_int_equal(count_of(read_history(two.a, "x", 0, 1000), "\"truncated\":true"), 1);
    assert_int_equal(count_of(read_history(two.b, "x", 0, 1000), "\"truncated\":true"), 1);
}

/* ---- a session that ends while its question waits ---- */

/* Then nobody knows any more which namespace was meant: nothing is read, of any. */
static void test_a_question_of_an_ended_session_is_not_answered_from_elsewhere(void **state) {
    (void) state;
    bench.config.tail_records_max = 1;
    bench_reconfigure();
    link_up(1, 5);
    struct member root = connect_new(1, 1), m = connect_in(1, "/a", 2);
    publish(root, "x", "[\"secret\"]");
    publish(root, "y", "[1]");
    uint64_t first = bench.next_num;
    for (size_t i = 0; i <= RP_READS_MAX; i++) { /* one more than the engine takes */
        send(1, (struct rp_op){.kind = RP_OP_HISTORY,
                               .history = {.num = bench.next_num++,
                                           .session = m.session,
                                           .conn = m.conn,
                                           .room = RP_BYTES_LIT("x"),
                                           .before = UINT64_MAX,
                                           .limit = 10}});
    }
    uint64_t close_num = bench.next_num++;
    send(1, (struct rp_op){
                .kind = RP_OP_CLOSE,
                .close = {.num = close_num, .session = m.session, .conn = m.conn, .ended = 1}});
    run();
    assert_done(1, close_num);
    for (size_t i = 0; i < RP_READS_MAX; i++) {
        struct rp_op got = next(1, RP_OP_RESULT);
        assert_int_equal(got.result.num, first + i);
        assert_int_equal(count_of(got.result.json, "secret"), 0);
    }
    assert_failed(1, first + RP_READS_MAX, "superseded");
    nothing_more(1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_an_event_reaches_its_namespace_alone),
        BENCH_TEST(test_a_volatile_event_reaches_its_namespace_alone),
        BENCH_TEST(test_a_link_that_resumes_gets_its_namespaces_alone),
        BENCH_TEST(test_after_a_restart_rooms_are_where_they_were),
        BENCH_TEST(test_history_is_of_one_namespace),
        BENCH_TEST(test_a_join_since_is_of_one_namespace),
        BENCH_TEST(test_recovery_is_of_one_namespace),
        BENCH_TEST(test_a_pid_of_another_namespace_is_no_session),
        BENCH_TEST(test_presence_is_of_one_namespace),
        BENCH_TEST(test_a_publish_id_is_of_one_namespace),
        BENCH_TEST(test_retention_in_one_namespace_is_not_felt_in_another),
        BENCH_TEST(test_a_question_of_an_ended_session_is_not_answered_from_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
