/* The broker's core over the log in memory, with links that send anything, gateways' and app
 * workers': it may refuse, reset and drop, but not break, and what it sends is operations that only
 * a broker sends.
 *
 * Input: one byte of how to begin, then steps (fuzz_script.h). */
#include "broker/core.h"
#include "broker/engine_memory.h"
#include "common/assert.h"
#include "tests/fuzz/fuzz_script.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    STEPS_MAX = 400,
    LINKS = 4,
    QUEUE_RECORDS = 8,
    TINY_SHARE_BYTES = 3000, /* two pages of rooms */
};

struct bench {
    struct rp_memory_store *store;
    struct rp_engine *engine;
    struct rp_core *core;
    struct rp_retention *retention;
    struct rp_now now;
    struct rp_op_reader *reader;
    bool tiny;                 /* small bounds, so that they are reached */
    uint64_t taken[LINKS + 1]; /* bytes, of the link's newest HELLO on */
};

static void some_random(void *ctx, void *out, size_t len) {
    memset(out, *(uint8_t *) ctx, len); /* the same bytes in every run */
}

static void start(struct bench *b) {
    static uint8_t seed = 7;
    struct rp_core_config config = {.session_ttl_ms = 60000,
                                    .gateway_timeout_ms = 4000,
                                    .worker_timeout_ms = 1000,
                                    .retention_ms = 1000,
                                    .tail_records_max = b->tiny ? 8 : 1000,
                                    .tail_bytes_max = 1 << 20,
                                    .link_credit_bytes = b->tiny ? 600 : 1 << 20,
                                    .page_bytes = b->tiny ? 400 : 65536,
                                    .page_events = b->tiny ? 2 : 512,
                                    .share_bytes = b->tiny ? TINY_SHARE_BYTES : 0,
                                    .intervals_max = b->tiny ? 4 : 1000,
                                    .hash_key = {1, 2},
                                    .random = some_random,
                                    .random_ctx = &seed};
    struct rp_retention_limits whole = RP_RETENTION_UNLIMITED;
    whole.events = b->tiny ? 12 : UINT64_MAX;
    RP_ASSERT(rp_retention_new(&whole, b->tiny ? "* r0 events=3; * r1 bytes=900 age=1m" : NULL,
                               &b->retention) == RP_OK);
    b->engine = rp_engine_memory_open(b->store, QUEUE_RECORDS);
    rp_engine_memory_retain(b->engine, b->retention);
    RP_ASSERT(rp_core_new(&config, b->engine, b->now, &b->core) == RP_OK);
}

static void stop(struct bench *b) {
    rp_core_free(b->core);
    b->engine->ops->close(b->engine);
    rp_retention_free(b->retention);
}

static void send(struct bench *b, uint64_t link_id, struct rp_bytes message) {
    if (!rp_core_wants_input(b->core)) {
        return;
    }
    uint8_t *copy = malloc(message.len > 0 ? message.len : 1); /* of exactly its size */
    RP_ASSERT(copy != NULL);
    if (message.len > 0) {
        memcpy(copy, message.data, message.len);
    }
    enum rp_err err = rp_core_message(b->core, link_id, rp_bytes(copy, message.len), b->now);
    RP_ASSERT(err == RP_OK || err == RP_E_PROTOCOL);
    free(copy);
}

static void put(struct rp_buf *out, struct rp_op op) {
    RP_ASSERT(rp_op_put(out, &op) == RP_OK);
}

/* Two gateways with a session each (1 and 6), both in r0, and some events. */
static void begin(struct bench *b) {
    for (uint64_t link = 1; link <= 2; link++) {
        struct rp_buf m;
        uint8_t hash[32];
        memset(hash, SCRIPT_PID - 1 + (int) link, sizeof hash);
        rp_buf_init(&m, 4096);
        put(&m, (struct rp_op){.kind = RP_OP_HELLO,
                               .hello = {.version = RP_PROTOCOL_VERSION, .incarnation = link}});
        put(&m, (struct rp_op){.kind = RP_OP_RESUMED});
        put(&m, (struct rp_op){.kind = RP_OP_CONNECT,
                               .connect = {.num = 1,
                                           .nsp = RP_BYTES_LIT("/"),
                                           .sid = RP_BYTES_LIT("sid0"),
                                           .pid_hash = rp_bytes(hash, sizeof hash),
                                           .listed = 1}});
        send(b, link, rp_buf_bytes(&m));
        rp_engine_memory_step(b->engine, 100);
        rp_core_turn(b->core, b->now);
        rp_buf_clear(&m);
        uint64_t session = rp_core_stats(b->core)->head;
        put(&m, (struct rp_op){.kind = RP_OP_JOIN,
                               .join = {.num = 2,
                                        .session = session,
                                        .conn = session,
                                        .room = RP_BYTES_LIT("r0"),
                                        .limit = 1000}});
        for (uint64_t num = 3; num < 6; num++) {
            put(&m, (struct rp_op){.kind = RP_OP_PUBLISH,
                                   .publish = {.num = num,
                                               .session = session,
                                               .conn = session,
                                               .room = RP_BYTES_LIT("r0"),
                                               .name = RP_BYTES_LIT("e"),
                                               .args = RP_BYTES_LIT("[1]")}});
        }
        send(b, link, rp_buf_bytes(&m));
        rp_buf_done(&m);
        rp_engine_memory_step(b->engine, 100);
        rp_core_turn(b->core, b->now);
    }
    RP_ASSERT(rp_core_stats(b->core)->connected == 2);
}

/* Two workers that serve "/", and a socket (number 2) of the first, in r0, at the gateway of link
 * 1, which owes an ack for seq 4 and has an event under way. */
static void begin_with_workers(struct bench *b) {
    struct rp_buf m;
    uint8_t hash[32];
    memset(hash, SCRIPT_PID, sizeof hash);
    rp_buf_init(&m, 4096);
    for (uint64_t link = 3; link <= 4; link++) {
        put(&m, (struct rp_op){.kind = RP_OP_HELLO,
                               .hello = {.version = RP_PROTOCOL_VERSION,
                                         .incarnation = link,
                                         .role = RP_OP_WORKER}});
        put(&m, (struct rp_op){.kind = RP_OP_SERVE, .serve = {.nsp = RP_BYTES_LIT("/")}});
        put(&m, (struct rp_op){.kind = RP_OP_RESUMED});
        send(b, link, rp_buf_bytes(&m));
        rp_buf_clear(&m);
        rp_engine_memory_step(b->engine, 100);
        rp_core_turn(b->core, b->now);
    }
    put(&m, (struct rp_op){.kind = RP_OP_HELLO,
                           .hello = {.version = RP_PROTOCOL_VERSION, .incarnation = 1}});
    put(&m, (struct rp_op){.kind = RP_OP_RESUMED});
    put(&m, (struct rp_op){.kind = RP_OP_CONNECT,
                           .connect = {.num = 1,
                                       .nsp = RP_BYTES_LIT("/"),
                                       .sid = RP_BYTES_LIT("sid0"),
                                       .pid_hash = rp_bytes(hash, sizeof hash),
                                       .handshake = RP_BYTES_LIT("[]")}});
    send(b, 1, rp_buf_bytes(&m));
    rp_buf_clear(&m);
    put(&m, (struct rp_op){.kind = RP_OP_DECIDED, .decided = {.origin = 1, .num = 1}});
    send(b, 3, rp_buf_bytes(&m));
    rp_buf_clear(&m);
    rp_engine_memory_step(b->engine, 100);
    rp_core_turn(b->core, b->now);
    uint64_t session = rp_core_stats(b->core)->head;
    put(&m, (struct rp_op){.kind = RP_OP_MOVE,
                           .move = {.num = 1,
                                    .nsp = RP_BYTES_LIT("/"),
                                    .room = RP_BYTES_LIT("sid0"),
                                    .target = RP_BYTES_LIT("r0")}});
    put(&m, (struct rp_op){.kind = RP_OP_EMIT,
                           .emit = {.num = 2,
                                    .flags = RP_OP_EMIT_WANTS_ACK,
                                    .nsp = RP_BYTES_LIT("/"),
                                    .room = RP_BYTES_LIT("r0"),
                                    .name = RP_BYTES_LIT("e"),
                                    .args = RP_BYTES_LIT("[]")}});
    send(b, 3, rp_buf_bytes(&m));
    rp_buf_clear(&m);
    put(&m, (struct rp_op){.kind = RP_OP_EVENT,
                           .event = {.num = 2,
                                     .session = session,
                                     .conn = session,
                                     .name = RP_BYTES_LIT("e"),
                                     .args = RP_BYTES_LIT("[]")}});
    send(b, 1, rp_buf_bytes(&m));
    rp_buf_done(&m);
    rp_engine_memory_step(b->engine, 100);
    rp_core_turn(b->core, b->now);
    RP_ASSERT(rp_core_stats(b->core)->connected == 1);
}

static bool is_of_broker(enum rp_op_kind kind) {
    return kind == RP_OP_HEARTBEAT || kind >= RP_OP_WELCOME;
}

static void take_all(struct bench *b) {
    uint64_t link_id;
    struct rp_buf message;
    while (rp_core_take(b->core, b->now, &link_id, &message)) {
        struct rp_bytes in = rp_buf_bytes(&message);
        RP_ASSERT(link_id >= 1 && link_id <= LINKS);
        RP_ASSERT(in.len > 0);
        while (in.len > 0) {
            struct rp_op op;
            RP_ASSERT(rp_op_next(b->reader, &in, &op) == RP_OK);
            RP_ASSERT(is_of_broker(op.kind));
            b->taken[link_id] = op.kind == RP_OP_WELCOME ? 0 : b->taken[link_id];
        }
        b->taken[link_id] += message.len;
        rp_buf_done(&message);
    }
}

/* It says goodbye, whatever is under way: the last word on every link, once. One of the links turns
 * out to be lost when something is sent. */
static void say_goodbye(struct bench *b, uint64_t lost_link) {
    bool told[LINKS + 1] = {false};
    uint64_t link_id;
    struct rp_buf message;
    take_all(b);
    size_t left = rp_core_goodbye(b->core, b->now);
    while (rp_core_take(b->core, b->now, &link_id, &message)) {
        struct rp_bytes in = rp_buf_bytes(&message);
        struct rp_op op;
        RP_ASSERT(rp_op_next(b->reader, &in, &op) == RP_OK && in.len == 0);
        RP_ASSERT(op.kind == RP_OP_REFUSED && rp_bytes_eq_str(op.refused.code, "stopping"));
        RP_ASSERT(left-- > 0 && !told[link_id]);
        told[link_id] = true;
        rp_buf_done(&message);
        rp_core_link_lost(b->core, lost_link, b->now);
    }
    RP_ASSERT(left <= 1);
}

static void turn(struct bench *b) {
    for (int i = 0; i < 1000 && rp_core_turn(b->core, b->now); i++) {
    }
    take_all(b);
}

/* The other end has dealt with all that it got. */
static void give_credit(struct bench *b, uint64_t link_id) {
    struct rp_buf m;
    rp_buf_init(&m, 64);
    put(&m, (struct rp_op){
                .kind = RP_OP_HEARTBEAT,
                .heartbeat = {.pos = rp_core_stats(b->core)->head, .consumed = b->taken[link_id]}});
    send(b, link_id, rp_buf_bytes(&m));
    rp_buf_done(&m);
}

/* A gateway with sessions 1 to 4, all in r0 and r1, whose events have left the memory. */
static void begin_behind(struct bench *b) {
    enum { SESSIONS = 4, EVENTS = 20 };
    static const char *const sids[SESSIONS] = {"sid0", "sid1", "sid2", "sid3"};
    static const char *const rooms[] = {"r0", "r1"};
    uint64_t num = 1;
    uint8_t hash[32];
    struct rp_buf m;
    rp_buf_init(&m, 4096);
    put(&m, (struct rp_op){.kind = RP_OP_HELLO,
                           .hello = {.version = RP_PROTOCOL_VERSION, .incarnation = 1}});
    put(&m, (struct rp_op){.kind = RP_OP_RESUMED});
    for (unsigned i = 0; i < SESSIONS; i++) {
        memset(hash, SCRIPT_PID + (int) i, sizeof hash);
        put(&m, (struct rp_op){.kind = RP_OP_CONNECT,
                               .connect = {.num = num++,
                                           .nsp = RP_BYTES_LIT("/"),
                                           .sid = rp_bytes_str(sids[i]),
                                           .pid_hash = rp_bytes(hash, sizeof hash),
                                           .listed = 1}});
    }
    send(b, 1, rp_buf_bytes(&m));
    rp_engine_memory_step(b->engine, 100);
    turn(b);
    for (uint64_t i = 0; i < SESSIONS * 2 + EVENTS; i++) {
        struct rp_bytes room = rp_bytes_str(rooms[i % 2]);
        uint64_t session = i < SESSIONS * 2 ? 1 + i / 2 : 1;
        rp_buf_clear(&m);
        if (i < SESSIONS * 2) {
            put(&m, (struct rp_op){.kind = RP_OP_JOIN,
                                   .join = {.num = num++,
                                            .session = session,
                                            .conn = session,
                                            .room = room,
                                            .limit = 1000}});
        } else {
            put(&m, (struct rp_op){.kind = RP_OP_PUBLISH,
                                   .publish = {.num = num++,
                                               .session = session,
                                               .conn = session,
                                               .room = room,
                                               .name = RP_BYTES_LIT("e"),
                                               .args = RP_BYTES_LIT("[1]")}});
        }
        send(b, 1, rp_buf_bytes(&m));
        rp_engine_memory_step(b->engine, 100);
        turn(b);
        give_credit(b, 1);
    }
    rp_buf_done(&m);
    RP_ASSERT(rp_core_stats(b->core)->connected == SESSIONS);
    RP_ASSERT(rp_core_stats(b->core)->head == SESSIONS * 3 + EVENTS);
}

static void step(struct bench *b, struct script *s) {
    uint8_t what = script_byte(s);
    uint64_t link_id = 1 + what / 16 % LINKS;
    struct rp_buf message;
    s->head = rp_core_stats(b->core)->head;
    switch (what % 16) {
    case 0:
        send(b, link_id, script_bytes(s));
        break;
    case 1:
        rp_core_link_lost(b->core, link_id, b->now);
        break;
    case 2:
        rp_engine_memory_step(b->engine, what / 16u);
        break;
    case 3:
        rp_engine_memory_refuse(b->engine, what / 16u);
        break;
    case 4:
        b->now.mono_ms += 100u * (what / 16u);
        b->now.wall_ms += 100u * (what / 16u);
        turn(b);
        break;
    case 5:
        b->now.mono_ms += 5000;
        b->now.wall_ms += 70000;
        turn(b);
        break;
    case 6:
        if (what / 16 == 15) { /* killed; it comes back on what is on the disk */
            stop(b);
            start(b);
        } else if (what / 16 >= 11) { /* stopped, and started */
            say_goodbye(b, link_id);
            stop(b);
            start(b);
        }
        break;
    case 9: /* a disk whose reads and rounds of retention take their time */
        rp_engine_memory_work(b->engine, 1u << (what / 16u % 4), 1 + what / 64u);
        turn(b);
        break;
    case 7:
        rp_engine_memory_step(b->engine, 100);
        turn(b);
        break;
    case 8:
        rp_engine_memory_step(b->engine, 100);
        turn(b);
        give_credit(b, link_id);
        break;
    default:
        message = script_message(s);
        send(b, link_id, rp_buf_bytes(&message));
        rp_buf_done(&message);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct script s = {.rest = rp_bytes(data, size)};
    uint8_t how = script_byte(&s);
    struct bench b = {.store = rp_memory_store_new("epoch000"),
                      .now = {.mono_ms = 100000, .wall_ms = 1700000000000},
                      .reader = rp_op_reader_new(),
                      .tiny = how & 2};
    start(&b);
    if (how & 8) {
        begin_behind(&b);
    } else if (how & 4) {
        begin_with_workers(&b);
    } else if (how & 1) {
        begin(&b);
    }
    for (int i = 0; i < STEPS_MAX && s.rest.len > 0; i++) {
        step(&b, &s);
    }
    do { /* whatever it was, it comes to rest */
        turn(&b);
    } while (rp_engine_memory_step(b.engine, 100) > 0);
    RP_ASSERT(rp_core_wants_input(b.core));
    stop(&b);
    rp_op_reader_free(b.reader);
    rp_memory_store_free(b.store);
    return 0;
}
