#include "gateway/conn_state.h"

#include "common/assert.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

/* ---- WebSocket ---- */

/* Puts the message that a compressed one is in its place. */
static enum rp_err inflate(struct rp_conns *s, struct rp_ws_msg *msg) {
    rp_buf_clear(&s->inflated);
    enum rp_err err = rp_inflate_message(s->config.deflate, msg->payload, &s->inflated);
    if (err != RP_OK) {
        return err;
    }
    msg->payload = rp_buf_bytes(&s->inflated);
    s->inflated_bytes += msg->payload.len;
    s->inflated_total += msg->payload.len;
    return msg->kind != RP_WS_TEXT || rp_bytes_is_utf8(msg->payload) ? RP_OK : RP_E_UTF8;
}

static void give_message(struct conn *c, const struct rp_ws_msg *msg, uint64_t now_ms) {
    struct rp_gateway *g = c->owner->config.gateway;
    switch (msg->kind) {
    case RP_WS_TEXT:
        rp_gateway_text(g, c->wire, msg->payload, now_ms);
        break;
    case RP_WS_BINARY:
        rp_gateway_binary(g, c->wire, msg->payload, now_ms);
        break;
    case RP_WS_PING:
        rp_gateway_put_frame(g, c->wire, rp_ws_frame(RP_WS_PONG, msg->payload));
        break;
    case RP_WS_PONG:
        break; /* nobody asked for it, which is allowed (RFC 6455 5.5.3) */
    case RP_WS_CLOSE:
        rp_gateway_close(g, c->wire, msg->close_code, NULL, RP_LEAVE_TRANSPORT_CLOSE, now_ms);
        break;
    }
}

static enum rp_err take_message(struct conn *c, struct rp_bytes_mut *in, uint64_t now_ms) {
    struct rp_conns *s = c->owner;
    struct rp_ws_msg msg;
    enum rp_err err = rp_ws_reader_next(&c->reader, in, &msg);
    if (err == RP_OK && msg.compressed) {
        err = inflate(s, &msg);
    }
    if (err == RP_OK) {
        give_message(c, &msg, now_ms);
    }
    rp_buf_shrink(&s->inflated, RP_CONN_READ_BYTES);
    return err;
}

/* Keeps the gauge right after the reader's memory has changed. */
static void count_reader(struct conn *c) {
    struct rp_conns_stats *stats = &c->owner->stats;
    stats->parts_bytes += c->reader.buf.capacity;
    stats->parts_bytes -= c->reader_counted;
    c->reader_counted = (uint32_t) c->reader.buf.capacity; /* RP_WS_MESSAGE_BYTES_LIMIT */
}

void rp_conn_drop_reader(struct conn *c) {
    rp_ws_reader_done(&c->reader);
    count_reader(c);
}

/* The message in part is kept, unless all of them together take too much and it has grown. */
static void bound_reader(struct conn *c, uint64_t now_ms) {
    struct rp_conns *s = c->owner;
    bool grown = c->reader.buf.capacity > c->reader_counted;
    count_reader(c);
    if (grown && s->stats.parts_bytes > s->config.parts_bytes_max && !rp_wire_is_closing(c->wire)) {
        s->stats.parts_refused++;
        rp_gateway_close(s->config.gateway, c->wire, 1013,
                         "too many messages are on their way to this gateway", RP_LEAVE_FORCED,
                         now_ms);
        rp_conn_drop_reader(c);
    }
}

/* A few bytes may inflate to megabytes, so what counts is what they become. */
static bool must_wait(const struct conn *c) {
    const struct rp_conns *s = c->owner;
    return c->reader.allow_deflate && (s->inflated_bytes >= RP_CONN_INFLATED_BYTES ||
                                       s->inflated_total >= RP_CONN_INFLATED_BYTES_PER_TURN);
}

/* What is left of the input is dealt with in the next turn. */
static void wait_for_turn(struct conn *c) {
    c->unheard = true;
    rp_list_remove(&c->state_node);
    rp_list_append(&c->owner->waiting, &c->state_node);
}

static void give_turn(struct conn *c, uint64_t now_ms) {
    rp_list_remove(&c->state_node);
    rp_list_append(&c->owner->states[CONN_OPEN], &c->state_node);
    rp_conn_input_kept(c, now_ms);
    rp_conn_want_flush(c); /* also to be watched again */
}

void rp_conn_input_waiting(struct rp_conns *s, uint64_t now_ms) {
    struct rp_list *node, *last = s->waiting.prev;
    s->inflated_total = 0;
    while (s->inflated_total < RP_CONN_INFLATED_BYTES_PER_TURN &&
           (node = rp_list_first(&s->waiting)) != NULL) {
        give_turn(RP_CONTAINER_OF(node, struct conn, state_node), now_ms);
        if (node == last) {
            return; /* behind it are those that wait again */
        }
    }
}

/* Gives the core messages from *in until it is used up, the wire is to be read no further or others
 * have their turn (the rest stays in *in), or it is closing. */
static void feed(struct conn *c, struct rp_bytes_mut *in, uint64_t now_ms) {
    while (!rp_wire_is_closing(c->wire) && rp_wire_wants_read(c->wire)) {
        if (in->len > 0 && must_wait(c)) {
            wait_for_turn(c);
            return;
        }
        enum rp_err err = take_message(c, in, now_ms);
        if (err == RP_MORE) {
            return;
        }
        if (err != RP_OK) {
            c->owner->stats.bad_frames++;
            rp_gateway_close(c->owner->config.gateway, c->wire, rp_ws_close_code(err),
                             rp_strerror(err), RP_LEAVE_TRANSPORT_ERROR, now_ms);
        }
    }
    if (rp_wire_is_closing(c->wire)) {
        in->len = 0; /* nothing is heard any more */
    }
}

/* ---- to whom the bytes go ---- */

/* Deals with *in as far as that goes now; what is left is to be kept. A connection comes to one
 * answer at most, and then others have their turn. */
static void deal_with(struct conn *c, struct rp_bytes_mut *in, uint64_t now_ms) {
    while (in->len > 0) {
        switch (c->state) {
        case CONN_IDLE:
            rp_conn_enter(c, CONN_HEAD, now_ms);
            break;
        case CONN_HEAD:
            rp_conn_take_head(c, in, now_ms);
            if (c->state == CONN_HEAD) {
                return; /* not complete */
            }
            break;
        case CONN_BODY:
            rp_conn_take_body(c, in, now_ms); /* all of it, or to the body's end */
            break;
        case CONN_OPEN:
            feed(c, in, now_ms);
            bound_reader(c, now_ms);
            return;
        case CONN_ASK:
            return; /* the WebSocket's, if it comes to that */
        case CONN_WAIT:
        case CONN_ANSWER: {
            const struct request *r = c->request;
            bool is_next = c->state == CONN_WAIT ? !r->body_unread : r->answer.keep_alive;
            in->len = is_next ? in->len : 0;
            return;
        }
        default:
            in->len = 0; /* unheard */
        }
    }
}

static void keep(struct conn *c, struct rp_bytes bytes) {
    enum rp_err err = rp_buf_put(&c->in, bytes);
    RP_ASSERT(err == RP_OK); /* one read, behind a head that is shorter than its limit */
}

void rp_conn_input_kept(struct conn *c, uint64_t now_ms) {
    struct rp_bytes_mut in = {c->in.data, c->in.len};
    c->unheard = false;
    c->owner->inflated_bytes = 0;
    deal_with(c, &in, now_ms);
    rp_buf_consume(&c->in, c->in.len - in.len);
    if (c->in.len == 0) {
        rp_buf_release(&c->in);
    }
}

/* Takes the first len bytes of the shared buffer. */
static void take_input(struct conn *c, size_t len, uint64_t now_ms) {
    struct rp_bytes_mut in = {c->owner->scratch, len};
    if (c->in.len > 0) {
        keep(c, rp_bytes(in.data, in.len));
        rp_conn_input_kept(c, now_ms);
    } else {
        deal_with(c, &in, now_ms);
        keep(c, rp_bytes(in.data, in.len));
    }
}

/* ---- reading ---- */

bool rp_conn_wants_read(const struct conn *c) {
    switch (c->state) {
    case CONN_OPEN:
        return c->in.len == 0 && rp_wire_wants_read(c->wire);
    case CONN_WAIT: /* to see that the client is gone */
    case CONN_ASK:
        return !c->ended && c->in.len < RP_CONN_BEHIND_BYTES;
    case CONN_HEAD:
        return !c->ended && !c->unheard;
    case CONN_PROXY:
    case CONN_TLS:
    case CONN_IDLE:
    case CONN_BODY:
    case CONN_CLOSING:
    case CONN_LINGER:
        return !c->ended;
    default:
        return false;
    }
}

/* How much to read at once. Little is read of what may not be dealt with at once, and none behind a
 * body whose length is known. */
static size_t read_size(const struct conn *c) {
    switch (c->state) {
    case CONN_IDLE:
    case CONN_WAIT:
    case CONN_ASK:
    case CONN_HEAD:
        return c->in.len < RP_CONN_BEHIND_BYTES ? RP_CONN_BEHIND_BYTES - c->in.len : 1;
    case CONN_BODY:
        if (c->request->body_left == UINT64_MAX) {
            return RP_CONN_BEHIND_BYTES;
        }
        return c->request->body_left < RP_CONN_READ_BYTES ? (size_t) c->request->body_left
                                                          : RP_CONN_READ_BYTES;
    default:
        return RP_CONN_READ_BYTES;
    }
}

static_assert(RP_CONN_BEHIND_BYTES <= RP_CONN_READ_BYTES &&
                  RP_HTTP_HEAD_BYTES_MAX <= RP_CONN_READ_BYTES,
              "what is kept fits into `in`");

/* RP_AGAIN, RP_E_CLOSED, RP_E_IO, RP_E_PROTOCOL. */
static enum rp_err receive(struct conn *c, size_t size, size_t *ret_len) {
    if (c->tls != NULL) {
        return rp_tls_session_read(c->tls, c->owner->scratch, size, ret_len);
    }
    ssize_t len = recv(c->fd, c->owner->scratch, size, MSG_DONTWAIT);
    if (len < 0) {
        bool not_now = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        return not_now ? RP_AGAIN : RP_E_IO;
    }
    *ret_len = (size_t) len;
    return len > 0 ? RP_OK : RP_E_CLOSED;
}

static void take_end(struct conn *c, uint64_t now_ms) {
    bool goes_on;
    switch (c->state) {
    case CONN_WAIT: /* somebody who only shut the one end gets an answer that comes soon */
        goes_on = !c->request->is_get;
        break;
    case CONN_OPEN:
        goes_on = rp_wire_is_closing(c->wire);
        break;
    default:
        goes_on = c->state == CONN_CLOSING || c->state == CONN_ANSWER;
    }
    c->ended = true;
    if (!goes_on) {
        rp_conn_die(c, now_ms);
    }
}

void rp_conn_read(struct conn *c, uint64_t now_ms) {
    c->owner->inflated_bytes = 0;
    for (int i = 0; i < RP_CONN_READS_PER_TURN && rp_conn_wants_read(c); i++) {
        size_t size = read_size(c), len;
        enum rp_err err = receive(c, size, &len);
        if (err == RP_AGAIN) {
            return;
        }
        if (err == RP_E_CLOSED) {
            take_end(c, now_ms);
            return;
        }
        if (err != RP_OK) {
            rp_conn_fail(c, now_ms);
            return;
        }
        take_input(c, len, now_ms);
        bool more = c->tls != NULL ? rp_tls_session_has_input(c->tls) : len == size;
        if (!more) {
            return; /* most likely; if there is, the event comes again */
        }
    }
}
