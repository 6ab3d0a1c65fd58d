/* tests/bench/floor.h — the least a server can do for the same clients, to compare with on the same
 * machine and in the same minute.
 *
 * One process, one thread, epoll: it answers handshakes, keeps who joined which room, and passes
 * what is published on to the members with a number for an offset. Nothing is stored or checked.
 * "Bare" does one write per member and message (and per ack) and nothing else; "coalesced" gathers
 * what one turn of the loop has for a socket and writes that at once. */
#pragma once

#include "common/error.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/types.h>

enum { RP_FLOOR_ROOMS_MAX = 65536 }; /* rooms are called <word>-<number below this> */

struct rp_floor {
    pid_t pid;
    struct sockaddr_in address;
};

/* Starts it in a process of its own, which ends with us at the latest. RP_E_IO: errno says why. */
RP_MUST_USE enum rp_err rp_floor_start(bool coalesce, struct rp_floor *ret_floor);
void rp_floor_stop(struct rp_floor *floor);
