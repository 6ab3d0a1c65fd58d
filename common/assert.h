/* common/assert.h — RP_ASSERT: our own mistakes stop the process, in release builds too.
 * No byte from outside may be able to trip one; those get an enum rp_err. */
#pragma once

#define RP_ASSERT(fact) ((fact) ? (void) 0 : rp_assert_failed(#fact, __FILE__, __LINE__, __func__))

/* Prints the broken fact to standard error and aborts. */
_Noreturn void rp_assert_failed(const char *fact, const char *file, int line, const char *func);
