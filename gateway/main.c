/* gateway/main.c — reprise-gateway: options, the parts, and the loop that turns them.
 *
 * One turn: sockets' events (libevent), messages of the broker, the core's timers, output to
 * clients, messages to the broker. Whatever gathers in a turn travels together. */
#include "common/address.h"
#include "common/assert.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/option.h"
#include "common/random.h"
#include "gateway/conn.h"
#include "gateway/listen.h"
#include "gateway/report.h"
#include "gateway/site.h"
#include "gateway/uplink.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    FILES_RESERVED = 64, /* file descriptors that are not clients' */
    NAME_BYTES_MAX = 64,
    DRAIN_GRACE_MS = 2000, /* past --drain-time, for the last clients and answers */
};

struct options {
    const char *listen, *broker, *admin, *name, *path, *client_dir;
    bool demo;
    uint64_t ping_interval_ms, ping_timeout_ms, connect_timeout_ms, drain_ms, header_timeout_ms;
    uint64_t max_payload, connections_max;
    unsigned log_level;
};

struct program {
    struct options options;
    struct rp_option_set option_set; /* keeps the options' texts */
    char name[RP_ADDRESS_TEXT_SIZE];
    struct event_base *base;
    struct event *timer, *signals[2];
    struct rp_site *site;
    struct rp_gateway *gateway;
    struct rp_conns *conns;
    struct rp_listen *listen;
    struct rp_uplink *uplink;
    struct rp_admin *admin;
    struct rp_report report;
    uint64_t timer_ms; /* when the timer fires; UINT64_MAX: it does not */
    uint64_t stop_ms;  /* when to stop at the latest; UINT64_MAX: not stopping */
    uint64_t busy_max; /* connections past --max-connections that get a 503 */
    bool stopping;     /* a signal came */
    bool linked;       /* as it was last logged */
};

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* ---- options ---- */

static const char *check_name(const char *text) {
    struct rp_bytes bytes = rp_bytes_str(text);
    return bytes.len <= NAME_BYTES_MAX && rp_bytes_is_utf8(bytes) ? NULL
                                                                  : "a name of at most 64 bytes";
}

/* Returns -1 to go on, otherwise the exit status. */
static int parse_options(struct program *p, int argc, char **argv) {
    struct options *o = &p->options;
    const struct rp_option table[] = {
        {.name = "Addresses", .kind = RP_OPTION_GROUP},
        {.name = "listen",
         .kind = RP_OPTION_STRING,
         .text = &o->listen,
         .fallback = "127.0.0.1:3000",
         .value = "HOST:PORT",
         .check = rp_address_check,
         .help = "where clients connect"},
        {.name = "broker",
         .kind = RP_OPTION_STRING,
         .text = &o->broker,
         .fallback = "tcp://127.0.0.1:5570",
         .value = "ENDPOINT",
         .check = rp_uplink_check_endpoint,
         .help = "the broker, as in its own --listen"},
        {.name = "admin",
         .kind = RP_OPTION_STRING,
         .text = &o->admin,
         .fallback = "127.0.0.1:3003",
         .value = "HOST:PORT|off",
         .check = rp_address_check_or_off,
         .help = "where /metrics and /health are; keep it away from the public"},
        {.name = "name",
         .kind = RP_OPTION_STRING,
         .text = &o->name,
         .value = "NAME",
         .check = check_name,
         .help =
             "what this gateway is called in logs and on the demo page; by default its address"},
        {.name = "Clients", .kind = RP_OPTION_GROUP},
        {.name = "path",
         .kind = RP_OPTION_STRING,
         .text = &o->path,
         .fallback = "/socket.io",
         .value = "PATH",
         .check = rp_site_check_path,
         .help = "of Socket.IO, the same as in the clients' options"},
        {.name = "ping-interval",
         .kind = RP_OPTION_DURATION,
         .number = &o->ping_interval_ms,
         .fallback = "25s",
         .min = 10,
         .max = 3600000,
         .help = "between heartbeats to a client"},
        {.name = "ping-timeout",
         .kind = RP_OPTION_DURATION,
         .number = &o->ping_timeout_ms,
         .fallback = "20s",
         .min = 10,
         .max = 3600000,
         .help = "for a client to answer a heartbeat, before it is closed"},
        {.name = "connect-timeout",
         .kind = RP_OPTION_DURATION,
         .number = &o->connect_timeout_ms,
         .fallback = "45s",
         .min = 10,
         .max = 3600000,
         .help = "for a client to connect to the namespace, before it is closed"},
        {.name = "header-timeout",
         .kind = RP_OPTION_DURATION,
         .number = &o->header_timeout_ms,
         .fallback = "10s",
         .min = 10,
         .max = 3600000,
         .help = "for the head of an HTTP request to arrive"},
        {.name = "max-payload",
         .kind = RP_OPTION_SIZE,
         .number = &o->max_payload,
         .fallback = "1000000",
         .min = 1,
         .max = RP_PAYLOAD_BYTES_MAX,
         .help = "the largest message of a client, in bytes; a larger one closes it"},
        {.name = "max-connections",
         .kind = RP_OPTION_INTEGER,
         .number = &o->connections_max,
         .fallback = "100000",
         .min = 1,
         .max = 10000000,
         .help = "further clients are answered with 503; the limit of open files bounds it, too"},
        {.name = "Pages", .kind = RP_OPTION_GROUP},
        {.name = "client-dir",
         .kind = RP_OPTION_STRING,
         .text = &o->client_dir,
         .value = "DIR",
         .check = rp_site_check_client_dir,
         .help = "the dist folder of the npm package socket.io-client, served below --path"},
        {.name = "demo",
         .kind = RP_OPTION_FLAG,
         .flag = &o->demo,
         .help = "serve a chat page at /, to try the recovery of missed messages"},
        {.name = "Process", .kind = RP_OPTION_GROUP},
        {.name = "drain-time",
         .kind = RP_OPTION_DURATION,
         .number = &o->drain_ms,
         .fallback = "5s",
         .max = 3600000,
         .help = "over which clients are sent away when the gateway is stopped"},
        {.name = "log-level",
         .kind = RP_OPTION_CHOICE,
         .choice = &o->log_level,
         .fallback = "info",
         .choices = rp_log_levels,
         .help = "what is logged to standard error"},
    };
    p->option_set = (struct rp_option_set){
        .program = "reprise-gateway",
        .summary = "Holds the connections of Socket.IO clients and passes their events to and from "
                   "the broker.",
        .options = table,
        .options_count = sizeof table / sizeof *table,
    };
    int status = rp_option_main(&p->option_set, argc, argv);
    p->option_set.options = NULL; /* the table ends here */
    p->option_set.options_count = 0;
    return status;
}

/* ---- the loop ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void) fd;
    (void) what;
    struct program *p = arg;
    p->timer_ms = UINT64_MAX;
}

static void on_signal(evutil_socket_t number, short what, void *arg) {
    (void) what;
    struct program *p = arg;
    if (p->stopping) {
        rp_log_warn("stopped at once by a second signal clients=%" PRIu64,
                    rp_gateway_stats(p->gateway)->clients);
        _exit(128 + (int) number);
    }
    p->stopping = true;
}

static void start_stopping(struct program *p, uint64_t now_ms) {
    rp_log_info("stopping clients=%" PRIu64 " drain_ms=%" PRIu64,
                rp_gateway_stats(p->gateway)->clients, p->options.drain_ms);
    p->report.draining = true;
    p->report.listen = NULL;
    p->listen = rp_listen_free(p->listen);
    rp_conns_drain(p->conns);
    rp_gateway_drain(p->gateway, now_ms, p->options.drain_ms);
    p->stop_ms = now_ms + p->options.drain_ms + DRAIN_GRACE_MS;
}

static void tell_news(struct program *p) {
    const char *notice;
    while ((notice = rp_gateway_notice(p->gateway))[0] != '\0') {
        rp_log_warn("news of the link notice=%s broker=%s", notice, p->options.broker);
    }
    const struct rp_gateway_stats *stats = rp_gateway_stats(p->gateway);
    if (stats->linked && !p->linked) {
        rp_log_info("linked to the broker broker=%s", p->options.broker);
    }
    p->linked = stats->linked;
}

/* Sleeps until something happens or is due; not at all if there is more to do. */
static void wait_for_events(struct program *p, bool more) {
    uint64_t due_ms = smaller(rp_gateway_deadline_ms(p->gateway), rp_conns_deadline_ms(p->conns));
    due_ms = smaller(due_ms, p->stop_ms);
    uint64_t now_ms = rp_clock_mono_ms();
    more = more || due_ms <= now_ms;
    if (!more && due_ms < p->timer_ms) {
        uint64_t left_ms = smaller(due_ms - now_ms, 60 * 60 * 1000);
        const struct timeval left = {.tv_sec = (time_t) (left_ms / 1000),
                                     .tv_usec = (suseconds_t) (left_ms % 1000 * 1000)};
        event_add(p->timer, &left);
        p->timer_ms = due_ms;
    }
    int rc = event_base_loop(p->base, EVLOOP_ONCE | (more ? EVLOOP_NONBLOCK : 0));
    RP_ASSERT(rc >= 0);
}

/* Requests are waited for as long as there is somebody to answer them: those of clients that are
 * gone were never acked. */
static bool is_stopped(const struct program *p, uint64_t now_ms) {
    if (p->stop_ms == UINT64_MAX || now_ms >= p->stop_ms) {
        return p->stop_ms != UINT64_MAX;
    }
    const struct rp_gateway_stats *stats = rp_gateway_stats(p->gateway);
    bool answered = rp_gateway_is_drained(p->gateway) || (stats->clients == 0 && !stats->linked);
    return answered && rp_conns_stats(p->conns)->connections == 0;
}

static void run(struct program *p) {
    for (;;) {
        uint64_t now_ms = rp_clock_mono_ms();
        if (p->stopping && p->stop_ms == UINT64_MAX) {
            start_stopping(p, now_ms);
        }
        rp_uplink_receive(p->uplink, now_ms);
        rp_gateway_turn(p->gateway, now_ms);
        rp_conns_turn(p->conns, now_ms);
        bool more = rp_uplink_send(p->uplink, now_ms);
        tell_news(p);
        if (is_stopped(p, now_ms)) {
            return;
        }
        wait_for_events(p, more);
    }
}

/* ---- the start ---- */

static void random_bytes(void *ctx, void *out, size_t len) {
    (void) ctx;
    rp_random_bytes(out, len);
}

static struct rp_gateway *make_gateway(const struct program *p) {
    const struct options *o = &p->options;
    const struct rp_gateway_config config = {
        .ping_interval_ms = o->ping_interval_ms,
        .ping_timeout_ms = o->ping_timeout_ms,
        .connect_timeout_ms = o->connect_timeout_ms,
        .max_payload = o->max_payload,
        .queue_bytes = RP_CLIENT_QUEUE_BYTES,
        .queue_low_bytes = RP_CLIENT_QUEUE_LOW_BYTES,
        .link_credit_bytes = RP_LINK_CREDIT_BYTES,
        .name = p->name,
        .hash_key = {rp_random_u64(), rp_random_u64()},
        .random = random_bytes,
    };
    return rp_gateway_new(&config, rp_clock_mono_ms());
}

/* Takes all the file descriptors the system gives us, and no more clients than they are for. */
static void bound_connections(struct program *p) {
    struct rlimit limit;
    p->busy_max = RP_CONN_BUSY_CONNECTIONS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    (void) setrlimit(RLIMIT_NOFILE, &limit); /* not allowed: then what we have is what counts */
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return;
    }
    uint64_t files = limit.rlim_cur, usable = files - smaller(FILES_RESERVED, files / 4);
    if (p->options.connections_max + p->busy_max > usable) {
        p->busy_max = smaller(p->busy_max, usable / 8);
        p->options.connections_max = usable - p->busy_max;
        rp_log_info("the limit of open files bounds the connections; raise it (ulimit -n, "
                    "LimitNOFILE=) or lower --max-connections open_files=%" PRIu64
                    " connections=%" PRIu64,
                    files, p->options.connections_max);
    }
}

static struct event_base *make_base(void) {
    struct event_config *config = event_config_new();
    RP_ASSERT(config != NULL);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    RP_ASSERT(base != NULL);
    return base;
}

static bool open_listen(struct program *p) {
    struct rp_address address;
    char why[256];
    enum rp_err err = rp_address_parse(p->options.listen, &address);
    RP_ASSERT(err == RP_OK); /* the option was checked */
    if (rp_listen_new(&address, why, sizeof why, &p->listen) != RP_OK) {
        rp_log_error("cannot listen for clients; choose another --listen listen=%s error=%s",
                     p->options.listen, why);
        return false;
    }
    snprintf(p->name, sizeof p->name, "%s",
             p->options.name != NULL ? p->options.name : rp_listen_address(p->listen));
    return true;
}

static bool open_admin(struct program *p) {
    p->report = (struct rp_report){
        .gateway = p->gateway, .conns = p->conns, .listen = p->listen, .name = p->name};
    if (strcmp(p->options.admin, "off") == 0) {
        return true;
    }
    struct rp_address address;
    char why[256];
    enum rp_err err = rp_address_parse(p->options.admin, &address);
    RP_ASSERT(err == RP_OK);
    const struct rp_admin_source source = rp_report_source(&p->report);
    if (rp_admin_new(p->base, &address, "reprise-gateway", &source, why, sizeof why, &p->admin) !=
        RP_OK) {
        rp_log_error("cannot listen for metrics; choose another --admin or off admin=%s error=%s",
                     p->options.admin, why);
        return false;
    }
    return true;
}

static bool open_site(struct program *p) {
    const struct rp_site_config config = {.path = p->options.path,
                                          .client_dir = p->options.client_dir,
                                          .gateway_name = p->name,
                                          .demo = p->options.demo};
    struct rp_site_problem problem;
    if (rp_site_new(&config, &p->site, &problem) != RP_OK) {
        rp_log_error("cannot read the client's files problem=%s", problem.text);
        return false;
    }
    if (p->options.demo && p->options.client_dir == NULL) {
        rp_log_warn("the demo page needs --client-dir, without it it cannot connect");
    }
    return true;
}

static void watch_signals(struct program *p) {
    static const int numbers[] = {SIGTERM, SIGINT};
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < 2; i++) {
        p->signals[i] = evsignal_new(p->base, numbers[i], on_signal, p);
        RP_ASSERT(p->signals[i] != NULL);
        event_add(p->signals[i], NULL);
    }
    p->timer = evtimer_new(p->base, on_timer, p);
    RP_ASSERT(p->timer != NULL);
}

/* False: it was logged why not. */
static bool start(struct program *p) {
    bound_connections(p);
    p->base = make_base();
    watch_signals(p);
    if (!open_listen(p) || !open_site(p)) {
        return false;
    }
    p->gateway = make_gateway(p);
    const struct rp_conns_config config = {
        .base = p->base,
        .gateway = p->gateway,
        .site = p->site,
        .max_payload = p->options.max_payload,
        .connections_max = p->options.connections_max,
        .busy_max = p->busy_max,
        .header_timeout_ms = p->options.header_timeout_ms,
    };
    p->conns = rp_conns_new(&config);
    enum rp_err err = rp_uplink_new(p->base, p->gateway, p->options.broker, &p->uplink);
    RP_ASSERT(err == RP_OK); /* the option was checked */
    if (!open_admin(p)) {
        return false;
    }
    rp_listen_start(p->listen, p->base, p->conns);
    return true;
}

static void finish(struct program *p) {
    rp_admin_free(p->admin);
    rp_listen_free(p->listen);
    rp_uplink_free(p->uplink);
    rp_conns_free(p->conns);
    rp_gateway_free(p->gateway);
    rp_site_free(p->site);
    event_free(p->timer);
    event_free(p->signals[0]);
    event_free(p->signals[1]);
    event_base_free(p->base);
    libevent_global_shutdown();
    rp_option_done(&p->option_set);
}

int main(int argc, char **argv) {
    struct program p = {.timer_ms = UINT64_MAX, .stop_ms = UINT64_MAX};
    int status = parse_options(&p, argc, argv);
    if (status >= 0) {
        rp_option_done(&p.option_set);
        return status;
    }
    rp_log_set_level((enum rp_log_level) p.options.log_level);
    bool started = start(&p);
    if (started) {
        printf("ready gateway listen=%s broker=%s admin=%s\n", rp_listen_address(p.listen),
               p.options.broker, p.admin != NULL ? rp_admin_address(p.admin) : "off");
        fflush(stdout);
        run(&p);
        const struct rp_gateway_stats *stats = rp_gateway_stats(p.gateway);
        rp_log_info("stopped clients_left=%" PRIu64 " requests_left=%" PRIu64, stats->clients,
                    stats->requests_open);
    }
    finish(&p);
    return started ? EXIT_SUCCESS : EXIT_FAILURE;
}
