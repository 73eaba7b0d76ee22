#include "common/log.h"
#include "common/random.h"
#include "server/fleet/fleet_private.h"
#include "server/store/restore.h"
#include "server/store/setting.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * One greet of a machine or relay on its way through the store.  A token is
 * written before it is given: whoever is killed in between, what the machine
 * has on its disk is known here.
 *
 * A fork counts only when the row is still the one that was known when the seal
 * was opened.  Else the greet may be the last word of the instance before: then
 * the seal is opened again, and the dead do not answer.
 */
struct greeting {
	struct fleet_job base;
	struct way *way; /* NULL: its seal is gone */
	enum peer_role role;
	char id[NAME_SIZE];
	struct life_shown shown;
	bool went_back;             /* its journal did */
	struct store_instance seen; /* when the seal was opened */
	uint8_t fresh[SUCCESSION_LEN];
	bool has_term; /* which must be known */
	uint8_t term[TERM_ID_LEN];
	struct store_copy known, other; /* filled up when it is a fork */
	/* Out. */
	enum life_verdict verdict;
	bool held;     /* it is now */
	bool set_back; /* the database was: it knows less than was told */
	bool give;
	struct store_instance now;
};

static void destroy(struct greeting *g)
{
	OPENSSL_cleanse(g, sizeof(*g));
	free(g);
}

static void drop(struct fleet_job *job)
{
	destroy(CONTAINER_OF(job, struct greeting, base));
}

void greeting_leave(struct way *w)
{
	if (w->greeting != NULL)
		w->greeting->way = NULL;
	w->greeting = NULL;
}

static struct store_member member_of(enum peer_role role, const char *id)
{
	return (struct store_member){
		role == ROLE_RELAY ? STORE_ROLE_RELAY : STORE_ROLE_TENTACLE, id
	};
}

/* --- On the SQL thread -----------------------------------------------------
 */

static void fill_copies(struct greeting *g, const struct store_instance *row)
{
	struct store_copy *known = &g->known, *other = &g->other;
	const struct msg_instance *i = &g->shown.instance;

	known->known = true;
	known->start = row->start;
	known->counter = row->counter;
	memcpy(known->nonce, row->nonce, sizeof(known->nonce));
	memcpy(known->journal, row->journal, sizeof(known->journal));
	memcpy(known->succession, row->succession, sizeof(known->succession));
	other->start = i->start;
	other->counter = g->shown.counter;
	memcpy(other->nonce, i->nonce, sizeof(other->nonce));
	memcpy(other->journal, i->journal, sizeof(other->journal));
	memcpy(other->succession, g->shown.token, sizeof(other->succession));
}

static enum rc check_term(struct db *db, struct greeting *g)
{
	char text[STORE_TEXT_SIZE];
	enum rc rc = store_term_find(db, g->term);

	if (rc != RC_NOTFOUND)
		return rc;
	g->set_back = true;
	(void)snprintf(text, sizeof(text), "%s %s",
	    g->role == ROLE_RELAY ? "relay" : "machine", g->id);
	return store_setting_set(db, SETTING_SET_BACK, text, strlen(text));
}

static enum rc judge(struct db *db, struct store_job *job)
{
	struct greeting *g = CONTAINER_OF(job, struct greeting, base.job);
	const struct store_member of = member_of(g->role, g->id);
	struct store_instance row;
	enum rc rc = store_instance_get(db, &of, &row);

	if (rc == RC_OK && g->has_term)
		rc = check_term(db, g);
	if (rc != RC_OK || g->set_back)
		return rc;
	g->verdict = life_judge(&row, &g->shown);
	if (life_is_settled(&row, &g->shown) && !g->went_back) {
		g->now = row;
		return RC_OK;
	}
	g->went_back = g->went_back || life_lost_journal(&row, &g->shown);
	if (g->verdict != LIFE_FORK && g->went_back)
		return RC_OK;
	if (g->verdict != LIFE_FORK) {
		g->give = life_follow(&row, &g->shown, g->fresh, &g->now);
		return store_instance_swap(db, &of, &row, &g->now);
	}
	g->held =
	    row.start == g->seen.start && strcmp(row.nonce, g->seen.nonce) == 0;
	if (!g->held)
		return RC_OK;
	fill_copies(g, &row);
	return store_instance_fork(db, &of, &g->known, &g->other);
}

/* --- On the loop -----------------------------------------------------------
 */

static void hold(const struct greeting *g, struct station *t, struct way *w)
{
	struct fault fault;

	(void)snprintf(t->hold, sizeof(t->hold), "clone");
	log_error_with("fleet", t->name,
	    LOG_FIELDS(LOG_TEXT("known", g->known.nonce),
		LOG_TEXT("known_via", g->known.via),
		LOG_TEXT("other", g->other.nonce),
		LOG_TEXT("other_via", g->other.via)),
	    "another copy of it has shown itself; it is held until an "
	    "operator releases it");
	if (w != NULL && station_is_held(t, &fault))
		way_accuse(
		    w, "machine.held", g->shown.instance.journal, &fault);
	station_lost_word(t);
	station_end_ways(t);
	station_judge(t);
}

static void go_on(const struct greeting *g, struct station *t, struct way *w)
{
	uint64_t counter = g->now.counter;
	struct fault fault;
	enum rc rc;

	/* Counters are written late. */
	if (strcmp(t->life.journal, g->now.journal) == 0 &&
	    t->life.counter > g->now.counter)
		counter = t->life.counter;
	t->life = g->now;
	t->life.counter = counter;
	if (w == NULL)
		return;
	station_seen_by(t, w);
	rc = station_welcome(t, w->seal, g->give);
	if (rc == RC_OK) {
		w->gave = g->give;
		memcpy(w->given, g->now.succession, sizeof(w->given));
		way_greeted(w, NULL);
		return;
	}
	fault_set(&fault, REASON_MEMORY, t->fleet->at,
	    "%s: cannot welcome it: %s", t->name, rc_name(rc));
	way_greeted(w, &fault);
}

static void tell_set_back(struct station *t, struct way *w)
{
	const struct fleet_parts *parts = &t->fleet->parts;
	struct fault fault;

	fault_set(&fault, REASON_CONFLICT, t->fleet->at,
	    "the database was put back from a copy: %s has been told what it "
	    "does not know; stop, run longarm-server restored, start again",
	    t->name);
	if (w != NULL)
		way_greeted(w, &fault);
	parts->ops->set_back(parts->owner, &fault);
}

static void judged(struct fleet_job *job, enum rc rc)
{
	struct greeting *g = CONTAINER_OF(job, struct greeting, base);
	struct station *t = station_find(job->fleet, g->role, g->id);
	struct way *w = g->way;
	struct fault fault;

	if (w != NULL)
		greeting_leave(w);
	if (t == NULL || (rc != RC_OK && w == NULL)) {
		destroy(g);
		return;
	}
	if (rc == RC_OK && g->set_back) {
		tell_set_back(t, w);
	} else if (rc == RC_OK && g->held) {
		hold(g, t, w);
	} else if (rc == RC_OK && g->verdict != LIFE_FORK && g->went_back) {
		station_hold_journal(t, &g->shown, &fault);
	} else if (rc == RC_OK && g->verdict != LIFE_FORK) {
		go_on(g, t, w);
	} else if (w != NULL) {
		fault_set(&fault,
		    rc == RC_OK ? REASON_AGENT_DOWN : REASON_INTERNAL,
		    t->fleet->at, "%s: %s", t->name,
		    rc == RC_OK ? "an instance that has ended answered"
				: rc_name(rc));
		way_greeted(w, &fault);
	}
	destroy(g);
}

enum rc greeting_begin(struct way *w, const struct life_shown *shown,
    bool went_back, const uint8_t *term)
{
	struct station *t = w->station;
	struct greeting *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return RC_NOMEM;
	g->base.done = judged;
	g->base.drop = drop;
	g->shown = *shown;
	g->went_back = went_back;
	g->has_term = term != NULL;
	if (term != NULL)
		memcpy(g->term, term, sizeof(g->term));
	g->seen = w->seen;
	g->role = t->role;
	memcpy(g->id, t->id, sizeof(g->id));
	random_bytes(g->fresh, sizeof(g->fresh));
	memcpy(g->known.via, t->life_via, sizeof(g->known.via));
	g->known.seen_ms = t->life_at_ms;
	way_via(w, g->other.via, sizeof(g->other.via));
	g->other.seen_ms = fleet_wall_ms();
	if (fleet_submit(t->fleet, &g->base, judge) != RC_OK) {
		destroy(g);
		return RC_LIMIT;
	}
	g->way = w;
	w->greeting = g;
	return RC_OK;
}

/* --- The token has arrived -------------------------------------------------
 */

struct confirming {
	struct fleet_job base;
	enum peer_role role;
	char id[NAME_SIZE];
	uint8_t token[SUCCESSION_LEN];
};

static enum rc confirm(struct db *db, struct store_job *job)
{
	const struct confirming *c =
	    CONTAINER_OF(job, struct confirming, base.job);
	const struct store_member of = member_of(c->role, c->id);
	struct store_instance row, next;
	enum rc rc = store_instance_get(db, &of, &row);

	if (rc != RC_OK ||
	    CRYPTO_memcmp(row.succession, c->token, sizeof(c->token)) != 0)
		return rc == RC_NOTFOUND ? RC_OK : rc;
	next = row;
	life_confirm(&next);
	return store_instance_swap(db, &of, &row, &next);
}

static void drop_confirming(struct fleet_job *job)
{
	free(CONTAINER_OF(job, struct confirming, base));
}

/* Not noted, the token before is good for a while longer. */
static void confirmed(struct fleet_job *job, enum rc rc)
{
	const struct confirming *c = CONTAINER_OF(job, struct confirming, base);
	struct station *t = station_find(job->fleet, c->role, c->id);

	if (rc != RC_OK)
		log_warn("fleet", c->id,
		    "a succession token is not noted as confirmed: %s",
		    rc_name(rc));
	else if (t != NULL && CRYPTO_memcmp(t->life.succession, c->token,
				  sizeof(c->token)) == 0)
		life_confirm(&t->life);
	drop_confirming(job);
}

void greeting_confirmed(const struct way *w)
{
	const struct station *t = w->station;
	struct confirming *c;

	if (!w->gave)
		return;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return;
	c->base.done = confirmed;
	c->base.drop = drop_confirming;
	c->role = t->role;
	memcpy(c->id, t->id, sizeof(c->id));
	memcpy(c->token, w->given, sizeof(c->token));
	if (fleet_submit(t->fleet, &c->base, confirm) != RC_OK)
		drop_confirming(&c->base);
}
