/* tests/bench/job_disk.c — the job disk: the floor under every durable ack. */
#include "tests/bench/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCK_BYTES = 4096, BLOCKS = 500, MS_MAX = 1500 };

/* Writes the blocks of a file one after the other, each with its fdatasync. */
static void write_blocks(int fd, struct rp_histogram *times, struct rp_result *r) {
    static const char block[BLOCK_BYTES];
    uint64_t end_ns = rp_crowd_now_ns() + MS_MAX * (uint64_t) RP_JOB_MS_NS;
    for (off_t i = 0; i < BLOCKS; i++) {
        uint64_t from_ns = rp_crowd_now_ns();
        if (from_ns >= end_ns) {
            return;
        }
        if (pwrite(fd, block, sizeof block, i * BLOCK_BYTES) != BLOCK_BYTES || fdatasync(fd) != 0) {
            rp_result_fail(r, "cannot write: %s", strerror(errno));
            return;
        }
        rp_histogram_add(times, rp_crowd_now_ns() - from_ns);
    }
}

void rp_job_disk(const struct rp_job_settings *s, struct rp_result *r) {
    char path[4096];
    static struct rp_histogram times;
    snprintf(r->settings, sizeof r->settings, "write of 4 KiB and fdatasync, one after the other");
    int n = snprintf(path, sizeof path, "%s/reprise-load.XXXXXX", s->disk_dir);
    int fd = n > 0 && (size_t) n < sizeof path ? mkstemp(path) : -1;
    if (fd < 0) {
        rp_result_fail(r, "cannot make a file in %s: %s", s->disk_dir, strerror(errno));
        return;
    }
    unlink(path);
    rp_histogram_clear(&times);
    write_blocks(fd, &times, r);
    rp_result_put_times(r, "append", &times);
    rp_histogram_clear(&times);
    write_blocks(fd, &times, r);
    rp_result_put_times(r, "overwrite", &times);
    close(fd);
}
