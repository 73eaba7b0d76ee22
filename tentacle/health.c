#include "tentacle/health.h"

#include "common/fs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK_OUTPUT_MAX 1048576 /* on disk */
#define CHECK_READ_MAX   2097152 /* with its mark, or a moment too late */

struct health {
	struct health_limits limits;
	struct run *run; /* NULL: no script */
	char dir[FS_PATH_MAX];
	struct facts facts;
	bool wants_facts;
	enum health_state state;
	int32_t exit_code;
	bool over, truncated;
	uint8_t output[HEALTH_OUTPUT_MAX];
	size_t output_len;
};

/* --- Verdicts ----------------------------------------------------------- */

static void warn(char *text, const char *what, struct bytes where,
    uint64_t free, uint64_t total)
{
	size_t used = strlen(text);

	(void)snprintf(text + used, HEALTH_WARNING_MAX - used,
	    "warning: %s%s%.*s: %llu of %llu MiB free\n", what,
	    where.len > 0 ? " " : "", (int)where.len, (const char *)where.p,
	    (unsigned long long)(free >> 20),
	    (unsigned long long)(total >> 20));
}

static bool is_low(uint64_t free, uint64_t total, uint32_t percent)
{
	return total > 0 && free / percent < total / 100 &&
	       free < total / 100 * percent;
}

enum health_state health_of_facts(
    const struct msg_facts *f, const struct health_limits *l, char *text)
{
	enum health_state state = HEALTH_HEALTHY;

	text[0] = '\0';
	for (size_t i = 0; i < f->disk_count; i++) {
		const struct msg_disk *d = &f->disks[i];

		if (l->disk_free_percent == 0 ||
		    !is_low(d->free, d->total, l->disk_free_percent))
			continue;
		warn(text, "disk", d->path, d->free, d->total);
		state = HEALTH_WARNINGS;
	}
	if (l->memory_free_percent > 0 &&
	    is_low(
		f->memory_available, f->memory_total, l->memory_free_percent)) {
		warn(text, "memory", bytes_text(""), f->memory_available,
		    f->memory_total);
		state = HEALTH_WARNINGS;
	}
	return state;
}

enum health_state health_of_end(const struct run_end *end)
{
	/* Of an end that nobody knows, nothing good is assumed. */
	if (end->state != TICKET_EXITED || end->signal != 0 ||
	    end->cause.code == REASON_TIMED_OUT)
		return HEALTH_UNHEALTHY;
	if (end->exit_code == 0)
		return HEALTH_HEALTHY;
	return end->exit_code == 2 ? HEALTH_WARNINGS : HEALTH_UNHEALTHY;
}

/* --- One check ---------------------------------------------------------- */

static void remove_dir(const char *dir)
{
	char parent[FS_PATH_MAX];
	char *slash;
	int fd;

	(void)snprintf(parent, sizeof(parent), "%s", dir);
	slash = strrchr(parent, '/');
	if (slash == NULL)
		return;
	*slash = '\0';
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	/* What stays is found and removed by the next check there. */
	if (fs_remove_tree(fd, slash + 1, NULL) != RC_OK)
		*slash = '/';
	(void)close(fd);
}

static enum rc start_script(struct health *h, const struct health_place *place,
    const struct msg_health *m, uint64_t now_ms, struct fault *fault)
{
	const struct run_spec spec = { .dir = h->dir,
		.name = "check",
		.guardian = place->guardian,
		.passing = true,
		.body = m->script,
		.ticket = "",
		.machine = place->machine,
		.timeout_ms =
		    m->timeout_ms > 0 ? m->timeout_ms : HEALTH_TIMEOUT_MS,
		.grace_ms = 1, /* the deadline is a hard one */
		.output_max = CHECK_OUTPUT_MAX };
	enum rc rc = run_prepare(&spec, fault);

	if (rc == RC_OK)
		rc = run_start(&spec, now_ms, &h->run, fault);
	return rc;
}

enum rc health_start(const struct health_place *place,
    const struct msg_health *m, uint64_t now_ms, struct health **out,
    struct fault *fault)
{
	struct health *h = calloc(1, sizeof(*h));
	enum rc rc = RC_OK;

	if (h == NULL)
		return RC_NOMEM;
	h->limits = place->limits;
	h->wants_facts = m->facts;
	(void)snprintf(h->dir, sizeof(h->dir), "%s", place->dir);
	if (m->script.len > 0) {
		remove_dir(h->dir);
		rc = start_script(h, place, m, now_ms, fault);
	}
	if (rc != RC_OK) {
		health_free(h);
		return rc;
	}
	*out = h;
	return RC_OK;
}

int health_fd(const struct health *h)
{
	return h->run != NULL ? run_fd(h->run) : -1;
}

static void add_output(struct health *h, const void *p, size_t len)
{
	size_t room = sizeof(h->output) - h->output_len;

	if (len > room) {
		h->truncated = true;
		len = room;
	}
	if (len > 0)
		memcpy(h->output + h->output_len, p, len);
	h->output_len += len;
}

static void read_output(struct health *h)
{
	char path[FS_PATH_MAX];
	uint8_t *data = NULL;
	size_t len = 0;

	if (fs_join(path, sizeof(path), h->dir, "output") != RC_OK ||
	    fs_read_file(path, CHECK_READ_MAX, &data, &len, NULL) != RC_OK)
		return;
	add_output(h, data, len);
	free(data);
}

static void conclude(struct health *h)
{
	char text[HEALTH_WARNING_MAX];
	enum health_state own;

	h->over = true;
	facts_collect(&h->facts);
	own = health_of_facts(&h->facts.msg, &h->limits, text);
	add_output(h, text, strlen(text));
	if (h->run != NULL) {
		const struct run_end *end = run_end(h->run);

		h->exit_code = end->exit_code;
		h->state = health_of_end(end);
		if (end->state != TICKET_EXITED || end->signal != 0 ||
		    end->cause.code == REASON_TIMED_OUT ||
		    end->exit_code == 127) {
			add_output(h, end->cause.text, strlen(end->cause.text));
			add_output(h, "\n", 1);
		}
		read_output(h);
	}
	if (own > h->state)
		h->state = own;
}

enum rc health_tick(struct health *h, uint64_t now_ms, uint64_t *wake_ms)
{
	enum rc rc = RC_OK;

	*wake_ms = UINT64_MAX;
	if (h->over)
		return RC_OK;
	if (h->run != NULL)
		rc = run_tick(h->run, now_ms, wake_ms);
	if (rc == RC_OK)
		conclude(h);
	return rc;
}

void health_reply(struct health *h, struct msg_health_reply *reply)
{
	struct msg_reply head = reply->reply;

	memset(reply, 0, sizeof(*reply));
	reply->reply = head;
	reply->state = h->state;
	reply->exit_code = h->exit_code;
	reply->output = bytes_of(h->output, h->output_len);
	reply->truncated = h->truncated;
	reply->has_facts = h->wants_facts;
	if (h->wants_facts)
		reply->facts = h->facts.msg;
}

void health_free(struct health *h)
{
	if (h == NULL)
		return;
	if (h->run != NULL) {
		run_free(h->run);
		remove_dir(h->dir);
	}
	free(h);
}
