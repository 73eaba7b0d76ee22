/* keys_follow.c - a node's keys as the rows of rotations say. */
#include "server/keys.h"

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/secret.h"
#include "common/trust_bundle.h"
#include "server/ca/ca_files.h"
#include "server/store/setting.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void server_ca_rows_clear(struct server_ca_rows *rows)
{
	if (rows->agents_key != NULL)
		secret_wipe(rows->agents_key, rows->agents_key_len);
	free(rows->agents_key);
	free(rows->agents_chain);
	store_rotation_clear(&rows->rotation);
	*rows = (struct server_ca_rows){ .agents_key = NULL };
}

enum rc server_ca_rows_read(struct db *db, struct server_ca_rows *out)
{
	enum rc rc = store_setting_get(
	    db, SETTING_AGENTS_KEY, &out->agents_key, &out->agents_key_len);

	if (rc != RC_OK)
		return rc;
	rc = store_setting_get(db, SETTING_AGENTS_CHAIN, &out->agents_chain,
	    &out->agents_chain_len);
	if (rc == RC_OK || rc == RC_NOTFOUND)
		rc = store_rotation_last(db, &out->rotation);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* ---- files ---- */

static bool is_issuing(const struct store_rotation *r)
{
	return r->id != 0 && r->phase != ROTATION_SPREADING;
}

static MUST_CHECK enum rc install(const struct server_settings *settings,
    const struct store_rotation *r, struct fault *fault)
{
	bool nodes = r->kind == ROTATION_NODES;

	if (!is_issuing(r) ||
	    !ca_files_prepared(settings->state, nodes ? "nodes" : "agents",
		nodes ? r->nodes : r->agents))
		return RC_OK;
	return ca_files_install(settings->state, fault);
}

/* ---- trust ---- */

/* Verified by what the node trusts so far, one bundle after the other. */
static MUST_CHECK enum rc read_bundle(const struct server_keys *k,
    const struct store_rotation *r, struct trust_bundle *out,
    struct fault *fault)
{
	struct bytes during =
	    bytes_of(r->bundle_during.data, r->bundle_during.len);
	struct bytes after =
	    bytes_of(r->bundle_after.data, r->bundle_after.len);
	struct trust_bundle first;
	enum rc rc = trust_bundle_verify(
	    k->cluster, identity_roots(k->identity), during, &first, fault);

	if (r->phase != ROTATION_DONE) {
		*out = first;
		return rc;
	}
	rc = trust_bundle_verify(k->cluster,
	    rc == RC_OK ? &first.roots : identity_roots(k->identity), after,
	    out, fault);
	certs_fini(&first.roots);
	return rc;
}

static MUST_CHECK enum rc keep_bundle(
    struct server_keys *k, const struct rotation_blob *bytes, uint64_t number)
{
	uint8_t *copy = malloc(bytes->len);

	if (copy == NULL)
		return RC_NOMEM;
	memcpy(copy, bytes->data, bytes->len);
	free(k->bundle);
	k->bundle = copy;
	k->bundle_len = bytes->len;
	k->bundle_number = number;
	return RC_OK;
}

/* ---- the node itself ---- */

static MUST_CHECK enum rc save_identity(const struct server_settings *settings,
    const struct identity *id, struct fault *fault)
{
	char path[SERVER_PATH_SIZE];
	enum rc rc = server_path(settings, "node", path, fault);

	return rc == RC_OK ? identity_save(id, path, fault) : rc;
}

static bool is_issued_by(
    const struct identity *id, const uint8_t authority[KEY_HASH_SIZE])
{
	const struct certs *chain = identity_chain(id);
	uint8_t hash[KEY_HASH_SIZE];

	return chain->count >= 2 &&
	       certs_key_hash(chain->cert[1], hash) == RC_OK &&
	       memcmp(hash, authority, sizeof(hash)) == 0;
}

struct wish {
	const struct spiffe *name;
	const struct certs *roots;
	int64_t life_s;
};

/* For id's key. */
static MUST_CHECK enum rc issue(const struct ca *nodes, struct identity *id,
    const struct wish *w, struct fault *fault)
{
	const struct ca_request request = { .id = *w->name,
		.key = identity_key(id),
		/* Clocks differ a little. */
		.now_s = clock_wall_ms() / 1000 - TRUST_SKEW_S,
		.life_s = w->life_s + TRUST_SKEW_S };
	struct certs chain;
	enum rc rc;

	certs_init(&chain);
	rc = ca_issue(nodes, &request, &chain, fault);
	if (rc == RC_OK)
		rc = identity_enrol(id, &chain, w->roots, fault);
	certs_fini(&chain);
	return rc;
}

/* A new key too: rotations are for keys that may be known to others. */
static MUST_CHECK enum rc become_new(const struct server_settings *settings,
    struct server_keys *k, const struct certs *roots, struct fault *fault)
{
	const struct wish wish = { identity_spiffe(k->identity), roots,
		CA_NODE_LIFE_S };
	struct identity *id = NULL;
	struct ca *nodes = NULL;
	enum rc rc = ca_files_load(settings->state, "nodes", &nodes, fault);

	if (rc == RC_OK)
		rc = identity_generate(&id);
	if (rc == RC_OK)
		rc = issue(nodes, id, &wish, fault);
	if (rc == RC_OK)
		rc = save_identity(settings, id, fault);
	if (rc == RC_OK) {
		identity_exchange(k->identity, id);
		log_info("server", NULL,
		    "this node has a new key and a certificate of the new "
		    "authority");
	}
	identity_free(id);
	ca_free(nodes);
	return rc;
}

static bool same_roots(const struct certs *a, const struct certs *b)
{
	bool same = a->count == b->count;

	for (size_t i = 0; i < a->count && same; i++)
		same = X509_cmp(a->cert[i], b->cert[i]) == 0;
	return same;
}

static MUST_CHECK enum rc follow_trust(const struct server_settings *settings,
    const struct store_rotation *r, struct server_keys *k, struct fault *fault)
{
	struct trust_bundle b;
	enum rc rc = read_bundle(k, r, &b, fault);

	if (rc == RC_OK && is_issuing(r) &&
	    !is_issued_by(k->identity, r->nodes))
		rc = become_new(settings, k, &b.roots, fault);
	if (rc == RC_OK && !same_roots(&b.roots, identity_roots(k->identity))) {
		rc = identity_enrol(
		    k->identity, identity_chain(k->identity), &b.roots, fault);
		if (rc == RC_OK)
			rc = save_identity(settings, k->identity, fault);
	}
	if (rc == RC_OK)
		rc = trust_replace(
		    k->trust, &b.roots, &b.retired[0][0], b.retired_count);
	if (rc == RC_OK)
		rc = keep_bundle(k,
		    r->phase == ROTATION_DONE ? &r->bundle_after
					      : &r->bundle_during,
		    b.number);
	certs_fini(&b.roots);
	return rc;
}

/* ---- authorities ---- */

static MUST_CHECK enum rc read_chain(const struct server_settings *settings,
    const struct server_ca_rows *rows, struct certs *chain, struct fault *fault)
{
	if (rows->agents_chain == NULL)
		return ca_files_certs(
		    settings->state, "agents.crt", chain, fault);
	return certs_add_pem(
	    chain, rows->agents_chain, rows->agents_chain_len, fault);
}

static MUST_CHECK enum rc open_agents(const struct server_settings *settings,
    const struct server_ca_rows *rows, const struct wrap_key *master,
    struct ca **out, struct fault *fault)
{
	char pem[KEY_PEM_MAX + WRAP_OVERHEAD];
	size_t len = rows->agents_key_len;
	struct certs chain;
	enum rc rc;

	certs_init(&chain);
	rc = read_chain(settings, rows, &chain, fault);
	if (rc == RC_OK && (len <= WRAP_OVERHEAD || len > sizeof(pem)))
		rc = RC_PROTO;
	if (rc == RC_OK)
		rc = wrap_open(master, SETTING_AGENTS_KEY,
		    (const uint8_t *)rows->agents_key, len, (uint8_t *)pem,
		    fault);
	if (rc == RC_OK)
		rc = ca_load(&chain, pem, len - WRAP_OVERHEAD, out, fault);
	secret_wipe(pem, sizeof(pem));
	certs_fini(&chain);
	return rc;
}

/* The root that issued it, if it is trusted: no way round by an old one. */
static void set_above(struct ca *ca, const struct certs *roots)
{
	for (size_t i = 0; i < roots->count; i++) {
		struct certs above = { .count = 1, .cert = { roots->cert[i] } };

		if (ca_set_above(ca, &above) == RC_OK)
			return;
	}
}

static void put_by(struct server_keys *k, struct ca *ca)
{
	struct former_ca *f = ca != NULL ? calloc(1, sizeof(*f)) : NULL;

	if (f == NULL)
		return; /* out of memory: better lost than used after free */
	*f = (struct former_ca){ .next = k->former, .ca = ca };
	k->former = f;
}

static MUST_CHECK enum rc follow_authorities(
    const struct server_settings *settings, const struct server_ca_rows *rows,
    struct server_keys *k, struct fault *fault)
{
	struct ca *agents = NULL, *nodes = NULL;
	struct fault away;
	enum rc rc = open_agents(settings, rows, &k->master, &agents, fault);

	if (rc != RC_OK)
		return rc;
	if (ca_files_has_key(settings->state, "nodes") &&
	    ca_files_load(settings->state, "nodes", &nodes, &away) != RC_OK)
		log_error("server", NULL, "%s", away.text);
	if (rows->rotation.phase == ROTATION_DONE) {
		set_above(agents, identity_roots(k->identity));
		if (nodes != NULL)
			set_above(nodes, identity_roots(k->identity));
	}
	put_by(k, k->agents);
	put_by(k, k->nodes);
	k->agents = agents;
	k->nodes = nodes;
	return RC_OK;
}

enum rc server_keys_follow(const struct server_settings *settings,
    const struct server_ca_rows *rows, struct server_keys *keys,
    struct fault *fault)
{
	const struct certs *roots;
	enum rc rc = install(settings, &rows->rotation, fault);

	if (rc == RC_OK && rows->rotation.id != 0)
		rc = follow_trust(settings, &rows->rotation, keys, fault);
	if (rc == RC_OK)
		rc = follow_authorities(settings, rows, keys, fault);
	if (rc != RC_OK)
		return rc;
	keys->rotation = rows->rotation.id;
	keys->phase = rows->rotation.phase;
	/* The newest root is the last, and counts once it has issued. */
	roots = identity_roots(keys->identity);
	return certs_key_hash(
	    roots->cert[is_issuing(&rows->rotation) ? roots->count - 1 : 0],
	    keys->root_hash);
}

enum rc server_keys_renew(const struct server_settings *settings,
    struct server_keys *keys, int64_t life_s, bool *changed,
    struct fault *fault)
{
	int64_t now_s = clock_wall_ms() / 1000;
	struct identity *id = keys->identity;
	const struct wish wish = { identity_spiffe(id), identity_roots(id),
		life_s };
	enum rc rc;

	*changed = false;
	if (now_s - TRUST_SKEW_S - identity_not_before_s(id) < life_s / 2 &&
	    identity_not_after_s(id) - now_s > life_s / 2)
		return RC_OK;
	if (keys->nodes == NULL) {
		fault_set(fault, REASON_NOT_FOUND, "",
		    "the key of the authority 'nodes' is not at %s/ca/nodes.key",
		    settings->state);
		return RC_NOTFOUND;
	}
	rc = issue(keys->nodes, id, &wish, fault);
	if (rc == RC_OK)
		rc = save_identity(settings, id, fault);
	*changed = rc == RC_OK;
	return rc;
}
