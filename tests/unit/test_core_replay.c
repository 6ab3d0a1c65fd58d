/* tests/unit/test_core_replay.c — broker/replay, broker/read: sessions that catch up. Exactly what
 * they missed, in order, once; or the truth that it is gone. */
#include "tests/unit/replay_fixture.h"

/* The log of most tests: 1 and 2 open, 3 joins a, then a publish to a and b in turns: 4 a, 5 b,
 * 6 a, … 13 b. Session 1 is disconnected with 14. */
static struct member miss_ten(uint64_t link_id) {
    struct member m = connect_new(link_id, 1), other = connect_new(link_id, 2);
    join(m, "a");
    for (int i = 0; i < 5; i++) {
        ask_publish(other, "a", "[1]");
        ask_publish(other, "b", "[2]");
    }
    run();
    forget(&bench.received);
    disconnect(m);
    return other;
}

/* From memory and, with a tail too short for it, from the disk. */
static void with_and_without_tail(void **state, void (*test)(void)) {
    test();
    bench_teardown(state);
    bench_setup(state);
    bench.config.tail_records_max = 3;
    bench_reconfigure();
    test();
}

static void recovery_gives_what_was_missed(void) {
    static const struct {
        const char *offset, *expected;
    } table[] = {
        {"6-epoc", "8 10 12 "}, {"5-epoc", "6 8 10 12 "}, {"", "4 6 8 10 12 "},
        {"12-epoc", ""},        {"14-epoc", ""},          {"1-else", "4 6 8 10 12 "},
    };
    link_up(1, 5);
    miss_ten(1);
    for (size_t i = 0; i < COUNT(table); i++) {
        struct member m = come_back(1, table[i].offset, true);
        struct rp_op room = next(1, RP_OP_MEMBER);
        assert_text(room.member.room, "a");
        assert_int_equal(room.member.conn, m.conn);
        assert_replays(m, 0, table[i].expected);
        struct rp_op live = next(1, RP_OP_LIVE);
        assert_int_equal(live.live.conn, m.conn);
        assert_int_equal(live.live.pos, m.conn);
        nothing_more(1);
        disconnect(m);
    }
}

static void test_recovery_gives_what_was_missed(void **state) {
    with_and_without_tail(state, recovery_gives_what_was_missed);
}

/* Only what it was a member for, room by room, merged into one order. */
static void recovery_respects_memberships(void) {
    link_up(1, 5);
    struct member m = connect_new(1, 1), other = connect_new(1, 2);
    static const struct {
        char what; /* 'j'oin, 'l'eave, 'p'ublish */
        const char *room;
    } story[] = {{'p', "a"}, {'j', "a"}, {'p', "a"}, {'p', "b"}, {'j', "b"},
                 {'p', "b"}, {'p', "a"}, {'l', "a"}, {'p', "a"}, {'p', "b"},
                 {'j', "a"}, {'p', "a"}, {'l', "b"}, {'p', "b"}, {'p', "a"}}; /* seqs from 3 on */
    for (size_t i = 0; i < COUNT(story); i++) {
        if (story[i].what == 'j') {
            ask_join(m, story[i].room);
        } else if (story[i].what == 'l') {
            ask_leave(m, story[i].room);
        } else {
            ask_publish(other, story[i].room, "[1]");
        }
        run();
    }
    forget(&bench.received);
    struct rp_op own = publish_op(m, "a", "[1]");
    own.publish.flags = RP_OP_PUBLISH_NO_ECHO; /* seq 18: not for itself, then or later */
    send(1, own);
    run();
    forget(&bench.received);
    disconnect(m);
    m = come_back(1, "", true);
    assert_text(next(1, RP_OP_MEMBER).member.room, "a");
    assert_replays(m, 0, "5 8 9 12 14 17 ");
    next(1, RP_OP_LIVE);
}

static void test_recovery_respects_memberships(void **state) {
    with_and_without_tail(state, recovery_respects_memberships);
}

/* ---- pages ---- */

static void test_pages_wait_for_the_client(void **state) {
    (void) state;
    bench.config.page_events = 2;
    bench_reconfigure();
    link_up(1, 5);
    struct member other = miss_ten(1), m = come_back(1, "", true);
    next(1, RP_OP_MEMBER);
    assert_replays(m, 0, "4 6 ");
    struct rp_op_page page = next(1, RP_OP_PAGE).page;
    assert_int_equal(page.conn, m.conn);
    assert_int_equal(page.pos, 6);
    nothing_more(1);
    struct member stranger = m;
    stranger.conn--;
    page_done(stranger, page.page); /* an older connection */
    page_done(m, page.page + 1);    /* no such page */
    page_done(m, page.page - 1);
    pass_ms(1000);
    run();
    nothing_more(1);
    ask_publish(other, "a",
                "[3]"); /* the gateway hears it, and shows it to nobody who catches up */
    run();
    assert_int_equal(next(1, RP_OP_DELIVER).deliver.seq, 16);
    next(1, RP_OP_DONE);
    page_done(m, page.page);
    assert_replays(m, 0, "8 10 ");
    page = next(1, RP_OP_PAGE).page;
    page_done(m, page.page);
    page_done(m, page.page); /* twice is once */
    assert_replays(m, 0, "12 16 ");
    page = next(1, RP_OP_PAGE).page;
    nothing_more(1);
    page_done(m, page.page);
    assert_int_equal(next(1, RP_OP_LIVE).live.pos, 16);
    nothing_more(1);
    page_done(m, page.page + 1); /* nothing to be done: it is live */
    nothing_more(1);
}

/* No event twice and none missing where the cursor meets the head: the position LIVE names is the
 * border between REPLAYs and DELIVERs. */
static void test_live_begins_where_the_replay_ends(void **state) {
    (void) state;
    bench.config.page_events = 1;
    bench_reconfigure();
    link_up(1, 5);
    struct member other = miss_ten(1), m = come_back(1, "12-epoc", true);
    next(1, RP_OP_MEMBER);
    next(1, RP_OP_LIVE);
    for (int round = 0; round < 20; round++) {
        send(1, (struct rp_op){.kind = RP_OP_CATCHUP,
                               .catchup = {.session = m.session,
                                           .conn = m.conn,
                                           .pos = rp_core_stats(bench.core)->head}});
        uint64_t last = rp_core_stats(bench.core)->head;
        for (int i = 0; i < 3; i++) {
            ask_publish(other, "a", "[1]");
        }
        bool live = false;
        uint64_t seen = last;
        turn();
        for (int i = 0; i < 30 && !(live && seen == last + 3); i++) {
            rp_engine_memory_step(bench.engine, (size_t) (i + round) % 3);
            turn();
            struct rp_list *it, *tmp;
            RP_LIST_FOR(&bench.received, it, tmp) {
                struct rp_op op = RP_CONTAINER_OF(it, struct got, node)->op;
                if (op.kind == RP_OP_LIVE) {
                    assert_false(live);
                    assert_true(op.live.pos >= seen);
                    live = true;
                } else if (op.kind == RP_OP_REPLAY || (op.kind == RP_OP_DELIVER && live)) {
                    uint64_t seq = op.kind == RP_OP_REPLAY ? op.replay.seq : op.deliver.seq;
                    assert_true(op.kind == RP_OP_DELIVER || !live);
                    assert_int_equal(seq, seen + 1);
                    seen = seq;
                } else if (op.kind == RP_OP_PAGE) {
                    send(1, (struct rp_op){.kind = RP_OP_PAGE_DONE,
                                           .page_done = {.session = m.session,
                                                         .conn = m.conn,
                                                         .page = op.page.page}});
                }
            }
            forget(&bench.received);
        }
        assert_true(live);
        assert_int_equal(seen, last + 3);
    }
}

static void test_catching_up_begins_where_the_client_is(void **state) {
    (void) state;
    link_up(1, 5);
    miss_ten(1);
    struct member m = come_back(1, "12-epoc", true);
    next(1, RP_OP_MEMBER);
    next(1, RP_OP_LIVE);
    struct rp_op catchup = {.kind = RP_OP_CATCHUP,
                            .catchup = {.session = m.session, .conn = m.conn - 1, .pos = 7}};
    send(1, catchup); /* an older connection */
    catchup.catchup.session = 4711;
    send(1, catchup); /* nobody */
    run();
    nothing_more(1);
    catchup.catchup = (struct rp_op_catchup){.session = m.session, .conn = m.conn, .pos = 7};
    send(1, catchup);
    run();
    assert_replays(m, 0, "8 10 12 ");
    next(1, RP_OP_LIVE);
    catchup.catchup.pos = UINT64_MAX; /* past the head: at the head */
    send(1, catchup);
    run();
    assert_int_equal(next(1, RP_OP_LIVE).live.pos, rp_core_stats(bench.core)->head);
}

/* ---- join since ---- */

static void join_since_gives_history_then_the_answer(void) {
    static const struct {
        uint64_t since, limit;
        const char *expected;
        bool truncated;
        uint64_t oldest;
    } table[] = {
        {0, 1000, "4 6 8 10 12 ", false, 4}, {6, 1000, "8 10 12 ", false, 8},
        {5, 1000, "6 8 10 12 ", false, 6},   {0, 2, "10 12 ", true, 10},
        {0, 5, "4 6 8 10 12 ", false, 4},    {0, 4, "6 8 10 12 ", true, 6},
        {10, 1, "12 ", false, 12},           {12, 1000, "", false, 0},
        {5000, 1000, "", false, 0},
    };
    link_up(1, 5);
    miss_ten(1);
    for (size_t i = 0; i < COUNT(table); i++) {
        struct member m = connect_new(1, 100 + (unsigned) i);
        uint64_t num = ask_join_since(m, "a", table[i].since, table[i].limit);
        run();
        struct rp_op_joined joined = next(1, RP_OP_JOINED).joined;
        assert_int_equal(joined.num, num);
        struct rp_op_member member = next(1, RP_OP_MEMBER).member;
        assert_int_equal(member.seq, joined.upto);
        struct rp_op_hold hold = next(1, RP_OP_HOLD).hold;
        assert_int_equal(hold.conn, m.conn);
        assert_int_equal(hold.pos, joined.upto);
        assert_replays(m, num, table[i].expected);
        struct rp_op_done done = next(1, RP_OP_DONE).done;
        assert_int_equal(done.num, num);
        assert_int_equal(done.seq, joined.upto);
        assert_int_equal(done.truncated, table[i].truncated);
        assert_int_equal(done.oldest, table[i].oldest > 0 ? table[i].oldest : joined.upto);
        size_t spaces = 0;
        for (const char *c = table[i].expected; *c != '\0'; c++) {
            spaces += *c == ' ';
        }
        assert_int_equal(done.replayed, spaces);
        next(1, RP_OP_LIVE);
        nothing_more(1);
    }
}

static void test_join_since_gives_history_then_the_answer(void **state) {
    with_and_without_tail(state, join_since_gives_history_then_the_answer);
}

/* A member since J gets (since, J]: what came later it has. */
static void test_join_since_of_a_member_ends_at_its_join(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1), other = connect_new(1, 2);
    publish(other, "a", "[1]"); /* 3 */
    join(m, "a");               /* 4 */
    ask_publish(other, "a", "[1]");
    run();
    next(1, RP_OP_DELIVER);
    next(1, RP_OP_DONE);
    uint64_t num = ask_join_since(m, "a", 0, 1000);
    run();
    assert_int_equal(next(1, RP_OP_JOINED).joined.upto, 4);
    next(1, RP_OP_HOLD);
    struct rp_op_replay replay = next(1, RP_OP_REPLAY).replay;
    assert_int_equal(replay.seq, 3);
    assert_int_equal(replay.pos, 5); /* its own position, which the stock client keeps */
    assert_int_equal(assert_done(1, num), 5);
    next(1, RP_OP_LIVE);
    assert_int_equal(count_records(RP_RECORD_JOIN), 1);
}

/* Events during a paged history come after it, and the answer before them. */
static void test_newer_events_wait_for_the_history(void **state) {
    (void) state;
    bench.config.page_events = 2;
    bench_reconfigure();
    link_up(1, 5);
    struct member other = miss_ten(1), m = connect_new(1, 3);
    uint64_t num = ask_join_since(m, "a", 0, 3);
    run();
    next(1, RP_OP_JOINED);
    next(1, RP_OP_MEMBER);
    next(1, RP_OP_HOLD);
    assert_replays(m, num, "8 10 ");
    struct rp_op_page page = next(1, RP_OP_PAGE).page;
    ask_publish(other, "a", "[2]"); /* 17 */
    run();
    next(1, RP_OP_DELIVER);
    next(1, RP_OP_DONE);
    page_done(m, page.page);
    assert_replays(m, num, "12 ");
    struct rp_op_done done = next(1, RP_OP_DONE).done;
    assert_int_equal(done.num, num);
    assert_int_equal(done.seq, 16);
    assert_int_equal(done.replayed, 3);
    assert_int_equal(done.truncated, 1);
    assert_replays(m, 0, "17 ");
    page = next(1, RP_OP_PAGE).page;
    page_done(m, page.page);
    next(1, RP_OP_LIVE);
    nothing_more(1);
}

/* A join known to be done goes on with what its history lacks, also when the session has left. */
static void test_a_resent_join_asks_for_the_rest_of_its_history(void **state) {
    (void) state;
    bench.config.page_events = 2;
    bench_reconfigure();
    link_up(1, 5);
    miss_ten(1);
    struct member m = connect_new(1, 3);
    uint64_t num = ask_join_since(m, "a", 0, 1000), seen = 16;
    run();
    assert_int_equal(next(1, RP_OP_JOINED).joined.upto, seen);
    next(1, RP_OP_MEMBER);
    next(1, RP_OP_HOLD);
    assert_replays(m, num, "4 6 ");
    lose_link(1);
    forget(&bench.received);
    hello(2, 5, EPOCH, seen);
    m.link_id = 2;
    send(2, (struct rp_op){
                .kind = RP_OP_SESSION,
                .session = {.session = m.session, .conn = m.conn, .catching = 1, .pos = seen}});
    send(2, (struct rp_op){.kind = RP_OP_JOIN,
                           .join = {.num = num,
                                    .session = m.session,
                                    .conn = m.conn,
                                    .room = RP_BYTES_LIT("a"),
                                    .has_since = 1,
                                    .since = 6,
                                    .limit = 998,
                                    .upto = seen}});
    resumed(2);
    run();
    next(2, RP_OP_WELCOME);
    next(2, RP_OP_VERDICT);
    next(2, RP_OP_MEMBER);
    next(2, RP_OP_JOINED); /* its record is at `seen`: told again */
    next(2, RP_OP_MEMBER);
    assert_replays(m, num, "8 10 ");
    page_done(m, next(2, RP_OP_PAGE).page.page);
    assert_replays(m, num, "12 ");
    assert_int_equal(assert_done(2, num), seen);
    next(2, RP_OP_LIVE);
    nothing_more(2);
    assert_int_equal(count_records(RP_RECORD_JOIN), 2); /* of miss_ten, and this one */
}

/* ---- credit ---- */

static void test_a_gateway_without_credit_falls_behind_and_catches_up(void **state) {
    (void) state;
    bench.config.link_credit_bytes = 3000;
    bench.config.page_bytes = 1000;
    bench_reconfigure();
    link_up(1, 5);
    link_up(2, 6);
    struct member m = connect_new(1, 1), other = connect_new(2, 2);
    join(m, "a");
    bench.heartbeats = true;
    uint64_t sent = 4, got = 3, bytes = 0;
    struct rp_op op = publish_op(other, "a", "[\"somewhat longer than nothing at all\"]");
    for (; rp_core_stats(bench.core)->links_behind == 0; sent++) {
        op.publish.num = bench.next_num++;
        send(2, op);
        run();
        assert_true(sent < 100);
    }
    for (int i = 0; i < 20; i++, sent++) { /* far behind */
        op.publish.num = bench.next_num++;
        send(2, op);
        run();
    }
    op.publish.flags = RP_OP_PUBLISH_VOLATILE;
    op.publish.num = bench.next_num++;
    send(2, op); /* dropped for it: it must not overtake */
    run();
    assert_int_equal(rp_core_stats(bench.core)->volatile_dropped, 1);
    for (int round = 0; round < 50 && got + 1 < sent; round++) {
        struct rp_list *it, *tmp;
        RP_LIST_FOR(&bench.received, it, tmp) {
            const struct got *g = RP_CONTAINER_OF(it, struct got, node);
            if (g->link_id == 1 && g->op.kind == RP_OP_DELIVER) {
                assert_int_equal(g->op.deliver.seq, ++got);
                assert_int_equal(g->op.deliver.is_volatile, 0);
            }
            bytes += g->link_id == 1 ? g->message.len : 0;
        }
        forget(&bench.received);
        send(1, (struct rp_op){.kind = RP_OP_HEARTBEAT, .heartbeat = {.consumed = bytes}});
        send(2, (struct rp_op){.kind = RP_OP_HEARTBEAT});
        run();
    }
    assert_int_equal(got + 1, sent);
    forget(&bench.received);
    op.publish.num = bench.next_num++; /* live again */
    send(2, op);
    run();
    assert_int_equal(next(1, RP_OP_DELIVER).deliver.is_volatile, 1);
}

/* While a gateway is behind, its own requests are answered in the order of the log, too, and a room
 * it left still matters for what came before. */
static void test_a_gateway_behind_gets_its_answers_in_order(void **state) {
    (void) state;
    bench.config.link_credit_bytes = 2000;
    bench.config.page_bytes = 1000;
    bench_reconfigure();
    link_up(1, 5);
    link_up(2, 6);
    struct member m = connect_new(1, 1), other = connect_new(2, 2);
    join(m, "a");
    for (int i = 0; rp_core_stats(bench.core)->links_behind == 0; i++) {
        ask_publish(other, "a", "[1]");
        run();
        assert_true(i < 1000);
    }
    uint64_t bytes = 0;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&bench.received, it, tmp) {
        const struct got *g = RP_CONTAINER_OF(it, struct got, node);
        bytes += g->link_id == 1 ? g->message.len : 0;
    }
    forget(&bench.received);
    uint64_t left = ask_leave(m, "a");
    run();
    ask_publish(other, "a", "[not for it]");
    run();
    uint64_t joined = ask_join(m, "b");
    run();
    nothing_more(1);
    send(1, (struct rp_op){.kind = RP_OP_HEARTBEAT, .heartbeat = {.consumed = bytes}});
    run();
    assert_text(next(1, RP_OP_DELIVER).deliver.args, "[1]");
    assert_int_equal(next(1, RP_OP_MEMBER).member.joined, 0);
    assert_done(1, left);
    next(1, RP_OP_DELIVER); /* of a, which nobody here is in: the gateway drops it */
    assert_text(next(1, RP_OP_MEMBER).member.room, "b");
    assert_done(1, joined);
    nothing_more(1);
    ask_publish(other, "a", "[2]");
    run();
    nothing_more(1);
}

/* The answer of a duplicate must not come before its event either. */
static void test_a_duplicate_waits_for_its_event_on_a_link_behind(void **state) {
    (void) state;
    bench.config.link_credit_bytes = 2000;
    bench.config.page_bytes = 1000;
    bench_reconfigure();
    link_up(1, 5);
    link_up(2, 6);
    struct member m = connect_new(1, 1), other = connect_new(2, 2);
    join(m, "a");
    struct rp_op op = publish_op(other, "a", "[\"k\"]");
    for (int i = 0; rp_core_stats(bench.core)->links_behind == 0; i++) {
        op.publish.num = bench.next_num++;
        send(2, op);
        run();
        assert_true(i < 1000);
    }
    op.publish.num = bench.next_num++;
    op.publish.id = RP_BYTES_LIT("k");
    send(2, op);
    run();
    uint64_t bytes = 0, seq = rp_core_stats(bench.core)->head;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&bench.received, it, tmp) {
        const struct got *g = RP_CONTAINER_OF(it, struct got, node);
        bytes += g->link_id == 1 ? g->message.len : 0;
    }
    forget(&bench.received);
    op.publish.num = bench.next_num++;
    op.publish.session = m.session;
    op.publish.conn = m.conn;
    send(1, op);
    run();
    nothing_more(1);
    send(1, (struct rp_op){.kind = RP_OP_HEARTBEAT, .heartbeat = {.consumed = bytes}});
    run();
    assert_int_equal(next(1, RP_OP_DELIVER).deliver.seq, seq - 1);
    assert_int_equal(next(1, RP_OP_DELIVER).deliver.seq, seq);
    struct rp_op_done done = next(1, RP_OP_DONE).done;
    assert_int_equal(done.num, op.publish.num);
    assert_int_equal(done.seq, seq);
    assert_int_equal(done.duplicate, 1);
    nothing_more(1);
}

/* ---- what is gone ---- */

static void test_missed_events_that_are_gone_are_told(void **state) {
    (void) state;
    bench.retain_events = 6;
    bench_reconfigure();
    link_up(1, 5);
    struct member other = miss_ten(1); /* 14 records; a's newest are 10 and 12 */
    trim();
    assert_int_equal(rp_core_stats(bench.core)->first, 9);
    struct member fresh = come_back(1, "6-epoc", false); /* 8 is gone */
    assert_int_equal(fresh.session, fresh.conn);
    struct member m = come_back(1, "8-epoc", true); /* that is just what it has */
    next(1, RP_OP_MEMBER);
    assert_replays(m, 0, "10 12 ");
    next(1, RP_OP_LIVE);
    (void) other;
}

/* Older than the log's start alone is not too old: nothing of its own rooms may be missing. */
static void test_trimmed_events_of_other_rooms_do_not_matter(void **state) {
    (void) state;
    bench.retain_events = 6;
    bench_reconfigure();
    link_up(1, 5);
    struct member other = miss_ten(1);
    for (int i = 0; i < 30; i++) {
        publish(other, "b", "[1]");
    }
    trim();
    assert_true(rp_core_stats(bench.core)->first > 30);
    struct member m = come_back(1, "12-epoc", true);
    next(1, RP_OP_MEMBER);
    assert_replays(m, 0, "");
    next(1, RP_OP_LIVE);
    disconnect(m);
    come_back(1, "10-epoc", false); /* 12 was its own */
}

/* A session that was catching up when its link was lost pins nothing. If its events are gone when
 * it goes on, its connection ends: skipping them would be a lie. */
static void test_a_replay_that_cannot_be_finished_is_ended(void **state) {
    (void) state;
    bench.retain_events = 6;
    bench.config.tail_records_max = 9;
    bench.config.page_events = 1;
    bench_reconfigure();
    link_up(1, 5);
    miss_ten(1);
    struct member m = come_back(1, "8-epoc", true);
    say_seen();
    lose_link(1);
    forget(&bench.received);
    link_up(2, 6);
    struct member other = connect_new(2, 4);
    for (int i = 0; i < 7; i++) {
        publish(other, "b", "[1]");
    }
    trim();
    assert_true(rp_core_stats(bench.core)->first > 12);
    hello(3, 5, EPOCH, rp_core_stats(bench.core)->head);
    send(3, (struct rp_op){
                .kind = RP_OP_SESSION,
                .session = {.session = m.session, .conn = m.conn, .catching = 1, .pos = 8}});
    resumed(3);
    run();
    next(3, RP_OP_WELCOME);
    next(3, RP_OP_VERDICT);
    next(3, RP_OP_MEMBER);
    struct rp_op evict = next(3, RP_OP_EVICT);
    assert_int_equal(evict.evict.conn, m.conn);
    nothing_more(3);
}

/* What a replay still needs is not removed. */
static void test_a_replay_holds_what_it_needs(void **state) {
    (void) state;
    bench.retain_events = 6;
    bench.config.page_events = 1;
    bench_reconfigure();
    link_up(1, 5);
    struct member other = miss_ten(1), m = come_back(1, "", true);
    next(1, RP_OP_MEMBER);
    assert_replays(m, 0, "4 ");
    uint64_t page = next(1, RP_OP_PAGE).page.page;
    for (int i = 0; i < 10; i++) {
        publish(other, "b", "[1]");
    }
    trim();
    assert_true(rp_core_stats(bench.core)->first <= 5);
    for (int seq = 6; seq <= 12; seq += 2) {
        char expected[16];
        snprintf(expected, sizeof expected, "%d ", seq);
        page_done(m, page);
        assert_replays(m, 0, expected);
        page = next(1, RP_OP_PAGE).page.page;
    }
    page_done(m, page);
    next(1, RP_OP_LIVE);
    trim();
    assert_true(rp_core_stats(bench.core)->first > 12);
}

static void test_a_join_tells_that_its_history_is_incomplete(void **state) {
    (void) state;
    bench.retain_events = 6;
    bench.config.tail_records_max = 5;
    bench_reconfigure();
    link_up(1, 5);
    miss_ten(1);
    trim(); /* a's newest are 10 and 12 */
    struct member m = connect_new(1, 3);
    uint64_t num = ask_join_since(m, "a", 4, 1000);
    run();
    next(1, RP_OP_JOINED);
    next(1, RP_OP_MEMBER);
    next(1, RP_OP_HOLD);
    assert_replays(m, num, "10 12 ");
    struct rp_op_done done = next(1, RP_OP_DONE).done;
    assert_int_equal(done.truncated, 1);
    assert_int_equal(done.oldest, 10);
    next(1, RP_OP_LIVE);
}

/* A session remembers only so many rooms it left; what lies before cannot be told exactly. */
static void test_forgotten_memberships_are_told(void **state) {
    (void) state;
    bench.config.intervals_max = 10;
    bench_reconfigure();
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    for (int i = 0; i < 30; i++) {
        ask_join(m, "a");
        ask_leave(m, "a");
        run();
    }
    forget(&bench.received);
    assert_true(rp_core_stats(bench.core)->intervals <= 11);
    uint64_t head = rp_core_stats(bench.core)->head;
    disconnect(m);
    come_back(1, "2-epoc", false);
    char offset[32];
    snprintf(offset, sizeof offset, "%d-epoc", (int) head - 5);
    come_back(1, offset, true);
    bench_restart(); /* the floor is in the log */
    link_up(2, 6);
    come_back(2, "2-epoc", false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_recovery_gives_what_was_missed),
        BENCH_TEST(test_recovery_respects_memberships),
        BENCH_TEST(test_pages_wait_for_the_client),
        BENCH_TEST(test_live_begins_where_the_replay_ends),
        BENCH_TEST(test_catching_up_begins_where_the_client_is),
        BENCH_TEST(test_join_since_gives_history_then_the_answer),
        BENCH_TEST(test_join_since_of_a_member_ends_at_its_join),
        BENCH_TEST(test_newer_events_wait_for_the_history),
        BENCH_TEST(test_a_resent_join_asks_for_the_rest_of_its_history),
        BENCH_TEST(test_a_gateway_without_credit_falls_behind_and_catches_up),
        BENCH_TEST(test_a_gateway_behind_gets_its_answers_in_order),
        BENCH_TEST(test_a_duplicate_waits_for_its_event_on_a_link_behind),
        BENCH_TEST(test_missed_events_that_are_gone_are_told),
        BENCH_TEST(test_trimmed_events_of_other_rooms_do_not_matter),
        BENCH_TEST(test_a_replay_that_cannot_be_finished_is_ended),
        BENCH_TEST(test_a_replay_holds_what_it_needs),
        BENCH_TEST(test_a_join_tells_that_its_history_is_incomplete),
        BENCH_TEST(test_forgotten_memberships_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
