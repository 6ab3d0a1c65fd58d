/* tests/unit/test_core_session.c — broker/core, broker/request, broker/commit: sessions, rooms and
 * events, and what is answered when they cannot be. */
#include "tests/unit/core_fixture.h"

static struct rp_op close_op(struct member m, bool ended) {
    return (struct rp_op){
        .kind = RP_OP_CLOSE,
        .close = {.num = bench.next_num++, .session = m.session, .conn = m.conn, .ended = ended}};
}

static void close_session(struct member m, bool ended) {
    struct rp_op op = close_op(m, ended);
    send(m.link_id, op);
    run();
    assert_done(m.link_id, op.close.num);
}

/* ---- coming back ---- */

static void test_offsets_decide_where_to_go_on(void **state) {
    (void) state;
    static const struct {
        const char *offset; /* %d: the newest seq */
        bool recovered;
        uint64_t pos; /* 0: the newest seq */
    } table[] = {
        /* missing: the session's start */
        {"", true, 3},
        /* fine */
        {"5-epoc", true, 5},
        {"%d-epoc", true, 0},
        {"5.4-epoc", true, 5}, /* of a join's history: the first number is the session's position */
        {"4.99999-epoc", true, 4},
        /* before the session's start: of an older pid */
        {"0-epoc", true, 3},
        {"2-epoc", true, 3},
        {"2.5-epoc", true, 3},
        /* another log's */
        {"5-else", true, 3},
        {"99999-else", true, 3},
        {"5-epoch", true, 3},
        {"5.4-else", true, 3},
        /* past the end */
        {"9%d-epoc", false, 0},
        {"18446744073709551615-epoc", false, 0},
        {"99999.1-epoc", false, 0},
        /* no offset at all */
        {"5", false, 0},
        {"epoc", false, 0},
        {"-epoc", false, 0},
        {"5-epo", false, 0},
        {"5-epoc-epoc", false, 0},
        {"5-ELSE", false, 0},
        {"5-epoc ", false, 0},
        {"5-", false, 0},
        {"-", false, 0},
        {"?", false, 0},
        {" 5-epoc", false, 0},
        {"5 -epoc", false, 0},
        {"05-epoc", false, 0},
        {"+5-epoc", false, 0},
        {"0x5-epoc", false, 0},
        {"5.-epoc", false, 0},
        {".5-epoc", false, 0},
        {"5.x-epoc", false, 0},
        {"5.04-epoc", false, 0},
        {"5.4.3-epoc", false, 0},
        {"18446744073709551616-epoc", false, 0},
        {"5-epocepocepocepocepocepocepocepocepocepocepocepocepocepocepocepoc", false, 0},
    };
    link_up(1, 5);
    connect_new(1, 8);
    struct member other = connect_new(1, 9), m = connect_new(1, 1);
    uint64_t taken_over = 0;
    assert_int_equal(m.session, 3);
    join(m, "a");
    publish(other, "b", "[1]");
    for (size_t i = 0; i < COUNT(table); i++) {
        char offset[100];
        uint64_t head = rp_core_stats(bench.core)->head;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(offset, sizeof offset, table[i].offset, (int) head);
#pragma GCC diagnostic pop
        uint64_t num = ask_connect(1, 100 + (unsigned) i, 1, offset);
        run();
        uint64_t evicted = rp_core_stats(bench.core)->evicted;
        assert_int_equal(evicted, rp_core_stats(bench.core)->recovered);
        for (; taken_over < evicted; taken_over++) {
            next(1, RP_OP_EVICT);
        }
        struct rp_op_connected got = next(1, RP_OP_CONNECTED).connected;
        assert_int_equal(got.num, num);
        if (got.recovered != table[i].recovered) {
            fail_msg("offset \"%s\": recovered is %d", offset, (int) got.recovered);
        }
        if (got.recovered) {
            assert_int_equal(got.session, 3);
            assert_int_equal(got.pos, table[i].pos > 0 ? table[i].pos : head);
        } else {
            assert_int_equal(got.session, got.conn);
            assert_int_equal(got.pos, got.conn);
        }
        forget(&bench.received);
    }
    assert_int_equal(rp_core_stats(bench.core)->recovered, taken_over);
    assert_int_equal(rp_core_stats(bench.core)->not_recovered, COUNT(table) - taken_over);
}

static void test_unknown_pids_and_other_namespaces_are_not_recovered(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    ask_connect(1, 2, 99, "");
    run();
    assert_int_equal(next(1, RP_OP_CONNECTED).connected.recovered, 0);
    send(1, (struct rp_op){.kind = RP_OP_CONNECT,
                           .connect = {.num = bench.next_num++,
                                       .nsp = RP_BYTES_LIT("/other"),
                                       .sid = RP_BYTES_LIT("sid"),
                                       .pid_hash = pid_hash(3),
                                       .listed = 1,
                                       .resume_hash = pid_hash(1)}});
    run();
    assert_int_equal(next(1, RP_OP_CONNECTED).connected.recovered, 0);
    nothing_more(1); /* and nobody was evicted */
    join(m, "a");
}

static void test_a_session_that_ended_is_not_recovered(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    struct rp_op op = close_op(m, true);
    send(1, op);
    ask_connect(1, 2, 1, ""); /* the end is on its way to the log */
    run();
    assert_done(1, op.close.num);
    assert_int_equal(next(1, RP_OP_CONNECTED).connected.recovered, 0);
    assert_int_equal(rp_core_stats(bench.core)->sessions, 1);
}

static void test_closing_what_is_closed_is_answered(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    close_session(m, false);
    struct rp_op op = close_op(m, false);
    send(1, op);
    run();
    assert_int_equal(assert_done(1, op.close.num), 0);
    assert_int_equal(count_records(RP_RECORD_CLOSE), 1);
}

/* ---- takeover ---- */

static void test_a_takeover_ends_the_old_connection(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    struct member old = connect_new(1, 1), other = connect_new(1, 2);
    join(old, "a");
    uint64_t num = ask_connect(2, 3, 1, "");
    turn(); /* appended: from now on the old connection can do nothing */
    uint64_t refused[] = {ask_publish(old, "a", "[1]"), ask_join(old, "b"), ask_leave(old, "a")};
    struct rp_op late = close_op(old, true);
    send(1, late);
    run();
    for (size_t i = 0; i < COUNT(refused); i++) {
        assert_failed(1, refused[i], "superseded");
    }
    assert_failed(1, late.close.num, "unavailable"); /* not before the takeover is certain */
    struct rp_op evict = next(1, RP_OP_EVICT);
    assert_int_equal(evict.evict.conn, old.conn);
    assert_text(evict.evict.reason, "session taken over by a newer connection");
    struct rp_op_connected got = next(2, RP_OP_CONNECTED).connected;
    assert_int_equal(got.num, num);
    assert_int_equal(got.session, old.session);
    assert_true(got.conn > old.conn);
    assert_int_equal(got.recovered, 1);
    assert_text(got.sid, "sid");
    assert_text(next(2, RP_OP_MEMBER).member.room, "a");
    assert_int_equal(next(2, RP_OP_LIVE).live.conn, got.conn);
    uint64_t still = ask_publish(old, "a", "[1]");
    run();
    assert_failed(1, still, "superseded");
    late = close_op(old, true);
    send(1, late);
    run();
    assert_int_equal(assert_done(1, late.close.num), 0);
    publish(other, "a", "[2]");
    assert_text(next(2, RP_OP_DELIVER).deliver.args, "[2]");
    nothing_more(2);
    nothing_more(1);
    assert_int_equal(rp_core_stats(bench.core)->takeovers, 1);
}

static void test_of_two_takeovers_the_later_wins(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    link_up(3, 7);
    struct member m = connect_new(1, 1);
    ask_connect(2, 2, 1, "");
    ask_connect(3, 3, 1, "");
    run();
    assert_int_equal(next(1, RP_OP_EVICT).evict.conn, m.conn);
    uint64_t lost = next(2, RP_OP_CONNECTED).connected.conn;
    assert_int_equal(next(2, RP_OP_EVICT).evict.conn, lost);
    uint64_t won = next(3, RP_OP_CONNECTED).connected.conn;
    assert_true(won > lost);
    uint64_t num = ask_publish((struct member){2, m.session, lost}, "a", "[1]");
    run();
    assert_failed(2, num, "superseded");
    next(3, RP_OP_LIVE);
    publish((struct member){3, m.session, won}, "a", "[1]");
}

/* A takeover that the disk refuses has not happened. */
static void test_a_refused_takeover_leaves_the_old_connection(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    struct member m = connect_new(1, 1);
    rp_engine_memory_refuse(bench.engine, 1);
    uint64_t num = ask_connect(2, 2, 1, "");
    run();
    assert_failed(2, num, "unavailable");
    nothing_more(1);
    join(m, "a");
    publish(m, "b", "[1]");
}

/* Else the session would be connected for ever, at a gateway that knows nothing of it. */
static void test_a_close_before_a_refused_takeover_is_not_forgotten(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    struct member m = connect_new(1, 1);
    rp_engine_memory_refuse(bench.engine, 1);
    uint64_t num = ask_connect(2, 2, 1, "");
    turn();
    struct rp_op close = close_op(m, false);
    send(1, close);
    run();
    assert_failed(2, num, "unavailable");
    assert_failed(1, close.close.num, "unavailable"); /* so that it comes again */
    assert_int_equal(rp_core_stats(bench.core)->connected, 1);
    close = close_op(m, false);
    send(1, close);
    run();
    assert_done(1, close.close.num);
    assert_int_equal(rp_core_stats(bench.core)->connected, 0);
}

/* ---- rooms ---- */

static void test_joining_twice_and_leaving_twice_are_fine(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    join(m, "a");
    uint64_t num = ask_join(m, "a");
    run();
    assert_int_equal(assert_done(1, num), 2); /* where it stands; nothing was written */
    assert_int_equal(count_records(RP_RECORD_JOIN), 1);
    for (int i = 0; i < 2; i++) {
        num = ask_leave(m, "a");
        run();
        assert_int_equal(next(1, RP_OP_MEMBER).member.joined, 0);
        assert_done(1, num);
    }
    publish(m, "a", "[1]");
    nothing_more(1);
}

/* Join, leave, join before any of them is committed: the log decides, in order. */
static void test_changes_under_way_are_decided_by_the_log(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    join(m, "a");
    ask_leave(m, "a");
    ask_join(m, "a");
    run();
    assert_int_equal(next(1, RP_OP_MEMBER).member.joined, 0);
    next(1, RP_OP_DONE);
    assert_int_equal(next(1, RP_OP_MEMBER).member.joined, 1);
    next(1, RP_OP_DONE);
    ask_publish(m, "a", "[1]");
    run();
    next(1, RP_OP_DELIVER);
}

static void test_too_many_rooms_are_refused(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    char room[16];
    for (int i = 0; i < RP_SESSION_ROOMS_MAX; i++) {
        snprintf(room, sizeof room, "r%d", i);
        ask_join(m, room);
    }
    uint64_t num = ask_join(m, "one more"); /* none of the others is committed */
    turn();
    assert_failed(1, num, "too_many_rooms");
    run();
    forget(&bench.received);
    num = ask_join(m, "one more");
    uint64_t again = ask_join(m, "r7"); /* it is in there */
    run();
    assert_failed(1, num, "too_many_rooms");
    assert_done(1, again);
    ask_leave(m, "r7");
    run();
    forget(&bench.received);
    join(m, "one more");
    assert_int_equal(rp_core_stats(bench.core)->intervals, RP_SESSION_ROOMS_MAX + 1);
}

static void test_presence_names_those_who_are_here(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1), other = connect_new(1, 2);
    static const char empty[] = "{\"ok\":true,\"members\":[]}";
    static const char both[] = "{\"ok\":true,\"members\":["
                               "{\"sid\":\"sid\",\"user\":null,\"since\":1700000000000},"
                               "{\"sid\":\"sid\",\"user\":null,\"since\":1700000000000}]}";
    static const char one[] = "{\"ok\":true,\"members\":["
                              "{\"sid\":\"sid\",\"user\":null,\"since\":1700000000000}]}";
    const char *const expected[] = {empty, both, one};
    for (size_t i = 0; i < COUNT(expected); i++) {
        uint64_t num = bench.next_num++;
        send(1, (struct rp_op){.kind = RP_OP_PRESENCE,
                               .presence = {.num = num,
                                            .session = m.session,
                                            .conn = m.conn,
                                            .room = RP_BYTES_LIT("a")}});
        run();
        struct rp_op got = next(1, RP_OP_RESULT);
        assert_int_equal(got.result.num, num);
        assert_text(got.result.json, expected[i]);
        if (i == 0) {
            join(m, "a");
            join(other, "a");
        } else if (i == 1) {
            close_session(other, false); /* it may come back, but it is not here */
        }
    }
}

/* ---- publishing ---- */

static void test_one_deliver_for_a_gateway_and_then_the_answer(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    link_up(3, 7);
    struct member m = connect_new(1, 1), same = connect_new(1, 2), far = connect_new(2, 3);
    connect_new(3, 4);
    join(m, "a");
    join(same, "a");
    join(far, "a");
    uint64_t num = ask_publish(m, "a", "[1,\"x\"]");
    run();
    struct rp_op_deliver got = next(1, RP_OP_DELIVER).deliver;
    assert_int_equal(got.seq, 8);
    assert_int_equal(got.is_volatile, 0);
    assert_int_equal(got.except, 0);
    assert_text(got.room, "a");
    assert_text(got.name, "e");
    assert_text(got.args, "[1,\"x\"]");
    assert_int_equal(assert_done(1, num), 8);
    assert_int_equal(next(2, RP_OP_DELIVER).deliver.seq, 8);
    nothing_more(1);
    nothing_more(2);
    nothing_more(3);
    struct rp_op op = publish_op(m, "a", "[2]");
    op.publish.flags = RP_OP_PUBLISH_NO_ECHO;
    send(1, op);
    run();
    assert_int_equal(next(1, RP_OP_DELIVER).deliver.except, m.conn);
    assert_done(1, op.publish.num);
    assert_int_equal(next(2, RP_OP_DELIVER).deliver.except, m.conn);
}

static void test_the_same_id_is_stored_once(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    struct member m = connect_new(1, 1), other = connect_new(2, 2);
    join(other, "a");
    struct rp_op first = publish_op(m, "a", "[1]");
    first.publish.id = RP_BYTES_LIT("order-1");
    struct rp_op again = first, elsewhere = first;
    again.publish.num = bench.next_num++;
    elsewhere.publish.num = bench.next_num++;
    elsewhere.publish.session = other.session;
    elsewhere.publish.conn = other.conn;
    elsewhere.publish.room = RP_BYTES_LIT("b"); /* an id belongs to the namespace */
    send(1, first);
    send(1, again); /* the first is not committed yet: it shares its fate */
    send(2, elsewhere);
    run();
    struct rp_op_done done = next(1, RP_OP_DONE).done;
    assert_int_equal(done.num, first.publish.num);
    assert_int_equal(done.seq, 4);
    assert_int_equal(done.duplicate, 0);
    done = next(1, RP_OP_DONE).done;
    assert_int_equal(done.num, again.publish.num);
    assert_int_equal(done.seq, 4);
    assert_int_equal(done.duplicate, 1);
    next(2, RP_OP_DELIVER);
    assert_int_equal(next(2, RP_OP_DONE).done.duplicate, 1);
    nothing_more(2);
    again.publish.num = bench.next_num++;
    send(1, again);
    run();
    assert_int_equal(assert_done(1, again.publish.num), 4);
    assert_int_equal(count_records(RP_RECORD_EVENT), 1);
    assert_int_equal(rp_core_stats(bench.core)->publishes_duplicate, 3);
}

static void test_volatile_events_skip_the_log(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    struct member m = connect_new(1, 1), other = connect_new(2, 2);
    join(other, "a");
    struct rp_op op = publish_op(m, "a", "[1]");
    op.publish.flags = RP_OP_PUBLISH_VOLATILE;
    send(1, op);
    turn(); /* the disk has no part in it */
    assert_int_equal(assert_done(1, op.publish.num), 0);
    struct rp_op_deliver got = next(2, RP_OP_DELIVER).deliver;
    assert_int_equal(got.is_volatile, 1);
    assert_int_equal(got.seq, 3); /* the position, not a seq of its own */
    run();
    assert_int_equal(count_records(RP_RECORD_EVENT), 0);
    lose_link(2);
    turn();
    next(1, RP_OP_LOST);
    op.publish.num = bench.next_num++;
    send(1, op);
    turn();
    assert_int_equal(assert_done(1, op.publish.num), 0);
    nothing_more(2);
    assert_int_equal(rp_core_stats(bench.core)->volatile_dropped, 1);
}

/* ---- history ---- */

static struct rp_op history_op(struct member m, bool has_since, uint64_t since, uint64_t before,
                               uint64_t limit) {
    return (struct rp_op){.kind = RP_OP_HISTORY,
                          .history = {.num = bench.next_num++,
                                      .session = m.session,
                                      .conn = m.conn,
                                      .room = RP_BYTES_LIT("a"),
                                      .has_since = has_since,
                                      .since = since,
                                      .before = before,
                                      .limit = limit}};
}

/* Which seqs an answer has, as text, and its flags. */
static void history_text(struct rp_bytes json, char *ret_text) {
    char copy[4096], *at = copy;
    assert_true(json.len < sizeof copy);
    memcpy(copy, json.data, json.len);
    copy[json.len] = '\0';
    *ret_text = '\0';
    while ((at = strstr(at, "{\"seq\":")) != NULL) {
        ret_text += sprintf(ret_text, "%d ", atoi(at += 7));
    }
    ret_text += sprintf(ret_text, "%s", strstr(copy, "\"truncated\":true") ? "truncated " : "");
    sprintf(ret_text, "%s", strstr(copy, "\"more\":true") ? "more" : "");
}

/* The same from memory and from the disk. */
static void test_history_gives_the_window_asked_for(void **state) {
    static const struct {
        bool has_since;
        uint64_t since, before, limit;
        const char *expected;
    } table[] = {
        {false, 0, UINT64_MAX, 1000, "2 4 6 8 10 "},
        {false, 0, UINT64_MAX, 2, "8 10 more"},
        {false, 0, UINT64_MAX, 5, "2 4 6 8 10 "},
        {false, 0, 8, 2, "4 6 more"},
        {false, 0, 9, 1000, "2 4 6 8 "},
        {false, 0, 2, 1000, ""},
        {false, 0, 0, 1000, ""},
        {true, 0, UINT64_MAX, 1000, "2 4 6 8 10 "},
        {true, 0, UINT64_MAX, 2, "2 4 more"},
        {true, 4, UINT64_MAX, 1000, "6 8 10 "},
        {true, 5, 10, 1000, "6 8 "},
        {true, 4, 5, 1000, ""},
        {true, 10, UINT64_MAX, 1000, ""},
        {true, 5000, UINT64_MAX, 1000, ""},
        {true, UINT64_MAX, UINT64_MAX, 1000, ""},
        {true, 8, 3, 1000, ""},
    };
    for (size_t tail = 10000; tail > 0; tail = tail == 10000 ? 3 : 0) {
        bench_teardown(state);
        bench_setup(state);
        bench.config.tail_records_max = tail;
        bench_reconfigure();
        link_up(1, 5);
        struct member m = connect_new(1, 1);
        for (int i = 0; i < 5; i++) {
            publish(m, "a", "[1]");
            publish(m, "b", "[1]");
        }
        for (size_t i = 0; i < COUNT(table); i++) {
            struct rp_op op =
                history_op(m, table[i].has_since, table[i].since, table[i].before, table[i].limit);
            send(1, op);
            run();
            struct rp_op got = next(1, RP_OP_RESULT);
            char text[256];
            history_text(got.result.json, text);
            assert_int_equal(got.result.num, op.history.num);
            if (strcmp(text, table[i].expected) != 0) {
                fail_msg("row %d, tail %d: got \"%s\" instead of \"%s\"", (int) i, (int) tail, text,
                         table[i].expected);
            }
        }
    }
}

static void test_history_tells_all_of_an_event(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    struct rp_op op = publish_op(m, "a", "[1,{\"x\":null}]");
    op.publish.name = RP_BYTES_LIT("say \"hi\"");
    op.publish.id = RP_BYTES_LIT("k1");
    send(1, op);
    run();
    next(1, RP_OP_DONE);
    send(1, history_op(m, false, 0, UINT64_MAX, 10));
    run();
    assert_text(next(1, RP_OP_RESULT).result.json,
                "{\"ok\":true,\"events\":[{\"seq\":2,\"ts\":1700000000000,\"event\":\"say "
                "\\\"hi\\\"\",\"args\":[1,{\"x\":null}],\"sender\":\"sid\",\"id\":\"k1\"}],"
                "\"truncated\":false,\"more\":false}");
}

/* ---- the disk ---- */

static void test_a_full_engine_stops_input_and_loses_nothing(void **state) {
    (void) state;
    bench.engine_queue = 2;
    bench_reconfigure();
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    join(m, "a");
    uint64_t nums[7];
    assert_true(rp_core_wants_input(bench.core));
    for (size_t i = 0; i < COUNT(nums);
         i++) { /* one message may hold more than there is room for */
        nums[i] = ask_publish(m, "a", "[1]");
        assert_int_equal(rp_core_wants_input(bench.core), i < 2);
    }
    turn();
    assert_false(rp_core_wants_input(bench.core));
    assert_int_equal(rp_engine_memory_step(bench.engine, 1), 1);
    turn();
    assert_false(rp_core_wants_input(bench.core));
    run();
    assert_true(rp_core_wants_input(bench.core));
    for (size_t i = 0; i < COUNT(nums); i++) {
        assert_int_equal(next(1, RP_OP_DELIVER).deliver.seq, 3 + i);
        assert_int_equal(assert_done(1, nums[i]), 3 + i);
    }
    nothing_more(1);
}

/* While input is stopped the other end is not heard, which must not be held against it. */
static void test_no_link_is_lost_while_input_is_stopped(void **state) {
    (void) state;
    bench.engine_queue = 1;
    bench_reconfigure();
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    for (int i = 0; i < 3; i++) {
        ask_publish(m, "a", "[1]");
    }
    pass_ms(2 * RP_LINK_TIMEOUT_MS);
    turn();
    assert_false(rp_core_wants_input(bench.core));
    assert_int_equal(rp_core_stats(bench.core)->gateways, 1);
}

static void test_a_record_the_disk_refuses_is_told(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    join(m, "a");
    rp_engine_memory_refuse(bench.engine, 5);
    uint64_t nums[] = {ask_publish(m, "a", "[1]"), ask_join(m, "b"), ask_leave(m, "a"),
                       ask_connect(1, 2, 0, "")};
    struct rp_op op = close_op(m, true);
    send(1, op);
    run();
    for (size_t i = 0; i < COUNT(nums); i++) {
        assert_failed(1, nums[i], i == 0 ? "no_space" : "unavailable");
    }
    assert_failed(1, op.close.num, "unavailable");
    nothing_more(1);
    assert_int_equal(count_records(RP_RECORD_EVENT), 0);
    join(m, "b"); /* as if they had never been asked for */
    uint64_t num = ask_publish(m, "a", "[2]");
    run();
    next(1, RP_OP_DELIVER);
    assert_done(1, num);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_offsets_decide_where_to_go_on),
        BENCH_TEST(test_unknown_pids_and_other_namespaces_are_not_recovered),
        BENCH_TEST(test_a_session_that_ended_is_not_recovered),
        BENCH_TEST(test_closing_what_is_closed_is_answered),
        BENCH_TEST(test_a_takeover_ends_the_old_connection),
        BENCH_TEST(test_of_two_takeovers_the_later_wins),
        BENCH_TEST(test_a_refused_takeover_leaves_the_old_connection),
        BENCH_TEST(test_a_close_before_a_refused_takeover_is_not_forgotten),
        BENCH_TEST(test_joining_twice_and_leaving_twice_are_fine),
        BENCH_TEST(test_changes_under_way_are_decided_by_the_log),
        BENCH_TEST(test_too_many_rooms_are_refused),
        BENCH_TEST(test_presence_names_those_who_are_here),
        BENCH_TEST(test_one_deliver_for_a_gateway_and_then_the_answer),
        BENCH_TEST(test_the_same_id_is_stored_once),
        BENCH_TEST(test_volatile_events_skip_the_log),
        BENCH_TEST(test_history_gives_the_window_asked_for),
        BENCH_TEST(test_history_tells_all_of_an_event),
        BENCH_TEST(test_a_full_engine_stops_input_and_loses_nothing),
        BENCH_TEST(test_no_link_is_lost_while_input_is_stopped),
        BENCH_TEST(test_a_record_the_disk_refuses_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
