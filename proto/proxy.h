/* proto/proxy.h — the PROXY protocol, version 2 (haproxy's proxy-protocol.txt, section 2.2): the
 * binary header that a proxy puts at the front of a connection to say whose it is. No I/O.
 * Before: everything else on the connection. Version 1, a line of text, is refused.
 *
 *     12 bytes   0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A
 *      1 byte    version (2) << 4 | command (0 LOCAL, 1 PROXY)
 *      1 byte    family (0 none, 1 IPv4, 2 IPv6, 3 Unix) << 4 | protocol (0 none, 1 stream, 2
 * datagram) 2 bytes   how many bytes follow, big-endian addresses  source, destination, and of IPv4
 * and IPv6 source port, destination port TLVs       further facts, skipped */
#pragma once

#include "common/cidr.h"

struct rp_proxy_header {
    bool is_local;       /* the real ends of the connection count: the proxy's own (a health check),
                            or one whose client has no IP address (Unix, datagrams, unknown) */
    struct rp_ip source; /* RP_IP_V4 or RP_IP_V6, otherwise RP_IP_NONE if is_local */
    uint16_t source_port; /* 0 if is_local */
};

/* Parses a header at the front of `in`.
 *   RP_OK          *ret_header is set; the client's bytes begin at *ret_consumed
 *   RP_MORE        not complete, but good so far: call again with the same bytes and more behind
 *   RP_E_PROTOCOL  no header of version 2, or a malformed one; with the first byte that cannot be
 *   RP_E_TOO_BIG   more than RP_PROXY_BYTES_MAX bytes behind the first 16 */
RP_MUST_USE enum rp_err rp_proxy_parse(struct rp_bytes in, struct rp_proxy_header *ret_header,
                                       size_t *ret_consumed);
