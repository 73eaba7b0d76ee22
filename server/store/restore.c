#include "server/store/restore.h"

#include "server/store/setting.h"

#include <string.h>

enum rc store_term_add(
    struct db *db, const uint8_t id[TERM_ID_LEN], uint64_t now_ms)
{
	struct query q;

	query_start(&q, db, "INSERT INTO term(id, begun_ms) VALUES (?, ?)");
	query_blob(&q, id, TERM_ID_LEN);
	query_u64(&q, now_ms);
	return query_run(&q, NULL);
}

enum rc store_term_find(struct db *db, const uint8_t id[TERM_ID_LEN])
{
	struct query q;
	enum rc rc;

	query_start(&q, db, "SELECT 1 FROM term WHERE id = ?");
	query_blob(&q, id, TERM_ID_LEN);
	rc = query_step(&q);
	query_end(&q);
	return rc;
}

/* ---- another life ---- */

#define OPEN_TASKS                                                             \
	" task IN (SELECT id FROM task"                                        \
	"  WHERE state IN ('queued', 'running', 'cancelling'))"
#define REMEDY "look at the machine, then order it again"

/* In the order in which they are done; ?1 is the time. */
static const struct {
	const char *sql;
	enum {
		COUNT_NOTHING,
		COUNT_RUNS,
		COUNT_TASKS
	} count;
} steps[] = {
	/* What may have begun, or may have been begun anew since. */
	{ "UPDATE run SET state = 'unknown', ended_ms = ?1, decision = '', doubt = 1,"
	  " reason = 'unknown', reason_at = 'server',"
	  " reason_text = 'the database was put back from a copy; how this"
	  " ended is not in it: " REMEDY "'"
	  " WHERE state IN ('starting', 'running') AND" OPEN_TASKS
	  " AND EXISTS (SELECT 1 FROM action a WHERE a.task = run.task"
	  "  AND a.block = run.block AND a.ordinal = run.action"
	  "  AND a.type IN ('script', 'activate'))",
	    COUNT_RUNS },
	/* Packages and health checks: done again they do no harm. */
	{ "UPDATE run SET state = 'failed', ended_ms = ?1, decision = '',"
	  " reason = 'cancelled', reason_at = 'server',"
	  " reason_text = 'the database was put back from a copy'"
	  " WHERE state IN ('starting', 'running') AND" OPEN_TASKS,
	    COUNT_NOTHING },
	{ "UPDATE run SET state = 'skipped', ended_ms = ?1, decision = ''"
	  " WHERE state = 'waiting' AND" OPEN_TASKS,
	    COUNT_NOTHING },
	{ "UPDATE run SET decision = ''"
	  " WHERE decision IN ('waiting', 'retry') AND ?1 > 0 AND" OPEN_TASKS,
	    COUNT_NOTHING },
	{ "UPDATE task SET state = 'failed', ended_ms = ?1,"
	  " started_ms = CASE started_ms WHEN 0 THEN ?1 ELSE started_ms END,"
	  " reason = 'unknown', reason_at = 'server',"
	  " reason_text = 'the database was put back from a copy; what was"
	  " done of this since is not in it: look at its machines, then order"
	  " it again', waiting = 0, approval = 0,"
	  " failed_count = machine_count - ok_count"
	  " WHERE state IN ('queued', 'running', 'cancelling')",
	    COUNT_TASKS },
	/* Their tokens are newer than ours.  Who is held stays so. */
	{ "UPDATE machine SET journal = '', counter = 0, start = 0,"
	  " nonce = '', succession = NULL, succession_before = NULL"
	  " WHERE hold = '' AND ?1 > 0",
	    COUNT_NOTHING },
	{ "UPDATE relay SET journal = '', counter = 0, start = 0,"
	  " nonce = '', succession = NULL, succession_before = NULL"
	  " WHERE hold = '' AND ?1 > 0",
	    COUNT_NOTHING },
	{ "DELETE FROM term WHERE ?1 > 0", COUNT_NOTHING },
	{ "DELETE FROM setting WHERE name = '" SETTING_SET_BACK "' AND ?1 > 0",
	    COUNT_NOTHING },
};

enum rc store_restore(struct db *db, struct store_restore *r)
{
	enum rc rc = store_setting_set(
	    db, SETTING_INCARNATION, r->incarnation, strlen(r->incarnation));

	for (size_t i = 0; rc == RC_OK && i < sizeof(steps) / sizeof(steps[0]);
	     i++) {
		uint64_t changed = 0;
		struct query q;

		query_start(&q, db, steps[i].sql);
		query_u64(&q, r->now_ms);
		rc = query_run(&q, &changed);
		if (steps[i].count == COUNT_RUNS)
			r->runs += changed;
		else if (steps[i].count == COUNT_TASKS)
			r->tasks += changed;
	}
	return rc;
}
