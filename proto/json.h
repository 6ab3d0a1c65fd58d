/* proto/json.h — JSON (RFC 8259) as bytes: checked, split and written, never turned into a tree.
 *
 * The arguments of an event travel and are stored as they came, so all that is needed is to know
 * that they are JSON, where each one begins and ends, and the few strings and numbers the room
 * events use. Nothing here allocates or recurses; every function is linear in its input.
 *
 * The grammar is RFC 8259 to the letter: no comments, no trailing commas, no leading zeros, no NaN.
 * Duplicate keys are allowed, as there. What is inside a string is only looked at for its end, its
 * escapes and control characters: whether it is UTF-8 is the business of proto/ws (the whole text)
 * and of rp_json_string_decode. "\ud800" alone is therefore valid JSON here, and cannot be decoded.
 *
 * Beside: proto/json_walk (all levels). Above: proto/sio (packets), gateway/client.c (the arguments
 * of room events). */
#pragma once

#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"

/* The largest integer a JavaScript number holds without rounding, 2^53 - 1. Larger: not taken. */
#define RP_JSON_INTEGER_MAX ((UINT64_C(1) << 53) - 1)

enum rp_json_kind {
    RP_JSON_NONE, /* the view is empty: there is no value */
    RP_JSON_NULL,
    RP_JSON_BOOL,
    RP_JSON_NUMBER,
    RP_JSON_STRING,
    RP_JSON_ARRAY,
    RP_JSON_OBJECT,
};

/* Takes one value and the whitespace around it off the front of *in. *ret_value is a view of the
 * value alone. A number or word must end where JSON lets it end: "01" and "nullx" are malformed,
 * not two values. On failure *in is unchanged.
 *   RP_E_INVALID   malformed, or there is no value
 *   RP_E_TOO_BIG   deeper than RP_JSON_DEPTH_MAX */
RP_MUST_USE enum rp_err rp_json_next(struct rp_bytes *in, struct rp_bytes *ret_value);
/* The same for a text that must be one value and nothing else; more is RP_E_INVALID. */
RP_MUST_USE enum rp_err rp_json_whole(struct rp_bytes text, struct rp_bytes *ret_value);

/* Below, a *value* is a view that rp_json_next, rp_json_whole or an iterator gave, or nothing. */

enum rp_json_kind rp_json_kind(struct rp_bytes value);

/* Walks through the elements of one array or object, not into them. Held by value; borrows the
 * text. A copy is a bookmark. A value of another kind has no elements. */
struct rp_json_iter {
    struct rp_bytes rest; /* the raw elements not yet taken, without the brackets: `{"a":1},2` */
    bool is_object;
};

struct rp_json_iter rp_json_iter_array(struct rp_bytes value);
struct rp_json_iter rp_json_iter_object(struct rp_bytes value);
/* The next element, false after the last. *ret_key is the raw string with its quotes, empty in
 * arrays; ret_key may be NULL. Whole iteration is linear. */
bool rp_json_iter_next(struct rp_json_iter *it, struct rp_bytes *ret_key,
                       struct rp_bytes *ret_value);

/* Whether a raw key (or any string value) spells the name, however it is escaped. */
bool rp_json_key_is(struct rp_bytes raw_key, const char *name);

/* Gives a view of a string's text if it has no escape. The text is as good UTF-8 as the input was.
 * False: not a string, or one that needs rp_json_string_decode. */
bool rp_json_string_plain(struct rp_bytes value, struct rp_bytes *ret_text);
/* Appends the text of a string, as UTF-8. It may contain NUL. On failure out is unchanged.
 *   RP_E_INVALID   not a string     RP_E_UTF8   a lone surrogate, or bad UTF-8     RP_E_FULL */
RP_MUST_USE enum rp_err rp_json_string_decode(struct rp_bytes value, struct rp_buf *out);
/* The same with U+FFFD for each lone surrogate, as JavaScript writes one in UTF-8: for those who
 * pass a text on and must not refuse it. */
RP_MUST_USE enum rp_err rp_json_string_decode_lossy(struct rp_bytes value, struct rp_buf *out);

/* The text of a string piece by piece, without memory: runs of the input as they are, and what each
 * escape stands for, U+FFFD for a lone surrogate. Held by value; borrows the string. A run is as
 * good UTF-8 as the input was, and no character goes over the border of two pieces. */
struct rp_json_text {
    struct rp_bytes rest; /* escaped */
    uint8_t decoded[4];
};

/* False: not a string. */
bool rp_json_text(struct rp_bytes value, struct rp_json_text *ret_text);
/* The next piece, which is not empty; false after the last. It is valid until the next call. */
bool rp_json_text_next(struct rp_json_text *text, struct rp_bytes *ret_piece);

/* A number that is exactly a non-negative integer up to RP_JSON_INTEGER_MAX. By value, not by
 * spelling: 1000, 1000.0, 1e3 and 10.00E+2 are the same, since not every client writes integers as
 * JavaScript does. Anything with a minus is refused, -0 too. */
bool rp_json_to_u64(struct rp_bytes value, uint64_t *ret_number);
bool rp_json_to_bool(struct rp_bytes value, bool *ret_bool);

/* Writing: the text in quotes, escaped as JSON.stringify does (quote, backslash, control
 * characters). The text must be UTF-8. Reading the result gives the text back. */
RP_MUST_USE enum rp_err rp_json_put_string(struct rp_buf *out, struct rp_bytes utf8);
/* The same for a place of exactly the right size: how long it gets, and writing it there.
 * rp_json_write_string returns the place after it. */
size_t rp_json_string_len(struct rp_bytes utf8);
uint8_t *rp_json_write_string(uint8_t *at, struct rp_bytes utf8);
