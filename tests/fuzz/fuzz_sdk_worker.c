/* The core of a worker and a broker that sends anything: the worker may give the link up, but not
 * break, and its accounts stay right.
 *
 * Input: steps (fuzz_script.h). Each begins with a byte that says what happens. */
#include "common/alloc.h"
#include "common/limits.h"
#include "sdk/worker.h"
#include "tests/fuzz/fuzz_script.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 400, HELD = 8 };

struct stand {
    struct script script;
    struct rp_worker *w;
    uint64_t now_ms;
    struct rp_worker_task *held[HELD];      /* held, answered or not */
    struct rp_worker_task *undecided[HELD]; /* left, so they go with their answer */
    struct reprise_socket *socket;          /* a reference */
    size_t asked, ended, refused;
};

static void fuzz_random(void *ctx, void *out, size_t len) {
    (void) ctx;
    memset(out, 7, len);
}

static struct rp_op_decided some_answer(struct stand *s) {
    return (struct rp_op_decided){.verdict = script_byte(&s->script) % 3,
                                  .code = script_name(&s->script, 0),
                                  .args = script_name(&s->script, 1)};
}

static void let_go(struct stand *s, size_t i) {
    struct rp_op_decided answer = {0};
    if (s->held[i] != NULL) {
        if (!s->held[i]->decided) {
            (void) rp_worker_decide(s->held[i], &answer);
        }
        rp_worker_task_release(s->held[i]);
        s->held[i] = NULL;
    }
    if (s->undecided[i] != NULL) {
        (void) rp_worker_decide(s->undecided[i], &answer);
        s->undecided[i] = NULL;
    }
}

static void on_task(struct stand *s, struct rp_worker_task *t) {
    uint8_t byte = script_byte(&s->script);
    size_t place = byte / 4 % HELD;
    let_go(s, place);
    if (byte % 4 == 0) {
        rp_worker_task_hold(t);
        s->held[place] = t;
    } else if (byte % 4 == 1) {
        s->undecided[place] = t;
    } else {
        struct rp_op_decided answer = some_answer(s);
        RP_ASSERT(rp_worker_decide(t, &answer) == REPRISE_OK);
        RP_ASSERT(rp_worker_decide(t, &answer) == REPRISE_E_GONE);
    }
}

static void pull(struct stand *s) {
    struct rp_worker_happening h;
    while (rp_worker_next(s->w, &h)) {
        switch (h.kind) {
        case RP_WORKER_TASK:
            on_task(s, h.task);
            break;
        case RP_WORKER_SOCKET:
            RP_ASSERT(h.socket->state == RP_WORKER_SOCKET_CONNECTED);
            rp_worker_socket_unref(s->socket);
            s->socket = rp_worker_socket_ref(h.socket);
            break;
        case RP_WORKER_ENDED:
            RP_ASSERT(h.wait->owner == s);
            s->ended++;
            break;
        case RP_WORKER_EXPIRED:
            RP_ASSERT(h.served != NULL);
            break;
        default:
            break;
        }
    }
}

static void ask(struct stand *s) {
    static const enum rp_op_kind kinds[] = {RP_OP_EMIT, RP_OP_MOVE,  RP_OP_EXPEL,
                                            RP_OP_DATA, RP_OP_FETCH, RP_OP_SIDE};
    static const enum rp_worker_wait_kind waits[] = {RP_WORKER_WAIT_ACKS,   RP_WORKER_WAIT_STORED,
                                                     RP_WORKER_WAIT_STORED, RP_WORKER_WAIT_STORED,
                                                     RP_WORKER_WAIT_FETCH,  RP_WORKER_WAIT_SIDE};
    uint8_t byte = script_byte(&s->script);
    size_t which = byte % 6;
    struct rp_op op = {.kind = kinds[which]};
    struct rp_worker_ask how = {.is_volatile = which == 0 && (byte & 0x40) != 0,
                                .has_wait = which == 4 || (byte & 0x80) != 0,
                                .wait = waits[which],
                                .session = which == 0 ? script_byte(&s->script) % 3 : 0,
                                .timeout_ms = script_number(&s->script),
                                .owner = s};
    if (rp_worker_ask(s->w, &op, &how) == REPRISE_OK && how.has_wait) {
        s->asked++;
    }
}

static void message(struct stand *s) {
    struct rp_buf bytes = script_message(&s->script);
    rp_worker_feed(s->w, rp_buf_bytes(&bytes), s->now_ms);
    pull(s);
    rp_buf_done(&bytes);
}

/* What would take a script long to find. */
static void welcome(struct stand *s) {
    struct rp_op op = {.kind = RP_OP_WELCOME,
                       .welcome = {.epoch = RP_BYTES_LIT("epoch000"), .head = s->script.head}};
    struct rp_buf bytes;
    rp_buf_init(&bytes, 1024);
    RP_ASSERT(rp_op_put(&bytes, &op) == RP_OK);
    rp_worker_feed(s->w, rp_buf_bytes(&bytes), s->now_ms);
    pull(s);
    rp_buf_done(&bytes);
}

static void link_step(struct stand *s) {
    switch (rp_worker_need(s->w, s->now_ms)) {
    case RP_WORKER_NEED_OPEN:
        rp_worker_opened(s->w, s->now_ms);
        welcome(s);
        break;
    case RP_WORKER_NEED_CLOSE:
    case RP_WORKER_NEED_NONE:
        break;
    }
}

static void step(struct stand *s) {
    struct rp_buf out;
    uint8_t byte = script_byte(&s->script);
    switch (byte % 12) {
    case 0:
        s->now_ms += script_number(&s->script) % 10000;
        rp_worker_turn(s->w, s->now_ms);
        pull(s);
        break;
    case 1:
        rp_worker_lost(s->w, s->now_ms);
        pull(s);
        break;
    case 2:
        ask(s);
        break;
    case 3:
        let_go(s, script_byte(&s->script) % HELD);
        break;
    case 4:
        if (s->socket != NULL) {
            enum reprise_err err =
                rp_worker_socket_move(s->socket, script_name(&s->script, 0), (byte & 16) != 0);
            s->refused += err != REPRISE_OK;
        }
        break;
    case 5:
        if (byte > 250) {
            rp_worker_bye(s->w);
        }
        break;
    default:
        message(s);
        break;
    }
    link_step(s);
    while (rp_worker_take(s->w, s->now_ms, &out)) {
        rp_buf_done(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct stand s = {.script = {.rest = rp_bytes(data, size), .head = 5}, .now_ms = 1000};
    struct rp_worker_config config = {
        .name = "fuzzed", .link_credit_bytes = 1 << 16, .random = fuzz_random};
    s.w = rp_worker_new(&config);
    RP_ASSERT(rp_worker_serve(s.w, RP_BYTES_LIT("/"), 0) != NULL);
    RP_ASSERT(rp_worker_serve(s.w, RP_BYTES_LIT("/r*"), RP_OP_PATTERN) != NULL);
    link_step(&s);
    for (int i = 0; i < STEPS_MAX && s.script.rest.len > 0; i++) {
        step(&s);
    }
    rp_worker_abandon(s.w, REPRISE_E_CLOSED);
    pull(&s);
    RP_ASSERT(s.asked == s.ended); /* whoever waits is told once */
    if (size % 2 == 0) {           /* before or after the worker has gone */
        s.w = rp_worker_free(s.w);
    }
    for (size_t i = 0; i < HELD; i++) {
        let_go(&s, i);
    }
    rp_worker_socket_unref(s.socket);
    if (s.w != NULL) {
        struct rp_worker_stats stats;
        rp_worker_stats(s.w, &stats);
        RP_ASSERT(stats.waits_count == 0);
        RP_ASSERT(stats.requests_count > 0 || stats.requests_bytes == 0);
    }
    rp_worker_free(s.w);
    return 0;
}
