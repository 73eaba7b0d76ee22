/*
 * Replies to `start` that wait a little for the end of the script: when it is
 * short and says nothing, that is all there is to tell, and nobody needs a seal
 * of its own to follow it.
 */
#include "tentacle/operations_base.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LOOK_MS   100
#define HELD_MAX  64
#define FILE_NAME "output"

struct held {
	TAILQ_ENTRY(held) link;
	struct operations *ops;
	struct operations_caller caller;
	struct loop_timer *timer;
	char ticket[ID_SIZE];
	uint32_t id;
	uint64_t until_ms; /* CLOCK_BOOTTIME */
};

static void held_free(struct held *h)
{
	TAILQ_REMOVE(&h->ops->held, h, link);
	h->ops->held_count--;
	loop_timer_free(h->timer);
	free(h);
}

static void answer(struct held *h)
{
	struct operations *ops = h->ops;
	const struct operations_caller caller = h->caller;
	const uint32_t id = h->id;
	char ticket[ID_SIZE];

	memcpy(ticket, h->ticket, sizeof(ticket));
	held_free(h);
	operations_reply_start(ops, id, ticket, caller);
}

static bool has_said_something(const struct held *h)
{
	char dir[FS_PATH_MAX], path[FS_PATH_MAX];
	struct stat st;

	return fs_join(dir, sizeof(dir), h->ops->runs, h->ticket) != RC_OK ||
	       fs_join(path, sizeof(path), dir, FILE_NAME) != RC_OK ||
	       lstat(path, &st) != 0 || st.st_size > 0;
}

static void on_look(void *arg)
{
	struct held *h = arg;

	if (operations_boot_ms() >= h->until_ms || has_said_something(h))
		answer(h);
	else
		loop_timer_set(h->timer, LOOK_MS);
}

bool operations_hold(struct operations *ops, uint32_t id, const char *ticket,
    struct operations_caller caller)
{
	const struct entry *e = operations_find_job(ops, ticket);
	struct held *h;

	/* One that must wait its turn says so at once. */
	if (ops->config.hold_ms == 0 || ops->held_count >= HELD_MAX ||
	    e == NULL || job_has_begun(e->job) || !job_is_script(e->job) ||
	    ops->running >= ops->config.running_max ||
	    operations_blocker(ops, e) != NULL)
		return false;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return false;
	if (loop_timer_new(ops->place.loop, on_look, h, &h->timer) != RC_OK) {
		free(h);
		return false;
	}
	h->ops = ops;
	h->caller = caller;
	h->id = id;
	h->until_ms = operations_boot_ms() + ops->config.hold_ms;
	memcpy(h->ticket, ticket, sizeof(h->ticket));
	TAILQ_INSERT_TAIL(&ops->held, h, link);
	ops->held_count++;
	loop_timer_set(h->timer,
	    ops->config.hold_ms < LOOK_MS ? ops->config.hold_ms : LOOK_MS);
	return true;
}

void operations_answer_held(struct operations *ops, const char *ticket)
{
	struct held *h = TAILQ_FIRST(&ops->held), *next;

	for (; h != NULL; h = next) {
		next = TAILQ_NEXT(h, link);
		if (strcmp(h->ticket, ticket) == 0)
			answer(h);
	}
}

void operations_drop_held(struct operations *ops, const void *arg)
{
	struct held *h = TAILQ_FIRST(&ops->held), *next;

	for (; h != NULL; h = next) {
		next = TAILQ_NEXT(h, link);
		if (arg == NULL || h->caller.arg == arg)
			held_free(h);
	}
}
