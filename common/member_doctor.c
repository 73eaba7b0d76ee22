#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/member.h"
#include "common/member_program_private.h"
#include "common/probe.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SPACE_LEAST ((uint64_t)64 << 20)

static const struct output_column columns[] = {
	{ .name = "check", .header = "CHECK" },
	{ .name = "ok", .header = "OK" },
	{ .name = "detail", .header = "DETAIL" },
	{ .name = "reason", .header = "REASON" },
	{ .name = "advice", .header = "ADVICE" },
};

struct doctor {
	const struct member_program *program;
	const struct config *config;
	struct output *rows;
	bool by_line;             /* for people: each as soon as it is known */
	bool failed, unreachable; /* here; at or on the way to a peer */
};

/* --- Findings ------------------------------------------------------------- */

static void add(struct doctor *d, const char *check, enum reason code, bool ok,
    const char *detail)
{
	const char *advice =
	    ok || code == REASON_NONE ? NULL : reason_advice(code);

	output_row(d->rows);
	output_text(d->rows, check);
	output_bool(d->rows, ok);
	output_text(d->rows, detail);
	output_text(d->rows, advice != NULL ? reason_name(code) : NULL);
	output_text(d->rows, advice);
	if (!d->by_line)
		return;
	output_colour(
	    stdout, ok ? OUTPUT_GREEN : OUTPUT_RED, "%-4s", ok ? "ok" : "FAIL");
	(void)printf(" %s: ", check);
	output_safe(stdout, detail);
	(void)fputc('\n', stdout);
	if (advice != NULL)
		(void)printf("     %s\n", advice);
	(void)fflush(stdout);
}

static void good(struct doctor *d, const char *check, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void good(struct doctor *d, const char *check, const char *format, ...)
{
	char text[FAULT_TEXT_MAX + ENDPOINT_SIZE];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	add(d, check, REASON_NONE, true, text);
}

static void bad(struct doctor *d, const char *check, const struct fault *fault)
{
	d->failed = true;
	add(d, check, fault->code, false, fault->text);
}

/* --- This host ------------------------------------------------------------ */

static const char *state_dir(const struct doctor *d)
{
	return config_path(d->config, d->program->config.program, "state");
}

static void check_space(struct doctor *d, const char *check, const char *dir)
{
	struct fault fault;
	uint64_t bytes = 0;

	if (fs_free_bytes(dir, &bytes) == RC_OK && bytes >= SPACE_LEAST) {
		good(d, check, "%s: %llu MiB free", dir,
		    (unsigned long long)(bytes >> 20));
		return;
	}
	fault_set(&fault, REASON_NO_SPACE, "",
	    "%s: %llu MiB free, of the %llu that are needed at least", dir,
	    (unsigned long long)(bytes >> 20),
	    (unsigned long long)(SPACE_LEAST >> 20));
	bad(d, check, &fault);
}

static void check_state(struct doctor *d, bool may_be_new)
{
	const char *dir = state_dir(d);
	struct fault fault;

	if (may_be_new && access(dir, F_OK) != 0) {
		good(d, "state", "%s is not there yet: join makes it", dir);
		return;
	}
	if (fs_check_private(dir, &fault) != RC_OK) {
		bad(d, "state", &fault);
		return;
	}
	if (access(dir, R_OK | W_OK | X_OK) != 0) {
		fault_set(&fault, REASON_BAD_CONFIG, "",
		    "%s cannot be written by this user", dir);
		bad(d, "state", &fault);
		return;
	}
	check_space(d, "state", dir);
}

static void check_apps(struct doctor *d)
{
	const char *dir;

	if (d->program->role != ROLE_TENTACLE)
		return;
	dir = config_path(d->config, d->program->config.program, "apps");
	if (access(dir, F_OK) != 0)
		good(d, "apps",
		    "%s is not there yet: the first package makes "
		    "it",
		    dir);
	else
		check_space(d, "apps", dir);
}

static void check_proxy(struct doctor *d, const struct proxy_settings *p)
{
	struct proxy_credentials credentials;
	char at[ENDPOINT_SIZE];
	struct fault fault;

	if (!p->is_set)
		return;
	endpoint_format(&p->proxy.at, at);
	if (p->credentials == NULL) {
		good(d, "proxy", "dialling by %s, without credentials", at);
		return;
	}
	if (proxy_credentials_read(p->credentials, &credentials, &fault) !=
	    RC_OK) {
		bad(d, "proxy", &fault);
		return;
	}
	proxy_credentials_fini(&credentials);
	good(d, "proxy", "dialling by %s, with the credentials in %s", at,
	    p->credentials);
}

static void check_clock(struct doctor *d, const struct member *m, int64_t now)
{
	int64_t begin = identity_not_before_s(m->identity);
	char today[CERTS_DATE_SIZE], first[CERTS_DATE_SIZE];
	struct fault fault;

	certs_date(now, today);
	certs_date(begin, first);
	if (now + TRUST_SKEW_S >= begin) {
		good(d, "clock", "%s here; our certificate is of %s", today,
		    first);
		return;
	}
	fault_set(&fault, REASON_CLOCK, "",
	    "%s here, but our certificate was made at %s", today, first);
	bad(d, "clock", &fault);
}

static void check_identity(
    struct doctor *d, const struct member *m, int64_t now)
{
	const struct trust_check check = {
		.now_s = now,
		.roles = TRUST_ROLE(d->program->role),
	};
	char last[CERTS_DATE_SIZE];
	struct peer self;
	struct fault fault = { .code = REASON_NONE };

	certs_date(identity_not_after_s(m->identity), last);
	if (trust_verify(m->trust, identity_chain(m->identity), &check, &self,
		&fault) == RC_OK)
		good(d, "identity", "%s %s of cluster %s, certificate until %s",
		    d->program->role == ROLE_RELAY ? "relay" : "machine",
		    m->name, member_cluster(m), last);
	else
		bad(d, "identity", &fault);
}

/* --- Peers ---------------------------------------------------------------- */

static void unreachable(struct doctor *d, const char *check, const char *label,
    const struct fault *fault)
{
	char text[FAULT_TEXT_MAX + ENDPOINT_SIZE];
	size_t len = strlen(label);

	d->unreachable = true;
	/* Most of them begin with who it is about. */
	if (strncmp(fault->text, label, len) == 0)
		(void)snprintf(text, sizeof(text), "%s", fault->text);
	else
		(void)snprintf(
		    text, sizeof(text), "%s: %s", label, fault->text);
	add(d, check, fault->code, false, text);
}

static void report_tls(
    struct doctor *d, const char *label, const struct probe_result *r)
{
	const char *check = r->fault.code == REASON_CLOCK ? "clock"
	                    : r->fault.code == REASON_WRONG_IDENTITY ||
	                            r->fault.code == REASON_REVOKED ||
	                            r->fault.code == REASON_EXPIRED
	                        ? "identity"
	                        : "tls";

	unreachable(d, check, label, &r->fault);
}

static void report_done(struct doctor *d, const char *label,
    const struct probe_result *r, const char *proof)
{
	char last[CERTS_DATE_SIZE];
	struct fault fault;

	if (r->peer.role == ROLE_ANONYMOUS) {
		fault_set(&fault, REASON_EXPIRED, "",
		    "it has no certificate that is valid");
		unreachable(d, "identity", label, &fault);
		return;
	}
	certs_date(r->peer.not_after_s, last);
	good(d, "tls", "%s: handshake done with %s", label, r->address);
	good(d, "identity",
	    "%s: it is %s %s, proven by %s, certificate until "
	    "%s",
	    label, role_name(r->peer.role), r->peer.id.name, proof, last);
}

static void report(struct doctor *d, const struct probe *probe,
    const struct probe_result *r, const char *proof)
{
	const char *label = probe->label;
	char at[ENDPOINT_SIZE];

	endpoint_format(&probe->endpoint, at);
	if (r->addresses[0] != '\0')
		good(d, "dns", "%s: %s is %s", label, probe->endpoint.host,
		    r->addresses);
	if (r->stage > PROBE_CONNECT)
		good(d, r->by_proxy ? "proxy" : "tcp", "%s: %s %s", label,
		    r->by_proxy ? "it opened a way to" : "connected to",
		    r->address);
	switch (r->stage) {
	case PROBE_NAME:
		unreachable(d, "dns", label, &r->fault);
		break;
	case PROBE_PROXY:
		unreachable(d, "proxy", label, &r->fault);
		break;
	case PROBE_CONNECT:
		unreachable(d, "tcp", label, &r->fault);
		break;
	case PROBE_TLS:
		report_tls(d, label, r);
		break;
	case PROBE_DONE:
		report_done(d, label, r, proof);
		break;
	}
}

static void look(struct doctor *d, struct probe *probe, const char *proof)
{
	struct probe_result result;

	settings_link(d->config, &probe->link);
	probe_run(probe, &result);
	report(d, probe, &result, proof);
}

static void look_at_peer(
    struct doctor *d, const struct member *m, const struct msg_peer *peer)
{
	char label[NAME_SIZE + 16];
	struct probe probe = {
		.label = label,
		.expect = { .roles = TRUST_ROLE(peer->role),
		    .name = peer->name },
		.contexts = m->contexts,
	};
	struct fault fault;

	(void)snprintf(
	    label, sizeof(label), "%s %s", role_name(peer->role), peer->name);
	if (peer->endpoint[0] == '\0')
		good(d, "peer", "%s dials us: nothing to try from here", label);
	else if (!config_bool(d->config, d->program->config.program, "dial"))
		good(d, "peer", "%s is not dialled: dial = no", label);
	else if (endpoint_parse(peer->endpoint, 0, &probe.endpoint, &fault) !=
		 RC_OK)
		bad(d, "peer", &fault);
	else
		look(d, &probe, "the cluster's root");
}

/* What the command line names, in the eyes of contexts. */
static void look_at_arguments(struct doctor *d, const struct command_line *line,
    struct tls_contexts *contexts, unsigned roles, const char *proof)
{
	struct endpoint endpoints[DIAL_ENDPOINTS_MAX];
	char label[ENDPOINT_SIZE];
	struct probe probe = {
		.label = label,
		.expect = { .roles = roles },
		.contexts = contexts,
	};
	struct fault fault;
	size_t count;

	if (member_read_endpoints(line, endpoints, &count, &fault) != RC_OK) {
		bad(d, "arguments", &fault);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		probe.endpoint = endpoints[i];
		endpoint_format(&endpoints[i], label);
		look(d, &probe, proof);
	}
}

/* Before joining: would this token and these addresses do? */
static void check_token(struct doctor *d, const struct command_line *line)
{
	struct token token = { .id = "" };
	struct trust *trust = NULL;
	struct tls_contexts *contexts = NULL;
	struct fault fault = { .code = REASON_MEMORY, .text = "out of memory" };
	enum rc rc = member_read_token(
	    command_value(line, "token-file"), &token, &fault);

	if (rc == RC_OK)
		rc = trust_new_pinned(token.cluster, token.root_hash, &trust);
	if (rc == RC_OK)
		rc = tls_contexts_new(NULL, trust, &contexts, &fault);
	if (rc != RC_OK) {
		bad(d, "token", &fault);
	} else {
		good(d, "token", "%s, for cluster %s", token.id, token.cluster);
		look_at_arguments(d, line, contexts,
		    TRUST_ROLE(ROLE_SERVER) | TRUST_ROLE(ROLE_RELAY),
		    "the token's pin");
	}
	tls_contexts_unref(contexts);
	trust_unref(trust);
	token_fini(&token);
}

/* --- All ------------------------------------------------------------------ */

static void check_member(
    struct doctor *d, const struct member *m, const struct command_line *line)
{
	int64_t now = clock_wall_ms() / 1000;

	check_clock(d, m, now);
	check_identity(d, m, now);
	if (command_has(line, "token-file"))
		return;
	if (command_argument_count(line) > 0)
		look_at_arguments(
		    d, line, m->contexts, TRUST_ANY_ROLE, "the cluster's root");
	else
		for (size_t i = 0; i < m->peer_count; i++)
			look_at_peer(d, m, &m->peers[i]);
}

static void check_all(struct doctor *d, const struct command_line *line)
{
	bool has_token = command_has(line, "token-file");
	struct member *member = NULL;
	struct link_config link;
	struct fault fault;
	enum rc rc;

	settings_link(d->config, &link);
	check_state(d, has_token);
	check_apps(d);
	check_proxy(d, &link.proxy);
	rc = member_look(state_dir(d), &member, &fault);
	if (rc == RC_OK) {
		check_member(d, member, line);
	} else if (rc == RC_NOTFOUND && has_token) {
		good(d, "identity", "none yet: %s join makes it",
		    d->program->name);
	} else {
		if (rc == RC_NOTFOUND)
			fault_set(&fault, REASON_NONE, "",
			    "none yet: %s join --token-file FILE HOST:PORT",
			    d->program->name);
		bad(d, "identity", &fault);
	}
	member_close(member);
	if (has_token)
		check_token(d, line);
}

enum command_exit member_doctor(
    const struct member_program *p, const struct command_line *line)
{
	enum output_format format = output_format_of(line);
	const char *file = command_value(line, "config");
	const struct fault unread = {
		.code = REASON_BAD_CONFIG,
		.text = "the settings are not understood",
	};
	struct config *config = NULL;
	struct doctor d = {
		.program = p,
		.by_line = format == OUTPUT_TABLE || format == OUTPUT_WIDE,
	};
	enum rc rc =
	    output_new(columns, sizeof(columns) / sizeof(columns[0]), &d.rows);

	if (rc != RC_OK)
		return COMMAND_ERROR;
	log_set_level(LOG_LEVEL_ERROR); /* the findings say it all */
	if (config_from_command(&p->config, line, &config) == RC_OK) {
		d.config = config;
		if (file == NULL)
			file = p->config.file;
		good(&d, "config", "%s%s", file,
		    access(file, R_OK) == 0 ? " is understood"
					    : " is not there: defaults");
		check_all(&d, line);
	} else {
		bad(&d, "config", &unread);
	}
	if (!d.by_line)
		rc = output_print(d.rows, format, stdout);
	output_free(d.rows);
	config_free(config);
	if (d.failed || rc != RC_OK)
		return COMMAND_ERROR;
	return d.unreachable ? COMMAND_MACHINE_UNREACHABLE : COMMAND_OK;
}
