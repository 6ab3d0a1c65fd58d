/* tests/sim/worker.c — app workers as processes: they come, link, are killed, hang, lose their
 * links, say goodbye. What their handlers do is in handler.c. */
#include "tests/sim/world.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/limits.h"

#include <stdlib.h>

enum { STALE_MS = 3500 }; /* who slept longer may have been given up before it woke */

static struct birth *birth_of(struct world *w, const struct app_worker *worker) {
    return &w->apps.births[worker->birth];
}

/* ---- life ---- */

static void serve(struct rp_worker *core, unsigned nsp, uint64_t flags) {
    struct rp_worker_served *served =
        rp_worker_serve(core, rp_bytes_str(stock_nsp_name(nsp)), flags);
    RP_ASSERT(served != NULL);
}

static void start(struct world *w, struct app_worker *worker) {
    struct rp_worker_config config = {
        .name = "app", .link_credit_bytes = 6000, .random = world_random, .random_ctx = w};
    struct apps *apps = &w->apps;
    worker->core = rp_worker_new(&config);
    worker->leaving = worker->stale = false;
    worker->hung_until_ms = worker->isolated_until_ms = worker->bye_ms = 0;
    worker->birth = (unsigned) apps->births_count;
    apps->births = rp_array_reserve(apps->births, apps->births_count, &apps->births_capacity,
                                    sizeof(struct birth));
    apps->births[apps->births_count++] = (struct birth){.alive = true};
    serve(worker->core, FIRST_APP, 0);
    serve(worker->core, DURABLE_APP, RP_OP_DURABLE | RP_OP_ROOMS_ON | RP_OP_ROOMS_ASK);
}

static void count_worker(struct world *w, struct app_worker *worker) {
    struct rp_worker_stats stats;
    rp_worker_stats(worker->core, &stats);
    w->tally.tasks_repeated += stats.tasks_repeated;
    w->tally.resets += stats.resets;
}

void workers_count(struct world *w) {
    for (unsigned i = 0; i < WORKERS; i++) {
        if (w->apps.workers[i].core != NULL) {
            count_worker(w, &w->apps.workers[i]);
        }
    }
}

/* The process is gone, in whatever way. */
static void die(struct world *w, struct app_worker *worker) {
    count_worker(w, worker);
    worker->core = rp_worker_free(worker->core);
    for (size_t i = 0; i < worker->deferred_count; i++) {
        struct rp_op_decided late = {.verdict = RP_OP_YES};
        rp_worker_decide(worker->deferred[i].task, &late);
        rp_worker_task_release(worker->deferred[i].task);
    }
    worker->deferred_count = 0;
    link_renew(&worker->link, 0);
    birth_of(w, worker)->alive = false;
    birth_of(w, worker)->troubles++;
    worker->restart_at_ms = w->now_ms + below(w, chance(w, 300) ? 3000 : 300) +
                            (w->profile.dark ? RP_TASK_WAIT_MS + 3000 : 0);
}

void workers_init(struct world *w, unsigned count) {
    for (unsigned i = 0; i < WORKERS; i++) {
        struct app_worker *worker = &w->apps.workers[i];
        link_init(&worker->link);
        worker->restart_at_ms = i < count ? w->now_ms + below(w, i == 0 ? 50 : 1500) : UINT64_MAX;
    }
}

void workers_done(struct world *w) {
    struct apps *apps = &w->apps;
    for (unsigned i = 0; i < WORKERS; i++) {
        if (apps->workers[i].core != NULL) {
            die(w, &apps->workers[i]);
        }
        free(apps->workers[i].deferred);
    }
    for (size_t i = 0; i < apps->emits_count; i++) {
        free(apps->emits[i].heard);
    }
    free(apps->births);
    free(apps->expired);
    free(apps->events);
    free(apps->handlings);
    free(apps->emits);
}

/* ---- links ---- */

void workers_broker_died(struct world *w) {
    for (unsigned i = 0; i < WORKERS; i++) {
        struct app_worker *worker = &w->apps.workers[i];
        link_renew(&worker->link, 0);
        if (worker->core != NULL) {
            birth_of(w, worker)->troubles++;
            if (!chance(w, 300)) {
                rp_worker_lost(worker->core, w->now_ms);
            } /* else it finds out by silence */
        }
    }
}

void workers_broker_parted(struct world *w) {
    for (unsigned i = 0; i < WORKERS; i++) {
        struct app_worker *worker = &w->apps.workers[i];
        link_close(&worker->link);
        if (worker->core != NULL) {
            birth_of(w, worker)->troubles++;
        }
    }
}

static void need_link(struct world *w, struct app_worker *worker) {
    enum rp_worker_need need;
    while ((need = rp_worker_need(worker->core, w->now_ms)) == RP_WORKER_NEED_CLOSE ||
           (need == RP_WORKER_NEED_OPEN && w->broker.core != NULL &&
            w->now_ms >= worker->isolated_until_ms)) {
        link_renew(&worker->link, 0);
        if (need == RP_WORKER_NEED_OPEN) {
            link_renew(&worker->link, w->next_link_id++);
            rp_worker_opened(worker->core, w->now_ms);
            world_trace(w, "worker %u opens link %llu", worker->birth,
                        (unsigned long long) worker->link.id);
        }
    }
}

static void pull(struct world *w, struct app_worker *worker) {
    struct rp_worker_happening h;
    while (rp_worker_next(worker->core, &h)) {
        handler_run(w, worker, &h);
    }
    struct rp_worker_stats stats;
    rp_worker_stats(worker->core, &stats);
    birth_of(w, worker)->resets = stats.resets;
}

static void receive(struct world *w, struct app_worker *worker) {
    struct packet *p;
    while ((p = link_take(w, &worker->link, false)) != NULL) {
        rp_worker_feed(worker->core, rp_buf_bytes(&p->bytes), w->now_ms);
        pull(w, worker);
        packet_free(p);
    }
    if (link_is_over(w, &worker->link)) {
        struct rp_worker_stats stats;
        rp_worker_stats(worker->core, &stats);
        if (worker->link.told && stats.linked) {
            w->problem = "a worker believes in a broker that has said goodbye";
        }
        rp_worker_lost(worker->core, w->now_ms);
        link_renew(&worker->link, 0);
    }
    worker->stale = worker->stale && !rp_list_is_empty(&worker->link.from_broker);
    rp_worker_turn(worker->core, w->now_ms);
    pull(w, worker);
}

static void send_all(struct world *w, struct app_worker *worker) {
    struct rp_buf message;
    while (rp_worker_take(worker->core, w->now_ms, &message)) {
        link_put(w, &worker->link, true, message);
    }
}

/* Goodbye, once nothing is under way, or when that takes too long. */
static void leave(struct world *w, struct app_worker *worker) {
    if (worker->bye_ms == 0 && (rp_worker_is_idle(worker->core) || chance(w, 20))) {
        rp_worker_bye(worker->core);
        birth_of(w, worker)->troubles++;
        worker->bye_ms = w->now_ms;
    } else if (rp_worker_is_parted(worker->core)) {
        w->tally.parted++;
        die(w, worker);
    } else if (worker->bye_ms > 0 && w->now_ms >= worker->bye_ms + RP_LINK_BYE_MS) {
        die(w, worker);
    }
}

static void run(struct world *w, struct app_worker *worker) {
    need_link(w, worker);
    receive(w, worker);
    handler_answer_due(w, worker);
    send_all(w, worker);
    if (worker->leaving) {
        leave(w, worker);
    }
}

void workers_run(struct world *w) {
    for (unsigned i = 0; i < WORKERS; i++) {
        struct app_worker *worker = &w->apps.workers[i];
        if (worker->core == NULL && w->now_ms >= worker->restart_at_ms) {
            start(w, worker);
        }
        if (worker->core != NULL && w->now_ms >= worker->hung_until_ms) {
            run(w, worker);
        }
        if (worker->core != NULL) {
            link_deliver(w, &worker->link);
        }
    }
}

/* ---- faults ---- */

static struct app_worker *any_alive(struct world *w) {
    struct app_worker *worker = &w->apps.workers[below(w, w->profile.workers)];
    return worker->core != NULL ? worker : NULL;
}

static void hang(struct world *w, struct app_worker *worker) {
    uint64_t hang_ms = below(w, chance(w, 300) ? 9000 : 1000);
    worker->hung_until_ms = w->now_ms + hang_ms;
    worker->stale = worker->stale || hang_ms >= STALE_MS;
    w->tally.hangs++;
}

static void isolate(struct world *w, struct app_worker *worker) {
    worker->isolated_until_ms = w->now_ms + (chance(w, 500) ? below(w, 200) : below(w, 3000));
    link_cut(&worker->link);
    if (chance(w, 700)) {
        rp_worker_lost(worker->core, w->now_ms);
        worker->link.id = 0;
    }
    w->tally.isolations++;
}

void worker_fault(struct world *w) {
    struct app_worker *worker = any_alive(w);
    if (worker == NULL) {
        return;
    }
    birth_of(w, worker)->troubles++;
    uint64_t what = below(w, 3);
    if (what == 0) {
        w->tally.worker_kills++;
        die(w, worker);
    } else if (what == 1) {
        hang(w, worker);
    } else {
        isolate(w, worker);
    }
}

void worker_leave(struct world *w) {
    struct app_worker *worker = any_alive(w);
    if (worker != NULL && !worker->leaving) {
        worker->leaving = true;
        w->tally.byes++;
    }
}
