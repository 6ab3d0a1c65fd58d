#include "gateway/conn_state.h"

#include "common/assert.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* ---- what is to be written ---- */

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
    const struct request *r = c->request;
    if (r != NULL && r->answering) {
        size_t head_len = r->answer.head.len;
        count = add_part(parts, count, rp_buf_bytes(&r->answer.head), r->sent);
        count = add_part(parts, count, r->answer.body, r->sent > head_len ? r->sent - head_len : 0);
    }
    if (c->wire != NULL) {
        struct rp_bytes out[RP_CONN_WRITE_PARTS];
        size_t out_count = rp_wire_output(c->wire, out, RP_CONN_WRITE_PARTS - count);
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

/* Takes note of what was written of the answer; returns how many of the bytes were not its. */
static size_t advance_answer(struct conn *c, size_t bytes, uint64_t now_ms) {
    struct request *r = c->request;
    size_t left = r->answer.head.len + r->answer.body.len - r->sent;
    size_t taken = bytes < left ? bytes : left;
    r->sent += taken;
    if (taken == left) {
        r->answering = false;
        r->sent = 0;
        rp_buf_done(&r->answer.head);
        if (c->wire != NULL) { /* the 101: from now on there are no requests */
            rp_conn_drop_request(c, now_ms);
        }
    }
    return bytes - taken;
}

static void advance(struct conn *c, size_t bytes, uint64_t now_ms) {
    if (c->request != NULL && c->request->answering) {
        bytes = advance_answer(c, bytes, now_ms);
    }
    if (bytes > 0) {
        rp_gateway_sent(c->owner->config.gateway, c->wire, bytes, now_ms);
    }
}

bool rp_conn_has_output(const struct conn *c) {
    return (c->request != NULL && c->request->answering) ||
           (c->wire != NULL && rp_wire_has_output(c->wire)) ||
           (c->tls != NULL && rp_tls_session_has_output(c->tls));
}

/* A socket may hold megabytes, and does not say that it takes more before a good part of them is
 * gone: so what it holds is asked for. */
size_t rp_conn_answer_taken(const struct conn *c) {
    size_t sent = c->request->sent;
    int held = 0;
    if (ioctl(c->fd, SIOCOUTQ, &held) != 0 || held < 0) {
        return sent;
    }
    return sent > (size_t) held ? sent - (size_t) held : 0;
}

/* ---- writing: RP_OK, RP_AGAIN, or a failure, which ends the connection ---- */

static ssize_t write_parts(int fd, struct iovec *parts, size_t count) {
    if (count == 1) {
        return send(fd, parts[0].iov_base, parts[0].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static enum rp_err write_plain(struct conn *c, uint64_t now_ms) {
    struct iovec parts[RP_CONN_WRITE_PARTS];
    size_t bytes;
    size_t count = gather(c, parts, &bytes);
    ssize_t sent = write_parts(c->fd, parts, count);
    if (sent < 0) {
        if (errno == EINTR) {
            return RP_OK;
        }
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? RP_AGAIN : RP_E_IO;
    }
    advance(c, (size_t) sent, now_ms);
    return (size_t) sent < bytes ? RP_AGAIN : RP_OK;
}

/* The parts in one piece, cut to what one record holds. What is one piece already is not copied. */
static struct rp_bytes join(struct rp_conns *s, const struct iovec *parts, size_t count) {
    if (count == 1) {
        size_t len = parts[0].iov_len;
        return rp_bytes(parts[0].iov_base, len < sizeof s->record ? len : sizeof s->record);
    }
    size_t len = 0;
    for (size_t i = 0; i < count && len < sizeof s->record; i++) {
        size_t room = sizeof s->record - len;
        size_t part = parts[i].iov_len < room ? parts[i].iov_len : room;
        memcpy(s->record + len, parts[i].iov_base, part);
        len += part;
    }
    return rp_bytes(s->record, len);
}

static enum rp_err write_tls(struct conn *c, uint64_t now_ms) {
    if (rp_tls_session_has_output(c->tls)) {
        enum rp_err err = rp_tls_session_flush(c->tls);
        if (err != RP_OK || !rp_conn_has_output(c)) {
            return err;
        }
    }
    struct iovec parts[RP_CONN_WRITE_PARTS];
    size_t bytes;
    size_t count = gather(c, parts, &bytes);
    struct rp_bytes record = join(c->owner, parts, count);
    enum rp_err err = rp_tls_session_write(c->tls, record);
    if (err == RP_OK || err == RP_AGAIN) {
        advance(c, record.len, now_ms);
    }
    return err;
}

void rp_conn_output(struct conn *c, uint64_t now_ms) {
    enum rp_err err = RP_OK;
    for (int i = 0; i < RP_CONN_WRITES_PER_TURN && err == RP_OK && rp_conn_has_output(c); i++) {
        err = c->tls != NULL ? write_tls(c, now_ms) : write_plain(c, now_ms);
    }
    if (err != RP_OK && err != RP_AGAIN) {
        rp_conn_fail(c, now_ms);
        return;
    }
    if (c->request != NULL && c->request->answering) {
        rp_conn_count_answer(c);
    }
    c->blocked =
        rp_conn_has_output(c); /* also when it is only others' turn: EV_WRITE comes at once */
}
