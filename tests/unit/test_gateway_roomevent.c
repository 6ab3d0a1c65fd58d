/* tests/unit/test_gateway_roomevent.c — gateway/roomevent: what clients emit, what becomes of it,
 * and what their acks say. */
#include "tests/unit/gateway_fixture.h"

/* ---- what is refused ---- */

#define NAME_255                                                                                   \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_128                                                                                     \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    const char *arguments; /* of the event, its name first */
    const char *code;
} refusals[] = {
    /* join */
    {"\"join\"", "bad_room"},
    {"\"join\",1", "bad_room"},
    {"\"join\",null", "bad_room"},
    {"\"join\",[\"a\"]", "bad_room"},
    {"\"join\",{}", "bad_room"},
    {"\"join\",\"\"", "bad_room"},
    {"\"join\",\"" NAME_255 "a\"", "bad_room"},
    {"\"join\",\"a\\u0000b\"", "bad_room"},
    {"\"join\",\"\\ud800\"", "bad_room"},
    {"\"join\",\"a\",1", "bad_args"},
    {"\"join\",\"a\",\"b\"", "bad_args"},
    {"\"join\",\"a\",null", "bad_args"},
    {"\"join\",\"a\",{},1", "bad_args"},
    {"\"join\",\"a\",{\"limit\":0}", "bad_args"},
    {"\"join\",\"a\",{\"limit\":1001}", "bad_args"},
    {"\"join\",\"a\",{\"limit\":-1}", "bad_args"},
    {"\"join\",\"a\",{\"limit\":1.5}", "bad_args"},
    {"\"join\",\"a\",{\"limit\":\"5\"}", "bad_args"},
    {"\"join\",\"a\",{\"limit\":null}", "bad_args"},
    {"\"join\",\"a\",{\"since\":-1}", "bad_args"},
    {"\"join\",\"a\",{\"since\":1.5}", "bad_args"},
    {"\"join\",\"a\",{\"since\":9007199254740992}", "bad_args"},
    {"\"join\",\"a\",{\"since\":null}", "bad_args"},
    {"\"join\",\"a\",{\"since\":true}", "bad_args"},
    {"\"join\",\"a\",{\"since\":\"\"}", "bad_args"},
    {"\"join\",\"a\",{\"since\":\"7\"}", "bad_args"},
    {"\"join\",\"a\",{\"since\":\"7-\"}", "bad_args"},
    {"\"join\",\"a\",{\"since\":\"-epoc\"}", "bad_args"},
    {"\"join\",\"a\",{\"since\":\"x-epoc\"}", "bad_args"},
    {"\"join\",\"a\",{\"since\":\"07-epoc\"}", "bad_args"},
    {"\"join\",\"a\",{\"since\":\"x.7-epoc\"}", "bad_args"},
    {"\"join\",\"a\",{\"since\":\"7.-epoc\"}", "bad_args"},
    {"\"join\",\"a\",{\"since\":\"9007199254740992-epoc\"}", "bad_args"},
    {"\"join\",\"a\",{\"before\":7}", "bad_args"},
    {"\"join\",\"a\",{\"sinc\":7}", "bad_args"},
    /* leave, presence */
    {"\"leave\"", "bad_room"},
    {"\"leave\",7", "bad_room"},
    {"\"leave\",\"\"", "bad_room"},
    {"\"leave\",\"a\",1", "bad_args"},
    {"\"presence\"", "bad_room"},
    {"\"presence\",false", "bad_room"},
    {"\"presence\",\"a\",{}", "bad_args"},
    /* history */
    {"\"history\"", "bad_room"},
    {"\"history\",\"a\",7", "bad_args"},
    {"\"history\",\"a\",{\"before\":\"7-epoc\"}", "bad_args"},
    {"\"history\",\"a\",{\"before\":-1}", "bad_args"},
    {"\"history\",\"a\",{\"limit\":0}", "bad_args"},
    {"\"history\",\"a\",{\"x\":0}", "bad_args"},
    {"\"history\",\"a\",{},{}", "bad_args"},
    /* publish(room, event, ...args) */
    {"\"publish\"", "bad_room"},
    {"\"publish\",7,\"e\"", "bad_room"},
    {"\"publish\",\"\",\"e\"", "bad_room"},
    {"\"publish\",\"a\"", "bad_event"},
    {"\"publish\",\"a\",7", "bad_event"},
    {"\"publish\",\"a\",\"\"", "bad_event"},
    {"\"publish\",\"a\",\"" NAME_255 "a\"", "bad_event"},
    {"\"publish\",\"a\",\"x\\u0000\"", "bad_event"},
    {"\"publish\",\"a\",\"connect\"", "bad_event"},
    {"\"publish\",\"a\",\"connect_error\"", "bad_event"},
    {"\"publish\",\"a\",\"disconnect\"", "bad_event"},
    {"\"publish\",\"a\",\"disconnecting\"", "bad_event"},
    {"\"publish\",\"a\",\"newListener\"", "bad_event"},
    {"\"publish\",\"a\",\"removeListener\"", "bad_event"},
    {"\"publish\",\"a\",\"dis\\u0063onnect\"", "bad_event"},
    /* publish({…}) */
    {"\"publish\",{}", "bad_room"},
    {"\"publish\",{\"event\":\"e\"}", "bad_room"},
    {"\"publish\",{\"room\":7,\"event\":\"e\"}", "bad_room"},
    {"\"publish\",{\"room\":\"a\"}", "bad_event"},
    {"\"publish\",{\"room\":\"a\",\"event\":7}", "bad_event"},
    {"\"publish\",{\"room\":\"a\",\"event\":\"disconnect\"}", "bad_event"},
    {"\"publish\",{\"room\":\"a\",\"event\":\"e\",\"args\":{}}", "bad_args"},
    {"\"publish\",{\"room\":\"a\",\"event\":\"e\",\"args\":null}", "bad_args"},
    {"\"publish\",{\"room\":\"a\",\"event\":\"e\",\"id\":7}", "bad_id"},
    {"\"publish\",{\"room\":\"a\",\"event\":\"e\",\"id\":\"\"}", "bad_id"},
    {"\"publish\",{\"room\":\"a\",\"event\":\"e\",\"id\":\"" ID_128 "a\"}", "bad_id"},
    {"\"publish\",{\"room\":\"a\",\"event\":\"e\",\"id\":\"k\",\"volatile\":true}", "bad_id"},
    {"\"publish\",{\"room\":\"a\",\"event\":\"e\",\"echo\":1}", "bad_args"},
    {"\"publish\",{\"room\":\"a\",\"event\":\"e\",\"volatile\":\"yes\"}", "bad_args"},
    {"\"publish\",{\"room\":\"a\",\"event\":\"e\",\"ID\":\"k\"}", "bad_args"},
    {"\"publish\",{\"room\":\"a\",\"event\":\"e\"},1", "bad_args"},
    /* others */
    {"\"msg\",1", "unknown_event"},
    {"\"Join\",\"a\"", "unknown_event"},
    {"\"\"", "unknown_event"},
};

static void test_wrong_arguments_are_refused_in_the_ack(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10);
    for (size_t i = 0; i < COUNT(refusals); i++) {
        char packet[1024], begin[128];
        struct rp_ws_msg msg;
        snprintf(packet, sizeof packet, "42%d[%s]", (int) i, refusals[i].arguments);
        snprintf(begin, sizeof begin,
                 "43%d[{\"ok\":false,\"error\":{\"code\":\"%s\",\"message\":\"", (int) i,
                 refusals[i].code);
        text(c, packet);
        if (!take_frame(c, &msg) || strncmp(bench.text, begin, strlen(begin)) != 0) {
            fail_msg("%s: got %s", packet, bench.text);
        }
        assert_int_equal(msg.kind, RP_WS_TEXT);
        nothing_asked();
        snprintf(packet, sizeof packet, "42[%s]", refusals[i].arguments); /* nobody asks */
        text(c, packet);
        expect_nothing(c);
        nothing_asked();
    }
    assert_int_equal(rp_gateway_stats(bench.g)->refused_events, 2 * COUNT(refusals));
    text(c, "427[\"msg\"]");
    expect(c, "437[{\"ok\":false,\"error\":{\"code\":\"unknown_event\",\"message\":\"no such event "
              "here; known are join, leave, publish, history, presence\"}}]");
    gone(c);
}

/* ---- what is asked ---- */

static void test_join_asks_for_the_room(void **state) {
    (void) state;
    static const struct {
        const char *arguments, *room;
        uint64_t has_since, since, limit;
    } table[] = {
        {"\"a\"", "a", 0, 0, 1000},
        {"\"" NAME_255 "\"", NAME_255, 0, 0, 1000},
        {"\"\\u0061\\n\\ud83d\\ude00\"", "a\n\xF0\x9F\x98\x80", 0, 0, 1000},
        {"\"a\",{}", "a", 0, 0, 1000},
        {"\"a\",{\"limit\":7}", "a", 0, 0, 7},
        {"\"a\",{\"since\":0}", "a", 1, 0, 1000},
        {"\"a\",{\"since\":9007199254740991,\"limit\":1e3}", "a", 1, 9007199254740991, 1000},
        {"\"a\",{\"since\":\"17-epoc\",\"limit\":1}", "a", 1, 17, 1},
        {"\"a\",{\"s\\u0069nce\":\"\\u00317-epoc\"}", "a", 1, 17, 1000},
        {"\"a\",{\"since\":\"99.17-epoc\"}", "a", 1, 17, 1000}, /* the second number is for this */
        {"\"a\",{\"since\":\"17-else\"}", "a", 1, 0, 1000},     /* another log: from its start */
        {"\"a\",{\"since\":5,\"since\":6}", "a", 1, 6, 1000},
        {" \"a\" , { \"since\" : 5 } ", "a", 1, 5, 1000},
    };
    link_up();
    struct rp_wire *c = connect_client(10);
    for (size_t i = 0; i < COUNT(table); i++) {
        char packet[512];
        snprintf(packet, sizeof packet, "42[\"join\",%s]", table[i].arguments);
        text(c, packet);
        struct rp_op_join op = asked(RP_OP_JOIN).join;
        assert_int_equal(op.session, 10);
        assert_int_equal(op.conn, 10);
        assert_text(op.room, table[i].room);
        assert_int_equal(op.has_since, table[i].has_since);
        assert_int_equal(op.since, table[i].since);
        assert_int_equal(op.limit, table[i].limit);
        assert_int_equal(op.upto, 0);
    }
    gone(c);
}

static void test_publish_passes_the_arguments_as_they_came(void **state) {
    (void) state;
    static const struct {
        const char *arguments, *event, *args, *id;
        uint64_t flags;
    } table[] = {
        {"\"a\",\"e\"", "e", "[]", "", 0},
        {"\"a\",\"e\",1", "e", "[1]", "", 0},
        {"\"a\",\"e\", {\"x\" : [1, 2]} ,\"\\u0041\" ", "e", "[{\"x\" : [1, 2]} ,\"\\u0041\"]", "",
         0},
        {"\"a\",\"\\u0065\",null", "e", "[null]", "", 0},
        {"{\"room\":\"a\",\"event\":\"e\"}", "e", "[]", "", 0},
        {"{\"room\":\"a\",\"event\":\"e\",\"args\":[1, \"x\"]}", "e", "[1, \"x\"]", "", 0},
        {"{\"id\":\"k\",\"args\":[],\"event\":\"e\",\"room\":\"\\u0061\"}", "e", "[]", "k", 0},
        {"{\"room\":\"a\",\"event\":\"e\",\"id\":\"" ID_128 "\"}", "e", "[]", ID_128, 0},
        {"{\"room\":\"a\",\"event\":\"e\",\"echo\":false}", "e", "[]", "", RP_OP_PUBLISH_NO_ECHO},
        {"{\"room\":\"a\",\"event\":\"e\",\"echo\":true,\"volatile\":true}", "e", "[]", "",
         RP_OP_PUBLISH_VOLATILE},
        {"{\"room\":\"a\",\"event\":\"e\",\"echo\":false,\"volatile\":true,\"args\":[7]}", "e",
         "[7]", "", RP_OP_PUBLISH_VOLATILE | RP_OP_PUBLISH_NO_ECHO},
    };
    link_up();
    struct rp_wire *c = connect_client(10);
    for (size_t i = 0; i < COUNT(table); i++) {
        char packet[512];
        snprintf(packet, sizeof packet, "42[\"publish\",%s]", table[i].arguments);
        text(c, packet);
        struct rp_op_publish op = asked(RP_OP_PUBLISH).publish;
        assert_int_equal(op.session, 10);
        assert_text(op.room, "a");
        assert_text(op.name, table[i].event);
        assert_text(op.args, table[i].args);
        assert_text(op.id, table[i].id);
        assert_int_equal(op.flags, table[i].flags);
    }
    gone(c);
}

/* The longest message a client may send, of nothing but escapes. */
static void test_a_large_packet_fits(void **state) {
    (void) state;
    enum { ESCAPES = 16000 };
    static char packet[100000], expected[100000];
    link_up();
    struct rp_wire *c = connect_client(10);
    char *at = packet + sprintf(packet, "42[\"publish\",\"\\u0061\",\"\\u0065\",\"");
    char *want = expected + sprintf(expected, "[\"");
    for (int i = 0; i < ESCAPES; i++) {
        at += sprintf(at, "\\u0041");
        want += sprintf(want, "\\u0041");
    }
    sprintf(at, "\"]");
    sprintf(want, "\"]");
    text(c, packet);
    struct rp_op_publish op = asked(RP_OP_PUBLISH).publish;
    assert_text(op.room, "a");
    assert_text(op.name, "e");
    assert_text(op.args, expected);
    gone(c);
}

static void test_history_and_presence_ask_for_their_room(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10);
    text(c, "42[\"history\",\"a\"]");
    struct rp_op_history h = asked(RP_OP_HISTORY).history;
    assert_text(h.room, "a");
    assert_int_equal(h.has_since, 0);
    assert_int_equal(h.before, 9007199254740991);
    assert_int_equal(h.limit, 1000);
    text(c, "42[\"history\",\"a\",{\"since\":3,\"before\":9,\"limit\":2}]");
    h = asked(RP_OP_HISTORY).history;
    assert_int_equal(h.has_since, 1);
    assert_int_equal(h.since, 3);
    assert_int_equal(h.before, 9);
    assert_int_equal(h.limit, 2);
    text(c, "42[\"presence\",\"a\"]");
    assert_text(asked(RP_OP_PRESENCE).presence.room, "a");
    text(c, "42[\"leave\",\"a\"]");
    assert_text(asked(RP_OP_LEAVE).leave.room, "a");
    gone(c);
}

/* ---- acks ---- */

/* Sends an event that asks for an ack, and returns its request's number. */
static uint64_t ask(struct rp_wire *c, enum rp_op_kind kind, const char *packet) {
    text(c, packet);
    return asked(kind).connect.num; /* every request begins with it */
}

static void test_acks_say_what_was_done(void **state) {
    (void) state;
    static const struct {
        enum rp_op_kind kind;
        const char *packet;
        struct rp_op_done done;
        const char *ack;
    } table[] = {
        {RP_OP_JOIN,
         "420[\"join\",\"a\"]",
         {.seq = 20},
         "430[{\"ok\":true,\"room\":\"a\",\"seq\":20,\"replayed\":0,\"truncated\":false}]"},
        {RP_OP_JOIN,
         "421[\"join\",\"\\\"\\u0041\",{\"since\":1}]",
         {.seq = 20, .replayed = 3, .truncated = 1, .oldest = 15},
         "431[{\"ok\":true,\"room\":\"\\\"A\",\"seq\":20,\"replayed\":3,\"truncated\":true,"
         "\"oldest\":15}]"},
        {RP_OP_LEAVE, "422[\"leave\",\"a\"]", {.seq = 21}, "432[{\"ok\":true,\"room\":\"a\"}]"},
        {RP_OP_PUBLISH,
         "423[\"publish\",\"a\",\"e\"]",
         {.seq = 22},
         "433[{\"ok\":true,\"room\":\"a\",\"seq\":22}]"},
        {RP_OP_PUBLISH,
         "424[\"publish\",{\"room\":\"a\",\"event\":\"e\",\"id\":\"k\"}]",
         {.seq = 23},
         "434[{\"ok\":true,\"room\":\"a\",\"seq\":23,\"duplicate\":false}]"},
        {RP_OP_PUBLISH,
         "425[\"publish\",{\"room\":\"a\",\"event\":\"e\",\"id\":\"k\"}]",
         {.seq = 23, .duplicate = 1},
         "435[{\"ok\":true,\"room\":\"a\",\"seq\":23,\"duplicate\":true}]"},
        {RP_OP_PUBLISH,
         "426[\"publish\",{\"room\":\"a\",\"event\":\"e\",\"volatile\":true}]",
         {.seq = 0},
         "436[{\"ok\":true,\"room\":\"a\"}]"},
        {RP_OP_LEAVE,
         "429007199254740991[\"leave\",\"a\"]",
         {.seq = 30},
         "439007199254740991[{\"ok\":true,\"room\":\"a\"}]"},
    };
    link_up();
    struct rp_wire *c = connect_client(10);
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_op done = {.kind = RP_OP_DONE, .done = table[i].done};
        done.done.num = ask(c, table[i].kind, table[i].packet);
        expect_nothing(c);
        say(done);
        expect(c, table[i].ack);
        say(done); /* twice is once */
        expect_nothing(c);
    }
    say_done(4711, 1); /* nobody asked */
    expect_nothing(c);
    assert_int_equal(rp_gateway_stats(bench.g)->requests_open, 0);
    assert_int_equal(rp_gateway_stats(bench.g)->requests_bytes, 0);
    gone(c);
}

static void test_acks_say_why_it_failed(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10);
    uint64_t num = ask(c, RP_OP_JOIN, "427[\"join\",\"a\"]");
    say((struct rp_op){
        .kind = RP_OP_FAILED,
        .failed = {.num = num,
                   .code = RP_BYTES_LIT("too_many_rooms"),
                   .message = RP_BYTES_LIT("the \"session\"\nis in too many rooms")}});
    expect(c, "437[{\"ok\":false,\"error\":{\"code\":\"too_many_rooms\",\"message\":\"the "
              "\\\"session\\\"\\nis in too many rooms\"}}]");
    gone(c);
}

/* The broker is trusted with what it says, not with how much: an answer of nothing but characters
 * that must be escaped is six times as long in an ack. */
static void test_long_failures_fit_an_ack(void **state) {
    (void) state;
    static char controls[8 << 20];
    memset(controls, 1, sizeof controls);
    struct rp_bytes much = rp_bytes(controls, sizeof controls);
    link_up();
    struct rp_wire *c = connect_client(10);
    uint64_t num = ask(c, RP_OP_JOIN, "427[\"join\",\"a\"]");
    say((struct rp_op){.kind = RP_OP_FAILED,
                       .failed = {.num = num, .code = much, .message = much}});
    struct rp_ws_msg msg;
    assert_true(take_frame(c, &msg));
    assert_memory_equal(bench.text, "437[{\"ok\":false,", 15);
    assert_true(msg.payload.len < 10000);
    num = ask(c, RP_OP_JOIN, "427[\"join\",\"a\"]"); /* cut at a character's end */
    memset(controls, 'a', RP_FAILURE_MESSAGE_BYTES_MAX - 1);
    memcpy(controls + RP_FAILURE_MESSAGE_BYTES_MAX - 1, "\xC3\xA4", 2);
    say((struct rp_op){.kind = RP_OP_FAILED, .failed = {.num = num, .message = much}});
    assert_true(take_frame(c, &msg));
    assert_string_equal(bench.text + msg.payload.len - 8, "aaaa\"}}]");
    memset(controls, 1, sizeof controls);
    struct rp_wire *connecting = open_client();
    num = ask(connecting, RP_OP_CONNECT, "40");
    say((struct rp_op){.kind = RP_OP_CONNECTED,
                       .connected = {.num = num, .session = 11, .conn = 11, .sid = much}});
    expect_close(connecting, 1013, "the session cannot be served now");
    gone(c);
}

static void test_results_are_passed_on(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10);
    uint64_t num = ask(c, RP_OP_PRESENCE, "427[\"presence\",\"a\"]");
    say((struct rp_op){
        .kind = RP_OP_RESULT,
        .result = {.num = num, .json = RP_BYTES_LIT("{\"ok\":true,\"members\":[]}")}});
    expect(c, "437[{\"ok\":true,\"members\":[]}]");
    gone(c);
}

static void test_nobody_hears_what_nobody_asked_for(void **state) {
    (void) state;
    link_up();
    struct rp_wire *c = connect_client(10), *left = connect_client(11);
    say_done(ask(c, RP_OP_JOIN, "42[\"join\",\"a\"]"), 20);
    say((struct rp_op){.kind = RP_OP_FAILED,
                       .failed = {.num = ask(c, RP_OP_JOIN, "42[\"join\",\"a\"]")}});
    say((struct rp_op){.kind = RP_OP_RESULT,
                       .result = {.num = ask(c, RP_OP_PRESENCE, "42[\"presence\",\"a\"]"),
                                  .json = RP_BYTES_LIT("{}")}});
    expect_nothing(c);
    uint64_t num = ask(left, RP_OP_JOIN, "427[\"join\",\"a\"]");
    text(left, "41"); /* and whoever has left hears nothing either */
    asked(RP_OP_CLOSE);
    say_done(num, 21);
    expect_nothing(left);
    gone(c);
    gone(left);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_wrong_arguments_are_refused_in_the_ack),
        BENCH_TEST(test_join_asks_for_the_room),
        BENCH_TEST(test_publish_passes_the_arguments_as_they_came),
        BENCH_TEST(test_a_large_packet_fits),
        BENCH_TEST(test_history_and_presence_ask_for_their_room),
        BENCH_TEST(test_acks_say_what_was_done),
        BENCH_TEST(test_acks_say_why_it_failed),
        BENCH_TEST(test_long_failures_fit_an_ack),
        BENCH_TEST(test_results_are_passed_on),
        BENCH_TEST(test_nobody_hears_what_nobody_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
