#include "server/ca/ca_files.h"

#include "common/fs.h"
#include "common/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_FILE_MAX KEY_PEM_MAX

/*
 * What a rotation may bring, and where it goes.  The last one that there is
 * tells whose they are, so all before it are in place when it is gone.
 */
static const struct {
	const char *from, *to;
} files[] = {
	{ "ca/next/root.key", "ca/root.key" },
	{ "ca/next/root.crt", "ca/root.crt" },
	{ "ca/next/https.crt", "https/cert.pem" },
	{ "ca/next/nodes.key", "ca/nodes.key" },
	{ "ca/next/nodes.crt", "ca/nodes.crt" },
	{ "ca/next/agents.crt", "ca/agents.crt" },
};

static MUST_CHECK enum rc path_of(const char *state, const char *name,
    char out[FS_PATH_MAX], struct fault *fault)
{
	enum rc rc = fs_join(out, FS_PATH_MAX, state, name);

	if (rc != RC_OK)
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "the path of the state directory is too long");
	return rc;
}

static MUST_CHECK enum rc key_path(const char *state, const char *dir,
    const char *name, char out[FS_PATH_MAX], struct fault *fault)
{
	char file[64];

	(void)snprintf(file, sizeof(file), "%s/%s.key", dir, name);
	return path_of(state, file, out, fault);
}

bool ca_files_has_key(const char *state, const char *name)
{
	char path[FS_PATH_MAX];
	struct fault fault;

	return key_path(state, "ca", name, path, &fault) == RC_OK &&
	       access(path, F_OK) == 0;
}

enum rc ca_files_certs(
    const char *state, const char *file, struct certs *out, struct fault *fault)
{
	char path[FS_PATH_MAX], name[64];
	uint8_t *pem = NULL;
	size_t len = 0;
	enum rc rc;

	(void)snprintf(name, sizeof(name), "ca/%s", file);
	rc = path_of(state, name, path, fault);
	if (rc == RC_OK)
		rc = fs_read_file(path, CERTS_PEM_MAX, &pem, &len, fault);
	if (rc == RC_OK)
		rc = certs_add_pem(out, (const char *)pem, len, fault);
	free(pem);
	return rc;
}

enum rc ca_files_load_with(const char *state, const char *name,
    struct bytes key_pem, struct ca **out, struct fault *fault)
{
	struct certs chain;
	char file[32];
	enum rc rc;

	certs_init(&chain);
	(void)snprintf(file, sizeof(file), "%s.crt", name);
	rc = ca_files_certs(state, file, &chain, fault);
	if (rc == RC_OK)
		rc = ca_load(
		    &chain, (const char *)key_pem.p, key_pem.len, out, fault);
	certs_fini(&chain);
	return rc;
}

enum rc ca_files_load(
    const char *state, const char *name, struct ca **out, struct fault *fault)
{
	char path[FS_PATH_MAX];
	uint8_t *pem = NULL;
	size_t len = 0;
	enum rc rc = key_path(state, "ca", name, path, fault);

	if (rc == RC_OK && access(path, F_OK) != 0) {
		fault_set(fault, REASON_NOT_FOUND, "",
		    "the key of the authority '%s' is not at %s: put it back "
		    "there for as long as this takes, or give it by --%s-key "
		    "FILE",
		    name, path, name);
		return RC_NOTFOUND;
	}
	if (rc == RC_OK)
		rc = fs_read_file(path, KEY_FILE_MAX, &pem, &len, fault);
	if (rc == RC_OK)
		rc = ca_files_load_with(
		    state, name, bytes_of(pem, len), out, fault);
	if (pem != NULL)
		secret_wipe(pem, len);
	free(pem);
	return rc;
}

enum rc ca_files_begin(const char *state, struct fault *fault)
{
	char path[FS_PATH_MAX];
	int fd = -1;
	enum rc rc = path_of(state, "ca", path, fault);

	if (rc != RC_OK)
		return rc;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		fault_set(fault, REASON_BAD_CONFIG, "", "%s: %s", path,
		    strerrordesc_np(errno));
		return RC_IO;
	}
	rc = fs_remove_tree(fd, "next", fault);
	(void)close(fd);
	if (rc == RC_OK)
		rc = path_of(state, "ca/next", path, fault);
	return rc == RC_OK ? fs_make_private_dir(path, fault) : rc;
}

enum rc ca_files_replace(const char *state, const char *file,
    const struct certs *certs, struct fault *fault)
{
	char path[FS_PATH_MAX], *pem = NULL;
	size_t len = 0;
	enum rc rc = path_of(state, file, path, fault);

	if (rc == RC_OK)
		rc = certs_pem(certs, &pem, &len);
	if (rc == RC_OK)
		rc = fs_write_atomic(path, pem, len, 0600, fault);
	free(pem);
	return rc;
}

enum rc ca_files_prepare_certs(const char *state, const char *file,
    const struct certs *certs, struct fault *fault)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "ca/next/%s", file);
	return ca_files_replace(state, name, certs, fault);
}

enum rc ca_files_prepare(const char *state, const char *name,
    const struct ca *ca, bool with_key, struct fault *fault)
{
	char path[FS_PATH_MAX], pem[KEY_PEM_MAX], file[32];
	size_t len = 0;
	enum rc rc;

	(void)snprintf(file, sizeof(file), "%s.crt", name);
	rc = ca_files_prepare_certs(state, file, ca_chain(ca), fault);
	if (rc != RC_OK || !with_key)
		return rc;
	rc = key_path(state, "ca/next", name, path, fault);
	if (rc == RC_OK)
		rc = ca_key_pem(ca, pem, &len);
	if (rc == RC_OK)
		rc = fs_write_atomic(path, pem, len, 0600, fault);
	secret_wipe(pem, sizeof(pem));
	return rc;
}

static MUST_CHECK enum rc move(
    const char *state, const char *from, const char *to, struct fault *fault)
{
	char old[FS_PATH_MAX], new[FS_PATH_MAX];
	enum rc rc = path_of(state, from, old, fault);

	if (rc == RC_OK)
		rc = path_of(state, to, new, fault);
	if (rc != RC_OK || rename(old, new) == 0 || errno == ENOENT)
		return rc;
	fault_set(fault, REASON_INTERNAL, "", "%s cannot be put in place: %s",
	    old, strerrordesc_np(errno));
	return RC_IO;
}

enum rc ca_files_install(const char *state, struct fault *fault)
{
	static const char *const dirs[] = { "ca", "https" };
	char path[FS_PATH_MAX];
	enum rc rc = RC_OK;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		rc = move(state, files[i].from, files[i].to, fault);
		if (rc != RC_OK)
			return rc;
	}
	for (size_t i = 0; i < 2 && rc == RC_OK; i++) {
		rc = path_of(state, dirs[i], path, fault);
		if (rc == RC_OK)
			rc = fs_sync_dir(path);
	}
	return rc;
}

bool ca_files_prepared(
    const char *state, const char *name, const uint8_t key_hash[KEY_HASH_SIZE])
{
	uint8_t hash[KEY_HASH_SIZE];
	struct certs certs;
	struct fault fault;
	char file[64];
	bool same;

	certs_init(&certs);
	(void)snprintf(file, sizeof(file), "next/%s.crt", name);
	same = ca_files_certs(state, file, &certs, &fault) == RC_OK &&
	       certs_key_hash(certs.cert[0], hash) == RC_OK &&
	       memcmp(hash, key_hash, sizeof(hash)) == 0;
	certs_fini(&certs);
	return same;
}
