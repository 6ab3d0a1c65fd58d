/* tests/sim/oracle_recovery.c — who came back, and was told that nothing was lost, or that
 * something may have been: exactly, but for a room that was left before its border, of which nobody
 * knows whether what it lost had been for the session. */
#include "tests/sim/oracle.h"

static unsigned long long llu(uint64_t n) {
    return n;
}

struct judged {
    const struct world *w;
    const struct stock *s;
    uint64_t session, pos;
    unsigned nsp;
};

/* Up to where the client has all, by the offset that it gave. */
static uint64_t position_of(const struct world *w, const struct connection *c, uint64_t session) {
    bool same_log = c->pos > 0 && strncmp(c->tag, w->now.epoch, RP_OFFSET_TAG_LEN) == 0;
    return same_log && c->pos > session ? c->pos : session;
}

/* Whether one of the session's rooms lost what lay behind its position, by the borders that were
 * known when the log had so many records. sure: an event of the session's is gone. */
static bool has_lost(const struct judged *j, size_t logged, size_t borders, uint64_t first,
                     bool sure) {
    const struct world *w = j->w;
    uint64_t from[ROOMS] = {0}, border[ROOMS];
    bool member[ROOMS] = {false}, lost = false;
    for (unsigned room = 0; room < ROOMS; room++) {
        border[room] = log_border_at(w, j->nsp, room, borders, first);
    }
    for (size_t i = 0; i < logged && !lost; i++) {
        const struct rp_record *r = w->now.log[i];
        bool own = r->f.session == j->session && r->f.room.len > 0;
        unsigned room = r->f.room.len > 0 ? log_room(r) : 0;
        if (own && r->f.kind == RP_RECORD_JOIN && !member[room]) {
            member[room] = true;
            from[room] = r->seq;
        } else if (own && r->f.kind == RP_RECORD_LEAVE && member[room]) {
            member[room] = false;
            uint64_t after = from[room] > j->pos ? from[room] : j->pos;
            lost = !sure && border[room] > after && r->seq > after;
        } else if (sure && r->f.kind == RP_RECORD_EVENT && log_nsp(r) == j->nsp && member[room]) {
            lost = r->seq > j->pos && r->seq <= border[room] &&
                   !log_is_own_without_echo(r, j->session);
        }
    }
    for (unsigned room = 0; room < ROOMS && !sure; room++) {
        lost = lost || (member[room] && border[room] > from[room] && border[room] > j->pos);
    }
    return lost;
}

/* ---- not recovered ---- */

/* Its time was over, by the wall clock, while it was away, before what is at this place in the log:
 * then, or before the clock was set back meanwhile, for then the broker may have begun to end it,
 * and who comes back finds it ending. Returns the latest that the clock showed; 0: it was not. */
static uint64_t too_old_ms(const struct judged *j, size_t at) {
    const struct world *w = j->w;
    uint64_t closed = log_closed_ms(w, j->session, at), latest = w->now.log[at]->f.ts_ms;
    for (size_t i = 0; i < w->jumps_count; i++) {
        const struct jump *jump = &w->jumps[i];
        if (jump->era == w->era && jump->logged <= at && jump->wall_ms > latest &&
            log_closed_ms(w, j->session, jump->logged) == closed) {
            latest = jump->wall_ms;
        }
    }
    return closed > 0 && latest >= closed + w->profile.session_ttl_ms ? latest : 0;
}

/* Ended, and in the log before its client came back; or ended by its client or by its age, and on
 * its way there. The disk may have refused the latter, or a kill lost it: it comes again, and is
 * asked for, so that a broker which forgets it is found. It does not come if the log was put back
 * meanwhile, nor if the clock was set back, by which the session may be young again. */
static bool has_ended(const struct judged *j, size_t at) {
    uint64_t old_ms = too_old_ms(j, at);
    if (old_ms > 0 && (!j->w->is_newest || broker_now(j->w).wall_ms < old_ms)) {
        return true;
    }
    for (size_t i = 0; i < j->w->now.log_count; i++) {
        const struct rp_record *r = j->w->now.log[i];
        if (r->f.kind == RP_RECORD_END && r->f.session == j->session &&
            (i < at || !rp_bytes_eq_str(r->f.name, RP_REASON_EXPIRED) || old_ms > 0)) {
            return true;
        }
    }
    return stock_is_app(j->nsp) && oracle_app_has_ended(j->w, j->session);
}

/* What the session had left long ago was forgotten, and it came back from before that. */
static bool is_before_floor(const struct judged *j, size_t at) {
    for (size_t i = 0; i < at; i++) {
        const struct rp_record *r = j->w->now.log[i];
        if (r->f.kind == RP_RECORD_LEAVE && r->f.session == j->session && r->f.aux > j->pos) {
            return true;
        }
    }
    return false;
}

/* How many borders had moved when the log had so many records. */
static size_t borders_when(const struct world *w, size_t logged) {
    size_t count = 0;
    for (size_t i = 0; i < w->borders_count; i++) {
        count = w->borders[i].era < w->era ||
                        (w->borders[i].era == w->era && w->borders[i].logged <= logged)
                    ? i + 1
                    : count;
    }
    return count;
}

/* Which rooms of an app namespace a session was in is for its own oracle: any will do. */
static bool any_room_lost(const struct judged *j, size_t borders) {
    for (size_t i = 0; i < borders; i++) {
        const struct border *b = &j->w->borders[i];
        if (b->era == j->w->era && b->last->seq > j->pos &&
            rp_bytes_eq_str(b->last->f.nsp, stock_nsp_name(j->nsp))) {
            return true;
        }
    }
    return false;
}

static bool is_lost_to_borders(const struct judged *j, size_t at) {
    size_t borders = borders_when(j->w, at);
    return stock_is_app(j->nsp) ? any_room_lost(j, borders)
                                : has_lost(j, at, borders, UINT64_MAX, false);
}

static struct judged judged(const struct world *w, const struct stock *s,
                            const struct comeback *c) {
    uint64_t session = log_session(w, s->lives[c->old_life].sid);
    return (struct judged){
        .w = w,
        .s = s,
        .session = session,
        .pos = position_of(w, &s->connections[c->connection - 1], session),
        .nsp = s->nsp,
    };
}

static const char *check_not_recovered(const struct judged *j, unsigned client,
                                       const struct comeback *c) {
    size_t at;
    uint64_t opened = log_session(j->w, j->s->lives[c->new_life].sid);
    uint64_t inherited = log_head(j->w, j->w->now.inherited);
    if (log_find(j->w, opened, &at) == NULL) {
        return oracle_complain("client %u: session %s is not in the log", client,
                               j->s->lives[c->new_life].sid);
    }
    if (j->session == 0 || j->session <= inherited || j->s->lives[c->old_life].left ||
        has_ended(j, at) || is_before_floor(j, at) || is_lost_to_borders(j, at)) {
        return NULL;
    }
    return oracle_complain(
        "client %u: session %llu was not recovered from %llu (but opened anew as "
        "%llu), though nothing of it was lost",
        client, llu(j->session), llu(j->pos), llu(opened));
}

const char *oracle_check_comeback(const struct world *w, unsigned client, const struct stock *s,
                                  const struct comeback *c) {
    struct judged j = judged(w, s, c);
    const struct moment *asked = &s->connections[c->connection - 1].at;
    if (!c->recovered) {
        return check_not_recovered(&j, client, c);
    }
    if (!stock_is_app(s->nsp) && asked->era == w->era &&
        has_lost(&j, asked->logged, asked->borders, asked->first, true)) {
        return oracle_complain("client %u: session %llu was recovered from %llu, though events of "
                               "its rooms were gone",
                               client, llu(j.session), llu(j.pos));
    }
    return NULL;
}

void oracle_count_comebacks(const struct world *w, const struct stock *s, struct tally *t) {
    for (size_t i = 0; i < s->comebacks_count; i++) {
        const struct comeback *c = &s->comebacks[i];
        struct judged j = judged(w, s, c);
        size_t at;
        t->lost_to_borders += !c->recovered && j.session > 0 && w->borders_count > 0 &&
                              log_find(w, log_session(w, s->lives[c->new_life].sid), &at) != NULL &&
                              !has_ended(&j, at) && is_lost_to_borders(&j, at);
    }
}
