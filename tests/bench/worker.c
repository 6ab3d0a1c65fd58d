/* tests/bench/worker.c — reprise-bench-worker: the application that the load generator's worker
 * jobs talk to. Its handlers do as little as such handlers can, so that what is measured is the way
 * to them and back. They bear the names of the room events and mean the same, so that a job can be
 * run with them and without.
 *
 *     join ROOM               joins and acks
 *     publish ROOM NAME V     emits NAME to the room; `volatile` the same, volatile
 *     event …                 acks
 *     ask                     emits a question to all, waits for everybody's answer, acks how many
 *     fetch                   fetches all sockets, acks how many
 *
 *     reprise-bench-worker --broker tcp://127.0.0.1:5570      prints "ready" when it is */
#include <reprise.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { ASK_TIMEOUT_MS = 20000, NAME_SIZE = 256 };

static struct reprise_context *context;

static void on_signal(int number) {
    (void) number;
    reprise_context_stop(context);
}

static void ack_ok(struct reprise_event *e) {
    reprise_event_ack(e, reprise_args("{ok:b}", true));
}

static void ack_count(struct reprise_event *e, enum reprise_err err, size_t count) {
    if (err == REPRISE_OK) {
        reprise_event_ack(e, reprise_args("{ok:b, count:z}", true, count));
    } else {
        reprise_event_ack(e, reprise_args("{ok:b, error:s}", false, reprise_strerror(err)));
    }
    reprise_event_done(e);
}

static void on_event(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) s;
    (void) user;
    ack_ok(e);
}

static void on_join(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    char room[NAME_SIZE];
    if (reprise_value_string(reprise_event_arg(e, 0), room, sizeof room) > 0 &&
        reprise_socket_join(s, room) == REPRISE_OK) {
        ack_ok(e);
    }
}

static void publish(struct reprise_socket *s, struct reprise_event *e, bool is_volatile) {
    char room[NAME_SIZE], name[NAME_SIZE];
    if (reprise_value_string(reprise_event_arg(e, 0), room, sizeof room) <= 0 ||
        reprise_value_string(reprise_event_arg(e, 1), name, sizeof name) <= 0) {
        return;
    }
    struct reprise_target *t = reprise_to(reprise_socket_nsp(s), room);
    if (is_volatile) {
        reprise_target_volatile(t);
    }
    enum reprise_err err = reprise_target_emit(t, name, reprise_args("v", reprise_event_arg(e, 2)));
    if (err != REPRISE_OK) {
        fprintf(stderr, "level=error publish: %s\n", reprise_strerror(err));
    }
}

static void on_publish(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    publish(s, e, false);
}

static void on_volatile(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    publish(s, e, true);
}

static void on_responses(enum reprise_err err, const struct reprise_response *responses,
                         size_t responses_count, void *user) {
    (void) responses;
    ack_count(user, err, responses_count);
}

static void on_ask(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    struct reprise_target *t =
        reprise_target_timeout(reprise_all(reprise_socket_nsp(s)), ASK_TIMEOUT_MS);
    reprise_event_keep(e);
    enum reprise_err err = reprise_target_emit_with_ack(t, "question", reprise_args("s", "how?"),
                                                        NULL, on_responses, e);
    if (err != REPRISE_OK) {
        ack_count(e, err, 0);
    }
}

static void on_sockets(enum reprise_err err, const struct reprise_remote_socket *sockets,
                       size_t sockets_count, void *user) {
    (void) sockets;
    ack_count(user, err, sockets_count);
}

static void on_fetch(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    reprise_event_keep(e);
    enum reprise_err err =
        reprise_target_fetch_sockets(reprise_all(reprise_socket_nsp(s)), on_sockets, e);
    if (err != REPRISE_OK) {
        ack_count(e, err, 0);
    }
}

/* As a real one it looks at what the client says. */
static void on_admission(struct reprise_admission *a, void *user) {
    (void) user;
    struct reprise_value host = reprise_handshake_header(reprise_admission_handshake(a), "host");
    if (reprise_value_is(host, "localhost")) {
        reprise_admission_next(a);
    } else {
        reprise_admission_refuse(a, "not from here", NULL);
    }
}

static void on_ready(struct reprise_context *c, void *user) {
    (void) c;
    (void) user;
    puts("ready");
    fflush(stdout);
}

static void on_log(enum reprise_log_level level, const char *text, void *user) {
    (void) user;
    fprintf(stderr, " level=%s %s\n", level == REPRISE_LOG_WARN ? "warn" : "info", text);
}

static void serve(void) {
    static const struct {
        const char *name;
        reprise_event_fn *fn;
    } events[] = {{"event", on_event},       {"join", on_join}, {"publish", on_publish},
                  {"volatile", on_volatile}, {"ask", on_ask},   {"fetch", on_fetch}};
    struct reprise_nsp *n = reprise_of(context, "/");
    reprise_use(n, on_admission, NULL);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        reprise_on_event(n, events[i].name, events[i].fn, NULL);
    }
    reprise_on_ready(context, on_ready, NULL);
}

int main(int argc, char **argv) {
    struct reprise_options options = {.log = on_log};
    if (argc == 3 && strcmp(argv[1], "--broker") == 0) {
        options.broker = argv[2];
    } else if (argc != 1) {
        fprintf(stderr, "usage: reprise-bench-worker [--broker tcp://HOST:PORT]\n");
        return 2;
    }
    enum reprise_err err = reprise_context_new(&options, &context);
    if (err != REPRISE_OK) {
        fprintf(stderr, "reprise-bench-worker: %s\n", reprise_strerror(err));
        return 1;
    }
    serve();
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    reprise_context_run(context);
    reprise_context_close(context, 1000);
    return 0;
}
