#include "broker/sqlite_row.h"

#include "broker/sqlite_names.h"

#include <endian.h>
#include <zlib.h>

enum { ROW_NUMBERS = 9, ROW_TEXTS = 7 };

/* What version 3 added. Its first word is no length of attachments, so neither passes for the
 * other. */
static uLong checksum_3(uLong sum, const struct rp_record_fields *f) {
    const uint64_t head[] = {htole64(UINT64_C(3) << 62), htole64(f->to), htole64(f->to_num),
                             htole64(f->rooms.len), htole64(f->except.len)};
    sum = crc32_z(sum, (const Bytef *) head, sizeof head);
    if (f->rooms.len > 0) {
        sum = crc32_z(sum, f->rooms.data, f->rooms.len);
    }
    return f->except.len > 0 ? crc32_z(sum, f->except.data, f->except.len) : sum;
}

/* CRC-32 over the numbers and the lengths, little-endian, and then the texts: no byte can move from
 * one column to another unseen. What later versions of the schema added comes last, with its
 * lengths, and only where it is set, so that older rows keep their sums: attachments (2), further
 * rooms and whom a record is for (3). Lists of names are summed as they are in a record. */
static uint32_t checksum(uint64_t seq, const struct rp_record_fields *f) {
    const struct rp_bytes texts[ROW_TEXTS] = {f->nsp, f->room, f->name,    f->args,
                                              f->id,  f->sid,  f->pid_hash};
    uint64_t head[ROW_NUMBERS + ROW_TEXTS] = {
        seq,    (uint64_t) f->kind, f->flags, f->ts_ms, f->origin,
        f->num, f->session,         f->conn,  f->aux};
    for (size_t i = 0; i < ROW_TEXTS; i++) {
        head[ROW_NUMBERS + i] = texts[i].len;
    }
    for (size_t i = 0; i < ROW_NUMBERS + ROW_TEXTS; i++) {
        head[i] = htole64(head[i]);
    }
    uLong sum = crc32_z(0, (const Bytef *) head, sizeof head);
    for (size_t i = 0; i < ROW_TEXTS; i++) {
        if (texts[i].len > 0) {
            sum = crc32_z(sum, texts[i].data, texts[i].len);
        }
    }
    if (f->attachments.len > 0) {
        uint64_t len = htole64(f->attachments.len);
        sum = crc32_z(sum, (const Bytef *) &len, sizeof len);
        sum = crc32_z(sum, f->attachments.data, f->attachments.len);
    }
    if (f->rooms.len > 0 || f->except.len > 0 || f->to != 0 || f->to_num != 0) {
        sum = checksum_3(sum, f);
    }
    return (uint32_t) sum;
}

void rp_sqlite_row_bind(sqlite3_stmt *insert, const struct rp_record *r) {
    const struct rp_record_fields *f = &r->f;
    bool event = f->kind == RP_RECORD_EVENT;
    sqlite3_bind_int64(insert, 1, (sqlite3_int64) r->seq);
    sqlite3_bind_int(insert, 2, (int) f->kind);
    sqlite3_bind_int64(insert, 3, (sqlite3_int64) f->ts_ms);
    /* the unique index would take two events without a namespace for different ones */
    (event ? rp_sqlite_bind_key : rp_sqlite_bind_text)(insert, 4, f->nsp);
    (event ? rp_sqlite_bind_key : rp_sqlite_bind_text)(insert, 5, f->room);
    rp_sqlite_bind_text(insert, 6, f->name);
    rp_sqlite_bind_text(insert, 7, f->args);
    rp_sqlite_bind_text(insert, 8, f->id);
    rp_sqlite_bind_text(insert, 9, f->sid);
    rp_sqlite_bind_u64(insert, 10, f->session);
    rp_sqlite_bind_u64(insert, 11, f->origin);
    rp_sqlite_bind_u64(insert, 12, f->num);
    rp_sqlite_bind_u64(insert, 13, f->conn);
    rp_sqlite_bind_u64(insert, 14, f->aux);
    rp_sqlite_bind_u64(insert, 15, f->flags);
    rp_sqlite_bind_blob(insert, 16, f->pid_hash);
    sqlite3_bind_int64(insert, 17, (int32_t) checksum(r->seq, f));
    rp_sqlite_bind_blob(insert, 18, f->attachments);
    rp_sqlite_bind_names(insert, 19, f->rooms);
    rp_sqlite_bind_names(insert, 20, f->except);
    rp_sqlite_bind_u64(insert, 21, f->to);
    rp_sqlite_bind_u64(insert, 22, f->to_num);
}

static enum rp_err read_row(sqlite3_stmt *select, struct rp_bytes rooms, struct rp_bytes except,
                            struct rp_record **ret_record) {
    uint64_t seq = rp_sqlite_u64(select, 0);
    struct rp_record_fields f = {
        .kind = (enum rp_record_kind) sqlite3_column_int(select, 1),
        .ts_ms = rp_sqlite_u64(select, 2),
        .nsp = rp_sqlite_text(select, 3),
        .room = rp_sqlite_text(select, 4),
        .name = rp_sqlite_text(select, 5),
        .args = rp_sqlite_text(select, 6),
        .id = rp_sqlite_text(select, 7),
        .sid = rp_sqlite_text(select, 8),
        .session = rp_sqlite_u64(select, 9),
        .origin = rp_sqlite_u64(select, 10),
        .num = rp_sqlite_u64(select, 11),
        .conn = rp_sqlite_u64(select, 12),
        .aux = rp_sqlite_u64(select, 13),
        .flags = (uint32_t) rp_sqlite_u64(select, 14),
        .pid_hash = rp_sqlite_blob(select, 15),
        .attachments = rp_sqlite_blob(select, 17),
        .rooms = rooms,
        .except = except,
        .to = rp_sqlite_u64(select, 20),
        .to_num = rp_sqlite_u64(select, 21),
    };
    if ((int32_t) checksum(seq, &f) != sqlite3_column_int64(select, 16)) {
        return RP_E_CORRUPT;
    }
    struct rp_record *r = rp_record_new(&f);
    r->seq = seq;
    *ret_record = r;
    return RP_OK;
}

enum rp_err rp_sqlite_row_read(sqlite3_stmt *select, struct rp_record **ret_record) {
    struct rp_buf rooms = {0}, except = {0};
    enum rp_err err = rp_sqlite_names(select, 18, &rooms);
    err = err == RP_OK ? rp_sqlite_names(select, 19, &except) : err;
    err = err == RP_OK ? read_row(select, rp_buf_bytes(&rooms), rp_buf_bytes(&except), ret_record)
                       : err;
    rp_buf_done(&rooms);
    rp_buf_done(&except);
    return err;
}

/* ---- what index and retention need of a row ---- */

int rp_sqlite_row_rooms(sqlite3_stmt *select, struct rp_sqlite_rooms_row *ret_row) {
    struct rp_buf except = {0};
    *ret_row = (struct rp_sqlite_rooms_row){.seq = rp_sqlite_u64(select, 0),
                                            .kind = (enum rp_record_kind) rp_sqlite_u64(select, 1),
                                            .ts_ms = rp_sqlite_u64(select, 2),
                                            .flags = (uint32_t) rp_sqlite_u64(select, 3),
                                            .nsp = rp_sqlite_text(select, 4),
                                            .room = rp_sqlite_text(select, 5)};
    enum rp_err err = rp_sqlite_names(select, 6, &ret_row->rooms);
    err = err == RP_OK ? rp_sqlite_names(select, 13, &except) : err;
    struct rp_record_fields f = {.nsp = ret_row->nsp,
                                 .room = ret_row->room,
                                 .name = rp_sqlite_text(select, 7),
                                 .args = rp_sqlite_text(select, 8),
                                 .id = rp_sqlite_text(select, 9),
                                 .sid = rp_sqlite_text(select, 10),
                                 .pid_hash = rp_sqlite_blob(select, 11),
                                 .attachments = rp_sqlite_blob(select, 12),
                                 .rooms = rp_buf_bytes(&ret_row->rooms),
                                 .except = rp_buf_bytes(&except)};
    ret_row->weight = rp_record_weight(&f);
    rp_buf_done(&except);
    return err == RP_OK ? SQLITE_OK : SQLITE_CORRUPT;
}
