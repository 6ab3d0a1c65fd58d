/* Looking things up in a parsed head: headers, their lists, the query. */
#include "proto/http.h"

#include "proto/http_char.h"

const struct rp_http_header *rp_http_find(const struct rp_http_request *req, const char *name) {
    for (size_t i = 0; i < req->headers_count; i++) {
        if (http_same_name(req->headers[i].name, rp_bytes_str(name))) {
            return &req->headers[i];
        }
    }
    return NULL;
}

/* Cuts the part before the first separator off *rest; the separator goes too. */
static struct rp_bytes cut(struct rp_bytes *rest, char separator) {
    const uint8_t *mark = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
    size_t len = mark != NULL ? (size_t) (mark - rest->data) : rest->len;
    struct rp_bytes part = rp_bytes(rest->data, len);
    *rest = rp_bytes_skip(*rest, mark != NULL ? len + 1 : len);
    return part;
}

static bool list_has_token(struct rp_bytes list, struct rp_bytes token) {
    while (list.len > 0) {
        if (http_same_name(http_trim(cut(&list, ',')), token)) {
            return true;
        }
    }
    return false;
}

bool rp_http_has_token(const struct rp_http_request *req, const char *name, const char *token) {
    for (size_t i = 0; i < req->headers_count; i++) {
        if (http_same_name(req->headers[i].name, rp_bytes_str(name)) &&
            list_has_token(req->headers[i].value, rp_bytes_str(token))) {
            return true;
        }
    }
    return false;
}

bool rp_http_query_get(struct rp_bytes query, const char *name, struct rp_bytes *ret_raw) {
    while (query.len > 0) {
        struct rp_bytes value = cut(&query, '&');
        if (rp_bytes_eq_str(cut(&value, '='), name)) {
            *ret_raw = value;
            return true;
        }
    }
    return false;
}

/* How long the decoded text is; false: it cannot be decoded. */
static bool measure_decoded(struct rp_bytes raw, size_t *ret_len) {
    size_t len = 0;
    for (size_t i = 0; i < raw.len; i++, len++) {
        if (raw.data[i] != '%') {
            continue;
        }
        if (raw.len - i < 3 || http_hex_digit(raw.data[i + 1]) < 0 ||
            http_hex_digit(raw.data[i + 2]) < 0 ||
            (raw.data[i + 1] == '0' && raw.data[i + 2] == '0')) {
            return false;
        }
        i += 2;
    }
    *ret_len = len;
    return true;
}

static enum rp_err decode(struct rp_bytes raw, bool plus_is_space, struct rp_buf *out) {
    size_t len;
    if (!measure_decoded(raw, &len)) {
        return RP_E_INVALID;
    }
    uint8_t *place = rp_buf_reserve(out, len);
    if (place == NULL) {
        return RP_E_FULL;
    }
    for (size_t i = 0; i < raw.len; i++) {
        uint8_t c = raw.data[i];
        if (c == '%') {
            c = (uint8_t) (http_hex_digit(raw.data[i + 1]) << 4 | http_hex_digit(raw.data[i + 2]));
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        *place++ = c;
    }
    out->len += len;
    return RP_OK;
}

enum rp_err rp_http_percent_decode(struct rp_bytes raw, struct rp_buf *out) {
    return decode(raw, false, out);
}

enum rp_err rp_http_query_decode(struct rp_bytes raw, struct rp_buf *out) {
    return decode(raw, true, out);
}
