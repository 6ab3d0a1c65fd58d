/* tests/unit/engine_pair_fixture.h — both engines side by side: they get the same records, and what
 * they load and read must be the same, word for word. */
#pragma once

#include "broker/engine_memory.h"
#include "proto/attachments.h"
#include "tests/unit/engine_sqlite_fixture.h"

struct pair {
    struct fixture f; /* SQLite */
    struct rp_memory_store *store;
    struct rp_engine *memory;
};

static inline void pair_init(struct pair *p) {
    fixture_init(&p->f);
    p->f.options.sync_full = false;
    fixture_open(&p->f);
    p->store = rp_memory_store_new("epoch001");
    p->memory = rp_engine_memory_open(p->store, 1000);
    rp_engine_memory_retain(p->memory, p->f.retention);
}

static inline void pair_reopen(struct pair *p) {
    fixture_reopen(&p->f);
    p->memory->ops->close(p->memory);
    p->memory = rp_engine_memory_open(p->store, 1000);
    rp_engine_memory_retain(p->memory, p->f.retention);
    assert_int_equal(p->memory->first_seq, p->f.e->first_seq);
}

static inline void pair_done(struct pair *p) {
    p->memory->ops->close(p->memory);
    rp_memory_store_free(p->store);
    fixture_done(&p->f);
}

static inline struct rp_engine_outcome pair_memory_next(struct pair *p) {
    struct rp_engine_outcome o;
    while (p->memory->ops->poll(p->memory, &o, 1) == 0) {
        assert_int_equal(rp_engine_memory_step(p->memory, 1), 1);
    }
    return o;
}

/* Appends to both; the seq, which is the same. */
static inline uint64_t pair_put(struct pair *p, const struct rp_record_fields *fields) {
    struct rp_record *r = rp_record_new(fields);
    assert_int_equal(p->memory->ops->append(p->memory, &r, 1), RP_OK);
    struct rp_engine_outcome o = pair_memory_next(p);
    assert_int_equal(o.kind, RP_ENGINE_COMMITTED);
    uint64_t seq = o.seq;
    rp_record_unref(o.record);
    assert_int_equal(fixture_put(&p->f, fields), seq);
    return seq;
}

static inline void pair_trim(struct pair *p, uint64_t upto) {
    uint64_t trimmed = fixture_trim(&p->f, upto);
    assert_int_equal(p->memory->ops->trim(p->memory, trimmed, 0), RP_OK);
    struct rp_engine_outcome o = pair_memory_next(p);
    assert_int_equal(o.kind, RP_ENGINE_TRIMMED);
    assert_int_equal(o.seq, trimmed);
}

/* ---- lists of names ---- */

/* Packs names, up to NULL; the memory is used again after 8 lists. */
static inline struct rp_bytes packed_names(const char *const *names) {
    static uint8_t memory[8][512];
    static size_t next;
    struct rp_buf b = {.data = memory[next++ % 8], .capacity = 512, .max = 512};
    for (; *names != NULL; names++) {
        assert_int_equal(rp_attachments_put(&b, rp_bytes_str(*names)), RP_OK);
    }
    return rp_buf_bytes(&b);
}
#define NAMES(...) packed_names((const char *const[]){__VA_ARGS__, NULL})

/* ---- what load() finds, as lines of text ---- */

enum { DUMP_LINES_MAX = 30000 };

struct dump {
    char *lines[DUMP_LINES_MAX];
    size_t count;
    int phase; /* of the loader's order */
    uint64_t owed_seq, owed_session;
};

__attribute__((format(printf, 2, 3))) static inline void dump_line(struct dump *d,
                                                                   const char *format, ...) {
    va_list args;
    va_start(args, format);
    assert_true(d->count < DUMP_LINES_MAX);
    assert_true(vasprintf(&d->lines[d->count++], format, args) >= 0);
    va_end(args);
}

static inline void dump_phase(struct dump *d, int phase) {
    assert_true(d->phase <= phase);
    d->phase = phase;
}

/* Bytes as a text; 16 memories take turns. */
static inline const char *shown(struct rp_bytes bytes) {
    static char memory[16][1200];
    static size_t next;
    char *text = memory[next++ % 16], *at = text;
    for (size_t i = 0; i < bytes.len; i++) {
        bool plain = bytes.data[i] > ' ' && bytes.data[i] < 127 && bytes.data[i] != '%';
        at += sprintf(at, plain ? "%c" : "%%%02x", bytes.data[i]);
        assert_true(at < text + 1190);
    }
    strcpy(at, at == text ? "-" : "");
    return text;
}

static inline void dump_nsp(void *ctx, const struct rp_engine_namespace *nsp) {
    dump_phase(ctx, 0);
    dump_line(ctx, "nsp %s %u", shown(nsp->nsp), nsp->flags);
}

static inline void dump_session(void *ctx, const struct rp_engine_session *s) {
    dump_phase(ctx, 1);
    dump_line(ctx, "session %02llu %s %s %s %s conn %llu at %llx closed %llu floor %llu %s",
              (unsigned long long) s->session, shown(s->nsp), shown(s->sid),
              s->app ? "app" : "plain", shown(s->data), (unsigned long long) s->conn,
              (unsigned long long) s->gateway, (unsigned long long) s->closed_ts_ms,
              (unsigned long long) s->floor_seq, shown(s->pid_hash));
}

static inline void dump_member(void *ctx, const struct rp_engine_member *m) {
    dump_phase(ctx, 2);
    dump_line(ctx, "member %02llu %s %02llu-%02llu %llu", (unsigned long long) m->session,
              shown(m->room), (unsigned long long) m->from_seq, (unsigned long long) m->to_seq,
              (unsigned long long) m->ts_ms);
}

static inline void dump_unacked(void *ctx, const struct rp_engine_unacked *u) {
    struct dump *d = ctx;
    dump_phase(ctx, 3);
    assert_true(u->session != d->owed_session || u->seq > d->owed_seq);
    d->owed_session = u->session;
    d->owed_seq = u->seq;
    dump_line(ctx, "unacked %02llu %02llu %llx/%llu", (unsigned long long) u->session,
              (unsigned long long) u->seq, (unsigned long long) u->origin,
              (unsigned long long) u->num);
}

static inline void dump_record(void *ctx, struct rp_record *r) {
    const struct rp_record_fields *f = &r->f;
    dump_phase(ctx, 4);
    dump_line(ctx,
              "record %llu kind %d flags %u ts %llu %llx/%llu to %llx/%llu session %llu conn %llu "
              "aux %llu %s %s %s %s %s %s %s %s %s %s",
              (unsigned long long) r->seq, (int) f->kind, f->flags, (unsigned long long) f->ts_ms,
              (unsigned long long) f->origin, (unsigned long long) f->num,
              (unsigned long long) f->to, (unsigned long long) f->to_num,
              (unsigned long long) f->session, (unsigned long long) f->conn,
              (unsigned long long) f->aux, shown(f->nsp), shown(f->room), shown(f->name),
              shown(f->args), shown(f->id), shown(f->sid), shown(f->pid_hash),
              shown(f->attachments), shown(f->rooms), shown(f->except));
}

static inline int compare_lines(const void *a, const void *b) {
    return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Everything that engine loads after a seq, sorted. */
static inline struct dump *dump_of(struct rp_engine *e, uint64_t after) {
    struct dump *d = RP_NEW(struct dump);
    struct rp_engine_loader loader = {.ctx = d,
                                      .session = dump_session,
                                      .member = dump_member,
                                      .unacked = dump_unacked,
                                      .nsp = dump_nsp,
                                      .record = dump_record};
    assert_int_equal(e->ops->load(e, after, &loader), RP_OK);
    if (d->count > 1) {
        qsort(d->lines, d->count, sizeof(d->lines[0]), compare_lines);
    }
    return d;
}

static inline void dump_free(struct dump *d) {
    for (size_t i = 0; i < d->count; i++) {
        free(d->lines[i]);
    }
    free(d);
}

/* Both load the same. */
static inline void pair_check(struct pair *p, uint64_t after) {
    struct dump *a = dump_of(p->f.e, after), *b = dump_of(p->memory, after);
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        if (strcmp(a->lines[i], b->lines[i]) != 0) {
            fail_msg("SQLite: %s\nmemory: %s", a->lines[i], b->lines[i]);
        }
    }
    assert_int_equal(a->count, b->count);
    dump_free(a);
    dump_free(b);
}

/* Both load the same, and of it the lines that begin so are these, each as far as it is given. */
static inline void pair_expect(struct pair *p, const char *kind, const char *const *expected,
                               size_t count) {
    pair_check(p, UINT64_MAX);
    struct dump *d = dump_of(p->memory, UINT64_MAX);
    size_t at = 0;
    for (size_t i = 0; i < d->count; i++) {
        if (strncmp(d->lines[i], kind, strlen(kind)) != 0) {
            continue;
        }
        const char *found = d->lines[i] + strlen(kind) + 1;
        if (at == count || strncmp(found, expected[at], strlen(expected[at])) != 0) {
            fail_msg("%s %s, expected %s", kind, found, at < count ? expected[at] : "no more");
        }
        at++;
    }
    assert_int_equal(at, count);
    dump_free(d);
}
#define PAIR_EXPECT(p, kind, ...)                                                                  \
    pair_expect((p), (kind), (const char *const[]){__VA_ARGS__},                                   \
                sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))
#define PAIR_EXPECT_NONE(p, kind) pair_expect((p), (kind), NULL, 0)
