#include "proto/forwarded.h"

#include "proto/http_char.h"

/* 1 to 5 digits, as clients have ports. */
static bool is_port(struct rp_bytes text) {
    for (size_t i = 0; i < text.len; i++) {
        if (!http_is_digit(text.data[i])) {
            return false;
        }
    }
    return text.len >= 1 && text.len <= 5;
}

/* [address] or [address]:port */
static bool parse_bracketed(struct rp_bytes entry, struct rp_ip *ret_ip) {
    const uint8_t *end = memchr(entry.data, ']', entry.len);
    if (end == NULL) {
        return false;
    }
    struct rp_bytes address = rp_bytes(entry.data + 1, (size_t) (end - entry.data) - 1);
    struct rp_bytes rest = rp_bytes_skip(entry, address.len + 2);
    return (rest.len == 0 || (rest.data[0] == ':' && is_port(rp_bytes_skip(rest, 1)))) &&
           memchr(address.data, ':', address.len) != NULL && rp_ip_parse(address, ret_ip);
}

static bool parse_entry(struct rp_bytes entry, struct rp_ip *ret_ip) {
    if (entry.data[0] == '[') {
        return parse_bracketed(entry, ret_ip);
    }
    /* one colon is before a port, more are an IPv6 address's */
    const uint8_t *colon = memchr(entry.data, ':', entry.len);
    if (colon != NULL && colon == memrchr(entry.data, ':', entry.len)) {
        size_t len = (size_t) (colon - entry.data);
        return is_port(rp_bytes_skip(entry, len + 1)) &&
               rp_ip_parse(rp_bytes(entry.data, len), ret_ip);
    }
    return rp_ip_parse(entry, ret_ip);
}

/* Cuts the part behind the last comma off *rest; the comma goes too. */
static struct rp_bytes cut_last(struct rp_bytes *rest) {
    const uint8_t *comma = memrchr(rest->data, ',', rest->len);
    size_t before = comma != NULL ? (size_t) (comma - rest->data) : 0;
    struct rp_bytes part = rp_bytes_skip(*rest, comma != NULL ? before + 1 : 0);
    rest->len = before;
    return http_trim(part);
}

/* Walks one header's list. Whether the walk goes on in the header before. */
static bool walk(struct rp_bytes list, const struct rp_cidrs *trusted, struct rp_ip *client) {
    while (list.len > 0) {
        struct rp_bytes entry = cut_last(&list);
        if (entry.len == 0) {
            continue;
        }
        if (!parse_entry(entry, client) || !rp_cidrs_contain_ip(trusted, client)) {
            return false;
        }
    }
    return true;
}

struct rp_ip rp_forwarded_for(const struct rp_http_request *req, const struct rp_ip *peer,
                              const struct rp_cidrs *trusted) {
    struct rp_ip client = *peer;
    bool goes_on = rp_cidrs_contain_ip(trusted, peer);
    for (size_t i = req->headers_count; i > 0 && goes_on; i--) {
        const struct rp_http_header *h = &req->headers[i - 1];
        if (http_same_name(h->name, RP_BYTES_LIT("x-forwarded-for"))) {
            goes_on = walk(h->value, trusted, &client);
        }
    }
    return client;
}
