/* broker/policy.h — which namespaces app workers serve, how, and who they are.
 *
 * A policy is a name or a pattern of names with the flags of its newest SERVE record. It stays in
 * the log when its workers go, so that a namespace does not become another kind of namespace while
 * they restart. A *serving* is one worker that serves one policy, with the sessions it has of it.
 */
#pragma once

#include "broker/session.h"
#include "common/pattern.h"

struct rp_policy {
    struct rp_list node; /* in rp_policies.all: names first, then patterns, longer ones first */
    struct rp_list servings;
    uint32_t flags;              /* enum rp_record_flag, of SERVE */
    struct rp_patterns *pattern; /* NULL: it is a name */
    struct rp_bytes nsp;         /* in data */
    uint8_t data[];
};

struct rp_serving {
    struct rp_list node;      /* in policy->servings */
    struct rp_list peer_node; /* in peer->servings */
    struct rp_policy *policy;
    struct rp_peer *peer;
    bool confirmed;          /* by the HELLO under way */
    struct rp_list sessions; /* struct rp_app.serving_node */
    size_t sessions_count;
};

struct rp_policies {
    struct rp_list all;
    size_t count;
};

void rp_policies_init(struct rp_policies *p);
void rp_policies_done(struct rp_policies *p); /* frees the policies; nobody serves them any more */

/* Whether SERVE may name it: a namespace, or a pattern of them. */
bool rp_policy_valid(struct rp_bytes nsp, bool is_pattern);
/* The policy of exactly this text, or NULL. */
struct rp_policy *rp_policy_find(const struct rp_policies *p, struct rp_bytes nsp);
/* The policy that a namespace is served by: its own, or else the longest pattern that matches;
 * NULL: it is not one of app workers. */
struct rp_policy *rp_policy_of(const struct rp_policies *p, struct rp_bytes nsp);
/* Finds or makes it, and sets its flags. The text must be valid. */
struct rp_policy *rp_policy_set(struct rp_policies *p, struct rp_bytes nsp, uint32_t flags);
/* Nobody may serve it. */
void rp_policy_remove(struct rp_policies *p, struct rp_policy *policy);

/* The peer's serving of the policy, or NULL. */
struct rp_serving *rp_serving_of(const struct rp_policy *policy, const struct rp_peer *peer);
struct rp_serving *rp_serving_add(struct rp_policy *policy, struct rp_peer *peer,
                                  struct rp_list *peer_servings);
/* Frees it; it must have no sessions. */
void rp_serving_remove(struct rp_serving *serving);
