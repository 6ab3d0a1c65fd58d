/* sdk/dispatch.c — what happened → the application's handlers, one after the other, in the order in
 * which the broker told it. */
#include "sdk/inner.h"

#include <stdlib.h>

/* ---- sockets ---- */

static void call_socket(enum rp_sdk_handler_kind kind, struct reprise_socket *s) {
    struct rp_sdk_walk walk = rp_sdk_walk(rp_sdk_nsp_of(s->served), kind);
    struct rp_sdk_handler *h;
    while ((h = rp_sdk_walk_next(&walk)) != NULL) {
        ((reprise_socket_fn *) h->fn)(s, h->user);
    }
}

static void call_disconnect(enum rp_sdk_handler_kind kind, struct reprise_socket *s,
                            const char *reason) {
    struct rp_sdk_walk walk = rp_sdk_walk(rp_sdk_nsp_of(s->served), kind);
    struct rp_sdk_handler *h;
    while ((h = rp_sdk_walk_next(&walk)) != NULL) {
        ((reprise_disconnect_fn *) h->fn)(s, reason, h->user);
    }
}

void rp_sdk_change_user(struct reprise_socket *s, void *user, void (*destructor)(void *)) {
    struct reprise_context *c = reprise_socket_context(s);
    void (*old_destructor)(void *) = s->destructor;
    void *old = s->user;
    s->destructor = destructor;
    s->user = user;
    if (old_destructor != NULL) {
        bool was_in_turn = rp_sdk_enter(c);
        old_destructor(old);
        rp_sdk_leave(c, was_in_turn);
    }
}

static void on_left(struct reprise_socket *s, struct rp_bytes reason) {
    char text[256];
    size_t len = reason.len < sizeof text ? reason.len : sizeof text - 1;
    memcpy(text, reason.data, len);
    text[len] = '\0';
    call_disconnect(RP_SDK_DISCONNECTING, s, text);
    rp_worker_socket_left_rooms(s); /* as in Socket.IO; if it comes back, it is told them */
    call_disconnect(RP_SDK_DISCONNECT, s, text);
    rp_sdk_change_user(s, NULL, NULL);
}

static void on_socket(const struct reprise_context *c, struct reprise_socket *s, uint64_t why) {
    if (!c->parting) {
        call_socket(why == RP_OP_SOCKET_ADOPTED ? RP_SDK_ADOPTED : RP_SDK_CONNECTION, s);
    }
}

static void on_released(const struct reprise_context *c, struct reprise_socket *s) {
    if (!c->parting) {
        call_socket(RP_SDK_RELEASED, s);
    }
    rp_sdk_change_user(s, NULL, NULL);
}

static char *copy_text(struct rp_bytes text) {
    char *copy = rp_alloc(text.len + 1);
    if (text.len > 0) {
        memcpy(copy, text.data, text.len);
    }
    return copy;
}

static void on_expired(const struct rp_worker_happening *h) {
    struct reprise_nsp *n = rp_sdk_nsp_of(h->served);
    struct rp_bytes data = h->text.len > 0 ? h->text : RP_BYTES_LIT("null");
    char *nsp = copy_text(h->nsp), *sid = copy_text(h->sid);
    struct rp_sdk_walk walk = rp_sdk_walk(n, RP_SDK_EXPIRED);
    struct rp_sdk_handler *handler;
    while ((handler = rp_sdk_walk_next(&walk)) != NULL) {
        ((reprise_expired_fn *) handler->fn)(n, nsp, sid, rp_sdk_value(data, rp_bytes(NULL, 0)),
                                             handler->user);
    }
    free(nsp);
    free(sid);
}

/* ---- tasks ---- */

static void decide_yes(struct rp_worker_task *t) {
    struct rp_op_decided yes = {.verdict = RP_OP_YES};
    (void) rp_worker_decide(t, &yes);
}

/* One middleware at a time: it says next, and so calls this again, now or later. Nothing of the
 * task is touched after it was called, as that may have been its end. */
void rp_sdk_admit(struct rp_worker_task *t, struct rp_sdk_handler *from) {
    struct reprise_nsp *n = rp_sdk_nsp_of(t->served);
    struct rp_list *head = &n->handlers[RP_SDK_USE];
    struct rp_list *next = from != NULL ? from->node.next : head->next;
    if (next == head) {
        decide_yes(t);
        return;
    }
    struct rp_sdk_handler *h = RP_CONTAINER_OF(next, struct rp_sdk_handler, node);
    t->step = h;
    ((reprise_middleware_fn *) h->fn)((struct reprise_admission *) t, h->user);
}

/* Whether all middlewares let the event pass. */
static bool pass_middlewares(struct rp_worker_task *t) {
    struct reprise_nsp *n = rp_sdk_nsp_of(t->served);
    struct rp_sdk_walk walk = rp_sdk_walk(n, RP_SDK_USE_EVENT);
    struct rp_sdk_handler *h;
    while ((h = rp_sdk_walk_next(&walk)) != NULL) {
        const char *refusal =
            ((reprise_event_middleware_fn *) h->fn)(t->socket, (struct reprise_event *) t, h->user);
        if (refusal != NULL) {
            rp_sdk_walk_end(&walk);
            struct rp_sdk_walk errors = rp_sdk_walk(n, RP_SDK_ERROR);
            while ((h = rp_sdk_walk_next(&errors)) != NULL) {
                ((reprise_error_fn *) h->fn)(t->socket, refusal, h->user);
            }
            return false;
        }
    }
    return true;
}

static void call_event(struct rp_worker_task *t, struct rp_sdk_walk walk) {
    struct rp_sdk_handler *h;
    while ((h = rp_sdk_walk_next(&walk)) != NULL) {
        ((reprise_event_fn *) h->fn)(t->socket, (struct reprise_event *) t, h->user);
    }
}

static void on_invoke(struct rp_worker_task *t) {
    struct reprise_nsp *n = rp_sdk_nsp_of(t->served);
    if (pass_middlewares(t)) {
        call_event(t, rp_sdk_walk(n, RP_SDK_ANY));
        call_event(t, rp_sdk_walk_named(n, RP_SDK_EVENT, t->name));
    }
    if (!t->held && !t->decided) {
        decide_yes(t);
    }
}

static void on_side(struct rp_worker_task *t) {
    struct reprise_nsp *n = rp_sdk_nsp_of(t->served);
    struct rp_sdk_walk walk = rp_sdk_walk_named(n, RP_SDK_SIDE, t->name);
    struct rp_sdk_handler *h;
    while ((h = rp_sdk_walk_next(&walk)) != NULL) {
        ((reprise_side_fn *) h->fn)(n, (struct reprise_event *) t, h->user);
    }
    if (!t->held && !t->decided) {
        decide_yes(t);
    }
}

/* A room whose name would look shorter than it is to the application is not asked about. */
static void on_check(struct rp_worker_task *t) {
    struct reprise_nsp *n = rp_sdk_nsp_of(t->served);
    if (t->room.len > 0 && memchr(t->room.data, '\0', t->room.len) != NULL) {
        (void) reprise_check_deny((struct reprise_check *) t, "bad_room",
                                  "the room's name contains NUL");
    } else if (n->room_event == NULL) {
        decide_yes(t);
    } else {
        n->room_event(t->socket, (struct reprise_check *) t, n->room_event_user);
    }
}

static void on_task(struct rp_worker_task *t) {
    switch (t->kind) {
    case RP_WORKER_TASK_ADMIT:
        rp_sdk_admit(t, NULL);
        break;
    case RP_WORKER_TASK_INVOKE:
        on_invoke(t);
        break;
    case RP_WORKER_TASK_CHECK:
        on_check(t);
        break;
    case RP_WORKER_TASK_SIDE:
        on_side(t);
        break;
    }
}

/* ---- the rest ---- */

static void on_link(struct reprise_context *c, bool up) {
    if (up) {
        rp_sdk_log(c, REPRISE_LOG_INFO, "linked to the broker at %s", c->broker);
    }
    if (c->link != NULL) {
        c->link(c, up, c->link_user);
    }
}

static void on_failed(struct reprise_context *c, const struct rp_worker_happening *h) {
    (void) rp_sdk_fail(c, REPRISE_E_REFUSED, "%.*s: %.*s",
                       (int) (h->nsp.len < 64 ? h->nsp.len : 64), (const char *) h->nsp.data,
                       (int) (h->text.len < 160 ? h->text.len : 160), (const char *) h->text.data);
    rp_sdk_log(c, REPRISE_LOG_WARN, "the broker refused a request: %s", c->last_error);
}

static void happened(struct reprise_context *c, const struct rp_worker_happening *h) {
    switch (h->kind) {
    case RP_WORKER_LINK:
        on_link(c, h->up);
        break;
    case RP_WORKER_READY:
        if (c->ready != NULL) {
            c->ready(c, c->ready_user);
        }
        break;
    case RP_WORKER_TASK:
        on_task(h->task);
        break;
    case RP_WORKER_SOCKET:
        on_socket(c, h->socket, h->why);
        break;
    case RP_WORKER_LEFT:
        on_left(h->socket, h->text);
        break;
    case RP_WORKER_RELEASED:
        on_released(c, h->socket);
        break;
    case RP_WORKER_EXPIRED:
        on_expired(h);
        break;
    case RP_WORKER_STORED:
        rp_sdk_call_stored(h->wait->owner, h->wait->seq);
        break;
    case RP_WORKER_RESPONSE:
        rp_sdk_call_response(h->wait->owner, h);
        break;
    case RP_WORKER_ENDED:
        rp_sdk_call_ended(h->wait->owner, h->err);
        break;
    case RP_WORKER_FAILED:
        on_failed(c, h);
        break;
    }
}

void rp_sdk_dispatch(struct reprise_context *c) {
    struct rp_worker_happening h;
    while (rp_worker_next(c->worker, &h)) {
        happened(c, &h);
    }
}
