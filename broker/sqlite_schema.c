/* broker/sqlite_schema.c — the schema of a file, brought up to date from any version, and what its
 * meta begins with: when the file is new, and when it gets a new epoch. */
#include "broker/sqlite_state.h"

#include "broker/schema_sql.h"
#include "broker/views_sql.h"
#include "common/assert.h"
#include "common/limits.h"

#include <stdio.h>
#include <sys/random.h>

/* A new file gets schema.sql as it is. One of an older version gets the steps that lead from it to
 * the newest, each of which brings it to its version; a step never changes once it is released, and
 * a change of schema.sql is a new step. The views hold nothing and are made anew. */
static const struct {
    uint32_t version;
    const char *sql;
} steps[] = {
    {2, "ALTER TABLE event ADD COLUMN attachments BLOB"},
    {3, "ALTER TABLE event ADD COLUMN rooms TEXT;"
        "ALTER TABLE event ADD COLUMN except_rooms TEXT;"
        "ALTER TABLE event ADD COLUMN to_worker INTEGER;"
        "ALTER TABLE event ADD COLUMN to_num INTEGER;"
        "ALTER TABLE session ADD COLUMN app INTEGER;"
        "ALTER TABLE session ADD COLUMN data TEXT;"
        "ALTER TABLE member ADD COLUMN nsp TEXT;"
        "UPDATE member SET nsp = coalesce((SELECT s.nsp FROM session s "
        "WHERE s.session = member.session), '');"
        "CREATE INDEX member_room ON member (nsp, room, session) WHERE to_seq IS NULL;"
        "CREATE TABLE unacked (session INTEGER, seq INTEGER, origin INTEGER, num INTEGER, "
        "PRIMARY KEY (session, seq)) WITHOUT ROWID;"
        "CREATE TABLE namespace (nsp TEXT PRIMARY KEY, flags INTEGER NOT NULL, "
        "seq INTEGER NOT NULL) WITHOUT ROWID"},
    {4, "ALTER TABLE room_index ADD COLUMN bytes INTEGER;"
        "ALTER TABLE room ADD COLUMN events INTEGER;"
        "ALTER TABLE room ADD COLUMN bytes INTEGER;"
        "ALTER TABLE room ADD COLUMN counted_seq INTEGER;"
        "CREATE TABLE retention (place INTEGER PRIMARY KEY, rule TEXT NOT NULL, "
        "swept_seq INTEGER NOT NULL, checked_seq INTEGER NOT NULL)"},
};
enum { STEPS_COUNT = sizeof steps / sizeof steps[0] };

uint32_t rp_sqlite_schema_version(void) {
    return steps[STEPS_COUNT - 1].version;
}

static void make_epoch(char *ret_epoch) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    uint8_t random[RP_EPOCH_LEN];
    RP_ASSERT(getrandom(random, sizeof random, 0) == (ssize_t) sizeof random);
    for (size_t i = 0; i < RP_EPOCH_LEN; i++) {
        ret_epoch[i] = letters[random[i] % (sizeof letters - 1)];
    }
    ret_epoch[RP_EPOCH_LEN] = '\0';
}

static int first_meta(sqlite3 *db, uint64_t segment_events) {
    char epoch[RP_EPOCH_LEN + 1];
    make_epoch(epoch);
    int rc = rp_sqlite_meta_set_epoch(db, epoch, 1);
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_u64(db, "segment_events", segment_events) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_u64(db, "next_seq", 1) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_u64(db, "first_seq", 1) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_u64(db, "indexed_seq", 0) : rc;
    return rc == SQLITE_OK ? rp_sqlite_meta_set_u64(db, "clean", 1) : rc;
}

static int create_schema(sqlite3 *db, uint64_t segment_events) {
    int rc = rp_sqlite_exec(db, rp_schema_sql);
    return rc == SQLITE_OK ? first_meta(db, segment_events) : rc;
}

static int run_steps(sqlite3 *db, uint64_t version) {
    int rc = SQLITE_OK;
    for (size_t i = 0; i < STEPS_COUNT && rc == SQLITE_OK; i++) {
        rc = steps[i].version > version ? rp_sqlite_exec(db, steps[i].sql) : SQLITE_OK;
    }
    return rc;
}

int rp_sqlite_schema_upgrade(sqlite3 *db, uint64_t version, uint64_t segment_events) {
    char numbers[96];
    snprintf(numbers, sizeof numbers, "PRAGMA application_id = %d; PRAGMA user_version = %u",
             RP_SQLITE_APPLICATION_ID, steps[STEPS_COUNT - 1].version);
    int rc = rp_sqlite_exec(db, "BEGIN IMMEDIATE");
    if (rc == SQLITE_OK) {
        rc = version == 0 ? create_schema(db, segment_events) : run_steps(db, version);
    }
    rc = rc == SQLITE_OK ? rp_sqlite_exec(db, rp_views_sql) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_exec(db, numbers) : rc;
    return rc == SQLITE_OK ? rp_sqlite_exec(db, "COMMIT") : rc;
}

int rp_sqlite_schema_renew(sqlite3 *db, uint64_t *next_seq, char ret_epoch[RP_EPOCH_LEN + 1]) {
    uint64_t newest = 0;
    *next_seq += *next_seq < RP_SEQ_JUMP_MAX ? RP_SEQ_JUMP : 0;
    make_epoch(ret_epoch);
    int rc = rp_sqlite_query_u64(db, "SELECT max(seq) FROM event", &newest);
    rc = rc == SQLITE_OK ? rp_sqlite_meta_add_gap(db, newest + 1, *next_seq) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_epoch(db, ret_epoch, *next_seq) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_meta_set_u64(db, "next_seq", *next_seq) : rc;
    return rc == SQLITE_OK
               ? rp_sqlite_exec(db, RP_SQLITE_FORGET_SESSIONS
                                "; DELETE FROM meta WHERE key IN ('copied_ts', 'copied_from')")
               : rc;
}
