#include "common/ca.h"
#include "common/trust.h"
#include "server/store/list.h"
#include "server/store/setting.h"
#include "server/store/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum rc store_enrolment_get(struct db *db,
    const uint8_t spki[STORE_SHA256_SIZE], struct store_enrolment *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "SELECT spki, role, id, token, at_ms FROM enrolment"
	    " WHERE spki = ?");
	query_blob(&q, spki, STORE_SHA256_SIZE);
	rc = query_step(&q);
	if (rc == RC_OK) {
		query_copy_blob(&q, 0, out->spki, sizeof(out->spki));
		if (store_role_parse(query_get_text(&q, 1), &out->role) !=
		    RC_OK)
			out->role = STORE_ROLE_TENTACLE;
		query_copy_text(&q, 2, out->id, sizeof(out->id));
		query_copy_text(&q, 3, out->token, sizeof(out->token));
		out->at_ms = query_get_u64(&q, 4);
	}
	query_end(&q);
	return rc;
}

enum rc store_enrolment_add(
    struct db *db, const struct store_enrolment *e, struct fault *fault)
{
	struct query q;

	query_start(&q, db,
	    "INSERT INTO enrolment(spki, role, id, token, at_ms)"
	    " VALUES (?, ?, ?, ?, ?)");
	query_blob(&q, e->spki, sizeof(e->spki));
	query_text(&q, store_role_name(e->role));
	query_text(&q, e->id);
	query_text(&q, e->token);
	query_u64(&q, e->at_ms);
	return db_fault(db, query_run(&q, NULL), fault, "enrolment of %s %s",
	    store_role_name(e->role), e->id);
}

enum rc store_enrolment_renewed(
    struct db *db, const uint8_t spki[STORE_SHA256_SIZE], uint64_t at_ms)
{
	struct query q;

	query_start(&q, db, "UPDATE enrolment SET at_ms = ? WHERE spki = ?");
	query_u64(&q, at_ms);
	query_blob(&q, spki, STORE_SHA256_SIZE);
	return query_change(&q);
}

/* ---- revocations ---- */

static const char *sequence_of(bool nodes)
{
	return nodes ? "revoked-nodes" : "revoked-agents";
}

enum rc store_revoke(struct db *db, const struct store_revocation *r)
{
	struct query q;
	uint64_t changed = 0, number = 0;
	enum rc rc;

	query_start(&q, db,
	    "INSERT INTO revocation(spki, role, name, reason, at_ms,"
	    " expires_ms) VALUES (?, ?, ?, ?, ?, ?)"
	    " ON CONFLICT (spki) DO NOTHING");
	query_blob(&q, r->spki, sizeof(r->spki));
	query_text(&q, store_role_name(r->role));
	query_text(&q, r->name);
	query_text(&q, r->reason);
	query_u64(&q, r->at_ms);
	query_u64(&q, r->expires_ms);
	rc = query_run(&q, &changed);
	if (rc != RC_OK || changed == 0)
		return rc;
	return store_sequence_next(
	    db, sequence_of(r->role == STORE_ROLE_SERVER), &number);
}

enum rc store_revoke_key(struct db *db, const struct store_revoke_key *k)
{
	/* Until the last certificate that the key may have has expired, for
	 * everybody's clock. */
	const int64_t life_s =
	    k->role == STORE_ROLE_SERVER ? CA_NODE_LIFE_S : CA_AGENT_LIFE_S;
	const uint64_t keep_s = (uint64_t)life_s + 4LL * TRUST_SKEW_S;
	static const uint8_t none[STORE_SHA256_SIZE];
	struct store_revocation r = {
		.role = k->role,
		.at_ms = k->now_ms,
		.expires_ms = k->now_ms + keep_s * 1000,
	};

	if (memcmp(k->spki, none, sizeof(none)) == 0)
		return RC_OK;
	memcpy(r.spki, k->spki, sizeof(r.spki));
	(void)snprintf(r.name, sizeof(r.name), "%s", k->name);
	(void)snprintf(r.reason, sizeof(r.reason), "%s", k->reason);
	return store_revoke(db, &r);
}

enum rc store_revoked(
    struct db *db, const uint8_t spki[STORE_SHA256_SIZE], bool *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, "SELECT 1 FROM revocation WHERE spki = ?");
	query_blob(&q, spki, STORE_SHA256_SIZE);
	rc = query_step(&q);
	query_end(&q);
	*out = rc != RC_NOTFOUND; /* in doubt: yes */
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc store_revocations_next(struct db *db, bool nodes, uint64_t *out)
{
	return store_sequence_next(db, sequence_of(nodes), out);
}

enum rc store_revocations_raise(struct db *db, bool nodes, uint64_t number)
{
	struct query q;

	query_start(&q, db,
	    "INSERT INTO sequence(name, value) VALUES (?, ?)"
	    " ON CONFLICT (name) DO UPDATE SET value = CASE"
	    " WHEN sequence.value < excluded.value THEN excluded.value"
	    " ELSE sequence.value END");
	query_text(&q, sequence_of(nodes));
	query_u64(&q, number);
	return query_run(&q, NULL);
}

static void read_revocation(struct query *q, struct store_revocation *r)
{
	query_copy_blob(q, 0, r->spki, sizeof(r->spki));
	if (store_role_parse(query_get_text(q, 1), &r->role) != RC_OK)
		r->role = STORE_ROLE_TENTACLE;
	query_copy_text(q, 2, r->name, sizeof(r->name));
	query_copy_text(q, 3, r->reason, sizeof(r->reason));
	r->at_ms = query_get_u64(q, 4);
	r->expires_ms = query_get_u64(q, 5);
}

/* A security list is never cut short: count, then read all. */
static enum rc count_listed(
    struct db *db, bool nodes, uint64_t now_ms, size_t *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "SELECT count(*) FROM revocation"
	    " WHERE (role = 'server') = ? AND expires_ms > ?");
	query_int(&q, nodes);
	query_u64(&q, now_ms);
	rc = query_step(&q);
	if (rc == RC_OK)
		*out = (size_t)query_get_u64(&q, 0);
	query_end(&q);
	return rc;
}

enum rc store_revocation_list(struct db *db, bool nodes, uint64_t now_ms,
    struct store_revocation **rows, size_t *count, uint64_t *number)
{
	struct store_revocation *all = NULL;
	struct query q;
	size_t room = 0, n = 0;
	enum rc rc = store_sequence_last(db, sequence_of(nodes), number);

	if (rc == RC_OK)
		rc = count_listed(db, nodes, now_ms, &room);
	if (rc != RC_OK)
		return rc;
	all = calloc(room + 1, sizeof(*all));
	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    "SELECT spki, role, name, reason, at_ms, expires_ms"
	    " FROM revocation WHERE (role = 'server') = ?"
	    " AND expires_ms > ? ORDER BY spki");
	query_int(&q, nodes);
	query_u64(&q, now_ms);
	while (n < room && query_step(&q) == RC_OK)
		read_revocation(&q, &all[n++]);
	rc = list_end(&q, q.rc);
	if (rc != RC_OK) {
		free(all);
		return rc;
	}
	*rows = all;
	*count = n;
	return RC_OK;
}
