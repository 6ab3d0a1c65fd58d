#include "common/admin.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/metric.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    TEXT_BYTES_MAX = 4 << 20,
    HEADERS_BYTES_MAX = 8 << 10,
    BODY_BYTES_MAX = 1 << 10,
    IDLE_SECONDS = 10,
    BACKLOG = 16,
};

struct rp_admin {
    struct evhttp *http;
    const char *program;
    struct rp_admin_source source;
    char address[RP_ADDRESS_TEXT_SIZE];
};

static void answer(struct evhttp_request *request, int status, const char *type,
                   const struct rp_buf *body) {
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    struct evbuffer *out = evbuffer_new();
    RP_ASSERT(out != NULL);
    evbuffer_add(out, body->data, body->len);
    const char *reason = status == 200 ? "OK" : status == 503 ? "Service Unavailable" : "Not Found";
    evhttp_send_reply(request, status, reason, out);
    evbuffer_free(out);
}

static void on_metrics(struct evhttp_request *request, void *ctx) {
    struct rp_admin *admin = ctx;
    struct rp_buf text;
    rp_buf_init(&text, TEXT_BYTES_MAX);
    enum rp_err err = admin->source.metrics(admin->source.ctx, &text);
    if (err == RP_OK) {
        err = rp_metric_put_process(&text, admin->program);
    }
    RP_ASSERT(err == RP_OK); /* our own tables, far below the maximum */
    answer(request, 200, RP_METRIC_CONTENT_TYPE, &text);
    rp_buf_done(&text);
}

static void on_health(struct evhttp_request *request, void *ctx) {
    struct rp_admin *admin = ctx;
    struct rp_buf members, text;
    rp_buf_init(&members, TEXT_BYTES_MAX);
    rp_buf_init(&text, TEXT_BYTES_MAX);
    bool ready = admin->source.health(admin->source.ctx, &members);
    enum rp_err err =
        rp_buf_printf(&text, "{\"status\":\"%s\",\"program\":\"%s\",\"version\":\"%s\"%.*s}\n",
                      ready ? "ok" : "unavailable", admin->program, RP_VERSION,
                      RP_BYTES_FMT(rp_buf_bytes(&members)));
    RP_ASSERT(err == RP_OK);
    answer(request, ready ? 200 : 503, "application/json", &text);
    rp_buf_done(&members);
    rp_buf_done(&text);
}

static void on_other(struct evhttp_request *request, void *ctx) {
    (void) ctx;
    struct rp_buf text;
    rp_buf_init(&text, TEXT_BYTES_MAX);
    enum rp_err err = rp_buf_put_str(&text, "here are /metrics and /health\n");
    RP_ASSERT(err == RP_OK);
    answer(request, 404, "text/plain; charset=utf-8", &text);
    rp_buf_done(&text);
}

enum rp_err rp_admin_new(struct event_base *base, const struct rp_address *address,
                         const char *program, const struct rp_admin_source *source, char *ret_why,
                         size_t why_size, struct rp_admin **ret_admin) {
    int fd;
    enum rp_err err = rp_address_listen(address, BACKLOG, &fd, ret_why, why_size);
    if (err != RP_OK) {
        return err;
    }
    struct rp_admin *admin = RP_NEW(struct rp_admin);
    admin->program = program;
    admin->source = *source;
    rp_address_of_fd(fd, admin->address, sizeof admin->address);
    admin->http = evhttp_new(base);
    RP_ASSERT(admin->http != NULL);
    evhttp_set_allowed_methods(admin->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_max_headers_size(admin->http, HEADERS_BYTES_MAX);
    evhttp_set_max_body_size(admin->http, BODY_BYTES_MAX);
    evhttp_set_timeout(admin->http, IDLE_SECONDS);
    evhttp_set_cb(admin->http, "/metrics", on_metrics, admin);
    evhttp_set_cb(admin->http, "/health", on_health, admin);
    evhttp_set_gencb(admin->http, on_other, admin);
    if (evhttp_accept_socket(admin->http, fd) != 0) {
        snprintf(ret_why, why_size, "the event loop does not take the socket");
        close(fd);
        rp_admin_free(admin);
        return RP_E_IO;
    }
    *ret_admin = admin;
    return RP_OK;
}

struct rp_admin *rp_admin_free(struct rp_admin *admin) {
    if (admin != NULL) {
        evhttp_free(admin->http); /* closes the listening socket too */
        free(admin);
    }
    return NULL;
}

const char *rp_admin_address(const struct rp_admin *admin) {
    return admin->address;
}
