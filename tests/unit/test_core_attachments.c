/* tests/unit/test_core_attachments.c — binary attachments go wherever their event goes, count
 * wherever bytes are counted, and are base64 in the answers that are JSON. */
#include "tests/unit/core_fixture.h"
#include "proto/attachments.h"

#define ARGS "[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]"

/* Two: the bytes 0 … 255, and none. */
static struct rp_bytes two_attachments(void) {
    static uint8_t packed[4 + 256 + 4];
    packed[2] = 1;
    for (size_t i = 0; i < 256; i++) {
        packed[4 + i] = (uint8_t) i;
    }
    return rp_bytes(packed, sizeof packed);
}

/* One of so many bytes. The caller frees .data. */
static struct rp_bytes large_attachment(size_t len) {
    struct rp_buf out;
    uint8_t *bytes = rp_alloc(len);
    memset(bytes, 0xFF, len);
    rp_buf_init(&out, len + 4);
    assert_int_equal(rp_attachments_put(&out, rp_bytes(bytes, len)), RP_OK);
    free(bytes);
    return rp_buf_bytes(&out);
}

static struct rp_op binary_op(struct member m, const char *room, struct rp_bytes attachments) {
    struct rp_op op = publish_op(m, room, ARGS);
    op.publish.attachments = attachments;
    return op;
}

/* By somebody who hears nothing of it. */
static uint64_t publish_binary(struct member m, const char *room, struct rp_bytes attachments) {
    struct rp_op op = binary_op(m, room, attachments);
    send(m.link_id, op);
    run();
    return assert_done(m.link_id, op.publish.num);
}

static void assert_binary(struct rp_bytes args, struct rp_bytes attachments) {
    assert_text(args, ARGS);
    assert_true(rp_bytes_eq(attachments, two_attachments()));
}

static void without_tail(void) {
    bench.config.tail_records_max = 1;
    bench_reconfigure();
}

/* ---- wherever the event goes ---- */

static void test_live_and_volatile_events_carry_them(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    struct member m = connect_new(1, 1), listener = connect_new(2, 2);
    join(listener, "a");
    publish_binary(m, "a", two_attachments());
    struct rp_op got = next(2, RP_OP_DELIVER);
    assert_binary(got.deliver.args, got.deliver.attachments);
    struct rp_op op = binary_op(m, "a", two_attachments());
    op.publish.flags = RP_OP_PUBLISH_VOLATILE;
    send(1, op);
    run();
    got = next(2, RP_OP_DELIVER);
    assert_int_equal(got.deliver.is_volatile, 1);
    assert_binary(got.deliver.args, got.deliver.attachments);
    assert_done(1, op.publish.num);
    publish_binary(m, "a", rp_bytes(NULL, 0));
    assert_int_equal(next(2, RP_OP_DELIVER).deliver.attachments.len, 0);
}

static void test_a_link_that_resumes_gets_them(void **state) {
    (void) state;
    link_up(1, 5);
    link_up(2, 6);
    struct member m = connect_new(1, 1), listener = connect_new(2, 2);
    join(listener, "a");
    lose_link(2);
    run();
    next(1, RP_OP_LOST);
    publish_binary(m, "a", two_attachments());
    hello(3, 6, EPOCH, 3);
    listener.link_id = 3;
    list_session(listener);
    resumed(3);
    run();
    next(3, RP_OP_WELCOME);
    next(3, RP_OP_VERDICT);
    next(3, RP_OP_MEMBER);
    next(3, RP_OP_MEMBER); /* the answer to the join, which was at `seen` */
    next(3, RP_OP_DONE);
    struct rp_op got = next(3, RP_OP_DELIVER);
    assert_binary(got.deliver.args, got.deliver.attachments);
}

static void replays_carry_them(void) {
    link_up(1, 5);
    struct member m = connect_new(1, 1), sender = connect_new(1, 2);
    join(m, "a");
    uint64_t num = bench.next_num++;
    send(1, (struct rp_op){.kind = RP_OP_CLOSE,
                           .close = {.num = num, .session = m.session, .conn = m.conn}});
    run();
    assert_done(1, num);
    publish_binary(sender, "a", two_attachments());
    publish(sender, "b", "[1]");
    publish(sender, "b", "[1]");
    ask_connect(1, 3, 1, "");
    run();
    next(1, RP_OP_CONNECTED);
    next(1, RP_OP_MEMBER);
    struct rp_op got = next(1, RP_OP_REPLAY);
    assert_binary(got.replay.args, got.replay.attachments);
    next(1, RP_OP_LIVE);
    struct member late = connect_new(1, 4);
    ask_join_since(late, "a", 0, 10);
    run();
    next(1, RP_OP_JOINED);
    next(1, RP_OP_MEMBER);
    next(1, RP_OP_HOLD);
    got = next(1, RP_OP_REPLAY);
    assert_int_equal(got.replay.conn, late.conn);
    assert_binary(got.replay.args, got.replay.attachments);
    next(1, RP_OP_DONE);
}

static void test_replays_carry_them(void **state) {
    replays_carry_them();
    bench_teardown(state);
    bench_setup(state);
    without_tail();
    replays_carry_them();
}

/* A retry is known by its id, whatever comes with it. */
static void test_a_duplicate_may_have_others(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    struct rp_op op = binary_op(m, "a", two_attachments());
    op.publish.id = RP_BYTES_LIT("k");
    send(1, op);
    run();
    uint64_t seq = assert_done(1, op.publish.num);
    op.publish.num = bench.next_num++;
    op.publish.attachments = RP_BYTES_LIT("\0\0\0\1x");
    send(1, op);
    run();
    struct rp_op done = next(1, RP_OP_DONE);
    assert_int_equal(done.done.duplicate, 1);
    assert_int_equal(done.done.seq, seq);
}

/* ---- what is refused ---- */

static void test_malformed_or_too_many_are_refused(void **state) {
    (void) state;
    const struct {
        struct rp_bytes attachments;
        bool good;
    } table[] = {
        {RP_BYTES_LIT("\0\0\0\1x"), true},   {RP_BYTES_LIT("\0\0\0\0\0\0\0\0"), true},
        {RP_BYTES_LIT("\0"), false},         {RP_BYTES_LIT("\0\0\0"), false},
        {RP_BYTES_LIT("\0\0\0\1"), false},   {RP_BYTES_LIT("\0\0\0\2x"), false},
        {RP_BYTES_LIT("\0\0\0\1xy"), false}, {RP_BYTES_LIT("\xFF\xFF\xFF\xFFx"), false},
    };
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    for (size_t i = 0; i < 2 * COUNT(table); i++) {
        struct rp_op op = binary_op(m, "a", table[i / 2].attachments);
        op.publish.flags = i % 2 ? RP_OP_PUBLISH_VOLATILE : 0;
        send(1, op);
        run();
        if (table[i / 2].good) {
            assert_done(1, op.publish.num);
        } else {
            assert_failed(1, op.publish.num, "bad_args");
        }
    }
    static uint8_t none[4 * (RP_SIO_ATTACHMENTS_MAX + 1)];
    publish_binary(m, "a", rp_bytes(none, sizeof none - 4));
    struct rp_op op = binary_op(m, "a", rp_bytes(none, sizeof none));
    send(1, op);
    run();
    assert_failed(1, op.publish.num, "bad_args");
}

/* Arguments and attachments are one payload. */
static void test_the_largest_pass_and_larger_are_refused(void **state) {
    (void) state;
    bench.config.link_credit_bytes = RP_LINK_CREDIT_BYTES;
    bench_reconfigure();
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    join(m, "a");
    struct rp_bytes large = large_attachment(RP_PAYLOAD_BYTES_MAX - strlen(ARGS) - 4);
    struct rp_op op = binary_op(m, "a", large);
    send(1, op);
    run();
    struct rp_op got = next(1, RP_OP_DELIVER);
    assert_true(rp_bytes_eq(got.deliver.attachments, large));
    assert_done(1, op.publish.num);
    op = publish_op(m, "a", "[1" ARGS "]"); /* a little more */
    op.publish.attachments = large;
    send(1, op);
    run();
    assert_failed(1, op.publish.num, "bad_args");
    nothing_more(1);
    /* and the whole of it fits into an answer */
    send(1, (struct rp_op){.kind = RP_OP_HEARTBEAT, .heartbeat = {.consumed = large.len}});
    struct rp_bytes json = read_history(m, "a", UINT64_MAX, 10);
    assert_true(json.len > large.len / 3 * 4);
    free((void *) large.data);
}

/* ---- counting ---- */

static void test_they_count_in_the_tail(void **state) {
    (void) state;
    bench.config.tail_bytes_max = 50000;
    bench_reconfigure();
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    struct rp_bytes large = large_attachment(20000);
    for (int i = 0; i < 5; i++) {
        publish_binary(m, "a", large);
    }
    const struct rp_core_stats *s = rp_core_stats(bench.core);
    assert_int_equal(s->tail_records, 2);
    assert_true(s->tail_bytes > 40000 && s->tail_bytes <= 50000);
    free((void *) large.data);
}

static void test_they_count_in_a_links_credit(void **state) {
    (void) state;
    bench.config.link_credit_bytes = 100000;
    bench.config.page_bytes = 1000;
    bench_reconfigure();
    link_up(1, 5);
    link_up(2, 6);
    struct member m = connect_new(1, 1), listener = connect_new(2, 2);
    join(listener, "a");
    struct rp_bytes large = large_attachment(60000);
    publish_binary(m, "a", large);
    next(2, RP_OP_DELIVER);
    struct rp_op op = binary_op(m, "a", large);
    op.publish.flags = RP_OP_PUBLISH_VOLATILE;
    send(1, op);
    run();
    assert_done(1, op.publish.num);
    nothing_more(2);
    assert_int_equal(rp_core_stats(bench.core)->volatile_dropped, 1);
    publish_binary(m, "a", large);
    nothing_more(2);
    assert_int_equal(rp_core_stats(bench.core)->links_behind, 1);
    free((void *) large.data);
}

static void test_they_count_in_a_page(void **state) {
    (void) state;
    link_up(1, 5);
    struct member m = connect_new(1, 1), late = connect_new(1, 2);
    struct rp_bytes large = large_attachment(RP_PAGE_BYTES / 2);
    for (int i = 0; i < 4; i++) {
        publish_binary(m, "a", large);
    }
    ask_join_since(late, "a", 0, 10);
    run();
    next(1, RP_OP_JOINED);
    next(1, RP_OP_MEMBER);
    next(1, RP_OP_HOLD);
    next(1, RP_OP_REPLAY);
    next(1, RP_OP_REPLAY);
    next(1, RP_OP_PAGE);
    nothing_more(1);
    free((void *) large.data);
}

/* ---- history ---- */

static void history_has_them_in_base64(void) {
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    struct rp_op op = publish_op(m, "a", "[{\"_placeholder\":true,\"num\":0},2]");
    op.publish.attachments = RP_BYTES_LIT("\0\0\0\1f\0\0\0\0\0\0\0\6foobar\0\0\0\3\xFB\xEF\xFF");
    send(1, op);
    run();
    assert_done(1, op.publish.num);
    publish(m, "a", "[1]");
    publish(m, "b", "[1]");
    assert_text(read_history(m, "a", UINT64_MAX, 10),
                "{\"ok\":true,\"events\":[{\"seq\":2,\"ts\":1700000000000,\"event\":\"e\","
                "\"args\":[{\"_placeholder\":true,\"num\":0},2],\"sender\":\"sid\",\"id\":null,"
                "\"attachments\":[\"Zg==\",\"\",\"Zm9vYmFy\",\"++//\"]},"
                "{\"seq\":3,\"ts\":1700000000000,\"event\":\"e\",\"args\":[1],\"sender\":\"sid\","
                "\"id\":null}],\"truncated\":false,\"more\":false}");
}

static void test_history_has_them_in_base64(void **state) {
    history_has_them_in_base64();
    bench_teardown(state);
    bench_setup(state);
    without_tail();
    history_has_them_in_base64();
}

static size_t count_of(struct rp_bytes text, const char *what) {
    size_t count = 0, len = strlen(what);
    for (size_t i = 0; i + len <= text.len; i++) {
        count += memcmp(text.data + i, what, len) == 0;
    }
    return count;
}

/* Five events of which three would fit as they are stored, and two as they are told. */
static void history_is_bounded_as_it_is_told(void) {
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    struct rp_bytes large = large_attachment(RP_HISTORY_BYTES_MAX / 10 * 3);
    for (int i = 0; i < 5; i++) {
        publish_binary(m, "a", large); /* seqs 2 … 6 */
    }
    static const struct {
        uint64_t since;
        const char *first, *second;
    } table[] = {{UINT64_MAX, "{\"seq\":5", "{\"seq\":6"},
                 {2, "{\"seq\":3", "{\"seq\":4"},
                 {3, "{\"seq\":4", "{\"seq\":5"}}; /* read from the log, all three would fit */
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_bytes json = read_history(m, "a", table[i].since, 10);
        assert_true(json.len < RP_HISTORY_BYTES_MAX + 1000);
        assert_int_equal(count_of(json, "{\"seq\":"), 2);
        assert_int_equal(count_of(json, table[i].first), 1);
        assert_int_equal(count_of(json, table[i].second), 1);
        assert_int_equal(count_of(json, "\"more\":true"), 1);
        assert_int_equal(count_of(json, "\"truncated\":false"), 1);
    }
    struct rp_bytes json = read_history(m, "a", 4, 10);
    assert_int_equal(count_of(json, "{\"seq\":"), 2);
    assert_int_equal(count_of(json, "\"more\":false"), 1);
    free((void *) large.data);
}

static void test_history_is_bounded_as_it_is_told(void **state) {
    bench.config.link_credit_bytes = RP_LINK_CREDIT_BYTES;
    bench_reconfigure();
    history_is_bounded_as_it_is_told();
    bench_teardown(state);
    bench_setup(state);
    bench.config.link_credit_bytes = RP_LINK_CREDIT_BYTES;
    without_tail();
    history_is_bounded_as_it_is_told();
}

/* What retention has taken lies before what the answer had no room for: that is asked for next. */
static void test_a_history_that_is_cut_is_not_truncated(void **state) {
    (void) state;
    bench.retain = "* a events=3";
    without_tail();
    link_up(1, 5);
    struct member m = connect_new(1, 1);
    struct rp_bytes large = large_attachment(300000);
    uint64_t last = 0;
    for (int i = 0; i < 5; i++) {
        last = publish_binary(m, "a", large);
    }
    free((void *) large.data);
    publish_binary(m, "b", two_attachments());
    trim();
    forget(&bench.received);
    char text[64];
    struct rp_bytes json = read_history(m, "a", UINT64_MAX, 10); /* the newest */
    snprintf(text, sizeof text, "{\"ok\":true,\"events\":[{\"seq\":%d,", (int) last - 1);
    assert_memory_equal(json.data, text, strlen(text));
    static const char end[] = "],\"truncated\":false,\"more\":true}";
    assert_memory_equal(json.data + json.len - strlen(end), end, strlen(end));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_live_and_volatile_events_carry_them),
        BENCH_TEST(test_a_link_that_resumes_gets_them),
        BENCH_TEST(test_replays_carry_them),
        BENCH_TEST(test_a_duplicate_may_have_others),
        BENCH_TEST(test_malformed_or_too_many_are_refused),
        BENCH_TEST(test_the_largest_pass_and_larger_are_refused),
        BENCH_TEST(test_they_count_in_the_tail),
        BENCH_TEST(test_they_count_in_a_links_credit),
        BENCH_TEST(test_they_count_in_a_page),
        BENCH_TEST(test_history_has_them_in_base64),
        BENCH_TEST(test_history_is_bounded_as_it_is_told),
        BENCH_TEST(test_a_history_that_is_cut_is_not_truncated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
