/* proto/offset.h — the offset every event ends with, and which a client gives back.
 *
 *     <seq>-<tag>          everything for this client up to seq has been sent
 *     <pos>.<seq>-<tag>    the event is seq, from a room's history; the client's own position is
 * still pos
 *
 * The tag is the beginning of the log's epoch: an offset means nothing in another log. Clients
 * without recovery code may give a room's newest offset as `since` of a join: then seq counts.
 * CONNECT goes on from pos. */
#pragma once

#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"

enum { RP_OFFSET_TAG_LEN = 4 };

struct rp_offset {
    uint64_t pos, seq;   /* the same in the short form */
    struct rp_bytes tag; /* borrowed from the text */
};

/* RP_E_INVALID: no offset, whatever log it may be of. */
RP_MUST_USE enum rp_err rp_offset_parse(struct rp_bytes text, struct rp_offset *ret_offset);

/* Writes the offset, in its short form if pos is seq; the view is of space. */
struct rp_bytes rp_offset_write(const struct rp_offset *offset, char space[RP_OFFSET_BYTES_MAX]);

/* Whether a text may be an epoch: [a-z0-9], long enough for a tag, and at most RP_EPOCH_BYTES_MAX.
 */
bool rp_offset_is_epoch(struct rp_bytes text);
