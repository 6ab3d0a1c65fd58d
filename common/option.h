/* common/option.h — what a person tells a program: command line, environment, configuration file.
 *
 * A program has one table of options; from it come parsing, --help, --version and the messages.
 * `ping-interval` is --ping-interval 25s or --ping-interval=25s on the command line,
 * REPRISE_PING_INTERVAL=25s in the environment (an empty variable counts as not set), and a line
 * `ping-interval = 25s` in the file of --config (or REPRISE_CONFIG); `#` at a line's beginning
 * makes it a comment. Flags win over environment over file over default.
 *
 * In the environment REPRISE_PING_INTERVAL_FILE=PATH names a file whose one line is the value, the
 * convention of containers for secrets: what is in it is not repeated in messages. Where the value
 * is a file's name anyway (is_file), the variable is that name, so that REPRISE_TLS_KEY_FILE and
 * REPRISE_TLS_KEY say the same. One of the two variables may be set, not both.
 *
 * A wrong value is refused wherever it stands, also where something stronger overrides it.
 * Variables REPRISE_… that are no option are ignored: programs share an environment. */
#pragma once

#include "common/buf.h"

enum rp_option_kind {
    RP_OPTION_GROUP,    /* no option but a heading of --help: its name */
    RP_OPTION_FLAG,     /* --demo, --demo=no; yes no true false on off 1 0 elsewhere */
    RP_OPTION_DURATION, /* 500ms 25s 5m 2h 1d, kept in ms */
    RP_OPTION_SIZE,     /* 1000000 64k 1M 2G, kept in bytes; k is 1024 */
    RP_OPTION_INTEGER,
    RP_OPTION_CHOICE,
    RP_OPTION_STRING,
};

struct rp_option {
    const char *name; /* without dashes: "ping-interval" */
    enum rp_option_kind kind;
    union { /* where the value goes; it is set whenever parsing succeeds */
        bool *flag;
        uint64_t *number;  /* DURATION, SIZE, INTEGER */
        const char **text; /* lives as long as the set, argv and the environment */
        unsigned *choice;  /* the index in choices */
    };
    const char *fallback; /* the default as a person would write it; NULL: false, 0 or NULL */
    const char *value;    /* STRING: what --help calls the value: "HOST:PORT" */
    bool is_file; /* STRING: the value is the name of a file, so that REPRISE_…_FILE is that name,
                     too */
    uint64_t min, max;          /* DURATION, SIZE, INTEGER: both allowed; max 0 is no maximum */
    const char *word;           /* these also take a word ("all") … */
    uint64_t word_number;       /* … which means this number */
    const char *const *choices; /* CHOICE: NULL at the end */
    /* STRING: NULL if the text is fine, or what was expected instead ("a directory"). */
    const char *(*check)(const char *text);
    const char *help; /* one line or a few; no default, no full stop at the end */
};

struct rp_option_set {
    const char *program; /* "reprise-broker" */
    const char *summary; /* what the program is, for --help */
    const struct rp_option *options;
    size_t options_count;
    /* private */
    struct rp_option config;
    const char *config_path;
    char *file_text;
    struct rp_option_kept *kept; /* values that were in files of their own */
};

enum rp_option_answer {
    RP_OPTION_RUN,
    RP_OPTION_TOLD,  /* --help or --version: print the text to standard output, exit with 0 */
    RP_OPTION_WRONG, /* print the text to standard error, exit with 2 */
};

/* Sets all targets from argv (argc of them, the first is the program), environment (like environ)
 * and the file they may name, and leaves the text to print in ret_text. After RP_OPTION_WRONG the
 * targets are undefined. */
RP_MUST_USE enum rp_option_answer rp_option_parse(struct rp_option_set *set, int argc,
                                                  char *const *argv, char *const *environment,
                                                  struct rp_buf *ret_text);
/* The same with printing, for main: -1 to run, or the exit status. */
RP_MUST_USE int rp_option_main(struct rp_option_set *set, int argc, char **argv);
void rp_option_done(struct rp_option_set *set);
