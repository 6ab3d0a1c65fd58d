#include "sdk/room.h"

#include <stdlib.h>

enum { ROOM_SMALLEST = 256 };

enum reprise_err rp_room(struct rp_buf *b, size_t n) {
    if (n > b->max - b->len) {
        return REPRISE_E_FULL;
    }
    size_t needed = b->len + n;
    if (needed <= b->capacity) {
        return REPRISE_OK;
    }
    size_t grown = b->capacity > b->max / 2 ? b->max : b->capacity * 2;
    grown = grown < ROOM_SMALLEST ? ROOM_SMALLEST : grown;
    grown = grown < needed ? needed : grown;
    uint8_t *data = realloc(b->data, grown);
    if (data == NULL) {
        return REPRISE_E_NO_MEMORY;
    }
    b->data = data;
    b->capacity = grown;
    return REPRISE_OK;
}
