/* cli/main.c — reprise: the tools for those who run a broker and gateways. Finds the command and
 * runs it; what commands share is in command.h. */
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

const struct rp_command rp_commands[] = {
    {.name = "keygen",
     .arguments = "FILE [--force] [--json]",
     .summary = "make the keys of a broker, a gateway or a worker",
     .help =
         "Makes a new pair of keys for the links between processes. Writes FILE, with both keys "
         "and\nthe mode 0600, for the process itself (--curve-key), and FILE.pub, with the "
         "public key, for\nits peers. Prints the public key, and the line for the broker's "
         "--allow.\n\n"
         "  --force   replace files that are there; without it they are left alone\n"
         "  --json    print one JSON object instead of text\n",
     .run = rp_cmd_keygen},
    {.name = "health",
     .arguments = "[--timeout DURATION] [HOST:PORT]...",
     .summary = "ask brokers and gateways whether they serve",
     .help =
         "Asks at the --admin addresses given, at most 16, and prints what each answers, a line of "
         "JSON.\nWithout an address it asks at the one in REPRISE_ADMIN, where a container's "
         "programs have\ntheirs from, or at 127.0.0.1:3001. Ends with 0 if all are ready, with 1 "
         "if one is not, or\ncannot be reached, and says on standard error which.\n\n"
         "  --timeout DURATION   for all answers together [2s]\n",
     .run = rp_cmd_health},
    {.name = "help",
     .arguments = "[COMMAND]",
     .summary = "say what there is, or more about one command",
     .help = "Lists the commands, or says what one of them does and takes.\n",
     .run = rp_cmd_help},
};
const size_t rp_commands_count = sizeof rp_commands / sizeof *rp_commands;

const struct rp_command *rp_command_find(const char *name) {
    for (size_t i = 0; i < rp_commands_count; i++) {
        if (strcmp(rp_commands[i].name, name) == 0) {
            return &rp_commands[i];
        }
    }
    fprintf(stderr, "reprise: there is no command \"%s\". reprise help lists them.\n", name);
    return NULL;
}

enum rp_cli_status rp_command_usage(const char *command, const char *wrong, const char *what) {
    fprintf(stderr, "reprise %s: %s%s%s%s. reprise help %s says more.\n", command, wrong,
            what != NULL ? " \"" : "", what != NULL ? what : "", what != NULL ? "\"" : "", command);
    return RP_CLI_USAGE;
}

/* Output that did not get out (a full disk, a closed pipe) is a failure. */
static enum rp_cli_status finish(enum rp_cli_status status) {
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("reprise: cannot write to standard output");
        return RP_CLI_FAILED;
    }
    return status;
}

static enum rp_cli_status run(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "reprise: expected a command. reprise help lists them.\n");
        return RP_CLI_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("reprise %s\n", RP_VERSION);
        return RP_CLI_OK;
    }
    if (strcmp(argv[1], "--help") == 0) {
        return rp_cmd_help(1, argv);
    }
    const struct rp_command *command = rp_command_find(argv[1]);
    if (command == NULL) {
        return RP_CLI_USAGE;
    }
    if (argc > 2 && strcmp(argv[2], "--help") == 0) {
        rp_command_print_help(command);
        return RP_CLI_OK;
    }
    return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv) {
    return finish(run(argc, argv));
}
