#include "broker/upkeep.h"

#include "broker/backup.h"
#include "common/assert.h"
#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    FINDINGS_MAX = 100,
    MESSAGE_BYTES_MAX = 16 << 10,
    STATUS_DAMAGED = 1,
    STATUS_NOT_CHECKED = 2,
};

size_t rp_upkeep_count(const struct rp_upkeep *upkeep) {
    return (size_t) (upkeep->check != NULL) + (upkeep->backup != NULL) + (upkeep->restore != NULL);
}

/* ---- --check ---- */

struct told {
    bool tty; /* standard error is one */
    unsigned percent;
    const char *what;
};

static void clear_line(const struct told *told) {
    if (told->tty) {
        fputs("\r\033[K", stderr);
    }
}

static void tell(void *ctx, enum rp_check_kind kind, const char *text) {
    clear_line(ctx);
    printf("%s: %s\n", kind == RP_CHECK_DAMAGE ? "damaged" : "note", text);
}

static void show_progress(void *ctx, const char *what, unsigned percent) {
    struct told *told = ctx;
    if (told->what != what || told->percent != percent) {
        clear_line(told);
        fprintf(stderr, "%s %u%%", what, percent);
        fflush(stderr);
        told->what = what;
        told->percent = percent;
    }
}

static void sum_up(const struct rp_check_result *r) {
    if (r->damages > FINDINGS_MAX) {
        printf("damaged: and %" PRIu64 " more\n", r->damages - FINDINGS_MAX);
    }
    printf("checked %" PRIu64 " events, %" PRIu64 " other records, %" PRIu64 " sessions (%" PRIu64
           " compared with their records), %" PRIu64 " namespaces, %" PRIu64
           " segments; epoch %s, next seq %" PRIu64 ": ",
           r->events, r->records - r->events, r->sessions, r->sessions_compared, r->namespaces,
           r->segments, r->epoch, r->next_seq);
    if (r->damages == 0) {
        printf("sound\n");
    } else {
        printf("%" PRIu64 " damage%s\n", r->damages, r->damages == 1 ? "" : "s");
    }
}

static int check(const char *path) {
    struct told told = {.tty = isatty(STDERR_FILENO) != 0};
    const struct rp_check_options options = {.path = path,
                                             .findings_max = FINDINGS_MAX,
                                             .tell = tell,
                                             .progress = told.tty ? show_progress : NULL,
                                             .ctx = &told};
    struct rp_check_result result;
    struct rp_buf message;
    rp_buf_init(&message, MESSAGE_BYTES_MAX);
    enum rp_err err = rp_check_file(&options, &message, &result);
    clear_line(&told);
    int status = STATUS_NOT_CHECKED;
    if (err == RP_OK) {
        sum_up(&result);
        status = result.damages > 0 ? STATUS_DAMAGED : EXIT_SUCCESS;
    } else {
        fprintf(stderr, "reprise-broker: %.*s\n", RP_BYTES_FMT(rp_buf_bytes(&message)));
    }
    rp_buf_done(&message);
    return status;
}

/* ---- --backup, --restore ---- */

static void tell_backup(const char *db, const char *file, const struct rp_backup_result *r) {
    printf("backed up %s to %s: %" PRIu64 " bytes, epoch %s, next seq %" PRIu64 "\n", db, file,
           r->bytes, r->epoch, r->next_seq);
}

static void tell_restore(const char *db, const char *file, const struct rp_backup_result *r) {
    char made[64] = "a copy";
    time_t at = (time_t) (r->copied_ts_ms / 1000);
    struct tm utc;
    if (r->copied_ts_ms > 0 && gmtime_r(&at, &utc) != NULL) {
        strftime(made, sizeof made, "a backup of %Y-%m-%d %H:%M:%S UTC", &utc);
    }
    sum_up(&r->check);
    printf("restored %s from %s, %s: its epoch is %s now and no more %s, so that clients do not "
           "recover but begin anew; seqs go on at %" PRIu64 "\n",
           db, file, made, r->epoch, r->old_epoch, r->next_seq);
}

static int copy(const struct rp_upkeep *upkeep, const char *db) {
    struct told told = {.tty = isatty(STDERR_FILENO) != 0};
    bool restore = upkeep->restore != NULL;
    const struct rp_backup_options options = {.db = db,
                                              .file = restore ? upkeep->restore : upkeep->backup,
                                              .wall_ms = rp_clock_wall_ms(),
                                              .findings_max = FINDINGS_MAX,
                                              .tell = tell,
                                              .progress = told.tty ? show_progress : NULL,
                                              .ctx = &told};
    struct rp_backup_result result;
    struct rp_buf message;
    rp_buf_init(&message, MESSAGE_BYTES_MAX);
    enum rp_err err = (restore ? rp_backup_restore : rp_backup_make)(&options, &message, &result);
    clear_line(&told);
    if (err == RP_OK) {
        (restore ? tell_restore : tell_backup)(db, options.file, &result);
    } else {
        fprintf(stderr, "reprise-broker: %.*s\n", RP_BYTES_FMT(rp_buf_bytes(&message)));
    }
    rp_buf_done(&message);
    return err == RP_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

int rp_upkeep_run(const struct rp_upkeep *upkeep, const char *db) {
    RP_ASSERT(rp_upkeep_count(upkeep) == 1);
    return upkeep->check != NULL ? check(upkeep->check) : copy(upkeep, db);
}
