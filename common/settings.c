#include "common/settings.h"

#include "common/log.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

void settings_log(const struct config *c)
{
	struct log_options options = LOG_OPTIONS_DEFAULT;

	if (log_level_parse(config_string(c, "log", "level"), &options.level) !=
	    RC_OK)
		options.level = LOG_LEVEL_INFO;
	if (strcmp(config_string(c, "log", "format"), "json") == 0)
		options.format = LOG_FORMAT_JSON;
	log_setup(&options);
}

static uint32_t ms(const struct config *c, const char *key)
{
	return (uint32_t)config_duration_ms(c, "link", key);
}

void settings_link(const struct config *c, struct link_config *out)
{
	struct proxy_settings *p = &out->proxy;

	link_config_default(out);
	out->ping_idle_ms = ms(c, "ping-idle");
	out->ping_busy_ms = ms(c, "ping-busy");
	out->dead_ms = ms(c, "dead");
	out->connect_ms = ms(c, "connect");
	out->handshake_ms = ms(c, "handshake");
	out->anonymous_ms = ms(c, "anonymous");
	out->user_timeout_ms = ms(c, "user-timeout");
	out->backoff_min_ms = ms(c, "backoff-min");
	out->backoff_max_ms = ms(c, "backoff-max");
	out->refresh_ms = ms(c, "refresh");
	out->handshakes_max = (uint32_t)config_int(c, "link", "handshakes");
	out->waiting_max =
	    (uint32_t)config_int(c, "link", "handshakes-waiting");
	out->anonymous_max = (uint32_t)config_int(c, "link", "anonymous-max");
	out->handshakes_per_address =
	    (uint32_t)config_int(c, "link", "handshakes-per-address");
	out->anonymous_per_address =
	    (uint32_t)config_int(c, "link", "anonymous-per-address");
	out->receive_budget = config_size(c, "link", "receive-budget");
	p->is_set = config_proxy(c, "link", "proxy", &p->proxy) == RC_OK;
	p->credentials = config_path(c, "link", "proxy-credentials");
	p->exempt = config_list(c, "link", "no-proxy", &p->exempt_count);
}

struct daemon {
	struct loop *loop;
	struct loop_signal *term, *interrupt, *hangup;
	void (*reload)(void *arg);
	void *arg;
};

static void on_stop(void *arg)
{
	struct daemon *d = arg;

	log_info("daemon", NULL, "told to stop");
	daemon_notify("STOPPING=1");
	loop_stop(d->loop);
}

static void on_hangup(void *arg)
{
	struct daemon *d = arg;

	if (d->reload != NULL)
		d->reload(d->arg);
}

enum rc daemon_new(struct loop *loop, void (*reload)(void *arg), void *arg,
    struct daemon **out)
{
	const struct rlimit none = { 0, 0 };
	struct daemon *d = calloc(1, sizeof(*d));
	enum rc rc;

	if (d == NULL)
		return RC_NOMEM;
	d->loop = loop;
	d->reload = reload;
	d->arg = arg;
	(void)umask(077);
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)signal(SIGPIPE, SIG_IGN);
	rc = loop_signal_new(loop, SIGTERM, on_stop, d, &d->term);
	if (rc == RC_OK)
		rc = loop_signal_new(loop, SIGINT, on_stop, d, &d->interrupt);
	if (rc == RC_OK)
		rc = loop_signal_new(loop, SIGHUP, on_hangup, d, &d->hangup);
	if (rc != RC_OK) {
		daemon_free(d);
		return rc;
	}
	*out = d;
	return RC_OK;
}

void daemon_free(struct daemon *d)
{
	if (d == NULL)
		return;
	loop_signal_free(d->term);
	loop_signal_free(d->interrupt);
	loop_signal_free(d->hangup);
	free(d);
}

void daemon_notify(const char *state)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes it */
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = path != NULL ? strlen(path) : 0;
	ssize_t sent;
	int fd;

	if (len < 2 || len >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, path, len);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* Nobody listening is no reason to fail. */
	sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL,
	    (struct sockaddr *)&to,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	(void)sent;
	(void)close(fd);
}
