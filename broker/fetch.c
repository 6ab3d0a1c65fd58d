/* broker/fetch.c — which sockets are there (Socket.IO's fetchSockets): the broker owns all of them,
 * so this is one answer from its memory, page by page, and no survey.
 *
 * A worker sees what it did: a fetch waits until the records it asked for before are committed. */
#include "broker/state.h"

#include "common/alloc.h"
#include "proto/json.h"

#include <stdlib.h>

static void put(struct rp_buf *out, const char *text) {
    enum rp_err err = rp_buf_put_str(out, text);
    RP_ASSERT(err == RP_OK);
}

static void put_u64(struct rp_buf *out, uint64_t value) {
    enum rp_err err = rp_buf_put_u64(out, value);
    RP_ASSERT(err == RP_OK);
}

static void put_string(struct rp_buf *out, struct rp_bytes text) {
    enum rp_err err = rp_json_put_string(out, text);
    RP_ASSERT(err == RP_OK);
}

static void put_value(struct rp_buf *out, const struct rp_blob *json) {
    enum rp_err err = rp_buf_put(out, json != NULL ? rp_blob_bytes(json) : RP_BYTES_LIT("null"));
    RP_ASSERT(err == RP_OK);
}

static void put_socket(struct rp_buf *out, const struct rp_session *session) {
    const char *before = "";
    put(out, "{\"id\":");
    put_string(out, rp_session_sid(session));
    put(out, ",\"session\":");
    put_u64(out, session->id);
    put(out, ",\"rooms\":[");
    size_t left = RP_SOCKET_ROOMS_MAX;
    for (const struct rp_interval *i = session->open; i != NULL && left > 0; i = i->next, left--) {
        if (i->room->name.len > 0) {
            put(out, before);
            put_string(out, i->room->name);
            before = ",";
        }
    }
    put(out, "],\"data\":");
    put_value(out, session->app->data);
    put(out, ",\"handshake\":");
    put_value(out, session->app->handshake);
    put(out, "}");
}

/* Those that are connected and above `after`. */
static size_t keep_asked(struct rp_session **sessions, size_t count, uint64_t after) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (sessions[i]->peer != NULL && sessions[i]->app != NULL && sessions[i]->id > after) {
            sessions[kept++] = sessions[i];
        }
    }
    return kept;
}

void rp_core_fetch(struct rp_core *core, struct rp_peer *worker, const struct rp_op_fetch *op) {
    core->stats.fetches++;
    struct rp_selector selector = {
        .nsp = op->nsp, .room = op->room, .rooms = op->rooms, .except = op->except};
    size_t count;
    struct rp_session **sessions = rp_selector_sessions(&core->rooms, &selector, &count);
    count = keep_asked(sessions, count, op->after);
    struct rp_buf *out = &core->scratch;
    rp_buf_clear(out);
    put(out, "{\"sockets\":[");
    size_t told = 0;
    for (; told < count && out->len < RP_FETCH_BYTES_MAX; told++) {
        put(out, told > 0 ? "," : "");
        put_socket(out, sessions[told]);
    }
    put(out, "]");
    if (told < count) {
        put(out, ",\"after\":");
        put_u64(out, sessions[told - 1]->id);
    }
    put(out, "}");
    free(sessions);
    struct rp_op result = {.kind = RP_OP_RESULT,
                           .result = {.num = op->num, .json = rp_buf_bytes(out)}};
    rp_link_put(&worker->link, &result);
    rp_buf_shrink(out, RP_LINK_BATCH_BYTES);
}
