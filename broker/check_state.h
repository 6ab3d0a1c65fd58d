/* broker/check_state.h — the inside of the checker (check.h): check.c opens the file and looks at
 * it as a whole, check_events.c walks the records, check_index.c compares segments with them,
 * check_rows.c looks at the projections. */
#pragma once

#include "broker/check.h"
#include "broker/sqlite_state.h"

enum {
    RP_CHECK_TEXT_SIZE = 512,  /* of a line that is told */
    RP_CHECK_NAME_SIZE = 100,  /* of a name in it */
    RP_CHECK_VERSION_MIN = 3,  /* the oldest schema that can be checked without being changed */
    RP_CHECK_VERSION_SUMS = 4, /* rooms have sums from here on */
};

struct rp_check {
    const struct rp_check_options *o;
    struct rp_check_result r;
    sqlite3 *db; /* one read transaction, from the beginning to the end */
    uint64_t indexed_seq, segment_events;
    uint64_t after_seqs;    /* no seq of this log is as large */
    uint64_t sessions_from; /* older ones may have been forgotten by a new epoch */
    uint64_t compared_from; /* sessions from here on are compared with their records */
    uint64_t border_max;    /* of all rooms */
    uint64_t dense_from;    /* from here on no seq was passed over; 0: nobody knows */
    struct rp_sqlite_mark
        mark;          /* how far the log had come before it was opened, from <path>.lock */
    bool records_read; /* all of them */
    struct rp_hash_key hash_key;
    struct rp_sqlite *replay; /* of it only the writer: its database is a temporary one */
};

__attribute__((format(printf, 2, 3))) void rp_check_damage(struct rp_check *c, const char *format,
                                                           ...);
__attribute__((format(printf, 2, 3))) void rp_check_note(struct rp_check *c, const char *format,
                                                         ...);
/* The name in quotation marks, cut if it is long; in text, which is returned. */
const char *rp_check_quote(struct rp_bytes name, char text[RP_CHECK_NAME_SIZE]);
/* Tells that `what` cannot be read, unless rc is fine. False: it is not. */
bool rp_check_can_read(struct rp_check *c, const char *what, int rc);
void rp_check_progress(struct rp_check *c, const char *what, uint64_t done, uint64_t all);

/* check_events.c: walks the records; on the way each goes into the replay and into its segment. */
void rp_check_records(struct rp_check *c);

/* check_index.c */
struct rp_check_index;
struct rp_check_index *rp_check_index_new(struct rp_check *c);
struct rp_check_index *rp_check_index_free(struct rp_check_index *x);
/* The next record, in seq order, at a statement whose columns are RP_SQLITE_ROW_COLUMNS; weight 0:
 * it is not known. */
void rp_check_index_add(struct rp_check_index *x, sqlite3_stmt *row, uint64_t weight);
void rp_check_index_end(struct rp_check_index *x);
/* The newest seq that the room has lost. */
uint64_t rp_check_border(struct rp_check_index *x, struct rp_bytes room, struct rp_bytes nsp);

/* check_rooms.c; likewise */
struct rp_check_rooms;
struct rp_check_rooms *rp_check_rooms_new(struct rp_check *c);
struct rp_check_rooms *rp_check_rooms_free(struct rp_check_rooms *x);
void rp_check_rooms_add(struct rp_check_rooms *x, sqlite3_stmt *row, uint64_t weight);
void rp_check_rooms_end(struct rp_check_rooms *x);

/* check_rows.c */
void rp_check_rows(struct rp_check *c);
/* The projections as the records made them, in the replay's database, against the file's. */
void rp_check_compare(struct rp_check *c);
