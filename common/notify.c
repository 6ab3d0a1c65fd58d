#include "common/notify.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    TEXT_SIZE = 1024,
    STATUS_SIZE = 512,
    RELOADING_SIZE = 64,
    /* of unsent, for what must not be lost: */
    ROOM_FOR_STOPPING = sizeof "\nSTOPPING=1",
    ROOM_FOR_READY = sizeof "\nREADY=1" + ROOM_FOR_STOPPING,
    ROOM_FOR_RELOADING = RELOADING_SIZE + ROOM_FOR_READY,
    AGAIN_MS = 100,
};

struct rp_notify {
    int fd;
    struct sockaddr_un to;
    socklen_t to_len;
    uint64_t watchdog_ms; /* between two signs of life; 0: none are wanted */
    struct event *watchdog, *again;
    char unsent[TEXT_SIZE]; /* lines that were not taken yet; "": none */
};

/* ---- sending ---- */

/* False: the other end has no room now. Any other failure is its own affair. */
static bool send_text(const struct rp_notify *n, const char *text) {
    ssize_t rc;
    do {
        rc = sendto(n->fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *) &n->to,
                    n->to_len);
    } while (rc < 0 && errno == EINTR);
    return rc >= 0 || (errno != EAGAIN && errno != ENOBUFS);
}

static void send_unsent(struct rp_notify *n) {
    if (send_text(n, n->unsent)) {
        n->unsent[0] = '\0';
    } else {
        const struct timeval wait = {.tv_usec = AGAIN_MS * 1000};
        evtimer_add(n->again, &wait);
    }
}

/* Lines keep their order: what is new goes behind what is not taken yet, if that leaves so much
 * room for what matters more. */
static void send_lines(struct rp_notify *n, const char *lines, size_t room) {
    size_t len = strlen(n->unsent);
    if (len + 1 + strlen(lines) + 1 + room <= sizeof n->unsent) {
        snprintf(n->unsent + len, sizeof n->unsent - len, "%s%s", len > 0 ? "\n" : "", lines);
    }
    send_unsent(n);
}

static void on_again(evutil_socket_t fd, short what, void *ctx) {
    (void) fd;
    (void) what;
    send_unsent(ctx);
}

static void on_watchdog(evutil_socket_t fd, short what, void *ctx) {
    (void) fd;
    (void) what;
    (void) send_text(ctx, "WATCHDOG=1"); /* the next one comes in time, too */
}

/* ---- the environment ---- */

static bool find_socket(struct rp_notify *n) {
    const char *name = getenv("NOTIFY_SOCKET");
    size_t len = name != NULL ? strlen(name) : 0;
    if (len < 2 || len >= sizeof n->to.sun_path || (name[0] != '/' && name[0] != '@')) {
        return false;
    }
    n->to.sun_family = AF_UNIX;
    memcpy(n->to.sun_path, name, len);
    if (name[0] == '@') {
        n->to.sun_path[0] = '\0';
    }
    n->to_len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + len + (name[0] == '/'));
    return true;
}

/* WATCHDOG_PID says which process is watched: not one that only inherited the environment. */
static uint64_t watchdog_ms(void) {
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t number, us;
    if (usec == NULL || !rp_units_count(usec, &us) || us == 0) {
        return 0;
    }
    if (pid != NULL && (!rp_units_count(pid, &number) || number != (uint64_t) getpid())) {
        return 0;
    }
    uint64_t half_ms = us / 2 / 1000;
    return half_ms > 0 ? half_ms : 1;
}

struct rp_notify *rp_notify_new(struct event_base *base) {
    struct rp_notify found = {.fd = -1};
    if (!find_socket(&found)) {
        return NULL;
    }
    found.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (found.fd < 0) {
        return NULL;
    }
    struct rp_notify *n = RP_NEW(struct rp_notify);
    *n = found;
    n->watchdog_ms = watchdog_ms();
    n->watchdog = event_new(base, -1, EV_PERSIST, on_watchdog, n);
    n->again = evtimer_new(base, on_again, n);
    RP_ASSERT(n->watchdog != NULL && n->again != NULL);
    return n;
}

struct rp_notify *rp_notify_free(struct rp_notify *n) {
    if (n != NULL) {
        event_free(n->watchdog);
        event_free(n->again);
        close(n->fd);
        free(n);
    }
    return NULL;
}

/* ---- what is told ---- */

void rp_notify_status(struct rp_notify *n, const char *format, ...) {
    char text[STATUS_SIZE] = "STATUS=";
    if (n == NULL) {
        return;
    }
    size_t len = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + len, sizeof text - len, format, args);
    va_end(args);
    for (char *c = text; *c != '\0'; c++) {
        *c = *c == '\n' || *c == '\r' ? ' ' : *c;
    }
    send_lines(n, text, ROOM_FOR_RELOADING);
}

void rp_notify_ready(struct rp_notify *n) {
    if (n == NULL) {
        return;
    }
    send_lines(n, "READY=1", ROOM_FOR_STOPPING);
    if (n->watchdog_ms > 0 && !event_pending(n->watchdog, EV_TIMEOUT, NULL)) {
        const struct timeval every = {.tv_sec = (time_t) (n->watchdog_ms / 1000),
                                      .tv_usec = (suseconds_t) (n->watchdog_ms % 1000 * 1000)};
        event_add(n->watchdog, &every);
    }
}

void rp_notify_reloading(struct rp_notify *n) {
    if (n == NULL) {
        return;
    }
    struct timespec now; /* to the microsecond: it must not lie before the manager's own request */
    clock_gettime(CLOCK_MONOTONIC, &now);
    char text[RELOADING_SIZE];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000);
    send_lines(n, text, ROOM_FOR_READY);
}

void rp_notify_stopping(struct rp_notify *n) {
    if (n != NULL) {
        send_lines(n, "STOPPING=1", 0);
    }
}
