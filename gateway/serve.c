#include "gateway/serve.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/pattern.h"
#include "common/random.h"
#include "proto/deflate.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    FILES_RESERVED = 64,   /* file descriptors that are not clients' */
    DRAIN_GRACE_MS = 2000, /* past --drain-time, for the last clients and answers */
    USUAL_PORT = 3000,     /* goes without saying in a gateway's name */
    DEFLATE_LEVEL = 3,     /* zlib's, for messages: one thread compresses for everybody */
};

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* ---- signals and time ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void) fd;
    (void) what;
    struct rp_serve *s = arg;
    s->timer_ms = UINT64_MAX;
}

static void on_stop(evutil_socket_t number, short what, void *arg) {
    (void) what;
    struct rp_serve *s = arg;
    if (s->stopping) {
        rp_log_warn("stopped at once by a second signal clients=%" PRIu64,
                    s->gateway != NULL ? rp_gateway_stats(s->gateway)->clients : 0);
        _exit(128 + (int) number);
    }
    s->stopping = true;
}

static void on_hangup(evutil_socket_t number, short what, void *arg) {
    (void) number;
    (void) what;
    struct rp_serve *s = arg;
    s->reload = true;
}

static void watch_signals(struct rp_serve *s) {
    static const struct {
        int number;
        event_callback_fn call;
    } rows[RP_SERVE_SIGNALS] = {{SIGTERM, on_stop}, {SIGINT, on_stop}, {SIGHUP, on_hangup}};
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < RP_SERVE_SIGNALS; i++) {
        s->signals[i] = evsignal_new(s->base, rows[i].number, rows[i].call, s);
        RP_ASSERT(s->signals[i] != NULL);
        event_add(s->signals[i], NULL);
    }
    s->timer = evtimer_new(s->base, on_timer, s);
    RP_ASSERT(s->timer != NULL);
}

/* Of the certificate that was just read. */
static void log_certificate(const struct rp_serve *s) {
    int64_t left_s = rp_tls_expires_s(s->tls) - (int64_t) time(NULL);
    if (left_s > 0) {
        rp_log_info("read the certificate, for new connections certificate=%s days_left=%" PRId64,
                    s->options->tls_cert, left_s / 86400);
    } else {
        rp_log_warn("the certificate has expired, clients will refuse it certificate=%s",
                    s->options->tls_cert);
    }
}

static void reload(struct rp_serve *s) {
    char why[512];
    s->reload = false;
    rp_notify_reloading(s->notify);
    if (s->tls == NULL) {
        rp_log_info("nothing to read again: SIGHUP is for the certificate of --tls-listen");
    } else if (rp_tls_reload(s->tls, why, sizeof why) == RP_OK) {
        log_certificate(s);
    } else {
        rp_log_error(
            "cannot read --tls-cert and --tls-key again, the certificate from before stays "
            "error=%s",
            why);
    }
    rp_notify_ready(s->notify);
}

/* ---- the start ---- */

static struct event_base *make_base(void) {
    struct event_config *config = event_config_new();
    RP_ASSERT(config != NULL);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    RP_ASSERT(base != NULL);
    return base;
}

/* Takes all the file descriptors the system gives us, and no more clients than they are for. */
static void bound_connections(struct rp_serve *s) {
    struct rlimit limit;
    s->busy_max = RP_CONN_BUSY_CONNECTIONS;
    s->connections_max = s->options->connections_max;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    (void) setrlimit(RLIMIT_NOFILE, &limit); /* not allowed: then what we have is what counts */
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return;
    }
    uint64_t files = limit.rlim_cur, usable = files - smaller(FILES_RESERVED, files / 4);
    if (s->connections_max + s->busy_max > usable) {
        s->busy_max = smaller(s->busy_max, usable / 8);
        s->connections_max = usable - s->busy_max;
        rp_log_info("the limit of open files bounds the connections; raise it (ulimit -n, "
                    "LimitNOFILE=) or lower --max-connections open_files=%" PRIu64
                    " connections=%" PRIu64,
                    files, s->connections_max);
    }
}

/* Half of what the kernel lets us have: the rest is for the program itself, and for what the kernel
 * keeps of connections. */
static void bound_memory(struct rp_serve *s) {
    uint64_t bytes = s->options->memory_budget;
    if (bytes == UINT64_MAX) {
        uint64_t limit = rp_memory_limit("/proc/self/cgroup", "/sys/fs/cgroup");
        uint64_t machine = rp_memory_of_machine();
        limit = limit < machine ? limit : machine;
        bytes = limit / 2;
        if (bytes < rp_budget_bytes_max()) {
            rp_log_info("the memory limit bounds what clients may make this hold; raise it, or set "
                        "--memory-budget limit=%" PRIu64 " budget=%" PRIu64,
                        limit, bytes);
        }
    }
    s->budget = rp_budget_make(bytes, s->options->max_payload);
    uint64_t needs = rp_budget_total(&s->budget);
    if (needs > bytes) {
        rp_log_warn(
            "--max-payload lets clients make this hold more than --memory-budget; lower the "
            "one, or raise the other budget=%" PRIu64 " needs=%" PRIu64,
            bytes, needs);
    }
}

static struct rp_patterns *parse_patterns(const char *text, enum rp_patterns_case letters) {
    struct rp_patterns *patterns = NULL;
    if (text != NULL) {
        enum rp_err err = rp_patterns_parse(text, letters, &patterns);
        RP_ASSERT(err == RP_OK); /* the option was checked */
    }
    return patterns;
}

static bool open_tls(struct rp_serve *s) {
    const struct rp_options *o = s->options;
    char why[512];
    if (o->tls_addresses.count == 0) {
        return true;
    }
    if (rp_tls_new(o->tls_cert, o->tls_key, why, sizeof why, &s->tls) != RP_OK) {
        rp_log_error("cannot use the certificate; look at --tls-cert and --tls-key error=%s", why);
        return false;
    }
    log_certificate(s);
    return true;
}

static bool listen_at(struct rp_serve *s, const struct rp_addresses *addresses, bool tls,
                      const char *option, const char *text) {
    char why[512];
    const struct rp_conn_kind kind = {.tls = tls, .proxy = s->options->proxy_protocol};
    if (addresses->count > 0 &&
        rp_listen_add(s->listen, addresses, kind, why, sizeof why) != RP_OK) {
        rp_log_error(
            "cannot listen for clients; choose another address option=%s listen=%s error=%s",
            option, text, why);
        return false;
    }
    return true;
}

/* Of a gateway that nobody named: the first address it listens at. "All addresses" tells nobody
 * which machine it is: then it is the machine's name (in a container, the container's), and the
 * port if it is not the usual one. */
static void name_after_address(struct rp_serve *s) {
    const char *first = rp_listen_first(s->listen);
    char host[HOST_NAME_MAX + 1] = "";
    struct rp_address address;
    bool any = rp_address_parse(first, &address) == RP_OK && rp_address_is_any(&address);
    if (!any || gethostname(host, sizeof host) != 0 || host[0] == '\0' ||
        !rp_bytes_is_utf8(rp_bytes(host, strnlen(host, sizeof host)))) {
        snprintf(s->name, sizeof s->name, "%s", first);
    } else if (address.port == USUAL_PORT) {
        snprintf(s->name, sizeof s->name, "%.*s", HOST_NAME_MAX, host);
    } else {
        snprintf(s->name, sizeof s->name, "%.*s:%u", HOST_NAME_MAX, host, address.port);
    }
}

static bool open_listen(struct rp_serve *s, const char *name) {
    const struct rp_options *o = s->options;
    s->listen = rp_listen_new();
    if (!listen_at(s, &o->addresses, false, "--listen", o->listen) ||
        !listen_at(s, &o->tls_addresses, true, "--tls-listen", o->tls_listen)) {
        return false;
    }
    if (name != NULL) {
        snprintf(s->name, sizeof s->name, "%s", name);
    } else {
        name_after_address(s);
    }
    return true;
}

static bool open_site(struct rp_serve *s, enum rp_gateway_mode mode) {
    const struct rp_options *o = s->options;
    const struct rp_site_config config = {
        .path = o->path,
        .client_dir = o->client_dir,
        .gateway_name = s->name,
        .cookie = o->cookie,
        .origins = s->origins,
        .credentials = o->cors_credentials,
        .no_polling = o->no_polling,
        .no_websocket = o->no_websocket,
        .deflate = o->per_message_deflate,
        .compress = o->http_compression,
        .any_path = mode == RP_GATEWAY_ECHO_WS,
        .everywhere = mode == RP_GATEWAY_ECHO_EIO,
        .demo = o->demo,
    };
    struct rp_site_problem problem;
    if (rp_site_new(&config, &s->site, &problem) != RP_OK) {
        rp_log_error("cannot read the client's files problem=%s", problem.text);
        return false;
    }
    if (o->demo && o->client_dir == NULL) {
        rp_log_warn("the demo page needs --client-dir, without it it cannot connect");
    }
    return true;
}

static void random_bytes(void *ctx, void *out, size_t len) {
    (void) ctx;
    rp_random_bytes(out, len);
}

static struct rp_gateway *make_gateway(const struct rp_serve *s, enum rp_gateway_mode mode) {
    const struct rp_options *o = s->options;
    const struct rp_gateway_config config = {
        .mode = mode,
        .parser = (enum rp_parser) o->parser,
        .no_recovery = !o->recovery,
        .no_upgrades = !o->allow_upgrades || o->no_websocket,
        .ping_interval_ms = o->ping_interval_ms,
        .ping_timeout_ms = o->ping_timeout_ms,
        .connect_timeout_ms = o->connect_timeout_ms,
        .upgrade_timeout_ms = o->upgrade_timeout_ms,
        .max_payload = o->max_payload,
        .queue_bytes = RP_CLIENT_QUEUE_BYTES,
        .queue_low_bytes = RP_CLIENT_QUEUE_LOW_BYTES,
        .link_credit_bytes = RP_LINK_CREDIT_BYTES,
        .budget = s->budget,
        .name = s->name,
        .namespaces = s->namespaces,
        .deflate = s->deflate,
        .deflate_bytes_min = o->per_message_deflate_threshold,
        .hash_key = {rp_random_u64(), rp_random_u64()},
        .random = random_bytes,
    };
    return rp_gateway_new(&config, rp_clock_mono_ms());
}

static struct rp_conns *make_conns(const struct rp_serve *s) {
    const struct rp_conns_config config = {
        .base = s->base,
        .gateway = s->gateway,
        .site = s->site,
        .tls = s->tls,
        .trusted = &s->options->trusted,
        .deflate = s->deflate,
        .max_payload = s->options->max_payload,
        .bodies_bytes_max = s->budget.bodies,
        .parts_bytes_max = s->budget.parts,
        .answers_bytes_max = s->budget.answers,
        .connections_max = s->connections_max,
        .busy_max = s->busy_max,
        .header_timeout_ms = s->options->header_timeout_ms,
    };
    return rp_conns_new(&config);
}

bool rp_serve_open(struct rp_serve *s, const struct rp_options *options, enum rp_gateway_mode mode,
                   const char *name) {
    *s = (struct rp_serve){.options = options, .timer_ms = UINT64_MAX, .stop_ms = UINT64_MAX};
    bound_connections(s);
    bound_memory(s);
    s->base = make_base();
    s->notify = rp_notify_new(s->base);
    watch_signals(s);
    s->origins = parse_patterns(options->cors_origin, RP_PATTERNS_ANY_CASE);
    s->namespaces = parse_patterns(options->namespaces, RP_PATTERNS_EXACT);
    if (!open_tls(s) || !open_listen(s, name) || !open_site(s, mode)) {
        return false;
    }
    s->deflate = options->per_message_deflate ? rp_deflate_new(DEFLATE_LEVEL) : NULL;
    s->gateway = make_gateway(s, mode);
    s->conns = make_conns(s);
    return true;
}

void rp_serve_start(struct rp_serve *s) {
    rp_listen_start(s->listen, s->base, s->conns);
}

void rp_serve_close(struct rp_serve *s) {
    rp_listen_free(s->listen);
    rp_conns_free(s->conns);
    rp_gateway_free(s->gateway);
    rp_site_free(s->site);
    rp_tls_free(s->tls);
    rp_deflate_free(s->deflate);
    rp_patterns_free(s->origins);
    rp_patterns_free(s->namespaces);
    event_free(s->timer);
    for (size_t i = 0; i < RP_SERVE_SIGNALS; i++) {
        event_free(s->signals[i]);
    }
    rp_notify_free(s->notify);
    event_base_free(s->base);
    libevent_global_shutdown();
}

/* ---- the loop ---- */

static void start_stopping(struct rp_serve *s, uint64_t now_ms) {
    uint64_t drain_ms = s->options->drain_ms;
    rp_log_info("stopping clients=%" PRIu64 " drain_ms=%" PRIu64,
                rp_gateway_stats(s->gateway)->clients, drain_ms);
    rp_notify_stopping(s->notify);
    rp_notify_status(s->notify, "Sending %" PRIu64 " clients away",
                     rp_gateway_stats(s->gateway)->clients);
    s->listen = rp_listen_free(s->listen);
    rp_conns_drain(s->conns, now_ms);
    rp_gateway_drain(s->gateway, now_ms, drain_ms);
    s->stop_ms = now_ms + drain_ms + DRAIN_GRACE_MS;
}

void rp_serve_turn(struct rp_serve *s, uint64_t now_ms) {
    if (s->stopping && s->stop_ms == UINT64_MAX) {
        start_stopping(s, now_ms);
    }
    if (s->reload) {
        reload(s);
    }
    if (rp_gateway_holds_too_much(s->gateway)) {
        rp_conns_flush(s->conns, now_ms); /* nobody is slow before it could take anything */
    }
    rp_gateway_turn(s->gateway, now_ms);
    rp_conns_turn(s->conns, now_ms);
}

bool rp_serve_is_draining(const struct rp_serve *s) {
    return s->stop_ms != UINT64_MAX;
}

/* Requests are waited for as long as there is somebody to answer them: those of clients that are
 * gone were never acked. */
bool rp_serve_is_stopped(const struct rp_serve *s, uint64_t now_ms) {
    if (s->stop_ms == UINT64_MAX || now_ms >= s->stop_ms) {
        return s->stop_ms != UINT64_MAX;
    }
    const struct rp_gateway_stats *stats = rp_gateway_stats(s->gateway);
    bool answered = rp_gateway_is_drained(s->gateway) || (stats->clients == 0 && !stats->linked);
    return answered && rp_conns_stats(s->conns)->connections == 0;
}

void rp_serve_wait(struct rp_serve *s, bool more) {
    uint64_t due_ms = smaller(rp_gateway_deadline_ms(s->gateway), rp_conns_deadline_ms(s->conns));
    due_ms = smaller(due_ms, s->stop_ms);
    uint64_t now_ms = rp_clock_mono_ms();
    more = more || due_ms <= now_ms;
    if (!more && due_ms < s->timer_ms) {
        uint64_t left_ms = smaller(due_ms - now_ms, 60 * 60 * 1000);
        const struct timeval left = {.tv_sec = (time_t) (left_ms / 1000),
                                     .tv_usec = (suseconds_t) (left_ms % 1000 * 1000)};
        event_add(s->timer, &left);
        s->timer_ms = due_ms;
    }
    int rc = event_base_loop(s->base, EVLOOP_ONCE | (more ? EVLOOP_NONBLOCK : 0));
    RP_ASSERT(rc >= 0);
}
