/* Reading. Nothing here trusts the text: proto/json's iterators end early on one that is malformed,
 * and scalars are checked as a whole when somebody asks for what they mean. */
#include "sdk/value_inner.h"

#include "proto/attachments.h"
#include "proto/json.h"
#include "proto/sio.h"
#include "proto/sio_placeholder.h"
#include "sdk/number.h"

static const struct reprise_value ABSENT = {.json = {.data = NULL, .len = 0}};

static bool is_space(uint8_t c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

struct rp_bytes rp_value_text(struct reprise_value v) {
    struct rp_bytes text = rp_of_bytes(v.json);
    while (text.len > 0 && is_space(text.data[0])) {
        text = rp_bytes_skip(text, 1);
    }
    while (text.len > 0 && is_space(text.data[text.len - 1])) {
        text.len--;
    }
    return text;
}

static struct reprise_value part_of(struct reprise_bytes binary, struct rp_bytes text) {
    return (struct reprise_value){.json = rp_to_bytes(text), .binary = binary};
}

/* ---- binary values ---- */

bool rp_value_attachment(struct rp_bytes packed, uint64_t n, struct rp_bytes *ret_attachment) {
    struct rp_bytes attachment;
    while (rp_attachments_next(&packed, &attachment) == RP_OK) {
        if (n-- == 0) {
            *ret_attachment = attachment;
            return true;
        }
    }
    return false;
}

/* Whether an object stands for a binary value. One that names none that is there is an object like
 * others. */
static bool binary_of(struct reprise_value v, struct rp_bytes text,
                      struct rp_bytes *ret_attachment) {
    if (v.binary.len == 0 || text.len == 0 || text.data[0] != '{') {
        return false;
    }
    struct rp_sio_placeholder placeholder = {.is_placeholder = false};
    struct rp_json_iter it = rp_json_iter_object(text);
    struct rp_json_token member = {.step = RP_JSON_SCALAR};
    while (rp_json_iter_next(&it, &member.key, &member.value)) {
        rp_sio_placeholder_member(&placeholder, &member);
    }
    return placeholder.is_placeholder && placeholder.has_index &&
           rp_value_attachment(rp_of_bytes(v.binary), placeholder.index, ret_attachment);
}

enum reprise_err reprise_value_binary(struct reprise_value v, struct reprise_bytes *ret_bytes) {
    struct rp_bytes attachment;
    if (!binary_of(v, rp_value_text(v), &attachment)) {
        return REPRISE_E_TYPE;
    }
    *ret_bytes = rp_to_bytes(attachment);
    return REPRISE_OK;
}

/* ---- what it is ---- */

enum reprise_type reprise_value_type(struct reprise_value v) {
    struct rp_bytes text = rp_value_text(v), attachment;
    if (text.len == 0) {
        return REPRISE_ABSENT;
    }
    switch (text.data[0]) {
    case 'n':
        return REPRISE_NULL;
    case 't':
    case 'f':
        return REPRISE_BOOL;
    case '"':
        return REPRISE_STRING;
    case '[':
        return REPRISE_ARRAY;
    case '{':
        return binary_of(v, text, &attachment) ? REPRISE_BINARY : REPRISE_OBJECT;
    default:
        return text.data[0] == '-' || (text.data[0] >= '0' && text.data[0] <= '9') ? REPRISE_NUMBER
                                                                                   : REPRISE_ABSENT;
    }
}

const char *reprise_type_name(enum reprise_type type) {
    switch (type) {
    case REPRISE_ABSENT:
        return "absent";
    case REPRISE_NULL:
        return "null";
    case REPRISE_BOOL:
        return "bool";
    case REPRISE_NUMBER:
        return "number";
    case REPRISE_STRING:
        return "string";
    case REPRISE_ARRAY:
        return "array";
    case REPRISE_OBJECT:
        return "object";
    case REPRISE_BINARY:
        return "binary";
    }
    return "unknown";
}

enum reprise_err reprise_value_check(struct reprise_value v) {
    struct rp_bytes text = rp_value_text(v), value;
    if (text.len == 0) {
        return REPRISE_E_TYPE;
    }
    enum rp_err err = rp_json_whole(text, &value);
    if (err != RP_OK) {
        return err == RP_E_TOO_BIG ? REPRISE_E_FULL : REPRISE_E_INVALID;
    }
    struct rp_bytes packed = rp_of_bytes(v.binary);
    size_t binaries_count = 0;
    if (!rp_bytes_is_utf8(text) || rp_attachments_count(packed, &binaries_count) != RP_OK) {
        return REPRISE_E_INVALID;
    }
    return binaries_count == 0 || rp_sio_placeholders_valid(text, binaries_count)
               ? REPRISE_OK
               : REPRISE_E_INVALID;
}

struct reprise_value reprise_value_parse(const char *json, size_t len) {
    struct reprise_value v = {.json = {.data = json, .len = len}};
    v = part_of(v.binary, rp_value_text(v));
    return reprise_value_check(v) == REPRISE_OK ? v : ABSENT;
}

/* ---- scalars ---- */

enum reprise_err reprise_value_bool(struct reprise_value v, bool *ret_bool) {
    return rp_json_to_bool(rp_value_text(v), ret_bool) ? REPRISE_OK : REPRISE_E_TYPE;
}

static bool number_of(struct reprise_value v, struct rp_bytes *ret_number) {
    return reprise_value_type(v) == REPRISE_NUMBER &&
           rp_json_whole(rp_value_text(v), ret_number) == RP_OK;
}

static enum reprise_err integer_of(struct reprise_value v, bool *ret_is_negative,
                                   uint64_t *ret_magnitude) {
    struct rp_bytes number;
    return number_of(v, &number) ? rp_number_to_integer(number, ret_is_negative, ret_magnitude)
                                 : REPRISE_E_TYPE;
}

enum reprise_err reprise_value_int64(struct reprise_value v, int64_t *ret_number) {
    bool is_negative;
    uint64_t magnitude;
    enum reprise_err err = integer_of(v, &is_negative, &magnitude);
    if (err != REPRISE_OK) {
        return err;
    }
    if (magnitude > (uint64_t) INT64_MAX + is_negative) {
        return REPRISE_E_RANGE;
    }
    *ret_number =
        is_negative && magnitude > 0 ? -1 - (int64_t) (magnitude - 1) : (int64_t) magnitude;
    return REPRISE_OK;
}

enum reprise_err reprise_value_uint64(struct reprise_value v, uint64_t *ret_number) {
    bool is_negative;
    uint64_t magnitude;
    enum reprise_err err = integer_of(v, &is_negative, &magnitude);
    if (err != REPRISE_OK) {
        return err;
    }
    if (is_negative && magnitude > 0) {
        return REPRISE_E_RANGE;
    }
    *ret_number = magnitude;
    return REPRISE_OK;
}

enum reprise_err reprise_value_double(struct reprise_value v, double *ret_number) {
    struct rp_bytes number;
    if (!number_of(v, &number)) {
        return REPRISE_E_TYPE;
    }
    *ret_number = rp_number_to_double(number);
    return REPRISE_OK;
}

bool reprise_value_bool_or(struct reprise_value v, bool otherwise) {
    (void) reprise_value_bool(v, &otherwise);
    return otherwise;
}

int64_t reprise_value_int64_or(struct reprise_value v, int64_t otherwise) {
    (void) reprise_value_int64(v, &otherwise);
    return otherwise;
}

double reprise_value_double_or(struct reprise_value v, double otherwise) {
    (void) reprise_value_double(v, &otherwise);
    return otherwise;
}

/* ---- arrays and objects ---- */

struct reprise_iter reprise_value_iter(struct reprise_value v) {
    struct rp_bytes text = rp_value_text(v), attachment;
    struct reprise_iter it = {.binary = v.binary};
    if (text.len == 0 || binary_of(v, text, &attachment)) {
        return it;
    }
    it.is_object = text.data[0] == '{';
    it.rest =
        rp_to_bytes(it.is_object ? rp_json_iter_object(text).rest : rp_json_iter_array(text).rest);
    return it;
}

bool reprise_iter_next(struct reprise_iter *it, struct reprise_value *ret_key,
                       struct reprise_value *ret_element) {
    struct rp_json_iter inner = {.rest = rp_of_bytes(it->rest), .is_object = it->is_object};
    struct rp_bytes key, element;
    bool is_there = rp_json_iter_next(&inner, &key, &element);
    it->rest = rp_to_bytes(inner.rest);
    if (!is_there) {
        return false;
    }
    if (ret_key != NULL) {
        *ret_key = (struct reprise_value){.json = rp_to_bytes(key)};
    }
    *ret_element = part_of(it->binary, element);
    return true;
}

size_t reprise_value_count(struct reprise_value v) {
    struct reprise_iter it = reprise_value_iter(v);
    struct reprise_value element;
    size_t count = 0;
    while (reprise_iter_next(&it, NULL, &element)) {
        count++;
    }
    return count;
}

struct reprise_value reprise_value_at(struct reprise_value array, size_t index) {
    struct reprise_iter it = reprise_value_iter(array);
    struct reprise_value element;
    while (!it.is_object && reprise_iter_next(&it, NULL, &element)) {
        if (index-- == 0) {
            return element;
        }
    }
    return ABSENT;
}

struct reprise_value reprise_value_get(struct reprise_value object, const char *key) {
    struct reprise_iter it = reprise_value_iter(object);
    struct reprise_value found = ABSENT, name, element;
    while (it.is_object && reprise_iter_next(&it, &name, &element)) {
        if (reprise_value_is(name, key)) {
            found = element;
        }
    }
    return found;
}
