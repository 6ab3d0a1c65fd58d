/* common/list.h — an intrusive doubly linked list. A node is in at most one list; a zeroed node is
 * in none. */
#pragma once

#include "common/alloc.h"
#include "common/assert.h"

#include <stdbool.h>
#include <stddef.h>

struct rp_list {
    struct rp_list *prev;
    struct rp_list *next;
};

static inline void rp_list_init(struct rp_list *head) {
    head->prev = head->next = head;
}

static inline bool rp_list_is_empty(const struct rp_list *head) {
    return head->next == head;
}

/* Whether a node is in some list. */
static inline bool rp_list_is_linked(const struct rp_list *node) {
    return node->next != NULL;
}

static inline void rp_list_append(struct rp_list *head, struct rp_list *node) {
    RP_ASSERT(node->next == NULL);
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

/* Takes the node out of its list, if it is in one. */
static inline void rp_list_remove(struct rp_list *node) {
    if (node->next != NULL) {
        node->prev->next = node->next;
        node->next->prev = node->prev;
        node->prev = node->next = NULL;
    }
}

/* The first node, or NULL. */
static inline struct rp_list *rp_list_first(const struct rp_list *head) {
    return head->next == head ? NULL : head->next;
}

/* Every element; the current one may be removed while iterating. `it` and `tmp` are struct rp_list
 * *. */
#define RP_LIST_FOR(head, it, tmp)                                                                 \
    for (it = (head)->next, tmp = it->next; it != (head); it = tmp, tmp = it->next)
