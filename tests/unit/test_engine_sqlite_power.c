/* tests/unit/test_engine_sqlite_power.c — the SQLite engine when the process or the machine ends:
 * at every write, sync and truncation of a history in turn, in the middle of it or before it. What
 * was written and not synced is there afterwards, or not, or a part of it. */
#include "tests/unit/disk_fixture.h"

enum { HISTORY = 48, POINTS_MAX = 4000 };

struct power {
    bool sync_full, killed;  /* killed: only the process ends there */
    size_t lost, new_epochs; /* how often */
};

/* The power fails at the point-th thing done to the disk. */
static bool run_power(struct power *power, uint64_t point) {
    struct disk_run d;
    char epoch[RP_EPOCH_LEN + 1] = "";
    bool lose = !power->sync_full && !power->killed;
    disk_begin(&d);
    d.f.options.sync_full = power->sync_full;
    d.f.options.boot_id = "monday";
    faulty_vfs_reset(point * 11);
    faulty_vfs_add((struct faulty_rule){.ops = FAULTY_WRITE | FAULTY_SYNC | FAULTY_TRUNCATE,
                                        .files = FAULTY_FILE_ANY,
                                        .from = point,
                                        .power_off = true,
                                        .torn = point % 2 == 0});
    if (fixture_try_open(&d.f) == RP_OK) {
        memcpy(epoch, d.f.e->epoch, sizeof epoch);
        disk_play(&d, HISTORY);
        disk_drain(&d);
        fixture_close(&d.f);
    }
    bool broke = faulty_vfs_broken() > 0;
    faulty_vfs_power_off(); /* if it had not */
    faulty_vfs_power_on(power->killed ? FAULTY_CUT_KILL : FAULTY_CUT_POWER);
    d.f.options.boot_id = power->killed ? "monday" : "tuesday";
    disk_check(&d, lose);
    if (d.f.message.len > 0 && epoch[0] != '\0') {
        assert_string_not_equal(epoch, d.f.e->epoch);
    }
    power->lost += d.lost;
    power->new_epochs += d.f.message.len > 0;
    disk_done(&d);
    return broke;
}

static void run_power_everywhere(struct power *power) {
    uint64_t point = 1;
    while (run_power(power, point)) {
        point++;
        assert_true(point < POINTS_MAX);
    }
    assert_true(point > HISTORY);
}

static void test_power_failure_at_every_point_loses_nothing(void **state) {
    (void) state;
    run_power_everywhere(&(struct power){.sync_full = true});
}

static void test_kill_at_every_point_loses_nothing(void **state) {
    (void) state;
    run_power_everywhere(&(struct power){.sync_full = true, .killed = true});
    run_power_everywhere(&(struct power){.sync_full = false, .killed = true});
}

static void test_power_failure_without_sync_loses_an_end_and_the_epoch(void **state) {
    (void) state;
    struct power power = {.sync_full = false};
    run_power_everywhere(&power);
    assert_true(power.lost > 10 && power.new_epochs > power.lost);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_failure_at_every_point_loses_nothing),
        cmocka_unit_test(test_kill_at_every_point_loses_nothing),
        cmocka_unit_test(test_power_failure_without_sync_loses_an_end_and_the_epoch),
    };
    return cmocka_run_group_tests(tests, disk_set_up, disk_tear_down);
}
