/* common/option_file.h — a value that has a file to itself, as secrets of containers do: one line,
 * with or without an end of line. Of common/option.c; not for anybody else. */
#pragma once

#include "common/option.h"

/* The line in the file, without the ends of lines behind it; it lives as long as the set, and is
 * wiped then. NULL: ret_why (of why_size bytes) says what is wrong with the file, without its name
 * and without a word of what is in it. */
const char *rp_option_file_read(struct rp_option_set *set, const char *path, char *ret_why,
                                size_t why_size);
/* Wipes and frees what was read. */
void rp_option_file_forget(struct rp_option_set *set);
