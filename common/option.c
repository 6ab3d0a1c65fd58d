/* common/option.c — the sources of options are read weakest first, so that a stronger one simply
 * overwrites: defaults, file, environment, command line. The texts for people are in
 * option_text.c. */
#include "common/option.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/option_file.h"
#include "common/option_text.h"
#include "common/units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_BYTES_MAX = 64 << 10, VARIABLE_SIZE = 64 };

extern char **environ;

/* ---- values ---- */

static bool set_number(const struct rp_option *o, bool (*read)(const char *, uint64_t *),
                       const char *text) {
    uint64_t number;
    if (o->word != NULL && strcmp(text, o->word) == 0) {
        *o->number = o->word_number;
        return true;
    }
    if (!read(text, &number) || number < o->min || (o->max > 0 && number > o->max)) {
        return false;
    }
    *o->number = number;
    return true;
}

static bool set_flag(const struct rp_option *o, const char *text) {
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) == 0) {
            *o->flag = i % 2 == 1;
            return true;
        }
    }
    return false;
}

static bool set_choice(const struct rp_option *o, const char *text) {
    for (unsigned i = 0; o->choices[i] != NULL; i++) {
        if (strcmp(text, o->choices[i]) == 0) {
            *o->choice = i;
            return true;
        }
    }
    return false;
}

static bool set_text(const struct rp_option *o, const char *text) {
    if (text[0] == '\0' || (o->check != NULL && o->check(text) != NULL)) {
        return false;
    }
    *o->text = text;
    return true;
}

/* False: the text is no value of this option; the target is as it was. */
static bool set_value(const struct rp_option *o, const char *text) {
    switch (o->kind) {
    case RP_OPTION_FLAG:
        return set_flag(o, text);
    case RP_OPTION_DURATION:
        return set_number(o, rp_units_duration, text);
    case RP_OPTION_SIZE:
        return set_number(o, rp_units_size, text);
    case RP_OPTION_INTEGER:
        return set_number(o, rp_units_count, text);
    case RP_OPTION_CHOICE:
        return set_choice(o, text);
    case RP_OPTION_STRING:
        return set_text(o, text);
    case RP_OPTION_GROUP:
        break;
    }
    return false;
}

static void set_nothing(const struct rp_option *o) {
    switch (o->kind) {
    case RP_OPTION_GROUP:
        break;
    case RP_OPTION_FLAG:
        *o->flag = false;
        break;
    case RP_OPTION_DURATION:
    case RP_OPTION_SIZE:
    case RP_OPTION_INTEGER:
        *o->number = 0;
        break;
    case RP_OPTION_CHOICE:
        *o->choice = 0;
        break;
    case RP_OPTION_STRING:
        *o->text = NULL;
        break;
    }
}

static const struct rp_option *find(const struct rp_option_set *set, struct rp_bytes name) {
    if (rp_bytes_eq_str(name, set->config.name)) {
        return &set->config;
    }
    for (size_t i = 0; i < set->options_count; i++) {
        const struct rp_option *o = &set->options[i];
        if (o->kind != RP_OPTION_GROUP && rp_bytes_eq_str(name, o->name)) {
            return o;
        }
    }
    return NULL;
}

/* ---- defaults ---- */

static void set_defaults(const struct rp_option_set *set) {
    for (size_t i = 0; i < set->options_count; i++) {
        const struct rp_option *o = &set->options[i];
        set_nothing(o);
        if (o->fallback != NULL) {
            bool is_valid = set_value(o, o->fallback);
            RP_ASSERT(is_valid);
        }
    }
}

/* ---- the file ---- */

/* The file's text with a terminator; NULL, and a message in out. */
static char *read_file(const char *path, struct rp_buf *out) {
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        rp_option_say(out, "cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    char *text = rp_alloc(FILE_BYTES_MAX + 1);
    size_t len = fread(text, 1, FILE_BYTES_MAX, f);
    if (ferror(f)) {
        rp_option_say(out, "cannot read %s: %s", path, strerror(errno));
    } else if (len == FILE_BYTES_MAX) {
        rp_option_say(out, "%s is too large for a configuration file", path);
    } else if (memchr(text, '\0', len) != NULL) {
        rp_option_say(out, "%s is not a text file", path);
    } else {
        fclose(f);
        return text;
    }
    fclose(f);
    free(text);
    return NULL;
}

static char *trim(char *text) {
    text += strspn(text, " \t\r");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL) {
        len--;
    }
    text[len] = '\0';
    return text;
}

static bool take_file_line(const struct rp_option_set *set, const char *where, char *line,
                           struct rp_buf *out) {
    line = trim(line);
    if (line[0] == '\0' || line[0] == '#') {
        return true;
    }
    char *equals = strchr(line, '=');
    if (equals == NULL) {
        rp_option_say(out, "%s: \"%s\": expected a line `option = value`", where, line);
        return false;
    }
    *equals = '\0';
    const char *name = trim(line), *value = trim(equals + 1);
    const struct rp_option *o = find(set, rp_bytes_str(name));
    if (o == NULL || o == &set->config) {
        rp_option_say(out, "%s: unknown option %s", where, name);
        rp_option_suggest(set, name, "", out);
        return false;
    }
    if (!set_value(o, value)) {
        rp_option_say(out, "%s: %s \"%s\": expected ", where, name, value);
        rp_option_put_expected(o, value, out);
        return false;
    }
    return true;
}

static bool take_file(struct rp_option_set *set, const char *path, struct rp_buf *out) {
    set->file_text = read_file(path, out);
    if (set->file_text == NULL) {
        return false;
    }
    char *line = set->file_text;
    for (unsigned number = 1; line != NULL; number++) {
        char *next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        char where[512];
        snprintf(where, sizeof where, "%.480s:%u", path, number);
        if (!take_file_line(set, where, line, out)) {
            return false;
        }
        line = next;
    }
    return true;
}

/* ---- the environment ---- */

/* NULL: it is not set, or empty, which counts as the same. */
static const char *variable_value(char *const *environment, const char *variable) {
    size_t len = strlen(variable);
    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, variable, len) == 0 && (*environment)[len] == '=') {
            const char *value = *environment + len + 1;
            return value[0] != '\0' ? value : NULL;
        }
    }
    return NULL;
}

/* "REPRISE_PING_INTERVAL" and "REPRISE_PING_INTERVAL_FILE" of "ping-interval", and what they are.
 */
struct variable {
    char name[VARIABLE_SIZE], file_name[VARIABLE_SIZE];
    const char *value, *path; /* NULL: not set */
};

static struct variable variable_of(const char *option, char *const *environment) {
    struct variable v;
    size_t len = (size_t) snprintf(v.file_name, VARIABLE_SIZE, "REPRISE_%s_FILE", option);
    RP_ASSERT(len < VARIABLE_SIZE);
    for (char *c = v.file_name; *c != '\0'; c++) {
        if (*c == '-') {
            *c = '_';
        } else if (*c >= 'a' && *c <= 'z') {
            *c = (char) (*c - 'a' + 'A');
        }
    }
    snprintf(v.name, sizeof v.name, "%.*s", (int) (len - strlen("_FILE")), v.file_name);
    v.value = variable_value(environment, v.name);
    v.path = variable_value(environment, v.file_name);
    return v;
}

/* False: both are set. */
static bool is_said_once(const struct variable *v, struct rp_buf *out) {
    bool twice = v->value != NULL && v->path != NULL;
    if (twice) {
        rp_option_say(out, "%s and %s are both set in the environment: expected one of them",
                      v->name, v->file_name);
    }
    return !twice;
}

/* A value in a file of its own may be a secret: no message repeats it. */
static bool take_value_file(struct rp_option_set *set, const struct rp_option *o,
                            const struct variable *v, struct rp_buf *out) {
    char why[256];
    const char *value = rp_option_file_read(set, v->path, why, sizeof why);
    if (value == NULL) {
        rp_option_say(out, "%s in the environment: cannot take a value from %s: %s", v->file_name,
                      v->path, why);
        return false;
    }
    if (!set_value(o, value)) {
        rp_option_say(out, "%s in the environment: what is in %s is wrong: expected ", v->file_name,
                      v->path);
        rp_option_put_expected(o, value, out);
        return false;
    }
    return true;
}

static bool take_variable(struct rp_option_set *set, const struct rp_option *o,
                          const struct variable *v, struct rp_buf *out) {
    if (!is_said_once(v, out)) {
        return false;
    }
    if (v->path != NULL && !o->is_file) {
        return take_value_file(set, o, v, out);
    }
    const char *value = v->value != NULL ? v->value : v->path;
    if (value != NULL && !set_value(o, value)) {
        rp_option_say(out, "%s \"%s\" in the environment: expected ",
                      v->value != NULL ? v->name : v->file_name, value);
        rp_option_put_expected(o, value, out);
        return false;
    }
    return true;
}

static bool take_environment(struct rp_option_set *set, char *const *environment,
                             struct rp_buf *out) {
    for (size_t i = 0; i < set->options_count; i++) {
        const struct rp_option *o = &set->options[i];
        if (o->kind != RP_OPTION_GROUP) {
            struct variable v = variable_of(o->name, environment);
            if (!take_variable(set, o, &v, out)) {
                return false;
            }
        }
    }
    return true;
}

/* ---- the command line ---- */

/* One argument of the command line, split. */
struct flag {
    struct rp_bytes name; /* without dashes */
    const char *value;    /* NULL: none */
};

/* Splits argv[*at], taking the next argument too if it is the value; *at then is the last one used.
 * False: message in out. What is not in the set gets its value only with '='. */
static bool split_flag(const struct rp_option_set *set, char *const *argv, int argc, int *at,
                       struct flag *ret_flag, struct rp_buf *out) {
    const char *text = argv[*at];
    if (strncmp(text, "--", 2) != 0 || text[2] == '\0') {
        rp_option_say(out, "unexpected argument \"%s\"", text);
        return false;
    }
    const char *equals = strchr(text, '=');
    size_t len = equals != NULL ? (size_t) (equals - text) : strlen(text);
    struct flag flag = {.name = rp_bytes(text + 2, len - 2),
                        .value = equals != NULL ? equals + 1 : NULL};
    const struct rp_option *o = find(set, flag.name);
    if (o != NULL && o->kind == RP_OPTION_FLAG && flag.value == NULL) {
        flag.value = "yes";
    } else if (o != NULL && flag.value == NULL) {
        if (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0) {
            rp_option_say(out, "%s needs a value: ", text);
            rp_option_put_expected(o, "", out);
            return false;
        }
        flag.value = argv[++*at];
    }
    *ret_flag = flag;
    return true;
}

static bool take_flags(const struct rp_option_set *set, int argc, char *const *argv,
                       struct rp_buf *out) {
    for (int at = 1; at < argc; at++) {
        struct flag flag;
        if (!split_flag(set, argv, argc, &at, &flag, out)) {
            return false;
        }
        const struct rp_option *o = find(set, flag.name);
        if (o == NULL) {
            char name[VARIABLE_SIZE];
            snprintf(name, sizeof name, "%.*s", RP_BYTES_FMT(flag.name));
            rp_option_say(out, "unknown option --%s", name);
            rp_option_suggest(set, name, "--", out);
            return false;
        }
        if (!set_value(o, flag.value)) {
            rp_option_say(out, "--%s \"%s\": expected ", o->name, flag.value);
            rp_option_put_expected(o, flag.value, out);
            return false;
        }
    }
    return true;
}

/* ---- all together ---- */

static bool asks_for(int argc, char *const *argv, const char *flag, const char *letter) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], flag) == 0 || strcmp(argv[i], letter) == 0) {
            return true;
        }
    }
    return false;
}

/* Sets set->config_path, before anything else is set: the file is the weakest source but the
 * defaults. What is wrong with other arguments is said later. */
static bool find_config(struct rp_option_set *set, int argc, char *const *argv,
                        char *const *environment, struct rp_buf *out) {
    struct variable v = variable_of(set->config.name, environment);
    const char *path = v.value != NULL ? v.value : v.path;
    for (int at = 1; at < argc; at++) {
        if (strncmp(argv[at], "--config=", 9) == 0) {
            path = argv[at] + 9;
        } else if (strcmp(argv[at], "--config") == 0 && at + 1 < argc) {
            path = argv[at + 1];
        }
    }
    set->config_path = path != NULL && path[0] != '\0' ? path : NULL;
    return is_said_once(&v, out);
}

static bool parse(struct rp_option_set *set, int argc, char *const *argv, char *const *environment,
                  struct rp_buf *out) {
    set_defaults(set);
    return find_config(set, argc, argv, environment, out) &&
           (set->config_path == NULL || take_file(set, set->config_path, out)) &&
           take_environment(set, environment, out) && take_flags(set, argc, argv, out);
}

enum rp_option_answer rp_option_parse(struct rp_option_set *set, int argc, char *const *argv,
                                      char *const *environment, struct rp_buf *ret_text) {
    set->config = (struct rp_option){.name = "config",
                                     .kind = RP_OPTION_STRING,
                                     .text = &set->config_path,
                                     .value = "FILE",
                                     .is_file = true,
                                     .help = "read options from this file"};
    if (asks_for(argc, argv, "--help", "-h")) {
        rp_option_put_help(set, ret_text);
        return RP_OPTION_TOLD;
    }
    if (asks_for(argc, argv, "--version", "-V")) {
        rp_option_say(ret_text, "%s %s\n", set->program, RP_VERSION);
        return RP_OPTION_TOLD;
    }
    if (parse(set, argc, argv, environment, ret_text)) {
        return RP_OPTION_RUN;
    }
    rp_option_say(ret_text, "\n");
    return RP_OPTION_WRONG;
}

int rp_option_main(struct rp_option_set *set, int argc, char **argv) {
    struct rp_buf text;
    rp_buf_init(&text, RP_OPTION_TEXT_BYTES_MAX);
    enum rp_option_answer answer = rp_option_parse(set, argc, argv, environ, &text);
    if (answer == RP_OPTION_TOLD) {
        fwrite(text.data, 1, text.len, stdout);
    } else if (answer == RP_OPTION_WRONG) {
        fprintf(stderr, "%s: %.*s%s --help lists the options.\n", set->program,
                RP_BYTES_FMT(rp_buf_bytes(&text)), set->program);
    }
    rp_buf_done(&text);
    return answer == RP_OPTION_RUN ? -1 : answer == RP_OPTION_TOLD ? 0 : 2;
}

void rp_option_done(struct rp_option_set *set) {
    free(set->file_text);
    set->file_text = NULL;
    rp_option_file_forget(set);
}
