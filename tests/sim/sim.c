/* tests/sim/sim.c — runs seeded schedules of the whole system and lets the oracle judge.
 *
 *     sim [--seed N] [--runs N] [--faults MASK] [--steps N]
 *
 * A failure prints the seed and the command that replays it. */
#include "tests/sim/world.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REST_STEPS = 300,     /* until what was under way at the end of a schedule must be done */
    RUNS_FOR_TALLY = 100, /* from here on every kind of thing must have happened */
};

struct totals {
    uint64_t records, faults, recovered, not_recovered, events;
    struct tally tally;
    struct app_tally apps;
};

/* What happened with app workers, by name. */
static const struct {
    const char *name;
    size_t offset;
    bool rare; /* it need not happen in a hundred schedules */
} app_lines[] = {
#define LINE(field, name)                                                                          \
    { name, offsetof(struct app_tally, field), false }
#define RARE(field, name)                                                                          \
    { name, offsetof(struct app_tally, field), true }
    LINE(handled, "events handled"),
    LINE(again, "again"),
    LINE(deferred, "answered later"),
    LINE(worker_lost, "refused for a lost worker"),
    RARE(unavailable, "refused for want of one"),
    LINE(tasks_repeated, "answers repeated"),
    LINE(rejected, "clients not admitted"),
    LINE(admissions_refused, "admissions refused"),
    LINE(emits_stored, "emits stored"),
    LINE(volatiles, "volatile ones"),
    LINE(acks_heard, "acks heard"),
    LINE(answers_twice, "given twice"),
    LINE(acks_ignored, "ignored"),
    LINE(replayed_again, "owed events replayed"),
    LINE(adopted, "sockets adopted"),
    LINE(recovered, "recovered"),
    LINE(released, "moved to even out"),
    LINE(kicks, "kicked"),
    LINE(kicked, "disconnects heard"),
    LINE(expired, "sessions expired"),
    LINE(told_expired, "workers told so"),
    LINE(fetched, "pages fetched"),
    LINE(sides, "events between workers"),
    LINE(kills, "workers killed"),
    LINE(hangs, "hung"),
    LINE(isolations, "cut off"),
    LINE(byes, "leaving"),
    LINE(parted, "parted"),
    LINE(workers_lost, "given up"),
    RARE(resets, "reset"),
#undef LINE
#undef RARE
};

static uint64_t *app_count(struct app_tally *t, size_t line) {
    return (uint64_t *) (void *) ((char *) t + app_lines[line].offset);
}

static void count_socket(struct totals *t, const struct stock *s) {
    t->recovered += s->recovered;
    t->not_recovered += s->not_recovered;
    t->apps.rejected += s->rejected;
    t->apps.kicked += s->kicked;
    t->apps.worker_lost += s->worker_lost;
    t->apps.unavailable += s->unavailable;
    t->tally.binary += s->binary_events;
    for (size_t i = 0; i < s->lives_count; i++) {
        t->events += s->lives[i].events_count;
        t->tally.second += s->nsp == 1 ? s->lives[i].events_count : 0;
    }
}

static void count(struct totals *t, struct world *w) {
    t->records += w->log_count;
    t->faults += w->faults_done;
    world_count(w);
    const struct tally *from = &w->tally;
    t->tally.polls += from->polls;
    t->tally.relays += from->relays;
    t->tally.relays_failed += from->relays_failed;
    t->tally.upgrades += from->upgrades;
    t->tally.upgrades_failed += from->upgrades_failed;
    t->tally.frozen += from->frozen;
    t->tally.pauses += from->pauses;
    t->tally.left += from->left;
    for (size_t i = 0; i < sizeof app_lines / sizeof *app_lines; i++) {
        *app_count(&t->apps, i) += *app_count(&w->app_tally, i);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        for (size_t k = 0; k < NAMESPACES; k++) {
            count_socket(t, &w->clients[i].stock.sockets[k]);
        }
    }
}

/* Whether everything happened that a schedule may hold, in so many of them. */
static bool print_tally(const struct tally *t) {
    const struct {
        const char *name;
        uint64_t count;
    } lines[] = {
        {"polls", t->polls},
        {"relays", t->relays},
        {"relays that failed", t->relays_failed},
        {"upgrades", t->upgrades},
        {"upgrades that failed", t->upgrades_failed},
        {"clients frozen by one", t->frozen},
        {"pauses", t->pauses},
        {"binary events seen", t->binary},
        {"events seen in the second namespace", t->second},
        {"times it was left alone", t->left},
    };
    bool all = true;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        printf("%s%llu %s", i > 0 ? ", " : "", (unsigned long long) lines[i].count, lines[i].name);
        all = all && lines[i].count > 0;
    }
    printf("\n");
    return all;
}

static bool print_apps(struct app_tally *t) {
    bool all = true;
    for (size_t i = 0; i < sizeof app_lines / sizeof *app_lines; i++) {
        printf("%s%llu %s", i > 0 ? ", " : "app workers: ", (unsigned long long) *app_count(t, i),
               app_lines[i].name);
        all = all && (*app_count(t, i) > 0 || app_lines[i].rare);
    }
    printf("\n");
    return all;
}

/* Faults while the clients act; then peace, long enough for every timeout; then the verdict. */
static const char *run(uint64_t seed, unsigned faults, unsigned steps, struct totals *totals) {
    struct world w;
    world_init(&w, seed, faults);
    for (unsigned i = 0; i < steps; i++) {
        world_step(&w);
    }
    w.faults &= FAULT_UNRECOVERED;
    w.acting = false;
    for (uint64_t until = w.now_ms + 40000; w.now_ms < until;) {
        world_step(&w);
    }
    const char *wrong = oracle_check_rest(&w);
    for (unsigned i = 0; i < REST_STEPS && wrong != NULL; i++) {
        world_step(&w);
        wrong = oracle_check_rest(&w);
    }
    const char *lasting = oracle_check(&w);
    wrong = lasting != NULL ? lasting : wrong;
    count(totals, &w);
    world_done(&w);
    return wrong;
}

/* Different mixtures find different bugs: alone, in pairs, all together. */
static unsigned mixture(uint64_t seed) {
    static const unsigned mixtures[] = {
        FAULT_ALL,
        FAULT_CUT,
        FAULT_KILL,
        FAULT_RESTART,
        FAULT_TAKEOVER,
        FAULT_STALL | FAULT_CUT,
        FAULT_CUT | FAULT_RESTART,
        FAULT_ALL & ~(unsigned) FAULT_UNRECOVERED,
        FAULT_ALL & ~(unsigned) (FAULT_UNRECOVERED | FAULT_REFUSE),
        FAULT_TRIM | FAULT_CUT | FAULT_STALL,
        FAULT_FORGET | FAULT_CUT | FAULT_RESTART,
        FAULT_WORKER,
        FAULT_BYE | FAULT_CUT,
        FAULT_WORKER | FAULT_RESTART,
        FAULT_WORKER | FAULT_BYE | FAULT_KILL | FAULT_TAKEOVER,
        FAULT_EXPIRE | FAULT_CUT | FAULT_BYE,
    };
    return mixtures[seed % (sizeof mixtures / sizeof mixtures[0])];
}

static uint64_t argument(int argc, char **argv, const char *name, uint64_t otherwise) {
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            return strtoull(argv[i + 1], NULL, 0);
        }
    }
    return otherwise;
}

int main(int argc, char **argv) {
    uint64_t seed = argument(argc, argv, "--seed", 1), runs = argument(argc, argv, "--runs", 1);
    uint64_t mask = argument(argc, argv, "--faults", 0),
             steps = argument(argc, argv, "--steps", 1500);
    struct totals totals = {0};
    for (uint64_t i = 0; i < runs; i++) {
        unsigned faults = mask > 0 ? (unsigned) mask : mixture(seed + i);
        const char *wrong = run(seed + i, faults, (unsigned) steps, &totals);
        if (wrong != NULL) {
            printf("seed %llu: %s\nreplay: sim --seed %llu --faults %u --steps %llu\n",
                   (unsigned long long) (seed + i), wrong, (unsigned long long) (seed + i), faults,
                   (unsigned long long) steps);
            return 1;
        }
    }
    printf(
        "%llu schedules: %llu records, %llu faults, %llu recovered, %llu not, %llu events seen\n",
        (unsigned long long) runs, (unsigned long long) totals.records,
        (unsigned long long) totals.faults, (unsigned long long) totals.recovered,
        (unsigned long long) totals.not_recovered, (unsigned long long) totals.events);
    bool all = print_tally(&totals.tally);
    all = print_apps(&totals.apps) && all;
    if (!all && mask == 0 && runs >= RUNS_FOR_TALLY) {
        printf("something of these never happened\n");
        return 1;
    }
    return 0;
}
