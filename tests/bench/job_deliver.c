/* tests/bench/job_deliver.c — the jobs fanout, rooms and volatile: from one publisher per room to
 * all its members, the publisher among them. */
#include "common/alloc.h"
#include "common/assert.h"
#include "tests/bench/job.h"
#include "tests/bench/message.h"
#include "tests/bench/meter.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    RING = 1024,     /* messages of one room under way */
    STALL_MS = 5000, /* without a delivery that is due: something is lost */
    WAIT_MS = 100,
    LINGER_MS = 50,
};

struct shape {
    const char *event;       /* what publishes */
    uint64_t rooms, members; /* of each */
    uint64_t window;         /* under way in all rooms; 0: open loop */
    uint64_t rate;           /* per second, open loop */
    bool slide, is_volatile;
};

struct room {
    uint64_t published;
    uint32_t missing[RING]; /* deliveries of message n, at n % RING */
};

struct member {
    uint64_t n, seq; /* of the newest message */
};

struct deliver {
    struct shape shape;
    struct rp_result *result;
    struct rp_crowd *crowd;
    struct room *rooms;
    struct member *members;
    struct rp_histogram latency;
    uint64_t publishes, under_way; /* messages */
    uint64_t deliveries, lost, doubled, disordered;
    uint64_t began_ns, last_delivery_ns;
};

/* Any member will do; not always a room's first, so that all gateways have some. */
static size_t publisher_of(const struct deliver *d, size_t room) {
    return room * d->shape.members + room % d->shape.members;
}

static void publish(struct deliver *d, uint64_t sent_ns) {
    size_t number = d->publishes++ % d->shape.rooms;
    struct room *room = &d->rooms[number];
    uint32_t *missing = &room->missing[(room->published + 1) % RING];
    if (*missing > 0) {
        rp_result_fail(d->result, "the servers cannot keep up: %d messages are under way in a room",
                       RING);
        return;
    }
    *missing = (uint32_t) d->shape.members;
    const struct rp_message m = {.n = ++room->published, .sent_ns = sent_ns};
    struct rp_job_text text;
    rp_crowd_send(d->crowd, publisher_of(d, number), RP_BYTES_LIT("42"),
                  rp_job_publish_text(&text, d->shape.event, "bench", number, &m));
    d->under_way++;
}

static void on_delivery(struct deliver *d, const struct rp_crowd_event *event) {
    struct member *member = &d->members[event->client];
    struct room *room = &d->rooms[event->client / d->shape.members];
    struct rp_message m;
    if (!rp_message_read(event->payload, &m) || m.n == 0 || m.n > room->published) {
        rp_result_fail(d->result, "client %zu got what was not published: %.*s", event->client,
                       RP_BYTES_FMT(event->payload));
        return;
    }
    d->deliveries++;
    d->last_delivery_ns = event->at_ns;
    if (m.n <= member->n) {
        d->doubled += m.n == member->n;
        d->disordered += m.n < member->n;
        return;
    }
    d->lost += m.n - member->n - 1;
    d->disordered += m.seq <= member->seq && !d->shape.is_volatile; /* which has no offset */
    *member = (struct member){.n = m.n, .seq = m.seq};
    rp_histogram_add(&d->latency, event->at_ns > m.sent_ns ? event->at_ns - m.sent_ns : 0);
    uint32_t *missing = &room->missing[m.n % RING];
    RP_ASSERT(*missing > 0);
    d->under_way -= --*missing == 0;
}

static void take_all(struct deliver *d) {
    struct rp_crowd_event event;
    while (rp_result_is_fine(d->result) && rp_crowd_next(d->crowd, &event)) {
        if (event.what == RP_CROWD_EVENT) {
            on_delivery(d, &event);
        } else if (event.what == RP_CROWD_CLOSED) {
            rp_job_fail_closed(&event, d->result);
        }
    }
    uint64_t now_ns = rp_crowd_now_ns();
    if (d->under_way == 0) {
        d->last_delivery_ns = now_ns;
    } else if (now_ns - d->last_delivery_ns > STALL_MS * (uint64_t) RP_JOB_MS_NS) {
        rp_result_fail(d->result, "%" PRIu64 " messages have not reached all members",
                       d->under_way);
    }
}

static uint64_t due_ns(const struct deliver *d) {
    return d->began_ns + d->publishes * 1000000000u / d->shape.rate;
}

/* Publishes what is due, and returns when more may be. */
static uint64_t publish_due(struct deliver *d, uint64_t now_ns) {
    if (d->shape.window == 0) {
        while (rp_result_is_fine(d->result) && due_ns(d) <= now_ns) {
            publish(d, due_ns(d));
        }
        return due_ns(d);
    }
    if (d->shape.slide || d->under_way == 0) {
        while (d->under_way < d->shape.window && rp_result_is_fine(d->result)) {
            publish(d, now_ns);
        }
    }
    return now_ns + WAIT_MS * (uint64_t) RP_JOB_MS_NS;
}

static void work_until(struct deliver *d, uint64_t end_ns) {
    uint64_t now_ns;
    while (rp_result_is_fine(d->result) && (now_ns = rp_crowd_now_ns()) < end_ns) {
        uint64_t until_ns = publish_due(d, now_ns);
        rp_crowd_wait(d->crowd, until_ns < end_ns ? until_ns : end_ns);
        take_all(d);
    }
}

/* Waits for what is under way, and a little longer for what should not come. What a member never
 * gets after its newest message is lost. */
static void drain(struct deliver *d) {
    while (d->under_way > 0 && rp_result_is_fine(d->result)) {
        rp_crowd_wait(d->crowd, rp_crowd_now_ns() + WAIT_MS * (uint64_t) RP_JOB_MS_NS);
        take_all(d);
    }
    for (uint64_t end_ns = rp_crowd_now_ns() + LINGER_MS * (uint64_t) RP_JOB_MS_NS;
         rp_result_is_fine(d->result) && rp_crowd_now_ns() < end_ns;) {
        rp_crowd_wait(d->crowd, end_ns);
        take_all(d);
    }
    for (size_t i = 0; i < d->shape.rooms * d->shape.members; i++) {
        d->lost += d->rooms[i / d->shape.members].published - d->members[i].n;
    }
}

static void measure(struct deliver *d, const struct rp_job_settings *s) {
    struct rp_meter meter;
    d->began_ns = d->last_delivery_ns = rp_crowd_now_ns();
    uint64_t from_ns = d->began_ns + s->warmup_ms * RP_JOB_MS_NS;
    work_until(d, from_ns);
    d->deliveries = 0;
    uint64_t publishes = d->publishes;
    rp_histogram_clear(&d->latency);
    rp_meter_begin(&meter, &s->servers, d->result);
    work_until(d, from_ns + s->measure_ms * RP_JOB_MS_NS);
    rp_meter_end(&meter, "delivery", "deliveries", d->deliveries, d->result);
    rp_result_put(d->result,
                  (double) (d->publishes - publishes) * 1e9 /
                      (double) (rp_crowd_now_ns() - meter.began_ns),
                  "events_per_s");
    rp_result_put_times(d->result, "latency", &d->latency);
    drain(d);
    rp_result_put(d->result, (double) d->lost, "lost");
    rp_result_put(d->result, (double) d->doubled, "doubled");
    rp_result_put(d->result, (double) d->disordered, "disordered");
    if (d->lost + d->doubled + d->disordered > 0) {
        rp_result_fail(d->result,
                       "%" PRIu64 " deliveries lost, %" PRIu64 " doubled, %" PRIu64 " disordered",
                       d->lost, d->doubled, d->disordered);
    }
}

static void deliver(const struct rp_job_settings *s, const struct shape *shape,
                    struct rp_result *r) {
    const struct rp_job_gathering gathering = {.clients = shape->rooms * shape->members,
                                               .room_members = shape->members};
    struct rp_crowd *crowd = rp_job_gather(s, &gathering, r);
    if (crowd == NULL) {
        return;
    }
    struct deliver *d = RP_NEW(struct deliver);
    d->shape = *shape;
    d->result = r;
    d->crowd = crowd;
    d->rooms = rp_alloc(shape->rooms * sizeof *d->rooms);
    d->members = rp_alloc(gathering.clients * sizeof *d->members);
    measure(d, s);
    free(d->rooms);
    free(d->members);
    free(d);
    rp_crowd_free(crowd);
}

static const char *pace(const struct rp_job_settings *s) {
    return s->slide ? "sliding" : "in bursts";
}

void rp_job_fanout(const struct rp_job_settings *s, struct rp_result *r) {
    const struct shape shape = {.event = "publish",
                                .rooms = 1,
                                .members = s->members,
                                .window = s->window,
                                .slide = s->slide};
    snprintf(r->settings, sizeof r->settings,
             "a room of %" PRIu64 ", closed loop, %" PRIu64 " under way %s", s->members, s->window,
             pace(s));
    deliver(s, &shape, r);
}

static void rooms(const struct rp_job_settings *s, bool is_volatile, struct rp_result *r) {
    const struct shape shape = {.event = is_volatile ? "volatile" : "publish",
                                .is_volatile = is_volatile,
                                .rooms = s->rooms,
                                .members = s->room_members,
                                .window = s->rooms * s->room_window,
                                .slide = s->slide};
    snprintf(r->settings, sizeof r->settings,
             "%" PRIu64 " rooms of %" PRIu64 ", closed loop, %" PRIu64 " per room under way %s",
             s->rooms, s->room_members, s->room_window, pace(s));
    deliver(s, &shape, r);
}

void rp_job_rooms(const struct rp_job_settings *s, struct rp_result *r) {
    rooms(s, false, r);
}

void rp_job_volatile(const struct rp_job_settings *s, struct rp_result *r) {
    rooms(s, true, r);
}

void rp_job_rooms_open(const struct rp_job_settings *s, struct rp_result *r) {
    const struct shape shape = {
        .event = "publish", .rooms = s->rooms, .members = s->room_members, .rate = s->rate};
    snprintf(r->settings, sizeof r->settings,
             "%" PRIu64 " rooms of %" PRIu64 ", open loop, %" PRIu64 " publishes/s", s->rooms,
             s->room_members, s->rate);
    deliver(s, &shape, r);
}
