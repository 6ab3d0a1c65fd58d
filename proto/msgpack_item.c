#include "proto/msgpack_item.h"

#include <stdio.h>
#include <time.h>

/* A big-endian number of so many bytes, at most eight. */
static bool take_uint(struct rp_bytes *in, size_t size, uint64_t *ret_number) {
    if (in->len < size) {
        return false;
    }
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++) {
        number = number << 8 | in->data[i];
    }
    *in = rp_bytes_skip(*in, size);
    *ret_number = number;
    return true;
}

static bool take_bytes(struct rp_bytes *in, uint64_t len, struct rp_bytes *ret_bytes) {
    if (in->len < len) {
        return false;
    }
    *ret_bytes = rp_bytes(in->data, (size_t) len);
    *in = rp_bytes_skip(*in, (size_t) len);
    return true;
}

/* The number that follows, of 1, 2, 4 or 8 bytes: that to the power of two. */
static bool take_sized(struct rp_bytes *in, unsigned power, uint64_t *ret_number) {
    return take_uint(in, (size_t) 1 << power, ret_number);
}

static bool take_string(struct rp_bytes *in, uint64_t len, struct rp_msgpack_item *ret_item) {
    ret_item->kind = RP_MSGPACK_STRING;
    return take_bytes(in, len, &ret_item->as.bytes);
}

/* Each element is a byte at least: what announces more is refused before anybody counts on it. */
static bool begin(const struct rp_bytes *in, enum rp_msgpack_kind kind, uint64_t count,
                  struct rp_msgpack_item *ret_item) {
    *ret_item = (struct rp_msgpack_item){.kind = kind, .as.count = count};
    return (kind == RP_MSGPACK_MAP ? 2 * count : count) <= in->len;
}

static bool take_signed(struct rp_bytes *in, unsigned power, struct rp_msgpack_item *ret_item) {
    uint64_t bits;
    if (!take_sized(in, power, &bits)) {
        return false;
    }
    uint64_t sign = UINT64_C(1) << ((8U << power) - 1);
    if ((bits & sign) == 0) {
        *ret_item = (struct rp_msgpack_item){.kind = RP_MSGPACK_UINT, .as.uint = bits};
        return true;
    }
    /* -1 - ~bits in as many bits as there are, so that nothing overflows */
    *ret_item = (struct rp_msgpack_item){.kind = RP_MSGPACK_INT,
                                         .as.sint = -1 - (int64_t) (~bits & (sign - 1))};
    return true;
}

static bool take_float(struct rp_bytes *in, unsigned power, struct rp_msgpack_item *ret_item) {
    uint64_t bits;
    if (!take_sized(in, power, &bits)) {
        return false;
    }
    ret_item->kind = RP_MSGPACK_FLOAT;
    if (power == 2) {
        uint32_t half = (uint32_t) bits;
        float real;
        memcpy(&real, &half, sizeof real);
        ret_item->as.real = (double) real;
    } else {
        memcpy(&ret_item->as.real, &bits, sizeof bits);
    }
    return true;
}

/* 0xC7 to 0xC9 and 0xD4 to 0xD8. The three ext types that the reference knows all have the number
 * 0, and differ in their length's form alone. */
static bool take_ext(struct rp_bytes *in, uint8_t first, struct rp_msgpack_item *ret_item) {
    uint64_t len = 0, type, ignored;
    if (first <= 0xC9 && !take_sized(in, first - 0xC7U, &len)) {
        return false;
    }
    if (!take_uint(in, 1, &type) || type != 0) {
        return false;
    }
    switch (first) {
    case 0xC7:
    case 0xC8:
    case 0xC9:
        ret_item->kind = RP_MSGPACK_BINARY;
        return take_bytes(in, len, &ret_item->as.bytes);
    case 0xD4:
        ret_item->kind = RP_MSGPACK_UNDEFINED;
        return take_uint(in, 1, &ignored);
    case 0xD7: {
        struct rp_msgpack_item ms;
        if (!take_signed(in, 3, &ms)) {
            return false;
        }
        /* past the range of dates, which is far less, one is as good as another */
        bool is_huge = ms.kind == RP_MSGPACK_UINT && ms.as.uint > INT64_MAX;
        int64_t value = ms.kind == RP_MSGPACK_INT ? ms.as.sint
                        : is_huge                 ? INT64_MAX
                                                  : (int64_t) ms.as.uint;
        *ret_item = (struct rp_msgpack_item){.kind = RP_MSGPACK_DATE, .as.sint = value};
        return true;
    }
    default:
        return false;
    }
}

/* Those with a byte of their own (https://github.com/msgpack/msgpack/blob/master/spec.md). */
static bool take_other(struct rp_bytes *in, uint8_t first, struct rp_msgpack_item *ret_item) {
    uint64_t number = 0;
    switch (first) {
    case 0xC0:
        ret_item->kind = RP_MSGPACK_NIL;
        return true;
    case 0xC2:
    case 0xC3:
        *ret_item = (struct rp_msgpack_item){.kind = RP_MSGPACK_BOOL, .as.flag = first == 0xC3};
        return true;
    case 0xC4:
    case 0xC5:
    case 0xC6:
        ret_item->kind = RP_MSGPACK_BINARY;
        return take_sized(in, first - 0xC4U, &number) &&
               take_bytes(in, number, &ret_item->as.bytes);
    case 0xCA:
    case 0xCB:
        return take_float(in, first - 0xC8U, ret_item);
    case 0xCC:
    case 0xCD:
    case 0xCE:
    case 0xCF:
        ret_item->kind = RP_MSGPACK_UINT;
        return take_sized(in, first - 0xCCU, &ret_item->as.uint);
    case 0xD0:
    case 0xD1:
    case 0xD2:
    case 0xD3:
        return take_signed(in, first - 0xD0U, ret_item);
    case 0xD9:
    case 0xDA:
    case 0xDB:
        return take_sized(in, first - 0xD9U, &number) && take_string(in, number, ret_item);
    case 0xDC:
    case 0xDD:
        return take_sized(in, first - 0xDBU, &number) &&
               begin(in, RP_MSGPACK_ARRAY, number, ret_item);
    case 0xDE:
    case 0xDF:
        return take_sized(in, first - 0xDDU, &number) &&
               begin(in, RP_MSGPACK_MAP, number, ret_item);
    case 0xC1: /* "never used" */
        return false;
    default:
        return take_ext(in, first, ret_item);
    }
}

enum rp_err rp_msgpack_take(struct rp_bytes *in, struct rp_msgpack_item *ret_item) {
    uint64_t byte;
    if (!take_uint(in, 1, &byte)) {
        return RP_E_PROTOCOL;
    }
    uint8_t first = (uint8_t) byte;
    bool ok = true;
    if (first < 0x80) {
        *ret_item = (struct rp_msgpack_item){.kind = RP_MSGPACK_UINT, .as.uint = first};
    } else if (first < 0x90) {
        ok = begin(in, RP_MSGPACK_MAP, first & 0xFU, ret_item);
    } else if (first < 0xA0) {
        ok = begin(in, RP_MSGPACK_ARRAY, first & 0xFU, ret_item);
    } else if (first < 0xC0) {
        ok = take_string(in, first & 0x1FU, ret_item);
    } else if (first >= 0xE0) {
        *ret_item =
            (struct rp_msgpack_item){.kind = RP_MSGPACK_INT, .as.sint = (int64_t) first - 0x100};
    } else {
        ok = take_other(in, first, ret_item);
    }
    if (!ok) {
        return RP_E_PROTOCOL;
    }
    return ret_item->kind != RP_MSGPACK_STRING || rp_bytes_is_utf8(ret_item->as.bytes) ? RP_OK
                                                                                       : RP_E_UTF8;
}

enum rp_err rp_msgpack_take_key(struct rp_bytes *in, struct rp_bytes *ret_key) {
    struct rp_msgpack_item key;
    enum rp_err err = rp_msgpack_take(in, &key);
    if (err == RP_OK && key.kind != RP_MSGPACK_STRING) {
        err = RP_E_PROTOCOL;
    }
    if (err == RP_OK) {
        *ret_key = key.as.bytes;
    }
    return err;
}

enum rp_err rp_msgpack_skip(struct rp_bytes *in) {
    for (uint64_t left = 1; left > 0; left--) {
        struct rp_msgpack_item item;
        enum rp_err err = rp_msgpack_take(in, &item);
        if (err != RP_OK) {
            return err;
        }
        left += item.kind == RP_MSGPACK_ARRAY ? item.as.count
                : item.kind == RP_MSGPACK_MAP ? 2 * item.as.count
                                              : 0;
        if (left - 1 > in->len) { /* a byte for each at least */
            return RP_E_PROTOCOL;
        }
    }
    return RP_OK;
}

/* ECMA-262 section 21.4.4.36: years of more than four digits have a sign and six. */
bool rp_msgpack_date_text(int64_t ms, char text[RP_MSGPACK_DATE_BYTES]) {
    static const int64_t ms_max = INT64_C(8640000000000000);
    if (ms < -ms_max || ms > ms_max) {
        return false;
    }
    int64_t rest = ms % 1000 < 0 ? ms % 1000 + 1000 : ms % 1000;
    time_t seconds = (time_t) ((ms - rest) / 1000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL) {
        return false;
    }
    int year = tm.tm_year + 1900;
    snprintf(text, RP_MSGPACK_DATE_BYTES,
             year >= 0 && year <= 9999 ? "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ"
                                       : "%+07d-%02d-%02dT%02d:%02d:%02d.%03dZ",
             year, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int) rest);
    return true;
}
