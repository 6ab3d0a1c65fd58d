#include "gateway/listen.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct rp_listen {
    int fd;
    struct event *readable;
    struct event *pause; /* a timer: accept again */
    struct rp_conns *conns;
    uint64_t pauses;
    struct rp_log_limit limit;
    char address[RP_ADDRESS_TEXT_SIZE];
};

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

/* The socket stays readable, so it must not be watched for a while. */
static void pause_accepting(struct rp_listen *l, int error, uint64_t now_ms) {
    const struct timeval soon = {.tv_usec = RP_LISTEN_PAUSE_MS * 1000};
    event_del(l->readable);
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
    struct rp_listen *l = arg;
    uint64_t now_ms = rp_clock_mono_ms();
    for (int i = 0; i < RP_LISTEN_ACCEPTS_PER_TURN; i++) {
        int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0) {
            rp_conns_add(l->conns, accepted, now_ms);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (!is_of_connection(errno)) {
            pause_accepting(l, errno, now_ms);
            return;
        }
    }
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg) {
    (void) fd;
    (void) what;
    struct rp_listen *l = arg;
    event_add(l->readable, NULL);
}

enum rp_err rp_listen_new(const struct rp_address *address, char *ret_why, size_t why_size,
                          struct rp_listen **ret_listen) {
    int fd;
    enum rp_err err = rp_address_listen(address, RP_LISTEN_BACKLOG, &fd, ret_why, why_size);
    if (err != RP_OK) {
        return err;
    }
    struct rp_listen *l = RP_NEW(struct rp_listen);
    l->fd = fd;
    rp_address_of_fd(fd, l->address, sizeof l->address);
    *ret_listen = l;
    return RP_OK;
}

void rp_listen_start(struct rp_listen *l, struct event_base *base, struct rp_conns *conns) {
    RP_ASSERT(l->conns == NULL);
    l->conns = conns;
    l->readable = event_new(base, l->fd, EV_READ | EV_PERSIST, on_readable, l);
    l->pause = evtimer_new(base, on_pause_over, l);
    RP_ASSERT(l->readable != NULL && l->pause != NULL);
    event_add(l->readable, NULL);
}

struct rp_listen *rp_listen_free(struct rp_listen *l) {
    if (l != NULL) {
        if (l->conns != NULL) {
            event_free(l->readable);
            event_free(l->pause);
        }
        close(l->fd);
        free(l);
    }
    return NULL;
}

const char *rp_listen_address(const struct rp_listen *l) {
    return l->address;
}

uint64_t rp_listen_pauses(const struct rp_listen *l) {
    return l->pauses;
}
