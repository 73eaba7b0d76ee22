/* health.c - one check: the question, what the answer says, its row; and those
 * that a task asks for. */
#include "server/dispatch/work.h"

#include "common/xalloc.h"
#include "server/store/machine.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum rc health_encode(const struct health_question *question,
    const struct fleet_call *call, struct packbuf *out)
{
	const char *script = question->script != NULL ? question->script : "";
	const struct msg_health m = { .id = call->id,
		.script = bytes_text(script),
		.timeout_ms = question->timeout_ms < UINT32_MAX
		                  ? (uint32_t)question->timeout_ms
		                  : UINT32_MAX,
		.facts = true };

	return msg_health_encode(&m, out);
}

/* ---- facts as JSON ---- */

static json_t *text(struct bytes b)
{
	json_t *t = json_stringn(b.len > 0 ? (const char *)b.p : "", b.len);

	return t != NULL ? t : json_string("?");
}

static json_t *disks_json(const struct msg_facts *f)
{
	json_t *array = json_array();

	for (size_t i = 0; i < f->disk_count; i++) {
		const struct msg_disk *disk = &f->disks[i];

		(void)json_array_append_new(array,
		    json_pack("{s:o, s:I, s:I}", "path", text(disk->path),
			"total", (json_int_t)disk->total, "free",
			(json_int_t)disk->free));
	}
	return array;
}

static char *facts_json(const struct msg_facts *f)
{
	json_t *o = json_pack(
	    "{s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:[i,i,i], s:I, s:I, s:o}",
	    "os", text(f->os), "kernel", text(f->kernel), "arch", text(f->arch),
	    "hostname", text(f->hostname), "version", text(f->version),
	    "uptime_s", (json_int_t)f->uptime_s, "clock_ms",
	    (json_int_t)f->clock_ms, "load_milli", (int)f->load_milli[0],
	    (int)f->load_milli[1], (int)f->load_milli[2], "memory_total",
	    (json_int_t)f->memory_total, "memory_available",
	    (json_int_t)f->memory_available, "disks", disks_json(f));
	char *out = json_dumps(o, JSON_COMPACT);

	json_decref(o);
	return out;
}

/* ---- the machine's row ---- */

struct health_job {
	struct store_job job;
	struct dispatch *dispatch;
	char machine[TASK_MACHINE_SIZE];
	enum machine_health health;
	char text[STORE_TEXT_SIZE];
	char *facts; /* NULL: keep those before */
	uint64_t now_ms;
};

static enum rc write_health(struct db *db, struct store_job *job)
{
	const struct health_job *h = CONTAINER_OF(job, struct health_job, job);

	return store_machine_set_health(db, h->machine, h->health, h->text,
	    h->facts != NULL ? h->facts : "", h->now_ms);
}

static void on_written(struct store_job *job, enum rc rc)
{
	struct health_job *h = CONTAINER_OF(job, struct health_job, job);

	(void)rc; /* the next check writes again */
	(void)work_closed(h->dispatch);
	free(h->facts);
	free(h);
}

static enum machine_health health_of(enum health_state state)
{
	switch (state) {
	case HEALTH_HEALTHY:
		return MACHINE_HEALTH_HEALTHY;
	case HEALTH_WARNINGS:
		return MACHINE_HEALTH_WARNINGS;
	case HEALTH_UNHEALTHY:
	case HEALTH_STATE_COUNT:
		break;
	}
	return MACHINE_HEALTH_UNHEALTHY;
}

/* The first line that the check printed, made harmless. */
static void first_line(const struct msg_health_reply *m, struct fault *out)
{
	size_t len = 0;

	while (len < m->output.len && len < STORE_TEXT_SIZE - 1 &&
	       m->output.p[len] != '\n')
		len++;
	fault_set(out, REASON_NONE, "", "%.*s", (int)len,
	    len > 0 ? (const char *)m->output.p : "");
}

static enum machine_health take_reply(struct dispatch *d, const char *machine,
    const struct fleet_reply *reply, struct fault *fault, char **facts)
{
	enum machine_health health = MACHINE_HEALTH_UNAVAILABLE;
	struct msg_health_reply m;

	if (reply->message.len == 0) {
		*fault = *reply->fault;
		return health;
	}
	if (msg_health_reply_decode(reply->message, &m, fault) != RC_OK)
		return health;
	fleet_saw_reply(d->parts.fleet, machine, &m.reply);
	if (m.reply.fault.code != REASON_NONE) {
		*fault = m.reply.fault;
	} else {
		health = health_of(m.state);
		first_line(&m, fault);
		if (m.has_facts)
			*facts = facts_json(&m.facts);
		if (m.ended > 0)
			work_forget_again(d, machine);
	}
	msg_health_reply_clear(&m);
	return health;
}

enum machine_health health_take(struct dispatch *d, const char *machine,
    const struct fleet_reply *reply, struct fault *fault)
{
	struct health_job *h = xcalloc(1, sizeof(*h));
	enum machine_health health;

	fault_clear(fault);
	h->dispatch = d;
	health = take_reply(d, machine, reply, fault, &h->facts);
	h->health = health;
	h->now_ms = work_now_ms();
	(void)snprintf(h->machine, sizeof(h->machine), "%s", machine);
	(void)snprintf(h->text, sizeof(h->text), "%.*s",
	    (int)sizeof(h->text) - 1, fault->text);
	h->job.run = write_health;
	h->job.done = on_written;
	work_submit(d, &h->job);
	return health;
}

/* ---- of a task ---- */

static enum rc encode_check(
    void *arg, const struct fleet_call *call, struct packbuf *out)
{
	const struct work_run *run = arg;
	const struct dispatch *d = run->task->dispatch;
	const char *script = run->payload->script;
	const struct health_question question = {
		.script = script != NULL ? script : d->parts.health.script,
		.timeout_ms = run->action->timeout_ms,
	};

	return health_encode(&question, call, out);
}

static void on_check(void *arg, const struct fleet_reply *reply)
{
	struct work_run *run = arg;
	struct dispatch *d = run->task->dispatch;
	struct engine_fact fact = run_fact(run, FACT_HEALTH);

	run->ask = NULL;
	schedule_leave(d->schedule, &run->paced);
	fact.health = health_take(d, run->machine->id, reply, &fact.fault);
	if (reply->message.len == 0)
		run_tell_unreachable(
		    run, COMMAND_HEALTH, reply->fault, reply->may_have_arrived);
	else if (fact.health == MACHINE_HEALTH_UNAVAILABLE)
		run_tell_refused(run, COMMAND_HEALTH, &fact.fault);
	else
		work_tell(d, &fact);
	run_settle(run);
}

/* It is this check's turn. */
static void ask(struct paced *paced)
{
	struct work_run *run = CONTAINER_OF(paced, struct work_run, paced);
	struct dispatch *d = run->task->dispatch;
	uint64_t limit = run->action->timeout_ms + 30000;
	const struct fleet_request request = { .machine = run->machine->id,
		.op = OP_HEALTH,
		.deadline_ms = limit < UINT32_MAX ? (uint32_t)limit : 0,
		.encode = encode_check,
		.reply = on_check,
		.arg = run };
	enum rc rc = fleet_request(d->parts.fleet, &request, &run->ask);

	if (rc == RC_OK)
		return;
	schedule_leave(d->schedule, &run->paced);
	run_tell_busy(run, COMMAND_HEALTH, rc);
	run_settle(run);
}

void run_check(struct work_run *run)
{
	struct dispatch *d = run->task->dispatch;
	enum rc rc;

	if (run->ask != NULL || run->paced.item.state != PACE_OUT)
		return;
	run->paced.begin = ask;
	rc = schedule_enter(
	    d->schedule, &run->paced, run->machine->id, PACE_ASKED);
	if (rc != RC_OK)
		run_tell_busy(run, COMMAND_HEALTH, rc);
}
