/* cli/command.h — the commands of the program `reprise`: one file and one row of the table in
 * main.c each. A new command is a function here, a file cmd_NAME.c and a row. */
#pragma once

#include <stddef.h>

/* What the program ends with. */
enum rp_cli_status {
    RP_CLI_OK = 0,
    RP_CLI_FAILED = 1, /* said on standard error */
    RP_CLI_USAGE = 2,  /* the command line was wrong */
};

struct rp_command {
    const char *name;
    const char *arguments; /* behind the name, for help: "FILE [--force]" */
    const char *summary;   /* one line, without a full stop */
    const char *help;      /* whole lines, each at most 100 characters */
    /* argv[0] is the command's name. */
    enum rp_cli_status (*run)(int argc, char **argv);
};

/* All of them, in the order of help. */
extern const struct rp_command rp_commands[];
extern const size_t rp_commands_count;

/* NULL: there is no such command; it was said on standard error. */
const struct rp_command *rp_command_find(const char *name);
/* Prints how a command is used, and what it does. */
void rp_command_print_help(const struct rp_command *command);
/* Says what is wrong with a command's arguments ("unexpected argument", what) and where to read on.
 */
enum rp_cli_status rp_command_usage(const char *command, const char *wrong, const char *what);

enum rp_cli_status rp_cmd_health(int argc, char **argv);
enum rp_cli_status rp_cmd_help(int argc, char **argv);
enum rp_cli_status rp_cmd_keygen(int argc, char **argv);
