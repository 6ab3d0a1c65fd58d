/* broker/sqlite_row.h — one record as a row of `event`: columns, checksum, both ways. */
#pragma once

#include "broker/record.h"
#include "broker/sqlite_db.h"
#include "common/buf.h"

#define RP_SQLITE_ROW_COLUMNS                                                                      \
    "seq, kind, ts, nsp, room, name, args, id, sid, session, origin, num, conn, aux, flags, "      \
    "pid_hash, sum, attachments, rooms, except_rooms, to_worker, to_num"
#define RP_SQLITE_ROW_PARAMETERS                                                                   \
    "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, "  \
    "?21, ?22"

/* Binds r, whose seq is set, to a statement with RP_SQLITE_ROW_PARAMETERS. r must stay until it has
 * run. */
void rp_sqlite_row_bind(sqlite3_stmt *insert, const struct rp_record *r);

/* The record of the row a statement that selects RP_SQLITE_ROW_COLUMNS is at; one reference, the
 * caller's. RP_E_CORRUPT: the row is not what was written. */
RP_MUST_USE enum rp_err rp_sqlite_row_read(sqlite3_stmt *select, struct rp_record **ret_record);

/* ---- what index and retention need of a row ---- */

#define RP_SQLITE_ROOMS_COLUMNS                                                                    \
    "seq, kind, ts, flags, nsp, room, rooms, name, args, id, sid, pid_hash, attachments, "         \
    "except_rooms"

struct rp_sqlite_rooms_row {
    uint64_t seq, ts_ms;
    enum rp_record_kind kind;
    uint32_t flags;
    struct rp_bytes nsp, room; /* borrowed: until the statement moves */
    struct rp_buf rooms;       /* further ones, packed; of events only */
    uint64_t weight;           /* rp_record_weight */
};

/* Reads the row a statement that selects RP_SQLITE_ROOMS_COLUMNS is at. SQLITE_CORRUPT: it is
 * damaged. ret_row->rooms is initialised here and the caller's to free, also on failure. */
int rp_sqlite_row_rooms(sqlite3_stmt *select, struct rp_sqlite_rooms_row *ret_row);
