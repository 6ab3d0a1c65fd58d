/* common/curve_file.h — the keys of the links, from their files onto ZeroMQ's sockets. What is in a
 * file is in curve_key.h.
 *
 * A file with a secret key must be closed to all others: who can read it can be the process. If it
 * is our own (its owner is the user of this process) its mode may be 0600 at most, as ssh has it;
 * if it belongs to somebody else, who lends it to us by our group (a mounted secret, root:reprise),
 * 0640 at most. Anything wider is refused. */
#pragma once

#include "common/curve_key.h"

enum { RP_CURVE_WHY_SIZE = 512 }; /* room for any reason, with a long name of a file */

/* Reads a file with both keys, which must belong together. RP_E_IO, RP_E_INVALID: ret_why (of
 * why_size bytes) says what is wrong and what to do, with the file's name. */
RP_MUST_USE enum rp_err rp_curve_read_keys(const char *path, struct rp_curve_keys *ret_keys,
                                           char *ret_why, size_t why_size);
/* Takes a peer's public key, or the name of a file with it, be it the .pub file or just the key. A
 * file with a secret key is refused: a peer's secret does not belong here. Errors as above. */
RP_MUST_USE enum rp_err rp_curve_read_public(const char *key_or_path, struct rp_curve_key *ret_key,
                                             char *ret_why, size_t why_size);

/* Sets a ZeroMQ socket's keys before it is connected or bound. The server asks the context's ZAP
 * handler (inproc://zeromq.zap.01) about every client. */
void rp_curve_set_client(void *socket, const struct rp_curve_keys *own,
                         const struct rp_curve_key *server);
void rp_curve_set_server(void *socket, const struct rp_curve_keys *own);
