/* sdk/worker_link.c — the worker's end of the link: HELLO and resume, and what the broker sends.
 *
 * DOWN ──socket──► OPENING ──WELCOME──► UP ──SERVED──► ready. A lost link is forgotten with its
 * socket; what the worker has (sockets, requests, tasks under way, answers) stays, and the next
 * link resumes: the sockets are listed, the requests put again, and the broker sends everything
 * after `seen` and asks again what was not answered. */
#include "proto/offset.h"
#include "sdk/worker_state.h"

#include <stdio.h>

/* ---- the link's life ---- */

void rp_worker_link_down(struct rp_worker *w, const char *why) {
    if (w->link_state == RP_WORKER_DOWN) {
        return;
    }
    if (w->link_state == RP_WORKER_UP) {
        snprintf(w->notice, sizeof w->notice, "the link to the broker is lost: %s", why);
        w->stats.links_lost++;
        w->heard_ms = w->link.last_heard_ms;
    }
    w->link_state = RP_WORKER_DOWN;
    w->link_close = true;
    w->relink = false;
    w->ready = false;
    w->parted = w->parted || w->leaving;
    w->retry_at_ms = w->now_ms + RP_SDK_RETRY_MS;
    w->in.len = 0;
    rp_link_done(&w->link);
    rp_link_init(&w->link, w->config.link_credit_bytes, w->now_ms);
    rp_worker_request_link_lost(w);
    rp_worker_answers_link_lost(w);
}

enum rp_worker_need rp_worker_need(struct rp_worker *w, uint64_t now_ms) {
    if (w->link_close) {
        w->link_close = false;
        return RP_WORKER_NEED_CLOSE;
    }
    return w->link_state == RP_WORKER_DOWN && !w->leaving && now_ms >= w->retry_at_ms
               ? RP_WORKER_NEED_OPEN
               : RP_WORKER_NEED_NONE;
}

void rp_worker_opened(struct rp_worker *w, uint64_t now_ms) {
    w->now_ms = now_ms;
    w->link_state = RP_WORKER_OPENING;
    w->link_number++;
    w->relink = false;
    rp_link_done(&w->link);
    rp_link_init(&w->link, w->config.link_credit_bytes, now_ms);
    struct rp_op op = {.kind = RP_OP_HELLO,
                       .hello = {.version = RP_PROTOCOL_VERSION,
                                 .name = rp_bytes_str(w->config.name),
                                 .incarnation = w->incarnation,
                                 .epoch = rp_bytes(w->epoch, w->epoch_len),
                                 .seen = w->seen,
                                 .lowest = rp_worker_request_lowest(w),
                                 .role = RP_OP_WORKER}};
    rp_link_put(&w->link, &op);
}

void rp_worker_lost(struct rp_worker *w, uint64_t now_ms) {
    w->now_ms = now_ms;
    rp_worker_link_down(w, "the connection was closed");
    w->link_close = false; /* the shell knows */
}

void rp_worker_link_turn(struct rp_worker *w) {
    if (w->link_state == RP_WORKER_DOWN) {
        return;
    }
    if (w->relink) {
        rp_worker_link_down(w, "what is served has changed");
        w->retry_at_ms = w->now_ms;
        return;
    }
    if (rp_link_is_lost(&w->link, w->now_ms)) {
        rp_worker_link_down(w, "the broker is silent");
        return;
    }
    rp_worker_request_send(w);
    if (w->link_state == RP_WORKER_UP && rp_link_heartbeat_due(&w->link, w->now_ms)) {
        rp_link_put_heartbeat(&w->link, w->seen, rp_worker_request_lowest(w));
    }
}

uint64_t rp_worker_link_deadline_ms(const struct rp_worker *w) {
    if (w->relink || w->link_close) {
        return w->now_ms;
    }
    switch (w->link_state) {
    case RP_WORKER_DOWN:
        return w->leaving ? UINT64_MAX : w->retry_at_ms;
    case RP_WORKER_OPENING: /* no heartbeats before WELCOME */
        return w->link.last_heard_ms + RP_LINK_TIMEOUT_MS;
    case RP_WORKER_UP:
        break;
    }
    return rp_link_deadline_ms(&w->link);
}

void rp_worker_raise_seen(struct rp_worker *w, uint64_t seq) {
    w->seen = seq > w->seen ? seq : w->seen;
}

/* ---- resume ---- */

static void list_served(struct rp_worker *w) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&w->served, it, tmp) {
        const struct rp_worker_served *served = RP_CONTAINER_OF(it, struct rp_worker_served, node);
        struct rp_op op = {
            .kind = RP_OP_SERVE,
            .serve = {.nsp = rp_bytes(served->name, served->name_len), .flags = served->flags}};
        rp_link_put(&w->link, &op);
    }
}

static void got_welcome(struct rp_worker *w, const struct rp_op_welcome *op) {
    if (w->link_state != RP_WORKER_OPENING || !rp_offset_is_epoch(op->epoch)) {
        return;
    }
    if (w->epoch_len == 0) {
        w->seen = op->head;
    }
    memcpy(w->epoch, op->epoch.data, op->epoch.len);
    w->epoch_len = op->epoch.len;
    w->link_state = RP_WORKER_UP;
    w->stats.links_opened++;
    uint64_t sessions;
    list_served(w);
    rp_worker_list_sockets(w, &sessions);
    rp_worker_request_resend(w);
    struct rp_op resumed = {.kind = RP_OP_RESUMED, .resumed = {.sessions = sessions}};
    rp_link_put(&w->link, &resumed);
}

static void note(struct rp_worker *w, const char *what, struct rp_bytes text) {
    snprintf(w->notice, sizeof w->notice, "%s: %.*s", what, (int) (text.len < 200 ? text.len : 200),
             (const char *) text.data);
}

static void got_refused(struct rp_worker *w, const struct rp_op_refused *op) {
    bool stopping = rp_bytes_eq_str(op->code, "stopping");
    bool passing = stopping || rp_bytes_eq_str(op->code, "relink");
    rp_worker_link_down(w, stopping ? "the broker has been stopped" : "refused");
    w->retry_at_ms = w->now_ms + (passing ? RP_SDK_RETRY_MS : RP_SDK_REFUSED_MS);
    if (!stopping) {
        note(w, "the broker refuses this worker", op->message);
    }
}

/* The log has nothing to resume from: everything is lost, and this worker begins anew. Answers are
 * kept, for a gateway that was not reset asks again. */
static void got_reset(struct rp_worker *w, const struct rp_op_reset *op) {
    w->stats.resets++;
    rp_worker_link_down(w, "reset");
    note(w, "the broker asks to begin anew", op->message);
    rp_worker_request_lose_all(w);
    rp_worker_abandon(w, REPRISE_E_LOST);
    rp_worker_detach_tasks(w);
    rp_worker_doom_sockets(w);
    w->config.random(w->config.random_ctx, &w->incarnation, sizeof w->incarnation);
    w->incarnation |= 1;
    w->epoch_len = 0;
    w->seen = 0;
}

static void got_heartbeat(struct rp_worker *w, const struct rp_op_heartbeat *op) {
    if (w->link_state != RP_WORKER_UP) {
        return;
    }
    rp_worker_raise_seen(w, op->pos);
    if (!rp_link_heard_heartbeat(&w->link, op)) {
        rp_worker_link_down(w, "a heartbeat contradicts what was sent");
    }
}

/* ---- operations ---- */

static bool about_sockets(struct rp_worker *w, const struct rp_op *op,
                          struct rp_worker_happening *ret) {
    switch (op->kind) {
    case RP_OP_SOCKET:
        return rp_worker_got_socket(w, &op->socket, ret);
    case RP_OP_LEFT:
        return rp_worker_got_left(w, &op->left, ret);
    case RP_OP_RELEASE:
        return rp_worker_got_release(w, op->release.session, ret);
    case RP_OP_MEMBER:
        rp_worker_got_member(w, &op->member);
        return false;
    case RP_OP_VERDICT:
        return rp_worker_got_verdict(w, &op->verdict, ret);
    case RP_OP_ADMIT:
        return rp_worker_got_admit(w, &op->admit, ret);
    case RP_OP_INVOKE:
        return rp_worker_got_invoke(w, &op->invoke, ret);
    case RP_OP_CHECK:
        return rp_worker_got_check(w, &op->check, ret);
    case RP_OP_SIDE_EVENT:
        return rp_worker_got_side_event(w, &op->side_event, ret);
    default:
        return false; /* an operation that only a worker sends, or only a gateway gets */
    }
}

/* Before WELCOME the broker has nothing else to say; a broken one that does is not listened to. */
bool rp_worker_operation(struct rp_worker *w, const struct rp_op *op,
                         struct rp_worker_happening *ret) {
    switch (op->kind) {
    case RP_OP_WELCOME:
        got_welcome(w, &op->welcome);
        return false;
    case RP_OP_REFUSED:
        got_refused(w, &op->refused);
        return false;
    case RP_OP_RESET:
        got_reset(w, &op->reset);
        return false;
    default:
        break;
    }
    if (w->link_state != RP_WORKER_UP) {
        return false;
    }
    switch (op->kind) {
    case RP_OP_HEARTBEAT:
        got_heartbeat(w, &op->heartbeat);
        return false;
    case RP_OP_SERVED:
        w->ready = true;
        return false;
    case RP_OP_DONE:
        return rp_worker_got_done(w, &op->done, ret);
    case RP_OP_FAILED:
        return rp_worker_got_failed(w, &op->failed, ret);
    case RP_OP_RESULT:
        return rp_worker_got_result(w, &op->result, ret);
    case RP_OP_GOT_ACK:
        return rp_worker_got_ack(w, &op->got_ack, ret);
    case RP_OP_SIDE_ANSWERED:
        return rp_worker_got_side_answered(w, &op->side_answered, ret);
    default:
        return about_sockets(w, op, ret);
    }
}
