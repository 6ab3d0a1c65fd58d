/* broker/engine_memory.h — a log in memory, for the simulation and for unit tests of the core.
 *
 * The store is the disk: it outlives engines. The engine is the process's view of it: appends wait
 * in its queue until the test lets time pass (rp_engine_memory_step), so that a test decides what a
 * kill leaves behind: nothing of a record, or a durable record whose outcome nobody has heard of.
 */
#pragma once

#include "broker/engine.h"

struct rp_memory_store;

struct rp_memory_store *rp_memory_store_new(const char *epoch);
struct rp_memory_store *
rp_memory_store_free(struct rp_memory_store *store); /* no engine may be open */
/* The log: record i of *ret_count, oldest first. */
struct rp_record *const *rp_memory_store_log(const struct rp_memory_store *store,
                                             size_t *ret_count);

/* One engine at a time on a store. At most queue_max records wait. */
struct rp_engine *rp_engine_memory_open(struct rp_memory_store *store, size_t queue_max);
/* Lets the disk do up to n things: commit a record, finish a read or a trim. Returns how many it
 * did. */
size_t rp_engine_memory_step(struct rp_engine *e, size_t n);
/* The next n records to be committed are refused instead, as by a full disk. */
void rp_engine_memory_refuse(struct rp_engine *e, size_t n);
