#include "server/restored.h"

#include "common/clock.h"
#include "common/random.h"
#include "server/fleet/term.h"
#include "server/store/audit.h"
#include "server/store/restore.h"
#include "server/store/setting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t now_ms(void)
{
	int64_t now = clock_wall_ms();

	return now > 0 ? (uint64_t)now : 1;
}

/* ---- the operator's word ---- */

struct restoring {
	struct store_job job;
	struct store_restore restore;
	char incarnation[64];
};

/* Later than the one that it had, whatever the clock says. */
static enum rc choose_incarnation(struct db *db, struct restoring *r)
{
	uint64_t secs = r->restore.now_ms / 1000, before;
	char random[ID_SIZE], *old = NULL;
	size_t len;
	enum rc rc = store_setting_get(db, SETTING_INCARNATION, &old, &len);

	if (rc != RC_OK)
		return rc;
	before = strtoull(old, NULL, 10);
	free(old);
	if (secs <= before)
		secs = before + 1;
	random_hex(random, ID_BYTES);
	(void)snprintf(r->incarnation, sizeof(r->incarnation), "%llu-%s",
	    (unsigned long long)secs, random);
	r->restore.incarnation = r->incarnation;
	return RC_OK;
}

static enum rc restore(struct db *db, struct store_job *job)
{
	struct restoring *r = CONTAINER_OF(job, struct restoring, job);
	struct store_audit audit = { .at_ms = r->restore.now_ms,
		.who = "longarm-server",
		.action = "server.restored",
		.object = "database" };
	enum rc rc = choose_incarnation(db, r);

	if (rc == RC_OK)
		rc = store_restore(db, &r->restore);
	if (rc == RC_OK)
		rc = store_audit_add(db, &audit);
	return rc;
}

enum rc server_restored(const struct server_settings *settings,
    struct restored_report *report, struct fault *fault)
{
	struct restoring r = { .job.run = restore, .restore.now_ms = now_ms() };
	struct store *store = NULL;
	enum rc rc = server_keys_check(settings, fault);

	if (rc == RC_OK)
		rc = store_open(settings->state, NULL, &store, fault);
	if (rc != RC_OK)
		return rc;
	rc = store_call(store, &r.job);
	store_close(store);
	if (rc != RC_OK)
		fault_set(fault, REASON_INTERNAL, "",
		    "the database cannot begin another life: %s", rc_name(rc));
	report->tasks = r.restore.tasks;
	report->runs = r.restore.runs;
	return rc;
}

/* ---- terms ---- */

struct beginning {
	struct store_job job;
	uint8_t id[TERM_ID_LEN];
	char *set_back; /* why nothing may be ordered; or NULL */
};

static enum rc begin(struct db *db, struct store_job *job)
{
	struct beginning *b = CONTAINER_OF(job, struct beginning, job);
	size_t len;
	enum rc rc =
	    store_setting_get(db, SETTING_SET_BACK, &b->set_back, &len);

	if (rc != RC_NOTFOUND)
		return rc;
	return store_term_add(db, b->id, now_ms());
}

enum rc server_term_begin(struct store *store, const struct server_keys *keys,
    uint8_t *term, struct fault *fault)
{
	struct beginning b = { .job.run = begin };
	enum rc rc;

	random_bytes(b.id, sizeof(b.id));
	rc = store_call(store, &b.job);
	if (rc == RC_OK && b.set_back != NULL) {
		fault_set(fault, REASON_CONFLICT, "",
		    "the database was put back from a copy: %.80s has been "
		    "told what it does not know; run longarm-server restored",
		    b.set_back);
		rc = RC_STATE;
	} else if (rc == RC_OK) {
		rc = term_make(
		    &keys->master, &keys->incarnation_msg, b.id, term);
	}
	free(b.set_back);
	return rc;
}
