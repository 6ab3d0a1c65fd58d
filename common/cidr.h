/* common/cidr.h — addresses of peers, and lists of networks of which some are trusted:
 * "127.0.0.1,10.0.0.0/8,::1,fd00::/8,unix". Numbers only: nothing is looked up. */
#pragma once

#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"

#include <sys/socket.h>

enum rp_ip_kind {
    RP_IP_NONE, /* no address that we know of */
    RP_IP_V4,
    RP_IP_V6,
    RP_IP_UNIX, /* a peer on a Unix socket; it has no number */
};

/* Equal addresses are equal bytes, so that it can be a key. */
struct rp_ip {
    uint8_t kind;      /* enum rp_ip_kind */
    uint8_t bytes[16]; /* in network order, zero past the 4 of IPv4 */
};

enum { RP_IP_TEXT_SIZE = 46 }; /* the longest text with its terminator */

/* The address of a socket address. An IPv4 address in IPv6 clothes (::ffff:1.2.3.4) is IPv4. */
struct rp_ip rp_ip_of(const struct sockaddr *from);
/* From 4 or 16 bytes in network order, with the same dressing down. */
struct rp_ip rp_ip_v4(const uint8_t bytes[4]);
struct rp_ip rp_ip_v6(const uint8_t bytes[16]);
/* Reads 1.2.3.4 or fd00::1, nothing around it, and dresses down. False: it is neither. */
bool rp_ip_parse(struct rp_bytes text, struct rp_ip *ret_ip);
bool rp_ip_eq(const struct rp_ip *a, const struct rp_ip *b);
/* Writes "1.2.3.4", "fd00::1", "unix" or "unknown". */
void rp_ip_format(const struct rp_ip *ip, char ret_text[RP_IP_TEXT_SIZE]);

/* The fields are the list's own; a zeroed list contains nothing. */
struct rp_cidrs {
    size_t count;
    struct rp_cidr {
        struct rp_ip network;
        uint8_t bits; /* how many leading bits of an address are the network's */
    } networks[RP_CIDRS_MAX];
};

/* What rp_cidrs_parse takes, for messages. */
#define RP_CIDRS_EXPECTED                                                                          \
    "a list separated by commas, of at most 64 addresses, networks (10.0.0.0/8, fd00::/8; no "     \
    "bits "                                                                                        \
    "set behind the prefix) or unix"

/* Reads a list: entries separated by commas, white space around them ignored. RP_E_INVALID: an
 * entry that is neither address nor network nor "unix" (none may be empty), or a network with bits
 * behind its prefix, which is most often a slip; RP_E_TOO_BIG: more than RP_CIDRS_MAX entries. */
RP_MUST_USE enum rp_err rp_cidrs_parse(const char *text, struct rp_cidrs *ret_list);

/* For struct rp_option's check: NULL, or what was expected. */
const char *rp_cidrs_check(const char *text);

/* Whether an address lies in one of the networks. IPv4 addresses lie in IPv4 networks only, also
 * when they came in IPv6 clothes; "unix" contains every peer on a Unix socket. */
bool rp_cidrs_contain(const struct rp_cidrs *list, const struct sockaddr *from);
bool rp_cidrs_contain_ip(const struct rp_cidrs *list, const struct rp_ip *ip);
