/* tests/unit/site_fixture.h — questions to a site: heads as bytes in; a verdict, and the bytes of
 * the answer out. The core is not here: the exchanges whose answers are written are this file's
 * own. */
#pragma once

#include "common/alloc.h"
#include "gateway/site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* ---- in place of the core ---- */

struct rp_exchange {
    int status;
    struct rp_bytes body, sid;
};

int rp_exchange_status(const struct rp_exchange *x) {
    return x->status;
}

struct rp_bytes rp_exchange_body(const struct rp_exchange *x) {
    return x->body;
}

struct rp_bytes rp_exchange_sid(const struct rp_exchange *x) {
    return x->sid;
}

/* ---- asking ---- */

static const char *const verdicts[] = {"answer", "websocket", "open", "get", "post"};

/* One question and what came of it. */
struct asked {
    enum rp_site_verdict verdict;
    struct rp_site_request request;
    char *text; /* of the answer, with a terminator; NULL: none was given */
    size_t len;
    bool keep_alive;
};

static inline struct rp_site *make(struct rp_site_config config) {
    struct rp_site *s = NULL;
    struct rp_site_problem problem;
    config.path = config.path != NULL ? config.path : "/socket.io";
    config.gateway_name = "gate \"1\"";
    assert_int_equal(rp_site_new(&config, &s, &problem), RP_OK);
    return s;
}

static inline void keep(struct asked *a, struct rp_answer *answer) {
    free(a->text);
    a->len = answer->head.len + answer->body.len;
    a->text = rp_alloc(a->len + 1);
    memcpy(a->text, answer->head.data, answer->head.len);
    if (answer->body.len > 0) {
        memcpy(a->text + answer->head.len, answer->body.data, answer->body.len);
    }
    a->keep_alive = answer->keep_alive;
    rp_buf_done(&answer->head);
}

/* The head is parsed from memory of exactly its length, which is gone before the answer is looked
 * at: nothing may borrow it. */
static inline struct asked ask(const struct rp_site *s, const char *head) {
    size_t len = strlen(head), consumed;
    uint8_t *copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, head, len);
    struct rp_http_request request;
    const struct rp_http_problem *problem = NULL;
    if (rp_http_parse_head(rp_bytes(copy, len), &request, &consumed, &problem) != RP_OK) {
        fail_msg("not a head: %s", head);
    }
    struct asked a = {.text = NULL};
    struct rp_answer answer;
    a.verdict = rp_site_answer(s, &request, "192.0.2.7", &a.request, &answer);
    free(copy);
    if (a.verdict == RP_SITE_ANSWER || a.verdict == RP_SITE_WEBSOCKET) {
        keep(&a, &answer);
    }
    return a;
}

/* "GET" and "/path" with further lines, each ending in CRLF. */
static inline struct asked ask_for(const struct rp_site *s, const char *method, const char *target,
                                   const char *lines) {
    char head[4096];
    int len = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: example.com\r\n%s\r\n", method,
                       target, lines);
    assert_true(len > 0 && len < (int) sizeof head);
    return ask(s, head);
}

static inline void done(struct asked *a) {
    free(a->text);
    a->text = NULL;
}

static inline int status_of(const struct asked *a) {
    return a->text != NULL ? atoi(a->text + sizeof "HTTP/1.1") : 0;
}

static inline bool has(const struct asked *a, const char *part) {
    return a->text != NULL && memmem(a->text, a->len, part, strlen(part)) != NULL;
}

static inline void assert_has(const struct asked *a, const char *part) {
    if (!has(a, part)) {
        fail_msg("no \"%s\" in:\n%s", part, a->text != NULL ? a->text : "(nothing)");
    }
}

static inline void assert_lacks(const struct asked *a, const char *part) {
    if (has(a, part)) {
        fail_msg("\"%s\" in:\n%s", part, a->text);
    }
}

static inline struct rp_bytes body_of(const struct asked *a) {
    const char *end = memmem(a->text, a->len, "\r\n\r\n", 4);
    assert_non_null(end);
    size_t head_len = (size_t) (end + 4 - a->text);
    return rp_bytes(a->text + head_len, a->len - head_len);
}

/* Content-Length must be true (of HEAD's answer it is what GET's would be). */
static inline void assert_length(const struct asked *a) {
    char line[64];
    snprintf(line, sizeof line, "\r\nContent-Length: %zu\r\n", body_of(a).len);
    assert_has(a, line);
}

#define UPGRADE_13                                                                                 \
    "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"       \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define IO "/socket.io/?"

/* Undoes gzip or deflate. */
static inline void inflate_all(struct rp_bytes in, uint8_t *out, size_t out_size, size_t *ret_len) {
    z_stream z = {.next_in = (Bytef *) (uintptr_t) in.data,
                  .avail_in = (uInt) in.len,
                  .next_out = out,
                  .avail_out = (uInt) out_size};
    assert_int_equal(inflateInit2(&z, 15 + 32), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    *ret_len = out_size - z.avail_out;
    inflateEnd(&z);
}
