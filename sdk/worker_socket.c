/* sdk/worker_socket.c — the sessions this worker serves: who is connected, in which rooms, with
 * what data.
 *
 * A socket whose connection is gone stays known until its session ends or goes elsewhere: what its
 * client asked before may still come. */
#include "sdk/worker_state.h"

#include "proto/attachments.h"

#include <stdlib.h>

/* ---- finding ---- */

struct reprise_socket *rp_worker_socket_find(const struct rp_worker *w, uint64_t session) {
    uint64_t hash = rp_hash_u64(session);
    for (struct rp_map_node *n = rp_map_first(&w->sockets, hash); n; n = rp_map_next(n, hash)) {
        struct reprise_socket *s = RP_CONTAINER_OF(n, struct reprise_socket, by_session);
        if (s->session == session) {
            return s;
        }
    }
    return NULL;
}

static struct reprise_socket *find_conn(const struct rp_worker *w, uint64_t conn) {
    uint64_t hash = rp_hash_u64(conn);
    for (struct rp_map_node *n = rp_map_first(&w->by_conn, hash); n; n = rp_map_next(n, hash)) {
        struct reprise_socket *s = RP_CONTAINER_OF(n, struct reprise_socket, by_conn);
        if (s->conn == conn) {
            return s;
        }
    }
    return NULL;
}

struct reprise_socket *rp_worker_socket_each(const struct rp_worker *w, struct reprise_socket *s) {
    const struct rp_list *next = s != NULL ? s->node.next : w->sockets_list.next;
    return next == NULL || next == &w->sockets_list
               ? NULL
               : RP_CONTAINER_OF(next, struct reprise_socket, node);
}

/* ---- rooms ---- */

static size_t find_room(const struct reprise_socket *s, struct rp_bytes room) {
    size_t i = 0;
    while (i < s->rooms_count &&
           !rp_bytes_eq(rp_bytes(s->rooms[i]->name, s->rooms[i]->len), room)) {
        i++;
    }
    return i;
}

bool rp_worker_socket_in(const struct reprise_socket *s, struct rp_bytes room) {
    return find_room(s, room) < s->rooms_count;
}

/* What is more than a session can be in is the broker's mistake, and left out. */
static void add_room(struct reprise_socket *s, struct rp_bytes room) {
    enum { OWN = 1 };
    if (room.len == 0 || room.len > RP_ROOM_BYTES_MAX || rp_worker_socket_in(s, room) ||
        s->rooms_count >= RP_SESSION_ROOMS_MAX + OWN) {
        return;
    }
    struct rp_worker_room *added = rp_alloc(sizeof *added + room.len + 1);
    added->len = (uint32_t) room.len;
    memcpy(added->name, room.data, room.len);
    s->rooms = rp_array_reserve(s->rooms, s->rooms_count, &s->rooms_capacity, sizeof(void *));
    s->rooms[s->rooms_count++] = added;
}

static void remove_room(struct reprise_socket *s, struct rp_bytes room) {
    size_t i = find_room(s, room);
    if (i < s->rooms_count) {
        free(s->rooms[i]);
        s->rooms[i] = s->rooms[--s->rooms_count];
    }
}

static void clear_rooms(struct reprise_socket *s) {
    while (s->rooms_count > 0) {
        free(s->rooms[--s->rooms_count]);
    }
    free(s->rooms);
    s->rooms = NULL;
    s->rooms_capacity = 0;
}

void rp_worker_socket_left_rooms(struct reprise_socket *s) {
    clear_rooms(s);
}

static void set_rooms(struct reprise_socket *s, struct rp_bytes packed) {
    struct rp_bytes room;
    clear_rooms(s);
    add_room(s, rp_bytes_str(s->sid));
    while (rp_attachments_next(&packed, &room) == RP_OK) {
        add_room(s, room);
    }
}

/* ---- references ---- */

static void set_text(struct rp_buf *b, struct rp_bytes text) {
    rp_buf_release(b);
    if (rp_buf_put(b, text) != RP_OK) {
        rp_buf_clear(b); /* longer than any message; there is none then */
    }
}

/* The broker's idea of the data; it is older than what this worker has asked for and is not
 * answered. */
static void hear_data(const struct rp_worker *w, struct reprise_socket *s, struct rp_bytes json) {
    if (rp_worker_request_find(w, s->data_num) == NULL) {
        set_text(&s->data, json);
    }
}

struct reprise_socket *rp_worker_socket_ref(struct reprise_socket *s) {
    s->refs++;
    return s;
}

void rp_worker_socket_unref(struct reprise_socket *s) {
    if (s == NULL || --s->refs > 0) {
        return;
    }
    rp_list_remove(&s->node);
    clear_rooms(s);
    rp_buf_done(&s->handshake);
    rp_buf_done(&s->data);
    free(s);
}

static struct reprise_socket *socket_new(struct rp_worker *w, const struct rp_op_socket *op,
                                         struct rp_worker_served *served) {
    struct reprise_socket *s = rp_alloc(sizeof *s + op->nsp.len + op->sid.len + 2);
    s->worker = w;
    s->served = served;
    s->session = op->session;
    s->conn = op->conn;
    s->refs = 1;
    s->state = RP_WORKER_SOCKET_AWAY;
    s->sid = s->nsp + op->nsp.len + 1;
    memcpy(s->nsp, op->nsp.data, op->nsp.len);
    memcpy(s->sid, op->sid.data, op->sid.len);
    rp_buf_init(&s->handshake, RP_LINK_MESSAGE_BYTES_MAX);
    rp_buf_init(&s->data, RP_LINK_MESSAGE_BYTES_MAX);
    rp_map_add(&w->sockets, &s->by_session, rp_hash_u64(s->session));
    rp_map_add(&w->by_conn, &s->by_conn, rp_hash_u64(s->conn));
    rp_list_append(&w->sockets_list, &s->node);
    return s;
}

/* It is not this worker's any more. Gives back the worker's reference; whoever has others keeps it
 * in the list of those that are gone. */
static void drop(struct rp_worker *w, struct reprise_socket *s) {
    rp_map_remove(&w->sockets, &s->by_session);
    rp_map_remove(&w->by_conn, &s->by_conn);
    rp_list_remove(&s->node);
    rp_list_append(&w->gone, &s->node);
    s->state = RP_WORKER_SOCKET_GONE;
    rp_worker_socket_unref(s);
}

/* ---- coming ---- */

static void connect(struct rp_worker *w, struct reprise_socket *s, const struct rp_op_socket *op) {
    rp_map_remove(&w->by_conn, &s->by_conn);
    s->conn = op->conn;
    rp_map_add(&w->by_conn, &s->by_conn, rp_hash_u64(s->conn));
    s->state = RP_WORKER_SOCKET_CONNECTED;
    s->recovered = op->why == RP_OP_SOCKET_RECOVERED;
    s->adopted = op->why == RP_OP_SOCKET_ADOPTED || op->why == RP_OP_SOCKET_SYNCED;
}

/* A socket that this worker has already, connected or away. */
static bool known_socket(struct rp_worker *w, struct reprise_socket *s,
                         const struct rp_op_socket *op, struct rp_worker_happening *ret) {
    if (op->conn < s->conn) {
        return false; /* older than what is known */
    }
    if (s->state == RP_WORKER_SOCKET_CONNECTED && op->conn != s->conn) {
        /* the end of the old connection comes first, then this once more */
        s->state = RP_WORKER_SOCKET_AWAY;
        w->again = true;
        *ret = (struct rp_worker_happening){
            .kind = RP_WORKER_LEFT, .socket = s, .text = RP_BYTES_LIT("transport close")};
        return true;
    }
    bool comes = s->state == RP_WORKER_SOCKET_AWAY;
    set_rooms(s, op->rooms);
    hear_data(w, s, op->data);
    if (op->handshake.len > 0) {
        set_text(&s->handshake, op->handshake);
    }
    if (!comes) {
        return false;
    }
    uint64_t why = op->why;
    if (op->conn != s->conn && why == RP_OP_SOCKET_SYNCED) {
        why = RP_OP_SOCKET_RECOVERED; /* while the link was away */
    }
    struct rp_op_socket as = *op;
    as.why = why;
    connect(w, s, &as);
    *ret = (struct rp_worker_happening){.kind = RP_WORKER_SOCKET, .socket = s, .why = why};
    return true;
}

bool rp_worker_got_socket(struct rp_worker *w, const struct rp_op_socket *op,
                          struct rp_worker_happening *ret) {
    struct rp_worker_served *served = rp_worker_served_for(w, op->nsp);
    struct reprise_socket *s = rp_worker_socket_find(w, op->session);
    if (served == NULL || w->leaving) {
        return false;
    }
    if (s != NULL) {
        return known_socket(w, s, op, ret);
    }
    s = socket_new(w, op, served);
    set_rooms(s, op->rooms);
    set_text(&s->data, op->data);
    set_text(&s->handshake, op->handshake);
    connect(w, s, op);
    *ret = (struct rp_worker_happening){.kind = RP_WORKER_SOCKET,
                                        .socket = s,
                                        .why = op->why == RP_OP_SOCKET_SYNCED ? RP_OP_SOCKET_ADOPTED
                                                                              : op->why};
    return true;
}

/* ---- going ---- */

/* The happening of a socket that is dropped with it: the caller's reference comes from there, so
 * the worker's goes only afterwards. */
static bool left(struct rp_worker *w, struct reprise_socket *s, struct rp_bytes reason, bool ended,
                 struct rp_worker_happening *ret) {
    bool was_connected = s->state == RP_WORKER_SOCKET_CONNECTED;
    s->state = RP_WORKER_SOCKET_AWAY;
    if (was_connected) {
        *ret = (struct rp_worker_happening){
            .kind = RP_WORKER_LEFT,
            .socket = s,
            .text = reason.len > 0 ? reason : RP_BYTES_LIT("transport close")};
    }
    if (ended) {
        w->current_socket = rp_worker_socket_ref(s); /* until rp_worker_next is called again */
        drop(w, s);
    }
    return was_connected;
}

bool rp_worker_got_left(struct rp_worker *w, const struct rp_op_left *op,
                        struct rp_worker_happening *ret) {
    struct reprise_socket *s = rp_worker_socket_find(w, op->session);
    bool ended = op->ended || op->expired;
    if (ended) {
        rp_worker_wait_session_ended(w, op->session);
    }
    if (s != NULL && !ended && op->conn < s->conn) {
        return false; /* an older connection's */
    }
    if (s != NULL) {
        hear_data(w, s, op->data);
    }
    if (s != NULL && s->state == RP_WORKER_SOCKET_CONNECTED) {
        /* what expired is told next */
        w->again = op->expired != 0;
        return left(w, s, op->reason, ended, ret);
    }
    if (s != NULL && ended) {
        drop(w, s);
    }
    if (!op->expired) {
        return false;
    }
    *ret = (struct rp_worker_happening){.kind = RP_WORKER_EXPIRED,
                                        .served = rp_worker_served_for(w, op->nsp),
                                        .nsp = op->nsp,
                                        .sid = op->sid,
                                        .text = op->data};
    return ret->served != NULL;
}

bool rp_worker_got_release(struct rp_worker *w, uint64_t session, struct rp_worker_happening *ret) {
    struct reprise_socket *s = rp_worker_socket_find(w, session);
    if (s == NULL) {
        return false;
    }
    bool was_connected = s->state == RP_WORKER_SOCKET_CONNECTED;
    if (was_connected) {
        *ret = (struct rp_worker_happening){.kind = RP_WORKER_RELEASED, .socket = s};
        w->current_socket = rp_worker_socket_ref(s);
    }
    drop(w, s);
    return was_connected;
}

bool rp_worker_got_verdict(struct rp_worker *w, const struct rp_op_verdict *op,
                           struct rp_worker_happening *ret) {
    struct reprise_socket *s = find_conn(w, op->conn);
    if (s == NULL || op->verdict == RP_OP_KEPT) {
        return false;
    }
    if (op->verdict == RP_OP_SUPERSEDED) { /* another worker has it: the client may well be there */
        return rp_worker_got_release(w, s->session, ret);
    }
    rp_worker_wait_session_elsewhere(w, s->session); /* or it has ended */
    if (s->state == RP_WORKER_SOCKET_CONNECTED) {
        return left(w, s, rp_bytes(NULL, 0), true, ret);
    }
    drop(w, s);
    return false;
}

void rp_worker_doom_sockets(struct rp_worker *w) {
    struct reprise_socket *s;
    while ((s = rp_worker_socket_each(w, NULL)) != NULL) {
        if (s->state == RP_WORKER_SOCKET_CONNECTED) {
            rp_worker_socket_ref(s);
            drop(w, s);
            rp_list_remove(&s->node);
            rp_list_append(&w->doomed, &s->node);
        } else {
            drop(w, s);
        }
    }
}

bool rp_worker_next_doomed(struct rp_worker *w, struct rp_worker_happening *ret) {
    struct rp_list *first = rp_list_first(&w->doomed);
    if (first == NULL) {
        return false;
    }
    struct reprise_socket *s = RP_CONTAINER_OF(first, struct reprise_socket, node);
    rp_list_remove(first);
    rp_list_append(&w->gone, first);
    w->current_socket = s; /* with the list's reference */
    *ret = (struct rp_worker_happening){
        .kind = RP_WORKER_LEFT, .socket = s, .text = RP_BYTES_LIT("transport close")};
    return true;
}

void rp_worker_sockets_done(struct rp_worker *w) {
    struct reprise_socket *s;
    struct rp_list *first;
    while ((first = rp_list_first(&w->doomed)) != NULL) {
        rp_list_remove(first);
        rp_worker_socket_unref(RP_CONTAINER_OF(first, struct reprise_socket, node));
    }
    while ((s = rp_worker_socket_each(w, NULL)) != NULL) {
        drop(w, s);
    }
    while ((first = rp_list_first(&w->gone)) != NULL) { /* somebody else has them */
        s = RP_CONTAINER_OF(first, struct reprise_socket, node);
        rp_list_remove(first);
        s->worker = NULL;
        s->served = NULL;
    }
    rp_map_done(&w->sockets);
    rp_map_done(&w->by_conn);
}

void rp_worker_list_sockets(struct rp_worker *w, uint64_t *ret_count) {
    uint64_t count = 0;
    for (struct reprise_socket *s = NULL; (s = rp_worker_socket_each(w, s)) != NULL; count++) {
        struct rp_op op = {
            .kind = RP_OP_SESSION,
            .session = {.session = s->session,
                        .conn = s->conn,
                        .pos = w->now_ms - w->heard_ms,
                        .catching = s->adopted ? RP_OP_CATCHING_MISSED : RP_OP_CATCHING_NOT}};
        rp_link_put(&w->link, &op);
    }
    *ret_count = count;
}

/* ---- changes ---- */

void rp_worker_got_member(struct rp_worker *w, const struct rp_op_member *op) {
    rp_worker_raise_seen(w, op->seq);
    struct reprise_socket *s = find_conn(w, op->conn);
    if (s != NULL && op->joined) {
        add_room(s, op->room);
    } else if (s != NULL) {
        remove_room(s, op->room);
    }
}

void rp_worker_data_done(struct rp_worker *w, const struct rp_op_data *op) {
    struct reprise_socket *s = rp_worker_socket_find(w, op->session);
    if (s != NULL && s->data_num != op->num) {
        hear_data(w, s, op->json);
    }
}

void rp_worker_unmove(struct rp_worker *w, const struct rp_op_move *op, uint64_t session) {
    struct reprise_socket *s = rp_worker_socket_find(w, session);
    if (s != NULL && op->leave) {
        add_room(s, op->target);
    } else if (s != NULL) {
        remove_room(s, op->target);
    }
}

enum reprise_err rp_worker_socket_move(struct reprise_socket *s, struct rp_bytes room, bool leave) {
    if (s->worker == NULL || s->state == RP_WORKER_SOCKET_GONE) {
        return REPRISE_E_GONE;
    }
    if (leave && rp_bytes_eq_str(room, s->sid)) {
        return REPRISE_E_INVALID; /* what is sent to it would go nowhere */
    }
    struct rp_op op = {.kind = RP_OP_MOVE,
                       .move = {.leave = leave,
                                .nsp = rp_bytes_str(s->nsp),
                                .room = rp_bytes_str(s->sid),
                                .target = room}};
    struct rp_worker_ask ask = {.session = rp_worker_socket_in(s, room) == leave ? s->session : 0};
    enum reprise_err err = rp_worker_ask(s->worker, &op, &ask);
    if (err == REPRISE_OK && leave) {
        remove_room(s, room);
    } else if (err == REPRISE_OK) {
        add_room(s, room);
    }
    return err;
}

enum reprise_err rp_worker_socket_set_data(struct reprise_socket *s, struct rp_bytes json) {
    if (s->worker == NULL || s->state == RP_WORKER_SOCKET_GONE) {
        return REPRISE_E_GONE;
    }
    struct rp_op op = {.kind = RP_OP_DATA, .data = {.session = s->session, .json = json}};
    struct rp_worker_ask ask = {.session = s->session};
    enum reprise_err err = rp_worker_ask(s->worker, &op, &ask);
    if (err == REPRISE_OK) {
        set_text(&s->data, json);
        s->data_num = op.data.num;
    }
    return err;
}
