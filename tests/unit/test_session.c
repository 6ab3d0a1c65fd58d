/* tests/unit/test_session.c — broker/session: sessions, and their memberships as intervals. */
#include "broker/session.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct rp_rooms rooms;
static struct rp_sessions sessions;

static int setup(void **state) {
    (void) state;
    rp_rooms_init(&rooms, (struct rp_hash_key){1, 2});
    rp_sessions_init(&sessions, &rooms);
    return 0;
}

static int teardown(void **state) {
    (void) state;
    rp_sessions_done(&sessions);
    assert_int_equal(sessions.intervals_count, 0);
    assert_int_equal(rooms.map.count, 0);
    rp_rooms_done(&rooms);
    return 0;
}

/* The hash of a pid; those of the same group begin alike, as far as the table looks. */
static struct rp_bytes hash_of(uint8_t ret_hash[RP_PID_HASH_LEN], unsigned group, unsigned n) {
    memset(ret_hash, 0, RP_PID_HASH_LEN);
    ret_hash[0] = (uint8_t) group;
    ret_hash[RP_PID_HASH_LEN - 1] = (uint8_t) n;
    return rp_bytes(ret_hash, RP_PID_HASH_LEN);
}

static struct rp_session *add(uint64_t id, unsigned group, unsigned n) {
    uint8_t hash[RP_PID_HASH_LEN];
    return rp_sessions_add(&sessions, id, RP_BYTES_LIT("/"), RP_BYTES_LIT("sid"),
                           hash_of(hash, group, n));
}

static struct rp_room *room(const char *name) {
    return rp_rooms_get(&rooms, RP_BYTES_LIT("/"), rp_bytes_str(name));
}

static void test_sessions_are_found_by_number_and_by_pid(void **state) {
    (void) state;
    uint8_t hash[RP_PID_HASH_LEN];
    struct rp_session *all[60];
    for (unsigned i = 0; i < 60; i++) {
        all[i] = add(1000 + i, i % 3, i);
    }
    for (unsigned i = 0; i < 60; i++) {
        assert_ptr_equal(rp_sessions_find(&sessions, 1000 + i), all[i]);
        assert_ptr_equal(rp_sessions_find_pid(&sessions, hash_of(hash, i % 3, i)), all[i]);
    }
    assert_null(rp_sessions_find(&sessions, 0));
    assert_null(rp_sessions_find(&sessions, 1060));
    assert_null(rp_sessions_find_pid(&sessions, hash_of(hash, 1, 99)));
    assert_null(rp_sessions_find_pid(&sessions, hash_of(hash, 9, 0)));
    assert_int_equal(all[5]->conn, 1005);
    assert_true(rp_bytes_eq_str(rp_session_sid(all[5]), "sid"));
    assert_true(rp_bytes_eq_str(rp_session_nsp(all[5]), "/"));
    rp_sessions_remove(&sessions, all[5]);
    assert_null(rp_sessions_find(&sessions, 1005));
    assert_null(rp_sessions_find_pid(&sessions, hash_of(hash, 5 % 3, 5)));
    assert_non_null(rp_sessions_find_pid(&sessions, hash_of(hash, 8 % 3, 8)));
}

static void test_longest_names_fit(void **state) {
    (void) state;
    uint8_t hash[RP_PID_HASH_LEN];
    char text[UINT8_MAX];
    memset(text, 'n', sizeof text);
    struct rp_session *s = rp_sessions_add(&sessions, 1, rp_bytes(text, sizeof text),
                                           rp_bytes(text, RP_SID_BYTES_MAX), hash_of(hash, 0, 0));
    assert_int_equal(rp_session_nsp(s).len, UINT8_MAX);
    assert_int_equal(rp_session_sid(s).len, RP_SID_BYTES_MAX);
}

static void test_membership_is_an_interval(void **state) {
    (void) state;
    struct rp_session *s = add(1, 0, 0);
    struct rp_room *a = room("a"), *b = room("b");
    assert_null(rp_session_membership(s, a));
    struct rp_interval *first = rp_session_join(&sessions, s, a, 10, 77);
    rp_session_join(&sessions, s, b, 12, 78);
    assert_ptr_equal(rp_session_membership(s, a), first);
    assert_int_equal(first->ts_ms, 77);
    assert_int_equal(s->open_count, 2);
    assert_int_equal(a->members_count, 1);
    rp_session_leave(s, first, 20);
    assert_null(rp_session_membership(s, a));
    assert_int_equal(s->open_count, 1);
    assert_int_equal(s->closed_count, 1);
    assert_int_equal(a->members_count, 0);
    assert_true(rp_list_is_empty(&a->members));
    assert_int_equal(a->intervals_count, 1);
    struct rp_interval *second = rp_session_join(&sessions, s, a, 30, 79);

    static const struct {
        uint64_t seq;
        int which; /* 0: none */
    } table[] = {{9, 0},  {10, 1}, {15, 1}, {20, 1},        {21, 0},
                 {29, 0}, {30, 2}, {31, 2}, {UINT64_MAX, 2}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct rp_interval *expected = table[i].which == 1   ? first
                                             : table[i].which == 2 ? second
                                                                   : NULL;
        assert_ptr_equal(rp_session_membership_at(s, a, table[i].seq), expected);
    }
    assert_int_equal(sessions.intervals_count, 3);
}

static void test_removing_a_session_takes_its_rooms_along(void **state) {
    (void) state;
    struct rp_session *s = add(1, 0, 0), *other = add(2, 0, 1);
    struct rp_interval *left = rp_session_join(&sessions, s, room("left"), 10, 0);
    rp_session_leave(s, left, 11);
    rp_session_join(&sessions, s, room("own"), 12, 0);
    rp_session_join(&sessions, s, room("shared"), 13, 0);
    rp_session_join(&sessions, other, room("shared"), 14, 0);
    assert_int_equal(rooms.map.count, 3);
    rp_sessions_remove(&sessions, s);
    assert_int_equal(rooms.map.count, 1);
    assert_int_equal(room("shared")->members_count, 1);
    assert_int_equal(sessions.intervals_count, 1);
}

static void test_forgetting_raises_the_floor(void **state) {
    (void) state;
    struct rp_session *s = add(1, 0, 0);
    for (uint64_t i = 1; i <= 10; i++) {
        struct rp_interval *in = rp_session_join(&sessions, s, room("a"), 10 * i, 0);
        rp_session_leave(s, in, 10 * i + 5);
    }
    rp_session_join(&sessions, s, room("b"), 20, 0);
    rp_session_forget(&sessions, s, 45);
    assert_int_equal(s->closed_count, 6); /* the one that ended at 45 went, too */
    assert_int_equal(s->floor_seq, 45);
    assert_int_equal(s->open_count, 1);
    rp_session_forget(&sessions, s, 30); /* a floor does not sink */
    assert_int_equal(s->floor_seq, 45);
    assert_int_equal(s->closed_count, 6);
    rp_session_forget(&sessions, s, 1000);
    assert_int_equal(s->closed_count, 0);
    assert_int_equal(rooms.map.count, 1);
}

static void test_half_is_forgotten_when_there_are_too_many(void **state) {
    (void) state;
    struct rp_session *s = add(1, 0, 0);
    for (uint64_t i = 1; i <= 9; i++) {
        struct rp_interval *in = rp_session_join(&sessions, s, room("a"), 10 * i, 0);
        rp_session_leave(s, in, 10 * i + 5);
        assert_int_equal(rp_session_forget_before(s, 10), 0);
    }
    struct rp_interval *in = rp_session_join(&sessions, s, room("a"), 100, 0);
    rp_session_leave(s, in, 105);
    uint64_t floor = rp_session_forget_before(s, 10);
    assert_int_equal(floor, 55);
    rp_session_forget(&sessions, s, floor);
    assert_int_equal(s->closed_count, 5);
    assert_int_equal(rp_session_forget_before(s, 10), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_sessions_are_found_by_number_and_by_pid),
        TEST(test_longest_names_fit),
        TEST(test_membership_is_an_interval),
        TEST(test_removing_a_session_takes_its_rooms_along),
        TEST(test_forgetting_raises_the_floor),
        TEST(test_half_is_forgotten_when_there_are_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
