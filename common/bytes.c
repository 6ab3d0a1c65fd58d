#include "common/bytes.h"

bool rp_bytes_to_u64(struct rp_bytes text, uint64_t *ret_value) {
    if (text.len == 0 || text.len > 20 || (text.len > 1 && text.data[0] == '0')) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        uint64_t digit = (uint64_t) (text.data[i] - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *ret_value = value;
    return true;
}

/* Length of the well-formed UTF-8 sequence at p (at most left bytes), 0 if there is none. RFC 3629
 * section 4. */
static size_t utf8_sequence(const uint8_t *p, size_t left) {
    uint8_t lead = p[0];
    size_t len = lead < 0x80   ? 1
                 : lead < 0xC2 ? 0
                 : lead < 0xE0 ? 2
                 : lead < 0xF0 ? 3
                 : lead < 0xF5 ? 4
                               : 0;
    if (len == 0 || len > left) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    if ((lead == 0xE0 && p[1] < 0xA0) || (lead == 0xED && p[1] > 0x9F) ||
        (lead == 0xF0 && p[1] < 0x90) || (lead == 0xF4 && p[1] > 0x8F)) {
        return 0;
    }
    return len;
}

bool rp_bytes_is_utf8(struct rp_bytes text) {
    for (size_t i = 0; i < text.len;) {
        uint64_t word;
        if (text.len - i >= sizeof word) {
            memcpy(&word, text.data + i, sizeof word);
            if ((word & 0x8080808080808080u) == 0) {
                i += sizeof word;
                continue;
            }
        }
        size_t len = utf8_sequence(text.data + i, text.len - i);
        if (len == 0) {
            return false;
        }
        i += len;
    }
    return true;
}

static bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct rp_bytes rp_bytes_trim(struct rp_bytes text) {
    while (text.len > 0 && is_space(text.data[0])) {
        text = rp_bytes_skip(text, 1);
    }
    while (text.len > 0 && is_space(text.data[text.len - 1])) {
        text.len--;
    }
    return text;
}

struct rp_bytes rp_bytes_next_line(struct rp_bytes *text) {
    const uint8_t *end = text->len > 0 ? memchr(text->data, '\n', text->len) : NULL;
    size_t len = end != NULL ? (size_t) (end - text->data) : text->len;
    struct rp_bytes line = rp_bytes(text->data, len);
    *text = rp_bytes_skip(*text, end != NULL ? len + 1 : len);
    if (line.len > 0 && line.data[line.len - 1] == '\r') {
        line.len--;
    }
    return line;
}

struct rp_bytes rp_bytes_next_word(struct rp_bytes *text) {
    while (text->len > 0 && is_space(text->data[0])) {
        *text = rp_bytes_skip(*text, 1);
    }
    struct rp_bytes word = rp_bytes(text->data, 0);
    while (word.len < text->len && !is_space(text->data[word.len])) {
        word.len++;
    }
    *text = rp_bytes_skip(*text, word.len);
    return word;
}
