/* sdk/emit.c — what may be emitted: names and arguments, checked. */
#include "sdk/inner.h"

bool rp_sdk_is_name(const char *text, size_t len_max) {
    size_t len = text != NULL ? strnlen(text, len_max + 1) : 0;
    return len > 0 && len <= len_max && rp_bytes_is_utf8(rp_bytes(text, len));
}

enum reprise_err rp_sdk_args(struct reprise_context *c, struct reprise_builder *args,
                             struct reprise_value *ret_value) {
    if (args == NULL) {
        *ret_value = rp_sdk_value(RP_BYTES_LIT("[]"), rp_bytes(NULL, 0));
        return REPRISE_OK;
    }
    enum reprise_err err = reprise_builder_error(args);
    if (err != REPRISE_OK) {
        return rp_sdk_fail(c, err, "the arguments cannot be sent: %s", reprise_strerror(err));
    }
    struct reprise_value value = reprise_builder_value(args);
    if (value.json.len + value.binary.len > RP_PACKET_BYTES_MAX) {
        return rp_sdk_fail(c, REPRISE_E_FULL, "the arguments have %zu bytes, more than %d",
                           value.json.len + value.binary.len, RP_PACKET_BYTES_MAX);
    }
    *ret_value = value;
    return REPRISE_OK;
}

enum reprise_err rp_sdk_first_arg(struct reprise_context *c, struct reprise_builder *args,
                                  struct reprise_value *ret_value) {
    struct reprise_value all;
    enum reprise_err err = rp_sdk_args(c, args, &all);
    if (err != REPRISE_OK) {
        return err;
    }
    if (all.binary.len > 0) {
        return rp_sdk_fail(c, REPRISE_E_INVALID, "binary values cannot be in this one");
    }
    struct reprise_value first = reprise_value_at(all, 0);
    *ret_value = first.json.len > 0 ? first : rp_sdk_value(RP_BYTES_LIT("null"), rp_bytes(NULL, 0));
    return REPRISE_OK;
}

enum reprise_err rp_sdk_check_event(struct reprise_context *c, const char *name) {
    static const char *const reserved[] = {"connect",       "connect_error", "disconnect",
                                           "disconnecting", "newListener",   "removeListener"};
    if (!rp_sdk_is_name(name, RP_EVENT_BYTES_MAX)) {
        return rp_sdk_fail(c, REPRISE_E_INVALID, "an event's name has 1 to %d bytes of UTF-8",
                           RP_EVENT_BYTES_MAX);
    }
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        if (strcmp(name, reserved[i]) == 0) {
            return rp_sdk_fail(c, REPRISE_E_INVALID, "'%s' is a reserved event name", name);
        }
    }
    return REPRISE_OK;
}

struct reprise_builder *reprise_args(const char *format, ...) {
    struct reprise_builder *b = reprise_builder_new();
    va_list list;
    va_start(list, format);
    reprise_put_list(b, format, list);
    va_end(list);
    return b;
}
