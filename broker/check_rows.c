/* broker/check_rows.c — the projections: what must hold of each row by itself and between tables,
 * as queries whose every answer is damage; and the rows that the records made when they were
 * replayed, against those of the file, two cursors in the order of the primary key.
 *
 * Every query walks a table once, with searches by primary key, so nothing is sorted or kept. */
#include "broker/check_state.h"

#include "broker/sqlite_names.h"
#include "broker/sqlite_row.h"
#include "common/assert.h"
#include "proto/attachments.h"

#include <stdio.h>

/* ---- queries ---- */

/* ?1 no seq is as large, ?2 first_seq, ?3 the newest seq that any room has lost. */
#define OF_MEMBER                                                                                  \
    "'member: session ' || m.session || ', room ' || quote(m.room) || ', from ' || m.from_seq"
#define OF_UNACKED "'unacked: session ' || u.session || ', seq ' || u.seq"
#define OF_SESSION "'session: ' || s.session"
#define OF_ROOM "'room: ' || quote(r.room) || ' of namespace ' || quote(r.nsp)"
#define OF_NAMESPACE "'namespace: ' || quote(n.nsp)"

static const struct {
    const char *table, *sql;
} queries[] = {
    {"session",
     "SELECT " OF_SESSION " || ': its numbers do not fit (conn ' || s.conn || ', floor_seq ' || "
     "coalesce(s.floor_seq, 0) || ', the next seq is ' || ?1 || ')' FROM session s WHERE "
     "s.session <= 0 OR s.session >= ?1 OR s.conn < s.session OR s.conn >= ?1 "
     "OR coalesce(s.floor_seq, 0) >= ?1 OR coalesce(s.floor_seq, 0) < 0"},
    {"session",
     "SELECT " OF_SESSION " || ': it has a value of another type, or none where one must be' "
     "FROM session s WHERE typeof(s.conn) <> 'integer' "
     "OR typeof(s.sid) <> 'text' OR s.sid = '' OR typeof(s.pid_hash) NOT IN ('blob', 'null') "
     "OR length(s.pid_hash) <> 32 OR typeof(s.nsp) NOT IN ('text', 'null') "
     "OR typeof(s.gateway) NOT IN ('integer', 'null') "
     "OR typeof(s.opened_ts) NOT IN ('integer', 'null') "
     "OR typeof(s.closed_ts) NOT IN ('integer', 'null') "
     "OR typeof(s.floor_seq) NOT IN ('integer', 'null') "
     "OR typeof(s.app) NOT IN ('integer', 'null') OR s.app <> 1 "
     "OR typeof(s.data) NOT IN ('text', 'null')"},
    {"session", "SELECT " OF_SESSION " || ': it is neither connected nor away' FROM session s "
                "WHERE (s.gateway IS NULL) <> (s.closed_ts IS NOT NULL)"},
    {"session",
     "SELECT " OF_SESSION " || ': no record opens it' FROM session s WHERE s.session >= ?2 "
     "AND NOT EXISTS (SELECT 1 FROM event e WHERE e.seq = s.session AND e.kind = 2)"},
    {"session",
     "SELECT " OF_SESSION " || ': no record makes its connection ' || s.conn FROM session s "
     "WHERE s.conn >= ?2 AND s.conn <> s.session AND NOT EXISTS (SELECT 1 FROM event e "
     "WHERE e.seq = s.conn AND e.kind = 3 AND e.session = s.session)"},
    {"member", "SELECT " OF_MEMBER " || ': there is no such session' FROM member m "
               "WHERE NOT EXISTS (SELECT 1 FROM session s WHERE s.session = m.session)"},
    {"member",
     "SELECT " OF_MEMBER " || ': it is of namespace ' || quote(m.nsp) || ', and its session of ' "
     "|| quote(coalesce(s.nsp, '')) FROM member m JOIN session s ON s.session = m.session "
     "WHERE m.nsp IS NOT coalesce(s.nsp, '')"},
    {"member",
     "SELECT " OF_MEMBER " || ' to ' || coalesce(m.to_seq, 'now') || ': these cannot be its ends' "
     "FROM member m WHERE m.from_seq < m.session OR m.from_seq >= ?1 OR m.to_seq <= m.from_seq "
     "OR m.to_seq >= ?1 OR typeof(m.session) <> 'integer' OR typeof(m.from_seq) <> 'integer' "
     "OR typeof(m.to_seq) NOT IN ('integer', 'null') OR typeof(m.room) <> 'text' "
     "OR typeof(m.ts) NOT IN ('integer', 'null')"},
    {"member",
     "SELECT " OF_MEMBER " || ': it is a member already' FROM member m WHERE EXISTS (SELECT 1 "
     "FROM member p WHERE p.session = m.session AND p.room = m.room AND p.from_seq < m.from_seq "
     "AND (p.to_seq IS NULL OR p.to_seq > m.from_seq))"},
    {"member",
     "SELECT " OF_MEMBER " || ': no record makes it a member' FROM member m "
     "WHERE m.from_seq >= ?2 AND NOT EXISTS (SELECT 1 FROM event e WHERE e.seq = m.from_seq AND "
     "((e.kind = 6 AND e.session = m.session AND e.room IS nullif(m.room, '')) OR "
     "(e.kind = 10 AND e.name IS nullif(m.room, '')) OR (e.kind = 2 AND e.seq = m.session)))"},
    {"member",
     "SELECT " OF_MEMBER " || ': no record ends it at ' || m.to_seq FROM member m "
     "WHERE m.to_seq >= ?2 AND NOT EXISTS (SELECT 1 FROM event e WHERE e.seq = m.to_seq AND "
     "((e.kind = 7 AND e.session = m.session AND e.room IS nullif(m.room, '')) OR "
     "(e.kind = 10 AND e.name IS nullif(m.room, ''))))"},
    {"unacked", "SELECT " OF_UNACKED " || ': there is no such session' FROM unacked u "
                "WHERE NOT EXISTS (SELECT 1 FROM session s WHERE s.session = u.session)"},
    {"unacked",
     "SELECT " OF_UNACKED " || ': this cannot be its seq' FROM unacked u WHERE u.seq <= u.session "
     "OR u.seq >= ?1 OR typeof(u.session) <> 'integer' OR typeof(u.seq) <> 'integer'"},
    {"unacked",
     "SELECT " OF_UNACKED " || ': there is no such event' FROM unacked u WHERE u.seq >= ?2 "
     "AND u.seq > ?3 AND NOT EXISTS (SELECT 1 FROM event e WHERE e.seq = u.seq)"},
    {"unacked",
     "SELECT " OF_UNACKED " || ': that is no event which wants acks, or of somebody else' "
     "FROM unacked u JOIN event e ON e.seq = u.seq WHERE e.kind <> 1 "
     "OR coalesce(e.flags, 0) & 4 = 0 OR e.origin IS NOT u.origin OR e.num IS NOT u.num"},
    {"room", "SELECT " OF_ROOM " || ': it cannot have lost its events up to ' || r.trimmed_seq "
             "FROM room r WHERE r.trimmed_seq < 0 OR r.trimmed_seq >= ?1 "
             "OR typeof(r.trimmed_seq) <> 'integer' OR typeof(r.room) <> 'text' OR typeof(r.nsp) "
             "<> 'text'"},
    {"room",
     "SELECT " OF_ROOM " || ': it has lost its events up to ' || r.trimmed_seq || ', which is "
     "another room''s' FROM room r JOIN event e ON e.seq = r.trimmed_seq WHERE e.rooms IS NULL "
     "AND (e.kind <> 1 OR e.room IS NOT r.room OR e.nsp IS NOT r.nsp)"},
    {"namespace",
     "SELECT " OF_NAMESPACE " || ': no record says that it is served so' FROM namespace n "
     "WHERE n.seq <= 0 OR n.seq >= ?1 OR n.flags & ~0x3c0 <> 0 OR typeof(n.nsp) <> 'text' "
     "OR (n.seq >= ?2 AND NOT EXISTS (SELECT 1 FROM event e WHERE e.seq = n.seq AND e.kind = 13 "
     "AND e.nsp IS nullif(n.nsp, '') AND coalesce(e.flags, 0) & 1024 = 0))"},
    {"room",
     "SELECT " OF_ROOM " || ': its sums cannot be right' FROM room r WHERE r.counted_seq < 0 "
     "OR r.counted_seq >= ?1 + (SELECT value FROM meta WHERE key = 'segment_events') "
     "OR r.events < 0 OR r.bytes < 0 OR (r.events IS NULL) <> (r.bytes IS NULL)"},
    {"retention",
     "SELECT 'retention: rule ' || coalesce(r.place, 'NULL') || ' has come to ' || "
     "coalesce(max(r.swept_seq, r.checked_seq), 'NULL') FROM retention r "
     "WHERE r.place < 0 OR typeof(r.rule) <> 'text' OR typeof(r.swept_seq) <> 'integer' "
     "OR typeof(r.checked_seq) <> 'integer' OR r.swept_seq < 0 OR r.swept_seq >= ?1 "
     "OR r.checked_seq < 0 OR r.checked_seq >= ?1"},
    {"segment",
     "SELECT 'segment: there is no segment ' || g.segment FROM segment g WHERE g.segment < 0"},
    {"room_index",
     "SELECT 'room_index: there is no segment ' || i.segment FROM room_index i "
     "WHERE i.segment < 0 OR typeof(i.segment) <> 'integer' OR typeof(i.room) <> 'text' "
     "OR typeof(i.nsp) <> 'text' OR typeof(i.seqs) <> 'text'"},
};

static void run_query(struct rp_check *c, const char *table, const char *sql) {
    const uint64_t values[] = {c->after_seqs, c->r.first_seq, c->border_max};
    sqlite3_stmt *stmt;
    bool of_sums = strstr(sql, "counted_seq") != NULL || strcmp(table, "retention") == 0;
    if (of_sums && c->r.version < RP_CHECK_VERSION_SUMS) {
        return;
    }
    int rc = sqlite3_prepare_v2(c->db, sql, -1, &stmt, NULL);
    for (int i = 0; rc == SQLITE_OK && i < sqlite3_bind_parameter_count(stmt); i++) {
        sqlite3_bind_int64(stmt, i + 1, (sqlite3_int64) values[i]);
    }
    while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        struct rp_bytes text = rp_sqlite_text(stmt, 0);
        if (text.len > 0) {
            rp_check_damage(c, "%.*s", RP_BYTES_FMT(text));
        } else {
            rp_check_damage(c, "%s: a row has NULL where a value must be", table);
        }
    }
    rc = rc == SQLITE_OK ? sqlite3_finalize(stmt) : rc;
    rp_check_can_read(c, table, rc);
}

void rp_check_rows(struct rp_check *c) {
    size_t count = sizeof queries / sizeof *queries;
    for (size_t i = 0; i < count; i++) {
        rp_check_progress(c, "projections", i, count);
        run_query(c, queries[i].table, queries[i].sql);
    }
}

/* ---- against the records ---- */

struct table {
    const char *name, *sql; /* ?1: sessions from there on; in the order of the key */
    int keys;               /* so many columns are the key */
};

enum { SESSION_CONN = 4 }; /* the column of the first */
static const struct table tables[] = {
    {"session",
     "SELECT session, nsp, sid, pid_hash, conn, gateway, opened_ts, closed_ts, floor_seq, app, "
     "data FROM session WHERE session >= ?1 ORDER BY session",
     1},
    {"member",
     "SELECT session, room, from_seq, to_seq, ts, nsp FROM member WHERE session >= ?1 "
     "ORDER BY session, room, from_seq",
     3},
    {"unacked",
     "SELECT session, seq, origin, num FROM unacked WHERE session >= ?1 ORDER BY session, seq", 2},
    {"namespace", "SELECT nsp, flags, seq FROM namespace ORDER BY nsp", 1},
};

struct cursor {
    sqlite3_stmt *stmt;
    bool at_row;
    int rc;
};

static void move(struct cursor *cursor) {
    cursor->rc = sqlite3_step(cursor->stmt);
    cursor->at_row = cursor->rc == SQLITE_ROW;
}

static int rank_of(sqlite3_stmt *stmt, int at) {
    switch (sqlite3_column_type(stmt, at)) {
    case SQLITE_NULL:
        return 0;
    case SQLITE_INTEGER:
        return 1;
    case SQLITE_FLOAT:
        return 2;
    case SQLITE_TEXT:
        return 3;
    default:
        return 4;
    }
}

/* In the order that SQLite sorts in, but for fractions, which are in no sound file. */
static int compare_values(sqlite3_stmt *a, sqlite3_stmt *b, int at) {
    int x = rank_of(a, at), y = rank_of(b, at);
    if (x != y || x == 0) {
        return (x > y) - (x < y);
    }
    if (x == 1) {
        int64_t m = sqlite3_column_int64(a, at), n = sqlite3_column_int64(b, at);
        return (m > n) - (m < n);
    }
    const void *p = sqlite3_column_blob(a, at), *q = sqlite3_column_blob(b, at);
    size_t m = (size_t) sqlite3_column_bytes(a, at), n = (size_t) sqlite3_column_bytes(b, at);
    int order = m > 0 && n > 0 ? memcmp(p, q, m < n ? m : n) : 0;
    return order != 0 ? order : (m > n) - (m < n);
}

/* "session 17, room "a", from_seq 21" */
static const char *key_of(const struct table *table, sqlite3_stmt *row, char *text, size_t size) {
    size_t at = 0;
    text[0] = '\0';
    for (int i = 0; i < table->keys && at < size; i++) {
        char name[RP_CHECK_NAME_SIZE];
        bool number = sqlite3_column_type(row, i) == SQLITE_INTEGER;
        int n =
            number ? snprintf(text + at, size - at, "%s%s %lld", i > 0 ? ", " : "",
                              sqlite3_column_name(row, i), (long long) sqlite3_column_int64(row, i))
                   : snprintf(text + at, size - at, "%s%s %s", i > 0 ? ", " : "",
                              sqlite3_column_name(row, i),
                              rp_check_quote(rp_sqlite_text(row, i), name));
        at += (size_t) n;
    }
    return text;
}

static bool border_is_past(struct rp_check *c, struct rp_bytes room, struct rp_bytes nsp,
                           uint64_t seq) {
    sqlite3_stmt *stmt;
    uint64_t border = 0;
    int rc = sqlite3_prepare_v2(c->db, "SELECT trimmed_seq FROM room WHERE room = ?1 AND nsp = ?2",
                                -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        rp_sqlite_bind_key(stmt, 1, room);
        rp_sqlite_bind_key(stmt, 2, nsp);
        rp_sqlite_run_u64(stmt, &border);
        sqlite3_finalize(stmt);
    }
    return border >= seq;
}

/* Whether all rooms of the event have lost it, so that it is only waiting for its removal. */
static bool is_hidden(struct rp_check *c, uint64_t seq) {
    sqlite3_stmt *stmt;
    if (seq > c->border_max ||
        sqlite3_prepare_v2(c->db, "SELECT nsp, room, rooms FROM event WHERE seq = ?1", -1, &stmt,
                           NULL) != SQLITE_OK) {
        return false;
    }
    bool hidden = false;
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) seq);
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        struct rp_bytes nsp = rp_sqlite_text(stmt, 0), name;
        struct rp_buf packed = {0};
        hidden = border_is_past(c, rp_sqlite_text(stmt, 1), nsp, seq) &&
                 rp_sqlite_names(stmt, 2, &packed) == RP_OK;
        struct rp_bytes rooms = hidden ? rp_buf_bytes(&packed) : rp_bytes(NULL, 0);
        while (hidden && rp_attachments_next(&rooms, &name) == RP_OK) {
            hidden = border_is_past(c, name, nsp, seq);
        }
        rp_buf_done(&packed);
    }
    sqlite3_finalize(stmt);
    return hidden;
}

static bool has_event(struct rp_check *c, uint64_t seq) {
    sqlite3_stmt *stmt;
    uint64_t found = 0;
    if (sqlite3_prepare_v2(c->db, "SELECT seq FROM event WHERE seq = ?1", -1, &stmt, NULL) ==
        SQLITE_OK) {
        sqlite3_bind_int64(stmt, 1, (sqlite3_int64) seq);
        rp_sqlite_run_u64(stmt, &found);
        sqlite3_finalize(stmt);
    }
    return found != 0;
}

/* What retention removes is owed by nobody, sooner or later. */
static bool may_be_missing(struct rp_check *c, const struct table *table, sqlite3_stmt *row) {
    return strcmp(table->name, "unacked") == 0 && is_hidden(c, rp_sqlite_u64(row, 1));
}

static bool may_be_extra(struct rp_check *c, const struct table *table, sqlite3_stmt *row) {
    return strcmp(table->name, "unacked") == 0 && !has_event(c, rp_sqlite_u64(row, 1));
}

/* A broker of before dense_from took the last of several CLOSEs for the time. */
static bool may_differ(struct rp_check *c, sqlite3_stmt *row, sqlite3_stmt *expected, int at) {
    return strcmp(sqlite3_column_name(row, at), "closed_ts") == 0 && rank_of(row, at) == 1 &&
           rank_of(expected, at) == 1 &&
           (c->dense_from == 0 || rp_sqlite_u64(row, SESSION_CONN) < c->dense_from);
}

static void compare_rest(struct rp_check *c, const struct table *table, sqlite3_stmt *row,
                         sqlite3_stmt *expected) {
    char key[RP_CHECK_TEXT_SIZE / 2];
    for (int i = table->keys; i < sqlite3_column_count(row); i++) {
        if (compare_values(row, expected, i) != 0 && !may_differ(c, row, expected, i)) {
            rp_check_damage(c, "%s: %s: %s is not what the records make it", table->name,
                            key_of(table, row, key, sizeof key), sqlite3_column_name(row, i));
        }
    }
}

static void compare_at(struct rp_check *c, const struct table *table, struct cursor *file,
                       struct cursor *replay) {
    char key[RP_CHECK_TEXT_SIZE / 2];
    int order = !file->at_row ? 1 : !replay->at_row ? -1 : 0;
    for (int i = 0; i < table->keys && order == 0; i++) {
        order = compare_values(file->stmt, replay->stmt, i);
    }
    if (order < 0) {
        if (!may_be_extra(c, table, file->stmt)) {
            rp_check_damage(c, "%s: %s: no record makes this row", table->name,
                            key_of(table, file->stmt, key, sizeof key));
        }
    } else if (order > 0) {
        if (!may_be_missing(c, table, replay->stmt)) {
            rp_check_damage(c, "%s: %s: this row is missing", table->name,
                            key_of(table, replay->stmt, key, sizeof key));
        }
    } else {
        compare_rest(c, table, file->stmt, replay->stmt);
        c->r.sessions_compared += table == &tables[0];
    }
    if (order <= 0) {
        move(file);
    }
    if (order >= 0) {
        move(replay);
    }
}

static void compare_table(struct rp_check *c, const struct table *table) {
    struct cursor file = {0}, replay = {0};
    int rc = sqlite3_prepare_v2(c->db, table->sql, -1, &file.stmt, NULL);
    if (!rp_check_can_read(c, table->name, rc)) {
        return;
    }
    rc = sqlite3_prepare_v2(c->replay->writer.db, table->sql, -1, &replay.stmt, NULL);
    RP_ASSERT(rc == SQLITE_OK);
    if (sqlite3_bind_parameter_count(file.stmt) > 0) {
        sqlite3_bind_int64(file.stmt, 1, (sqlite3_int64) c->compared_from);
        sqlite3_bind_int64(replay.stmt, 1, (sqlite3_int64) c->compared_from);
    }
    move(&file);
    move(&replay);
    while (file.at_row || replay.at_row) {
        compare_at(c, table, &file, &replay);
        if ((!file.at_row && file.rc != SQLITE_DONE) ||
            (!replay.at_row && replay.rc != SQLITE_DONE)) {
            break;
        }
    }
    rp_check_can_read(c, table->name, file.rc);
    rp_check_can_read(c, "the temporary database", replay.rc);
    sqlite3_finalize(file.stmt);
    sqlite3_finalize(replay.stmt);
}

void rp_check_compare(struct rp_check *c) {
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        compare_table(c, &tables[i]);
    }
    if (c->r.sessions > c->r.sessions_compared && c->compared_from < c->after_seqs) {
        rp_check_note(c, "%llu sessions are older than the log and could not be compared with it",
                      (unsigned long long) (c->r.sessions - c->r.sessions_compared));
    }
}
