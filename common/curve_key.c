#include "common/curve_key.h"

#include <stdio.h>

enum { Z85_GROUP = 5 }; /* characters for each 4 bytes */

/* The digits of Z85 in their order (ZeroMQ RFC 32). */
static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             ".-:+=^!/*?&<>()[]{}@%$#";

/* Whether five digits stand for 4 bytes: not all of them do. */
static bool is_group(const uint8_t group[Z85_GROUP]) {
    uint64_t value = 0;
    for (size_t i = 0; i < Z85_GROUP; i++) {
        const char *digit = memchr(digits, group[i], sizeof digits - 1);
        if (digit == NULL) {
            return false;
        }
        value = value * (sizeof digits - 1) + (uint64_t) (digit - digits);
    }
    return value <= UINT32_MAX;
}

enum rp_err rp_curve_key_parse(struct rp_bytes text, struct rp_curve_key *ret_key) {
    if (text.len != RP_CURVE_KEY_LEN) {
        return RP_E_INVALID;
    }
    for (size_t i = 0; i < text.len; i += Z85_GROUP) {
        if (!is_group(text.data + i)) {
            return RP_E_INVALID;
        }
    }
    memcpy(ret_key->text, text.data, RP_CURVE_KEY_LEN);
    ret_key->text[RP_CURVE_KEY_LEN] = '\0';
    return RP_OK;
}

bool rp_curve_key_is_set(const struct rp_curve_key *key) {
    return key->text[0] != '\0';
}

/* ---- files ---- */

/* Splits `name = value` at the first equals sign; a key may have more of them. */
static bool split(struct rp_bytes line, struct rp_bytes *ret_name, struct rp_bytes *ret_value) {
    const uint8_t *equals = memchr(line.data, '=', line.len);
    if (equals == NULL) {
        return false;
    }
    size_t len = (size_t) (equals - line.data);
    *ret_name = rp_bytes_trim(rp_bytes(line.data, len));
    *ret_value = rp_bytes_trim(rp_bytes_skip(line, len + 1));
    return true;
}

/* NULL, or what is wrong with the line. */
static const char *take_line(struct rp_bytes line, struct rp_curve_keys *keys) {
    struct rp_bytes name, value;
    if (!split(line, &name, &value)) {
        return "expected `public = KEY` or `secret = KEY`";
    }
    bool is_public = rp_bytes_eq_str(name, "public");
    if (!is_public && !rp_bytes_eq_str(name, "secret")) {
        return "expected `public = KEY` or `secret = KEY`";
    }
    struct rp_curve_key *into = is_public ? &keys->public_key : &keys->secret_key;
    if (rp_curve_key_is_set(into)) {
        return is_public ? "a second public key" : "a second secret key";
    }
    return rp_curve_key_parse(value, into) == RP_OK ? NULL : "expected " RP_CURVE_KEY_EXPECTED;
}

enum rp_err rp_curve_keys_parse(struct rp_bytes text, struct rp_curve_keys *ret_keys, char *ret_why,
                                size_t why_size) {
    struct rp_curve_keys keys = {.public_key.text = ""};
    for (unsigned number = 1; text.len > 0; number++) {
        struct rp_bytes line = rp_bytes_trim(rp_bytes_next_line(&text));
        const char *wrong = line.len == 0 || line.data[0] == '#' ? NULL : take_line(line, &keys);
        if (wrong != NULL) {
            snprintf(ret_why, why_size, "line %u: %s", number, wrong);
            return RP_E_INVALID;
        }
    }
    if (!rp_curve_key_is_set(&keys.public_key)) {
        snprintf(ret_why, why_size, "there is no line `public = KEY`");
        return RP_E_INVALID;
    }
    *ret_keys = keys;
    return RP_OK;
}

enum rp_err rp_curve_keys_put(struct rp_buf *out, const struct rp_curve_keys *keys) {
    if (!rp_curve_key_is_set(&keys->secret_key)) {
        return rp_buf_printf(
            out,
            "# The public key of a Reprise process, for its peers: a broker's for "
            "--broker-key,\n"
            "# a gateway's or worker's for the broker's --allow. It is no secret.\n"
            "public = %s\n",
            keys->public_key.text);
    }
    return rp_buf_printf(out,
                         "# The keys of one Reprise process, for its --curve-key. Keep this file "
                         "secret (mode 0600):\n"
                         "# whoever can read it can be that process. Peers get the file .pub "
                         "beside it.\n"
                         "public = %s\n"
                         "secret = %s\n",
                         keys->public_key.text, keys->secret_key.text);
}
