/* sdk/uplink.c — the ZeroMQ socket of the link to the broker. What goes over it and when there is
 * to be a link is decided by the core (worker.h).
 *
 * One link is one DEALER socket that never reconnects: a lost link is closed with what was queued,
 * and a new socket says HELLO. A monitor tells within milliseconds that the connection is gone or
 * was refused; a silent broker is noticed by the core's own heartbeat.
 *
 * The descriptors of both are in the context's poll set only to wake it: ZMQ_FD tells that
 * something may have changed, so a turn asks the sockets themselves, the last time after it has
 * sent. */
#include "sdk/inner.h"

#include "common/zmq_end.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

struct rp_sdk_uplink {
    struct reprise_context *context;
    void *zmq;
    void *socket;  /* NULL: there is no link */
    void *monitor; /* of the socket */
    unsigned connect_doublings;
    uint64_t connect_by_ms; /* a connection must be there; UINT64_MAX: it is, or no socket */
    uint64_t links_count;   /* opened so far; names the monitor */
    bool complained;        /* that the broker cannot be reached, in this outage */
    uint64_t malformed;     /* of the core's count, those that were logged */
};

/* ---- opening and closing ---- */

static bool set_int(void *socket, int option, int value) {
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool set_key(void *socket, int option, const char *key) {
    return zmq_setsockopt(socket, option, key, strlen(key) + 1) == 0;
}

/* Whether it has all of its options; with keys it speaks to nobody but that broker. */
static bool set_options(const struct reprise_context *c, void *socket) {
    int64_t bytes_max = RP_LINK_MESSAGE_BYTES_MAX;
    bool ok = set_int(socket, ZMQ_LINGER, 0) && set_int(socket, ZMQ_RECONNECT_IVL, -1) &&
              set_int(socket, ZMQ_SNDHWM, 0) && set_int(socket, ZMQ_RCVHWM, 0) &&
              set_int(socket, ZMQ_IPV6, 1) &&
              zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max) == 0;
    if (ok && c->server_key != NULL) {
        ok = set_key(socket, ZMQ_CURVE_SERVERKEY, c->server_key) &&
             set_key(socket, ZMQ_CURVE_PUBLICKEY, c->public_key) &&
             set_key(socket, ZMQ_CURVE_SECRETKEY, c->secret_key);
    }
    return ok;
}

static bool watch(const struct reprise_context *c, void *socket) {
    int fd;
    size_t size = sizeof fd;
    struct epoll_event event = {.events = EPOLLIN};
    return zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0 &&
           epoll_ctl(c->poll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void unwatch(const struct reprise_context *c, void *socket) {
    int fd;
    size_t size = sizeof fd;
    if (socket != NULL && zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0) {
        epoll_ctl(c->poll_fd, EPOLL_CTL_DEL, fd, NULL);
    }
}

static void close_link(struct rp_sdk_uplink *u) {
    unwatch(u->context, u->socket);
    unwatch(u->context, u->monitor);
    if (u->socket != NULL) {
        zmq_socket_monitor(u->socket, NULL, 0);
    }
    if (u->monitor != NULL) {
        zmq_close(u->monitor);
    }
    if (u->socket != NULL) {
        zmq_close(u->socket);
    }
    u->socket = u->monitor = NULL;
    u->connect_by_ms = UINT64_MAX;
}

/* But for the first, events that mean the end of a link: a socket of ours never reconnects. */
static const int monitored = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED |
                             ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                             ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;

static bool start_monitor(struct rp_sdk_uplink *u) {
    char name[64];
    snprintf(name, sizeof name, "inproc://uplink-%" PRIu64, u->links_count);
    if (zmq_socket_monitor(u->socket, name, monitored) != 0) {
        return false;
    }
    u->monitor = zmq_socket(u->zmq, ZMQ_PAIR);
    return u->monitor != NULL && set_int(u->monitor, ZMQ_LINGER, 0) &&
           zmq_connect(u->monitor, name) == 0;
}

static void lose(struct rp_sdk_uplink *u, const char *why, uint64_t now_ms) {
    struct rp_worker_stats stats;
    rp_worker_stats(u->context->worker, &stats);
    close_link(u);
    rp_worker_lost(u->context->worker, now_ms);
    /* of a link that was up the core says so itself; of retries once is enough */
    if (!stats.linked && !u->complained) {
        rp_sdk_log(u->context, REPRISE_LOG_WARN, "cannot reach the broker at %s, trying on: %s",
                   u->context->broker, why);
        u->complained = true;
    }
}

/* Everything that can go wrong here is passing (file descriptors): the core asks again. */
static void open_link(struct rp_sdk_uplink *u, uint64_t now_ms) {
    close_link(u);
    u->links_count++;
    rp_worker_opened(u->context->worker, now_ms);
    u->connect_by_ms = now_ms + ((uint64_t) RP_LINK_CONNECT_MS << u->connect_doublings);
    u->socket = zmq_socket(u->zmq, ZMQ_DEALER);
    bool ok = u->socket != NULL && set_options(u->context, u->socket) && start_monitor(u) &&
              watch(u->context, u->socket) && watch(u->context, u->monitor) &&
              zmq_connect(u->socket, u->context->broker) == 0;
    if (!ok) {
        lose(u, zmq_strerror(zmq_errno()), now_ms);
    }
}

/* Only ZeroMQ knows all of its own syntax; nothing is sent, the socket goes before it could. */
static bool check_endpoint(const struct rp_sdk_uplink *u) {
    struct rp_bytes endpoint = rp_bytes_str(u->context->broker);
    if (!rp_bytes_starts_with(endpoint, RP_BYTES_LIT("tcp://")) &&
        !rp_bytes_starts_with(endpoint, RP_BYTES_LIT("ipc://"))) {
        return false;
    }
    void *socket = zmq_socket(u->zmq, ZMQ_DEALER);
    bool ok = socket != NULL && set_options(u->context, socket) &&
              zmq_connect(socket, u->context->broker) == 0;
    if (socket != NULL) {
        zmq_close(socket);
    }
    return ok;
}

/* ZeroMQ aborts if it gets no descriptors for its threads, which it begins with the first socket;
 * so there must be some to spare before that. */
static bool has_descriptors(void) {
    enum { FOR_ZEROMQ = 16 };
    int fds[FOR_ZEROMQ];
    size_t count = 0;
    while (count < FOR_ZEROMQ && (fds[count] = eventfd(0, EFD_CLOEXEC)) >= 0) {
        count++;
    }
    bool enough = count == FOR_ZEROMQ;
    while (count > 0) {
        close(fds[--count]);
    }
    return enough;
}

enum reprise_err rp_sdk_uplink_new(struct reprise_context *c, struct rp_sdk_uplink **ret_uplink) {
    struct rp_sdk_uplink *u = RP_NEW(struct rp_sdk_uplink);
    u->context = c;
    u->connect_by_ms = UINT64_MAX;
    u->zmq = has_descriptors() ? zmq_ctx_new() : NULL;
    enum reprise_err err = u->zmq == NULL      ? REPRISE_E_SYSTEM
                           : check_endpoint(u) ? REPRISE_OK
                                               : REPRISE_E_INVALID;
    if (err != REPRISE_OK) {
        rp_sdk_uplink_free(u);
        return err;
    }
    *ret_uplink = u;
    return REPRISE_OK;
}

void rp_sdk_uplink_free(struct rp_sdk_uplink *u) {
    if (u != NULL) {
        close_link(u);
        if (u->zmq != NULL) {
            rp_zmq_end(u->zmq, RP_LINK_END_MS);
        }
        free(u);
    }
}

void rp_sdk_uplink_part(struct rp_sdk_uplink *u) {
    if (u->socket != NULL) {
        (void) set_int(u->socket, ZMQ_LINGER, RP_LINK_BYE_MS);
    }
}

/* ---- failures ---- */

/* Takes one event of the monitor: two frames, the number of the event in the first two bytes.
 * Returns the event, 0 if there is none. */
static int take_event(struct rp_sdk_uplink *u) {
    zmq_msg_t frame;
    uint16_t event = 0;
    zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, u->monitor, ZMQ_DONTWAIT) >= (int) sizeof event) {
        memcpy(&event, zmq_msg_data(&frame), sizeof event);
        while (zmq_msg_more(&frame) && zmq_msg_recv(&frame, u->monitor, ZMQ_DONTWAIT) >= 0) {
        }
    }
    zmq_msg_close(&frame);
    return event;
}

static const char *text_of_event(int event) {
    switch (event) {
    case ZMQ_EVENT_CLOSED:
        return "nobody listens there, or it is not reachable";
    case ZMQ_EVENT_DISCONNECTED:
        return "the connection was closed";
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        return "the broker does not know this worker's key";
    default:
        return "the other end does not speak ZeroMQ, or other keys";
    }
}

static void look_at_monitor(struct rp_sdk_uplink *u, uint64_t now_ms) {
    int event = 0;
    while (u->socket != NULL && (event = take_event(u)) == ZMQ_EVENT_CONNECTED) {
        u->connect_by_ms = UINT64_MAX;
        u->connect_doublings = 0;
    }
    if (event != 0) { /* any other is the last one that matters */
        lose(u, text_of_event(event), now_ms);
    } else if (now_ms >= u->connect_by_ms) {
        u->connect_doublings += u->connect_doublings < RP_LINK_CONNECT_DOUBLINGS;
        lose(u, "no connection came about: its name is not known, or nothing answers there",
             now_ms);
    }
}

/* ---- messages ---- */

/* Takes a message of one frame; those of several are not ours and dropped whole. Returns its bytes,
 * -1 when there is none. */
static ssize_t receive_one(struct rp_sdk_uplink *u, uint64_t now_ms) {
    zmq_msg_t msg;
    zmq_msg_init(&msg);
    if (zmq_msg_recv(&msg, u->socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&msg);
        return -1;
    }
    size_t len = zmq_msg_size(&msg);
    if (!zmq_msg_more(&msg)) {
        rp_worker_feed(u->context->worker, rp_bytes(zmq_msg_data(&msg), len), now_ms);
        rp_sdk_dispatch(u->context);
    }
    while (zmq_msg_more(&msg) && zmq_msg_recv(&msg, u->socket, ZMQ_DONTWAIT) >= 0) {
    }
    zmq_msg_close(&msg);
    return (ssize_t) len;
}

static void follow_need(struct rp_sdk_uplink *u, uint64_t now_ms) {
    switch (rp_worker_need(u->context->worker, now_ms)) {
    case RP_WORKER_NEED_OPEN:
        open_link(u, now_ms);
        break;
    case RP_WORKER_NEED_CLOSE:
        close_link(u);
        break;
    case RP_WORKER_NEED_NONE:
        break;
    }
}

uint64_t rp_sdk_uplink_deadline_ms(const struct rp_sdk_uplink *u) {
    return u->connect_by_ms;
}

static bool is_readable(const struct rp_sdk_uplink *u) {
    int events = 0;
    size_t size = sizeof events;
    return u->socket != NULL && zmq_getsockopt(u->socket, ZMQ_EVENTS, &events, &size) == 0 &&
           (events & ZMQ_POLLIN) != 0;
}

void rp_sdk_uplink_receive(struct rp_sdk_uplink *u, uint64_t now_ms) {
    follow_need(u, now_ms);
    size_t bytes = 0;
    /* what had arrived before the connection went is still good */
    for (int i = 0; i < RP_UPLINK_MESSAGES_PER_TURN && bytes < RP_UPLINK_BYTES_PER_TURN; i++) {
        ssize_t len = u->socket != NULL ? receive_one(u, now_ms) : -1;
        if (len < 0) {
            look_at_monitor(u, now_ms);
            break;
        }
        bytes += (size_t) len;
    }
    struct rp_worker_stats stats;
    rp_worker_stats(u->context->worker, &stats);
    u->complained = u->complained && !stats.linked;
    if (stats.malformed > u->malformed) {
        u->malformed = stats.malformed;
        rp_sdk_log(u->context, REPRISE_LOG_WARN,
                   "the broker sent something malformed, which was dropped (%" PRIu64 " so far)",
                   stats.malformed);
    }
}

static void free_message(void *data, void *hint) {
    (void) hint;
    free(data); /* on ZeroMQ's thread */
}

/* Takes message->data. */
static bool send_one(struct rp_sdk_uplink *u, const struct rp_buf *message) {
    zmq_msg_t msg;
    if (zmq_msg_init_data(&msg, message->data, message->len, free_message, NULL) != 0) {
        free(message->data);
        return false;
    }
    if (zmq_msg_send(&msg, u->socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&msg);
        return false;
    }
    return true;
}

bool rp_sdk_uplink_send(struct rp_sdk_uplink *u, uint64_t now_ms) {
    struct rp_buf message;
    follow_need(u, now_ms);
    while (u->socket != NULL && rp_worker_take(u->context->worker, now_ms, &message)) {
        if (!send_one(u, &message)) {
            lose(u, zmq_strerror(zmq_errno()), now_ms);
        }
    }
    return is_readable(u);
}
