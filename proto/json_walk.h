/* proto/json_walk.h — JSON from the front to the back, into arrays and objects and out again: one
 * step for each scalar, opening and closing. For those who must look at every level, which the
 * iterator of proto/json does not show.
 *
 * Nothing allocates or recurses; a whole walk is linear. */
#pragma once

#include "common/assert.h"
#include "common/bytes.h"
#include "common/limits.h"

/* What is open around the place that is being read: one bit per level, set for an object. */
struct rp_json_nesting {
    uint64_t objects[(RP_JSON_DEPTH_MAX + 63) / 64];
    size_t depth;
};

/* False: RP_JSON_DEPTH_MAX are open already. */
static inline bool rp_json_nesting_push(struct rp_json_nesting *n, bool is_object) {
    if (n->depth == RP_JSON_DEPTH_MAX) {
        return false;
    }
    uint64_t bit = UINT64_C(1) << (n->depth % 64);
    uint64_t *word = &n->objects[n->depth / 64];
    *word = is_object ? *word | bit : *word & ~bit;
    n->depth++;
    return true;
}

static inline bool rp_json_nesting_in_object(const struct rp_json_nesting *n) {
    RP_ASSERT(n->depth > 0);
    size_t innermost = n->depth - 1;
    return (n->objects[innermost / 64] >> (innermost % 64) & 1) != 0;
}

enum rp_json_step {
    RP_JSON_SCALAR, /* value is a null, a bool, a number or a string */
    RP_JSON_OPEN,   /* value is the bracket of an array or object, whose elements follow */
    RP_JSON_CLOSE,  /* of the one opened last; there is no key */
    RP_JSON_END,    /* of the text; from now on always */
    RP_JSON_BROKEN, /* malformed, or deeper than RP_JSON_DEPTH_MAX; from now on always */
};

struct rp_json_token {
    enum rp_json_step step;
    size_t depth;          /* arrays and objects around it; opening and closing have the same */
    struct rp_bytes key;   /* raw, with its quotes, if what is around it is an object */
    struct rp_bytes value; /* raw */
};

struct rp_json_walk {
    struct rp_bytes rest;
    struct rp_json_nesting open;
    bool needs_comma; /* the next value is not the first at its level */
    bool is_broken;
};

/* Begins a walk over values with commas between them: none, one, or as many as the inside of an
 * array has. Borrows the text. */
struct rp_json_walk rp_json_walk(struct rp_bytes values);
/* The next step. The grammar is checked on the way, as rp_json_next does. */
struct rp_json_token rp_json_walk_next(struct rp_json_walk *walk);
