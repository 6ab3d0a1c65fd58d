#include "proto/sio_placeholder.h"

#include "proto/json.h"
#include "proto/sio.h"

void rp_sio_placeholder_member(struct rp_sio_placeholder *p, const struct rp_json_token *member) {
    if (rp_json_key_is(member->key, "_placeholder")) {
        p->is_placeholder = rp_bytes_eq_str(member->value, "true");
    } else if (rp_json_key_is(member->key, "num")) {
        p->has_index = rp_json_to_u64(member->value, &p->index);
    }
}

bool rp_sio_placeholder_names(const struct rp_sio_placeholder *p, struct rp_sio_named *named) {
    if (!p->has_index || p->index >= named->attachments_count || named->is_named[p->index]) {
        return false;
    }
    named->is_named[p->index] = true;
    return true;
}

bool rp_sio_placeholders_valid(struct rp_bytes payload, size_t attachments_count) {
    if (attachments_count > RP_SIO_ATTACHMENTS_MAX) {
        return false;
    }
    struct rp_sio_named named = {.attachments_count = (uint32_t) attachments_count};
    struct rp_sio_placeholder open[RP_JSON_DEPTH_MAX]; /* by the depth inside, less one */
    struct rp_json_walk walk = rp_json_walk(payload);
    for (;;) {
        struct rp_json_token token = rp_json_walk_next(&walk);
        switch (token.step) {
        case RP_JSON_OPEN:
        case RP_JSON_SCALAR:
            if (token.key.len > 0) {
                rp_sio_placeholder_member(&open[token.depth - 1], &token);
            }
            if (token.step == RP_JSON_OPEN) {
                open[token.depth] = (struct rp_sio_placeholder){0};
            }
            break;
        case RP_JSON_CLOSE:
            if (open[token.depth].is_placeholder &&
                !rp_sio_placeholder_names(&open[token.depth], &named)) {
                return false;
            }
            break;
        case RP_JSON_END:
            return true;
        case RP_JSON_BROKEN:
            return false;
        }
    }
}
