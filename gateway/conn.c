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
    for (int i = 0; i < CONN_STATES; i++) {
        rp_list_init(&s->states[i]);
    }
    rp_list_init(&s->work);
    return s;
}

static uint64_t state_ms_max(const struct rp_conns *s, enum conn_state state) {
    switch (state) {
    case CONN_HEAD:
        return s->config.header_timeout_ms;
    case CONN_ANSWER:
        return RP_CONN_ANSWER_MS;
    case CONN_CLOSING:
    case CONN_LINGER:
        return RP_CONN_LINGER_MS;
    default:
        return 0; /* no deadline */
    }
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
    if (c->client != NULL) {
        rp_gateway_gone(c->owner->config.gateway, c->client, now_ms);
        c->client = NULL;
    }
    if (c->watched != 0) {
        event_del(&c->event);
        c->watched = 0;
    }
    rp_list_remove(&c->work_node);
    rp_conn_enter(c, CONN_DEAD, now_ms);
}

static void conn_free(struct conn *c) {
    RP_ASSERT(c->state == CONN_DEAD && c->client == NULL);
    rp_list_remove(&c->state_node);
    close(c->fd);
    rp_conn_drop_answer(c);
    rp_buf_done(&c->in);
    rp_ws_reader_done(&c->reader);
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
        reap(s);
        free(s);
    }
    return NULL;
}

/* ---- what the socket is watched for ---- */

static bool wants_read(const struct conn *c) {
    switch (c->state) {
    case CONN_OPEN:
        return c->in.len == 0 && rp_client_wants_read(c->client);
    case CONN_HEAD:
    case CONN_CLOSING:
    case CONN_LINGER:
        return !c->ended;
    default:
        return false;
    }
}

static void watch(struct conn *c) {
    short wanted = (short) ((wants_read(c) ? EV_READ : 0) | (c->blocked ? EV_WRITE : 0));
    if (wanted == c->watched) {
        return;
    }
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

/* ---- reading ---- */

static void take_end(struct conn *c, uint64_t now_ms) {
    c->ended = true;
    bool is_writing =
        c->state == CONN_CLOSING || (c->state == CONN_OPEN && rp_client_is_closing(c->client));
    if (!is_writing) {
        rp_conn_die(c, now_ms);
    }
}

static void read_some(struct conn *c, uint64_t now_ms) {
    for (int i = 0; i < RP_CONN_READS_PER_TURN && wants_read(c); i++) {
        ssize_t len = recv(c->fd, c->owner->scratch, RP_CONN_READ_BYTES, MSG_DONTWAIT);
        if (len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
            return;
        }
        if (len < 0) {
            rp_conn_die(c, now_ms);
        } else if (len == 0) {
            take_end(c, now_ms);
        } else {
            rp_conn_input(c, (size_t) len, now_ms);
        }
        if (len < RP_CONN_READ_BYTES) {
            return; /* most likely there is no more; if there is, the event comes again */
        }
    }
}

static void on_event(evutil_socket_t fd, short what, void *arg) {
    (void) fd;
    struct conn *c = arg;
    uint64_t now_ms = rp_clock_mono_ms();
    if (what & EV_WRITE) {
        c->blocked = false;
    }
    if (what & EV_READ) {
        read_some(c, now_ms);
    }
    if (c->state != CONN_DEAD) {
        rp_conn_want_flush(c); /* also to watch for something else from now on */
    }
}

/* ---- writing ---- */

/* Everything is written: our end is shut, and the client has no business with us any more. */
static void finish(struct conn *c, uint64_t now_ms) {
    if (c->client != NULL) {
        rp_gateway_gone(c->owner->config.gateway, c->client, now_ms);
        c->client = NULL;
        rp_ws_reader_done(&c->reader);
        rp_buf_release(&c->in);
    }
    if (c->ended || shutdown(c->fd, SHUT_WR) != 0) {
        rp_conn_die(c, now_ms);
    } else {
        rp_conn_enter(c, CONN_LINGER, now_ms);
    }
}

static void flush(struct conn *c, uint64_t now_ms) {
    if (c->state == CONN_OPEN && rp_client_is_closing(c->client)) {
        rp_conn_enter(c, CONN_CLOSING, now_ms);
    }
    if (!c->blocked) {
        rp_conn_output(c, now_ms);
    }
    if (c->state == CONN_OPEN && c->in.len > 0) {
        rp_conn_input_kept(
            c, now_ms); /* what it brings makes the client dirty, and comes here again */
    }
    if ((c->state == CONN_ANSWER || c->state == CONN_CLOSING) && !rp_conn_has_output(c)) {
        finish(c, now_ms);
    }
    if (c->state != CONN_DEAD) {
        watch(c);
    }
}

static void flush_all(struct rp_conns *s, uint64_t now_ms) {
    for (;;) {
        struct rp_client *client;
        while ((client = rp_gateway_next_dirty(s->config.gateway)) != NULL) {
            rp_conn_want_flush(rp_client_shell(client));
        }
        struct rp_list *node = rp_list_first(&s->work);
        if (node == NULL) {
            return;
        }
        while ((node = rp_list_first(&s->work)) != NULL) {
            rp_list_remove(node);
            flush(RP_CONTAINER_OF(node, struct conn, work_node), now_ms);
        }
    }
}

/* ---- the turn ---- */

static void time_out(struct conn *c, uint64_t now_ms) {
    struct rp_conns_stats *stats = &c->owner->stats;
    if (c->state == CONN_HEAD) {
        stats->header_timeouts++;
        rp_conn_refuse(c, 408, "the request's head did not come in time (--header-timeout)",
                       now_ms);
    } else {
        stats->cut++;
        rp_conn_die(c, now_ms);
    }
}

void rp_conns_turn(struct rp_conns *s, uint64_t now_ms) {
    for (int i = 0; i < CONN_STATES; i++) {
        struct rp_list *node;
        while (i != CONN_OPEN && i != CONN_DEAD && (node = rp_list_first(&s->states[i])) != NULL) {
            struct conn *c = RP_CONTAINER_OF(node, struct conn, state_node);
            if (c->deadline_ms > now_ms) {
                break;
            }
            time_out(c, now_ms);
        }
    }
    flush_all(s, now_ms);
    reap(s);
}

uint64_t rp_conns_deadline_ms(const struct rp_conns *s) {
    uint64_t first = UINT64_MAX;
    for (int i = 0; i < CONN_STATES; i++) {
        struct rp_list *node = rp_list_first(&s->states[i]);
        if (i != CONN_OPEN && i != CONN_DEAD && node != NULL) {
            uint64_t deadline = RP_CONTAINER_OF(node, struct conn, state_node)->deadline_ms;
            first = deadline < first ? deadline : first;
        }
    }
    return first;
}

void rp_conns_add(struct rp_conns *s, int fd, uint64_t now_ms) {
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
    rp_list_append(&s->states[CONN_HEAD], &c->state_node);
    rp_conn_enter(c, CONN_HEAD, now_ms);
    s->stats.connections++;
    if (s->draining || s->stats.connections > s->config.connections_max) {
        rp_conn_refuse_busy(c, now_ms);
    }
    rp_conn_want_flush(c); /* to be watched */
}

void rp_conns_drain(struct rp_conns *s) {
    s->draining = true;
}

const struct rp_conns_stats *rp_conns_stats(const struct rp_conns *s) {
    return &s->stats;
}
