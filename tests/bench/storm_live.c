#include "tests/bench/storm_live.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "tests/bench/message.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROOMS = 50, MEMBERS = 4, RATE = 500, WAIT_MS = 100, DRAIN_MS = 10000 };

/* Written by the child but for the phase. */
struct shared {
    atomic_int phase;
    atomic_bool ready;
    struct rp_result result;
    struct rp_histogram latency[RP_STORM_PHASES];
};

struct rp_storm_live {
    pid_t pid;
    struct shared *shared;
};

/* ---- the child ---- */

struct live {
    struct shared *shared;
    struct rp_crowd *crowd;
    uint64_t began_ns, publishes, under_way;
    uint64_t published[ROOMS];
    uint64_t newest[ROOMS * MEMBERS];
};

static void publish(struct live *l, uint64_t due_ns) {
    size_t room = l->publishes++ % ROOMS;
    const struct rp_message m = {.n = ++l->published[room], .sent_ns = due_ns};
    struct rp_job_text text;
    rp_crowd_send(l->crowd, room * MEMBERS, RP_BYTES_LIT("42"),
                  rp_job_publish_text(&text, "publish", "bench", room, &m));
    l->under_way += MEMBERS;
}

static void on_event(struct live *l, const struct rp_crowd_event *event, int phase) {
    struct rp_message m;
    uint64_t *newest = &l->newest[event->client];
    if (!rp_message_read(event->payload, &m) || m.n != *newest + 1) {
        rp_result_fail(&l->shared->result, "live client %zu got %" PRIu64 " after %" PRIu64,
                       event->client, m.n, *newest);
        return;
    }
    *newest = m.n;
    l->under_way--;
    rp_histogram_add(&l->shared->latency[phase],
                     event->at_ns > m.sent_ns ? event->at_ns - m.sent_ns : 0);
}

static void take_all(struct live *l, int phase) {
    struct rp_crowd_event event;
    while (rp_result_is_fine(&l->shared->result) && rp_crowd_next(l->crowd, &event)) {
        if (event.what == RP_CROWD_EVENT) {
            on_event(l, &event, phase);
        } else if (event.what == RP_CROWD_CLOSED) {
            rp_job_fail_closed(&event, &l->shared->result);
        }
    }
}

static uint64_t due_ns(const struct live *l) {
    return l->began_ns + l->publishes * (1000000000u / RATE);
}

static void work(struct live *l) {
    int phase;
    l->began_ns = rp_crowd_now_ns();
    while (rp_result_is_fine(&l->shared->result) &&
           (phase = atomic_load(&l->shared->phase)) != RP_STORM_END) {
        while (due_ns(l) <= rp_crowd_now_ns()) {
            publish(l, due_ns(l));
        }
        rp_crowd_wait(l->crowd, due_ns(l));
        take_all(l, phase);
    }
    uint64_t end_ns = rp_crowd_now_ns() + DRAIN_MS * (uint64_t) RP_JOB_MS_NS;
    while (l->under_way > 0 && rp_result_is_fine(&l->shared->result)) {
        rp_crowd_wait(l->crowd, rp_crowd_now_ns() + WAIT_MS * (uint64_t) RP_JOB_MS_NS);
        take_all(l, RP_STORM_SETUP);
        if (rp_crowd_now_ns() > end_ns) {
            rp_result_fail(&l->shared->result, "%" PRIu64 " live deliveries are lost",
                           l->under_way);
        }
    }
}

static void live_main(const struct rp_job_settings *s, size_t gateway, struct shared *shared) {
    struct rp_job_settings own = *s;
    own.gateways.addresses[0] = s->gateways.addresses[gateway];
    own.gateways.count = 1;
    const struct rp_job_gathering gathering = {.clients = ROOMS * MEMBERS, .room_members = MEMBERS};
    struct live *l = RP_NEW(struct live);
    l->shared = shared;
    l->crowd = rp_job_gather(&own, &gathering, &shared->result);
    if (l->crowd != NULL) {
        atomic_store(&shared->ready, true);
        work(l);
        rp_crowd_free(l->crowd);
    }
    free(l);
}

/* ---- the parent ---- */

static void live_free(struct rp_storm_live *live) {
    munmap(live->shared, sizeof *live->shared);
    free(live);
}

static void copy_failure(const struct rp_storm_live *live, struct rp_result *r) {
    if (!rp_result_is_fine(&live->shared->result)) {
        rp_result_fail(r, "%s", live->shared->result.failure);
    }
}

struct rp_storm_live *rp_storm_live_start(const struct rp_job_settings *s, size_t gateway,
                                          struct rp_result *r) {
    struct rp_storm_live *live = RP_NEW(struct rp_storm_live);
    live->shared =
        mmap(NULL, sizeof *live->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    RP_ASSERT(live->shared != MAP_FAILED);
    live->pid = fork();
    RP_ASSERT(live->pid >= 0);
    if (live->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        live_main(s, gateway, live->shared);
        _exit(0);
    }
    while (!atomic_load(&live->shared->ready)) {
        if (waitpid(live->pid, NULL, WNOHANG) == live->pid) {
            copy_failure(live, r);
            rp_result_fail(r, "the live traffic did not begin");
            live_free(live);
            return NULL;
        }
        usleep(1000);
    }
    return live;
}

void rp_storm_live_phase(struct rp_storm_live *live, enum rp_storm_phase phase) {
    atomic_store(&live->shared->phase, (int) phase);
}

void rp_storm_live_stop(struct rp_storm_live *live, struct rp_result *r) {
    rp_storm_live_phase(live, RP_STORM_END);
    int status;
    pid_t pid = waitpid(live->pid, &status, 0);
    copy_failure(live, r);
    if (pid != live->pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        rp_result_fail(r, "the live traffic ended by itself");
    }
    const struct rp_histogram *before = &live->shared->latency[RP_STORM_BEFORE],
                              *during = &live->shared->latency[RP_STORM_DURING];
    rp_result_put_times(r, "live_before", before);
    rp_result_put_times(r, "live_during", during);
    uint64_t usual = rp_histogram_quantile(before, 0.99);
    rp_result_put(r, usual > 0 ? (double) rp_histogram_quantile(during, 0.99) / (double) usual : 0,
                  "live_p99_ratio");
    live_free(live);
}
