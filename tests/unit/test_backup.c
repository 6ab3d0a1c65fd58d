/* tests/unit/test_backup.c — copies of a log through the library: what is in them, and what the
 * engine makes of one that was restored, or put in its place by hand. */
#include "tests/unit/engine_sqlite_fixture.h"

#include "broker/backup.h"

#include <fcntl.h>
#include <sys/stat.h>

static void ignore(void *ctx, enum rp_check_kind kind, const char *text) {
    (void) ctx;
    (void) kind;
    (void) text;
}

static char copy_path[128], why[4096];

static struct rp_backup_result result;

static enum rp_err copy(struct fixture *f, bool restore) {
    const struct rp_backup_options options = {.db = f->path,
                                              .file = copy_path,
                                              .wall_ms = 1700000000123,
                                              .findings_max = 1,
                                              .tell = ignore};
    struct rp_buf message;
    rp_buf_init(&message, sizeof why - 1);
    enum rp_err err = restore ? rp_backup_restore(&options, &message, &result)
                              : rp_backup_make(&options, &message, &result);
    snprintf(why, sizeof why, "%.*s", RP_BYTES_FMT(rp_buf_bytes(&message)));
    assert_int_equal(err == RP_OK, why[0] == '\0');
    rp_buf_done(&message);
    return err;
}

static void begin(struct fixture *f) {
    fixture_init(f);
    snprintf(copy_path, sizeof copy_path, "%s/copy.db", f->dir);
    fixture_open(f);
}

static void move_away(struct fixture *f) {
    char name[160];
    snprintf(name, sizeof name, "%s/old.db", f->dir);
    assert_int_equal(rename(f->path, name), 0);
}

static void trim(struct fixture *f, uint64_t upto) {
    struct rp_engine_outcome o;
    assert_int_equal(f->e->ops->trim(f->e, upto, 1700000000123), RP_OK);
    do {
        o = fixture_next(f);
        free(o.border);
    } while (o.kind == RP_ENGINE_BORDER);
    assert_int_equal(o.kind, RP_ENGINE_TRIMMED);
}

static size_t history_count(struct fixture *f) {
    struct rp_engine_page *page = fixture_history(f, "r", 0);
    assert_int_equal(page->err, RP_OK);
    size_t count = page->records_count;
    rp_engine_page_free(page);
    return count;
}

/* Retention counts what is there, not the seqs that were jumped over. */
static void test_what_was_restored_is_kept_as_before(void **state) {
    (void) state;
    struct fixture f;
    struct rp_retention *retention;
    const struct rp_retention_limits whole = {
        .age_ms = UINT64_MAX, .events = 150, .bytes = UINT64_MAX};
    assert_int_equal(rp_retention_new(&whole, "", &retention), RP_OK);
    begin(&f);
    f.options.retention = retention;
    fixture_reopen(&f);
    fixture_fill(&f, "r", 100);
    for (int i = 0; i < 3; i++) { /* also over several gaps */
        assert_int_equal(copy(&f, false), RP_OK);
        assert_int_equal(result.next_seq, f.e->last_seq + 1 + (i == 0 ? 100 : 0));
        fixture_close(&f);
        move_away(&f);
        assert_int_equal(copy(&f, true), RP_OK);
        assert_int_equal(result.copied_ts_ms, 1700000000123);
        unlink(copy_path);
        fixture_open(&f);
        assert_int_equal(f.message.len, 0);
        assert_string_equal(f.e->epoch, result.epoch);
        assert_true(f.e->last_seq >= (uint64_t) (i + 1) * RP_SEQ_JUMP);
        trim(&f, f.e->last_seq);
        assert_int_equal(history_count(&f), 100);
    }
    uint64_t last = fixture_fill(&f, "r", 80);
    trim(&f, last);
    assert_int_equal(history_count(&f), 150);
    last = fixture_fill(&f, "r", 200);
    trim(&f, last);
    assert_int_equal(history_count(&f), 150);
    fixture_done(&f);
    rp_retention_free(retention);
}

/* Nothing is written over, and nothing is left behind. */
static void test_what_cannot_be_done_leaves_nothing(void **state) {
    (void) state;
    struct fixture f;
    struct stat st;
    char temporary[160];
    begin(&f);
    fixture_fill(&f, "r", 10);
    snprintf(temporary, sizeof temporary, "%s.tmp", copy_path);
    int fd = open(temporary, O_RDWR | O_CREAT, 0600); /* of a backup that was cut off */
    assert_int_equal(write(fd, "half", 4), 4);
    close(fd);
    assert_int_equal(copy(&f, false), RP_OK);
    assert_int_equal(stat(temporary, &st), -1);
    assert_int_equal(copy(&f, false), RP_E_LOCKED);
    assert_int_equal(copy(&f, true), RP_E_LOCKED); /* a broker has it */
    fixture_close(&f);
    assert_int_equal(copy(&f, true), RP_E_LOCKED); /* it is there */
    move_away(&f);
    assert_int_equal(truncate(copy_path, 20000), 0);
    enum rp_err err = copy(&f, true);
    assert_true(err == RP_E_CORRUPT || err == RP_E_IO);
    assert_int_equal(stat(f.path, &st), -1);
    unlink(copy_path);
    assert_int_equal(copy(&f, true), RP_E_NOT_FOUND);
    fd = open(copy_path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(write(fd, "my shopping list, which is longer", 33), 33);
    close(fd);
    assert_int_equal(copy(&f, true), RP_E_FOREIGN);
    assert_int_equal(stat(f.path, &st), -1);
    fixture_done(&f);
}

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct rp_check_result check(const struct fixture *f) {
    const struct rp_check_options options = {.path = f->path, .findings_max = 1, .tell = ignore};
    struct rp_check_result found;
    struct rp_buf message;
    rp_buf_init(&message, sizeof why - 1);
    assert_int_equal(rp_check_file(&options, &message, &found), RP_OK);
    rp_buf_done(&message);
    return found;
}

/* The log that it is of has gone on, as the lock file says, and nothing is missing from it. */
static void test_a_backup_in_the_place_of_its_log_is_sound(void **state) {
    (void) state;
    struct fixture f;
    begin(&f);
    fixture_fill(&f, "r", 10);
    assert_int_equal(copy(&f, false), RP_OK);
    fixture_fill(&f, "r", 10);
    fixture_close(&f);
    move_away(&f);
    assert_int_equal(rename(copy_path, f.path), 0);
    struct rp_check_result found = check(&f);
    assert_int_equal(found.damages, 0);
    assert_int_equal(found.records, 10);
    fixture_open(&f);
    assert_true(f.message.len > 0);
    assert_int_equal(check(&f).damages, 0);
    fixture_done(&f);
}

/* Whatever the lock file says, the log is opened; only what it says clearly counts. */
static void test_lock_files_of_any_kind_are_read(void **state) {
    (void) state;
    static const struct {
        const char *text; /* after the first line; %s is the epoch */
        bool renewed;
    } cases[] = {
        {"", false},
        {"\n", false},
        {"%s 5 1.1.1\n", false},
        {"%s 12 1.1.1\n", true},
        {"%s 12\n", true},
        {"%s 99999999999999999999999999 1.1.1\n", false},
        {"%s -7 1.1.1\n", false},
        {"%s\n", false},
        {"otherone 5 1.1.1\n", false}, /* another file's */
        {"short 500 1.1.1\n", false},
        {"muchtoolongforanepoch 500 1.1.1\n", false},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        char path[128], text[256], mark[200];
        begin(&f);
        fixture_fill(&f, "r", 10);
        snprintf(mark, sizeof mark, cases[i].text, f.e->epoch);
        snprintf(text, sizeof text, "123\n%s", mark);
        fixture_close(&f);
        snprintf(path, sizeof path, "%s.lock", f.path);
        write_text(path, text);
        fixture_open(&f);
        if ((f.message.len > 0) != cases[i].renewed) {
            fail_msg("\"%s\": %.*s", mark, RP_BYTES_FMT(rp_buf_bytes(&f.message)));
        }
        fixture_reopen(&f); /* once is enough */
        assert_int_equal(f.message.len, 0);
        fixture_done(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_restored_is_kept_as_before),
        cmocka_unit_test(test_what_cannot_be_done_leaves_nothing),
        cmocka_unit_test(test_a_backup_in_the_place_of_its_log_is_sound),
        cmocka_unit_test(test_lock_files_of_any_kind_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
