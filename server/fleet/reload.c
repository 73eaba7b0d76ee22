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
	uint64_t route_seq;
	struct store_machine *machines;
	struct store_instance *instances;
	size_t machine_count;
	struct store_relay *relays;
	size_t relay_count;
	struct store_revocation *revoked[REVOKED_COUNT];
	size_t revoked_count[REVOKED_COUNT];
	uint64_t revoked_number[REVOKED_COUNT];
};

static void load_free(struct load_job *l)
{
	store_machines_free(l->machines, l->machine_count);
	free(l->instances);
	free(l->relays);
	for (unsigned i = 0; i < REVOKED_COUNT; i++)
		free(l->revoked[i]);
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

static MUST_CHECK enum rc get_one(struct db *db, struct load_job *l)
{
	enum rc rc;

	if (l->kind == FLEET_RELAY) {
		l->relays = calloc(1, sizeof(*l->relays));
		if (l->relays == NULL)
			return RC_NOMEM;
		rc = store_relay_get(db, l->name, l->relays, &l->fault);
		l->relay_count = rc == RC_OK;
	} else {
		struct store_machine *row = calloc(1, sizeof(*row));

		if (row == NULL)
			return RC_NOMEM;
		rc = store_machine_get(db, l->name, row, &l->fault);
		if (rc == RC_OK)
			return take_machines(l, row, 1);
		free(row);
	}
	return rc == RC_NOTFOUND ? RC_OK : rc; /* then it has gone */
}

static enum rc load_rows(struct db *db, struct store_job *job)
{
	struct load_job *l = CONTAINER_OF(job, struct load_job, base.job);
	enum rc rc = store_route_seq(db, &l->route_seq);

	if (rc == RC_OK && l->kind == FLEET_ALL) {
		rc = list_machines(db, l);
		if (rc == RC_OK)
			rc = list_relays(db, l);
	} else if (rc == RC_OK) {
		rc = get_one(db, l);
	}
	if (rc == RC_OK)
		rc = list_revoked(db, l);
	for (size_t i = 0; i < l->machine_count && rc == RC_OK; i++)
		rc =
		    store_instance_get(db, l->machines[i].id, &l->instances[i]);
	return rc;
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
		upkeep_set_lists(f, lists);
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

static void remove_one(struct fleet *f, const struct load_job *l)
{
	struct station *t = station_find(
	    f, l->kind == FLEET_RELAY ? ROLE_RELAY : ROLE_TENTACLE, l->name);

	if (t != NULL)
		station_remove(t);
}

static MUST_CHECK enum rc apply(struct fleet *f, const struct load_job *l)
{
	struct station *t;
	enum rc rc = apply_revoked(f, l);

	if (l->route_seq > f->route_seq)
		f->route_seq = l->route_seq;
	if (l->kind == FLEET_ALL)
		TAILQ_FOREACH(t, &f->stations, all) t->seen = false;
	for (size_t i = 0; i < l->relay_count && rc == RC_OK; i++) {
		if (station_apply_relay(f, &l->relays[i]) == NULL)
			rc = RC_NOMEM;
	}
	for (size_t i = 0; i < l->machine_count && rc == RC_OK; i++) {
		if (station_apply_machine(
			f, &l->machines[i], &l->instances[i]) == NULL)
			rc = RC_NOMEM;
	}
	if (rc != RC_OK)
		return rc;
	if (l->kind == FLEET_ALL)
		remove_unseen(f);
	else if (l->relay_count + l->machine_count == 0)
		remove_one(f, l);
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

enum rc fleet_load(struct fleet *f, struct fault *fault)
{
	struct load_job *l = load_new(FLEET_ALL, "");
	enum rc rc;

	if (l == NULL)
		return RC_NOMEM;
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
