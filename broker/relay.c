/* broker/relay.c — what one gateway says to another, for clients whose requests reach another
 * gateway than the one that holds their session (proto/PROTOCOL.md, Relays).
 *
 * The broker looks at three things: whom it is for, whether that link can take it, and whether
 * somebody waits for it. It keeps nothing of a relay: the bytes go from the message that came into
 * the batch that leaves. Relays take part in the credit of the link they leave on, like deliveries.
 * One that cannot be passed on is gone, and whoever waits for it is told so, because nobody else
 * could end the exchange; and a WebSocket with a hole in it ends at both ends. Exempt from the
 * credit are the small ones that confirm or end something (ABORT, WS_SENT, WS_CLOSE): without them
 * an exchange would never go on or never end, and there are only so many as there were others
 * before them. */
#include "broker/state.h"

/* The most a small relay may carry: the reason of a WS_CLOSE (RFC 6455, section 5.5). */
enum { SMALL_BYTES_MAX = 125 };
/* What a RELAYED takes beside its bytes: headers and numbers. */
enum { OPERATION_BYTES_MAX = 64 };

static_assert(RP_RELAY_BYTES_MAX + RP_RELAY_SID_BYTES_MAX + OPERATION_BYTES_MAX <=
                  RP_LINK_MESSAGE_BYTES_MAX - RP_LINK_BATCH_BYTES,
              "a relay fits behind a batch");

enum relay_kind {
    RELAY_UNKNOWN,
    RELAY_ASKS,    /* the sender waits for what comes of it */
    RELAY_STREAMS, /* a message of a WebSocket: without it, nothing behind it may arrive */
    RELAY_ANSWERS, /* the receiver waits for it */
    RELAY_ENDS,    /* it confirms or ends; nobody is told if it is lost */
};

static enum relay_kind kind_of(uint64_t what) {
    switch (what) {
    case RP_RELAY_GET:
    case RP_RELAY_POST:
    case RP_RELAY_WS_OPEN:
        return RELAY_ASKS;
    case RP_RELAY_WS_TEXT:
    case RP_RELAY_WS_BINARY:
        return RELAY_STREAMS;
    case RP_RELAY_ANSWER:
        return RELAY_ANSWERS;
    case RP_RELAY_ABORT:
    case RP_RELAY_WS_SENT:
    case RP_RELAY_WS_CLOSE:
        return RELAY_ENDS;
    default:
        return RELAY_UNKNOWN; /* GONE too: only the broker says that */
    }
}

/* Tells a peer that of exchange `id` with another nothing more will come. Waits for no credit:
 * there is one such answer at most to something that had it. */
static void put_gone(struct rp_peer *peer, uint64_t other, const struct rp_op_relay *refused) {
    struct rp_op op = {
        .kind = RP_OP_RELAYED,
        .relayed = {
            .from = other, .what = RP_RELAY_GONE, .id = refused->id, .number = refused->what}};
    rp_link_put(&peer->link, &op);
}

/* Ends a WebSocket for the receiver of a message that is dropped, before the next one comes: as if
 * the sender had done it, who hears of it later. */
static void put_close(struct rp_peer *to, uint64_t from, const struct rp_op_relay *refused) {
    struct rp_op op = {.kind = RP_OP_RELAYED,
                       .relayed = {.from = from,
                                   .what = RP_RELAY_WS_CLOSE,
                                   .id = refused->id,
                                   .number = 1013,
                                   .data = RP_BYTES_LIT("a message was lost between gateways")}};
    rp_link_put(&to->link, &op);
}

static bool may_put(const struct rp_peer *to, enum relay_kind kind, const struct rp_op_relay *op) {
    bool small = kind == RELAY_ENDS && op->data.len <= SMALL_BYTES_MAX;
    return small || rp_link_may_put(&to->link, op->data.len + op->sid.len + OPERATION_BYTES_MAX);
}

void rp_core_relay(struct rp_core *core, struct rp_peer *from, const struct rp_op_relay *op) {
    enum relay_kind kind = kind_of(op->what);
    if (kind == RELAY_UNKNOWN) {
        core->stats.relays_malformed++;
        return;
    }
    struct rp_peer *to = rp_core_peer_of(core, op->to);
    bool is_there = to != NULL && to->state == RP_PEER_UP && from->state == RP_PEER_UP;
    bool fits = op->data.len <= RP_RELAY_BYTES_MAX && op->sid.len <= RP_RELAY_SID_BYTES_MAX;
    if (is_there && fits && may_put(to, kind, op)) {
        struct rp_op relayed = {.kind = RP_OP_RELAYED,
                                .relayed = {.from = from->incarnation,
                                            .what = op->what,
                                            .id = op->id,
                                            .number = op->number,
                                            .sid = op->sid,
                                            .data = op->data}};
        rp_link_put(&to->link, &relayed);
        core->stats.relays++;
        return;
    }
    core->stats.relays_refused++;
    if (kind == RELAY_STREAMS && is_there) {
        put_close(to, from->incarnation, op);
    }
    if (kind == RELAY_ASKS || kind == RELAY_STREAMS) {
        put_gone(from, op->to, op);
    } else if (kind == RELAY_ANSWERS && is_there) {
        put_gone(to, from->incarnation, op);
    }
}

void rp_core_tell_lost(struct rp_core *core, const struct rp_peer *lost) {
    if (lost->is_worker || core->parted) {
        return; /* nothing is relayed to workers, or by them; nothing is said behind goodbye */
    }
    struct rp_op op = {.kind = RP_OP_LOST, .lost = {.incarnation = lost->incarnation}};
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&core->peers, it, tmp) {
        struct rp_peer *peer = RP_CONTAINER_OF(it, struct rp_peer, node);
        if (peer != lost && peer->state == RP_PEER_UP && !peer->is_worker) {
            rp_link_put(&peer->link, &op);
        }
    }
}
