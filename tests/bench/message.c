#include "tests/bench/message.h"

#include "common/assert.h"

#define PATTERN "{\"n\":\"0000000000\",\"t\":\"0000000000000000000\",\"x\":\"xxxxxxxxxxxxx\"}"
#define BEFORE "[\"msg\","
#define AFTER ",\""

enum { N_AT = 6, N_DIGITS = 10, T_AT = 23, T_DIGITS = 19 };

_Static_assert(sizeof PATTERN - 1 == RP_MESSAGE_BYTES, "64 bytes are what is compared with others");

static void put_digits(char *at, size_t digits, uint64_t value) {
    for (size_t i = digits; i-- > 0; value /= 10) {
        at[i] = (char) ('0' + value % 10);
    }
    RP_ASSERT(value == 0);
}

/* The digits at the front, at most max of them. Returns how many there are. */
static size_t take_digits(const uint8_t *at, size_t max, uint64_t *ret_value) {
    uint64_t value = 0;
    size_t n = 0;
    for (; n < max && at[n] >= '0' && at[n] <= '9'; n++) {
        value = value * 10 + (uint64_t) (at[n] - '0');
    }
    *ret_value = value;
    return n;
}

void rp_message_write(char out[RP_MESSAGE_BYTES], const struct rp_message *m) {
    memcpy(out, PATTERN, RP_MESSAGE_BYTES);
    put_digits(out + N_AT, N_DIGITS, m->n);
    put_digits(out + T_AT, T_DIGITS, m->sent_ns);
}

bool rp_message_read(struct rp_bytes event, struct rp_message *ret_message) {
    struct rp_message m;
    if (!rp_bytes_starts_with(event, RP_BYTES_LIT(BEFORE))) {
        return false;
    }
    struct rp_bytes rest = rp_bytes_skip(event, sizeof BEFORE - 1);
    if (rest.len <= RP_MESSAGE_BYTES || memcmp(rest.data, PATTERN, N_AT) != 0 ||
        take_digits(rest.data + N_AT, N_DIGITS, &m.n) != N_DIGITS ||
        take_digits(rest.data + T_AT, T_DIGITS, &m.sent_ns) != T_DIGITS) {
        return false;
    }
    rest = rp_bytes_skip(rest, RP_MESSAGE_BYTES);
    if (rp_bytes_eq_str(rest, "]")) {
        m.seq = 0;
        *ret_message = m;
        return true;
    }
    if (!rp_bytes_starts_with(rest, RP_BYTES_LIT(AFTER))) {
        return false;
    }
    rest = rp_bytes_skip(rest, sizeof AFTER - 1);
    size_t digits = take_digits(rest.data, rest.len < 19 ? rest.len : 19, &m.seq);
    if (digits == 0 || digits == rest.len || rest.data[digits] != '-') {
        return false;
    }
    *ret_message = m;
    return true;
}
