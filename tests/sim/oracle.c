/* tests/sim/oracle.c — decides what is right, from the log alone, by a simpler model than the code
 * under test: a session should have seen exactly the events of the rooms it was in, in the order of
 * the log, once. */
#include "tests/sim/oracle.h"

#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>

/* Payloads from here on belong to publish ids: they are published again and again. */
enum { FIRST_WITH_ID = 1000000000 };

static int compare_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return x < y ? -1 : x > y;
}

/* A volatile event comes at most once, to those who are in its room. */
static const char *check_volatiles(const struct world *w, unsigned client, unsigned nsp,
                                   const struct life *life, uint64_t session) {
    uint64_t *seen = rp_alloc((life->events_count + 1) * sizeof(uint64_t));
    size_t count = 0;
    const char *wrong = NULL;
    for (size_t i = 0; i < life->events_count; i++) {
        if (life->events[i].is_volatile) {
            seen[count++] = life->events[i].payload;
        }
    }
    qsort(seen, count, sizeof(uint64_t), compare_u64);
    for (size_t i = 0; i < count && wrong == NULL && !stock_is_app(nsp); i++) {
        uint64_t room =
            seen[i] / NAMESPACES < w->volatiles_count ? w->volatiles[seen[i] / NAMESPACES] : 0;
        if (room == 0 || !log_was_member(w, session, (unsigned) room - 1)) {
            wrong = oracle_complain(
                "client %u (session %llu) got the volatile event %llu, which was not for it",
                client, (unsigned long long) session, (unsigned long long) seen[i]);
        } else if (i > 0 && seen[i] == seen[i - 1]) {
            wrong =
                oracle_complain("client %u (session %llu) got the volatile event %llu twice",
                                client, (unsigned long long) session, (unsigned long long) seen[i]);
        }
    }
    free(seen);
    return wrong;
}

/* Compares what one life saw with what the log says it should have; `whole`: it must have seen all
 * of it. */
static const char *check_life(const struct world *w, unsigned client, unsigned nsp,
                              const struct life *life, bool whole) {
    uint64_t session = log_session(w, life->sid);
    const char *wrong = check_volatiles(w, client, nsp, life, session);
    bool member[ROOMS] = {false};
    size_t at = 0;
    if (wrong != NULL || stock_is_app(nsp)) {
        return wrong; /* else oracle_app.c */
    }
    for (size_t i = 0; i < w->now.log_count; i++) {
        const struct rp_record *r = w->now.log[i];
        bool own = r->f.session == session;
        if (own && r->f.kind == RP_RECORD_JOIN) {
            member[log_room(r)] = true;
        } else if (own && r->f.kind == RP_RECORD_LEAVE) {
            member[log_room(r)] = false;
        }
        if (r->f.kind != RP_RECORD_EVENT || log_nsp(r) != nsp || r->f.session == 0 ||
            !member[log_room(r)] || log_is_own_without_echo(r, session)) {
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
            return oracle_complain("client %u (session %llu) never got seq %llu", client,
                                   (unsigned long long) session, (unsigned long long) r->seq);
        }
        if (life->events[at].seq != r->seq || life->events[at].payload != log_payload(r)) {
            return oracle_complain(
                "client %u (session %llu) should get seq %llu and got seq %llu as its event %zu",
                client, (unsigned long long) session, (unsigned long long) r->seq,
                (unsigned long long) life->events[at].seq, at);
        }
        at++;
    }
    for (; at < life->events_count; at++) {
        if (!life->events[at].is_volatile && !life->events[at].is_history) {
            return oracle_complain("client %u (session %llu) got seq %llu too many", client,
                                   (unsigned long long) session,
                                   (unsigned long long) life->events[at].seq);
        }
    }
    return NULL;
}

struct stored {
    uint64_t payload;
    size_t at;
};

static int compare(const void *a, const void *b) {
    const struct stored *x = a, *y = b;
    if (x->payload != y->payload) {
        return x->payload < y->payload ? -1 : 1;
    }
    return x->at < y->at ? -1 : x->at > y->at;
}

/* No payload is in the log twice: but what retention has taken takes its publish id along. */
static const char *check_once(const struct world *w) {
    struct stored *stored = rp_alloc((w->now.log_count + 1) * sizeof(struct stored));
    size_t count = 0;
    const char *wrong = NULL;
    for (size_t i = 0; i < w->now.log_count; i++) {
        if (w->now.log[i]->f.kind == RP_RECORD_EVENT) {
            stored[count++] = (struct stored){.payload = log_payload(w->now.log[i]), .at = i};
        }
    }
    qsort(stored, count, sizeof(struct stored), compare);
    for (size_t i = 1; i < count && wrong == NULL; i++) {
        const struct rp_record *first = w->now.log[stored[i - 1].at];
        if (stored[i].payload == stored[i - 1].payload && stored[i].at >= w->now.inherited &&
            (stored[i].payload < FIRST_WITH_ID ||
             log_border(w, first->f.nsp, first->f.room, stored[i].at) < first->seq)) {
            wrong = oracle_complain("payload %llu is in the log twice, as seq %llu and %llu",
                                    (unsigned long long) stored[i].payload,
                                    (unsigned long long) first->seq,
                                    (unsigned long long) w->now.log[stored[i].at]->seq);
        }
    }
    free(stored);
    return wrong;
}

/* Whether the event came behind what the same session published before. One whose publish id may
 * have been used before says nothing about that. */
static bool is_in_order(const struct world *w, size_t at) {
    uint64_t payload = log_payload(w->now.log[at]);
    if (payload >= FIRST_WITH_ID) {
        return true;
    }
    if (w->now.log[at]->f.session != 0 && stock_is_app(log_nsp(w->now.log[at]))) {
        return true; /* its worker was asked about each, and took its time */
    }
    for (size_t i = at; i-- > 0;) {
        const struct rp_record *older = w->now.log[i];
        if (older->f.kind == RP_RECORD_EVENT && older->f.session == w->now.log[at]->f.session &&
            (older->f.session != 0 || older->f.origin == w->now.log[at]->f.origin) &&
            log_payload(older) < FIRST_WITH_ID) {
            return log_payload(older) < payload;
        }
    }
    return true;
}

/* The event is where its publisher put it, with what belongs to it. */
static const char *check_event(const struct world *w, size_t at) {
    const struct rp_record *r = w->now.log[at];
    uint64_t payload = log_payload(r);
    const char *wrong = NULL;
    if (log_nsp(r) != stock_nsp_of(payload)) {
        wrong = "is in the wrong namespace";
    } else if (!stock_attachments_right(&w->clients[0].stock, payload, r->f.attachments)) {
        wrong = "has other attachments than it was published with";
    } else if (!is_in_order(w, at)) {
        wrong = "came behind what its publisher published later";
    } else {
        return NULL;
    }
    return oracle_complain("seq %llu (payload %llu) %s", (unsigned long long) r->seq,
                           (unsigned long long) payload, wrong);
}

/* A session that the broker ends by itself has been away long enough, by the wall clock. */
static const char *check_expiry(const struct world *w, size_t at) {
    const struct rp_record *r = w->now.log[at];
    if (r->f.origin != 0 || !rp_bytes_eq_str(r->f.name, RP_REASON_EXPIRED)) {
        return NULL;
    }
    uint64_t closed = log_closed_ms(w, r->f.session, at);
    if (closed > 0 && r->f.ts_ms >= closed + w->profile.session_ttl_ms) {
        return NULL;
    }
    return oracle_complain("session %llu expired (seq %llu) %s", (unsigned long long) r->f.session,
                           (unsigned long long) r->seq,
                           closed > 0 ? "before its time" : "while it was connected");
}

static const char *check_log(const struct world *w) {
    const char *wrong = NULL;
    for (size_t i = 0; i < w->now.log_count && wrong == NULL; i++) {
        if (i > 0 && w->now.log[i]->seq <= w->now.log[i - 1]->seq) {
            wrong = "a seq was used twice";
        } else if (w->now.log[i]->f.kind == RP_RECORD_EVENT) {
            wrong = check_event(w, i);
        } else if (w->now.log[i]->f.kind == RP_RECORD_END) {
            wrong = check_expiry(w, i);
        }
    }
    return wrong == NULL ? check_once(w) : wrong;
}

/* Whether the life began in the era of w->now. */
static bool is_of_era(const struct world *w, const struct life *life) {
    uint64_t session = log_session(w, life->sid);
    size_t inherited = w->now.inherited;
    return session > 0 && (inherited == 0 || session > w->now.log[inherited - 1]->seq);
}

/* What a socket saw in one era. */
static const char *check_socket(const struct world *w, unsigned client, const struct stock *s) {
    const char *wrong = NULL;
    for (size_t i = 0; i < s->lives_count && wrong == NULL; i++) {
        if (is_of_era(w, &s->lives[i])) {
            wrong = check_life(w, client, s->nsp, &s->lives[i],
                               w->is_newest && i + 1 == s->lives_count);
        }
    }
    for (size_t i = 0; i < s->answers_count && wrong == NULL; i++) {
        if (is_of_era(w, &s->lives[s->answers[i].life])) {
            wrong = oracle_check_answer(w, client, s, &s->answers[i]);
        }
    }
    for (size_t i = 0; i < s->refusals_count && wrong == NULL; i++) {
        wrong = oracle_check_refusal(w, client, &s->refusals[i]);
    }
    for (size_t i = 0; i < s->comebacks_count && wrong == NULL; i++) {
        if (is_of_era(w, &s->lives[s->comebacks[i].new_life])) {
            wrong = oracle_check_comeback(w, client, s, &s->comebacks[i]);
        }
    }
    return wrong;
}

/* How a socket ended up. */
static const char *check_end(unsigned client, const struct stock *s) {
    if (!s->connected) {
        return oracle_complain("client %u did not come back to %s", client, stock_nsp_name(s->nsp));
    }
    if (s->asks_count > 0) {
        return oracle_complain("client %u: emit %llu (kind %d) was never acked", client,
                               (unsigned long long) s->asks[0].id, (int) s->asks[0].kind);
    }
    return NULL;
}

static const char *check_client(const struct world *w, unsigned index) {
    const struct client *client = &w->clients[index];
    const char *wrong = client->problem != NULL ? client->problem : client->stock.problem;
    for (unsigned i = 0; i < NAMESPACES && wrong == NULL; i++) {
        if (client_has(client, i)) {
            wrong = check_end(index, &client->stock.sockets[i]);
        }
    }
    return wrong;
}

/* Nothing of an older connection is in the log behind the record of a newer one. */
static const char *check_fence(const struct world *w) {
    for (size_t i = 0; i < w->now.log_count; i++) {
        const struct rp_record *r = w->now.log[i];
        bool forgets = r->f.kind == RP_RECORD_LEAVE && r->f.room.len == 0; /* the broker's own */
        if (r->f.conn == 0 || r->f.kind == RP_RECORD_CLOSE || forgets) {
            continue; /* a CLOSE that comes late changes nothing */
        }
        for (size_t k = i; k-- > 0 && w->now.log[k]->seq >= r->f.conn;) {
            const struct rp_record *newer = w->now.log[k];
            if (newer->f.kind == RP_RECORD_RESUME && newer->f.session == r->f.session &&
                newer->seq > r->f.conn) {
                return oracle_complain(
                    "seq %llu came with connection %llu, but %llu had the session",
                    (unsigned long long) r->seq, (unsigned long long) r->f.conn,
                    (unsigned long long) newer->seq);
            }
        }
    }
    return NULL;
}

/* One log, and what clients saw of it. */
static const char *check_era(const struct world *w) {
    const char *wrong = check_log(w);
    wrong = wrong == NULL ? check_fence(w) : wrong;
    for (unsigned i = 0; i < CLIENTS; i++) {
        for (unsigned k = 0; k < NAMESPACES && wrong == NULL; k++) {
            wrong = check_socket(w, i, &w->clients[i].stock.sockets[k]);
        }
    }
    return wrong;
}

const char *oracle_check(const struct world *w) {
    const char *wrong = NULL;
    for (unsigned i = 0; i < CLIENTS && wrong == NULL; i++) {
        wrong = check_client(w, i);
    }
    for (size_t i = 0; i <= w->past_count && wrong == NULL; i++) {
        struct world then = *w;
        then.era = (unsigned) i;
        then.is_newest = i == w->past_count;
        then.now = then.is_newest ? w->now : w->past[i];
        wrong = check_era(&then);
    }
    return wrong == NULL ? oracle_app_check(w) : wrong;
}
