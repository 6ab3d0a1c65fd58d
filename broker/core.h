/* broker/core.h — the broker without its sockets, its disk and its clock: messages and the time in,
 * messages out.
 *
 * The core owns rooms, sessions, memberships, ordering and replay. Everything that must survive
 * goes to the engine as a record and takes effect when it comes back committed, in seq order;
 * answers and deliveries follow from committed records alone. So a broker that was killed continues
 * where its log ends.
 *
 * How to drive it: give it every message (rp_core_message) and lost link; call rp_core_turn when
 * the engine has outcomes, after input, and at the deadline; then take all messages (rp_core_take)
 * and send them. */
#pragma once

#include "broker/engine.h"
#include "common/buf.h"
#include "common/map.h"

struct rp_core;

struct rp_now {
    uint64_t mono_ms; /* a clock that never jumps, for timeouts */
    uint64_t wall_ms; /* ms since 1970, for what people read and for what survives restarts */
};

struct rp_core_config {
    uint64_t session_ttl_ms; /* how long a session without a connection can be recovered */
    uint64_t
        gateway_timeout_ms;     /* how long a gateway without a link keeps its sessions connected */
    uint64_t worker_timeout_ms; /* how long a worker without a link keeps its sockets */
    uint64_t retention_ms;      /* between two rounds of the engine's retention */
    size_t tail_records_max, tail_bytes_max;
    size_t
        link_credit_bytes; /* RP_LINK_CREDIT_BYTES but in tests; the gateways' must be the same */
    size_t page_bytes, page_events; /* RP_PAGE_BYTES, RP_PAGE_EVENTS but in tests */
    size_t intervals_max;           /* RP_SESSION_INTERVALS_MAX but in tests */
    size_t share_bytes;             /* RP_SHARE_BYTES, also if 0, but in tests */
    struct rp_hash_key hash_key;    /* random, so that clients cannot aim at hash buckets */
    void (*random)(void *ctx, void *out, size_t len); /* for a new epoch */
    void *random_ctx;
};

/* Counters since the start; gauges are marked. */
struct rp_core_stats {
    uint64_t messages, operations, malformed_messages, stray_messages;
    uint64_t hellos, gateways_linked, workers_linked, hellos_refused, roles_refused, links_lost,
        links_reset, gateways_gone, gateways_left;
    uint64_t connects, recovered, not_recovered, takeovers, sessions_expired;
    uint64_t publishes, publishes_duplicate, publishes_volatile, requests_resent, requests_refused;
    uint64_t committed, delivers, volatile_dropped, links_behind;
    uint64_t replayed_events, replayed_again, owed_lost, replay_pages, reads, evicted;
    uint64_t shared_hits, shared_misses, shared_evictions; /* pages of rooms */
    uint64_t relays, relays_refused, relays_malformed;
    uint64_t tasks, invoked, tasks_refused, disowned, admissions_refused; /* of app workers */
    uint64_t workers_lost, sockets_moved, emits, emits_volatile, acks, acks_ignored, acks_forgotten;
    uint64_t sides, fetches, outboxes_overflowed;
    uint64_t workers, tasks_open, tasks_waiting, unserved; /* gauges */
    uint64_t sessions, connected, rooms, intervals, gateways, cursors, tail_records, tail_bytes,
        shared_pages, shared_bytes; /* gauges */
    uint64_t head, first;           /* gauges: newest and oldest seq */
};

/* Loads the engine's state. The engine stays the caller's and must outlive the core.
 * Errors of engine->load are passed up. */
RP_MUST_USE enum rp_err rp_core_new(const struct rp_core_config *config, struct rp_engine *engine,
                                    struct rp_now now, struct rp_core **ret_core);
struct rp_core *rp_core_free(struct rp_core *core); /* NULL is fine; returns NULL */

/* A message that arrived on a link; link ids are the shell's and never 0. RP_E_PROTOCOL: it was
 * malformed and the rest of it is dropped; log it (once per peer and second). */
RP_MUST_USE enum rp_err rp_core_message(struct rp_core *core, uint64_t link_id,
                                        struct rp_bytes message, struct rp_now now);
/* What a link may be, as HELLO says it. */
enum rp_core_role { RP_CORE_GATEWAY = 1, RP_CORE_WORKER = 2 };
/* What the links of the messages that follow may be, until the next call: a sum of the above, at
 * first of both. HELLOs as something else are refused and counted (`roles_refused`). */
void rp_core_grant(struct rp_core *core, unsigned roles);
/* The counter alone, which costs nothing. */
uint64_t rp_core_roles_refused(const struct rp_core *core);
/* False while the engine is full: leave messages where they are. */
bool rp_core_wants_input(const struct rp_core *core);
/* Nothing can be sent on this link any more. Unknown links are fine. */
void rp_core_link_lost(struct rp_core *core, uint64_t link_id, struct rp_now now);

/* Takes outcomes from the engine, replays, expires, keeps links alive. True: there is more to do at
 * once. */
bool rp_core_turn(struct rp_core *core, struct rp_now now);
/* Whether everything that was appended is decided. */
bool rp_core_is_settled(const struct rp_core *core);
/* The process ends: every gateway and worker is told, behind all that is on its link. They forget
 * the link, keep what they have, and begin another as soon as there is a broker. What is left to do
 * is to send what rp_core_take gives: no more messages and no more turns. Returns how many were
 * told. */
size_t rp_core_goodbye(struct rp_core *core, struct rp_now now);
/* The next message to send; the caller frees ret_message->data with free(). False: none. */
bool rp_core_take(struct rp_core *core, struct rp_now now, uint64_t *ret_link_id,
                  struct rp_buf *ret_message);
/* When rp_core_turn must be called at the latest (mono_ms). */
uint64_t rp_core_deadline_ms(const struct rp_core *core);

/* RP_OK, or why the log cannot be written any more: stop the process. */
enum rp_err rp_core_failure(const struct rp_core *core);
/* Something a person should know, once: "" if there is nothing. Valid until the next call. */
const char *rp_core_notice(struct rp_core *core);
const struct rp_core_stats *rp_core_stats(struct rp_core *core);
