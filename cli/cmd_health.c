/* cli/cmd_health.c — reprise health [HOST:PORT]...: asks brokers and gateways at their --admin
 * addresses whether they serve. For probes: a container's health check, systemd, a balancer.
 *
 * All are asked at once, and one deadline holds for all of it, names and connecting included. What
 * is read is bounded, and told without what a terminal would obey: whoever listens there need not
 * be one of ours. */
#include "cli/command.h"
#include "common/address.h"
#include "common/alloc.h"
#include "common/assert.h"
#include "common/bytes.h"
#include "common/limits.h"
#include "common/units.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/http.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS_MAX = 3600000, HTTP_CONTINUE_STATUS = 100, HTTP_OK_STATUS = 200, WHY_SIZE = 128 };

struct question {
    struct health *all;
    struct rp_address address;
    char text[RP_ADDRESS_TEXT_SIZE]; /* the address as it was given */
    struct evhttp_connection *connection;
    bool failed;        /* after it began to answer; why says how */
    int status;         /* of the answer; 0: none */
    char why[WHY_SIZE]; /* there is no answer; "": it did not come in time */
    struct evbuffer *body;
};

struct health {
    uint64_t timeout_ms;
    size_t count, open; /* questions, and those without an answer yet */
    struct question questions[RP_HEALTH_ADDRESSES_MAX];
    struct event_base *base;
    struct evdns_base *dns; /* NULL: no name among the addresses */
};

/* ---- the command line ---- */

static enum rp_cli_status add_address(struct health *h, const char *text) {
    if (h->count == RP_HEALTH_ADDRESSES_MAX) {
        return rp_command_usage("health", "too many addresses at once, the first too many is",
                                text);
    }
    struct question *q = &h->questions[h->count];
    if (rp_address_parse(text, &q->address) != RP_OK || q->address.port == 0) {
        return rp_command_usage("health", "expected " RP_ADDRESS_EXPECTED ", not", text);
    }
    q->all = h;
    snprintf(q->text, sizeof q->text, "%s", text);
    h->count++;
    return RP_CLI_OK;
}

static enum rp_cli_status set_timeout(struct health *h, const char *text) {
    uint64_t ms;
    if (text == NULL || !rp_units_duration(text, &ms) || ms == 0 || ms > TIMEOUT_MS_MAX) {
        return rp_command_usage(
            "health", "--timeout wants a duration with its unit, ms s or m, of at most 1h", text);
    }
    h->timeout_ms = ms;
    return RP_CLI_OK;
}

/* In a container the programs have their --admin from the environment: the probe has it, too. */
static enum rp_cli_status add_default(struct health *h) {
    const char *admin = getenv("REPRISE_ADMIN");
    return add_address(h, admin != NULL && admin[0] != '\0' ? admin : "127.0.0.1:3001");
}

static enum rp_cli_status read_arguments(int argc, char **argv, struct health *h) {
    static const char timeout[] = "--timeout";
    enum rp_cli_status status = RP_CLI_OK;
    for (int i = 1; i < argc && status == RP_CLI_OK; i++) {
        if (strcmp(argv[i], timeout) == 0) {
            i++;
            status = set_timeout(h, i < argc ? argv[i] : NULL);
        } else if (strncmp(argv[i], "--timeout=", sizeof timeout) == 0) {
            status = set_timeout(h, argv[i] + sizeof timeout);
        } else if (argv[i][0] == '-') {
            status = rp_command_usage("health", "unknown option", argv[i]);
        } else {
            status = add_address(h, argv[i]);
        }
    }
    return status == RP_CLI_OK && h->count == 0 ? add_default(h) : status;
}

/* ---- asking ---- */

static void finish(struct question *q) {
    struct health *h = q->all;
    if (--h->open == 0) {
        event_base_loopbreak(h->base);
    }
}

/* The reason comes before the answer that is none. */
static void on_error(enum evhttp_request_error error, void *ctx) {
    struct question *q = ctx;
    static const char *const reasons[] = {
        [EVREQ_HTTP_TIMEOUT] = "",
        [EVREQ_HTTP_EOF] = "the connection was closed before the answer",
        [EVREQ_HTTP_INVALID_HEADER] = "what answers there does not speak HTTP",
        [EVREQ_HTTP_BUFFER_ERROR] = "the connection broke before the answer",
        [EVREQ_HTTP_REQUEST_CANCEL] = "",
        [EVREQ_HTTP_DATA_TOO_LONG] = "the answer is longer than any of a broker or gateway",
    };
    int dns = bufferevent_socket_get_dns_error(evhttp_connection_get_bufferevent(q->connection));
    if (dns != 0) {
        snprintf(q->why, sizeof q->why, "no such name: %s", evutil_gai_strerror(dns));
    } else if (!q->failed) {
        snprintf(q->why, sizeof q->why, "%s", reasons[error]);
    }
    q->failed = true;
}

/* No 100 Continue is of use to us, and of each the head would be kept. */
static int on_head(struct evhttp_request *request, void *ctx) {
    struct question *q = ctx;
    if (evhttp_request_get_response_code(request) != HTTP_CONTINUE_STATUS) {
        return 0;
    }
    q->failed = true;
    snprintf(q->why, sizeof q->why, "it asks us to continue, which no broker or gateway does");
    return -1;
}

static void on_answer(struct evhttp_request *request, void *ctx) {
    struct question *q = ctx;
    if (request != NULL && !q->failed) {
        q->status = evhttp_request_get_response_code(request);
    }
    if (q->status != 0) {
        evbuffer_add_buffer(q->body, evhttp_request_get_input_buffer(request));
    } else if (!q->failed) {
        snprintf(q->why, sizeof q->why,
                 "no connection: nobody listens there, or it cannot be reached");
    }
    finish(q);
}

/* Where "any address" is listened at, we find it here. */
static const char *host_of(const struct question *q) {
    return q->address.host[0] != '\0' ? q->address.host : "127.0.0.1";
}

static void ask(struct question *q) {
    struct health *h = q->all;
    char host[RP_ADDRESS_TEXT_SIZE];
    rp_address_text(&q->address, host, sizeof host);
    q->body = evbuffer_new();
    q->connection =
        evhttp_connection_base_new(h->base, h->dns, host_of(q), (unsigned short) q->address.port);
    struct evhttp_request *request = evhttp_request_new(on_answer, q);
    RP_ASSERT(q->body != NULL && q->connection != NULL && request != NULL);
    evhttp_connection_set_max_headers_size(q->connection, RP_HEALTH_ANSWER_BYTES_MAX);
    evhttp_connection_set_max_body_size(q->connection, RP_HEALTH_ANSWER_BYTES_MAX);
    evhttp_connection_set_retries(q->connection, 0);
    evhttp_request_set_error_cb(request, on_error);
    evhttp_request_set_header_cb(request, on_head);
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    evhttp_add_header(headers, "Host", host);
    evhttp_add_header(headers, "Connection", "close");
    if (evhttp_make_request(q->connection, request, EVHTTP_REQ_GET, "/health") != 0) {
        snprintf(q->why, sizeof q->why, "no connection: it cannot be begun");
        finish(q);
    }
}

static bool has_name(const struct health *h) {
    for (size_t i = 0; i < h->count; i++) {
        struct sockaddr_storage ignored;
        int size = sizeof ignored;
        char text[RP_ADDRESS_TEXT_SIZE];
        rp_address_text(&h->questions[i].address, text, sizeof text);
        if (h->questions[i].address.host[0] != '\0' &&
            evutil_parse_sockaddr_port(text, (struct sockaddr *) &ignored, &size) != 0) {
            return true;
        }
    }
    return false;
}

static void ask_all(struct health *h) {
    signal(SIGPIPE, SIG_IGN);
    h->base = event_base_new();
    RP_ASSERT(h->base != NULL);
    if (has_name(h)) { /* asked for in the loop: the system's own way could take any time */
        h->dns = evdns_base_new(h->base, EVDNS_BASE_INITIALIZE_NAMESERVERS |
                                             EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    }
    const struct timeval timeout = {.tv_sec = (time_t) (h->timeout_ms / 1000),
                                    .tv_usec = (suseconds_t) (h->timeout_ms % 1000 * 1000)};
    event_base_loopexit(h->base, &timeout);
    h->open = h->count + 1; /* so that none ends the loop before it began */
    for (size_t i = 0; i < h->count; i++) {
        ask(&h->questions[i]);
    }
    h->open--;
    if (h->open > 0) {
        event_base_dispatch(h->base);
    }
}

static void close_all(struct health *h) {
    for (size_t i = 0; i < h->count; i++) {
        evhttp_connection_free(h->questions[i].connection);
        evbuffer_free(h->questions[i].body);
    }
    if (h->dns != NULL) {
        evdns_base_free(h->dns, 0);
    }
    event_base_free(h->base);
    libevent_global_shutdown();
}

/* ---- telling ---- */

/* The first line of the answer, where a terminal shows it and does nothing else. */
static void print_line(struct evbuffer *body) {
    size_t len;
    char *line = evbuffer_readln(body, &len, EVBUFFER_EOL_LF);
    if (line == NULL) {
        len = evbuffer_get_length(body);
        line = rp_alloc(len + 1);
        evbuffer_remove(body, line, len);
    }
    bool is_text = rp_bytes_is_utf8(rp_bytes(line, len));
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t) line[i];
        bool is_plain = c >= ' ' && (is_text ? c != 0x7F : c < 0x7F);
        putchar(is_plain ? c : '?');
    }
    putchar('\n');
    free(line);
}

static enum rp_cli_status tell(struct health *h, struct question *q) {
    if (q->status != 0 && evbuffer_get_length(q->body) > 0) {
        print_line(q->body);
    }
    if (q->status == HTTP_OK_STATUS) {
        return RP_CLI_OK;
    }
    if (q->status != 0) {
        fprintf(stderr, "reprise health: %s: not ready, it answers %d\n", q->text, q->status);
    } else if (q->why[0] != '\0') {
        fprintf(stderr, "reprise health: %s: %s\n", q->text, q->why);
    } else {
        fprintf(stderr, "reprise health: %s: no answer within %" PRIu64 " ms\n", q->text,
                h->timeout_ms);
    }
    return RP_CLI_FAILED;
}

enum rp_cli_status rp_cmd_health(int argc, char **argv) {
    struct health *h = RP_NEW(struct health);
    h->timeout_ms = RP_HEALTH_TIMEOUT_MS;
    enum rp_cli_status status = read_arguments(argc, argv, h);
    if (status == RP_CLI_OK) {
        ask_all(h);
        for (size_t i = 0; i < h->count; i++) {
            enum rp_cli_status one = tell(h, &h->questions[i]);
            status = status == RP_CLI_OK ? one : status;
        }
        close_all(h);
    }
    free(h);
    return status;
}
