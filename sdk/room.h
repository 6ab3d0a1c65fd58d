/* sdk/room.h — room in a buffer, as a guest asks for it: having no memory is an answer.
 *
 * common/buf aborts when there is no memory, which is right in our programs and wrong in others'.
 * Whoever has asked here for n bytes can append n bytes to the buffer, which then takes no memory
 * of its own. */
#pragma once

#include "common/buf.h"
#include "sdk/reprise_error.h"

/* Room for n more bytes. REPRISE_E_FULL, REPRISE_E_NO_MEMORY: the buffer is as it was. */
RP_MUST_USE enum reprise_err rp_room(struct rp_buf *b, size_t n);
