/* gateway/site.h — what an HTTP request to a gateway is: a request of Engine.IO, with all that
 * belongs to HTTP in it (origins, cookies, codings), one for the stock client's files or the demo
 * page, or an error, answered as JSON. Files are read (and compressed) at the start and served from
 * memory; afterwards there is no I/O but a look at the clock for Date.
 *
 * Below: proto/http, proto/eio, proto/deflate. Beside: conn.c, which reads the request and writes
 * the answer. */
#pragma once

#include "common/limits.h"
#include "gateway/gateway.h"
#include "proto/eio.h"
#include "proto/http.h"

struct rp_patterns;
struct rp_site;

struct rp_site_config {
    const char *path;         /* of Engine.IO, "/socket.io"; with or without a slash at its end */
    const char *client_dir;   /* with socket.io.js and its companions; NULL: not served */
    const char *gateway_name; /* for /whoami */
    const char *cookie;       /* name of the cookie that a handshake over long-polling sets; NULL:
                                 none */
    const struct rp_patterns *origins; /* pages that may connect; NULL: any may, and no CORS headers
                                          are sent. Borrowed */
    bool credentials;              /* they may send cookies (Access-Control-Allow-Credentials) */
    bool no_polling, no_websocket; /* transports that are not offered */
    bool deflate;                  /* permessage-deflate is accepted when a client offers it */
    bool compress;                 /* large answers go out as gzip or deflate to who accepts that */
    bool any_path;   /* every path is a WebSocket without Engine.IO (RP_GATEWAY_ECHO_WS) */
    bool everywhere; /* every path is Engine.IO's (RP_GATEWAY_ECHO_EIO) */
    bool demo;       /* serve the chat page at "/", and /whoami */
};

/* For struct rp_option's check: NULL, or what was expected. */
const char *rp_site_check_path(const char *text);
const char *rp_site_check_client_dir(const char *text);
const char *rp_site_check_cookie(const char *text);

/* The text of what is wrong when a site cannot be made; it names the option. */
struct rp_site_problem {
    char text[512];
};

/* Borrows what is marked so; path has passed its check. RP_E_INVALID, RP_E_IO, RP_E_TOO_BIG:
 * *ret_problem says why and is set only then. Caller frees. */
RP_MUST_USE enum rp_err rp_site_new(const struct rp_site_config *config, struct rp_site **ret_site,
                                    struct rp_site_problem *ret_problem);
struct rp_site *rp_site_free(struct rp_site *s); /* NULL is fine; returns NULL */

/* An answer to be written: first the head, then the body. */
struct rp_answer {
    struct rp_buf head; /* owned; holds small and compressed bodies too. rp_buf_done when written */
    struct rp_bytes body; /* borrowed: from the site, or the exchange */
    bool keep_alive;      /* the connection may go on with another request */
};

enum rp_site_verdict {
    RP_SITE_ANSWER,    /* *ret_answer is the answer */
    RP_SITE_WEBSOCKET, /* *ret_answer is the 101, to be written if the core takes the wire: open,
                          or, with a sid, upgrade; otherwise rp_site_engine_error */
    RP_SITE_POLL_OPEN, /* for the core; when it has answered, rp_site_poll_answer. For these three
                        *ret_answer is not set */
    RP_SITE_POLL_GET,
    RP_SITE_POLL_POST, /* its body is to be read first, of at most --max-payload bytes; longer:
                          rp_site_error with 413 */
};

/* What of a request must be kept until it is answered. Held by value, borrows nothing. The caller
 * reads sid, sid_len and deflate; the rest is the site's own. */
struct rp_site_request {
    bool keep_alive;     /* the connection may go on after the answer */
    bool is_head;        /* the answer has no body */
    bool deflate;        /* WEBSOCKET: permessage-deflate was negotiated */
    bool vary_origin;    /* another origin gets other headers; caches must know */
    bool credentials;    /* Access-Control-Allow-Credentials */
    uint8_t coding;      /* of the answer's body, if it is large enough */
    uint16_t origin_len; /* 0: no CORS headers */
    uint8_t sid_len;     /* 0: none */
    char sid[RP_EIO_SID_BYTES_MAX];
    char origin[RP_SITE_ORIGIN_BYTES_MAX];
};

/* Decides what a request is. address is the client's, for /whoami. The caller writes *ret_answer
 * (if it is set) and frees its head. */
enum rp_site_verdict rp_site_answer(const struct rp_site *s, const struct rp_http_request *request,
                                    const char *address, struct rp_site_request *ret_request,
                                    struct rp_answer *ret_answer);

/* The answer to an exchange of the core; its body stays the exchange's. */
void rp_site_poll_answer(const struct rp_site *s, const struct rp_site_request *request,
                         const struct rp_exchange *exchange, struct rp_answer *ret_answer);
/* One of Engine.IO's errors. */
void rp_site_engine_error(const struct rp_site *s, const struct rp_site_request *request,
                          enum rp_eio_error error, struct rp_answer *ret_answer);

/* An error's answer: {"error":{"code":"not_found","message":…}}, the code made of the status's
 * reason phrase. 503 asks to come again in a second. The message is UTF-8. The connection is to be
 * closed. request may be NULL; otherwise its CORS headers are there, so that a page may read it. */
void rp_site_error(int status, const char *message, const struct rp_site_request *request,
                   struct rp_answer *ret_answer);
