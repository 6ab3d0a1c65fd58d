#include "broker/record.h"

#include "common/alloc.h"

#include <stdlib.h>

static struct rp_bytes place(uint8_t **at, struct rp_bytes from) {
    struct rp_bytes placed = rp_bytes(*at, from.len);
    if (from.len > 0) {
        memcpy(*at, from.data, from.len);
        *at += from.len;
    }
    return placed;
}

static size_t bytes_len(const struct rp_record_fields *f) {
    return f->nsp.len + f->room.len + f->name.len + f->args.len + f->id.len + f->sid.len +
           f->pid_hash.len + f->attachments.len + f->rooms.len + f->except.len;
}

uint64_t rp_record_weight(const struct rp_record_fields *fields) {
    return RP_RECORD_WEIGHT_MIN + bytes_len(fields);
}

struct rp_record *rp_record_new(const struct rp_record_fields *fields) {
    size_t len = bytes_len(fields);
    struct rp_record *r = rp_realloc(NULL, sizeof(*r) + len);
    atomic_init(&r->refs, 1);
    r->seq = 0;
    r->expected = 0;
    r->size = sizeof(*r) + len;
    r->f = *fields;
    uint8_t *at = r->data;
    r->f.nsp = place(&at, fields->nsp);
    r->f.room = place(&at, fields->room);
    r->f.name = place(&at, fields->name);
    r->f.args = place(&at, fields->args);
    r->f.id = place(&at, fields->id);
    r->f.sid = place(&at, fields->sid);
    r->f.pid_hash = place(&at, fields->pid_hash);
    r->f.attachments = place(&at, fields->attachments);
    r->f.rooms = place(&at, fields->rooms);
    r->f.except = place(&at, fields->except);
    return r;
}

struct rp_record *rp_record_ref(struct rp_record *r) {
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

struct rp_record *rp_record_unref(struct rp_record *r) {
    if (r != NULL && atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1) {
        free(r);
    }
    return NULL;
}
