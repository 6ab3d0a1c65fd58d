#include "broker/sqlite_space.h"

#include "broker/sqlite_state.h"

#include "common/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum {
    LOOK_MS = 200,
    FAR_BYTES_MIN = 16 << 20, /* past the budget, from where on everything is refused, … */
    FAR_SHARE = 8,            /* … or a part of the budget, if that is more */
    RESERVE_SHARE = 16,       /* it is looked at again after so much of the reserve was written */
    BACK_SHARE = 64,          /* how far below a bound it must come for events to be taken again */
    SLACK_PAGES_MIN = 1024,   /* free pages that stay in the file to be used again, … */
    SLACK_SHARE = 8,          /* … or a part of the file */
    WAL_USUAL_FRAMES = 16384, /* 64 MB: passes of the checkpointer keep it below */
};

#define SHRINK_LITTLE "PRAGMA incremental_vacuum(16)"
#define SHRINK "PRAGMA incremental_vacuum(128)"

/* The folder the file is in, for the file system's free space. */
static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t) (slash - path);
    char *folder = rp_alloc(len + 2);
    memcpy(folder, len > 0 ? path : ".", len > 0 ? len : 1);
    return folder;
}

int rp_sqlite_space_init(struct rp_sqlite *s, uint64_t budget_bytes, uint64_t reserve_bytes) {
    struct rp_sqlite_space *space = &s->space;
    sqlite3 *db = s->writer.db;
    sqlite3_stmt *size = NULL, *mode = NULL;
    uint64_t vacuum = 0;
    space->budget_bytes = budget_bytes;
    space->reserve_bytes = reserve_bytes;
    space->folder = folder_of(s->path);
    int rc = rp_sqlite_prepare(db, "PRAGMA page_size", &size);
    rc = rc == SQLITE_OK ? rp_sqlite_run_u64(size, &space->page_size) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_prepare(db, "PRAGMA auto_vacuum", &mode) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_run_u64(mode, &vacuum) : rc;
    sqlite3_finalize(size);
    sqlite3_finalize(mode);
    space->can_shrink = vacuum == 2;
    rc = rc == SQLITE_OK ? rp_sqlite_prepare(db, "PRAGMA page_count", &space->pages) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_prepare(db, "PRAGMA freelist_count", &space->free_pages) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_prepare(db, SHRINK_LITTLE, &space->shrink_little) : rc;
    return rc == SQLITE_OK ? rp_sqlite_prepare(db, SHRINK, &space->shrink) : rc;
}

void rp_sqlite_space_done(struct rp_sqlite *s) {
    struct rp_sqlite_space *space = &s->space;
    sqlite3_finalize(space->pages);
    sqlite3_finalize(space->free_pages);
    sqlite3_finalize(space->shrink_little);
    sqlite3_finalize(space->shrink);
    free(space->folder);
}

static int count_pages(struct rp_sqlite_space *space, uint64_t *ret_all, uint64_t *ret_free) {
    int rc = rp_sqlite_run_u64(space->pages, ret_all);
    return rc == SQLITE_OK ? rp_sqlite_run_u64(space->free_pages, ret_free) : rc;
}

/* Frames of the WAL beyond its usual size. */
static uint64_t unusual_frames(const struct rp_sqlite *s) {
    uint64_t frames = atomic_load_explicit(&s->counters.wal_frames, memory_order_relaxed);
    return frames > WAL_USUAL_FRAMES ? frames - WAL_USUAL_FRAMES : 0;
}

int rp_sqlite_space_used(struct rp_sqlite *s, uint64_t *ret_bytes) {
    uint64_t all = 0, unused = 0;
    int rc = count_pages(&s->space, &all, &unused);
    if (rc == SQLITE_OK) {
        *ret_bytes = (all - unused + unusual_frames(s)) * s->space.page_size;
    }
    return rc;
}

/* ---- budget and reserve ---- */

static void judge(struct rp_sqlite_space *space, uint64_t used, uint64_t disk) {
    uint64_t budget = space->budget_bytes, reserve = space->reserve_bytes;
    uint64_t far = budget / FAR_SHARE > FAR_BYTES_MIN ? budget / FAR_SHARE : FAR_BYTES_MIN;
    if (space->no_events) { /* not to and fro with every transaction */
        budget -= budget < UINT64_MAX ? budget / BACK_SHARE : 0;
        reserve += reserve / BACK_SHARE;
    }
    space->no_events = used > budget || disk < reserve;
    space->nothing = space->budget_bytes < UINT64_MAX - far && used > space->budget_bytes + far;
}

/* Free pages in the file are worth keeping, up to a point. While somebody reads an old state,
 * giving them back only makes the WAL longer. */
static void judge_slack(struct rp_sqlite *s, uint64_t all, uint64_t unused) {
    struct rp_sqlite_space *space = &s->space;
    uint64_t slack = all / SLACK_SHARE > SLACK_PAGES_MIN ? all / SLACK_SHARE : SLACK_PAGES_MIN;
    slack -= space->shrinking ? slack / 4 : 0;
    bool wanted = space->can_shrink && unused > slack;
    space->shrinking = wanted && unusual_frames(s) == 0;
    space->shrinks_later = wanted && !space->shrinking;
}

/* Whether so much was written since the last look that it would be felt in the reserve. */
static bool has_written_much(const struct rp_sqlite *s) {
    const struct rp_sqlite_space *space = &s->space;
    uint64_t frames = s->writer.wal_frames, since = frames - space->looked_frames;
    since = frames < space->looked_frames ? frames : since; /* the WAL has begun anew */
    return space->reserve_bytes > 0 &&
           since * space->page_size > space->reserve_bytes / RESERVE_SHARE;
}

/* What the file will grow by when the WAL is copied back: pages that are only there yet. */
static uint64_t bytes_to_come(const struct rp_sqlite *s, uint64_t pages) {
    struct stat st;
    uint64_t size = stat(s->path, &st) == 0 ? (uint64_t) st.st_size : UINT64_MAX;
    uint64_t bytes = pages * s->space.page_size;
    return bytes > size ? bytes - size : 0;
}

void rp_sqlite_space_look(struct rp_sqlite *s, uint64_t now_ms) {
    struct rp_sqlite_space *space = &s->space;
    struct statvfs fs;
    uint64_t all = 0, unused = 0, used = 0;
    if (space->looked_ms != 0 && now_ms < space->looked_ms + LOOK_MS && !has_written_much(s)) {
        return;
    }
    space->looked_ms = now_ms;
    space->looked_frames = s->writer.wal_frames;
    if (count_pages(space, &all, &unused) != SQLITE_OK ||
        rp_sqlite_space_used(s, &used) != SQLITE_OK || statvfs(space->folder, &fs) < 0) {
        return;
    }
    uint64_t disk = (uint64_t) fs.f_bavail * (uint64_t) fs.f_frsize;
    uint64_t to_come = bytes_to_come(s, all);
    judge(space, used, disk > to_come ? disk - to_come : 0);
    judge_slack(s, all, unused);
    if (unusual_frames(s) > 0 && (space->no_events || space->shrinks_later)) {
        /* who reads an old state may be done */
        rp_sqlite_checkpointer_ask(s);
    }
    atomic_store_explicit(&s->counters.used_bytes, used, memory_order_relaxed);
    atomic_store_explicit(&s->counters.free_bytes, disk, memory_order_relaxed);
    atomic_store_explicit(&s->counters.no_space, space->no_events, memory_order_relaxed);
}

/* ---- giving back ---- */

int rp_sqlite_space_shrink(struct rp_sqlite *s, bool alone) {
    struct rp_sqlite_space *space = &s->space;
    sqlite3_stmt *stmt = alone ? space->shrink : space->shrink_little;
    uint64_t before = 0, after = 0, unused = 0;
    int rc = count_pages(space, &before, &unused);
    while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
    }
    rc = rc == SQLITE_OK ? sqlite3_reset(stmt) : rc;
    rc = rc == SQLITE_OK ? count_pages(space, &after, &unused) : rc;
    if (rc == SQLITE_OK) {
        rp_sqlite_count(&s->counters.pages_vacuumed, before - after);
        judge_slack(s, after, unused);
        space->shrinking = space->shrinking && after < before;
    }
    return rc;
}
