/* broker/sqlite_file.c — from a path to a log that may be written: it is a file of ours, nobody
 * else has it, its schema is this version's, its tail is whole, and its epoch is right for what may
 * have been lost. Whatever is wrong is said in one sentence with the way out, and nothing is
 * changed in a file that is refused (but its schema, if only the tail is found damaged). */
#include "broker/sqlite_state.h"

#include "broker/sqlite_row.h"
#include "common/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WRITER_CACHE_KIB = 32768,
    CHECK_BYTES = 256 << 20, /* of the tail at open: about half a second */
    BOOT_ID_SIZE = 48,
};

__attribute__((format(printf, 2, 3))) static void say(struct rp_buf *message, const char *format,
                                                      ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void) (rp_buf_put_str(message, message->len > 0 ? "\n" : "") == RP_OK &&
            rp_buf_put_str(message, text) == RP_OK);
}

static enum rp_err fail_sqlite(const struct rp_sqlite *s, const char *doing, int rc,
                               struct rp_buf *message) {
    enum rp_err err = rp_sqlite_err(rc);
    const char *way_out =
        "check the disk (is it full?), the owner and the permissions of the file and its folder";
    if (err == RP_E_LOCKED) {
        way_out = "another program holds a lock on it; close it and try again";
    } else if (err == RP_E_CORRUPT) {
        way_out = "restore a backup, or move the file away to begin a new log";
    } else if (err == RP_E_NO_SPACE) {
        way_out = "make room on its disk";
    } else if (err == RP_E_READ_ONLY) {
        way_out = "make the file system, the file and its folder writable";
    }
    /* not every failure is left in the connection: one to grow the -shm file is not */
    bool is_kept = s->writer.db != NULL && sqlite3_errcode(s->writer.db) != SQLITE_OK;
    say(message, "cannot %s the database %s: %s; %s", doing, s->path,
        is_kept ? sqlite3_errmsg(s->writer.db) : sqlite3_errstr(rc), way_out);
    return err;
}

/* ---- whose file is it? ---- */

static enum rp_err check_path(const struct rp_sqlite *s, struct rp_buf *message) {
    static const char magic[16] = "SQLite format 3";
    char head[sizeof magic];
    int fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        return RP_OK; /* a new one; whether it can be made is seen soon */
    }
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        say(message, "cannot read the database %s: %s; check its permissions", s->path,
            strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return RP_E_IO;
    }
    ssize_t len = S_ISREG(st.st_mode) ? read(fd, head, sizeof head) : -1;
    close(fd);
    if (!S_ISREG(st.st_mode)) {
        say(message, "%s is a %s, not a file; give --db the name of a file", s->path,
            S_ISDIR(st.st_mode) ? "folder" : "device or pipe");
        return RP_E_IO;
    }
    if (len != 0 && (len != (ssize_t) sizeof head || memcmp(head, magic, sizeof magic) != 0)) {
        say(message,
            "%s is not a database of Reprise; give --db another name, or move the file away",
            s->path);
        return RP_E_FOREIGN;
    }
    return RP_OK;
}

static int lock_whole(int fd) {
    return flock(fd, LOCK_EX | LOCK_NB);
}

/* A lock of the kernel's on <path>.lock: it goes when the process does, however that ends, and does
 * not stop sqlite3 shells. The file itself stays, since removing it could take the lock from under
 * somebody. */
enum rp_err rp_sqlite_file_lock(struct rp_sqlite *s, struct rp_buf *message) {
    char *real = realpath(s->path, NULL); /* two names of one file share the lock */
    char *name = sqlite3_mprintf("%s.lock", real != NULL ? real : s->path);
    RP_ASSERT(name != NULL);
    free(real);
    enum rp_err err = RP_OK;
    s->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (s->lock_fd < 0) {
        say(message,
            "cannot create %s: %s; create the folder, or make it writable, or give --db another "
            "name",
            name, strerror(errno));
        err = RP_E_IO;
    } else if (!rp_sqlite_lock_soon(s->lock_fd, lock_whole)) {
        char holder[32] = "";
        ssize_t len = errno == EWOULDBLOCK ? read(s->lock_fd, holder, sizeof holder - 1) : 0;
        holder[len > 0 ? strcspn(holder, "\n") : 0] = '\0';
        say(message,
            "the database %s is in use by another broker (process %s); stop that one, or give --db "
            "another name",
            s->path, holder[0] ? holder : "unknown");
        err = RP_E_LOCKED;
    } else {
        rp_sqlite_mark_read(s->lock_fd, &s->mark);
        rp_sqlite_mark_write(s->lock_fd, &s->mark, false); /* with our number, for people */
    }
    sqlite3_free(name);
    return err;
}

static enum rp_err identify(struct rp_sqlite *s, uint64_t *ret_version, struct rp_buf *message) {
    uint64_t application, version, tables;
    int rc = rp_sqlite_query_u64(s->writer.db, "PRAGMA application_id", &application);
    rc = rc == SQLITE_OK ? rp_sqlite_query_u64(s->writer.db, "PRAGMA user_version", &version) : rc;
    rc = rc == SQLITE_OK
             ? rp_sqlite_query_u64(s->writer.db, "SELECT count(*) FROM sqlite_master", &tables)
             : rc;
    if (rc != SQLITE_OK) {
        return fail_sqlite(s, "read", rc, message);
    }
    bool empty = application == 0 && version == 0 && tables == 0;
    if (!empty && application != RP_SQLITE_APPLICATION_ID) {
        say(message, "%s is a SQLite database, but not one of Reprise; give --db another name",
            s->path);
        return RP_E_FOREIGN;
    }
    uint32_t newest = rp_sqlite_schema_version();
    if (!empty && (version > newest || version == 0)) {
        say(message,
            "%s has schema version %llu and this broker knows versions up to %u; start a newer "
            "broker",
            s->path, (unsigned long long) version, newest);
        return RP_E_VERSION;
    }
    if (sqlite3_db_readonly(s->writer.db, "main") == 1) {
        say(message,
            "the database %s cannot be written; check the owner and the permissions of the file",
            s->path);
        return RP_E_READ_ONLY;
    }
    *ret_version = version;
    return RP_OK;
}

/* ---- schema ---- */

/* A new file gets its schema in one transaction, before it turns to WAL. */
static enum rp_err migrate(struct rp_sqlite *s, uint64_t version, struct rp_buf *message) {
    sqlite3 *db = s->writer.db;
    uint32_t newest = rp_sqlite_schema_version();
    int rc = rp_sqlite_exec(db, "PRAGMA synchronous = FULL; PRAGMA secure_delete = FAST;"
                                "PRAGMA journal_size_limit = 67108864");
    if (rc == SQLITE_OK && version == 0) {
        rc = rp_sqlite_exec(db, "PRAGMA auto_vacuum = INCREMENTAL");
    }
    if (rc == SQLITE_OK && version < newest) {
        rc = rp_sqlite_schema_upgrade(db, version, s->segment_events);
    }
    sqlite3_stmt *stmt = NULL;
    rc =
        rc == SQLITE_OK ? sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &stmt, NULL) : rc;
    if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW &&
        !rp_bytes_eq_str(rp_sqlite_text(stmt, 0), "wal")) {
        sqlite3_finalize(stmt);
        say(message,
            "the file system of %s has no shared memory, which SQLite's WAL needs; put the "
            "database on a local disk",
            s->path);
        return RP_E_IO;
    }
    int end = sqlite3_finalize(stmt);
    rc = rc == SQLITE_OK ? end : rc;
    if (rc != SQLITE_OK) {
        return fail_sqlite(s, version == 0 ? "create" : "open", rc, message);
    }
    if (version > 0 && version < newest) {
        say(message,
            "the database %s had schema version %llu and has %u now; older brokers cannot open it "
            "any more",
            s->path, (unsigned long long) version, newest);
    }
    return RP_OK;
}

/* ---- what is in it ---- */

struct meta {
    uint64_t next_seq, first_seq, indexed_seq, segment_events, newest, clean;
    char epoch[RP_EPOCH_LEN + 8], boot_id[BOOT_ID_SIZE], sync[16];
    uint64_t copied_ts_ms, sessions_from, dense_from;
    char file[RP_SQLITE_FILE_SIZE];
};

static int read_meta(sqlite3 *db, struct meta *ret) {
    struct meta m;
    int rc = rp_sqlite_meta_u64(db, "next_seq", &m.next_seq);
    rc = rc == SQLITE_OK ? rp_sqlite_meta_u64(db, "first_seq", &m.first_seq) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_u64(db, "indexed_seq", &m.indexed_seq) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_u64(db, "segment_events", &m.segment_events) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_u64(db, "clean", &m.clean) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_text(db, "epoch", m.epoch, sizeof m.epoch) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_text(db, "boot_id", m.boot_id, sizeof m.boot_id) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_text(db, "sync", m.sync, sizeof m.sync) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_text(db, "file", m.file, sizeof m.file) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_u64(db, "copied_ts", &m.copied_ts_ms) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_u64(db, "sessions_from", &m.sessions_from) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_u64(db, "dense_from", &m.dense_from) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_query_u64(db, "SELECT max(seq) FROM event", &m.newest) : rc;
    if (rc == SQLITE_OK) {
        m.next_seq = m.next_seq > m.newest ? m.next_seq : m.newest + 1;
        *ret = m;
    }
    return rc;
}

static bool meta_is_sound(const struct meta *m) {
    return strlen(m->epoch) == RP_EPOCH_LEN && m->segment_events > 0 && m->first_seq > 0 &&
           m->next_seq <= INT64_MAX && m->first_seq <= m->next_seq &&
           m->indexed_seq % m->segment_events == 0 && m->indexed_seq < m->next_seq;
}

/* The rows of the newest segment are as they were written, and in order; newest first, and of very
 * large ones only so many that a start does not take long. */
static int check_rows(sqlite3 *db, uint64_t after, uint64_t *ret_bad_seq) {
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(
        db, "SELECT " RP_SQLITE_ROW_COLUMNS " FROM event WHERE seq > ?1 ORDER BY seq DESC", -1,
        &stmt, NULL);
    if (rc != SQLITE_OK) {
        return rc;
    }
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) after);
    uint64_t previous = UINT64_MAX, bad = 0;
    size_t bytes = 0;
    while (bad == 0 && bytes < CHECK_BYTES && sqlite3_step(stmt) == SQLITE_ROW) {
        struct rp_record *r = NULL;
        uint64_t seq = rp_sqlite_u64(stmt, 0);
        if (rp_sqlite_row_read(stmt, &r) != RP_OK || seq >= previous) {
            bad = seq;
        }
        previous = seq;
        bytes += r != NULL ? r->size : 0;
        rp_record_unref(r);
    }
    *ret_bad_seq = bad;
    return sqlite3_finalize(stmt);
}

/* Without a WAL the file alone must have all its pages. */
static enum rp_err check_end(struct rp_sqlite *s, struct rp_buf *message) {
    bool whole = true;
    int rc = rp_sqlite_has_all_pages(s->writer.db, s->path, &whole);
    if (rc != SQLITE_OK) {
        return fail_sqlite(s, "read", rc, message);
    }
    if (!whole) {
        say(message, "the database %s is damaged: its end is missing; restore a backup", s->path);
        return RP_E_CORRUPT;
    }
    return RP_OK;
}

/* A log that was not closed, and whose file is another one now: somebody has copied it, perhaps
 * while it was written, page by page while pages changed. Parts of it may then be of different
 * moments, and SQLite's check does not find every such mixture; so only a person can say, unless it
 * says that --backup made it. One that
 * has lost its WAL, but is the same file: somebody looked into it with a shell after a crash, which
 * copies the WAL back when it goes, or has put a copy in its place. */
static enum rp_err check_copy(struct rp_sqlite *s, const struct meta *m, bool wal_existed,
                              bool new_epoch, struct rp_buf *message) {
    char identity[RP_SQLITE_FILE_SIZE], what[256] = "";
    rp_sqlite_file_identity(s->path, identity);
    bool backup = m->copied_ts_ms > 0; /* which is of one moment */
    bool copied = !m->clean && !backup && rp_sqlite_file_is_another(m->file, identity);
    if (copied && !new_epoch) {
        say(message,
            "the database %s is a copy of a log that was in use, and if it was written meanwhile "
            "the copy is a mixture; restore a backup made with --backup, or, if nothing wrote to "
            "it then (its broker had crashed, the whole disk was frozen), start with --new-epoch",
            s->path);
        return RP_E_CORRUPT;
    }
    if (m->clean || (wal_existed && !copied)) {
        return RP_OK;
    }
    int rc = rp_sqlite_check_whole(s->writer.db, m->next_seq - 1, what, sizeof what);
    if (rc == SQLITE_OK && what[0] == '\0') {
        return RP_OK;
    }
    if (rc != SQLITE_OK && rp_sqlite_err(rc) != RP_E_CORRUPT) {
        return fail_sqlite(s, "read", rc, message);
    }
    say(message,
        "the database %s is damaged, or was copied while a broker wrote it%s (%s); restore a "
        "backup "
        "that was made with --backup",
        s->path, wal_existed ? "" : ", without its -wal file",
        what[0] != '\0' ? what : sqlite3_errstr(rc));
    return RP_E_CORRUPT;
}

static enum rp_err check_tail(struct rp_sqlite *s, struct meta *ret_meta, bool wal_existed,
                              bool new_epoch, struct rp_buf *message) {
    struct meta m;
    int rc = read_meta(s->writer.db, &m);
    if (rc != SQLITE_OK) {
        return fail_sqlite(s, "read", rc, message);
    }
    if (!meta_is_sound(&m)) {
        say(message,
            "the database %s is damaged: its meta table does not fit its events; restore a backup, "
            "or move the "
            "file away to begin a new log",
            s->path);
        return RP_E_CORRUPT;
    }
    enum rp_err err = check_copy(s, &m, wal_existed, new_epoch, message);
    if (err != RP_OK) {
        return err;
    }
    uint64_t bad = 0;
    rc = check_rows(s->writer.db, m.newest > m.segment_events ? m.newest - m.segment_events : 0,
                    &bad);
    if (rc != SQLITE_OK) {
        return fail_sqlite(s, "read", rc, message);
    }
    if (bad != 0) {
        say(message,
            "the database %s is damaged: seq %llu is not what was written; restore a backup, or "
            "move the file away "
            "to begin a new log",
            s->path, (unsigned long long) bad);
        return RP_E_CORRUPT;
    }
    *ret_meta = m;
    return RP_OK;
}

/* ---- beginning and end of a run ---- */

static void read_boot_id(char *ret_id) {
    ret_id[0] = '\0';
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, ret_id, BOOT_ID_SIZE - 1) : 0;
    ret_id[len > 0 ? len : 0] = '\0';
    ret_id[strcspn(ret_id, "\n")] = '\0';
    if (fd >= 0) {
        close(fd);
    }
}

/* Says in the file that it is in use, by which kind of run. That is on the disk before the first
 * event is, so that an end without power is seen next time. */
static int begin_run(struct rp_sqlite *s, struct meta *m, const char *boot_id, bool new_epoch) {
    sqlite3 *db = s->writer.db;
    int rc = rp_sqlite_exec(db, "BEGIN IMMEDIATE");
    rc = rc == SQLITE_OK ? rp_sqlite_wal_settle(db) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_wal_reserve(db) : rc;
    rp_sqlite_file_identity(s->path, m->file);
    if (rc == SQLITE_OK && new_epoch) {
        m->next_seq = s->mark.next_seq > m->next_seq ? s->mark.next_seq : m->next_seq;
        rc = rp_sqlite_schema_renew(db, &m->next_seq, m->epoch);
    } else if (rc == SQLITE_OK && m->sessions_from == 0) { /* of an older broker */
        rc = rp_sqlite_meta_set_u64(db, "sessions_from", m->next_seq);
    }
    if (rc == SQLITE_OK && m->dense_from == 0) { /* new, or of an older broker */
        rc = rp_sqlite_meta_set_u64(db, "dense_from", m->next_seq);
    }
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_text(db, "file", m->file) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_u64(db, "clean", 0) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_u64(db, "next_seq", m->next_seq) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_text(db, "boot_id", boot_id) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_text(db, "sync", s->sync_full ? "full" : "normal")
                         : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_exec(db, "COMMIT") : rc;
    if (rc == SQLITE_OK && m->clean) {
        /* into the file itself: a copy of it without its WAL must not look like one that was
         * closed */
        rc = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        rc = rc == SQLITE_BUSY ? SQLITE_OK : rc;
    }
    return rc == SQLITE_OK && !s->sync_full ? rp_sqlite_exec(db, "PRAGMA synchronous = NORMAL")
                                            : rc;
}

static enum rp_err start(struct rp_sqlite *s, struct meta *m,
                         const struct rp_engine_sqlite_options *o, struct rp_buf *message) {
    char boot_id[BOOT_ID_SIZE];
    bool new_epoch = o->new_epoch;
    /* no run has begun in it, be it that the one which made it found the disk full */
    bool created = m->sync[0] == '\0' && m->next_seq == 1;
    if (o->boot_id != NULL) {
        snprintf(boot_id, sizeof boot_id, "%s", o->boot_id);
    } else {
        read_boot_id(boot_id);
    }
    /* where /proc hides it (ProcSubset= of systemd, some containers) it could be any boot */
    bool same_boot = boot_id[0] != '\0' && strcmp(m->boot_id, boot_id) == 0;
    bool lost_power = !m->clean && strcmp(m->sync, "normal") == 0 && !same_boot;
    const char *why = NULL;
    if (new_epoch && !created) {
        why = "it was asked for";
    } else if (lost_power) {
        why = boot_id[0] != '\0'
                  ? "the machine stopped while it was written with --sync=normal, and the newest "
                    "events may be lost"
                  : "it was not closed while it was written with --sync=normal, the machine does "
                    "not tell whether it has stopped since (/proc/sys/kernel/random/boot_id), and "
                    "the newest events may be lost";
    } else if (m->copied_ts_ms > 0) {
        why = "it is a backup, and the log it was made of may have gone on";
    } else if (created && s->mark.epoch[0] != '\0') {
        why = "there was a log of this name, which is gone";
    } else if (!created) {
        why = rp_sqlite_mark_doubt(&s->mark, s->path, m->epoch, m->next_seq, m->file);
    }
    int rc = begin_run(s, m, boot_id, why != NULL);
    if (rc != SQLITE_OK) {
        return fail_sqlite(s, "write", rc, message);
    }
    if (why != NULL) {
        say(message,
            "the log %s has the new epoch %s because %s; all sessions are forgotten, clients begin "
            "anew, and seqs go on at %llu",
            s->path, m->epoch, why, (unsigned long long) m->next_seq);
    }
    memcpy(s->mark.epoch, m->epoch, sizeof s->mark.epoch);
    memcpy(s->mark.file, m->file, sizeof s->mark.file);
    s->mark.next_seq = m->next_seq;
    rp_sqlite_mark_write(s->lock_fd, &s->mark, true);
    s->segment_events = m->segment_events;
    s->writer.next_seq = m->next_seq;
    s->writer.first_seq = m->first_seq;
    s->writer.indexed_seq = m->indexed_seq;
    memcpy(s->engine.epoch, m->epoch, sizeof s->engine.epoch);
    s->engine.first_seq = m->first_seq;
    s->engine.last_seq = m->next_seq - 1;
    rc = rp_sqlite_query_u64(s->writer.db, "SELECT max(trimmed_seq) FROM room",
                             &s->engine.border_max);
    return rc == SQLITE_OK ? RP_OK : fail_sqlite(s, "read", rc, message);
}

enum rp_err rp_sqlite_file_open(struct rp_sqlite *s, const struct rp_engine_sqlite_options *o,
                                struct rp_buf *message) {
    uint64_t version = 0;
    struct meta m;
    enum rp_err err = check_path(s, message);
    if (err == RP_OK) {
        err = rp_sqlite_file_lock(s, message);
    }
    bool wal_existed = rp_sqlite_wal_exists(s->path);
    if (err == RP_OK) {
        int rc = rp_sqlite_db_open(s->path, RP_SQLITE_WRITE, WRITER_CACHE_KIB, &s->writer.db);
        err = rc == SQLITE_OK ? RP_OK : fail_sqlite(s, "open", rc, message);
    }
    if (err == RP_OK) {
        err = identify(s, &version, message);
    }
    if (err == RP_OK && !rp_sqlite_place_lock(s)) {
        say(message,
            "the database %s is in use by another broker, under another name or without its .lock "
            "file; stop that one, or give --db another name",
            s->path);
        err = RP_E_LOCKED;
    }
    if (err == RP_OK && !wal_existed) {
        err = check_end(s, message);
    }
    if (err == RP_OK) {
        err = migrate(s, version, message);
    }
    if (err == RP_OK) {
        err = check_tail(s, &m, wal_existed, o->new_epoch, message);
    }
    if (err == RP_OK) {
        err = start(s, &m, o, message);
    }
    if (err == RP_OK) {
        rp_sqlite_place_note(s);
    }
    return err;
}

void rp_sqlite_file_close(struct rp_sqlite *s) {
    const struct rp_sqlite_writer *w = &s->writer;
    if (s->place.lost && s->checkpointer.failure == SQLITE_OK) {
        rp_sqlite_place_rescue(s);
    }
    if (w->failed || s->checkpointer.failure != SQLITE_OK) {
        return;
    }
    /* if this cannot be written, the file looks as after a crash, which is safe */
    int rc = rp_sqlite_exec(w->db, "PRAGMA synchronous = FULL; BEGIN IMMEDIATE");
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_u64(w->db, "next_seq", w->next_seq) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_u64(w->db, "clean", 1) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_exec(w->db, "COMMIT") : rc;
    if (rc == SQLITE_OK) {
        if (rp_sqlite_place_holds(s)) {
            sqlite3_db_config(w->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
        } else { /* SQLite would not copy it into a file that has moved */
            rp_sqlite_place_rescue(s);
        }
        s->mark.next_seq = w->next_seq;
        rp_sqlite_mark_write(s->lock_fd, &s->mark, true);
    }
}
