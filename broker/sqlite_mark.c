/* broker/sqlite_mark.c — is this the file that was written last? A copy that was put back in its
 * place looks like any other, but has an older state, and offsets of the part it lacks must not be
 * taken for offsets of what comes now. Two things tell:
 *
 *   the file's identity  inode number and time of birth, in its own meta: a copy is another file.
 *                        Renaming keeps it.
 *   the mark             how far the log has come, beside it, in <path>.lock, which stays when the
 *                        broker ends: a copy that was written over the file has not come so far.
 *
 * The lock file is two lines: the process that has the log, and `epoch next_seq identity`. The mark
 * moves after a commit, at most ten times a second, and never ahead of what is in the log. */
#include "broker/sqlite_state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum { MARK_MS = 100, LOCK_TEXT_SIZE = 160 };

/* ---- identity ---- */

/* File systems that make inode numbers up as they go, so that they say nothing. */
static bool has_made_up_inodes(const char *path) {
    static const uint32_t types[] = {
        0x65735546, /* FUSE, virtiofs */
        0x01021997, /* 9p */
        0x00006969, /* NFS */
        0x0000517b, /* SMB */
        0xfe534d42, /* SMB 2 */
        0xff534d42, /* CIFS */
        0x786f4256, /* of VirtualBox */
    };
    struct statfs fs;
    bool made_up = statfs(path, &fs) != 0;
    for (size_t i = 0; !made_up && i < sizeof types / sizeof *types; i++) {
        made_up = (uint32_t) fs.f_type == types[i];
    }
    return made_up;
}

void rp_sqlite_file_identity(const char *path, char ret_identity[RP_SQLITE_FILE_SIZE]) {
    struct statx stx;
    ret_identity[0] = '\0';
    if (!has_made_up_inodes(path) && statx(AT_FDCWD, path, 0, STATX_INO | STATX_BTIME, &stx) == 0) {
        bool born = (stx.stx_mask & STATX_BTIME) != 0;
        snprintf(ret_identity, RP_SQLITE_FILE_SIZE, "%llu.%lld.%u",
                 (unsigned long long) stx.stx_ino, born ? (long long) stx.stx_btime.tv_sec : 0LL,
                 born ? stx.stx_btime.tv_nsec : 0);
    }
}

/* A kernel that cannot tell a time of birth says 0, and a newer one on the same disk may know it.
 */
bool rp_sqlite_file_is_another(const char *noted, const char *now) {
    size_t inode = strcspn(now, ".") + 1;
    bool born = strcmp(noted + strcspn(noted, "."), ".0.0") != 0 &&
                strcmp(now + strcspn(now, "."), ".0.0") != 0;
    if (noted[0] == '\0' || now[0] == '\0') {
        return false;
    }
    return born ? strcmp(noted, now) != 0 : strncmp(noted, now, inode) != 0;
}

/* ---- the mark ---- */

void rp_sqlite_mark_read(int lock_fd, struct rp_sqlite_mark *ret_mark) {
    struct rp_sqlite_mark mark = {.epoch = ""};
    char text[LOCK_TEXT_SIZE];
    ssize_t len = pread(lock_fd, text, sizeof text - 1, 0);
    text[len > 0 ? len : 0] = '\0';
    const char *line = strchr(text, '\n');
    unsigned long long next_seq = 0;
    static_assert(RP_EPOCH_LEN == 8 && RP_SQLITE_FILE_SIZE == 64, "the widths below");
    int n =
        line != NULL ? sscanf(line + 1, "%8s %19llu %63s", mark.epoch, &next_seq, mark.file) : 0;
    if (n < 2 || strlen(mark.epoch) != RP_EPOCH_LEN || next_seq > INT64_MAX) {
        mark = (struct rp_sqlite_mark){.epoch = ""}; /* none, or not whole after a power failure */
    }
    mark.next_seq = mark.epoch[0] != '\0' ? next_seq : 0;
    *ret_mark = mark;
}

void rp_sqlite_mark_write(int lock_fd, const struct rp_sqlite_mark *mark, bool sync) {
    char text[LOCK_TEXT_SIZE];
    int len = snprintf(text, sizeof text, "%d\n", (int) getpid());
    if (mark->epoch[0] != '\0') {
        len += snprintf(text + len, sizeof text - (size_t) len, "%s %llu %s\n", mark->epoch,
                        (unsigned long long) mark->next_seq, mark->file);
    }
    /* without it less is known at the next start; nothing else depends on it */
    bool written = pwrite(lock_fd, text, (size_t) len, 0) == len && ftruncate(lock_fd, len) == 0;
    if (!written || (sync && fsync(lock_fd) < 0)) {
        errno = 0;
    }
}

void rp_sqlite_mark_move(struct rp_sqlite *s, uint64_t next_seq) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ms = (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
    s->mark.next_seq = next_seq;
    if (now_ms >= s->marked_ms + MARK_MS) {
        s->marked_ms = now_ms;
        rp_sqlite_mark_write(s->lock_fd, &s->mark, false);
    }
}

const char *rp_sqlite_mark_doubt(const struct rp_sqlite_mark *mark, const char *path,
                                 const char *epoch, uint64_t next_seq, const char *file) {
    char now[RP_SQLITE_FILE_SIZE];
    rp_sqlite_file_identity(path, now);
    if (rp_sqlite_file_is_another(file, now)) {
        return "it is not the file that was last written, but a copy of it, which may be of an "
               "older state";
    }
    if (strcmp(mark->epoch, epoch) == 0 && mark->next_seq > next_seq) {
        return "it has lost its end, or an older copy was put in its place: there were more events "
               "in it";
    }
    if (mark->epoch[0] != '\0' && strcmp(mark->epoch, epoch) != 0 && now[0] != '\0' &&
        strcmp(mark->file, now) == 0) {
        return "another copy was put in its place: it was of another epoch";
    }
    return NULL;
}
