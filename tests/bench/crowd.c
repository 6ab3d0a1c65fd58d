#include "tests/bench/crowd.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/rng.h"
#include "proto/ws.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 1024,          /* of one wait */
    READ_BYTES = 256 << 10,     /* of one read, for all clients in turn */
    QUEUE_BYTES_MAX = 16 << 20, /* unsent output of one client */
    MESSAGE_BYTES_MAX = 8 << 20,
    HEAD_BYTES_MAX = 4096,      /* of the HTTP answer */
    CLIENTS_PER_SOURCE = 25000, /* of the 28,000 ephemeral ports of one source address */
    FILES_RESERVED = 32,
    AUTH_BYTES_MAX = 1024,
};

/* A fixed key is fine: it is against caches of proxies. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

enum state { STATE_CONNECTING, STATE_UPGRADING, STATE_OPEN, STATE_CLOSED };

struct client {
    int fd;
    uint8_t state;
    bool is_dirty;   /* in crowd->dirty */
    bool is_waiting; /* for EPOLLOUT */
    struct rp_buf out;
    struct rp_buf head; /* the HTTP answer so far */
    struct rp_buf auth; /* goes with CONNECT */
    struct rp_ws_reader reader;
};

struct rp_crowd {
    struct rp_crowd_gateways gateways;
    struct client *clients;
    size_t clients_count, clients_max;
    size_t *dirty; /* clients with something to send */
    size_t dirty_count;
    int epoll;
    struct epoll_event events[EVENTS_MAX];
    size_t events_count, events_at;
    struct client *current; /* whose bytes are in input; NULL: nobody's */
    struct rp_bytes_mut input;
    uint64_t input_ns;
    struct rp_rng rng;
    uint8_t read_buffer[READ_BYTES];
};

uint64_t rp_crowd_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

/* ---- beginning and end ---- */

enum rp_err rp_crowd_gateways_parse(struct rp_crowd_gateways *g, const char *list) {
    while (*list != '\0') {
        size_t len = strcspn(list, ",");
        char text[64];
        int n = snprintf(text, sizeof text, "%.*s", (int) (len < 64 ? len : 64), list);
        char *colon = n > 0 && (size_t) n < sizeof text ? strrchr(text, ':') : NULL;
        struct sockaddr_in address = {.sin_family = AF_INET};
        uint64_t port;
        if (colon == NULL || !rp_bytes_to_u64(rp_bytes_str(colon + 1), &port) || port == 0 ||
            port > UINT16_MAX) {
            return RP_E_INVALID;
        }
        *colon = '\0';
        address.sin_port = htons((uint16_t) port);
        if (inet_pton(AF_INET, text, &address.sin_addr) != 1) {
            return RP_E_INVALID;
        }
        if (g->count == RP_CROWD_GATEWAYS_MAX) {
            return RP_E_FULL;
        }
        g->addresses[g->count++] = address;
        list += len + (list[len] == ',');
    }
    return RP_OK;
}

static enum rp_err raise_files(size_t clients_max) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return RP_E_IO;
    }
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return RP_E_IO;
    }
    return limit.rlim_cur < clients_max + FILES_RESERVED ? RP_E_TOO_BIG : RP_OK;
}

enum rp_err rp_crowd_new(const struct rp_crowd_gateways *gateways, size_t clients_max,
                         struct rp_crowd **ret_crowd) {
    RP_ASSERT(gateways->count > 0);
    enum rp_err err = raise_files(clients_max);
    if (err != RP_OK) {
        return err;
    }
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        return RP_E_IO;
    }
    struct rp_crowd *crowd = RP_NEW(struct rp_crowd);
    crowd->gateways = *gateways;
    crowd->clients = rp_alloc(clients_max * sizeof *crowd->clients);
    crowd->dirty = rp_alloc(clients_max * sizeof *crowd->dirty);
    crowd->clients_max = clients_max;
    crowd->epoll = epoll;
    *ret_crowd = crowd;
    return RP_OK;
}

static void close_client(struct client *c) {
    if (c->state == STATE_CLOSED) {
        return;
    }
    const struct linger reset = {.l_onoff = 1};
    (void) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(c->fd);
    c->fd = -1;
    c->state = STATE_CLOSED;
    rp_buf_done(&c->out);
    rp_buf_done(&c->head);
    rp_buf_done(&c->auth);
    rp_ws_reader_done(&c->reader);
}

struct rp_crowd *rp_crowd_free(struct rp_crowd *crowd) {
    if (crowd == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < crowd->clients_count; i++) {
        close_client(&crowd->clients[i]);
    }
    close(crowd->epoll);
    free(crowd->clients);
    free(crowd->dirty);
    free(crowd);
    return NULL;
}

/* ---- connecting ---- */

/* From 127.0.0.1 on, one more address for every CLIENTS_PER_SOURCE clients of a gateway. */
static int connect_from(size_t source, const struct sockaddr_in *to) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0) {
        return -1;
    }
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int rc = 0;
    if (source > 0) {
        const struct sockaddr_in from = {
            .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t) source)};
        (void) setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        rc = bind(fd, (const struct sockaddr *) &from, sizeof from);
    }
    if (rc == 0) {
        rc = connect(fd, (const struct sockaddr *) to, sizeof *to);
    }
    if (rc != 0 && errno != EINPROGRESS) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

/* Begins to connect the client with this number to a gateway. */
static enum rp_err open_client(struct rp_crowd *crowd, size_t index, size_t gateway, size_t source,
                               struct rp_bytes auth) {
    int fd = connect_from(source, &crowd->gateways.addresses[gateway]);
    if (fd < 0) {
        return RP_E_IO;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.u64 = index};
    if (epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        int why = errno;
        close(fd);
        errno = why;
        return RP_E_IO;
    }
    struct client *c = &crowd->clients[index];
    bool is_dirty = c->is_dirty;
    *c = (struct client){
        .fd = fd, .state = STATE_CONNECTING, .is_waiting = true, .is_dirty = is_dirty};
    rp_buf_init(&c->out, QUEUE_BYTES_MAX);
    rp_buf_init(&c->head, HEAD_BYTES_MAX);
    rp_buf_init(&c->auth, AUTH_BYTES_MAX);
    rp_ws_reader_init(&c->reader, RP_WS_CLIENT, MESSAGE_BYTES_MAX);
    enum rp_err err = rp_buf_put(&c->auth, auth);
    RP_ASSERT(err == RP_OK);
    return RP_OK;
}

enum rp_err rp_crowd_open(struct rp_crowd *crowd) {
    RP_ASSERT(crowd->clients_count < crowd->clients_max);
    size_t index = crowd->clients_count, gateways = crowd->gateways.count;
    enum rp_err err = open_client(crowd, index, index % gateways,
                                  index / gateways / CLIENTS_PER_SOURCE, rp_bytes(NULL, 0));
    crowd->clients_count += err == RP_OK;
    return err;
}

enum rp_err rp_crowd_open_at(struct rp_crowd *crowd, size_t gateway) {
    RP_ASSERT(crowd->clients_count < crowd->clients_max && gateway < crowd->gateways.count);
    size_t index = crowd->clients_count;
    enum rp_err err =
        open_client(crowd, index, gateway, index / CLIENTS_PER_SOURCE, rp_bytes(NULL, 0));
    crowd->clients_count += err == RP_OK;
    return err;
}

enum rp_err rp_crowd_reopen(struct rp_crowd *crowd, size_t client, size_t gateway,
                            struct rp_bytes auth) {
    RP_ASSERT(client < crowd->clients_count && gateway < crowd->gateways.count);
    RP_ASSERT(crowd->clients[client].state == STATE_CLOSED);
    return open_client(crowd, client, gateway, client / CLIENTS_PER_SOURCE, auth);
}

void rp_crowd_cut(struct rp_crowd *crowd, size_t client) {
    RP_ASSERT(client < crowd->clients_count);
    if (crowd->current == &crowd->clients[client]) {
        crowd->current = NULL;
    }
    close_client(&crowd->clients[client]);
}

/* ---- sending ---- */

static void make_dirty(struct rp_crowd *crowd, struct client *c) {
    if (!c->is_dirty) {
        c->is_dirty = true;
        crowd->dirty[crowd->dirty_count++] = (size_t) (c - crowd->clients);
    }
}

static void wait_for_room(struct rp_crowd *crowd, struct client *c, bool wait) {
    if (c->is_waiting != wait) {
        struct epoll_event event = {.events = EPOLLIN | (wait ? EPOLLOUT : 0u),
                                    .data.u64 = (uint64_t) (c - crowd->clients)};
        int rc = epoll_ctl(crowd->epoll, EPOLL_CTL_MOD, c->fd, &event);
        RP_ASSERT(rc == 0);
        c->is_waiting = wait;
    }
}

/* An error shows at the next read, which is where it is told. */
static void flush(struct rp_crowd *crowd, struct client *c) {
    if (c->state == STATE_CLOSED || c->state == STATE_CONNECTING) {
        return;
    }
    ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);
    if (n > 0) {
        rp_buf_consume(&c->out, (size_t) n);
    }
    wait_for_room(crowd, c, c->out.len > 0 && (n >= 0 || errno == EAGAIN || errno == EINTR));
}

static void put_frame(struct rp_crowd *crowd, struct client *c, struct rp_bytes head,
                      struct rp_bytes json) {
    size_t len = head.len + json.len;
    uint64_t random = rp_rng_next(&crowd->rng);
    uint8_t key[4];
    memcpy(key, &random, sizeof key);
    uint8_t *at = rp_buf_reserve(&c->out, RP_WS_HEADER_MAX + len);
    RP_ASSERT(at != NULL); /* the jobs bound what is under way */
    size_t header = rp_ws_header_masked(at, RP_WS_TEXT, len, key);
    memcpy(at + header, head.data, head.len);
    if (json.len > 0) {
        memcpy(at + header + head.len, json.data, json.len);
    }
    rp_ws_mask(at + header, len, key, 0);
    c->out.len += header + len;
    if (crowd->gateways.write_each) {
        flush(crowd, c);
    } else {
        make_dirty(crowd, c);
    }
}

void rp_crowd_send(struct rp_crowd *crowd, size_t client, struct rp_bytes head,
                   struct rp_bytes json) {
    RP_ASSERT(client < crowd->clients_count);
    struct client *c = &crowd->clients[client];
    if (c->state == STATE_OPEN) {
        put_frame(crowd, c, head, json);
    }
}

static void flush_dirty(struct rp_crowd *crowd) {
    for (size_t i = 0; i < crowd->dirty_count; i++) {
        struct client *c = &crowd->clients[crowd->dirty[i]];
        c->is_dirty = false;
        flush(crowd, c);
    }
    crowd->dirty_count = 0;
}

/* ---- receiving ---- */

static struct rp_crowd_event closed(struct rp_crowd *crowd, struct client *c, const char *why) {
    close_client(c);
    crowd->current = NULL;
    return (struct rp_crowd_event){.what = RP_CROWD_CLOSED,
                                   .client = (size_t) (c - crowd->clients),
                                   .at_ns = crowd->input_ns,
                                   .payload = rp_bytes_str(why)};
}

static void ask_upgrade(struct rp_crowd *crowd, struct client *c) {
    enum rp_err err =
        rp_buf_put_str(&c->out, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
                                "Host: localhost\r\n"
                                "Connection: Upgrade\r\n"
                                "Upgrade: websocket\r\n"
                                "Sec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Key: " KEY "\r\n\r\n");
    RP_ASSERT(err == RP_OK);
    c->state = STATE_UPGRADING;
    flush(crowd, c);
}

/* Takes the HTTP answer off the input. RP_OK: all of it came and is right. */
static enum rp_err take_upgrade(struct client *c, struct rp_bytes_mut *input) {
    while (input->len > 0) {
        enum rp_err err = rp_buf_put(&c->head, rp_bytes(input->data, 1));
        if (err != RP_OK) {
            return err;
        }
        input->data++;
        input->len--;
        if (c->head.len >= 4 && memcmp(c->head.data + c->head.len - 4, "\r\n\r\n", 4) == 0) {
            char accept[29];
            rp_ws_accept(rp_bytes_str(KEY), accept);
            bool is_right =
                rp_bytes_starts_with(rp_buf_bytes(&c->head), RP_BYTES_LIT("HTTP/1.1 101 ")) &&
                memmem(c->head.data, c->head.len, accept, strlen(accept)) != NULL;
            rp_buf_release(&c->head);
            c->state = STATE_OPEN;
            return is_right ? RP_OK : RP_E_PROTOCOL;
        }
    }
    return RP_MORE;
}

/* "43<id>[…]" or "42<id>[…]", without what must not be there. */
static bool parse_id(struct rp_bytes text, struct rp_crowd_event *event) {
    size_t at = 2;
    while (at < text.len && text.data[at] >= '0' && text.data[at] <= '9') {
        at++;
    }
    event->payload = rp_bytes_skip(text, at);
    return rp_bytes_to_u64(rp_bytes(text.data + 2, at - 2), &event->id);
}

/* Gives the packet's event, or answers the packet: false. */
static bool take_packet(struct rp_crowd *crowd, struct client *c, struct rp_bytes text,
                        struct rp_crowd_event *ret_event) {
    struct rp_crowd_event event = {.client = (size_t) (c - crowd->clients),
                                   .at_ns = crowd->input_ns};
    if (rp_bytes_starts_with(text, RP_BYTES_LIT("42["))) {
        event.what = RP_CROWD_EVENT;
        event.payload = rp_bytes_skip(text, 2);
    } else if (rp_bytes_starts_with(text, RP_BYTES_LIT("43")) && parse_id(text, &event)) {
        event.what = RP_CROWD_ACK;
    } else if (rp_bytes_starts_with(text, RP_BYTES_LIT("42")) && parse_id(text, &event)) {
        event.what = RP_CROWD_EVENT;
    } else if (rp_bytes_starts_with(text, RP_BYTES_LIT("40"))) {
        event.what = RP_CROWD_READY;
        event.payload = rp_bytes_skip(text, 2);
    } else if (rp_bytes_eq_str(text, "2")) {
        put_frame(crowd, c, RP_BYTES_LIT("3"), rp_bytes(NULL, 0));
        return false;
    } else if (rp_bytes_starts_with(text, RP_BYTES_LIT("0"))) {
        put_frame(crowd, c, RP_BYTES_LIT("40"), rp_buf_bytes(&c->auth));
        return false;
    } else {
        event = closed(crowd, c, "the server sent a packet that has no place here");
    }
    *ret_event = event;
    return true;
}

/* Goes on with the current client's input until it gives an event; false: all of it is used. */
static bool take_input(struct rp_crowd *crowd, struct rp_crowd_event *ret_event) {
    struct client *c = crowd->current;
    if (c->state == STATE_UPGRADING) {
        enum rp_err err = take_upgrade(c, &crowd->input);
        if (err < 0) {
            *ret_event = closed(crowd, c, "the server refused the upgrade to WebSocket");
            return true;
        }
        if (err == RP_MORE) {
            return false;
        }
    }
    struct rp_ws_msg message;
    enum rp_err err;
    while ((err = rp_ws_reader_next(&c->reader, &crowd->input, &message)) == RP_OK) {
        if (message.kind == RP_WS_CLOSE) {
            *ret_event = closed(crowd, c, "the server closed the connection");
            return true;
        }
        if (message.kind == RP_WS_TEXT && take_packet(crowd, c, message.payload, ret_event)) {
            return true;
        }
    }
    if (err < 0) {
        *ret_event = closed(crowd, c, rp_strerror(err));
    }
    return err < 0;
}

/* Reads once: what is left keeps the socket readable. True: there is input, or a CLOSED event. */
static bool read_client(struct rp_crowd *crowd, struct client *c, bool *ret_closed,
                        struct rp_crowd_event *ret_event) {
    ssize_t n = recv(c->fd, crowd->read_buffer, READ_BYTES, 0);
    crowd->input_ns = rp_crowd_now_ns();
    *ret_closed = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    if (*ret_closed) {
        *ret_event = closed(crowd, c, n == 0 ? "the server ended the connection" : strerror(errno));
        return true;
    }
    if (n < 0) {
        return false;
    }
    crowd->current = c;
    crowd->input = (struct rp_bytes_mut){.data = crowd->read_buffer, .len = (size_t) n};
    return true;
}

static void write_client(struct rp_crowd *crowd, struct client *c) {
    if (c->state == STATE_CONNECTING) {
        ask_upgrade(crowd, c);
    } else {
        flush(crowd, c);
    }
}

bool rp_crowd_next(struct rp_crowd *crowd, struct rp_crowd_event *ret_event) {
    for (;;) {
        if (crowd->current != NULL && take_input(crowd, ret_event)) {
            return true;
        }
        crowd->current = NULL;
        if (crowd->events_at == crowd->events_count) {
            return false;
        }
        const struct epoll_event *event = &crowd->events[crowd->events_at++];
        struct client *c = &crowd->clients[event->data.u64];
        if (c->state == STATE_CLOSED) {
            continue;
        }
        if ((event->events & (EPOLLOUT | EPOLLERR)) == EPOLLOUT) { /* errors are for the read */
            write_client(crowd, c);
        }
        bool is_closed;
        if ((event->events & ~(uint32_t) EPOLLOUT) != 0 &&
            read_client(crowd, c, &is_closed, ret_event) && is_closed) {
            return true;
        }
    }
}

void rp_crowd_wait(struct rp_crowd *crowd, uint64_t until_ns) {
    flush_dirty(crowd);
    if (crowd->events_at < crowd->events_count || crowd->current != NULL) {
        return;
    }
    uint64_t now_ns = rp_crowd_now_ns(), left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    const struct timespec left = {.tv_sec = (time_t) (left_ns / 1000000000u),
                                  .tv_nsec = (long) (left_ns % 1000000000u)};
    int n = epoll_pwait2(crowd->epoll, crowd->events, EVENTS_MAX, &left, NULL);
    RP_ASSERT(n >= 0 || errno == EINTR);
    crowd->events_count = n > 0 ? (size_t) n : 0;
    crowd->events_at = 0;
}
