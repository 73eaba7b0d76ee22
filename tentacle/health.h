/*
 * health.h - is this machine well?
 *
 * Two answers, of which the worse counts: our own look at the facts (warnings
 * only), and the operator's check script: exit code 0 healthy, 2 warnings, and
 * everything else (also a signal or its deadline) unhealthy.  Its output says
 * why.
 */
#ifndef TENTACLE_HEALTH_H
#define TENTACLE_HEALTH_H

#include "tentacle/facts.h"
#include "tentacle/run.h"

#define HEALTH_TIMEOUT_MS  30000
#define HEALTH_WARNING_MAX 512

struct health_limits {
	uint32_t disk_free_percent;   /* below: warnings; default 5 */
	uint32_t memory_free_percent; /* default 2 */
};

#define HEALTH_LIMITS_DEFAULT                                                  \
	{                                                                      \
		.disk_free_percent = 5, .memory_free_percent = 2               \
	}

/*
 * Pure: what the facts alone say.  text (HEALTH_WARNING_MAX bytes) gets a line
 * per warning, or "".
 */
enum health_state health_of_facts(
    const struct msg_facts *f, const struct health_limits *l, char *text);
/* Pure: what the end of the check script says. */
enum health_state health_of_end(const struct run_end *end);

struct health; /* one check; opaque */

struct health_place {
	const char *dir; /* for its files; made, and removed in the end */
	struct run_machine machine;
	struct health_limits limits;
	int guardian; /* program: run_open_guardian() */
};

/* Begin the check.  Without a script it is over at the first tick. */
MUST_CHECK enum rc health_start(const struct health_place *place,
    const struct msg_health *m, uint64_t now_ms, struct health **out,
    struct fault *fault);
/* As run_fd() and run_tick(). */
int health_fd(const struct health *h);
MUST_CHECK enum rc health_tick(
    struct health *h, uint64_t now_ms, uint64_t *wake_ms);
/*
 * Once over: everything but reply.reply.  Borrows from h; do not clear it with
 * msg_health_reply_clear().
 */
void health_reply(struct health *h, struct msg_health_reply *reply);
/* A script that still runs is stopped by its guardians at its deadline. */
void health_free(struct health *h); /* NULL is fine */

#endif
