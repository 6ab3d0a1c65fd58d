#include "broker/policy.h"

#include "common/alloc.h"
#include "proto/sio.h"

#include <stdlib.h>

void rp_policies_init(struct rp_policies *p) {
    *p = (struct rp_policies){0};
    rp_list_init(&p->all);
}

void rp_policies_done(struct rp_policies *p) {
    struct rp_list *first;
    while ((first = rp_list_first(&p->all)) != NULL) {
        rp_policy_remove(p, RP_CONTAINER_OF(first, struct rp_policy, node));
    }
}

/* The pattern of a text, or NULL: common/pattern.h reads lists, so no comma may be in it. */
static struct rp_patterns *pattern_of(struct rp_bytes text) {
    char name[RP_PATTERN_BYTES_MAX + 1];
    struct rp_patterns *pattern = NULL;
    if (text.len == 0 || text.len > RP_PATTERN_BYTES_MAX || text.data[0] != '/' ||
        memchr(text.data, ',', text.len) != NULL || memchr(text.data, '\0', text.len) != NULL) {
        return NULL;
    }
    memcpy(name, text.data, text.len);
    name[text.len] = '\0';
    return rp_patterns_parse(name, RP_PATTERNS_EXACT, &pattern) == RP_OK ? pattern : NULL;
}

bool rp_policy_valid(struct rp_bytes nsp, bool is_pattern) {
    if (!is_pattern) {
        return nsp.len > 0 && rp_sio_nsp_valid(nsp);
    }
    struct rp_patterns *pattern = pattern_of(nsp);
    rp_patterns_free(pattern);
    return pattern != NULL;
}

struct rp_policy *rp_policy_find(const struct rp_policies *p, struct rp_bytes nsp) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&p->all, it, tmp) {
        struct rp_policy *policy = RP_CONTAINER_OF(it, struct rp_policy, node);
        if (rp_bytes_eq(policy->nsp, nsp)) {
            return policy;
        }
    }
    return NULL;
}

struct rp_policy *rp_policy_of(const struct rp_policies *p, struct rp_bytes nsp) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&p->all, it, tmp) {
        struct rp_policy *policy = RP_CONTAINER_OF(it, struct rp_policy, node);
        bool matches = policy->pattern != NULL ? rp_patterns_match(policy->pattern, nsp)
                                               : rp_bytes_eq(policy->nsp, nsp);
        if (matches) {
            return policy;
        }
    }
    return NULL;
}

/* Whether a comes before b: names, then patterns; the longer pattern is the closer one. */
static bool precedes(const struct rp_policy *a, const struct rp_policy *b) {
    if ((a->pattern != NULL) != (b->pattern != NULL)) {
        return a->pattern == NULL;
    }
    if (a->nsp.len != b->nsp.len) {
        return a->nsp.len > b->nsp.len;
    }
    return memcmp(a->nsp.data, b->nsp.data, a->nsp.len) < 0;
}

static void insert(struct rp_policies *p, struct rp_policy *policy) {
    struct rp_list *at, *tmp;
    RP_LIST_FOR(&p->all, at, tmp) {
        if (precedes(policy, RP_CONTAINER_OF(at, struct rp_policy, node))) {
            break;
        }
    }
    rp_list_append(at, &policy->node); /* before `at` */
    p->count++;
}

struct rp_policy *rp_policy_set(struct rp_policies *p, struct rp_bytes nsp, uint32_t flags) {
    struct rp_policy *policy = rp_policy_find(p, nsp);
    bool is_pattern = (flags & RP_RECORD_PATTERN) != 0;
    if (policy == NULL) {
        policy = rp_alloc(sizeof(*policy) + nsp.len);
        memcpy(policy->data, nsp.data, nsp.len);
        policy->nsp = rp_bytes(policy->data, nsp.len);
        rp_list_init(&policy->servings);
        policy->pattern = is_pattern ? pattern_of(nsp) : NULL;
        insert(p, policy);
    } else if (is_pattern != (policy->pattern != NULL)) {
        rp_list_remove(&policy->node);
        p->count--;
        policy->pattern = is_pattern ? pattern_of(nsp) : rp_patterns_free(policy->pattern);
        insert(p, policy);
    }
    policy->flags = flags;
    return policy;
}

void rp_policy_remove(struct rp_policies *p, struct rp_policy *policy) {
    RP_ASSERT(rp_list_is_empty(&policy->servings));
    rp_list_remove(&policy->node);
    rp_patterns_free(policy->pattern);
    free(policy);
    p->count--;
}

struct rp_serving *rp_serving_of(const struct rp_policy *policy, const struct rp_peer *peer) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&policy->servings, it, tmp) {
        struct rp_serving *serving = RP_CONTAINER_OF(it, struct rp_serving, node);
        if (serving->peer == peer) {
            return serving;
        }
    }
    return NULL;
}

struct rp_serving *rp_serving_add(struct rp_policy *policy, struct rp_peer *peer,
                                  struct rp_list *peer_servings) {
    struct rp_serving *serving = RP_NEW(struct rp_serving);
    serving->policy = policy;
    serving->peer = peer;
    rp_list_init(&serving->sessions);
    rp_list_append(&policy->servings, &serving->node);
    rp_list_append(peer_servings, &serving->peer_node);
    return serving;
}

void rp_serving_remove(struct rp_serving *serving) {
    RP_ASSERT(serving->sessions_count == 0);
    rp_list_remove(&serving->node);
    rp_list_remove(&serving->peer_node);
    free(serving);
}
