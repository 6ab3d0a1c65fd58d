/* tests/unit/test_engine_sqlite_upgrade.c — binary attachments in the SQLite engine, and files of
 * version 1, which had none: they are opened, read and written to, and become what a new file is.
 */
#include "tests/unit/engine_sqlite_fixture.h"

/* A whole file of version 1, as its broker left it: an OPEN, a JOIN and five events, the first
 * segment of four seqs indexed. The checksums are those it wrote. */
static const char *const version_1[] = {
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE event (seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, ts INTEGER NOT "
    "NULL, nsp TEXT, room TEXT, name TEXT, args TEXT, id TEXT, sid TEXT, session INTEGER, "
    "origin INTEGER, num INTEGER, conn INTEGER, aux INTEGER, flags INTEGER, pid_hash BLOB, "
    "sum INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX event_id ON event (nsp, id) WHERE id IS NOT NULL",
    "CREATE TABLE segment (segment INTEGER PRIMARY KEY, first_seq INTEGER, last_seq INTEGER, "
    "events INTEGER)",
    "CREATE TABLE room_index (segment INTEGER, room TEXT, nsp TEXT, n INTEGER, seqs TEXT, "
    "PRIMARY KEY (segment, room, nsp)) WITHOUT ROWID",
    "CREATE TABLE room (room TEXT, nsp TEXT, trimmed_seq INTEGER NOT NULL, PRIMARY KEY "
    "(room, nsp)) WITHOUT ROWID",
    "CREATE TABLE session (session INTEGER PRIMARY KEY, nsp TEXT, sid TEXT, pid_hash BLOB, "
    "conn INTEGER NOT NULL, gateway INTEGER, opened_ts INTEGER, closed_ts INTEGER, floor_seq "
    "INTEGER)",
    "CREATE TABLE member (session INTEGER, room TEXT, from_seq INTEGER, to_seq INTEGER, ts "
    "INTEGER, PRIMARY KEY (session, room, from_seq)) WITHOUT ROWID",
    "CREATE VIEW messages AS SELECT seq, strftime('%Y-%m-%dT%H:%M:%fZ', ts / 1000.0, "
    "'unixepoch') AS time, room, name AS event, args, sid AS sender, id, nsp FROM event "
    "WHERE kind = 1",
    "CREATE VIEW messages_in_room AS SELECT CAST(j.value AS INTEGER) AS seq, "
    "strftime('%Y-%m-%dT%H:%M:%fZ', e.ts / 1000.0, 'unixepoch') AS time, i.room AS room, "
    "e.name AS event, e.args AS args, e.sid AS sender, e.id AS id, i.nsp AS nsp FROM segment "
    "s CROSS JOIN room_index i ON i.segment = s.segment CROSS JOIN json_each(i.seqs) j CROSS "
    "JOIN event e ON e.seq = j.value UNION ALL SELECT seq, strftime('%Y-%m-%dT%H:%M:%fZ', ts "
    "/ 1000.0, 'unixepoch') AS time, room, name AS event, args, sid AS sender, id, nsp FROM "
    "event WHERE kind = 1 AND seq > (SELECT value FROM meta WHERE key = 'indexed_seq')",
    "CREATE VIEW members AS SELECT s.sid AS sid, m.room AS room, "
    "strftime('%Y-%m-%dT%H:%M:%fZ', m.ts / 1000.0, 'unixepoch') AS since, m.from_seq AS "
    "from_seq, s.gateway IS NOT NULL AS connected, s.nsp AS nsp FROM member m JOIN session s "
    "ON s.session = m.session WHERE m.to_seq IS NULL",
    "CREATE VIEW sessions AS SELECT sid, CASE WHEN gateway IS NULL THEN 'away' ELSE "
    "'connected' END AS state, CASE WHEN gateway IS NOT NULL THEN printf('%016x', gateway) "
    "END AS gateway, strftime('%Y-%m-%dT%H:%M:%fZ', opened_ts / 1000.0, 'unixepoch') AS "
    "opened, strftime('%Y-%m-%dT%H:%M:%fZ', closed_ts / 1000.0, 'unixepoch') AS closed, "
    "session, conn, floor_seq, nsp FROM session",
    "INSERT INTO meta VALUES('boot_id','an older boot')",
    "INSERT INTO meta VALUES('clean',1)",
    "INSERT INTO meta VALUES('epoch','epoch001')",
    "INSERT INTO meta VALUES('first_seq',1)",
    "INSERT INTO meta VALUES('indexed_seq',4)",
    "INSERT INTO meta VALUES('next_seq',8)",
    "INSERT INTO meta VALUES('segment_events',4)",
    "INSERT INTO meta VALUES('sync','full')",
    "INSERT INTO event "
    "VALUES(1,2,1700000000000,'/',NULL,NULL,NULL,NULL,'sid-1',NULL,5,1,NULL,NULL,NULL,X'01020"
    "300000000000000000000000000000000000000000000000000000000ff',920228543)",
    "INSERT INTO event "
    "VALUES(2,6,1700000001000,'/','lobby',NULL,NULL,NULL,NULL,1,5,2,1,NULL,NULL,NULL,18675437"
    "87)",
    "INSERT INTO event "
    "VALUES(3,1,1700000000123,'/','lobby','msg','[{\"n\":0}]',NULL,'sid-1',1,5,3,1,NULL,NULL,NU"
    "LL,-1503955435)",
    "INSERT INTO event "
    "VALUES(4,1,1700000000124,'/','lobby','msg','[{\"n\":1}]',NULL,'sid-1',1,5,4,1,NULL,NULL,NU"
    "LL,-575108052)",
    "INSERT INTO event "
    "VALUES(5,1,1700000000125,'/','other','msg','[{\"n\":2}]',NULL,'sid-1',1,5,5,1,NULL,NULL,NU"
    "LL,1814413601)",
    "INSERT INTO event "
    "VALUES(6,1,1700000000126,'/','lobby','msg','[{\"n\":3}]','k','sid-1',1,5,6,1,NULL,1,NULL,-"
    "865088295)",
    "INSERT INTO event "
    "VALUES(7,1,1700000000127,'/','lobby','msg','[{\"n\":4}]',NULL,'sid-1',1,5,7,1,NULL,NULL,NU"
    "LL,1519120221)",
    "INSERT INTO segment VALUES(0,1,4,2)",
    "INSERT INTO room_index VALUES(0,'lobby','/',2,'[3,4]')",
    "INSERT INTO session "
    "VALUES(1,'/','sid-1',X'01020300000000000000000000000000000000000000000000000000000000ff'"
    ",1,5,1700000000000,NULL,NULL)",
    "INSERT INTO member VALUES(1,'lobby',2,NULL,1700000001000)",
    "PRAGMA application_id = 1380995667",
    "PRAGMA user_version = 1",
};

static void make_version_1(struct fixture *f) {
    fixture_init(f);
    for (size_t i = 0; i < sizeof version_1 / sizeof version_1[0]; i++) {
        fixture_sql(f, version_1[i]);
    }
    fixture_sql(f, "PRAGMA journal_mode = WAL");
}

/* Three attachments: the bytes 0 … 255, none, "xyz". */
static struct rp_bytes three(void) {
    static uint8_t packed[3 * 4 + 256 + 3];
    packed[2] = 1;
    for (size_t i = 0; i < 256; i++) {
        packed[4 + i] = (uint8_t) i;
    }
    memcpy(packed + 4 + 256, "\0\0\0\0\0\0\0\3xyz", 11);
    return rp_bytes(packed, sizeof packed);
}

static struct rp_record_fields binary_event(const char *room) {
    struct rp_record_fields event = fixture_event(room, "[{\"_placeholder\":true,\"num\":0}]");
    event.attachments = three();
    return event;
}

/* ---- attachments ---- */

static void test_attachments_survive(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    struct rp_record_fields event = binary_event("r");
    for (size_t i = 0; i < 200; i++) { /* in indexed segments and after them */
        event.attachments = i % 2 ? three() : rp_bytes(NULL, 0);
        fixture_append(&f, &event);
    }
    fixture_expect_committed(&f, 200);
    fixture_wait_indexed(&f, 3);
    fixture_reopen(&f); /* and the whole tail is as it was written */
    struct rp_engine_page *page = fixture_history(&f, "r", 0);
    struct loaded *l = fixture_load(&f, 0);
    assert_int_equal(page->records_count, 200);
    assert_int_equal(l->records_count, 200);
    for (size_t i = 0; i < 200; i++) {
        struct rp_bytes expected = i % 2 ? three() : rp_bytes(NULL, 0);
        assert_true(rp_bytes_eq(page->records[i]->f.attachments, expected));
        assert_true(rp_bytes_eq(l->records[i]->f.attachments, expected));
    }
    loaded_free(l);
    rp_engine_page_free(page);
    assert_string_equal(fixture_sql(&f, "SELECT count(*) FROM event WHERE attachments IS NULL"),
                        "100");
    fixture_done(&f);
}

/* One of 16 MB does not fit a page of 64 KiB, and comes all the same; a queue counts it. */
static void test_large_attachments_count(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    f.options.queue_bytes_max = 1 << 20;
    fixture_open(&f);
    uint8_t *bytes = rp_alloc(700000);
    memset(bytes, 7, 700000);
    struct rp_record_fields event = binary_event("r");
    event.attachments = rp_bytes(bytes, 700000);
    struct rp_record *first = rp_record_new(&event), *second = rp_record_new(&event);
    assert_true(first->size > 700000);
    assert_int_equal(f.e->ops->append(f.e, &first, 1), RP_OK);
    assert_int_equal(f.e->ops->append(f.e, &second, 1), RP_E_FULL);
    fixture_expect_committed(&f, 1);
    assert_int_equal(f.e->ops->append(f.e, &second, 1), RP_OK);
    fixture_expect_committed(&f, 1);
    struct rp_engine_span span = {
        .nsp = RP_BYTES_LIT("/"), .room = RP_BYTES_LIT("r"), .upto = UINT64_MAX};
    struct rp_engine_read read = {
        .id = 1, .spans = &span, .spans_count = 1, .events_max = 10, .bytes_max = 1 << 20};
    struct rp_engine_page *page = fixture_page(&f, &read);
    assert_int_equal(page->records_count, 1);
    assert_true(page->more);
    assert_true(rp_bytes_eq(page->records[0]->f.attachments, event.attachments));
    rp_engine_page_free(page);
    free(bytes);
    fixture_done(&f);
}

/* The checksum covers them: changed, shortened, removed, added. */
static void test_changed_attachments_are_damage(void **state) {
    (void) state;
    static const char *const changes[] = {
        "UPDATE event SET attachments = CAST(x'00' || attachments AS BLOB) WHERE seq = 2",
        "UPDATE event SET attachments = zeroblob(length(attachments)) WHERE seq = 2",
        "UPDATE event SET attachments = CAST(attachments || x'00' AS BLOB) WHERE seq = 2",
        "UPDATE event SET attachments = NULL WHERE seq = 2",
        "UPDATE event SET attachments = x'00000000' WHERE seq = 1",
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct fixture f;
        fixture_init(&f);
        fixture_open(&f);
        struct rp_record_fields event = fixture_event("r", "[1]");
        fixture_put(&f, &event);
        event = binary_event("r");
        fixture_put(&f, &event);
        fixture_close(&f);
        fixture_sql(&f, changes[i]);
        assert_int_equal(fixture_try_open(&f), RP_E_CORRUPT);
        f.e = NULL;
        fixture_done(&f);
    }
}

static void test_people_see_attachments(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_events = 4;
    fixture_open(&f);
    struct rp_record_fields event = binary_event("lobby");
    fixture_put(&f, &event);
    event.attachments = rp_bytes(NULL, 0);
    fixture_put(&f, &event);
    uint8_t *large = rp_alloc(4 + 0x12345);
    memcpy(large, "\x00\x01\x23\x45", 4);
    event.attachments = rp_bytes(large, 4 + 0x12345);
    fixture_put(&f, &event);
    fixture_fill(&f, "other", 2);
    fixture_wait_indexed(&f, 1);
    event.attachments = three();
    fixture_put(&f, &event); /* not in the index */
    static const struct {
        const char *sql, *answer;
    } cases[] = {
        {"SELECT group_concat(seq || ':' || coalesce(attachments, '-'), ' ') FROM messages",
         "1:3 2:- 3:1 4:- 5:- 6:3"},
        {"SELECT group_concat(seq || ':' || coalesce(attachments, '-'), ' ') "
         "FROM messages_in_room WHERE room = 'lobby'",
         "1:3 2:- 3:1 6:3"},
        {"SELECT group_concat(number || ':' || bytes, ' ') FROM attachments WHERE seq = 1",
         "0:256 1:0 2:3"},
        {"SELECT group_concat(seq || ':' || bytes || ':' || length(data), ' ') FROM attachments "
         "WHERE seq > 1",
         "3:74565:74565 6:256:256 6:0:0 6:3:3"},
        {"SELECT hex(substr(data, 1, 3)) || hex(substr(data, 254)) FROM attachments "
         "WHERE seq = 1 AND number = 0",
         "000102FDFEFF"},
        {"SELECT CAST(data AS TEXT) FROM attachments WHERE seq = 6 AND number = 2", "xyz"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_string_equal(fixture_sql(&f, cases[i].sql), cases[i].answer);
    }
    free(large);
    fixture_done(&f);
}

/* ---- version 1 ---- */

static void test_a_file_of_version_1_is_read(void **state) {
    (void) state;
    struct fixture f;
    make_version_1(&f);
    fixture_open(&f);
    assert_true(f.message.len > 0); /* who runs it should know that there is no way back */
    assert_string_equal(fixture_sql(&f, "PRAGMA user_version"), "4");
    assert_string_equal(f.e->epoch, "epoch001");
    assert_int_equal(f.e->last_seq, 7);
    struct loaded *l = fixture_load(&f, 0);
    assert_int_equal(l->sessions_count, 1);
    assert_int_equal(l->sessions[0].gateway, 5);
    assert_int_equal(l->members_count, 1);
    assert_int_equal(l->records_count, 7);
    assert_int_equal(l->records[0]->f.kind, RP_RECORD_OPEN);
    assert_true(rp_bytes_eq_str(l->records[6]->f.args, "[{\"n\":4}]"));
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(l->records[i]->f.attachments.len, 0);
    }
    loaded_free(l);
    struct rp_engine_page *page = fixture_history(&f, "lobby", 0);
    assert_int_equal(page->records_count, 4);
    assert_int_equal(page->records[0]->seq, 3);
    rp_engine_page_free(page);
    fixture_done(&f);
}

static void test_a_file_of_version_1_is_written_to(void **state) {
    (void) state;
    struct fixture f;
    make_version_1(&f);
    fixture_open(&f);
    struct rp_record_fields event = binary_event("lobby");
    event.id = RP_BYTES_LIT("k"); /* which it has */
    fixture_append(&f, &event);
    fixture_expect_duplicate(&f, 6);
    event.id = rp_bytes(NULL, 0);
    assert_int_equal(fixture_put(&f, &event), 8);
    fixture_fill(&f, "lobby", 1);
    fixture_wait_indexed(&f, 1); /* the second segment, with old and new rows */
    fixture_reopen(&f);
    /* it is of the newest version now */
    assert_null(memmem(f.message.data, f.message.len, "version", strlen("version")));
    struct rp_engine_page *page = fixture_history(&f, "lobby", 0);
    assert_int_equal(page->records_count, 6);
    assert_true(rp_bytes_eq(page->records[4]->f.attachments, three()));
    rp_engine_page_free(page);
    assert_string_equal(fixture_sql(&f, "SELECT group_concat(seq || coalesce(attachments, '')) "
                                        "FROM messages_in_room WHERE room = 'lobby'"),
                        "3,4,6,7,83,9");
    fixture_done(&f);
}

/* Columns, indexes and views are those of a new file. */
static void test_an_upgraded_file_is_like_a_new_one(void **state) {
    (void) state;
    static const char layout[] =
        "SELECT group_concat(line, char(10)) FROM (SELECT m.name || ' ' || c.cid || ' ' || c.name "
        "|| ' ' || c.type || ' ' || c.\"notnull\" || ' ' || c.pk AS line FROM sqlite_master m, "
        "pragma_table_info(m.name) c WHERE m.type IN ('table', 'view') ORDER BY m.name, c.cid)";
    static const char views[] = "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_master "
                                "WHERE type IN ('view', 'index') ORDER BY name)";
    struct fixture old, new;
    make_version_1(&old);
    fixture_open(&old);
    fixture_init(&new);
    fixture_open(&new);
    const char *const asked[] = {layout, views};
    for (size_t i = 0; i < 2; i++) {
        char expected[16384];
        snprintf(expected, sizeof expected, "%s", fixture_sql(&new, asked[i]));
        assert_true(strlen(expected) > 1000);
        assert_string_equal(fixture_sql(&old, asked[i]), expected);
    }
    fixture_done(&old);
    fixture_done(&new);
}

/* It is done whole or not at all. */
static void test_an_upgrade_that_fails_changes_nothing(void **state) {
    (void) state;
    struct fixture f;
    make_version_1(&f);
    /* as if somebody had made room for it by hand */
    fixture_sql(&f, "ALTER TABLE event ADD COLUMN attachments TEXT");
    assert_int_equal(fixture_try_open(&f), RP_E_IO);
    f.e = NULL;
    assert_true(f.message.len > 0);
    assert_string_equal(fixture_sql(&f, "PRAGMA user_version"), "1");
    assert_string_equal(fixture_sql(&f, "SELECT count(*) FROM messages"), "5");
    fixture_done(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attachments_survive),
        cmocka_unit_test(test_large_attachments_count),
        cmocka_unit_test(test_changed_attachments_are_damage),
        cmocka_unit_test(test_people_see_attachments),
        cmocka_unit_test(test_a_file_of_version_1_is_read),
        cmocka_unit_test(test_a_file_of_version_1_is_written_to),
        cmocka_unit_test(test_an_upgraded_file_is_like_a_new_one),
        cmocka_unit_test(test_an_upgrade_that_fails_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
