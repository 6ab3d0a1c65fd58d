/* tests/fuzz/fuzz_script.h — for targets that drive a core: an input is a script of steps, its
 * bytes choose what happens and make operations that are well-formed and mean anything. */
#pragma once

#include "common/assert.h"
#include "proto/op.h"

#include <assert.h>

enum { SCRIPT_PID = 21 }; /* the bytes of the first of four pids' hashes; others follow */

struct script {
    struct rp_bytes rest;
    uint64_t head;  /* a number of the moment, which often matters */
    char text[300]; /* where a chosen name is made */
};

static inline uint8_t script_byte(struct script *s) {
    if (s->rest.len == 0) {
        return 0;
    }
    uint8_t byte = s->rest.data[0];
    s->rest = rp_bytes_skip(s->rest, 1);
    return byte;
}

/* Bytes as they stand in the script. */
static inline struct rp_bytes script_bytes(struct script *s) {
    size_t len = script_byte(s);
    len = len < s->rest.len ? len : s->rest.len;
    struct rp_bytes taken = rp_bytes(s->rest.data, len);
    s->rest = rp_bytes_skip(s->rest, len);
    return taken;
}

/* Small numbers are sessions, connections, nums and seqs; large ones are mistakes. */
static inline uint64_t script_number(struct script *s) {
    uint8_t byte = script_byte(s);
    switch (byte) {
    case 0xFF:
        return UINT64_MAX;
    case 0xFE:
        return UINT64_MAX - 1;
    case 0xFD:
        return UINT64_MAX >> 10;
    case 0xFC:
        return (UINT64_MAX >> 10) + 1;
    case 0xFB:
        return s->head;
    case 0xFA:
        return s->head + 1;
    case 0xF9:
        return s->head - 1;
    case 0xF8:
        return 1000;
    case 0xF7:
        return 1001;
    case 0xF6:
        return UINT32_MAX;
    case 0xF5:
        return UINT64_C(1) << 53;
    default:
        return byte < 0xC0 ? byte % 8 : byte % 64;
    }
}

/* The epoch, names, hashes, arguments and offsets; or any bytes. Valid until the next but one. */
static inline struct rp_bytes script_name(struct script *s, unsigned which) {
    static const char *const names[] = {"",
                                        "/",
                                        "epoch000",
                                        "r0",
                                        "r1",
                                        "r2",
                                        "e",
                                        "[]",
                                        "[1,\"2\"]",
                                        "sid0",
                                        "id0",
                                        "0-epoc",
                                        "7-epoc",
                                        "3.5-epoc",
                                        "99999-epoc",
                                        "x-y",
                                        "1-else",
                                        "disconnect",
                                        "\xC3\xA4\"\\\x01",
                                        "[}",
                                        "/*"};
    enum { NAMES = sizeof names / sizeof names[0] };
    static_assert((int) NAMES == (int) SCRIPT_PID, "hashes are chosen behind names");
    uint8_t byte = script_byte(s), choice = byte % 32;
    char *text = s->text + (which % 2 ? sizeof s->text / 2 : 0);
    if (byte == 0xFF) {
        memset(s->text, 'n', 256); /* one byte too long for most */
        return rp_bytes(s->text, 256);
    }
    if (byte < 0xE0 && choice < NAMES) {
        return rp_bytes_str(names[choice]);
    }
    if (byte < 0xE0 && choice == NAMES + 4) { /* a packed list of names */
        static const char list[] = "\0\0\0\2r0\0\0\0\4sid0";
        return rp_bytes((const uint8_t *) list, sizeof list - 1);
    }
    if (byte < 0xE0 && choice == NAMES + 5) { /* a code that matters */
        return RP_BYTES_LIT("stopping");
    }
    if (byte < 0xE0 && choice < NAMES + 4) { /* the hash of one of four pids */
        memset(text, choice, 32);
        return rp_bytes(text, 32);
    }
    return script_bytes(s);
}

#define SCRIPT_U64(T, field) op.T.field = script_number(s);
#define SCRIPT_BYTES(T, field) op.T.field = script_name(s, ++which);
#define SCRIPT_CASE(NAME, name, code)                                                              \
    case RP_OP_##NAME:                                                                             \
        RP_OP_##NAME##_F(name, SCRIPT_U64, SCRIPT_BYTES) break;

/* An operation of any kind with such fields, encoded behind what out holds. */
static inline void script_op(struct script *s, struct rp_buf *out) {
    static const enum rp_op_kind kinds[] = {
#define SCRIPT_KIND(NAME, name, code) RP_OP_##NAME,
        RP_OP_LIST(SCRIPT_KIND)
#undef SCRIPT_KIND
    };
    struct rp_op op = {.kind = kinds[script_byte(s) % (sizeof kinds / sizeof kinds[0])]};
    unsigned which = 0;
    switch (op.kind) { RP_OP_LIST(SCRIPT_CASE) }
    RP_ASSERT(rp_op_put(out, &op) == RP_OK);
}

/* A message: one to four operations, and perhaps something that is none. The caller frees. */
static inline struct rp_buf script_message(struct script *s) {
    struct rp_buf message;
    rp_buf_init(&message, 1 << 20);
    uint8_t shape = script_byte(s);
    for (unsigned n = 0; n <= (shape & 3u); n++) {
        script_op(s, &message);
    }
    if (shape & 0x80) {
        RP_ASSERT(rp_buf_put(&message, script_bytes(s)) == RP_OK);
    }
    return message;
}
