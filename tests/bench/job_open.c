/* tests/bench/job_open.c — the job publish-open: publishes at a fixed rate into many rooms without
 * members, so that a server that stops for a moment shows in the times of all that came due
 * meanwhile. */
#include "common/alloc.h"
#include "tests/bench/job.h"
#include "tests/bench/message.h"
#include "tests/bench/meter.h"

#include <inttypes.h>
#include <stdlib.h>

enum { PUBLISHERS_MAX = 64, UNDER_WAY_MAX = 1 << 16, STALL_MS = 10000 };

struct open_loop {
    struct rp_crowd *crowd;
    struct rp_result *result;
    uint64_t publishers, rooms, rate;
    uint64_t begin_ns, sent, acked;
    uint64_t *due_ns; /* by publisher and ack id; 0: free */
    struct rp_histogram latency;
};

static uint64_t due_of(const struct open_loop *p, uint64_t n) {
    return p->begin_ns + n * UINT64_C(1000000000) / p->rate;
}

static void publish(struct open_loop *p) {
    uint64_t client = p->sent % p->publishers, id = p->sent / p->publishers % UNDER_WAY_MAX;
    uint64_t *due = &p->due_ns[client * UNDER_WAY_MAX + id];
    const struct rp_message m = {.n = p->sent + 1, .sent_ns = rp_crowd_now_ns()};
    struct rp_job_text text;
    char head[32];
    if (*due != 0) {
        rp_result_fail(p->result, "%d publishes of client %" PRIu64 " are not acked", UNDER_WAY_MAX,
                       client);
        return;
    }
    int n = snprintf(head, sizeof head, "42%" PRIu64, id);
    *due = due_of(p, p->sent);
    /* each room gets as many, in an order that is no pattern for a cache */
    size_t room = (size_t) (p->sent * UINT64_C(2654435761) % p->rooms);
    p->sent++;
    rp_crowd_send(p->crowd, client, rp_bytes(head, (size_t) n),
                  rp_job_publish_text(&text, "publish", "open", room, &m));
}

static void on_ack(struct open_loop *p, const struct rp_crowd_event *event) {
    uint64_t *due =
        event->id < UNDER_WAY_MAX ? &p->due_ns[event->client * UNDER_WAY_MAX + event->id] : NULL;
    if (due == NULL || *due == 0) {
        rp_result_fail(p->result, "client %zu got ack %" PRIu64 " which it does not wait for",
                       event->client, event->id);
    } else if (rp_job_check_ack(event, p->result)) {
        rp_histogram_add(&p->latency, event->at_ns > *due ? event->at_ns - *due : 0);
        *due = 0;
        p->acked++;
    }
}

static void take_news(struct open_loop *p) {
    struct rp_crowd_event event;
    while (rp_result_is_fine(p->result) && rp_crowd_next(p->crowd, &event)) {
        if (event.what == RP_CROWD_ACK) {
            on_ack(p, &event);
        } else if (event.what == RP_CROWD_CLOSED) {
            rp_job_fail_closed(&event, p->result);
        }
    }
}

/* Publishes what comes due until then. */
static void work(struct open_loop *p, uint64_t end_ns) {
    uint64_t now_ns;
    while (rp_result_is_fine(p->result) && (now_ns = rp_crowd_now_ns()) < end_ns) {
        while (rp_result_is_fine(p->result) && due_of(p, p->sent) <= now_ns) {
            publish(p);
        }
        uint64_t next_ns = due_of(p, p->sent);
        rp_crowd_wait(p->crowd, next_ns < end_ns ? next_ns : end_ns);
        take_news(p);
    }
}

static void drain(struct open_loop *p) {
    uint64_t end_ns = rp_crowd_now_ns() + STALL_MS * (uint64_t) RP_JOB_MS_NS;
    while (rp_result_is_fine(p->result) && p->acked < p->sent) {
        rp_crowd_wait(p->crowd, end_ns);
        take_news(p);
        if (rp_crowd_now_ns() >= end_ns) {
            rp_result_fail(p->result, "%" PRIu64 " publishes are not acked", p->sent - p->acked);
        }
    }
}

static void measure(struct open_loop *p, const struct rp_job_settings *s) {
    struct rp_meter meter;
    p->begin_ns = rp_crowd_now_ns();
    uint64_t from_ns = p->begin_ns + s->open_fill_ms * RP_JOB_MS_NS;
    work(p, from_ns);
    uint64_t before = p->acked;
    rp_histogram_clear(&p->latency);
    rp_meter_begin(&meter, &s->servers, p->result);
    work(p, from_ns + s->measure_ms * RP_JOB_MS_NS);
    rp_meter_end(&meter, "ack", "acks", p->acked - before, p->result);
    drain(p); /* what is late counts */
    rp_result_put_times(p->result, "ack", &p->latency);
}

void rp_job_publish_open(const struct rp_job_settings *s, struct rp_result *r) {
    snprintf(r->settings, sizeof r->settings,
             "%" PRIu64 " publishes/s in an open loop into %" PRIu64
             " rooms without members, after %" PRIu64 " ms of the same",
             s->open_rate, s->open_rooms, s->open_fill_ms);
    const struct rp_job_gathering gathering = {
        .clients = s->publishers < PUBLISHERS_MAX ? s->publishers : PUBLISHERS_MAX};
    struct rp_crowd *crowd = rp_job_gather(s, &gathering, r);
    if (crowd == NULL) {
        return;
    }
    struct open_loop *p = RP_NEW(struct open_loop);
    p->crowd = crowd;
    p->result = r;
    p->publishers = gathering.clients;
    p->rooms = s->open_rooms;
    p->rate = s->open_rate;
    p->due_ns = rp_alloc(p->publishers * UNDER_WAY_MAX * sizeof *p->due_ns);
    measure(p, s);
    free(p->due_ns);
    free(p);
    rp_crowd_free(crowd);
}
