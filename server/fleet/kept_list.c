#include "common/log.h"
#include "common/revocation_list.h"
#include "server/fleet/fleet_private.h"
#include "server/store/setting.h"

#include <stdlib.h>
#include <string.h>

/*
 * The signed list of revoked nodes is kept in the database, because the key
 * that signs it may be taken away: then the one that was signed last is told.
 */

struct keep_job {
	struct fleet_job base;
	uint8_t *data;
	size_t len;
};

static enum rc write_list(struct db *db, struct store_job *job)
{
	const struct keep_job *k = CONTAINER_OF(job, struct keep_job, base.job);

	return store_setting_set(db, SETTING_REVOKED_NODES, k->data, k->len);
}

static void drop(struct fleet_job *job)
{
	struct keep_job *k = CONTAINER_OF(job, struct keep_job, base);

	free(k->data);
	free(k);
}

static void kept(struct fleet_job *job, enum rc rc)
{
	if (rc != RC_OK)
		log_warn("fleet", "nodes",
		    "the signed list of revoked keys is not kept: %s",
		    rc_name(rc));
	drop(job);
}

void kept_list_write(struct fleet *f, struct bytes list)
{
	struct keep_job *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return;
	k->base.done = kept;
	k->base.drop = drop;
	k->len = list.len;
	k->data = malloc(list.len + 1);
	if (k->data != NULL)
		memcpy(k->data, list.p, list.len);
	if (k->data == NULL || fleet_submit(f, &k->base, write_list) != RC_OK)
		drop(&k->base);
}

enum rc kept_list_read(struct db *db, uint8_t **data, size_t *len)
{
	char *value = NULL;
	enum rc rc = store_setting_get(db, SETTING_REVOKED_NODES, &value, len);

	*data = (uint8_t *)value;
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc kept_list_use(const struct fleet *f, struct bytes list, uint64_t number,
    struct packbuf *out)
{
	struct revocation_list_read read;
	struct fault fault;
	enum rc rc;

	if (list.len == 0)
		return RC_NOTFOUND;
	rc = revocation_list_verify(f->parts.trust, list,
	    (int64_t)(fleet_wall_ms() / 1000), &read, &fault);
	if (rc != RC_OK)
		return rc;
	if (read.kind != REVOKED_NODES || read.list.number != number)
		return RC_STATE;
	packbuf_append(out, list);
	return packbuf_rc(out);
}
