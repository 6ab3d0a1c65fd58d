/* common/units.h — numbers as people write them: durations, sizes, counts. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Each takes the whole text, decimal digits and then a unit, and is false, with the target as it
 * was, if that is not what it is or it does not fit. */
bool rp_units_duration(const char *text, uint64_t *ret_ms); /* 500ms 25s 5m 2h 1d */
bool rp_units_size(const char *text, uint64_t *ret_bytes);  /* 1000000 64k 1M 2G; k is 1024 */
bool rp_units_count(const char *text, uint64_t *ret_count); /* 100 */
