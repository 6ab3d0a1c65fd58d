#include "broker/session.h"

#include "common/alloc.h"

#include <stdlib.h>

void rp_sessions_init(struct rp_sessions *sessions, struct rp_rooms *rooms) {
    *sessions = (struct rp_sessions){.rooms = rooms};
    rp_list_init(&sessions->closed);
}

void rp_sessions_done(struct rp_sessions *sessions) {
    struct rp_map_iter it = {0};
    for (struct rp_map_node *n; (n = rp_map_each(&sessions->by_id, &it)) != NULL;) {
        struct rp_session *s = RP_CONTAINER_OF(n, struct rp_session, by_id);
        rp_list_remove(&s->peer_node);
        s->peer = NULL;
        s->cursor = NULL;
        rp_sessions_remove(sessions, s);
    }
    rp_map_done(&sessions->by_id);
    rp_map_done(&sessions->by_pid);
}

static uint64_t pid_key(struct rp_bytes pid_hash) {
    uint64_t key;
    RP_ASSERT(pid_hash.len == RP_PID_HASH_LEN);
    memcpy(&key, pid_hash.data, sizeof key); /* a hash already */
    return key;
}

struct rp_session *rp_sessions_add(struct rp_sessions *sessions, uint64_t id, struct rp_bytes nsp,
                                   struct rp_bytes sid, struct rp_bytes pid_hash) {
    RP_ASSERT(sid.len <= RP_SID_BYTES_MAX && nsp.len <= UINT8_MAX);
    struct rp_session *s = rp_alloc(sizeof(*s) + nsp.len);
    s->id = s->conn = id;
    s->sid_len = (uint8_t) sid.len;
    memcpy(s->sid, sid.data, sid.len);
    s->nsp_len = (uint8_t) nsp.len;
    memcpy(s->nsp, nsp.data, nsp.len);
    memcpy(s->pid_hash, pid_hash.data, RP_PID_HASH_LEN);
    rp_map_add(&sessions->by_id, &s->by_id, rp_hash_u64(id));
    rp_map_add(&sessions->by_pid, &s->by_pid, pid_key(pid_hash));
    return s;
}

static void free_interval(struct rp_sessions *sessions, struct rp_interval *interval) {
    struct rp_room *room = interval->room;
    if (rp_list_is_linked(&interval->room_node)) {
        rp_list_remove(&interval->room_node);
        room->members_count--;
    }
    room->intervals_count--;
    sessions->intervals_count--;
    rp_rooms_release(sessions->rooms, room);
    free(interval);
}

static void free_app(struct rp_app *app) {
    if (app != NULL) {
        RP_ASSERT(rp_list_is_empty(&app->tasks));
        rp_list_remove(&app->serving_node);
        rp_blob_unref(app->handshake);
        rp_blob_unref(app->data);
        free(app->owed);
        free(app);
    }
}

void rp_sessions_remove(struct rp_sessions *sessions, struct rp_session *s) {
    RP_ASSERT(s->peer == NULL && s->cursor == NULL);
    for (struct rp_interval *i = s->open, *next; i != NULL; i = next) {
        next = i->next;
        free_interval(sessions, i);
    }
    for (struct rp_interval *i = s->closed, *next; i != NULL; i = next) {
        next = i->next;
        free_interval(sessions, i);
    }
    rp_list_remove(&s->closed_node);
    rp_map_remove(&sessions->by_id, &s->by_id);
    rp_map_remove(&sessions->by_pid, &s->by_pid);
    free_app(s->app);
    free(s);
}

struct rp_session *rp_sessions_find(const struct rp_sessions *sessions, uint64_t id) {
    uint64_t hash = rp_hash_u64(id);
    for (struct rp_map_node *n = rp_map_first(&sessions->by_id, hash); n;
         n = rp_map_next(n, hash)) {
        struct rp_session *s = RP_CONTAINER_OF(n, struct rp_session, by_id);
        if (s->id == id) {
            return s;
        }
    }
    return NULL;
}

struct rp_session *rp_sessions_find_pid(const struct rp_sessions *sessions,
                                        struct rp_bytes pid_hash) {
    uint64_t hash = pid_key(pid_hash);
    for (struct rp_map_node *n = rp_map_first(&sessions->by_pid, hash); n;
         n = rp_map_next(n, hash)) {
        struct rp_session *s = RP_CONTAINER_OF(n, struct rp_session, by_pid);
        if (memcmp(s->pid_hash, pid_hash.data, RP_PID_HASH_LEN) == 0) {
            return s;
        }
    }
    return NULL;
}

struct rp_interval *rp_session_membership(const struct rp_session *s, const struct rp_room *room) {
    struct rp_interval *i = s->open;
    while (i != NULL && i->room != room) {
        i = i->next;
    }
    return i;
}

const struct rp_interval *rp_session_membership_at(const struct rp_session *s,
                                                   const struct rp_room *room, uint64_t seq) {
    for (const struct rp_interval *i = s->open; i != NULL; i = i->next) {
        if (i->room == room && i->from_seq <= seq) {
            return i;
        }
    }
    for (const struct rp_interval *i = s->closed; i != NULL; i = i->next) {
        if (i->room == room && i->from_seq <= seq && i->to_seq >= seq) {
            return i;
        }
    }
    return NULL;
}

struct rp_interval *rp_session_join(struct rp_sessions *sessions, struct rp_session *s,
                                    struct rp_room *room, uint64_t from_seq, uint64_t ts_ms) {
    struct rp_interval *i = RP_NEW(struct rp_interval);
    *i = (struct rp_interval){
        .next = s->open, .session = s, .room = room, .from_seq = from_seq, .ts_ms = ts_ms};
    s->open = i;
    s->open_count++;
    rp_list_append(&room->members, &i->room_node);
    room->members_count++;
    room->intervals_count++;
    sessions->intervals_count++;
    return i;
}

void rp_session_leave(struct rp_session *s, struct rp_interval *interval, uint64_t to_seq) {
    struct rp_interval **link = &s->open;
    while (*link != interval) {
        RP_ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = interval->next;
    s->open_count--;
    rp_list_remove(&interval->room_node);
    interval->room->members_count--;
    interval->to_seq = to_seq;
    interval->next = s->closed; /* newest first */
    s->closed = interval;
    s->closed_count++;
}

void rp_session_forget(struct rp_sessions *sessions, struct rp_session *s, uint64_t floor_seq) {
    for (struct rp_interval **link = &s->closed; *link != NULL;) {
        struct rp_interval *i = *link;
        if (i->to_seq <= floor_seq) {
            *link = i->next;
            s->closed_count--;
            free_interval(sessions, i);
        } else {
            link = &i->next;
        }
    }
    s->floor_seq = s->floor_seq > floor_seq ? s->floor_seq : floor_seq;
}

uint64_t rp_session_forget_before(const struct rp_session *s, size_t max) {
    if (s->closed_count < max) {
        return 0;
    }
    const struct rp_interval *i = s->closed;
    for (uint32_t n = 0; n < s->closed_count / 2; n++) {
        i = i->next;
    }
    return i->to_seq;
}

/* ---- sessions of app namespaces ---- */

void rp_session_make_app(struct rp_session *s) {
    RP_ASSERT(s->app == NULL);
    s->app = RP_NEW(struct rp_app);
    s->app->session = s;
    rp_list_init(&s->app->tasks);
}

static void set_blob(struct rp_blob **blob, struct rp_bytes bytes) {
    rp_blob_unref(*blob);
    *blob = rp_blob_new(bytes.len);
    memcpy((*blob)->data, bytes.data, bytes.len);
}

void rp_session_set_handshake(struct rp_session *s, struct rp_bytes json) {
    if (s->app != NULL && json.len > 0) {
        set_blob(&s->app->handshake, json);
    }
}

void rp_session_drop_handshake(struct rp_session *s) {
    if (s->app != NULL) {
        s->app->handshake = rp_blob_unref(s->app->handshake);
    }
}

void rp_session_set_data(struct rp_session *s, struct rp_bytes json) {
    if (s->app != NULL && json.len > 0) {
        set_blob(&s->app->data, json);
    }
}

size_t rp_session_owed_after(const struct rp_session *s, uint64_t after) {
    size_t low = 0, high = s->app->owed_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->app->owed[middle].seq > after) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

const struct rp_owed *rp_session_owes(const struct rp_session *s, uint64_t seq) {
    if (s->app == NULL || s->app->owed_count == 0 || seq == 0) {
        return NULL;
    }
    size_t at = rp_session_owed_after(s, seq - 1);
    return at < s->app->owed_count && s->app->owed[at].seq == seq ? &s->app->owed[at] : NULL;
}

void rp_session_paying(struct rp_session *s, uint64_t seq, bool paying) {
    const struct rp_owed *owed = rp_session_owes(s, seq);
    if (owed != NULL) {
        s->app->owed[owed - s->app->owed].paying = paying;
    }
}

void rp_session_pay(struct rp_session *s, uint64_t seq) {
    const struct rp_owed *owed = rp_session_owes(s, seq);
    if (owed != NULL) {
        size_t at = (size_t) (owed - s->app->owed);
        s->app->owed_count--;
        memmove(s->app->owed + at, s->app->owed + at + 1,
                (s->app->owed_count - at) * sizeof(*owed));
    }
}

bool rp_session_owe(struct rp_session *s, const struct rp_owed *owed) {
    struct rp_app *app = s->app;
    RP_ASSERT(app->owed_count == 0 || app->owed[app->owed_count - 1].seq < owed->seq);
    bool all = app->owed_count < RP_SESSION_UNACKED_MAX;
    if (!all) { /* it will not be replayed, so nothing from before it can be served exactly */
        s->floor_seq = s->floor_seq > app->owed[0].seq ? s->floor_seq : app->owed[0].seq;
        rp_session_pay(s, app->owed[0].seq);
    }
    size_t capacity = app->owed_capacity;
    app->owed = rp_array_reserve(app->owed, app->owed_count, &capacity, sizeof(*owed));
    app->owed_capacity = (uint32_t) capacity;
    app->owed[app->owed_count++] = *owed;
    return all;
}
