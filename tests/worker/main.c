#include "worker.h"

#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CLOSE_MS = 2000, MIDDLEWARE_TEXT_SIZE = 1100 };

static struct reprise_context *context;
static volatile sig_atomic_t stopping; /* for a loop of our own */

/* ---- reports ---- */

const char *worker_err(enum reprise_err err) {
    switch (err) {
#define NAME(name, value, text)                                                                    \
    case name:                                                                                     \
        return #name[8] == 'O' ? "OK" : &#name[10];
        REPRISE_ERROR_LIST(NAME)
#undef NAME
    }
    return "?";
}

void worker_report(struct reprise_builder *b) {
    struct reprise_value list = reprise_builder_value(b);
    struct reprise_value first = reprise_value_at(list, 0);
    char *line = malloc(first.json.len + 1);
    if (line != NULL && first.json.len > 0) {
        memcpy(line, first.json.data, first.json.len);
        line[first.json.len] = '\n';
        for (size_t done = 0; done <= first.json.len;) {
            ssize_t n = write(STDOUT_FILENO, line + done, first.json.len + 1 - done);
            if (n <= 0) {
                break;
            }
            done += (size_t) n;
        }
    }
    free(line);
    reprise_builder_free(b);
}

struct reprise_value worker_or_null(struct reprise_value v) {
    return reprise_value_type(v) == REPRISE_ABSENT ? reprise_value_parse("null", 4) : v;
}

/* ---- events without an answer ---- */

static struct reprise_event *unanswered[64];
static size_t unanswered_count;

void worker_never_answer(struct reprise_event *e) {
    if (unanswered_count < sizeof unanswered / sizeof *unanswered &&
        reprise_event_keep(e) == REPRISE_OK) {
        unanswered[unanswered_count++] = e;
    }
}

/* ---- time ---- */

static atomic_uint waiting; /* threads that will use the context */

struct later {
    struct reprise_context *context;
    unsigned ms;
    reprise_post_fn *fn;
    void *arg;
};

static void *wait_and_post(void *user) {
    struct later *l = user;
    struct timespec time = {.tv_sec = l->ms / 1000, .tv_nsec = (long) (l->ms % 1000) * 1000000};
    nanosleep(&time, NULL);
    reprise_context_post(l->context, l->fn, l->arg);
    free(l);
    waiting--;
    return NULL;
}

void worker_later(struct reprise_context *c, unsigned ms, reprise_post_fn *fn, void *arg) {
    struct later *l = calloc(1, sizeof *l);
    pthread_t thread;
    if (l == NULL) {
        abort();
    }
    *l = (struct later){.context = c, .ms = ms, .fn = fn, .arg = arg};
    waiting++;
    if (pthread_create(&thread, NULL, wait_and_post, l) != 0) {
        abort();
    }
    pthread_detach(thread);
}

/* ---- what is reported ---- */

static void report_socket(const char *what, struct reprise_socket *s) {
    worker_report(reprise_args("{what:s,sid:s,nsp:s,recovered:b,connected:b,data:v,rooms:z}", what,
                               reprise_socket_id(s), reprise_socket_nsp_name(s),
                               reprise_socket_recovered(s), reprise_socket_connected(s),
                               reprise_socket_data(s), reprise_socket_rooms_count(s)));
}

static void on_socket(struct reprise_socket *s, void *user) {
    report_socket(user, s);
}

static void on_disconnect(struct reprise_socket *s, const char *reason, void *user) {
    struct reprise_builder *b = reprise_args(
        "{what:s,sid:s,nsp:s,reason:s,connected:b,rooms:[", (const char *) user,
        reprise_socket_id(s), reprise_socket_nsp_name(s), reason, reprise_socket_connected(s));
    for (size_t i = 0; i < reprise_socket_rooms_count(s); i++) {
        reprise_put_string(b, reprise_socket_room(s, i));
    }
    reprise_put(b, "]}");
    worker_report(b);
}

static void on_expired(struct reprise_nsp *n, const char *nsp_name, const char *sid,
                       struct reprise_value data, void *user) {
    (void) n, (void) user;
    worker_report(
        reprise_args("{what:s,nsp:s,sid:s,data:v}", "session_expired", nsp_name, sid, data));
}

static void on_error(struct reprise_socket *s, const char *message, void *user) {
    (void) user;
    worker_report(reprise_args("{what:s,sid:s,message:s}", "error", reprise_socket_id(s), message));
}

static void on_side(struct reprise_nsp *n, struct reprise_event *e, void *user) {
    worker_report(reprise_args("{what:s,nsp:s,name:s,args:v,ack:b,socket:b}", "side",
                               reprise_nsp_name(n), reprise_event_name(e), reprise_event_args(e),
                               reprise_event_wants_ack(e), reprise_event_socket(e) != NULL));
    if (reprise_value_is(reprise_event_arg(e, 0), "silent")) {
        worker_never_answer(e);
    } else {
        reprise_event_ack(
            e, reprise_args("sv", (const char *) user, worker_or_null(reprise_event_arg(e, 0))));
    }
}

static void on_link(struct reprise_context *c, bool up, void *user) {
    (void) c, (void) user;
    worker_report(reprise_args("{what:s,up:b}", "link", up));
}

/* ---- work: the event of tests under load ---- */

static void on_work(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    worker_report(reprise_args("{what:s,sid:s,n:v,again:b}", "work", reprise_socket_id(s),
                               worker_or_null(reprise_event_arg(e, 0)),
                               reprise_event_redelivered(e)));
    reprise_socket_emit(s, "worked", reprise_args("v", worker_or_null(reprise_event_arg(e, 0))));
    reprise_event_ack(e, reprise_args("{n:v}", worker_or_null(reprise_event_arg(e, 0))));
}

static void on_message(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) s, (void) user;
    reprise_event_ack(e, reprise_args("sv", "message", worker_or_null(reprise_event_arg(e, 0))));
}

/* ---- middlewares ---- */

static void ask_next(struct reprise_context *c, void *arg) {
    (void) c;
    reprise_admission_next(arg);
}

/* auth {refuse: message, data}, {defer: ms}, or nothing: on to the next. */
static void first_middleware(struct reprise_admission *a, void *user) {
    (void) user;
    struct reprise_value auth = reprise_handshake_auth(reprise_admission_handshake(a));
    worker_report(reprise_args("{what:s,sid:s,nsp:s,recovers:b}", "admit", reprise_admission_sid(a),
                               reprise_admission_nsp_name(a), reprise_admission_recovers(a)));
    char message[MIDDLEWARE_TEXT_SIZE];
    int64_t ms = reprise_value_int64_or(reprise_value_get(auth, "defer"), -1);
    if (reprise_value_string(reprise_value_get(auth, "refuse"), message, sizeof message) >= 0) {
        struct reprise_value data = reprise_value_get(auth, "data");
        bool has_data = reprise_value_type(data) != REPRISE_ABSENT;
        reprise_admission_refuse(a, message, has_data ? reprise_args("v", data) : NULL);
    } else if (ms >= 0) {
        worker_later(reprise_nsp_context(reprise_admission_nsp(a)), (unsigned) ms, ask_next, a);
    } else {
        reprise_admission_next(a);
    }
}

static void second_middleware(struct reprise_admission *a, void *user) {
    (void) user;
    struct reprise_value handshake = reprise_admission_handshake(a);
    bool refuse = reprise_value_bool_or(
        reprise_value_get(reprise_handshake_auth(handshake), "second"), false);
    worker_report(reprise_args("{what:s,sid:s}", "admit2", reprise_admission_sid(a)));
    if (refuse) {
        reprise_admission_refuse(a, "the second says no", NULL);
    } else {
        reprise_admission_next(a);
    }
}

/* word("refuse") is refused, word("tell") is, after an ack. */
static const char *first_event_middleware(struct reprise_socket *s, struct reprise_event *e,
                                          void *user) {
    (void) s, (void) user;
    bool tell = reprise_value_is(reprise_event_arg(e, 0), "tell");
    if (tell) {
        reprise_event_ack(e, reprise_args("{refused:b}", true));
    }
    return tell || reprise_value_is(reprise_event_arg(e, 0), "refuse") ? "not this word" : NULL;
}

static const char *second_event_middleware(struct reprise_socket *s, struct reprise_event *e,
                                           void *user) {
    (void) s, (void) user;
    worker_report(reprise_args("{what:s,name:s,args:v}", "passed", reprise_event_name(e),
                               reprise_event_args(e)));
    return reprise_value_is(reprise_event_arg(e, 0), "later") ? "the second says no" : NULL;
}

static void on_word(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) s, (void) user;
    worker_report(reprise_args("{what:s,args:v}", "word", reprise_event_args(e)));
    reprise_event_ack(e, reprise_args("{heard:v}", worker_or_null(reprise_event_arg(e, 0))));
}

/* ---- room events ---- */

static void deny_later(struct reprise_context *c, void *arg) {
    (void) c;
    reprise_check_deny(arg, "later", "after some thought: no");
}

/* Rooms that begin with "no" are refused, with "late" later; the rest is allowed. */
static void on_room_event(struct reprise_socket *s, struct reprise_check *k, void *user) {
    (void) user;
    const char *room = reprise_check_room(k);
    worker_report(reprise_args("{what:s,sid:s,event:i,room:s,name:s,args:v}", "check",
                               reprise_socket_id(s), (int) reprise_check_what(k), room,
                               reprise_check_name(k), worker_or_null(reprise_check_args(k))));
    if (strncmp(room, "no", 2) == 0) {
        reprise_check_deny(k, "forbidden", "this room is closed");
    } else if (strncmp(room, "late", 4) == 0) {
        worker_later(reprise_socket_context(s), 20, deny_later, k);
    } else {
        reprise_check_allow(k);
    }
}

/* ---- namespaces ---- */

static void add_handlers(struct reprise_nsp *n, const char *name) {
    reprise_on_connection(n, on_socket, "connection");
    reprise_on_adopted(n, on_socket, "adopted");
    reprise_on_released(n, on_socket, "released");
    reprise_on_disconnecting(n, on_disconnect, "disconnecting");
    reprise_on_disconnect(n, on_disconnect, "disconnect");
    reprise_on_session_expired(n, on_expired, NULL);
    reprise_on_error(n, on_error, NULL);
    reprise_on_server_side(n, "side", on_side, (void *) name);
    reprise_on_event(n, "do", worker_do, NULL);
    reprise_on_event(n, "work", on_work, NULL);
    reprise_on_event(n, "message", on_message, NULL);
}

static void serve(struct reprise_context *c, const char *only, const char *name) {
    static const struct {
        const char *name;
        bool durable;
        enum reprise_rooms rooms;
    } namespaces[] = {
        {"/", false, REPRISE_ROOMS_OFF},         {"/durable", true, REPRISE_ROOMS_OFF},
        {"/rooms", false, REPRISE_ROOMS_ON},     {"/ask", false, REPRISE_ROOMS_ASK},
        {"/guarded", false, REPRISE_ROOMS_OFF},  {"/filtered", false, REPRISE_ROOMS_OFF},
        {"/tenant-*", false, REPRISE_ROOMS_OFF}, {"/tenant-vip", false, REPRISE_ROOMS_OFF},
        {"/other-*", false, REPRISE_ROOMS_OFF}};
    for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++) {
        const char *nsp = namespaces[i].name;
        bool wanted = only != NULL ? strcmp(only, nsp) == 0 : strcmp(nsp, "/other-*") != 0;
        if (!wanted) {
            continue;
        }
        struct reprise_nsp *n =
            strchr(nsp, '*') != NULL ? reprise_of_pattern(c, nsp) : reprise_of(c, nsp);
        reprise_nsp_durable(n, namespaces[i].durable);
        reprise_nsp_rooms(n, namespaces[i].rooms);
        add_handlers(n, name);
        if (strcmp(nsp, "/guarded") == 0) {
            reprise_use(n, first_middleware, NULL);
            reprise_use(n, second_middleware, NULL);
        } else if (strcmp(nsp, "/filtered") == 0) {
            reprise_use_event(n, first_event_middleware, NULL);
            reprise_use_event(n, second_event_middleware, NULL);
            reprise_on_event(n, "word", on_word, NULL);
        } else if (strcmp(nsp, "/ask") == 0) {
            reprise_on_room_event(n, on_room_event, NULL);
        }
    }
}

/* ---- running ---- */

static void on_signal(int number) {
    (void) number;
    stopping = 1;
    reprise_context_stop(context);
}

static void on_log(enum reprise_log_level level, const char *text, void *user) {
    fprintf(stderr, "%s %s: %s\n", level == REPRISE_LOG_WARN ? "WARN" : "INFO", (char *) user,
            text);
}

static void on_ready(struct reprise_context *c, void *user) {
    (void) c;
    printf("ready %s\n", (char *) user);
    fflush(stdout);
}

/* A loop of our own, which watches the context's descriptor. */
static void run_own_loop(struct reprise_context *c, bool use_timeout) {
    struct pollfd fd = {.fd = reprise_context_fd(c), .events = POLLIN};
    while (!stopping && reprise_context_process(c) == REPRISE_OK) {
        poll(&fd, 1, use_timeout ? reprise_context_timeout(c) : -1);
    }
}

int main(int argc, char **argv) {
    static const struct option names[] = {{"broker", required_argument, NULL, 'b'},
                                          {"name", required_argument, NULL, 'n'},
                                          {"only", required_argument, NULL, 'o'},
                                          {"loop", required_argument, NULL, 'l'},
                                          {NULL, 0, NULL, 0}};
    struct reprise_options options = {.name = "worker", .log = on_log, .log_user = "worker"};
    const char *only = NULL, *loop = "run"; /* run, fd, timeout */
    for (int o; (o = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (o) {
        case 'b':
            options.broker = optarg;
            break;
        case 'n':
            options.name = optarg;
            break;
        case 'o':
            only = optarg;
            break;
        case 'l':
            loop = optarg;
            break;
        default:
            return 2;
        }
    }
    if (reprise_context_new(&options, &context) != REPRISE_OK) {
        fprintf(stderr, "worker: no context\n");
        return EXIT_FAILURE;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    serve(context, only, options.name);
    reprise_on_ready(context, on_ready, (void *) options.name);
    reprise_on_link(context, on_link, NULL);
    if (strcmp(loop, "run") == 0) {
        reprise_context_run(context);
    } else {
        run_own_loop(context, strcmp(loop, "timeout") == 0);
    }
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    while (waiting > 0) {
        usleep(1000);
    }
    reprise_context_close(context, CLOSE_MS);
    while (unanswered_count > 0) { /* a handle that was kept outlives its context */
        reprise_event_done(unanswered[--unanswered_count]);
    }
    return EXIT_SUCCESS;
}
