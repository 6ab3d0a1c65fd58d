/* tests/unit/test_core_emit.c — broker/emit, commit, fetch, side: what app workers ask for, and
 * what gateways, clients and other workers get of it. */
#include "tests/unit/worker_fixture.h"

static struct member a, b; /* at GATEWAY and at GATEWAY2 */

static void begin(void) {
    gateway_up(GATEWAY);
    gateway_up(GATEWAY2);
    worker_up(WORKER, "/", 0);
    pass_ms(bench.config.worker_timeout_ms);
    a = connect_app(GATEWAY, WORKER, "/", 1);
    b = connect_app(GATEWAY2, WORKER, "/", 2);
}

/* Moves the sockets of a room into another, and takes what is said of it. */
static void into_room(const char *room, const char *target) {
    send(WORKER, move_op("/", room, target, false));
    run();
    forget(&bench.received);
}

/* ---- EMIT ---- */

static void test_an_event_goes_to_the_selected(void **state) {
    (void) state;
    begin();
    into_room("sid1", "x");
    into_room("sid2", "y");
    struct rp_op op = emit_op("/", "x", 0);
    op.emit.sid = RP_BYTES_LIT("sid2");
    uint64_t seq = do_request(WORKER, op);
    struct rp_op_deliver deliver = next(GATEWAY, RP_OP_DELIVER).deliver;
    assert_int_equal(deliver.seq, seq);
    assert_text(deliver.room, "x");
    assert_int_equal(deliver.wants_ack, 0);
    nothing_more(GATEWAY2);
    op = emit_op("/", "x", 0); /* a union: one operation a gateway */
    op.emit.rooms = names("y x sid1");
    op.emit.except = names("z");
    do_request(WORKER, op);
    deliver = next(GATEWAY, RP_OP_DELIVER).deliver;
    assert_true(is_in_names(deliver.rooms, "y"));
    assert_true(is_in_names(deliver.excepts, "z"));
    next(GATEWAY2, RP_OP_DELIVER);
    do_request(WORKER, emit_op("/", "", 0)); /* all */
    next(GATEWAY, RP_OP_DELIVER);
    next(GATEWAY2, RP_OP_DELIVER);
    nothing_more(GATEWAY);
    nothing_more(GATEWAY2);
    nothing_more(WORKER);
}

static void test_a_volatile_event_skips_the_log(void **state) {
    (void) state;
    begin();
    struct rp_op op = emit_op("/", "sid1", RP_OP_EMIT_VOLATILE);
    op.emit.rooms = names("sid2");
    send(WORKER, op);
    run();
    assert_done(WORKER, op.emit.num);
    assert_int_equal(next(GATEWAY, RP_OP_DELIVER).deliver.is_volatile, 1);
    next(GATEWAY2, RP_OP_DELIVER);
    nothing_more(GATEWAY);
    assert_int_equal(count_records(RP_RECORD_EVENT), 0);
}

static void test_a_pattern_means_all_its_namespaces(void **state) {
    (void) state;
    gateway_up(GATEWAY);
    worker_up(WORKER, "/n*", RP_OP_PATTERN);
    struct rp_op op = emit_op("/n*", "", RP_OP_EMIT_PATTERN);
    do_request(WORKER, op); /* nobody is there */
    connect_app(GATEWAY, WORKER, "/n1", 1);
    connect_app(GATEWAY, WORKER, "/n2", 2);
    do_request(WORKER, emit_op("/n*", "", RP_OP_EMIT_PATTERN));
    assert_int_equal(count_records(RP_RECORD_EVENT), 2);
    next(GATEWAY, RP_OP_DELIVER);
    next(GATEWAY, RP_OP_DELIVER);
    do_request(WORKER, emit_op("/n*", "", RP_OP_EMIT_PATTERN | RP_OP_EMIT_VOLATILE));
    next(GATEWAY, RP_OP_DELIVER);
    next(GATEWAY, RP_OP_DELIVER);
    nothing_more(GATEWAY);
}

static void test_requests_that_make_no_sense_are_refused(void **state) {
    (void) state;
    static char long_name[300];
    memset(long_name, 'n', sizeof long_name);
    long_name[0] = '/';
    begin();
    worker_up(WORKER2, "/n*", RP_OP_PATTERN);
    struct rp_op bad[] = {
        emit_op("/", "", RP_OP_EMIT_WANTS_ACK | RP_OP_EMIT_VOLATILE),
        emit_op("/", "", RP_OP_EMIT_WANTS_ACK | RP_OP_EMIT_PATTERN),
        emit_op("/", "", 0),
        emit_op("/", "", 0),
        emit_op("/", "", 0),
        emit_op("/", "x", 0),
        emit_op("/", "x", 0),
        emit_op("/", "", 0),
        {.kind = RP_OP_FETCH,
         .fetch = {.num = bench.next_num++, .nsp = RP_BYTES_LIT("/"), .rooms = names("x")}},
        {.kind = RP_OP_SIDE,
         .side = {.num = bench.next_num++, .nsp = RP_BYTES_LIT("/"), .args = RP_BYTES_LIT("[]")}},
    };
    bad[2].emit.name = rp_bytes(NULL, 0);
    bad[3].emit.args = RP_BYTES_LIT("{}");
    bad[4].emit.rooms = names("x"); /* all, and some more */
    bad[5].emit.rooms = RP_BYTES_LIT("\x01");
    bad[6].emit.except = RP_BYTES_LIT("\0\0\0\0"); /* an empty name */
    bad[7].emit.nsp = rp_bytes((uint8_t *) long_name, sizeof long_name);
    for (size_t i = 0; i < COUNT(bad); i++) {
        send(WORKER, bad[i]);
        run();
        assert_failed(WORKER, bad[i].emit.num, "bad_args");
    }
    struct rp_op op = emit_op("/other", "", 0);
    send(WORKER, op);
    run();
    assert_failed(WORKER, op.emit.num, "invalid_namespace");
    op = move_op("/", "", "", false);
    send(WORKER, op);
    run();
    assert_failed(WORKER, op.move.num, "bad_room");
    op = move_op("/", "", "sid1", true); /* a socket's own */
    send(WORKER, op);
    run();
    assert_failed(WORKER, op.move.num, "bad_room");
    send(GATEWAY, emit_op("/", "", 0)); /* not a gateway's */
    run();
    nothing_more(GATEWAY);
    assert_int_equal(count_records(RP_RECORD_EVENT), 0);
}

static void test_a_resent_emit_is_done_once(void **state) {
    (void) state;
    begin();
    struct rp_op op = emit_op("/", "", 0);
    uint64_t seen = rp_core_stats(bench.core)->head;
    send(WORKER, op);
    lose_link(WORKER);
    run();
    worker_hello(WORKER, 111, EPOCH, seen);
    serve(WORKER, "/", 0);
    send(WORKER, op);
    resumed(WORKER);
    run();
    next(WORKER, RP_OP_WELCOME);
    assert_done(WORKER, op.emit.num);
    assert_int_equal(count_records(RP_RECORD_EVENT), 1);
}

/* The refusal is lost with its link; what was emitted after it is in the log. */
static void test_a_refused_emit_does_not_come_late(void **state) {
    (void) state;
    begin();
    struct rp_op refused = emit_op("/", "", 0), stored = emit_op("/", "", 0);
    uint64_t seen = rp_core_stats(bench.core)->head;
    rp_engine_memory_refuse(bench.engine, 1);
    send(WORKER, refused);
    send(WORKER, stored);
    run();
    lose_link(WORKER);
    forget(&bench.received);
    worker_hello(WORKER, 111, EPOCH, seen);
    serve(WORKER, "/", 0);
    send(WORKER, refused);
    send(WORKER, stored);
    resumed(WORKER);
    run();
    next(WORKER, RP_OP_WELCOME);
    assert_failed(WORKER, refused.emit.num, "unavailable");
    assert_done(WORKER, stored.emit.num);
    assert_int_equal(count_records(RP_RECORD_EVENT), 1);
    forget(&bench.received);
    do_request(WORKER, emit_op("/", "", 0));
}

/* ---- acks ---- */

static uint64_t emit_owed(uint64_t expected, struct rp_op *ret_op) {
    *ret_op = emit_op("/", "", RP_OP_EMIT_WANTS_ACK);
    send(WORKER, *ret_op);
    run();
    struct rp_op_done done = next(WORKER, RP_OP_DONE).done;
    assert_int_equal(done.num, ret_op->emit.num);
    assert_int_equal(done.replayed, expected);
    return done.seq;
}

static struct rp_op acked_op(struct member m, uint64_t seq, const char *args) {
    return (struct rp_op){.kind = RP_OP_ACKED,
                          .acked = {.num = bench.next_num++,
                                    .session = m.session,
                                    .conn = m.conn,
                                    .seq = seq,
                                    .args = rp_bytes_str(args)}};
}

static void test_acks_come_once_and_in_order(void **state) {
    (void) state;
    struct rp_op emit;
    begin();
    struct member c = connect_app(GATEWAY, WORKER, "/", 3);
    close_socket(c, false, "x"); /* owes one, but is not expected to pay now */
    next(WORKER, RP_OP_LEFT);
    uint64_t seq = emit_owed(2, &emit);
    assert_int_equal(next(GATEWAY, RP_OP_DELIVER).deliver.wants_ack, 1);
    next(GATEWAY2, RP_OP_DELIVER);
    struct rp_op first = acked_op(b, seq, "[\"b\"]"), twice = acked_op(b, seq, "[\"B\"]");
    struct rp_op other = acked_op(a, seq, "[\"a\"]"), never = acked_op(a, seq - 1, "[1]");
    send(GATEWAY2, first);
    send(GATEWAY2, twice); /* the first is in flight */
    send(GATEWAY, other);
    send(GATEWAY, never);
    run();
    struct rp_op_got_ack got = next(WORKER, RP_OP_GOT_ACK).got_ack;
    assert_int_equal(got.num, emit.emit.num);
    assert_int_equal(got.session, b.session);
    assert_text(got.sid, "sid2");
    assert_text(got.args, "[\"b\"]");
    assert_int_equal(next(WORKER, RP_OP_GOT_ACK).got_ack.session, a.session);
    nothing_more(WORKER);
    assert_done(GATEWAY2, twice.acked.num);
    assert_done(GATEWAY2, first.acked.num);
    assert_done(GATEWAY, never.acked.num);
    assert_done(GATEWAY, other.acked.num);
    twice = acked_op(b, seq, "[\"B\"]"); /* it is in the log */
    send(GATEWAY2, twice);
    run();
    assert_done(GATEWAY2, twice.acked.num);
    assert_int_equal(count_records(RP_RECORD_ACK), 2);
    assert_int_equal(rp_core_stats(bench.core)->acks_ignored, 3);
    b.conn--;
    twice = acked_op(b, seq, "[]");
    send(GATEWAY2, twice);
    run();
    assert_failed(GATEWAY2, twice.acked.num, "superseded");
}

static void test_an_ack_that_the_log_refuses_may_come_again(void **state) {
    (void) state;
    struct rp_op emit;
    begin();
    uint64_t seq = emit_owed(2, &emit);
    forget(&bench.received);
    struct rp_op op = acked_op(a, seq, "[1]");
    rp_engine_memory_refuse(bench.engine, 1);
    send(GATEWAY, op);
    run();
    assert_failed(GATEWAY, op.acked.num, "unavailable");
    op = acked_op(a, seq, "{}");
    send(GATEWAY, op);
    run();
    assert_failed(GATEWAY, op.acked.num, "bad_args");
    op = acked_op(a, seq, "[1]");
    send(GATEWAY, op);
    run();
    assert_done(GATEWAY, op.acked.num);
    next(WORKER, RP_OP_GOT_ACK);
}

/* Exactly once, also if the worker's link, or the broker, was away; and it hears how many to
 * expect. */
static void test_acks_survive_lost_links_and_restarts(void **state) {
    for (int restarted = 0; restarted < 2; restarted++) {
        begin();
        uint64_t seen = rp_core_stats(bench.core)->head;
        struct rp_op emit = emit_op("/", "", RP_OP_EMIT_WANTS_ACK);
        send(WORKER, emit);
        lose_link(WORKER);
        run();
        uint64_t seq = rp_core_stats(bench.core)->head;
        send(GATEWAY, acked_op(a, seq, "[1]"));
        run();
        if (restarted) {
            bench_restart();
        }
        forget(&bench.received);
        worker_hello(WORKER, 111, EPOCH, seen);
        serve(WORKER, "/", 0);
        send(WORKER, emit);
        resumed(WORKER);
        run();
        next(WORKER, RP_OP_WELCOME);
        struct rp_op_done done = next(WORKER, RP_OP_DONE).done;
        assert_int_equal(done.seq, seq);
        assert_int_equal(done.replayed, 2);
        struct rp_op_got_ack got = next(WORKER, RP_OP_GOT_ACK).got_ack;
        assert_int_equal(got.num, emit.emit.num);
        assert_int_equal(got.seq, seq + 1);
        assert_int_equal(count_received(WORKER, RP_OP_GOT_ACK), 0);
        lose_link(WORKER); /* it has seen the ack */
        forget(&bench.received);
        worker_back(WORKER, 111, "/", 0, NULL, 0);
        assert_int_equal(count_received(WORKER, RP_OP_GOT_ACK), 0);
        bench_teardown(state);
        bench_setup(state);
    }
}

/* What is owed comes again with the recovery, until it is paid. */
static void test_what_is_owed_is_replayed(void **state) {
    (void) state;
    struct rp_op emit;
    begin();
    uint64_t first = emit_owed(2, &emit), second = emit_owed(2, &emit);
    do_request(WORKER, emit_op("/", "", 0));
    send(GATEWAY, acked_op(a, first, "[1]"));
    run();
    forget(&bench.received);
    close_socket(a, false, "transport close");
    forget(&bench.received);
    struct rp_op op = connect_op("/", 3, 1);
    char offset[40];
    snprintf(offset, sizeof offset, "%llu-epoc", (unsigned long long) second + 1);
    op.connect.offset = rp_bytes_str(offset);
    send(GATEWAY, op);
    run();
    struct rp_op_admit admit = next(WORKER, RP_OP_ADMIT).admit;
    decide(WORKER, admit.origin, admit.num, RP_OP_YES, "");
    run();
    struct member back = take_connected(GATEWAY, op.connect.num, true);
    next(GATEWAY, RP_OP_MEMBER);
    next(GATEWAY, RP_OP_MEMBER);
    struct rp_op_replay replay = next(GATEWAY, RP_OP_REPLAY).replay;
    assert_int_equal(replay.seq, second);
    assert_true(replay.again && replay.wants_ack);
    next(GATEWAY, RP_OP_LIVE);
    nothing_more(GATEWAY);
    op = acked_op(back, second, "[2]");
    send(GATEWAY, op);
    run();
    assert_done(GATEWAY, op.acked.num);
    assert_int_equal(count_received(WORKER, RP_OP_GOT_ACK), 1);
}

/* ---- MOVE ---- */

/* What goes to single sockets alone is marked, so that no history tells it. */
static void test_what_goes_to_one_socket_is_private(void **state) {
    (void) state;
    const struct {
        const char *room, *more;
        bool is_private;
    } table[] = {
        {"sid1", "", true}, {"sid1", "sid2", true}, {"sid1", "x", false},
        {"x", "", false},   {"", "", false},        {"aB3-_6789012345678ZZ", "", true},
    };
    begin();
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_op op = emit_op("/", table[i].room, 0);
        op.emit.rooms = names(table[i].more);
        do_request(WORKER, op);
        const struct rp_tail *tail = &bench.core->tail;
        const struct rp_record *r = rp_tail_at(tail, tail->count - 1);
        assert_int_equal(r->f.kind, RP_RECORD_EVENT);
        assert_int_equal((r->f.flags & RP_RECORD_PRIVATE) != 0, table[i].is_private);
    }
}

static void test_sockets_are_moved(void **state) {
    (void) state;
    begin();
    struct rp_op op = move_op("/", "sid1", "x", false);
    op.move.rooms = names("sid2");
    op.move.except = names("sid2");
    send(WORKER, op);
    run();
    struct rp_op_member member = next(GATEWAY, RP_OP_MEMBER).member;
    assert_int_equal(member.conn, a.conn);
    assert_int_equal(member.joined, 1);
    assert_text(member.room, "x");
    assert_int_equal(next(WORKER, RP_OP_MEMBER).member.conn, a.conn);
    assert_int_equal(assert_done(WORKER, op.move.num), member.seq);
    nothing_more(GATEWAY2);
    op = move_op("/", "", "x", false); /* who is in it already is told nothing */
    send(WORKER, op);
    run();
    assert_int_equal(next(GATEWAY2, RP_OP_MEMBER).member.conn, b.conn);
    nothing_more(GATEWAY);
    forget(&bench.received);
    op = move_op("/", "x", "x", true);
    send(WORKER, op);
    run();
    assert_int_equal(next(GATEWAY, RP_OP_MEMBER).member.joined, 0);
    assert_int_equal(next(GATEWAY2, RP_OP_MEMBER).member.joined, 0);
    forget(&bench.received);
    do_request(WORKER, emit_op("/", "x", 0));
    nothing_more(GATEWAY);
}

/* A gateway that was away gets moves and deliveries in their order. */
static void test_moves_while_a_gateway_is_away(void **state) {
    (void) state;
    begin();
    uint64_t seen = rp_core_stats(bench.core)->head;
    lose_link(GATEWAY);
    send(WORKER, move_op("/", "sid1", "x", false));
    send(WORKER, emit_op("/", "x", 0));
    send(WORKER, move_op("/", "sid1", "x", true));
    send(WORKER, emit_op("/", "x", 0));
    run();
    gateway_back(GATEWAY, 101, seen, &a, 1);
    resumed(GATEWAY);
    run();
    next(GATEWAY, RP_OP_WELCOME);
    assert_int_equal(next(GATEWAY, RP_OP_VERDICT).verdict.verdict, RP_OP_KEPT);
    next(GATEWAY, RP_OP_MEMBER);
    next(GATEWAY, RP_OP_MEMBER);
    assert_int_equal(next(GATEWAY, RP_OP_MEMBER).member.joined, 1);
    next(GATEWAY, RP_OP_DELIVER);
    assert_int_equal(next(GATEWAY, RP_OP_MEMBER).member.joined, 0);
    if (count_received(GATEWAY, RP_OP_DELIVER) > 0) {
        next(GATEWAY, RP_OP_DELIVER); /* nobody in the room takes it */
    }
    nothing_more(GATEWAY);
}

static void test_a_socket_can_be_moved_into_so_many_rooms(void **state) {
    (void) state;
    begin();
    for (int i = 0; i <= RP_SESSION_ROOMS_MAX; i++) {
        char room[16];
        snprintf(room, sizeof room, "r%d", i);
        struct rp_op op = move_op("/", "sid1", room, false);
        send(WORKER, op);
        run();
        if (i == RP_SESSION_ROOMS_MAX) {
            assert_failed(WORKER, op.move.num, "too_many_rooms");
        }
        forget(&bench.received);
    }
    struct rp_op op = move_op("/", "sid1", "r0", false); /* is in it */
    do_request(WORKER, op);
}

/* ---- EXPEL ---- */

static struct rp_op expel_op(const char *room, bool transport) {
    return (struct rp_op){.kind = RP_OP_EXPEL,
                          .expel = {.num = bench.next_num++,
                                    .transport = transport,
                                    .nsp = RP_BYTES_LIT("/"),
                                    .room = rp_bytes_str(room)}};
}

static void test_sockets_are_disconnected(void **state) {
    (void) state;
    begin();
    struct rp_op emit = emit_op("/", "", 0), op = expel_op("sid1", true);
    send(WORKER, emit);
    send(WORKER, op);
    run();
    next(GATEWAY, RP_OP_DELIVER);
    struct rp_op_kicked kicked = next(GATEWAY, RP_OP_KICKED).kicked;
    assert_int_equal(kicked.conn, a.conn);
    assert_int_equal(kicked.transport, 1);
    next(GATEWAY2, RP_OP_DELIVER);
    nothing_more(GATEWAY2);
    assert_done(WORKER, emit.emit.num);
    struct rp_op_left left = next(WORKER, RP_OP_LEFT).left;
    assert_int_equal(left.ended, 1);
    assert_text(left.reason, "server namespace disconnect");
    assert_done(WORKER, op.expel.num);
    assert_null(rp_sessions_find(&bench.core->sessions, a.session));
}

/* With the session goes what a gateway that is behind would need to know, so it is told at once:
 * the client gets nothing from after its end. */
static void test_a_gateway_that_is_behind_disconnects_at_once(void **state) {
    (void) state;
    bench.config.link_credit_bytes = 2000;
    bench.config.page_bytes = 1000;
    bench_reconfigure();
    begin();
    static char args[1200];
    memset(args, ' ', sizeof args - 1);
    args[0] = '[';
    args[sizeof args - 2] = ']';
    for (int i = 0; i < 4; i++) {
        struct rp_op op = emit_op("/", "sid1", 0);
        op.emit.args = rp_bytes_str(args);
        send(WORKER, op);
        run();
    }
    send(WORKER, expel_op("sid1", false));
    run();
    size_t before = count_received(GATEWAY, RP_OP_DELIVER);
    assert_true(before < 4);
    for (size_t i = 0; i < before; i++) {
        next(GATEWAY, RP_OP_DELIVER);
    }
    assert_int_equal(next(GATEWAY, RP_OP_KICKED).kicked.conn, a.conn);
    for (int i = 0; i < 10; i++) {
        struct rp_peer *peer = rp_core_peer_of_link(bench.core, GATEWAY);
        send(GATEWAY, (struct rp_op){.kind = RP_OP_HEARTBEAT,
                                     .heartbeat = {.consumed = peer->link.sent_bytes}});
        run();
    }
    assert_int_equal(count_received(GATEWAY, RP_OP_DELIVER), 0);
}

/* Between the gateway's SESSION and its RESUMED. */
static void test_a_gateway_that_resumes_hears_of_the_disconnect(void **state) {
    (void) state;
    begin();
    uint64_t seen = rp_core_stats(bench.core)->head;
    lose_link(GATEWAY);
    do_request(WORKER, emit_op("/", "", 0));
    assert_int_equal(next(GATEWAY2, RP_OP_LOST).lost.incarnation, 101);
    next(GATEWAY2, RP_OP_DELIVER);
    gateway_back(GATEWAY, 101, seen, &a, 1);
    run();
    send(WORKER, expel_op("sid1", false));
    run();
    resumed(GATEWAY);
    run();
    next(GATEWAY, RP_OP_WELCOME);
    assert_int_equal(next(GATEWAY, RP_OP_VERDICT).verdict.verdict, RP_OP_KEPT);
    next(GATEWAY, RP_OP_MEMBER);
    next(GATEWAY, RP_OP_MEMBER);
    assert_int_equal(next(GATEWAY, RP_OP_KICKED).kicked.conn, a.conn);
    nothing_more(GATEWAY);
}

/* ---- DATA and FETCH ---- */

static struct rp_bytes fetch(uint64_t after, const char *room, const char *except) {
    struct rp_op op = {.kind = RP_OP_FETCH,
                       .fetch = {.num = bench.next_num++,
                                 .after = after,
                                 .nsp = RP_BYTES_LIT("/"),
                                 .room = rp_bytes_str(room),
                                 .except = names(except)}};
    send(WORKER, op);
    run();
    struct rp_op_result result = next(WORKER, RP_OP_RESULT).result;
    assert_int_equal(result.num, op.fetch.num);
    return result.json;
}

static void assert_has(struct rp_bytes text, const char *part, bool has) {
    static char copy[200000];
    assert_true(text.len < sizeof copy);
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if ((strstr(copy, part) != NULL) != has) {
        fail_msg("\"%s\" is %s in %.2000s", part, has ? "not" : "", copy);
    }
}

static void test_a_worker_sees_what_it_did(void **state) {
    (void) state;
    begin();
    struct rp_op data = {.kind = RP_OP_DATA,
                         .data = {.num = bench.next_num++,
                                  .session = a.session,
                                  .json = RP_BYTES_LIT("{\"name\":\"x\"}")}};
    struct rp_op move = move_op("/", "sid1", "room", false);
    struct rp_op op = {
        .kind = RP_OP_FETCH,
        .fetch = {.num = bench.next_num++, .nsp = RP_BYTES_LIT("/"), .room = RP_BYTES_LIT("room")}};
    send(WORKER, data);
    send(WORKER, move);
    send(WORKER, op); /* neither is committed */
    turn();
    nothing_more(WORKER);
    run();
    assert_done(WORKER, data.data.num);
    next(WORKER, RP_OP_MEMBER);
    assert_done(WORKER, move.move.num);
    struct rp_bytes json = next(WORKER, RP_OP_RESULT).result.json;
    assert_has(json, "\"id\":\"sid1\"", true);
    assert_has(json, "\"rooms\":[\"room\",\"sid1\"]", true);
    assert_has(json, "\"data\":{\"name\":\"x\"}", true);
    assert_has(json, "\"handshake\":{\"h\":1}", true);
    assert_has(json, "sid2", false);
    assert_has(json, "\"after\"", false);
    json = fetch(0, "", "room");
    assert_has(json, "sid2", true);
    assert_has(json, "sid1", false);
    assert_has(fetch(a.session, "", ""), "sid1", false);
    forget(&bench.received);
    close_socket(a, false, "x"); /* away */
    next(WORKER, RP_OP_LEFT);
    assert_has(fetch(0, "", ""), "sid1", false);
    assert_text(fetch(0, "none", ""), "{\"sockets\":[]}");
}

static void test_data_is_one_value(void **state) {
    (void) state;
    static char large[RP_SESSION_DATA_BYTES_MAX + 2];
    memset(large, ' ', sizeof large);
    large[0] = '1';
    begin();
    const struct rp_bytes bad[] = {RP_BYTES_LIT(""), RP_BYTES_LIT("{"), RP_BYTES_LIT("1 2"),
                                   rp_bytes((uint8_t *) large, RP_SESSION_DATA_BYTES_MAX + 1)};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct rp_op op = {.kind = RP_OP_DATA,
                           .data = {.num = bench.next_num++, .session = a.session, .json = bad[i]}};
        send(WORKER, op);
        run();
        assert_failed(WORKER, op.data.num, "bad_args");
    }
    struct rp_op op = {.kind = RP_OP_DATA,
                       .data = {.num = bench.next_num++, .session = 77, .json = RP_BYTES_LIT("1")}};
    send(WORKER, op);
    run();
    assert_failed(WORKER, op.data.num, "gone");
}

static void test_many_sockets_are_told_in_pages(void **state) {
    (void) state;
    enum { SOCKETS = 100 };
    static char large[RP_SESSION_DATA_BYTES_MAX];
    memset(large, 'd', sizeof large);
    large[0] = large[sizeof large - 1] = '"';
    bench.config.link_credit_bytes = 16 << 20;
    bench_reconfigure();
    gateway_up(GATEWAY);
    worker_up(WORKER, "/", 0);
    for (unsigned i = 0; i < SOCKETS; i++) {
        struct member m = connect_app(GATEWAY, WORKER, "/", i + 1);
        struct rp_op op = {.kind = RP_OP_DATA,
                           .data = {.num = bench.next_num++,
                                    .session = m.session,
                                    .json = rp_bytes((uint8_t *) large, sizeof large)}};
        do_request(WORKER, op);
    }
    uint64_t after = 0;
    size_t found = 0, pages = 0;
    for (bool more = true; more; pages++) {
        struct rp_bytes json = fetch(after, "", "");
        more = false;
        for (size_t i = 0; i + 9 < json.len; i++) {
            found += memcmp(json.data + i, "{\"id\":\"sid", 10) == 0;
            if (memcmp(json.data + i, "],\"after\":", 10) == 0) {
                more = true;
                after = strtoull((const char *) json.data + i + 10, NULL, 10);
            }
        }
        assert_true(pages < 10);
    }
    assert_int_equal(found, SOCKETS);
    assert_true(pages >= 2);
}

/* ---- SIDE ---- */

static struct rp_op side_op(bool wants_ack) {
    return (struct rp_op){.kind = RP_OP_SIDE,
                          .side = {.num = bench.next_num++,
                                   .wants_ack = wants_ack,
                                   .nsp = RP_BYTES_LIT("/"),
                                   .name = RP_BYTES_LIT("hey"),
                                   .args = RP_BYTES_LIT("[1]")}};
}

static void answer_side(uint64_t link_id, uint64_t id, const char *args) {
    send(link_id, (struct rp_op){.kind = RP_OP_SIDE_ANSWER,
                                 .side_answer = {.id = id, .args = rp_bytes_str(args)}});
    run();
}

static void test_workers_speak_to_one_another(void **state) {
    (void) state;
    begin();
    worker_up(WORKER2, "/", 0);
    worker_up(13, "/else", 0);
    struct rp_op op = side_op(false);
    send(WORKER, op);
    run();
    struct rp_op_done done = next(WORKER, RP_OP_DONE).done;
    assert_int_equal(done.num, op.side.num);
    assert_int_equal(done.replayed, 1);
    struct rp_op_side_event event = next(WORKER2, RP_OP_SIDE_EVENT).side_event;
    assert_text(event.name, "hey");
    assert_int_equal(event.wants_ack, 0);
    nothing_more(13);
    op = side_op(true);
    send(WORKER, op);
    run();
    next(WORKER, RP_OP_DONE);
    event = next(WORKER2, RP_OP_SIDE_EVENT).side_event;
    assert_int_equal(event.wants_ack, 1);
    answer_side(13, event.id, "[\"not mine\"]");
    nothing_more(WORKER);
    answer_side(WORKER2, event.id, "[2]");
    struct rp_op_side_answered answered = next(WORKER, RP_OP_SIDE_ANSWERED).side_answered;
    assert_int_equal(answered.num, op.side.num);
    assert_text(answered.args, "[2]");
    answer_side(WORKER2, event.id, "[3]"); /* once */
    nothing_more(WORKER);
    assert_int_equal(bench.core->sides.count, 0);
}

static void test_acks_of_dead_workers_are_not_waited_for(void **state) {
    (void) state;
    const uint64_t links[] = {GATEWAY, GATEWAY2, WORKER};
    begin();
    worker_up(WORKER2, "/", 0);
    send(WORKER, side_op(true));
    run();
    uint64_t id = next(WORKER2, RP_OP_SIDE_EVENT).side_event.id;
    lose_link(WORKER2);
    assert_int_equal(bench.core->sides.count, 1);
    pass_linked(RP_SIDE_WAIT_MS + 1000, links, COUNT(links));
    assert_int_equal(bench.core->sides.count, 0);
    worker_up(WORKER2, "/", 0);
    forget(&bench.received);
    answer_side(WORKER2, id, "[2]");
    nothing_more(WORKER);
}

/* ---- credit ---- */

/* What waits for a worker's credit comes in its order; too much ends the link. */
static void test_a_worker_that_takes_nothing(void **state) {
    (void) state;
    bench.config.link_credit_bytes = 3000;
    bench.config.page_bytes = 1000;
    bench_reconfigure();
    begin();
    enum { EVENTS = 30 };
    struct rp_op ops[EVENTS];
    for (int i = 0; i < EVENTS; i++) {
        static const char args[] =
            "[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]";
        ops[i] = ask_event(a, args);
    }
    assert_true(count_received(WORKER, RP_OP_INVOKE) < EVENTS);
    for (int i = 0; i < 10; i++) {
        struct rp_peer *peer = rp_core_peer_of_link(bench.core, WORKER);
        send(WORKER, (struct rp_op){.kind = RP_OP_HEARTBEAT,
                                    .heartbeat = {.consumed = peer->link.sent_bytes}});
        run();
    }
    for (int i = 0; i < EVENTS; i++) {
        take_invoke(WORKER, ops[i].event.num, false);
    }
    struct rp_peer *peer = rp_core_peer_of_link(bench.core, WORKER);
    peer->link.peer_consumed = peer->link.sent_bytes - 3000; /* used up again */
    static char large[8 << 20];
    memset(large, ' ', sizeof large - 1);
    large[0] = '[';
    large[sizeof large - 2] = ']';
    for (int i = 0; i < 9; i++) {
        ask_event(a, large);
    }
    pass_ms(300);
    run();
    assert_text(next(WORKER, RP_OP_REFUSED).refused.code, "relink");
    assert_int_equal(rp_core_stats(bench.core)->outboxes_overflowed, 1);
    const struct member sockets[] = {a, b};
    worker_back(WORKER, 111, "/", 0, sockets, 2);
    next(WORKER, RP_OP_SOCKET);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_an_event_goes_to_the_selected),
        BENCH_TEST(test_a_volatile_event_skips_the_log),
        BENCH_TEST(test_a_pattern_means_all_its_namespaces),
        BENCH_TEST(test_requests_that_make_no_sense_are_refused),
        BENCH_TEST(test_a_resent_emit_is_done_once),
        BENCH_TEST(test_a_refused_emit_does_not_come_late),
        BENCH_TEST(test_acks_come_once_and_in_order),
        BENCH_TEST(test_an_ack_that_the_log_refuses_may_come_again),
        BENCH_TEST(test_acks_survive_lost_links_and_restarts),
        BENCH_TEST(test_what_is_owed_is_replayed),
        BENCH_TEST(test_what_goes_to_one_socket_is_private),
        BENCH_TEST(test_sockets_are_moved),
        BENCH_TEST(test_moves_while_a_gateway_is_away),
        BENCH_TEST(test_a_socket_can_be_moved_into_so_many_rooms),
        BENCH_TEST(test_sockets_are_disconnected),
        BENCH_TEST(test_a_gateway_that_is_behind_disconnects_at_once),
        BENCH_TEST(test_a_gateway_that_resumes_hears_of_the_disconnect),
        BENCH_TEST(test_a_worker_sees_what_it_did),
        BENCH_TEST(test_data_is_one_value),
        BENCH_TEST(test_many_sockets_are_told_in_pages),
        BENCH_TEST(test_workers_speak_to_one_another),
        BENCH_TEST(test_acks_of_dead_workers_are_not_waited_for),
        BENCH_TEST(test_a_worker_that_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
