#include "gateway/conn_state.h"

#include "common/alloc.h"
#include "common/assert.h"

#include <stdlib.h>

/* ---- WebSocket ---- */

static void take_message(struct conn *c, const struct rp_ws_msg *msg, uint64_t now_ms) {
    struct rp_gateway *g = c->owner->config.gateway;
    switch (msg->kind) {
    case RP_WS_TEXT:
        rp_gateway_text(g, c->client, msg->payload, now_ms);
        break;
    case RP_WS_BINARY:
        rp_gateway_binary(g, c->client, msg->payload, now_ms);
        break;
    case RP_WS_PING:
        rp_gateway_put_frame(g, c->client, rp_ws_frame(RP_WS_PONG, msg->payload));
        break;
    case RP_WS_PONG:
        break; /* nobody asked for it, which is allowed (RFC 6455 5.5.3) */
    case RP_WS_CLOSE:
        rp_gateway_close(g, c->client, msg->close_code, NULL, now_ms);
        break;
    }
}

/* Gives the client messages from *in until it is used up, the client is to be read no further (the
 * rest stays in *in), or the client is closing. */
static void feed(struct conn *c, struct rp_bytes_mut *in, uint64_t now_ms) {
    while (!rp_client_is_closing(c->client) && rp_client_wants_read(c->client)) {
        struct rp_ws_msg msg;
        enum rp_err err = rp_ws_reader_next(&c->reader, in, &msg);
        if (err == RP_MORE) {
            return;
        }
        if (err == RP_OK) {
            take_message(c, &msg, now_ms);
        } else {
            c->owner->stats.bad_frames++;
            rp_gateway_close(c->owner->config.gateway, c->client, rp_ws_close_code(err),
                             rp_strerror(err), now_ms);
        }
    }
    if (rp_client_is_closing(c->client)) {
        in->len = 0; /* nothing is heard any more */
    }
}

static void keep(struct conn *c, struct rp_bytes bytes) {
    enum rp_err err = rp_buf_put(&c->in, bytes);
    RP_ASSERT(err == RP_OK); /* one read, behind a head that is shorter than its limit */
}

void rp_conn_input_kept(struct conn *c, uint64_t now_ms) {
    struct rp_bytes_mut in = {c->in.data, c->in.len};
    feed(c, &in, now_ms);
    rp_buf_consume(&c->in, c->in.len - in.len);
    if (c->in.len == 0) {
        rp_buf_release(&c->in);
    }
}

/* ---- HTTP ---- */

static void answer(struct conn *c, struct rp_answer content, int status) {
    RP_ASSERT(c->answer == NULL);
    c->answer = RP_NEW(struct answer);
    c->answer->content = content;
    c->owner->stats.answers_ok += status < 400;
    c->owner->stats.answers_refused += status >= 400;
    rp_conn_want_flush(c);
}

void rp_conn_refuse(struct conn *c, int status, const char *message, uint64_t now_ms) {
    struct rp_answer content;
    rp_site_error(status, message, &content);
    rp_buf_release(&c->in);
    answer(c, content, status);
    rp_conn_enter(c, CONN_ANSWER, now_ms);
}

void rp_conn_refuse_busy(struct conn *c, uint64_t now_ms) {
    c->owner->stats.busy++;
    rp_conn_refuse(c, 503,
                   c->owner->draining ? "this gateway is stopping; come again and reach another one"
                                      : "too many connections (--max-connections)",
                   now_ms);
}

/* The status as it stands in an answer's first line, "HTTP/1.1 200". */
static int status_of(const struct rp_answer *content) {
    int status = 0;
    size_t digits = sizeof "HTTP/1.1";
    for (size_t i = digits; i < digits + 3 && i < content->head.len; i++) {
        status = status * 10 + (content->head.data[i] - '0');
    }
    return status;
}

static void open_client(struct conn *c, uint64_t now_ms) {
    struct rp_conns *s = c->owner;
    rp_ws_reader_init(&c->reader, RP_WS_SERVER, s->config.max_payload);
    c->client = rp_gateway_open(s->config.gateway, c, now_ms);
    s->stats.upgraded++;
    rp_conn_enter(c, CONN_OPEN, now_ms);
}

/* Handles a whole head; returns whether the connection is a WebSocket now. */
static bool handle_request(struct conn *c, const struct rp_http_request *request, uint64_t now_ms) {
    if (c->owner->draining) {
        rp_conn_refuse_busy(c, now_ms);
        return false;
    }
    struct rp_answer content;
    enum rp_site_verdict verdict = rp_site_answer(c->owner->config.site, request, &content);
    answer(c, content, status_of(&content));
    if (verdict == RP_SITE_UPGRADE) {
        open_client(c, now_ms);
        return true;
    }
    rp_buf_release(&c->in);
    rp_conn_enter(c, CONN_ANSWER, now_ms);
    return false;
}

static void take_head(struct conn *c, struct rp_bytes_mut *in, uint64_t now_ms) {
    bool kept = c->in.len > 0;
    if (kept) {
        keep(c, rp_bytes(in->data, in->len));
    }
    struct rp_bytes head = kept ? rp_buf_bytes(&c->in) : rp_bytes(in->data, in->len);
    struct rp_http_request request;
    size_t consumed;
    const struct rp_http_problem *problem;
    enum rp_err err = rp_http_parse_head(head, &request, &consumed, &problem);
    if (err == RP_MORE) {
        if (!kept) {
            keep(c, head);
        }
    } else if (err != RP_OK) {
        rp_conn_refuse(c, problem->status, problem->text, now_ms);
    } else if (!handle_request(c, &request, now_ms)) {
        return; /* the answer is the last thing here; what follows the head is not looked at */
    } else if (kept) {
        rp_buf_consume(&c->in, consumed);
        rp_conn_input_kept(c, now_ms);
    } else {
        *in = (struct rp_bytes_mut){in->data + consumed, in->len - consumed};
        feed(c, in, now_ms);
        keep(c, rp_bytes(in->data, in->len));
    }
}

void rp_conn_input(struct conn *c, size_t len, uint64_t now_ms) {
    struct rp_bytes_mut in = {c->owner->scratch, len};
    if (c->state == CONN_HEAD) {
        take_head(c, &in, now_ms);
    } else if (c->state == CONN_OPEN) {
        feed(c, &in, now_ms);
        keep(c, rp_bytes(in.data, in.len));
    } /* CLOSING, LINGER: unheard */
}
