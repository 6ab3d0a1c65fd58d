/* gateway/site_parts.h — what the files of the site share; of gateway/site*.c only.
 *
 *   site.c         made and freed; which request is whose
 *   site_engine.c  requests of Engine.IO, and the answers to those that the core answered
 *   site_origin.c  which pages may come, and what CORS wants said to them
 *   site_files.c   the stock client's files and the demo page, from memory
 *   site_answer.c  how answers are written */
#pragma once

#include "gateway/site.h"

struct rp_deflate;

enum { SITE_HEADERS_MAX = 20, SITE_ETAG_SIZE = 24, SITE_FILES_COUNT = 8, SITE_CODINGS_COUNT = 3 };

/* A file in memory, in every coding (enum rp_http_coding); empty: it is not there, or the coding
 * does not make it shorter. */
struct site_file {
    struct site_form {
        struct rp_buf bytes;
        char etag[SITE_ETAG_SIZE]; /* with its quotes */
    } forms[SITE_CODINGS_COUNT];
};

struct rp_site {
    char *path; /* without a slash at its end; "" when Engine.IO lives at the root */
    size_t path_len;
    char *cookie; /* NULL: none */
    char *name;   /* of the gateway */
    const struct rp_patterns *origins;
    bool any_origin;               /* all may come, and nothing depends on which one it is */
    struct rp_deflate *compressor; /* with compress */
    bool credentials, no_polling, no_websocket, deflate, compress, any_path, everywhere, demo;
    bool has_client_dir;
    struct site_file files[SITE_FILES_COUNT];
    struct site_file page; /* with demo */
};

/* ---- site_answer.c ---- */

/* The headers of one answer, gathered; names and values are borrowed. */
struct site_headers {
    struct rp_http_header list[SITE_HEADERS_MAX];
    size_t count;
    bool vary_coding;          /* the body is compressed for some */
    bool vary_request_headers; /* Access-Control-Request-Headers were read */
};

void rp_site_add_header(struct site_headers *h, const char *name, const char *value);
void rp_site_add_header_bytes(struct site_headers *h, const char *name, struct rp_bytes value);
/* Begins an answer: its head, with what belongs to every answer added, and no body yet. body_len is
 * what Content-Length says. extra_max is how many bytes the caller may append to the head. */
void rp_site_put_head(struct rp_answer *ret_answer, const struct rp_site_request *r, int status,
                      struct site_headers *h, size_t body_len, size_t extra_max);
/* An answer with a small JSON body, which goes into the head's buffer. */
void rp_site_put_json(struct rp_answer *ret_answer, const struct rp_site_request *r, int status,
                      struct site_headers *h, struct rp_bytes json);
/* As rp_site_error, with these headers, on a connection that may go on. */
void rp_site_put_error(struct rp_answer *ret_answer, const struct rp_site_request *r, int status,
                       struct site_headers *h, const char *message);

/* ---- site_origin.c ---- */

/* Keeps in *r what the answer has to say to the page that asks. False: it may not come. */
bool rp_site_admit_origin(const struct rp_site *s, const struct rp_http_request *req,
                          struct rp_site_request *r);
/* Answers OPTIONS of a page that may come, when origins are configured. */
void rp_site_preflight(const struct rp_http_request *req, const struct rp_site_request *r,
                       struct rp_answer *ret_answer);

/* ---- site_engine.c ---- */

/* Whether the request is one for a WebSocket (RFC 6455 4.2.1, but for the version). */
bool rp_site_is_upgrade(const struct rp_http_request *req);
/* Whether something follows the head, which belongs to the request. */
bool rp_site_has_body(const struct rp_http_request *req);
/* A request to the path of Engine.IO. */
enum rp_site_verdict rp_site_engine(const struct rp_site *s, const struct rp_http_request *req,
                                    bool admitted, struct rp_site_request *r,
                                    struct rp_answer *ret_answer);
/* A request to any path, of a site where every path is a WebSocket. */
enum rp_site_verdict rp_site_any_path(const struct rp_site *s, const struct rp_http_request *req,
                                      bool admitted, struct rp_site_request *r,
                                      struct rp_answer *ret_answer);

/* ---- site_files.c ---- */

/* Reads what is served; s has its configuration. RP_E_INVALID, RP_E_IO, RP_E_TOO_BIG. */
RP_MUST_USE enum rp_err rp_site_read_files(struct rp_site *s, const char *client_dir,
                                           struct rp_site_problem *ret_problem);
void rp_site_free_files(struct rp_site *s);
/* The index of one of the stock client's files; -1: none of them. */
int rp_site_find_file(struct rp_bytes name);
/* Answer GET and HEAD. */
void rp_site_file(const struct rp_site *s, int index, const struct rp_http_request *req,
                  const struct rp_site_request *r, struct rp_answer *ret_answer);
void rp_site_page(const struct rp_site *s, const struct rp_http_request *req,
                  const struct rp_site_request *r, struct rp_answer *ret_answer);
