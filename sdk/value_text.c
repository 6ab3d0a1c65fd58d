/* Strings of values, decoded piece by piece. */
#include "sdk/value_inner.h"

#include "proto/json.h"

#include <stdlib.h>

bool rp_value_text_len(struct reprise_value v, size_t *ret_len) {
    struct rp_json_text text;
    struct rp_bytes piece;
    size_t len = 0;
    if (!rp_json_text(rp_value_text(v), &text)) {
        return false;
    }
    while (rp_json_text_next(&text, &piece)) {
        if (!rp_bytes_is_utf8(piece)) {
            return false;
        }
        len += piece.len;
    }
    *ret_len = len;
    return true;
}

bool reprise_value_is(struct reprise_value v, const char *text) {
    struct rp_json_text iter;
    struct rp_bytes piece, wanted = rp_bytes_str(text);
    if (text == NULL || !rp_json_text(rp_value_text(v), &iter)) {
        return false;
    }
    while (rp_json_text_next(&iter, &piece)) {
        if (!rp_bytes_starts_with(wanted, piece)) {
            return false;
        }
        wanted = rp_bytes_skip(wanted, piece.len);
    }
    return wanted.len == 0;
}

/* As much of a piece as there is room for, in whole characters. */
static struct rp_bytes fit(struct rp_bytes piece, size_t room) {
    if (piece.len <= room) {
        return piece;
    }
    while (room > 0 && (piece.data[room] & 0xC0) == 0x80) {
        room--;
    }
    return rp_bytes(piece.data, room);
}

ptrdiff_t reprise_value_string(struct reprise_value v, char *buffer, size_t size) {
    size_t len = 0, at = 0;
    bool is_string = rp_value_text_len(v, &len);
    struct rp_json_text text;
    struct rp_bytes piece;
    if (is_string && size > 0 && rp_json_text(rp_value_text(v), &text)) {
        bool is_whole = true;
        while (is_whole && rp_json_text_next(&text, &piece)) {
            struct rp_bytes part = fit(piece, size - 1 - at);
            memcpy(buffer + at, part.data, part.len);
            at += part.len;
            is_whole = part.len == piece.len;
        }
    }
    if (size > 0) {
        buffer[at] = '\0';
    }
    return is_string ? (ptrdiff_t) len : -1;
}

bool reprise_value_plain(struct reprise_value v, struct reprise_bytes *ret_text) {
    struct rp_bytes text;
    if (!rp_json_string_plain(rp_value_text(v), &text) || !rp_bytes_is_utf8(text)) {
        return false;
    }
    *ret_text = rp_to_bytes(text);
    return true;
}

char *reprise_value_strdup(struct reprise_value v, size_t *ret_len) {
    size_t len;
    if (!rp_value_text_len(v, &len)) {
        return NULL;
    }
    char *text = malloc(len + 1);
    if (text == NULL) {
        return NULL;
    }
    (void) reprise_value_string(v, text, len + 1);
    if (ret_len != NULL) {
        *ret_len = len;
    }
    return text;
}
