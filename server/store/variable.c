#include "server/store/variable.h"
#include "server/store/list.h"

#include <stdlib.h>

void store_variable_clear(struct store_variable *v)
{
	free(v->value);
	free(v->secret);
	v->value = NULL;
	v->secret = NULL;
}

void store_variables_free(struct store_variable *rows, size_t count)
{
	for (size_t i = 0; rows != NULL && i < count; i++)
		store_variable_clear(&rows[i]);
	free(rows);
}

static void bind_project(struct query *q, const char *project)
{
	query_text(q, project[0] == '\0' ? NULL : project);
}

enum rc store_variable_set(
    struct db *db, const struct store_variable *v, struct fault *fault)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "INSERT INTO variable(project, name, environment, machine, role,"
	    " sensitive, value, secret, updated_ms)"
	    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
	    " ON CONFLICT (coalesce(project, ''), name, environment, machine,"
	    "  role) DO UPDATE SET sensitive = excluded.sensitive,"
	    " value = excluded.value, secret = excluded.secret,"
	    " updated_ms = excluded.updated_ms");
	bind_project(&q, v->project);
	query_text(&q, v->name);
	query_text(&q, v->environment);
	query_text(&q, v->machine);
	query_text(&q, v->role);
	query_int(&q, v->sensitive);
	query_text(&q, v->sensitive ? "" : text_or_empty(v->value));
	if (v->sensitive)
		query_blob(&q, v->secret, v->secret_len);
	else
		query_null(&q);
	query_u64(&q, v->updated_ms);
	rc = query_run(&q, NULL);
	if (rc == RC_STATE) {
		fault_set(fault, REASON_NOT_FOUND, "", "project %s: not found",
		    v->project);
		rc = RC_NOTFOUND;
	}
	return db_fault(db, rc, fault, "variable %s", v->name);
}

static enum rc read_row(struct query *q, struct store_variable *v)
{
	enum rc rc;

	v->id = query_get_u64(q, 0);
	query_copy_text(q, 1, v->project, sizeof(v->project));
	query_copy_text(q, 2, v->name, sizeof(v->name));
	query_copy_text(q, 3, v->environment, sizeof(v->environment));
	query_copy_text(q, 4, v->machine, sizeof(v->machine));
	query_copy_text(q, 5, v->role, sizeof(v->role));
	v->sensitive = query_get_bool(q, 6);
	v->updated_ms = query_get_u64(q, 7);
	rc = query_dup_text(q, 8, &v->value);
	if (rc == RC_OK && v->sensitive)
		rc = query_dup_blob(q, 9, &v->secret, &v->secret_len);
	return rc;
}

static enum rc count_rows(struct db *db, const char *project, size_t *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "SELECT count(*) FROM variable"
	    " WHERE project IS NULL OR project = ?");
	query_text(&q, project);
	rc = query_step(&q);
	if (rc == RC_OK)
		*out = (size_t)query_get_u64(&q, 0);
	query_end(&q);
	if (rc == RC_OK && *out > STORE_VARIABLES_MAX)
		rc = RC_LIMIT;
	return rc;
}

enum rc store_variable_list(struct db *db, const char *project,
    struct store_variable **rows, size_t *count)
{
	struct store_variable *all;
	struct query q;
	size_t room = 0, n = 0;
	enum rc rc = count_rows(db, project, &room);

	if (rc != RC_OK)
		return rc;
	all = calloc(room + 1, sizeof(*all));
	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    "SELECT id, project, name, environment, machine, role, sensitive,"
	    " updated_ms, value, secret FROM variable"
	    " WHERE project IS NULL OR project = ?"
	    " ORDER BY name, coalesce(project, ''), environment, machine,"
	    " role");
	query_text(&q, project);
	while (rc == RC_OK && n < room) {
		rc = query_step(&q);
		if (rc == RC_OK)
			rc = read_row(&q, &all[n++]);
	}
	rc = list_end(&q, rc);
	if (rc != RC_OK) {
		store_variables_free(all, n);
		return rc;
	}
	*rows = all;
	*count = n;
	return RC_OK;
}

enum rc store_variable_delete(
    struct db *db, const struct store_variable *v, struct fault *fault)
{
	struct query q;

	query_start(&q, db,
	    "DELETE FROM variable WHERE coalesce(project, '') = ?"
	    " AND name = ? AND environment = ? AND machine = ? AND role = ?");
	query_text(&q, v->project);
	query_text(&q, v->name);
	query_text(&q, v->environment);
	query_text(&q, v->machine);
	query_text(&q, v->role);
	return db_fault(db, query_change(&q), fault, "variable %s", v->name);
}
