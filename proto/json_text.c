#include "proto/json.h"

#include "common/assert.h"
#include "proto/json_scan.h"

/* Strings. */

/* The text between the quotes, escapes as they are. */
static bool string_inside(struct rp_bytes value, struct rp_bytes *ret_raw) {
    if (value.len < 2 ||
        rp_json_scan_string(value.data, rp_json_end_of(value)) != rp_json_end_of(value)) {
        return false;
    }
    *ret_raw = rp_bytes(value.data + 1, value.len - 2);
    return true;
}

static uint32_t hex4(const uint8_t *p) {
    uint32_t unit = 0;
    for (size_t i = 0; i < 4; i++) {
        unit = unit << 4 | (uint32_t) rp_json_hex_digit(p[i]);
    }
    return unit;
}

/* The code point of the \u escape at *p, or of two that are a pair. False: a lone surrogate. */
static bool take_code_point(const uint8_t **p, const uint8_t *end, uint32_t *ret_code) {
    uint32_t unit = hex4(*p + 2);
    *p += 6;
    if (unit >= 0xD800 && unit <= 0xDFFF) {
        if (unit >= 0xDC00 || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u') {
            return false;
        }
        uint32_t low = hex4(*p + 2);
        if (low < 0xDC00 || low > 0xDFFF) {
            return false;
        }
        *p += 6;
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    }
    *ret_code = unit;
    return true;
}

static size_t encode_utf8(uint32_t code, uint8_t utf8[4]) {
    if (code < 0x80) {
        utf8[0] = (uint8_t) code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {[2] = 0xC0, [3] = 0xE0, [4] = 0xF0};
    for (size_t i = len - 1; i > 0; i--) {
        utf8[i] = (uint8_t) (0x80 | (code & 0x3F));
        code >>= 6;
    }
    utf8[0] = (uint8_t) (lead[len] | code);
    return len;
}

/* The UTF-8 of the valid escape at *p, which moves after it. Its length, 0: a lone surrogate. */
static size_t take_escape(const uint8_t **p, const uint8_t *end, uint8_t utf8[4]) {
    static const char letters[] = "bfnrt", codes[] = "\b\f\n\r\t";
    uint8_t escape = (*p)[1];
    if (escape == 'u') {
        uint32_t code;
        return take_code_point(p, end, &code) ? encode_utf8(code, utf8) : 0;
    }
    const char *letter = memchr(letters, escape, sizeof letters - 1);
    utf8[0] = letter != NULL ? (uint8_t) codes[letter - letters] : escape;
    *p += 2;
    return 1;
}

bool rp_json_key_is(struct rp_bytes raw_key, const char *name) {
    struct rp_bytes wanted = rp_bytes_str(name);
    struct rp_bytes raw;
    if (!string_inside(raw_key, &raw)) {
        return false;
    }
    const uint8_t *end = rp_json_end_of(raw);
    for (const uint8_t *p = raw.data; p < end;) {
        uint8_t bytes[4];
        size_t len = 1;
        if (*p == '\\') {
            len = take_escape(&p, end, bytes);
        } else {
            bytes[0] = *p++;
        }
        if (len == 0 || !rp_bytes_starts_with(wanted, rp_bytes(bytes, len))) {
            return false;
        }
        wanted = rp_bytes_skip(wanted, len);
    }
    return wanted.len == 0;
}

bool rp_json_string_plain(struct rp_bytes value, struct rp_bytes *ret_text) {
    if (value.len < 2 || value.data[0] != '"' || value.data[value.len - 1] != '"') {
        return false;
    }
    struct rp_bytes text = rp_bytes(value.data + 1, value.len - 2);
    if (rp_json_skip_plain(text.data, rp_json_end_of(text)) != rp_json_end_of(text)) {
        return false;
    }
    *ret_text = text;
    return true;
}

/* U+FFFD, what stands for what is none */
#define REPLACEMENT RP_BYTES_LIT("\xEF\xBF\xBD")

/* Appends the run of unescaped text at *p and the escape after it, if there is one; for a lone
 * surrogate what stands for it, or nothing if it is refused. */
static enum rp_err decode_some(const uint8_t **p, const uint8_t *end, struct rp_bytes lone,
                               struct rp_buf *out) {
    const uint8_t *run_end = rp_json_skip_plain(*p, end);
    struct rp_bytes run = rp_json_between(*p, run_end);
    *p = run_end;
    if (!rp_bytes_is_utf8(run)) {
        return RP_E_UTF8;
    }
    enum rp_err err = rp_buf_put(out, run);
    if (err != RP_OK || *p == end) {
        return err;
    }
    uint8_t utf8[4];
    size_t len = take_escape(p, end, utf8);
    struct rp_bytes decoded = len > 0 ? rp_bytes(utf8, len) : lone;
    return decoded.len > 0 ? rp_buf_put(out, decoded) : RP_E_UTF8;
}

static enum rp_err decode(struct rp_bytes value, struct rp_bytes lone, struct rp_buf *out) {
    struct rp_bytes raw;
    if (!string_inside(value, &raw)) {
        return RP_E_INVALID;
    }
    size_t before = out->len;
    const uint8_t *end = rp_json_end_of(raw);
    for (const uint8_t *p = raw.data; p < end;) {
        enum rp_err err = decode_some(&p, end, lone, out);
        if (err != RP_OK) {
            out->len = before;
            return err;
        }
    }
    return RP_OK;
}

enum rp_err rp_json_string_decode(struct rp_bytes value, struct rp_buf *out) {
    return decode(value, (struct rp_bytes){0}, out);
}

enum rp_err rp_json_string_decode_lossy(struct rp_bytes value, struct rp_buf *out) {
    return decode(value, REPLACEMENT, out);
}

bool rp_json_text(struct rp_bytes value, struct rp_json_text *ret_text) {
    struct rp_bytes raw;
    if (!string_inside(value, &raw)) {
        return false;
    }
    *ret_text = (struct rp_json_text){.rest = raw};
    return true;
}

bool rp_json_text_next(struct rp_json_text *text, struct rp_bytes *ret_piece) {
    const uint8_t *end = rp_json_end_of(text->rest);
    const uint8_t *p = text->rest.data;
    if (p == end) {
        return false;
    }
    const uint8_t *run_end = rp_json_skip_plain(p, end);
    if (run_end > p) {
        *ret_piece = rp_json_between(p, run_end);
        text->rest = rp_json_between(run_end, end);
        return true;
    }
    size_t len = take_escape(&p, end, text->decoded);
    *ret_piece = len > 0 ? rp_bytes(text->decoded, len) : REPLACEMENT;
    text->rest = rp_json_between(p, end);
    return true;
}

/* Numbers and words. */

/* value *= 10^n; false, and soon, if it gets larger than RP_JSON_INTEGER_MAX. value > 0. */
static bool scale_up(uint64_t *value, int64_t n) {
    while (n-- > 0) {
        *value *= 10;
        if (*value > RP_JSON_INTEGER_MAX) {
            return false;
        }
    }
    return true;
}

/* The digits after 'e', up to a bound that no number of decimals outweighs. */
static int64_t exponent_of(const uint8_t *p, const uint8_t *end) {
    static const int64_t bound = INT64_C(1) << 56;
    bool negative = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    int64_t exponent = 0;
    for (; p < end && exponent < bound; p++) {
        exponent = exponent * 10 + (*p - '0');
    }
    return negative ? -exponent : exponent;
}

bool rp_json_to_u64(struct rp_bytes value, uint64_t *ret_number) {
    const uint8_t *p = value.data;
    const uint8_t *end = rp_json_end_of(value);
    if (value.len == 0 || *p == '-' || rp_json_scan_number(p, end) != end) {
        return false;
    }
    /* the number is digits * 10^zeros; zeros are multiplied in only once a digit follows them */
    uint64_t digits = 0;
    int64_t zeros = 0, decimals = 0;
    bool in_fraction = false;
    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            in_fraction = true;
            continue;
        }
        decimals += in_fraction;
        zeros++;
        if (*p == '0') {
            continue;
        }
        if (digits > 0 && !scale_up(&digits, zeros)) {
            return false;
        }
        digits += (uint64_t) (*p - '0');
        zeros = 0;
    }
    if (digits > 0) {
        zeros += (p < end ? exponent_of(p + 1, end) : 0) - decimals;
        if (digits > RP_JSON_INTEGER_MAX || zeros < 0 || !scale_up(&digits, zeros)) {
            return false;
        }
    }
    *ret_number = digits;
    return true;
}

bool rp_json_to_bool(struct rp_bytes value, bool *ret_bool) {
    bool is_true = rp_bytes_eq_str(value, "true");
    if (!is_true && !rp_bytes_eq_str(value, "false")) {
        return false;
    }
    *ret_bool = is_true;
    return true;
}

/* Writing. */

/* The letter of the two-byte escape of a special byte, 0 if it has none and needs \u00XX. */
static char short_escape(uint8_t special) {
    switch (special) {
    case '"':
    case '\\':
        return (char) special;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

static uint8_t *write_escape(uint8_t *at, uint8_t special) {
    static const char hex[] = "0123456789abcdef";
    *at++ = '\\';
    char letter = short_escape(special);
    if (letter != 0) {
        *at++ = (uint8_t) letter;
        return at;
    }
    memcpy(at, "u00", 3);
    at[3] = (uint8_t) hex[special >> 4];
    at[4] = (uint8_t) hex[special & 15];
    return at + 5;
}

size_t rp_json_string_len(struct rp_bytes utf8) {
    size_t len = 2 + utf8.len;
    const uint8_t *end = rp_json_end_of(utf8);
    for (const uint8_t *p = utf8.data; (p = rp_json_skip_plain(p, end)) < end; p++) {
        len += short_escape(*p) != 0 ? 1 : 5;
    }
    return len;
}

uint8_t *rp_json_write_string(uint8_t *at, struct rp_bytes utf8) {
    const uint8_t *end = rp_json_end_of(utf8);
    *at++ = '"';
    for (const uint8_t *p = utf8.data; p < end;) {
        const uint8_t *run_end = rp_json_skip_plain(p, end);
        size_t run_len = (size_t) (run_end - p);
        memcpy(at, p, run_len);
        at += run_len;
        p = run_end;
        if (p < end) {
            at = write_escape(at, *p++);
        }
    }
    *at++ = '"';
    return at;
}

enum rp_err rp_json_put_string(struct rp_buf *out, struct rp_bytes utf8) {
    size_t len = rp_json_string_len(utf8);
    uint8_t *place = rp_buf_reserve(out, len);
    if (place == NULL) {
        return RP_E_FULL;
    }
    uint8_t *after = rp_json_write_string(place, utf8);
    RP_ASSERT(after == place + len);
    out->len += len;
    return RP_OK;
}
