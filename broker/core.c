/* broker/core.c — the core's beginning and end, its messages and its turn. state.h is the map of
 * the other files. */
#include "broker/state.h"

#include "common/alloc.h"

#include <stdlib.h>

enum { TICK_MS = 200 };

/* ---- loading ---- */

static void load_session(void *ctx, const struct rp_engine_session *from) {
    struct rp_core *core = ctx;
    struct rp_session *session =
        rp_sessions_add(&core->sessions, from->session, from->nsp, from->sid, from->pid_hash);
    session->conn = from->conn;
    session->floor_seq = from->floor_seq;
    session->closed_ts_ms = from->closed_ts_ms;
    if (from->app) {
        rp_session_make_app(session);
        rp_session_set_data(session, from->data);
    }
    if (from->gateway != 0) {
        struct rp_peer *peer = rp_core_peer_of(core, from->gateway);
        rp_core_attach(session, peer != NULL ? peer : rp_core_peer_add(core, from->gateway));
        if (session->app != NULL) {
            rp_list_append(&core->unserved, &session->app->serving_node);
        }
    }
}

static void load_nsp(void *ctx, const struct rp_engine_namespace *from) {
    struct rp_core *core = ctx;
    if (rp_policy_valid(from->nsp, (from->flags & RP_RECORD_PATTERN) != 0)) {
        rp_policy_set(&core->policies, from->nsp, from->flags);
    }
}

static void load_unacked(void *ctx, const struct rp_engine_unacked *from) {
    struct rp_core *core = ctx;
    struct rp_session *session = rp_sessions_find(&core->sessions, from->session);
    struct rp_owed owed = {.seq = from->seq, .origin = from->origin, .num = from->num};
    if (session != NULL && session->app != NULL) {
        core->stats.acks_forgotten += !rp_session_owe(session, &owed);
    }
}

static void load_member(void *ctx, const struct rp_engine_member *from) {
    struct rp_core *core = ctx;
    struct rp_session *session = rp_sessions_find(&core->sessions, from->session);
    if (session == NULL) {
        return;
    }
    struct rp_room *room = rp_rooms_get(&core->rooms, rp_session_nsp(session), from->room);
    struct rp_interval *i =
        rp_session_join(&core->sessions, session, room, from->from_seq, from->ts_ms);
    room->is_own = room->is_own || (session->app != NULL && from->room.len > 0 &&
                                    rp_bytes_eq(from->room, rp_session_sid(session)));
    if (from->to_seq > 0) {
        rp_session_leave(session, i, from->to_seq);
    } else if (session->peer != NULL) {
        rp_room_interest_add(room, session->peer);
    }
}

static void load_border(void *ctx, struct rp_bytes nsp, struct rp_bytes room, uint64_t seq) {
    rp_core_border(ctx, nsp, room, seq);
}

static void load_record(void *ctx, struct rp_record *record) {
    struct rp_core *core = ctx;
    rp_tail_push(&core->tail, record);
    core->head = record->seq;
}

static int compare_closed(const void *a, const void *b) {
    const struct rp_session *const *x = a, *const *y = b;
    return (*x)->closed_ts_ms < (*y)->closed_ts_ms ? -1 : (*x)->closed_ts_ms > (*y)->closed_ts_ms;
}

/* Puts the sessions without a connection in the order in which they will expire. */
static void order_closed(struct rp_core *core) {
    struct rp_session **closed = rp_alloc(core->sessions.by_id.count * sizeof(struct rp_session *));
    size_t count = 0;
    struct rp_map_iter it = {0};
    for (struct rp_map_node *n; (n = rp_map_each(&core->sessions.by_id, &it)) != NULL;) {
        struct rp_session *session = RP_CONTAINER_OF(n, struct rp_session, by_id);
        if (session->peer == NULL) {
            closed[count++] = session;
        }
    }
    qsort(closed, count, sizeof(struct rp_session *), compare_closed);
    for (size_t i = 0; i < count; i++) {
        rp_list_append(&core->sessions.closed, &closed[i]->closed_node);
    }
    free(closed);
}

/* The event of the tail with this seq, or NULL. */
static struct rp_record *event_of_tail(const struct rp_core *core, uint64_t seq) {
    size_t at = seq > 0 ? rp_tail_after(&core->tail, seq - 1) : core->tail.count;
    struct rp_record *r = at < core->tail.count ? rp_tail_at(&core->tail, at) : NULL;
    return r != NULL && r->seq == seq && r->f.kind == RP_RECORD_EVENT ? r : NULL;
}

/* How many acks the events of the tail may expect, for workers that have not had their DONE yet:
 * those that came, and those of sessions that still owe one and are connected. */
static void count_expected(struct rp_core *core) {
    struct rp_record *event;
    for (size_t i = 0; i < core->tail.count; i++) { /* a log in memory gives the very records */
        rp_tail_at(&core->tail, i)->expected = 0;
    }
    for (size_t i = 0; i < core->tail.count; i++) {
        rp_tail_at(&core->tail, i)->expected = 0;
    }
    for (size_t i = 0; i < core->tail.count; i++) {
        const struct rp_record *r = rp_tail_at(&core->tail, i);
        if (r->f.kind == RP_RECORD_ACK && (event = event_of_tail(core, r->f.aux)) != NULL) {
            event->expected++;
        }
    }
    struct rp_map_iter it = {0};
    for (struct rp_map_node *n; (n = rp_map_each(&core->sessions.by_id, &it)) != NULL;) {
        const struct rp_session *session = RP_CONTAINER_OF(n, struct rp_session, by_id);
        const struct rp_app *app = session->peer != NULL ? session->app : NULL;
        for (size_t i = 0; app != NULL && i < app->owed_count; i++) {
            if ((event = event_of_tail(core, app->owed[i].seq)) != NULL) {
                event->expected++;
            }
        }
    }
}

static struct rp_core *core_alloc(const struct rp_core_config *config, struct rp_engine *engine,
                                  struct rp_now now) {
    RP_ASSERT(config->link_credit_bytes > 0 && config->page_bytes > 0 && config->page_events > 0);
    RP_ASSERT(config->intervals_max > 1);
    RP_ASSERT(config->page_bytes <= config->link_credit_bytes);
    struct rp_core *core = RP_NEW(struct rp_core);
    core->config = *config;
    core->engine = engine;
    core->granted = RP_CORE_GATEWAY | RP_CORE_WORKER;
    core->now = now;
    core->next_tick_ms = now.mono_ms;
    core->next_read_id = 1;
    core->head = engine->last_seq;
    core->first = engine->first_seq;
    core->reader = rp_op_reader_new();
    core->own_reader = rp_op_reader_new();
    core->behind_reader = rp_op_reader_new();
    rp_buf_init(&core->scratch, RP_LINK_MESSAGE_BYTES_MAX);
    rp_rooms_init(&core->rooms, config->hash_key);
    rp_sessions_init(&core->sessions, &core->rooms);
    rp_list_init(&core->peers);
    rp_list_init(&core->strays);
    rp_list_init(&core->cursors);
    rp_list_init(&core->ready);
    rp_list_init(&core->waiting);
    rp_list_init(&core->bordered);
    core->border_max = core->holes_upto = engine->border_max;
    /* those who have gateways of this log come first */
    core->next_trim_ms = now.mono_ms + (engine->last_seq > 0 ? config->gateway_timeout_ms : 0);
    rp_share_init(&core->share, config->share_bytes > 0 ? config->share_bytes : RP_SHARE_BYTES);
    rp_policies_init(&core->policies);
    rp_list_init(&core->admissions);
    rp_list_init(&core->tasks_waiting);
    rp_list_init(&core->unserved);
    rp_list_init(&core->sides_by_time);
    rp_buf_init(&core->parcel, RP_LINK_MESSAGE_BYTES_MAX);
    core->volatile_mark = UINT64_MAX;
    core->assign_from_ms = now.mono_ms + config->worker_timeout_ms;
    uint64_t keep = config->tail_records_max;
    uint64_t base = core->head > keep ? core->head - keep : 0;
    base = base + 1 < core->first ? core->first - 1 : base;
    rp_tail_init(&core->tail, &core->rooms, base, config->tail_records_max, config->tail_bytes_max);
    return core;
}

enum rp_err rp_core_new(const struct rp_core_config *config, struct rp_engine *engine,
                        struct rp_now now, struct rp_core **ret_core) {
    struct rp_core *core = core_alloc(config, engine, now);
    struct rp_engine_loader loader = {.ctx = core,
                                      .session = load_session,
                                      .member = load_member,
                                      .unacked = load_unacked,
                                      .nsp = load_nsp,
                                      .border = load_border,
                                      .record = load_record};
    enum rp_err err = engine->ops->load(engine, core->tail.base, &loader);
    if (err != RP_OK) {
        rp_core_free(core);
        return err;
    }
    core->head = engine->last_seq;
    order_closed(core);
    count_expected(core);
    *ret_core = core;
    return RP_OK;
}

static void drop_tasks(struct rp_core *core) {
    struct rp_map_iter it = {0};
    for (struct rp_map_node *n; (n = rp_map_each(&core->tasks, &it)) != NULL;) {
        rp_core_task_free(core, RP_CONTAINER_OF(n, struct rp_task, node));
    }
}

static void drop_peers(struct rp_core *core) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->peers, it, tmp) {
        struct rp_peer *peer = RP_CONTAINER_OF(it, struct rp_peer, node);
        rp_core_peer_down(core, peer);
        struct rp_list *s, *s_tmp;
        RP_LIST_FOR(&peer->sessions, s, s_tmp) {
            rp_core_detach(core, RP_CONTAINER_OF(s, struct rp_session, peer_node));
        }
        peer->inflight_count = 0;
        peer->going = false;
        rp_core_peer_release(core, peer);
    }
}

struct rp_core *rp_core_free(struct rp_core *core) {
    if (core == NULL) {
        return NULL;
    }
    drop_tasks(core);
    drop_peers(core);
    struct rp_list *first;
    while ((first = rp_list_first(&core->strays)) != NULL) {
        struct rp_stray *stray = RP_CONTAINER_OF(first, struct rp_stray, node);
        rp_list_remove(first);
        rp_buf_done(&stray->bytes);
        free(stray);
    }
    for (size_t i = 0; i < core->backlog_count; i++) {
        rp_record_unref(core->backlog[core->backlog_from + i]);
    }
    rp_share_done(core);
    rp_tail_done(&core->tail);
    rp_sessions_done(&core->sessions);
    rp_policies_done(&core->policies);
    rp_core_sides_free(core);
    rp_map_done(&core->tasks);
    rp_buf_done(&core->parcel);
    rp_rooms_done(&core->rooms);
    rp_map_done(&core->by_incarnation);
    rp_map_done(&core->by_link);
    rp_map_done(&core->reads);
    rp_op_reader_free(core->reader);
    rp_op_reader_free(core->own_reader);
    rp_op_reader_free(core->behind_reader);
    rp_buf_done(&core->scratch);
    free(core->backlog);
    free(core);
    return NULL;
}

void rp_core_forget_all(struct rp_core *core, uint64_t above) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->peers, it, tmp) {
        struct rp_peer *peer = RP_CONTAINER_OF(it, struct rp_peer, node);
        if (peer->state != RP_PEER_DOWN) {
            rp_core_reset(core, peer, "the log has a new epoch");
        }
    }
    drop_tasks(core);
    drop_peers(core);
    rp_share_done(core);
    rp_tail_done(&core->tail);
    rp_sessions_done(&core->sessions);
    rp_sessions_init(&core->sessions, &core->rooms);
    rp_tail_init(&core->tail, &core->rooms, above, core->config.tail_records_max,
                 core->config.tail_bytes_max);
    core->head = above;
}

/* ---- messages ---- */

static void heard_heartbeat(struct rp_core *core, struct rp_peer *peer,
                            const struct rp_op_heartbeat *heartbeat) {
    if (!rp_link_heard_heartbeat(&peer->link, heartbeat)) {
        rp_core_reset(core, peer, "a heartbeat contradicts what was sent");
        return;
    }
    if (heartbeat->pos > peer->has_seen && heartbeat->pos <= rp_core_peer_pos(core, peer)) {
        peer->has_seen = heartbeat->pos;
    }
    if (!peer->is_worker) {
        rp_core_tasks_settled(core, peer, heartbeat->lowest);
        rp_core_tasks_heard(core, peer);
    }
}

/* Operations about a session that catches up; ones of an old connection change nothing. */
static void about_cursor(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op) {
    uint64_t id = op->kind == RP_OP_CATCHUP ? op->catchup.session : op->page_done.session;
    uint64_t conn = op->kind == RP_OP_CATCHUP ? op->catchup.conn : op->page_done.conn;
    struct rp_session *session = rp_sessions_find(&core->sessions, id);
    if (session == NULL || session->conn != conn || session->peer != peer) {
        return;
    }
    if (op->kind == RP_OP_PAGE_DONE) {
        rp_core_page_done(core, session, op->page_done.page);
    } else if (session->cursor == NULL) {
        uint64_t pos = rp_core_peer_pos(core, peer);
        rp_core_cursor_start(core, session, op->catchup.pos < pos ? op->catchup.pos : pos);
    }
}

static void worker_operation(struct rp_core *core, struct rp_peer *worker, const struct rp_op *op) {
    switch (op->kind) {
    case RP_OP_SERVE:
        rp_core_serve(core, worker, &op->serve);
        break;
    case RP_OP_DECIDED:
        rp_core_behind(core, worker, op);
        break;
    case RP_OP_SIDE_ANSWER:
        rp_core_side_answer(core, worker, &op->side_answer);
        break;
    case RP_OP_EMIT:
    case RP_OP_MOVE:
    case RP_OP_EXPEL:
    case RP_OP_DATA:
    case RP_OP_FETCH:
    case RP_OP_SIDE:
        rp_core_worker_request(core, worker, op);
        break;
    default:
        break; /* an operation that only a broker, or a gateway, sends */
    }
}

static void operation(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op) {
    switch (op->kind) {
    case RP_OP_SESSION:
        if (peer->state == RP_PEER_GREETING) {
            rp_core_session_listed(core, peer, &op->session);
        }
        break;
    case RP_OP_RESUMED:
        rp_core_resumed(core, peer);
        break;
    case RP_OP_HEARTBEAT:
        heard_heartbeat(core, peer, &op->heartbeat);
        break;
    case RP_OP_CATCHUP:
    case RP_OP_PAGE_DONE:
        about_cursor(core, peer, op);
        break;
    case RP_OP_BYE:
        if (peer->is_worker) {
            rp_core_worker_bye(core, peer, op->bye.idle != 0);
        } else {
            rp_core_gateway_bye(core, peer);
        }
        break;
    case RP_OP_RELAY:
        if (!peer->is_worker) {
            rp_core_relay(core, peer, &op->relay);
        }
        break;
    case RP_OP_CONNECT:
    case RP_OP_CLOSE:
    case RP_OP_JOIN:
    case RP_OP_LEAVE:
    case RP_OP_PUBLISH:
    case RP_OP_HISTORY:
    case RP_OP_PRESENCE:
    case RP_OP_EVENT:
    case RP_OP_ACKED:
        if (!peer->is_worker) {
            rp_core_request(core, peer, op);
        }
        break;
    default:
        if (peer->is_worker) {
            worker_operation(core, peer, op);
        }
        break;
    }
}

/* One operation; false: the link has no peer, nothing more of its message counts. */
static bool dispatch(struct rp_core *core, uint64_t link_id, const struct rp_op *op) {
    struct rp_peer *peer = rp_core_peer_of_link(core, link_id);
    core->stats.operations++;
    if (op->kind == RP_OP_HELLO) {
        if (peer == NULL) {
            rp_core_hello(core, link_id, &op->hello);
        }
    } else if (peer != NULL) {
        operation(core, peer, op);
    } else {
        core->stats.stray_messages++; /* before HELLO, or after the link was given up */
        rp_core_refuse_stray(core, link_id);
        return false;
    }
    return true;
}

enum rp_err rp_core_message(struct rp_core *core, uint64_t link_id, struct rp_bytes message,
                            struct rp_now now) {
    RP_ASSERT(!core->parted);
    core->now = now;
    core->stats.messages++;
    size_t len = message.len;
    enum rp_err err = RP_OK;
    while (message.len > 0 && err == RP_OK) {
        struct rp_op op;
        err = rp_op_next(core->reader, &message, &op);
        if (err == RP_OK && !dispatch(core, link_id, &op)) {
            return RP_OK;
        }
    }
    core->stats.malformed_messages += err != RP_OK;
    struct rp_peer *peer = rp_core_peer_of_link(core, link_id);
    if (peer !=
        NULL) { /* dealt with, malformed or not: or else the other end's credit would leak */
        rp_link_received(&peer->link, len, now.mono_ms);
    }
    return err;
}

void rp_core_link_lost(struct rp_core *core, uint64_t link_id, struct rp_now now) {
    core->now = now;
    struct rp_peer *peer = rp_core_peer_of_link(core, link_id);
    if (peer != NULL) {
        rp_core_peer_down(core, peer);
    }
}

bool rp_core_wants_input(const struct rp_core *core) {
    return core->backlog_count == 0;
}

/* ---- the turn ---- */

static bool take_outcomes(struct rp_core *core) {
    struct rp_engine_outcome outcomes[64];
    for (size_t taken = 0; taken < RP_OUTCOMES_PER_TURN;) {
        size_t n = core->engine->ops->poll(core->engine, outcomes, 64);
        for (size_t i = 0; i < n; i++) {
            rp_core_outcome(core, &outcomes[i]);
        }
        if (n == 0) {
            return false;
        }
        taken += n;
    }
    return true;
}

static void expire_sessions(struct rp_core *core) {
    struct rp_list *it, *tmp;
    size_t ended = 0;
    RP_LIST_FOR(&core->sessions.closed, it, tmp) {
        struct rp_session *session = RP_CONTAINER_OF(it, struct rp_session, closed_node);
        if (ended == RP_EXPIRIES_PER_TURN ||
            core->now.wall_ms < session->closed_ts_ms + core->config.session_ttl_ms) {
            return;
        }
        if (session->ending || session->takeovers > 0) {
            continue;
        }
        struct rp_record_fields end = {
            .kind = RP_RECORD_END, .session = session->id, .name = RP_BYTES_LIT(RP_REASON_EXPIRED)};
        session->ending = true;
        core->stats.sessions_expired++;
        rp_core_append(core, &end);
        ended++;
    }
}

/* A worker that is away: its sockets wait a moment for it. */
static void tick_lost_worker(struct rp_core *core, struct rp_peer *worker) {
    if (core->now.mono_ms >= worker->down_since_ms + core->config.worker_timeout_ms) {
        rp_core_worker_lost(core, worker);
        rp_core_peer_release(core, worker);
    }
}

static void tick_peer(struct rp_core *core, struct rp_peer *peer) {
    if (peer->overflowed) {
        core->stats.outboxes_overflowed++;
        rp_core_refuse(core, peer, "relink", "it takes too little of what is sent to it");
    }
    if (peer->is_worker && peer->state == RP_PEER_DOWN) {
        tick_lost_worker(core, peer);
        return;
    }
    if (peer->state != RP_PEER_DOWN) {
        if (rp_core_wants_input(core) && rp_link_is_lost(&peer->link, core->now.mono_ms)) {
            rp_core_peer_down(core, peer);
        }
        return;
    }
    bool timed_out = peer->down_since_ms == 0 ||
                     core->now.mono_ms >= peer->down_since_ms + core->config.gateway_timeout_ms;
    if (timed_out && !peer->going && !rp_list_is_empty(&peer->sessions)) {
        struct rp_record_fields gone = {.kind = RP_RECORD_GONE, .aux = peer->incarnation};
        peer->going = true;
        rp_core_append(core, &gone);
    } else if (timed_out) {
        rp_core_peer_release(core, peer);
    }
}

/* ---- retention ---- */

void rp_core_border(struct rp_core *core, struct rp_bytes nsp, struct rp_bytes name, uint64_t seq) {
    core->border_max = seq > core->border_max ? seq : core->border_max;
    struct rp_room *room = rp_rooms_find(&core->rooms, nsp, name);
    if (room != NULL) {
        rp_share_border(room, seq);
    }
    if (seq <= core->tail.base) {
        return; /* who looks before the tail asks the engine, which knows */
    }
    room = rp_rooms_get(&core->rooms, nsp, name);
    room->border = seq > room->border ? seq : room->border;
    rp_list_remove(&room->bordered_node);
    rp_list_append(&core->bordered, &room->bordered_node);
}

/* Borders that the tail has left behind. */
static void forget_borders(struct rp_core *core) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->bordered, it, tmp) {
        struct rp_room *room = RP_CONTAINER_OF(it, struct rp_room, bordered_node);
        if (room->border <= core->tail.base) {
            room->border = 0;
            rp_list_remove(&room->bordered_node);
            rp_rooms_release(&core->rooms, room);
        }
    }
}

/* The newest seq that nobody needs the records of. The log tells which of the requests that a
 * gateway asks again are done, so those that one may not have seen the answers of stay, and the
 * newest one in any case. */
static uint64_t not_needed(const struct rp_core *core) {
    uint64_t pinned = rp_core_pinned(core), upto = core->head > 0 ? core->head - 1 : 0;
    struct rp_list *it, *tmp;
    upto = pinned < upto ? pinned : upto;
    RP_LIST_FOR(&core->peers, it, tmp) {
        const struct rp_peer *peer = RP_CONTAINER_OF(it, struct rp_peer, node);
        uint64_t seen = peer->has_seen > 0 ? peer->has_seen - 1 : 0;
        upto = seen < upto ? seen : upto;
    }
    return upto;
}

static void trim(struct rp_core *core) {
    if (core->trimming || core->now.mono_ms < core->next_trim_ms) {
        return;
    }
    uint64_t upto = not_needed(core);
    core->next_trim_ms = core->now.mono_ms + core->config.retention_ms;
    forget_borders(core);
    core->trimming = core->engine->ops->trim(core->engine, upto, core->now.wall_ms) == RP_OK;
}

static void tick(struct rp_core *core) {
    if (core->now.mono_ms < core->next_tick_ms) {
        return;
    }
    core->next_tick_ms = core->now.mono_ms + TICK_MS;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->peers, it, tmp) {
        tick_peer(core, RP_CONTAINER_OF(it, struct rp_peer, node));
    }
    rp_core_workers_tick(core);
    if (rp_core_wants_input(core)) {
        expire_sessions(core);
        trim(core);
    }
}

bool rp_core_turn(struct rp_core *core, struct rp_now now) {
    RP_ASSERT(!core->parted);
    core->now = now;
    bool more = take_outcomes(core);
    rp_core_flush_backlog(core);
    rp_share_turn(core);
    rp_core_answers_retry(core);
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->peers, it, tmp) {
        struct rp_peer *peer = RP_CONTAINER_OF(it, struct rp_peer, node);
        rp_core_pump(core, peer);
        rp_core_outbox_flush(peer);
    }
    RP_LIST_FOR(&core->peers, it, tmp) { /* behind what all gateways got just now */
        rp_core_behind_turn(core, RP_CONTAINER_OF(it, struct rp_peer, node));
    }
    more = rp_core_replay(core) || more;
    tick(core);
    RP_LIST_FOR(&core->peers, it, tmp) {
        struct rp_peer *peer = RP_CONTAINER_OF(it, struct rp_peer, node);
        if (peer->state != RP_PEER_DOWN && rp_link_heartbeat_due(&peer->link, now.mono_ms)) {
            rp_link_put_heartbeat(&peer->link, rp_core_peer_pos(core, peer), 0);
        }
    }
    return more;
}

bool rp_core_is_settled(const struct rp_core *core) {
    return core->undecided == 0;
}

size_t rp_core_goodbye(struct rp_core *core, struct rp_now now) {
    core->now = now;
    core->parted = true;
    size_t told = 0;
    struct rp_op op = {.kind = RP_OP_REFUSED,
                       .refused = {.code = RP_BYTES_LIT("stopping"),
                                   .message = RP_BYTES_LIT("the broker has been stopped")}};
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->peers, it, tmp) {
        struct rp_peer *peer = RP_CONTAINER_OF(it, struct rp_peer, node);
        if (peer->state != RP_PEER_DOWN) {
            rp_link_put(&peer->link, &op);
            told++;
        }
    }
    return told;
}

static bool take_stray(struct rp_core *core, uint64_t *ret_link_id, struct rp_buf *ret_message) {
    struct rp_list *first = rp_list_first(&core->strays);
    if (first == NULL) {
        return false;
    }
    struct rp_stray *stray = RP_CONTAINER_OF(first, struct rp_stray, node);
    *ret_link_id = stray->link_id;
    *ret_message = stray->bytes;
    core->strays_count--;
    rp_list_remove(first);
    free(stray);
    return true;
}

bool rp_core_take(struct rp_core *core, struct rp_now now, uint64_t *ret_link_id,
                  struct rp_buf *ret_message) {
    if (take_stray(core, ret_link_id, ret_message)) {
        return true;
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->peers, it, tmp) {
        struct rp_peer *peer = RP_CONTAINER_OF(it, struct rp_peer, node);
        if (peer->state != RP_PEER_DOWN && rp_link_take(&peer->link, now.mono_ms, ret_message)) {
            *ret_link_id = peer->link_id;
            return true;
        }
    }
    return false;
}

uint64_t rp_core_deadline_ms(const struct rp_core *core) {
    return core->next_tick_ms;
}

enum rp_err rp_core_failure(const struct rp_core *core) {
    return core->failure;
}

const char *rp_core_notice(struct rp_core *core) {
    static const char nothing[] = "";
    if (core->notice[0] == '\0' || core->notice_read) {
        core->notice[0] = '\0';
        core->notice_read = false;
        return nothing;
    }
    core->notice_read = true;
    return core->notice;
}

void rp_core_grant(struct rp_core *core, unsigned roles) {
    core->granted = roles;
}

uint64_t rp_core_roles_refused(const struct rp_core *core) {
    return core->stats.roles_refused;
}

const struct rp_core_stats *rp_core_stats(struct rp_core *core) {
    struct rp_core_stats *s = &core->stats;
    s->sessions = core->sessions.by_id.count;
    s->rooms = core->rooms.map.count;
    s->intervals = core->sessions.intervals_count;
    s->tasks_open = core->tasks.count;
    s->tasks_waiting = core->waiting_count;
    s->cursors = core->cursors_count;
    s->tail_records = core->tail.count;
    s->tail_bytes = core->tail.bytes;
    s->shared_bytes = core->share.bytes;
    s->shared_pages = core->share.count;
    s->head = core->head;
    s->first = core->first;
    s->connected = s->workers = s->unserved = 0;
    struct rp_list *it, *tmp, *session, *session_tmp;
    RP_LIST_FOR(&core->unserved, it, tmp) {
        s->unserved++;
    }
    RP_LIST_FOR(&core->peers, it, tmp) {
        struct rp_peer *peer = RP_CONTAINER_OF(it, struct rp_peer, node);
        s->workers += peer->is_worker && peer->state != RP_PEER_DOWN;
        RP_LIST_FOR(&peer->sessions, session, session_tmp) {
            s->connected++;
        }
    }
    s->gateways = core->by_link.count - s->workers;
    return s;
}
