/* broker/sqlite_names.h — a list of names (rooms) as a column.
 *
 * Records have it packed (proto/attachments.h). In the file it is a JSON array in a TEXT, so that
 * people can read it and ask for it with json_each; NULL if it is empty. What JSON cannot hold (a
 * name that is not UTF-8, a list that is cut off) is there packed, as a BLOB: whatever was
 * committed comes back as it was. */
#pragma once

#include "broker/sqlite_db.h"
#include "common/buf.h"

/* Binds a list; it need not stay. */
void rp_sqlite_bind_names(sqlite3_stmt *stmt, int at, struct rp_bytes packed);

/* Gives the list of a column, packed; ret_packed is initialised here and the caller's to free, also
 * on failure. RP_E_CORRUPT: it is none. */
RP_MUST_USE enum rp_err rp_sqlite_names(sqlite3_stmt *stmt, int at, struct rp_buf *ret_packed);
