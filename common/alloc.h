/* common/alloc.h — memory for objects of our own size.
 *
 * Running out of it aborts: the log is durable, so a crash is safe and a half-made object is not.
 * Whatever a peer can size goes through a bounded buffer (common/buf.h) before it gets here. */
#pragma once

#include <stddef.h>

/* Zeroed memory; never NULL. Free with free(). */
void *rp_alloc(size_t size);
/* Like realloc, aborting on failure; new bytes are not zeroed. */
void *rp_realloc(void *memory, size_t size);

#define RP_NEW(type) ((type *) rp_alloc(sizeof(type)))

/* The object of type `type` whose member `member` is at `ptr`. */
#define RP_CONTAINER_OF(ptr, type, member)                                                         \
    ((type *) (void *) ((char *) (ptr) -offsetof(type, member)))

/* Makes room for one more element in a growing array: doubles *capacity when count has reached it.
 */
void *rp_array_reserve(void *array, size_t count, size_t *capacity, size_t element_size);
