/* common/clock.h — the two clocks, for shells. Cores get the time as an argument. */
#pragma once

#include <stdint.h>

/* A clock that never jumps, for timeouts. Its zero means nothing. */
uint64_t rp_clock_mono_ms(void);
/* Milliseconds since 1970, for what people read and for what survives restarts. */
uint64_t rp_clock_wall_ms(void);
