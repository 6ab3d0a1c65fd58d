#include "broker/engine_sqlite.h"

#include "broker/sqlite_row.h"
#include "broker/sqlite_state.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/limits.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LOAD_CACHE_KIB = 8192 };

static struct rp_sqlite *of(struct rp_engine *e) {
    return RP_CONTAINER_OF(e, struct rp_sqlite, engine);
}

/* ---- the queues ---- */

void rp_sqlite_outs_add(struct rp_sqlite_outs *outs, struct rp_sqlite_out out) {
    outs->items = rp_array_reserve(outs->items, outs->count, &outs->capacity, sizeof(*outs->items));
    outs->items[outs->count++] = out;
}

void rp_sqlite_publish(struct rp_sqlite *s, struct rp_sqlite_outs *outs) {
    struct rp_sqlite_outbox *box = &s->outbox;
    if (outs->count == 0) {
        return;
    }
    pthread_mutex_lock(&box->lock);
    bool was_empty = box->outs.count == 0;
    if (was_empty) {
        struct rp_sqlite_outs swap = box->outs;
        box->outs = *outs;
        *outs = swap;
    } else {
        for (size_t i = 0; i < outs->count; i++) {
            rp_sqlite_outs_add(&box->outs, outs->items[i]);
        }
        outs->count = 0;
    }
    atomic_store_explicit(&box->ready, true, memory_order_release);
    pthread_mutex_unlock(&box->lock);
    if (was_empty && s->wake != NULL) {
        s->wake(s->wake_ctx);
    }
}

static void wake_writer(struct rp_sqlite_inbox *in) {
    if (in->writer_waits) {
        in->writer_waits = false;
        pthread_cond_signal(&in->work);
    }
}

static enum rp_err engine_append(struct rp_engine *e, struct rp_record **records, size_t n) {
    struct rp_sqlite *s = of(e);
    struct rp_sqlite_inbox *in = &s->inbox;
    size_t bytes = 0;
    RP_ASSERT(n > 0);
    for (size_t i = 0; i < n; i++) {
        RP_ASSERT(records[i]->seq == 0);
        bytes += records[i]->size;
    }
    bool fits = n <= s->queue_records_max && s->queued_records <= s->queue_records_max - n &&
                bytes <= s->queue_bytes_max && s->queued_bytes <= s->queue_bytes_max - bytes;
    if (!fits && s->queued_records > 0) { /* what is larger than the queue goes alone */
        return RP_E_FULL;
    }
    s->queued_records += n;
    s->queued_bytes += bytes;
    pthread_mutex_lock(&in->lock);
    for (size_t i = 0; i < n; i++) {
        in->items = rp_array_reserve(in->items, in->count, &in->capacity, sizeof(*in->items));
        in->items[in->count++] =
            (struct rp_sqlite_pending){.record = records[i], .last = i + 1 == n};
    }
    wake_writer(in);
    pthread_mutex_unlock(&in->lock);
    return RP_OK;
}

/* More outcomes from the other threads; the vectors change places. */
static bool refill(struct rp_sqlite *s) {
    struct rp_sqlite_outbox *box = &s->outbox;
    if (!atomic_load_explicit(&box->ready, memory_order_acquire)) {
        return false;
    }
    pthread_mutex_lock(&box->lock);
    struct rp_sqlite_outs empty = s->taken;
    empty.count = 0;
    s->taken = box->outs;
    s->taken_at = 0;
    box->outs = empty;
    atomic_store_explicit(&box->ready, false, memory_order_relaxed);
    pthread_mutex_unlock(&box->lock);
    return s->taken.count > 0;
}

static void free_request(struct rp_sqlite *s, struct rp_sqlite_request *request) {
    size_t i = 0;
    while (s->requests[i] != request) {
        i++;
        RP_ASSERT(i < s->requests_count);
    }
    s->requests[i] = s->requests[--s->requests_count];
    free(request);
}

/* Books what is handed to the loop; false: it was cancelled and is not handed out. */
static bool settle(struct rp_sqlite *s, struct rp_sqlite_out *out) {
    switch (out->outcome.kind) {
    case RP_ENGINE_COMMITTED:
    case RP_ENGINE_DUPLICATE:
    case RP_ENGINE_REFUSED:
        RP_ASSERT(s->queued_records > 0 && s->queued_bytes >= out->outcome.record->size);
        s->queued_records--;
        s->queued_bytes -= out->outcome.record->size;
        return true;
    case RP_ENGINE_PAGE: {
        bool cancelled = atomic_load_explicit(&out->request->cancelled, memory_order_relaxed);
        free_request(s, out->request);
        if (cancelled) {
            rp_engine_page_free(out->outcome.page);
        }
        return !cancelled;
    }
    case RP_ENGINE_TRIMMED:
        s->trim_under_way = false;
        return true;
    case RP_ENGINE_BORDER:
    case RP_ENGINE_FATAL:
        return true;
    }
    return true;
}

static size_t engine_poll(struct rp_engine *e, struct rp_engine_outcome *ret_outcomes, size_t max) {
    struct rp_sqlite *s = of(e);
    size_t n = 0;
    while (n < max) {
        if (s->taken_at == s->taken.count && !refill(s)) {
            break;
        }
        struct rp_sqlite_out *out = &s->taken.items[s->taken_at++];
        if (settle(s, out)) {
            ret_outcomes[n++] = out->outcome;
        }
    }
    return n;
}

static enum rp_err engine_read(struct rp_engine *e, const struct rp_engine_read *read) {
    struct rp_sqlite *s = of(e);
    if (s->requests_count >= RP_READS_MAX) {
        return RP_E_FULL;
    }
    struct rp_sqlite_request *request = rp_sqlite_request_new(read);
    s->requests[s->requests_count++] = request;
    rp_sqlite_readers_put(s, request);
    return RP_OK;
}

static void engine_cancel(struct rp_engine *e, uint64_t id) {
    struct rp_sqlite *s = of(e);
    for (size_t i = 0; i < s->requests_count; i++) {
        if (s->requests[i]->read.id == id) {
            atomic_store_explicit(&s->requests[i]->cancelled, true, memory_order_relaxed);
        }
    }
}

static enum rp_err engine_trim(struct rp_engine *e, uint64_t upto, uint64_t wall_ms) {
    struct rp_sqlite *s = of(e);
    if (s->trim_under_way) {
        return RP_E_FULL;
    }
    s->trim_under_way = true;
    pthread_mutex_lock(&s->inbox.lock);
    s->inbox.trim_asked = true;
    s->inbox.trim_upto = upto;
    s->inbox.trim_wall_ms = wall_ms;
    wake_writer(&s->inbox);
    pthread_mutex_unlock(&s->inbox.lock);
    return RP_OK;
}

static enum rp_err engine_new_epoch(struct rp_engine *e, const char *epoch, uint64_t above) {
    struct rp_sqlite *s = of(e);
    struct rp_sqlite_epoch_order order = {.epoch = epoch, .above = above};
    RP_ASSERT(s->queued_records == 0 && strlen(epoch) == RP_EPOCH_LEN);
    if (above >= INT64_MAX - 1) {
        return RP_E_INVALID;
    }
    pthread_mutex_lock(&s->inbox.lock);
    s->inbox.epoch_order = &order;
    wake_writer(&s->inbox);
    while (!order.done) {
        pthread_cond_wait(&s->inbox.answered, &s->inbox.lock);
    }
    pthread_mutex_unlock(&s->inbox.lock);
    if (order.err == RP_OK) {
        memcpy(e->epoch, epoch, RP_EPOCH_LEN);
    }
    return order.err;
}

/* ---- loading ---- */

static int load_namespaces(sqlite3 *db, const struct rp_engine_loader *loader) {
    sqlite3_stmt *stmt;
    if (loader->nsp == NULL) {
        return SQLITE_OK;
    }
    int rc =
        sqlite3_prepare_v2(db, "SELECT nsp, flags FROM namespace ORDER BY seq", -1, &stmt, NULL);
    while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        struct rp_engine_namespace nsp = {.nsp = rp_sqlite_text(stmt, 0),
                                          .flags = (uint32_t) rp_sqlite_u64(stmt, 1)};
        loader->nsp(loader->ctx, &nsp);
    }
    return rc == SQLITE_OK ? sqlite3_finalize(stmt) : rc;
}

static int load_sessions(sqlite3 *db, const struct rp_engine_loader *loader) {
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(
        db,
        "SELECT session, conn, gateway, closed_ts, floor_seq, nsp, sid, pid_hash, app, data "
        "FROM session ORDER BY session",
        -1, &stmt, NULL);
    while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        struct rp_engine_session session = {.session = rp_sqlite_u64(stmt, 0),
                                            .conn = rp_sqlite_u64(stmt, 1),
                                            .gateway = rp_sqlite_u64(stmt, 2),
                                            .closed_ts_ms = rp_sqlite_u64(stmt, 3),
                                            .floor_seq = rp_sqlite_u64(stmt, 4),
                                            .nsp = rp_sqlite_text(stmt, 5),
                                            .sid = rp_sqlite_text(stmt, 6),
                                            .pid_hash = rp_sqlite_blob(stmt, 7),
                                            .app = rp_sqlite_u64(stmt, 8) != 0,
                                            .data = rp_sqlite_text(stmt, 9)};
        loader->session(loader->ctx, &session);
    }
    return rc == SQLITE_OK ? sqlite3_finalize(stmt) : rc;
}

/* A session's intervals in the order in which they were closed, and then those that are open. */
static int load_members(sqlite3 *db, const struct rp_engine_loader *loader) {
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db,
                                "SELECT session, from_seq, to_seq, ts, room FROM member "
                                "ORDER BY session, to_seq IS NULL, to_seq, from_seq",
                                -1, &stmt, NULL);
    while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        struct rp_engine_member member = {.session = rp_sqlite_u64(stmt, 0),
                                          .from_seq = rp_sqlite_u64(stmt, 1),
                                          .to_seq = rp_sqlite_u64(stmt, 2),
                                          .ts_ms = rp_sqlite_u64(stmt, 3),
                                          .room = rp_sqlite_text(stmt, 4)};
        loader->member(loader->ctx, &member);
    }
    return rc == SQLITE_OK ? sqlite3_finalize(stmt) : rc;
}

/* Retention may have left some whose events are gone. */
static int load_unacked(sqlite3 *db, const struct rp_engine_loader *loader) {
    sqlite3_stmt *stmt;
    if (loader->unacked == NULL) {
        return SQLITE_OK;
    }
    int rc = sqlite3_prepare_v2(db,
                                "SELECT session, seq, origin, num FROM unacked u WHERE seq >= "
                                "(SELECT value FROM meta WHERE key = 'first_seq') "
                                "AND EXISTS (SELECT 1 FROM event e WHERE e.seq = u.seq) "
                                "ORDER BY session, seq",
                                -1, &stmt, NULL);
    while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        struct rp_engine_unacked unacked = {.session = rp_sqlite_u64(stmt, 0),
                                            .seq = rp_sqlite_u64(stmt, 1),
                                            .origin = rp_sqlite_u64(stmt, 2),
                                            .num = rp_sqlite_u64(stmt, 3)};
        loader->unacked(loader->ctx, &unacked);
    }
    return rc == SQLITE_OK ? sqlite3_finalize(stmt) : rc;
}

static int load_borders(sqlite3 *db, uint64_t after, const struct rp_engine_loader *loader) {
    sqlite3_stmt *stmt;
    if (loader->border == NULL) {
        return SQLITE_OK;
    }
    int rc = sqlite3_prepare_v2(
        db, "SELECT nsp, room, trimmed_seq FROM room WHERE trimmed_seq > ?1", -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(stmt, 1, after < INT64_MAX ? (sqlite3_int64) after : INT64_MAX);
    }
    while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        loader->border(loader->ctx, rp_sqlite_text(stmt, 0), rp_sqlite_text(stmt, 1),
                       rp_sqlite_u64(stmt, 2));
    }
    return rc == SQLITE_OK ? sqlite3_finalize(stmt) : rc;
}

static enum rp_err load_records(sqlite3 *db, uint64_t after,
                                const struct rp_engine_loader *loader) {
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(
        db, "SELECT " RP_SQLITE_ROW_COLUMNS " FROM event WHERE seq > ?1 ORDER BY seq", -1, &stmt,
        NULL);
    if (rc != SQLITE_OK) {
        return rp_sqlite_err(rc);
    }
    sqlite3_bind_int64(stmt, 1, after < INT64_MAX ? (sqlite3_int64) after : INT64_MAX);
    enum rp_err err = RP_OK;
    while (err == RP_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        struct rp_record *record;
        err = rp_sqlite_row_read(stmt, &record);
        if (err == RP_OK) {
            loader->record(loader->ctx, record);
            rp_record_unref(record);
        }
    }
    rc = sqlite3_finalize(stmt);
    return err == RP_OK ? rp_sqlite_err(rc) : err;
}

/* On a connection of its own, since the writer's belongs to its thread. */
static enum rp_err engine_load(struct rp_engine *e, uint64_t after,
                               const struct rp_engine_loader *loader) {
    sqlite3 *db;
    int rc = rp_sqlite_db_open(of(e)->path, RP_SQLITE_READ, LOAD_CACHE_KIB, &db);
    rc = rc == SQLITE_OK ? rp_sqlite_exec(db, "BEGIN") : rc;
    rc = rc == SQLITE_OK ? load_namespaces(db, loader) : rc;
    rc = rc == SQLITE_OK ? load_sessions(db, loader) : rc;
    rc = rc == SQLITE_OK ? load_members(db, loader) : rc;
    rc = rc == SQLITE_OK ? load_unacked(db, loader) : rc;
    rc = rc == SQLITE_OK ? load_borders(db, after, loader) : rc;
    enum rp_err err = rc == SQLITE_OK ? load_records(db, after, loader) : rp_sqlite_err(rc);
    sqlite3_close(db);
    return err;
}

/* ---- life ---- */

void rp_sqlite_thread_step_back(void) {
    enum { NICE = 10 };
    /* a thread has a nice value of its own on Linux; without it nothing but fairness suffers */
    if (setpriority(PRIO_PROCESS, (id_t) gettid(), NICE) != 0) {
        errno = 0;
    }
}

bool rp_sqlite_thread_start(pthread_t *thread, void *(*main)(void *), void *ctx) {
    sigset_t all, before; /* signals are the loop's */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(thread, NULL, main, ctx) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static void init_queues(struct rp_sqlite *s) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->inbox.lock, NULL);
    pthread_cond_init(&s->inbox.work, &monotonic);
    pthread_cond_init(&s->inbox.answered, NULL);
    pthread_mutex_init(&s->outbox.lock, NULL);
    atomic_init(&s->outbox.ready, false);
    pthread_mutex_init(&s->indexer.lock, NULL);
    pthread_cond_init(&s->indexer.wake, NULL);
    pthread_mutex_init(&s->checkpointer.lock, NULL);
    pthread_cond_init(&s->checkpointer.wake, NULL);
    pthread_cond_init(&s->checkpointer.pause, NULL);
    pthread_mutex_init(&s->readers.lock, NULL);
    pthread_cond_init(&s->readers.wake, NULL);
    s->readers.last = &s->readers.first;
    rp_sqlite_rooms_init(&s->retention.rooms);
    pthread_condattr_destroy(&monotonic);
}

static void done_queues(struct rp_sqlite *s) {
    pthread_mutex_destroy(&s->inbox.lock);
    pthread_cond_destroy(&s->inbox.work);
    pthread_cond_destroy(&s->inbox.answered);
    pthread_mutex_destroy(&s->outbox.lock);
    pthread_mutex_destroy(&s->indexer.lock);
    pthread_cond_destroy(&s->indexer.wake);
    pthread_mutex_destroy(&s->checkpointer.lock);
    pthread_cond_destroy(&s->checkpointer.wake);
    pthread_cond_destroy(&s->checkpointer.pause);
    pthread_mutex_destroy(&s->readers.lock);
    pthread_cond_destroy(&s->readers.wake);
}

static void drop_outs(struct rp_sqlite_outs *outs, size_t from) {
    for (size_t i = from; i < outs->count; i++) {
        rp_record_unref(outs->items[i].outcome.record);
        rp_engine_page_free(outs->items[i].outcome.page);
        free(outs->items[i].outcome.border);
    }
    free(outs->items);
}

static void free_memory(struct rp_sqlite *s) {
    for (size_t i = 0; i < s->inbox.count; i++) {
        rp_record_unref(s->inbox.items[i].record);
    }
    free(s->inbox.items);
    free(s->writer.items);
    drop_outs(&s->outbox.outs, 0);
    drop_outs(&s->taken, s->taken_at);
    drop_outs(&s->writer.outs, 0);
    for (size_t i = 0; i < s->requests_count; i++) {
        free(s->requests[i]);
    }
    free(s->requests);
    free(s->path);
    free(s);
}

static void stop_writer(struct rp_sqlite *s) {
    if (s->writer_started) {
        pthread_mutex_lock(&s->inbox.lock);
        s->inbox.stop = true;
        wake_writer(&s->inbox);
        pthread_mutex_unlock(&s->inbox.lock);
        pthread_join(s->writer.thread, NULL);
    }
}

/* Also for an engine that was opened halfway. The writer's connection goes last: then SQLite copies
 * the WAL back and removes it, if the file was closed in order. */
static void engine_close(struct rp_engine *e) {
    struct rp_sqlite *s = of(e);
    stop_writer(s);
    rp_sqlite_readers_stop(s);
    if (s->indexer_started) {
        rp_sqlite_indexer_stop(s);
    }
    if (s->checkpointer_started) {
        rp_sqlite_checkpointer_stop(s);
    }
    if (s->writer_started) {
        rp_sqlite_file_close(s);
    }
    rp_sqlite_readers_done(s);
    rp_sqlite_indexer_done(s);
    sqlite3_close(s->checkpointer.db);
    rp_sqlite_retention_done(s);
    rp_sqlite_space_done(s);
    rp_sqlite_finalize(s->writer.stmts, RP_SQLITE_W_COUNT);
    sqlite3_close(s->writer.db);
    rp_sqlite_place_done(s);
    if (s->lock_fd >= 0) {
        close(s->lock_fd);
    }
    done_queues(s);
    free_memory(s);
}

static enum rp_err check_options(const struct rp_engine_sqlite_options *o, struct rp_buf *message) {
    const char *wrong = NULL;
    if (o->path == NULL || o->path[0] == '\0') {
        wrong = "the database has no name; give --db the name of a file";
    } else if (o->readers_count < 1 || o->readers_count > RP_ENGINE_SQLITE_READERS_MAX) {
        wrong = "the number of reader threads is out of range";
    } else if (o->queue_records_max == 0 || o->queue_bytes_max == 0) {
        wrong = "the queue of the database has no room";
    } else if (o->segment_events > 1u << 24) {
        wrong = "a segment of the log has at most 16777216 events";
    }
    if (wrong != NULL) {
        (void) !rp_buf_put_str(message, wrong);
        return RP_E_INVALID;
    }
    return RP_OK;
}

static enum rp_err start_threads(struct rp_sqlite *s, const struct rp_engine_sqlite_options *o,
                                 struct rp_buf *message) {
    int rc = rp_sqlite_writer_init(s);
    rc = rc == SQLITE_OK ? rp_sqlite_space_init(s, o->budget_bytes, o->reserve_bytes) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_retention_init(s) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_indexer_init(s) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_checkpointer_init(s) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_readers_init(s, o->readers_count) : rc;
    if (rc != SQLITE_OK) {
        (void) !rp_buf_printf(
            message,
            "cannot read the database %s: %s; check the disk and the permissions of its folder",
            s->path, sqlite3_errstr(rc));
        return rp_sqlite_err(rc);
    }
    if (!s->space.can_shrink && rp_retention_limits_anything(o->retention)) {
        (void) !rp_buf_printf(
            message,
            "%sthe database %s was made by an older broker and cannot shrink: what "
            "retention removes is used again; to change that, stop the broker and "
            "run: sqlite3 '%s' 'PRAGMA auto_vacuum = INCREMENTAL; VACUUM'",
            message->len > 0 ? "\n" : "", s->path, s->path);
    }
    s->writer_started = rp_sqlite_thread_start(&s->writer.thread, rp_sqlite_writer_main, s);
    s->indexer_started = rp_sqlite_thread_start(&s->indexer.thread, rp_sqlite_indexer_main, s);
    s->checkpointer_started =
        rp_sqlite_thread_start(&s->checkpointer.thread, rp_sqlite_checkpointer_main, s);
    bool readers_started = rp_sqlite_readers_start(s);
    if (!s->writer_started || !s->indexer_started || !s->checkpointer_started || !readers_started) {
        (void) !rp_buf_put_str(
            message,
            "cannot start the threads of the database; raise the limit of threads (ulimit -u)");
        return RP_E_IO;
    }
    return RP_OK;
}

enum rp_err rp_engine_sqlite_open(const struct rp_engine_sqlite_options *o, struct rp_buf *message,
                                  struct rp_engine **ret_engine) {
    static const struct rp_engine_ops ops = {
        .load = engine_load,
        .append = engine_append,
        .poll = engine_poll,
        .read = engine_read,
        .cancel = engine_cancel,
        .trim = engine_trim,
        .new_epoch = engine_new_epoch,
        .close = engine_close,
    };
    enum rp_err err = check_options(o, message);
    if (err != RP_OK) {
        return err;
    }
    struct rp_sqlite *s = RP_NEW(struct rp_sqlite);
    s->engine.ops = &ops;
    s->lock_fd = s->place.fd = -1;
    s->sync_full = o->sync_full;
    s->checkpointer.pass_frames = o->checkpoint_frames;
    s->segment_events = o->segment_events > 0 ? o->segment_events : RP_ENGINE_SQLITE_SEGMENT_EVENTS;
    s->retention.rules = o->retention;
    s->queue_records_max = o->queue_records_max;
    s->queue_bytes_max = o->queue_bytes_max;
    s->wake = o->wake;
    s->wake_ctx = o->wake_ctx;
    s->path = realpath(o->path, NULL); /* a link's WAL and disk are those of the file */
    if (s->path == NULL) {
        size_t path_size = strlen(o->path) + 1;
        s->path = memcpy(rp_alloc(path_size), o->path, path_size);
    }
    s->requests = rp_alloc(RP_READS_MAX * sizeof(struct rp_sqlite_request *));
    RP_ASSERT(getrandom(&s->hash_key, sizeof s->hash_key, 0) == (ssize_t) sizeof s->hash_key);
    init_queues(s);
    err = rp_sqlite_file_open(s, o, message);
    if (err == RP_OK) {
        err = start_threads(s, o, message);
    }
    if (err != RP_OK) {
        engine_close(&s->engine);
        return err;
    }
    *ret_engine = &s->engine;
    return RP_OK;
}

void rp_engine_sqlite_stats(const struct rp_engine *engine,
                            struct rp_engine_sqlite_stats *ret_stats) {
    const struct rp_sqlite *s = (const struct rp_sqlite *) engine; /* its first member */
    const struct rp_sqlite_counters *c = &s->counters;
    enum { WAL_HEADER = 32, FRAME = 4096 + 24 };
    uint64_t frames = atomic_load_explicit(&c->wal_frames, memory_order_relaxed);
    *ret_stats = (struct rp_engine_sqlite_stats){
        .transactions = atomic_load_explicit(&c->transactions, memory_order_relaxed),
        .records = atomic_load_explicit(&c->records, memory_order_relaxed),
        .duplicates = atomic_load_explicit(&c->duplicates, memory_order_relaxed),
        .refused = atomic_load_explicit(&c->refused, memory_order_relaxed),
        .wal_bytes = frames > 0 ? WAL_HEADER + frames * FRAME : 0,
        .checkpoints = atomic_load_explicit(&c->checkpoints, memory_order_relaxed),
        .wal_restarts = atomic_load_explicit(&c->wal_restarts, memory_order_relaxed),
        .wal_restarts_failed = atomic_load_explicit(&c->wal_restarts_failed, memory_order_relaxed),
        .segments_indexed = atomic_load_explicit(&c->segments_indexed, memory_order_relaxed),
        .index_failures = atomic_load_explicit(&c->index_failures, memory_order_relaxed),
        .segments_trimmed = atomic_load_explicit(&c->segments_trimmed, memory_order_relaxed),
        .reads = atomic_load_explicit(&c->reads, memory_order_relaxed),
        .reads_failed = atomic_load_explicit(&c->reads_failed, memory_order_relaxed),
        .used_bytes = atomic_load_explicit(&c->used_bytes, memory_order_relaxed),
        .free_bytes = atomic_load_explicit(&c->free_bytes, memory_order_relaxed),
        .no_space = atomic_load_explicit(&c->no_space, memory_order_relaxed),
        .refused_no_space = atomic_load_explicit(&c->refused_no_space, memory_order_relaxed),
        .events_trimmed = atomic_load_explicit(&c->events_trimmed, memory_order_relaxed),
        .rooms_trimmed = atomic_load_explicit(&c->rooms_trimmed, memory_order_relaxed),
        .pages_vacuumed = atomic_load_explicit(&c->pages_vacuumed, memory_order_relaxed),
        .retention_rounds = atomic_load_explicit(&c->retention_rounds, memory_order_relaxed),
    };
}
