/* broker/engine_memory.h — a log in memory, for the simulation and for unit tests of the core.
 *
 * The store is the disk: it outlives engines. The engine is the process's view of it: appends wait
 * in its queue until the test lets time pass (rp_engine_memory_step), so that a test decides what a
 * kill leaves behind: nothing of a record, or a durable record whose outcome nobody has heard of.
 */
#pragma once

#include "broker/engine.h"
#include "broker/retention.h"

struct rp_memory_store;

struct rp_memory_store *rp_memory_store_new(const char *epoch);
struct rp_memory_store *
rp_memory_store_free(struct rp_memory_store *store); /* no engine may be open */
/* A copy of the disk as it is now. */
struct rp_memory_store *rp_memory_store_copy(const struct rp_memory_store *store);
/* A new epoch, as when a copy was put back: sessions are forgotten, seqs go on. No engine is open.
 */
void rp_memory_store_renew(struct rp_memory_store *store, const char *epoch);
/* The log: record i of *ret_count, oldest first. */
struct rp_record *const *rp_memory_store_log(const struct rp_memory_store *store,
                                             size_t *ret_count);

/* One engine at a time on a store. At most queue_max records wait. */
struct rp_engine *rp_engine_memory_open(struct rp_memory_store *store, size_t queue_max);
/* What is kept, from the next round of retention on: borrowed until the engine is closed. NULL, and
 * at first: everything. */
void rp_engine_memory_retain(struct rp_engine *e, const struct rp_retention *retention);
/* What a disk does. */
enum rp_memory_work {
    RP_MEMORY_COMMIT = 1, /* a record */
    RP_MEMORY_LOOK = 2,   /* a read sees what is there; its page comes later */
    RP_MEMORY_PAGE = 4, /* the oldest read's page comes: of what it saw, or of what is there now */
    RP_MEMORY_TRIM = 8, /* a part of a round of retention: first the borders move, then the rows
                           behind them go, some at a time, and then it is over */
};

/* Lets the disk do up to n things: commit a record, finish a read or a trim. Returns how many it
 * did. */
size_t rp_engine_memory_step(struct rp_engine *e, size_t n);
/* Up to n things of the kinds of `work`, a sum of rp_memory_work, as far as there are any. */
size_t rp_engine_memory_work(struct rp_engine *e, unsigned work, size_t n);
/* The next n records to be committed are refused instead, as by a full disk. */
void rp_engine_memory_refuse(struct rp_engine *e, size_t n);
/* The same, with another error than RP_E_NO_SPACE. */
void rp_engine_memory_refuse_with(struct rp_engine *e, size_t n, enum rp_err err);
/* The disk fails for good: n of the records that wait are durable, but nobody is told, the others
 * are not; FATAL follows, and nothing behind it. */
void rp_engine_memory_fail(struct rp_engine *e, size_t n, enum rp_err err);
