/* command_private.h - what the command_*.c files share; for nobody else. */
#ifndef COMMON_COMMAND_PRIVATE_H
#define COMMON_COMMAND_PRIVATE_H

#include "common/command.h"

/* The options of a command, then those of its table. */
size_t command_option_total(
    const struct command_table *table, const struct command *command);
const struct command_option *command_option_at(
    const struct command_table *table, const struct command *command,
    size_t index);
/* Is prefix the first words of name ("machine" of "machine list")? */
bool command_name_within(const char *name, const char *prefix);

#endif
