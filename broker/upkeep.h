/* broker/upkeep.h — what reprise-broker does with a log instead of running it: --check, --backup,
 * --restore. Says on standard output what was done, and on standard error why not. */
#pragma once

#include <stddef.h>

/* The options; NULL where one is not set. */
struct rp_upkeep {
    const char *check, *backup, *restore; /* FILE */
};

/* How many of them are set. */
size_t rp_upkeep_count(const struct rp_upkeep *upkeep);
/* Does the one that is set; the exit status. db: the option. */
int rp_upkeep_run(const struct rp_upkeep *upkeep, const char *db);
