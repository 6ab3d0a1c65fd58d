#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { READ_BYTES = 4096 };

static enum rp_err read_all(int fd, struct rp_buf *out, char *ret_why, size_t why_size) {
    for (;;) {
        uint8_t bytes[READ_BYTES];
        ssize_t n = read(fd, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        enum rp_err err = RP_E_IO;
        if (n < 0) {
            snprintf(ret_why, why_size, "%s", strerror(errno));
        } else if ((err = rp_buf_put(out, rp_bytes(bytes, (size_t) n))) != RP_OK) {
            snprintf(ret_why, why_size, "larger than the maximum of %zu bytes", out->max);
            err = RP_E_TOO_BIG;
        }
        explicit_bzero(bytes, sizeof bytes); /* it may be a key */
        if (n <= 0 || err != RP_OK) {
            return err;
        }
    }
}

enum rp_err rp_file_read(const char *path, struct rp_buf *out, struct stat *ret_stat, char *ret_why,
                         size_t why_size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would make us wait */
    if (fd < 0 || fstat(fd, ret_stat) != 0) {
        snprintf(ret_why, why_size, "%s", strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return RP_E_IO;
    }
    enum rp_err err = RP_E_IO;
    if (S_ISREG(ret_stat->st_mode)) {
        err = read_all(fd, out, ret_why, why_size);
    } else {
        snprintf(ret_why, why_size, "not a regular file");
    }
    close(fd);
    return err;
}
