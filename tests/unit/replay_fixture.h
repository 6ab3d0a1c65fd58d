/* tests/unit/replay_fixture.h — sessions that go away, come back and catch up, on the bench of
 * core_fixture.h. */
#pragma once

#include "tests/unit/core_fixture.h"

BENCH_UNUSED static struct member member_of(struct rp_op connected, uint64_t link_id) {
    return (struct member){link_id, connected.connected.session, connected.connected.conn};
}

BENCH_UNUSED static void page_done(struct member m, uint64_t page) {
    send(m.link_id,
         (struct rp_op){.kind = RP_OP_PAGE_DONE,
                        .page_done = {.session = m.session, .conn = m.conn, .page = page}});
    run();
}

/* The session's connection is lost, and its gateway says so. */
BENCH_UNUSED static void disconnect(struct member m) {
    uint64_t num = bench.next_num++;
    send(m.link_id, (struct rp_op){.kind = RP_OP_CLOSE,
                                   .close = {.num = num, .session = m.session, .conn = m.conn}});
    run();
    assert_done(m.link_id, num);
}

/* The seqs of the REPLAYs that come next, as text: "4 6 ". */
BENCH_UNUSED static void replays_text(struct member m, uint64_t history, char *ret_text) {
    *ret_text = '\0';
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&bench.received, it, tmp) {
        struct got *got = RP_CONTAINER_OF(it, struct got, node);
        if (got->link_id != m.link_id) {
            continue;
        }
        if (got->op.kind != RP_OP_REPLAY) {
            return;
        }
        assert_int_equal(got->op.replay.conn, m.conn);
        assert_int_equal(got->op.replay.history, history);
        ret_text += sprintf(ret_text, "%d ", (int) got->op.replay.seq);
        next(m.link_id, RP_OP_REPLAY);
    }
}

BENCH_UNUSED static void assert_replays(struct member m, uint64_t history, const char *expected) {
    char text[4096];
    replays_text(m, history, text);
    assert_string_equal(text, expected);
}

/* Comes back with an offset and gets the CONNECTED; what follows is left to be looked at. */
BENCH_UNUSED static struct member come_back(uint64_t link_id, const char *offset, bool recovered) {
    static unsigned pid = 50;
    uint64_t num = ask_connect(link_id, ++pid % 100 + 50, 1, offset);
    run();
    struct rp_op got = next(link_id, RP_OP_CONNECTED);
    assert_int_equal(got.connected.num, num);
    assert_int_equal(got.connected.recovered, recovered);
    return member_of(got, link_id);
}
