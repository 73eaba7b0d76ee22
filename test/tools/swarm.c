/*
 * swarm join DIR COUNT TOKEN_FILE HOST:PORT - make COUNT machines.
 * swarm run DIR COUNT [KEY=MS ...] [first=N] - be COUNT of them, from the N-th
 * on (1), in one process.
 *
 * They are tentacles as any: each has a state directory (DIR/0001 ...), key,
 * certificate and journal of its own, dials its peers with full TLS, and
 * answers as the real program does, for it is the real program's agent.c,
 * executor.c and below; only both sides' process, loop, workers and log are
 * shared.  Scripts run, too.
 *
 * join enrols with JOINERS at a time; those that have joined are left alone, so
 * it can be repeated.  run says "ready" once all are loaded, and ends at
 * SIGTERM.  KEY is a time of the links: ping-idle, ping-busy, dead,
 * user-timeout, backoff-min, backoff-max.
 */
#include "common/fs.h"
#include "common/join.h"
#include "common/log.h"
#include "common/settings.h"
#include "test/support/guardian.h"
#include "test/support/one_process.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define COUNT_MAX   100000U
#define JOINERS     12
#define JOIN_MS     30000
#define JOIN_TRIES  5
#define RUN_WORKERS 2

struct swarm {
	const char *dir;
	unsigned count;
	unsigned first; /* of those that are run; from 0 */
	struct link_config link;
};

static int complain(const char *what, const char *why)
{
	(void)fprintf(stderr, "swarm: %s: %s\n", what, why);
	return 1;
}

static void place_of(const struct swarm *s, unsigned i, char out[FS_PATH_MAX])
{
	(void)snprintf(out, FS_PATH_MAX, "%s/%04u", s->dir, i + 1);
}

/* --- join ----------------------------------------------------------------- */

struct joiners {
	const struct swarm *swarm;
	const struct token *token;
	struct endpoint endpoint;
	atomic_uint next, failed;
};

static MUST_CHECK enum rc join_one(
    const struct joiners *j, unsigned i, struct fault *fault)
{
	char place[FS_PATH_MAX], name[32];
	struct joined joined;
	const struct join join = {
		.role = ROLE_TENTACLE,
		.state_dir = place,
		.token = j->token,
		.endpoints = &j->endpoint,
		.endpoint_count = 1,
		.listen = "",
		.hostname = name,
		.timeout_ms = JOIN_MS,
		.link = j->swarm->link,
	};
	enum rc rc = RC_AGAIN;

	place_of(j->swarm, i, place);
	(void)snprintf(name, sizeof(name), "swarm-%04u", i + 1);
	for (int k = 0; k < JOIN_TRIES && rc != RC_OK && rc != RC_EXISTS; k++)
		rc = join_run(&join, &joined, fault);
	return rc == RC_EXISTS ? RC_OK : rc;
}

static void *join_some(void *arg)
{
	struct joiners *j = arg;
	struct fault fault;
	unsigned i;

	while ((i = atomic_fetch_add(&j->next, 1)) < j->swarm->count) {
		if (join_one(j, i, &fault) == RC_OK)
			continue;
		atomic_fetch_add(&j->failed, 1);
		(void)complain("join", fault.text);
	}
	return NULL;
}

static int join_all(const struct swarm *s, const char *file, const char *at)
{
	pthread_t threads[JOINERS];
	struct joiners j = { .swarm = s };
	struct token token;
	struct fault fault = { .code = REASON_NONE };
	uint8_t *text = NULL;
	unsigned n = 0;
	size_t len;
	enum rc rc = fs_read_file(file, TOKEN_TEXT_SIZE, &text, &len, &fault);

	if (rc == RC_OK)
		rc = token_parse((const char *)text, len, &token, &fault);
	if (rc == RC_OK)
		rc = endpoint_parse(at, 0, &j.endpoint, &fault);
	if (rc == RC_OK)
		rc = fs_make_private_dir(s->dir, &fault);
	free(text);
	if (rc != RC_OK)
		return complain("join", fault.text);
	j.token = &token;
	while (n < JOINERS &&
	       pthread_create(&threads[n], NULL, join_some, &j) == 0)
		n++;
	for (unsigned i = 0; i < n; i++)
		(void)pthread_join(threads[i], NULL);
	token_fini(&token);
	return n == 0 || atomic_load(&j.failed) > 0;
}

/* --- run ------------------------------------------------------------------ */

struct one {
	char state[FS_PATH_MAX], apps[FS_PATH_MAX];
	struct agent_settings settings;
	struct one_process sides;
};

static MUST_CHECK enum rc open_one(const struct swarm *s, unsigned i,
    struct loop *loop, struct worker_pool *pool, struct one *one,
    struct fault *fault)
{
	char guardian[FS_PATH_MAX];
	enum rc rc;

	place_of(s, s->first + i, one->state);
	rc = fs_join(one->apps, sizeof(one->apps), one->state, "apps");
	if (rc != RC_OK)
		return rc;
	one->settings = (struct agent_settings){
		.state_dir = one->state,
		.apps_dir = one->apps,
		.home = one->state,
		.guardian = guardian_path(guardian),
		.dials = true,
		.pool = pool,
		.follow_ms = 100,
		.grace_ms = 1000,
		.log_max = 1U << 20,
		.link = s->link,
	};
	return one_process_new(loop, &one->settings, &one->sides, fault);
}

static MUST_CHECK enum rc serve(const struct swarm *s, struct loop *loop,
    struct worker_pool **pool, struct fault *fault)
{
	struct one *all = calloc(s->count, sizeof(*all));
	enum rc rc = all != NULL ? RC_OK : RC_NOMEM;

	for (unsigned i = 0; i < s->count && rc == RC_OK; i++)
		rc = open_one(s, i, loop, *pool, &all[i], fault);
	if (rc == RC_OK) {
		(void)printf("ready\n");
		(void)fflush(stdout);
		loop_run(loop);
	}
	/* What the workers have in hand is the agents'. */
	worker_pool_free(*pool);
	*pool = NULL;
	for (unsigned i = 0; all != NULL && i < s->count; i++)
		one_process_free(&all[i].sides);
	free(all);
	return rc;
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int run_all(const struct swarm *s)
{
	struct loop *loop = NULL;
	struct daemon *daemon = NULL;
	struct worker_pool *pool = NULL;
	struct fault fault = { .text = "out of memory" };
	enum rc rc = loop_new(&loop);

	raise_file_limit();
	if (rc == RC_OK)
		rc = daemon_new(loop, NULL, NULL, &daemon);
	if (rc == RC_OK)
		rc = worker_pool_new(loop, RUN_WORKERS, 2 * s->count, &pool);
	if (rc == RC_OK)
		rc = serve(s, loop, &pool, &fault);
	worker_pool_free(pool);
	daemon_free(daemon);
	loop_free(loop);
	log_flush();
	return rc == RC_OK ? 0 : complain("run", fault.text);
}

/* --- The command line ----------------------------------------------------- */

static MUST_CHECK enum rc set_time(struct link_config *c, const char *word)
{
	const struct {
		const char *key;
		uint32_t *ms;
	} times[] = {
		{ "ping-idle=", &c->ping_idle_ms },
		{ "ping-busy=", &c->ping_busy_ms },
		{ "dead=", &c->dead_ms },
		{ "user-timeout=", &c->user_timeout_ms },
		{ "backoff-min=", &c->backoff_min_ms },
		{ "backoff-max=", &c->backoff_max_ms },
	};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		size_t len = strlen(times[i].key);
		unsigned long ms;
		char *end;

		if (strncmp(word, times[i].key, len) != 0)
			continue;
		errno = 0;
		ms = strtoul(word + len, &end, 10);
		if (errno != 0 || *end != '\0' || ms < 1 || ms > 3600000)
			return RC_PROTO;
		*times[i].ms = (uint32_t)ms;
		return RC_OK;
	}
	return RC_NOTFOUND;
}

static MUST_CHECK enum rc set_word(struct swarm *s, const char *word)
{
	static const char first[] = "first=";
	unsigned long n;
	char *end;

	if (strncmp(word, first, sizeof(first) - 1) != 0)
		return set_time(&s->link, word);
	errno = 0;
	n = strtoul(word + sizeof(first) - 1, &end, 10);
	if (errno != 0 || *end != '\0' || n < 1 || n > COUNT_MAX)
		return RC_PROTO;
	s->first = (unsigned)n - 1;
	return RC_OK;
}

int main(int argc, char **argv)
{
	struct log_options log = LOG_OPTIONS_DEFAULT;
	struct swarm s = { .dir = argc > 2 ? argv[2] : "" };
	char *end = NULL;
	bool join = argc > 1 && strcmp(argv[1], "join") == 0;

	s.count = argc > 3 ? (unsigned)strtoul(argv[3], &end, 10) : 0;
	if (end == NULL || *end != '\0' || s.count < 1 || s.count > COUNT_MAX ||
	    (join ? argc != 6 : strcmp(argv[1], "run") != 0))
		return complain("usage",
		    "join DIR COUNT TOKEN_FILE HOST:PORT, or "
		    "run DIR COUNT [KEY=MS ...] [first=N]");
	log.level = LOG_LEVEL_WARN;
	log_setup(&log);
	link_config_default(&s.link);
	if (join)
		return join_all(&s, argv[4], argv[5]);
	for (int i = 4; i < argc; i++) {
		if (set_word(&s, argv[i]) != RC_OK)
			return complain("not a time of the links", argv[i]);
	}
	return run_all(&s);
}
