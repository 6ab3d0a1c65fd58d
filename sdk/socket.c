/* sdk/socket.c — what sockets know, and what is done to one. */
#include "sdk/inner.h"

#include <stdlib.h>

static const struct reprise_value absent = {{NULL, 0}, {NULL, 0}};

/* ---- what it knows ---- */

const char *reprise_socket_id(const struct reprise_socket *s) {
    return s != NULL ? s->sid : "";
}

struct reprise_nsp *reprise_socket_nsp(const struct reprise_socket *s) {
    return s != NULL ? rp_sdk_nsp_of(s->served) : NULL;
}

const char *reprise_socket_nsp_name(const struct reprise_socket *s) {
    return s != NULL ? s->nsp : "";
}

struct reprise_context *reprise_socket_context(const struct reprise_socket *s) {
    struct reprise_nsp *n = reprise_socket_nsp(s);
    return n != NULL ? n->context : NULL;
}

bool reprise_socket_recovered(const struct reprise_socket *s) {
    return s != NULL && s->recovered;
}

bool reprise_socket_connected(const struct reprise_socket *s) {
    return s != NULL && s->worker != NULL && s->state == RP_WORKER_SOCKET_CONNECTED;
}

struct reprise_value reprise_socket_handshake(const struct reprise_socket *s) {
    return s != NULL ? rp_sdk_value(rp_buf_bytes(&s->handshake), rp_bytes(NULL, 0)) : absent;
}

size_t reprise_socket_rooms_count(const struct reprise_socket *s) {
    return s != NULL ? s->rooms_count : 0;
}

const char *reprise_socket_room(const struct reprise_socket *s, size_t i) {
    return s != NULL && i < s->rooms_count ? s->rooms[i]->name : NULL;
}

bool reprise_socket_in_room(const struct reprise_socket *s, const char *room) {
    return s != NULL && room != NULL && rp_worker_socket_in(s, rp_bytes_str(room));
}

struct reprise_value reprise_socket_data(const struct reprise_socket *s) {
    struct rp_bytes data = RP_BYTES_LIT("null");
    if (s != NULL && s->data.len > 0) {
        data = rp_buf_bytes(&s->data);
    }
    return rp_sdk_value(data, rp_bytes(NULL, 0));
}

enum reprise_err reprise_socket_set_user(struct reprise_socket *s, void *user,
                                         void (*destructor)(void *user)) {
    if (s == NULL) {
        return REPRISE_E_INVALID;
    }
    struct reprise_context *c = reprise_socket_context(s);
    if (c != NULL && c->parting && user != NULL) {
        return rp_sdk_fail(c, REPRISE_E_CLOSED, "the context is closing");
    }
    if (s->worker == NULL || (s->state != RP_WORKER_SOCKET_CONNECTED && user != NULL)) {
        return rp_sdk_fail(c, REPRISE_E_GONE,
                           "the socket is not connected, so nothing would destroy the pointer");
    }
    rp_sdk_change_user(s, user, destructor);
    return REPRISE_OK;
}

void *reprise_socket_user(const struct reprise_socket *s) {
    return s != NULL ? s->user : NULL;
}

struct reprise_socket *reprise_socket_ref(struct reprise_socket *s) {
    return s != NULL ? rp_worker_socket_ref(s) : NULL;
}

void reprise_socket_unref(struct reprise_socket *s) {
    rp_worker_socket_unref(s);
}

/* ---- what is done to it ---- */

static enum reprise_err explain(struct reprise_socket *s, enum reprise_err err) {
    struct reprise_context *c = reprise_socket_context(s);
    if (err == REPRISE_OK) {
        rp_sdk_touch(c);
        return err;
    }
    return rp_sdk_fail(c, err, "%s", reprise_strerror(err));
}

static enum reprise_err move(struct reprise_socket *s, const char *room, bool leave) {
    if (s == NULL || !rp_sdk_is_name(room, RP_ROOM_BYTES_MAX)) {
        return rp_sdk_fail(reprise_socket_context(s), REPRISE_E_INVALID,
                           "a room's name has 1 to %d bytes of UTF-8", RP_ROOM_BYTES_MAX);
    }
    return explain(s, rp_worker_socket_move(s, rp_bytes_str(room), leave));
}

enum reprise_err reprise_socket_join(struct reprise_socket *s, const char *room) {
    return move(s, room, false);
}

enum reprise_err reprise_socket_join_all(struct reprise_socket *s, const char *const *rooms,
                                         size_t rooms_count) {
    enum reprise_err err = rooms != NULL || rooms_count == 0 ? REPRISE_OK : REPRISE_E_INVALID;
    for (size_t i = 0; err == REPRISE_OK && i < rooms_count; i++) {
        err = move(s, rooms[i], false);
    }
    return err;
}

enum reprise_err reprise_socket_leave(struct reprise_socket *s, const char *room) {
    return move(s, room, true);
}

enum reprise_err reprise_socket_set_data(struct reprise_socket *s, struct reprise_builder *data) {
    struct reprise_value value = rp_sdk_value(RP_BYTES_LIT("null"), rp_bytes(NULL, 0));
    struct reprise_context *c = reprise_socket_context(s);
    enum reprise_err err = s != NULL ? REPRISE_OK : REPRISE_E_INVALID;
    if (err == REPRISE_OK && data != NULL) {
        err = rp_sdk_first_arg(c, data, &value);
    }
    if (err == REPRISE_OK && value.json.len > RP_SESSION_DATA_BYTES_MAX) {
        err = rp_sdk_fail(c, REPRISE_E_FULL, "the data of a socket has %zu bytes, more than %d",
                          value.json.len, RP_SESSION_DATA_BYTES_MAX);
    }
    if (err == REPRISE_OK) {
        err = explain(s, rp_worker_socket_set_data(s, rp_sdk_in(value.json)));
    }
    reprise_builder_free(data);
    return err;
}

/* What a use of the socket alone answered; without its context there is nothing to use. */
static enum reprise_err of_one(const struct reprise_socket *s, enum reprise_err err) {
    return s != NULL && s->worker == NULL ? REPRISE_E_GONE : err;
}

enum reprise_err reprise_socket_disconnect(struct reprise_socket *s, bool close) {
    return of_one(s, reprise_target_disconnect_sockets(reprise_socket_only(s), close));
}

enum reprise_err reprise_socket_emit(struct reprise_socket *s, const char *name,
                                     struct reprise_builder *args) {
    return of_one(s, reprise_target_emit(reprise_socket_only(s), name, args));
}

enum reprise_err reprise_socket_send(struct reprise_socket *s, struct reprise_builder *args) {
    return reprise_socket_emit(s, "message", args);
}
