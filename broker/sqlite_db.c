#include "broker/sqlite_db.h"

#include "common/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum rp_err rp_sqlite_err(int rc) {
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return RP_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return RP_E_LOCKED;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return RP_E_CORRUPT;
    case SQLITE_FULL:
        return RP_E_NO_SPACE;
    case SQLITE_READONLY:
        return RP_E_READ_ONLY;
    default:
        return RP_E_IO;
    }
}

void rp_sqlite_why(sqlite3 *db, const char *doing, int rc, char *ret_text, size_t size) {
    static const struct {
        int rc;
        const char *call;
    } calls[] = {
        {SQLITE_IOERR_FSYNC, " in fsync"},          {SQLITE_IOERR_DIR_FSYNC, " in fsync"},
        {SQLITE_IOERR_WRITE, " in write"},          {SQLITE_IOERR_READ, " in read"},
        {SQLITE_IOERR_SHORT_READ, " in read"},      {SQLITE_IOERR_TRUNCATE, " in ftruncate"},
        {SQLITE_IOERR_SHMMAP, " in shared memory"},
    };
    const char *call = "";
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        call = calls[i].rc == rc ? calls[i].call : call;
    }
    int plain = rc & 0xff, number = 0;
    if (plain == SQLITE_IOERR || plain == SQLITE_CANTOPEN) {
        number = sqlite3_system_errno(db);
    }
    snprintf(ret_text, size, "%s failed%s: %s%s%s (SQLite's code %d)", doing, call,
             sqlite3_errstr(rc), number != 0 ? ", " : "", number != 0 ? strerror(number) : "", rc);
}

bool rp_sqlite_lost_writes(int rc) {
    return rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC;
}

int rp_sqlite_db_open(const char *path, enum rp_sqlite_access access, int cache_kib,
                      sqlite3 **ret_db) {
    /* a relative name gets ./, so that ":memory:" and "file:…" are names of files like any other */
    char *file = sqlite3_mprintf("%s%s", path[0] == '/' ? "" : "./", path);
    if (file == NULL) {
        *ret_db = NULL;
        return SQLITE_NOMEM;
    }
    int flags = access == RP_SQLITE_WRITE ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                                          : SQLITE_OPEN_READONLY;
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(file, &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    sqlite3_free(file);
    *ret_db = db;
    if (rc != SQLITE_OK) {
        return rc;
    }
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_busy_timeout(db, RP_SQLITE_BUSY_MS);
    /* no mmap: a read error would be a SIGBUS instead of an answer */
    char sql[160];
    snprintf(sql, sizeof sql,
             "PRAGMA cache_size = -%d; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;"
             "PRAGMA wal_autocheckpoint = 0",
             cache_kib);
    return rp_sqlite_exec(db, sql);
}

int rp_sqlite_exec(sqlite3 *db, const char *sql) {
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

int rp_sqlite_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_stmt) {
    return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_stmt, NULL);
}

int rp_sqlite_prepare_all(sqlite3 *db, const char *const *sqls, size_t count,
                          sqlite3_stmt **ret_stmts) {
    for (size_t i = 0; i < count; i++) {
        int rc = rp_sqlite_prepare(db, sqls[i], &ret_stmts[i]);
        if (rc != SQLITE_OK) {
            return rc;
        }
    }
    return SQLITE_OK;
}

void rp_sqlite_finalize(sqlite3_stmt **stmts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        sqlite3_finalize(stmts[i]);
        stmts[i] = NULL;
    }
}

int rp_sqlite_run(sqlite3_stmt *stmt) {
    int rc = sqlite3_step(stmt);
    RP_ASSERT(rc != SQLITE_ROW);
    return sqlite3_reset(stmt);
}

int rp_sqlite_run_u64(sqlite3_stmt *stmt, uint64_t *ret_value) {
    uint64_t value = sqlite3_step(stmt) == SQLITE_ROW ? rp_sqlite_u64(stmt, 0) : 0;
    int rc = sqlite3_reset(stmt);
    if (rc == SQLITE_OK) {
        *ret_value = value;
    }
    return rc;
}

int rp_sqlite_query_u64(sqlite3 *db, const char *sql, uint64_t *ret_value) {
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        rc = rp_sqlite_run_u64(stmt, ret_value);
        sqlite3_finalize(stmt);
    }
    return rc;
}

/* ---- parameters; binding can only fail by misuse or for want of memory ---- */

void rp_sqlite_bind_u64(sqlite3_stmt *stmt, int at, uint64_t value) {
    int rc = value > 0 ? sqlite3_bind_int64(stmt, at, (sqlite3_int64) value)
                       : sqlite3_bind_null(stmt, at);
    RP_ASSERT(rc == SQLITE_OK);
}

void rp_sqlite_bind_key(sqlite3_stmt *stmt, int at, struct rp_bytes text) {
    const char *data = text.len > 0 ? (const char *) text.data : "";
    int rc = sqlite3_bind_text64(stmt, at, data, text.len, SQLITE_STATIC, SQLITE_UTF8);
    RP_ASSERT(rc == SQLITE_OK);
}

void rp_sqlite_bind_text(sqlite3_stmt *stmt, int at, struct rp_bytes text) {
    if (text.len > 0) {
        rp_sqlite_bind_key(stmt, at, text);
    } else {
        sqlite3_bind_null(stmt, at);
    }
}

void rp_sqlite_bind_blob(sqlite3_stmt *stmt, int at, struct rp_bytes blob) {
    if (blob.len > 0) {
        int rc = sqlite3_bind_blob64(stmt, at, blob.data, blob.len, SQLITE_STATIC);
        RP_ASSERT(rc == SQLITE_OK);
    } else {
        sqlite3_bind_null(stmt, at);
    }
}

/* ---- meta ---- */

static int meta_stmt(sqlite3 *db, const char *sql, const char *key, sqlite3_stmt **ret_stmt) {
    int rc = sqlite3_prepare_v2(db, sql, -1, ret_stmt, NULL);
    if (rc == SQLITE_OK) {
        rp_sqlite_bind_key(*ret_stmt, 1, rp_bytes_str(key));
    }
    return rc;
}

#define META_GET "SELECT value FROM meta WHERE key = ?1"
#define META_SET "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)"

int rp_sqlite_meta_u64(sqlite3 *db, const char *key, uint64_t *ret_value) {
    sqlite3_stmt *stmt;
    int rc = meta_stmt(db, META_GET, key, &stmt);
    if (rc == SQLITE_OK) {
        rc = rp_sqlite_run_u64(stmt, ret_value);
        sqlite3_finalize(stmt);
    }
    return rc;
}

int rp_sqlite_meta_text(sqlite3 *db, const char *key, char *ret_text, size_t size) {
    sqlite3_stmt *stmt;
    int rc = meta_stmt(db, META_GET, key, &stmt);
    if (rc != SQLITE_OK) {
        return rc;
    }
    ret_text[0] = '\0';
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        struct rp_bytes text = rp_sqlite_text(stmt, 0);
        snprintf(ret_text, size, "%.*s", RP_BYTES_FMT(text));
    }
    return sqlite3_finalize(stmt);
}

int rp_sqlite_meta_set_u64(sqlite3 *db, const char *key, uint64_t value) {
    sqlite3_stmt *stmt;
    int rc = meta_stmt(db, META_SET, key, &stmt);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(stmt, 2, (sqlite3_int64) value);
        sqlite3_step(stmt);
        rc = sqlite3_finalize(stmt);
    }
    return rc;
}

int rp_sqlite_meta_set_text(sqlite3 *db, const char *key, const char *text) {
    sqlite3_stmt *stmt;
    int rc = meta_stmt(db, META_SET, key, &stmt);
    if (rc == SQLITE_OK) {
        rp_sqlite_bind_key(stmt, 2, rp_bytes_str(text));
        sqlite3_step(stmt);
        rc = sqlite3_finalize(stmt);
    }
    return rc;
}

uint32_t rp_sqlite_epoch_sum(const char *epoch) {
    return (uint32_t) crc32_z(0, (const Bytef *) epoch, strlen(epoch));
}

int rp_sqlite_meta_set_epoch(sqlite3 *db, const char *epoch, uint64_t next_seq) {
    int rc = rp_sqlite_meta_set_text(db, "epoch", epoch);
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_u64(db, "epoch_sum", rp_sqlite_epoch_sum(epoch)) : rc;
    return rc == SQLITE_OK ? rp_sqlite_meta_set_u64(db, "sessions_from", next_seq) : rc;
}

/* Keys sort as their numbers do. */
void rp_sqlite_gap_key(uint64_t to, char ret_key[32]) {
    snprintf(ret_key, 32, "gap %020llu", (unsigned long long) to);
}

int rp_sqlite_meta_add_gap(sqlite3 *db, uint64_t from, uint64_t to) {
    char key[32];
    rp_sqlite_gap_key(to, key);
    return from < to ? rp_sqlite_meta_set_u64(db, key, to - from) : SQLITE_OK;
}

int rp_sqlite_meta_count_back(sqlite3 *db, uint64_t last, uint64_t count, uint64_t *ret_seq) {
    sqlite3_stmt *gap;
    int rc = sqlite3_prepare_v2(db,
                                "SELECT CAST(substr(key, 5) AS INTEGER), value FROM meta "
                                "WHERE key > 'gap ' AND key < 'gap!' ORDER BY key DESC",
                                -1, &gap, NULL);
    if (rc != SQLITE_OK) {
        return rc;
    }
    bool all = false;
    while (!all && sqlite3_step(gap) == SQLITE_ROW) {
        uint64_t to = rp_sqlite_u64(gap, 0), size = rp_sqlite_u64(gap, 1);
        uint64_t behind = last + 1 > to ? last + 1 - to : 0;
        all = count <= behind || size >= to;
        if (!all) {
            count -= behind;
            last = to - size - 1 < last ? to - size - 1 : last;
        }
    }
    *ret_seq = count < last ? last - count : 0;
    return sqlite3_finalize(gap);
}
