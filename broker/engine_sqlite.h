/* broker/engine_sqlite.h — the embedded log: one SQLite file that people can read while it is
 * written.
 *
 * One thread writes, with group commit: what was appended while the last commit ran goes into the
 * next one. Others read pages, index closed segments and copy the WAL back into the file. They meet
 * the loop only at the queues behind append and poll. broker/sqlite_state.h is the map of the
 * inside, broker/schema.sql the layout of the file. */
#pragma once

#include "broker/engine.h"
#include "broker/retention.h"
#include "common/limits.h"
#include "common/buf.h"

enum { RP_ENGINE_SQLITE_SEGMENT_EVENTS = 65536 };

struct rp_engine_sqlite_options {
    const char *path; /* of the database; <path>.lock beside it keeps other brokers away */
    bool sync_full;   /* a commit is on the disk before it is told (else: before a power failure it
                         may not be) */
    bool new_epoch; /* the file was put back by hand: offsets of the lost part must not be taken */
    uint64_t segment_events; /* seqs in a segment, for a new file (an existing one keeps its own);
                                0: 65,536 */
    const struct rp_retention *retention; /* borrowed until close; NULL: everything is kept */
    /* Past either of these EVENTs are refused with RP_E_NO_SPACE, until there is room again; other
     * records are still written, so that clients can come back and leave, and retention can work.
     */
    uint64_t budget_bytes;  /* what the log uses: pages of its file that are not free, and a WAL
                               beyond its usual size. Past it and an eighth more (16 MiB at least)
                               everything is refused. UINT64_MAX: what the disk has */
    uint64_t reserve_bytes; /* left free on the disk; 0: none */
    size_t queue_records_max, queue_bytes_max; /* appended and not yet polled */
    uint64_t checkpoint_frames; /* pages in the WAL that are worth copying back; 0: 2,048 (8 MB) */
    const char *boot_id;        /* which run of the machine this is; NULL: the kernel is asked */
    int readers_count;          /* threads for read, 1 … RP_ENGINE_SQLITE_READERS_MAX */
    /* Called from the engine's threads when outcomes are ready, once until poll has taken them. It
     * must not block. */
    void (*wake)(void *ctx);
    void *wake_ctx;
};

/* Opens or creates the log. On RP_OK message has notes for the operator, one per line, or is empty
 * (a new epoch, say); on failure one sentence that says what is wrong, with which file, and the way
 * out: RP_E_FOREIGN  not a database of ours; it is not touched RP_E_VERSION  written by a newer
 * version RP_E_LOCKED   another broker has it RP_E_CORRUPT  its tail is damaged RP_E_IO       it
 * cannot be written RP_E_INVALID  an option is out of range */
RP_MUST_USE enum rp_err rp_engine_sqlite_open(const struct rp_engine_sqlite_options *options,
                                              struct rp_buf *message,
                                              struct rp_engine **ret_engine);

/* For metrics; any thread. Gauges are marked, the others count since open. */
struct rp_engine_sqlite_stats {
    uint64_t transactions, records, duplicates, refused;
    uint64_t
        wal_bytes; /* gauge: in the WAL and not reusable; grows while somebody reads an old state */
    uint64_t checkpoints;  /* passes that copied the WAL back */
    uint64_t wal_restarts; /* the WAL began at its start again */
    uint64_t
        wal_restarts_failed; /* it could not, because of a reader: look for a long sqlite3 shell */
    uint64_t segments_indexed, index_failures, segments_trimmed;
    uint64_t reads, reads_failed;
    uint64_t used_bytes; /* gauge: what counts against the budget, as of a moment ago */
    uint64_t free_bytes; /* gauge: on the file's disk, likewise */
    uint64_t no_space;   /* gauge: 1 while events are refused for want of space */
    uint64_t refused_no_space;
    uint64_t retention_rounds, events_trimmed; /* segments_trimmed: wholly, so without an index */
    uint64_t rooms_trimmed;                    /* times the border of a room has moved */
    uint64_t pages_vacuumed;                   /* given back to the file system */
};
void rp_engine_sqlite_stats(const struct rp_engine *engine,
                            struct rp_engine_sqlite_stats *ret_stats);
