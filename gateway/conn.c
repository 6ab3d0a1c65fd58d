#include "gateway/conn_state.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_event(evutil_socket_t fd, short what, void *arg);

/* ---- life ---- */

struct rp_conns *rp_conns_new(const struct rp_conns_config *config) {
    struct rp_conns *s = RP_NEW(struct rp_conns);
    s->config = *config;
    if (config->bodies_bytes_max == 0) {
        s->config.bodies_bytes_max = RP_CONN_BODIES_BYTES;
    }
    if (config->answers_bytes_max == 0) {
        s->config.answers_bytes_max = RP_CONN_ANSWERS_BYTES;
    }
    if (config->parts_bytes_max == 0) {
        s->config.parts_bytes_max = RP_CONN_PARTS_BYTES;
    }
    for (int i = 0; i < CONN_STATES; i++) {
        rp_list_init(&s->states[i]);
    }
    rp_list_init(&s->work);
    rp_list_init(&s->waiting);
    rp_buf_init(&s->inflated, config->max_payload);
    return s;
}

static uint64_t state_ms_max(const struct rp_conns *s, enum conn_state state) {
    switch (state) {
    case CONN_PROXY:
    case CONN_TLS:
    case CONN_HEAD:
        return s->config.header_timeout_ms;
    case CONN_IDLE:
        return RP_CONN_IDLE_MS;
    case CONN_BODY:
        return RP_CONN_BODY_MS;
    case CONN_ANSWER:
        return RP_CONN_ANSWER_MS;
    case CONN_CLOSING:
    case CONN_LINGER:
        return RP_CONN_LINGER_MS;
    default:
        return 0;
    }
}

/* The others last as long as the core wants. */
static bool has_deadline(enum conn_state state) {
    return state != CONN_WAIT && state != CONN_ASK && state != CONN_OPEN && state != CONN_DEAD;
}

void rp_conn_enter(struct conn *c, enum conn_state state, uint64_t now_ms) {
    struct rp_conns *s = c->owner;
    RP_ASSERT(c->state != CONN_DEAD);
    rp_list_remove(&c->state_node);
    c->state = (uint8_t) state;
    c->deadline_ms = now_ms + state_ms_max(s, state);
    rp_list_append(&s->states[state], &c->state_node);
}

void rp_conn_want_flush(struct conn *c) {
    if (!rp_list_is_linked(&c->work_node)) {
        rp_list_append(&c->owner->work, &c->work_node);
    }
}

void rp_conn_die(struct conn *c, uint64_t now_ms) {
    if (c->state == CONN_DEAD) {
        return;
    }
    if (c->wire != NULL) {
        rp_gateway_gone(c->owner->config.gateway, c->wire, now_ms);
        c->wire = NULL;
    }
    rp_conn_drop_request(c, now_ms);
    if (c->watched != 0) {
        event_del(&c->event);
        c->watched = 0;
    }
    rp_list_remove(&c->work_node);
    rp_conn_enter(c, CONN_DEAD, now_ms);
}

void rp_conn_fail(struct conn *c, uint64_t now_ms) {
    if (c->wire != NULL) {
        rp_gateway_close(c->owner->config.gateway, c->wire, 0, NULL, RP_LEAVE_TRANSPORT_ERROR,
                         now_ms);
    }
    rp_conn_die(c, now_ms);
}

static void conn_free(struct conn *c) {
    RP_ASSERT(c->state == CONN_DEAD && c->wire == NULL && c->request == NULL);
    rp_list_remove(&c->state_node);
    rp_tls_session_free(c->tls);
    close(c->fd);
    free(c->proxied);
    rp_buf_done(&c->in);
    rp_conn_drop_reader(c);
    c->owner->stats.connections--;
    free(c);
}

static void reap(struct rp_conns *s) {
    struct rp_list *node;
    while ((node = rp_list_first(&s->states[CONN_DEAD])) != NULL) {
        conn_free(RP_CONTAINER_OF(node, struct conn, state_node));
    }
}

struct rp_conns *rp_conns_free(struct rp_conns *s) {
    if (s != NULL) {
        for (int i = 0; i < CONN_DEAD; i++) {
            struct rp_list *node;
            while ((node = rp_list_first(&s->states[i])) != NULL) {
                rp_conn_die(RP_CONTAINER_OF(node, struct conn, state_node), rp_clock_mono_ms());
            }
        }
        struct rp_list *node;
        while ((node = rp_list_first(&s->waiting)) != NULL) {
            rp_conn_die(RP_CONTAINER_OF(node, struct conn, state_node), rp_clock_mono_ms());
        }
        reap(s);
        rp_buf_done(&s->inflated);
        free(s);
    }
    return NULL;
}

/* ---- what the socket is watched for ---- */

/* What OpenSSL has read already does not make the socket ready. */
static bool has_input_within(const struct conn *c) {
    return c->tls != NULL && c->state != CONN_TLS && rp_tls_session_has_input(c->tls);
}

static short events_wanted(const struct conn *c) {
    bool reads = rp_conn_wants_read(c), writes = c->blocked;
    if (c->tls != NULL) { /* each may wait for the other direction */
        bool crossed_read = reads && rp_tls_session_read_wants_write(c->tls);
        bool crossed_write = writes && rp_tls_session_write_wants_read(c->tls);
        reads = reads || crossed_write;
        writes = (writes && !crossed_write) || crossed_read;
    }
    return (short) ((reads ? EV_READ : 0) | (writes ? EV_WRITE : 0));
}

static void watch(struct conn *c) {
    short wanted = events_wanted(c);
    if (wanted != c->watched) {
        if (c->watched != 0) {
            event_del(&c->event);
        }
        c->watched = (uint8_t) wanted;
        if (wanted != 0) {
            event_assign(&c->event, c->owner->config.base, c->fd, (short) (wanted | EV_PERSIST),
                         on_event, c);
            event_add(&c->event, NULL);
        }
    }
    if (rp_conn_wants_read(c) && has_input_within(c)) {
        event_active(&c->event, EV_READ, 0);
    }
}

static void on_event(evutil_socket_t fd, short what, void *arg) {
    (void) fd;
    struct conn *c = arg;
    uint64_t now_ms = rp_clock_mono_ms();
    bool readable = what & EV_READ, writable = what & EV_WRITE;
    if (c->tls != NULL) {
        readable = readable || rp_tls_session_read_wants_write(c->tls);
        writable = writable || rp_tls_session_write_wants_read(c->tls);
    }
    c->blocked = c->blocked && !writable;
    if (c->state == CONN_PROXY || c->state == CONN_TLS) {
        rp_conn_begin(c, now_ms);
    } else if (readable) {
        rp_conn_read(c, now_ms);
    }
    if (c->state != CONN_DEAD) {
        rp_conn_want_flush(c); /* also to watch for something else from now on */
    }
}

/* ---- writing ---- */

void rp_conn_finish(struct conn *c, uint64_t now_ms) {
    if (c->wire != NULL) {
        rp_gateway_gone(c->owner->config.gateway, c->wire, now_ms);
        c->wire = NULL;
        rp_conn_drop_reader(c);
    }
    rp_conn_drop_request(c, now_ms);
    rp_buf_release(&c->in);
    if (c->tls != NULL) {
        rp_tls_session_end(c->tls);
        c->tls = rp_tls_session_free(c->tls); /* what comes from now on is not even read as TLS */
    }
    if (c->ended || shutdown(c->fd, SHUT_WR) != 0) {
        rp_conn_die(c, now_ms);
    } else {
        c->blocked = false;
        rp_conn_enter(c, CONN_LINGER, now_ms);
        rp_conn_want_flush(c);
    }
}

/* Whether there is input that its turn has come for. What it brings makes the wire dirty, or is
 * answered, and comes here again. */
static bool has_kept_input(const struct conn *c) {
    return c->in.len > 0 && (c->state == CONN_OPEN ? !c->unheard : c->unheard && !c->blocked);
}

static void flush(struct conn *c, uint64_t now_ms) {
    if (c->state == CONN_ASK && !rp_wire_is_pending(c->wire)) {
        rp_conn_decided(c, now_ms);
    }
    if (c->state == CONN_OPEN && rp_wire_is_closing(c->wire)) {
        rp_conn_enter(c, CONN_CLOSING, now_ms);
    }
    if (!c->blocked) {
        rp_conn_output(c, now_ms);
    }
    if (has_kept_input(c)) {
        rp_conn_input_kept(c, now_ms);
    }
    if (c->state == CONN_ANSWER && !rp_conn_has_output(c)) {
        rp_conn_answered(c, now_ms);
    } else if (c->state == CONN_CLOSING && !rp_conn_has_output(c)) {
        rp_conn_finish(c, now_ms);
    }
    if (c->state != CONN_DEAD) {
        watch(c);
    }
}

/* Whether the core had something new to write. */
static bool take_output(struct rp_conns *s, uint64_t now_ms) {
    struct rp_gateway *g = s->config.gateway;
    struct rp_wire *wire;
    struct rp_exchange *exchange;
    bool any = false;
    while ((wire = rp_gateway_next_dirty(g)) != NULL) {
        rp_conn_want_flush(rp_wire_shell(wire));
        any = true;
    }
    while ((exchange = rp_gateway_next_answered(g)) != NULL) {
        rp_conn_take_answer(rp_exchange_shell(exchange), exchange, now_ms);
        any = true;
    }
    return any;
}

void rp_conns_flush(struct rp_conns *s, uint64_t now_ms) {
    struct rp_list *node;
    while (take_output(s, now_ms) || !rp_list_is_empty(&s->work)) {
        while ((node = rp_list_first(&s->work)) != NULL) {
            rp_list_remove(node);
            flush(RP_CONTAINER_OF(node, struct conn, work_node), now_ms);
        }
    }
}

/* ---- the turn ---- */

/* An answer to nothing could be taken for one to what is just being sent. */
static void time_out_head(struct conn *c, uint64_t now_ms) {
    c->owner->stats.header_timeouts++;
    if (c->in.len == 0) {
        rp_conn_finish(c, now_ms);
    } else {
        rp_conn_refuse_head(c, rp_buf_bytes(&c->in), 408,
                            "the request's head did not come in time (--header-timeout)", now_ms);
    }
}

static void time_out(struct conn *c, uint64_t now_ms) {
    struct rp_conns_stats *stats = &c->owner->stats;
    switch (c->state) {
    case CONN_PROXY:
        stats->proxy_failed++;
        rp_conn_die(c, now_ms);
        break;
    case CONN_TLS:
        stats->tls_failed++;
        rp_conn_die(c, now_ms);
        break;
    case CONN_IDLE:
        stats->idle_closed++;
        rp_conn_finish(c, now_ms);
        break;
    case CONN_HEAD:
        time_out_head(c, now_ms);
        break;
    case CONN_BODY:
        rp_conn_time_out_body(c, now_ms);
        break;
    case CONN_ANSWER:
        rp_conn_time_out_answer(c, now_ms);
        break;
    default:
        stats->cut++;
        rp_conn_die(c, now_ms);
    }
}

void rp_conns_turn(struct rp_conns *s, uint64_t now_ms) {
    for (int i = 0; i < CONN_STATES; i++) {
        struct rp_list *node;
        while (has_deadline(i) && (node = rp_list_first(&s->states[i])) != NULL) {
            struct conn *c = RP_CONTAINER_OF(node, struct conn, state_node);
            if (c->deadline_ms > now_ms) {
                break;
            }
            time_out(c, now_ms);
        }
    }
    rp_conn_input_waiting(s, now_ms);
    rp_conns_flush(s, now_ms);
    if (rp_conns_cut_answers(s, now_ms)) {
        rp_conns_flush(s, now_ms);
    }
    reap(s);
    s->handshakes_left = RP_TLS_HANDSHAKES_PER_TURN;
}

uint64_t rp_conns_deadline_ms(const struct rp_conns *s) {
    uint64_t first = rp_list_is_empty(&s->waiting) ? UINT64_MAX : 0;
    for (int i = 0; i < CONN_STATES; i++) {
        struct rp_list *node = rp_list_first(&s->states[i]);
        if (has_deadline(i) && node != NULL) {
            uint64_t deadline = RP_CONTAINER_OF(node, struct conn, state_node)->deadline_ms;
            first = deadline < first ? deadline : first;
        }
    }
    return first;
}

/* ---- from outside ---- */

void rp_conns_add(struct rp_conns *s, int fd, struct rp_conn_kind kind, uint64_t now_ms) {
    s->stats.accepted++;
    if (s->stats.connections >= s->config.connections_max + s->config.busy_max) {
        s->stats.busy++;
        close(fd);
        return;
    }
    int on = 1; /* fails on anything but TCP, and need not succeed */
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct conn *c = RP_NEW(struct conn);
    c->owner = s;
    c->fd = fd;
    rp_buf_init(&c->in, RP_HTTP_HEAD_BYTES_MAX + RP_CONN_READ_BYTES);
    s->stats.connections++;
    c->refused = s->stats.connections > s->config.connections_max;
    rp_conn_start(c, kind, now_ms);
    rp_conn_want_flush(c); /* to be watched */
}

void rp_conns_drain(struct rp_conns *s, uint64_t now_ms) {
    struct rp_list *node, *next;
    s->draining = true;
    while ((node = rp_list_first(&s->states[CONN_IDLE])) != NULL) {
        rp_conn_finish(RP_CONTAINER_OF(node, struct conn, state_node), now_ms);
    }
    RP_LIST_FOR(&s->states[CONN_HEAD], node, next) {
        struct conn *c = RP_CONTAINER_OF(node, struct conn, state_node);
        if (c->in.len == 0) { /* it has said nothing yet */
            rp_conn_finish(c, now_ms);
        }
    }
}

const struct rp_conns_stats *rp_conns_stats(const struct rp_conns *s) {
    return &s->stats;
}
