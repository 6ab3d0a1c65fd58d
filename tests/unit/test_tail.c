/* tests/unit/test_tail.c — broker/tail, broker/record: the newest records, within bounds. */
#include "broker/tail.h"

#include "proto/attachments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct rp_rooms rooms;
static struct rp_tail tail;

static int setup(void **state) {
    (void) state;
    rp_rooms_init(&rooms, (struct rp_hash_key){1, 2});
    return 0;
}

static int teardown(void **state) {
    (void) state;
    rp_tail_done(&tail);
    assert_int_equal(rooms.map.count, 0); /* no room is kept for events alone */
    rp_rooms_done(&rooms);
    return 0;
}

/* An event in one of three rooms; every fourth record is a JOIN. */
static size_t push(uint64_t seq) {
    static const char *const names[] = {"a", "b", "c"};
    struct rp_record_fields fields = {.kind = seq % 4 ? RP_RECORD_EVENT : RP_RECORD_JOIN,
                                      .nsp = RP_BYTES_LIT("/"),
                                      .room = rp_bytes_str(names[seq % 3])};
    struct rp_record *r = rp_record_new(&fields);
    size_t size = r->size;
    r->seq = seq;
    rp_tail_push(&tail, r);
    rp_record_unref(r); /* the tail has its own */
    return size;
}

static size_t events_in_rooms(void) {
    size_t count = 0;
    struct rp_map_iter it = {0};
    for (struct rp_map_node *n; (n = rp_map_each(&rooms.map, &it)) != NULL;) {
        count += RP_CONTAINER_OF(n, struct rp_room, node)->events_count;
    }
    return count;
}

static void test_the_newest_stay_within_the_count(void **state) {
    (void) state;
    enum { MAX = 37, BASE = 100 };
    rp_tail_init(&tail, &rooms, BASE, MAX, SIZE_MAX);
    assert_int_equal(rp_tail_after(&tail, BASE), 0);
    for (uint64_t i = 1; i <= 1000; i++) {
        push(BASE + 2 * i);
        size_t count = i < MAX ? (size_t) i : MAX;
        uint64_t oldest = BASE + 2 * (i - count + 1), events = 0;
        assert_int_equal(tail.count, count);
        assert_int_equal(tail.base, i <= MAX ? BASE : oldest - 2);
        for (size_t k = 0; k < count; k++) {
            assert_int_equal(rp_tail_at(&tail, k)->seq, oldest + 2 * k);
            assert_int_equal(rp_tail_after(&tail, oldest + 2 * k - 1), k);
            assert_int_equal(rp_tail_after(&tail, oldest + 2 * k), k + 1);
            events += rp_tail_at(&tail, k)->f.kind == RP_RECORD_EVENT;
        }
        assert_int_equal(events_in_rooms(), events);
    }
}

static void test_the_newest_stay_within_the_bytes(void **state) {
    (void) state;
    rp_tail_init(&tail, &rooms, 0, SIZE_MAX, 5000);
    for (uint64_t seq = 1; seq <= 500; seq++) {
        size_t size = push(seq), bytes = 0;
        for (size_t k = 0; k < tail.count; k++) {
            bytes += rp_tail_at(&tail, k)->size;
        }
        assert_int_equal(tail.bytes, bytes);
        assert_true(bytes <= 5000);
        assert_true(tail.base == 0 || bytes + size > 5000);
        assert_int_equal(rp_tail_at(&tail, tail.count - 1)->seq, seq);
    }
    assert_true(tail.base > 0);
}

/* One record larger than the bound is kept all the same, alone. */
static void test_a_record_past_the_bound_stands_alone(void **state) {
    (void) state;
    rp_tail_init(&tail, &rooms, 0, 10, 8);
    for (uint64_t seq = 1; seq <= 9; seq++) {
        push(seq);
        assert_int_equal(tail.count, 1);
        assert_int_equal(tail.base, seq - 1);
    }
}

static size_t events_of(const char *name) {
    const struct rp_room *room = rp_rooms_find(&rooms, RP_BYTES_LIT("/"), rp_bytes_str(name));
    return room != NULL ? room->events_count : 0;
}

/* An event is in the list of each of its rooms, once, as long as the tail has it. */
static void test_an_event_is_listed_in_each_of_its_rooms(void **state) {
    (void) state;
    enum { MAX = 10 };
    rp_tail_init(&tail, &rooms, 0, MAX, SIZE_MAX);
    static const char *const further[] = {"b", "a", "", "b", "c"}; /* some again */
    struct rp_buf list;
    rp_buf_init(&list, 100);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(rp_attachments_put(&list, rp_bytes_str(further[i])), RP_OK);
    }
    size_t bytes = 0;
    for (uint64_t seq = 1; seq <= 5 * MAX; seq++) {
        struct rp_record_fields fields = {.kind = RP_RECORD_EVENT,
                                          .nsp = RP_BYTES_LIT("/"),
                                          .room = rp_bytes_str(seq % 2 ? "a" : "d"),
                                          .rooms = seq % 2 ? rp_buf_bytes(&list) : rp_bytes("", 0)};
        struct rp_record *r = rp_record_new(&fields);
        r->seq = seq;
        bytes += r->size;
        rp_tail_push(&tail, r);
        rp_record_unref(r);
        if (seq >= MAX) {
            static const char *const names[] = {"a", "b", "", "c", "d"};
            for (size_t i = 0; i < 5; i++) {
                assert_int_equal(events_of(names[i]), MAX / 2);
            }
        }
    }
    assert_true(tail.bytes > bytes / 5); /* further rooms have their price */
    rp_buf_done(&list);
    rp_tail_trim(&tail, 5 * MAX);
    assert_int_equal(tail.bytes, 0);
    assert_int_equal(rooms.map.count, 0);
}

static void test_a_record_is_a_copy_of_its_fields(void **state) {
    (void) state;
    rp_tail_init(&tail, &rooms, 0, 1, 1);
    char text[] = "abcdefg";
    struct rp_record_fields fields = {.kind = RP_RECORD_EVENT,
                                      .flags = RP_RECORD_NO_ECHO,
                                      .num = 5,
                                      .aux = UINT64_MAX,
                                      .nsp = rp_bytes(text, 1),
                                      .room = rp_bytes(text + 1, 1),
                                      .name = rp_bytes(text + 2, 1),
                                      .args = rp_bytes(text + 3, 1),
                                      .id = rp_bytes(text + 4, 1),
                                      .sid = rp_bytes(text + 5, 1),
                                      .pid_hash = rp_bytes(text + 6, 1)};
    struct rp_record *r = rp_record_new(&fields);
    memset(text, 'x', sizeof text);
    assert_int_equal(r->seq, 0);
    assert_int_equal(r->size, sizeof *r + 7);
    assert_int_equal(r->f.flags, RP_RECORD_NO_ECHO);
    assert_int_equal(r->f.num, 5);
    assert_int_equal(r->f.aux, UINT64_MAX);
    assert_true(rp_bytes_eq_str(r->f.nsp, "a") && rp_bytes_eq_str(r->f.room, "b"));
    assert_true(rp_bytes_eq_str(r->f.name, "c") && rp_bytes_eq_str(r->f.args, "d"));
    assert_true(rp_bytes_eq_str(r->f.id, "e") && rp_bytes_eq_str(r->f.sid, "f"));
    assert_true(rp_bytes_eq_str(r->f.pid_hash, "g"));
    assert_ptr_equal(rp_record_ref(r), r);
    assert_null(rp_record_unref(r));
    assert_null(rp_record_unref(r));
    assert_null(rp_record_unref(NULL));
    struct rp_record_fields nothing = {.kind = RP_RECORD_GONE};
    r = rp_record_new(&nothing);
    assert_int_equal(r->f.room.len, 0);
    rp_record_unref(r);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_the_newest_stay_within_the_count),
        TEST(test_the_newest_stay_within_the_bytes),
        TEST(test_a_record_past_the_bound_stands_alone),
        TEST(test_an_event_is_listed_in_each_of_its_rooms),
        TEST(test_a_record_is_a_copy_of_its_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
