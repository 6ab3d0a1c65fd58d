/* gateway/main.c — reprise-gateway: what serve.h has, and the link to the broker.
 *
 * One turn: sockets' events (libevent), messages of the broker, the core's timers, output to
 * clients, messages to the broker. Whatever gathers in a turn travels together. */
#include "common/assert.h"
#include "common/clock.h"
#include "common/curve_file.h"
#include "common/limits.h"
#include "common/log.h"
#include "gateway/report.h"
#include "gateway/serve.h"
#include "gateway/uplink.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    NAME_BYTES_MAX = 64,
    STATUS_USAGE = 2, /* the options were wrong */
};

struct program {
    struct rp_options options;
    const char *broker, *broker_key, *curve_key, *admin_address, *name; /* options, too */
    bool plain_links;
    struct rp_serve serve;
    struct rp_uplink *uplink;
    struct rp_admin *admin;
    struct rp_report report;
    bool linked; /* as it was last logged */
};

/* ---- options ---- */

static const char *check_name(const char *text) {
    struct rp_bytes bytes = rp_bytes_str(text);
    return bytes.len <= NAME_BYTES_MAX && rp_bytes_is_utf8(bytes) ? NULL
                                                                  : "a name of at most 64 bytes";
}

/* What is wrong with options that are fine each by itself; NULL: nothing. */
static const char *find_contradiction(const struct program *p) {
    if ((p->broker_key != NULL) != (p->curve_key != NULL)) {
        return p->broker_key != NULL
                   ? "--broker-key needs --curve-key, this gateway's own keys (`reprise keygen` "
                     "makes them)"
                   : "--curve-key needs --broker-key, the public key of the broker";
    }
    if (p->curve_key != NULL && p->plain_links) {
        return "--plain-links and --curve-key contradict each other: with keys the link is "
               "encrypted";
    }
    if (p->curve_key == NULL && !p->plain_links && !rp_address_endpoint_is_local(p->broker)) {
        return "this --broker is on another machine, so the link needs keys: set --broker-key and "
               "--curve-key (`reprise keygen` makes keys), or, if every machine of that network "
               "is trusted, --plain-links";
    }
    return NULL;
}

/* Returns -1 to go on, otherwise the exit status. */
static int parse_options(struct program *p, int argc, char **argv) {
    static const char *const parsers[] = {"default", "msgpack", NULL}; /* as enum rp_parser */
    struct rp_options *o = &p->options;
    const struct rp_option more[] = {
        {.name = "Socket.IO", .kind = RP_OPTION_GROUP},
        {.name = "namespaces",
         .kind = RP_OPTION_STRING,
         .text = &o->namespaces,
         .fallback = "/",
         .value = "NAMES",
         .check = rp_options_check_namespaces,
         .help = "that clients may connect to beside those of app workers; * is any text "
                 "(/,/admin,/tenant-*)"},
        {.name = "parser",
         .kind = RP_OPTION_CHOICE,
         .choice = &o->parser,
         .fallback = "default",
         .choices = parsers,
         .help = "msgpack is for clients with the npm package socket.io-msgpack-parser: all of "
                 "them or none"},
        {.name = "recovery",
         .kind = RP_OPTION_CHOICE,
         .choice = &o->recovery,
         .fallback = "on",
         .choices = rp_options_off_on,
         .help = "clients that come back get what they missed; every event has an offset as a "
                 "further last argument"},
        {.name = "connect-timeout",
         .kind = RP_OPTION_DURATION,
         .number = &o->connect_timeout_ms,
         .fallback = "45s",
         .min = 10,
         .max = 3600000,
         .help = "for a client to connect to a namespace, before it is closed"},
        {.name = "Broker and watchers", .kind = RP_OPTION_GROUP},
        {.name = "broker",
         .kind = RP_OPTION_STRING,
         .text = &p->broker,
         .fallback = "tcp://127.0.0.1:5570",
         .value = "ENDPOINT",
         .check = rp_uplink_check_endpoint,
         .help = "the broker, as in its own --listen"},
        {.name = "broker-key",
         .kind = RP_OPTION_STRING,
         .text = &p->broker_key,
         .value = "KEY|FILE",
         .is_file = true,
         .help = "the broker's public key, or the file .pub with it: then the link is encrypted"},
        {.name = "curve-key",
         .kind = RP_OPTION_STRING,
         .text = &p->curve_key,
         .value = "FILE",
         .is_file = true,
         .help = "this gateway's own keys, made by `reprise keygen`; the public one must be in the "
                 "broker's --allow"},
        {.name = "plain-links",
         .kind = RP_OPTION_FLAG,
         .flag = &p->plain_links,
         .help = "connect to a broker on another machine without keys: whoever can answer there "
                 "is trusted, and what is on the wire can be read"},
        {.name = "admin",
         .kind = RP_OPTION_STRING,
         .text = &p->admin_address,
         .fallback = "127.0.0.1:3003",
         .value = "HOST:PORT|off",
         .check = rp_address_check_or_off,
         .help = "where /metrics and /health are; keep it away from the public"},
        {.name = "name",
         .kind = RP_OPTION_STRING,
         .text = &p->name,
         .value = "NAME",
         .check = check_name,
         .help =
             "what this gateway is called in logs and on the demo page; by default its address, or "
             "the machine's name if it listens at all addresses"},
        {.name = "Files", .kind = RP_OPTION_GROUP},
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
    };
    const struct rp_options_program program = {
        .program = "reprise-gateway",
        .summary = "Holds the connections of Socket.IO clients and passes their events to and from "
                   "the broker.",
        .listen = "127.0.0.1:3000",
        .path = "/socket.io",
        .max_payload = "1000000",
        .max_payload_max = RP_PAYLOAD_BYTES_MAX,
        .more = more,
        .more_count = sizeof more / sizeof *more,
    };
    int status = rp_options_parse(&program, argc, argv, o);
    const char *problem = status < 0 ? find_contradiction(p) : NULL;
    if (problem != NULL) {
        fprintf(stderr, "reprise-gateway: %s. reprise-gateway --help lists the options.\n",
                problem);
        return STATUS_USAGE;
    }
    return status;
}

/* ---- the loop ---- */

static void tell_status(const struct program *p) {
    rp_notify_status(p->serve.notify, "%s, clients at %s",
                     p->linked ? "Linked to the broker" : "Waiting for the broker",
                     rp_listen_address(p->serve.listen));
}

static void tell_news(struct program *p) {
    const char *notice;
    while ((notice = rp_gateway_notice(p->serve.gateway))[0] != '\0') {
        rp_log_warn("news of the link notice=%s broker=%s", notice, p->broker);
    }
    const struct rp_gateway_stats *stats = rp_gateway_stats(p->serve.gateway);
    if (stats->linked && !p->linked) {
        rp_log_info("linked to the broker broker=%s", p->broker);
    }
    if (stats->linked != p->linked) {
        p->linked = stats->linked;
        if (!rp_serve_is_draining(&p->serve)) {
            tell_status(p);
        }
    }
}

static void run(struct program *p) {
    for (;;) {
        uint64_t now_ms = rp_clock_mono_ms();
        rp_uplink_receive(p->uplink, now_ms);
        rp_serve_turn(&p->serve, now_ms);
        bool more = rp_uplink_send(p->uplink, now_ms);
        tell_news(p);
        if (rp_serve_is_stopped(&p->serve, now_ms)) {
            rp_gateway_bye(p->serve.gateway);
            rp_uplink_part(p->uplink, now_ms);
            return;
        }
        rp_serve_wait(&p->serve, more);
    }
}

/* ---- the start ---- */

static bool open_admin(struct program *p) {
    p->report = (struct rp_report){.serve = &p->serve};
    if (strcmp(p->admin_address, "off") == 0) {
        return true;
    }
    struct rp_address address;
    char why[256];
    enum rp_err err = rp_address_parse(p->admin_address, &address);
    RP_ASSERT(err == RP_OK); /* the option was checked */
    const struct rp_admin_source source = rp_report_source(&p->report);
    if (rp_admin_new(p->serve.base, &address, "reprise-gateway", &source, why, sizeof why,
                     &p->admin) != RP_OK) {
        rp_log_error("cannot listen for metrics; choose another --admin or off admin=%s error=%s",
                     p->admin_address, why);
        return false;
    }
    return true;
}

/* False: it was logged why not. */
static bool open_uplink(struct program *p) {
    struct rp_uplink_keys keys;
    char why[RP_CURVE_WHY_SIZE];
    bool has_keys = p->curve_key != NULL;
    if (has_keys && (rp_curve_read_keys(p->curve_key, &keys.own, why, sizeof why) != RP_OK ||
                     rp_curve_read_public(p->broker_key, &keys.broker, why, sizeof why) != RP_OK)) {
        rp_log_error("cannot use the keys of --curve-key and --broker-key error=%s", why);
        return false;
    }
    enum rp_err err = rp_uplink_new(p->serve.base, p->serve.gateway, p->broker,
                                    has_keys ? &keys : NULL, &p->uplink);
    RP_ASSERT(err == RP_OK); /* the option was checked */
    explicit_bzero(&keys, sizeof keys);
    return true;
}

/* False: it was logged why not. */
static bool start(struct program *p) {
    if (!rp_serve_open(&p->serve, &p->options, RP_GATEWAY_SOCKETIO, p->name)) {
        return false;
    }
    if (!open_uplink(p) || !open_admin(p)) {
        return false;
    }
    rp_serve_start(&p->serve);
    return true;
}

static void tell_ready(const struct program *p) {
    printf("ready gateway listen=%s broker=%s admin=%s\n", rp_listen_address(p->serve.listen),
           p->broker, p->admin != NULL ? rp_admin_address(p->admin) : "off");
    fflush(stdout);
    tell_status(p);
    rp_notify_ready(p->serve.notify);
}

int main(int argc, char **argv) {
    struct program p = {.linked = false};
    int status = parse_options(&p, argc, argv);
    if (status >= 0) {
        rp_options_done(&p.options);
        return status;
    }
    rp_log_set_level((enum rp_log_level) p.options.log_level);
    bool started = start(&p);
    if (started) {
        tell_ready(&p);
        run(&p);
        const struct rp_gateway_stats *stats = rp_gateway_stats(p.serve.gateway);
        rp_log_info("stopped clients_left=%" PRIu64 " requests_left=%" PRIu64, stats->clients,
                    stats->requests_open);
    }
    rp_admin_free(p.admin);
    rp_uplink_free(p.uplink);
    rp_serve_close(&p.serve);
    rp_options_done(&p.options);
    return started ? EXIT_SUCCESS : EXIT_FAILURE;
}
