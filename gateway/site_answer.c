/* gateway/site_answer.c — how answers are written. What every one says is added here: the date,
 * CORS, what caches must tell apart, and whether the connection goes on. */
#include "gateway/site_parts.h"

#include "common/assert.h"
#include "proto/json.h"

#include <time.h>

void rp_site_add_header_bytes(struct site_headers *h, const char *name, struct rp_bytes value) {
    RP_ASSERT(h->count < SITE_HEADERS_MAX);
    h->list[h->count++] = (struct rp_http_header){rp_bytes_str(name), value};
}

void rp_site_add_header(struct site_headers *h, const char *name, const char *value) {
    rp_site_add_header_bytes(h, name, rp_bytes_str(value));
}

/* RFC 9110 12.5.5: what of the request the answer depends on, also when the request had none. */
static void add_vary(struct site_headers *h, bool origin, struct rp_buf *text) {
    const struct {
        bool is;
        const char *name;
    } parts[] = {{origin, "Origin"},
                 {h->vary_request_headers, "Access-Control-Request-Headers"},
                 {h->vary_coding, "Accept-Encoding"}};
    enum rp_err err = RP_OK;
    for (size_t i = 0; i < 3; i++) {
        if (parts[i].is) {
            err = err ? err : rp_buf_put_str(text, text->len > 0 ? ", " : "");
            err = err ? err : rp_buf_put_str(text, parts[i].name);
        }
    }
    RP_ASSERT(err == RP_OK);
    if (text->len > 0) {
        rp_site_add_header_bytes(h, "Vary", rp_buf_bytes(text));
    }
}

static void add_cors(struct site_headers *h, const struct rp_site_request *r) {
    if (r->origin_len > 0) {
        rp_site_add_header_bytes(h, "Access-Control-Allow-Origin",
                                 rp_bytes(r->origin, r->origin_len));
        if (r->credentials) {
            rp_site_add_header(h, "Access-Control-Allow-Credentials", "true");
        }
    }
}

void rp_site_put_head(struct rp_answer *ret_answer, const struct rp_site_request *r, int status,
                      struct site_headers *h, size_t body_len, size_t extra_max) {
    char date[40];
    struct tm tm;
    time_t now = time(NULL);
    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    rp_site_add_header(h, "Date", date);
    struct rp_buf vary;
    rp_buf_init(&vary, 128);
    add_vary(h, r != NULL && r->vary_origin, &vary);
    if (r != NULL) {
        add_cors(h, r);
    }
    *ret_answer = (struct rp_answer){.keep_alive = r != NULL && r->keep_alive};
    rp_buf_init(&ret_answer->head, RP_SITE_HEAD_BYTES_MAX + extra_max);
    enum rp_err err = rp_http_put_response_head(&ret_answer->head, status, h->list, h->count,
                                                body_len, ret_answer->keep_alive);
    RP_ASSERT(err == RP_OK); /* our own headers, and short; what clients sent was looked at */
    rp_buf_done(&vary);
}

void rp_site_put_json(struct rp_answer *ret_answer, const struct rp_site_request *r, int status,
                      struct site_headers *h, struct rp_bytes json) {
    rp_site_add_header(h, "Content-Type", "application/json; charset=utf-8");
    rp_site_add_header(h, "Cache-Control", "no-store");
    rp_site_put_head(ret_answer, r, status, h, json.len, json.len);
    enum rp_err err = r == NULL || !r->is_head ? rp_buf_put(&ret_answer->head, json) : RP_OK;
    RP_ASSERT(err == RP_OK);
}

/* "Not Found" → "not_found" */
static void put_code(struct rp_buf *out, int status) {
    char code[64];
    size_t len = 0;
    for (const char *at = rp_http_reason(status); *at != '\0' && len < sizeof code; at++) {
        code[len++] = *at == ' ' ? '_' : (char) (*at >= 'A' && *at <= 'Z' ? *at + 32 : *at);
    }
    enum rp_err err = rp_json_put_string(out, rp_bytes(code, len));
    RP_ASSERT(err == RP_OK);
}

void rp_site_put_error(struct rp_answer *ret_answer, const struct rp_site_request *r, int status,
                       struct site_headers *h, const char *message) {
    struct rp_buf json;
    rp_buf_init(&json, RP_SITE_HEAD_BYTES_MAX / 2);
    enum rp_err err = rp_buf_put_str(&json, "{\"error\":{\"code\":");
    put_code(&json, status);
    err = err ? err : rp_buf_put_str(&json, ",\"message\":");
    err = err ? err : rp_json_put_string(&json, rp_bytes_str(message));
    err = err ? err : rp_buf_put_str(&json, "}}");
    RP_ASSERT(err == RP_OK); /* messages are our own */
    rp_site_put_json(ret_answer, r, status, h, rp_buf_bytes(&json));
    rp_buf_done(&json);
}

void rp_site_error(int status, const char *message, const struct rp_site_request *request,
                   struct rp_answer *ret_answer) {
    struct site_headers h = {.count = 0};
    struct rp_site_request closing = request != NULL ? *request : (struct rp_site_request){0};
    closing.keep_alive = false;
    if (status == 503) {
        rp_site_add_header(&h, "Retry-After", "1");
    }
    rp_site_put_error(ret_answer, &closing, status, &h, message);
}
