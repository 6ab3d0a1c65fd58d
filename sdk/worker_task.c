/* sdk/worker_task.c — what the worker is asked: whether a client may connect, events, room events,
 * events of other workers.
 *
 * A task is named by (origin, num). Its answer is kept until the origin says that it will not ask
 * again (INVOKE.lowest), so that a task that comes twice, because a link was lost, gets the same
 * answer and is handled once. A task that comes again while it is under way is not a new one. */
#include "sdk/worker_state.h"

#include <stdlib.h>

/* ---- names ---- */

static uint64_t hash_name(uint64_t origin, uint64_t num) {
    return rp_hash_u64(origin ^ rp_hash_u64(num));
}

static struct rp_worker_task *find_task(const struct rp_worker *w, uint64_t origin, uint64_t num) {
    uint64_t hash = hash_name(origin, num);
    for (struct rp_map_node *n = rp_map_first(&w->tasks, hash); n; n = rp_map_next(n, hash)) {
        struct rp_worker_task *t = RP_CONTAINER_OF(n, struct rp_worker_task, by_name);
        if (t->origin == origin && t->num == num) {
            return t;
        }
    }
    return NULL;
}

static struct rp_worker_answer *find_answer(const struct rp_worker *w, uint64_t origin,
                                            uint64_t num) {
    uint64_t hash = hash_name(origin, num);
    for (struct rp_map_node *n = rp_map_first(&w->answers_by_name, hash); n;
         n = rp_map_next(n, hash)) {
        struct rp_worker_answer *a = RP_CONTAINER_OF(n, struct rp_worker_answer, by_name);
        if (a->origin->id == origin && a->num == num) {
            return a;
        }
    }
    return NULL;
}

static struct rp_worker_origin *find_origin(const struct rp_worker *w, uint64_t id) {
    uint64_t hash = rp_hash_u64(id);
    for (struct rp_map_node *n = rp_map_first(&w->origins, hash); n; n = rp_map_next(n, hash)) {
        struct rp_worker_origin *o = RP_CONTAINER_OF(n, struct rp_worker_origin, by_id);
        if (o->id == id) {
            return o;
        }
    }
    return NULL;
}

/* ---- answers ---- */

static void forget_answer(struct rp_worker *w, struct rp_worker_answer *a) {
    struct rp_worker_origin *origin = a->origin;
    w->stats.answers_count--;
    w->stats.answers_bytes -= a->len;
    rp_map_remove(&w->answers_by_name, &a->by_name);
    if (w->unsent_answer == &a->node) {
        w->unsent_answer = a->node.next;
    }
    rp_list_remove(&a->node);
    rp_list_remove(&a->origin_node);
    free(a);
    if (rp_list_is_empty(&origin->answers)) {
        rp_map_remove(&w->origins, &origin->by_id);
        free(origin);
    }
}

/* Answers were given in nearly the order of nums: one that was late stays until it is first. */
static void forget_below(struct rp_worker *w, uint64_t id, uint64_t lowest) {
    struct rp_worker_origin *origin = find_origin(w, id);
    while (origin != NULL) {
        struct rp_worker_answer *a =
            RP_CONTAINER_OF(rp_list_first(&origin->answers), struct rp_worker_answer, origin_node);
        if (a->num >= lowest) {
            return;
        }
        bool was_last = a->origin_node.next == &origin->answers;
        forget_answer(w, a);
        if (was_last) {
            return;
        }
    }
}

static struct rp_worker_answer *keep_answer(struct rp_worker *w, uint64_t id, uint64_t num,
                                            struct rp_bytes encoded) {
    struct rp_worker_origin *origin = find_origin(w, id);
    if (origin == NULL) {
        origin = RP_NEW(struct rp_worker_origin);
        origin->id = id;
        rp_list_init(&origin->answers);
        rp_map_add(&w->origins, &origin->by_id, rp_hash_u64(id));
    }
    struct rp_worker_answer *a = rp_alloc(sizeof *a + encoded.len);
    a->origin = origin;
    a->num = num;
    a->behind = w->next_num;
    a->queued = false;
    a->len = encoded.len;
    memcpy(a->encoded, encoded.data, encoded.len);
    rp_list_append(&origin->answers, &a->origin_node);
    rp_list_append(&w->answers, &a->node);
    rp_map_add(&w->answers_by_name, &a->by_name, hash_name(id, num));
    w->stats.answers_count++;
    w->stats.answers_bytes += a->len;
    while (w->stats.answers_count > 1 && (w->stats.answers_count > RP_SDK_ANSWERS_MAX ||
                                          w->stats.answers_bytes > RP_SDK_ANSWERS_BYTES_MAX)) {
        struct rp_worker_answer *oldest =
            RP_CONTAINER_OF(rp_list_first(&w->answers), struct rp_worker_answer, node);
        w->stats.answers_dropped++;
        w->dropped_unsent = w->dropped_unsent || oldest->queued;
        forget_answer(w, oldest);
    }
    return a;
}

/* An answer goes behind what the worker asked for before it: a client has no ack before what its
 * handler emitted. */
static void send_answer(struct rp_worker *w, struct rp_worker_answer *a) {
    if (w->link_state != RP_WORKER_UP || w->parted || a->queued) {
        return;
    }
    rp_list_remove(&a->node);
    rp_list_append(&w->answers, &a->node);
    a->queued = true;
    if (w->unsent_answer == &w->answers) {
        w->unsent_answer = &a->node;
    }
    rp_worker_request_send(w);
}

void rp_worker_answers_send(struct rp_worker *w) {
    uint64_t unsent = UINT64_MAX;
    if (w->unsent != &w->requests) {
        unsent = RP_CONTAINER_OF(w->unsent, struct rp_worker_request, node)->num;
    }
    while (w->unsent_answer != &w->answers) {
        struct rp_worker_answer *a =
            RP_CONTAINER_OF(w->unsent_answer, struct rp_worker_answer, node);
        if (unsent < a->behind) {
            return;
        }
        rp_link_put_bytes(&w->link, rp_bytes(a->encoded, a->len));
        a->queued = false;
        w->unsent_answer = a->node.next;
    }
}

bool rp_worker_answers_are_sent(const struct rp_worker *w) {
    return w->unsent_answer == &w->answers && !w->dropped_unsent;
}

void rp_worker_answers_link_lost(struct rp_worker *w) {
    w->dropped_unsent = false; /* what was not answered will have been sent twice */
    while (w->unsent_answer != &w->answers) {
        RP_CONTAINER_OF(w->unsent_answer, struct rp_worker_answer, node)->queued = false;
        w->unsent_answer = w->unsent_answer->next;
    }
}

/* An answer on the spot, which is not kept: asked again, it would be found anew. */
static void answer_at_once(struct rp_worker *w, uint64_t origin, uint64_t num,
                           enum rp_op_decision verdict, const char *code, const char *message) {
    struct rp_op op = {.kind = RP_OP_DECIDED,
                       .decided = {.origin = origin,
                                   .num = num,
                                   .verdict = verdict,
                                   .code = rp_bytes_str(code),
                                   .message = rp_bytes_str(message)}};
    rp_link_put(&w->link, &op);
}

static struct rp_bytes cut(struct rp_bytes text, size_t len_max) {
    size_t len = text.len < len_max ? text.len : len_max;
    while (len < text.len && len > 0 && (text.data[len] & 0xC0) == 0x80) {
        len--; /* not through a character */
    }
    return rp_bytes(text.data, len);
}

/* Who does not ack does not answer, and the other worker's time runs out. */
static void answer_side(struct rp_worker *w, const struct rp_worker_task *t, struct rp_bytes args) {
    if (w->link_state == RP_WORKER_UP && w->link_number == t->link && t->wants_ack &&
        args.len > 0) {
        struct rp_op op = {.kind = RP_OP_SIDE_ANSWER, .side_answer = {.id = t->num, .args = args}};
        rp_link_put(&w->link, &op);
    }
}

static void task_free(struct rp_worker_task *t);

enum reprise_err rp_worker_decide(struct rp_worker_task *t, const struct rp_op_decided *answer) {
    struct rp_worker *w = t->worker;
    if (w == NULL || t->decided) {
        if (!t->decided) { /* nobody waits for it; but it is done with */
            t->decided = true;
            task_free(t);
        }
        return REPRISE_E_GONE;
    }
    t->decided = true;
    w->undecided_count--;
    rp_map_remove(&w->tasks, &t->by_name);
    if (t->kind == RP_WORKER_TASK_SIDE) {
        answer_side(w, t, answer->args);
    } else {
        struct rp_op op = {.kind = RP_OP_DECIDED, .decided = *answer};
        op.decided.origin = t->origin;
        op.decided.num = t->num;
        op.decided.code = cut(answer->code, RP_FAILURE_CODE_BYTES_MAX);
        op.decided.message = cut(answer->message, RP_FAILURE_MESSAGE_BYTES_MAX);
        rp_buf_clear(&w->scratch);
        enum rp_err err = rp_op_put(&w->scratch, &op);
        RP_ASSERT(err == RP_OK); /* what a builder gives is far below the buffer's bound */
        send_answer(w, keep_answer(w, t->origin, t->num, rp_buf_bytes(&w->scratch)));
        rp_buf_shrink(&w->scratch, RP_LINK_BATCH_BYTES);
    }
    task_free(t);
    return REPRISE_OK;
}

/* ---- tasks ---- */

static size_t bytes_of(const struct rp_worker_task *t) {
    return sizeof *t + t->args.len + t->attachments.len;
}

/* Once nobody needs it. */
static void task_free(struct rp_worker_task *t) {
    if (t->busy || t->held || !t->decided) {
        return;
    }
    if (t->worker != NULL) {
        t->worker->stats.tasks_count--;
        t->worker->stats.tasks_bytes -= bytes_of(t);
    }
    rp_list_remove(&t->node);
    rp_worker_socket_unref(t->socket);
    free(t->copy);
    free(t);
}

/* Copies a text with a NUL behind it to *at. */
static struct rp_bytes put_text(char **at, struct rp_bytes text) {
    struct rp_bytes copy = rp_bytes(*at, text.len);
    if (text.len > 0) {
        memcpy(*at, text.data, text.len);
    }
    *at += text.len + 1;
    return copy;
}

/* What was read of an operation. The views become the task's: texts at once, the rest if held. */
static struct rp_worker_task *task_new(struct rp_worker *w, const struct rp_worker_task *from) {
    size_t texts = from->nsp.len + from->sid.len + from->name.len + from->room.len + 4;
    struct rp_worker_task *t = rp_alloc(sizeof *t + texts);
    *t = *from;
    char *at = t->texts;
    t->nsp = put_text(&at, from->nsp);
    t->sid = put_text(&at, from->sid);
    t->name = put_text(&at, from->name);
    t->room = put_text(&at, from->room);
    t->worker = w;
    t->link = w->link_number;
    t->busy = true;
    if (t->socket != NULL) {
        rp_worker_socket_ref(t->socket);
    }
    rp_map_add(&w->tasks, &t->by_name, hash_name(t->origin, t->num));
    rp_list_append(&w->tasks_list, &t->node);
    w->undecided_count++;
    w->stats.tasks_count++;
    w->stats.tasks_bytes += bytes_of(t);
    return t;
}

static void own(struct rp_worker_task *t) {
    if (t->owned) {
        return;
    }
    t->copy = rp_alloc(t->args.len + t->attachments.len);
    if (t->args.len > 0) {
        memcpy(t->copy, t->args.data, t->args.len);
    }
    if (t->attachments.len > 0) {
        memcpy(t->copy + t->args.len, t->attachments.data, t->attachments.len);
    }
    t->args = rp_bytes(t->copy, t->args.len);
    t->attachments = rp_bytes(t->copy + t->args.len, t->attachments.len);
    t->owned = true;
}

void rp_worker_task_settle(struct rp_worker_task *t) {
    t->busy = false;
    if (!t->decided) {
        own(t);
    }
    task_free(t);
}

void rp_worker_task_hold(struct rp_worker_task *t) {
    own(t);
    t->held = true;
}

void rp_worker_task_release(struct rp_worker_task *t) {
    t->held = false;
    task_free(t);
}

/* Whether a task is new and may begin. */
static bool is_new(struct rp_worker *w, uint64_t origin, uint64_t num, size_t bytes) {
    struct rp_worker_answer *answer = find_answer(w, origin, num);
    if (answer != NULL) {
        w->stats.tasks_repeated++;
        send_answer(w, answer);
        return false;
    }
    if (find_task(w, origin, num) != NULL) {
        w->stats.tasks_repeated++;
        return false; /* under way */
    }
    if (w->leaving) {
        return false; /* the broker gives it to another */
    }
    if (w->stats.tasks_count >= RP_SDK_TASKS_MAX ||
        w->stats.tasks_bytes + bytes > RP_SDK_TASKS_BYTES_MAX) {
        w->stats.tasks_refused++;
        answer_at_once(w, origin, num, RP_OP_NO, "overloaded",
                       "the application has too much under way");
        return false;
    }
    return true;
}

static bool give(struct rp_worker *w, const struct rp_worker_task *from,
                 struct rp_worker_happening *ret) {
    struct rp_worker_task *t = task_new(w, from);
    *ret = (struct rp_worker_happening){
        .kind = RP_WORKER_TASK, .task = t, .socket = t->socket, .served = t->served};
    return true;
}

bool rp_worker_got_admit(struct rp_worker *w, const struct rp_op_admit *op,
                         struct rp_worker_happening *ret) {
    if (!is_new(w, op->origin, op->num, op->handshake.len)) {
        return false;
    }
    struct rp_worker_task task = {.kind = RP_WORKER_TASK_ADMIT,
                                  .origin = op->origin,
                                  .num = op->num,
                                  .session = op->session,
                                  .served = rp_worker_served_for(w, op->nsp),
                                  .nsp = op->nsp,
                                  .sid = op->sid,
                                  .args = op->handshake};
    if (task.served == NULL) {
        answer_at_once(w, op->origin, op->num, RP_OP_DISOWNED, NULL, NULL);
        return false;
    }
    return give(w, &task, ret);
}

bool rp_worker_got_invoke(struct rp_worker *w, const struct rp_op_invoke *op,
                          struct rp_worker_happening *ret) {
    forget_below(w, op->origin, op->lowest);
    struct reprise_socket *s = rp_worker_socket_find(w, op->session);
    if (!is_new(w, op->origin, op->num, op->args.len + op->attachments.len)) {
        return false;
    }
    if (s == NULL) {
        answer_at_once(w, op->origin, op->num, RP_OP_DISOWNED, NULL, NULL);
        return false;
    }
    if (op->again == RP_OP_AGAIN_KNOWN) {
        answer_at_once(w, op->origin, op->num, RP_OP_NO, "worker_lost",
                       "the worker that may have handled it is gone");
        return false;
    }
    struct rp_worker_task task = {.kind = RP_WORKER_TASK_INVOKE,
                                  .origin = op->origin,
                                  .num = op->num,
                                  .session = op->session,
                                  .socket = s,
                                  .served = s->served,
                                  .again = op->again != 0,
                                  .wants_ack = op->wants_ack != 0,
                                  .name = op->name,
                                  .args = op->args,
                                  .attachments = op->attachments};
    w->stats.events++;
    return give(w, &task, ret);
}

bool rp_worker_got_check(struct rp_worker *w, const struct rp_op_check *op,
                         struct rp_worker_happening *ret) {
    if (!is_new(w, op->origin, op->num, op->args.len)) {
        return false;
    }
    struct reprise_socket *s = rp_worker_socket_find(w, op->session);
    if (s == NULL) {
        answer_at_once(w, op->origin, op->num, RP_OP_DISOWNED, NULL, NULL);
        return false;
    }
    struct rp_worker_task task = {.kind = RP_WORKER_TASK_CHECK,
                                  .origin = op->origin,
                                  .num = op->num,
                                  .session = op->session,
                                  .socket = s,
                                  .served = s->served,
                                  .what = op->what,
                                  .room = op->room,
                                  .name = op->name,
                                  .args = op->args};
    return give(w, &task, ret);
}

/* Not repeated and not kept: an id is the link's. Gateways' incarnations are never 0. */
bool rp_worker_got_side_event(struct rp_worker *w, const struct rp_op_side_event *op,
                              struct rp_worker_happening *ret) {
    struct rp_worker_served *served = rp_worker_served_as(w, op->nsp);
    bool full = w->stats.tasks_count >= RP_SDK_TASKS_MAX ||
                w->stats.tasks_bytes + op->args.len > RP_SDK_TASKS_BYTES_MAX;
    if (served == NULL || w->leaving || full) {
        w->stats.tasks_refused += full;
        return false;
    }
    struct rp_worker_task task = {.kind = RP_WORKER_TASK_SIDE,
                                  .num = op->id,
                                  .served = served,
                                  .wants_ack = op->wants_ack != 0,
                                  .nsp = op->nsp,
                                  .name = op->name,
                                  .args = op->args};
    return give(w, &task, ret);
}

/* ---- the end ---- */

static void detach(struct rp_worker *w, struct rp_worker_task *t) {
    if (!t->decided) {
        rp_map_remove(&w->tasks, &t->by_name);
        w->undecided_count--;
    }
    rp_list_remove(&t->node);
    w->stats.tasks_count--;
    w->stats.tasks_bytes -= bytes_of(t);
    t->worker = NULL;
    t->served = NULL;
}

void rp_worker_detach_tasks(struct rp_worker *w) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&w->tasks_list, it, tmp) {
        detach(w, RP_CONTAINER_OF(it, struct rp_worker_task, node));
    }
}

void rp_worker_tasks_done(struct rp_worker *w) {
    rp_worker_detach_tasks(w);
    struct rp_list *first;
    while ((first = rp_list_first(&w->answers)) != NULL) {
        forget_answer(w, RP_CONTAINER_OF(first, struct rp_worker_answer, node));
    }
    rp_map_done(&w->tasks);
    rp_map_done(&w->answers_by_name);
    rp_map_done(&w->origins);
}
