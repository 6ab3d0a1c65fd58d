/* invite.c — rooms by invitation.
 *
 * The built-in room events (join, leave, publish, history, presence) are left on: the broker does
 * the work, with history and replay. This worker only says who may. A room belongs to the user
 * whose name is in front: ada/garden is ada's, and others need an invitation.
 *
 *     client                                 server
 *     auth: {user: "ada"}                    who has no proper name is refused
 *     join("ada/garden"), publish(…), …      as always; without an invitation the ack says
 *                                            {ok: false, error: {code: "not_invited", …}}
 *     invite("ada/garden", "bob"), ack       {ok}; all of bob's sockets get
 *                                            invitation {room, from}
 *     uninvite("ada/garden", "bob"), ack     {ok}; they are out of the room, too
 *
 * Where are the invitations? They are rooms themselves: who is invited to ada/garden is in the room
 * `invited ada/garden`, which nobody can join by asking. The broker keeps it as it keeps all rooms,
 * so it does not matter which worker serves bob, and it is there again when he recovers.
 *
 * (Here everybody is who they say they are. See notify.c for tokens.) */
#include "example.h"

#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 40, ROOM_SIZE = 128, INVITED_SIZE = ROOM_SIZE + 8, USER_SIZE = NAME_SIZE + 5 };

/* A name is a text without the '/' that ends it in rooms. */
static bool read_name(struct reprise_value v, char name[NAME_SIZE]) {
    ptrdiff_t len = reprise_value_string(v, name, NAME_SIZE);
    return len > 0 && len < NAME_SIZE && strchr(name, '/') == NULL;
}

static bool read_user(struct reprise_value handshake, char name[NAME_SIZE]) {
    return read_name(reprise_value_get(reprise_handshake_auth(handshake), "user"), name);
}

/* Whether the room is the user's own: "ada/…". */
static bool is_owner(const char *name, const char *room) {
    size_t len = strlen(name);
    return strncmp(room, name, len) == 0 && room[len] == '/' && room[len + 1] != '\0';
}

static const char *invited_room(const char *room, char invited[INVITED_SIZE]) {
    snprintf(invited, INVITED_SIZE, "invited %s", room);
    return invited;
}

/* ---- coming ---- */

static void check_name(struct reprise_admission *a, void *user) {
    (void) user;
    char name[NAME_SIZE];
    if (read_user(reprise_admission_handshake(a), name)) {
        reprise_admission_next(a);
    } else {
        reprise_admission_refuse(a, "a name is needed", NULL);
    }
}

static void connection(struct reprise_socket *s, void *user) {
    (void) user;
    char name[NAME_SIZE], room[USER_SIZE];
    if (read_user(reprise_socket_handshake(s), name)) {
        snprintf(room, sizeof room, "user %s", name);
        reprise_socket_join(s, room);
    }
}

/* ---- may they? ---- */

static void check_room_event(struct reprise_socket *s, struct reprise_check *k, void *user) {
    (void) user;
    char name[NAME_SIZE], invited[INVITED_SIZE];
    const char *room = reprise_check_room(k);
    if (reprise_check_what(k) == REPRISE_ROOM_LEAVE) {
        reprise_check_allow(k);
    } else if (strlen(room) < ROOM_SIZE && read_user(reprise_socket_handshake(s), name) &&
               (is_owner(name, room) || reprise_socket_in_room(s, invited_room(room, invited)))) {
        reprise_check_allow(k);
    } else {
        reprise_check_deny(k, "not_invited", "ask whose room it is for an invitation");
    }
}

/* ---- invitations ---- */

/* What invite and uninvite have in common: the two arguments. False: something is wrong, which was
 * said. */
static bool read_invitation(struct reprise_socket *s, struct reprise_event *e, char from[NAME_SIZE],
                            char room[ROOM_SIZE], char to_room[USER_SIZE]) {
    char to[NAME_SIZE];
    ptrdiff_t len = reprise_value_string(reprise_event_arg(e, 0), room, ROOM_SIZE);
    if (len <= 0 || len >= ROOM_SIZE || !read_name(reprise_event_arg(e, 1), to) ||
        !read_user(reprise_socket_handshake(s), from) || !is_owner(from, room)) {
        reprise_event_ack(e, reprise_args("{ok:b,error:s}", false, "it is not a room of yours"));
        return false;
    }
    snprintf(to_room, USER_SIZE, "user %s", to);
    return true;
}

static void invite(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    struct reprise_nsp *n = reprise_socket_nsp(s);
    char from[NAME_SIZE], room[ROOM_SIZE], to_room[USER_SIZE], invited[INVITED_SIZE];
    if (read_invitation(s, e, from, room, to_room)) {
        reprise_target_sockets_join(reprise_to(n, to_room), invited_room(room, invited));
        reprise_target_emit(reprise_to(n, to_room), "invitation",
                            reprise_args("{room:s,from:s}", room, from));
        reprise_event_ack(e, reprise_args("{ok:b}", true));
    }
}

static void uninvite(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) user;
    struct reprise_nsp *n = reprise_socket_nsp(s);
    char from[NAME_SIZE], room[ROOM_SIZE], to_room[USER_SIZE], invited[INVITED_SIZE];
    if (read_invitation(s, e, from, room, to_room)) {
        reprise_target_sockets_leave(reprise_to(n, to_room), invited_room(room, invited));
        reprise_target_sockets_leave(reprise_to(n, to_room), room);
        reprise_event_ack(e, reprise_args("{ok:b}", true));
    }
}

static bool serve(struct reprise_context *c) {
    struct reprise_nsp *n = reprise_of(c, "/");
    reprise_nsp_rooms(n, REPRISE_ROOMS_ASK);
    reprise_use(n, check_name, NULL);
    reprise_on_connection(n, connection, NULL);
    reprise_on_room_event(n, check_room_event, NULL);
    reprise_on_event(n, "invite", invite, NULL);
    reprise_on_event(n, "uninvite", uninvite, NULL);
    return true;
}

int main(int argc, char **argv) {
    static const struct example example = {
        .name = "invite", .summary = "rooms by invitation", .serve = serve};
    return example_main(argc, argv, &example);
}
