/* broker/sqlite_db.h — one connection to the database: opening, statements, `meta`. A connection
 * belongs to one thread at a time. Functions return SQLite's (extended) result codes; rp_sqlite_err
 * makes them ours. */
#pragma once

#include "common/bytes.h"
#include "common/error.h"

#include <sqlite3.h>
#include <stdbool.h>

enum rp_sqlite_access { RP_SQLITE_READ, RP_SQLITE_WRITE };

enum { RP_SQLITE_BUSY_MS = 5000 }; /* how long a person's write lock is waited for */

/* An open connection; *ret_db is set, for the message and for closing, also on most failures.
 * Closing it leaves the WAL as it is. */
int rp_sqlite_db_open(const char *path, enum rp_sqlite_access access, int cache_kib,
                      sqlite3 **ret_db);

enum rp_err rp_sqlite_err(int rc);
/* In words: what was done, the system call, SQLite's text, and the system's if db's last error was
 * this one. */
void rp_sqlite_why(sqlite3 *db, const char *doing, int rc, char *ret_text, size_t size);
/* Whether the kernel may have forgotten what was written: after an fsync that failed it takes the
 * pages for clean, they read well for as long as they are cached, and the next fsync answers that
 * all is well. */
bool rp_sqlite_lost_writes(int rc);

int rp_sqlite_exec(sqlite3 *db, const char *sql);
/* A statement that is kept. */
int rp_sqlite_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_stmt);
/* Prepares all; on failure those prepared are kept for rp_sqlite_finalize. */
int rp_sqlite_prepare_all(sqlite3 *db, const char *const *sqls, size_t count,
                          sqlite3_stmt **ret_stmts);
void rp_sqlite_finalize(sqlite3_stmt **stmts, size_t count);

/* Runs a statement without rows to its end and resets it. SQLITE_OK, or why not. */
int rp_sqlite_run(sqlite3_stmt *stmt);
/* Runs a statement whose answer is at most one row with one integer column. NULL or no row: 0. */
int rp_sqlite_run_u64(sqlite3_stmt *stmt, uint64_t *ret_value);
/* The same with SQL that is asked once. */
int rp_sqlite_query_u64(sqlite3 *db, const char *sql, uint64_t *ret_value);

/* Parameters count from 1. Numbers are stored with their 64 bits; 0 and "" become NULL. The bytes
 * must stay until the statement has run. */
void rp_sqlite_bind_u64(sqlite3_stmt *stmt, int at, uint64_t value);
void rp_sqlite_bind_text(sqlite3_stmt *stmt, int at, struct rp_bytes text);
void rp_sqlite_bind_key(sqlite3_stmt *stmt, int at, struct rp_bytes text); /* "" stays "" */
void rp_sqlite_bind_blob(sqlite3_stmt *stmt, int at, struct rp_bytes blob);

/* Columns count from 0. Views are valid until the statement moves. */
static inline uint64_t rp_sqlite_u64(sqlite3_stmt *stmt, int at) {
    return (uint64_t) sqlite3_column_int64(stmt, at);
}
static inline struct rp_bytes rp_sqlite_text(sqlite3_stmt *stmt, int at) {
    const void *data = sqlite3_column_text(stmt, at);
    return rp_bytes(data, data != NULL ? (size_t) sqlite3_column_bytes(stmt, at) : 0);
}
static inline struct rp_bytes rp_sqlite_blob(sqlite3_stmt *stmt, int at) {
    const void *data = sqlite3_column_blob(stmt, at);
    return rp_bytes(data, data != NULL ? (size_t) sqlite3_column_bytes(stmt, at) : 0);
}

/* meta; a missing key is 0 or "". */
int rp_sqlite_meta_u64(sqlite3 *db, const char *key, uint64_t *ret_value);
int rp_sqlite_meta_text(sqlite3 *db, const char *key, char *ret_text, size_t size);
int rp_sqlite_meta_set_u64(sqlite3 *db, const char *key, uint64_t value);
int rp_sqlite_meta_set_text(sqlite3 *db, const char *key, const char *text);

/* A new epoch: what it is called, a checksum of that, and the seq from which on sessions belong to
 * it; to be called within a transaction. */
int rp_sqlite_meta_set_epoch(sqlite3 *db, const char *epoch, uint64_t next_seq);
uint32_t rp_sqlite_epoch_sum(const char *epoch);
/* Notes that there are no seqs from `from` on up to before `to`, where they go on: a new epoch has
 * jumped over them. */
int rp_sqlite_meta_add_gap(sqlite3 *db, uint64_t from, uint64_t to);
/* The key in meta of the jump that leads to that seq; its value is how many were jumped over. */
void rp_sqlite_gap_key(uint64_t to, char ret_key[32]);
/* After which seq the newest `count` come, up to last; those that were jumped over do not count. */
int rp_sqlite_meta_count_back(sqlite3 *db, uint64_t last, uint64_t count, uint64_t *ret_seq);
