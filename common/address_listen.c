/* The sockets of address.h. */
#include "common/address.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { UNIX_MODE = 0660 }; /* of a Unix socket's file */

static int close_keeping_errno(int fd) {
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

/* ---- HOST:PORT ---- */

/* A listening socket, or -1 with errno. */
static int listen_at(const struct addrinfo *at, int backlog) {
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1, off = 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->ai_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    if (bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, backlog) < 0) {
        return close_keeping_errno(fd);
    }
    return fd;
}

/* What of the addresses found is tried first: for "any", IPv6, which takes IPv4 along. */
static int listen_at_first(const struct addrinfo *found, int family, int backlog) {
    errno = EAFNOSUPPORT;
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        if (family == AF_UNSPEC || at->ai_family == family) {
            int fd = listen_at(at, backlog);
            if (fd >= 0 || errno != EAFNOSUPPORT) {
                return fd;
            }
        }
    }
    return -1;
}

static enum rp_err listen_tcp(const struct rp_address *address, int backlog, int *ret_fd,
                              char *ret_why, size_t why_size) {
    char port[8];
    snprintf(port, sizeof port, "%u", address->port);
    bool any = address->host[0] == '\0';
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found;
    int failure = getaddrinfo(any ? NULL : address->host, port, &hints, &found);
    if (failure != 0) {
        snprintf(ret_why, why_size, "%s", gai_strerror(failure));
        return RP_E_IO;
    }
    int fd = listen_at_first(found, any ? AF_INET6 : AF_UNSPEC, backlog);
    if (fd < 0 && any && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
        fd = listen_at_first(found, AF_INET, backlog);
    }
    int why = errno;
    freeaddrinfo(found);
    if (fd < 0) {
        snprintf(ret_why, why_size, "%s", strerror(why));
        return RP_E_IO;
    }
    *ret_fd = fd;
    return RP_OK;
}

/* ---- Unix sockets ---- */

static struct sockaddr_un unix_address(const struct rp_address *address) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, address->host, strlen(address->host));
    return at;
}

/* Whether the file is a socket at which nobody listens: that of a process that did not remove it.
 * Sets errno to EADDRINUSE if it is not. */
static bool is_stale(const struct sockaddr_un *at) {
    struct stat file;
    bool stale = false;
    if (lstat(at->sun_path, &file) == 0 && S_ISSOCK(file.st_mode)) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        stale = fd >= 0 && connect(fd, (const struct sockaddr *) at, sizeof *at) < 0 &&
                errno == ECONNREFUSED;
        if (fd >= 0) {
            close(fd);
        }
    }
    errno = EADDRINUSE;
    return stale;
}

/* The mode is set before (Linux makes the file with the socket's, less the umask) and after, so
 * that nobody else can connect at any moment. */
static int bind_unix(int fd, const struct sockaddr_un *at) {
    fchmod(fd, UNIX_MODE);
    int rc = bind(fd, (const struct sockaddr *) at, sizeof *at);
    if (rc < 0 && errno == EADDRINUSE && is_stale(at)) {
        unlink(at->sun_path);
        rc = bind(fd, (const struct sockaddr *) at, sizeof *at);
    }
    return rc < 0 ? rc : chmod(at->sun_path, UNIX_MODE);
}

static int listen_unix(const struct rp_address *address, int backlog) {
    struct sockaddr_un at = unix_address(address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (bind_unix(fd, &at) < 0 || listen(fd, backlog) < 0)) {
        return close_keeping_errno(fd);
    }
    return fd;
}

struct rp_address_file rp_address_file(const struct rp_address *address) {
    struct stat file;
    if (!address->is_unix || lstat(address->host, &file) != 0) {
        return (struct rp_address_file){.inode = 0};
    }
    return (struct rp_address_file){.device = file.st_dev, .inode = file.st_ino};
}

void rp_address_remove(const struct rp_address *address, struct rp_address_file file) {
    struct rp_address_file now = rp_address_file(address);
    if (now.inode != 0 && now.inode == file.inode && now.device == file.device) {
        unlink(address->host);
    }
}

/* ---- either ---- */

enum rp_err rp_address_listen(const struct rp_address *address, int backlog, int *ret_fd,
                              char *ret_why, size_t why_size) {
    if (!address->is_unix) {
        return listen_tcp(address, backlog, ret_fd, ret_why, why_size);
    }
    int fd = listen_unix(address, backlog);
    if (fd < 0) {
        snprintf(ret_why, why_size, "%s", strerror(errno));
        return RP_E_IO;
    }
    *ret_fd = fd;
    return RP_OK;
}
