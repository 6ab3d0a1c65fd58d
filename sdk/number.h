/* sdk/number.h — JSON's numbers as C's, and back, whatever the locale: other people's programs set
 * one, and then strtod and printf know another decimal point. */
#pragma once

#include "common/bytes.h"
#include "common/error.h"
#include "sdk/reprise_error.h"

enum { RP_NUMBER_BYTES = 32 }; /* for the longest text of a double, "-1.2345678901234567e-308" */

/* Below, `number` is the text of a valid JSON number. */

/* The value if it is whole, by value and not by spelling.
 *   REPRISE_E_TYPE    it has a fraction
 *   REPRISE_E_RANGE   64 bits do not hold its magnitude, or its digits before a fraction */
RP_MUST_USE enum reprise_err rp_number_to_integer(struct rp_bytes number, bool *ret_is_negative,
                                                  uint64_t *ret_magnitude);
/* The nearest double; infinite or zero where none is near. Linear in the text. */
double rp_number_to_double(struct rp_bytes number);

/* A finite number as JSON.stringify writes it (ECMA-262, Number::toString): with as few digits as
 * read the same. Writes no terminator; returns the length. */
size_t rp_number_write(double value, char text[RP_NUMBER_BYTES]);
