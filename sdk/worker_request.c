/* sdk/worker_request.c — numbered requests: kept until they are answered, sent again in order after
 * the link was lost. */
#include "sdk/worker_state.h"

#include "proto/json.h"

#include <stdlib.h>

struct rp_worker_request *rp_worker_request_find(const struct rp_worker *w, uint64_t num) {
    uint64_t hash = rp_hash_u64(num);
    for (struct rp_map_node *n = rp_map_first(&w->by_num, hash); n; n = rp_map_next(n, hash)) {
        struct rp_worker_request *r = RP_CONTAINER_OF(n, struct rp_worker_request, by_num);
        if (r->num == num) {
            return r;
        }
    }
    return NULL;
}

enum reprise_err rp_worker_request_add(struct rp_worker *w, struct rp_op *op, bool is_volatile,
                                       uint64_t session) {
    op->emit.num = w->next_num; /* every request begins with it */
    rp_buf_clear(&w->scratch);
    if (rp_op_put(&w->scratch, op) != RP_OK) {
        return REPRISE_E_FULL;
    }
    struct rp_worker_request *r = rp_alloc(sizeof *r + w->scratch.len);
    r->num = w->next_num++;
    r->session = session;
    r->kind = op->kind;
    r->is_volatile = is_volatile;
    r->len = w->scratch.len;
    memcpy(r->encoded, w->scratch.data, r->len);
    rp_buf_shrink(&w->scratch, RP_LINK_BATCH_BYTES);
    rp_list_append(&w->requests, &r->node);
    rp_map_add(&w->by_num, &r->by_num, rp_hash_u64(r->num));
    if (w->unsent == &w->requests) {
        w->unsent = &r->node;
    }
    w->stats.requests_count++;
    w->stats.requests_bytes += r->len;
    return REPRISE_OK;
}

/* A volatile one waits for nothing: neither for a link, nor for credit, nor behind others. */
static bool can_send_now(const struct rp_worker *w) {
    return w->ready && w->unsent == &w->requests && rp_link_credit(&w->link) > 0;
}

enum reprise_err rp_worker_ask(struct rp_worker *w, struct rp_op *op,
                               const struct rp_worker_ask *ask) {
    if (w->leaving) {
        return REPRISE_E_CLOSED;
    }
    if (w->stats.requests_bytes >= RP_LINK_REQUESTS_BYTES_MAX ||
        w->stats.requests_count >= RP_LINK_REQUESTS_MAX ||
        (ask->has_wait && w->waits.count >= RP_SDK_WAITS_MAX)) {
        return REPRISE_E_BUSY;
    }
    rp_worker_request_send(w);
    if (ask->is_volatile && !can_send_now(w)) {
        return REPRISE_E_LINK;
    }
    enum reprise_err err = rp_worker_request_add(w, op, ask->is_volatile, ask->session);
    w->stats.emits += err == REPRISE_OK && op->kind == RP_OP_EMIT;
    if (err == REPRISE_OK && ask->has_wait) {
        rp_worker_wait_add(w, op, ask);
    }
    return err;
}

void rp_worker_request_free(struct rp_worker *w, struct rp_worker_request *r) {
    if (w->unsent == &r->node) {
        w->unsent = r->node.next;
    }
    w->stats.requests_count--;
    w->stats.requests_bytes -= r->len;
    rp_list_remove(&r->node);
    rp_map_remove(&w->by_num, &r->by_num);
    free(r);
}

/* Not before SERVED: until the log has what this worker serves there are no such namespaces, and
 * the broker would refuse what concerns them. */
void rp_worker_request_send(struct rp_worker *w) {
    if (!w->ready || w->parted) {
        return;
    }
    while (w->unsent != &w->requests) {
        struct rp_worker_request *r = RP_CONTAINER_OF(w->unsent, struct rp_worker_request, node);
        if (!r->is_volatile && !rp_link_may_put(&w->link, r->len)) {
            break;
        }
        rp_link_put_bytes(&w->link, rp_bytes(r->encoded, r->len));
        r->sent = true;
        w->unsent = w->unsent->next;
    }
    rp_worker_answers_send(w);
}

void rp_worker_request_resend(struct rp_worker *w) {
    w->unsent = w->requests.next;
    while (w->unsent != &w->requests) {
        struct rp_worker_request *r = RP_CONTAINER_OF(w->unsent, struct rp_worker_request, node);
        if (!r->sent) {
            return;
        }
        rp_link_put_bytes(&w->link, rp_bytes(r->encoded, r->len));
        w->stats.requests_resent++;
        w->unsent = w->unsent->next;
    }
}

/* What is not in the log is not sent twice: volatile emits, and events for other workers. */
void rp_worker_request_link_lost(struct rp_worker *w) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&w->requests, it, tmp) {
        struct rp_worker_request *r = RP_CONTAINER_OF(it, struct rp_worker_request, node);
        if (r->is_volatile || (r->kind == RP_OP_SIDE && r->sent)) {
            struct rp_worker_wait *wait = rp_worker_wait_find(w, r->num);
            if (wait != NULL) {
                rp_worker_wait_end(w, wait, r->is_volatile ? REPRISE_E_LINK : REPRISE_E_LOST);
            }
            rp_worker_request_free(w, r);
        }
    }
    struct rp_map_iter each = {0};
    struct rp_map_node *n;
    while ((n = rp_map_each(&w->waits, &each)) != NULL) { /* the others' answers do not come */
        struct rp_worker_wait *wait = RP_CONTAINER_OF(n, struct rp_worker_wait, by_num);
        if (wait->kind == RP_WORKER_WAIT_SIDE && wait->stored) {
            rp_worker_wait_end(w, wait, REPRISE_E_LOST);
        }
        if (wait->session != 0 && rp_worker_socket_find(w, wait->session) == NULL) {
            rp_worker_wait_elsewhere(w, wait); /* its end is told to who has a link then */
        }
    }
    w->unsent = w->requests.next;
}

void rp_worker_request_lose_all(struct rp_worker *w) {
    struct rp_list *first;
    while ((first = rp_list_first(&w->requests)) != NULL) {
        rp_worker_request_free(w, RP_CONTAINER_OF(first, struct rp_worker_request, node));
    }
}

uint64_t rp_worker_request_lowest(const struct rp_worker *w) {
    struct rp_list *first = rp_list_first(&w->requests);
    return first != NULL ? RP_CONTAINER_OF(first, struct rp_worker_request, node)->num
                         : w->next_num;
}

/* ---- answers ---- */

/* What a request was. */
static bool request_of(struct rp_worker *w, const struct rp_worker_request *r, struct rp_op *ret) {
    struct rp_bytes in = rp_bytes(r->encoded, r->len);
    return rp_op_next(w->own_reader, &in, ret) == RP_OK && ret->kind == r->kind;
}

bool rp_worker_got_done(struct rp_worker *w, const struct rp_op_done *op,
                        struct rp_worker_happening *ret) {
    rp_worker_raise_seen(w, op->seq);
    struct rp_worker_request *r = rp_worker_request_find(w, op->num);
    if (r == NULL || !r->sent) {
        return false; /* answered before */
    }
    struct rp_op asked;
    if (r->kind == RP_OP_DATA && request_of(w, r, &asked)) {
        rp_worker_data_done(w, &asked.data);
    }
    rp_worker_request_free(w, r);
    struct rp_worker_wait *wait = rp_worker_wait_find(w, op->num);
    if (wait == NULL) {
        return false;
    }
    rp_worker_wait_done(w, wait, op->seq, op->replayed);
    *ret = (struct rp_worker_happening){.kind = RP_WORKER_STORED, .wait = wait};
    return true;
}

/* The room is not what was noted when it was asked for. */
static void undo_move(struct rp_worker *w, const struct rp_worker_request *r) {
    struct rp_op asked;
    if (request_of(w, r, &asked)) {
        rp_worker_unmove(w, &asked.move, r->session);
    }
}

bool rp_worker_got_failed(struct rp_worker *w, const struct rp_op_failed *op,
                          struct rp_worker_happening *ret) {
    struct rp_worker_request *r = rp_worker_request_find(w, op->num);
    if (r == NULL || !r->sent) {
        return false;
    }
    if (r->kind == RP_OP_MOVE && r->session != 0) {
        undo_move(w, r);
    }
    rp_worker_request_free(w, r);
    struct rp_worker_wait *wait = rp_worker_wait_find(w, op->num);
    if (wait != NULL) {
        rp_worker_wait_end(w, wait, REPRISE_E_REFUSED);
    }
    /* also of those that somebody waits for: their ENDED has no text */
    *ret = (struct rp_worker_happening){
        .kind = RP_WORKER_FAILED, .nsp = op->code, .text = op->message};
    return true;
}

/* Where the next page begins; 0: this is the last. */
static uint64_t page_after(struct rp_bytes json) {
    struct rp_bytes page, key, value;
    uint64_t after = 0;
    if (rp_json_whole(json, &page) == RP_OK) {
        struct rp_json_iter it = rp_json_iter_object(page);
        while (rp_json_iter_next(&it, &key, &value)) {
            if (rp_json_key_is(key, "after") && !rp_json_to_u64(value, &after)) {
                after = 0;
            }
        }
    }
    return after;
}

bool rp_worker_got_result(struct rp_worker *w, const struct rp_op_result *op,
                          struct rp_worker_happening *ret) {
    struct rp_worker_request *r = rp_worker_request_find(w, op->num);
    if (r == NULL || !r->sent || r->kind != RP_OP_FETCH) {
        return false;
    }
    rp_worker_request_free(w, r);
    struct rp_worker_wait *wait = rp_worker_wait_find(w, op->num);
    if (wait == NULL) {
        return false;
    }
    uint64_t after = page_after(op->json);
    *ret = (struct rp_worker_happening){.kind = RP_WORKER_RESPONSE, .wait = wait, .text = op->json};
    wait->responses_count++;
    if (after <= wait->fetch.after) { /* a broker that goes backwards is not followed */
        rp_worker_wait_end(w, wait, REPRISE_OK);
        return true;
    }
    wait->fetch.after = after;
    struct rp_op next = {.kind = RP_OP_FETCH, .fetch = wait->fetch};
    enum reprise_err err = rp_worker_request_add(w, &next, false, 0);
    if (err != REPRISE_OK) {
        rp_worker_wait_end(w, wait, err);
    } else {
        rp_worker_wait_renumber(w, wait, next.fetch.num);
    }
    return true;
}
