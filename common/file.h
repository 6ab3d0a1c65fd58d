/* common/file.h — small files that people write: read as a whole, with a maximum. */
#pragma once

#include "common/buf.h"

#include <sys/stat.h>

/* Appends the file to out, at most what out still takes, and says whose it is. RP_E_IO: ret_why (of
 * why_size bytes) says what went wrong, without the file's name: "No such file or directory"; only
 * regular files are read (links to them, too). RP_E_TOO_BIG: it is larger than what out takes. */
RP_MUST_USE enum rp_err rp_file_read(const char *path, struct rp_buf *out, struct stat *ret_stat,
                                     char *ret_why, size_t why_size);
