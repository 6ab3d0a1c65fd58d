/* tests/unit/test_engine_sqlite_torn.c — files that are not what the engine left: a WAL that ends
 * early or is damaged, bytes of the file that changed, and copies that were made while it was
 * written. Whatever opens holds a beginning of what was told; what is read is what was written. */
#include "tests/unit/disk_fixture.h"

#include <sys/stat.h>

enum { HISTORY = 64, WAL_HEADER = 32, FRAME = 4096 + 24, BYTES_MAX = 4 << 20 };

struct bytes {
    uint8_t *data;
    size_t len;
};

static const char *name_of(const struct disk_run *d, const char *end) {
    static char name[160];
    snprintf(name, sizeof name, "%s%s", d->f.path, end);
    return name;
}

static struct bytes slurp(const struct disk_run *d, const char *end) {
    struct bytes b = {.data = rp_alloc(BYTES_MAX)};
    FILE *file = fopen(name_of(d, end), "r");
    if (file != NULL) {
        b.len = fread(b.data, 1, BYTES_MAX, file);
        assert_true(b.len < BYTES_MAX);
        fclose(file);
    }
    return b;
}

/* Over a file that is there, so that it stays the same one. */
static void spill(const struct disk_run *d, const char *end, struct bytes b) {
    FILE *file = fopen(name_of(d, end), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(b.data, 1, b.len, file), b.len);
    assert_int_equal(fclose(file), 0);
}

static void kill_it(struct disk_run *d) {
    faulty_vfs_power_off();
    disk_drain(d);
    fixture_close(&d->f);
    faulty_vfs_power_on(FAULTY_CUT_KILL);
}

/* ---- a WAL that is not whole ---- */

/* A log whose process was killed, and how many bytes of the WAL each record needs. */
struct killed {
    struct disk_run d;
    size_t wal_bytes[DISK_RECORDS_MAX];
    struct bytes file, wal;
};

static void make_killed(struct killed *k) {
    struct rp_engine_sqlite_stats stats;
    disk_begin(&k->d);
    faulty_vfs_reset(1);
    k->d.f.options.checkpoint_frames = 0; /* nothing is copied back */
    fixture_open(&k->d.f);
    while (k->d.count < disk_before.count + HISTORY) {
        size_t from = k->d.count;
        disk_play(&k->d, DISK_GROUP);
        rp_engine_sqlite_stats(k->d.f.e, &stats);
        for (size_t i = from; i < k->d.count; i++) {
            k->wal_bytes[i] = (size_t) stats.wal_bytes;
        }
    }
    kill_it(&k->d);
    k->file = slurp(&k->d, "");
    k->wal = slurp(&k->d, "-wal");
    assert_true(k->wal.len >= k->wal_bytes[k->d.count - 1]);
}

static void done_killed(struct killed *k) {
    free(k->file.data);
    free(k->wal.data);
    disk_done(&k->d);
}

/* The log with such a WAL has all records that are wholly in its first `sound` bytes, and an end is
 * all that is missing. */
static void check_wal(struct killed *k, struct bytes wal, size_t sound) {
    struct disk_run *d = &k->d;
    enum fate fates[DISK_RECORDS_MAX];
    memcpy(fates, d->fates, sizeof fates);
    for (size_t i = disk_before.count; i < d->count; i++) {
        if (k->wal_bytes[i] > sound && d->fates[i] == FATE_COMMITTED) {
            d->fates[i] = FATE_UNDECIDED;
        }
    }
    spill(d, "", k->file);
    spill(d, "-wal", wal);
    unlink(name_of(d, "-shm"));
    unlink(name_of(d, ".lock")); /* which may know how much there was */
    fixture_open(&d->f);
    struct loaded *l = fixture_load(&d->f, 0);
    disk_check_records(d, l, false);
    disk_check_projections(l);
    size_t i = 0; /* and a beginning at that */
    for (size_t at = 0; at < l->records_count; at++, i++) {
        while (fates[i] == FATE_DUPLICATE) {
            i++;
        }
        assert_int_equal(l->records[at]->f.num, i + 1);
    }
    loaded_free(l);
    kill_it(d);
    memcpy(d->fates, fates, sizeof fates);
}

static void test_wal_that_ends_anywhere_is_a_beginning(void **state) {
    (void) state;
    static struct killed k;
    make_killed(&k);
    for (size_t at = WAL_HEADER; at <= k.wal.len; at += FRAME) {
        const size_t ends[] = {at, at + 1, at + 23, at + 24, at + 2000, at + FRAME - 1};
        for (size_t i = 0; i < sizeof ends / sizeof ends[0] && ends[i] <= k.wal.len; i++) {
            check_wal(&k, (struct bytes){k.wal.data, ends[i]}, ends[i]);
        }
    }
    for (size_t len = 0; len < WAL_HEADER; len += 31) {
        check_wal(&k, (struct bytes){k.wal.data, len}, 0);
    }
    done_killed(&k);
}

static void test_wal_with_a_flipped_byte_is_a_beginning(void **state) {
    (void) state;
    static struct killed k;
    struct rp_rng rng = {.state = 5};
    make_killed(&k);
    for (size_t frame = WAL_HEADER; frame < k.wal.len; frame += FRAME) {
        /* in the header: page, size, salt, checksum; in the page */
        const size_t places[] = {rp_rng_below(&rng, 4), 4 + rp_rng_below(&rng, 4),
                                 8 + rp_rng_below(&rng, 8), 16 + rp_rng_below(&rng, 8),
                                 24 + rp_rng_below(&rng, 4096)};
        uint8_t *byte = k.wal.data + frame + places[(frame / FRAME) % 5];
        uint8_t mask = (uint8_t) (1 + rp_rng_below(&rng, 255));
        *byte ^= mask;
        check_wal(&k, k.wal, frame);
        *byte ^= mask;
    }
    for (size_t at = 0; at < WAL_HEADER; at += 3) {
        k.wal.data[at] ^= 0x40;
        check_wal(&k, k.wal, 0);
        k.wal.data[at] ^= 0x40;
    }
    done_killed(&k);
}

/* ---- a file that is damaged ---- */

/* The engine may give up meanwhile: the indexer and the checkpointer meet the damage, too. */
static struct rp_engine_page *read_damaged(struct fixture *f, const char *room) {
    fixture_ask_history(f, room, 0);
    struct rp_engine_outcome o = fixture_next(f);
    if (o.kind == RP_ENGINE_FATAL) {
        assert_true(f->e->why[0] != '\0');
        o = fixture_next(f);
    }
    return fixture_take_page(&o, 77);
}

/* Everything that can be read is what was written, of the room that was asked for. True: nothing is
 * missing, or it is said that something is. */
static bool check_damaged(struct disk_run *d) {
    bool honest = true;
    for (size_t room = 0; room < 3; room++) {
        struct rp_engine_page *page = read_damaged(&d->f, disk_rooms[room]);
        size_t at = 0;
        for (size_t i = 0; i < d->count && page->err == RP_OK; i++) {
            const struct rp_record *was = d->records[i];
            if (d->fates[i] != FATE_COMMITTED || was->f.kind != RP_RECORD_EVENT ||
                !rp_bytes_eq_str(was->f.room, disk_rooms[room])) {
                continue;
            }
            bool there = at < page->records_count && page->records[at]->f.num == was->f.num;
            if (there) {
                assert_same_record(page->records[at++], was);
            }
            honest = honest && (there || page->truncated);
        }
        assert_true(page->err == RP_OK || page->err == RP_E_CORRUPT || page->err == RP_E_IO);
        assert_int_equal(at, page->records_count);
        rp_engine_page_free(page);
    }
    return honest;
}

struct tally {
    size_t refused, opened, silent;
};

static void try_damaged(struct disk_run *d, struct bytes file, struct tally *tally) {
    spill(d, "", file);
    unlink(name_of(d, "-wal"));
    unlink(name_of(d, "-shm"));
    enum rp_err err = fixture_try_open(&d->f);
    if (err != RP_OK) {
        assert_true(err != RP_E_INVALID && d->f.message.len > 0);
        tally->refused++;
        return;
    }
    tally->opened++;
    if (!check_damaged(d)) { /* rows are hidden; the checker finds what hides them */
        tally->silent++;
        assert_string_not_equal(fixture_sql(&d->f, "PRAGMA integrity_check(1)"), "ok");
    }
    kill_it(d);
}

static void make_closed(struct disk_run *d, struct bytes *ret_file) {
    disk_begin(d);
    faulty_vfs_reset(1);
    fixture_open(&d->f);
    disk_play(d, 200);
    fixture_wait_indexed(&d->f, 8);
    fixture_close(&d->f);
    *ret_file = slurp(d, "");
}

static void test_flipped_bytes_are_never_taken_for_data(void **state) {
    (void) state;
    enum { PER_PAGE = 12 };
    static struct disk_run d;
    struct bytes file;
    struct rp_rng rng = {.state = 9};
    struct tally tally = {0};
    make_closed(&d, &file);
    for (size_t page = 0; page < file.len; page += 4096) {
        for (int i = 0; i < PER_PAGE; i++) {
            /* half of them where the b-tree has its pointers */
            size_t at = page + rp_rng_below(&rng, i % 2 ? 4096 : 64);
            uint8_t mask = (uint8_t) (1 + rp_rng_below(&rng, 255));
            file.data[at] ^= mask;
            try_damaged(&d, file, &tally);
            file.data[at] ^= mask;
        }
    }
    print_message("%zu refused at open, %zu opened, of them %zu silently without some rows\n",
                  tally.refused, tally.opened, tally.silent);
    assert_true(tally.refused > 0 && tally.opened > 0 && tally.silent * 20 < tally.opened);
    free(file.data);
    disk_done(&d);
}

static void test_truncated_file_is_never_taken_for_whole(void **state) {
    (void) state;
    static struct disk_run d;
    struct bytes file;
    struct tally tally = {0};
    make_closed(&d, &file);
    for (size_t len = 0; len < file.len; len += 1024) {
        if (len > 0) { /* an empty file is a new log */
            try_damaged(&d, (struct bytes){file.data, len}, &tally);
        }
    }
    assert_int_equal(tally.silent, 0);
    assert_true(tally.refused > 0);
    free(file.data);
    disk_done(&d);
}

/* ---- copies of a log that is written ---- */

/* Copies a file some pages at a time, with records in between. */
static struct bytes copy_slowly(struct disk_run *d, const char *end, size_t pages, size_t records) {
    struct bytes b = {.data = rp_alloc(BYTES_MAX)};
    for (;;) {
        FILE *file = fopen(name_of(d, end), "r");
        assert_non_null(file);
        assert_int_equal(fseek(file, (long) b.len, SEEK_SET), 0);
        size_t len = fread(b.data + b.len, 1, pages * 4096, file);
        fclose(file);
        b.len += len;
        if (len == 0) {
            return b;
        }
        if (records > 0 && d->count + records + 40 < DISK_RECORDS_MAX) {
            disk_play(d, records);
            d->f.rng.state++;
        }
    }
}

enum order { FILE_FIRST, WAL_FIRST, FILE_ALONE, ORDERS };

/* A second run's files: a copy of d's, made in this order. With records == 0 nothing is written
 * meanwhile. */
static void make_copy(struct disk_run *d, struct disk_run *copy, enum order order, size_t pages,
                      size_t records) {
    struct bytes file, wal = {0};
    if (order == WAL_FIRST) {
        wal = copy_slowly(d, "-wal", pages * 4, records);
        disk_play(d, records * 3);
    }
    file = copy_slowly(d, "", pages, records);
    if (order == FILE_FIRST) {
        disk_play(d, records * 3);
        wal = copy_slowly(d, "-wal", pages * 4, records);
    }
    disk_begin(copy);
    spill(copy, "", file);
    if (order != FILE_ALONE) {
        spill(copy, "-wal", wal);
    }
    for (size_t i = copy->count; i < d->count; i++) {
        copy->records[i] = rp_record_ref(d->records[i]);
        copy->fates[i] = d->fates[i];
        copy->seqs[i] = d->seqs[i];
    }
    copy->count = d->count;
    free(file.data);
    free(wal.data);
}

static void assert_refused_for(struct disk_run *d, const char *part) {
    assert_int_equal(fixture_try_open(&d->f), RP_E_CORRUPT);
    assert_int_equal(rp_buf_put(&d->f.message, rp_bytes("", 1)), RP_OK);
    assert_non_null(strstr((char *) d->f.message.data, part));
}

/* Whatever a person insists on, no record is made up. */
static void check_genuine(const struct disk_run *d, const struct loaded *l) {
    for (size_t i = 0; i < l->records_count; i++) {
        const struct rp_record *r = l->records[i];
        size_t num = (size_t) r->f.num;
        assert_true(num >= 1 && num <= d->count && may_be_there(d->fates[num - 1]));
        assert_true(i == 0 || r->seq > l->records[i - 1]->seq);
        assert_same_record(r, d->records[num - 1]);
    }
}

static void try_copy(uint64_t seed, bool live, struct tally *tally) {
    static struct disk_run d, copy;
    enum order order = (enum order)(seed % (live ? ORDERS : FILE_ALONE));
    disk_begin(&d);
    faulty_vfs_reset(seed);
    d.f.options.checkpoint_frames = 4 + seed % 40;
    fixture_open(&d.f);
    disk_play(&d, 20 + seed % 50);
    if (!live) {
        kill_it(&d);
    }
    make_copy(&d, &copy, order, 1 + seed % 7, live ? seed / 5 % 9 : 0);
    assert_refused_for(&copy, live ? copy.f.path : "--new-epoch");
    copy.f.options.new_epoch = true;
    enum rp_err err = fixture_try_open(&copy.f);
    if (err == RP_OK) {
        struct loaded *l = fixture_load(&copy.f, 0);
        check_genuine(&copy, l);
        if (!live) {
            disk_check_records(&copy, l, false);
        }
        assert_int_equal(l->sessions_count, 0);
        loaded_free(l);
        tally->opened++;
    } else {
        assert_true(live && err == RP_E_CORRUPT && copy.f.message.len > 0);
        tally->refused++;
    }
    disk_done(&copy);
    disk_done(&d);
}

static void test_live_copy_is_refused(void **state) {
    (void) state;
    struct tally tally = {0};
    for (uint64_t seed = 1; seed <= 150; seed++) {
        try_copy(seed, true, &tally);
    }
    print_message("%zu mixed copies opened by force, %zu refused even so\n", tally.opened,
                  tally.refused);
    assert_true(tally.opened > 0 && tally.refused > 0);
}

static void test_copy_of_a_killed_log_is_whole_with_a_new_epoch(void **state) {
    (void) state;
    struct tally tally = {0};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        try_copy(seed, false, &tally);
    }
    assert_int_equal(tally.refused, 0);
}

/* Reading with a shell after a crash copies the WAL back and removes it. */
static void test_shell_after_a_kill_takes_nothing_away(void **state) {
    (void) state;
    static struct killed k;
    make_killed(&k);
    assert_string_equal(fixture_sql(&k.d.f, "SELECT value FROM meta WHERE key = 'clean'"), "0");
    struct bytes gone = slurp(&k.d, "-wal");
    assert_int_equal(gone.len, 0);
    free(gone.data);
    disk_check(&k.d, false);
    done_killed(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wal_that_ends_anywhere_is_a_beginning),
        cmocka_unit_test(test_wal_with_a_flipped_byte_is_a_beginning),
        cmocka_unit_test(test_flipped_bytes_are_never_taken_for_data),
        cmocka_unit_test(test_truncated_file_is_never_taken_for_whole),
        cmocka_unit_test(test_live_copy_is_refused),
        cmocka_unit_test(test_copy_of_a_killed_log_is_whole_with_a_new_epoch),
        cmocka_unit_test(test_shell_after_a_kill_takes_nothing_away),
    };
    return cmocka_run_group_tests(tests, disk_set_up, disk_tear_down);
}
