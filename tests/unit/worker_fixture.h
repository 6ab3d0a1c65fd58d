/* tests/unit/worker_fixture.h — core_fixture.h's bench with app workers as a second kind of peer.
 */
#pragma once

#include "broker/state.h"
#include "proto/attachments.h"
#include "tests/unit/core_fixture.h"

enum {
    GATEWAY = 1,
    GATEWAY2 = 2,
    WORKER = 11,
    WORKER2 = 12
}; /* links; incarnations are 100 more */

/* "b c" as a packed list; valid until the fourth next call. */
BENCH_UNUSED static struct rp_bytes names(const char *words) {
    static uint8_t room[4][1024];
    static unsigned turn_of;
    struct rp_buf list;
    uint8_t *copy = room[turn_of++ % 4];
    rp_buf_init(&list, sizeof room[0]);
    while (*words != '\0') {
        size_t len = strcspn(words, " ");
        assert_int_equal(rp_attachments_put(&list, rp_bytes(words, len)), RP_OK);
        words += len + (words[len] == ' ');
    }
    struct rp_bytes packed = rp_bytes(copy, list.len);
    if (list.len > 0) {
        memcpy(copy, list.data, list.len);
    }
    rp_buf_done(&list);
    return packed;
}

BENCH_UNUSED static bool is_in_names(struct rp_bytes packed, const char *name) {
    struct rp_bytes each;
    while (rp_attachments_next(&packed, &each) == RP_OK) {
        if (rp_bytes_eq_str(each, name)) {
            return true;
        }
    }
    return false;
}

/* How many operations of a kind wait to be looked at on a link; they are left there. */
BENCH_UNUSED static size_t count_received(uint64_t link_id, enum rp_op_kind kind) {
    size_t count = 0;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&bench.received, it, tmp) {
        const struct got *got = RP_CONTAINER_OF(it, struct got, node);
        count += got->link_id == link_id && got->op.kind == kind;
    }
    return count;
}

/* ---- a worker's link ---- */

BENCH_UNUSED static void worker_hello(uint64_t link_id, uint64_t incarnation, struct rp_bytes epoch,
                                      uint64_t seen) {
    send(link_id, (struct rp_op){.kind = RP_OP_HELLO,
                                 .hello = {.version = RP_PROTOCOL_VERSION,
                                           .name = RP_BYTES_LIT("worker"),
                                           .incarnation = incarnation,
                                           .epoch = epoch,
                                           .seen = seen,
                                           .role = RP_OP_WORKER}});
}

BENCH_UNUSED static void serve(uint64_t link_id, const char *nsp, uint64_t flags) {
    send(link_id,
         (struct rp_op){.kind = RP_OP_SERVE, .serve = {.nsp = rp_bytes_str(nsp), .flags = flags}});
}

/* A worker comes for the first time, and serves one namespace. */
BENCH_UNUSED static void worker_up(uint64_t link_id, const char *nsp, uint64_t flags) {
    worker_hello(link_id, link_id + 100, rp_bytes(NULL, 0), 0);
    serve(link_id, nsp, flags);
    resumed(link_id);
    run();
    next(link_id, RP_OP_WELCOME);
    next(link_id, RP_OP_SERVED);
}

/* It comes back on a new link with the sockets it lists; it has seen all of the log. */
BENCH_UNUSED static void worker_back(uint64_t link_id, uint64_t incarnation, const char *nsp,
                                     uint64_t flags, const struct member *sockets, size_t count) {
    worker_hello(link_id, incarnation, EPOCH, rp_core_stats(bench.core)->head);
    serve(link_id, nsp, flags);
    for (size_t i = 0; i < count; i++) {
        send(link_id,
             (struct rp_op){.kind = RP_OP_SESSION,
                            .session = {.session = sockets[i].session, .conn = sockets[i].conn}});
    }
    resumed(link_id);
    run();
    next(link_id, RP_OP_WELCOME);
}

BENCH_UNUSED static void gateway_up(uint64_t link_id) {
    link_up(link_id, link_id + 100);
}

/* A gateway comes back on a new link; it has seen all of the log up to seen. */
BENCH_UNUSED static void gateway_back(uint64_t link_id, uint64_t incarnation, uint64_t seen,
                                      const struct member *sockets, size_t count) {
    hello(link_id, incarnation, EPOCH, seen);
    for (size_t i = 0; i < count; i++) {
        send(link_id, (struct rp_op){.kind = RP_OP_SESSION,
                                     .session = {.session = sockets[i].session,
                                                 .conn = sockets[i].conn,
                                                 .handshake = RP_BYTES_LIT("{\"h\":1}")}});
    }
}

/* ---- tasks ---- */

BENCH_UNUSED static void decide(uint64_t link_id, uint64_t origin, uint64_t num, uint64_t verdict,
                                const char *args) {
    send(link_id, (struct rp_op){.kind = RP_OP_DECIDED,
                                 .decided = {.origin = origin,
                                             .num = num,
                                             .verdict = verdict,
                                             .code = rp_bytes_str(verdict == RP_OP_NO ? "no" : ""),
                                             .message = rp_bytes_str(verdict ? "because" : ""),
                                             .args = rp_bytes_str(args)}});
}

/* pid and resume as in core_fixture.h; each pid has a sid of its own. */
BENCH_UNUSED static struct rp_op connect_op(const char *nsp, unsigned pid, unsigned resume) {
    static char sids[256][8];
    snprintf(sids[pid], sizeof sids[pid], "sid%u", pid);
    return (struct rp_op){.kind = RP_OP_CONNECT,
                          .connect = {.num = bench.next_num++,
                                      .nsp = rp_bytes_str(nsp),
                                      .sid = rp_bytes_str(sids[pid]),
                                      .pid_hash = pid_hash(pid),
                                      .resume_hash = resume ? pid_hash(resume) : rp_bytes(NULL, 0),
                                      .handshake = RP_BYTES_LIT("{\"h\":1}")}};
}

/* The answer that a gateway gets to a CONNECT; it has the namespace's room and the sid's. */
BENCH_UNUSED static struct member take_connected(uint64_t link_id, uint64_t num, bool recovered) {
    struct rp_op got = next(link_id, RP_OP_CONNECTED);
    assert_int_equal(got.connected.num, num);
    assert_int_equal(got.connected.recovered, recovered);
    assert_true(got.connected.app & RP_OP_APP);
    return (struct member){link_id, got.connected.session, got.connected.conn};
}

/* A client connects, and a worker admits it; everything said of it is taken. */
BENCH_UNUSED static struct member connect_app(uint64_t gateway, uint64_t worker, const char *nsp,
                                              unsigned pid) {
    struct rp_op op = connect_op(nsp, pid, 0);
    send(gateway, op);
    run();
    struct rp_op admit = next(worker, RP_OP_ADMIT);
    assert_int_equal(admit.admit.num, op.connect.num);
    decide(worker, admit.admit.origin, admit.admit.num, RP_OP_YES, "");
    run();
    struct member m = take_connected(gateway, op.connect.num, false);
    next(gateway, RP_OP_MEMBER);
    next(gateway, RP_OP_MEMBER);
    struct rp_op socket = next(worker, RP_OP_SOCKET);
    assert_int_equal(socket.socket.session, m.session);
    assert_int_equal(socket.socket.why, RP_OP_SOCKET_NEW);
    return m;
}

BENCH_UNUSED static struct rp_op event_op(struct member m, const char *args) {
    return (struct rp_op){.kind = RP_OP_EVENT,
                          .event = {.num = bench.next_num++,
                                    .session = m.session,
                                    .conn = m.conn,
                                    .wants_ack = 1,
                                    .name = RP_BYTES_LIT("ask"),
                                    .args = rp_bytes_str(args)}};
}

BENCH_UNUSED static struct rp_op ask_event(struct member m, const char *args) {
    struct rp_op op = event_op(m, args);
    send(m.link_id, op);
    run();
    return op;
}

/* The INVOKE that comes next; its task is answered elsewhere. */
BENCH_UNUSED static struct rp_op_invoke take_invoke(uint64_t link_id, uint64_t num, bool again) {
    struct rp_op_invoke invoke = next(link_id, RP_OP_INVOKE).invoke;
    assert_int_equal(invoke.num, num);
    assert_int_equal(invoke.again, again);
    return invoke;
}

/* ---- what workers ask for ---- */

BENCH_UNUSED static struct rp_op emit_op(const char *nsp, const char *room, uint64_t flags) {
    return (struct rp_op){.kind = RP_OP_EMIT,
                          .emit = {.num = bench.next_num++,
                                   .flags = flags,
                                   .nsp = rp_bytes_str(nsp),
                                   .room = rp_bytes_str(room),
                                   .name = RP_BYTES_LIT("e"),
                                   .args = RP_BYTES_LIT("[1]")}};
}

BENCH_UNUSED static struct rp_op move_op(const char *nsp, const char *room, const char *target,
                                         bool leave) {
    return (struct rp_op){.kind = RP_OP_MOVE,
                          .move = {.num = bench.next_num++,
                                   .leave = leave,
                                   .nsp = rp_bytes_str(nsp),
                                   .room = rp_bytes_str(room),
                                   .target = rp_bytes_str(target)}};
}

/* Sends a worker's request and runs; the seq of its DONE, which comes next. */
BENCH_UNUSED static uint64_t do_request(uint64_t worker, struct rp_op op) {
    send(worker, op);
    run();
    return assert_done(worker, op.emit.num);
}

BENCH_UNUSED static void close_socket(struct member m, bool ended, const char *reason) {
    uint64_t num = bench.next_num++;
    send(m.link_id, (struct rp_op){.kind = RP_OP_CLOSE,
                                   .close = {.num = num,
                                             .session = m.session,
                                             .conn = m.conn,
                                             .ended = ended,
                                             .reason = rp_bytes_str(reason)}});
    run();
    assert_done(m.link_id, num);
}

/* Lets time pass with the links kept alive. */
BENCH_UNUSED static void pass_linked(uint64_t ms, const uint64_t *links, size_t count) {
    for (uint64_t passed = 0; passed < ms; passed += 500) {
        pass_ms(500);
        for (size_t i = 0; i < count; i++) {
            struct rp_peer *peer = rp_core_peer_of_link(bench.core, links[i]);
            peer->link.last_heard_ms = bench.now.mono_ms;
        }
        run();
    }
}
