/* resolve.c - which value of each variable counts here, with its ${} filled
 * in. */
#include "server/process/variables.h"

#include "common/buf.h"
#include "common/nearest.h"
#include "common/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum entry_state {
	ENTRY_RAW,
	ENTRY_OPEN, /* being expanded now: met again, it uses itself */
	ENTRY_DONE,
};

struct entry {
	const char *name, *raw; /* borrowed */
	uint32_t line;
	bool sensitive;
	enum entry_state state;
	char *value;
};

struct resolver {
	const struct variable_context *context;
	const char *file;
	struct fault *fault;
	struct entry *entries; /* sorted by name once all are there */
	size_t count;
	size_t bytes; /* of all values so far */
	char *roles;  /* value of ${Role} */
};

static bool has_role(const struct variable_context *context, const char *role)
{
	for (size_t i = 0; i < context->role_count; i++) {
		if (strcmp(context->roles[i], role) == 0)
			return true;
	}
	return false;
}

/* How specific a value is; -1: it is for others. */
static int score(
    const struct variable *v, const struct variable_context *context)
{
	int points = 0;

	if (v->environment != NULL) {
		if (context->environment == NULL ||
		    strcmp(v->environment, context->environment) != 0)
			return -1;
		points += 1;
	}
	if (v->role != NULL) {
		if (!has_role(context, v->role))
			return -1;
		points += 2;
	}
	if (v->machine != NULL) {
		if (context->machine == NULL ||
		    strcmp(v->machine, context->machine) != 0)
			return -1;
		points += 4;
	}
	return points;
}

static int by_name(const void *a, const void *b)
{
	const struct variable *const *x = a, *const *y = b;
	int order = strcmp((*x)->name, (*y)->name);

	if (order != 0)
		return order;
	return *x < *y ? -1 : *x > *y; /* keeps their order: one array */
}

static int by_entry_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* "process.yaml:24: ", or "". */
static void where(
    const struct resolver *r, uint32_t line, char *out, size_t size)
{
	out[0] = '\0';
	if (line > 0)
		(void)snprintf(out, size,
		    "%.100s:%u: ", r->file != NULL ? r->file : "process", line);
}

/* One name's values, first to last. */
static enum rc choose(
    struct resolver *r, const struct variable *const *values, size_t count)
{
	struct entry *entry = &r->entries[r->count];
	const struct variable *best = NULL, *declared = NULL;
	bool sensitive = false;
	int best_score = -1;
	char at[128];

	for (size_t i = 0; i < count; i++) {
		int points = score(values[i], r->context);

		sensitive = sensitive || values[i]->sensitive;
		if (values[i]->value == NULL && points >= 0)
			declared = values[i];
		else if (points >= best_score && points >= 0) {
			best = values[i];
			best_score = points;
		}
	}
	if (best == NULL && declared == NULL)
		return RC_OK; /* of other places only */
	if (best == NULL) {
		where(r, declared->line, at, sizeof(at));
		fault_set(r->fault, REASON_BAD_CONFIG, "",
		    "%s%s has no value here: set it with longarm variable set",
		    at, declared->name);
		return RC_PROTO;
	}
	if (best->wrapped) {
		fault_set(r->fault, REASON_INTERNAL, "",
		    "the value of %s is still encrypted", best->name);
		return RC_STATE;
	}
	*entry = (struct entry){ .name = best->name,
		.raw = best->value,
		.line = best->line,
		.sensitive = sensitive };
	r->count++;
	return RC_OK;
}

static enum rc choose_all(struct resolver *r, const struct variable_set *set)
{
	const struct variable **sorted;
	enum rc rc = RC_OK;
	size_t first = 0;

	if (set->count == 0)
		return RC_OK;
	sorted = calloc(set->count, sizeof(struct variable *));
	if (sorted == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < set->count; i++)
		sorted[i] = &set->items[i];
	qsort(sorted, set->count, sizeof(struct variable *), by_name);
	while (first < set->count && rc == RC_OK) {
		size_t next = first + 1;

		while (next < set->count &&
		       strcmp(sorted[next]->name, sorted[first]->name) == 0)
			next++;
		rc = choose(r, sorted + first, next - first);
		first = next;
	}
	free(sorted);
	return rc;
}

/* Built-in values are taken as they are: nothing in them is expanded. */
static enum rc add_built_in(
    struct resolver *r, const char *name, const char *value)
{
	struct entry *entry = &r->entries[r->count];

	if (value == NULL)
		return RC_OK;
	*entry = (struct entry){ .name = name, .state = ENTRY_DONE };
	entry->value = strdup(value);
	if (entry->value == NULL)
		return RC_NOMEM;
	r->count++;
	return RC_OK;
}

static enum rc join_roles(struct resolver *r)
{
	const struct variable_context *context = r->context;
	struct buf text;
	enum rc rc = RC_OK;

	buf_init(&text, VARIABLE_VALUE_MAX);
	for (size_t i = 0; i < context->role_count && rc == RC_OK; i++) {
		if (i > 0)
			rc = buf_add_text(&text, ",");
		if (rc == RC_OK)
			rc = buf_add_text(&text, context->roles[i]);
	}
	if (rc == RC_OK) {
		r->roles = buf_take(&text);
		rc = r->roles != NULL ? RC_OK : RC_NOMEM;
	}
	buf_fini(&text);
	return rc;
}

#define BUILT_IN_COUNT 8u

static enum rc add_built_ins(struct resolver *r)
{
	const struct variable_context *c = r->context;
	enum rc rc = join_roles(r);
	const struct {
		const char *name, *value;
	} all[BUILT_IN_COUNT] = {
		{ "Deployment", c->deployment },
		{ "Environment", c->environment },
		{ "Machine", c->machine },
		{ "Project", c->project },
		{ "Release", c->release },
		{ "Role", r->roles },
		{ "Task", c->task },
		{ "Version", c->version },
	};

	for (size_t i = 0; i < BUILT_IN_COUNT && rc == RC_OK; i++)
		rc = add_built_in(r, all[i].name, all[i].value);
	return rc;
}

static struct entry *find(struct resolver *r, const char *name)
{
	const struct entry key = { .name = name };

	return bsearch(&key, r->entries, r->count, sizeof(key), by_entry_name);
}

static enum rc not_set(
    struct resolver *r, const struct entry *user, const char *name)
{
	struct nearest nearest;
	const char *other;
	char at[128];

	nearest_init(&nearest, name);
	for (size_t i = 0; i < r->count; i++)
		nearest_consider(&nearest, r->entries[i].name);
	other = nearest_name(&nearest);
	where(r, user->line, at, sizeof(at));
	fault_set(r->fault, REASON_BAD_CONFIG, "",
	    "%s%.40s uses ${%.40s}, which is not set%s%.40s%s", at, user->name,
	    name, other != NULL ? "; did you mean ${" : "",
	    other != NULL ? other : "", other != NULL ? "}?" : "");
	return RC_PROTO;
}

static enum rc bad_value(
    struct resolver *r, const struct entry *entry, const char *what)
{
	char at[128];

	where(r, entry->line, at, sizeof(at));
	fault_set(r->fault, REASON_BAD_CONFIG, "", "%s%.40s %s", at,
	    entry->name, what);
	return RC_PROTO;
}

/* text follows "${": the name up to "}" into name; NULL when it is none. */
static const char *read_name(const char *text, char name[VARIABLE_NAME_MAX + 1])
{
	size_t len = strcspn(text, "}");

	if (text[len] != '}' || len == 0 || len > VARIABLE_NAME_MAX)
		return NULL;
	memcpy(name, text, len);
	name[len] = '\0';
	return variable_name_is_valid(name) ? text + len + 1 : NULL;
}

/*
 * Append the value that the ${} at text stands for; *rest: what follows it.
 * RC_AGAIN: *needs must be expanded first.
 */
static enum rc expand_use(struct resolver *r, struct entry *entry,
    const char **text, struct buf *out, struct entry **needs)
{
	char name[VARIABLE_NAME_MAX + 1];
	const char *rest = read_name(*text + 2, name);
	struct entry *used;

	if (rest == NULL)
		return bad_value(r, entry,
		    "has a ${ that no name and } follow; write $${ for a plain "
		    "${");
	used = find(r, name);
	if (used == NULL)
		return not_set(r, entry, name);
	if (used->state == ENTRY_OPEN)
		return bad_value(r, entry, "uses itself, through ${}");
	if (used->state == ENTRY_RAW) {
		*needs = used;
		return RC_AGAIN;
	}
	entry->sensitive = entry->sensitive || used->sensitive;
	*text = rest;
	return buf_add_text(out, used->value);
}

static enum rc expand_into(struct resolver *r, struct entry *entry,
    struct buf *out, struct entry **needs)
{
	const char *text = entry->raw;
	enum rc rc;

	for (;;) {
		const char *dollar = strstr(text, "${");

		if (dollar == NULL)
			return buf_add_text(out, text);
		rc = buf_add(out, text, (size_t)(dollar - text));
		if (rc != RC_OK)
			return rc;
		if (dollar > text && dollar[-1] == '$') {
			text = dollar + 1; /* "$${": one $ is out, "{" next */
			continue;
		}
		text = dollar;
		rc = expand_use(r, entry, &text, out, needs);
		if (rc != RC_OK)
			return rc;
	}
}

/* One value, if all that it uses is done; RC_AGAIN as above. */
static enum rc expand_one(
    struct resolver *r, struct entry *entry, struct entry **needs)
{
	struct buf out;
	enum rc rc;

	entry->state = ENTRY_OPEN;
	buf_init(&out, VARIABLE_VALUE_MAX);
	rc = expand_into(r, entry, &out, needs);
	if (rc == RC_LIMIT ||
	    (rc == RC_OK && r->bytes + out.len > VARIABLES_BYTES_MAX)) {
		(void)bad_value(r, entry, "becomes too long once expanded");
		rc = RC_LIMIT;
	}
	if (rc == RC_OK) {
		r->bytes += out.len;
		entry->value = buf_take(&out);
		rc = entry->value != NULL ? RC_OK : RC_NOMEM;
	}
	if (out.data != NULL)
		secret_wipe(out.data, out.len);
	buf_fini(&out);
	if (rc == RC_OK)
		entry->state = ENTRY_DONE;
	return rc;
}

/* An entry and, before it, all that it uses. */
static enum rc expand(struct resolver *r, struct entry *entry)
{
	struct entry *stack[VARIABLE_DEPTH_MAX];
	size_t depth = 0;

	if (entry->state == ENTRY_DONE)
		return RC_OK;
	stack[depth++] = entry;
	while (depth > 0) {
		struct entry *needs = NULL;
		enum rc rc = expand_one(r, stack[depth - 1], &needs);

		if (rc == RC_OK) {
			depth--;
		} else if (rc != RC_AGAIN || needs == NULL) {
			return rc;
		} else if (depth == VARIABLE_DEPTH_MAX) {
			return bad_value(
			    r, needs, "is used through too many others");
		} else {
			stack[depth++] = needs;
		}
	}
	return RC_OK;
}

static enum rc hand_over(struct resolver *r, struct resolved_variables *out)
{
	struct resolved_variable *items = NULL;

	if (r->count > 0) /* ${Role} is always there */
		items = calloc(r->count, sizeof(*items));
	if (items == NULL)
		return RC_NOMEM;
	out->items = items;
	for (size_t i = 0; i < r->count; i++) {
		items[i].name = strdup(r->entries[i].name);
		if (items[i].name == NULL) {
			resolved_variables_clear(out);
			return RC_NOMEM;
		}
		items[i].value = r->entries[i].value;
		items[i].sensitive = r->entries[i].sensitive;
		r->entries[i].value = NULL; /* now out's */
		out->count = i + 1;
	}
	return RC_OK;
}

static void resolver_fini(struct resolver *r)
{
	for (size_t i = 0; r->entries != NULL && i < r->count; i++) {
		char *value = r->entries[i].value;

		if (value != NULL)
			secret_wipe(value, strlen(value));
		free(value);
	}
	free(r->entries);
	free(r->roles);
}

enum rc variables_resolve(const struct variable_set *set,
    const struct variable_context *context, const char *file,
    struct resolved_variables *out, struct fault *fault)
{
	struct resolver r = {
		.context = context, .file = file, .fault = fault
	};
	enum rc rc = RC_NOMEM;

	*out = (struct resolved_variables){ .items = NULL };
	r.entries = calloc(set->count + BUILT_IN_COUNT, sizeof(*r.entries));
	if (r.entries == NULL)
		goto out;
	rc = choose_all(&r, set);
	if (rc == RC_OK)
		rc = add_built_ins(&r);
	if (rc != RC_OK)
		goto out;
	qsort(r.entries, r.count, sizeof(*r.entries), by_entry_name);
	for (size_t i = 0; i < r.count && rc == RC_OK; i++)
		rc = expand(&r, &r.entries[i]);
	if (rc == RC_OK)
		rc = hand_over(&r, out);
out:
	resolver_fini(&r);
	return rc;
}

const struct resolved_variable *resolved_variables_find(
    const struct resolved_variables *variables, const char *name)
{
	for (size_t i = 0; i < variables->count; i++) {
		if (strcmp(variables->items[i].name, name) == 0)
			return &variables->items[i];
	}
	return NULL;
}

void resolved_variables_clear(struct resolved_variables *variables)
{
	for (size_t i = 0; i < variables->count; i++) {
		char *value = variables->items[i].value;

		if (value != NULL)
			secret_wipe(value, strlen(value));
		free(variables->items[i].name);
		free(value);
	}
	free(variables->items);
	*variables = (struct resolved_variables){ .items = NULL };
}
