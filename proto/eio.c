#include "proto/eio.h"

#include "common/assert.h"
#include "proto/json.h"

#include <inttypes.h>

static bool is_type(uint8_t byte) {
    return byte >= RP_EIO_OPEN && byte <= RP_EIO_NOOP;
}

enum rp_err rp_eio_parse(struct rp_bytes text, struct rp_eio_packet *ret_packet) {
    if (text.len == 0 || !is_type(text.data[0])) {
        return RP_E_PROTOCOL;
    }
    *ret_packet = (struct rp_eio_packet){
        .type = (enum rp_eio_type) text.data[0],
        .data = rp_bytes_skip(text, 1),
    };
    return RP_OK;
}

bool rp_eio_from_client(enum rp_eio_type type) {
    return type != RP_EIO_OPEN && type != RP_EIO_NOOP;
}

enum rp_err rp_eio_put(struct rp_buf *out, enum rp_eio_type type, struct rp_bytes data) {
    RP_ASSERT(is_type((uint8_t) type));
    uint8_t *place = rp_buf_reserve(out, 1 + data.len);
    if (place == NULL) {
        return RP_E_FULL;
    }
    place[0] = (uint8_t) type;
    if (data.len > 0) {
        memcpy(place + 1, data.data, data.len);
    }
    out->len += 1 + data.len;
    return RP_OK;
}

static enum rp_err put_upgrades(struct rp_buf *out, const struct rp_eio_open *open) {
    enum rp_err err = rp_buf_put_str(out, ",\"upgrades\":[");
    for (size_t i = 0; i < open->upgrades_count && err == RP_OK; i++) {
        if (i > 0) {
            err = rp_buf_put_str(out, ",");
        }
        err = err ? err : rp_json_put_string(out, rp_bytes_str(open->upgrades[i]));
    }
    return err ? err : rp_buf_put_str(out, "]");
}

enum rp_err rp_eio_put_open(struct rp_buf *out, const struct rp_eio_open *open) {
    size_t before = out->len;
    enum rp_err err = rp_buf_put_str(out, "0{\"sid\":");
    err = err ? err : rp_json_put_string(out, open->sid);
    err = err ? err : put_upgrades(out, open);
    err = err ? err
              : rp_buf_printf(out,
                              ",\"pingInterval\":%" PRIu64 ",\"pingTimeout\":%" PRIu64
                              ",\"maxPayload\":%" PRIu64 "}",
                              open->ping_interval_ms, open->ping_timeout_ms, open->max_payload);
    if (err != RP_OK) {
        out->len = before;
    }
    return err;
}

const char *rp_eio_error_text(enum rp_eio_error error) {
    switch (error) {
#define ERROR_TEXT(name, code, status, text)                                                       \
    case name:                                                                                     \
        return text;
        RP_EIO_ERROR_LIST(ERROR_TEXT)
#undef ERROR_TEXT
    }
    return "Bad request";
}

int rp_eio_error_status(enum rp_eio_error error) {
    switch (error) {
#define ERROR_STATUS(name, code, status, text)                                                     \
    case name:                                                                                     \
        return status;
        RP_EIO_ERROR_LIST(ERROR_STATUS)
#undef ERROR_STATUS
    }
    return 400;
}

enum rp_err rp_eio_put_error(struct rp_buf *out, enum rp_eio_error error) {
    /* the texts need no escaping */
    return rp_buf_printf(out, "{\"code\":%d,\"message\":\"%s\"}", (int) error,
                         rp_eio_error_text(error));
}
