#include "server/api/new_task.h"

#include "common/failpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool text_is_set(const char *text)
{
	return text != NULL && *text != '\0';
}

static bool is_in(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->at[i], name) == 0)
			return true;
	}
	return false;
}

/* Takes over what *m owns. */
static enum rc append(struct chosen *c, struct store_machine *m)
{
	struct store_machine *rows;

	if (c->count >= TASK_MACHINES_MAX)
		return RC_LIMIT;
	if ((c->count & (c->count + 1)) == 0 || c->rows == NULL) {
		size_t room = (c->count + 1) * 2;

		rows = realloc(c->rows, room * sizeof(*rows));
		if (rows == NULL)
			return RC_NOMEM;
		c->rows = rows;
	}
	c->rows[c->count++] = *m;
	*m = (struct store_machine){ 0 };
	return RC_OK;
}

static enum rc choose_named(
    struct api_call *call, struct db *db, struct chosen *c)
{
	const char *environment = call_text(call, "environment");
	const char *role = call_text(call, "role");
	json_t *name;
	size_t i;
	enum rc rc = RC_OK;

	json_array_foreach(call_member(call, "machines"), i, name)
	{
		struct store_machine m = { 0 };

		rc = store_machine_get(
		    db, json_string_value(name), &m, &call->fault);
		for (size_t k = 0; k < c->count && rc == RC_OK; k++) {
			if (strcmp(c->rows[k].id, m.id) == 0)
				rc =
				    call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
					"machine %s is named twice", m.name);
		}
		if (rc == RC_OK &&
		    ((text_is_set(environment) &&
			 !is_in(&m.environments, environment)) ||
			(text_is_set(role) && !is_in(&m.roles, role))))
			rc = call_fail(call, RC_NOTFOUND, REASON_NOT_FOUND,
			    "machine %s is not in that environment or role",
			    m.name);
		if (rc == RC_OK)
			rc = append(c, &m);
		store_machine_clear(&m);
		if (rc != RC_OK)
			return rc;
	}
	return rc;
}

static enum rc choose_all(
    struct api_call *call, struct db *db, struct chosen *c)
{
	const struct store_machine_filter filter = {
		.environment = call_text(call, "environment"),
		.role = call_text(call, "role"),
	};
	char after[STORE_NAME_SIZE] = "";
	size_t count;

	do {
		const struct page page = { .after = after, .limit = 0 };
		struct store_machine *rows = NULL;
		enum rc rc;

		count = 0;
		rc = store_machine_list(db, &filter, &page, &rows, &count);
		if (rc == RC_OK && count > 0)
			wire_copy(after, sizeof(after), rows[count - 1].name);
		for (size_t i = 0; i < count && rc == RC_OK; i++)
			rc = append(c, &rows[i]);
		store_machines_free(rows, count);
		if (rc != RC_OK)
			return rc;
	} while (count == STORE_PAGE_MAX);
	return RC_OK;
}

/* In the environment asked for, or else in all of each machine's. */
static enum rc may_use(struct api_call *call, const struct chosen *c)
{
	const char *environment = call_text(call, "environment");
	enum rc rc = RC_OK;

	if (text_is_set(environment))
		return api_may(call, environment);
	for (size_t i = 0; i < c->count && rc == RC_OK; i++)
		rc = api_may_all(call, &c->rows[i].environments);
	return rc;
}

static enum rc make_items(struct chosen *c)
{
	size_t roles = 0, at = 0;

	for (size_t i = 0; i < c->count; i++)
		roles += c->rows[i].roles.count;
	c->items = calloc(c->count + 1, sizeof(*c->items));
	c->roles = calloc(roles + 1, sizeof(*c->roles));
	if (c->items == NULL || c->roles == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < c->count; i++) {
		const struct store_machine *m = &c->rows[i];

		c->items[i] = (struct plan_machine){ .id = m->id,
			.name = m->name,
			.roles = c->roles + at,
			.role_count = m->roles.count,
			.enabled = m->enabled };
		for (size_t k = 0; k < m->roles.count; k++)
			c->roles[at++] = m->roles.at[k];
	}
	return RC_OK;
}

static enum rc no_machine(struct api_call *call)
{
	const char *environment = call_text(call, "environment");
	const char *role = call_text(call, "role");

	return call_fail(call, RC_NOTFOUND, REASON_NOT_FOUND,
	    "no machine%s%s%s%s: longarm machine list",
	    environment != NULL ? " in the environment " : "",
	    environment != NULL ? environment : "",
	    role != NULL ? " has the role " : "", role != NULL ? role : "");
}

enum rc choose_machines(
    struct api_call *call, struct db *db, struct chosen *out)
{
	struct chosen c = { 0 };
	json_t *named = call_member(call, "machines");
	enum rc rc;

	if (json_array_size(named) > 0)
		rc = choose_named(call, db, &c);
	else
		rc = choose_all(call, db, &c);
	if (rc == RC_OK && c.count == 0)
		rc = no_machine(call);
	if (rc == RC_OK)
		rc = may_use(call, &c);
	if (rc == RC_OK)
		rc = make_items(&c);
	if (rc != RC_OK) {
		chosen_clear(&c);
		return rc;
	}
	*out = c;
	return RC_OK;
}

void chosen_clear(struct chosen *c)
{
	store_machines_free(c->rows, c->count);
	free(c->items);
	free(c->roles);
	*c = (struct chosen){ 0 };
}

struct plan_machines chosen_machines(const struct chosen *c)
{
	return (struct plan_machines){ .items = c->items, .count = c->count };
}

static enum rc write_task(struct api_call *call, struct db *db,
    const struct task_wish *wish, struct store_task *task)
{
	struct plan *plan = wish->plan;
	uint32_t count = (uint32_t)plan->payload_count;
	char **payloads = calloc((size_t)count + 1, sizeof(*payloads));
	struct store_task_new n = { .task = task,
		.plan = plan->task,
		.payloads = (const char *const *)payloads,
		.payload_count = count };
	enum rc rc = payloads != NULL ? RC_OK : RC_NOMEM;

	for (uint32_t i = 0; i < count && rc == RC_OK; i++)
		rc = plan_payload_to_json(&plan->payloads[i], &payloads[i]);
	if (rc == RC_OK)
		rc = store_task_create(db, &n, &call->fault);
	for (uint32_t i = 0; payloads != NULL && i < count; i++)
		free(payloads[i]);
	free((void *)payloads);
	return rc;
}

enum rc create_task(
    struct api_call *call, struct db *db, const struct task_wish *wish)
{
	struct store_task task = { .kind = wish->kind,
		.created_ms = (uint64_t)call->now_ms,
		.machine_count = wish->plan->task->machine_count };
	enum rc rc;

	wire_copy(task.title, sizeof(task.title), wish->title);
	wire_copy(task.project, sizeof(task.project), wish->project);
	wire_copy(task.release, sizeof(task.release), wish->release);
	wire_copy(
	    task.environment, sizeof(task.environment), wish->environment);
	wire_copy(task.who, sizeof(task.who), call->caller.who);
	rc = write_task(call, db, wish, &task);
	if (rc != RC_OK)
		return rc;
	failpoint("task.inserted");
	call->event = API_EVENT_TASK_CREATED;
	call->number = task.row.number;
	(void)snprintf(call->object, sizeof(call->object), "task-%llu %.200s",
	    (unsigned long long)call->number, task.title);
	return call_answer(call, 201, wire_task(&task));
}
