#include "example.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_LEN = 40, CLOSE_MS = 5000 };

/* The keys that `reprise keygen` wrote into a file. */
struct keys {
    char public_key[KEY_LEN + 1], secret_key[KEY_LEN + 1];
};

static struct reprise_context *running; /* for the signal handler, which gets no argument */

static void on_signal(int number) {
    (void) number;
    reprise_context_stop(running);
}

static void on_log(enum reprise_log_level level, const char *text, void *user) {
    fprintf(stderr, "%s %s: %s\n", level == REPRISE_LOG_WARN ? "WARN" : "INFO", (char *) user,
            text);
}

static void on_ready(struct reprise_context *c, void *user) {
    (void) c;
    printf("ready %s\n", (char *) user);
    fflush(stdout);
}

/* ---- keys ---- */

/* Lines `public = KEY` and `secret = KEY`. */
static bool read_keys(const char *path, struct keys *ret_keys) {
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        perror(path);
        return false;
    }
    char line[256];
    while (fgets(line, sizeof line, file) != NULL) {
        sscanf(line, "public = %40s", ret_keys->public_key);
        sscanf(line, "secret = %40s", ret_keys->secret_key);
    }
    fclose(file);
    explicit_bzero(line, sizeof line);
    return true;
}

/* The broker's public key may be given itself, or as the name of the file with it. */
static bool read_broker_key(const char *key_or_path, struct keys *ret_keys) {
    if (strlen(key_or_path) != KEY_LEN) {
        return read_keys(key_or_path, ret_keys);
    }
    memcpy(ret_keys->public_key, key_or_path, KEY_LEN + 1);
    return true;
}

/* ---- options ---- */

static void print_help(const struct example *x) {
    printf("%s: %s\n\n"
           "  --broker ADDRESS      of the broker [tcp://127.0.0.1:5570]\n"
           "  --broker-key KEY|FILE the broker's public key: then the link is encrypted\n"
           "  --curve-key FILE      this worker's own keys, made by `reprise keygen`\n"
           "  --plain-links         no keys, though the broker is on another machine: all that is\n"
           "                        between is trusted\n"
           "  --name NAME           of this worker, for the broker's log\n",
           x->name, x->summary);
    if (x->option_name != NULL) {
        printf("  --%-19s %s\n", x->option_name, x->option_help);
    }
}

static bool read_options(const struct example *x, int argc, char **argv, struct keys *own,
                         struct keys *broker, struct reprise_options *ret_options) {
    const struct option options[] = {{"broker", required_argument, NULL, 'b'},
                                     {"broker-key", required_argument, NULL, 'k'},
                                     {"curve-key", required_argument, NULL, 'c'},
                                     {"plain-links", no_argument, NULL, 'p'},
                                     {"name", required_argument, NULL, 'n'},
                                     {"help", no_argument, NULL, 'h'},
                                     {x->option_name, required_argument, NULL, 'x'},
                                     {NULL, 0, NULL, 0}};
    bool good = true;
    for (int c; good && (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'b':
            ret_options->broker = optarg;
            break;
        case 'k':
            good = read_broker_key(optarg, broker);
            ret_options->server_key = broker->public_key;
            break;
        case 'c':
            good = read_keys(optarg, own);
            ret_options->public_key = own->public_key;
            ret_options->secret_key = own->secret_key;
            break;
        case 'p':
            ret_options->plain_links = true;
            break;
        case 'n':
            ret_options->name = optarg;
            break;
        case 'h':
            print_help(x);
            exit(EXIT_SUCCESS);
        case 'x':
            *x->option_value = optarg;
            break;
        default:
            good = false; /* getopt said why */
        }
    }
    if (good && optind < argc) {
        fprintf(stderr, "%s: unexpected argument %s\n", argv[0], argv[optind]);
        good = false;
    }
    return good;
}

/* ---- running ---- */

int example_main(int argc, char **argv, const struct example *x) {
    struct keys own = {.public_key = ""}, broker = {.public_key = ""};
    struct reprise_options options = {.log = on_log, .log_user = (void *) x->name};
    if (!read_options(x, argc, argv, &own, &broker, &options)) {
        return 2;
    }
    struct reprise_context *c;
    enum reprise_err err = reprise_context_new(&options, &c);
    explicit_bzero(&own, sizeof own);
    if (err != REPRISE_OK) {
        fprintf(stderr, "%s: %s\n", x->name, reprise_strerror(err));
        return EXIT_FAILURE;
    }
    int status = EXIT_FAILURE;
    if (x->serve(c)) {
        running = c;
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        reprise_on_ready(c, on_ready, (void *) x->name);
        status = reprise_context_run(c) == REPRISE_OK ? EXIT_SUCCESS : EXIT_FAILURE;
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
    }
    reprise_context_close(c, CLOSE_MS);
    return status;
}
