/* gateway/options.h — what a person tells a program that serves clients: where it listens, who may
 * come, which transports, and their limits. The gateway adds what concerns Socket.IO and the broker
 * (main.c); the echo programs of tests/echo add nothing.
 *
 * Above common/option.h, which knows where values come from. Beside: serve.h, which does what is
 * asked here. */
#pragma once

#include "common/address.h"
#include "common/cidr.h"
#include "common/option.h"

/* For struct rp_option's choices: the index is what a bool would be. */
extern const char *const rp_options_off_on[];

struct rp_options {
    /* as given; they live as long as the set */
    const char *listen, *tls_listen, *tls_cert, *tls_key, *trusted_proxies;
    const char *path, *transports, *cookie, *cors_origin;
    const char *client_dir, *namespaces; /* NULL: none, "/" */
    bool demo;
    unsigned proxy_protocol, allow_upgrades, http_compression; /* 0: off, 1: on */
    unsigned per_message_deflate, recovery, cors_credentials;
    unsigned parser; /* enum rp_parser */
    unsigned log_level;
    uint64_t per_message_deflate_threshold;
    uint64_t ping_interval_ms, ping_timeout_ms, connect_timeout_ms, upgrade_timeout_ms;
    uint64_t header_timeout_ms, drain_ms;
    uint64_t max_payload, connections_max;
    uint64_t memory_budget; /* UINT64_MAX: auto */
    /* what follows from them */
    struct rp_addresses addresses, tls_addresses; /* empty: none */
    struct rp_cidrs trusted;
    bool no_polling, no_websocket;
    struct rp_option_set set; /* keeps the texts */
};

/* What differs between programs. */
struct rp_options_program {
    const char *program, *summary;
    const char *listen, *path, *max_payload; /* the defaults */
    uint64_t max_payload_max;                /* bytes */
    const struct rp_option *more;            /* further options, listed behind the common ones */
    size_t more_count;
};

/* Sets all of *ret_options, also what `more` points into, from the command line, the environment
 * and a file. -1 to go on, or the exit status: it was said why. */
RP_MUST_USE int rp_options_parse(const struct rp_options_program *program, int argc, char **argv,
                                 struct rp_options *ret_options);
void rp_options_done(struct rp_options *options);

/* For struct rp_option's check: patterns of namespaces, each with a slash in front. NULL, or what
 * was expected. */
const char *rp_options_check_namespaces(const char *text);
