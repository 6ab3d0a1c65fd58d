/* tests/unit/test_engine_sqlite_disk.c — the SQLite engine on a disk that fails, at every point: a
 * history of records is played with the first operation failing, then with the second, until one is
 * played without a failure. Each ends in one of three ways — the log is closed, the process is
 * killed, the power fails — and is then opened again and held against what the engine had told. */
#include "tests/unit/disk_fixture.h"

enum { HISTORY = 4, CHECKPOINTS = 2, AFTER = 12, POINTS_MAX = 4000 };

enum end { END_CLOSE, END_KILL, END_POWER, ENDS };

struct kind {
    struct faulty_rule rule;
    enum {
        TRANSIENT, /* refused while it lasts, and goes on by itself */
        FATAL,     /* at the first */
        EITHER,    /* refused first, given up later; or a read that fails */
    } meaning;
    enum rp_err err; /* of the outcomes */
};

/* After FATAL the disk is left alone: by what comes, and by closing. */
static void assert_silent(struct disk_run *d) {
    const unsigned changes = FAULTY_WRITE | FAULTY_SYNC | FAULTY_TRUNCATE | FAULTY_DELETE;
    faulty_vfs_mend(); /* nothing would stop it */
    uint64_t count = faulty_vfs_count(changes, FAULTY_FILE_ANY);
    disk_append(d, disk_record(d, d->count));
    d->waiting = 0;
    usleep(500);
    struct rp_engine_outcome o;
    assert_int_equal(d->f.e->ops->poll(d->f.e, &o, 1), 0);
    assert_true(d->f.e->why[0] != '\0');
    assert_int_equal(d->f.e->ops->trim(d->f.e, 0, 0), RP_OK);
    fixture_close(&d->f);
    assert_int_equal(faulty_vfs_count(changes, FAULTY_FILE_ANY), count);
}

static void finish(struct disk_run *d, enum end end) {
    if (d->fatal && end == END_CLOSE) {
        assert_silent(d);
    } else if (end == END_CLOSE) {
        fixture_close(&d->f);
    } else {
        faulty_vfs_power_off();
        disk_drain(d);
        fixture_close(&d->f);
        faulty_vfs_power_on(end == END_KILL ? FAULTY_CUT_KILL : FAULTY_CUT_POWER);
    }
}

static void assert_meaning(struct disk_run *d, const struct kind *kind, uint64_t broken) {
    if (kind->meaning == TRANSIENT) {
        assert_false(d->fatal);
        assert_true(d->refused == 0 || d->refused_err == kind->err);
    } else if (kind->meaning == FATAL && broken > 0) {
        d->waiting = !d->fatal; /* the checkpointer's takes a moment */
        disk_wait(d);
        assert_int_equal(d->refused, 0);
    }
    if (d->fatal && kind->meaning == FATAL) {
        assert_int_equal(d->fatal_err, kind->err);
        assert_non_null(strstr(d->f.e->why, "fsync"));
    }
}

/* One run with the point-th operation failing. False: there is no such operation. */
static bool run(const struct kind *kind, uint64_t point, uint64_t seed) {
    struct disk_run d;
    struct faulty_rule rule = kind->rule;
    enum end end = (enum end)(seed % ENDS);
    disk_begin(&d);
    faulty_vfs_reset(seed);
    rule.from = point;
    faulty_vfs_add(rule);
    enum rp_err err = fixture_try_open(&d.f);
    bool broke;
    if (err == RP_OK) {
        disk_play(&d, HISTORY);
        disk_play_checkpoints(&d, CHECKPOINTS);
        broke = faulty_vfs_broken() > 0;
        assert_meaning(&d, kind, faulty_vfs_broken());
        if (kind->meaning == TRANSIENT && rule.times > 0) {
            d.refused = 0; /* it goes on by itself */
            faulty_vfs_mend();
            disk_play(&d, AFTER);
            assert_int_equal(d.refused, 0);
        }
        finish(&d, end);
    } else { /* refused in words, and nothing is lost */
        broke = true;
        assert_true(faulty_vfs_broken() > 0 && d.f.message.len > 0);
    }
    if (seed % 2 == 0) {
        d.f.options.checkpoint_frames = 0; /* so that it all stays in the WAL */
    }
    disk_check(&d, false);
    d.refused = 0;
    disk_play(&d, AFTER); /* the log goes on; what it tells now is as true */
    assert_true(d.refused == 0 && !d.fatal);
    finish(&d, END_POWER);
    disk_check(&d, false);
    disk_done(&d);
    return broke;
}

static void run_everywhere(const struct kind *kind) {
    uint64_t point = 1;
    while (run(kind, point, point * 7 + (uint64_t) kind->rule.rc)) {
        point++;
        assert_true(point < POINTS_MAX);
    }
    assert_true(point > 2); /* it happened */
}

static void test_full_disk_at_every_write_of_the_wal(void **state) {
    (void) state;
    run_everywhere(&(struct kind){
        .rule = {.ops = FAULTY_WRITE, .files = FAULTY_WAL, .times = 1, .rc = SQLITE_FULL},
        .meaning = TRANSIENT,
        .err = RP_E_NO_SPACE});
}

static void test_full_disk_that_takes_a_part_of_every_write(void **state) {
    (void) state;
    run_everywhere(&(struct kind){
        .rule =
            {.ops = FAULTY_WRITE, .files = FAULTY_WAL, .times = 3, .torn = true, .rc = SQLITE_FULL},
        .meaning = TRANSIENT,
        .err = RP_E_NO_SPACE});
}

static void test_full_disk_that_stays_full(void **state) {
    (void) state;
    run_everywhere(&(struct kind){
        .rule = {.ops = FAULTY_WRITE, .files = FAULTY_WAL | FAULTY_DB, .rc = SQLITE_FULL},
        .meaning = TRANSIENT,
        .err = RP_E_NO_SPACE});
}

static void test_full_disk_when_the_wal_is_copied_back(void **state) {
    (void) state;
    run_everywhere(&(struct kind){
        .rule = {.ops = FAULTY_WRITE, .files = FAULTY_DB, .times = 2, .rc = SQLITE_FULL},
        .meaning = TRANSIENT,
        .err = RP_E_NO_SPACE});
}

static void test_failing_sync_of_the_wal(void **state) {
    (void) state;
    run_everywhere(&(struct kind){
        .rule = {.ops = FAULTY_SYNC, .files = FAULTY_WAL, .times = 1, .rc = SQLITE_IOERR_FSYNC},
        .meaning = FATAL,
        .err = RP_E_IO});
}

static void test_failing_sync_of_the_file(void **state) {
    (void) state;
    run_everywhere(&(struct kind){
        .rule = {.ops = FAULTY_SYNC, .files = FAULTY_DB, .times = 1, .rc = SQLITE_IOERR_FSYNC},
        .meaning = FATAL,
        .err = RP_E_IO});
}

static void test_failing_writes(void **state) {
    (void) state;
    static const struct faulty_rule rules[] = {
        {.ops = FAULTY_WRITE, .files = FAULTY_WAL, .times = 1, .rc = SQLITE_IOERR_WRITE},
        {.ops = FAULTY_WRITE, .files = FAULTY_WAL, .torn = true, .rc = SQLITE_IOERR_WRITE},
        {.ops = FAULTY_WRITE, .files = FAULTY_DB, .times = 1, .rc = SQLITE_IOERR_WRITE},
        {.ops = FAULTY_WRITE, .files = FAULTY_DB, .torn = true, .rc = SQLITE_IOERR_WRITE},
        {.ops = FAULTY_WRITE | FAULTY_TRUNCATE, .files = FAULTY_FILE_ANY, .rc = SQLITE_READONLY},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        run_everywhere(&(struct kind){.rule = rules[i], .meaning = EITHER});
    }
}

static void test_failing_reads(void **state) {
    (void) state;
    static const struct faulty_rule rules[] = {
        {.ops = FAULTY_READ, .files = FAULTY_DB, .times = 1, .rc = SQLITE_IOERR_READ},
        {.ops = FAULTY_READ, .files = FAULTY_WAL, .times = 1, .rc = SQLITE_IOERR_READ},
        {.ops = FAULTY_READ, .files = FAULTY_FILE_ANY, .rc = SQLITE_IOERR_READ},
        {.ops = FAULTY_OPEN | FAULTY_SHM_MAP | FAULTY_TRUNCATE | FAULTY_DELETE,
         .files = FAULTY_FILE_ANY,
         .times = 1,
         .rc = SQLITE_IOERR},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        run_everywhere(&(struct kind){.rule = rules[i], .meaning = EITHER});
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_disk_at_every_write_of_the_wal),
        cmocka_unit_test(test_full_disk_that_takes_a_part_of_every_write),
        cmocka_unit_test(test_full_disk_that_stays_full),
        cmocka_unit_test(test_full_disk_when_the_wal_is_copied_back),
        cmocka_unit_test(test_failing_sync_of_the_wal),
        cmocka_unit_test(test_failing_sync_of_the_file),
        cmocka_unit_test(test_failing_writes),
        cmocka_unit_test(test_failing_reads),
    };
    return cmocka_run_group_tests(tests, disk_set_up, disk_tear_down);
}
