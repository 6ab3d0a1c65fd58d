#include "gateway/conn_state.h"

#include "common/assert.h"
#include "common/clock.h"
#include "gateway/handshake.h"

#include <stdlib.h>

/* ---- life ---- */

static struct request *request_of(struct conn *c) {
    if (c->request == NULL) {
        c->request = RP_NEW(struct request);
    }
    return c->request;
}

/* Keeps the gauge right after the body's memory has changed. */
static void count_body(struct rp_conns *s, struct request *r) {
    s->stats.bodies_bytes += r->body.capacity;
    s->stats.bodies_bytes -= r->body_counted;
    r->body_counted = r->body.capacity;
}

static void drop_body(struct conn *c) {
    rp_buf_done(&c->request->body);
    count_body(c->owner, c->request);
}

/* What a kernel takes at once is nobody's memory here. What is of the site is there once for all.
 */
void rp_conn_count_answer(struct conn *c) {
    struct request *r = c->request;
    if (r->exchange != NULL && r->answer_counted == 0) {
        r->answer_counted = r->answer.body.len;
        c->owner->stats.answers_bytes += r->answer_counted;
    }
}

/* What is left of an answer that is counted. */
static size_t answer_left(const struct conn *c) {
    const struct request *r = c->request;
    return r != NULL && r->answer_counted > 0 ? r->answer.head.len + r->answer.body.len - r->sent
                                              : 0;
}

bool rp_conns_cut_answers(struct rp_conns *s, uint64_t now_ms) {
    size_t max = s->config.answers_bytes_max, count = 0, sum = 0;
    if (s->stats.answers_bytes <= max) {
        return false;
    }
    struct rp_list *answers = &s->states[CONN_ANSWER], *it, *tmp;
    RP_LIST_FOR(answers, it, tmp) {
        size_t left = answer_left(RP_CONTAINER_OF(it, struct conn, state_node));
        count += left > 0;
        sum += left;
    }
    RP_LIST_FOR(answers, it, tmp) {
        struct conn *c = RP_CONTAINER_OF(it, struct conn, state_node);
        size_t left = answer_left(c);
        if (left > 0 && left >= sum / count && s->stats.answers_bytes > max - max / 8) {
            s->stats.answers_cut++;
            rp_conn_die(c, now_ms);
        }
    }
    return true;
}

void rp_conn_drop_request(struct conn *c, uint64_t now_ms) {
    struct request *r = c->request;
    if (r == NULL) {
        return;
    }
    c->owner->stats.answers_bytes -= r->answer_counted;
    if (r->exchange != NULL) {
        rp_gateway_exchange_end(c->owner->config.gateway, r->exchange, false, now_ms);
    }
    drop_body(c);
    rp_buf_done(&r->answer.head);
    free(r);
    c->request = NULL;
}

/* ---- answers ---- */

/* Puts what is left of an interim answer in front of the one that follows it. */
static void put_behind_interim(struct request *r, struct rp_answer *answer) {
    struct rp_buf joined;
    rp_buf_init(&joined, r->answer.head.len + answer->head.len);
    enum rp_err err = rp_buf_put(&joined, rp_bytes_skip(rp_buf_bytes(&r->answer.head), r->sent));
    err = err ? err : rp_buf_put(&joined, rp_buf_bytes(&answer->head));
    RP_ASSERT(err == RP_OK);
    rp_buf_done(&r->answer.head);
    rp_buf_done(&answer->head);
    answer->head = joined;
}

/* Takes the content. */
static void answer(struct conn *c, struct rp_answer content, int status) {
    struct request *r = request_of(c);
    if (r->answering) {
        put_behind_interim(r, &content);
    }
    content.keep_alive = content.keep_alive && !r->body_unread && !c->owner->draining;
    r->answer = content;
    r->sent = 0;
    r->taken = 0;
    r->answering = true;
    c->owner->stats.answers_ok += status < 400;
    c->owner->stats.answers_refused += status >= 400;
    rp_conn_want_flush(c);
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

static void answer_at_once(struct conn *c, struct rp_answer content, uint64_t now_ms) {
    answer(c, content, status_of(&content));
    rp_conn_enter(c, CONN_ANSWER, now_ms);
}

void rp_conn_refuse(struct conn *c, int status, const char *message, uint64_t now_ms) {
    struct rp_answer content;
    struct request *r = c->request;
    if (r != NULL && r->exchange != NULL) {
        rp_gateway_exchange_end(c->owner->config.gateway, r->exchange, false, now_ms);
        r->exchange = NULL;
    }
    rp_site_error(status, message, r != NULL ? &r->site : NULL, &content);
    content.keep_alive = false;
    if (r != NULL) {
        drop_body(c);
    }
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

void rp_conn_answered(struct conn *c, uint64_t now_ms) {
    struct request *r = c->request;
    bool keep_alive = r->answer.keep_alive && !c->owner->draining;
    if (r->exchange != NULL) {
        rp_gateway_exchange_end(c->owner->config.gateway, r->exchange, true, now_ms);
        r->exchange = NULL;
    }
    rp_conn_drop_request(c, now_ms);
    if (!keep_alive || (c->ended && c->in.len == 0)) {
        rp_conn_finish(c, now_ms);
    } else if (c->in.len == 0) {
        rp_conn_enter(c, CONN_IDLE, now_ms);
    } else {
        rp_conn_enter(c, CONN_HEAD, now_ms);
        c->unheard = true;
        c->blocked = true; /* until the next turn: a thousand requests may be in one read */
    }
}

void rp_conn_refuse_head(struct conn *c, struct rp_bytes head, int status, const char *message,
                         uint64_t now_ms) {
    request_of(c)->site.is_head = rp_bytes_starts_with(head, RP_BYTES_LIT("HEAD "));
    rp_conn_refuse(c, status, message, now_ms);
}

/* ---- exchanges with the core ---- */

static void wait_for_core(struct conn *c, struct rp_exchange *x, uint64_t now_ms) {
    c->request->exchange = x;
    rp_conn_enter(c, CONN_WAIT, now_ms);
}

static struct rp_bytes sid_of(const struct request *r) {
    return rp_bytes(r->site.sid, r->site.sid_len);
}

void rp_conn_take_answer(struct conn *c, struct rp_exchange *x, uint64_t now_ms) {
    struct request *r = c->request;
    RP_ASSERT((c->state == CONN_WAIT || c->state == CONN_BODY) && r->exchange == x);
    if (c->state == CONN_BODY) { /* an error, which does not wait for the rest */
        r->body_unread = true;
        drop_body(c);
    }
    struct rp_answer content;
    r->site.keep_alive = r->site.keep_alive && !r->body_unread && !c->owner->draining;
    rp_site_poll_answer(c->owner->config.site, &r->site, x, &content);
    answer(c, content, rp_exchange_status(x));
    rp_conn_enter(c, CONN_ANSWER, now_ms);
}

void rp_conn_time_out_answer(struct conn *c, uint64_t now_ms) {
    struct request *r = c->request;
    size_t taken = rp_conn_answer_taken(c);
    if (taken < r->taken + RP_CONN_ANSWER_BYTES) {
        c->owner->stats.cut++;
        rp_conn_die(c, now_ms);
    } else {
        r->taken = taken;
        rp_conn_enter(c, CONN_ANSWER, now_ms); /* the deadline moves */
    }
}

/* ---- bodies ---- */

static const char too_big[] = "the body is larger than --max-payload";

void rp_conn_time_out_body(struct conn *c, uint64_t now_ms) {
    c->owner->stats.body_timeouts++;
    rp_conn_refuse(c, 408, "the request's body did not come in time", now_ms);
}

static void refuse_body(struct conn *c, const struct rp_http_problem *problem, uint64_t now_ms) {
    c->owner->stats.bodies_big += problem->status == 413;
    rp_conn_refuse(c, problem->status, problem->status == 413 ? too_big : problem->text, now_ms);
}

/* Whether a part was kept: not if all bodies together would take too much. */
static bool keep_part(struct rp_conns *s, struct request *r, struct rp_bytes part) {
    size_t room = r->body.capacity - r->body.len;
    size_t growth = r->body.capacity > part.len ? r->body.capacity : part.len; /* it doubles */
    if (part.len > room && s->stats.bodies_bytes + growth > s->config.bodies_bytes_max) {
        return false;
    }
    enum rp_err err = rp_buf_put(&r->body, part);
    RP_ASSERT(err == RP_OK); /* the reader knows the same limit */
    count_body(s, r);
    return true;
}

static void give_body(struct conn *c, uint64_t now_ms) {
    struct request *r = c->request;
    if (rp_exchange_status(r->exchange) == 0) { /* otherwise it has an answer already */
        rp_gateway_post_body(c->owner->config.gateway, r->exchange, &r->body, now_ms);
    }
    drop_body(c);
    rp_conn_enter(c, CONN_WAIT, now_ms);
}

/* Whether it comes so slowly that it could take for ever. */
static bool is_body_late(const struct request *r, uint64_t now_ms) {
    uint64_t earned_ms = (uint64_t) r->body.len * 1000 / RP_CONN_BODY_BYTES_PER_S;
    return now_ms >= r->body_begin_ms + RP_CONN_BODY_TOTAL_MS + earned_ms;
}

void rp_conn_take_body(struct conn *c, struct rp_bytes_mut *in, uint64_t now_ms) {
    struct rp_conns *s = c->owner;
    struct request *r = c->request;
    struct rp_bytes left = rp_bytes(in->data, in->len), part;
    enum rp_err err;
    while ((err = rp_http_body_next(&r->reader, &left, &part)) == RP_OK && part.len > 0) {
        if (!keep_part(s, r, part)) {
            s->stats.bodies_refused++;
            rp_conn_refuse(c, 503, "too many requests with bodies at once", now_ms);
            return;
        }
        r->body_left -= r->body_left != UINT64_MAX ? part.len : 0;
    }
    *in = (struct rp_bytes_mut){in->data + (in->len - left.len), left.len};
    if (err == RP_OK) {
        give_body(c, now_ms);
    } else if (err != RP_MORE) {
        refuse_body(c, r->reader.problem, now_ms);
    } else if (is_body_late(r, now_ms)) {
        rp_conn_time_out_body(c, now_ms);
    } else {
        rp_conn_enter(c, CONN_BODY, now_ms); /* the deadline moves */
    }
}

/* A client that asked whether it may send the body is told so, unless it did not wait. */
static void put_continue(struct conn *c) {
    struct request *r = c->request;
    rp_buf_init(&r->answer.head, RP_SITE_HEAD_BYTES_MAX);
    enum rp_err err = rp_http_put_continue(&r->answer.head);
    RP_ASSERT(err == RP_OK);
    r->answering = true;
    rp_conn_want_flush(c);
}

static void begin_body(struct conn *c, const struct rp_http_request *request,
                       struct rp_bytes_mut *in, uint64_t now_ms) {
    struct rp_conns *s = c->owner;
    struct request *r = c->request;
    rp_buf_init(&r->body, s->config.max_payload);
    if (rp_http_body_init(&r->reader, request, s->config.max_payload) != RP_OK) {
        refuse_body(c, r->reader.problem, now_ms);
        return;
    }
    r->body_left = request->framing == RP_HTTP_BODY_CHUNKED ? UINT64_MAX : request->content_length;
    r->body_begin_ms = now_ms;
    if (request->expect_continue && in->len == 0) {
        put_continue(c);
    }
    r->exchange = rp_gateway_poll_post(s->config.gateway, c, sid_of(r), now_ms);
    rp_conn_enter(c, CONN_BODY, now_ms);
    rp_conn_take_body(c, in, now_ms); /* also if there is none: it may be empty */
}

/* ---- heads ---- */

static void begin_websocket(struct conn *c, struct rp_answer content, uint64_t now_ms) {
    struct rp_conns *s = c->owner;
    rp_ws_reader_init(&c->reader, RP_WS_SERVER, s->config.max_payload);
    if (c->request->site.deflate) {
        RP_ASSERT(s->config.deflate != NULL);
        rp_wire_use_deflate(c->wire);
        rp_ws_reader_allow_deflate(&c->reader);
    }
    answer(c, content, 101);
    s->stats.upgraded++;
    rp_conn_enter(c, CONN_OPEN, now_ms);
}

static void refuse_websocket(struct conn *c, struct rp_answer content, uint64_t now_ms) {
    rp_buf_done(&content.head);
    rp_site_engine_error(c->owner->config.site, &c->request->site, RP_EIO_UNKNOWN_SID, &content);
    answer_at_once(c, content, now_ms);
}

/* What app workers may want to know of the client; empty if none does. */
static void make_handshake(struct conn *c, const struct rp_http_request *request,
                           struct rp_buf *ret_handshake) {
    size_t bytes_max = rp_gateway_handshake_bytes(c->owner->config.gateway);
    rp_buf_init(ret_handshake, bytes_max + 2);
    if (bytes_max > 0) {
        char address[RP_IP_TEXT_SIZE];
        rp_conn_address(c, request, address);
        const struct rp_handshake handshake = {.request = request,
                                               .address = address,
                                               .secure = c->speaks_tls,
                                               .wall_ms = rp_clock_wall_ms()};
        rp_handshake_put_request(ret_handshake, &handshake, bytes_max);
    }
}

static void open_websocket(struct conn *c, const struct rp_http_request *request,
                           struct rp_answer content, uint64_t now_ms) {
    struct request *r = c->request;
    struct rp_gateway *g = c->owner->config.gateway;
    if (r->site.sid_len == 0) {
        struct rp_buf handshake;
        make_handshake(c, request, &handshake);
        c->wire = rp_gateway_open(g, c, rp_buf_bytes(&handshake), now_ms);
        rp_buf_done(&handshake);
    } else {
        c->wire = rp_gateway_upgrade(g, c, sid_of(r), now_ms);
    }
    if (c->wire == NULL) {
        refuse_websocket(c, content, now_ms);
    } else if (rp_wire_is_pending(c->wire)) {
        r->answer = content; /* for later */
        rp_conn_enter(c, CONN_ASK, now_ms);
    } else {
        begin_websocket(c, content, now_ms);
    }
}

void rp_conn_decided(struct conn *c, uint64_t now_ms) {
    struct rp_answer content = c->request->answer;
    rp_buf_init(&c->request->answer.head, RP_SITE_HEAD_BYTES_MAX);
    if (rp_wire_is_refused(c->wire)) {
        rp_gateway_gone(c->owner->config.gateway, c->wire, now_ms);
        c->wire = NULL;
        refuse_websocket(c, content, now_ms);
    } else {
        begin_websocket(c, content, now_ms);
    }
}

static void open_poll(struct conn *c, const struct rp_http_request *request, uint64_t now_ms) {
    struct rp_gateway *g = c->owner->config.gateway;
    struct rp_buf handshake;
    make_handshake(c, request, &handshake);
    wait_for_core(c, rp_gateway_poll_open(g, c, rp_buf_bytes(&handshake), now_ms), now_ms);
    rp_buf_done(&handshake);
}

static bool has_body(const struct rp_http_request *request) {
    return request->framing == RP_HTTP_BODY_CHUNKED || request->content_length > 0;
}

/* Handles a head; *in is what came behind it. */
static void handle(struct conn *c, const struct rp_http_request *request, struct rp_bytes_mut *in,
                   uint64_t now_ms) {
    struct rp_conns *s = c->owner;
    struct request *r = request_of(c);
    struct rp_answer content;
    char address[RP_IP_TEXT_SIZE] = "";
    if (rp_bytes_eq_str(request->path, "/whoami")) { /* nobody else asks, and it costs a call */
        rp_conn_address(c, request, address);
    }
    enum rp_site_verdict verdict =
        rp_site_answer(s->config.site, request, address, &r->site, &content);
    r->body_unread = has_body(request) && verdict != RP_SITE_POLL_POST;
    switch (verdict) {
    case RP_SITE_ANSWER:
        answer_at_once(c, content, now_ms);
        break;
    case RP_SITE_WEBSOCKET:
        open_websocket(c, request, content, now_ms);
        break;
    case RP_SITE_POLL_OPEN:
        open_poll(c, request, now_ms);
        break;
    case RP_SITE_POLL_GET:
        r->is_get = true;
        wait_for_core(c, rp_gateway_poll_get(s->config.gateway, c, sid_of(r), now_ms), now_ms);
        break;
    case RP_SITE_POLL_POST:
        begin_body(c, request, in, now_ms);
        break;
    }
}

/* Only the site knows what its answer must look like for a page to read it, so it is asked. */
static void refuse_stopping(struct conn *c, const struct rp_http_request *request,
                            uint64_t now_ms) {
    struct rp_answer unused;
    enum rp_site_verdict verdict =
        rp_site_answer(c->owner->config.site, request, "", &request_of(c)->site, &unused);
    if (verdict == RP_SITE_ANSWER || verdict == RP_SITE_WEBSOCKET) {
        rp_buf_done(&unused.head);
    }
    rp_conn_refuse_busy(c, now_ms);
}

void rp_conn_take_head(struct conn *c, struct rp_bytes_mut *in, uint64_t now_ms) {
    struct rp_http_request request;
    size_t consumed;
    const struct rp_http_problem *problem;
    enum rp_err err =
        rp_http_parse_head(rp_bytes(in->data, in->len), &request, &consumed, &problem);
    if (err == RP_MORE) {
        return;
    }
    if (err != RP_OK) {
        rp_conn_refuse_head(c, rp_bytes(in->data, in->len), problem->status, problem->text, now_ms);
        return;
    }
    c->owner->stats.requests++;
    *in = (struct rp_bytes_mut){in->data + consumed, in->len - consumed};
    if (c->owner->draining) {
        refuse_stopping(c, &request, now_ms);
    } else {
        handle(c, &request, in, now_ms);
    }
}
