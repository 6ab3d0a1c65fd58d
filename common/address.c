#include "common/address.h"

#include "common/bytes.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ---- reading ---- */

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

/* unix:/PATH. */
static bool parse_unix(struct rp_bytes text, struct rp_address *ret_address) {
    const struct rp_bytes prefix = RP_BYTES_LIT("unix:");
    struct rp_bytes path = rp_bytes_skip(text, prefix.len);
    bool ok = path.len > 1 && path.len <= RP_ADDRESS_PATH_MAX && path.data[0] == '/' &&
              path.data[path.len - 1] != '/';
    if (ok) {
        *ret_address = (struct rp_address){.is_unix = true};
        memcpy(ret_address->host, path.data, path.len);
    }
    return ok;
}

static bool parse_any(struct rp_bytes text, struct rp_address *ret_address) {
    char copy[RP_ADDRESS_TEXT_SIZE];
    if (rp_bytes_starts_with(text, RP_BYTES_LIT("unix:"))) {
        return parse_unix(text, ret_address);
    }
    if (text.len >= sizeof copy) {
        return false;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return rp_address_parse(copy, ret_address) == RP_OK;
}

static bool is_space(uint8_t c) {
    return c == ' ' || c == '\t';
}

/* Takes what is before the next comma off *list, without the white space around it. */
static struct rp_bytes next_item(struct rp_bytes *list, bool *ret_last) {
    const uint8_t *comma = memchr(list->data, ',', list->len);
    struct rp_bytes item = rp_bytes(list->data, comma ? (size_t) (comma - list->data) : list->len);
    *ret_last = comma == NULL;
    *list = rp_bytes_skip(*list, comma ? item.len + 1 : item.len);
    while (item.len > 0 && is_space(item.data[0])) {
        item = rp_bytes_skip(item, 1);
    }
    while (item.len > 0 && is_space(item.data[item.len - 1])) {
        item.len--;
    }
    return item;
}

enum rp_err rp_addresses_parse(const char *text, struct rp_addresses *ret_addresses) {
    struct rp_addresses found = {.count = 0};
    struct rp_bytes list = rp_bytes_str(text);
    bool last = false;
    while (!last) {
        struct rp_bytes item = next_item(&list, &last);
        if (found.count == RP_LISTEN_ADDRESSES_MAX || !parse_any(item, &found.items[found.count])) {
            return RP_E_INVALID;
        }
        found.count++;
    }
    *ret_addresses = found;
    return RP_OK;
}

const char *rp_addresses_check(const char *text) {
    struct rp_addresses ignored;
    return rp_addresses_parse(text, &ignored) == RP_OK ? NULL : RP_ADDRESSES_EXPECTED;
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

/* ---- what can be reached from elsewhere ---- */

bool rp_address_is_local(const struct rp_address *address) {
    struct in_addr v4;
    struct in6_addr v6;
    if (address->is_unix || strcasecmp(address->host, "localhost") == 0) {
        return true; /* the name is nothing else (RFC 6761 section 6.3) */
    }
    if (inet_pton(AF_INET, address->host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    if (inet_pton(AF_INET6, address->host, &v6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&v6) ||
               (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == IN_LOOPBACKNET);
    }
    return false;
}

bool rp_address_is_any(const struct rp_address *address) {
    struct in_addr v4;
    struct in6_addr v6;
    if (address->is_unix) {
        return false;
    }
    return address->host[0] == '\0' ||
           (inet_pton(AF_INET, address->host, &v4) == 1 && v4.s_addr == htonl(INADDR_ANY)) ||
           (inet_pton(AF_INET6, address->host, &v6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&v6));
}

bool rp_address_endpoint_is_local(const char *endpoint) {
    static const char tcp[] = "tcp://";
    struct rp_address address;
    if (strncmp(endpoint, tcp, sizeof tcp - 1) != 0) {
        return strncmp(endpoint, "ipc://", 6) == 0;
    }
    return rp_address_parse(endpoint + sizeof tcp - 1, &address) == RP_OK &&
           rp_address_is_local(&address);
}

/* ---- writing ---- */

void rp_address_text(const struct rp_address *address, char *ret_text, size_t text_size) {
    if (address->is_unix) {
        snprintf(ret_text, text_size, "unix:%s", address->host);
    } else if (strchr(address->host, ':') != NULL) {
        snprintf(ret_text, text_size, "[%s]:%u", address->host, address->port);
    } else {
        snprintf(ret_text, text_size, "%s:%u", address->host[0] ? address->host : "*",
                 address->port);
    }
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
    } else if (from->sa_family == AF_UNIX) {
        const struct sockaddr_un *un = (const void *) from;
        snprintf(ret_text, text_size, "unix:%.*s", (int) sizeof un->sun_path, un->sun_path);
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
