#include "gateway/conn_state.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

void rp_conn_drop_answer(struct conn *c) {
    if (c->answer != NULL) {
        rp_buf_done(&c->answer->content.head);
        free(c->answer);
        c->answer = NULL;
    }
}

/* The unwritten part of bytes of which `sent` were written. */
static size_t add_part(struct iovec *parts, size_t count, struct rp_bytes bytes, size_t sent) {
    if (bytes.len <= sent) {
        return count;
    }
    parts[count] = (struct iovec){(void *) (uintptr_t) (bytes.data + sent), bytes.len - sent};
    return count + 1;
}

static size_t gather(const struct conn *c, struct iovec parts[RP_CONN_WRITE_PARTS],
                     size_t *ret_bytes) {
    size_t count = 0;
    if (c->answer != NULL) {
        const struct rp_answer *a = &c->answer->content;
        size_t sent = c->answer->sent;
        count = add_part(parts, count, rp_buf_bytes(&a->head), sent);
        count = add_part(parts, count, a->body, sent > a->head.len ? sent - a->head.len : 0);
    }
    if (c->client != NULL) {
        struct rp_bytes out[RP_CONN_WRITE_PARTS];
        size_t out_count = rp_client_output(c->client, out, RP_CONN_WRITE_PARTS - count);
        for (size_t i = 0; i < out_count; i++) {
            count = add_part(parts, count, out[i], 0);
        }
    }
    *ret_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        *ret_bytes += parts[i].iov_len;
    }
    return count;
}

static void advance(struct conn *c, size_t bytes, uint64_t now_ms) {
    if (c->answer != NULL) {
        struct answer *a = c->answer;
        size_t left = a->content.head.len + a->content.body.len - a->sent;
        size_t taken = bytes < left ? bytes : left;
        a->sent += taken;
        bytes -= taken;
        if (taken == left) {
            rp_conn_drop_answer(c);
        }
    }
    if (bytes > 0) {
        rp_gateway_sent(c->owner->config.gateway, c->client, bytes, now_ms);
    }
}

bool rp_conn_has_output(const struct conn *c) {
    return c->answer != NULL || (c->client != NULL && rp_client_has_output(c->client));
}

static ssize_t write_parts(int fd, struct iovec *parts, size_t count) {
    if (count == 1) {
        return send(fd, parts[0].iov_base, parts[0].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void rp_conn_output(struct conn *c, uint64_t now_ms) {
    for (int i = 0; i < RP_CONN_WRITES_PER_TURN && !c->blocked && rp_conn_has_output(c); i++) {
        struct iovec parts[RP_CONN_WRITE_PARTS];
        size_t bytes;
        size_t count = gather(c, parts, &bytes);
        ssize_t sent = write_parts(c->fd, parts, count);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) {
            rp_conn_die(c, now_ms);
            return;
        }
        advance(c, sent < 0 ? 0 : (size_t) sent, now_ms);
        c->blocked = sent < 0 || (size_t) sent < bytes;
    }
    c->blocked =
        rp_conn_has_output(c); /* also when it is only others' turn: EV_WRITE comes at once */
}
