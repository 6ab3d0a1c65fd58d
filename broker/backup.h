/* broker/backup.h — a copy of the log while a broker writes it, and such a copy put in its place
 * again.
 *
 * A copy is one file, of one moment, and says in its meta that it is one (copied_ts): a broker that
 * is started on it begins a new epoch, for the log that it was made of may have gone on. So does
 * restoring it, after looking for damage, and moves the seqs far above those that it knows.
 *
 * Both write to another name in the same folder, sync, and rename at last: what has the name is
 * whole. Neither ever replaces a file. */
#pragma once

#include "broker/check.h"

struct rp_backup_options {
    const char *db;   /* the log */
    const char *file; /* the copy */
    uint64_t wall_ms; /* now, ms since 1970 */
    /* As in struct rp_check_options; of what the checker finds while restoring. */
    size_t findings_max;
    void (*tell)(void *ctx, enum rp_check_kind kind, const char *text);
    void (*progress)(void *ctx, const char *what, unsigned percent);
    void *ctx;
};

struct rp_backup_result {
    char epoch[16];               /* of the copy, or the new one of what was restored */
    char old_epoch[16];           /* restored: the backup's */
    uint64_t next_seq;            /* likewise */
    uint64_t bytes;               /* of the file that was written */
    uint64_t copied_ts_ms;        /* restored: when the backup was made; 0: it was made otherwise */
    struct rp_check_result check; /* restored */
};

/* db into file. On failure message is one sentence with the way out, and nothing is left behind:
 * RP_E_NOT_FOUND, RP_E_FOREIGN no log, RP_E_LOCKED another backup writes that file or it is there
 * already, RP_E_NO_SPACE, RP_E_IO. */
RP_MUST_USE enum rp_err rp_backup_make(const struct rp_backup_options *options,
                                       struct rp_buf *message, struct rp_backup_result *ret_result);

/* file into db, which must not be there. Likewise; RP_E_CORRUPT: the checker has found damage, of
 * which it has told. */
RP_MUST_USE enum rp_err rp_backup_restore(const struct rp_backup_options *options,
                                          struct rp_buf *message,
                                          struct rp_backup_result *ret_result);
