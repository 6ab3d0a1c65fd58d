/* tests/sim/stock_engine.c — a model of engine.io-client 6.6: the transports of a client.
 *
 * Long-polling has one GET under way, begun again after each answer, and one POST at a time with
 * what has gathered. A request that fails, or is answered with an error, ends the transport, which
 * still says "1" in a POST of its own and leaves the answers of the others alone.
 *
 * An upgrade: a WebSocket says "2probe", hears "3probe", long-polling is paused (the GET and the
 * POST under way come to their end), "5" is said and the buffer flushed. As in the stock client a
 * probe that fails before "3probe" changes nothing, and one that fails later leaves the client
 * frozen, neither polling nor writing, until it has heard no ping for too long. */
#include "tests/sim/world.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/limits.h"
#include "proto/eio_payload.h"
#include "proto/json.h"

#include <stdlib.h>

/* The time without that in which nobody was awake. */
static uint64_t awake_ms(const struct world *w) {
    return w->now_ms - w->slept_ms;
}

static void must(enum rp_err err) {
    RP_ASSERT(err == RP_OK);
}

void engine_init(struct engine *e) {
    rp_list_init(&e->buffer);
}

void engine_done(struct engine *e) {
    queue_clear(&e->buffer);
}

/* ---- where requests go ---- */

static unsigned any_gateway(struct world *w) {
    unsigned at = (unsigned) below(w, GATEWAYS);
    if (w->gateways[at].core == NULL && chance(w, 700)) { /* who balances the load may know */
        at = (at + 1) % GATEWAYS;
    }
    return at;
}

/* For a request of a session: its own gateway's, or another one. */
static unsigned some_gateway(struct world *w, const struct engine *e) {
    if (!chance(w, w->profile.astray)) {
        return e->home;
    }
    unsigned at = (e->home + 1 + (unsigned) below(w, GATEWAYS - 1)) % GATEWAYS;
    if (w->gateways[at].core == NULL && chance(w, 700)) {
        at = e->home;
    }
    return at;
}

static struct rp_buf no_body(void) {
    struct rp_buf body;
    rp_buf_init(&body, 64);
    return body;
}

static void poll_again(struct world *w, struct client *client) {
    struct engine *e = &client->engine;
    e->get = call_start(w, client, some_gateway(w, e), CALL_GET, e->sid, no_body());
    e->get_ms = awake_ms(w);
}

void engine_open(struct world *w, struct client *client) {
    struct engine *e = &client->engine;
    RP_ASSERT(e->state == ENGINE_CLOSED && rp_list_is_empty(&e->buffer));
    *e = (struct engine){.state = ENGINE_OPENING, .heard_ms = awake_ms(w)};
    engine_init(e);
    e->polling = chance(w, w->profile.polling);
    e->home = any_gateway(w);
    if (e->polling) {
        e->get = call_start(w, client, e->home, CALL_OPEN, "", no_body());
    } else {
        e->wire = conn_open(w, client, e->home, "");
    }
}

/* ---- the end ---- */

/* The last word of long-polling; nobody waits for its answer. */
static void say_close(struct world *w, struct client *client) {
    struct engine *e = &client->engine;
    struct rp_buf body = no_body();
    must(rp_eio_payload_put_text(&body, RP_BYTES_LIT("1")));
    struct call *post = call_start(w, client, some_gateway(w, e), CALL_POST, e->sid, body);
    post->client_waits = false;
}

static void drop_call(struct call **place) {
    if (*place != NULL) {
        (*place)->client_waits = false;
        *place = NULL;
    }
}

static void drop_conn(struct world *w, struct conn **place) {
    if (*place != NULL) {
        conn_close(w, *place);
        *place = NULL;
    }
}

/* Whatever the reason, the transport is over. */
static void closed(struct world *w, struct client *client, bool by_server) {
    struct engine *e = &client->engine;
    if (e->state == ENGINE_CLOSED) {
        return;
    }
    if (e->state == ENGINE_OPEN && e->polling && e->pause == PAUSE_NOT && !by_server) {
        say_close(w, client);
    }
    e->state = ENGINE_CLOSED;
    drop_call(&e->get);
    drop_call(&e->post);
    drop_conn(w, &e->wire);
    drop_conn(w, &e->probe);
    queue_clear(&e->buffer);
    client_closed(w, client);
}

/* It closes when nothing is left to say. */
static void try_leave(struct world *w, struct client *client) {
    struct engine *e = &client->engine;
    if (e->closing && !e->upgrading && rp_list_is_empty(&e->buffer)) {
        closed(w, client, false);
    }
}

void engine_leave(struct world *w, struct client *client) {
    client->engine.closing = true;
    try_leave(w, client);
}

/* ---- writing ---- */

/* What has gathered, as far as one POST may hold it. */
static struct rp_buf take_payload(struct world *w, struct engine *e) {
    struct rp_buf body;
    rp_buf_init(&body, w->profile.max_payload);
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&e->buffer, it, tmp) {
        const struct packet *p = RP_CONTAINER_OF(it, struct packet, node);
        struct rp_bytes bytes = rp_buf_bytes(&p->bytes);
        enum rp_err err = p->is_binary ? rp_eio_payload_put_binary(&body, bytes)
                                       : rp_eio_payload_put_text(&body, bytes);
        if (err != RP_OK) {
            RP_ASSERT(e->writing > 0);
            break;
        }
        e->writing++;
    }
    return body;
}

static void flush(struct world *w, struct client *client) {
    struct engine *e = &client->engine;
    if (e->state != ENGINE_OPEN || e->upgrading || rp_list_is_empty(&e->buffer)) {
        return;
    }
    if (!e->polling) {
        struct rp_list *first;
        while ((first = rp_list_first(&e->buffer)) != NULL) {
            struct packet *p = RP_CONTAINER_OF(first, struct packet, node);
            rp_list_remove(first);
            queue_put(w, &e->wire->up, p->bytes, p->is_binary);
            free(p);
        }
    } else if (e->post == NULL) {
        struct rp_buf body = take_payload(w, e);
        e->post = call_start(w, client, some_gateway(w, e), CALL_POST, e->sid, body);
    }
}

void engine_send(struct world *w, struct client *client, struct rp_buf bytes, bool is_binary) {
    queue_put(w, &client->engine.buffer, bytes, is_binary);
    flush(w, client);
}

static void send_text(struct world *w, struct client *client, const char *text) {
    struct rp_buf packet;
    rp_buf_init(&packet, 64);
    must(rp_buf_put_str(&packet, text));
    engine_send(w, client, packet, false);
}

/* ---- the upgrade ---- */

/* Long-polling has paused: the WebSocket takes its place. */
static void try_upgrade(struct world *w, struct client *client) {
    struct engine *e = &client->engine;
    if (e->pause != PAUSE_PAUSING || e->get != NULL || e->post != NULL) {
        return;
    }
    e->pause = PAUSE_PAUSED;
    if (e->probe == NULL) {
        return; /* it failed meanwhile: frozen */
    }
    e->wire = e->probe;
    e->probe = NULL;
    e->polling = false;
    queue_put_bytes(w, &e->wire->up, RP_BYTES_LIT("5"), false);
    e->upgrading = false;
    flush(w, client);
    try_leave(w, client);
}

static void probe_message(struct world *w, struct client *client, struct rp_bytes text) {
    struct engine *e = &client->engine;
    if (e->upgrading || !rp_bytes_eq_str(text, "3probe")) {
        client->problem = "a probe heard what is no answer to it";
        return;
    }
    e->upgrading = true;
    e->pause = PAUSE_PAUSING;
    try_upgrade(w, client);
}

static void probe_failed(struct world *w, struct client *client) {
    struct engine *e = &client->engine;
    e->probe = NULL;
    if (e->upgrading) {
        w->tally.frozen++;
        if (e->closing) {
            closed(w, client, false);
        }
    }
}

/* ---- packets ---- */

static void handshake(struct world *w, struct client *client, struct rp_bytes json) {
    struct engine *e = &client->engine;
    struct rp_json_iter it = rp_json_iter_object(json);
    struct rp_bytes key, value, text;
    bool may_upgrade = false;
    while (rp_json_iter_next(&it, &key, &value)) {
        if (rp_json_key_is(key, "sid") && rp_json_string_plain(value, &text)) {
            RP_ASSERT(text.len < sizeof e->sid);
            memcpy(e->sid, text.data, text.len);
        } else if (rp_json_key_is(key, "upgrades")) {
            may_upgrade = rp_bytes_eq_str(value, "[\"websocket\"]");
        }
    }
    if (e->state != ENGINE_OPENING || may_upgrade != e->polling) {
        client->problem = "a strange handshake";
        return;
    }
    e->state = ENGINE_OPEN;
    if (may_upgrade && chance(w, w->profile.upgrades)) {
        e->probe_at_ms = w->now_ms + (chance(w, 500) ? 0 : below(w, 1500));
    }
    client_opened(w, client);
}

static void got_text(struct world *w, struct client *client, struct rp_bytes text) {
    struct rp_bytes data = rp_bytes_skip(text, text.len > 0 ? 1 : 0);
    client->engine.heard_ms = awake_ms(w);
    switch (text.len > 0 ? text.data[0] : '\0') {
    case '0':
        handshake(w, client, data);
        break;
    case '1':
        closed(w, client, true);
        break;
    case '2':
        send_text(w, client, "3");
        break;
    case '4':
        stock_text(&client->stock, data);
        break;
    case '6':
        break;
    default:
        client->problem = "not an Engine.IO packet of a server";
        break;
    }
}

/* The body of a GET's answer. */
static void got_payload(struct world *w, struct client *client, struct rp_bytes body) {
    struct rp_buf space;
    struct rp_eio_payload_packet packet;
    rp_buf_init(&space, 1 << 20);
    while (body.len > 0 && client->engine.state != ENGINE_CLOSED) {
        if (rp_eio_payload_next(&body, &space, &packet) != RP_OK) {
            client->problem = "a malformed payload";
            break;
        }
        if (packet.is_binary) {
            stock_binary(&client->stock, packet.data);
        } else {
            got_text(w, client, packet.data);
        }
    }
    rp_buf_done(&space);
}

/* ---- what the network has ---- */

/* The POST was taken. */
static void written(struct world *w, struct client *client) {
    struct engine *e = &client->engine;
    for (; e->writing > 0; e->writing--) {
        struct packet *p = RP_CONTAINER_OF(rp_list_first(&e->buffer), struct packet, node);
        rp_list_remove(&p->node);
        packet_free(p);
    }
    flush(w, client);
    try_upgrade(w, client);
    try_leave(w, client);
}

void engine_answered(struct world *w, struct client *client, struct call *call, int status,
                     struct rp_bytes body) {
    struct engine *e = &client->engine;
    RP_ASSERT(call == e->get || call == e->post);
    bool is_get = call == e->get;
    *(is_get ? &e->get : &e->post) = NULL;
    if (status != 200) {
        closed(w, client, false);
    } else if (!is_get) {
        written(w, client);
    } else {
        got_payload(w, client, body);
        if (e->state == ENGINE_OPEN && e->pause == PAUSE_NOT) {
            poll_again(w, client);
        } else if (e->state == ENGINE_OPEN) {
            try_upgrade(w, client);
        }
    }
}

void engine_conn_opened(struct world *w, struct client *client, struct conn *conn) {
    if (conn == client->engine.probe) {
        queue_put_bytes(w, &conn->up, RP_BYTES_LIT("2probe"), false);
    }
}

void engine_conn_message(struct world *w, struct client *client, struct conn *conn, bool is_binary,
                         struct rp_bytes data) {
    struct engine *e = &client->engine;
    if (conn == e->probe) {
        probe_message(w, client, data);
    } else if (conn == e->wire && is_binary) {
        stock_binary(&client->stock, data);
    } else if (conn == e->wire) {
        got_text(w, client, data);
    }
}

void engine_conn_closed(struct world *w, struct client *client, struct conn *conn) {
    struct engine *e = &client->engine;
    if (conn == e->probe) {
        probe_failed(w, client);
    } else if (conn == e->wire) {
        e->wire = NULL;
        closed(w, client, true);
    }
}

/* ---- time ---- */

/* A server pings, and a GET is how it does that to who long-polls. Whatever is lost, those who are
 * left must tell the client in time, and must not leave that to timeouts that are there for what
 * nobody thought of. */
static const char *waits_too_long(const struct world *w, const struct engine *e) {
    enum {
        GET_MS = PING_INTERVAL_MS + 3000, /* the slowest network, and a client that stalls */
        HEARD_MS = PING_INTERVAL_MS + RP_LINK_TIMEOUT_MS + 1000,
    };
    uint64_t now_ms = awake_ms(w);
    unsigned breaking = FAULTS_LINKS | FAULT_KILL;
    if (e->get != NULL && (w->faults_allowed & breaking) == 0 && now_ms > e->get_ms + GET_MS) {
        return "a GET without an answer";
    }
    if ((w->faults_allowed & FAULT_STALL) == 0 && now_ms > e->heard_ms + HEARD_MS) {
        return "a transport without pings";
    }
    return NULL;
}

void engine_run(struct world *w, struct client *client) {
    struct engine *e = &client->engine;
    if (e->probe_at_ms > 0 && w->now_ms >= e->probe_at_ms && e->state == ENGINE_OPEN) {
        e->probe_at_ms = 0;
        e->probe = conn_open(w, client, some_gateway(w, e), e->sid);
    }
    /* The stock client gives up whenever pings do not come. Here it does so only when that is its
     * own fault, so that a server which leaves it waiting is found out; or when those who hang, or
     * are kept apart, are meant to leave it waiting. */
    bool frozen = (e->upgrading && e->probe == NULL) ||
                  (w->faults_allowed & (FAULT_HANG | FAULT_PARTITION)) != 0;
    if (frozen && awake_ms(w) >= e->heard_ms + PING_INTERVAL_MS + PING_TIMEOUT_MS) {
        closed(w, client, false);
    } else if (!frozen && e->state == ENGINE_OPEN && client->problem == NULL) {
        client->problem = waits_too_long(w, e);
    }
}
