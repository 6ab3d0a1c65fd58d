/* tests/unit/test_core_worker.c — broker/worker, policy, greet: what app workers serve, and which
 * sockets are whose, through lost links, goodbyes and restarts. */
#include "tests/unit/worker_fixture.h"

/* ---- SERVE ---- */

static void test_a_namespace_is_served_when_the_log_has_it(void **state) {
    (void) state;
    bench.apps = true;
    hello(GATEWAY, 101, rp_bytes(NULL, 0), 0);
    resumed(GATEWAY);
    run();
    next(GATEWAY, RP_OP_WELCOME);
    assert_int_equal(next(GATEWAY, RP_OP_APPS).apps.count, 0);
    worker_hello(WORKER, 111, rp_bytes(NULL, 0), 0);
    serve(WORKER, "/", 0);
    resumed(WORKER);
    turn();
    next(WORKER, RP_OP_WELCOME);
    nothing_more(WORKER); /* nor APPS */
    run();
    assert_int_equal(next(WORKER, RP_OP_SERVED).served.workers, 1);
    assert_int_equal(next(GATEWAY, RP_OP_APPS).apps.count, 1);
    assert_int_equal(count_records(RP_RECORD_SERVE), 1);
    bench_restart();
    hello(GATEWAY, 101, EPOCH, 1);
    run();
    next(GATEWAY, RP_OP_WELCOME);
    assert_int_equal(next(GATEWAY, RP_OP_APPS).apps.count, 1);
    worker_hello(WORKER, 111, EPOCH, 1);
    serve(WORKER, "/", 0);
    resumed(WORKER);
    turn();
    next(WORKER, RP_OP_WELCOME);
    next(WORKER, RP_OP_SERVED); /* known already */
    run();
    assert_int_equal(count_records(RP_RECORD_SERVE), 1);
}

/* Changed flags are a record too, and SERVED waits for it. */
static void test_the_newest_flags_count(void **state) {
    (void) state;
    worker_up(WORKER, "/", 0);
    worker_hello(WORKER2, 112, rp_bytes(NULL, 0), 0);
    serve(WORKER2, "/", RP_OP_DURABLE);
    resumed(WORKER2);
    turn();
    next(WORKER2, RP_OP_WELCOME);
    nothing_more(WORKER2);
    run();
    assert_int_equal(next(WORKER2, RP_OP_SERVED).served.workers, 2);
    assert_int_equal(count_records(RP_RECORD_SERVE), 2);
    assert_int_equal(rp_policy_of(&bench.core->policies, RP_BYTES_LIT("/"))->flags,
                     RP_RECORD_DURABLE);
}

static void test_a_serve_that_the_log_refuses_is_tried_again(void **state) {
    (void) state;
    worker_hello(WORKER, 111, rp_bytes(NULL, 0), 0);
    serve(WORKER, "/", 0);
    resumed(WORKER);
    rp_engine_memory_refuse(bench.engine, 1);
    run();
    next(WORKER, RP_OP_WELCOME);
    assert_text(next(WORKER, RP_OP_REFUSED).refused.code, "busy");
    worker_up(WORKER, "/", 0);
}

static uint64_t admitted_by(const char *nsp) {
    struct rp_op op = connect_op(nsp, 7, 0);
    send(GATEWAY, op);
    run();
    uint64_t link_id = count_received(WORKER, RP_OP_ADMIT) > 0 ? WORKER : WORKER2;
    struct rp_op admit = next(link_id, RP_OP_ADMIT);
    decide(link_id, admit.admit.origin, admit.admit.num, RP_OP_NO, "");
    run();
    assert_failed(GATEWAY, op.connect.num, "refused");
    return link_id;
}

static void test_the_closest_policy_wins(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    worker_up(WORKER, "/a*", RP_OP_PATTERN);
    worker_up(WORKER2, "/ab*", RP_OP_PATTERN);
    assert_int_equal(admitted_by("/ax"), WORKER);
    assert_int_equal(admitted_by("/abx"), WORKER2);
    worker_up(13, "/abc", 0);
    struct rp_op op = connect_op("/abc", 8, 0);
    send(GATEWAY, op);
    run();
    next(13, RP_OP_ADMIT);
    op = connect_op("/b", 9, 0);
    op.connect.listed = 1;
    send(GATEWAY, op); /* nobody's: a plain one */
    run();
    assert_int_equal(next(GATEWAY, RP_OP_CONNECTED).connected.app, 0);
    op = connect_op("/b", 10, 0);
    send(GATEWAY, op);
    run();
    assert_failed(GATEWAY, op.connect.num, "invalid_namespace");
}

/* Sockets that were served by way of a pattern go to who serves their namespace by name. */
static void test_a_closer_policy_takes_over(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    worker_up(WORKER, "/a*", RP_OP_PATTERN | RP_OP_DURABLE);
    struct member m = connect_app(GATEWAY, WORKER, "/ab", 1);
    struct rp_op event = ask_event(m, "[1]");
    take_invoke(WORKER, event.event.num, false);
    pass_ms(bench.config.worker_timeout_ms); /* since the start: by now all would have listed */
    worker_up(WORKER2, "/ab", RP_OP_DURABLE);
    assert_int_equal(next(WORKER, RP_OP_RELEASE).release.session, m.session);
    assert_int_equal(next(WORKER2, RP_OP_SOCKET).socket.why, RP_OP_SOCKET_ADOPTED);
    take_invoke(WORKER2, event.event.num, true);
    nothing_more(GATEWAY);
}

static void test_what_cannot_be_served_is_refused(void **state) {
    (void) state;
    static const char *const bad[] = {"", "x", "/a,b"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        worker_hello(WORKER, 111, rp_bytes(NULL, 0), 0);
        serve(WORKER, bad[i], i == 2 ? RP_OP_PATTERN : 0);
        run();
        assert_text(next(WORKER, RP_OP_REFUSED).refused.code, "namespace");
        forget(&bench.received);
    }
    worker_hello(WORKER, 111, rp_bytes(NULL, 0), 0);
    for (int i = 0; i <= RP_WORKER_NAMESPACES_MAX; i++) {
        char nsp[16];
        snprintf(nsp, sizeof nsp, "/%d", i);
        serve(WORKER, nsp, 0);
    }
    run();
    assert_text(next(WORKER, RP_OP_REFUSED).refused.code, "full");
}

static void test_an_incarnation_with_sockets_is_no_worker(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    connect_new(GATEWAY, 1);
    bench_restart();
    worker_hello(WORKER, 101, rp_bytes(NULL, 0), 0);
    run();
    assert_text(next(WORKER, RP_OP_REFUSED).refused.code, "incarnation");
}

/* ---- kinds of namespaces ---- */

static void test_sessions_of_another_kind_are_closed_and_not_resumed(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    struct member plain = connect_new(GATEWAY, 1);
    worker_up(WORKER, "/", 0);
    assert_int_equal(next(GATEWAY, RP_OP_EVICT).evict.conn, plain.conn);
    close_socket(plain, false, "");
    struct rp_op op = connect_op("/", 2, 1);
    send(GATEWAY, op);
    run();
    struct rp_op admit = next(WORKER, RP_OP_ADMIT);
    assert_int_equal(admit.admit.session, 0);
    assert_text(admit.admit.sid, "sid2");
    decide(WORKER, admit.admit.origin, admit.admit.num, RP_OP_YES, "");
    run();
    struct member app = take_connected(GATEWAY, op.connect.num, false);
    assert_int_not_equal(app.session, plain.session);
    forget(&bench.received);

    worker_hello(WORKER2, 112, rp_bytes(NULL, 0), 0); /* and back */
    serve(WORKER2, "/", RP_OP_SERVE_END);
    resumed(WORKER2);
    run();
    assert_int_equal(next(GATEWAY, RP_OP_EVICT).evict.conn, app.conn);
    assert_int_equal(next(WORKER, RP_OP_RELEASE).release.session, app.session);
    close_socket(app, false, "");
    op = connect_op("/", 3, 2);
    op.connect.listed = 1;
    send(GATEWAY, op);
    run();
    struct rp_op got = next(GATEWAY, RP_OP_CONNECTED);
    assert_int_equal(got.connected.recovered, 0);
    assert_int_equal(got.connected.app, 0);
    nothing_more(WORKER);
}

/* A gateway that was away when the kind changed is told when it lists its sockets. */
static void test_a_gateway_that_was_away_learns_of_another_kind(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    struct member plain = connect_new(GATEWAY, 1);
    lose_link(GATEWAY);
    worker_up(WORKER, "/", 0);
    gateway_back(GATEWAY, 101, plain.session, &plain, 1);
    resumed(GATEWAY);
    run();
    next(GATEWAY, RP_OP_WELCOME);
    assert_int_not_equal(next(GATEWAY, RP_OP_VERDICT).verdict.verdict, RP_OP_KEPT);
}

/* With room events or without is told at CONNECTED alone. */
static void test_other_room_flags_close_the_sockets(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    worker_up(WORKER, "/", 0);
    struct member m = connect_app(GATEWAY, WORKER, "/", 1);
    worker_up(WORKER2, "/", RP_OP_DURABLE);
    nothing_more(GATEWAY);
    worker_up(13, "/", RP_OP_ROOMS_ON);
    assert_int_equal(next(GATEWAY, RP_OP_EVICT).evict.conn, m.conn);
    lose_link(GATEWAY);
    uint64_t seen = rp_core_stats(bench.core)->head;
    worker_up(14, "/", 0);
    gateway_back(GATEWAY, 101, seen, &m, 1);
    resumed(GATEWAY);
    run();
    next(GATEWAY, RP_OP_WELCOME);
    assert_int_equal(next(GATEWAY, RP_OP_VERDICT).verdict.verdict, RP_OP_KEPT);
    next(GATEWAY, RP_OP_MEMBER);
    next(GATEWAY, RP_OP_MEMBER);
    assert_int_equal(next(GATEWAY, RP_OP_EVICT).evict.conn, m.conn);
}

/* ---- own rooms ---- */

static void test_a_socket_has_the_rooms_of_all_and_of_itself(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    worker_up(WORKER, "/", RP_OP_ROOMS_ON);
    struct rp_op op = connect_op("/", 1, 0);
    send(GATEWAY, op);
    run();
    struct rp_op admit = next(WORKER, RP_OP_ADMIT);
    assert_text(admit.admit.handshake, "{\"h\":1}");
    assert_text(admit.admit.sid, "sid1");
    decide(WORKER, admit.admit.origin, admit.admit.num, RP_OP_YES, "");
    run();
    struct member m = take_connected(GATEWAY, op.connect.num, false);
    struct rp_op_member a = next(GATEWAY, RP_OP_MEMBER).member;
    struct rp_op_member b = next(GATEWAY, RP_OP_MEMBER).member;
    assert_int_equal(a.conn, m.conn);
    assert_int_equal(b.conn, m.conn);
    assert_text(a.room.len == 0 ? a.room : b.room, "");
    assert_text(a.room.len == 0 ? b.room : a.room, "sid1");
    struct rp_op_socket socket = next(WORKER, RP_OP_SOCKET).socket;
    assert_text(socket.handshake, "{\"h\":1}");
    assert_true(is_in_names(socket.rooms, "sid1"));
    assert_false(is_in_names(socket.rooms, ""));
}

static void test_nobody_else_hears_a_sockets_own_room(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    worker_up(WORKER, "/", RP_OP_ROOMS_ON);
    struct member m = connect_app(GATEWAY, WORKER, "/", 1);
    struct member other = connect_app(GATEWAY, WORKER, "/", 2);
    uint64_t num = ask_join(other, "sid1");
    run();
    assert_failed(GATEWAY, num, "bad_room");
    num = bench.next_num++;
    send(GATEWAY, (struct rp_op){.kind = RP_OP_HISTORY,
                                 .history = {.num = num,
                                             .session = other.session,
                                             .conn = other.conn,
                                             .room = RP_BYTES_LIT("sid1"),
                                             .before = UINT64_MAX,
                                             .limit = 10}});
    run();
    assert_failed(GATEWAY, num, "bad_room");
    num = ask_join(m, "sid1"); /* it is in it already */
    run();
    assert_done(GATEWAY, num);
}

/* Rooms that workers let a session leave are forgotten as those are that its client left. */
static void test_rooms_that_workers_left_are_forgotten(void **state) {
    (void) state;
    bench.config.intervals_max = 8;
    bench_reconfigure();
    gateway_up(GATEWAY);
    worker_up(WORKER, "/", 0);
    struct member m = connect_app(GATEWAY, WORKER, "/", 1);
    for (int i = 0; i < 50; i++) {
        send(WORKER, move_op("/", "sid1", "x", i % 2));
        run();
        forget(&bench.received);
        assert_true(rp_sessions_find(&bench.core->sessions, m.session)->closed_count <= 8);
    }
    uint64_t floor = rp_sessions_find(&bench.core->sessions, m.session)->floor_seq;
    assert_true(floor > 0);
    bench_restart();
    struct rp_session *session = rp_sessions_find(&bench.core->sessions, m.session);
    assert_int_equal(session->floor_seq, floor);
    assert_true(session->closed_count <= 8);
    assert_int_equal(session->open_count, 2); /* all of the namespace, and its own */
}

static void test_own_rooms_survive_a_restart(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    worker_up(WORKER, "/", 0);
    struct member m = connect_app(GATEWAY, WORKER, "/", 1);
    bench_restart();
    gateway_back(GATEWAY, 101, m.session, &m, 1);
    resumed(GATEWAY);
    worker_back(WORKER, 111, "/", 0, &m, 1);
    next(WORKER, RP_OP_SOCKET);
    next(WORKER, RP_OP_SERVED);
    next(GATEWAY, RP_OP_WELCOME);
    next(GATEWAY, RP_OP_VERDICT);
    next(GATEWAY, RP_OP_MEMBER);
    next(GATEWAY, RP_OP_MEMBER);
    forget(&bench.received);
    do_request(WORKER, emit_op("/", "", 0));
    next(GATEWAY, RP_OP_DELIVER);
    do_request(WORKER, emit_op("/", "sid1", 0));
    next(GATEWAY, RP_OP_DELIVER);
}

/* ---- whose sockets ---- */

static void test_a_silent_worker_loses_its_sockets(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    worker_up(WORKER, "/", 0);
    struct member m = connect_app(GATEWAY, WORKER, "/", 1);
    worker_up(WORKER2, "/", 0);
    lose_link(WORKER);
    pass_ms(bench.config.worker_timeout_ms - 1);
    run();
    nothing_more(WORKER2);
    pass_ms(300);
    run();
    struct rp_op_socket socket = next(WORKER2, RP_OP_SOCKET).socket;
    assert_int_equal(socket.why, RP_OP_SOCKET_ADOPTED);
    assert_int_equal(socket.session, m.session);
    assert_text(socket.handshake, "{\"h\":1}");
    assert_int_equal(rp_core_stats(bench.core)->workers_lost, 1);
    worker_back(WORKER, 111, "/", 0, &m, 1); /* too late */
    assert_int_equal(next(WORKER, RP_OP_VERDICT).verdict.verdict, RP_OP_SUPERSEDED);
    next(WORKER, RP_OP_SERVED);
    nothing_more(WORKER);
}

static void test_a_goodbye_ends_the_link(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    worker_up(WORKER, "/", 0);
    connect_app(GATEWAY, WORKER, "/", 1);
    worker_up(WORKER2, "/", 0);
    pass_ms(bench.config.worker_timeout_ms);
    struct rp_op emit = emit_op("/", "", 0);
    send(WORKER, emit);
    send(WORKER, (struct rp_op){.kind = RP_OP_BYE});
    run();
    next(WORKER2, RP_OP_SOCKET);
    assert_done(WORKER, emit.emit.num);
    pass_ms(300);
    run();
    assert_text(next(WORKER, RP_OP_REFUSED).refused.code, "bye");
    pass_ms(300);
    run();
    assert_null(rp_core_peer_of_link(bench.core, WORKER));
    nothing_more(WORKER2);
}

/* It is told what changed, and nothing twice. */
static void test_a_worker_that_comes_back_is_synchronised(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    worker_up(WORKER, "/", 0);
    struct member all[4];
    for (unsigned i = 0; i < 4; i++) {
        all[i] = connect_app(GATEWAY, WORKER, "/", i + 1);
    }
    lose_link(WORKER);
    close_socket(all[1], false, "ping timeout");               /* away */
    close_socket(all[2], true, "client namespace disconnect"); /* ended */
    struct rp_op fresh = connect_op("/", 9, 0);
    send(GATEWAY, fresh);
    run();
    nothing_more(WORKER);
    worker_back(WORKER, 111, "/", 0, all, 4);
    struct rp_op_verdict verdict = next(WORKER, RP_OP_VERDICT).verdict;
    assert_int_equal(verdict.conn, all[2].conn);
    assert_int_equal(verdict.verdict, RP_OP_UNKNOWN);
    assert_int_equal(count_received(WORKER, RP_OP_SOCKET), 2);
    assert_int_equal(count_received(WORKER, RP_OP_LEFT), 1);
    struct rp_op_socket socket = next(WORKER, RP_OP_SOCKET).socket;
    assert_int_equal(socket.why, RP_OP_SOCKET_SYNCED);
    assert_int_equal(socket.handshake.len, 0);
    struct rp_op_left left = next(WORKER, RP_OP_LEFT).left;
    assert_int_equal(left.session, all[1].session);
    assert_int_equal(left.ended, 0);
    next(WORKER, RP_OP_SOCKET);
    next(WORKER, RP_OP_SERVED);
    assert_int_equal(next(WORKER, RP_OP_ADMIT).admit.num, fresh.connect.num);
}

/* What ends between its SESSION and its RESUMED is told, too. */
static void test_a_socket_that_ends_while_its_worker_resumes(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    worker_up(WORKER, "/", 0);
    struct member m = connect_app(GATEWAY, WORKER, "/", 1);
    lose_link(WORKER);
    worker_hello(WORKER, 111, EPOCH, rp_core_stats(bench.core)->head);
    serve(WORKER, "/", 0);
    list_session((struct member){WORKER, m.session, m.conn});
    run();
    next(WORKER, RP_OP_WELCOME);
    nothing_more(WORKER);
    close_socket(m, true, "x");
    resumed(WORKER);
    run();
    assert_int_equal(next(WORKER, RP_OP_VERDICT).verdict.verdict, RP_OP_UNKNOWN);
    next(WORKER, RP_OP_SERVED);
    nothing_more(WORKER);
}

static void test_after_a_restart_the_worker_that_lists_it_has_it(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    worker_up(WORKER, "/", 0);
    struct member m = connect_app(GATEWAY, WORKER, "/", 1);
    bench_restart();
    worker_back(WORKER2, 112, "/", 0, NULL, 0);
    next(WORKER2, RP_OP_SERVED);
    nothing_more(WORKER2); /* the sockets wait for theirs */
    worker_back(WORKER, 111, "/", 0, &m, 1);
    assert_int_equal(next(WORKER, RP_OP_SOCKET).socket.why, RP_OP_SOCKET_SYNCED);
    pass_ms(bench.config.worker_timeout_ms + 1000);
    run();
    nothing_more(WORKER2);
    bench_restart(); /* and nobody lists it now */
    worker_back(WORKER2, 112, "/", 0, NULL, 0);
    next(WORKER2, RP_OP_SERVED);
    pass_ms(bench.config.worker_timeout_ms + 1000);
    run();
    assert_int_equal(next(WORKER2, RP_OP_SOCKET).socket.why, RP_OP_SOCKET_ADOPTED);
}

static void test_recovery_asks_the_worker_that_has_it(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    gateway_up(GATEWAY2);
    worker_up(WORKER, "/", 0);
    struct member m = connect_app(GATEWAY, WORKER, "/", 1);
    connect_app(GATEWAY, WORKER, "/", 2);
    worker_up(WORKER2, "/", 0); /* has fewer */
    uint64_t data = bench.next_num++;
    send(WORKER,
         (struct rp_op){
             .kind = RP_OP_DATA,
             .data = {.num = data, .session = m.session, .json = RP_BYTES_LIT("{\"a\":1}")}});
    run();
    assert_done(WORKER, data);
    close_socket(m, false, "transport error");
    struct rp_op_left left = next(WORKER, RP_OP_LEFT).left;
    assert_text(left.reason, "transport error");
    assert_int_equal(left.ended, 0);
    struct rp_op op = connect_op("/", 3, 1);
    send(GATEWAY2, op);
    run();
    struct rp_op_admit admit = next(WORKER, RP_OP_ADMIT).admit;
    assert_int_equal(admit.session, m.session);
    assert_text(admit.sid, "sid1");
    decide(WORKER, admit.origin, admit.num, RP_OP_YES, "");
    run();
    struct member back = take_connected(GATEWAY2, op.connect.num, true);
    assert_int_equal(back.session, m.session);
    struct rp_op_socket socket = next(WORKER, RP_OP_SOCKET).socket;
    assert_int_equal(socket.why, RP_OP_SOCKET_RECOVERED);
    assert_int_equal(socket.conn, back.conn);
    assert_text(socket.data, "{\"a\":1}");
    nothing_more(WORKER2);
}

static void test_an_expired_session_is_told(void **state) {
    (void) state;
    const uint64_t links[] = {GATEWAY, WORKER};
    gateway_up(GATEWAY);
    worker_up(WORKER, "/", 0);
    struct member m = connect_app(GATEWAY, WORKER, "/", 1);
    close_socket(m, false, "transport close");
    next(WORKER, RP_OP_LEFT);
    pass_linked(bench.config.session_ttl_ms + 1000, links, COUNT(links));
    struct rp_op_left left = next(WORKER, RP_OP_LEFT).left;
    assert_int_equal(left.session, m.session);
    assert_true(left.ended && left.expired);
    assert_text(left.sid, "sid1");
}

/* ---- evening out ---- */

static void test_a_second_worker_gets_its_share(void **state) {
    (void) state;
    const uint64_t links[] = {GATEWAY, WORKER, WORKER2};
    gateway_up(GATEWAY);
    worker_up(WORKER, "/", 0);
    struct member all[6];
    for (unsigned i = 0; i < 6; i++) {
        all[i] = connect_app(GATEWAY, WORKER, "/", i + 1);
    }
    ask_event(all[0], "[1]"); /* busy */
    next(WORKER, RP_OP_INVOKE);
    worker_up(WORKER2, "/", 0);
    pass_linked(1000, links, COUNT(links));
    for (int i = 0; i < 3; i++) {
        struct rp_op_socket socket = next(WORKER2, RP_OP_SOCKET).socket;
        assert_int_equal(socket.why, RP_OP_SOCKET_ADOPTED);
        assert_int_not_equal(socket.session, all[0].session);
        assert_int_equal(next(WORKER, RP_OP_RELEASE).release.session, socket.session);
    }
    nothing_more(WORKER2);
    nothing_more(WORKER);
    assert_int_equal(rp_core_stats(bench.core)->sockets_moved, 3);
}

/* A core with everything alive in it is freed without a leak (the sanitizer says so). */
static void test_everything_alive_is_freed(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    worker_up(WORKER, "/", RP_OP_DURABLE);
    worker_up(WORKER2, "/", RP_OP_DURABLE);
    struct member m = connect_app(GATEWAY, WORKER, "/", 1);
    send(GATEWAY, event_op(m, "[1]"));
    send(GATEWAY, connect_op("/", 2, 0));
    send(WORKER, emit_op("/", "", RP_OP_EMIT_WANTS_ACK));
    send(WORKER, (struct rp_op){.kind = RP_OP_FETCH, .fetch = {.num = bench.next_num++}});
    send(WORKER, (struct rp_op){.kind = RP_OP_SIDE,
                                .side = {.num = bench.next_num++,
                                         .wants_ack = 1,
                                         .nsp = RP_BYTES_LIT("/"),
                                         .name = RP_BYTES_LIT("s"),
                                         .args = RP_BYTES_LIT("[]")}});
    struct rp_op_invoke invoke = {.origin = 101, .num = bench.next_num - 5};
    decide(WORKER, invoke.origin, invoke.num, RP_OP_YES, ""); /* waits for the EMIT */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_a_namespace_is_served_when_the_log_has_it),
        BENCH_TEST(test_the_newest_flags_count),
        BENCH_TEST(test_a_serve_that_the_log_refuses_is_tried_again),
        BENCH_TEST(test_the_closest_policy_wins),
        BENCH_TEST(test_a_closer_policy_takes_over),
        BENCH_TEST(test_what_cannot_be_served_is_refused),
        BENCH_TEST(test_an_incarnation_with_sockets_is_no_worker),
        BENCH_TEST(test_sessions_of_another_kind_are_closed_and_not_resumed),
        BENCH_TEST(test_a_gateway_that_was_away_learns_of_another_kind),
        BENCH_TEST(test_other_room_flags_close_the_sockets),
        BENCH_TEST(test_a_socket_has_the_rooms_of_all_and_of_itself),
        BENCH_TEST(test_nobody_else_hears_a_sockets_own_room),
        BENCH_TEST(test_rooms_that_workers_left_are_forgotten),
        BENCH_TEST(test_own_rooms_survive_a_restart),
        BENCH_TEST(test_a_silent_worker_loses_its_sockets),
        BENCH_TEST(test_a_goodbye_ends_the_link),
        BENCH_TEST(test_a_worker_that_comes_back_is_synchronised),
        BENCH_TEST(test_a_socket_that_ends_while_its_worker_resumes),
        BENCH_TEST(test_after_a_restart_the_worker_that_lists_it_has_it),
        BENCH_TEST(test_recovery_asks_the_worker_that_has_it),
        BENCH_TEST(test_an_expired_session_is_told),
        BENCH_TEST(test_a_second_worker_gets_its_share),
        BENCH_TEST(test_everything_alive_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
