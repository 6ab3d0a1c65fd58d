/* common/memory.h — how much memory the process may use, where its surroundings bound it: the limit
 * of its control group (a container's, a service's), past which the kernel kills it.
 *
 * Linux tells it in files. /proc/self/cgroup names the group; below the mount, /sys/fs/cgroup, it
 * and all groups above it have a memory.max and a memory.high (version 2), or below memory/ a
 * memory.limit_in_bytes (version 1). In a container the mount's top often is the group already. */
#pragma once

#include <stdint.h>

/* The least of those limits in bytes; UINT64_MAX: there is none, or nobody tells. group_file and
 * mount are the two above but in tests. */
uint64_t rp_memory_limit(const char *group_file, const char *mount);
/* What the machine has, in bytes; UINT64_MAX: nobody tells. */
uint64_t rp_memory_of_machine(void);
