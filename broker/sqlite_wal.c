/* broker/sqlite_wal.c — what to make of a WAL that somebody left behind.
 *
 * After an fsync that failed the kernel takes the pages for clean that it could not write. They
 * read well while they are cached, so that a broker that is started again finds a whole WAL, of
 * which pages in the middle are not on the disk and never will be: what it commits on top is synced
 * and yet lost with the power. So a WAL that is found is written anew and synced before anything is
 * built on it. (The file itself needs no such thing: what was copied into it since its last good
 * sync is in the WAL, all of which is copied again.)
 *
 * A file and a WAL say nothing of each other. Copied while they were written, they may be of
 * different moments, and SQLite opens them. */
#include "broker/sqlite_state.h"

#include "common/alloc.h"
#include "common/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { BLOCK = 64 << 10 }; /* the default VFS takes less than 128 KB at once */

bool rp_sqlite_wal_exists(const char *path) {
    char *real = realpath(path, NULL); /* SQLite follows links, too */
    char *name = sqlite3_mprintf("%s-wal", real != NULL ? real : path);
    struct stat st;
    RP_ASSERT(name != NULL);
    bool exists = stat(name, &st) == 0 && st.st_size > 0;
    sqlite3_free(name);
    free(real);
    return exists;
}

static int rewrite(sqlite3_file *file, sqlite3_int64 size, uint8_t *block) {
    int rc = SQLITE_OK;
    for (sqlite3_int64 at = 0; at < size && rc == SQLITE_OK; at += BLOCK) {
        int len = (int) (size - at < BLOCK ? size - at : BLOCK);
        rc = file->pMethods->xRead(file, block, len, at);
        rc = rc == SQLITE_OK ? file->pMethods->xWrite(file, block, len, at) : rc;
    }
    return rc == SQLITE_OK ? file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) : rc;
}

int rp_sqlite_wal_settle(sqlite3 *db) {
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;
    int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);
    if (rc != SQLITE_OK || file == NULL || file->pMethods == NULL) {
        return rc;
    }
    rc = file->pMethods->xFileSize(file, &size);
    if (rc != SQLITE_OK || size == 0) {
        return rc;
    }
    uint8_t *block = rp_alloc(BLOCK);
    rc = rewrite(file, size, block);
    free(block);
    return rc;
}

int rp_sqlite_wal_reserve(sqlite3 *db) {
    /* of the WAL-index format: a region is 32 KB and stands for 4,096 pages. This is for 256 MB. */
    enum { REGION_BYTES = 32768, REGIONS = 16 };
    sqlite3_file *file = NULL;
    int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    for (int i = 0; i < REGIONS && rc == SQLITE_OK; i++) {
        void volatile *region;
        rc = file->pMethods->xShmMap(file, i, REGION_BYTES, 1, &region);
    }
    return rc;
}

int rp_sqlite_has_all_pages(sqlite3 *db, const char *path, bool *ret_has) {
    sqlite3_stmt *stmt;
    struct stat st;
    uint64_t bytes = 0;
    int rc = sqlite3_prepare_v2(db,
                                "SELECT page_count * page_size "
                                "FROM pragma_page_count, pragma_page_size",
                                -1, &stmt, NULL);
    rc = rc == SQLITE_OK ? rp_sqlite_run_u64(stmt, &bytes) : rc;
    sqlite3_finalize(stmt);
    *ret_has = stat(path, &st) == 0 && (uint64_t) st.st_size >= bytes;
    return rc;
}

int rp_sqlite_check_whole(sqlite3 *db, uint64_t last_seq, char *ret_what, size_t size) {
    sqlite3_stmt *stmt;
    uint64_t newest = 0;
    ret_what[0] = '\0';
    int rc = sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &stmt, NULL);
    if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        struct rp_bytes text = rp_sqlite_text(stmt, 0);
        if (!rp_bytes_eq_str(text, "ok")) {
            snprintf(ret_what, size, "%.*s", RP_BYTES_FMT(text));
        }
    }
    rc = rc == SQLITE_OK ? sqlite3_finalize(stmt) : rc;
    if (rc != SQLITE_OK || ret_what[0] != '\0') {
        return rc;
    }
    rc = sqlite3_prepare_v2(db,
                            "SELECT max(seq) FROM (SELECT max(session) AS seq FROM session "
                            "UNION ALL SELECT max(conn) FROM session "
                            "UNION ALL SELECT max(from_seq) FROM member "
                            "UNION ALL SELECT max(to_seq) FROM member "
                            "UNION ALL SELECT max(seq) FROM unacked "
                            "UNION ALL SELECT max(seq) FROM namespace "
                            "UNION ALL SELECT max(last_seq) FROM segment)",
                            -1, &stmt, NULL);
    rc = rc == SQLITE_OK ? rp_sqlite_run_u64(stmt, &newest) : rc;
    sqlite3_finalize(stmt);
    if (rc == SQLITE_OK && newest > last_seq) {
        snprintf(ret_what, size, "something speaks of seq %llu, and the newest record is %llu",
                 (unsigned long long) newest, (unsigned long long) last_seq);
    }
    return rc;
}
