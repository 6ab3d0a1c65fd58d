#include "gateway/uplink.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/curve_file.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/zmq_end.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct rp_uplink {
    struct event_base *base;
    struct rp_gateway *gateway;
    const char *endpoint;
    struct rp_uplink_keys keys; /* own keys empty: the link is plain */
    void *context;
    void *socket;  /* NULL: there is no link */
    void *monitor; /* of the socket */
    struct event *socket_event, *monitor_event;
    struct event *connect_timer; /* while there is no connection yet */
    uint64_t links_count;        /* opened so far; names the monitor */
    bool touched;                /* the socket was used, or may have news: ask it before sleeping */
    bool readable;               /* it had a message when it was asked */
    bool monitor_readable;       /* its descriptor fired */
    bool connect_late;           /* the timer fired */
    unsigned connect_doublings;
    bool complained; /* that the broker cannot be reached, in this outage */
    struct rp_log_limit malformed_limit;
};

/* ---- opening and closing ---- */

static void on_socket(evutil_socket_t fd, short what, void *arg) {
    (void) fd;
    (void) what;
    struct rp_uplink *u = arg;
    u->touched = u->readable = true;
}

static void on_monitor(evutil_socket_t fd, short what, void *arg) {
    (void) fd;
    (void) what;
    struct rp_uplink *u = arg;
    u->monitor_readable = true;
}

static void on_connect_late(evutil_socket_t fd, short what, void *arg) {
    (void) fd;
    (void) what;
    struct rp_uplink *u = arg;
    u->connect_late = true;
}

static void set_int(void *socket, int option, int value) {
    int rc = zmq_setsockopt(socket, option, &value, sizeof value);
    RP_ASSERT(rc == 0);
}

static struct event *watch(struct rp_uplink *u, void *socket, event_callback_fn callback) {
    int fd;
    size_t size = sizeof fd;
    int rc = zmq_getsockopt(socket, ZMQ_FD, &fd, &size);
    RP_ASSERT(rc == 0);
    struct event *event = event_new(u->base, fd, EV_READ | EV_PERSIST, callback, u);
    RP_ASSERT(event != NULL);
    event_add(event, NULL);
    return event;
}

/* But for the first, events that mean the end of a link: a socket of ours never reconnects. */
static const int monitored = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED |
                             ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                             ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;

static void start_monitor(struct rp_uplink *u) {
    char name[64];
    snprintf(name, sizeof name, "inproc://uplink-%" PRIu64, u->links_count);
    int rc = zmq_socket_monitor(u->socket, name, monitored);
    RP_ASSERT(rc == 0);
    u->monitor = zmq_socket(u->context, ZMQ_PAIR);
    RP_ASSERT(u->monitor != NULL);
    set_int(u->monitor, ZMQ_LINGER, 0);
    rc = zmq_connect(u->monitor, name);
    RP_ASSERT(rc == 0);
}

static void close_link(struct rp_uplink *u) {
    if (u->socket == NULL) {
        return;
    }
    event_free(u->socket_event);
    event_free(u->monitor_event);
    evtimer_del(u->connect_timer);
    zmq_socket_monitor(u->socket, NULL, 0);
    zmq_close(u->monitor);
    zmq_close(u->socket);
    u->socket = u->monitor = NULL;
    u->socket_event = u->monitor_event = NULL;
    u->touched = u->readable = u->monitor_readable = u->connect_late = false;
}

static void *new_socket(void *context) {
    void *socket = zmq_socket(context, ZMQ_DEALER);
    if (socket == NULL) {
        return NULL;
    }
    int64_t bytes_max = RP_LINK_MESSAGE_BYTES_MAX;
    set_int(socket, ZMQ_LINGER, 0);
    set_int(socket, ZMQ_RECONNECT_IVL, -1);
    set_int(socket, ZMQ_SNDHWM, 0);
    set_int(socket, ZMQ_RCVHWM, 0);
    set_int(socket, ZMQ_IPV6, 1);
    int rc = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max);
    RP_ASSERT(rc == 0);
    return socket;
}

static bool has_keys(const struct rp_uplink *u) {
    return rp_curve_key_is_set(&u->keys.own.secret_key);
}

static void lose(struct rp_uplink *u, const char *why, uint64_t now_ms) {
    bool was_linked = rp_gateway_stats(u->gateway)->linked;
    close_link(u);
    rp_gateway_uplink_lost(u->gateway, now_ms);
    /* of a link that was up the core says so itself; of retries once is enough */
    if (!was_linked && !u->complained) {
        rp_log_warn("cannot reach the broker, trying on broker=%s error=%s", u->endpoint, why);
        u->complained = true;
    }
}

/* Everything that can go wrong here is passing (file descriptors): the core asks again. */
static void open_link(struct rp_uplink *u, uint64_t now_ms) {
    close_link(u);
    u->links_count++;
    rp_gateway_uplink_opened(u->gateway, now_ms);
    u->socket = new_socket(u->context);
    if (u->socket == NULL) {
        lose(u, zmq_strerror(zmq_errno()), now_ms);
        return;
    }
    if (has_keys(u)) {
        rp_curve_set_client(u->socket, &u->keys.own, &u->keys.broker);
    }
    start_monitor(u);
    u->socket_event = watch(u, u->socket, on_socket);
    u->monitor_event = watch(u, u->monitor, on_monitor);
    u->touched = u->monitor_readable = true; /* the descriptors tell changes from now on only */
    int wait_ms = RP_LINK_CONNECT_MS << u->connect_doublings;
    const struct timeval wait = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
    evtimer_add(u->connect_timer, &wait);
    if (zmq_connect(u->socket, u->endpoint) != 0) {
        lose(u, zmq_strerror(zmq_errno()), now_ms);
    }
}

const char *rp_uplink_check_endpoint(const char *text) {
    static const char expected[] =
        "an endpoint of the broker, tcp://HOST:PORT (tcp://127.0.0.1:5570) or ipc://PATH";
    struct rp_bytes bytes = rp_bytes_str(text);
    if (!rp_bytes_starts_with(bytes, RP_BYTES_LIT("tcp://")) &&
        !rp_bytes_starts_with(bytes, RP_BYTES_LIT("ipc://"))) {
        return expected;
    }
    /* only ZeroMQ knows all of its own syntax; nothing is sent, the socket goes before it could */
    void *context = zmq_ctx_new();
    void *socket = context != NULL ? new_socket(context) : NULL;
    bool ok = socket != NULL && zmq_connect(socket, text) == 0;
    if (socket != NULL) {
        zmq_close(socket);
    }
    if (context != NULL) {
        rp_zmq_end(context, RP_LINK_END_MS);
    }
    return ok ? NULL : expected;
}

enum rp_err rp_uplink_new(struct event_base *base, struct rp_gateway *gateway, const char *endpoint,
                          const struct rp_uplink_keys *keys, struct rp_uplink **ret_uplink) {
    if (rp_uplink_check_endpoint(endpoint) != NULL) {
        return RP_E_INVALID;
    }
    struct rp_uplink *u = RP_NEW(struct rp_uplink);
    u->base = base;
    u->gateway = gateway;
    u->endpoint = endpoint;
    if (keys != NULL) {
        u->keys = *keys;
    }
    u->context = zmq_ctx_new();
    u->connect_timer = evtimer_new(base, on_connect_late, u);
    RP_ASSERT(u->context != NULL && u->connect_timer != NULL);
    *ret_uplink = u;
    return RP_OK;
}

struct rp_uplink *rp_uplink_free(struct rp_uplink *u) {
    if (u != NULL) {
        close_link(u);
        event_free(u->connect_timer);
        rp_zmq_end(u->context, RP_LINK_END_MS);
        explicit_bzero(&u->keys, sizeof u->keys);
        free(u);
    }
    return NULL;
}

/* ---- failures ---- */

/* Takes one event of the monitor: two frames, the first one the event's number in two bytes and its
 * value in four. Returns the event, 0 if there is none. */
static uint16_t take_event(struct rp_uplink *u, uint32_t *ret_value) {
    zmq_msg_t frame;
    uint16_t event = 0;
    uint32_t value = 0;
    zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, u->monitor, ZMQ_DONTWAIT) >= (int) (sizeof event + sizeof value)) {
        const uint8_t *data = zmq_msg_data(&frame);
        memcpy(&event, data, sizeof event);
        memcpy(&value, data + sizeof event, sizeof value);
        while (zmq_msg_more(&frame) && zmq_msg_recv(&frame, u->monitor, ZMQ_DONTWAIT) >= 0) {
        }
    }
    zmq_msg_close(&frame);
    *ret_value = value;
    return event;
}

/* What an event means, with a hint at what to do. */
static const char *text_of_event(uint16_t event, uint32_t value, bool has_keys) {
    switch (event) {
    case ZMQ_EVENT_CLOSED:
        return "nobody listens there, or it is not reachable";
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        return "the broker refuses the key of --curve-key: it is not in the broker's --allow";
    case ZMQ_EVENT_DISCONNECTED:
        return "the connection was closed";
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        return has_keys ? "it closed the connection in the handshake: is --broker-key the key of "
                          "this broker, and does it have keys at all?"
                        : "it closed the connection in the handshake: does it want a key "
                          "(--broker-key and --curve-key)?";
    default:
        break;
    }
    if (value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH) {
        return has_keys ? "the broker has no keys: start it with --curve-key and --allow"
                        : "the broker wants a key: set --broker-key and --curve-key";
    }
    return "the other end does not speak ZeroMQ as brokers do";
}

static void look_at_monitor(struct rp_uplink *u, uint64_t now_ms) {
    if (u->socket == NULL || !(u->monitor_readable || u->connect_late)) {
        return;
    }
    u->monitor_readable = false;
    uint32_t value;
    uint16_t event;
    while ((event = take_event(u, &value)) == ZMQ_EVENT_CONNECTED) {
        evtimer_del(u->connect_timer);
        u->connect_late = false;
        u->connect_doublings = 0;
    }
    if (event != 0) { /* any other is the last one that matters */
        lose(u, text_of_event(event, value, has_keys(u)), now_ms);
    } else if (u->connect_late) {
        u->connect_doublings += u->connect_doublings < RP_LINK_CONNECT_DOUBLINGS;
        lose(u, "no connection came about: its name is not known, or nothing answers there",
             now_ms);
    }
}

static void complain_malformed(struct rp_uplink *u, enum rp_err err, size_t len, uint64_t now_ms) {
    uint64_t suppressed;
    if (rp_log_limit_pass(&u->malformed_limit, 0, now_ms, &suppressed)) {
        rp_log_warn("dropped a malformed message of the broker broker=%s bytes=%zu error=%s "
                    "suppressed=%" PRIu64,
                    u->endpoint, len, rp_strerror(err), suppressed);
    }
}

/* ---- messages ---- */

/* Takes a message of one frame; those of several are not ours and dropped whole. Returns its bytes,
 * -1 when there is none. */
static ssize_t receive_one(struct rp_uplink *u, uint64_t now_ms) {
    zmq_msg_t msg;
    zmq_msg_init(&msg);
    int rc = zmq_msg_recv(&msg, u->socket, ZMQ_DONTWAIT);
    if (rc < 0) {
        zmq_msg_close(&msg);
        return -1;
    }
    enum rp_err err = RP_E_PROTOCOL;
    size_t len = zmq_msg_size(&msg);
    if (!zmq_msg_more(&msg)) {
        err = rp_gateway_uplink_message(u->gateway, rp_bytes(zmq_msg_data(&msg), len), now_ms);
    }
    while (zmq_msg_more(&msg) && zmq_msg_recv(&msg, u->socket, ZMQ_DONTWAIT) >= 0) {
        len += zmq_msg_size(&msg);
    }
    zmq_msg_close(&msg);
    if (err != RP_OK) {
        complain_malformed(u, err, len, now_ms);
    }
    return (ssize_t) len;
}

static void receive_some(struct rp_uplink *u, uint64_t now_ms) {
    size_t bytes = 0;
    for (int i = 0; i < RP_UPLINK_MESSAGES_PER_TURN && bytes < RP_UPLINK_BYTES_PER_TURN; i++) {
        ssize_t len = receive_one(u, now_ms);
        if (len < 0) {
            u->readable = false;
            break;
        }
        bytes += (size_t) len;
    }
    u->touched = true;
}

static void follow_need(struct rp_uplink *u, uint64_t now_ms) {
    switch (rp_gateway_uplink_need(u->gateway, now_ms)) {
    case RP_UPLINK_OPEN:
        open_link(u, now_ms);
        break;
    case RP_UPLINK_CLOSE:
        close_link(u);
        break;
    case RP_UPLINK_NONE:
        break;
    }
}

void rp_uplink_receive(struct rp_uplink *u, uint64_t now_ms) {
    follow_need(u, now_ms);
    /* what had arrived before the connection went is still good */
    if (u->socket != NULL && u->readable) {
        receive_some(u, now_ms);
    }
    if (!u->readable) {
        look_at_monitor(u, now_ms);
    }
    if (rp_gateway_stats(u->gateway)->linked) {
        u->complained = false;
    }
}

static void free_message(void *data, void *hint) {
    (void) hint;
    free(data); /* on ZeroMQ's thread */
}

/* Takes message->data. */
static bool send_one(struct rp_uplink *u, const struct rp_buf *message) {
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

static bool ask_readable(struct rp_uplink *u) {
    int events = 0;
    size_t size = sizeof events;
    int rc = zmq_getsockopt(u->socket, ZMQ_EVENTS, &events, &size);
    return rc == 0 && (events & ZMQ_POLLIN) != 0;
}

bool rp_uplink_send(struct rp_uplink *u, uint64_t now_ms) {
    struct rp_buf message;
    while (u->socket != NULL && rp_gateway_uplink_take(u->gateway, now_ms, &message)) {
        u->touched = true;
        if (!send_one(u, &message)) {
            lose(u, zmq_strerror(zmq_errno()), now_ms);
            return true; /* clients may have got errors for what was not sent */
        }
    }
    if (u->socket != NULL && u->touched) {
        u->touched = false;
        u->readable = ask_readable(u);
    }
    return u->socket != NULL && (u->readable || u->monitor_readable);
}

void rp_uplink_part(struct rp_uplink *u, uint64_t now_ms) {
    bool more = rp_uplink_send(u, now_ms);
    (void) more; /* to be received, by nobody any more */
    if (u->socket != NULL) {
        set_int(u->socket, ZMQ_LINGER, RP_LINK_BYE_MS);
    }
}
