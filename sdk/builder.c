/* Writing. All bytes of the list go through put_raw, all values begin in begin_value. */
#include "sdk/builder_inner.h"

#include "common/limits.h"
#include "proto/attachments.h"
#include "proto/json.h"
#include "proto/sio_placeholder.h"
#include "sdk/number.h"
#include "sdk/value_inner.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    DEPTH_MAX = RP_JSON_DEPTH_MAX - 1, /* the list is an array around them */
    KEPT_BYTES = 64 << 10,             /* of memory, over a reset */
};

/* ---- life ---- */

static void clear(struct reprise_builder *b) {
    b->binary_count = 0;
    b->count = 0;
    b->open = (struct rp_json_nesting){.depth = 0};
    b->needs_comma = false;
    b->has_key = false;
    b->err = rp_room(&b->json, 2);
    if (b->err == REPRISE_OK && rp_buf_put_str(&b->json, "[") != RP_OK) {
        b->err = REPRISE_E_FULL;
    }
}

struct reprise_builder *reprise_builder_new(void) {
    struct reprise_builder *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return NULL;
    }
    rp_buf_init(&b->json, RP_PAYLOAD_BYTES_MAX);
    rp_buf_init(&b->binary, RP_PAYLOAD_BYTES_MAX);
    clear(b);
    return b;
}

void reprise_builder_free(struct reprise_builder *b) {
    if (b != NULL) {
        rp_buf_done(&b->json);
        rp_buf_done(&b->binary);
        free(b);
    }
}

void reprise_builder_reset(struct reprise_builder *b) {
    if (b != NULL) {
        rp_buf_shrink(&b->json, KEPT_BYTES);
        rp_buf_shrink(&b->binary, KEPT_BYTES);
        clear(b);
    }
}

enum reprise_err rp_builder_fail(struct reprise_builder *b, enum reprise_err err) {
    if (b == NULL) {
        return REPRISE_E_NO_MEMORY;
    }
    b->err = b->err ? b->err : err;
    return b->err;
}

/* ---- results ---- */

enum reprise_err reprise_builder_error(const struct reprise_builder *b) {
    if (b == NULL) {
        return REPRISE_E_NO_MEMORY;
    }
    return b->err == REPRISE_OK && b->open.depth > 0 ? REPRISE_E_INVALID : b->err;
}

size_t reprise_builder_count(const struct reprise_builder *b) {
    return b != NULL ? b->count : 0;
}

struct reprise_value reprise_builder_value(struct reprise_builder *b) {
    if (reprise_builder_error(b) != REPRISE_OK) {
        return (struct reprise_value){.json = {.data = NULL, .len = 0}};
    }
    b->json.data[b->json.len] = ']';
    return (struct reprise_value){
        .json = {.data = b->json.data, .len = b->json.len + 1},
        .binary = rp_to_bytes(rp_buf_bytes(&b->binary)),
    };
}

/* ---- pieces ---- */

/* Room for n more bytes in one of the two buffers, which have one maximum together, and for the
 * last bracket. */
static bool has_room(struct reprise_builder *b, struct rp_buf *buf, size_t n) {
    size_t used = b->json.len + b->binary.len + 1;
    if (b->err == REPRISE_OK) {
        b->err =
            n > RP_PAYLOAD_BYTES_MAX - used ? REPRISE_E_FULL : rp_room(buf, n + (buf == &b->json));
    }
    return b->err == REPRISE_OK;
}

static void put_raw(struct reprise_builder *b, struct rp_bytes bytes) {
    if (has_room(b, &b->json, bytes.len) && rp_buf_put(&b->json, bytes) != RP_OK) {
        b->err = REPRISE_E_FULL;
    }
}

static void put_json_string(struct reprise_builder *b, struct rp_bytes text) {
    if (text.len > RP_PAYLOAD_BYTES_MAX) {
        rp_builder_fail(b, REPRISE_E_FULL);
    } else if (!rp_bytes_is_utf8(text)) {
        rp_builder_fail(b, REPRISE_E_INVALID);
    } else if (has_room(b, &b->json, rp_json_string_len(text)) &&
               rp_json_put_string(&b->json, text) != RP_OK) {
        b->err = REPRISE_E_FULL;
    }
}

/* Before a value: a comma in arrays, and that it may be here. False: it may not, or there was an
 * error. */
static bool begin_value(struct reprise_builder *b) {
    if (b == NULL || b->err != REPRISE_OK) {
        return false;
    }
    bool in_object = rp_builder_in_object(b);
    if (in_object && !b->has_key) {
        b->err = REPRISE_E_INVALID;
    } else if (!in_object && b->needs_comma) {
        put_raw(b, RP_BYTES_LIT(","));
    }
    if (b->err != REPRISE_OK) {
        return false;
    }
    b->count += b->open.depth == 0;
    b->needs_comma = true;
    b->has_key = false;
    return true;
}

/* A whole value in JSON, which is valid. */
static enum reprise_err put_scalar(struct reprise_builder *b, struct rp_bytes json) {
    if (begin_value(b)) {
        put_raw(b, json);
    }
    return rp_builder_fail(b, REPRISE_OK);
}

/* Before a key: a comma, and that it may be here. */
static bool begin_key(struct reprise_builder *b) {
    if (b == NULL || b->err != REPRISE_OK) {
        return false;
    }
    if (!rp_builder_in_object(b) || b->has_key) {
        b->err = REPRISE_E_INVALID;
    } else if (b->needs_comma) {
        put_raw(b, RP_BYTES_LIT(","));
    }
    return b->err == REPRISE_OK;
}

static void end_key(struct reprise_builder *b, bool is_placeholder) {
    put_raw(b, RP_BYTES_LIT(":"));
    b->has_key = true;
    b->key_is_placeholder = is_placeholder;
}

static enum reprise_err begin(struct reprise_builder *b, bool is_object) {
    if (begin_value(b)) {
        if (b->open.depth == DEPTH_MAX || !rp_json_nesting_push(&b->open, is_object)) {
            return rp_builder_fail(b, REPRISE_E_FULL);
        }
        put_raw(b, is_object ? RP_BYTES_LIT("{") : RP_BYTES_LIT("["));
        b->needs_comma = false;
    }
    return rp_builder_fail(b, REPRISE_OK);
}

static enum reprise_err end(struct reprise_builder *b, bool is_object) {
    if (b == NULL || b->err != REPRISE_OK) {
        return rp_builder_fail(b, REPRISE_OK);
    }
    if (b->open.depth == 0 || rp_builder_in_object(b) != is_object || b->has_key) {
        return rp_builder_fail(b, REPRISE_E_INVALID);
    }
    put_raw(b, is_object ? RP_BYTES_LIT("}") : RP_BYTES_LIT("]"));
    b->open.depth--;
    b->needs_comma = true;
    return b->err;
}

/* ---- arrays and objects ---- */

enum reprise_err reprise_begin_array(struct reprise_builder *b) {
    return begin(b, false);
}

enum reprise_err reprise_end_array(struct reprise_builder *b) {
    return end(b, false);
}

enum reprise_err reprise_begin_object(struct reprise_builder *b) {
    return begin(b, true);
}

enum reprise_err reprise_end_object(struct reprise_builder *b) {
    return end(b, true);
}

enum reprise_err reprise_put_key_text(struct reprise_builder *b, const char *key, size_t len) {
    if (key == NULL && len > 0) {
        return rp_builder_fail(b, REPRISE_E_INVALID);
    }
    if (begin_key(b)) {
        struct rp_bytes text = rp_bytes(key, len);
        put_json_string(b, text);
        end_key(b, rp_bytes_eq_str(text, "_placeholder"));
    }
    return rp_builder_fail(b, REPRISE_OK);
}

enum reprise_err reprise_put_key(struct reprise_builder *b, const char *key) {
    return key != NULL ? reprise_put_key_text(b, key, strlen(key))
                       : rp_builder_fail(b, REPRISE_E_INVALID);
}

/* ---- scalars ---- */

enum reprise_err reprise_put_null(struct reprise_builder *b) {
    return put_scalar(b, RP_BYTES_LIT("null"));
}

enum reprise_err reprise_put_bool(struct reprise_builder *b, bool value) {
    if (b != NULL && value && b->has_key && b->key_is_placeholder) {
        return rp_builder_fail(b, REPRISE_E_INVALID);
    }
    return put_scalar(b, value ? RP_BYTES_LIT("true") : RP_BYTES_LIT("false"));
}

enum reprise_err reprise_put_int64(struct reprise_builder *b, int64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    return put_scalar(b, rp_bytes_str(text));
}

enum reprise_err reprise_put_uint64(struct reprise_builder *b, uint64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return put_scalar(b, rp_bytes_str(text));
}

enum reprise_err reprise_put_double(struct reprise_builder *b, double value) {
    char text[RP_NUMBER_BYTES];
    if (!isfinite(value)) {
        return reprise_put_null(b);
    }
    size_t len = rp_number_write(value, text);
    return put_scalar(b, rp_bytes(text, len));
}

enum reprise_err reprise_put_text(struct reprise_builder *b, const char *text, size_t len) {
    if (text == NULL && len > 0) {
        return rp_builder_fail(b, REPRISE_E_INVALID);
    }
    if (begin_value(b)) {
        put_json_string(b, rp_bytes(text, len));
    }
    return rp_builder_fail(b, REPRISE_OK);
}

enum reprise_err reprise_put_string(struct reprise_builder *b, const char *text) {
    return text != NULL ? reprise_put_text(b, text, strlen(text)) : reprise_put_null(b);
}

/* ---- binary values ---- */

/* Where a value begins already. */
static void put_attachment(struct reprise_builder *b, struct rp_bytes bytes) {
    char text[64];
    if (b->binary_count == RP_SIO_ATTACHMENTS_MAX || bytes.len > RP_PAYLOAD_BYTES_MAX) {
        rp_builder_fail(b, REPRISE_E_FULL);
        return;
    }
    snprintf(text, sizeof text, "{\"_placeholder\":true,\"num\":%zu}", b->binary_count);
    put_raw(b, rp_bytes_str(text));
    if (has_room(b, &b->binary, rp_attachments_packed_len(bytes.len)) &&
        rp_attachments_put(&b->binary, bytes) != RP_OK) {
        b->err = REPRISE_E_FULL;
    }
    b->binary_count++;
}

enum reprise_err reprise_put_binary(struct reprise_builder *b, const void *data, size_t len) {
    if (data == NULL && len > 0) {
        return rp_builder_fail(b, REPRISE_E_INVALID);
    }
    if (begin_value(b)) {
        put_attachment(b, rp_bytes(data, len));
    }
    return rp_builder_fail(b, REPRISE_OK);
}

/* ---- JSON ---- */

/* An array or object that is being copied: what the builder was before it. */
struct mark {
    size_t json_len, binary_len, binary_count;
    struct rp_sio_placeholder placeholder;
};

/* An object is complete. If it stands for a binary value, that one is put in its place, whatever
 * else was in it. */
static void end_copied(struct reprise_builder *b, const struct mark *mark, struct rp_bytes packed) {
    const struct rp_sio_placeholder *placeholder = &mark->placeholder;
    struct rp_bytes attachment;
    if (b->err != REPRISE_OK || !placeholder->is_placeholder) {
        return;
    }
    if (!placeholder->has_index || !rp_value_attachment(packed, placeholder->index, &attachment)) {
        rp_builder_fail(b, REPRISE_E_INVALID);
        return;
    }
    b->json.len = mark->json_len;
    b->binary.len = mark->binary_len;
    b->binary_count = mark->binary_count;
    put_attachment(b, attachment);
}

/* An array or object opens; where it begins is known once begin_value wrote its comma. */
static void begin_copied(struct reprise_builder *b, bool is_object, struct mark *ret_mark) {
    begin(b, is_object);
    *ret_mark = (struct mark){
        .json_len = b->json.len - (b->err == REPRISE_OK),
        .binary_len = b->binary.len,
        .binary_count = b->binary_count,
    };
}

static void copy_key(struct reprise_builder *b, struct rp_bytes raw_key) {
    if (begin_key(b)) {
        put_raw(b, raw_key);
        end_key(b, false); /* end_copied looks at that */
    }
}

/* Copies one value. Linear in it. */
static void copy(struct reprise_builder *b, struct rp_bytes json, struct rp_bytes packed) {
    struct mark marks[RP_JSON_DEPTH_MAX]; /* by the depth inside, less one */
    struct rp_json_walk walk = rp_json_walk(json);
    size_t values_count = 0;
    while (b->err == REPRISE_OK) {
        struct rp_json_token token = rp_json_walk_next(&walk);
        values_count +=
            token.depth == 0 && (token.step == RP_JSON_OPEN || token.step == RP_JSON_SCALAR);
        if (values_count > 1 || token.step == RP_JSON_BROKEN) {
            rp_builder_fail(b, REPRISE_E_INVALID);
            return;
        }
        if (token.key.len > 0) {
            rp_sio_placeholder_member(&marks[token.depth - 1].placeholder, &token);
            copy_key(b, token.key);
        }
        if (token.step == RP_JSON_OPEN) {
            begin_copied(b, token.value.data[0] == '{', &marks[token.depth]);
        } else if (token.step == RP_JSON_SCALAR) {
            put_scalar(b, token.value);
        } else if (token.step == RP_JSON_CLOSE) {
            end(b, token.value.data[0] == '}');
            end_copied(b, &marks[token.depth], packed);
        } else {
            rp_builder_fail(b, values_count == 1 ? REPRISE_OK : REPRISE_E_INVALID);
            return;
        }
    }
}

enum reprise_err reprise_put_json(struct reprise_builder *b, const char *json, size_t len) {
    struct rp_bytes text = rp_bytes(json, len);
    if (b != NULL && b->err == REPRISE_OK) {
        if (json == NULL || !rp_bytes_is_utf8(text)) {
            return rp_builder_fail(b, REPRISE_E_INVALID);
        }
        copy(b, text, (struct rp_bytes){0});
    }
    return rp_builder_fail(b, REPRISE_OK);
}

enum reprise_err reprise_put_value(struct reprise_builder *b, struct reprise_value v) {
    struct rp_bytes text = rp_value_text(v);
    if (b != NULL && b->err == REPRISE_OK) {
        if (text.len == 0 || !rp_bytes_is_utf8(text)) {
            return rp_builder_fail(b, text.len == 0 ? REPRISE_E_TYPE : REPRISE_E_INVALID);
        }
        copy(b, text, rp_of_bytes(v.binary));
    }
    return rp_builder_fail(b, REPRISE_OK);
}
