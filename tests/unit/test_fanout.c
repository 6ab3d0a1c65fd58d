/* tests/unit/test_fanout.c — gateway/fanout: rooms and their members on one gateway. */
#include "gateway/fanout.h"

#include "common/rng.h"
#include "gateway/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SOCKETS = 12, ROOMS = 9 }; /* sockets of one namespace */

static struct rp_fanout fanout;
static struct rp_nsps nsps;
static struct rp_nsp *nsp, *other;
static struct rp_socket sockets[SOCKETS];

static int setup(void **state) {
    (void) state;
    memset(sockets, 0, sizeof sockets);
    rp_fanout_init(&fanout, (struct rp_hash_key){1, 2});
    rp_nsps_init(&nsps, (struct rp_hash_key){1, 2});
    nsp = rp_nsp_ref(&nsps, RP_BYTES_LIT("/"));
    other = rp_nsp_ref(&nsps, RP_BYTES_LIT("/other"));
    for (size_t i = 0; i < SOCKETS; i++) {
        sockets[i].nsp = nsp;
    }
    return 0;
}

static int teardown(void **state) {
    (void) state;
    for (size_t i = 0; i < SOCKETS; i++) {
        rp_fanout_leave_all(&fanout, &sockets[i]);
    }
    rp_fanout_done(&fanout);
    rp_nsp_unref(&nsps, nsp);
    rp_nsp_unref(&nsps, other);
    rp_nsps_done(&nsps);
    return 0;
}

static struct rp_bytes name(size_t room) {
    static const char names[ROOMS][3] = {"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8"};
    return rp_bytes(names[room], 2);
}

static bool is_member(size_t room, const struct rp_socket *socket) {
    const struct rp_fanout_room *found = rp_fanout_find(&fanout, nsp, name(room));
    size_t times = 0;
    for (size_t i = 0; found != NULL && i < found->count; i++) {
        times += found->members[i].socket == socket;
    }
    assert_true(times <= 1);
    return times == 1;
}

static void test_a_room_is_there_while_somebody_is_in_it(void **state) {
    (void) state;
    assert_null(rp_fanout_find(&fanout, nsp, name(0)));
    rp_fanout_leave(&fanout, &sockets[0], name(0)); /* not in it: fine */
    rp_fanout_join(&fanout, &sockets[0], name(0));
    rp_fanout_join(&fanout, &sockets[0], name(0)); /* twice: fine */
    rp_fanout_join(&fanout, &sockets[1], name(0));
    assert_int_equal(rp_fanout_find(&fanout, nsp, name(0))->count, 2);
    assert_int_equal(sockets[0].rooms.count, 1);
    rp_fanout_leave(&fanout, &sockets[0], name(0));
    rp_fanout_leave(&fanout, &sockets[0], name(0));
    rp_fanout_leave(&fanout, &sockets[2], name(0)); /* a stranger */
    assert_int_equal(rp_fanout_find(&fanout, nsp, name(0))->count, 1);
    rp_fanout_leave(&fanout, &sockets[1], name(0));
    assert_null(rp_fanout_find(&fanout, nsp, name(0)));
    assert_int_equal(fanout.rooms.count, 0);
}

static void test_rooms_of_two_namespaces_are_two(void **state) {
    (void) state;
    sockets[1].nsp = other;
    rp_fanout_join(&fanout, &sockets[0], name(0));
    assert_null(rp_fanout_find(&fanout, other, name(0)));
    rp_fanout_join(&fanout, &sockets[1], name(0));
    assert_int_equal(rp_fanout_find(&fanout, nsp, name(0))->count, 1);
    assert_ptr_equal(rp_fanout_find(&fanout, other, name(0))->members[0].socket, &sockets[1]);
    rp_fanout_leave(&fanout, &sockets[0], name(0));
    assert_null(rp_fanout_find(&fanout, nsp, name(0)));
    assert_non_null(rp_fanout_find(&fanout, other, name(0)));
    assert_ptr_equal(rp_nsp_find(&nsps, RP_BYTES_LIT("/other")), other);
    assert_null(rp_nsp_find(&nsps, RP_BYTES_LIT("/othe")));
}

/* The two tables point into each other; after any sequence they must agree with a plain matrix. */
static void check(bool member[SOCKETS][ROOMS]) {
    size_t rooms = 0;
    for (size_t r = 0; r < ROOMS; r++) {
        const struct rp_fanout_room *room = rp_fanout_find(&fanout, nsp, name(r));
        size_t count = 0;
        for (size_t c = 0; c < SOCKETS; c++) {
            assert_int_equal(is_member(r, &sockets[c]), member[c][r]);
            count += member[c][r];
        }
        assert_int_equal(room != NULL, count > 0);
        assert_true(room == NULL || room->count == count);
        rooms += count > 0;
        for (size_t i = 0; i < count; i++) {
            const struct rp_fanout_member *m = &room->members[i];
            assert_ptr_equal(m->socket->rooms.slots[m->slot].room, room);
            assert_int_equal(m->socket->rooms.slots[m->slot].index, i);
        }
    }
    assert_int_equal(fanout.rooms.count, rooms);
    for (size_t c = 0; c < SOCKETS; c++) {
        size_t count = 0;
        for (size_t r = 0; r < ROOMS; r++) {
            count += member[c][r];
        }
        assert_int_equal(sockets[c].rooms.count, count);
    }
}

static void test_any_sequence_agrees_with_a_matrix(void **state) {
    (void) state;
    bool member[SOCKETS][ROOMS] = {{false}};
    struct rp_rng rng = {42};
    for (int i = 0; i < 5000; i++) {
        size_t c = rp_rng_below(&rng, SOCKETS), r = rp_rng_below(&rng, ROOMS);
        uint64_t what = rp_rng_below(&rng, 20);
        if (what == 0) {
            rp_fanout_leave_all(&fanout, &sockets[c]);
            memset(member[c], 0, sizeof member[c]);
        } else if (what < 11) {
            rp_fanout_join(&fanout, &sockets[c], name(r));
            member[c][r] = true;
        } else {
            rp_fanout_leave(&fanout, &sockets[c], name(r));
            member[c][r] = false;
        }
        check(member);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_room_is_there_while_somebody_is_in_it),
        TEST(test_rooms_of_two_namespaces_are_two),
        TEST(test_any_sequence_agrees_with_a_matrix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
