#include "tests/sim/world.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/limits.h"
#include "proto/ws.h"

#include <stdio.h>
#include <stdlib.h>

/* A message on its way. */
struct packet {
    struct rp_list node;
    uint64_t due_ms;
    struct rp_buf bytes;
};

static uint64_t below(struct world *w, uint64_t bound) {
    return rp_rng_below(&w->rng, bound);
}

static bool chance(struct world *w, unsigned per_thousand) {
    return below(w, 1000) < per_thousand;
}

static void world_random(void *ctx, void *out, size_t len) {
    struct world *w = ctx;
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *) out)[i] = (uint8_t) rp_rng_next(&w->rng);
    }
}

/* ---- queues of the network: in order, delayed ---- */

static void queue_put(struct world *w, struct rp_list *queue, struct rp_buf bytes) {
    struct packet *p = RP_NEW(struct packet);
    p->bytes = bytes;
    p->due_ms = w->now_ms + below(w, 4);
    if (!rp_list_is_empty(queue)) {
        uint64_t last = RP_CONTAINER_OF(queue->prev, struct packet, node)->due_ms;
        p->due_ms = p->due_ms > last ? p->due_ms : last;
    }
    rp_list_append(queue, &p->node);
}

static void queue_put_bytes(struct world *w, struct rp_list *queue, struct rp_bytes bytes) {
    struct rp_buf copy;
    rp_buf_init(&copy, bytes.len);
    RP_ASSERT(rp_buf_put(&copy, bytes) == RP_OK);
    queue_put(w, queue, copy);
}

/* The next packet that has arrived; the caller frees its bytes. */
static bool queue_take(struct world *w, struct rp_list *queue, struct rp_buf *ret_bytes) {
    struct rp_list *first = rp_list_first(queue);
    if (first == NULL || RP_CONTAINER_OF(first, struct packet, node)->due_ms > w->now_ms) {
        return false;
    }
    struct packet *p = RP_CONTAINER_OF(first, struct packet, node);
    *ret_bytes = p->bytes;
    rp_list_remove(first);
    free(p);
    return true;
}

static void queue_clear(struct rp_list *queue) {
    struct rp_list *first;
    while ((first = rp_list_first(queue)) != NULL) {
        struct packet *p = RP_CONTAINER_OF(first, struct packet, node);
        rp_list_remove(first);
        rp_buf_done(&p->bytes);
        free(p);
    }
}

/* ---- the broker ---- */

static struct rp_now broker_now(const struct world *w) {
    return (struct rp_now){.mono_ms = w->now_ms, .wall_ms = 1700000000000 + w->now_ms};
}

static void broker_start(struct world *w) {
    struct rp_core_config config = {.session_ttl_ms = 7200000,
                                    .gateway_timeout_ms = 4000,
                                    .retain_events = w->faults & FAULT_TRIM ? 300 : UINT64_MAX,
                                    .tail_records_max = 60 + below(w, 2000),
                                    .tail_bytes_max = 1 << 20,
                                    .link_credit_bytes = 6000,
                                    .page_bytes = 1500,
                                    .page_events = 8,
                                    .intervals_max = w->faults & FAULT_FORGET ? 6 : 4000,
                                    .hash_key = {1, 2},
                                    .random = world_random,
                                    .random_ctx = w};
    w->engine = rp_engine_memory_open(w->store, 20 + below(w, 500));
    RP_ASSERT(rp_core_new(&config, w->engine, broker_now(w), &w->core) == RP_OK);
}

static void broker_kill(struct world *w) {
    w->core = rp_core_free(w->core);
    w->engine->ops->close(w->engine);
    w->engine = NULL;
    for (size_t i = 0; i < GATEWAYS; i++) {
        queue_clear(&w->gateways[i].to_broker);
        queue_clear(&w->gateways[i].to_gateway);
        w->gateways[i].link_id = 0;
        if (w->gateways[i].core != NULL && !chance(w, 300)) {
            rp_gateway_uplink_lost(w->gateways[i].core, w->now_ms);
        } /* else it finds out by silence */
    }
}

/* The oracle's copy of what has been committed. */
static void copy_log(struct world *w) {
    size_t count;
    struct rp_record *const *log = rp_memory_store_log(w->store, &count);
    uint64_t last = w->log_count > 0 ? w->log[w->log_count - 1]->seq : 0;
    size_t from = count;
    while (from > 0 && log[from - 1]->seq > last) {
        from--;
    }
    for (; from < count; from++) {
        w->log =
            rp_array_reserve(w->log, w->log_count, &w->log_capacity, sizeof(struct rp_record *));
        w->log[w->log_count++] = rp_record_ref(log[from]);
    }
}

static struct gateway *gateway_of_link(struct world *w, uint64_t link_id) {
    for (size_t i = 0; i < GATEWAYS; i++) {
        if (w->gateways[i].core != NULL && w->gateways[i].link_id == link_id) {
            return &w->gateways[i];
        }
    }
    return NULL;
}

static void broker_run(struct world *w) {
    if (w->core == NULL) {
        if (w->now_ms >= w->broker_restart_at_ms) {
            broker_start(w);
        }
        return;
    }
    if (w->now_ms >= w->disk_busy_until_ms) {
        rp_engine_memory_step(w->engine, below(w, 30));
        w->disk_busy_until_ms = w->now_ms + (chance(w, 10) ? below(w, 600) : 0);
    }
    copy_log(w);
    while (rp_core_turn(w->core, broker_now(w))) {
    }
    uint64_t link_id;
    struct rp_buf message;
    while (rp_core_take(w->core, broker_now(w), &link_id, &message)) {
        struct gateway *gateway = gateway_of_link(w, link_id);
        if (gateway == NULL) {
            rp_buf_done(&message);
            rp_core_link_lost(w->core, link_id, broker_now(w));
        } else {
            queue_put(w, &gateway->to_gateway, message);
        }
    }
}

/* ---- gateways ---- */

static void gateway_start(struct world *w, struct gateway *gateway) {
    struct rp_gateway_config config = {.ping_interval_ms = 2500,
                                       .ping_timeout_ms = 2000,
                                       .connect_timeout_ms = 20000,
                                       .max_payload = 100000,
                                       .queue_bytes = 600,
                                       .queue_low_bytes = 100,
                                       .link_credit_bytes = 6000,
                                       .name = "sim",
                                       .hash_key = {3, 4},
                                       .random = world_random,
                                       .random_ctx = w};
    gateway->core = rp_gateway_new(&config, w->now_ms);
    gateway->link_id = 0;
}

static void conn_free(struct world *w, struct conn *c) {
    for (size_t i = 0; i < CLIENTS; i++) {
        RP_ASSERT(w->clients[i].conn != c);
    }
    queue_clear(&c->up);
    queue_clear(&c->down);
    rp_list_remove(&c->node);
    free(c);
}

/* The client notices the end of its connection. */
static void client_closed(struct world *w, struct conn *c) {
    if (c->client_open) {
        struct client *client = &w->clients[c->client];
        c->client_open = false;
        client->conn = NULL;
        client->reconnect_at_ms = w->now_ms + below(w, 300);
        stock_closed(&client->stock);
    }
}

static void gateway_kill(struct world *w, unsigned index) {
    struct gateway *gateway = &w->gateways[index];
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&w->conns, it, tmp) {
        struct conn *c = RP_CONTAINER_OF(it, struct conn, node);
        if (c->gateway == index) {
            c->handle = NULL;
            client_closed(w, c);
            conn_free(w, c);
        }
    }
    queue_clear(&gateway->to_broker);
    queue_clear(&gateway->to_gateway);
    gateway->core = rp_gateway_free(gateway->core);
    gateway->link_id = 0;
    gateway->restart_at_ms = w->now_ms + below(w, 3000);
}

/* Moves a client's output into the network, unless its socket is full. */
static void pull_output(struct world *w, struct gateway *gateway, struct conn *c) {
    enum { SOCKET_PACKETS = 6 };
    size_t on_the_way = 0;
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&c->down, it, tmp) {
        on_the_way++;
    }
    struct rp_bytes part;
    while (on_the_way++ < SOCKET_PACKETS && rp_client_output(c->handle, &part, 1) > 0) {
        queue_put_bytes(w, &c->down, part);
        rp_gateway_sent(gateway->core, c->handle, part.len, w->now_ms);
    }
}

static void flush_conns(struct world *w, unsigned index) {
    struct gateway *gateway = &w->gateways[index];
    while (rp_gateway_next_dirty(gateway->core) != NULL) {
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&w->conns, it, tmp) {
        struct conn *c = RP_CONTAINER_OF(it, struct conn, node);
        if (c->gateway != index || c->handle == NULL) {
            continue;
        }
        pull_output(w, gateway, c);
        bool noticed = c->gateway_notices_ms > 0 && w->now_ms >= c->gateway_notices_ms;
        bool closing = rp_client_is_closing(c->handle) && !rp_client_has_output(c->handle);
        bool stuck =
            rp_client_is_closing(c->handle) && (c->silent || c->stalled_until_ms > w->now_ms);
        if (noticed || closing || stuck) {
            rp_gateway_gone(gateway->core, c->handle, w->now_ms);
            c->handle = NULL;
        }
    }
}

static void run_link(struct world *w, struct gateway *gateway) {
    struct rp_buf message;
    enum rp_uplink_need need;
    while ((need = rp_gateway_uplink_need(gateway->core, w->now_ms)) == RP_UPLINK_CLOSE ||
           (need == RP_UPLINK_OPEN && w->core != NULL)) {
        queue_clear(&gateway->to_broker);
        queue_clear(&gateway->to_gateway);
        gateway->link_id = 0;
        gateway->link_silent = false;
        if (need == RP_UPLINK_OPEN) {
            gateway->link_id = w->next_link_id++;
            rp_gateway_uplink_opened(gateway->core, w->now_ms);
        }
    }
    while (rp_gateway_uplink_take(gateway->core, w->now_ms, &message)) {
        if (gateway->link_silent || gateway->link_id == 0) {
            rp_buf_done(&message);
        } else {
            queue_put(w, &gateway->to_broker, message);
        }
    }
    while (gateway->link_id != 0 && !gateway->link_silent &&
           queue_take(w, &gateway->to_gateway, &message)) {
        RP_ASSERT(rp_gateway_uplink_message(gateway->core, rp_buf_bytes(&message), w->now_ms) ==
                  RP_OK);
        rp_buf_done(&message);
    }
    while (w->core != NULL && gateway->link_id != 0 && !gateway->link_silent &&
           rp_core_wants_input(w->core) && queue_take(w, &gateway->to_broker, &message)) {
        RP_ASSERT(rp_core_message(w->core, gateway->link_id, rp_buf_bytes(&message),
                                  broker_now(w)) == RP_OK);
        rp_buf_done(&message);
    }
}

static void gateway_run(struct world *w, unsigned index) {
    struct gateway *gateway = &w->gateways[index];
    if (gateway->core == NULL) {
        if (w->now_ms >= gateway->restart_at_ms) {
            gateway_start(w, gateway);
        }
        return;
    }
    run_link(w, gateway);
    rp_gateway_turn(gateway->core, w->now_ms);
    flush_conns(w, index);
}

/* ---- clients ---- */

static void send_text(struct world *w, struct client *client, const char *format,
                      unsigned long long a, unsigned long long b, unsigned long long c) {
    char text[256];
    int len = snprintf(text, sizeof text, format, a, b, c);
    queue_put_bytes(w, &client->conn->up, rp_bytes(text, (size_t) len));
}

static void client_connect(struct world *w, unsigned index) {
    struct client *client = &w->clients[index];
    unsigned at = (unsigned) below(w, GATEWAYS);
    if (w->gateways[at].core == NULL) {
        client->reconnect_at_ms = w->now_ms + 100;
        return;
    }
    struct conn *c = RP_NEW(struct conn);
    c->client = index;
    c->gateway = at;
    c->client_open = true;
    rp_list_init(&c->up);
    rp_list_init(&c->down);
    rp_list_append(&w->conns, &c->node);
    c->handle = rp_gateway_open(w->gateways[at].core, c, w->now_ms);
    client->conn = c;
    struct rp_buf packet;
    rp_buf_init(&packet, 512);
    stock_connect_packet(&client->stock, &packet);
    queue_put(w, &c->up, packet);
}

static void act_publish(struct world *w, struct client *client, unsigned room) {
    struct ask ask = {.kind = ASK_PUBLISH, .room = room, .is_volatile = chance(w, 100)};
    ask.payload = w->next_payload++;
    uint64_t id;
    if (!stock_ask(&client->stock, ask, &id)) {
        return;
    }
    if (ask.is_volatile) {
        send_text(
            w, client,
            "42%llu[\"publish\",{\"room\":\"r%llu\",\"event\":\"v\",\"args\":[%llu,\"99999-zzzz\"],"
            "\"volatile\":true}]",
            id, room, ask.payload);
    } else if (chance(w, 150)) {
        send_text(w, client,
                  "42%llu[\"publish\",{\"room\":\"r%llu\",\"event\":\"e\",\"args\":[%llu],\"echo\":"
                  "false}]",
                  id, room, ask.payload);
    } else {
        send_text(w, client, "42%llu[\"publish\",\"r%llu\",\"e\",%llu]", id, room, ask.payload);
    }
}

/* An event that is larger than the whole credit of a link. */
static void act_publish_big(struct world *w, struct client *client, unsigned room) {
    struct ask ask = {.kind = ASK_PUBLISH, .room = room, .payload = w->next_payload++};
    uint64_t id;
    if (!stock_ask(&client->stock, ask, &id)) {
        return;
    }
    struct rp_buf text;
    rp_buf_init(&text, 20000);
    RP_ASSERT(rp_buf_printf(&text, "42%llu[\"publish\",\"r%u\",\"e\",%llu,\"%09000d\"]",
                            (unsigned long long) id, room, (unsigned long long) ask.payload,
                            0) == RP_OK);
    queue_put(w, &client->conn->up, text);
}

/* The same id with the same payload, again and again: stored once. */
static void act_publish_with_id(struct world *w, struct client *client, unsigned room) {
    struct ask ask = {.kind = ASK_PUBLISH_ID, .room = room};
    uint64_t id, key = chance(w, 600) ? w->next_publish_id++ : below(w, w->next_publish_id + 1);
    if (stock_ask(&client->stock, ask, &id)) {
        char text[256];
        int len = snprintf(text, sizeof text,
                           "42%llu[\"publish\",{\"room\":\"r%u\",\"event\":\"e\",\"args\":[%llu],"
                           "\"id\":\"k%llu\"}]",
                           (unsigned long long) id, room, 1000000000ull + (unsigned long long) key,
                           (unsigned long long) key);
        queue_put_bytes(w, &client->conn->up, rp_bytes(text, (size_t) len));
    }
}

static void act_join(struct world *w, struct client *client, unsigned room, bool since) {
    struct ask ask = {.kind = since ? ASK_JOIN_SINCE : ASK_JOIN, .room = room};
    uint64_t id;
    if (since && stock_is_asking(&client->stock, ASK_JOIN_SINCE)) {
        return; /* one at a time, so that the model knows whose history arrives */
    }
    uint64_t head = w->log_count > 0 ? w->log[w->log_count - 1]->seq : 0;
    ask.since = head > 0 ? below(w, head + 1) : 0;
    ask.limit = 1 + below(w, 60);
    if (!stock_ask(&client->stock, ask, &id)) {
        return;
    }
    if (since) {
        char text[128];
        int len =
            snprintf(text, sizeof text, "42%llu[\"join\",\"r%u\",{\"since\":%llu,\"limit\":%llu}]",
                     (unsigned long long) id, room, (unsigned long long) ask.since,
                     (unsigned long long) ask.limit);
        queue_put_bytes(w, &client->conn->up, rp_bytes(text, (size_t) len));
    } else {
        send_text(w, client, "42%llu[\"join\",\"r%llu\"]", id, room, 0);
    }
}

/* socket.disconnect(): the session is over. The connection is closed in order, so the packet
 * arrives. */
static void act_leave_for_good(struct world *w, struct client *client) {
    struct conn *c = client->conn;
    send_text(w, client, "41", 0, 0, 0);
    queue_clear(&c->down);
    c->gateway_notices_ms = w->now_ms + 50;
    client->farewells++;
    client_closed(w, c);
}

static void client_act(struct world *w, struct client *client) {
    unsigned room = (unsigned) below(w, ROOMS);
    uint64_t what = below(w, 100), id;
    client->actions++;
    if (what == 0 && chance(w, 100)) {
        act_publish_big(w, client, room);
    } else if (what < 70) {
        act_publish(w, client, room);
    } else if (what < 76) {
        act_publish_with_id(w, client, room);
    } else if (what < 86) {
        act_join(w, client, room, false);
    } else if (what < 90) {
        act_join(w, client, room, true);
    } else if (what < 95 && stock_ask(&client->stock, (struct ask){.kind = ASK_LEAVE}, &id)) {
        send_text(w, client, "42%llu[\"leave\",\"r%llu\"]", id, room, 0);
    } else if (what < 98 && stock_ask(&client->stock, (struct ask){.kind = ASK_OTHER}, &id)) {
        send_text(w, client, "42%llu[\"history\",\"r%llu\",{\"limit\":%llu}]", id, room,
                  1 + below(w, 20));
    } else if (what == 98 && chance(w, 100)) {
        act_leave_for_good(w, client);
    } else if (stock_ask(&client->stock, (struct ask){.kind = ASK_OTHER}, &id)) {
        send_text(w, client, "42%llu[\"presence\",\"r%llu\"]", id, room, 0);
    }
}

static void client_run(struct world *w, unsigned index) {
    struct client *client = &w->clients[index];
    if (client->conn == NULL) {
        if (w->now_ms >= client->reconnect_at_ms) {
            client_connect(w, index);
        }
        return;
    }
    for (unsigned n = (unsigned) below(w, 4); n > 0 && w->acting; n--) {
        if (client->stock.connected && chance(w, 250)) {
            client_act(w, client);
        }
    }
}

/* ---- connections ---- */

static void client_got(struct world *w, struct conn *c, struct rp_buf *bytes) {
    struct client *client = &w->clients[c->client];
    struct rp_ws_reader reader;
    struct rp_ws_msg msg;
    struct rp_bytes_mut in = {bytes->data, bytes->len};
    rp_ws_reader_init(&reader, RP_WS_CLIENT, 1 << 20);
    while (c->client_open && rp_ws_reader_next(&reader, &in, &msg) == RP_OK) {
        if (msg.kind == RP_WS_CLOSE) {
            client_closed(w, c);
        } else if (msg.kind == RP_WS_TEXT) {
            struct rp_buf answer;
            rp_buf_init(&answer, 64);
            stock_packet(&client->stock, msg.payload, &answer);
            if (answer.len > 0) {
                queue_put(w, &c->up, answer);
            } else {
                rp_buf_done(&answer);
            }
        }
    }
    rp_ws_reader_done(&reader);
}

static void conn_run(struct world *w, struct conn *c) {
    struct rp_buf bytes;
    struct gateway *gateway = &w->gateways[c->gateway];
    if (c->handle == NULL && c->client_open && rp_list_is_empty(&c->down) && !c->silent) {
        client_closed(w, c);
    }
    if (c->handle == NULL && !c->client_open) {
        conn_free(w, c);
        return;
    }
    while (!c->silent && c->client_open && w->now_ms >= c->stalled_until_ms &&
           queue_take(w, &c->down, &bytes)) {
        client_got(w, c, &bytes);
        rp_buf_done(&bytes);
    }
    while ((!c->silent || c->up_late) && c->handle != NULL && rp_client_wants_read(c->handle) &&
           queue_take(w, &c->up, &bytes)) {
        rp_gateway_text(gateway->core, c->handle, rp_buf_bytes(&bytes), w->now_ms);
        rp_buf_done(&bytes);
    }
}

/* ---- faults ---- */

static struct conn *any_conn(struct world *w) {
    struct client *client = &w->clients[below(w, CLIENTS)];
    return client->conn;
}

/* Makes what is on its way arrive late. */
static void delay(struct world *w, struct rp_list *queue) {
    uint64_t due_ms = w->now_ms + below(w, 400);
    struct rp_list *it, *tmp;
    RP_LIST_FOR(queue, it, tmp) {
        struct packet *p = RP_CONTAINER_OF(it, struct packet, node);
        p->due_ms = p->due_ms > due_ms ? p->due_ms : due_ms;
    }
}

/* The connection is cut: what is on the way is lost. The gateway hears of it soon, late, or not at
 * all. */
static void fault_cut_conn(struct world *w, struct conn *c, bool unnoticed) {
    queue_clear(&c->down);
    c->up_late = unnoticed;
    if (unnoticed) {
        delay(w, &c->up);
    } else {
        queue_clear(&c->up);
    }
    c->silent = true;
    c->gateway_notices_ms = unnoticed ? 0 : w->now_ms + below(w, 200);
    client_closed(w, c);
}

static void fault_cut_link(struct world *w) {
    struct gateway *gateway = &w->gateways[below(w, GATEWAYS)];
    if (gateway->core == NULL || gateway->link_id == 0) {
        return;
    }
    gateway->link_silent = true;
    queue_clear(&gateway->to_broker);
    queue_clear(&gateway->to_gateway);
    if (chance(w, 700)) {
        rp_gateway_uplink_lost(gateway->core, w->now_ms);
        gateway->link_id = 0;
    }
}

static void faults(struct world *w) {
    struct conn *c = any_conn(w);
    uint64_t before = w->faults_done;
    if ((w->faults & FAULT_CUT) && c != NULL && chance(w, 20)) {
        fault_cut_conn(w, c, false);
        w->faults_done++;
    } else if ((w->faults & FAULT_CUT) && chance(w, 4)) {
        fault_cut_link(w);
        w->faults_done++;
    } else if ((w->faults & FAULT_TAKEOVER) && c != NULL && chance(w, 12)) {
        fault_cut_conn(w, c, true);
        w->clients[c->client].reconnect_at_ms = w->now_ms + below(w, 30);
        w->faults_done++;
    } else if ((w->faults & FAULT_STALL) && c != NULL && chance(w, 10)) {
        c->stalled_until_ms = w->now_ms + below(w, 1500);
        w->faults_done++;
    } else if ((w->faults & FAULT_KILL) && chance(w, 4)) {
        unsigned index = (unsigned) below(w, GATEWAYS);
        if (w->gateways[index].core != NULL) {
            gateway_kill(w, index);
            w->faults_done++;
        }
    } else if ((w->faults & FAULT_RESTART) && w->core != NULL && chance(w, 4)) {
        broker_kill(w);
        w->broker_restart_at_ms = w->now_ms + below(w, 2000);
        w->faults_done++;
    } else if ((w->faults & FAULT_REFUSE) && w->core != NULL && chance(w, 3)) {
        rp_engine_memory_refuse(w->engine, 1 + below(w, 20));
        w->faults_done++;
    }
    if (before != w->faults_done && chance(w, 50)) {
        w->now_ms += below(w, 3000); /* the machine sleeps */
    }
}

/* ---- the world ---- */

void world_init(struct world *w, uint64_t seed, unsigned faults_allowed) {
    *w = (struct world){.rng = {seed},
                        .faults = faults_allowed,
                        .now_ms = 1000,
                        .next_link_id = 1,
                        .next_payload = 1,
                        .acting = true};
    rp_list_init(&w->conns);
    w->store = rp_memory_store_new("simepoch");
    for (size_t i = 0; i < GATEWAYS; i++) {
        rp_list_init(&w->gateways[i].to_broker);
        rp_list_init(&w->gateways[i].to_gateway);
        gateway_start(w, &w->gateways[i]);
    }
    broker_start(w);
}

void world_step(struct world *w) {
    w->now_ms += 1 + below(w, 5);
    broker_run(w);
    for (unsigned i = 0; i < GATEWAYS; i++) {
        gateway_run(w, i);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_run(w, i);
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&w->conns, it, tmp) {
        conn_run(w, RP_CONTAINER_OF(it, struct conn, node));
    }
    faults(w);
}

void world_done(struct world *w) {
    for (unsigned i = 0; i < GATEWAYS; i++) {
        if (w->gateways[i].core != NULL) {
            gateway_kill(w, i);
        }
    }
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&w->conns, it, tmp) {
        conn_free(w, RP_CONTAINER_OF(it, struct conn, node));
    }
    if (w->core != NULL) {
        broker_kill(w);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        stock_done(&w->clients[i].stock);
    }
    for (size_t i = 0; i < w->log_count; i++) {
        rp_record_unref(w->log[i]);
    }
    free(w->log);
    rp_memory_store_free(w->store);
}
