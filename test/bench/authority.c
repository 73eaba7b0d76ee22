#include "test/bench/authority.h"

#include "common/fs.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CLUSTER  "0badc0ffee0badc0ffee0badc0ffee00"
#define DAY_S    (24LL * 3600)
#define FILE_MAX ((size_t)256 * 1024)

static MUST_CHECK enum rc write_file(const char *dir, const char *name,
    const char *ending, const void *data, size_t len, struct fault *fault)
{
	char file[64], path[FS_PATH_MAX];
	enum rc rc;

	(void)snprintf(file, sizeof(file), "%s.%s", name, ending);
	rc = fs_join(path, sizeof(path), dir, file);
	return rc == RC_OK ? fs_write_atomic(path, data, len, 0600, fault) : rc;
}

static MUST_CHECK enum rc save_ca(
    const char *dir, const char *name, const struct ca *ca, struct fault *fault)
{
	char key[KEY_PEM_MAX], *chain = NULL;
	size_t key_len = 0, chain_len = 0;
	enum rc rc = ca_key_pem(ca, key, &key_len);

	if (rc == RC_OK)
		rc = write_file(dir, name, "key", key, key_len, fault);
	OPENSSL_cleanse(key, sizeof(key));
	if (rc == RC_OK)
		rc = certs_pem(ca_chain(ca), &chain, &chain_len);
	if (rc == RC_OK)
		rc = write_file(dir, name, "pem", chain, chain_len, fault);
	free(chain);
	return rc;
}

static MUST_CHECK enum rc read_file(const char *dir, const char *name,
    const char *ending, char **out, size_t *len, struct fault *fault)
{
	char file[64], path[FS_PATH_MAX];
	uint8_t *data = NULL;
	enum rc rc;

	(void)snprintf(file, sizeof(file), "%s.%s", name, ending);
	rc = fs_join(path, sizeof(path), dir, file);
	if (rc == RC_OK)
		rc = fs_read_file(path, FILE_MAX, &data, len, fault);
	*out = (char *)data;
	return rc;
}

static MUST_CHECK enum rc load_ca(
    const char *dir, const char *name, struct ca **out, struct fault *fault)
{
	char *key = NULL, *pem = NULL;
	size_t key_len = 0, pem_len = 0;
	struct certs chain;
	enum rc rc = read_file(dir, name, "key", &key, &key_len, fault);

	certs_init(&chain);
	if (rc == RC_OK)
		rc = read_file(dir, name, "pem", &pem, &pem_len, fault);
	if (rc == RC_OK)
		rc = certs_add_pem(&chain, pem, pem_len, fault);
	if (rc == RC_OK)
		rc = ca_load(&chain, key, key_len, out, fault);
	certs_fini(&chain);
	free(key);
	free(pem);
	return rc;
}

enum rc authority_create(
    const char *dir, struct authority *out, struct fault *fault)
{
	const int64_t from = (int64_t)time(NULL) - 2 * DAY_S;
	enum rc rc = fs_make_private_dir(dir, fault);

	memset(out, 0, sizeof(*out));
	if (rc == RC_OK)
		rc = ca_create_root(CLUSTER, from, &out->root);
	if (rc == RC_OK)
		rc = ca_create_sub(out->root, CA_NODES, from, &out->nodes);
	if (rc == RC_OK)
		rc = ca_create_sub(out->root, CA_AGENTS, from, &out->agents);
	if (rc == RC_OK)
		rc = trust_new(CLUSTER, ca_chain(out->root), &out->trust);
	if (rc == RC_OK)
		rc = save_ca(dir, "root", out->root, fault);
	if (rc == RC_OK)
		rc = save_ca(dir, "nodes", out->nodes, fault);
	if (rc == RC_OK)
		rc = save_ca(dir, "agents", out->agents, fault);
	if (rc != RC_OK)
		authority_fini(out);
	return rc;
}

enum rc authority_load(
    const char *dir, struct authority *out, struct fault *fault)
{
	enum rc rc;

	memset(out, 0, sizeof(*out));
	rc = load_ca(dir, "root", &out->root, fault);
	if (rc == RC_OK)
		rc = load_ca(dir, "nodes", &out->nodes, fault);
	if (rc == RC_OK)
		rc = load_ca(dir, "agents", &out->agents, fault);
	if (rc == RC_OK)
		rc = trust_new(CLUSTER, ca_chain(out->root), &out->trust);
	if (rc != RC_OK)
		authority_fini(out);
	return rc;
}

void authority_fini(struct authority *a)
{
	ca_free(a->root);
	ca_free(a->nodes);
	ca_free(a->agents);
	trust_unref(a->trust);
	memset(a, 0, sizeof(*a));
}

enum rc authority_issue(const struct authority *a, enum peer_role role,
    const char *name, struct identity **out, struct fault *fault)
{
	struct ca_request request = {
		.id = { .role = role },
		.now_s = (int64_t)time(NULL) - 3600,
		.life_s = DAY_S,
	};
	struct identity *id = NULL;
	struct certs chain;
	uint8_t *csr = NULL;
	enum rc rc = identity_generate(&id);

	certs_init(&chain);
	(void)snprintf(
	    request.id.cluster, sizeof(request.id.cluster), "%s", CLUSTER);
	(void)snprintf(request.id.name, sizeof(request.id.name), "%s", name);
	if (rc == RC_OK)
		rc = identity_csr(id, &csr, &request.csr_len);
	request.csr = csr;
	if (rc == RC_OK)
		rc = ca_issue(role == ROLE_SERVER ? a->nodes : a->agents,
		    &request, &chain, fault);
	if (rc == RC_OK)
		rc = identity_enrol(id, &chain, ca_chain(a->root), fault);
	free(csr);
	certs_fini(&chain);
	if (rc != RC_OK) {
		identity_free(id);
		return rc;
	}
	*out = id;
	return RC_OK;
}

enum rc authority_write_pem(
    const struct identity *id, const char *path, struct fault *fault)
{
	char all[KEY_PEM_MAX + 65536], *chain = NULL;
	size_t len = 0, chain_len = 0;
	enum rc rc = certs_pem(identity_chain(id), &chain, &chain_len);

	if (rc == RC_OK)
		rc = key_to_pem(identity_key(id), all, &len);
	if (rc == RC_OK && chain_len > sizeof(all) - len)
		rc = RC_LIMIT;
	if (rc == RC_OK) {
		memcpy(all + len, chain, chain_len);
		rc = fs_write_atomic(path, all, len + chain_len, 0600, fault);
	}
	OPENSSL_cleanse(all, sizeof(all));
	free(chain);
	return rc;
}
