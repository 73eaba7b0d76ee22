#include "common/output.h"
#include "common/settings.h"
#include "common/wiping.h"
#include "server/api/http.h"
#include "server/cli/cli.h"
#include "server/init.h"
#include "server/restored.h"
#include "server/serve.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM "longarm-server"

/* EX_CONFIG of sysexits.h: systemd shall not start it again. */
#define EXIT_CONFIG ((enum command_exit)78)

static enum command_exit fail(const struct fault *fault)
{
	output_fault(PROGRAM, fault);
	return COMMAND_ERROR;
}

/* Loads settings; *config is the caller's. */
static MUST_CHECK enum rc load(const struct command_line *line,
    struct config **config, struct server_settings *settings)
{
	struct fault fault = { .code = REASON_NONE };
	enum rc rc = config_from_command(&server_config, line, config);

	if (rc != RC_OK)
		return rc;
	rc = server_settings_read(*config, settings, &fault);
	if (rc != RC_OK)
		(void)fail(&fault);
	return rc;
}

static void print_report(
    const struct command_line *line, const struct init_report *report)
{
	(void)printf("cluster   %s\n", report->cluster);
	(void)printf("node      %s\n", report->node);
	(void)printf("url       %s\n", report->url);
	(void)printf("ca pin    %s\n", report->ca_pin);
	(void)printf("login     %s (keep it secret)\n", report->login);
	(void)fprintf(
	    stderr, "\nNext: start the server with  longarm-server serve");
	(void)config_print_same(line, stderr);
	(void)fprintf(stderr,
	    "\n      then                   longarm login --file %s\n",
	    report->login);
}

static enum command_exit run_init(const struct command_line *line)
{
	struct server_settings settings;
	struct config *config = NULL;
	size_t count = command_value_count(line, "http-name");
	const char **names = calloc(count + 1, sizeof(*names));
	struct init_request request = { .settings = &settings,
		.node = command_value(line, "name"),
		.http_names = names,
		.http_name_count = count,
		.url = command_value(line, "url") };
	struct init_report report;
	struct fault fault = { .code = REASON_NONE };
	enum command_exit result = COMMAND_ERROR;

	for (size_t i = 0; names != NULL && i < count; i++)
		names[i] = command_value_at(line, "http-name", i);
	if (names != NULL && load(line, &config, &settings) == RC_OK) {
		if (server_init(&request, &report, &fault) == RC_OK) {
			print_report(line, &report);
			result = COMMAND_OK;
		} else {
			result = fail(&fault);
		}
	}
	config_free(config);
	free((void *)names);
	return result;
}

static enum command_exit run_serve(const struct command_line *line)
{
	struct server_settings settings;
	struct fleet_settings fleet;
	struct config *config = NULL;
	struct fault fault = { .code = REASON_NONE };
	enum command_exit result = COMMAND_ERROR;
	enum rc rc = load(line, &config, &settings);

	if (rc == RC_OK) {
		settings_log(config);
		rc = server_settings_fleet(config, &fleet, &fault);
		if (rc == RC_OK)
			rc = server_serve(&settings, &fleet, &fault);
		result = rc == RC_OK ? COMMAND_OK : fail(&fault);
	}
	config_free(config);
	/* A newer schema, or a directory in use: restarting does not help. */
	return rc == RC_STATE ? EXIT_CONFIG : result;
}

static enum command_exit run_restored(const struct command_line *line)
{
	struct server_settings settings;
	struct restored_report report = { .tasks = 0 };
	struct config *config = NULL;
	struct fault fault = { .code = REASON_NONE };
	enum command_exit result = COMMAND_ERROR;

	if (load(line, &config, &settings) == RC_OK) {
		if (server_restored(&settings, &report, &fault) == RC_OK) {
			(void)printf("tasks that were open   %llu, failed\n"
				     "runs that had begun    %llu, unknown\n",
			    (unsigned long long)report.tasks,
			    (unsigned long long)report.runs);
			(void)fprintf(stderr,
			    "\nNext: start the server, look at the machines "
			    "of those tasks, order them again\n");
			result = COMMAND_OK;
		} else {
			result = fail(&fault);
		}
	}
	config_free(config);
	return result;
}

static enum command_exit run_config_check(const struct command_line *line)
{
	return config_check(&server_config, line);
}

static enum command_exit run_config_show(const struct command_line *line)
{
	return config_show(&server_config, line);
}

static const struct command_option init_options[] = {
	SERVER_COMMAND_OPTIONS,
	{ .name = "name",
	    .argument = "NODE",
	    .help = "Name of this node; the host's by default" },
	{ .name = "http-name",
	    .argument = "NAME",
	    .repeated = true,
	    .help = "Host name or address for the HTTPS certificate" },
	{ .name = "url",
	    .argument = "URL",
	    .help = "Where operators reach the HTTP API" },
};

static const struct command_option serve_options[] = {
	SERVER_COMMAND_OPTIONS,
};

static const struct command_option config_options[] = {
	SERVER_COMMAND_OPTIONS,
	OUTPUT_COMMAND_OPTION,
};

#define OPTIONS(table)                                                         \
	.options = (table), .option_count = sizeof(table) / sizeof((table)[0])

static const struct command commands[] = {
	{ .name = "init",
	    .help =
		"Make a new cluster: authorities, keys, database, first key",
	    .examples = "longarm-server init --http-name longarm.example",
	    OPTIONS(init_options),
	    .run = run_init },
	{ .name = "serve",
	    .help = "Run the server until it is told to stop",
	    OPTIONS(serve_options),
	    .run = run_serve },
	{ .name = "restored",
	    .help = "Say that the database was put back from a copy",
	    .examples = "longarm-server restored",
	    OPTIONS(serve_options),
	    .run = run_restored },
	{ .name = "config check",
	    .help = "Check the settings and say what is wrong",
	    OPTIONS(config_options),
	    .run = run_config_check },
	{ .name = "config show",
	    .help = "Show each setting and where it comes from",
	    OPTIONS(config_options),
	    .run = run_config_show },
};

static const struct command_table table = {
	.program = PROGRAM,
	.about = "Routes deployments and health checks to machines behind "
		 "relays",
	.commands = commands,
	.command_count = sizeof(commands) / sizeof(commands[0]),
};

/* `longarm` is this program by another name, with the operator's commands. */
static bool is_operator(const char *name)
{
	const char *slash = strrchr(name, '/');

	return strcmp(slash != NULL ? slash + 1 : name, "longarm") == 0;
}

static void *ssl_malloc(size_t size, const char *file, int line)
{
	(void)file, (void)line;
	return malloc(size);
}

static void *ssl_realloc(void *block, size_t size, const char *file, int line)
{
	(void)file, (void)line;
	return wiping_realloc(block, size);
}

static void ssl_free(void *block, const char *file, int line)
{
	(void)file, (void)line;
	wiping_free(block);
}

/*
 * Requests carry the root's key (ca rotate --root-key), values that are secret,
 * API keys.  Our own copies are wiped where they end; those of the libraries in
 * between are wiped with all else that they free.
 */
static void wipe_what_is_freed(void)
{
	json_set_alloc_funcs(malloc, wiping_free);
	http_wipe_what_is_freed();
	/* Its reader of PEM wipes nothing.  0: too late, so a bug of ours. */
	if (CRYPTO_set_mem_functions(ssl_malloc, ssl_realloc, ssl_free) != 1)
		abort();
}

int main(int argc, char **argv)
{
	(void)signal(SIGPIPE, SIG_IGN);
	wipe_what_is_freed();
	if (argc > 0 && is_operator(argv[0]))
		return cli_main(argc, argv);
	return command_main(&table, argc, argv);
}
