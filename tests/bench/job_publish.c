/* tests/bench/job_publish.c — the jobs publish and publish-1: acks of publishes that nobody gets;
 * and events: acks of events that a worker handles.
 */
#include "common/alloc.h"
#include "tests/bench/job.h"
#include "tests/bench/message.h"
#include "tests/bench/meter.h"

#include <inttypes.h>
#include <stdlib.h>

enum { WAIT_MS = 100, STALL_MS = 5000 };

struct publisher {
    uint64_t published;
    uint64_t *sent_ns; /* by ack id; 0: free */
};

struct acks {
    const char *event;
    uint64_t publishers_count, outstanding;
    struct rp_result *result;
    struct rp_crowd *crowd;
    struct publisher *publishers;
    struct rp_histogram latency;
    uint64_t count, under_way, last_ns;
};

static void publish(struct acks *a, size_t publisher, uint64_t id) {
    struct publisher *p = &a->publishers[publisher];
    const struct rp_message m = {.n = ++p->published, .sent_ns = rp_crowd_now_ns()};
    struct rp_job_text text;
    char head[32];
    int n = snprintf(head, sizeof head, "42%" PRIu64, id);
    p->sent_ns[id] = m.sent_ns;
    a->under_way++;
    rp_crowd_send(a->crowd, publisher, rp_bytes(head, (size_t) n),
                  rp_job_publish_text(&text, a->event, "empty", publisher, &m));
}

static void on_ack(struct acks *a, const struct rp_crowd_event *event, bool go_on) {
    struct publisher *p = &a->publishers[event->client];
    if (event->id >= a->outstanding || p->sent_ns[event->id] == 0) {
        rp_result_fail(a->result, "client %zu got ack %" PRIu64 " which it does not wait for",
                       event->client, event->id);
    } else if (rp_job_check_ack(event, a->result)) {
        rp_histogram_add(&a->latency, event->at_ns - p->sent_ns[event->id]);
        p->sent_ns[event->id] = 0;
        a->under_way--;
        a->count++;
        a->last_ns = event->at_ns;
        if (go_on) {
            publish(a, event->client, event->id);
        }
    }
}

/* Every ack lets the next publish go; not any more when draining. */
static void work(struct acks *a, uint64_t end_ns, bool go_on) {
    uint64_t now_ns;
    while (rp_result_is_fine(a->result) && a->under_way > 0 &&
           (now_ns = rp_crowd_now_ns()) < end_ns) {
        uint64_t until_ns = now_ns + WAIT_MS * (uint64_t) RP_JOB_MS_NS;
        rp_crowd_wait(a->crowd, until_ns < end_ns ? until_ns : end_ns);
        struct rp_crowd_event event;
        while (rp_result_is_fine(a->result) && rp_crowd_next(a->crowd, &event)) {
            if (event.what == RP_CROWD_ACK) {
                on_ack(a, &event, go_on);
            } else if (event.what == RP_CROWD_CLOSED) {
                rp_job_fail_closed(&event, a->result);
            }
        }
        if (rp_crowd_now_ns() - a->last_ns > STALL_MS * (uint64_t) RP_JOB_MS_NS) {
            rp_result_fail(a->result, "%" PRIu64 " publishes are not acked", a->under_way);
        }
    }
}

static void measure(struct acks *a, const struct rp_job_settings *s) {
    struct rp_meter meter;
    uint64_t from_ns = rp_crowd_now_ns() + s->warmup_ms * RP_JOB_MS_NS;
    a->last_ns = rp_crowd_now_ns();
    for (size_t i = 0; i < a->publishers_count; i++) {
        for (uint64_t id = 0; id < a->outstanding; id++) {
            publish(a, i, id);
        }
    }
    work(a, from_ns, true);
    a->count = 0;
    rp_histogram_clear(&a->latency);
    rp_meter_begin(&meter, &s->servers, a->result);
    work(a, from_ns + s->measure_ms * RP_JOB_MS_NS, true);
    rp_meter_end(&meter, "ack", "acks", a->count, a->result);
    rp_result_put_times(a->result, "ack", &a->latency);
    work(a, UINT64_MAX, false);
    rp_result_put(a->result, (double) a->under_way, "unacked");
}

static void publish_acked(const struct rp_job_settings *s, const char *event, uint64_t publishers,
                          uint64_t outstanding, struct rp_result *r) {
    snprintf(r->settings, sizeof r->settings,
             "%" PRIu64 " clients, %" PRIu64 " unacked %s each, no members", publishers,
             outstanding, event);
    const struct rp_job_gathering gathering = {.clients = publishers};
    struct rp_crowd *crowd = rp_job_gather(s, &gathering, r);
    if (crowd == NULL) {
        return;
    }
    struct acks *a = RP_NEW(struct acks);
    a->event = event;
    a->publishers_count = publishers;
    a->outstanding = outstanding;
    a->result = r;
    a->crowd = crowd;
    a->publishers = rp_alloc(publishers * sizeof *a->publishers);
    for (size_t i = 0; i < publishers; i++) {
        a->publishers[i].sent_ns = rp_alloc(outstanding * sizeof *a->publishers[i].sent_ns);
    }
    measure(a, s);
    for (size_t i = 0; i < publishers; i++) {
        free(a->publishers[i].sent_ns);
    }
    free(a->publishers);
    free(a);
    rp_crowd_free(crowd);
}

void rp_job_publish(const struct rp_job_settings *s, struct rp_result *r) {
    publish_acked(s, "publish", s->publishers, s->outstanding, r);
}

void rp_job_publish_one(const struct rp_job_settings *s, struct rp_result *r) {
    publish_acked(s, "publish", 1, 1, r);
}

void rp_job_events(const struct rp_job_settings *s, struct rp_result *r) {
    publish_acked(s, "event", s->publishers, s->outstanding, r);
}

void rp_job_events_one(const struct rp_job_settings *s, struct rp_result *r) {
    publish_acked(s, "event", 1, 1, r);
}
