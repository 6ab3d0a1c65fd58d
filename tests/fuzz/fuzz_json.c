/* tests/fuzz/fuzz_json.c — proto/json against a second, slower reader of the same grammar.
 *
 * What is held true for any input: it is accepted exactly if the grammar below accepts it; what was
 * accepted is accepted again, as are all its elements, which lie in it in order with nothing but
 * punctuation between them; strings and numbers mean what they say; what is written is read. */
#include "common/assert.h"
#include "proto/json.h"
#include "proto/json_walk.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The oracle: RFC 8259 section by section, recursive, a byte at a time. */

struct oracle {
    struct rp_bytes in;
    bool too_deep;
};

static int peek(const struct oracle *o) {
    return o->in.len > 0 ? o->in.data[0] : -1;
}

static bool accept(struct oracle *o, int byte) {
    bool is_next = peek(o) == byte;
    o->in = rp_bytes_skip(o->in, is_next);
    return is_next;
}

static bool accept_any(struct oracle *o, const char *set) {
    return peek(o) > 0 && strchr(set, peek(o)) != NULL && accept(o, peek(o));
}

static void space(struct oracle *o) {
    while (accept_any(o, " \t\r\n")) {
    }
}

static bool word(struct oracle *o, const char *text) {
    while (*text != '\0' && accept(o, *text)) {
        text++;
    }
    return *text == '\0';
}

static bool digits(struct oracle *o) {
    size_t before = o->in.len;
    while (accept_any(o, "0123456789")) {
    }
    return o->in.len < before;
}

static bool number(struct oracle *o) {
    accept(o, '-');
    if (!accept(o, '0') && !digits(o)) {
        return false;
    }
    if (accept(o, '.') && !digits(o)) {
        return false;
    }
    if (accept_any(o, "eE")) {
        accept_any(o, "+-");
        return digits(o);
    }
    return true;
}

static bool string(struct oracle *o) {
    if (!accept(o, '"')) {
        return false;
    }
    while (!accept(o, '"')) {
        if (peek(o) < 0x20) {
            return false;
        }
        if (!accept(o, '\\')) {
            accept(o, peek(o));
        } else if (accept(o, 'u')) {
            for (int i = 0; i < 4; i++) {
                if (!accept_any(o, "0123456789abcdefABCDEF")) {
                    return false;
                }
            }
        } else if (!accept_any(o, "\"\\/bfnrt")) {
            return false;
        }
    }
    return true;
}

static bool oracle_value(struct oracle *o, size_t depth);

static bool elements(struct oracle *o, size_t depth, bool is_object) {
    int close = is_object ? '}' : ']';
    space(o);
    if (accept(o, close)) {
        return true;
    }
    do {
        space(o);
        if (is_object && !string(o)) {
            return false;
        }
        space(o);
        if ((is_object && !accept(o, ':')) || !oracle_value(o, depth)) {
            return false;
        }
    } while (accept(o, ','));
    return accept(o, close);
}

static bool oracle_value(struct oracle *o, size_t depth) {
    space(o);
    bool is_object = peek(o) == '{';
    bool valid = false;
    if (accept_any(o, "[{")) {
        if (depth == RP_JSON_DEPTH_MAX) {
            o->too_deep = true;
            return false;
        }
        valid = elements(o, depth + 1, is_object);
    } else if (peek(o) == '"') {
        valid = string(o);
    } else {
        valid = peek(o) == 'n'   ? word(o, "null")
                : peek(o) == 't' ? word(o, "true")
                : peek(o) == 'f' ? word(o, "false")
                                 : number(o);
    }
    space(o);
    return valid;
}

static enum rp_err oracle_whole(struct rp_bytes text) {
    struct oracle o = {.in = text};
    bool valid = oracle_value(&o, 0) && o.in.len == 0;
    return valid ? RP_OK : o.too_deep ? RP_E_TOO_BIG : RP_E_INVALID;
}

/* The checks. */

static void check_text(struct rp_bytes text) {
    size_t len = rp_json_string_len(text);
    uint8_t *json = malloc(len);
    RP_ASSERT(json != NULL);
    RP_ASSERT(rp_json_write_string(json, text) == json + len);
    struct rp_bytes value;
    RP_ASSERT(rp_json_whole(rp_bytes(json, len), &value) == RP_OK);
    RP_ASSERT(value.data == json && value.len == len);
    struct rp_buf back;
    rp_buf_init(&back, text.len);
    enum rp_err err = rp_json_string_decode(value, &back);
    RP_ASSERT(err == (rp_bytes_is_utf8(text) ? RP_OK : RP_E_UTF8));
    RP_ASSERT(err != RP_OK || rp_bytes_eq(rp_buf_bytes(&back), text));
    rp_buf_done(&back);
    free(json);
}

/* A string is the key of its text, and not of one with another first byte. Appends to the text. */
static void check_key(struct rp_bytes raw, struct rp_buf *text) {
    if (text->len == 0 || memchr(text->data, 0, text->len) != NULL) {
        return;
    }
    RP_ASSERT(rp_buf_put(text, RP_BYTES_LIT("\0")) == RP_OK); /* raw is longer by its quotes */
    RP_ASSERT(rp_json_key_is(raw, (const char *) text->data));
    text->data[0] ^= 1;
    RP_ASSERT(!rp_json_key_is(raw, (const char *) text->data));
}

static void check_string(struct rp_bytes value) {
    struct rp_buf out;
    rp_buf_init(&out, value.len);
    enum rp_err err = rp_json_string_decode(value, &out);
    RP_ASSERT(err == RP_OK || (err == RP_E_UTF8 && out.len == 0));
    struct rp_bytes plain;
    if (rp_json_string_plain(value, &plain)) {
        RP_ASSERT(rp_bytes_is_utf8(plain) == (err == RP_OK));
        RP_ASSERT(err != RP_OK || rp_bytes_eq(plain, rp_buf_bytes(&out)));
    } else {
        RP_ASSERT(memchr(value.data, '\\', value.len) != NULL);
    }
    if (err == RP_OK) {
        check_text(rp_buf_bytes(&out));
        check_key(value, &out);
    }
    rp_buf_done(&out);
}

static void check_number(struct rp_bytes value) {
    uint64_t got = 0, plain = 0;
    bool is_u64 = rp_json_to_u64(value, &got);
    if (rp_bytes_to_u64(value, &plain)) {
        RP_ASSERT(is_u64 == (plain <= RP_JSON_INTEGER_MAX));
        RP_ASSERT(!is_u64 || got == plain);
    }
    if (is_u64) {
        char *text = malloc(value.len + 1);
        RP_ASSERT(text != NULL);
        memcpy(text, value.data, value.len);
        text[value.len] = '\0';
        RP_ASSERT(got <= RP_JSON_INTEGER_MAX);
        RP_ASSERT(strtod(text, NULL) == (double) got);
        free(text);
    }
}

static void check_value(struct rp_bytes value);

/* Between two elements, and at the ends: whitespace and punctuation, and exactly these marks. */
static void check_gap(const uint8_t *from, const uint8_t *to, const char *marks) {
    for (; from < to; from++) {
        RP_ASSERT(*from != 0);
        if (*from == (uint8_t) *marks) {
            marks++;
        } else {
            RP_ASSERT(strchr(" \t\r\n", *from) != NULL);
        }
    }
    RP_ASSERT(*marks == '\0');
}

static void check_elements(struct rp_bytes value, bool is_object) {
    struct rp_json_iter it = is_object ? rp_json_iter_object(value) : rp_json_iter_array(value);
    const uint8_t *at = value.data;
    const char *before = is_object ? "{" : "[";
    struct rp_bytes key, element;
    while (rp_json_iter_next(&it, &key, &element)) {
        if (is_object) {
            check_gap(at, key.data, before);
            check_string(key);
            check_gap(key.data + key.len, element.data, ":");
        } else {
            RP_ASSERT(key.len == 0);
            check_gap(at, element.data, before);
        }
        before = ",";
        at = element.data + element.len;
        check_value(element);
    }
    if (*before == ',') {
        check_gap(at, value.data + value.len, is_object ? "}" : "]");
    } else {
        check_gap(at, value.data + value.len, is_object ? "{}" : "[]");
    }
}

static void check_value(struct rp_bytes value) {
    struct rp_bytes again;
    RP_ASSERT(rp_json_whole(value, &again) == RP_OK);
    RP_ASSERT(again.data == value.data && again.len == value.len);
    bool is_true;
    uint64_t got;
    enum rp_json_kind kind = rp_json_kind(value);
    RP_ASSERT(rp_json_to_bool(value, &is_true) == (kind == RP_JSON_BOOL));
    RP_ASSERT(kind == RP_JSON_NUMBER || !rp_json_to_u64(value, &got));
    switch (kind) {
    case RP_JSON_STRING:
        check_string(value);
        break;
    case RP_JSON_NUMBER:
        check_number(value);
        break;
    case RP_JSON_ARRAY:
    case RP_JSON_OBJECT:
        check_elements(value, kind == RP_JSON_OBJECT);
        break;
    default:
        RP_ASSERT(kind == RP_JSON_NULL || kind == RP_JSON_BOOL);
        break;
    }
}

/* On input that was not validated nothing is promised but to stay inside and to end. */
static void check_unvalidated(struct rp_bytes text) {
    struct rp_json_iter iters[] = {rp_json_iter_array(text), rp_json_iter_object(text)};
    for (size_t i = 0; i < 2; i++) {
        struct rp_bytes key, value;
        const uint8_t *at = text.data;
        while (rp_json_iter_next(&iters[i], &key, &value)) {
            RP_ASSERT(value.data >= at && value.len > 0);
            at = value.data + value.len;
            RP_ASSERT(at <= text.data + text.len);
        }
    }
    struct rp_buf out;
    rp_buf_init(&out, text.len);
    RP_ASSERT(rp_json_string_decode(text, &out) == RP_OK || out.len == 0);
    rp_buf_done(&out);
    uint64_t number;
    struct rp_bytes plain;
    (void) rp_json_to_u64(text, &number);
    (void) rp_json_string_plain(text, &plain);
    (void) rp_json_key_is(text, "room");
}

/* A walk comes to the end of one value exactly if it is one, and passes each bracket twice. */
static void check_walk(struct rp_bytes text, enum rp_err whole) {
    struct rp_json_walk walk = rp_json_walk(text);
    size_t values_count = 0, open_count = 0;
    struct rp_json_token token;
    for (;;) {
        token = rp_json_walk_next(&walk);
        if (token.step == RP_JSON_END || token.step == RP_JSON_BROKEN) {
            break;
        }
        RP_ASSERT(token.value.len > 0 && token.value.data >= text.data);
        RP_ASSERT(token.value.data + token.value.len <= text.data + text.len);
        open_count -= token.step == RP_JSON_CLOSE;
        RP_ASSERT(token.depth == open_count);
        open_count += token.step == RP_JSON_OPEN;
        values_count += token.depth == 0 && token.step != RP_JSON_CLOSE;
    }
    RP_ASSERT(token.step == RP_JSON_BROKEN || open_count == 0);
    RP_ASSERT((token.step == RP_JSON_END && values_count == 1) == (whole == RP_OK));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rp_bytes text = rp_bytes(data, size);
    struct rp_bytes value;
    enum rp_err err = rp_json_whole(text, &value);
    RP_ASSERT(err == oracle_whole(text));
    if (err == RP_OK) {
        check_value(value);
    }
    struct rp_bytes rest = text;
    while (rp_json_next(&rest, &value) == RP_OK) {
        RP_ASSERT(rest.data + rest.len == data + size);
        RP_ASSERT(rest.data >= value.data + value.len);
    }
    check_walk(text, err);
    check_text(text);
    check_unvalidated(text);
    return 0;
}
