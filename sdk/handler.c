/* sdk/handler.c — namespaces and their handlers. */
#include "sdk/inner.h"

#include <stdlib.h>

/* ---- walking ---- */

struct rp_sdk_walk rp_sdk_walk_named(struct reprise_nsp *n, enum rp_sdk_handler_kind kind,
                                     struct rp_bytes name) {
    n->walking++;
    return (struct rp_sdk_walk){
        .nsp = n, .kind = kind, .name = name, .at = &n->handlers[kind], .number = ++n->walks};
}

struct rp_sdk_walk rp_sdk_walk(struct reprise_nsp *n, enum rp_sdk_handler_kind kind) {
    return rp_sdk_walk_named(n, kind, rp_bytes(NULL, 0));
}

/* Nobody walks any more. */
static void sweep(struct reprise_nsp *n) {
    for (size_t kind = 0; n->removed_count > 0 && kind < RP_SDK_HANDLER_KINDS; kind++) {
        struct rp_list *it, *tmp;
        RP_LIST_FOR(&n->handlers[kind], it, tmp) {
            struct rp_sdk_handler *h = RP_CONTAINER_OF(it, struct rp_sdk_handler, node);
            if (h->removed) {
                rp_list_remove(it);
                free(h);
                n->removed_count--;
            }
        }
    }
}

struct rp_sdk_handler *rp_sdk_walk_next(struct rp_sdk_walk *walk) {
    const struct rp_list *head = &walk->nsp->handlers[walk->kind];
    while ((walk->at = walk->at->next) != head) {
        struct rp_sdk_handler *h = RP_CONTAINER_OF(walk->at, struct rp_sdk_handler, node);
        if (!h->removed && h->born < walk->number &&
            rp_bytes_eq(rp_bytes(h->name, h->name_len), walk->name)) {
            return h;
        }
    }
    rp_sdk_walk_end(walk);
    return NULL;
}

void rp_sdk_walk_end(struct rp_sdk_walk *walk) {
    if (--walk->nsp->walking == 0) {
        sweep(walk->nsp);
    }
}

bool rp_sdk_has_handler(const struct reprise_nsp *n, enum rp_sdk_handler_kind kind) {
    return !rp_list_is_empty(&n->handlers[kind]);
}

/* ---- adding and taking back ---- */

static enum reprise_err add(struct reprise_nsp *n, enum rp_sdk_handler_kind kind, const char *name,
                            rp_sdk_fn *fn, void *user, bool first) {
    if (n == NULL || fn == NULL || (name != NULL && !rp_sdk_is_name(name, RP_EVENT_BYTES_MAX))) {
        return rp_sdk_fail(n != NULL ? n->context : NULL, REPRISE_E_INVALID,
                           "a handler needs a namespace, a function, and an event's name of 1 to "
                           "%d bytes",
                           RP_EVENT_BYTES_MAX);
    }
    struct rp_bytes bytes = rp_bytes_str(name);
    struct rp_sdk_handler *h = rp_alloc(sizeof *h + bytes.len + 1);
    h->fn = fn;
    h->user = user;
    h->born = n->walks;
    h->name_len = bytes.len;
    memcpy(h->name, name != NULL ? name : "", bytes.len);
    /* appending to the node behind the head is being the first */
    rp_list_append(first ? n->handlers[kind].next : &n->handlers[kind], &h->node);
    return REPRISE_OK;
}

static enum reprise_err take_back(struct reprise_nsp *n, enum rp_sdk_handler_kind kind,
                                  const char *name, rp_sdk_fn *fn, void *user) {
    if (n == NULL) {
        return REPRISE_E_INVALID;
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&n->handlers[kind], it, tmp) {
        struct rp_sdk_handler *h = RP_CONTAINER_OF(it, struct rp_sdk_handler, node);
        if (!h->removed && h->fn == fn && h->user == user &&
            rp_bytes_eq(rp_bytes(h->name, h->name_len), rp_bytes_str(name))) {
            h->removed = true;
            n->removed_count++;
            if (n->walking == 0) {
                sweep(n);
            }
            return REPRISE_OK;
        }
    }
    return rp_sdk_fail(n->context, REPRISE_E_INVALID, "there is no such handler");
}

#define ADDER(function, type, kind)                                                                \
    enum reprise_err function(struct reprise_nsp *n, type *fn, void *user) {                       \
        return add(n, kind, NULL, (rp_sdk_fn *) fn, user, false);                                  \
    }
#define NAMED_ADDER(function, type, kind)                                                          \
    enum reprise_err function(struct reprise_nsp *n, const char *name, type *fn, void *user) {     \
        return add(n, kind, name != NULL ? name : "", (rp_sdk_fn *) fn, user, false);              \
    }
#define PREPENDER(function, type, kind)                                                            \
    enum reprise_err function(struct reprise_nsp *n, type *fn, void *user) {                       \
        return add(n, kind, NULL, (rp_sdk_fn *) fn, user, true);                                   \
    }
#define TAKER(function, type, kind)                                                                \
    enum reprise_err function(struct reprise_nsp *n, type *fn, void *user) {                       \
        return take_back(n, kind, NULL, (rp_sdk_fn *) fn, user);                                   \
    }

ADDER(reprise_on_connection, reprise_socket_fn, RP_SDK_CONNECTION)
ADDER(reprise_on_adopted, reprise_socket_fn, RP_SDK_ADOPTED)
ADDER(reprise_on_released, reprise_socket_fn, RP_SDK_RELEASED)
ADDER(reprise_on_disconnecting, reprise_disconnect_fn, RP_SDK_DISCONNECTING)
ADDER(reprise_on_disconnect, reprise_disconnect_fn, RP_SDK_DISCONNECT)
ADDER(reprise_on_session_expired, reprise_expired_fn, RP_SDK_EXPIRED)
ADDER(reprise_on_error, reprise_error_fn, RP_SDK_ERROR)
ADDER(reprise_on_any, reprise_event_fn, RP_SDK_ANY)
PREPENDER(reprise_prepend_any, reprise_event_fn, RP_SDK_ANY)
TAKER(reprise_off_any, reprise_event_fn, RP_SDK_ANY)
ADDER(reprise_on_any_outgoing, reprise_outgoing_fn, RP_SDK_OUTGOING)
PREPENDER(reprise_prepend_any_outgoing, reprise_outgoing_fn, RP_SDK_OUTGOING)
TAKER(reprise_off_any_outgoing, reprise_outgoing_fn, RP_SDK_OUTGOING)
ADDER(reprise_use, reprise_middleware_fn, RP_SDK_USE)
ADDER(reprise_use_event, reprise_event_middleware_fn, RP_SDK_USE_EVENT)
NAMED_ADDER(reprise_on_event, reprise_event_fn, RP_SDK_EVENT)
NAMED_ADDER(reprise_on_server_side, reprise_side_fn, RP_SDK_SIDE)

enum reprise_err reprise_off_event(struct reprise_nsp *n, const char *name, reprise_event_fn *fn,
                                   void *user) {
    return take_back(n, RP_SDK_EVENT, name, (rp_sdk_fn *) fn, user);
}

enum reprise_err reprise_on_room_event(struct reprise_nsp *n, reprise_room_event_fn *fn,
                                       void *user) {
    if (n == NULL || fn == NULL) {
        return REPRISE_E_INVALID;
    }
    n->room_event = fn;
    n->room_event_user = user;
    return REPRISE_OK;
}

/* ---- namespaces ---- */

static struct reprise_nsp *serve(struct reprise_context *c, const char *name, uint64_t flags) {
    if (c == NULL || name == NULL) {
        return NULL;
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->nsps, it, tmp) {
        struct reprise_nsp *n = RP_CONTAINER_OF(it, struct reprise_nsp, node);
        if (rp_bytes_eq_str(rp_bytes(n->served->name, n->served->name_len), name) &&
            (n->served->flags & RP_OP_PATTERN) == flags) {
            return n;
        }
    }
    struct rp_worker_served *served = rp_worker_serve(c->worker, rp_bytes_str(name), flags);
    if (served == NULL) {
        (void) rp_sdk_fail(c, REPRISE_E_INVALID,
                           "'%.64s' is no namespace (it begins with '/', has at most %d bytes and "
                           "no ','%s), or there are %d already",
                           name, RP_SIO_NSP_BYTES_MAX, flags != 0 ? "" : " or '*'",
                           RP_WORKER_NAMESPACES_MAX);
        return NULL;
    }
    struct reprise_nsp *n = RP_NEW(struct reprise_nsp);
    n->context = c;
    n->served = served;
    served->owner = n;
    for (size_t kind = 0; kind < RP_SDK_HANDLER_KINDS; kind++) {
        rp_list_init(&n->handlers[kind]);
    }
    rp_list_append(&c->nsps, &n->node);
    rp_sdk_touch(c);
    return n;
}

struct reprise_nsp *reprise_of(struct reprise_context *c, const char *name) {
    return serve(c, name, 0);
}

struct reprise_nsp *reprise_of_pattern(struct reprise_context *c, const char *pattern) {
    return serve(c, pattern, RP_OP_PATTERN);
}

void rp_sdk_nsp_free(struct reprise_nsp *n) {
    for (size_t kind = 0; kind < RP_SDK_HANDLER_KINDS; kind++) {
        struct rp_list *it, *tmp;
        RP_LIST_FOR(&n->handlers[kind], it, tmp) {
            free(RP_CONTAINER_OF(it, struct rp_sdk_handler, node));
        }
    }
    rp_list_remove(&n->node);
    free(n);
}

const char *reprise_nsp_name(const struct reprise_nsp *n) {
    return n != NULL ? n->served->name : "";
}

struct reprise_context *reprise_nsp_context(const struct reprise_nsp *n) {
    return n != NULL ? n->context : NULL;
}

static enum reprise_err set_flags(struct reprise_nsp *n, uint64_t mask, uint64_t flags) {
    if (n == NULL) {
        return REPRISE_E_INVALID;
    }
    (void) rp_worker_serve(n->context->worker, rp_bytes(n->served->name, n->served->name_len),
                           (n->served->flags & ~mask) | flags);
    rp_sdk_touch(n->context);
    return REPRISE_OK;
}

enum reprise_err reprise_nsp_durable(struct reprise_nsp *n, bool durable) {
    return set_flags(n, RP_OP_DURABLE, durable ? RP_OP_DURABLE : 0);
}

enum reprise_err reprise_nsp_rooms(struct reprise_nsp *n, enum reprise_rooms rooms) {
    static const uint64_t flags[] = {[REPRISE_ROOMS_OFF] = 0,
                                     [REPRISE_ROOMS_ON] = RP_OP_ROOMS_ON,
                                     [REPRISE_ROOMS_ASK] = RP_OP_ROOMS_ON | RP_OP_ROOMS_ASK};
    if ((unsigned) rooms > REPRISE_ROOMS_ASK) {
        return REPRISE_E_INVALID;
    }
    return set_flags(n, RP_OP_ROOMS_ON | RP_OP_ROOMS_ASK, flags[rooms]);
}
