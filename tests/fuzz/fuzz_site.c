/* Any request to any site: no byte of it may stop the gateway, get into the answer so that it is
 * split, or make the answer longer than its Content-Length says.
 *
 * Input: one byte of options, one of the length of an exchange's body, then the request's head. */
#include "common/assert.h"
#include "common/pattern.h"
#include "gateway/site.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* in place of the core */
struct rp_exchange {
    struct rp_bytes body;
};

int rp_exchange_status(const struct rp_exchange *x) {
    (void) x;
    return 200;
}

struct rp_bytes rp_exchange_body(const struct rp_exchange *x) {
    return x->body;
}

struct rp_bytes rp_exchange_sid(const struct rp_exchange *x) {
    (void) x;
    return RP_BYTES_LIT("abc");
}

enum { CREDENTIALS = 1, ORIGINS = 2, ALL_ORIGINS = 4, DEFLATE = 8, COMPRESS = 16, ANY_PATH = 32 };

static struct rp_site *make(unsigned options) {
    static struct rp_patterns *some, *all;
    if (some == NULL) {
        RP_ASSERT(rp_patterns_parse("http://*.example,null", RP_PATTERNS_ANY_CASE, &some) == RP_OK);
        RP_ASSERT(rp_patterns_parse("*", RP_PATTERNS_ANY_CASE, &all) == RP_OK);
    }
    const struct rp_site_config config = {
        .path = "/socket.io",
        .gateway_name = "g",
        .cookie = "io",
        .origins = options & ALL_ORIGINS ? all
                   : options & ORIGINS   ? some
                                         : NULL,
        .credentials = options & CREDENTIALS,
        .deflate = options & DEFLATE,
        .compress = options & COMPRESS,
        .any_path = options & ANY_PATH,
        .demo = true,
    };
    struct rp_site *s = NULL;
    struct rp_site_problem problem;
    RP_ASSERT(rp_site_new(&config, &s, &problem) == RP_OK);
    return s;
}

/* The head must be lines that each end in CRLF and have no other control character; what follows
 * must be as long as it says, or nothing. */
static void check_answer(struct rp_answer *a) {
    const uint8_t *data = a->head.data;
    RP_ASSERT(a->head.len > 12 && memcmp(data, "HTTP/1.1 ", 9) == 0);
    const uint8_t *end = memmem(data, a->head.len, "\r\n\r\n", 4);
    RP_ASSERT(end != NULL);
    size_t head_len = (size_t) (end + 4 - data), lines = 0;
    for (size_t i = 0; i < head_len; i++) {
        if (data[i] == '\n') {
            RP_ASSERT(i > 0 && data[i - 1] == '\r');
            lines++;
        }
        RP_ASSERT(data[i] >= 0x20 || data[i] == '\t' || data[i] == '\n' ||
                  (data[i] == '\r' && data[i + 1] == '\n'));
    }
    RP_ASSERT(lines <= 24);
    size_t body_len = a->head.len - head_len + a->body.len;
    const char *length = memmem(data, head_len, "\r\nContent-Length: ", 18);
    RP_ASSERT(length != NULL ? body_len == 0 || (size_t) atol(length + 18) == body_len
                             : body_len == 0);
    rp_buf_done(&a->head);
}

static void ask(const struct rp_site *s, const struct rp_http_request *req, size_t body_len) {
    static uint8_t body[256 * 64];
    struct rp_site_request r;
    struct rp_answer a;
    enum rp_site_verdict verdict = rp_site_answer(s, req, "192.0.2.1", &r, &a);
    RP_ASSERT(r.sid_len <= sizeof r.sid && r.origin_len <= sizeof r.origin);
    if (verdict == RP_SITE_ANSWER || verdict == RP_SITE_WEBSOCKET) {
        check_answer(&a);
    } else {
        const struct rp_exchange x = {rp_bytes(body, body_len * 64)};
        RP_ASSERT((verdict == RP_SITE_POLL_OPEN) == (r.sid_len == 0));
        rp_site_poll_answer(s, &r, &x, &a);
        check_answer(&a);
    }
    rp_site_engine_error(s, &r, RP_EIO_UNKNOWN_SID, &a);
    check_answer(&a);
    rp_site_error(413, "too large", &r, &a);
    check_answer(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct rp_site *sites[64];
    if (size < 2) {
        return 0;
    }
    unsigned options = data[0] % 64;
    if (sites[options] == NULL) {
        sites[options] = make(options);
    }
    size_t len = size - 2, consumed;
    uint8_t *copy = malloc(len > 0 ? len : 1);
    RP_ASSERT(copy != NULL);
    memcpy(copy, data + 2, len);
    struct rp_http_request req;
    const struct rp_http_problem *problem;
    if (rp_http_parse_head(rp_bytes(copy, len), &req, &consumed, &problem) == RP_OK) {
        ask(sites[options], &req, data[1]);
    }
    free(copy);
    return 0;
}
