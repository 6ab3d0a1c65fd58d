/* tests/unit/test_fanout.c — gateway/fanout: rooms and their members on one gateway. */
#include "gateway/fanout.h"

#include "common/rng.h"
#include "gateway/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CLIENTS = 12, ROOMS = 9 };

static struct rp_fanout fanout;
static struct rp_client clients[CLIENTS];

static int setup(void **state) {
    (void) state;
    memset(clients, 0, sizeof clients);
    rp_fanout_init(&fanout, (struct rp_hash_key){1, 2});
    return 0;
}

static int teardown(void **state) {
    (void) state;
    for (size_t i = 0; i < CLIENTS; i++) {
        rp_fanout_leave_all(&fanout, &clients[i]);
    }
    rp_fanout_done(&fanout);
    return 0;
}

static struct rp_bytes name(size_t room) {
    static const char names[ROOMS][3] = {"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8"};
    return rp_bytes(names[room], 2);
}

static bool is_member(size_t room, const struct rp_client *client) {
    const struct rp_fanout_room *found = rp_fanout_find(&fanout, name(room));
    size_t times = 0;
    for (size_t i = 0; found != NULL && i < found->count; i++) {
        times += found->members[i].client == client;
    }
    assert_true(times <= 1);
    return times == 1;
}

static void test_a_room_is_there_while_somebody_is_in_it(void **state) {
    (void) state;
    assert_null(rp_fanout_find(&fanout, name(0)));
    rp_fanout_leave(&fanout, &clients[0], name(0)); /* not in it: fine */
    rp_fanout_join(&fanout, &clients[0], name(0));
    rp_fanout_join(&fanout, &clients[0], name(0)); /* twice: fine */
    rp_fanout_join(&fanout, &clients[1], name(0));
    assert_int_equal(rp_fanout_find(&fanout, name(0))->count, 2);
    assert_int_equal(clients[0].rooms.count, 1);
    rp_fanout_leave(&fanout, &clients[0], name(0));
    rp_fanout_leave(&fanout, &clients[0], name(0));
    rp_fanout_leave(&fanout, &clients[2], name(0)); /* a stranger */
    assert_int_equal(rp_fanout_find(&fanout, name(0))->count, 1);
    rp_fanout_leave(&fanout, &clients[1], name(0));
    assert_null(rp_fanout_find(&fanout, name(0)));
    assert_int_equal(fanout.rooms.count, 0);
}

/* The two tables point into each other; after any sequence they must agree with a plain matrix. */
static void check(bool member[CLIENTS][ROOMS]) {
    size_t rooms = 0;
    for (size_t r = 0; r < ROOMS; r++) {
        const struct rp_fanout_room *room = rp_fanout_find(&fanout, name(r));
        size_t count = 0;
        for (size_t c = 0; c < CLIENTS; c++) {
            assert_int_equal(is_member(r, &clients[c]), member[c][r]);
            count += member[c][r];
        }
        assert_int_equal(room != NULL, count > 0);
        assert_true(room == NULL || room->count == count);
        rooms += count > 0;
        for (size_t i = 0; i < count; i++) {
            const struct rp_fanout_member *m = &room->members[i];
            assert_ptr_equal(m->client->rooms.slots[m->slot].room, room);
            assert_int_equal(m->client->rooms.slots[m->slot].index, i);
        }
    }
    assert_int_equal(fanout.rooms.count, rooms);
    for (size_t c = 0; c < CLIENTS; c++) {
        size_t count = 0;
        for (size_t r = 0; r < ROOMS; r++) {
            count += member[c][r];
        }
        assert_int_equal(clients[c].rooms.count, count);
    }
}

static void test_any_sequence_agrees_with_a_matrix(void **state) {
    (void) state;
    bool member[CLIENTS][ROOMS] = {{false}};
    struct rp_rng rng = {42};
    for (int i = 0; i < 5000; i++) {
        size_t c = rp_rng_below(&rng, CLIENTS), r = rp_rng_below(&rng, ROOMS);
        uint64_t what = rp_rng_below(&rng, 20);
        if (what == 0) {
            rp_fanout_leave_all(&fanout, &clients[c]);
            memset(member[c], 0, sizeof member[c]);
        } else if (what < 11) {
            rp_fanout_join(&fanout, &clients[c], name(r));
            member[c][r] = true;
        } else {
            rp_fanout_leave(&fanout, &clients[c], name(r));
            member[c][r] = false;
        }
        check(member);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_room_is_there_while_somebody_is_in_it),
        TEST(test_any_sequence_agrees_with_a_matrix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
