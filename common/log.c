#include "common/log.h"

#include "common/assert.h"
#include "common/buf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 2048 };

const char *const rp_log_levels[] = {"error", "warn", "info", "debug", NULL};

static enum rp_log_level level_max = RP_LOG_INFO;

void rp_log_set_level(enum rp_log_level level) {
    level_max = level;
}

bool rp_log_enabled(enum rp_log_level level) {
    return level <= level_max;
}

/* ---- a line ---- */

struct line {
    size_t len;
    char text[LINE_BYTES_MAX + 1]; /* and the line feed */
};

static void put(struct line *l, const char *text, size_t len) {
    size_t room = LINE_BYTES_MAX - l->len;
    len = len < room ? len : room;
    memcpy(l->text + l->len, text, len);
    l->len += len;
}

static void put_str(struct line *l, const char *text) {
    put(l, text, strlen(text));
}

static void put_escaped(struct line *l, unsigned char c, bool escape_high) {
    char hex[5];
    if (c == '"' || c == '\\') {
        put(l, (char[]){'\\', (char) c}, 2);
    } else if (c == '\n') {
        put(l, "\\n", 2);
    } else if (c < 0x20 || c == 0x7F || (escape_high && c >= 0x80)) {
        snprintf(hex, sizeof hex, "\\x%02x", c);
        put(l, hex, 4);
    } else {
        put(l, (char *) &c, 1);
    }
}

static void put_quoted(struct line *l, struct rp_bytes value) {
    bool escape_high = !rp_bytes_is_utf8(value);
    put(l, "\"", 1);
    for (size_t i = 0; i < value.len; i++) {
        put_escaped(l, value.data[i], escape_high);
    }
    put(l, "\"", 1);
}

static void put_value(struct line *l, struct rp_bytes value) {
    bool plain = value.len > 0;
    for (size_t i = 0; plain && i < value.len; i++) {
        uint8_t c = value.data[i];
        plain = c > ' ' && c < 0x7F && c != '"' && c != '=' && c != '\\';
    }
    if (plain) {
        put(l, (const char *) value.data, value.len);
    } else {
        put_quoted(l, value);
    }
}

static void put_head(struct line *l, enum rp_log_level level) {
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    char text[64];
    size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    put(l, text, len);
    snprintf(text, sizeof text, ".%03dZ level=%s msg=", (int) (now.tv_nsec / 1000000),
             rp_log_levels[level]);
    put_str(l, text);
}

/* ---- the format ---- */

/* Where the fields begin: at the word that holds the first conversion. */
static size_t message_len(const char *format) {
    const char *percent = strchr(format, '%');
    if (percent == NULL) {
        return strlen(format);
    }
    size_t at = (size_t) (percent - format);
    while (at > 0 && format[at - 1] != ' ') {
        at--;
    }
    RP_ASSERT(at > 0); /* a message comes first */
    return at - 1;
}

static void put_signed(struct line *l, long long value) {
    char text[24];
    snprintf(text, sizeof text, "%lld", value);
    put_str(l, text);
}

static void put_unsigned(struct line *l, unsigned long long value) {
    char text[24];
    snprintf(text, sizeof text, "%llu", value);
    put_str(l, text);
}

/* One conversion, format being at its '%'. Returns what follows it. Our own formats are few and
 * checked by the compiler; one that is not in the header's list is our mistake. */
static const char *put_conversion(struct line *l, const char *format, va_list *args) {
    static const struct {
        const char *text;
        char kind;
    } conversions[] = {{"%s", 's'},  {"%.*s", 'b'}, {"%d", 'd'},   {"%u", 'u'}, {"%ld", 'D'},
                       {"%lu", 'U'}, {"%lld", 'q'}, {"%llu", 'Q'}, {"%zu", 'z'}};
    for (size_t i = 0; i < sizeof conversions / sizeof *conversions; i++) {
        size_t len = strlen(conversions[i].text);
        if (strncmp(format, conversions[i].text, len) != 0) {
            continue;
        }
        switch (conversions[i].kind) {
        case 's': {
            const char *text = va_arg(*args, const char *);
            put_value(l, rp_bytes_str(text));
            break;
        }
        case 'b': {
            int bytes_len = va_arg(*args, int);
            const char *text = va_arg(*args, const char *);
            put_value(l, rp_bytes(text, (size_t) bytes_len));
            break;
        }
        case 'd':
            put_signed(l, va_arg(*args, int));
            break;
        case 'u':
            put_unsigned(l, va_arg(*args, unsigned));
            break;
        case 'D':
            put_signed(l, va_arg(*args, long));
            break;
        case 'U':
            put_unsigned(l, va_arg(*args, unsigned long));
            break;
        case 'q':
            put_signed(l, va_arg(*args, long long));
            break;
        case 'Q':
            put_unsigned(l, va_arg(*args, unsigned long long));
            break;
        default:
            put_unsigned(l, va_arg(*args, size_t));
            break;
        }
        return format + len;
    }
    rp_assert_failed("a conversion that rp_log knows", __FILE__, __LINE__, format);
}

static void write_line(struct line *l) {
    l->text[l->len++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, l->text, l->len); /* one call: lines do not mix */
    (void) ignored;                                          /* nobody left to tell */
}

void rp_log(enum rp_log_level level, const char *format, ...) {
    if (!rp_log_enabled(level)) {
        return;
    }
    struct line line = {.len = 0};
    put_head(&line, level);
    size_t len = message_len(format);
    put_quoted(&line, rp_bytes(format, len));
    va_list args;
    va_start(args, format);
    for (const char *at = format + len; *at != '\0';) {
        if (*at == '%') {
            at = put_conversion(&line, at, &args);
        } else {
            put(&line, at++, 1);
        }
    }
    va_end(args);
    write_line(&line);
}

/* ---- limits ---- */

bool rp_log_limit_pass(struct rp_log_limit *limit, uint64_t peer, uint64_t now_ms,
                       uint64_t *ret_suppressed) {
    size_t spare = RP_LOG_LIMIT_PEERS; /* a slot whose second is over */
    for (size_t i = 0; i < RP_LOG_LIMIT_PEERS; i++) {
        bool is_over = now_ms >= limit->slots[i].until_ms;
        if (limit->slots[i].until_ms != 0 && limit->slots[i].peer == peer) {
            if (!is_over) {
                limit->slots[i].suppressed++;
                return false;
            }
            *ret_suppressed = limit->slots[i].suppressed;
            limit->slots[i].until_ms = now_ms + RP_LOG_LIMIT_MS;
            limit->slots[i].suppressed = 0;
            return true;
        }
        if (is_over && (spare == RP_LOG_LIMIT_PEERS ||
                        limit->slots[i].until_ms < limit->slots[spare].until_ms)) {
            spare = i; /* the one that is over longest is remembered least */
        }
    }
    if (spare == RP_LOG_LIMIT_PEERS) {
        return false;
    }
    limit->slots[spare].peer = peer;
    limit->slots[spare].until_ms = now_ms + RP_LOG_LIMIT_MS;
    limit->slots[spare].suppressed = 0;
    *ret_suppressed = 0;
    return true;
}
