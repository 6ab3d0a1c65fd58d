/* gateway/conn_state.h — what the files of conn.h share. Not for anybody else.
 *
 *     conn.c         life, events, deadlines, the flush of the turn
 *     conn_input.c   bytes that came → a request, or messages for the core
 *     conn_output.c  an answer and the core's frames → bytes of one write */
#pragma once

#include "common/list.h"
#include "gateway/conn.h"
#include "proto/ws.h"

#include <event2/event_struct.h>

/*    HEAD ──► ANSWER ───────────────┐
 *      └────► OPEN ──► CLOSING ──► LINGER ──► DEAD        and from everywhere to DEAD */
enum conn_state {
    CONN_HEAD,    /* the request's head is being read */
    CONN_ANSWER,  /* an HTTP answer is being written, the last thing here */
    CONN_OPEN,    /* a WebSocket with a client of the core */
    CONN_CLOSING, /* the core closed the client; the rest of its output is being written */
    CONN_LINGER,  /* all is written and our end shut; the peer's end is awaited, for closing a
                     socket with input unread is a reset, which may overtake what was written */
    CONN_DEAD,    /* freed at the end of the turn */
    CONN_STATES,
};

/* Memory counts here: this is what an idle connection costs, beside struct rp_client. */
struct conn {
    struct event event; /* one for both directions: EV_WRITE is added while output is blocked */
    struct rp_list state_node; /* in states[state], in the order of the deadlines */
    struct rp_list work_node;  /* in work */
    struct rp_conns *owner;
    struct rp_client *client; /* while OPEN or CLOSING */
    struct answer *answer;    /* written before the client's output; NULL most of the time */
    uint64_t deadline_ms;     /* of the state */
    struct rp_buf in; /* HEAD: what has come of it; later: what came and the client may not be given
                         yet. Empty and without memory most of the time */
    struct rp_ws_reader reader; /* while OPEN */
    int fd;
    uint8_t state;
    uint8_t watched; /* the directions the event is added for */
    bool blocked;    /* the socket takes no more; EV_WRITE will come */
    bool ended;      /* the peer has shut its end */
};

struct answer {
    struct rp_answer content;
    size_t sent;
};

struct rp_conns {
    struct rp_conns_config config;
    struct rp_list states[CONN_STATES];
    struct rp_list work; /* to be flushed */
    struct rp_conns_stats stats;
    bool draining;
    uint8_t scratch[RP_CONN_READ_BYTES];
};

/* ---- conn.c ---- */
void rp_conn_enter(struct conn *c, enum conn_state state, uint64_t now_ms);
/* The connection comes by in the flush of this turn. */
void rp_conn_want_flush(struct conn *c);
/* The end of a connection: the core is told now, the memory goes at the end of the turn, for we may
 * be inside the event. */
void rp_conn_die(struct conn *c, uint64_t now_ms);

/* ---- conn_input.c ---- */
/* Takes the first len bytes of the shared buffer. */
void rp_conn_input(struct conn *c, size_t len, uint64_t now_ms);
/* Gives the client what is kept of its input, as far as it may be given. */
void rp_conn_input_kept(struct conn *c, uint64_t now_ms);
/* Answers an error in place of a request's answer. */
void rp_conn_refuse(struct conn *c, int status, const char *message, uint64_t now_ms);
void rp_conn_refuse_busy(struct conn *c, uint64_t now_ms);

/* ---- conn_output.c ---- */
bool rp_conn_has_output(const struct conn *c);
/* Writes until nothing is left, the socket takes no more or it is others' turn; then c->blocked. */
void rp_conn_output(struct conn *c, uint64_t now_ms);
void rp_conn_drop_answer(struct conn *c);
