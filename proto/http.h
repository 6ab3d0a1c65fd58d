/* proto/http.h — HTTP/1.1 for a server, small and strict (RFC 9110, RFC 9112): bytes in, a request
 * head and body parts out; response heads written. No I/O, no clock.
 * Above: the gateway decides what a request means. Beside: proto/ws.h takes over after an upgrade.
 *
 * Whatever two parsers could read in two ways is refused rather than mended: bare CR or LF,
 * obs-fold, space before a colon, more than one Content-Length or Host, Content-Length beside
 * Transfer-Encoding, codings other than chunked. That is what request smuggling is made of.
 *
 * Sources: http.c the head, http_lookup.c finding things in it, http_body.c bodies,
 * http_response.c what is written. */
#pragma once

#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"

/* Why something was refused: static storage, never freed. */
struct rp_http_problem {
    enum rp_err err;
    int status;       /* to answer with; the connection cannot be used any further */
    const char *text; /* for the answer's body and the log; names the limit where one was reached */
};

struct rp_http_header {
    struct rp_bytes name;
    struct rp_bytes value; /* without the white space around it */
};

enum rp_http_framing { RP_HTTP_BODY_NONE, RP_HTTP_BODY_LENGTH, RP_HTTP_BODY_CHUNKED };

/* Views borrow the bytes that were parsed. */
struct rp_http_request {
    struct rp_bytes method;    /* as sent; methods are case-sensitive. Never CONNECT */
    struct rp_bytes target;    /* as sent */
    struct rp_bytes authority; /* host[:port] of an absolute-form target, otherwise of Host */
    struct rp_bytes path;      /* begins with '/'; neither decoded nor rid of dot segments */
    struct rp_bytes query;     /* without the '?'; empty when there is none */
    int version_minor;         /* 0 or 1 */
    size_t headers_count;
    struct rp_http_header headers[RP_HTTP_HEADERS_MAX];
    enum rp_http_framing framing;
    uint64_t content_length; /* with RP_HTTP_BODY_LENGTH, otherwise 0 */
    bool keep_alive;         /* the client wants to go on after this exchange */
    bool expect_continue;    /* it waits for rp_http_put_continue before it sends the body */
};

/* Parses a request head at the front of `in`. One empty line before it is skipped.
 *   RP_OK    *ret_request borrows `in`; the body, or the next request, begins at *ret_consumed
 *   RP_MORE  not complete, but good so far: call again with the same bytes and more behind them
 *   RP_E_PROTOCOL, RP_E_TOO_BIG, RP_E_UNSUPPORTED, RP_E_VERSION
 *            *ret_problem (set only now) has the status and text to refuse with. It comes with the
 *            first byte that cannot be right, also when the head is not complete.
 * Each call starts from the front: at most RP_HTTP_HEAD_BYTES_MAX bytes are looked at, some ten
 * microseconds. */
RP_MUST_USE enum rp_err rp_http_parse_head(struct rp_bytes in, struct rp_http_request *ret_request,
                                           size_t *ret_consumed,
                                           const struct rp_http_problem **ret_problem);

/* The first header of that name, in any case; NULL if there is none. */
const struct rp_http_header *rp_http_find(const struct rp_http_request *req, const char *name);
/* Whether the comma-separated lists of all headers of that name have this token, in any case. */
bool rp_http_has_token(const struct rp_http_request *req, const char *name, const char *token);

/* The value, not decoded, of the first `name=value` (or bare `name`: empty) of a query. The name is
 * compared as it was sent. *ret_raw borrows the query. */
bool rp_http_query_get(struct rp_bytes query, const char *name, struct rp_bytes *ret_raw);

/* Appends raw with its %xx decoded, or changes nothing: RP_E_INVALID (a bad escape, or %00),
 * RP_E_FULL. Whether the result is UTF-8 is not looked at. */
RP_MUST_USE enum rp_err rp_http_percent_decode(struct rp_bytes raw, struct rp_buf *out);
/* The same for the value of a query, where '+' is a space (as HTML forms and URLSearchParams write
 * it). */
RP_MUST_USE enum rp_err rp_http_query_decode(struct rp_bytes raw, struct rp_buf *out);

/* ---- Bodies. The fields are the decoder's own, but for `problem`. ---- */

struct rp_http_body {
    const struct rp_http_problem *problem; /* what to refuse with; NULL as long as all is well */

    uint64_t left;     /* bytes of the body or chunk still to come */
    uint64_t room;     /* bytes the chunks to come may still have */
    uint32_t overhead; /* bytes of extensions, then of trailers */
    uint8_t state;
    uint8_t size_digits;
    bool chunked;
};

/* Makes a decoder for the body that follows a head, of at most bytes_max bytes. RP_E_TOO_BIG: the
 * request announces more (b->problem is set; known before a body that waits for 100-continue is
 * sent). */
RP_MUST_USE enum rp_err rp_http_body_init(struct rp_http_body *b, const struct rp_http_request *req,
                                          uint64_t bytes_max);

/* Takes bytes off the front of *in.
 *   RP_OK    *ret_part is the next part, borrowing *in; call again. An empty part is the
 *            end of the body: what is left of *in belongs to the next request, and every later
 *            call answers the same.
 *   RP_MORE  all of *in is used up and the body goes on
 *   RP_E_TOO_BIG, RP_E_PROTOCOL   see b->problem; every later call answers the same. */
RP_MUST_USE enum rp_err rp_http_body_next(struct rp_http_body *b, struct rp_bytes *in,
                                          struct rp_bytes *ret_part);

/* ---- Responses ---- */

#define RP_HTTP_LENGTH_NONE UINT64_MAX /* not known: the body ends where the connection ends */

/* Appends status line and headers up to the empty line, or changes nothing: RP_E_FULL, RP_E_INVALID
 * (a name that is no token, or a value with control characters such as CR or LF).
 * Content-Length and Connection are written here and must not be among `headers`. 1xx and 204 get
 * no length. With RP_HTTP_LENGTH_NONE the connection is said to close whatever keep_alive says.
 * The caller adds Date if it has a clock, and sends no body to HEAD. */
RP_MUST_USE enum rp_err rp_http_put_response_head(struct rp_buf *out, int status,
                                                  const struct rp_http_header *headers,
                                                  size_t headers_count, uint64_t content_length,
                                                  bool keep_alive);
/* Appends the interim response a client with expect_continue waits for. */
RP_MUST_USE enum rp_err rp_http_put_continue(struct rp_buf *out);

/* The reason phrase of a status; "Unknown" when we have none. Static storage. */
const char *rp_http_reason(int status);
