/* tests/sim/client_app.c — what clients do in app namespaces: emit events with and without ack,
 * answer what the server wants answered (now, late, twice, or never), and come back after they were
 * refused or disconnected. */
#include "tests/sim/world.h"

#include "common/alloc.h"
#include "common/assert.h"

enum { PACKET_BYTES_MAX = 1 << 20 };

static void must(enum rp_err err) {
    RP_ASSERT(err == RP_OK);
}

/* ---- events ---- */

void client_app_act(struct world *w, struct client *client, struct stock *s) {
    struct apps *apps = &w->apps;
    struct client_event e = {.client = (unsigned) (client - w->clients),
                             .nsp = s->nsp,
                             .connection = (unsigned) s->connections_count,
                             .life = s->lives_count - 1,
                             .wants_ack = chance(w, 600)};
    uint64_t payload = apps->events_count * NAMESPACES + s->nsp, id = UINT64_MAX;
    if (e.wants_ack &&
        !client_ask(w, s, (struct ask){.kind = ASK_EVENT, .payload = payload}, &id)) {
        return;
    }
    apps->events = rp_array_reserve(apps->events, apps->events_count, &apps->events_capacity,
                                    sizeof(struct client_event));
    apps->events[apps->events_count++] = e;
    size_t attachments = client->stock.binary ? stock_attachments_of(payload) : 0;
    struct rp_buf out;
    rp_buf_init(&out, PACKET_BYTES_MAX);
    world_trace(w, "client %u %s emits %lld: event %llu", client->index, stock_nsp_name(s->nsp),
                id == UINT64_MAX ? -1 : (long long) id, (unsigned long long) payload / NAMESPACES);
    client_begin_event(&out, s, attachments, id);
    must(rp_buf_put_str(&out, "[\"do\","));
    client_put_payload(&out, payload, attachments);
    if (chance(w, 5)) { /* larger than a link's credit */
        must(rp_buf_printf(&out, ",\"%0*d\"", w->profile.max_payload > 10000 ? 7000 : 500, 0));
    }
    must(rp_buf_put_str(&out, "]"));
    engine_send(w, client, out, false);
    for (size_t i = 0; i < attachments; i++) {
        struct rp_buf attachment;
        rp_buf_init(&attachment, 256);
        stock_put_attachment(&attachment, payload, i);
        engine_send(w, client, attachment, true);
    }
}

/* ---- answers ---- */

static void send_answer(struct world *w, struct client *client, const struct stock *s,
                        const struct wanted *wanted) {
    struct rp_buf out;
    rp_buf_init(&out, PACKET_BYTES_MAX);
    must(rp_buf_printf(&out, "43%s%llu[%llu]", stock_nsp_prefix(s->nsp),
                       (unsigned long long) wanted->seq, (unsigned long long) wanted->payload));
    engine_send(w, client, out, false);
}

/* Most handlers answer at once; some never do, some late, some twice. */
static void draw_answer(struct world *w, struct wanted *wanted) {
    wanted->times = chance(w, 100) ? 0 : 1 + chance(w, 100);
    wanted->due_ms = w->now_ms + (chance(w, 300) ? below(w, 600) : 0);
}

static void answer_due(struct world *w, struct client *client, struct stock *s) {
    size_t kept = 0;
    for (size_t i = 0; i < s->wanted_count; i++) {
        struct wanted *wanted = &s->wanted[i];
        if (wanted->due_ms == 0) {
            draw_answer(w, wanted);
        }
        while (wanted->times > 0 && w->now_ms >= wanted->due_ms && s->connected &&
               !client->engine.closing) {
            send_answer(w, client, s, wanted);
            w->tally.answers_twice += wanted->times > 1;
            wanted->times--;
        }
        if (wanted->times > 0) {
            s->wanted[kept++] = *wanted;
        }
    }
    s->wanted_count = kept;
}

void client_app_run(struct world *w, struct client *client, struct stock *s) {
    answer_due(w, client, s);
    if (s->subscribed || client->engine.closing) {
        return;
    }
    if (s->retry_at_ms == 0) {
        s->retry_at_ms = w->now_ms + below(w, s->rejected < 20 ? 200 : 3000);
    } else if (w->now_ms >= s->retry_at_ms) {
        s->retry_at_ms = 0;
        s->unwelcome = w->acting && chance(w, 150);
        client_send_connect(w, client, s);
    }
}
