/* reprise.h — libreprise, the Socket.IO server API for app workers, in C.
 *
 * An app worker is a process whose handlers are the application. It links to the broker; clients
 * are connected to gateways. Any number of workers serve a namespace together: each socket is
 * served by one of them, which gets its events in order, and goes to another when that one is lost.
 *
 *     static void message(struct reprise_socket *s, struct reprise_event *e, void *user) {
 *         reprise_target_emit(reprise_socket_broadcast(s), "message",
 *                             reprise_args("v", reprise_event_arg(e, 0)));
 *     }
 *     ...
 *     struct reprise_context *c;
 *     if (reprise_context_new(NULL, &c) != REPRISE_OK) { ... }
 *     reprise_on_event(reprise_of(c, "/"), "message", message, NULL);
 *     reprise_context_run(c);
 *     reprise_context_close(c, 5000);
 *
 * Threads: one thread owns a context and calls all functions that concern it, its namespaces,
 * sockets, events and targets; handlers run on it, inside reprise_context_run or _process. Two
 * functions may be called from any thread: reprise_context_post, which runs a function on the
 * owning thread, and reprise_context_stop, which may also be called by a signal handler. A handler
 * should return within a second: after five seconds in which the owning thread does not come back,
 * the broker takes the worker for lost and gives its sockets to others.
 *
 * Ownership: *takes* means that the function frees it, also when it fails; *borrows* that it is
 * looked at until the function returns. What a handler is given is borrowed until it returns,
 * unless said otherwise. Texts are UTF-8 and end with NUL.
 *
 * Errors: REPRISE_OK is 0, failures are negative. The library never exits, prints or aborts because
 * of what comes from outside or because it is used in a wrong way: NULL or something that is gone
 * is answered with an error, or with an empty result. (Out of memory for its own small objects it
 * aborts, as a process can do little else then; what peers can size is bounded.) */
#ifndef REPRISE_H
#define REPRISE_H

#include "reprise_error.h" /* enum reprise_err */
#include "reprise_value.h" /* struct reprise_value, struct reprise_builder */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define REPRISE_VERSION "0.1.0"

struct reprise_context;   /* the link to a broker and everything below */
struct reprise_nsp;       /* a namespace or a pattern of them; lives as long as its context */
struct reprise_socket;    /* a client in a namespace; counted references */
struct reprise_event;     /* an event of a client (or of another worker) and its ack */
struct reprise_admission; /* a client that wants to connect */
struct reprise_check;     /* a room event that asks for permission */
struct reprise_target;    /* rooms as an address */

/* ---- errors ----
 *
 * enum reprise_err and reprise_strerror are in reprise_error.h. What the errors mean here:
 *   REPRISE_E_INVALID   an argument is missing, malformed, or out of place
 *   REPRISE_E_FULL      larger than a limit
 *   REPRISE_E_BUSY      too much is under way (the broker is away, or slow): try later
 *   REPRISE_E_GONE      the socket is not there any more, or this was answered already
 *   REPRISE_E_TIMEOUT   no answer in time
 *   REPRISE_E_LOST      the broker had nothing to resume from: not known whether it was done
 *   REPRISE_E_LINK      volatile, and there is no link
 *   REPRISE_E_REFUSED   the broker said no; reprise_last_error says why
 *   REPRISE_E_CLOSED    the context is closing, or was closed
 *   REPRISE_E_SYSTEM    the operating system said no */

/* Says more about the last failure of a function or request of this context; may be empty. Valid
 * until the next failure. */
const char *reprise_last_error(const struct reprise_context *c);
/* The version of the library that runs: "0.1.0". */
const char *reprise_version(void);

/* A builder with these values, as reprise_put writes them: reprise_args("si", "text", 7). For
 * functions that take one; what goes wrong is their error. */
struct reprise_builder *reprise_args(const char *format, ...);

/* ---- the context ---- */

enum reprise_log_level { REPRISE_LOG_WARN = 0, REPRISE_LOG_INFO = 1 };

typedef void reprise_log_fn(enum reprise_log_level level, const char *text, void *user);

/* All may be left out: zero it, then set what matters. Texts are copied. */
struct reprise_options {
    const char *broker; /* tcp://HOST:PORT or ipc://PATH; NULL: the environment's REPRISE_BROKER, or
                           tcp://127.0.0.1:5570 */
    const char *name;   /* of this worker, for the broker's logs; NULL: HOST.PID */
    /* CURVE keys as 40 characters (Z85); either none or all three */
    const char *server_key;              /* the broker's public key */
    const char *public_key, *secret_key; /* this worker's own */
    /* Without keys whoever is between can read and change everything, so a broker that is not on
     * this machine (loopback, ipc://) needs keys, or this: every machine between is trusted. */
    bool plain_links;
    reprise_log_fn *log; /* NULL: nothing is logged */
    void *log_user;
    void *reserved[8]; /* NULL: room for what later versions may add */
};

/* Makes a context; nothing is sent before it runs. options may be NULL; borrowed. The caller closes
 * it.
 *   REPRISE_E_INVALID   not an endpoint, a key is malformed, or there are none and the broker is on
 *                       another machine (see plain_links); `log` is told which
 *   REPRISE_E_SYSTEM    no more file descriptors */
enum reprise_err reprise_context_new(const struct reprise_options *options,
                                     struct reprise_context **ret_context);
/* Handles what comes until reprise_context_stop. Waits for the broker as long as it takes. It may
 * be called again. REPRISE_E_INVALID: called from a handler, or c is NULL. */
enum reprise_err reprise_context_run(struct reprise_context *c);
/* Makes the run return, the present one or, if there is none, the next. From any thread, and from
 * signal handlers. */
void reprise_context_stop(struct reprise_context *c);

/* For a loop of your own in place of reprise_context_run: one descriptor that becomes readable when
 * there is something to do, timeouts included. Watch it for reading, level-triggered, and call
 * reprise_context_process then, and once at the beginning. The descriptor is the same during the
 * context's life; do not read from it. -1 if c is NULL. */
int reprise_context_fd(const struct reprise_context *c);
/* Does what there is to do, bounded, without waiting. REPRISE_E_INVALID: called from a handler. */
enum reprise_err reprise_context_process(struct reprise_context *c);
/* Milliseconds until reprise_context_process must be called at the latest; 0 is now. The descriptor
 * tells that too: this is for loops that would rather not be woken for it. */
int reprise_context_timeout(const struct reprise_context *c);

typedef void reprise_post_fn(struct reprise_context *c, void *arg);
/* Runs fn(c, arg) on the owning thread, soon, in the order of posting. From any thread (not from
 * signal handlers); the context must not be closed meanwhile.
 *   REPRISE_E_BUSY     65536 are waiting: fn will not be called
 *   REPRISE_E_CLOSED   the context is closing: fn will not be called */
enum reprise_err reprise_context_post(struct reprise_context *c, reprise_post_fn *fn, void *arg);

/* Says goodbye and frees the context, its namespaces and handlers; takes c. First lets requests and
 * kept events be answered, for at most timeout_ms (handlers run meanwhile; posts still waiting are
 * run once at the beginning), then tells the broker, which gives the sockets to other workers.
 * Handlers `released` are not called for that; destructors of user pointers are. Sockets and kept
 * handles that the application holds stay valid, and every operation on them fails. Not from a
 * handler: nothing happens then. NULL is fine. */
void reprise_context_close(struct reprise_context *c, unsigned timeout_ms);

/* Called once: the link is up and this worker gets its share of sockets. */
typedef void reprise_ready_fn(struct reprise_context *c, void *user);
void reprise_on_ready(struct reprise_context *c, reprise_ready_fn *fn, void *user);
/* Called when a link to the broker is up, and when it is lost. Sockets stay connected, and what
 * they and the worker do meanwhile is kept (bounded) until the link is back. */
typedef void reprise_link_fn(struct reprise_context *c, bool up, void *user);
void reprise_on_link(struct reprise_context *c, reprise_link_fn *fn, void *user);

/* ---- namespaces ---- */

/* The namespace with this name ("/", "/chat"), which the worker serves from now on. Calling it
 * again gives the same. Handlers and flags should be set before the context runs: what is added
 * later is served after the link was begun anew, which happens at once and loses nothing. NULL if
 * the name is malformed (it begins with '/', at most 255 bytes, no ',' and no '*'), or 256 are
 * served already. */
struct reprise_nsp *reprise_of(struct reprise_context *c, const char *name);
/* All namespaces that match the pattern: '*' stands for any text ("/room-*"). One with its own
 * reprise_of is not part of it; of several patterns the longest counts. Handlers are called for the
 * sockets of all of them; reprise_socket_nsp_name tells which. NULL as for reprise_of. */
struct reprise_nsp *reprise_of_pattern(struct reprise_context *c, const char *pattern);
/* The name or the pattern. */
const char *reprise_nsp_name(const struct reprise_nsp *n);
struct reprise_context *reprise_nsp_context(const struct reprise_nsp *n);

/* Durable: an event of a client that its worker has not confirmed when it is lost (see
 * reprise_event_keep) is given to the next, flagged as redelivered. Without: its ack tells an
 * error. Off by default. All workers of a namespace should say the same; the last to come wins. */
enum reprise_err reprise_nsp_durable(struct reprise_nsp *n, bool durable);

enum reprise_rooms {
    REPRISE_ROOMS_OFF = 0, /* events named join, leave, publish, history, presence are the
                              application's, as in Socket.IO; the default */
    REPRISE_ROOMS_ON = 1,  /* they are the built-in room events, and no handler sees them */
    REPRISE_ROOMS_ASK = 2  /* the same, but the handler of reprise_on_room_event decides first */
};
enum reprise_err reprise_nsp_rooms(struct reprise_nsp *n, enum reprise_rooms rooms);

/* ---- handlers ----
 *
 * They belong to a namespace and are called for each of its sockets, with `user` as given. Several
 * of a kind are called in the order they were added. Registering fails with REPRISE_E_INVALID only
 * (something is NULL, or the name of an event is empty or longer than 255 bytes). */

/* A client has connected, or has come back: see reprise_socket_recovered. Its rooms and data are
 * there again then, and what it missed is sent by the broker. */
typedef void reprise_socket_fn(struct reprise_socket *s, void *user);
enum reprise_err reprise_on_connection(struct reprise_nsp *n, reprise_socket_fn *fn, void *user);
/* A connected socket was given to this worker by another (which left, or died). Its `connection`
 * is not called again; rooms, data and handshake are there. */
enum reprise_err reprise_on_adopted(struct reprise_nsp *n, reprise_socket_fn *fn, void *user);
/* A connected socket was given to another worker: there will be no more of it here. */
enum reprise_err reprise_on_released(struct reprise_nsp *n, reprise_socket_fn *fn, void *user);
/* The connection is gone; the first still sees the socket's rooms, the second none. The reasons are
 * Socket.IO's: "transport close", "ping timeout", "client namespace disconnect", "server namespace
 * disconnect", "transport error", "parse error", "forced close", "forced server close", "server
 * shutting down". The session may come back unless one side ended it on purpose. */
typedef void reprise_disconnect_fn(struct reprise_socket *s, const char *reason, void *user);
enum reprise_err reprise_on_disconnecting(struct reprise_nsp *n, reprise_disconnect_fn *fn,
                                          void *user);
enum reprise_err reprise_on_disconnect(struct reprise_nsp *n, reprise_disconnect_fn *fn,
                                       void *user);
/* A client that was gone can not recover any more. `data` is what reprise_socket_set_data left
 * (null if nothing). */
typedef void reprise_expired_fn(struct reprise_nsp *n, const char *nsp_name, const char *sid,
                                struct reprise_value data, void *user);
enum reprise_err reprise_on_session_expired(struct reprise_nsp *n, reprise_expired_fn *fn,
                                            void *user);
/* A middleware of reprise_use_event refused an event; `message` is its. */
typedef void reprise_error_fn(struct reprise_socket *s, const char *message, void *user);
enum reprise_err reprise_on_error(struct reprise_nsp *n, reprise_error_fn *fn, void *user);

/* An event with this name has come from a client. Events of one socket come in their order; an
 * event without handler is confirmed without ack. */
typedef void reprise_event_fn(struct reprise_socket *s, struct reprise_event *e, void *user);
enum reprise_err reprise_on_event(struct reprise_nsp *n, const char *name, reprise_event_fn *fn,
                                  void *user);
/* Takes back one that was added with the same arguments; what handlers do at any time, also for
 * themselves. REPRISE_E_INVALID: there is none. */
enum reprise_err reprise_off_event(struct reprise_nsp *n, const char *name, reprise_event_fn *fn,
                                   void *user);
/* Any event: called before the handlers of its name; prepend: before those there are. */
enum reprise_err reprise_on_any(struct reprise_nsp *n, reprise_event_fn *fn, void *user);
enum reprise_err reprise_prepend_any(struct reprise_nsp *n, reprise_event_fn *fn, void *user);
enum reprise_err reprise_off_any(struct reprise_nsp *n, reprise_event_fn *fn, void *user);
/* Anything this worker emits to one or more clients of the namespace, before it is sent. `sid` is
 * the socket it is emitted to, NULL if it goes to a room, several or all; args is the array of
 * arguments. Acks are not caught. */
typedef void reprise_outgoing_fn(struct reprise_nsp *n, const char *sid, const char *name,
                                 struct reprise_value args, void *user);
enum reprise_err reprise_on_any_outgoing(struct reprise_nsp *n, reprise_outgoing_fn *fn,
                                         void *user);
enum reprise_err reprise_prepend_any_outgoing(struct reprise_nsp *n, reprise_outgoing_fn *fn,
                                              void *user);
enum reprise_err reprise_off_any_outgoing(struct reprise_nsp *n, reprise_outgoing_fn *fn,
                                          void *user);

/* ---- who may connect: middlewares ----
 *
 * Before a client is connected the middlewares of its namespace are asked one after the other; also
 * before it recovers. Each says reprise_admission_next or _refuse, at once or later: it may keep
 * the handle, which is valid until one of them was called. A middleware that never answers keeps
 * its client waiting. Without middlewares everybody may connect.
 *
 * The worker that admits a client need not be the one that will serve it, and nothing done here but
 * the answer reaches that one: what a handler of `connection` must know is in the handshake. */

typedef void reprise_middleware_fn(struct reprise_admission *a, void *user);
enum reprise_err reprise_use(struct reprise_nsp *n, reprise_middleware_fn *fn, void *user);

/* On to the next middleware; after the last the client is connected. The handle is gone then. Once
 * per middleware: a second call would speak for the one that comes next. */
enum reprise_err reprise_admission_next(struct reprise_admission *a);
/* The client gets CONNECT_ERROR with the message (at most 1024 bytes; "refused" if it is NULL or
 * not UTF-8) and data: the first argument of the builder, which is taken; at most 64 KiB; NULL for
 * none. The handle is gone then, and the client is refused also if the data cannot be sent. */
enum reprise_err reprise_admission_refuse(struct reprise_admission *a, const char *message,
                                          struct reprise_builder *data);
const char *reprise_admission_sid(const struct reprise_admission *a);
const char *reprise_admission_nsp_name(const struct reprise_admission *a);
struct reprise_nsp *reprise_admission_nsp(const struct reprise_admission *a);
/* Whether it would come back to a session that is still there. */
bool reprise_admission_recovers(const struct reprise_admission *a);
/* The handshake; the functions of struct reprise_handshake read it. Valid as long as the handle. */
struct reprise_value reprise_admission_handshake(const struct reprise_admission *a);

/* What a handshake says. Values are empty (of no kind) and texts NULL where it says nothing. The
 * handshake is an object as in Socket.IO: headers, time, address, xdomain, secure, issued, url,
 * query, auth. */
struct reprise_value reprise_handshake_auth(struct reprise_value handshake);
struct reprise_value reprise_handshake_query(struct reprise_value handshake, const char *name);
/* By its name in any case. */
struct reprise_value reprise_handshake_header(struct reprise_value handshake, const char *name);
struct reprise_value reprise_handshake_address(struct reprise_value handshake);
/* Milliseconds since 1970; 0 if it does not say. */
uint64_t reprise_handshake_issued_ms(struct reprise_value handshake);

/* ---- per-event middlewares (socket.use) ----
 *
 * Asked before the handlers of every event, one after the other, on the spot: they cannot defer.
 * Returning NULL means next. Another text refuses the event: no handler sees it, it is confirmed
 * without ack as in Socket.IO, and handlers of `error` get the text, which must stay valid until
 * then. A middleware that wants the client to know acks the event before it refuses. */
typedef const char *reprise_event_middleware_fn(struct reprise_socket *s, struct reprise_event *e,
                                                void *user);
enum reprise_err reprise_use_event(struct reprise_nsp *n, reprise_event_middleware_fn *fn,
                                   void *user);

/* ---- room events that ask (REPRISE_ROOMS_ASK) ---- */

enum reprise_room_event {
    REPRISE_ROOM_JOIN = 1,
    REPRISE_ROOM_LEAVE = 2,
    REPRISE_ROOM_PUBLISH = 3,
    REPRISE_ROOM_HISTORY = 4,
    REPRISE_ROOM_PRESENCE = 5
};

/* Decides with reprise_check_allow or _deny, at once or later: it may keep the handle, valid until
 * one was called. One handler per namespace, the last counts; without one everything is allowed. */
typedef void reprise_room_event_fn(struct reprise_socket *s, struct reprise_check *k, void *user);
enum reprise_err reprise_on_room_event(struct reprise_nsp *n, reprise_room_event_fn *fn,
                                       void *user);
enum reprise_room_event reprise_check_what(const struct reprise_check *k);
const char *reprise_check_room(const struct reprise_check *k);
/* PUBLISH: the name and the arguments (an array) of the event to be published; else "" and empty.
 */
const char *reprise_check_name(const struct reprise_check *k);
struct reprise_value reprise_check_args(const struct reprise_check *k);
struct reprise_socket *reprise_check_socket(const struct reprise_check *k);
enum reprise_err reprise_check_allow(struct reprise_check *k);
/* The client's ack is {ok:false,error:{code,message}}. At most 64 and 1024 bytes; the rest is cut
 * off. What is NULL or not UTF-8 is "forbidden" and "not allowed". */
enum reprise_err reprise_check_deny(struct reprise_check *k, const char *code, const char *message);

/* ---- events ---- */

/* The name; NUL bytes that a client puts into a name end it here, and _name_len tells its true
 * length. (Handlers by name compare the whole.) */
const char *reprise_event_name(const struct reprise_event *e);
size_t reprise_event_name_len(const struct reprise_event *e);
size_t reprise_event_argc(const struct reprise_event *e);
/* The argument i, counted from 0; empty (of no kind) past the last. Valid as long as the event. */
struct reprise_value reprise_event_arg(const struct reprise_event *e, size_t i);
/* All arguments as one array; its members are the bytes as they came (reprise_value.h). */
struct reprise_value reprise_event_args(const struct reprise_event *e);
/* The socket it came from; NULL for an event of another worker. Borrowed: valid as long as the
 * event. */
struct reprise_socket *reprise_event_socket(const struct reprise_event *e);
bool reprise_event_wants_ack(const struct reprise_event *e);
/* Somebody may have handled it before, this worker or another that is lost now. */
bool reprise_event_redelivered(const struct reprise_event *e);

/* Answers the client's ack with the arguments; takes args, NULL for none. If nobody wants an ack
 * the event is just confirmed. The client gets it once, however often links are lost.
 *   REPRISE_E_GONE     it was answered already, or cannot be any more
 *   REPRISE_E_FULL, REPRISE_E_INVALID (the builder had failed)   not answered */
enum reprise_err reprise_event_ack(struct reprise_event *e, struct reprise_builder *args);
/* The event stays valid after its handler returned, until reprise_event_done, so that it can be
 * answered later (on the owning thread). Without, it is confirmed when the handlers have returned,
 * acked or not. In a durable namespace what is not confirmed when this worker is lost is given to
 * another. */
enum reprise_err reprise_event_keep(struct reprise_event *e);
/* Ends what reprise_event_keep began; confirms the event if it was not acked. Once per keep. NULL
 * is fine. */
void reprise_event_done(struct reprise_event *e);

/* ---- sockets ---- */

/* The id, the same after a recovery. Also the name of a room in which only this socket is. */
const char *reprise_socket_id(const struct reprise_socket *s);
/* What reprise_of or reprise_of_pattern gave. */
struct reprise_nsp *reprise_socket_nsp(const struct reprise_socket *s);
/* The name of its namespace, with a pattern the one that it matched. */
const char *reprise_socket_nsp_name(const struct reprise_socket *s);
struct reprise_context *reprise_socket_context(const struct reprise_socket *s);
/* It came back with its session: rooms and data are what they were. */
bool reprise_socket_recovered(const struct reprise_socket *s);
bool reprise_socket_connected(const struct reprise_socket *s);
/* Its handshake, of this connection; see reprise_handshake_auth and so on. */
struct reprise_value reprise_socket_handshake(const struct reprise_socket *s);

/* Its rooms, its id among them: reprise_socket_room(s, i) for i from 0 until NULL. What is joined
 * or left while iterating changes the order. */
size_t reprise_socket_rooms_count(const struct reprise_socket *s);
const char *reprise_socket_room(const struct reprise_socket *s, size_t i);
bool reprise_socket_in_room(const struct reprise_socket *s, const char *room);

/* The application's data of the session, which survives recovery, workers and restarts of the
 * broker; null if there is none. */
struct reprise_value reprise_socket_data(const struct reprise_socket *s);
/* Sets it to the first argument of the builder, which is taken (NULL: to null). At most 64 KiB as
 * JSON; no binary. */
enum reprise_err reprise_socket_set_data(struct reprise_socket *s, struct reprise_builder *data);

/* A pointer of the application's, of this worker only. `destructor` (or NULL) is called with the
 * pointer when another is set, and when the socket is gone from this worker: after the handlers of
 * disconnect or released, and when the context is closed. */
enum reprise_err reprise_socket_set_user(struct reprise_socket *s, void *user,
                                         void (*destructor)(void *user));
void *reprise_socket_user(const struct reprise_socket *s);

/* A socket may be kept: a reference makes the handle valid until it is given back. When the client
 * is gone, operations fail with REPRISE_E_GONE; while its session may still come back it can be
 * emitted to, and gets that when it does. */
struct reprise_socket *reprise_socket_ref(struct reprise_socket *s);
void reprise_socket_unref(struct reprise_socket *s); /* NULL is fine */

/* Rooms are names of 1 to 255 bytes. It is a member, for what this worker does next, at once. The
 * room of its own id cannot be left: REPRISE_E_INVALID. */
enum reprise_err reprise_socket_join(struct reprise_socket *s, const char *room);
enum reprise_err reprise_socket_join_all(struct reprise_socket *s, const char *const *rooms,
                                         size_t rooms_count);
enum reprise_err reprise_socket_leave(struct reprise_socket *s, const char *room);
/* Ends the session in this namespace; with close, the client's whole connection. */
enum reprise_err reprise_socket_disconnect(struct reprise_socket *s, bool close);

/* Emits to this client; takes args, NULL for none. Logged: a client that is away gets it when it
 * recovers.
 *   REPRISE_E_GONE      the session has ended, or another worker serves it
 *   REPRISE_E_BUSY      too much is unanswered (16 MiB or 200000 requests)
 *   REPRISE_E_FULL   more than 15 MiB
 *   REPRISE_E_INVALID   a reserved name (connect, connect_error, disconnect, disconnecting,
 *                       newListener, removeListener), or the builder had failed */
enum reprise_err reprise_socket_emit(struct reprise_socket *s, const char *name,
                                     struct reprise_builder *args);
/* The same with the name "message". */
enum reprise_err reprise_socket_send(struct reprise_socket *s, struct reprise_builder *args);

/* The client's answer, or why there is none:
 *   REPRISE_E_TIMEOUT   none within the time
 *   REPRISE_E_GONE      the session ended
 *   REPRISE_E_LOST, REPRISE_E_REFUSED, REPRISE_E_CLOSED
 * args is the array of its arguments, empty (of no kind) on failure. Called once. */
typedef void reprise_ack_fn(enum reprise_err err, struct reprise_value args, void *user);
/* Emits and waits for the client's ack; takes args. timeout_ms 0: for as long as the session may
 * last; if the socket was given to another worker and then the link is lost, for two minutes from
 * then on (REPRISE_E_TIMEOUT). The event is sent again after each recovery until the client has
 * acked it (at least once), and the ack comes once. When the call fails, fn is not called. */
enum reprise_err reprise_socket_emit_with_ack(struct reprise_socket *s, const char *name,
                                              struct reprise_builder *args, uint64_t timeout_ms,
                                              reprise_ack_fn *fn, void *user);

/* ---- targets: the broadcast operators ----
 *
 * A target is built by chaining and used once:
 *
 *     reprise_target_emit(reprise_target_except(reprise_to(n, "news"), "muted"), "title", args);
 *
 * Each of its functions returns the target it was given. A use (emit, join, fetch …) frees it, also
 * when it fails, unless reprise_target_keep was called. What went wrong while chaining (NULL, a bad
 * room, more than 256 rooms) is the error of the use, so a chain needs no checks in between. */

/* Everybody in the namespace, on all gateways; of a pattern: in all namespaces it matches (only to
 * be emitted to). */
struct reprise_target *reprise_all(struct reprise_nsp *n);
/* The same of one namespace by its name, whether this worker serves it or another does. */
struct reprise_target *reprise_all_of(struct reprise_context *c, const char *nsp_name);
/* A room; also the id of a socket, wherever it is connected. */
struct reprise_target *reprise_to(struct reprise_nsp *n, const char *room);
/* Everybody in a room or not, but some. */
struct reprise_target *reprise_except(struct reprise_nsp *n, const char *room);
/* The socket alone. */
struct reprise_target *reprise_socket_only(struct reprise_socket *s);
/* Everybody in its namespace but the socket; with _to: everybody in a room but the socket. */
struct reprise_target *reprise_socket_broadcast(struct reprise_socket *s);
struct reprise_target *reprise_socket_to(struct reprise_socket *s, const char *room);

/* Adds a room: whoever is in at least one of them is meant, once. _in is another word for it. */
struct reprise_target *reprise_target_to(struct reprise_target *t, const char *room);
struct reprise_target *reprise_target_in(struct reprise_target *t, const char *room);
/* Nobody who is in this room; also the id of a socket. */
struct reprise_target *reprise_target_except(struct reprise_target *t, const char *room);
/* Emits may be lost: not logged, not kept for who is away or slow, nor while the broker is away. */
struct reprise_target *reprise_target_volatile(struct reprise_target *t);
/* How long acks are waited for; milliseconds. */
struct reprise_target *reprise_target_timeout(struct reprise_target *t, uint64_t timeout_ms);

/* What became of an emit, once: REPRISE_OK and the position in the log at which it is durable (0 if
 * volatile), or REPRISE_E_LINK (volatile), _LOST, _REFUSED, _CLOSED and 0. */
typedef void reprise_stored_fn(enum reprise_err err, uint64_t seq, void *user);
struct reprise_target *reprise_target_stored(struct reprise_target *t, reprise_stored_fn *fn,
                                             void *user);

/* The target survives its uses until reprise_target_free. */
struct reprise_target *reprise_target_keep(struct reprise_target *t);
void reprise_target_free(struct reprise_target *t); /* NULL is fine */

/* Takes args. Errors as for reprise_socket_emit. */
enum reprise_err reprise_target_emit(struct reprise_target *t, const char *name,
                                     struct reprise_builder *args);
enum reprise_err reprise_target_send(struct reprise_target *t, struct reprise_builder *args);

/* One client's answer. */
struct reprise_response {
    const char *sid;
    struct reprise_value args; /* the array of its arguments */
};
/* A client has answered. */
typedef void reprise_response_fn(const struct reprise_response *response, void *user);
/* All who were connected have answered, or (err) something was in the way: what has come is given
 * in any case, in the order it came. REPRISE_E_TIMEOUT: the time is over. REPRISE_E_FULL: the
 * answers are too large to be collected (64 MiB); those that were are there. */
typedef void reprise_responses_fn(enum reprise_err err, const struct reprise_response *responses,
                                  size_t responses_count, void *user);
/* Emits and collects acks; takes args. The target needs a timeout, unless it is one socket alone,
 * and cannot be volatile or a pattern (REPRISE_E_INVALID). Either function may be NULL: without
 * `done` nothing is collected. Who recovers within the time is sent the event again. When the call
 * fails, neither is called; `done` is called once otherwise. */
enum reprise_err reprise_target_emit_with_ack(struct reprise_target *t, const char *name,
                                              struct reprise_builder *args,
                                              reprise_response_fn *each, reprise_responses_fn *done,
                                              void *user);

/* What is known of a socket, wherever it is connected; reprise_to(n, id) reaches it. */
struct reprise_remote_socket {
    const char *id;
    struct reprise_value rooms;     /* an array of texts */
    struct reprise_value data;      /* null if there is none */
    struct reprise_value handshake; /* an object, or null */
};
/* Everybody the target means, in one go; borrowed until the function returns. It sees what this
 * worker has done before. REPRISE_E_TIMEOUT (if the target has one), _LOST, _REFUSED, _CLOSED;
 * REPRISE_E_FULL: more than 64 MiB. */
typedef void reprise_sockets_fn(enum reprise_err err, const struct reprise_remote_socket *sockets,
                                size_t sockets_count, void *user);
enum reprise_err reprise_target_fetch_sockets(struct reprise_target *t, reprise_sockets_fn *fn,
                                              void *user);
/* All that it means join a room, leave it, are disconnected (close: their whole connection). */
enum reprise_err reprise_target_sockets_join(struct reprise_target *t, const char *room);
enum reprise_err reprise_target_sockets_leave(struct reprise_target *t, const char *room);
enum reprise_err reprise_target_disconnect_sockets(struct reprise_target *t, bool close);

/* ---- other workers ---- */

/* Emits to all other workers that serve the namespace, or the pattern; takes args, without binary.
 * Not logged: whoever is away does not get it. */
enum reprise_err reprise_server_side_emit(struct reprise_nsp *n, const char *name,
                                          struct reprise_builder *args);
/* The answers of the other workers, each the array of its arguments; with REPRISE_E_TIMEOUT those
 * that came. */
typedef void reprise_side_responses_fn(enum reprise_err err, const struct reprise_value *responses,
                                       size_t responses_count, void *user);
/* timeout_ms is 1 to 60000. */
enum reprise_err reprise_server_side_emit_with_ack(struct reprise_nsp *n, const char *name,
                                                   struct reprise_builder *args,
                                                   uint64_t timeout_ms,
                                                   reprise_side_responses_fn *fn, void *user);
/* Such an event of another worker; it has no socket, and its ack answers that worker. */
typedef void reprise_side_fn(struct reprise_nsp *n, struct reprise_event *e, void *user);
enum reprise_err reprise_on_server_side(struct reprise_nsp *n, const char *name,
                                        reprise_side_fn *fn, void *user);

/* ---- numbers, for monitoring ---- */

struct reprise_stats {
    uint64_t events;   /* of clients, given to handlers */
    uint64_t emits;    /* requests of this worker to emit */
    uint64_t sockets;  /* served now */
    uint64_t requests; /* unanswered now */
    uint64_t requests_bytes;
    uint64_t tasks;         /* events, connects and room events not answered yet */
    uint64_t tasks_refused; /* because too many were under way */
    uint64_t links;         /* begun so far and up */
    bool linked;
    uint64_t reserved[16]; /* 0: room for what later versions may add */
};
void reprise_context_stats(const struct reprise_context *c, struct reprise_stats *ret_stats);

#ifdef __cplusplus
}
#endif

#endif
