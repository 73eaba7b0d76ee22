/* init_keys.c - the keys and certificates of a new cluster. */
#include "server/init_private.h"

#include "common/fs.h"
#include "common/hex.h"
#include "common/identity.h"
#include "common/random.h"
#include "common/secret.h"
#include "common/trust.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE_ID_SIZE (ID_SIZE + 1)

enum rc init_write(
    struct making *m, const char *name, const void *data, size_t len)
{
	char path[SERVER_PATH_SIZE];
	enum rc rc = server_path(m->settings, name, path, m->fault);

	if (rc == RC_OK)
		rc = fs_write_atomic(path, data, len, 0600, m->fault);
	return rc;
}

static MUST_CHECK enum rc make_dir(struct making *m, const char *name)
{
	char path[SERVER_PATH_SIZE];
	enum rc rc = server_path(m->settings, name, path, m->fault);

	if (rc == RC_OK)
		rc = fs_make_private_dir(path, m->fault);
	return rc;
}

static MUST_CHECK enum rc write_certs(
    struct making *m, const char *name, const struct certs *certs)
{
	char *pem = NULL;
	size_t len;
	enum rc rc = certs_pem(certs, &pem, &len);

	if (rc == RC_OK)
		rc = init_write(m, name, pem, len);
	free(pem);
	return rc;
}

/* name: "ca/root"; the key too, unless it is kept elsewhere. */
static MUST_CHECK enum rc write_ca(
    struct making *m, const char *name, const struct ca *ca, bool key)
{
	char file[32], pem[KEY_PEM_MAX];
	size_t len;
	enum rc rc;

	(void)snprintf(file, sizeof(file), "%s.crt", name);
	rc = write_certs(m, file, ca_chain(ca));
	if (rc != RC_OK || !key)
		return rc;
	(void)snprintf(file, sizeof(file), "%s.key", name);
	rc = ca_key_pem(ca, pem, &len);
	if (rc == RC_OK)
		rc = init_write(m, file, pem, len);
	secret_wipe(pem, sizeof(pem));
	return rc;
}

static MUST_CHECK enum rc make_authorities(struct making *m)
{
	enum rc rc = make_dir(m, "ca");

	if (rc == RC_OK)
		rc = ca_create_root(m->report.cluster, m->now_s, &m->root);
	if (rc == RC_OK)
		rc = ca_create_sub(m->root, CA_AGENTS, m->now_s, &m->agents);
	if (rc == RC_OK)
		rc = ca_create_sub(m->root, CA_NODES, m->now_s, &m->nodes);
	if (rc == RC_OK)
		rc = write_ca(m, "ca/root", m->root, true);
	/* The key of `agents` is wrapped and lies in the database. */
	if (rc == RC_OK)
		rc = write_ca(m, "ca/agents", m->agents, false);
	if (rc == RC_OK)
		rc = write_ca(m, "ca/nodes", m->nodes, true);
	return rc;
}

static MUST_CHECK enum rc make_pin(struct making *m)
{
	uint8_t hash[KEY_HASH_SIZE];
	enum rc rc = certs_key_hash(ca_chain(m->root)->cert[0], hash);

	if (rc == RC_OK)
		hex_encode(hash, sizeof(hash), m->report.ca_pin);
	return rc;
}

static MUST_CHECK enum rc make_node(struct making *m)
{
	/* Clocks differ a little. */
	struct ca_request request = { .now_s = m->now_s - TRUST_SKEW_S,
		.life_s = CA_NODE_LIFE_S + TRUST_SKEW_S };
	char path[SERVER_PATH_SIZE];
	struct identity *id = NULL;
	struct certs chain;
	uint8_t *csr = NULL;
	enum rc rc = identity_generate(&id);

	certs_init(&chain);
	request.id.role = ROLE_SERVER;
	memcpy(request.id.cluster, m->report.cluster, ID_SIZE);
	memcpy(request.id.name, m->report.node, NAME_SIZE);
	if (rc == RC_OK)
		rc = identity_csr(id, &csr, &request.csr_len);
	request.csr = csr;
	if (rc == RC_OK)
		rc = ca_issue(m->nodes, &request, &chain, m->fault);
	if (rc == RC_OK)
		rc = identity_enrol(id, &chain, ca_chain(m->root), m->fault);
	if (rc == RC_OK)
		rc = server_path(m->settings, "node", path, m->fault);
	if (rc == RC_OK)
		rc = identity_save(id, path, m->fault);
	free(csr);
	certs_fini(&chain);
	identity_free(id);
	return rc;
}

static MUST_CHECK enum rc make_https(struct making *m)
{
	struct ca_https request = { .names = m->names,
		.name_count = m->name_count,
		.now_s = m->now_s,
		.life_s = CA_HTTPS_LIFE_S };
	char pem[KEY_PEM_MAX];
	EVP_PKEY *key = NULL;
	struct certs chain;
	size_t len;
	enum rc rc = make_dir(m, "https");

	certs_init(&chain);
	if (rc == RC_OK)
		rc = key_generate(KEY_P256, &key);
	request.key = key;
	if (rc == RC_OK)
		rc = ca_issue_https(m->root, &request, &chain, m->fault);
	if (rc == RC_OK)
		rc = write_certs(m, "https/cert.pem", &chain);
	if (rc == RC_OK)
		rc = key_to_pem(key, pem, &len);
	if (rc == RC_OK)
		rc = init_write(m, "https/key.pem", pem, len);
	secret_wipe(pem, sizeof(pem));
	EVP_PKEY_free(key);
	certs_fini(&chain);
	return rc;
}

static MUST_CHECK enum rc make_master(struct making *m)
{
	char text[WRAP_KEY_TEXT_SIZE + 1];
	size_t len;
	enum rc rc = wrap_key_generate(&m->master);

	if (rc != RC_OK)
		return rc;
	wrap_key_format(&m->master, text);
	len = strlen(text);
	text[len++] = '\n';
	rc = init_write(m, "master.key", text, len);
	secret_wipe(text, sizeof(text));
	return rc;
}

static MUST_CHECK enum rc make_node_id(struct making *m)
{
	char id[NODE_ID_SIZE];

	random_hex(id, ID_BYTES);
	id[ID_SIZE - 1] = '\n';
	return init_write(m, "node.id", id, ID_SIZE);
}

enum rc init_make_keys(struct making *m)
{
	enum rc rc = make_master(m);

	if (rc == RC_OK)
		rc = make_authorities(m);
	if (rc == RC_OK)
		rc = make_pin(m);
	if (rc == RC_OK)
		rc = make_node(m);
	if (rc == RC_OK)
		rc = make_https(m);
	if (rc == RC_OK)
		rc = make_node_id(m);
	return rc;
}
