/* tests/unit/test_sdk_dispatch.c — what the application's handlers are told, in which order, and
 * what they may say. */
#include "tests/unit/sdk_router.h"

static char word[64]; /* what a handler adds to its note */

static void note_socket(struct reprise_socket *s, void *user) {
    note("%s %s;", (const char *) user, reprise_socket_id(s));
}

static void note_reason(struct reprise_socket *s, const char *reason, void *user) {
    note("%s %s %s rooms=%zu;", (const char *) user, reprise_socket_id(s), reason,
         reprise_socket_rooms_count(s));
}

static void note_event(struct reprise_socket *s, struct reprise_event *e, void *user) {
    note("%s %s %s ", (const char *) user, reprise_socket_id(s), reprise_event_name(e));
    note_value(reprise_event_args(e));
    note(";");
}

static void note_expired(struct reprise_nsp *n, const char *nsp_name, const char *sid,
                         struct reprise_value data, void *user) {
    (void) n;
    (void) user;
    note("expired %s %s ", nsp_name, sid);
    note_value(data);
    note(";");
}

static void *text(const char *literal) {
    return (void *) (uintptr_t) literal;
}

static void test_a_sockets_life(void **state) {
    (void) state;
    reprise_on_connection(stage.n, note_socket, text("connection"));
    reprise_on_adopted(stage.n, note_socket, text("adopted"));
    reprise_on_released(stage.n, note_socket, text("released"));
    reprise_on_disconnecting(stage.n, note_reason, text("disconnecting"));
    reprise_on_disconnect(stage.n, note_reason, text("disconnect"));
    reprise_on_session_expired(stage.n, note_expired, NULL);
    connect_socket(5, "s5");
    SAY(MEMBER, member, .seq = 101, .conn = 5, .joined = 1, .room = B("r"));
    SAY(LEFT, left, .session = 5, .conn = 5, .nsp = B("/"), .sid = B("s5"),
        .reason = B("ping timeout"));
    SAY(LEFT, left, .session = 5, .conn = 5, .ended = 1, .expired = 1, .nsp = B("/"),
        .sid = B("s5"), .data = B("{\"a\":1}"));
    SAY(SOCKET, socket, .session = 6, .conn = 6, .why = RP_OP_SOCKET_ADOPTED, .nsp = B("/"),
        .sid = B("s6"));
    SAY(RELEASE, release, .session = 6);
    expect("connection s5;disconnecting s5 ping timeout rooms=2;"
           "disconnect s5 ping timeout rooms=0;expired / s5 {\"a\":1};"
           "adopted s6;released s6;");
}

static void look_at_socket(struct reprise_socket *s, void *user) {
    (void) user;
    struct reprise_value h = reprise_socket_handshake(s);
    assert_string_equal(reprise_socket_nsp_name(s), "/");
    assert_ptr_equal(reprise_socket_nsp(s), stage.n);
    assert_true(reprise_socket_connected(s));
    assert_true(reprise_socket_in_room(s, "s5"));
    assert_false(reprise_socket_in_room(s, ""));
    assert_string_equal(reprise_socket_room(s, 0), "s5");
    assert_null(reprise_socket_room(s, 1));
    assert_true(reprise_value_is(reprise_handshake_header(h, "User-Agent"), "ua"));
    assert_true(reprise_value_is(reprise_handshake_address(h), "1.2.3.4"));
    assert_true(reprise_value_is(reprise_handshake_query(h, "q"), "1"));
    assert_true(reprise_value_is(reprise_value_get(reprise_handshake_auth(h), "token"), "t"));
    assert_int_equal(reprise_handshake_issued_ms(h), 7);
    assert_int_equal(reprise_value_type(reprise_handshake_header(h, "x")), REPRISE_ABSENT);
    assert_int_equal(reprise_value_type(reprise_socket_data(s)), REPRISE_NULL);
    assert_int_equal(reprise_socket_set_data(s, reprise_args("{n:i}", 3)), REPRISE_OK);
    assert_int_equal(reprise_value_int64_or(reprise_value_get(reprise_socket_data(s), "n"), 0), 3);
    const char *const rooms[] = {"a", "b"};
    assert_int_equal(reprise_socket_join_all(s, rooms, 2), REPRISE_OK);
    assert_int_equal(reprise_socket_leave(s, "a"), REPRISE_OK);
    assert_true(reprise_socket_in_room(s, "b"));
    assert_int_equal(reprise_socket_join(s, ""), REPRISE_E_INVALID);
    assert_int_equal(reprise_socket_set_data(s, reprise_args("B", "x", (size_t) 1)),
                     REPRISE_E_INVALID);
    note("ok");
}

static void test_what_a_socket_knows(void **state) {
    (void) state;
    reprise_on_connection(stage.n, look_at_socket, NULL);
    connect_socket(5, "s5");
    expect("ok");
    assert_true(rp_bytes_eq(heard(RP_OP_DATA)->data.json, B("{\"n\":3}")));
    assert_true(rp_bytes_eq(heard(RP_OP_MOVE)->move.target, B("a")));
    assert_true(rp_bytes_eq(heard(RP_OP_MOVE)->move.target, B("b")));
    assert_int_equal(heard(RP_OP_MOVE)->move.leave, 1);
}

static void destroy(void *user) {
    note("destroyed %s;", (const char *) user);
}

static void give_user(struct reprise_socket *s, void *user) {
    (void) user;
    reprise_socket_set_user(s, text("first"), destroy);
    reprise_socket_set_user(s, text("second"), destroy);
}

static void test_user_pointers_are_destroyed(void **state) {
    reprise_on_connection(stage.n, give_user, NULL);
    reprise_on_disconnect(stage.n, note_reason, text("disconnect"));
    connect_socket(5, "s5");
    connect_socket(6, "s6");
    connect_socket(7, "s7");
    SAY(LEFT, left, .session = 5, .conn = 5, .reason = B("x"));
    SAY(RELEASE, release, .session = 6);
    expect("destroyed first;destroyed first;destroyed first;disconnect s5 x rooms=0;"
           "destroyed second;destroyed second;");
    stage_teardown(state);
    assert_string_equal(stage.happened, "destroyed second;");
    stage_setup(state);
}

/* ---- events ---- */

static void ack_with_word(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) s;
    assert_true(reprise_event_wants_ack(e));
    assert_int_equal(reprise_event_ack(e, reprise_args("s", (const char *) user)), REPRISE_OK);
    assert_int_equal(reprise_event_ack(e, NULL), REPRISE_E_GONE);
}

static void test_events_and_their_handlers(void **state) {
    (void) state;
    reprise_on_event(stage.n, "hi", note_event, text("first"));
    reprise_on_event(stage.n, "hi", ack_with_word, text("acked"));
    reprise_on_event(stage.n, "hi", note_event, text("second"));
    reprise_on_any(stage.n, note_event, text("any"));
    reprise_prepend_any(stage.n, note_event, text("before"));
    connect_socket(5, "s5");
    invoke(1, 5, "hi", "[1]");
    invoke(2, 5, "other", "[]");
    expect("before s5 hi [1];any s5 hi [1];first s5 hi [1];second s5 hi [1];"
           "before s5 other [];any s5 other [];");
    const struct rp_op *op = heard(RP_OP_DECIDED);
    assert_true(rp_bytes_eq(op->decided.args, B("[\"acked\"]")));
    op = heard(RP_OP_DECIDED);
    assert_int_equal(op->decided.num, 2);
    assert_int_equal(op->decided.verdict, RP_OP_YES);
    assert_int_equal(op->decided.args.len, 0);
    reprise_off_any(stage.n, note_event, text("nobody"));
    assert_int_equal(reprise_off_event(stage.n, "hi", ack_with_word, text("x")), REPRISE_E_INVALID);
}

static void off_itself(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) s;
    (void) e;
    (void) user;
    note("once;");
    assert_int_equal(reprise_off_event(stage.n, "hi", off_itself, NULL), REPRISE_OK);
    assert_int_equal(reprise_on_event(stage.n, "hi", note_event, text("new")), REPRISE_OK);
}

static void test_handlers_change_while_they_are_called(void **state) {
    (void) state;
    reprise_on_event(stage.n, "hi", off_itself, NULL);
    reprise_on_event(stage.n, "hi", note_event, text("old"));
    connect_socket(5, "s5");
    invoke(1, 5, "hi", "[1]");
    expect("once;old s5 hi [1];");
    invoke(2, 5, "hi", "[2]");
    expect("old s5 hi [2];new s5 hi [2];");
}

static void test_a_name_with_nul_is_another_name(void **state) {
    (void) state;
    reprise_on_event(stage.n, "hi", note_event, text("hi"));
    reprise_on_any(stage.n, note_event, text("any"));
    connect_socket(5, "s5");
    SAY(INVOKE, invoke, .origin = 77, .num = 1, .session = 5, .name = B("hi\0there"),
        .args = B("[]"));
    expect("any s5 hi [];");
}

static const char *refuse_bad(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) s;
    (void) user;
    note("asked;");
    return reprise_value_is(reprise_event_arg(e, 0), "bad") ? "no bad words" : NULL;
}

static void note_error(struct reprise_socket *s, const char *message, void *user) {
    (void) user;
    note("error %s %s;", reprise_socket_id(s), message);
}

static void test_middlewares_of_events(void **state) {
    (void) state;
    reprise_use_event(stage.n, refuse_bad, NULL);
    reprise_on_error(stage.n, note_error, NULL);
    reprise_on_event(stage.n, "say", note_event, text("say"));
    connect_socket(5, "s5");
    invoke(1, 5, "say", "[\"bad\"]");
    invoke(2, 5, "say", "[\"good\"]");
    expect("asked;error s5 no bad words;asked;say s5 say [\"good\"];");
    assert_int_equal(heard(RP_OP_DECIDED)->decided.num, 1);
    assert_int_equal(heard(RP_OP_DECIDED)->decided.num, 2);
}

static struct reprise_event *kept;

static void keep(struct reprise_socket *s, struct reprise_event *e, void *user) {
    (void) s;
    (void) user;
    assert_int_equal(reprise_event_keep(e), REPRISE_OK);
    assert_int_equal(reprise_event_keep(e), REPRISE_E_INVALID);
    kept = e;
    note("kept;");
}

static void test_an_event_is_answered_later(void **state) {
    (void) state;
    reprise_on_event(stage.n, "slow", keep, NULL);
    reprise_on_event(stage.n, "quick", note_event, text("quick"));
    connect_socket(5, "s5");
    SAY(INVOKE, invoke, .origin = 77, .num = 1, .session = 5, .wants_ack = 1, .again = 1,
        .name = B("slow"), .args = B("[{\"_placeholder\":true,\"num\":0}]"),
        .attachments = B("\0\0\0\2xy"));
    invoke(2, 5, "quick", "[]");
    expect("kept;quick s5 quick [];");
    assert_int_equal(heard(RP_OP_DECIDED)->decided.num, 2);
    struct reprise_bytes bytes;
    assert_true(reprise_event_redelivered(kept));
    assert_string_equal(reprise_event_name(kept), "slow");
    assert_int_equal(reprise_event_argc(kept), 1);
    assert_int_equal(reprise_value_binary(reprise_event_arg(kept, 0), &bytes), REPRISE_OK);
    assert_memory_equal(bytes.data, "xy", 2);
    assert_int_equal(reprise_event_ack(kept, reprise_args("B", "z", (size_t) 1)), REPRISE_OK);
    reprise_event_done(kept);
    const struct rp_op *op = heard(RP_OP_DECIDED);
    assert_int_equal(op->decided.num, 1);
    assert_int_equal(op->decided.attachments.len, 5);
    invoke(3, 5, "slow", "[]");
    expect("kept;");
    reprise_event_done(kept); /* without an ack */
    assert_int_equal(heard(RP_OP_DECIDED)->decided.args.len, 0);
}

/* ---- who may connect ---- */

static struct reprise_admission *waiting;

static void say_next(struct reprise_admission *a, void *user) {
    note("%s %s;", (const char *) user, reprise_admission_sid(a));
    assert_int_equal(reprise_admission_next(a), REPRISE_OK);
}

static void let_wait(struct reprise_admission *a, void *user) {
    (void) user;
    note("waits recovers=%d;", reprise_admission_recovers(a));
    waiting = a;
}

static void admit(uint64_t num) {
    SAY(ADMIT, admit, .origin = 77, .num = num, .session = num == 3 ? 9 : 0, .nsp = B("/"),
        .sid = B("s9"), .handshake = B("{\"auth\":{\"token\":\"x\"}}"));
}

static void test_middlewares_of_connections(void **state) {
    (void) state;
    admit(1);
    assert_int_equal(heard(RP_OP_DECIDED)->decided.verdict, RP_OP_YES); /* nobody is asked */
    reprise_use(stage.n, say_next, text("one"));
    reprise_use(stage.n, let_wait, NULL);
    reprise_use(stage.n, say_next, text("three"));
    admit(2);
    expect("one s9;waits recovers=0;");
    assert_string_equal(reprise_admission_nsp_name(waiting), "/");
    assert_true(reprise_value_is(
        reprise_value_get(reprise_handshake_auth(reprise_admission_handshake(waiting)), "token"),
        "x"));
    assert_int_equal(reprise_admission_next(waiting), REPRISE_OK);
    expect("three s9;");
    assert_int_equal(heard(RP_OP_DECIDED)->decided.verdict, RP_OP_YES);
    admit(3);
    expect("one s9;waits recovers=1;");
    assert_int_equal(reprise_admission_refuse(waiting, "not you", reprise_args("{code:i}", 401)),
                     REPRISE_OK);
    const struct rp_op *op = heard(RP_OP_DECIDED);
    assert_int_equal(op->decided.verdict, RP_OP_NO);
    assert_true(rp_bytes_eq(op->decided.message, B("not you")));
    assert_true(rp_bytes_eq(op->decided.args, B("{\"code\":401}")));
    admit(4);
    expect("one s9;waits recovers=0;");
    assert_int_equal(reprise_admission_refuse(waiting, "no", reprise_args("B", "x", (size_t) 1)),
                     REPRISE_E_INVALID);
    op = heard(RP_OP_DECIDED);
    assert_int_equal(op->decided.verdict, RP_OP_NO); /* all the same */
    assert_int_equal(op->decided.args.len, 0);
    admit(5);
    expect("one s9;waits recovers=0;");
    char *large = rp_alloc(RP_DECISION_BYTES_MAX + 1);
    memset(large, 'x', RP_DECISION_BYTES_MAX);
    assert_int_equal(reprise_admission_refuse(waiting, "\xff", reprise_args("s", large)),
                     REPRISE_E_FULL);
    free(large);
    op = heard(RP_OP_DECIDED);
    assert_int_equal(op->decided.verdict, RP_OP_NO);
    assert_int_equal(op->decided.args.len, 0);
    assert_true(rp_bytes_eq(op->decided.message, B("refused")));
}

/* ---- room events ---- */

static struct reprise_check *asked;

static void on_room_event(struct reprise_socket *s, struct reprise_check *k, void *user) {
    (void) user;
    note("%s %d %s %s ", reprise_socket_id(s), reprise_check_what(k), reprise_check_room(k),
         reprise_check_name(k));
    note_value(reprise_check_args(k));
    note(";");
    if (strcmp(reprise_check_room(k), "later") == 0) {
        asked = k;
    } else if (strcmp(reprise_check_room(k), "open") == 0) {
        reprise_check_allow(k);
    } else {
        reprise_check_deny(k, "not_invited", "ask first");
    }
}

static void check(uint64_t num, struct rp_bytes room) {
    SAY(CHECK, check, .origin = 77, .num = num, .session = 5, .what = RP_OP_CHECK_PUBLISH,
        .room = room, .name = B("n"), .args = B("[1]"));
}

static void test_room_events_ask(void **state) {
    (void) state;
    connect_socket(5, "s5");
    check(1, B("open"));
    assert_int_equal(heard(RP_OP_DECIDED)->decided.verdict, RP_OP_YES); /* no handler */
    reprise_on_room_event(stage.n, on_room_event, NULL);
    check(2, B("open"));
    assert_int_equal(heard(RP_OP_DECIDED)->decided.verdict, RP_OP_YES);
    check(3, B("secret"));
    const struct rp_op *op = heard(RP_OP_DECIDED);
    assert_int_equal(op->decided.verdict, RP_OP_NO);
    assert_true(rp_bytes_eq(op->decided.code, B("not_invited")));
    check(4, B("open\0x")); /* would look like another */
    op = heard(RP_OP_DECIDED);
    assert_int_equal(op->decided.verdict, RP_OP_NO);
    assert_true(rp_bytes_eq(op->decided.code, B("bad_room")));
    check(5, B("later"));
    expect("s5 3 open n [1];s5 3 secret n [1];s5 3 later n [1];");
    assert_int_equal(reprise_check_allow(asked), REPRISE_OK);
    assert_int_equal(heard(RP_OP_DECIDED)->decided.num, 5);
    check(6, B("later"));
    expect("s5 3 later n [1];");
    assert_int_equal(reprise_check_deny(asked, "\xfe", "\xff"), REPRISE_OK);
    op = heard(RP_OP_DECIDED);
    assert_true(rp_bytes_eq(op->decided.code, B("forbidden"))); /* nothing that breaks a client */
    assert_true(rp_bytes_eq(op->decided.message, B("not allowed")));
}

/* ---- other workers ---- */

static void on_side(struct reprise_nsp *n, struct reprise_event *e, void *user) {
    (void) n;
    (void) user;
    assert_null(reprise_event_socket(e));
    note("side ");
    note_value(reprise_event_args(e));
    if (reprise_value_is(reprise_event_arg(e, 0), "ack")) {
        reprise_event_ack(e, reprise_args("i", 7));
    }
}

static void test_events_of_other_workers(void **state) {
    (void) state;
    reprise_on_server_side(stage.n, "ask", on_side, NULL);
    SAY(SIDE_EVENT, side_event, .id = 1, .wants_ack = 1, .nsp = B("/"), .name = B("ask"),
        .args = B("[\"ack\"]"));
    const struct rp_op *op = heard(RP_OP_SIDE_ANSWER);
    assert_true(rp_bytes_eq(op->side_answer.args, B("[7]")));
    SAY(SIDE_EVENT, side_event, .id = 2, .wants_ack = 1, .nsp = B("/"), .name = B("ask"),
        .args = B("[1]"));
    SAY(SIDE_EVENT, side_event, .id = 3, .wants_ack = 1, .nsp = B("/"), .name = B("ask"),
        .args = B("[\"ack\"]"));
    assert_int_equal(heard(RP_OP_SIDE_ANSWER)->side_answer.id,
                     3); /* 2 has none: it was not acked */
    expect("side [\"ack\"]side [1]side [\"ack\"]");
    struct reprise_nsp *pattern = reprise_of_pattern(stage.c, "/room-*");
    reprise_on_server_side(pattern, "ask", on_side, NULL);
    link_up();
    SAY(SIDE_EVENT, side_event, .id = 4, .nsp = B("/room-*"), .name = B("ask"), .args = B("[4]"));
    expect("side [4]");
}

/* ---- misuse ---- */

static void test_nothing_is_answered_with_an_error(void **state) {
    (void) state;
    assert_null(reprise_of(NULL, "/"));
    assert_null(reprise_of(stage.c, "x"));
    assert_string_not_equal(reprise_last_error(stage.c), "");
    assert_ptr_equal(reprise_of(stage.c, "/"), stage.n);
    assert_int_equal(reprise_on_connection(NULL, note_socket, NULL), REPRISE_E_INVALID);
    assert_int_equal(reprise_on_connection(stage.n, NULL, NULL), REPRISE_E_INVALID);
    assert_int_equal(reprise_on_event(stage.n, "", note_event, NULL), REPRISE_E_INVALID);
    assert_int_equal(reprise_on_event(stage.n, NULL, note_event, NULL), REPRISE_E_INVALID);
    assert_int_equal(reprise_socket_emit(NULL, "e", reprise_args("i", 1)), REPRISE_E_INVALID);
    assert_int_equal(reprise_target_emit(NULL, "e", NULL), REPRISE_E_INVALID);
    assert_int_equal(reprise_target_emit(reprise_to(NULL, "r"), "e", NULL), REPRISE_E_INVALID);
    assert_int_equal(reprise_event_ack(NULL, NULL), REPRISE_E_INVALID);
    assert_int_equal(reprise_check_allow(NULL), REPRISE_E_INVALID);
    assert_int_equal(reprise_admission_next(NULL), REPRISE_E_INVALID);
    assert_int_equal(reprise_nsp_rooms(stage.n, (enum reprise_rooms) 9), REPRISE_E_INVALID);
    assert_string_equal(reprise_socket_id(NULL), "");
    assert_null(reprise_socket_ref(NULL));
    reprise_socket_unref(NULL);
    reprise_event_done(NULL);
    reprise_target_free(NULL);
    reprise_context_close(NULL, 0);
    snprintf(word, sizeof word, "%s", reprise_version());
    assert_string_equal(word, REPRISE_VERSION);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_sockets_life),
        TEST(test_what_a_socket_knows),
        TEST(test_user_pointers_are_destroyed),
        TEST(test_events_and_their_handlers),
        TEST(test_handlers_change_while_they_are_called),
        TEST(test_a_name_with_nul_is_another_name),
        TEST(test_middlewares_of_events),
        TEST(test_an_event_is_answered_later),
        TEST(test_middlewares_of_connections),
        TEST(test_room_events_ask),
        TEST(test_events_of_other_workers),
        TEST(test_nothing_is_answered_with_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
