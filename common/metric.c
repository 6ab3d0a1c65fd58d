#include "common/metric.h"

#include <inttypes.h>
#include <stdio.h>
#include <dirent.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static enum rp_err put_head(struct rp_buf *out, const char *name, const char *help,
                            enum rp_metric_kind kind) {
    const char *type = kind == RP_METRIC_COUNTER ? "counter" : "gauge";
    return rp_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

enum rp_err rp_metric_put(struct rp_buf *out, const struct rp_metric *metrics, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct rp_metric *m = &metrics[i];
        enum rp_err err = RP_OK;
        if (i == 0 || strcmp(metrics[i - 1].name, m->name) != 0) {
            err = put_head(out, m->name, m->help, m->kind);
        }
        if (err == RP_OK && m->labels != NULL) {
            err = rp_buf_printf(out, "%s{%s} %" PRIu64 "\n", m->name, m->labels, m->value);
        } else if (err == RP_OK) {
            err = rp_buf_printf(out, "%s %" PRIu64 "\n", m->name, m->value);
        }
        if (err != RP_OK) {
            return err;
        }
    }
    return RP_OK;
}

/* ---- the process ---- */

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static uint64_t resident_bytes(void) {
    uint64_t total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL) {
        return 0;
    }
    if (fscanf(f, "%" SCNu64 " %" SCNu64, &total, &resident) != 2) {
        resident = 0;
    }
    fclose(f);
    return resident * (uint64_t) sysconf(_SC_PAGESIZE);
}

static uint64_t open_files(void) {
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return 0;
    }
    uint64_t count = 0;
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the directory itself */
}

enum rp_err rp_metric_put_process(struct rp_buf *out, const char *program) {
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    char labels[128];
    snprintf(labels, sizeof labels, "program=\"%s\",version=\"%s\"", program, RP_VERSION);
    const struct rp_metric numbers[] = {
        {"reprise_build_info", "What runs here; always 1.", RP_METRIC_GAUGE, labels, 1},
        {"process_resident_memory_bytes", "Memory of the process in RAM.", RP_METRIC_GAUGE, NULL,
         resident_bytes()},
        {"process_open_fds", "Open files and sockets.", RP_METRIC_GAUGE, NULL, open_files()},
        {"process_max_fds", "Files and sockets that may be open.", RP_METRIC_GAUGE, NULL,
         files.rlim_cur},
    };
    enum rp_err err = rp_metric_put(out, numbers, sizeof numbers / sizeof *numbers);
    if (err == RP_OK) {
        err = put_head(out, "process_cpu_seconds_total", "CPU time used, user and system.",
                       RP_METRIC_COUNTER);
    }
    return err == RP_OK ? rp_buf_printf(out, "process_cpu_seconds_total %.3f\n", cpu_seconds())
                        : err;
}
