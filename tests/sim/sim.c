/* tests/sim/sim.c — runs seeded schedules of the whole system and lets the oracle judge; README.md
 * says how to use it. A failure's last line has the seed, what was promised and not kept, and the
 * command that replays it. */
#include "tests/sim/oracle.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    STEPS = 1500,          /* in which things go wrong, unless --steps says otherwise */
    PEACE_MS = 33000,      /* longer than every timeout */
    QUESTIONS_MS = 7000,   /* in which all is asked, and may make clients too slow, and come back */
    REST_STEPS = 300,      /* until what was under way at the end of a schedule must be done */
    RUNS_FOR_TALLY = 1000, /* from here on every kind of thing must have happened */
    PROGRESS_S = 60,       /* between two lines that say how far it is */
};

struct options {
    uint64_t seed, runs, seconds, faults, steps;
    bool seeded, trace;
};

struct totals {
    uint64_t schedules, records, faults, events;
    struct tally tally;
};

/* ---- counting ---- */

static void count_socket(struct totals *t, const struct stock *s) {
    struct tally *tally = &t->tally;
    tally->recovered += s->recovered;
    tally->not_recovered += s->not_recovered;
    tally->rejected += s->rejected;
    tally->kicked += s->kicked;
    tally->worker_lost += s->worker_lost;
    tally->unavailable += s->unavailable;
    tally->binary += s->binary_events;
    for (size_t i = 0; i < s->lives_count; i++) {
        t->events += s->lives[i].events_count;
        tally->second += s->nsp == 1 ? s->lives[i].events_count : 0;
    }
}

static void count(struct totals *t, struct world *w) {
    t->schedules++;
    t->records += w->now.log_count;
    t->faults += w->faults_done;
    world_count(w);
    oracle_count(w, &w->tally);
    tally_add(&t->tally, &w->tally);
    for (size_t i = 0; i < CLIENTS; i++) {
        for (size_t k = 0; k < NAMESPACES; k++) {
            count_socket(t, &w->clients[i].stock.sockets[k]);
        }
    }
}

/* ---- a schedule ---- */

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
        FAULT_ALL & ~(unsigned) FAULTS_LASTING,
        FAULT_ALL & ~(unsigned) (FAULTS_LASTING | FAULT_REFUSE | FAULT_CLOCK),
        FAULT_TRIM | FAULT_CUT | FAULT_STALL,
        FAULT_FORGET | FAULT_CUT | FAULT_RESTART,
        FAULT_WORKER,
        FAULT_BYE | FAULT_CUT,
        FAULT_WORKER | FAULT_RESTART,
        FAULT_WORKER | FAULT_BYE | FAULT_KILL | FAULT_TAKEOVER,
        FAULT_EXPIRE | FAULT_CUT | FAULT_BYE,
        FAULT_TRIM | FAULT_CUT | FAULT_SLOW,
        FAULT_TRIM | FAULT_RESTART | FAULT_CUT,
        FAULT_TRIM | FAULT_KILL | FAULT_TAKEOVER | FAULT_FATAL,
        FAULT_TRIM | FAULT_CLOCK | FAULT_CUT,
        FAULT_PARTITION,
        FAULT_PARTITION | FAULT_CUT | FAULT_TAKEOVER,
        FAULT_HANG,
        FAULT_HANG | FAULT_PARTITION | FAULT_WORKER,
        FAULT_SLOW | FAULT_CUT | FAULT_TAKEOVER,
        FAULT_FATAL | FAULT_REFUSE | FAULT_CUT,
        FAULT_CLOCK | FAULT_CUT | FAULT_RESTART | FAULT_WORKER,
        FAULT_RESTORE | FAULT_CUT,
        FAULT_RESTORE | FAULT_PARTITION | FAULT_KILL | FAULT_TRIM,
        FAULT_REFUSE | FAULT_CUT | FAULT_RESTART,
        FAULT_STOP,
        FAULT_STOP | FAULT_CUT | FAULT_SLOW,
        FAULT_STOP | FAULT_HANG | FAULT_BYE | FAULT_PARTITION,
        FAULT_STALL | FAULT_TRIM | FAULT_SLOW | FAULT_TAKEOVER,
    };
    return mixtures[seed % (sizeof mixtures / sizeof mixtures[0])];
}

static void rest(struct world *w, uint64_t ms) {
    for (uint64_t until = w->now_ms + ms; w->now_ms < until && w->problem == NULL;) {
        world_step(w, 5);
    }
}

/* Faults while the clients act; then peace, long enough for every timeout; then the verdict. */
static const char *live(struct world *w, unsigned steps) {
    for (unsigned i = 0; i < steps && w->problem == NULL; i++) {
        world_step(w, 5);
        w->problem = w->problem == NULL && i % 8 == 0 ? oracle_watch(w) : w->problem;
    }
    w->faults &= FAULTS_LASTING;
    w->acting = false;
    world_trace(w, "peace");
    rest(w, PEACE_MS);
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_ask_all(w, &w->clients[i]);
    }
    rest(w, QUESTIONS_MS);
    w->problem = w->problem == NULL ? oracle_watch(w) : w->problem;
    if (w->problem != NULL) {
        return w->problem;
    }
    const char *wrong = oracle_check_rest(w);
    for (unsigned i = 0; i < REST_STEPS && wrong != NULL; i++) {
        world_step(w, 5);
        wrong = oracle_check_rest(w);
    }
    const char *lasting = oracle_check(w);
    return lasting != NULL ? lasting : wrong;
}

/* ---- what is said when the process is not there to judge ---- */

static char last_words[256];

static void say_last_words(void) {
    ssize_t ignored = write(STDOUT_FILENO, last_words, strlen(last_words));
    (void) ignored;
}

static void on_abort(int signal_number) {
    say_last_words();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* Of builds with sanitizers; NULL in others. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void prepare_last_words(void) {
    signal(SIGABRT, on_abort);
    if (__sanitizer_set_death_callback != NULL) {
        __sanitizer_set_death_callback(say_last_words);
    }
}

/* False: a guarantee was broken, which has been printed. */
static bool run(const struct options *o, uint64_t seed, struct totals *totals) {
    static struct world w; /* large */
    unsigned faults = o->faults > 0 ? (unsigned) o->faults : mixture(seed);
    snprintf(last_words, sizeof last_words,
             "seed %" PRIu64 ": broken guarantee: the process does not abort; replay: sim --seed "
             "%" PRIu64 " --faults %u --steps %" PRIu64 " --trace\n",
             seed, seed, faults, o->steps);
    fflush(stdout);
    world_init(&w, seed, faults, o->trace);
    const char *wrong = live(&w, (unsigned) o->steps);
    count(totals, &w);
    world_done(&w);
    if (wrong != NULL) {
        fflush(stderr);
        printf("seed %" PRIu64 ": broken guarantee: %s; replay: sim --seed %" PRIu64
               " --faults %u --steps %" PRIu64 " --trace\n",
               seed, wrong, seed, faults, o->steps);
    }
    return wrong == NULL;
}

/* ---- many schedules ---- */

static uint64_t seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec;
}

static void tell_progress(const struct totals *t, uint64_t since_s, uint64_t *last_s) {
    uint64_t now_s = seconds_now();
    if (now_s >= *last_s + PROGRESS_S) {
        *last_s = now_s;
        fprintf(stderr,
                "%" PRIu64 " s: %" PRIu64 " schedules, %" PRIu64 " records, %" PRIu64 " faults\n",
                now_s - since_s, t->schedules, t->records, t->faults);
    }
}

static bool run_all(const struct options *o, struct totals *t) {
    uint64_t begun_s = seconds_now(), told_s = begun_s;
    bool good = true;
    for (uint64_t i = 0;
         good && (o->seconds > 0 ? seconds_now() < begun_s + o->seconds : i < o->runs); i++) {
        good = run(o, o->seed + i, t);
        tell_progress(t, begun_s, &told_s);
    }
    return good;
}

static bool judge(const struct options *o) {
    struct totals t = {0};
    if (o->seconds > 0) {
        printf("from seed %" PRIu64 " for %" PRIu64 " s\n", o->seed, o->seconds);
        fflush(stdout);
    }
    if (!run_all(o, &t)) {
        return false;
    }
    printf("%" PRIu64 " schedules: %" PRIu64 " records, %" PRIu64 " faults, %" PRIu64
           " events seen\n",
           t.schedules, t.records, t.faults, t.events);
    const char *never = tally_print(&t.tally);
    if (never != NULL && o->faults == 0 && t.schedules >= RUNS_FOR_TALLY) {
        printf("in all these schedules there was never: %s\n", never);
        return false;
    }
    return true;
}

/* ---- the command line ---- */

static const char usage[] =
    "usage: sim [--seed N] [--runs N | --seconds S] [--faults MASK] [--steps N] [--trace]\n"
    "\n"
    "Runs schedules of a broker, gateways, clients and app workers, all in this process, while\n"
    "things go wrong, and judges what they did by the guarantees. A schedule follows from its "
    "seed\n"
    "alone. The status is 1 if a guarantee was broken (the last line says which, and how to see "
    "it\n"
    "again), 2 if the arguments were wrong.\n"
    "\n"
    "  --seed N      the first schedule's seed [1; with --seconds, of the clock]\n"
    "  --runs N      how many schedules: of seeds N, N + 1, ... [1]\n"
    "  --seconds S   as many schedules as fit; a line on stderr each minute\n"
    "  --faults MASK kinds of fault, a sum of those in world.h [a mixture by the seed]\n"
    "  --steps N     steps of time in which things go wrong [1500]\n"
    "  --trace       print what happens\n"
    "  --help        print this\n";

/* False: no number. */
static bool take_number(const char *text, uint64_t *ret_value) {
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return false;
    }
    *ret_value = strtoull(text, &end, 0);
    return *end == '\0';
}

static bool take_option(struct options *o, const char *name, const char *value) {
    const struct {
        const char *name;
        uint64_t *target;
    } numbers[] = {
        {"--seed", &o->seed},     {"--runs", &o->runs},   {"--seconds", &o->seconds},
        {"--faults", &o->faults}, {"--steps", &o->steps},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            o->seeded = o->seeded || numbers[i].target == &o->seed;
            return take_number(value, numbers[i].target);
        }
    }
    return false;
}

int main(int argc, char **argv) {
    struct options o = {.seed = 1, .runs = 1, .steps = STEPS};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--trace") == 0) {
            o.trace = true;
            setvbuf(stdout, NULL, _IOLBF, 0); /* so that all of it is there if the process aborts */
        } else if (take_option(&o, argv[i], i + 1 < argc ? argv[i + 1] : NULL)) {
            i++;
        } else {
            fputs(usage, stderr);
            return 2;
        }
    }
    if (o.seconds > 0 && !o.seeded) {
        o.seed = (uint64_t) time(NULL) * 1000000;
    }
    prepare_last_words();
    return judge(&o) ? 0 : 1;
}
