/* tests/sim/oracle_app.c — what is right in app namespaces, by a model that reads the log once: who
 * is in which rooms, connected or not, with which data, and what each session should get and owes.
 *
 * What handlers saw and asked for is in world->apps. */
#include "tests/sim/oracle.h"

#include "common/alloc.h"
#include "proto/attachments.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* An event that a session owes, or owed, an ack for. */
struct owing {
    uint64_t seq, payload;
    bool paid, seen;
};

struct model_session {
    uint64_t id, conn, origin;
    unsigned nsp, client;
    bool connected, ended, stopped;
    char sid[28];
    char (*rooms)[28];
    size_t rooms_count, rooms_capacity;
    const struct life *life; /* NULL: its client never heard of it */
    const struct stock *stock;
    bool whole; /* its client should have seen all of it */
    size_t at;  /* of the life's events: what is checked next */
    struct owing *owed;
    size_t owed_count, owed_capacity;
    struct rp_bytes data;
};

struct model {
    const struct world *w;
    struct model_session *sessions;
    size_t count, capacity;
    bool watching; /* it compares with what the clients saw */
    const char *wrong;
};

static char complaint[512];

static void complain(struct model *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void complain(struct model *m, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(complaint, sizeof complaint, format, args);
    va_end(args);
    m->wrong = m->wrong != NULL ? m->wrong : complaint;
}

static unsigned long long llu(uint64_t n) {
    return n;
}

/* ---- sessions ---- */

static struct model_session *find(const struct model *m, uint64_t id) {
    for (size_t i = m->count; i-- > 0;) {
        if (m->sessions[i].id == id) {
            return &m->sessions[i];
        }
    }
    return NULL;
}

static bool is_in(const struct model_session *s, struct rp_bytes room) {
    for (size_t i = 0; i < s->rooms_count; i++) {
        if (rp_bytes_eq_str(room, s->rooms[i])) {
            return true;
        }
    }
    return false;
}

static void join(struct model_session *s, struct rp_bytes room) {
    if (is_in(s, room)) {
        return;
    }
    s->rooms = rp_array_reserve(s->rooms, s->rooms_count, &s->rooms_capacity, sizeof *s->rooms);
    snprintf(s->rooms[s->rooms_count++], sizeof *s->rooms, "%.*s", (int) room.len,
             (const char *) room.data);
}

static void leave(struct model_session *s, struct rp_bytes room) {
    for (size_t i = 0; i < s->rooms_count; i++) {
        if (rp_bytes_eq_str(room, s->rooms[i])) {
            memmove(s->rooms[i], s->rooms[--s->rooms_count], sizeof *s->rooms);
            return;
        }
    }
}

static void end(struct model_session *s) {
    s->ended = true;
    s->connected = false;
    s->rooms_count = 0;
}

/* Who saw it. */
static void find_life(const struct world *w, struct model_session *s) {
    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct stock *stock = &w->clients[i].stock.sockets[s->nsp];
        for (size_t k = 0; k < stock->lives_count; k++) {
            if (strcmp(stock->lives[k].sid, s->sid) == 0) {
                s->client = i;
                s->life = &stock->lives[k];
                s->stock = stock;
                s->whole = k + 1 == stock->lives_count && stock->connected;
            }
        }
    }
}

static void open_session(struct model *m, const struct rp_record *r) {
    unsigned nsp = stock_nsp_named(r->f.nsp);
    if (nsp >= NAMESPACES || !stock_is_app(nsp)) {
        return;
    }
    if ((r->f.flags & RP_RECORD_APP) == 0) {
        complain(m, "session %llu of an app namespace was opened as another", llu(r->seq));
        return;
    }
    m->sessions = rp_array_reserve(m->sessions, m->count, &m->capacity, sizeof *m->sessions);
    struct model_session *s = &m->sessions[m->count++];
    *s = (struct model_session){
        .id = r->seq, .conn = r->seq, .origin = r->f.origin, .nsp = nsp, .connected = true};
    snprintf(s->sid, sizeof s->sid, "%.*s", (int) r->f.sid.len, (const char *) r->f.sid.data);
    join(s, rp_bytes(NULL, 0));
    join(s, r->f.sid);
    find_life(m->w, s);
}

/* ---- selectors ---- */

static bool selects(const struct rp_record *r, const struct model_session *s) {
    struct rp_bytes rooms = r->f.rooms, except = r->f.except, name;
    if (s->ended || !rp_bytes_eq_str(r->f.nsp, stock_nsp_name(s->nsp))) {
        return false;
    }
    bool found = is_in(s, r->f.room);
    while (!found && rooms.len > 0 && rp_attachments_next(&rooms, &name) == RP_OK) {
        found = is_in(s, name);
    }
    while (found && except.len > 0 && rp_attachments_next(&except, &name) == RP_OK) {
        found = !is_in(s, name);
    }
    return found;
}

/* ---- events ---- */

static uint64_t payload_of(const struct rp_record *r) {
    return strtoull((const char *) r->f.args.data + 1, NULL, 10);
}

/* An event without ack: the next that its client saw. */
static void should_see(struct model *m, struct model_session *s, const struct rp_record *r) {
    const struct life *life = s->life;
    if (life == NULL || s->stopped || ((r->f.flags & RP_RECORD_NO_ECHO) && r->f.session == s->id)) {
        return;
    }
    while (s->at < life->events_count &&
           (life->events[s->at].is_volatile || life->events[s->at].is_history ||
            life->events[s->at].wants_ack)) {
        s->at++;
    }
    if (s->at == life->events_count) {
        s->stopped = true;
        if (s->whole) {
            complain(m, "client %u (app session %llu) never got seq %llu", s->client, llu(s->id),
                     llu(r->seq));
        }
    } else if (life->events[s->at].seq != r->seq || life->events[s->at].payload != payload_of(r)) {
        complain(m, "client %u (app session %llu) should get seq %llu and got seq %llu", s->client,
                 llu(s->id), llu(r->seq), llu(life->events[s->at].seq));
    } else {
        s->at++;
    }
}

static void owe(struct model_session *s, const struct rp_record *r) {
    s->owed = rp_array_reserve(s->owed, s->owed_count, &s->owed_capacity, sizeof *s->owed);
    s->owed[s->owed_count++] = (struct owing){.seq = r->seq, .payload = payload_of(r)};
}

static struct emit *find_emit(const struct world *w, uint64_t payload) {
    size_t from = 0, to = w->apps.emits_count;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (w->apps.emits[mid].payload < payload) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return from < w->apps.emits_count && w->apps.emits[from].payload == payload
               ? &w->apps.emits[from]
               : NULL;
}

static bool names_are(struct rp_bytes packed, const char (*names)[28]) {
    struct rp_bytes name;
    for (size_t i = 0; i < EMIT_ROOMS && names[i][0] != '\0'; i++) {
        if (rp_attachments_next(&packed, &name) != RP_OK || !rp_bytes_eq_str(name, names[i])) {
            return false;
        }
    }
    return packed.len == 0;
}

/* What is in the log is what was asked for, and what its worker was told. */
static void check_emit(struct model *m, const struct rp_record *r, uint64_t connected,
                       uint64_t selected) {
    const struct emit *e = find_emit(m->w, payload_of(r));
    if (e == NULL) {
        complain(m, "seq %llu is an event that no worker emitted", llu(r->seq));
    } else if (!rp_bytes_eq_str(r->f.room, e->room) || !names_are(r->f.rooms, e->rooms) ||
               !names_are(r->f.except, e->except) || e->is_volatile ||
               e->wants_ack != ((r->f.flags & RP_RECORD_WANTS_ACK) != 0)) {
        complain(m, "seq %llu was asked for in another way", llu(r->seq));
    } else if (e->state == EMIT_STORED && e->seq != r->seq) {
        complain(m, "seq %llu was told to its worker as %llu", llu(r->seq), llu(e->seq));
    } else if (e->state == EMIT_STORED && e->wants_ack &&
               (m->w->faults_allowed & FAULTS_REBIRTH ? e->expected > selected
                                                      : e->expected != connected)) {
        /* a broker that began anew knows only who is connected by then */
        complain(m, "seq %llu: %llu acks are expected, its worker was told %llu", llu(r->seq),
                 llu(connected), llu(e->expected));
    } else if (e->state == EMIT_FAILED && m->w->apps.births[e->birth].alive &&
               m->w->apps.births[e->birth].resets == 0) {
        complain(m, "seq %llu: its worker was told that it failed", llu(r->seq));
    }
}

static void apply_event(struct model *m, const struct rp_record *r) {
    uint64_t connected = 0, selected = 0;
    bool wants_ack = (r->f.flags & RP_RECORD_WANTS_ACK) != 0;
    unsigned nsp = stock_nsp_named(r->f.nsp);
    if (nsp >= NAMESPACES || !stock_is_app(nsp)) {
        return;
    }
    for (size_t i = 0; i < m->count; i++) {
        struct model_session *s = &m->sessions[i];
        if (!selects(r, s)) {
            continue;
        }
        connected += s->connected;
        selected++;
        if (wants_ack) {
            owe(s, r);
        } else if (m->watching) {
            should_see(m, s, r);
        }
    }
    if (m->watching && r->f.session == 0) {
        check_emit(m, r, connected, selected);
    }
}

static struct owing *find_owed(const struct model_session *s, uint64_t seq) {
    for (size_t i = 0; i < s->owed_count; i++) {
        if (s->owed[i].seq == seq) {
            return &s->owed[i];
        }
    }
    return NULL;
}

static bool has_heard(const struct emit *e, const char *sid, uint64_t *ret_ms) {
    for (size_t i = 0; i < e->heard_count; i++) {
        if (strcmp(e->heard[i].sid, sid) == 0) {
            *ret_ms = e->heard[i].at_ms;
            return true;
        }
    }
    return false;
}

static void apply_ack(struct model *m, const struct rp_record *r) {
    struct model_session *s = find(m, r->f.session);
    struct owing *o = s != NULL ? find_owed(s, r->f.aux) : NULL;
    if (o == NULL || o->paid) {
        complain(m, "seq %llu is an ack of %llu that %s", llu(r->seq), llu(r->f.aux),
                 o == NULL ? "was not owed" : "was paid before");
        return;
    }
    o->paid = true;
    const struct emit *e = m->watching ? find_emit(m->w, o->payload) : NULL;
    uint64_t at_ms;
    if (e != NULL && m->w->apps.births[e->birth].alive && m->w->apps.births[e->birth].resets == 0 &&
        !e->ended && !has_heard(e, s->sid, &at_ms)) {
        complain(m, "the worker of seq %llu never heard of the ack by %s (seq %llu)", llu(r->f.aux),
                 s->sid, llu(r->seq));
    }
}

/* ---- everything else ---- */

static void apply_to_selected(struct model *m, const struct rp_record *r) {
    for (size_t i = 0; i < m->count; i++) {
        struct model_session *s = &m->sessions[i];
        if (!selects(r, s)) {
            continue;
        }
        if (r->f.kind == RP_RECORD_KICK) {
            end(s);
        } else if (r->f.flags & RP_RECORD_LEAVE_ROOM) {
            leave(s, r->f.name);
        } else {
            join(s, r->f.name);
        }
    }
}

static void apply_to_one(struct model *m, struct model_session *s, const struct rp_record *r) {
    switch (r->f.kind) {
    case RP_RECORD_RESUME:
        s->connected = true;
        s->conn = r->seq;
        s->origin = r->f.origin;
        break;
    case RP_RECORD_CLOSE:
        s->connected = s->connected && r->f.conn != s->conn;
        break;
    case RP_RECORD_END:
        end(s);
        break;
    case RP_RECORD_JOIN:
        if (s->nsp != DURABLE_APP || rp_bytes_eq_str(r->f.room, "r4")) {
            complain(m, "seq %llu: a client joined a room that it may not", llu(r->seq));
        }
        join(s, r->f.room);
        break;
    case RP_RECORD_LEAVE:
        if (r->f.room.len > 0) { /* else it only forgets what was left long ago */
            leave(s, r->f.room);
        }
        break;
    case RP_RECORD_DATA:
        s->data = r->f.args;
        break;
    default:
        break;
    }
}

static void apply(struct model *m, const struct rp_record *r) {
    struct model_session *s;
    switch (r->f.kind) {
    case RP_RECORD_OPEN:
        open_session(m, r);
        break;
    case RP_RECORD_EVENT:
        apply_event(m, r);
        break;
    case RP_RECORD_ACK:
        apply_ack(m, r);
        break;
    case RP_RECORD_MOVE:
    case RP_RECORD_KICK:
        apply_to_selected(m, r);
        break;
    case RP_RECORD_GONE:
        for (size_t i = 0; i < m->count; i++) {
            m->sessions[i].connected =
                m->sessions[i].connected && m->sessions[i].origin != r->f.aux;
        }
        break;
    default:
        if ((s = find(m, r->f.session)) != NULL && !s->ended) {
            apply_to_one(m, s, r);
        }
        break;
    }
}

static void build(struct model *m, const struct world *w, bool watching) {
    *m = (struct model){.w = w, .watching = watching};
    for (size_t i = 0; i < w->now.log_count && m->wrong == NULL; i++) {
        apply(m, w->now.log[i]);
    }
}

static void model_done(struct model *m) {
    for (size_t i = 0; i < m->count; i++) {
        free(m->sessions[i].rooms);
        free(m->sessions[i].owed);
    }
    free(m->sessions);
}

/* ---- what clients saw ---- */

/* Events come in the order of the log on every connection, but what is still owed from before the
 * client's offset comes first; and all of that comes once more when its gateway's link was lost. */
static void check_order(struct model *m, const struct model_session *s) {
    unsigned connection = 0;
    uint64_t pos = 0, last = 0;
    bool links_break = (m->w->faults_allowed & FAULTS_LINKS) != 0;
    for (size_t i = 0; i < s->life->events_count; i++) {
        const struct seen_event *event = &s->life->events[i];
        if (event->is_volatile || event->is_history) {
            continue;
        }
        if (event->connection != connection) {
            connection = event->connection;
            pos = connection > s->life->first_connection ? s->stock->connections[connection - 1].pos
                                                         : 0;
            last = 0;
        }
        bool once_more = links_break && event->wants_ack;
        if ((event->seq <= last && !once_more) || (event->seq <= pos && !event->wants_ack)) {
            complain(m, "client %u (app session %llu) got seq %llu behind %llu (offset %llu)",
                     s->client, llu(s->id), llu(event->seq), llu(last), llu(pos));
        }
        last = once_more && event->seq < last ? last : event->seq;
    }
}

/* Of an event that wants an ack. */
static void check_sighting(struct model *m, const struct model_session *s,
                           const struct seen_event *event) {
    struct owing *o = find_owed(s, event->seq);
    if (o == NULL || o->payload != event->payload) {
        complain(m, "client %u (app session %llu) got seq %llu, which was not for it", s->client,
                 llu(s->id), llu(event->seq));
        return;
    }
    o->seen = true;
    const struct emit *e = find_emit(m->w, o->payload);
    uint64_t at_ms;
    if (e != NULL && has_heard(e, s->sid, &at_ms) &&
        at_ms < s->stock->connections[event->connection - 1].since_ms) {
        complain(m, "client %u got seq %llu once more after its worker had the ack", s->client,
                 llu(event->seq));
    }
}

static void check_life(struct model *m, const struct model_session *s) {
    for (size_t i = 0; i < s->life->events_count; i++) {
        const struct seen_event *event = &s->life->events[i];
        if (event->wants_ack) {
            check_sighting(m, s, event);
        } else if (i >= s->at && !event->is_volatile && !event->is_history) {
            complain(m, "client %u (app session %llu) got seq %llu too many", s->client, llu(s->id),
                     llu(event->seq));
        }
    }
    check_order(m, s);
    for (size_t i = 0; i < s->owed_count; i++) {
        if (s->whole && !s->owed[i].seen && !(m->w->faults_allowed & FAULT_TRIM)) {
            complain(m, "client %u (app session %llu) never got seq %llu, which wants an ack",
                     s->client, llu(s->id), llu(s->owed[i].seq));
        }
    }
}

static void check_heard(struct model *m) {
    const struct apps *apps = &m->w->apps;
    for (size_t i = 0; i < apps->emits_count; i++) {
        const struct emit *e = &apps->emits[i];
        for (size_t k = 0; k < e->heard_count; k++) {
            bool paid = false;
            for (size_t n = 0; n < m->count && !paid; n++) {
                const struct model_session *s = &m->sessions[n];
                const struct owing *o =
                    strcmp(s->sid, e->heard[k].sid) == 0 ? find_owed(s, e->seq) : NULL;
                paid = o != NULL && o->paid;
            }
            if (!paid) {
                complain(m, "the worker of seq %llu heard an ack of %s that is not in the log",
                         llu(e->seq), e->heard[k].sid);
            }
        }
    }
}

/* ---- what handlers saw ---- */

/* The session's events that a process handled last, and the newest that any did. */
struct progress {
    uint64_t session, newest, last, resets;
    unsigned birth, troubles;
};

static struct progress *progress_of(struct progress **all, size_t *count, size_t *capacity,
                                    uint64_t session) {
    for (size_t i = 0; i < *count; i++) {
        if ((*all)[i].session == session) {
            return &(*all)[i];
        }
    }
    *all = rp_array_reserve(*all, *count, capacity, sizeof **all);
    (*all)[*count] = (struct progress){.session = session, .birth = UINT32_MAX};
    return &(*all)[(*count)++];
}

/* An event that came once more. */
static void check_repeated(struct model *m, const struct handling *first,
                           const struct handling *h) {
    const struct apps *apps = &m->w->apps;
    const struct client_event *e = &apps->events[h->event];
    const char *what = NULL;
    if (e->nsp != DURABLE_APP) {
        what = "in a namespace that is not durable";
    } else if (!h->again && !h->stale) {
        what = "without saying so";
    } else if (first->birth == h->birth && first->resets == h->resets) {
        what = "by the same worker";
    } else if (!h->stale && apps->births[first->birth].troubles == 0 &&
               apps->births[first->birth].resets == 0) {
        what = "though its first worker was all right";
    } else if (e->acked_ms > 0 && h->at_ms > e->acked_ms && !h->stale) {
        what = "after its client had the answer";
    }
    if (what != NULL) {
        complain(m, "event %llu of client %u was handled twice (by workers %u and %u) %s",
                 llu(h->event), e->client, first->birth, h->birth, what);
    }
}

static void check_turn(struct model *m, struct progress *p, const struct handling *h) {
    /* whatever a broker that died was not told comes again, also what came before */
    bool same =
        p->birth == h->birth && p->resets == h->resets && (p->troubles == h->troubles || !h->again);
    if ((same && h->event + 1 <= p->last) || (!h->again && h->event + 1 <= p->newest)) {
        complain(m, "event %llu of session %llu was handled behind %llu by worker %u%s",
                 llu(h->event), llu(h->session), llu((same ? p->last : p->newest) - 1), h->birth,
                 h->again ? " again" : "");
    }
    p->birth = h->birth;
    p->resets = h->resets;
    p->troubles = h->troubles;
    p->last = h->event + 1;
    p->newest = p->newest > p->last ? p->newest : p->last;
}

static void check_handlings(struct model *m) {
    const struct apps *apps = &m->w->apps;
    size_t *first = rp_alloc((apps->events_count + 1) * sizeof(size_t));
    struct progress *progress = NULL;
    size_t count = 0, capacity = 0;
    memset(first, 0, (apps->events_count + 1) * sizeof(size_t));
    for (size_t i = 0; i < apps->handlings_count && m->wrong == NULL; i++) {
        const struct handling *h = &apps->handlings[i];
        if (first[h->event] > 0) {
            check_repeated(m, &apps->handlings[first[h->event] - 1], h);
        } else {
            first[h->event] = i + 1;
        }
        if (!h->stale) {
            check_turn(m, progress_of(&progress, &count, &capacity, h->session), h);
        }
    }
    free(first);
    free(progress);
}

/* ---- what clients were answered ---- */

static void check_answer(struct model *m, const struct answered *a) {
    const struct apps *apps = &m->w->apps;
    uint64_t number = a->ask.payload / NAMESPACES;
    const struct client_event *e = &apps->events[number];
    const char *what = NULL;
    if (a->seq > 0 &&
        (a->seq > apps->handlings_count || apps->handlings[a->seq - 1].event != number)) {
        what = "was answered by the handling of another";
    } else if (a->seq > 0 && !apps->handlings[a->seq - 1].finished) {
        what = "was answered before its handler had";
    } else if (a->seq == 0 && a->code[0] == '\0') {
        what = "was answered with nothing";
    } else if (strcmp(a->code, "handler") == 0 && e->handled == 0) {
        what = "was refused by nobody";
    } else if (strcmp(a->code, "worker_lost") == 0 && e->nsp == DURABLE_APP) {
        what = "was given up in a durable namespace";
    } else if (strcmp(a->code, "unavailable") == 0 && e->nsp != DURABLE_APP && e->handled > 0) {
        what = "was unavailable and handled";
    }
    if (what != NULL) {
        complain(m, "event %llu of client %u %s (%s)", llu(number), e->client, what, a->code);
    }
}

/* Of an event whose connection lived on nothing is lost. */
static void check_event(struct model *m, uint64_t number) {
    const struct world *w = m->w;
    const struct client_event *e = &w->apps.events[number];
    const struct stock *s = &w->clients[e->client].stock.sockets[e->nsp];
    bool lived = s->connected && e->connection == s->connections_count;
    /* a worker whose link is behind by more than the tail begins anew, like one that was killed */
    bool reset = w->tally.links_reset + rp_core_stats(w->broker.core)->links_reset > 0;
    bool calm = !reset &&
                (w->faults_allowed & (FAULT_WORKER | FAULT_BYE | FAULT_HANG | FAULTS_REBIRTH)) == 0;
    if (lived && e->handled == 0 && !w->profile.dark && (e->nsp == DURABLE_APP || calm)) {
        complain(m, "event %llu of client %u (%s) was never handled", llu(number), e->client,
                 stock_nsp_name(e->nsp));
    }
}

static void check_clients(struct model *m) {
    for (uint64_t i = 0; i < m->w->apps.events_count; i++) {
        check_event(m, i);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        for (unsigned nsp = FIRST_APP; nsp < NAMESPACES; nsp++) {
            const struct stock *s = &m->w->clients[i].stock.sockets[nsp];
            for (size_t k = 0; k < s->answers_count; k++) {
                if (s->answers[k].ask.kind == ASK_EVENT) {
                    check_answer(m, &s->answers[k]);
                }
            }
        }
    }
}

const char *oracle_app_check(const struct world *w) {
    struct model m;
    if (w->apps.problem != NULL) {
        return w->apps.problem;
    }
    build(&m, w, true);
    for (size_t i = 0; i < m.count && m.wrong == NULL; i++) {
        if (m.sessions[i].life != NULL) {
            check_life(&m, &m.sessions[i]);
        }
    }
    if (m.wrong == NULL) {
        check_heard(&m);
        check_handlings(&m);
        check_clients(&m);
    }
    model_done(&m);
    return m.wrong;
}

/* ---- at rest ---- */

/* A worker's idea of a socket is the log's. */
static void check_socket(struct model *m, const struct reprise_socket *socket, unsigned birth) {
    struct model_session *s = find(m, socket->session);
    if (s == NULL || !s->connected || s->conn != socket->conn) {
        complain(m, "worker %u serves session %llu, which is not connected so", birth,
                 llu(socket->session));
        return;
    }
    s->connected = false; /* found; nobody else may have it */
    bool same = socket->rooms_count + 1 == s->rooms_count;
    for (size_t i = 0; i < socket->rooms_count && same; i++) {
        same = is_in(s, rp_bytes(socket->rooms[i]->name, socket->rooms[i]->len));
    }
    if (!same) {
        complain(m, "worker %u has session %llu in %zu rooms, the log in %zu", birth, llu(s->id),
                 socket->rooms_count, s->rooms_count - 1);
    }
    if (!(m->w->faults_allowed & FAULT_REFUSE) &&
        !rp_bytes_eq(rp_buf_bytes(&socket->data), s->data)) {
        complain(m, "worker %u has data %.*s of session %llu, the log %.*s", birth,
                 (int) socket->data.len, (const char *) socket->data.data, llu(s->id),
                 (int) s->data.len, (const char *) s->data.data);
    }
}

static void check_worker(struct model *m, const struct app_worker *worker) {
    struct rp_worker_stats stats;
    rp_worker_stats(worker->core, &stats);
    if (!stats.linked || !rp_worker_is_idle(worker->core) || worker->deferred_count > 0) {
        complain(m, "worker %u has %zu requests and %zu tasks under way", worker->birth,
                 stats.requests_count, stats.tasks_count);
    }
    if (stats.malformed > 0) {
        complain(m, "worker %u was sent something malformed", worker->birth);
    }
    for (struct reprise_socket *s = NULL;
         (s = rp_worker_socket_each(worker->core, s)) != NULL && m->wrong == NULL;) {
        if (s->state == RP_WORKER_SOCKET_CONNECTED) {
            check_socket(m, s, worker->birth);
        }
    }
}

const char *oracle_app_check_rest(const struct world *w) {
    struct model m;
    build(&m, w, false);
    for (unsigned i = 0; i < WORKERS && m.wrong == NULL; i++) {
        if (w->apps.workers[i].core != NULL) {
            check_worker(&m, &w->apps.workers[i]);
        } else if (i < w->profile.workers) {
            complain(&m, "a worker is still dead");
        }
    }
    for (size_t i = 0; i < m.count && m.wrong == NULL; i++) {
        if (m.sessions[i].connected) {
            complain(&m, "session %llu has no worker", llu(m.sessions[i].id));
        }
    }
    const struct rp_core_stats *stats = rp_core_stats(w->broker.core);
    if (m.wrong == NULL && (stats->tasks_waiting > 0 || stats->unserved > 0)) {
        complain(&m, "%llu tasks wait, %llu sessions are not served", llu(stats->tasks_waiting),
                 llu(stats->unserved));
    }
    if (m.wrong == NULL && stats->tasks_open > 0) {
        complain(&m, "the broker keeps %llu tasks", llu(stats->tasks_open));
    }
    model_done(&m);
    return m.wrong;
}

bool oracle_app_has_ended(const struct world *w, uint64_t session) {
    bool ended = false, kicks = false;
    for (size_t i = 0; i < w->now.log_count; i++) {
        const struct rp_record *r = w->now.log[i];
        ended = ended || (r->f.kind == RP_RECORD_END && r->f.session == session);
        kicks = kicks || (r->f.kind == RP_RECORD_KICK && r->seq > session);
    }
    if (!ended && kicks) { /* whom they hit is for the model to say */
        struct model m;
        build(&m, w, false);
        const struct model_session *s = find(&m, session);
        ended = s != NULL && s->ended;
        model_done(&m);
    }
    return ended;
}
