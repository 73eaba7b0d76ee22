#include "server/fleet/incident.h"

#include "common/clock.h"
#include "common/log.h"
#include "server/fleet/fleet_private.h"
#include "server/store/audit.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The same again is not news for so long: who is refused dials again. */
#define NEWS_S 3600

struct incident_job {
	struct fleet_job base;
	struct store_audit row;
};

static void drop(struct fleet_job *job)
{
	struct incident_job *j = (struct incident_job *)job;

	free(j->row.detail);
	free(j);
}

static void done(struct fleet_job *job, enum rc rc)
{
	if (rc != RC_OK)
		log_warn(
		    "fleet", NULL, "incident not recorded: %s", rc_name(rc));
	drop(job);
}

static enum rc run(struct db *db, struct store_job *job)
{
	const struct incident_job *j =
	    CONTAINER_OF(job, struct incident_job, base.job);

	return store_audit_add(db, &j->row);
}

/* Has this been told already?  Remembers it. */
static bool is_known(struct incidents *all, const struct incident *what)
{
	uint64_t now_s = clock_monotonic_us() / 1000000;
	struct incident_memo *oldest = &all->memo[0];

	for (size_t i = 0; i < INCIDENTS_KNOWN; i++) {
		struct incident_memo *m = &all->memo[i];

		if (strcmp(m->who, what->who) == 0 &&
		    strcmp(m->object, what->object) == 0 &&
		    m->action == what->action && m->code == what->fault->code &&
		    now_s - m->at_s < NEWS_S)
			return true;
		if (m->at_s < oldest->at_s)
			oldest = m;
	}
	(void)snprintf(oldest->who, sizeof(oldest->who), "%s", what->who);
	(void)snprintf(
	    oldest->object, sizeof(oldest->object), "%s", what->object);
	oldest->action = what->action;
	oldest->code = what->fault->code;
	oldest->at_s = now_s;
	return false;
}

void incidents_init(struct incidents *all)
{
	memset(all, 0, sizeof(*all));
	/* a row every ten seconds, whoever pays for them */
	bucket_init(&all->rate, 1, 10000000, 100);
}

static char *detail_of(const struct fault *fault)
{
	json_t *o = json_pack("{s:s, s:s}", "reason", reason_name(fault->code),
	    "text", fault->text);
	char *text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);

	json_decref(o);
	return text;
}

void fleet_incident(struct fleet *f, const struct incident *what)
{
	struct incident_job *j;

	if (is_known(&f->incidents, what))
		return;
	log_warn_with("fleet", what->who,
	    LOG_FIELDS(
		LOG_TEXT("action", what->action), LOG_TEXT("from", what->from)),
	    "refused: %s", what->fault->text);
	if (!bucket_take(&f->incidents.rate, clock_monotonic_us()))
		return;
	j = calloc(1, sizeof(*j));
	if (j == NULL)
		return;
	j->base.done = done;
	j->base.drop = drop;
	j->row.at_ms = fleet_wall_ms();
	(void)snprintf(j->row.who, sizeof(j->row.who), "%s", what->who);
	(void)snprintf(j->row.from, sizeof(j->row.from), "%s", what->from);
	(void)snprintf(
	    j->row.action, sizeof(j->row.action), "%s", what->action);
	(void)snprintf(
	    j->row.object, sizeof(j->row.object), "%s", what->object);
	j->row.detail = detail_of(what->fault);
	if (fleet_submit(f, &j->base, run) != RC_OK)
		drop(&j->base);
}
