#include "common/log.h"
#include "common/random.h"
#include "server/fleet/fleet_private.h"

#include <stdio.h>
#include <string.h>

struct msg_revocations fleet_revocations(const struct fleet *f)
{
	return (struct msg_revocations){
		.agents = f->upkeep.number[REVOKED_AGENTS],
		.nodes = f->upkeep.number[REVOKED_NODES],
	};
}

bool station_is_held(const struct station *t, struct fault *fault)
{
	if (t->hold[0] == '\0')
		return false;
	fault_set(fault,
	    strcmp(t->hold, "clone") == 0 ? REASON_CLONE : REASON_JOURNAL,
	    t->fleet->at,
	    "%s: is held (%s) and gets no work until an operator releases it",
	    t->name, t->hold);
	return true;
}

/* A journal that has forgotten what it told: a disk rolled back. */
static MUST_CHECK enum rc judge_journal(
    struct station *t, const struct msg_greet *greet, struct fault *fault)
{
	if (t->role != ROLE_TENTACLE ||
	    strcmp(greet->instance.journal, t->journal) != 0 ||
	    greet->counter >= t->counter)
		return RC_OK;
	(void)snprintf(t->hold, sizeof(t->hold), "journal");
	station_dirty(t, DIRTY_HOLD);
	fault_set(fault, REASON_JOURNAL, t->fleet->at,
	    "%s: its journal went back from record %llu to %llu; it is held "
	    "until an operator releases it",
	    t->name, (unsigned long long)t->counter,
	    (unsigned long long)greet->counter);
	log_error("fleet", t->name, "%s", fault->text);
	return RC_DENIED;
}

static bool is_known(const struct station *t, const struct msg_greet *greet)
{
	return strcmp(t->journal, greet->instance.journal) == 0 &&
	       strcmp(t->nonce, greet->instance.nonce) == 0 &&
	       t->start == greet->instance.start &&
	       t->counter == greet->counter && greet->succession.len > 0;
}

static void keep_instance(struct station *t, const struct msg_greet *greet)
{
	t->last_seen_ms = fleet_wall_ms();
	if (is_known(t, greet))
		return;
	memcpy(t->journal, greet->instance.journal, sizeof(t->journal));
	memcpy(t->nonce, greet->instance.nonce, sizeof(t->nonce));
	t->start = greet->instance.start;
	t->counter = greet->counter;
	(void)snprintf(t->version, sizeof(t->version), "%.*s",
	    (int)greet->version.len, (const char *)greet->version.p);
	/* The clone check will compare tokens; a first one is given now. */
	if (t->role == ROLE_TENTACLE && greet->succession.len == 0) {
		random_bytes(t->succession, sizeof(t->succession));
		t->has_succession = true;
	}
	station_dirty(t, DIRTY_INSTANCE);
}

static MUST_CHECK enum rc send_welcome(
    const struct station *t, struct seal *seal, bool with_token)
{
	const struct fleet *f = t->fleet;
	struct msg_welcome welcome = {
		.incarnation = f->parts.incarnation,
		.revocations = fleet_revocations(f),
	};
	struct packbuf pack;
	enum rc rc;

	memcpy(welcome.node, f->node, sizeof(welcome.node));
	if (with_token)
		welcome.succession =
		    bytes_of(t->succession, sizeof(t->succession));
	packbuf_init(&pack, 4096);
	rc = msg_welcome_encode(&welcome, &pack);
	if (rc == RC_OK)
		rc = seal_send(seal, packbuf_bytes(&pack));
	packbuf_fini(&pack);
	return rc;
}

enum rc station_greeted(struct station *t, struct seal *seal,
    struct bytes message, uint64_t *table_version, struct fault *fault)
{
	struct msg_greet greet;
	bool with_token;
	enum rc rc = msg_greet_decode(message, &greet, fault);

	if (rc != RC_OK)
		return rc;
	rc = judge_journal(t, &greet, fault);
	if (rc == RC_OK) {
		keep_instance(t, &greet);
		upkeep_greeted(t, &greet.revocations);
		with_token =
		    t->role == ROLE_TENTACLE && greet.succession.len == 0;
		*table_version = greet.table_version;
		rc = send_welcome(t, seal, with_token);
		if (rc != RC_OK)
			fault_set(fault, REASON_MEMORY, t->fleet->at,
			    "%s: cannot welcome it: %s", t->name, rc_name(rc));
	}
	msg_greet_clear(&greet);
	return rc;
}

void station_saw_counter(
    struct station *t, const char *journal, uint64_t counter)
{
	if (strcmp(journal, t->journal) != 0 || counter <= t->counter)
		return;
	t->counter = counter;
	station_dirty(t, DIRTY_INSTANCE);
}
