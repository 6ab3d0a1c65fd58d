/* broker/task.c — tasks: requests of gateways that a worker decides upon (CONNECT, room events) or
 * handles (events of clients).
 *
 *     WAITING ──a worker──► GIVEN ──DECIDED──► ANSWERED ──the gateway has the answer──► freed
 *        ▲────worker lost─────┘  └──CONNECT: yes──► ADMITTED ──committed──► freed
 *
 * The broker keeps a task as its gateway keeps the request: neither is in the log. When the broker
 * dies, gateways ask again and workers repeat what they had answered; when a worker dies, the
 * broker asks the next; when both do, an event of a durable namespace comes again and any other is
 * refused, for nobody knows whether it was handled. */
#include "broker/state.h"

#include "common/alloc.h"
#include "proto/json.h"

#include <stdlib.h>

/* ---- keeping ---- */

static uint64_t hash_of(uint64_t origin, uint64_t num) {
    return rp_hash_u64(origin ^ rp_hash_u64(num));
}

struct rp_task *rp_core_task(const struct rp_core *core, uint64_t origin, uint64_t num) {
    uint64_t hash = hash_of(origin, num);
    for (struct rp_map_node *n = rp_map_first(&core->tasks, hash); n; n = rp_map_next(n, hash)) {
        struct rp_task *task = RP_CONTAINER_OF(n, struct rp_task, node);
        if (task->origin == origin && task->num == num) {
            return task;
        }
    }
    return NULL;
}

static struct rp_bytes encode(struct rp_core *core, const struct rp_op *op) {
    rp_buf_clear(&core->parcel);
    enum rp_err err = rp_op_put(&core->parcel, op);
    RP_ASSERT(err == RP_OK);
    uint8_t *copy = rp_realloc(NULL, core->parcel.len);
    memcpy(copy, core->parcel.data, core->parcel.len);
    struct rp_bytes encoded = rp_bytes(copy, core->parcel.len);
    rp_buf_shrink(&core->parcel, RP_LINK_BATCH_BYTES);
    return encoded;
}

/* The request, its views into the task. */
static struct rp_op request_of(struct rp_core *core, const struct rp_task *task) {
    struct rp_bytes in = task->op;
    struct rp_op op;
    enum rp_err err = rp_op_next(core->own_reader, &in, &op);
    RP_ASSERT(err == RP_OK);
    return op;
}

static struct rp_task *task_new(struct rp_core *core, const struct rp_peer *origin, uint64_t num,
                                const struct rp_op *op, struct rp_session *session) {
    struct rp_task *task = RP_NEW(struct rp_task);
    task->kind = op->kind;
    task->origin = origin->incarnation;
    task->num = num;
    task->asked = origin->hellos;
    task->since_ms = core->now.mono_ms;
    task->session = session;
    task->op = encode(core, op);
    task->state = RP_TASK_GIVEN;
    rp_map_add(&core->tasks, &task->node, hash_of(task->origin, num));
    if (session != NULL) {
        rp_list_append(&session->app->tasks, &task->session_node);
    } else {
        rp_list_append(&core->admissions, &task->list_node);
    }
    core->stats.tasks++;
    return task;
}

static void stop_waiting(struct rp_core *core, struct rp_task *task) {
    if (rp_list_is_linked(&task->wait_node)) {
        rp_list_remove(&task->wait_node);
        core->waiting_count--;
        core->waiting_bytes -= task->op.len;
    }
}

static void wait_for_worker(struct rp_core *core, struct rp_task *task) {
    task->state = RP_TASK_WAITING;
    if (!rp_list_is_linked(&task->wait_node)) {
        task->since_ms = core->now.mono_ms;
        rp_list_append(&core->tasks_waiting, &task->wait_node);
        core->waiting_count++;
        core->waiting_bytes += task->op.len;
    }
}

void rp_core_task_free(struct rp_core *core, struct rp_task *task) {
    stop_waiting(core, task);
    rp_list_remove(&task->session_node);
    rp_list_remove(&task->list_node);
    rp_list_remove(&task->origin_node);
    rp_map_remove(&core->tasks, &task->node);
    free((void *) task->op.data);
    free(task);
}

/* ---- answering ---- */

/* The origin, if it has asked on the link that it has now. What is appended for it after that link
 * began and before it asks again would be done twice. */
static struct rp_peer *origin_of(const struct rp_core *core, const struct rp_task *task) {
    struct rp_peer *origin = rp_core_peer_of(core, task->origin);
    return origin != NULL && origin->state != RP_PEER_DOWN && task->asked == origin->hellos ? origin
                                                                                            : NULL;
}

/* Puts an answer on the link, if there is one, behind all that was delivered before it; those that
 * were put lie in this order. */
static void post_answer(struct rp_peer *origin, struct rp_task *task) {
    rp_list_remove(&task->origin_node);
    rp_list_append(&origin->answered, &task->origin_node);
    rp_core_post_encoded(origin, task->op);
    bool is_put = origin->state == RP_PEER_UP && rp_list_is_empty(&origin->outbox);
    task->answered_at = is_put ? origin->link.sent_bytes : 0;
}

/* The answer, which is kept until the gateway has it: if its link is lost it will ask again. */
static void answer(struct rp_core *core, struct rp_task *task, const struct rp_op *op) {
    struct rp_peer *origin = rp_core_peer_of(core, task->origin);
    stop_waiting(core, task);
    rp_list_remove(&task->session_node);
    rp_list_remove(&task->list_node);
    if (origin == NULL) {
        rp_core_task_free(core, task);
        return;
    }
    struct rp_bytes encoded = encode(core, op);
    free((void *) task->op.data);
    task->op = encoded;
    task->state = RP_TASK_ANSWERED;
    task->session = NULL;
    task->serving = NULL;
    post_answer(origin, task);
}

/* A gateway has what it has dealt with, so that one request that takes long does not keep the
 * answers to all that came after it. What waits in the outbox is on the link when that is empty. */
void rp_core_tasks_heard(struct rp_core *core, struct rp_peer *gateway) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&gateway->answered, it, tmp) {
        struct rp_task *task = RP_CONTAINER_OF(it, struct rp_task, origin_node);
        if (task->answered_at == 0 && rp_list_is_empty(&gateway->outbox)) {
            task->answered_at = gateway->link.sent_bytes;
        }
        if (task->answered_at == 0 || task->answered_at > gateway->link.peer_consumed) {
            return;
        }
        rp_core_task_free(core, task);
    }
}

void rp_core_tasks_link_lost(struct rp_peer *gateway) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&gateway->answered, it, tmp) {
        RP_CONTAINER_OF(it, struct rp_task, origin_node)->answered_at = 0;
    }
}

void rp_core_tasks_asked(struct rp_core *core, struct rp_peer *gateway) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&gateway->answered, it, tmp) {
        struct rp_task *task = RP_CONTAINER_OF(it, struct rp_task, origin_node);
        if (task->asked != gateway->hellos) {
            rp_core_task_free(core, task);
        }
    }
}

static void answer_failed(struct rp_core *core, struct rp_task *task, struct rp_bytes code,
                          struct rp_bytes message, struct rp_bytes data) {
    struct rp_op op = {
        .kind = RP_OP_FAILED,
        .failed = {.num = task->num, .code = code, .message = message, .data = data}};
    core->stats.requests_refused++;
    answer(core, task, &op);
}

static void refuse(struct rp_core *core, struct rp_task *task, const char *code,
                   const char *message) {
    answer_failed(core, task, rp_bytes_str(code), rp_bytes_str(message), rp_bytes(NULL, 0));
}

void rp_core_tasks_settled(struct rp_core *core, struct rp_peer *gateway, uint64_t lowest) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->admissions, it, tmp) { /* admitted, and then not asked for again */
        struct rp_task *task = RP_CONTAINER_OF(it, struct rp_task, list_node);
        if (task->origin == gateway->incarnation && task->num < lowest) {
            rp_core_task_free(core, task);
        }
    }
    gateway->lowest = lowest > gateway->lowest ? lowest : gateway->lowest;
}

void rp_core_tasks_origin_gone(struct rp_core *core, struct rp_peer *gateway) {
    gateway->hellos++; /* on this one nothing will be asked */
    rp_core_tasks_asked(core, gateway);
    rp_core_tasks_settled(core, gateway, UINT64_MAX);
}

/* ---- giving ---- */

/* The session that a CONNECT would resume, or NULL. */
static const struct rp_session *returning(const struct rp_core *core,
                                          const struct rp_op_connect *connect) {
    const struct rp_session *session =
        connect->resume_hash.len == RP_PID_HASH_LEN
            ? rp_sessions_find_pid(&core->sessions, connect->resume_hash)
            : NULL;
    bool usable = session != NULL && session->app != NULL && !session->ending &&
                  rp_bytes_eq(rp_session_nsp(session), connect->nsp);
    return usable ? session : NULL;
}

/* Who is asked about a CONNECT: the worker that has the session, or the one with the least to do.
 */
static struct rp_serving *server_of(const struct rp_core *core, const struct rp_op_connect *connect,
                                    const struct rp_policy *policy) {
    const struct rp_session *session = returning(core, connect);
    bool served = session != NULL && session->app->serving != NULL;
    return served ? session->app->serving : rp_core_choose(policy);
}

static void give_admission(struct rp_core *core, struct rp_task *task, const struct rp_op *op) {
    const struct rp_op_connect *connect = &op->connect;
    const struct rp_session *session = returning(core, connect);
    struct rp_op admit = {.kind = RP_OP_ADMIT,
                          .admit = {.origin = task->origin,
                                    .num = task->num,
                                    .session = session != NULL ? session->id : 0,
                                    .nsp = connect->nsp,
                                    .sid = session != NULL ? rp_session_sid(session) : connect->sid,
                                    .handshake = connect->handshake}};
    rp_core_post(core, task->serving->peer, &admit);
}

/* Whether an event comes again. Its worker vouches for it if it has had all of the session's events
 * that may come again; anywhere else the event of a namespace that is not durable is answered by
 * whoever has handled it, or refused. */
static enum rp_op_again again_of(const struct rp_task *task) {
    const struct rp_app *app = task->session->app;
    bool may_repeat = app->kept || (app->serving->policy->flags & RP_RECORD_DURABLE) != 0;
    return !task->again ? RP_OP_AGAIN_NOT : may_repeat ? RP_OP_AGAIN : RP_OP_AGAIN_KNOWN;
}

static void give_event(struct rp_core *core, struct rp_task *task, const struct rp_op *op) {
    const struct rp_peer *origin = rp_core_peer_of(core, task->origin);
    struct rp_op invoke = {.kind = RP_OP_INVOKE,
                           .invoke = {.origin = task->origin,
                                      .num = task->num,
                                      .lowest = origin != NULL ? origin->lowest : 0,
                                      .session = task->session->id,
                                      .again = again_of(task),
                                      .wants_ack = op->event.wants_ack,
                                      .name = op->event.name,
                                      .args = op->event.args,
                                      .attachments = op->event.attachments}};
    rp_core_post(core, task->session->app->serving->peer, &invoke);
    core->stats.invoked++;
}

static void give_check(struct rp_core *core, struct rp_task *task, const struct rp_op *op) {
    struct rp_op_check check = {
        .origin = task->origin, .num = task->num, .session = task->session->id};
    switch (op->kind) {
    case RP_OP_JOIN:
        check.what = RP_OP_CHECK_JOIN;
        check.room = op->join.room;
        break;
    case RP_OP_LEAVE:
        check.what = RP_OP_CHECK_LEAVE;
        check.room = op->leave.room;
        break;
    case RP_OP_PUBLISH:
        check.what = RP_OP_CHECK_PUBLISH;
        check.room = op->publish.room;
        check.name = op->publish.name;
        check.args = op->publish.args;
        break;
    case RP_OP_HISTORY:
        check.what = RP_OP_CHECK_HISTORY;
        check.room = op->history.room;
        break;
    default:
        check.what = RP_OP_CHECK_PRESENCE;
        check.room = op->presence.room;
        break;
    }
    struct rp_op out = {.kind = RP_OP_CHECK, .check = check};
    rp_core_post(core, task->session->app->serving->peer, &out);
}

/* Sends it to its worker; one whose link is away gets it with the next. request: the task's, where
 * it is at hand; otherwise NULL. */
static void give_request(struct rp_core *core, struct rp_task *task, const struct rp_op *request) {
    const struct rp_serving *serving =
        task->session != NULL ? task->session->app->serving : task->serving;
    stop_waiting(core, task);
    task->state = RP_TASK_GIVEN;
    if (serving->peer->state != RP_PEER_UP) {
        return;
    }
    struct rp_op op = request != NULL ? *request : request_of(core, task);
    task->once = !task->sent && !task->again;
    task->sent = true;
    task->given = task->given_link_id == serving->peer->link_id ? task->given + 1 : 1;
    task->given_link_id = serving->peer->link_id;
    if (op.kind == RP_OP_CONNECT) {
        give_admission(core, task, &op);
    } else if (op.kind == RP_OP_EVENT) {
        give_event(core, task, &op);
    } else {
        give_check(core, task, &op);
    }
}

static void give(struct rp_core *core, struct rp_task *task) {
    give_request(core, task, NULL);
}

/* Whether one more may wait; otherwise it is refused. */
static bool may_wait(struct rp_core *core, struct rp_peer *peer, uint64_t num) {
    if (core->waiting_count < RP_TASKS_WAITING_MAX &&
        core->waiting_bytes < RP_TASKS_WAITING_BYTES_MAX) {
        return true;
    }
    core->stats.tasks_refused++;
    rp_core_put_failed(peer, num, "unavailable", "too much waits for a worker of this namespace");
    return false;
}

void rp_core_tasks_give(struct rp_core *core, struct rp_session *session) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&session->app->tasks, it, tmp) {
        struct rp_task *task = RP_CONTAINER_OF(it, struct rp_task, session_node);
        give(core, task);
    }
}

/* ---- requests become tasks ---- */

/* A request that is a task already: its answer, if it has one, is repeated. */
static bool is_task(struct rp_core *core, struct rp_peer *peer, uint64_t num) {
    struct rp_task *task = rp_core_task(core, peer->incarnation, num);
    if (task == NULL) {
        return false;
    }
    core->stats.requests_resent++;
    task->asked = peer->hellos;
    if (task->state == RP_TASK_ANSWERED) {
        post_answer(peer, task);
    } else if (task->state == RP_TASK_ADMITTED) { /* and not in flight, or it would be known */
        struct rp_op op = request_of(core, task);
        rp_core_connect(core, peer, &op.connect);
    }
    return true;
}

static void give_or_wait(struct rp_core *core, struct rp_task *task, const struct rp_op *op) {
    if (task->session->app->serving != NULL) {
        give_request(core, task, op);
        return;
    }
    wait_for_worker(core, task);
    if (!rp_list_is_linked(&task->session->app->serving_node)) {
        rp_list_append(&core->unserved, &task->session->app->serving_node);
    }
}

void rp_core_admit(struct rp_core *core, struct rp_peer *peer, const struct rp_op_connect *connect,
                   const struct rp_policy *policy) {
    if (is_task(core, peer, connect->num)) {
        return;
    }
    struct rp_op op = {.kind = RP_OP_CONNECT, .connect = *connect};
    struct rp_serving *serving = server_of(core, connect, policy);
    if (serving == NULL && !may_wait(core, peer, connect->num)) {
        return;
    }
    struct rp_task *task = task_new(core, peer, connect->num, &op, NULL);
    task->serving = serving;
    if (serving != NULL) {
        give_request(core, task, &op);
    } else {
        wait_for_worker(core, task);
    }
}

void rp_core_client_event(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op) {
    const struct rp_op_event *event = &op->event;
    if (is_task(core, peer, event->num)) {
        return;
    }
    struct rp_session *session =
        rp_core_valid_session(core, peer, event->num, event->session, event->conn);
    if (session == NULL) {
        return;
    }
    if (session->app == NULL || event->name.len == 0 || event->name.len > RP_EVENT_BYTES_MAX ||
        !rp_core_valid_payload(event->args, event->attachments)) {
        rp_core_put_failed(peer, event->num, "bad_args", "malformed EVENT");
        return;
    }
    if (session->app->serving == NULL && !may_wait(core, peer, event->num)) {
        return;
    }
    struct rp_task *task = task_new(core, peer, event->num, op, session);
    task->again = event->again != 0 && event->num < peer->old_below;
    give_or_wait(core, task, op);
}

void rp_core_check(struct rp_core *core, struct rp_peer *peer, struct rp_session *session,
                   const struct rp_op *op) {
    uint64_t num = op->join.num; /* every request begins with it */
    if (is_task(core, peer, num) || (session->app->serving == NULL && !may_wait(core, peer, num))) {
        return;
    }
    give_or_wait(core, task_new(core, peer, num, op, session), op);
}

/* ---- decisions ---- */

static void admission_decided(struct rp_core *core, struct rp_task *task,
                              const struct rp_op_decided *op) {
    if (op->verdict == RP_OP_DISOWNED || rp_bytes_eq_str(op->code, "overloaded")) {
        refuse(core, task, "unavailable", "the worker cannot decide now"); /* no final answer */
        return;
    }
    if (op->verdict != RP_OP_YES) {
        core->stats.admissions_refused++;
        answer_failed(core, task, RP_BYTES_LIT("refused"), op->message, op->args);
        return;
    }
    struct rp_peer *origin = origin_of(core, task);
    task->state = RP_TASK_ADMITTED;
    if (origin != NULL) { /* or else it will ask again, and find itself admitted */
        struct rp_op request = request_of(core, task);
        rp_core_connect(core, origin, &request.connect);
    }
}

static void event_handled(struct rp_core *core, struct rp_task *task,
                          const struct rp_op_decided *op) {
    struct rp_op done = {.kind = RP_OP_DONE, .done = {.num = task->num}};
    if (op->args.len > 0) {
        done = (struct rp_op){
            .kind = RP_OP_ANSWER,
            .answer = {.num = task->num, .args = op->args, .attachments = op->attachments}};
    }
    answer(core, task, &done);
}

static void check_passed(struct rp_core *core, struct rp_task *task) {
    struct rp_peer *origin = origin_of(core, task);
    if (origin != NULL) { /* or else it will ask again, and so shall we */
        struct rp_op request = request_of(core, task);
        rp_core_room_request(core, origin, &request);
    }
    rp_core_task_free(core, task);
}

/* The worker does not know the socket: it is told once more, and then given the tasks again. If
 * this task was given again already, because another one was disowned, that is yet to be answered.
 */
static void disowned(struct rp_core *core, struct rp_task *task) {
    struct rp_session *session = task->session;
    core->stats.disowned++;
    if (task->given > 1) {
        task->given--;
        return;
    }
    task->given = 0;
    rp_core_socket_begins(core, session, session->app->serving, RP_OP_SOCKET_ADOPTED);
}

/* An answer becomes part of what gateways and clients get. */
static bool valid_decision(const struct rp_task *task, const struct rp_op_decided *op) {
    struct rp_bytes value;
    bool small = op->code.len <= RP_EVENT_BYTES_MAX && op->message.len <= RP_DECISION_BYTES_MAX;
    if (!small || op->verdict > RP_OP_DISOWNED) {
        return false;
    }
    if (op->args.len == 0) {
        return op->attachments.len == 0;
    }
    if (task->kind == RP_OP_CONNECT) {
        return op->attachments.len == 0 && op->args.len <= RP_DECISION_BYTES_MAX &&
               rp_json_whole(op->args, &value) == RP_OK;
    }
    return rp_core_valid_payload(op->args, op->attachments);
}

void rp_core_decided(struct rp_core *core, struct rp_peer *worker, const struct rp_op_decided *op) {
    struct rp_task *task = rp_core_task(core, op->origin, op->num);
    if (task == NULL || task->state != RP_TASK_GIVEN) {
        return;
    }
    const struct rp_serving *serving =
        task->session != NULL ? task->session->app->serving : task->serving;
    if (serving == NULL || serving->peer != worker) {
        return; /* it was given to another meanwhile */
    }
    if (!valid_decision(task, op)) {
        refuse(core, task, "worker_error", "the worker's answer is malformed");
    } else if (task->kind == RP_OP_CONNECT) {
        admission_decided(core, task, op);
    } else if (op->verdict == RP_OP_DISOWNED) {
        disowned(core, task);
    } else if (op->verdict != RP_OP_YES) {
        answer_failed(core, task, op->code, op->message, rp_bytes(NULL, 0));
    } else if (task->kind == RP_OP_EVENT) {
        event_handled(core, task, op);
    } else {
        check_passed(core, task);
    }
}

/* ---- losses ---- */

void rp_core_tasks_orphaned(struct rp_core *core, struct rp_session *session, bool durable) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&session->app->tasks, it, tmp) {
        struct rp_task *task = RP_CONTAINER_OF(it, struct rp_task, session_node);
        if (task->kind != RP_OP_EVENT || !task->sent || durable) {
            task->again = task->again || task->sent;
            task->sent = false;
            wait_for_worker(core, task);
        } else {
            refuse(core, task, "worker_lost", "the worker that had it is gone");
        }
    }
}

void rp_core_tasks_unbegun(struct rp_session *session) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&session->app->tasks, it, tmp) {
        struct rp_task *task = RP_CONTAINER_OF(it, struct rp_task, session_node);
        task->sent = task->sent && !task->once;
    }
}

void rp_core_tasks_ended(struct rp_core *core, struct rp_session *session) {
    struct rp_list *first;
    while ((first = rp_list_first(&session->app->tasks)) != NULL) {
        struct rp_task *task = RP_CONTAINER_OF(first, struct rp_task, session_node);
        refuse(core, task, "superseded", "the session has ended");
    }
}

void rp_core_admissions_orphaned(struct rp_core *core, const struct rp_serving *serving) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->admissions, it, tmp) {
        struct rp_task *task = RP_CONTAINER_OF(it, struct rp_task, list_node);
        if (task->serving == serving) {
            task->serving = NULL;
            if (task->state == RP_TASK_GIVEN) {
                wait_for_worker(core, task);
            }
        }
    }
}

void rp_core_admissions_give(struct rp_core *core, const struct rp_serving *serving) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->admissions, it, tmp) {
        struct rp_task *task = RP_CONTAINER_OF(it, struct rp_task, list_node);
        if (task->serving == serving && task->state == RP_TASK_GIVEN) {
            give(core, task);
        }
    }
}

void rp_core_admissions_retry(struct rp_core *core) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->admissions, it, tmp) {
        struct rp_task *task = RP_CONTAINER_OF(it, struct rp_task, list_node);
        if (task->state != RP_TASK_WAITING) {
            continue;
        }
        struct rp_op op = request_of(core, task);
        const struct rp_policy *policy = rp_policy_of(&core->policies, op.connect.nsp);
        task->serving = policy != NULL ? server_of(core, &op.connect, policy) : NULL;
        if (task->serving != NULL) {
            give(core, task);
        }
    }
}

/* There was no worker for too long. One that is gone may have handled it; where that counts, it is
 * said. */
static void refuse_waiting(struct rp_core *core, struct rp_task *task) {
    const struct rp_policy *policy =
        task->session != NULL ? rp_policy_of(&core->policies, rp_session_nsp(task->session)) : NULL;
    bool durable = policy != NULL && (policy->flags & RP_RECORD_DURABLE) != 0;
    if (task->again && !durable) {
        refuse(core, task, "worker_lost", "the worker that may have handled it is gone");
    } else {
        refuse(core, task, "unavailable", "no worker serves this namespace now");
    }
}

void rp_core_tasks_expire(struct rp_core *core) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->admissions, it,
                tmp) { /* its client is gone, but the gateway must not fill */
        struct rp_task *task = RP_CONTAINER_OF(it, struct rp_task, list_node);
        if (task->state == RP_TASK_GIVEN &&
            core->now.mono_ms >= task->since_ms + RP_ADMISSION_WAIT_MS) {
            core->stats.tasks_refused++;
            refuse(core, task, "unavailable", "the worker does not decide");
        }
    }
    RP_LIST_FOR(&core->tasks_waiting, it, tmp) {
        struct rp_task *task = RP_CONTAINER_OF(it, struct rp_task, wait_node);
        uint64_t wait_ms = task->kind == RP_OP_CONNECT ? RP_ADMISSION_WAIT_MS : RP_TASK_WAIT_MS;
        if (core->now.mono_ms >= task->since_ms + wait_ms) {
            core->stats.tasks_refused++;
            refuse_waiting(core, task);
        }
    }
}
