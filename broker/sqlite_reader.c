/* broker/sqlite_reader.c — reader threads: a queue of reads, a page for each. */
#include "broker/sqlite_state.h"

#include "common/alloc.h"

#include <stdlib.h>

enum { READER_CACHE_KIB = 8192 };

struct rp_sqlite_request *rp_sqlite_request_new(const struct rp_engine_read *read) {
    size_t names_size = 0;
    for (size_t i = 0; i < read->spans_count; i++) {
        names_size += read->spans[i].nsp.len + read->spans[i].room.len;
    }
    size_t spans_size = read->spans_count * sizeof(struct rp_engine_span);
    struct rp_sqlite_request *request = rp_alloc(sizeof(*request) + spans_size + names_size);
    struct rp_engine_span *spans = (struct rp_engine_span *) (request + 1);
    uint8_t *at = (uint8_t *) (spans + read->spans_count);
    for (size_t i = 0; i < read->spans_count; i++) {
        spans[i] = read->spans[i];
        struct rp_bytes *names[] = {&spans[i].nsp, &spans[i].room};
        for (size_t k = 0; k < 2; k++) {
            if (names[k]->len > 0) {
                memcpy(at, names[k]->data, names[k]->len);
            }
            names[k]->data = at;
            at += names[k]->len;
        }
    }
    request->read = *read;
    request->read.spans = spans;
    atomic_init(&request->cancelled, false);
    return request;
}

void rp_sqlite_readers_put(struct rp_sqlite *s, struct rp_sqlite_request *request) {
    struct rp_sqlite_readers *r = &s->readers;
    pthread_mutex_lock(&r->lock);
    *r->last = request;
    r->last = &request->next;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

/* NULL: stop. */
static struct rp_sqlite_request *take_request(struct rp_sqlite_readers *r) {
    pthread_mutex_lock(&r->lock);
    while (r->first == NULL && !r->stop) {
        pthread_cond_wait(&r->wake, &r->lock);
    }
    struct rp_sqlite_request *request = r->stop ? NULL : r->first;
    if (request != NULL) {
        r->first = request->next;
        r->last = r->first != NULL ? r->last : &r->first;
    }
    pthread_mutex_unlock(&r->lock);
    return request;
}

static struct rp_engine_page *page_for(struct rp_sqlite_reader *reader,
                                       const struct rp_sqlite_request *request) {
    if (!atomic_load_explicit(&request->cancelled, memory_order_relaxed)) {
        return rp_sqlite_read(reader, request);
    }
    struct rp_engine_page *page = RP_NEW(struct rp_engine_page);
    page->id = request->read.id;
    return page;
}

static void *reader_main(void *ctx) {
    struct rp_sqlite_reader *reader = ctx;
    struct rp_sqlite *s = reader->sqlite;
    struct rp_sqlite_outs outs = {0};
    struct rp_sqlite_request *request;
    rp_sqlite_thread_step_back();
    while ((request = take_request(&s->readers)) != NULL) {
        struct rp_engine_page *page = page_for(reader, request);
        rp_sqlite_count(&s->counters.reads, 1);
        rp_sqlite_count(&s->counters.reads_failed, page->err != RP_OK && page->err != RP_E_CLOSED);
        rp_sqlite_outs_add(&outs,
                           (struct rp_sqlite_out){.outcome = {.kind = RP_ENGINE_PAGE, .page = page},
                                                  .request = request});
        rp_sqlite_publish(s, &outs);
    }
    free(outs.items);
    return NULL;
}

int rp_sqlite_readers_init(struct rp_sqlite *s, int count) {
    struct rp_sqlite_readers *r = &s->readers;
    int rc = SQLITE_OK;
    for (r->count = 0; r->count < count && rc == SQLITE_OK;) {
        struct rp_sqlite_reader *reader = &r->reader[r->count++];
        reader->sqlite = s;
        rc = rp_sqlite_db_open(s->path, RP_SQLITE_READ, READER_CACHE_KIB, &reader->db);
        rc = rc == SQLITE_OK ? rp_sqlite_read_init(reader) : rc;
    }
    return rc;
}

bool rp_sqlite_readers_start(struct rp_sqlite *s) {
    struct rp_sqlite_readers *r = &s->readers;
    while (r->started < r->count && rp_sqlite_thread_start(&r->reader[r->started].thread,
                                                           reader_main, &r->reader[r->started])) {
        r->started++;
    }
    return r->started == r->count;
}

void rp_sqlite_readers_stop(struct rp_sqlite *s) {
    struct rp_sqlite_readers *r = &s->readers;
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_broadcast(&r->wake);
    pthread_mutex_unlock(&r->lock);
    for (; r->started > 0; r->started--) {
        pthread_join(r->reader[r->started - 1].thread, NULL);
    }
}

void rp_sqlite_readers_done(struct rp_sqlite *s) {
    struct rp_sqlite_readers *r = &s->readers;
    for (int i = 0; i < r->count; i++) {
        rp_sqlite_read_done(&r->reader[i]);
        sqlite3_close(r->reader[i].db);
    }
}
