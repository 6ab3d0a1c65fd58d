#include "broker/backup.h"

#include "broker/sqlite_state.h"
#include "common/alloc.h"
#include "common/assert.h"
#include "common/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK_PAGES = 256, SOURCE_CACHE_KIB = 4096 };

/* One file on its way to its name. */
struct copy {
    const struct rp_backup_options *o;
    struct rp_buf *message;
    const char *from, *to;
    char *temporary; /* beside `to` */
    int fd;          /* of it, with the lock that keeps others from it */
    bool created;    /* it is ours to remove */
    sqlite3 *source, *target;
};

__attribute__((format(printf, 3, 4))) static enum rp_err fail(struct copy *c, enum rp_err err,
                                                              const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void) !rp_buf_put_str(c->message, text);
    return err;
}

static enum rp_err fail_sqlite(struct copy *c, const char *doing, const char *path, sqlite3 *db,
                               int rc) {
    enum rp_err err = rp_sqlite_err(rc);
    const char *way_out = err == RP_E_NO_SPACE  ? "make room on that disk"
                          : err == RP_E_CORRUPT ? "see what --check says of it"
                                                : "check the disk and the permissions";
    return fail(c, err, "cannot %s %s: %s; %s", doing, path,
                db != NULL && sqlite3_errcode(db) == rc ? sqlite3_errmsg(db) : sqlite3_errstr(rc),
                way_out);
}

static bool exists(const char *path, const char *suffix) {
    struct stat st;
    char *name = sqlite3_mprintf("%s%s", path, suffix);
    RP_ASSERT(name != NULL);
    bool found = lstat(name, &st) == 0 || errno != ENOENT;
    sqlite3_free(name);
    return found;
}

/* ---- source ---- */

/* Within a transaction that is held to the end of the copy: a writer neither waits for it nor makes
 * it begin anew. */
static enum rp_err open_source(struct copy *c) {
    uint64_t application = 0;
    if (access(c->from, F_OK) < 0 && errno == ENOENT) {
        return fail(c, RP_E_NOT_FOUND, "there is no %s", c->from);
    }
    int rc = rp_sqlite_db_open(c->from, RP_SQLITE_READ, SOURCE_CACHE_KIB, &c->source);
    rc = rc == SQLITE_OK ? rp_sqlite_exec(c->source, "BEGIN") : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_query_u64(c->source, "PRAGMA application_id", &application)
                         : rc;
    uint64_t tables = 0; /* begins to read */
    rc = rc == SQLITE_OK
             ? rp_sqlite_query_u64(c->source, "SELECT count(*) FROM sqlite_master", &tables)
             : rc;
    if ((rc & 0xff) == SQLITE_NOTADB ||
        (rc == SQLITE_OK && application != RP_SQLITE_APPLICATION_ID)) {
        return fail(c, RP_E_FOREIGN, "%s is not a database of Reprise", c->from);
    }
    return rc == SQLITE_OK ? RP_OK : fail_sqlite(c, "read the database", c->from, c->source, rc);
}

/* ---- target ---- */

/* Whoever had the lock may have given the file its name between our open and our lock. */
static bool is_still_temporary(const struct copy *c) {
    struct stat ours, named;
    return fstat(c->fd, &ours) == 0 && stat(c->temporary, &named) == 0 &&
           ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

/* One that was left behind by a copy that was cut off is written over. */
static enum rp_err open_target(struct copy *c) {
    struct stat st;
    c->temporary = sqlite3_mprintf("%s%s.tmp", c->to[0] == '/' ? "" : "./", c->to);
    RP_ASSERT(c->temporary != NULL);
    c->fd = open(c->temporary, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (c->fd < 0) {
        return fail(c, RP_E_IO, "cannot write %s: %s; check the permissions of its folder",
                    c->temporary, strerror(errno));
    }
    if (flock(c->fd, LOCK_EX | LOCK_NB) < 0 || !is_still_temporary(c)) {
        return fail(c, RP_E_LOCKED, "another process writes %s; wait for its end", c->temporary);
    }
    c->created = true;
    /* as open to others as the original: it holds the same */
    if (ftruncate(c->fd, 0) < 0 || stat(c->from, &st) < 0 || fchmod(c->fd, st.st_mode & 0666) < 0) {
        return fail(c, RP_E_IO, "cannot write %s: %s", c->temporary, strerror(errno));
    }
    int rc =
        sqlite3_open_v2(c->temporary, &c->target,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    return rc == SQLITE_OK ? RP_OK : fail_sqlite(c, "write", c->temporary, c->target, rc);
}

static int copy_pages(struct copy *c) {
    sqlite3_backup *b = sqlite3_backup_init(c->target, "main", c->source, "main");
    if (b == NULL) {
        return sqlite3_errcode(c->target);
    }
    int rc;
    while ((rc = sqlite3_backup_step(b, CHUNK_PAGES)) == SQLITE_OK) {
        int all = sqlite3_backup_pagecount(b), left = sqlite3_backup_remaining(b);
        if (c->o->progress != NULL && all > 0) {
            c->o->progress(c->o->ctx, "copied", (unsigned) (100.0 * (all - left) / all));
        }
    }
    int end = sqlite3_backup_finish(b);
    return rc == SQLITE_DONE ? end : rc;
}

/* The copy is one file: it has no WAL until a broker opens it. */
static enum rp_err copy_all(struct copy *c) {
    enum rp_err err = open_source(c);
    err = err == RP_OK ? open_target(c) : err;
    if (err != RP_OK) {
        return err;
    }
    int rc = copy_pages(c);
    rc = rc == SQLITE_OK ? rp_sqlite_exec(c->target, "PRAGMA journal_mode = DELETE") : rc;
    return rc == SQLITE_OK ? RP_OK : fail_sqlite(c, "write", c->temporary, c->target, rc);
}

/* ---- its name ---- */

static int sync_folder(const char *path) {
    char *copy = strdup(path);
    RP_ASSERT(copy != NULL);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd >= 0 && fsync(fd) == 0 ? 0 : -1;
    if (fd >= 0) {
        close(fd);
    }
    free(copy);
    return rc;
}

/* Never in the place of another file. */
static int give_name(const char *from, const char *to) {
    int rc = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (rc < 0 && (errno == EINVAL || errno == ENOSYS)) { /* the file system has no such thing */
        errno = EEXIST;
        rc = exists(to, "") ? -1 : rename(from, to);
    }
    return rc;
}

static enum rp_err finish(struct copy *c, uint64_t *ret_bytes) {
    struct stat st;
    sqlite3_close(c->target);
    c->target = NULL;
    if (fsync(c->fd) < 0 || fstat(c->fd, &st) < 0) {
        return fail(c, RP_E_IO, "cannot write %s: %s; check the disk", c->temporary,
                    strerror(errno));
    }
    if (give_name(c->temporary, c->to) < 0) {
        return fail(c, errno == EEXIST ? RP_E_LOCKED : RP_E_IO, "cannot make %s: %s", c->to,
                    strerror(errno));
    }
    c->created = false;
    *ret_bytes = (uint64_t) st.st_size;
    return sync_folder(c->to) == 0
               ? RP_OK
               : fail(c, RP_E_IO, "%s is written, but its folder cannot be synced: %s", c->to,
                      strerror(errno));
}

static void clean_up(struct copy *c) {
    sqlite3_close(c->target);
    sqlite3_close(c->source);
    if (c->created) {
        char *journal = sqlite3_mprintf("%s-journal", c->temporary); /* of a write that failed */
        RP_ASSERT(journal != NULL);
        unlink(journal);
        unlink(c->temporary);
        sqlite3_free(journal);
    }
    if (c->fd >= 0) {
        close(c->fd);
    }
    sqlite3_free(c->temporary);
}

/* ---- backup ---- */

static int mark(sqlite3 *db, uint64_t wall_ms, struct rp_backup_result *r) {
    uint64_t newest = 0;
    int rc = rp_sqlite_exec(db, "BEGIN IMMEDIATE");
    rc = rc == SQLITE_OK ? rp_sqlite_meta_text(db, "epoch", r->epoch, sizeof r->epoch) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_u64(db, "next_seq", &r->next_seq) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_query_u64(db, "SELECT max(seq) FROM event", &newest) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_u64(db, "copied_ts", wall_ms) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_text(db, "copied_from", r->epoch) : rc;
    r->next_seq = newest < r->next_seq ? r->next_seq : newest + 1;
    return rc == SQLITE_OK ? rp_sqlite_exec(db, "COMMIT") : rc;
}

enum rp_err rp_backup_make(const struct rp_backup_options *o, struct rp_buf *message,
                           struct rp_backup_result *ret_result) {
    struct copy c = {.o = o, .message = message, .from = o->db, .to = o->file, .fd = -1};
    struct rp_backup_result r = {.bytes = 0};
    enum rp_err err = exists(c.to, "") ? fail(&c, RP_E_LOCKED,
                                              "%s is there already; give --backup another name, or "
                                              "move that file away",
                                              c.to)
                                       : copy_all(&c);
    if (err == RP_OK) {
        int rc = mark(c.target, o->wall_ms, &r);
        err = rc == SQLITE_OK ? finish(&c, &r.bytes)
                              : fail_sqlite(&c, "write", c.temporary, c.target, rc);
    }
    clean_up(&c);
    if (err == RP_OK) {
        *ret_result = r;
    }
    return err;
}

/* ---- restore ---- */

static enum rp_err refuse_existing(struct copy *c) {
    static const char *const suffixes[] = {"", "-wal", "-journal"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        if (exists(c->to, suffixes[i])) {
            return fail(c, RP_E_LOCKED,
                        "%s%s is there; move it away first (with its -wal and -shm, which belong "
                        "to it), so that nothing is lost by mistake",
                        c->to, suffixes[i]);
        }
    }
    return RP_OK;
}

static enum rp_err bring_up_to_date(struct copy *c) {
    uint64_t version = 0, newest = rp_sqlite_schema_version();
    int rc = rp_sqlite_query_u64(c->target, "PRAGMA user_version", &version);
    if (rc == SQLITE_OK && version > 0 && version < newest) {
        rc = rp_sqlite_schema_upgrade(c->target, version, 0);
    }
    return rc == SQLITE_OK ? RP_OK : fail_sqlite(c, "upgrade", c->temporary, c->target, rc);
}

/* What is checked is what will have the name. */
static enum rp_err check(struct copy *c, struct rp_check_result *ret_result) {
    const struct rp_check_options options = {.path = c->temporary,
                                             .findings_max = c->o->findings_max,
                                             .tell = c->o->tell,
                                             .progress = c->o->progress,
                                             .ctx = c->o->ctx};
    enum rp_err err = rp_check_file(&options, c->message, ret_result);
    if (err == RP_OK && ret_result->damages > 0) {
        return fail(c, RP_E_CORRUPT, "%s is damaged and was not restored; take an older backup",
                    c->from);
    }
    return err;
}

/* Its sessions are forgotten, it has a new epoch, and the file that it will be is its own. */
static int renew(struct copy *c, const struct rp_sqlite_mark *mark, struct rp_backup_result *r) {
    sqlite3 *db = c->target;
    char file[RP_SQLITE_FILE_SIZE];
    memcpy(r->old_epoch, r->check.epoch, sizeof r->old_epoch);
    r->copied_ts_ms = r->check.copied_ts_ms;
    r->next_seq = r->check.next_seq > mark->next_seq ? r->check.next_seq : mark->next_seq;
    rp_sqlite_file_identity(c->temporary, file);
    int rc = rp_sqlite_exec(db, "BEGIN IMMEDIATE");
    rc = rc == SQLITE_OK ? rp_sqlite_schema_renew(db, &r->next_seq, r->epoch) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_text(db, "file", file) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_u64(db, "clean", 1) : rc;
    return rc == SQLITE_OK ? rp_sqlite_exec(db, "COMMIT") : rc;
}

static enum rp_err restore(struct copy *c, struct rp_sqlite *s, struct rp_backup_result *r) {
    enum rp_err err = rp_sqlite_file_lock(s, c->message);
    err = err == RP_OK ? refuse_existing(c) : err;
    err = err == RP_OK ? copy_all(c) : err;
    err = err == RP_OK ? bring_up_to_date(c) : err;
    err = err == RP_OK ? check(c, &r->check) : err;
    if (err != RP_OK) {
        return err;
    }
    int rc = renew(c, &s->mark, r);
    err = rc == SQLITE_OK ? finish(c, &r->bytes)
                          : fail_sqlite(c, "write", c->temporary, c->target, rc);
    if (err == RP_OK) {
        struct rp_sqlite_mark mark = {.next_seq = r->next_seq};
        memcpy(mark.epoch, r->epoch, RP_EPOCH_LEN);
        rp_sqlite_file_identity(c->to, mark.file);
        rp_sqlite_mark_write(s->lock_fd, &mark, true);
    }
    return err;
}

enum rp_err rp_backup_restore(const struct rp_backup_options *o, struct rp_buf *message,
                              struct rp_backup_result *ret_result) {
    struct copy c = {.o = o, .message = message, .from = o->file, .to = o->db, .fd = -1};
    struct rp_backup_result r = {.bytes = 0};
    struct rp_sqlite *s = RP_NEW(struct rp_sqlite); /* of it only what locks */
    size_t size = strlen(o->db) + 1;
    s->path = memcpy(rp_alloc(size), o->db, size);
    s->lock_fd = -1;
    enum rp_err err = restore(&c, s, &r);
    clean_up(&c);
    if (s->lock_fd >= 0) {
        close(s->lock_fd);
    }
    free(s->path);
    free(s);
    if (err == RP_OK) {
        *ret_result = r;
    }
    return err;
}
