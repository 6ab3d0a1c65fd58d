/* sdk/inner.h — what the files around the worker's core share. Not for anybody else.
 *
 *     context.c     the application's thread: one turn, run, outside loops, posts, closing
 *     uplink.c      the ZeroMQ socket of the link
 *     dispatch.c    what happened → handlers
 *     handler.c     namespaces and their handlers
 *     call.c        what an application waits for: collected acks, sockets, answers of workers
 *     target.c      rooms as an address, and everything that is done to them
 *     emit.c        an emit's arguments, checked; emits to one socket
 *     socket.c      what sockets know
 *     event.c       events, admissions, checks: what they say, and their answers
 *     handshake.c   what a handshake says
 *
 * The application's handles of sockets and tasks are the core's objects. */
#pragma once

#include "common/limits.h"
#include "sdk/reprise.h"
#include "sdk/room.h"
#include "sdk/worker.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- handlers ---- */

enum rp_sdk_handler_kind {
    RP_SDK_CONNECTION,
    RP_SDK_ADOPTED,
    RP_SDK_RELEASED,
    RP_SDK_DISCONNECTING,
    RP_SDK_DISCONNECT,
    RP_SDK_EXPIRED,
    RP_SDK_ERROR,
    RP_SDK_EVENT, /* these two have names */
    RP_SDK_SIDE,
    RP_SDK_ANY,
    RP_SDK_OUTGOING,
    RP_SDK_USE,
    RP_SDK_USE_EVENT,
    RP_SDK_HANDLER_KINDS,
};

typedef void rp_sdk_fn(void); /* any handler; cast back by who knows its kind */

/* One stays until nobody walks through the handlers of its namespace, if it is removed. */
struct rp_sdk_handler {
    struct rp_list node; /* in nsp->handlers[kind] */
    rp_sdk_fn *fn;
    void *user;
    uint64_t born; /* the walk during which it was added; it is not part of that one */
    bool removed;
    size_t name_len;
    char name[];
};

struct reprise_nsp {
    struct rp_list node; /* in context->nsps */
    struct reprise_context *context;
    struct rp_worker_served *served;
    struct rp_list handlers[RP_SDK_HANDLER_KINDS];
    uint64_t walks; /* begun so far */
    unsigned walking;
    size_t removed_count;
    reprise_room_event_fn *room_event;
    void *room_event_user;
};

/* Walks through the handlers of a kind that were there when it began, with this name, to its end
 * (NULL), or until rp_sdk_walk_end.
 *     struct rp_sdk_walk walk = rp_sdk_walk(n, kind);
 *     while ((h = rp_sdk_walk_next(&walk)) != NULL) */
struct rp_sdk_walk {
    struct reprise_nsp *nsp;
    enum rp_sdk_handler_kind kind;
    struct rp_bytes name;
    struct rp_list *at;
    uint64_t number;
};
struct rp_sdk_walk rp_sdk_walk(struct reprise_nsp *n, enum rp_sdk_handler_kind kind);
struct rp_sdk_walk rp_sdk_walk_named(struct reprise_nsp *n, enum rp_sdk_handler_kind kind,
                                     struct rp_bytes name);
struct rp_sdk_handler *rp_sdk_walk_next(struct rp_sdk_walk *walk);
void rp_sdk_walk_end(struct rp_sdk_walk *walk); /* before its end */
bool rp_sdk_has_handler(const struct reprise_nsp *n, enum rp_sdk_handler_kind kind);
void rp_sdk_nsp_free(struct reprise_nsp *n);

static inline struct reprise_nsp *rp_sdk_nsp_of(const struct rp_worker_served *served) {
    return served != NULL ? served->owner : NULL;
}

/* ---- the context ---- */

struct rp_sdk_post {
    reprise_post_fn *fn;
    void *arg;
};

struct reprise_context {
    struct rp_worker *worker;
    struct rp_sdk_uplink *uplink;
    char *broker, *name;
    char *server_key, *public_key, *secret_key; /* NULL: no CURVE */
    reprise_log_fn *log;
    void *log_user;
    reprise_ready_fn *ready;
    void *ready_user;
    reprise_link_fn *link;
    void *link_user;
    struct rp_list nsps;

    int poll_fd, wake_fd, timer_fd;
    uint64_t armed_ms; /* what the timer is set to; UINT64_MAX: nothing */
    atomic_bool stop;
    bool in_turn, running;
    bool woken;   /* the wake descriptor is written already (by the owning thread) */
    bool parting; /* the goodbye was said */

    pthread_mutex_t posts_mutex;
    struct rp_sdk_post *posts; /* a ring */
    size_t posts_first, posts_count, posts_capacity;
    bool posts_closed;

    char told_notice[256];
    char last_error[256];
};

/* Notes why, and returns err. c may be NULL. */
enum reprise_err rp_sdk_fail(struct reprise_context *c, enum reprise_err err, const char *format,
                             ...) __attribute__((format(printf, 3, 4)));
void rp_sdk_log(const struct reprise_context *c, enum reprise_log_level level, const char *format,
                ...) __attribute__((format(printf, 3, 4)));
/* There is something to be sent: a loop that waits must come back. */
void rp_sdk_touch(struct reprise_context *c);

/* Around what is called outside of a turn, by what the application does between two: it is a
 * handler like others, and can neither run nor close the context. leave takes what enter returned.
 */
bool rp_sdk_enter(struct reprise_context *c);
void rp_sdk_leave(struct reprise_context *c, bool was_in_turn);

/* ---- dispatch.c ---- */

/* Pulls everything that happened and calls the handlers. */
void rp_sdk_dispatch(struct reprise_context *c);
/* The application's pointer goes, and another (or NULL) is there; the destructor, which may do what
 * handlers may and change it again, is called last. The socket has a context. */
void rp_sdk_change_user(struct reprise_socket *s, void *user, void (*destructor)(void *));
/* Asks the middlewares from here on; the first if from is NULL. */
void rp_sdk_admit(struct rp_worker_task *t, struct rp_sdk_handler *from);

/* ---- uplink.c ---- */

struct rp_sdk_uplink;
/* REPRISE_E_INVALID: endpoint or keys; REPRISE_E_SYSTEM. Borrows c. */
enum reprise_err rp_sdk_uplink_new(struct reprise_context *c, struct rp_sdk_uplink **ret_uplink);
void rp_sdk_uplink_free(struct rp_sdk_uplink *u); /* NULL is fine */
/* What was sent last is still to reach the broker after rp_sdk_uplink_free, which waits for it. */
void rp_sdk_uplink_part(struct rp_sdk_uplink *u);
/* Opens and closes as the core needs it; takes some messages, and has what happened dispatched. */
void rp_sdk_uplink_receive(struct rp_sdk_uplink *u, uint64_t now_ms);
/* When rp_sdk_uplink_receive must be called at the latest, of its own; UINT64_MAX: whenever. */
uint64_t rp_sdk_uplink_deadline_ms(const struct rp_sdk_uplink *u);
/* Sends what there is. True: there is more to be received at once. */
bool rp_sdk_uplink_send(struct rp_sdk_uplink *u, uint64_t now_ms);

/* ---- call.c ---- */

enum rp_sdk_call_kind {
    RP_SDK_CALL_STORED,
    RP_SDK_CALL_ACK,
    RP_SDK_CALL_ACKS,
    RP_SDK_CALL_FETCH,
    RP_SDK_CALL_SIDE
};

/* What is to be called when something comes of a request, and what has come so far. */
struct rp_sdk_call {
    struct reprise_context *context;
    enum rp_sdk_call_kind kind;
    reprise_stored_fn *stored;
    void *stored_user;
    bool stored_told;
    union {
        reprise_ack_fn *ack;
        reprise_responses_fn *responses;
        reprise_sockets_fn *sockets;
        reprise_side_responses_fn *side;
    } done;
    reprise_response_fn *each;
    void *user;
    struct rp_buf bytes; /* of what was collected */
    struct rp_sdk_part *parts;
    size_t parts_count, parts_capacity;
    bool overflow;
};

struct rp_sdk_call *rp_sdk_call_new(struct reprise_context *c, enum rp_sdk_call_kind kind,
                                    void *user);
void rp_sdk_call_free(struct rp_sdk_call *call); /* NULL is fine */
void rp_sdk_call_stored(struct rp_sdk_call *call, uint64_t seq);
void rp_sdk_call_response(struct rp_sdk_call *call, const struct rp_worker_happening *h);
/* The last; frees it. */
void rp_sdk_call_ended(struct rp_sdk_call *call, enum reprise_err err);

/* ---- emit.c ---- */

/* A name of 1 to 255 bytes, UTF-8. */
bool rp_sdk_is_name(const char *text, size_t len_max);
/* What a builder gives: json is "[]" for NULL. An error is noted. Borrows. */
enum reprise_err rp_sdk_args(struct reprise_context *c, struct reprise_builder *args,
                             struct reprise_value *ret_value);
/* The first argument alone, or `null`; without binary. */
enum reprise_err rp_sdk_first_arg(struct reprise_context *c, struct reprise_builder *args,
                                  struct reprise_value *ret_value);
/* Whether an event may have the name. */
enum reprise_err rp_sdk_check_event(struct reprise_context *c, const char *name);

static inline struct reprise_bytes rp_sdk_out(struct rp_bytes b) {
    return (struct reprise_bytes){.data = b.data, .len = b.len};
}
static inline struct rp_bytes rp_sdk_in(struct reprise_bytes b) {
    return rp_bytes(b.data, b.len);
}
static inline struct reprise_value rp_sdk_value(struct rp_bytes json, struct rp_bytes binary) {
    return (struct reprise_value){.json = rp_sdk_out(json), .binary = rp_sdk_out(binary)};
}
