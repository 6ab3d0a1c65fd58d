/* example.h — what the examples share, so that each of them is about its subject: options, keys, a
 * context, the line `ready`, and an orderly end.
 *
 * A program of your own needs little of it: reprise_context_new, handlers, reprise_context_run,
 * reprise_context_close. */
#ifndef REPRISE_EXAMPLE_H
#define REPRISE_EXAMPLE_H

#include <reprise.h>

struct example {
    const char *name;    /* of the program */
    const char *summary; /* one line for --help */
    /* Adds namespaces and handlers to the context. False: it does not work, and said why. */
    bool (*serve)(struct reprise_context *c);
    /* An option of this example's own, or NULL: --NAME VALUE sets *option_value. */
    const char *option_name, *option_help;
    const char **option_value;
};

/* Runs the example until SIGINT or SIGTERM; gives what main returns. */
int example_main(int argc, char **argv, const struct example *example);

#endif
