/* sdk/worker.c — the core's life, what it serves, and which happening is next. */
#include "common/pattern.h"
#include "sdk/worker_state.h"

#include <stdlib.h>

struct rp_worker *rp_worker_new(const struct rp_worker_config *config) {
    struct rp_worker *w = RP_NEW(struct rp_worker);
    w->config = *config;
    config->random(config->random_ctx, &w->hash_key, sizeof w->hash_key);
    config->random(config->random_ctx, &w->incarnation, sizeof w->incarnation);
    w->incarnation |= 1;
    w->reader = rp_op_reader_new();
    w->own_reader = rp_op_reader_new();
    rp_link_init(&w->link, config->link_credit_bytes, 0);
    rp_buf_init(&w->failed_text, RP_FAILURE_CODE_BYTES_MAX + RP_FAILURE_MESSAGE_BYTES_MAX);
    rp_buf_init(&w->scratch, RP_LINK_MESSAGE_BYTES_MAX);
    rp_list_init(&w->doomed);
    rp_list_init(&w->ended);
    rp_list_init(&w->served);
    rp_list_init(&w->sockets_list);
    rp_list_init(&w->gone);
    rp_list_init(&w->tasks_list);
    rp_list_init(&w->answers);
    w->unsent_answer = &w->answers;
    rp_list_init(&w->requests);
    w->unsent = &w->requests;
    w->next_num = 1;
    return w;
}

static void let_go(struct rp_worker *w);

struct rp_worker *rp_worker_free(struct rp_worker *w) {
    if (w == NULL) {
        return NULL;
    }
    let_go(w);
    rp_worker_request_lose_all(w);
    rp_worker_waits_done(w);
    rp_worker_tasks_done(w);
    rp_worker_sockets_done(w);
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&w->served, it, tmp) {
        struct rp_worker_served *served = RP_CONTAINER_OF(it, struct rp_worker_served, node);
        rp_patterns_free(served->patterns);
        free(served);
    }
    rp_map_done(&w->by_num);
    rp_link_done(&w->link);
    rp_buf_done(&w->scratch);
    rp_buf_done(&w->failed_text);
    rp_op_reader_free(w->reader);
    rp_op_reader_free(w->own_reader);
    free(w);
    return NULL;
}

/* ---- what is served ---- */

static bool is_name(struct rp_bytes name, bool is_pattern) {
    if (name.len == 0 || name.len > RP_SIO_NSP_BYTES_MAX || name.data[0] != '/' ||
        memchr(name.data, '\0', name.len) != NULL || memchr(name.data, ',', name.len) != NULL ||
        !rp_bytes_is_utf8(name)) {
        return false;
    }
    return is_pattern || memchr(name.data, '*', name.len) == NULL;
}

static struct rp_worker_served *find_served(const struct rp_worker *w, struct rp_bytes name,
                                            bool is_pattern) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&w->served, it, tmp) {
        struct rp_worker_served *served = RP_CONTAINER_OF(it, struct rp_worker_served, node);
        if ((served->patterns != NULL) == is_pattern &&
            rp_bytes_eq(rp_bytes(served->name, served->name_len), name)) {
            return served;
        }
    }
    return NULL;
}

static struct rp_worker_served *add_served(struct rp_worker *w, struct rp_bytes name,
                                           bool is_pattern) {
    if (!is_name(name, is_pattern) || w->served_count >= RP_WORKER_NAMESPACES_MAX) {
        return NULL;
    }
    struct rp_worker_served *served = rp_alloc(sizeof *served + name.len + 1);
    memcpy(served->name, name.data, name.len);
    served->name_len = name.len;
    if (is_pattern &&
        rp_patterns_parse(served->name, RP_PATTERNS_EXACT, &served->patterns) != RP_OK) {
        free(served);
        return NULL;
    }
    rp_list_append(&w->served, &served->node);
    w->served_count++;
    return served;
}

struct rp_worker_served *rp_worker_serve(struct rp_worker *w, struct rp_bytes name,
                                         uint64_t flags) {
    bool is_pattern = (flags & RP_OP_PATTERN) != 0;
    struct rp_worker_served *served = find_served(w, name, is_pattern);
    bool is_new = served == NULL;
    if (is_new) {
        served = add_served(w, name, is_pattern);
    }
    if (served != NULL && (is_new || served->flags != flags)) {
        served->flags = flags;
        w->relink = w->link_state != RP_WORKER_DOWN;
    }
    return served;
}

struct rp_worker_served *rp_worker_served_for(const struct rp_worker *w, struct rp_bytes nsp) {
    struct rp_worker_served *best = find_served(w, nsp, false);
    if (best != NULL) {
        return best;
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&w->served, it, tmp) {
        struct rp_worker_served *served = RP_CONTAINER_OF(it, struct rp_worker_served, node);
        if (rp_patterns_match(served->patterns, nsp) &&
            (best == NULL || served->name_len > best->name_len)) {
            best = served;
        }
    }
    return best;
}

struct rp_worker_served *rp_worker_served_as(const struct rp_worker *w, struct rp_bytes name) {
    struct rp_worker_served *served = find_served(w, name, true);
    return served != NULL ? served : rp_worker_served_for(w, name);
}

/* ---- messages and happenings ---- */

void rp_worker_feed(struct rp_worker *w, struct rp_bytes message, uint64_t now_ms) {
    w->now_ms = now_ms;
    if (w->link_state != RP_WORKER_DOWN && rp_link_is_lost(&w->link, now_ms)) {
        /* this process slept, and others have its sockets: what has gathered is not for it */
        rp_worker_link_down(w, "nothing was heard of the broker for too long");
    }
    if (w->link_state != RP_WORKER_DOWN) {
        w->in = message;
        w->in_len = message.len;
        w->link.last_heard_ms = now_ms;
    }
}

/* What was given out is not looked at any more. */
static void let_go(struct rp_worker *w) {
    struct rp_worker_task *task = w->current_task;
    struct reprise_socket *socket = w->current_socket;
    struct rp_worker_wait *wait = w->current_wait;
    w->current_task = NULL;
    w->current_socket = NULL;
    w->current_wait = NULL;
    if (task != NULL) {
        rp_worker_task_settle(task);
    }
    rp_worker_socket_unref(socket);
    if (wait != NULL) {
        rp_worker_wait_free(w, wait);
    }
}

/* The link's news that were not told yet. */
static bool next_news(struct rp_worker *w, struct rp_worker_happening *ret) {
    if (w->told_link != w->ready) {
        w->told_link = w->ready;
        *ret = (struct rp_worker_happening){
            .kind = RP_WORKER_LINK, .up = w->ready, .text = rp_bytes_str(w->notice)};
        return true;
    }
    if (w->ready && !w->told_ready) {
        w->told_ready = true;
        *ret = (struct rp_worker_happening){.kind = RP_WORKER_READY};
        return true;
    }
    return false;
}

/* The next operation of the message in hand that means something to the caller. */
static bool next_operation(struct rp_worker *w, struct rp_worker_happening *ret) {
    while (w->in.len > 0) {
        struct rp_op op;
        struct rp_bytes before = w->in;
        if (rp_op_next(w->reader, &w->in, &op) != RP_OK) {
            w->stats.malformed++;
            w->in.len = 0;
        } else if (rp_worker_operation(w, &op, ret)) {
            w->in = w->again ? before : w->in;
            w->again = false;
            return true;
        }
        if (rp_list_first(&w->doomed) != NULL || rp_list_first(&w->ended) != NULL ||
            w->told_link != w->ready) {
            return false; /* something else is to be told before the next */
        }
    }
    if (w->in_len > 0 && w->link_state != RP_WORKER_DOWN) {
        rp_link_received(&w->link, w->in_len, w->now_ms);
    }
    w->in_len = 0;
    return false;
}

bool rp_worker_next(struct rp_worker *w, struct rp_worker_happening *ret) {
    let_go(w);
    do {
        bool happened = next_news(w, ret) || rp_worker_next_doomed(w, ret) ||
                        rp_worker_next_ended(w, ret) || next_operation(w, ret);
        if (happened) {
            w->current_task = ret->task;
            if (ret->socket != NULL && w->current_socket == NULL) {
                w->current_socket = rp_worker_socket_ref(ret->socket);
            }
            return true;
        }
    } while (w->in_len > 0 || rp_list_first(&w->doomed) != NULL ||
             rp_list_first(&w->ended) != NULL || w->told_link != w->ready);
    w->in = rp_bytes(NULL, 0);
    return false;
}

/* ---- the turn ---- */

void rp_worker_turn(struct rp_worker *w, uint64_t now_ms) {
    w->now_ms = now_ms;
    rp_worker_wait_expire(w);
    rp_worker_link_turn(w);
}

void rp_worker_clock(struct rp_worker *w, uint64_t now_ms) {
    w->now_ms = now_ms > w->now_ms ? now_ms : w->now_ms;
}

uint64_t rp_worker_deadline_ms(const struct rp_worker *w) {
    if (w->told_link != w->ready || rp_list_first(&w->doomed) != NULL) {
        return w->now_ms; /* there is something to be pulled */
    }
    uint64_t link = rp_worker_link_deadline_ms(w);
    uint64_t wait = rp_worker_wait_deadline_ms(w);
    return link < wait ? link : wait;
}

bool rp_worker_take(struct rp_worker *w, uint64_t now_ms, struct rp_buf *ret_message) {
    rp_worker_request_send(w); /* what handlers asked for since the turn */
    return w->link_state != RP_WORKER_DOWN && rp_link_take(&w->link, now_ms, ret_message);
}

/* ---- goodbye ---- */

bool rp_worker_is_idle(const struct rp_worker *w) {
    return w->undecided_count == 0 && w->stats.requests_count == 0;
}

void rp_worker_bye(struct rp_worker *w) {
    if (w->leaving) {
        return;
    }
    w->leaving = true;
    w->parted = w->link_state != RP_WORKER_UP;
    if (!w->parted) {
        rp_worker_request_send(w);
        struct rp_op op = {.kind = RP_OP_BYE,
                           .bye = {.lowest = rp_worker_request_lowest(w),
                                   .idle = rp_worker_is_idle(w) && rp_worker_answers_are_sent(w)}};
        rp_link_put(&w->link, &op);
    }
}

bool rp_worker_is_parted(const struct rp_worker *w) {
    return w->parted;
}

/* ---- numbers ---- */

const char *rp_worker_notice(const struct rp_worker *w) {
    return w->notice;
}

uint64_t rp_worker_malformed(const struct rp_worker *w) {
    return w->stats.malformed;
}

void rp_worker_stats(const struct rp_worker *w, struct rp_worker_stats *ret_stats) {
    *ret_stats = w->stats;
    ret_stats->linked = w->ready;
    ret_stats->sockets_count = w->sockets.count;
    ret_stats->waits_count = w->waits.count;
    ret_stats->seen = w->seen;
    ret_stats->incarnation = w->incarnation;
}
