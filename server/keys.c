#include "server/keys.h"

#include "common/fs.h"
#include "common/secret.h"
#include "server/store/setting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SMALL_FILE 256

enum rc server_keys_check(
    const struct server_settings *settings, struct fault *fault)
{
	static const char *const needed[] = { "longarm.db", "master.key",
		"node" };
	char path[SERVER_PATH_SIZE];

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		enum rc rc = server_path(settings, needed[i], path, fault);

		if (rc != RC_OK)
			return rc;
		if (access(path, F_OK) == 0)
			continue;
		fault_set(fault, REASON_NOT_FOUND, "",
		    "%s is missing: make a cluster by: longarm-server init",
		    path);
		return RC_NOTFOUND;
	}
	return fs_check_private(settings->state, fault);
}

static MUST_CHECK enum rc load_master(const struct server_settings *settings,
    struct wrap_key *out, struct fault *fault)
{
	char path[SERVER_PATH_SIZE];
	struct secret *text = NULL;
	enum rc rc = server_path(settings, "master.key", path, fault);

	if (rc == RC_OK)
		rc = secret_read(path, SMALL_FILE, &text, fault);
	if (rc == RC_OK)
		rc = wrap_key_parse((const char *)secret_data(text),
		    secret_len(text), out, fault);
	secret_free(text);
	return rc;
}

static MUST_CHECK enum rc load_node_id(const struct server_settings *settings,
    char out[ID_SIZE], struct fault *fault)
{
	char path[SERVER_PATH_SIZE], id[ID_SIZE] = "";
	uint8_t *text = NULL;
	size_t len;
	enum rc rc = server_path(settings, "node.id", path, fault);

	if (rc == RC_OK)
		rc = fs_read_file(path, SMALL_FILE, &text, &len, fault);
	if (rc != RC_OK)
		return rc;
	if (len >= ID_SIZE - 1)
		memcpy(id, text, ID_SIZE - 1);
	free(text);
	if (!id_is_valid(id)) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "%s does not hold 32 hexadecimal digits", path);
		return RC_PROTO;
	}
	memcpy(out, id, ID_SIZE);
	return RC_OK;
}

static MUST_CHECK enum rc load_identity(const struct server_settings *settings,
    struct server_keys *k, struct fault *fault)
{
	char path[SERVER_PATH_SIZE];
	const struct spiffe *id;
	enum rc rc = server_path(settings, "node", path, fault);

	if (rc == RC_OK)
		rc = identity_load(path, &k->identity, fault);
	if (rc != RC_OK)
		return rc;
	id = identity_spiffe(k->identity);
	if (!identity_is_enrolled(k->identity) || id->role != ROLE_SERVER ||
	    strcmp(id->cluster, k->cluster) != 0) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "%s is not the identity of a node of this cluster", path);
		return RC_PROTO;
	}
	return trust_new(k->cluster, identity_roots(k->identity), &k->trust);
}

/* ---- from the database ---- */

struct reading {
	struct store_job job;
	char *cluster, *incarnation;
	size_t cluster_len, incarnation_len;
	struct server_ca_rows ca;
};

static enum rc read_settings(struct db *db, struct store_job *job)
{
	struct reading *r = CONTAINER_OF(job, struct reading, job);
	enum rc rc = store_setting_get(
	    db, SETTING_CLUSTER, &r->cluster, &r->cluster_len);

	if (rc == RC_OK)
		rc = store_setting_get(db, SETTING_INCARNATION, &r->incarnation,
		    &r->incarnation_len);
	if (rc == RC_OK)
		rc = server_ca_rows_read(db, &r->ca);
	return rc;
}

/* "<seconds>-<32 hex digits>" */
static MUST_CHECK enum rc parse_incarnation(
    const char *text, struct msg_incarnation *out)
{
	char *end = NULL;
	unsigned long long secs = strtoull(text, &end, 10);

	if (end == text || *end != '-' || !id_is_valid(end + 1))
		return RC_PROTO;
	out->secs = secs;
	memcpy(out->random, end + 1, ID_SIZE);
	return RC_OK;
}

static MUST_CHECK enum rc take_settings(
    const struct reading *r, struct server_keys *k, struct fault *fault)
{
	if (!id_is_valid(r->cluster) ||
	    r->incarnation_len >= sizeof(k->incarnation) ||
	    parse_incarnation(r->incarnation, &k->incarnation_msg) != RC_OK) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "the database does not say which cluster it is of");
		return RC_PROTO;
	}
	memcpy(k->cluster, r->cluster, ID_SIZE);
	memcpy(k->incarnation, r->incarnation, r->incarnation_len + 1);
	return RC_OK;
}

enum rc server_keys_load(const struct server_settings *settings,
    struct store *store, struct server_keys *out, struct fault *fault)
{
	struct server_keys k = { .identity = NULL };
	struct reading r = { .job.run = read_settings };
	enum rc rc = load_master(settings, &k.master, fault);

	if (rc == RC_OK) {
		rc = store_call(store, &r.job);
		if (rc != RC_OK)
			fault_set(fault, REASON_BAD_CONFIG, "",
			    "the database lacks settings of init: %s",
			    rc_name(rc));
	}
	if (rc == RC_OK)
		rc = take_settings(&r, &k, fault);
	if (rc == RC_OK)
		rc = load_node_id(settings, k.node, fault);
	if (rc == RC_OK)
		rc = load_identity(settings, &k, fault);
	if (rc == RC_OK)
		rc = server_keys_follow(settings, &r.ca, &k, fault);
	free(r.cluster);
	free(r.incarnation);
	server_ca_rows_clear(&r.ca);
	if (rc == RC_OK)
		*out = k;
	else
		server_keys_fini(&k);
	return rc;
}

void server_keys_fini(struct server_keys *keys)
{
	struct former_ca *f;

	while ((f = keys->former) != NULL) {
		keys->former = f->next;
		ca_free(f->ca);
		free(f);
	}
	free(keys->bundle);
	ca_free(keys->agents);
	ca_free(keys->nodes);
	trust_unref(keys->trust);
	identity_free(keys->identity);
	wrap_key_fini(&keys->master);
	*keys = (struct server_keys){ .identity = NULL };
}
