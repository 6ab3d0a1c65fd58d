/* tests/bench/job_ask.c — the jobs ask and fetch: one client has its worker ask something of all
 * the others, or about them, again and again, and waits each time. */
#include "tests/bench/job.h"
#include "tests/bench/meter.h"

#include <inttypes.h>

enum { STALL_MS = 20000 };

struct asking {
    const char *event; /* as JSON */
    bool is_answered;  /* by every client, before the one that asked has its ack */
    uint64_t clients;
    struct rp_crowd *crowd;
    struct rp_result *result;
    struct rp_histogram latency;
    uint64_t asked_ns, answers, rounds;
    bool is_under_way;
};

static void ask(struct asking *a) {
    a->asked_ns = rp_crowd_now_ns();
    a->answers = 0;
    a->is_under_way = true;
    rp_crowd_send(a->crowd, 0, RP_BYTES_LIT("421"), rp_bytes_str(a->event));
}

static void on_question(struct asking *a, const struct rp_crowd_event *event) {
    char head[32];
    int n = snprintf(head, sizeof head, "43%" PRIu64, event->id);
    if (event->id == 0 || !a->is_answered) {
        rp_result_fail(a->result, "client %zu got an event that asks nothing", event->client);
        return;
    }
    a->answers++;
    rp_crowd_send(a->crowd, event->client, rp_bytes(head, (size_t) n), RP_BYTES_LIT("[\"fine\"]"));
}

static void on_ack(struct asking *a, const struct rp_crowd_event *event) {
    char right[64];
    int n = snprintf(right, sizeof right, "[{\"ok\":true,\"count\":%" PRIu64 "}]", a->clients);
    if (!rp_bytes_eq(event->payload, rp_bytes(right, (size_t) n)) ||
        (a->is_answered && a->answers != a->clients)) {
        rp_result_fail(a->result, "asked %" PRIu64 " and got %" PRIu64 ": %.*s", a->clients,
                       a->answers, RP_BYTES_FMT(event->payload));
    }
    rp_histogram_add(&a->latency, event->at_ns - a->asked_ns);
    a->rounds++;
    a->is_under_way = false;
}

/* Asks until the end, and then waits for what is under way. */
static void work(struct asking *a, uint64_t end_ns) {
    struct rp_crowd_event event;
    while (rp_result_is_fine(a->result) && (a->is_under_way || rp_crowd_now_ns() < end_ns)) {
        if (!a->is_under_way) {
            ask(a);
        }
        uint64_t stall_ns = a->asked_ns + STALL_MS * (uint64_t) RP_JOB_MS_NS;
        rp_crowd_wait(a->crowd, stall_ns);
        while (rp_result_is_fine(a->result) && rp_crowd_next(a->crowd, &event)) {
            if (event.what == RP_CROWD_EVENT) {
                on_question(a, &event);
            } else if (event.what == RP_CROWD_ACK) {
                on_ack(a, &event);
            } else if (event.what == RP_CROWD_CLOSED) {
                rp_job_fail_closed(&event, a->result);
            }
        }
        if (a->is_under_way && rp_crowd_now_ns() >= stall_ns) {
            rp_result_fail(a->result, "no ack after %" PRIu64 " answers", a->answers);
        }
    }
}

static void measure(struct asking *a, const struct rp_job_settings *s, const char *unit,
                    const char *units) {
    struct rp_meter meter;
    work(a, rp_crowd_now_ns() + s->warmup_ms * RP_JOB_MS_NS);
    rp_histogram_clear(&a->latency);
    a->rounds = 0;
    rp_meter_begin(&meter, &s->servers, a->result);
    work(a, rp_crowd_now_ns() + s->measure_ms * RP_JOB_MS_NS);
    rp_meter_end(&meter, unit, units, a->rounds * a->clients, a->result);
    rp_result_put_times(a->result, "round", &a->latency);
}

void rp_job_ask(const struct rp_job_settings *s, struct rp_result *r) {
    snprintf(r->settings, sizeof r->settings,
             "an emit with ack to all %" PRIu64 " clients, one at a time", s->members);
    const struct rp_job_gathering gathering = {.clients = s->members};
    struct asking a = {.event = "[\"ask\"]",
                       .is_answered = true,
                       .clients = s->members,
                       .crowd = rp_job_gather(s, &gathering, r),
                       .result = r};
    if (a.crowd != NULL) {
        measure(&a, s, "answer", "answers");
        rp_crowd_free(a.crowd);
    }
}

void rp_job_fetch(const struct rp_job_settings *s, struct rp_result *r) {
    snprintf(r->settings, sizeof r->settings, "a fetch of all %" PRIu64 " sockets, one at a time",
             s->connections);
    const struct rp_job_gathering gathering = {.clients = s->connections};
    struct asking a = {.event = "[\"fetch\"]",
                       .clients = s->connections,
                       .crowd = rp_job_gather(s, &gathering, r),
                       .result = r};
    if (a.crowd != NULL) {
        measure(&a, s, "socket", "sockets");
        rp_crowd_free(a.crowd);
    }
}
