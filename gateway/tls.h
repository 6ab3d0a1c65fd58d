/* gateway/tls.h — TLS (1.2 and later) on a non-blocking socket: bytes in and out of one connection,
 * and the certificate they all share, which can be replaced while the process runs.
 *
 * Sessions know nothing of events: what a call waits for is told by its answer. HTTP/1.1 is the
 * only protocol offered (ALPN); there is neither renegotiation nor compression.
 *
 * SIGPIPE must be ignored: OpenSSL writes with write(2). */
#pragma once

#include "common/bytes.h"
#include "common/error.h"

struct rp_tls;
struct rp_tls_session;

/* Reads a certificate with its chain (PEM, the server's own first) and the private key that belongs
 * to it (PEM, without a passphrase; both may be one file). The names are copied.
 * RP_E_IO: a file cannot be read; RP_E_INVALID: its content is not what it should be, or the two do
 * not belong together. ret_why names the file. Caller frees. */
RP_MUST_USE enum rp_err rp_tls_new(const char *certificate_file, const char *key_file,
                                   char *ret_why, size_t why_size, struct rp_tls **ret_tls);
struct rp_tls *
rp_tls_free(struct rp_tls *t); /* sessions may outlive it; NULL is fine; returns NULL */

/* Reads the same files again, for connections to come; those that are open go on as they are. Fails
 * as rp_tls_new does, and then what was read before stays. */
RP_MUST_USE enum rp_err rp_tls_reload(struct rp_tls *t, char *ret_why, size_t why_size);

/* When the certificate ends to be valid, in seconds since 1970; for the log and the metrics. */
int64_t rp_tls_expires_s(const struct rp_tls *t);

/* ---- one connection ---- */

/* The server's end of a session on fd, which stays the caller's. Caller frees. */
struct rp_tls_session *rp_tls_session_new(struct rp_tls *t, int fd);
struct rp_tls_session *
rp_tls_session_free(struct rp_tls_session *s); /* NULL is fine; returns NULL */

/* Goes on with the handshake; nothing else may be called before it is done.
 *   RP_OK             it is
 *   RP_AGAIN          when the socket can be read, or written if read_wants_write says so
 *   RP_E_UNSUPPORTED  the peer speaks plain HTTP; the socket may be answered in kind
 *   RP_E_PROTOCOL     it failed; the socket is only good for closing, behind an alert */
RP_MUST_USE enum rp_err rp_tls_session_handshake(struct rp_tls_session *s);

/* Reads at most size bytes.
 *   RP_OK        *ret_len > 0 of them
 *   RP_AGAIN     nothing is there
 *   RP_E_CLOSED  the peer has ended its side
 *   RP_E_IO, RP_E_PROTOCOL  the connection is lost; nothing may be written any more */
RP_MUST_USE enum rp_err rp_tls_session_read(struct rp_tls_session *s, uint8_t *ret_data,
                                            size_t size, size_t *ret_len);
/* Whether reading gives something before the socket does: bytes that were read and not taken. */
bool rp_tls_session_has_input(const struct rp_tls_session *s);

/* Takes all of data, of at most RP_TLS_RECORD_BYTES, keeping what the socket does not take yet (a
 * copy). Only when rp_tls_session_has_output is false. RP_E_IO: the connection is lost. */
RP_MUST_USE enum rp_err rp_tls_session_write(struct rp_tls_session *s, struct rp_bytes data);
/* Whether something is kept. */
bool rp_tls_session_has_output(const struct rp_tls_session *s);
/* Tries to write what is kept. RP_OK: nothing is any more; RP_AGAIN; RP_E_IO. */
RP_MUST_USE enum rp_err rp_tls_session_flush(struct rp_tls_session *s);

/* What the last call that answered RP_AGAIN, or kept output, waits for: the socket's readiness for
 * reading is always waited for when one reads, and for writing when one writes; these are the other
 * ways round. */
bool rp_tls_session_read_wants_write(const struct rp_tls_session *s);
bool rp_tls_session_write_wants_read(const struct rp_tls_session *s);

/* Tells the peer that nothing more is coming (close_notify), as far as the socket takes it. */
void rp_tls_session_end(struct rp_tls_session *s);
