#include "server/store/rotation.h"

#include "server/store/list.h"

#include <stdlib.h>
#include <string.h>

static const char *const kind_names[ROTATION_KIND_COUNT] = {
	[ROTATION_AGENTS] = "agents",
	[ROTATION_NODES] = "nodes",
	[ROTATION_ROOT] = "root",
};

static const char *const phase_names[ROTATION_PHASE_COUNT] = {
	[ROTATION_SPREADING] = "spreading",
	[ROTATION_ISSUING] = "issuing",
	[ROTATION_DONE] = "done",
};

const char *rotation_kind_name(enum rotation_kind k)
{
	return (unsigned)k < ROTATION_KIND_COUNT ? kind_names[k] : "?";
}

const char *rotation_phase_name(enum rotation_phase p)
{
	return (unsigned)p < ROTATION_PHASE_COUNT ? phase_names[p] : "?";
}

enum rc rotation_kind_parse(const char *name, enum rotation_kind *out)
{
	for (unsigned i = 0; i < ROTATION_KIND_COUNT; i++)
		if (strcmp(name, kind_names[i]) == 0) {
			*out = (enum rotation_kind)i;
			return RC_OK;
		}
	return RC_NOTFOUND;
}

static enum rotation_phase phase_of(const char *name)
{
	for (unsigned i = 0; i < ROTATION_PHASE_COUNT; i++)
		if (strcmp(name, phase_names[i]) == 0)
			return (enum rotation_phase)i;
	return ROTATION_SPREADING; /* the CHECK knows no other */
}

void store_rotation_clear(struct store_rotation *r)
{
	free(r->left_out);
	free(r->bundle_during.data);
	free(r->bundle_after.data);
	free(r->agents_chain.data);
	free(r->agents_key.data);
	*r = (struct store_rotation){ .id = 0 };
}

static MUST_CHECK enum rc dup(
    struct query *q, int column, struct rotation_blob *out)
{
	return query_dup_blob(q, column, &out->data, &out->len);
}

static MUST_CHECK enum rc read_row(struct query *q, struct store_rotation *r)
{
	enum rc rc = RC_OK;

	*r = (struct store_rotation){ .id = query_get_u64(q, 0) };
	if (rotation_kind_parse(query_get_text(q, 1), &r->kind) != RC_OK)
		return RC_PROTO;
	r->phase = phase_of(query_get_text(q, 2));
	query_copy_text(q, 3, r->who, sizeof(r->who));
	r->started_ms = query_get_u64(q, 4);
	r->changed_ms = query_get_u64(q, 5);
	r->number = query_get_u64(q, 7);
	query_copy_blob(q, 10, r->agents, sizeof(r->agents));
	query_copy_blob(q, 11, r->nodes, sizeof(r->nodes));
	rc = query_dup_text(q, 6, &r->left_out);
	if (rc == RC_OK)
		rc = dup(q, 8, &r->bundle_during);
	if (rc == RC_OK)
		rc = dup(q, 9, &r->bundle_after);
	if (rc == RC_OK)
		rc = dup(q, 12, &r->agents_chain);
	if (rc == RC_OK)
		rc = dup(q, 13, &r->agents_key);
	return rc;
}

enum rc store_rotation_last(struct db *db, struct store_rotation *out)
{
	struct store_rotation r = { .id = 0 };
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "SELECT id, kind, phase, who, started_ms, changed_ms, left_out,"
	    " number, bundle_during, bundle_after, agents, nodes,"
	    " agents_chain, agents_key FROM rotation ORDER BY id DESC LIMIT 1");
	rc = query_step(&q);
	if (rc == RC_OK)
		rc = read_row(&q, &r);
	query_end(&q);
	if (rc == RC_OK)
		*out = r;
	else
		store_rotation_clear(&r);
	return rc;
}

static void bind_blob(struct query *q, const struct rotation_blob *b)
{
	if (b->len > 0)
		query_blob(q, b->data, b->len);
	else
		query_null(q);
}

enum rc store_rotation_add(struct db *db, const struct store_rotation *r)
{
	struct query q;

	query_start(&q, db,
	    "INSERT INTO rotation(kind, phase, who, started_ms, changed_ms,"
	    " number, bundle_during, bundle_after, agents, nodes,"
	    " agents_chain, agents_key)"
	    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
	query_text(&q, rotation_kind_name(r->kind));
	query_text(&q, rotation_phase_name(r->phase));
	query_text(&q, r->who);
	query_u64(&q, r->started_ms);
	query_u64(&q, r->changed_ms);
	query_u64(&q, r->number);
	bind_blob(&q, &r->bundle_during);
	bind_blob(&q, &r->bundle_after);
	query_blob(&q, r->agents, sizeof(r->agents));
	query_blob(&q, r->nodes, sizeof(r->nodes));
	bind_blob(&q, &r->agents_chain);
	bind_blob(&q, &r->agents_key);
	return query_run(&q, NULL);
}

enum rc store_rotation_move(struct db *db, const struct rotation_step *step)
{
	struct query q;

	query_start(&q, db,
	    "UPDATE rotation SET phase = ?, changed_ms = ?,"
	    " left_out = left_out || ? WHERE id = ? AND phase = ?");
	query_text(&q, rotation_phase_name(step->to));
	query_u64(&q, step->now_ms);
	query_text(&q, text_or_empty(step->left_out));
	query_u64(&q, step->id);
	query_text(&q, rotation_phase_name(step->from));
	return query_change(&q);
}

/* ---- members ---- */

enum rc store_member_trust_set(
    struct db *db, const struct store_member_trust *m)
{
	struct query q;

	query_start(&q, db,
	    "INSERT INTO member_trust(role, id, bundle, authority, at_ms)"
	    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (role, id) DO UPDATE SET"
	    " bundle = excluded.bundle, authority = excluded.authority,"
	    " at_ms = excluded.at_ms WHERE member_trust.bundle <>"
	    " excluded.bundle OR member_trust.authority <> excluded.authority");
	query_text(&q, store_role_name(m->role));
	query_text(&q, m->id);
	query_u64(&q, m->bundle);
	query_blob(&q, m->authority, sizeof(m->authority));
	query_u64(&q, m->at_ms);
	return query_run(&q, NULL);
}

#define JOINED                                                                 \
	" FROM (SELECT 'relay' AS role, name AS id, name, presence,"           \
	" last_seen_ms FROM relay WHERE spki IS NOT NULL UNION ALL"            \
	" SELECT 'tentacle', id, name, presence, last_seen_ms FROM machine"    \
	" WHERE spki IS NOT NULL) AS j"
#define MISSING                                                                \
	JOINED " LEFT JOIN member_trust AS t ON t.role = j.role"               \
	       " AND t.id = j.id WHERE t.id IS NULL OR t.bundle < ?1"          \
	       " OR (?2 IS NOT NULL AND t.authority <> ?2)"

static void bind_goal(struct query *q, const struct rotation_goal *goal)
{
	query_u64(q, goal->bundle);
	if (goal->authority != NULL)
		query_blob(q, goal->authority, STORE_SHA256_SIZE);
	else
		query_null(q);
}

static MUST_CHECK enum rc count_of(struct query *q, uint64_t *out)
{
	enum rc rc = query_step(q);

	if (rc == RC_OK)
		*out = query_get_u64(q, 0);
	query_end(q);
	return rc;
}

enum rc store_rotation_missing(struct db *db, const struct rotation_goal *goal,
    size_t limit, struct store_missing **rows, size_t *row_count,
    uint64_t *count)
{
	struct store_missing *all = calloc(limit + 1, sizeof(*all));
	struct query q;
	size_t n = 0;
	enum rc rc;

	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    "SELECT j.role, j.name, j.presence, j.last_seen_ms" MISSING
	    " ORDER BY j.role, j.name LIMIT ?3");
	bind_goal(&q, goal);
	query_u64(&q, limit);
	while (n < limit && query_step(&q) == RC_OK) {
		struct store_missing *m = &all[n++];

		if (store_role_parse(query_get_text(&q, 0), &m->role) != RC_OK)
			m->role = STORE_ROLE_TENTACLE;
		query_copy_text(&q, 1, m->name, sizeof(m->name));
		if (store_presence_parse(query_get_text(&q, 2), &m->presence) !=
		    RC_OK)
			m->presence = STORE_PRESENCE_UNKNOWN;
		m->last_seen_ms = query_get_u64(&q, 3);
	}
	rc = list_end(&q, q.rc);
	if (rc == RC_OK) {
		query_start(&q, db, "SELECT count(*)" MISSING);
		bind_goal(&q, goal);
		rc = count_of(&q, count);
	}
	if (rc != RC_OK) {
		free(all);
		return rc;
	}
	*rows = all;
	*row_count = n;
	return RC_OK;
}

enum rc store_member_trust_last(struct db *db, uint64_t *at_ms)
{
	struct query q;

	query_start(&q, db, "SELECT coalesce(max(at_ms), 0) FROM member_trust");
	return count_of(&q, at_ms);
}

enum rc store_member_count(struct db *db, uint64_t *out)
{
	struct query q;

	query_start(&q, db, "SELECT count(*)" JOINED);
	return count_of(&q, out);
}
