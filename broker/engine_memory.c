#include "broker/engine_memory.h"

#include "broker/memory_store.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/list.h"

#include <stdlib.h>

/* ---- the engine ---- */

struct waiting_read {
    struct rp_list node;
    struct rp_engine_read read;
    struct rp_engine_span *spans; /* with their names behind them */
    struct rp_engine_page *page;  /* what it saw; NULL: it has not looked yet */
};

struct memory_engine {
    struct rp_engine base;
    struct rp_memory_store *store;
    size_t queue_max, refuse;
    enum rp_err refusal;
    bool failed;
    struct rp_record **queue;
    size_t queue_from, queue_count, queue_capacity;
    struct rp_engine_outcome *outcomes;
    size_t outcomes_from, outcomes_count, outcomes_capacity;
    struct rp_list reads;
    const struct rp_retention *retention;
    bool trimming, trim_sweeps; /* a round is under way; its borders have moved */
    uint64_t trim_upto, trim_wall_ms;
};

static void push_outcome(struct memory_engine *m, struct rp_engine_outcome outcome) {
    m->outcomes = rp_array_reserve(m->outcomes, m->outcomes_from + m->outcomes_count,
                                   &m->outcomes_capacity, sizeof(*m->outcomes));
    m->outcomes[m->outcomes_from + m->outcomes_count++] = outcome;
}

static uint64_t duplicate_of(const struct rp_memory_store *store, const struct rp_record *r) {
    for (size_t i = store->log_count; r->f.id.len > 0 && i-- > 0;) {
        const struct rp_record *old = store->log[i];
        if (old->f.kind == RP_RECORD_EVENT && rp_bytes_eq(old->f.id, r->f.id) &&
            rp_bytes_eq(old->f.nsp, r->f.nsp)) {
            return old->seq;
        }
    }
    return 0;
}

static void commit_one(struct memory_engine *m) {
    struct rp_memory_store *store = m->store;
    struct rp_record *r = m->queue[m->queue_from++];
    m->queue_count--;
    struct rp_engine_outcome outcome = {.kind = RP_ENGINE_COMMITTED, .record = r};
    uint64_t duplicate = duplicate_of(store, r);
    bool refused = m->refuse > 0;
    m->refuse -= refused;
    if (duplicate > 0) {
        outcome.kind = RP_ENGINE_DUPLICATE;
        outcome.seq = duplicate;
    } else if (refused || (r->f.flags & RP_RECORD_FIND)) {
        outcome.kind = RP_ENGINE_REFUSED;
        outcome.err = refused ? m->refusal : RP_E_NOT_FOUND;
    } else {
        r->seq = outcome.seq = store->next_seq++;
        store->log = rp_array_reserve(store->log, store->log_count, &store->log_capacity,
                                      sizeof(struct rp_record *));
        store->log[store->log_count++] = rp_record_ref(r);
        rp_memory_store_project(store, r);
    }
    push_outcome(m, outcome);
}

/* ---- reading ---- */

/* Whether the event lies in one of the spans, of what retention has left of them. */
static bool wanted(const struct memory_engine *m, const struct rp_engine_read *read,
                   const struct rp_record *r) {
    for (size_t i = 0; r->f.kind == RP_RECORD_EVENT && i < read->spans_count; i++) {
        const struct rp_engine_span *span = &read->spans[i];
        if (r->seq > span->after && r->seq <= span->upto && rp_bytes_eq(span->nsp, r->f.nsp) &&
            rp_memory_is_target(r, span->room) &&
            r->seq > rp_memory_store_border(m->store, span->nsp, span->room)) {
            return true;
        }
    }
    return false;
}

static bool is_truncated(const struct rp_memory_store *store, const struct rp_engine_read *read) {
    for (size_t i = 0; i < read->spans_count; i++) {
        const struct rp_engine_span *span = &read->spans[i];
        if (span->upto > span->after &&
            rp_memory_store_border(store, span->nsp, span->room) > span->after) {
            return true;
        }
    }
    return false;
}

static uint64_t newest_border(const struct rp_memory_store *store,
                              const struct rp_engine_read *read) {
    uint64_t newest = 0;
    for (size_t i = 0; i < read->spans_count; i++) {
        uint64_t border = rp_memory_store_border(store, read->spans[i].nsp, read->spans[i].room);
        newest = border > newest ? border : newest;
    }
    return newest;
}

static void look(struct memory_engine *m, struct waiting_read *w) {
    struct rp_engine_page *page = RP_NEW(struct rp_engine_page);
    size_t capacity = 0, bytes = 0;
    page->id = w->read.id;
    for (size_t i = 0; i < m->store->log_count; i++) {
        size_t at = w->read.newest_first ? m->store->log_count - 1 - i : i;
        struct rp_record *r = m->store->log[at];
        if (!wanted(m, &w->read, r)) {
            continue;
        }
        if (page->records_count >= w->read.events_max ||
            (bytes > 0 && bytes + r->size > w->read.bytes_max)) {
            page->more = true;
            break;
        }
        page->records = rp_array_reserve(page->records, page->records_count, &capacity,
                                         sizeof(struct rp_record *));
        page->records[page->records_count++] = rp_record_ref(r);
        bytes += r->size;
    }
    page->border = newest_border(m->store, &w->read);
    page->truncated = is_truncated(m->store, &w->read) && !(page->more && w->read.newest_first);
    w->page = page;
}

static void read_free(struct waiting_read *w) {
    rp_list_remove(&w->node);
    rp_engine_page_free(w->page);
    free(w->spans);
    free(w);
}

/* ---- trimming ---- */

static void tell_border(void *ctx, struct rp_engine_border *border) {
    push_outcome(ctx, (struct rp_engine_outcome){.kind = RP_ENGINE_BORDER, .border = border});
}

/* The next part of a round. */
static void trim_some(struct memory_engine *m, size_t rows_max) {
    if (!m->trim_sweeps) {
        rp_memory_store_retain(m->store, m->retention, m->trim_upto, m->trim_wall_ms, tell_border,
                               m);
        m->trim_sweeps = true;
    } else if (!rp_memory_store_sweep(m->store, rows_max)) {
        push_outcome(m, (struct rp_engine_outcome){.kind = RP_ENGINE_TRIMMED,
                                                   .seq = m->store->first_seq - 1});
        m->trimming = m->trim_sweeps = false;
    }
}

/* ---- the disk at work ---- */

static bool look_next(struct memory_engine *m) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&m->reads, it, tmp) {
        struct waiting_read *w = RP_CONTAINER_OF(it, struct waiting_read, node);
        if (w->page == NULL) {
            look(m, w);
            return true;
        }
    }
    return false;
}

static bool give_next_page(struct memory_engine *m) {
    struct rp_list *first = rp_list_first(&m->reads);
    if (first == NULL) {
        return false;
    }
    struct waiting_read *w = RP_CONTAINER_OF(first, struct waiting_read, node);
    if (w->page == NULL) {
        look(m, w);
    }
    push_outcome(m, (struct rp_engine_outcome){.kind = RP_ENGINE_PAGE, .page = w->page});
    w->page = NULL;
    read_free(w);
    return true;
}

size_t rp_engine_memory_work(struct rp_engine *e, unsigned work, size_t n) {
    enum { ROWS_MAX = 20 }; /* that go at a time */
    struct memory_engine *m = (struct memory_engine *) e;
    size_t done = 0;
    for (; done < n && !m->failed; done++) {
        if ((work & RP_MEMORY_COMMIT) && m->queue_count > 0) {
            commit_one(m);
        } else if ((work & RP_MEMORY_LOOK) && look_next(m)) {
        } else if ((work & RP_MEMORY_PAGE) && give_next_page(m)) {
        } else if ((work & RP_MEMORY_TRIM) && m->trimming) {
            trim_some(m, ROWS_MAX);
        } else {
            break;
        }
    }
    return done;
}

size_t rp_engine_memory_step(struct rp_engine *e, size_t n) {
    struct memory_engine *m = (struct memory_engine *) e;
    size_t done = rp_engine_memory_work(e, RP_MEMORY_COMMIT | RP_MEMORY_PAGE, n);
    if (done < n && m->trimming && !m->failed) {
        while (m->trimming) {
            trim_some(m, SIZE_MAX);
        }
        done++;
    }
    return done;
}

void rp_engine_memory_retain(struct rp_engine *e, const struct rp_retention *retention) {
    ((struct memory_engine *) e)->retention = retention;
}

void rp_engine_memory_refuse(struct rp_engine *e, size_t n) {
    rp_engine_memory_refuse_with(e, n, RP_E_NO_SPACE);
}

void rp_engine_memory_refuse_with(struct rp_engine *e, size_t n, enum rp_err err) {
    struct memory_engine *m = (struct memory_engine *) e;
    m->refuse = n;
    m->refusal = err;
}

void rp_engine_memory_fail(struct rp_engine *e, size_t n, enum rp_err err) {
    struct memory_engine *m = (struct memory_engine *) e;
    size_t told = m->outcomes_count;
    for (m->refuse = 0; n > 0 && m->queue_count > 0; n--) {
        commit_one(m);
    }
    for (; m->outcomes_count > told; m->outcomes_count--) {
        rp_record_unref(m->outcomes[m->outcomes_from + m->outcomes_count - 1].record);
    }
    push_outcome(m, (struct rp_engine_outcome){.kind = RP_ENGINE_FATAL, .err = err});
    m->failed = true;
}

/* ---- the operations ---- */

static void load_namespaces(const struct rp_memory_store *store,
                            const struct rp_engine_loader *loader) {
    for (size_t i = 0; loader->nsp != NULL && i < store->namespaces_count; i++) {
        const struct rp_record *serve = store->namespaces[i];
        struct rp_engine_namespace nsp = {.nsp = serve->f.nsp, .flags = serve->f.flags};
        loader->nsp(loader->ctx, &nsp);
    }
}

static void load_sessions(const struct rp_memory_store *store,
                          const struct rp_engine_loader *loader) {
    for (size_t i = 0; i < store->sessions_count; i++) {
        const struct rp_memory_session *s = &store->sessions[i];
        struct rp_engine_session session = {.session = s->id,
                                            .conn = s->conn,
                                            .gateway = s->gateway,
                                            .closed_ts_ms = s->closed_ts_ms,
                                            .floor_seq = s->floor_seq,
                                            .nsp = s->open->f.nsp,
                                            .sid = s->open->f.sid,
                                            .pid_hash = s->open->f.pid_hash,
                                            .app = s->open->f.flags & RP_RECORD_APP};
        if (s->data != NULL) {
            session.data = s->data->f.args;
        }
        if (!s->ended) {
            loader->session(loader->ctx, &session);
        }
    }
}

static void load_members(const struct rp_memory_store *store,
                         const struct rp_engine_loader *loader) {
    for (size_t i = 0; i < store->members_count; i++) {
        const struct rp_memory_member *m = &store->members[i];
        struct rp_engine_member member = {.session = m->session,
                                          .from_seq = m->from_seq,
                                          .to_seq = m->to_seq,
                                          .ts_ms = m->join->f.ts_ms,
                                          .room = m->room};
        loader->member(loader->ctx, &member);
    }
}

static enum rp_err memory_load(struct rp_engine *e, uint64_t after,
                               const struct rp_engine_loader *loader) {
    struct rp_memory_store *store = ((struct memory_engine *) e)->store;
    load_namespaces(store, loader);
    load_sessions(store, loader);
    load_members(store, loader);
    for (size_t i = 0; loader->unacked != NULL && i < store->unacked_count; i++) {
        loader->unacked(loader->ctx, &store->unacked[i]);
    }
    for (size_t i = 0; loader->border != NULL && i < store->trimmed_count; i++) {
        const struct rp_memory_trimmed *t = &store->trimmed[i];
        if (t->last->seq > after) {
            loader->border(loader->ctx, t->last->f.nsp, t->room, t->last->seq);
        }
    }
    for (size_t i = 0; i < store->log_count; i++) {
        if (store->log[i]->seq > after) {
            loader->record(loader->ctx, store->log[i]);
        }
    }
    return RP_OK;
}

static enum rp_err memory_append(struct rp_engine *e, struct rp_record **records, size_t n) {
    struct memory_engine *m = (struct memory_engine *) e;
    RP_ASSERT(n == 1); /* nobody needs more yet */
    if (m->queue_count >= m->queue_max) {
        return RP_E_FULL;
    }
    if (m->queue_count == 0) {
        m->queue_from = 0;
    }
    m->queue = rp_array_reserve(m->queue, m->queue_from + m->queue_count, &m->queue_capacity,
                                sizeof(struct rp_record *));
    m->queue[m->queue_from + m->queue_count++] = records[0];
    return RP_OK;
}

static size_t memory_poll(struct rp_engine *e, struct rp_engine_outcome *ret_outcomes, size_t max) {
    struct memory_engine *m = (struct memory_engine *) e;
    size_t n = m->outcomes_count < max ? m->outcomes_count : max;
    for (size_t i = 0; i < n; i++) {
        ret_outcomes[i] = m->outcomes[m->outcomes_from++];
    }
    m->outcomes_count -= n;
    if (m->outcomes_count == 0) {
        m->outcomes_from = 0;
    }
    return n;
}

static enum rp_err memory_read(struct rp_engine *e, const struct rp_engine_read *read) {
    struct memory_engine *m = (struct memory_engine *) e;
    struct waiting_read *w = RP_NEW(struct waiting_read);
    size_t names = 0;
    for (size_t i = 0; i < read->spans_count; i++) {
        names += read->spans[i].nsp.len + read->spans[i].room.len;
    }
    w->read = *read;
    w->spans = rp_alloc(read->spans_count * sizeof(*w->spans) + names);
    uint8_t *at = (uint8_t *) (w->spans + read->spans_count);
    for (size_t i = 0; i < read->spans_count; i++) {
        struct rp_engine_span span = read->spans[i];
        memcpy(at, span.nsp.data, span.nsp.len);
        memcpy(at + span.nsp.len, span.room.data, span.room.len);
        span.nsp.data = at;
        span.room.data = at + span.nsp.len;
        at += span.nsp.len + span.room.len;
        w->spans[i] = span;
    }
    w->read.spans = w->spans;
    rp_list_append(&m->reads, &w->node);
    return RP_OK;
}

static void memory_cancel(struct rp_engine *e, uint64_t id) {
    struct memory_engine *m = (struct memory_engine *) e;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&m->reads, it, tmp) {
        struct waiting_read *w = RP_CONTAINER_OF(it, struct waiting_read, node);
        if (w->read.id == id) {
            read_free(w);
        }
    }
}

static enum rp_err memory_trim(struct rp_engine *e, uint64_t upto, uint64_t wall_ms) {
    struct memory_engine *m = (struct memory_engine *) e;
    if (m->trimming) {
        return RP_E_FULL;
    }
    m->trimming = true;
    m->trim_upto = upto;
    m->trim_wall_ms = wall_ms;
    return RP_OK;
}

static enum rp_err memory_new_epoch(struct rp_engine *e, const char *epoch, uint64_t above) {
    struct memory_engine *m = (struct memory_engine *) e;
    memcpy(m->store->epoch, epoch, RP_EPOCH_LEN);
    memcpy(e->epoch, epoch, RP_EPOCH_LEN);
    rp_memory_store_forget_sessions(m->store);
    m->store->next_seq = m->store->next_seq > above ? m->store->next_seq : above + 1;
    return RP_OK;
}

static void memory_close(struct rp_engine *e) {
    struct memory_engine *m = (struct memory_engine *) e;
    for (size_t i = 0; i < m->queue_count; i++) {
        rp_record_unref(m->queue[m->queue_from + i]);
    }
    for (size_t i = 0; i < m->outcomes_count; i++) {
        rp_record_unref(m->outcomes[m->outcomes_from + i].record);
        rp_engine_page_free(m->outcomes[m->outcomes_from + i].page);
        free(m->outcomes[m->outcomes_from + i].border);
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&m->reads, it, tmp) {
        read_free(RP_CONTAINER_OF(it, struct waiting_read, node));
    }
    free(m->queue);
    free(m->outcomes);
    free(m);
}

struct rp_engine *rp_engine_memory_open(struct rp_memory_store *store, size_t queue_max) {
    static const struct rp_engine_ops ops = {
        .load = memory_load,
        .append = memory_append,
        .poll = memory_poll,
        .read = memory_read,
        .cancel = memory_cancel,
        .trim = memory_trim,
        .new_epoch = memory_new_epoch,
        .close = memory_close,
    };
    struct memory_engine *m = RP_NEW(struct memory_engine);
    m->base.ops = &ops;
    memcpy(m->base.epoch, store->epoch, sizeof m->base.epoch);
    m->base.first_seq = store->first_seq;
    m->base.last_seq = store->next_seq - 1;
    for (size_t i = 0; i < store->trimmed_count; i++) {
        uint64_t seq = store->trimmed[i].last->seq;
        m->base.border_max = seq > m->base.border_max ? seq : m->base.border_max;
    }
    m->store = store;
    m->queue_max = queue_max;
    rp_list_init(&m->reads);
    return &m->base;
}
