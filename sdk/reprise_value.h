/* reprise_value.h — the arguments of events: a reader and a builder of JSON with binary values.
 *
 * An event comes with a list of arguments, which are JSON values; anywhere in them a value may be
 * binary. The reader is a view: it looks at the bytes as they came when you ask, and only where
 * you ask. The builder writes the list that you send. Neither needs another library.
 *
 *     // socket.emit("move", {room: "lobby", at: [3, 4], picture: <Uint8Array>})
 *     struct reprise_value what = reprise_value_at(args, 0);
 *     int64_t x, y;
 *     struct reprise_bytes picture;
 *     struct reprise_value at = reprise_value_get(what, "at");
 *     if (reprise_value_int64(reprise_value_at(at, 0), &x) != REPRISE_OK ||
 *         reprise_value_int64(reprise_value_at(at, 1), &y) != REPRISE_OK ||
 *         reprise_value_binary(reprise_value_get(what, "picture"), &picture) != REPRISE_OK) {
 *         ... one of them is not there, or is something else
 *     }
 *
 *     struct reprise_builder *b = reprise_builder_new();
 *     reprise_put(b, "s{x:I,y:I,tags:[sss]}", "moved", x, y, "a", "b", "c");
 *     if (reprise_builder_error(b) != REPRISE_OK) { ... }
 *     reprise_builder_free(b);
 *
 * Text is UTF-8. Functions may be called from any thread; one builder is used by one at a time. */
#ifndef REPRISE_VALUE_H
#define REPRISE_VALUE_H

#include "reprise_error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Some bytes that somebody else owns. Not terminated. data may be NULL if len is 0. */
struct reprise_bytes {
    const void *data;
    size_t len;
};

/* ---- the reader ---- */

/* One value: a view, passed and kept by value, valid as long as what it was taken from (the
 * arguments of an event: until its handler returns). {0} is an absent value, as is what a lookup
 * did not find; every function takes it, so that lookups can be chained and the end be checked.
 *
 * The two members are for those who pass values on: */
struct reprise_value {
    struct reprise_bytes json;   /* the text of this value */
    struct reprise_bytes binary; /* what its binary values are, packed; their place in the text is
                                    {"_placeholder":true,"num":N} with their number from 0 on.
                                    Each: 4 bytes of length, big-endian, then the bytes */
};

enum reprise_type {
    REPRISE_ABSENT, /* there is no value */
    REPRISE_NULL,
    REPRISE_BOOL,
    REPRISE_NUMBER,
    REPRISE_STRING,
    REPRISE_ARRAY,
    REPRISE_OBJECT,
    REPRISE_BINARY,
};

/* What it is, by the first byte of its text; an object is also looked through for whether it stands
 * for a binary value, if there are any. Of values that come from clients the gateway has checked
 * that they are JSON. Text from elsewhere may be malformed: the functions below then answer as for
 * a value of another type, an absent one, or the end, and never read past it; what they find is
 * right for as much as they had to look at. reprise_value_check looks at all of it. */
enum reprise_type reprise_value_type(struct reprise_value v);
/* "absent", "null", "bool", … Never NULL. */
const char *reprise_type_name(enum reprise_type type);

/* A text of your own as a value, without binary values; borrows it. Absent if it is not one whole
 * JSON value (RFC 8259), if it is deeper than 128 arrays and objects, or if it is not UTF-8. */
struct reprise_value reprise_value_parse(const char *json, size_t len);
/* Whether all of it is well-formed, strings as UTF-8 and binary values among it.
 *   REPRISE_E_TYPE   absent   REPRISE_E_INVALID   malformed   REPRISE_E_FULL   too deep */
enum reprise_err reprise_value_check(struct reprise_value v);

/* Each of these answers REPRISE_OK and sets its result, or an error and leaves it alone.
 *   REPRISE_E_TYPE    the value is absent or of another type; for integers also a number that is
 *                     not whole, such as 1.5. 1e3 and 2.0 are whole
 *   REPRISE_E_RANGE   it is whole, and does not fit. A double is never out of range: what is too
 *                     large is infinite, as in JavaScript */
enum reprise_err reprise_value_bool(struct reprise_value v, bool *ret_bool);
enum reprise_err reprise_value_int64(struct reprise_value v, int64_t *ret_number);
enum reprise_err reprise_value_uint64(struct reprise_value v, uint64_t *ret_number);
enum reprise_err reprise_value_double(struct reprise_value v, double *ret_number);
/* The bytes of a binary value, borrowed. */
enum reprise_err reprise_value_binary(struct reprise_value v, struct reprise_bytes *ret_bytes);

/* The same with an answer of yours in place of every error. */
bool reprise_value_bool_or(struct reprise_value v, bool otherwise);
int64_t reprise_value_int64_or(struct reprise_value v, int64_t otherwise);
double reprise_value_double_or(struct reprise_value v, double otherwise);

/* Strings. Escapes are decoded, half a surrogate pair to U+FFFD. A string that is not UTF-8 is
 * malformed, hence none. A string may contain NUL. */

/* Whether it is the string `text`; compares in place, whatever its length. */
bool reprise_value_is(struct reprise_value v, const char *text);
/* Writes the text and a NUL into the buffer as snprintf does: cut off, at the border of a
 * character, where the buffer of `size` bytes ends (with 0 nothing is written, and buffer may be
 * NULL). The answer is the whole length without the NUL, or -1 and an empty text if v is no
 * string. So `n < 0 || (size_t) n >= sizeof buffer` is "no string, or too long". */
ptrdiff_t reprise_value_string(struct reprise_value v, char *buffer, size_t size);
/* The text without a copy, if it has no escapes: most have none. False: no string, or one that
 * must be decoded. */
bool reprise_value_plain(struct reprise_value v, struct reprise_bytes *ret_text);
/* The text in memory of its own, with a NUL after it, to be given to free(). ret_len may be NULL.
 * NULL: no string, or no memory for it; ret_len is left alone. */
char *reprise_value_strdup(struct reprise_value v, size_t *ret_len);

/* Arrays and objects. Values of other types, binary ones too, have no elements. Each call starts at
 * the front: for more than a few elements of a large array iterate. */

/* Elements or members, each of those with the same key too. */
size_t reprise_value_count(struct reprise_value v);
/* The element of an array with this index from 0 on. */
struct reprise_value reprise_value_at(struct reprise_value array, size_t index);
/* The member of an object with this key; if there are several the last, as in JavaScript. */
struct reprise_value reprise_value_get(struct reprise_value object, const char *key);

/* All elements of an array or members of an object, one after the other, in time linear in its
 * text. Held by value; borrows what the value borrows.
 *
 *     struct reprise_iter it = reprise_value_iter(v);
 *     struct reprise_value key, element;
 *     while (reprise_iter_next(&it, &key, &element)) { ... reprise_value_is(key, "name") ... } */
struct reprise_iter {
    struct reprise_bytes rest; /* what is not yet taken */
    struct reprise_bytes binary;
    bool is_object;
};

struct reprise_iter reprise_value_iter(struct reprise_value v);
/* False after the last; then the results are left alone. *ret_key is a string, or absent in arrays;
 * ret_key may be NULL. */
bool reprise_iter_next(struct reprise_iter *it, struct reprise_value *ret_key,
                       struct reprise_value *ret_element);

/* The value as msgpack, binary values as bin, in memory of its own, to be given to free(). Integers
 * that 64 bits hold are integers, all other numbers float 64.
 *   REPRISE_E_TYPE   absent   REPRISE_E_INVALID, REPRISE_E_FULL   as reprise_value_check
 *   REPRISE_E_NO_MEMORY */
enum reprise_err reprise_value_to_msgpack(struct reprise_value v, void **ret_data, size_t *ret_len);

/* ---- the builder ---- */

/* A list of arguments that is being written.
 *
 * Errors stick: after the first, calls change nothing and answer that error, until a reset. So
 * write everything and check once, with reprise_builder_error or with what the sending function
 * says. A NULL builder behaves as one with REPRISE_E_NO_MEMORY. REPRISE_E_INVALID    text that is
 * not UTF-8, malformed JSON or msgpack, a key where none may be or none where one must be, an end
 * of what is not open, a wrong format. Also an object with a member "_placeholder" that is true:
 * receivers would take it for a binary value REPRISE_E_FULL       more than 16 MiB in all, 10
 * binary values, or 127 arrays and objects inside one another. What clients take in one message is
 * less, see there REPRISE_E_TYPE       the value to be copied is absent REPRISE_E_NO_MEMORY */
struct reprise_builder;

/* An empty list. NULL: no memory; such a builder may be used like others, see above. */
struct reprise_builder *reprise_builder_new(void);
void reprise_builder_free(struct reprise_builder *b); /* NULL is fine */
/* Empties it, errors too, and keeps its memory. */
void reprise_builder_reset(struct reprise_builder *b);
/* REPRISE_OK if the list is good to be sent: no error, and what was begun has ended. */
enum reprise_err reprise_builder_error(const struct reprise_builder *b);
/* How many arguments there are, an unfinished one among them. */
size_t reprise_builder_count(const struct reprise_builder *b);
/* The whole list as a value, an array, borrowed until the next change of the builder. Absent unless
 * reprise_builder_error says REPRISE_OK. Its members are the raw bytes. */
struct reprise_value reprise_builder_value(struct reprise_builder *b);

/* Each of these puts one value: an argument, or what comes next in the array or object that is
 * open. All answer the builder's error after it. */
enum reprise_err reprise_put_null(struct reprise_builder *b);
enum reprise_err reprise_put_bool(struct reprise_builder *b, bool value);
/* Integers are written exactly; JavaScript rounds those past 2^53. */
enum reprise_err reprise_put_int64(struct reprise_builder *b, int64_t value);
enum reprise_err reprise_put_uint64(struct reprise_builder *b, uint64_t value);
/* With as few digits as read the same; NaN and the infinities are null, as in JSON.stringify. */
enum reprise_err reprise_put_double(struct reprise_builder *b, double value);
/* A C string; NULL puts null. */
enum reprise_err reprise_put_string(struct reprise_builder *b, const char *text);
enum reprise_err reprise_put_text(struct reprise_builder *b, const char *text, size_t len);
enum reprise_err reprise_put_binary(struct reprise_builder *b, const void *data, size_t len);
/* A text that is one whole JSON value. It is checked and written without white space, numbers and
 * strings as they are. */
enum reprise_err reprise_put_json(struct reprise_builder *b, const char *json, size_t len);
/* A copy of a value from elsewhere, with its binary values. */
enum reprise_err reprise_put_value(struct reprise_builder *b, struct reprise_value v);
/* One whole msgpack value. bin is binary; keys of maps are strings; the only ext types are those
 * that Socket.IO's msgpack parser writes (type 0: undefined, dates, binary). */
enum reprise_err reprise_put_msgpack(struct reprise_builder *b, const void *data, size_t len);

/* An array is begun, gets its values, and is ended; an object likewise with a key before each. */
enum reprise_err reprise_begin_array(struct reprise_builder *b);
enum reprise_err reprise_end_array(struct reprise_builder *b);
enum reprise_err reprise_begin_object(struct reprise_builder *b);
enum reprise_err reprise_end_object(struct reprise_builder *b);
enum reprise_err reprise_put_key(struct reprise_builder *b, const char *key);
enum reprise_err reprise_put_key_text(struct reprise_builder *b, const char *key, size_t len);

/* Several values at once, after a format. Its letters, and what each takes:
 *
 *     s  const char *              reprise_put_string, NULL is null
 *     S  const char *, size_t      reprise_put_text
 *     i  int                       u  unsigned
 *     I  int64_t                   U  uint64_t
 *     z  size_t
 *     d  double
 *     b  int, or bool              reprise_put_bool
 *     n  nothing                   reprise_put_null
 *     B  const void *, size_t      reprise_put_binary
 *     j  const char *              reprise_put_json, NULL is null
 *     v  struct reprise_value      reprise_put_value
 *     [ ] { }  nothing             begin and end of arrays and objects
 *
 * Before a value in an object comes its key: `name:`, of ASCII letters, digits, '_', '-' and '$';
 * or `k`, which takes a const char *. Spaces and commas mean nothing. Examples, and what is sent:
 *
 *     reprise_put(b, "sis", "a", 1, NULL)                    "a", 1, null
 *     reprise_put(b, "{ok:b, at:[dd]}", true, 0.5, 1.5)      {"ok":true,"at":[0.5,1.5]}
 *     reprise_put(b, "{k s, count:z}", key, text, (size_t) 3)
 *     reprise_put(b, "S B", name, name_len, data, data_len)  lengths are size_t: cast what is not
 *
 * What one call opens another may close. At an error, of an unknown letter too, it stops and takes
 * no further argument; what came before it is not undone, but errors stick. */
enum reprise_err reprise_put(struct reprise_builder *b, const char *format, ...);
/* The same with the values in a list. */
enum reprise_err reprise_put_list(struct reprise_builder *b, const char *format, va_list list);

#ifdef __cplusplus
}
#endif
#endif
