#include "common/random.h"

#include "common/assert.h"

#include <errno.h>
#include <sys/random.h>

void rp_random_bytes(void *out, size_t len) {
    uint8_t *at = out;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0) {
            RP_ASSERT(errno == EINTR); /* no other failure is left since Linux 3.17 */
            continue;
        }
        at += n;
        len -= (size_t) n;
    }
}

uint64_t rp_random_u64(void) {
    uint64_t value;
    do {
        rp_random_bytes(&value, sizeof value);
    } while (value == 0);
    return value;
}
