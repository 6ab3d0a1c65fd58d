/* The model of a file: its content on the disk in memory here (`disk`), its content as the page
 * cache has it in the file itself, and which pages of them may differ (`dirty`: will be written at
 * the next sync; a page that differs and is not dirty was forgotten). One lock covers everything,
 * so that an operation and its bookkeeping are one. */
#include "tests/vfs/faulty_vfs.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PAGE = 4096,
    SECTOR = 512,
    RULES_MAX = 16,
    IMAGES_MAX = 16,
    OPS = 7,
    KINDS = 4,
    WRITEBACK_ONE_IN = 8,
};

struct image {
    char *path;
    enum faulty_file kind;
    int opened;    /* handles */
    uint8_t *disk; /* pages_count pages */
    bool *dirty;   /* of pages */
    size_t pages_count, pages_capacity;
    uint64_t disk_size, cache_size;
    uint64_t sync_errors; /* so far; each handle is told once, as with Linux's errseq */
};

struct rule {
    struct faulty_rule r;
    uint64_t seen, broken;
};

static struct {
    pthread_mutex_t lock;
    sqlite3_vfs *real, shim;
    struct rp_rng rng;
    struct rule rules[RULES_MAX];
    size_t rules_count;
    uint64_t counts[OPS][KINDS], broken;
    struct image *images[IMAGES_MAX]; /* handles point to them */
    size_t images_count;
    bool off;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct handle {
    sqlite3_file base;
    struct image *image; /* NULL: a temporary file */
    enum faulty_file kind;
    uint64_t sync_errors_told;
    sqlite3_file real[]; /* of the size the real VFS wants */
};

static sqlite3_file *real_of(sqlite3_file *file) {
    return ((struct handle *) file)->real;
}

/* ---- rules ---- */

static size_t bit_of(unsigned one) {
    return (size_t) __builtin_ctz(one);
}

static bool breaks(struct rule *rule, enum faulty_op op, enum faulty_file kind) {
    const struct faulty_rule *r = &rule->r;
    if (!(r->ops & op) || !(r->files & kind)) {
        return false;
    }
    uint64_t number = ++rule->seen, from = r->from > 0 ? r->from : 1;
    uint64_t every = r->every > 0 ? r->every : 1;
    if (number < from || (number - from) % every != 0 ||
        (r->times > 0 && rule->broken >= r->times)) {
        return false;
    }
    rule->broken++;
    return true;
}

static void set_errno(int rc) {
    int plain = rc & 0xff;
    errno = plain == SQLITE_FULL ? ENOSPC : plain == SQLITE_READONLY ? EROFS : EIO;
}

/* What an operation answers; lock is held. Each rule sees it, the first that breaks decides. */
static struct faulty_rule judge(enum faulty_op op, enum faulty_file kind) {
    struct faulty_rule verdict = {.rc = SQLITE_OK};
    disk.counts[bit_of(op)][bit_of(kind)]++;
    for (size_t i = 0; i < disk.rules_count; i++) {
        if (!breaks(&disk.rules[i], op, kind)) {
            continue;
        }
        disk.broken++;
        if (verdict.rc == SQLITE_OK) {
            verdict = disk.rules[i].r;
        }
    }
    return verdict;
}

/* Enters an operation: the lock is held when this returns. */
static int enter(enum faulty_op op, enum faulty_file kind, int when_off, bool *ret_torn) {
    pthread_mutex_lock(&disk.lock);
    bool was_off = disk.off;
    struct faulty_rule verdict = judge(op, kind);
    if (verdict.slow_us > 0) {
        pthread_mutex_unlock(&disk.lock);
        usleep(verdict.slow_us);
        pthread_mutex_lock(&disk.lock);
    }
    disk.off = disk.off || verdict.power_off;
    int rc = disk.off ? when_off : verdict.rc;
    if (rc != SQLITE_OK) {
        set_errno(rc);
    }
    *ret_torn = verdict.torn && !was_off;
    return rc;
}

static void leave(void) {
    int saved = errno;
    pthread_mutex_unlock(&disk.lock);
    errno = saved;
}

/* ---- images ---- */

static void reserve_pages(struct image *m, uint64_t bytes) {
    size_t count = (size_t) ((bytes + PAGE - 1) / PAGE);
    if (count > m->pages_capacity) {
        size_t capacity = count * 2;
        uint8_t *pages = rp_alloc(capacity * PAGE);
        bool *dirty = rp_alloc(capacity * sizeof *dirty);
        if (m->pages_count > 0) {
            memcpy(pages, m->disk, m->pages_count * PAGE);
            memcpy(dirty, m->dirty, m->pages_count * sizeof *dirty);
        }
        free(m->disk);
        free(m->dirty);
        m->disk = pages;
        m->dirty = dirty;
        m->pages_capacity = capacity;
    }
    for (; m->pages_count < count; m->pages_count++) {
        memset(m->disk + m->pages_count * PAGE, 0, PAGE);
        m->dirty[m->pages_count] = false;
    }
}

/* Everything in the file is on the disk. */
static void load(struct image *m) {
    int fd = open(m->path, O_RDONLY | O_CLOEXEC);
    off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    m->pages_count = 0;
    m->disk_size = m->cache_size = (uint64_t) size;
    reserve_pages(m, m->disk_size);
    for (off_t at = 0; at < size;) {
        ssize_t len = pread(fd, m->disk + at, (size_t) (size - at), at);
        RP_ASSERT(len > 0);
        at += len;
    }
    if (fd >= 0) { /* nobody has it open, so no locks go with it */
        close(fd);
    }
}

static enum faulty_file kind_of(int flags) {
    return flags & SQLITE_OPEN_MAIN_DB        ? FAULTY_DB
           : flags & SQLITE_OPEN_WAL          ? FAULTY_WAL
           : flags & SQLITE_OPEN_MAIN_JOURNAL ? FAULTY_JOURNAL
                                              : FAULTY_OTHER;
}

static struct image *find_image(const char *path) {
    for (size_t i = 0; i < disk.images_count; i++) {
        if (strcmp(disk.images[i]->path, path) == 0) {
            return disk.images[i];
        }
    }
    return NULL;
}

static void forget_image(size_t i) {
    struct image *m = disk.images[i];
    RP_ASSERT(m->opened == 0);
    free(m->path);
    free(m->disk);
    free(m->dirty);
    free(m);
    disk.images[i] = disk.images[--disk.images_count];
}

/* Those that nobody has open. */
static void forget_images(void) {
    for (size_t i = disk.images_count; i-- > 0;) {
        if (disk.images[i]->opened == 0) {
            forget_image(i);
        }
    }
}

static struct image *image_for(const char *path, enum faulty_file kind) {
    struct image *m = find_image(path);
    if (m != NULL) {
        return m;
    }
    if (disk.images_count == IMAGES_MAX) {
        forget_images(); /* of earlier tests */
    }
    RP_ASSERT(disk.images_count < IMAGES_MAX);
    m = RP_NEW(struct image);
    *m = (struct image){.path = strdup(path), .kind = kind};
    load(m);
    disk.images[disk.images_count++] = m;
    return m;
}

/* The page as the cache has it, zeros beyond the end. */
static void read_cache(struct handle *h, size_t page, uint8_t *ret_page) {
    memset(ret_page, 0, PAGE);
    int rc = h->real->pMethods->xRead(h->real, ret_page, PAGE, (sqlite3_int64) page * PAGE);
    RP_ASSERT(rc == SQLITE_OK || rc == SQLITE_IOERR_SHORT_READ);
}

/* A page that waits may be written at any time; it is about to be changed again. */
static void touch(struct handle *h, uint64_t at, size_t len) {
    struct image *m = h->image;
    uint64_t end = at + len;
    reserve_pages(m, end);
    for (size_t page = (size_t) (at / PAGE); page * PAGE < end; page++) {
        if (m->dirty[page] && rp_rng_below(&disk.rng, WRITEBACK_ONE_IN) == 0) {
            read_cache(h, page, m->disk + page * PAGE);
        }
        m->dirty[page] = true;
    }
    m->cache_size = end > m->cache_size ? end : m->cache_size;
}

/* Writes what is dirty; or, if it fails, some of it, and forgets the rest. */
static void write_dirty(struct handle *h, bool works) {
    struct image *m = h->image;
    for (size_t page = 0; page < m->pages_count; page++) {
        if (m->dirty[page] && (works || rp_rng_below(&disk.rng, 2) == 0)) {
            read_cache(h, page, m->disk + page * PAGE);
        }
        m->dirty[page] = false;
    }
    if (works || rp_rng_below(&disk.rng, 2) == 0) {
        size_t kept = (size_t) m->cache_size; /* beyond it are zeros, if it grows again */
        memset(m->disk + kept, 0, m->pages_count * PAGE - kept);
        m->disk_size = m->cache_size;
    }
}

/* ---- a file ---- */

static int file_close(sqlite3_file *file) {
    struct handle *h = (struct handle *) file;
    pthread_mutex_lock(&disk.lock);
    if (h->image != NULL) {
        h->image->opened--;
    }
    int rc = h->real->pMethods != NULL ? h->real->pMethods->xClose(h->real) : SQLITE_OK;
    leave();
    return rc;
}

static int file_read(sqlite3_file *file, void *data, int len, sqlite3_int64 at) {
    struct handle *h = (struct handle *) file;
    bool torn;
    int rc = enter(FAULTY_READ, h->kind, SQLITE_IOERR_READ, &torn);
    if (rc == SQLITE_OK) {
        rc = h->real->pMethods->xRead(h->real, data, len, at);
    }
    leave();
    return rc;
}

static int file_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at) {
    struct handle *h = (struct handle *) file;
    bool torn;
    int rc = enter(FAULTY_WRITE, h->kind, SQLITE_IOERR_WRITE, &torn), saved = errno;
    int part = torn ? (int) rp_rng_below(&disk.rng, (uint64_t) len) : rc == SQLITE_OK ? len : 0;
    if (part > 0 && h->image != NULL) {
        touch(h, (uint64_t) at, (size_t) part);
    }
    if (part > 0) {
        int real_rc = h->real->pMethods->xWrite(h->real, data, part, at);
        rc = rc == SQLITE_OK ? real_rc : rc;
        errno = rc == real_rc ? errno : saved;
    }
    leave();
    return rc;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size) {
    struct handle *h = (struct handle *) file;
    bool torn;
    int rc = enter(FAULTY_TRUNCATE, h->kind, SQLITE_IOERR_TRUNCATE, &torn);
    if (rc == SQLITE_OK) {
        rc = h->real->pMethods->xTruncate(h->real, size);
    }
    if (rc == SQLITE_OK && h->image != NULL) {
        h->image->cache_size = (uint64_t) size;
        reserve_pages(h->image, (uint64_t) size);
    }
    leave();
    return rc;
}

static int file_sync(sqlite3_file *file, int flags) {
    (void) flags;
    struct handle *h = (struct handle *) file;
    bool torn;
    int rc = enter(FAULTY_SYNC, h->kind, SQLITE_IOERR_FSYNC, &torn);
    struct image *m = h->image;
    if (m != NULL && !disk.off) {
        m->sync_errors += rc != SQLITE_OK;
        if (rc == SQLITE_OK && h->sync_errors_told < m->sync_errors) {
            rc = SQLITE_IOERR_FSYNC; /* of another handle's pages, or this one's */
            set_errno(rc);
        }
        write_dirty(h, rc == SQLITE_OK);
        h->sync_errors_told = m->sync_errors;
    }
    leave();
    return rc;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret_size) {
    return real_of(file)->pMethods->xFileSize(real_of(file), ret_size);
}

static int file_lock(sqlite3_file *file, int level) {
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int file_unlock(sqlite3_file *file, int level) {
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int file_reserved(sqlite3_file *file, int *ret_reserved) {
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret_reserved);
}

static int file_control(sqlite3_file *file, int op, void *arg) {
    return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static int file_sector(sqlite3_file *file) {
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int file_traits(sqlite3_file *file) {
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int file_shm_map(sqlite3_file *file, int region, int size, int extend,
                        void volatile **ret_map) {
    struct handle *h = (struct handle *) file;
    bool torn;
    int rc = enter(FAULTY_SHM_MAP, h->kind, SQLITE_IOERR_SHMMAP, &torn);
    if (rc == SQLITE_OK) {
        rc = h->real->pMethods->xShmMap(h->real, region, size, extend, ret_map);
    }
    leave();
    return rc;
}

static int file_shm_lock(sqlite3_file *file, int offset, int n, int flags) {
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void file_shm_barrier(sqlite3_file *file) {
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int file_shm_unmap(sqlite3_file *file, int delete_it) {
    return real_of(file)->pMethods->xShmUnmap(real_of(file), delete_it);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_traits,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* ---- the VFS ---- */

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                    int *ret_flags) {
    (void) vfs;
    struct handle *h = (struct handle *) file;
    enum faulty_file kind = kind_of(flags);
    bool torn;
    h->base.pMethods = NULL;
    h->kind = kind;
    h->image = NULL;
    int rc = enter(FAULTY_OPEN, kind, SQLITE_CANTOPEN, &torn);
    if (rc == SQLITE_READONLY) {
        flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
        rc = SQLITE_OK;
    }
    struct image *m = rc == SQLITE_OK && name != NULL ? image_for(name, kind) : NULL;
    if (rc == SQLITE_OK) {
        rc = disk.real->xOpen(disk.real, name, h->real, flags, ret_flags);
    }
    if (rc == SQLITE_OK) {
        h->base.pMethods = &methods;
        h->image = m;
        if (m != NULL) {
            m->opened++;
            h->sync_errors_told = m->sync_errors;
        }
    }
    leave();
    return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir) {
    (void) vfs;
    bool torn;
    pthread_mutex_lock(&disk.lock);
    struct image *m = find_image(name);
    enum faulty_file kind = m != NULL ? m->kind : FAULTY_OTHER;
    pthread_mutex_unlock(&disk.lock);
    int rc = enter(FAULTY_DELETE, kind, SQLITE_IOERR_DELETE, &torn);
    if (rc == SQLITE_OK) {
        rc = disk.real->xDelete(disk.real, name, sync_dir);
    }
    for (size_t i = disk.images_count; rc == SQLITE_OK && i-- > 0;) {
        if (disk.images[i] == m && m->opened == 0) {
            forget_image(i);
        }
    }
    leave();
    return rc;
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *ret_text) {
    (void) vfs, (void) size, (void) ret_text;
    return errno;
}

int faulty_vfs_install(void) {
    disk.real = sqlite3_vfs_find(NULL);
    disk.shim = *disk.real;
    disk.shim.zName = "faulty";
    disk.shim.pNext = NULL;
    disk.shim.szOsFile = (int) sizeof(struct handle) + disk.real->szOsFile;
    disk.shim.xOpen = vfs_open;
    disk.shim.xDelete = vfs_delete;
    disk.shim.xGetLastError = vfs_last_error;
    faulty_vfs_reset(1);
    return sqlite3_vfs_register(&disk.shim, 1);
}

/* ---- for the test ---- */

void faulty_vfs_reset(uint64_t seed) {
    pthread_mutex_lock(&disk.lock);
    disk.rng = (struct rp_rng){.state = seed};
    disk.rules_count = 0;
    disk.broken = 0;
    disk.off = false;
    memset(disk.counts, 0, sizeof disk.counts);
    forget_images();
    pthread_mutex_unlock(&disk.lock);
}

void faulty_vfs_add(struct faulty_rule rule) {
    pthread_mutex_lock(&disk.lock);
    RP_ASSERT(disk.rules_count < RULES_MAX);
    disk.rules[disk.rules_count++] = (struct rule){.r = rule};
    pthread_mutex_unlock(&disk.lock);
}

void faulty_vfs_mend(void) {
    pthread_mutex_lock(&disk.lock);
    disk.rules_count = 0;
    pthread_mutex_unlock(&disk.lock);
}

uint64_t faulty_vfs_count(unsigned ops, unsigned files) {
    uint64_t count = 0;
    pthread_mutex_lock(&disk.lock);
    for (size_t op = 0; op < OPS; op++) {
        for (size_t kind = 0; kind < KINDS; kind++) {
            count += (ops >> op & 1) && (files >> kind & 1) ? disk.counts[op][kind] : 0;
        }
    }
    pthread_mutex_unlock(&disk.lock);
    return count;
}

uint64_t faulty_vfs_broken(void) {
    pthread_mutex_lock(&disk.lock);
    uint64_t broken = disk.broken;
    pthread_mutex_unlock(&disk.lock);
    return broken;
}

/* ---- power ---- */

void faulty_vfs_power_off(void) {
    pthread_mutex_lock(&disk.lock);
    disk.off = true;
    pthread_mutex_unlock(&disk.lock);
}

/* Some of the sectors are new, the others are not. */
static void tear(uint8_t *old, const uint8_t *new) {
    for (size_t at = 0; at < PAGE; at += SECTOR) {
        if (rp_rng_below(&disk.rng, 2) == 0) {
            memcpy(old + at, new + at, SECTOR);
        }
    }
}

static void settle_pages(struct image *m, int fd) {
    uint8_t cache[PAGE];
    for (size_t page = 0; page < m->pages_count; page++) {
        if (!m->dirty[page]) {
            continue; /* synced, or forgotten */
        }
        memset(cache, 0, PAGE);
        ssize_t len = pread(fd, cache, PAGE, (off_t) page * PAGE);
        RP_ASSERT(len >= 0);
        switch (rp_rng_below(&disk.rng, 3)) {
        case 0:
            break;
        case 1:
            memcpy(m->disk + page * PAGE, cache, PAGE);
            break;
        default:
            tear(m->disk + page * PAGE, cache);
        }
    }
}

/* A file that grew, or shrank, may have done so or not, or halfway. */
static uint64_t settle_size(const struct image *m) {
    uint64_t low = m->disk_size < m->cache_size ? m->disk_size : m->cache_size;
    uint64_t high = m->disk_size < m->cache_size ? m->cache_size : m->disk_size;
    switch (rp_rng_below(&disk.rng, 3)) {
    case 0:
        return m->disk_size;
    case 1:
        return m->cache_size;
    default:
        return low + rp_rng_below(&disk.rng, high - low + 1);
    }
}

static void lose(struct image *m) {
    int fd = open(m->path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        RP_ASSERT(errno == ENOENT); /* opened for reading, and never made */
        return;
    }
    settle_pages(m, fd);
    uint64_t size = settle_size(m);
    reserve_pages(m, size);
    for (uint64_t at = 0; at < size;) {
        ssize_t len = pwrite(fd, m->disk + at, size - at, (off_t) at);
        RP_ASSERT(len > 0);
        at += (uint64_t) len;
    }
    int rc = ftruncate(fd, (off_t) size);
    RP_ASSERT(rc == 0);
    close(fd);
}

void faulty_vfs_power_on(enum faulty_cut cut) {
    pthread_mutex_lock(&disk.lock);
    RP_ASSERT(disk.off);
    for (size_t i = disk.images_count; i-- > 0;) {
        struct image *m = disk.images[i];
        RP_ASSERT(m->opened == 0);
        if (cut == FAULTY_CUT_KILL) {
            continue; /* the cache stays, and what was forgotten stays forgotten */
        }
        if (m->kind == FAULTY_DB) {
            char shm[4096];
            snprintf(shm, sizeof shm, "%s-shm", m->path);
            unlink(shm);
        }
        lose(m);
        forget_image(i);
    }
    disk.off = false;
    disk.rules_count = 0;
    pthread_mutex_unlock(&disk.lock);
}
