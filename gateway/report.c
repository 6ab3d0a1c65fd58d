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
        GAUGE("clients_polling", "Those of them that use long-polling.", g->polling),
        GAUGE("sessions", "Connected sessions, one per client and namespace.", g->sessions),
        GAUGE("rooms", "Rooms with a member on this gateway.", g->rooms),
        GAUGE("queued_bytes", "Output that clients have not taken yet.", g->queued_bytes),
        GAUGE("held_bytes", "Memory of that: what goes to many is there once.", g->held_bytes),
        COUNTER("clients_opened", "Transports opened by clients.", g->opened),
        COUNTER("clients_closed", "Transports of clients that ended.", g->closed),
        COUNTER("upgrades", "Clients that went from long-polling to WebSocket.", g->upgrades),
        COUNTER("upgrades_failed", "WebSockets for that which did not get there.",
                g->upgrades_failed),
        COUNTER("polls", "Requests of long-polling, GET and POST.", g->polls),
        COUNTER("polls_overlapping",
                "Requests of long-polling beside one of the same kind; they end the client.",
                g->overlaps),
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
        COUNTER("refused_connects", "Connects to a namespace that were answered with an error.",
                g->refused_connects),
        COUNTER("ping_timeouts", "Clients closed because they did not answer a ping.",
                g->ping_timeouts),
        COUNTER("connect_timeouts", "Clients closed because they did not connect in time.",
                g->connect_timeouts),
        COUNTER("clients_lagged", "Times a slow client fell back to catching up from the log.",
                g->lagged),
        COUNTER("clients_overflowed", "Clients closed because they took no output.", g->overflowed),
        COUNTER("clients_hoarding", "Those of them that had most when all together had too much.",
                g->hoarders),
        COUNTER("clients_paused", "Times a client was not read for a while.", g->paused),
        COUNTER("clients_evicted", "Clients closed because their session went elsewhere.",
                g->evicted),
        COUNTER("app_events", "Events of clients for app workers.", g->app_events),
        COUNTER("client_acks", "Answers of clients to events that asked for one.", g->client_acks),
        COUNTER("sockets_kicked", "Sockets that an app worker disconnected.", g->kicked),
        GAUGE("handshakes_bytes", "What is kept of clients' requests for app workers.",
              g->handshakes_bytes),
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
        GAUGE("relays", "Clients and requests passed on to other gateways or from them now.",
              g->relays),
        COUNTER("relayed", "WebSockets and requests passed on to the gateway of their client.",
                g->relayed),
        COUNTER("relays_failed", "Those of them that found nobody there.", g->relays_failed),
        COUNTER("malformed_messages", "Messages of the broker that could not be read.",
                g->malformed_messages),
    };
    return rp_metric_put(out, metrics, sizeof metrics / sizeof *metrics);
}

static enum rp_err put_conn_metrics(const struct rp_serve *s, struct rp_buf *out) {
    const struct rp_conns_stats *c = rp_conns_stats(s->conns);
    const struct rp_metric metrics[] = {
        GAUGE("connections", "Open sockets of clients, in any state.", c->connections),
        GAUGE("bodies_bytes", "Memory of request bodies that are being read.", c->bodies_bytes),
        GAUGE("parts_bytes", "Memory of WebSocket messages that came in part.", c->parts_bytes),
        GAUGE("answers_bytes", "Answers to polls that clients take their time with.",
              c->answers_bytes),
        COUNTER("answers_cut", "Such answers cut off for want of memory.", c->answers_cut),
        COUNTER("connections_accepted", "Sockets accepted.", c->accepted),
        COUNTER("connections_upgraded", "Sockets that became a WebSocket.", c->upgraded),
        COUNTER("connections_busy", "Sockets refused because of --max-connections or stopping.",
                c->busy),
        COUNTER("connections_cut", "Sockets cut off that did not take an answer or end in time.",
                c->cut),
        COUNTER("connections_idle_closed", "Sockets closed between requests.", c->idle_closed),
        COUNTER("header_timeouts", "Requests whose head did not come in time.", c->header_timeouts),
        COUNTER("body_timeouts", "Requests whose body did not come in time.", c->body_timeouts),
        LABELLED("bodies_refused", "Requests refused because of their body.", "reason=\"size\"",
                 c->bodies_big),
        LABELLED("bodies_refused", "Requests refused because of their body.", "reason=\"memory\"",
                 c->bodies_refused),
        COUNTER("http_requests", "HTTP requests.", c->requests),
        LABELLED("http_answers", "HTTP answers.", "result=\"ok\"", c->answers_ok),
        LABELLED("http_answers", "HTTP answers.", "result=\"refused\"", c->answers_refused),
        LABELLED("tls_handshakes", "TLS handshakes.", "result=\"ok\"", c->tls_handshakes),
        LABELLED("tls_handshakes", "TLS handshakes.", "result=\"failed\"", c->tls_failed),
        COUNTER("proxy_failed", "Sockets closed for want of a good PROXY header.", c->proxy_failed),
        COUNTER("bad_frames", "WebSocket frames that closed their client.", c->bad_frames),
        COUNTER("parts_refused", "WebSockets closed for want of memory for messages in part.",
                c->parts_refused),
        COUNTER("accept_pauses", "Pauses of accepting for want of file descriptors.",
                s->listen != NULL ? rp_listen_pauses(s->listen) : 0),
    };
    return rp_metric_put(out, metrics, sizeof metrics / sizeof *metrics);
}

/* Only where there is a certificate: 0 would be an alarm. */
static enum rp_err put_tls_metrics(const struct rp_serve *s, struct rp_buf *out) {
    int64_t expires_s = s->tls != NULL ? rp_tls_expires_s(s->tls) : 0;
    const struct rp_metric metrics[] = {
        GAUGE("tls_certificate_expires_seconds", "When the certificate expires, in Unix time.",
              expires_s > 0 ? (uint64_t) expires_s : 0),
    };
    return s->tls != NULL ? rp_metric_put(out, metrics, 1) : RP_OK;
}

static enum rp_err put_metrics(void *ctx, struct rp_buf *out) {
    const struct rp_report *r = ctx;
    const struct rp_gateway_stats *g = rp_gateway_stats(r->serve->gateway);
    enum rp_err err = put_client_metrics(g, out);
    err = err ? err : put_link_metrics(g, out);
    err = err ? err : put_conn_metrics(r->serve, out);
    return err ? err : put_tls_metrics(r->serve, out);
}

static const char *json_bool(bool value) {
    return value ? "true" : "false";
}

static bool put_health(void *ctx, struct rp_buf *out) {
    const struct rp_report *r = ctx;
    const struct rp_gateway_stats *g = rp_gateway_stats(r->serve->gateway);
    bool draining = rp_serve_is_draining(r->serve);
    enum rp_err err = rp_buf_put_str(out, ",\"gateway\":");
    err = err ? err : rp_json_put_string(out, rp_bytes_str(r->serve->name));
    err = err ? err
              : rp_buf_printf(out, ",\"linked\":%s,\"draining\":%s,\"clients\":%llu",
                              json_bool(g->linked), json_bool(draining),
                              (unsigned long long) g->clients);
    return err == RP_OK && g->linked && !draining;
}

struct rp_admin_source rp_report_source(struct rp_report *report) {
    return (struct rp_admin_source){.ctx = report, .metrics = put_metrics, .health = put_health};
}
