/* tests/unit/test_engine_sqlite_faults.c — the SQLite engine when the world does not behave: wrong
 * files, locks, damage, SIGKILL, a full disk, a disk that fails; each by itself.
 * test_engine_sqlite_disk.c lets a disk fail at every point. */
#include "tests/unit/engine_sqlite_fixture.h"
#include "broker/sqlite_state.h"
#include "tests/vfs/faulty_vfs.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- a disk that fails when told to ---- */

static int set_up_vfs(void **state) {
    (void) state;
    return faulty_vfs_install();
}

static void fail_wal(unsigned op, int rc) {
    faulty_vfs_add((struct faulty_rule){.ops = op, .files = FAULTY_WAL, .rc = rc});
}

/* ---- wrong files ---- */

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void assert_refused(struct fixture *f, enum rp_err expected, const char *part) {
    enum rp_err err = fixture_try_open(f);
    assert_int_equal(err, expected);
    assert_int_equal(rp_buf_put(&f->message, rp_bytes("", 1)), RP_OK);
    if (strstr((char *) f->message.data, part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", (char *) f->message.data, part);
    }
}

static void test_foreign_files_are_refused_and_left_alone(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    write_file(f.path, "my shopping list, which is longer than a header");
    assert_refused(&f, RP_E_FOREIGN, "not a database of Reprise");
    assert_refused(&f, RP_E_FOREIGN, f.path);
    char content[64];
    FILE *file = fopen(f.path, "r");
    assert_non_null(fgets(content, sizeof content, file));
    fclose(file);
    assert_string_equal(content, "my shopping list, which is longer than a header");
    write_file(f.path, "short");
    assert_refused(&f, RP_E_FOREIGN, "not a database of Reprise");
    unlink(f.path);
    fixture_sql(&f, "CREATE TABLE mine (x); INSERT INTO mine VALUES (1)");
    assert_refused(&f, RP_E_FOREIGN, "not one of Reprise");
    fixture_sql(&f, "PRAGMA application_id = 7");
    assert_refused(&f, RP_E_FOREIGN, "not one of Reprise");
    assert_string_equal(fixture_sql(&f, "SELECT group_concat(name) FROM sqlite_master"), "mine");
    assert_string_equal(fixture_sql(&f, "PRAGMA journal_mode"), "delete");
    assert_refused(&f, RP_E_FOREIGN, "not one of Reprise");
    fixture_done(&f);
}

static void test_empty_file_becomes_a_log(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    write_file(f.path, "");
    fixture_open(&f);
    assert_int_equal(fixture_fill(&f, "r", 1), 1);
    fixture_done(&f);
}

static void test_newer_version_is_refused(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fixture_close(&f);
    fixture_sql(&f, "PRAGMA user_version = 5");
    assert_refused(&f, RP_E_VERSION, "schema version 5");
    fixture_sql(&f, "PRAGMA user_version = 4");
    fixture_open(&f);
    fixture_done(&f);
}

static void test_unwritable_places_are_refused(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    const char *path = f.options.path;
    f.options.path = "/nonexistent/folder/log.db";
    assert_refused(&f, RP_E_IO, "/nonexistent/folder/log.db.lock");
    f.options.path = "/proc/log.db"; /* a folder nobody can write to, root neither */
    assert_refused(&f, RP_E_IO, "/proc/log.db.lock");
    f.options.path = f.dir;
    assert_refused(&f, RP_E_IO, "is a folder");
    f.options.path = "/dev/null";
    assert_refused(&f, RP_E_IO, "device");
    f.options.path = "";
    assert_refused(&f, RP_E_INVALID, "--db");
    f.options.path = path;
    f.options.readers_count = 0;
    assert_refused(&f, RP_E_INVALID, "reader");
    f.options.readers_count = 1;
    fixture_open(&f);
    fixture_done(&f);
}

static void test_names_that_mean_something_to_sqlite_are_files(void **state) {
    (void) state;
    struct fixture f;
    char cwd[4096];
    fixture_init(&f);
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_int_equal(chdir(f.dir), 0);
    f.options.path = ":memory:";
    fixture_open(&f);
    fixture_fill(&f, "r", 3);
    fixture_reopen(&f);
    assert_int_equal(f.e->last_seq, 3);
    fixture_close(&f);
    assert_int_equal(access(":memory:", F_OK), 0);
    assert_int_equal(chdir(cwd), 0);
    fixture_done(&f);
}

/* One that was killed and is not quite gone. */
static void test_a_dying_broker_is_waited_for(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    char lock[128], byte = 0;
    int held[2];
    snprintf(lock, sizeof lock, "%s.lock", f.path);
    assert_int_equal(pipe(held), 0);
    pid_t dying = fork();
    assert_true(dying >= 0);
    if (dying == 0) {
        int fd = open(lock, O_RDWR | O_CREAT, 0644);
        bool ok = flock(fd, LOCK_EX) == 0 && write(held[1], "x", 1) == 1;
        usleep(100000);
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(read(held[0], &byte, 1), 1);
    fixture_open(&f);
    fixture_close(&f);
    int status;
    assert_int_equal(waitpid(dying, &status, 0), dying);
    assert_int_equal(status, 0);
    close(held[0]);
    close(held[1]);
    fixture_done(&f);
}

static void test_second_broker_is_kept_out(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fixture_fill(&f, "r", 3);
    char process[32];
    snprintf(process, sizeof process, "process %d", (int) getpid());
    struct rp_engine *first = f.e;
    assert_refused(&f, RP_E_LOCKED, process);
    char other_name[128];
    snprintf(other_name, sizeof other_name, "%s/link.db", f.dir);
    assert_int_equal(symlink(f.path, other_name), 0);
    f.options.path = other_name;
    assert_refused(&f, RP_E_LOCKED, "another broker");
    f.options.path = f.path;
    f.e = first;
    assert_string_equal(fixture_sql(&f, "SELECT count(*) FROM messages"),
                        "3"); /* people may read */
    assert_int_equal(fixture_fill(&f, "r", 1), 4);
    fixture_reopen(&f);
    fixture_done(&f);
}

/* The names are two, or the lock's file is gone: the file is one. */
static void test_second_broker_is_kept_from_the_file_itself(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fixture_fill(&f, "r", 3);
    struct rp_engine *first = f.e;
    char name[128];
    snprintf(name, sizeof name, "%s/hard.db", f.dir);
    assert_int_equal(link(f.path, name), 0);
    f.options.path = name;
    assert_refused(&f, RP_E_LOCKED, "under another name");
    f.options.path = f.path;
    snprintf(name, sizeof name, "%s.lock", f.path);
    assert_int_equal(unlink(name), 0);
    assert_refused(&f, RP_E_LOCKED, "another broker");
    f.e = first;
    assert_int_equal(fixture_fill(&f, "r", 1), 4);
    fixture_reopen(&f);
    fixture_done(&f);
}

/* ---- damage ---- */

static void test_damage_in_the_tail_is_found_at_open(void **state) {
    (void) state;
    static const struct {
        const char *sql, *part;
    } cases[] = {
        {"UPDATE event SET args = '[2]' WHERE seq = 90", "seq 90"},
        {"UPDATE event SET room = 'rm', name = 'sg' WHERE seq = 91", "seq 91"},
        {"UPDATE event SET ts = ts + 1 WHERE seq = 100", "seq 100"},
        {"UPDATE event SET seq = 101 WHERE seq = 100", "seq 101"},
        {"UPDATE event SET kind = 99 WHERE seq = 100", "seq 100"},
        {"UPDATE meta SET value = 5000 WHERE key = 'indexed_seq'", "meta"},
        {"UPDATE meta SET value = 5000 WHERE key = 'first_seq'", "meta"},
        {"DELETE FROM meta WHERE key = 'epoch'", "meta"},
        {"DELETE FROM meta WHERE key = 'segment_events'", "meta"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        fixture_init(&f);
        fixture_open(&f);
        fixture_fill(&f, "r", 100);
        fixture_close(&f);
        fixture_sql(&f, cases[i].sql);
        assert_refused(&f, RP_E_CORRUPT, cases[i].part);
        assert_refused(&f, RP_E_CORRUPT, "restore a backup");
        fixture_done(&f);
    }
}

static void test_damage_in_a_short_log_is_found_at_open(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fixture_fill(&f, "r", 3);
    fixture_close(&f);
    fixture_sql(&f, "UPDATE event SET name = 'x' WHERE seq = 1");
    assert_refused(&f, RP_E_CORRUPT, "seq 1 ");
    fixture_done(&f);
}

static void test_damaged_pages_are_found_at_open(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fixture_fill(&f, "r", 2000);
    fixture_close(&f);
    struct stat st;
    int fd = open(f.path, O_RDWR);
    assert_int_equal(fstat(fd, &st), 0);
    char noise[4096];
    memset(noise, 0xA5, sizeof noise);
    for (off_t at = 4096; at < st.st_size; at += 4096) { /* all but the first page */
        assert_int_equal(pwrite(fd, noise, sizeof noise, at), sizeof noise);
    }
    close(fd);
    assert_refused(&f, RP_E_CORRUPT, "restore a backup");
    fixture_done(&f);
}

static void expect_page_err(struct fixture *f, const char *room, enum rp_err err) {
    struct rp_engine_page *page = fixture_history(f, room, 0);
    assert_int_equal(page->err, err);
    assert_true(err == RP_OK ? page->records_count > 0 : page->records_count == 0);
    rp_engine_page_free(page);
}

static void test_damage_in_old_events_fails_the_read_only(void **state) {
    (void) state;
    static const char *const sqls[] = {
        "UPDATE event SET name = 'x' WHERE seq = 20",
        "DELETE FROM event WHERE seq = 20",
        "UPDATE room_index SET seqs = '[1,x]' WHERE room = 'bad'",
        "UPDATE room_index SET seqs = '[1,2' WHERE room = 'bad'",
        "UPDATE room_index SET seqs = '' WHERE room = 'bad'",
    };
    for (size_t i = 0; i < sizeof sqls / sizeof sqls[0]; i++) {
        struct fixture f;
        fixture_init(&f);
        fixture_open(&f);
        fixture_fill(&f, "bad", 30);
        fixture_fill(&f, "good", 300);
        fixture_wait_indexed(&f, 5);
        fixture_close(&f);
        fixture_sql(&f, sqls[i]);
        fixture_open(&f);
        expect_page_err(&f, "bad", RP_E_CORRUPT);
        expect_page_err(&f, "good", RP_OK);
        assert_int_equal(fixture_fill(&f, "r", 1), 331);
        fixture_done(&f);
    }
}

static void test_load_says_that_a_record_is_damaged(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fixture_fill(&f, "r", 200);
    fixture_close(&f);
    fixture_sql(&f, "UPDATE event SET name = 'x' WHERE seq = 20");
    fixture_open(&f);
    struct loaded *l = RP_NEW(struct loaded);
    struct rp_engine_loader loader = {
        .ctx = l, .session = loaded_session, .member = loaded_member, .record = loaded_record};
    assert_int_equal(f.e->ops->load(f.e, 0, &loader), RP_E_CORRUPT);
    assert_int_equal(l->records_count, 19);
    loaded_free(l);
    loaded_free(fixture_load(&f, 20));
    fixture_done(&f);
}

/* ---- SIGKILL ---- */

enum { CHILD_TELLS_MAX = 3000, CHILD_KEEPS = 4 * CHILD_TELLS_MAX };

struct told {
    uint64_t num, seq;
};

/* Appends without end and tells every commit; removes what is older than all a parent looks at. */
_Noreturn static void child_main(struct fixture *f, uint64_t num, int out) {
    if (fixture_try_open(f) != RP_OK) {
        _exit(1);
    }
    bool trimming = false;
    for (size_t sent = 0;;) {
        for (; sent < 200; sent++) {
            struct rp_record_fields event = fixture_event("r", "[]");
            event.num = num++;
            struct rp_record *r = rp_record_new(&event);
            if (f->e->ops->append(f->e, &r, 1) != RP_OK) {
                _exit(2);
            }
        }
        struct rp_engine_outcome outcomes[64];
        struct told told[64];
        size_t n = f->e->ops->poll(f->e, outcomes, 64), count = 0;
        for (size_t i = 0; i < n; i++) {
            if (outcomes[i].kind == RP_ENGINE_TRIMMED) {
                trimming = false;
                continue;
            }
            if (outcomes[i].kind != RP_ENGINE_COMMITTED) {
                _exit(3);
            }
            told[count++] = (struct told){.num = outcomes[i].record->f.num, .seq = outcomes[i].seq};
            rp_record_unref(outcomes[i].record);
        }
        sent -= count;
        if (count > 0 && write(out, told, count * sizeof told[0]) < 0) {
            _exit(4);
        }
        if (count > 0 && !trimming && told[count - 1].seq > CHILD_KEEPS) {
            trimming = f->e->ops->trim(f->e, told[count - 1].seq - CHILD_KEEPS, 0) == RP_OK;
        }
    }
}

/* Reads what a child tells until it has told enough, kills it, reads the rest. */
static size_t run_and_kill(struct fixture *f, uint64_t num, struct told *told, size_t told_max) {
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(pipe_fds[0]);
        child_main(f, num, pipe_fds[1]);
    }
    close(pipe_fds[1]);
    size_t bytes = 0, enough = (100 + rp_rng_below(&f->rng, CHILD_TELLS_MAX)) * sizeof *told;
    bool killed = false;
    for (ssize_t len;
         (len = read(pipe_fds[0], (char *) told + bytes, told_max * sizeof *told - bytes)) > 0;) {
        bytes += (size_t) len;
        if (bytes >= enough && !killed) {
            usleep((useconds_t) rp_rng_below(&f->rng, 2000));
            assert_int_equal(kill(pid, SIGKILL), 0);
            killed = true;
        }
    }
    close(pipe_fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(killed && WIFSIGNALED(status));
    return bytes / sizeof *told;
}

/* The room has all events that retention has left, wherever index, trim and tail stand. */
static void assert_whole_room(struct fixture *f) {
    struct rp_engine_page *page = fixture_history(f, "r", 0);
    uint64_t count =
        strtoull(fixture_sql(f, "SELECT count(*) FROM event WHERE kind = 1 AND seq > "
                                "coalesce((SELECT trimmed_seq FROM room WHERE room = 'r'), 0)"),
                 NULL, 10);
    assert_int_equal(page->err, RP_OK);
    assert_int_equal(page->records_count, count);
    assert_int_equal(page->truncated, page->records[0]->seq > 1);
    rp_engine_page_free(page);
}

static void test_killed_process_loses_nothing_it_told(void **state) {
    (void) state;
    enum { ROUNDS = 12, TOLD_MAX = 100000, NUM_STEP = 1000000 };
    struct fixture f;
    struct told *told = rp_alloc(TOLD_MAX * sizeof *told);
    uint64_t last = 0;
    fixture_init(&f);
    f.options.segment_events = 256; /* it dies while it indexes, too */
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        f.options.sync_full = round % 2;
        size_t count = run_and_kill(&f, round * NUM_STEP, told, TOLD_MAX);
        fixture_open(&f); /* nothing is locked any more */
        assert_int_equal(f.message.len, 0);
        struct loaded *l = fixture_load(&f, last);
        size_t at = 0;
        uint64_t num = round * NUM_STEP;
        for (size_t i = 0; i < l->records_count; i++) {
            const struct rp_record *r = l->records[i];
            assert_int_equal(r->f.num, num++); /* each once, in the order of the appends */
            if (at < count && told[at].seq == r->seq) {
                assert_int_equal(told[at].num, r->f.num);
                at++;
            }
        }
        assert_int_equal(at, count);
        assert_true(l->records_count > 0 && l->records[0]->seq > last);
        last = f.e->last_seq;
        loaded_free(l);
        assert_whole_room(&f);
        fixture_close(&f);
    }
    fixture_open(&f);
    assert_string_equal(fixture_sql(&f, "PRAGMA integrity_check"), "ok");
    assert_true(f.e->first_seq > 1);
    free(told);
    fixture_done(&f);
}

static void test_process_that_ends_after_trimming_all_keeps_its_place(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    pid_t pid = fork();
    if (pid == 0) {
        fixture_keep_for(&f, 1000);
        fixture_open(&f);
        fixture_fill(&f, "r", 128);
        fixture_wait_indexed(&f, 2);
        assert_int_equal(f.e->ops->trim(f.e, 128, 2000000000000), RP_OK);
        _exit(fixture_next(&f).seq == 128 ? 0 : 1); /* without closing */
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    fixture_open(&f);
    assert_string_equal(fixture_sql(&f, "SELECT count(*) FROM event"), "0");
    assert_int_equal(f.e->last_seq, 128);
    assert_int_equal(fixture_fill(&f, "r", 1), 129);
    fixture_done(&f);
}

/* ---- disks ---- */

static void expect_refused(struct fixture *f, size_t n, enum rp_err err) {
    for (size_t i = 0; i < n; i++) {
        struct rp_engine_outcome o = fixture_next(f);
        assert_int_equal(o.kind, RP_ENGINE_REFUSED);
        assert_int_equal(o.err, err);
        assert_int_equal(o.record->seq, 0);
        rp_record_unref(o.record);
    }
}

/* A newer kernel may know a file's time of birth, and the file is the same. */
static void test_a_file_without_a_time_of_birth_stays_the_same(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fixture_close(&f);
    fixture_sql(&f, "UPDATE meta SET value = substr(value, 1, instr(value, '.')) || '0.0' "
                    "WHERE key = 'file'");
    fixture_open(&f);
    assert_int_equal(f.message.len, 0);
    fixture_close(&f);
    fixture_sql(&f, "UPDATE meta SET value = '1' || substr(value, 1, instr(value, '.')) || '0.0' "
                    "WHERE key = 'file'");
    fixture_open(&f);
    assert_true(f.message.len > 0); /* a new epoch */
    fixture_done(&f);
}

/* Its WAL, lock and disk are those of the file that the link leads to. */
static void test_a_killed_log_is_found_behind_a_link(void **state) {
    (void) state;
    struct fixture f;
    char link[128];
    fixture_init(&f);
    snprintf(link, sizeof link, "%s/link", f.dir);
    fixture_open(&f);
    fixture_close(&f);
    assert_int_equal(symlink("log.db", link), 0);
    f.options.path = link;
    faulty_vfs_reset(1);
    fixture_open(&f);
    fixture_fill(&f, "r", 500);
    faulty_vfs_power_off();
    fixture_close(&f);
    faulty_vfs_power_on(FAULTY_CUT_KILL);
    fixture_open(&f);
    assert_int_equal(f.e->last_seq, 500);
    assert_int_equal(f.message.len, 0);
    fixture_done(&f);
}

static void test_full_disk_refuses_and_recovers(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    assert_int_equal(fixture_fill(&f, "r", 3), 3);
    fail_wal(FAULTY_WRITE, SQLITE_FULL);
    struct rp_record_fields event = fixture_event("r", "[1]");
    event.id = RP_BYTES_LIT("again");
    for (size_t i = 0; i < 200; i++) { /* it goes on for as long as the disk is full */
        fixture_append(&f, &event);
        expect_refused(&f, 1, RP_E_NO_SPACE);
    }
    struct rp_engine_page *page = fixture_history(&f, "r", 0); /* reading works */
    assert_int_equal(page->records_count, 3);
    rp_engine_page_free(page);
    assert_int_equal(f.e->ops->new_epoch(f.e, "aaaabbbb", 100), RP_E_NO_SPACE);
    faulty_vfs_mend();
    uint64_t seq = fixture_put(&f, &event); /* the refused ones are not in the log */
    assert_int_equal(seq, 4);               /* and have left no hole, by which --check goes */
    fixture_reopen(&f);
    struct loaded *l = fixture_load(&f, 0);
    assert_int_equal(l->records_count, 4);
    assert_int_equal(l->records[3]->seq, seq);
    loaded_free(l);
    fixture_done(&f);
}

static void test_full_disk_does_not_stop_index_and_trim_for_good(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fixture_fill(&f, "r", 200);
    fixture_wait_indexed(&f, 3);
    fail_wal(FAULTY_WRITE, SQLITE_FULL);
    assert_int_equal(f.e->ops->trim(f.e, 128, 0), RP_OK);
    usleep(20000);
    struct rp_engine_outcome o;
    assert_int_equal(f.e->ops->poll(f.e, &o, 1), 0);
    faulty_vfs_mend();
    o = fixture_next(&f); /* by itself, without an append */
    assert_int_equal(o.kind, RP_ENGINE_TRIMMED);
    assert_int_equal(o.seq, 128);
    fixture_done(&f);
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

/* The writer never finds an empty queue. */
static void test_a_busy_writer_tries_its_chores_again(void **state) {
    (void) state;
    enum { WAITING = 2 * RP_ENGINE_TRANSACTION_RECORDS };
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fixture_fill(&f, "r", 200);
    faulty_vfs_reset(1);
    faulty_vfs_add((struct faulty_rule){
        .ops = FAULTY_SYNC, .files = FAULTY_WAL, .rc = SQLITE_OK, .slow_us = 50000});
    faulty_vfs_add((struct faulty_rule){
        .ops = FAULTY_WRITE, .files = FAULTY_WAL, .times = 1, .rc = SQLITE_FULL});
    assert_int_equal(f.e->ops->trim(f.e, 128, 0), RP_OK);
    struct rp_record_fields event = fixture_event("r", "[1]");
    size_t waiting = 0;
    bool trimmed = false;
    uint64_t until_ms = now_ms() + WAIT_S * 1000 / 2;
    while (waiting > 0 || !trimmed) {
        for (; waiting < WAITING && !trimmed && now_ms() < until_ms; waiting++) {
            fixture_append(&f, &event);
        }
        assert_true(waiting > 0); /* else it was trimmed only when there was nothing else to do */
        struct rp_engine_outcome o = fixture_next(&f);
        trimmed = trimmed || o.kind == RP_ENGINE_TRIMMED;
        waiting -= o.record != NULL ? 1 : 0;
        rp_record_unref(o.record);
    }
    assert_true(faulty_vfs_broken() > 0);
    faulty_vfs_mend();
    fixture_done(&f);
}

static void expect_fatal(struct fixture *f) {
    struct rp_engine_outcome o = fixture_next(f);
    assert_int_equal(o.kind, RP_ENGINE_FATAL);
    assert_int_equal(o.err, RP_E_IO);
    struct rp_record_fields event = fixture_event("r", "[1]");
    fixture_append(f, &event); /* undecided for ever */
    usleep(10000);
    assert_int_equal(f->e->ops->poll(f->e, &o, 1), 0);
}

static void test_failing_sync_is_fatal(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fixture_fill(&f, "r", 3);
    fail_wal(FAULTY_SYNC, SQLITE_IOERR_FSYNC);
    struct rp_record_fields event = fixture_event("r", "[1]");
    fixture_append(&f, &event);
    expect_fatal(&f);
    fixture_close(&f);
    faulty_vfs_mend();
    fixture_open(&f);
    assert_in_range(f.e->last_seq, 3, 4); /* it was undecided */
    fixture_done(&f);
}

static void test_failing_write_is_fatal(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fixture_fill(&f, "r", 3);
    fail_wal(FAULTY_WRITE, SQLITE_IOERR_WRITE);
    struct rp_record_fields event = fixture_event("r", "[1]");
    fixture_append(&f, &event);
    expect_fatal(&f);
    faulty_vfs_mend();
    fixture_reopen(&f);
    assert_int_equal(f.e->last_seq, 3);
    assert_int_equal(fixture_fill(&f, "r", 1), 4);
    fixture_done(&f);
}

enum taken { TAKEN_FILE, TAKEN_WAL, TAKEN_FILE_REPLACED, TAKEN_BOTH_MOVED };

static void take_away(struct fixture *f, enum taken what) {
    char wal[128], other[160];
    snprintf(wal, sizeof wal, "%s-wal", f->path);
    snprintf(other, sizeof other, "%s.moved", f->path);
    switch (what) {
    case TAKEN_FILE:
        assert_int_equal(rename(f->path, other), 0);
        break;
    case TAKEN_WAL:
        assert_int_equal(unlink(wal), 0);
        break;
    case TAKEN_FILE_REPLACED:
        assert_int_equal(rename(f->path, other), 0);
        write_file(f->path, "of somebody else");
        break;
    case TAKEN_BOTH_MOVED:
        assert_int_equal(rename(f->path, other), 0);
        snprintf(other, sizeof other, "%s.moved-wal", f->path);
        assert_int_equal(rename(wal, other), 0);
        break;
    }
}

static void put_back(struct fixture *f, enum taken what) {
    char other[160];
    snprintf(other, sizeof other, "%s.moved", f->path);
    if (what != TAKEN_WAL) {
        assert_int_equal(rename(other, f->path), 0);
    }
}

/* What SQLite writes then nobody would find again: it is not told as committed, and what was told
 * before is whole in the file, whatever has become of the WAL. */
static void test_file_that_was_taken_away_is_fatal(void **state) {
    (void) state;
    for (enum taken what = TAKEN_FILE; what <= TAKEN_BOTH_MOVED; what++) {
        struct fixture f;
        char expected[128];
        fixture_init(&f);
        fixture_open(&f);
        fixture_fill(&f, "r", 3);
        take_away(&f, what);
        struct rp_record_fields event = fixture_event("r", "[1]");
        fixture_append(&f, &event);
        expect_fatal(&f);
        snprintf(expected, sizeof expected, "%s%s was %s", f.path, what == TAKEN_WAL ? "-wal" : "",
                 what == TAKEN_FILE_REPLACED ? "replaced" : "removed");
        assert_non_null(strstr(f.e->why, expected));
        fixture_close(&f);
        if (what == TAKEN_FILE_REPLACED) {
            char content[64] = "";
            FILE *file = fopen(f.path, "r");
            assert_non_null(fgets(content, sizeof content, file));
            fclose(file);
            assert_string_equal(content, "of somebody else");
        }
        put_back(&f, what);
        fixture_open(&f);
        assert_in_range(f.e->last_seq, 3, 4); /* it was undecided */
        assert_int_equal(f.message.len, 0);
        fixture_done(&f);
    }
}

/* A broker that has nothing to write does not notice. At its end what it told is whole in the file,
 * too, and what is at the WAL's name by then is left alone. */
static void test_file_that_was_taken_away_is_whole_at_the_end(void **state) {
    (void) state;
    for (enum taken what = TAKEN_FILE; what <= TAKEN_BOTH_MOVED; what++) {
        struct fixture f;
        char wal[128];
        fixture_init(&f);
        fixture_open(&f);
        fixture_fill(&f, "r", 3);
        take_away(&f, what);
        snprintf(wal, sizeof wal, "%s-wal", f.path);
        unlink(wal);
        write_file(wal, "of somebody else");
        fixture_close(&f);
        assert_int_equal(unlink(wal), 0);
        put_back(&f, what);
        fixture_open(&f);
        assert_int_equal(f.message.len, 0);
        assert_int_equal(f.e->last_seq, 3);
        fixture_done(&f);
    }
}

/* Whatever a person's shell does: the file and its WAL stay what they are. */
static void test_a_shell_takes_nothing_away(void **state) {
    (void) state;
    static const char *const sqls[] = {
        "SELECT count(*) FROM event",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA locking_mode = EXCLUSIVE; SELECT count(*) FROM event",
        "PRAGMA wal_checkpoint(RESTART)",
        "VACUUM",
        "PRAGMA journal_size_limit = 0; PRAGMA wal_checkpoint(TRUNCATE)",
    };
    struct fixture f;
    fixture_init(&f);
    f.options.checkpoint_frames = 20;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        fixture_open(&f);
        for (;;) {
            fixture_fill(&f, "r", 1 + rp_rng_below(&f.rng, 5));
        }
    }
    while (access(f.path, F_OK) < 0 || fixture_sql(&f, "PRAGMA user_version")[0] == '0') {
        usleep(10000);
    }
    for (size_t i = 0; i < 70; i++) {
        sqlite3 *db;
        assert_int_equal(sqlite3_open(f.path, &db), SQLITE_OK);
        sqlite3_busy_timeout(db, 100);
        (void) sqlite3_exec(db, sqls[i % (sizeof sqls / sizeof *sqls)], NULL, NULL, NULL);
        sqlite3_close(db);
        usleep(2000);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0); /* it is still there */
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    fixture_open(&f);
    assert_int_equal(f.message.len, 0);
    assert_true(f.e->last_seq > 100);
    fixture_done(&f);
}

static void test_log_that_is_gone_is_not_continued_in_silence(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    uint64_t last = fixture_fill(&f, "r", 3);
    fixture_close(&f);
    assert_int_equal(unlink(f.path), 0);
    fixture_open(&f);
    assert_int_equal(rp_buf_put(&f.message, rp_bytes("", 1)), RP_OK);
    assert_non_null(strstr((char *) f.message.data, "which is gone"));
    assert_true(f.e->last_seq > last);
    assert_true(fixture_fill(&f, "r", 1) > last);
    fixture_done(&f);
}

/* The disk was full when the new one was begun: it has a schema, and no more. */
static void test_log_that_is_gone_is_remembered_after_a_start_that_failed(void **state) {
    (void) state;
    struct fixture f;
    sqlite3 *db;
    fixture_init(&f);
    fixture_open(&f);
    uint64_t last = fixture_fill(&f, "r", 3);
    fixture_close(&f);
    assert_int_equal(unlink(f.path), 0);
    assert_int_equal(rp_sqlite_db_open(f.path, RP_SQLITE_WRITE, 100, &db), SQLITE_OK);
    assert_int_equal(rp_sqlite_exec(db, "PRAGMA auto_vacuum = INCREMENTAL"), SQLITE_OK);
    assert_int_equal(rp_sqlite_schema_upgrade(db, 0, 64), SQLITE_OK);
    sqlite3_close(db);
    fixture_open(&f);
    assert_int_equal(rp_buf_put(&f.message, rp_bytes("", 1)), RP_OK);
    assert_non_null(strstr((char *) f.message.data, "which is gone"));
    assert_true(fixture_fill(&f, "r", 1) > last);
    fixture_reopen(&f);
    assert_int_equal(f.message.len, 0);
    fixture_done(&f);
}

/* A transaction that spills its pages fails before COMMIT: nothing can have been written, so it is
 * refused; but not for ever. */
static void test_failing_writes_before_commit_are_refused_at_first(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fixture_fill(&f, "r", 3);
    size_t size = 60 << 20; /* more than the writer's cache */
    char *large = rp_alloc(size + 1);
    memset(large, 'x', size);
    struct rp_record_fields event = fixture_event("r", large);
    fail_wal(FAULTY_WRITE, SQLITE_IOERR_WRITE);
    for (int i = 0; i < 2; i++) {
        fixture_append(&f, &event);
        expect_refused(&f, 1, RP_E_IO);
    }
    fixture_append(&f, &event);
    expect_fatal(&f);
    faulty_vfs_mend();
    free(large);
    fixture_reopen(&f);
    assert_int_equal(f.e->last_seq, 3);
    fixture_done(&f);
}

static void test_lock_of_a_person_is_waited_for(void **state) {
    (void) state;
    struct fixture f;
    sqlite3 *db;
    fixture_init(&f);
    fixture_open(&f);
    assert_int_equal(sqlite3_open(f.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    struct rp_record_fields event = fixture_event("r", "[1]");
    fixture_append(&f, &event);
    usleep(50000);
    struct rp_engine_outcome o;
    assert_int_equal(f.e->ops->poll(f.e, &o, 1), 0);
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(fixture_expect_committed(&f, 1), 1);
    fixture_done(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_files_are_refused_and_left_alone),
        cmocka_unit_test(test_empty_file_becomes_a_log),
        cmocka_unit_test(test_newer_version_is_refused),
        cmocka_unit_test(test_unwritable_places_are_refused),
        cmocka_unit_test(test_names_that_mean_something_to_sqlite_are_files),
        cmocka_unit_test(test_a_dying_broker_is_waited_for),
        cmocka_unit_test(test_second_broker_is_kept_out),
        cmocka_unit_test(test_second_broker_is_kept_from_the_file_itself),
        cmocka_unit_test(test_damage_in_the_tail_is_found_at_open),
        cmocka_unit_test(test_damage_in_a_short_log_is_found_at_open),
        cmocka_unit_test(test_damaged_pages_are_found_at_open),
        cmocka_unit_test(test_damage_in_old_events_fails_the_read_only),
        cmocka_unit_test(test_load_says_that_a_record_is_damaged),
        cmocka_unit_test(test_killed_process_loses_nothing_it_told),
        cmocka_unit_test(test_process_that_ends_after_trimming_all_keeps_its_place),
        cmocka_unit_test(test_a_file_without_a_time_of_birth_stays_the_same),
        cmocka_unit_test(test_a_killed_log_is_found_behind_a_link),
        cmocka_unit_test(test_full_disk_refuses_and_recovers),
        cmocka_unit_test(test_full_disk_does_not_stop_index_and_trim_for_good),
        cmocka_unit_test(test_a_busy_writer_tries_its_chores_again),
        cmocka_unit_test(test_failing_sync_is_fatal),
        cmocka_unit_test(test_failing_write_is_fatal),
        cmocka_unit_test(test_file_that_was_taken_away_is_fatal),
        cmocka_unit_test(test_file_that_was_taken_away_is_whole_at_the_end),
        cmocka_unit_test(test_a_shell_takes_nothing_away),
        cmocka_unit_test(test_log_that_is_gone_is_not_continued_in_silence),
        cmocka_unit_test(test_log_that_is_gone_is_remembered_after_a_start_that_failed),
        cmocka_unit_test(test_failing_writes_before_commit_are_refused_at_first),
        cmocka_unit_test(test_lock_of_a_person_is_waited_for),
    };
    return cmocka_run_group_tests(tests, set_up_vfs, NULL);
}
