/* tests/unit/test_engine_apps.c — what the log keeps of app workers' sessions, in both engines:
 * selectors, owed acks, moves, kicks, data, namespaces. First one kind after the other, then a long
 * random life, in which the two must agree. */
#include "tests/unit/engine_pair_fixture.h"

static const uint8_t pid_hash[RP_PID_HASH_LEN] = {7};

static uint64_t open_in(struct pair *p, const char *nsp, const char *sid, uint32_t flags) {
    struct rp_record_fields open = {.kind = RP_RECORD_OPEN,
                                    .flags = flags,
                                    .ts_ms = 1000,
                                    .origin = 1ull << 63 | 5,
                                    .nsp = rp_bytes_str(nsp),
                                    .sid = rp_bytes_str(sid),
                                    .pid_hash = {pid_hash, sizeof pid_hash}};
    return pair_put(p, &open);
}

static uint64_t open_app(struct pair *p, const char *sid) {
    return open_in(p, "/a", sid, RP_RECORD_APP);
}

/* A record with a selector in /a. */
static struct rp_record_fields on(enum rp_record_kind kind, uint32_t flags, const char *room) {
    return (struct rp_record_fields){.kind = kind,
                                     .flags = flags,
                                     .ts_ms = 2000,
                                     .origin = 9,
                                     .num = 70,
                                     .nsp = RP_BYTES_LIT("/a"),
                                     .room = rp_bytes_str(room)};
}

static uint64_t put_move(struct pair *p, uint32_t flags, const char *from, const char *to) {
    struct rp_record_fields move = on(RP_RECORD_MOVE, flags, from);
    move.name = rp_bytes_str(to);
    return pair_put(p, &move);
}

static uint64_t put_wanting(struct pair *p, const char *room) {
    struct rp_record_fields event = on(RP_RECORD_EVENT, RP_RECORD_WANTS_ACK, room);
    return pair_put(p, &event);
}

static void put_ack(struct pair *p, uint64_t session, uint64_t seq) {
    struct rp_record_fields ack = {.kind = RP_RECORD_ACK,
                                   .session = session,
                                   .aux = seq,
                                   .args = RP_BYTES_LIT("[true]"),
                                   .to = 1ull << 63,
                                   .to_num = 70};
    pair_put(p, &ack);
}

/* Three in /a as 1, 2, 3, of whom 2 is away, and one of the same name and room in /b as 4. */
static void four_sessions(struct pair *p) {
    pair_init(p);
    open_app(p, "s1");
    open_app(p, "s2");
    open_app(p, "s3");
    open_in(p, "/b", "s1", RP_RECORD_APP);
    struct rp_record_fields close = {
        .kind = RP_RECORD_CLOSE, .ts_ms = 3000, .session = 2, .conn = 2};
    pair_put(p, &close);
}

/* ---- one kind after the other ---- */

static void test_app_sessions_begin_in_two_rooms(void **state) {
    (void) state;
    struct pair p;
    pair_init(&p);
    open_app(&p, "s1");
    open_in(&p, "/a", "s2", 0);
    open_app(&p, ""); /* which the broker does not make; both rooms are one then */
    PAIR_EXPECT(&p, "session", "01 /a s1 app - conn 1 at 8000000000000005", "02 /a s2 plain",
                "03 /a - app");
    PAIR_EXPECT(&p, "member", "01 - 01-00 1000", "01 s1 01-00 1000", "03 - 03-00");
    pair_reopen(&p);
    PAIR_EXPECT(&p, "member", "01 - 01-00 1000", "01 s1 01-00 1000", "03 - 03-00");
    pair_done(&p);
}

static void test_an_event_is_owed_by_whom_it_selects(void **state) {
    (void) state;
    struct pair p;
    four_sessions(&p);
    put_move(&p, 0, "s1", "x");               /* 6 */
    put_move(&p, 0, "s2", "y");               /* 7 */
    put_move(&p, 0, "s3", "y");               /* 8 */
    assert_int_equal(put_wanting(&p, ""), 9); /* all of the namespace */
    put_wanting(&p, "s2");                    /* 10: one, who is away */
    struct rp_record_fields event = on(RP_RECORD_EVENT, RP_RECORD_WANTS_ACK, "x");
    event.rooms = NAMES("y", "", "y");
    event.except = NAMES("s3", "nobody");
    pair_put(&p, &event); /* 11: 1 and 2 */
    event.rooms = rp_bytes(NULL, 0);
    event.except = NAMES("");
    pair_put(&p, &event); /* 12: nobody */
    event.except = rp_bytes(NULL, 0);
    event.flags = 0;
    pair_put(&p, &event);    /* 13: wants none */
    put_wanting(&p, "gone"); /* 14: nobody in it */
    PAIR_EXPECT(&p, "unacked", "01 09 9/70", "01 11 9/70", "02 09", "02 10", "02 11", "03 09");
    pair_reopen(&p);
    PAIR_EXPECT(&p, "unacked", "01 09 9/70", "01 11 9/70", "02 09", "02 10", "02 11", "03 09");
    pair_done(&p);
}

/* Excepted rooms are walked in two ways, by how many are selected. */
static void test_many_are_selected_and_few_excepted(void **state) {
    (void) state;
    struct pair p;
    char sid[16];
    pair_init(&p);
    for (int i = 1; i <= 300; i++) {
        snprintf(sid, sizeof sid, "s%d", i);
        open_app(&p, sid);
    }
    struct rp_record_fields event = on(RP_RECORD_EVENT, RP_RECORD_WANTS_ACK, "");
    event.except = NAMES("s7", "s8", "s300");
    uint64_t seq = pair_put(&p, &event);
    pair_check(&p, 0);
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT count(*) || ' ' || max(session) FROM unacked WHERE seq = %d",
             (int) seq);
    assert_string_equal(fixture_sql(&p.f, sql), "297 299");
    pair_done(&p);
}

static void test_an_ack_pays_once(void **state) {
    (void) state;
    struct pair p;
    four_sessions(&p);
    put_wanting(&p, ""); /* 6 */
    put_wanting(&p, ""); /* 7 */
    put_ack(&p, 1, 6);
    put_ack(&p, 1, 6);
    put_ack(&p, 3, 7);
    put_ack(&p, 4, 7);      /* does not owe it */
    put_ack(&p, 77, 7);     /* does not exist */
    put_ack(&p, 2, 999999); /* nor does this */
    PAIR_EXPECT(&p, "unacked", "01 07", "02 06", "02 07", "03 06");
    struct rp_record_fields end = {.kind = RP_RECORD_END, .session = 2, .to = 9};
    pair_put(&p, &end);
    PAIR_EXPECT(&p, "unacked", "01 07", "03 06");
    pair_done(&p);
}

static void test_a_move_joins_and_leaves(void **state) {
    (void) state;
    struct pair p;
    four_sessions(&p);
    put_move(&p, 0, "s1", "x");                    /* 6 */
    put_move(&p, 0, "", "x");                      /* 7: 1 is there already */
    put_move(&p, RP_RECORD_LEAVE_ROOM, "s2", "x"); /* 8 */
    put_move(&p, RP_RECORD_LEAVE_ROOM, "s2", "x"); /* 9: has left */
    PAIR_EXPECT(&p, "member", "01 - ", "01 s1 ", "01 x 06-00 2000", "02 - ", "02 s2 ",
                "02 x 07-08 2000", "03 - ", "03 s3 ", "03 x 07-00", "04 - ", "04 s1 ");
    struct rp_record_fields move = on(RP_RECORD_MOVE, RP_RECORD_LEAVE_ROOM, "x");
    move.rooms = NAMES("s2");
    move.except = NAMES("s3");
    move.name = RP_BYTES_LIT("x"); /* the room that selects is the room that is left */
    pair_put(&p, &move);           /* 10 */
    move.flags = 0;
    pair_put(&p, &move); /* 11: 2 alone, 3 is excepted */
    put_move(&p, 0, "x", "x");
    PAIR_EXPECT(&p, "member", "01 - ", "01 s1 ", "01 x 06-10", "02 - ", "02 s2 ", "02 x 07-08",
                "02 x 11-00", "03 - ", "03 s3 ", "03 x 07-00", "04 - ", "04 s1 ");
    pair_reopen(&p);
    pair_check(&p, 0);
    pair_done(&p);
}

static void test_a_kick_ends_whom_it_selects(void **state) {
    (void) state;
    struct pair p;
    four_sessions(&p);
    put_wanting(&p, "");                        /* 6 */
    put_move(&p, RP_RECORD_LEAVE_ROOM, "", ""); /* 7: closed intervals go too */
    struct rp_record_fields kick = on(RP_RECORD_KICK, RP_RECORD_TRANSPORT, "s1");
    kick.rooms = NAMES("s2", "s3");
    kick.except = NAMES("s3");
    pair_put(&p, &kick);
    PAIR_EXPECT(&p, "session", "03 ", "04 ");
    PAIR_EXPECT(&p, "member", "03 - 03-07", "03 s3 ", "04 - ", "04 s1 ");
    PAIR_EXPECT(&p, "unacked", "03 06");
    kick = on(RP_RECORD_KICK, 0, "s3");
    pair_put(&p, &kick);
    PAIR_EXPECT(&p, "session", "04 ");
    PAIR_EXPECT_NONE(&p, "unacked");
    pair_done(&p);
}

static void test_the_newest_data_is_kept(void **state) {
    (void) state;
    struct pair p;
    four_sessions(&p);
    static const char *const values[] = {"{\"a\":1}", "null", "\"\xc3\xa4\""};
    for (uint64_t i = 0; i < 3; i++) {
        struct rp_record_fields data = {
            .kind = RP_RECORD_DATA, .session = i < 2 ? 1 : 3, .args = rp_bytes_str(values[i])};
        pair_put(&p, &data);
    }
    struct rp_record_fields data = {
        .kind = RP_RECORD_DATA, .session = 99, .args = RP_BYTES_LIT("1")};
    pair_put(&p, &data);
    PAIR_EXPECT(&p, "session", "01 /a s1 app null ", "02 /a s2 app - ", "03 /a s3 app \"%c3%a4\" ",
                "04 /b s1 app - ");
    pair_reopen(&p);
    PAIR_EXPECT(&p, "session", "01 /a s1 app null ", "02 /a s2 app - ", "03 /a s3 app \"%c3%a4\" ",
                "04 /b s1 app - ");
    pair_done(&p);
}

static void put_serve(struct pair *p, const char *nsp, uint32_t flags) {
    struct rp_record_fields serve = {
        .kind = RP_RECORD_SERVE, .flags = flags, .nsp = rp_bytes_str(nsp)};
    pair_put(p, &serve);
}

static void test_served_namespaces_outlive_an_epoch(void **state) {
    (void) state;
    struct pair p;
    four_sessions(&p);
    put_wanting(&p, "");
    put_serve(&p, "/a", 0);
    put_serve(&p, "/t-*", RP_RECORD_PATTERN | RP_RECORD_DURABLE);
    put_serve(&p, "/a", RP_RECORD_ROOMS_ON | RP_RECORD_ROOMS_ASK);
    put_serve(&p, "/b", RP_RECORD_DURABLE);
    put_serve(&p, "/b", RP_RECORD_RELEASED);
    put_serve(&p, "/c", RP_RECORD_RELEASED); /* never was */
    PAIR_EXPECT(&p, "nsp", "/a 768", "/t-* 192");
    assert_int_equal(p.f.e->ops->new_epoch(p.f.e, "abcd1234", 500), RP_OK);
    assert_int_equal(p.memory->ops->new_epoch(p.memory, "abcd1234", 500), RP_OK);
    for (int i = 0; i < 2; i++) {
        PAIR_EXPECT(&p, "nsp", "/a 768", "/t-* 192");
        PAIR_EXPECT_NONE(&p, "session");
        PAIR_EXPECT_NONE(&p, "member");
        PAIR_EXPECT_NONE(&p, "unacked");
        pair_reopen(&p);
    }
    pair_done(&p);
}

static void test_what_is_trimmed_is_not_owed(void **state) {
    (void) state;
    struct pair p;
    four_sessions(&p);
    for (int i = 0; i < 130; i++) {
        put_wanting(&p, i % 3 ? "s1" : "");
    }
    fixture_wait_indexed(&p.f, 2);
    pair_trim(&p, 100);
    PAIR_EXPECT_NONE(&p, "record");
    pair_check(&p, 0);
    assert_string_equal(fixture_sql(&p.f, "SELECT min(seq) || ' ' || count(*) FROM unacked"),
                        "101 59");
    pair_trim(&p, 128);
    pair_check(&p, 0);
    assert_string_equal(fixture_sql(&p.f, "SELECT min(seq) FROM unacked"), "129");
    pair_done(&p);
}

/* ---- a long random life ---- */

static const char *const room_names[] = {"a",        "b",  "",   "lobby", "d\"\n\\",
                                         "\xc3\xa4", "s1", "s2", "s3",    "\xff\"\x01"};
static const char *const nsps[] = {"/", "/a", "/a"};
enum { ROOMS = sizeof room_names / sizeof room_names[0], LIVES = 6, LIFE = 1500 };

static const char *any_room(struct rp_rng *rng) {
    return room_names[rp_rng_below(rng, ROOMS)];
}

static struct rp_bytes any_list(struct rp_rng *rng) {
    const char *names[5] = {0};
    for (size_t i = 0; i < rp_rng_below(rng, 5); i++) {
        names[i] = any_room(rng);
    }
    return rp_rng_below(rng, 2) ? packed_names(names) : rp_bytes(NULL, 0);
}

static struct rp_record_fields any_record(struct rp_rng *rng, uint64_t newest) {
    static const enum rp_record_kind kinds[] = {
        RP_RECORD_OPEN,  RP_RECORD_OPEN,  RP_RECORD_OPEN,  RP_RECORD_RESUME, RP_RECORD_CLOSE,
        RP_RECORD_END,   RP_RECORD_JOIN,  RP_RECORD_JOIN,  RP_RECORD_LEAVE,  RP_RECORD_GONE,
        RP_RECORD_ACK,   RP_RECORD_ACK,   RP_RECORD_ACK,   RP_RECORD_MOVE,   RP_RECORD_MOVE,
        RP_RECORD_MOVE,  RP_RECORD_DATA,  RP_RECORD_SERVE, RP_RECORD_EVENT,  RP_RECORD_EVENT,
        RP_RECORD_EVENT, RP_RECORD_EVENT, RP_RECORD_EVENT, RP_RECORD_EVENT,
    };
    static const char *const sids[] = {"s1", "s2", "s3", "t"};
    struct rp_record_fields f = {.kind = kinds[rp_rng_below(rng, sizeof kinds / sizeof kinds[0])],
                                 .ts_ms = 1 + rp_rng_below(rng, 1000000),
                                 .origin = rp_rng_below(rng, 3),
                                 .num = rp_rng_below(rng, 50),
                                 .session = 1 + rp_rng_below(rng, newest + 1),
                                 .aux = rp_rng_below(rng, newest + 1),
                                 .nsp = rp_bytes_str(nsps[rp_rng_below(rng, 3)]),
                                 .room = rp_bytes_str(any_room(rng)),
                                 .name = rp_bytes_str(any_room(rng)),
                                 .args = RP_BYTES_LIT("[1]")};
    f.conn = rp_rng_below(rng, 2) ? f.session : 0;
    f.kind = f.kind == RP_RECORD_MOVE && rp_rng_below(rng, 15) == 0 ? RP_RECORD_KICK : f.kind;
    f.aux = f.kind == RP_RECORD_LEAVE && rp_rng_below(rng, 4) > 0 ? 0 : f.aux;
    if (f.kind == RP_RECORD_OPEN) {
        f.session = f.aux = 0;
        f.flags = rp_rng_below(rng, 4) ? RP_RECORD_APP : 0;
        f.sid = rp_bytes_str(sids[rp_rng_below(rng, 4)]);
        f.pid_hash = rp_bytes(pid_hash, sizeof pid_hash);
    } else if (f.kind == RP_RECORD_GONE) {
        f.aux = 1 + rp_rng_below(rng, 40);
    } else if (f.kind == RP_RECORD_SERVE) {
        f.flags = 1u << (6 + rp_rng_below(rng, 5));
    } else if (f.kind == RP_RECORD_MOVE) {
        f.flags = rp_rng_below(rng, 2) ? RP_RECORD_LEAVE_ROOM : 0;
    } else if (f.kind == RP_RECORD_EVENT) {
        f.flags = rp_rng_below(rng, 2) ? RP_RECORD_WANTS_ACK : 0;
    }
    if (f.kind == RP_RECORD_EVENT || f.kind == RP_RECORD_MOVE || f.kind == RP_RECORD_KICK) {
        f.rooms = any_list(rng);
        f.except = any_list(rng);
    }
    f.to = rp_rng_below(rng, 2);
    f.to_num = rp_rng_below(rng, 2);
    return f;
}

/* Events with several rooms in several spans: once each, in the order, cut at the same place. */
static void compare_reads(struct pair *p, uint64_t newest) {
    struct rp_rng *rng = &p->f.rng;
    struct rp_engine_span spans[ROOMS];
    struct rp_engine_read read = {.id = 1, .spans = spans};
    size_t first = rp_rng_below(rng, ROOMS);
    read.spans_count = 1 + rp_rng_below(rng, ROOMS);
    for (size_t i = 0; i < read.spans_count; i++) {
        uint64_t after = rp_rng_below(rng, newest);
        spans[i] = (struct rp_engine_span){
            .nsp = rp_bytes_str(nsps[rp_rng_below(rng, 2)]),
            .room = rp_bytes_str(room_names[(first + i) % ROOMS]),
            .after = after,
            .upto = rp_rng_below(rng, 2) ? UINT64_MAX : after + 1 + rp_rng_below(rng, newest)};
    }
    read.newest_first = rp_rng_below(rng, 2);
    read.events_max = rp_rng_below(rng, 2) ? 1 + rp_rng_below(rng, 40) : 100000;
    read.bytes_max = rp_rng_below(rng, 2) ? rp_rng_below(rng, 10000) : 1 << 30;
    struct rp_engine_page *a = fixture_page(&p->f, &read);
    assert_int_equal(p->memory->ops->read(p->memory, &read), RP_OK);
    struct rp_engine_page *b = pair_memory_next(p).page;
    assert_int_equal(a->err, RP_OK);
    assert_int_equal(a->records_count, b->records_count);
    for (size_t i = 0; i < a->records_count; i++) {
        assert_int_equal(a->records[i]->seq, b->records[i]->seq);
        assert_true(rp_bytes_eq(a->records[i]->f.rooms, b->records[i]->f.rooms));
        assert_true(rp_bytes_eq(a->records[i]->f.except, b->records[i]->f.except));
    }
    assert_int_equal(a->more, b->more);
    assert_int_equal(a->truncated, b->truncated);
    rp_engine_page_free(a);
    rp_engine_page_free(b);
}

static void live(uint64_t seed) {
    struct pair p;
    pair_init(&p);
    p.f.rng.state = seed;
    uint64_t newest = 0, indexed_from = 0;
    for (size_t i = 0; i < LIFE; i++) {
        struct rp_record_fields f = any_record(&p.f.rng, newest);
        newest = pair_put(&p, &f);
        if (i % 20 == 0) {
            compare_reads(&p, newest);
        }
        if (i % 250 == 249) {
            pair_check(&p, 0);
            fixture_wait_indexed(&p.f, newest / 64 - indexed_from);
            for (size_t k = 0; k < 40; k++) {
                compare_reads(&p, newest);
            }
        }
        if (i == 500 || i == 1000) {
            fixture_wait_indexed(&p.f, newest / 64 - indexed_from);
            pair_trim(&p, newest - 200);
            pair_check(&p, 0);
        }
        if (i % 400 == 399) {
            fixture_wait_indexed(&p.f, newest / 64 - indexed_from);
            pair_reopen(&p);
            pair_check(&p, 0);
            indexed_from = newest / 64;
        }
    }
    assert_string_equal(fixture_sql(&p.f, "SELECT (SELECT count(*) FROM session) > 3 AND "
                                          "(SELECT count(*) FROM unacked) > 20 AND "
                                          "(SELECT count(*) FROM room) > 5"),
                        "1");
    pair_done(&p);
}

static void test_both_engines_keep_the_same(void **state) {
    (void) state;
    for (uint64_t seed = 1; seed <= LIVES; seed++) {
        live(seed * 1000003);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_app_sessions_begin_in_two_rooms),
        cmocka_unit_test(test_an_event_is_owed_by_whom_it_selects),
        cmocka_unit_test(test_many_are_selected_and_few_excepted),
        cmocka_unit_test(test_an_ack_pays_once),
        cmocka_unit_test(test_a_move_joins_and_leaves),
        cmocka_unit_test(test_a_kick_ends_whom_it_selects),
        cmocka_unit_test(test_the_newest_data_is_kept),
        cmocka_unit_test(test_served_namespaces_outlive_an_epoch),
        cmocka_unit_test(test_what_is_trimmed_is_not_owed),
        cmocka_unit_test(test_both_engines_keep_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
