/* broker/worker.c — app workers: what they serve, and which sockets are whose.
 *
 * A session of an app namespace is served by one worker at a time. It keeps its worker while it is
 * away and when the worker's link is lost for a moment; it gets another when the worker does not
 * come back, says goodbye, or has more than its share and nothing of the session's in hand. What a
 * worker should know of its sockets is state, not log: while its link is up it is told of every
 * change as it happens, and when it comes back it lists what it has and is told the difference. */
#include "broker/state.h"

#include "common/alloc.h"
#include "proto/attachments.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what a worker is told ---- */

static struct rp_bytes blob_or(const struct rp_blob *blob, struct rp_bytes otherwise) {
    return blob != NULL ? rp_blob_bytes(blob) : otherwise;
}

/* The session's rooms, packed into core->scratch; not the whole namespace. */
static struct rp_bytes pack_rooms(struct rp_core *core, const struct rp_session *session) {
    rp_buf_clear(&core->scratch);
    size_t left = RP_SOCKET_ROOMS_MAX;
    for (const struct rp_interval *i = session->open; i != NULL && left > 0; i = i->next, left--) {
        if (i->room->name.len > 0) {
            enum rp_err err = rp_attachments_put(&core->scratch, i->room->name);
            RP_ASSERT(err == RP_OK);
        }
    }
    return rp_buf_bytes(&core->scratch);
}

static struct rp_peer *worker_of(const struct rp_session *session) {
    return session->app != NULL && session->app->serving != NULL ? session->app->serving->peer
                                                                 : NULL;
}

static void tell_socket(struct rp_core *core, const struct rp_session *session,
                        enum rp_op_socket_why why) {
    bool brief = why == RP_OP_SOCKET_SYNCED;
    struct rp_op op = {
        .kind = RP_OP_SOCKET,
        .socket = {.session = session->id,
                   .conn = session->conn,
                   .why = why,
                   .nsp = rp_session_nsp(session),
                   .sid = rp_session_sid(session),
                   .handshake = brief ? rp_bytes(NULL, 0)
                                      : blob_or(session->app->handshake, RP_BYTES_LIT("{}")),
                   .data = blob_or(session->app->data, rp_bytes(NULL, 0)),
                   .rooms = pack_rooms(core, session)}};
    rp_core_post(core, worker_of(session), &op);
}

static void tell_left(struct rp_core *core, const struct rp_session *session, bool ended,
                      struct rp_bytes reason) {
    struct rp_op op = {.kind = RP_OP_LEFT,
                       .left = {.session = session->id,
                                .conn = session->conn,
                                .ended = ended,
                                .expired = rp_bytes_eq_str(reason, RP_REASON_EXPIRED),
                                .nsp = rp_session_nsp(session),
                                .sid = rp_session_sid(session),
                                .reason = reason,
                                .data = blob_or(session->app->data, rp_bytes(NULL, 0))}};
    rp_core_post(core, worker_of(session), &op);
}

void rp_core_socket_member(struct rp_core *core, const struct rp_session *session, uint64_t seq,
                           bool joined, struct rp_bytes room) {
    struct rp_peer *worker = worker_of(session);
    if (worker != NULL && session->peer != NULL) {
        struct rp_op op = {
            .kind = RP_OP_MEMBER,
            .member = {.seq = seq, .conn = session->conn, .joined = joined, .room = room}};
        rp_core_post(core, worker, &op);
    }
}

void rp_core_socket_data(struct rp_core *core, const struct rp_session *session, uint64_t by) {
    const struct rp_peer *worker = worker_of(session);
    bool waits = worker != NULL && !rp_list_is_empty(&worker->outbox); /* older data may, too */
    if (worker != NULL && worker->state == RP_PEER_UP && session->peer != NULL &&
        (worker->incarnation != by || waits)) {
        tell_socket(core, session, RP_OP_SOCKET_SYNCED);
    }
}

/* ---- whose a session is ---- */

static void detach(struct rp_session *session) {
    struct rp_app *app = session->app;
    rp_list_remove(&app->serving_node);
    if (app->serving != NULL) {
        app->serving->sessions_count--;
        app->serving = NULL;
    }
    app->kept = false;
    app->listed = false;
}

static void attach(struct rp_session *session, struct rp_serving *serving) {
    RP_ASSERT(session->app->serving == NULL);
    rp_list_remove(&session->app->serving_node); /* of the unserved */
    session->app->serving = serving;
    rp_list_append(&serving->sessions, &session->app->serving_node);
    serving->sessions_count++;
}

/* Whether somebody must serve it: it is here, or something of it is to be handled. */
static bool needs_worker(const struct rp_session *session) {
    return session->peer != NULL || !rp_list_is_empty(&session->app->tasks);
}

static void become_unserved(struct rp_core *core, struct rp_session *session) {
    detach(session);
    if (needs_worker(session)) {
        rp_list_append(&core->unserved, &session->app->serving_node);
    }
}

struct rp_serving *rp_core_choose(const struct rp_policy *policy) {
    struct rp_serving *best = NULL;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&policy->servings, it, tmp) {
        struct rp_serving *serving = RP_CONTAINER_OF(it, struct rp_serving, node);
        bool usable = serving->peer->state == RP_PEER_UP && !serving->peer->leaving;
        if (usable && (best == NULL || serving->sessions_count < best->sessions_count)) {
            best = serving;
        }
    }
    return best;
}

/* Tells a worker all of a session that it serves from here on, and gives it what is to be done. Of
 * one that is away only what was left to do matters. */
static void hand_over(struct rp_core *core, struct rp_session *session, enum rp_op_socket_why why) {
    session->app->why = (uint8_t) why;
    if (worker_of(session)->state != RP_PEER_UP) {
        return; /* it will be told when its link is back */
    }
    bool away = session->peer == NULL;
    if (away && rp_list_is_empty(&session->app->tasks)) {
        return;
    }
    tell_socket(core, session, why);
    rp_core_tasks_give(core, session);
    if (away) {
        tell_left(core, session, false, RP_BYTES_LIT(RP_REASON_TRANSPORT_CLOSE));
    }
}

void rp_core_socket_begins(struct rp_core *core, struct rp_session *session,
                           struct rp_serving *serving, enum rp_op_socket_why why) {
    if (session->app->serving == NULL) {
        const struct rp_policy *policy = rp_policy_of(&core->policies, rp_session_nsp(session));
        bool usable = serving != NULL && serving->peer->state != RP_PEER_DOWN &&
                      !serving->peer->leaving && serving->policy == policy;
        if (!usable) {
            serving = policy != NULL ? rp_core_choose(policy) : NULL;
        }
        if (serving == NULL) {
            rp_list_remove(&session->app->serving_node);
            rp_list_append(&core->unserved, &session->app->serving_node);
            return;
        }
        attach(session, serving);
        session->app->kept = why == RP_OP_SOCKET_NEW; /* others may have had what it asked before */
    }
    hand_over(core, session, why);
}

/* The worker has just listed it, and is told nothing else of it any more. */
static void unlist(const struct rp_session *session) {
    struct rp_peer *worker = worker_of(session);
    if (worker != NULL && worker->state == RP_PEER_GREETING && session->app->listed) {
        struct rp_op op = {
            .kind = RP_OP_VERDICT,
            .verdict = {.conn = session->app->listed_conn, .verdict = RP_OP_UNKNOWN}};
        rp_link_put(&worker->link, &op);
    }
}

/* Workers that had the session before may still wait for acks of it. */
static void tell_who_waits(struct rp_core *core, const struct rp_session *session) {
    for (size_t i = 0; i < session->app->owed_count; i++) {
        struct rp_peer *peer = rp_core_peer_of(core, session->app->owed[i].origin);
        if (peer == NULL || peer == worker_of(session) || peer->state != RP_PEER_UP ||
            peer->told_end == session->id) {
            continue;
        }
        struct rp_op op = {.kind = RP_OP_LEFT,
                           .left = {.session = session->id,
                                    .conn = session->conn,
                                    .ended = true,
                                    .nsp = rp_session_nsp(session),
                                    .sid = rp_session_sid(session)}};
        peer->told_end = session->id;
        rp_core_post(core, peer, &op);
    }
}

void rp_core_socket_ends(struct rp_core *core, struct rp_session *session, bool ended,
                         struct rp_bytes reason) {
    if (session->app == NULL) {
        return;
    }
    if (ended && session->app->serving == NULL) { /* somebody may want to know that it expired */
        const struct rp_policy *policy = rp_policy_of(&core->policies, rp_session_nsp(session));
        struct rp_serving *serving = policy != NULL ? rp_core_choose(policy) : NULL;
        if (serving != NULL) {
            attach(session, serving);
        }
    }
    struct rp_peer *worker = worker_of(session);
    if (worker != NULL && worker->state == RP_PEER_UP) {
        tell_left(core, session, ended, reason);
    } else if (ended) {
        unlist(session);
    }
    if (ended) {
        tell_who_waits(core, session);
        rp_core_tasks_ended(core, session);
        detach(session);
    } else if (worker == NULL && rp_list_is_empty(&session->app->tasks)) {
        rp_list_remove(&session->app->serving_node); /* nobody needs to serve it now */
    }
}

/* Looks for workers for those who have none. */
void rp_core_assign(struct rp_core *core) {
    rp_core_admissions_retry(core);
    if (core->now.mono_ms < core->assign_from_ms) {
        return;
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->unserved, it, tmp) {
        struct rp_app *app = RP_CONTAINER_OF(it, struct rp_app, serving_node);
        struct rp_session *session = app->session;
        const struct rp_policy *policy = rp_policy_of(&core->policies, rp_session_nsp(session));
        struct rp_serving *serving = policy != NULL ? rp_core_choose(policy) : NULL;
        if (!needs_worker(session)) {
            rp_list_remove(it);
        } else if (serving != NULL) {
            attach(session, serving);
            hand_over(core, session, RP_OP_SOCKET_ADOPTED);
        }
    }
}

/* ---- what a worker serves ---- */

static void evict_other_kind(struct rp_core *core, const struct rp_policy *policy, bool all) {
    struct rp_map_iter it = {0};
    for (struct rp_map_node *n; (n = rp_map_each(&core->sessions.by_id, &it)) != NULL;) {
        struct rp_session *session = RP_CONTAINER_OF(n, struct rp_session, by_id);
        if ((all || session->app == NULL) && session->peer != NULL &&
            rp_policy_of(&core->policies, rp_session_nsp(session)) == policy) {
            rp_core_evict(core, session, "the namespace is served in another way from now on");
        }
    }
}

void rp_core_put_apps(struct rp_core *core, struct rp_peer *gateway) {
    struct rp_op op = {.kind = RP_OP_APPS, .apps = {.count = core->policies.count}};
    rp_link_put(&gateway->link, &op);
}

static void tell_apps(struct rp_core *core) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->peers, it, tmp) {
        struct rp_peer *peer = RP_CONTAINER_OF(it, struct rp_peer, node);
        if (!peer->is_worker && peer->state != RP_PEER_DOWN) {
            rp_core_put_apps(core, peer);
        }
    }
}

static struct rp_wish *wish_of(const struct rp_peer *worker, struct rp_bytes nsp) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&worker->wishes, it, tmp) {
        struct rp_wish *wish = RP_CONTAINER_OF(it, struct rp_wish, node);
        if (rp_bytes_eq(wish->nsp, nsp)) {
            return wish;
        }
    }
    return NULL;
}

/* A session is its worker's no more, who is told if it has a link; what is to be done waits for the
 * next. */
static void take_away(struct rp_core *core, struct rp_session *session, bool durable) {
    struct rp_peer *worker = worker_of(session);
    if (worker->state == RP_PEER_UP && !worker->leaving) {
        struct rp_op op = {.kind = RP_OP_RELEASE, .release = {.session = session->id}};
        rp_core_post(core, worker, &op);
    }
    unlist(session);
    rp_core_tasks_orphaned(core, session, durable);
    become_unserved(core, session);
}

/* Its sessions are nobody's, or whose they become. */
static void stop_serving(struct rp_core *core, struct rp_serving *serving) {
    bool durable = (serving->policy->flags & RP_RECORD_DURABLE) != 0;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&serving->sessions, it, tmp) {
        struct rp_session *session = RP_CONTAINER_OF(it, struct rp_app, serving_node)->session;
        take_away(core, session, durable);
    }
    rp_core_admissions_orphaned(core, serving);
    rp_serving_remove(serving);
}

static void remove_policy(struct rp_core *core, struct rp_policy *policy) {
    struct rp_list *first;
    evict_other_kind(core, policy, true);
    while ((first = rp_list_first(&policy->servings)) != NULL) {
        stop_serving(core, RP_CONTAINER_OF(first, struct rp_serving, node));
    }
    rp_policy_remove(&core->policies, policy);
}

/* A worker that wants to serve it does. */
static void fulfil(struct rp_policy *policy, struct rp_peer *worker) {
    struct rp_serving *serving = rp_serving_of(policy, worker);
    if (serving == NULL) {
        serving = rp_serving_add(policy, worker, &worker->servings);
    }
    serving->confirmed = true;
}

/* It is ready once the log has all that it serves. */
static void tell_served(struct rp_core *core, struct rp_peer *worker) {
    struct rp_list *it, *tmp;
    if (worker->served || worker->state != RP_PEER_UP) {
        return;
    }
    RP_LIST_FOR(&worker->wishes, it, tmp) {
        const struct rp_wish *wish = RP_CONTAINER_OF(it, struct rp_wish, node);
        const struct rp_policy *policy = rp_policy_find(&core->policies, wish->nsp);
        if (wish->pending || policy == NULL || rp_serving_of(policy, worker) == NULL) {
            return;
        }
    }
    worker->served = true;
    uint64_t workers = 0;
    RP_LIST_FOR(&core->peers, it, tmp) {
        workers += RP_CONTAINER_OF(it, struct rp_peer, node)->is_worker;
    }
    struct rp_op op = {.kind = RP_OP_SERVED, .served = {.workers = workers}};
    rp_core_post(core, worker, &op);
}

/* Sessions of a namespace that was served by way of a pattern, and has a closer policy now. */
static void take_over(struct rp_core *core, const struct rp_policy *policy) {
    struct rp_map_iter it = {0};
    for (struct rp_map_node *n; (n = rp_map_each(&core->sessions.by_id, &it)) != NULL;) {
        struct rp_session *session = RP_CONTAINER_OF(n, struct rp_session, by_id);
        const struct rp_serving *serving = session->app != NULL ? session->app->serving : NULL;
        if (serving != NULL && serving->policy != policy &&
            rp_policy_of(&core->policies, rp_session_nsp(session)) == policy) {
            take_away(core, session, (serving->policy->flags & RP_RECORD_DURABLE) != 0);
        }
    }
}

void rp_core_apply_serve(struct rp_core *core, const struct rp_record *r) {
    struct rp_policy *policy = rp_policy_find(&core->policies, r->f.nsp);
    if (r->f.flags & RP_RECORD_RELEASED) {
        if (policy != NULL) {
            remove_policy(core, policy);
            tell_apps(core);
        }
        return;
    }
    bool rooms_change = policy != NULL && ((policy->flags ^ r->f.flags) & RP_RECORD_ROOMS_ON) != 0;
    policy = rp_policy_set(&core->policies, r->f.nsp, r->f.flags);
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->peers, it, tmp) {
        struct rp_peer *peer = RP_CONTAINER_OF(it, struct rp_peer, node);
        struct rp_wish *wish = peer->is_worker ? wish_of(peer, r->f.nsp) : NULL;
        if (wish != NULL) {
            wish->pending = wish->pending && wish->flags != r->f.flags;
            fulfil(policy, peer);
            tell_served(core, peer);
        }
    }
    evict_other_kind(core, policy, rooms_change);
    take_over(core, policy);
    rp_core_assign(core);
    tell_apps(core);
}

void rp_core_serve_refused(struct rp_core *core, const struct rp_record *r) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->peers, it, tmp) {
        struct rp_peer *peer = RP_CONTAINER_OF(it, struct rp_peer, node);
        const struct rp_wish *wish = peer->is_worker ? wish_of(peer, r->f.nsp) : NULL;
        bool waits = wish != NULL && wish->pending && wish->flags == r->f.flags;
        if (waits && peer->state != RP_PEER_DOWN) {
            rp_core_refuse(core, peer, "busy", "the log cannot be written now; try again");
        }
    }
}

void rp_core_serve_passed(struct rp_core *core, const struct rp_peer *gateway,
                          const struct rp_record *r) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&gateway->sessions, it, tmp) {
        const struct rp_session *session = RP_CONTAINER_OF(it, struct rp_session, peer_node);
        const struct rp_policy *policy = rp_policy_of(&core->policies, rp_session_nsp(session));
        bool same = policy != NULL && rp_bytes_eq(policy->nsp, r->f.nsp);
        if (same && session->conn < r->seq) {
            rp_core_evict(core, session, "the namespace is served in another way from now on");
        }
    }
}

static void append_serve(struct rp_core *core, struct rp_bytes nsp, uint32_t flags) {
    struct rp_record_fields serve = {.kind = RP_RECORD_SERVE, .nsp = nsp, .flags = flags};
    rp_core_append(core, &serve);
}

static uint32_t serve_flags(uint64_t flags) {
    static const struct {
        uint64_t op;
        uint32_t record;
    } table[] = {
        {RP_OP_PATTERN, RP_RECORD_PATTERN},    {RP_OP_DURABLE, RP_RECORD_DURABLE},
        {RP_OP_ROOMS_ON, RP_RECORD_ROOMS_ON},  {RP_OP_ROOMS_ASK, RP_RECORD_ROOMS_ASK},
        {RP_OP_SERVE_END, RP_RECORD_RELEASED},
    };
    uint32_t found = 0;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        found |= flags & table[i].op ? table[i].record : 0;
    }
    return found;
}

/* Namespaces and patterns of a worker that the log has not yet, or in another way. */
static void add_wish(struct rp_core *core, struct rp_peer *worker, struct rp_bytes nsp,
                     uint32_t flags) {
    struct rp_wish *wish = rp_alloc(sizeof(*wish) + nsp.len);
    memcpy(wish->data, nsp.data, nsp.len);
    wish->nsp = rp_bytes(wish->data, nsp.len);
    wish->flags = flags;
    wish->pending = false;
    rp_list_append(&worker->wishes, &wish->node);
    worker->wishes_count++;
    struct rp_policy *policy = rp_policy_find(&core->policies, nsp);
    if (policy != NULL) {
        fulfil(policy, worker);
    }
    wish->pending = policy == NULL || policy->flags != flags;
    if (wish->pending) {
        append_serve(core, nsp, flags);
    }
}

void rp_core_serve(struct rp_core *core, struct rp_peer *worker, const struct rp_op_serve *op) {
    uint32_t flags = serve_flags(op->flags);
    if (!worker->is_worker || worker->state != RP_PEER_GREETING) {
        return;
    }
    if (!rp_policy_valid(op->nsp, (flags & RP_RECORD_PATTERN) != 0)) {
        rp_core_refuse(core, worker, "namespace", "a namespace begins with / and has no comma");
    } else if (flags & RP_RECORD_RELEASED) {
        if (rp_policy_find(&core->policies, op->nsp) != NULL) {
            append_serve(core, op->nsp, flags);
        }
    } else if (worker->wishes_count >= RP_WORKER_NAMESPACES_MAX ||
               (core->policies.count >= RP_POLICIES_MAX &&
                rp_policy_find(&core->policies, op->nsp) == NULL)) {
        rp_core_refuse(core, worker, "full", "too many namespaces");
    } else if (wish_of(worker, op->nsp) == NULL) {
        add_wish(core, worker, op->nsp, flags);
    }
}

/* ---- a worker's link ---- */

static void forget_wishes(struct rp_peer *worker) {
    struct rp_list *first;
    while ((first = rp_list_first(&worker->wishes)) != NULL) {
        rp_list_remove(first);
        free(RP_CONTAINER_OF(first, struct rp_wish, node));
    }
    worker->wishes_count = 0;
}

void rp_core_worker_hello(struct rp_peer *worker) {
    struct rp_list *it, *tmp, *s, *s_tmp;
    worker->leaving = worker->parted = worker->served = false;
    forget_wishes(worker);
    RP_LIST_FOR(&worker->servings, it, tmp) {
        struct rp_serving *serving = RP_CONTAINER_OF(it, struct rp_serving, peer_node);
        serving->confirmed = false;
        RP_LIST_FOR(&serving->sessions, s, s_tmp) {
            RP_CONTAINER_OF(s, struct rp_app, serving_node)->listed = false;
        }
    }
}

void rp_core_socket_listed(struct rp_core *core, struct rp_peer *worker,
                           const struct rp_op_session *op) {
    struct rp_session *session = rp_sessions_find(&core->sessions, op->session);
    struct rp_app *app = session != NULL ? session->app : NULL;
    /* This broker has begun anew. A worker that knows an older connection only is not whom it has
     * now; whoever is lists it, too. */
    bool outdated = session != NULL && op->conn != session->conn;
    if (app != NULL && app->serving == NULL && !outdated) {
        struct rp_policy *policy = rp_policy_of(&core->policies, rp_session_nsp(session));
        struct rp_serving *serving = policy != NULL ? rp_serving_of(policy, worker) : NULL;
        if (serving != NULL) {
            attach(session, serving);
            app->kept = op->catching == RP_OP_CATCHING_NOT &&
                        op->pos < core->config.worker_timeout_ms; /* nobody else had it meanwhile */
            app->why = RP_OP_SOCKET_SYNCED;
        }
    }
    if (app != NULL && app->serving != NULL && app->serving->peer == worker) {
        app->listed = true;
        app->listed_conn = op->conn;
        return;
    }
    struct rp_op verdict = {
        .kind = RP_OP_VERDICT,
        .verdict = {.conn = op->conn, .verdict = app != NULL ? RP_OP_SUPERSEDED : RP_OP_UNKNOWN}};
    rp_link_put(&worker->link, &verdict);
}

/* Tells a worker what has become of a session since its link was lost. */
static void synchronise(struct rp_core *core, struct rp_session *session) {
    const struct rp_app *app = session->app;
    bool same = app->listed && app->listed_conn == session->conn;
    if (session->peer != NULL) {
        enum rp_op_socket_why why = same          ? RP_OP_SOCKET_SYNCED
                                    : app->listed ? RP_OP_SOCKET_RECOVERED
                                                  : (enum rp_op_socket_why) app->why;
        tell_socket(core, session,
                    why == RP_OP_SOCKET_SYNCED && !same ? RP_OP_SOCKET_ADOPTED : why);
        rp_core_tasks_give(core, session);
    } else if (app->listed && (same || rp_list_is_empty(&app->tasks))) {
        rp_core_tasks_give(core, session);
        tell_left(core, session, false, RP_BYTES_LIT(RP_REASON_TRANSPORT_CLOSE));
    } else { /* with a connection that the worker has not heard of, and that has gone since */
        hand_over(core, session, app->listed ? RP_OP_SOCKET_RECOVERED : RP_OP_SOCKET_ADOPTED);
    }
}

void rp_core_worker_resumed(struct rp_core *core, struct rp_peer *worker) {
    struct rp_list *it, *tmp, *s, *s_tmp;
    RP_LIST_FOR(&worker->servings, it, tmp) {
        struct rp_serving *serving = RP_CONTAINER_OF(it, struct rp_serving, peer_node);
        if (!serving->confirmed) {
            stop_serving(core, serving);
            continue;
        }
        RP_LIST_FOR(&serving->sessions, s, s_tmp) {
            synchronise(core, RP_CONTAINER_OF(s, struct rp_app, serving_node)->session);
        }
        rp_core_admissions_give(core, serving);
    }
    tell_served(core, worker);
    rp_core_assign(core);
}

void rp_core_worker_lost(struct rp_core *core, struct rp_peer *worker) {
    struct rp_list *first;
    core->stats.workers_lost += !rp_list_is_empty(&worker->servings);
    while ((first = rp_list_first(&worker->servings)) != NULL) {
        stop_serving(core, RP_CONTAINER_OF(first, struct rp_serving, peer_node));
    }
    forget_wishes(worker);
    rp_core_assign(core);
}

void rp_core_worker_bye(struct rp_core *core, struct rp_peer *worker, bool idle) {
    struct rp_list *it, *tmp, *s, *s_tmp;
    worker->leaving = true;
    RP_LIST_FOR(&worker->servings, it, tmp) {
        struct rp_serving *serving = RP_CONTAINER_OF(it, struct rp_serving, peer_node);
        RP_LIST_FOR(&serving->sessions, s, s_tmp) {
            if (idle && worker->state == RP_PEER_UP && rp_list_is_empty(&worker->behind)) {
                rp_core_tasks_unbegun(RP_CONTAINER_OF(s, struct rp_app, serving_node)->session);
            }
        }
    }
    rp_core_worker_lost(core, worker);
}

/* ---- evening out ---- */

static void move(struct rp_core *core, struct rp_session *session, struct rp_serving *to) {
    struct rp_op op = {.kind = RP_OP_RELEASE, .release = {.session = session->id}};
    rp_core_post(core, worker_of(session), &op);
    detach(session);
    attach(session, to);
    hand_over(core, session, RP_OP_SOCKET_ADOPTED);
    core->stats.sockets_moved++;
}

/* Moves sockets of which nothing is under way from the worker with the most to the one with the
 * fewest, at most `most`. */
static size_t even_out(struct rp_core *core, const struct rp_policy *policy, size_t most) {
    struct rp_serving *fewest = rp_core_choose(policy), *richest = NULL;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&policy->servings, it, tmp) {
        struct rp_serving *serving = RP_CONTAINER_OF(it, struct rp_serving, node);
        bool usable = serving->peer->state == RP_PEER_UP && !serving->peer->leaving;
        if (usable && (richest == NULL || serving->sessions_count > richest->sessions_count)) {
            richest = serving;
        }
    }
    if (fewest == NULL || richest->sessions_count <= fewest->sessions_count + 1) {
        return 0;
    }
    size_t excess = (richest->sessions_count - fewest->sessions_count) / 2, moved = 0, seen = 0;
    RP_LIST_FOR(&richest->sessions, it, tmp) {
        struct rp_session *session = RP_CONTAINER_OF(it, struct rp_app, serving_node)->session;
        if (moved == excess || moved == most || seen++ == 2 * (size_t) RP_MOVES_PER_TICK) {
            break;
        }
        if (rp_list_is_empty(&session->app->tasks)) {
            move(core, session, fewest);
            moved++;
        }
    }
    return moved;
}

/* Ends the link of a worker that said goodbye, behind the answers to what it had asked. */
static void part(struct rp_core *core, struct rp_peer *worker) {
    if (worker->leaving && !worker->parted && worker->state == RP_PEER_UP && worker->live &&
        worker->inflight_count == 0 && rp_list_is_empty(&worker->behind)) {
        struct rp_op op = {.kind = RP_OP_REFUSED,
                           .refused = {.code = RP_BYTES_LIT("bye"),
                                       .message = RP_BYTES_LIT("this worker has said goodbye")}};
        worker->parted = true;
        rp_core_post(core, worker, &op);
    } else if (worker->parted && rp_list_is_empty(&worker->outbox) &&
               worker->link.queued_bytes == 0) {
        rp_core_peer_down(core, worker); /* it has been sent all of that */
    }
}

void rp_core_workers_tick(struct rp_core *core) {
    size_t most = RP_MOVES_PER_TICK;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->peers, it, tmp) {
        part(core, RP_CONTAINER_OF(it, struct rp_peer, node));
    }
    rp_core_assign(core);
    rp_core_tasks_expire(core);
    rp_core_sides_expire(core);
    RP_LIST_FOR(&core->policies.all, it, tmp) {
        most -= even_out(core, RP_CONTAINER_OF(it, struct rp_policy, node), most);
    }
}
