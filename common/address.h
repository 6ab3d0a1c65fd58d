/* common/address.h — "HOST:PORT" as people write it, and sockets that listen there. */
#pragma once

#include "common/error.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RP_ADDRESS_HOST_MAX = 253, RP_ADDRESS_TEXT_SIZE = RP_ADDRESS_HOST_MAX + 10 };

struct rp_address {
    char host[RP_ADDRESS_HOST_MAX + 1]; /* a name or a number without brackets; "" is any */
    uint16_t port;                      /* 0: the system chooses one when listening */
};

/* What rp_address_parse takes, for messages: "an address HOST:PORT, …". */
#define RP_ADDRESS_EXPECTED                                                                        \
    "an address HOST:PORT with a port up to 65535 (127.0.0.1:3000, [::1]:3000, *:3000)"

/* Takes host:port, 127.0.0.1:port, [::1]:port, *:port and :port (any address). Nothing is looked
 * up. RP_E_INVALID. */
RP_MUST_USE enum rp_err rp_address_parse(const char *text, struct rp_address *ret_address);

/* For struct rp_option's check: NULL, or what was expected. */
const char *rp_address_check(const char *text);
/* The same, also taking "off". */
const char *rp_address_check_or_off(const char *text);

/* A listening socket, non-blocking and close-on-exec, with SO_REUSEADDR. A name is looked up, which
 * may block: at start only. "Any" means IPv6 and IPv4 where there is IPv6. RP_E_IO: ret_why (of
 * why_size bytes) says what went wrong, without the address: "Address already in use". */
RP_MUST_USE enum rp_err rp_address_listen(const struct rp_address *address, int backlog,
                                          int *ret_fd, char *ret_why, size_t why_size);

/* Writes a socket address as HOST:PORT ([…]:PORT for IPv6), an IPv4 address in IPv6 clothes as
 * IPv4. */
void rp_address_format(const struct sockaddr *from, char *ret_text, size_t text_size);
/* The same of a socket's own end: where a listening socket really listens. */
void rp_address_of_fd(int fd, char *ret_text, size_t text_size);
