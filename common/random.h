/* common/random.h — randomness of the kernel, for shells: keys, ids, credentials. Cores get it as
 * an argument; tests and jitter use common/rng.h. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Fills out with len random bytes fit for secrets. */
void rp_random_bytes(void *out, size_t len);
/* A random number, never 0. */
uint64_t rp_random_u64(void);
