/* What a client says it can decompress: offers of WebSocket extensions, weights of content codings.
 */
#include "proto/deflate.h"

#include "proto/http_char.h"

/* Cuts white space, one certain byte, or a token off *in. */
static void skip_space(struct rp_bytes *in) {
    while (in->len > 0 && (in->data[0] == ' ' || in->data[0] == '\t')) {
        *in = rp_bytes_skip(*in, 1);
    }
}

static bool take(struct rp_bytes *in, char c) {
    if (in->len == 0 || in->data[0] != (uint8_t) c) {
        return false;
    }
    *in = rp_bytes_skip(*in, 1);
    return true;
}

/* Empty: there is none. */
static struct rp_bytes take_token(struct rp_bytes *in) {
    size_t len = 0;
    while (len < in->len && http_is_token(in->data[len])) {
        len++;
    }
    struct rp_bytes token = rp_bytes(in->data, len);
    *in = rp_bytes_skip(*in, len);
    return token;
}

/* ---- extensions ----
 *
 * RFC 6455 9.1, with the list rule and white space of RFC 9110 5.6:
 *
 *     extension-list  = 1#extension
 *     extension       = token *( ";" extension-param )
 *     extension-param = token [ "=" ( token | quoted-string ) ]
 *
 * "When using the quoted-string syntax variant, the value after quoted-string unescaping MUST
 * conform to the 'token' ABNF." */

struct param {
    struct rp_bytes name;
    bool has_value;
    size_t value_len;
    uint8_t value[3]; /* its beginning: no value that we know is longer than 2 */
};

static void add_to_value(struct param *p, uint8_t c) {
    if (p->value_len < sizeof p->value) {
        p->value[p->value_len] = c;
    }
    p->value_len++;
}

/* The rest of a quoted string, behind its first quote. */
static bool take_quoted(struct rp_bytes *in, struct param *p) {
    while (!take(in, '"')) {
        take(in, '\\');
        if (in->len == 0 || !http_is_token(in->data[0])) {
            return false;
        }
        add_to_value(p, in->data[0]);
        *in = rp_bytes_skip(*in, 1);
    }
    return p->value_len > 0;
}

static bool take_value(struct rp_bytes *in, struct param *p) {
    p->has_value = true;
    if (take(in, '"')) {
        return take_quoted(in, p);
    }
    struct rp_bytes token = take_token(in);
    for (size_t i = 0; i < token.len; i++) {
        add_to_value(p, token.data[i]);
    }
    return token.len > 0;
}

/* False: malformed. */
static bool take_param(struct rp_bytes *in, struct param *ret_param) {
    skip_space(in);
    struct param p = {.name = take_token(in)};
    if (p.name.len == 0) {
        return false;
    }
    skip_space(in);
    if (take(in, '=')) {
        skip_space(in);
        if (!take_value(in, &p)) {
            return false;
        }
        skip_space(in);
    }
    *ret_param = p;
    return true;
}

/* RFC 7692 7.1: the parameters of permessage-deflate. */
enum { SERVER_NO_CONTEXT = 1, CLIENT_NO_CONTEXT = 2, SERVER_BITS = 4, CLIENT_BITS = 8 };

static unsigned param_flag(struct rp_bytes name) {
    static const struct {
        const char *name;
        unsigned flag;
    } params[] = {{"server_no_context_takeover", SERVER_NO_CONTEXT},
                  {"client_no_context_takeover", CLIENT_NO_CONTEXT},
                  {"server_max_window_bits", SERVER_BITS},
                  {"client_max_window_bits", CLIENT_BITS}};
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        if (rp_bytes_eq_str(name, params[i].name)) {
            return params[i].flag;
        }
    }
    return 0;
}

/* "a decimal integer value without leading zeroes between 8 to 15, inclusive" (7.1.2) */
static bool window_bits(const struct param *p, uint64_t *ret_bits) {
    return p->has_value && p->value_len <= sizeof p->value &&
           rp_bytes_to_u64(rp_bytes(p->value, p->value_len), ret_bits) && *ret_bits >= 8 &&
           *ret_bits <= 15;
}

static bool param_acceptable(unsigned flag, const struct param *p) {
    uint64_t bits;
    switch (flag) {
    case SERVER_NO_CONTEXT:
    case CLIENT_NO_CONTEXT:
        return !p->has_value;
    case SERVER_BITS: /* the compressor is made for 15, and zlib knows no 8 without a container */
        return window_bits(p, &bits) && bits == 15;
    case CLIENT_BITS: /* a hint; the decompressor takes any */
        return !p->has_value || window_bits(p, &bits);
    default:
        return false;
    }
}

struct offer {
    bool acceptable;
    unsigned params; /* flags of those that were there */
};

/* One extension and its parameters; false: malformed. */
static bool take_offer(struct rp_bytes *in, struct offer *ret_offer) {
    struct rp_bytes name = take_token(in);
    struct offer offer = {.acceptable = rp_bytes_eq_str(name, "permessage-deflate")};
    if (name.len == 0) {
        return false;
    }
    skip_space(in);
    while (take(in, ';')) {
        struct param p;
        if (!take_param(in, &p)) {
            return false;
        }
        unsigned flag = param_flag(p.name);
        offer.acceptable =
            offer.acceptable && param_acceptable(flag, &p) && (offer.params & flag) == 0;
        offer.params |= flag;
    }
    *ret_offer = offer;
    return in->len == 0 || in->data[0] == ',';
}

/* All offers of one header; *first becomes the first acceptable one unless it is already. False:
 * malformed. */
static bool read_offers(struct rp_bytes value, struct offer *first) {
    for (;;) {
        skip_space(&value);
        if (value.len == 0) {
            return true;
        }
        if (take(&value, ',')) {
            continue;
        }
        struct offer offer;
        if (!take_offer(&value, &offer)) {
            return false;
        }
        *first = first->acceptable ? *first : offer;
    }
}

bool rp_deflate_negotiate(const struct rp_http_request *req, const char **ret_response) {
    struct offer first = {.acceptable = false};
    for (size_t i = 0; i < req->headers_count; i++) {
        const struct rp_http_header *h = &req->headers[i];
        if (http_same_name(h->name, RP_BYTES_LIT("sec-websocket-extensions")) &&
            !read_offers(h->value, &first)) {
            return false;
        }
    }
    if (!first.acceptable) {
        return false;
    }
    /* "accepts … with this parameter by including" it (7.1.2.1) */
    *ret_response = first.params & SERVER_BITS
                        ? "permessage-deflate; server_no_context_takeover; "
                          "client_no_context_takeover; server_max_window_bits=15"
                        : "permessage-deflate; server_no_context_takeover; "
                          "client_no_context_takeover";
    return true;
}

/* ---- content codings ---- */

enum { CODINGS = RP_HTTP_DEFLATE + 1, WEIGHT_ONE = 1000 };

/* In thousandths; -1: not mentioned. */
struct weights {
    int of[CODINGS];
    int others; /* "*" */
};

/* RFC 9110 12.4.2: "0" or "1", and up to three digits of a fraction; of "1" they are zeros. */
static bool take_weight(struct rp_bytes *in, int *ret_weight) {
    if (in->len == 0 || (in->data[0] != '0' && in->data[0] != '1')) {
        return false;
    }
    int weight = (in->data[0] - '0') * WEIGHT_ONE;
    *in = rp_bytes_skip(*in, 1);
    if (take(in, '.')) {
        for (int unit = WEIGHT_ONE / 10; unit > 0 && in->len > 0 && http_is_digit(in->data[0]);
             unit /= 10) {
            weight += (in->data[0] - '0') * unit;
            *in = rp_bytes_skip(*in, 1);
        }
    }
    *ret_weight = weight;
    return weight <= WEIGHT_ONE;
}

/* Behind the coding: nothing, or ";q=" and a weight. */
static bool read_weight(struct rp_bytes in, int *ret_weight) {
    *ret_weight = WEIGHT_ONE;
    skip_space(&in);
    if (in.len == 0) {
        return true;
    }
    if (!take(&in, ';')) {
        return false;
    }
    skip_space(&in);
    if (!(take(&in, 'q') || take(&in, 'Q')) || !take(&in, '=') || !take_weight(&in, ret_weight)) {
        return false;
    }
    return in.len == 0;
}

static void read_member(struct rp_bytes member, struct weights *w) {
    int weight;
    struct rp_bytes coding = take_token(&member);
    if (!read_weight(member, &weight)) {
        weight = 0;
    }
    if (http_same_name(coding, RP_BYTES_LIT("gzip")) ||
        http_same_name(coding, RP_BYTES_LIT("x-gzip"))) { /* the same, 8.4.1.3 */
        w->of[RP_HTTP_GZIP] = weight;
    } else if (http_same_name(coding, RP_BYTES_LIT("deflate"))) {
        w->of[RP_HTTP_DEFLATE] = weight;
    } else if (http_same_name(coding, RP_BYTES_LIT("identity"))) {
        w->of[RP_HTTP_IDENTITY] = weight;
    } else if (rp_bytes_eq_str(coding, "*")) {
        w->others = weight;
    }
}

static void read_members(struct rp_bytes value, struct weights *w) {
    while (value.len > 0) {
        const uint8_t *comma = memchr(value.data, ',', value.len);
        size_t len = comma != NULL ? (size_t) (comma - value.data) : value.len;
        read_member(http_trim(rp_bytes(value.data, len)), w);
        value = rp_bytes_skip(value, comma != NULL ? len + 1 : len);
    }
}

enum rp_http_coding rp_http_pick_coding(const struct rp_http_request *req) {
    struct weights w = {.of = {-1, -1, -1}, .others = -1};
    for (size_t i = 0; i < req->headers_count; i++) {
        if (http_same_name(req->headers[i].name, RP_BYTES_LIT("accept-encoding"))) {
            read_members(req->headers[i].value, &w);
        }
    }
    for (size_t i = 0; i < CODINGS; i++) {
        w.of[i] = w.of[i] < 0 ? w.others : w.of[i];
    }
    enum rp_http_coding best = RP_HTTP_GZIP;
    if (w.of[RP_HTTP_DEFLATE] > w.of[best]) {
        best = RP_HTTP_DEFLATE;
    }
    return w.of[best] > 0 && w.of[best] >= w.of[RP_HTTP_IDENTITY] ? best : RP_HTTP_IDENTITY;
}

const char *rp_http_coding_name(enum rp_http_coding coding) {
    static const char *const names[] = {[RP_HTTP_GZIP] = "gzip", [RP_HTTP_DEFLATE] = "deflate"};
    return names[coding];
}
