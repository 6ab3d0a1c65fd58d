#include "proto/sio.h"

#include "common/assert.h"
#include "proto/eio.h"

static const char *const reserved_names[] = {
    "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener",
};

enum { RESERVED_NAMES_COUNT = sizeof reserved_names / sizeof reserved_names[0] };

bool rp_sio_name_reserved(struct rp_bytes name) {
    for (size_t i = 0; i < RESERVED_NAMES_COUNT; i++) {
        if (rp_bytes_eq_str(name, reserved_names[i])) {
            return true;
        }
    }
    return false;
}

/* The same for a JSON string, which may hide it behind escapes. */
static bool raw_name_reserved(struct rp_bytes raw_name) {
    for (size_t i = 0; i < RESERVED_NAMES_COUNT; i++) {
        if (rp_json_key_is(raw_name, reserved_names[i])) {
            return true;
        }
    }
    return false;
}

bool rp_sio_nsp_valid(struct rp_bytes nsp) {
    return nsp.len > 0 && nsp.len <= RP_SIO_NSP_BYTES_MAX && nsp.data[0] == '/' &&
           memchr(nsp.data, ',', nsp.len) == NULL;
}

/* Parsing. Each take_… takes its part off the front of *text, in the order of the packet. */

static bool is_binary(enum rp_sio_type type) {
    return type == RP_SIO_BINARY_EVENT || type == RP_SIO_BINARY_ACK;
}

static bool may_have_id(enum rp_sio_type type) {
    return type == RP_SIO_EVENT || type == RP_SIO_ACK || is_binary(type);
}

static bool starts_with_digit(struct rp_bytes text) {
    return text.len > 0 && text.data[0] >= '0' && text.data[0] <= '9';
}

static enum rp_err take_number(struct rp_bytes *text, uint64_t max, uint64_t *ret_number) {
    size_t digits_count = 0;
    while (starts_with_digit(rp_bytes_skip(*text, digits_count))) {
        digits_count++;
    }
    if (digits_count == 0 || (digits_count > 1 && text->data[0] == '0')) {
        return RP_E_PROTOCOL;
    }
    uint64_t number;
    if (!rp_bytes_to_u64(rp_bytes(text->data, digits_count), &number) || number > max) {
        return RP_E_TOO_BIG;
    }
    *text = rp_bytes_skip(*text, digits_count);
    *ret_number = number;
    return RP_OK;
}

static enum rp_err take_type(struct rp_bytes *text, enum rp_sio_type *ret_type) {
    if (text->len == 0 || text->data[0] < '0' || text->data[0] > '0' + RP_SIO_BINARY_ACK) {
        return RP_E_PROTOCOL;
    }
    *ret_type = (enum rp_sio_type)(text->data[0] - '0');
    *text = rp_bytes_skip(*text, 1);
    return RP_OK;
}

static enum rp_err take_attachments(struct rp_bytes *text, uint32_t *ret_attachments) {
    uint64_t attachments;
    enum rp_err err = take_number(text, RP_SIO_ATTACHMENTS_MAX, &attachments);
    if (err != RP_OK) {
        return err;
    }
    if (attachments == 0 || text->len == 0 || text->data[0] != '-') {
        return RP_E_PROTOCOL;
    }
    *text = rp_bytes_skip(*text, 1);
    *ret_attachments = (uint32_t) attachments;
    return RP_OK;
}

/* A namespace that nothing follows needs no comma. */
static enum rp_err take_nsp(struct rp_bytes *text, struct rp_bytes *ret_nsp) {
    if (text->len == 0 || text->data[0] != '/') {
        *ret_nsp = RP_BYTES_LIT("/");
        return RP_OK;
    }
    const uint8_t *comma = memchr(text->data, ',', text->len);
    size_t nsp_len = comma != NULL ? (size_t) (comma - text->data) : text->len;
    if (nsp_len > RP_SIO_NSP_BYTES_MAX) {
        return RP_E_TOO_BIG;
    }
    *ret_nsp = rp_bytes(text->data, nsp_len);
    *text = rp_bytes_skip(*text, comma != NULL ? nsp_len + 1 : nsp_len);
    return RP_OK;
}

/* All of the rest is the payload. */
static enum rp_err take_payload(struct rp_bytes *text, struct rp_bytes *ret_payload) {
    if (text->len == 0) {
        *ret_payload = (struct rp_bytes){0};
        return RP_OK;
    }
    struct rp_bytes payload;
    enum rp_err err = rp_json_whole(*text, &payload);
    if (err == RP_E_INVALID || (err == RP_OK && payload.data != text->data)) {
        return RP_E_PROTOCOL;
    }
    if (err != RP_OK) {
        return err;
    }
    *text = (struct rp_bytes){0};
    *ret_payload = payload;
    return RP_OK;
}

static bool is_event_payload(struct rp_bytes payload) {
    struct rp_json_iter it = rp_json_iter_array(payload);
    struct rp_bytes name;
    return rp_json_iter_next(&it, NULL, &name) && rp_json_kind(name) == RP_JSON_STRING &&
           !raw_name_reserved(name);
}

bool rp_sio_shape_valid(const struct rp_sio_packet *p) {
    enum rp_json_kind kind = rp_json_kind(p->payload);
    if ((p->has_id && !may_have_id(p->type)) || is_binary(p->type) != (p->attachments > 0)) {
        return false;
    }
    switch (p->type) {
    case RP_SIO_CONNECT:
        return kind == RP_JSON_NONE || kind == RP_JSON_OBJECT;
    case RP_SIO_DISCONNECT:
        return kind == RP_JSON_NONE;
    case RP_SIO_EVENT:
    case RP_SIO_BINARY_EVENT:
        return is_event_payload(p->payload);
    case RP_SIO_ACK:
    case RP_SIO_BINARY_ACK:
        return p->has_id && kind == RP_JSON_ARRAY;
    case RP_SIO_CONNECT_ERROR:
        return kind == RP_JSON_OBJECT || kind == RP_JSON_STRING;
    }
    return false;
}

enum rp_err rp_sio_parse(struct rp_bytes text, struct rp_sio_packet *ret_packet) {
    struct rp_sio_packet p = {0};
    enum rp_err err = take_type(&text, &p.type);
    if (err == RP_OK && is_binary(p.type)) {
        err = take_attachments(&text, &p.attachments);
    }
    err = err ? err : take_nsp(&text, &p.nsp);
    if (err == RP_OK && may_have_id(p.type) && starts_with_digit(text)) {
        p.has_id = true;
        err = take_number(&text, RP_SIO_ID_MAX, &p.id);
    }
    err = err ? err : take_payload(&text, &p.payload);
    if (err != RP_OK) {
        return err;
    }
    if (!rp_sio_shape_valid(&p)) {
        return RP_E_PROTOCOL;
    }
    *ret_packet = p;
    return RP_OK;
}

struct rp_sio_args rp_sio_args(struct rp_bytes payload) {
    struct rp_sio_args args = {.iter = rp_json_iter_array(payload)};
    bool has_name = rp_json_iter_next(&args.iter, NULL, &args.name);
    RP_ASSERT(has_name);
    return args;
}

bool rp_sio_args_next(struct rp_sio_args *args, struct rp_bytes *ret_arg) {
    return rp_json_iter_next(&args->iter, NULL, ret_arg);
}

struct rp_bytes rp_sio_rest(struct rp_bytes payload, size_t k) {
    struct rp_json_iter it = rp_json_iter_array(payload);
    struct rp_bytes element;
    while (k > 0 && rp_json_iter_next(&it, NULL, &element)) {
        k--;
    }
    return it.rest;
}

/* Writing to a buffer: the pen goes on until something does not fit, and then takes all back. */

struct pen {
    struct rp_buf *out;
    size_t before;
    enum rp_err err;
};

static void write_raw(struct pen *pen, struct rp_bytes bytes) {
    pen->err = pen->err ? pen->err : rp_buf_put(pen->out, bytes);
}

static void write_str(struct pen *pen, const char *text) {
    write_raw(pen, rp_bytes_str(text));
}

static void write_json_string(struct pen *pen, struct rp_bytes utf8) {
    pen->err = pen->err ? pen->err : rp_json_put_string(pen->out, utf8);
}

static enum rp_err pen_lift(struct pen *pen) {
    if (pen->err != RP_OK) {
        pen->out->len = pen->before;
    }
    return pen->err;
}

/* What is written of a namespace before the comma: nothing for the main one. */
static struct rp_bytes shown_nsp(struct rp_bytes nsp) {
    if (nsp.len == 0 || rp_bytes_eq_str(nsp, "/")) {
        return (struct rp_bytes){0};
    }
    RP_ASSERT(rp_sio_nsp_valid(nsp));
    return nsp;
}

/* "4", the packet's type, how many attachments a binary one has, the namespace. */
static struct pen start_any(struct rp_buf *out, enum rp_sio_type type, size_t attachments_count,
                            struct rp_bytes nsp) {
    struct pen pen = {.out = out, .before = out->len};
    const uint8_t types[] = {RP_EIO_MESSAGE, (uint8_t) ('0' + (int) type)};
    write_raw(&pen, rp_bytes(types, sizeof types));
    if (is_binary(type)) {
        pen.err = pen.err ? pen.err : rp_buf_put_u64(out, attachments_count);
        write_str(&pen, "-");
    }
    struct rp_bytes shown = shown_nsp(nsp);
    if (shown.len > 0) {
        write_raw(&pen, shown);
        write_str(&pen, ",");
    }
    return pen;
}

static struct pen start_packet(struct rp_buf *out, enum rp_sio_type type, struct rp_bytes nsp) {
    return start_any(out, type, 0, nsp);
}

enum rp_err rp_sio_put_connect(struct rp_buf *out, struct rp_bytes nsp, struct rp_bytes sid,
                               struct rp_bytes pid) {
    struct pen pen = start_packet(out, RP_SIO_CONNECT, nsp);
    write_str(&pen, "{\"sid\":");
    write_json_string(&pen, sid);
    if (pid.len > 0) {
        write_str(&pen, ",\"pid\":");
        write_json_string(&pen, pid);
    }
    write_str(&pen, "}");
    return pen_lift(&pen);
}

enum rp_err rp_sio_put_connect_error(struct rp_buf *out, struct rp_bytes nsp,
                                     struct rp_bytes message, struct rp_bytes data_json) {
    struct pen pen = start_packet(out, RP_SIO_CONNECT_ERROR, nsp);
    write_str(&pen, "{\"message\":");
    write_json_string(&pen, message);
    if (data_json.len > 0) {
        write_str(&pen, ",\"data\":");
        write_raw(&pen, data_json);
    }
    write_str(&pen, "}");
    return pen_lift(&pen);
}

enum rp_err rp_sio_put_disconnect(struct rp_buf *out, struct rp_bytes nsp) {
    struct pen pen = start_packet(out, RP_SIO_DISCONNECT, nsp);
    return pen_lift(&pen);
}

enum rp_err rp_sio_put_ack(struct rp_buf *out, struct rp_bytes nsp, uint64_t id,
                           struct rp_bytes args_json) {
    return rp_sio_put_binary_ack(out, nsp, id, args_json, 0);
}

enum rp_err rp_sio_put_binary_ack(struct rp_buf *out, struct rp_bytes nsp, uint64_t id,
                                  struct rp_bytes args_json, size_t attachments_count) {
    enum rp_sio_type type = attachments_count > 0 ? RP_SIO_BINARY_ACK : RP_SIO_ACK;
    struct pen pen = start_any(out, type, attachments_count, nsp);
    pen.err = pen.err ? pen.err : rp_buf_put_u64(out, id);
    write_str(&pen, "[");
    write_raw(&pen, args_json);
    write_str(&pen, "]");
    return pen_lift(&pen);
}

/* Writing an event in place. */

static bool is_offset(struct rp_bytes offset) {
    for (size_t i = 0; i < offset.len; i++) {
        uint8_t c = offset.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '.' || c == '-')) {
            return false;
        }
    }
    return true;
}

static uint8_t *write_bytes(uint8_t *at, struct rp_bytes bytes) {
    if (bytes.len > 0) {
        memcpy(at, bytes.data, bytes.len);
    }
    return at + bytes.len;
}

enum { NUMBER_MAX = 20 };

/* Decimal; at most NUMBER_MAX bytes. */
static size_t write_number(uint8_t *at, uint64_t number) {
    size_t len = 1;
    for (uint64_t left = number; left >= 10; left /= 10) {
        len++;
    }
    for (size_t i = len; i > 0; i--) {
        at[i - 1] = (uint8_t) ('0' + number % 10);
        number /= 10;
    }
    return len;
}

size_t rp_sio_event_len(const struct rp_sio_event *e) {
    RP_ASSERT(is_offset(e->offset));
    struct rp_bytes nsp = shown_nsp(e->nsp);
    uint8_t number[NUMBER_MAX];
    size_t prefix_len =
        e->attachments_count > 0 ? write_number(number, e->attachments_count) + 1 : 0;
    size_t id_len = e->has_id ? write_number(number, e->id) : 0;
    return strlen("42[]") + prefix_len + (nsp.len > 0 ? nsp.len + 1 : 0) + id_len +
           rp_json_string_len(e->name) + (e->args.len > 0 ? 1 + e->args.len : 0) +
           (e->offset.len > 0 ? strlen(",\"\"") + e->offset.len : 0);
}

uint8_t *rp_sio_event_write(uint8_t *at, const struct rp_sio_event *e) {
    struct rp_bytes nsp = shown_nsp(e->nsp);
    *at++ = RP_EIO_MESSAGE;
    *at++ = '0' + (e->attachments_count > 0 ? RP_SIO_BINARY_EVENT : RP_SIO_EVENT);
    if (e->attachments_count > 0) {
        at += write_number(at, e->attachments_count);
        *at++ = '-';
    }
    if (nsp.len > 0) {
        at = write_bytes(at, nsp);
        *at++ = ',';
    }
    if (e->has_id) {
        at += write_number(at, e->id);
    }
    *at++ = '[';
    at = rp_json_write_string(at, e->name);
    if (e->args.len > 0) {
        *at++ = ',';
        at = write_bytes(at, e->args);
    }
    if (e->offset.len > 0) {
        at = write_bytes(at, RP_BYTES_LIT(",\""));
        at = write_bytes(at, e->offset);
        *at++ = '"';
    }
    *at++ = ']';
    return at;
}
