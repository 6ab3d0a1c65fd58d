/* tests/unit/test_core_share.c — broker/share, broker/replay_missed: pages of rooms that sessions
 * share when they catch up. One read for all who miss the same, and each gets what it would have
 * got alone. */
#include "tests/unit/replay_fixture.h"

#include "broker/state.h"

enum { MEMBERS_MAX = 40 };

static struct member publisher, members[MEMBERS_MAX];
static size_t members_count;

/* ---- the story ---- */

static uint64_t reads(void) {
    return rp_core_stats(bench.core)->reads;
}

/* A log whose newest records, so many, are in memory, and so many connected sessions; the publisher
 * is 1, the sessions are 2 and so on. */
static void begin_with_tail(size_t records_max, size_t count) {
    bench.config.tail_records_max = records_max;
    bench_reconfigure();
    link_up(1, 5);
    publisher = connect_new(1, 1);
    members_count = count;
    for (size_t i = 0; i < count; i++) {
        members[i] = connect_new(1, (unsigned) i + 2);
    }
}

static void begin(size_t count) {
    begin_with_tail(3, count);
}

static void all_join(const char *room) {
    for (size_t i = 0; i < members_count; i++) {
        join(members[i], room);
    }
}

/* Arguments of an event with so many bytes of them, which stay until the next call. */
static const char *args_of(size_t len) {
    static char args[1000];
    memset(args, '1', len);
    args[0] = '[';
    args[len - 1] = ']';
    args[len] = '\0';
    return args;
}

/* Publishes, and returns the seq of the first. */
static uint64_t publish_args(const char *room, int count, const char *args) {
    uint64_t first = bench.core->head + 1;
    for (int i = 0; i < count; i++) {
        ask_publish(publisher, room, args);
    }
    run();
    forget(&bench.received);
    return first;
}

static uint64_t publish_some(const char *room, int count) {
    return publish_args(room, count, "[1]");
}

/* Its socket was too slow: it has everything up to pos. */
static void fall_behind(struct member m, uint64_t pos) {
    send(m.link_id, (struct rp_op){.kind = RP_OP_CATCHUP,
                                   .catchup = {.session = m.session, .conn = m.conn, .pos = pos}});
}

static void all_fall_behind(uint64_t pos) {
    for (size_t i = 0; i < members_count; i++) {
        fall_behind(members[i], pos);
    }
    turn();
}

/* What a session got so far: "4 6 page live ", and "evict " */
static void assert_got(struct member m, const char *expected) {
    static char text[65536];
    char *at = text;
    *at = '\0';
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&bench.received, it, tmp) {
        const struct rp_op *op = &RP_CONTAINER_OF(it, struct got, node)->op;
        if (op->kind == RP_OP_REPLAY && op->replay.conn == m.conn) {
            at += sprintf(at, "%d ", (int) op->replay.seq);
        } else if (op->kind == RP_OP_PAGE && op->page.conn == m.conn) {
            at += sprintf(at, "page ");
        } else if (op->kind == RP_OP_LIVE && op->live.conn == m.conn) {
            at += sprintf(at, "live ");
        } else if (op->kind == RP_OP_EVICT && op->evict.conn == m.conn) {
            at += sprintf(at, "evict ");
        }
    }
    assert_string_equal(text, expected);
}

/* "first first+1 … " and so on, count in all, and an end. */
static const char *run_of(uint64_t first, uint64_t count, const char *end) {
    static char text[65536];
    char *at = text;
    for (uint64_t i = 0; i < count; i++) {
        at += sprintf(at, "%d ", (int) (first + i));
    }
    strcpy(at, end);
    return text;
}

static void assert_nothing_held(void) {
    const struct rp_share *share = &bench.core->share;
    assert_int_equal(bench.core->reads.count, 0);
    assert_int_equal(share->bytes, share->idle_bytes);
}

/* ---- one read for many ---- */

static void test_one_read_serves_all(void **state) {
    (void) state;
    begin(20);
    all_join("a");
    uint64_t first = publish_some("a", 5);
    publish_some("x", 5);
    all_fall_behind(first - 1);
    assert_int_equal(reads(), 1);
    run();
    assert_int_equal(reads(), 1);
    assert_int_equal(rp_core_stats(bench.core)->shared_misses, 1);
    for (size_t i = 0; i < members_count; i++) {
        assert_got(members[i], run_of(first, 5, "live "));
    }
    assert_nothing_held();
}

/* Each from where it is. */
static void test_other_positions_share_the_page(void **state) {
    (void) state;
    begin(10);
    all_join("a");
    uint64_t first = publish_some("a", 9);
    publish_some("x", 5);
    for (size_t i = 0; i < members_count; i++) { /* the newest first */
        fall_behind(members[i], first + 8 - i);
    }
    run();
    assert_int_equal(reads(), 1);
    for (size_t i = 0; i < members_count; i++) {
        assert_got(members[i], run_of(first + 9 - i, i, "live "));
    }
}

/* In a room of few sessions nothing is read that nobody needs. */
static void test_few_sessions_read_from_where_they_are(void **state) {
    (void) state;
    begin(2);
    all_join("a");
    uint64_t first = publish_some("a", 9);
    publish_some("x", 5);
    fall_behind(members[0], first + 4);
    turn();
    fall_behind(members[1], first + 1);
    turn();
    assert_int_equal(reads(), 2); /* the second ends where the first begins */
    run();
    assert_int_equal(reads(), 2);
    assert_got(members[0], run_of(first + 5, 4, "live "));
    assert_got(members[1], run_of(first + 2, 7, "live "));
    const struct rp_shared *page =
        RP_CONTAINER_OF(rp_list_first(&bench.core->share.all), struct rp_shared, node);
    assert_int_equal(page->records_count, 4);
}

/* Different rooms in common: as many reads as rooms. */
static void test_rooms_are_merged_in_order(void **state) {
    (void) state;
    begin(12);
    static const char *const rooms[] = {"a", "b", "c"};
    for (size_t i = 0; i < members_count; i++) {
        join(members[i], rooms[i % 3]);
        join(members[i], rooms[(i + 1) % 3]);
    }
    uint64_t first = bench.core->head + 1;
    for (int i = 0; i < 5; i++) {
        for (size_t k = 0; k < 3; k++) {
            publish_some(rooms[k], 1);
        }
    }
    publish_some("x", 5);
    all_fall_behind(first - 1);
    run();
    assert_int_equal(reads(), 3);
    for (size_t i = 0; i < members_count; i++) {
        char expected[256], *at = expected;
        for (size_t n = 0; n < 15; n++) {
            if (n % 3 == i % 3 || n % 3 == (i + 1) % 3) {
                at += sprintf(at, "%d ", (int) (first + n));
            }
        }
        strcpy(at, "live ");
        assert_got(members[i], expected);
    }
}

/* Page after page, each read once, though each client takes its pages when it likes. */
static void test_pages_are_read_once_each(void **state) {
    (void) state;
    bench.config.page_events = 4;
    begin(10);
    all_join("a");
    uint64_t first = publish_some("a", 20);
    publish_some("x", 5);
    for (size_t i = 0; i < members_count; i++) {
        forget(&bench.received);
        fall_behind(members[i], first - 1);
        run();
        assert_got(members[i], run_of(first, 4, "page "));
        for (uint64_t page = 1; page < 5; page++) {
            forget(&bench.received);
            page_done(members[i], page);
            assert_got(members[i], run_of(first + 4 * page, 4, "page "));
        }
        forget(&bench.received);
        page_done(members[i], 5);
        assert_got(members[i], "live ");
    }
    /* at most one that is full before it comes to where they are, and the tail moves not at all */
    assert_in_range(reads(), 5, 7);
    assert_nothing_held();
}

/* What is published while the disk is read: the page reaches into the tail. */
static void test_nobody_runs_after_the_tail(void **state) {
    (void) state;
    begin(5);
    all_join("a");
    uint64_t first = publish_some("a", 5);
    publish_some("x", 1);
    uint64_t last = publish_some("a", 1);
    all_fall_behind(first - 1);
    for (int i = 0; i < 10; i++) { /* the memory engine commits before it reads */
        ask_publish(publisher, "x", "[1]");
    }
    assert_int_equal(rp_engine_memory_step(bench.engine, 10), 10);
    turn();
    assert_true(bench.core->tail.base > last);
    run();
    assert_int_equal(rp_core_stats(bench.core)->shared_misses, 2); /* then from the page's end */
    for (size_t i = 0; i < members_count; i++) {
        char end[32];
        snprintf(end, sizeof end, "%d live ", (int) last);
        assert_got(members[i], run_of(first, 5, end));
    }
}

/* A session of very many rooms reads them all at once, for itself. */
static void test_very_many_rooms_are_one_read(void **state) {
    (void) state;
    begin(1);
    char room[16];
    for (int i = 0; i < RP_SHARE_ROOMS_MAX + 1; i++) {
        snprintf(room, sizeof room, "r%d", i);
        join(members[0], room);
    }
    uint64_t first = publish_some("r3", 2);
    publish_some("r16", 3);
    publish_some("x", 5);
    all_fall_behind(first - 1);
    run();
    assert_int_equal(reads(), 1);
    assert_int_equal(rp_core_stats(bench.core)->shared_misses, 0);
    assert_got(members[0], run_of(first, 5, "live "));
}

/* ---- retention ---- */

/* Of the room's events the newest two are kept: who needs more is told, from the same page as those
 * who do not. */
static void test_a_border_in_the_middle_of_a_page(void **state) {
    (void) state;
    bench.retain = "/ a events=2";
    begin(6);
    all_join("a");
    uint64_t first = publish_some("a", 6);
    publish_some("x", 5);
    trim();
    for (size_t i = 0; i < members_count; i++) {
        fall_behind(members[i], first + i);
    }
    run();
    assert_int_equal(reads(), 1);
    for (size_t i = 0; i < members_count; i++) { /* the border is first + 3 */
        assert_got(members[i], i < 3 ? "evict " : run_of(first + i + 1, 5 - i, "live "));
    }
    assert_nothing_held();
}

static void test_a_border_while_the_page_is_read(void **state) {
    (void) state;
    begin(6);
    all_join("a");
    uint64_t first = publish_some("a", 6);
    publish_some("x", 5);
    for (size_t i = 0; i < members_count; i++) {
        fall_behind(members[i], first + i);
    }
    turn();
    rp_core_border(bench.core, RP_BYTES_LIT("/"), RP_BYTES_LIT("a"), first + 3);
    run();
    assert_int_equal(reads(), 1);
    for (size_t i = 0; i < members_count; i++) {
        assert_got(members[i], i < 3 ? "evict " : run_of(first + i + 1, 5 - i, "live "));
    }
    forget(&bench.received);
    fall_behind(members[5], first + 3); /* found in memory, as it is now */
    fall_behind(members[4], first + 2);
    run();
    assert_int_equal(reads(), 1);
    assert_got(members[5], run_of(first + 4, 2, "live "));
    assert_got(members[4], "evict ");
}

/* The beginning of the log has gone: which rooms have lost what, only the log knows. */
static void test_pages_of_what_was_trimmed_are_read_again(void **state) {
    (void) state;
    begin(5);
    all_join("a");
    uint64_t first = publish_some("a", 6);
    publish_some("x", 5);
    all_fall_behind(first - 1);
    assert_int_equal(reads(), 1);
    rp_share_trimmed(bench.core, first);
    run();
    assert_int_equal(reads(), 2);
    for (size_t i = 0; i < members_count; i++) {
        assert_got(members[i], run_of(first, 6, "live "));
    }
    rp_share_trimmed(bench.core, first);
    assert_int_equal(bench.core->share.count, 0);
    forget(&bench.received);
    all_fall_behind(first - 1);
    rp_share_trimmed(bench.core, 0); /* nothing of the page's */
    run();
    assert_int_equal(reads(), 3);
    assert_nothing_held();
}

/* ---- ends ---- */

static void test_a_read_ends_with_its_last_waiter(void **state) {
    (void) state;
    begin(2);
    all_join("a");
    uint64_t first = publish_some("a", 6);
    publish_some("x", 5);
    all_fall_behind(first - 1);
    assert_int_equal(bench.core->reads.count, 1);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(bench.core->reads.count, 1);
        send(1, (struct rp_op){.kind = RP_OP_CLOSE,
                               .close = {.num = bench.next_num++,
                                         .session = members[i].session,
                                         .conn = members[i].conn}});
    }
    assert_int_equal(bench.core->reads.count, 0);
    assert_int_equal(bench.core->share.count, 0);
    assert_int_equal(bench.core->share.bytes, 0);
    assert_int_equal(rp_engine_memory_step(bench.engine, 10), 2); /* CLOSEs, and no read */
    run();
}

static void test_a_lost_link_ends_its_reads(void **state) {
    (void) state;
    begin(10);
    all_join("a");
    uint64_t first = publish_some("a", 6);
    publish_some("x", 5);
    all_fall_behind(first - 1);
    lose_link(1);
    assert_int_equal(bench.core->reads.count, 0);
    assert_int_equal(bench.core->share.count, 0);
    run();
}

/* A disk that cannot be read, for a while. */
static struct rp_engine_ops failing;
static size_t (*real_poll)(struct rp_engine *e, struct rp_engine_outcome *ret_outcomes, size_t max);

static size_t poll_failing(struct rp_engine *e, struct rp_engine_outcome *ret, size_t max) {
    size_t n = real_poll(e, ret, max);
    for (size_t i = 0; i < n; i++) {
        struct rp_engine_page *page = ret[i].kind == RP_ENGINE_PAGE ? ret[i].page : NULL;
        for (; page != NULL && page->records_count > 0; page->records_count--) {
            rp_record_unref(page->records[page->records_count - 1]);
        }
        if (page != NULL) {
            page->err = RP_E_IO;
        }
    }
    return n;
}

static void test_an_error_reaches_all_who_wait(void **state) {
    (void) state;
    begin(5);
    all_join("a");
    uint64_t first = publish_some("a", 6);
    publish_some("x", 5);
    const struct rp_engine_ops *real = bench.engine->ops;
    failing = *real;
    real_poll = real->poll;
    failing.poll = poll_failing;
    bench.engine->ops = &failing;
    all_fall_behind(first - 1);
    run();
    bench.engine->ops = real;
    for (size_t i = 0; i < members_count; i++) {
        assert_got(members[i], "evict ");
    }
    assert_int_equal(bench.core->share.count, 0); /* it is not kept */
    forget(&bench.received);
    all_fall_behind(first - 1);
    run();
    assert_got(members[4], run_of(first, 6, "live "));
}

static void test_a_new_epoch_forgets_all_pages(void **state) {
    (void) state;
    begin(5);
    all_join("a");
    uint64_t first = publish_some("a", 6);
    publish_some("x", 5);
    all_fall_behind(first - 1);
    run();
    assert_true(bench.core->share.count > 0);
    rp_core_forget_all(bench.core, bench.core->head + 100);
    assert_int_equal(bench.core->share.count, 0);
    assert_int_equal(bench.core->share.bytes, 0);
    run();
}

/* ---- memory ---- */

/* Far more than there is memory for: all are served, one after the other, and no more is used than
 * is allowed. */
static void test_memory_is_bounded(void **state) {
    (void) state;
    bench.config.page_bytes = 4096;
    bench.config.share_bytes = 3 * (4096 + 1024);
    begin(30);
    uint64_t firsts[MEMBERS_MAX];
    char room[16];
    for (size_t i = 0; i < members_count; i++) { /* one of three of them, and one of its own */
        snprintf(room, sizeof room, "third-%d", (int) i % 10);
        join(members[i], room);
        snprintf(room, sizeof room, "own-%d", (int) i);
        join(members[i], room);
    }
    for (size_t i = 0; i < members_count; i++) {
        snprintf(room, sizeof room, "own-%d", (int) i);
        firsts[i] = publish_some(room, 3);
    }
    publish_some("x", 5);
    all_fall_behind(firsts[0] - 1);
    for (int i = 0; i < 1000 && bench.core->cursors_count > 0; i++) {
        assert_true(rp_core_stats(bench.core)->shared_bytes <= bench.config.share_bytes);
        rp_engine_memory_step(bench.engine, 1);
        turn();
    }
    for (size_t i = 0; i < members_count; i++) {
        assert_got(members[i], run_of(firsts[i], 3, "live "));
    }
    assert_true(rp_core_stats(bench.core)->shared_evictions > 20);
    assert_nothing_held();
}

/* Too little for one session's rooms: it gets them when it is alone. */
static void test_who_is_alone_gets_its_pages(void **state) {
    (void) state;
    bench.config.page_bytes = 4096;
    bench.config.share_bytes = 2 * (4096 + 1024);
    begin(3);
    all_join("a");
    all_join("b");
    all_join("c");
    uint64_t first = publish_some("a", 2);
    publish_some("b", 2);
    publish_some("c", 2);
    publish_some("x", 5);
    fall_behind(members[0], first - 1);
    fall_behind(members[1], first);
    fall_behind(members[2], first + 1);
    run();
    for (size_t i = 0; i < members_count; i++) {
        assert_got(members[i], run_of(first + i, 6 - i, "live "));
    }
    assert_nothing_held();
}

/* The page that others may share ends before it comes to them, and there is no memory for another:
 * they read for themselves rather than the same again. */
static void test_who_has_read_in_vain_reads_alone(void **state) {
    (void) state;
    bench.config.page_bytes = 4096;
    bench.config.page_events = 4;
    bench.config.share_bytes = 4096 + 1024;
    begin(6);
    all_join("a");
    uint64_t first = publish_some("a", 20);
    publish_some("x", 5);
    all_fall_behind(first + 16);
    for (int i = 0; i < 100 && bench.core->cursors_count > 0; i++) {
        turn();
        rp_engine_memory_step(bench.engine, 1);
    }
    for (size_t i = 0; i < members_count; i++) {
        assert_got(members[i], run_of(first + 17, 3, "live "));
    }
    assert_nothing_held();
}

/* More reads than the engine takes: the others wait for their turn. */
static void test_reads_wait_for_the_engine(void **state) {
    (void) state;
    begin(10);
    char room[16];
    for (int k = 0; k < 10; k++) {
        for (size_t i = 0; i < members_count; i++) {
            snprintf(room, sizeof room, "r%d-%d", (int) i, k);
            join(members[i], room);
        }
    }
    uint64_t first = publish_some("r7-5", 3);
    publish_some("x", 5);
    all_fall_behind(first - 1);
    assert_int_equal(bench.core->reads.count, RP_READS_MAX);
    assert_false(rp_list_is_empty(&bench.core->share.queue));
    run();
    assert_int_equal(reads(), 100);
    for (size_t i = 0; i < members_count; i++) {
        assert_got(members[i], i == 7 ? run_of(first, 3, "live ") : "live ");
    }
    assert_nothing_held();
}

/* ---- those that come back ---- */

/* Whether everything is still there is asked once for all, and what is read is what they need. */
static void test_probes_share(void **state) {
    (void) state;
    bench.retain = "/ x events=1";
    begin(10);
    all_join("a");
    uint64_t first = publish_some("a", 5);
    publish_some("x", 5);
    trim();
    assert_true(bench.core->border_max > first);
    for (size_t i = 0; i < members_count; i++) {
        disconnect(members[i]);
    }
    char offset[40];
    snprintf(offset, sizeof offset, "%d-epoc", (int) first);
    uint64_t nums[MEMBERS_MAX];
    for (size_t i = 0; i < members_count; i++) {
        nums[i] = ask_connect(1, (unsigned) i + 100, (unsigned) i + 2, offset);
    }
    turn();
    assert_int_equal(reads(), 1);
    run();
    assert_int_equal(reads(), 2); /* what the tail has dropped since */
    for (size_t i = 0; i < members_count; i++) {
        struct rp_op got = next(1, RP_OP_CONNECTED);
        assert_int_equal(got.connected.num, nums[i]);
        assert_int_equal(got.connected.recovered, 1);
        members[i] = member_of(got, 1);
        next(1, RP_OP_MEMBER);
    }
    for (size_t i = 0; i < members_count; i++) {
        assert_got(members[i], run_of(first + 1, 4, "live "));
    }
    assert_nothing_held();
}

static void test_probes_of_what_is_lost(void **state) {
    (void) state;
    bench.retain = "/ a events=2";
    begin(4);
    all_join("a");
    uint64_t first = publish_some("a", 5);
    publish_some("x", 5);
    trim();
    for (size_t i = 0; i < members_count; i++) {
        disconnect(members[i]);
    }
    for (size_t i = 0; i < members_count; i++) { /* the border is first + 2 */
        char offset[40];
        snprintf(offset, sizeof offset, "%d-epoc", (int) (first + i));
        ask_connect(1, (unsigned) i + 100, (unsigned) i + 2, offset);
    }
    run();
    assert_int_equal(reads(), 1);
    for (size_t recovered = 0; recovered < 2;
         recovered++) { /* the others need no record's commit */
        struct rp_list *it, *tmp;
        size_t found = 0;
        RP_LIST_FOR(&bench.received, it, tmp) {
            const struct rp_op *op = &RP_CONTAINER_OF(it, struct got, node)->op;
            found +=
                op->kind == RP_OP_CONNECTED && (op->connected.recovered != 0) == (recovered > 0);
        }
        assert_int_equal(found, 2);
    }
    assert_nothing_held();
}

/* The link is lost while its probes wait. */
static void test_probes_end_with_their_link(void **state) {
    (void) state;
    bench.retain = "/ x events=1";
    begin(4);
    all_join("a");
    uint64_t first = publish_some("a", 5);
    publish_some("x", 5);
    trim();
    disconnect(members[0]);
    char offset[40];
    snprintf(offset, sizeof offset, "%d-epoc", (int) first);
    ask_connect(1, 100, 2, offset);
    turn();
    assert_int_equal(bench.core->reads.count, 1);
    lose_link(1);
    assert_int_equal(bench.core->reads.count, 0);
    assert_int_equal(bench.core->share.count, 0);
    run();
}

/* ---- the share of the credit ---- */

/* A gateway that takes nothing gets an eighth of its credit in replays, and what is live goes on.
 */
/* Its gateway has dealt with all that it got. */
static void give_credit(void) {
    const struct rp_peer *peer = rp_core_peer_of_link(bench.core, 1);
    send(1,
         (struct rp_op){.kind = RP_OP_HEARTBEAT, .heartbeat = {.consumed = peer->link.sent_bytes}});
}

static void all_pages_done(void) {
    for (size_t k = 0; k < members_count; k++) {
        for (uint64_t page = 1; page < 60; page++) {
            send(1, (struct rp_op){.kind = RP_OP_PAGE_DONE,
                                   .page_done = {.session = members[k].session,
                                                 .conn = members[k].conn,
                                                 .page = page}});
        }
    }
}

static void test_replays_leave_credit_for_what_is_live(void **state) {
    (void) state;
    bench.config.link_credit_bytes = 80000;
    bench.config.page_bytes = 1000;
    begin(MEMBERS_MAX);
    all_join("a");
    uint64_t first = publish_args("a", 40, args_of(399));
    publish_some("x", 5);
    give_credit();
    all_fall_behind(first - 1);
    run();
    const struct rp_peer *peer = rp_core_peer_of_link(bench.core, 1);
    assert_in_range(peer->link.sent_bytes - peer->link.peer_consumed, 10000, 12500);
    assert_false(rp_list_is_empty(&peer->parked));
    forget(&bench.received);
    publish(publisher, "y", "[1]");
    assert_int_equal(rp_core_stats(bench.core)->links_behind, 0);
    /* it takes what it got: everybody gets everything */
    for (int i = 0; i < 2000 && bench.core->cursors_count > 0; i++) {
        give_credit();
        all_pages_done();
        run();
    }
    assert_int_equal(bench.core->cursors_count, 0);
    assert_int_equal(rp_core_stats(bench.core)->replayed_events, 40 * MEMBERS_MAX);
    assert_nothing_held();
}

/* Those who were not recovered ask for the history of their rooms, all at once. */
static void test_histories_wait_for_credit(void **state) {
    (void) state;
    for (int on_disk = 0; on_disk < 2; on_disk++) {
        if (on_disk) {
            bench_teardown(state);
            bench_setup(state);
        }
        bench.config.link_credit_bytes = 80000;
        bench.config.page_bytes = 1000;
        begin_with_tail(on_disk ? 3 : 10000, MEMBERS_MAX);
        publish_args("a", 40, args_of(399));
        publish_some("x", 5);
        give_credit();
        for (size_t i = 0; i < members_count; i++) {
            ask_join_since(members[i], "a", 0, 1000);
        }
        run();
        const struct rp_peer *peer = rp_core_peer_of_link(bench.core, 1);
        assert_in_range(peer->link.sent_bytes - peer->link.peer_consumed, 8000, 20000);
        for (int i = 0; i < 2000 && bench.core->cursors_count > 0; i++) {
            give_credit();
            all_pages_done();
            run();
        }
        assert_int_equal(bench.core->cursors_count, 0);
        assert_int_equal(rp_core_stats(bench.core)->replayed_events, 40 * MEMBERS_MAX);
    }
}

/* A client that does not take its pages: nothing more is sent to it, and nothing kept for it. */
static void test_a_client_that_is_slow_costs_nothing(void **state) {
    (void) state;
    bench.config.page_bytes = 1000;
    begin(1);
    all_join("a");
    uint64_t first = publish_some("a", 500);
    publish_some("x", 5);
    all_fall_behind(first - 1);
    run();
    const struct rp_peer *peer = rp_core_peer_of_link(bench.core, 1);
    uint64_t sent = peer->link.sent_bytes;
    publish_some("a", 500);
    for (int i = 0; i < 10; i++) {
        pass_ms(100);
        run();
    }
    uint64_t delivered = 500 * 100; /* the gateway hears what is live, for others */
    assert_true(peer->link.sent_bytes - sent < delivered);
    assert_true(rp_core_stats(bench.core)->replayed_events < 20);
    assert_nothing_held();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_one_read_serves_all),
        BENCH_TEST(test_other_positions_share_the_page),
        BENCH_TEST(test_few_sessions_read_from_where_they_are),
        BENCH_TEST(test_rooms_are_merged_in_order),
        BENCH_TEST(test_pages_are_read_once_each),
        BENCH_TEST(test_nobody_runs_after_the_tail),
        BENCH_TEST(test_very_many_rooms_are_one_read),
        BENCH_TEST(test_a_border_in_the_middle_of_a_page),
        BENCH_TEST(test_a_border_while_the_page_is_read),
        BENCH_TEST(test_pages_of_what_was_trimmed_are_read_again),
        BENCH_TEST(test_a_read_ends_with_its_last_waiter),
        BENCH_TEST(test_a_lost_link_ends_its_reads),
        BENCH_TEST(test_an_error_reaches_all_who_wait),
        BENCH_TEST(test_a_new_epoch_forgets_all_pages),
        BENCH_TEST(test_memory_is_bounded),
        BENCH_TEST(test_who_is_alone_gets_its_pages),
        BENCH_TEST(test_who_has_read_in_vain_reads_alone),
        BENCH_TEST(test_reads_wait_for_the_engine),
        BENCH_TEST(test_probes_share),
        BENCH_TEST(test_probes_of_what_is_lost),
        BENCH_TEST(test_probes_end_with_their_link),
        BENCH_TEST(test_replays_leave_credit_for_what_is_live),
        BENCH_TEST(test_histories_wait_for_credit),
        BENCH_TEST(test_a_client_that_is_slow_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
