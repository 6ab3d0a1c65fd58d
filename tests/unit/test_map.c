/* tests/unit/test_map.c — common/map, common/list, common/rng: tables, lists and numbers that never
 * lose one. */
#include "common/map.h"

#include "common/alloc.h"
#include "common/list.h"
#include "common/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

struct thing {
    struct rp_map_node node;
    struct rp_list link;
    uint64_t key;
    unsigned seen;
};

static struct thing *find(const struct rp_map *m, uint64_t key, uint64_t hash) {
    for (struct rp_map_node *n = rp_map_first(m, hash); n != NULL; n = rp_map_next(n, hash)) {
        struct thing *thing = RP_CONTAINER_OF(n, struct thing, node);
        if (thing->key == key) {
            return thing;
        }
    }
    return NULL;
}

/* ---- maps ---- */

static void test_empty_map_finds_nothing(void **state) {
    (void) state;
    struct rp_map m = {0};
    struct rp_map_iter it = {0};
    assert_null(rp_map_first(&m, 7));
    assert_null(rp_map_each(&m, &it));
    rp_map_done(&m);
    assert_int_equal(m.count, 0);
}

/* Hashes a few times fewer than keys, so that every chain holds strangers and namesakes. */
static uint64_t poor_hash(uint64_t key) {
    return key % 613 * 0x10001;
}

static void test_everything_added_is_found_until_removed(void **state) {
    (void) state;
    enum { THINGS = 5000 };
    struct rp_map m = {0};
    struct thing *things = rp_alloc(THINGS * sizeof *things);
    for (uint64_t i = 0; i < THINGS; i++) {
        things[i].key = i;
        assert_null(find(&m, i, poor_hash(i)));
        rp_map_add(&m, &things[i].node, poor_hash(i));
        assert_int_equal(m.count, i + 1);
    }
    for (uint64_t i = 0; i < THINGS; i++) {
        assert_ptr_equal(find(&m, i, poor_hash(i)), &things[i]);
    }
    for (uint64_t i = 0; i < THINGS; i += 3) {
        rp_map_remove(&m, &things[i].node);
    }
    for (uint64_t i = 0; i < THINGS; i++) {
        assert_ptr_equal(find(&m, i, poor_hash(i)), i % 3 == 0 ? NULL : &things[i]);
    }
    rp_map_done(&m);
    free(things);
}

static void test_iteration_gives_all_and_survives_removal(void **state) {
    (void) state;
    enum { THINGS = 300 };
    struct rp_map m = {0};
    static struct thing things[THINGS];
    for (uint64_t i = 0; i < THINGS; i++) {
        things[i] = (struct thing){.key = i};
        rp_map_add(&m, &things[i].node, poor_hash(i / 4)); /* chains of four and more */
    }
    struct rp_map_iter it = {0};
    struct rp_map_node *n;
    while ((n = rp_map_each(&m, &it)) != NULL) {
        struct thing *thing = RP_CONTAINER_OF(n, struct thing, node);
        thing->seen++;
        if (thing->key % 2 == 0) {
            rp_map_remove(&m, n);
            memset(n, 0xEE, sizeof *n); /* the memory may be another's now */
        }
    }
    assert_int_equal(m.count, THINGS / 2);
    for (uint64_t i = 0; i < THINGS; i++) {
        assert_int_equal(things[i].seen, 1);
    }
    it = (struct rp_map_iter){0};
    size_t left = 0;
    while ((n = rp_map_each(&m, &it)) != NULL) {
        assert_int_equal(RP_CONTAINER_OF(n, struct thing, node)->key % 2, 1);
        left++;
    }
    assert_int_equal(left, THINGS / 2);
    rp_map_done(&m);
}

/* SipHash-1-3 with a zero key, from CPython, whose hash() of bytes it is (PYTHONHASHSEED=0), and
 * with the key 00…0f of the reference's tables. */
static void test_hash_is_siphash_1_3(void **state) {
    (void) state;
    static const struct {
        size_t len;
        uint64_t hash;
    } table[] = {
        {1, 0x68a914128e01e473},  {7, 0x2f098ab0c751325a},  {8, 0xead411e67ebe2eea},
        {9, 0x75927f9d95124362},  {15, 0xf30eb725bb91c9ea}, {16, 0x8972188433a5c5b7},
        {17, 0x4883c49a2c009c1d}, {63, 0x385d3e39e5f37359},
    };
    const struct rp_hash_key zero = {0, 0}, counting = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    uint8_t bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t) i;
    }
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_int_equal(rp_hash_bytes(&zero, rp_bytes(bytes, table[i].len)), table[i].hash);
    }
    assert_int_equal(rp_hash_bytes(&counting, rp_bytes(NULL, 0)), 0xabac0158050fc4dc);
    assert_int_not_equal(rp_hash_bytes(&counting, rp_bytes(bytes, 8)),
                         rp_hash_bytes(&zero, rp_bytes(bytes, 8)));
}

/* ---- lists ---- */

static uint64_t keys_of(struct rp_list *head) {
    uint64_t digits = 0;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(head, it, tmp) {
        digits = digits * 10 + RP_CONTAINER_OF(it, struct thing, link)->key;
    }
    return digits;
}

static void test_list_keeps_order_and_forgets_the_removed(void **state) {
    (void) state;
    struct rp_list head;
    struct thing things[4] = {{.key = 1}, {.key = 2}, {.key = 3}, {.key = 4}};
    rp_list_init(&head);
    assert_true(rp_list_is_empty(&head));
    assert_null(rp_list_first(&head));
    for (size_t i = 0; i < COUNT(things); i++) {
        assert_false(rp_list_is_linked(&things[i].link));
        rp_list_append(&head, &things[i].link);
        assert_true(rp_list_is_linked(&things[i].link));
    }
    assert_int_equal(keys_of(&head), 1234);
    assert_ptr_equal(rp_list_first(&head), &things[0].link);
    rp_list_remove(&things[1].link);
    rp_list_remove(&things[1].link); /* in none: nothing happens */
    assert_false(rp_list_is_linked(&things[1].link));
    assert_int_equal(keys_of(&head), 134);
    rp_list_append(&head, &things[1].link);
    assert_int_equal(keys_of(&head), 1342);
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&head, it, tmp) {
        rp_list_remove(it);
    }
    assert_true(rp_list_is_empty(&head));
}

/* ---- numbers ---- */

/* The published outputs of splitmix64 for the seed 1234567. */
static void test_rng_is_splitmix64(void **state) {
    (void) state;
    struct rp_rng r = {1234567};
    assert_int_equal(rp_rng_next(&r), 6457827717110365317u);
    assert_int_equal(rp_rng_next(&r), 3203168211198807973u);
    assert_int_equal(rp_rng_next(&r), 9817491932198370423u);
    for (int i = 0; i < 1000; i++) {
        assert_true(rp_rng_below(&r, 3) < 3);
        assert_int_equal(rp_rng_below(&r, 1), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_map_finds_nothing),
        cmocka_unit_test(test_everything_added_is_found_until_removed),
        cmocka_unit_test(test_iteration_gives_all_and_survives_removal),
        cmocka_unit_test(test_hash_is_siphash_1_3),
        cmocka_unit_test(test_list_keeps_order_and_forgets_the_removed),
        cmocka_unit_test(test_rng_is_splitmix64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
