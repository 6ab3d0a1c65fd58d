#include "gateway/options.h"

#include "common/assert.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/pattern.h"
#include "gateway/site.h"

#include <stdio.h>

enum { OPTIONS_MAX = 64, HOUR_MS = 3600000 };

const char *const rp_options_off_on[] = {"off", "on", NULL};

/* ---- checks ---- */

/* Cuts the first of a list separated by commas off *rest, without the white space around it. */
static struct rp_bytes next_entry(struct rp_bytes *rest) {
    const uint8_t *comma = rest->len > 0 ? memchr(rest->data, ',', rest->len) : NULL;
    size_t len = comma != NULL ? (size_t) (comma - rest->data) : rest->len;
    struct rp_bytes entry = rp_bytes_trim(rp_bytes(rest->data, len));
    *rest = rp_bytes_skip(*rest, comma != NULL ? len + 1 : len);
    return entry;
}

const char *rp_options_check_namespaces(const char *text) {
    const char *problem = rp_patterns_check(text);
    struct rp_bytes rest = rp_bytes_str(text);
    while (rest.len > 0 && problem == NULL) {
        struct rp_bytes entry = next_entry(&rest);
        problem = entry.len > 0 && entry.data[0] == '/'
                      ? NULL
                      : "namespaces, each with a slash in front, separated by commas; * is any "
                        "text (/,/admin,/tenant-*)";
    }
    return problem;
}

static bool has(struct rp_bytes text, const char *part) {
    return text.len > 0 && memmem(text.data, text.len, part, strlen(part)) != NULL;
}

/* What looks like an origin and could never be one is a slip that costs an afternoon. */
static const char *check_origins(const char *text) {
    const char *problem = rp_patterns_check(text);
    struct rp_bytes rest = rp_bytes_str(text);
    while (rest.len > 0 && problem == NULL) {
        struct rp_bytes entry = next_entry(&rest);
        bool ok = entry.len > 0 && entry.data[entry.len - 1] != '/' &&
                  (has(entry, "://") || entry.data[0] == '*' || rp_bytes_eq_str(entry, "null"));
        problem = ok ? NULL
                     : "origins separated by commas, each a scheme and a host without a slash at "
                       "the end; * is any text (https://app.example,https://*.example,*)";
    }
    return problem;
}

/* *ret_polling and *ret_websocket: whether they are in the list. False: something else is, too. */
static bool parse_transports(const char *text, bool *ret_polling, bool *ret_websocket) {
    struct rp_bytes rest = rp_bytes_str(text);
    *ret_polling = *ret_websocket = false;
    bool ok = rest.len > 0 && rest.data[rest.len - 1] != ',';
    while (rest.len > 0 && ok) {
        struct rp_bytes entry = next_entry(&rest);
        *ret_polling = *ret_polling || rp_bytes_eq_str(entry, "polling");
        *ret_websocket = *ret_websocket || rp_bytes_eq_str(entry, "websocket");
        ok = rp_bytes_eq_str(entry, "polling") || rp_bytes_eq_str(entry, "websocket");
    }
    return ok;
}

static const char *check_transports(const char *text) {
    bool polling, websocket;
    return parse_transports(text, &polling, &websocket) ? NULL
                                                        : "polling, websocket, or both with a "
                                                          "comma";
}

static const char *check_listen(const char *text) {
    return strcmp(text, "off") == 0 || rp_addresses_check(text) == NULL ? NULL
                                                                        : RP_ADDRESSES_EXPECTED
               ", or off";
}

/* ---- the table ---- */

struct table {
    struct rp_option options[OPTIONS_MAX];
    size_t count;
};

static void put(struct table *t, const struct rp_option *options, size_t count) {
    RP_ASSERT(t->count + count <= OPTIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        t->options[t->count++] = options[i];
    }
}

#define PUT(table, array) put(table, array, sizeof(array) / sizeof *(array))

static void put_addresses(struct table *t, const struct rp_options_program *program,
                          struct rp_options *o) {
    const struct rp_option options[] = {
        {.name = "Addresses", .kind = RP_OPTION_GROUP},
        {.name = "listen",
         .kind = RP_OPTION_STRING,
         .text = &o->listen,
         .fallback = program->listen,
         .value = "ADDRESSES|off",
         .check = check_listen,
         .help = "where clients connect: HOST:PORT or unix:/PATH"},
        {.name = "tls-listen",
         .kind = RP_OPTION_STRING,
         .text = &o->tls_listen,
         .value = "ADDRESSES",
         .check = rp_addresses_check,
         .help = "where clients connect with TLS (https, wss)"},
        {.name = "tls-cert",
         .kind = RP_OPTION_STRING,
         .text = &o->tls_cert,
         .value = "FILE",
         .is_file = true,
         .help = "the certificate and its chain (PEM), read again on SIGHUP"},
        {.name = "tls-key",
         .kind = RP_OPTION_STRING,
         .text = &o->tls_key,
         .value = "FILE",
         .is_file = true,
         .help = "its private key (PEM, without a passphrase)"},
        {.name = "trusted-proxies",
         .kind = RP_OPTION_STRING,
         .text = &o->trusted_proxies,
         .value = "NETWORKS",
         .check = rp_cidrs_check,
         .help = "proxies whose word counts about where a client comes from (X-Forwarded-For, "
                 "PROXY): addresses, networks, unix"},
        {.name = "proxy-protocol",
         .kind = RP_OPTION_CHOICE,
         .choice = &o->proxy_protocol,
         .fallback = "off",
         .choices = rp_options_off_on,
         .help = "connections of trusted proxies begin with a PROXY header (version 2)"},
    };
    PUT(t, options);
}

static void put_transports(struct table *t, const struct rp_options_program *program,
                           struct rp_options *o) {
    const struct rp_option options[] = {
        {.name = "Transports", .kind = RP_OPTION_GROUP},
        {.name = "path",
         .kind = RP_OPTION_STRING,
         .text = &o->path,
         .fallback = program->path,
         .value = "PATH",
         .check = rp_site_check_path,
         .help = "of the transports, the same as in the clients' options"},
        {.name = "transports",
         .kind = RP_OPTION_STRING,
         .text = &o->transports,
         .fallback = "polling,websocket",
         .value = "NAMES",
         .check = check_transports,
         .help = "the transports that are offered"},
        {.name = "allow-upgrades",
         .kind = RP_OPTION_CHOICE,
         .choice = &o->allow_upgrades,
         .fallback = "on",
         .choices = rp_options_off_on,
         .help = "clients go from long-polling to WebSocket where they can"},
        {.name = "upgrade-timeout",
         .kind = RP_OPTION_DURATION,
         .number = &o->upgrade_timeout_ms,
         .fallback = "10s",
         .min = 10,
         .max = HOUR_MS,
         .help = "for that to be done, before the WebSocket is closed"},
        {.name = "ping-interval",
         .kind = RP_OPTION_DURATION,
         .number = &o->ping_interval_ms,
         .fallback = "25s",
         .min = 10,
         .max = HOUR_MS,
         .help = "between heartbeats to a client"},
        {.name = "ping-timeout",
         .kind = RP_OPTION_DURATION,
         .number = &o->ping_timeout_ms,
         .fallback = "20s",
         .min = 10,
         .max = HOUR_MS,
         .help = "for a client to answer a heartbeat, before it is closed"},
        {.name = "per-message-deflate",
         .kind = RP_OPTION_CHOICE,
         .choice = &o->per_message_deflate,
         .fallback = "off",
         .choices = rp_options_off_on,
         .help = "compress WebSocket messages for clients that ask for it; costs CPU"},
        {.name = "per-message-deflate-threshold",
         .kind = RP_OPTION_SIZE,
         .number = &o->per_message_deflate_threshold,
         .fallback = "1024",
         .max = RP_PAYLOAD_BYTES_MAX,
         .help = "smaller messages are sent as they are"},
        {.name = "http-compression",
         .kind = RP_OPTION_CHOICE,
         .choice = &o->http_compression,
         .fallback = "on",
         .choices = rp_options_off_on,
         .help = "compress files and the large answers of long-polling (gzip, deflate)"},
    };
    PUT(t, options);
}

static void put_pages(struct table *t, struct rp_options *o) {
    const struct rp_option options[] = {
        {.name = "Pages that connect", .kind = RP_OPTION_GROUP},
        {.name = "cors-origin",
         .kind = RP_OPTION_STRING,
         .text = &o->cors_origin,
         .value = "ORIGINS",
         .check = check_origins,
         .help = "origins whose pages may connect, where * is any text; those from elsewhere are "
                 "refused. Without it no page of another origin can use long-polling, and any can "
                 "use WebSocket"},
        {.name = "cors-credentials",
         .kind = RP_OPTION_CHOICE,
         .choice = &o->cors_credentials,
         .fallback = "off",
         .choices = rp_options_off_on,
         .help = "let them send cookies (withCredentials)"},
        {.name = "cookie",
         .kind = RP_OPTION_STRING,
         .text = &o->cookie,
         .value = "NAME",
         .check = rp_site_check_cookie,
         .help = "set a cookie of this name to a client's id when it opens long-polling, for load "
                 "balancers that want one"},
    };
    PUT(t, options);
}

static void put_limits(struct table *t, const struct rp_options_program *program,
                       struct rp_options *o) {
    const struct rp_option options[] = {
        {.name = "Limits", .kind = RP_OPTION_GROUP},
        {.name = "max-payload",
         .kind = RP_OPTION_SIZE,
         .number = &o->max_payload,
         .fallback = program->max_payload,
         .min = 1,
         .max = program->max_payload_max,
         .help = "the largest message of a client, in bytes; a larger one closes it"},
        {.name = "max-connections",
         .kind = RP_OPTION_INTEGER,
         .number = &o->connections_max,
         .fallback = "100000",
         .min = 1,
         .max = 10000000,
         .help = "further clients are answered with 503; the limit of open files bounds it, too"},
        {.name = "memory-budget",
         .kind = RP_OPTION_SIZE,
         .number = &o->memory_budget,
         .fallback = "auto",
         .min = 1 << 20,
         .max = UINT64_C(1) << 40,
         .word = "auto",
         .word_number = UINT64_MAX,
         .help =
             "what clients may make this hold that they have not taken, or sent in part; auto "
             "is half of the memory that its control group (container, service) may use, or the "
             "machine has, and at most 2560M"},
        {.name = "header-timeout",
         .kind = RP_OPTION_DURATION,
         .number = &o->header_timeout_ms,
         .fallback = "10s",
         .min = 10,
         .max = HOUR_MS,
         .help = "for the head of an HTTP request to arrive"},
        {.name = "Process", .kind = RP_OPTION_GROUP},
        {.name = "drain-time",
         .kind = RP_OPTION_DURATION,
         .number = &o->drain_ms,
         .fallback = "5s",
         .max = HOUR_MS,
         .help = "over which clients are sent away when the program is stopped"},
        {.name = "log-level",
         .kind = RP_OPTION_CHOICE,
         .choice = &o->log_level,
         .fallback = "info",
         .choices = rp_log_levels,
         .help = "what is logged to standard error"},
    };
    PUT(t, options);
}

/* ---- what follows ---- */

/* What is wrong with options that are fine each by itself; NULL: nothing. */
/* What matches the empty name is made of asterisks: then all names do. */
static bool is_any_origin(const char *text) {
    struct rp_patterns *origins;
    enum rp_err err = rp_patterns_parse(text, RP_PATTERNS_ANY_CASE, &origins);
    RP_ASSERT(err == RP_OK); /* the option was checked */
    bool any = rp_patterns_match(origins, rp_bytes(NULL, 0));
    rp_patterns_free(origins);
    return any;
}

static const char *find_contradiction(const struct rp_options *o) {
    bool tls = o->tls_listen != NULL;
    if (tls && (o->tls_cert == NULL || o->tls_key == NULL)) {
        return "--tls-listen needs a certificate and its key: set --tls-cert and --tls-key (both "
               "may be one file)";
    }
    if (!tls && (o->tls_cert != NULL || o->tls_key != NULL)) {
        return "--tls-cert and --tls-key are of no use without --tls-listen, the address where "
               "clients connect with TLS";
    }
    if (!tls && strcmp(o->listen, "off") == 0) {
        return "with --listen off there must be a --tls-listen";
    }
    if (o->proxy_protocol && o->trusted_proxies == NULL) {
        return "--proxy-protocol on needs --trusted-proxies, the addresses that are believed";
    }
    if (o->cors_credentials && o->cors_origin == NULL) {
        return "--cors-credentials on needs --cors-origin, the origins that may send cookies";
    }
    if (o->cors_credentials && is_any_origin(o->cors_origin)) {
        return "--cors-credentials on with --cors-origin * would let every page act for its "
               "visitors; name the origins that may";
    }
    return NULL;
}

static void derive(struct rp_options *o) {
    bool polling, websocket;
    bool ok = parse_transports(o->transports, &polling, &websocket);
    o->no_polling = !polling;
    o->no_websocket = !websocket;
    o->addresses.count = o->tls_addresses.count = o->trusted.count = 0;
    if (strcmp(o->listen, "off") != 0) {
        ok = ok && rp_addresses_parse(o->listen, &o->addresses) == RP_OK;
    }
    if (o->tls_listen != NULL) {
        ok = ok && rp_addresses_parse(o->tls_listen, &o->tls_addresses) == RP_OK;
    }
    if (o->trusted_proxies != NULL) {
        ok = ok && rp_cidrs_parse(o->trusted_proxies, &o->trusted) == RP_OK;
    }
    RP_ASSERT(ok); /* the options were checked */
}

int rp_options_parse(const struct rp_options_program *program, int argc, char **argv,
                     struct rp_options *ret_options) {
    struct rp_options *o = ret_options;
    *o = (struct rp_options){.connect_timeout_ms = HOUR_MS}; /* where there is no option for it */
    struct table t = {.count = 0};
    put_addresses(&t, program, o);
    put_transports(&t, program, o);
    put_pages(&t, o);
    put(&t, program->more, program->more_count);
    put_limits(&t, program, o);
    o->set = (struct rp_option_set){.program = program->program,
                                    .summary = program->summary,
                                    .options = t.options,
                                    .options_count = t.count};
    int status = rp_option_main(&o->set, argc, argv);
    o->set.options = NULL; /* the table ends here */
    o->set.options_count = 0;
    if (status >= 0) {
        return status;
    }
    const char *problem = find_contradiction(o);
    if (problem != NULL) {
        fprintf(stderr, "%s: %s. %s --help lists the options.\n", program->program, problem,
                program->program);
        return 2;
    }
    derive(o);
    return -1;
}

void rp_options_done(struct rp_options *options) {
    rp_option_done(&options->set);
}
