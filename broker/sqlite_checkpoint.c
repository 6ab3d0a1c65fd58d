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
 * grow; that is counted, and tried again when it has grown further. */
#include "broker/sqlite_state.h"

enum {
    CHECKPOINTER_CACHE_KIB = 256, /* copies from file to file */
    PASS_FRAMES = 2048,           /* 8 MB not copied: a passive pass */
    RESTART_FRAMES = 8192,        /* 32 MB: the writer pauses */
    GROWTH_FRAMES = 8192,         /* the most the writer adds during one pass */
    REST_FRAMES = 256, /* the most to be copied during the pause, if passes can bring it down */
    PASSES_MAX = 2,
    PAUSE_BUSY_MS = 10, /* for readers that are in the WAL; pages are shorter */
};

int rp_sqlite_checkpointer_init(struct rp_sqlite *s) {
    struct rp_sqlite_checkpointer *c = &s->checkpointer;
    int rc = rp_sqlite_db_open(s->path, RP_SQLITE_WRITE, CHECKPOINTER_CACHE_KIB, &c->db);
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(c->db, PAUSE_BUSY_MS);
        rc = rp_sqlite_exec(c->db, "PRAGMA synchronous = FULL; SELECT count(*) FROM meta");
    }
    return rc;
}

/* ---- the writer's side ---- */

void rp_sqlite_checkpointer_enter(struct rp_sqlite *s) {
    struct rp_sqlite_checkpointer *c = &s->checkpointer;
    pthread_mutex_lock(&c->lock);
    while (c->pause_wanted || (c->passing && c->frames > c->pass_from + GROWTH_FRAMES)) {
        pthread_cond_wait(&c->pause, &c->lock);
    }
    c->writing = true;
    pthread_mutex_unlock(&c->lock);
}

void rp_sqlite_checkpointer_leave(struct rp_sqlite *s, uint64_t wal_frames) {
    struct rp_sqlite_checkpointer *c = &s->checkpointer;
    atomic_store_explicit(&s->counters.wal_frames, wal_frames, memory_order_relaxed);
    pthread_mutex_lock(&c->lock);
    if (wal_frames < c->frames) {
        rp_sqlite_count(&s->counters.wal_restarts, 1);
        c->copied = 0;
    }
    c->frames = wal_frames;
    c->writing = false;
    if (c->pause_wanted || c->frames - c->copied >= PASS_FRAMES) {
        pthread_cond_signal(&c->wake);
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

static struct pass run_pass(struct rp_sqlite *s, int mode) {
    int frames = -1, copied = -1;
    int rc = sqlite3_wal_checkpoint_v2(s->checkpointer.db, "main", mode, &frames, &copied);
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
        c->passing = true;
        c->pass_from = c->frames;
        pthread_mutex_unlock(&c->lock);
        struct pass pass = run_pass(s, SQLITE_CHECKPOINT_PASSIVE);
        complete = pass.rc == SQLITE_OK && pass.copied == pass.frames;
        pthread_mutex_lock(&c->lock);
        c->passing = false;
        pthread_cond_signal(&c->pause);
        /* what cannot be copied now is not tried again before as much has come on top of it */
        c->copied = pass.frames < c->frames ? pass.frames : c->frames;
        *ret_frames = c->frames;
        uint64_t rest = c->frames - c->copied;
        pthread_mutex_unlock(&c->lock);
        if (!complete || *ret_frames < RESTART_FRAMES || rest <= REST_FRAMES) {
            break;
        }
    }
    return complete;
}

static bool restart(struct rp_sqlite *s) {
    struct rp_sqlite_checkpointer *c = &s->checkpointer;
    pthread_mutex_lock(&c->lock);
    c->pause_wanted = true;
    while (c->writing) {
        pthread_cond_wait(&c->wake, &c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    struct pass pass = run_pass(s, SQLITE_CHECKPOINT_RESTART);
    pthread_mutex_lock(&c->lock);
    c->pause_wanted = false;
    pthread_cond_signal(&c->pause);
    pthread_mutex_unlock(&c->lock);
    return pass.rc == SQLITE_OK;
}

/* False: stop. */
static bool wait_for_frames(struct rp_sqlite_checkpointer *c) {
    pthread_mutex_lock(&c->lock);
    while (!c->stop && c->frames - c->copied < PASS_FRAMES) {
        pthread_cond_wait(&c->wake, &c->lock);
    }
    bool go_on = !c->stop;
    pthread_mutex_unlock(&c->lock);
    return go_on;
}

void *rp_sqlite_checkpointer_main(void *engine) {
    struct rp_sqlite *s = engine;
    uint64_t restart_at = RESTART_FRAMES;
    while (wait_for_frames(&s->checkpointer)) {
        uint64_t frames;
        bool complete = copy_most(s, &frames);
        if (frames < RESTART_FRAMES) {
            restart_at = RESTART_FRAMES;
        } else if (frames >= restart_at) {
            bool restarted = complete && restart(s);
            rp_sqlite_count(&s->counters.wal_restarts_failed, restarted ? 0 : 1);
            /* a vain pause costs the writer something, a vain pass does not */
            uint64_t wait_frames = complete ? RESTART_FRAMES : PASS_FRAMES;
            restart_at = restarted ? RESTART_FRAMES : frames + wait_frames;
        }
    }
    return NULL;
}
