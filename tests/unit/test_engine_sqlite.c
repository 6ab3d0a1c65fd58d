/* tests/unit/test_engine_sqlite.c — the SQLite engine when the world behaves: what is appended is
 * kept, found and removed as engine.h and record.h say. Faults are in test_engine_sqlite_faults.c.
 */
#include "tests/unit/engine_sqlite_fixture.h"

#include <sys/stat.h>

static void assert_same_record(const struct rp_record *a, const struct rp_record *b) {
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->f.kind, b->f.kind);
    assert_int_equal(a->f.flags, b->f.flags);
    assert_int_equal(a->f.ts_ms, b->f.ts_ms);
    assert_int_equal(a->f.origin, b->f.origin);
    assert_int_equal(a->f.num, b->f.num);
    assert_int_equal(a->f.session, b->f.session);
    assert_int_equal(a->f.conn, b->f.conn);
    assert_int_equal(a->f.aux, b->f.aux);
    assert_true(rp_bytes_eq(a->f.nsp, b->f.nsp) && rp_bytes_eq(a->f.room, b->f.room));
    assert_true(rp_bytes_eq(a->f.name, b->f.name) && rp_bytes_eq(a->f.args, b->f.args));
    assert_true(rp_bytes_eq(a->f.id, b->f.id) && rp_bytes_eq(a->f.sid, b->f.sid));
    assert_true(rp_bytes_eq(a->f.pid_hash, b->f.pid_hash));
    assert_true(rp_bytes_eq(a->f.attachments, b->f.attachments));
}

/* ---- appending ---- */

static void test_new_log_is_empty(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    assert_int_equal(f.message.len, 0);
    assert_int_equal(f.e->first_seq, 1);
    assert_int_equal(f.e->last_seq, 0);
    assert_int_equal(strspn(f.e->epoch, "abcdefghijklmnopqrstuvwxyz0123456789"), RP_EPOCH_LEN);
    struct loaded *l = fixture_load(&f, 0);
    assert_int_equal(l->records_count + l->sessions_count + l->members_count, 0);
    loaded_free(l);
    fixture_done(&f);
}

static void test_every_field_survives_a_reopen(void **state) {
    (void) state;
    static const uint8_t hash[RP_PID_HASH_LEN] = {0, 255, 1, 0, 9};
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    char *large = rp_alloc(300001);
    memset(large, 'x', 300000);
    struct rp_record_fields all[] = {
        {.kind = RP_RECORD_EVENT,
         .flags = RP_RECORD_NO_ECHO,
         .ts_ms = 1,
         .origin = UINT64_MAX,
         .num = 1ull << 63,
         .session = 5,
         .conn = 6,
         .aux = 7,
         .nsp = RP_BYTES_LIT("/chat"),
         .room = RP_BYTES_LIT("a\0b"),
         .name = RP_BYTES_LIT("n\xc3\xa4me"),
         .args = RP_BYTES_LIT("[\"\xf0\x9f\x98\x80\",{\"a\":1e400}]"),
         .attachments = RP_BYTES_LIT("\0\0\0\1\xff"),
         .id = RP_BYTES_LIT("id-1"),
         .sid = RP_BYTES_LIT("sid")},
        fixture_event("r", large),
        {.kind = RP_RECORD_EVENT}, /* all of it empty */
        {.kind = RP_RECORD_OPEN,
         .ts_ms = 9,
         .origin = 1,
         .num = 2,
         .nsp = RP_BYTES_LIT("/"),
         .sid = RP_BYTES_LIT("s"),
         .pid_hash = {hash, sizeof hash}},
        {.kind = RP_RECORD_GONE, .aux = UINT64_MAX},
    };
    enum { COUNT = sizeof all / sizeof all[0] };
    struct rp_record *sent[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        sent[i] = rp_record_ref(rp_record_new(&all[i]));
        assert_int_equal(f.e->ops->append(f.e, &sent[i], 1), RP_OK);
    }
    fixture_expect_committed(&f, COUNT);
    char epoch[RP_EPOCH_LEN + 1];
    memcpy(epoch, f.e->epoch, sizeof epoch);
    fixture_reopen(&f);
    assert_string_equal(f.e->epoch, epoch);
    assert_int_equal(f.message.len, 0);
    assert_int_equal(f.e->last_seq, COUNT);
    struct loaded *l = fixture_load(&f, 0);
    assert_int_equal(l->records_count, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_same_record(l->records[i], sent[i]);
        rp_record_unref(sent[i]);
    }
    loaded_free(l);
    l = fixture_load(&f, 3);
    assert_int_equal(l->records_count, 2);
    assert_int_equal(l->records[0]->seq, 4);
    loaded_free(l);
    assert_int_equal(fixture_fill(&f, "r", 1), COUNT + 1);
    free(large);
    fixture_done(&f);
}

static void test_outcomes_come_in_the_order_of_appends(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    enum { COUNT = 20000 };
    struct rp_record_fields event = fixture_event("r", "[]");
    for (uint64_t i = 1; i <= COUNT; i++) {
        event.num = i;
        fixture_append(&f, &event);
    }
    for (uint64_t i = 1, seq = 0; i <= COUNT; i++) {
        struct rp_engine_outcome o = fixture_next(&f);
        assert_int_equal(o.record->f.num, i);
        assert_true(o.seq > seq);
        seq = o.seq;
        rp_record_unref(o.record);
    }
    struct rp_engine_sqlite_stats stats;
    rp_engine_sqlite_stats(f.e, &stats);
    assert_int_equal(stats.records, COUNT);
    assert_true(stats.transactions < COUNT / 4); /* they were grouped */
    fixture_done(&f);
}

static void test_close_commits_what_was_appended(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    struct rp_record_fields event = fixture_event("r", "[]");
    for (size_t i = 0; i < 9000; i++) {
        fixture_append(&f, &event);
    }
    fixture_reopen(&f);
    assert_int_equal(f.e->last_seq, 9000);
    fixture_done(&f);
}

static void test_full_queue_takes_nothing(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    f.options.queue_records_max = 4;
    f.options.queue_bytes_max = 4096;
    fixture_open(&f);
    struct rp_record_fields event = fixture_event("r", "[]");
    struct rp_record *group[3];
    for (size_t i = 0; i < 3; i++) {
        group[i] = rp_record_ref(rp_record_new(&event));
    }
    fixture_append(&f, &event);
    fixture_append(&f, &event);
    assert_int_equal(f.e->ops->append(f.e, group, 3), RP_E_FULL);
    assert_int_equal(f.e->ops->append(f.e, group, 2), RP_OK);
    assert_int_equal(f.e->ops->append(f.e, group + 2, 1), RP_E_FULL);
    fixture_expect_committed(&f, 1); /* room for one after a poll */
    assert_int_equal(f.e->ops->append(f.e, group + 2, 1), RP_OK);
    assert_int_equal(fixture_expect_committed(&f, 4), 5);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(group[i]->seq, 3 + i);
        assert_int_equal(atomic_load(&group[i]->refs), 1);
        rp_record_unref(group[i]);
    }
    char *large = rp_alloc(10001);
    memset(large, 'x', 10000);
    event.args = rp_bytes_str(large);
    fixture_append(&f, &event); /* larger than the queue: alone */
    struct rp_record *other = rp_record_new(&event);
    assert_int_equal(f.e->ops->append(f.e, &other, 1), RP_E_FULL);
    rp_record_unref(other);
    fixture_expect_committed(&f, 1);
    free(large);
    fixture_done(&f);
}

static void test_records_of_one_append_are_one_transaction(void **state) {
    (void) state;
    enum { COUNT = 5000 }; /* more than is gathered from several */
    struct fixture f;
    struct rp_record **group = rp_alloc(COUNT * sizeof(struct rp_record *));
    struct rp_record_fields event = fixture_event("r", "[]");
    fixture_init(&f);
    fixture_open(&f);
    for (size_t i = 0; i < COUNT; i++) {
        group[i] = rp_record_new(&event);
    }
    assert_int_equal(f.e->ops->append(f.e, group, COUNT), RP_OK);
    fixture_expect_committed(&f, 1); /* the first is visible with all others */
    assert_string_equal(fixture_sql(&f, "SELECT count(*) FROM event"), "5000");
    fixture_expect_committed(&f, COUNT - 1);
    free(group);
    fixture_done(&f);
}

/* ---- publish ids ---- */

static void test_duplicate_id_answers_with_the_first_seq(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    struct rp_record_fields event = fixture_event("r", "[1]");
    event.id = RP_BYTES_LIT("a");
    assert_int_equal(fixture_put(&f, &event), 1);
    event.room = RP_BYTES_LIT("other room");
    fixture_append(&f, &event);
    fixture_expect_duplicate(&f, 1);
    event.nsp = RP_BYTES_LIT("/other");
    assert_int_equal(fixture_put(&f, &event), 2);
    event.nsp = rp_bytes(NULL, 0);
    assert_int_equal(fixture_put(&f, &event), 3);
    fixture_append(&f, &event);
    fixture_expect_duplicate(&f, 3);
    fixture_reopen(&f);
    fixture_append(&f, &event);
    fixture_expect_duplicate(&f, 3);
    fixture_done(&f);
}

/* What is only looked for is not stored. */
static void test_what_is_to_be_found_is_not_stored(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    struct rp_record_fields event = {.kind = RP_RECORD_EVENT,
                                     .nsp = RP_BYTES_LIT("/"),
                                     .room = RP_BYTES_LIT("a"),
                                     .args = RP_BYTES_LIT("[]"),
                                     .id = RP_BYTES_LIT("x"),
                                     .flags = RP_RECORD_FIND};
    fixture_append(&f, &event);
    struct rp_engine_outcome o = fixture_next(&f);
    assert_int_equal(o.kind, RP_ENGINE_REFUSED);
    assert_int_equal(o.err, RP_E_NOT_FOUND);
    rp_record_unref(o.record);
    event.flags = 0;
    uint64_t seq = fixture_put(&f, &event);
    event.flags = RP_RECORD_FIND;
    fixture_append(&f, &event);
    fixture_expect_duplicate(&f, seq);
    assert_string_equal(fixture_sql(&f, "SELECT count(*) FROM event"), "1");
    fixture_done(&f);
}

static void test_duplicate_ids_within_a_batch_share_one_seq(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    struct rp_record_fields event = fixture_event("r", "[1]");
    struct rp_record *group[4];
    static const char *const ids[] = {"x", "x", "y", "x"};
    for (size_t i = 0; i < 4; i++) {
        event.id = rp_bytes_str(ids[i]);
        group[i] = rp_record_new(&event);
    }
    assert_int_equal(f.e->ops->append(f.e, group, 4), RP_OK);
    assert_int_equal(fixture_expect_committed(&f, 1), 1);
    fixture_expect_duplicate(&f, 1);
    assert_int_equal(fixture_expect_committed(&f, 1), 2);
    fixture_expect_duplicate(&f, 1);
    assert_string_equal(fixture_sql(&f, "SELECT count(*) FROM messages"), "2");
    fixture_done(&f);
}

/* ---- projections, against a model ---- */

struct model_session {
    uint64_t session, conn, gateway, closed_ts_ms, floor_seq;
};

struct model {
    struct model_session sessions[64];
    size_t sessions_count;
    struct rp_engine_member members[4096];
    size_t members_count;
};

static struct model_session *model_find(struct model *m, uint64_t session) {
    for (size_t i = 0; i < m->sessions_count; i++) {
        if (m->sessions[i].session == session) {
            return &m->sessions[i];
        }
    }
    return NULL;
}

static struct rp_engine_member *model_open_interval(struct model *m, uint64_t session,
                                                    struct rp_bytes room) {
    for (size_t i = 0; i < m->members_count; i++) {
        struct rp_engine_member *member = &m->members[i];
        if (member->session == session && member->to_seq == 0 && rp_bytes_eq(member->room, room)) {
            return member;
        }
    }
    return NULL;
}

/* Removes a session's intervals that were closed up to a seq; with UINT64_MAX all, open ones too.
 */
static void model_forget(struct model *m, uint64_t session, uint64_t upto) {
    size_t kept = 0;
    for (size_t i = 0; i < m->members_count; i++) {
        const struct rp_engine_member *member = &m->members[i];
        bool goes = member->session == session &&
                    (upto == UINT64_MAX || (member->to_seq > 0 && member->to_seq <= upto));
        if (!goes) {
            m->members[kept++] = *member;
        }
    }
    m->members_count = kept;
}

/* When a session left a room, if it did; the bound of what it can forget. */
static uint64_t model_a_to_seq(const struct model *m, uint64_t session) {
    uint64_t to_seq = 0;
    for (size_t i = 0; i < m->members_count; i++) {
        bool fits = m->members[i].session == session && m->members[i].to_seq > 0;
        to_seq = fits && (to_seq == 0 || i % 3 == 0) ? m->members[i].to_seq : to_seq;
    }
    return to_seq;
}

static void model_leave(struct model *m, struct model_session *s, const struct rp_record_fields *f,
                        uint64_t seq) {
    struct rp_engine_member *member = model_open_interval(m, f->session, f->room);
    if (member != NULL) {
        member->to_seq = seq;
    }
    if (f->aux > 0) {
        model_forget(m, f->session, f->aux);
        s->floor_seq = s->floor_seq > f->aux ? s->floor_seq : f->aux;
    }
}

static void model_apply(struct model *m, const struct rp_record_fields *f, uint64_t seq) {
    struct model_session *s = model_find(m, f->session);
    if (f->kind == RP_RECORD_OPEN) {
        m->sessions[m->sessions_count++] =
            (struct model_session){.session = seq, .conn = seq, .gateway = f->origin};
    } else if (f->kind == RP_RECORD_GONE) {
        for (size_t i = 0; i < m->sessions_count; i++) {
            if (m->sessions[i].gateway == f->aux) {
                m->sessions[i].gateway = 0;
                m->sessions[i].closed_ts_ms = f->ts_ms;
            }
        }
    } else if (s == NULL) {
        return;
    } else if (f->kind == RP_RECORD_RESUME) {
        *s = (struct model_session){
            .session = s->session, .conn = seq, .gateway = f->origin, .floor_seq = s->floor_seq};
    } else if (f->kind == RP_RECORD_CLOSE && s->conn == f->conn && s->closed_ts_ms == 0) {
        s->gateway = 0;
        s->closed_ts_ms = f->ts_ms;
    } else if (f->kind == RP_RECORD_END) {
        model_forget(m, f->session, UINT64_MAX);
        *s = m->sessions[--m->sessions_count];
    } else if (f->kind == RP_RECORD_JOIN && model_open_interval(m, f->session, f->room) == NULL) {
        m->members[m->members_count++] = (struct rp_engine_member){
            .session = f->session, .from_seq = seq, .ts_ms = f->ts_ms, .room = f->room};
    } else if (f->kind == RP_RECORD_LEAVE) {
        model_leave(m, s, f, seq);
    }
}

static void assert_is_model(struct fixture *f, struct model *m) {
    struct loaded *l = fixture_load(f, UINT64_MAX);
    assert_int_equal(l->sessions_count, m->sessions_count);
    assert_int_equal(l->members_count, m->members_count);
    for (size_t i = 0; i < l->sessions_count; i++) {
        const struct rp_engine_session *s = &l->sessions[i];
        const struct model_session *expected = model_find(m, s->session);
        assert_non_null(expected);
        assert_int_equal(s->conn, expected->conn);
        assert_int_equal(s->gateway, expected->gateway);
        assert_int_equal(s->closed_ts_ms, expected->closed_ts_ms);
        assert_int_equal(s->floor_seq, expected->floor_seq);
    }
    for (size_t i = 0; i < l->members_count; i++) {
        const struct rp_engine_member *a = &l->members[i], *previous = i > 0 ? a - 1 : NULL;
        size_t k = 0;
        while (k < m->members_count && (m->members[k].from_seq != a->from_seq)) {
            k++;
        }
        assert_true(k < m->members_count);
        assert_int_equal(a->session, m->members[k].session);
        assert_int_equal(a->to_seq, m->members[k].to_seq);
        assert_int_equal(a->ts_ms, m->members[k].ts_ms);
        assert_true(rp_bytes_eq(a->room, m->members[k].room));
        if (previous != NULL &&
            previous->session == a->session) { /* closed ones first, in their order */
            assert_true(previous->to_seq > 0 ? a->to_seq == 0 || a->to_seq > previous->to_seq
                                             : a->to_seq == 0 && a->from_seq > previous->from_seq);
        }
    }
    loaded_free(l);
}

static void test_projections_follow_every_kind_of_record(void **state) {
    (void) state;
    static const char *const rooms[] = {"a", "b", "c", "d"};
    static const uint8_t hash[RP_PID_HASH_LEN] = {1};
    struct fixture f;
    fixture_init(&f);
    f.options.sync_full = false;
    fixture_open(&f);
    struct model *m = RP_NEW(struct model);
    uint64_t last = 0;
    for (size_t i = 0; i < 3000; i++) {
        uint64_t known = m->sessions_count > 0
                             ? m->sessions[rp_rng_below(&f.rng, m->sessions_count)].session
                             : 0;
        const struct model_session *s = model_find(m, known);
        struct rp_record_fields r = {.kind = (enum rp_record_kind)(1 + rp_rng_below(&f.rng, 8)),
                                     .ts_ms = 1000 + i,
                                     .num = i};
        r.origin = (1 + rp_rng_below(&f.rng, 3)) | 1ull << 63;
        r.session =
            rp_rng_below(&f.rng, 20) ? known : 999999; /* now and then one that is not there */
        r.room = rp_bytes_str(rooms[rp_rng_below(&f.rng, 4)]);
        if (r.kind == RP_RECORD_END && rp_rng_below(&f.rng, 4) > 0) {
            r.kind = RP_RECORD_JOIN;
        }
        if (r.kind == RP_RECORD_OPEN) {
            r.session = 0;
            r.nsp = RP_BYTES_LIT("/");
            r.sid = RP_BYTES_LIT("sid");
            r.pid_hash = rp_bytes(hash, sizeof hash);
            r.kind = m->sessions_count == 64 ? RP_RECORD_EVENT : r.kind;
        }
        r.conn = s != NULL && rp_rng_below(&f.rng, 3) ? s->conn : last;
        if (r.kind == RP_RECORD_LEAVE) {
            r.aux = rp_rng_below(&f.rng, 10) == 0 ? model_a_to_seq(m, known) : 0;
        } else if (r.kind == RP_RECORD_GONE) {
            r.aux = rp_rng_below(&f.rng, 8) == 0 ? r.origin : 12345;
            r.session = 0;
        }
        last = fixture_put(&f, &r);
        model_apply(m, &r, last);
    }
    assert_true(m->sessions_count > 5 && m->members_count > 10);
    assert_is_model(&f, m);
    fixture_reopen(&f);
    assert_is_model(&f, m);
    free(m);
    fixture_done(&f);
}

/* ---- epochs ---- */

static void open_session(struct fixture *f) {
    static const uint8_t hash[RP_PID_HASH_LEN] = {3};
    struct rp_record_fields open = {.kind = RP_RECORD_OPEN,
                                    .ts_ms = 1700000000123,
                                    .origin = 0xfedcba9876543210u,
                                    .nsp = RP_BYTES_LIT("/"),
                                    .sid = RP_BYTES_LIT("sid-1"),
                                    .pid_hash = {hash, sizeof hash}};
    uint64_t session = fixture_put(f, &open);
    struct rp_record_fields join = {.kind = RP_RECORD_JOIN,
                                    .ts_ms = 1700000001000,
                                    .session = session,
                                    .conn = session,
                                    .nsp = RP_BYTES_LIT("/"),
                                    .room = RP_BYTES_LIT("lobby")};
    fixture_put(f, &join);
}

static void assert_no_sessions(struct fixture *f) {
    struct loaded *l = fixture_load(f, 0);
    assert_int_equal(l->sessions_count + l->members_count, 0);
    loaded_free(l);
}

static void test_new_epoch_forgets_sessions_and_jumps(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    open_session(&f);
    fixture_fill(&f, "r", 10);
    const uint64_t above = 1000000000000;
    assert_int_equal(f.e->ops->new_epoch(f.e, "abcd1234", above), RP_OK);
    assert_string_equal(f.e->epoch, "abcd1234");
    assert_no_sessions(&f);
    fixture_reopen(&f);
    assert_string_equal(f.e->epoch, "abcd1234");
    assert_int_equal(f.e->last_seq, above);
    assert_no_sessions(&f);
    assert_int_equal(fixture_fill(&f, "r", 200), above + 200);
    fixture_wait_indexed(&f, 3);
    struct rp_engine_page *page = fixture_history(&f, "r", 0);
    assert_int_equal(page->records_count, 210);
    rp_engine_page_free(page);
    assert_int_equal(fixture_trim(&f, above), above);
    fixture_done(&f);
}

static void test_epoch_is_renewed_when_events_may_be_lost(void **state) {
    (void) state;
    static const struct {
        const char *label, *sql;
        bool asked, renewed;
        const char *boot_id; /* NULL: the kernel's */
    } cases[] = {
        {"clean", "SELECT 1", false, false, NULL},
        {"asked for", "SELECT 1", true, true, NULL},
        {"killed, same boot",
         "UPDATE meta SET value = 0 WHERE key = 'clean'; UPDATE meta SET value = 'normal' WHERE "
         "key = 'sync'",
         false, false, NULL},
        {"power failure, full",
         "UPDATE meta SET value = 0 WHERE key = 'clean'; UPDATE meta SET value = 'x' WHERE key = "
         "'boot_id'",
         false, false, NULL},
        {"power failure, normal",
         "UPDATE meta SET value = 0 WHERE key = 'clean'; UPDATE meta SET value = 'x' WHERE key = "
         "'boot_id';"
         "UPDATE meta SET value = 'normal' WHERE key = 'sync'",
         false, true, NULL},
        {"clean, normal, other boot",
         "UPDATE meta SET value = 'x' WHERE key = 'boot_id';"
         "UPDATE meta SET value = 'normal' WHERE key = 'sync'",
         false, false, NULL},
        {"killed, the boot is not told",
         "UPDATE meta SET value = 0 WHERE key = 'clean'; UPDATE meta SET value = '' WHERE key = "
         "'boot_id';"
         "UPDATE meta SET value = 'normal' WHERE key = 'sync'",
         false, true, ""},
        {"killed with full, the boot is not told",
         "UPDATE meta SET value = 0 WHERE key = 'clean'; UPDATE meta SET value = '' WHERE key = "
         "'boot_id';"
         "UPDATE meta SET value = 'full' WHERE key = 'sync'",
         false, false, ""},
        {"clean, the boot is not told", "UPDATE meta SET value = 'normal' WHERE key = 'sync'",
         false, false, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        fixture_init(&f);
        f.options.sync_full = i % 2;
        fixture_open(&f);
        open_session(&f);
        char epoch[RP_EPOCH_LEN + 1];
        memcpy(epoch, f.e->epoch, sizeof epoch);
        fixture_close(&f);
        fixture_sql(&f, cases[i].sql);
        f.options.new_epoch = cases[i].asked;
        f.options.boot_id = cases[i].boot_id;
        fixture_open(&f);
        if ((strcmp(epoch, f.e->epoch) != 0) != cases[i].renewed ||
            (f.message.len > 0) != cases[i].renewed) {
            fail_msg("%s: %.*s", cases[i].label, RP_BYTES_FMT(rp_buf_bytes(&f.message)));
        }
        struct loaded *l = fixture_load(&f, 0);
        assert_int_equal(l->sessions_count, cases[i].renewed ? 0 : 1);
        assert_int_equal(l->members_count, cases[i].renewed ? 0 : 1);
        assert_int_equal(l->records_count, 2);
        loaded_free(l);
        /* none of the seqs comes again that the part may have had which was lost */
        assert_int_equal(fixture_fill(&f, "r", 1), cases[i].renewed ? 3 + RP_SEQ_JUMP : 3);
        fixture_done(&f);
    }
}

/* ---- what people see ---- */

static void test_views_answer_while_the_log_is_open(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    open_session(&f);
    for (size_t i = 0; i < 300; i++) {
        struct rp_record_fields event = fixture_event(i % 3 ? "lobby" : "other", "[{\"n\":1}]");
        event.sid = RP_BYTES_LIT("sid-1");
        event.ts_ms += i;
        fixture_append(&f, &event);
    }
    fixture_expect_committed(&f, 300);
    fixture_wait_indexed(&f, 4);
    static const struct {
        const char *sql, *answer;
    } cases[] = {
        {"SELECT seq || ' ' || time || ' ' || room || ' ' || event || ' ' || args || ' ' || sender "
         "FROM messages ORDER BY seq LIMIT 1",
         "3 2023-11-14T22:13:20.123Z other msg [{\"n\":1}] sid-1"},
        {"SELECT count(*) FROM messages", "300"},
        {"SELECT count(*) FROM messages_in_room WHERE room = 'lobby'", "200"},
        {"SELECT group_concat(seq) FROM (SELECT seq FROM messages_in_room WHERE room = 'lobby' "
         "ORDER BY seq DESC LIMIT 3)",
         "302,301,299"},
        {"SELECT group_concat(seq) FROM (SELECT seq FROM messages_in_room WHERE room = 'other' "
         "AND seq > 190 ORDER BY seq LIMIT 3)",
         "192,195,198"},
        {"SELECT args || event || time FROM messages_in_room WHERE room = 'lobby' AND seq = 5",
         "[{\"n\":1}]msg2023-11-14T22:13:20.125Z"},
        {"SELECT json_extract(args, '$[0].n') FROM messages WHERE seq = 5", "1"},
        {"SELECT sid || ' ' || room || ' ' || since || ' ' || from_seq || ' ' || connected "
         "FROM members",
         "sid-1 lobby 2023-11-14T22:13:21.000Z 2 1"},
        {"SELECT sid || ' ' || state || ' ' || gateway || ' ' || opened || ' ' || coalesce(closed, "
         "'-') "
         "FROM sessions",
         "sid-1 connected fedcba9876543210 2023-11-14T22:13:20.123Z -"},
        {"PRAGMA user_version", "4"},
        {"PRAGMA integrity_check", "ok"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_string_equal(fixture_sql(&f, cases[i].sql), cases[i].answer);
    }
    fixture_done(&f);
}

static void test_messages_in_room_does_not_scan_the_log(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(f.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "EXPLAIN QUERY PLAN SELECT * FROM messages_in_room "
                                        "WHERE room = 'lobby' ORDER BY seq DESC LIMIT 10",
                                        -1, &stmt, NULL),
                     SQLITE_OK);
    size_t searches = 0;
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const char *step = (const char *) sqlite3_column_text(stmt, 3);
        assert_false(strncmp(step, "SCAN e", 6) == 0 || strncmp(step, "SCAN i", 6) == 0);
        searches += strstr(step, "segment=? AND room=?") != NULL;
    }
    assert_int_equal(searches, 1);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    fixture_done(&f);
}

/* ---- the WAL ---- */

static void write_megabytes(struct fixture *f, size_t megabytes) {
    char *args = rp_alloc(8193);
    memset(args, '7', 8192);
    struct rp_record_fields event = fixture_event("r", args);
    for (size_t i = 0; i < megabytes; i++) {
        for (size_t k = 0; k < 128; k++) {
            fixture_append(f, &event);
        }
        fixture_expect_committed(f, 128);
    }
    free(args);
}

static uint64_t wal_size(const struct fixture *f) {
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s-wal", f->path);
    return stat(path, &st) == 0 ? (uint64_t) st.st_size : 0;
}

static void test_wal_stays_bounded(void **state) {
    (void) state;
    struct fixture f;
    struct rp_engine_sqlite_stats stats;
    fixture_init(&f);
    f.options.sync_full = false;
    fixture_open(&f);
    write_megabytes(&f, 200);
    rp_engine_sqlite_stats(f.e, &stats);
    assert_true(stats.wal_restarts >= 1);
    assert_in_range(wal_size(&f), 1, 192 << 20);

    /* a shell that reads an old state makes it grow; without the shell it begins anew */
    sqlite3 *db;
    assert_int_equal(sqlite3_open(f.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM meta", NULL, NULL, NULL),
                     SQLITE_OK);
    uint64_t restarts = stats.wal_restarts;
    write_megabytes(&f, 120);
    rp_engine_sqlite_stats(f.e, &stats);
    assert_true(stats.wal_restarts <= restarts + 1);
    assert_true(stats.wal_restarts_failed >= 1);
    assert_true(stats.wal_bytes > 64 << 20);
    sqlite3_close(db);
    restarts = stats.wal_restarts;
    for (int i = 0; i < WAIT_S * 100 && stats.wal_restarts == restarts; i++) {
        write_megabytes(&f, 1);
        usleep(10000); /* the disk has to keep up */
        rp_engine_sqlite_stats(f.e, &stats);
    }
    assert_true(stats.wal_restarts > restarts);
    assert_in_range(wal_size(&f), 1, 192 << 20);
    fixture_done(&f);
}

/* ---- all at once ---- */

static void test_appends_reads_and_trims_together(void **state) {
    (void) state;
    enum { COUNT = 30000, KEEP = 4000 };
    struct fixture f;
    fixture_init(&f);
    f.options.segment_events = 256;
    f.options.sync_full = false;
    fixture_open(&f);
    size_t sent = 0, committed = 0, pages = 0, trims = 0;
    uint64_t trimmed = 0, head = 0;
    bool trimming = false;
    /* goes on until everything has happened often enough, however slow each is */
    while (committed < sent || trimming || sent < COUNT || trims < 2 || pages <= 10) {
        bool appending = sent - committed < 1000 && (sent < COUNT || trims < 2);
        for (size_t i = 0; i < 50 && appending; i++) {
            char room[16];
            snprintf(room, sizeof room, "room-%d", (int) rp_rng_below(&f.rng, 20));
            struct rp_record_fields event = fixture_event(room, "[1,2,3]");
            event.num = ++sent;
            fixture_append(&f, &event);
        }
        uint64_t from = trimmed + rp_rng_below(&f.rng, KEEP);
        struct rp_engine_span spans[2] = {
            {.nsp = RP_BYTES_LIT("/"), .room = RP_BYTES_LIT("room-3"), .after = from, .upto = head},
            {.nsp = RP_BYTES_LIT("/"),
             .room = RP_BYTES_LIT("room-4"),
             .after = from,
             .upto = head}};
        struct rp_engine_read read = {
            .id = from, .spans = spans, .spans_count = 2, .events_max = 50, .bytes_max = 1 << 20};
        read.newest_first = from % 2;
        enum rp_err err = f.e->ops->read(f.e, &read);
        assert_true(err == RP_OK || err == RP_E_FULL);
        if (committed < sent && rp_rng_below(&f.rng, 5) == 0) { /* something else will come */
            f.e->ops->cancel(f.e, from);
        }
        if (!trimming && head > trimmed + KEEP + 256) {
            assert_int_equal(f.e->ops->trim(f.e, head - KEEP, 0), RP_OK);
            trimming = true;
        }
        struct rp_engine_outcome outcomes[64];
        size_t n = f.e->ops->poll(f.e, outcomes, 64);
        if (n == 0) {
            fixture_sleep(&f);
        }
        for (size_t i = 0; i < n; i++) {
            struct rp_engine_outcome *o = &outcomes[i];
            if (o->kind == RP_ENGINE_COMMITTED) {
                assert_int_equal(o->record->f.num, ++committed);
                assert_true(o->seq > head);
                head = o->seq;
            } else if (o->kind == RP_ENGINE_PAGE) {
                assert_int_equal(o->page->err, RP_OK);
                for (size_t k = 1; k < o->page->records_count; k++) {
                    bool rises = o->page->records[k]->seq > o->page->records[k - 1]->seq;
                    assert_int_equal(rises, o->page->id % 2 == 0);
                }
                pages++;
                rp_engine_page_free(o->page);
            } else {
                assert_int_equal(o->kind, RP_ENGINE_TRIMMED);
                trimmed = o->seq;
                trimming = false;
                trims++;
            }
            rp_record_unref(o->record);
        }
    }
    fixture_reopen(&f);
    assert_int_equal(f.e->first_seq, trimmed + 1);
    assert_int_equal(f.e->last_seq, sent);
    fixture_done(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_log_is_empty),
        cmocka_unit_test(test_every_field_survives_a_reopen),
        cmocka_unit_test(test_outcomes_come_in_the_order_of_appends),
        cmocka_unit_test(test_close_commits_what_was_appended),
        cmocka_unit_test(test_full_queue_takes_nothing),
        cmocka_unit_test(test_records_of_one_append_are_one_transaction),
        cmocka_unit_test(test_duplicate_id_answers_with_the_first_seq),
        cmocka_unit_test(test_duplicate_ids_within_a_batch_share_one_seq),
        cmocka_unit_test(test_what_is_to_be_found_is_not_stored),
        cmocka_unit_test(test_projections_follow_every_kind_of_record),
        cmocka_unit_test(test_new_epoch_forgets_sessions_and_jumps),
        cmocka_unit_test(test_epoch_is_renewed_when_events_may_be_lost),
        cmocka_unit_test(test_views_answer_while_the_log_is_open),
        cmocka_unit_test(test_messages_in_room_does_not_scan_the_log),
        cmocka_unit_test(test_wal_stays_bounded),
        cmocka_unit_test(test_appends_reads_and_trims_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
