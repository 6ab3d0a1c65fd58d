/* tests/unit/test_sdk_target.c — every form of emit as the broker hears it, and what comes back. */
#include "tests/unit/sdk_router.h"

static struct reprise_socket *s5;

static void hold_socket(struct reprise_socket *s, void *user) {
    (void) user;
    s5 = reprise_socket_ref(s);
    note("s5");
}

static int target_setup(void **state) {
    stage_setup(state);
    reprise_on_connection(stage.n, hold_socket, NULL);
    connect_socket(5, "s5");
    expect("s5");
    return 0;
}

static int target_teardown(void **state) {
    reprise_socket_unref(s5);
    return stage_teardown(state);
}

static void *text(const char *literal) {
    return (void *) (uintptr_t) literal;
}

/* "room|further,further|except,except" of what was emitted last. */
static const char *selector(const struct rp_op *op) {
    static char out[1024];
    struct rp_bytes name, rooms = op->emit.rooms, except = op->emit.except;
    int at = snprintf(out, sizeof out, "%.*s|", RP_BYTES_FMT(op->emit.room));
    while (rp_attachments_next(&rooms, &name) == RP_OK) {
        at += snprintf(out + at, sizeof out - (size_t) at, "%.*s,", RP_BYTES_FMT(name));
    }
    at += snprintf(out + at, sizeof out - (size_t) at, "|");
    while (rp_attachments_next(&except, &name) == RP_OK) {
        at += snprintf(out + at, sizeof out - (size_t) at, "%.*s,", RP_BYTES_FMT(name));
    }
    return out;
}

static void test_every_form_of_emit(void **state) {
    (void) state;
    struct reprise_nsp *pattern = reprise_of_pattern(stage.c, "/room-*");
    const struct {
        struct reprise_target *target;
        const char *nsp, *selector, *sid;
        uint64_t flags;
    } forms[] = {
        {reprise_all(stage.n), "/", "||", "", 0},
        {reprise_to(stage.n, "a"), "/", "a||", "", 0},
        {reprise_target_in(reprise_target_to(reprise_to(stage.n, "a"), "b"), "c"), "/", "a|b,c,|",
         "", 0},
        {reprise_except(stage.n, "x"), "/", "||x,", "", 0},
        {reprise_target_except(reprise_target_except(reprise_to(stage.n, "a"), "x"), "y"), "/",
         "a||x,y,", "", 0},
        {reprise_socket_only(s5), "/", "s5||", "", 0},
        {reprise_socket_broadcast(s5), "/", "||s5,", "s5", 0},
        {reprise_socket_to(s5, "a"), "/", "a||s5,", "s5", 0},
        {reprise_target_volatile(reprise_all(stage.n)), "/", "||", "", RP_OP_EMIT_VOLATILE},
        {reprise_all(pattern), "/room-*", "||", "", RP_OP_EMIT_PATTERN},
        {reprise_all_of(stage.c, "/elsewhere"), "/elsewhere", "||", "", 0},
    };
    link_up(); /* for the pattern */
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        assert_int_equal(reprise_target_emit(forms[i].target, "e", reprise_args("i", (int) i)),
                         REPRISE_OK);
        const struct rp_op *op = heard(RP_OP_EMIT);
        char args[16];
        snprintf(args, sizeof args, "[%zu]", i);
        assert_string_equal(selector(op), forms[i].selector);
        assert_true(rp_bytes_eq_str(op->emit.nsp, forms[i].nsp));
        assert_true(rp_bytes_eq_str(op->emit.sid, forms[i].sid));
        assert_true(rp_bytes_eq_str(op->emit.args, args));
        assert_int_equal(op->emit.flags, forms[i].flags);
    }
    assert_int_equal(reprise_socket_send(s5, reprise_args("B", "xy", (size_t) 2)), REPRISE_OK);
    const struct rp_op *op = heard(RP_OP_EMIT);
    assert_true(rp_bytes_eq(op->emit.name, B("message")));
    assert_int_equal(op->emit.attachments.len, 6);
    assert_int_equal(reprise_socket_emit(s5, "empty", NULL), REPRISE_OK);
    assert_true(rp_bytes_eq(heard(RP_OP_EMIT)->emit.args, B("[]")));
}

static void test_mistakes_are_the_uses(void **state) {
    (void) state;
    char many[8];
    struct reprise_target *t = reprise_to(stage.n, "");
    assert_int_equal(reprise_target_emit(reprise_target_to(t, "a"), "e", NULL), REPRISE_E_INVALID);
    t = reprise_all(stage.n);
    for (int i = 0; i <= RP_SELECTOR_ROOMS_MAX; i++) {
        snprintf(many, sizeof many, "r%d", i);
        t = reprise_target_except(t, many);
    }
    assert_int_equal(reprise_target_emit(t, "e", NULL), REPRISE_E_FULL);
    assert_int_equal(reprise_socket_emit(s5, "disconnect", NULL), REPRISE_E_INVALID);
    assert_int_equal(reprise_socket_emit(s5, "", NULL), REPRISE_E_INVALID);
    assert_int_equal(reprise_socket_emit(s5, "\xff", NULL), REPRISE_E_INVALID);
    assert_int_equal(reprise_socket_emit(s5, "e", reprise_args("?")), REPRISE_E_INVALID);
    char *large = rp_alloc(RP_PACKET_BYTES_MAX);
    assert_int_equal(
        reprise_socket_emit(s5, "e", reprise_args("B", large, (size_t) RP_PACKET_BYTES_MAX)),
        REPRISE_E_FULL);
    free(large);
    assert_int_equal(
        reprise_target_emit_with_ack(reprise_all(stage.n), "e", NULL, NULL, NULL, NULL),
        REPRISE_E_INVALID); /* without a timeout */
    t = reprise_target_timeout(reprise_target_volatile(reprise_all(stage.n)), 100);
    assert_int_equal(reprise_target_emit_with_ack(t, "e", NULL, NULL, NULL, NULL),
                     REPRISE_E_INVALID);
    struct reprise_nsp *pattern = reprise_of_pattern(stage.c, "/room-*");
    assert_int_equal(reprise_target_sockets_join(reprise_all(pattern), "r"), REPRISE_E_INVALID);
    assert_int_equal(reprise_server_side_emit(stage.n, "e", reprise_args("B", "x", (size_t) 1)),
                     REPRISE_E_INVALID);
    link_up();
    assert_int_equal(reprise_socket_emit(s5, "good", NULL), REPRISE_OK);
    assert_true(rp_bytes_eq(heard(RP_OP_EMIT)->emit.name, B("good"))); /* nothing else was sent */
}

static void test_a_kept_target_is_used_again(void **state) {
    (void) state;
    struct reprise_target *t = reprise_target_keep(reprise_to(stage.n, "a"));
    assert_int_equal(reprise_target_emit(t, "one", NULL), REPRISE_OK);
    assert_int_equal(reprise_target_emit(t, "two", NULL), REPRISE_OK);
    heard(RP_OP_EMIT);
    assert_string_equal(selector(heard(RP_OP_EMIT)), "a||");
    reprise_target_free(t);
}

static void note_outgoing(struct reprise_nsp *n, const char *sid, const char *name,
                          struct reprise_value args, void *user) {
    (void) user;
    note("out %s %s %s ", reprise_nsp_name(n), sid != NULL ? sid : "-", name);
    note_value(args);
    note(";");
}

static void test_what_goes_out_is_seen(void **state) {
    (void) state;
    reprise_on_any_outgoing(stage.n, note_outgoing, NULL);
    reprise_socket_emit(s5, "one", reprise_args("i", 1));
    reprise_target_emit(reprise_to(stage.n, "r"), "many", reprise_args("i", 2));
    expect("out / s5 one [1];out / - many [2];");
    assert_int_equal(reprise_off_any_outgoing(stage.n, note_outgoing, NULL), REPRISE_OK);
    reprise_socket_emit(s5, "one", NULL);
    heard(RP_OP_EMIT);
    heard(RP_OP_EMIT);
    heard(RP_OP_EMIT);
    expect("");
}

static void note_stored(enum reprise_err err, uint64_t seq, void *user) {
    note("stored %s %d %d;", (const char *) user, err, (int) seq);
}

static void test_what_became_of_an_emit(void **state) {
    (void) state;
    struct reprise_target *t =
        reprise_target_stored(reprise_all(stage.n), note_stored, text("first"));
    assert_int_equal(reprise_target_emit(t, "e", NULL), REPRISE_OK);
    uint64_t num = heard(RP_OP_EMIT)->emit.num;
    SAY(DONE, done, .num = num, .seq = 123);
    expect("stored first 0 123;");
    t = reprise_target_stored(reprise_all(stage.n), note_stored, text("second"));
    assert_int_equal(reprise_target_emit(t, "e", NULL), REPRISE_OK);
    num = heard(RP_OP_EMIT)->emit.num;
    SAY(FAILED, failed, .num = num, .code = B("bad_args"), .message = B("why"));
    expect("stored second -11 0;");
    assert_string_equal(reprise_last_error(stage.c), "bad_args: why");
}

/* ---- acks ---- */

static void note_ack(enum reprise_err err, struct reprise_value args, void *user) {
    note("%s %d ", (const char *) user, err);
    note_value(args);
    note(";");
}

static void note_each(const struct reprise_response *r, void *user) {
    (void) user;
    note("each %s ", r->sid);
    note_value(r->args);
    note(";");
}

static void note_responses(enum reprise_err err, const struct reprise_response *r, size_t count,
                           void *user) {
    (void) user;
    note("done %d", err);
    for (size_t i = 0; i < count; i++) {
        note(" %s=", r[i].sid);
        note_value(r[i].args);
    }
    note(";");
}

static void got_ack(uint64_t seq, uint64_t num, uint64_t session, const char *sid,
                    const char *args) {
    SAY(GOT_ACK, got_ack, .seq = seq, .num = num, .session = session, .sid = rp_bytes_str(sid),
        .args = rp_bytes_str(args));
}

static void test_one_socket_acks(void **state) {
    (void) state;
    assert_int_equal(
        reprise_socket_emit_with_ack(s5, "e", reprise_args("i", 1), 0, note_ack, text("one")),
        REPRISE_OK);
    const struct rp_op *op = heard(RP_OP_EMIT);
    assert_int_equal(op->emit.flags, RP_OP_EMIT_WANTS_ACK);
    SAY(DONE, done, .num = op->emit.num, .seq = 101, .replayed = 1);
    got_ack(102, op->emit.num, 5, "s5", "[\"yes\"]");
    got_ack(102, op->emit.num, 5, "s5", "[\"yes\"]");
    expect("one 0 [\"yes\"];");
    assert_int_equal(reprise_socket_emit_with_ack(s5, "e", NULL, 50, note_ack, text("two")),
                     REPRISE_OK);
    expect("two -7 ;");
    assert_int_equal(reprise_socket_emit_with_ack(s5, "e", NULL, 0, note_ack, text("three")),
                     REPRISE_OK);
    heard(RP_OP_EMIT);
    heard(RP_OP_EMIT);
    SAY(LEFT, left, .session = 5, .conn = 5, .ended = 1);
    expect("three -6 ;");
    assert_int_equal(reprise_socket_emit_with_ack(s5, "e", NULL, 0, note_ack, text("four")),
                     REPRISE_E_GONE);
    assert_int_equal(reprise_socket_emit(s5, "e", NULL), REPRISE_E_GONE);
    assert_int_equal(reprise_socket_join(s5, "r"), REPRISE_E_GONE);
}

static void test_a_socket_that_is_away_can_be_emitted_to(void **state) {
    (void) state;
    reprise_on_disconnect(stage.n, NULL, NULL);
    SAY(LEFT, left, .session = 5, .conn = 5, .reason = B("transport close"));
    while (reprise_socket_connected(s5)) {
        go_on();
    }
    assert_int_equal(reprise_socket_emit(s5, "e", NULL), REPRISE_OK);
    assert_string_equal(selector(heard(RP_OP_EMIT)), "s5||");
}

static void test_acks_of_all(void **state) {
    (void) state;
    struct reprise_target *t = reprise_target_timeout(reprise_all(stage.n), 5000);
    assert_int_equal(reprise_target_emit_with_ack(t, "e", NULL, note_each, note_responses, NULL),
                     REPRISE_OK);
    uint64_t num = heard(RP_OP_EMIT)->emit.num;
    SAY(DONE, done, .num = num, .seq = 101, .replayed = 2);
    got_ack(102, num, 5, "s5", "[5]");
    got_ack(103, num, 6, "s6", "[6]");
    expect("each s5 [5];each s6 [6];done 0 s5=[5] s6=[6];");
    /* not all of them in time */
    t = reprise_target_timeout(reprise_all(stage.n), 100);
    assert_int_equal(reprise_target_emit_with_ack(t, "e", NULL, NULL, note_responses, NULL),
                     REPRISE_OK);
    num = heard(RP_OP_EMIT)->emit.num;
    SAY(DONE, done, .num = num, .seq = 104, .replayed = 2);
    got_ack(105, num, 6, "s6", "[6]");
    expect("done -7 s6=[6];");
    got_ack(106, num, 5, "s5", "[5]"); /* too late */
    /* nobody there */
    t = reprise_target_timeout(reprise_all(stage.n), 100);
    assert_int_equal(reprise_target_emit_with_ack(t, "e", NULL, note_each, note_responses, NULL),
                     REPRISE_OK);
    SAY(DONE, done, .num = heard(RP_OP_EMIT)->emit.num, .seq = 107);
    expect("done 0;");
}

/* ---- sockets everywhere ---- */

static void note_sockets(enum reprise_err err, const struct reprise_remote_socket *sockets,
                         size_t count, void *user) {
    (void) user;
    note("%d", err);
    for (size_t i = 0; i < count; i++) {
        note(" %s ", sockets[i].id);
        note_value(sockets[i].rooms);
        note_value(sockets[i].data);
    }
}

static void test_sockets_are_fetched_in_pages(void **state) {
    (void) state;
    assert_int_equal(reprise_target_fetch_sockets(reprise_to(stage.n, "r"), note_sockets, NULL),
                     REPRISE_OK);
    const struct rp_op *op = heard(RP_OP_FETCH);
    assert_true(rp_bytes_eq(op->fetch.room, B("r")));
    SAY(RESULT, result, .num = op->fetch.num,
        .json = B("{\"sockets\":[{\"id\":\"s5\",\"session\":5,\"rooms\":[\"s5\"],\"data\":null,"
                  "\"handshake\":{}}],\"after\":5}"));
    op = heard(RP_OP_FETCH);
    assert_int_equal(op->fetch.after, 5);
    SAY(RESULT, result, .num = op->fetch.num,
        .json = B("{\"sockets\":[{\"id\":\"s6\",\"session\":6,\"rooms\":[],\"data\":{\"a\":1},"
                  "\"handshake\":{}}]}"));
    expect("0 s5 [\"s5\"]null s6 []{\"a\":1}");
}

static void test_what_is_done_to_many(void **state) {
    (void) state;
    assert_int_equal(reprise_target_sockets_join(reprise_to(stage.n, "r"), "q"), REPRISE_OK);
    const struct rp_op *op = heard(RP_OP_MOVE);
    assert_true(rp_bytes_eq(op->move.room, B("r")) && rp_bytes_eq(op->move.target, B("q")));
    assert_int_equal(reprise_target_sockets_leave(reprise_all(stage.n), "q"), REPRISE_OK);
    assert_int_equal(heard(RP_OP_MOVE)->move.leave, 1);
    assert_int_equal(reprise_target_disconnect_sockets(reprise_except(stage.n, "r"), true),
                     REPRISE_OK);
    op = heard(RP_OP_EXPEL);
    assert_int_equal(op->expel.transport, 1);
    assert_true(op->expel.except.len > 0);
    assert_int_equal(reprise_socket_disconnect(s5, false), REPRISE_OK);
    op = heard(RP_OP_EXPEL);
    assert_int_equal(op->expel.transport, 0);
    assert_true(rp_bytes_eq(op->expel.room, B("s5")));
}

static void note_side(enum reprise_err err, const struct reprise_value *responses, size_t count,
                      void *user) {
    (void) user;
    note("%d", err);
    for (size_t i = 0; i < count; i++) {
        note(" ");
        note_value(responses[i]);
    }
}

static void test_other_workers_are_asked(void **state) {
    (void) state;
    assert_int_equal(reprise_server_side_emit(stage.n, "hi", reprise_args("i", 1)), REPRISE_OK);
    assert_int_equal(heard(RP_OP_SIDE)->side.wants_ack, 0);
    assert_int_equal(reprise_server_side_emit_with_ack(stage.n, "hi", NULL, 0, note_side, NULL),
                     REPRISE_E_INVALID);
    assert_int_equal(reprise_server_side_emit_with_ack(stage.n, "hi", NULL, 5000, note_side, NULL),
                     REPRISE_OK);
    uint64_t num = heard(RP_OP_SIDE)->side.num;
    SAY(DONE, done, .num = num, .replayed = 2);
    SAY(SIDE_ANSWERED, side_answered, .num = num, .args = B("[1]"));
    SAY(SIDE_ANSWERED, side_answered, .num = num, .args = B("[2]"));
    expect("0 [1] [2]");
    assert_int_equal(reprise_server_side_emit_with_ack(stage.n, "hi", NULL, 100, note_side, NULL),
                     REPRISE_OK);
    num = heard(RP_OP_SIDE)->side.num;
    SAY(DONE, done, .num = num, .replayed = 2);
    SAY(SIDE_ANSWERED, side_answered, .num = num, .args = B("[1]"));
    expect("-7 [1]");
}

/* ---- between turns ---- */

static void note_err(enum reprise_err err, const struct reprise_value *responses, size_t count,
                     void *user) {
    (void) responses;
    (void) count;
    (void) user;
    note("%d;", err);
}

/* A loop of the application's own may ask long after the last turn. */
static void test_time_counts_from_the_call(void **state) {
    (void) state;
    while (poll(&(struct pollfd){.fd = reprise_context_fd(stage.c), .events = POLLIN}, 1, 50) > 0) {
        go_on();
    }
    poll(NULL, 0, 400);
    uint64_t asked_ms = rp_clock_mono_ms();
    assert_int_equal(reprise_server_side_emit_with_ack(stage.n, "x", NULL, 300, note_err, NULL),
                     REPRISE_OK);
    expect("-7;");
    assert_true(rp_clock_mono_ms() - asked_ms >= 300);
}

static void close_it(struct reprise_nsp *n, const char *sid, const char *name,
                     struct reprise_value args, void *user) {
    (void) sid;
    (void) args;
    (void) user;
    struct reprise_context *c = reprise_nsp_context(n);
    assert_int_equal(reprise_context_run(c), REPRISE_E_INVALID);
    assert_int_equal(reprise_context_process(c), REPRISE_E_INVALID);
    reprise_context_close(c, 0); /* nothing happens */
    note("%s;", name);
}

static void test_handlers_called_outside_a_turn_cannot_end_it(void **state) {
    (void) state;
    assert_int_equal(reprise_on_any_outgoing(stage.n, close_it, NULL), REPRISE_OK);
    assert_int_equal(reprise_target_emit(reprise_all(stage.n), "x", reprise_args("i", 1)),
                     REPRISE_OK);
    expect("x;");
    assert_true(rp_bytes_eq_str(heard(RP_OP_EMIT)->emit.args, "[1]"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, target_setup, target_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_every_form_of_emit),
        TEST(test_mistakes_are_the_uses),
        TEST(test_a_kept_target_is_used_again),
        TEST(test_what_goes_out_is_seen),
        TEST(test_what_became_of_an_emit),
        TEST(test_one_socket_acks),
        TEST(test_a_socket_that_is_away_can_be_emitted_to),
        TEST(test_acks_of_all),
        TEST(test_sockets_are_fetched_in_pages),
        TEST(test_what_is_done_to_many),
        TEST(test_other_workers_are_asked),
        TEST(test_time_counts_from_the_call),
        TEST(test_handlers_called_outside_a_turn_cannot_end_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
