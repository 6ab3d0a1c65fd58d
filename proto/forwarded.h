/* proto/forwarded.h — whose request a reverse proxy passes on: X-Forwarded-For, read only as far as
 * the proxies that wrote it are trusted. No I/O.
 *
 * Each proxy appends the address it was called from: "client, proxy1, proxy2" arrives from proxy3.
 * What stands on the left of the first address that is not one of our proxies, anybody could have
 * written. */
#pragma once

#include "common/cidr.h"
#include "proto/http.h"

/* The client of a request that came from peer. A peer that is not trusted is the client, whatever
 * headers it sends. Otherwise the lists of all X-Forwarded-For headers, one after the other, are
 * walked from the right: the first address that is not trusted is the client, or the leftmost if
 * all are. An entry that is no address ends the walk, and the last good one counts. Entries may
 * have a port (1.2.3.4:5678, [::1]:80) or brackets; empty ones are skipped. */
struct rp_ip rp_forwarded_for(const struct rp_http_request *req, const struct rp_ip *peer,
                              const struct rp_cidrs *trusted);
