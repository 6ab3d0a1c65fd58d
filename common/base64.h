/* common/base64.h — base64 with the standard alphabet and padding, RFC 4648 section 4.
 *
 * libcrypto has one too, but it writes a terminator past a place of the right size, takes lengths
 * as int, and skips whitespace and a final '-' where a reader of hostile text must not. */
#pragma once

#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"

/* How long the text of data_len bytes is, padding included. */
size_t rp_base64_len(size_t data_len);
/* Writes rp_base64_len(data.len) bytes and returns the place after them. No terminator. */
uint8_t *rp_base64_write(uint8_t *at, struct rp_bytes data);

/* Appends what the whole text stands for; the empty text stands for nothing. Each thing has one
 * text, or two: the padding may be missing, as some clients leave it out, but not be half there.
 *   RP_E_INVALID   another character (whitespace too), a length that no data has, padding that is
 *                  wrong or not at the end, bits set that belong to no byte
 *   RP_E_FULL
 * Both leave out unchanged. */
RP_MUST_USE enum rp_err rp_base64_decode(struct rp_bytes text, struct rp_buf *out);
