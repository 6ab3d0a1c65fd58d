/* broker/greet.c — gateways come and go: HELLO, resume, loss.
 *
 *     gateway: HELLO{epoch, seen} · SESSION… · unanswered requests, again · RESUMED
 *     broker:  WELCOME{epoch, head} · a VERDICT and the rooms as of `seen` for each session ·
 * everything of (seen, head] in log order, by rp_core_pump · then live
 *
 * An answer is put on a link right after the deliveries of its record, so a request whose record
 * lies before `seen` was answered. The log from `seen` on (inclusive: the link may have been cut
 * between the two) therefore tells which of the requests that come again are done already. */
#include "broker/state.h"

#include "common/alloc.h"
#include "proto/json.h"

#include <stdio.h>
#include <stdlib.h>

/* A gateway that says it has seen more is mistaken. Seqs go on above what a gateway has seen, and
 * must stay numbers that JavaScript can count. */
#define SEEN_MAX (RP_JSON_INTEGER_MAX / 2)

/* ---- peers ---- */

struct rp_peer *rp_core_peer_of(const struct rp_core *core, uint64_t incarnation) {
    uint64_t hash = rp_hash_u64(incarnation);
    for (struct rp_map_node *n = rp_map_first(&core->by_incarnation, hash); n;
         n = rp_map_next(n, hash)) {
        struct rp_peer *peer = RP_CONTAINER_OF(n, struct rp_peer, by_incarnation);
        if (peer->incarnation == incarnation) {
            return peer;
        }
    }
    return NULL;
}

struct rp_peer *rp_core_peer_of_link(const struct rp_core *core, uint64_t link_id) {
    uint64_t hash = rp_hash_u64(link_id);
    for (struct rp_map_node *n = rp_map_first(&core->by_link, hash); n; n = rp_map_next(n, hash)) {
        struct rp_peer *peer = RP_CONTAINER_OF(n, struct rp_peer, by_link);
        if (peer->link_id == link_id) {
            return peer;
        }
    }
    return NULL;
}

struct rp_peer *rp_core_peer_add(struct rp_core *core, uint64_t incarnation) {
    struct rp_peer *peer = RP_NEW(struct rp_peer);
    peer->incarnation = incarnation;
    peer->down_since_ms = core->now.mono_ms;
    rp_list_init(&peer->sessions);
    rp_list_init(&peer->answers);
    rp_list_init(&peer->parked);
    rp_list_init(&peer->outbox);
    rp_list_init(&peer->answered);
    rp_list_init(&peer->servings);
    rp_list_init(&peer->wishes);
    rp_list_init(&peer->behind);
    rp_link_init(&peer->link, core->config.link_credit_bytes, core->now.mono_ms);
    rp_list_append(&core->peers, &peer->node);
    rp_map_add(&core->by_incarnation, &peer->by_incarnation, rp_hash_u64(incarnation));
    core->peers_count++;
    return peer;
}

void rp_core_peer_release(struct rp_core *core, struct rp_peer *peer) {
    if (peer->state != RP_PEER_DOWN || !rp_list_is_empty(&peer->sessions) ||
        peer->inflight_count > 0 || peer->going) {
        return;
    }
    rp_core_worker_lost(core, peer);
    rp_core_behind_forget(peer);
    rp_core_tasks_origin_gone(core, peer);
    rp_core_answers_drop(core, peer);
    rp_core_linger_end(core, peer);
    rp_link_done(&peer->link);
    rp_list_remove(&peer->node);
    rp_map_remove(&core->by_incarnation, &peer->by_incarnation);
    core->peers_count--;
    free(peer->inflight);
    free(peer->published);
    free(peer->known);
    free(peer->resent);
    free(peer->lingering);
    free(peer->late);
    free(peer);
}

void rp_core_peer_down(struct rp_core *core, struct rp_peer *peer) {
    if (peer->state == RP_PEER_DOWN) {
        return;
    }
    rp_map_remove(&core->by_link, &peer->by_link);
    bool was_up = peer->state == RP_PEER_UP;
    peer->state = RP_PEER_DOWN;
    if (was_up) {
        rp_core_tell_lost(core, peer);
    }
    peer->live = false;
    peer->down_since_ms = core->now.mono_ms;
    rp_core_answers_drop(core, peer);
    rp_core_behind_link_lost(core, peer);
    rp_core_tasks_link_lost(peer);
    rp_core_outbox_clear(peer);
    rp_core_linger_end(core, peer);
    peer->late_count = 0; /* what they answer will be asked again */
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&peer->sessions, it, tmp) {
        rp_core_cursor_drop(core, RP_CONTAINER_OF(it, struct rp_session, peer_node));
    }
    rp_link_done(&peer->link);
    rp_link_init(&peer->link, core->config.link_credit_bytes, core->now.mono_ms);
    core->stats.links_lost++;
}

void rp_core_gateway_bye(struct rp_core *core, struct rp_peer *gateway) {
    rp_core_peer_down(core, gateway);
    gateway->down_since_ms = 0; /* sessions that it could not close are, at the next tick */
    core->stats.gateways_left++;
}

/* A message for a link without a peer. */
static void put_stray(struct rp_core *core, uint64_t link_id, const struct rp_op *op) {
    struct rp_stray *stray = RP_NEW(struct rp_stray);
    stray->link_id = link_id;
    rp_buf_init(&stray->bytes, RP_LINK_BATCH_BYTES);
    enum rp_err err = rp_op_put(&stray->bytes, op);
    RP_ASSERT(err == RP_OK);
    rp_list_append(&core->strays, &stray->node);
    core->strays_count++;
}

static void put_stray_reset(struct rp_core *core, uint64_t link_id, const char *why) {
    struct rp_op op = {.kind = RP_OP_RESET, .reset = {.message = rp_bytes_str(why)}};
    put_stray(core, link_id, &op);
    core->stats.links_reset++;
}

/* A worker whose link we give up has yet to read that, behind what is queued for it and handled
 * until then: its sockets are not given to others before it must have noticed. */
static void spare_worker(const struct rp_core *core, struct rp_peer *peer) {
    if (peer->is_worker) {
        peer->down_since_ms = core->now.mono_ms + RP_LINK_TIMEOUT_MS;
    }
}

void rp_core_reset(struct rp_core *core, struct rp_peer *peer, const char *why) {
    put_stray_reset(core, peer->link_id, why);
    rp_core_peer_down(core, peer);
    peer->down_since_ms =
        0; /* this incarnation will not come back: its sessions are closed at the next tick */
    spare_worker(core, peer);
}

/* ---- HELLO ---- */

static void refuse(struct rp_core *core, uint64_t link_id, const char *code, const char *message) {
    struct rp_op op = {.kind = RP_OP_REFUSED,
                       .refused = {.code = rp_bytes_str(code), .message = rp_bytes_str(message)}};
    put_stray(core, link_id, &op);
    core->stats.hellos_refused++;
}

/* The gateway has seen more of the log than there is: the file was put back to an older state.
 * Offsets of the lost part must never be taken for offsets of what comes now. */
static bool begin_epoch(struct rp_core *core, uint64_t above) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    char epoch[RP_EPOCH_LEN + 1] = {0};
    uint8_t random[RP_EPOCH_LEN];
    core->config.random(core->config.random_ctx, random, sizeof random);
    for (size_t i = 0; i < RP_EPOCH_LEN; i++) {
        epoch[i] = letters[random[i] % (sizeof letters - 1)];
    }
    if (core->engine->ops->new_epoch(core->engine, epoch, above) != RP_OK) {
        return false;
    }
    rp_core_forget_all(core, above);
    snprintf(
        core->notice, sizeof core->notice,
        "a gateway has seen seq %llu, which this log does not have: the log has lost its end, and "
        "gets the new epoch %s; all sessions are forgotten",
        (unsigned long long) above, epoch);
    return true;
}

void rp_core_refuse_stray(struct rp_core *core, uint64_t link_id) {
    if (core->strays_count < RP_STRAYS_MAX) {
        refuse(core, link_id, "relink", "the broker has given up this link");
    }
}

void rp_core_refuse(struct rp_core *core, struct rp_peer *peer, const char *code,
                    const char *message) {
    refuse(core, peer->link_id, code, message);
    rp_core_peer_down(core, peer);
    spare_worker(core, peer);
}

static int compare_known(const void *a, const void *b) {
    uint64_t x = ((const struct rp_known *) a)->num, y = ((const struct rp_known *) b)->num;
    return x < y ? -1 : x > y;
}

static void add_published(struct rp_peer *peer, bool is_event, uint64_t session, uint64_t num) {
    if (is_event) {
        peer->published[peer->published_count++] =
            (struct rp_published){.session = session, .num = num};
    }
}

static int compare_published(const void *a, const void *b) {
    const struct rp_published *x = a, *y = b;
    if (x->session != y->session) {
        return x->session < y->session ? -1 : 1;
    }
    return x->num < y->num ? -1 : x->num > y->num;
}

/* Sorts them, and drops all but each session's last. */
static void keep_last_published(struct rp_peer *peer) {
    struct rp_published *all = peer->published;
    size_t kept = 0;
    if (peer->published_count > 0) {
        qsort(all, peer->published_count, sizeof *all, compare_published);
    }
    for (size_t i = 0; i < peer->published_count; i++) {
        kept -= kept > 0 && all[kept - 1].session == all[i].session;
        all[kept++] = all[i];
    }
    peer->published_count = kept;
}

static int compare_session(const void *a, const void *b) {
    uint64_t x = ((const struct rp_published *) a)->session;
    uint64_t y = ((const struct rp_published *) b)->session;
    return x < y ? -1 : x > y;
}

bool rp_peer_had_refused(const struct rp_peer *peer, uint64_t session, uint64_t num) {
    const struct rp_published wanted = {.session = session}, *last = NULL;
    if (peer->published_count > 0) {
        last = bsearch(&wanted, peer->published, peer->published_count, sizeof wanted,
                       compare_session);
    }
    return last != NULL && num < last->num;
}

/* Collects the nums of this gateway that are in the log from `seen` on, or on their way to it. */
static void learn_known(struct rp_core *core, struct rp_peer *peer, uint64_t seen) {
    size_t from = rp_tail_after(&core->tail, seen > 0 ? seen - 1 : 0);
    size_t capacity = core->tail.count - from + peer->inflight_count;
    free(peer->known);
    free(peer->published);
    peer->published = rp_alloc(capacity * sizeof(struct rp_published));
    peer->published_count = 0;
    peer->known = rp_alloc(capacity * sizeof(struct rp_known));
    peer->known_count = 0;
    for (size_t i = from; i < core->tail.count; i++) {
        const struct rp_record *r = rp_tail_at(&core->tail, i);
        if (r->f.origin == peer->incarnation && r->f.num > 0) {
            peer->known[peer->known_count++] = (struct rp_known){.num = r->f.num, .seq = r->seq};
            add_published(peer, r->f.kind == RP_RECORD_EVENT, r->f.session, r->f.num);
        }
    }
    for (size_t i = 0; i < peer->inflight_count; i++) {
        const struct rp_inflight *inflight = &peer->inflight[peer->inflight_from + i];
        peer->known[peer->known_count++] = (struct rp_known){.num = inflight->num};
        add_published(peer, inflight->is_event, inflight->session, inflight->num);
    }
    if (peer->known_count > 0) {
        qsort(peer->known, peer->known_count, sizeof(struct rp_known), compare_known);
    }
    keep_last_published(peer);
}

static const struct rp_known *find_known(const struct rp_peer *peer, uint64_t num) {
    struct rp_known wanted = {.num = num};
    if (peer->known_count == 0 || num > peer->known[peer->known_count - 1].num) {
        return NULL;
    }
    return bsearch(&wanted, peer->known, peer->known_count, sizeof wanted, compare_known);
}

bool rp_peer_knows(const struct rp_peer *peer, uint64_t num) {
    return find_known(peer, num) != NULL;
}

uint64_t rp_peer_known_seq(const struct rp_peer *peer, uint64_t num) {
    const struct rp_known *known = find_known(peer, num);
    return known != NULL ? known->seq : 0;
}

static_assert(RP_CORE_GATEWAY == 1 << RP_OP_GATEWAY && RP_CORE_WORKER == 1 << RP_OP_WORKER,
              "a role as a bit");

/* Whether whoever has this link may be what it says it is. */
static bool is_granted(const struct rp_core *core, uint64_t role) {
    return role <= RP_OP_WORKER && (core->granted >> role & 1) != 0;
}

/* Whether the tail has all records from this one on, or there are none behind it: then it tells
 * which of a gateway's requests are done. */
static bool knows_all_since(const struct rp_core *core, uint64_t seen) {
    bool in_tail = seen > core->tail.base || core->tail.base == 0;
    return seen == core->head || (in_tail && (seen > core->holes_upto || core->holes_upto == 0));
}

static void welcome(struct rp_core *core, struct rp_peer *peer, uint64_t link_id, uint64_t seen,
                    const struct rp_op_hello *hello) {
    rp_core_peer_down(core, peer); /* an older link of the same incarnation */
    peer->is_worker = hello->role == RP_OP_WORKER;
    core->stats.workers_linked += peer->is_worker;
    core->stats.gateways_linked += !peer->is_worker;
    if (peer->hellos++ == 0) {
        peer->old_below = hello->epoch.len > 0 ? UINT64_MAX : 0;
    }
    if (peer->is_worker) {
        rp_core_worker_hello(peer);
    } else {
        rp_core_tasks_settled(core, peer, hello->lowest);
    }
    peer->state = RP_PEER_GREETING;
    peer->link_id = link_id;
    rp_map_add(&core->by_link, &peer->by_link, rp_hash_u64(link_id));
    peer->live = false;
    peer->pos = peer->seen = peer->has_seen = seen;
    peer->resent_count = 0;
    rp_link_done(&peer->link);
    rp_link_init(&peer->link, core->config.link_credit_bytes, core->now.mono_ms);
    learn_known(core, peer, seen);
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&peer->sessions, it, tmp) {
        RP_CONTAINER_OF(it, struct rp_session, peer_node)->confirmed = false;
    }
    struct rp_op op = {.kind = RP_OP_WELCOME,
                       .welcome = {.version = RP_PROTOCOL_VERSION,
                                   .epoch = rp_bytes(core->engine->epoch, RP_EPOCH_LEN),
                                   .head = core->head}};
    rp_link_put(&peer->link, &op);
    if (!peer->is_worker) {
        rp_core_put_apps(core, peer);
    }
}

void rp_core_hello(struct rp_core *core, uint64_t link_id, const struct rp_op_hello *hello) {
    core->stats.hellos++;
    bool same_epoch = rp_bytes_eq(hello->epoch, rp_bytes(core->engine->epoch, RP_EPOCH_LEN));
    if (hello->version != RP_PROTOCOL_VERSION) {
        char text[128];
        snprintf(text, sizeof text, "this broker speaks protocol version %d, the gateway %llu",
                 RP_PROTOCOL_VERSION, (unsigned long long) hello->version);
        refuse(core, link_id, "version", text);
        return;
    }
    if (!is_granted(core, hello->role)) {
        core->stats.roles_refused++;
        refuse(core, link_id, "role",
               hello->role == RP_OP_GATEWAY ? "its key is not allowed as a gateway's"
                                            : "its key is not allowed as a worker's");
        return;
    }
    if (hello->incarnation == 0) {
        refuse(core, link_id, "incarnation", "an incarnation is not 0");
        return;
    }
    if (hello->seen > SEEN_MAX) {
        refuse(core, link_id, "seen", "no log has come so far");
        return;
    }
    if (hello->epoch.len > 0 && !same_epoch) {
        put_stray_reset(core, link_id, "the log has a new epoch");
        return;
    }
    if (same_epoch && hello->seen > core->head) {
        if (core->undecided > 0 || core->backlog_count > 0 || !begin_epoch(core, hello->seen)) {
            refuse(core, link_id, "busy", "the log needs a new epoch first; try again");
            return;
        }
        put_stray_reset(core, link_id, "the log has a new epoch");
        return;
    }
    uint64_t seen = same_epoch ? hello->seen : core->head;
    if (!knows_all_since(core, seen)) {
        put_stray_reset(core, link_id, "the gateway was away too long");
        return;
    }
    struct rp_peer *peer = rp_core_peer_of(core, hello->incarnation);
    bool worker = hello->role == RP_OP_WORKER;
    if (peer != NULL && ((peer->hellos > 0 && peer->is_worker != worker) ||
                         (worker && !rp_list_is_empty(&peer->sessions)))) {
        refuse(core, link_id, "incarnation", "this incarnation is of another kind");
        return;
    }
    if (peer == NULL && core->peers_count >= RP_PEERS_MAX) {
        refuse(core, link_id, "full", "too many gateways");
        return;
    }
    if (peer == NULL) {
        peer = rp_core_peer_add(core, hello->incarnation);
    }
    welcome(core, peer, link_id, seen, hello);
}

/* The events of rooms that a session has left since its gateway's `seen` are still for it. */
static void linger_in_left(struct rp_peer *peer, const struct rp_session *session) {
    for (struct rp_interval *i = session->closed; i != NULL; i = i->next) {
        if (i->to_seq > peer->pos) {
            rp_room_interest_add(i->room, peer);
            rp_core_linger(peer, i->room);
        }
    }
}

/* The rooms of a session as its gateway last knew them; what changed since comes in log order. */
static void put_rooms(struct rp_peer *peer, const struct rp_session *session) {
    linger_in_left(peer, session);
    rp_core_put_rooms(peer, session, peer->pos);
}

/* Whether the namespace is still of the kind it was when the session began. */
static bool is_of_its_kind(const struct rp_core *core, const struct rp_session *session) {
    bool is_app = rp_policy_of(&core->policies, rp_session_nsp(session)) != NULL;
    return is_app == (session->app != NULL);
}

void rp_core_session_listed(struct rp_core *core, struct rp_peer *peer,
                            const struct rp_op_session *op) {
    if (peer->is_worker) {
        rp_core_socket_listed(core, peer, op);
        return;
    }
    struct rp_session *session = rp_sessions_find(&core->sessions, op->session);
    enum rp_op_ruling ruling = RP_OP_KEPT;
    if (session == NULL || session->ending || !is_of_its_kind(core, session)) {
        ruling = RP_OP_UNKNOWN;
    } else if (session->conn != op->conn || session->peer != peer || session->takeovers > 0 ||
               session->floor_seq > peer->pos) { /* the last: rooms as of `seen` are forgotten */
        ruling = RP_OP_SUPERSEDED;
    }
    struct rp_op verdict = {.kind = RP_OP_VERDICT,
                            .verdict = {.conn = op->conn, .verdict = ruling}};
    rp_link_put(&peer->link, &verdict);
    if (ruling != RP_OP_KEPT || session->confirmed) {
        return;
    }
    session->confirmed = true;
    put_rooms(peer, session);
    if (session->app != NULL && session->app->handshake == NULL &&
        op->handshake.len <= RP_HANDSHAKE_BYTES_MAX) {
        rp_session_set_handshake(session, op->handshake);
    }
    if (op->catching) {
        rp_core_cursor_drop(core, session);
        uint64_t pos = op->pos < peer->pos ? op->pos : peer->pos;
        if (op->catching == RP_OP_CATCHING_OWED) {
            rp_core_cursor_start_owing(core, session, pos);
        } else {
            rp_core_cursor_start(core, session, pos);
        }
    }
}

/* A connection whose CONNECTED the gateway may not have seen yet: it comes in log order, as do the
 * rooms that workers have moved it through. */
static bool is_to_come(const struct rp_peer *peer, const struct rp_session *session) {
    return !session->confirmed && session->conn >= peer->seen;
}

/* Some of those rooms are forgotten, and what came to them with it; the client, who would be told
 * of that when it comes back, has not been there yet. */
static bool has_holes_to_come(const struct rp_peer *peer) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&peer->sessions, it, tmp) {
        const struct rp_session *session = RP_CONTAINER_OF(it, struct rp_session, peer_node);
        if (is_to_come(peer, session) && session->floor_seq > peer->pos) {
            return true;
        }
    }
    return false;
}

/* Sessions the log says are connected at this gateway, and which it did not list: their clients
 * left while the link was down. */
static void close_unlisted(struct rp_core *core, struct rp_peer *peer) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&peer->sessions, it, tmp) {
        struct rp_session *session = RP_CONTAINER_OF(it, struct rp_session, peer_node);
        if (is_to_come(peer, session)) {
            linger_in_left(peer, session);
        } else if (!session->confirmed && session->takeovers == 0) {
            struct rp_record_fields close = {
                .kind = RP_RECORD_CLOSE, .session = session->id, .conn = session->conn};
            rp_core_append(core, &close);
        }
    }
}

void rp_core_resumed(struct rp_core *core, struct rp_peer *peer) {
    if (peer->state != RP_PEER_GREETING) {
        return;
    }
    if (has_holes_to_come(peer)) {
        rp_core_reset(core, peer, "the gateway was away too long");
        return;
    }
    close_unlisted(core, peer);
    peer->state = RP_PEER_UP;
    size_t at = rp_tail_after(&core->tail, peer->seen > 0 ? peer->seen - 1 : 0);
    if (at < core->tail.count && rp_tail_at(&core->tail, at)->seq == peer->seen) {
        rp_core_repeat_answer(core, peer, rp_tail_at(&core->tail, at));
    }
    if (peer->old_below == UINT64_MAX) {
        peer->old_below = peer->newest + 1; /* all of that has been asked again now */
    }
    rp_core_tasks_asked(core, peer);
    if (peer->is_worker) {
        rp_core_outbox_clear(peer); /* what follows is the state as it is now */
    }
    rp_core_pump(core, peer);
    if (peer->is_worker) {
        peer->is_told_all = true;
        rp_core_worker_resumed(core, peer);
        peer->is_told_all = false;
    }
}
