/* tests/sim/oracle.c — decides what is right, from the log alone, by a simpler model than the code
 * under test: a session should have seen exactly the events of the rooms it was in, in the order of
 * the log, once. */
#include "tests/sim/world.h"

#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>

/* Payloads from here on belong to publish ids: they are published again and again. */
enum { FIRST_WITH_ID = 1000000000 };

static char complaint[512];

static uint64_t payload_of(const struct rp_record *r) {
    return strtoull((const char *) r->f.args.data + 1, NULL, 10); /* args is "[123…" */
}

static unsigned room_of(const struct rp_record *r) {
    return (unsigned) (r->f.room.data[1] - '0'); /* "r3" */
}

static unsigned nsp_of(const struct rp_record *r) {
    return stock_nsp_named(r->f.nsp);
}

static uint64_t session_of(const struct world *w, const char *sid) {
    for (size_t i = 0; i < w->log_count; i++) {
        const struct rp_record *r = w->log[i];
        if (r->f.kind == RP_RECORD_OPEN && rp_bytes_eq_str(r->f.sid, sid)) {
            return r->seq;
        }
    }
    return 0;
}

static bool is_own_without_echo(const struct rp_record *r, uint64_t session) {
    return (r->f.flags & RP_RECORD_NO_ECHO) && r->f.session == session;
}

/* Compares what one life saw with what the log says it should have; `whole`: it must have seen all
 * of it. */
static const char *check_life(const struct world *w, unsigned client, unsigned nsp,
                              const struct life *life, bool whole) {
    uint64_t session = session_of(w, life->sid);
    bool member[ROOMS] = {false};
    size_t at = 0;
    if (stock_is_app(nsp)) {
        return NULL; /* oracle_app.c */
    }
    for (size_t i = 0; i < w->log_count; i++) {
        const struct rp_record *r = w->log[i];
        bool own = r->f.session == session;
        if (own && r->f.kind == RP_RECORD_JOIN) {
            member[room_of(r)] = true;
        } else if (own && r->f.kind == RP_RECORD_LEAVE) {
            member[room_of(r)] = false;
        }
        if (r->f.kind != RP_RECORD_EVENT || nsp_of(r) != nsp || r->f.session == 0 ||
            !member[room_of(r)] || is_own_without_echo(r, session)) {
            continue;
        }
        while (at < life->events_count &&
               (life->events[at].is_volatile || life->events[at].is_history)) {
            at++;
        }
        if (at == life->events_count) {
            if (!whole) {
                return NULL;
            }
            snprintf(complaint, sizeof complaint, "client %u (session %llu) never got seq %llu",
                     client, (unsigned long long) session, (unsigned long long) r->seq);
            return complaint;
        }
        if (life->events[at].seq != r->seq || life->events[at].payload != payload_of(r)) {
            snprintf(
                complaint, sizeof complaint,
                "client %u (session %llu) should get seq %llu and got seq %llu as its event %zu",
                client, (unsigned long long) session, (unsigned long long) r->seq,
                (unsigned long long) life->events[at].seq, at);
            return complaint;
        }
        at++;
    }
    for (; at < life->events_count; at++) {
        if (!life->events[at].is_volatile && !life->events[at].is_history) {
            snprintf(complaint, sizeof complaint, "client %u (session %llu) got seq %llu too many",
                     client, (unsigned long long) session,
                     (unsigned long long) life->events[at].seq);
            return complaint;
        }
    }
    return NULL;
}

static const char *check_publish(const struct world *w, unsigned client, const struct answered *a) {
    for (size_t i = 0; i < w->log_count && !a->ask.is_volatile; i++) {
        const struct rp_record *r = w->log[i];
        if (r->seq == a->seq) {
            if (r->f.kind == RP_RECORD_EVENT && payload_of(r) == a->ask.payload) {
                return NULL;
            }
            break;
        }
    }
    if (a->ask.is_volatile) {
        return NULL;
    }
    snprintf(complaint, sizeof complaint,
             "client %u: payload %llu was acked as seq %llu, which is not it", client,
             (unsigned long long) a->ask.payload, (unsigned long long) a->seq);
    return complaint;
}

/* A publisher's own copy comes before its ack. */
static const char *check_copy_first(unsigned client, const struct stock *s,
                                    const struct answered *a) {
    const struct life *life = &s->lives[a->life];
    for (size_t i = a->events_before; i < life->events_count && !a->ask.is_volatile; i++) {
        const struct seen_event *event = &life->events[i];
        if (event->seq == a->seq && !event->is_volatile && !event->is_history) {
            snprintf(complaint, sizeof complaint,
                     "client %u: the ack of seq %llu came before its event", client,
                     (unsigned long long) a->seq);
            return complaint;
        }
    }
    return NULL;
}

/* The events a join's history should hold: those of (since, join], at most limit of the newest. */
static const char *check_history(const struct world *w, unsigned client, const struct stock *s,
                                 const struct answered *a) {
    uint64_t session = session_of(w, s->lives[a->life].sid), join = 0;
    for (size_t i = 0; i < w->log_count && w->log[i]->seq <= a->seq; i++) {
        const struct rp_record *r = w->log[i];
        if (r->f.session != session ||
            (r->f.kind != RP_RECORD_JOIN && r->f.kind != RP_RECORD_LEAVE) ||
            room_of(r) != a->ask.room) {
            continue;
        }
        if (r->f.kind == RP_RECORD_LEAVE) {
            join = 0;
        } else if (join == 0) {
            join = r->seq;
        }
    }
    uint64_t *expected = rp_alloc((w->log_count + 1) * sizeof(uint64_t));
    size_t count = 0;
    for (size_t i = 0; i < w->log_count; i++) {
        const struct rp_record *r = w->log[i];
        if (r->f.kind == RP_RECORD_EVENT && nsp_of(r) == s->nsp && room_of(r) == a->ask.room &&
            r->seq > a->ask.since && r->seq <= join) {
            expected[count++] = r->seq;
        }
    }
    size_t from = count > a->ask.limit ? count - a->ask.limit : 0;
    const char *wrong = NULL;
    size_t at = 0;
    for (size_t i = from; i < count && wrong == NULL; i++) {
        const struct rp_record *r = NULL;
        for (size_t k = 0; k < w->log_count; k++) {
            r = w->log[k]->seq == expected[i] ? w->log[k] : r;
        }
        if (is_own_without_echo(r, session)) {
            continue;
        }
        if (at >= a->history_count || a->history[at] != expected[i]) {
            snprintf(complaint, sizeof complaint,
                     "client %u: history of r%u since %llu (join %llu, limit %llu) lacks seq %llu "
                     "at %zu",
                     client, a->ask.room, (unsigned long long) a->ask.since,
                     (unsigned long long) join, (unsigned long long) a->ask.limit,
                     (unsigned long long) expected[i], at);
            wrong = complaint;
        }
        at++;
    }
    if (wrong == NULL && (at != a->history_count || a->replayed != a->history_count)) {
        snprintf(complaint, sizeof complaint,
                 "client %u: history of r%u since %llu (join %llu): %zu events came, %zu expected, "
                 "ack says %llu",
                 client, a->ask.room, (unsigned long long) a->ask.since, (unsigned long long) join,
                 a->history_count, at, (unsigned long long) a->replayed);
        wrong = complaint;
    }
    if (wrong == NULL && a->truncated != (from > 0)) {
        snprintf(complaint, sizeof complaint, "client %u: history of r%u: truncated is wrong",
                 client, a->ask.room);
        wrong = complaint;
    }
    free(expected);
    return wrong;
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return x < y ? -1 : x > y;
}

/* No payload is in the log twice. */
static const char *check_once(const struct world *w) {
    uint64_t *payloads = rp_alloc((w->log_count + 1) * sizeof(uint64_t));
    size_t count = 0;
    const char *wrong = NULL;
    for (size_t i = 0; i < w->log_count; i++) {
        if (w->log[i]->f.kind == RP_RECORD_EVENT) {
            payloads[count++] = payload_of(w->log[i]);
        }
    }
    qsort(payloads, count, sizeof(uint64_t), compare);
    for (size_t i = 1; i < count && wrong == NULL; i++) {
        if (payloads[i] == payloads[i - 1]) {
            snprintf(complaint, sizeof complaint, "payload %llu is in the log twice",
                     (unsigned long long) payloads[i]);
            wrong = complaint;
        }
    }
    free(payloads);
    return wrong;
}

/* Whether the event came behind what the same session published before. One whose publish id may
 * have been used before says nothing about that; neither does any while the disk refuses: a refusal
 * that got lost with its link is tried again, after others. */
static bool is_in_order(const struct world *w, size_t at) {
    uint64_t payload = payload_of(w->log[at]);
    if (payload >= FIRST_WITH_ID || (w->faults_allowed & FAULT_REFUSE)) {
        return true;
    }
    if (w->log[at]->f.session != 0 && stock_is_app(nsp_of(w->log[at]))) {
        return true; /* its worker was asked about each, and took its time */
    }
    for (size_t i = at; i-- > 0;) {
        const struct rp_record *older = w->log[i];
        if (older->f.kind == RP_RECORD_EVENT && older->f.session == w->log[at]->f.session &&
            (older->f.session != 0 || older->f.origin == w->log[at]->f.origin) &&
            payload_of(older) < FIRST_WITH_ID) {
            return payload_of(older) < payload;
        }
    }
    return true;
}

/* The event is where its publisher put it, with what belongs to it. */
static const char *check_event(const struct world *w, size_t at) {
    const struct rp_record *r = w->log[at];
    uint64_t payload = payload_of(r);
    const char *wrong = NULL;
    if (nsp_of(r) != stock_nsp_of(payload)) {
        wrong = "is in the wrong namespace";
    } else if (!stock_attachments_right(&w->clients[0].stock, payload, r->f.attachments)) {
        wrong = "has other attachments than it was published with";
    } else if (!is_in_order(w, at)) {
        wrong = "came behind what its publisher published later";
    } else {
        return NULL;
    }
    snprintf(complaint, sizeof complaint, "seq %llu (payload %llu) %s", (unsigned long long) r->seq,
             (unsigned long long) payload, wrong);
    return complaint;
}

static const char *check_log(const struct world *w) {
    const char *wrong = NULL;
    for (size_t i = 0; i < w->log_count && wrong == NULL; i++) {
        if (i > 0 && w->log[i]->seq <= w->log[i - 1]->seq) {
            wrong = "a seq was used twice";
        } else if (w->log[i]->f.kind == RP_RECORD_EVENT) {
            wrong = check_event(w, i);
        }
    }
    /* what retention has removed takes its publish id along */
    return wrong == NULL && !(w->faults & FAULT_TRIM) ? check_once(w) : wrong;
}

static const char *check_answer(const struct world *w, unsigned client, const struct stock *s,
                                const struct answered *a) {
    const char *wrong = NULL;
    if (a->ask.kind == ASK_PUBLISH) {
        wrong = check_publish(w, client, a);
    }
    if (wrong == NULL && (a->ask.kind == ASK_PUBLISH || a->ask.kind == ASK_PUBLISH_ID)) {
        wrong = check_copy_first(client, s, a);
    }
    if (wrong == NULL && a->ask.kind == ASK_JOIN_SINCE && !(w->faults & FAULT_TRIM) &&
        !stock_is_app(s->nsp)) {
        wrong = check_history(w, client, s, a);
    }
    return wrong;
}

/* How many of its sessions are over: it left, or the server disconnected it. */
static uint64_t ended_lives(const struct world *w, const struct stock *s) {
    uint64_t ended = 0;
    for (size_t i = 0; i < s->lives_count; i++) {
        ended += s->lives[i].left || oracle_app_has_ended(w, session_of(w, s->lives[i].sid));
    }
    return ended;
}

static const char *check_socket(const struct world *w, unsigned client, const struct stock *s) {
    const char *wrong = NULL;
    if (!s->connected) {
        snprintf(complaint, sizeof complaint, "client %u did not come back to %s", client,
                 stock_nsp_name(s->nsp));
        wrong = complaint;
    }
    if (wrong == NULL && s->asks_count > 0) {
        snprintf(complaint, sizeof complaint, "client %u: emit %llu (kind %d) was never acked",
                 client, (unsigned long long) s->asks[0].id, (int) s->asks[0].kind);
        wrong = complaint;
    }
    if (wrong == NULL && !(w->faults & FAULT_UNRECOVERED) && s->not_recovered > ended_lives(w, s)) {
        wrong = "a session was not recovered though nothing was trimmed or expired";
    }
    for (size_t i = 0; i < s->lives_count && wrong == NULL; i++) {
        wrong = check_life(w, client, s->nsp, &s->lives[i], i + 1 == s->lives_count);
    }
    for (size_t i = 0; i < s->answers_count && wrong == NULL; i++) {
        wrong = check_answer(w, client, s, &s->answers[i]);
    }
    return wrong;
}

static const char *check_client(const struct world *w, unsigned index) {
    const struct client *client = &w->clients[index];
    const char *wrong = client->problem != NULL ? client->problem : client->stock.problem;
    for (unsigned i = 0; i < NAMESPACES && wrong == NULL; i++) {
        if (client_has(client, i)) {
            wrong = check_socket(w, index, &client->stock.sockets[i]);
        }
    }
    return wrong;
}

/* Nothing of an older connection is in the log behind the record of a newer one. */
static const char *check_fence(const struct world *w) {
    for (size_t i = 0; i < w->log_count; i++) {
        const struct rp_record *r = w->log[i];
        bool forgets = r->f.kind == RP_RECORD_LEAVE && r->f.room.len == 0; /* the broker's own */
        if (r->f.conn == 0 || r->f.kind == RP_RECORD_CLOSE || forgets) {
            continue; /* a CLOSE that comes late changes nothing */
        }
        for (size_t k = i; k-- > 0 && w->log[k]->seq >= r->f.conn;) {
            const struct rp_record *newer = w->log[k];
            if (newer->f.kind == RP_RECORD_RESUME && newer->f.session == r->f.session &&
                newer->seq > r->f.conn) {
                snprintf(complaint, sizeof complaint,
                         "seq %llu came with connection %llu, but %llu had the session",
                         (unsigned long long) r->seq, (unsigned long long) r->f.conn,
                         (unsigned long long) newer->seq);
                return complaint;
            }
        }
    }
    return NULL;
}

static const char *differ(const char *what, uint64_t there, const char *other, uint64_t here) {
    if (there == here) {
        return NULL;
    }
    snprintf(complaint, sizeof complaint, "%s %llu, %s %llu", what, (unsigned long long) there,
             other, (unsigned long long) here);
    return complaint;
}

const char *oracle_check_rest(const struct world *w) {
    uint64_t sessions = 0, clients = 0, relays = 0, relayed = 0, requests = 0;
    for (size_t i = 0; i < GATEWAYS; i++) {
        if (w->gateways[i].core == NULL) {
            return "a gateway is still dead";
        }
        const struct rp_gateway_stats *stats = rp_gateway_stats(w->gateways[i].core);
        sessions += stats->sessions;
        clients += stats->clients;
        relays += stats->relays;
        requests += stats->requests_open;
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        const struct engine *e = &w->clients[i].engine;
        relayed += e->get != NULL && e->get->gateway != e->home;
        relayed += e->wire != NULL && e->wire->gateway != e->home;
    }
    const char *wrong =
        differ("connected sessions of the broker:", rp_core_stats(w->core)->connected,
               "of the gateways:", sessions);
    wrong = wrong == NULL ? differ("clients of the gateways:", clients, "of all:", CLIENTS) : wrong;
    wrong = wrong == NULL ? differ("requests never answered:", requests, "asked now:", 0) : wrong;
    wrong = wrong == NULL
                ? differ("relays (two for each):", relays, "requests astray, twice:", 2 * relayed)
                : wrong;
    return wrong == NULL ? oracle_app_check_rest(w) : wrong;
}

const char *oracle_check(const struct world *w) {
    const char *wrong = check_log(w);
    wrong = wrong == NULL ? check_fence(w) : wrong;
    for (unsigned i = 0; i < CLIENTS && wrong == NULL; i++) {
        wrong = check_client(w, i);
    }
    return wrong == NULL ? oracle_app_check(w) : wrong;
}
