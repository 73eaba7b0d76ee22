#include "common/join_private.h"

#include <stdlib.h>

static MUST_CHECK enum rc open_key(struct joining *j, struct fault *fault)
{
	enum rc rc = identity_load(j->dir, &j->identity, fault);

	if (rc != RC_NOTFOUND)
		return rc;
	rc = identity_generate(&j->identity);
	if (rc == RC_OK)
		rc = identity_save(j->identity, j->dir, fault);
	return rc;
}

enum rc joining_begin(const char *state_dir, enum peer_role role,
    struct joining *out, struct fault *fault)
{
	struct joining *j = out;
	char path[FS_PATH_MAX];
	enum rc rc;

	*j = (struct joining){
		.state_dir = state_dir, .role = role, .lock = -1
	};
	fault_set(fault, REASON_INTERNAL, "", "%s cannot be used", state_dir);
	rc = fs_make_private_dir(state_dir, fault);
	if (rc == RC_OK)
		rc = fs_join(path, sizeof(path), state_dir, "lock");
	/* Two at once would each replace the other's key. */
	if (rc == RC_OK)
		rc = fs_lock(path, &j->lock, fault);
	if (rc == RC_OK)
		rc = fs_join(j->dir, sizeof(j->dir), state_dir, "joining");
	if (rc == RC_OK && member_exists(state_dir)) {
		fault_set(fault, REASON_CONFLICT, "", "%s has joined already",
		    state_dir);
		/* It may have been cut short just before its end. */
		rc = identity_remove(j->dir, fault);
		return rc == RC_OK ? RC_EXISTS : rc;
	}
	return rc == RC_OK ? open_key(j, fault) : rc;
}

static MUST_CHECK enum rc read_certs(
    const struct msg_blob_list *list, struct certs *out, struct fault *fault)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < list->count && rc == RC_OK; i++)
		rc = certs_add_der(
		    out, list->items[i].p, list->items[i].len, fault);
	return rc;
}

static MUST_CHECK enum rc check_role(
    const struct joining *j, struct fault *fault)
{
	enum peer_role role = identity_spiffe(j->identity)->role;

	if (role == j->role)
		return RC_OK;
	fault_set(fault, REASON_WRONG_IDENTITY, "",
	    "the certificate is for a %s, not for a %s", role_name(role),
	    role_name(j->role));
	return RC_DENIED;
}

enum rc joining_keep(struct joining *j, const struct msg_enrolled *m,
    const struct msg_peer *peers, size_t count, struct fault *fault)
{
	const struct member_new n = {
		.identity = j->identity,
		.name = m->name,
		.succession = m->succession,
		.peers = peers,
		.peer_count = count,
	};
	struct certs chain, roots;
	enum rc rc;

	certs_init(&chain);
	certs_init(&roots);
	rc = read_certs(&m->chain, &chain, fault);
	if (rc == RC_OK)
		rc = read_certs(&m->roots, &roots, fault);
	if (rc == RC_OK)
		rc = identity_enrol(j->identity, &chain, &roots, fault);
	if (rc == RC_OK)
		rc = check_role(j, fault);
	if (rc == RC_OK)
		rc = member_create(j->state_dir, &n, fault);
	certs_fini(&chain);
	certs_fini(&roots);
	return rc;
}

void joining_leave(struct joining *j)
{
	identity_free(j->identity);
	j->identity = NULL;
	if (j->lock >= 0)
		fs_unlock(j->lock);
	j->lock = -1;
}

enum rc joining_end(struct joining *j, enum rc rc, struct fault *fault)
{
	if (rc == RC_OK)
		rc = identity_remove(j->dir, fault);
	joining_leave(j);
	return rc;
}
