/* tests/sim/sim.c — runs seeded schedules of the whole system and lets the oracle judge.
 *
 *     sim [--seed N] [--runs N] [--faults MASK] [--steps N]
 *
 * A failure prints the seed and the command that replays it. */
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct totals {
    uint64_t records, faults, recovered, not_recovered, events;
};

static void count(struct totals *t, const struct world *w) {
    t->records += w->log_count;
    t->faults += w->faults_done;
    for (size_t i = 0; i < CLIENTS; i++) {
        const struct stock *s = &w->clients[i].stock;
        t->recovered += s->recovered;
        t->not_recovered += s->not_recovered;
        for (size_t k = 0; k < s->lives_count; k++) {
            t->events += s->lives[k].events_count;
        }
    }
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
    const char *wrong = oracle_check(&w);
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
    return 0;
}
