/* sdk/value_inner.h — what the files of values share: reprise_value.h's views and ours are the same
 * things under two names. */
#pragma once

#include "common/bytes.h"
#include "sdk/reprise_value.h"

static inline struct rp_bytes rp_of_bytes(struct reprise_bytes b) {
    return rp_bytes(b.data, b.data != NULL ? b.len : 0);
}

static inline struct reprise_bytes rp_to_bytes(struct rp_bytes b) {
    return (struct reprise_bytes){.data = b.data, .len = b.len};
}

/* The text of a value without white space around it; empty if it is absent. */
struct rp_bytes rp_value_text(struct reprise_value v);
/* The nth of the packed attachments; false if there is none. */
bool rp_value_attachment(struct rp_bytes packed, uint64_t n, struct rp_bytes *ret_attachment);
/* How long a string's text is, unescaped; false if it is no string of UTF-8. */
bool rp_value_text_len(struct reprise_value v, size_t *ret_len);
