#include "common/log.h"
#include "common/revocations.h"
#include "server/fleet/fleet_private.h"
#include "server/store/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* After the store was too busy to read all rows. */
#define AGAIN_MS 1000

struct load_job {
	struct fleet_job base;
	enum fleet_kind kind;
	char name[NAME_SIZE];
	struct fault fault;
	bool at_start;
	uint64_t after;     /* all up to this number is known already */
	uint64_t route_seq; /* and after this job, up to this one */
	struct store_gone *gone;
	size_t gone_count;
	struct store_machine *machines;
	struct store_instance *instances;
	size_t machine_count;
	struct store_relay *relays;
	struct store_instance *relay_instances;
	size_t relay_count;
	struct store_revocation *revoked[REVOKED_COUNT];
	size_t revoked_count[REVOKED_COUNT];
	uint64_t revoked_number[REVOKED_COUNT];
	uint8_t *kept; /* the signed list of nodes; NULL: none */
	size_t kept_len;
};

static void load_free(struct load_job *l)
{
	store_machines_free(l->machines, l->machine_count);
	free(l->instances);
	free(l->relays);
	free(l->relay_instances);
	free(l->gone);
	for (unsigned i = 0; i < REVOKED_COUNT; i++)
		free(l->revoked[i]);
	free(l->kept);
	free(l);
}

static void load_drop(struct fleet_job *job)
{
	load_free(CONTAINER_OF(job, struct load_job, base));
}

/* --- On the SQL thread -----------------------------------------------------
 */

/* Moves the rows of one page over; frees the page. */
static MUST_CHECK enum rc take_machines(
    struct load_job *l, struct store_machine *rows, size_t count)
{
	size_t all = l->machine_count + count;
	struct store_machine *machines =
	    realloc(l->machines, (all + 1) * sizeof(*machines));
	struct store_instance *instances;

	if (machines != NULL)
		l->machines = machines;
	instances = realloc(l->instances, (all + 1) * sizeof(*instances));
	if (instances != NULL)
		l->instances = instances;
	if (machines == NULL || instances == NULL) {
		store_machines_free(rows, count);
		return RC_NOMEM;
	}
	if (count > 0)
		memcpy(
		    machines + l->machine_count, rows, count * sizeof(*rows));
	memset(
	    instances + l->machine_count, 0, (count + 1) * sizeof(*instances));
	l->machine_count = all;
	free(rows);
	return RC_OK;
}

static MUST_CHECK enum rc list_machines(struct db *db, struct load_job *l)
{
	const struct store_machine_filter any = { .environment = NULL };
	struct page page = { .limit = STORE_PAGE_MAX };
	char after[STORE_NAME_SIZE];
	size_t count = 0;
	enum rc rc;

	do {
		struct store_machine *rows = NULL;

		rc = store_machine_list(db, &any, &page, &rows, &count);
		if (rc == RC_OK)
			rc = take_machines(l, rows, count);
		if (rc == RC_OK && count > 0) {
			memcpy(after, l->machines[l->machine_count - 1].name,
			    sizeof(after));
			page.after = after;
		}
	} while (rc == RC_OK && count == STORE_PAGE_MAX);
	return rc;
}

static MUST_CHECK enum rc list_relays(struct db *db, struct load_job *l)
{
	struct page page = { .limit = STORE_PAGE_MAX };
	char after[STORE_NAME_SIZE];
	size_t count = 0;
	enum rc rc;

	do {
		struct store_relay *rows = NULL, *all;

		rc = store_relay_list(db, &page, &rows, &count);
		if (rc != RC_OK)
			break;
		all = realloc(
		    l->relays, (l->relay_count + count + 1) * sizeof(*all));
		if (all == NULL) {
			free(rows);
			return RC_NOMEM;
		}
		l->relays = all;
		memcpy(all + l->relay_count, rows, count * sizeof(*rows));
		l->relay_count += count;
		free(rows);
		if (count > 0) {
			memcpy(
			    after, all[l->relay_count - 1].name, sizeof(after));
			page.after = after;
		}
	} while (count == STORE_PAGE_MAX);
	return rc;
}

static MUST_CHECK enum rc list_revoked(struct db *db, struct load_job *l)
{
	uint64_t now_ms = fleet_wall_ms();
	enum rc rc = RC_OK;

	for (unsigned i = 0; i < REVOKED_COUNT && rc == RC_OK; i++)
		rc = store_revocation_list(db, i == REVOKED_NODES, now_ms,
		    &l->revoked[i], &l->revoked_count[i],
		    &l->revoked_number[i]);
	return rc;
}

static MUST_CHECK enum rc get_relay(
    struct db *db, struct load_job *l, const char *name)
{
	struct store_relay *all =
	    realloc(l->relays, (l->relay_count + 1) * sizeof(*all));
	enum rc rc;

	if (all == NULL)
		return RC_NOMEM;
	l->relays = all;
	rc = store_relay_get(db, name, &all[l->relay_count], &l->fault);
	if (rc == RC_OK)
		l->relay_count++;
	return rc == RC_NOTFOUND ? RC_OK : rc; /* then it has gone */
}

static MUST_CHECK enum rc get_machine(
    struct db *db, struct load_job *l, const char *id)
{
	struct store_machine *row = calloc(1, sizeof(*row));
	enum rc rc;

	if (row == NULL)
		return RC_NOMEM;
	rc = store_machine_get(db, id, row, &l->fault);
	if (rc == RC_OK)
		return take_machines(l, row, 1);
	free(row);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static MUST_CHECK enum rc get_target(
    struct db *db, struct load_job *l, const char *text)
{
	struct target target;
	struct fault fault;

	if (target_parse(text, &target, &fault) != RC_OK)
		return RC_OK;
	if (target.kind == TARGET_RELAY)
		return get_relay(db, l, target.name);
	return get_machine(db, l, target.name);
}

/* Who has left since; at the start: ever. */
static MUST_CHECK enum rc list_gone(struct db *db, struct load_job *l)
{
	uint64_t after = l->after;
	size_t count = 0;
	enum rc rc;

	do {
		struct store_gone *rows = NULL, *all;

		rc = store_route_gone(db, after, STORE_PAGE_MAX, &rows, &count);
		if (rc != RC_OK)
			return rc;
		all = realloc(
		    l->gone, (l->gone_count + count + 1) * sizeof(*all));
		if (all == NULL) {
			free(rows);
			return RC_NOMEM;
		}
		l->gone = all;
		memcpy(all + l->gone_count, rows, count * sizeof(*rows));
		l->gone_count += count;
		if (count > 0)
			after = rows[count - 1].seq;
		free(rows);
	} while (count == STORE_PAGE_MAX);
	return RC_OK;
}

static MUST_CHECK enum rc list_all(struct db *db, struct load_job *l)
{
	enum rc rc = list_machines(db, l);

	if (rc == RC_OK)
		rc = list_relays(db, l);
	if (rc == RC_OK && l->at_start)
		rc = list_gone(db, l);
	return rc;
}

/* Others that have changed, whose own notice may still be on its way: so that
 * the numbers known have no gaps. */
static MUST_CHECK enum rc list_changed(struct db *db, struct load_job *l)
{
	struct store_gone *rows;
	size_t count;
	enum rc rc =
	    store_route_changed(db, l->after, STORE_PAGE_MAX, &rows, &count);

	if (rc != RC_OK)
		return rc;
	if (count == STORE_PAGE_MAX) {
		l->kind = FLEET_ALL;
		rc = list_all(db, l);
	}
	for (size_t i = 0; l->kind != FLEET_ALL && i < count && rc == RC_OK;
	     i++)
		rc = get_target(db, l, rows[i].target);
	free(rows);
	if (rc == RC_OK)
		rc = list_gone(db, l);
	return rc;
}

/* The one that was named is most often all there is. */
static MUST_CHECK enum rc get_one(struct db *db, struct load_job *l)
{
	uint64_t seq = 0;
	enum rc rc = l->kind == FLEET_RELAY ? get_relay(db, l, l->name)
	                                    : get_machine(db, l, l->name);

	if (rc != RC_OK)
		return rc;
	if (l->relay_count > 0)
		seq = l->relays[0].route_seq;
	else if (l->machine_count > 0)
		seq = l->machines[0].route_seq;
	if (l->route_seq <= l->after ||
	    (l->route_seq == l->after + 1 && seq == l->route_seq))
		return RC_OK;
	return list_changed(db, l);
}

static MUST_CHECK enum rc get_instances(struct db *db, struct load_job *l)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < l->machine_count && rc == RC_OK; i++)
		rc = store_instance_get(db,
		    &(struct store_member){
			STORE_ROLE_TENTACLE, l->machines[i].id },
		    &l->instances[i]);
	l->relay_instances =
	    calloc(l->relay_count + 1, sizeof(*l->relay_instances));
	if (l->relay_instances == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < l->relay_count && rc == RC_OK; i++)
		rc = store_instance_get(db,
		    &(struct store_member){
			STORE_ROLE_RELAY, l->relays[i].name },
		    &l->relay_instances[i]);
	return rc;
}

static enum rc load_rows(struct db *db, struct store_job *job)
{
	struct load_job *l = CONTAINER_OF(job, struct load_job, base.job);
	enum rc rc = store_route_seq(db, &l->route_seq);

	if (rc == RC_OK)
		rc = l->kind == FLEET_ALL ? list_all(db, l) : get_one(db, l);
	if (rc == RC_OK)
		rc = list_revoked(db, l);
	if (rc == RC_OK)
		rc = kept_list_read(db, &l->kept, &l->kept_len);
	return rc == RC_OK ? get_instances(db, l) : rc;
}

/* --- On the loop -----------------------------------------------------------
 */

static MUST_CHECK enum rc hashes_of(const struct load_job *l, unsigned kind,
    uint8_t **hashes, struct revocation_list *out)
{
	size_t count = l->revoked_count[kind];

	*hashes = malloc(count * KEY_HASH_SIZE + 1);
	if (*hashes == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < count; i++)
		memcpy(*hashes + i * KEY_HASH_SIZE, l->revoked[kind][i].spki,
		    KEY_HASH_SIZE);
	*out = (struct revocation_list){
		.number = l->revoked_number[kind],
		.hashes = *hashes,
		.count = count,
	};
	return RC_OK;
}

static MUST_CHECK enum rc apply_revoked(
    struct fleet *f, const struct load_job *l)
{
	struct revocation_list lists[REVOKED_COUNT] = { { .number = 0 } };
	uint8_t *hashes[REVOKED_COUNT] = { NULL };
	struct revocations *r = NULL;
	enum rc rc = RC_OK;

	for (unsigned i = 0; i < REVOKED_COUNT && rc == RC_OK; i++)
		rc = hashes_of(l, i, &hashes[i], &lists[i]);
	if (rc == RC_OK)
		rc = revocations_new(lists, &r);
	if (rc == RC_OK) {
		trust_set_revocations(f->parts.trust, r);
		upkeep_set_lists(f, lists, bytes_of(l->kept, l->kept_len));
	}
	revocations_unref(r);
	for (unsigned i = 0; i < REVOKED_COUNT; i++)
		free(hashes[i]);
	return rc;
}

static void remove_unseen(struct fleet *f)
{
	struct station *t, *next;

	for (t = TAILQ_FIRST(&f->stations); t != NULL; t = next) {
		next = TAILQ_NEXT(t, all);
		if (!t->seen)
			station_remove(t);
	}
}

static bool is_among(const struct load_job *l, const struct station *t)
{
	for (size_t i = 0; i < l->relay_count && t->role == ROLE_RELAY; i++) {
		if (strcmp(l->relays[i].name, t->id) == 0)
			return true;
	}
	for (size_t i = 0; i < l->machine_count && t->role != ROLE_RELAY; i++) {
		if (strcmp(l->machines[i].id, t->id) == 0)
			return true;
	}
	return false;
}

static void remove_one(struct fleet *f, const struct load_job *l,
    enum peer_role role, const char *id)
{
	struct station *t = station_find(f, role, id);

	if (t != NULL && !is_among(l, t))
		station_remove(t);
}

static void remove_gone(struct fleet *f, const struct load_job *l)
{
	remove_one(
	    f, l, l->kind == FLEET_RELAY ? ROLE_RELAY : ROLE_TENTACLE, l->name);
	for (size_t i = 0; i < l->gone_count; i++) {
		struct target target;
		struct fault fault;

		if (target_parse(l->gone[i].target, &target, &fault) == RC_OK)
			remove_one(f, l,
			    target.kind == TARGET_RELAY ? ROLE_RELAY
							: ROLE_TENTACLE,
			    target.name);
	}
}

/* Those of before this process, oldest first; a relay may know them. */
static MUST_CHECK enum rc take_gone(struct fleet *f, const struct load_job *l)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < l->gone_count && rc == RC_OK; i++)
		rc = station_add_gone(f, l->gone[i].target, l->gone[i].seq);
	return rc;
}

static MUST_CHECK enum rc apply_rows(struct fleet *f, const struct load_job *l)
{
	struct station *t;

	if (l->kind == FLEET_ALL)
		TAILQ_FOREACH(t, &f->stations, all) t->seen = false;
	for (size_t i = 0; i < l->relay_count; i++) {
		if (station_note_routes(f, &l->relays[i]) != RC_OK)
			return RC_NOMEM;
	}
	for (size_t i = 0; i < l->relay_count; i++) {
		if (station_apply_relay(
			f, &l->relays[i], &l->relay_instances[i]) == NULL)
			return RC_NOMEM;
	}
	for (size_t i = 0; i < l->machine_count; i++) {
		if (station_apply_machine(
			f, &l->machines[i], &l->instances[i]) == NULL)
			return RC_NOMEM;
	}
	return RC_OK;
}

static MUST_CHECK enum rc apply(struct fleet *f, const struct load_job *l)
{
	enum rc rc = apply_revoked(f, l);

	if (rc == RC_OK && l->at_start)
		rc = take_gone(f, l);
	if (rc == RC_OK)
		rc = apply_rows(f, l);
	if (rc != RC_OK)
		return rc;
	/* No number up to it is missing now. */
	if (l->route_seq > f->route_seq) {
		f->route_seq = l->route_seq;
		controls_push(f);
	}
	if (l->kind == FLEET_ALL)
		remove_unseen(f);
	else
		remove_gone(f, l);
	return RC_OK;
}

static void loaded(struct fleet_job *job, enum rc rc)
{
	struct load_job *l = CONTAINER_OF(job, struct load_job, base);
	struct fleet *f = job->fleet;

	if (rc == RC_OK)
		rc = apply(f, l);
	if (rc != RC_OK) {
		log_error(
		    "fleet", l->name, "cannot read its rows: %s", rc_name(rc));
		loop_timer_set(f->again, AGAIN_MS);
	}
	load_free(l);
}

static struct load_job *load_new(enum fleet_kind kind, const char *name)
{
	struct load_job *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->kind = kind;
	(void)snprintf(l->name, sizeof(l->name), "%s", name);
	l->base.done = loaded;
	l->base.drop = load_drop;
	return l;
}

void fleet_changed(struct fleet *f, enum fleet_kind kind, const char *name)
{
	struct load_job *l = load_new(kind, name != NULL ? name : "");

	if (l != NULL)
		l->after = f->route_seq;
	if (l != NULL && fleet_submit(f, &l->base, load_rows) == RC_OK)
		return;
	if (l != NULL)
		load_free(l);
	loop_timer_set(f->again, AGAIN_MS);
}

void fleet_read_again(void *fleet)
{
	fleet_changed(fleet, FLEET_ALL, "");
}

/* --- A database behind its relays ------------------------------------------
 */

/* A relay that lies harms itself; but numbers must not run out. */
#define AHEAD_MAX 1000000

struct catch_job {
	struct fleet_job base;
	uint64_t seq;
};

static enum rc raise_route(struct db *db, struct store_job *job)
{
	const struct catch_job *c =
	    CONTAINER_OF(job, struct catch_job, base.job);

	return store_route_raise(db, c->seq);
}

static void catch_drop(struct fleet_job *job)
{
	free(CONTAINER_OF(job, struct catch_job, base));
}

static void caught_up(struct fleet_job *job, enum rc rc)
{
	struct fleet *f = job->fleet;

	if (rc == RC_OK)
		fleet_changed(f, FLEET_ALL, "");
	else
		log_error("fleet", "",
		    "the numbers of routes are not raised: %s", rc_name(rc));
	catch_drop(job);
}

void fleet_catch_up(struct fleet *f, uint64_t seq)
{
	struct catch_job *c;

	if (seq <= f->route_seq)
		return;
	if (seq - f->route_seq > AHEAD_MAX) {
		log_error("fleet", "",
		    "a relay tells of route table %llu, and this server's is "
		    "%llu: it is not believed",
		    (unsigned long long)seq, (unsigned long long)f->route_seq);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return;
	c->base.done = caught_up;
	c->base.drop = catch_drop;
	c->seq = seq;
	if (fleet_submit(f, &c->base, raise_route) != RC_OK)
		catch_drop(&c->base);
}

enum rc fleet_load(struct fleet *f, struct fault *fault)
{
	struct load_job *l = load_new(FLEET_ALL, "");
	enum rc rc;

	if (l == NULL)
		return RC_NOMEM;
	l->at_start = true;
	l->base.job.run = load_rows;
	rc = store_call(f->parts.store, &l->base.job);
	if (rc == RC_OK)
		rc = apply(f, l);
	if (rc != RC_OK)
		fault_set(fault, REASON_INTERNAL, "",
		    "cannot read machines and relays: %s", rc_name(rc));
	load_free(l);
	return rc;
}
