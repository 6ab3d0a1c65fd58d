#include "broker/memory_store.h"

#include "common/alloc.h"
#include "proto/attachments.h"

#include <stdlib.h>

struct rp_memory_store *rp_memory_store_new(const char *epoch) {
    struct rp_memory_store *store = RP_NEW(struct rp_memory_store);
    memcpy(store->epoch, epoch, RP_EPOCH_LEN);
    store->next_seq = store->first_seq = 1;
    return store;
}

void rp_memory_store_forget_sessions(struct rp_memory_store *store) {
    for (size_t i = 0; i < store->sessions_count; i++) {
        rp_record_unref(store->sessions[i].open);
        rp_record_unref(store->sessions[i].data);
    }
    for (size_t i = 0; i < store->members_count; i++) {
        rp_record_unref(store->members[i].join);
    }
    store->sessions_count = store->members_count = store->unacked_count = 0;
}

struct rp_memory_store *rp_memory_store_free(struct rp_memory_store *store) {
    rp_memory_store_forget_sessions(store);
    for (size_t i = 0; i < store->log_count; i++) {
        rp_record_unref(store->log[i]);
    }
    for (size_t i = 0; i < store->namespaces_count; i++) {
        rp_record_unref(store->namespaces[i]);
    }
    for (size_t i = 0; i < store->trimmed_count; i++) {
        rp_record_unref(store->trimmed[i].last);
    }
    free(store->sessions);
    free(store->members);
    free(store->unacked);
    free(store->namespaces);
    free(store->log);
    free(store->trimmed);
    free(store);
    return NULL;
}

/* ---- a copy of the disk ---- */

static void *copy_array(const void *from, size_t count, size_t size, size_t *ret_capacity) {
    *ret_capacity = count;
    if (count == 0) {
        return NULL;
    }
    void *to = rp_alloc(count * size);
    memcpy(to, from, count * size);
    return to;
}

struct rp_memory_store *rp_memory_store_copy(const struct rp_memory_store *store) {
    struct rp_memory_store *c = RP_NEW(struct rp_memory_store);
    *c = *store;
#define COPY(array)                                                                                \
    c->array =                                                                                     \
        copy_array(store->array, store->array##_count, sizeof *store->array, &c->array##_capacity)
    COPY(log);
    COPY(sessions);
    COPY(members);
    COPY(unacked);
    COPY(namespaces);
    COPY(trimmed);
#undef COPY
    for (size_t i = 0; i < c->log_count; i++) {
        rp_record_ref(c->log[i]);
    }
    for (size_t i = 0; i < c->sessions_count; i++) {
        rp_record_ref(c->sessions[i].open);
        if (c->sessions[i].data != NULL) {
            rp_record_ref(c->sessions[i].data);
        }
    }
    for (size_t i = 0; i < c->members_count; i++) {
        rp_record_ref(c->members[i].join);
    }
    for (size_t i = 0; i < c->namespaces_count; i++) {
        rp_record_ref(c->namespaces[i]);
    }
    for (size_t i = 0; i < c->trimmed_count; i++) {
        rp_record_ref(c->trimmed[i].last);
    }
    return c;
}

void rp_memory_store_renew(struct rp_memory_store *store, const char *epoch) {
    memcpy(store->epoch, epoch, RP_EPOCH_LEN);
    rp_memory_store_forget_sessions(store);
}

struct rp_record *const *rp_memory_store_log(const struct rp_memory_store *store,
                                             size_t *ret_count) {
    *ret_count = store->log_count;
    return store->log;
}

/* ---- selectors ---- */

static bool is_in_list(struct rp_bytes list, struct rp_bytes room) {
    struct rp_bytes name;
    while (rp_attachments_next(&list, &name) == RP_OK) {
        if (rp_bytes_eq(name, room)) {
            return true;
        }
    }
    return false;
}

bool rp_memory_is_target(const struct rp_record *event, struct rp_bytes room) {
    return rp_bytes_eq(event->f.room, room) || is_in_list(event->f.rooms, room);
}

static struct rp_memory_session *session_of(struct rp_memory_store *store, uint64_t id) {
    for (size_t i = store->sessions_count; i-- > 0;) {
        if (store->sessions[i].id == id && !store->sessions[i].ended) {
            return &store->sessions[i];
        }
    }
    return NULL;
}

static struct rp_memory_member *open_member(struct rp_memory_store *store, uint64_t session,
                                            struct rp_bytes room) {
    for (size_t i = store->members_count; i-- > 0;) {
        struct rp_memory_member *m = &store->members[i];
        if (m->session == session && m->to_seq == 0 && rp_bytes_eq(m->room, room)) {
            return m;
        }
    }
    return NULL;
}

static bool selects(const struct rp_memory_store *store, const struct rp_record *r,
                    const struct rp_memory_session *s) {
    bool in = false;
    if (s->ended || !rp_bytes_eq(s->open->f.nsp, r->f.nsp)) {
        return false;
    }
    for (size_t i = 0; i < store->members_count; i++) {
        const struct rp_memory_member *m = &store->members[i];
        if (m->session != s->id || m->to_seq != 0) {
            continue;
        }
        if (is_in_list(r->f.except, m->room)) {
            return false;
        }
        in = in || rp_memory_is_target(r, m->room);
    }
    return in;
}

/* ---- projections, as record.h specifies them ---- */

/* Removes the session's memberships that ended at or before `until`, and open ones too if `all`. */
static void remove_members(struct rp_memory_store *store, uint64_t session, uint64_t until,
                           bool all) {
    size_t kept = 0;
    for (size_t i = 0; i < store->members_count; i++) {
        struct rp_memory_member m = store->members[i];
        bool over = m.to_seq > 0 && m.to_seq <= until;
        if (m.session == session && (all || over)) {
            rp_record_unref(m.join);
        } else {
            store->members[kept++] = m;
        }
    }
    store->members_count = kept;
}

/* Removes what the session owes; seq: for this event alone, 0: for all. */
static void remove_unacked(struct rp_memory_store *store, uint64_t session, uint64_t seq) {
    size_t kept = 0;
    for (size_t i = 0; i < store->unacked_count; i++) {
        struct rp_engine_unacked u = store->unacked[i];
        if (u.session != session || (seq > 0 && u.seq != seq)) {
            store->unacked[kept++] = u;
        }
    }
    store->unacked_count = kept;
}

/* room is one of r's texts. */
static void join(struct rp_memory_store *store, uint64_t session, struct rp_bytes room,
                 struct rp_record *r) {
    if (open_member(store, session, room) == NULL) {
        store->members = rp_array_reserve(store->members, store->members_count,
                                          &store->members_capacity, sizeof(*store->members));
        store->members[store->members_count++] = (struct rp_memory_member){
            .session = session, .from_seq = r->seq, .join = rp_record_ref(r), .room = room};
    }
}

static void leave(struct rp_memory_store *store, uint64_t session, struct rp_bytes room,
                  const struct rp_record *r) {
    struct rp_memory_member *m = open_member(store, session, room);
    if (m != NULL) {
        m->to_seq = r->seq;
    }
}

static void end(struct rp_memory_store *store, struct rp_memory_session *s) {
    s->ended = true;
    remove_members(store, s->id, 0, true);
    remove_unacked(store, s->id, 0);
}

static void owe(struct rp_memory_store *store, uint64_t session, const struct rp_record *r) {
    store->unacked = rp_array_reserve(store->unacked, store->unacked_count,
                                      &store->unacked_capacity, sizeof(*store->unacked));
    store->unacked[store->unacked_count++] = (struct rp_engine_unacked){
        .session = session, .seq = r->seq, .origin = r->f.origin, .num = r->f.num};
}

static void project_open(struct rp_memory_store *store, struct rp_record *r) {
    store->sessions = rp_array_reserve(store->sessions, store->sessions_count,
                                       &store->sessions_capacity, sizeof(*store->sessions));
    store->sessions[store->sessions_count++] = (struct rp_memory_session){
        .id = r->seq, .conn = r->seq, .gateway = r->f.origin, .open = rp_record_ref(r)};
    if (r->f.flags & RP_RECORD_APP) {
        join(store, r->seq, rp_bytes(r->data, 0), r);
        join(store, r->seq, r->f.sid, r);
    }
}

static void project_leave(struct rp_memory_store *store, struct rp_memory_session *s,
                          const struct rp_record *r) {
    if (r->f.room.len > 0) {
        leave(store, s->id, r->f.room, r);
    }
    if (r->f.aux > 0) {
        remove_members(store, s->id, r->f.aux, false);
        s->floor_seq = s->floor_seq > r->f.aux ? s->floor_seq : r->f.aux;
    }
}

/* 0 would mean connected. */
static uint64_t closed_ts_ms(const struct rp_record *r) {
    return r->f.ts_ms > 0 ? r->f.ts_ms : 1;
}

static void project_gone(struct rp_memory_store *store, const struct rp_record *r) {
    for (size_t i = 0; i < store->sessions_count; i++) {
        if (store->sessions[i].gateway == r->f.aux) {
            store->sessions[i].gateway = 0;
            store->sessions[i].closed_ts_ms = closed_ts_ms(r);
        }
    }
}

/* EVENT that wants acks, MOVE, KICK. What is done to one session selects no other. */
static void project_selected(struct rp_memory_store *store, struct rp_record *r) {
    for (size_t i = 0; i < store->sessions_count; i++) {
        struct rp_memory_session *s = &store->sessions[i];
        if (!selects(store, r, s)) {
            continue;
        }
        if (r->f.kind == RP_RECORD_EVENT) {
            owe(store, s->id, r);
        } else if (r->f.kind == RP_RECORD_KICK) {
            end(store, s);
        } else if (r->f.flags & RP_RECORD_LEAVE_ROOM) {
            leave(store, s->id, r->f.name, r);
        } else {
            join(store, s->id, r->f.name, r);
        }
    }
}

static void project_serve(struct rp_memory_store *store, struct rp_record *r) {
    size_t kept = 0;
    for (size_t i = 0; i < store->namespaces_count; i++) {
        struct rp_record *serve = store->namespaces[i];
        if (rp_bytes_eq(serve->f.nsp, r->f.nsp)) {
            rp_record_unref(serve);
        } else {
            store->namespaces[kept++] = serve;
        }
    }
    store->namespaces_count = kept;
    if (!(r->f.flags & RP_RECORD_RELEASED)) {
        store->namespaces = rp_array_reserve(store->namespaces, kept, &store->namespaces_capacity,
                                             sizeof(*store->namespaces));
        store->namespaces[store->namespaces_count++] = rp_record_ref(r);
    }
}

/* The kinds that change the session s. */
static void project_session(struct rp_memory_store *store, struct rp_memory_session *s,
                            struct rp_record *r) {
    if (r->f.kind == RP_RECORD_RESUME) {
        s->conn = r->seq;
        s->gateway = r->f.origin;
        s->closed_ts_ms = 0;
    } else if (r->f.kind == RP_RECORD_CLOSE && s->conn == r->f.conn && s->closed_ts_ms == 0) {
        s->gateway = 0;
        s->closed_ts_ms = closed_ts_ms(r);
    } else if (r->f.kind == RP_RECORD_END) {
        end(store, s);
    } else if (r->f.kind == RP_RECORD_JOIN) {
        join(store, s->id, r->f.room, r);
    } else if (r->f.kind == RP_RECORD_LEAVE) {
        project_leave(store, s, r);
    } else if (r->f.kind == RP_RECORD_ACK && r->f.aux > 0) {
        remove_unacked(store, s->id, r->f.aux);
    } else if (r->f.kind == RP_RECORD_DATA) {
        rp_record_unref(s->data);
        s->data = rp_record_ref(r);
    }
}

void rp_memory_store_project(struct rp_memory_store *store, struct rp_record *r) {
    bool owed = r->f.kind == RP_RECORD_EVENT && r->f.flags & RP_RECORD_WANTS_ACK;
    struct rp_memory_session *s = r->f.session > 0 ? session_of(store, r->f.session) : NULL;
    if (r->f.kind == RP_RECORD_OPEN) {
        project_open(store, r);
    } else if (r->f.kind == RP_RECORD_GONE) {
        project_gone(store, r);
    } else if (r->f.kind == RP_RECORD_SERVE) {
        project_serve(store, r);
    } else if (owed || r->f.kind == RP_RECORD_MOVE || r->f.kind == RP_RECORD_KICK) {
        project_selected(store, r);
    } else if (s != NULL) {
        project_session(store, s, r);
    }
}
