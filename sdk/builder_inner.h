/* sdk/builder_inner.h — the list of arguments that is being written; for sdk/builder*.c only. */
#pragma once

#include "proto/json_walk.h"
#include "sdk/reprise_value.h"
#include "sdk/room.h"

struct reprise_builder {
    struct rp_buf json; /* the array with its first bracket; there is always room for the last */
    struct rp_buf binary;
    size_t binary_count;
    size_t count; /* arguments */
    struct rp_json_nesting open;
    bool needs_comma;        /* the next value or key is not the first at its level */
    bool has_key;            /* and needs a value */
    bool key_is_placeholder; /* the key is "_placeholder" */
    enum reprise_err err;
};

/* Makes the first error stick. Answers the one that does. */
enum reprise_err rp_builder_fail(struct reprise_builder *b, enum reprise_err err);
static inline bool rp_builder_in_object(const struct reprise_builder *b) {
    return b->open.depth > 0 && rp_json_nesting_in_object(&b->open);
}
