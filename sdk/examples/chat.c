/* chat.c — the chat of Socket.IO's tutorial: user names, typing, messages, private messages, who is
 * online. The page beside it, chat.html, is a client.
 *
 *     client emits                             others get
 *     add user(name), ack {ok, numUsers}       user joined {username, numUsers}
 *     new message(text, id)                    new message {username, message, id}
 *     typing(), stop typing()                  typing {username}, stop typing {username}
 *     private message(name, text, id)          that user gets
 *                                              private message {username, message, id}
 *     users(), ack {ok, users: [name, …]}
 *
 * Run as many of it as you like: nothing of the chat is in the memory of this process. A user's
 * name is in the *data* of the socket, which is kept with the session; that somebody has a name is
 * membership of the room `users`, that somebody is ada membership of `user ada`. So any worker can
 * go on where another one died, and counting users is asking who is in a room.
 *
 * Without any further code: a client that was away for a while gets what it missed. And as the
 * namespace is durable, a message that a worker did not finish is handled by the next one. It may
 * then be sent twice: the page forgets what it has seen by the `id`, which the sender made. */
#include "example.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 64, ROOM_SIZE = NAME_SIZE + 8, TEXT_BYTES_MAX = 4000 };

static const char *nsp_name = "/";

/* The name of a socket's user; false if it has none yet. */
static bool user_name(const struct reprise_socket *s, char name[NAME_SIZE]) {
    struct reprise_value data = reprise_socket_data(s);
    return reprise_value_string(reprise_value_get(data, "name"), name, NAME_SIZE) > 0;
}

static const char *user_room(const char *name, char room[ROOM_SIZE]) {
    snprintf(room, ROOM_SIZE, "user %s", name);
    return room;
}

static void refuse(struct reprise_event *e, const char *why) {
    reprise_event_ack(e, reprise_args("{ok:b,error:s}", false, why));
}

/* ---- how many there are ---- */

/* Somebody came or went; to be told when it is known how many there are now. */
struct news {
    struct reprise_socket *socket;
    struct reprise_event *event; /* to be acked, or NULL */
    const char *what;
    char name[NAME_SIZE];
};

static void tell_news(enum reprise_err err, const struct reprise_remote_socket *sockets,
                      size_t sockets_count, void *user) {
    (void) sockets;
    struct news *news = user;
    if (err == REPRISE_OK) {
        struct reprise_target *others = reprise_socket_to(news->socket, "users");
        reprise_target_emit(others, news->what,
                            reprise_args("{username:s,numUsers:z}", news->name, sockets_count));
        if (news->event != NULL) {
            reprise_event_ack(news->event, reprise_args("{ok:b,numUsers:z}", true, sockets_count));
        }
    }
    reprise_event_done(news->event);
    reprise_socket_unref(news->socket);
    free(news);
}

static void tell_others(struct reprise_socket *s, struct reprise_event *e, const char *what,
                        const char *name) {
    struct news *news = calloc(1, sizeof *news);
    if (news == NULL) {
        return;
    }
    news->socket = reprise_socket_ref(s); /* the handles are needed after this handler */
    if (e != NULL && reprise_event_keep(e) == REPRISE_OK) {
        news->event = e;
    }
    news->what = what;
    snprintf(news->name, sizeof news->name, "%s", name);
    struct reprise_target *users = reprise_to(reprise_socket_nsp(s), "users");
    if (reprise_target_fetch_sockets(users, tell_news, news) != REPRISE_OK) {
        tell_news(REPRISE_E_LOST, NULL, 0, news);
    }
}

/* ---- coming and going ---- */

static void add_user(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    char name[NAME_SIZE], room[ROOM_SIZE];
    ptrdiff_t len = reprise_value_string(reprise_event_arg(e, 0), name, sizeof name);
    if (len <= 0 || (size_t) len >= sizeof name) {
        refuse(e, "a name is a text of 1 to 63 bytes");
        return;
    }
    if (reprise_socket_in_room(s, "users") && !reprise_event_redelivered(e)) {
        refuse(e, "you have a name");
        return;
    }
    reprise_socket_set_data(s, reprise_args("{name:s}", name));
    reprise_socket_join(s, "users");
    reprise_socket_join(s, user_room(name, room));
    tell_others(s, e, "user joined", name);
}

/* Who comes back has its name, its rooms, and gets what it missed. */
static void connection(struct reprise_socket *s, void *user) {
    (void) user;
    char name[NAME_SIZE];
    if (reprise_socket_recovered(s) && user_name(s, name)) {
        tell_others(s, NULL, "user joined", name);
    }
}

static void disconnect(struct reprise_socket *s, const char *reason, void *user) {
    (void) reason, (void) user;
    char name[NAME_SIZE];
    if (user_name(s, name)) {
        tell_others(s, NULL, "user left", name);
    }
}

/* ---- talking ---- */

/* {username, message, id} of a message that has come with its text as argument i, its id behind;
 * NULL if there is something wrong, which was said. */
static struct reprise_builder *message_of(struct reprise_socket *s, struct reprise_event *e,
                                          size_t i) {
    char name[NAME_SIZE];
    ptrdiff_t len = reprise_value_string(reprise_event_arg(e, i), NULL, 0);
    if (!user_name(s, name)) {
        refuse(e, "say your name first");
    } else if (len <= 0 || len > TEXT_BYTES_MAX) {
        refuse(e, "a message is a text of 1 to 4000 bytes");
    } else {
        struct reprise_value id = reprise_event_arg(e, i + 1);
        return reprise_args(reprise_value_type(id) == REPRISE_STRING ? "{username:s,message:v,id:v}"
                                                                     : "{username:s,message:v}",
                            name, reprise_event_arg(e, i), id);
    }
    return NULL;
}

static void new_message(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    struct reprise_builder *message = message_of(s, e, 0);
    if (message != NULL) {
        reprise_target_emit(reprise_socket_to(s, "users"), "new message", message);
        reprise_event_ack(e, reprise_args("{ok:b}", true));
    }
}

static void private_message(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    char name[NAME_SIZE], room[ROOM_SIZE];
    ptrdiff_t len = reprise_value_string(reprise_event_arg(e, 0), name, sizeof name);
    if (len <= 0 || (size_t) len >= sizeof name) {
        refuse(e, "there is no such user");
        return;
    }
    struct reprise_builder *message = message_of(s, e, 1);
    if (message != NULL) {
        reprise_target_emit(reprise_to(reprise_socket_nsp(s), user_room(name, room)),
                            "private message", message);
        reprise_event_ack(e, reprise_args("{ok:b}", true));
    }
}

/* Who types now is of no interest later: such events may be lost. */
static void typing(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    char name[NAME_SIZE];
    if (user_name(s, name)) {
        reprise_target_emit(reprise_target_volatile(reprise_socket_to(s, "users")),
                            reprise_event_name(e), reprise_args("{username:s}", name));
    }
}

/* ---- who is online ---- */

static void answer_users(enum reprise_err err, const struct reprise_remote_socket *sockets,
                         size_t sockets_count, void *user) {
    struct reprise_event *e = user;
    if (err == REPRISE_OK) {
        struct reprise_builder *answer = reprise_args("{ok:b,users:[", true);
        for (size_t i = 0; i < sockets_count; i++) {
            reprise_put_value(answer, reprise_value_get(sockets[i].data, "name"));
        }
        reprise_put(answer, "]}");
        reprise_event_ack(e, answer);
    } else {
        refuse(e, reprise_strerror(err));
    }
    reprise_event_done(e);
}

static void users(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    struct reprise_target *all = reprise_to(reprise_socket_nsp(s), "users");
    if (reprise_event_keep(e) == REPRISE_OK &&
        reprise_target_fetch_sockets(all, answer_users, e) != REPRISE_OK) {
        answer_users(REPRISE_E_BUSY, NULL, 0, e);
    }
}

static bool serve(struct reprise_context *c) {
    struct reprise_nsp *n = reprise_of(c, nsp_name);
    if (n == NULL) {
        fprintf(stderr, "chat: no namespace can have the name %s\n", nsp_name);
        return false;
    }
    reprise_nsp_durable(n, true);
    reprise_on_connection(n, connection, NULL);
    reprise_on_disconnect(n, disconnect, NULL);
    reprise_on_event(n, "add user", add_user, NULL);
    reprise_on_event(n, "new message", new_message, NULL);
    reprise_on_event(n, "private message", private_message, NULL);
    reprise_on_event(n, "typing", typing, NULL);
    reprise_on_event(n, "stop typing", typing, NULL);
    reprise_on_event(n, "users", users, NULL);
    return true;
}

int main(int argc, char **argv) {
    static const struct example chat = {.name = "chat",
                                        .summary = "the chat of Socket.IO's tutorial",
                                        .serve = serve,
                                        .option_name = "nsp",
                                        .option_help = "the namespace it is in [/]",
                                        .option_value = &nsp_name};
    return example_main(argc, argv, &chat);
}
