/* notify.c — notifications to all devices of one user.
 *
 *     client                                     server
 *     auth: {token: "…"}                         CONNECT_ERROR "unauthorized" {code: 401}, or
 * connects on notification({from, title}), ack        is sent to every device of the user
 *     notify(user, title), ack                   {ok, seq, acked}: how many devices have it already
 *     history("user:NAME", {since: seq})         what came after that one (a built-in room event)
 *
 * Three things to see here:
 *
 * A *middleware* decides who may connect. It turns the token of the handshake into a user; whoever
 * has none is refused before anything else happens. Tokens are lines `TOKEN NAME` in a file.
 *
 * All devices of ada are in the *room* user:ada, whichever gateway or worker they are at, so one
 * emit reaches them all. It *asks for acks*: a device that is away for a moment is sent the
 * notification when it recovers, again at each recovery until it has acked it.
 *
 * A device that was away for longer asks for what is *stored*. The room events are left on for
 * that, and ask this worker first: everybody may read the history of their own room, and nothing
 * else. */
#include "example.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 64, ROOM_SIZE = NAME_SIZE + 5, TOKEN_SIZE = 128, ACK_MS = 10000 };

static const char *tokens_path;

/* ---- who is it? ---- */

/* Compares in a time that does not tell how much of it is right. */
static bool is_same(const char *a, const char *b) {
    size_t len = strlen(a);
    unsigned different = strlen(b) != len;
    for (size_t i = 0; different == 0 && i < len; i++) {
        different |= (unsigned) (a[i] ^ b[i]) << 8;
    }
    return different == 0;
}

/* The user whose token this is; reads the file each time, so that changes count at once. */
static bool find_user(struct reprise_value token, char name[NAME_SIZE]) {
    char text[TOKEN_SIZE], line_token[TOKEN_SIZE], line[TOKEN_SIZE + NAME_SIZE + 8];
    ptrdiff_t len = reprise_value_string(token, text, sizeof text);
    FILE *file = len > 0 && (size_t) len < sizeof text ? fopen(tokens_path, "r") : NULL;
    if (file == NULL) {
        return false;
    }
    bool found = false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        found = sscanf(line, "%127s %63s", line_token, name) == 2 && is_same(line_token, text);
    }
    fclose(file);
    return found;
}

static bool user_of_handshake(struct reprise_value handshake, char name[NAME_SIZE]) {
    return find_user(reprise_value_get(reprise_handshake_auth(handshake), "token"), name);
}

static void check_token(struct reprise_admission *a, void *user) {
    (void) user;
    char name[NAME_SIZE];
    if (user_of_handshake(reprise_admission_handshake(a), name)) {
        reprise_admission_next(a);
    } else {
        reprise_admission_refuse(a, "unauthorized", reprise_args("{code:i}", 401));
    }
}

/* ---- devices ---- */

static const char *user_room(const char *name, char room[ROOM_SIZE]) {
    snprintf(room, ROOM_SIZE, "user:%s", name);
    return room;
}

/* The name is kept in the data of the socket: the token may be worthless by the time of a later
 * event. A device that has recovered is in its room already; joining again is harmless. */
static void connection(struct reprise_socket *s, void *user) {
    (void) user;
    char name[NAME_SIZE], room[ROOM_SIZE];
    if (!user_of_handshake(reprise_socket_handshake(s), name)) {
        reprise_socket_disconnect(s, true); /* the token was taken back a moment ago */
        return;
    }
    reprise_socket_set_data(s, reprise_args("{user:s}", name));
    reprise_socket_join(s, user_room(name, room));
}

static void check_room_event(struct reprise_socket *s, struct reprise_check *k, void *user) {
    (void) user;
    char name[NAME_SIZE], room[ROOM_SIZE];
    struct reprise_value own = reprise_value_get(reprise_socket_data(s), "user");
    if (reprise_check_what(k) == REPRISE_ROOM_HISTORY &&
        reprise_value_string(own, name, sizeof name) > 0 &&
        strcmp(reprise_check_room(k), user_room(name, room)) == 0) {
        reprise_check_allow(k);
    } else {
        reprise_check_deny(k, "forbidden", "only the history of your own notifications");
    }
}

/* ---- notifications ---- */

/* A notification under way. It is done when it is in the log and the devices have answered. */
struct notification {
    struct reprise_event *event;
    uint64_t seq;
    size_t acked;
    unsigned open; /* answers that are still to come */
};

static void finish(struct notification *n) {
    if (--n->open == 0) {
        bool ok = n->seq > 0;
        reprise_event_ack(n->event, reprise_args("{ok:b,seq:U,acked:z}", ok, n->seq, n->acked));
        reprise_event_done(n->event);
        free(n);
    }
}

static void on_stored(enum reprise_err err, uint64_t seq, void *user) {
    struct notification *n = user;
    n->seq = err == REPRISE_OK ? seq : 0;
    finish(n);
}

/* A timeout is no failure here: who has not answered yet is sent it again. */
static void on_acks(enum reprise_err err, const struct reprise_response *responses,
                    size_t responses_count, void *user) {
    (void) err, (void) responses;
    struct notification *n = user;
    n->acked = responses_count;
    finish(n);
}

static void notify(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    char to[NAME_SIZE], room[ROOM_SIZE];
    ptrdiff_t len = reprise_value_string(reprise_event_arg(e, 0), to, sizeof to);
    struct notification *n = calloc(1, sizeof *n);
    if (n == NULL || len <= 0 || (size_t) len >= sizeof to ||
        reprise_value_type(reprise_event_arg(e, 1)) != REPRISE_STRING ||
        reprise_event_keep(e) != REPRISE_OK) {
        reprise_event_ack(e, reprise_args("{ok:b,error:s}", false, "notify(user, title)"));
        free(n);
        return;
    }
    *n = (struct notification){.event = e, .open = 2};
    struct reprise_target *devices = reprise_to(reprise_socket_nsp(s), user_room(to, room));
    devices = reprise_target_stored(reprise_target_timeout(devices, ACK_MS), on_stored, n);
    struct reprise_builder *args =
        reprise_args("{from:v,title:v}", reprise_value_get(reprise_socket_data(s), "user"),
                     reprise_event_arg(e, 1));
    if (reprise_target_emit_with_ack(devices, "notification", args, NULL, on_acks, n) !=
        REPRISE_OK) {
        n->open = 1;
        finish(n);
    }
}

static bool serve(struct reprise_context *c) {
    if (tokens_path == NULL) {
        fprintf(stderr, "notify: --tokens FILE is needed\n");
        return false;
    }
    struct reprise_nsp *n = reprise_of(c, "/");
    reprise_nsp_durable(n, true);
    reprise_nsp_rooms(n, REPRISE_ROOMS_ASK);
    reprise_use(n, check_token, NULL);
    reprise_on_connection(n, connection, NULL);
    reprise_on_room_event(n, check_room_event, NULL);
    reprise_on_event(n, "notify", notify, NULL);
    return true;
}

int main(int argc, char **argv) {
    static const struct example example = {.name = "notify",
                                           .summary = "notifications to all devices of a user",
                                           .serve = serve,
                                           .option_name = "tokens",
                                           .option_help = "FILE with lines `TOKEN NAME`",
                                           .option_value = &tokens_path};
    return example_main(argc, argv, &example);
}
