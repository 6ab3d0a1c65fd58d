#include "proto/json_walk.h"

#include "proto/json_scan.h"

struct rp_json_walk rp_json_walk(struct rp_bytes values) {
    return (struct rp_json_walk){.rest = values};
}

/* The step after which the walk goes on at p. */
static struct rp_json_token step_to(struct rp_json_walk *walk, const uint8_t *p,
                                    struct rp_json_token token) {
    walk->rest = rp_json_between(p, rp_json_end_of(walk->rest));
    return token;
}

static struct rp_json_token broken(struct rp_json_walk *walk) {
    walk->is_broken = true;
    return (struct rp_json_token){.step = RP_JSON_BROKEN, .depth = walk->open.depth};
}

/* A key, its colon and the space after it; NULL if they are not there. */
static const uint8_t *scan_key(const uint8_t *p, const uint8_t *end, struct rp_bytes *ret_key) {
    const uint8_t *after = rp_json_scan_string(p, end);
    if (after == NULL) {
        return NULL;
    }
    *ret_key = rp_json_between(p, after);
    p = rp_json_skip_space(after, end);
    return p < end && *p == ':' ? rp_json_skip_space(p + 1, end) : NULL;
}

/* The value at p, which must be there. */
static struct rp_json_token take_value(struct rp_json_walk *walk, const uint8_t *p) {
    const uint8_t *end = rp_json_end_of(walk->rest);
    struct rp_json_token token = {.step = RP_JSON_SCALAR, .depth = walk->open.depth};
    if (walk->open.depth > 0 && rp_json_nesting_in_object(&walk->open)) {
        p = scan_key(p, end, &token.key);
    }
    if (p == NULL || p == end) {
        return broken(walk);
    }
    if (*p == '[' || *p == '{') {
        if (!rp_json_nesting_push(&walk->open, *p == '{')) {
            return broken(walk);
        }
        walk->needs_comma = false;
        token.step = RP_JSON_OPEN;
        token.value = rp_bytes(p, 1);
        return step_to(walk, p + 1, token);
    }
    const uint8_t *after = rp_json_scan_scalar(p, end);
    if (after == NULL) {
        return broken(walk);
    }
    walk->needs_comma = true;
    token.value = rp_json_between(p, after);
    return step_to(walk, after, token);
}

struct rp_json_token rp_json_walk_next(struct rp_json_walk *walk) {
    const uint8_t *end = rp_json_end_of(walk->rest);
    const uint8_t *p = rp_json_skip_space(walk->rest.data, end);
    if (walk->is_broken || (p == end && walk->open.depth > 0)) {
        return broken(walk);
    }
    if (p == end) {
        return (struct rp_json_token){.step = RP_JSON_END};
    }
    if (walk->open.depth > 0 && *p == (rp_json_nesting_in_object(&walk->open) ? '}' : ']')) {
        walk->open.depth--;
        walk->needs_comma = true;
        struct rp_json_token token = {
            .step = RP_JSON_CLOSE, .depth = walk->open.depth, .value = rp_bytes(p, 1)};
        return step_to(walk, p + 1, token);
    }
    if (walk->needs_comma) {
        if (*p != ',') {
            return broken(walk);
        }
        p = rp_json_skip_space(p + 1, end);
    }
    return take_value(walk, p);
}
