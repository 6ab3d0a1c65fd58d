/* tests/unit/test_core.c — broker/core, broker/greet: gateways come, go and come back, and no
 * request is lost or done twice. */
#include "tests/unit/core_fixture.h"

/* ---- HELLO ---- */

static void test_another_version_is_refused(void **state) {
    (void) state;
    for (uint64_t version = 0; version <= 3; version++) {
        if (version == RP_PROTOCOL_VERSION) {
            continue;
        }
        send(1,
             (struct rp_op){.kind = RP_OP_HELLO, .hello = {.version = version, .incarnation = 5}});
        run();
        struct rp_op refused = next(1, RP_OP_REFUSED);
        assert_text(refused.refused.code, "version");
        char expected[80];
        snprintf(expected, sizeof expected, "this broker speaks protocol version 3, the gateway %d",
                 (int) version);
        assert_text(refused.refused.message, expected);
        nothing_more(1);
    }
    assert_int_equal(rp_core_stats(bench.core)->hellos_refused, 3);
    assert_int_equal(rp_core_stats(bench.core)->gateways, 0);
    link_up(1, 5); /* the same link may try again with the right one */
}

static void say_hello_as(uint64_t link_id, uint64_t role) {
    send(link_id, (struct rp_op){.kind = RP_OP_HELLO,
                                 .hello = {.version = RP_PROTOCOL_VERSION,
                                           .incarnation = 1000 + link_id,
                                           .role = role}});
    run();
}

static void test_roles_that_were_not_granted_are_refused(void **state) {
    (void) state;
    static const struct {
        unsigned granted;
        uint64_t role;
        bool ok;
    } cases[] = {
        {RP_CORE_GATEWAY, RP_OP_GATEWAY, true},
        {RP_CORE_WORKER, RP_OP_GATEWAY, false},
        {0, RP_OP_GATEWAY, false},
        {RP_CORE_GATEWAY | RP_CORE_WORKER, RP_OP_GATEWAY, true},
        {RP_CORE_GATEWAY, RP_OP_WORKER, false},
        {0, RP_OP_WORKER, false},
        {RP_CORE_GATEWAY | RP_CORE_WORKER, 2, false},
        {RP_CORE_GATEWAY | RP_CORE_WORKER, UINT64_MAX, false},
    };
    uint64_t refused = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rp_core_grant(bench.core, cases[i].granted);
        say_hello_as(i + 1, cases[i].role);
        refused += !cases[i].ok;
        if (cases[i].ok) {
            next(i + 1, RP_OP_WELCOME);
        } else {
            assert_text(next(i + 1, RP_OP_REFUSED).refused.code, "role");
        }
        assert_int_equal(rp_core_roles_refused(bench.core), refused);
    }
}

static void test_the_incarnation_0_is_refused(void **state) {
    (void) state;
    hello(1, 0, rp_bytes(NULL, 0), 0);
    run();
    assert_text(next(1, RP_OP_REFUSED).refused.code, "incarnation");
}

static void test_nothing_counts_before_hello(void **state) {
    (void) state;
    ask_connect(1, 1, 0, "");
    run();
    assert_text(next(1, RP_OP_REFUSED).refused.code, "relink"); /* so that it need not wait */
    nothing_more(1);
    assert_int_equal(rp_core_stats(bench.core)->stray_messages, 1);
    assert_int_equal(count_records(RP_RECORD_OPEN), 0);
    for (uint64_t link_id = 100; link_id < 300; link_id++) { /* but not everybody at once */
        ask_connect(link_id, 1, 0, "");
    }
    run();
    next(100, RP_OP_REFUSED);
    nothing_more(299);
    link_up(1, 5);
    connect_new(1, 1);
}

static void test_a_second_hello_on_a_link_is_ignored(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    hello(1, 6, rp_bytes(NULL, 0), 0);
    run();
    nothing_more(1);
    join(m, "a");
}

static void test_a_new_link_of_a_gateway_replaces_the_old(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    hello(2, 5, EPOCH, m.session);
    m.link_id = 2;
    list_session(m);
    resumed(2);
    run();
    assert_int_equal(next(2, RP_OP_WELCOME).welcome.head, m.session);
    assert_int_equal(next(2, RP_OP_VERDICT).verdict.verdict, RP_OP_KEPT);
    join(m, "a");
    ask_join((struct member){1, m.session, m.conn}, "b"); /* nobody listens there any more */
    run();
    assert_text(next(1, RP_OP_REFUSED).refused.code, "relink");
    nothing_more(1);
    assert_int_equal(count_records(RP_RECORD_JOIN), 1);
}

static void test_too_many_gateways_are_refused(void **state) {
    (void) state;
    for (uint64_t i = 1; i <= RP_PEERS_MAX; i++) {
        hello(i, i, rp_bytes(NULL, 0), 0);
    }
    hello(RP_PEERS_MAX + 1, RP_PEERS_MAX + 1, rp_bytes(NULL, 0), 0);
    run();
    assert_text(next(RP_PEERS_MAX + 1, RP_OP_REFUSED).refused.code, "full");
    assert_int_equal(rp_core_stats(bench.core)->gateways, RP_PEERS_MAX);
    /* one that is known may come back */
    hello(RP_PEERS_MAX + 2, 1, rp_bytes(NULL, 0), 0);
    run();
    next(RP_PEERS_MAX + 2, RP_OP_WELCOME);
}

/* ---- the log's identity ---- */

static void test_another_epoch_is_reset(void **state) {
    (void) state;
    hello(1, 5, RP_BYTES_LIT("otherone"), 0);
    run();
    assert_text(next(1, RP_OP_RESET).reset.message, "the log has a new epoch");
    nothing_more(1);
    hello(1, 5, RP_BYTES_LIT("epoch00"), 0); /* its beginning is not it */
    run();
    next(1, RP_OP_RESET);
    assert_int_equal(rp_core_stats(bench.core)->links_reset, 2);
}

/* A gateway has seen what the log does not have: the file is an older one. */
static void test_seen_beyond_the_log_begins_a_new_epoch(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    join(m, "a");
    assert_string_equal(rp_core_notice(bench.core), "");
    hello(2, 6, EPOCH, 1000);
    run();
    assert_text(next(2, RP_OP_RESET).reset.message, "the log has a new epoch");
    assert_text(next(1, RP_OP_RESET).reset.message, "the log has a new epoch");
    const char *notice = rp_core_notice(bench.core);
    assert_non_null(strstr(notice, "seq 1000"));
    assert_non_null(strstr(notice, "zzzzzzzz"));
    assert_string_equal(rp_core_notice(bench.core), ""); /* said once */

    assert_int_equal(rp_core_stats(bench.core)->sessions, 0);
    assert_int_equal(rp_core_stats(bench.core)->rooms, 0);
    link_up(3, 7);
    uint64_t num = ask_connect(3, 2, 1, "2-epoc"); /* the old session is unknown */
    run();
    struct rp_op got = next(3, RP_OP_CONNECTED);
    assert_int_equal(got.connected.num, num);
    assert_int_equal(got.connected.recovered, 0);
    assert_int_equal(got.connected.session, 1001);
    hello(4, 6, EPOCH, 1000);
    run();
    next(4, RP_OP_RESET);
    hello(4, 6, RP_BYTES_LIT("zzzzzzzz"), 1001);
    run();
    next(4, RP_OP_WELCOME);
}

/* There is nothing below the new epoch, which retention must find out. */
static void test_a_new_epoch_can_be_trimmed(void **state) {
    (void) state;
    bench.retain_events = 5;
    bench_reconfigure();
    hello(1, 5, EPOCH, 1000);
    pass_ms(1000);
    run();
    next(1, RP_OP_RESET);
    link_up(2, 6);
    struct member m = connect_new(2, 1);
    assert_int_equal(m.session, 1001);
    for (int i = 0; i < 9; i++) {
        publish(m, "a", "[1]");
    }
    trim();
    assert_int_equal(rp_core_stats(bench.core)->first, 1006);
}

static void test_a_new_epoch_waits_for_what_is_undecided(void **state) {
    (void) state;
    link_up(1, 5);
    ask_connect(1, 1, 0, "");
    hello(2, 6, EPOCH, 1000);
    turn();
    assert_text(next(2, RP_OP_REFUSED).refused.code, "busy");
    run();
    next(1, RP_OP_CONNECTED);
    hello(2, 6, EPOCH, 1000);
    run();
    next(2, RP_OP_RESET);
}

/* Seqs are numbers for JavaScript, and there must be some left above. */
static void test_an_impossible_position_is_refused(void **state) {
    (void) state;
    static const uint64_t impossible[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 53};
    for (size_t i = 0; i < COUNT(impossible); i++) {
        hello(1, 5, EPOCH, impossible[i]);
        run();
        assert_text(next(1, RP_OP_REFUSED).refused.code, "seen");
    }
    link_up(1, 5);
    assert_int_equal(connect_new(1, 1).session, 1);
}

static void test_a_gateway_that_missed_too_much_is_reset(void **state) {
    (void) state;
    bench.config.tail_records_max = 4;
    bench_reconfigure();
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    for (int i = 0; i < 10; i++) {
        publish(m, "a", "[1]");
    } /* seq 11; the tail holds 8 … 11 */
    static const struct {
        uint64_t seen;
        bool taken;
    } table[] = {{0, false}, {6, false}, {7, false}, {8, true}, {11, true}};
    for (size_t i = 0; i < COUNT(table); i++) {
        hello(10 + i, 10 + i, EPOCH, table[i].seen);
        run();
        if (table[i].taken) {
            next(10 + i, RP_OP_WELCOME);
        } else {
            assert_text(next(10 + i, RP_OP_RESET).reset.message, "the gateway was away too long");
        }
    }
}

/* ---- resume ---- */

static void test_listed_sessions_get_their_verdict(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    struct member kept = connect_new(1, 1), moved = connect_new(1, 2), closed = connect_new(1, 3);
    ask_connect(2, 9, 2, "");
    send(1, (struct rp_op){.kind = RP_OP_CLOSE,
                           .close = {.num = bench.next_num++,
                                     .session = closed.session,
                                     .conn = closed.conn,
                                     .ended = 1}});
    run();
    lose_link(1);
    forget(&bench.received);
    hello(3, 5, EPOCH, rp_core_stats(bench.core)->head);
    struct member all[] = {kept, moved, closed, {0, 4711, 4711}};
    for (size_t i = 0; i < COUNT(all); i++) {
        all[i].link_id = 3;
        list_session(all[i]);
    }
    resumed(3);
    run();
    next(3, RP_OP_WELCOME);
    static const uint64_t verdicts[] = {RP_OP_KEPT, RP_OP_SUPERSEDED, RP_OP_UNKNOWN, RP_OP_UNKNOWN};
    for (size_t i = 0; i < COUNT(all); i++) {
        struct rp_op got = next(3, RP_OP_VERDICT);
        assert_int_equal(got.verdict.conn, all[i].conn);
        assert_int_equal(got.verdict.verdict, verdicts[i]);
    }
    /* the close happened before `seen`, but its answer may have been lost at the cut */
    assert_int_equal(next(3, RP_OP_DONE).done.seq, rp_core_stats(bench.core)->head);
    nothing_more(3);
}

static void test_sessions_that_are_not_listed_are_closed(void **state) {
    (void) state;
    link_up(1, 5);
    struct member stays = connect_new(1, 1), gone = connect_new(1, 2);
    join(stays, "a");
    join(gone, "a");
    assert_int_equal(rp_core_stats(bench.core)->connected, 2);
    lose_link(1);
    hello(2, 5, EPOCH, rp_core_stats(bench.core)->head);
    stays.link_id = 2;
    list_session(stays);
    resumed(2);
    run();
    assert_int_equal(rp_core_stats(bench.core)->connected, 1);
    assert_int_equal(rp_core_stats(bench.core)->sessions, 2); /* it may come back */
    assert_int_equal(count_records(RP_RECORD_CLOSE), 1);
}

/* The rooms as of `seen`, then what changed, in the order of the log. */
static void test_a_resumed_gateway_is_told_its_rooms_and_what_it_missed(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    struct member m = connect_new(1, 1), other = connect_new(2, 2);
    join(m, "a");
    join(m, "b");
    uint64_t seen = rp_core_stats(bench.core)->head;
    publish(other, "a", "[1]");
    ask_leave(m, "a");
    ask_join(m, "c");
    run();
    publish(other, "a", "[2]");
    publish(other, "b", "[3]");
    publish(other, "c", "[4]");
    lose_link(1);
    run();
    forget(&bench.received); /* nothing of it has arrived */
    hello(3, 5, EPOCH, seen);
    m.link_id = 3;
    list_session(m);
    resumed(3);
    run();
    assert_int_equal(next(3, RP_OP_WELCOME).welcome.head, seen + 6);
    next(3, RP_OP_VERDICT);
    assert_text(next(3, RP_OP_MEMBER).member.room, "b");
    struct rp_op a = next(3, RP_OP_MEMBER); /* it was in it then */
    assert_text(a.member.room, "a");
    assert_int_equal(a.member.joined, 1);
    /* join b once more: its seq is `seen` itself, so its answer may have been lost */
    assert_text(next(3, RP_OP_MEMBER).member.room, "b");
    assert_int_equal(next(3, RP_OP_DONE).done.seq, seen);
    assert_text(next(3, RP_OP_DELIVER).deliver.args, "[1]");
    struct rp_op left = next(3, RP_OP_MEMBER);
    assert_int_equal(left.member.joined, 0);
    assert_text(left.member.room, "a");
    assert_int_equal(next(3, RP_OP_DONE).done.seq, seen + 2);
    assert_text(next(3, RP_OP_MEMBER).member.room, "c");
    assert_int_equal(next(3, RP_OP_DONE).done.seq, seen + 3);
    struct rp_op two = next(3, RP_OP_DELIVER); /* nobody is in a now: the gateway drops it */
    assert_text(two.deliver.args, "[2]");
    assert_text(next(3, RP_OP_DELIVER).deliver.args, "[3]");
    assert_text(next(3, RP_OP_DELIVER).deliver.args, "[4]");
    nothing_more(3);
    publish(other, "a", "[5]"); /* now it is live, and a is of no interest any more */
    publish(other, "b", "[6]");
    assert_text(next(3, RP_OP_DELIVER).deliver.args, "[6]");
    nothing_more(3);
}

/* Where a publish and its answer can be when the link is lost. */
enum moment {
    NEVER_ARRIVED, /* the request was lost with the link */
    IN_FLIGHT,     /* appended, not committed */
    COMMITTED,     /* in the log; the gateway has seen nothing of it */
    SEEN,          /* the gateway has the delivery, not the answer */
    MOMENTS,
};

/* Lets a publish come to the moment, and returns what the gateway has seen then. */
static uint64_t publish_until(struct member m, enum moment moment, struct rp_op op) {
    uint64_t seen = rp_core_stats(bench.core)->head;
    if (moment == NEVER_ARRIVED) {
        return seen;
    }
    send(m.link_id, op);
    if (moment == IN_FLIGHT) {
        turn();
        return seen;
    }
    run();
    return moment == SEEN ? seen + 1 : seen;
}

static size_t events_with(const char *args) {
    size_t count, found = 0;
    struct rp_record *const *log = rp_memory_store_log(bench.store, &count);
    for (size_t i = 0; i < count; i++) {
        found += log[i]->f.kind == RP_RECORD_EVENT && rp_bytes_eq_str(log[i]->f.args, args);
    }
    return found;
}

/* After the resume everything is answered, once, whatever had become of it. */
static void check_resent(struct member m, struct rp_op op, uint64_t seen, bool delivered) {
    m.link_id = 2;
    hello(2, 5, EPOCH, seen);
    list_session(m);
    send(2, op);
    resumed(2);
    run();
    next(2, RP_OP_WELCOME);
    assert_int_equal(next(2, RP_OP_VERDICT).verdict.verdict, RP_OP_KEPT);
    assert_text(next(2, RP_OP_MEMBER).member.room, "a");
    if (!delivered && seen == 2) { /* the join's answer, which may have been lost, too */
        next(2, RP_OP_MEMBER);
        next(2, RP_OP_DONE);
    }
    if (!delivered) {
        assert_text(next(2, RP_OP_DELIVER).deliver.args, "[1]");
    }
    uint64_t seq = assert_done(2, op.publish.num);
    assert_int_equal(seq, 3);
    nothing_more(2);
    assert_int_equal(events_with("[1]"), 1);
    uint64_t num = ask_publish(m, "a", "[2]"); /* and it goes on */
    run();
    next(2, RP_OP_DELIVER);
    assert_done(2, num);
    nothing_more(2);
}

static void test_a_resent_publish_is_answered_exactly_once(void **state) {
    for (int moment = NEVER_ARRIVED; moment < MOMENTS; moment++) {
        for (int restart = 0; restart <= 1; restart++) {
            link_up(1, 5);
            struct member m = connect_new(1, 1);
            join(m, "a");
            struct rp_op op = publish_op(m, "a", "[1]");
            uint64_t seen = publish_until(m, (enum moment) moment, op);
            if (restart) {
                bench_restart();
            } else {
                lose_link(1);
                forget(&bench.received);
            }
            check_resent(m, op, seen, moment == SEEN);
            bench_teardown(state);
            bench_setup(state);
        }
    }
}

/* An open session, resumed elsewhere meanwhile or not, must be opened once. */
static void test_a_resent_connect_is_answered_exactly_once(void **state) {
    for (int moment = NEVER_ARRIVED; moment < SEEN; moment++) {
        for (int restart = 0; restart <= 1; restart++) {
            link_up(1, 5);
            struct rp_op op = {.kind = RP_OP_CONNECT,
                               .connect = {.num = 1,
                                           .nsp = RP_BYTES_LIT("/"),
                                           .sid = RP_BYTES_LIT("sid"),
                                           .pid_hash = pid_hash(1),
                                           .listed = 1}};
            uint64_t seen = publish_until((struct member){1, 0, 0}, (enum moment) moment, op);
            if (restart) {
                bench_restart();
            } else {
                lose_link(1);
                forget(&bench.received);
            }
            hello(2, 5, EPOCH, seen);
            send(2, op);
            resumed(2);
            run();
            next(2, RP_OP_WELCOME);
            struct rp_op got = next(2, RP_OP_CONNECTED);
            assert_int_equal(got.connected.num, 1);
            assert_int_equal(got.connected.session, 1);
            nothing_more(2);
            assert_int_equal(count_records(RP_RECORD_OPEN), 1);
            assert_int_equal(rp_core_stats(bench.core)->connected, 1);
            bench_teardown(state);
            bench_setup(state);
        }
    }
}

/* ---- silence and loss ---- */

static void test_links_are_kept_alive_and_given_up(void **state) {
    (void) state;
    link_up(1, 5);
    bench.heartbeats = true;
    pass_ms(RP_LINK_HEARTBEAT_MS - 1);
    run();
    nothing_more(1);
    assert_true(rp_core_deadline_ms(bench.core) <= bench.now.mono_ms + 1000);
    pass_ms(1);
    run();
    assert_int_equal(next(1, RP_OP_HEARTBEAT).heartbeat.pos, 0);
    pass_ms(RP_LINK_TIMEOUT_MS - RP_LINK_HEARTBEAT_MS - 1);
    run();
    assert_int_equal(rp_core_stats(bench.core)->gateways, 1);
    pass_ms(201);
    run();
    assert_int_equal(rp_core_stats(bench.core)->gateways, 0);
    assert_int_equal(rp_core_stats(bench.core)->links_lost, 1);
}

static void test_heartbeats_carry_position_and_credit(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    publish(m, "a", "[1]");
    bench.heartbeats = true;
    pass_ms(RP_LINK_HEARTBEAT_MS);
    run();
    struct rp_op_heartbeat told = next(1, RP_OP_HEARTBEAT).heartbeat;
    assert_int_equal(told.pos, 2);
    assert_true(told.consumed > 50);
    send(1, (struct rp_op){.kind = RP_OP_HEARTBEAT, .heartbeat = {.consumed = 1}});
    send(1, (struct rp_op){.kind = RP_OP_HEARTBEAT, .heartbeat = {.consumed = 1 << 20}});
    run();
    assert_text(next(1, RP_OP_RESET).reset.message, "a heartbeat contradicts what was sent");
}

static void test_a_silent_gateway_is_gone_after_a_while(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    struct member m = connect_new(1, 1);
    join(m, "a");
    lose_link(1);
    run();
    next(2, RP_OP_LOST);
    for (int i = 0; i < 7; i++) {
        pass_ms(1000);
        send(2, (struct rp_op){.kind = RP_OP_HEARTBEAT});
        run();
    }
    assert_int_equal(rp_core_stats(bench.core)->connected, 1); /* it may just be restarting */
    assert_int_equal(count_records(RP_RECORD_GONE), 0);
    pass_ms(1200);
    send(2, (struct rp_op){.kind = RP_OP_HEARTBEAT});
    run();
    assert_int_equal(count_records(RP_RECORD_GONE), 1);
    assert_int_equal(rp_core_stats(bench.core)->connected, 0);
    assert_int_equal(rp_core_stats(bench.core)->sessions, 1);
    assert_int_equal(rp_core_stats(bench.core)->gateways_gone, 1);
    uint64_t num = ask_connect(2, 9, 1, ""); /* and its session can be recovered */
    run();
    struct rp_op got = next(2, RP_OP_CONNECTED);
    assert_int_equal(got.connected.num, num);
    assert_int_equal(got.connected.recovered, 1);
}

/* It has stopped: nobody waits for it. */
static void test_a_gateway_that_says_goodbye_is_gone_at_once(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    struct member m = connect_new(1, 1);
    join(m, "a");
    uint64_t num = ask_publish(m, "a", "[1]"); /* is under way, and done */
    send(1, (struct rp_op){.kind = RP_OP_BYE});
    assert_null(rp_core_peer_of_link(bench.core, 1));
    run();
    next(2, RP_OP_LOST);
    pass_ms(200);
    run();
    assert_int_equal(count_records(RP_RECORD_EVENT), 1);
    assert_int_equal(count_records(RP_RECORD_GONE), 1);
    assert_int_equal(rp_core_stats(bench.core)->connected, 0);
    assert_int_equal(rp_core_stats(bench.core)->gateways_left, 1);
    nothing_more(1);
    num = ask_connect(2, 9, 1, "");
    run();
    struct rp_op got = next(2, RP_OP_CONNECTED);
    assert_int_equal(got.connected.num, num);
    assert_int_equal(got.connected.recovered, 1);
    pass_ms(200);
    run();
    assert_null(rp_core_peer_of(bench.core, 5));
}

/* The clock begins with the machine, which may be younger than --gateway-timeout. */
static void test_a_goodbye_is_believed_soon_after_the_machine_started(void **state) {
    (void) state;
    bench.config.gateway_timeout_ms = bench.now.mono_ms + 100000;
    bench_reconfigure();
    link_up(1, 5);
    connect_new(1, 1);
    send(1, (struct rp_op){.kind = RP_OP_BYE});
    pass_ms(200);
    run();
    assert_int_equal(count_records(RP_RECORD_GONE), 1);
    assert_int_equal(rp_core_stats(bench.core)->connected, 0);
}

static void test_a_gone_gateway_that_comes_back_finds_its_sessions_closed(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    lose_link(1);
    pass_ms(9000);
    turn(); /* GONE is on its way to the log */
    hello(2, 5, EPOCH, m.session);
    m.link_id = 2;
    list_session(m);
    resumed(2);
    run();
    next(2, RP_OP_WELCOME);
    assert_int_equal(next(2, RP_OP_VERDICT).verdict.verdict, RP_OP_KEPT); /* not yet known */
    assert_int_equal(next(2, RP_OP_EVICT).evict.conn, m.conn);
    ask_publish(m, "a", "[1]");
    run();
    assert_text(next(2, RP_OP_FAILED).failed.code, "superseded");
}

static void test_sessions_expire(void **state) {
    (void) state;
    link_up(1, 5);
    struct member first = connect_new(1, 1), second = connect_new(1, 2), stays = connect_new(1, 3);
    struct member *closing[] = {&first, &second};
    for (size_t i = 0; i < COUNT(closing); i++) {
        send(1, (struct rp_op){.kind = RP_OP_CLOSE,
                               .close = {.num = bench.next_num++,
                                         .session = closing[i]->session,
                                         .conn = closing[i]->conn}});
        run();
        next(1, RP_OP_DONE);
        pass_ms(1000);
    }
    bench.now.wall_ms += bench.config.session_ttl_ms - 2001;
    pass_ms(1000 - 999);
    run();
    assert_int_equal(count_records(RP_RECORD_END), 1);
    assert_int_equal(rp_core_stats(bench.core)->sessions, 2);
    bench_restart(); /* the times are in the log */
    pass_ms(1000);
    run();
    assert_int_equal(count_records(RP_RECORD_END), 2);
    assert_int_equal(rp_core_stats(bench.core)->sessions, 1);
    (void) stays;
}

/* Its gateway asks for it, and hears of nothing yet. */
static void ask_close(struct member m) {
    send(m.link_id,
         (struct rp_op){.kind = RP_OP_CLOSE,
                        .close = {.num = bench.next_num++, .session = m.session, .conn = m.conn}});
    turn();
}

/* While a CLOSE waits for the disk the same connection may be closed again, by the clock of another
 * moment: the session is away since the first. */
static void test_a_session_is_away_since_it_was_closed_first(void **state) {
    (void) state;
    enum { DAY_MS = 86400000 };
    uint64_t jumps_ms[] = {DAY_MS, -(uint64_t) DAY_MS};
    link_up(1, 5);
    for (size_t i = 0; i < COUNT(jumps_ms); i++) {
        struct member m = connect_new(1, 1 + (unsigned) i);
        ask_close(m);
        bench.now.wall_ms += jumps_ms[i];
        ask_close(m);
        run();
        bench.now.wall_ms -= jumps_ms[i];
        assert_int_equal(count_records(RP_RECORD_CLOSE), 2 * (i + 1));
        next(1, RP_OP_DONE);
        next(1, RP_OP_DONE);
    }
    for (size_t i = 0; i < 2; i++) { /* as the broker remembers it, and as the log does */
        pass_ms(bench.config.session_ttl_ms / 2 - 1000);
        run();
        assert_int_equal(count_records(RP_RECORD_END), 0);
        bench_restart();
        run();
        assert_int_equal(count_records(RP_RECORD_END), 0);
    }
    pass_ms(2000);
    run();
    assert_int_equal(count_records(RP_RECORD_END), 2);
    assert_int_equal(rp_core_stats(bench.core)->sessions, 0);
}

/* ---- goodbye ---- */

static void say_goodbye(size_t told) {
    uint64_t link_id;
    struct rp_buf message;
    assert_int_equal(rp_core_goodbye(bench.core, bench.now), told);
    while (rp_core_take(bench.core, bench.now, &link_id, &message)) {
        receive(link_id, message);
    }
}

static void test_goodbye_is_the_last_word_on_every_link(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    link_up(3, 7);
    lose_link(3);
    hello(4, 8, rp_bytes(NULL, 0), 0); /* is not done with its greeting */
    run();
    next(1, RP_OP_LOST);
    next(2, RP_OP_LOST);
    next(4, RP_OP_WELCOME);
    struct member m = connect_new(1, 1);
    uint64_t num = ask_publish(m, "a", "[1]");
    turn();
    assert_false(rp_core_is_settled(bench.core));
    rp_engine_memory_step(bench.engine, 1000);
    while (rp_core_turn(bench.core, bench.now)) { /* taken by nobody yet */
    }
    assert_true(rp_core_is_settled(bench.core));
    say_goodbye(3);
    assert_done(1, num);
    for (uint64_t link_id = 1; link_id <= 4; link_id++) {
        if (link_id != 3) {
            assert_text(next(link_id, RP_OP_REFUSED).refused.code, "stopping");
        }
        nothing_more(link_id);
    }
    rp_core_link_lost(bench.core, 2, bench.now); /* it could not be sent there */
    rp_core_link_lost(bench.core, 1, bench.now);
    assert_false(rp_core_take(bench.core, bench.now, &(uint64_t){0}, &(struct rp_buf){0}));
}

/* What was committed and not answered is answered by the next broker, and is not done again. */
static void test_a_link_resumes_after_a_goodbye(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    struct rp_op first = publish_op(m, "a", "[1]"), second = publish_op(m, "a", "[2]");
    send(1, first);
    run();
    uint64_t seq = assert_done(1, first.publish.num);
    say_goodbye(1);
    next(1, RP_OP_REFUSED);
    bench_restart();
    hello(11, 5, EPOCH, seq);
    m.link_id = 11;
    list_session(m);
    send(11, first); /* as if its answer had not come through */
    send(11, second);
    resumed(11);
    run();
    next(11, RP_OP_WELCOME);
    assert_int_equal(next(11, RP_OP_VERDICT).verdict.verdict, RP_OP_KEPT);
    assert_int_equal(assert_done(11, first.publish.num), seq);
    assert_int_equal(assert_done(11, second.publish.num), seq + 1);
    nothing_more(11);
    assert_int_equal(rp_core_stats(bench.core)->connected, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_another_version_is_refused),
        BENCH_TEST(test_roles_that_were_not_granted_are_refused),
        BENCH_TEST(test_the_incarnation_0_is_refused),
        BENCH_TEST(test_nothing_counts_before_hello),
        BENCH_TEST(test_a_second_hello_on_a_link_is_ignored),
        BENCH_TEST(test_a_new_link_of_a_gateway_replaces_the_old),
        BENCH_TEST(test_too_many_gateways_are_refused),
        BENCH_TEST(test_another_epoch_is_reset),
        BENCH_TEST(test_seen_beyond_the_log_begins_a_new_epoch),
        BENCH_TEST(test_a_new_epoch_can_be_trimmed),
        BENCH_TEST(test_a_new_epoch_waits_for_what_is_undecided),
        BENCH_TEST(test_an_impossible_position_is_refused),
        BENCH_TEST(test_a_gateway_that_missed_too_much_is_reset),
        BENCH_TEST(test_listed_sessions_get_their_verdict),
        BENCH_TEST(test_sessions_that_are_not_listed_are_closed),
        BENCH_TEST(test_a_resumed_gateway_is_told_its_rooms_and_what_it_missed),
        BENCH_TEST(test_a_resent_publish_is_answered_exactly_once),
        BENCH_TEST(test_a_resent_connect_is_answered_exactly_once),
        BENCH_TEST(test_links_are_kept_alive_and_given_up),
        BENCH_TEST(test_heartbeats_carry_position_and_credit),
        BENCH_TEST(test_a_silent_gateway_is_gone_after_a_while),
        BENCH_TEST(test_a_gateway_that_says_goodbye_is_gone_at_once),
        BENCH_TEST(test_a_goodbye_is_believed_soon_after_the_machine_started),
        BENCH_TEST(test_a_gone_gateway_that_comes_back_finds_its_sessions_closed),
        BENCH_TEST(test_sessions_expire),
        BENCH_TEST(test_a_session_is_away_since_it_was_closed_first),
        BENCH_TEST(test_goodbye_is_the_last_word_on_every_link),
        BENCH_TEST(test_a_link_resumes_after_a_goodbye),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
