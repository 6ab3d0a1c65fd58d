/* common/curve_key.h — keys of the links between processes (CURVE, as ZeroMQ has it), and the files
 * they are in. Text only: curve_file.h reads the files, ZeroMQ does the arithmetic.
 *
 * A key is 32 bytes, written as 40 characters of Z85 (ZeroMQ RFC 32). A file has lines
 * `public = KEY` and `secret = KEY`, each at most once; `#` at a line's beginning makes it a
 * comment (and only there: keys may have # and = in them). `reprise keygen NAME` writes two of
 * them: NAME with both keys, for the process itself, and NAME.pub with the public key, for its
 * peers. */
#pragma once

#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"

enum {
    RP_CURVE_KEY_LEN = 40,   /* characters */
    RP_CURVE_KEY_BYTES = 32, /* that they stand for */
};

struct rp_curve_key {
    char text[RP_CURVE_KEY_LEN + 1]; /* with its terminator, as ZeroMQ takes it */
};

/* What is in a file. */
struct rp_curve_keys {
    struct rp_curve_key public_key;
    struct rp_curve_key secret_key; /* empty: there is none */
};

/* What rp_curve_key_parse takes, for messages. */
#define RP_CURVE_KEY_EXPECTED "a key of 40 characters, as reprise keygen prints it"

/* Takes exactly a key: 40 characters, each five of them a number below 2^32. RP_E_INVALID. */
RP_MUST_USE enum rp_err rp_curve_key_parse(struct rp_bytes text, struct rp_curve_key *ret_key);
bool rp_curve_key_is_set(const struct rp_curve_key *key);

/* Takes the text of a file. RP_E_INVALID: ret_why (of why_size bytes) says which line is wrong, or
 * that there is no public key; no key is told in it. */
RP_MUST_USE enum rp_err rp_curve_keys_parse(struct rp_bytes text, struct rp_curve_keys *ret_keys,
                                            char *ret_why, size_t why_size);
/* Appends what rp_curve_keys_parse takes, with comments on what to do with the file. RP_E_FULL. */
RP_MUST_USE enum rp_err rp_curve_keys_put(struct rp_buf *out, const struct rp_curve_keys *keys);
