#include "broker/hub.h"

#include "broker/zap.h"
#include "common/address.h"
#include "common/alloc.h"
#include "common/assert.h"
#include "common/curve_file.h"
#include "common/limits.h"
#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <zmq.h>

enum {
    ROUTING_ID_LEN = 5,
    ENDPOINT_SIZE = 512,
    BACKLOG = 1024,
    HANDSHAKE_MS = 5000, /* a connection that does not speak ZMTP by then is closed */
    /* Frees what is queued for a host that vanished. Says nothing about the process: its I/O thread
     * answers. Liveness is the link's own heartbeat. */
    ZMTP_HEARTBEAT_MS = 5000,
    ZMTP_TIMEOUT_MS = 20000,
};

struct rp_hub {
    void *context;
    void *socket;
    void *monitor; /* tells of handshakes that fail, and who comes and goes */
    int fd, monitor_fd;
    size_t connections;     /* accepted and not gone */
    bool parting;           /* new ones do not count any more */
    struct rp_zap *zap;     /* NULL: links are plain */
    struct rp_allow *allow; /* with it */
    char endpoint[ENDPOINT_SIZE];
    struct rp_hub_stats stats;
    struct rp_log_limit malformed_limit, handshake_limit, revoked_limit, role_limit;
};

/* ---- links ---- */

/* A routing id as a number above 2^32, so never 0; 0 if the peer chose its own, which is not for
 * links. */
static uint64_t link_id_of(struct rp_bytes routing_id) {
    if (routing_id.len != ROUTING_ID_LEN || routing_id.data[0] != 0) {
        return 0;
    }
    uint64_t id = 1;
    for (size_t i = 1; i < ROUTING_ID_LEN; i++) {
        id = id << 8 | routing_id.data[i];
    }
    return id;
}

static void routing_id_of(uint64_t link_id, uint8_t ret_routing_id[ROUTING_ID_LEN]) {
    ret_routing_id[0] = 0;
    for (size_t i = ROUTING_ID_LEN - 1; i > 0; i--) {
        ret_routing_id[i] = (uint8_t) link_id;
        link_id >>= 8;
    }
}

/* ---- life ---- */

const char *rp_hub_check_endpoint(const char *endpoint) {
    struct rp_address address;
    bool is_tcp =
        strncmp(endpoint, "tcp://", 6) == 0 && rp_address_parse(endpoint + 6, &address) == RP_OK;
    size_t path_len = strncmp(endpoint, "ipc://", 6) == 0 ? strlen(endpoint + 6) : 0;
    bool is_ipc = path_len > 0 && path_len < sizeof((struct sockaddr_un *) NULL)->sun_path;
    return is_tcp || is_ipc ? NULL
                            : "tcp://HOST:PORT (tcp://127.0.0.1:5570, tcp://*:5570) or ipc://PATH";
}

static void set_int(void *socket, int option, int value) {
    int rc = zmq_setsockopt(socket, option, &value, sizeof value);
    RP_ASSERT(rc == 0);
}

static void set_options(void *socket) {
    /* Without it sends to a link that is gone would vanish as "ok". */
    set_int(socket, ZMQ_ROUTER_MANDATORY, 1);
    /* No marks: the bound is the links' credit in bytes, and a full pipe would lose messages. */
    set_int(socket, ZMQ_SNDHWM, 0);
    set_int(socket, ZMQ_RCVHWM, 0);
    set_int(socket, ZMQ_LINGER, 0);
    set_int(socket, ZMQ_BACKLOG, BACKLOG);
    set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set_int(socket, ZMQ_HEARTBEAT_IVL, ZMTP_HEARTBEAT_MS);
    set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, ZMTP_TIMEOUT_MS);
    int64_t message_bytes_max = RP_LINK_MESSAGE_BYTES_MAX;
    int rc = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &message_bytes_max, sizeof message_bytes_max);
    RP_ASSERT(rc == 0);
}

/* ":5570" is "any" to us and nothing to libzmq. Any address is IPv6's where there is IPv6, which
 * takes IPv4 along; names are looked up for IPv4 alone, as gateways do. */
static enum rp_err bind_endpoint(struct rp_hub *hub, const char *endpoint, char *ret_why,
                                 size_t why_size) {
    char asked[ENDPOINT_SIZE];
    bool is_short = strncmp(endpoint, "tcp://:", 7) == 0;
    bool is_any = is_short || strncmp(endpoint, "tcp://*:", 8) == 0;
    snprintf(asked, sizeof asked, "%s%s", is_short ? "tcp://*" : "",
             endpoint + (is_short ? strlen("tcp://") : 0));
    set_int(hub->socket, ZMQ_IPV6, is_any || strncmp(endpoint, "tcp://[", 7) == 0);
    int rc = zmq_bind(hub->socket, asked);
    if (rc != 0 && is_any && errno != EADDRINUSE && errno != EACCES) {
        set_int(hub->socket, ZMQ_IPV6, 0);
        rc = zmq_bind(hub->socket, asked);
    }
    if (rc != 0) {
        snprintf(ret_why, why_size, "%s", zmq_strerror(errno));
        return RP_E_IO;
    }
    size_t size = sizeof hub->endpoint;
    rc = zmq_getsockopt(hub->socket, ZMQ_LAST_ENDPOINT, hub->endpoint, &size);
    RP_ASSERT(rc == 0);
    return RP_OK;
}

static int fd_of(void *socket) {
    int fd;
    size_t size = sizeof fd;
    int rc = zmq_getsockopt(socket, ZMQ_FD, &fd, &size);
    RP_ASSERT(rc == 0);
    return fd;
}

static bool start_monitor(struct rp_hub *hub) {
    static const char address[] = "inproc://hub-handshakes";
    static const int events = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                              ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_ACCEPTED |
                              ZMQ_EVENT_DISCONNECTED;
    hub->monitor = zmq_socket(hub->context, ZMQ_PAIR);
    if (hub->monitor == NULL || zmq_socket_monitor(hub->socket, address, events) != 0) {
        return false;
    }
    set_int(hub->monitor, ZMQ_LINGER, 0);
    set_int(hub->monitor, ZMQ_RCVHWM, 0); /* full, it would stop the thread that moves our bytes */
    if (zmq_connect(hub->monitor, address) != 0) {
        return false;
    }
    hub->monitor_fd = fd_of(hub->monitor);
    return true;
}

/* Everything but binding. */
static enum rp_err make_sockets(struct rp_hub *hub, const struct rp_curve_keys *keys, char *ret_why,
                                size_t why_size) {
    hub->socket = zmq_socket(hub->context, ZMQ_ROUTER);
    if (hub->socket == NULL || !start_monitor(hub)) {
        snprintf(ret_why, why_size, "%s", zmq_strerror(errno));
        return RP_E_IO;
    }
    set_options(hub->socket);
    hub->fd = fd_of(hub->socket);
    if (keys == NULL) {
        return RP_OK;
    }
    RP_ASSERT(hub->allow != NULL);
    rp_curve_set_server(hub->socket, keys);
    return rp_zap_new(hub->context, ret_why, why_size, &hub->zap);
}

enum rp_err rp_hub_new(const struct rp_hub_config *config, char *ret_why, size_t why_size,
                       struct rp_hub **ret_hub) {
    struct rp_hub *hub = RP_NEW(struct rp_hub);
    hub->allow = config->allow;
    hub->context = zmq_ctx_new();
    RP_ASSERT(hub->context != NULL);
    enum rp_err err = make_sockets(hub, config->keys, ret_why, why_size);
    if (err == RP_OK) {
        err = bind_endpoint(hub, config->endpoint, ret_why, why_size);
    }
    if (err != RP_OK) {
        rp_hub_free(hub, 0);
        return err;
    }
    *ret_hub = hub;
    return RP_OK;
}

struct rp_hub *rp_hub_free(struct rp_hub *hub, int linger_ms) {
    if (hub == NULL) {
        return NULL;
    }
    if (hub->socket != NULL) {
        zmq_socket_monitor(hub->socket, NULL, 0);
        set_int(hub->socket, ZMQ_LINGER, linger_ms);
        zmq_close(hub->socket);
    }
    if (hub->monitor != NULL) {
        zmq_close(hub->monitor);
    }
    rp_zap_free(hub->zap);
    rp_allow_free(hub->allow);
    while (zmq_ctx_term(hub->context) != 0 && errno == EINTR) {
    }
    free(hub);
    return NULL;
}

void rp_hub_set_allow(struct rp_hub *hub, struct rp_allow *allow) {
    RP_ASSERT(hub->zap != NULL);
    rp_allow_free(hub->allow);
    hub->allow = allow;
}

/* ---- new connections ---- */

/* The text of what the monitor says (zmq_socket_monitor(3)); NULL: somebody came and went, as port
 * scans and health checks do. */
static const char *text_of_failure(uint16_t event, uint32_t value, bool has_keys) {
    if (event != ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL) {
        return NULL;
    }
    switch (value) {
    case ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
        return has_keys ? "it has no keys: it wants --broker-key and --curve-key"
                        : "it has keys and this broker has none: --curve-key and --allow";
    case ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC:
        return "it has another --broker-key than this broker's, or not the secret of its key";
    default:
        return "it does not speak ZeroMQ as links do";
    }
}

static void count_failure(struct rp_hub *hub, uint16_t event, uint32_t value, uint64_t now_ms) {
    uint64_t suppressed;
    const char *why = text_of_failure(event, value, hub->zap != NULL);
    hub->stats.handshakes_failed++;
    if (why != NULL && rp_log_limit_pass(&hub->handshake_limit, value, now_ms, &suppressed)) {
        rp_log_warn("refused a connection of which no link can be made why=%s "
                    "code=%" PRIu32 " suppressed=%" PRIu64,
                    why, value, suppressed);
    }
}

static void note_event(struct rp_hub *hub, uint16_t event, uint32_t value, uint64_t now_ms) {
    if (event == ZMQ_EVENT_ACCEPTED) {
        hub->connections += !hub->parting;
    } else if (event == ZMQ_EVENT_DISCONNECTED) {
        hub->connections -= hub->connections > 0;
    } else {
        count_failure(hub, event, value, now_ms);
    }
}

/* One event: a frame with its number and value, and one with our own address. False: there is none.
 */
static bool take_event(struct rp_hub *hub, uint64_t now_ms) {
    uint16_t event = 0;
    uint32_t value = 0;
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    int rc = zmq_msg_recv(&frame, hub->monitor, ZMQ_DONTWAIT);
    if (rc == (int) (sizeof event + sizeof value)) {
        const uint8_t *data = zmq_msg_data(&frame);
        memcpy(&event, data, sizeof event);
        memcpy(&value, data + sizeof event, sizeof value);
        note_event(hub, event, value, now_ms);
    }
    while (rc >= 0 && zmq_msg_more(&frame)) {
        rc = zmq_msg_recv(&frame, hub->monitor, ZMQ_DONTWAIT);
    }
    zmq_msg_close(&frame);
    return rc >= 0;
}

bool rp_hub_admit(struct rp_hub *hub, struct rp_now now) {
    bool more = false;
    if (hub->zap != NULL) {
        more = rp_zap_serve(hub->zap, hub->allow, now.mono_ms);
        hub->stats.keys_refused = rp_zap_refused_count(hub->zap);
    }
    for (int i = 0; i < RP_HUB_HANDSHAKES_PER_TURN; i++) {
        if (!take_event(hub, now.mono_ms)) {
            return more;
        }
    }
    return true;
}

/* ---- receiving ---- */

static void log_malformed(struct rp_hub *hub, uint64_t link_id, const char *what, size_t len,
                          uint64_t now_ms) {
    uint64_t suppressed;
    if (rp_log_limit_pass(&hub->malformed_limit, link_id, now_ms, &suppressed)) {
        rp_log_warn("a link sent a malformed message, the rest of it is dropped link=%" PRIu64
                    " why=%s bytes=%zu suppressed=%" PRIu64,
                    link_id, what, len, suppressed);
    }
}

static bool has_more(zmq_msg_t *frame) {
    return zmq_msg_more(frame) != 0;
}

static bool receive_frame(struct rp_hub *hub, zmq_msg_t *frame) {
    int rc;
    do {
        rc = zmq_msg_recv(frame, hub->socket, ZMQ_DONTWAIT);
    } while (rc < 0 && errno == EINTR);
    return rc >= 0;
}

/* Receives the frames of one message; the first payload frame is left in payload. Returns how many
 * followed the routing id; 0: there is no message. */
static size_t receive_frames(struct rp_hub *hub, uint64_t *ret_link_id, zmq_msg_t *payload) {
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    if (!receive_frame(hub, &frame)) {
        zmq_msg_close(&frame);
        return 0;
    }
    *ret_link_id = link_id_of(rp_bytes(zmq_msg_data(&frame), zmq_msg_size(&frame)));
    /* The frames of a message come together, so none of these is refused. */
    bool more = has_more(&frame);
    size_t frames = 0;
    while (more) {
        zmq_msg_t *into = frames == 0 ? payload : &frame;
        bool received = receive_frame(hub, into);
        RP_ASSERT(received);
        more = has_more(into);
        frames++;
    }
    zmq_msg_close(&frame);
    return frames;
}

static uint64_t peer_of(const char *text) {
    struct rp_curve_key key = {.text = ""};
    size_t len = strlen(text);
    uint64_t peer;
    if (len >= RP_CURVE_KEY_LEN) {
        memcpy(key.text, text + len - RP_CURVE_KEY_LEN, RP_CURVE_KEY_LEN);
    }
    memcpy(&peer, key.text, sizeof peer);
    return peer;
}

/* The list has changed: its owner may not have this link any more. The core tells the other end
 * that it was given up; the next one is not let in. */
static void give_up(struct rp_hub *hub, struct rp_core *core, uint64_t link_id, const char *entry,
                    struct rp_now now) {
    uint64_t suppressed;
    hub->stats.messages_revoked++;
    if (rp_log_limit_pass(&hub->revoked_limit, peer_of(entry), now.mono_ms, &suppressed)) {
        rp_log_warn("gave up a link: what let it in is not in --allow any more entry=%s "
                    "suppressed=%" PRIu64,
                    entry, suppressed);
    }
    rp_core_link_lost(core, link_id, now);
}

/* What the link of a message may be. */
static unsigned roles_of(struct rp_hub *hub, const char *entry_text) {
    if (hub->zap == NULL) {
        return RP_CORE_GATEWAY | RP_CORE_WORKER;
    }
    const struct rp_allow_entry *entry = rp_allow_find_text(hub->allow, rp_bytes_str(entry_text));
    return entry != NULL ? entry->roles : 0;
}

static void give_to_core(struct rp_hub *hub, struct rp_core *core, uint64_t link_id,
                         zmq_msg_t *payload, struct rp_now now) {
    const char *entry = hub->zap != NULL ? zmq_msg_gets(payload, "User-Id") : NULL;
    entry = entry != NULL ? entry : "";
    unsigned roles = roles_of(hub, entry);
    if (roles == 0) {
        give_up(hub, core, link_id, entry, now);
    }
    rp_core_grant(core, roles);
    struct rp_bytes message = rp_bytes(zmq_msg_data(payload), zmq_msg_size(payload));
    uint64_t refused_before = rp_core_roles_refused(core), suppressed;
    enum rp_err err = rp_core_message(core, link_id, message, now);
    if (err != RP_OK) {
        log_malformed(hub, link_id, rp_strerror(err), message.len, now.mono_ms);
    }
    if (rp_core_roles_refused(core) != refused_before && roles != 0 &&
        rp_log_limit_pass(&hub->role_limit, peer_of(entry), now.mono_ms, &suppressed)) {
        rp_log_warn("refused a link: its key is in --allow, but not as what it says it is (gateway "
                    "or worker) entry=%s suppressed=%" PRIu64,
                    entry, suppressed);
    }
}

/* Bytes of the message given to the core; 0: there was none. */
static size_t receive_one(struct rp_hub *hub, struct rp_core *core, struct rp_now now) {
    zmq_msg_t payload;
    zmq_msg_init(&payload);
    uint64_t link_id;
    size_t frames = receive_frames(hub, &link_id, &payload);
    if (frames == 0) {
        zmq_msg_close(&payload);
        return 0;
    }
    size_t len = zmq_msg_size(&payload);
    hub->stats.messages_received++;
    hub->stats.bytes_received += len;
    if (link_id == 0 || frames != 1) {
        hub->stats.messages_malformed++;
        log_malformed(hub, link_id, link_id == 0 ? "its own routing id" : "several frames", len,
                      now.mono_ms);
    } else {
        give_to_core(hub, core, link_id, &payload, now);
    }
    zmq_msg_close(&payload);
    return len > 0 ? len : 1;
}

void rp_hub_receive(struct rp_hub *hub, struct rp_core *core, struct rp_now now) {
    size_t bytes = 0;
    for (int i = 0; i < RP_HUB_MESSAGES_PER_TURN && bytes < RP_HUB_BYTES_PER_TURN; i++) {
        if (!rp_core_wants_input(core)) {
            return;
        }
        size_t len = receive_one(hub, core, now);
        if (len == 0) {
            return;
        }
        bytes += len;
    }
}

size_t rp_hub_part(struct rp_hub *hub, struct rp_now now) {
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    for (int i = 0; i < RP_HUB_MESSAGES_PER_TURN && receive_frame(hub, &frame); i++) {
    }
    zmq_msg_close(&frame);
    bool more = rp_hub_admit(hub, now);
    hub->parting = hub->parting || !more;
    return hub->connections + more;
}

bool rp_hub_is_readable(struct rp_hub *hub) {
    int events = 0;
    size_t size = sizeof events;
    while (zmq_getsockopt(hub->socket, ZMQ_EVENTS, &events, &size) != 0) {
        RP_ASSERT(errno == EINTR);
    }
    return (events & ZMQ_POLLIN) != 0;
}

/* ---- sending ---- */

static void free_data(void *data, void *hint) {
    (void) hint;
    free(data);
}

/* Takes message->data. False: the link is gone. */
static bool send_one(struct rp_hub *hub, uint64_t link_id, struct rp_buf *message) {
    uint8_t routing_id[ROUTING_ID_LEN];
    routing_id_of(link_id, routing_id);
    int rc;
    do {
        rc = zmq_send(hub->socket, routing_id, sizeof routing_id, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    } while (rc < 0 && errno == EINTR);
    if (rc < 0) {
        /* EHOSTUNREACH as a rule; EAGAIN cannot be without a mark, and would lose a message too */
        free(message->data);
        return false;
    }
    zmq_msg_t payload;
    rc = zmq_msg_init_data(&payload, message->data, message->len, free_data, NULL);
    RP_ASSERT(rc == 0);
    do {
        rc = zmq_msg_send(&payload, hub->socket, ZMQ_DONTWAIT);
    } while (rc < 0 && errno == EINTR);
    if (rc < 0) {
        zmq_msg_close(&payload);
        return false;
    }
    return true;
}

void rp_hub_send(struct rp_hub *hub, struct rp_core *core, struct rp_now now) {
    uint64_t link_id;
    struct rp_buf message;
    while (rp_core_take(core, now, &link_id, &message)) {
        size_t len = message.len;
        if (send_one(hub, link_id, &message)) {
            hub->stats.messages_sent++;
            hub->stats.bytes_sent += len;
        } else {
            hub->stats.messages_unroutable++;
            rp_core_link_lost(core, link_id, now);
        }
    }
}

size_t rp_hub_fds(const struct rp_hub *hub, int ret_fds[RP_HUB_FDS_MAX]) {
    size_t count = 0;
    ret_fds[count++] = hub->fd;
    ret_fds[count++] = hub->monitor_fd;
    if (hub->zap != NULL) {
        ret_fds[count++] = rp_zap_fd(hub->zap);
    }
    return count;
}

const char *rp_hub_endpoint(const struct rp_hub *hub) {
    return hub->endpoint;
}

const struct rp_hub_stats *rp_hub_stats(const struct rp_hub *hub) {
    return &hub->stats;
}
