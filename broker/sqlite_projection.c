/* broker/sqlite_projection.c — `session` and `member` follow the log; broker/record.h says what
 * each kind means. */
#include "broker/sqlite_row.h"
#include "broker/sqlite_state.h"

static int run_u64s(sqlite3_stmt *stmt, const uint64_t *values, int count) {
    for (int i = 0; i < count; i++) {
        rp_sqlite_bind_u64(stmt, i + 1, values[i]);
    }
    return rp_sqlite_run(stmt);
}

#define RUN_U64S(w, name, ...)                                                                     \
    run_u64s((w)->stmts[RP_SQLITE_W_##name], (const uint64_t[]){__VA_ARGS__},                      \
             (int) (sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)))

static int open_session(struct rp_sqlite_writer *w, const struct rp_record *r) {
    sqlite3_stmt *stmt = w->stmts[RP_SQLITE_W_OPEN];
    rp_sqlite_bind_u64(stmt, 1, r->seq);
    rp_sqlite_bind_text(stmt, 2, r->f.nsp);
    rp_sqlite_bind_text(stmt, 3, r->f.sid);
    rp_sqlite_bind_blob(stmt, 4, r->f.pid_hash);
    rp_sqlite_bind_u64(stmt, 5, r->f.origin);
    rp_sqlite_bind_u64(stmt, 6, r->f.ts_ms);
    return rp_sqlite_run(stmt);
}

static int join(struct rp_sqlite_writer *w, const struct rp_record *r) {
    sqlite3_stmt *stmt = w->stmts[RP_SQLITE_W_JOIN];
    rp_sqlite_bind_u64(stmt, 1, r->f.session);
    rp_sqlite_bind_key(stmt, 2, r->f.room);
    rp_sqlite_bind_u64(stmt, 3, r->seq);
    rp_sqlite_bind_u64(stmt, 4, r->f.ts_ms);
    return rp_sqlite_run(stmt);
}

static int leave(struct rp_sqlite_writer *w, const struct rp_record *r) {
    sqlite3_stmt *stmt = w->stmts[RP_SQLITE_W_LEAVE];
    rp_sqlite_bind_u64(stmt, 1, r->f.session);
    rp_sqlite_bind_key(stmt, 2, r->f.room);
    rp_sqlite_bind_u64(stmt, 3, r->seq);
    int rc = rp_sqlite_run(stmt);
    if (rc == SQLITE_OK && r->f.aux > 0) {
        rc = RUN_U64S(w, FORGET, r->f.session, r->f.aux);
        rc = rc == SQLITE_OK ? RUN_U64S(w, FLOOR, r->f.session, r->f.aux) : rc;
    }
    return rc;
}

static int end(struct rp_sqlite_writer *w, const struct rp_record *r) {
    int rc = RUN_U64S(w, END_MEMBERS, r->f.session);
    return rc == SQLITE_OK ? RUN_U64S(w, END, r->f.session) : rc;
}

int rp_sqlite_project(struct rp_sqlite_writer *w, const struct rp_record *r) {
    uint64_t closed_ts_ms = r->f.ts_ms > 0 ? r->f.ts_ms : 1; /* 0 would mean connected */
    switch (r->f.kind) {
    case RP_RECORD_EVENT:
        return SQLITE_OK;
    case RP_RECORD_OPEN:
        return open_session(w, r);
    case RP_RECORD_RESUME:
        return RUN_U64S(w, RESUME, r->f.session, r->seq, r->f.origin);
    case RP_RECORD_CLOSE:
        return RUN_U64S(w, CLOSE, r->f.session, r->f.conn, closed_ts_ms);
    case RP_RECORD_END:
        return end(w, r);
    case RP_RECORD_JOIN:
        return join(w, r);
    case RP_RECORD_LEAVE:
        return leave(w, r);
    case RP_RECORD_GONE:
        return RUN_U64S(w, GONE, r->f.aux, closed_ts_ms);
    }
    return SQLITE_OK;
}
