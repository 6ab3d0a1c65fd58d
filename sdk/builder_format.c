/* Several values after a format: the same calls, in the manner of printf. */
#include "sdk/builder_inner.h"

#include <stdarg.h>
#include <string.h>

/* In a struct, so that a pointer to it means the same everywhere. */
struct args {
    va_list list;
};

static void put_text(struct reprise_builder *b, struct args *args) {
    const char *text = va_arg(args->list, const char *);
    size_t len = va_arg(args->list, size_t);
    reprise_put_text(b, text, len);
}

static void put_binary(struct reprise_builder *b, struct args *args) {
    const void *data = va_arg(args->list, const void *);
    size_t len = va_arg(args->list, size_t);
    reprise_put_binary(b, data, len);
}

static void put_json(struct reprise_builder *b, struct args *args) {
    const char *json = va_arg(args->list, const char *);
    if (json != NULL) {
        reprise_put_json(b, json, strlen(json));
    } else {
        reprise_put_null(b);
    }
}

/* A letter where a value may be, or a closing bracket. */
static void put_letter(struct reprise_builder *b, char letter, struct args *args) {
    switch (letter) {
    case 's':
        reprise_put_string(b, va_arg(args->list, const char *));
        break;
    case 'S':
        put_text(b, args);
        break;
    case 'i':
        reprise_put_int64(b, va_arg(args->list, int));
        break;
    case 'u':
        reprise_put_uint64(b, va_arg(args->list, unsigned));
        break;
    case 'I':
        reprise_put_int64(b, va_arg(args->list, int64_t));
        break;
    case 'U':
        reprise_put_uint64(b, va_arg(args->list, uint64_t));
        break;
    case 'z':
        reprise_put_uint64(b, va_arg(args->list, size_t));
        break;
    case 'd':
        reprise_put_double(b, va_arg(args->list, double));
        break;
    case 'b':
        reprise_put_bool(b, va_arg(args->list, int) != 0);
        break;
    case 'n':
        reprise_put_null(b);
        break;
    case 'B':
        put_binary(b, args);
        break;
    case 'j':
        put_json(b, args);
        break;
    case 'v':
        reprise_put_value(b, va_arg(args->list, struct reprise_value));
        break;
    case '[':
        reprise_begin_array(b);
        break;
    case ']':
        reprise_end_array(b);
        break;
    case '{':
        reprise_begin_object(b);
        break;
    case '}':
        reprise_end_object(b);
        break;
    default:
        rp_builder_fail(b, REPRISE_E_INVALID);
        break;
    }
}

/* A key, or the end of the object. Returns the place after it. */
static const char *put_key(struct reprise_builder *b, const char *format, struct args *args) {
    static const char name_chars[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-$";
    size_t len = strspn(format, name_chars);
    if (len > 0 && format[len] == ':') {
        reprise_put_key_text(b, format, len);
        return format + len + 1;
    }
    if (*format == 'k') {
        reprise_put_key(b, va_arg(args->list, const char *));
    } else if (*format == '}') {
        reprise_end_object(b);
    } else {
        rp_builder_fail(b, REPRISE_E_INVALID);
    }
    return format + 1;
}

enum reprise_err reprise_put(struct reprise_builder *b, const char *format, ...) {
    va_list list;
    va_start(list, format);
    enum reprise_err err = reprise_put_list(b, format, list);
    va_end(list);
    return err;
}

enum reprise_err reprise_put_list(struct reprise_builder *b, const char *format, va_list list) {
    if (b == NULL || format == NULL) {
        return rp_builder_fail(b, REPRISE_E_INVALID);
    }
    struct args args;
    va_copy(args.list, list);
    while (b->err == REPRISE_OK && *format != '\0') {
        if (*format == ' ' || *format == ',') {
            format++;
        } else if (rp_builder_in_object(b) && !b->has_key) {
            format = put_key(b, format, &args);
        } else {
            put_letter(b, *format++, &args);
        }
    }
    va_end(args.list);
    return b->err;
}
