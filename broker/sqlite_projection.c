/* broker/sqlite_projection.c — `session`, `member`, `unacked` and `namespace` follow the log;
 * broker/record.h says what each kind means.
 *
 * Whom a selector selects is found through the index member_room, which has the open memberships by
 * namespace and room: rooms of the same name in other namespaces cost nothing. One room without
 * exceptions, as most records have, is one statement. Several are gathered in the temporary table
 * `selected` first, which is in memory and empty between records. */
#include "broker/sqlite_row.h"
#include "broker/sqlite_state.h"

#include "proto/attachments.h"

/* Up to so many selected sessions are looked up one by one in an excepted room, which may be large;
 * of more, the room's members are crossed out. */
enum { LOOKUPS_MAX = 128 };

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
    rp_sqlite_bind_u64(stmt, 7, r->f.flags & RP_RECORD_APP ? 1 : 0);
    return rp_sqlite_run(stmt);
}

static int open_room(struct rp_sqlite_writer *w, const struct rp_record *r, struct rp_bytes room) {
    sqlite3_stmt *stmt = w->stmts[RP_SQLITE_W_OPEN_ROOM];
    rp_sqlite_bind_u64(stmt, 1, r->seq);
    rp_sqlite_bind_key(stmt, 2, room);
    rp_sqlite_bind_u64(stmt, 3, r->f.ts_ms);
    rp_sqlite_bind_key(stmt, 4, r->f.nsp);
    return rp_sqlite_run(stmt);
}

static int open_all(struct rp_sqlite_writer *w, const struct rp_record *r) {
    int rc = open_session(w, r);
    if (r->f.flags & RP_RECORD_APP) {
        rc = rc == SQLITE_OK ? open_room(w, r, rp_bytes(NULL, 0)) : rc;
        rc = rc == SQLITE_OK ? open_room(w, r, r->f.sid) : rc;
    }
    return rc;
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
    int rc = SQLITE_OK;
    if (r->f.room.len > 0) {
        sqlite3_stmt *stmt = w->stmts[RP_SQLITE_W_LEAVE];
        rp_sqlite_bind_u64(stmt, 1, r->f.session);
        rp_sqlite_bind_key(stmt, 2, r->f.room);
        rp_sqlite_bind_u64(stmt, 3, r->seq);
        rc = rp_sqlite_run(stmt);
    }
    if (rc == SQLITE_OK && r->f.aux > 0) {
        rc = RUN_U64S(w, FORGET, r->f.session, r->f.aux);
        rc = rc == SQLITE_OK ? RUN_U64S(w, FLOOR, r->f.session, r->f.aux) : rc;
    }
    return rc;
}

static int end(struct rp_sqlite_writer *w, const struct rp_record *r) {
    int rc = RUN_U64S(w, END_UNACKED, r->f.session);
    rc = rc == SQLITE_OK ? RUN_U64S(w, END_MEMBERS, r->f.session) : rc;
    return rc == SQLITE_OK ? RUN_U64S(w, END, r->f.session) : rc;
}

/* ---- what concerns whom a selector selects ---- */

static int run_in_room(struct rp_sqlite_writer *w, enum rp_sqlite_writer_stmt which,
                       const struct rp_record *r, struct rp_bytes room) {
    sqlite3_stmt *stmt = w->stmts[which];
    rp_sqlite_bind_key(stmt, 1, r->f.nsp);
    rp_sqlite_bind_key(stmt, 2, room);
    return rp_sqlite_run(stmt);
}

/* Fills `selected`. */
static int select_sessions(struct rp_sqlite_writer *w, const struct rp_record *r) {
    struct rp_bytes rooms = r->f.rooms, except = r->f.except, name;
    int rc = run_in_room(w, RP_SQLITE_W_SELECT_ADD, r, r->f.room);
    int64_t count = sqlite3_changes(w->db);
    while (rc == SQLITE_OK && rp_attachments_next(&rooms, &name) == RP_OK) {
        rc = run_in_room(w, RP_SQLITE_W_SELECT_ADD, r, name);
        count += sqlite3_changes(w->db);
    }
    enum rp_sqlite_writer_stmt drop =
        count <= LOOKUPS_MAX ? RP_SQLITE_W_SELECT_DROP_OF_FEW : RP_SQLITE_W_SELECT_DROP;
    while (rc == SQLITE_OK && rp_attachments_next(&except, &name) == RP_OK) {
        rc = run_in_room(w, drop, r, name);
    }
    return rc;
}

static int clear_selected(struct rp_sqlite_writer *w) {
    return rp_sqlite_run(w->stmts[RP_SQLITE_W_SELECT_CLEAR]);
}

static bool has_one_room(const struct rp_record *r) {
    return r->f.rooms.len == 0 && r->f.except.len == 0;
}

/* Runs the one of two statements that fits the record; its parameters from ?4 on are bound to both
 * by `bind`. */
static int run_selected(struct rp_sqlite_writer *w, const struct rp_record *r,
                        enum rp_sqlite_writer_stmt in_room, enum rp_sqlite_writer_stmt in_selected,
                        void (*bind)(sqlite3_stmt *stmt, const struct rp_record *r)) {
    bool one = has_one_room(r);
    sqlite3_stmt *stmt = w->stmts[one ? in_room : in_selected];
    int rc = one ? SQLITE_OK : select_sessions(w, r);
    if (rc != SQLITE_OK) {
        return rc;
    }
    rp_sqlite_bind_key(stmt, 1, r->f.nsp);
    rp_sqlite_bind_key(stmt, 2, r->f.room);
    rp_sqlite_bind_u64(stmt, 3, r->seq);
    bind(stmt, r);
    rc = rp_sqlite_run(stmt);
    return rc == SQLITE_OK && !one ? clear_selected(w) : rc;
}

static void bind_owe(sqlite3_stmt *stmt, const struct rp_record *r) {
    rp_sqlite_bind_u64(stmt, 4, r->f.origin);
    rp_sqlite_bind_u64(stmt, 5, r->f.num);
}

static void bind_move_in(sqlite3_stmt *stmt, const struct rp_record *r) {
    rp_sqlite_bind_key(stmt, 4, r->f.name);
    rp_sqlite_bind_u64(stmt, 5, r->f.ts_ms);
}

static void bind_move_out(sqlite3_stmt *stmt, const struct rp_record *r) {
    rp_sqlite_bind_key(stmt, 4, r->f.name);
}

static int event(struct rp_sqlite_writer *w, const struct rp_record *r) {
    return r->f.flags & RP_RECORD_WANTS_ACK
               ? run_selected(w, r, RP_SQLITE_W_OWE_ROOM, RP_SQLITE_W_OWE_SELECTED, bind_owe)
               : SQLITE_OK;
}

static int move(struct rp_sqlite_writer *w, const struct rp_record *r) {
    return r->f.flags & RP_RECORD_LEAVE_ROOM
               ? run_selected(w, r, RP_SQLITE_W_MOVE_OUT_ROOM, RP_SQLITE_W_MOVE_OUT_SELECTED,
                              bind_move_out)
               : run_selected(w, r, RP_SQLITE_W_MOVE_IN_ROOM, RP_SQLITE_W_MOVE_IN_SELECTED,
                              bind_move_in);
}

static int kick(struct rp_sqlite_writer *w, const struct rp_record *r) {
    int rc = select_sessions(w, r);
    rc = rc == SQLITE_OK ? rp_sqlite_run(w->stmts[RP_SQLITE_W_KICK_UNACKED]) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_run(w->stmts[RP_SQLITE_W_KICK_MEMBERS]) : rc;
    rc = rc == SQLITE_OK ? rp_sqlite_run(w->stmts[RP_SQLITE_W_KICK]) : rc;
    return rc == SQLITE_OK ? clear_selected(w) : rc;
}

/* ---- the rest ---- */

static int set_data(struct rp_sqlite_writer *w, const struct rp_record *r) {
    sqlite3_stmt *stmt = w->stmts[RP_SQLITE_W_DATA];
    rp_sqlite_bind_u64(stmt, 1, r->f.session);
    rp_sqlite_bind_text(stmt, 2, r->f.args);
    return rp_sqlite_run(stmt);
}

static int serve(struct rp_sqlite_writer *w, const struct rp_record *r) {
    bool released = r->f.flags & RP_RECORD_RELEASED;
    sqlite3_stmt *stmt = w->stmts[released ? RP_SQLITE_W_RELEASE : RP_SQLITE_W_SERVE];
    rp_sqlite_bind_key(stmt, 1, r->f.nsp);
    if (!released) {
        sqlite3_bind_int64(stmt, 2, r->f.flags);
        rp_sqlite_bind_u64(stmt, 3, r->seq);
    }
    return rp_sqlite_run(stmt);
}

int rp_sqlite_project(struct rp_sqlite_writer *w, const struct rp_record *r) {
    uint64_t closed_ts_ms = r->f.ts_ms > 0 ? r->f.ts_ms : 1; /* 0 would mean connected */
    switch (r->f.kind) {
    case RP_RECORD_EVENT:
        return event(w, r);
    case RP_RECORD_OPEN:
        return open_all(w, r);
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
    case RP_RECORD_ACK:
        return RUN_U64S(w, ACK, r->f.session, r->f.aux);
    case RP_RECORD_MOVE:
        return move(w, r);
    case RP_RECORD_KICK:
        return kick(w, r);
    case RP_RECORD_DATA:
        return set_data(w, r);
    case RP_RECORD_SERVE:
        return serve(w, r);
    }
    return SQLITE_OK;
}
