/* gateway/site.h — what an HTTP request to a gateway is answered with: the handshake of Engine.IO,
 * the stock client's files, the demo page, or an error as JSON. Files are read at the start and
 * served from memory; afterwards there is no I/O but a look at the clock for Date.
 *
 * Below: proto/http, proto/eio. Beside: conn.c, which reads the request and writes the answer. */
#pragma once

#include "common/limits.h"
#include "proto/http.h"

struct rp_site;

struct rp_site_config {
    const char *path;         /* of Engine.IO, "/socket.io"; with or without a slash at its end */
    const char *client_dir;   /* with socket.io.js and its companions; NULL: not served */
    const char *gateway_name; /* for /whoami */
    bool demo;                /* serve the chat page at "/", and /whoami */
};

/* For struct rp_option's check: NULL, or what was expected. */
const char *rp_site_check_path(const char *text);
const char *rp_site_check_client_dir(const char *text);

/* The text of what is wrong when a site cannot be made; it names the option. */
struct rp_site_problem {
    char text[512];
};

/* Borrows nothing of the config; path has passed its check. RP_E_INVALID, RP_E_IO, RP_E_TOO_BIG:
 * *ret_problem says why and is set only then. Caller frees. */
RP_MUST_USE enum rp_err rp_site_new(const struct rp_site_config *config, struct rp_site **ret_site,
                                    struct rp_site_problem *ret_problem);
struct rp_site *rp_site_free(struct rp_site *s); /* NULL is fine; returns NULL */

/* An answer to be written: first the head, then the body. */
struct rp_answer {
    struct rp_buf head;   /* owned; holds small bodies too. rp_buf_done when written */
    struct rp_bytes body; /* borrowed from the site */
};

enum rp_site_verdict {
    RP_SITE_CLOSE,   /* write the answer, then close the connection */
    RP_SITE_UPGRADE, /* write the answer (101); from then on it is a WebSocket */
};

/* Answers a request. The caller writes *ret_answer and frees its head. */
enum rp_site_verdict rp_site_answer(const struct rp_site *s, const struct rp_http_request *request,
                                    struct rp_answer *ret_answer);

/* An error's answer: {"error":{"code":"not_found","message":…}}, the code made of the status's
 * reason phrase. 503 asks to come again in a second. The message is UTF-8. */
void rp_site_error(int status, const char *message, struct rp_answer *ret_answer);
