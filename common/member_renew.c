#include "common/member_private.h"

#include "common/fs.h"
#include "common/log.h"

#include <string.h>

/* Is it ours, and good now?  identity_enrol() sees to key and chain. */
static MUST_CHECK enum rc judge(const struct member *m,
    const struct certs *chain, int64_t now_s, struct fault *fault)
{
	const struct spiffe *ours = identity_spiffe(m->identity);
	struct spiffe theirs;
	int64_t from = 0, until = 0;
	char date[CERTS_DATE_SIZE];

	if (chain->count == 0 ||
	    certs_spiffe(chain->cert[0], &theirs, fault) != RC_OK)
		return RC_CRYPTO;
	if (theirs.role != ours->role || strcmp(theirs.name, ours->name) != 0 ||
	    strcmp(theirs.cluster, ours->cluster) != 0) {
		fault_set(fault, REASON_WRONG_IDENTITY, "",
		    "the new certificate is for %s %s, not for %s %s",
		    role_name(theirs.role), theirs.name, role_name(ours->role),
		    ours->name);
		return RC_DENIED;
	}
	if (certs_validity(chain->cert[0], &from, &until) != RC_OK)
		return RC_CRYPTO;
	if (now_s >= from - TRUST_SKEW_S && now_s < until)
		return RC_OK;
	certs_date(now_s, date);
	fault_set(fault, REASON_CLOCK, "",
	    "the new certificate is not valid at %s, the time of this machine",
	    date);
	return RC_DENIED;
}

static bool is_later(const struct member *m, const struct certs *chain)
{
	int64_t from = 0, until = 0;

	return certs_validity(chain->cert[0], &from, &until) == RC_OK &&
	       until > identity_not_after_s(m->identity);
}

/* The directory is exchanged as a whole: a crash leaves the old certificate or
 * the new one, and both are good for the same key. */
enum rc member_save_identity(struct member *m, struct fault *fault)
{
	char path[FS_PATH_MAX];
	enum rc rc;

	if (m->follows)
		return RC_OK;
	rc = fs_join(path, sizeof(path), m->dir, "identity");
	if (rc == RC_OK)
		rc = identity_save(m->identity, path, fault);
	m->unsaved = rc != RC_OK;
	return rc;
}

enum rc member_new_contexts(struct member *m, struct fault *fault)
{
	struct tls_contexts *contexts = NULL;
	enum rc rc = tls_contexts_new(m->identity, m->trust, &contexts, fault);

	if (rc != RC_OK)
		return rc;
	tls_contexts_unref(m->contexts);
	m->contexts = contexts;
	return RC_OK;
}

enum rc member_renew(struct member *m, const struct certs *chain, int64_t now_s,
    bool *changed, struct fault *fault)
{
	char until[CERTS_DATE_SIZE];
	enum rc rc = judge(m, chain, now_s, fault);

	*changed = false;
	if (rc != RC_OK)
		return rc;
	if (!is_later(m, chain))
		return m->unsaved ? member_save_identity(m, fault) : RC_OK;
	rc = identity_enrol(
	    m->identity, chain, identity_roots(m->identity), fault);
	if (rc != RC_OK)
		return rc;
	rc = member_save_identity(m, fault);
	if (rc == RC_OK)
		rc = member_new_contexts(m, fault);
	if (rc != RC_OK) {
		m->unsaved = true;
		return rc;
	}
	*changed = true;
	if (m->follows)
		return RC_OK; /* who keeps the files says so */
	certs_date(identity_not_after_s(m->identity), until);
	log_info("member", m->name, "certificate renewed until %s", until);
	return RC_OK;
}
