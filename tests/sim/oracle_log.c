/* tests/sim/oracle_log.c — what the log says, for the other files of the oracle. */
#include "tests/sim/oracle.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *oracle_complain(const char *format, ...) {
    static char complaint[512];
    va_list args;
    va_start(args, format);
    vsnprintf(complaint, sizeof complaint, format, args);
    va_end(args);
    return complaint;
}

uint64_t log_payload(const struct rp_record *r) {
    return strtoull((const char *) r->f.args.data + 1, NULL, 10); /* args is "[123…" */
}

unsigned log_room(const struct rp_record *r) {
    return (unsigned) (r->f.room.data[1] - '0'); /* "r3" */
}

unsigned log_nsp(const struct rp_record *r) {
    return stock_nsp_named(r->f.nsp);
}

bool log_is_own_without_echo(const struct rp_record *r, uint64_t session) {
    return (r->f.flags & RP_RECORD_NO_ECHO) && r->f.session == session;
}

const struct rp_record *log_find(const struct world *w, uint64_t seq, size_t *ret_at) {
    size_t from = 0, to = w->now.log_count;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (w->now.log[mid]->seq < seq) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    *ret_at = from;
    return from < w->now.log_count && w->now.log[from]->seq == seq ? w->now.log[from] : NULL;
}

uint64_t log_session(const struct world *w, const char *sid) {
    for (size_t i = 0; i < w->now.log_count; i++) {
        const struct rp_record *r = w->now.log[i];
        if (r->f.kind == RP_RECORD_OPEN && rp_bytes_eq_str(r->f.sid, sid)) {
            return r->seq;
        }
    }
    return 0;
}

uint64_t log_closed_ms(const struct world *w, uint64_t session, size_t before) {
    uint64_t conn = session, origin = 0, closed = 0;
    for (size_t i = 0; i < before; i++) {
        const struct rp_record *r = w->now.log[i];
        bool own = r->f.session == session;
        if (r->seq == session || (own && r->f.kind == RP_RECORD_RESUME)) {
            conn = r->seq;
            origin = r->f.origin;
            closed = 0;
        } else if (closed == 0 && ((own && r->f.kind == RP_RECORD_CLOSE && r->f.conn == conn) ||
                                   (r->f.kind == RP_RECORD_GONE && r->f.aux == origin))) {
            closed = r->f.ts_ms;
        }
    }
    return closed;
}

uint64_t log_head(const struct world *w, size_t logged) {
    return logged > 0 ? w->now.log[logged - 1]->seq : 0;
}

static bool is_border_of(const struct world *w, const struct border *b, struct rp_bytes nsp,
                         struct rp_bytes room) {
    return b->era == w->era && rp_bytes_eq(b->room, room) && rp_bytes_eq(b->last->f.nsp, nsp);
}

uint64_t log_border(const struct world *w, struct rp_bytes nsp, struct rp_bytes room,
                    size_t logged) {
    uint64_t border = 0;
    for (size_t i = 0; i < w->borders_count; i++) {
        const struct border *b = &w->borders[i];
        if (b->logged <= logged && b->last->seq > border && is_border_of(w, b, nsp, room)) {
            border = b->last->seq;
        }
    }
    return border;
}

uint64_t log_border_at(const struct world *w, unsigned nsp, unsigned room, size_t borders,
                       uint64_t first) {
    char name[8];
    uint64_t border = 0;
    snprintf(name, sizeof name, "r%u", room);
    for (size_t i = 0; i < borders; i++) {
        const struct border *b = &w->borders[i];
        if (b->last->seq > border && (!b->of_whole || b->last->seq < first) &&
            is_border_of(w, b, rp_bytes_str(stock_nsp_name(nsp)), rp_bytes_str(name))) {
            border = b->last->seq;
        }
    }
    return border;
}

bool log_was_member(const struct world *w, uint64_t session, unsigned room) {
    for (size_t i = 0; i < w->now.log_count; i++) {
        const struct rp_record *r = w->now.log[i];
        if (r->f.kind == RP_RECORD_JOIN && r->f.session == session && log_room(r) == room) {
            return true;
        }
    }
    return false;
}
