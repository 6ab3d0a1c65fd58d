/* tests/vfs/faulty_vfs.h — a disk that fails when it is told to: a SQLite VFS over the default one.
 *
 * Rules say which operation on which file fails, from the n-th on, how often, and how: with an
 * error, after a write of half of it, or late. All randomness comes from one seed.
 *
 * It also plays the kernel and the disk. What is written lies in the page cache until a sync that
 * works puts it on the disk; a sync that fails puts some of the pages there and forgets about the
 * others, as Linux does: they read well, are taken for clean, and later syncs do not write them.
 * Now and then a page goes to the disk before it is asked for. faulty_vfs_power_off() stops
 * everything; faulty_vfs_power_on() makes the files what the disk may have of them by then: each
 * page that was not synced is there, is not, or is torn between sectors. The file of shared memory
 * is gone. Directories are taken to be durable, and files that are removed stay removed.
 *
 * One disk for the whole process. Every function may be called from any thread. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

enum faulty_op {
    FAULTY_OPEN = 1,
    FAULTY_READ = 2,
    FAULTY_WRITE = 4,
    FAULTY_SYNC = 8,
    FAULTY_TRUNCATE = 16,
    FAULTY_SHM_MAP = 32, /* counts as one on the database */
    FAULTY_DELETE = 64,
};
enum { FAULTY_OP_ANY = 127 };

enum faulty_file {
    FAULTY_DB = 1,
    FAULTY_WAL = 2,
    FAULTY_JOURNAL = 4,
    FAULTY_OTHER = 8,
};
enum { FAULTY_FILE_ANY = 15 };

/* What fails: of the operations that match, counted from when the rule was added, numbers
 * from, from + every, from + 2 * every, … ; `times` of them. */
struct faulty_rule {
    unsigned ops, files; /* bits of the enums above */
    uint64_t from;       /* 1: the next one; 0 is 1 */
    uint64_t every;      /* 0 is 1 */
    uint64_t times;      /* 0: without end */
    int rc;    /* the answer; SQLITE_OK: it works (of use with `slow_us`). An OPEN that fails with
                  SQLITE_READONLY works, for reading only. */
    bool torn; /* a WRITE puts down a part, its length from the seed, before it fails */
    bool power_off; /* faulty_vfs_power_off, before the operation; a WRITE with `torn` does its part
                     */
    unsigned slow_us;
};

/* Makes it SQLite's default VFS; once for a process, before the first connection. */
int faulty_vfs_install(void);
/* A disk that works, and begins to count anew; what is on files that are not open is durable. */
void faulty_vfs_reset(uint64_t seed);
void faulty_vfs_add(struct faulty_rule rule);
/* From now on everything works; the counters stay. */
void faulty_vfs_mend(void);
/* Operations since the reset, and how many rules have broken. */
uint64_t faulty_vfs_count(unsigned ops, unsigned files);
uint64_t faulty_vfs_broken(void);

/* From now on every operation fails and changes nothing. */
void faulty_vfs_power_off(void);
enum faulty_cut {
    FAULTY_CUT_KILL,  /* the process alone was killed: the page cache is still there */
    FAULTY_CUT_POWER, /* the machine stopped */
};
/* After power_off, with all connections closed: what is left of the files. The disk works again,
 * without rules. */
void faulty_vfs_power_on(enum faulty_cut cut);
