#include "common/log.h"
#include "server/fleet/fleet_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows in one job. */
#define WRITE_MAX 500

void station_dirty(struct station *t, unsigned what)
{
	struct fleet *f = t->fleet;

	if (t->dirty == 0)
		TAILQ_INSERT_TAIL(&f->dirty, t, dirty_next);
	t->dirty |= what;
	if (!f->writing && !f->stopping && !loop_timer_pending(f->write))
		loop_timer_set(f->write, f->settings->presence_ms);
}

/* --- Who is there ----------------------------------------------------------
 */

void station_route_state(struct station *t, size_t route,
    enum route_state state, const struct fault *fault)
{
	struct station_route *r = &t->route_states[route];

	if (r->state == ROUTE_UP && state == ROUTE_DOWN)
		station_fell(t, &r->flap);
	r->state = state;
	if (fault != NULL)
		r->fault = *fault;
	else
		fault_clear(&r->fault);
}

static enum store_presence by_routes(const struct station *t, struct fault *why)
{
	const struct station_route *down = NULL;

	fault_clear(why);
	for (size_t i = 0; i < t->route_total; i++) {
		const struct station_route *r = &t->route_states[i];

		if (r->state == ROUTE_UP) {
			fault_clear(why);
			return STORE_PRESENCE_ONLINE;
		}
		if (r->state == ROUTE_DOWN && down == NULL)
			down = r;
		if (why->code == REASON_NONE)
			*why = r->fault;
	}
	if (down == NULL)
		return STORE_PRESENCE_UNKNOWN;
	*why = down->fault;
	return STORE_PRESENCE_OFFLINE;
}

static enum store_presence presence_of(
    const struct station *t, struct fault *why)
{
	enum store_presence p;

	if (t->role == ROLE_RELAY && station_is_held(t, why))
		return STORE_PRESENCE_UNKNOWN;
	if (t->role == ROLE_RELAY &&
	    (control_is_open(t->control) || control_is_moving(t->control))) {
		fault_clear(why);
		return STORE_PRESENCE_ONLINE;
	}
	p = by_routes(t, why);
	/* A relay is only there once it takes orders. */
	if (t->role == ROLE_RELAY && p == STORE_PRESENCE_ONLINE)
		p = STORE_PRESENCE_UNKNOWN;
	return p;
}

static void tell_soon(struct station *t)
{
	struct fleet *f = t->fleet;

	if (t->role != ROLE_TENTACLE || t->has_moved)
		return;
	t->has_moved = true;
	TAILQ_INSERT_TAIL(&f->moved, t, moved_next);
	loop_timer_set(f->tell, 0);
}

void station_judge(struct station *t)
{
	struct fleet *f = t->fleet;
	struct fault why;
	enum store_presence now = presence_of(t, &why);
	bool same = now == t->presence && why.code == t->fault.code &&
	            strcmp(why.text, t->fault.text) == 0;

	if (f->stopping || same)
		return;
	if (now != t->presence)
		log_info_with("fleet", t->name,
		    LOG_FIELDS(LOG_TEXT("presence", store_presence_name(now))),
		    "%s",
		    why.text[0] != '\0'
			? why.text
			: (now == STORE_PRESENCE_ONLINE ? "is there"
							: "nothing is known"));
	t->presence = now;
	t->fault = why;
	if (now == STORE_PRESENCE_ONLINE)
		t->last_seen_ms = fleet_wall_ms();
	upkeep_want(t);
	station_dirty(t, DIRTY_PRESENCE);
	tell_soon(t);
}

void station_lost_seal(struct station *t)
{
	if (t->fleet->stopping)
		return;
	/* What its presence will be shows when the hop's end is dealt with. */
	t->tell_again = true;
	tell_soon(t);
}

void station_lost_word(struct station *t)
{
	if (t->fleet->stopping)
		return;
	t->lost_word = true;
	tell_soon(t);
}

/* Released again meanwhile or not: what it had promised is gone. */
static void tell_lost_word(struct station *t)
{
	const struct fleet_parts *parts = &t->fleet->parts;
	struct fault fault;
	char id[NAME_SIZE];

	if (!t->lost_word)
		return;
	t->lost_word = false;
	memcpy(id, t->id, sizeof(id));
	if (!station_is_held(t, &fault))
		fault_set(&fault, REASON_JOURNAL, t->fleet->at,
		    "%s: its journal is not the one that was known", t->name);
	parts->ops->machine_forgot(parts->owner, id, &fault);
}

void fleet_tell_moved(void *fleet)
{
	struct fleet *f = fleet;
	const struct fleet_ops *ops = f->parts.ops;
	struct station *t;

	while ((t = TAILQ_FIRST(&f->moved)) != NULL) {
		enum store_presence before = t->told, now;
		char id[NAME_SIZE];
		struct fault fault = t->fault;
		bool again =
		    t->tell_again && t->presence == STORE_PRESENCE_ONLINE;

		memcpy(id, t->id, sizeof(id));
		TAILQ_REMOVE(&f->moved, t, moved_next);
		t->has_moved = false;
		t->tell_again = false;
		now = t->told = t->presence;
		tell_lost_word(t);
		if (now == before && !again)
			continue;
		if (now == STORE_PRESENCE_ONLINE)
			ops->machine_up(f->parts.owner, id);
		else if (before == STORE_PRESENCE_ONLINE ||
			 now == STORE_PRESENCE_OFFLINE)
			ops->machine_down(f->parts.owner, id, &fault);
	}
}

/* --- What is written -------------------------------------------------------
 */

struct write_row {
	enum peer_role role;
	unsigned what;
	char id[NAME_SIZE];
	enum store_presence presence;
	struct fault fault;
	char version[NAME_SIZE], hold[NAME_SIZE];
	struct store_instance life;
};

struct write_job {
	struct fleet_job base;
	uint64_t now_ms;
	size_t count;
	struct write_row rows[];
};

/* Its start, nonce and token are greeting.c's. */
static MUST_CHECK enum rc write_instance(
    struct db *db, const struct write_row *r)
{
	enum rc rc =
	    store_instance_counter(db, r->id, r->life.journal, r->life.counter);

	/* Of a journal that is not the machine's any more. */
	if (rc == RC_STATE)
		rc = RC_OK;
	if (rc == RC_OK)
		rc = store_machine_set_version(db, r->id, r->version);
	return rc;
}

static MUST_CHECK enum rc write_machine(
    struct db *db, const struct write_row *r, uint64_t now_ms)
{
	enum rc rc = RC_OK;

	if (r->what & DIRTY_PRESENCE)
		rc = store_machine_set_presence(
		    db, r->id, r->presence, r->fault.text, now_ms);
	if (rc == RC_OK && (r->what & DIRTY_INSTANCE))
		rc = write_instance(db, r);
	if (rc == RC_OK && (r->what & DIRTY_HOLD))
		rc = store_machine_hold(db, r->id, r->hold);
	return rc;
}

static MUST_CHECK enum rc write_relay(
    struct db *db, const struct write_row *r, uint64_t now_ms)
{
	enum rc rc = RC_OK;

	if (r->what & DIRTY_PRESENCE)
		rc = store_relay_set_presence(
		    db, r->id, r->presence, r->fault.text, now_ms);
	if (rc == RC_OK && (r->what & DIRTY_INSTANCE))
		rc = store_relay_set_version(db, r->id, r->version);
	return rc;
}

static enum rc write_rows(struct db *db, struct store_job *job)
{
	struct write_job *w = CONTAINER_OF(job, struct write_job, base.job);

	for (size_t i = 0; i < w->count; i++) {
		const struct write_row *r = &w->rows[i];
		enum rc rc = r->role == ROLE_RELAY
		                 ? write_relay(db, r, w->now_ms)
		                 : write_machine(db, r, w->now_ms);

		/* Deleted meanwhile: nothing to write any more. */
		if (rc != RC_OK && rc != RC_NOTFOUND)
			return rc;
	}
	return RC_OK;
}

static void drop_write(struct fleet_job *job)
{
	free(CONTAINER_OF(job, struct write_job, base));
}

/* A job that failed is not repeated: the next change writes anew. */
static void wrote(struct fleet_job *job, enum rc rc)
{
	struct fleet *f = job->fleet;

	if (rc != RC_OK)
		log_error(
		    "fleet", "", "presence is not written: %s", rc_name(rc));
	f->writing = false;
	if (!TAILQ_EMPTY(&f->dirty))
		loop_timer_set(f->write, f->settings->presence_ms);
	drop_write(job);
}

static void take_row(struct station *t, struct write_row *r)
{
	*r = (struct write_row){
		.role = t->role,
		.what = t->dirty,
		.presence = t->presence,
		.fault = t->fault,
		.life = t->life,
	};
	memcpy(r->id, t->id, sizeof(r->id));
	memcpy(r->version, t->version, sizeof(r->version));
	memcpy(r->hold, t->hold, sizeof(r->hold));
}

void fleet_write_dirty(void *fleet)
{
	struct fleet *f = fleet;
	struct write_job *w =
	    calloc(1, sizeof(*w) + WRITE_MAX * sizeof(struct write_row));
	struct station *t;

	if (w == NULL) {
		loop_timer_set(f->write, 1000);
		return;
	}
	w->now_ms = fleet_wall_ms();
	w->base.done = wrote;
	w->base.drop = drop_write;
	while (w->count < WRITE_MAX && (t = TAILQ_FIRST(&f->dirty)) != NULL) {
		take_row(t, &w->rows[w->count++]);
		TAILQ_REMOVE(&f->dirty, t, dirty_next);
		t->dirty = 0;
	}
	f->writing = true;
	if (fleet_submit(f, &w->base, write_rows) != RC_OK) {
		f->writing = false;
		drop_write(&w->base);
		log_error("fleet", "", "presence is not written: busy");
	}
}
