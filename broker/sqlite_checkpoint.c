/* broker/sqlite_checkpoint.c — copies the WAL back into the file, on a connection of its own, so
 * that no ack waits for it.
 *
 * A passive pass runs beside the writer and copies most. The WAL begins at its start again only if
 * nothing is left to copy and nobody reads it, and a busy writer always leaves something. So when
 * the WAL has grown past a bound the writer is asked to pause between two transactions while the
 * rest is copied: about two fsyncs, once in so many MB. A writer that is faster than the disk takes
 * the copies waits for a pass once it has added as much as a pass may cost. So the WAL is bounded
 * by about 150 MB.
 *
 * If somebody reads an old state for long (a sqlite3 shell within a transaction) the WAL has to
 * grow; that is counted, and tried again when it has grown further, or is asked for because the WAL
 * takes what the log may have of its disk. So it is when the disk is full.
 *
 * A sync that fails is the end: the kernel takes the pages for written, the next pass would find
 * nothing wrong, the WAL would begin anew over the only copy, or be what is missing after a power
 * failure. The writer hears of it before it commits anything else, and gives up. */
#include "broker/sqlite_state.h"

enum {
    CHECKPOINTER_CACHE_KIB = 256, /* copies from file to file */
    PASS_FRAMES = 2048, /* 8 MB not copied: a passive pass, if nothing else is asked for */
    PASSES_MAX = 2,
    PAUSE_BUSY_MS = 10, /* for readers that are in the WAL; pages are shorter */
    FAILURES_MAX = 3,   /* passes in a row that the disk did not take */
};

/* 32 MB: the writer pauses. */
static uint64_t restart_frames(const struct rp_sqlite_checkpointer *c) {
    return 4 * c->pass_frames;
}

/* The most the writer adds during one pass. */
static uint64_t growth_frames(const struct rp_sqlite_checkpointer *c) {
    return 4 * c->pass_frames;
}

/* The most to be copied during the pause, if passes can bring it down: 1 MB. */
static uint64_t rest_frames(const struct rp_sqlite_checkpointer *c) {
    return c->pass_frames / 8;
}

int rp_sqlite_checkpointer_init(struct rp_sqlite *s) {
    struct rp_sqlite_checkpointer *c = &s->checkpointer;
    c->pass_frames = c->pass_frames > 0 ? c->pass_frames : PASS_FRAMES;
    int rc = rp_sqlite_db_open(s->path, RP_SQLITE_WRITE, CHECKPOINTER_CACHE_KIB, &c->db);
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(c->db, PAUSE_BUSY_MS);
        rc = rp_sqlite_exec(c->db, "PRAGMA synchronous = FULL; SELECT count(*) FROM meta");
    }
    return rc;
}

/* ---- the writer's side ---- */

int rp_sqlite_checkpointer_enter(struct rp_sqlite *s) {
    struct rp_sqlite_checkpointer *c = &s->checkpointer;
    pthread_mutex_lock(&c->lock);
    while (c->pause_wanted || (c->passing && c->frames > c->pass_from + growth_frames(c))) {
        pthread_cond_wait(&c->pause, &c->lock);
    }
    c->writing = true;
    s->writer.wal_frames = c->frames; /* none, after a restart */
    int failure = c->failure;
    pthread_mutex_unlock(&c->lock);
    return failure;
}

int rp_sqlite_checkpointer_leave(struct rp_sqlite *s, uint64_t wal_frames) {
    struct rp_sqlite_checkpointer *c = &s->checkpointer;
    atomic_store_explicit(&s->counters.wal_frames, wal_frames, memory_order_relaxed);
    pthread_mutex_lock(&c->lock);
    if (wal_frames < c->frames) {
        rp_sqlite_count(&s->counters.wal_restarts, 1);
        c->copied = 0;
    }
    c->frames = wal_frames;
    c->writing = false;
    if (c->pause_wanted || c->frames - c->copied >= c->pass_frames) {
        pthread_cond_signal(&c->wake);
    }
    int failure = c->failure;
    pthread_mutex_unlock(&c->lock);
    return failure;
}

void rp_sqlite_checkpointer_ask(struct rp_sqlite *s) {
    struct rp_sqlite_checkpointer *c = &s->checkpointer;
    pthread_mutex_lock(&c->lock);
    c->asked = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

void rp_sqlite_checkpointer_forbid(struct rp_sqlite *s) {
    struct rp_sqlite_checkpointer *c = &s->checkpointer;
    pthread_mutex_lock(&c->lock);
    c->forbidden = true;
    while (c->passing || c->pause_wanted) {
        pthread_cond_wait(&c->pause, &c->lock);
    }
    pthread_mutex_unlock(&c->lock);
}

void rp_sqlite_checkpointer_stop(struct rp_sqlite *s) {
    struct rp_sqlite_checkpointer *c = &s->checkpointer;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
}

/* ---- the thread ---- */

struct pass {
    int rc;
    uint64_t frames, copied;
};

static void give_up(struct rp_sqlite *s, int rc) {
    struct rp_sqlite_checkpointer *c = &s->checkpointer;
    rp_sqlite_why(c->db, "copying the WAL back into the file", rc, c->why, sizeof c->why);
    pthread_mutex_lock(&c->lock);
    c->failure = rc;
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_lock(&s->inbox.lock); /* the writer may have nothing to do */
    s->inbox.checkpoint_failed = true;
    pthread_cond_signal(&s->inbox.work);
    pthread_mutex_unlock(&s->inbox.lock);
}

/* Readers, a person's lock or a full disk: the WAL still has it all, and so has the next pass. An
 * error of the disk may pass; or it does not. */
static void judge(struct rp_sqlite *s, int rc) {
    int plain = rc & 0xff, *failures = &s->checkpointer.failures;
    if (plain == SQLITE_BUSY || plain == SQLITE_LOCKED || plain == SQLITE_FULL) {
        return;
    }
    *failures = rc == SQLITE_OK ? 0 : *failures + 1;
    if (rp_sqlite_lost_writes(rc) || plain == SQLITE_CORRUPT || plain == SQLITE_NOTADB ||
        *failures >= FAILURES_MAX) {
        give_up(s, rc);
    }
}

static struct pass run_pass(struct rp_sqlite *s, int mode) {
    int frames = -1, copied = -1;
    int rc = sqlite3_wal_checkpoint_v2(s->checkpointer.db, "main", mode, &frames, &copied);
    judge(s, rc);
    rp_sqlite_count(&s->counters.checkpoints, 1);
    return (struct pass){.rc = rc,
                         .frames = frames > 0 ? (uint64_t) frames : 0,
                         .copied = copied > 0 ? (uint64_t) copied : 0};
}

/* Passes beside the writer until little is left. False: somebody reads an old state, or it failed.
 */
static bool copy_most(struct rp_sqlite *s, uint64_t *ret_frames) {
    struct rp_sqlite_checkpointer *c = &s->checkpointer;
    bool complete = false;
    for (int i = 0; i < PASSES_MAX; i++) {
        pthread_mutex_lock(&c->lock);
        c->passing = !c->forbidden;
        c->pass_from = c->frames;
        *ret_frames = c->frames;
        pthread_mutex_unlock(&c->lock);
        if (!c->passing) { /* only this thread sets it */
            return false;
        }
        struct pass pass = run_pass(s, SQLITE_CHECKPOINT_PASSIVE);
        complete = pass.rc == SQLITE_OK && pass.copied == pass.frames;
        pthread_mutex_lock(&c->lock);
        c->passing = false;
        pthread_cond_signal(&c->pause);
        /* what cannot be copied now is not tried again before as much has come on top of it */
        uint64_t seen = pass.rc == SQLITE_OK || pass.rc == SQLITE_BUSY ? pass.frames : c->pass_from;
        c->copied = seen < c->frames ? seen : c->frames;
        *ret_frames = c->frames;
        uint64_t rest = c->frames - c->copied;
        pthread_mutex_unlock(&c->lock);
        if (!complete || *ret_frames < restart_frames(c) || rest <= rest_frames(c)) {
            break;
        }
    }
    return complete;
}

static bool restart(struct rp_sqlite *s, int mode) {
    struct rp_sqlite_checkpointer *c = &s->checkpointer;
    pthread_mutex_lock(&c->lock);
    bool forbidden = c->forbidden;
    c->pause_wanted = !forbidden;
    while (c->writing && !forbidden) {
        pthread_cond_wait(&c->wake, &c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    if (forbidden) {
        return false;
    }
    struct pass pass = run_pass(s, mode);
    pthread_mutex_lock(&c->lock);
    if (pass.rc == SQLITE_OK) { /* whoever writes next begins at the start, if anybody does */
        c->frames = c->copied = 0;
        rp_sqlite_count(&s->counters.wal_restarts, 1);
        atomic_store_explicit(&s->counters.wal_frames, 0, memory_order_relaxed);
    }
    c->pause_wanted = false;
    pthread_cond_signal(&c->pause);
    pthread_mutex_unlock(&c->lock);
    return pass.rc == SQLITE_OK;
}

/* False: stop. *ret_asked: the WAL is to begin anew, if it can, and whatever was tried before. */
static bool wait_for_frames(struct rp_sqlite_checkpointer *c, bool *ret_asked) {
    pthread_mutex_lock(&c->lock);
    while (!c->stop && (c->forbidden || c->failure != SQLITE_OK ||
                        (!c->asked && c->frames - c->copied < c->pass_frames))) {
        pthread_cond_wait(&c->wake, &c->lock);
    }
    *ret_asked = c->asked;
    c->asked = false;
    bool go_on = !c->stop;
    pthread_mutex_unlock(&c->lock);
    return go_on;
}

void *rp_sqlite_checkpointer_main(void *engine) {
    struct rp_sqlite *s = engine;
    struct rp_sqlite_checkpointer *c = &s->checkpointer;
    uint64_t restart_at = restart_frames(c);
    bool asked;
    while (wait_for_frames(c, &asked)) {
        uint64_t frames;
        bool complete = copy_most(s, &frames);
        if (c->failure != SQLITE_OK) {
            continue; /* only to be stopped; nobody else sets it */
        }
        if (frames < restart_frames(c)) {
            restart_at = restart_frames(c);
        } else if (asked || frames >= restart_at) {
            /* if nobody writes, nobody else makes the WAL shorter */
            int mode = asked ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_RESTART;
            bool restarted = complete && restart(s, mode);
            rp_sqlite_count(&s->counters.wal_restarts_failed, restarted ? 0 : 1);
            /* a vain pause costs the writer something, a vain pass does not */
            uint64_t wait_frames = complete ? restart_frames(c) : c->pass_frames;
            restart_at = restarted ? restart_frames(c) : frames + wait_frames;
        }
    }
    return NULL;
}
