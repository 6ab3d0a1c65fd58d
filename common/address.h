/* common/address.h — where sockets listen, as people write it: HOST:PORT, unix:/PATH, and lists of
 * both. Sources: address.c the text, address_listen.c the sockets. */
#pragma once

#include "common/error.h"
#include "common/limits.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* TEXT_SIZE: any address as text, a Unix socket's too, with its terminator */
enum {
    RP_ADDRESS_HOST_MAX = 253,
    RP_ADDRESS_TEXT_SIZE = RP_ADDRESS_HOST_MAX + 10,
    RP_ADDRESS_PATH_MAX = 107, /* what a Unix socket's address has room for */
};

struct rp_address {
    char host[RP_ADDRESS_HOST_MAX + 1]; /* a name or a number without brackets; "" is any. Of a
                                           Unix socket its path */
    uint16_t port;                      /* 0: the system chooses one when listening */
    bool is_unix;
};

struct rp_addresses {
    size_t count;
    struct rp_address items[RP_LISTEN_ADDRESSES_MAX];
};

/* What rp_address_parse takes, for messages: "an address HOST:PORT, …". */
#define RP_ADDRESS_EXPECTED                                                                        \
    "an address HOST:PORT with a port up to 65535 (127.0.0.1:3000, [::1]:3000, *:3000)"

/* Takes host:port, 127.0.0.1:port, [::1]:port, *:port and :port (any address). Nothing is looked
 * up. RP_E_INVALID. */
RP_MUST_USE enum rp_err rp_address_parse(const char *text, struct rp_address *ret_address);

/* What rp_addresses_parse takes, for messages. */
#define RP_ADDRESSES_EXPECTED                                                                      \
    "at most 16 addresses separated by commas, each HOST:PORT with a port up to 65535 "            \
    "(127.0.0.1:3000, [::1]:3000, *:3000) or unix:/PATH with a path of at most 107 bytes"

/* Takes a list of 1 to RP_LISTEN_ADDRESSES_MAX addresses separated by commas: each what
 * rp_address_parse takes, or unix: and an absolute path (which cannot have a comma in it). White
 * space around an address is ignored. RP_E_INVALID. */
RP_MUST_USE enum rp_err rp_addresses_parse(const char *text, struct rp_addresses *ret_addresses);

/* For struct rp_option's check: NULL, or what was expected. */
const char *rp_address_check(const char *text);
const char *rp_addresses_check(const char *text);
/* The same, also taking "off". */
const char *rp_address_check_or_off(const char *text);

/* Whether only this machine reaches it: 127.0.0.0/8, ::1, "localhost", a Unix socket. */
bool rp_address_is_local(const struct rp_address *address);
/* Whether it stands for all addresses of this machine: "", 0.0.0.0, ::. */
bool rp_address_is_any(const struct rp_address *address);
/* rp_address_is_local of a ZeroMQ endpoint: ipc://PATH, tcp://HOST:PORT. What is not understood is
 * not local.
 */
bool rp_address_endpoint_is_local(const char *endpoint);

/* Writes an address as it would be parsed. */
void rp_address_text(const struct rp_address *address, char *ret_text, size_t text_size);

/* A listening socket, non-blocking and close-on-exec, with SO_REUSEADDR. A name is looked up, which
 * may block: at start only. "Any" means IPv6 and IPv4 where there is IPv6.
 * A Unix socket's file is made with mode 0660: its owner and group may connect. A socket file that
 * nobody listens at any more is replaced; any other file that is in the way is an error.
 * RP_E_IO: ret_why (of why_size bytes) says what went wrong, without the address: "Address already
 * in use". */
RP_MUST_USE enum rp_err rp_address_listen(const struct rp_address *address, int backlog,
                                          int *ret_fd, char *ret_why, size_t why_size);

/* Which file a Unix socket is. All zero: none. */
struct rp_address_file {
    uint64_t device, inode;
};
/* The file that rp_address_listen has just made; none if the address is not a Unix socket's. */
struct rp_address_file rp_address_file(const struct rp_address *address);
/* Removes it, if it is still the same file. */
void rp_address_remove(const struct rp_address *address, struct rp_address_file file);

/* Writes a socket address as HOST:PORT ([…]:PORT for IPv6) or unix:PATH, an IPv4 address in IPv6
 * clothes as IPv4. */
void rp_address_format(const struct sockaddr *from, char *ret_text, size_t text_size);
/* The same of a socket's own end: where a listening socket really listens. */
void rp_address_of_fd(int fd, char *ret_text, size_t text_size);
