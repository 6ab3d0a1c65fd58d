/* tests/fuzz/fuzz_sdk_value.c — the reader and the builder of values, given anything.
 *
 * The input is a length (2 bytes), so many bytes of packed binary values, and a text, which need
 * not be JSON: all of the reader is used on it and on what it finds inside. What is held true:
 *   - what the reader finds is inside of the text
 *   - asked for the same thing in two ways it answers the same
 *   - a value that passes the check can be copied, unless the builder's limits or a look-alike are
 *     in the way, and the copy reads the same; so does what went through msgpack
 * The whole input is also taken as msgpack. */
#include "common/assert.h"
#include "sdk/reprise_value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH_MAX = 200, LOOKUPS_MAX = 4 };

static bool is_within(struct reprise_bytes inner, struct reprise_bytes outer) {
    const char *from = inner.data, *start = outer.data;
    return inner.len == 0 || (from >= start && from + inner.len <= start + outer.len);
}

static void check_numbers(struct reprise_value v) {
    double real = 0;
    int64_t sint = 0;
    uint64_t uint = 0;
    enum reprise_err as_real = reprise_value_double(v, &real);
    enum reprise_err as_sint = reprise_value_int64(v, &sint);
    enum reprise_err as_uint = reprise_value_uint64(v, &uint);
    RP_ASSERT(as_real == REPRISE_OK || as_real == REPRISE_E_TYPE);
    RP_ASSERT(as_real == REPRISE_OK || (as_sint == REPRISE_E_TYPE && as_uint == REPRISE_E_TYPE));
    RP_ASSERT(as_real != REPRISE_OK || reprise_value_type(v) == REPRISE_NUMBER);
    RP_ASSERT((as_sint == REPRISE_E_TYPE) == (as_uint == REPRISE_E_TYPE));
    RP_ASSERT(as_sint != REPRISE_OK || (double) sint == real);
    RP_ASSERT(as_uint != REPRISE_OK || (double) uint == real);
    RP_ASSERT(as_sint != REPRISE_OK || as_uint != REPRISE_OK || (uint64_t) sint == uint);
}

static void check_string(struct reprise_value v) {
    size_t len = 0;
    struct reprise_bytes plain;
    char *text = reprise_value_strdup(v, &len);
    char small[8];
    ptrdiff_t whole_len = reprise_value_string(v, small, sizeof small);
    RP_ASSERT((text != NULL) == (whole_len >= 0));
    bool is_plain = reprise_value_plain(v, &plain);
    if (text == NULL) {
        RP_ASSERT(!is_plain && small[0] == '\0' && !reprise_value_is(v, ""));
        return;
    }
    RP_ASSERT((size_t) whole_len == len && text[len] == '\0');
    RP_ASSERT(len >= sizeof small || memcmp(small, text, len + 1) == 0);
    RP_ASSERT(memcmp(small, text, strlen(small)) == 0);
    RP_ASSERT(!is_plain || (is_within(plain, v.json) && plain.len == len &&
                            (len == 0 || memcmp(plain.data, text, len) == 0)));
    RP_ASSERT(reprise_value_is(v, text) == (strlen(text) == len));
    free(text);
}

static void check_value(struct reprise_value v, size_t depth);

/* The elements, and some of them by lookup too. */
static void check_elements(struct reprise_value v, size_t depth) {
    struct reprise_iter it = reprise_value_iter(v);
    struct reprise_value key, element;
    size_t count = 0;
    while (reprise_iter_next(&it, &key, &element)) {
        RP_ASSERT(element.json.len > 0 && is_within(element.json, v.json));
        RP_ASSERT(is_within(key.json, v.json));
        if (reprise_value_type(v) == REPRISE_ARRAY && count < LOOKUPS_MAX) {
            RP_ASSERT(reprise_value_at(v, count).json.data == element.json.data);
        } else if (count < LOOKUPS_MAX) {
            char *name = reprise_value_strdup(key, NULL);
            struct reprise_value found = reprise_value_get(v, name);
            RP_ASSERT(name == NULL || !reprise_value_is(key, name) ||
                      (char *) found.json.data >= (char *) element.json.data);
            free(name);
        }
        check_string(key);
        check_value(element, depth + 1);
        count++;
    }
    RP_ASSERT(count == reprise_value_count(v));
    RP_ASSERT(reprise_value_type(reprise_value_at(v, count)) == REPRISE_ABSENT);
}

static void check_value(struct reprise_value v, size_t depth) {
    struct reprise_bytes bytes;
    bool flag;
    enum reprise_type type = reprise_value_type(v);
    check_numbers(v);
    check_string(v);
    RP_ASSERT(reprise_value_bool(v, &flag) != REPRISE_OK || type == REPRISE_BOOL);
    bool is_binary = reprise_value_binary(v, &bytes) == REPRISE_OK;
    RP_ASSERT(is_binary == (type == REPRISE_BINARY));
    RP_ASSERT(!is_binary || is_within(bytes, v.binary));
    if (depth < DEPTH_MAX) {
        check_elements(v, depth);
    }
}

static void check_same(struct reprise_value a, struct reprise_value b) {
    enum reprise_type type = reprise_value_type(a);
    RP_ASSERT(type == reprise_value_type(b) ||
              (type == REPRISE_NUMBER && isinf(reprise_value_double_or(a, 0))));
    struct reprise_bytes x, y;
    if (type == REPRISE_BINARY) {
        RP_ASSERT(reprise_value_binary(a, &x) == REPRISE_OK);
        RP_ASSERT(reprise_value_binary(b, &y) == REPRISE_OK);
        RP_ASSERT(x.len == y.len && (x.len == 0 || memcmp(x.data, y.data, x.len) == 0));
    } else if (type == REPRISE_NUMBER && !isinf(reprise_value_double_or(a, 0))) {
        RP_ASSERT(reprise_value_double_or(a, 1) == reprise_value_double_or(b, 2));
        /* a fraction may become whole in msgpack, where it is a double; never the other way */
        int64_t integer;
        RP_ASSERT(reprise_value_int64(a, &integer) != REPRISE_OK ||
                  (reprise_value_int64_or(b, integer ^ 1) == integer));
    } else if (type == REPRISE_BOOL) {
        RP_ASSERT(reprise_value_bool_or(a, true) == reprise_value_bool_or(b, false));
    } else if (type == REPRISE_STRING) {
        char *text = reprise_value_strdup(a, &x.len), *other = reprise_value_strdup(b, &y.len);
        RP_ASSERT(text != NULL && other != NULL && x.len == y.len);
        RP_ASSERT(memcmp(text, other, x.len) == 0);
        free(text);
        free(other);
    }
    struct reprise_iter ita = reprise_value_iter(a), itb = reprise_value_iter(b);
    struct reprise_value key_a, key_b, element_a, element_b;
    while (reprise_iter_next(&ita, &key_a, &element_a)) {
        RP_ASSERT(reprise_iter_next(&itb, &key_b, &element_b));
        if (type == REPRISE_OBJECT) {
            check_same(key_a, key_b);
        }
        check_same(element_a, element_b);
    }
    RP_ASSERT(!reprise_iter_next(&itb, &key_b, &element_b));
}

static bool is_excuse(enum reprise_err err) {
    return err == REPRISE_E_FULL || err == REPRISE_E_INVALID;
}

static void check_copies(struct reprise_value v) {
    struct reprise_builder *b = reprise_builder_new();
    RP_ASSERT(b != NULL);
    enum reprise_err checked = reprise_value_check(v);
    enum reprise_err copied = reprise_put_value(b, v);
    RP_ASSERT(checked != REPRISE_OK || copied == REPRISE_OK || is_excuse(copied));
    if (copied == REPRISE_OK) {
        struct reprise_value all = reprise_builder_value(b);
        RP_ASSERT(reprise_value_check(all) == REPRISE_OK && reprise_value_count(all) == 1);
        RP_ASSERT(checked != REPRISE_OK || reprise_value_type(v) != REPRISE_ABSENT);
        if (checked == REPRISE_OK) {
            check_same(v, reprise_value_at(all, 0));
        }
    }
    void *data = NULL;
    size_t len = 0;
    RP_ASSERT(reprise_value_to_msgpack(v, &data, &len) == checked);
    if (checked == REPRISE_OK) {
        reprise_builder_reset(b);
        enum reprise_err taken = reprise_put_msgpack(b, data, len);
        RP_ASSERT(taken == REPRISE_OK || is_excuse(taken));
        if (taken == REPRISE_OK) {
            check_same(v, reprise_value_at(reprise_builder_value(b), 0));
        }
    }
    free(data);
    reprise_builder_free(b);
}

/* Inside of other things, and as JSON. */
static void check_building(const uint8_t *data, size_t size, struct reprise_bytes text) {
    struct reprise_builder *b = reprise_builder_new();
    RP_ASSERT(b != NULL);
    reprise_put(b, "i{x:[", 1);
    if (reprise_put_msgpack(b, data, size) == REPRISE_OK) {
        RP_ASSERT(reprise_put(b, "]}") == REPRISE_OK);
        RP_ASSERT(reprise_value_check(reprise_builder_value(b)) == REPRISE_OK);
    }
    reprise_builder_reset(b);
    struct reprise_value v = reprise_value_parse(text.data, text.len);
    bool is_value = reprise_value_type(v) != REPRISE_ABSENT;
    enum reprise_err put = reprise_put_json(b, text.data, text.len);
    RP_ASSERT(is_value || put != REPRISE_OK);
    RP_ASSERT(!is_value || put == REPRISE_OK || is_excuse(put));
    if (put == REPRISE_OK) {
        check_same(v, reprise_value_at(reprise_builder_value(b), 0));
    }
    reprise_builder_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    size_t binary_len = (size_t) data[0] << 8 | data[1];
    binary_len = binary_len > size - 2 ? size - 2 : binary_len;
    struct reprise_value v = {
        .json = {.data = data + 2 + binary_len, .len = size - 2 - binary_len},
        .binary = {.data = data + 2, .len = binary_len},
    };
    check_value(v, 0);
    check_copies(v);
    check_building(data, size, v.json);
    return 0;
}
