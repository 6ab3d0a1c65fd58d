#include "tests/bench/proc.h"

#include "common/bytes.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum rp_err rp_procs_add(struct rp_procs *p, const char *name, pid_t pid) {
    if (p->count == RP_PROCS_MAX) {
        return RP_E_FULL;
    }
    struct rp_proc *proc = &p->procs[p->count];
    if (strlen(name) >= sizeof proc->name) {
        return RP_E_TOO_BIG;
    }
    if (pid <= 0 || clock_getcpuclockid(pid, &proc->cpu_clock) != 0) {
        return RP_E_NOT_FOUND;
    }
    strcpy(proc->name, name);
    proc->pid = pid;
    p->count++;
    return RP_OK;
}

enum rp_err rp_procs_parse(struct rp_procs *p, const char *list) {
    while (*list != '\0') {
        size_t len = strcspn(list, ",");
        const char *equals = memchr(list, '=', len);
        char name[RP_PROC_NAME_SIZE];
        uint64_t pid;
        if (equals == NULL || equals == list ||
            !rp_bytes_to_u64(rp_bytes(equals + 1, len - (size_t) (equals + 1 - list)), &pid) ||
            pid > INT32_MAX) {
            return RP_E_INVALID;
        }
        int n = snprintf(name, sizeof name, "%.*s", (int) (equals - list), list);
        if (n < 0 || (size_t) n >= sizeof name) {
            return RP_E_TOO_BIG;
        }
        enum rp_err err = rp_procs_add(p, name, (pid_t) pid);
        if (err != RP_OK) {
            return err;
        }
        list += len + (list[len] == ',');
    }
    return RP_OK;
}

/* A file of /proc as text; false if the process is gone. */
static bool read_file(pid_t pid, const char *file, char *ret_text, size_t text_size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int) pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, ret_text, text_size - 1);
    close(fd);
    if (n <= 0) {
        return false;
    }
    ret_text[n] = '\0';
    return true;
}

/* proc(5): utime and stime are fields 14 and 15; the second, the name, may hold anything. */
static bool read_ticks(pid_t pid, uint64_t *ret_user, uint64_t *ret_system) {
    char text[1024];
    if (!read_file(pid, "stat", text, sizeof text)) {
        return false;
    }
    const char *at = strrchr(text, ')');
    return at != NULL &&
           sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
                  ret_user, ret_system) == 2;
}

/* smaps_rollup walks the pages: VmRSS of status is a sum of per-CPU counters and lags behind by up
 * to some hundred kB, which is as much as what a thousand connections take. */
static bool read_rss(pid_t pid, uint64_t *ret_bytes) {
    char text[4096];
    uint64_t kb;
    if (!read_file(pid, "smaps_rollup", text, sizeof text)) {
        return false;
    }
    const char *at = strstr(text, "\nRss:");
    if (at == NULL || sscanf(at, "\nRss: %" SCNu64, &kb) != 1) {
        return false;
    }
    *ret_bytes = kb * 1024;
    return true;
}

enum rp_err rp_proc_read(const struct rp_proc *proc, struct rp_proc_usage *ret_usage) {
    struct timespec cpu;
    struct rp_proc_usage u;
    if (clock_gettime(proc->cpu_clock, &cpu) != 0 ||
        !read_ticks(proc->pid, &u.user_ticks, &u.system_ticks) ||
        !read_rss(proc->pid, &u.rss_bytes)) {
        return RP_E_NOT_FOUND;
    }
    u.cpu_ns = (uint64_t) cpu.tv_sec * 1000000000u + (uint64_t) cpu.tv_nsec;
    *ret_usage = u;
    return RP_OK;
}

enum rp_err rp_proc_read_peak(const struct rp_proc *proc, uint64_t *ret_bytes) {
    char text[4096];
    uint64_t kb;
    const char *at =
        read_file(proc->pid, "status", text, sizeof text) ? strstr(text, "\nVmHWM:") : NULL;
    if (at == NULL || sscanf(at, "\nVmHWM: %" SCNu64, &kb) != 1) {
        return RP_E_NOT_FOUND;
    }
    *ret_bytes = kb * 1024;
    return RP_OK;
}

/* proc(5): 5 into clear_refs. */
void rp_proc_reset_peak(const struct rp_proc *proc) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/clear_refs", (int) proc->pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = write(fd, "5", 1);
        (void) n;
        close(fd);
    }
}
