/* proto/sio_placeholder.h — which objects of a packet's JSON stand for binary attachments; for
 * proto/sio_placeholder.c, proto/sio_msgpack_*.c and the values of sdk/ only.
 *
 * {"_placeholder":true,"num":2} stands for the third attachment. The members may be in any order
 * and among others; of two with one key the last counts, as in JSON.parse. */
#pragma once

#include "proto/json_walk.h"

/* What is known of an object that is being walked through; begins zeroed. */
struct rp_sio_placeholder {
    bool is_placeholder;
    bool has_index;
    uint64_t index;
};

/* Takes notice of a member of the object: a scalar or an opening right inside it. */
void rp_sio_placeholder_member(struct rp_sio_placeholder *p, const struct rp_json_token *member);

/* Which attachments have been named, each of which may be only once. */
struct rp_sio_named {
    uint32_t attachments_count;
    bool is_named[RP_SIO_ATTACHMENTS_MAX];
};

/* Whether the placeholder names an attachment that is there and that none named before. */
bool rp_sio_placeholder_names(const struct rp_sio_placeholder *p, struct rp_sio_named *named);
