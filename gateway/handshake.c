#include "gateway/handshake.h"

#include "common/assert.h"
#include "proto/http_char.h"
#include "proto/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* Names of a query that are told. Each is compared with those before it, and 8 KiB may have
 * thousands; no application has a hundred. */
enum { QUERY_NAMES_MAX = 100 };

static const char REPLACEMENT[] = "\xEF\xBF\xBD"; /* U+FFFD */

static void must(enum rp_err err) {
    RP_ASSERT(err == RP_OK);
}

/* ---- a value that may not fit: either all of it is there, or nothing ---- */

struct pen {
    struct rp_buf *out;
    size_t before, len_max; /* of out */
    enum rp_err err;
};

static struct pen pen_of(struct rp_buf *out, size_t len_max) {
    return (struct pen){.out = out, .before = out->len, .len_max = len_max};
}

static void write_raw(struct pen *pen, struct rp_bytes bytes) {
    if (pen->err == RP_OK && bytes.len <= pen->len_max - pen->out->len) {
        must(rp_buf_put(pen->out, bytes));
    } else {
        pen->err = RP_E_FULL;
    }
}

static void write_str(struct pen *pen, const char *text) {
    write_raw(pen, rp_bytes_str(text));
}

/* Part of a JSON string. */
static void write_escaped(struct pen *pen, struct rp_bytes utf8) {
    if (pen->err != RP_OK || rp_json_string_len(utf8) - 2 > pen->len_max - pen->out->len) {
        pen->err = RP_E_FULL;
        return;
    }
    size_t at = pen->out->len;
    must(rp_json_put_string(pen->out, utf8)); /* with its quotes: there is room for them behind */
    pen->out->len -= 2;
    memmove(pen->out->data + at, pen->out->data + at + 1, pen->out->len - at);
}

static bool pen_lift(struct pen *pen) {
    if (pen->err != RP_OK) {
        pen->out->len = pen->before;
    }
    return pen->err == RP_OK;
}

/* ---- bytes that need not be UTF-8 ---- */

/* The length of the character at the front; 0: there is none. */
static size_t character_len(struct rp_bytes text) {
    for (size_t len = 1; len <= 4 && len <= text.len; len++) {
        if (rp_bytes_is_utf8(rp_bytes(text.data, len))) {
            return len;
        }
    }
    return 0;
}

static void write_lossy(struct pen *pen, struct rp_bytes text) {
    if (rp_bytes_is_utf8(text)) {
        write_escaped(pen, text);
        return;
    }
    while (text.len > 0 && pen->err == RP_OK) {
        size_t len = character_len(text);
        if (len > 0) {
            write_escaped(pen, rp_bytes(text.data, len));
        } else {
            write_str(pen, REPLACEMENT);
        }
        text = rp_bytes_skip(text, len > 0 ? len : 1);
    }
}

/* Runs of ASCII as they are, and every other byte as the character of its number. */
static void write_latin1(struct pen *pen, struct rp_bytes text) {
    while (text.len > 0 && pen->err == RP_OK) {
        size_t run = 0;
        while (run < text.len && text.data[run] < 0x80) {
            run++;
        }
        if (run > 0) {
            write_escaped(pen, rp_bytes(text.data, run));
        } else {
            uint8_t c = text.data[0];
            uint8_t two[] = {(uint8_t) (0xC0 | c >> 6), (uint8_t) (0x80 | (c & 0x3F))};
            write_raw(pen, rp_bytes(two, sizeof two));
            run = 1;
        }
        text = rp_bytes_skip(text, run);
    }
}

/* The name of a header, a token: nothing in it is escaped. */
static void write_lower(struct pen *pen, struct rp_bytes name) {
    uint8_t lower[64];
    while (name.len > 0 && pen->err == RP_OK) {
        size_t len = name.len < sizeof lower ? name.len : sizeof lower;
        for (size_t i = 0; i < len; i++) {
            lower[i] = http_lower(name.data[i]);
        }
        write_raw(pen, rp_bytes(lower, len));
        name = rp_bytes_skip(name, len);
    }
}

/* ---- headers ---- */

/* What several values of one name become (Node.js, IncomingMessage.headers). */
enum joining { JOIN_COMMA, JOIN_SEMICOLON, JOIN_FIRST, JOIN_ARRAY };

static enum joining joining_of(struct rp_bytes name) {
    static const char *const singles[] = {
        "age",
        "authorization",
        "content-length",
        "content-type",
        "etag",
        "expires",
        "from",
        "host",
        "last-modified",
        "if-modified-since",
        "if-unmodified-since",
        "location",
        "max-forwards",
        "proxy-authorization",
        "referer",
        "retry-after",
        "server",
        "user-agent",
    };
    for (size_t i = 0; i < sizeof singles / sizeof *singles; i++) {
        if (http_same_name(name, rp_bytes_str(singles[i]))) {
            return JOIN_FIRST;
        }
    }
    if (http_same_name(name, RP_BYTES_LIT("cookie"))) {
        return JOIN_SEMICOLON;
    }
    return http_same_name(name, RP_BYTES_LIT("set-cookie")) ? JOIN_ARRAY : JOIN_COMMA;
}

static bool is_first(const struct rp_http_request *r, size_t i) {
    size_t first = 0;
    while (!http_same_name(r->headers[first].name, r->headers[i].name)) {
        first++;
    }
    return first == i;
}

/* The header i, which is the first of its name, with all others of it. */
static void write_header(struct pen *pen, const struct rp_http_request *r, size_t i) {
    static const char *const between[] = {", ", "; ", NULL, "\",\""};
    enum joining how = joining_of(r->headers[i].name);
    write_str(pen, "\"");
    write_lower(pen, r->headers[i].name);
    write_str(pen, how == JOIN_ARRAY ? "\":[\"" : "\":\"");
    write_latin1(pen, r->headers[i].value);
    for (size_t k = i + 1; how != JOIN_FIRST && k < r->headers_count; k++) {
        if (http_same_name(r->headers[k].name, r->headers[i].name)) {
            write_str(pen, between[how]);
            write_latin1(pen, r->headers[k].value);
        }
    }
    write_str(pen, how == JOIN_ARRAY ? "\"]" : "\"");
}

static void put_headers(struct rp_buf *out, const struct rp_http_request *r, size_t len_max) {
    bool any = false;
    must(rp_buf_put_str(out, ",\"headers\":{"));
    for (size_t i = 0; i < r->headers_count; i++) {
        if (!is_first(r, i)) {
            continue;
        }
        struct pen pen = pen_of(out, len_max);
        write_str(&pen, any ? "," : "");
        write_header(&pen, r, i);
        any = pen_lift(&pen) || any;
    }
    must(rp_buf_put_str(out, "}"));
}

/* ---- query ---- */

/* Cuts `name=value` off the front. False: there was nothing between two `&`. */
static bool next_parameter(struct rp_bytes *query, struct rp_bytes *ret_name,
                           struct rp_bytes *ret_value) {
    const uint8_t *end = memchr(query->data, '&', query->len);
    size_t len = end != NULL ? (size_t) (end - query->data) : query->len;
    struct rp_bytes part = rp_bytes(query->data, len);
    const uint8_t *equals = len > 0 ? memchr(part.data, '=', len) : NULL;
    size_t name_len = equals != NULL ? (size_t) (equals - part.data) : len;
    *ret_name = rp_bytes(part.data, name_len);
    *ret_value = rp_bytes_skip(part, equals != NULL ? name_len + 1 : len);
    *query = rp_bytes_skip(*query, end != NULL ? len + 1 : len);
    return ret_name->len + ret_value->len > 0;
}

/* Decoded; what cannot be decoded is told as it came. */
static void write_decoded(struct pen *pen, struct rp_bytes raw) {
    struct rp_buf text;
    rp_buf_init(&text, raw.len);
    write_lossy(pen, rp_http_query_decode(raw, &text) == RP_OK ? rp_buf_bytes(&text) : raw);
    rp_buf_done(&text);
}

/* A name that has been seen, and how often; compared as it came: no client writes one name in two
 * ways. */
struct name {
    struct rp_bytes raw;
    size_t count;
};

static size_t gather_names(struct rp_bytes query, struct name names[QUERY_NAMES_MAX]) {
    size_t count = 0;
    struct rp_bytes name, value;
    while (query.len > 0) {
        if (!next_parameter(&query, &name, &value)) {
            continue;
        }
        size_t i = 0;
        while (i < count && !rp_bytes_eq(names[i].raw, name)) {
            i++;
        }
        if (i == count && count < QUERY_NAMES_MAX) {
            names[count++] = (struct name){.raw = name};
        }
        if (i < count) {
            names[i].count++;
        }
    }
    return count;
}

/* A value of a name. */
static void write_values(struct pen *pen, struct rp_bytes query, const struct name *n) {
    struct rp_bytes name, value;
    const char *before = "";
    write_str(pen, n->count > 1 ? "[" : "");
    while (query.len > 0 && pen->err == RP_OK) {
        if (next_parameter(&query, &name, &value) && rp_bytes_eq(name, n->raw)) {
            write_str(pen, before);
            write_str(pen, "\"");
            write_decoded(pen, value);
            write_str(pen, "\"");
            before = ",";
        }
    }
    write_str(pen, n->count > 1 ? "]" : "");
}

static void put_query(struct rp_buf *out, struct rp_bytes query, size_t len_max) {
    struct name names[QUERY_NAMES_MAX];
    size_t count = gather_names(query, names);
    bool any = false;
    must(rp_buf_put_str(out, ",\"query\":{"));
    for (size_t i = 0; i < count; i++) {
        struct pen pen = pen_of(out, len_max);
        write_str(&pen, any ? ",\"" : "\"");
        write_decoded(&pen, names[i].raw);
        write_str(&pen, "\":");
        write_values(&pen, query, &names[i]);
        any = pen_lift(&pen) || any;
    }
    must(rp_buf_put_str(out, "}"));
}

/* ---- the whole ---- */

static void put_time(struct rp_buf *out, uint64_t wall_ms) {
    time_t seconds = (time_t) (wall_ms / 1000);
    struct tm tm;
    char text[sizeof "2026-02-03T04:05:06"] = "1970-01-01T00:00:00";
    if (gmtime_r(&seconds, &tm) != NULL && tm.tm_year < 9999 - 1900) {
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    }
    must(rp_buf_printf(out, "\"time\":\"%s.%03uZ\"", text, (unsigned) (wall_ms % 1000)));
}

void rp_handshake_put_request(struct rp_buf *out, const struct rp_handshake *h, size_t bytes_max) {
    static const char empty_members[] = ",\"url\":\"\",\"query\":{},\"headers\":{}";
    RP_ASSERT(bytes_max >= RP_HANDSHAKE_LEAST_BYTES);
    size_t len_max = out->len + bytes_max - (sizeof empty_members - 1);
    uint8_t *room = rp_buf_reserve(out, bytes_max + 2); /* two: the quotes of write_escaped */
    RP_ASSERT(room != NULL);
    put_time(out, h->wall_ms);
    must(rp_buf_put_str(out, ",\"address\":"));
    must(rp_json_put_string(out, rp_bytes_str(h->address)));
    must(rp_buf_printf(out, ",\"xdomain\":%s,\"secure\":%s,\"issued\":%" PRIu64,
                       rp_http_find(h->request, "Origin") != NULL ? "true" : "false",
                       h->secure ? "true" : "false", h->wall_ms));
    RP_ASSERT(out->len <= len_max);
    must(rp_buf_put_str(out, ",\"url\":\""));
    struct pen url = pen_of(out, len_max + strlen(",\"url\":\""));
    write_lossy(&url, h->request->target);
    pen_lift(&url);
    must(rp_buf_put_str(out, "\""));
    put_query(out, h->request->query, len_max + strlen(",\"url\":\"\",\"query\":{"));
    put_headers(out, h->request, len_max + sizeof empty_members - 2);
}

enum rp_err rp_handshake_put_auth(struct rp_buf *out, struct rp_bytes payload) {
    size_t before = out->len;
    bool any = false;
    struct rp_json_iter it = rp_json_iter_object(payload);
    struct rp_bytes key, value;
    enum rp_err err = rp_buf_put_str(out, "{");
    while (err == RP_OK && rp_json_iter_next(&it, &key, &value)) {
        if (rp_json_key_is(key, "pid") || rp_json_key_is(key, "offset")) {
            continue;
        }
        err = rp_buf_put_str(out, any ? "," : "");
        err = err ? err : rp_buf_put(out, key);
        err = err ? err : rp_buf_put_str(out, ":");
        err = err ? err : rp_buf_put(out, value);
        any = true;
    }
    err = err ? err : rp_buf_put_str(out, "}");
    if (err != RP_OK) {
        out->len = before;
    }
    return err;
}

void rp_handshake_put(struct rp_buf *out, struct rp_bytes request_part, struct rp_bytes auth) {
    size_t envelope = strlen("{,\"auth\":{}}");
    bool fits = request_part.len + auth.len + envelope <= RP_HANDSHAKE_BYTES_MAX;
    must(rp_buf_put_str(out, "{"));
    must(rp_buf_put(out, request_part));
    must(rp_buf_put_str(out, ",\"auth\":"));
    must(rp_buf_put(out, fits && auth.len > 0 ? auth : RP_BYTES_LIT("{}")));
    must(rp_buf_put_str(out, "}"));
}
