#include "server/settings.h"

#include "common/fs.h"
#include "common/settings.h"

#include <stdio.h>
#include <string.h>

#define DURATION(s, k, value, least, text)                                     \
	{                                                                      \
		.section = (s), .key = (k), .type = CONFIG_DURATION,           \
		.initial = (value), .min = (least), .max = 30LL * 86400000,    \
		.needs_restart = true, .help = (text)                          \
	}
#define COUNT(s, k, value, most, text)                                         \
	{                                                                      \
		.section = (s), .key = (k), .type = CONFIG_INT,                \
		.initial = (value), .min = 1, .max = (most),                   \
		.needs_restart = true, .help = (text)                          \
	}

static const struct config_option options[] = {
	{ .section = "server",
	    .key = "state",
	    .type = CONFIG_PATH,
	    .initial = "/var/lib/longarm-server",
	    .needs_restart = true,
	    .flag = "state",
	    .help = "State directory" },
	{ .section = "server",
	    .key = "name",
	    .type = CONFIG_STRING,
	    .needs_restart = true,
	    .help = "Name of this node, for init; the host's when unset" },
	{ .section = "server",
	    .key = "listen",
	    .type = CONFIG_ENDPOINT,
	    .initial = ":10943",
	    .needs_restart = true,
	    .flag = "listen",
	    .help = "Where relays and tentacles connect" },
	{ .section = "server",
	    .key = "advertise",
	    .type = CONFIG_ENDPOINT,
	    .needs_restart = true,
	    .flag = "advertise",
	    .help = "The address that joiners are told to dial; unset: the one"
		    " that they used" },
	COUNT(
	    "server", "workers", "4", 64, "Threads for handshakes and hashes"),
	{ .section = "http",
	    .key = "listen",
	    .type = CONFIG_ENDPOINT,
	    .initial = ":8443",
	    .needs_restart = true,
	    .flag = "http-listen",
	    .help = "Where the HTTP API listens" },
	{ .section = "http",
	    .key = "names",
	    .type = CONFIG_LIST,
	    .needs_restart = true,
	    .help = "Host names and addresses in its certificate, for init" },
	COUNT("http", "connections", "256", 10000, "Connections at a time"),
	{ .section = "http",
	    .key = "drain",
	    .type = CONFIG_DURATION,
	    .initial = "0s",
	    .max = 600000,
	    .needs_restart = true,
	    .help = "When told to stop, /readyz says 503 for so long before "
		    "the server does: time for a load balancer to notice" },
	DURATION("health", "interval", "5m", 0,
	    "Every machine is checked this often; 0s: never"),
	DURATION("health", "timeout", "1m", 1000, "Limit of one check"),
	COUNT("health", "concurrency", "512", 10000, "Checks at a time"),
	COUNT("health", "relay-concurrency", "128", 10000,
	    "Checks at a time by way of one relay"),
	{ .section = "health",
	    .key = "script",
	    .type = CONFIG_PATH,
	    .needs_restart = true,
	    .help = "File with a check of your own, run on every machine" },
	COUNT("engine", "in-flight", "500", 100000, "Runs at a time"),
	DURATION("engine", "retry-first", "1s", 10,
	    "Wait after the first failed delivery"),
	DURATION("engine", "retry-max", "1m", 10, "Longest such wait"),
	DURATION("engine", "overdue", "15s", 10,
	    "Patience beyond a script's own time limit"),
	DURATION("engine", "answer", "2m", 10, "A command without any answer"),
	DURATION("engine", "lost", "1h", 10,
	    "A cancelled run that nobody can ask about"),
	DURATION("fleet", "open", "15s", 10, "Limit of opening a seal"),
	DURATION("fleet", "request", "30s", 10, "Limit of one request"),
	DURATION("fleet", "idle", "2m", 10, "A deploy seal without a word"),
	DURATION("fleet", "table", "5s", 10,
	    "An enrolment waits so long for relays to learn of it"),
	DURATION("fleet", "presence", "200ms", 10,
	    "Changes of presence are written this often"),
	COUNT(
	    "fleet", "standing", "10000", 1000000, "Standing seals at a time"),
	COUNT("fleet", "deploys", "2000", 100000,
	    "Scripts followed at a time, and packages brought"),
	COUNT("fleet", "requests", "20000", 1000000, "Requests at a time"),
	COUNT("fleet", "enrolments", "256", 10000, "Joiners at a time"),
	{ .section = "fleet",
	    .key = "approval-retry",
	    .type = CONFIG_DURATION,
	    .initial = "5s",
	    .min = 1000,
	    .max = 300000,
	    .needs_restart = true,
	    .help = "Who waits to be approved asks again so often" },
	{ .section = "fleet",
	    .key = "flap-falls",
	    .type = CONFIG_INT,
	    .initial = "3",
	    .min = 0,
	    .max = FLAP_FALLS_MAX,
	    .help = "A relay or link that is lost so often within flap-window "
		    "is not preferred until it was steady for flap-stable; "
		    "0: it always is" },
	DURATION("fleet", "flap-window", "5m", 10, "See flap-falls"),
	DURATION("fleet", "flap-stable", "2m", 10,
	    "See flap-falls; streams go back to a better route when it was "
	    "good for so long"),
	{ .section = "fleet",
	    .key = "certificate",
	    .type = CONFIG_DURATION,
	    .initial = "14d",
	    .min = 20000,
	    .max = CA_AGENT_LIFE_S * 1000,
	    .needs_restart = true,
	    .help = "Certificates of relays and machines live so long; they "
		    "are renewed at half of it" },
	{ .section = "fleet",
	    .key = "node-certificate",
	    .type = CONFIG_DURATION,
	    .initial = "180d",
	    .min = 4000,
	    .max = CA_NODE_LIFE_S * 1000,
	    .needs_restart = true,
	    .help = "Certificates of nodes live so long; they are renewed at "
		    "half of it" },
	DURATION("fleet", "settle", "2h", 0,
	    "A rotation retires the old authorities so long after the last "
	    "member has a certificate of the new"),
	SETTINGS_LOG,
	SETTINGS_LINK,
};

const struct config_program server_config = {
	.program = "server",
	.file = "/etc/longarm/server.conf",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
};

static void read_engine(const struct config *c, struct engine_limits *e)
{
	*e = engine_limits_default();
	e->max_in_flight = (uint32_t)config_int(c, "engine", "in-flight");
	e->retry_first_ms = config_duration_ms(c, "engine", "retry-first");
	e->retry_max_ms = config_duration_ms(c, "engine", "retry-max");
	e->overdue_ms = config_duration_ms(c, "engine", "overdue");
	e->answer_ms = config_duration_ms(c, "engine", "answer");
	e->lost_ms = config_duration_ms(c, "engine", "lost");
}

enum rc server_settings_read(const struct config *config,
    struct server_settings *out, struct fault *fault)
{
	struct server_settings s = {
		.state = config_path(config, "server", "state"),
		.name = config_string(config, "server", "name"),
		.workers = (unsigned)config_int(config, "server", "workers"),
		.node_certificate_s =
		    (int64_t)config_duration_ms(
			config, "fleet", "node-certificate") /
		    1000,
		.settle_ms = config_duration_ms(config, "fleet", "settle"),
		.http_connections =
		    (uint32_t)config_int(config, "http", "connections"),
		.http_drain_ms =
		    (uint32_t)config_duration_ms(config, "http", "drain"),
		.health = {
		    .interval_ms =
			config_duration_ms(config, "health", "interval"),
		    .timeout_ms =
			config_duration_ms(config, "health", "timeout"),
		    .concurrency =
			(uint32_t)config_int(config, "health", "concurrency"),
		    .relay_concurrency = (uint32_t)config_int(
			config, "health", "relay-concurrency"),
		    .script = config_path(config, "health", "script"),
		},
	};
	enum rc rc;

	s.http_names = config_list(config, "http", "names", &s.http_name_count);
	read_engine(config, &s.engine);
	rc = config_endpoint(config, "http", "listen", &s.http);
	if (rc != RC_OK)
		fault_set(fault, REASON_BAD_CONFIG, "", "http.listen is unset");
	if (rc == RC_OK)
		*out = s;
	return rc;
}

enum rc server_path(const struct server_settings *settings, const char *name,
    char out[SERVER_PATH_SIZE], struct fault *fault)
{
	enum rc rc = fs_join(out, SERVER_PATH_SIZE, settings->state, name);

	if (rc != RC_OK)
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "the path of the state directory is longer than %d bytes",
		    SERVER_PATH_SIZE - 32);
	return rc;
}
