/* sdk/context.c — the application's thread: one turn after the other, by reprise_context_run or by
 * another loop.
 *
 * One descriptor, an epoll set, stands for everything that can wake it: the link's, a timer for the
 * core's deadlines, and an eventfd, by which other threads (and a turn that is not done) call. */
#include "sdk/inner.h"

#include "common/address.h"
#include "common/clock.h"
#include "common/random.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* ---- saying what went wrong ---- */

enum reprise_err rp_sdk_fail(struct reprise_context *c, enum reprise_err err, const char *format,
                             ...) {
    if (c != NULL) {
        va_list list;
        va_start(list, format);
        vsnprintf(c->last_error, sizeof c->last_error, format, list);
        va_end(list);
    }
    return err;
}

void rp_sdk_log(const struct reprise_context *c, enum reprise_log_level level, const char *format,
                ...) {
    if (c->log != NULL) {
        char text[512];
        va_list list;
        va_start(list, format);
        vsnprintf(text, sizeof text, format, list);
        va_end(list);
        c->log(level, text, c->log_user);
    }
}

const char *reprise_last_error(const struct reprise_context *c) {
    return c != NULL ? c->last_error : "";
}

const char *reprise_version(void) {
    return REPRISE_VERSION;
}

/* ---- waking ---- */

/* Fails only if it is written already. */
static void wake(const struct reprise_context *c) {
    uint64_t one = 1;
    ssize_t rc = write(c->wake_fd, &one, sizeof one);
    (void) rc;
}

void rp_sdk_touch(struct reprise_context *c) {
    if (c != NULL && !c->in_turn && !c->woken) {
        c->woken = true;
        wake(c);
    }
}

bool rp_sdk_enter(struct reprise_context *c) {
    bool was_in_turn = c->in_turn;
    c->in_turn = true;
    return was_in_turn;
}

void rp_sdk_leave(struct reprise_context *c, bool was_in_turn) {
    c->in_turn = was_in_turn;
    rp_sdk_touch(c); /* what was asked meanwhile did not */
}

static void drain(int fd) {
    uint64_t count;
    ssize_t rc = read(fd, &count, sizeof count);
    (void) rc;
}

/* The timer may fire too early, never too late. */
static void arm(struct reprise_context *c, uint64_t deadline_ms, uint64_t now_ms) {
    if (deadline_ms == UINT64_MAX || (c->armed_ms <= deadline_ms && c->armed_ms > now_ms)) {
        return;
    }
    uint64_t at_ms = deadline_ms > 0 ? deadline_ms : 1; /* 0 would disarm it */
    struct itimerspec at = {.it_value = {.tv_sec = (time_t) (at_ms / 1000),
                                         .tv_nsec = (long) (at_ms % 1000) * 1000000}};
    if (timerfd_settime(c->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) == 0) {
        c->armed_ms = at_ms;
    }
}

/* ---- posts ---- */

enum reprise_err reprise_context_post(struct reprise_context *c, reprise_post_fn *fn, void *arg) {
    if (c == NULL || fn == NULL) {
        return REPRISE_E_INVALID;
    }
    enum reprise_err err = REPRISE_OK;
    pthread_mutex_lock(&c->posts_mutex);
    if (c->posts_closed) {
        err = REPRISE_E_CLOSED;
    } else if (c->posts_count == RP_SDK_POSTS_MAX) {
        err = REPRISE_E_BUSY;
    } else {
        if (c->posts_count == c->posts_capacity) {
            size_t grown = c->posts_capacity > 0 ? c->posts_capacity * 2 : 64;
            struct rp_sdk_post *posts = calloc(grown, sizeof *posts);
            if (posts == NULL) {
                err = REPRISE_E_NO_MEMORY;
            } else {
                for (size_t i = 0; i < c->posts_count; i++) {
                    posts[i] = c->posts[(c->posts_first + i) % c->posts_capacity];
                }
                free(c->posts);
                c->posts = posts;
                c->posts_first = 0;
                c->posts_capacity = grown;
            }
        }
        if (err == REPRISE_OK) {
            c->posts[(c->posts_first + c->posts_count++) % c->posts_capacity] =
                (struct rp_sdk_post){.fn = fn, .arg = arg};
        }
    }
    pthread_mutex_unlock(&c->posts_mutex);
    if (err == REPRISE_OK) {
        wake(c);
    }
    return err;
}

/* Returns whether some are left. */
static bool run_posts(struct reprise_context *c, size_t count_max) {
    for (size_t i = 0; i < count_max; i++) {
        struct rp_sdk_post post;
        pthread_mutex_lock(&c->posts_mutex);
        bool is_empty = c->posts_count == 0;
        if (!is_empty) {
            post = c->posts[c->posts_first];
            c->posts_first = (c->posts_first + 1) % c->posts_capacity;
            c->posts_count--;
        }
        pthread_mutex_unlock(&c->posts_mutex);
        if (is_empty) {
            return false;
        }
        post.fn(c, post.arg);
    }
    return true;
}

/* ---- the turn ---- */

/* Losses and refusals, which only the core hears of. */
static void tell_notice(struct reprise_context *c) {
    const char *notice = rp_worker_notice(c->worker);
    if (strcmp(notice, c->told_notice) != 0) {
        snprintf(c->told_notice, sizeof c->told_notice, "%s", notice);
        rp_sdk_log(c, REPRISE_LOG_WARN, "%s", notice);
    }
}

static uint64_t deadline_of(const struct reprise_context *c) {
    uint64_t core_ms = rp_worker_deadline_ms(c->worker);
    uint64_t uplink_ms = rp_sdk_uplink_deadline_ms(c->uplink);
    return core_ms < uplink_ms ? core_ms : uplink_ms;
}

static void turn(struct reprise_context *c) {
    c->in_turn = true;
    c->woken = false;
    drain(c->wake_fd);
    uint64_t now_ms = rp_clock_mono_ms();
    if (c->armed_ms <= now_ms) {
        drain(c->timer_fd);
        c->armed_ms = UINT64_MAX;
    }
    rp_sdk_uplink_receive(c->uplink, now_ms);
    rp_sdk_dispatch(c);
    bool again = run_posts(c, RP_SDK_POSTS_PER_TURN);
    now_ms = rp_clock_mono_ms(); /* handlers may have taken long */
    rp_worker_turn(c->worker, now_ms);
    rp_sdk_dispatch(c);
    again = rp_sdk_uplink_send(c->uplink, now_ms) || again;
    tell_notice(c);
    uint64_t deadline_ms = deadline_of(c);
    if (again || deadline_ms <= now_ms) {
        wake(c);
    } else {
        arm(c, deadline_ms, now_ms);
    }
    c->in_turn = false;
}

enum reprise_err reprise_context_process(struct reprise_context *c) {
    if (c == NULL || c->in_turn) {
        return REPRISE_E_INVALID;
    }
    turn(c);
    return REPRISE_OK;
}

int reprise_context_fd(const struct reprise_context *c) {
    return c != NULL ? c->poll_fd : -1;
}

int reprise_context_timeout(const struct reprise_context *c) {
    if (c == NULL) {
        return INT_MAX;
    }
    uint64_t now_ms = rp_clock_mono_ms(), deadline_ms = deadline_of(c);
    uint64_t wait_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
    return c->woken ? 0 : wait_ms < INT_MAX ? (int) wait_ms : INT_MAX;
}

static void sleep_until_woken(const struct reprise_context *c, int timeout_ms) {
    struct pollfd set = {.fd = c->poll_fd, .events = POLLIN};
    (void) poll(&set, 1, timeout_ms); /* a signal is as good */
}

enum reprise_err reprise_context_run(struct reprise_context *c) {
    if (c == NULL || c->in_turn || c->running) {
        return REPRISE_E_INVALID;
    }
    c->running = true;
    while (!atomic_load(&c->stop)) {
        turn(c);
        if (!atomic_load(&c->stop)) {
            sleep_until_woken(c, -1);
        }
    }
    atomic_store(&c->stop, false);
    c->running = false;
    return REPRISE_OK;
}

void reprise_context_stop(struct reprise_context *c) {
    if (c != NULL) {
        int kept = errno;
        atomic_store(&c->stop, true);
        wake(c);
        errno = kept;
    }
}

/* ---- life ---- */

static void random_bytes(void *ctx, void *out, size_t len) {
    (void) ctx;
    rp_random_bytes(out, len);
}

static char *copy(const char *text) {
    char *copied = rp_alloc(strlen(text) + 1);
    memcpy(copied, text, strlen(text));
    return copied;
}

static char *copy_if(const char *text) {
    return text != NULL ? copy(text) : NULL;
}

static char *default_name(void) {
    char host[128] = "worker", name[192];
    if (gethostname(host, sizeof host - 1) != 0) {
        strcpy(host, "worker");
    }
    snprintf(name, sizeof name, "%s.%ld", host, (long) getpid());
    return copy(name);
}

static enum reprise_err open_descriptors(struct reprise_context *c) {
    c->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN};
    bool ok = c->poll_fd >= 0 && c->wake_fd >= 0 && c->timer_fd >= 0 &&
              epoll_ctl(c->poll_fd, EPOLL_CTL_ADD, c->wake_fd, &event) == 0 &&
              epoll_ctl(c->poll_fd, EPOLL_CTL_ADD, c->timer_fd, &event) == 0;
    return ok ? REPRISE_OK : REPRISE_E_SYSTEM;
}

static void close_descriptor(int fd) {
    if (fd >= 0) {
        close(fd);
    }
}

static void context_free(struct reprise_context *c) {
    rp_sdk_uplink_free(c->uplink);
    rp_worker_free(c->worker);
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->nsps, it, tmp) {
        rp_sdk_nsp_free(RP_CONTAINER_OF(it, struct reprise_nsp, node));
    }
    close_descriptor(c->poll_fd);
    close_descriptor(c->wake_fd);
    close_descriptor(c->timer_fd);
    pthread_mutex_destroy(&c->posts_mutex);
    free(c->posts);
    free(c->broker);
    free(c->name);
    free(c->server_key);
    free(c->public_key);
    if (c->secret_key != NULL) {
        explicit_bzero(c->secret_key, strlen(c->secret_key));
    }
    free(c->secret_key);
    free(c);
}

static void take_options(struct reprise_context *c, const struct reprise_options *options) {
    static const struct reprise_options defaults;
    const struct reprise_options *o = options != NULL ? options : &defaults;
    const char *broker = o->broker != NULL ? o->broker : getenv("REPRISE_BROKER");
    c->broker = copy(broker != NULL && broker[0] != '\0' ? broker : "tcp://127.0.0.1:5570");
    c->name = o->name != NULL ? copy(o->name) : default_name();
    c->server_key = copy_if(o->server_key);
    c->public_key = copy_if(o->public_key);
    c->secret_key = copy_if(o->secret_key);
    c->log = o->log;
    c->log_user = o->log_user;
}

/* NULL, or what is wrong with them. */
static const char *check_keys(const struct reprise_context *c, bool plain_links) {
    int count = (c->server_key != NULL) + (c->public_key != NULL) + (c->secret_key != NULL);
    if (count != 0 && count != 3) {
        return "of server_key, public_key and secret_key there must be none or all";
    }
    if (count == 3 && plain_links) {
        return "plain_links and keys contradict each other: with keys the link is encrypted";
    }
    if (count == 0 && !plain_links && !rp_address_endpoint_is_local(c->broker)) {
        return "the broker is not on this machine: the link needs keys or, where every machine "
               "between is trusted, plain_links";
    }
    return NULL;
}

enum reprise_err reprise_context_new(const struct reprise_options *options,
                                     struct reprise_context **ret_context) {
    if (ret_context == NULL) {
        return REPRISE_E_INVALID;
    }
    struct reprise_context *c = RP_NEW(struct reprise_context);
    rp_list_init(&c->nsps);
    pthread_mutex_init(&c->posts_mutex, NULL);
    c->armed_ms = UINT64_MAX;
    take_options(c, options);
    enum reprise_err err = open_descriptors(c);
    const char *wrong = check_keys(c, options != NULL && options->plain_links);
    if (err == REPRISE_OK) {
        err = wrong == NULL ? rp_sdk_uplink_new(c, &c->uplink) : REPRISE_E_INVALID;
    }
    if (err != REPRISE_OK) {
        rp_sdk_log(c, REPRISE_LOG_WARN, "no link to %.256s can be made: %s", c->broker,
                   wrong != NULL ? wrong : reprise_strerror(err));
        context_free(c);
        return err;
    }
    struct rp_worker_config config = {
        .name = c->name, .link_credit_bytes = RP_LINK_CREDIT_BYTES, .random = random_bytes};
    c->worker = rp_worker_new(&config);
    c->woken = true;
    wake(c); /* an outside loop's first call */
    *ret_context = c;
    return REPRISE_OK;
}

void reprise_on_ready(struct reprise_context *c, reprise_ready_fn *fn, void *user) {
    if (c != NULL) {
        c->ready = fn;
        c->ready_user = user;
    }
}

void reprise_on_link(struct reprise_context *c, reprise_link_fn *fn, void *user) {
    if (c != NULL) {
        c->link = fn;
        c->link_user = user;
    }
}

/* ---- goodbye ---- */

static void turn_until_idle(struct reprise_context *c, uint64_t deadline_ms) {
    uint64_t now_ms;
    turn(c);
    while (!rp_worker_is_idle(c->worker) && (now_ms = rp_clock_mono_ms()) < deadline_ms) {
        uint64_t left_ms = deadline_ms - now_ms;
        sleep_until_woken(c, left_ms < INT_MAX ? (int) left_ms : INT_MAX);
        turn(c);
    }
}

static void destroy_users(struct reprise_context *c) {
    for (struct reprise_socket *s = NULL; (s = rp_worker_socket_each(c->worker, s)) != NULL;) {
        rp_sdk_change_user(s, NULL, NULL);
    }
}

void reprise_context_close(struct reprise_context *c, unsigned timeout_ms) {
    if (c == NULL || c->in_turn || c->running) {
        return;
    }
    uint64_t now_ms = rp_clock_mono_ms();
    pthread_mutex_lock(&c->posts_mutex);
    c->posts_closed = true;
    pthread_mutex_unlock(&c->posts_mutex);
    c->in_turn = true;
    run_posts(c, SIZE_MAX);
    c->in_turn = false;
    turn_until_idle(c, now_ms + timeout_ms);
    c->parting = true;
    rp_worker_bye(c->worker);
    turn(c);
    rp_sdk_uplink_part(c->uplink);
    c->in_turn = true; /* what is told now cannot begin anything */
    rp_worker_abandon(c->worker, REPRISE_E_CLOSED);
    rp_sdk_dispatch(c);
    destroy_users(c);
    context_free(c);
}

void reprise_context_stats(const struct reprise_context *c, struct reprise_stats *ret_stats) {
    struct rp_worker_stats stats = {0};
    if (c == NULL || ret_stats == NULL) {
        return;
    }
    rp_worker_stats(c->worker, &stats);
    *ret_stats = (struct reprise_stats){.events = stats.events,
                                        .emits = stats.emits,
                                        .sockets = stats.sockets_count,
                                        .requests = stats.requests_count,
                                        .requests_bytes = stats.requests_bytes,
                                        .tasks = stats.tasks_count,
                                        .tasks_refused = stats.tasks_refused,
                                        .links = stats.links_opened,
                                        .linked = stats.linked};
}
