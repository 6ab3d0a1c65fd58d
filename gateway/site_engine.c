/* gateway/site_engine.c — requests of Engine.IO, before the core sees them and after it answered.
 *
 * The checks and their order are the reference server's (engine.io 6, verify), so that clients see
 * its errors. Two of its answers are the core's: an unknown sid, and a transport that is not the
 * session's. Where it answers a known session's PUT with 500 and a POST of bytes by closing the
 * session, a bad request is all we say. */
#include "gateway/site_parts.h"

#include "common/assert.h"
#include "proto/deflate.h"
#include "proto/ws.h"

#include <stdio.h>
#include <strings.h>

enum { COMPRESS_BYTES_MIN = 1024 }; /* the reference server's threshold */

static enum rp_site_verdict refuse_with(const struct rp_site_request *r, enum rp_eio_error error,
                                        int status, struct site_headers *h,
                                        struct rp_answer *ret_answer) {
    struct rp_buf json;
    rp_buf_init(&json, RP_SITE_HEAD_BYTES_MAX / 2);
    enum rp_err err = rp_eio_put_error(&json, error);
    RP_ASSERT(err == RP_OK);
    rp_site_put_json(ret_answer, r, status, h, rp_buf_bytes(&json));
    rp_buf_done(&json);
    return RP_SITE_ANSWER;
}

static enum rp_site_verdict refuse(const struct rp_site_request *r, enum rp_eio_error error,
                                   struct rp_answer *ret_answer) {
    struct site_headers h = {.count = 0};
    return refuse_with(r, error, rp_eio_error_status(error), &h, ret_answer);
}

void rp_site_engine_error(const struct rp_site *s, const struct rp_site_request *request,
                          enum rp_eio_error error, struct rp_answer *ret_answer) {
    (void) s;
    refuse(request, error, ret_answer);
}

/* ---- WebSockets ---- */

bool rp_site_has_body(const struct rp_http_request *req) {
    return req->framing == RP_HTTP_BODY_CHUNKED ||
           (req->framing == RP_HTTP_BODY_LENGTH && req->content_length > 0);
}

static bool asks_for_websocket(const struct rp_http_request *req) {
    return rp_http_has_token(req, "Connection", "upgrade") &&
           rp_http_has_token(req, "Upgrade", "websocket");
}

bool rp_site_is_upgrade(const struct rp_http_request *req) {
    const struct rp_http_header *key = rp_http_find(req, "Sec-WebSocket-Key");
    return req->version_minor == 1 && !rp_site_has_body(req) && asks_for_websocket(req) &&
           key != NULL && rp_ws_key_valid(key->value);
}

/* RFC 6455 4.4, RFC 9110 15.5.22: tells a client what it should have asked for. */
static enum rp_site_verdict refuse_upgrade(const struct rp_site_request *r,
                                           struct rp_answer *ret_answer) {
    struct site_headers h = {.count = 0};
    rp_site_add_header(&h, "Sec-WebSocket-Version", "13");
    rp_site_add_header(&h, "Upgrade", "websocket");
    rp_site_add_header(&h, "Connection", "Upgrade");
    return refuse_with(r, RP_EIO_BAD_REQUEST, 426, &h, ret_answer);
}

/* The first subprotocol that the client offers: browsers fail if none of theirs is taken, and the
 * reference server takes the first. Empty: none, or not a name. */
static struct rp_bytes first_subprotocol(const struct rp_http_request *req) {
    const struct rp_http_header *offers = rp_http_find(req, "Sec-WebSocket-Protocol");
    size_t len = 0;
    while (offers != NULL && len < offers->value.len && offers->value.data[len] != ',') {
        len++;
    }
    struct rp_bytes name = rp_bytes(offers != NULL ? offers->value.data : NULL, len);
    while (name.len > 0 && (name.data[name.len - 1] == ' ' || name.data[name.len - 1] == '\t')) {
        name.len--;
    }
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        if (c <= ' ' || c >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", c) != NULL) {
            return rp_bytes(NULL, 0);
        }
    }
    return name.len <= RP_SITE_SUBPROTOCOL_BYTES_MAX ? name : rp_bytes(NULL, 0);
}

static enum rp_site_verdict accept_websocket(const struct rp_site *s,
                                             const struct rp_http_request *req,
                                             struct rp_site_request *r,
                                             struct rp_answer *ret_answer) {
    char accept[29];
    rp_ws_accept(rp_http_find(req, "Sec-WebSocket-Key")->value, accept);
    struct site_headers h = {.count = 0};
    rp_site_add_header(&h, "Upgrade", "websocket");
    rp_site_add_header(&h, "Connection", "Upgrade");
    rp_site_add_header(&h, "Sec-WebSocket-Accept", accept);
    struct rp_bytes subprotocol = first_subprotocol(req);
    if (subprotocol.len > 0) {
        rp_site_add_header_bytes(&h, "Sec-WebSocket-Protocol", subprotocol);
    }
    const char *extension;
    r->deflate = s->deflate && rp_deflate_negotiate(req, &extension);
    if (r->deflate) {
        rp_site_add_header(&h, "Sec-WebSocket-Extensions", extension);
    }
    *ret_answer = (struct rp_answer){.keep_alive = true};
    rp_buf_init(&ret_answer->head, RP_SITE_HEAD_BYTES_MAX);
    enum rp_err err = rp_http_put_response_head(&ret_answer->head, 101, h.list, h.count, 0, true);
    RP_ASSERT(err == RP_OK);
    return RP_SITE_WEBSOCKET;
}

static bool has_other_version(const struct rp_http_request *req) {
    const struct rp_http_header *version = rp_http_find(req, "Sec-WebSocket-Version");
    return version == NULL || !rp_bytes_eq_str(version->value, "13");
}

enum rp_site_verdict rp_site_any_path(const struct rp_site *s, const struct rp_http_request *req,
                                      bool admitted, struct rp_site_request *r,
                                      struct rp_answer *ret_answer) {
    if (!admitted) {
        return refuse(r, RP_EIO_FORBIDDEN, ret_answer);
    }
    if (!rp_bytes_eq_str(req->method, "GET")) {
        return refuse(r, RP_EIO_BAD_HANDSHAKE_METHOD, ret_answer);
    }
    if (!asks_for_websocket(req)) {
        return refuse_upgrade(r, ret_answer);
    }
    if (!rp_site_is_upgrade(req)) {
        return refuse(r, RP_EIO_BAD_REQUEST, ret_answer);
    }
    return has_other_version(req) ? refuse_upgrade(r, ret_answer)
                                  : accept_websocket(s, req, r, ret_answer);
}

/* ---- Engine.IO ---- */

static bool query_is(const struct rp_http_request *req, const char *name, const char *value) {
    struct rp_bytes raw;
    return rp_http_query_get(req->query, name, &raw) && rp_bytes_eq_str(raw, value);
}

/* Keeps the sid, if there is one; an empty one is none. False: no session can have it. */
static bool take_sid(const struct rp_http_request *req, struct rp_site_request *r) {
    struct rp_bytes raw;
    if (!rp_http_query_get(req->query, "sid", &raw)) {
        return true;
    }
    struct rp_buf sid;
    rp_buf_init(&sid, sizeof r->sid);
    bool ok = rp_http_query_decode(raw, &sid) == RP_OK;
    if (ok && sid.len > 0) {
        memcpy(r->sid, sid.data, sid.len);
        r->sid_len = (uint8_t) sid.len;
    }
    rp_buf_done(&sid);
    return ok;
}

static enum rp_site_verdict engine_websocket(const struct rp_site *s,
                                             const struct rp_http_request *req,
                                             struct rp_site_request *r,
                                             struct rp_answer *ret_answer) {
    if (!rp_bytes_eq_str(req->method, "GET") || !rp_site_is_upgrade(req)) {
        return refuse(r, RP_EIO_BAD_REQUEST, ret_answer);
    }
    if (has_other_version(req)) {
        return refuse_upgrade(r, ret_answer);
    }
    if (r->sid_len == 0 && !query_is(req, "EIO", "4")) { /* of a session it is known */
        return refuse(r, RP_EIO_UNSUPPORTED_VERSION, ret_answer);
    }
    return accept_websocket(s, req, r, ret_answer);
}

/* Payloads are text; bytes in a body are of revision 3. */
static bool is_octet_stream(const struct rp_http_request *req) {
    static const char name[] = "application/octet-stream";
    const struct rp_http_header *type = rp_http_find(req, "Content-Type");
    return type != NULL && type->value.len >= sizeof name - 1 &&
           strncasecmp((const char *) type->value.data, name, sizeof name - 1) == 0;
}

static enum rp_site_verdict engine_polling(const struct rp_site *s,
                                           const struct rp_http_request *req,
                                           struct rp_site_request *r,
                                           struct rp_answer *ret_answer) {
    bool opens = r->sid_len == 0;
    if (asks_for_websocket(req)) { /* other upgrades may be ignored (RFC 9110 7.8) */
        return refuse(r, RP_EIO_BAD_REQUEST, ret_answer);
    }
    if (opens && !query_is(req, "EIO", "4")) {
        return refuse(r, RP_EIO_UNSUPPORTED_VERSION, ret_answer);
    }
    if (rp_bytes_eq_str(req->method, "GET")) {
        r->coding = s->compress ? (uint8_t) rp_http_pick_coding(req) : RP_HTTP_IDENTITY;
        return opens ? RP_SITE_POLL_OPEN : RP_SITE_POLL_GET;
    }
    if (!rp_bytes_eq_str(req->method, "POST") || is_octet_stream(req)) {
        return refuse(r, RP_EIO_BAD_REQUEST, ret_answer);
    }
    r->keep_alive = req->keep_alive; /* the body will have been read */
    return RP_SITE_POLL_POST;
}

enum rp_site_verdict rp_site_engine(const struct rp_site *s, const struct rp_http_request *req,
                                    bool admitted, struct rp_site_request *r,
                                    struct rp_answer *ret_answer) {
    bool polling = query_is(req, "transport", "polling") && !s->no_polling;
    bool websocket = query_is(req, "transport", "websocket") && !s->no_websocket;
    if (!polling && !websocket) {
        return refuse(r, RP_EIO_UNKNOWN_TRANSPORT, ret_answer);
    }
    if (!admitted) {
        return refuse(r, RP_EIO_FORBIDDEN, ret_answer);
    }
    if (!take_sid(req, r)) {
        return refuse(r, RP_EIO_UNKNOWN_SID, ret_answer);
    }
    if (r->sid_len == 0 && !rp_bytes_eq_str(req->method, "GET")) {
        return refuse(r, RP_EIO_BAD_HANDSHAKE_METHOD, ret_answer);
    }
    return polling ? engine_polling(s, req, r, ret_answer)
                   : engine_websocket(s, req, r, ret_answer);
}

/* ---- what the core answered ---- */

/* The cookie as the reference server sets it. */
static void add_cookie(const struct rp_site *s, struct rp_bytes sid, struct site_headers *h,
                       struct rp_buf *text) {
    enum rp_err err = rp_buf_printf(text, "%s=%.*s; Path=/; HttpOnly; SameSite=Lax", s->cookie,
                                    RP_BYTES_FMT(sid));
    RP_ASSERT(err == RP_OK); /* the name was checked, and sids are short */
    rp_site_add_header_bytes(h, "Set-Cookie", rp_buf_bytes(text));
}

/* Whether the body in the client's coding, now in out, is shorter. */
static bool compress_body(const struct rp_site *s, const struct rp_site_request *r,
                          struct rp_bytes body, struct rp_buf *out) {
    return s->compress && r->coding != RP_HTTP_IDENTITY && body.len >= COMPRESS_BYTES_MIN &&
           rp_http_compress(s->compressor, (enum rp_http_coding) r->coding, body, out) == RP_OK;
}

void rp_site_poll_answer(const struct rp_site *s, const struct rp_site_request *request,
                         const struct rp_exchange *exchange, struct rp_answer *ret_answer) {
    int status = rp_exchange_status(exchange);
    struct rp_bytes body = rp_exchange_body(exchange), sid = rp_exchange_sid(exchange);
    struct site_headers h = {.vary_coding = s->compress && body.len >= COMPRESS_BYTES_MIN};
    struct rp_buf cookie, compressed;
    rp_buf_init(&cookie, RP_SITE_COOKIE_BYTES_MAX + RP_EIO_SID_BYTES_MAX + 64);
    rp_buf_init(&compressed, body.len);
    rp_site_add_header(&h, "Content-Type",
                       status == 200 ? "text/plain; charset=UTF-8" : "application/json");
    rp_site_add_header(&h, "Cache-Control", "no-store");
    if (s->cookie != NULL && sid.len > 0) {
        add_cookie(s, sid, &h, &cookie);
    }
    if (compress_body(s, request, body, &compressed)) {
        rp_site_add_header(&h, "Content-Encoding",
                           rp_http_coding_name((enum rp_http_coding) request->coding));
        rp_site_put_head(ret_answer, request, status, &h, compressed.len, compressed.len);
        enum rp_err err = rp_buf_put(&ret_answer->head, rp_buf_bytes(&compressed));
        RP_ASSERT(err == RP_OK); /* there is room for it */
    } else {
        rp_site_put_head(ret_answer, request, status, &h, body.len, 0);
        ret_answer->body = body;
    }
    rp_buf_done(&cookie);
    rp_buf_done(&compressed);
}
