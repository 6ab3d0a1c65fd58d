#include "gateway/report.h"

#include "common/metric.h"
#include "proto/json.h"

#define COUNTER(metric, text, number)                                                              \
    {                                                                                              \
        .name = "reprise_gateway_" metric "_total", .help = text, .kind = RP_METRIC_COUNTER,       \
        .value = (number)                                                                          \
    }
#define LABELLED(metric, text, label, number)                                                      \
    {                                                                                              \
        .name = "reprise_gateway_" metric "_total", .help = text, .kind = RP_METRIC_COUNTER,       \
        .labels = (label), .value = (number)                                                       \
    }
#define GAUGE(metric, text, number)                                                                \
    { .name = "reprise_gateway_" metric, .help = text, .kind = RP_METRIC_GAUGE, .value = (number) }

static enum rp_err put_client_metrics(const struct rp_gateway_stats *g, struct rp_buf *out) {
    const struct rp_metric metrics[] = {
        GAUGE("clients", "Clients whose transport is open.", g->clients),
        GAUGE("sessions", "Clients with a connected session.", g->sessions),
        GAUGE("rooms", "Rooms with a member on this gateway.", g->rooms),
        GAUGE("queued_bytes", "Output that clients have not taken yet.", g->queued_bytes),
        COUNTER("clients_opened", "Transports opened by clients.", g->opened),
        COUNTER("clients_closed", "Transports of clients that ended.", g->closed),
        COUNTER("sessions_connected", "Sessions connected, recovered ones included.",
                g->connected_total),
        COUNTER("sessions_recovered", "Sessions that were recovered.", g->recovered_total),
        LABELLED("packets", "Engine.IO packets.", "direction=\"in\"", g->packets_in),
        LABELLED("packets", "Engine.IO packets.", "direction=\"out\"", g->packets_out),
        LABELLED("bytes", "Bytes of Engine.IO packets.", "direction=\"in\"", g->bytes_in),
        LABELLED("bytes", "Bytes of Engine.IO packets.", "direction=\"out\"", g->bytes_out),
        COUNTER("deliveries", "Packets given to clients for events of rooms.", g->deliveries),
        COUNTER("replayed", "Missed events given to clients that came back.", g->replayed),
        COUNTER("bad_packets", "Packets that closed their client.", g->bad_packets),
        COUNTER("refused_events", "Events answered with an error.", g->refused_events),
        COUNTER("ping_timeouts", "Clients closed because they did not answer a ping.",
                g->ping_timeouts),
        COUNTER("connect_timeouts", "Clients closed because they did not connect in time.",
                g->connect_timeouts),
        COUNTER("clients_lagged", "Times a slow client fell back to catching up from the log.",
                g->lagged),
        COUNTER("clients_overflowed", "Clients closed because they took no output.", g->overflowed),
        COUNTER("clients_paused", "Times a client was not read for a while.", g->paused),
        COUNTER("clients_evicted", "Clients closed because their session went elsewhere.",
                g->evicted),
        COUNTER("volatile_dropped", "Volatile events not given to a client.", g->volatile_dropped),
    };
    return rp_metric_put(out, metrics, sizeof metrics / sizeof *metrics);
}

static enum rp_err put_link_metrics(const struct rp_gateway_stats *g, struct rp_buf *out) {
    const struct rp_metric metrics[] = {
        GAUGE("linked", "Whether the link to the broker is up.", g->linked),
        GAUGE("requests_open", "Requests the broker has not answered yet.", g->requests_open),
        GAUGE("requests_bytes", "The same, in bytes.", g->requests_bytes),
        COUNTER("requests", "Requests for the broker.", g->requests),
        COUNTER("requests_resent", "Requests sent again over a new link.", g->requests_resent),
        COUNTER("links_opened", "Links to the broker that came up.", g->links_opened),
        COUNTER("links_lost", "Links to the broker that were lost.", g->links_lost),
        COUNTER("resets", "Times the broker could not resume a link from the log.", g->resets),
        COUNTER("delivers", "Events received from the broker for members here.", g->delivers),
        COUNTER("malformed_messages", "Messages of the broker that could not be read.",
                g->malformed_messages),
    };
    return rp_metric_put(out, metrics, sizeof metrics / sizeof *metrics);
}

static enum rp_err put_conn_metrics(const struct rp_report *r, struct rp_buf *out) {
    const struct rp_conns_stats *c = rp_conns_stats(r->conns);
    const struct rp_metric metrics[] = {
        GAUGE("connections", "Open sockets of clients, in any state.", c->connections),
        COUNTER("connections_accepted", "Sockets accepted.", c->accepted),
        COUNTER("connections_upgraded", "Sockets that became a WebSocket.", c->upgraded),
        COUNTER("connections_busy", "Sockets refused because of --max-connections or stopping.",
                c->busy),
        COUNTER("connections_cut", "Sockets cut off that did not take an answer or end in time.",
                c->cut),
        COUNTER("header_timeouts", "Requests whose head did not come in time.", c->header_timeouts),
        LABELLED("http_answers", "HTTP answers.", "result=\"ok\"", c->answers_ok),
        LABELLED("http_answers", "HTTP answers.", "result=\"refused\"", c->answers_refused),
        COUNTER("bad_frames", "WebSocket frames that closed their client.", c->bad_frames),
        COUNTER("accept_pauses", "Pauses of accepting for want of file descriptors.",
                r->listen != NULL ? rp_listen_pauses(r->listen) : 0),
    };
    return rp_metric_put(out, metrics, sizeof metrics / sizeof *metrics);
}

static enum rp_err put_metrics(void *ctx, struct rp_buf *out) {
    const struct rp_report *r = ctx;
    const struct rp_gateway_stats *g = rp_gateway_stats(r->gateway);
    enum rp_err err = put_client_metrics(g, out);
    err = err ? err : put_link_metrics(g, out);
    return err ? err : put_conn_metrics(r, out);
}

static const char *json_bool(bool value) {
    return value ? "true" : "false";
}

static bool put_health(void *ctx, struct rp_buf *out) {
    const struct rp_report *r = ctx;
    const struct rp_gateway_stats *g = rp_gateway_stats(r->gateway);
    enum rp_err err = rp_buf_put_str(out, ",\"gateway\":");
    err = err ? err : rp_json_put_string(out, rp_bytes_str(r->name));
    err = err ? err
              : rp_buf_printf(out, ",\"linked\":%s,\"draining\":%s,\"clients\":%llu",
                              json_bool(g->linked), json_bool(r->draining),
                              (unsigned long long) g->clients);
    return err == RP_OK && g->linked && !r->draining;
}

struct rp_admin_source rp_report_source(struct rp_report *report) {
    return (struct rp_admin_source){.ctx = report, .metrics = put_metrics, .health = put_health};
}
