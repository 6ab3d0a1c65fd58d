/* tests/unit/engine_sqlite_fixture.h — a SQLite engine in a folder of its own, driven as the loop
 * drives it: append, wait for the wake-up, poll. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker/engine_sqlite.h"
#include "common/alloc.h"
#include "common/assert.h"
#include "common/limits.h"
#include "common/rng.h"

#include <errno.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_S = 60 }; /* for what comes at once; only a failing test waits so long */

struct fixture {
    char dir[64], path[96];
    sem_t woken;
    struct rp_engine_sqlite_options options;
    struct rp_engine *e;
    struct rp_buf message;
    struct rp_rng rng;
    struct rp_retention *retention; /* keeps one record: a trim goes as far as it is told to */
};

static inline void fixture_wake(void *ctx) {
    sem_post(&((struct fixture *) ctx)->woken);
}

static inline void fixture_init(struct fixture *f) {
    *f = (struct fixture){.dir = "/tmp/reprise-engine-XXXXXX", .rng = {.state = 7}};
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/log.db", f->dir);
    sem_init(&f->woken, 0, 0);
    rp_buf_init(&f->message, 4096);
    struct rp_retention_limits whole = RP_RETENTION_UNLIMITED;
    whole.events = 1;
    assert_int_equal(rp_retention_new(&whole, NULL, &f->retention), RP_OK);
    f->options = (struct rp_engine_sqlite_options){.path = f->path,
                                                   .retention = f->retention,
                                                   .budget_bytes = UINT64_MAX,
                                                   .sync_full = true,
                                                   .segment_events = 64,
                                                   .queue_records_max = 100000,
                                                   .queue_bytes_max = 256 << 20,
                                                   .readers_count = 2,
                                                   .wake = fixture_wake,
                                                   .wake_ctx = f};
}

/* Instead of the newest record, what is not older. */
static inline void fixture_keep_for(struct fixture *f, uint64_t age_ms) {
    struct rp_retention_limits whole = RP_RETENTION_UNLIMITED;
    whole.age_ms = age_ms;
    rp_retention_free(f->retention);
    assert_int_equal(rp_retention_new(&whole, NULL, &f->retention), RP_OK);
    f->options.retention = f->retention;
}

static inline enum rp_err fixture_try_open(struct fixture *f) {
    rp_buf_clear(&f->message);
    return rp_engine_sqlite_open(&f->options, &f->message, &f->e);
}

static inline void fixture_open(struct fixture *f) {
    enum rp_err err = fixture_try_open(f);
    if (err != RP_OK) {
        fail_msg("%s: %.*s", rp_strerror(err), RP_BYTES_FMT(rp_buf_bytes(&f->message)));
    }
}

static inline void fixture_close(struct fixture *f) {
    f->e->ops->close(f->e);
    f->e = NULL;
}

static inline void fixture_reopen(struct fixture *f) {
    fixture_close(f);
    fixture_open(f);
}

static inline void fixture_done(struct fixture *f) {
    if (f->e != NULL) {
        fixture_close(f);
    }
    rp_retention_free(f->retention);
    rp_buf_done(&f->message);
    sem_destroy(&f->woken);
    static const char *const ends[] = {"", "-wal", "-shm", "-journal", ".lock"};
    char text[160];
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        snprintf(text, sizeof text, "%s%s", f->path, ends[i]);
        unlink(text);
    }
    snprintf(text, sizeof text, "rm -rf '%s'", f->dir); /* a test may have left more */
    assert_true(rmdir(f->dir) == 0 || system(text) == 0);
}

static inline void fixture_sleep(struct fixture *f) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    while (sem_timedwait(&f->woken, &until) < 0) {
        assert_int_equal(errno, EINTR);
    }
}

/* The next outcome, which must come. */
static inline struct rp_engine_outcome fixture_next(struct fixture *f) {
    struct rp_engine_outcome outcome;
    while (f->e->ops->poll(f->e, &outcome, 1) == 0) {
        fixture_sleep(f);
    }
    return outcome;
}

static inline void fixture_append(struct fixture *f, const struct rp_record_fields *fields) {
    struct rp_record *r = rp_record_new(fields);
    assert_int_equal(f->e->ops->append(f->e, &r, 1), RP_OK);
}

/* Takes n outcomes that must be COMMITTED; the last seq. */
static inline uint64_t fixture_expect_committed(struct fixture *f, size_t n) {
    uint64_t seq = 0;
    for (size_t i = 0; i < n; i++) {
        struct rp_engine_outcome o = fixture_next(f);
        assert_int_equal(o.kind, RP_ENGINE_COMMITTED);
        assert_int_equal(o.seq, o.record->seq);
        assert_true(o.seq > seq);
        seq = o.seq;
        rp_record_unref(o.record);
    }
    return seq;
}

static inline void fixture_expect_duplicate(struct fixture *f, uint64_t seq) {
    struct rp_engine_outcome o = fixture_next(f);
    assert_int_equal(o.kind, RP_ENGINE_DUPLICATE);
    assert_int_equal(o.seq, seq);
    assert_int_equal(o.record->seq, 0);
    rp_record_unref(o.record);
}

static inline uint64_t fixture_put(struct fixture *f, const struct rp_record_fields *fields) {
    fixture_append(f, fields);
    return fixture_expect_committed(f, 1);
}

static inline struct rp_record_fields fixture_event(const char *room, const char *args) {
    return (struct rp_record_fields){.kind = RP_RECORD_EVENT,
                                     .ts_ms = 1700000000123,
                                     .nsp = RP_BYTES_LIT("/"),
                                     .room = rp_bytes_str(room),
                                     .name = RP_BYTES_LIT("msg"),
                                     .args = rp_bytes_str(args)};
}

/* n events in room, one after the other; the last seq. */
static inline uint64_t fixture_fill(struct fixture *f, const char *room, size_t n) {
    struct rp_record_fields event = fixture_event(room, "[1]");
    for (size_t i = 0; i < n; i++) {
        fixture_append(f, &event);
    }
    return fixture_expect_committed(f, n);
}

static inline struct rp_engine_page *fixture_take_page(const struct rp_engine_outcome *o,
                                                       uint64_t id) {
    assert_int_equal(o->kind, RP_ENGINE_PAGE);
    assert_int_equal(o->page->id, id);
    return o->page;
}

static inline struct rp_engine_page *fixture_page(struct fixture *f,
                                                  const struct rp_engine_read *read) {
    assert_int_equal(f->e->ops->read(f->e, read), RP_OK);
    struct rp_engine_outcome o = fixture_next(f);
    return fixture_take_page(&o, read->id);
}

static inline void fixture_ask_history(struct fixture *f, const char *room, uint64_t after) {
    struct rp_engine_span span = {
        .nsp = RP_BYTES_LIT("/"), .room = rp_bytes_str(room), .after = after, .upto = UINT64_MAX};
    struct rp_engine_read read = {
        .id = 77, .spans = &span, .spans_count = 1, .events_max = 100000, .bytes_max = 100 << 20};
    assert_int_equal(f->e->ops->read(f->e, &read), RP_OK);
}

/* All events of one room after a seq. */
static inline struct rp_engine_page *fixture_history(struct fixture *f, const char *room,
                                                     uint64_t after) {
    fixture_ask_history(f, room, after);
    struct rp_engine_outcome o = fixture_next(f);
    return fixture_take_page(&o, 77);
}

static inline uint64_t fixture_trim(struct fixture *f, uint64_t upto) {
    assert_int_equal(f->e->ops->trim(f->e, upto, 0), RP_OK);
    struct rp_engine_outcome o = fixture_next(f);
    assert_int_equal(o.kind, RP_ENGINE_TRIMMED);
    assert_int_equal(o.err, RP_OK);
    return o.seq;
}

/* Waits until so many segments were indexed since open. */
static inline void fixture_wait_indexed(struct fixture *f, uint64_t segments) {
    struct rp_engine_sqlite_stats stats;
    for (int i = 0; i < WAIT_S * 1000; i++) {
        rp_engine_sqlite_stats(f->e, &stats);
        if (stats.segments_indexed >= segments) {
            return;
        }
        usleep(1000);
    }
    fail_msg("%llu segments indexed, expected %llu", (unsigned long long) stats.segments_indexed,
             (unsigned long long) segments);
}

static inline const char *fixture_sql(struct fixture *f, const char *sql);

/* Waits until every closed segment is indexed that has events left, however many those are. */
static inline void fixture_wait_all_indexed(struct fixture *f) {
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM event WHERE seq > (SELECT value FROM meta WHERE key = "
             "'indexed_seq') AND seq <= (SELECT max(seq) FROM event) / %llu * %llu",
             (unsigned long long) f->options.segment_events,
             (unsigned long long) f->options.segment_events);
    for (int i = 0; i < WAIT_S * 100; i++) {
        if (strcmp(fixture_sql(f, sql), "0") == 0) {
            return;
        }
        usleep(10000);
    }
    fail_msg("segments are not indexed: %s events", fixture_sql(f, sql));
}

/* Runs SQL on the file as a person would, with a connection of its own; the first column of the
 * first row, or "". */
static inline const char *fixture_sql(struct fixture *f, const char *sql) {
    static char answer[16384];
    sqlite3 *db;
    sqlite3_stmt *stmt;
    const char *rest = sql;
    answer[0] = '\0';
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    while (*rest != '\0') {
        if (sqlite3_prepare_v2(db, rest, -1, &stmt, &rest) != SQLITE_OK) {
            fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        }
        int rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW && sqlite3_column_text(stmt, 0) != NULL) {
            snprintf(answer, sizeof answer, "%s", (const char *) sqlite3_column_text(stmt, 0));
        }
        assert_true(rc == SQLITE_ROW || rc == SQLITE_DONE);
        sqlite3_finalize(stmt);
    }
    sqlite3_close(db);
    return answer;
}

/* ---- what load() finds ---- */

struct loaded {
    struct rp_engine_session sessions[64]; /* with the copies below as their texts */
    char sids[64][32];
    size_t sessions_count;
    struct rp_engine_member members[4096];
    char rooms[4096][32];
    size_t members_count;
    struct rp_engine_unacked unacked[64];
    size_t unacked_count;
    struct rp_record **records;
    size_t records_count, records_capacity;
};

static inline void loaded_session(void *ctx, const struct rp_engine_session *session) {
    struct loaded *l = ctx;
    assert_true(l->sessions_count < 64 && session->sid.len < 32);
    assert_int_equal(session->pid_hash.len, RP_PID_HASH_LEN);
    size_t i = l->sessions_count++;
    l->sessions[i] = *session;
    memcpy(l->sids[i], session->sid.data, session->sid.len);
    l->sessions[i].sid.data = (const uint8_t *) l->sids[i];
}

static inline void loaded_member(void *ctx, const struct rp_engine_member *member) {
    struct loaded *l = ctx;
    assert_true(l->members_count < 4096 && member->room.len < 32);
    size_t i = l->members_count++;
    l->members[i] = *member;
    memcpy(l->rooms[i], member->room.data, member->room.len);
    l->members[i].room.data = (const uint8_t *) l->rooms[i];
}

static inline void loaded_unacked(void *ctx, const struct rp_engine_unacked *unacked) {
    struct loaded *l = ctx;
    assert_true(l->unacked_count < 64);
    l->unacked[l->unacked_count++] = *unacked;
}

static inline void loaded_record(void *ctx, struct rp_record *record) {
    struct loaded *l = ctx;
    l->records =
        rp_array_reserve(l->records, l->records_count, &l->records_capacity, sizeof(*l->records));
    l->records[l->records_count++] = rp_record_ref(record);
}

static inline struct loaded *fixture_load(struct fixture *f, uint64_t after) {
    struct loaded *l = RP_NEW(struct loaded);
    struct rp_engine_loader loader = {.ctx = l,
                                      .session = loaded_session,
                                      .member = loaded_member,
                                      .unacked = loaded_unacked,
                                      .record = loaded_record};
    assert_int_equal(f->e->ops->load(f->e, after, &loader), RP_OK);
    return l;
}

static inline void loaded_free(struct loaded *l) {
    for (size_t i = 0; i < l->records_count; i++) {
        rp_record_unref(l->records[i]);
    }
    free(l->records);
    free(l);
}
