#include "common/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

_Static_assert(RP_CIDRS_MAX == 64, "RP_CIDRS_EXPECTED");
_Static_assert(RP_IP_TEXT_SIZE >= INET6_ADDRSTRLEN, "every address can be written");

enum { MAPPED_BITS = 96 }; /* of ::ffff:0:0/96, before the IPv4 address */

/* ---- addresses ---- */

struct rp_ip rp_ip_v4(const uint8_t bytes[4]) {
    struct rp_ip ip = {.kind = RP_IP_V4};
    memcpy(ip.bytes, bytes, 4);
    return ip;
}

struct rp_ip rp_ip_v6(const uint8_t bytes[16]) {
    static const uint8_t mapped[MAPPED_BITS / 8] = {[10] = 0xFF, [11] = 0xFF};
    if (memcmp(bytes, mapped, sizeof mapped) == 0) {
        return rp_ip_v4(bytes + sizeof mapped);
    }
    struct rp_ip ip = {.kind = RP_IP_V6};
    memcpy(ip.bytes, bytes, sizeof ip.bytes);
    return ip;
}

struct rp_ip rp_ip_of(const struct sockaddr *from) {
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    switch (from->sa_family) {
    case AF_INET:
        memcpy(&in, from, sizeof in);
        return rp_ip_v4((const uint8_t *) &in.sin_addr);
    case AF_INET6:
        memcpy(&in6, from, sizeof in6);
        return rp_ip_v6(in6.sin6_addr.s6_addr);
    case AF_UNIX:
        return (struct rp_ip){.kind = RP_IP_UNIX};
    default:
        return (struct rp_ip){.kind = RP_IP_NONE};
    }
}

bool rp_ip_parse(struct rp_bytes text, struct rp_ip *ret_ip) {
    char copy[RP_IP_TEXT_SIZE];
    uint8_t bytes[16];
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.data, '\0', text.len) != NULL) {
        return false;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, bytes) == 1) {
        *ret_ip = rp_ip_v4(bytes);
        return true;
    }
    if (inet_pton(AF_INET6, copy, bytes) == 1) {
        *ret_ip = rp_ip_v6(bytes);
        return true;
    }
    return false;
}

bool rp_ip_eq(const struct rp_ip *a, const struct rp_ip *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

void rp_ip_format(const struct rp_ip *ip, char ret_text[RP_IP_TEXT_SIZE]) {
    switch ((enum rp_ip_kind) ip->kind) {
    case RP_IP_V4:
    case RP_IP_V6:
        inet_ntop(ip->kind == RP_IP_V4 ? AF_INET : AF_INET6, ip->bytes, ret_text, RP_IP_TEXT_SIZE);
        return;
    case RP_IP_UNIX:
        strcpy(ret_text, "unix");
        return;
    case RP_IP_NONE:
        break;
    }
    strcpy(ret_text, "unknown");
}

/* ---- networks ---- */

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits) {
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(a, b, whole) == 0 && (rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0);
}

static bool ends_after(const uint8_t bytes[16], unsigned bits) {
    uint8_t kept[16] = {0};
    memcpy(kept, bytes, bits / 8);
    if (bits % 8 != 0) {
        kept[bits / 8] = (uint8_t) (bytes[bits / 8] & ~(0xFF >> bits % 8));
    }
    return memcmp(kept, bytes, sizeof kept) == 0;
}

/* `v6_text` because ::ffff:10.0.0.0/104 is written with the bits of IPv6 and is 10.0.0.0/8. */
static bool parse_bits(struct rp_bytes text, bool v6_text, const struct rp_ip *ip,
                       uint8_t *ret_bits) {
    uint64_t bits, skipped = v6_text && ip->kind == RP_IP_V4 ? MAPPED_BITS : 0;
    uint64_t max = ip->kind == RP_IP_V4 ? 32 : 128;
    if (!rp_bytes_to_u64(text, &bits) || bits < skipped || bits - skipped > max) {
        return false;
    }
    *ret_bits = (uint8_t) (bits - skipped);
    return true;
}

static bool parse_network(struct rp_bytes text, struct rp_cidr *ret_network) {
    struct rp_cidr c = {.network = {.kind = RP_IP_UNIX}};
    if (rp_bytes_eq_str(text, "unix")) {
        *ret_network = c;
        return true;
    }
    const uint8_t *slash = text.len > 0 ? memchr(text.data, '/', text.len) : NULL;
    struct rp_bytes address = text;
    address.len = slash != NULL ? (size_t) (slash - text.data) : text.len;
    if (!rp_ip_parse(address, &c.network)) {
        return false;
    }
    c.bits = c.network.kind == RP_IP_V4 ? 32 : 128;
    bool v6_text = memchr(address.data, ':', address.len) != NULL;
    if (slash != NULL &&
        !parse_bits(rp_bytes_skip(text, address.len + 1), v6_text, &c.network, &c.bits)) {
        return false;
    }
    if (!ends_after(c.network.bytes, c.bits)) {
        return false;
    }
    *ret_network = c;
    return true;
}

enum rp_err rp_cidrs_parse(const char *text, struct rp_cidrs *ret_list) {
    struct rp_cidrs list = {.count = 0};
    for (const char *at = text;;) {
        size_t len = strcspn(at, ",");
        struct rp_cidr network;
        if (!parse_network(rp_bytes_trim(rp_bytes(at, len)), &network)) {
            return RP_E_INVALID;
        }
        if (list.count == RP_CIDRS_MAX) {
            return RP_E_TOO_BIG;
        }
        list.networks[list.count++] = network;
        if (at[len] == '\0') {
            *ret_list = list;
            return RP_OK;
        }
        at += len + 1;
    }
}

const char *rp_cidrs_check(const char *text) {
    struct rp_cidrs ignored;
    return rp_cidrs_parse(text, &ignored) == RP_OK ? NULL : RP_CIDRS_EXPECTED;
}

bool rp_cidrs_contain_ip(const struct rp_cidrs *list, const struct rp_ip *ip) {
    for (size_t i = 0; i < list->count; i++) {
        const struct rp_cidr *c = &list->networks[i];
        if (c->network.kind == ip->kind && same_bits(c->network.bytes, ip->bytes, c->bits)) {
            return true;
        }
    }
    return false;
}

bool rp_cidrs_contain(const struct rp_cidrs *list, const struct sockaddr *from) {
    struct rp_ip ip = rp_ip_of(from);
    return rp_cidrs_contain_ip(list, &ip);
}
