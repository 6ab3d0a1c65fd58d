/* tests/unit/disk_fixture.h — a history of records on a disk that may fail, and what must be true
 * of the log afterwards. Records are known by their `num`, which each has for itself. */
#pragma once

#include "tests/unit/engine_sqlite_fixture.h"
#include "tests/vfs/faulty_vfs.h"

enum fate {
    FATE_NONE,      /* not appended */
    FATE_UNDECIDED, /* appended; no outcome, as after FATAL or without power */
    FATE_COMMITTED,
    FATE_DUPLICATE,
    FATE_REFUSED,
};

enum { DISK_RECORDS_MAX = 512, DISK_GROUP = 4 };

struct disk_run {
    struct fixture f;
    struct rp_record *records[DISK_RECORDS_MAX]; /* by num - 1; own references */
    enum fate fates[DISK_RECORDS_MAX];
    uint64_t seqs[DISK_RECORDS_MAX]; /* as told */
    size_t count;                    /* of records so far */
    size_t waiting;                  /* outcomes to come */
    uint64_t session;                /* the newest that is open, 0: none */
    uint64_t newest;                 /* seq told */
    bool fatal;
    bool lost;                          /* an end, the last time the log was opened */
    enum rp_err fatal_err, refused_err; /* the newest */
    size_t refused, pages_failed, pages_read;
};

static inline void disk_init(struct disk_run *d) {
    *d = (struct disk_run){0};
    fixture_init(&d->f);
    char dir[] = "/dev/shm/reprise-engine-XXXXXX"; /* the lock file is synced, at each open */
    if (mkdtemp(dir) != NULL) {
        rmdir(d->f.dir);
        memcpy(d->f.dir, dir, sizeof dir);
        snprintf(d->f.path, sizeof d->f.path, "%s/log.db", dir);
    }
    d->f.options.segment_events = 16;
    d->f.options.checkpoint_frames = 6;
    d->f.options.readers_count = 1;
}

static inline void disk_done(struct disk_run *d) {
    for (size_t i = 0; i < d->count; i++) {
        rp_record_unref(d->records[i]);
    }
    fixture_done(&d->f);
}

/* ---- outcomes ---- */

static inline void disk_check_page(struct disk_run *d, struct rp_engine_page *page);

static inline void disk_take(struct disk_run *d, const struct rp_engine_outcome *o) {
    static const enum fate fates[] = {[RP_ENGINE_COMMITTED] = FATE_COMMITTED,
                                      [RP_ENGINE_DUPLICATE] = FATE_DUPLICATE,
                                      [RP_ENGINE_REFUSED] = FATE_REFUSED};
    assert_false(d->fatal); /* nothing is told after FATAL but pages */
    if (o->kind == RP_ENGINE_FATAL) {
        d->fatal = true;
        d->fatal_err = o->err;
        d->waiting = 0;
        return;
    }
    assert_true(o->kind == RP_ENGINE_COMMITTED || o->kind == RP_ENGINE_DUPLICATE ||
                o->kind == RP_ENGINE_REFUSED);
    size_t i = (size_t) o->record->f.num - 1;
    assert_true(i < d->count && d->records[i] == o->record && d->fates[i] == FATE_UNDECIDED);
    d->fates[i] = fates[o->kind];
    d->seqs[i] = o->seq;
    if (o->kind == RP_ENGINE_COMMITTED) {
        assert_true(o->seq > d->newest && o->record->seq == o->seq);
        d->newest = o->seq;
    } else if (o->kind == RP_ENGINE_REFUSED) {
        assert_int_equal(o->record->seq, 0);
        d->refused++;
        d->refused_err = o->err;
    } else { /* of one that is in the log, or comes with it in this commit */
        assert_true(o->seq > 0 && o->seq <= d->newest);
    }
    rp_record_unref(o->record);
    d->waiting--;
}

/* Until everything is decided, or never will be. */
static inline void disk_wait(struct disk_run *d) {
    while (d->waiting > 0) {
        struct rp_engine_outcome o = fixture_next(&d->f);
        disk_take(d, &o);
    }
}

/* What comes without waiting, after the power went. */
static inline void disk_drain(struct disk_run *d) {
    struct rp_engine_outcome o;
    while (!d->fatal && d->f.e->ops->poll(d->f.e, &o, 1) > 0) {
        disk_take(d, &o);
    }
    d->waiting = 0;
}

static inline void disk_append(struct disk_run *d, struct rp_record_fields f) {
    assert_true(d->count < DISK_RECORDS_MAX);
    f.num = d->count + 1;
    f.ts_ms = 1700000000000 + f.num;
    struct rp_record *r = rp_record_new(&f);
    d->records[d->count] = rp_record_ref(r);
    d->fates[d->count++] = FATE_UNDECIDED;
    d->waiting++;
    assert_int_equal(d->f.e->ops->append(d->f.e, &r, 1), RP_OK);
}

/* ---- a history ---- */

static const char *const disk_rooms[] = {"a", "b", "c"};

/* The i-th record of a history: sessions that come, join, leave and go; events with and without
 * ids, some of them for the second time, a few larger than a page. */
static inline struct rp_record_fields disk_record(struct disk_run *d, size_t i) {
    static const uint8_t hash[RP_PID_HASH_LEN] = {3};
    static char id[DISK_GROUP * 2][32], large[3][9000];
    struct rp_bytes room = rp_bytes_str(disk_rooms[i % 3]);
    if (i % 16 == 0) {
        return (struct rp_record_fields){.kind = RP_RECORD_OPEN,
                                         .nsp = RP_BYTES_LIT("/"),
                                         .sid = RP_BYTES_LIT("sid"),
                                         .origin = 5,
                                         .pid_hash = {hash, sizeof hash}};
    }
    if (d->session != 0 && (i % 8 == 4 || i % 16 == 15)) {
        return (struct rp_record_fields){.kind = i % 16 == 15  ? RP_RECORD_END
                                                 : i % 16 == 4 ? RP_RECORD_JOIN
                                                               : RP_RECORD_LEAVE,
                                         .session = d->session,
                                         .conn = d->session,
                                         .nsp = RP_BYTES_LIT("/"),
                                         .room = RP_BYTES_LIT("a")};
    }
    struct rp_record_fields event = fixture_event("", "[1]");
    event.room = room;
    if (i % 5 == 0) {
        char *text = id[i % (DISK_GROUP * 2)];
        snprintf(text, sizeof id[0], "id-%zu", i / 10); /* each twice */
        event.id = rp_bytes_str(text);
    }
    if (i % 11 == 7) {
        char *text = large[i % 3];
        memset(text, 'a' + (char) (i % 26), sizeof large[0] - 1);
        text[sizeof large[0] - 1] = '\0';
        event.args = rp_bytes_str(text);
    }
    return event;
}

static inline void disk_read(struct disk_run *d) {
    struct rp_engine_span span = {
        .nsp = RP_BYTES_LIT("/"), .room = RP_BYTES_LIT("a"), .upto = UINT64_MAX};
    struct rp_engine_read read = {
        .id = 1, .spans = &span, .spans_count = 1, .events_max = 10000, .bytes_max = 100 << 20};
    assert_int_equal(d->f.e->ops->read(d->f.e, &read), RP_OK);
    for (;;) {
        struct rp_engine_outcome o = fixture_next(&d->f);
        if (o.kind == RP_ENGINE_PAGE) {
            disk_check_page(d, o.page);
            return;
        }
        disk_take(d, &o); /* the checkpointer may fail meanwhile */
    }
}

/* n more records in groups, with a read of a room now and then. */
static inline void disk_play(struct disk_run *d, size_t n) {
    for (size_t i = 0; i < n && !d->fatal; i++) {
        disk_append(d, disk_record(d, d->count));
        const struct rp_record *r = d->records[d->count - 1];
        bool alone = r->f.kind == RP_RECORD_OPEN;
        if (i % DISK_GROUP == DISK_GROUP - 1 || alone) {
            disk_wait(d);
        }
        if (alone && d->fates[d->count - 1] == FATE_COMMITTED) {
            d->session = r->seq;
        }
        if (i % 16 == 11) {
            disk_wait(d);
            disk_read(d);
        }
    }
    if (!d->fatal) {
        disk_wait(d);
    }
}

/* ---- what must be true ---- */

static inline bool disk_is_well(const struct disk_run *d) {
    return !d->fatal && d->refused == 0 && faulty_vfs_broken() == 0;
}

static inline uint64_t disk_checkpoints(struct disk_run *d) {
    struct rp_engine_sqlite_stats stats;
    rp_engine_sqlite_stats(d->f.e, &stats);
    return stats.checkpoints;
}

/* The file is synced by a pass that left nothing in the WAL to copy. */
static inline uint64_t disk_file_syncs(void) {
    return faulty_vfs_count(FAULTY_SYNC, FAULTY_DB);
}

/* Plays until the checkpointer, which runs beside, has copied the whole WAL so many times. A pass
 * that meets a transaction copies less, or nothing, and counts as a pass all the same. */
static inline void disk_play_checkpoints(struct disk_run *d, size_t times) {
    for (size_t n = 0; n < times && disk_is_well(d); n++) {
        uint64_t syncs = disk_file_syncs();
        while (disk_is_well(d) && disk_file_syncs() == syncs) {
            uint64_t passes = disk_checkpoints(d);
            disk_play(d, 4 * DISK_GROUP); /* runs out of records, if it never does */
            for (int i = 0; i < WAIT_S * 1000 && disk_is_well(d) && disk_checkpoints(d) == passes;
                 i++) {
                usleep(1000);
            }
        }
    }
}

static inline bool same_bytes(struct rp_bytes a, struct rp_bytes b) {
    return rp_bytes_eq(a, b);
}

static inline void assert_same_record(const struct rp_record *is, const struct rp_record *was) {
    assert_int_equal(is->f.kind, was->f.kind);
    assert_int_equal(is->f.ts_ms, was->f.ts_ms);
    assert_int_equal(is->f.session, was->f.session);
    assert_true(same_bytes(is->f.room, was->f.room) && same_bytes(is->f.nsp, was->f.nsp));
    assert_true(same_bytes(is->f.args, was->f.args) && same_bytes(is->f.id, was->f.id));
}

static inline bool may_be_there(enum fate fate) {
    return fate == FATE_COMMITTED || fate == FATE_UNDECIDED;
}

/* A page of all of room "a": what was told is in it, once, in order; nothing else but what is
 * undecided. */
static inline void disk_check_page(struct disk_run *d, struct rp_engine_page *page) {
    d->pages_read++;
    if (page->err != RP_OK) {
        assert_int_equal(page->records_count, 0);
        d->pages_failed++;
        rp_engine_page_free(page);
        return;
    }
    size_t at = 0;
    for (size_t i = 0; i < d->count; i++) {
        const struct rp_record *was = d->records[i];
        if (was->f.kind != RP_RECORD_EVENT || !rp_bytes_eq_str(was->f.room, "a")) {
            continue;
        }
        bool there = at < page->records_count && page->records[at]->f.num == was->f.num;
        assert_true(there || d->fates[i] != FATE_COMMITTED);
        if (there) {
            assert_true(may_be_there(d->fates[i]));
            assert_same_record(page->records[at], was);
            at++;
        }
    }
    assert_int_equal(at, page->records_count);
    rp_engine_page_free(page);
}

/* The log has what was told and nothing that was refused, each once, in order; a lost end is
 * allowed where `may_lose` says so, and then nothing after the first lost one is there. */
static inline void disk_check_records(struct disk_run *d, const struct loaded *l, bool may_lose) {
    size_t at = 0;
    bool lost = false;
    uint64_t seq = 0;
    for (size_t i = 0; i < d->count; i++) {
        bool there = at < l->records_count && l->records[at]->f.num == i + 1;
        if (!there) {
            lost = lost || d->fates[i] == FATE_COMMITTED;
            if (d->fates[i] == FATE_COMMITTED && !may_lose) {
                fail_msg("record %zu was told to be committed as seq %llu and is lost", i + 1,
                         (unsigned long long) d->seqs[i]);
            }
            continue;
        }
        const struct rp_record *r = l->records[at++];
        if (!may_be_there(d->fates[i])) {
            fail_msg("record %zu was refused or a duplicate and is in the log", i + 1);
        }
        if (lost) { /* whatever is lost is an end */
            fail_msg("record %zu (%s) is there and an older one is lost", i + 1,
                     d->fates[i] == FATE_COMMITTED ? "committed" : "undecided");
        }
        assert_true(r->seq > seq && (d->fates[i] != FATE_COMMITTED || r->seq == d->seqs[i]));
        assert_same_record(r, d->records[i]);
        seq = r->seq;
    }
    assert_int_equal(at, l->records_count);
    d->lost = lost;
}

/* Sessions and memberships are what the records make of them. */
static inline void disk_check_projections(const struct loaded *l) {
    uint64_t open[DISK_RECORDS_MAX];
    bool member[DISK_RECORDS_MAX];
    size_t count = 0, members = 0, loaded = 0;
    for (size_t i = 0; i < l->records_count; i++) {
        const struct rp_record *r = l->records[i];
        if (r->f.kind == RP_RECORD_OPEN) {
            open[count] = r->seq;
            member[count++] = false;
        }
        for (size_t k = 0; k < count; k++) {
            if (open[k] != r->f.session || r->f.session == 0) {
                continue;
            }
            member[k] =
                r->f.kind == RP_RECORD_JOIN || (r->f.kind == RP_RECORD_LEAVE ? false : member[k]);
            if (r->f.kind == RP_RECORD_END) {
                open[k] = open[--count];
                member[k] = member[count];
            }
        }
    }
    for (size_t k = 0; k < count; k++) {
        members += member[k];
    }
    for (size_t i = 0; i < l->members_count; i++) {
        loaded += l->members[i].to_seq == 0;
    }
    assert_int_equal(l->sessions_count, count);
    assert_int_equal(loaded, members);
}

/* Opens the log again and holds it against what was told. What may be lost is lost under a new
 * epoch only. */
static inline void disk_check(struct disk_run *d, bool may_lose) {
    faulty_vfs_mend();
    fixture_open(&d->f);
    bool new_epoch = d->f.message.len > 0;
    assert_true(may_lose || !new_epoch);
    may_lose = new_epoch;
    struct loaded *l = fixture_load(&d->f, 0);
    disk_check_records(d, l, may_lose);
    if (new_epoch) {
        assert_true(l->sessions_count == 0 && l->members_count == 0);
    } else {
        disk_check_projections(l);
    }
    loaded_free(l);
    if (!may_lose) {
        assert_true(d->f.e->last_seq >= d->newest);
        d->newest = d->f.e->last_seq;
        size_t failed = d->pages_failed;
        disk_read(d);
        assert_int_equal(d->pages_failed, failed);
    }
    assert_string_equal(fixture_sql(&d->f, "PRAGMA integrity_check"), "ok");
    d->fatal = false;
    d->session = 0;
}

/* ---- a log to begin with ---- */

/* A log that was closed in order, in bytes; each run begins with it. */
static uint8_t *disk_base;
static size_t disk_base_size;
static struct disk_run disk_before; /* its records */

static inline void disk_make_base(void) {
    if (disk_base != NULL) {
        return;
    }
    disk_init(&disk_before);
    fixture_open(&disk_before.f);
    disk_play(&disk_before, 32);
    fixture_close(&disk_before.f);
    /* its copies are not taken for copies */
    fixture_sql(&disk_before.f, "DELETE FROM meta WHERE key = 'file'; PRAGMA journal_mode = WAL");
    FILE *file = fopen(disk_before.f.path, "r");
    assert_non_null(file);
    disk_base = rp_alloc(1 << 20);
    disk_base_size = fread(disk_base, 1, 1 << 20, file);
    assert_true(disk_base_size > 0 && disk_base_size < 1 << 20);
    fclose(file);
}

/* A run that begins with it. */
static inline void disk_begin(struct disk_run *d) {
    disk_make_base();
    disk_init(d);
    FILE *file = fopen(d->f.path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(disk_base, 1, disk_base_size, file), disk_base_size);
    fclose(file);
    d->count = disk_before.count;
    d->newest = disk_before.newest;
    for (size_t i = 0; i < d->count; i++) {
        d->records[i] = rp_record_ref(disk_before.records[i]);
        d->fates[i] = disk_before.fates[i];
        d->seqs[i] = disk_before.seqs[i];
    }
}

static inline int disk_set_up(void **state) {
    (void) state;
    return faulty_vfs_install();
}

static inline int disk_tear_down(void **state) {
    (void) state;
    if (disk_base != NULL) {
        disk_done(&disk_before);
        free(disk_base);
    }
    return 0;
}
