/* tests/unit/test_engine_sqlite_retention.c — what the SQLite engine keeps: every limit by itself,
 * and then long random lives and deaths in which it must keep, hide and tell the same as the engine
 * in memory, which does it all in one go. The disk is in test_engine_sqlite_space.c. */
#include "broker/check.h"
#include "broker/memory_store.h"
#include "tests/unit/engine_pair_fixture.h"

#include <signal.h>
#include <sys/wait.h>

enum { BASE_MS = 1000000, STEP_MS = 10 };

/* ---- both engines with the same rules ---- */

static void pair_keep(struct pair *p, const struct rp_retention_limits *whole, const char *rules) {
    p->f.e->ops->close(p->f.e);
    p->memory->ops->close(p->memory);
    rp_retention_free(p->f.retention);
    assert_int_equal(rp_retention_new(whole, rules, &p->f.retention), RP_OK);
    p->f.options.retention = p->f.retention;
    fixture_open(&p->f);
    p->memory = rp_engine_memory_open(p->store, 1000);
    rp_engine_memory_retain(p->memory, p->f.retention);
}

static void pair_begin(struct pair *p, const char *rules) {
    struct rp_retention_limits whole = RP_RETENTION_UNLIMITED;
    pair_init(p);
    pair_keep(p, &whole, rules);
}

struct border {
    char name[64]; /* nsp, room */
    uint64_t seq;
};

struct borders {
    struct border items[256];
    size_t count;
};

static void take_border(struct borders *b, struct rp_engine_border *border) {
    char name[64];
    assert_true(border->nsp.len + border->room.len < 60);
    snprintf(name, sizeof name, "%s %s", shown(border->nsp), shown(border->room));
    size_t i = 0;
    while (i < b->count && strcmp(b->items[i].name, name) != 0) {
        i++;
    }
    assert_true(i < 256 && border->seq > b->items[i].seq); /* it only moves forward */
    strcpy(b->items[i].name, name);
    b->items[i].seq = border->seq;
    b->count = i == b->count ? i + 1 : b->count;
    free(border);
}

static int compare_borders(const void *a, const void *b) {
    return strcmp(((const struct border *) a)->name, ((const struct border *) b)->name);
}

/* A round in both; what they tell is the same. The end of what is gone. */
static uint64_t pair_round(struct pair *p, uint64_t upto, uint64_t wall_ms) {
    struct borders *a = RP_NEW(struct borders), *b = RP_NEW(struct borders);
    struct rp_engine_outcome x, y;
    assert_int_equal(p->f.e->ops->trim(p->f.e, upto, wall_ms), RP_OK);
    while ((x = fixture_next(&p->f)).kind == RP_ENGINE_BORDER) {
        take_border(a, x.border);
    }
    assert_int_equal(p->memory->ops->trim(p->memory, upto, wall_ms), RP_OK);
    while ((y = pair_memory_next(p)).kind == RP_ENGINE_BORDER) {
        take_border(b, y.border);
    }
    assert_true(x.kind == RP_ENGINE_TRIMMED && y.kind == RP_ENGINE_TRIMMED);
    assert_int_equal(x.seq, y.seq);
    assert_int_equal(a->count, b->count);
    qsort(a->items, a->count, sizeof a->items[0], compare_borders);
    qsort(b->items, b->count, sizeof b->items[0], compare_borders);
    for (size_t i = 0; i < a->count; i++) {
        assert_string_equal(a->items[i].name, b->items[i].name);
        assert_int_equal(a->items[i].seq, b->items[i].seq);
    }
    free(a);
    free(b);
    return x.seq;
}

static const char *const nsps[] = {"/", "/app"};
static const char *const room_names[] = {"a", "b", "c", "vip", "vip2", "", "quiet"};
enum { NSPS = 2, ROOMS = sizeof room_names / sizeof room_names[0] };

static void compare_read(struct pair *p, const struct rp_engine_read *read) {
    struct rp_engine_page *a = fixture_page(&p->f, read);
    assert_int_equal(p->memory->ops->read(p->memory, read), RP_OK);
    struct rp_engine_page *b = pair_memory_next(p).page;
    assert_int_equal(a->err, RP_OK);
    for (size_t i = 0; i < a->records_count && i < b->records_count; i++) {
        assert_int_equal(a->records[i]->seq, b->records[i]->seq);
        assert_true(rp_bytes_eq(a->records[i]->f.args, b->records[i]->f.args));
    }
    assert_int_equal(a->records_count, b->records_count);
    assert_int_equal(a->more, b->more);
    assert_int_equal(a->truncated, b->truncated);
    rp_engine_page_free(a);
    rp_engine_page_free(b);
}

static void compare_reads(struct pair *p, uint64_t newest, size_t count) {
    struct rp_rng *rng = &p->f.rng;
    for (size_t n = 0; n < count; n++) {
        struct rp_engine_span spans[ROOMS];
        struct rp_engine_read read = {.id = 1, .spans = spans};
        size_t first = rp_rng_below(rng, ROOMS);
        read.spans_count = 1 + rp_rng_below(rng, ROOMS);
        for (size_t i = 0; i < read.spans_count; i++) {
            uint64_t after = rp_rng_below(rng, 3) ? rp_rng_below(rng, newest) : 0;
            spans[i] = (struct rp_engine_span){
                .nsp = rp_bytes_str(nsps[rp_rng_below(rng, NSPS)]),
                .room = rp_bytes_str(room_names[(first + i) % ROOMS]),
                .after = after,
                .upto = rp_rng_below(rng, 2) ? UINT64_MAX : after + 1 + rp_rng_below(rng, newest)};
        }
        read.newest_first = rp_rng_below(rng, 2);
        read.events_max = rp_rng_below(rng, 2) ? 1 + rp_rng_below(rng, 40) : 100000;
        read.bytes_max = rp_rng_below(rng, 2) ? rp_rng_below(rng, 10000) : 1 << 30;
        compare_read(p, &read);
    }
}

/* Every room, everything. */
static void compare_all(struct pair *p) {
    for (size_t i = 0; i < NSPS * ROOMS; i++) {
        struct rp_engine_span span = {.nsp = rp_bytes_str(nsps[i % NSPS]),
                                      .room = rp_bytes_str(room_names[i / NSPS]),
                                      .upto = UINT64_MAX};
        struct rp_engine_read read = {
            .id = 1, .spans = &span, .spans_count = 1, .events_max = 100000, .bytes_max = 1 << 30};
        compare_read(p, &read);
        read.newest_first = true;
        read.events_max = 20;
        compare_read(p, &read);
    }
}

/* ---- one limit at a time ---- */

static uint64_t time_of(uint64_t seq) {
    return BASE_MS + seq * STEP_MS;
}

/* n events in a room, each STEP_MS later than the one before; next is the seq of the first. */
static uint64_t put_events(struct pair *p, const char *room, uint64_t next, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char args[64];
        uint64_t seq = next + i;
        snprintf(args, sizeof args, "[%llu,\"%.*s\"]", (unsigned long long) seq, (int) (seq % 40),
                 "----------------------------------------");
        struct rp_record_fields event = fixture_event(room, args);
        event.ts_ms = time_of(seq);
        assert_int_equal(pair_put(p, &event), seq);
    }
    return next + n - 1;
}

static void expect_sql(struct pair *p, const char *sql, const char *answer) {
    assert_string_equal(fixture_sql(&p->f, sql), answer);
}

#define BORDERS                                                                                    \
    "SELECT group_concat(room || trimmed_seq, ' ') FROM (SELECT * FROM room WHERE trimmed_seq > "  \
    "0 "                                                                                           \
    "ORDER BY room)"

static void test_a_room_keeps_so_many_events(void **state) {
    (void) state;
    struct pair p;
    pair_begin(&p, "/ a events=10; / b events=3");
    put_events(&p, "a", 1, 100);
    put_events(&p, "b", 101, 4);
    put_events(&p, "c", 105, 50);
    fixture_wait_indexed(&p.f, 2);
    assert_int_equal(pair_round(&p, UINT64_MAX, 0), 0);
    expect_sql(&p, BORDERS, "a90 b101");
    expect_sql(&p, "SELECT count(*) FROM event", "63");
    expect_sql(&p, "SELECT group_concat(segment || room || n, ' ') FROM room_index",
               "1a36 1b4 1c24"); /* the rows of a in 0 are gone */
    compare_all(&p);
    pair_round(&p, UINT64_MAX, 0);
    put_events(&p, "a", 155, 1);
    pair_round(&p, UINT64_MAX, 0);
    expect_sql(&p, BORDERS, "a91 b101");
    compare_all(&p);
    pair_reopen(&p);
    compare_all(&p);
    pair_done(&p);
}

static void test_a_room_keeps_so_many_bytes(void **state) {
    (void) state;
    struct pair p;
    pair_begin(&p, "/ a,b bytes=2000; * vip bytes=1");
    for (uint64_t i = 0; i < 60; i++) {
        put_events(&p, i % 3 ? i % 2 ? "a" : "b" : "vip", 1 + i * 5, 5);
        if (i % 7 == 0) {
            pair_round(&p, UINT64_MAX, 0);
            compare_all(&p);
        }
    }
    fixture_wait_all_indexed(&p.f);
    pair_round(&p, UINT64_MAX, 0);
    compare_all(&p);
    expect_sql(&p, "SELECT count(*) FROM event WHERE room = 'vip'", "1"); /* the newest stays */
    pair_done(&p);
}

static void test_events_grow_old(void **state) {
    (void) state;
    struct pair p;
    pair_begin(&p, "* a,b age=500ms; * vip age=1s");
    put_events(&p, "a", 1, 80);
    put_events(&p, "vip", 81, 80);
    put_events(&p, "c", 161, 80);
    put_events(&p, "b", 241, 20);
    fixture_wait_indexed(&p.f, 4);
    for (uint64_t ms = time_of(1); ms < time_of(360); ms += 70) {
        assert_int_equal(pair_round(&p, UINT64_MAX, ms), 0);
        compare_all(&p);
    }
    expect_sql(&p, BORDERS, "a80 b260 vip160");
    expect_sql(&p, "SELECT min(seq) || ' ' || max(seq) || ' ' || count(*) FROM event",
               "161 240 80");
    expect_sql(&p, "SELECT DISTINCT room FROM room_index WHERE segment < 3", "c");
    pair_done(&p);
}

/* Appended faster than segments are indexed. */
static void put_crowd(struct pair *p, uint64_t next, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct rp_record_fields event = fixture_event(room_names[i % ROOMS], "[1]");
        event.ts_ms = time_of(next + i);
        struct rp_record *r = rp_record_new(&event);
        assert_int_equal(p->memory->ops->append(p->memory, &r, 1), RP_OK);
        struct rp_engine_outcome o = pair_memory_next(p);
        assert_int_equal(o.seq, next + i);
        rp_record_unref(o.record);
        fixture_append(&p->f, &event);
    }
    fixture_expect_committed(&p->f, n);
}

/* The round gets to the end of segments that are being indexed, and goes on. */
static void test_a_round_overtakes_the_indexer(void **state) {
    (void) state;
    enum { CROWD = 1280 };
    struct pair p;
    pair_begin(&p, "* * age=10ms");
    for (uint64_t n = 0; n < 20; n++) {
        put_crowd(&p, 1 + n * CROWD, CROWD);
        pair_round(&p, UINT64_MAX, time_of((n + 1) * CROWD));
    }
    pair_done(&p);
}

static void test_the_whole_log_has_limits(void **state) {
    (void) state;
    struct pair p;
    struct rp_retention_limits whole = {.age_ms = 1000, .events = 120, .bytes = UINT64_MAX};
    pair_init(&p);
    pair_keep(&p, &whole, NULL);
    for (uint64_t i = 0; i < 30; i++) {
        put_events(&p, room_names[i % ROOMS], 1 + i * 10, 10);
        uint64_t wall_ms = time_of(i * 10);
        uint64_t old = i * 10 > 100 ? i * 10 - 101 : 0, many = i > 11 ? i * 10 - 110 : 0;
        assert_int_equal(pair_round(&p, UINT64_MAX, wall_ms), old > many ? old : many);
        compare_all(&p);
        pair_check(&p, 0);
    }
    assert_int_equal(pair_round(&p, 205, time_of(1000)), 205); /* nothing above it */
    pair_reopen(&p);
    compare_all(&p);
    fixture_wait_indexed(&p.f, 0);
    assert_int_equal(pair_round(&p, UINT64_MAX, time_of(1000)), 300);
    expect_sql(&p, "SELECT count(*) FROM event", "0");
    compare_all(&p);
    pair_done(&p);
}

/* An event goes with the last of its rooms. */
static void test_rooms_of_one_event_lose_it_one_by_one(void **state) {
    (void) state;
    struct pair p;
    pair_begin(&p, "/ a events=1; / b age=1s; / c events=2");
    struct rp_record_fields event = fixture_event("a", "[1]");
    event.ts_ms = time_of(1);
    event.rooms = NAMES("b", "c", "b");
    pair_put(&p, &event);
    put_events(&p, "a", 2, 1);
    pair_round(&p, UINT64_MAX, time_of(1));
    expect_sql(&p, BORDERS, "a1");
    compare_all(&p);
    pair_round(&p, UINT64_MAX, time_of(200));
    expect_sql(&p, BORDERS, "a1 b1");
    expect_sql(&p, "SELECT count(*) FROM event WHERE seq = 1", "1");
    compare_all(&p);
    put_events(&p, "c", 3, 2);
    pair_round(&p, UINT64_MAX, time_of(200));
    expect_sql(&p, BORDERS, "a1 b1 c1");
    expect_sql(&p, "SELECT count(*) FROM event WHERE seq = 1", "0");
    compare_all(&p);
    pair_done(&p);
}

static void test_what_is_not_to_go_yet_waits(void **state) {
    (void) state;
    struct pair p;
    pair_begin(&p, "* * events=5 age=1s");
    put_events(&p, "a", 1, 200);
    fixture_wait_indexed(&p.f, 3);
    pair_round(&p, 100, time_of(1));
    expect_sql(&p, BORDERS, "a100");
    compare_all(&p);
    pair_reopen(&p); /* it is remembered, though the room gets no more events */
    rp_engine_memory_retain(p.memory, p.f.retention);
    pair_round(&p, 150, time_of(1));
    expect_sql(&p, BORDERS, "a150");
    pair_round(&p, 300, time_of(299));
    expect_sql(&p, BORDERS, "a198");
    compare_all(&p);
    pair_done(&p);
}

/* A log that was kept whole gets rules; then others. */
static void test_rules_come_and_change(void **state) {
    (void) state;
    struct rp_retention_limits whole = RP_RETENTION_UNLIMITED;
    struct pair p;
    pair_begin(&p, NULL);
    for (uint64_t i = 0; i < 60; i++) {
        put_events(&p, room_names[i % ROOMS], 1 + i * 10, 10);
    }
    fixture_wait_indexed(&p.f, 9);
    pair_round(&p, UINT64_MAX, time_of(600));
    expect_sql(&p, "SELECT count(*) FROM room", "0");
    /* as older versions have written it */
    expect_sql(&p, "UPDATE room_index SET bytes = NULL WHERE segment < 5", "");
    static const char *const rules[] = {
        "* vip*; * * events=60",  "* vip* age=4s; * * events=60",
        "* * events=30 bytes=2k", "* vip events=5; * * age=3s",
        "* * bytes=1k",           "* quiet; * * bytes=1k",
        "* quiet events=1",
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        pair_keep(&p, &whole, rules[i]);
        pair_round(&p, UINT64_MAX, time_of(600));
        compare_all(&p);
        pair_check(&p, 0);
        put_events(&p, room_names[i % ROOMS], 601 + i * 3, 3);
        pair_round(&p, UINT64_MAX, time_of(601 + i * 3));
        compare_all(&p);
    }
    pair_done(&p);
}

/* ---- long random lives ---- */

/* Event number n, always the same. */
static struct rp_record_fields any_event(uint64_t n, char *args, size_t size) {
    struct rp_rng rng = {.state = n * 77 + 1};
    const char *further[4] = {0};
    snprintf(args, size, "[%llu,\"%.*s\"]", (unsigned long long) n, (int) rp_rng_below(&rng, 100),
             "----------------------------------------------------------------------------------"
             "------------------");
    struct rp_record_fields event = fixture_event(room_names[rp_rng_below(&rng, ROOMS - 1)], args);
    event.nsp = rp_bytes_str(nsps[rp_rng_below(&rng, NSPS)]);
    event.ts_ms = time_of(n);
    event.flags = rp_rng_below(&rng, 3) == 0 ? RP_RECORD_WANTS_ACK : 0;
    for (size_t i = 0; i < 3 && rp_rng_below(&rng, 4) == 0; i++) {
        further[i] = room_names[rp_rng_below(&rng, ROOMS)];
    }
    event.rooms = further[0] != NULL ? packed_names(further) : rp_bytes(NULL, 0);
    return event;
}

static const char *const lives[] = {
    "* * events=20",
    "* * bytes=3k",
    "* * age=1s",
    "* vip* events=50 age=3s; /app * bytes=2k; / a,b age=700ms; / c; * * events=9",
    "* * events=40 bytes=5k age=2s",
    "/ * age=500ms; /app vip; /app * events=5",
};

static struct rp_retention_limits any_limits(struct rp_rng *rng) {
    struct rp_retention_limits whole = RP_RETENTION_UNLIMITED;
    whole.events = rp_rng_below(rng, 3) ? UINT64_MAX : 100 + rp_rng_below(rng, 300);
    whole.age_ms = rp_rng_below(rng, 3) ? UINT64_MAX : 1000 + rp_rng_below(rng, 3000);
    return whole;
}

static void open_members(struct pair *p, uint64_t *newest) {
    static const uint8_t hash[RP_PID_HASH_LEN] = {3};
    for (int i = 0; i < 6; i++) {
        char sid[8];
        snprintf(sid, sizeof sid, "s%d", i);
        struct rp_record_fields open = {.kind = RP_RECORD_OPEN,
                                        .flags = RP_RECORD_APP,
                                        .ts_ms = time_of(*newest + 1),
                                        .nsp = rp_bytes_str(nsps[i % NSPS]),
                                        .sid = rp_bytes_str(sid),
                                        .pid_hash = {hash, sizeof hash}};
        uint64_t session = pair_put(p, &open);
        struct rp_record_fields join = {.kind = RP_RECORD_JOIN,
                                        .ts_ms = time_of(session + 1),
                                        .session = session,
                                        .conn = session,
                                        .room = rp_bytes_str(room_names[i])};
        *newest = pair_put(p, &join);
    }
}

static void live(const char *rules, uint64_t seed) {
    enum { EVENTS = 900 };
    struct pair p;
    pair_begin(&p, rules);
    p.f.rng.state = seed;
    struct rp_retention_limits whole = any_limits(&p.f.rng);
    pair_keep(&p, &whole, rules);
    uint64_t newest = 0;
    open_members(&p, &newest);
    while (newest < EVENTS) {
        for (size_t n = 1 + rp_rng_below(&p.f.rng, 60); n > 0; n--) {
            char args[200];
            struct rp_record_fields event = any_event(newest + 1, args, sizeof args);
            newest = pair_put(&p, &event);
        }
        uint64_t upto =
            rp_rng_below(&p.f.rng, 3) ? newest : newest - rp_rng_below(&p.f.rng, newest);
        pair_round(&p, upto, time_of(newest));
        compare_reads(&p, newest, 20);
        if (rp_rng_below(&p.f.rng, 4) == 0) {
            compare_all(&p);
            pair_check(&p, 0);
        }
        if (rp_rng_below(&p.f.rng, 6) == 0) {
            rules = rp_rng_below(&p.f.rng, 3) ? rules : lives[rp_rng_below(&p.f.rng, 6)];
            pair_keep(&p, &whole, rules);
            compare_reads(&p, newest, 20);
        }
    }
    compare_all(&p);
    pair_done(&p);
}

static void test_random_lives_agree(void **state) {
    (void) state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++) {
            live(lives[i], seed * 100 + i);
        }
    }
}

/* ---- deaths ---- */

/* Appends from event number n on and trims without end. */
_Noreturn static void child_main(struct fixture *f, uint64_t n) {
    size_t waiting = 0;
    bool trimming = false;
    uint64_t head = n - 1;
    if (fixture_try_open(f) != RP_OK) {
        _exit(1);
    }
    for (;;) {
        for (; waiting < 50; waiting++, n++) {
            char args[200];
            struct rp_record_fields event = any_event(n, args, sizeof args);
            event.flags = 0; /* nobody is there to owe it */
            struct rp_record *r = rp_record_new(&event);
            if (f->e->ops->append(f->e, &r, 1) != RP_OK) {
                _exit(2);
            }
        }
        if (!trimming && head > 0) {
            trimming = f->e->ops->trim(f->e, head, time_of(head)) == RP_OK;
        }
        struct rp_engine_outcome o;
        if (f->e->ops->poll(f->e, &o, 1) == 0) {
            fixture_sleep(f);
        } else if (o.kind == RP_ENGINE_BORDER) {
            free(o.border);
        } else if (o.kind == RP_ENGINE_TRIMMED) {
            trimming = false;
        } else if (o.kind == RP_ENGINE_COMMITTED) {
            head = o.seq;
            waiting--;
            rp_record_unref(o.record);
        } else {
            _exit(3);
        }
    }
}

/* Every room has all that it has not lost, and nothing that it has. */
static void check_rooms(struct pair *p, const struct rp_memory_store *all) {
    size_t count;
    struct rp_record *const *log = rp_memory_store_log(all, &count);
    for (size_t k = 0; k < NSPS * ROOMS; k++) {
        struct rp_bytes nsp = rp_bytes_str(nsps[k % NSPS]);
        struct rp_bytes room = rp_bytes_str(room_names[k / NSPS]);
        char sql[200];
        snprintf(sql, sizeof sql, "SELECT trimmed_seq FROM room WHERE nsp = '%s' AND room = '%s'",
                 nsps[k % NSPS], room_names[k / NSPS]);
        uint64_t border = strtoull(fixture_sql(&p->f, sql), NULL, 10);
        struct rp_engine_span span = {.nsp = nsp, .room = room, .upto = UINT64_MAX};
        struct rp_engine_read read = {
            .spans = &span, .spans_count = 1, .events_max = 1000000, .bytes_max = 1 << 30};
        struct rp_engine_page *page = fixture_page(&p->f, &read);
        assert_int_equal(page->err, RP_OK);
        assert_int_equal(page->truncated, border > 0);
        size_t at = 0;
        for (size_t i = 0; i < count; i++) {
            const struct rp_record *r = log[i];
            if (r->seq <= border || !rp_bytes_eq(r->f.nsp, nsp) || !rp_memory_is_target(r, room)) {
                continue;
            }
            assert_true(at < page->records_count);
            assert_int_equal(page->records[at++]->seq, r->seq);
        }
        assert_int_equal(at, page->records_count);
        rp_engine_page_free(page);
    }
}

static void tell_damage(void *ctx, enum rp_check_kind kind, const char *text) {
    (void) ctx, (void) kind;
    print_message("%s\n", text);
}

/* What is left in the file is in order. */
static void check_file(struct fixture *f) {
    const struct rp_check_options options = {
        .path = f->path, .findings_max = 10, .tell = tell_damage};
    struct rp_check_result result = {0};
    assert_int_equal(rp_check_file(&options, &f->message, &result), RP_OK);
    assert_int_equal(result.damages, 0);
    assert_string_equal(
        fixture_sql(f, "SELECT group_concat(r.nsp || r.room || r.events, ' ') FROM room r "
                       "WHERE counted_seq > 0 AND (events, bytes) IS NOT (SELECT count(*), "
                       "coalesce(sum(64 + length(e.nsp) + length(e.room) + length(e.name) + "
                       "length(e.args) + coalesce((SELECT sum(4 + length(value)) FROM "
                       "json_each(e.rooms)), 0)), 0) FROM event e WHERE e.seq > r.trimmed_seq "
                       "AND e.seq <= r.counted_seq AND e.nsp = r.nsp AND (e.room = r.room OR "
                       "EXISTS (SELECT 1 FROM json_each(e.rooms) WHERE value = r.room)))"),
        ""); /* the sums of rooms are right */
}

static void run_and_kill(struct pair *p, uint64_t next) {
    pid_t pid = fork();
    if (pid == 0) {
        child_main(&p->f, next);
    }
    usleep((useconds_t) (2000 + rp_rng_below(&p->f.rng, 60000)));
    assert_int_equal(kill(pid, SIGKILL), 0);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

/* The same events into both stores in memory. */
static void catch_up(struct pair *p, struct rp_engine *all, uint64_t from, uint64_t to) {
    for (uint64_t n = from; n <= to; n++) {
        char args[200];
        struct rp_record_fields event = any_event(n, args, sizeof args);
        event.flags = 0;
        struct rp_record *r = rp_record_new(&event), *copy = rp_record_new(&event);
        assert_int_equal(p->memory->ops->append(p->memory, &r, 1), RP_OK);
        assert_int_equal(all->ops->append(all, &copy, 1), RP_OK);
        struct rp_engine_outcome o = pair_memory_next(p);
        assert_int_equal(o.seq, n);
        rp_record_unref(o.record);
        assert_int_equal(rp_engine_memory_step(all, 1), 1);
        assert_int_equal(all->ops->poll(all, &o, 1), 1);
        rp_record_unref(o.record);
    }
}

static void die(const char *rules, uint64_t seed) {
    enum { KILLS = 8 };
    struct rp_retention_limits whole = RP_RETENTION_UNLIMITED;
    struct rp_memory_store *all_store = rp_memory_store_new("epoch001");
    struct rp_engine *all = rp_engine_memory_open(all_store, 10);
    struct pair p;
    pair_begin(&p, rules);
    p.f.rng.state = seed;
    whole.events = seed % 2 ? UINT64_MAX : 500;
    pair_keep(&p, &whole, rules);
    uint64_t newest = 0;
    for (size_t i = 0; i < KILLS; i++) {
        fixture_close(&p.f);
        run_and_kill(&p, newest + 1);
        fixture_open(&p.f);
        catch_up(&p, all, newest + 1, p.f.e->last_seq);
        newest = p.f.e->last_seq;
        check_file(&p.f);
        check_rooms(&p, all_store);
        if (newest > 0) { /* with a last round both have come to the same */
            struct rp_engine_outcome o;
            assert_int_equal(p.f.e->ops->trim(p.f.e, newest, time_of(newest)), RP_OK);
            while ((o = fixture_next(&p.f)).kind == RP_ENGINE_BORDER) {
                free(o.border);
            }
            assert_int_equal(p.memory->ops->trim(p.memory, newest, time_of(newest)), RP_OK);
            while ((o = pair_memory_next(&p)).kind == RP_ENGINE_BORDER) {
                free(o.border);
            }
            compare_all(&p);
            pair_check(&p, 0);
            check_file(&p.f);
        }
    }
    all->ops->close(all);
    rp_memory_store_free(all_store);
    pair_done(&p);
}

static void test_killed_rounds_leave_every_read_exact(void **state) {
    (void) state;
    for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++) {
        die(lives[i], i + 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_room_keeps_so_many_events),
        cmocka_unit_test(test_a_room_keeps_so_many_bytes),
        cmocka_unit_test(test_events_grow_old),
        cmocka_unit_test(test_a_round_overtakes_the_indexer),
        cmocka_unit_test(test_the_whole_log_has_limits),
        cmocka_unit_test(test_rooms_of_one_event_lose_it_one_by_one),
        cmocka_unit_test(test_what_is_not_to_go_yet_waits),
        cmocka_unit_test(test_rules_come_and_change),
        cmocka_unit_test(test_random_lives_agree),
        cmocka_unit_test(test_killed_rounds_leave_every_read_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
