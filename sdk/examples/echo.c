/* echo.c — the smallest worker: it says what it hears. This is the contract that the test suite of
 * the Socket.IO protocol document expects of a server, in the namespaces / and /custom:
 *
 *     on connection      auth, with what the client gave as `auth`
 *     message            comes back as message-back, with the same arguments, binary ones too
 *     message-with-ack   is acknowledged with its arguments
 *
 *     reprise-broker --db reprise.db &
 *     reprise-gateway --listen 127.0.0.1:3000 &
 *     echo
 */
#include "example.h"

/* All arguments of an event, again. What cannot be copied is an error of the builder, and thus of
 * the function that takes it. */
static struct reprise_builder *same_args(const struct reprise_event *e) {
    struct reprise_builder *b = reprise_builder_new();
    for (size_t i = 0; i < reprise_event_argc(e); i++) {
        reprise_put_value(b, reprise_event_arg(e, i));
    }
    return b;
}

static void connection(struct reprise_socket *s, void *user) {
    (void) user;
    struct reprise_value auth = reprise_handshake_auth(reprise_socket_handshake(s));
    bool has_auth = reprise_value_type(auth) != REPRISE_ABSENT;
    reprise_socket_emit(s, "auth", has_auth ? reprise_args("v", auth) : reprise_args("{}"));
}

static void message(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    reprise_socket_emit(s, "message-back", same_args(e));
}

static void message_with_ack(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) s, (void) user;
    reprise_event_ack(e, same_args(e));
}

static bool serve(struct reprise_context *c) {
    static const char *const names[] = {"/", "/custom"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct reprise_nsp *n = reprise_of(c, names[i]);
        reprise_on_connection(n, connection, NULL);
        reprise_on_event(n, "message", message, NULL);
        reprise_on_event(n, "message-with-ack", message_with_ack, NULL);
    }
    return true;
}

int main(int argc, char **argv) {
    static const struct example echo = {
        .name = "echo", .summary = "says what it hears", .serve = serve};
    return example_main(argc, argv, &echo);
}
