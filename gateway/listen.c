#include "gateway/listen.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct listener {
    int fd;
    struct rp_listen *owner;
    struct rp_conn_kind kind;
    struct event *readable;
    struct rp_address address;   /* as it was asked for; … */
    struct rp_address_file file; /* … of a Unix socket its file, to be removed */
};

struct rp_listen {
    struct listener **listeners;
    size_t count, capacity;
    struct event *pause; /* a timer: accept again */
    struct rp_conns *conns;
    uint64_t pauses;
    struct rp_log_limit limit;
    struct rp_buf text; /* all addresses, with a terminator */
    char first[RP_ADDRESS_TEXT_SIZE];
};

enum { TEXT_BYTES_MAX = 64 << 10 }; /* more than all addresses of a few options can be */

/* ---- accepting ---- */

/* Errors of the connection that was about to be accepted, not of the socket: see accept(2). */
static bool is_of_connection(int error) {
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPERM:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

/* The sockets stay readable, so they must not be watched for a while. */
static void pause_accepting(struct rp_listen *l, int error, uint64_t now_ms) {
    const struct timeval soon = {.tv_usec = RP_LISTEN_PAUSE_MS * 1000};
    for (size_t i = 0; i < l->count; i++) {
        event_del(l->listeners[i]->readable);
    }
    event_add(l->pause, &soon);
    l->pauses++;
    uint64_t suppressed;
    if (rp_log_limit_pass(&l->limit, 0, now_ms, &suppressed)) {
        rp_log_warn("cannot accept connections, pausing; raise the limit of open files or lower "
                    "--max-connections error=%s suppressed=%" PRIu64,
                    strerror(error), suppressed);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    (void) what;
    const struct listener *from = arg;
    struct rp_listen *l = from->owner;
    uint64_t now_ms = rp_clock_mono_ms();
    for (int i = 0; i < RP_LISTEN_ACCEPTS_PER_TURN; i++) {
        int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0) {
            rp_conns_add(l->conns, accepted, from->kind, now_ms);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (!is_of_connection(errno)) {
            pause_accepting(l, errno, now_ms);
            return;
        }
    }
}

static void accept_from_now_on(struct rp_listen *l) {
    for (size_t i = 0; i < l->count; i++) {
        event_add(l->listeners[i]->readable, NULL);
    }
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg) {
    (void) fd;
    (void) what;
    accept_from_now_on(arg);
}

/* ---- life ---- */

struct rp_listen *rp_listen_new(void) {
    struct rp_listen *l = RP_NEW(struct rp_listen);
    rp_buf_init(&l->text, TEXT_BYTES_MAX);
    return l;
}

/* The name of a listener, behind those of the others. */
static void note_address(struct rp_listen *l, int fd) {
    char text[RP_ADDRESS_TEXT_SIZE];
    rp_address_of_fd(fd, text, sizeof text);
    if (l->count == 0) {
        memcpy(l->first, text, sizeof text);
    } else {
        l->text.data[l->text.len - 1] = ','; /* was the terminator */
    }
    enum rp_err err = rp_buf_put(&l->text, rp_bytes(text, strlen(text) + 1));
    RP_ASSERT(err == RP_OK);
}

static enum rp_err add_one(struct rp_listen *l, const struct rp_address *address,
                           struct rp_conn_kind kind, char *ret_why, size_t why_size) {
    int fd;
    char where[RP_ADDRESS_TEXT_SIZE], why[128];
    enum rp_err err = rp_address_listen(address, RP_LISTEN_BACKLOG, &fd, why, sizeof why);
    if (err != RP_OK) {
        rp_address_text(address, where, sizeof where);
        snprintf(ret_why, why_size, "%s: %s", where, why);
        return err;
    }
    note_address(l, fd);
    struct listener *added = RP_NEW(struct listener);
    *added = (struct listener){
        .fd = fd, .owner = l, .kind = kind, .address = *address, .file = rp_address_file(address)};
    l->listeners = rp_array_reserve(l->listeners, l->count, &l->capacity, sizeof *l->listeners);
    l->listeners[l->count++] = added;
    return RP_OK;
}

enum rp_err rp_listen_add(struct rp_listen *l, const struct rp_addresses *addresses,
                          struct rp_conn_kind kind, char *ret_why, size_t why_size) {
    RP_ASSERT(l->conns == NULL);
    enum rp_err err = RP_OK;
    for (size_t i = 0; err == RP_OK && i < addresses->count; i++) {
        err = add_one(l, &addresses->items[i], kind, ret_why, why_size);
    }
    return err;
}

void rp_listen_start(struct rp_listen *l, struct event_base *base, struct rp_conns *conns) {
    RP_ASSERT(l->conns == NULL && conns != NULL);
    l->conns = conns;
    l->pause = evtimer_new(base, on_pause_over, l);
    RP_ASSERT(l->pause != NULL);
    for (size_t i = 0; i < l->count; i++) {
        struct listener *at = l->listeners[i];
        at->readable = event_new(base, at->fd, EV_READ | EV_PERSIST, on_readable, at);
        RP_ASSERT(at->readable != NULL);
    }
    accept_from_now_on(l);
}

static void listener_free(struct listener *at) {
    if (at->readable != NULL) {
        event_free(at->readable);
    }
    rp_address_remove(&at->address, at->file);
    close(at->fd);
    free(at);
}

struct rp_listen *rp_listen_free(struct rp_listen *l) {
    if (l != NULL) {
        for (size_t i = 0; i < l->count; i++) {
            listener_free(l->listeners[i]);
        }
        if (l->pause != NULL) {
            event_free(l->pause);
        }
        free(l->listeners);
        rp_buf_done(&l->text);
        free(l);
    }
    return NULL;
}

const char *rp_listen_address(const struct rp_listen *l) {
    return l->count > 0 ? (const char *) l->text.data : "";
}

const char *rp_listen_first(const struct rp_listen *l) {
    return l->first;
}

uint64_t rp_listen_pauses(const struct rp_listen *l) {
    return l->pauses;
}
