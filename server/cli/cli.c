#include "server/cli/cli.h"

#include "common/output.h"
#include "common/xalloc.h"
#include "server/cli/commands.h"

#include <signal.h>
#include <stdlib.h>

const struct command_option cli_options[] = {
	OUTPUT_COMMAND_OPTION,
};
const size_t cli_option_count = COUNT_OF(cli_options);

static const struct command *const tables[] = {
	access_commands,
	ca_commands,
	fleet_commands,
	join_commands,
	lock_commands,
	note_commands,
	project_commands,
	push_commands,
	relay_commands,
	route_commands,
	task_commands,
	work_commands,
};

const struct command *cli_command(size_t i)
{
	for (size_t t = 0; t < COUNT_OF(tables); t++) {
		for (const struct command *c = tables[t]; c->name != NULL;
		     c++) {
			if (i-- == 0)
				return c;
		}
	}
	return NULL;
}

int cli_main(int argc, char **argv)
{
	struct command_table table = { .program = "longarm",
		.about = "deploy software to machines behind relays",
		.options = cli_options,
		.option_count = cli_option_count };
	struct command *all;
	const struct command *one;
	size_t count = 0;
	int code;

	while (cli_command(count) != NULL)
		count++;
	all = xcalloc(count, sizeof(*all));
	for (size_t i = 0; (one = cli_command(i)) != NULL; i++)
		all[i] = *one;
	table.commands = all;
	table.command_count = count;
	(void)signal(SIGPIPE, SIG_IGN);
	code = command_main(&table, argc, argv);
	free(all);
	return code;
}
