/* common/zmq_end.h — the end of a ZeroMQ context, in bounded time. For the two ends of a link that
 * connect: libzmq looks names up in its own thread, and waits for that thread at the end. Where no
 * name server answers the system's resolver takes tens of seconds for each try. */
#pragma once

#include <stdint.h>

/* Ends a context whose sockets are closed, which sends what lingers. Takes the context: if it has
 * not ended within wait_ms, a thread of its own waits for it, which the end of the process ends. */
void rp_zmq_end(void *context, uint64_t wait_ms);
