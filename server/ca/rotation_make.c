#include "server/ca/rotation_make.h"

#include <openssl/x509.h>
#include <string.h>

void rotation_made_fini(struct rotation_made *made)
{
	ca_free(made->root);
	ca_free(made->agents);
	ca_free(made->nodes);
	certs_fini(&made->above);
	packbuf_fini(&made->during);
	packbuf_fini(&made->after);
	*made = (struct rotation_made){ .root = NULL };
}

/* A new one under `root`; hash is of its key. */
static MUST_CHECK enum rc make_sub(const struct rotation_wish *w,
    const struct ca *root, enum ca_kind kind, struct ca **out,
    uint8_t hash[KEY_HASH_SIZE])
{
	enum rc rc = ca_create_sub(root, kind, w->now_s, out);

	return rc == RC_OK ? certs_key_hash(ca_chain(*out)->cert[0], hash) : rc;
}

/* The new root by the old one, and the old one. */
static MUST_CHECK enum rc make_above(
    const struct rotation_wish *w, struct rotation_made *made)
{
	X509 *cross = NULL;
	enum rc rc = ca_cross_sign(w->root, made->root, w->now_s, &cross);

	if (rc == RC_OK)
		rc = certs_add(&made->above, cross);
	if (rc == RC_OK)
		rc = certs_add(&made->above, ca_chain(w->root)->cert[0]);
	X509_free(cross);
	return rc;
}

static MUST_CHECK enum rc make_authorities(
    const struct rotation_wish *w, struct rotation_made *made)
{
	const struct ca *root = w->root;
	enum rc rc = RC_OK;

	if (w->kind == ROTATION_ROOT) {
		rc = ca_create_root(ca_cluster(root), w->now_s, &made->root);
		if (rc == RC_OK)
			rc = make_above(w, made);
		root = made->root;
	}
	if (rc == RC_OK && w->kind != ROTATION_NODES)
		rc = make_sub(
		    w, root, CA_AGENTS, &made->agents, made->agents_hash);
	if (rc == RC_OK && w->kind != ROTATION_AGENTS)
		rc =
		    make_sub(w, root, CA_NODES, &made->nodes, made->nodes_hash);
	if (rc == RC_OK && w->kind == ROTATION_ROOT)
		rc = ca_set_above(made->agents, &made->above);
	if (rc == RC_OK && w->kind == ROTATION_ROOT)
		rc = ca_set_above(made->nodes, &made->above);
	return rc;
}

/* With a new root, nothing that the old ones signed needs to be named but what
 * sessions that are open may still show. */
static MUST_CHECK enum rc retire(const struct rotation_wish *w,
    const struct rotation_made *made, struct trust_bundle *after)
{
	enum rc rc = RC_OK;

	if (made->root != NULL)
		after->retired_count = 0;
	if (made->agents != NULL)
		rc = trust_bundle_retire(after, w->agents);
	if (rc == RC_OK && made->nodes != NULL)
		rc = trust_bundle_retire(after, w->nodes);
	return rc;
}

static MUST_CHECK enum rc sign_bundles(const struct rotation_wish *w,
    struct rotation_made *made, struct trust_bundle *during,
    struct trust_bundle *after)
{
	const struct ca *last = made->root != NULL ? made->root : w->root;
	enum rc rc = RC_OK;

	during->number = made->number;
	after->number = made->number + 1;
	if (made->root != NULL) {
		rc = certs_add(&during->roots, ca_chain(made->root)->cert[0]);
		certs_fini(&after->roots);
		if (rc == RC_OK)
			rc = certs_add(
			    &after->roots, ca_chain(made->root)->cert[0]);
	}
	if (rc == RC_OK)
		rc = retire(w, made, after);
	if (rc == RC_OK)
		rc =
		    trust_bundle_sign(w->root, during, w->now_s, &made->during);
	if (rc == RC_OK)
		rc = trust_bundle_sign(last, after, w->now_s, &made->after);
	return rc;
}

static MUST_CHECK enum rc make_bundles(
    const struct rotation_wish *w, struct rotation_made *made)
{
	struct trust_bundle during = *w->now, after = *w->now;
	enum rc rc;

	certs_init(&during.roots);
	certs_init(&after.roots);
	made->number = w->now->number + 1;
	rc = certs_copy(&during.roots, &w->now->roots);
	if (rc == RC_OK)
		rc = certs_copy(&after.roots, &w->now->roots);
	if (rc == RC_OK)
		rc = sign_bundles(w, made, &during, &after);
	certs_fini(&during.roots);
	certs_fini(&after.roots);
	return rc;
}

enum rc rotation_make(const struct rotation_wish *wish,
    struct rotation_made *out, struct fault *fault)
{
	enum rc rc;

	*out = (struct rotation_made){ .root = NULL };
	packbuf_init(&out->during, TRUST_BUNDLE_MAX);
	packbuf_init(&out->after, TRUST_BUNDLE_MAX);
	memcpy(out->agents_hash, wish->agents, KEY_HASH_SIZE);
	memcpy(out->nodes_hash, wish->nodes, KEY_HASH_SIZE);
	rc = make_authorities(wish, out);
	if (rc == RC_OK)
		rc = make_bundles(wish, out);
	if (rc == RC_LIMIT)
		fault_set(fault, REASON_TOO_MANY, "",
		    "a trust bundle holds at most %d retired authorities: "
		    "rotate the root, which begins a new list",
		    TRUST_RETIRED_MAX);
	else if (rc != RC_OK)
		fault_set(fault, REASON_INTERNAL, "",
		    "cannot make new authorities: %s", rc_name(rc));
	return rc;
}
