/* tests/unit/test_engine_sqlite_read.c — finding events and removing them, in indexed segments and
 * outside of them, against a model that keeps the whole log in an array. */
#include "tests/unit/engine_sqlite_fixture.h"

/* ---- reading, against a model ---- */

enum { MODEL_ROOMS = 6, MODEL_RECORDS = 1200 };

struct entry {
    uint64_t seq;
    int room; /* -1: not an event */
    size_t size;
};

struct log_model {
    struct entry entries[MODEL_RECORDS];
    size_t count;
    uint64_t trimmed_seq[MODEL_ROOMS];
};

/* Two of them differ in the namespace alone. */
static const struct {
    const char *nsp, *name;
} model_rooms[MODEL_ROOMS] = {
    {"/", "lobby"},  {"/", "quiet"}, {"/r\xc3\xb6m", "lobby"},
    {"/", "a,b\"]"}, {"/", ""},      {"/z", "z"},
};

/* Rooms of very different size, some records that are no events, bursts. */
static void model_fill(struct fixture *f, struct log_model *m) {
    size_t from = m->count;
    for (; m->count < MODEL_RECORDS; m->count++) {
        uint64_t dice = rp_rng_below(&f->rng, 100);
        int room = dice < 50   ? 0
                   : dice < 52 ? 1
                   : dice < 60 ? 2
                   : dice < 70 ? 3
                   : dice < 80 ? 4
                               : 5;
        struct rp_record_fields event = fixture_event(model_rooms[room].name, "[12345]");
        event.nsp = rp_bytes_str(model_rooms[room].nsp);
        if (rp_rng_below(&f->rng, 10) == 0) {
            event = (struct rp_record_fields){.kind = RP_RECORD_GONE, .aux = 5};
            room = -1;
        }
        struct rp_record *r = rp_record_new(&event);
        m->entries[m->count] = (struct entry){.room = room, .size = r->size};
        assert_int_equal(f->e->ops->append(f->e, &r, 1), RP_OK);
    }
    for (size_t i = from; i < m->count; i++) {
        m->entries[i].seq = fixture_expect_committed(f, 1);
    }
}

static bool model_has(const struct log_model *m, const struct entry *entry,
                      const struct rp_engine_read *read, const int *rooms) {
    for (size_t i = 0; entry->room >= 0 && i < read->spans_count; i++) {
        if (rooms[i] == entry->room && entry->seq > read->spans[i].after &&
            entry->seq <= read->spans[i].upto && entry->seq > m->trimmed_seq[entry->room]) {
            return true;
        }
    }
    return false;
}

static void check_read(struct fixture *f, const struct log_model *m,
                       const struct rp_engine_read *read, const int *rooms) {
    struct rp_engine_page *page = fixture_page(f, read);
    size_t found = 0, bytes = 0;
    bool more = false, truncated = false;
    for (size_t i = 0; i < m->count && !more; i++) {
        const struct entry *entry = &m->entries[read->newest_first ? m->count - 1 - i : i];
        if (!model_has(m, entry, read, rooms)) {
            continue;
        }
        if (found == read->events_max || (found > 0 && bytes + entry->size > read->bytes_max)) {
            more = true;
        } else {
            assert_true(found < page->records_count);
            assert_int_equal(page->records[found]->seq, entry->seq);
            const struct rp_record_fields *f_found = &page->records[found]->f;
            assert_true(rp_bytes_eq_str(f_found->room, model_rooms[entry->room].name));
            assert_true(rp_bytes_eq_str(f_found->nsp, model_rooms[entry->room].nsp));
            bytes += entry->size;
            found++;
        }
    }
    for (size_t i = 0; i < read->spans_count; i++) {
        const struct rp_engine_span *span = &read->spans[i];
        truncated |= span->after < span->upto && m->trimmed_seq[rooms[i]] > span->after;
    }
    assert_int_equal(page->err, RP_OK);
    assert_int_equal(page->records_count, found);
    assert_int_equal(page->more, more);
    assert_int_equal(page->truncated, truncated && !(more && read->newest_first));
    rp_engine_page_free(page);
}

/* Random spans; those of one room are disjoint, as engine.h asks. */
static void check_random_read(struct fixture *f, const struct log_model *m) {
    uint64_t last = m->entries[m->count - 1].seq, from[MODEL_ROOMS] = {0};
    struct rp_engine_span spans[8];
    int rooms[8];
    struct rp_engine_read read = {.id = rp_rng_next(&f->rng), .spans = spans};
    for (size_t i = 0; i < 1 + rp_rng_below(&f->rng, 8); i++) {
        int room = (int) rp_rng_below(&f->rng, MODEL_ROOMS);
        uint64_t after = from[room] + rp_rng_below(&f->rng, last);
        uint64_t upto = after + rp_rng_below(&f->rng, last);
        upto = rp_rng_below(&f->rng, 4) == 0 ? UINT64_MAX : upto;
        spans[read.spans_count] =
            (struct rp_engine_span){.nsp = rp_bytes_str(model_rooms[room].nsp),
                                    .room = rp_bytes_str(model_rooms[room].name),
                                    .after = after,
                                    .upto = upto};
        rooms[read.spans_count++] = room;
        from[room] = upto == UINT64_MAX ? last * 4 : upto;
    }
    read.newest_first = rp_rng_below(&f->rng, 2);
    read.events_max = rp_rng_below(&f->rng, 2) ? 1 + rp_rng_below(&f->rng, 40) : 100000;
    read.bytes_max = rp_rng_below(&f->rng, 2) ? rp_rng_below(&f->rng, 10000) : 1 << 30;
    check_read(f, m, &read, rooms);
}

static void run_reads(uint64_t segment_events, uint64_t indexed) {
    struct fixture f;
    struct log_model *m = RP_NEW(struct log_model);
    fixture_init(&f);
    f.options.segment_events = segment_events;
    fixture_open(&f);
    model_fill(&f, m);
    for (size_t i = 0; i < 100; i++) { /* while the index is being made */
        check_random_read(&f, m);
    }
    fixture_wait_indexed(&f, indexed);
    for (size_t i = 0; i < 500; i++) {
        check_random_read(&f, m);
    }
    free(m);
    fixture_done(&f);
}

static void test_reads_of_unindexed_events_match_the_model(void **state) {
    (void) state;
    run_reads(65536, 0);
}

static void test_reads_of_indexed_and_unindexed_events_match_the_model(void **state) {
    (void) state;
    run_reads(500, 2);
}

static void test_reads_of_many_segments_match_the_model(void **state) {
    (void) state;
    run_reads(16, MODEL_RECORDS / 16 - 1);
}

static void test_pages_give_everything_once(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    uint64_t last = fixture_fill(&f, "r", 333), after = 0;
    size_t count = 0;
    bool more = true;
    while (more) {
        struct rp_engine_span span = {
            .nsp = RP_BYTES_LIT("/"), .room = RP_BYTES_LIT("r"), .after = after, .upto = last};
        struct rp_engine_read read = {
            .spans = &span, .spans_count = 1, .events_max = 10, .bytes_max = 1 << 20};
        struct rp_engine_page *page = fixture_page(&f, &read);
        for (size_t i = 0; i < page->records_count; i++) {
            assert_int_equal(page->records[i]->seq, after + 1);
            after = page->records[i]->seq;
        }
        count += page->records_count;
        more = page->more;
        rp_engine_page_free(page);
    }
    assert_int_equal(count, 333);
    fixture_done(&f);
}

static void test_cancelled_read_gives_no_page(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    uint64_t last = fixture_fill(&f, "r", 200);
    struct rp_engine_span span = {
        .nsp = RP_BYTES_LIT("/"), .room = RP_BYTES_LIT("r"), .after = 0, .upto = last};
    struct rp_engine_read read = {
        .spans = &span, .spans_count = 1, .events_max = 200, .bytes_max = 1 << 20};
    for (read.id = 1; read.id <= RP_READS_MAX; read.id++) {
        assert_int_equal(f.e->ops->read(f.e, &read), RP_OK);
    }
    assert_int_equal(f.e->ops->read(f.e, &read), RP_E_FULL);
    for (uint64_t id = 1; id < RP_READS_MAX; id++) {
        f.e->ops->cancel(f.e, id);
    }
    f.e->ops->cancel(f.e, 4711); /* unknown */
    struct rp_engine_outcome o = fixture_next(&f);
    assert_int_equal(o.kind, RP_ENGINE_PAGE);
    assert_int_equal(o.page->id, RP_READS_MAX);
    rp_engine_page_free(o.page);
    read.id = 5; /* an id may be used again */
    for (int tries = 0; f.e->ops->read(f.e, &read) != RP_OK; tries++) {
        assert_int_equal(f.e->ops->poll(f.e, &o, 1), 0);
        usleep(1000);
        assert_true(tries < WAIT_S * 1000);
    }
    o = fixture_next(&f);
    assert_int_equal(o.page->id, 5);
    assert_int_equal(o.page->records_count, 200);
    rp_engine_page_free(o.page);
    fixture_done(&f);
}

static void test_unindexed_segments_are_indexed_after_a_restart(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fixture_fill(&f, "r", 400);
    fixture_wait_indexed(&f, 6);
    fixture_close(&f);
    /* as if the process had ended before, in the middle of a segment */
    fixture_sql(&f,
                "DELETE FROM segment WHERE segment >= 2; DELETE FROM room_index WHERE segment >= 3;"
                "UPDATE room_index SET seqs = '[1]' WHERE segment = 2;"
                "UPDATE meta SET value = 128 WHERE key = 'indexed_seq'");
    fixture_open(&f);
    fixture_wait_indexed(&f, 4);
    assert_string_equal(fixture_sql(&f, "SELECT count(*) FROM segment"), "6");
    assert_string_equal(fixture_sql(&f, "SELECT sum(n) FROM room_index"), "384");
    struct rp_engine_page *page = fixture_history(&f, "r", 0);
    assert_int_equal(page->records_count, 400);
    rp_engine_page_free(page);
    fixture_done(&f);
}

/* ---- trimming ---- */

static void test_trim_removes_the_oldest_and_says_what_is_gone(void **state) {
    (void) state;
    struct fixture f;
    struct log_model *m = RP_NEW(struct log_model);
    fixture_init(&f);
    fixture_open(&f);
    model_fill(&f, m);
    fixture_wait_indexed(&f, MODEL_RECORDS / 64);
    for (uint64_t upto = 200; upto < 1000; upto += 250) {
        assert_int_equal(fixture_trim(&f, upto), upto);
        for (size_t i = 0; i < m->count; i++) {
            const struct entry *entry = &m->entries[i];
            if (entry->room >= 0 && entry->seq <= upto) {
                m->trimmed_seq[entry->room] = entry->seq;
            }
        }
        for (size_t i = 0; i < 200; i++) {
            check_random_read(&f, m);
        }
    }
    assert_int_equal(fixture_trim(&f, 970), 970);
    assert_int_equal(fixture_trim(&f, 10), 970);
    assert_string_equal(fixture_sql(&f, "SELECT min(seq) FROM event"), "971");
    assert_string_equal(fixture_sql(&f, "SELECT min(segment) FROM room_index"), "15");
    fixture_reopen(&f);
    assert_int_equal(f.e->first_seq, 971);
    assert_int_equal(f.e->last_seq, MODEL_RECORDS);
    free(m);
    fixture_done(&f);
}

static void test_offset_of_a_room_that_lost_nothing_is_not_truncated(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    fixture_fill(&f, "busy", 10);
    fixture_fill(&f, "idle", 1); /* seq 11 */
    fixture_fill(&f, "busy", 200);
    fixture_wait_indexed(&f, 3);
    assert_int_equal(fixture_trim(&f, 128), 128);
    struct rp_engine_page *page = fixture_history(&f, "idle", 11);
    assert_false(page->truncated);
    rp_engine_page_free(page);
    page = fixture_history(&f, "idle", 10);
    assert_true(page->truncated);
    rp_engine_page_free(page);
    page = fixture_history(&f, "busy", 128);
    assert_false(page->truncated);
    assert_int_equal(page->records_count, 211 - 128);
    rp_engine_page_free(page);
    fixture_done(&f);
}

static void test_seqs_go_on_after_everything_was_trimmed(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_keep_for(&f, 1000);
    fixture_open(&f);
    assert_int_equal(fixture_fill(&f, "r", 128), 128);
    fixture_wait_indexed(&f, 2);
    assert_int_equal(f.e->ops->trim(f.e, 500, 2000000000000), RP_OK); /* all are too old */
    struct rp_engine_outcome o = fixture_next(&f);
    assert_int_equal(o.seq, 128);
    assert_string_equal(fixture_sql(&f, "SELECT count(*) FROM event"), "0");
    fixture_reopen(&f);
    assert_int_equal(f.e->first_seq, 129);
    assert_int_equal(f.e->last_seq, 128);
    assert_int_equal(fixture_fill(&f, "r", 1), 129);
    fixture_done(&f);
}

static void test_publish_ids_go_with_their_events(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    struct rp_record_fields event = fixture_event("r", "[1]");
    event.id = RP_BYTES_LIT("once");
    fixture_put(&f, &event);
    fixture_fill(&f, "r", 100);
    fixture_wait_indexed(&f, 1);
    fixture_append(&f, &event);
    fixture_expect_duplicate(&f, 1);
    assert_int_equal(fixture_trim(&f, 64), 64);
    assert_int_equal(fixture_put(&f, &event), 102);
    fixture_done(&f);
}

/* Whatever moment a kill picks: once a room knows that it lost something, the log is known to begin
 * later. */
static void test_log_begins_later_before_a_trim_removes_anything(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    char room[16];
    for (int i = 0; i < 64; i++) {
        snprintf(room, sizeof room, "room%d", i);
        fixture_fill(&f, room, 60);
    }
    fixture_wait_indexed(&f, 60);
    assert_int_equal(f.e->ops->trim(f.e, 3800, 0), RP_OK);
    struct rp_engine_outcome o;
    while (f.e->ops->poll(f.e, &o, 1) == 0) {
        assert_string_equal(fixture_sql(&f,
                                        "SELECT (SELECT count(*) FROM room) > 0 "
                                        "AND (SELECT value FROM meta WHERE key = 'first_seq') = 1"),
                            "0");
    }
    assert_int_equal(o.kind, RP_ENGINE_TRIMMED);
    fixture_done(&f);
}

static void test_one_trim_at_a_time(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    assert_int_equal(f.e->ops->trim(f.e, 1, 0), RP_OK);
    assert_int_equal(f.e->ops->trim(f.e, 1, 0), RP_E_FULL);
    struct rp_engine_outcome o = fixture_next(&f);
    assert_int_equal(o.kind, RP_ENGINE_TRIMMED);
    assert_int_equal(f.e->ops->trim(f.e, 1, 0), RP_OK);
    fixture_done(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_of_unindexed_events_match_the_model),
        cmocka_unit_test(test_reads_of_indexed_and_unindexed_events_match_the_model),
        cmocka_unit_test(test_reads_of_many_segments_match_the_model),
        cmocka_unit_test(test_pages_give_everything_once),
        cmocka_unit_test(test_cancelled_read_gives_no_page),
        cmocka_unit_test(test_unindexed_segments_are_indexed_after_a_restart),
        cmocka_unit_test(test_trim_removes_the_oldest_and_says_what_is_gone),
        cmocka_unit_test(test_offset_of_a_room_that_lost_nothing_is_not_truncated),
        cmocka_unit_test(test_seqs_go_on_after_everything_was_trimmed),
        cmocka_unit_test(test_publish_ids_go_with_their_events),
        cmocka_unit_test(test_log_begins_later_before_a_trim_removes_anything),
        cmocka_unit_test(test_one_trim_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
