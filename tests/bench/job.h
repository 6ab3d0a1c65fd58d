/* tests/bench/job.h — the jobs: each brings up its clients, works for a bounded time and leaves its
 * figures in the result. A job that fails says why there. */
#pragma once

#include "tests/bench/crowd.h"
#include "tests/bench/proc.h"
#include "tests/bench/result.h"

struct rp_job_settings {
    struct rp_crowd_gateways gateways;
    struct rp_procs servers;
    uint64_t warmup_ms, measure_ms;
    uint64_t members, window;                        /* fanout */
    bool slide;                                      /* fanout and rooms, closed loop */
    uint64_t rooms, room_members, room_window, rate; /* rooms */
    uint64_t connections;                            /* idle */
    uint64_t publishers, outstanding;                /* publish */
    uint64_t storm_clients, storm_rooms, storm_filler, storm_spread_ms; /* storm */
    uint64_t open_rate, open_rooms, open_fill_ms;                       /* publish-open */
    const char *disk_dir;                                               /* disk */
};

typedef void rp_job_run(const struct rp_job_settings *s, struct rp_result *r);

/* One room of many members. Closed loop: `window` messages go out, and the next ones when all their
 * deliveries have arrived (slide: one more as soon as one is delivered to all). The first member
 * publishes. Every member must get every message, once, in order, with growing offsets. */
rp_job_run rp_job_fanout;
/* Many small rooms, in turn: closed loop, `room_window` per room under way … */
rp_job_run rp_job_rooms;
/* … and open loop, at a fixed rate; latencies count from when a message was due. */
rp_job_run rp_job_rooms_open;
/* Connections that are in the namespace and do nothing: the servers' memory for each. */
rp_job_run rp_job_idle;
/* Publishes into rooms without members, each publisher with so many unacked … */
rp_job_run rp_job_publish;
/* … and one publisher with one. */
rp_job_run rp_job_publish_one;
/* Publishes at a fixed rate into many rooms; times count from when one was due. */
rp_job_run rp_job_publish_open;
/* Events whose handler only acks, as publish and publish-1. A worker is needed for these … */
rp_job_run rp_job_events;
rp_job_run rp_job_events_one;
/* … this, which is rooms with volatile emits … */
rp_job_run rp_job_volatile;
/* … this, emits to all members whose acks are collected … */
rp_job_run rp_job_ask;
/* … and this, which fetches all connections' sockets. */
rp_job_run rp_job_fetch;
/* Clients that lost their gateway come back within seconds; needs three gateways. */
rp_job_run rp_job_storm;
/* No server: how long 4 KiB take to be durable on the disk of disk_dir, appended and overwritten.
 */
rp_job_run rp_job_disk;

/* ---- what jobs share ---- */

struct rp_job_gathering {
    uint64_t clients;
    uint64_t room_members; /* the clients join rooms of so many, one after the other; 0: none */
};

/* Connects a crowd and has it join. Returns NULL if that fails, which the result says. */
struct rp_crowd *rp_job_gather(const struct rp_job_settings *s,
                               const struct rp_job_gathering *gathering, struct rp_result *r);
/* Whether an ack is [{"ok":true…; what else it is fails the result. */
bool rp_job_check_ack(const struct rp_crowd_event *ack, struct rp_result *r);
/* A CLOSED fails the result. */
void rp_job_fail_closed(const struct rp_crowd_event *closed, struct rp_result *r);

/* Writes ["<event>","<room>-<number>","msg",<64 bytes>] and returns a view of it. */
struct rp_job_text {
    char text[160];
};
struct rp_message;
struct rp_bytes rp_job_publish_text(struct rp_job_text *out, const char *event, const char *room,
                                    size_t number, const struct rp_message *m);

#define RP_JOB_MS_NS 1000000u
