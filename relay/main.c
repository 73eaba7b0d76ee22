/*
 * longarm-relay - a gateway at the edge of a site.
 */
#include "common/log.h"
#include "common/member_program.h"
#include "relay/relay.h"

#define RELAY_PORT 10953
#define STALE_MS   2000 /* docs/protocol.md, section 4 */

static const struct config_option options[] = {
	SETTINGS_LOG,
	SETTINGS_LINK,
	{ .section = "relay",
	    .key = "state",
	    .type = CONFIG_PATH,
	    .initial = "/var/lib/longarm-relay",
	    .needs_restart = true,
	    .flag = "state",
	    .help = "Directory for key, certificate and route table" },
	{ .section = "relay",
	    .key = "listen",
	    .type = CONFIG_ENDPOINT,
	    .initial = ":10953",
	    .needs_restart = true,
	    .flag = "listen",
	    .help = "Where links are accepted; port 0: the kernel chooses" },
	{ .section = "relay",
	    .key = "advertise",
	    .type = CONFIG_STRING,
	    .flag = "advertise",
	    .help = "HOST:PORT at which a server shall dial this relay; unset: "
		    "this relay dials the server" },
	{ .section = "relay",
	    .key = "serves",
	    .type = CONFIG_STRING,
	    .help = "HOST:PORT at which machines and relays behind this one "
		    "dial it; the server tells it to those that have a route "
		    "through it" },
	{ .section = "relay",
	    .key = "dial",
	    .type = CONFIG_BOOL,
	    .initial = "yes",
	    .needs_restart = true,
	    .help = "Dial the servers and relays that it joined through" },
	{ .section = "relay",
	    .key = "streams",
	    .type = CONFIG_INT,
	    .initial = "20000",
	    .min = 1,
	    .max = 1000000,
	    .help = "Streams carried at once" },
	{ .section = "relay",
	    .key = "enrolments",
	    .type = CONFIG_INT,
	    .initial = "16",
	    .min = 1,
	    .max = 1000,
	    .help = "Enrolments passed through at once" },
	{ .section = "relay",
	    .key = "presence",
	    .type = CONFIG_DURATION,
	    .initial = "1s",
	    .min = 1,
	    .max = 60000,
	    .help = "Presence is told to servers at most so often" },
	{ .section = "relay",
	    .key = "drain",
	    .type = CONFIG_DURATION,
	    .initial = "5s",
	    .min = 0,
	    .max = 600000,
	    .help = "When told to stop, streams that have no other way may "
		    "go on so long" },
	{ .section = "relay",
	    .key = "workers",
	    .type = CONFIG_INT,
	    .initial = "2",
	    .min = 1,
	    .max = 64,
	    .needs_restart = true,
	    .help = "Threads for TLS handshakes" },
	{ .section = "debug",
	    .key = "record",
	    .type = CONFIG_PATH,
	    .needs_restart = true,
	    .help = "Append every payload byte carried to this file: proof of "
		    "what a relay can see" },
};

static void read_settings(const struct config *c, struct relay_settings *out)
{
	*out = (struct relay_settings){
		.state_dir = config_path(c, "relay", "state"),
		.dials_up = config_bool(c, "relay", "dial"),
		.streams_max = (uint32_t)config_int(c, "relay", "streams"),
		.enrols_max = (uint32_t)config_int(c, "relay", "enrolments"),
		.presence_ms =
		    (uint32_t)config_duration_ms(c, "relay", "presence"),
		.stale_ms = STALE_MS,
		.drain_ms = (uint32_t)config_duration_ms(c, "relay", "drain"),
		.workers = (unsigned)config_int(c, "relay", "workers"),
		.record = config_path(c, "debug", "record"),
	};
	out->listens =
	    config_endpoint(c, "relay", "listen", &out->listen) == RC_OK;
	settings_link(c, &out->link);
}

static MUST_CHECK enum rc read_serves(
    const struct config *c, char out[ENDPOINT_SIZE], struct fault *fault)
{
	const char *text = config_string(c, "relay", "serves");
	struct endpoint endpoint;
	enum rc rc;

	out[0] = '\0';
	if (text == NULL || *text == '\0')
		return RC_OK;
	rc = endpoint_parse(text, RELAY_PORT, &endpoint, fault);
	if (rc == RC_OK)
		endpoint_format(&endpoint, out);
	return rc;
}

static enum command_exit serve(
    struct loop *loop, const struct config *c, struct fault *fault)
{
	struct relay_settings settings;
	struct relay *relay;

	read_settings(c, &settings);
	if (read_serves(c, settings.serves, fault) != RC_OK ||
	    relay_new(loop, &settings, &relay, fault) != RC_OK)
		return COMMAND_ERROR;
	log_info("relay", relay_name(relay), "listening at %s",
	    relay->listener != NULL ? listener_address(relay->listener)
				    : "no address");
	daemon_notify("READY=1");
	loop_run(loop);
	daemon_notify("STOPPING=1");
	relay_drain(relay);
	relay_free(relay);
	return COMMAND_OK;
}

static const struct member_program program = {
	.role = ROLE_RELAY,
	.name = "longarm-relay",
	.config = {
		.program = "relay",
		.file = "/etc/longarm/relay.conf",
		.options = options,
		.option_count = sizeof(options) / sizeof(options[0]),
	},
	.serve = serve,
};

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
	{ .name = "listen",
	    .argument = "HOST:PORT",
	    .help = "Where links are accepted (relay.listen)" },
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

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct command commands[] = {
	{ .name = "join",
	    .arguments = "[HOST:PORT...]",
	    .help = "Become a relay of a cluster, by a token or by files",
	    .details = "Each HOST:PORT is a server or another relay; they are "
		       "tried in turn.  Without a network, --request and "
		       "--answer are carried to the server and back.",
	    .examples = "longarm-relay join --token-file relay.token "
			"longarm.example:10943\n"
			"longarm-relay join --request web.request\n"
			"longarm-relay join --answer web.answer",
	    .options = join_options,
	    .option_count = COUNT(join_options),
	    .run = run_join },
	{ .name = "run",
	    .help = "Carry streams until told to stop",
	    .options = run_options,
	    .option_count = COUNT(run_options),
	    .run = run_run },
	{ .name = "status",
	    .help = "Who this relay is, and whether it runs",
	    .options = status_options,
	    .option_count = COUNT(status_options),
	    .run = run_status },
	{ .name = "doctor",
	    .arguments = MEMBER_DOCTOR_ARGUMENTS,
	    .help = "Why can this relay not do its work, or reach a peer?",
	    .details = MEMBER_DOCTOR_DETAILS,
	    .examples = "longarm-relay doctor --token-file relay.token "
			"longarm.example:10943",
	    .options = doctor_options,
	    .option_count = COUNT(doctor_options),
	    .run = run_doctor },
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
	.program = "longarm-relay",
	.about = "A gateway through which a Longarm server reaches machines on "
		 "a private network",
	.commands = commands,
	.command_count = COUNT(commands),
};

int main(int argc, char **argv)
{
	return command_main(&table, argc, argv);
}
