#include "common/units.h"

#include "common/bytes.h"

#include <string.h>

/* No unit: allowed if the first one has no name. */
struct unit {
    const char *name;
    uint64_t factor;
};

static bool read(const char *text, const struct unit *units, uint64_t *ret_number) {
    size_t digits = strspn(text, "0123456789");
    uint64_t number;
    if (!rp_bytes_to_u64(rp_bytes(text, digits), &number)) {
        return false;
    }
    for (const struct unit *u = units; u->name != NULL; u++) {
        uint64_t product;
        if (strcmp(text + digits, u->name) == 0) {
            if (__builtin_mul_overflow(number, u->factor, &product)) {
                return false;
            }
            *ret_number = product;
            return true;
        }
    }
    return false;
}

bool rp_units_duration(const char *text, uint64_t *ret_ms) {
    static const struct unit units[] = {{"ms", 1},           {"s", 1000},
                                        {"m", 60 * 1000},    {"h", 60 * 60 * 1000},
                                        {"d", 24 * 3600000}, {NULL, 0}};
    return read(text, units, ret_ms);
}

bool rp_units_size(const char *text, uint64_t *ret_bytes) {
    static const struct unit units[] = {{"", 1},        {"k", 1 << 10}, {"K", 1 << 10},
                                        {"M", 1 << 20}, {"G", 1 << 30}, {NULL, 0}};
    return read(text, units, ret_bytes);
}

bool rp_units_count(const char *text, uint64_t *ret_count) {
    static const struct unit units[] = {{"", 1}, {NULL, 0}};
    return read(text, units, ret_count);
}
