/* The gateway's core between clients that send anything, over WebSockets, long-polling and other
 * gateways, and a broker that sends anything: it may close either, but not break, and its accounts
 * stay right.
 *
 * Input: one byte of how to begin, then steps (fuzz_script.h). */
#include "common/pattern.h"
#include "proto/deflate.h"
#include "proto/ws.h"
#include "tests/fuzz/gateway_accounts.h"
#include "tests/fuzz/fuzz_script.h"

#include <stdio.h>
#include <stdlib.h>

#define HANDSHAKE RP_BYTES_LIT("\"url\":\"/x\"")

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 400, CLIENTS = 4, EXCHANGES = 6, SIDS = 4 };

/* Bits of the first byte. */
enum { BEGUN = 1, SMALL = 2, MSGPACK = 4, NO_RECOVERY = 8, ECHO = 16, DEFLATE = 32 };

struct bench {
    struct rp_gateway *g;
    struct rp_wire *clients[CLIENTS];      /* NULL: none there */
    struct rp_exchange *polls[EXCHANGES];  /* the same */
    char sids[SIDS][RP_EIO_SID_BYTES_MAX]; /* of the sessions that were opened last */
    size_t opened;
    uint8_t how;
    uint64_t now_ms;
    uint8_t random;
    struct rp_op_reader *reader;
};

static void some_random(void *ctx, void *out, size_t len) {
    memset(out, ++*(uint8_t *) ctx, len);
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
    if (b->clients[client] == NULL || !rp_wire_wants_read(b->clients[client])) {
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

/* It ends, whatever is under way: its goodbye is the last word on the link, if there is one. */
static void say_goodbye(struct bench *b) {
    struct rp_buf message;
    bool is_up = b->g->link_state == RP_LINK_UP;
    enum rp_op_kind last = RP_OP_HELLO;
    rp_gateway_bye(b->g);
    while (rp_gateway_uplink_take(b->g, b->now_ms, &message)) {
        struct rp_bytes in = rp_buf_bytes(&message);
        while (in.len > 0) {
            struct rp_op op;
            RP_ASSERT(rp_op_next(b->reader, &in, &op) == RP_OK);
            RP_ASSERT(last != RP_OP_BYE);
            last = op.kind;
        }
        rp_buf_done(&message);
    }
    RP_ASSERT(!is_up || last == RP_OP_BYE);
}

static void open_link(struct bench *b) {
    if (rp_gateway_uplink_need(b->g, b->now_ms) == RP_UPLINK_OPEN) {
        rp_gateway_uplink_opened(b->g, b->now_ms);
    }
}

/* What a client reads. */
static void check_frames(struct rp_bytes blob) {
    struct rp_bytes_mut in = {malloc(blob.len), blob.len};
    RP_ASSERT(in.data != NULL);
    uint8_t *copy = in.data;
    memcpy(copy, blob.data, blob.len);
    while (in.len > 0) {
        struct rp_ws_reader reader;
        struct rp_ws_msg msg;
        rp_ws_reader_init(&reader, RP_WS_CLIENT, 1 << 24);
        enum rp_err err = rp_ws_reader_next(&reader, &in, &msg);
        rp_ws_reader_done(&reader);
        RP_ASSERT(err == RP_OK || err == RP_E_UTF8); /* the broker may say what is not */
        if (err != RP_OK) {
            break;
        }
    }
    free(copy);
}

/* The client takes so many bytes; whole frames are frames. */
static void drain(struct bench *b, size_t client, size_t bytes) {
    struct rp_wire *c = b->clients[client];
    struct rp_bytes part;
    while (c != NULL && bytes > 0 && rp_wire_output(c, &part, 1) > 0) {
        size_t n = part.len < bytes ? part.len : bytes;
        if (c->queue.sent == 0 && n == part.len && !(b->how & DEFLATE)) {
            check_frames(part);
        }
        rp_gateway_sent(b->g, c, n, b->now_ms);
        bytes -= n;
    }
}

static size_t polls_count(const struct bench *b) {
    size_t count = 0;
    for (size_t i = 0; i < EXCHANGES; i++) {
        count += b->polls[i] != NULL;
    }
    return count;
}

static void end_poll(struct bench *b, size_t i, bool delivered) {
    if (b->polls[i] != NULL) {
        rp_gateway_exchange_end(b->g, b->polls[i], delivered, b->now_ms);
        b->polls[i] = NULL;
    }
}

/* What a shell does at the end of a turn. */
static void reap(struct bench *b) {
    const struct rp_exchange *x;
    while (rp_gateway_next_dirty(b->g) != NULL) {
    }
    while ((x = rp_gateway_next_answered(b->g)) != NULL) {
        int status = rp_exchange_status(x);
        RP_ASSERT(status == 200 || status == 400 || status == 403);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        struct rp_wire *c = b->clients[i];
        if (c != NULL && rp_wire_is_closing(c) && !rp_wire_has_output(c)) {
            rp_gateway_gone(b->g, c, b->now_ms);
            b->clients[i] = NULL;
        }
    }
}

/* ---- long-polling and other gateways ---- */

/* A sid: of a session opened here, or one that another gateway would have made. */
static struct rp_bytes some_sid(struct bench *b, struct script *s) {
    uint8_t which = script_byte(s);
    char *text = b->sids[which % SIDS];
    if (which & 0x80) {
        memset(s->text, 'A', RP_EIO_SID_BYTES_MAX);
        s->text[0] = (char) ('A' + which % 4); /* incarnations 0 to 3 */
        text = s->text;
    }
    return rp_bytes(text, RP_EIO_SID_BYTES_MAX - (which == 0x7F ? 1u : 0u));
}

static void poll_open(struct bench *b, size_t i) {
    struct rp_exchange *x = rp_gateway_poll_open(b->g, b, HANDSHAKE, b->now_ms);
    struct rp_bytes sid = rp_exchange_sid(x);
    RP_ASSERT(sid.len == RP_EIO_SID_BYTES_MAX);
    memcpy(b->sids[b->opened++ % SIDS], sid.data, sid.len);
    b->polls[i] = x;
}

static void post_body(struct bench *b, size_t i, struct rp_buf *body) {
    const struct rp_exchange *x = b->polls[i];
    if (rp_exchange_status(x) == 0 && !x->is_get && !x->has_body) {
        rp_gateway_post_body(b->g, b->polls[i], body, b->now_ms);
        RP_ASSERT(body->len == 0);
    }
}

static void poll_post(struct bench *b, struct script *s, size_t i) {
    static const char *const shapes[] = {
        "%.*s",
        "40%.*s",
        "40\x1e"
        "3\x1e"
        "42[\"join\",\"r0\"]\x1e%.*s",
        "42[\"join\",\"r1\"]\x1e"
        "42[\"publish\",\"r0\",\"e\",%.*s]",
        "451-[\"publish\",\"r0\",\"e\",{\"_placeholder\":true,\"num\":0}]\x1e"
        "b%.*s",
        "bgqR0eXBlAKNuc3ChLw==%.*s",
        "4x%.*s",
        "1%.*s",
    };
    struct rp_bytes sid = some_sid(b, s);
    char copy[RP_EIO_SID_BYTES_MAX], out[512];
    memcpy(copy, sid.data, sid.len);
    uint8_t shape = script_byte(s);
    int len = snprintf(out, sizeof out, shapes[shape % (sizeof shapes / sizeof shapes[0])],
                       RP_BYTES_FMT(script_bytes(s)));
    struct rp_buf body;
    rp_buf_init(&body, sizeof out);
    RP_ASSERT(rp_buf_put(&body, rp_bytes(out, (size_t) len)) == RP_OK);
    b->polls[i] = rp_gateway_poll_post(b->g, b, rp_bytes(copy, sid.len), b->now_ms);
    if (!(shape & 0x80)) { /* else it comes later, or never */
        post_body(b, i, &body);
    }
    rp_buf_done(&body);
}

static void poll_step(struct bench *b, struct script *s) {
    uint8_t what = script_byte(s);
    size_t i = what / 8u % EXCHANGES;
    if (b->polls[i] != NULL && what & 4) {
        struct rp_buf body;
        rp_buf_init(&body, 512);
        RP_ASSERT(rp_buf_put(&body, script_bytes(s)) == RP_OK);
        post_body(b, i, &body);
        rp_buf_done(&body);
        return;
    }
    if (b->polls[i] != NULL) {
        end_poll(b, i, what & 1);
        return;
    }
    switch (what % 8) {
    case 0:
    case 1:
        poll_open(b, i);
        break;
    case 2:
    case 3:
    case 4:
        b->polls[i] = rp_gateway_poll_get(b->g, b, some_sid(b, s), b->now_ms);
        break;
    default:
        poll_post(b, s, i);
        break;
    }
}

static void use_wire(struct bench *b, size_t client, struct rp_wire *w) {
    b->clients[client] = w;
    if (w != NULL && (b->how & DEFLATE)) {
        rp_wire_use_deflate(w);
    }
}

/* Something that another gateway says, with ids that are likely in use. */
static void relayed(struct bench *b, struct script *s) {
    static const char *const data[] = {"2probe", "5", "3", "40", "42[\"join\",\"r0\"]", "1"};
    uint8_t what = script_byte(s), id = script_byte(s);
    struct rp_op op = {.kind = RP_OP_RELAYED};
    op.relayed.from = 1 + (id & 1);
    op.relayed.what = what % 12u;
    op.relayed.id = (id / 2 % 8) | (id & 0x80 ? UINT64_C(1) << 63 : 0);
    op.relayed.number = script_number(s);
    op.relayed.sid = some_sid(b, s);
    op.relayed.data = what >= 0xE0 ? script_bytes(s)
                                   : rp_bytes_str(data[what / 12 % (sizeof data / sizeof *data)]);
    uplink_op(b, op);
}

/* Two connected clients (connections 1 and 2), both in r0; requests 1 and 2 were theirs. */
static void begin(struct bench *b) {
    open_link(b);
    uplink_op(b, (struct rp_op){.kind = RP_OP_WELCOME,
                                .welcome = {.version = RP_PROTOCOL_VERSION,
                                            .epoch = RP_BYTES_LIT("epoch000"),
                                            .head = 5}});
    for (size_t i = 0; i < 2; i++) {
        use_wire(b, i, rp_gateway_open(b->g, b, HANDSHAKE, b->now_ms));
        if (b->how & ECHO) {
            continue;
        }
        if (b->how & MSGPACK) {
            rp_gateway_binary(b->g, b->clients[i], RP_BYTES_LIT("\x82\xa4type\x00\xa3nsp\xa1/"),
                              b->now_ms);
        } else {
            text(b, i, RP_BYTES_LIT("40"));
        }
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
        "40/n,%.*s",
        "42/n,1[\"join\",%.*s]",
        "41/n,%.*s",
        "452-[\"publish\",\"r0\",\"e\",{\"_placeholder\":true,\"num\":1},%.*s]",
        "451-/n,[\"publish\",\"r0\",\"e\",%.*s]",
        "425[\"publish\",{\"room\":\"r0\",\"event\":\"e\",\"volatile\":true,\"args\":[%.*s]}]",
        "40/other,{%.*s}",
        "42/other,1[%.*s]",
        "43%.*s",
        "43/other,1[%.*s]",
        "461-/n,5[%.*s]",
    };
    uint8_t shape = script_byte(s);
    struct rp_bytes piece = script_bytes(s);
    char out[512];
    int len = snprintf(out, sizeof out, shapes[shape % (sizeof shapes / sizeof shapes[0])],
                       RP_BYTES_FMT(piece)); /* a NUL ends the piece */
    text(b, client, rp_bytes(out, (size_t) len));
}

/* A msgpack packet: a map of a type, a namespace and data that the script adds to. */
static void msgpack_packet(struct bench *b, struct script *s, size_t client) {
    static const struct {
        const char *bytes;
        size_t len;
    } heads[] = {
#define HEAD(text) {text, sizeof text - 1}
        HEAD(""),
        HEAD("\x82\xa4type\x00\xa3nsp\xa1/"),
        HEAD("\x82\xa4type\x00\xa3nsp\xa2/n"),
        HEAD("\x82\xa4type\x01\xa3nsp\xa2/n"),
        HEAD("\x83\xa4type\x02\xa3nsp\xa1/\xa4"
             "data"),
        HEAD("\x84\xa4type\x02\xa3nsp\xa1/\xa2id\x01\xa4"
             "data"),
        HEAD("\x84\xa4type\x02\xa3nsp\xa2/n\xa2id\x01\xa4"
             "data"),
        HEAD("\x84\xa4type\x02\xa3nsp\xa1/\xa2id\x01\xa4"
             "data\x92\xa4join"),
        HEAD("\x84\xa4type\x02\xa3nsp\xa1/\xa2id\x01\xa4"
             "data\x94\xa7publish\xa2r0\xa1"
             "e"),
        HEAD("\x84\xa4type\x03\xa3nsp\xa1/\xa2id\x01\xa4"
             "data"),
#undef HEAD
    };
    size_t which = script_byte(s) % (sizeof heads / sizeof heads[0]);
    struct rp_bytes tail = script_bytes(s);
    struct rp_buf out;
    rp_buf_init(&out, 4096);
    RP_ASSERT(rp_buf_put(&out, rp_bytes(heads[which].bytes, heads[which].len)) == RP_OK);
    RP_ASSERT(rp_buf_put(&out, tail) == RP_OK);
    if (b->clients[client] != NULL && rp_wire_wants_read(b->clients[client])) {
        rp_gateway_binary(b->g, b->clients[client], rp_buf_bytes(&out), b->now_ms);
    }
    rp_buf_done(&out);
}

static void time_step(struct bench *b, struct script *s) {
    uint8_t ms = script_byte(s);
    b->now_ms += ms < 0x80 ? 20u * ms : 3000u;
    rp_gateway_turn(b->g, b->now_ms);
    RP_ASSERT(rp_gateway_deadline_ms(b->g) > b->now_ms || b->g->link_state != RP_LINK_UP ||
              rp_link_heartbeat_due(&b->g->link, b->now_ms));
    if (ms % 4 != 3) {
        take_uplink(b);
    }
}

static void link_step(struct bench *b, struct script *s) {
    uint8_t what = script_byte(s);
    if (what % 4 == 0) {
        rp_gateway_uplink_lost(b->g, b->now_ms);
    } else if (what % 4 == 1) {
        uplink_op(b, (struct rp_op){.kind = RP_OP_LOST, .lost = {.incarnation = what / 4 % 4}});
    } else if (what % 4 == 2 && what >= 0xF0) {
        rp_gateway_drain(b->g, b->now_ms, 2000);
    } else {
        open_link(b);
        uplink_op(b, (struct rp_op){.kind = RP_OP_HEARTBEAT,
                                    .heartbeat = {.consumed = b->g->link.sent_bytes}});
    }
}

static void wire_step(struct bench *b, struct script *s, size_t client) {
    struct rp_wire *c = b->clients[client];
    uint8_t what = script_byte(s);
    if (c == NULL) {
        use_wire(b, client,
                 what % 2 ? rp_gateway_open(b->g, b, HANDSHAKE, b->now_ms)
                          : rp_gateway_upgrade(b->g, b, some_sid(b, s), b->now_ms));
    } else if (what % 4 == 0) {
        rp_gateway_gone(b->g, c, b->now_ms);
        b->clients[client] = NULL;
    } else if (what % 4 == 1) {
        rp_gateway_put_frame(b->g, c, rp_ws_frame(RP_WS_PONG, RP_BYTES_LIT("p")));
    } else if (what % 4 == 2) {
        text(b, client, what & 0x80 ? RP_BYTES_LIT("2probe") : RP_BYTES_LIT("5"));
    } else if (what == 0xFF) {
        rp_gateway_close(b->g, c, 1009, "too big", RP_LEAVE_TRANSPORT_ERROR, b->now_ms);
    } else {
        rp_gateway_binary(b->g, c, script_bytes(s), b->now_ms);
    }
}

static void step(struct bench *b, struct script *s) {
    uint8_t what = script_byte(s);
    size_t client = what / 16u % CLIENTS;
    struct rp_buf message;
    s->head = b->g->seen;
    switch (what % 16) {
    case 0:
        uplink(b, script_bytes(s));
        break;
    case 1:
    case 2:
        wire_step(b, s, client);
        break;
    case 3:
        drain(b, client, 7 + 100u * script_byte(s));
        break;
    case 4:
        time_step(b, s);
        break;
    case 5:
        link_step(b, s);
        break;
    case 6:
    case 7:
        poll_step(b, s);
        break;
    case 8:
        relayed(b, s);
        break;
    case 9:
    case 10:
        if (b->how & MSGPACK) {
            msgpack_packet(b, s, client);
        } else {
            packet(b, s, client);
        }
        break;
    case 11:
        text(b, client, script_bytes(s));
        break;
    default:
        message = script_message(s);
        uplink(b, rp_buf_bytes(&message));
        rp_buf_done(&message);
        break;
    }
    check_accounts(b->g, polls_count(b));
    reap(b);
    check_accounts(b->g, polls_count(b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct script s = {.rest = rp_bytes(data, size)};
    uint8_t how = script_byte(&s);
    struct bench b = {.now_ms = 100000, .how = how, .reader = rp_op_reader_new()};
    struct rp_patterns *namespaces;
    RP_ASSERT(rp_patterns_parse("/,/n*", RP_PATTERNS_EXACT, &namespaces) == RP_OK);
    struct rp_deflate *deflate = how & DEFLATE ? rp_deflate_new(1) : NULL;
    struct rp_gateway_config config = {
        .mode = how & ECHO ? RP_GATEWAY_ECHO_EIO : RP_GATEWAY_SOCKETIO,
        .parser = how & MSGPACK ? RP_PARSER_MSGPACK : RP_PARSER_DEFAULT,
        .no_recovery = how & NO_RECOVERY,
        .ping_interval_ms = 2500,
        .ping_timeout_ms = 2000,
        .connect_timeout_ms = 10000,
        .upgrade_timeout_ms = 1500,
        .max_payload = 100000,
        .queue_bytes = how & SMALL ? 300 : 1 << 20,
        .queue_low_bytes = how & SMALL ? 100 : 16384,
        .link_credit_bytes = how & SMALL ? 1000 : 1 << 20,
        .name = "fuzz",
        .namespaces = namespaces,
        .deflate = deflate,
        .deflate_bytes_min = 40,
        .hash_key = {1, 2},
        .random = some_random,
        .random_ctx = &b.random};
    b.g = rp_gateway_new(&config, b.now_ms);
    if (how & BEGUN) {
        begin(&b);
    }
    for (int i = 0; i < STEPS_MAX && s.rest.len > 0; i++) {
        step(&b, &s);
    }
    say_goodbye(&b);
    for (size_t i = 0; i < EXCHANGES; i++) {
        end_poll(&b, i, i % 2);
    }
    rp_gateway_free(b.g);
    rp_op_reader_free(b.reader);
    rp_deflate_free(deflate);
    rp_patterns_free(namespaces);
    return 0;
}
