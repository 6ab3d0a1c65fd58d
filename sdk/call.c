/* sdk/call.c — what an application waits for: it is collected, bounded, and told once. */
#include "sdk/inner.h"

#include <stdlib.h>

/* One thing that was collected: its pieces, one after the other in call->bytes. */
struct rp_sdk_part {
    size_t at, sid_len, json_len, binary_len; /* behind the sid is a NUL */
};

struct rp_sdk_call *rp_sdk_call_new(struct reprise_context *c, enum rp_sdk_call_kind kind,
                                    void *user) {
    struct rp_sdk_call *call = RP_NEW(struct rp_sdk_call);
    call->context = c;
    call->kind = kind;
    call->user = user;
    rp_buf_init(&call->bytes, RP_SDK_COLLECT_BYTES_MAX);
    return call;
}

void rp_sdk_call_free(struct rp_sdk_call *call) {
    if (call != NULL) {
        rp_buf_done(&call->bytes);
        free(call->parts);
        free(call);
    }
}

static void tell_stored(struct rp_sdk_call *call, enum reprise_err err, uint64_t seq) {
    if (call->stored != NULL && !call->stored_told) {
        call->stored_told = true;
        call->stored(err, seq, call->stored_user);
    }
}

void rp_sdk_call_stored(struct rp_sdk_call *call, uint64_t seq) {
    tell_stored(call, REPRISE_OK, seq);
}

/* ---- collecting ---- */

static void collect(struct rp_sdk_call *call, struct rp_bytes sid, struct rp_bytes json,
                    struct rp_bytes binary) {
    size_t len = sid.len + 1 + json.len + binary.len;
    size_t table = call->parts_count * sizeof *call->parts;
    if (call->overflow || call->bytes.len + len + table > RP_SDK_COLLECT_BYTES_MAX ||
        rp_room(&call->bytes, len) != REPRISE_OK) {
        call->overflow = true;
        return;
    }
    call->parts = rp_array_reserve(call->parts, call->parts_count, &call->parts_capacity,
                                   sizeof *call->parts);
    call->parts[call->parts_count++] = (struct rp_sdk_part){
        .at = call->bytes.len, .sid_len = sid.len, .json_len = json.len, .binary_len = binary.len};
    const struct rp_bytes pieces[] = {sid, rp_bytes("", 1), json, binary};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        enum rp_err err = rp_buf_put(&call->bytes, pieces[i]);
        RP_ASSERT(err == RP_OK); /* there is room */
    }
}

static const char *sid_of(const struct rp_sdk_call *call, const struct rp_sdk_part *part) {
    return (const char *) call->bytes.data + part->at;
}

static struct reprise_value value_of(const struct rp_sdk_call *call,
                                     const struct rp_sdk_part *part) {
    const uint8_t *at = call->bytes.data + part->at + part->sid_len + 1;
    return rp_sdk_value(rp_bytes(at, part->json_len),
                        rp_bytes(at + part->json_len, part->binary_len));
}

static void tell_each(const struct rp_sdk_call *call, const struct rp_worker_happening *h) {
    char *sid = rp_alloc(h->sid.len + 1);
    memcpy(sid, h->sid.len > 0 ? (const char *) h->sid.data : "", h->sid.len);
    struct reprise_response response = {.sid = sid, .args = rp_sdk_value(h->text, h->attachments)};
    call->each(&response, call->user);
    free(sid);
}

void rp_sdk_call_response(struct rp_sdk_call *call, const struct rp_worker_happening *h) {
    if (call->kind == RP_SDK_CALL_ACKS && call->each != NULL) {
        tell_each(call, h);
    }
    if (call->kind != RP_SDK_CALL_ACKS || call->done.responses != NULL) {
        collect(call, h->sid, h->text, h->attachments);
    }
}

/* ---- telling ---- */

static void tell_ack(struct rp_sdk_call *call, enum reprise_err err) {
    struct reprise_value args = {{NULL, 0}, {NULL, 0}};
    if (err == REPRISE_OK && call->parts_count > 0) {
        args = value_of(call, &call->parts[0]);
    }
    call->done.ack(err, args, call->user);
}

static void tell_responses(struct rp_sdk_call *call, enum reprise_err err) {
    if (call->done.responses == NULL) {
        return;
    }
    struct reprise_response *responses = rp_alloc(call->parts_count * sizeof *responses);
    for (size_t i = 0; i < call->parts_count; i++) {
        responses[i] = (struct reprise_response){.sid = sid_of(call, &call->parts[i]),
                                                 .args = value_of(call, &call->parts[i])};
    }
    call->done.responses(err, responses, call->parts_count, call->user);
    free(responses);
}

static void tell_side(struct rp_sdk_call *call, enum reprise_err err) {
    if (call->done.side == NULL) {
        return;
    }
    struct reprise_value *responses = rp_alloc(call->parts_count * sizeof *responses);
    for (size_t i = 0; i < call->parts_count; i++) {
        responses[i] = value_of(call, &call->parts[i]);
    }
    call->done.side(err, responses, call->parts_count, call->user);
    free(responses);
}

/* One, in one look at it: it may be long. The id is a text of its own; NULL: there is none. */
static struct reprise_remote_socket read_socket(struct reprise_value v) {
    struct reprise_remote_socket socket = {.id = NULL};
    struct reprise_value id = {{NULL, 0}, {NULL, 0}}, key, value;
    struct reprise_iter it = reprise_value_iter(v);
    while (reprise_iter_next(&it, &key, &value)) {
        struct reprise_value *to = reprise_value_is(key, "id")          ? &id
                                   : reprise_value_is(key, "rooms")     ? &socket.rooms
                                   : reprise_value_is(key, "data")      ? &socket.data
                                   : reprise_value_is(key, "handshake") ? &socket.handshake
                                                                        : &value;
        *to = value;
    }
    socket.id = reprise_value_strdup(id, NULL);
    return socket;
}

/* The sockets of all pages. */
static struct reprise_remote_socket *read_pages(const struct rp_sdk_call *call, size_t *ret_count) {
    struct reprise_remote_socket *sockets = NULL;
    size_t count = 0, capacity = 0;
    for (size_t i = 0; i < call->parts_count; i++) {
        struct reprise_value page = reprise_value_get(value_of(call, &call->parts[i]), "sockets");
        struct reprise_iter it = reprise_value_iter(page);
        struct reprise_value socket;
        while (reprise_iter_next(&it, NULL, &socket)) {
            struct reprise_remote_socket read = read_socket(socket);
            if (read.id != NULL) {
                sockets = rp_array_reserve(sockets, count, &capacity, sizeof *sockets);
                sockets[count++] = read;
            }
        }
    }
    *ret_count = count;
    return sockets;
}

static void free_id(const char *id) {
    free((void *) (uintptr_t) id);
}

static void tell_sockets(struct rp_sdk_call *call, enum reprise_err err) {
    size_t count = 0;
    struct reprise_remote_socket *sockets = err == REPRISE_OK ? read_pages(call, &count) : NULL;
    call->done.sockets(err, sockets, count, call->user);
    for (size_t i = 0; i < count; i++) {
        free_id(sockets[i].id);
    }
    free(sockets);
}

void rp_sdk_call_ended(struct rp_sdk_call *call, enum reprise_err err) {
    /* an ack that is late says nothing against the emit being stored */
    tell_stored(call, err == REPRISE_E_TIMEOUT || err == REPRISE_E_GONE ? REPRISE_E_LOST : err, 0);
    if (err == REPRISE_OK && call->overflow) {
        err = REPRISE_E_FULL;
    }
    switch (call->kind) {
    case RP_SDK_CALL_STORED:
        break;
    case RP_SDK_CALL_ACK:
        tell_ack(call, err);
        break;
    case RP_SDK_CALL_ACKS:
        tell_responses(call, err);
        break;
    case RP_SDK_CALL_FETCH:
        tell_sockets(call, err);
        break;
    case RP_SDK_CALL_SIDE:
        tell_side(call, err);
        break;
    }
    rp_sdk_call_free(call);
}
