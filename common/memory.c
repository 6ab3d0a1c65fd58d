#include "common/memory.h"

#include "common/assert.h"
#include "common/file.h"
#include "common/units.h"

#include <stdio.h>
#include <unistd.h>

enum { GROUP_FILE_BYTES_MAX = 16 << 10, LIMIT_BYTES_MAX = 64, PATH_BYTES_MAX = 4096 };

/* What a file has, as a text. False: it cannot be read. */
static bool read_text(const char *path, struct rp_buf *out) {
    struct stat stat;
    char why[64];
    return rp_file_read(path, out, &stat, why, sizeof why) == RP_OK &&
           rp_buf_put(out, RP_BYTES_LIT("\0")) == RP_OK;
}

/* The number in mount/group/name; UINT64_MAX: none ("max"), or no such file. */
static uint64_t read_limit(const char *mount, const char *group, const char *name) {
    char path[PATH_BYTES_MAX];
    int len = snprintf(path, sizeof path, "%s%s/%s", mount, group, name);
    if (len < 0 || (size_t) len >= sizeof path) {
        return UINT64_MAX;
    }
    struct rp_buf text;
    uint64_t limit = UINT64_MAX;
    rp_buf_init(&text, LIMIT_BYTES_MAX);
    if (read_text(path, &text)) {
        char *number = (char *) text.data;
        number[strcspn(number, "\n")] = '\0';
        if (!rp_units_count(number, &limit)) {
            limit = UINT64_MAX;
        }
    }
    rp_buf_done(&text);
    return limit;
}

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Of a group and all above it; `group` is used up. */
static uint64_t least_limit(const char *mount, char *group, bool is_version_1) {
    uint64_t least = UINT64_MAX;
    for (;;) {
        if (is_version_1) {
            least = smaller(least, read_limit(mount, group, "memory.limit_in_bytes"));
        } else {
            least = smaller(least, read_limit(mount, group, "memory.max"));
            least = smaller(least, read_limit(mount, group, "memory.high"));
        }
        char *slash = strrchr(group, '/');
        if (slash == NULL) {
            return least;
        }
        *slash = '\0';
    }
}

/* One line of the group's file: ID:CONTROLLERS:PATH, where version 2 has none of the former two. */
static uint64_t limit_of_line(char *line, const char *mount) {
    char *controllers = strchr(line, ':');
    char *group = controllers != NULL ? strchr(++controllers, ':') : NULL;
    if (group == NULL) {
        return UINT64_MAX;
    }
    *group++ = '\0';
    if (controllers[0] == '\0') {
        return least_limit(mount, group, false);
    }
    char mount_1[PATH_BYTES_MAX];
    int len = snprintf(mount_1, sizeof mount_1, "%s/memory", mount);
    bool is_memory = strcmp(controllers, "memory") == 0;
    return is_memory && len > 0 && (size_t) len < sizeof mount_1 ? least_limit(mount_1, group, true)
                                                                 : UINT64_MAX;
}

uint64_t rp_memory_of_machine(void) {
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t) pages * (uint64_t) size : UINT64_MAX;
}

uint64_t rp_memory_limit(const char *group_file, const char *mount) {
    struct rp_buf text;
    uint64_t limit = UINT64_MAX;
    rp_buf_init(&text, GROUP_FILE_BYTES_MAX);
    if (read_text(group_file, &text)) {
        char *rest = NULL;
        for (char *line = strtok_r((char *) text.data, "\n", &rest); line != NULL;
             line = strtok_r(NULL, "\n", &rest)) {
            limit = smaller(limit, limit_of_line(line, mount));
        }
    }
    rp_buf_done(&text);
    /* version 1 says "none" with the largest number of pages */
    return limit < UINT64_MAX >> 2 ? limit : UINT64_MAX;
}
