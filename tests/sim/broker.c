/* tests/sim/broker.c — the broker's process, and its disk: what is committed, read and removed, and
 * when; how it dies, and what it finds when it comes back. */
#include "tests/sim/world.h"

#include "broker/memory_store.h"
#include "common/alloc.h"
#include "common/assert.h"

#include <stdlib.h>

enum { STOP_MS_MAX = 4000 }; /* as of its shell */

struct rp_now broker_now(const struct world *w) {
    return (struct rp_now){.mono_ms = w->now_ms, .wall_ms = w->wall_ms + w->now_ms};
}

bool broker_is_awake(const struct world *w) {
    return w->broker.core != NULL && w->now_ms >= w->broker.hung_until_ms;
}

/* ---- what the oracle is told of the log ---- */

static void trace_record(const struct world *w, const struct rp_record *r) {
    static const char *const kinds[] = {"nothing", "EVENT", "OPEN",  "RESUME", "CLOSE",
                                        "END",     "JOIN",  "LEAVE", "GONE",   "ACK",
                                        "MOVE",    "KICK",  "DATA",  "SERVE"};
    world_trace(w, "commit %llu: %s session %llu conn %llu room %.*s aux %llu args %.*s num %llu",
                (unsigned long long) r->seq, kinds[r->f.kind], (unsigned long long) r->f.session,
                (unsigned long long) r->f.conn, (int) r->f.room.len, (const char *) r->f.room.data,
                (unsigned long long) r->f.aux, r->f.args.len < 40 ? (int) r->f.args.len : 40,
                (const char *) r->f.args.data, (unsigned long long) r->f.num);
}

/* Its own copy of what has been committed. */
static void note_records(struct world *w) {
    size_t count;
    struct rp_record *const *log = rp_memory_store_log(w->store, &count);
    struct era *era = &w->now;
    uint64_t last = era->log_count > 0 ? era->log[era->log_count - 1]->seq : 0;
    size_t from = count;
    while (from > 0 && log[from - 1]->seq > last) {
        from--;
    }
    for (; from < count; from++) {
        struct rp_record *r = log[from];
        era->log = rp_array_reserve(era->log, era->log_count, &era->log_capacity,
                                    sizeof(struct rp_record *));
        era->log[era->log_count++] = rp_record_ref(r);
        w->tally.across_restarts += r->f.kind == RP_RECORD_RESUME &&
                                    r->f.aux < w->broker.born_head && w->broker.born_head > 0;
        w->tally.forgotten += r->f.kind == RP_RECORD_LEAVE && r->f.aux > 0;
        trace_record(w, r);
    }
}

static void note_border(struct world *w, const struct rp_memory_trimmed *t) {
    w->borders =
        rp_array_reserve(w->borders, w->borders_count, &w->borders_capacity, sizeof *w->borders);
    w->borders[w->borders_count++] = (struct border){.era = (unsigned) w->past_count,
                                                     .logged = w->now.log_count,
                                                     .of_whole = t->last->seq < w->store->first_seq,
                                                     .last = rp_record_ref(t->last),
                                                     .room = t->room};
    world_trace(w, "border of %.*s %.*s is %llu", (int) t->last->f.nsp.len,
                (const char *) t->last->f.nsp.data, (int) t->room.len, (const char *) t->room.data,
                (unsigned long long) t->last->seq);
}

static void note_borders(struct world *w) {
    for (size_t i = 0; i < w->store->trimmed_count; i++) {
        const struct rp_memory_trimmed *t = &w->store->trimmed[i];
        if (i == w->known_borders_count) {
            w->known_borders =
                rp_array_reserve(w->known_borders, i, &w->known_borders_capacity, sizeof(uint64_t));
            w->known_borders[w->known_borders_count++] = 0;
        }
        if (t->last->seq > w->known_borders[i]) {
            w->known_borders[i] = t->last->seq;
            w->tally.borders++;
            note_border(w, t);
        }
    }
}

static void note_log(struct world *w) {
    note_records(w);
    note_borders(w);
}

/* ---- life ---- */

static void start(struct world *w) {
    struct broker *b = &w->broker;
    const struct profile *p = &w->profile;
    struct rp_core_config config = {.session_ttl_ms = p->session_ttl_ms,
                                    .gateway_timeout_ms = 4000,
                                    .worker_timeout_ms = 1000,
                                    .retention_ms = p->retention_ms,
                                    .tail_records_max = p->tail_records_max,
                                    .tail_bytes_max = TAIL_BYTES_MAX,
                                    .link_credit_bytes = LINK_CREDIT_BYTES,
                                    .page_bytes = PAGE_BYTES,
                                    .page_events = 8,
                                    .share_bytes = p->share_bytes,
                                    .intervals_max = w->faults_allowed & FAULT_FORGET ? 6 : 4000,
                                    .hash_key = {1, 2},
                                    .random = world_random,
                                    .random_ctx = w};
    enum rp_err err = rp_retention_new(&p->whole, p->rules, &b->retention);
    RP_ASSERT(err == RP_OK);
    b->queue_max = 20 + below(w, 500);
    b->engine = rp_engine_memory_open(w->store, b->queue_max);
    rp_engine_memory_retain(b->engine, b->retention);
    err = rp_core_new(&config, b->engine, broker_now(w), &b->core);
    RP_ASSERT(err == RP_OK);
    b->born_head = b->engine->last_seq;
    b->first = b->engine->first_seq;
    b->hung_until_ms = b->stopping_since_ms = 0;
    world_trace(w, "the broker starts at %llu, epoch %s", (unsigned long long) b->born_head,
                b->engine->epoch);
}

void broker_count(struct world *w) {
    if (w->broker.core == NULL) {
        return;
    }
    const struct rp_core_stats *stats = rp_core_stats(w->broker.core);
    struct tally *t = &w->tally;
    t->takeovers += stats->takeovers;
    t->replay_pages += stats->replay_pages;
    t->reads += stats->reads;
    t->shared += stats->shared_hits;
    t->shared_evictions += stats->shared_evictions;
    t->evicted += stats->evicted;
    t->expired += stats->sessions_expired;
    t->links_behind += stats->links_behind;
    t->links_reset += stats->links_reset;
    t->gateways_gone += stats->gateways_gone;
    t->gateways_left += stats->gateways_left;
    t->requests_resent += stats->requests_resent;
    t->workers_lost += stats->workers_lost;
    t->sockets_moved += stats->sockets_moved;
    t->disowned += stats->disowned;
    t->admissions_refused += stats->admissions_refused;
    t->acks_ignored += stats->acks_ignored;
    t->replayed_again += stats->replayed_again;
    t->volatiles += stats->emits_volatile;
}

/* The process is gone, whatever is under way. */
static void end(struct world *w) {
    struct broker *b = &w->broker;
    broker_count(w);
    b->core = rp_core_free(b->core);
    b->engine->ops->close(b->engine);
    b->engine = NULL;
    b->retention = rp_retention_free(b->retention);
}

void broker_kill(struct world *w, uint64_t away_ms_max) {
    size_t before = w->now.log_count;
    if (chance(w, 500)) { /* the disk was faster than the process */
        rp_engine_memory_work(w->broker.engine, RP_MEMORY_COMMIT, below(w, 30));
    }
    if (chance(w, 500)) {
        rp_engine_memory_work(w->broker.engine, RP_MEMORY_TRIM, 1);
    }
    note_log(w);
    w->tally.untold += w->now.log_count > before;
    w->tally.mid_trim += rp_memory_store_has_lost(w->store);
    end(w);
    gateways_broker_died(w);
    workers_broker_died(w);
    w->broker.restart_at_ms = w->now_ms + below(w, away_ms_max);
    world_trace(w, "the broker is gone");
}

/* The log goes back to where the copy was made, and on from there. */
static void begin_era(struct world *w) {
    uint64_t last = w->store->next_seq - 1;
    struct era begun = {0};
    for (size_t i = 0; i < w->now.log_count && w->now.log[i]->seq <= last; i++) {
        begun.log = rp_array_reserve(begun.log, begun.log_count, &begun.log_capacity,
                                     sizeof(struct rp_record *));
        begun.log[begun.log_count++] = rp_record_ref(w->now.log[i]);
    }
    begun.inherited = begun.log_count;
    w->past = rp_array_reserve(w->past, w->past_count, &w->past_capacity, sizeof(struct era));
    w->past[w->past_count++] = w->now;
    memcpy(begun.epoch, w->store->epoch, sizeof begun.epoch);
    w->now = begun;
    w->known_borders_count = 0;
    note_borders(w);
}

void broker_restore(struct world *w) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    char epoch[RP_EPOCH_LEN + 1] = {0};
    for (size_t i = 0; i < RP_EPOCH_LEN; i++) {
        epoch[i] = letters[below(w, sizeof letters - 1)];
    }
    if (w->broker.core != NULL) {
        broker_kill(w, 2000);
    }
    rp_memory_store_free(w->store);
    w->store = rp_memory_store_copy(w->copy);
    rp_memory_store_renew(w->store, epoch);
    begin_era(w);
    w->tally.epochs++;
    world_trace(w, "the log is put back to %llu, with the epoch %s",
                (unsigned long long) w->store->next_seq - 1, epoch);
}

void broker_init(struct world *w) {
    w->store = rp_memory_store_new("simepoch");
    memcpy(w->now.epoch, w->store->epoch, sizeof w->now.epoch);
    start(w);
}

static void era_done(struct era *era) {
    for (size_t i = 0; i < era->log_count; i++) {
        rp_record_unref(era->log[i]);
    }
    free(era->log);
}

void broker_done(struct world *w) {
    if (w->broker.core != NULL) {
        end(w);
    }
    era_done(&w->now);
    for (size_t i = 0; i < w->past_count; i++) {
        era_done(&w->past[i]);
    }
    for (size_t i = 0; i < w->borders_count; i++) {
        rp_record_unref(w->borders[i].last);
    }
    free(w->past);
    free(w->borders);
    free(w->jumps);
    free(w->known_borders);
    rp_memory_store_free(w->store);
    if (w->copy != NULL) {
        rp_memory_store_free(w->copy);
    }
}

/* ---- a turn ---- */

/* The disk does some of what it was asked. Reads see something now and give it later, and are
 * overtaken by commits. */
static void run_disk(struct world *w) {
    struct rp_engine *e = w->broker.engine;
    bool slow = w->faults & FAULT_SLOW;
    if (!w->acting) { /* in peace it is as fast as disks are */
        rp_engine_memory_step(e, 1000);
        return;
    }
    if (w->now_ms < w->broker.disk_busy_until_ms) {
        return;
    }
    rp_engine_memory_work(e, RP_MEMORY_COMMIT, below(w, slow ? 8 : 30));
    if (chance(w, slow ? 100 : 700)) {
        rp_engine_memory_work(e, RP_MEMORY_LOOK, below(w, 8));
    }
    if (chance(w, slow ? 30 : 700)) {
        rp_engine_memory_work(e, RP_MEMORY_PAGE, below(w, slow ? 2 : 8));
    }
    if (chance(w, slow ? 30 : 300)) {
        rp_engine_memory_work(e, RP_MEMORY_TRIM, 1);
    }
    if (chance(w, slow ? 30 : 10)) {
        w->tally.slow_disks++;
        w->broker.disk_busy_until_ms = w->now_ms + below(w, slow ? 1500 : 600);
    }
}

static struct link *link_of(struct world *w, uint64_t link_id) {
    for (size_t i = 0; i < WORKERS; i++) {
        if (w->apps.workers[i].core != NULL && w->apps.workers[i].link.id == link_id) {
            return &w->apps.workers[i].link;
        }
    }
    for (size_t i = 0; i < GATEWAYS; i++) {
        if (w->gateways[i].core != NULL && w->gateways[i].link.id == link_id) {
            return &w->gateways[i].link;
        }
    }
    return NULL;
}

/* How many messages that were. */
static size_t send_all(struct world *w, bool is_goodbye) {
    uint64_t link_id, count = 0;
    struct rp_buf message;
    while (rp_core_take(w->broker.core, broker_now(w), &link_id, &message)) {
        struct link *link = link_of(w, link_id);
        if (link == NULL) {
            rp_buf_done(&message);
            rp_core_link_lost(w->broker.core, link_id, broker_now(w));
        } else {
            link_put(w, link, false, message);
            link->told = is_goodbye;
        }
        count++;
    }
    return count;
}

/* All is committed and answered, or that takes too long: the last word on every link, which is
 * still on its way when the process is gone. */
static void part(struct world *w, bool settled) {
    struct broker *b = &w->broker;
    const struct rp_core_stats *stats = rp_core_stats(b->core);
    uint64_t links = stats->gateways + stats->workers;
    if (settled && rp_engine_memory_work(b->engine, RP_MEMORY_COMMIT, 1) > 0) {
        w->problem = "a broker has stopped with something undecided";
    }
    note_log(w);
    send_all(w, false);
    rp_core_goodbye(b->core, broker_now(w));
    if (send_all(w, true) != links) {
        w->problem = "a broker has stopped without goodbye to each, once";
    }
    w->tally.goodbyes += links;
    w->tally.stops_hasty += !settled;
    end(w);
    gateways_broker_parted(w);
    workers_broker_parted(w);
    b->restart_at_ms = w->now_ms + below(w, 2000);
    world_trace(w, "the broker has stopped");
}

static void run_core(struct world *w) {
    struct rp_core *core = w->broker.core;
    while (rp_core_turn(core, broker_now(w))) {
    }
    w->tally.beginnings += rp_core_stats(core)->first > w->broker.first;
    w->broker.first = rp_core_stats(core)->first;
    send_all(w, false);
    if (rp_core_failure(core) != RP_OK) {
        w->tally.fatal_stops++;
        world_trace(w, "the broker stops: %s", rp_strerror(rp_core_failure(core)));
        broker_kill(w, 1500);
    } else if (w->broker.stopping_since_ms > 0) {
        bool settled = rp_core_is_settled(core);
        if (settled || w->now_ms >= w->broker.stopping_since_ms + STOP_MS_MAX) {
            part(w, settled);
        }
    }
}

void broker_stop(struct world *w) {
    w->broker.stopping_since_ms = w->now_ms;
}

void broker_run(struct world *w) {
    if (w->broker.core == NULL && w->now_ms >= w->broker.restart_at_ms) {
        start(w);
    } else if (w->broker.core != NULL) {
        run_disk(w);
        note_log(w);
        if (broker_is_awake(w)) {
            run_core(w);
        }
    }
}
