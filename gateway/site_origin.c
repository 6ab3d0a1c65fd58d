/* gateway/site_origin.c — which pages may come, and what CORS wants said to them (Fetch, 3.2).
 *
 * A browser names the page in Origin; nothing else can be believed about where a request comes
 * from, and programs that are no browsers send none. With a list of origins a page from elsewhere
 * is refused, also for a WebSocket, to which browsers apply no CORS. A page of the gateway's own
 * host may always come: Origin says what Host says. Without a list any page may open a WebSocket,
 * but browsers let none but the gateway's own read answers of long-polling, as with Socket.IO. */
#include "gateway/site_parts.h"

#include "common/pattern.h"

#include <strings.h>

/* Bytes of Access-Control-Request-Headers that are answered; a longer list is not allowed. */
enum { REQUEST_HEADERS_BYTES_MAX = 512 };

/* How long a browser may keep a preflight's answer; short enough for a change of the list. */
#define MAX_AGE_S "600"

static bool same_text(struct rp_bytes a, struct rp_bytes b) {
    return a.len == b.len && strncasecmp((const char *) a.data, (const char *) b.data, a.len) == 0;
}

/* Cuts the port of a scheme off, which an origin never has and a Host seldom. */
static struct rp_bytes without_port(struct rp_bytes host, struct rp_bytes port) {
    bool has =
        host.len > port.len && memcmp(host.data + host.len - port.len, port.data, port.len) == 0;
    return has ? rp_bytes(host.data, host.len - port.len) : host;
}

static bool is_same_origin(const struct rp_http_request *req, struct rp_bytes origin) {
    static const struct {
        struct rp_bytes scheme, port;
    } schemes[] = {
        {{(const uint8_t *) "http://", 7}, {(const uint8_t *) ":80", 3}},
        {{(const uint8_t *) "https://", 8}, {(const uint8_t *) ":443", 4}},
    };
    for (size_t i = 0; i < 2; i++) {
        if (rp_bytes_starts_with(origin, schemes[i].scheme)) {
            struct rp_bytes host = rp_bytes_skip(origin, schemes[i].scheme.len);
            return host.len > 0 && same_text(without_port(host, schemes[i].port),
                                             without_port(req->authority, schemes[i].port));
        }
    }
    return false;
}

/* The Origin header; false: there is more than one, and nobody knows which counts. */
static bool find_origin(const struct rp_http_request *req, struct rp_bytes *ret_origin) {
    *ret_origin = rp_bytes(NULL, 0);
    bool found = false;
    for (size_t i = 0; i < req->headers_count; i++) {
        if (same_text(req->headers[i].name, RP_BYTES_LIT("Origin"))) {
            if (found) {
                return false;
            }
            found = true;
            *ret_origin = req->headers[i].value;
        }
    }
    return true;
}

/* Whether it is what browsers send: "null", or a scheme and a host with perhaps a port (RFC 6454
 * 6.2). Anything longer would let a pattern match what is not the host. */
static bool is_origin(struct rp_bytes text) {
    const uint8_t *mark = memmem(text.data, text.len, "://", 3);
    if (mark == NULL) {
        return rp_bytes_eq_str(text, "null");
    }
    struct rp_bytes host = rp_bytes_skip(text, (size_t) (mark - text.data) + 3);
    bool in_brackets = false, in_port = false, ok = true;
    for (size_t i = 0; i < host.len && ok; i++) {
        uint8_t c = host.data[i];
        bool digit = c >= '0' && c <= '9';
        in_brackets = c == '[' || (in_brackets && c != ']');
        if (in_port) {
            ok = digit;
        } else if (c == ':' && !in_brackets) {
            in_port = true;
        } else {
            ok = digit || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80 ||
                 memchr("-._:[]", c, 6) != NULL;
        }
    }
    return ok;
}

static void keep_origin(struct rp_site_request *r, struct rp_bytes origin) {
    memcpy(r->origin, origin.data, origin.len);
    r->origin_len = (uint16_t) origin.len;
}

bool rp_site_admit_origin(const struct rp_site *s, const struct rp_http_request *req,
                          struct rp_site_request *r) {
    struct rp_bytes origin;
    if (s->origins == NULL) {
        return true;
    }
    r->vary_origin = !s->any_origin;
    r->credentials = s->credentials;
    if (s->any_origin) {
        keep_origin(r, RP_BYTES_LIT("*"));
        return true;
    }
    if (!find_origin(req, &origin)) {
        return false;
    }
    if (origin.len == 0) {
        return true;
    }
    if (origin.len <= RP_SITE_ORIGIN_BYTES_MAX && is_origin(origin) &&
        rp_patterns_match(s->origins, origin)) {
        keep_origin(r, origin);
        return true;
    }
    return is_same_origin(req, origin);
}

/* Names of headers, as the browser asks for them: given back only if they can be nothing else. */
static bool is_list_of_names(struct rp_bytes list) {
    for (size_t i = 0; i < list.len; i++) {
        uint8_t c = list.data[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && memchr("!#$%&'*+-.^_`|~, ", c, 17) == NULL) {
            return false;
        }
    }
    return list.len > 0 && list.len <= REQUEST_HEADERS_BYTES_MAX;
}

void rp_site_preflight(const struct rp_http_request *req, const struct rp_site_request *r,
                       struct rp_answer *ret_answer) {
    struct site_headers h = {.vary_request_headers = true};
    const struct rp_http_header *wanted = rp_http_find(req, "Access-Control-Request-Headers");
    if (r->origin_len > 0) {
        rp_site_add_header(&h, "Access-Control-Allow-Methods", "GET, HEAD, POST");
        if (wanted != NULL && is_list_of_names(wanted->value)) {
            rp_site_add_header_bytes(&h, "Access-Control-Allow-Headers", wanted->value);
        }
        rp_site_add_header(&h, "Access-Control-Max-Age", MAX_AGE_S);
    }
    rp_site_put_head(ret_answer, r, 204, &h, 0, 0);
}
