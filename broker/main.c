/* broker/main.c — reprise-broker: options, the loop, the end. What the broker does is in core.h,
 * its links are in hub.h, its log in engine_sqlite.h.
 *
 * One thread runs everything here: a turn takes messages, lets the core work and sends what came of
 * it; then the loop sleeps until a link, the engine (through an eventfd), the core's deadline or a
 * signal has something. */
#include "broker/core.h"
#include "broker/engine_sqlite.h"
#include "broker/hub.h"
#include "broker/report.h"
#include "broker/upkeep.h"
#include "common/address.h"
#include "common/admin.h"
#include "common/assert.h"
#include "common/clock.h"
#include "common/curve_file.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/option.h"
#include "common/random.h"

#include <event2/event.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    WHY_SIZE = 512,
    MESSAGE_BYTES_MAX = 16 << 10,
    READERS = 2,
    STOP_MS_MAX = 4000, /* the engine's outcomes are waited for, when stopping */
    PART_MS_MAX = 1000, /* then the other ends, until they have closed their links */
    PART_STEP_MS = 10,  /* between two looks at that */
    LINGER_MS = 1000,   /* for the last answers to leave, if there are still links then */
    STATUS_USAGE = 2,   /* the options were wrong */
};

/* ---- options ---- */

enum sync_choice { SYNC_FULL, SYNC_NORMAL };

static const char *const sync_choices[] = {"full", "normal", NULL};

struct options {
    const char *listen, *db, *admin, *curve_key, *allow;
    struct rp_upkeep upkeep;
    unsigned sync, log_level;
    bool new_epoch, plain_links;
    const char *retain;
    uint64_t session_ttl_ms, gateway_timeout_ms, worker_timeout_ms;
    uint64_t segment_events, disk_budget, disk_reserve;
    struct rp_retention_limits whole;
};

/* What is wrong with options that are fine each by itself; NULL: nothing. */
static const char *find_contradiction(const struct options *o) {
    if (rp_upkeep_count(&o->upkeep) > 0) {
        return rp_upkeep_count(&o->upkeep) > 1
                   ? "--check, --backup and --restore are done one at a time"
                   : NULL;
    }
    if (o->curve_key != NULL && o->allow == NULL) {
        return "--curve-key needs --allow, the file that says whose keys may connect";
    }
    if (o->curve_key == NULL && o->allow != NULL) {
        return "--allow is of no use without --curve-key, the broker's own keys: without them "
               "nobody has to show a key";
    }
    if (o->curve_key != NULL && o->plain_links) {
        return "--plain-links and --curve-key contradict each other: with keys every link is "
               "encrypted";
    }
    if (o->curve_key == NULL && !o->plain_links && !rp_address_endpoint_is_local(o->listen)) {
        return "other machines can reach this --listen, so links need keys: set --curve-key and "
               "--allow (`reprise keygen` makes keys), or, if every machine of that network is "
               "trusted, --plain-links";
    }
    return NULL;
}

static int read_options(struct rp_option_set *set, struct options *o, int argc, char **argv) {
    const struct rp_option table[] = {
        {.name = "Addresses", .kind = RP_OPTION_GROUP},
        {.name = "listen",
         .kind = RP_OPTION_STRING,
         .text = &o->listen,
         .fallback = "tcp://127.0.0.1:5570",
         .value = "ENDPOINT",
         .check = rp_hub_check_endpoint,
         .help = "where gateways and workers connect: tcp://HOST:PORT or ipc://PATH. Without "
                 "--curve-key whoever reaches it is trusted: this machine (loopback), or who may "
                 "write to the socket's file"},
        {.name = "admin",
         .kind = RP_OPTION_STRING,
         .text = &o->admin,
         .fallback = "127.0.0.1:3001",
         .value = "HOST:PORT",
         .check = rp_address_check_or_off,
         .help = "where /metrics and /health are served, or off"},
        {.name = "Keys of the links", .kind = RP_OPTION_GROUP},
        {.name = "curve-key",
         .kind = RP_OPTION_STRING,
         .text = &o->curve_key,
         .value = "FILE",
         .is_file = true,
         .help = "the broker's own keys, made by `reprise keygen`: then every link is encrypted, "
                 "and only keys in --allow get one"},
        {.name = "allow",
         .kind = RP_OPTION_STRING,
         .text = &o->allow,
         .value = "FILE",
         .is_file = true,
         .help = "whose keys may connect, and as what: lines `gateway NAME KEY`, `worker NAME "
                 "KEY` or `any NAME KEY`; SIGHUP reads it again"},
        {.name = "plain-links",
         .kind = RP_OPTION_FLAG,
         .flag = &o->plain_links,
         .help = "listen to other machines without keys: whoever reaches --listen is trusted, and "
                 "what is on the wire can be read"},
        {.name = "The log", .kind = RP_OPTION_GROUP},
        {.name = "db",
         .kind = RP_OPTION_STRING,
         .text = &o->db,
         .fallback = "reprise.db",
         .value = "FILE",
         .is_file = true,
         .help = "the SQLite file, made if it is not there"},
        {.name = "sync",
         .kind = RP_OPTION_CHOICE,
         .choice = &o->sync,
         .fallback = "full",
         .choices = sync_choices,
         .help = "full: what is acknowledged survives a power failure; normal: it survives a "
                 "crash of the broker, and is faster"},
        {.name = "retain-age",
         .kind = RP_OPTION_DURATION,
         .number = &o->whole.age_ms,
         .fallback = "forever",
         .min = 1,
         .word = "forever",
         .word_number = UINT64_MAX,
         .help = "how long an event is kept"},
        {.name = "retain-events",
         .kind = RP_OPTION_INTEGER,
         .number = &o->whole.events,
         .fallback = "all",
         .min = 1,
         .word = "all",
         .word_number = UINT64_MAX,
         .help = "how many of the log's newest records are kept, events and others"},
        {.name = "retain-bytes",
         .kind = RP_OPTION_SIZE,
         .number = &o->whole.bytes,
         .fallback = "all",
         .min = 1 << 20,
         .word = "all",
         .word_number = UINT64_MAX,
         .help = "how much the log may take of its disk before its oldest part goes"},
        {.name = "retain",
         .kind = RP_OPTION_STRING,
         .text = &o->retain,
         .value = "RULES",
         .check = rp_retention_check,
         .help = "what single rooms keep: NAMESPACES ROOMS [age=7d] [events=1000] [bytes=10M]; … "
                 "where the first rule that matches a room counts, for each room by itself; * is "
                 "any text"},
        {.name = "disk-budget",
         .kind = RP_OPTION_SIZE,
         .number = &o->disk_budget,
         .fallback = "off",
         .min = 1 << 20,
         .word = "off",
         .word_number = UINT64_MAX,
         .help = "what the log may take of its disk; past it events are refused (no_space), until "
                 "retention has made room"},
        {.name = "disk-reserve",
         .kind = RP_OPTION_SIZE,
         .number = &o->disk_reserve,
         .fallback = "64M",
         .word = "off",
         .word_number = 0,
         .help = "what must stay free on that disk; past it events are refused likewise"},
        {.name = "segment-events",
         .kind = RP_OPTION_INTEGER,
         .number = &o->segment_events,
         .fallback = "65536",
         .min = 16,
         .max = 1 << 24,
         .help = "events in a segment, the unit of indexing and retention, of a new file"},
        {.name = "new-epoch",
         .kind = RP_OPTION_FLAG,
         .flag = &o->new_epoch,
         .help = "for a file that may have lost its end: old offsets are not taken any more, and "
                 "all sessions begin anew. A copy that was put back is noticed without it"},
        {.name = "Care of the log, instead of running", .kind = RP_OPTION_GROUP},
        {.name = "check",
         .kind = RP_OPTION_STRING,
         .text = &o->upkeep.check,
         .value = "DB",
         .is_file = true,
         .help = "look for damage in the log of that file, which a broker may use meanwhile; "
                 "changes nothing. Ends with 0: sound, 1: damaged, 2: it could not be looked at. "
                 "Damage in pages that hold nothing is not seen"},
        {.name = "backup",
         .kind = RP_OPTION_STRING,
         .text = &o->upkeep.backup,
         .value = "FILE",
         .is_file = true,
         .help = "copy the log of --db, which a broker may use meanwhile, as it is at this moment, "
                 "into a new file"},
        {.name = "restore",
         .kind = RP_OPTION_STRING,
         .text = &o->upkeep.restore,
         .value = "FILE",
         .is_file = true,
         .help = "make the log of --db, which must not be there, from a backup, after checking it. "
                 "It gets a new epoch: clients do not recover and begin anew"},
        {.name = "Sessions", .kind = RP_OPTION_GROUP},
        {.name = "session-ttl",
         .kind = RP_OPTION_DURATION,
         .number = &o->session_ttl_ms,
         .fallback = "2h",
         .min = 1,
         .max = UINT64_C(365) * 86400000,
         .help = "how long a client that is away can still recover"},
        {.name = "gateway-timeout",
         .kind = RP_OPTION_DURATION,
         .number = &o->gateway_timeout_ms,
         .fallback = "15s",
         .min = 100,
         .max = 86400000,
         .help = "how long a gateway without a link keeps its clients' sessions connected"},
        {.name = "worker-timeout",
         .kind = RP_OPTION_DURATION,
         .number = &o->worker_timeout_ms,
         .fallback = "1s",
         .min = 100,
         .max = 86400000,
         .help = "how long an app worker without a link keeps its sockets"},
        {.name = "Logging", .kind = RP_OPTION_GROUP},
        {.name = "log-level",
         .kind = RP_OPTION_CHOICE,
         .choice = &o->log_level,
         .fallback = "info",
         .choices = rp_log_levels,
         .help = "how much is told on standard error"},
    };
    *set = (struct rp_option_set){
        .program = "reprise-broker",
        .summary = "The broker of Reprise: owns rooms, sessions, and the log of events. Gateways "
                   "connect to it; clients connect to the gateways.",
        .options = table,
        .options_count = sizeof table / sizeof *table};
    int status = rp_option_main(set, argc, argv);
    set->options = NULL; /* the table ends with this call */
    set->options_count = 0;
    const char *problem = status < 0 ? find_contradiction(o) : NULL;
    if (problem != NULL) {
        fprintf(stderr, "reprise-broker: %s. reprise-broker --help lists the options.\n", problem);
        return STATUS_USAGE;
    }
    return status;
}

/* ---- the program ---- */

struct broker {
    struct event_base *base;
    struct rp_notify *notify; /* NULL: nobody wants to know */
    struct event *hub_events[RP_HUB_FDS_MAX], *wake_event, *timer, *stop_events[2], *hangup_event;
    int wake_fd;
    struct rp_retention *retention;
    struct rp_engine *engine;
    struct rp_core *core;
    const struct rp_core_stats *stats; /* the core's own: counters live, gauges as last asked */
    struct rp_hub *hub;
    struct rp_admin *admin;
    struct rp_report report;
    struct rp_report_links links_told;
    bool space_told;
    const char *allow_file; /* NULL: none */

    bool stopping;
    uint64_t stop_since_ms;
};

static struct rp_now now(void) {
    return (struct rp_now){.mono_ms = rp_clock_mono_ms(), .wall_ms = rp_clock_wall_ms()};
}

static void random_bytes(void *ctx, void *out, size_t len) {
    (void) ctx;
    rp_random_bytes(out, len);
}

/* ---- the loop ---- */

/* On the engine's threads. */
static void wake(void *ctx) {
    const struct broker *b = ctx;
    ssize_t n;
    do {
        n = write(b->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
    } while (n < 0 && errno == EINTR);
}

static void on_wake(evutil_socket_t fd, short what, void *ctx) {
    (void) what;
    (void) ctx;
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void) n; /* nothing there is fine; the turn follows anyway */
}

/* The turn does it all; the loop need only wake up. */
static void on_something(evutil_socket_t fd, short what, void *ctx) {
    (void) fd;
    (void) what;
    (void) ctx;
}

/* Until it serves, and at a second signal: the process ends at once. The first process of a
 * container would not by the signal's default. */
static void leave(int signal_number) {
    sigset_t none;
    sigemptyset(&none);
    signal(signal_number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    raise(signal_number);
    _exit(128 + signal_number);
}

static void on_stop(evutil_socket_t signal_number, short what, void *ctx) {
    (void) what;
    struct broker *b = ctx;
    rp_log_info("stopping: no more is taken, what came is committed signal=%s",
                signal_number == SIGINT ? "SIGINT" : "SIGTERM");
    rp_notify_stopping(b->notify);
    b->stopping = b->report.stopping = true;
    b->stop_since_ms = rp_clock_mono_ms();
    for (size_t i = 0; i < 2; i++) {
        event_del(b->stop_events[i]); /* a second signal is leave's again */
    }
}

static void on_hangup(evutil_socket_t signal_number, short what, void *ctx) {
    (void) signal_number;
    (void) what;
    struct broker *b = ctx;
    struct rp_allow *allow;
    char why[WHY_SIZE];
    rp_notify_reloading(b->notify);
    if (b->allow_file == NULL) {
        rp_log_info("nothing to read again: SIGHUP is for the file of --allow");
    } else if (rp_allow_read(b->allow_file, &allow, why, sizeof why) == RP_OK) {
        rp_log_info("read the list of keys again file=%s keys=%zu", b->allow_file,
                    rp_allow_count(allow));
        rp_hub_set_allow(b->hub, allow);
    } else {
        rp_log_error("cannot read --allow again, the list from before stays file=%s error=%s",
                     b->allow_file, why);
    }
    rp_notify_ready(b->notify);
}

static void tell_notices(struct broker *b) {
    for (const char *notice; (notice = rp_core_notice(b->core))[0] != '\0';) {
        rp_log_warn("notice text=%s", notice);
    }
    rp_report_links(b->core, b->stats, &b->links_told);
    rp_report_space(b->engine, &b->space_told);
}

/* One round of work. True: there is more to do at once. */
static bool turn(struct broker *b) {
    struct rp_now at = now();
    bool more = rp_hub_admit(b->hub, at);
    if (!b->stopping) {
        rp_hub_receive(b->hub, b->core, at);
    }
    more |= rp_core_turn(b->core, at);
    rp_hub_send(b->hub, b->core, at);
    tell_notices(b);
    bool is_readable = rp_hub_is_readable(b->hub); /* always: it also rearms the descriptor */
    return more || (is_readable && !b->stopping && rp_core_wants_input(b->core));
}

/* Whether the engine has told of everything it was given, or has had time enough. */
static bool is_drained(struct broker *b) {
    return rp_core_is_settled(b->core) || rp_clock_mono_ms() >= b->stop_since_ms + STOP_MS_MAX;
}

static void arm_timer(struct broker *b, uint64_t deadline) {
    uint64_t at = rp_clock_mono_ms();
    uint64_t ms = deadline > at ? deadline - at : 0;
    struct timeval wait = {.tv_sec = (time_t) (ms / 1000),
                           .tv_usec = (suseconds_t) (ms % 1000 * 1000)};
    evtimer_add(b->timer, &wait);
}

/* All that was taken is committed and answered: tells the links so. Their ends close them, which is
 * waited for: a connection closed with something unread is reset by the system, and what is on the
 * way to the other end may go with it. */
static void part(struct broker *b) {
    size_t told = rp_core_goodbye(b->core, now());
    rp_hub_send(b->hub, b->core, now());
    uint64_t until_ms = rp_clock_mono_ms() + PART_MS_MAX;
    size_t left;
    while ((left = rp_hub_part(b->hub, now())) > 0 && rp_clock_mono_ms() < until_ms) {
        arm_timer(b, rp_clock_mono_ms() + PART_STEP_MS);
        (void) event_base_loop(b->base, EVLOOP_ONCE);
    }
    rp_log_info("said goodbye links=%zu not_closed=%zu", told, left);
}

/* Until it is stopped, or the log cannot be written: the exit status. */
static int run(struct broker *b) {
    for (;;) {
        bool more = turn(b);
        enum rp_err failure = rp_core_failure(b->core);
        if (failure != RP_OK) {
            rp_log_error("the log cannot be written any more, see to the disk and start again "
                         "error=%s why=%s",
                         rp_strerror(failure), b->engine->why);
            return EXIT_FAILURE;
        }
        if (b->stopping && is_drained(b)) {
            part(b);
            return EXIT_SUCCESS;
        }
        arm_timer(b, rp_core_deadline_ms(b->core));
        if (event_base_loop(b->base, EVLOOP_ONCE | (more ? EVLOOP_NONBLOCK : 0)) < 0) {
            rp_log_error("the event loop failed error=%s", strerror(errno));
            return EXIT_FAILURE;
        }
    }
}

/* ---- beginning and end ---- */

static void log_lines(struct rp_buf *text) {
    struct rp_bytes left = rp_buf_bytes(text);
    while (left.len > 0) {
        const uint8_t *end = memchr(left.data, '\n', left.len);
        size_t len = end != NULL ? (size_t) (end - left.data) : left.len;
        if (len > 0) {
            rp_log_warn("notice text=%.*s", (int) len, (const char *) left.data);
        }
        left = rp_bytes_skip(left, end != NULL ? len + 1 : len);
    }
}

/* What cannot be opened is told in one sentence, without the log's trimmings. */
static bool fail(const char *what, const char *which, const char *why) {
    fprintf(stderr, "reprise-broker: %s%s%s%s\n", what, which, why[0] != '\0' ? ": " : "", why);
    return false;
}

static bool open_log(struct broker *b, const struct options *o) {
    enum rp_err parsed = rp_retention_new(&o->whole, o->retain, &b->retention);
    RP_ASSERT(parsed == RP_OK); /* the option is checked */
    const struct rp_engine_sqlite_options options = {.path = o->db,
                                                     .sync_full = o->sync == SYNC_FULL,
                                                     .new_epoch = o->new_epoch,
                                                     .segment_events = o->segment_events,
                                                     .retention = b->retention,
                                                     .budget_bytes = o->disk_budget,
                                                     .reserve_bytes = o->disk_reserve,
                                                     .queue_records_max = RP_ENGINE_QUEUE_RECORDS,
                                                     .queue_bytes_max = RP_ENGINE_QUEUE_BYTES,
                                                     .readers_count = READERS,
                                                     .wake = wake,
                                                     .wake_ctx = b};
    struct rp_buf message;
    rp_buf_init(&message, MESSAGE_BYTES_MAX);
    enum rp_err err = rp_engine_sqlite_open(&options, &message, &b->engine);
    if (err == RP_OK) {
        log_lines(&message);
    } else {
        fprintf(stderr, "reprise-broker: %.*s\n", RP_BYTES_FMT(rp_buf_bytes(&message)));
    }
    rp_buf_done(&message);
    return err == RP_OK;
}

static bool make_core(struct broker *b, const struct options *o) {
    struct rp_core_config config = {.session_ttl_ms = o->session_ttl_ms,
                                    .gateway_timeout_ms = o->gateway_timeout_ms,
                                    .worker_timeout_ms = o->worker_timeout_ms,
                                    .retention_ms = RP_RETENTION_MS,
                                    .tail_records_max = RP_TAIL_RECORDS,
                                    .tail_bytes_max = RP_TAIL_BYTES,
                                    .link_credit_bytes = RP_LINK_CREDIT_BYTES,
                                    .page_bytes = RP_PAGE_BYTES,
                                    .page_events = RP_PAGE_EVENTS,
                                    .intervals_max = RP_SESSION_INTERVALS_MAX,
                                    .random = random_bytes};
    rp_random_bytes(&config.hash_key, sizeof config.hash_key);
    enum rp_err err = rp_core_new(&config, b->engine, now(), &b->core);
    if (err != RP_OK) {
        return fail("cannot load ", o->db, rp_strerror(err));
    }
    b->stats = rp_core_stats(b->core);
    return true;
}

/* The broker's keys and the list of others'; without --curve-key nothing. */
static bool read_keys(struct broker *b, const struct options *o, struct rp_curve_keys *ret_keys,
                      struct rp_allow **ret_allow) {
    char why[RP_CURVE_WHY_SIZE];
    if (o->curve_key == NULL) {
        return true;
    }
    if (rp_curve_read_keys(o->curve_key, ret_keys, why, sizeof why) != RP_OK) {
        return fail("cannot use --curve-key ", why, "");
    }
    if (rp_allow_read(o->allow, ret_allow, why, sizeof why) != RP_OK) {
        return fail("cannot use --allow ", o->allow, why);
    }
    b->allow_file = o->allow;
    rp_log_info("links need a key file=%s keys=%zu own=%s", o->allow, rp_allow_count(*ret_allow),
                ret_keys->public_key.text);
    return true;
}

static bool listen_to_links(struct broker *b, const struct options *o) {
    struct rp_curve_keys keys = {.public_key.text = ""};
    struct rp_hub_config config = {.endpoint = o->listen};
    char why[WHY_SIZE];
    if (!read_keys(b, o, &keys, &config.allow)) {
        return false;
    }
    config.keys = o->curve_key != NULL ? &keys : NULL;
    enum rp_err err = rp_hub_new(&config, why, sizeof why, &b->hub);
    explicit_bzero(&keys, sizeof keys);
    return err == RP_OK || fail("cannot listen at --listen ", o->listen, why);
}

static bool listen_to_admins(struct broker *b, const struct options *o) {
    b->report = (struct rp_report){.core = b->core, .hub = b->hub, .engine = b->engine};
    struct rp_address address;
    if (strcmp(o->admin, "off") == 0) {
        return true;
    }
    enum rp_err err = rp_address_parse(o->admin, &address);
    RP_ASSERT(err == RP_OK); /* the option is checked */
    const struct rp_admin_source source = {
        .ctx = &b->report, .metrics = rp_report_metrics, .health = rp_report_health};
    char why[WHY_SIZE];
    err = rp_admin_new(b->base, &address, "reprise-broker", &source, why, sizeof why, &b->admin);
    return err == RP_OK || fail("cannot listen at --admin ", o->admin, why);
}

static struct event *add_event(struct broker *b, int fd, short what, event_callback_fn call) {
    struct event *event = event_new(b->base, fd, what, call, b);
    RP_ASSERT(event != NULL);
    if (fd >= 0) {
        int rc = event_add(event, NULL);
        RP_ASSERT(rc == 0);
    }
    return event;
}

static void add_events(struct broker *b) {
    int fds[RP_HUB_FDS_MAX];
    for (size_t i = rp_hub_fds(b->hub, fds); i-- > 0;) {
        b->hub_events[i] = add_event(b, fds[i], EV_READ | EV_PERSIST, on_something);
    }
    b->wake_event = add_event(b, b->wake_fd, EV_READ | EV_PERSIST, on_wake);
    b->timer = add_event(b, -1, 0, on_something);
    b->stop_events[0] = add_event(b, SIGTERM, EV_SIGNAL | EV_PERSIST, on_stop);
    b->stop_events[1] = add_event(b, SIGINT, EV_SIGNAL | EV_PERSIST, on_stop);
    b->hangup_event = add_event(b, SIGHUP, EV_SIGNAL | EV_PERSIST, on_hangup);
}

static void tell_ready(struct broker *b, const struct options *o) {
    printf("ready broker listen=%s db=%s epoch=%s head=%" PRIu64 " admin=%s\n",
           rp_hub_endpoint(b->hub), o->db, b->engine->epoch, rp_core_stats(b->core)->head,
           b->admin != NULL ? rp_admin_address(b->admin) : "off");
    fflush(stdout);
    rp_notify_status(b->notify, "Links at %s, the log in %s", rp_hub_endpoint(b->hub), o->db);
    rp_notify_ready(b->notify);
}

static void close_all(struct broker *b) {
    static_assert(RP_HUB_FDS_MAX == 3, "all are here");
    struct event *events[] = {b->hub_events[0],  b->hub_events[1], b->hub_events[2],
                              b->wake_event,     b->timer,         b->stop_events[0],
                              b->stop_events[1], b->hangup_event};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        if (events[i] != NULL) {
            event_free(events[i]);
        }
    }
    rp_admin_free(b->admin);
    rp_hub_free(b->hub, LINGER_MS);
    rp_core_free(b->core);
    if (b->engine != NULL) {
        b->engine->ops->close(b->engine);
    }
    rp_retention_free(b->retention);
    rp_notify_free(b->notify);
    event_base_free(b->base);
    close(b->wake_fd);
}

/* Each gateway needs a descriptor; many systems give a program 1,024 unless it asks. */
static void raise_file_limit(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

int main(int argc, char **argv) {
    struct options options;
    struct rp_option_set set;
    int status = read_options(&set, &options, argc, argv);
    if (status < 0 && rp_upkeep_count(&options.upkeep) > 0) {
        status = rp_upkeep_run(&options.upkeep, options.db);
    } else if (status < 0) {
        rp_log_set_level((enum rp_log_level) options.log_level);
        signal(SIGPIPE, SIG_IGN);
        signal(SIGTERM, leave);
        signal(SIGINT, leave);
        raise_file_limit();
        struct broker b = {.base = event_base_new(),
                           .wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
        RP_ASSERT(b.base != NULL && b.wake_fd >= 0);
        b.notify = rp_notify_new(b.base);
        rp_notify_status(b.notify, "Opening the log in %s", options.db);
        status = EXIT_FAILURE;
        if (open_log(&b, &options) && make_core(&b, &options) && listen_to_links(&b, &options) &&
            listen_to_admins(&b, &options)) {
            add_events(&b);
            tell_ready(&b, &options);
            status = run(&b);
        }
        close_all(&b);
        rp_log_info("stopped status=%d", status);
    }
    rp_option_done(&set);
    return status;
}
