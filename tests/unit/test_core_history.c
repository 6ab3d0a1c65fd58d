/* tests/unit/test_core_history.c — broker/replay: joins whose connection ends before their history
 * does. Their gateway keeps each of them until it is answered, so each is: once. */
#include "tests/unit/core_fixture.h"

/* Room a gets six events: 4 to 9. */
static void fill_room(uint64_t link_id) {
    struct member m = connect_new(link_id, 1);
    join(m, "b");
    forget(&bench.received);
    for (int i = 0; i < 6; i++) {
        publish(m, "a", "[1]");
    }
}

/* A join with a history of several pages; the client has yet to take the first. */
static uint64_t ask_paged(struct member m) {
    uint64_t num = ask_join_since(m, "a", 0, 1000);
    run();
    assert_int_equal(next(m.link_id, RP_OP_JOINED).joined.num, num);
    next(m.link_id, RP_OP_MEMBER);
    next(m.link_id, RP_OP_HOLD);
    next(m.link_id, RP_OP_REPLAY);
    next(m.link_id, RP_OP_REPLAY);
    next(m.link_id, RP_OP_PAGE);
    nothing_more(m.link_id);
    return num;
}

static uint64_t ask_close(struct member m, bool ended) {
    struct rp_op op = {
        .kind = RP_OP_CLOSE,
        .close = {.num = bench.next_num++, .session = m.session, .conn = m.conn, .ended = ended}};
    send(m.link_id, op);
    return op.close.num;
}

static int paged_setup(void **state) {
    bench_setup(state);
    bench.config.page_events = 2;
    bench.config.intervals_max = 10;
    bench_reconfigure();
    link_up(1, 5);
    fill_room(1);
    return 0;
}

static void test_joins_of_a_closed_connection_are_answered(void **state) {
    (void) state;
    for (unsigned ended = 0; ended < 2; ended++) {
        struct member m = connect_new(1, 3 + ended);
        uint64_t paged = ask_paged(m), waiting = ask_join_since(m, "a", 0, 1000);
        run();
        assert_int_equal(next(1, RP_OP_JOINED).joined.num, waiting);
        uint64_t closed = ask_close(m, ended > 0);
        run();
        assert_failed(1, paged, "superseded");
        assert_failed(1, waiting, "superseded");
        assert_done(1, closed);
        nothing_more(1);
    }
}

/* The CLOSE comes before the join is in the log. */
static void test_a_join_overtaken_by_its_close_is_answered(void **state) {
    (void) state;
    for (unsigned ended = 0; ended < 2; ended++) {
        struct member m = connect_new(1, 3 + ended);
        uint64_t num = ask_join_since(m, "a", 0, 1000), closed = ask_close(m, ended > 0);
        run();
        next(1, RP_OP_JOINED);
        next(1, RP_OP_MEMBER);
        next(1, RP_OP_HOLD);
        assert_failed(1, num, "superseded");
        assert_done(1, closed);
        nothing_more(1);
    }
}

/* EVICT comes first: who goes on elsewhere must not hear that the join failed. */
static void test_a_join_of_a_connection_taken_over_is_answered(void **state) {
    (void) state;
    link_up(2, 6);
    struct member m = connect_new(1, 3);
    uint64_t num = ask_paged(m), taken = ask_connect(2, 4, 3, "");
    run();
    assert_int_equal(next(1, RP_OP_EVICT).evict.conn, m.conn);
    assert_failed(1, num, "superseded");
    nothing_more(1);
    assert_int_equal(next(2, RP_OP_CONNECTED).connected.num, taken);
}

/* So much has been left meanwhile that the replay cannot go on exactly. */
static void test_a_join_whose_replay_is_given_up_is_answered(void **state) {
    (void) state;
    struct member m = connect_new(1, 3);
    uint64_t num = ask_paged(m);
    for (int i = 0; i < 30; i++) {
        ask_join(m, "c");
        ask_leave(m, "c");
        run();
    }
    forget(&bench.received);
    send(1, (struct rp_op){.kind = RP_OP_PAGE_DONE,
                           .page_done = {.session = m.session, .conn = m.conn, .page = 1}});
    run();
    assert_int_equal(next(1, RP_OP_EVICT).evict.conn, m.conn);
    assert_failed(1, num, "superseded");
    nothing_more(1);
}

/* The rest of a history is asked for again on the next link. */
static void ask_rest(struct member m, uint64_t num, uint64_t upto) {
    send(m.link_id, (struct rp_op){.kind = RP_OP_JOIN,
                                   .join = {.num = num,
                                            .session = m.session,
                                            .conn = m.conn,
                                            .room = RP_BYTES_LIT("a"),
                                            .has_since = 1,
                                            .since = 5,
                                            .limit = 998,
                                            .upto = upto}});
}

static size_t count_answers(uint64_t link_id, uint64_t num) {
    size_t count = 0;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&bench.received, it, tmp) {
        const struct got *got = RP_CONTAINER_OF(it, struct got, node);
        bool done = got->op.kind == RP_OP_DONE && got->op.done.num == num;
        bool failed = got->op.kind == RP_OP_FAILED && got->op.failed.num == num;
        count += got->link_id == link_id && (done || failed);
    }
    return count;
}

/* A client left while the link was down. Its join is before what the gateway has seen, or is the
 * very record at it; its CLOSE comes with the join, or the session just is not listed. */
static void test_a_join_asked_again_is_answered_once(void **state) {
    (void) state;
    for (uint64_t i = 0; i < 4; i++) {
        bool seen_more = i & 1, closes = i & 2;
        struct member m = connect_new(1 + i, 3 + (unsigned) i), other;
        uint64_t num = ask_paged(m), upto = rp_core_stats(bench.core)->head;
        if (seen_more) {
            other = connect_new(1 + i, 100 + (unsigned) i);
        }
        lose_link(1 + i);
        run();
        nothing_more(1 + i); /* nothing of the answer is lost with the link */
        hello(2 + i, 5, EPOCH, rp_core_stats(bench.core)->head);
        m.link_id = 2 + i;
        if (seen_more) {
            other.link_id = 2 + i;
            list_session(other);
        }
        ask_rest(m, num, upto);
        uint64_t closed = closes ? ask_close(m, false) : 0;
        resumed(2 + i);
        run();
        assert_int_equal(count_answers(2 + i, num), 1);
        assert_true(!closes || count_answers(2 + i, closed) == 1);
        forget(&bench.received);
    }
}

#define PAGED_TEST(name) cmocka_unit_test_setup_teardown(name, paged_setup, bench_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        PAGED_TEST(test_joins_of_a_closed_connection_are_answered),
        PAGED_TEST(test_a_join_overtaken_by_its_close_is_answered),
        PAGED_TEST(test_a_join_of_a_connection_taken_over_is_answered),
        PAGED_TEST(test_a_join_whose_replay_is_given_up_is_answered),
        PAGED_TEST(test_a_join_asked_again_is_answered_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
