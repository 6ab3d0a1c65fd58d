#include "broker/zap.h"

#include "common/alloc.h"
#include "common/cidr.h"
#include "common/limits.h"
#include "common/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

/* The frames of a question (RFC 27, "Request"). */
enum {
    VERSION,
    REQUEST_ID,
    DOMAIN,
    ADDRESS,
    ROUTING_ID,
    MECHANISM,
    CREDENTIALS, /* of CURVE: the client's public key in 32 bytes */
    FRAMES_COUNT,
};

enum {
    FRAME_BYTES_MAX = 256, /* of what we look at; libzmq sends no longer ones */
};

struct question {
    size_t frames;
    struct frame {
        size_t len;
        uint8_t bytes[FRAME_BYTES_MAX];
    } frame[FRAMES_COUNT];
};

struct rp_zap {
    void *socket;
    int fd;
    uint64_t refused;
    struct rp_log_limit refused_limit;
};

enum rp_err rp_zap_new(void *context, char *ret_why, size_t why_size, struct rp_zap **ret_zap) {
    struct rp_zap *zap = RP_NEW(struct rp_zap);
    size_t size = sizeof zap->fd;
    int no_wait = 0;
    zap->socket = zmq_socket(context, ZMQ_REP);
    if (zap->socket == NULL ||
        zmq_setsockopt(zap->socket, ZMQ_LINGER, &no_wait, sizeof no_wait) != 0 ||
        zmq_bind(zap->socket, "inproc://zeromq.zap.01") != 0 ||
        zmq_getsockopt(zap->socket, ZMQ_FD, &zap->fd, &size) != 0) {
        snprintf(ret_why, why_size, "%s", zmq_strerror(zmq_errno()));
        rp_zap_free(zap);
        return RP_E_IO;
    }
    *ret_zap = zap;
    return RP_OK;
}

struct rp_zap *rp_zap_free(struct rp_zap *zap) {
    if (zap != NULL) {
        if (zap->socket != NULL) {
            zmq_close(zap->socket);
        }
        free(zap);
    }
    return NULL;
}

int rp_zap_fd(const struct rp_zap *zap) {
    return zap->fd;
}

uint64_t rp_zap_refused_count(const struct rp_zap *zap) {
    return zap->refused;
}

/* ---- questions ---- */

/* Copies a frame if there is a place for it. What is too long counts as empty: it is none of ours.
 */
static void keep_frame(struct question *q, zmq_msg_t *frame) {
    if (q->frames < FRAMES_COUNT) {
        struct frame *into = &q->frame[q->frames];
        size_t len = zmq_msg_size(frame);
        into->len = len <= sizeof into->bytes ? len : 0;
        if (into->len > 0) {
            memcpy(into->bytes, zmq_msg_data(frame), into->len);
        }
    }
    q->frames++;
}

/* Takes a whole question; false: there is none. */
static bool receive(struct rp_zap *zap, struct question *ret_question) {
    bool more = true;
    ret_question->frames = 0;
    while (more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        int rc;
        do {
            rc = zmq_msg_recv(&frame, zap->socket, ZMQ_DONTWAIT);
        } while (rc < 0 && errno == EINTR);
        if (rc >= 0) {
            keep_frame(ret_question, &frame);
        }
        more = rc >= 0 && zmq_msg_more(&frame) != 0;
        zmq_msg_close(&frame);
        if (rc < 0) {
            return false;
        }
    }
    return true;
}

static struct rp_bytes frame_of(const struct question *q, size_t i) {
    return i < q->frames ? rp_bytes(q->frame[i].bytes, q->frame[i].len) : rp_bytes(NULL, 0);
}

/* ---- answers ---- */

static void send_frame(struct rp_zap *zap, struct rp_bytes frame, bool more) {
    int rc;
    do {
        rc = zmq_send(zap->socket, frame.data, frame.len, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
    } while (rc < 0 && errno == EINTR);
    /* a connection that is gone meanwhile takes nothing; its handshake ended with it */
}

static void answer(struct rp_zap *zap, const struct question *q, const char *status,
                   const char *text, const char *user_id) {
    send_frame(zap, RP_BYTES_LIT("1.0"), true);
    send_frame(zap, frame_of(q, REQUEST_ID), true);
    send_frame(zap, rp_bytes_str(status), true);
    send_frame(zap, rp_bytes_str(text), true);
    send_frame(zap, rp_bytes_str(user_id), true);
    send_frame(zap, rp_bytes(NULL, 0), false); /* metadata */
}

/* By the key: so one that tries on and on does not hide others. */
static uint64_t peer_of(const struct rp_curve_key *key) {
    uint64_t peer;
    memcpy(&peer, key->text, sizeof peer);
    return peer;
}

/* An IPv4 address as such, also from a socket of IPv6. */
static void format_address(struct rp_bytes address, char ret_text[FRAME_BYTES_MAX + 1]) {
    struct rp_ip ip;
    snprintf(ret_text, FRAME_BYTES_MAX + 1, "%.*s", RP_BYTES_FMT(address));
    if (rp_ip_parse(address, &ip)) {
        rp_ip_format(&ip, ret_text);
    }
}

static void refuse(struct rp_zap *zap, const struct question *q, const struct rp_curve_key *key,
                   uint64_t now_ms) {
    uint64_t suppressed;
    char address[FRAME_BYTES_MAX + 1];
    static_assert(sizeof address >= RP_IP_TEXT_SIZE, "an address fits");
    format_address(frame_of(q, ADDRESS), address);
    zap->refused++;
    if (rp_log_limit_pass(&zap->refused_limit, peer_of(key), now_ms, &suppressed)) {
        rp_log_warn("refused a link: its key is not in --allow address=%s key=%s "
                    "suppressed=%" PRIu64,
                    address, key->text, suppressed);
    }
    answer(zap, q, "400", "the key is not allowed", "");
}

static void decide(struct rp_zap *zap, const struct rp_allow *allow, const struct question *q,
                   uint64_t now_ms) {
    struct rp_bytes key_bytes = frame_of(q, CREDENTIALS);
    bool is_ours = q->frames == FRAMES_COUNT && rp_bytes_eq_str(frame_of(q, VERSION), "1.0") &&
                   rp_bytes_eq_str(frame_of(q, MECHANISM), "CURVE") &&
                   key_bytes.len == RP_CURVE_KEY_BYTES;
    struct rp_curve_key key = {.text = ""};
    if (is_ours) {
        zmq_z85_encode(key.text, key_bytes.data, key_bytes.len);
        const struct rp_allow_entry *entry = rp_allow_find(allow, &key);
        if (entry != NULL) {
            char text[RP_ALLOW_TEXT_SIZE];
            rp_allow_text(entry, text);
            answer(zap, q, "200", "OK", text);
            return;
        }
    }
    refuse(zap, q, &key, now_ms);
}

bool rp_zap_serve(struct rp_zap *zap, const struct rp_allow *allow, uint64_t now_ms) {
    struct question question;
    for (int i = 0; i < RP_HUB_HANDSHAKES_PER_TURN; i++) {
        if (!receive(zap, &question)) {
            return false; /* the last look found nothing, so the descriptor tells of more */
        }
        decide(zap, allow, &question, now_ms);
    }
    return true;
}
