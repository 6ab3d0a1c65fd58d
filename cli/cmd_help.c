/* cli/cmd_help.c — reprise help [COMMAND]. */
#include "cli/command.h"

#include <stdio.h>

static void print_all(void) {
    printf("Usage: reprise COMMAND [ARGUMENTS]\n\nTools for those who run Reprise.\n\nCommands:\n");
    for (size_t i = 0; i < rp_commands_count; i++) {
        printf("  %-10s %s\n", rp_commands[i].name, rp_commands[i].summary);
    }
    printf("\n`reprise help COMMAND` says more; `reprise --version` prints the version.\n"
           "Exit status: 0 done, 1 failed, 2 the command line was wrong.\n");
}

void rp_command_print_help(const struct rp_command *command) {
    printf("Usage: reprise %s %s\n\n%s", command->name, command->arguments, command->help);
}

enum rp_cli_status rp_cmd_help(int argc, char **argv) {
    if (argc > 2) {
        return rp_command_usage("help", "unexpected argument", argv[2]);
    }
    if (argc < 2) {
        print_all();
        return RP_CLI_OK;
    }
    const struct rp_command *command = rp_command_find(argv[1]);
    if (command == NULL) {
        return RP_CLI_USAGE;
    }
    rp_command_print_help(command);
    return RP_CLI_OK;
}
