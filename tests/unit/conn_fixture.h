/* Connections (gateway/conn.h) between a socketpair and a core that is played by the test:
 * exchanges are answered when the test says so, messages of WebSockets come back. */
#pragma once

#include "common/address.h"
#include "common/assert.h"
#include "common/blob.h"
#include "common/cidr.h"
#include "common/clock.h"
#include "common/list.h"
#include "common/pattern.h"
#include "gateway/conn.h"
#include "gateway/tls.h"
#include "proto/deflate.h"
#include "proto/ws.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAYLOAD_MAX = 4000, OUTPUT_MAX = 8 << 20 };

/* ---- requests ---- */

#define POLL "/socket.io/?EIO=4&transport=polling"
#define OPEN "GET " POLL " HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET "GET " POLL "&sid=known HTTP/1.1\r\nHost: a\r\n\r\n"
#define UPGRADE(query, headers)                                                                    \
    "GET /socket.io/?EIO=4&transport=websocket" query " HTTP/1.1\r\nHost: a\r\n"                   \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"                   \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" headers "\r\n"
#define OK "HTTP/1.1 200 "

/* ---- the core ---- */

struct rp_wire {
    void *shell;
    struct rp_buf out;
    bool closing, dirty, deflate, pending, refused;
};

struct rp_exchange {
    struct rp_list node; /* answered, not taken yet */
    void *shell;
    int status;
    struct rp_buf body;
    char sid[RP_EIO_SID_BYTES_MAX + 1];
};

struct core {
    struct rp_list answered;
    struct rp_wire *wire;         /* the last one */
    struct rp_exchange *exchange; /* the last one under way */
    struct rp_buf posted, heard;  /* the last body; all messages */
    int wires, exchanges;         /* now */
    int delivered, lost;          /* exchanges, so far */
    uint16_t close_code;
    bool mute;          /* messages are counted and do not come back */
    size_t heard_bytes; /* then */
    bool wants_handshakes;
    char handshake[RP_HANDSHAKE_REQUEST_BYTES_MAX]; /* the last one */
    size_t handshake_len;
    enum rp_leave why; /* of the last close */
};

static struct core core;

static struct rp_exchange *exchange_new(void *shell, struct rp_bytes sid) {
    struct rp_exchange *x = RP_NEW(struct rp_exchange);
    x->shell = shell;
    rp_buf_init(&x->body, OUTPUT_MAX);
    memcpy(x->sid, sid.data, sid.len);
    core.exchange = x;
    core.exchanges++;
    return x;
}

static void core_answer(int status, struct rp_bytes body) {
    struct rp_exchange *x = core.exchange;
    x->status = status;
    assert_int_equal(rp_buf_put(&x->body, body), RP_OK);
    rp_list_append(&core.answered, &x->node);
}

static void note_handshake(struct rp_bytes handshake) {
    core.handshake_len = handshake.len;
    if (handshake.len > 0) {
        memcpy(core.handshake, handshake.data, handshake.len);
    }
}

size_t rp_gateway_handshake_bytes(const struct rp_gateway *g) {
    (void) g;
    return core.wants_handshakes ? RP_HANDSHAKE_REQUEST_BYTES_MAX : 0;
}

struct rp_exchange *rp_gateway_poll_open(struct rp_gateway *g, void *shell,
                                         struct rp_bytes handshake, uint64_t now_ms) {
    (void) g;
    note_handshake(handshake);
    (void) now_ms;
    struct rp_exchange *x = exchange_new(shell, RP_BYTES_LIT(""));
    core_answer(200, RP_BYTES_LIT("0{}"));
    return x;
}

struct rp_exchange *rp_gateway_poll_get(struct rp_gateway *g, void *shell, struct rp_bytes sid,
                                        uint64_t now_ms) {
    (void) g;
    (void) now_ms;
    return exchange_new(shell, sid);
}

/* The session "busy" has another POST under way. */
struct rp_exchange *rp_gateway_poll_post(struct rp_gateway *g, void *shell, struct rp_bytes sid,
                                         uint64_t now_ms) {
    (void) g;
    (void) now_ms;
    struct rp_exchange *x = exchange_new(shell, sid);
    if (rp_bytes_eq_str(sid, "busy")) {
        core_answer(400, RP_BYTES_LIT("{}"));
    }
    return x;
}

void rp_gateway_post_body(struct rp_gateway *g, struct rp_exchange *x, struct rp_buf *body,
                          uint64_t now_ms) {
    (void) g;
    (void) now_ms;
    assert_int_equal(x->status, 0);
    rp_buf_clear(&core.posted);
    assert_int_equal(rp_buf_put(&core.posted, rp_buf_bytes(body)), RP_OK);
    rp_buf_clear(body);
    core_answer(200, RP_BYTES_LIT("ok"));
}

struct rp_exchange *rp_gateway_next_answered(struct rp_gateway *g) {
    (void) g;
    struct rp_list *node = rp_list_first(&core.answered);
    if (node == NULL) {
        return NULL;
    }
    rp_list_remove(node);
    return RP_CONTAINER_OF(node, struct rp_exchange, node);
}

void *rp_exchange_shell(const struct rp_exchange *x) {
    return x->shell;
}

int rp_exchange_status(const struct rp_exchange *x) {
    return x->status;
}

struct rp_bytes rp_exchange_body(const struct rp_exchange *x) {
    return rp_buf_bytes(&x->body);
}

struct rp_bytes rp_exchange_sid(const struct rp_exchange *x) {
    (void) x;
    return RP_BYTES_LIT("");
}

void rp_gateway_exchange_end(struct rp_gateway *g, struct rp_exchange *x, bool delivered,
                             uint64_t now_ms) {
    (void) g;
    (void) now_ms;
    core.delivered += delivered;
    core.lost += !delivered;
    core.exchanges--;
    core.exchange = core.exchange == x ? NULL : core.exchange;
    rp_list_remove(&x->node);
    rp_buf_done(&x->body);
    free(x);
}

struct rp_wire *rp_gateway_open(struct rp_gateway *g, void *shell, struct rp_bytes handshake,
                                uint64_t now_ms) {
    (void) g;
    note_handshake(handshake);
    (void) now_ms;
    struct rp_wire *w = RP_NEW(struct rp_wire);
    w->shell = shell;
    w->dirty = true;
    rp_buf_init(&w->out, OUTPUT_MAX);
    core.wire = w;
    core.wires++;
    return w;
}

/* The session "known" can be upgraded, and "far" is with another gateway. */
struct rp_wire *rp_gateway_upgrade(struct rp_gateway *g, void *shell, struct rp_bytes sid,
                                   uint64_t now_ms) {
    bool far = rp_bytes_eq_str(sid, "far");
    struct rp_wire *w = far || rp_bytes_eq_str(sid, "known")
                            ? rp_gateway_open(g, shell, rp_bytes(NULL, 0), now_ms)
                            : NULL;
    if (far) {
        w->pending = true;
        w->dirty = false;
    }
    return w;
}

/* The other gateway has said whether it has the session. */
static inline void core_decide(bool known) {
    core.wire->pending = false;
    core.wire->refused = core.wire->closing = !known;
    core.wire->dirty = true;
}

bool rp_wire_is_pending(const struct rp_wire *w) {
    return w->pending;
}

bool rp_wire_is_refused(const struct rp_wire *w) {
    return w->refused;
}

void rp_wire_use_deflate(struct rp_wire *w) {
    w->deflate = true;
}

void rp_gateway_put_frame(struct rp_gateway *g, struct rp_wire *w, struct rp_blob *frame) {
    (void) g;
    assert_int_equal(rp_buf_put(&w->out, rp_bytes(frame->data, frame->len)), RP_OK);
    rp_blob_unref(frame);
    w->dirty = true;
}

static void echo(struct rp_wire *w, enum rp_ws_kind kind, struct rp_bytes data) {
    core.heard_bytes += data.len;
    if (core.mute) {
        return;
    }
    assert_int_equal(rp_buf_put(&core.heard, data), RP_OK);
    rp_gateway_put_frame(NULL, w, rp_ws_frame(kind, data));
}

void rp_gateway_text(struct rp_gateway *g, struct rp_wire *w, struct rp_bytes text,
                     uint64_t now_ms) {
    (void) g;
    (void) now_ms;
    assert_true(rp_bytes_is_utf8(text));
    echo(w, RP_WS_TEXT, text);
}

void rp_gateway_binary(struct rp_gateway *g, struct rp_wire *w, struct rp_bytes data,
                       uint64_t now_ms) {
    (void) g;
    (void) now_ms;
    echo(w, RP_WS_BINARY, data);
}

void rp_gateway_close(struct rp_gateway *g, struct rp_wire *w, uint16_t code, const char *reason,
                      enum rp_leave why, uint64_t now_ms) {
    (void) now_ms;
    core.close_code = code;
    core.why = why;
    rp_gateway_put_frame(g, w, rp_ws_close_frame(code, reason));
    w->closing = true;
}

void rp_gateway_gone(struct rp_gateway *g, struct rp_wire *w, uint64_t now_ms) {
    (void) g;
    (void) now_ms;
    core.wires--;
    core.wire = core.wire == w ? NULL : core.wire;
    rp_buf_done(&w->out);
    free(w);
}

void *rp_wire_shell(const struct rp_wire *w) {
    return w->shell;
}

/* In small pieces, so that they are gathered. */
size_t rp_wire_output(const struct rp_wire *w, struct rp_bytes *ret_parts, size_t max) {
    size_t count = 0, at = 0;
    while (count < max && at < w->out.len) {
        size_t len = w->out.len - at < 700 ? w->out.len - at : 700;
        ret_parts[count++] = rp_bytes(w->out.data + at, len);
        at += len;
    }
    return count;
}

bool rp_wire_has_output(const struct rp_wire *w) {
    return w->out.len > 0;
}

void rp_gateway_sent(struct rp_gateway *g, struct rp_wire *w, size_t bytes, uint64_t now_ms) {
    (void) g;
    (void) now_ms;
    rp_buf_consume(&w->out, bytes);
}

/* What is not written yet keeps it from reading, as in the real one. */
bool rp_wire_wants_read(const struct rp_wire *w) {
    return !w->pending && w->out.len < 1 << 16;
}

bool rp_wire_is_closing(const struct rp_wire *w) {
    return w->closing;
}

struct rp_wire *rp_gateway_next_dirty(struct rp_gateway *g) {
    (void) g;
    if (core.wire == NULL || !core.wire->dirty) {
        return NULL;
    }
    core.wire->dirty = false;
    return core.wire;
}

/* ---- the shell around it ---- */

struct world {
    struct event_base *base;
    struct rp_site *site;
    struct rp_conns *conns;
    struct rp_deflate *deflate;
    struct rp_cidrs trusted;
    struct rp_patterns *origins;
    int fd;            /* the client's end */
    struct rp_buf got; /* what the client received */
    bool ended;        /* it received the end */
    uint64_t later_ms; /* the clock is ahead by this */
    struct rp_conn_kind kind;
    struct rp_tls *tls;
};

static struct world world;
/* Of the next world. */
static size_t world_connections_max = 2;
static size_t world_payload_max = PAYLOAD_MAX;
static const char *world_origins; /* NULL: no list */

/* In place of common/clock.c. */
static uint64_t clock_ms(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t) t.tv_sec * 1000 + (uint64_t) t.tv_nsec / 1000000;
}

uint64_t rp_clock_mono_ms(void) {
    return clock_ms(CLOCK_MONOTONIC) + world.later_ms;
}

uint64_t rp_clock_wall_ms(void) {
    return clock_ms(CLOCK_REALTIME);
}

static inline void open_conns(void) {
    const struct rp_conns_config config = {.base = world.base,
                                           .site = world.site,
                                           .tls = world.tls,
                                           .trusted = &world.trusted,
                                           .deflate = world.deflate,
                                           .max_payload = world_payload_max,
                                           .connections_max = world_connections_max,
                                           .busy_max = 2,
                                           .header_timeout_ms = 5000};
    world.conns = rp_conns_new(&config);
}

static inline void world_open(void) {
    struct rp_site_config site = {
        .path = "/socket.io", .gateway_name = "test", .deflate = true, .demo = true};
    struct rp_site_problem problem;
    signal(SIGPIPE, SIG_IGN);
    core = (struct core){.wires = 0};
    rp_list_init(&core.answered);
    rp_buf_init(&core.posted, OUTPUT_MAX);
    rp_buf_init(&core.heard, OUTPUT_MAX);
    struct rp_tls *tls = world.tls;
    world = (struct world){.fd = -1, .tls = tls};
    rp_buf_init(&world.got, OUTPUT_MAX);
    world.base = event_base_new();
    world.deflate = rp_deflate_new(6);
    assert_int_equal(rp_cidrs_parse("unix,10.0.0.0/8", &world.trusted), RP_OK);
    if (world_origins != NULL) {
        assert_int_equal(rp_patterns_parse(world_origins, RP_PATTERNS_ANY_CASE, &world.origins),
                         RP_OK);
        site.origins = world.origins;
    }
    assert_int_equal(rp_site_new(&site, &world.site, &problem), RP_OK);
    open_conns();
}

static inline void world_close(void) {
    rp_conns_free(world.conns);
    assert_int_equal(core.wires, 0);
    assert_int_equal(core.exchanges, 0);
    rp_site_free(world.site);
    rp_patterns_free(world.origins);
    rp_deflate_free(world.deflate);
    event_base_free(world.base);
    if (world.fd >= 0) {
        close(world.fd);
    }
    rp_buf_done(&world.got);
    rp_buf_done(&core.posted);
    rp_buf_done(&core.heard);
}

/* Beside the one that is there, which the caller closes. */
static inline void connect_another(void) {
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    world.fd = fds[1];
    world.ended = false;
    rp_buf_clear(&world.got);
    rp_conns_add(world.conns, fds[0], world.kind, rp_clock_mono_ms());
}

static inline void connect_client(void) {
    if (world.fd >= 0) {
        close(world.fd);
    }
    connect_another();
}

static inline void turn(void) {
    event_base_loop(world.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    rp_conns_turn(world.conns, rp_clock_mono_ms());
}

static inline void receive_some(void) {
    uint8_t *place = rp_buf_reserve(&world.got, 1 << 16);
    assert_non_null(place);
    ssize_t len = recv(world.fd, place, 1 << 16, MSG_DONTWAIT);
    world.got.len += len > 0 ? (size_t) len : 0;
    world.ended = world.ended || len == 0 || (len < 0 && errno == ECONNRESET);
}

/* Lets everything happen that can. */
static inline void settle(void) {
    for (int i = 0; i < 8; i++) {
        turn();
        receive_some();
    }
}

static inline void say(struct rp_bytes bytes) {
    while (bytes.len > 0) {
        ssize_t len = send(world.fd, bytes.data, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (len > 0) {
            bytes = rp_bytes_skip(bytes, (size_t) len);
        } else if (errno != EAGAIN) {
            return; /* the server has had enough */
        }
        turn();
        receive_some();
    }
}

static inline void say_text(const char *text) {
    say(rp_bytes_str(text));
}

static inline const char *got(void) {
    assert_int_equal(rp_buf_put(&world.got, rp_bytes("", 1)), RP_OK);
    world.got.len--;
    return (const char *) world.got.data;
}

/* What came since it was last asked. */
#define expect_answer(start, end)                                                                  \
    do {                                                                                           \
        settle();                                                                                  \
        if (strncmp(got(), (start), strlen(start)) != 0 || strstr(got(), (end)) == NULL) {         \
            fail_msg("not '%s … %s' but: %s", (start), (end), got());                              \
        }                                                                                          \
        rp_buf_clear(&world.got);                                                                  \
    } while (0)

static inline size_t count_of(const char *needle) {
    size_t count = 0;
    for (const char *at = got(); (at = strstr(at, needle)) != NULL; at++) {
        count++;
    }
    return count;
}
