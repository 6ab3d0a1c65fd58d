#include "proto/http.h"

#include "common/assert.h"
#include "proto/http_char.h"

#define TEXT_OF_(x) #x
#define TEXT_OF(x) TEXT_OF_(x)

/* ---- What can be wrong with a head ---- */

static const struct rp_http_problem bad_method = {RP_E_PROTOCOL, 400, "malformed request: method"};
static const struct rp_http_problem long_method = {
    RP_E_UNSUPPORTED, 501, "method longer than " TEXT_OF(RP_HTTP_METHOD_BYTES_MAX) " bytes"};
static const struct rp_http_problem connect_method = {RP_E_UNSUPPORTED, 501,
                                                      "method CONNECT is not supported"};
static const struct rp_http_problem bad_target = {RP_E_PROTOCOL, 400, "malformed request: target"};
static const struct rp_http_problem long_target = {
    RP_E_TOO_BIG, 414, "request target longer than " TEXT_OF(RP_HTTP_TARGET_BYTES_MAX) " bytes"};
static const struct rp_http_problem bad_version = {RP_E_PROTOCOL, 400,
                                                   "malformed request: HTTP version"};
static const struct rp_http_problem other_version = {
    RP_E_VERSION, 505, "only HTTP/1.1 and HTTP/1.0 are supported here"};
static const struct rp_http_problem long_head = {
    RP_E_TOO_BIG, 431, "request head longer than " TEXT_OF(RP_HTTP_HEAD_BYTES_MAX) " bytes"};
static const struct rp_http_problem many_headers = {
    RP_E_TOO_BIG, 431, "more than " TEXT_OF(RP_HTTP_HEADERS_MAX) " header lines"};
static const struct rp_http_problem bad_line_end = {RP_E_PROTOCOL, 400,
                                                    "malformed request: line not ended by CRLF"};
static const struct rp_http_problem folded_header = {RP_E_PROTOCOL, 400,
                                                     "malformed request: folded header line"};
static const struct rp_http_problem bad_header_name = {RP_E_PROTOCOL, 400,
                                                       "malformed request: header name"};
static const struct rp_http_problem bad_header_value = {RP_E_PROTOCOL, 400,
                                                        "malformed request: header value"};
static const struct rp_http_problem no_host = {RP_E_PROTOCOL, 400, "Host header missing"};
static const struct rp_http_problem many_hosts = {RP_E_PROTOCOL, 400, "more than one Host header"};
static const struct rp_http_problem bad_host = {RP_E_PROTOCOL, 400, "malformed host"};
static const struct rp_http_problem bad_length = {RP_E_PROTOCOL, 400, "malformed Content-Length"};
static const struct rp_http_problem many_lengths = {RP_E_PROTOCOL, 400,
                                                    "more than one Content-Length"};
static const struct rp_http_problem two_framings = {RP_E_PROTOCOL, 400,
                                                    "both Content-Length and Transfer-Encoding"};
static const struct rp_http_problem many_codings = {RP_E_PROTOCOL, 400,
                                                    "more than one Transfer-Encoding"};
static const struct rp_http_problem old_coding = {RP_E_PROTOCOL, 400,
                                                  "Transfer-Encoding in HTTP/1.0"};
static const struct rp_http_problem other_coding = {
    RP_E_UNSUPPORTED, 501, "only \"chunked\" is supported as Transfer-Encoding"};
static const struct rp_http_problem bad_expect = {RP_E_UNSUPPORTED, 417,
                                                  "only \"100-continue\" is supported as Expect"};

/* ---- Scanning ---- */

struct scan {
    struct rp_bytes in;
    size_t at;
    const struct rp_http_problem *problem;
};

static enum rp_err refuse(struct scan *s, const struct rp_http_problem *why) {
    s->problem = why;
    return why->err;
}

static bool at_end(const struct scan *s) {
    return s->at == s->in.len;
}

static uint8_t peek(const struct scan *s) {
    return s->in.data[s->at];
}

static struct rp_bytes since(const struct scan *s, size_t start) {
    return rp_bytes(s->in.data + start, s->at - start);
}

/* Exactly this text, or `why`. */
static enum rp_err take_text(struct scan *s, const char *text, const struct rp_http_problem *why) {
    for (; *text != '\0'; text++) {
        if (at_end(s)) {
            return RP_MORE;
        }
        if (peek(s) != (uint8_t) *text) {
            return refuse(s, why);
        }
        s->at++;
    }
    return RP_OK;
}

/* ---- The request line: method SP target SP "HTTP/1." DIGIT CRLF ---- */

static enum rp_err take_method(struct scan *s, struct rp_http_request *req) {
    size_t start = s->at;
    while (!at_end(s) && http_is_token(peek(s))) {
        if (s->at - start == RP_HTTP_METHOD_BYTES_MAX) {
            return refuse(s, &long_method);
        }
        s->at++;
    }
    if (at_end(s)) {
        return RP_MORE;
    }
    req->method = since(s, start);
    if (req->method.len == 0 || peek(s) != ' ') {
        return refuse(s, &bad_method);
    }
    s->at++;
    return rp_bytes_eq_str(req->method, "CONNECT") ? refuse(s, &connect_method) : RP_OK;
}

/* Any visible ASCII character but '#'. Browsers send some that RFC 3986 would have escaped ('|',
 * '^', '"'), and nothing reads those in two ways. */
static enum rp_err take_target(struct scan *s, struct rp_http_request *req) {
    size_t start = s->at;
    while (!at_end(s) && peek(s) > ' ' && peek(s) < 0x7F && peek(s) != '#') {
        if (s->at - start == RP_HTTP_TARGET_BYTES_MAX) {
            return refuse(s, &long_target);
        }
        s->at++;
    }
    if (at_end(s)) {
        return RP_MORE;
    }
    req->target = since(s, start);
    if (req->target.len == 0 || peek(s) != ' ') {
        return refuse(s, &bad_target);
    }
    s->at++;
    return RP_OK;
}

static enum rp_err take_version(struct scan *s, struct rp_http_request *req) {
    enum rp_err err = take_text(s, "HTTP/", &bad_version);
    if (err != RP_OK) {
        return err;
    }
    uint8_t digits[2];
    for (size_t i = 0; i < 2; i++) {
        if (i == 1 && (err = take_text(s, ".", &bad_version)) != RP_OK) {
            return err;
        }
        if (at_end(s)) {
            return RP_MORE;
        }
        if (!http_is_digit(peek(s))) {
            return refuse(s, &bad_version);
        }
        digits[i] = s->in.data[s->at++];
    }
    if (digits[0] != '1' || digits[1] > '1') {
        return refuse(s, &other_version);
    }
    req->version_minor = digits[1] - '0';
    return take_text(s, "\r\n", &bad_line_end);
}

/* RFC 3986 3.2.2 unreserved, sub-delims and '%': what names and IPv4 addresses are made of. */
static bool is_host_char(uint8_t c) {
    return http_is_alpha(c) || http_is_digit(c) ||
           (c != 0 && strchr("-._~%!$&'()*+,;=", c) != NULL);
}

/* The length of the name or bracketed IPv6 address at the front; 0: there is none. */
static size_t host_len(struct rp_bytes a) {
    size_t len = 0;
    if (a.len == 0 || a.data[0] != '[') {
        while (len < a.len && is_host_char(a.data[len])) {
            len++;
        }
        return len;
    }
    for (len = 1; len < a.len && a.data[len] != ']'; len++) {
        if (http_hex_digit(a.data[len]) < 0 && a.data[len] != ':' && a.data[len] != '.') {
            return 0;
        }
    }
    return len == a.len || len == 1 ? 0 : len + 1;
}

/* host [":" port], an empty port being the default one. No user information (RFC 9110 4.2.4). */
static bool authority_is_valid(struct rp_bytes a) {
    size_t host = host_len(a);
    if (host == 0 || host == a.len) {
        return host > 0;
    }
    struct rp_bytes port = rp_bytes_skip(a, host + 1);
    unsigned number = 0;
    if (a.data[host] != ':' || port.len > 5) {
        return false;
    }
    for (size_t i = 0; i < port.len; i++) {
        if (!http_is_digit(port.data[i])) {
            return false;
        }
        number = number * 10 + (unsigned) (port.data[i] - '0');
    }
    return number <= UINT16_MAX;
}

/* Whether the target begins with a scheme we serve, and what follows it. */
static bool skip_scheme(struct rp_bytes target, struct rp_bytes *ret_rest) {
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct rp_bytes scheme = rp_bytes_str(schemes[i]);
        if (target.len >= scheme.len && http_same_name(rp_bytes(target.data, scheme.len), scheme)) {
            *ret_rest = rp_bytes_skip(target, scheme.len);
            return true;
        }
    }
    return false;
}

/* origin-form "/path?query" or absolute-form "http://authority/path?query" (RFC 9112 3.2). */
static enum rp_err split_target(struct scan *s, struct rp_http_request *req) {
    struct rp_bytes rest = req->target;
    if (rest.data[0] != '/') {
        if (!skip_scheme(req->target, &rest)) {
            return refuse(s, &bad_target);
        }
        size_t len = 0;
        while (len < rest.len && rest.data[len] != '/' && rest.data[len] != '?') {
            len++;
        }
        req->authority = rp_bytes(rest.data, len);
        if (!authority_is_valid(req->authority)) {
            return refuse(s, &bad_host);
        }
        rest = rp_bytes_skip(rest, len);
    }
    const uint8_t *mark = rest.len > 0 ? memchr(rest.data, '?', rest.len) : NULL;
    size_t path_len = mark != NULL ? (size_t) (mark - rest.data) : rest.len;
    req->path = path_len > 0 ? rp_bytes(rest.data, path_len) : RP_BYTES_LIT("/");
    req->query = rp_bytes_skip(rest, mark != NULL ? path_len + 1 : path_len);
    return RP_OK;
}

/* ---- Header lines: name ":" OWS value OWS CRLF ---- */

static enum rp_err take_header_line(struct scan *s, struct rp_http_request *req) {
    if (peek(s) == ' ' || peek(s) == '\t') {
        return refuse(s, &folded_header);
    }
    if (req->headers_count == RP_HTTP_HEADERS_MAX) {
        return refuse(s, &many_headers);
    }
    struct rp_http_header header;
    size_t start = s->at;
    while (!at_end(s) && http_is_token(peek(s))) {
        s->at++;
    }
    if (at_end(s)) {
        return RP_MORE;
    }
    header.name = since(s, start);
    if (header.name.len == 0 || peek(s) != ':') {
        return refuse(s, &bad_header_name);
    }
    start = ++s->at;
    while (!at_end(s) && http_is_field(peek(s))) {
        s->at++;
    }
    if (at_end(s)) {
        return RP_MORE;
    }
    header.value = http_trim(since(s, start));
    if (peek(s) != '\r' && peek(s) != '\n') {
        return refuse(s, &bad_header_value);
    }
    req->headers[req->headers_count++] = header;
    return take_text(s, "\r\n", &bad_line_end);
}

static enum rp_err take_headers(struct scan *s, struct rp_http_request *req) {
    for (;;) {
        if (at_end(s)) {
            return RP_MORE;
        }
        if (peek(s) == '\r' || peek(s) == '\n') {
            return take_text(s, "\r\n", &bad_line_end);
        }
        enum rp_err err = take_header_line(s, req);
        if (err != RP_OK) {
            return err;
        }
    }
}

/* ---- What the headers say about the message ---- */

static size_t count_headers(const struct rp_http_request *req, const char *name) {
    size_t count = 0;
    for (size_t i = 0; i < req->headers_count; i++) {
        count += http_same_name(req->headers[i].name, rp_bytes_str(name));
    }
    return count;
}

/* RFC 9112 3.2: one Host in HTTP/1.1, and a good one; an absolute-form target outranks it. */
static enum rp_err judge_host(struct scan *s, struct rp_http_request *req) {
    size_t count = count_headers(req, "host");
    if (count > 1) {
        return refuse(s, &many_hosts);
    }
    if (count == 0) {
        return req->version_minor == 1 ? refuse(s, &no_host) : RP_OK;
    }
    struct rp_bytes host = rp_http_find(req, "host")->value;
    if (!authority_is_valid(host)) {
        return refuse(s, &bad_host);
    }
    if (req->authority.len == 0) {
        req->authority = host;
    }
    return RP_OK;
}

/* RFC 9112 6.3, without its permissions to guess. */
static enum rp_err judge_framing(struct scan *s, struct rp_http_request *req) {
    size_t lengths = count_headers(req, "content-length");
    size_t codings = count_headers(req, "transfer-encoding");
    if (lengths > 0 && codings > 0) {
        return refuse(s, &two_framings);
    }
    if (lengths > 1 || codings > 1) {
        return refuse(s, lengths > 1 ? &many_lengths : &many_codings);
    }
    if (lengths == 1) {
        if (!rp_bytes_to_u64(rp_http_find(req, "content-length")->value, &req->content_length)) {
            return refuse(s, &bad_length);
        }
        req->framing = RP_HTTP_BODY_LENGTH;
    }
    if (codings == 1) {
        if (req->version_minor == 0) {
            return refuse(s, &old_coding);
        }
        if (!http_same_name(rp_http_find(req, "transfer-encoding")->value,
                            RP_BYTES_LIT("chunked"))) {
            return refuse(s, &other_coding);
        }
        req->framing = RP_HTTP_BODY_CHUNKED;
    }
    return RP_OK;
}

/* RFC 9110 10.1.1: in HTTP/1.0 it is ignored. */
static enum rp_err judge_expect(struct scan *s, struct rp_http_request *req) {
    const struct rp_http_header *expect = rp_http_find(req, "expect");
    if (expect == NULL || req->version_minor == 0) {
        return RP_OK;
    }
    if (count_headers(req, "expect") > 1 ||
        !http_same_name(expect->value, RP_BYTES_LIT("100-continue"))) {
        return refuse(s, &bad_expect);
    }
    req->expect_continue = req->framing == RP_HTTP_BODY_CHUNKED || req->content_length > 0;
    return RP_OK;
}

static enum rp_err judge_headers(struct scan *s, struct rp_http_request *req) {
    enum rp_err err = judge_host(s, req);
    if (err == RP_OK) {
        err = judge_framing(s, req);
    }
    if (err == RP_OK) {
        err = judge_expect(s, req);
    }
    req->keep_alive =
        !rp_http_has_token(req, "connection", "close") &&
        (req->version_minor == 1 || rp_http_has_token(req, "connection", "keep-alive"));
    return err;
}

static enum rp_err take_head(struct scan *s, struct rp_http_request *req) {
    enum rp_err err = RP_OK;
    if (!at_end(s) && (peek(s) == '\r' || peek(s) == '\n')) {
        err = take_text(s, "\r\n", &bad_line_end);
    }
    if (err == RP_OK) {
        err = take_method(s, req);
    }
    if (err == RP_OK) {
        err = take_target(s, req);
    }
    if (err == RP_OK) {
        err = take_version(s, req);
    }
    if (err == RP_OK) {
        err = split_target(s, req);
    }
    if (err == RP_OK) {
        err = take_headers(s, req);
    }
    return err == RP_OK ? judge_headers(s, req) : err;
}

enum rp_err rp_http_parse_head(struct rp_bytes in, struct rp_http_request *ret_request,
                               size_t *ret_consumed, const struct rp_http_problem **ret_problem) {
    bool too_long = in.len > RP_HTTP_HEAD_BYTES_MAX;
    struct scan s = {.in = rp_bytes(in.data, too_long ? RP_HTTP_HEAD_BYTES_MAX : in.len)};
    struct rp_http_request req = {.headers_count = 0};
    enum rp_err err = take_head(&s, &req);
    if (err == RP_MORE && too_long) {
        err = refuse(&s, &long_head);
    }
    if (err == RP_OK) {
        *ret_request = req;
        *ret_consumed = s.at;
    } else if (err < 0) {
        RP_ASSERT(s.problem != NULL);
        *ret_problem = s.problem;
    }
    return err;
}
