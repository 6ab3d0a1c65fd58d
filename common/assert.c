#include "common/assert.h"

#include <stdio.h>
#include <stdlib.h>

void rp_assert_failed(const char *fact, const char *file, int line, const char *func) {
    fprintf(stderr, "%s:%d: %s: broken invariant: %s\n", file, line, func, fact);
    abort();
}
