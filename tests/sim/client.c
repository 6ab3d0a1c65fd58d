/* tests/sim/client.c — what clients do: come back, join, leave, publish, ask, and go for good. */
#include "tests/sim/world.h"

#include "common/alloc.h"
#include "common/assert.h"

#include <stdarg.h>
#include <stdio.h>

enum { PACKET_BYTES_MAX = 1 << 20 };

static void must(enum rp_err err) {
    RP_ASSERT(err == RP_OK);
}

/* ---- what it does and hears, for those who want to see it ---- */

static void heard(const void *ctx, unsigned nsp, const char *what, uint64_t number) {
    const struct client *client = ctx;
    world_trace(client->world, "client %u %s %s %llu", client->index, stock_nsp_name(nsp), what,
                (unsigned long long) number);
}

void client_trace(const struct world *w, const struct client *client, const struct stock *s,
                  const char *what, uint64_t id, const char *json) {
    world_trace(w, "client %u %s %s %lld: %s", client->index, stock_nsp_name(s->nsp), what,
                id == UINT64_MAX ? -1 : (long long) id, json);
}

void client_init(struct world *w, unsigned index) {
    struct client *client = &w->clients[index];
    client->world = w;
    client->index = index;
    stock_init(&client->stock, w->profile.binary);
    engine_init(&client->engine);
    if (w->tracing) {
        client->stock.trace = heard;
        client->stock.trace_ctx = client;
    }
    client->nsps = 1u | (unsigned) chance(w, w->profile.second) << 1;
    for (unsigned nsp = FIRST_APP; nsp < NAMESPACES; nsp++) {
        client->nsps |= (unsigned) chance(w, w->profile.apps) << nsp;
    }
}

/* ---- what the oracle is told ---- */

static struct moment now(const struct world *w) {
    return (struct moment){.era = (unsigned) w->past_count,
                           .logged = w->now.log_count,
                           .borders = w->borders_count,
                           .born_head = w->broker.born_head,
                           .first = w->broker.first};
}

bool client_ask(const struct world *w, struct stock *s, struct ask ask, uint64_t *ret_id) {
    ask.asked = now(w);
    return stock_ask(s, ask, ret_id);
}

void client_note(struct world *w, struct client *client) {
    for (unsigned nsp = 0; nsp < NAMESPACES; nsp++) {
        struct stock *s = &client->stock.sockets[nsp];
        for (; s->answers_noted < s->answers_count; s->answers_noted++) {
            struct answered *a = &s->answers[s->answers_noted];
            a->told = now(w);
            if (a->ask.kind == ASK_EVENT) {
                w->apps.events[a->ask.payload / NAMESPACES].acked_ms = w->now_ms;
            }
        }
    }
}

/* ---- packets ---- */

void client_begin_event(struct rp_buf *out, const struct stock *s, size_t attachments,
                        uint64_t id) {
    if (attachments > 0) {
        must(rp_buf_printf(out, "45%zu-", attachments));
    } else {
        must(rp_buf_put_str(out, "42"));
    }
    must(rp_buf_put_str(out, stock_nsp_prefix(s->nsp)));
    if (id != UINT64_MAX) {
        must(rp_buf_printf(out, "%llu", (unsigned long long) id));
    }
}

/* An event without attachments. */
static void send_event(struct world *w, struct client *client, const struct stock *s, uint64_t id,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));

static void send_event(struct world *w, struct client *client, const struct stock *s, uint64_t id,
                       const char *format, ...) {
    char json[256];
    va_list args;
    va_start(args, format);
    vsnprintf(json, sizeof json, format, args);
    va_end(args);
    client_trace(w, client, s, "asks", id, json);
    struct rp_buf packet;
    rp_buf_init(&packet, 512);
    client_begin_event(&packet, s, 0, id);
    must(rp_buf_put_str(&packet, json));
    engine_send(w, client, packet, false);
}

void client_send_connect(struct world *w, struct client *client, struct stock *s) {
    struct rp_buf packet;
    rp_buf_init(&packet, 512);
    stock_connect_packet(s, w->now_ms, &packet);
    s->connections[s->connections_count - 1].at = now(w);
    client_trace(w, client, s, "connects with", s->connections_count, s->offset);
    engine_send(w, client, packet, false);
}

static void send_disconnect(struct world *w, struct client *client, struct stock *s) {
    struct rp_buf packet;
    rp_buf_init(&packet, 16);
    must(rp_buf_printf(&packet, "41%s", stock_nsp_prefix(s->nsp)));
    client_trace(w, client, s, "leaves after", s->connections_count, "");
    stock_leave(s);
    engine_send(w, client, packet, false);
}

void client_opened(struct world *w, struct client *client) {
    client->leave_ask = 0; /* a namespace that was left is connected to again, like the others */
    for (unsigned nsp = 0; nsp < NAMESPACES; nsp++) {
        struct stock *s = &client->stock.sockets[nsp];
        if (client_has(client, nsp)) {
            s->unwelcome = stock_is_app(nsp) && w->acting && chance(w, 50);
            client_send_connect(w, client, s);
        }
    }
}

void client_closed(struct world *w, struct client *client) {
    client->reconnect_at_ms = w->now_ms + below(w, 300);
    stock_closed(&client->stock);
}

/* ---- publishing ---- */

struct publication {
    uint64_t id, payload;
    unsigned room;
    const char *event;   /* "e", or "v": volatile */
    const char *options; /* further fields of the long form; NULL: the short form will do */
    size_t filler;       /* bytes of a further argument */
};

/* A number for an event of the socket's namespace. */
static uint64_t next_payload(struct world *w, const struct stock *s) {
    return w->next_payload++ * NAMESPACES + s->nsp;
}

void client_put_payload(struct rp_buf *out, uint64_t payload, size_t attachments) {
    must(rp_buf_printf(out, "%llu", (unsigned long long) payload));
    for (size_t i = 0; i < attachments; i++) {
        must(rp_buf_printf(out, ",{\"_placeholder\":true,\"num\":%zu}", i));
    }
}

static void put_args(struct rp_buf *out, const struct publication *p, size_t attachments) {
    client_put_payload(out, p->payload, attachments);
    if (p->filler > 0) {
        must(rp_buf_printf(out, ",\"%0*d\"", (int) p->filler, 0));
    }
}

static void send_publication(struct world *w, struct client *client, const struct stock *s,
                             const struct publication *p) {
    size_t attachments = client->stock.binary ? stock_attachments_of(p->payload) : 0;
    struct rp_buf out;
    rp_buf_init(&out, PACKET_BYTES_MAX);
    world_trace(w, "client %u %s publishes %llu: r%u %llu %s", client->index,
                stock_nsp_name(s->nsp), (unsigned long long) p->id, p->room,
                (unsigned long long) p->payload, p->options != NULL ? p->options : "");
    client_begin_event(&out, s, attachments, p->id);
    if (p->options == NULL) {
        must(rp_buf_printf(&out, "[\"publish\",\"r%u\",\"%s\",", p->room, p->event));
        put_args(&out, p, attachments);
        must(rp_buf_put_str(&out, "]"));
    } else {
        must(rp_buf_printf(&out, "[\"publish\",{\"room\":\"r%u\",\"event\":\"%s\",\"args\":[",
                           p->room, p->event));
        put_args(&out, p, attachments);
        must(rp_buf_printf(&out, "%s}]", p->options));
    }
    engine_send(w, client, out, false);
    for (size_t i = 0; i < attachments; i++) {
        struct rp_buf attachment;
        rp_buf_init(&attachment, 256);
        stock_put_attachment(&attachment, p->payload, i);
        engine_send(w, client, attachment, true);
    }
}

static void note_volatile(struct world *w, uint64_t payload, unsigned room) {
    while (w->volatiles_count <= payload / NAMESPACES) {
        w->volatiles = rp_array_reserve(w->volatiles, w->volatiles_count, &w->volatiles_capacity,
                                        sizeof(uint64_t));
        w->volatiles[w->volatiles_count++] = 0;
    }
    w->volatiles[payload / NAMESPACES] = room + 1;
}

static void act_publish(struct world *w, struct client *client, struct stock *s, unsigned room) {
    struct publication p = {.room = room, .event = "e", .payload = next_payload(w, s)};
    struct ask ask = {
        .kind = ASK_PUBLISH, .room = room, .is_volatile = chance(w, 100), .payload = p.payload};
    if (!client_ask(w, s, ask, &p.id)) {
        return;
    }
    if (ask.is_volatile) {
        note_volatile(w, p.payload, room);
        p.event = "v";
        p.options = ",\"99999-zzzz\"],\"volatile\":true";
    } else if (chance(w, 150)) {
        p.options = "],\"echo\":false";
    }
    send_publication(w, client, s, &p);
}

/* An event that is larger than the whole credit of a link, if the gateway takes such ones. */
static void act_publish_big(struct world *w, struct client *client, struct stock *s,
                            unsigned room) {
    struct publication p = {.room = room, .event = "e", .payload = next_payload(w, s)};
    struct ask ask = {.kind = ASK_PUBLISH, .room = room, .payload = p.payload};
    p.filler = w->profile.max_payload > 10000 ? 9000 : w->profile.max_payload - 300;
    if (client_ask(w, s, ask, &p.id)) {
        send_publication(w, client, s, &p);
    }
}

/* The same id with the same payload, again and again: stored once. */
static void act_publish_with_id(struct world *w, struct client *client, struct stock *s,
                                unsigned room) {
    struct ask ask = {.kind = ASK_PUBLISH_ID, .room = room};
    uint64_t key = chance(w, 600) ? w->next_publish_id++ : below(w, w->next_publish_id + 1);
    char options[64];
    snprintf(options, sizeof options, "],\"id\":\"k%llu\"", (unsigned long long) key);
    struct publication p = {.room = room,
                            .event = "e",
                            .payload = 1000000000u + key * NAMESPACES + s->nsp,
                            .options = options};
    ask.payload = p.payload;
    if (client_ask(w, s, ask, &p.id)) {
        send_publication(w, client, s, &p);
    }
}

/* ---- rooms ---- */

static void act_join(struct world *w, struct client *client, struct stock *s, unsigned room,
                     bool since) {
    struct ask ask = {.kind = since ? ASK_JOIN_SINCE : ASK_JOIN, .room = room};
    uint64_t id;
    if (since && stock_is_asking(s, ASK_JOIN_SINCE)) {
        return; /* one at a time, so that the model knows whose history arrives */
    }
    uint64_t head = w->now.log_count > 0 ? w->now.log[w->now.log_count - 1]->seq : 0;
    ask.since = head > 0 ? below(w, head + 1) : 0;
    ask.limit = 1 + below(w, 60);
    if (!client_ask(w, s, ask, &id)) {
        return;
    }
    if (since) {
        send_event(w, client, s, id, "[\"join\",\"r%u\",{\"since\":%llu,\"limit\":%llu}]", room,
                   (unsigned long long) ask.since, (unsigned long long) ask.limit);
    } else {
        send_event(w, client, s, id, "[\"join\",\"r%u\"]", room);
    }
}

/* ---- leaving ---- */

/* disconnect() of every socket: the sessions are over, and so is the transport. */
static void leave_for_good(struct world *w, struct client *client) {
    for (unsigned i = 0; i < NAMESPACES; i++) {
        if (client->stock.sockets[i].subscribed) {
            send_disconnect(w, client, &client->stock.sockets[i]);
        }
    }
    engine_leave(w, client);
}

/* disconnect() of the second namespace's socket alone. It connects again when an ack of the first
 * one says that the server has heard of it: the stock client would take what was on its way to the
 * old session for the new one's. */
static void leave_second(struct world *w, struct client *client) {
    struct stock *first = &client->stock.sockets[0], *second = &client->stock.sockets[1];
    uint64_t id;
    if (!second->connected || !first->connected ||
        !client_ask(w, first, (struct ask){.kind = ASK_PRESENCE}, &id)) {
        return;
    }
    send_disconnect(w, client, second);
    send_event(w, client, first, id, "[\"presence\",\"r0\"]");
    client->leave_ask = id + 1;
    w->tally.left++;
}

static void come_back(struct world *w, struct client *client) {
    struct stock *first = &client->stock.sockets[0];
    if (client->leave_ask > 0 && !stock_is_pending(first, client->leave_ask - 1)) {
        client->leave_ask = 0;
        client_send_connect(w, client, &client->stock.sockets[1]);
    }
}

/* ---- acting ---- */

static void act_leave(struct world *w, struct client *client, struct stock *s, unsigned room) {
    uint64_t id;
    if (client_ask(w, s, (struct ask){.kind = ASK_LEAVE, .room = room}, &id)) {
        send_event(w, client, s, id, "[\"leave\",\"r%u\"]", room);
    }
}

static void act_history(struct world *w, struct client *client, struct stock *s, unsigned room) {
    uint64_t head = w->now.log_count > 0 ? w->now.log[w->now.log_count - 1]->seq : 0, id;
    struct ask ask = {.kind = ASK_HISTORY,
                      .room = room,
                      .has_since = chance(w, 500),
                      .since = below(w, head + 1),
                      .before = chance(w, 300) ? 1 + below(w, head + 10) : UINT64_MAX,
                      .limit = 1 + below(w, 20)};
    char options[96];
    int len = snprintf(options, sizeof options, "\"limit\":%llu", (unsigned long long) ask.limit);
    if (ask.has_since) {
        len += snprintf(options + len, sizeof options - (size_t) len, ",\"since\":%llu",
                        (unsigned long long) ask.since);
    }
    if (ask.before != UINT64_MAX) {
        snprintf(options + len, sizeof options - (size_t) len, ",\"before\":%llu",
                 (unsigned long long) ask.before);
    }
    if (client_ask(w, s, ask, &id)) {
        send_event(w, client, s, id, "[\"history\",\"r%u\",{%s}]", room, options);
    }
}

static void act_presence(struct world *w, struct client *client, struct stock *s, unsigned room) {
    uint64_t id;
    if (client_ask(w, s, (struct ask){.kind = ASK_PRESENCE, .room = room}, &id)) {
        send_event(w, client, s, id, "[\"presence\",\"r%u\"]", room);
    }
}

void client_ask_all(struct world *w, struct client *client) {
    for (unsigned nsp = 0; nsp < FIRST_APP; nsp++) {
        struct stock *s = &client->stock.sockets[nsp];
        for (unsigned room = 0; s->connected && room < ROOMS; room++) {
            act_presence(w, client, s, room);
            act_history(w, client, s, room);
        }
    }
}

static void act(struct world *w, struct client *client, struct stock *s) {
    unsigned room = (unsigned) below(w, ROOMS);
    uint64_t what = below(w, 100);
    if (stock_is_app(s->nsp) && (s->nsp != DURABLE_APP || chance(w, 700))) {
        client_app_act(w, client, s);
    } else if (what == 0 && chance(w, 100)) {
        act_publish_big(w, client, s, room);
    } else if (what < 70) {
        act_publish(w, client, s, room);
    } else if (what < 76) {
        act_publish_with_id(w, client, s, room);
    } else if (what < 86) {
        act_join(w, client, s, room, false);
    } else if (what < 90) {
        act_join(w, client, s, room, true);
    } else if (what < 95) {
        act_leave(w, client, s, room);
    } else if (what < 98) {
        act_history(w, client, s, room);
    } else if (what == 98 && chance(w, 100)) {
        leave_for_good(w, client);
    } else if (what == 98 && s->nsp <= 1 && client_has(client, 1) && chance(w, 200)) {
        leave_second(w, client);
    } else {
        act_presence(w, client, s, room);
    }
}

static unsigned any_nsp(struct world *w, const struct client *client) {
    unsigned nsp = client->nsps == 1 ? 0 : (unsigned) below(w, NAMESPACES);
    return client_has(client, nsp) ? nsp : 0;
}

void client_run(struct world *w, struct client *client) {
    struct engine *e = &client->engine;
    if (e->state == ENGINE_CLOSED) {
        if (w->now_ms >= client->reconnect_at_ms) {
            engine_open(w, client);
        }
        return;
    }
    engine_run(w, client);
    if (e->state != ENGINE_OPEN || e->closing) {
        return;
    }
    come_back(w, client);
    for (unsigned nsp = 0; nsp < NAMESPACES; nsp++) {
        struct stock *s = &client->stock.sockets[nsp];
        if (stock_is_app(nsp) && client_has(client, nsp)) {
            client_app_run(w, client, s);
        }
    }
    for (unsigned n = (unsigned) below(w, 4); n > 0 && w->acting; n--) {
        struct stock *s = &client->stock.sockets[any_nsp(w, client)];
        if (s->connected && !e->closing && chance(w, 250)) {
            act(w, client, s);
        }
    }
}
