/* gateway/conn_state.h — what the files of conn.h share. Not for anybody else.
 *
 *     conn.c          life, events, deadlines, the flush of the turn
 *     conn_begin.c    what comes before HTTP: a PROXY header, a TLS handshake; whose connection it
 * is conn_input.c    bytes that came → requests, or messages for the core conn_request.c  one
 * request: its body, its exchange with the core, its answer conn_output.c   an answer and the
 * core's frames → bytes of one write, or of one TLS record */
#pragma once

#include "common/cidr.h"
#include "common/list.h"
#include "gateway/conn.h"
#include "gateway/tls.h"
#include "proto/deflate.h"
#include "proto/ws.h"

#include <event2/event_struct.h>

/*    PROXY ─► TLS ─► HEAD ─► BODY ─► WAIT ─► ANSWER ─► LINGER ─► DEAD
 *                     ▲ │ └──────┬────┴──────►▲ │         ▲
 *                     │ ├─► ASK ─┘            │ │         │
 *                     │ └──┴► OPEN ─► CLOSING ──│─────────┘
 *                     └─ IDLE ◄─────────────────┘         and from everywhere to LINGER and DEAD */
enum conn_state {
    CONN_PROXY,   /* a PROXY header is awaited */
    CONN_TLS,     /* the handshake is under way */
    CONN_IDLE,    /* between two requests */
    CONN_HEAD,    /* the request's head is being read */
    CONN_BODY,    /* the body of a POST is being read */
    CONN_WAIT,    /* the core has the request */
    CONN_ASK,     /* another gateway is asked whether it has the session of a WebSocket */
    CONN_ANSWER,  /* an HTTP answer is being written */
    CONN_OPEN,    /* a WebSocket with a wire of the core */
    CONN_CLOSING, /* the core closed the wire; the rest of its output is being written */
    CONN_LINGER,  /* all is written and our end shut; the peer's end is awaited, for closing a
                     socket with input unread is a reset, which may overtake what was written */
    CONN_DEAD,    /* freed at the end of the turn */
    CONN_STATES,
};

/* Memory counts here: this is what an idle connection costs, beside what the core has of it. */
struct conn {
    struct event event; /* one for both directions: EV_WRITE is added while output is blocked */
    struct rp_list state_node; /* in states[state], in the order of the deadlines; in `waiting` if
                                  it is OPEN and unheard */
    struct rp_list work_node;  /* in work */
    struct rp_conns *owner;
    struct rp_wire *wire;       /* while ASK, OPEN or CLOSING */
    struct request *request;    /* from its head to its answer's end; NULL most of the time */
    struct rp_tls_session *tls; /* from TLS to LINGER */
    struct rp_ip *proxied;      /* the client as PROXY told it; NULL most of the time */
    uint64_t deadline_ms;       /* of the state */
    struct rp_buf in; /* what came and could not be dealt with yet: a head in part, what is behind a
                         request, or what the wire may not be given. Empty and without memory most
                         of the time */
    struct rp_ws_reader reader; /* while OPEN */
    uint32_t reader_counted;    /* memory of `reader` in stats.parts_bytes */
    int fd;
    uint8_t state;
    uint8_t watched; /* the directions the event is added for */
    bool blocked;    /* the socket takes no more, or it is others' turn; EV_WRITE will come */
    bool ended;      /* the peer has shut its end */
    bool unheard;    /* `in` begins with a request that waits for its turn */
    bool speaks_tls;
    bool refused; /* above connections_max: 503 as soon as it can be said */
};

/* What is needed while a request is under way. */
struct request {
    struct rp_site_request site;
    struct rp_exchange *exchange; /* with the core, to its answer's end */
    bool is_get;      /* of the exchange: it may take long, so an end of input ends it */
    bool body_unread; /* what comes behind the head is no request: the connection ends */

    struct rp_http_body reader; /* BODY */
    struct rp_buf body;
    size_t body_counted; /* of it in stats.bodies_bytes */
    uint64_t body_left;  /* bytes to come; UINT64_MAX: not known */
    uint64_t body_begin_ms;

    bool answering;          /* `answer` is being written; in BODY it is the interim one (100) */
    struct rp_answer answer; /* its keep_alive says whether another request may follow */
    size_t answer_counted;   /* of an exchange's, in stats.answers_bytes */
    size_t sent;
    size_t taken; /* of it by the client, when that was last looked at */
};

struct rp_conns {
    struct rp_conns_config config;
    struct rp_list states[CONN_STATES];
    struct rp_list work; /* to be flushed */
    struct rp_conns_stats stats;
    struct rp_list
        waiting; /* OPEN, with input that must wait for the next turn; first come first */
    struct rp_buf inflated; /* one message */
    size_t inflated_bytes;  /* of the connection that is being read */
    size_t inflated_total;  /* in this turn */
    int handshakes_left;    /* steps, in this turn */
    bool draining;
    uint8_t scratch[RP_CONN_READ_BYTES];
    uint8_t record[RP_TLS_RECORD_BYTES];
};

/* ---- conn.c ---- */
void rp_conn_enter(struct conn *c, enum conn_state state, uint64_t now_ms);
/* The connection comes by in the flush of this turn. */
void rp_conn_want_flush(struct conn *c);
/* Everything is written: our end is shut, and the core has no business with us any more. */
void rp_conn_finish(struct conn *c, uint64_t now_ms);
/* The end of a connection: the core is told now, the memory goes at the end of the turn, for we may
 * be inside the event. */
void rp_conn_die(struct conn *c, uint64_t now_ms);
/* The same because reading or writing it failed. */
void rp_conn_fail(struct conn *c, uint64_t now_ms);

/* ---- conn_begin.c ---- */
/* The first state of a connection. */
void rp_conn_start(struct conn *c, struct rp_conn_kind kind, uint64_t now_ms);
/* Goes on in PROXY or TLS when the socket is ready. */
void rp_conn_begin(struct conn *c, uint64_t now_ms);
/* The address of the client that sent a request, as far as proxies are believed. */
void rp_conn_address(const struct conn *c, const struct rp_http_request *request,
                     char ret_text[RP_IP_TEXT_SIZE]);

/* ---- conn_input.c ---- */
/* Whether more of what the peer sends can be dealt with now. */
bool rp_conn_wants_read(const struct conn *c);
/* Reads what there is, within the bounds of a turn. */
void rp_conn_read(struct conn *c, uint64_t now_ms);
/* Deals with what is kept of the input, as far as that goes. */
void rp_conn_input_kept(struct conn *c, uint64_t now_ms);
/* A turn of the loop begins: input that had to wait is dealt with. */
void rp_conn_input_waiting(struct rp_conns *s, uint64_t now_ms);
/* Frees what the reader of the WebSocket holds. */
void rp_conn_drop_reader(struct conn *c);

/* ---- conn_request.c ---- */
/* HEAD: takes a head off the front of *in, if it is whole. */
void rp_conn_take_head(struct conn *c, struct rp_bytes_mut *in, uint64_t now_ms);
/* BODY: takes what belongs to the body. */
void rp_conn_take_body(struct conn *c, struct rp_bytes_mut *in, uint64_t now_ms);
/* The core has answered the exchange. */
void rp_conn_take_answer(struct conn *c, struct rp_exchange *x, uint64_t now_ms);
/* ASK: the other gateway has said whether it has the session. */
void rp_conn_decided(struct conn *c, uint64_t now_ms);
/* The answer is written: another request, or the end. */
void rp_conn_answered(struct conn *c, uint64_t now_ms);
/* Answers an error in place of a request's answer; the last thing here. */
void rp_conn_refuse(struct conn *c, int status, const char *message, uint64_t now_ms);
/* The same in place of a request whose head is bad or not complete. */
void rp_conn_refuse_head(struct conn *c, struct rp_bytes head, int status, const char *message,
                         uint64_t now_ms);
void rp_conn_refuse_busy(struct conn *c, uint64_t now_ms);
/* ANSWER: a client that takes what it should gets more time. */
void rp_conn_time_out_answer(struct conn *c, uint64_t now_ms);
void rp_conn_time_out_body(struct conn *c, uint64_t now_ms);
/* Frees the request, if there is one; an exchange whose answer is not written is lost. */
void rp_conn_drop_request(struct conn *c, uint64_t now_ms);
/* The client takes its time with the rest of an answer. */
void rp_conn_count_answer(struct conn *c);
/* If all that clients take their time with is too much, those with most left are cut off. Whether
 * there may be something new to write, for the core hears of that. */
bool rp_conns_cut_answers(struct rp_conns *s, uint64_t now_ms);

/* ---- conn_output.c ---- */
bool rp_conn_has_output(const struct conn *c);
/* Bytes of the answer that the client has taken; what the kernel still has of them is not. */
size_t rp_conn_answer_taken(const struct conn *c);
/* Writes until nothing is left, the socket takes no more or it is others' turn; then c->blocked. */
void rp_conn_output(struct conn *c, uint64_t now_ms);
