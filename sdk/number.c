#include "sdk/number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- reading ---- */

/* A number taken apart as it is read: digit by digit, then the power of ten of the last one. */
struct digits {
    const uint8_t *p;
    const uint8_t *end;
    int64_t decimals;
    bool in_fraction;
};

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

static struct digits digits_of(struct rp_bytes number, bool *ret_is_negative) {
    *ret_is_negative = number.len > 0 && number.data[0] == '-';
    number = rp_bytes_skip(number, *ret_is_negative);
    return (struct digits){.p = number.data, .end = number.data + number.len};
}

static bool next_digit(struct digits *d, uint8_t *ret_digit) {
    if (d->p < d->end && *d->p == '.') {
        d->in_fraction = true;
        d->p++;
    }
    if (d->p == d->end || !is_digit(*d->p)) {
        return false;
    }
    d->decimals += d->in_fraction;
    *ret_digit = (uint8_t) (*d->p++ - '0');
    return true;
}

/* After the last digit. The exponent is read up to a bound that no number of decimals outweighs. */
static int64_t power_of(const struct digits *d) {
    static const int64_t bound = INT64_C(1) << 56;
    const uint8_t *p = d->p;
    if (p == d->end) {
        return -d->decimals;
    }
    p++; /* e */
    bool is_negative = p < d->end && *p == '-';
    p += p < d->end && (*p == '-' || *p == '+');
    int64_t exponent = 0;
    for (; p < d->end && exponent < bound; p++) {
        exponent = exponent * 10 + (*p - '0');
    }
    return (is_negative ? -exponent : exponent) - d->decimals;
}

/* *value = *value * 10^zeros + digit; false, and soon, if that does not fit. *value > 0. */
static bool append_digit(uint64_t *value, int64_t zeros, uint8_t digit) {
    for (; zeros > 0; zeros--) {
        if (*value > UINT64_MAX / 10) {
            return false;
        }
        *value *= 10;
    }
    if (*value > UINT64_MAX - digit) {
        return false;
    }
    *value += digit;
    return true;
}

enum reprise_err rp_number_to_integer(struct rp_bytes number, bool *ret_is_negative,
                                      uint64_t *ret_magnitude) {
    bool is_negative;
    struct digits d = digits_of(number, &is_negative);
    /* the number is value * 10^zeros; zeros are multiplied in only once a digit follows them */
    uint64_t value = 0;
    int64_t zeros = 0;
    uint8_t digit;
    while (next_digit(&d, &digit)) {
        zeros++;
        if (digit == 0) {
            continue;
        }
        if (value == 0) {
            value = digit;
        } else if (!append_digit(&value, zeros, digit)) {
            return REPRISE_E_RANGE;
        }
        zeros = 0;
    }
    if (value > 0) {
        zeros += power_of(&d);
        if (zeros < 0) {
            return REPRISE_E_TYPE;
        }
        if (!append_digit(&value, zeros, 0)) {
            return REPRISE_E_RANGE;
        }
    }
    *ret_is_negative = is_negative;
    *ret_magnitude = value;
    return REPRISE_OK;
}

/* Halfway between two doubles there is a decimal of at most 767 significant digits. Of more digits
 * only whether any is not zero can matter. */
enum { DIGITS_KEPT = 768 };

double rp_number_to_double(struct rp_bytes number) {
    char text[1 + DIGITS_KEPT + 1 + 24];
    bool is_negative, is_inexact = false;
    struct digits d = digits_of(number, &is_negative);
    size_t kept = 0;
    int64_t dropped = 0;
    uint8_t digit;
    while (next_digit(&d, &digit)) {
        if (kept == DIGITS_KEPT) {
            dropped++;
            is_inexact = is_inexact || digit != 0;
        } else if (kept > 0 || digit != 0) {
            text[kept++] = (char) ('0' + digit);
        }
    }
    if (kept == 0) {
        return is_negative ? -0.0 : 0.0;
    }
    if (is_inexact) { /* one digit stands for all that were dropped */
        text[kept++] = '1';
        dropped--;
    }
    /* past these powers everything is infinite or zero, with so few digits */
    static const int64_t power_max = 10000;
    int64_t power = power_of(&d) + dropped;
    power = power > power_max ? power_max : power < -power_max ? -power_max : power;
    snprintf(text + kept, sizeof text - kept, "e%d", (int) power);
    double value = strtod(text, NULL); /* there is no decimal point in it */
    return is_negative ? -value : value;
}

/* ---- writing ---- */

enum { SIGNIFICANT_MAX = 17 };

/* The significant digits of a positive number, without zeros at the end, and where the decimal
 * point is: that many digits from the left (ECMA-262 calls them s, k and n). */
struct decimal {
    char digits[SIGNIFICANT_MAX];
    int count;
    int point;
};

/* From what "%.*e" wrote: a digit, a decimal point of the locale, digits, the exponent. */
static struct decimal decimal_of(const char *text) {
    struct decimal d = {.count = 0};
    const char *p = text;
    for (; *p != '\0' && *p != 'e'; p++) {
        if (is_digit((uint8_t) *p) && d.count < SIGNIFICANT_MAX) {
            d.digits[d.count++] = *p;
        }
    }
    while (d.count > 1 && d.digits[d.count - 1] == '0') {
        d.count--;
    }
    d.point = 1 + (*p == 'e' ? (int) strtol(p + 1, NULL, 10) : 0);
    return d;
}

/* The first precision that reads the same. Fifteen digits of any number but the smallest come back,
 * so no fewer are tried: those have zeros at the end. */
static struct decimal shortest(double value) {
    char text[64];
    int precision = value < DBL_MIN ? 1 : DBL_DIG;
    for (;; precision++) {
        snprintf(text, sizeof text, "%.*e", precision - 1, value);
        if (precision == SIGNIFICANT_MAX || strtod(text, NULL) == value) {
            return decimal_of(text);
        }
    }
}

static char *put_zeros(char *at, int count) {
    for (int i = 0; i < count; i++) {
        *at++ = '0';
    }
    return at;
}

static char *put_digits(char *at, const struct decimal *d, int from, int to) {
    for (int i = from; i < to; i++) {
        *at++ = d->digits[i];
    }
    return at;
}

static char *put_decimal(char *at, const struct decimal *d) {
    enum { PLAIN_MAX = 21, PLAIN_MIN = -5 }; /* of the point; past them there is an exponent */
    if (d->count <= d->point && d->point <= PLAIN_MAX) {
        at = put_digits(at, d, 0, d->count);
        return put_zeros(at, d->point - d->count);
    }
    if (d->point > 0 && d->point <= PLAIN_MAX) {
        at = put_digits(at, d, 0, d->point);
        *at++ = '.';
        return put_digits(at, d, d->point, d->count);
    }
    if (d->point <= 0 && d->point >= PLAIN_MIN) {
        *at++ = '0';
        *at++ = '.';
        at = put_zeros(at, -d->point);
        return put_digits(at, d, 0, d->count);
    }
    at = put_digits(at, d, 0, 1);
    if (d->count > 1) {
        *at++ = '.';
        at = put_digits(at, d, 1, d->count);
    }
    return at + snprintf(at, 8, "e%+d", d->point - 1);
}

size_t rp_number_write(double value, char text[RP_NUMBER_BYTES]) {
    char *at = text;
    if (value < 0) {
        *at++ = '-';
        value = -value;
    }
    if (value == 0) {
        *at++ = '0';
    } else {
        struct decimal d = shortest(value);
        at = put_decimal(at, &d);
    }
    return (size_t) (at - text);
}
