/* tests/unit/test_check.c — the checker: logs with everything in them are sound, whatever retention
 * and interruptions have made of them, and every planted damage is found. */
#include "tests/unit/engine_sqlite_fixture.h"

#include "broker/check.h"
#include "common/map.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { TEXTS_MAX = 200, TEXT_SIZE = 600, SESSIONS_MAX = 48 };

/* ---- a log with everything in it ---- */

static const char *const rooms[] = {"lobby", "a", "b", "c", "", "ro\"om\n\xc3\xa4"};
enum { ROOMS_COUNT = sizeof rooms / sizeof rooms[0] };

struct workload {
    struct fixture *f;
    struct {
        uint64_t session, conn, gateway; /* session 0: none; gateway 0: away */
        const char *nsp;
    } sessions[SESSIONS_MAX];
    uint64_t owed[64];
    size_t owed_count;
    uint64_t ids, head;
};

static uint64_t below(struct workload *w, uint64_t n) {
    return rp_rng_below(&w->f->rng, n);
}

static struct rp_bytes a_room(struct workload *w) {
    return rp_bytes_str(rooms[below(w, ROOMS_COUNT)]);
}

static struct rp_record_fields base(struct workload *w, enum rp_record_kind kind) {
    static const char *const nsps[] = {"/", "/chat"};
    return (struct rp_record_fields){.kind = kind,
                                     .ts_ms = 1700000000000 + w->head,
                                     .origin = 900 + below(w, 3),
                                     .num = w->head,
                                     .nsp = rp_bytes_str(nsps[below(w, 2)])};
}

static uint64_t put(struct workload *w, const struct rp_record_fields *fields) {
    return w->head = fixture_put(w->f, fields);
}

static void put_event(struct workload *w) {
    char id[32];
    struct rp_record_fields event = base(w, RP_RECORD_EVENT);
    event.room = a_room(w);
    event.name = RP_BYTES_LIT("msg");
    event.args = RP_BYTES_LIT("[\"some text that an event carries\",1]");
    if (below(w, 3) == 0) {
        event.rooms = RP_BYTES_LIT("\0\0\0\1a\0\0\0\1b");
    }
    if (below(w, 5) == 0) {
        event.except = RP_BYTES_LIT("\0\0\0\1c");
    }
    if (below(w, 6) == 0) {
        event.attachments = RP_BYTES_LIT("\0\0\0\3abc");
    }
    if (below(w, 2) == 0) {
        int len = snprintf(id, sizeof id, "id-%llu", (unsigned long long) w->ids++);
        event.id = rp_bytes(id, (size_t) len);
    }
    event.flags = below(w, 4) == 0 ? RP_RECORD_WANTS_ACK : 0;
    uint64_t seq = put(w, &event);
    if (event.flags != 0) {
        w->owed[w->owed_count++ % 64] = seq;
    }
}

static void put_open(struct workload *w) {
    size_t i = below(w, SESSIONS_MAX);
    char sid[32];
    struct rp_record_fields open = base(w, RP_RECORD_OPEN);
    if (w->sessions[i].session != 0) {
        return;
    }
    int len = snprintf(sid, sizeof sid, "sid-%llu", (unsigned long long) w->head);
    open.sid = rp_bytes(sid, (size_t) len);
    open.pid_hash = RP_BYTES_LIT("0123456789abcdef0123456789abcdef");
    open.flags = below(w, 2) == 0 ? RP_RECORD_APP : 0;
    w->sessions[i].gateway = open.origin;
    w->sessions[i].session = w->sessions[i].conn = put(w, &open);
}

static void put_selecting(struct workload *w, enum rp_record_kind kind) {
    struct rp_record_fields r = base(w, kind);
    r.room = a_room(w);
    if (below(w, 2) == 0) {
        r.rooms = RP_BYTES_LIT("\0\0\0\1a");
    }
    if (kind == RP_RECORD_KICK || below(w, 3) == 0) {
        r.except = RP_BYTES_LIT("\0\0\0\5lobby\0\0\0\1b");
    }
    r.name = kind == RP_RECORD_MOVE ? RP_BYTES_LIT("moved") : RP_BYTES_LIT("why");
    r.flags = kind == RP_RECORD_MOVE && below(w, 2) == 0 ? RP_RECORD_LEAVE_ROOM : 0;
    put(w, &r);
}

static void put_of_session(struct workload *w) {
    static const enum rp_record_kind kinds[] = {
        RP_RECORD_RESUME, RP_RECORD_CLOSE, RP_RECORD_END,   RP_RECORD_JOIN, RP_RECORD_JOIN,
        RP_RECORD_JOIN,   RP_RECORD_LEAVE, RP_RECORD_LEAVE, RP_RECORD_ACK,  RP_RECORD_DATA};
    size_t i = below(w, SESSIONS_MAX);
    if (w->sessions[i].session == 0) {
        return;
    }
    struct rp_record_fields r = base(w, kinds[below(w, sizeof kinds / sizeof kinds[0])]);
    r.nsp = rp_bytes(NULL, 0);
    r.session = w->sessions[i].session;
    r.conn = w->sessions[i].conn;
    if (r.kind == RP_RECORD_JOIN || r.kind == RP_RECORD_LEAVE) {
        r.room = a_room(w);
    }
    if (r.kind == RP_RECORD_LEAVE && below(w, 4) == 0) {
        r.aux = w->head > 30 ? w->head - 30 : 0;
    }
    if (r.kind == RP_RECORD_ACK && w->owed_count > 0) {
        r.aux = w->owed[below(w, w->owed_count < 64 ? w->owed_count : 64)];
        r.args = RP_BYTES_LIT("[1]");
    }
    if (r.kind == RP_RECORD_DATA) {
        r.args = RP_BYTES_LIT("{\"user\":7}");
    }
    uint64_t seq = put(w, &r);
    if (r.kind == RP_RECORD_RESUME) {
        w->sessions[i].conn = seq;
    } else if (r.kind == RP_RECORD_END) {
        w->sessions[i].session = 0;
    }
}

static void put_serve(struct workload *w) {
    struct rp_record_fields r = base(w, RP_RECORD_SERVE);
    static const uint32_t flags[] = {0, RP_RECORD_PATTERN | RP_RECORD_ROOMS_ON, RP_RECORD_DURABLE,
                                     RP_RECORD_RELEASED};
    r.flags = flags[below(w, 4)];
    put(w, &r);
}

static void work(struct workload *w, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint64_t dice = below(w, 100);
        struct rp_record_fields gone = base(w, RP_RECORD_GONE);
        gone.aux = 900 + below(w, 3);
        if (dice < 45) {
            put_event(w);
        } else if (dice < 60) {
            put_open(w);
        } else if (dice < 90) {
            put_of_session(w);
        } else if (dice < 95) {
            put_selecting(w, RP_RECORD_MOVE);
        } else if (dice < 97) {
            put_selecting(w, RP_RECORD_KICK);
        } else if (dice < 99) {
            put_serve(w);
        } else {
            put(w, &gone);
        }
    }
}

/* ---- checking ---- */

static struct {
    char texts[TEXTS_MAX][TEXT_SIZE];
    size_t count, notes;
    struct rp_check_result result;
    struct rp_buf message;
} told;

static void tell(void *ctx, enum rp_check_kind kind, const char *text) {
    (void) ctx;
    if (kind == RP_CHECK_NOTE) {
        told.notes++;
    } else if (told.count < TEXTS_MAX) {
        snprintf(told.texts[told.count++], TEXT_SIZE, "%s", text);
    }
}

static enum rp_err check_path(const char *path) {
    const struct rp_check_options options = {.path = path, .findings_max = TEXTS_MAX, .tell = tell};
    told.count = told.notes = 0;
    told.result = (struct rp_check_result){0};
    rp_buf_done(&told.message);
    rp_buf_init(&told.message, 4096);
    enum rp_err err = rp_check_file(&options, &told.message, &told.result);
    if (err == RP_OK) {
        assert_int_equal(told.result.damages < TEXTS_MAX ? told.result.damages : TEXTS_MAX,
                         told.count);
    } else {
        assert_true(told.message.len > 0);
    }
    return err;
}

static void assert_sound(const struct fixture *f, const char *when) {
    assert_int_equal(check_path(f->path), RP_OK);
    if (told.result.damages > 0) {
        for (size_t i = 0; i < told.count && i < 10; i++) {
            print_message("%s: %s\n", when, told.texts[i]);
        }
        fail_msg("%s: %llu damages in a sound log", when, (unsigned long long) told.result.damages);
    }
}

static bool was_told(const char *part) {
    for (size_t i = 0; i < told.count; i++) {
        if (strstr(told.texts[i], part) != NULL) {
            return true;
        }
    }
    return false;
}

/* ---- sound logs ---- */

static void begin(struct fixture *f, struct workload *w, uint64_t seed) {
    fixture_init(f);
    f->rng.state = seed;
    *w = (struct workload){.f = f};
    fixture_open(f);
}

static void test_an_empty_log_is_sound(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    fixture_open(&f);
    assert_sound(&f, "open");
    fixture_close(&f);
    assert_sound(&f, "closed");
    assert_int_equal(told.result.next_seq, 1);
    assert_int_equal(told.notes, 0);
    fixture_done(&f);
}

static void test_logs_of_any_kind_are_sound(void **state) {
    (void) state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct fixture f;
        struct workload w;
        begin(&f, &w, seed);
        work(&w, 500);
        assert_sound(&f, "while it is written"); /* the index may be under way */
        fixture_reopen(&f);
        work(&w, 300);
        fixture_close(&f);
        assert_sound(&f, "closed in order");
        assert_true(told.result.records > 500 && told.result.events > 100);
        assert_true(told.result.sessions > 3);
        assert_int_equal(told.result.sessions_compared, told.result.sessions);
        assert_true(told.result.segments > 3);
        assert_int_equal(told.result.next_seq, w.head + 1);
        assert_int_equal(told.notes, 0);
        fixture_done(&f);
    }
}

static void test_what_a_new_epoch_forgets_is_no_damage(void **state) {
    (void) state;
    struct fixture f;
    struct workload w;
    begin(&f, &w, 3);
    work(&w, 300);
    fixture_close(&f);
    f.options.new_epoch = true;
    fixture_open(&f);
    assert_sound(&f, "asked for");
    assert_int_equal(told.result.sessions, 0);
    w = (struct workload){.f = &f, .head = w.head, .ids = w.ids};
    work(&w, 300);
    assert_int_equal(f.e->ops->new_epoch(f.e, "abcd1234", w.head + 1000), RP_OK);
    assert_sound(&f, "ordered");
    assert_string_equal(told.result.epoch, "abcd1234");
    w = (struct workload){.f = &f, .head = w.head, .ids = w.ids};
    work(&w, 200);
    fixture_close(&f);
    assert_sound(&f, "closed");
    assert_true(told.result.sessions > 3);
    assert_int_equal(told.result.sessions_compared, told.result.sessions);
    fixture_done(&f);
}

/* Brokers of before took the last of several CLOSEs for the time since when a session is away. */
static void test_what_an_older_broker_made_of_a_second_close_is_no_damage(void **state) {
    (void) state;
    struct fixture f;
    struct workload w;
    begin(&f, &w, 5);
    work(&w, 300);
    fixture_close(&f);
    fixture_sql(&f, "UPDATE session SET closed_ts = closed_ts + 7");
    assert_int_equal(check_path(f.path), RP_OK);
    assert_true(was_told("closed_ts is not what the records make it"));
    fixture_sql(&f, "DELETE FROM meta WHERE key = 'dense_from'");
    assert_sound(&f, "of an older broker");
    fixture_open(&f);
    w = (struct workload){.f = &f, .head = w.head, .ids = w.ids};
    work(&w, 300);
    fixture_close(&f);
    assert_sound(&f, "upgraded");
    fixture_sql(&f, "UPDATE session SET closed_ts = closed_ts + 7");
    assert_int_equal(check_path(f.path), RP_OK);
    assert_true(was_told("closed_ts is not what the records make it"));
    fixture_done(&f);
}

/* ---- retention ---- */

static struct rp_retention *rules(struct rp_retention_limits whole, const char *text) {
    struct rp_retention *retention;
    assert_int_equal(rp_retention_new(&whole, text, &retention), RP_OK);
    return retention;
}

/* A whole round of retention. */
static void trim(struct workload *w) {
    struct rp_engine *e = w->f->e;
    assert_int_equal(e->ops->trim(e, w->head - below(w, 20), 1700000000000 + w->head), RP_OK);
    struct rp_engine_outcome o;
    do {
        o = fixture_next(w->f);
        free(o.border);
    } while (o.kind == RP_ENGINE_BORDER);
    assert_int_equal(o.kind, RP_ENGINE_TRIMMED);
}

static const char *const retentions[] = {
    "* lobby events=20; /chat a,b bytes=5k; * c age=200ms; * * events=60",
    "* * bytes=4k",
    "* * age=300ms",
    "",
};

static struct rp_retention *retention_of(uint64_t seed) {
    struct rp_retention_limits whole = RP_RETENTION_UNLIMITED;
    whole.events = seed % 2 ? 400 : UINT64_MAX;
    return rules(whole, retentions[seed % 4]);
}

static void test_what_retention_leaves_is_sound(void **state) {
    (void) state;
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct fixture f;
        struct workload w;
        fixture_init(&f);
        f.rng.state = seed + 1;
        w = (struct workload){.f = &f};
        struct rp_retention *first = retention_of(seed), *second = retention_of(seed + 1);
        f.options.retention = first;
        fixture_open(&f);
        for (int i = 0; i < 12; i++) {
            work(&w, 100);
            trim(&w);
            assert_sound(&f, "after a round");
            if (i == 6) { /* with other rules, whose sums begin anew */
                f.options.retention = second;
                fixture_reopen(&f);
            }
        }
        assert_string_not_equal(fixture_sql(&f, "SELECT count(*) FROM room"), "0");
        fixture_close(&f);
        assert_sound(&f, "closed");
        fixture_done(&f);
        rp_retention_free(first);
        rp_retention_free(second);
    }
}

/* Killed at any moment, with index and retention under way. */
static void test_what_a_kill_leaves_is_sound(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    f.options.sync_full = false;
    f.options.segment_events = 16;
    struct rp_retention *retention = retention_of(1);
    f.options.retention = retention;
    for (uint64_t round = 0; round < 12; round++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct workload w = {.f = &f, .ids = round * 100000};
            f.rng.state = round + 1;
            fixture_open(&f);
            w.head = f.e->last_seq;
            for (;;) {
                work(&w, 50);
                trim(&w);
            }
        }
        usleep((useconds_t) (40000 + rp_rng_below(&f.rng, 120000)));
        assert_int_equal(kill(pid, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        if (access(f.path, F_OK) == 0 && fixture_sql(&f, "PRAGMA user_version")[0] != '0') {
            assert_sound(&f, "killed");
        }
    }
    assert_true(told.result.records > 0);
    fixture_done(&f);
    rp_retention_free(retention);
}

/* A broker commits, indexes, trims, checkpoints and begins epochs while it is looked at. */
static void test_what_is_being_written_is_sound(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_events = 16;
    f.options.checkpoint_frames = 40;
    struct rp_retention *retention = retention_of(1);
    f.options.retention = retention;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct workload w = {.f = &f};
        fixture_open(&f);
        for (unsigned round = 1;; round++) {
            char epoch[RP_EPOCH_LEN + 1];
            work(&w, 20);
            trim(&w);
            if (round % 8 == 0) {
                snprintf(epoch, sizeof epoch, "e%07u", round % 10000000);
                assert_int_equal(f.e->ops->new_epoch(f.e, epoch, w.head + 100), RP_OK);
                w = (struct workload){.f = &f, .head = w.head + 100, .ids = w.ids};
            }
        }
    }
    struct rp_check_result last = {0};
    for (int found = 0; found < 200;) {
        if (access(f.path, F_OK) == 0 && check_path(f.path) == RP_OK) {
            assert_sound(&f, "being written");
            last = told.result;
            found++;
        }
    }
    assert_true(last.next_seq > 100);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    fixture_done(&f);
    rp_retention_free(retention);
}

/* ---- damage ---- */

/* A log with something in every table. */
static void make_log(struct fixture *f) {
    struct workload w;
    begin(f, &w, 11);
    work(&w, 600);
    fixture_wait_indexed(f, 6);
    fixture_close(f);
    assert_sound(f, "before the damage");
}

static void copy_file(const char *from, const char *to) {
    char command[512];
    snprintf(command, sizeof command, "cp '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
}

/* ORDER BY … LIMIT 1 OFFSET 3 chooses a row that is not at an end. */
#define SOME(table) "(SELECT rowid FROM " table " ORDER BY rowid LIMIT 1 OFFSET 3)"
#define SOME_EVENT "(SELECT seq FROM event WHERE kind = 1 ORDER BY seq LIMIT 1 OFFSET 40)"
#define SOME_MEMBER                                                                                \
    "(session, room, from_seq) = (SELECT session, room, from_seq FROM member LIMIT 1 OFFSET 2)"
#define SOME_ROW                                                                                   \
    "(segment, room, nsp) = (SELECT segment, room, nsp FROM room_index WHERE n > 3 LIMIT 1 "       \
    "OFFSET 2)"

struct damage {
    const char *sql, *told; /* told: part of what is said of it; NULL: it may have no effect */
};

static const struct damage damages[] = {
    {"PRAGMA application_id = 7", "application id"},
    {"PRAGMA user_version = 0", "schema version is 0"},
    {"PRAGMA user_version = -3", "schema version is -3"},
    {"UPDATE meta SET value = 'EPOCH' WHERE key = 'epoch'", "meta: the epoch"},
    {"UPDATE meta SET value = 'abcdefgh' WHERE key = 'epoch'", "meta: the epoch"},
    {"DELETE FROM meta WHERE key = 'epoch'", "meta: the epoch"},
    {"UPDATE meta SET value = 5 WHERE key = 'next_seq'", "meta: next_seq"},
    {"UPDATE meta SET value = -5 WHERE key = 'next_seq'", "meta: next_seq"},
    {"DELETE FROM meta WHERE key = 'next_seq'", "meta: next_seq"},
    {"UPDATE meta SET value = 1000000 WHERE key = 'first_seq'", "meta: first_seq"},
    {"UPDATE meta SET value = 0 WHERE key = 'first_seq'", "meta: first_seq"},
    {"UPDATE meta SET value = 77 WHERE key = 'indexed_seq'", "meta: indexed_seq"},
    {"UPDATE meta SET value = 64 WHERE key = 'indexed_seq'", "the log is indexed up to 64"},
    {"UPDATE meta SET value = 6400 WHERE key = 'indexed_seq'", "meta: indexed_seq"},
    {"UPDATE meta SET value = 0 WHERE key = 'segment_events'", "meta: segment_events"},
    {"UPDATE meta SET value = 32 WHERE key = 'segment_events'", "segment"},
    {"UPDATE meta SET value = 9 WHERE key = 'clean'", "meta: clean"},
    {"UPDATE meta SET value = 1000000 WHERE key = 'sessions_from'", "meta: sessions_from"},
    {"DROP INDEX event_id", "index event_id is not there"},
    {"DROP INDEX member_room", "index member_room is not there"},
    {"DROP TABLE segment", "segment"},
    {"DROP TABLE unacked", "unacked"},
    {"DROP VIEW sessions; ALTER TABLE session DROP COLUMN data", "session"},

    {"UPDATE event SET args = '[2]' WHERE seq = " SOME_EVENT, "checksum"},
    {"UPDATE event SET ts = ts + 1 WHERE seq = " SOME_EVENT, "checksum"},
    {"UPDATE event SET room = 'elsewhere' WHERE seq = " SOME_EVENT, "checksum"},
    {"UPDATE event SET name = NULL WHERE seq = " SOME_EVENT, "checksum"},
    {"UPDATE event SET sum = sum + 1 WHERE seq = " SOME_EVENT, "checksum"},
    {"UPDATE event SET rooms = '[\"zz\"]' WHERE seq = " SOME_EVENT, "checksum"},
    {"UPDATE event SET except_rooms = '{}' WHERE seq = " SOME_EVENT, "checksum"},
    {"UPDATE event SET attachments = x'00000001' WHERE seq = " SOME_EVENT, "checksum"},
    {"UPDATE event SET kind = 14 WHERE seq = " SOME_EVENT, "checksum"},
    {"UPDATE event SET kind = kind + 4294967296 WHERE seq = " SOME_EVENT, "kind"},
    {"UPDATE event SET flags = coalesce(flags, 0) + 4294967296 WHERE seq = " SOME_EVENT, "flags"},
    {"UPDATE event SET seq = 100000 WHERE seq = " SOME_EVENT, "checksum"},
    {"UPDATE event SET seq = -3 WHERE seq = " SOME_EVENT, "seq -3"},
    {"UPDATE event SET num = 'x' WHERE seq = " SOME_EVENT, "another type in num"},
    {"DELETE FROM event WHERE seq = " SOME_EVENT, "which is no event of the room"},
    {"DELETE FROM event WHERE seq = (SELECT max(seq) FROM event WHERE kind = 1)", "no record is"},
    {"DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)", "no record is there"},
    {"DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE kind = 1 ORDER BY seq DESC LIMIT "
     "3 OFFSET 2)",
     "no record is there"},
    {"UPDATE meta SET value = value + 9 WHERE key = 'next_seq'", "no record is there"},
    {"UPDATE meta SET value = 1000000 WHERE key = 'dense_from'", "meta: dense_from"},
    {"DELETE FROM event WHERE seq = (SELECT session FROM session LIMIT 1)", "no record opens it"},
    {"DELETE FROM event WHERE seq = (SELECT conn FROM session WHERE conn > session LIMIT 1)",
     "no record makes its connection"},
    {"DELETE FROM event WHERE kind = 6 AND seq = (SELECT from_seq FROM member WHERE from_seq > "
     "session LIMIT 1)",
     "no record makes it a member"},
    {"DELETE FROM event WHERE seq = (SELECT to_seq FROM member WHERE to_seq > 0 LIMIT 1)",
     "no record ends it"},
    {"DELETE FROM event WHERE kind = 9 AND seq = (SELECT max(seq) FROM event WHERE kind = 9)",
     NULL}, /* it may have had no effect */
    {"DELETE FROM event WHERE seq <= 64", "which is no event of the room"},
    {"DELETE FROM event", "room_index"},

    {"DELETE FROM segment WHERE segment = 2", "segment 2 is not there"},
    {"UPDATE segment SET events = events + 1 WHERE segment = 2", "segment 2 was"},
    {"UPDATE segment SET events = 1 WHERE segment = 2", "segment 2 was"},
    {"UPDATE segment SET first_seq = first_seq + 1 WHERE segment = 2", "segment 2 was"},
    {"UPDATE segment SET last_seq = 0 WHERE segment = 2", "segment 2 has"},
    {"UPDATE segment SET segment = 700 WHERE segment = 2", "segment 700"},
    {"UPDATE segment SET segment = -7 WHERE segment = 2", "no segment -7"},
    {"INSERT INTO segment VALUES (300, 19201, 19201, 1)", "segment 300"},

    {"DELETE FROM room_index WHERE " SOME_ROW, "there is no row"},
    {"UPDATE room_index SET n = n + 1 WHERE " SOME_ROW, "it counts"},
    {"UPDATE room_index SET seqs = json_remove(seqs, '$[1]'), n = n - 1 WHERE " SOME_ROW,
     "it lacks"},
    {"UPDATE room_index SET seqs = json_remove(seqs, '$[#-1]'), n = n - 1 WHERE " SOME_ROW,
     "it lacks"},
    {"UPDATE room_index SET seqs = json_replace(seqs, '$[0]', json_extract(seqs, '$[1]')) "
     "WHERE " SOME_ROW,
     "no rising list"},
    {"UPDATE room_index SET seqs = json_insert(seqs, '$[#]', 9999) WHERE " SOME_ROW,
     "no rising list"},
    {"UPDATE room_index SET seqs = '[' || substr(seqs, 1) WHERE " SOME_ROW, "no rising list"},
    {"UPDATE room_index SET seqs = seqs || ' ' WHERE " SOME_ROW, "no rising list"},
    {"UPDATE room_index SET seqs = '[]' WHERE " SOME_ROW, "no rising list"},
    {"UPDATE room_index SET seqs = NULL WHERE " SOME_ROW, "room_index"},
    {"UPDATE room_index SET seqs = '[00000000000000000000000000000001]' WHERE " SOME_ROW,
     "no rising list"},
    {"UPDATE room_index SET room = 'nobody' WHERE " SOME_ROW, "\"nobody\""},
    {"UPDATE room_index SET nsp = '/none' WHERE " SOME_ROW, "\"/none\""},
    {"UPDATE room_index SET segment = 100 WHERE " SOME_ROW, "there is no row"},
    {"INSERT INTO room_index (segment, room, nsp, n, seqs) VALUES (1, 'new', '/', 1, '[70]')",
     "\"new\""},

    {"INSERT INTO room (room, nsp, trimmed_seq) VALUES ('a', '/', 1000000)", "room: 'a'"},
    {"INSERT INTO room (room, nsp, trimmed_seq) VALUES ('a', '/', -1)", "room: 'a'"},
    {"INSERT INTO room (room, nsp, trimmed_seq) VALUES ('a', '/', (SELECT seq FROM event WHERE "
     "room = 'lobby' AND rooms IS NULL AND kind = 1 LIMIT 1))",
     "another room's"},

    {"DELETE FROM session WHERE session = " SOME("session"), "this row is missing"},
    {"UPDATE session SET conn = conn + 1 WHERE session = " SOME("session"), "session"},
    {"UPDATE session SET conn = 1000000 WHERE session = " SOME("session"), "do not fit"},
    {"UPDATE session SET session = 1000000 WHERE session = " SOME("session"), "do not fit"},
    {"UPDATE session SET floor_seq = 1000000 WHERE session = " SOME("session"), "do not fit"},
    {"UPDATE session SET floor_seq = 1 WHERE session = " SOME("session"), "floor_seq is not"},
    {"UPDATE session SET sid = 'x' WHERE session = " SOME("session"), "sid is not"},
    {"UPDATE session SET sid = NULL WHERE session = " SOME("session"), "session"},
    {"UPDATE session SET nsp = '/x' WHERE session = " SOME("session"), "nsp is not"},
    {"UPDATE session SET pid_hash = zeroblob(32) WHERE session = " SOME("session"),
     "pid_hash is not"},
    {"UPDATE session SET pid_hash = x'00' WHERE session = " SOME("session"), "another type"},
    {"UPDATE session SET gateway = 5, closed_ts = NULL WHERE session = " SOME("session"),
     "gateway is not"},
    {"UPDATE session SET gateway = 5, closed_ts = 5 WHERE session = " SOME("session"),
     "neither connected nor away"},
    {"UPDATE session SET opened_ts = 5 WHERE session = " SOME("session"), "opened_ts is not"},
    {"UPDATE session SET app = 1 - coalesce(app, 0) WHERE session = " SOME("session"), "app"},
    {"UPDATE session SET data = '{}' WHERE session = " SOME("session"), "data is not"},
    {"INSERT INTO session (session, sid, conn, gateway) VALUES (2, 'x', 2, 5)", "session"},

    {"DELETE FROM member WHERE " SOME_MEMBER, "this row is missing"},
    {"UPDATE member SET room = 'x' WHERE " SOME_MEMBER, "member"},
    {"UPDATE member SET session = 1000000 WHERE " SOME_MEMBER, "there is no such session"},
    {"UPDATE member SET from_seq = 1000000 WHERE " SOME_MEMBER, "cannot be its ends"},
    {"UPDATE member SET to_seq = from_seq WHERE " SOME_MEMBER, "cannot be its ends"},
    {"UPDATE member SET to_seq = 1000000 WHERE " SOME_MEMBER, "cannot be its ends"},
    {"UPDATE member SET to_seq = CASE WHEN to_seq IS NULL THEN from_seq + 1 END WHERE " SOME_MEMBER,
     "to_seq is not"},
    {"UPDATE member SET ts = ts + 1 WHERE " SOME_MEMBER, "ts is not"},
    {"UPDATE member SET nsp = '/x' WHERE " SOME_MEMBER, "it is of namespace"},
    {"INSERT INTO member (session, room, from_seq, ts, nsp) SELECT session, room, from_seq + 1, "
     "ts, nsp FROM member WHERE to_seq IS NULL LIMIT 1",
     "a member already"},

    {"DELETE FROM unacked WHERE (session, seq) = (SELECT session, seq FROM unacked LIMIT 1)",
     "this row is missing"},
    {"UPDATE unacked SET session = 1000000 WHERE (session, seq) = (SELECT session, seq FROM "
     "unacked LIMIT 1)",
     "there is no such session"},
    {"UPDATE unacked SET seq = 1000000 WHERE (session, seq) = (SELECT session, seq FROM unacked "
     "LIMIT 1)",
     "cannot be its seq"},
    {"UPDATE unacked SET origin = 5 WHERE (session, seq) = (SELECT session, seq FROM unacked "
     "LIMIT 1)",
     "somebody else"},
    {"UPDATE unacked SET num = 5000 WHERE (session, seq) = (SELECT session, seq FROM unacked "
     "LIMIT 1)",
     "somebody else"},
    {"INSERT INTO unacked SELECT max(session), (SELECT max(seq) FROM event WHERE kind = 1 AND "
     "coalesce(flags, 0) & 4 = 0), 900, 1 FROM session",
     "no event which wants acks"},

    {"DELETE FROM namespace", "this row is missing"},
    {"UPDATE namespace SET flags = flags | 256", "namespace"},
    {"UPDATE namespace SET flags = 1", "no record says"},
    {"UPDATE namespace SET seq = seq - 1", "no record says"},
    {"INSERT INTO namespace VALUES ('/other', 0, 1)", "no record says"},
};

static void plant(const char *path, const char *sql) {
    sqlite3 *db;
    char *why = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK || sqlite3_total_changes(db) < 0) {
        fail_msg("%s: %s", sql, why);
    }
    if (strncmp(sql, "UPDATE", 6) == 0 || strncmp(sql, "DELETE", 6) == 0) {
        if (sqlite3_changes(db) == 0) {
            fail_msg("%s: nothing is there to be damaged", sql);
        }
    }
    sqlite3_close(db);
}

/* Damages to what retention keeps and has left. */
static const struct damage thinned[] = {
    {"UPDATE room SET events = events + 1 WHERE events > 0", "is said to have"},
    {"UPDATE room SET bytes = bytes + 1 WHERE bytes > 0", "is said to have"},
    {"UPDATE room SET counted_seq = 1000000 WHERE counted_seq > 0", "sums cannot be right"},
    {"UPDATE room SET events = NULL WHERE events > 0", "sums cannot be right"},
    {"UPDATE room SET trimmed_seq = 1000000 WHERE trimmed_seq > 0", "cannot have lost"},
    {"UPDATE room SET room = 'nobody' || room WHERE trimmed_seq > 0", "room_index"},
    {"DELETE FROM room", "room_index"},
    {"DELETE FROM event WHERE seq = (SELECT max(seq) FROM event WHERE kind = 1 AND seq <= (SELECT "
     "value FROM meta WHERE key = 'indexed_seq'))",
     "which is no event of the room"},
    {"UPDATE room_index SET bytes = bytes + 1", "bytes, and they are"},
    {"UPDATE retention SET swept_seq = 1000000", "retention: rule"},
    {"UPDATE retention SET checked_seq = -1", "retention: rule"},
    {"DELETE FROM unacked", "this row is missing"},
};

static void make_thinned_log(struct fixture *f, struct rp_retention *retention) {
    struct workload w;
    fixture_init(f);
    f->rng.state = 5;
    w = (struct workload){.f = f};
    f->options.retention = retention;
    fixture_open(f);
    for (int i = 0; i < 10; i++) {
        work(&w, 100);
        trim(&w);
    }
    fixture_wait_indexed(f, 9);
    trim(&w); /* which now knows what is in the last segment */
    fixture_close(f);
    assert_sound(f, "before the damage");
}

/* How many of them are missed, after saying which. */
static size_t plant_all(struct fixture *f, const struct damage *list, size_t count) {
    char original[128];
    size_t missed = 0;
    snprintf(original, sizeof original, "%s/original", f->dir);
    copy_file(f->path, original);
    for (size_t i = 0; i < count; i++) {
        copy_file(original, f->path);
        plant(f->path, list[i].sql);
        enum rp_err err = check_path(f->path);
        if (list[i].told == NULL) {
            continue;
        }
        if (err != RP_OK || told.result.damages == 0 || !was_told(list[i].told)) {
            for (size_t k = 0; k < told.count && k < 10; k++) {
                print_message("%s\n", told.texts[k]);
            }
            print_message("%s: %s, %llu damages, none says \"%s\"\n", list[i].sql, rp_strerror(err),
                          (unsigned long long) told.result.damages, list[i].told);
            missed++;
        }
    }
    return missed;
}

static void test_every_damage_by_sql_is_found(void **state) {
    (void) state;
    struct fixture f;
    make_log(&f);
    assert_int_equal(plant_all(&f, damages, sizeof damages / sizeof damages[0]), 0);
    fixture_done(&f);
}

static void test_damage_of_a_thinned_log_is_found(void **state) {
    (void) state;
    struct fixture f;
    struct rp_retention *retention =
        rules(RP_RETENTION_UNLIMITED, "* lobby events=20; * a,b bytes=5k; * c age=200ms");
    make_thinned_log(&f, retention);
    assert_int_equal(plant_all(&f, thinned, sizeof thinned / sizeof thinned[0]), 0);
    fixture_done(&f);
    rp_retention_free(retention);
}

/* A log whose broker was killed, and whose WAL then lost its end, or all: what is left is sound in
 * itself, but it is not all. */
static void test_a_lost_end_is_found(void **state) {
    (void) state;
    struct fixture f;
    char wal[128], copy[128];
    fixture_init(&f);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        fixture_open(&f);
        for (int i = 0; i < 20; i++) {
            fixture_fill(&f, "r", 1);
            usleep(10000); /* the mark moves ten times a second */
        }
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    snprintf(wal, sizeof wal, "%s-wal", f.path);
    snprintf(copy, sizeof copy, "%s.copy", f.path);
    copy_file(wal, copy);
    for (int share = 0; share < 3; share++) {
        copy_file(copy, wal);
        struct stat st;
        assert_int_equal(stat(copy, &st), 0);
        assert_int_equal(truncate(wal, st.st_size * share / 4), 0);
        assert_int_equal(check_path(f.path), RP_OK);
        assert_true(told.result.damages > 0);
        assert_non_null(strstr(told.texts[0], "newest records are not there"));
    }
    copy_file(copy, wal);
    assert_sound(&f, "whole");
    fixture_done(&f);
}

/* ---- bytes ---- */

/* A hash of all that the tables say. Of meta only what no broker writes anew at a start. */
static bool hash_tables(const char *path, uint64_t *ret_hash) {
    static const char *const selects[] = {
        "SELECT * FROM event ORDER BY seq",
        "SELECT * FROM meta WHERE key IN ('epoch', 'segment_events', 'indexed_seq', "
        "'sessions_from') "
        "ORDER BY key",
        "SELECT * FROM segment ORDER BY segment",
        "SELECT * FROM room_index ORDER BY segment, room, nsp",
        "SELECT * FROM room ORDER BY room, nsp",
        "SELECT * FROM session ORDER BY session",
        "SELECT * FROM member ORDER BY session, room, from_seq",
        "SELECT * FROM unacked ORDER BY session, seq",
        "SELECT * FROM namespace ORDER BY nsp",
    };
    static const struct rp_hash_key key = {.k0 = 1, .k1 = 2};
    uint64_t hash = 0;
    sqlite3 *db;
    bool ok = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK;
    for (size_t i = 0; ok && i < sizeof selects / sizeof selects[0]; i++) {
        sqlite3_stmt *stmt;
        int rc = sqlite3_prepare_v2(db, selects[i], -1, &stmt, NULL);
        while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
            for (int c = 0; c < sqlite3_column_count(stmt); c++) {
                int type = sqlite3_column_type(stmt, c);
                const void *data = sqlite3_column_blob(stmt, c);
                struct rp_bytes bytes =
                    rp_bytes(data, data != NULL ? (size_t) sqlite3_column_bytes(stmt, c) : 0);
                hash = hash * 31 + rp_hash_bytes(&key, bytes) + (uint64_t) type;
            }
        }
        ok = rc == SQLITE_OK && sqlite3_finalize(stmt) == SQLITE_OK;
    }
    sqlite3_close(db);
    *ret_hash = hash;
    return ok;
}

/* The pages of a table or index. */
static size_t pages_of(struct fixture *f, const char *name, unsigned *ret_pages, size_t max) {
    char sql[160];
    snprintf(sql, sizeof sql, "SELECT group_concat(pageno) FROM dbstat WHERE name = '%s'", name);
    const char *text = fixture_sql(f, sql);
    size_t n = 0;
    while (*text != '\0' && n < max) {
        char *end;
        ret_pages[n++] = (unsigned) strtoul(text, &end, 10);
        text = *end == ',' ? end + 1 : end;
    }
    return n;
}

/* A byte of each kind of page: the checker says so, or what the tables say is the same. */
static void test_flipped_bytes_are_found(void **state) {
    (void) state;
    static const char *const objects[] = {"event",      "event_id", "meta",   "segment",
                                          "room_index", "session",  "member", "member_room",
                                          "unacked",    "namespace"};
    enum { FLIPS = 60, PAGES_MAX = 200, PAGE = 4096 };
    struct fixture f;
    uint64_t original;
    make_log(&f);
    assert_true(hash_tables(f.path, &original));
    int fd = open(f.path, O_RDWR);
    assert_true(fd >= 0);
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        unsigned pages[PAGES_MAX];
        size_t count = pages_of(&f, objects[i], pages, PAGES_MAX), found = 0;
        assert_true(count > 0);
        for (size_t n = 0; n < FLIPS; n++) {
            off_t page = (off_t) (pages[rp_rng_below(&f.rng, count)] - 1) * PAGE;
            off_t at = page + (off_t) rp_rng_below(&f.rng, n % 2 ? 200 : PAGE);
            at = n % 4 == 3 ? page + PAGE - 1 - (at - page) : at; /* small tables are at the end */
            uint8_t byte, bit = (uint8_t) (1u << rp_rng_below(&f.rng, 8));
            assert_int_equal(pread(fd, &byte, 1, at), 1);
            byte ^= bit;
            assert_int_equal(pwrite(fd, &byte, 1, at), 1);
            enum rp_err err = check_path(f.path);
            uint64_t hash = 0;
            if (err != RP_OK || told.result.damages > 0 || told.notes > 0) {
                found++;
            } else if (!hash_tables(f.path, &hash) || hash != original) {
                fail_msg("bit %u of byte %lld, in a page of %s, changes a table unseen", bit,
                         (long long) at, objects[i]);
            }
            byte ^= bit;
            assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        }
        assert_true(found > 0);
    }
    close(fd);
    assert_sound(&f, "with every byte as it was");
    fixture_done(&f);
}

/* ---- what cannot be checked ---- */

static void assert_not_checked(const char *path, enum rp_err expected, const char *part) {
    assert_int_equal(check_path(path), expected);
    assert_int_equal(rp_buf_put(&told.message, rp_bytes("", 1)), RP_OK);
    if (strstr((const char *) told.message.data, part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", (const char *) told.message.data, part);
    }
}

static void test_what_is_no_log_is_not_checked(void **state) {
    (void) state;
    struct fixture f;
    fixture_init(&f);
    assert_not_checked(f.path, RP_E_NOT_FOUND, "No such file");
    assert_not_checked(f.dir, RP_E_FOREIGN, "not a database of Reprise");
    FILE *file = fopen(f.path, "w");
    assert_true(fputs("my shopping list, which is longer than a header", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_not_checked(f.path, RP_E_FOREIGN, "not a database of Reprise");
    unlink(f.path);
    fixture_sql(&f, "CREATE TABLE mine (x)");
    assert_not_checked(f.path, RP_E_FOREIGN, "not one of Reprise");
    unlink(f.path);
    fixture_open(&f);
    fixture_close(&f);
    fixture_sql(&f, "PRAGMA user_version = 9999");
    assert_not_checked(f.path, RP_E_VERSION, "schema version 9999");
    fixture_sql(&f, "PRAGMA user_version = 2");
    assert_not_checked(f.path, RP_E_VERSION, "schema version 2");
    fixture_done(&f);
}

/* Nothing is changed, nor left beside it that was not there. */
static void test_checking_changes_nothing(void **state) {
    (void) state;
    struct fixture f;
    char original[128], command[320];
    make_log(&f);
    snprintf(original, sizeof original, "%s/original", f.dir);
    copy_file(f.path, original);
    assert_sound(&f, "closed");
    snprintf(command, sizeof command, "cmp '%s' '%s'", f.path, original);
    assert_int_equal(system(command), 0);
    fixture_done(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_log_is_sound),
        cmocka_unit_test(test_logs_of_any_kind_are_sound),
        cmocka_unit_test(test_what_a_new_epoch_forgets_is_no_damage),
        cmocka_unit_test(test_what_retention_leaves_is_sound),
        cmocka_unit_test(test_what_an_older_broker_made_of_a_second_close_is_no_damage),
        cmocka_unit_test(test_what_a_kill_leaves_is_sound),
        cmocka_unit_test(test_what_is_being_written_is_sound),
        cmocka_unit_test(test_every_damage_by_sql_is_found),
        cmocka_unit_test(test_damage_of_a_thinned_log_is_found),
        cmocka_unit_test(test_a_lost_end_is_found),
        cmocka_unit_test(test_flipped_bytes_are_found),
        cmocka_unit_test(test_what_is_no_log_is_not_checked),
        cmocka_unit_test(test_checking_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
