/*
 * longarm-tentacle - the agent on a machine.
 */
#include "common/fs.h"
#include "common/log.h"
#include "common/member_program.h"
#include "tentacle/carrier.h"
#include "tentacle/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct config_option options[] = {
	SETTINGS_LOG,
	SETTINGS_LINK,
	{ .section = "tentacle",
	    .key = "state",
	    .type = CONFIG_PATH,
	    .initial = "/var/lib/longarm-tentacle",
	    .needs_restart = true,
	    .flag = "state",
	    .help = "Directory for key, certificate, journal and runs" },
	{ .section = "tentacle",
	    .key = "apps",
	    .type = CONFIG_PATH,
	    .initial = "/opt/longarm",
	    .needs_restart = true,
	    .flag = "apps",
	    .help = "Directory under which packages are installed" },
	{ .section = "tentacle",
	    .key = "listen",
	    .type = CONFIG_ENDPOINT,
	    .needs_restart = true,
	    .flag = "listen",
	    .help = "Accept links here, usually :10933; unset: only dial" },
	{ .section = "tentacle",
	    .key = "advertise",
	    .type = CONFIG_STRING,
	    .flag = "advertise",
	    .help = "HOST:PORT at which its relay or server shall dial this "
		    "machine; unset: this machine dials" },
	{ .section = "tentacle",
	    .key = "dial",
	    .type = CONFIG_BOOL,
	    .initial = "yes",
	    .needs_restart = true,
	    .help = "Dial the relay or server that it joined through" },
	{ .section = "tentacle",
	    .key = "home",
	    .type = CONFIG_PATH,
	    .initial = "/",
	    .help = "HOME of scripts" },
	{ .section = "tentacle",
	    .key = "running",
	    .type = CONFIG_INT,
	    .initial = "8",
	    .min = 1,
	    .max = 1000,
	    .help = "Scripts at once; others wait" },
	{ .section = "tentacle",
	    .key = "lock",
	    .type = CONFIG_STRING,
	    .is_name = true,
	    .initial = "",
	    .needs_restart = true,
	    .help = "Lock of scripts whose step names none: one at a time" },
	{ .section = "tentacle",
	    .key = "open",
	    .type = CONFIG_INT,
	    .initial = "64",
	    .min = 1,
	    .max = 10000,
	    .help = "Runs accepted and not ended; more are refused" },
	{ .section = "tentacle",
	    .key = "log-max",
	    .type = CONFIG_SIZE,
	    .initial = "64M",
	    .min = 4096,
	    .max = 1099511627776,
	    .help = "Output kept of one run" },
	{ .section = "tentacle",
	    .key = "packages-max",
	    .type = CONFIG_SIZE,
	    .initial = "4G",
	    .max = 1125899906842624,
	    .help = "Staged packages that are kept, all together" },
	{ .section = "tentacle",
	    .key = "packages-age",
	    .type = CONFIG_DURATION,
	    .initial = "30d",
	    .min = 86400000,
	    .max = 31536000000,
	    .help = "A staged package that was not used for so long goes" },
	{ .section = "tentacle",
	    .key = "grace",
	    .type = CONFIG_DURATION,
	    .initial = "10s",
	    .min = 1,
	    .max = 3600000,
	    .help = "Between TERM and KILL of a cancelled script" },
	{ .section = "tentacle",
	    .key = "follow",
	    .type = CONFIG_DURATION,
	    .initial = "100ms",
	    .min = 1,
	    .max = 60000,
	    .help = "How often a followed log is looked at" },
	{ .section = "tentacle",
	    .key = "net-user",
	    .type = CONFIG_STRING,
	    .needs_restart = true,
	    .help = "User of the process that has the network, when run by "
		    "root; unset: longarm, if there is one" },
	{ .section = "tentacle",
	    .key = "workers",
	    .type = CONFIG_INT,
	    .initial = "2",
	    .min = 1,
	    .max = 64,
	    .needs_restart = true,
	    .help = "Threads for handshakes, hashing and unpacking, in each "
		    "of both processes" },
};

static void read_settings(const struct config *c, struct agent_settings *out)
{
	*out = (struct agent_settings){
		.state_dir = config_path(c, "tentacle", "state"),
		.apps_dir = config_path(c, "tentacle", "apps"),
		.home = config_path(c, "tentacle", "home"),
		.dials = config_bool(c, "tentacle", "dial"),
		.workers = (unsigned)config_int(c, "tentacle", "workers"),
		.follow_ms =
		    (uint32_t)config_duration_ms(c, "tentacle", "follow"),
		.grace_ms = config_duration_ms(c, "tentacle", "grace"),
		.log_max = config_size(c, "tentacle", "log-max"),
		.running_max = (size_t)config_int(c, "tentacle", "running"),
		.lock = config_string(c, "tentacle", "lock"),
		.packages_max = config_size(c, "tentacle", "packages-max"),
		.packages_age_s =
		    config_duration_ms(c, "tentacle", "packages-age") / 1000,
		.open_max = (size_t)config_int(c, "tentacle", "open"),
	};
	out->listens =
	    config_endpoint(c, "tentacle", "listen", &out->listen) == RC_OK;
	settings_link(c, &out->link);
}

/* --- The two processes ---------------------------------------------------- */

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
/* Program, command, --config FILE, and --set SETTING for each option. */
#define ARGS_MAX (4 + 2 * COUNT(options))

struct args {
	char *list[ARGS_MAX + 1];
	size_t count;
};

static void args_fini(struct args *a)
{
	for (size_t i = 0; i < a->count; i++)
		free(a->list[i]);
}

static MUST_CHECK enum rc add_setting(
    struct args *a, const struct config_item *item)
{
	const struct config_option *o = item->option;
	char *set = strdup("--set");

	if (set == NULL)
		return RC_NOMEM;
	a->list[a->count++] = set;
	if (asprintf(&a->list[a->count], "%s.%s=%s", o->section, o->key,
		item->value) < 0)
		return RC_NOMEM;
	a->count++;
	return RC_OK;
}

/* The settings as they are now, whatever becomes of their files. */
static MUST_CHECK enum rc args_for_network(
    const struct config *c, struct args *a)
{
	static const char *const first[] = { "longarm-tentacle", "net",
		"--config", "/dev/null" };
	enum rc rc = RC_OK;

	memset(a, 0, sizeof(*a));
	for (size_t i = 0; i < COUNT(first); i++) {
		a->list[a->count] = strdup(first[i]);
		if (a->list[a->count] == NULL)
			return RC_NOMEM;
		a->count++;
	}
	for (size_t i = 0; i < config_item_count(c) && rc == RC_OK; i++) {
		const struct config_item item = config_item_at(c, i);

		if (item.value != NULL && strcmp(item.origin, "default") != 0)
			rc = add_setting(a, &item);
	}
	return rc;
}

/* Scripts begin in other directories than ours. */
struct places {
	char state[FS_PATH_MAX], apps[FS_PATH_MAX];
};

static MUST_CHECK enum rc find_places(
    struct agent_settings *s, struct places *p, struct fault *fault)
{
	enum rc rc =
	    fs_absolute(p->state, sizeof(p->state), s->state_dir, fault);

	if (rc == RC_OK)
		rc = fs_absolute(p->apps, sizeof(p->apps), s->apps_dir, fault);
	s->state_dir = p->state;
	s->apps_dir = p->apps;
	return rc;
}

static enum command_exit serve(
    struct loop *loop, const struct config *c, struct fault *fault)
{
	struct agent_settings settings;
	struct places places;
	struct executor *executor = NULL;
	struct carrier *carrier = NULL;
	struct args args;
	enum command_exit code = COMMAND_ERROR;

	read_settings(c, &settings);
	if (find_places(&settings, &places, fault) != RC_OK ||
	    executor_new(loop, &settings, &executor, fault) != RC_OK)
		return COMMAND_ERROR;
	fault_set(fault, REASON_MEMORY, "", "out of memory");
	if (args_for_network(c, &args) == RC_OK &&
	    carrier_new(executor, (const char *const *)args.list, &carrier,
		fault) == RC_OK) {
		fault_clear(fault);
		loop_run(loop);
		if (!executor->failed && !carrier_has_failed(carrier))
			code = COMMAND_OK;
		executor_leave(executor);
	}
	carrier_free(carrier);
	executor_free(executor);
	args_fini(&args);
	return code;
}

static enum command_exit serve_network(
    struct loop *loop, const struct config *c, struct fault *fault)
{
	struct network_settings settings = {
		.user = config_string(c, "tentacle", "net-user"),
	};
	struct places places;

	read_settings(c, &settings.agent);
	if (find_places(&settings.agent, &places, fault) != RC_OK ||
	    network_serve(loop, &settings, fault) != RC_OK)
		return COMMAND_ERROR;
	return COMMAND_OK;
}

#define PROGRAM_CONFIG(file_)                                                  \
	{                                                                      \
		.program = "tentacle", .file = (file_), .options = options,    \
		.option_count = COUNT(options)                                 \
	}

static const struct member_program program = {
	.role = ROLE_TENTACLE,
	.name = "longarm-tentacle",
	.config = PROGRAM_CONFIG("/etc/longarm/tentacle.conf"),
	.serve = serve,
};

static const struct member_program network_program = {
	.role = ROLE_TENTACLE,
	.name = "longarm-tentacle",
	.config = PROGRAM_CONFIG(NULL),
	.serve = serve_network,
};

/* --- Commands ------------------------------------------------------------- */

static enum command_exit run_net(const struct command_line *line)
{
	return member_run(&network_program, line);
}

static enum command_exit run_run(const struct command_line *line)
{
	return member_run(&program, line);
}

static enum command_exit run_join(const struct command_line *line)
{
	return member_join(&program, line);
}

static enum command_exit run_status(const struct command_line *line)
{
	return member_status(&program, line);
}

static enum command_exit run_leave(const struct command_line *line)
{
	return member_leave(&program, line);
}

static enum command_exit run_doctor(const struct command_line *line)
{
	return member_doctor(&program, line);
}

static enum command_exit run_check(const struct command_line *line)
{
	return config_check(&program.config, line);
}

static enum command_exit run_show(const struct command_line *line)
{
	return config_show(&program.config, line);
}

static const struct command_option run_options[] = {
	CONFIG_COMMAND_OPTIONS,
	MEMBER_STATE_OPTION,
	{ .name = "apps",
	    .argument = "DIR",
	    .help = "Where packages are installed (tentacle.apps)" },
	{ .name = "listen",
	    .argument = "HOST:PORT",
	    .help = "Where links are accepted (tentacle.listen)" },
};

static const struct command_option net_options[] = {
	CONFIG_COMMAND_OPTIONS,
};

static const struct command_option join_options[] = {
	CONFIG_COMMAND_OPTIONS,
	MEMBER_STATE_OPTION,
	MEMBER_JOIN_OPTIONS,
};

static const struct command_option doctor_options[] = {
	CONFIG_COMMAND_OPTIONS,
	MEMBER_STATE_OPTION,
	OUTPUT_COMMAND_OPTION,
	MEMBER_DOCTOR_OPTION,
};

static const struct command_option status_options[] = {
	CONFIG_COMMAND_OPTIONS,
	MEMBER_STATE_OPTION,
	OUTPUT_COMMAND_OPTION,
};

static const struct command commands[] = {
	{ .name = "join",
	    .arguments = "[HOST:PORT...]",
	    .help = "Become a machine of a cluster, by a token or by files",
	    .details = "Each HOST:PORT is a server or a relay; they are "
		       "tried in turn.  Without a network, --request and "
		       "--answer are carried to the server and back.",
	    .examples = "longarm-tentacle join --token-file web.token "
			"longarm.example:10943\n"
			"longarm-tentacle join --request web.request\n"
			"longarm-tentacle join --answer web.answer",
	    .options = join_options,
	    .option_count = COUNT(join_options),
	    .run = run_join },
	{ .name = "run",
	    .help = "Serve until told to stop",
	    .options = run_options,
	    .option_count = COUNT(run_options),
	    .run = run_run },
	{ .name = "net",
	    .help = "The process of `run` that has the network",
	    .options = net_options,
	    .option_count = COUNT(net_options),
	    .hidden = true,
	    .run = run_net },
	{ .name = "status",
	    .help = "Who this machine is, and whether it runs",
	    .options = status_options,
	    .option_count = COUNT(status_options),
	    .run = run_status },
	{ .name = "doctor",
	    .arguments = MEMBER_DOCTOR_ARGUMENTS,
	    .help = "Why can this machine not do its work, or reach a peer?",
	    .details = MEMBER_DOCTOR_DETAILS,
	    .examples = "longarm-tentacle doctor --token-file web.token "
			"longarm.example:10943",
	    .options = doctor_options,
	    .option_count = COUNT(doctor_options),
	    .run = run_doctor },
	{ .name = "leave",
	    .help = "Forget the cluster: key, certificate and peers",
	    .options = run_options,
	    .option_count = COUNT(run_options),
	    .run = run_leave },
	{ .name = "config check",
	    .help = "Check the settings",
	    .options = run_options,
	    .option_count = COUNT(run_options),
	    .run = run_check },
	{ .name = "config show",
	    .help = "Show each setting and where it comes from",
	    .options = status_options,
	    .option_count = COUNT(status_options),
	    .run = run_show },
};

static const struct command_table table = {
	.program = "longarm-tentacle",
	.about = "The agent on a machine: runs what a Longarm server asks for",
	.commands = commands,
	.command_count = COUNT(commands),
};

int main(int argc, char **argv)
{
	return command_main(&table, argc, argv);
}
