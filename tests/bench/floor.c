#include "tests/bench/floor.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/bytes.h"
#include "common/rng.h"
#include "proto/ws.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 1024,
    READ_BYTES = 256 << 10,
    QUEUE_BYTES_MAX = 64 << 20,
    HEAD_BYTES_MAX = 4096,
    MESSAGE_BYTES_MAX = 1 << 20,
    LISTEN_BACKLOG = 4096,
};

struct conn {
    int fd;
    bool is_open; /* past the upgrade */
    bool is_dirty;
    struct rp_buf head, out;
    struct rp_ws_reader reader;
};

struct room {
    struct conn **members;
    size_t count, capacity;
    uint64_t published;
};

struct server {
    bool coalesce;
    int epoll, listen_fd;
    struct conn **dirty;
    size_t dirty_count, dirty_capacity;
    struct rp_buf frame; /* the one being made */
    struct room rooms[RP_FLOOR_ROOMS_MAX];
    uint8_t read_buffer[READ_BYTES];
};

_Noreturn static void die(const char *what) {
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    _exit(1);
}

/* ---- writing ---- */

/* The generator always reads, so that waiting for it ends. A connection that is gone shows when it
 * is read. */
static void write_all(int fd, struct rp_bytes bytes) {
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes = rp_bytes_skip(bytes, (size_t) n);
        } else if (errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            (void) poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            return;
        }
    }
}

static void put(struct rp_buf *out, struct rp_bytes bytes) {
    enum rp_err err = rp_buf_put(out, bytes);
    RP_ASSERT(err == RP_OK);
}

static void give(struct server *s, struct conn *c, struct rp_bytes frame) {
    if (!s->coalesce) {
        write_all(c->fd, frame);
        return;
    }
    put(&c->out, frame);
    if (!c->is_dirty) {
        c->is_dirty = true;
        s->dirty = rp_array_reserve(s->dirty, s->dirty_count, &s->dirty_capacity, sizeof *s->dirty);
        s->dirty[s->dirty_count++] = c;
    }
}

static void flush(struct server *s) {
    for (size_t i = 0; i < s->dirty_count; i++) {
        struct conn *c = s->dirty[i];
        c->is_dirty = false;
        write_all(c->fd, rp_buf_bytes(&c->out));
        rp_buf_clear(&c->out);
    }
    s->dirty_count = 0;
}

/* A frame around these parts. */
static struct rp_bytes make_frame(struct server *s, const struct rp_bytes *parts, size_t count) {
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += parts[i].len;
    }
    uint8_t header[RP_WS_HEADER_MAX];
    rp_buf_clear(&s->frame);
    put(&s->frame, rp_bytes(header, rp_ws_header(header, RP_WS_TEXT, len)));
    for (size_t i = 0; i < count; i++) {
        put(&s->frame, parts[i]);
    }
    return rp_buf_bytes(&s->frame);
}

/* ---- packets ---- */

static void answer(struct server *s, struct conn *c, struct rp_bytes id) {
    const struct rp_bytes parts[] = {RP_BYTES_LIT("43"), id, RP_BYTES_LIT("[{\"ok\":true}]")};
    if (id.len > 0) {
        give(s, c, make_frame(s, parts, 3));
    }
}

/* Takes the room's name, up to and with its closing quote, off the front. */
static struct room *take_room(struct server *s, struct rp_bytes *text) {
    const uint8_t *dash = memchr(text->data, '-', text->len);
    const uint8_t *quote = memchr(text->data, '"', text->len);
    uint64_t number;
    if (dash == NULL || quote == NULL || dash > quote ||
        !rp_bytes_to_u64(rp_bytes(dash + 1, (size_t) (quote - dash - 1)), &number) ||
        number >= RP_FLOOR_ROOMS_MAX) {
        errno = EINVAL;
        die("a room's name");
    }
    *text = rp_bytes_skip(*text, (size_t) (quote + 1 - text->data));
    return &s->rooms[number];
}

/* rest is ,"msg",{…}] */
static void publish(struct server *s, struct room *room, struct rp_bytes rest) {
    char offset[32];
    int n =
        snprintf(offset, sizeof offset, ",\"%llu-floor\"]", (unsigned long long) ++room->published);
    const struct rp_bytes parts[] = {RP_BYTES_LIT("42["), rp_bytes(rest.data + 1, rest.len - 2),
                                     rp_bytes(offset, (size_t) n)};
    struct rp_bytes frame = make_frame(s, parts, 3);
    for (size_t i = 0; i < room->count; i++) {
        give(s, room->members[i], frame);
    }
}

static void on_text(struct server *s, struct conn *c, struct rp_bytes text) {
    const struct rp_bytes join = RP_BYTES_LIT("[\"join\",\""),
                          pub = RP_BYTES_LIT("[\"publish\",\"");
    if (rp_bytes_eq_str(text, "40")) {
        const struct rp_bytes part = RP_BYTES_LIT("40{\"sid\":\"floor\"}");
        give(s, c, make_frame(s, &part, 1));
        return;
    }
    if (!rp_bytes_starts_with(text, RP_BYTES_LIT("42"))) {
        return;
    }
    struct rp_bytes rest = rp_bytes_skip(text, 2), id = {rest.data, 0};
    while (id.len < rest.len && rest.data[id.len] != '[') {
        id.len++;
    }
    rest = rp_bytes_skip(rest, id.len);
    if (rp_bytes_starts_with(rest, join)) {
        rest = rp_bytes_skip(rest, join.len);
        struct room *room = take_room(s, &rest);
        room->members =
            rp_array_reserve(room->members, room->count, &room->capacity, sizeof *room->members);
        room->members[room->count++] = c;
    } else if (rp_bytes_starts_with(rest, pub)) {
        rest = rp_bytes_skip(rest, pub.len);
        struct room *room = take_room(s, &rest);
        publish(s, room, rest);
    }
    answer(s, c, id);
}

/* ---- connections ---- */

static void accept_all(struct server *s) {
    int fd, one = 1;
    while ((fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct conn *c = RP_NEW(struct conn);
        c->fd = fd;
        rp_buf_init(&c->head, HEAD_BYTES_MAX);
        rp_buf_init(&c->out, QUEUE_BYTES_MAX);
        rp_ws_reader_init(&c->reader, RP_WS_SERVER, MESSAGE_BYTES_MAX);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
            die("epoll");
        }
    }
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        die("accept");
    }
}

/* Clients leave all together, so that looking through the rooms is soon over. */
static void end(struct server *s, struct conn *c) {
    for (size_t r = 0; r < RP_FLOOR_ROOMS_MAX; r++) {
        struct room *room = &s->rooms[r];
        for (size_t i = room->count; i-- > 0;) {
            if (room->members[i] == c) {
                room->members[i] = room->members[--room->count];
            }
        }
    }
    for (size_t i = s->dirty_count; i-- > 0;) {
        if (s->dirty[i] == c) {
            s->dirty[i] = s->dirty[--s->dirty_count];
        }
    }
    close(c->fd);
    rp_buf_done(&c->head);
    rp_buf_done(&c->out);
    rp_ws_reader_done(&c->reader);
    free(c);
}

/* The request comes in one read; it is our own. */
static bool upgrade(struct server *s, struct conn *c, struct rp_bytes request) {
    static const char key_name[] = "Sec-WebSocket-Key: ";
    const char *at = memmem(request.data, request.len, key_name, sizeof key_name - 1);
    if (at == NULL || request.len < 4 ||
        memcmp(request.data + request.len - 4, "\r\n\r\n", 4) != 0) {
        return false;
    }
    at += sizeof key_name - 1;
    char accept[29], text[256];
    rp_ws_accept(rp_bytes(at, strcspn(at, "\r")), accept);
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                     accept);
    const struct rp_bytes open =
        RP_BYTES_LIT("0{\"sid\":\"floor\",\"upgrades\":[],\"pingInterval\":25000,"
                     "\"pingTimeout\":20000,\"maxPayload\":1000000}");
    give(s, c, rp_bytes(text, (size_t) n));
    give(s, c, make_frame(s, &open, 1));
    c->is_open = true;
    return true;
}

static void on_readable(struct server *s, struct conn *c) {
    ssize_t n = recv(c->fd, s->read_buffer, READ_BYTES, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    bool is_fine = n > 0;
    if (is_fine && !c->is_open) {
        is_fine = upgrade(s, c, rp_bytes(s->read_buffer, (size_t) n));
    } else if (is_fine) {
        struct rp_bytes_mut in = {.data = s->read_buffer, .len = (size_t) n};
        struct rp_ws_msg message;
        enum rp_err err;
        while ((err = rp_ws_reader_next(&c->reader, &in, &message)) == RP_OK) {
            if (message.kind == RP_WS_TEXT) {
                on_text(s, c, message.payload);
            }
        }
        is_fine = err == RP_MORE;
    }
    if (!is_fine) {
        end(s, c);
    }
}

_Noreturn static void serve(int listen_fd, bool coalesce) {
    struct server *s = RP_NEW(struct server);
    static struct epoll_event events[EVENTS_MAX];
    s->coalesce = coalesce;
    s->listen_fd = listen_fd;
    rp_buf_init(&s->frame, MESSAGE_BYTES_MAX + 64);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (s->epoll < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, listen_fd, &event) != 0) {
        die("epoll");
    }
    for (;;) {
        int n = epoll_wait(s->epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (c == NULL) {
                accept_all(s);
            } else {
                on_readable(s, c);
            }
        }
        flush(s);
    }
}

static int listen_somewhere(struct sockaddr_in *ret_address) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (bind(fd, (const struct sockaddr *) &address, sizeof address) != 0 ||
                    listen(fd, LISTEN_BACKLOG) != 0 ||
                    getsockname(fd, (struct sockaddr *) &address, &size) != 0)) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    *ret_address = address;
    return fd;
}

enum rp_err rp_floor_start(bool coalesce, struct rp_floor *ret_floor) {
    struct rp_floor floor = {0};
    int fd = listen_somewhere(&floor.address);
    if (fd < 0) {
        return RP_E_IO;
    }
    pid_t parent = getpid();
    floor.pid = fork();
    if (floor.pid == 0) {
        struct rlimit limit;
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
            _exit(1);
        }
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
            limit.rlim_cur = limit.rlim_max;
            (void) setrlimit(RLIMIT_NOFILE, &limit);
        }
        serve(fd, coalesce);
    }
    int why = errno;
    close(fd);
    errno = why;
    if (floor.pid < 0) {
        return RP_E_IO;
    }
    *ret_floor = floor;
    return RP_OK;
}

void rp_floor_stop(struct rp_floor *floor) {
    kill(floor->pid, SIGKILL);
    (void) waitpid(floor->pid, NULL, 0);
    floor->pid = 0;
}
