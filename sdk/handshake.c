/* sdk/handshake.c — what a handshake says: an object in the shape of Socket.IO's. */
#include "sdk/inner.h"

static const struct reprise_value absent = {{NULL, 0}, {NULL, 0}};

struct reprise_value reprise_handshake_auth(struct reprise_value handshake) {
    return reprise_value_get(handshake, "auth");
}

struct reprise_value reprise_handshake_query(struct reprise_value handshake, const char *name) {
    return name != NULL ? reprise_value_get(reprise_value_get(handshake, "query"), name) : absent;
}

/* The gateway writes them in lower case. */
struct reprise_value reprise_handshake_header(struct reprise_value handshake, const char *name) {
    char lower[256];
    size_t len = name != NULL ? strlen(name) : 0;
    if (len == 0 || len >= sizeof lower) {
        return absent;
    }
    for (size_t i = 0; i <= len; i++) {
        lower[i] = (char) (name[i] >= 'A' && name[i] <= 'Z' ? name[i] + ('a' - 'A') : name[i]);
    }
    return reprise_value_get(reprise_value_get(handshake, "headers"), lower);
}

struct reprise_value reprise_handshake_address(struct reprise_value handshake) {
    return reprise_value_get(handshake, "address");
}

uint64_t reprise_handshake_issued_ms(struct reprise_value handshake) {
    uint64_t issued_ms = 0;
    if (reprise_value_uint64(reprise_value_get(handshake, "issued"), &issued_ms) != REPRISE_OK) {
        return 0;
    }
    return issued_ms;
}
