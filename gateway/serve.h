/* gateway/serve.h — the parts of a program that serves clients, and the turn of its loop: sockets,
 * the site, the connections, the core. The gateway (main.c) adds the broker and the admin port, the
 * echo programs of tests/echo nothing.
 *
 * The life of a program:
 *     rp_serve_open, its own parts, rp_serve_start;
 *     while not rp_serve_is_stopped: [messages in] rp_serve_turn [messages out] rp_serve_wait;
 *     its own parts end, rp_serve_close.
 *
 * SIGTERM and SIGINT stop it: clients are sent away over --drain-time; a second one ends it at
 * once. SIGHUP reads the TLS certificate again. A service manager is told of all three; that it
 * serves, the program tells it (common/notify.h). */
#pragma once

#include "common/notify.h"
#include "gateway/conn.h"
#include "gateway/gateway.h"
#include "gateway/listen.h"
#include "gateway/options.h"
#include "gateway/site.h"
#include "gateway/tls.h"

#include <event2/event.h>

enum { RP_SERVE_SIGNALS = 3 };

/* The program reads what it needs; only serve.c changes it. */
struct rp_serve {
    const struct rp_options *options;
    char name[RP_ADDRESS_TEXT_SIZE];
    struct event_base *base;
    struct rp_notify *notify; /* NULL: nobody wants to know */
    struct event *timer, *signals[RP_SERVE_SIGNALS];
    struct rp_patterns *origins, *namespaces;
    struct rp_deflate *deflate;
    struct rp_tls *tls;
    struct rp_site *site;
    struct rp_gateway *gateway;
    struct rp_conns *conns;
    struct rp_listen *listen; /* NULL: it does not listen any more */
    uint64_t connections_max; /* of --max-connections, bounded by the open files */
    uint64_t busy_max;        /* connections past it that get a 503 */
    struct rp_budget budget;  /* of --memory-budget */
    uint64_t timer_ms;        /* when the timer fires; UINT64_MAX: it does not */
    uint64_t stop_ms;         /* when to stop at the latest; UINT64_MAX: not stopping */
    bool stopping;            /* a signal came */
    bool reload;              /* SIGHUP came */
};

/* Makes all parts; listens, without accepting yet. Borrows options. name is what the gateway is
 * called; NULL: its first address, or the machine's name if that is all addresses. False: it was
 * logged why not; rp_serve_close is due all the same. */
RP_MUST_USE bool rp_serve_open(struct rp_serve *s, const struct rp_options *options,
                               enum rp_gateway_mode mode, const char *name);
/* Accepts from now on. */
void rp_serve_start(struct rp_serve *s);
void rp_serve_close(struct rp_serve *s);

/* The core's timers, and all that goes to clients. */
void rp_serve_turn(struct rp_serve *s, uint64_t now_ms);
/* Whether everybody was sent away, or the time for that is over. */
bool rp_serve_is_stopped(const struct rp_serve *s, uint64_t now_ms);
/* Whether it is about to stop: the clients are being sent away. */
bool rp_serve_is_draining(const struct rp_serve *s);
/* Sleeps until something happens or is due; not at all if there is more to do. */
void rp_serve_wait(struct rp_serve *s, bool more);
