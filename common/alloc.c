#include "common/alloc.h"

#include "common/assert.h"

#include <stdlib.h>

void *rp_alloc(size_t size) {
    void *memory = calloc(1, size > 0 ? size : 1);
    RP_ASSERT(memory != NULL);
    return memory;
}

void *rp_realloc(void *memory, size_t size) {
    void *grown = realloc(memory, size > 0 ? size : 1);
    RP_ASSERT(grown != NULL);
    return grown;
}

void *rp_array_reserve(void *array, size_t count, size_t *capacity, size_t element_size) {
    if (count < *capacity) {
        return array;
    }
    size_t grown = *capacity > 0 ? *capacity * 2 : 4;
    array = rp_realloc(array, grown * element_size);
    *capacity = grown;
    return array;
}
