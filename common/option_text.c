#include "common/option_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void rp_option_say(struct rp_buf *out, const char *format, ...) {
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    enum rp_err full = rp_buf_put_str(out, text);
    (void) full; /* cut, as promised */
}

/* ---- what was expected ---- */

/* A bound as a person would write it: in the largest unit that divides it. */
static const char *bound(const struct rp_option *o, uint64_t number, char ret_text[32]) {
    static const struct {
        const char *unit;
        uint64_t factor;
    } durations[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}},
      sizes[] = {{"G", 1 << 30}, {"M", 1 << 20}, {"k", 1 << 10}, {"", 1}}, counts[] = {{"", 1}},
      *units = counts;
    units = o->kind == RP_OPTION_DURATION ? durations : o->kind == RP_OPTION_SIZE ? sizes : counts;
    while (units->factor > 1 && (number == 0 || number % units->factor != 0)) {
        units++;
    }
    snprintf(ret_text, 32, "%" PRIu64 "%s", number / units->factor, units->unit);
    return ret_text;
}

static void put_range(const struct rp_option *o, struct rp_buf *out) {
    char low[32], high[32];
    if (o->min > 0 && o->max > 0) {
        rp_option_say(out, " between %s and %s", bound(o, o->min, low), bound(o, o->max, high));
    } else if (o->max > 0) {
        rp_option_say(out, " of at most %s", bound(o, o->max, high));
    } else if (o->min > 0) {
        rp_option_say(out, " of at least %s", bound(o, o->min, low));
    }
    if (o->word != NULL) {
        rp_option_say(out, ", or %s", o->word);
    }
}

static void put_choices(const struct rp_option *o, struct rp_buf *out) {
    for (size_t i = 0; o->choices[i] != NULL; i++) {
        const char *before = i == 0 ? "" : o->choices[i + 1] == NULL ? " or " : ", ";
        rp_option_say(out, "%s%s", before, o->choices[i]);
    }
}

void rp_option_put_expected(const struct rp_option *o, const char *value, struct rp_buf *out) {
    const char *expected;
    switch (o->kind) {
    case RP_OPTION_GROUP:
        break;
    case RP_OPTION_FLAG:
        rp_option_say(out, "yes or no");
        break;
    case RP_OPTION_DURATION:
        rp_option_say(out, "a duration with its unit, ms s m h or d,");
        put_range(o, out);
        break;
    case RP_OPTION_SIZE:
        rp_option_say(out, "a size in bytes, or with k M or G,");
        put_range(o, out);
        break;
    case RP_OPTION_INTEGER:
        rp_option_say(out, "a number");
        put_range(o, out);
        break;
    case RP_OPTION_CHOICE:
        put_choices(o, out);
        break;
    case RP_OPTION_STRING:
        expected = o->check != NULL ? o->check(value) : NULL;
        rp_option_say(out, "%s", expected != NULL ? expected : o->value);
        break;
    }
}

/* ---- near names ---- */

enum { NAME_LEN_MAX = 40, NEAR_MAX = 2 };

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* How many letters must be put in, taken out or changed to get from a to b (Levenshtein). */
static size_t distance(const char *a, const char *b) {
    size_t a_len = strlen(a), b_len = strlen(b), row[NAME_LEN_MAX + 1];
    if (a_len > NAME_LEN_MAX || b_len > NAME_LEN_MAX) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b_len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t changed = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = smallest(row[j] + 1, row[j - 1] + 1, changed);
        }
    }
    return row[b_len];
}

void rp_option_suggest(const struct rp_option_set *set, const char *name, const char *dashes,
                       struct rp_buf *out) {
    const char *nearest = NULL;
    size_t least = NEAR_MAX + 1, len = strlen(name);
    for (size_t i = 0; i < set->options_count; i++) {
        const struct rp_option *o = &set->options[i];
        if (o->kind == RP_OPTION_GROUP) {
            continue;
        }
        bool is_beginning = len >= 3 && strncmp(o->name, name, len) == 0;
        size_t far = is_beginning ? 0 : distance(name, o->name);
        if (far < least && far < strlen(o->name)) {
            nearest = o->name;
            least = far;
        }
    }
    if (nearest != NULL) {
        rp_option_say(out, ", did you mean %s%s?", dashes, nearest);
    }
}

/* ---- help ---- */

enum { HELP_COLUMN = 30, HELP_WIDTH = 92 };

static void put_spaces(struct rp_buf *out, size_t count) {
    rp_option_say(out, "%*s", (int) count, "");
}

/* Appends words from column `at` on, and goes on in the lines below at HELP_COLUMN. */
static void put_wrapped(struct rp_buf *out, size_t at, size_t column, const char *text) {
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        if (at > column && at + 1 + len > HELP_WIDTH) {
            rp_option_say(out, "\n");
            put_spaces(out, column);
            at = column;
        } else if (at > column) {
            rp_option_say(out, " ");
            at++;
        }
        rp_option_say(out, "%.*s", (int) len, text);
        at += len;
        text += len + strspn(text + len, " ");
    }
    rp_option_say(out, "\n");
}

static void put_value_name(const struct rp_option *o, struct rp_buf *out) {
    switch (o->kind) {
    case RP_OPTION_GROUP:
    case RP_OPTION_FLAG:
        break;
    case RP_OPTION_DURATION:
        rp_option_say(out, " DURATION");
        break;
    case RP_OPTION_SIZE:
        rp_option_say(out, " SIZE");
        break;
    case RP_OPTION_INTEGER:
        rp_option_say(out, " %s", o->value != NULL ? o->value : "NUMBER");
        break;
    case RP_OPTION_CHOICE:
        for (size_t i = 0; o->choices[i] != NULL; i++) {
            rp_option_say(out, "%s%s", i == 0 ? " " : "|", o->choices[i]);
        }
        break;
    case RP_OPTION_STRING:
        rp_option_say(out, " %s", o->value);
        break;
    }
}

static void put_option(const struct rp_option *o, struct rp_buf *out) {
    size_t begin = out->len;
    rp_option_say(out, "  --%s", o->name);
    put_value_name(o, out);
    size_t at = out->len - begin;
    if (at + 2 > HELP_COLUMN) {
        rp_option_say(out, "\n");
        at = 0;
    }
    put_spaces(out, HELP_COLUMN - at);
    char text[1024];
    if (o->fallback != NULL) {
        snprintf(text, sizeof text, "%s [%s]", o->help, o->fallback);
    } else {
        snprintf(text, sizeof text, "%s", o->help);
    }
    put_wrapped(out, HELP_COLUMN, HELP_COLUMN, text);
}

void rp_option_put_help(const struct rp_option_set *set, struct rp_buf *out) {
    static const struct rp_option told[] = {
        {.name = "help", .kind = RP_OPTION_FLAG, .help = "this text"},
        {.name = "version", .kind = RP_OPTION_FLAG, .help = "name and version"},
    };
    rp_option_say(out, "Usage: %s [--OPTION VALUE]...\n\n", set->program);
    put_wrapped(out, 0, 0, set->summary);
    for (size_t i = 0; i < set->options_count; i++) {
        if (set->options[i].kind == RP_OPTION_GROUP) {
            rp_option_say(out, "\n%s\n", set->options[i].name);
        } else {
            put_option(&set->options[i], out);
        }
    }
    rp_option_say(out, "\nGeneral\n");
    put_option(&set->config, out);
    put_option(&told[0], out);
    put_option(&told[1], out);
    rp_option_say(out, "\n");
    put_wrapped(out, 0, 0,
                "Values in [brackets] are the defaults. Durations take ms s m h d (25s), sizes "
                "k M G (64k is 65536 bytes).");
    put_wrapped(out, 0, 0,
                "Every option is also an environment variable, --log-level debug being "
                "REPRISE_LOG_LEVEL=debug, and a line `log-level = debug` in the file of --config. "
                "Flags win over environment over file over default.");
    put_wrapped(
        out, 0, 0,
        "REPRISE_LOG_LEVEL_FILE=/run/secrets/level takes the value from that file (one line), "
        "for secrets. Where the value is a file's name anyway, as with --config, "
        "REPRISE_CONFIG_FILE is the same as REPRISE_CONFIG.");
}
