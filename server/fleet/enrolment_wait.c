#include "server/fleet/enrolment.h"
#include "server/store/joining.h"

#include <stdio.h>
#include <string.h>

/*
 * Joins that a person approves.  The secret is proven, and one use of the token
 * taken, when the key asks first; from then on the key speaks for itself.
 */

static enum store_role role_of(const struct enrol_rows *e)
{
	return e->role == ROLE_RELAY ? STORE_ROLE_RELAY : STORE_ROLE_TENTACLE;
}

static MUST_CHECK enum rc add(
    struct db *db, struct enrol_rows *e, const char *name, const char *token)
{
	struct store_joining j = {
		.role = role_of(e),
		.state = JOINING_WAITING,
		.created_ms = e->now_ms,
		.seen_ms = e->now_ms,
	};

	memcpy(j.spki, e->key_hash, sizeof(j.spki));
	(void)snprintf(j.name, sizeof(j.name), "%s", name);
	(void)snprintf(j.hostname, sizeof(j.hostname), "%s", e->hostname);
	(void)snprintf(j.address, sizeof(j.address), "%s", e->address);
	(void)snprintf(j.version, sizeof(j.version), "%s", e->version);
	(void)snprintf(j.token, sizeof(j.token), "%s", token);
	e->waits = true;
	(void)snprintf(e->waits_as, sizeof(e->waits_as), "%s", name);
	return store_joining_add(db, &j, &e->fault);
}

/* What was decided about a key that waits.  RC_AGAIN: nothing yet. */
static MUST_CHECK enum rc look(
    struct db *db, struct enrol_rows *e, const struct store_joining *j)
{
	if (j->role != role_of(e)) {
		fault_set(&e->fault, REASON_NOT_PERMITTED, "",
		    "this key has asked to join as a %s",
		    store_role_name(j->role));
		return RC_DENIED;
	}
	if (j->state == JOINING_REJECTED) {
		fault_set(&e->fault, REASON_NOT_PERMITTED, "",
		    "%s: an operator has rejected it", j->name);
		return RC_DENIED;
	}
	if (j->state == JOINING_APPROVED)
		return store_joining_drop(db, j->spki);
	e->waits = true;
	memcpy(e->waits_as, j->name, sizeof(e->waits_as));
	return store_joining_seen(db, j->spki, e->now_ms);
}

static MUST_CHECK enum rc use_token(
    struct db *db, struct enrol_rows *e, struct store_token *token)
{
	const struct store_token_shown shown = {
		.id = e->token_id,
		.secret = e->secret,
		.role = role_of(e),
		.now_ms = e->now_ms,
	};
	char base[NAME_SIZE];
	enum rc rc;

	if (!e->has_secret) {
		fault_set(&e->fault, REASON_TOKEN, "",
		    "this key has not joined yet: a token is needed");
		return RC_DENIED;
	}
	rc = store_token_use(db, &shown, token, &e->fault);
	if (rc != RC_OK || !token->approval)
		return rc;
	enrol_base_name(e->hostname, base);
	return add(
	    db, e, token->name[0] != '\0' ? token->name : base, token->id);
}

enum rc enrol_admit(
    struct db *db, struct enrol_rows *e, struct store_token *token)
{
	struct store_joining j;
	enum rc rc = store_joining_expire(db, e->now_ms);

	if (rc == RC_OK)
		rc = store_joining_get(db, e->key_hash, &j);
	if (rc == RC_NOTFOUND)
		return use_token(db, e, token);
	if (rc == RC_OK)
		rc = look(db, e, &j);
	if (rc != RC_OK || e->waits)
		return rc;
	/* Its use was taken when it asked first. */
	rc = store_token_get(db, j.token, token, NULL);
	if (rc == RC_NOTFOUND) {
		fault_set(&e->fault, REASON_TOKEN, "", "token: not known here");
		return RC_DENIED;
	}
	return rc;
}

enum rc enrol_admit_late(struct db *db, struct enrol_rows *e, const char *name)
{
	struct store_joining j;
	enum rc rc = store_joining_expire(db, e->now_ms);

	if (rc == RC_OK)
		rc = store_joining_get(db, e->key_hash, &j);
	if (rc == RC_NOTFOUND)
		return add(db, e, name, "");
	return rc == RC_OK ? look(db, e, &j) : rc;
}
