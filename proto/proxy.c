#include "proto/proxy.h"

enum {
    START_BYTES = 16,
    AT_COMMAND = 12,
    AT_FAMILY = 13,
    AT_LEN = 14,

    COMMAND_LOCAL = 0x20, /* with the version */
    COMMAND_PROXY = 0x21,
    FAMILY_V4_STREAM = 0x11,
    FAMILY_V6_STREAM = 0x21,
};

static const uint8_t signature[AT_COMMAND] = "\r\n\r\n\0\r\nQUIT\n";

/* Bytes of addresses by family, the high half of the byte. */
static const uint8_t address_bytes[] = {0, 2 * (4 + 2), 2 * (16 + 2), 2 * 108};

static bool family_is_valid(uint8_t family) {
    return family >> 4 < sizeof address_bytes && (family & 0x0F) <= 2;
}

/* The first 16 bytes, or as many as are there. */
static enum rp_err check_start(struct rp_bytes in) {
    size_t n = in.len < AT_COMMAND ? in.len : AT_COMMAND;
    if (n > 0 && memcmp(in.data, signature, n) != 0) {
        return RP_E_PROTOCOL;
    }
    if (in.len > AT_COMMAND && in.data[AT_COMMAND] != COMMAND_LOCAL &&
        in.data[AT_COMMAND] != COMMAND_PROXY) {
        return RP_E_PROTOCOL;
    }
    /* "the family … is ignored" of LOCAL */
    if (in.len > AT_FAMILY && in.data[AT_COMMAND] == COMMAND_PROXY &&
        !family_is_valid(in.data[AT_FAMILY])) {
        return RP_E_PROTOCOL;
    }
    return in.len < START_BYTES ? RP_MORE : RP_OK;
}

static uint16_t get_u16(const uint8_t *at) {
    return (uint16_t) (at[0] << 8 | at[1]);
}

/* What follows the first 16 bytes; long enough for the addresses of its family. */
static struct rp_proxy_header read_addresses(uint8_t family, const uint8_t *at) {
    switch (family) {
    case FAMILY_V4_STREAM:
        return (struct rp_proxy_header){.source = rp_ip_v4(at), .source_port = get_u16(at + 8)};
    case FAMILY_V6_STREAM:
        return (struct rp_proxy_header){.source = rp_ip_v6(at), .source_port = get_u16(at + 32)};
    default:
        return (struct rp_proxy_header){.is_local = true};
    }
}

enum rp_err rp_proxy_parse(struct rp_bytes in, struct rp_proxy_header *ret_header,
                           size_t *ret_consumed) {
    enum rp_err err = check_start(in);
    if (err != RP_OK) {
        return err;
    }
    bool is_local = in.data[AT_COMMAND] == COMMAND_LOCAL;
    uint8_t family = in.data[AT_FAMILY];
    size_t len = get_u16(in.data + AT_LEN);
    if (!is_local && len < address_bytes[family >> 4]) {
        return RP_E_PROTOCOL;
    }
    if (len > RP_PROXY_BYTES_MAX) {
        return RP_E_TOO_BIG;
    }
    if (in.len - START_BYTES < len) {
        return RP_MORE;
    }
    *ret_header = is_local ? (struct rp_proxy_header){.is_local = true}
                           : read_addresses(family, in.data + START_BYTES);
    *ret_consumed = START_BYTES + len;
    return RP_OK;
}
