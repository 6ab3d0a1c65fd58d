/* broker/sqlite_place.c — are the file and its WAL still where they were opened? SQLite writes on
 * into files that were removed, renamed or replaced, as if nothing had happened, and whoever opens
 * the path next does not find what was written. So after each commit, and before anybody is told
 * of it, both names are looked up; it costs two calls of stat.
 *
 * And a lock on the file itself: `<path>.lock` keeps brokers apart that use the same name, but
 * somebody may remove it, and a file may have a second name (a hard link). */
#include "broker/sqlite_state.h"

#include "common/alloc.h"
#include "common/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Far behind any page and the bytes SQLite locks (1 GiB). */
#define LOCK_AT ((off_t) 1 << 61)

bool rp_sqlite_lock_soon(int fd, int (*lock)(int fd)) {
    enum { STEP_MS = 20 };
    const struct timespec step = {.tv_nsec = STEP_MS * 1000000L};
    for (int waited_ms = 0; lock(fd) < 0; waited_ms += STEP_MS) {
        if (errno != EWOULDBLOCK || waited_ms >= RP_ENGINE_SQLITE_LOCK_MS) {
            return false;
        }
        nanosleep(&step, NULL);
    }
    return true;
}

/* The lock is of the kind that belongs to the open file (OFD), not to the process: SQLite closes
 * files of its own, which lets go of the other kind. For the same reason fd stays open until SQLite
 * has closed all of its own. */
static int lock_far_behind(int fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_AT, .l_len = 1};
    int rc = fcntl(fd, F_OFD_SETLK, &lock);
    errno = rc < 0 && errno == EACCES ? EWOULDBLOCK : errno; /* fcntl may say either */
    return rc;
}

/* Where there is no such file to open, or no such locks, <path>.lock must do. */
bool rp_sqlite_place_lock(struct rp_sqlite *s) {
    s->place.fd = open(s->path, O_RDWR | O_CLOEXEC);
    return s->place.fd < 0 || rp_sqlite_lock_soon(s->place.fd, lock_far_behind) ||
           errno != EWOULDBLOCK;
}

static struct rp_sqlite_spot spot_of(const char *path) {
    struct stat st;
    bool is_there = stat(path, &st) == 0;
    return is_there ? (struct rp_sqlite_spot){.known = true, .dev = st.st_dev, .ino = st.st_ino}
                    : (struct rp_sqlite_spot){.known = false};
}

void rp_sqlite_place_note(struct rp_sqlite *s) {
    struct rp_sqlite_place *p = &s->place;
    char identity[RP_SQLITE_FILE_SIZE];
    size_t size = strlen(s->path) + sizeof "-wal";
    p->wal_path = rp_alloc(size);
    snprintf(p->wal_path, size, "%s-wal", s->path);
    rp_sqlite_file_identity(s->path, identity);
    p->numbers_tell = identity[0] != '\0';
    p->file = spot_of(s->path);
    p->wal = spot_of(p->wal_path);
}

/* What has become of it; NULL: it is there, or that cannot be seen. */
static const char *changed(const char *path, const struct rp_sqlite_spot *spot, bool numbers_tell) {
    struct stat st;
    if (!spot->known) {
        return NULL;
    }
    if (stat(path, &st) < 0) {
        return errno == ENOENT || errno == ENOTDIR ? "was removed or renamed" : NULL;
    }
    return numbers_tell && (st.st_dev != spot->dev || st.st_ino != spot->ino)
               ? "was replaced by another file"
               : NULL;
}

bool rp_sqlite_place_holds(struct rp_sqlite *s) {
    struct rp_sqlite_place *p = &s->place;
    const char *name = s->path;
    const char *what = changed(s->path, &p->file, p->numbers_tell);
    if (what == NULL) {
        name = p->wal_path;
        what = changed(p->wal_path, &p->wal, p->numbers_tell);
    }
    if (what != NULL) {
        p->lost = true;
        snprintf(s->engine.why, sizeof s->engine.why,
                 "%s %s while it was in use: what is written would not be found again", name, what);
    }
    return what == NULL;
}

/* What the WAL has goes into the file while both are open, whatever they are called now. Nothing is
 * removed: at the names may be somebody else's files. */
void rp_sqlite_place_rescue(struct rp_sqlite *s) {
    (void) sqlite3_wal_checkpoint_v2(s->writer.db, "main", SQLITE_CHECKPOINT_FULL, NULL, NULL);
}

void rp_sqlite_place_done(struct rp_sqlite *s) {
    free(s->place.wal_path);
    if (s->place.fd >= 0) {
        close(s->place.fd);
    }
}
