/* sdk/worker_wait.c — what somebody waits for: that an emit is stored, acks, pages of sockets,
 * answers of other workers; and for how long.
 *
 * A wait ends once, with ENDED, whatever comes later. Its request may outlive it. */
#include "sdk/worker_state.h"

#include <stdlib.h>

/* ---- deadlines: a binary heap, the earliest first ---- */

enum { NO_PLACE = -1 };

static void put_at(struct rp_worker *w, size_t i, struct rp_worker_wait *wait) {
    w->heap[i] = wait;
    wait->place = i;
}

static void sift_up(struct rp_worker *w, size_t i) {
    struct rp_worker_wait *wait = w->heap[i];
    while (i > 0 && w->heap[(i - 1) / 2]->deadline_ms > wait->deadline_ms) {
        put_at(w, i, w->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put_at(w, i, wait);
}

static void sift_down(struct rp_worker *w, size_t i) {
    struct rp_worker_wait *wait = w->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < w->heap_count &&
            w->heap[child + 1]->deadline_ms < w->heap[child]->deadline_ms) {
            child++;
        }
        if (child >= w->heap_count || w->heap[child]->deadline_ms >= wait->deadline_ms) {
            break;
        }
        put_at(w, i, w->heap[child]);
        i = child;
    }
    put_at(w, i, wait);
}

static void heap_add(struct rp_worker *w, struct rp_worker_wait *wait) {
    w->heap = rp_array_reserve(w->heap, w->heap_count, &w->heap_capacity, sizeof(void *));
    w->heap[w->heap_count] = wait;
    sift_up(w, w->heap_count++);
}

static void heap_remove(struct rp_worker *w, struct rp_worker_wait *wait) {
    size_t i = wait->place;
    if (i == (size_t) NO_PLACE) {
        return;
    }
    wait->place = (size_t) NO_PLACE;
    struct rp_worker_wait *last = w->heap[--w->heap_count];
    if (last != wait) {
        put_at(w, i, last);
        sift_down(w, i);
        sift_up(w, last->place);
    }
}

/* ---- life ---- */

struct rp_worker_wait *rp_worker_wait_find(const struct rp_worker *w, uint64_t num) {
    uint64_t hash = rp_hash_u64(num);
    for (struct rp_map_node *n = rp_map_first(&w->waits, hash); n; n = rp_map_next(n, hash)) {
        struct rp_worker_wait *wait = RP_CONTAINER_OF(n, struct rp_worker_wait, by_num);
        if (wait->num == num && !wait->ended) {
            return wait;
        }
    }
    return NULL;
}

static struct rp_bytes keep(uint8_t **at, struct rp_bytes bytes) {
    struct rp_bytes kept = rp_bytes(*at, bytes.len);
    if (bytes.len > 0) {
        memcpy(*at, bytes.data, bytes.len);
    }
    *at += bytes.len;
    return kept;
}

static void keep_selector(struct rp_worker_wait *wait, const struct rp_op_fetch *op) {
    wait->memory = rp_alloc(op->nsp.len + op->room.len + op->rooms.len + op->except.len);
    uint8_t *at = wait->memory;
    wait->fetch = (struct rp_op_fetch){.after = op->after,
                                       .nsp = keep(&at, op->nsp),
                                       .room = keep(&at, op->room),
                                       .rooms = keep(&at, op->rooms),
                                       .except = keep(&at, op->except)};
}

struct rp_worker_wait *rp_worker_wait_add(struct rp_worker *w, const struct rp_op *op,
                                          const struct rp_worker_ask *ask) {
    struct rp_worker_wait *wait = RP_NEW(struct rp_worker_wait);
    wait->kind = ask->wait;
    wait->num = op->emit.num;
    wait->session = ask->session;
    wait->owner = ask->owner;
    wait->place = (size_t) NO_PLACE;
    wait->deadline_ms = UINT64_MAX;
    if (ask->timeout_ms > 0 && ask->timeout_ms < UINT64_MAX - w->now_ms) {
        wait->deadline_ms = w->now_ms + ask->timeout_ms;
        heap_add(w, wait);
    }
    if (op->kind == RP_OP_FETCH) {
        keep_selector(wait, &op->fetch);
    }
    rp_map_add(&w->waits, &wait->by_num, rp_hash_u64(wait->num));
    if (wait->session != 0) {
        rp_map_add(&w->waits_by_session, &wait->by_session, rp_hash_u64(wait->session));
    }
    return wait;
}

void rp_worker_wait_renumber(struct rp_worker *w, struct rp_worker_wait *wait, uint64_t num) {
    rp_map_remove(&w->waits, &wait->by_num);
    wait->num = num;
    rp_map_add(&w->waits, &wait->by_num, rp_hash_u64(num));
}

struct answered {
    struct rp_map_node node;
    uint64_t session;
};

void rp_worker_wait_free(struct rp_worker *w, struct rp_worker_wait *wait) {
    rp_map_remove(&w->waits, &wait->by_num);
    if (wait->session != 0) {
        rp_map_remove(&w->waits_by_session, &wait->by_session);
    }
    heap_remove(w, wait);
    rp_list_remove(&wait->ended_node);
    struct rp_map_iter each = {0};
    struct rp_map_node *n;
    while ((n = rp_map_each(&wait->answered, &each)) != NULL) {
        rp_map_remove(&wait->answered, n);
        free(RP_CONTAINER_OF(n, struct answered, node));
    }
    rp_map_done(&wait->answered);
    free(wait->memory);
    free(wait);
}

void rp_worker_wait_end(struct rp_worker *w, struct rp_worker_wait *wait, enum reprise_err err) {
    if (!wait->ended) {
        wait->ended = true;
        wait->err = err;
        heap_remove(w, wait);
        rp_list_append(&w->ended, &wait->ended_node);
    }
}

bool rp_worker_next_ended(struct rp_worker *w, struct rp_worker_happening *ret) {
    struct rp_list *first = rp_list_first(&w->ended);
    if (first == NULL) {
        return false;
    }
    struct rp_worker_wait *wait = RP_CONTAINER_OF(first, struct rp_worker_wait, ended_node);
    rp_list_remove(first);
    w->current_wait = wait;
    *ret = (struct rp_worker_happening){.kind = RP_WORKER_ENDED, .wait = wait, .err = wait->err};
    return true;
}

void rp_worker_abandon(struct rp_worker *w, enum reprise_err err) {
    struct rp_map_iter each = {0};
    struct rp_map_node *n;
    while ((n = rp_map_each(&w->waits, &each)) != NULL) {
        rp_worker_wait_end(w, RP_CONTAINER_OF(n, struct rp_worker_wait, by_num), err);
    }
}

void rp_worker_waits_done(struct rp_worker *w) {
    struct rp_map_iter each = {0};
    struct rp_map_node *n;
    while ((n = rp_map_each(&w->waits, &each)) != NULL) {
        rp_worker_wait_free(w, RP_CONTAINER_OF(n, struct rp_worker_wait, by_num));
    }
    rp_map_done(&w->waits);
    rp_map_done(&w->waits_by_session);
    free(w->heap);
}

/* ---- what comes ---- */

static void end_if_complete(struct rp_worker *w, struct rp_worker_wait *wait) {
    if (wait->stored && wait->responses_count >= wait->expected) {
        rp_worker_wait_end(w, wait, REPRISE_OK);
    }
}

void rp_worker_wait_done(struct rp_worker *w, struct rp_worker_wait *wait, uint64_t seq,
                         uint64_t expected) {
    wait->stored = true;
    wait->seq = seq;
    wait->expected = expected;
    if (wait->kind == RP_WORKER_WAIT_STORED) {
        rp_worker_wait_end(w, wait, REPRISE_OK);
    } else if (wait->session == 0) { /* one socket may come back and ack */
        end_if_complete(w, wait);
    }
}

/* Whether this session's is the first. */
static bool note_answered(struct rp_worker_wait *wait, uint64_t session) {
    uint64_t hash = rp_hash_u64(session);
    for (struct rp_map_node *n = rp_map_first(&wait->answered, hash); n; n = rp_map_next(n, hash)) {
        if (RP_CONTAINER_OF(n, struct answered, node)->session == session) {
            return false;
        }
    }
    struct answered *a = RP_NEW(struct answered);
    a->session = session;
    rp_map_add(&wait->answered, &a->node, hash);
    return true;
}

bool rp_worker_got_ack(struct rp_worker *w, const struct rp_op_got_ack *op,
                       struct rp_worker_happening *ret) {
    rp_worker_raise_seen(w, op->seq);
    struct rp_worker_wait *wait = rp_worker_wait_find(w, op->num);
    if (wait == NULL || wait->kind != RP_WORKER_WAIT_ACKS || !note_answered(wait, op->session)) {
        return false;
    }
    wait->responses_count++;
    *ret = (struct rp_worker_happening){.kind = RP_WORKER_RESPONSE,
                                        .wait = wait,
                                        .sid = op->sid,
                                        .text = op->args,
                                        .attachments = op->attachments};
    if (wait->session != 0) {
        rp_worker_wait_end(w, wait, REPRISE_OK);
    } else {
        end_if_complete(w, wait);
    }
    return true;
}

bool rp_worker_got_side_answered(struct rp_worker *w, const struct rp_op_side_answered *op,
                                 struct rp_worker_happening *ret) {
    struct rp_worker_wait *wait = rp_worker_wait_find(w, op->num);
    if (wait == NULL || wait->kind != RP_WORKER_WAIT_SIDE) {
        return false;
    }
    wait->responses_count++;
    *ret = (struct rp_worker_happening){.kind = RP_WORKER_RESPONSE, .wait = wait, .text = op->args};
    end_if_complete(w, wait);
    return true;
}

void rp_worker_wait_session_ended(struct rp_worker *w, uint64_t session) {
    uint64_t hash = rp_hash_u64(session);
    for (struct rp_map_node *n = rp_map_first(&w->waits_by_session, hash); n;
         n = rp_map_next(n, hash)) {
        struct rp_worker_wait *wait = RP_CONTAINER_OF(n, struct rp_worker_wait, by_session);
        if (wait->session == session) {
            rp_worker_wait_end(w, wait, REPRISE_E_GONE);
        }
    }
}

void rp_worker_wait_elsewhere(struct rp_worker *w, struct rp_worker_wait *wait) {
    if (!wait->ended && wait->deadline_ms == UINT64_MAX) {
        wait->deadline_ms = w->now_ms + RP_SDK_ACK_ELSEWHERE_MS;
        heap_add(w, wait);
    }
}

void rp_worker_wait_session_elsewhere(struct rp_worker *w, uint64_t session) {
    uint64_t hash = rp_hash_u64(session);
    for (struct rp_map_node *n = rp_map_first(&w->waits_by_session, hash); n;
         n = rp_map_next(n, hash)) {
        struct rp_worker_wait *wait = RP_CONTAINER_OF(n, struct rp_worker_wait, by_session);
        if (wait->session == session) {
            rp_worker_wait_elsewhere(w, wait);
        }
    }
}

void rp_worker_wait_expire(struct rp_worker *w) {
    while (w->heap_count > 0 && w->heap[0]->deadline_ms <= w->now_ms) {
        rp_worker_wait_end(w, w->heap[0], REPRISE_E_TIMEOUT);
    }
}

uint64_t rp_worker_wait_deadline_ms(const struct rp_worker *w) {
    if (rp_list_first(&w->ended) != NULL) {
        return w->now_ms;
    }
    return w->heap_count > 0 ? w->heap[0]->deadline_ms : UINT64_MAX;
}
