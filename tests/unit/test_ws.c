/* Every stream of bytes is fed whole, byte by byte, and split in two at every point, and must give
 * the same transcript: one line of text such as "text(hello) close(1000,bye) error(protocol
 * error)". */
#include "proto/ws.h"

#include "common/alloc.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { MESSAGE_BYTES_MAX = 70000, STREAM_BYTES_MAX = 400000 };

static bool deflate_allowed; /* in the readers that are made */

/* ---- Making streams ---- */

/* One frame, well-formed or not. */
struct frame {
    uint8_t first;       /* FIN, RSV, opcode */
    const char *payload; /* NULL ends a list */
};

#define FIN 0x80

static const uint8_t test_key[4] = {0x37, 0xFA, 0x21, 0x3D};

/* Written apart from the code under test, byte by byte. */
static void add_frame(struct rp_buf *stream, enum rp_ws_role reader, uint8_t first,
                      const void *payload, size_t len) {
    uint8_t *out = rp_buf_reserve(stream, len + 14);
    assert_non_null(out);
    size_t at = 0;
    uint8_t mask_bit = reader == RP_WS_SERVER ? 0x80 : 0;
    out[at++] = first;
    if (len < 126) {
        out[at++] = (uint8_t) (mask_bit | len);
    } else if (len < 65536) {
        out[at++] = mask_bit | 126;
        out[at++] = (uint8_t) (len >> 8);
        out[at++] = (uint8_t) len;
    } else {
        out[at++] = mask_bit | 127;
        for (int shift = 56; shift >= 0; shift -= 8) {
            out[at++] = (uint8_t) (len >> shift);
        }
    }
    if (mask_bit) {
        memcpy(out + at, test_key, 4);
        at += 4;
    }
    for (size_t i = 0; i < len; i++) {
        out[at++] = ((const uint8_t *) payload)[i] ^ (mask_bit ? test_key[i & 3] : 0);
    }
    stream->len += at;
}

static void add_frames(struct rp_buf *stream, enum rp_ws_role reader, const struct frame *frames) {
    for (; frames->payload != NULL; frames++) {
        add_frame(stream, reader, frames->first, frames->payload, strlen(frames->payload));
    }
}

/* ---- Reading them ---- */

static void transcribe(struct rp_buf *out, const struct rp_ws_msg *msg) {
    static const char *const names[] = {[RP_WS_TEXT] = "text",
                                        [RP_WS_BINARY] = "binary",
                                        [RP_WS_CLOSE] = "close",
                                        [RP_WS_PING] = "ping",
                                        [RP_WS_PONG] = "pong"};
    assert_int_equal(rp_buf_printf(out, "%s%s%s(", out->len ? " " : "",
                                   msg->compressed ? "deflated " : "", names[msg->kind]),
                     RP_OK);
    if (msg->kind == RP_WS_CLOSE) {
        assert_int_equal(rp_buf_printf(out, "%d,", msg->close_code), RP_OK);
    } else {
        assert_int_equal(msg->close_code, 0);
    }
    if (msg->payload.len > 60) {
        uint64_t sum = 0;
        for (size_t i = 0; i < msg->payload.len; i++) {
            sum = sum * 31 + msg->payload.data[i];
        }
        assert_int_equal(
            rp_buf_printf(out, "%zu bytes, sum %llx", msg->payload.len, (unsigned long long) sum),
            RP_OK);
    } else {
        assert_int_equal(rp_buf_put(out, msg->payload), RP_OK);
    }
    assert_int_equal(rp_buf_put_str(out, ")"), RP_OK);
}

/* Feeds a copy, so that a byte read too far or unmasked too far is seen. Whether the reader goes
 * on. */
static bool feed(struct rp_ws_reader *r, struct rp_bytes piece, struct rp_buf *out) {
    uint8_t *copy = rp_alloc(piece.len + 1);
    memcpy(copy, piece.data, piece.len);
    struct rp_bytes_mut in = {copy, piece.len};
    struct rp_ws_msg msg;
    enum rp_err err;
    while ((err = rp_ws_reader_next(r, &in, &msg)) == RP_OK) {
        transcribe(out, &msg);
    }
    if (err == RP_MORE) {
        assert_int_equal(in.len, 0);
        assert_ptr_equal(in.data, copy + piece.len);
    } else {
        assert_int_equal(rp_buf_printf(out, "%serror(%s)", out->len ? " " : "", rp_strerror(err)),
                         RP_OK);
        assert_int_equal(rp_ws_reader_next(r, &in, &msg), err);
    }
    assert_int_equal(copy[piece.len], 0);
    free(copy);
    return err == RP_MORE;
}

/* Feeds pieces of first, then step, step, … bytes; gives the transcript as a C string. */
static char *read_in_pieces(enum rp_ws_role role, size_t message_bytes_max, struct rp_bytes stream,
                            size_t first, size_t step) {
    struct rp_ws_reader r;
    struct rp_buf out;
    rp_ws_reader_init(&r, role, message_bytes_max);
    if (deflate_allowed) {
        rp_ws_reader_allow_deflate(&r);
    }
    rp_buf_init(&out, 1 << 20);
    size_t n = first < stream.len ? first : stream.len;
    while (feed(&r, rp_bytes(stream.data, n), &out) && n < stream.len) {
        stream = rp_bytes_skip(stream, n);
        n = step < stream.len ? step : stream.len;
    }
    rp_ws_reader_done(&r);
    assert_int_equal(rp_buf_put(&out, rp_bytes("", 1)), RP_OK);
    return (char *) out.data;
}

static void expect_from(const char *name, enum rp_ws_role role, size_t max, struct rp_bytes stream,
                        size_t first, size_t step, const char *expected) {
    char *got = read_in_pieces(role, max, stream, first, step);
    if (strcmp(got, expected) != 0) {
        fail_msg("%s, as %s, pieces of %zu then %zu:\n  got      %s\n  expected %s", name,
                 role == RP_WS_SERVER ? "server" : "client", first, step, got, expected);
    }
    free(got);
}

static void expect(const char *name, enum rp_ws_role role, size_t max, struct rp_bytes stream,
                   const char *expected) {
    expect_from(name, role, max, stream, stream.len, stream.len, expected);
    expect_from(name, role, max, stream, 1, 1, expected);
    for (size_t split = 1; split<stream.len; split += stream.len> 2000 ? 997 : 1) {
        expect_from(name, role, max, stream, split, stream.len, expected);
    }
}

/* ---- Messages ---- */

struct conversation {
    const char *name;
    struct frame frames[6];
    const char *expected;
};

static const struct conversation conversations[] = {
    {"one text", {{FIN | 1, "hello"}}, "text(hello)"},
    {"empty text", {{FIN | 1, ""}}, "text()"},
    {"one binary", {{FIN | 2, "\xFF\xFE"}}, "binary(\xFF\xFE)"},
    {"three in a row",
     {{FIN | 1, "a"}, {FIN | 2, "b"}, {FIN | 1, "cd"}},
     "text(a) binary(b) text(cd)"},
    {"fragments", {{1, "one "}, {0, "two "}, {FIN | 0, "three"}}, "text(one two three)"},
    {"empty fragments", {{1, ""}, {0, ""}, {FIN | 0, ""}, {FIN | 2, "x"}}, "text() binary(x)"},
    {"message after fragments", {{2, "a"}, {FIN | 0, "b"}, {FIN | 1, "c"}}, "binary(ab) text(c)"},
    {"control between fragments",
     {{1, "he"}, {FIN | 9, "ping!"}, {0, "ll"}, {FIN | 10, ""}, {FIN | 0, "o"}},
     "ping(ping!) pong() text(hello)"},
    {"control before any data of the message",
     {{1, ""}, {FIN | 9, "p"}, {FIN | 0, "x"}},
     "ping(p) text(x)"},
    {"close without code", {{FIN | 8, ""}}, "close(1005,)"},
    {"close with reason",
     {{FIN | 8, "\x03\xE8"
                "bye"}},
     "close(1000,bye)"},
    {"nothing after close",
     {{FIN | 8, "\x03\xE9"}, {FIN | 1, "x"}, {FIN | 0x71, "bad"}},
     "close(1001,)"},
    {"close between fragments",
     {{1, "never"}, {FIN | 8, "\x0F\xA0"}, {FIN | 0, "x"}},
     "close(4000,)"},
    {"close of one byte", {{FIN | 8, "\x03"}}, "error(protocol error)"},
    {"close reason not UTF-8", {{FIN | 8, "\x03\xE8\xFF"}}, "error(text is not valid UTF-8)"},
    {"continuation without start",
     {{FIN | 1, "a"}, {FIN | 0, "b"}},
     "text(a) error(protocol error)"},
    {"continuation after the end",
     {{1, "a"}, {FIN | 0, "b"}, {FIN | 0, "c"}},
     "text(ab) error(protocol error)"},
    {"new message among fragments", {{1, "a"}, {FIN | 1, "b"}}, "error(protocol error)"},
    {"new fragments among fragments", {{2, "a"}, {2, "b"}}, "error(protocol error)"},
    {"RSV1", {{FIN | 0x41, "a"}}, "error(protocol error)"},
    {"RSV2", {{FIN | 0x21, "a"}}, "error(protocol error)"},
    {"RSV3", {{FIN | 0x11, "a"}}, "error(protocol error)"},
    {"RSV1 on a ping", {{FIN | 0x49, "a"}}, "error(protocol error)"},
    {"RSV1 on a continuation", {{1, "a"}, {FIN | 0x40, "b"}}, "error(protocol error)"},
    {"ping in fragments", {{9, "a"}}, "error(protocol error)"},
    {"pong in fragments", {{10, "a"}}, "error(protocol error)"},
    {"close in fragments", {{8, ""}}, "error(protocol error)"},
    {"opcode 3", {{FIN | 3, "a"}}, "error(protocol error)"},
    {"opcode 4", {{FIN | 4, "a"}}, "error(protocol error)"},
    {"opcode 5", {{FIN | 5, "a"}}, "error(protocol error)"},
    {"opcode 6", {{FIN | 6, "a"}}, "error(protocol error)"},
    {"opcode 7", {{FIN | 7, "a"}}, "error(protocol error)"},
    {"opcode 11", {{FIN | 11, "a"}}, "error(protocol error)"},
    {"opcode 12", {{FIN | 12, "a"}}, "error(protocol error)"},
    {"opcode 13", {{FIN | 13, "a"}}, "error(protocol error)"},
    {"opcode 14", {{FIN | 14, "a"}}, "error(protocol error)"},
    {"opcode 15", {{FIN | 15, "a"}}, "error(protocol error)"},
    {"an error stays", {{FIN | 3, "a"}, {FIN | 1, "b"}}, "error(protocol error)"},
};

static void expect_conversation(const struct conversation *c, size_t max) {
    for (int role = RP_WS_SERVER; role <= RP_WS_CLIENT; role++) {
        struct rp_buf stream;
        rp_buf_init(&stream, STREAM_BYTES_MAX);
        add_frames(&stream, role, c->frames);
        expect(c->name, role, max, rp_buf_bytes(&stream), c->expected);
        rp_buf_done(&stream);
    }
}

static void test_conversations_give_their_messages(void **state) {
    (void) state;
    for (size_t i = 0; i < sizeof conversations / sizeof *conversations; i++) {
        expect_conversation(&conversations[i], MESSAGE_BYTES_MAX);
    }
}

/* ---- RSV1, where permessage-deflate was agreed ---- */

#define RSV1 0x40

static const struct conversation deflated[] = {
    {"plain messages as before", {{FIN | 1, "a"}, {FIN | 2, "b"}}, "text(a) binary(b)"},
    {"one", {{FIN | RSV1 | 2, "abc"}}, "deflated binary(abc)"},
    {"a text that is no UTF-8", {{FIN | RSV1 | 1, "\xFF\xC3"}}, "deflated text(\xFF\xC3)"},
    {"empty", {{FIN | RSV1 | 1, ""}}, "deflated text()"},
    {"fragments", {{RSV1 | 1, "\xFF"}, {0, "\x80"}, {FIN | 0, "x"}}, "deflated text(\xFF\x80x)"},
    {"control between fragments",
     {{RSV1 | 1, "\xFF"}, {FIN | 9, "\xFF"}, {FIN | 0, "\xFE"}},
     "ping(\xFF) deflated text(\xFF\xFE)"},
    {"compressed and plain in turn",
     {{FIN | RSV1 | 1, "\xFF"}, {FIN | 1, "b"}, {RSV1 | 2, "c"}, {FIN | 0, "d"}, {FIN | 2, "e"}},
     "deflated text(\xFF) text(b) deflated binary(cd) binary(e)"},
    {"a plain text is judged again",
     {{FIN | RSV1 | 1, "\xFF"}, {FIN | 1, "\xFF"}},
     "deflated text(\xFF) error(text is not valid UTF-8)"},
    {"a plain text in fragments is judged again",
     {{RSV1 | 1, "\xFF"}, {FIN | 0, ""}, {1, "\xC3"}, {FIN | 0, ""}},
     "deflated text(\xFF) error(text is not valid UTF-8)"},
    {"on a continuation", {{RSV1 | 1, "a"}, {FIN | RSV1 | 0, "b"}}, "error(protocol error)"},
    {"on the continuation of a plain one",
     {{1, "a"}, {FIN | RSV1 | 0, "b"}},
     "error(protocol error)"},
    {"on a ping", {{FIN | RSV1 | 9, "a"}}, "error(protocol error)"},
    {"on a pong", {{FIN | RSV1 | 10, "a"}}, "error(protocol error)"},
    {"on a close", {{FIN | RSV1 | 8, ""}}, "error(protocol error)"},
    {"on opcode 3", {{FIN | RSV1 | 3, ""}}, "error(protocol error)"},
    {"with RSV2", {{FIN | RSV1 | 0x20 | 1, "a"}}, "error(protocol error)"},
    {"with RSV3", {{FIN | RSV1 | 0x10 | 1, "a"}}, "error(protocol error)"},
    {"too big as it arrives", {{FIN | RSV1 | 1, "123456789"}}, "error(larger than the limit)"},
    {"too big in the sum",
     {{RSV1 | 1, "12345678"}, {FIN | 0, "9"}},
     "error(larger than the limit)"},
};

static void test_compressed_messages_are_marked(void **state) {
    (void) state;
    deflate_allowed = true;
    for (size_t i = 0; i < sizeof deflated / sizeof *deflated; i++) {
        expect_conversation(&deflated[i], 8);
    }
    static const uint8_t payload[] = {0xF2, 0x48};
    struct rp_blob *frame = rp_ws_frame_deflated(RP_WS_TEXT, rp_bytes(payload, 2));
    assert_int_equal(frame->data[0], FIN | RSV1 | 1);
    expect("blob", RP_WS_CLIENT, 8, rp_blob_bytes(frame), "deflated text(\xF2H)");
    uint8_t header[RP_WS_HEADER_MAX];
    assert_int_equal(rp_ws_header_deflated(header, RP_WS_TEXT, 2), 2);
    assert_memory_equal(header, frame->data, 2);
    rp_blob_unref(frame);
    deflate_allowed = false;
}

static void test_utf8_is_judged_across_fragments(void **state) {
    (void) state;
    static const struct {
        const char *text;
        bool valid;
    } texts[] = {
        {"plain ASCII, long enough for whole words", true},
        {"\xC3\xA4", true},
        {"\xE2\x82\xAC uro", true},
        {"\xF0\x9F\x98\x80 1234567890", true},
        {"\xEE\x80\x80\xEF\xBF\xBF", true},
        {"\xED\x9F\xBF", true},
        {"\xF4\x8F\xBF\xBF", true},
        {"\xE0\xA0\x80\xF0\x90\x80\x80\xF1\x80\x80\x80", true},
        {"12345678\x80", false},
        {"\xC0\x80", false},
        {"\xC1\xBF", false},
        {"\xE0\x9F\xBF", false},
        {"\xED\xA0\x80", false},
        {"\xED\xBF\xBF", false},
        {"\xF0\x8F\xBF\xBF", false},
        {"\xF4\x90\x80\x80", false},
        {"\xF5\x80\x80\x80", false},
        {"\xFF", false},
        {"\xC3", false},
        {"abcdefgh\xE2\x82", false},
        {"\xF0\x9F\x98", false},
        {"\xC3\xC3", false},
        {"\xE2\x82"
         "a",
         false},
        {"\xF0\x9F\x98"
         "a",
         false},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct rp_bytes text = rp_bytes_str(texts[i].text);
        char expected[100];
        snprintf(expected, sizeof expected, texts[i].valid ? "text(%s)" : "error(%s)",
                 texts[i].valid ? texts[i].text : rp_strerror(RP_E_UTF8));
        struct rp_buf stream;
        rp_buf_init(&stream, STREAM_BYTES_MAX);
        add_frame(&stream, RP_WS_SERVER, FIN | 1, text.data, text.len);
        expect(texts[i].text, RP_WS_SERVER, 1000, rp_buf_bytes(&stream), expected);
        for (size_t cut = 0; cut <= text.len; cut++) {
            rp_buf_clear(&stream);
            add_frame(&stream, RP_WS_SERVER, 1, text.data, cut);
            add_frame(&stream, RP_WS_SERVER, FIN | 0, text.data + cut, text.len - cut);
            expect(texts[i].text, RP_WS_SERVER, 1000, rp_buf_bytes(&stream), expected);
        }
        rp_buf_done(&stream);
    }
}

static void test_utf8_fault_is_found_before_the_message_ends(void **state) {
    (void) state;
    /* a frame of 1000 bytes announced, three sent */
    expect("first bad byte", RP_WS_CLIENT, 1000,
           RP_BYTES_LIT("\x81\x7E\x03\xE8"
                        "a\xFF"),
           "error(text is not valid UTF-8)");
    expect("first fragment", RP_WS_CLIENT, 1000, RP_BYTES_LIT("\x01\x02\xC3\xC3"),
           "error(text is not valid UTF-8)");
}

static void test_close_codes_follow_the_registry(void **state) {
    (void) state;
    for (unsigned code = 0; code <= 0xFFFF; code++) {
        bool valid = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                     (code >= 3000 && code <= 4999);
        uint8_t bytes[] = {0x88, 2, (uint8_t) (code >> 8), (uint8_t) code};
        struct rp_ws_reader r;
        struct rp_ws_msg msg;
        struct rp_bytes_mut in = {bytes, sizeof bytes};
        rp_ws_reader_init(&r, RP_WS_CLIENT, 100);
        assert_int_equal(rp_ws_reader_next(&r, &in, &msg), valid ? RP_OK : RP_E_PROTOCOL);
        if (valid) {
            assert_int_equal(msg.close_code, code);
        }
        rp_ws_reader_done(&r);
    }
}

/* ---- Headers ---- */

static void test_headers_malformed_are_refused(void **state) {
    (void) state;
    const struct {
        const char *name;
        enum rp_ws_role role;
        struct rp_bytes stream;
        enum rp_err err;
    } cases[] = {
        {"unmasked to a server", RP_WS_SERVER, RP_BYTES_LIT("\x81\x01"), RP_E_PROTOCOL},
        {"unmasked ping to a server", RP_WS_SERVER, RP_BYTES_LIT("\x89\x00"), RP_E_PROTOCOL},
        {"masked to a client", RP_WS_CLIENT, RP_BYTES_LIT("\x81\x81"), RP_E_PROTOCOL},
        {"125 in 16 bits", RP_WS_CLIENT, RP_BYTES_LIT("\x82\x7E\x00\x7D"), RP_E_PROTOCOL},
        {"0 in 16 bits", RP_WS_CLIENT, RP_BYTES_LIT("\x82\x7E\x00\x00"), RP_E_PROTOCOL},
        {"65535 in 64 bits", RP_WS_CLIENT, RP_BYTES_LIT("\x82\x7F\0\0\0\0\0\0\xFF\xFF"),
         RP_E_PROTOCOL},
        {"1 in 64 bits", RP_WS_CLIENT, RP_BYTES_LIT("\x82\x7F\0\0\0\0\0\0\0\1"), RP_E_PROTOCOL},
        {"top bit", RP_WS_CLIENT, RP_BYTES_LIT("\x82\x7F\x80\0\0\0\0\1\0\0"), RP_E_PROTOCOL},
        {"all bits", RP_WS_CLIENT, RP_BYTES_LIT("\x82\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
         RP_E_PROTOCOL},
        {"all but the top bit", RP_WS_CLIENT,
         RP_BYTES_LIT("\x82\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), RP_E_TOO_BIG},
        {"4 GiB and one", RP_WS_CLIENT, RP_BYTES_LIT("\x82\x7F\0\0\0\1\0\0\0\1"), RP_E_TOO_BIG},
        {"to a server, before the key is there", RP_WS_SERVER,
         RP_BYTES_LIT("\x82\xFF\0\0\0\0\1\0\0\0"), RP_E_TOO_BIG},
        {"ping of 126", RP_WS_CLIENT, RP_BYTES_LIT("\x89\x7E"), RP_E_PROTOCOL},
        {"close of 64 bits", RP_WS_CLIENT, RP_BYTES_LIT("\x88\x7F"), RP_E_PROTOCOL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[100];
        snprintf(expected, sizeof expected, "error(%s)", rp_strerror(cases[i].err));
        expect(cases[i].name, cases[i].role, 100000, cases[i].stream, expected);
        /* and not before it is certain */
        expect(cases[i].name, cases[i].role, 100000,
               rp_bytes(cases[i].stream.data, cases[i].stream.len - 1), "");
    }
}

static void test_lengths_at_every_border_are_read(void **state) {
    (void) state;
    static const size_t lens[] = {0, 1, 7, 8, 9, 124, 125, 126, 127, 128, 65535, 65536, 70000};
    uint8_t *payload = rp_alloc(MESSAGE_BYTES_MAX + 1);
    for (size_t i = 0; i < MESSAGE_BYTES_MAX; i++) {
        payload[i] = (uint8_t) (i * 131 + i / 255);
    }
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        struct rp_ws_msg msg = {.kind = RP_WS_BINARY, .payload = rp_bytes(payload, lens[i])};
        struct rp_buf expected;
        struct rp_buf stream;
        rp_buf_init(&expected, 1000);
        rp_buf_init(&stream, STREAM_BYTES_MAX);
        transcribe(&expected, &msg);
        assert_int_equal(rp_buf_put_str(&expected, " text(next)"), RP_OK);
        assert_int_equal(rp_buf_put(&expected, rp_bytes("", 1)), RP_OK);
        for (int role = RP_WS_SERVER; role <= RP_WS_CLIENT; role++) {
            rp_buf_clear(&stream);
            add_frame(&stream, role, FIN | 2, payload, lens[i]);
            add_frame(&stream, role, FIN | 1, "next", 4);
            expect("border", role, MESSAGE_BYTES_MAX, rp_buf_bytes(&stream),
                   (char *) expected.data);
        }
        rp_buf_done(&expected);
        rp_buf_done(&stream);
    }
    free(payload);
}

/* ---- Limits and memory ---- */

static void test_limit_holds_for_one_frame_and_for_the_sum(void **state) {
    (void) state;
    static const struct conversation cases[] = {
        {"just fits", {{FIN | 1, "12345678"}}, "text(12345678)"},
        {"one more", {{FIN | 1, "123456789"}}, "error(larger than the limit)"},
        {"fragments just fit", {{1, "1234"}, {0, "567"}, {FIN | 0, "8"}}, "text(12345678)"},
        {"fragments one more",
         {{1, "1234"}, {0, "5678"}, {FIN | 0, "9"}},
         "error(larger than the limit)"},
        {"control frames do not count",
         {{1, "1234"}, {FIN | 9, "a long ping"}, {FIN | 0, "5678"}},
         "ping(a long ping) text(12345678)"},
        {"a full message still takes a ping",
         {{1, "12345678"}, {FIN | 9, "a long ping"}, {FIN | 0, ""}},
         "ping(a long ping) text(12345678)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rp_buf stream;
        rp_buf_init(&stream, STREAM_BYTES_MAX);
        add_frames(&stream, RP_WS_SERVER, cases[i].frames);
        expect(cases[i].name, RP_WS_SERVER, 8, rp_buf_bytes(&stream), cases[i].expected);
        rp_buf_done(&stream);
    }
    expect("refused by its header alone", RP_WS_CLIENT, 8, RP_BYTES_LIT("\x81\x09"),
           "error(larger than the limit)");
    expect("a limit of nothing", RP_WS_CLIENT, 0, RP_BYTES_LIT("\x81\x00\x81\x01"),
           "text() error(larger than the limit)");
}

static void test_announced_length_is_not_allocated(void **state) {
    (void) state;
    struct rp_ws_reader r;
    struct rp_ws_msg msg;
    /* 1 GiB announced, one byte sent */
    uint8_t bytes[] = {0x82, 127, 0, 0, 0, 0, 0x40, 0, 0, 0, 'x'};
    struct rp_bytes_mut in = {bytes, sizeof bytes};
    rp_ws_reader_init(&r, RP_WS_CLIENT, RP_WS_MESSAGE_BYTES_LIMIT);
    assert_int_equal(rp_ws_reader_next(&r, &in, &msg), RP_MORE);
    assert_int_equal(in.len, 0);
    assert_true(r.buf.capacity <= 4096);
    rp_ws_reader_done(&r);
}

static void test_idle_reader_holds_no_memory(void **state) {
    (void) state;
    static const struct frame frames[] = {{1, "frag"},       {FIN | 9, "ping"},  {FIN | 0, "ments"},
                                          {FIN | 9, "ping"}, {FIN | 1, "whole"}, {0, NULL}};
    struct rp_ws_reader r;
    struct rp_ws_msg msg;
    struct rp_buf stream;
    rp_buf_init(&stream, STREAM_BYTES_MAX);
    add_frames(&stream, RP_WS_SERVER, frames);
    rp_ws_reader_init(&r, RP_WS_SERVER, 100);
    size_t messages = 0;
    for (size_t i = 0; i < stream.len; i++) {
        struct rp_bytes_mut in = {stream.data + i, 1};
        enum rp_err err;
        while ((err = rp_ws_reader_next(&r, &in, &msg)) == RP_OK) {
            messages++;
        }
        assert_int_equal(err, RP_MORE);
        if (messages >= 2 && r.header_len == 0) {
            assert_null(r.buf.data);
        }
    }
    assert_int_equal(messages, 4);
    assert_null(r.buf.data);
    assert_true(sizeof r <= 64);
    rp_ws_reader_done(&r);
    rp_buf_done(&stream);
}

static void test_whole_frame_is_not_copied(void **state) {
    (void) state;
    struct rp_ws_reader r;
    struct rp_ws_msg msg;
    struct rp_buf stream;
    rp_buf_init(&stream, STREAM_BYTES_MAX);
    add_frame(&stream, RP_WS_SERVER, FIN | 1, "in place", 8);
    rp_ws_reader_init(&r, RP_WS_SERVER, 100);
    struct rp_bytes_mut in = {stream.data, stream.len};
    assert_int_equal(rp_ws_reader_next(&r, &in, &msg), RP_OK);
    assert_ptr_equal(msg.payload.data, stream.data + 6);
    assert_null(r.buf.data);
    rp_ws_reader_done(&r);
    rp_buf_done(&stream);
}

static void test_done_frees_a_message_in_part(void **state) {
    (void) state;
    struct rp_ws_reader r;
    struct rp_ws_msg msg;
    uint8_t bytes[] = {0x01, 3, 'a', 'b', 'c', 0x89, 2, 'p'};
    struct rp_bytes_mut in = {bytes, sizeof bytes};
    rp_ws_reader_init(&r, RP_WS_CLIENT, 100);
    assert_int_equal(rp_ws_reader_next(&r, &in, &msg), RP_MORE);
    assert_non_null(r.buf.data);
    rp_ws_reader_done(&r); /* the leak checker sees to the rest */
    rp_ws_reader_done(&(struct rp_ws_reader){.role = RP_WS_SERVER});
}

/* ---- Masking, writing, handshake ---- */

static void test_mask_equals_the_definition_at_every_alignment(void **state) {
    (void) state;
    uint8_t original[80];
    uint8_t data[80];
    for (size_t i = 0; i < sizeof original; i++) {
        original[i] = (uint8_t) (i * 7 + 3);
    }
    for (size_t start = 0; start < 9; start++) {
        for (size_t len = 0; len + start <= 70; len++) {
            for (size_t offset = 0; offset < 9; offset++) {
                memcpy(data, original, sizeof data);
                rp_ws_mask(data + start, len, test_key, offset);
                for (size_t i = 0; i < sizeof data; i++) {
                    bool inside = i >= start && i < start + len;
                    uint8_t key = inside ? test_key[(i - start + offset) % 4] : 0;
                    assert_int_equal(data[i], original[i] ^ key);
                }
            }
        }
    }
}

static void test_headers_written_are_minimal_and_read_back(void **state) {
    (void) state;
    static const struct {
        uint64_t len;
        size_t header_len;
    } cases[] = {{0, 2}, {125, 2}, {126, 4}, {65535, 4}, {65536, 10}, {1u << 30, 10}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t header[RP_WS_HEADER_MAX + 1];
        struct rp_ws_reader r;
        struct rp_ws_msg msg;
        size_t len = rp_ws_header(header, RP_WS_BINARY, cases[i].len);
        assert_int_equal(len, cases[i].header_len);
        rp_ws_reader_init(&r, RP_WS_CLIENT, RP_WS_MESSAGE_BYTES_LIMIT);
        assert_int_equal(rp_ws_reader_next(&r, &(struct rp_bytes_mut){header, len}, &msg),
                         cases[i].len == 0 ? RP_OK : RP_MORE);
        assert_int_equal(r.frame_len, cases[i].len);
        rp_ws_reader_done(&r);

        len = rp_ws_header_masked(header, RP_WS_BINARY, cases[i].len, test_key);
        assert_int_equal(len, cases[i].header_len + 4);
        assert_memory_equal(header + len - 4, test_key, 4);
        rp_ws_reader_init(&r, RP_WS_SERVER, RP_WS_MESSAGE_BYTES_LIMIT);
        assert_int_equal(rp_ws_reader_next(&r, &(struct rp_bytes_mut){header, len}, &msg),
                         cases[i].len == 0 ? RP_OK : RP_MORE);
        assert_int_equal(r.frame_len, cases[i].len);
        rp_ws_reader_done(&r);
    }
}

static void expect_blob(struct rp_blob *blob, const char *expected) {
    expect("blob", RP_WS_CLIENT, MESSAGE_BYTES_MAX, rp_blob_bytes(blob), expected);
    rp_blob_unref(blob);
}

static void test_frames_written_are_read_back(void **state) {
    (void) state;
    expect_blob(rp_ws_frame(RP_WS_TEXT, rp_bytes_str("hello")), "text(hello)");
    expect_blob(rp_ws_frame(RP_WS_TEXT, rp_bytes(NULL, 0)), "text()");
    expect_blob(rp_ws_frame(RP_WS_PONG, rp_bytes_str("p")), "pong(p)");
    expect_blob(rp_ws_close_frame(1001, "going away"), "close(1001,going away)");
    expect_blob(rp_ws_close_frame(4999, NULL), "close(4999,)");
    expect_blob(rp_ws_close_frame(RP_WS_CLOSE_NONE, "unsaid"), "close(1005,)");
    expect_blob(rp_ws_close_frame(1000, "not UTF-8 \xFF"), "close(1000,)");
    struct rp_blob *big = rp_ws_frame(RP_WS_BINARY, rp_bytes(conversations, 126));
    assert_int_equal(big->len, 130);
    assert_memory_equal(big->data + 4, conversations, 126);
    rp_blob_unref(big);
}

static void test_close_reason_is_cut_at_a_character(void **state) {
    (void) state;
    char reason[200];
    for (size_t before = 119; before <= 124; before++) {
        memset(reason, 'x', before);
        strcpy(reason + before, "\xF0\x9F\x98\x80 and more");
        struct rp_blob *blob = rp_ws_close_frame(1008, reason);
        size_t kept = before <= 119 ? 123 : before <= 123 ? before : 123;
        assert_int_equal(blob->len, 2 + 2 + kept);
        assert_memory_equal(blob->data + 4, reason, kept);
        rp_blob_unref(blob);
    }
    memset(reason, 'x', 123);
    reason[123] = '\0';
    struct rp_blob *blob = rp_ws_close_frame(1008, reason);
    assert_int_equal(blob->len, 2 + 125);
    rp_blob_unref(blob);
}

static void test_close_codes_for_errors(void **state) {
    (void) state;
    assert_int_equal(rp_ws_close_code(RP_E_TOO_BIG), 1009);
    assert_int_equal(rp_ws_close_code(RP_E_PROTOCOL), 1002);
    assert_int_equal(rp_ws_close_code(RP_E_INVALID), 1002);
    assert_int_equal(rp_ws_close_code(RP_E_UTF8), 1007);
    assert_int_equal(rp_ws_close_code(RP_E_IO), 1011);
}

static void test_accept_answers_the_key(void **state) {
    (void) state;
    char accept[29];
    rp_ws_accept(RP_BYTES_LIT("dGhlIHNhbXBsZSBub25jZQ=="), accept); /* RFC 6455 1.3 */
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    rp_ws_accept(RP_BYTES_LIT("x3JJHMbDL1EzLkh9GBhXDw=="), accept);
    assert_string_equal(accept, "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
}

static void test_keys_malformed_are_refused(void **state) {
    (void) state;
    static const char *const bad[] = {
        "",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQA=",
        "dGhlIHNhbXBsZSBub25jZQAB",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub2-jZQ==",
        "dGhlIHNhbXBsZSBub2 jZQ==",
        "dGhlIHNhbXBsZSBub2\xC3\xA4ZQ==",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(rp_ws_key_valid(rp_bytes_str(bad[i])));
    }
    assert_true(rp_ws_key_valid(RP_BYTES_LIT("dGhlIHNhbXBsZSBub25jZQ==")));
    assert_true(rp_ws_key_valid(RP_BYTES_LIT("+/++AZaz09/+++++++++++==")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversations_give_their_messages),
        cmocka_unit_test(test_compressed_messages_are_marked),
        cmocka_unit_test(test_utf8_is_judged_across_fragments),
        cmocka_unit_test(test_utf8_fault_is_found_before_the_message_ends),
        cmocka_unit_test(test_close_codes_follow_the_registry),
        cmocka_unit_test(test_headers_malformed_are_refused),
        cmocka_unit_test(test_lengths_at_every_border_are_read),
        cmocka_unit_test(test_limit_holds_for_one_frame_and_for_the_sum),
        cmocka_unit_test(test_announced_length_is_not_allocated),
        cmocka_unit_test(test_idle_reader_holds_no_memory),
        cmocka_unit_test(test_whole_frame_is_not_copied),
        cmocka_unit_test(test_done_frees_a_message_in_part),
        cmocka_unit_test(test_mask_equals_the_definition_at_every_alignment),
        cmocka_unit_test(test_headers_written_are_minimal_and_read_back),
        cmocka_unit_test(test_frames_written_are_read_back),
        cmocka_unit_test(test_close_reason_is_cut_at_a_character),
        cmocka_unit_test(test_close_codes_for_errors),
        cmocka_unit_test(test_accept_answers_the_key),
        cmocka_unit_test(test_keys_malformed_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
