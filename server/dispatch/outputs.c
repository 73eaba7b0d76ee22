/*
 * outputs.c - variables that steps set for later ones.  Each machine has a list
 * of its own, and what a step of one machine alone has set is in one for all:
 * who starts a script reads two lists, however large the task is.
 */
#include "server/dispatch/work.h"

#include "common/log.h"
#include "common/secret.h"
#include "common/wrap.h"
#include "common/xalloc.h"
#include "server/store/note.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one list: more than fit into a message that starts a script. */
#define LIST_MAX  1000u
#define BYTES_MAX (UINT64_C(256) << 20) /* of one task */

TAILQ_HEAD(output_list, work_output);

/* A variable that a step has set for later ones. */
struct work_output {
	TAILQ_ENTRY(work_output) link;
	struct run_key key;
	uint64_t order; /* of all of the task: which word was the last */
	char ticket[TASK_TICKET_SIZE];
	char name[NOTE_NAME_MAX + 1];
	char *value;
	bool sensitive;
};

struct work_outputs {
	uint64_t next_order, bytes;
	struct place {
		struct output_list list;
		uint32_t count;
	} places[]; /* one per machine of the plan, then that for all */
};

void work_output_context(
    const struct run_key *key, const char *name, char out[WORK_CONTEXT_SIZE])
{
	(void)snprintf(out, WORK_CONTEXT_SIZE,
	    "output/task-%llu/%u-%u-%u/%.100s", (unsigned long long)key->task,
	    key->block, key->target, key->action, name);
}

static bool same_run(const struct run_key *a, const struct run_key *b)
{
	return a->block == b->block && a->target == b->target &&
	       a->action == b->action;
}

static uint32_t machine_count(const struct work_task *task)
{
	return task->rows.plan->machine_count;
}

/* Where what this run says goes. */
static uint32_t place_of(
    const struct work_task *task, const struct run_key *key)
{
	const struct task_block *block = &task->rows.plan->blocks[key->block];

	return block->target_count == 1 ? machine_count(task)
	                                : block->targets[key->target];
}

static void output_end(struct work_output *o)
{
	secret_wipe(o->value, strlen(o->value));
	free(o->value);
	free(o);
}

static void output_free(
    struct work_outputs *all, struct place *place, struct work_output *o)
{
	TAILQ_REMOVE(&place->list, o, link);
	place->count--;
	all->bytes -= strlen(o->value);
	output_end(o);
}

void work_outputs_free(struct work_task *task)
{
	struct work_outputs *all = task->outputs;
	struct work_output *o, *next;

	if (all == NULL)
		return;
	for (uint32_t i = 0; i <= machine_count(task); i++) {
		for (o = TAILQ_FIRST(&all->places[i].list); o != NULL;
		     o = next) {
			next = TAILQ_NEXT(o, link);
			output_end(o);
		}
	}
	free(all);
	task->outputs = NULL;
}

static struct work_outputs *outputs_of(struct work_task *task)
{
	size_t count = (size_t)machine_count(task) + 1;
	struct work_outputs *all = task->outputs;

	if (all != NULL)
		return all;
	all = xcalloc(1, sizeof(*all) + count * sizeof(all->places[0]));
	for (size_t i = 0; i < count; i++)
		TAILQ_INIT(&all->places[i].list);
	task->outputs = all;
	return all;
}

void work_outputs_drop(
    struct work_task *task, const struct run_key *key, const char *ticket)
{
	struct work_output *o, *next;
	struct place *place;

	if (task->outputs == NULL)
		return;
	place = &task->outputs->places[place_of(task, key)];
	for (o = TAILQ_FIRST(&place->list); o != NULL; o = next) {
		next = TAILQ_NEXT(o, link);
		if (same_run(&o->key, key) && strcmp(o->ticket, ticket) != 0)
			output_free(task->outputs, place, o);
	}
}

const char *work_output_room(
    const struct work_task *task, const struct run_key *key)
{
	const struct work_outputs *all = task->outputs;

	if (all == NULL)
		return NULL;
	if (all->places[place_of(task, key)].count >= LIST_MAX)
		return "its machine has set 1000 variables for later steps, "
		       "and there may be no more";
	if (all->bytes >= BYTES_MAX)
		return "the variables that this task has set fill 256 MiB, "
		       "and there may be no more";
	return NULL;
}

/* The last word on a name counts. */
static void drop_name(struct work_outputs *all, struct place *place,
    const struct store_note *note)
{
	struct work_output *o, *next;

	for (o = TAILQ_FIRST(&place->list); o != NULL; o = next) {
		next = TAILQ_NEXT(o, link);
		if (same_run(&o->key, &note->key) &&
		    strcmp(o->name, note->name) == 0)
			output_free(all, place, o);
	}
}

void work_output_add(struct work_task *task, const struct store_note *note,
    const uint8_t *value, size_t len)
{
	struct work_outputs *all = outputs_of(task);
	struct place *place = &all->places[place_of(task, &note->key)];
	struct work_output *o;

	work_outputs_drop(task, &note->key, note->ticket);
	drop_name(all, place, note);
	if (!variable_is_valid(note->name) || memchr(value, '\0', len) != NULL)
		return;
	o = xcalloc(1, sizeof(*o));
	o->key = note->key;
	o->order = all->next_order++;
	(void)snprintf(o->name, sizeof(o->name), "%.40s", note->name);
	memcpy(o->ticket, note->ticket, sizeof(o->ticket));
	o->sensitive = note->sensitive;
	o->value = xcalloc(1, len + 1);
	memcpy(o->value, value, len);
	TAILQ_INSERT_TAIL(&place->list, o, link);
	place->count++;
	all->bytes += len;
}

/* Steps may be called anything; variables may not. */
static void name_output(
    const struct task_action *action, const char *name, char *out, size_t size)
{
	char step[TASK_NAME_SIZE];
	size_t i;

	for (i = 0; action->name[i] != '\0'; i++) {
		char c = action->name[i];
		bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		            (c >= '0' && c <= '9') || c == '_' || c == '-';

		step[i] = '-';
		if (fine)
			step[i] = c;
	}
	step[i] = '\0';
	(void)snprintf(out, size, "Steps.%s.Output.%s", step, name);
}

static enum rc join(const struct work_run *run, const struct work_output *o,
    struct variable_set *set, struct fault *fault)
{
	const struct task_plan *plan = run->task->rows.plan;
	const struct task_block *block = &plan->blocks[o->key.block];
	char name[2 * TASK_NAME_SIZE + 32];
	const struct variable v = {
		.name = name, .value = o->value, .sensitive = o->sensitive
	};

	name_output(
	    &block->actions[o->key.action], o->name, name, sizeof(name));
	if (variable_name_is_valid(name))
		return variable_set_add(set, &v, fault);
	log_warn("dispatch", o->ticket,
	    "%.150s is too long for a variable: a shorter name of the step "
	    "would help",
	    name);
	return RC_OK;
}

/* What was said on this machine, and by steps of one machine alone, in the
 * order in which it was said. */
enum rc work_outputs_join(
    const struct work_run *run, struct variable_set *set, struct fault *fault)
{
	const struct work_task *task = run->task;
	const struct task_block *block =
	    &task->rows.plan->blocks[run->key.block];
	const struct work_output *own, *common, *o;
	enum rc rc = RC_OK;

	if (task->outputs == NULL)
		return RC_OK;
	own = TAILQ_FIRST(
	    &task->outputs->places[block->targets[run->key.target]].list);
	common = TAILQ_FIRST(&task->outputs->places[machine_count(task)].list);
	while (rc == RC_OK && (own != NULL || common != NULL)) {
		bool of_own = common == NULL ||
		              (own != NULL && own->order < common->order);

		o = of_own ? own : common;
		rc = join(run, o, set, fault);
		if (of_own)
			own = TAILQ_NEXT(o, link);
		else
			common = TAILQ_NEXT(o, link);
	}
	return rc;
}

/* ---- from the rows ---- */

static enum rc open_text(const struct dispatch *d, const struct store_note *n,
    uint8_t **out, size_t *len)
{
	char context[WORK_CONTEXT_SIZE];
	struct fault why;
	enum rc rc;

	if (n->text_len < WRAP_OVERHEAD || d->parts.master == NULL)
		return RC_PROTO;
	*len = n->text_len - WRAP_OVERHEAD;
	*out = malloc(*len + 1);
	if (*out == NULL)
		return RC_NOMEM;
	work_output_context(&n->key, n->name, context);
	rc = wrap_open(
	    d->parts.master, context, n->text, n->text_len, *out, &why);
	if (rc != RC_OK) {
		log_error("dispatch", n->ticket, "%s: %s", n->name, why.text);
		free(*out);
	}
	return rc;
}

static void take_row(const struct dispatch *d, struct work_task *task,
    const struct store_note *n)
{
	const char *full = work_output_room(task, &n->key);
	uint8_t *plain = NULL;
	size_t len = 0;

	if (full != NULL) {
		log_warn("dispatch", n->ticket, "variable %s of %s: %s",
		    n->name, n->machine, full);
	} else if (!n->sensitive) {
		work_output_add(task, n, n->text, n->text_len);
	} else if (open_text(d, n, &plain, &len) == RC_OK) {
		work_output_add(task, n, plain, len);
		secret_wipe(plain, len);
		free(plain);
	}
}

enum rc work_outputs_load(struct db *db, struct work_task *task)
{
	struct store_note_place after = { .number = 0 };
	struct store_note_filter filter = { .task = task->rows.task.row.number,
		.kind = NOTE_OUTPUT };
	struct store_note *rows = NULL;
	size_t count;
	enum rc rc;

	do {
		rc = store_note_list(db, &filter, &rows, &count);
		if (rc != RC_OK)
			return rc;
		for (size_t i = 0; i < count; i++)
			take_row(task->dispatch, task, &rows[i]);
		if (count > 0) {
			after.key = rows[count - 1].key;
			after.number = rows[count - 1].number;
		}
		filter.after = &after;
		store_notes_free(rows, count);
	} while (count == STORE_PAGE_MAX);
	return RC_OK;
}
