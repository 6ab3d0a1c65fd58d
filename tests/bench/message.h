/* tests/bench/message.h — what the load generator publishes: 64 bytes of JSON that say which
 * message it is and when it was sent.
 *
 *     {"n":"0000000042","t":"0000012345678901234","x":"xxxxxxxxxxxxx"}
 *
 * n counts the messages of one room from 1, so that a member knows what it missed; t is ns of the
 * monotonic clock. All parts have a fixed place. */
#pragma once

#include "common/bytes.h"

enum { RP_MESSAGE_BYTES = 64 };

struct rp_message {
    uint64_t n;       /* below 10^10 */
    uint64_t sent_ns; /* below 10^19 */
    uint64_t seq;     /* of the offset the server appended; not in what is sent */
};

void rp_message_write(char out[RP_MESSAGE_BYTES], const struct rp_message *m);

/* Reads what a member gets, ["msg",<the 64 bytes>,"<seq>-<tag>"], or ["msg",<the 64 bytes>] if it
 * is volatile: seq 0. False: it is something else. */
bool rp_message_read(struct rp_bytes event, struct rp_message *ret_message);
