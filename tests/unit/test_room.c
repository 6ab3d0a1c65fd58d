/* tests/unit/test_room.c — broker/room: which rooms there are, which gateways care, which of the
 * newest events are theirs. */
#include "broker/room.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NSP RP_BYTES_LIT("/")

/* Interest is by identity; nothing looks into a peer. */
static struct rp_peer *peer(size_t n) {
    static char places[1000];
    return (struct rp_peer *) (void *) &places[n];
}

static struct rp_rooms rooms;

static int setup(void **state) {
    (void) state;
    rp_rooms_init(&rooms, (struct rp_hash_key){1, 2});
    return 0;
}

static int teardown(void **state) {
    (void) state;
    rp_rooms_done(&rooms);
    return 0;
}

static struct rp_record *event(uint64_t seq) {
    struct rp_record_fields fields = {.kind = RP_RECORD_EVENT, .nsp = NSP};
    struct rp_record *r = rp_record_new(&fields);
    r->seq = seq;
    return r;
}

static void test_rooms_are_made_once_and_found_by_both_names(void **state) {
    (void) state;
    assert_null(rp_rooms_find(&rooms, NSP, RP_BYTES_LIT("a")));
    struct rp_room *a = rp_rooms_get(&rooms, NSP, RP_BYTES_LIT("a"));
    struct rp_room *b = rp_rooms_get(&rooms, NSP, RP_BYTES_LIT("b"));
    struct rp_room *other = rp_rooms_get(&rooms, RP_BYTES_LIT("/x"), RP_BYTES_LIT("a"));
    struct rp_room *shifted = rp_rooms_get(&rooms, RP_BYTES_LIT("/"), RP_BYTES_LIT("xa"));
    assert_ptr_not_equal(a, b);
    assert_ptr_not_equal(a, other);
    assert_ptr_not_equal(other, shifted);
    assert_ptr_equal(rp_rooms_get(&rooms, NSP, RP_BYTES_LIT("a")), a);
    assert_ptr_equal(rp_rooms_find(&rooms, RP_BYTES_LIT("/x"), RP_BYTES_LIT("a")), other);
    assert_true(rp_bytes_eq_str(a->name, "a"));
    assert_true(rp_bytes_eq_str(other->nsp, "/x"));
    assert_int_equal(rooms.map.count, 4);
}

static void test_a_room_stays_while_anything_needs_it(void **state) {
    (void) state;
    struct rp_room *room = rp_rooms_get(&rooms, NSP, RP_BYTES_LIT("a"));
    struct rp_record *e = event(1);
    room->intervals_count = 1;
    rp_room_push_event(room, e);
    rp_room_interest_add(room, peer(1));
    rp_rooms_release(&rooms, room);
    assert_int_equal(rooms.map.count, 1);
    room->intervals_count = 0;
    rp_rooms_release(&rooms, room);
    assert_int_equal(rooms.map.count, 1);
    rp_room_pop_event(room, e);
    rp_rooms_release(&rooms, room);
    assert_int_equal(rooms.map.count, 1);
    rp_room_interest_remove(room, peer(1));
    rp_rooms_release(&rooms, room);
    assert_int_equal(rooms.map.count, 0);
    rp_record_unref(e);
}

static uint32_t interest_of(const struct rp_room *room, const struct rp_peer *whose) {
    for (size_t i = 0; i < room->interest_count; i++) {
        if (room->interest[i].peer == whose) {
            return room->interest[i].count;
        }
    }
    return 0;
}

static void test_interest_counts_sessions_by_gateway(void **state) {
    (void) state;
    struct rp_room *room = rp_rooms_get(&rooms, NSP, RP_BYTES_LIT("a"));
    for (size_t round = 0; round < 3; round++) {
        for (size_t n = 0; n < 20; n++) {
            rp_room_interest_add(room, peer(n));
        }
    }
    assert_int_equal(room->interest_count, 20);
    for (size_t n = 0; n < 20; n++) {
        assert_int_equal(interest_of(room, peer(n)), 3);
        rp_room_interest_remove(room, peer(n));
        assert_int_equal(interest_of(room, peer(n)), 2);
    }
    for (size_t n = 0; n < 20; n += 2) {
        rp_room_interest_remove(room, peer(n));
        rp_room_interest_remove(room, peer(n));
    }
    assert_int_equal(room->interest_count, 10);
    for (size_t n = 0; n < 20; n++) {
        assert_int_equal(interest_of(room, peer(n)), n % 2 ? 2 : 0);
    }
}

/* The index against a plain search, while events come and go at different paces. */
static void test_events_after_finds_what_a_search_finds(void **state) {
    (void) state;
    enum { EVENTS = 600 };
    struct rp_room *room = rp_rooms_get(&rooms, NSP, RP_BYTES_LIT("a"));
    static struct rp_record *records[EVENTS];
    size_t from = 0, to = 0;
    assert_int_equal(rp_room_events_after(room, 0), 0);
    while (to < EVENTS) {
        size_t grow = to % 7 + 1, shrink = to % 5;
        for (; grow > 0 && to < EVENTS; grow--, to++) {
            records[to] = event(10 + 3 * to); /* with gaps */
            rp_room_push_event(room, records[to]);
        }
        for (; shrink > 0 && from < to; shrink--, from++) {
            rp_room_pop_event(room, records[from]);
        }
        assert_int_equal(room->events_count, to - from);
        for (uint64_t after = 0; after < 10 + 3 * to + 3; after += 1 + to / 50) {
            size_t expected = 0;
            while (from + expected < to && records[from + expected]->seq <= after) {
                expected++;
            }
            assert_int_equal(rp_room_events_after(room, after), expected);
            if (from + expected < to) {
                assert_ptr_equal(rp_room_event(room, expected), records[from + expected]);
            }
        }
    }
    assert_true(room->events_capacity <= 2 * EVENTS); /* what left makes room for what comes */
    for (; from < to; from++) {
        rp_room_pop_event(room, records[from]);
    }
    for (size_t i = 0; i < EVENTS; i++) {
        rp_record_unref(records[i]);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_rooms_are_made_once_and_found_by_both_names),
        TEST(test_a_room_stays_while_anything_needs_it),
        TEST(test_interest_counts_sessions_by_gateway),
        TEST(test_events_after_finds_what_a_search_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
