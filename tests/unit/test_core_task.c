/* tests/unit/test_core_task.c — broker/task, behind: what workers decide upon and handle, asked
 * again by gateways and given again to workers, exactly as often as it should be. */
#include "tests/unit/worker_fixture.h"

/* A gateway, a worker and a socket; the time for workers to list theirs is over. */
static struct member begin(uint64_t flags) {
    gateway_up(GATEWAY);
    worker_up(WORKER, "/", flags);
    pass_ms(bench.config.worker_timeout_ms);
    return connect_app(GATEWAY, WORKER, "/", 1);
}

static void lose_worker(uint64_t link_id) {
    lose_link(link_id);
    pass_ms(bench.config.worker_timeout_ms + 300);
    run();
}

/* The gateway's link is lost, and it comes back with its socket and what it asks again. */
static void relink(struct member m, const struct rp_op *again) {
    lose_link(GATEWAY);
    forget(&bench.received);
    gateway_back(GATEWAY, 101, rp_core_stats(bench.core)->head, &m, m.session > 0);
    send(GATEWAY, *again);
    resumed(GATEWAY);
    run();
    next(GATEWAY, RP_OP_WELCOME);
    if (m.session > 0) {
        assert_int_equal(next(GATEWAY, RP_OP_VERDICT).verdict.verdict, RP_OP_KEPT);
        next(GATEWAY, RP_OP_MEMBER);
        next(GATEWAY, RP_OP_MEMBER);
    }
}

/* ---- CONNECT ---- */

static void test_a_worker_may_refuse_a_socket(void **state) {
    (void) state;
    begin(0);
    struct rp_op op = connect_op("/", 2, 0);
    send(GATEWAY, op);
    run();
    struct rp_op_admit admit = next(WORKER, RP_OP_ADMIT).admit;
    assert_int_equal(admit.origin, 101);
    decide(WORKER, admit.origin, admit.num, RP_OP_NO, "{\"why\":1}");
    run();
    struct rp_op_failed failed = next(GATEWAY, RP_OP_FAILED).failed;
    assert_int_equal(failed.num, op.connect.num);
    assert_text(failed.code, "refused");
    assert_text(failed.message, "because");
    assert_text(failed.data, "{\"why\":1}");
    decide(WORKER, admit.origin, admit.num, RP_OP_YES, ""); /* too late */
    run();
    nothing_more(GATEWAY);
    assert_int_equal(count_records(RP_RECORD_OPEN), 1);
    relink((struct member){0}, &op);
    assert_int_equal(count_received(GATEWAY, RP_OP_FAILED), 1); /* the same, and nobody is asked */
    nothing_more(WORKER);
}

static void test_without_a_worker_connects_wait(void **state) {
    (void) state;
    const uint64_t links[] = {GATEWAY};
    gateway_up(GATEWAY);
    worker_up(WORKER, "/", 0);
    pass_ms(bench.config.worker_timeout_ms);
    lose_worker(WORKER);
    struct rp_op op = connect_op("/", 1, 0);
    send(GATEWAY, op);
    run();
    nothing_more(GATEWAY);
    worker_up(WORKER2, "/", 0);
    assert_int_equal(next(WORKER2, RP_OP_ADMIT).admit.num, op.connect.num);
    lose_worker(WORKER2);
    pass_linked(RP_ADMISSION_WAIT_MS - 1000, links, 1);
    nothing_more(GATEWAY);
    pass_linked(2000, links, 1);
    assert_failed(GATEWAY, op.connect.num, "unavailable");
    nothing_more(GATEWAY);
}

static void test_a_worker_that_dies_while_it_admits(void **state) {
    (void) state;
    begin(0);
    worker_up(WORKER2, "/", 0);
    connect_app(GATEWAY, WORKER2, "/", 2);
    struct rp_op op = connect_op("/", 3, 0);
    send(GATEWAY, op);
    run();
    struct rp_op_admit admit = next(WORKER, RP_OP_ADMIT).admit;
    lose_worker(WORKER);
    next(WORKER2, RP_OP_ADMIT);
    assert_int_equal(next(WORKER2, RP_OP_SOCKET).socket.why, RP_OP_SOCKET_ADOPTED);
    worker_back(WORKER, 111, "/", 0, NULL, 0);
    next(WORKER, RP_OP_SERVED);
    decide(WORKER, admit.origin, admit.num, RP_OP_NO, ""); /* nobody asks it any more */
    run();
    nothing_more(GATEWAY);
    decide(WORKER2, admit.origin, admit.num, RP_OP_YES, "");
    run();
    take_connected(GATEWAY, op.connect.num, false);
}

enum connect_state { ASKED, IN_FLIGHT, COMMITTED, REFUSED_BY_LOG, STATES };

/* Its CONNECT is answered once, and opens one session. */
static void test_a_connect_asked_again_in_every_state(void **state) {
    for (int at = 0; at < STATES; at++) {
        struct member m = begin(0);
        struct rp_op op = connect_op("/", 2, 0);
        send(GATEWAY, op);
        run();
        struct rp_op_admit admit = next(WORKER, RP_OP_ADMIT).admit;
        if (at != ASKED) {
            decide(WORKER, admit.origin, admit.num, RP_OP_YES, "");
            turn();
        }
        uint64_t seen = rp_core_stats(bench.core)->head;
        if (at == REFUSED_BY_LOG) {
            rp_engine_memory_refuse(bench.engine, 1);
        }
        lose_link(GATEWAY);
        if (at == COMMITTED || at == REFUSED_BY_LOG) {
            run();
        }
        forget(&bench.received);
        gateway_back(GATEWAY, 101, seen, &m, 1);
        send(GATEWAY, op);
        resumed(GATEWAY);
        run();
        next(GATEWAY, RP_OP_WELCOME);
        next(GATEWAY, RP_OP_VERDICT);
        next(GATEWAY, RP_OP_MEMBER);
        next(GATEWAY, RP_OP_MEMBER);
        if (at == ASKED) {
            decide(WORKER, admit.origin, admit.num, RP_OP_YES, "");
        } else if (at == REFUSED_BY_LOG) { /* the worker is asked anew */
            admit = next(WORKER, RP_OP_ADMIT).admit;
            decide(WORKER, admit.origin, admit.num, RP_OP_YES, "");
        }
        run();
        take_connected(GATEWAY, op.connect.num, false);
        next(GATEWAY, RP_OP_MEMBER);
        next(GATEWAY, RP_OP_MEMBER);
        nothing_more(GATEWAY);
        assert_int_equal(count_records(RP_RECORD_OPEN), 2);
        assert_int_equal(rp_core_stats(bench.core)->tasks_open, 0);
        bench_teardown(state);
        bench_setup(state);
    }
}

/* Admitted while the gateway had no link: it finds itself admitted. */
static void test_a_connect_admitted_without_a_link(void **state) {
    (void) state;
    struct member m = begin(0);
    struct rp_op op = connect_op("/", 2, 0);
    send(GATEWAY, op);
    run();
    struct rp_op_admit admit = next(WORKER, RP_OP_ADMIT).admit;
    lose_link(GATEWAY);
    decide(WORKER, admit.origin, admit.num, RP_OP_YES, "");
    run();
    assert_int_equal(count_records(RP_RECORD_OPEN), 1);
    gateway_back(GATEWAY, 101, rp_core_stats(bench.core)->head, &m, 1);
    send(GATEWAY, op);
    resumed(GATEWAY);
    run();
    next(GATEWAY, RP_OP_WELCOME);
    next(GATEWAY, RP_OP_VERDICT);
    next(GATEWAY, RP_OP_MEMBER);
    next(GATEWAY, RP_OP_MEMBER);
    take_connected(GATEWAY, op.connect.num, false);
    assert_int_equal(count_received(WORKER, RP_OP_ADMIT), 0);
}

/* ---- EVENT ---- */

static void test_a_worker_handles_an_event(void **state) {
    (void) state;
    struct member m = begin(0);
    struct rp_op op = ask_event(m, "[1,\"x\"]");
    struct rp_op_invoke invoke = take_invoke(WORKER, op.event.num, false);
    assert_int_equal(invoke.session, m.session);
    assert_int_equal(invoke.wants_ack, 1);
    assert_text(invoke.name, "ask");
    assert_text(invoke.args, "[1,\"x\"]");
    decide(WORKER, invoke.origin, invoke.num, RP_OP_YES, "[2]");
    decide(WORKER, invoke.origin, invoke.num, RP_OP_YES, "[3]"); /* once more */
    run();
    struct rp_op_answer answer = next(GATEWAY, RP_OP_ANSWER).answer;
    assert_int_equal(answer.num, op.event.num);
    assert_text(answer.args, "[2]");
    op = ask_event(m, "[1]");
    next(WORKER, RP_OP_INVOKE);
    decide(WORKER, 101, op.event.num, RP_OP_YES, "");
    run();
    assert_done(GATEWAY, op.event.num);
    op = ask_event(m, "[1]");
    next(WORKER, RP_OP_INVOKE);
    decide(WORKER, 101, op.event.num, RP_OP_NO, "");
    run();
    assert_failed(GATEWAY, op.event.num, "no");
    nothing_more(GATEWAY);
}

/* What a worker answers becomes part of what others get. */
static void test_malformed_answers_are_errors(void **state) {
    (void) state;
    static const char *const bad[] = {"{}", "[", "1", "x"};
    struct member m = begin(0);
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct rp_op op = ask_event(m, "[1]");
        next(WORKER, RP_OP_INVOKE);
        decide(WORKER, 101, op.event.num, RP_OP_YES, bad[i]);
        run();
        assert_failed(GATEWAY, op.event.num, "worker_error");
    }
    struct rp_op op = connect_op("/", 2, 0);
    send(GATEWAY, op);
    run();
    next(WORKER, RP_OP_ADMIT);
    decide(WORKER, 101, op.connect.num, RP_OP_NO, "{");
    run();
    assert_failed(GATEWAY, op.connect.num, "worker_error");
    op = ask_event(m, "[1]");
    next(WORKER, RP_OP_INVOKE);
    decide(WORKER, 101, op.event.num, 3, "");
    run();
    assert_failed(GATEWAY, op.event.num, "worker_error");
}

static void test_an_event_asked_again_is_handled_once(void **state) {
    (void) state;
    struct member m = begin(0);
    struct rp_op op = ask_event(m, "[1]");
    take_invoke(WORKER, op.event.num, false);
    struct rp_op again = op;
    again.event.again = 1;
    relink(m, &again); /* while the worker has it */
    nothing_more(WORKER);
    decide(WORKER, 101, op.event.num, RP_OP_YES, "[2]");
    run();
    next(GATEWAY, RP_OP_ANSWER);
    relink(m, &again); /* the answer may be lost */
    assert_text(next(GATEWAY, RP_OP_ANSWER).answer.args, "[2]");
    nothing_more(WORKER);
    send(GATEWAY, (struct rp_op){
                      .kind = RP_OP_HEARTBEAT,
                      .heartbeat = {
                          .consumed = rp_core_peer_of_link(bench.core, GATEWAY)->link.sent_bytes}});
    assert_int_equal(rp_core_stats(bench.core)->tasks_open, 0);

    lose_link(GATEWAY); /* one that was lost with the link is no repetition for the worker */
    forget(&bench.received);
    op = event_op(m, "[5]");
    op.event.again = 1;
    relink(m, &op);
    take_invoke(WORKER, op.event.num, false);
}

/* One request that takes long does not keep the answers to those behind it. */
static void test_answers_that_were_dealt_with_are_forgotten(void **state) {
    (void) state;
    struct member m = begin(0);
    struct rp_op slow = ask_event(m, "[0]"), op = slow;
    next(WORKER, RP_OP_INVOKE);
    for (int i = 0; i < 5; i++) {
        op = ask_event(m, "[1]");
        next(WORKER, RP_OP_INVOKE);
        decide(WORKER, 101, op.event.num, RP_OP_YES, "[2]");
        run();
        next(GATEWAY, RP_OP_ANSWER);
    }
    assert_int_equal(rp_core_stats(bench.core)->tasks_open, 6);
    uint64_t sent = rp_core_peer_of_link(bench.core, GATEWAY)->link.sent_bytes;
    send(GATEWAY, (struct rp_op){.kind = RP_OP_HEARTBEAT,
                                 .heartbeat = {.lowest = slow.event.num, .consumed = sent - 1}});
    assert_int_equal(rp_core_stats(bench.core)->tasks_open, 2);
    send(GATEWAY, (struct rp_op){.kind = RP_OP_HEARTBEAT,
                                 .heartbeat = {.lowest = slow.event.num, .consumed = sent}});
    assert_int_equal(rp_core_stats(bench.core)->tasks_open, 1);
    decide(WORKER, 101, slow.event.num, RP_OP_YES, "[2]");
    run();
    next(GATEWAY, RP_OP_ANSWER);
}

/* Restarted with a gateway that asks again: what the worker had, it knows. */
static void restart(struct member m, struct rp_op op, uint64_t worker, uint64_t flags, bool lists) {
    uint64_t head = rp_core_stats(bench.core)->head;
    bench_restart();
    op.event.again = 1;
    gateway_back(GATEWAY, 101, head, &m, 1);
    send(GATEWAY, op);
    resumed(GATEWAY);
    worker_back(worker, worker + 100, "/", flags, &m, lists);
    next(GATEWAY, RP_OP_WELCOME);
    next(GATEWAY, RP_OP_VERDICT);
    next(GATEWAY, RP_OP_MEMBER);
    next(GATEWAY, RP_OP_MEMBER);
}

static void test_a_restart_with_the_same_worker(void **state) {
    (void) state;
    struct member m = begin(0);
    struct rp_op op = ask_event(m, "[1]");
    next(WORKER, RP_OP_INVOKE);
    restart(m, op, WORKER, 0, true);
    next(WORKER, RP_OP_SOCKET);
    take_invoke(WORKER, op.event.num, true);
    next(WORKER, RP_OP_SERVED);
    decide(WORKER, 101, op.event.num, RP_OP_YES, "[2]");
    run();
    assert_int_equal(next(GATEWAY, RP_OP_ANSWER).answer.num, op.event.num);
}

static void test_a_restart_with_another_worker(void **state) {
    for (int durable = 0; durable < 2; durable++) {
        uint64_t flags = durable ? RP_OP_DURABLE : 0;
        struct member m = begin(flags);
        struct rp_op op = ask_event(m, "[1]");
        next(WORKER, RP_OP_INVOKE);
        restart(m, op, WORKER2, flags, false);
        next(WORKER2, RP_OP_SERVED);
        nothing_more(WORKER2);
        pass_ms(bench.config.worker_timeout_ms);
        run();
        next(WORKER2, RP_OP_SOCKET);
        if (durable) {
            take_invoke(WORKER2, op.event.num, true);
        } else { /* only who knows it may answer it */
            assert_int_equal(next(WORKER2, RP_OP_INVOKE).invoke.again, RP_OP_AGAIN_KNOWN);
        }
        nothing_more(WORKER2);
        nothing_more(GATEWAY);
        bench_teardown(state);
        bench_setup(state);
    }
}

enum end { LOST, BYE, BYE_IDLE, ENDS };

/* A lost worker had the first two, or they were on their way; all keep their order. */
static void hand_over(uint64_t flags, enum end end) {
    bool bye = end != LOST;
    struct member m = begin(flags);
    struct rp_op a = ask_event(m, "[1]"), b = ask_event(m, "[2]");
    take_invoke(WORKER, a.event.num, false);
    take_invoke(WORKER, b.event.num, false);
    if (bye) {
        send(WORKER, (struct rp_op){.kind = RP_OP_BYE, .bye.idle = end == BYE_IDLE});
        run();
    } else {
        lose_link(WORKER);
    }
    struct rp_op c = ask_event(m, "[3]");
    worker_up(WORKER2, "/", flags);
    if (!bye) {
        nothing_more(WORKER2);
        pass_ms(bench.config.worker_timeout_ms + 300);
        run();
    }
    assert_int_equal(next(WORKER2, RP_OP_SOCKET).socket.why, RP_OP_SOCKET_ADOPTED);
    if (end == BYE_IDLE || (flags & RP_OP_DURABLE)) {
        take_invoke(WORKER2, a.event.num, end != BYE_IDLE);
        take_invoke(WORKER2, b.event.num, end != BYE_IDLE);
    } else {
        assert_failed(GATEWAY, a.event.num, "worker_lost");
        assert_failed(GATEWAY, b.event.num, "worker_lost");
    }
    take_invoke(WORKER2, c.event.num, false);
    nothing_more(WORKER2);
    nothing_more(GATEWAY);
    decide(WORKER2, 101, c.event.num, RP_OP_YES, "[3]");
    run();
    assert_int_equal(next(GATEWAY, RP_OP_ANSWER).answer.num, c.event.num);
}

static void test_hand_over_keeps_the_order(void **state) {
    for (int i = 0; i < 2 * ENDS; i++) {
        hand_over(i % 2 ? RP_OP_DURABLE : 0, i / 2);
        bench_teardown(state);
        bench_setup(state);
    }
}

/* An event that was given to the worker, whose link then was lost. */
static struct rp_op ask_and_lose(struct member m) {
    struct rp_op a = ask_event(m, "[1]");
    take_invoke(WORKER, a.event.num, false);
    lose_link(WORKER);
    return a;
}

/* It may have answered the first, and the answer was lost with its link. */
static void test_what_was_sent_twice_may_be_done_at_a_goodbye(void **state) {
    (void) state;
    struct member m = begin(0);
    struct rp_op a = ask_and_lose(m);
    struct rp_op b = ask_event(m, "[2]");
    worker_back(WORKER, 111, "/", 0, &m, 1);
    next(WORKER, RP_OP_SOCKET);
    take_invoke(WORKER, a.event.num, false);
    take_invoke(WORKER, b.event.num, false);
    next(WORKER, RP_OP_SERVED);
    send(WORKER, (struct rp_op){.kind = RP_OP_BYE, .bye.idle = 1});
    worker_up(WORKER2, "/", 0);
    assert_failed(GATEWAY, a.event.num, "worker_lost");
    next(WORKER2, RP_OP_SOCKET);
    take_invoke(WORKER2, b.event.num, false);
    nothing_more(WORKER2);
    nothing_more(GATEWAY);
}

/* On a link that it says goodbye on before it was given anything there. */
static void test_a_goodbye_speaks_of_its_own_link(void **state) {
    (void) state;
    struct member m = begin(0);
    struct rp_op a = ask_and_lose(m);
    send(WORKER, (struct rp_op){.kind = RP_OP_HELLO,
                                .hello = {.version = RP_PROTOCOL_VERSION,
                                          .name = RP_BYTES_LIT("w"),
                                          .incarnation = 111,
                                          .epoch = RP_BYTES_LIT("epoch000"),
                                          .role = RP_OP_WORKER}});
    send(WORKER, (struct rp_op){.kind = RP_OP_BYE, .bye.idle = 1});
    run();
    worker_up(WORKER2, "/", 0);
    assert_failed(GATEWAY, a.event.num, "worker_lost");
    next(WORKER2, RP_OP_SOCKET);
    nothing_more(WORKER2);
}

static void test_a_worker_back_in_time_is_given_its_tasks_again(void **state) {
    (void) state;
    struct member m = begin(0);
    struct rp_op a = ask_and_lose(m);
    struct rp_op b = ask_event(m, "[2]");
    worker_back(WORKER, 111, "/", 0, &m, 1);
    assert_int_equal(next(WORKER, RP_OP_SOCKET).socket.why, RP_OP_SOCKET_SYNCED);
    take_invoke(WORKER, a.event.num, false);
    take_invoke(WORKER, b.event.num, false);
    next(WORKER, RP_OP_SERVED);
    nothing_more(WORKER);
}

static void test_events_wait_for_a_worker_and_not_for_ever(void **state) {
    (void) state;
    const uint64_t links[] = {GATEWAY};
    struct member m = begin(0);
    lose_worker(WORKER);
    struct rp_op op = ask_event(m, "[1]");
    assert_int_equal(rp_core_stats(bench.core)->tasks_waiting, 1);
    pass_linked(RP_TASK_WAIT_MS - 1000, links, 1);
    nothing_more(GATEWAY);
    pass_linked(1500, links, 1);
    assert_failed(GATEWAY, op.event.num, "unavailable");
    assert_int_equal(rp_core_stats(bench.core)->tasks_waiting, 0);
}

/* It is told of the socket once more, and gets all tasks once more, however many it disowns. */
static void test_a_disowned_socket_is_told_again(void **state) {
    (void) state;
    struct member m = begin(0);
    struct rp_op ops[3];
    for (int i = 0; i < 3; i++) {
        ops[i] = ask_event(m, "[1]");
        next(WORKER, RP_OP_INVOKE);
    }
    for (int i = 0; i < 3; i++) {
        decide(WORKER, 101, ops[i].event.num, RP_OP_DISOWNED, "");
    }
    run();
    assert_int_equal(next(WORKER, RP_OP_SOCKET).socket.session, m.session);
    for (int i = 0; i < 3; i++) {
        take_invoke(WORKER, ops[i].event.num, false);
    }
    nothing_more(WORKER);
    for (int i = 0; i < 3; i++) {
        decide(WORKER, 101, ops[i].event.num, RP_OP_YES, "[1]");
    }
    run();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(next(GATEWAY, RP_OP_ANSWER).answer.num, ops[i].event.num);
    }
}

static void test_the_session_ends_with_its_tasks(void **state) {
    (void) state;
    struct member m = begin(RP_OP_DURABLE);
    struct rp_op op = ask_event(m, "[1]");
    next(WORKER, RP_OP_INVOKE);
    uint64_t num = bench.next_num++;
    send(GATEWAY, (struct rp_op){.kind = RP_OP_CLOSE,
                                 .close = {.num = num,
                                           .session = m.session,
                                           .conn = m.conn,
                                           .ended = 1,
                                           .reason = RP_BYTES_LIT("client namespace disconnect")}});
    run();
    assert_failed(GATEWAY, op.event.num, "superseded");
    assert_done(GATEWAY, num);
    struct rp_op_left left = next(WORKER, RP_OP_LEFT).left;
    assert_int_equal(left.ended, 1);
    assert_text(left.reason, "client namespace disconnect");
    decide(WORKER, 101, op.event.num, RP_OP_YES, "[1]");
    run();
    nothing_more(GATEWAY);
}

/* The ack of a handler comes behind what the handler emitted. */
static void test_an_answer_waits_for_what_was_asked_before(void **state) {
    (void) state;
    struct member m = begin(0);
    struct rp_op op = ask_event(m, "[1]");
    next(WORKER, RP_OP_INVOKE);
    struct rp_op emit = emit_op("/", "", 0);
    send(WORKER, emit);
    decide(WORKER, 101, op.event.num, RP_OP_YES, "[2]");
    turn();
    nothing_more(GATEWAY);
    run();
    next(GATEWAY, RP_OP_DELIVER);
    next(GATEWAY, RP_OP_ANSWER);
    assert_done(WORKER, emit.emit.num);
}

/* ---- room events ---- */

static void test_room_events_are_off_unless_served(void **state) {
    (void) state;
    struct member m = begin(0);
    uint64_t num = ask_join(m, "a");
    run();
    assert_failed(GATEWAY, num, "unknown_event");
    num = ask_publish(m, "a", "[1]");
    run();
    assert_failed(GATEWAY, num, "unknown_event");
    nothing_more(WORKER);
    assert_int_equal(count_records(RP_RECORD_EVENT), 0);
}

static void test_room_events_are_the_brokers_if_served_so(void **state) {
    (void) state;
    struct member m = begin(RP_OP_ROOMS_ON);
    join(m, "a");
    struct rp_op_member member = next(WORKER, RP_OP_MEMBER).member;
    assert_int_equal(member.conn, m.conn);
    assert_text(member.room, "a");
    nothing_more(WORKER);
}

static void test_a_worker_is_asked_about_room_events(void **state) {
    (void) state;
    struct member m = begin(RP_OP_ROOMS_ON | RP_OP_ROOMS_ASK);
    uint64_t num = ask_join(m, "a");
    run();
    struct rp_op_check check = next(WORKER, RP_OP_CHECK).check;
    assert_int_equal(check.what, RP_OP_CHECK_JOIN);
    assert_int_equal(check.session, m.session);
    assert_text(check.room, "a");
    nothing_more(GATEWAY);
    decide(WORKER, check.origin, check.num, RP_OP_YES, "");
    run();
    next(GATEWAY, RP_OP_MEMBER);
    assert_done(GATEWAY, num);
    next(WORKER, RP_OP_MEMBER);
    num = ask_publish(m, "a", "[7]");
    run();
    check = next(WORKER, RP_OP_CHECK).check;
    assert_int_equal(check.what, RP_OP_CHECK_PUBLISH);
    assert_text(check.name, "e");
    assert_text(check.args, "[7]");
    decide(WORKER, check.origin, check.num, RP_OP_NO, "");
    run();
    assert_failed(GATEWAY, num, "no");
    assert_int_equal(count_records(RP_RECORD_EVENT), 0);
    num = ask_publish(m, "", "[7]"); /* nobody is asked about what cannot be */
    run();
    assert_failed(GATEWAY, num, "bad_args");
    num = ask_publish(m, "a", "[8]"); /* the next worker is asked if the first is lost */
    run();
    next(WORKER, RP_OP_CHECK);
    lose_worker(WORKER);
    worker_up(WORKER2, "/", RP_OP_ROOMS_ON | RP_OP_ROOMS_ASK);
    next(WORKER2, RP_OP_SOCKET);
    check = next(WORKER2, RP_OP_CHECK).check;
    decide(WORKER2, check.origin, check.num, RP_OP_YES, "");
    run();
    next(GATEWAY, RP_OP_DELIVER);
    assert_done(GATEWAY, num);
    nothing_more(GATEWAY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_a_worker_may_refuse_a_socket),
        BENCH_TEST(test_without_a_worker_connects_wait),
        BENCH_TEST(test_a_worker_that_dies_while_it_admits),
        BENCH_TEST(test_a_connect_asked_again_in_every_state),
        BENCH_TEST(test_a_connect_admitted_without_a_link),
        BENCH_TEST(test_a_worker_handles_an_event),
        BENCH_TEST(test_malformed_answers_are_errors),
        BENCH_TEST(test_an_event_asked_again_is_handled_once),
        BENCH_TEST(test_answers_that_were_dealt_with_are_forgotten),
        BENCH_TEST(test_a_restart_with_the_same_worker),
        BENCH_TEST(test_a_restart_with_another_worker),
        BENCH_TEST(test_hand_over_keeps_the_order),
        BENCH_TEST(test_what_was_sent_twice_may_be_done_at_a_goodbye),
        BENCH_TEST(test_a_goodbye_speaks_of_its_own_link),
        BENCH_TEST(test_a_worker_back_in_time_is_given_its_tasks_again),
        BENCH_TEST(test_events_wait_for_a_worker_and_not_for_ever),
        BENCH_TEST(test_a_disowned_socket_is_told_again),
        BENCH_TEST(test_the_session_ends_with_its_tasks),
        BENCH_TEST(test_an_answer_waits_for_what_was_asked_before),
        BENCH_TEST(test_room_events_are_off_unless_served),
        BENCH_TEST(test_room_events_are_the_brokers_if_served_so),
        BENCH_TEST(test_a_worker_is_asked_about_room_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
