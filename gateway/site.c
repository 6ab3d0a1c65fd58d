/* gateway/site.c — the site made and freed, and which request is whose. */
#include "gateway/site.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/pattern.h"
#include "gateway/site_parts.h"
#include "proto/deflate.h"
#include "proto/json.h"

#include <stdlib.h>

enum { COMPRESSION_LEVEL = 6 }; /* zlib's own choice between time and size */

/* ---- the start ---- */

const char *rp_site_check_path(const char *text) {
    size_t len = strlen(text);
    bool ok = len > 0 && len < 256 && text[0] == '/';
    for (size_t i = 0; i < len && ok; i++) {
        ok = text[i] > ' ' && text[i] < 0x7f && text[i] != '?' && text[i] != '#';
    }
    return ok ? NULL : "a path that begins with a slash (/socket.io)";
}

const char *rp_site_check_cookie(const char *text) {
    size_t len = strlen(text);
    bool ok = len > 0 && len <= RP_SITE_COOKIE_BYTES_MAX;
    for (size_t i = 0; i < len && ok; i++) { /* a token: RFC 6265 4.1.1 */
        ok = text[i] > ' ' && text[i] < 0x7f && strchr("()<>@,;:\\\"/[]?={}", text[i]) == NULL;
    }
    return ok ? NULL : "the name of a cookie, of at most 64 letters, digits and such (io)";
}

static void set_path(struct rp_site *s, const char *path) {
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/') {
        len--;
    }
    s->path = rp_alloc(len + 1);
    memcpy(s->path, path, len);
    s->path_len = len;
}

static char *copy_text(const char *text) {
    char *copy = rp_alloc(strlen(text) + 1);
    memcpy(copy, text, strlen(text) + 1);
    return copy;
}

enum rp_err rp_site_new(const struct rp_site_config *config, struct rp_site **ret_site,
                        struct rp_site_problem *ret_problem) {
    struct rp_site *s = RP_NEW(struct rp_site);
    s->demo = config->demo;
    s->has_client_dir = config->client_dir != NULL;
    s->name = copy_text(config->gateway_name);
    s->cookie = config->cookie != NULL ? copy_text(config->cookie) : NULL;
    s->origins = config->origins;
    s->credentials = config->credentials;
    /* what matches the empty name is made of asterisks: then all names do */
    s->any_origin = !s->credentials && rp_patterns_match(s->origins, rp_bytes(NULL, 0));
    s->no_polling = config->no_polling;
    s->no_websocket = config->no_websocket;
    s->deflate = config->deflate;
    s->compress = config->compress;
    s->compressor = config->compress ? rp_deflate_new(COMPRESSION_LEVEL) : NULL;
    s->any_path = config->any_path;
    s->everywhere = config->everywhere;
    set_path(s, config->path);
    enum rp_err err = rp_site_read_files(s, config->client_dir, ret_problem);
    if (err != RP_OK) {
        rp_site_free(s);
        return err;
    }
    *ret_site = s;
    return RP_OK;
}

struct rp_site *rp_site_free(struct rp_site *s) {
    if (s != NULL) {
        rp_site_free_files(s);
        rp_deflate_free(s->compressor);
        free(s->name);
        free(s->cookie);
        free(s->path);
        free(s);
    }
    return NULL;
}

/* ---- routes ---- */

static enum rp_err put_text(struct rp_buf *out, const char *text) {
    struct rp_bytes bytes = rp_bytes_str(text);
    return rp_json_put_string(out, rp_bytes_is_utf8(bytes) ? bytes : RP_BYTES_LIT("?"));
}

/* Who answers, and whom it sees: for people who try several gateways, or proxies. */
static void answer_whoami(const struct rp_site *s, const char *address,
                          const struct rp_site_request *r, struct rp_answer *ret_answer) {
    struct site_headers h = {.count = 0};
    struct rp_buf json;
    rp_buf_init(&json, RP_SITE_HEAD_BYTES_MAX);
    enum rp_err err = rp_buf_put_str(&json, "{\"gateway\":");
    err = err ? err : put_text(&json, s->name);
    err = err ? err : rp_buf_put_str(&json, ",\"address\":");
    err = err ? err : put_text(&json, address);
    err = err ? err : rp_buf_put_str(&json, "}");
    RP_ASSERT(err == RP_OK); /* names and addresses are short */
    rp_site_put_json(ret_answer, r, 200, &h, rp_buf_bytes(&json));
    rp_buf_done(&json);
}

/* GET and HEAD of what is neither Engine.IO's nor a file's. */
static void answer_elsewhere(const struct rp_site *s, const struct rp_http_request *req,
                             const char *address, const struct rp_site_request *r,
                             struct rp_answer *ret_answer) {
    struct site_headers h = {.count = 0};
    if (s->demo && rp_bytes_eq_str(req->path, "/")) {
        rp_site_page(s, req, r, ret_answer);
    } else if (s->demo && rp_bytes_eq_str(req->path, "/whoami")) {
        answer_whoami(s, address, r, ret_answer);
    } else {
        rp_site_put_error(
            ret_answer, r, 404, &h,
            rp_bytes_eq_str(req->path, "/")
                ? "nothing is served here; start the gateway with --demo for a page to try"
                : "nothing is served at this path");
    }
}

/* Where a request goes. */
enum place { PLACE_ENGINE, PLACE_FILE, PLACE_ELSEWHERE };

static enum place find_place(const struct rp_site *s, const struct rp_http_request *req,
                             int *ret_file) {
    *ret_file = -1;
    if (s->everywhere) {
        return PLACE_ENGINE;
    }
    if (!rp_bytes_starts_with(req->path, rp_bytes(s->path, s->path_len))) {
        return PLACE_ELSEWHERE;
    }
    struct rp_bytes rest = rp_bytes_skip(req->path, s->path_len);
    if (rest.len == 0 || rp_bytes_eq_str(rest, "/")) {
        /* with --path / the demo page and Engine.IO share a path; only one of them has a query */
        return s->path_len > 0 || !s->demo || req->query.len > 0 ? PLACE_ENGINE : PLACE_ELSEWHERE;
    }
    if (rest.data[0] == '/') {
        *ret_file = rp_site_find_file(rp_bytes_skip(rest, 1));
    }
    return *ret_file >= 0 ? PLACE_FILE : PLACE_ELSEWHERE;
}

enum rp_site_verdict rp_site_answer(const struct rp_site *s, const struct rp_http_request *request,
                                    const char *address, struct rp_site_request *ret_request,
                                    struct rp_answer *ret_answer) {
    struct rp_site_request *r = ret_request;
    *r = (struct rp_site_request){0};
    /* a body that nobody reads ends the connection: there is no second reading of where it ends */
    r->keep_alive = request->keep_alive && !rp_site_has_body(request);
    r->is_head = rp_bytes_eq_str(request->method, "HEAD");
    bool admitted = rp_site_admit_origin(s, request, r);
    if (s->any_path) {
        return rp_site_any_path(s, request, admitted, r, ret_answer);
    }
    int file;
    enum place place = find_place(s, request, &file);
    if (s->origins != NULL && admitted && place != PLACE_ELSEWHERE &&
        rp_bytes_eq_str(request->method, "OPTIONS")) {
        rp_site_preflight(request, r, ret_answer);
    } else if (place == PLACE_ENGINE) {
        return rp_site_engine(s, request, admitted, r, ret_answer);
    } else if (!rp_bytes_eq_str(request->method, "GET") && !r->is_head) {
        struct site_headers h = {.count = 0};
        rp_site_add_header(&h, "Allow", "GET, HEAD");
        rp_site_put_error(ret_answer, r, 405, &h, "only GET and HEAD are served");
    } else if (place == PLACE_FILE) {
        rp_site_file(s, file, request, r, ret_answer);
    } else {
        answer_elsewhere(s, request, address, r, ret_answer);
    }
    return RP_SITE_ANSWER;
}
