#include "common/log.h"
#include "proto/feature.h"
#include "server/fleet/fleet_private.h"
#include "server/fleet/term.h"

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
	    "%s: is held (%s) and %s until an operator releases it", t->name,
	    t->hold,
	    t->role == ROLE_RELAY ? "carries nothing" : "gets no work");
	return true;
}

void station_end_ways(struct station *t)
{
	struct fault fault;
	struct way *w;

	if (!station_is_held(t, &fault))
		return;
	TAILQ_FOREACH(w, &t->ways, of_station)
	{
		if (w->state != WAY_CLOSED)
			way_fail(w, &fault);
	}
}

/*
 * A journal that has forgotten what it told before this seal was opened: a disk
 * rolled back.  (What was told since may have come by a quicker way.)
 */
static bool journal_went_back(
    const struct way *w, const struct life_shown *shown)
{
	const struct store_instance *now = &w->station->life, *then = &w->seen;
	const char *journal = shown->instance.journal;

	return !shown->quarantine && strcmp(journal, now->journal) == 0 &&
	       strcmp(journal, then->journal) == 0 &&
	       shown->counter < then->counter && shown->counter < now->counter;
}

void station_hold_journal(
    struct station *t, const struct life_shown *shown, struct fault *fault)
{
	if (life_lost_journal(&t->life, shown))
		fault_set(fault, REASON_JOURNAL, t->fleet->at,
		    "%s: its journal is another one: %.8s, not %.8s; it is "
		    "held until an operator releases it",
		    t->name, shown->instance.journal, t->life.journal);
	else
		fault_set(fault, REASON_JOURNAL, t->fleet->at,
		    "%s: its journal went back from record %llu to %llu; it "
		    "is held until an operator releases it",
		    t->name, (unsigned long long)t->life.counter,
		    (unsigned long long)shown->counter);
	log_error("fleet", t->name, "%s", fault->text);
	(void)snprintf(t->hold, sizeof(t->hold), "journal");
	station_dirty(t, DIRTY_HOLD);
	station_lost_word(t);
	station_end_ways(t);
}

void station_seen_by(struct station *t, const struct way *w)
{
	t->last_seen_ms = t->life_at_ms = fleet_wall_ms();
	way_via(w, t->life_via, sizeof(t->life_via));
}

static void keep_version(struct station *t, const struct msg_greet *greet)
{
	char version[NAME_SIZE];

	t->features = features_read(&greet->features);
	(void)snprintf(version, sizeof(version), "%.*s",
	    (int)greet->version.len, (const char *)greet->version.p);
	if (strcmp(version, t->version) == 0)
		return;
	memcpy(t->version, version, sizeof(version));
	station_dirty(t, DIRTY_INSTANCE);
}

static bool fleet_has_term(const struct fleet *f)
{
	static const uint8_t none[TERM_LEN];

	return f->parts.master != NULL &&
	       memcmp(f->parts.term, none, TERM_LEN) != 0;
}

/* One of another term of this database's life, if we know of it. */
static bool shows_other_term(const struct fleet *f, struct bytes term)
{
	return fleet_has_term(f) && term.len == TERM_LEN &&
	       memcmp(term.p, f->parts.term, TERM_LEN) != 0 &&
	       term_is_ours(f->parts.master, &f->parts.incarnation, term);
}

enum rc station_welcome(const struct station *t, struct seal *seal, bool give)
{
	const struct fleet *f = t->fleet;
	struct msg_welcome welcome = {
		.incarnation = f->parts.incarnation,
		.revocations = fleet_revocations(f),
	};
	struct packbuf pack;
	enum rc rc;

	memcpy(welcome.node, f->node, sizeof(welcome.node));
	if (fleet_has_term(f))
		welcome.term = bytes_of(f->parts.term, TERM_LEN);
	if (give)
		welcome.succession =
		    bytes_of(t->life.succession, sizeof(t->life.succession));
	packbuf_init(&pack, 4096);
	rc = msg_welcome_encode(&welcome, &pack);
	if (rc == RC_OK)
		rc = seal_send(seal, packbuf_bytes(&pack));
	packbuf_fini(&pack);
	return rc;
}

static MUST_CHECK enum rc take(
    struct way *w, const struct msg_greet *greet, struct fault *fault)
{
	struct station *t = w->station;
	const struct life_shown shown = life_shown_of(greet);
	bool went_back = journal_went_back(w, &shown);
	bool other_term = shows_other_term(t->fleet, greet->term);
	enum rc rc;

	if (other_term || !life_is_settled(&t->life, &shown)) {
		rc = greeting_begin(
		    w, &shown, went_back, other_term ? greet->term.p : NULL);
		return rc == RC_OK ? RC_AGAIN : rc;
	}
	if (went_back) {
		station_hold_journal(t, &shown, fault);
		return RC_DENIED;
	}
	station_saw_counter(t, greet->instance.journal, greet->counter);
	station_seen_by(t, w);
	return station_welcome(t, w->seal, false);
}

enum rc station_greeted(
    struct way *w, struct bytes message, struct fault *fault)
{
	struct station *t = w->station;
	struct msg_greet greet;
	enum rc rc = msg_greet_decode(message, &greet, fault);

	if (rc != RC_OK)
		return rc;
	fault->code = REASON_NONE;
	w->table_version = greet.table_version;
	rc = take(w, &greet, fault);
	if (t->role == ROLE_RELAY && (rc == RC_OK || rc == RC_AGAIN))
		peers_greeted(t, greet.listen);
	if (rc == RC_OK || rc == RC_AGAIN) {
		keep_version(t, &greet);
		upkeep_greeted(t, &greet, seal_peer(w->seal));
	} else if (fault->code == REASON_NONE) {
		fault_set(fault, REASON_MEMORY, t->fleet->at,
		    "%s: cannot welcome it: %s", t->name, rc_name(rc));
	}
	msg_greet_clear(&greet);
	return rc;
}

void station_saw_counter(
    struct station *t, const char *journal, uint64_t counter)
{
	if (strcmp(journal, t->life.journal) != 0 || counter <= t->life.counter)
		return;
	t->life.counter = counter;
	station_dirty(t, DIRTY_INSTANCE);
}
