/* tests/sim/oracle.c — decides what is right, from the log alone, by a simpler model than the code
 * under test: a session should have seen exactly the events of the rooms it was in, in the order of
 * the log, once. */
#include "tests/sim/world.h"

#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>

static char complaint[512];

static uint64_t payload_of(const struct rp_record *r) {
    return strtoull((const char *) r->f.args.data + 1, NULL, 10); /* args is "[123…" */
}

static unsigned room_of(const struct rp_record *r) {
    return (unsigned) (r->f.room.data[1] - '0'); /* "r3" */
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
static const char *check_life(const struct world *w, unsigned client, const struct life *life,
                              bool whole) {
    uint64_t session = session_of(w, life->sid);
    bool member[ROOMS] = {false};
    size_t at = 0;
    for (size_t i = 0; i < w->log_count; i++) {
        const struct rp_record *r = w->log[i];
        bool own = r->f.session == session;
        if (own && r->f.kind == RP_RECORD_JOIN) {
            member[room_of(r)] = true;
        } else if (own && r->f.kind == RP_RECORD_LEAVE) {
            member[room_of(r)] = false;
        }
        if (r->f.kind != RP_RECORD_EVENT || !member[room_of(r)] ||
            is_own_without_echo(r, session)) {
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
        if (r->f.kind == RP_RECORD_EVENT && room_of(r) == a->ask.room && r->seq > a->ask.since &&
            r->seq <= join) {
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

/* No payload is in the log twice, and seqs only rise. */
static const char *check_log(const struct world *w) {
    uint64_t *payloads = rp_alloc((w->log_count + 1) * sizeof(uint64_t));
    size_t count = 0;
    const char *wrong = NULL;
    for (size_t i = 0; i < w->log_count; i++) {
        if (i > 0 && w->log[i]->seq <= w->log[i - 1]->seq) {
            wrong = "a seq was used twice";
        }
        if (w->log[i]->f.kind == RP_RECORD_EVENT) {
            payloads[count++] = payload_of(w->log[i]);
        }
    }
    qsort(payloads, count, sizeof(uint64_t), compare);
    /* what retention has removed takes its publish id along */
    bool ids_last = !(w->faults & FAULT_TRIM);
    for (size_t i = 1; i < count && wrong == NULL && ids_last; i++) {
        if (payloads[i] == payloads[i - 1]) {
            snprintf(complaint, sizeof complaint, "payload %llu is in the log twice",
                     (unsigned long long) payloads[i]);
            wrong = complaint;
        }
    }
    free(payloads);
    return wrong;
}

static const char *check_client(const struct world *w, unsigned index) {
    const struct stock *s = &w->clients[index].stock;
    const char *wrong = s->problem;
    if (wrong == NULL && !s->connected) {
        wrong = "a client did not come back";
    }
    if (wrong == NULL && s->asks_count > 0) {
        snprintf(complaint, sizeof complaint, "client %u: emit %llu (kind %d) was never acked",
                 index, (unsigned long long) s->asks[0].id, (int) s->asks[0].kind);
        wrong = complaint;
    }
    if (wrong == NULL && s->not_recovered > w->clients[index].farewells &&
        !(w->faults & FAULT_UNRECOVERED)) {
        wrong = "a session was not recovered though nothing was trimmed or expired";
    }
    for (size_t i = 0; i < s->lives_count && wrong == NULL; i++) {
        wrong = check_life(w, index, &s->lives[i], i + 1 == s->lives_count);
    }
    for (size_t i = 0; i < s->answers_count && wrong == NULL; i++) {
        const struct answered *a = &s->answers[i];
        if (a->ask.kind == ASK_PUBLISH) {
            wrong = check_publish(w, index, a);
        }
        if (wrong == NULL && (a->ask.kind == ASK_PUBLISH || a->ask.kind == ASK_PUBLISH_ID)) {
            wrong = check_copy_first(index, s, a);
        }
        if (wrong == NULL && a->ask.kind == ASK_JOIN_SINCE && !(w->faults & FAULT_TRIM)) {
            wrong = check_history(w, index, s, a);
        }
    }
    return wrong;
}

/* Nothing of an older connection is in the log behind the record of a newer one. */
static const char *check_fence(const struct world *w) {
    for (size_t i = 0; i < w->log_count; i++) {
        const struct rp_record *r = w->log[i];
        if (r->f.conn == 0 || r->f.kind == RP_RECORD_CLOSE) {
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

/* At rest the broker believes in exactly the connections that gateways have. */
static const char *check_connections(const struct world *w) {
    uint64_t at_gateways = 0, at_broker = rp_core_stats(w->core)->connected;
    for (size_t i = 0; i < GATEWAYS; i++) {
        at_gateways +=
            w->gateways[i].core != NULL ? rp_gateway_stats(w->gateways[i].core)->sessions : 0;
    }
    if (at_gateways != at_broker) {
        snprintf(complaint, sizeof complaint,
                 "the broker has %llu connected sessions, the gateways %llu",
                 (unsigned long long) at_broker, (unsigned long long) at_gateways);
        return complaint;
    }
    return NULL;
}

const char *oracle_check(const struct world *w) {
    const char *wrong = check_log(w);
    wrong = wrong == NULL ? check_connections(w) : wrong;
    wrong = wrong == NULL ? check_fence(w) : wrong;
    for (unsigned i = 0; i < CLIENTS && wrong == NULL; i++) {
        wrong = check_client(w, i);
    }
    return wrong;
}
