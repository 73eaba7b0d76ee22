#include "common/member_program_private.h"

#include "common/clock.h"
#include "common/fs.h"
#include "common/join_file.h"
#include "common/log.h"
#include "common/member.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKEN_FILE_MAX 4096
#define TIMEOUT_MS     30000
#define TIMEOUT_MAX_MS 3600000
#define SERVER_PORT    10943

static enum command_exit exit_of(const struct fault *fault)
{
	enum reason code = fault->code;

	if (code == REASON_TOKEN || code == REASON_NOT_PERMITTED ||
	    code == REASON_REVOKED)
		return COMMAND_NOT_PERMITTED;
	if (code == REASON_DNS || code == REASON_REFUSED ||
	    code == REASON_PROXY || code == REASON_CONNECT_TIMEOUT ||
	    code == REASON_DEADLINE)
		return COMMAND_SERVER_UNREACHABLE;
	if (code == REASON_TIMED_OUT)
		return COMMAND_WAIT_TIMED_OUT;
	if (code == REASON_RELAY_DOWN || code == REASON_AGENT_DOWN)
		return COMMAND_MACHINE_UNREACHABLE;
	return COMMAND_ERROR;
}

enum rc member_read_token(
    const char *path, struct token *out, struct fault *fault)
{
	uint8_t *text = NULL;
	size_t len;
	enum rc rc;

	if (strcmp(path, "-") == 0) {
		rc = fs_read_fd(STDIN_FILENO, TOKEN_FILE_MAX, &text, &len);
		if (rc != RC_OK)
			fault_set(fault, REASON_TOKEN, "",
			    "standard input holds no token");
	} else {
		rc = fs_read_file(path, TOKEN_FILE_MAX, &text, &len, fault);
	}
	if (rc != RC_OK)
		return rc;
	rc = token_parse((const char *)text, len, out, fault);
	OPENSSL_cleanse(text, len);
	free(text);
	return rc;
}

enum rc member_read_endpoints(const struct command_line *line,
    struct endpoint *out, size_t *count, struct fault *fault)
{
	enum rc rc = RC_OK;

	*count = command_argument_count(line);
	if (*count > DIAL_ENDPOINTS_MAX) {
		fault_set(fault, REASON_TOO_MANY, "",
		    "at most %d addresses can be tried", DIAL_ENDPOINTS_MAX);
		return RC_LIMIT;
	}
	for (size_t i = 0; i < *count && rc == RC_OK; i++)
		rc = endpoint_parse(
		    command_argument(line, i), SERVER_PORT, &out[i], fault);
	return rc;
}

static void on_progress(void *arg, const char *text)
{
	(void)arg;
	(void)fprintf(stderr, "%s\n", text);
}

static void print_joined(const struct member_program *p,
    const struct command_line *line, const struct joined *j)
{
	(void)printf("name     %s\n", j->name);
	(void)printf("id       %s\n", j->id);
	(void)printf("cluster  %s\n", j->cluster);
	if (j->via[0] != '\0')
		(void)printf("route    by %s at %s\n", j->via, j->via_address);
	(void)printf("next     %s run", p->name);
	if (!config_print_same(line, stdout))
		(void)printf("      (or: systemctl enable --now %s)", p->name);
	(void)printf("\n");
}

static MUST_CHECK enum rc prepare_join(const struct command_line *line,
    const struct config *c, struct join *join, struct fault *fault)
{
	const char *timeout = command_value(line, "timeout");
	int64_t ms = TIMEOUT_MS;

	if (timeout != NULL && (config_parse_duration(timeout, &ms) != RC_OK ||
				   ms < 1 || ms > TIMEOUT_MAX_MS)) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "--timeout: 1ms to 1h, for example 30s");
		return RC_PROTO;
	}
	join->timeout_ms = (uint32_t)ms;
	join->wait_ms = timeout != NULL ? (uint32_t)ms : 0;
	settings_link(c, &join->link);
	return RC_OK;
}

/* By a token, or by files that people carry. */
static MUST_CHECK enum rc join_by_token(const struct command_line *line,
    struct join *join, struct joined *out, struct fault *fault)
{
	struct endpoint endpoints[DIAL_ENDPOINTS_MAX];
	struct token token = { .id = "" };
	enum rc rc =
	    member_read_token(command_value(line, "token-file"), &token, fault);

	join->token = &token;
	join->endpoints = endpoints;
	if (rc == RC_OK)
		rc = member_read_endpoints(
		    line, endpoints, &join->endpoint_count, fault);
	if (rc == RC_OK)
		rc = join_run(join, out, fault);
	token_fini(&token);
	join->token = NULL;
	join->endpoints = NULL;
	return rc;
}

/* Exactly one of the three ways, and addresses only with a token. */
static bool is_one_way(const struct command_line *line)
{
	bool token = command_value(line, "token-file") != NULL;
	bool request = command_value(line, "request") != NULL;
	bool answer = command_value(line, "answer") != NULL;
	bool addresses = command_argument_count(line) > 0;

	return token + request + answer == 1 && token == addresses;
}

static void print_request(const struct member_program *p,
    const struct command_line *line, const char *file)
{
	const char *noun = p->role == ROLE_RELAY ? "relay" : "machine";

	(void)printf("request  %s\n", file);
	(void)printf(
	    "next     on the server: longarm %s sign %s --out ANSWER\n", noun,
	    file);
	(void)printf("then     %s join --answer ANSWER", p->name);
	(void)config_print_same(line, stdout);
	(void)printf("\n");
}

static enum command_exit do_join(const struct member_program *p,
    const struct config *c, const struct command_line *line)
{
	const char *request = command_value(line, "request");
	const char *answer = command_value(line, "answer");
	const char *advertise =
	    config_string(c, p->config.program, "advertise");
	struct joined joined;
	struct fault fault = { .code = REASON_NONE };
	struct join join = {
		.role = p->role,
		.state_dir = config_path(c, p->config.program, "state"),
		.listen = advertise != NULL ? advertise : "",
		.progress = on_progress,
	};
	enum rc rc = prepare_join(line, c, &join, &fault);

	if (!is_one_way(line)) {
		(void)fprintf(stderr,
		    "%s join needs --token-file FILE and HOST:PORT..., or "
		    "--request FILE, or --answer FILE\n",
		    p->name);
		return COMMAND_USAGE;
	}
	if (rc == RC_OK && request != NULL)
		rc = join_write_request(&join, request, &fault);
	else if (rc == RC_OK && answer != NULL)
		rc = join_take_answer(&join, answer, &joined, &fault);
	else if (rc == RC_OK)
		rc = join_by_token(line, &join, &joined, &fault);
	if (rc != RC_OK) {
		output_fault(p->name, &fault);
		return exit_of(&fault);
	}
	if (request != NULL)
		print_request(p, line, request);
	else
		print_joined(p, line, &joined);
	return COMMAND_OK;
}

/* Whoever holds the lock is running. */
static bool is_running(const char *dir)
{
	char path[FS_PATH_MAX];
	int fd;

	if (fs_join(path, sizeof(path), dir, "lock") != RC_OK)
		return false;
	if (fs_lock(path, &fd, NULL) != RC_OK)
		return true;
	fs_unlock(fd);
	return false;
}

static const struct output_column status_columns[] = {
	{ .name = "name", .header = "NAME" },
	{ .name = "id", .header = "ID" },
	{ .name = "cluster", .header = "CLUSTER" },
	{ .name = "running", .header = "RUNNING" },
	{ .name = "starts", .header = "STARTS" },
	{ .name = "certificate_expires", .header = "CERTIFICATE EXPIRES" },
	{ .name = "peers", .header = "PEERS" },
};

static void add_peers(struct output *t, const struct member *m)
{
	char texts[PEERS_MAX][32 + NAME_SIZE + ENDPOINT_SIZE];
	const char *list[PEERS_MAX];

	for (size_t i = 0; i < m->peer_count; i++) {
		(void)snprintf(texts[i], sizeof(texts[i]), "%s %s%s%s",
		    role_name(m->peers[i].role), m->peers[i].name,
		    m->peers[i].endpoint[0] != '\0' ? " " : "",
		    m->peers[i].endpoint);
		list[i] = texts[i];
	}
	output_texts(t, list, m->peer_count);
}

static enum command_exit do_status(const struct member_program *p,
    const struct config *c, const struct command_line *line)
{
	const char *dir = config_path(c, p->config.program, "state");
	struct member *member;
	struct fault fault = { .code = REASON_NONE };
	struct output *t;
	enum rc rc = member_look(dir, &member, &fault);

	if (rc != RC_OK) {
		output_fault(p->name, &fault);
		return rc == RC_NOTFOUND ? COMMAND_NOT_FOUND : COMMAND_ERROR;
	}
	rc = output_new(status_columns,
	    sizeof(status_columns) / sizeof(status_columns[0]), &t);
	if (rc == RC_OK) {
		output_row(t);
		output_text(t, member->name);
		output_text(t, member_id(member));
		output_text(t, member_cluster(member));
		output_bool(t, is_running(dir));
		output_number(t, (int64_t)member->instance.start);
		output_time(t, identity_not_after_s(member->identity) * 1000);
		add_peers(t, member);
		rc = output_print_one(t, output_format_of(line), stdout);
		output_free(t);
	}
	member_close(member);
	return rc == RC_OK ? COMMAND_OK : COMMAND_ERROR;
}

/* A join was cut short: its key is there. */
static bool is_half_joined(const char *dir)
{
	char path[FS_PATH_MAX];

	return fs_join(path, sizeof(path), dir, "joining") == RC_OK &&
	       access(path, F_OK) == 0;
}

static enum command_exit do_leave(const struct member_program *p,
    const struct config *c, const struct command_line *line)
{
	const char *dir = config_path(c, p->config.program, "state");
	struct fault fault = { .code = REASON_NONE };

	(void)line;
	if (!member_exists(dir) && !is_half_joined(dir)) {
		fault_set(
		    &fault, REASON_NOT_FOUND, "", "%s holds no identity", dir);
		output_fault(p->name, &fault);
		return COMMAND_NOT_FOUND;
	}
	if (is_running(dir)) {
		fault_set(&fault, REASON_CONFLICT, "",
		    "%s is running on %s: stop it first", p->name, dir);
		output_fault(p->name, &fault);
		return COMMAND_ERROR;
	}
	if (member_remove(dir, &fault) != RC_OK) {
		output_fault(p->name, &fault);
		return COMMAND_ERROR;
	}
	(void)fprintf(stderr,
	    "key, certificate and peers are gone from %s; applications and "
	    "logs stay.\nOn the server: longarm %s remove NAME\n",
	    dir, p->role == ROLE_RELAY ? "relay" : "machine");
	return COMMAND_OK;
}

/* --- The loop of a program ------------------------------------------------ */

static enum command_exit do_run(const struct member_program *p,
    const struct config *c, const struct command_line *line)
{
	struct loop *loop = NULL;
	struct daemon *daemon = NULL;
	struct fault fault = { .code = REASON_MEMORY, .text = "out of memory" };
	enum command_exit code = COMMAND_ERROR;

	(void)line;
	settings_log(c);
	if (loop_new(&loop) == RC_OK &&
	    daemon_new(loop, NULL, NULL, &daemon) == RC_OK) {
		fault_clear(&fault);
		code = p->serve(loop, c, &fault);
	}
	if (code != COMMAND_OK && fault.code != REASON_NONE)
		log_error(p->config.program, NULL, "%s", fault.text);
	daemon_free(daemon);
	loop_free(loop);
	log_flush();
	return code;
}

static enum command_exit with_config(const struct member_program *p,
    const struct command_line *line,
    enum command_exit (*run)(const struct member_program *p,
	const struct config *c, const struct command_line *line))
{
	struct config *c;
	enum command_exit code;

	if (config_from_command(&p->config, line, &c) != RC_OK)
		return COMMAND_ERROR;
	code = run(p, c, line);
	config_free(c);
	return code;
}

enum command_exit member_run(
    const struct member_program *p, const struct command_line *line)
{
	return with_config(p, line, do_run);
}

enum command_exit member_join(
    const struct member_program *p, const struct command_line *line)
{
	return with_config(p, line, do_join);
}

enum command_exit member_status(
    const struct member_program *p, const struct command_line *line)
{
	return with_config(p, line, do_status);
}

enum command_exit member_leave(
    const struct member_program *p, const struct command_line *line)
{
	return with_config(p, line, do_leave);
}
