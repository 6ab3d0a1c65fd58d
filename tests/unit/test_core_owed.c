/* tests/unit/test_core_owed.c — broker/replay*, broker/tail: what sessions that catch up get of the
 * events of app workers, which are for several rooms, leave rooms out, and want acks. Here the
 * events are appended by hand, without a worker. */
#include "broker/state.h"
#include "proto/attachments.h"
#include "tests/unit/core_fixture.h"

/* ---- workers' events ---- */

/* "b c" as a packed list. */
static struct rp_bytes pack(struct rp_buf *ret_list, const char *words) {
    rp_buf_init(ret_list, 4096);
    while (*words != '\0') {
        size_t len = strcspn(words, " ");
        assert_int_equal(rp_attachments_put(ret_list, rp_bytes(words, len)), RP_OK);
        words += len + (words[len] == ' ');
    }
    return rp_buf_bytes(ret_list);
}

static void append_event(const char *room, const char *rooms, const char *except, uint32_t flags) {
    struct rp_buf rooms_list, except_list;
    struct rp_record_fields event = {.kind = RP_RECORD_EVENT,
                                     .flags = flags,
                                     .nsp = RP_BYTES_LIT("/"),
                                     .room = rp_bytes_str(room),
                                     .rooms = pack(&rooms_list, rooms),
                                     .except = pack(&except_list, except),
                                     .name = RP_BYTES_LIT("e"),
                                     .args = RP_BYTES_LIT("[1]")};
    rp_core_append(bench.core, &event);
    rp_buf_done(&rooms_list);
    rp_buf_done(&except_list);
}

/* Appends and commits it; its seq. */
static uint64_t emit_to(const char *room, const char *rooms, const char *except) {
    append_event(room, rooms, except, 0);
    run();
    return rp_core_stats(bench.core)->head;
}

static struct rp_session *session_of(struct member m) {
    return rp_sessions_find(&bench.core->sessions, m.session);
}

/* An event that wants acks, which this session owes. */
static uint64_t emit_owed(struct member m, const char *room) {
    struct rp_session *session = session_of(m);
    if (session->app == NULL) {
        rp_session_make_app(session);
        rp_policy_set(&bench.core->policies, RP_BYTES_LIT("/"), RP_RECORD_ROOMS_ON);
    }
    append_event(room, "", "", RP_RECORD_WANTS_ACK);
    run();
    uint64_t seq = rp_core_stats(bench.core)->head;
    if (rp_session_owes(session, seq) == NULL) {
        rp_session_owe(session, &(struct rp_owed){.seq = seq});
    }
    return seq;
}

/* ---- connections ---- */

static void disconnect(struct member m) {
    uint64_t num = bench.next_num++;
    forget(&bench.received);
    send(m.link_id, (struct rp_op){.kind = RP_OP_CLOSE,
                                   .close = {.num = num, .session = m.session, .conn = m.conn}});
    run();
    assert_done(m.link_id, num);
}

/* What a worker would have decided. */
static void admit(uint64_t link_id, uint64_t num) {
    struct rp_peer *gateway = rp_core_peer_of_link(bench.core, link_id);
    struct rp_task *task = rp_core_task(bench.core, gateway->incarnation, num);
    if (task != NULL) {
        struct rp_op_reader *r = rp_op_reader_new();
        struct rp_bytes in = task->op;
        struct rp_op op;
        assert_int_equal(rp_op_next(r, &in, &op), RP_OK);
        task->state = RP_TASK_ADMITTED;
        rp_core_connect(bench.core, gateway, &op.connect);
        rp_op_reader_free(r);
    }
}

/* The first session comes back with everything up to pos; its MEMBERs are taken. */
static struct member come_back(uint64_t link_id, uint64_t pos, size_t rooms) {
    char offset[40];
    snprintf(offset, sizeof offset, "%llu-epoc", (unsigned long long) pos);
    forget(&bench.received);
    admit(link_id, ask_connect(link_id, 99, 1, offset));
    run();
    struct rp_op got = next(link_id, RP_OP_CONNECTED);
    assert_int_equal(got.connected.recovered, 1);
    for (size_t i = 0; i < rooms; i++) {
        next(link_id, RP_OP_MEMBER);
    }
    return (struct member){link_id, got.connected.session, got.connected.conn};
}

static void page_done(struct member m, uint64_t page) {
    send(m.link_id,
         (struct rp_op){.kind = RP_OP_PAGE_DONE,
                        .page_done = {.session = m.session, .conn = m.conn, .page = page}});
    run();
}

/* The REPLAYs that come next: "4 6! 5!@9 ", ! for one that wants an ack, @ for one that is sent
 * again, with the position. */
static void assert_replays(struct member m, const char *expected) {
    char text[4096] = "", *at = text;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&bench.received, it, tmp) {
        const struct got *got = RP_CONTAINER_OF(it, struct got, node);
        if (got->link_id != m.link_id) {
            continue;
        }
        if (got->op.kind != RP_OP_REPLAY) {
            break;
        }
        const struct rp_op_replay replay = next(m.link_id, RP_OP_REPLAY).replay;
        assert_int_equal(replay.conn, m.conn);
        at += sprintf(at, "%d%s", (int) replay.seq, replay.wants_ack ? "!" : "");
        if (replay.again) {
            at += sprintf(at, "@%d", (int) replay.pos);
        } else if (replay.history == 0) {
            assert_int_equal(replay.pos, replay.seq);
        }
        at += sprintf(at, " ");
    }
    assert_string_equal(text, expected);
}

static void assert_live(struct member m) {
    assert_int_equal(next(m.link_id, RP_OP_LIVE).live.conn, m.conn);
    nothing_more(m.link_id);
}

/* The end of a page; its number. */
static uint64_t assert_page(struct member m, uint64_t pos, bool again) {
    struct rp_op_page page = next(m.link_id, RP_OP_PAGE).page;
    assert_int_equal(page.conn, m.conn);
    assert_int_equal(page.pos, pos);
    assert_int_equal(page.again, again);
    nothing_more(m.link_id);
    return page.page;
}

/* From memory and, with a tail too short for it, from the disk. */
static void with_and_without_tail(void **state, void (*test)(void)) {
    test();
    bench_teardown(state);
    bench_setup(state);
    bench.config.tail_records_max = 2;
    bench_reconfigure();
    test();
}

/* ---- several rooms ---- */

/* m is in a (3) and b (4), and away since 5. The events are 6 … 12. */
static struct member miss_selected(void) {
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    connect_new(1, 2);
    join(m, "a");
    join(m, "b");
    disconnect(m);
    emit_to("a", "b", "");     /* 6 */
    emit_to("b", "a b a", ""); /* 7 */
    emit_to("x", "y z", "");   /* 8 */
    emit_to("x", "b y", "");   /* 9 */
    emit_to("b", "", "");      /* 10 */
    emit_to("y", "a b", "");   /* 11 */
    emit_to("x", "", "");      /* 12 */
    return m;
}

static void an_event_for_several_rooms_comes_once(void) {
    miss_selected();
    struct member m = come_back(1, 0, 2);
    assert_replays(m, "6 7 9 10 11 ");
    assert_live(m);
    disconnect(m);
    m = come_back(1, 7, 2);
    assert_replays(m, "9 10 11 ");
    assert_live(m);
}

static void test_an_event_for_several_rooms_comes_once(void **state) {
    with_and_without_tail(state, an_event_for_several_rooms_comes_once);
}

static void an_event_for_several_rooms_comes_once_over_pages(void) {
    bench.config.page_events = 1;
    bench_reconfigure();
    miss_selected();
    struct member m = come_back(1, 0, 2);
    static const int expected[] = {6, 7, 9, 10, 11};
    for (size_t i = 0; i < COUNT(expected); i++) {
        char text[8];
        snprintf(text, sizeof text, "%d ", expected[i]);
        assert_replays(m, text);
        page_done(m, assert_page(m, (uint64_t) expected[i], false));
    }
    assert_live(m);
}

static void test_an_event_for_several_rooms_comes_once_over_pages(void **state) {
    with_and_without_tail(state, an_event_for_several_rooms_comes_once_over_pages);
}

/* Restarted, the tail and its rooms are as they were. */
static void test_several_rooms_survive_a_restart(void **state) {
    (void) state;
    miss_selected();
    bench_restart();
    link_up(1, 6);
    struct member m = come_back(1, 0, 2);
    assert_replays(m, "6 7 9 10 11 ");
    assert_live(m);
}

/* ---- excepted rooms ---- */

static void who_was_in_an_excepted_room_does_not_get_it(void) {
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    connect_new(1, 2);
    join(m, "a");               /* 3 */
    emit_to("a", "", "q");      /* 4: not yet in q */
    ask_join(m, "q");           /* 5 */
    emit_to("a", "", "q");      /* 6 */
    emit_to("a", "", "z");      /* 7 */
    emit_to("z", "q", "z y a"); /* 8 */
    ask_leave(m, "q");          /* 9 */
    run();
    emit_to("a", "", "z q"); /* 10: not in q any more */
    emit_to("a", "", "a");   /* 11 */
    emit_to("a", "", "b");   /* 12 */
    disconnect(m);           /* 13 */
    emit_to("x", "", "");    /* 14 */
    emit_to("x", "", "");
    m = come_back(1, 0, 1);
    assert_replays(m, "4 7 10 12 ");
    assert_live(m);
}

static void test_who_was_in_an_excepted_room_does_not_get_it(void **state) {
    with_and_without_tail(state, who_was_in_an_excepted_room_does_not_get_it);
}

/* Rooms that are forgotten while a page is read might have been excepted: nothing of it is sent. */
static void test_forgotten_rooms_may_have_been_excepted(void **state) {
    (void) state;
    bench.config.intervals_max = 2;
    bench.config.tail_records_max = 2;
    bench_reconfigure();
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    connect_new(1, 2);
    join(m, "a"); /* 3 */
    for (int i = 0; i < 2; i++) {
        ask_join(m, "q"); /* 4, 7 */
        run();
        emit_to("a", "", "q"); /* 5, 8 */
        ask_leave(m, "q");     /* 6, 9 */
        run();
    }
    forget(&bench.received);
    join(m, "z"); /* 10 */
    send(1, (struct rp_op){.kind = RP_OP_CATCHUP,
                           .catchup = {.session = m.session, .conn = m.conn, .pos = 3}});
    ask_leave(m, "z");
    turn(); /* the page is asked for */
    assert_true(rp_core_stats(bench.core)->reads > 0);
    assert_int_equal(rp_engine_memory_step(bench.engine, 1), 1); /* LEAVE */
    turn();
    assert_true(session_of(m)->floor_seq > 5);
    next(1, RP_OP_MEMBER);
    next(1, RP_OP_DONE);
    run();
    assert_int_equal(next(1, RP_OP_EVICT).evict.conn, m.conn);
    nothing_more(1);
}

/* Who has much to skip does so in several turns. */
static void test_what_is_skipped_counts_for_the_turn(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    join(m, "a");
    disconnect(m);
    for (size_t i = 0; i < RP_REPLAY_EVENTS_PER_TURN + 10; i++) {
        append_event("a", "", "a", 0);
    }
    run();
    uint64_t seq = emit_to("a", "", "");
    ask_connect(1, 99, 1, "1-epoc");
    while (rp_engine_memory_step(bench.engine, 1000) > 0) {
    }
    assert_true(rp_core_turn(bench.core, bench.now));
    assert_int_equal(rp_core_stats(bench.core)->replayed_events, 0);
    assert_int_equal(rp_core_stats(bench.core)->cursors, 1);
    assert_false(rp_core_turn(bench.core, bench.now));
    assert_int_equal(rp_core_stats(bench.core)->replayed_events, 1);
    run();
    m = (struct member){1, m.session, next(1, RP_OP_CONNECTED).connected.conn};
    next(1, RP_OP_MEMBER);
    assert_int_equal(next(1, RP_OP_REPLAY).replay.seq, seq);
    assert_live(m);
}

/* ---- history ---- */

/* What wants acks is not in what a join gives, nor what left the session out. */
static void a_join_gives_nothing_that_wants_an_ack(void) {
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    connect_new(1, 2);
    ask_join(m, "q"); /* 3 */
    run();
    emit_to("x", "a", "");  /* 4 */
    emit_owed(m, "a");      /* 5 */
    emit_to("a", "", "q");  /* 6 */
    emit_to("a", "x", "z"); /* 7 */
    emit_to("x", "", "");
    emit_to("x", "", "");
    forget(&bench.received);
    uint64_t num = ask_join_since(m, "a", 0, 100);
    run();
    next(1, RP_OP_JOINED);
    next(1, RP_OP_MEMBER);
    next(1, RP_OP_HOLD);
    assert_replays(m, "4 7 ");
    struct rp_op_done done = next(1, RP_OP_DONE).done;
    assert_int_equal(done.num, num);
    assert_int_equal(done.replayed, 2);
    assert_int_equal(done.oldest, 4);
    assert_live(m);
    rp_session_pay(session_of(m), 5);
}

static void test_a_join_gives_nothing_that_wants_an_ack(void **state) {
    with_and_without_tail(state, a_join_gives_nothing_that_wants_an_ack);
}

/* The event `history` tells what was said to a room, whoever asks. */
static void history_has_all_that_named_the_room(void) {
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    connect_new(1, 2);
    ask_join(m, "q"); /* 3 */
    run();
    emit_to("x", "a", "");  /* 4 */
    emit_to("a", "a", "q"); /* 5 */
    emit_to("x", "", "");   /* 6 */
    emit_owed(m, "a");      /* 7 */
    emit_to("x", "", "");
    emit_to("x", "", "");
    forget(&bench.received);
    char text[1024];
    struct rp_bytes json = read_history(m, "a", 0, 100);
    snprintf(text, sizeof text, "%.*s", RP_BYTES_FMT(json));
    const char *four = strstr(text, "{\"seq\":4,"), *five = strstr(text, "{\"seq\":5,"),
               *seven = strstr(text, "{\"seq\":7,");
    assert_true(four != NULL && five > four && seven > five);
    assert_null(strstr(five + 1, "{\"seq\":5,"));
    assert_null(strstr(text, "{\"seq\":6,"));
    assert_non_null(strstr(text, "\"sender\":null"));
}

static void test_history_has_all_that_named_the_room(void **state) {
    with_and_without_tail(state, history_has_all_that_named_the_room);
}

/* ---- what is owed ---- */

/* m is in a (3); 4 … 8 want acks, 6 is paid; 9 is for all; away since 10; 11 and 13 want acks, 12
 * does not. */
static struct member miss_owed(void) {
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    connect_new(1, 2);
    join(m, "a");
    for (int seq = 4; seq <= 8; seq++) {
        assert_int_equal(emit_owed(m, "a"), seq);
    }
    rp_session_pay(session_of(m), 6);
    emit_to("a", "", "");
    disconnect(m);
    emit_owed(m, "a");
    emit_to("a", "", "");
    emit_owed(m, "a");
    emit_to("x", "", "");
    emit_to("x", "", "");
    return m;
}

static void what_is_owed_comes_first_and_what_is_paid_never(void) {
    miss_owed();
    static const struct {
        uint64_t pos;
        const char *expected;
    } table[] = {
        {9, "4!@9 5!@9 7!@9 8!@9 11! 12 13! "},
        {3, "4! 5! 7! 8! 9 11! 12 13! "},
        {5, "4!@5 5!@5 7! 8! 9 11! 12 13! "},
        {13, "4!@13 5!@13 7!@13 8!@13 11!@13 13!@13 "},
        {15, "4!@15 5!@15 7!@15 8!@15 11!@15 13!@15 "},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct member m = come_back(1, table[i].pos, 1);
        assert_replays(m, table[i].expected);
        assert_live(m);
        disconnect(m);
    }
    assert_int_equal(rp_core_stats(bench.core)->replayed_again, 4 + 0 + 2 + 6 + 6);
    struct member m = come_back(1, 15, 1);
    forget(&bench.received);
    for (uint64_t seq = 4; seq <= 13; seq++) {
        rp_session_pay(session_of(m), seq);
    }
    disconnect(m);
    m = come_back(1, 5, 1);
    assert_replays(m, "9 12 ");
    assert_live(m);
    assert_int_equal(rp_core_stats(bench.core)->owed_lost, 0);
}

static void test_what_is_owed_comes_first_and_what_is_paid_never(void **state) {
    with_and_without_tail(state, what_is_owed_comes_first_and_what_is_paid_never);
}

/* A session of a namespace without workers owes nothing, and gets nothing of the kind. */
static void who_owes_nothing_gets_none_of_it(void) {
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    connect_new(1, 2);
    join(m, "a");
    disconnect(m);
    append_event("a", "", "", RP_RECORD_WANTS_ACK); /* 5 */
    emit_to("a", "", "");                           /* 6 */
    emit_to("x", "", "");
    emit_to("x", "", "");
    m = come_back(1, 3, 1);
    assert_null(session_of(m)->app);
    assert_replays(m, "6 ");
    assert_live(m);
}

static void test_who_owes_nothing_gets_none_of_it(void **state) {
    with_and_without_tail(state, who_owes_nothing_gets_none_of_it);
}

/* Pages within the phase say so; what is acked between two of them is not sent. */
static void what_is_owed_comes_in_pages(void) {
    bench.config.page_events = 2;
    bench_reconfigure();
    miss_owed();
    struct member m = come_back(1, 9, 1);
    assert_replays(m, "4!@9 5!@9 ");
    uint64_t page = assert_page(m, 9, true);
    rp_session_pay(session_of(m), 4);
    rp_session_pay(session_of(m), 7);
    rp_session_pay(session_of(m), 11);
    page_done(m, page);
    page_done(m, page);
    assert_replays(m, "8!@9 12 ");
    page_done(m, assert_page(m, 12, false));
    assert_replays(m, "13! ");
    assert_live(m);
}

static void test_what_is_owed_comes_in_pages(void **state) {
    with_and_without_tail(state, what_is_owed_comes_in_pages);
}

/* Acked while the engine reads it. */
static void test_what_is_acked_while_it_is_read_is_not_sent(void **state) {
    (void) state;
    bench.config.tail_records_max = 2;
    bench_reconfigure();
    miss_owed();
    forget(&bench.received);
    admit(1, ask_connect(1, 99, 1, "9-epoc"));
    turn();
    assert_int_equal(rp_engine_memory_step(bench.engine, 1), 1); /* RESUME */
    turn();
    struct rp_op got = next(1, RP_OP_CONNECTED);
    struct member m = {1, got.connected.session, got.connected.conn};
    rp_session_pay(session_of(m), 5);
    rp_session_pay(session_of(m), 8);
    run();
    next(1, RP_OP_MEMBER);
    assert_replays(m, "4!@9 7!@9 11! 12 13! ");
    assert_live(m);
}

/* Where the session was counts, not where it is. */
static void what_is_owed_is_found_in_rooms_that_were_left(void) {
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    connect_new(1, 2);
    join(m, "a");      /* 3 */
    emit_owed(m, "a"); /* 4 */
    ask_leave(m, "a"); /* 5 */
    run();
    append_event("a", "", "", RP_RECORD_WANTS_ACK); /* 6: not for it */
    ask_join(m, "a");                               /* 7 */
    run();
    emit_owed(m, "a"); /* 8 */
    ask_leave(m, "a"); /* 9 */
    run();
    disconnect(m); /* 10 */
    emit_to("x", "", "");
    emit_to("x", "", "");
    m = come_back(1, 10, 0);
    assert_replays(m, "4!@10 8!@10 ");
    assert_live(m);
}

static void test_what_is_owed_is_found_in_rooms_that_were_left(void **state) {
    with_and_without_tail(state, what_is_owed_is_found_in_rooms_that_were_left);
}

/* More than one read asks for, in more rooms than one. */
static void much_that_is_owed_takes_several_reads(void) {
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    connect_new(1, 2);
    char expected[4096] = "", *at = expected, room[8];
    for (int i = 0; i < 20; i++) {
        snprintf(room, sizeof room, "r%d", i);
        join(m, room);
    }
    for (int i = 0; i < 3 * RP_OWED_READ_EVENTS; i++) {
        snprintf(room, sizeof room, "r%d", i % 20);
        at += sprintf(at, "%d!@500 ", (int) emit_owed(m, room));
    }
    while (rp_core_stats(bench.core)->head < 500) {
        emit_to("x", "", "");
    }
    disconnect(m);
    uint64_t reads = rp_core_stats(bench.core)->reads;
    m = come_back(1, 500, 20);
    assert_replays(m, expected);
    assert_live(m);
    if (bench.config.tail_records_max < 500) {
        size_t events = RP_OWED_READ_SPANS / 20 + 1; /* 20 places each */
        assert_int_equal(rp_core_stats(bench.core)->reads - reads,
                         (3 * RP_OWED_READ_EVENTS + events - 1) / events);
    }
}

static void test_much_that_is_owed_takes_several_reads(void **state) {
    with_and_without_tail(state, much_that_is_owed_takes_several_reads);
}

/* ---- a link is lost meanwhile ---- */

static struct member relink(struct member m, uint64_t catching, uint64_t pos) {
    uint64_t link_id = m.link_id + 1, seen = rp_core_stats(bench.core)->head;
    lose_link(m.link_id);
    forget(&bench.received);
    m.link_id = link_id;
    hello(link_id, 5, EPOCH, seen);
    send(link_id,
         (struct rp_op){
             .kind = RP_OP_SESSION,
             .session = {.session = m.session, .conn = m.conn, .catching = catching, .pos = pos}});
    resumed(link_id);
    run();
    next(link_id, RP_OP_WELCOME);
    assert_int_equal(next(link_id, RP_OP_VERDICT).verdict.verdict, RP_OP_KEPT);
    next(link_id, RP_OP_MEMBER);
    return m;
}

static void a_gateway_may_ask_for_what_is_owed_once_more(void) {
    bench.config.page_events = 2;
    bench_reconfigure();
    miss_owed();
    struct member m = come_back(1, 9, 1);
    assert_replays(m, "4!@9 5!@9 ");
    assert_page(m, 9, true);
    rp_session_pay(session_of(m), 4);
    m = relink(m, RP_OP_CATCHING_OWED, 9);
    assert_replays(m, "5!@9 7!@9 ");
    assert_page(m, 9, true);
    rp_session_pay(session_of(m), 5);
    m = relink(m, RP_OP_CATCHING_OWED, 9);
    assert_replays(m, "7!@9 8!@9 ");
    page_done(m, assert_page(m, 9, true));
    assert_replays(m, "11! 12 ");
    assert_page(m, 12, false); /* the client has what it owes from before, and no more */
    m = relink(m, RP_OP_CATCHING_MISSED, 9);
    assert_replays(m, "11! 12 ");
    page_done(m, assert_page(m, 12, false));
    assert_replays(m, "13! ");
    assert_live(m);
    m = relink(m, RP_OP_CATCHING_NOT, 0);
    nothing_more(m.link_id);
}

static void test_a_gateway_may_ask_for_what_is_owed_once_more(void **state) {
    with_and_without_tail(state, a_gateway_may_ask_for_what_is_owed_once_more);
}

/* ---- what is gone ---- */

/* What is being replayed is not removed meanwhile, and later it is. */
static void what_is_owed_is_held_while_it_is_replayed(void) {
    bench.config.page_events = 2;
    bench.retain_events = 16;
    bench_reconfigure();
    miss_owed();
    struct member m = come_back(1, 9, 1);
    assert_replays(m, "4!@9 5!@9 ");
    uint64_t page = assert_page(m, 9, true);
    for (int i = 0; i < 20; i++) {
        emit_to("x", "", "");
    }
    trim();
    assert_int_equal(rp_core_stats(bench.core)->first, 7);
    page_done(m, page);
    assert_replays(m, "7!@9 8!@9 ");
    page = assert_page(m, 9, true);
    trim();
    assert_int_equal(rp_core_stats(bench.core)->first, 10);
    page_done(m, page);
    assert_replays(m, "11! 12 ");
    page_done(m, assert_page(m, 12, false));
    assert_replays(m, "13! ");
    assert_live(m);
    trim();
    assert_true(rp_core_stats(bench.core)->first > 13);
}

static void test_what_is_owed_is_held_while_it_is_replayed(void **state) {
    with_and_without_tail(state, what_is_owed_is_held_while_it_is_replayed);
}

/* Nothing is held while there is no link. What is gone then lies before what the client has, which
 * therefore had it once: it is not owed any more. */
static void test_what_is_owed_and_gone_is_forgiven(void **state) {
    (void) state;
    bench.config.page_events = 2;
    bench.retain_events = 16;
    bench.config.tail_records_max = 5;
    bench_reconfigure();
    miss_owed();
    struct member m = come_back(1, 13, 1);
    assert_replays(m, "4!@13 5!@13 ");
    assert_page(m, 13, true);
    say_seen();
    lose_link(1);
    while (rp_core_stats(bench.core)->head < 23) {
        emit_to("x", "", "");
    }
    trim();
    assert_int_equal(rp_core_stats(bench.core)->first, 8); /* 4, 5 and 7 are gone */
    m = relink(m, RP_OP_CATCHING_OWED, 13);
    assert_replays(m, "8!@13 11!@13 ");
    page_done(m, assert_page(m, 13, true));
    assert_replays(m, "13!@13 ");
    assert_int_equal(rp_core_stats(bench.core)->owed_lost, 3);
    assert_null(rp_session_owes(session_of(m), 4));
    assert_non_null(rp_session_owes(session_of(m), 8));
}

/* Where the session was when it was sent is not remembered for ever. What cannot be found for that
 * is left out, and does not end one connection after the other. */
static void what_was_owed_in_forgotten_rooms_is_left_out(void) {
    bench.config.intervals_max = 4;
    bench_reconfigure();
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    connect_new(1, 2);
    join(m, "a");      /* 3 */
    join(m, "b");      /* 4 */
    emit_owed(m, "a"); /* 5 */
    emit_owed(m, "b"); /* 6 */
    ask_leave(m, "a");
    run();
    for (int i = 0; i < 10; i++) {
        ask_join(m, "q");
        ask_leave(m, "q");
        run();
    }
    assert_true(session_of(m)->floor_seq > 6);
    disconnect(m);
    uint64_t pos = rp_core_stats(bench.core)->head;
    m = come_back(1, pos, 1);
    char expected[32];
    bool in_tail = bench.config.tail_records_max > 100; /* where rooms do not matter */
    snprintf(expected, sizeof expected, in_tail ? "5!@%d 6!@%d " : "6!@%d ", (int) pos, (int) pos);
    assert_replays(m, expected);
    assert_live(m);
    assert_int_equal(rp_core_stats(bench.core)->owed_lost, in_tail ? 0 : 1);
    rp_session_pay(session_of(m), 6); /* nothing is left of which a place is known */
    disconnect(m);
    m = come_back(1, pos, 1);
    snprintf(expected, sizeof expected, "5!@%d ", (int) pos);
    assert_replays(m, in_tail ? expected : "");
    assert_live(m);
    assert_int_equal(rp_core_stats(bench.core)->owed_lost, in_tail ? 0 : 2);
}

static void test_what_was_owed_in_forgotten_rooms_is_left_out(void **state) {
    with_and_without_tail(state, what_was_owed_in_forgotten_rooms_is_left_out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_an_event_for_several_rooms_comes_once),
        BENCH_TEST(test_an_event_for_several_rooms_comes_once_over_pages),
        BENCH_TEST(test_several_rooms_survive_a_restart),
        BENCH_TEST(test_who_was_in_an_excepted_room_does_not_get_it),
        BENCH_TEST(test_forgotten_rooms_may_have_been_excepted),
        BENCH_TEST(test_what_is_skipped_counts_for_the_turn),
        BENCH_TEST(test_a_join_gives_nothing_that_wants_an_ack),
        BENCH_TEST(test_history_has_all_that_named_the_room),
        BENCH_TEST(test_what_is_owed_comes_first_and_what_is_paid_never),
        BENCH_TEST(test_who_owes_nothing_gets_none_of_it),
        BENCH_TEST(test_what_is_owed_comes_in_pages),
        BENCH_TEST(test_what_is_acked_while_it_is_read_is_not_sent),
        BENCH_TEST(test_what_is_owed_is_found_in_rooms_that_were_left),
        BENCH_TEST(test_much_that_is_owed_takes_several_reads),
        BENCH_TEST(test_a_gateway_may_ask_for_what_is_owed_once_more),
        BENCH_TEST(test_what_is_owed_is_held_while_it_is_replayed),
        BENCH_TEST(test_what_is_owed_and_gone_is_forgiven),
        BENCH_TEST(test_what_was_owed_in_forgotten_rooms_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
