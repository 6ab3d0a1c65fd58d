/* common/notify.h — tells a service manager how the program is: that it serves, reads its files
 * again, stops, and that its loop turns. Without one (no NOTIFY_SOCKET in the environment) nothing
 * is done.
 *
 * The protocol is systemd's, see sd_notify(3): a datagram to the Unix socket that NOTIFY_SOCKET
 * names, a path or, with @ in front, an abstract name; in it lines NAME=VALUE. It is ours rather
 * than libsystemd's, which would bring a handful of libraries into the process for these few lines;
 * the manual promises that the protocol stays, and shows how to do without the library.
 *
 * Nothing here waits for the other end. What it does not take now is sent again from the loop.
 * The watchdog (WATCHDOG_USEC) is fed from the loop as well, at twice the rate that is asked for: a
 * loop that does not turn any more is the manager's to end. A slow disk does not stop the loop. */
#pragma once

#include <event2/event.h>

struct rp_notify;

/* Takes the environment's word; the base must outlive it. NULL if there is no manager, which all
 * functions take. */
struct rp_notify *rp_notify_new(struct event_base *base);
struct rp_notify *rp_notify_free(struct rp_notify *n); /* NULL is fine; returns NULL */

/* A line for people (systemctl status), made as by printf; line breaks become spaces. */
void rp_notify_status(struct rp_notify *n, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The program serves, or serves again after rp_notify_reloading. The watchdog begins. */
void rp_notify_ready(struct rp_notify *n);
/* It reads its files again; rp_notify_ready must follow. */
void rp_notify_reloading(struct rp_notify *n);
/* It ends. */
void rp_notify_stopping(struct rp_notify *n);
