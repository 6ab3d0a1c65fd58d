/* tests/unit/test_core_malformed.c — broker/core: a gateway that sends nonsense is refused,
 * answered or ignored, and nobody else notices. */
#include "tests/unit/core_fixture.h"

/* ---- a bystander, who must not notice ---- */

static struct member bystander;

static void begin(void) {
    link_up(9, 99);
    bystander = connect_new(9, 90);
    join(bystander, "a");
}

/* The bystander publishes, and gets what it published and the answer. Others may have published. */
static void check_bystander(void) {
    static unsigned long long payload = 0;
    char args[32];
    snprintf(args, sizeof args, "[%llu]", ++payload);
    forget(&bench.received);
    uint64_t num = ask_publish(bystander, "a", args);
    run();
    assert_text(next(9, RP_OP_DELIVER).deliver.args, args);
    assert_done(9, num);
    nothing_more(9);
}

static enum rp_err send_bytes(uint64_t link_id, struct rp_bytes bytes) {
    return rp_core_message(bench.core, link_id, bytes, bench.now);
}

/* ---- messages ---- */

static void test_malformed_messages_are_counted_and_dropped(void **state) {
    (void) state;
    static const char *const garbage[] = {"\xC1",     "garbage",  "\x90",
                                          "\x91\x7F", "\x92\x01", "\xDD\xFF\xFF\xFF\xFF\x01"};
    begin();
    link_up(1, 5);
    for (size_t i = 0; i < COUNT(garbage); i++) {
        assert_int_equal(send_bytes(1, rp_bytes_str(garbage[i])), RP_E_PROTOCOL);
        assert_int_equal(rp_core_stats(bench.core)->malformed_messages, i + 1);
        check_bystander();
    }
    assert_int_equal(send_bytes(1, rp_bytes(NULL, 0)), RP_OK);               /* nothing in it */
    assert_int_equal(send_bytes(7, rp_bytes_str("garbage")), RP_E_PROTOCOL); /* a stranger */
    struct member m = connect_new(1, 1);                                     /* the link goes on */
    publish(m, "b", "[1]");
}

/* What precedes the garbage counts, what follows does not, and all of it was dealt with: otherwise
 * the other end's credit would leak away. */
static void test_a_message_counts_up_to_its_fault(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    struct rp_op first = publish_op(m, "a", "[1]"), second = publish_op(m, "a", "[2]");
    struct rp_buf message;
    rp_buf_init(&message, 1000);
    assert_int_equal(rp_op_put(&message, &first), RP_OK);
    assert_int_equal(rp_buf_put_str(&message, "?"), RP_OK);
    assert_int_equal(rp_op_put(&message, &second), RP_OK);
    bench.heartbeats = true;
    pass_ms(RP_LINK_HEARTBEAT_MS);
    run();
    uint64_t before = next(1, RP_OP_HEARTBEAT).heartbeat.consumed;
    assert_int_equal(send_bytes(1, rp_buf_bytes(&message)), RP_E_PROTOCOL);
    run();
    assert_done(1, first.publish.num);
    nothing_more(1);
    assert_int_equal(count_records(RP_RECORD_EVENT), 1);
    pass_ms(RP_LINK_HEARTBEAT_MS);
    run();
    assert_int_equal(next(1, RP_OP_HEARTBEAT).heartbeat.consumed, before + message.len);
    rp_buf_done(&message);
}

/* ---- operations ---- */

static char long_text[RP_PAYLOAD_BYTES_MAX + 1];

static const uint64_t numbers[] = {
    0, 1, 2, 1000, 1001, UINT32_MAX, UINT64_C(1) << 53, UINT64_C(1) << 54, INT64_MAX, UINT64_MAX,
};
/* the lengths around every bound of a name, hash or id */
static const size_t lengths[] = {0, 1, 20, 24, 25, 31, 32, 33, 64, 65, 128, 129, 255, 256, 70000};

/* An operation that would be in order, and then has one field of every size. */
#define COUNT_FIELD(T, field) +1
#define VALID_U(T, field) op.T.field = valid_number(#field);
#define VALID_B(T, field) op.T.field = valid_bytes(#field);
#define SPOIL_U(T, field)                                                                          \
    if (at-- == 0) {                                                                               \
        op.T.field = numbers[k % COUNT(numbers)];                                                  \
    }
#define SPOIL_B(T, field)                                                                          \
    if (at-- == 0) {                                                                               \
        op.T.field = rp_bytes(long_text, lengths[k % COUNT(lengths)]);                             \
    }
#define DEFINE(NAME, name, code)                                                                   \
    static struct rp_op spoilt_##name(size_t at, size_t k) {                                       \
        struct rp_op op = {.kind = RP_OP_##NAME};                                                  \
        RP_OP_##NAME##_F(name, VALID_U, VALID_B);                                                  \
        RP_OP_##NAME##_F(name, SPOIL_U, SPOIL_B) return op;                                        \
    }
#define ENTRY(NAME, name, code) {spoilt_##name, 0 RP_OP_##NAME##_F(name, COUNT_FIELD, COUNT_FIELD)},

static struct member suspect; /* the session the nonsense is about */

static uint64_t valid_number(const char *field) {
    if (strcmp(field, "num") == 0) {
        return bench.next_num++;
    }
    return strcmp(field, "session") == 0 ? suspect.session
           : strcmp(field, "conn") == 0  ? suspect.conn
                                         : 1;
}

static struct rp_bytes valid_bytes(const char *field) {
    return strcmp(field, "pid_hash") == 0      ? pid_hash(77)
           : strcmp(field, "resume_hash") == 0 ? pid_hash(1)
           : strcmp(field, "room") == 0        ? RP_BYTES_LIT("b")
           : strcmp(field, "args") == 0        ? RP_BYTES_LIT("[1]")
           : strcmp(field, "epoch") == 0       ? EPOCH
                                               : RP_BYTES_LIT("x");
}

RP_OP_LIST(DEFINE)

static const struct {
    struct rp_op (*spoilt)(size_t at, size_t k);
    size_t fields;
} list[] = {RP_OP_LIST(ENTRY)};

static void test_every_field_of_every_operation_may_be_nonsense(void **state) {
    (void) state;
    begin();
    uint64_t link_id = 100, incarnation = 1000;
    for (size_t i = 0; i < COUNT(list); i++) {
        for (size_t at = 0; at < list[i].fields; at++) {
            for (size_t k = 0; k < COUNT(lengths); k++) {
                link_up(++link_id, ++incarnation);
                suspect = connect_new(link_id, 1);
                join(suspect, "b");
                send(link_id, list[i].spoilt(at, k));
                run();
                forget(&bench.received);
                forget(&bench.taken);
                check_bystander();
                lose_link(link_id);
                pass_ms(2 * bench.config.gateway_timeout_ms);
                send(9, (struct rp_op){.kind = RP_OP_HEARTBEAT});
                run();
            }
        }
    }
    assert_int_equal(rp_core_stats(bench.core)->malformed_messages, 0);
    assert_int_equal(rp_core_stats(bench.core)->connected, 1);
}

/* A HELLO is one of them, on a link of its own. */
static void test_every_field_of_hello_may_be_nonsense(void **state) {
    (void) state;
    uint64_t link_id = 100;
    begin();
    for (size_t at = 0; at < 6; at++) {
        for (size_t k = 0; k < COUNT(lengths); k++) {
            struct rp_op op = spoilt_hello(at, k);
            op.hello.seen = at == 4 ? op.hello.seen : 0;
            if (op.hello.seen == 0 || op.hello.seen > UINT64_C(1) << 52) {
                send(++link_id, op); /* what is only beyond the log means a new epoch */
                resumed(link_id);
                run();
                check_bystander();
            }
        }
    }
}

/* ---- requests that are answered ---- */

static struct rp_op connect_op(void) {
    return (struct rp_op){.kind = RP_OP_CONNECT,
                          .connect = {.num = bench.next_num++,
                                      .nsp = RP_BYTES_LIT("/"),
                                      .sid = RP_BYTES_LIT("sid"),
                                      .pid_hash = pid_hash(7),
                                      .listed = 1}};
}

static void assert_bad(struct rp_op op) {
    size_t before, after;
    rp_memory_store_log(bench.store, &before);
    send(1, op);
    run();
    assert_failed(1, op.connect.num, "bad_args"); /* every request begins with its number */
    nothing_more(1);
    rp_memory_store_log(bench.store, &after);
    assert_int_equal(before, after);
}

static void test_malformed_connects_are_refused(void **state) {
    (void) state;
    link_up(1, 5);
    static const size_t hash_lengths[] = {0, 1, 31, 33, 64};
    for (size_t i = 0; i < COUNT(hash_lengths); i++) {
        struct rp_op op = connect_op();
        op.connect.pid_hash = rp_bytes(long_text, hash_lengths[i]);
        assert_bad(op);
        op = connect_op();
        op.connect.resume_hash = rp_bytes(long_text, hash_lengths[i]);
        if (hash_lengths[i] > 0) {
            assert_bad(op);
        }
    }
    struct rp_op op = connect_op();
    op.connect.sid = rp_bytes(NULL, 0);
    assert_bad(op);
    op = connect_op();
    op.connect.sid = rp_bytes(long_text, RP_SID_BYTES_MAX + 1);
    assert_bad(op);
    op = connect_op();
    op.connect.nsp = rp_bytes(NULL, 0);
    assert_bad(op);
    op = connect_op();
    op.connect.nsp = rp_bytes(long_text, RP_ROOM_BYTES_MAX + 1);
    assert_bad(op);
    op = connect_op();
    op.connect.nsp = rp_bytes(long_text, RP_ROOM_BYTES_MAX);
    op.connect.sid = rp_bytes(long_text, RP_SID_BYTES_MAX);
    send(1, op);
    run();
    next(1, RP_OP_CONNECTED);
}

static void test_malformed_requests_are_refused(void **state) {
    (void) state;
    link_up(1, 5);
    suspect = connect_new(1, 1);
    const struct rp_bytes bad_names[] = {rp_bytes(NULL, 0),
                                         rp_bytes(long_text, RP_ROOM_BYTES_MAX + 1)};
    for (size_t i = 0; i < COUNT(bad_names); i++) {
        struct rp_op op = spoilt_join(SIZE_MAX, 0);
        op.join.upto = 0;
        op.join.room = bad_names[i];
        assert_bad(op);
        op = spoilt_leave(SIZE_MAX, 0);
        op.leave.room = bad_names[i];
        assert_bad(op);
        op = spoilt_history(SIZE_MAX, 0);
        op.history.room = bad_names[i];
        assert_bad(op);
        op = spoilt_presence(SIZE_MAX, 0);
        op.presence.room = bad_names[i];
        assert_bad(op);
        op = publish_op(suspect, "a", "[1]");
        op.publish.room = bad_names[i];
        assert_bad(op);
        op = publish_op(suspect, "a", "[1]");
        op.publish.name = bad_names[i];
        assert_bad(op);
    }
    static const uint64_t limits[] = {0, RP_HISTORY_EVENTS_MAX + 1, UINT64_MAX};
    for (size_t i = 0; i < COUNT(limits); i++) {
        struct rp_op op = spoilt_join(SIZE_MAX, 0);
        op.join.upto = i % 2; /* one that is known to be done, too */
        op.join.limit = limits[i];
        assert_bad(op);
        op = spoilt_history(SIZE_MAX, 0);
        op.history.limit = limits[i];
        assert_bad(op);
    }
    struct rp_op op = spoilt_join(SIZE_MAX, 0);
    op.join.since = UINT64_C(1) << 54;
    assert_bad(op);
    op = publish_op(suspect, "a", "[1]");
    op.publish.id = rp_bytes(long_text, RP_ID_BYTES_MAX + 1);
    assert_bad(op);
}

/* Arguments are an array: what else would end up in the middle of somebody's JSON. */
static void test_arguments_that_are_no_array_are_refused(void **state) {
    (void) state;
    static const char *const bad[] = {"", "[", "]", "1", "\"x\"", "{}", "[1", "1]", " [1]", "null"};
    link_up(1, 5);
    suspect = connect_new(1, 1);
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_bad(publish_op(suspect, "a", bad[i]));
        struct rp_op op = publish_op(suspect, "a", bad[i]);
        op.publish.flags = RP_OP_PUBLISH_VOLATILE;
        assert_bad(op);
    }
    struct rp_op op = publish_op(suspect, "a", "");
    memset(long_text, ' ', sizeof long_text);
    long_text[0] = '[';
    long_text[sizeof long_text - 1] = ']';
    op.publish.args = rp_bytes(long_text, sizeof long_text);
    assert_bad(op);
    long_text[sizeof long_text - 2] = ']';
    op.publish.args.len--;
    op.publish.num = bench.next_num++;
    send(1, op);
    run();
    assert_done(1, op.publish.num);
    memset(long_text, 'x', sizeof long_text);
}

/* A request without a number cannot be answered, and is not done. */
static void test_requests_without_number_are_ignored(void **state) {
    (void) state;
    link_up(1, 5);
    suspect = connect_new(1, 1);
    struct rp_op op = publish_op(suspect, "a", "[1]");
    op.publish.num = 0;
    send(1, op);
    run();
    nothing_more(1);
    assert_int_equal(count_records(RP_RECORD_EVENT), 0);
}

int main(void) {
    memset(long_text, 'x', sizeof long_text);
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_malformed_messages_are_counted_and_dropped),
        BENCH_TEST(test_a_message_counts_up_to_its_fault),
        BENCH_TEST(test_every_field_of_every_operation_may_be_nonsense),
        BENCH_TEST(test_every_field_of_hello_may_be_nonsense),
        BENCH_TEST(test_malformed_connects_are_refused),
        BENCH_TEST(test_malformed_requests_are_refused),
        BENCH_TEST(test_arguments_that_are_no_array_are_refused),
        BENCH_TEST(test_requests_without_number_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
