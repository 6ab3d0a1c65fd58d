/* Response heads. Nothing a peer chose gets into one unless it is free of control characters: that
 * is what response splitting is made of. */
#include "proto/http.h"

#include "common/assert.h"
#include "proto/http_char.h"

const char *rp_http_reason(int status) {
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Unknown";
}

static bool header_is_valid(const struct rp_http_header *h) {
    bool ok = h->name.len > 0;
    for (size_t i = 0; i < h->name.len; i++) {
        ok = ok && http_is_token(h->name.data[i]);
    }
    for (size_t i = 0; i < h->value.len; i++) {
        ok = ok && http_is_field(h->value.data[i]);
    }
    return ok;
}

static enum rp_err put_header(struct rp_buf *out, const struct rp_http_header *h) {
    if (!header_is_valid(h)) {
        return RP_E_INVALID;
    }
    const struct rp_bytes parts[] = {h->name, RP_BYTES_LIT(": "), h->value, RP_BYTES_LIT("\r\n")};
    enum rp_err err = RP_OK;
    for (size_t i = 0; i < 4 && err == RP_OK; i++) {
        err = rp_buf_put(out, parts[i]);
    }
    return err;
}

static enum rp_err put_head(struct rp_buf *out, int status, const struct rp_http_header *headers,
                            size_t headers_count, uint64_t content_length, bool keep_alive) {
    enum rp_err err = rp_buf_printf(out, "HTTP/1.1 %d %s\r\n", status, rp_http_reason(status));
    for (size_t i = 0; i < headers_count && err == RP_OK; i++) {
        err = put_header(out, &headers[i]);
    }
    /* RFC 9110 8.6: a server must not send a length with these */
    bool never_has_length = status < 200 || status == 204;
    bool never_has_body = never_has_length || status == 304;
    bool unknown = content_length == RP_HTTP_LENGTH_NONE;
    if (err == RP_OK && !never_has_length && !unknown) {
        err = rp_buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long) content_length);
    }
    bool closes = !keep_alive || (unknown && !never_has_body);
    if (err == RP_OK && status >= 200) {
        err = rp_buf_put_str(out, closes ? "Connection: close\r\n" : "Connection: keep-alive\r\n");
    }
    return err == RP_OK ? rp_buf_put_str(out, "\r\n") : err;
}

enum rp_err rp_http_put_response_head(struct rp_buf *out, int status,
                                      const struct rp_http_header *headers, size_t headers_count,
                                      uint64_t content_length, bool keep_alive) {
    RP_ASSERT(status >= 100 && status <= 599);
    size_t len_before = out->len;
    enum rp_err err = put_head(out, status, headers, headers_count, content_length, keep_alive);
    if (err != RP_OK) {
        out->len = len_before;
    }
    return err;
}

enum rp_err rp_http_put_continue(struct rp_buf *out) {
    return rp_http_put_response_head(out, 100, NULL, 0, 0, true);
}
