/* tests/unit/test_engine_sqlite_space.c — the SQLite engine and its disk: the file shrinks, the
 * whole log stays below its bytes, and past the budget or into the reserve events are refused,
 * while all else goes on, until there is room again. */
#include "tests/unit/engine_sqlite_fixture.h"

#include <sys/stat.h>

enum { KIB = 1 << 10, MIB = 1 << 20, EVENT_BYTES = 8 * KIB };

static char large[MIB + 1];

static int set_up(void **state) {
    (void) state;
    memset(large, 'x', MIB);
    return 0;
}

static struct rp_record_fields event_of(size_t size) {
    struct rp_record_fields event = fixture_event("r", "");
    event.args = rp_bytes(large, size);
    return event;
}

static void keep(struct fixture *f, struct rp_retention_limits whole) {
    rp_retention_free(f->retention);
    assert_int_equal(rp_retention_new(&whole, NULL, &f->retention), RP_OK);
    f->options.retention = f->retention;
}

static void begin(struct fixture *f) {
    fixture_init(f);
    f->options.sync_full = false;
    keep(f, RP_RETENTION_UNLIMITED);
}

static struct rp_engine_sqlite_stats stats_of(struct fixture *f) {
    struct rp_engine_sqlite_stats stats;
    rp_engine_sqlite_stats(f->e, &stats);
    return stats;
}

static enum rp_engine_outcome_kind try_put(struct fixture *f, const struct rp_record_fields *r,
                                           enum rp_err *ret_err) {
    fixture_append(f, r);
    struct rp_engine_outcome o = fixture_next(f);
    *ret_err = o.err;
    rp_record_unref(o.record);
    return o.kind;
}

static size_t fill(struct fixture *f, size_t size, size_t count) {
    struct rp_record_fields event = event_of(size);
    size_t committed = 0;
    for (size_t i = 0; i < count; i++) {
        enum rp_err err;
        if (try_put(f, &event, &err) == RP_ENGINE_COMMITTED) {
            committed++;
        } else {
            assert_int_equal(err, RP_E_NO_SPACE);
        }
    }
    return committed;
}

/* The round is asked for until the disk knows of it. */
static uint64_t round_at(struct fixture *f, uint64_t wall_ms) {
    assert_int_equal(f->e->ops->trim(f->e, UINT64_MAX, wall_ms), RP_OK);
    struct rp_engine_outcome o = fixture_next(f);
    assert_int_equal(o.kind, RP_ENGINE_TRIMMED);
    return o.seq;
}

/* Puts until it is taken again. */
static void wait_for_room(struct fixture *f) {
    struct rp_record_fields event = event_of(10);
    enum rp_err err;
    for (int i = 0; i < WAIT_S * 100; i++) {
        if (try_put(f, &event, &err) == RP_ENGINE_COMMITTED) {
            return;
        }
        usleep(10000);
    }
    fail_msg("events are refused though there is room");
}

/* ---- shrinking ---- */

static void test_the_file_shrinks(void **state) {
    (void) state;
    struct fixture f;
    begin(&f);
    fixture_keep_for(&f, 1000);
    fixture_open(&f);
    assert_int_equal(fill(&f, EVENT_BYTES, 3000), 3000); /* 24 MB */
    uint64_t pages = strtoull(fixture_sql(&f, "PRAGMA page_count"), NULL, 10);
    assert_true(pages > 5000);
    assert_int_equal(round_at(&f, 2000000000000), 3000);
    for (int i = 0; i < WAIT_S * 100 && pages > 1200; i++) { /* a slack of 1024 stays */
        usleep(10000);
        pages = strtoull(fixture_sql(&f, "PRAGMA page_count"), NULL, 10);
    }
    assert_true(pages <= 1200);
    assert_true(stats_of(&f).pages_vacuumed > 4000);
    assert_int_equal(fill(&f, EVENT_BYTES, 10), 10);
    fixture_reopen(&f);
    struct stat st;
    assert_int_equal(stat(f.path, &st), 0);
    assert_true(st.st_size <= 1300 * 4096);
    assert_string_equal(fixture_sql(&f, "PRAGMA integrity_check"), "ok");
    fixture_done(&f);
}

static void test_a_file_that_cannot_shrink_says_so(void **state) {
    (void) state;
    struct fixture f;
    begin(&f);
    fixture_open(&f);
    fixture_close(&f);
    fixture_sql(&f, "PRAGMA auto_vacuum = NONE; VACUUM");
    assert_string_equal(fixture_sql(&f, "PRAGMA auto_vacuum"), "0");
    fixture_open(&f);
    assert_int_equal(f.message.len, 0); /* nothing is removed */
    fixture_close(&f);
    fixture_keep_for(&f, 1000);
    fixture_open(&f);
    (void) !rp_buf_put(&f.message, rp_bytes("", 1));
    assert_non_null(strstr((char *) f.message.data, "cannot shrink"));
    fill(&f, EVENT_BYTES, 2000);
    round_at(&f, 2000000000000);
    assert_int_equal(stats_of(&f).pages_vacuumed, 0);
    fixture_close(&f);
    fixture_sql(&f, "PRAGMA auto_vacuum = INCREMENTAL; VACUUM"); /* as it is told */
    fixture_open(&f);
    assert_int_equal(f.message.len, 0);
    assert_int_equal(fixture_fill(&f, "r", 1), 2001);
    fixture_done(&f);
}

/* ---- the whole log's bytes ---- */

static void test_the_whole_log_stays_below_its_bytes(void **state) {
    (void) state;
    struct rp_retention_limits whole = RP_RETENTION_UNLIMITED;
    struct fixture f;
    begin(&f);
    whole.bytes = 4 * MIB;
    keep(&f, whole);
    fixture_open(&f);
    uint64_t end = 0;
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(fill(&f, EVENT_BYTES, 100), 100);
        uint64_t trimmed = round_at(&f, 0);
        assert_true(trimmed >= end);
        end = trimmed;
        uint64_t used = strtoull(fixture_sql(&f, "SELECT 4096 * ((SELECT page_count FROM "
                                                 "pragma_page_count) - (SELECT freelist_count "
                                                 "FROM pragma_freelist_count))"),
                                 NULL, 10);
        assert_true(used <= 4 * MIB && (i < 8 || used > 2 * MIB)); /* and no more than has to go */
    }
    assert_true(end > 1000);
    struct rp_engine_page *page = fixture_history(&f, "r", 0);
    assert_true(page->truncated && page->records[0]->seq == end + 1);
    assert_int_equal(page->records_count, 2000 - end);
    rp_engine_page_free(page);
    fixture_done(&f);
}

/* ---- budget ---- */

static void test_past_the_budget_events_are_refused(void **state) {
    (void) state;
    struct fixture f;
    enum rp_err err;
    begin(&f);
    fixture_keep_for(&f, 1000);
    f.options.budget_bytes = 4 * MIB;
    fixture_open(&f);
    struct rp_record_fields once = event_of(100);
    once.id = RP_BYTES_LIT("once");
    assert_int_equal(fixture_put(&f, &once), 1);
    size_t committed = 0;
    for (size_t i = 0; i < 1000 && stats_of(&f).no_space == 0; i++) {
        committed += fill(&f, EVENT_BYTES, 20);
        usleep(10000); /* it is looked at a few times a second */
    }
    struct rp_engine_sqlite_stats stats = stats_of(&f);
    assert_int_equal(stats.no_space, 1);
    assert_true(stats.used_bytes > 4 * MIB && stats.used_bytes < 8 * MIB);
    assert_true(stats.free_bytes > 0 && committed > 100);
    for (size_t i = 0; i < 100; i++) { /* sessions come and go, events are refused in between */
        struct rp_record_fields close = {.kind = RP_RECORD_GONE, .ts_ms = 5, .aux = 9};
        assert_int_equal(try_put(&f, &close, &err), RP_ENGINE_COMMITTED);
        struct rp_record_fields event = event_of(1);
        assert_int_equal(try_put(&f, &event, &err), RP_ENGINE_REFUSED);
        assert_int_equal(err, RP_E_NO_SPACE);
    }
    assert_int_equal(try_put(&f, &once, &err), RP_ENGINE_DUPLICATE); /* a retry is answered */
    assert_true(stats_of(&f).refused_no_space >= 100);
    assert_int_equal(stats_of(&f).refused, stats_of(&f).refused_no_space);
    struct rp_engine_page *page = fixture_history(&f, "r", 1); /* reading works */
    assert_int_equal(page->records_count, committed);
    rp_engine_page_free(page);
    fixture_reopen(&f); /* it is over budget from the start */
    assert_int_equal(fill(&f, 1, 3), 0);
    round_at(&f, 2000000000000);
    wait_for_room(&f);
    assert_int_equal(stats_of(&f).no_space, 0);
    assert_int_equal(fill(&f, 1, 50), 50);
    fixture_done(&f);
}

static void test_far_past_the_budget_nothing_is_taken(void **state) {
    (void) state;
    struct fixture f;
    enum rp_err err;
    begin(&f);
    f.options.budget_bytes = MIB;
    fixture_open(&f);
    struct rp_record_fields data = {
        .kind = RP_RECORD_DATA, .ts_ms = 5, .session = 1, .args = rp_bytes(large, MIB)};
    size_t taken = 0;
    for (size_t i = 0; i < 200; i++, usleep(10000)) {
        if (try_put(&f, &data, &err) != RP_ENGINE_COMMITTED) {
            break;
        }
        taken++;
    }
    assert_int_equal(err, RP_E_NO_SPACE);
    assert_true(taken > 14 && taken < 60);
    fixture_done(&f);
}

static sqlite3 *begin_to_read(struct fixture *f) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM event", NULL, NULL, NULL),
                     SQLITE_OK);
    return db;
}

static uint64_t bytes_of_wal(struct fixture *f) {
    char name[128];
    struct stat st;
    snprintf(name, sizeof name, "%s-wal", f->path);
    assert_int_equal(stat(name, &st), 0);
    return (uint64_t) st.st_size;
}

static void test_the_file_shrinks_when_nobody_reads_an_old_state(void **state) {
    (void) state;
    struct fixture f;
    begin(&f);
    fixture_keep_for(&f, 1000);
    fixture_open(&f);
    assert_int_equal(fill(&f, 1, 1), 1);
    sqlite3 *reader = begin_to_read(&f);
    assert_int_equal(fill(&f, MIB, 70), 70);
    round_at(&f, 2000000000000);
    usleep(500000);
    round_at(&f, 2000000000000);
    assert_int_equal(stats_of(&f).pages_vacuumed, 0); /* the WAL would have them */
    assert_true(bytes_of_wal(&f) > 70 * MIB);
    sqlite3_close(reader);
    for (int i = 0; i < WAIT_S * 10 && stats_of(&f).pages_vacuumed < 15000; i++) {
        usleep(100000); /* and nobody writes */
    }
    assert_true(stats_of(&f).pages_vacuumed >= 15000);
    fixture_done(&f);
}

/* Somebody reads an old state, so that the WAL grows until it is what takes the room. */
static void test_a_long_read_that_ends_gives_the_budget_back(void **state) {
    (void) state;
    struct fixture f;
    begin(&f);
    fixture_keep_for(&f, 1000);
    f.options.budget_bytes = 24 * MIB;
    fixture_open(&f);
    assert_int_equal(fill(&f, 1, 1), 1);
    sqlite3 *reader = begin_to_read(&f);
    for (size_t i = 0; i < 100 && stats_of(&f).no_space == 0; i++) {
        fill(&f, MIB, 4);
        round_at(&f, 2000000000000);
        usleep(10000);
    }
    round_at(&f, 2000000000000);
    usleep(500000);
    assert_int_equal(fill(&f, 1, 3), 0);
    assert_true(stats_of(&f).wal_bytes > 64 * MIB);
    sqlite3_close(reader);
    wait_for_room(&f);
    assert_true(bytes_of_wal(&f) < 16 * MIB); /* its disk has it back, too */
    assert_int_equal(fill(&f, 1, 50), 50);
    fixture_done(&f);
}

static void test_the_reserve_of_the_disk_stays(void **state) {
    (void) state;
    struct fixture f;
    begin(&f);
    f.options.reserve_bytes = UINT64_MAX / 2; /* no disk has it */
    fixture_open(&f);
    assert_int_equal(fill(&f, 1, 3), 0);
    struct rp_record_fields gone = {.kind = RP_RECORD_GONE, .ts_ms = 5, .aux = 9};
    fixture_put(&f, &gone);
    fixture_close(&f);
    f.options.reserve_bytes = 1;
    fixture_open(&f);
    assert_int_equal(fill(&f, 1, 3), 3);
    fixture_done(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_file_shrinks),
        cmocka_unit_test(test_a_file_that_cannot_shrink_says_so),
        cmocka_unit_test(test_the_whole_log_stays_below_its_bytes),
        cmocka_unit_test(test_past_the_budget_events_are_refused),
        cmocka_unit_test(test_far_past_the_budget_nothing_is_taken),
        cmocka_unit_test(test_the_file_shrinks_when_nobody_reads_an_old_state),
        cmocka_unit_test(test_a_long_read_that_ends_gives_the_budget_back),
        cmocka_unit_test(test_the_reserve_of_the_disk_stays),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
