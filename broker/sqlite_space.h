/* broker/sqlite_space.h — how much of its disk the log takes, and may take; all of it belongs to
 * the writer.
 *
 * Used is what the file has in pages that are not free, and what the WAL has beyond its usual size
 * because somebody reads an old state. Past the budget, or with less than the reserve left on the
 * disk once the WAL is copied back, EVENTs are refused; far past the budget everything is. It is
 * looked at a few times a second, and when a part of the reserve was written since. */
#pragma once

#include "broker/sqlite_db.h"

#include <stdbool.h>

struct rp_sqlite;

struct rp_sqlite_space {
    uint64_t budget_bytes, reserve_bytes; /* UINT64_MAX, 0: none */
    uint64_t page_size;
    bool can_shrink; /* the file was made with auto_vacuum */
    char *folder;
    sqlite3_stmt *pages, *free_pages, *shrink_little, *shrink;
    uint64_t looked_ms;            /* 0: look now */
    uint64_t looked_frames;        /* of the WAL then */
    bool no_events, nothing;       /* what is refused */
    bool shrinking, shrinks_later; /* later: when the WAL has its usual size */
};

/* The writer's connection is open. */
int rp_sqlite_space_init(struct rp_sqlite *s, uint64_t budget_bytes, uint64_t reserve_bytes);
void rp_sqlite_space_done(struct rp_sqlite *s);
/* Used bytes, as above. */
int rp_sqlite_space_used(struct rp_sqlite *s, uint64_t *ret_bytes);
/* Looks, if it is time; between transactions. What cannot be found out stays as it was. */
void rp_sqlite_space_look(struct rp_sqlite *s, uint64_t now_ms);
/* Gives some of the free pages at the file's end back; within a transaction. alone: it has nothing
 * else to do. */
int rp_sqlite_space_shrink(struct rp_sqlite *s, bool alone);
