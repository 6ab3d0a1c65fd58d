/* broker/read.c — reads of the engine that are under way, by id: who asked, and what to do with the
 * page. */
#include "broker/state.h"

#include "common/alloc.h"

#include <stdlib.h>

struct rp_read_job *rp_core_read(struct rp_core *core, struct rp_engine_read *read,
                                 enum rp_read_kind kind) {
    read->id = core->next_read_id;
    if (core->reads.count >= RP_READS_MAX || core->engine->ops->read(core->engine, read) != RP_OK) {
        return NULL;
    }
    core->next_read_id++;
    core->stats.reads++;
    struct rp_read_job *job = RP_NEW(struct rp_read_job);
    job->id = read->id;
    job->kind = kind;
    rp_map_add(&core->reads, &job->node, rp_hash_u64(job->id));
    return job;
}

static void job_free(struct rp_core *core, struct rp_read_job *job) {
    rp_map_remove(&core->reads, &job->node);
    free(job);
}

void rp_core_read_cancel(struct rp_core *core, struct rp_read_job *job) {
    if (job != NULL) {
        core->engine->ops->cancel(core->engine, job->id);
        job_free(core, job);
    }
}

static struct rp_read_job *find(const struct rp_core *core, uint64_t id) {
    uint64_t hash = rp_hash_u64(id);
    for (struct rp_map_node *n = rp_map_first(&core->reads, hash); n; n = rp_map_next(n, hash)) {
        struct rp_read_job *job = RP_CONTAINER_OF(n, struct rp_read_job, node);
        if (job->id == id) {
            return job;
        }
    }
    return NULL;
}

/* Borders that a round of retention has moved and not told yet are seen here first: whoever comes
 * back is asked about from now on. */
void rp_core_page(struct rp_core *core, struct rp_engine_page *page) {
    struct rp_read_job *job = find(core, page->id);
    core->border_max = page->border > core->border_max ? page->border : core->border_max;
    if (job != NULL) { /* it may have been cancelled when the page was already waiting */
        struct rp_read_job done = *job;
        job_free(core, job);
        if (done.shared != NULL) {
            rp_share_page(core, done.shared, page);
        } else if (done.cursor != NULL) {
            rp_core_cursor_page(core, done.cursor, done.kind, done.upto, page);
        } else {
            rp_core_answer_page(core, done.answer, page);
        }
    }
    rp_engine_page_free(page);
}
