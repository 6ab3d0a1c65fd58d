/* gateway/site_files.c — the stock client's files and the demo page: read and compressed at the
 * start, served from memory.
 *
 * A compressed form is another representation, so its ETag is another one (RFC 9110 8.8.3.3); a
 * condition is about the form that this client would get. */
#include "gateway/site_parts.h"

#include "common/assert.h"
#include "common/map.h"
#include "proto/deflate.h"

#include "demo_page.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPECTED_DIR "a directory, the dist folder of the npm package socket.io-client"

/* What the reference server serves. */
static const char *const client_files[SITE_FILES_COUNT] = {
    "socket.io.js",
    "socket.io.js.map",
    "socket.io.min.js",
    "socket.io.min.js.map",
    "socket.io.esm.min.js",
    "socket.io.esm.min.js.map",
    "socket.io.msgpack.min.js",
    "socket.io.msgpack.min.js.map",
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

/* Makes the tags and, where it pays, the compressed forms. */
static void prepare(const struct rp_site *s, struct site_file *f) {
    /* a fixed key: every gateway gives the same file the same tag */
    static const struct rp_hash_key key = {0x7265707269736531, 0x65746167};
    static const char *const endings[SITE_CODINGS_COUNT] = {"", "-gz", "-df"};
    struct rp_bytes plain = rp_buf_bytes(&f->forms[RP_HTTP_IDENTITY].bytes);
    uint64_t hash = rp_hash_bytes(&key, plain);
    for (int i = 0; i < SITE_CODINGS_COUNT; i++) {
        struct site_form *form = &f->forms[i];
        snprintf(form->etag, sizeof form->etag, "\"%016" PRIx64 "%s\"", hash, endings[i]);
        if (i == RP_HTTP_IDENTITY) {
            continue;
        }
        rp_buf_init(&form->bytes, plain.len - 1);
        if (s->compress && rp_http_compress(s->compressor, (enum rp_http_coding) i, plain,
                                            &form->bytes) != RP_OK) {
            rp_buf_release(&form->bytes); /* it would not be shorter */
        }
    }
}

/* Reads a whole open file of at most RP_SITE_FILE_BYTES_MAX bytes. */
static enum rp_err read_open_file(int fd, struct rp_buf *out) {
    for (;;) {
        uint8_t *place = rp_buf_reserve(out, 1);
        if (place == NULL) {
            return RP_E_TOO_BIG;
        }
        ssize_t n = read(fd, place, out->capacity - out->len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n == 0 && out->len > 0 ? RP_OK : RP_E_IO;
        }
        out->len += (size_t) n;
    }
}

/* A file that is not there is not an error here. */
static enum rp_err read_file(const struct rp_site *s, const char *dir, const char *name,
                             struct site_file *f, struct rp_site_problem *ret_problem) {
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
    rp_buf_init(&f->forms[RP_HTTP_IDENTITY].bytes, RP_SITE_FILE_BYTES_MAX + 1);
    enum rp_err err = read_open_file(fd, &f->forms[RP_HTTP_IDENTITY].bytes);
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
    prepare(s, f);
    return RP_OK;
}

const char *rp_site_check_client_dir(const char *text) {
    struct stat st;
    return stat(text, &st) == 0 && S_ISDIR(st.st_mode) ? NULL : EXPECTED_DIR;
}

static bool is_there(const struct site_file *f) {
    return f->forms[RP_HTTP_IDENTITY].bytes.len > 0;
}

enum rp_err rp_site_read_files(struct rp_site *s, const char *client_dir,
                               struct rp_site_problem *ret_problem) {
    if (s->demo) {
        struct rp_buf *page = &s->page.forms[RP_HTTP_IDENTITY].bytes;
        rp_buf_init(page, sizeof demo_page);
        enum rp_err err = rp_buf_put(page, rp_bytes(demo_page, sizeof demo_page - 1));
        RP_ASSERT(err == RP_OK);
        prepare(s, &s->page);
    }
    for (size_t i = 0; i < SITE_FILES_COUNT && client_dir != NULL; i++) {
        enum rp_err err = read_file(s, client_dir, client_files[i], &s->files[i], ret_problem);
        if (err != RP_OK) {
            return err;
        }
    }
    if (client_dir != NULL && !is_there(&s->files[0])) {
        return problem(ret_problem, RP_E_INVALID,
                       "--client-dir \"%s\" has no %s; expected " EXPECTED_DIR, client_dir,
                       client_files[0]);
    }
    return RP_OK;
}

static void free_file(struct site_file *f) {
    for (int i = 0; i < SITE_CODINGS_COUNT; i++) {
        rp_buf_done(&f->forms[i].bytes);
    }
}

void rp_site_free_files(struct rp_site *s) {
    for (size_t i = 0; i < SITE_FILES_COUNT; i++) {
        free_file(&s->files[i]);
    }
    free_file(&s->page);
}

/* ---- answers ---- */

/* RFC 9110 13.1.2: tags are compared weakly, so a W/ before one does not matter. */
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

/* The form of a file that suits the client, with these headers. */
static void put_file(const struct site_file *f, struct site_headers *h, const char *type,
                     const struct rp_http_request *req, const struct rp_site_request *r,
                     struct rp_answer *ret_answer) {
    enum rp_http_coding coding = rp_http_pick_coding(req);
    h->vary_coding = f->forms[RP_HTTP_GZIP].bytes.len + f->forms[RP_HTTP_DEFLATE].bytes.len > 0;
    coding = f->forms[coding].bytes.len > 0 ? coding : RP_HTTP_IDENTITY;
    const struct site_form *form = &f->forms[coding];
    rp_site_add_header(h, "ETag", form->etag);
    rp_site_add_header(h, "X-Content-Type-Options", "nosniff");
    if (has_etag(req, form->etag)) {
        rp_site_put_head(ret_answer, r, 304, h, form->bytes.len, 0);
        return;
    }
    rp_site_add_header(h, "Content-Type", type);
    if (coding != RP_HTTP_IDENTITY) {
        rp_site_add_header(h, "Content-Encoding", rp_http_coding_name(coding));
    }
    rp_site_put_head(ret_answer, r, 200, h, form->bytes.len, 0);
    if (!r->is_head) {
        ret_answer->body = rp_buf_bytes(&form->bytes);
    }
}

int rp_site_find_file(struct rp_bytes name) {
    for (int i = 0; i < SITE_FILES_COUNT; i++) {
        if (rp_bytes_eq_str(name, client_files[i])) {
            return i;
        }
    }
    return -1;
}

void rp_site_file(const struct rp_site *s, int index, const struct rp_http_request *req,
                  const struct rp_site_request *r, struct rp_answer *ret_answer) {
    struct site_headers h = {.count = 0};
    if (!is_there(&s->files[index])) {
        rp_site_put_error(
            ret_answer, r, 404, &h,
            s->has_client_dir
                ? "the directory of --client-dir has no such file"
                : "the client's files are not served; start the gateway with --client-dir and "
                  "the dist folder of the npm package socket.io-client");
        return;
    }
    const char *name = client_files[index];
    bool is_map = name[strlen(name) - 1] == 'p';
    rp_site_add_header(&h, "Cache-Control", "public, max-age=0");
    put_file(&s->files[index], &h,
             is_map ? "application/json; charset=utf-8" : "application/javascript; charset=utf-8",
             req, r, ret_answer);
}

void rp_site_page(const struct rp_site *s, const struct rp_http_request *req,
                  const struct rp_site_request *r, struct rp_answer *ret_answer) {
    static const char policy[] =
        "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; "
        "connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'";
    struct site_headers h = {.count = 0};
    rp_site_add_header(&h, "Cache-Control", "no-cache");
    rp_site_add_header(&h, "Content-Security-Policy", policy);
    put_file(&s->page, &h, "text/html; charset=utf-8", req, r, ret_answer);
}
