/* gateway/packet.c — Socket.IO packets of a client: put together from the messages of its transport
 * and given to its sockets.
 *
 * In the default parser a packet is a text, and its attachments are the binary messages behind it;
 * nothing else may come in between. In the msgpack parser a packet is one binary message. Both
 * become the same here: JSON with placeholders, and packed attachments. */
#include "gateway/core.h"
#include "proto/attachments.h"
#include "proto/sio_msgpack.h"

#include <stdlib.h>

/* ---- what a whole packet means ---- */

static void got_event(struct rp_gateway *g, struct rp_client *c, const struct rp_sio_packet *packet,
                      struct rp_bytes attachments) {
    struct rp_socket *s = rp_socket_of(c, packet->nsp);
    if (s == NULL || !rp_socket_is_connected(s)) {
        rp_client_bad_packet(g, c, "event for a namespace that is not connected");
        return;
    }
    rp_roomevent(g, s, packet, attachments);
}

static void got_ack(struct rp_gateway *g, struct rp_client *c, const struct rp_sio_packet *packet,
                    struct rp_bytes attachments) {
    struct rp_socket *s = rp_socket_of(c, packet->nsp);
    if (s == NULL || !rp_socket_is_connected(s)) {
        rp_client_bad_packet(g, c, "ack for a namespace that is not connected");
        return;
    }
    rp_app_client_ack(g, s, packet->id, packet->payload, attachments);
}

static void got_disconnect(struct rp_gateway *g, struct rp_client *c,
                           const struct rp_sio_packet *packet) {
    struct rp_socket *s = rp_socket_of(c, packet->nsp);
    if (s == NULL) {
        return; /* not in that namespace: nothing to leave */
    }
    rp_socket_leave(g, s, RP_LEAVE_CLIENT_DISCONNECT);
    if (c->sockets_count == 0) {
        rp_heartbeat_await_connect(g, c);
    }
}

static void got_packet(struct rp_gateway *g, struct rp_client *c,
                       const struct rp_sio_packet *packet, struct rp_bytes attachments) {
    if (packet->attachments > 0 &&
        !rp_sio_placeholders_valid(packet->payload, packet->attachments)) {
        rp_client_bad_packet(g, c, "illegal attachments");
        return;
    }
    switch (packet->type) {
    case RP_SIO_CONNECT:
        rp_socket_connect(g, c, packet);
        break;
    case RP_SIO_DISCONNECT:
        got_disconnect(g, c, packet);
        break;
    case RP_SIO_EVENT:
    case RP_SIO_BINARY_EVENT:
        got_event(g, c, packet, attachments);
        break;
    case RP_SIO_ACK:
    case RP_SIO_BINARY_ACK:
        got_ack(g, c, packet, attachments);
        break;
    case RP_SIO_CONNECT_ERROR:
        rp_client_bad_packet(g, c, "a client does not send CONNECT_ERROR");
        break;
    }
}

/* ---- attachments that are still to come ---- */

static size_t held_bytes(const struct rp_assembly *a) {
    return a->text.capacity + a->attachments.capacity;
}

void rp_assembly_drop(struct rp_gateway *g, struct rp_client *c) {
    struct rp_assembly *a = c->assembly;
    if (a != NULL) {
        g->assembling_bytes -= held_bytes(a);
        rp_buf_done(&a->text);
        rp_buf_done(&a->attachments);
        free(a);
        c->assembly = NULL;
    }
}

/* Whether what all clients have in hand is too much: the one that added to it is closed. */
static bool close_if_too_many(struct rp_gateway *g, struct rp_client *c) {
    if (g->assembling_bytes <= g->config.budget.assembling) {
        return false;
    }
    g->stats.overflowed++;
    rp_client_close(g, c, 1013, "too many attachments are on their way", RP_LEAVE_FORCED);
    return true;
}

static void begin_assembly(struct rp_gateway *g, struct rp_client *c, struct rp_bytes text,
                           uint32_t attachments) {
    struct rp_assembly *a = RP_NEW(struct rp_assembly);
    a->missing = attachments;
    a->since_ms = g->now_ms;
    rp_buf_init(&a->text, text.len);
    rp_buf_init(&a->attachments,
                text.len < RP_PACKET_BYTES_MAX ? RP_PACKET_BYTES_MAX - text.len : 0);
    enum rp_err err = rp_buf_put(&a->text, text);
    RP_ASSERT(err == RP_OK);
    c->assembly = a;
    g->assembling_bytes += held_bytes(a);
    close_if_too_many(g, c);
}

/* The last attachment came: the text is read again, for what was read first was of the message. */
static void finish_assembly(struct rp_gateway *g, struct rp_client *c) {
    struct rp_assembly *a = c->assembly;
    g->assembling_bytes -= held_bytes(a);
    c->assembly = NULL;
    struct rp_sio_packet packet;
    enum rp_err err = rp_sio_parse(rp_buf_bytes(&a->text), &packet);
    RP_ASSERT(err == RP_OK);
    got_packet(g, c, &packet, rp_buf_bytes(&a->attachments));
    rp_buf_done(&a->text);
    rp_buf_done(&a->attachments);
    free(a);
}

static void add_attachment(struct rp_gateway *g, struct rp_client *c, struct rp_bytes data) {
    struct rp_assembly *a = c->assembly;
    size_t held_before = held_bytes(a);
    a->since_ms = g->now_ms;
    if (rp_attachments_put(&a->attachments, data) != RP_OK) {
        g->stats.bad_packets++;
        rp_client_close(g, c, 1009, "the attachments of a packet are too large",
                        RP_LEAVE_PARSE_ERROR);
        return;
    }
    g->assembling_bytes += held_bytes(a) - held_before;
    if (!close_if_too_many(g, c) && --a->missing == 0) {
        finish_assembly(g, c);
    }
}

/* ---- messages ---- */

void rp_packet_text(struct rp_gateway *g, struct rp_client *c, struct rp_bytes text) {
    if (g->config.parser == RP_PARSER_MSGPACK) {
        rp_client_bad_packet(g, c, "not msgpack, which this gateway speaks (--parser)");
        return;
    }
    if (c->assembly != NULL) {
        rp_client_bad_packet(g, c, "a text where an attachment was due");
        return;
    }
    struct rp_sio_packet packet;
    enum rp_err err = rp_sio_parse(text, &packet);
    if (err != RP_OK) {
        rp_client_bad_packet(g, c, rp_strerror(err));
    } else if (packet.attachments > 0) {
        begin_assembly(g, c, text, packet.attachments);
    } else {
        got_packet(g, c, &packet, rp_bytes(NULL, 0));
    }
}

void rp_packet_binary(struct rp_gateway *g, struct rp_client *c, struct rp_bytes data) {
    if (g->config.parser == RP_PARSER_MSGPACK) {
        struct rp_sio_packet packet;
        rp_buf_clear(&g->packet_json);
        rp_buf_clear(&g->packet_attachments);
        enum rp_err err =
            rp_sio_msgpack_parse(data, &g->packet_json, &g->packet_attachments, &packet);
        if (err != RP_OK) {
            rp_client_bad_packet(g, c, rp_strerror(err));
        } else {
            got_packet(g, c, &packet, rp_buf_bytes(&g->packet_attachments));
        }
        rp_buf_shrink(&g->packet_json, RP_PAGE_BYTES);
        rp_buf_shrink(&g->packet_attachments, RP_PAGE_BYTES);
    } else if (c->assembly != NULL) {
        add_attachment(g, c, data);
    } else {
        rp_client_bad_packet(g, c, "a binary message that no packet has announced");
    }
}
