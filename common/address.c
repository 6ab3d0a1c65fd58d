#include "common/address.h"

#include "common/bytes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- text ---- */

static bool parse_port(const char *text, uint16_t *ret_port) {
    uint64_t port;
    if (!rp_bytes_to_u64(rp_bytes_str(text), &port) || port > UINT16_MAX) {
        return false;
    }
    *ret_port = (uint16_t) port;
    return true;
}

static bool is_name_or_number(struct rp_bytes host) {
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '.' && c != '-' && c != '_') {
            return false;
        }
    }
    return true;
}

static bool is_ipv6(const char *host) {
    struct in6_addr ignored;
    return inet_pton(AF_INET6, host, &ignored) == 1;
}

enum rp_err rp_address_parse(const char *text, struct rp_address *ret_address) {
    const char *colon = strrchr(text, ':');
    struct rp_address a = {.port = 0};
    if (colon == NULL || !parse_port(colon + 1, &a.port)) {
        return RP_E_INVALID;
    }
    struct rp_bytes host = rp_bytes(text, (size_t) (colon - text));
    bool bracketed = host.len >= 2 && host.data[0] == '[' && host.data[host.len - 1] == ']';
    if (bracketed) {
        host = rp_bytes(host.data + 1, host.len - 2);
    }
    if (host.len > RP_ADDRESS_HOST_MAX) {
        return RP_E_INVALID;
    }
    if (!rp_bytes_eq_str(host, "*") || bracketed) {
        memcpy(a.host, host.data, host.len);
    }
    if (bracketed ? !is_ipv6(a.host) : !is_name_or_number(rp_bytes_str(a.host))) {
        return RP_E_INVALID;
    }
    *ret_address = a;
    return RP_OK;
}

const char *rp_address_check(const char *text) {
    struct rp_address ignored;
    return rp_address_parse(text, &ignored) == RP_OK ? NULL : RP_ADDRESS_EXPECTED;
}

const char *rp_address_check_or_off(const char *text) {
    return strcmp(text, "off") == 0 || rp_address_check(text) == NULL ? NULL
                                                                      : RP_ADDRESS_EXPECTED
               " or off";
}

/* ---- sockets ---- */

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
        int why = errno;
        close(fd);
        errno = why;
        return -1;
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

enum rp_err rp_address_listen(const struct rp_address *address, int backlog, int *ret_fd,
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

void rp_address_format(const struct sockaddr *from, char *ret_text, size_t text_size) {
    char host[INET6_ADDRSTRLEN];
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *) from;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(ret_text, text_size, "%s:%u", host, ntohs(in->sin_port));
    } else if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *) from;
        if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr)) {
            inet_ntop(AF_INET, in->sin6_addr.s6_addr + 12, host, sizeof host);
            snprintf(ret_text, text_size, "%s:%u", host, ntohs(in->sin6_port));
        } else {
            inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
            snprintf(ret_text, text_size, "[%s]:%u", host, ntohs(in->sin6_port));
        }
    } else {
        snprintf(ret_text, text_size, "unknown");
    }
}

void rp_address_of_fd(int fd, char *ret_text, size_t text_size) {
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof own;
    if (getsockname(fd, (struct sockaddr *) &own, &len) < 0) {
        own.ss_family = AF_UNSPEC;
    }
    rp_address_format((struct sockaddr *) &own, ret_text, text_size);
}
