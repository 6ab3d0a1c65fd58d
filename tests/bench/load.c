/* tests/bench/load.c — reprise-load: puts load on gateways and reports what it cost.
 *
 * It is told where the gateways are and which processes to account for; tests/bench/run starts
 * them and compares. With --floor the server is a minimal one of our own (floor.h). Everything is
 * bounded in time. The jobs are in job.h. */
#include "common/option.h"
#include "tests/bench/floor.h"
#include "tests/bench/job.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct job {
    const char *name;
    rp_job_run *run;
    bool needs_server;
} jobs[] = {
    {"fanout", rp_job_fanout, true},     {"rooms-open", rp_job_rooms_open, true},
    {"rooms", rp_job_rooms, true},       {"idle", rp_job_idle, true},
    {"publish", rp_job_publish, true},   {"publish-1", rp_job_publish_one, true},
    {"events", rp_job_events, true},     {"events-1", rp_job_events_one, true},
    {"volatile", rp_job_volatile, true}, {"ask", rp_job_ask, true},
    {"fetch", rp_job_fetch, true},       {"storm", rp_job_storm, true},
    {"disk", rp_job_disk, false},        {"publish-open", rp_job_publish_open, true},
};
enum { JOBS_COUNT = sizeof jobs / sizeof *jobs };

enum { FLOOR_NONE, FLOOR_BARE, FLOOR_COALESCED };
static const char *const floor_choices[] = {"none", "bare", "coalesced", NULL};
static const char *const pace_choices[] = {"burst", "slide", NULL};
static const char *const write_choices[] = {"gathered", "each", NULL};

struct options {
    const char *jobs, *gateways, *servers;
    unsigned floor, pace, writes;
    uint64_t time_limit_ms;
    bool json;
    struct rp_job_settings settings;
};

/* ---- options ---- */

/* The job of the list's first name, which is taken off it; NULL: there is none of that name. */
static const struct job *take_job(const char **list) {
    size_t len = strcspn(*list, ",");
    for (size_t i = 0; i < JOBS_COUNT; i++) {
        if (rp_bytes_eq_str(rp_bytes(*list, len), jobs[i].name)) {
            *list += len + ((*list)[len] == ',');
            return &jobs[i];
        }
    }
    return NULL;
}

static const char *check_jobs(const char *text) {
    do {
        if (take_job(&text) == NULL) {
            return "names of jobs with commas between them";
        }
    } while (*text != '\0');
    return NULL;
}

static const char *check_gateways(const char *text) {
    struct rp_crowd_gateways gateways = {.count = 0};
    return rp_crowd_gateways_parse(&gateways, text) == RP_OK
               ? NULL
               : "numeric addresses HOST:PORT with commas between them";
}

static const char *check_servers(const char *text) {
    struct rp_procs procs = {.count = 0};
    return rp_procs_parse(&procs, text) == RP_OK ? NULL
                                                 : "NAME=PID,… of processes that are running";
}

#define INTEGER(name_, field_, fallback_, max_, help_)                                             \
    {                                                                                              \
        .name = (name_), .kind = RP_OPTION_INTEGER, .number = &s->field_, .fallback = (fallback_), \
        .min = 1, .max = (max_), .help = (help_)                                                   \
    }
#define DURATION(name_, target_, fallback_, min_, help_)                                           \
    {                                                                                              \
        .name = (name_), .kind = RP_OPTION_DURATION, .number = &(target_),                         \
        .fallback = (fallback_), .min = (min_), .max = 600000, .help = (help_)                     \
    }

/* Returns -1 to go on, otherwise the exit status. */
static int parse_options(struct options *o, struct rp_option_set *set, int argc, char **argv) {
    struct rp_job_settings *s = &o->settings;
    const struct rp_option table[] = {
        {.name = "What to load", .kind = RP_OPTION_GROUP},
        {.name = "gateways",
         .kind = RP_OPTION_STRING,
         .text = &o->gateways,
         .fallback = "127.0.0.1:3000",
         .value = "HOST:PORT,…",
         .check = check_gateways,
         .help = "where clients connect, in turn"},
        {.name = "servers",
         .kind = RP_OPTION_STRING,
         .text = &o->servers,
         .value = "NAME=PID,…",
         .check = check_servers,
         .help = "the processes whose CPU time and memory count"},
        {.name = "floor",
         .kind = RP_OPTION_CHOICE,
         .choice = &o->floor,
         .fallback = "none",
         .choices = floor_choices,
         .help = "load a minimal server of our own instead: bare does one write per member, "
                 "coalesced one per member and turn"},
        {.name = "Jobs", .kind = RP_OPTION_GROUP},
        {.name = "jobs",
         .kind = RP_OPTION_STRING,
         .text = &o->jobs,
         .fallback = "fanout,rooms-open,rooms,idle,publish,publish-1",
         .value = "JOB,…",
         .check = check_jobs,
         .help = "in this order, of these, publish-open, disk, storm, and those that need workers "
                 "(reprise-bench-worker):"
                 " events, events-1, volatile, ask, fetch"},
        DURATION("measure", s->measure_ms, "3s", 100, "how long each job is measured"),
        DURATION("warmup", s->warmup_ms, "500ms", 0, "how long it works before that"),
        DURATION("time-limit", o->time_limit_ms, "100s", 1000, "for everything, or it is ended"),
        {.name = "pace",
         .kind = RP_OPTION_CHOICE,
         .choice = &o->pace,
         .fallback = "burst",
         .choices = pace_choices,
         .help = "closed loops: all of a window and then the next, or one more for each that is "
                 "done"},
        {.name = "writes",
         .kind = RP_OPTION_CHOICE,
         .choice = &o->writes,
         .fallback = "gathered",
         .choices = write_choices,
         .help = "what clients send: all that one has in one write, or each packet in its own"},
        INTEGER("members", members, "1000", 1000000, "fanout: members of the room; ask: clients"),
        INTEGER("window", window, "16", 1000, "fanout: messages under way"),
        INTEGER("rooms", rooms, "100", RP_FLOOR_ROOMS_MAX, "rooms: how many"),
        INTEGER("room-members", room_members, "10", 100000, "rooms: members of each"),
        INTEGER("room-window", room_window, "1", 1000, "rooms: messages under way in each"),
        INTEGER("rate", rate, "1000", 1000000, "rooms-open: publishes per second in all"),
        INTEGER("connections", connections, "10000", 1000000, "idle and fetch: how many"),
        INTEGER("publishers", publishers, "16", 100000, "publish: how many"),
        INTEGER("outstanding", outstanding, "16", 4096, "publish: unacked publishes of each"),
        INTEGER("open-rate", open_rate, "4000", 1000000, "publish-open: publishes per second"),
        INTEGER("open-rooms", open_rooms, "2000", 1000000, "publish-open: rooms they go to"),
        DURATION("open-fill", s->open_fill_ms, "6s", 0,
                 "publish-open: how long it goes before it is measured"),
        INTEGER("storm-clients", storm_clients, "10000", 100000, "storm: how many come back"),
        INTEGER("storm-rooms", storm_rooms, "100", 10000,
                "storm: rooms of each of three families; a client is in one of each"),
        {.name = "storm-filler",
         .kind = RP_OPTION_INTEGER,
         .number = &s->storm_filler,
         .fallback = "0",
         .max = 10000000,
         .help = "storm: events of others after the missed ones; past 131072 these are read from "
                 "the disk"},
        DURATION("storm-spread", s->storm_spread_ms, "2s", 1, "storm: within which they connect"),
        {.name = "disk-dir",
         .kind = RP_OPTION_STRING,
         .text = &s->disk_dir,
         .fallback = ".",
         .value = "DIR",
         .help = "disk: where a file is written for a while"},
        {.name = "Report", .kind = RP_OPTION_GROUP},
        {.name = "json", .kind = RP_OPTION_FLAG, .flag = &o->json, .help = "as JSON"},
    };
    *set = (struct rp_option_set){
        .program = "reprise-load",
        .summary = "Puts load on gateways and reports throughput, latency and what it cost the "
                   "servers.",
        .options = table,
        .options_count = sizeof table / sizeof *table,
    };
    int status = rp_option_main(set, argc, argv);
    set->options = NULL; /* the table ends with this call */
    set->options_count = 0;
    return status;
}

/* ---- running ---- */

/* Runs one job against a floor of its own, or the servers that were named. */
static void run_job(const struct options *o, const struct job *job, struct rp_result *r) {
    struct rp_job_settings s = o->settings;
    struct rp_floor floor = {0};
    if (o->floor == FLOOR_NONE || !job->needs_server) {
        job->run(&s, r);
        return;
    }
    if (rp_floor_start(o->floor == FLOOR_COALESCED, &floor) != RP_OK) {
        rp_result_fail(r, "cannot start the floor");
        return;
    }
    s.gateways.addresses[0] = floor.address;
    s.gateways.count = 1;
    s.servers = (struct rp_procs){0};
    if (rp_procs_add(&s.servers, "floor", floor.pid) != RP_OK) {
        rp_result_fail(r, "the floor has ended");
    } else {
        job->run(&s, r);
    }
    rp_floor_stop(&floor);
}

static void print(const struct options *o, const struct rp_result *r, bool is_first) {
    if (o->json) {
        fputs(is_first ? "" : ",\n ", stdout);
        rp_result_print_json(r, stdout);
    } else {
        rp_result_print_text(r, stdout);
    }
    fflush(stdout);
}

static bool run_jobs(const struct options *o) {
    const char *list = o->jobs;
    bool is_fine = true, is_first = true;
    if (o->json) {
        printf("{\"version\":\"%s\",\"floor\":\"%s\",\"measure_ms\":%" PRIu64
               ",\"warmup_ms\":%" PRIu64 ",\"payload_bytes\":64,\n \"results\":[",
               RP_VERSION, floor_choices[o->floor], o->settings.measure_ms, o->settings.warmup_ms);
    }
    do {
        const struct job *job = take_job(&list);
        struct rp_result result = {.job = job->name};
        run_job(o, job, &result);
        print(o, &result, is_first);
        is_first = false;
        is_fine = is_fine && rp_result_is_fine(&result);
    } while (*list != '\0');
    if (o->json) {
        puts("]}");
    }
    return is_fine;
}

static void on_alarm(int signal_number) {
    (void) signal_number;
    static const char text[] = "reprise-load: not done within --time-limit\n";
    ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
    (void) n;
    _exit(3);
}

int main(int argc, char **argv) {
    struct options o = {0};
    struct rp_option_set set;
    int status = parse_options(&o, &set, argc, argv);
    if (status >= 0) {
        rp_option_done(&set);
        return status;
    }
    o.settings.slide = o.pace == 1;
    o.settings.gateways.write_each = o.writes == 1;
    if (rp_crowd_gateways_parse(&o.settings.gateways, o.gateways) != RP_OK ||
        (o.servers != NULL && rp_procs_parse(&o.settings.servers, o.servers) != RP_OK)) {
        fputs("reprise-load: a server has ended meanwhile\n", stderr);
        rp_option_done(&set);
        return EXIT_FAILURE;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, on_alarm);
    alarm((unsigned) ((o.time_limit_ms + 999) / 1000));
    bool is_fine = run_jobs(&o);
    rp_option_done(&set);
    return is_fine ? EXIT_SUCCESS : EXIT_FAILURE;
}
