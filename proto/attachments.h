/* proto/attachments.h — the binary attachments of one packet in one piece, as they are stored in
 * the log and sent between processes (proto/PROTOCOL.md): one after the other, each
 *
 *     4 bytes of length, big-endian, then the bytes
 *
 * The nth is the one that {"_placeholder":true,"num":n} in the packet's JSON stands for
 * (proto/sio). No attachments are no bytes. */
#pragma once

#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"

/* Appends one attachment; it may be empty, and is shorter than 2^32 bytes. RP_E_FULL changes
 * nothing. */
RP_MUST_USE enum rp_err rp_attachments_put(struct rp_buf *out, struct rp_bytes attachment);
/* How many bytes that appends. */
size_t rp_attachments_packed_len(size_t attachment_len);

/* Takes one attachment off the front of *in.
 *   RP_OK           *ret_attachment is a view of its bytes
 *   RP_MORE         all of *in is used up
 *   RP_E_PROTOCOL   cut off; *in is unchanged */
RP_MUST_USE enum rp_err rp_attachments_next(struct rp_bytes *in, struct rp_bytes *ret_attachment);

/* How many there are. RP_E_PROTOCOL: this is not a whole number of attachments. */
RP_MUST_USE enum rp_err rp_attachments_count(struct rp_bytes packed, size_t *ret_count);
