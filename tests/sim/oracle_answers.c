/* tests/sim/oracle_answers.c — what clients were answered: publishes are in the log when they are
 * acked, and never when they are refused; memberships are as was acked; histories and presences
 * are what the log says, at some moment between question and answer. */
#include "tests/sim/oracle.h"

#include "common/alloc.h"

#include <stdlib.h>

static unsigned long long llu(uint64_t n) {
    return n;
}

/* An answer, and what it is judged by. */
struct question {
    const struct world *w;
    const struct stock *s;
    const struct answered *a;
    unsigned client;
    uint64_t session;
    uint64_t border_before, border_after; /* the room's, when it was asked and when it was told */
    uint64_t head_before, head_after;
};

/* ---- publishes ---- */

static const char *check_publish(const struct question *q) {
    const struct answered *a = q->a;
    size_t at;
    const struct rp_record *r = log_find(q->w, a->seq, &at);
    bool right = r != NULL && r->f.kind == RP_RECORD_EVENT && log_payload(r) == a->ask.payload &&
                 log_nsp(r) == q->s->nsp;
    right = right && (a->ask.kind == ASK_PUBLISH_ID || log_room(r) == a->ask.room);
    if (!right) {
        return oracle_complain("client %u: payload %llu was acked as seq %llu, which is not it",
                               q->client, llu(a->ask.payload), llu(a->seq));
    }
    if (a->told.era == q->w->era && at >= a->told.logged) {
        return oracle_complain("client %u: seq %llu was acked before it was in the log", q->client,
                               llu(a->seq));
    }
    return NULL;
}

/* A publisher's own copy comes before its ack. */
static const char *check_copy_first(const struct question *q) {
    const struct life *life = &q->s->lives[q->a->life];
    for (size_t i = q->a->events_before; i < life->events_count; i++) {
        const struct seen_event *event = &life->events[i];
        if (event->seq == q->a->seq && !event->is_volatile && !event->is_history) {
            return oracle_complain("client %u: the ack of seq %llu came before its event",
                                   q->client, llu(q->a->seq));
        }
    }
    return NULL;
}

const char *oracle_check_refusal(const struct world *w, unsigned client, const struct refused *r) {
    if (r->ask.kind != ASK_PUBLISH || r->ask.is_volatile) {
        return NULL;
    }
    for (size_t i = 0; i < w->now.log_count; i++) {
        if (w->now.log[i]->f.kind == RP_RECORD_EVENT &&
            log_payload(w->now.log[i]) == r->ask.payload) {
            return oracle_complain(
                "client %u: payload %llu was refused (%s), and stored as seq %llu", client,
                llu(r->ask.payload), r->code, llu(w->now.log[i]->seq));
        }
    }
    return NULL;
}

/* ---- memberships ---- */

/* At some moment between question and answer the session is in the room, or is not. */
static const char *check_membership(const struct question *q, bool wanted) {
    const struct answered *a = q->a;
    bool is_member = false, found = false;
    for (size_t i = 0; i <= a->told.logged && !found; i++) {
        found = i >= a->ask.asked.logged && is_member == wanted;
        const struct rp_record *r = i < a->told.logged ? q->w->now.log[i] : NULL;
        if (r != NULL && r->f.session == q->session && r->f.room.len > 0 &&
            (r->f.kind == RP_RECORD_JOIN || r->f.kind == RP_RECORD_LEAVE) &&
            log_room(r) == a->ask.room) {
            is_member = r->f.kind == RP_RECORD_JOIN;
        }
    }
    return found
               ? NULL
               : oracle_complain("client %u (session %llu): its %s of r%u was acked, and is not so",
                                 q->client, llu(q->session), wanted ? "join" : "leave",
                                 a->ask.room);
}

/* ---- events of a room ---- */

static bool is_of_room(const struct question *q, const struct rp_record *r) {
    return r->f.kind == RP_RECORD_EVENT && r->f.session != 0 && log_nsp(r) == q->s->nsp &&
           log_room(r) == q->a->ask.room;
}

static bool is_shown(const struct answered *a, uint64_t seq) {
    for (size_t i = 0; i < a->history_count; i++) {
        if (a->history[i] == seq) {
            return true;
        }
    }
    return false;
}

/* Whether all that was shown rises, and is of the room, and was not lost before it was asked for.
 */
static const char *check_shown(const struct question *q) {
    size_t at;
    for (size_t i = 0; i < q->a->history_count; i++) {
        uint64_t seq = q->a->history[i];
        const struct rp_record *r = log_find(q->w, seq, &at);
        const char *what = NULL;
        if (r == NULL || !is_of_room(q, r)) {
            what = "which is not of that room";
        } else if (i > 0 && seq <= q->a->history[i - 1]) {
            what = "out of order";
        } else if (seq <= q->border_before) {
            what = "which retention had taken";
        }
        if (what != NULL) {
            return oracle_complain("client %u: the history of r%u has seq %llu, %s", q->client,
                                   q->a->ask.room, llu(seq), what);
        }
    }
    return NULL;
}

static const char *check_truncated(const struct question *q, bool must, bool may) {
    if ((must && !q->a->truncated) || (!may && q->a->truncated)) {
        return oracle_complain("client %u: a history of r%u says truncated: %s; its border was "
                               "%llu before and %llu behind",
                               q->client, q->a->ask.room, q->a->truncated ? "true" : "false",
                               llu(q->border_before), llu(q->border_after));
    }
    return NULL;
}

/* ---- the history of a join: the newest events of (since, join] ---- */

/* Where the membership began that the join was acked for. */
static uint64_t join_of(const struct question *q) {
    uint64_t join = 0;
    for (size_t i = 0; i < q->w->now.log_count && q->w->now.log[i]->seq <= q->a->seq; i++) {
        const struct rp_record *r = q->w->now.log[i];
        if (r->f.session != q->session || r->f.room.len == 0 ||
            (r->f.kind != RP_RECORD_JOIN && r->f.kind != RP_RECORD_LEAVE) ||
            log_room(r) != q->a->ask.room) {
            continue;
        }
        if (r->f.kind == RP_RECORD_LEAVE) {
            join = 0;
        } else if (join == 0) {
            join = r->seq;
        }
    }
    return join;
}

static const char *check_join_since(const struct question *q) {
    const struct answered *a = q->a;
    uint64_t join = join_of(q), since = a->ask.since, left = 0;
    const char *wrong = check_shown(q);
    bool cut = false, may_be_cut = false;
    for (size_t i = q->w->now.log_count; i-- > 0 && wrong == NULL;) {
        const struct rp_record *r = q->w->now.log[i];
        if (!is_of_room(q, r) || r->seq <= since || r->seq > join) {
            if (is_shown(a, r->seq)) {
                wrong = oracle_complain("client %u: a join with since %llu at %llu shows seq %llu",
                                        q->client, llu(since), llu(join), llu(r->seq));
            }
            continue;
        }
        left++; /* how many there are from this one on */
        may_be_cut = may_be_cut || left > a->ask.limit;
        cut = cut || (left > a->ask.limit && r->seq > q->border_after);
        bool own = log_is_own_without_echo(r, q->session);
        bool must = left <= a->ask.limit && r->seq > q->border_after && !own;
        bool may = left <= a->ask.limit && !own;
        if (must != is_shown(a, r->seq) && (must || !may)) {
            wrong = oracle_complain("client %u: the history of r%u since %llu (join %llu, limit "
                                    "%llu) %s seq %llu",
                                    q->client, a->ask.room, llu(since), llu(join),
                                    llu(a->ask.limit), must ? "lacks" : "has", llu(r->seq));
        }
    }
    if (wrong == NULL && a->replayed != a->history_count) {
        wrong = oracle_complain("client %u: %zu events of a history came, its ack says %llu",
                                q->client, a->history_count, llu(a->replayed));
    }
    return wrong != NULL ? wrong
                         : check_truncated(q, cut || (q->border_before > since && join > since),
                                           may_be_cut || q->border_after > since);
}

/* ---- history ---- */

/* Events of the range that lie where nothing may be missing, and are not shown; 0: none. `sure`:
 * they were there all the time, or else they may have been there at some time. */
static uint64_t find_between(const struct question *q, uint64_t after, uint64_t before, bool sure) {
    uint64_t border = sure ? q->border_after : q->border_before;
    uint64_t head = sure ? q->head_before : q->head_after;
    uint64_t lowest = q->a->ask.has_since ? q->a->ask.since : 0;
    for (size_t i = 0; i < q->w->now.log_count && q->w->now.log[i]->seq <= head; i++) {
        const struct rp_record *r = q->w->now.log[i];
        if (is_of_room(q, r) && r->seq > after && r->seq < before && r->seq > lowest &&
            r->seq < q->a->ask.before && r->seq > border && !is_shown(q->a, r->seq)) {
            return r->seq;
        }
    }
    return 0;
}

static const char *check_history(const struct question *q) {
    const struct answered *a = q->a;
    uint64_t lowest = a->ask.has_since ? a->ask.since : 0;
    uint64_t first = a->history_count > 0 ? a->history[0] : UINT64_MAX;
    uint64_t last = a->history_count > 0 ? a->history[a->history_count - 1] : 0;
    const char *wrong = check_shown(q);
    bool reaches = a->ask.before > lowest + 1;
    if (wrong != NULL) {
        return wrong;
    }
    if (a->history_count > 0 && (first <= lowest || last >= a->ask.before || last > q->head_after ||
                                 a->history_count > a->ask.limit)) {
        return oracle_complain("client %u: a history of r%u has more than was asked for", q->client,
                               a->ask.room);
    }
    /* a page is a row of events without gaps, from the end that was asked for */
    bool has_gap = a->history_count > 0 && find_between(q, first, last, true) > 0;
    bool begins = a->ask.has_since
                      ? find_between(q, lowest, first, true) == 0 || a->history_count == 0
                      : a->history_count == 0 || find_between(q, last, UINT64_MAX, true) == 0;
    bool sure_of_more = a->ask.has_since ? find_between(q, last, UINT64_MAX, true) > 0
                                         : find_between(q, 0, first, true) > 0;
    bool may_be_more = a->ask.has_since ? find_between(q, last, UINT64_MAX, false) > 0
                                        : find_between(q, 0, first, false) > 0;
    if (has_gap || !begins || (sure_of_more && !a->more) || (a->more && !may_be_more)) {
        return oracle_complain("client %u: a history of r%u (%s %llu, before %lld, limit %llu) of "
                               "%zu events %s",
                               q->client, a->ask.room, a->ask.has_since ? "since" : "from",
                               llu(lowest), (long long) a->ask.before, llu(a->ask.limit),
                               a->history_count,
                               has_gap   ? "has a gap"
                               : !begins ? "does not begin at its end"
                                         : "is wrong about more");
    }
    bool told = a->ask.has_since || !a->more;
    return check_truncated(q,
                           told && reaches && q->border_before > lowest && q->head_before > lowest,
                           told && q->border_after > lowest);
}

/* ---- presence ---- */

struct present {
    uint64_t id, conn, origin;
    struct rp_bytes sid;
    bool connected, member, could, must;
};

static bool is_here(const struct present *p) {
    return p->connected && p->member;
}

static void apply(const struct question *q, struct present *all, size_t *count,
                  const struct rp_record *r) {
    if (r->f.kind == RP_RECORD_OPEN && log_nsp(r) == q->s->nsp) {
        all[(*count)++] = (struct present){.id = r->seq,
                                           .conn = r->seq,
                                           .origin = r->f.origin,
                                           .sid = r->f.sid,
                                           .connected = true};
    }
    for (size_t i = 0; i < *count; i++) {
        struct present *p = &all[i];
        if (r->f.kind == RP_RECORD_GONE) {
            p->connected = p->connected && p->origin != r->f.aux;
        } else if (r->f.session != p->id) {
            continue;
        } else if (r->f.kind == RP_RECORD_RESUME) {
            p->connected = true;
            p->conn = r->seq;
            p->origin = r->f.origin;
        } else if (r->f.kind == RP_RECORD_CLOSE) {
            p->connected = p->connected && r->f.conn != p->conn;
        } else if (r->f.kind == RP_RECORD_END) {
            p->connected = p->member = false;
        } else if ((r->f.kind == RP_RECORD_JOIN || r->f.kind == RP_RECORD_LEAVE) &&
                   r->f.room.len > 0 && log_room(r) == q->a->ask.room) {
            p->member = r->f.kind == RP_RECORD_JOIN;
        }
    }
}

static bool is_named(const struct answered *a, struct rp_bytes sid) {
    for (size_t i = 0; i < a->sids_count; i++) {
        if (rp_bytes_eq_str(sid, a->sids[i])) {
            return true;
        }
    }
    return false;
}

/* Who is in the room all the time is named, and only who is at some time. */
static const char *check_presence(const struct question *q) {
    const struct answered *a = q->a;
    struct present *all = rp_alloc((q->w->now.log_count + 1) * sizeof *all);
    size_t count = 0, named = 0;
    const char *wrong = NULL;
    for (size_t i = q->w->now.inherited; i < a->ask.asked.logged; i++) {
        apply(q, all, &count, q->w->now.log[i]);
    }
    for (size_t i = 0; i < count; i++) {
        all[i].could = all[i].must = is_here(&all[i]);
    }
    for (size_t i = a->ask.asked.logged; i < a->told.logged; i++) {
        apply(q, all, &count, q->w->now.log[i]);
        for (size_t k = 0; k < count; k++) {
            all[k].could = all[k].could || is_here(&all[k]);
            all[k].must = all[k].must && is_here(&all[k]);
        }
    }
    for (size_t i = 0; i < count && wrong == NULL; i++) {
        bool is = is_named(a, all[i].sid);
        named += is;
        if ((is && !all[i].could) || (!is && all[i].must)) {
            wrong = oracle_complain("client %u: session %llu is %sin r%u, the members of it %s",
                                    q->client, llu(all[i].id), all[i].must ? "" : "not ",
                                    a->ask.room, is ? "have it" : "lack it");
        }
    }
    if (wrong == NULL && named != a->sids_count) {
        wrong = oracle_complain("client %u: members of r%u that nobody is", q->client, a->ask.room);
    }
    free(all);
    return wrong;
}

/* ---- all ---- */

const char *oracle_check_answer(const struct world *w, unsigned client, const struct stock *s,
                                const struct answered *a) {
    struct question q = {.w = w, .s = s, .a = a, .client = client};
    bool same_era = a->ask.asked.era == w->era && a->told.era == w->era;
    const char *wrong = NULL;
    if ((a->ask.kind == ASK_PUBLISH || a->ask.kind == ASK_PUBLISH_ID) && !a->ask.is_volatile) {
        wrong = check_publish(&q);
        return wrong == NULL ? check_copy_first(&q) : wrong;
    }
    if (stock_is_app(s->nsp) || !same_era) {
        return NULL;
    }
    q.session = log_session(w, s->lives[a->life].sid);
    q.border_before =
        log_border_at(w, s->nsp, a->ask.room, a->ask.asked.borders, a->ask.asked.first);
    q.border_after = log_border_at(w, s->nsp, a->ask.room, a->told.borders, UINT64_MAX);
    q.head_before = log_head(w, a->ask.asked.logged);
    q.head_after = log_head(w, a->told.logged);
    switch (a->ask.kind) {
    case ASK_JOIN_SINCE:
        wrong = check_join_since(&q);
        return wrong == NULL ? check_membership(&q, true) : wrong;
    case ASK_JOIN:
        return check_membership(&q, true);
    case ASK_LEAVE:
        return check_membership(&q, false);
    case ASK_HISTORY:
        return check_history(&q);
    case ASK_PRESENCE:
        return check_presence(&q);
    default:
        return NULL;
    }
}

void oracle_count(const struct world *w, struct tally *t) {
    for (size_t i = 0; i < CLIENTS * NAMESPACES; i++) {
        const struct stock *s = &w->clients[i / NAMESPACES].stock.sockets[i % NAMESPACES];
        for (size_t k = 0; k < s->answers_count; k++) {
            const struct answered *a = &s->answers[k];
            bool publish = a->ask.kind == ASK_PUBLISH || a->ask.kind == ASK_PUBLISH_ID;
            t->publishes += publish && !a->ask.is_volatile;
            t->duplicates += a->duplicate;
            t->duplicates_across_restarts += a->duplicate && a->seq <= a->ask.asked.born_head;
            t->joins += a->ask.kind == ASK_JOIN_SINCE;
            t->joins_truncated += a->ask.kind == ASK_JOIN_SINCE && a->truncated;
            t->histories += a->ask.kind == ASK_HISTORY;
            t->histories_truncated += a->ask.kind == ASK_HISTORY && a->truncated;
            t->presences += a->ask.kind == ASK_PRESENCE;
        }
        for (size_t k = 0; k < s->refusals_count; k++) {
            const struct refused *r = &s->refusals[k];
            bool publish = r->ask.kind == ASK_PUBLISH || r->ask.kind == ASK_PUBLISH_ID;
            t->refused_io += publish && strcmp(r->code, "unavailable") == 0;
            t->refused_space += publish && strcmp(r->code, "no_space") == 0;
        }
        for (size_t k = 0; k < s->lives_count; k++) {
            for (size_t n = 0; n < s->lives[k].events_count; n++) {
                t->volatiles_seen += s->lives[k].events[n].is_volatile;
            }
        }
        oracle_count_comebacks(w, s, t);
    }
}
