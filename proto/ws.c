#include "proto/ws.h"

#include "common/assert.h"

#include <openssl/evp.h>

#include <assert.h>

/* RFC 6455 5.2
 *
 *       0                   1                   2                   3
 *       0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *      +-+-+-+-+-------+-+-------------+-------------------------------+
 *      |F|R|R|R| opcode|M| Payload len |    Extended payload length    |
 *      |I|S|S|S|  (4)  |A|     (7)     |             (16/64)           |
 *      |N|V|V|V|       |S|             |   (if payload len==126/127)   |
 *      | |1|2|3|       |K|             |                               |
 *      +-+-+-+-+-------+-+-------------+ - - - - - - - - - - - - - - - +
 *
 * then four bytes of masking key if M is set, then the payload. */
enum {
    BIT_FIN = 0x80,
    BITS_RSV = 0x70,
    BITS_OPCODE = 0x0F,
    BIT_MASK = 0x80,
    BITS_LEN = 0x7F,
    LEN_16 = 126,
    LEN_64 = 127,
    OPCODE_CONTINUATION = 0,
    OPCODE_CONTROL = 8, /* this bit is set in the opcodes of control frames */
    KEY_BYTES = 4,

    /* The reserved bit permessage-deflate gave a meaning to: on the first frame of a data message,
     * the whole message is compressed (RFC 7692 6). */
    BIT_COMPRESSED = 0x40,
};

enum { RELEASE_NOTHING, RELEASE_CONTROL, RELEASE_MESSAGE };

static_assert(sizeof(struct rp_ws_reader) <= 64, "every idle connection holds a reader");

/* ---- UTF-8, a byte at a time ----
 * For messages that arrive in pieces, so that a bad one is refused at its first bad byte instead of
 * when all of it has been stored. RFC 3629 section 4. */

enum {
    UTF8_START,
    UTF8_LAST,   /* one more byte */
    UTF8_LAST_2, /* two more */
    UTF8_LAST_3, /* three more */
    UTF8_E0,     /* two more, not overlong */
    UTF8_ED,     /* two more, not a surrogate */
    UTF8_F0,     /* three more, not overlong */
    UTF8_F4,     /* three more, not past U+10FFFF */
    UTF8_BAD,
};

static uint8_t utf8_lead(uint8_t byte) {
    if (byte < 0x80) {
        return UTF8_START;
    }
    if (byte < 0xC2 || byte > 0xF4) {
        return UTF8_BAD;
    }
    if (byte < 0xE0) {
        return UTF8_LAST;
    }
    if (byte < 0xF0) {
        return byte == 0xE0 ? UTF8_E0 : byte == 0xED ? UTF8_ED : UTF8_LAST_2;
    }
    return byte == 0xF0 ? UTF8_F0 : byte == 0xF4 ? UTF8_F4 : UTF8_LAST_3;
}

static uint8_t utf8_step(uint8_t state, uint8_t byte) {
    static const struct {
        uint8_t low, high, next;
    } steps[] = {
        [UTF8_LAST] = {0x80, 0xBF, UTF8_START},    [UTF8_LAST_2] = {0x80, 0xBF, UTF8_LAST},
        [UTF8_LAST_3] = {0x80, 0xBF, UTF8_LAST_2}, [UTF8_E0] = {0xA0, 0xBF, UTF8_LAST},
        [UTF8_ED] = {0x80, 0x9F, UTF8_LAST},       [UTF8_F0] = {0x90, 0xBF, UTF8_LAST_2},
        [UTF8_F4] = {0x80, 0x8F, UTF8_LAST_2},
    };
    if (state == UTF8_START) {
        return utf8_lead(byte);
    }
    return byte >= steps[state].low && byte <= steps[state].high ? steps[state].next : UTF8_BAD;
}

static uint8_t utf8_feed(uint8_t state, const uint8_t *data, size_t len) {
    for (size_t i = 0; i < len && state != UTF8_BAD;) {
        uint64_t word;
        if (state == UTF8_START && len - i >= sizeof word) {
            memcpy(&word, data + i, sizeof word);
            if ((word & 0x8080808080808080u) == 0) {
                i += sizeof word;
                continue;
            }
        }
        state = utf8_step(state, data[i++]);
    }
    return state;
}

/* ---- The header of a frame ---- */

static uint8_t frame_opcode(const struct rp_ws_reader *r) {
    return r->header[0] & BITS_OPCODE;
}

static bool frame_is_control(const struct rp_ws_reader *r) {
    return (frame_opcode(r) & OPCODE_CONTROL) != 0;
}

static bool frame_is_fin(const struct rp_ws_reader *r) {
    return (r->header[0] & BIT_FIN) != 0;
}

static bool frame_begins_message(const struct rp_ws_reader *r) {
    return !frame_is_control(r) && frame_opcode(r) != OPCODE_CONTINUATION;
}

static bool frame_begins_compressed(const struct rp_ws_reader *r) {
    return frame_begins_message(r) && (r->header[0] & BIT_COMPRESSED) != 0;
}

static size_t message_bytes_max(const struct rp_ws_reader *r) {
    return r->buf.max - RP_WS_CONTROL_BYTES_MAX;
}

/* How long the header is, up to and without the key, judging by its first two bytes. */
static size_t header_len_without_key(const struct rp_ws_reader *r) {
    uint8_t len = r->header[1] & BITS_LEN;
    return 2 + (len == LEN_64 ? 8 : len == LEN_16 ? 2 : 0);
}

static size_t header_len_whole(const struct rp_ws_reader *r) {
    return header_len_without_key(r) + (r->role == RP_WS_SERVER ? KEY_BYTES : 0);
}

static const uint8_t *header_key(const struct rp_ws_reader *r) {
    return r->header + header_len_without_key(r);
}

/* The first two bytes: everything but the length. */
static enum rp_err check_start(const struct rp_ws_reader *r) {
    bool masked = (r->header[1] & BIT_MASK) != 0;
    bool ok = false;
    switch (frame_opcode(r)) {
    case OPCODE_CONTINUATION:
        ok = r->message_kind != 0;
        break;
    case RP_WS_TEXT:
    case RP_WS_BINARY:
        ok = r->message_kind == 0;
        break;
    case RP_WS_CLOSE:
    case RP_WS_PING:
    case RP_WS_PONG:
        ok = frame_is_fin(r) && (r->header[1] & BITS_LEN) <= RP_WS_CONTROL_BYTES_MAX;
        break;
    }
    int agreed = r->allow_deflate && frame_begins_message(r) ? BIT_COMPRESSED : 0;
    ok = ok && (r->header[0] & BITS_RSV & ~agreed) == 0;
    ok = ok && masked == (r->role == RP_WS_SERVER);
    return ok ? RP_OK : RP_E_PROTOCOL;
}

/* The length, once it is there: shortest form, no sign bit, and within what is left of the limit.
 * Nothing is allocated for it: a peer that announces much and sends little costs little. */
static enum rp_err check_length(struct rp_ws_reader *r) {
    uint8_t short_len = r->header[1] & BITS_LEN;
    uint64_t len = short_len < LEN_16 ? short_len : 0;
    for (size_t i = 2; i < header_len_without_key(r); i++) {
        len = len << 8 | r->header[i];
    }
    if ((short_len == LEN_16 && len < LEN_16) ||
        (short_len == LEN_64 && (len <= UINT16_MAX || len > INT64_MAX))) {
        return RP_E_PROTOCOL;
    }
    if (!frame_is_control(r) && len > message_bytes_max(r) - r->buf.len) {
        return RP_E_TOO_BIG;
    }
    r->frame_len = (uint32_t) len;
    r->frame_got = 0;
    return RP_OK;
}

static enum rp_err check_header(struct rp_ws_reader *r) {
    enum rp_err err = RP_OK;
    if (r->header_len == 2) {
        err = check_start(r);
    }
    if (err == RP_OK && r->header_len == header_len_without_key(r)) {
        err = check_length(r);
    }
    if (err == RP_OK && r->header_len == header_len_whole(r) && frame_begins_message(r)) {
        r->message_kind = frame_opcode(r);
        r->message_compressed = frame_begins_compressed(r);
        r->utf8 = UTF8_START;
    }
    return err;
}

/* The next length at which the header can be judged further. */
static size_t header_len_next(const struct rp_ws_reader *r) {
    if (r->header_len < 2) {
        return 2;
    }
    size_t without_key = header_len_without_key(r);
    return r->header_len < without_key ? without_key : header_len_whole(r);
}

static void advance(struct rp_bytes_mut *in, size_t n) {
    if (n > 0) { /* in->data may be NULL when it is empty */
        in->data += n;
        in->len -= n;
    }
}

/* RP_OK: the header is whole and good. */
static enum rp_err take_header(struct rp_ws_reader *r, struct rp_bytes_mut *in) {
    size_t until;
    while (r->header_len < (until = header_len_next(r))) {
        size_t missing = until - r->header_len;
        size_t n = in->len < missing ? in->len : missing;
        if (n > 0) {
            memcpy(r->header + r->header_len, in->data, n);
        }
        r->header_len = (uint8_t) (r->header_len + n);
        advance(in, n);
        if (n < missing) {
            return RP_MORE;
        }
        enum rp_err err = check_header(r);
        if (err != RP_OK) {
            return err;
        }
    }
    return RP_OK;
}

/* ---- The payload ---- */

/* Whether this frame alone is all there is to hand out, and lies whole in the input. */
static bool frame_is_here(const struct rp_ws_reader *r, const struct rp_bytes_mut *in) {
    bool alone = frame_is_control(r) || (frame_is_fin(r) && frame_begins_message(r));
    return alone && r->frame_got == 0 && in->len >= r->frame_len;
}

static enum rp_err take_in_place(struct rp_ws_reader *r, struct rp_bytes_mut *in,
                                 struct rp_bytes *ret_payload) {
    if (r->role == RP_WS_SERVER) {
        rp_ws_mask(in->data, r->frame_len, header_key(r), 0);
    }
    struct rp_bytes payload = rp_bytes(in->data, r->frame_len);
    if (frame_opcode(r) == RP_WS_TEXT && !frame_begins_compressed(r) &&
        !rp_bytes_is_utf8(payload)) {
        return RP_E_UTF8;
    }
    advance(in, r->frame_len);
    *ret_payload = payload;
    return RP_OK;
}

/* Appends what there is of the frame to the buffer. */
static enum rp_err take_part(struct rp_ws_reader *r, struct rp_bytes_mut *in) {
    size_t missing = r->frame_len - r->frame_got;
    size_t n = in->len < missing ? in->len : missing;
    if (n > 0) {
        uint8_t *place = rp_buf_reserve(&r->buf, n);
        RP_ASSERT(place != NULL); /* check_length saw to it */
        memcpy(place, in->data, n);
        if (r->role == RP_WS_SERVER) {
            rp_ws_mask(place, n, header_key(r), r->frame_got);
        }
        if (!frame_is_control(r) && r->message_kind == RP_WS_TEXT && !r->message_compressed) {
            r->utf8 = utf8_feed(r->utf8, place, n);
        }
        r->buf.len += n;
        r->frame_got += (uint32_t) n;
        advance(in, n);
    }
    if (r->utf8 == UTF8_BAD) {
        return RP_E_UTF8;
    }
    return n < missing ? RP_MORE : RP_OK;
}

/* RP_OK: *ret_payload is a whole message's or control frame's; RP_AGAIN: a fragment is done. */
static enum rp_err take_payload(struct rp_ws_reader *r, struct rp_bytes_mut *in,
                                struct rp_bytes *ret_payload) {
    if (frame_is_here(r, in)) {
        return take_in_place(r, in, ret_payload);
    }
    enum rp_err err = take_part(r, in);
    if (err != RP_OK) {
        return err;
    }
    if (frame_is_control(r)) {
        r->release = RELEASE_CONTROL;
        *ret_payload = rp_bytes(r->buf.data + r->buf.len - r->frame_len, r->frame_len);
        return RP_OK;
    }
    if (!frame_is_fin(r)) {
        return RP_AGAIN;
    }
    if (r->message_kind == RP_WS_TEXT && r->utf8 != UTF8_START) {
        return RP_E_UTF8;
    }
    r->release = RELEASE_MESSAGE;
    *ret_payload = r->buf.len > 0 ? rp_buf_bytes(&r->buf) : RP_BYTES_LIT("");
    return RP_OK;
}

/* RFC 6455 7.4 and IANA's registry: 1004 has no meaning; 1005, 1006 and 1015 are never on the wire;
 * 1016 to 2999 are unassigned; 3000 to 4999 are for libraries and applications. */
bool rp_ws_close_code_valid(uint16_t code) {
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

static enum rp_err parse_close(struct rp_bytes payload, struct rp_ws_msg *ret_msg) {
    struct rp_ws_msg msg = {
        .kind = RP_WS_CLOSE, .payload = payload, .close_code = RP_WS_CLOSE_NONE};
    if (payload.len == 1) {
        return RP_E_PROTOCOL;
    }
    if (payload.len >= 2) {
        msg.close_code = (uint16_t) (payload.data[0] << 8 | payload.data[1]);
        msg.payload = rp_bytes_skip(payload, 2);
        if (!rp_ws_close_code_valid(msg.close_code)) {
            return RP_E_PROTOCOL;
        }
        if (!rp_bytes_is_utf8(msg.payload)) {
            return RP_E_UTF8;
        }
    }
    *ret_msg = msg;
    return RP_OK;
}

static enum rp_err make_msg(struct rp_ws_reader *r, struct rp_bytes payload,
                            struct rp_ws_msg *ret_msg) {
    if (frame_opcode(r) == RP_WS_CLOSE) {
        r->closed = true;
        return parse_close(payload, ret_msg);
    }
    uint8_t kind = frame_is_control(r) ? frame_opcode(r) : r->message_kind;
    *ret_msg = (struct rp_ws_msg){.kind = (enum rp_ws_kind) kind, .payload = payload};
    if (!frame_is_control(r)) {
        ret_msg->compressed = r->message_compressed;
        r->message_kind = 0;
    }
    return RP_OK;
}

/* ---- The reader ---- */

void rp_ws_reader_init(struct rp_ws_reader *r, enum rp_ws_role role, size_t message_bytes_max) {
    RP_ASSERT(message_bytes_max <= RP_WS_MESSAGE_BYTES_LIMIT);
    *r = (struct rp_ws_reader){.role = (uint8_t) role};
    rp_buf_init(&r->buf, message_bytes_max + RP_WS_CONTROL_BYTES_MAX);
}

void rp_ws_reader_allow_deflate(struct rp_ws_reader *r) {
    r->allow_deflate = true;
}

void rp_ws_reader_done(struct rp_ws_reader *r) {
    rp_buf_done(&r->buf);
    r->release = RELEASE_NOTHING;
}

/* Gives up what the caller borrowed. Memory goes at once: idle connections are many, long messages
 * few. */
static void release_borrowed(struct rp_ws_reader *r) {
    if (r->release == RELEASE_CONTROL) {
        r->buf.len -= r->frame_len;
    }
    if (r->release == RELEASE_MESSAGE || (r->release == RELEASE_CONTROL && r->buf.len == 0)) {
        rp_buf_release(&r->buf);
    }
    r->release = RELEASE_NOTHING;
}

enum rp_err rp_ws_reader_next(struct rp_ws_reader *r, struct rp_bytes_mut *in,
                              struct rp_ws_msg *ret_msg) {
    if (r->err != RP_OK) {
        return (enum rp_err) r->err;
    }
    release_borrowed(r);
    if (r->closed) {
        rp_buf_release(&r->buf); /* a message that will never be finished */
        advance(in, in->len);
        return RP_MORE;
    }
    enum rp_err err;
    do {
        struct rp_bytes payload;
        err = take_header(r, in);
        if (err == RP_OK) {
            err = take_payload(r, in, &payload);
        }
        if (err == RP_OK) {
            err = make_msg(r, payload, ret_msg);
        }
        if (err == RP_OK || err == RP_AGAIN) {
            r->header_len = 0; /* the next frame */
        }
    } while (err == RP_AGAIN);
    if (err < 0) {
        r->err = (int8_t) err;
        rp_buf_release(&r->buf);
    }
    return err;
}

uint16_t rp_ws_close_code(enum rp_err err) {
    switch (err) {
    case RP_E_TOO_BIG:
        return 1009;
    case RP_E_UTF8:
        return 1007;
    case RP_E_PROTOCOL:
    case RP_E_INVALID:
        return 1002;
    default:
        return 1011;
    }
}

/* "octet i of the transformed data is the XOR of octet i of the original data with octet at index
 * i modulo 4 of the masking key" (RFC 6455 5.3); eight octets at a time. */
void rp_ws_mask(uint8_t *data, size_t len, const uint8_t key[4], size_t offset) {
    uint8_t keys[8];
    for (size_t i = 0; i < sizeof keys; i++) {
        keys[i] = key[(offset + i) % KEY_BYTES];
    }
    uint64_t key_word;
    memcpy(&key_word, keys, sizeof key_word);
    size_t i = 0;
    for (; i + sizeof key_word <= len; i += sizeof key_word) {
        uint64_t word;
        memcpy(&word, data + i, sizeof word);
        word ^= key_word;
        memcpy(data + i, &word, sizeof word);
    }
    for (; i < len; i++) {
        data[i] ^= keys[i % KEY_BYTES];
    }
}

/* ---- Writing ---- */

static void put_big_endian(uint8_t *out, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        out[i] = (uint8_t) (value >> 8 * (bytes - 1 - i));
    }
}

size_t rp_ws_header(uint8_t out[RP_WS_HEADER_MAX], enum rp_ws_kind kind, uint64_t payload_len) {
    RP_ASSERT((kind & OPCODE_CONTROL) == 0 || payload_len <= RP_WS_CONTROL_BYTES_MAX);
    RP_ASSERT(payload_len <= INT64_MAX);
    out[0] = (uint8_t) (BIT_FIN | kind);
    if (payload_len < LEN_16) {
        out[1] = (uint8_t) payload_len;
        return 2;
    }
    size_t bytes = payload_len <= UINT16_MAX ? 2 : 8;
    out[1] = bytes == 2 ? LEN_16 : LEN_64;
    put_big_endian(out + 2, payload_len, bytes);
    return 2 + bytes;
}

size_t rp_ws_header_deflated(uint8_t out[RP_WS_HEADER_MAX], enum rp_ws_kind kind,
                             uint64_t payload_len) {
    RP_ASSERT((kind & OPCODE_CONTROL) == 0);
    size_t len = rp_ws_header(out, kind, payload_len);
    out[0] |= BIT_COMPRESSED;
    return len;
}

size_t rp_ws_header_masked(uint8_t out[RP_WS_HEADER_MAX], enum rp_ws_kind kind,
                           uint64_t payload_len, const uint8_t key[4]) {
    size_t len = rp_ws_header(out, kind, payload_len);
    out[1] |= BIT_MASK;
    memcpy(out + len, key, KEY_BYTES);
    return len + KEY_BYTES;
}

/* A frame whose payload the caller fills. */
static struct rp_blob *frame_new(enum rp_ws_kind kind, size_t payload_len) {
    uint8_t header[RP_WS_HEADER_MAX];
    size_t header_len = rp_ws_header(header, kind, payload_len);
    struct rp_blob *frame = rp_blob_new(header_len + payload_len);
    memcpy(frame->data, header, header_len);
    return frame;
}

static uint8_t *payload_of(struct rp_blob *frame, size_t payload_len) {
    return frame->data + frame->len - payload_len;
}

struct rp_blob *rp_ws_frame(enum rp_ws_kind kind, struct rp_bytes payload) {
    struct rp_blob *frame = frame_new(kind, payload.len);
    if (payload.len > 0) {
        memcpy(payload_of(frame, payload.len), payload.data, payload.len);
    }
    return frame;
}

struct rp_blob *rp_ws_frame_deflated(enum rp_ws_kind kind, struct rp_bytes payload) {
    RP_ASSERT((kind & OPCODE_CONTROL) == 0);
    struct rp_blob *frame = rp_ws_frame(kind, payload);
    frame->data[0] |= BIT_COMPRESSED;
    return frame;
}

/* What fits of a reason, whole characters only. */
static struct rp_bytes cut_reason(const char *text) {
    struct rp_bytes reason = rp_bytes_str(text);
    if (!rp_bytes_is_utf8(reason)) {
        return rp_bytes("", 0);
    }
    if (reason.len > RP_WS_REASON_BYTES_MAX) {
        reason.len = RP_WS_REASON_BYTES_MAX;
        while ((reason.data[reason.len] & 0xC0) == 0x80) {
            reason.len--;
        }
    }
    return reason;
}

struct rp_blob *rp_ws_close_frame(uint16_t code, const char *reason) {
    if (code == RP_WS_CLOSE_NONE) {
        return frame_new(RP_WS_CLOSE, 0);
    }
    RP_ASSERT(rp_ws_close_code_valid(code));
    struct rp_bytes text = cut_reason(reason);
    struct rp_blob *frame = frame_new(RP_WS_CLOSE, 2 + text.len);
    uint8_t *payload = payload_of(frame, 2 + text.len);
    put_big_endian(payload, code, 2);
    if (text.len > 0) {
        memcpy(payload + 2, text.data, text.len);
    }
    return frame;
}

/* ---- Handshake ---- */

bool rp_ws_key_valid(struct rp_bytes key) {
    if (key.len != 24 || key.data[22] != '=' || key.data[23] != '=') {
        return false;
    }
    for (size_t i = 0; i < 22; i++) {
        uint8_t c = key.data[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/')) {
            return false;
        }
    }
    return true;
}

void rp_ws_accept(struct rp_bytes key, char ret_accept[29]) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    RP_ASSERT(sha != NULL);
    bool ok = EVP_DigestInit_ex(sha, EVP_sha1(), NULL) == 1 &&
              EVP_DigestUpdate(sha, key.data, key.len) == 1 &&
              EVP_DigestUpdate(sha, guid, sizeof guid - 1) == 1 &&
              EVP_DigestFinal_ex(sha, digest, &digest_len) == 1;
    EVP_MD_CTX_free(sha);
    RP_ASSERT(ok && digest_len == 20);
    EVP_EncodeBlock((unsigned char *) ret_accept, digest, (int) digest_len);
}
