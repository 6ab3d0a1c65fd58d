/* tests/unit/test_engine_sqlite_apps.c — app workers' columns, tables and views in the file: files
 * of version 2, which had none; lists of rooms as people read them; damage; retention. */
#include "tests/unit/engine_sqlite_fixture.h"

/* A file of version 2, as its broker left it, but for the views, which are made anew: two sessions
 * of different namespaces in rooms called lobby, one that left a room, three events, two segments
 * of four seqs indexed. The checksums are those it wrote. */
static const char *const version_2[] = {
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE event (seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, ts INTEGER NOT NUL"
    "L, nsp TEXT, room TEXT, name TEXT, args TEXT, id TEXT, sid TEXT, session INTEGER, orig"
    "in INTEGER, num INTEGER, conn INTEGER, aux INTEGER, flags INTEGER, pid_hash BLOB, sum "
    "INTEGER NOT NULL, attachments BLOB)",
    "CREATE UNIQUE INDEX event_id ON event (nsp, id) WHERE id IS NOT NULL",
    "CREATE TABLE segment (segment INTEGER PRIMARY KEY, first_seq INTEGER, last_seq INTEGER"
    ", events INTEGER)",
    "CREATE TABLE room_index (segment INTEGER, room TEXT, nsp TEXT, n INTEGER, seqs TEXT, P"
    "RIMARY KEY (segment, room, nsp)) WITHOUT ROWID",
    "CREATE TABLE room (room TEXT, nsp TEXT, trimmed_seq INTEGER NOT NULL, PRIMARY KEY (roo"
    "m, nsp)) WITHOUT ROWID",
    "CREATE TABLE session (session INTEGER PRIMARY KEY, nsp TEXT, sid TEXT, pid_hash BLOB, "
    "conn INTEGER NOT NULL, gateway INTEGER, opened_ts INTEGER, closed_ts INTEGER, floor_se"
    "q INTEGER)",
    "CREATE TABLE member (session INTEGER, room TEXT, from_seq INTEGER, to_seq INTEGER, ts "
    "INTEGER, PRIMARY KEY (session, room, from_seq)) WITHOUT ROWID",
    "CREATE VIEW attachment_places AS SELECT seq, '[]' AS places FROM event",
    "CREATE VIEW attachments AS SELECT seq, 0 AS number FROM attachment_places",
    "CREATE VIEW messages AS SELECT seq, room, args FROM event WHERE kind = 1",
    "CREATE VIEW messages_in_room AS SELECT seq, room FROM messages",
    "CREATE VIEW members AS SELECT room FROM member",
    "CREATE VIEW sessions AS SELECT sid FROM session",
    "INSERT INTO event VALUES(1,2,1700000000000,'/',NULL,NULL,NULL,NULL,'sid-1',NULL,5,1,NU"
    "LL,NULL,NULL,X'01020300000000000000000000000000000000000000000000000000000000FF',92022"
    "8543,NULL)",
    "INSERT INTO event VALUES(2,2,1700000000000,'/chat',NULL,NULL,NULL,NULL,'sid-2',NULL,5,"
    "2,NULL,NULL,NULL,X'01020300000000000000000000000000000000000000000000000000000000FF',1"
    "084933977,NULL)",
    "INSERT INTO event VALUES(3,6,1700000001000,'/','lobby',NULL,NULL,NULL,NULL,1,5,3,1,NUL"
    "L,NULL,NULL,-243735257,NULL)",
    "INSERT INTO event VALUES(4,6,1700000001000,'/chat','lobby',NULL,NULL,NULL,NULL,2,5,4,2"
    ",NULL,NULL,NULL,-801748958,NULL)",
    "INSERT INTO event VALUES(5,6,1700000001000,'/chat','other',NULL,NULL,NULL,NULL,2,5,5,2"
    ",NULL,NULL,NULL,1328200549,NULL)",
    "INSERT INTO event VALUES(6,7,1700000001000,'/chat','other',NULL,NULL,NULL,NULL,2,5,6,2"
    ",NULL,NULL,NULL,839277000,NULL)",
    "INSERT INTO event VALUES(7,1,1700000000123,'/','lobby','msg','[{\"_placeholder\":true,"
    "\"num\":0}]',NULL,'sid-1',1,5,7,1,NULL,NULL,NULL,-286026617,X'00000002FF00')",
    "INSERT INTO event VALUES(8,1,1700000000123,'/','lobby','msg','[2]','k','sid-1',1,5,8,1"
    ",NULL,NULL,NULL,-246264205,NULL)",
    "INSERT INTO event VALUES(9,1,1700000000123,'/','lobby','msg','[3]',NULL,'sid-1',1,5,9,"
    "1,NULL,NULL,NULL,319377699,NULL)",
    "INSERT INTO member VALUES(1,'lobby',3,NULL,1700000001000)",
    "INSERT INTO member VALUES(2,'lobby',4,NULL,1700000001000)",
    "INSERT INTO member VALUES(2,'other',5,6,1700000001000)",
    "INSERT INTO meta VALUES('boot_id','an older boot')",
    "INSERT INTO meta VALUES('clean',1)",
    "INSERT INTO meta VALUES('epoch','epoch002')",
    "INSERT INTO meta VALUES('first_seq',1)",
    "INSERT INTO meta VALUES('indexed_seq',8)",
    "INSERT INTO meta VALUES('next_seq',10)",
    "INSERT INTO meta VALUES('segment_events',4)",
    "INSERT INTO meta VALUES('sync','full')",
    "INSERT INTO room_index VALUES(1,'lobby','/',2,'[7,8]')",
    "INSERT INTO segment VALUES(0,1,4,0)",
    "INSERT INTO segment VALUES(1,5,8,2)",
    "INSERT INTO session VALUES(1,'/','sid-1',X'0102030000000000000000000000000000000000000"
    "0000000000000000000FF',1,5,1700000000000,NULL,NULL)",
    "INSERT INTO session VALUES(2,'/chat','sid-2',X'010203000000000000000000000000000000000"
    "00000000000000000000000FF',2,5,1700000000000,NULL,NULL)",
    "PRAGMA application_id = 1380995667",
    "PRAGMA user_version = 2",
};

static void make_version_2(struct fixture *f) {
    fixture_init(f);
    for (size_t i = 0; i < sizeof version_2 / sizeof version_2[0]; i++) {
        fixture_sql(f, version_2[i]);
    }
    fixture_sql(f, "PRAGMA journal_mode = WAL");
}

static struct rp_record_fields event_in(const char *nsp, const char *room) {
    struct rp_record_fields event = fixture_event(room, "[1]");
    event.nsp = rp_bytes_str(nsp);
    return event;
}

/* "a", "b" */
#define A_B RP_BYTES_LIT("\0\0\0\1a\0\0\0\1b")
/* "", "b", "c", a quote and a line, an umlaut, NUL */
#define ODD RP_BYTES_LIT("\0\0\0\0\0\0\0\1b\0\0\0\1c\0\0\0\2\"\n\0\0\0\2\xc3\xa4\0\0\0\1\0")

static void expect_sql(struct fixture *f, const char *sql, const char *answer) {
    assert_string_equal(fixture_sql(f, sql), answer);
}

/* ---- version 2 ---- */

static void test_a_file_of_version_2_is_read_and_written_to(void **state) {
    (void) state;
    struct fixture f;
    make_version_2(&f);
    f.options.retention = NULL;
    fixture_open(&f);
    assert_true(f.message.len > 0);
    expect_sql(&f, "PRAGMA user_version", "4");
    assert_string_equal(f.e->epoch, "epoch002");
    struct loaded *l = fixture_load(&f, 0);
    assert_int_equal(l->sessions_count, 2);
    assert_false(l->sessions[0].app);
    assert_int_equal(l->sessions[0].data.len, 0);
    assert_int_equal(l->members_count, 3);
    assert_int_equal(l->records_count, 9);
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(l->records[i]->f.rooms.len + l->records[i]->f.except.len, 0);
        assert_int_equal(l->records[i]->f.to + l->records[i]->f.to_num, 0);
    }
    loaded_free(l);
    struct rp_engine_page *page = fixture_history(&f, "lobby", 0);
    assert_int_equal(page->records_count, 3);
    rp_engine_page_free(page);
    /* old members are selected, each in its namespace, and those who left are not */
    struct rp_record_fields event = event_in("/chat", "lobby");
    event.flags = RP_RECORD_WANTS_ACK;
    assert_int_equal(fixture_put(&f, &event), 10);
    event.room = RP_BYTES_LIT("other");
    fixture_put(&f, &event);
    event.nsp = RP_BYTES_LIT("/");
    event.rooms = RP_BYTES_LIT("\0\0\0\5lobby");
    assert_int_equal(fixture_put(&f, &event), 12);
    expect_sql(&f, "SELECT group_concat(session || ':' || seq) FROM unacked", "1:12,2:10");
    fixture_wait_indexed(&f, 1); /* the third segment, with old and new rows */
    fixture_reopen(&f);
    assert_int_equal(f.message.len, 0);
    page = fixture_history(&f, "lobby", 0);
    assert_int_equal(page->records_count, 4);
    rp_engine_page_free(page);
    expect_sql(&f, "PRAGMA integrity_check", "ok");
    fixture_done(&f);
}

static void test_an_upgrade_of_version_2_that_fails_changes_nothing(void **state) {
    (void) state;
    struct fixture f;
    make_version_2(&f);
    fixture_sql(&f, "CREATE TABLE namespace (mine)"); /* somebody's own */
    assert_int_equal(fixture_try_open(&f), RP_E_IO);
    f.e = NULL;
    expect_sql(&f, "PRAGMA user_version", "2");
    expect_sql(&f, "SELECT count(*) FROM pragma_table_info('event') WHERE name = 'rooms'", "0");
    fixture_done(&f);
}

/* ---- lists of rooms ---- */

static void test_rooms_are_json_for_people_and_come_back(void **state) {
    (void) state;
    const struct {
        struct rp_bytes packed;
        const char *type, *text;
    } cases[] = {
        {{0}, "null", ""},
        {RP_BYTES_LIT("\0\0\0\0"), "text", "[\"\"]"},
        {RP_BYTES_LIT("\0\0\0\1a\0\0\0\1b"), "text", "[\"a\",\"b\"]"},
        {RP_BYTES_LIT("\0\0\0\3\"\n\\\0\0\0\2\xc3\xa4\0\0\0\1\0"), "text",
         "[\"\\\"\\n\\\\\",\"\xc3\xa4\",\"\\u0000\"]"},
        {RP_BYTES_LIT("\0\0\0\3\xff\"a"), "blob", ""},    /* no UTF-8 */
        {RP_BYTES_LIT("\0\0\0\1a\0\0\0\2b"), "blob", ""}, /* cut off */
    };
    enum { COUNT = sizeof cases / sizeof cases[0] };
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    for (size_t i = 0; i < 2 * COUNT; i++) {
        struct rp_record_fields event = fixture_event("r", "[1]");
        *(i < COUNT ? &event.rooms : &event.except) = cases[i % COUNT].packed;
        event.to = i % 2 ? UINT64_MAX : 0;
        event.to_num = i % 3;
        fixture_put(&f, &event);
    }
    fixture_reopen(&f);
    struct loaded *l = fixture_load(&f, 0);
    for (size_t i = 0; i < 2 * COUNT; i++) {
        const struct rp_record_fields *r = &l->records[i]->f;
        assert_true(rp_bytes_eq(i < COUNT ? r->rooms : r->except, cases[i % COUNT].packed));
        assert_int_equal((i < COUNT ? r->except : r->rooms).len, 0);
        assert_true(r->to == (i % 2 ? UINT64_MAX : 0) && r->to_num == i % 3);
        const char *column = i < COUNT ? "rooms" : "except_rooms";
        char sql[128];
        snprintf(sql, sizeof sql, "SELECT typeof(%s) FROM event WHERE seq = %zu", column, i + 1);
        expect_sql(&f, sql, cases[i % COUNT].type);
        snprintf(sql, sizeof sql,
                 "SELECT CASE typeof(%s) WHEN 'text' THEN %s END FROM event WHERE seq = %zu",
                 column, column, i + 1);
        expect_sql(&f, sql, cases[i % COUNT].text);
    }
    loaded_free(l);
    expect_sql(&f, "SELECT count(*) FROM messages", "12"); /* and no view trips */
    expect_sql(&f, "SELECT count(*) FROM messages_in_room WHERE room = 'b'", "1");
    fixture_done(&f);
}

static void test_changed_rooms_are_damage(void **state) {
    (void) state;
    static const char *const changes[] = {
        "UPDATE event SET rooms = '[\"a\",\"c\"]' WHERE seq = 2",
        "UPDATE event SET rooms = '[\"a\"]' WHERE seq = 2",
        "UPDATE event SET rooms = NULL WHERE seq = 2",
        "UPDATE event SET rooms = '[\"a\",\"b\"' WHERE seq = 2",
        "UPDATE event SET rooms = '[\"a\",1]' WHERE seq = 2",
        "UPDATE event SET rooms = '{\"a\":\"b\"}' WHERE seq = 2",
        "UPDATE event SET rooms = '[\"\\ud800\"]' WHERE seq = 2",
        "UPDATE event SET rooms = 7 WHERE seq = 2",
        "UPDATE event SET except_rooms = rooms, rooms = NULL WHERE seq = 2",
        "UPDATE event SET attachments = x'0000000161' WHERE seq = 2",
        "UPDATE event SET to_worker = 1 WHERE seq = 1",
        "UPDATE event SET to_num = 1 WHERE seq = 1",
        "UPDATE event SET rooms = '[\"a\"]' WHERE seq = 1",
        "UPDATE event SET except_rooms = '[\"\"]' WHERE seq = 1",
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct fixture f;
        fixture_init(&f);
        fixture_open(&f);
        struct rp_record_fields event = fixture_event("r", "[1]");
        fixture_put(&f, &event);
        event.rooms = A_B;
        fixture_put(&f, &event);
        fixture_close(&f);
        fixture_sql(&f, changes[i]);
        assert_int_equal(fixture_try_open(&f), RP_E_CORRUPT);
        f.e = NULL;
        fixture_done(&f);
    }
}

/* Each room of an event has it in the index, once, and loses it to retention. */
static void test_an_event_is_in_all_its_rooms(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_events = 4;
    fixture_open(&f);
    struct rp_record_fields event = fixture_event("a", "[1]");
    event.rooms = RP_BYTES_LIT("\0\0\0\1b\0\0\0\1a\0\0\0\1b\0\0\0\0");
    event.except = RP_BYTES_LIT("\0\0\0\1x");
    fixture_put(&f, &event);
    fixture_fill(&f, "b", 3);
    fixture_put(&f, &event); /* 5 */
    fixture_fill(&f, "c", 3);
    fixture_put(&f, &event); /* 9, not indexed */
    fixture_wait_indexed(&f, 2);
    expect_sql(&f, "SELECT group_concat(segment || room || seqs || n, ' ') FROM room_index",
               "0[1]1 0a[1]1 0b[1,2,3,4]4 1[5]1 1a[5]1 1b[5]1 1c[6,7,8]3");
    expect_sql(&f, "SELECT group_concat(events) FROM segment", "4,4");
    expect_sql(&f,
               "SELECT group_concat(room || seq, ' ') FROM (SELECT * FROM messages_in_room "
               "WHERE room IN ('', 'a', 'b') ORDER BY room, seq)",
               "1 5 9 a1 a5 a9 b1 b2 b3 b4 b5 b9");
    struct rp_engine_span spans[] = {
        {.nsp = RP_BYTES_LIT("/"), .room = RP_BYTES_LIT("a"), .after = 0, .upto = 100},
        {.nsp = RP_BYTES_LIT("/"), .room = RP_BYTES_LIT("b"), .after = 2, .upto = 100},
        {.nsp = RP_BYTES_LIT("/"), .room = RP_BYTES_LIT("x"), .after = 0, .upto = 100},
    };
    static const uint64_t expected[] = {1, 3, 4, 5, 9};
    for (int down = 0; down < 2; down++) {
        struct rp_engine_read read = {.spans = spans,
                                      .spans_count = 3,
                                      .events_max = 5,
                                      .bytes_max = 1 << 20,
                                      .newest_first = down};
        struct rp_engine_page *page = fixture_page(&f, &read);
        assert_int_equal(page->records_count, 5);
        assert_false(page->more || page->truncated);
        for (size_t i = 0; i < 5; i++) {
            assert_int_equal(page->records[i]->seq, expected[down ? 4 - i : i]);
        }
        rp_engine_page_free(page);
    }
    assert_int_equal(fixture_trim(&f, 4), 4);
    expect_sql(&f, "SELECT group_concat(room || trimmed_seq, ' ') FROM room", "1 a1 b4");
    struct rp_engine_page *page = fixture_history(&f, "", 0);
    assert_true(page->truncated && page->records_count == 2);
    rp_engine_page_free(page);
    fixture_done(&f);
}

/* ---- retention ---- */

/* A broker that is killed in the middle of a trim leaves some of what goes. */
static void test_what_a_cut_off_trim_left_is_not_loaded(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fixture_fill(&f, "r", 10);
    fixture_close(&f);
    fixture_sql(&f, "INSERT INTO unacked VALUES (1, 4, 7, 7), (1, 5, 7, 7), (2, 9, 7, 7);"
                    "UPDATE meta SET value = 5 WHERE key = 'first_seq'");
    fixture_open(&f);
    struct loaded *l = fixture_load(&f, UINT64_MAX);
    assert_int_equal(l->unacked_count, 2);
    assert_int_equal(l->unacked[0].seq, 5);
    assert_int_equal(l->unacked[1].seq, 9);
    loaded_free(l);
    fixture_done(&f);
}

/* More rows than one slice takes, spread over sessions and all in one. */
static void test_trim_removes_all_that_is_owed_in_slices(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fixture_fill(&f, "r", 200);
    fixture_wait_indexed(&f, 3);
    fixture_close(&f);
    fixture_sql(&f,
                "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4999) "
                "INSERT INTO unacked SELECT CASE WHEN i < 2500 THEN 1 ELSE i END, 1 + i % 200 + "
                "CASE WHEN i < 2500 THEN i * 200 ELSE 0 END, 1, 1 FROM n");
    fixture_open(&f);
    expect_sql(&f, "SELECT count(*) FROM unacked WHERE seq <= 192", "2397");
    assert_int_equal(fixture_trim(&f, 192), 192);
    expect_sql(&f, "SELECT count(*) || ' ' || min(seq) FROM unacked", "2603 193");
    fixture_done(&f);
}

/* ---- bounds ---- */

/* Records of one row each would be committed together; these have 200 and more. */
static void test_a_transaction_has_so_many_rows_and_not_more(void **state) {
    (void) state;
    enum { SESSIONS = 200, EVENTS = 2 * RP_ENGINE_TRANSACTION_ROWS / SESSIONS };
    struct rp_engine_sqlite_stats before, after;
    struct fixture f;
    fixture_init(&f);
    f.options.sync_full = false;
    f.options.segment_events = 0;
    fixture_open(&f);
    struct rp_record_fields open = {
        .kind = RP_RECORD_OPEN, .flags = RP_RECORD_APP, .nsp = RP_BYTES_LIT("/")};
    for (size_t i = 0; i < SESSIONS; i++) {
        fixture_append(&f, &open);
    }
    fixture_expect_committed(&f, SESSIONS);
    rp_engine_sqlite_stats(f.e, &before);
    struct rp_record_fields event = fixture_event("", "[1]");
    event.flags = RP_RECORD_WANTS_ACK;
    struct rp_record *all[EVENTS];
    for (size_t i = 0; i < EVENTS; i++) {
        all[i] = rp_record_new(&event);
        assert_int_equal(f.e->ops->append(f.e, &all[i], 1), RP_OK);
    }
    assert_int_equal(fixture_expect_committed(&f, EVENTS), SESSIONS + EVENTS);
    rp_engine_sqlite_stats(f.e, &after);
    assert_int_equal(after.records - before.records, EVENTS);
    assert_true(after.transactions - before.transactions >= 3);
    struct rp_record *one[EVENTS]; /* but what belongs together stays together */
    for (size_t i = 0; i < EVENTS; i++) {
        one[i] = rp_record_new(&event);
    }
    assert_int_equal(f.e->ops->append(f.e, one, EVENTS), RP_OK);
    fixture_expect_committed(&f, EVENTS);
    rp_engine_sqlite_stats(f.e, &before);
    assert_int_equal(before.transactions - after.transactions, 1);
    expect_sql(&f, "SELECT count(*) FROM unacked", "400000");
    fixture_done(&f);
}

/* ---- views ---- */

static void fill_for_people(struct fixture *f) {
    static const uint8_t hash[RP_PID_HASH_LEN] = {3};
    struct rp_record_fields open = {.kind = RP_RECORD_OPEN,
                                    .flags = RP_RECORD_APP,
                                    .ts_ms = 1700000000123,
                                    .origin = 5,
                                    .nsp = RP_BYTES_LIT("/a"),
                                    .sid = RP_BYTES_LIT("s1"),
                                    .pid_hash = {hash, sizeof hash}};
    fixture_put(f, &open);
    open.flags = 0;
    open.sid = RP_BYTES_LIT("s2");
    fixture_put(f, &open);
    struct rp_record_fields join = {.kind = RP_RECORD_JOIN,
                                    .ts_ms = 1700000000123,
                                    .session = 1,
                                    .nsp = RP_BYTES_LIT("/a"),
                                    .room = RP_BYTES_LIT("b")};
    fixture_put(f, &join);
    join.session = 2;
    join.room = RP_BYTES_LIT("s2"); /* its own choice */
    fixture_put(f, &join);
    struct rp_record_fields data = {
        .kind = RP_RECORD_DATA, .session = 1, .args = RP_BYTES_LIT("{\"user\":7}")};
    fixture_put(f, &data);
    struct rp_record_fields event = event_in("/a", "a");
    event.flags = RP_RECORD_WANTS_ACK;
    event.rooms = ODD;
    event.except = A_B;
    fixture_put(f, &event); /* 6: nobody */
    event.except = rp_bytes(NULL, 0);
    fixture_put(f, &event); /* 7: s1 */
    struct rp_record_fields serve = {.kind = RP_RECORD_SERVE, .nsp = RP_BYTES_LIT("/a")};
    fixture_put(f, &serve);
    serve.nsp = RP_BYTES_LIT("/t-*");
    serve.flags = RP_RECORD_PATTERN | RP_RECORD_DURABLE | RP_RECORD_ROOMS_ON;
    fixture_put(f, &serve);
    serve.nsp = RP_BYTES_LIT("/u");
    serve.flags = RP_RECORD_ROOMS_ON | RP_RECORD_ROOMS_ASK;
    fixture_put(f, &serve);
}

static void test_people_see_app_workers(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fill_for_people(&f);
    static const struct {
        const char *sql, *answer;
    } cases[] = {
        {"SELECT rooms || ' but ' || except_rooms FROM messages WHERE seq = 6",
         "[\"a\",\"\",\"b\",\"c\",\"\\\"\\n\",\"\xc3\xa4\",\"\\u0000\"] but [\"a\",\"b\"]"},
        {"SELECT room || json_array_length(rooms) || coalesce(except_rooms, '-') FROM messages "
         "WHERE seq = 7",
         "a7-"},
        {"SELECT group_concat(seq) FROM messages_in_room WHERE room = 'c'", "6,7"},
        {"SELECT json_array_length(rooms) || room FROM messages_in_room WHERE room = '\xc3\xa4'",
         "7\xc3\xa4"},
        {"SELECT group_concat(sid || ' ' || room, ',') FROM members", "s1 b,s2 s2"},
        {"SELECT group_concat(sid || app || coalesce(json_extract(data, '$.user'), '-'), ' ') "
         "FROM sessions",
         "s117 s20-"},
        {"SELECT group_concat(nsp || is_pattern || durable || room_events, ' ') FROM namespaces",
         "/a00off /t-*11on /u00asked"},
        {"SELECT group_concat(seq || ' ' || time || ' ' || sid || connected || room || event || "
         "args "
         "|| nsp) FROM acks_awaited",
         "7 2023-11-14T22:13:20.123Z s11amsg[1]/a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_sql(&f, cases[i].sql, cases[i].answer);
    }
    fixture_done(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_of_version_2_is_read_and_written_to),
        cmocka_unit_test(test_an_upgrade_of_version_2_that_fails_changes_nothing),
        cmocka_unit_test(test_rooms_are_json_for_people_and_come_back),
        cmocka_unit_test(test_changed_rooms_are_damage),
        cmocka_unit_test(test_an_event_is_in_all_its_rooms),
        cmocka_unit_test(test_what_a_cut_off_trim_left_is_not_loaded),
        cmocka_unit_test(test_trim_removes_all_that_is_owed_in_slices),
        cmocka_unit_test(test_a_transaction_has_so_many_rows_and_not_more),
        cmocka_unit_test(test_people_see_app_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
