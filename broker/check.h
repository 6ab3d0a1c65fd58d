/* broker/check.h — is the log in a file what was written to it? For `reprise-broker --check`, for
 * --restore, and for tools.
 *
 * Reads one state of the file from its beginning to its end, whether a broker writes it meanwhile
 * or not, and changes nothing. Looked at are: SQLite's own structure (integrity_check); the tables
 * and indexes that must be there; the numbers in `meta`; each record's checksum, kind and place;
 * the index of closed segments against the records, both ways; what retention has removed against
 * what is left; the projections row by row, and, for every session that was opened in the part of
 * the log that is there, against those that its records make when they are replayed in a temporary
 * database.
 *
 * Damage in pages that hold nothing is not seen, nor in a row of `session`, `member` or `unacked`
 * whose session is older than the log, as long as it makes sense. */
#pragma once

#include "common/buf.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

enum rp_check_kind {
    RP_CHECK_DAMAGE, /* the file is not what was written */
    RP_CHECK_NOTE,   /* worth knowing, and sound */
};

struct rp_check_options {
    const char *path;
    size_t findings_max; /* so much damage is told, the rest is counted */
    /* One line without its end, for people: no byte of it can upset a terminal. */
    void (*tell)(void *ctx, enum rp_check_kind kind, const char *text);
    /* NULL: nobody wants to know. percent of what is named; about once per percent. */
    void (*progress)(void *ctx, const char *what, unsigned percent);
    void *ctx;
};

struct rp_check_result {
    uint64_t damages; /* 0: the file is sound */
    uint64_t version; /* of the schema */
    char epoch[16];   /* as it is in the file */
    uint64_t next_seq, first_seq;
    uint64_t records, events, rooms, segments, sessions, namespaces;
    uint64_t sessions_compared; /* with their records; the others are older than the log */
    uint64_t copied_ts_ms;      /* when the copy that this file is was made; 0: it is none */
};

/* RP_OK: it was read to its end; result.damages says whether it is sound. Otherwise message is one
 * sentence why it could not be checked: RP_E_NOT_FOUND, RP_E_FOREIGN (no log of Reprise), RP_E_IO,
 * RP_E_LOCKED, RP_E_VERSION (of another version of the schema). */
RP_MUST_USE enum rp_err rp_check_file(const struct rp_check_options *options,
                                      struct rp_buf *message, struct rp_check_result *ret_result);
