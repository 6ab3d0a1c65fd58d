/* tests/unit/test_selector.c — broker/selector: rooms as an address, now and at a seq; and what a
 * session owes (broker/session). */
#include "broker/selector.h"

#include "common/limits.h"
#include "proto/attachments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define NSP RP_BYTES_LIT("/")

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
    assert_int_equal(rooms.map.count, 0);
    rp_rooms_done(&rooms);
    return 0;
}

static struct rp_session *add(uint64_t id) {
    uint8_t hash[RP_PID_HASH_LEN] = {(uint8_t) id};
    return rp_sessions_add(&sessions, id, NSP, RP_BYTES_LIT("sid"), rp_bytes(hash, sizeof hash));
}

static void join(struct rp_session *s, const char *room, uint64_t seq) {
    rp_session_join(&sessions, s, rp_rooms_get(&rooms, NSP, rp_bytes_str(room)), seq, 0);
}

static void leave(struct rp_session *s, const char *room, uint64_t seq) {
    const struct rp_room *r = rp_rooms_find(&rooms, NSP, rp_bytes_str(room));
    rp_session_leave(s, rp_session_membership(s, r), seq);
}

/* "b c" as a packed list; "." is the empty name. */
static void pack(struct rp_buf *ret_list, const char *words) {
    rp_buf_init(ret_list, 4096);
    while (*words != '\0') {
        size_t len = strcspn(words, " ");
        struct rp_bytes name = rp_bytes(words, *words == '.' ? 0 : len);
        assert_int_equal(rp_attachments_put(ret_list, name), RP_OK);
        words += len + (words[len] == ' ');
    }
}

/* ---- lists of names ---- */

static void test_names_come_one_by_one(void **state) {
    (void) state;
    struct rp_buf packed;
    pack(&packed, "first . third");
    struct rp_bytes list = rp_buf_bytes(&packed), cut = list, name;
    assert_true(rp_names_next(&list, &name) && rp_bytes_eq_str(name, "first"));
    assert_true(rp_names_next(&list, &name) && name.len == 0);
    assert_true(rp_names_next(&list, &name) && rp_bytes_eq_str(name, "third"));
    assert_false(rp_names_next(&list, &name));
    assert_false(rp_names_next(&list, &name));
    cut.len -= 1; /* cut off: what is whole counts, and it ends */
    assert_true(rp_names_next(&cut, &name) && rp_names_next(&cut, &name));
    assert_false(rp_names_next(&cut, &name));
    assert_false(rp_names_next(&cut, &name));
    rp_buf_done(&packed);
}

/* ---- at a seq ---- */

struct at_seq {
    uint64_t seq;
    bool had, excepted;
};

static void assert_at(const struct rp_session *s, const char *room, const char *further,
                      const char *except, const struct at_seq *table, size_t count) {
    struct rp_buf rooms_list, except_list;
    pack(&rooms_list, further);
    pack(&except_list, except);
    struct rp_selector selector = {.nsp = NSP,
                                   .room = rp_bytes_str(room),
                                   .rooms = rp_buf_bytes(&rooms_list),
                                   .except = rp_buf_bytes(&except_list)};
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(rp_selector_had(&rooms, &selector, s, table[i].seq), table[i].had);
        assert_int_equal(rp_selector_excepted(&rooms, &selector, s, table[i].seq),
                         table[i].excepted);
    }
    rp_buf_done(&rooms_list);
    rp_buf_done(&except_list);
}

/* in a from 10 to 20 and from 30 on, in b from 15 to 25, in q from 18 to 35 */
static struct rp_session *with_a_past(void) {
    struct rp_session *s = add(1);
    join(s, "a", 10);
    join(s, "b", 15);
    join(s, "q", 18);
    leave(s, "a", 20);
    leave(s, "b", 25);
    join(s, "a", 30);
    leave(s, "q", 35);
    return s;
}

static void test_memberships_count_as_of_the_seq(void **state) {
    (void) state;
    const struct rp_session *s = with_a_past();
    static const struct at_seq only_a[] = {
        {5, false, false}, {12, true, false}, {22, false, false}, {40, true, false}};
    assert_at(s, "a", "", "", only_a, COUNT(only_a));
    static const struct at_seq both[] = {
        {5, false, false}, {12, true, false}, {22, true, false}, {27, false, false}};
    assert_at(s, "a", "b", "", both, COUNT(both));
    assert_at(s, "nowhere", "a b a", "nowhere", both, COUNT(both));
    static const struct at_seq but_q[] = {{12, true, false}, {17, true, false}, {19, false, true},
                                          {22, false, true}, {27, false, true}, {33, false, true},
                                          {36, true, false}};
    assert_at(s, "a", "b", "q", but_q, COUNT(but_q));
    assert_at(s, "a", "b", "z q", but_q, COUNT(but_q));
    static const struct at_seq but_itself[] = {{12, false, true}, {22, false, false}};
    assert_at(s, "a", "", "a", but_itself, COUNT(but_itself));
}

/* ---- now ---- */

static void assert_selected(const char *room, const char *further, const char *except,
                            const char *expected) {
    struct rp_buf rooms_list, except_list;
    pack(&rooms_list, further);
    pack(&except_list, except);
    struct rp_selector selector = {.nsp = NSP,
                                   .room = rp_bytes_str(room),
                                   .rooms = rp_buf_bytes(&rooms_list),
                                   .except = rp_buf_bytes(&except_list)};
    size_t count;
    struct rp_session **found = rp_selector_sessions(&rooms, &selector, &count);
    bool seen[10] = {false};
    for (size_t i = 0; i < count; i++) {
        assert_false(seen[found[i]->id]); /* each once */
        seen[found[i]->id] = true;
    }
    char text[10] = "", *at = text;
    for (int id = 0; id < 10; id++) {
        if (seen[id]) {
            *at++ = (char) ('0' + id);
        }
    }
    *at = '\0';
    assert_string_equal(text, expected);
    free(found);
    rp_buf_done(&rooms_list);
    rp_buf_done(&except_list);
}

static void test_each_session_is_selected_once(void **state) {
    (void) state;
    static const char *const places[] = {"", "ab", "a", "b", "abq", "q"};
    for (uint64_t id = 1; id < COUNT(places); id++) {
        struct rp_session *s = add(id);
        join(s, "", id);
        for (const char *room = places[id]; *room != '\0'; room++) {
            join(s, (char[]){*room, '\0'}, id);
        }
    }
    static const struct {
        const char *room, *rooms, *except, *expected;
    } table[] = {
        {"a", "", "", "124"},      {"a", "b", "", "1234"},      {"a", "b a", "", "1234"},
        {"a", "b", "q", "123"},    {"", "", "", "12345"},       {"", "a b q", "", "12345"},
        {"", "", "a", "35"},       {"", "", "a b", "5"},        {"", "", ".", ""},
        {"none", "", "", ""},      {"none", "q", "none", "45"}, {"a", "", "b q", "2"},
        {"none", "none", "a", ""}, {"b", ".", "q none", "123"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_selected(table[i].room, table[i].rooms, table[i].except, table[i].expected);
    }
}

static void test_who_left_is_not_selected(void **state) {
    (void) state;
    with_a_past();
    assert_selected("a", "", "", "1");
    assert_selected("a", "", "q", "1");
    assert_selected("b", "", "", "");
    assert_selected("b", "q", "", "");
}

/* Of another namespace the rooms of the same name. */
static void test_namespaces_are_kept_apart(void **state) {
    (void) state;
    join(add(1), "a", 1);
    struct rp_selector selector = {.nsp = RP_BYTES_LIT("/other"), .room = RP_BYTES_LIT("a")};
    size_t count;
    struct rp_session **found = rp_selector_sessions(&rooms, &selector, &count);
    assert_int_equal(count, 0);
    free(found);
}

/* ---- what is owed ---- */

static void owe(struct rp_session *s, uint64_t seq) {
    assert_true(rp_session_owe(s, &(struct rp_owed){.seq = seq, .origin = 7, .num = seq + 100}));
}

static void test_what_is_owed_is_known_until_it_is_paid(void **state) {
    (void) state;
    struct rp_session *s = add(1);
    assert_null(rp_session_owes(s, 5)); /* no session of a worker's namespace */
    rp_session_pay(s, 5);
    rp_session_make_app(s);
    assert_null(rp_session_owes(s, 5));
    assert_null(rp_session_owes(s, 0));
    assert_int_equal(rp_session_owed_after(s, 0), 0);
    for (uint64_t seq = 10; seq <= 50; seq += 10) {
        owe(s, seq);
    }
    assert_int_equal(rp_session_owes(s, 30)->num, 130);
    assert_int_equal(rp_session_owes(s, 30)->origin, 7);
    assert_null(rp_session_owes(s, 31));
    assert_null(rp_session_owes(s, UINT64_MAX));
    assert_int_equal(rp_session_owed_after(s, 0), 0);
    assert_int_equal(rp_session_owed_after(s, 10), 1);
    assert_int_equal(rp_session_owed_after(s, 49), 4);
    assert_int_equal(rp_session_owed_after(s, 50), 5);
    rp_session_pay(s, 30);
    rp_session_pay(s, 30); /* a second ack */
    rp_session_pay(s, 31);
    assert_null(rp_session_owes(s, 30));
    assert_int_equal(s->app->owed_count, 4);
    rp_session_pay(s, 10);
    rp_session_pay(s, 50);
    assert_int_equal(s->app->owed_count, 2);
    assert_int_equal(rp_session_owes(s, 20)->num, 120);
    assert_int_equal(rp_session_owes(s, 40)->num, 140);
    owe(s, 50);
    assert_non_null(rp_session_owes(s, 50));
}

static void test_past_the_bound_the_oldest_is_forgotten(void **state) {
    (void) state;
    struct rp_session *s = add(1);
    rp_session_make_app(s);
    for (uint64_t seq = 1; seq <= RP_SESSION_UNACKED_MAX; seq++) {
        owe(s, seq);
    }
    assert_non_null(rp_session_owes(s, 1));
    assert_false(rp_session_owe(s, &(struct rp_owed){.seq = 10000}));
    assert_null(rp_session_owes(s, 1));
    assert_non_null(rp_session_owes(s, 2));
    assert_non_null(rp_session_owes(s, 10000));
    assert_int_equal(s->app->owed_count, RP_SESSION_UNACKED_MAX);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_names_come_one_by_one),
        TEST(test_memberships_count_as_of_the_seq),
        TEST(test_each_session_is_selected_once),
        TEST(test_who_left_is_not_selected),
        TEST(test_namespaces_are_kept_apart),
        TEST(test_what_is_owed_is_known_until_it_is_paid),
        TEST(test_past_the_bound_the_oldest_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
