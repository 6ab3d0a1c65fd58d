#include "gateway/site.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/map.h"
#include "proto/eio.h"
#include "proto/json.h"
#include "proto/ws.h"

#include "demo_page.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { HEADERS_MAX = 8, ETAG_BYTES = 19 };

#define EXPECTED_DIR "a directory, the dist folder of the npm package socket.io-client"

/* What the reference server serves. */
static const char *const client_files[] = {
    "socket.io.js",
    "socket.io.js.map",
    "socket.io.min.js",
    "socket.io.min.js.map",
    "socket.io.esm.min.js",
    "socket.io.esm.min.js.map",
    "socket.io.msgpack.min.js",
    "socket.io.msgpack.min.js.map",
};
enum { CLIENT_FILES_COUNT = sizeof client_files / sizeof *client_files };

struct file {
    uint8_t *data; /* NULL: not there */
    size_t len;
    char etag[ETAG_BYTES]; /* with its quotes */
};

struct rp_site {
    char *path; /* without a slash at its end; "" when Engine.IO lives at the root */
    size_t path_len;
    bool has_client_dir;
    bool demo;
    struct rp_buf whoami; /* JSON */
    struct file files[CLIENT_FILES_COUNT];
};

/* ---- the start ---- */

__attribute__((format(printf, 3, 4))) static enum rp_err
problem(struct rp_site_problem *ret_problem, enum rp_err err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(ret_problem->text, sizeof ret_problem->text, format, args);
    va_end(args);
    return err;
}

static void set_etag(struct file *f) {
    /* a fixed key: every gateway gives the same file the same tag */
    static const struct rp_hash_key key = {0x7265707269736531, 0x65746167};
    snprintf(f->etag, sizeof f->etag, "\"%016" PRIx64 "\"",
             rp_hash_bytes(&key, rp_bytes(f->data, f->len)));
}

/* Reads a whole open file of at most RP_SITE_FILE_BYTES_MAX bytes. */
static enum rp_err read_open_file(int fd, struct file *f) {
    struct rp_buf buf;
    rp_buf_init(&buf, RP_SITE_FILE_BYTES_MAX + 1);
    for (;;) {
        uint8_t *place = rp_buf_reserve(&buf, 1);
        if (place == NULL) {
            rp_buf_done(&buf);
            return RP_E_TOO_BIG;
        }
        ssize_t n = read(fd, place, buf.capacity - buf.len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            f->data = buf.data;
            f->len = buf.len;
            return n == 0 && buf.len > 0 ? RP_OK : RP_E_IO;
        }
        buf.len += (size_t) n;
    }
}

/* A file that is not there is not an error here. */
static enum rp_err read_file(const char *dir, const char *name, struct file *f,
                             struct rp_site_problem *ret_problem) {
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int) sizeof path) {
        return problem(ret_problem, RP_E_INVALID, "--client-dir: the name is too long");
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? RP_OK
                               : problem(ret_problem, RP_E_IO, "--client-dir: cannot open %s: %s",
                                         path, strerror(errno));
    }
    errno = 0;
    enum rp_err err = read_open_file(fd, f);
    int read_errno = errno;
    close(fd);
    if (err == RP_E_TOO_BIG) {
        return problem(ret_problem, err, "--client-dir: %s is larger than %d bytes", path,
                       RP_SITE_FILE_BYTES_MAX);
    }
    if (err != RP_OK) {
        return problem(ret_problem, err, "--client-dir: cannot read %s: %s", path,
                       read_errno ? strerror(read_errno) : "it is empty");
    }
    set_etag(f);
    return RP_OK;
}

const char *rp_site_check_client_dir(const char *text) {
    struct stat st;
    return stat(text, &st) == 0 && S_ISDIR(st.st_mode) ? NULL : EXPECTED_DIR;
}

static enum rp_err read_client_files(struct rp_site *s, const char *dir,
                                     struct rp_site_problem *ret_problem) {
    for (size_t i = 0; i < CLIENT_FILES_COUNT; i++) {
        enum rp_err err = read_file(dir, client_files[i], &s->files[i], ret_problem);
        if (err != RP_OK) {
            return err;
        }
    }
    if (s->files[0].data == NULL) {
        return problem(ret_problem, RP_E_INVALID,
                       "--client-dir \"%s\" has no %s; expected " EXPECTED_DIR, dir,
                       client_files[0]);
    }
    return RP_OK;
}

const char *rp_site_check_path(const char *text) {
    size_t len = strlen(text);
    bool ok = len > 0 && len < 256 && text[0] == '/';
    for (size_t i = 0; i < len && ok; i++) {
        ok = text[i] > ' ' && text[i] < 0x7f && text[i] != '?' && text[i] != '#';
    }
    return ok ? NULL : "a path that begins with a slash (/socket.io)";
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

static void set_whoami(struct rp_site *s, const char *name) {
    rp_buf_init(&s->whoami, RP_SITE_HEAD_BYTES_MAX);
    struct rp_bytes text = rp_bytes_str(name);
    enum rp_err err = rp_buf_put_str(&s->whoami, "{\"gateway\":");
    err = err ? err
              : rp_json_put_string(&s->whoami, rp_bytes_is_utf8(text) ? text : RP_BYTES_LIT("?"));
    err = err ? err : rp_buf_put_str(&s->whoami, "}");
    RP_ASSERT(err == RP_OK); /* names are short */
}

enum rp_err rp_site_new(const struct rp_site_config *config, struct rp_site **ret_site,
                        struct rp_site_problem *ret_problem) {
    struct rp_site *s = RP_NEW(struct rp_site);
    s->demo = config->demo;
    s->has_client_dir = config->client_dir != NULL;
    set_whoami(s, config->gateway_name);
    set_path(s, config->path);
    enum rp_err err =
        s->has_client_dir ? read_client_files(s, config->client_dir, ret_problem) : RP_OK;
    if (err != RP_OK) {
        rp_site_free(s);
        return err;
    }
    *ret_site = s;
    return RP_OK;
}

struct rp_site *rp_site_free(struct rp_site *s) {
    if (s != NULL) {
        for (size_t i = 0; i < CLIENT_FILES_COUNT; i++) {
            free(s->files[i].data);
        }
        rp_buf_done(&s->whoami);
        free(s->path);
        free(s);
    }
    return NULL;
}

/* ---- answers ---- */

/* The headers of one answer, gathered. */
struct headers {
    struct rp_http_header list[HEADERS_MAX];
    size_t count;
};

static void add_header(struct headers *h, const char *name, const char *value) {
    RP_ASSERT(h->count < HEADERS_MAX);
    h->list[h->count++] = (struct rp_http_header){rp_bytes_str(name), rp_bytes_str(value)};
}

/* Every answer ends its connection: what is behind the request is not read, so that there is no
 * second reading of where a request ends. A page of the demo needs three. */
static void put_head(struct rp_answer *ret_answer, int status, struct headers *h, size_t body_len) {
    char date[40];
    struct tm tm;
    time_t now = time(NULL);
    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    add_header(h, "Date", date);
    rp_buf_init(&ret_answer->head, RP_SITE_HEAD_BYTES_MAX);
    ret_answer->body = rp_bytes(NULL, 0);
    enum rp_err err =
        rp_http_put_response_head(&ret_answer->head, status, h->list, h->count, body_len, false);
    RP_ASSERT(err == RP_OK); /* our own headers, and short */
}

/* An answer with a small JSON body, which goes into the head's buffer. */
static void put_json(struct rp_answer *ret_answer, int status, struct headers *h,
                     struct rp_bytes json, bool with_body) {
    add_header(h, "Content-Type", "application/json; charset=utf-8");
    add_header(h, "Cache-Control", "no-store");
    put_head(ret_answer, status, h, json.len);
    enum rp_err err = with_body ? rp_buf_put(&ret_answer->head, json) : RP_OK;
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

static void put_error(struct rp_answer *ret_answer, int status, struct headers *h,
                      const char *message, bool with_body) {
    struct rp_buf json;
    rp_buf_init(&json, RP_SITE_HEAD_BYTES_MAX / 2);
    enum rp_err err = rp_buf_put_str(&json, "{\"error\":{\"code\":");
    put_code(&json, status);
    err = err ? err : rp_buf_put_str(&json, ",\"message\":");
    err = err ? err : rp_json_put_string(&json, rp_bytes_str(message));
    err = err ? err : rp_buf_put_str(&json, "}}");
    RP_ASSERT(err == RP_OK); /* messages are our own */
    put_json(ret_answer, status, h, rp_buf_bytes(&json), with_body);
    rp_buf_done(&json);
}

void rp_site_error(int status, const char *message, struct rp_answer *ret_answer) {
    struct headers h = {.count = 0};
    if (status == 503) {
        add_header(&h, "Retry-After", "1");
    }
    put_error(ret_answer, status, &h, message, true);
}

/* ---- Engine.IO ---- */

static enum rp_site_verdict engine_error(enum rp_eio_error error, struct headers *h,
                                         struct rp_answer *ret_answer) {
    struct rp_buf json;
    rp_buf_init(&json, RP_SITE_HEAD_BYTES_MAX / 2);
    enum rp_err err = rp_eio_put_error(&json, error);
    RP_ASSERT(err == RP_OK);
    /* 426 rather than 400 tells a client of another WebSocket version which one we speak */
    bool other_version = h->count > 0;
    put_json(ret_answer, other_version ? 426 : rp_eio_error_status(error), h, rp_buf_bytes(&json),
             true);
    rp_buf_done(&json);
    return RP_SITE_CLOSE;
}

static bool query_is(const struct rp_http_request *req, const char *name, const char *value) {
    struct rp_bytes raw;
    return rp_http_query_get(req->query, name, &raw) && rp_bytes_eq_str(raw, value);
}

/* RFC 6455 4.2.1, but for the version. */
static bool is_upgrade(const struct rp_http_request *req) {
    const struct rp_http_header *key = rp_http_find(req, "Sec-WebSocket-Key");
    return req->version_minor == 1 && req->framing == RP_HTTP_BODY_NONE &&
           rp_http_has_token(req, "Connection", "upgrade") &&
           rp_http_has_token(req, "Upgrade", "websocket") && key != NULL &&
           rp_ws_key_valid(key->value);
}

/* The checks and their order are the reference server's, so that clients see its errors. */
static enum rp_site_verdict answer_engine(const struct rp_http_request *req,
                                          struct rp_answer *ret_answer) {
    struct headers h = {.count = 0};
    struct rp_bytes sid;
    if (!query_is(req, "transport", "websocket")) {
        return engine_error(RP_EIO_UNKNOWN_TRANSPORT, &h, ret_answer);
    }
    if (rp_http_query_get(req->query, "sid", &sid)) {
        return engine_error(RP_EIO_UNKNOWN_SID, &h, ret_answer);
    }
    if (!rp_bytes_eq_str(req->method, "GET")) {
        return engine_error(RP_EIO_BAD_HANDSHAKE_METHOD, &h, ret_answer);
    }
    if (!is_upgrade(req)) {
        return engine_error(RP_EIO_BAD_REQUEST, &h, ret_answer);
    }
    const struct rp_http_header *version = rp_http_find(req, "Sec-WebSocket-Version");
    if (version == NULL || !rp_bytes_eq_str(version->value, "13")) {
        add_header(&h, "Sec-WebSocket-Version", "13");
        return engine_error(RP_EIO_BAD_REQUEST, &h, ret_answer);
    }
    if (!query_is(req, "EIO", "4")) {
        return engine_error(RP_EIO_UNSUPPORTED_VERSION, &h, ret_answer);
    }
    char accept[29];
    rp_ws_accept(rp_http_find(req, "Sec-WebSocket-Key")->value, accept);
    rp_buf_init(&ret_answer->head, RP_SITE_HEAD_BYTES_MAX);
    ret_answer->body = rp_bytes(NULL, 0);
    enum rp_err err = rp_http_put_ws_response(&ret_answer->head, accept);
    RP_ASSERT(err == RP_OK);
    return RP_SITE_UPGRADE;
}

/* ---- files ---- */

static bool has_etag(const struct rp_http_request *req, const char *etag) {
    for (size_t i = 0; i < req->headers_count; i++) {
        const struct rp_http_header *h = &req->headers[i];
        /* the tag has its quotes, so finding it anywhere in the list is finding it as a member */
        if (h->name.len == 13 &&
            strncasecmp((const char *) h->name.data, "If-None-Match", 13) == 0 &&
            (rp_bytes_eq_str(h->value, "*") ||
             memmem(h->value.data, h->value.len, etag, strlen(etag)) != NULL)) {
            return true;
        }
    }
    return false;
}

static void answer_file(const struct file *f, const char *type, const struct rp_http_request *req,
                        struct rp_answer *ret_answer) {
    struct headers h = {.count = 0};
    add_header(&h, "Content-Type", type);
    add_header(&h, "Cache-Control", "public, max-age=0");
    add_header(&h, "ETag", f->etag);
    add_header(&h, "X-Content-Type-Options", "nosniff");
    bool same = has_etag(req, f->etag);
    put_head(ret_answer, same ? 304 : 200, &h, f->len);
    if (!same && rp_bytes_eq_str(req->method, "GET")) {
        ret_answer->body = rp_bytes(f->data, f->len);
    }
}

static void answer_page(bool with_body, struct rp_answer *ret_answer) {
    static const char policy[] =
        "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; "
        "connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'";
    struct headers h = {.count = 0};
    struct rp_bytes page = rp_bytes(demo_page, sizeof demo_page - 1);
    add_header(&h, "Content-Type", "text/html; charset=utf-8");
    add_header(&h, "Cache-Control", "no-cache");
    add_header(&h, "Content-Security-Policy", policy);
    put_head(ret_answer, 200, &h, page.len);
    if (with_body) {
        ret_answer->body = page;
    }
}

static const struct file *find_file(const struct rp_site *s, struct rp_bytes name,
                                    const char **ret_type, bool *ret_known) {
    *ret_known = false;
    for (size_t i = 0; i < CLIENT_FILES_COUNT; i++) {
        if (rp_bytes_eq_str(name, client_files[i])) {
            bool is_map = client_files[i][strlen(client_files[i]) - 1] == 'p';
            *ret_known = true;
            *ret_type = is_map ? "application/json; charset=utf-8"
                               : "application/javascript; charset=utf-8";
            return s->files[i].data != NULL ? &s->files[i] : NULL;
        }
    }
    return NULL;
}

/* ---- routes ---- */

/* Only GET and HEAD from here on. `name` is the path below --path, empty when it is elsewhere. */
static void answer_page_or_file(const struct rp_site *s, const struct rp_http_request *req,
                                struct rp_bytes name, struct rp_answer *ret_answer) {
    struct headers h = {.count = 0};
    bool with_body = rp_bytes_eq_str(req->method, "GET");
    bool known;
    const char *type;
    const struct file *f = find_file(s, name, &type, &known);
    if (f != NULL) {
        answer_file(f, type, req, ret_answer);
    } else if (known) {
        put_error(
            ret_answer, 404, &h,
            s->has_client_dir
                ? "the directory of --client-dir has no such file"
                : "the client's files are not served; start the gateway with --client-dir and "
                  "the dist folder of the npm package socket.io-client",
            with_body);
    } else if (s->demo && rp_bytes_eq_str(req->path, "/")) {
        answer_page(with_body, ret_answer);
    } else if (s->demo && rp_bytes_eq_str(req->path, "/whoami")) {
        put_json(ret_answer, 200, &h, rp_buf_bytes(&s->whoami), with_body);
    } else {
        put_error(ret_answer, 404, &h,
                  rp_bytes_eq_str(req->path, "/")
                      ? "nothing is served here; start the gateway with --demo for a page to try"
                      : "nothing is served at this path",
                  with_body);
    }
}

enum rp_site_verdict rp_site_answer(const struct rp_site *s, const struct rp_http_request *request,
                                    struct rp_answer *ret_answer) {
    struct rp_bytes name = rp_bytes(NULL, 0);
    if (rp_bytes_starts_with(request->path, rp_bytes(s->path, s->path_len))) {
        struct rp_bytes rest = rp_bytes_skip(request->path, s->path_len);
        if (rest.len == 0 || rp_bytes_eq_str(rest, "/")) {
            /* with --path / the demo page and Engine.IO share a path; only one of them has a query
             */
            if (s->path_len > 0 || !s->demo || request->query.len > 0) {
                return answer_engine(request, ret_answer);
            }
        }
        name = rest.len > 0 && rest.data[0] == '/' ? rp_bytes_skip(rest, 1) : name;
    }
    if (!rp_bytes_eq_str(request->method, "GET") && !rp_bytes_eq_str(request->method, "HEAD")) {
        struct headers h = {.count = 0};
        add_header(&h, "Allow", "GET, HEAD");
        put_error(ret_answer, 405, &h, "only GET and HEAD are served", true);
        return RP_SITE_CLOSE;
    }
    answer_page_or_file(s, request, name, ret_answer);
    return RP_SITE_CLOSE;
}
