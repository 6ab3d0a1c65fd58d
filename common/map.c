#include "common/map.h"

#include "common/alloc.h"
#include "common/assert.h"

#include <stdlib.h>

enum { MAP_SMALLEST = 8 };

static struct rp_map_node **bucket_of(const struct rp_map *m, uint64_t hash) {
    return &m->buckets[hash & (m->buckets_count - 1)];
}

static void grow(struct rp_map *m) {
    struct rp_map bigger = {.buckets_count =
                                m->buckets_count ? m->buckets_count * 2 : MAP_SMALLEST};
    bigger.buckets = rp_alloc(bigger.buckets_count * sizeof(*bigger.buckets));
    for (size_t i = 0; i < m->buckets_count; i++) {
        for (struct rp_map_node *node = m->buckets[i], *next; node != NULL; node = next) {
            next = node->next;
            struct rp_map_node **bucket = bucket_of(&bigger, node->hash);
            node->next = *bucket;
            *bucket = node;
        }
    }
    bigger.count = m->count;
    free(m->buckets);
    *m = bigger;
}

void rp_map_done(struct rp_map *m) {
    free(m->buckets);
    *m = (struct rp_map){0};
}

void rp_map_add(struct rp_map *m, struct rp_map_node *node, uint64_t hash) {
    if (m->count >= m->buckets_count) {
        grow(m);
    }
    struct rp_map_node **bucket = bucket_of(m, hash);
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    m->count++;
}

void rp_map_remove(struct rp_map *m, struct rp_map_node *node) {
    RP_ASSERT(m->count > 0);
    struct rp_map_node **link = bucket_of(m, node->hash);
    while (*link != node) {
        RP_ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = node->next;
    node->next = NULL;
    m->count--;
}

struct rp_map_node *rp_map_first(const struct rp_map *m, uint64_t hash) {
    struct rp_map_node *node = m->buckets_count ? *bucket_of(m, hash) : NULL;
    while (node != NULL && node->hash != hash) {
        node = node->next;
    }
    return node;
}

struct rp_map_node *rp_map_next(const struct rp_map_node *node, uint64_t hash) {
    struct rp_map_node *next = node->next;
    while (next != NULL && next->hash != hash) {
        next = next->next;
    }
    return next;
}

struct rp_map_node *rp_map_each(const struct rp_map *m, struct rp_map_iter *it) {
    while (it->next == NULL && it->bucket < m->buckets_count) {
        it->next = m->buckets[it->bucket++];
    }
    struct rp_map_node *node = it->next;
    if (node != NULL) {
        it->next = node->next;
    }
    return node;
}

/* SipHash (Aumasson, Bernstein 2012) with one compression and three finalisation rounds. */
#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline void sip_round(struct sip *s) {
    s->v0 += s->v1;
    s->v1 = ROTL(s->v1, 13) ^ s->v0;
    s->v0 = ROTL(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = ROTL(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = ROTL(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = ROTL(s->v1, 17) ^ s->v2;
    s->v2 = ROTL(s->v2, 32);
}

static inline void sip_absorb(struct sip *s, uint64_t word) {
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

uint64_t rp_hash_bytes(const struct rp_hash_key *key, struct rp_bytes bytes) {
    struct sip s = {
        .v0 = key->k0 ^ 0x736F6D6570736575u,
        .v1 = key->k1 ^ 0x646F72616E646F6Du,
        .v2 = key->k0 ^ 0x6C7967656E657261u,
        .v3 = key->k1 ^ 0x7465646279746573u,
    };
    uint64_t word;
    size_t at = 0;
    for (; bytes.len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, bytes.data + at, sizeof word);
        sip_absorb(&s, word);
    }
    word = (uint64_t) bytes.len << 56;
    for (size_t i = 0; at + i < bytes.len; i++) {
        word |= (uint64_t) bytes.data[at + i] << (8 * i);
    }
    sip_absorb(&s, word);
    s.v2 ^= 0xFF;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
