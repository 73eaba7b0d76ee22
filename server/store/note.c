#include "server/store/note.h"

#include "server/store/list.h"
#include "server/store/task_read.h"

#include <stdlib.h>
#include <string.h>

void store_notes_free(struct store_note *rows, size_t count)
{
	for (size_t i = 0; rows != NULL && i < count; i++)
		free(rows[i].text);
	free(rows);
}

/* RC_STATE: its run is at another attempt by now. */
static enum rc check_ticket(
    struct db *db, const struct run_key *key, const char *ticket)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "SELECT 1 FROM run WHERE task = ? AND block = ? AND target = ?"
	    " AND action = ? AND ticket <> ?");
	task_bind_key(&q, key);
	query_text(&q, ticket);
	rc = query_step(&q);
	query_end(&q);
	if (rc == RC_NOTFOUND)
		return RC_OK;
	return rc == RC_OK ? RC_STATE : rc;
}

static enum rc drop_others(struct db *db, const struct store_note *note)
{
	struct query q;

	query_start(&q, db,
	    "DELETE FROM run_note WHERE task = ? AND block = ?"
	    " AND target = ? AND action = ? AND ticket <> ?");
	task_bind_key(&q, &note->key);
	query_text(&q, note->ticket);
	return query_run(&q, NULL);
}

enum rc store_note_put(struct db *db, const struct store_note *note)
{
	struct query q;
	enum rc rc = check_ticket(db, &note->key, note->ticket);

	if (rc == RC_OK)
		rc = drop_others(db, note);
	if (rc != RC_OK)
		return rc == RC_STATE ? RC_OK : rc;
	query_start(&q, db,
	    "INSERT INTO run_note(task, block, target, action, number, ticket,"
	    " kind, name, sensitive, text, size, digest, at_ms)"
	    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	    " ON CONFLICT (task, block, target, action, number) DO NOTHING");
	task_bind_key(&q, &note->key);
	query_int(&q, note->number);
	query_text(&q, note->ticket);
	query_text(&q, note_kind_name(note->kind));
	query_text(&q, note->name);
	query_int(&q, note->sensitive);
	query_blob(&q, note->text_len > 0 ? note->text : (const uint8_t *)"",
	    note->text_len);
	query_u64(&q, note->size);
	query_text(&q, note->digest);
	query_u64(&q, note->at_ms);
	return query_run(&q, NULL);
}

static enum note_kind kind_of(const char *name)
{
	for (int i = 0; i < NOTE_KIND_COUNT; i++) {
		if (strcmp(note_kind_name((enum note_kind)i), name) == 0)
			return (enum note_kind)i;
	}
	return NOTE_WARNING;
}

static enum rc read_row(struct query *q, struct store_note *n)
{
	n->key.task = query_get_u64(q, 0);
	n->key.block = (uint32_t)query_get_u64(q, 1);
	n->key.target = (uint32_t)query_get_u64(q, 2);
	n->key.action = (uint32_t)query_get_u64(q, 3);
	n->number = (uint32_t)query_get_u64(q, 4);
	query_copy_text(q, 5, n->ticket, sizeof(n->ticket));
	n->kind = kind_of(query_get_text(q, 6));
	query_copy_text(q, 7, n->name, sizeof(n->name));
	n->sensitive = query_get_bool(q, 8);
	n->size = query_get_u64(q, 9);
	query_copy_text(q, 10, n->digest, sizeof(n->digest));
	n->at_ms = query_get_u64(q, 11);
	query_copy_text(q, 12, n->machine_id, sizeof(n->machine_id));
	query_copy_text(q, 13, n->machine, sizeof(n->machine));
	query_copy_text(q, 14, n->action, sizeof(n->action));
	return query_dup_blob(q, 15, &n->text, &n->text_len);
}

enum rc store_note_list(struct db *db, const struct store_note_filter *filter,
    struct store_note **rows, size_t *count)
{
	const struct store_note_place *after = filter->after;
	const struct run_key *key = after != NULL ? &after->key : NULL;
	enum note_kind kind = filter->kind;
	size_t room = filter->limit > 0 && filter->limit < STORE_PAGE_MAX
	                  ? filter->limit
	                  : STORE_PAGE_MAX;
	struct store_note *all = calloc(room, sizeof(*all));
	struct query q;
	size_t n = 0;
	enum rc rc = RC_OK;

	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    "SELECT n.task, n.block, n.target, n.action, n.number, n.ticket,"
	    " n.kind, n.name, n.sensitive, n.size, n.digest, n.at_ms, m.id,"
	    " m.name, a.name, n.text FROM run_note n"
	    " JOIN action a ON a.task = n.task AND a.block = n.block"
	    "  AND a.ordinal = n.action"
	    " JOIN block_target t ON t.task = n.task AND t.block = n.block"
	    "  AND t.ordinal = n.target"
	    " JOIN task_machine m ON m.task = n.task AND m.ordinal = t.machine"
	    " WHERE n.task = ?1 AND (?2 = '' OR n.kind = ?2)"
	    " AND (n.block, n.target, n.action, n.number) > (?3, ?4, ?5, ?6)"
	    " ORDER BY n.block, n.target, n.action, n.number LIMIT ?7");
	query_u64(&q, filter->task);
	query_text(&q, kind < NOTE_KIND_COUNT ? note_kind_name(kind) : "");
	query_int(&q, key == NULL ? -1 : (int64_t)key->block);
	query_int(&q, key == NULL ? -1 : (int64_t)key->target);
	query_int(&q, key == NULL ? -1 : (int64_t)key->action);
	query_int(&q, key == NULL ? -1 : (int64_t)after->number);
	query_int(&q, (int64_t)room);
	while (rc == RC_OK && n < room) {
		rc = query_step(&q);
		if (rc == RC_OK)
			rc = read_row(&q, &all[n++]);
	}
	rc = list_end(&q, rc);
	if (rc != RC_OK) {
		store_notes_free(all, n);
		return rc;
	}
	*rows = all;
	*count = n;
	return RC_OK;
}

enum rc store_note_artifact(struct db *db, const struct store_note_place *place,
    char digest[DIGEST_SIZE])
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "SELECT digest FROM run_note WHERE task = ? AND block = ?"
	    " AND target = ? AND action = ? AND number = ?"
	    " AND kind = 'artifact'");
	task_bind_key(&q, &place->key);
	query_int(&q, place->number);
	rc = query_step(&q);
	if (rc == RC_OK)
		query_copy_text(&q, 0, digest, DIGEST_SIZE);
	query_end(&q);
	return rc;
}

enum rc store_progress_put(struct db *db, const struct store_progress *p)
{
	struct query q;
	enum rc rc = check_ticket(db, &p->key, p->ticket);

	if (rc != RC_OK)
		return rc == RC_STATE ? RC_OK : rc;
	query_start(&q, db,
	    "INSERT INTO run_progress(task, block, target, action, percent,"
	    " warnings, text) VALUES (?, ?, ?, ?, ?, ?, ?)"
	    " ON CONFLICT (task, block, target, action) DO UPDATE SET"
	    " percent = excluded.percent, warnings = excluded.warnings,"
	    " text = excluded.text");
	task_bind_key(&q, &p->key);
	query_int(&q, p->percent);
	query_int(&q, p->warnings);
	query_text(&q, p->text);
	return query_run(&q, NULL);
}
