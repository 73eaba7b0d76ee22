#include "common/member_private.h"

#include "common/fs.h"
#include "common/log.h"
#include "common/trust_bundle.h"

#include <stdlib.h>
#include <string.h>

#define TRUST_FILE "trust"

static MUST_CHECK enum rc use(
    struct member *m, const struct trust_bundle *bundle)
{
	enum rc rc = trust_replace(m->trust, &bundle->roots,
	    &bundle->retired[0][0], bundle->retired_count);

	if (rc == RC_OK)
		m->trust_number = bundle->number;
	return rc;
}

void member_load_trust(struct member *m)
{
	char path[FS_PATH_MAX];
	struct trust_bundle bundle = { .number = 0 };
	uint8_t *data = NULL;
	size_t len = 0;
	struct fault fault = { .code = REASON_NONE };
	enum rc rc = fs_join(path, sizeof(path), m->dir, TRUST_FILE);

	if (rc == RC_OK)
		rc = fs_read_file(path, TRUST_BUNDLE_MAX, &data, &len, &fault);
	if (rc == RC_NOTFOUND)
		return;
	if (rc == RC_OK)
		rc = trust_bundle_verify(member_cluster(m),
		    identity_roots(m->identity), bytes_of(data, len), &bundle,
		    &fault);
	if (rc == RC_OK)
		rc = use(m, &bundle);
	certs_fini(&bundle.roots);
	free(data);
	if (rc != RC_OK)
		log_warn("member", m->name,
		    "%s is not used (%s); a server tells it again", path,
		    fault.text);
}

/*
 * Who took a bundle that does not believe its own certificate would be alone:
 * it gets another certificate first, and then the bundle.
 */
static MUST_CHECK enum rc check_ourselves(const struct member *m,
    const struct trust_bundle *bundle, struct fault *fault)
{
	const struct certs *chain = identity_chain(m->identity);
	uint8_t hash[KEY_HASH_SIZE];

	for (size_t i = 1; i < chain->count; i++) {
		if (certs_key_hash(chain->cert[i], hash) != RC_OK)
			return RC_CRYPTO;
		for (size_t k = 0; k < bundle->retired_count; k++) {
			if (memcmp(hash, bundle->retired[k], sizeof(hash)) != 0)
				continue;
			fault_set(fault, REASON_CONFLICT, "",
			    "%s still has a certificate of an authority that "
			    "the new trust bundle retires",
			    m->name);
			return RC_DENIED;
		}
	}
	return RC_OK;
}

/* The roots first: with them the bundle can be verified again after a crash
 * in between. */
static MUST_CHECK enum rc save(
    struct member *m, struct bytes bytes, struct fault *fault)
{
	char path[FS_PATH_MAX];
	enum rc rc = member_save_identity(m, fault);

	if (rc == RC_OK)
		rc = fs_join(path, sizeof(path), m->dir, TRUST_FILE);
	if (rc == RC_OK && !m->follows)
		rc = fs_write_atomic(path, bytes.p, bytes.len, 0600, fault);
	m->trust_unsaved = rc != RC_OK;
	return rc;
}

static MUST_CHECK enum rc take(struct member *m, struct bytes bytes,
    const struct trust_bundle *bundle, struct fault *fault)
{
	enum rc rc = check_ourselves(m, bundle, fault);

	if (rc == RC_OK)
		rc = identity_enrol(m->identity, identity_chain(m->identity),
		    &bundle->roots, fault);
	if (rc == RC_OK)
		rc = use(m, bundle);
	if (rc == RC_OK)
		rc = save(m, bytes, fault);
	if (rc == RC_OK)
		rc = member_new_contexts(m, fault);
	if (rc == RC_OK && !m->follows)
		log_info_with("member", m->name,
		    LOG_FIELDS(LOG_NUMBER("number", (int64_t)bundle->number),
			LOG_NUMBER("roots", (int64_t)bundle->roots.count),
			LOG_NUMBER("retired", (int64_t)bundle->retired_count)),
		    "trust has changed");
	return rc;
}

enum rc member_take_trust(
    struct member *m, struct bytes bytes, bool *changed, struct fault *fault)
{
	struct trust_bundle bundle;
	enum rc rc = trust_bundle_verify(member_cluster(m),
	    identity_roots(m->identity), bytes, &bundle, fault);

	*changed = false;
	if (rc == RC_OK &&
	    (bundle.number > m->trust_number || m->trust_unsaved)) {
		rc = take(m, bytes, &bundle, fault);
		*changed = rc == RC_OK;
	}
	certs_fini(&bundle.roots);
	return rc;
}
