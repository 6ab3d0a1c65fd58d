/* proto/eio_payload.h — Engine.IO protocol revision 4: the bodies of long-polling requests and
 * answers.
 *
 * A body is one or more packets with the byte 0x1e between them. A text packet is what a text frame
 * would hold ("42[...]", proto/eio); what would be a binary frame is "b" and the message in base64:
 *
 *     2<1e>42["a"]<1e>bAQIDBA==
 *
 * The separator cannot occur inside: JSON escapes control characters, and base64 has none.
 *
 * As in the reference decoder, an empty packet is an error, wherever the separators are that leave
 * one; so is the empty body. The reference still takes the packets in front of the first error and
 * then closes; here the packet in front of a separator that ends the body is lost, too. Base64 is
 * read more strictly (common/base64).
 *
 * Beside: proto/eio (one packet). Above: gateway/poll.c. */
#pragma once

#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"

struct rp_eio_payload_packet {
    bool is_binary;
    /* Text: the raw packet, not empty, for rp_eio_parse; borrowed from the body. Whether the body
     * is UTF-8 is for the caller to know (rp_bytes_is_utf8, once for all of it).
     * Binary: the message, maybe empty; borrowed from the space, until the next call. */
    struct rp_bytes data;
};

/* Takes one packet off the front of *in, which is a body, not yet looked at or what an earlier call
 * left of it. The body is done when an RP_OK leaves nothing:
 *
 *     do { err = rp_eio_payload_next(&in, &space, &packet); ... } while (err == RP_OK && in.len);
 *
 * What *space held is lost. All calls together are linear in the body.
 *   RP_E_PROTOCOL   an empty packet or body, or base64 that is none: close the session
 *   RP_E_FULL       a binary message longer than the space's maximum: as if it were too long a
 * frame Failures leave *in as it was. */
RP_MUST_USE enum rp_err rp_eio_payload_next(struct rp_bytes *in, struct rp_buf *space,
                                            struct rp_eio_payload_packet *ret_packet);

/* Appending to a body, which is empty or made by these alone: the separator comes by itself.
 * RP_E_FULL changes nothing.
 * text: a whole packet, not empty and without the separator.  message: without a type. */
RP_MUST_USE enum rp_err rp_eio_payload_put_text(struct rp_buf *out, struct rp_bytes text);
RP_MUST_USE enum rp_err rp_eio_payload_put_binary(struct rp_buf *out, struct rp_bytes message);

/* By how much such a packet makes a body longer, its separator included: exactly so after others,
 * one less at the front. */
size_t rp_eio_payload_text_len(size_t text_len);
size_t rp_eio_payload_binary_len(size_t message_len);
