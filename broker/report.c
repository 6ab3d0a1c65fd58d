#include "broker/report.h"

#include "broker/engine_sqlite.h"
#include "common/log.h"
#include "common/metric.h"

#include <inttypes.h>

#define COUNTER(name_, value_, help_)                                                              \
    {                                                                                              \
        .name = "reprise_broker_" name_ "_total", .help = (help_), .kind = RP_METRIC_COUNTER,      \
        .value = (value_)                                                                          \
    }
#define GAUGE(name_, value_, help_)                                                                \
    { .name = "reprise_broker_" name_, .help = (help_), .kind = RP_METRIC_GAUGE, .value = (value_) }
#define PUT(out, metrics) rp_metric_put(out, metrics, sizeof(metrics) / sizeof *(metrics))

static enum rp_err put_links(struct rp_buf *out, const struct rp_core_stats *s,
                             const struct rp_hub_stats *h) {
    const struct rp_metric metrics[] = {
        GAUGE("gateways", s->gateways, "Gateways with a link."),
        COUNTER("hellos", s->hellos, "Links that gateways began."),
        COUNTER("hellos_refused", s->hellos_refused, "Links refused: another version, too many."),
        COUNTER("roles_refused", s->roles_refused,
                "Of these, links whose key is not allowed as what they are."),
        COUNTER("keys_refused", h->keys_refused,
                "New links refused because their key is not in --allow."),
        COUNTER("handshakes_failed", h->handshakes_failed,
                "Connections that did not become a link for any other reason."),
        COUNTER("messages_revoked", h->messages_revoked,
                "Messages of links whose key has left --allow."),
        COUNTER("links_lost", s->links_lost, "Links that ended or fell silent."),
        COUNTER("links_reset", s->links_reset,
                "Gateways told to begin anew; their clients recover."),
        COUNTER("links_behind", s->links_behind,
                "Times a link used up its credit and fell behind."),
        COUNTER("gateways_gone", s->gateways_gone,
                "Gateways given up; their sessions disconnected."),
        COUNTER("gateways_left", s->gateways_left, "Gateways that said goodbye: they stopped."),
        COUNTER("messages_received", h->messages_received, "Messages from links."),
        COUNTER("received_bytes", h->bytes_received, "Bytes of messages from links."),
        COUNTER("messages_sent", h->messages_sent, "Messages to links."),
        COUNTER("sent_bytes", h->bytes_sent, "Bytes of messages to links."),
        COUNTER("operations", s->operations, "Operations in messages from links."),
        COUNTER("messages_malformed", s->malformed_messages + h->messages_malformed,
                "Messages that could not be read and were dropped."),
        COUNTER("messages_stray", s->stray_messages, "Messages of links that are not greeted."),
        COUNTER("messages_unroutable", h->messages_unroutable, "Messages whose link was gone."),
    };
    return PUT(out, metrics);
}

static enum rp_err put_relays(struct rp_buf *out, const struct rp_core_stats *s) {
    const struct rp_metric metrics[] = {
        COUNTER("relays", s->relays, "Relays passed on from one gateway to another."),
        COUNTER("relays_refused", s->relays_refused,
                "Relays whose gateway was not there or had no credit."),
        COUNTER("relays_malformed", s->relays_malformed, "Relays of a kind nobody knows, dropped."),
    };
    return PUT(out, metrics);
}

static enum rp_err put_workers(struct rp_buf *out, const struct rp_core_stats *s) {
    const struct rp_metric metrics[] = {
        GAUGE("workers", s->workers, "App workers with a link."),
        GAUGE("sockets_unserved", s->unserved, "Sockets of app namespaces that no worker has."),
        GAUGE("tasks", s->tasks_open,
              "Requests that workers decide upon or handle, or whose answer is kept."),
        GAUGE("tasks_waiting", s->tasks_waiting, "Of these, those there is no worker for."),
        COUNTER("tasks_begun", s->tasks, "Requests of clients given to workers."),
        COUNTER("tasks_refused", s->tasks_refused,
                "Of these, those that waited in vain, or could not wait."),
        COUNTER("events_invoked", s->invoked, "Times an event was given to a worker."),
        COUNTER("tasks_disowned", s->disowned,
                "Times a worker did not know the socket of its task."),
        COUNTER("admissions_refused", s->admissions_refused, "Connects that workers refused."),
        COUNTER("workers_lost", s->workers_lost,
                "Workers given up, or that said goodbye; their sockets went to others."),
        COUNTER("sockets_moved", s->sockets_moved, "Sockets given to a worker that had fewer."),
        COUNTER("emits", s->emits, "Events emitted by workers into the log."),
        COUNTER("emits_volatile", s->emits_volatile, "Events emitted by workers past the log."),
        COUNTER("acks", s->acks, "Answers of clients to events of workers."),
        COUNTER("acks_ignored", s->acks_ignored, "Answers to what was not asked, or twice."),
        COUNTER("acks_forgotten", s->acks_forgotten,
                "Events that a session owed an ack for, forgotten because it owed too many."),
        COUNTER("side_events", s->sides, "Events from a worker to the others."),
        COUNTER("fetches", s->fetches, "Questions of workers for sockets, page by page."),
        COUNTER("outboxes_overflowed", s->outboxes_overflowed,
                "Links given up because too little was taken from them."),
    };
    return PUT(out, metrics);
}

static enum rp_err put_sessions(struct rp_buf *out, const struct rp_core_stats *s) {
    const struct rp_metric metrics[] = {
        GAUGE("sessions", s->sessions, "Sessions, connected or recoverable."),
        GAUGE("sessions_connected", s->connected, "Sessions with a connection."),
        GAUGE("rooms", s->rooms, "Rooms in memory."),
        GAUGE("memberships", s->intervals, "Memberships, open or remembered for recovery."),
        COUNTER("connects", s->connects, "Clients that connected."),
        COUNTER("recovered", s->recovered, "Clients that came back with recovered true."),
        COUNTER("not_recovered", s->not_recovered, "Clients that asked to recover in vain."),
        COUNTER("takeovers", s->takeovers, "Sessions taken over by another connection."),
        COUNTER("evicted", s->evicted, "Clients closed to come back by themselves."),
        COUNTER("sessions_expired", s->sessions_expired,
                "Sessions that ended after --session-ttl."),
    };
    return PUT(out, metrics);
}

static enum rp_err put_events(struct rp_buf *out, const struct rp_core_stats *s) {
    const struct rp_metric metrics[] = {
        COUNTER("publishes", s->publishes, "Events published into the log."),
        COUNTER("publishes_duplicate", s->publishes_duplicate,
                "Publishes whose id was in the log already."),
        COUNTER("publishes_volatile", s->publishes_volatile, "Events forwarded without the log."),
        COUNTER("volatile_dropped", s->volatile_dropped,
                "Volatile events dropped for links that were behind."),
        COUNTER("requests_resent", s->requests_resent, "Requests that gateways sent again."),
        COUNTER("requests_refused", s->requests_refused, "Requests answered with an error."),
        COUNTER("committed", s->committed, "Records committed to the log."),
        COUNTER("delivers", s->delivers, "Events put on links, one per gateway and event."),
        COUNTER("replayed_events", s->replayed_events, "Events sent to sessions that catch up."),
        COUNTER("replayed_again", s->replayed_again,
                "Those of them that wanted an ack and were sent before."),
        COUNTER("owed_lost", s->owed_lost,
                "Events without an ack that could not be found for a session that came back."),
        COUNTER("replay_pages", s->replay_pages, "Pages of such events."),
        COUNTER("reads", s->reads, "Reads of old events asked of the engine."),
        COUNTER("shared_hits", s->shared_hits,
                "Times a session found a room's page of old events, or a read under way."),
        COUNTER("shared_misses", s->shared_misses, "Of the reads, those of such pages."),
        COUNTER("shared_evictions", s->shared_evictions,
                "Such pages given up for others, for want of memory."),
        GAUGE("shared_pages", s->shared_pages, "Such pages in memory, or being read."),
        GAUGE("shared_bytes", s->shared_bytes, "What they take, or may take."),
        GAUGE("cursors", s->cursors, "Sessions that catch up."),
        GAUGE("head_seq", s->head, "Newest seq of the log."),
        GAUGE("first_seq", s->first, "Oldest seq that may still be in the log."),
        GAUGE("tail_records", s->tail_records, "Newest records kept in memory."),
        GAUGE("tail_bytes", s->tail_bytes, "Bytes of the records kept in memory."),
    };
    return PUT(out, metrics);
}

static enum rp_err put_engine(struct rp_buf *out, const struct rp_engine *engine) {
    struct rp_engine_sqlite_stats s;
    rp_engine_sqlite_stats(engine, &s);
    const struct rp_metric metrics[] = {
        COUNTER("engine_transactions", s.transactions, "Transactions committed (group commits)."),
        COUNTER("engine_records", s.records, "Records written."),
        COUNTER("engine_duplicates", s.duplicates, "Records that were in the log already."),
        COUNTER("engine_refused", s.refused, "Records that could not be written."),
        GAUGE("engine_wal_bytes", s.wal_bytes,
              "WAL that cannot be reused yet; grows while somebody reads an old state."),
        COUNTER("engine_checkpoints", s.checkpoints, "Passes that copied the WAL into the file."),
        COUNTER("engine_wal_restarts", s.wal_restarts, "Times the WAL began at its start again."),
        COUNTER("engine_wal_restarts_failed", s.wal_restarts_failed,
                "Times it could not because of a reader: look for a long sqlite3 shell."),
        COUNTER("engine_segments_indexed", s.segments_indexed, "Segments indexed by room."),
        COUNTER("engine_index_failures", s.index_failures, "Segments whose indexing failed."),
        COUNTER("engine_segments_trimmed", s.segments_trimmed,
                "Indexed segments that retention has removed to their end."),
        COUNTER("engine_retention_rounds", s.retention_rounds, "Rounds of retention done."),
        COUNTER("engine_events_trimmed", s.events_trimmed, "Events removed by retention."),
        COUNTER("engine_rooms_trimmed", s.rooms_trimmed,
                "Times a room lost its oldest events to retention."),
        COUNTER("engine_pages_vacuumed", s.pages_vacuumed,
                "Pages of the file given back to the file system."),
        GAUGE("engine_used_bytes", s.used_bytes, "What counts against --disk-budget."),
        GAUGE("engine_disk_free_bytes", s.free_bytes, "Free on the disk the log is on."),
        GAUGE("engine_no_space", s.no_space,
              "1 while events are refused for want of space: --disk-budget, --disk-reserve."),
        COUNTER("engine_refused_no_space", s.refused_no_space,
                "Records refused for want of space."),
        COUNTER("engine_reads", s.reads, "Reads of old events done."),
        COUNTER("engine_reads_failed", s.reads_failed, "Reads of old events that failed."),
    };
    return PUT(out, metrics);
}

enum rp_err rp_report_metrics(void *ctx, struct rp_buf *out) {
    struct rp_report *report = ctx;
    const struct rp_core_stats *s = rp_core_stats(report->core);
    enum rp_err err = put_links(out, s, rp_hub_stats(report->hub));
    err = err == RP_OK ? put_relays(out, s) : err;
    err = err == RP_OK ? put_workers(out, s) : err;
    err = err == RP_OK ? put_sessions(out, s) : err;
    err = err == RP_OK ? put_events(out, s) : err;
    return err == RP_OK ? put_engine(out, report->engine) : err;
}

bool rp_report_health(void *ctx, struct rp_buf *out) {
    struct rp_report *report = ctx;
    const struct rp_core_stats *s = rp_core_stats(report->core);
    bool accepts = rp_core_wants_input(report->core);
    struct rp_engine_sqlite_stats engine;
    rp_engine_sqlite_stats(report->engine, &engine);
    enum rp_err full =
        rp_buf_printf(out,
                      ",\"epoch\":\"%s\",\"head\":%" PRIu64 ",\"first\":%" PRIu64
                      ",\"gateways\":%" PRIu64 ",\"workers\":%" PRIu64 ",\"sessions\":%" PRIu64
                      ",\"connected\":%" PRIu64 ",\"log_full\":%s,\"no_space\":%s,\"stopping\":%s",
                      report->engine->epoch, s->head, s->first, s->gateways, s->workers,
                      s->sessions, s->connected, accepts ? "false" : "true",
                      engine.no_space ? "true" : "false", report->stopping ? "true" : "false");
    (void) full; /* a few hundred bytes */
    return !report->stopping && rp_core_failure(report->core) == RP_OK;
}

void rp_report_links(struct rp_core *core, const struct rp_core_stats *live,
                     struct rp_report_links *told) {
    const struct rp_report_links is = {.gateways_linked = live->gateways_linked,
                                       .workers_linked = live->workers_linked,
                                       .workers_lost = live->workers_lost,
                                       .hellos_refused = live->hellos_refused,
                                       .links_lost = live->links_lost,
                                       .links_reset = live->links_reset,
                                       .gateways_gone = live->gateways_gone,
                                       .gateways_left = live->gateways_left};
    if (memcmp(&is, told, sizeof is) == 0) {
        return;
    }
    uint64_t gateways = rp_core_stats(core)->gateways;
    uint64_t workers = rp_core_stats(core)->workers;
    uint64_t left = is.gateways_left - told->gateways_left;
    uint64_t lost = is.links_lost - told->links_lost - left; /* which end links, too */
    if (lost > 0) {
        rp_log_warn("lost the link of a gateway, its sessions wait for it lost=%" PRIu64
                    " gateways=%" PRIu64,
                    lost, gateways);
    }
    if (left > 0) {
        rp_log_info("a gateway has stopped stopped=%" PRIu64 " gateways=%" PRIu64, left, gateways);
    }
    if (is.links_reset != told->links_reset) {
        rp_log_warn("told a gateway to begin anew, its clients recover one by one reset=%" PRIu64
                    " gateways=%" PRIu64,
                    is.links_reset - told->links_reset, gateways);
    }
    if (is.gateways_gone != told->gateways_gone) {
        rp_log_warn(
            "gave up a gateway that stayed away, its sessions are disconnected gone=%" PRIu64
            " gateways=%" PRIu64,
            is.gateways_gone - told->gateways_gone, gateways);
    }
    if (is.hellos_refused != told->hellos_refused) {
        rp_log_warn("refused a gateway or a worker, its own log says why refused=%" PRIu64
                    " gateways=%" PRIu64,
                    is.hellos_refused - told->hellos_refused, gateways);
    }
    if (is.gateways_linked != told->gateways_linked) {
        rp_log_info("a gateway has a link new=%" PRIu64 " gateways=%" PRIu64,
                    is.gateways_linked - told->gateways_linked, gateways);
    }
    if (is.workers_linked != told->workers_linked) {
        rp_log_info("an app worker has a link new=%" PRIu64 " workers=%" PRIu64,
                    is.workers_linked - told->workers_linked, workers);
    }
    if (is.workers_lost != told->workers_lost) {
        rp_log_info("an app worker is gone, others get its sockets gone=%" PRIu64
                    " workers=%" PRIu64,
                    is.workers_lost - told->workers_lost, workers);
    }
    *told = is;
}

void rp_report_space(const struct rp_engine *engine, bool *told) {
    struct rp_engine_sqlite_stats s;
    rp_engine_sqlite_stats(engine, &s);
    bool is = s.no_space != 0;
    if (is == *told) {
        return;
    }
    if (is) {
        rp_log_warn("the log has no room on its disk, events are refused until it has: see "
                    "--disk-budget, --disk-reserve, --retain-bytes used_bytes=%" PRIu64
                    " disk_free_bytes=%" PRIu64,
                    s.used_bytes, s.free_bytes);
    } else {
        rp_log_info("the log has room again, events are taken refused=%" PRIu64
                    " used_bytes=%" PRIu64 " disk_free_bytes=%" PRIu64,
                    s.refused_no_space, s.used_bytes, s.free_bytes);
    }
    *told = is;
}
