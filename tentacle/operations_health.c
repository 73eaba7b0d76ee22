/* Health checks: several at once, each with a script of its own. */
#include "tentacle/operations_base.h"

#include <stdio.h>

void operations_check_free(struct check *c)
{
	loop_io_free(c->io);
	loop_timer_free(c->timer);
	health_free(c->health);
	*c = (struct check){ .ops = c->ops };
}

static void check_on(void *arg)
{
	struct check *c = arg;
	struct msg_health_reply reply = { .exit_code = 0 };
	uint64_t now = operations_boot_ms(), wake;
	struct packbuf b;

	if (health_tick(c->health, now, &wake) == RC_AGAIN) {
		/* Without guardians there is nothing more to be seen there. */
		if (health_fd(c->health) < 0) {
			loop_io_free(c->io);
			c->io = NULL;
		}
		loop_timer_set(c->timer, wake - now);
		return;
	}
	if (c->caller.send != NULL) {
		operations_begin_reply(c->ops, c->id, &reply.reply);
		health_reply(c->health, &reply);
		if (c->ops->ledger != NULL)
			reply.ended = (uint32_t)tickets_ended(
			    ledger_tickets(c->ops->ledger));
		packbuf_init(&b, LENFRAME_STANDING_MAX);
		operations_send(
		    c->caller, msg_health_reply_encode(&reply, &b), &b, c->id);
	}
	operations_check_free(c);
}

static void check_on_io(void *arg, unsigned ready)
{
	(void)ready;
	check_on(arg);
}

static enum rc check_start(struct operations *ops, struct check *c,
    const struct msg_health *m, struct fault *why)
{
	char name[32], dir[FS_PATH_MAX];
	enum rc rc;

	(void)snprintf(name, sizeof(name), "%td", c - ops->health);
	rc = fs_join(dir, sizeof(dir), ops->checks, name);
	if (rc == RC_OK) {
		const struct health_place place = { dir, ops->place.machine,
			ops->config.health, ops->place.guardian };

		rc = health_start(
		    &place, m, operations_boot_ms(), &c->health, why);
	}
	if (rc == RC_OK)
		rc = loop_timer_new(ops->place.loop, check_on, c, &c->timer);
	if (rc == RC_OK && health_fd(c->health) >= 0) {
		rc = loop_io_new(ops->place.loop, health_fd(c->health),
		    check_on_io, c, &c->io);
		if (rc == RC_OK)
			loop_io_want(c->io, LOOP_READ);
	}
	return rc;
}

enum rc operations_on_health(struct operations *ops, struct bytes frame,
    struct operations_caller caller, struct fault *fault)
{
	struct check *c = NULL;
	struct fault why = { 0 };
	struct msg_health m;
	enum rc rc = msg_health_decode(frame, &m, fault);

	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < OPERATIONS_HEALTH_MAX && c == NULL; i++) {
		if (ops->health[i].health == NULL)
			c = &ops->health[i];
	}
	if (c == NULL) {
		fault_set(&why, REASON_TOO_MANY, "",
		    "%d health checks run on this machine, the limit",
		    OPERATIONS_HEALTH_MAX);
		operations_refuse(ops, OP_HEALTH, m.id, &why, caller);
		return RC_OK;
	}
	*c = (struct check){ .ops = ops, .caller = caller, .id = m.id };
	rc = check_start(ops, c, &m, &why);
	if (rc != RC_OK) {
		operations_check_free(c);
		operations_refuse(ops, OP_HEALTH, m.id, &why, caller);
		return RC_OK;
	}
	check_on(c);
	return RC_OK;
}

void operations_caller_gone(struct operations *ops, const void *arg)
{
	for (size_t i = 0; i < OPERATIONS_HEALTH_MAX; i++) {
		if (ops->health[i].caller.arg == arg)
			ops->health[i].caller.send = NULL;
	}
	operations_drop_held(ops, arg);
}
