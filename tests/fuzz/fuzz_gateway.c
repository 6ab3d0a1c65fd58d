/* The gateway's core between clients that send anything and a broker that sends anything: it may
 * close either, but not break, and its accounts stay right.
 *
 * Input: one byte of how to begin, then steps (fuzz_script.h). */
#include "common/assert.h"
#include "gateway/core.h"
#include "proto/ws.h"
#include "tests/fuzz/fuzz_script.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 400, CLIENTS = 4 };

struct bench {
    struct rp_gateway *g;
    struct rp_client *clients[CLIENTS]; /* NULL: none there */
    uint64_t now_ms;
    uint8_t random;
    struct rp_op_reader *reader;
};

static void some_random(void *ctx, void *out, size_t len) {
    memset(out, ++*(uint8_t *) ctx, len);
}

/* ---- the accounts ---- */

static void check_client(const struct rp_gateway *g, const struct rp_client *c) {
    size_t bytes = 0, requests = 0, requests_bytes = 0;
    for (size_t i = 0; i < c->out_count; i++) {
        bytes += c->out[c->out_from + i]->len;
    }
    RP_ASSERT(bytes == c->out_bytes + c->out_sent);
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->requests, it, tmp) {
        const struct rp_request *r = RP_CONTAINER_OF(it, struct rp_request, client_node);
        RP_ASSERT(r->client == c);
        requests++;
        requests_bytes += r->encoded.len;
    }
    RP_ASSERT(requests == c->requests_count && requests_bytes == c->requests_bytes);
    RP_ASSERT(c->state != RP_CLIENT_CLOSING || requests == 0);
    RP_ASSERT(c->state != RP_CLIENT_CLOSING || c->rooms.count == 0);
    RP_ASSERT(c->state == RP_CLIENT_CATCHING || rp_list_is_empty(&c->held));
    RP_ASSERT(!rp_client_is_connected(c) || rp_client_find(g, c->conn) != NULL);
}

static void check_accounts(const struct rp_gateway *g) {
    size_t queued = 0, frames = 0, clients = 0, connected = 0, requests = 0, requests_bytes = 0;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&g->clients, it, tmp) {
        const struct rp_client *c = RP_CONTAINER_OF(it, struct rp_client, node);
        check_client(g, c);
        clients++;
        connected += rp_client_is_connected(c);
        queued += c->out_bytes;
        frames += c->out_count;
    }
    RP_ASSERT(clients == g->stats.clients && connected == g->stats.sessions);
    RP_ASSERT(connected == g->by_conn.count);
    RP_ASSERT(queued == g->stats.queued_bytes && frames == g->queued_frames);
    RP_LIST_FOR(&g->requests, it, tmp) {
        requests++;
        requests_bytes += RP_CONTAINER_OF(it, struct rp_request, node)->encoded.len;
    }
    RP_ASSERT(requests == g->requests_count && requests_bytes == g->requests_bytes);
    RP_ASSERT(requests == g->by_num.count);
}

/* ---- driving ---- */

static void uplink(struct bench *b, struct rp_bytes message) {
    uint8_t *copy = malloc(message.len > 0 ? message.len : 1); /* of exactly its size */
    RP_ASSERT(copy != NULL);
    if (message.len > 0) {
        memcpy(copy, message.data, message.len);
    }
    enum rp_err err = rp_gateway_uplink_message(b->g, rp_bytes(copy, message.len), b->now_ms);
    RP_ASSERT(err == RP_OK || err == RP_E_PROTOCOL);
    free(copy);
}

static void uplink_op(struct bench *b, struct rp_op op) {
    struct rp_buf out;
    rp_buf_init(&out, 4096);
    RP_ASSERT(rp_op_put(&out, &op) == RP_OK);
    uplink(b, rp_buf_bytes(&out));
    rp_buf_done(&out);
}

static void text(struct bench *b, size_t client, struct rp_bytes bytes) {
    if (b->clients[client] == NULL || !rp_client_wants_read(b->clients[client])) {
        return;
    }
    uint8_t *copy = malloc(bytes.len > 0 ? bytes.len : 1);
    RP_ASSERT(copy != NULL);
    if (bytes.len > 0) {
        memcpy(copy, bytes.data, bytes.len);
    }
    rp_gateway_text(b->g, b->clients[client], rp_bytes(copy, bytes.len), b->now_ms);
    free(copy);
}

static void take_uplink(struct bench *b) {
    struct rp_buf message;
    while (rp_gateway_uplink_take(b->g, b->now_ms, &message)) {
        struct rp_bytes in = rp_buf_bytes(&message);
        while (in.len > 0) {
            struct rp_op op;
            RP_ASSERT(rp_op_next(b->reader, &in, &op) == RP_OK);
            RP_ASSERT(op.kind < RP_OP_WELCOME);
        }
        rp_buf_done(&message);
    }
}

static void open_link(struct bench *b) {
    if (rp_gateway_uplink_need(b->g, b->now_ms) == RP_UPLINK_OPEN) {
        rp_gateway_uplink_opened(b->g, b->now_ms);
    }
}

/* The client takes so many bytes; whole frames are frames. */
static void drain(struct bench *b, size_t client, size_t bytes) {
    struct rp_client *c = b->clients[client];
    struct rp_bytes part;
    while (c != NULL && bytes > 0 && rp_client_output(c, &part, 1) > 0) {
        size_t n = part.len < bytes ? part.len : bytes;
        if (c->out_sent == 0 && n == part.len) {
            struct rp_bytes_mut in = {malloc(n), n};
            struct rp_ws_reader reader;
            struct rp_ws_msg msg;
            RP_ASSERT(in.data != NULL);
            uint8_t *copy = in.data;
            memcpy(copy, part.data, n);
            rp_ws_reader_init(&reader, RP_WS_CLIENT, 1 << 24);
            enum rp_err err = rp_ws_reader_next(&reader, &in, &msg);
            RP_ASSERT((err == RP_OK && in.len == 0) || err == RP_E_UTF8);
            rp_ws_reader_done(&reader);
            free(copy);
        }
        rp_gateway_sent(b->g, c, n, b->now_ms);
        bytes -= n;
    }
}

/* What a shell does at the end of a turn. */
static void reap(struct bench *b) {
    while (rp_gateway_next_dirty(b->g) != NULL) {
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        struct rp_client *c = b->clients[i];
        if (c != NULL && rp_client_is_closing(c) && !rp_client_has_output(c)) {
            rp_gateway_gone(b->g, c, b->now_ms);
            b->clients[i] = NULL;
        }
    }
}

/* Two connected clients (connections 1 and 2), both in r0; requests 1 and 2 were theirs. */
static void begin(struct bench *b) {
    open_link(b);
    uplink_op(b, (struct rp_op){.kind = RP_OP_WELCOME,
                                .welcome = {.version = RP_PROTOCOL_VERSION,
                                            .epoch = RP_BYTES_LIT("epoch000"),
                                            .head = 5}});
    for (size_t i = 0; i < 2; i++) {
        b->clients[i] = rp_gateway_open(b->g, b, b->now_ms);
        text(b, i, RP_BYTES_LIT("40"));
        uplink_op(b, (struct rp_op){.kind = RP_OP_CONNECTED,
                                    .connected = {.num = i + 1,
                                                  .session = i + 1,
                                                  .conn = i + 1,
                                                  .sid = RP_BYTES_LIT("sid0"),
                                                  .pos = i + 1}});
        uplink_op(
            b,
            (struct rp_op){
                .kind = RP_OP_MEMBER,
                .member = {.seq = i + 2, .conn = i + 1, .joined = 1, .room = RP_BYTES_LIT("r0")}});
    }
}

/* A packet of a client: one that is fine, with a piece of the script in it; or any bytes. */
static void packet(struct bench *b, struct script *s, size_t client) {
    static const char *const shapes[] = {
        "%.*s",
        "40%.*s",
        "42%.*s",
        "421[\"join\",%.*s]",
        "422[\"join\",\"r0\",%.*s]",
        "423[\"publish\",%.*s]",
        "424[\"publish\",{%.*s}]",
        "425[\"publish\",\"r0\",\"e\",%.*s]",
        "426[\"history\",\"r0\",{%.*s}]",
        "427[\"leave\",\"r0\"%.*s]",
        "428[\"presence\",\"r0\"%.*s]",
        "40{\"pid\":\"AAAAAAAAAAAAAAAAAAAA\",\"offset\":%.*s}",
        "41%.*s",
        "425[\"publish\",{\"room\":\"r0\",\"event\":\"e\",\"volatile\":true,\"args\":[%.*s]}]",
    };
    uint8_t shape = script_byte(s);
    struct rp_bytes piece = script_bytes(s);
    char out[512];
    int len = snprintf(out, sizeof out, shapes[shape % (sizeof shapes / sizeof shapes[0])],
                       RP_BYTES_FMT(piece)); /* a NUL ends the piece */
    text(b, client, rp_bytes(out, (size_t) len));
}

static void step(struct bench *b, struct script *s) {
    uint8_t what = script_byte(s);
    size_t client = what / 16u % CLIENTS;
    struct rp_client *c = b->clients[client];
    struct rp_buf message;
    s->head = b->g->seen;
    switch (what % 16) {
    case 0:
        uplink(b, script_bytes(s));
        break;
    case 1:
        if (c != NULL) {
            rp_gateway_gone(b->g, c, b->now_ms);
            b->clients[client] = NULL;
        }
        break;
    case 2:
        if (c == NULL) {
            b->clients[client] = rp_gateway_open(b->g, b, b->now_ms);
        }
        break;
    case 3:
        drain(b, client, 7 + 100u * script_byte(s));
        break;
    case 4:
        b->now_ms += 100u * (what / 16u);
        rp_gateway_turn(b->g, b->now_ms);
        take_uplink(b);
        break;
    case 5:
        b->now_ms += 3000;
        rp_gateway_turn(b->g, b->now_ms);
        break;
    case 6:
        if (what / 16u < 4) {
            rp_gateway_uplink_lost(b->g, b->now_ms);
        } else {
            open_link(b);
        }
        break;
    case 7:
        text(b, client, script_bytes(s));
        break;
    case 8:
        if (c != NULL && what / 16u < 4) {
            rp_gateway_binary(b->g, c, script_bytes(s), b->now_ms);
        } else if (c != NULL) {
            rp_gateway_put_frame(b->g, c, rp_ws_frame(RP_WS_PONG, RP_BYTES_LIT("p")));
        } else if (what / 16u == 15) {
            rp_gateway_drain(b->g, b->now_ms, 2000);
        }
        break;
    case 9:
    case 10:
    case 11:
        packet(b, s, client);
        break;
    default:
        message = script_message(s);
        uplink(b, rp_buf_bytes(&message));
        rp_buf_done(&message);
        break;
    }
    check_accounts(b->g);
    reap(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct script s = {.rest = rp_bytes(data, size)};
    uint8_t how = script_byte(&s);
    struct bench b = {.now_ms = 100000, .reader = rp_op_reader_new()};
    struct rp_gateway_config config = {.ping_interval_ms = 2500,
                                       .ping_timeout_ms = 2000,
                                       .connect_timeout_ms = 10000,
                                       .max_payload = 100000,
                                       .queue_bytes = how & 2 ? 300 : 1 << 20,
                                       .queue_low_bytes = how & 2 ? 100 : 16384,
                                       .link_credit_bytes = how & 2 ? 1000 : 1 << 20,
                                       .name = "fuzz",
                                       .hash_key = {1, 2},
                                       .random = some_random,
                                       .random_ctx = &b.random};
    b.g = rp_gateway_new(&config, b.now_ms);
    if (how & 1) {
        begin(&b);
    }
    for (int i = 0; i < STEPS_MAX && s.rest.len > 0; i++) {
        step(&b, &s);
    }
    rp_gateway_free(b.g);
    rp_op_reader_free(b.reader);
    return 0;
}
