#include "gateway/conn_state.h"

#include "common/assert.h"
#include "common/log.h"
#include "proto/forwarded.h"
#include "proto/proxy.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/socket.h>

/* ---- whose connection it is ---- */

static struct rp_ip peer_of(const struct conn *c) {
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof peer;
    if (getpeername(c->fd, (struct sockaddr *) &peer, &len) != 0) {
        return (struct rp_ip){.kind = RP_IP_NONE};
    }
    return rp_ip_of((struct sockaddr *) &peer);
}

void rp_conn_address(const struct conn *c, const struct rp_http_request *request,
                     char ret_text[RP_IP_TEXT_SIZE]) {
    const struct rp_cidrs *trusted = c->owner->config.trusted;
    struct rp_ip ip = c->proxied != NULL ? *c->proxied : peer_of(c);
    if (trusted != NULL) {
        ip = rp_forwarded_for(request, &ip, trusted);
    }
    rp_ip_format(&ip, ret_text);
}

/* ---- the steps ---- */

static void log_address(const struct conn *c) {
    if (rp_log_enabled(RP_LOG_DEBUG)) {
        char text[RP_IP_TEXT_SIZE];
        struct rp_ip ip = c->proxied != NULL ? *c->proxied : peer_of(c);
        rp_ip_format(&ip, text);
        rp_log_debug("connection address=%s refused=%d connections=%" PRIu64, text, c->refused,
                     c->owner->stats.connections);
    }
}

static void begin_http(struct conn *c, uint64_t now_ms) {
    log_address(c);
    if (c->refused || c->owner->draining) {
        rp_conn_refuse_busy(c, now_ms);
    } else {
        rp_conn_enter(c, CONN_HEAD, now_ms);
    }
}

static void begin_tls(struct conn *c, uint64_t now_ms) {
    if (!c->speaks_tls) {
        begin_http(c, now_ms);
        return;
    }
    RP_ASSERT(c->owner->config.tls != NULL);
    c->tls = rp_tls_session_new(c->owner->config.tls, c->fd);
    rp_conn_enter(c, CONN_TLS, now_ms);
}

void rp_conn_start(struct conn *c, struct rp_conn_kind kind, uint64_t now_ms) {
    const struct rp_cidrs *trusted = c->owner->config.trusted;
    c->speaks_tls = kind.tls;
    if (kind.proxy && trusted != NULL) {
        struct rp_ip peer = peer_of(c);
        if (rp_cidrs_contain_ip(trusted, &peer)) {
            rp_conn_enter(c, CONN_PROXY, now_ms);
            return;
        }
    }
    begin_tls(c, now_ms);
}

/* ---- the PROXY header ---- */

static void fail_proxy(struct conn *c, uint64_t now_ms) {
    c->owner->stats.proxy_failed++;
    rp_conn_die(c, now_ms);
}

/* Takes bytes that were peeked at off the socket. */
static bool take_off(struct conn *c, uint8_t *at, size_t len) {
    return recv(c->fd, at, len, MSG_DONTWAIT) == (ssize_t) len;
}

static void end_proxy(struct conn *c, const struct rp_proxy_header *header, uint64_t now_ms) {
    if (!header->is_local) {
        c->proxied = RP_NEW(struct rp_ip);
        *c->proxied = header->source;
    }
    rp_buf_release(&c->in);
    begin_tls(c, now_ms);
}

/* What follows the header belongs to TLS, which reads the socket itself. So bytes are peeked at,
 * and taken only when they are known to be the header's: all of them as long as it is not complete.
 */
static void read_proxy(struct conn *c, uint64_t now_ms) {
    uint8_t *scratch = c->owner->scratch;
    size_t kept = c->in.len;
    if (kept > 0) {
        memcpy(scratch, c->in.data, kept);
    }
    ssize_t peeked =
        recv(c->fd, scratch + kept, RP_CONN_READ_BYTES - kept, MSG_DONTWAIT | MSG_PEEK);
    if (peeked < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        return;
    }
    if (peeked <= 0) {
        fail_proxy(c, now_ms);
        return;
    }
    struct rp_proxy_header header;
    size_t consumed = kept + (size_t) peeked;
    enum rp_err err = rp_proxy_parse(rp_bytes(scratch, consumed), &header, &consumed);
    if ((err != RP_OK && err != RP_MORE) || !take_off(c, scratch + kept, consumed - kept)) {
        fail_proxy(c, now_ms);
    } else if (err == RP_OK) {
        end_proxy(c, &header, now_ms);
    } else {
        err = rp_buf_put(&c->in, rp_bytes(scratch + kept, (size_t) peeked));
        RP_ASSERT(err == RP_OK); /* a header is shorter than a request's head */
    }
}

static_assert(RP_PROXY_BYTES_MAX < RP_HTTP_HEAD_BYTES_MAX, "an unfinished header fits into `in`");

/* ---- the TLS handshake ---- */

static void shake_hands(struct conn *c, uint64_t now_ms) {
    struct rp_conns *s = c->owner;
    if (s->handshakes_left == 0) {
        return; /* the socket stays ready: next turn */
    }
    s->handshakes_left--;
    enum rp_err err = rp_tls_session_handshake(c->tls);
    if (err == RP_AGAIN) {
        return;
    }
    if (err == RP_OK) {
        s->stats.tls_handshakes++;
        begin_http(c, now_ms);
        return;
    }
    s->stats.tls_failed++;
    c->tls = rp_tls_session_free(c->tls);
    if (err == RP_E_UNSUPPORTED) {
        rp_conn_refuse(c, 400, "this port speaks TLS: use https:// or wss://", now_ms);
    } else {
        rp_conn_finish(c, now_ms);
    }
}

void rp_conn_begin(struct conn *c, uint64_t now_ms) {
    if (c->state == CONN_PROXY) {
        read_proxy(c, now_ms);
    } else {
        shake_hands(c, now_ms);
    }
}
