/* Any bytes as a PROXY header, as a list of networks, and as lists of X-Forwarded-For: no beginning
 * gets an answer that the whole does not, and nobody is believed who is not trusted.
 *
 * Input: a list of networks up to the first newline; what follows is the header, and one
 * X-Forwarded-For to each line. */
#include "common/assert.h"
#include "proto/forwarded.h"
#include "proto/proxy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *exact_copy(struct rp_bytes b) {
    uint8_t *copy = malloc(b.len > 0 ? b.len : 1);
    RP_ASSERT(copy != NULL);
    if (b.len > 0) {
        memcpy(copy, b.data, b.len);
    }
    return copy;
}

static enum rp_err parse_header(struct rp_bytes in, struct rp_proxy_header *ret_header) {
    size_t consumed;
    uint8_t *copy = exact_copy(in);
    enum rp_err err = rp_proxy_parse(rp_bytes(copy, in.len), ret_header, &consumed);
    RP_ASSERT(err != RP_OK || (consumed <= in.len && consumed <= 16 + RP_PROXY_BYTES_MAX));
    RP_ASSERT(err != RP_OK || ret_header->is_local == (ret_header->source.kind == RP_IP_NONE));
    free(copy);
    return err;
}

static void check_header(struct rp_bytes in) {
    struct rp_proxy_header whole, part;
    enum rp_err err = parse_header(in, &whole);
    for (size_t len = 0; len <= in.len && len < 300; len++) {
        enum rp_err earlier = parse_header(rp_bytes(in.data, len), &part);
        RP_ASSERT(earlier == RP_MORE || earlier == err);
        if (earlier == RP_OK) {
            RP_ASSERT(rp_ip_eq(&whole.source, &part.source));
            RP_ASSERT(whole.source_port == part.source_port);
        }
    }
}

/* What was understood can be written and read back, unless it is no number. */
static void check_ip(const struct rp_ip *ip) {
    char text[RP_IP_TEXT_SIZE];
    struct rp_ip again;
    rp_ip_format(ip, text);
    if (rp_ip_parse(rp_bytes_str(text), &again)) {
        RP_ASSERT(rp_ip_eq(ip, &again));
    } else {
        RP_ASSERT(ip->kind == RP_IP_UNIX || ip->kind == RP_IP_NONE);
    }
}

static void check_forwarded(const struct rp_http_request *req, const struct rp_cidrs *trusted) {
    static const uint8_t bytes[16] = {0xFD, [15] = 1};
    const struct rp_ip peers[] = {
        {.kind = RP_IP_UNIX}, {.kind = RP_IP_NONE}, rp_ip_v4(bytes), rp_ip_v6(bytes)};
    for (size_t i = 0; i < sizeof peers / sizeof *peers; i++) {
        struct rp_ip client = rp_forwarded_for(req, &peers[i], trusted);
        check_ip(&client);
        if (!rp_cidrs_contain_ip(trusted, &peers[i])) {
            RP_ASSERT(rp_ip_eq(&client, &peers[i]));
        }
    }
}

/* Cuts a line off *in. */
static struct rp_bytes take_line(struct rp_bytes *in) {
    const uint8_t *end = in->len > 0 ? memchr(in->data, '\n', in->len) : NULL;
    size_t len = end != NULL ? (size_t) (end - in->data) : in->len;
    struct rp_bytes line = rp_bytes(in->data, len);
    *in = rp_bytes_skip(*in, end != NULL ? len + 1 : len);
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rp_bytes in = rp_bytes(data, size);
    struct rp_bytes line = take_line(&in);
    char *list = malloc(line.len + 1);
    RP_ASSERT(list != NULL);
    if (line.len > 0) {
        memcpy(list, line.data, line.len);
    }
    list[line.len] = '\0';
    struct rp_cidrs trusted = {.count = 0};
    enum rp_err err = rp_cidrs_parse(list, &trusted);
    RP_ASSERT((err == RP_OK) == (rp_cidrs_check(list) == NULL));
    RP_ASSERT((err == RP_OK) == (trusted.count > 0));
    for (size_t i = 0; i < trusted.count; i++) { /* a network contains its own address */
        RP_ASSERT(rp_cidrs_contain_ip(&trusted, &trusted.networks[i].network));
    }
    free(list);
    check_header(in);
    struct rp_http_request req = {.headers_count = 0};
    while (in.len > 0 && req.headers_count < RP_HTTP_HEADERS_MAX) {
        req.headers[req.headers_count++] = (struct rp_http_header){
            .name = RP_BYTES_LIT("X-Forwarded-For"), .value = take_line(&in)};
    }
    check_forwarded(&req, &trusted);
    return 0;
}
