#include "broker/check_state.h"

#include "broker/schema_sql.h"
#include "common/alloc.h"
#include "common/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHECK_CACHE_KIB = 8192, REPLAY_CACHE_KIB = 32768, OF_SQLITE_MAX = 100 };

/* ---- telling ---- */

/* What is in a file may be anything: only what is harmless on a terminal stays. */
static void make_printable(char *text) {
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char) *text;
        *text = c < 0x20 || c >= 0x7f ? '?' : *text;
    }
}

const char *rp_check_quote(struct rp_bytes name, char text[RP_CHECK_NAME_SIZE]) {
    size_t at = 0, i = 0;
    text[at++] = '"';
    for (; i < name.len && at < RP_CHECK_NAME_SIZE - 10; i++) {
        bool plain = name.data[i] >= 0x20 && name.data[i] < 0x7f;
        at += (size_t) snprintf(text + at, 5, plain ? "%c" : "\\x%02x", name.data[i]);
    }
    snprintf(text + at, RP_CHECK_NAME_SIZE - at, "%s\"", i < name.len ? "..." : "");
    return text;
}

static void tell(struct rp_check *c, enum rp_check_kind kind, const char *format, va_list args) {
    char text[RP_CHECK_TEXT_SIZE];
    vsnprintf(text, sizeof text, format, args);
    make_printable(text);
    c->o->tell(c->o->ctx, kind, text);
}

void rp_check_damage(struct rp_check *c, const char *format, ...) {
    if (c->r.damages++ < c->o->findings_max) {
        va_list args;
        va_start(args, format);
        tell(c, RP_CHECK_DAMAGE, format, args);
        va_end(args);
    }
}

void rp_check_note(struct rp_check *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    tell(c, RP_CHECK_NOTE, format, args);
    va_end(args);
}

bool rp_check_can_read(struct rp_check *c, const char *what, int rc) {
    if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW) {
        rp_check_damage(c, "%s cannot be read: %s", what, sqlite3_errstr(rc));
        return false;
    }
    return true;
}

void rp_check_progress(struct rp_check *c, const char *what, uint64_t done, uint64_t all) {
    if (c->o->progress != NULL) {
        c->o->progress(c->o->ctx, what,
                       all > 0 ? (unsigned) (100.0 * (double) done / (double) all) : 100);
    }
}

__attribute__((format(printf, 3, 4))) static enum rp_err
refuse(struct rp_buf *message, enum rp_err err, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void) !rp_buf_put_str(message, text);
    return err;
}

/* ---- opening ---- */

static enum rp_err look_at_file(const char *path, struct rp_buf *message) {
    static const char magic[16] = "SQLite format 3";
    char head[sizeof magic];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
        }
        return refuse(message, error == ENOENT ? RP_E_NOT_FOUND : RP_E_IO, "cannot read %s: %s",
                      path, strerror(error));
    }
    ssize_t len = S_ISREG(st.st_mode) ? read(fd, head, sizeof head) : -1;
    close(fd);
    if (len != (ssize_t) sizeof head || memcmp(head, magic, sizeof magic) != 0) {
        return refuse(message, RP_E_FOREIGN, "%s is not a database of Reprise", path);
    }
    return RP_OK;
}

/* A file in a place where nothing can be written has no companions, and nobody writes to it. */
static int open_immutable(const char *path, sqlite3 **ret_db) {
    char *real = realpath(path, NULL);
    struct rp_buf uri;
    rp_buf_init(&uri, 3 * 4096 + 64);
    enum rp_err err = rp_buf_put_str(&uri, "file:");
    for (const char *at = real; err == RP_OK && at != NULL && *at != '\0'; at++) {
        err = rp_buf_printf(&uri, "%%%02x", (unsigned char) *at);
    }
    err = err == RP_OK ? rp_buf_put(&uri, RP_BYTES_LIT("?immutable=1\0")) : err;
    int rc = SQLITE_CANTOPEN;
    *ret_db = NULL;
    if (err == RP_OK && real != NULL) {
        rc = sqlite3_open_v2((const char *) uri.data, ret_db,
                             SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
                                 SQLITE_OPEN_EXRESCODE,
                             NULL);
    }
    rp_buf_done(&uri);
    free(real);
    return rc;
}

/* How far the broker that has the log, or had it, says that it has come. Before the transaction
 * begins: what is committed meanwhile is not missing from it. */
static void read_mark(struct rp_check *c) {
    char *real = realpath(c->o->path, NULL);
    char *name = sqlite3_mprintf("%s.lock", real != NULL ? real : c->o->path);
    RP_ASSERT(name != NULL);
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
        rp_sqlite_mark_read(fd, &c->mark);
        close(fd);
    }
    sqlite3_free(name);
    free(real);
}

/* The read transaction: from its first SELECT on everything is of one state. */
static int begin(sqlite3 *db) {
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL); /* it may be anybody's */
    rp_sqlite_exec(db, "PRAGMA cell_size_check = ON");
    return rp_sqlite_exec(db, "BEGIN; SELECT count(*) FROM sqlite_master");
}

static enum rp_err open_file(struct rp_check *c, struct rp_buf *message) {
    const char *path = c->o->path;
    int rc = rp_sqlite_db_open(path, RP_SQLITE_READ, CHECK_CACHE_KIB, &c->db);
    rc = rc == SQLITE_OK ? begin(c->db) : rc;
    int plain = rc & 0xff;
    if ((plain == SQLITE_CANTOPEN || plain == SQLITE_READONLY) && !rp_sqlite_wal_exists(path)) {
        sqlite3_close(c->db);
        rc = open_immutable(path, &c->db);
        rc = rc == SQLITE_OK ? begin(c->db) : rc;
        plain = rc & 0xff;
    }
    if (rc == SQLITE_OK) {
        return RP_OK;
    }
    if (plain == SQLITE_CORRUPT || plain == SQLITE_NOTADB) {
        rp_check_damage(c, "the file cannot be read as a database: %s", sqlite3_errmsg(c->db));
        return RP_E_CORRUPT; /* nothing else can be looked at */
    }
    return refuse(message, plain == SQLITE_BUSY ? RP_E_LOCKED : RP_E_IO,
                  "cannot open the database %s: %s; check the permissions of the file and its "
                  "folder",
                  path, sqlite3_errmsg(c->db));
}

/* ---- whose is it? ---- */

static enum rp_err identify(struct rp_check *c, struct rp_buf *message) {
    uint64_t application = 0, tables = 0;
    int rc = rp_sqlite_query_u64(c->db, "PRAGMA application_id", &application);
    rc = rc == SQLITE_OK ? rp_sqlite_query_u64(c->db, "PRAGMA user_version", &c->r.version) : rc;
    rc = rc == SQLITE_OK
             ? rp_sqlite_query_u64(c->db,
                                   "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND "
                                   "name IN ('event', 'meta', 'room_index', 'session')",
                                   &tables)
             : rc;
    if (!rp_check_can_read(c, "the schema", rc)) {
        return RP_E_CORRUPT;
    }
    if (application != RP_SQLITE_APPLICATION_ID && tables < 4) {
        return refuse(message, RP_E_FOREIGN, "%s is a SQLite database, but not one of Reprise",
                      c->o->path);
    }
    if (application != RP_SQLITE_APPLICATION_ID) {
        rp_check_damage(c, "the application id is %llu, and that of a log is %u",
                        (unsigned long long) application, RP_SQLITE_APPLICATION_ID);
    }
    uint64_t newest = rp_sqlite_schema_version();
    if (c->r.version == 0 || c->r.version > INT32_MAX) {
        rp_check_damage(c, "the schema version is %lld, which is none", (long long) c->r.version);
        return RP_E_CORRUPT;
    }
    if (c->r.version > newest || c->r.version < RP_CHECK_VERSION_MIN) {
        return refuse(message, RP_E_VERSION,
                      "%s has schema version %llu, and this program checks versions %d to %llu; %s",
                      c->o->path, (unsigned long long) c->r.version, RP_CHECK_VERSION_MIN,
                      (unsigned long long) newest,
                      c->r.version > newest ? "take that of a newer broker"
                                            : "start a broker on a copy of it, which brings it to "
                                              "the newest");
    }
    return RP_OK;
}

/* ---- the tables and indexes that must be there ---- */

/* name: of a table or an index; its columns, as text. */
static int columns_of(sqlite3 *db, const char *pragma, struct rp_bytes name, char *ret,
                      size_t size) {
    sqlite3_stmt *stmt;
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT coalesce(group_concat(coalesce(name, '?')), '') FROM %s(?1)",
             pragma);
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (rc != SQLITE_OK) {
        return rc;
    }
    rp_sqlite_bind_key(stmt, 1, name);
    ret[0] = '\0';
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        snprintf(ret, size, "%.*s", RP_BYTES_FMT(rp_sqlite_text(stmt, 0)));
    }
    return sqlite3_finalize(stmt);
}

static void check_object(struct rp_check *c, const char *type, struct rp_bytes name) {
    char expected[512], found[512];
    const char *pragma = strcmp(type, "table") == 0 ? "pragma_table_info" : "pragma_index_info";
    int rc = columns_of(c->replay->writer.db, pragma, name, expected, sizeof expected);
    RP_ASSERT(rc == SQLITE_OK);
    rc = columns_of(c->db, pragma, name, found, sizeof found);
    if (!rp_check_can_read(c, "the schema", rc)) {
        return;
    }
    if (found[0] == '\0') {
        rp_check_damage(c, "the %s %.*s is not there", type, RP_BYTES_FMT(name));
    } else if (strcmp(found, expected) != 0) {
        rp_check_damage(c, "the %s %.*s has the columns %s and not %s", type, RP_BYTES_FMT(name),
                        found, expected);
    }
}

/* Against those of a new file. One of an older version has fewer columns. */
static void check_schema(struct rp_check *c) {
    sqlite3_stmt *stmt;
    if (c->r.version != rp_sqlite_schema_version()) {
        return;
    }
    int rc = sqlite3_prepare_v2(c->replay->writer.db,
                                "SELECT type, name FROM sqlite_master WHERE type IN ('table', "
                                "'index') AND sql IS NOT NULL ORDER BY type, name",
                                -1, &stmt, NULL);
    RP_ASSERT(rc == SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        char type[8];
        snprintf(type, sizeof type, "%s", (const char *) sqlite3_column_text(stmt, 0));
        check_object(c, type, rp_sqlite_text(stmt, 1));
    }
    sqlite3_finalize(stmt);
}

/* ---- SQLite's own structure ---- */

static void check_integrity(struct rp_check *c) {
    sqlite3_stmt *stmt;
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA integrity_check(%d)", OF_SQLITE_MAX);
    rp_check_progress(c, "SQLite's integrity_check", 0, 1);
    int rc = sqlite3_prepare_v2(c->db, sql, -1, &stmt, NULL);
    while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        struct rp_bytes text = rp_sqlite_text(stmt, 0);
        if (!rp_bytes_eq_str(text, "ok")) {
            rp_check_damage(c, "SQLite: %.*s", RP_BYTES_FMT(text));
        }
    }
    rc = rc == SQLITE_OK ? sqlite3_finalize(stmt) : rc;
    rp_check_can_read(c, "the file", rc);
}

/* ---- meta ---- */

static int read_meta(struct rp_check *c, uint64_t *ret_clean) {
    const struct {
        const char *key;
        uint64_t *value;
    } numbers[] = {
        {"next_seq", &c->r.next_seq},
        {"first_seq", &c->r.first_seq},
        {"indexed_seq", &c->indexed_seq},
        {"segment_events", &c->segment_events},
        {"clean", ret_clean},
        {"sessions_from", &c->sessions_from},
        {"dense_from", &c->dense_from},
        {"copied_ts", &c->r.copied_ts_ms},
    };
    int rc = rp_sqlite_meta_text(c->db, "epoch", c->r.epoch, sizeof c->r.epoch);
    for (size_t i = 0; rc == SQLITE_OK && i < sizeof numbers / sizeof *numbers; i++) {
        *numbers[i].value = 0;
        rc = rp_sqlite_meta_u64(c->db, numbers[i].key, numbers[i].value);
    }
    return rc;
}

static void check_epoch(struct rp_check *c) {
    uint64_t sum = 0;
    bool sound = strlen(c->r.epoch) == RP_EPOCH_LEN;
    for (const char *at = c->r.epoch; *at != '\0'; at++) {
        sound = sound && ((*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9'));
    }
    if (!sound) {
        rp_check_damage(c, "meta: the epoch \"%s\" is none", c->r.epoch);
    }
    int rc = rp_sqlite_meta_u64(c->db, "epoch_sum", &sum);
    if (sound && rp_check_can_read(c, "meta", rc) && sum != 0 &&
        sum != rp_sqlite_epoch_sum(c->r.epoch)) {
        rp_check_damage(c, "meta: the epoch \"%s\" is not the one that was written", c->r.epoch);
    }
}

/* False: the numbers are of no use for looking further. */
static bool check_numbers(struct rp_check *c, uint64_t clean, uint64_t newest) {
    const struct rp_check_result *r = &c->r;
    uint64_t damages = r->damages;
    bool of_use = c->segment_events > 0 && c->segment_events <= 1u << 24;
    if (!of_use) {
        rp_check_damage(c, "meta: segment_events is %llu", (unsigned long long) c->segment_events);
    }
    if (clean > 1) {
        rp_check_damage(c, "meta: clean is %llu", (unsigned long long) clean);
    }
    if (r->next_seq == 0 || r->next_seq > INT64_MAX) {
        rp_check_damage(c, "meta: next_seq is %lld", (long long) r->next_seq);
    } else if (clean == 1 && r->next_seq <= newest) {
        rp_check_damage(c, "meta: next_seq is %llu, and there is a record %llu",
                        (unsigned long long) r->next_seq, (unsigned long long) newest);
    }
    if (r->first_seq == 0 || r->first_seq > c->after_seqs) {
        rp_check_damage(c, "meta: first_seq is %lld, and the next seq %llu",
                        (long long) r->first_seq, (unsigned long long) c->after_seqs);
    }
    if (c->indexed_seq >= c->after_seqs || (of_use && c->indexed_seq % c->segment_events != 0)) {
        rp_check_damage(c, "meta: indexed_seq is %lld, with segments of %llu and the next seq %llu",
                        (long long) c->indexed_seq, (unsigned long long) c->segment_events,
                        (unsigned long long) c->after_seqs);
    }
    if (c->dense_from > c->after_seqs) {
        rp_check_damage(c, "meta: dense_from is %lld, and the next seq %llu",
                        (long long) c->dense_from, (unsigned long long) c->after_seqs);
    }
    if (c->sessions_from > c->after_seqs) {
        rp_check_damage(c, "meta: sessions_from is %lld, and the next seq %llu",
                        (long long) c->sessions_from, (unsigned long long) c->after_seqs);
    }
    return r->damages == damages || of_use;
}

static bool check_meta(struct rp_check *c) {
    uint64_t clean = 0, newest = 0;
    int rc = read_meta(c, &clean);
    rc = rc == SQLITE_OK ? rp_sqlite_query_u64(c->db, "SELECT max(seq) FROM event", &newest) : rc;
    if (!rp_check_can_read(c, "meta", rc)) {
        return false;
    }
    /* next_seq is a lower bound while a broker runs */
    c->after_seqs = c->r.next_seq > newest ? c->r.next_seq : newest + 1;
    c->after_seqs = c->after_seqs > INT64_MAX ? newest + 1 : c->after_seqs;
    check_epoch(c);
    bool of_use = check_numbers(c, clean, newest);
    bool is_backup = c->r.copied_ts_ms > 0; /* of a moment that the log has left behind */
    if (!is_backup && strcmp(c->mark.epoch, c->r.epoch) == 0 && c->mark.next_seq > c->after_seqs) {
        rp_check_damage(c,
                        "the newest records are not there: the .lock file says that seq %llu was",
                        (unsigned long long) (c->mark.next_seq - 1));
    }
    /* in a file without sessions_from nobody knows what a new epoch has forgotten */
    c->sessions_from = c->sessions_from > 0 ? c->sessions_from : c->after_seqs;
    c->compared_from = c->sessions_from > c->r.first_seq ? c->sessions_from : c->r.first_seq;
    c->r.next_seq = c->after_seqs;
    return of_use;
}

/* ---- the replay ---- */

/* A file that goes when it is closed, and that SQLite makes only once its cache is full. */
static enum rp_err open_replay(struct rp_check *c, struct rp_buf *message) {
    c->replay = RP_NEW(struct rp_sqlite);
    struct rp_sqlite_writer *w = &c->replay->writer;
    char sql[128];
    snprintf(sql, sizeof sql,
             "PRAGMA cache_size = -%d; PRAGMA journal_mode = MEMORY; PRAGMA temp_store = MEMORY",
             REPLAY_CACHE_KIB);
    int rc = sqlite3_open_v2("", &w->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                 SQLITE_OPEN_EXRESCODE,
                             NULL);
    rc = rc == SQLITE_OK ? rp_sqlite_exec(w->db, sql) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_exec(w->db, rp_schema_sql) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_writer_init(c->replay) : rc;
    return rc == SQLITE_OK ? RP_OK
                           : refuse(message, RP_E_IO, "cannot make a temporary database: %s",
                                    sqlite3_errstr(rc));
}

static void close_all(struct rp_check *c) {
    if (c->replay != NULL) {
        rp_sqlite_finalize(c->replay->writer.stmts, RP_SQLITE_W_COUNT);
        sqlite3_close(c->replay->writer.db);
        free(c->replay);
    }
    sqlite3_close(c->db);
}

/* ---- the whole ---- */

static void count(struct rp_check *c) {
    int rc = rp_sqlite_query_u64(c->db, "SELECT count(*) FROM session", &c->r.sessions);
    rc = rc == SQLITE_OK
             ? rp_sqlite_query_u64(c->db, "SELECT count(*) FROM namespace", &c->r.namespaces)
             : rc;
    rc = rc == SQLITE_OK
             ? rp_sqlite_query_u64(c->db, "SELECT count(*) FROM segment", &c->r.segments)
             : rc;
    rc =
        rc == SQLITE_OK ? rp_sqlite_query_u64(c->db, "SELECT count(*) FROM room", &c->r.rooms) : rc;
    rc = rc == SQLITE_OK
             ? rp_sqlite_query_u64(c->db, "SELECT max(trimmed_seq) FROM room", &c->border_max)
             : rc;
    rp_check_can_read(c, "the file", rc);
}

static enum rp_err check_all(struct rp_check *c, struct rp_buf *message) {
    enum rp_err err = look_at_file(c->o->path, message);
    read_mark(c);
    err = err == RP_OK ? open_file(c, message) : err;
    err = err == RP_OK ? identify(c, message) : err;
    err = err == RP_OK ? open_replay(c, message) : err;
    if (err != RP_OK) {
        return err;
    }
    check_schema(c);
    check_integrity(c);
    if (check_meta(c)) {
        count(c);
        rp_check_records(c);
        rp_check_rows(c);
        if (c->records_read) {
            rp_check_compare(c);
        }
    }
    return RP_OK;
}

enum rp_err rp_check_file(const struct rp_check_options *options, struct rp_buf *message,
                          struct rp_check_result *ret_result) {
    struct rp_check c = {.o = options};
    RP_ASSERT(getrandom(&c.hash_key, sizeof c.hash_key, 0) == (ssize_t) sizeof c.hash_key);
    enum rp_err err = check_all(&c, message);
    if (err == RP_E_CORRUPT && c.r.damages > 0) {
        err = RP_OK; /* that it cannot be read further has been told */
    }
    close_all(&c);
    if (err == RP_OK) {
        *ret_result = c.r;
    }
    return err;
}
