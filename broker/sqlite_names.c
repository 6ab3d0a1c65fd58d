#include "broker/sqlite_names.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "proto/attachments.h"
#include "proto/json.h"

#include <stdlib.h>

/* ---- writing ---- */

/* How long the JSON gets; 0: it cannot be JSON. */
static size_t json_len(struct rp_bytes packed) {
    struct rp_bytes name;
    size_t len = 1; /* a bracket, and one more or a comma after each name */
    enum rp_err err;
    while ((err = rp_attachments_next(&packed, &name)) == RP_OK) {
        if (!rp_bytes_is_utf8(name)) {
            return 0;
        }
        len += rp_json_string_len(name) + 1;
    }
    return err == RP_MORE ? len : 0;
}

static void write_json(uint8_t *at, struct rp_bytes packed) {
    struct rp_bytes name;
    *at = '[';
    while (rp_attachments_next(&packed, &name) == RP_OK) {
        at = rp_json_write_string(at + 1, name);
        *at = ',';
    }
    *at = ']';
}

void rp_sqlite_bind_names(sqlite3_stmt *stmt, int at, struct rp_bytes packed) {
    size_t len = packed.len > 0 ? json_len(packed) : 0;
    if (len == 0) {
        int rc = packed.len > 0
                     ? sqlite3_bind_blob64(stmt, at, packed.data, packed.len, SQLITE_TRANSIENT)
                     : sqlite3_bind_null(stmt, at);
        RP_ASSERT(rc == SQLITE_OK);
        return;
    }
    uint8_t *json = rp_alloc(len);
    write_json(json, packed);
    int rc = sqlite3_bind_text64(stmt, at, (const char *) json, len, free, SQLITE_UTF8);
    RP_ASSERT(rc == SQLITE_OK);
}

/* ---- reading ---- */

static enum rp_err pack_name(struct rp_bytes value, struct rp_buf *scratch, struct rp_buf *out) {
    struct rp_bytes name;
    if (rp_json_string_plain(value, &name)) {
        return rp_attachments_put(out, name);
    }
    rp_buf_clear(scratch);
    enum rp_err err = rp_json_string_decode(value, scratch);
    return err == RP_OK ? rp_attachments_put(out, rp_buf_bytes(scratch)) : err;
}

static enum rp_err pack_json(struct rp_bytes json, struct rp_buf *out) {
    struct rp_bytes list, value;
    if (rp_json_whole(json, &list) != RP_OK || rp_json_kind(list) != RP_JSON_ARRAY) {
        return RP_E_CORRUPT;
    }
    struct rp_json_iter it = rp_json_iter_array(list);
    struct rp_buf scratch;
    rp_buf_init(&scratch, json.len);
    enum rp_err err = RP_OK;
    while (err == RP_OK && rp_json_iter_next(&it, NULL, &value)) {
        err = pack_name(value, &scratch, out);
    }
    rp_buf_done(&scratch);
    return err == RP_OK ? RP_OK : RP_E_CORRUPT;
}

enum rp_err rp_sqlite_names(sqlite3_stmt *stmt, int at, struct rp_buf *ret_packed) {
    struct rp_bytes column;
    switch (sqlite3_column_type(stmt, at)) {
    case SQLITE_NULL:
        rp_buf_init(ret_packed, 1);
        return RP_OK;
    case SQLITE_BLOB:
        column = rp_sqlite_blob(stmt, at);
        rp_buf_init(ret_packed, column.len + 1);
        return rp_buf_put(ret_packed, column);
    default:
        column = rp_sqlite_text(stmt, at);
        /* a name of n bytes takes at least n + 3 there, and n + 4 here */
        rp_buf_init(ret_packed, 2 * column.len + 1);
        return pack_json(column, ret_packed);
    }
}
