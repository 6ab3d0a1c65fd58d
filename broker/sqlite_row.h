/* broker/sqlite_row.h — one record as a row of `event`: columns, checksum, both ways. */
#pragma once

#include "broker/record.h"
#include "broker/sqlite_db.h"

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
