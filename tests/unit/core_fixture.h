/* tests/unit/core_fixture.h — the broker's core over the log in memory, and gateways that are
 * nothing but hand-written operations on links. Each file of tests has one such bench at a time. */
#pragma once

#include "broker/core.h"
#include "broker/engine_memory.h"
#include "broker/state.h"
#include "common/alloc.h"
#include "common/limits.h"
#include "common/list.h"
#include "proto/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define EPOCH RP_BYTES_LIT("epoch000")
#define BENCH_UNUSED __attribute__((unused))

/* An operation a gateway received. */
struct got {
    struct rp_list node;
    uint64_t link_id;
    struct rp_op op; /* its views are of message */
    struct rp_buf message;
};

struct bench {
    struct rp_memory_store *store;
    struct rp_engine *engine;
    struct rp_core *core;
    struct rp_core_config config;
    uint64_t retain_events; /* of the whole log */
    const char *retain;     /* rules; NULL: none */
    struct rp_retention *retention;
    struct rp_now now;
    size_t engine_queue;
    struct rp_list received, taken; /* struct got */
    bool heartbeats;                /* they are received like others; else they are left out */
    bool apps;                      /* the same, of APPS */
    uint64_t next_num;
};

/* A session on a link. */
struct member {
    uint64_t link_id, session, conn;
};

static struct bench bench;

static void bench_random(void *ctx, void *out, size_t len) {
    (void) ctx;
    memset(out, 25, len); /* the epoch "zzzzzzzz" */
}

static void bench_open(void) {
    struct rp_retention_limits whole = RP_RETENTION_UNLIMITED;
    whole.events = bench.retain_events;
    assert_int_equal(rp_retention_new(&whole, bench.retain, &bench.retention), RP_OK);
    bench.engine = rp_engine_memory_open(bench.store, bench.engine_queue);
    rp_engine_memory_retain(bench.engine, bench.retention);
    assert_int_equal(rp_core_new(&bench.config, bench.engine, bench.now, &bench.core), RP_OK);
}

static void bench_close(void) {
    bench.core = rp_core_free(bench.core);
    bench.engine->ops->close(bench.engine);
    bench.retention = rp_retention_free(bench.retention);
}

static int bench_setup(void **state) {
    (void) state;
    bench = (struct bench){.now = {.mono_ms = 1000000, .wall_ms = 1700000000000},
                           .engine_queue = 10000,
                           .retain_events = UINT64_MAX,
                           .config = {.session_ttl_ms = 60000,
                                      .gateway_timeout_ms = 8000,
                                      .worker_timeout_ms = 1000,
                                      .retention_ms = 1,
                                      .tail_records_max = 10000,
                                      .tail_bytes_max = 64 << 20,
                                      .link_credit_bytes = 1 << 20,
                                      .page_bytes = RP_PAGE_BYTES,
                                      .page_events = RP_PAGE_EVENTS,
                                      .intervals_max = RP_SESSION_INTERVALS_MAX,
                                      .hash_key = {1, 2},
                                      .random = bench_random},
                           .next_num = 1};
    rp_list_init(&bench.received);
    rp_list_init(&bench.taken);
    bench.store = rp_memory_store_new((const char *) EPOCH.data);
    bench_open();
    return 0;
}

static void forget(struct rp_list *list) {
    struct rp_list *first;
    while ((first = rp_list_first(list)) != NULL) {
        struct got *got = RP_CONTAINER_OF(first, struct got, node);
        rp_list_remove(first);
        rp_buf_done(&got->message);
        free(got);
    }
}

static int bench_teardown(void **state) {
    (void) state;
    bench_close();
    rp_memory_store_free(bench.store);
    forget(&bench.received);
    forget(&bench.taken);
    return 0;
}

/* The broker is killed, and started on what is on the disk; links and what they carried are gone.
 */
BENCH_UNUSED static void bench_restart(void) {
    bench_close();
    forget(&bench.received);
    bench_open();
}

/* With other settings than bench_setup's, before anything has happened. */
BENCH_UNUSED static void bench_reconfigure(void) {
    bench_close();
    bench_open();
}

BENCH_UNUSED static void pass_ms(uint64_t ms) {
    bench.now.mono_ms += ms;
    bench.now.wall_ms += ms;
}

/* ---- links ---- */

static void send(uint64_t link_id, struct rp_op op) {
    struct rp_buf message;
    rp_buf_init(&message, RP_LINK_MESSAGE_BYTES_MAX);
    assert_int_equal(rp_op_put(&message, &op), RP_OK);
    assert_int_equal(rp_core_message(bench.core, link_id, rp_buf_bytes(&message), bench.now),
                     RP_OK);
    rp_buf_done(&message);
}

static void receive(uint64_t link_id, struct rp_buf message) {
    struct rp_op_reader *r = rp_op_reader_new();
    struct rp_bytes in = rp_buf_bytes(&message);
    while (in.len > 0) {
        struct rp_bytes before = in;
        struct got *got = RP_NEW(struct got);
        got->link_id = link_id;
        assert_int_equal(rp_op_next(r, &in, &got->op), RP_OK);
        if ((got->op.kind == RP_OP_HEARTBEAT && !bench.heartbeats) ||
            (got->op.kind == RP_OP_APPS && !bench.apps)) {
            free(got);
            continue;
        }
        rp_buf_init(&got->message, before.len - in.len);
        assert_int_equal(rp_buf_put(&got->message, rp_bytes(before.data, got->message.max)), RP_OK);
        struct rp_bytes own = rp_buf_bytes(&got->message);
        assert_int_equal(rp_op_next(r, &own, &got->op), RP_OK);
        rp_list_append(&bench.received, &got->node);
    }
    rp_op_reader_free(r);
    rp_buf_done(&message);
}

/* The core's turn, without the disk. */
static void turn(void) {
    while (rp_core_turn(bench.core, bench.now)) {
    }
    uint64_t link_id;
    struct rp_buf message;
    while (rp_core_take(bench.core, bench.now, &link_id, &message)) {
        receive(link_id, message);
    }
}

/* Turns until nothing happens any more. */
static void run(void) {
    do {
        turn();
    } while (rp_engine_memory_step(bench.engine, 1000) > 0);
    turn();
}

/* The next operation on the link; it must be of this kind. */
static struct rp_op next(uint64_t link_id, enum rp_op_kind kind) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&bench.received, it, tmp) {
        struct got *got = RP_CONTAINER_OF(it, struct got, node);
        if (got->link_id == link_id) {
            if (got->op.kind != kind) {
                fail_msg("link %d got %s instead of %s", (int) link_id, rp_op_name(got->op.kind),
                         rp_op_name(kind));
            }
            rp_list_remove(it);
            rp_list_append(&bench.taken, it);
            return got->op;
        }
    }
    fail_msg("link %d got nothing instead of %s", (int) link_id, rp_op_name(kind));
    return (struct rp_op){0};
}

static void nothing_more(uint64_t link_id) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&bench.received, it, tmp) {
        struct got *got = RP_CONTAINER_OF(it, struct got, node);
        if (got->link_id == link_id) {
            fail_msg("link %d got %s as well", (int) link_id, rp_op_name(got->op.kind));
        }
    }
}

BENCH_UNUSED static void assert_text(struct rp_bytes actual, const char *expected) {
    if (!rp_bytes_eq_str(actual, expected)) {
        fail_msg("got \"%.*s\" instead of \"%s\"", RP_BYTES_FMT(actual), expected);
    }
}

/* ---- what gateways say ---- */

BENCH_UNUSED static void hello(uint64_t link_id, uint64_t incarnation, struct rp_bytes epoch,
                               uint64_t seen) {
    send(link_id, (struct rp_op){.kind = RP_OP_HELLO,
                                 .hello = {.version = RP_PROTOCOL_VERSION,
                                           .name = RP_BYTES_LIT("test"),
                                           .incarnation = incarnation,
                                           .epoch = epoch,
                                           .seen = seen}});
}

BENCH_UNUSED static void list_session(struct member m) {
    send(m.link_id,
         (struct rp_op){.kind = RP_OP_SESSION, .session = {.session = m.session, .conn = m.conn}});
}

static void resumed(uint64_t link_id) {
    send(link_id, (struct rp_op){.kind = RP_OP_RESUMED});
}

/* A gateway comes for the first time. */
static void link_up(uint64_t link_id, uint64_t incarnation) {
    hello(link_id, incarnation, rp_bytes(NULL, 0), 0);
    resumed(link_id);
    run();
    next(link_id, RP_OP_WELCOME);
    nothing_more(link_id);
}

/* A gateway resumes without sessions, which changes nothing else. */
BENCH_UNUSED static void lose_link(uint64_t link_id) {
    rp_core_link_lost(bench.core, link_id, bench.now);
}

static struct rp_bytes pid_hash(unsigned pid) {
    static uint8_t hashes[256][32];
    memset(hashes[pid], (int) pid, sizeof hashes[pid]);
    return rp_bytes(hashes[pid], sizeof hashes[pid]);
}

/* resume: the pid presented, 0: none. Returns the request's number. */
static uint64_t ask_connect_in(uint64_t link_id, const char *nsp, unsigned pid, unsigned resume,
                               const char *offset) {
    uint64_t num = bench.next_num++;
    send(link_id,
         (struct rp_op){.kind = RP_OP_CONNECT,
                        .connect = {.num = num,
                                    .nsp = rp_bytes_str(nsp),
                                    .sid = RP_BYTES_LIT("sid"),
                                    .pid_hash = pid_hash(pid),
                                    .listed = 1,
                                    .resume_hash = resume ? pid_hash(resume) : rp_bytes(NULL, 0),
                                    .offset = rp_bytes_str(offset)}});
    return num;
}

BENCH_UNUSED static uint64_t ask_connect(uint64_t link_id, unsigned pid, unsigned resume,
                                         const char *offset) {
    return ask_connect_in(link_id, "/", pid, resume, offset);
}

static struct member connect_in(uint64_t link_id, const char *nsp, unsigned pid) {
    uint64_t num = ask_connect_in(link_id, nsp, pid, 0, "");
    run();
    struct rp_op got = next(link_id, RP_OP_CONNECTED);
    assert_int_equal(got.connected.num, num);
    assert_int_equal(got.connected.recovered, 0);
    return (struct member){link_id, got.connected.session, got.connected.conn};
}

BENCH_UNUSED static struct member connect_new(uint64_t link_id, unsigned pid) {
    return connect_in(link_id, "/", pid);
}

BENCH_UNUSED static uint64_t ask_join(struct member m, const char *room) {
    uint64_t num = bench.next_num++;
    send(m.link_id, (struct rp_op){.kind = RP_OP_JOIN,
                                   .join = {.num = num,
                                            .session = m.session,
                                            .conn = m.conn,
                                            .room = rp_bytes_str(room),
                                            .limit = RP_HISTORY_EVENTS_MAX}});
    return num;
}

BENCH_UNUSED static uint64_t ask_join_since(struct member m, const char *room, uint64_t since,
                                            uint64_t limit) {
    uint64_t num = bench.next_num++;
    send(m.link_id, (struct rp_op){.kind = RP_OP_JOIN,
                                   .join = {.num = num,
                                            .session = m.session,
                                            .conn = m.conn,
                                            .room = rp_bytes_str(room),
                                            .has_since = 1,
                                            .since = since,
                                            .limit = limit}});
    return num;
}

BENCH_UNUSED static uint64_t ask_leave(struct member m, const char *room) {
    uint64_t num = bench.next_num++;
    send(m.link_id, (struct rp_op){.kind = RP_OP_LEAVE,
                                   .leave = {.num = num,
                                             .session = m.session,
                                             .conn = m.conn,
                                             .room = rp_bytes_str(room)}});
    return num;
}

BENCH_UNUSED static struct rp_op publish_op(struct member m, const char *room, const char *args) {
    return (struct rp_op){.kind = RP_OP_PUBLISH,
                          .publish = {.num = bench.next_num++,
                                      .session = m.session,
                                      .conn = m.conn,
                                      .room = rp_bytes_str(room),
                                      .name = RP_BYTES_LIT("e"),
                                      .args = rp_bytes_str(args)}};
}

BENCH_UNUSED static uint64_t ask_publish(struct member m, const char *room, const char *args) {
    struct rp_op op = publish_op(m, room, args);
    send(m.link_id, op);
    return op.publish.num;
}

/* The same, done and answered. */

BENCH_UNUSED static uint64_t assert_done(uint64_t link_id, uint64_t num) {
    struct rp_op done = next(link_id, RP_OP_DONE);
    assert_int_equal(done.done.num, num);
    return done.done.seq;
}

BENCH_UNUSED static void assert_failed(uint64_t link_id, uint64_t num, const char *code) {
    struct rp_op failed = next(link_id, RP_OP_FAILED);
    assert_int_equal(failed.failed.num, num);
    assert_text(failed.failed.code, code);
    assert_true(failed.failed.message.len > 0);
}

BENCH_UNUSED static uint64_t join(struct member m, const char *room) {
    uint64_t num = ask_join(m, room);
    run();
    struct rp_op member = next(m.link_id, RP_OP_MEMBER);
    assert_int_equal(member.member.conn, m.conn);
    assert_int_equal(member.member.joined, 1);
    assert_text(member.member.room, room);
    assert_int_equal(assert_done(m.link_id, num), member.member.seq);
    return member.member.seq;
}

/* By somebody who hears nothing of it. */
BENCH_UNUSED static uint64_t publish(struct member m, const char *room, const char *args) {
    uint64_t num = ask_publish(m, room, args);
    run();
    return assert_done(m.link_id, num);
}

/* Whoever has a link says that it has seen all that was put on it. */
BENCH_UNUSED static void say_seen(void) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&bench.core->peers, it, tmp) {
        const struct rp_peer *peer = RP_CONTAINER_OF(it, struct rp_peer, node);
        if (peer->state == RP_PEER_UP) {
            struct rp_op_heartbeat heartbeat = {.pos = rp_core_peer_pos(bench.core, peer),
                                                .consumed = peer->link.peer_consumed};
            send(peer->link_id, (struct rp_op){.kind = RP_OP_HEARTBEAT, .heartbeat = heartbeat});
        }
    }
}

/* Rounds of retention; what they find is told with the next turn. */
BENCH_UNUSED static void trim(void) {
    for (int i = 0; i < 3; i++) {
        say_seen();
        pass_ms(300);
        run();
    }
}

/* The answer to HISTORY, as JSON; since: UINT64_MAX for the newest. */
BENCH_UNUSED static struct rp_bytes read_history(struct member m, const char *room, uint64_t since,
                                                 uint64_t limit) {
    uint64_t num = bench.next_num++;
    send(m.link_id, (struct rp_op){.kind = RP_OP_HISTORY,
                                   .history = {.num = num,
                                               .session = m.session,
                                               .conn = m.conn,
                                               .room = rp_bytes_str(room),
                                               .has_since = since < UINT64_MAX,
                                               .since = since < UINT64_MAX ? since : 0,
                                               .before = UINT64_MAX,
                                               .limit = limit}});
    run();
    struct rp_op got = next(m.link_id, RP_OP_RESULT);
    assert_int_equal(got.result.num, num);
    return got.result.json;
}

/* ---- the log ---- */

BENCH_UNUSED static size_t count_records(enum rp_record_kind kind) {
    size_t count, found = 0;
    struct rp_record *const *log = rp_memory_store_log(bench.store, &count);
    for (size_t i = 0; i < count; i++) {
        found += log[i]->f.kind == kind;
    }
    return found;
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
