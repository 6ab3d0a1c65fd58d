/* tests/bench/job_storm.c — the job storm: clients lose their gateway, miss a hundred events each,
 * and come back through another within seconds.
 *
 * Gateway 1 has them all, and is killed; gateway 2 gets them; gateway 3 has the publishers and the
 * live traffic of others (storm_live.h). A client is in one room of each of three families, and the
 * families are combined differently for each, so that hardly two have the same rooms. Every room
 * gets its family's share of the hundred. A client's events are numbered in its rooms: each must
 * come once, in order, and nothing else; the session must be the same.
 *
 * With storm-filler, as many events of a room without members are published behind the missed ones,
 * so that they are not in the broker's memory any more. */
#include "common/alloc.h"
#include "common/assert.h"
#include "tests/bench/job.h"
#include "tests/bench/message.h"
#include "tests/bench/meter.h"
#include "tests/bench/storm_live.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

enum {
    FAMILIES = 3,
    GATEWAY_LOST = 0,
    GATEWAY_NEXT,
    GATEWAY_OTHERS,
    GATEWAYS,
    MISSED = 100,
    NUMBERS = 1000, /* of a room's events: room · NUMBERS + n */
    PUBLISHERS = 16,
    OUTSTANDING = 64, /* unacked publishes of each */
    OPENING_MAX = 256,
    WAIT_MS = 50,
    USUAL_MS = 4000, /* the live traffic is measured as it usually is */
    QUIET_MS = 1000,
    STALL_MS = 20000,
    NICE = 10, /* clients run elsewhere: the servers come first */
};

static const uint64_t shares[FAMILIES] = {34, 33, 33};

enum state { JOINING, THERE, AWAY, COMING, BACK, RECOVERED };

struct client {
    uint8_t state, joined;
    uint8_t got[FAMILIES]; /* events of each of its rooms */
    char sid[32], pid[32], offset[40];
    uint64_t seq; /* of its newest event */
    uint64_t opened_ns;
};

struct storm {
    const struct rp_job_settings *s;
    struct rp_result *result;
    struct rp_crowd *crowd; /* the clients, then the publishers */
    struct client *clients;
    size_t clients_count, rooms; /* of each family */
    size_t there, back, recovered;
    uint64_t ready, acked, published, replayed;
    struct rp_histogram recovery; /* from connect to the last event */
    uint64_t news_ns;
    struct rp_storm_live *live;
};

static size_t room_of(const struct storm *st, size_t client, size_t family) {
    static const size_t strides[FAMILIES] = {1, 7, 31};
    size_t shifted = family == 0 ? client : client * strides[family] + client / st->rooms;
    return family * st->rooms + shifted % st->rooms;
}

static void fail_stalled(struct storm *st, const char *what) {
    if (rp_crowd_now_ns() - st->news_ns > STALL_MS * (uint64_t) RP_JOB_MS_NS) {
        rp_result_fail(st->result,
                       "%s: nothing more happens (%zu there, %zu back, %zu recovered, %" PRIu64
                       " of %" PRIu64 " acked)",
                       what, st->there, st->back, st->recovered, st->acked, st->published);
    }
}

/* ---- what clients get ---- */

/* Copies the string that follows a key, or the last one of all. */
static bool copy_string(struct rp_bytes json, const char *key, char *ret_text, size_t text_size) {
    const char *text = (const char *) json.data, *end = text + json.len;
    const char *from = memmem(text, json.len, key, strlen(key));
    if (from == NULL) {
        return false;
    }
    from += strlen(key);
    const char *to = memchr(from, '"', (size_t) (end - from));
    if (to == NULL || (size_t) (to - from) >= text_size) {
        return false;
    }
    memcpy(ret_text, from, (size_t) (to - from));
    ret_text[to - from] = '\0';
    return true;
}

static void join_rooms(struct storm *st, size_t client) {
    for (size_t family = 0; family < FAMILIES; family++) {
        char text[64];
        int n =
            snprintf(text, sizeof text, "[\"join\",\"storm-%zu\"]", room_of(st, client, family));
        rp_crowd_send(st->crowd, client, RP_BYTES_LIT("421"), rp_bytes(text, (size_t) n));
    }
}

static void on_ready(struct storm *st, const struct rp_crowd_event *event) {
    if (event->client >= st->clients_count) {
        st->ready++;
        return;
    }
    struct client *c = &st->clients[event->client];
    char sid[sizeof c->sid];
    if (!copy_string(event->payload, "\"sid\":\"", sid, sizeof sid) ||
        !copy_string(event->payload, "\"pid\":\"", c->pid, sizeof c->pid)) {
        rp_result_fail(st->result, "client %zu cannot recover: %.*s", event->client,
                       RP_BYTES_FMT(event->payload));
    } else if (c->state == JOINING) {
        memcpy(c->sid, sid, sizeof sid);
        join_rooms(st, event->client);
    } else if (strcmp(c->sid, sid) != 0) {
        rp_result_fail(st->result, "client %zu is not recovered", event->client);
    } else {
        c->state = BACK;
        st->back++;
    }
}

static void on_ack(struct storm *st, const struct rp_crowd_event *event) {
    if (!rp_job_check_ack(event, st->result)) {
        return;
    }
    if (event->client >= st->clients_count) {
        st->acked++;
        return;
    }
    struct client *c = &st->clients[event->client];
    if (++c->joined == FAMILIES) {
        c->state = THERE;
        st->there++;
    }
}

/* The first event of a room comes before the storm, so that each client has an offset. */
static void on_event(struct storm *st, const struct rp_crowd_event *event) {
    struct client *c = &st->clients[event->client];
    struct rp_message m;
    size_t family = FAMILIES;
    if (rp_message_read(event->payload, &m)) {
        family = (size_t) (m.n / NUMBERS) / st->rooms;
    }
    if (family >= FAMILIES || m.n / NUMBERS != room_of(st, event->client, family) ||
        m.n % NUMBERS != c->got[family] || m.seq <= c->seq ||
        (c->got[family] > 0) != (c->state == BACK)) {
        rp_result_fail(st->result, "client %zu got what it should not: %.*s", event->client,
                       RP_BYTES_FMT(event->payload));
        return;
    }
    c->got[family]++;
    c->seq = m.seq;
    copy_string(event->payload, "\"},\"", c->offset, sizeof c->offset);
    if (c->state != BACK) {
        return;
    }
    st->replayed++;
    if (c->got[0] + c->got[1] + c->got[2] == MISSED + FAMILIES) {
        c->state = RECOVERED;
        st->recovered++;
        rp_histogram_add(&st->recovery, event->at_ns - c->opened_ns);
    }
}

static void take_all(struct storm *st) {
    struct rp_crowd_event event;
    while (rp_result_is_fine(st->result) && rp_crowd_next(st->crowd, &event)) {
        st->news_ns = event.at_ns;
        switch (event.what) {
        case RP_CROWD_READY:
            on_ready(st, &event);
            break;
        case RP_CROWD_ACK:
            on_ack(st, &event);
            break;
        case RP_CROWD_EVENT:
            on_event(st, &event);
            break;
        case RP_CROWD_CLOSED:
            if (event.client >= st->clients_count || st->clients[event.client].state != AWAY) {
                rp_job_fail_closed(&event, st->result);
            }
            break;
        }
    }
}

static void wait_a_little(struct storm *st, const char *what) {
    rp_crowd_wait(st->crowd, rp_crowd_now_ns() + WAIT_MS * (uint64_t) RP_JOB_MS_NS);
    take_all(st);
    fail_stalled(st, what);
}

static void pass(struct storm *st, uint64_t ms) {
    uint64_t end_ns = rp_crowd_now_ns() + ms * RP_JOB_MS_NS;
    while (rp_result_is_fine(st->result) && rp_crowd_now_ns() < end_ns) {
        rp_crowd_wait(st->crowd, end_ns);
        take_all(st);
    }
    st->news_ns = rp_crowd_now_ns();
}

/* ---- before ---- */

static void open_at(struct storm *st, size_t gateway) {
    if (rp_crowd_open_at(st->crowd, gateway) != RP_OK) {
        rp_result_fail(st->result, "cannot connect: %s", strerror(errno));
    }
}

static void gather(struct storm *st) {
    for (size_t opened = 0; st->there < st->clients_count && rp_result_is_fine(st->result);) {
        while (opened < st->clients_count && opened - st->there < OPENING_MAX &&
               rp_result_is_fine(st->result)) {
            open_at(st, GATEWAY_LOST);
            opened++;
        }
        wait_a_little(st, "connecting");
    }
    for (size_t i = 0; i < PUBLISHERS && rp_result_is_fine(st->result); i++) {
        open_at(st, GATEWAY_OTHERS);
    }
    while (st->ready < PUBLISHERS && rp_result_is_fine(st->result)) {
        wait_a_little(st, "connecting publishers");
    }
}

static void wait_for_acks(struct storm *st, uint64_t under_way_max) {
    while (st->published - st->acked > under_way_max && rp_result_is_fine(st->result)) {
        wait_a_little(st, "publishing");
    }
}

static void publish(struct storm *st, const char *event, size_t room, uint64_t n) {
    const struct rp_message m = {.n = room * NUMBERS + n, .sent_ns = rp_crowd_now_ns()};
    struct rp_job_text text;
    wait_for_acks(st, PUBLISHERS * OUTSTANDING - 1);
    /* a room's events from one publisher, so that their order is known */
    rp_crowd_send(st->crowd, st->clients_count + room % PUBLISHERS, RP_BYTES_LIT("421"),
                  rp_job_publish_text(&text, "publish", event, room, &m));
    st->published++;
}

static void publish_first(struct storm *st) {
    for (size_t room = 0; room < FAMILIES * st->rooms; room++) {
        publish(st, "storm", room, 0);
    }
    wait_for_acks(st, 0);
    pass(st, QUIET_MS);
    for (size_t i = 0; i < st->clients_count && rp_result_is_fine(st->result); i++) {
        if (st->clients[i].offset[0] == '\0') {
            rp_result_fail(st->result, "client %zu has no offset", i);
        }
    }
}

static void publish_missed(struct storm *st) {
    for (uint64_t n = 1; n <= shares[0] && rp_result_is_fine(st->result); n++) {
        for (size_t room = 0; room < FAMILIES * st->rooms; room++) {
            if (n <= shares[room / st->rooms]) {
                publish(st, "storm", room, n);
            }
        }
    }
    for (uint64_t i = 0; i < st->s->storm_filler && rp_result_is_fine(st->result); i++) {
        publish(st, "empty", i % PUBLISHERS, i / PUBLISHERS % NUMBERS);
    }
    wait_for_acks(st, 0);
}

/* ---- the storm ---- */

/* Kills the gateway and takes it out of what is measured. Without servers named, the clients are
 * cut. */
static void lose_gateway(struct storm *st, struct rp_procs *servers) {
    for (size_t i = 0; i < servers->count; i++) {
        if (strcmp(servers->procs[i].name, "gateway-1") == 0) {
            kill(servers->procs[i].pid, SIGKILL);
            servers->procs[i] = servers->procs[--servers->count];
            break;
        }
    }
    for (size_t i = 0; i < st->clients_count; i++) {
        st->clients[i].state = AWAY;
        rp_crowd_cut(st->crowd, i);
    }
}

static void reopen(struct storm *st, size_t client) {
    struct client *c = &st->clients[client];
    char auth[128];
    int n = snprintf(auth, sizeof auth, "{\"pid\":\"%s\",\"offset\":\"%s\"}", c->pid, c->offset);
    c->state = COMING;
    c->opened_ns = rp_crowd_now_ns();
    if (rp_crowd_reopen(st->crowd, client, GATEWAY_NEXT, rp_bytes(auth, (size_t) n)) != RP_OK) {
        rp_result_fail(st->result, "cannot connect: %s", strerror(errno));
    }
}

/* All come back within the time given, evenly. */
static void come_back(struct storm *st) {
    uint64_t began_ns = rp_crowd_now_ns(), spread_ns = st->s->storm_spread_ms * RP_JOB_MS_NS;
    size_t opened = 0;
    st->news_ns = began_ns;
    while (st->recovered < st->clients_count && rp_result_is_fine(st->result)) {
        uint64_t passed_ns = rp_crowd_now_ns() - began_ns;
        size_t due =
            passed_ns >= spread_ns
                ? st->clients_count
                : (size_t) ((double) passed_ns / (double) spread_ns * (double) st->clients_count);
        while (opened < due && rp_result_is_fine(st->result)) {
            reopen(st, opened++);
        }
        rp_crowd_wait(st->crowd, rp_crowd_now_ns() + (opened < st->clients_count ? 1 : WAIT_MS) *
                                                         (uint64_t) RP_JOB_MS_NS);
        take_all(st);
        fail_stalled(st, "coming back");
    }
    rp_result_put(st->result, (double) (rp_crowd_now_ns() - began_ns) / 1e9, "all_recovered_s");
    rp_result_put_times(st->result, "recovery", &st->recovery);
}

static void put_memory(const struct rp_procs *servers, const struct rp_proc_usage *before,
                       struct rp_result *r) {
    for (size_t i = 0; i < servers->count; i++) {
        uint64_t peak = 0;
        if (rp_proc_read_peak(&servers->procs[i], &peak) == RP_OK) {
            rp_result_put(r, (double) before[i].rss_bytes / 1e6, "rss_mb_before/%s",
                          servers->procs[i].name);
            rp_result_put(r, (double) peak / 1e6, "rss_mb_peak/%s", servers->procs[i].name);
        }
    }
}

static void measure(struct storm *st) {
    struct rp_procs servers = st->s->servers;
    struct rp_meter meter;
    publish_first(st);
    lose_gateway(st, &servers);
    publish_missed(st);
    pass(st, QUIET_MS);
    rp_storm_live_phase(st->live, RP_STORM_BEFORE);
    pass(st, USUAL_MS);
    for (size_t i = 0; i < servers.count; i++) {
        rp_proc_reset_peak(&servers.procs[i]);
    }
    rp_meter_begin(&meter, &servers, st->result);
    rp_storm_live_phase(st->live, RP_STORM_DURING);
    come_back(st);
    rp_storm_live_phase(st->live, RP_STORM_SETUP);
    rp_meter_end(&meter, "replayed", "replayed", st->replayed, st->result);
    put_memory(&servers, meter.before, st->result);
    rp_result_put(st->result, (double) st->recovered, "recovered");
    pass(st, QUIET_MS); /* nothing more may come */
}

void rp_job_storm(const struct rp_job_settings *s, struct rp_result *r) {
    snprintf(r->settings, sizeof r->settings,
             "%" PRIu64 " clients back within %" PRIu64 " ms, 3 of %" PRIu64
             " rooms and %d missed events each, %" PRIu64 " events behind them",
             s->storm_clients, s->storm_spread_ms, FAMILIES * s->storm_rooms, MISSED,
             s->storm_filler);
    if (s->gateways.count < GATEWAYS) {
        rp_result_fail(r, "three gateways are needed");
        return;
    }
    struct storm *st = RP_NEW(struct storm);
    st->s = s;
    st->result = r;
    st->clients_count = s->storm_clients;
    st->rooms = s->storm_rooms;
    st->clients = rp_alloc(st->clients_count * sizeof *st->clients);
    st->live = rp_storm_live_start(s, GATEWAY_OTHERS, r);
    st->news_ns = rp_crowd_now_ns();
    setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + NICE);
    if (st->live != NULL &&
        rp_crowd_new(&s->gateways, st->clients_count + PUBLISHERS, &st->crowd) != RP_OK) {
        rp_result_fail(r, "cannot have so many connections (ulimit -Hn)");
    }
    if (st->crowd != NULL) {
        gather(st);
    }
    if (st->crowd != NULL && rp_result_is_fine(r)) {
        measure(st);
    }
    if (st->live != NULL) {
        rp_storm_live_stop(st->live, r);
    }
    rp_crowd_free(st->crowd);
    free(st->clients);
    free(st);
}
