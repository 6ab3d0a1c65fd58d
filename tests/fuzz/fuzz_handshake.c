/* What any request and any CONNECT say of a client: a JSON object in UTF-8, within its bound,
 * without the credentials of the recovery.
 *
 * Input: two bytes for the bound of the request part, one for how many bytes are a CONNECT's
 * payload, that payload, then the request's head. */
#include "common/assert.h"
#include "gateway/handshake.h"
#include "proto/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The whole must be JSON with all members at the top, once each and in this order. */
static void check(struct rp_bytes whole) {
    static const char *const names[] = {"time", "address", "xdomain", "secure", "issued",
                                        "url",  "query",   "headers", "auth"};
    struct rp_bytes value, key, member;
    size_t count = 0;
    RP_ASSERT(whole.len <= RP_HANDSHAKE_BYTES_MAX);
    RP_ASSERT(rp_json_whole(whole, &value) == RP_OK && value.len == whole.len);
    struct rp_json_iter it = rp_json_iter_object(value);
    while (rp_json_iter_next(&it, &key, &member)) {
        RP_ASSERT(count < sizeof names / sizeof *names && rp_json_key_is(key, names[count]));
        struct rp_json_iter inner = rp_json_iter_object(member);
        struct rp_bytes inner_value;
        while (rp_json_iter_next(&inner, &key, &inner_value)) {
            bool is_auth = count == 8;
            RP_ASSERT(!is_auth || (!rp_json_key_is(key, "pid") && !rp_json_key_is(key, "offset")));
        }
        count++;
    }
    RP_ASSERT(count == sizeof names / sizeof *names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3 || size - 3 < data[2]) {
        return 0;
    }
    size_t bytes_max = RP_HANDSHAKE_LEAST_BYTES + (size_t) (data[0] << 8 | data[1]) % 16000;
    struct rp_bytes payload = rp_bytes(data + 3, data[2]), value;
    struct rp_bytes head = rp_bytes(data + 3 + payload.len, size - 3 - payload.len);
    struct rp_http_request request;
    const struct rp_http_problem *problem;
    size_t consumed;
    bool is_object = rp_bytes_is_utf8(payload) && rp_json_whole(payload, &value) == RP_OK &&
                     rp_json_kind(value) == RP_JSON_OBJECT;
    if (rp_http_parse_head(head, &request, &consumed, &problem) != RP_OK) {
        return 0;
    }
    struct rp_handshake h = {.request = &request,
                             .address = "2001:db8::1",
                             .secure = size % 2,
                             .wall_ms = (uint64_t) data[0] << 56 | size};
    struct rp_buf part, auth, whole;
    rp_buf_init(&part, bytes_max + 2);
    rp_buf_init(&auth, bytes_max / 200);
    rp_buf_init(&whole, RP_HANDSHAKE_BYTES_MAX);
    rp_handshake_put_request(&part, &h, bytes_max);
    RP_ASSERT(part.len <= bytes_max && rp_bytes_is_utf8(rp_buf_bytes(&part)));
    enum rp_err err = rp_handshake_put_auth(&auth, is_object ? value : rp_bytes(NULL, 0));
    RP_ASSERT(err == RP_OK || (err == RP_E_FULL && auth.len == 0));
    rp_handshake_put(&whole, rp_buf_bytes(&part), rp_buf_bytes(&auth));
    check(rp_buf_bytes(&whole));
    rp_buf_done(&part);
    rp_buf_done(&auth);
    rp_buf_done(&whole);
    return 0;
}
