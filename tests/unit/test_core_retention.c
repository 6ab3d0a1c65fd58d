/* tests/unit/test_core_retention.c — broker/core, broker/replay, broker/answer,
 * broker/memory_retention: what retention has taken from a room, and who is told so. Positions
 * before and behind every border are tried, with events in memory and on the disk only, and after a
 * restart. */
#include "tests/unit/replay_fixture.h"

static void with_rules(const char *rules, size_t tail_records_max) {
    bench.retain = rules;
    bench.config.tail_records_max = tail_records_max;
    bench_reconfigure();
}

/* In memory; on the disk; and in memory after a restart, when the core knows of borders what the
 * log tells it. */
static void everywhere(void **state, const char *rules, void (*test)(bool restart)) {
    static const struct {
        size_t tail;
        bool restart;
    } places[] = {{10000, false}, {3, false}, {10000, true}, {3, true}};
    for (size_t i = 0; i < 4; i++) {
        if (i > 0) {
            bench_teardown(state);
            bench_setup(state);
        }
        with_rules(rules, places[i].tail);
        test(places[i].restart);
    }
}

/* Session 1 (1) was in a (3) and is away (14): 4 a, 5 b, 6 a, … 13 b by session 2. */
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

/* The link of what follows. */
static uint64_t restarted(bool restart) {
    if (!restart) {
        return 1;
    }
    bench_restart();
    link_up(2, 6);
    return 2;
}

/* ---- coming back ---- */

static void offsets_at_every_border(bool restart) {
    link_up(1, 5);
    miss_ten(1);
    trim();
    uint64_t link_id = restarted(restart);
    /* of a's 4 6 8 10 12 the newest two are kept; b has no rule */
    static const struct {
        const char *offset;
        bool recovered;
        const char *expected;
    } table[] = {
        {"12-epoc", true, ""},      {"10-epoc", true, "12 "}, {"9-epoc", true, "10 12 "},
        {"8-epoc", true, "10 12 "}, {"7-epoc", false, NULL},  {"3-epoc", false, NULL},
        {"", false, NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct member m = come_back(link_id, table[i].offset, table[i].recovered);
        if (table[i].recovered) {
            next(link_id, RP_OP_MEMBER);
            assert_replays(m, 0, table[i].expected);
            next(link_id, RP_OP_LIVE);
        }
        nothing_more(link_id);
        disconnect(m);
    }
}

static void test_an_offset_is_judged_exactly(void **state) {
    everywhere(state, "* a events=2", offsets_at_every_border);
}

/* What other rooms have lost is nothing to it. */
static void other_rooms_do_not_matter(bool restart) {
    link_up(1, 5);
    miss_ten(1);
    trim();
    uint64_t link_id = restarted(restart);
    struct member m = come_back(link_id, "", true);
    next(link_id, RP_OP_MEMBER);
    assert_replays(m, 0, "4 6 8 10 12 ");
    next(link_id, RP_OP_LIVE);
}

static void test_what_other_rooms_lost_does_not_matter(void **state) {
    everywhere(state, "* a; * * events=1", other_rooms_do_not_matter);
}

/* An event of several rooms belongs to those that keep it. */
static void test_an_event_stays_for_the_rooms_that_keep_it(void **state) {
    (void) state;
    struct rp_memory_store *store = rp_memory_store_new("epoch000");
    struct rp_engine *e = rp_engine_memory_open(store, 10);
    struct rp_retention *retention;
    assert_int_equal(rp_retention_new(&RP_RETENTION_UNLIMITED, "* a events=1", &retention), RP_OK);
    rp_engine_memory_retain(e, retention);
    struct rp_engine_outcome o;
    for (int i = 0; i < 2; i++) {
        struct rp_record_fields event = {.kind = RP_RECORD_EVENT,
                                         .nsp = RP_BYTES_LIT("/"),
                                         .room = RP_BYTES_LIT("a"),
                                         .rooms = RP_BYTES_LIT("\0\0\0\1b"),
                                         .args = RP_BYTES_LIT("[]")};
        struct rp_record *r = rp_record_new(&event);
        assert_int_equal(e->ops->append(e, &r, 1), RP_OK);
        rp_engine_memory_step(e, 1);
        assert_int_equal(e->ops->poll(e, &o, 1), 1);
        rp_record_unref(o.record);
    }
    assert_int_equal(e->ops->trim(e, 2, 0), RP_OK);
    rp_engine_memory_step(e, 1);
    assert_int_equal(e->ops->poll(e, &o, 1), 1);
    assert_int_equal(o.kind, RP_ENGINE_BORDER);
    assert_int_equal(o.border->seq, 1);
    free(o.border);
    assert_int_equal(e->ops->poll(e, &o, 1), 1);
    assert_int_equal(o.kind, RP_ENGINE_TRIMMED);
    assert_int_equal(o.seq, 0);
    for (int i = 0; i < 2; i++) {
        struct rp_engine_span span = {
            .nsp = RP_BYTES_LIT("/"), .room = rp_bytes_str(i == 0 ? "a" : "b"), .upto = 10};
        struct rp_engine_read read = {
            .spans = &span, .spans_count = 1, .events_max = 10, .bytes_max = 10000};
        assert_int_equal(e->ops->read(e, &read), RP_OK);
        rp_engine_memory_step(e, 1);
        assert_int_equal(e->ops->poll(e, &o, 1), 1);
        assert_int_equal(o.page->records_count, 1 + i);
        assert_int_equal(o.page->truncated, i == 0);
        rp_engine_page_free(o.page);
    }
    e->ops->close(e);
    rp_retention_free(retention);
    rp_memory_store_free(store);
}

/* What a replay still needs is not taken, in whatever room. */
static void replay_holds_what_it_needs(bool restart) {
    if (restart) {
        return; /* nothing is under way over it */
    }
    bench.config.page_events = 1;
    bench_reconfigure();
    link_up(1, 5);
    struct member other = miss_ten(1);
    struct member m = come_back(1, "", true);
    next(1, RP_OP_MEMBER);
    assert_replays(m, 0, "4 ");
    uint64_t page = next(1, RP_OP_PAGE).page.page;
    ask_publish(other, "a", "[1]");
    run();
    next(1, RP_OP_DELIVER);
    next(1, RP_OP_DONE);
    trim();
    for (int seq = 6; seq <= 12; seq += 2) {
        char expected[16];
        snprintf(expected, sizeof expected, "%d ", seq);
        page_done(m, page);
        assert_replays(m, 0, expected);
        page = next(1, RP_OP_PAGE).page.page;
    }
    page_done(m, page);
    assert_replays(m, 0, "16 "); /* 15 was its RESUME */
    page_done(m, next(1, RP_OP_PAGE).page.page);
    next(1, RP_OP_LIVE);
    trim();
    disconnect(m);
    m = come_back(1, "12-epoc", true);
    next(1, RP_OP_MEMBER);
    assert_replays(m, 0, "16 ");
    page_done(m, next(1, RP_OP_PAGE).page.page);
    next(1, RP_OP_LIVE);
    disconnect(m);
    come_back(1, "11-epoc", false);
}

static void test_a_replay_holds_what_it_needs(void **state) {
    everywhere(state, "* a events=1", replay_holds_what_it_needs);
}

/* ---- history, and joins that ask for it ---- */

static void assert_seqs(struct rp_bytes json, const char *expected, bool truncated, bool more) {
    char text[4096], seqs[256] = "", *out = seqs;
    snprintf(text, sizeof text, "%.*s", RP_BYTES_FMT(json));
    for (const char *at = text; (at = strstr(at, "{\"seq\":")) != NULL; at++) {
        out += sprintf(out, "%d ", atoi(at + 7));
    }
    assert_string_equal(seqs, expected);
    assert_int_equal(strstr(text, "\"truncated\":true") != NULL, truncated);
    assert_int_equal(strstr(text, "\"more\":true") != NULL, more);
}

static void history_at_every_border(bool restart) {
    link_up(1, 5);
    miss_ten(1);
    trim();
    uint64_t link_id = restarted(restart);
    struct member m = connect_new(link_id, 3);
    assert_seqs(read_history(m, "a", UINT64_MAX, 1000), "10 12 ", true, false);
    assert_seqs(read_history(m, "a", UINT64_MAX, 2), "10 12 ", true, false);
    assert_seqs(read_history(m, "a", UINT64_MAX, 1), "12 ", false, true);
    assert_seqs(read_history(m, "a", 0, 1), "10 ", true, true);
    assert_seqs(read_history(m, "a", 7, 1000), "10 12 ", true, false);
    assert_seqs(read_history(m, "a", 8, 1000), "10 12 ", false, false);
    assert_seqs(read_history(m, "a", 10, 1000), "12 ", false, false);
    assert_seqs(read_history(m, "a", 12, 1000), "", false, false);
    assert_seqs(read_history(m, "b", 0, 1000), "5 7 9 11 13 ", false, false);
}

static void test_history_tells_what_is_gone(void **state) {
    everywhere(state, "* a events=2", history_at_every_border);
}

static void joins_at_every_border(bool restart) {
    link_up(1, 5);
    miss_ten(1);
    trim();
    uint64_t link_id = restarted(restart);
    static const struct {
        uint64_t since;
        const char *expected;
        bool truncated;
        uint64_t oldest;
    } table[] = {{0, "10 12 ", true, 10},
                 {7, "10 12 ", true, 10},
                 {8, "10 12 ", false, 10},
                 {10, "12 ", false, 12}};
    for (unsigned i = 0; i < sizeof table / sizeof *table; i++) {
        struct member m = connect_new(link_id, 3 + i);
        uint64_t num = ask_join_since(m, "a", table[i].since, 1000);
        run();
        next(link_id, RP_OP_JOINED);
        next(link_id, RP_OP_MEMBER);
        next(link_id, RP_OP_HOLD);
        assert_replays(m, num, table[i].expected);
        struct rp_op_done done = next(link_id, RP_OP_DONE).done;
        assert_int_equal(done.truncated, table[i].truncated);
        assert_int_equal(done.oldest, table[i].oldest);
        next(link_id, RP_OP_LIVE);
    }
}

static void test_a_join_tells_what_is_gone(void **state) {
    everywhere(state, "* a events=2", joins_at_every_border);
}

/* A room of which nothing is left, and which nobody is in, still knows what it lost. */
static void an_empty_room_remembers(bool restart) {
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    publish(m, "a", "[1]"); /* 2 */
    publish(m, "a", "[1]"); /* 3 */
    pass_ms(60000);
    hello(3, 5, EPOCH, 3);
    list_session(m);
    resumed(3);
    run();
    forget(&bench.received);
    connect_new(3, 9); /* the newest record stays */
    trim();
    uint64_t link_id = restarted(restart);
    link_id = restart ? link_id : 3;
    m = connect_new(link_id, 4);
    assert_seqs(read_history(m, "a", 2, 10), "", true, false);
    assert_seqs(read_history(m, "a", 3, 10), "", false, false);
    for (int i = 0; i < 4; i++) {
        publish(m, "z", "[1]");
    }
    pass_ms(bench.config.gateway_timeout_ms);
    trim();
    bool all_in_tail = bench.config.tail_records_max > 3;
    assert_int_equal(rp_core_stats(bench.core)->rooms, all_in_tail ? 2 : 1);
}

static void test_an_empty_room_remembers(void **state) {
    everywhere(state, "* a age=30s", an_empty_room_remembers);
}

/* Where nothing was asked for, nothing is missing. */
static void empty_ranges(bool restart) {
    link_up(1, 5);
    miss_ten(1);
    trim();
    uint64_t link_id = restarted(restart);
    struct member m = connect_new(link_id, 3);
    for (uint64_t since = 5; since < 12; since++) {
        uint64_t num = bench.next_num++;
        send(link_id, (struct rp_op){.kind = RP_OP_HISTORY,
                                     .history = {.num = num,
                                                 .session = m.session,
                                                 .conn = m.conn,
                                                 .room = RP_BYTES_LIT("a"),
                                                 .has_since = true,
                                                 .since = since,
                                                 .before = 6,
                                                 .limit = 10}});
        run();
        assert_seqs(next(link_id, RP_OP_RESULT).result.json, "", false, false);
    }
}

static void test_an_empty_range_lacks_nothing(void **state) {
    everywhere(state, "* a events=2", empty_ranges);
}

/* ---- while a round is under way ---- */

/* The beginning of the log has gone already, and the core is told so when all of the round is done:
 * who comes back meanwhile is not sent away again and again. */
static void test_a_round_under_way_is_not_a_trap(void **state) {
    (void) state;
    bench.retain_events = 4;
    with_rules(NULL, 3);
    link_up(1, 5);
    miss_ten(1);
    say_seen();
    pass_ms(300);
    turn();
    rp_engine_memory_work(bench.engine, RP_MEMORY_TRIM, 1);
    uint64_t num = ask_connect(1, 60, 1, "5-epoc");
    for (int i = 0; i < 5; i++) {
        turn();
        rp_engine_memory_work(bench.engine, RP_MEMORY_COMMIT | RP_MEMORY_PAGE, 1000);
    }
    turn();
    struct rp_op_connected got = next(1, RP_OP_CONNECTED).connected;
    assert_int_equal(got.num, num);
    assert_true(got.recovered); /* nobody could know */
    next(1, RP_OP_MEMBER);
    assert_int_equal(next(1, RP_OP_EVICT).evict.conn, got.conn);
    num = ask_connect(1, 61, 1, "5-epoc");
    for (int i = 0; i < 5; i++) {
        turn();
        rp_engine_memory_work(bench.engine, RP_MEMORY_COMMIT | RP_MEMORY_PAGE, 1000);
    }
    turn();
    got = next(1, RP_OP_CONNECTED).connected;
    assert_int_equal(got.num, num);
    assert_false(got.recovered);
    assert_int_equal(rp_core_stats(bench.core)->first, 1);
}

/* ---- rules ---- */

static void test_the_newest_event_stays_however_large(void **state) {
    (void) state;
    with_rules("* a bytes=1", 10000);
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    for (int i = 0; i < 3; i++) {
        publish(m, "a", "[1]"); /* 2 3 4 */
    }
    trim();
    assert_seqs(read_history(m, "a", 0, 10), "4 ", true, false);
    assert_int_equal(count_records(RP_RECORD_EVENT), 1);
}

/* Wall clocks jump: an event that looks younger than a later one keeps that one. */
static void test_age_is_told_by_the_wall_clock(void **state) {
    (void) state;
    with_rules("* a age=10s", 10000);
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    publish(m, "a", "[1]"); /* 2 */
    bench.now.wall_ms += 8000;
    publish(m, "a", "[1]"); /* 3 */
    trim();
    assert_seqs(read_history(m, "a", 0, 10), "2 3 ", false, false);
    bench.now.wall_ms += 3000;
    trim();
    assert_seqs(read_history(m, "a", 0, 10), "3 ", true, false);
    bench.now.wall_ms -= 3600000;
    publish(m, "a", "[1]"); /* 4, an hour ago */
    trim();
    assert_seqs(read_history(m, "a", 0, 10), "3 4 ", true, false);
    bench.now.wall_ms += 3600000;
    trim();
    assert_seqs(read_history(m, "a", 0, 10), "3 4 ", true, false); /* the log's newest stays */
    publish(m, "b", "[1]");
    trim();
    assert_seqs(read_history(m, "a", 0, 10), "", true, false);
}

/* What is not an event goes with the log's beginning only. */
static void test_rules_take_events_only(void **state) {
    (void) state;
    with_rules("* * events=1", 10000);
    link_up(1, 5);
    miss_ten(1);
    trim();
    assert_int_equal(count_records(RP_RECORD_EVENT), 2);
    assert_int_equal(count_records(RP_RECORD_OPEN), 2);
    assert_int_equal(count_records(RP_RECORD_JOIN), 1);
    assert_int_equal(rp_core_stats(bench.core)->first, 1);
}

/* A publish that the log has no room for is told so; others who ask for something may try again. */
static void test_a_full_log_refuses_events_by_name(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    rp_engine_memory_refuse(bench.engine, 2);
    uint64_t num = ask_publish(m, "a", "[1]"), joined = ask_join(m, "a");
    run();
    assert_failed(1, num, "no_space");
    assert_failed(1, joined, "unavailable");
    assert_seqs(read_history(m, "a", 0, 10), "", false, false);
    publish(m, "a", "[1]");
}

/* The answers on a link, + for done and - for failed, by their distance from num: "-0 +1 ". */
static void answers_text(uint64_t link_id, uint64_t num, char *ret_text) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&bench.received, it, tmp) {
        const struct got *got = RP_CONTAINER_OF(it, struct got, node);
        if (got->link_id == link_id && got->op.kind == RP_OP_DONE) {
            ret_text += sprintf(ret_text, "+%d ", (int) (got->op.done.num - num));
        } else if (got->link_id == link_id && got->op.kind == RP_OP_FAILED) {
            ret_text += sprintf(ret_text, "-%d ", (int) (got->op.failed.num - num));
        }
    }
}

/* The refusal is lost with its link; what was published after it is in the log, or on its way: the
 * publisher's order holds all the same. */
static void test_what_was_refused_does_not_come_late(void **state) {
    (void) state;
    for (int when = 0; when < 3; when++) {
        uint64_t link_id = 1 + (uint64_t) when * 10, incarnation = 5 + (uint64_t) when;
        link_up(link_id, incarnation);
        struct member m = connect_new(link_id, 1 + (unsigned) when);
        uint64_t seen = rp_core_stats(bench.core)->head;
        rp_engine_memory_refuse(bench.engine, 1);
        struct rp_op refused = publish_op(m, "a", "[1]"), stored = publish_op(m, "a", "[2]");
        refused.publish.id = rp_bytes_str(when == 1 ? "x" : "");
        send(link_id, refused);
        send(link_id, stored);
        if (when == 0) {
            turn();
            rp_engine_memory_step(bench.engine, 1); /* only the refusal */
            turn();
        } else {
            run();
        }
        if (when == 2) {
            bench_restart();
        } else {
            lose_link(link_id);
        }
        forget(&bench.received);
        hello(++link_id, incarnation, EPOCH, seen);
        list_session(m);
        resumed(link_id);
        m.link_id = link_id;
        send(link_id, refused);
        send(link_id, stored);
        struct rp_op later = publish_op(m, "a", "[3]");
        send(link_id, later);
        run();
        char answers[256];
        answers_text(link_id, refused.publish.num, answers);
        assert_non_null(
            strstr(answers, "-0 ")); /* answered at once, others when it is their turn */
        assert_non_null(strstr(answers, "+1 "));
        assert_true(strstr(answers, "+2 ") > strstr(answers, "+1 "));
        assert_int_equal(strlen(answers), 9);
    }
    assert_int_equal(count_records(RP_RECORD_EVENT), 6);
}

/* ---- gateways whose requests are asked again ---- */

/* What a rule has removed is not there to tell that it was done: a gateway that has not seen it all
 * begins anew. One that has is told once more what the newest record answers, which is there. */
static void test_what_is_gone_is_not_stored_again(void **state) {
    for (int seen_all = 0; seen_all <= 1; seen_all++) {
        if (seen_all) {
            bench_teardown(state);
            bench_setup(state);
        }
        with_rules("* * age=1s", 10000);
        link_up(1, 5);
        struct member m = connect_new(1, 1);
        struct rp_op op = publish_op(m, "a", "[1]");
        publish(m, "a", "[0]");
        send(1, op);
        run();
        forget(&bench.received);
        pass_ms(2000);
        trim();
        assert_int_equal(count_records(RP_RECORD_EVENT), 1); /* the log's newest record stays */
        bench_restart();
        hello(2, 5, EPOCH, seen_all ? rp_core_stats(bench.core)->head : m.session);
        m.link_id = 2;
        list_session(m);
        send(2, op);
        resumed(2);
        run();
        if (seen_all) {
            next(2, RP_OP_WELCOME);
            next(2, RP_OP_VERDICT);
            assert_done(2, op.publish.num);
        } else {
            assert_text(next(2, RP_OP_RESET).reset.message, "the gateway was away too long");
        }
        assert_int_equal(count_records(RP_RECORD_EVENT), 1);
    }
}

/* What a gateway may not have seen the answer of must be found when it asks again, also by the next
 * broker: it is not taken before. */
static void test_what_a_gateway_may_ask_again_stays(void **state) {
    (void) state;
    with_rules("* * events=1", 10000);
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    say_seen();
    uint64_t seen = rp_core_stats(bench.core)->head;
    struct rp_op first = publish_op(m, "a", "[1]"), second = publish_op(m, "a", "[2]");
    send(1, first);
    send(1, second);
    run();
    forget(&bench.received);
    publish(m, "a", "[3]");
    pass_ms(1000);
    run();
    assert_int_equal(count_records(RP_RECORD_EVENT), 3);
    bench_restart();
    hello(2, 5, EPOCH, seen);
    list_session(m);
    resumed(2);
    m.link_id = 2;
    send(2, first);
    send(2, second);
    run();
    char answers[256];
    answers_text(2, first.publish.num, answers);
    assert_string_equal(answers, "+0 +1 +2 ");
    assert_int_equal(count_records(RP_RECORD_EVENT), 3);
    pass_ms(bench.config.gateway_timeout_ms);
    trim();
    assert_int_equal(count_records(RP_RECORD_EVENT), 1);
}

/* Asked again behind later ones: an event with its id may be there all the same, and then that is
 * told. */
static void test_what_was_stored_before_is_found_though_refused(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    struct rp_op stored = publish_op(m, "a", "[1]");
    stored.publish.id = RP_BYTES_LIT("x");
    send(1, stored); /* 2 */
    run();
    say_seen();
    uint64_t seen = rp_core_stats(bench.core)->head;
    struct rp_op again = publish_op(m, "a", "[1]"), later = publish_op(m, "a", "[2]");
    again.publish.id = RP_BYTES_LIT("x");
    send(1, again); /* a duplicate, which leaves no trace */
    send(1, later);
    run();
    lose_link(1);
    forget(&bench.received);
    hello(2, 5, EPOCH, seen);
    list_session(m);
    resumed(2);
    m.link_id = 2;
    again.publish.session = later.publish.session = m.session;
    send(2, again);
    send(2, later);
    run();
    char answers[256];
    answers_text(2, again.publish.num, answers);
    assert_non_null(strstr(answers, "+0 "));
    assert_non_null(strstr(answers, "+1 "));
    assert_int_equal(count_records(RP_RECORD_EVENT), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_an_offset_is_judged_exactly),
        BENCH_TEST(test_what_other_rooms_lost_does_not_matter),
        BENCH_TEST(test_an_event_stays_for_the_rooms_that_keep_it),
        BENCH_TEST(test_a_replay_holds_what_it_needs),
        BENCH_TEST(test_history_tells_what_is_gone),
        BENCH_TEST(test_a_join_tells_what_is_gone),
        BENCH_TEST(test_an_empty_room_remembers),
        BENCH_TEST(test_an_empty_range_lacks_nothing),
        BENCH_TEST(test_a_round_under_way_is_not_a_trap),
        BENCH_TEST(test_the_newest_event_stays_however_large),
        BENCH_TEST(test_age_is_told_by_the_wall_clock),
        BENCH_TEST(test_rules_take_events_only),
        BENCH_TEST(test_a_full_log_refuses_events_by_name),
        BENCH_TEST(test_what_was_refused_does_not_come_late),
        BENCH_TEST(test_what_was_stored_before_is_found_though_refused),
        BENCH_TEST(test_what_a_gateway_may_ask_again_stays),
        BENCH_TEST(test_what_is_gone_is_not_stored_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
