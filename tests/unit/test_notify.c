/* Notices to a service manager, received by a real socket. */
#include "common/notify.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { RECEIVE_MS = 5000 };

struct manager {
    int fd;
    char name[64]; /* as in NOTIFY_SOCKET */
    struct event_base *base;
};

static void listen_at(struct manager *m, const char *name) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(m->name, sizeof m->name, "%s", name);
    size_t len = strlen(name);
    memcpy(at.sun_path, name, len);
    if (name[0] == '@') {
        at.sun_path[0] = '\0';
    }
    m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(m->fd >= 0);
    socklen_t size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + len);
    assert_int_equal(bind(m->fd, (struct sockaddr *) &at, size), 0);
}

static int set_up(void **state) {
    static struct manager m;
    char name[64];
    snprintf(name, sizeof name, "/tmp/test_notify_%ld", (long) getpid());
    listen_at(&m, name);
    m.base = event_base_new();
    assert_non_null(m.base);
    setenv("NOTIFY_SOCKET", m.name, 1);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    *state = &m;
    return 0;
}

static int tear_down(void **state) {
    struct manager *m = *state;
    close(m->fd);
    if (m->name[0] == '/') {
        unlink(m->name);
    }
    event_base_free(m->base);
    unsetenv("NOTIFY_SOCKET");
    return 0;
}

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

/* The next datagram; the loop turns until it comes. */
static const char *receive(const struct manager *m) {
    static char text[2048];
    for (uint64_t end = now_us() + RECEIVE_MS * 1000; now_us() < end;) {
        ssize_t n = recv(m->fd, text, sizeof text - 1, MSG_DONTWAIT);
        if (n >= 0) {
            text[n] = '\0';
            return text;
        }
        const struct timeval tick = {.tv_usec = 1000};
        event_base_loopexit(m->base, &tick);
        event_base_dispatch(m->base);
    }
    fail_msg("nothing came");
    return NULL;
}

static void assert_silent(const struct manager *m) {
    char text[64];
    assert_int_equal(recv(m->fd, text, sizeof text, MSG_DONTWAIT), -1);
}

static void test_a_whole_life_is_told(void **state) {
    struct manager *m = *state;
    struct rp_notify *n = rp_notify_new(m->base);
    assert_non_null(n);
    assert_silent(m);
    rp_notify_status(n, "opening %s\nREADY=1", "a log");
    assert_string_equal(receive(m), "STATUS=opening a log READY=1");
    rp_notify_ready(n);
    assert_string_equal(receive(m), "READY=1");
    uint64_t before = now_us(), told;
    rp_notify_reloading(n);
    assert_int_equal(sscanf(receive(m), "RELOADING=1\nMONOTONIC_USEC=%" SCNu64, &told), 1);
    assert_true(told >= before && told <= now_us());
    rp_notify_ready(n);
    assert_string_equal(receive(m), "READY=1");
    rp_notify_stopping(n);
    assert_string_equal(receive(m), "STOPPING=1");
    rp_notify_free(n);
    assert_silent(m);
}

static void test_an_abstract_socket_is_found(void **state) {
    struct manager *m = *state;
    struct manager other = {.base = m->base};
    char name[64];
    snprintf(name, sizeof name, "@test_notify_%ld", (long) getpid());
    listen_at(&other, name);
    setenv("NOTIFY_SOCKET", name, 1);
    struct rp_notify *n = rp_notify_new(m->base);
    rp_notify_ready(n);
    assert_string_equal(receive(&other), "READY=1");
    rp_notify_free(n);
    close(other.fd);
}

static void test_without_a_manager_nothing_is_done(void **state) {
    struct manager *m = *state;
    char long_name[256];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[0] = '/';
    long_name[sizeof long_name - 1] = '\0';
    const char *names[] = {"", "/", "relative", "vsock:2:1", long_name, NULL};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i] != NULL) {
            setenv("NOTIFY_SOCKET", names[i], 1);
        } else {
            unsetenv("NOTIFY_SOCKET");
        }
        struct rp_notify *n = rp_notify_new(m->base);
        assert_null(n);
        rp_notify_status(n, "x");
        rp_notify_ready(n);
        rp_notify_reloading(n);
        rp_notify_stopping(n);
        assert_null(rp_notify_free(n));
    }
    assert_silent(m);
}

static void test_a_manager_that_is_gone_does_no_harm(void **state) {
    struct manager *m = *state;
    struct rp_notify *n = rp_notify_new(m->base);
    close(m->fd);
    rp_notify_ready(n);
    unlink(m->name);
    rp_notify_stopping(n);
    rp_notify_free(n);
    listen_at(m, m->name);
}

/* ---- the watchdog ---- */

static void test_the_watchdog_is_fed_from_the_loop_once_ready(void **state) {
    struct manager *m = *state;
    char pid[32];
    snprintf(pid, sizeof pid, "%ld", (long) getpid());
    setenv("WATCHDOG_USEC", "20000", 1);
    setenv("WATCHDOG_PID", pid, 1);
    struct rp_notify *n = rp_notify_new(m->base);
    uint64_t begin = now_us();
    rp_notify_ready(n);
    assert_string_equal(receive(m), "READY=1");
    for (int i = 0; i < 3; i++) {
        assert_string_equal(receive(m), "WATCHDOG=1");
    }
    assert_true(now_us() - begin >= 25000); /* half of 20 ms each, not as fast as it can */
    for (char text[64]; recv(m->fd, text, sizeof text, MSG_DONTWAIT) >= 0;) {
    }
    usleep(50000); /* the loop does not turn */
    assert_silent(m);
    rp_notify_free(n);
}

static void test_the_watchdog_of_another_process_is_not_ours(void **state) {
    struct manager *m = *state;
    const char *const cases[][2] = {
        {"10000", "1"}, {"10000", "x"}, {"0", NULL}, {"ten", NULL}, {"", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("WATCHDOG_USEC", cases[i][0], 1);
        if (cases[i][1] != NULL) {
            setenv("WATCHDOG_PID", cases[i][1], 1);
        } else {
            unsetenv("WATCHDOG_PID");
        }
        struct rp_notify *n = rp_notify_new(m->base);
        rp_notify_ready(n);
        assert_string_equal(receive(m), "READY=1");
        const struct timeval while_ms = {.tv_usec = 30000};
        event_base_loopexit(m->base, &while_ms);
        event_base_dispatch(m->base);
        assert_silent(m);
        rp_notify_free(n);
    }
    setenv("WATCHDOG_USEC", "10000", 1);
    struct rp_notify *n = rp_notify_new(m->base); /* for whoever reads it */
    rp_notify_ready(n);
    assert_string_equal(receive(m), "READY=1");
    assert_string_equal(receive(m), "WATCHDOG=1");
    rp_notify_free(n);
}

/* ---- a manager that does not read ---- */

/* Returns how many datagrams it takes. */
static size_t fill_up(const struct manager *m) {
    int filler = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", m->name);
    size_t count = 0;
    while (sendto(filler, "x", 1, 0, (struct sockaddr *) &at, sizeof at) == 1) {
        count++;
        assert_true(count < 100000);
    }
    close(filler);
    return count;
}

static void take_filling(const struct manager *m, size_t count) {
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(receive(m), "x");
    }
}

static void test_what_is_not_taken_is_sent_again_in_order(void **state) {
    struct manager *m = *state;
    size_t filling = fill_up(m);
    struct rp_notify *n = rp_notify_new(m->base);
    uint64_t begin = now_us();
    rp_notify_status(n, "one");
    rp_notify_ready(n);
    for (int i = 0; i < 100; i++) {
        rp_notify_status(n, "a long line to say that the queue of lines is bounded as well");
    }
    assert_true(now_us() - begin < 1000000); /* it does not wait */
    take_filling(m, filling);
    const char *text = receive(m);
    static const char first[] = "STATUS=one\nREADY=1\nSTATUS=a long line";
    assert_memory_equal(text, first, sizeof first - 1);
    rp_notify_stopping(n);
    assert_string_equal(receive(m), "STOPPING=1");
    rp_notify_free(n);
}

/* Where there is no room for all of it, what the manager acts upon comes through, the last of it
 * last. */
static void test_what_is_for_people_gives_way(void **state) {
    struct manager *m = *state;
    char path[2000];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    for (int stops = 0; stops < 2; stops++) {
        size_t filling = fill_up(m);
        struct rp_notify *n = rp_notify_new(m->base);
        for (int i = 0; i < 10; i++) {
            rp_notify_status(n, "%s", path);
            rp_notify_status(n, "short");
        }
        for (int i = 0; i < 20; i++) {
            rp_notify_reloading(n);
            rp_notify_ready(n);
        }
        if (stops) {
            rp_notify_stopping(n);
        }
        take_filling(m, filling);
        const char *text = receive(m), *end = stops ? "\nREADY=1\nSTOPPING=1" : "\nREADY=1";
        size_t len = strlen(text);
        assert_true(len > strlen(end));
        assert_string_equal(text + len - strlen(end), end);
        assert_non_null(strstr(text, "RELOADING=1\nMONOTONIC_USEC="));
        rp_notify_free(n);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_whole_life_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_abstract_socket_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_manager_nothing_is_done, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_manager_that_is_gone_does_no_harm, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_the_watchdog_is_fed_from_the_loop_once_ready, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_the_watchdog_of_another_process_is_not_ours, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_taken_is_sent_again_in_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_for_people_gives_way, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
