#include "common/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* What a character of the alphabet stands for. NONE has the bits that no value has. */
enum { NONE = 0xFF, VALUE_BITS = 0x3F };

static const uint8_t values[128] = {
    /* clang-format off */
    NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
    NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
    NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 62, NONE, NONE, NONE, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, NONE, NONE, NONE, NONE, NONE, NONE,
    NONE, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, NONE, NONE, NONE, NONE, NONE,
    NONE, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, NONE, NONE, NONE, NONE, NONE,
    /* clang-format on */
};

size_t rp_base64_len(size_t data_len) {
    return (data_len / 3 + (data_len % 3 != 0)) * 4;
}

uint8_t *rp_base64_write(uint8_t *at, struct rp_bytes data) {
    size_t i = 0;
    for (; data.len - i >= 3; i += 3) {
        uint32_t bits =
            (uint32_t) data.data[i] << 16 | (uint32_t) data.data[i + 1] << 8 | data.data[i + 2];
        *at++ = (uint8_t) alphabet[bits >> 18];
        *at++ = (uint8_t) alphabet[bits >> 12 & VALUE_BITS];
        *at++ = (uint8_t) alphabet[bits >> 6 & VALUE_BITS];
        *at++ = (uint8_t) alphabet[bits & VALUE_BITS];
    }
    size_t left = data.len - i;
    if (left > 0) {
        uint32_t bits =
            (uint32_t) data.data[i] << 16 | (left == 2 ? (uint32_t) data.data[i + 1] << 8 : 0);
        *at++ = (uint8_t) alphabet[bits >> 18];
        *at++ = (uint8_t) alphabet[bits >> 12 & VALUE_BITS];
        *at++ = left == 2 ? (uint8_t) alphabet[bits >> 6 & VALUE_BITS] : '=';
        *at++ = '=';
    }
    return at;
}

static uint32_t value_of(uint8_t c) {
    return c < sizeof values ? values[c] : (uint32_t) NONE;
}

/* The text without its padding. What is left of a wrong one is no character of the alphabet. */
static struct rp_bytes without_padding(struct rp_bytes text) {
    if (text.len > 0 && text.len % 4 == 0 && text.data[text.len - 1] == '=') {
        text.len -= text.data[text.len - 2] == '=' ? 2 : 1;
    }
    return text;
}

/* The last two or three characters, which are one or two bytes and bits that must be zero. */
static bool decode_tail(struct rp_bytes tail, uint8_t *at) {
    uint32_t first = value_of(tail.data[0]), second = value_of(tail.data[1]);
    uint32_t third = tail.len == 3 ? value_of(tail.data[2]) : 0;
    uint32_t bits = first << 18 | second << 12 | third << 6;
    if ((first | second | third) > VALUE_BITS || (bits & (tail.len == 3 ? 0xFF : 0xFFFF)) != 0) {
        return false;
    }
    at[0] = (uint8_t) (bits >> 16);
    if (tail.len == 3) {
        at[1] = (uint8_t) (bits >> 8);
    }
    return true;
}

enum rp_err rp_base64_decode(struct rp_bytes text, struct rp_buf *out) {
    text = without_padding(text);
    size_t tail_len = text.len % 4;
    if (tail_len == 1) {
        return RP_E_INVALID;
    }
    size_t data_len = text.len / 4 * 3 + (tail_len > 0 ? tail_len - 1 : 0);
    uint8_t *place = rp_buf_reserve(out, data_len);
    if (place == NULL) {
        return RP_E_FULL;
    }
    uint8_t *at = place;
    uint32_t seen = 0; /* all values or-ed, so that one look at the end is enough */
    for (; text.len >= 4; text = rp_bytes_skip(text, 4)) {
        uint32_t a = value_of(text.data[0]), b = value_of(text.data[1]);
        uint32_t c = value_of(text.data[2]), d = value_of(text.data[3]);
        seen |= a | b | c | d;
        uint32_t bits = a << 18 | b << 12 | c << 6 | d;
        *at++ = (uint8_t) (bits >> 16);
        *at++ = (uint8_t) (bits >> 8);
        *at++ = (uint8_t) bits;
    }
    if (seen > VALUE_BITS || (tail_len > 0 && !decode_tail(text, at))) {
        return RP_E_INVALID;
    }
    out->len += data_len;
    return RP_OK;
}
