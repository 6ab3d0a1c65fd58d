/* tests/unit/test_core_app.c — broker/task, broker/commit, broker/request: what a client may in a
 * namespace of app workers, and what gateways are told of rooms that workers change. */
#include "broker/state.h"
#include "tests/unit/core_fixture.h"

enum { GATEWAY = 1, WORKER = 2, OTHER_GATEWAY = 3 };

static void worker_up(uint64_t flags) {
    send(WORKER, (struct rp_op){.kind = RP_OP_HELLO,
                                .hello = {.version = RP_PROTOCOL_VERSION,
                                          .name = RP_BYTES_LIT("worker"),
                                          .incarnation = 77,
                                          .role = RP_OP_WORKER}});
    send(WORKER,
         (struct rp_op){.kind = RP_OP_SERVE, .serve = {.nsp = RP_BYTES_LIT("/"), .flags = flags}});
    resumed(WORKER);
    run();
    next(WORKER, RP_OP_WELCOME);
    next(WORKER, RP_OP_SERVED);
    nothing_more(WORKER);
}

static struct rp_op admitted(enum rp_op_decision verdict, const char *code) {
    run();
    struct rp_op_admit admit = next(WORKER, RP_OP_ADMIT).admit;
    send(WORKER, (struct rp_op){.kind = RP_OP_DECIDED,
                                .decided = {.origin = admit.origin,
                                            .num = admit.num,
                                            .verdict = verdict,
                                            .code = rp_bytes_str(code),
                                            .message = RP_BYTES_LIT("why")}});
    run();
    return (struct rp_op){0};
}

/* Its MEMBERs and its SOCKET are taken. */
static struct member connect_app(uint64_t link_id, const char *sid, unsigned pid) {
    uint64_t num = bench.next_num++;
    send(link_id, (struct rp_op){.kind = RP_OP_CONNECT,
                                 .connect = {.num = num,
                                             .nsp = RP_BYTES_LIT("/"),
                                             .sid = rp_bytes_str(sid),
                                             .pid_hash = pid_hash(pid),
                                             .listed = 1}});
    admitted(RP_OP_YES, "");
    struct rp_op_connected got = next(link_id, RP_OP_CONNECTED).connected;
    next(link_id, RP_OP_MEMBER);
    next(link_id, RP_OP_MEMBER);
    next(WORKER, RP_OP_SOCKET);
    return (struct member){link_id, got.session, got.conn};
}

static uint64_t move(const char *who, const char *target, bool leave) {
    uint64_t num = bench.next_num++;
    send(WORKER, (struct rp_op){.kind = RP_OP_MOVE,
                                .move = {.num = num,
                                         .leave = leave,
                                         .nsp = RP_BYTES_LIT("/"),
                                         .room = rp_bytes_str(who),
                                         .target = rp_bytes_str(target)}});
    return num;
}

static void expect_member(struct member m, const char *room, bool joined) {
    struct rp_op_member got = next(m.link_id, RP_OP_MEMBER).member;
    assert_int_equal(got.conn, m.conn);
    assert_int_equal(got.joined, joined);
    assert_text(got.room, room);
}

/* Between the SERVE record and the end of its connection a session that no worker has admitted
 * could have published to those that were. */
static void test_who_was_there_before_the_workers_may_nothing(void **state) {
    (void) state;
    link_up(GATEWAY, 11);
    struct member m = connect_new(GATEWAY, 1);
    worker_up(RP_OP_ROOMS_ON);
    next(GATEWAY, RP_OP_EVICT);
    uint64_t num = ask_publish(m, "a", "[1]");
    assert_int_equal(ask_join(m, "a"), num + 1);
    run();
    assert_failed(GATEWAY, num, "superseded");
    assert_failed(GATEWAY, num + 1, "superseded");
    assert_int_equal(count_records(RP_RECORD_EVENT), 0);
}

/* A CONNECT_ERROR is final: the client would not come back. */
static void test_a_worker_with_too_much_to_do_refuses_nobody(void **state) {
    (void) state;
    link_up(GATEWAY, 11);
    worker_up(0);
    uint64_t num = ask_connect(GATEWAY, 1, 0, "");
    admitted(RP_OP_NO, "overloaded");
    assert_failed(GATEWAY, num, "unavailable");
    num = ask_connect(GATEWAY, 2, 0, "");
    admitted(RP_OP_DISOWNED, "");
    assert_failed(GATEWAY, num, "unavailable");
    num = ask_connect(GATEWAY, 3, 0, "");
    admitted(RP_OP_NO, "refused");
    assert_failed(GATEWAY, num, "refused");
}

static void test_own_rooms_are_nobody_elses(void **state) {
    (void) state;
    link_up(GATEWAY, 11);
    worker_up(RP_OP_ROOMS_ON);
    struct member a = connect_app(GATEWAY, "aaaa", 1), b = connect_app(GATEWAY, "bbbb", 2);
    uint64_t num = ask_join(b, "aaaa");
    run();
    assert_failed(GATEWAY, num, "bad_room");
    num = ask_join(a, "aaaa"); /* it is in it */
    run();
    assert_done(GATEWAY, num);
    num = bench.next_num++; /* nor is it left … */
    send(GATEWAY, (struct rp_op){.kind = RP_OP_LEAVE,
                                 .leave = {.num = num,
                                           .session = a.session,
                                           .conn = a.conn,
                                           .room = RP_BYTES_LIT("aaaa")}});
    run();
    assert_failed(GATEWAY, num, "bad_room");
    num = bench.next_num++; /* … or written to by others */
    send(GATEWAY, (struct rp_op){.kind = RP_OP_PUBLISH,
                                 .publish = {.num = num,
                                             .session = b.session,
                                             .conn = b.conn,
                                             .room = RP_BYTES_LIT("aaaa"),
                                             .name = RP_BYTES_LIT("x"),
                                             .args = RP_BYTES_LIT("[]")}});
    run();
    assert_failed(GATEWAY, num, "bad_room");
    /* … also after a restart */
    bench_restart();
    hello(GATEWAY, 11, EPOCH, rp_core_stats(bench.core)->head);
    list_session(a);
    list_session(b);
    resumed(GATEWAY);
    run();
    forget(&bench.received);
    num = ask_join(b, "aaaa");
    run();
    assert_failed(GATEWAY, num, "bad_room");
}

static void test_only_gateways_of_moved_sockets_are_told(void **state) {
    (void) state;
    link_up(GATEWAY, 11);
    link_up(OTHER_GATEWAY, 12);
    worker_up(0);
    struct member a = connect_app(GATEWAY, "aaaa", 1), b = connect_app(OTHER_GATEWAY, "bbbb", 2);
    move("aaaa", "room", false);
    run();
    expect_member(a, "room", true);
    nothing_more(OTHER_GATEWAY);
    move("", "room", false);
    run();
    expect_member(b, "room", true);
    nothing_more(GATEWAY); /* it was in it */
    move("", "room", true);
    run();
    expect_member(a, "room", false);
    expect_member(b, "room", false);
    move("", "room", true);
    run();
    nothing_more(GATEWAY);
}

static void resume_at(uint64_t seen, struct member a, struct member b) {
    hello(GATEWAY, 11, EPOCH, seen);
    list_session(a);
    list_session(b);
    resumed(GATEWAY);
    run();
    next(GATEWAY, RP_OP_WELCOME);
    for (size_t i = 0; i < 2; i++) {
        next(GATEWAY, RP_OP_VERDICT);
        next(GATEWAY, RP_OP_MEMBER);
        next(GATEWAY, RP_OP_MEMBER);
    }
}

/* The link may end between the MEMBERs of one record, and `seen` does not tell. */
static void test_a_move_is_told_again_at_the_very_seq(void **state) {
    (void) state;
    link_up(GATEWAY, 11);
    worker_up(0);
    struct member a = connect_app(GATEWAY, "aaaa", 1), b = connect_app(GATEWAY, "bbbb", 2);
    move("", "room", false);
    run();
    move("", "room", true);
    run();
    forget(&bench.received);
    lose_link(GATEWAY);
    resume_at(rp_core_stats(bench.core)->head, a, b);
    struct rp_op_member first = next(GATEWAY, RP_OP_MEMBER).member;
    struct rp_op_member second = next(GATEWAY, RP_OP_MEMBER).member;
    assert_int_equal(first.joined + second.joined, 0);
    assert_int_equal(first.conn + second.conn, a.conn + b.conn);
    nothing_more(GATEWAY);
}

/* A gateway that was behind is told of a socket that was moved alone, and of no other. */
static void test_moves_while_the_link_was_away(void **state) {
    (void) state;
    link_up(GATEWAY, 11);
    worker_up(0);
    struct member a = connect_app(GATEWAY, "aaaa", 1), b = connect_app(GATEWAY, "bbbb", 2);
    uint64_t seen = rp_core_stats(bench.core)->head;
    lose_link(GATEWAY);
    move("aaaa", "room", false);
    run();
    move("", "room", true);
    run();
    resume_at(seen, a, b);
    expect_member(a, "room", true);
    expect_member(a, "room", false);
    nothing_more(GATEWAY);
}

/* The answer to its CONNECT was lost with the link, so the gateway cannot list it. What came to a
 * room that a worker moved it into, and out of, comes all the same. */
static void test_a_socket_that_its_gateway_has_yet_to_hear_of_is_moved(void **state) {
    (void) state;
    link_up(GATEWAY, 11);
    worker_up(0);
    uint64_t seen = rp_core_stats(bench.core)->head;
    struct member a = connect_app(GATEWAY, "aaaa", 1);
    lose_link(GATEWAY);
    move("aaaa", "room", false);
    run();
    send(WORKER, (struct rp_op){.kind = RP_OP_EMIT,
                                .emit = {.num = bench.next_num++,
                                         .nsp = RP_BYTES_LIT("/"),
                                         .room = RP_BYTES_LIT("room"),
                                         .name = RP_BYTES_LIT("x"),
                                         .args = RP_BYTES_LIT("[1]")}});
    run();
    move("aaaa", "room", true);
    run();
    hello(GATEWAY, 11, EPOCH, seen);
    resumed(GATEWAY);
    run();
    next(GATEWAY, RP_OP_WELCOME);
    assert_int_equal(next(GATEWAY, RP_OP_CONNECTED).connected.conn, a.conn);
    next(GATEWAY, RP_OP_MEMBER);
    next(GATEWAY, RP_OP_MEMBER);
    expect_member(a, "room", true);
    assert_text(next(GATEWAY, RP_OP_DELIVER).deliver.room, "room");
    expect_member(a, "room", false);
    nothing_more(GATEWAY);
}

/* So many that the first are forgotten: nobody could tell its client of the hole. */
static void test_a_socket_yet_to_be_heard_of_was_in_too_many_rooms(void **state) {
    (void) state;
    link_up(GATEWAY, 11);
    worker_up(0);
    uint64_t seen = rp_core_stats(bench.core)->head;
    connect_app(GATEWAY, "aaaa", 1);
    lose_link(GATEWAY);
    for (size_t i = 0; i < RP_SESSION_INTERVALS_MAX + 1; i++) {
        move("aaaa", "room", false);
        run();
        move("aaaa", "room", true);
        run();
    }
    forget(&bench.received);
    hello(GATEWAY, 11, EPOCH, seen);
    resumed(GATEWAY);
    run();
    next(GATEWAY, RP_OP_RESET);
    nothing_more(GATEWAY);
}

/* What is not replayed any more is a hole, of which the client is told. */
static void test_forgotten_acks_are_no_recovery(void **state) {
    (void) state;
    link_up(GATEWAY, 11);
    worker_up(0);
    struct member a = connect_app(GATEWAY, "aaaa", 1);
    struct rp_session *session = rp_sessions_find(&bench.core->sessions, a.session);
    uint64_t head = rp_core_stats(bench.core)->head;
    for (uint64_t i = 1; i <= RP_SESSION_UNACKED_MAX; i++) {
        assert_true(rp_session_owe(session, &(struct rp_owed){.seq = head + i}));
    }
    assert_int_equal(session->floor_seq, 0);
    assert_false(rp_session_owe(session, &(struct rp_owed){.seq = head + 5000}));
    assert_int_equal(session->floor_seq, head + 1);
    char offset[40];
    snprintf(offset, sizeof offset, "%llu-epoc", (unsigned long long) head);
    ask_connect(GATEWAY, 9, 1, offset);
    admitted(RP_OP_YES, "");
    assert_int_equal(next(GATEWAY, RP_OP_CONNECTED).connected.recovered, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_who_was_there_before_the_workers_may_nothing),
        BENCH_TEST(test_a_worker_with_too_much_to_do_refuses_nobody),
        BENCH_TEST(test_own_rooms_are_nobody_elses),
        BENCH_TEST(test_only_gateways_of_moved_sockets_are_told),
        BENCH_TEST(test_a_move_is_told_again_at_the_very_seq),
        BENCH_TEST(test_moves_while_the_link_was_away),
        BENCH_TEST(test_a_socket_that_its_gateway_has_yet_to_hear_of_is_moved),
        BENCH_TEST(test_a_socket_yet_to_be_heard_of_was_in_too_many_rooms),
        BENCH_TEST(test_forgotten_acks_are_no_recovery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
