#include "server/keeper.h"

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "server/ca/https_cert.h"
#include "server/ca/rotation.h"
#include "server/init.h"
#include "server/store/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACTIVE_MS 1000    /* while a rotation is under way */
#define IDLE_MS   3600000 /* else, at most */
#define IDLE_PART 40      /* or this part of a node's certificate's life */
#define DAY_S     (24LL * 3600)
#define WARN_S    (30 * DAY_S)

struct keeper {
	struct keeper_parts parts;
	struct loop_timer *timer;
	bool stopping, busy, again;
	bool failed;      /* following it: again soon */
	int64_t warned_s; /* about a key that is away */
};

struct look {
	struct store_job job;
	struct keeper *keeper;
	struct server_ca_rows rows;
	struct store_node node; /* what we are ourselves */
	bool moved;
};

void keeper_issuer(const struct server_keys *keys, struct fleet_issuer *out)
{
	*out = (struct fleet_issuer){ .agents = keys->agents,
		.nodes = keys->nodes,
		.roots = identity_roots(keys->identity),
		.bundle = bytes_of(keys->bundle, keys->bundle_len),
		.bundle_number = keys->bundle_number };
}

/* ---- the node follows ---- */

static MUST_CHECK enum rc tell_fleet(
    struct keeper *k, bool renewed, struct fault *fault)
{
	struct fleet_issuer issuer;

	keeper_issuer(k->parts.keys, &issuer);
	issuer.renewed = renewed;
	return fleet_set_issuer(k->parts.fleet, &issuer, fault);
}

static MUST_CHECK enum rc follow(
    struct keeper *k, const struct server_ca_rows *rows, struct fault *fault)
{
	const struct store_rotation *r = &rows->rotation;
	struct server_keys *keys = k->parts.keys;
	int64_t until_s = identity_not_after_s(keys->identity);
	const struct certs *roots;
	enum rc rc = server_keys_follow(k->parts.settings, rows, keys, fault);

	if (rc == RC_OK)
		rc = tell_fleet(
		    k, identity_not_after_s(keys->identity) != until_s, fault);
	if (rc != RC_OK)
		return rc;
	if (r->kind == ROTATION_ROOT && r->phase != ROTATION_SPREADING) {
		roots = identity_roots(keys->identity);
		init_login_root(
		    k->parts.settings, roots->cert[roots->count - 1]);
		api_set_root(k->parts.api, keys->root_hash);
		api_reload_certificate(k->parts.api);
	}
	return RC_OK;
}

static void take_rows(struct keeper *k, const struct server_ca_rows *rows)
{
	const struct store_rotation *r = &rows->rotation;
	struct fault fault = { .code = REASON_NONE };
	enum rc rc;

	if (r->id == k->parts.keys->rotation &&
	    r->phase == k->parts.keys->phase && !k->failed)
		return;
	rc = follow(k, rows, &fault);
	k->failed = rc != RC_OK;
	if (rc != RC_OK)
		log_error("keeper", NULL,
		    "the rotation of %s cannot be followed; trying again: %s",
		    rotation_kind_name(r->kind),
		    fault.code != REASON_NONE ? fault.text : rc_name(rc));
	else
		log_info("keeper", NULL, "rotation of %s: %s",
		    rotation_kind_name(r->kind), rotation_phase_name(r->phase));
}

/* ---- renewals ---- */

static void warn_once_a_day(
    struct keeper *k, const char *what, int64_t until_s, const char *remedy)
{
	int64_t now_s = clock_wall_ms() / 1000;
	char date[CERTS_DATE_SIZE];

	if (k->warned_s != 0 && now_s - k->warned_s < DAY_S)
		return;
	k->warned_s = now_s;
	certs_date(until_s, date);
	log_warn("keeper", NULL,
	    "the certificate of %s cannot be renewed and ends %s: %s", what,
	    date, remedy);
}

static void renew_node(struct keeper *k)
{
	const struct server_settings *settings = k->parts.settings;
	struct server_keys *keys = k->parts.keys;
	struct fault fault = { .code = REASON_NONE };
	bool changed = false;
	enum rc rc = server_keys_renew(
	    settings, keys, settings->node_certificate_s, &changed, &fault);

	if (rc == RC_OK && changed)
		rc = tell_fleet(k, true, &fault);
	if (rc == RC_OK && changed)
		log_info("keeper", NULL, "this node's certificate is renewed");
	if (rc != RC_OK)
		warn_once_a_day(k, "this node",
		    identity_not_after_s(keys->identity), fault.text);
}

static void renew_https(struct keeper *k)
{
	const int64_t now_s = clock_wall_ms() / 1000;
	struct fault fault = { .code = REASON_NONE };
	struct https_renewal renewal;
	enum rc rc =
	    https_cert_renew(k->parts.settings->state, now_s, &renewal, &fault);

	if (rc == RC_OK && renewal.changed) {
		api_reload_certificate(k->parts.api);
		log_info(
		    "keeper", NULL, "the HTTPS port's certificate is renewed");
	} else if (rc != RC_OK && renewal.until_s - now_s < WARN_S) {
		warn_once_a_day(
		    k, "the HTTPS port", renewal.until_s, fault.text);
	}
}

/* ---- looking ---- */

static enum rc look_job(struct db *db, struct store_job *job)
{
	struct look *l = CONTAINER_OF(job, struct look, job);
	enum rc rc = rotation_tick(db, (uint64_t)clock_wall_ms(),
	    l->keeper->parts.settings->settle_ms, &l->moved);

	if (rc == RC_OK)
		rc = store_node_seen(db, &l->node);
	return rc == RC_OK ? server_ca_rows_read(db, &l->rows) : rc;
}

static void fill_node(const struct keeper *k, struct store_node *node)
{
	const struct identity *identity = k->parts.keys->identity;

	(void)snprintf(node->name, sizeof(node->name), "%s",
	    identity_spiffe(identity)->name);
	(void)snprintf(
	    node->version, sizeof(node->version), "%s", LONGARM_VERSION);
	memcpy(node->spki, identity_key_hash(identity), sizeof(node->spki));
	node->not_after_ms = (uint64_t)identity_not_after_s(identity) * 1000;
	node->seen_ms = (uint64_t)clock_wall_ms();
}

static void set_timer(struct keeper *k)
{
	uint64_t idle =
	    (uint64_t)k->parts.settings->node_certificate_s * 1000 / IDLE_PART;

	if (k->again || k->failed ||
	    (k->parts.keys->rotation != 0 &&
		k->parts.keys->phase != ROTATION_DONE))
		idle = k->again ? 0 : ACTIVE_MS;
	k->again = false;
	if (!k->stopping)
		loop_timer_set(k->timer, idle < IDLE_MS ? idle : IDLE_MS);
}

static void looked(struct store_job *job, enum rc rc)
{
	struct look *l = CONTAINER_OF(job, struct look, job);
	struct keeper *k = l->keeper;

	k->busy = false;
	if (!k->stopping) {
		if (rc == RC_OK)
			take_rows(k, &l->rows);
		else
			log_error("keeper", NULL,
			    "cannot read rows of rotations: %s", rc_name(rc));
		if (rc == RC_OK && !k->failed) {
			renew_node(k);
			renew_https(k);
		}
		set_timer(k);
	}
	server_ca_rows_clear(&l->rows);
	free(l);
}

static void on_timer(void *arg)
{
	struct keeper *k = arg;
	struct look *l = calloc(1, sizeof(*l));

	if (l != NULL) {
		l->keeper = k;
		fill_node(k, &l->node);
		l->job.run = look_job;
		l->job.done = looked;
		l->job.loop = k->parts.loop;
		k->busy = store_submit(k->parts.store, &l->job) == RC_OK;
	}
	if (k->busy)
		return;
	free(l);
	loop_timer_set(k->timer, ACTIVE_MS);
}

void keeper_poke(struct keeper *k)
{
	if (k->stopping)
		return;
	if (k->busy)
		k->again = true;
	else
		loop_timer_set(k->timer, 0);
}

void keeper_stop(struct keeper *k)
{
	if (k == NULL)
		return;
	k->stopping = true;
	loop_timer_stop(k->timer);
}

enum rc keeper_new(const struct keeper_parts *parts, struct keeper **out)
{
	struct keeper *k = calloc(1, sizeof(*k));
	enum rc rc;

	if (k == NULL)
		return RC_NOMEM;
	k->parts = *parts;
	rc = loop_timer_new(parts->loop, on_timer, k, &k->timer);
	if (rc != RC_OK) {
		free(k);
		return rc;
	}
	loop_timer_set(k->timer, 0);
	*out = k;
	return RC_OK;
}

void keeper_free(struct keeper *k)
{
	if (k == NULL)
		return;
	loop_timer_free(k->timer);
	free(k);
}
