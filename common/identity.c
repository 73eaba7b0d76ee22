#include "common/identity.h"

#include "common/failpoint.h"
#include "common/fs.h"
#include "common/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE   "key.pem"
#define CHAIN_FILE "cert.pem"
#define ROOTS_FILE "roots.pem"
#define SUFFIX_NEW ".new" /* beside the directory, while it is replaced */

struct identity {
	EVP_PKEY *key;
	uint8_t key_hash[KEY_HASH_SIZE];
	struct certs chain, roots;
	struct spiffe spiffe;
	int64_t not_before_s, not_after_s;
};

void identity_free(struct identity *id)
{
	if (id == NULL)
		return;
	EVP_PKEY_free(id->key);
	certs_fini(&id->chain);
	certs_fini(&id->roots);
	free(id);
}

/* Takes the key over, also on failure. */
static MUST_CHECK enum rc from_key(EVP_PKEY *key, struct identity **out)
{
	struct identity *id = calloc(1, sizeof(*id));
	enum rc rc;

	if (id == NULL) {
		EVP_PKEY_free(key);
		return RC_NOMEM;
	}
	id->key = key;
	rc = key_hash(key, id->key_hash);
	if (rc != RC_OK) {
		identity_free(id);
		return rc;
	}
	*out = id;
	return RC_OK;
}

enum rc identity_generate(struct identity **out)
{
	EVP_PKEY *key = NULL;
	enum rc rc = key_generate(KEY_ED25519, &key);

	return rc == RC_OK ? from_key(key, out) : rc;
}

enum rc identity_csr(const struct identity *id, uint8_t **out, size_t *len)
{
	return key_make_csr(id->key, out, len);
}

/*
 * Would a peer that trusts these roots believe this chain?  As of its own first
 * second: an identity that expired must still load, to ask for another.
 */
static MUST_CHECK enum rc check_chain(const struct certs *chain,
    const struct certs *roots, const struct spiffe *spiffe, int64_t now_s,
    struct fault *fault)
{
	struct trust_check check = { .now_s = now_s };
	struct trust *trust = NULL;
	struct peer self;
	enum rc rc = trust_new(spiffe->cluster, roots, &trust);

	if (rc == RC_OK)
		rc = trust_verify(trust, chain, &check, &self, fault);
	trust_unref(trust);
	return rc == RC_DENIED ? RC_CRYPTO : rc;
}

enum rc identity_enrol(struct identity *id, const struct certs *chain,
    const struct certs *roots, struct fault *fault)
{
	struct spiffe spiffe;
	int64_t from = 0, until = 0;
	struct certs old;
	enum rc rc;

	if (chain->count == 0 || roots->count == 0 ||
	    X509_check_private_key(chain->cert[0], id->key) != 1) {
		fault_set(fault, REASON_TLS, "",
		    "the certificate is not for this key");
		return RC_CRYPTO;
	}
	if (certs_spiffe(chain->cert[0], &spiffe, fault) != RC_OK ||
	    certs_validity(chain->cert[0], &from, &until) != RC_OK)
		return RC_CRYPTO;
	rc = check_chain(chain, roots, &spiffe, from, fault);
	if (rc != RC_OK)
		return rc;
	certs_init(&old);
	rc = certs_copy(&old, &id->chain);
	if (rc == RC_OK)
		rc = certs_copy(&id->chain, chain);
	if (rc == RC_OK) {
		rc = certs_copy(&id->roots, roots);
		if (rc != RC_OK && certs_copy(&id->chain, &old) != RC_OK)
			rc = RC_CRYPTO;
	}
	certs_fini(&old);
	if (rc != RC_OK)
		return rc;
	id->spiffe = spiffe;
	id->not_before_s = from;
	id->not_after_s = until;
	return RC_OK;
}

/* dir/name, or with a NULL name dir and ".new". */
static MUST_CHECK enum rc make_path(char out[FS_PATH_MAX], const char *dir,
    const char *name, struct fault *fault)
{
	int n = name != NULL ? snprintf(out, FS_PATH_MAX, "%s/%s", dir, name)
	                     : snprintf(out, FS_PATH_MAX, "%s" SUFFIX_NEW, dir);

	if (n > 0 && n < FS_PATH_MAX)
		return RC_OK;
	fault_set(fault, REASON_BAD_CONFIG, "",
	    "the path of the identity is longer than %d bytes", FS_PATH_MAX);
	return RC_LIMIT;
}

/* Put the file's name before what is wrong with it. */
static void name_file(struct fault *fault, const char *path)
{
	char text[FAULT_TEXT_MAX];

	if (fault == NULL)
		return;
	memcpy(text, fault->text, sizeof(text));
	fault_set(fault, fault->code, "", "%s: %s", path, text);
}

/* A key that another user can read may be known to him. */
static MUST_CHECK enum rc check_key_file(const char *path, struct fault *fault)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		fault_set(fault, REASON_BAD_CONFIG, "", "%s cannot be examined",
		    path);
		return RC_IO;
	}
	if (S_ISREG(st.st_mode) && (st.st_mode & 077) == 0)
		return RC_OK;
	fault_set(fault, REASON_BAD_CONFIG, "",
	    "%s: other users can read this private key (mode %03o); remedy: "
	    "chmod 600, and join anew if anyone may have read it",
	    path, (unsigned)(st.st_mode & 0777));
	return RC_DENIED;
}

static MUST_CHECK enum rc load_key(
    const char *dir, struct identity **out, struct fault *fault)
{
	char path[FS_PATH_MAX];
	EVP_PKEY *key = NULL;
	uint8_t *pem = NULL;
	size_t len = 0;
	enum rc rc = make_path(path, dir, KEY_FILE, fault);

	if (rc == RC_OK)
		rc = fs_read_file(path, KEY_PEM_MAX - 1, &pem, &len, fault);
	if (rc == RC_OK)
		rc = check_key_file(path, fault);
	if (rc == RC_OK) {
		rc = key_from_pem((const char *)pem, len, &key, fault);
		if (rc != RC_OK)
			name_file(fault, path);
	}
	if (pem != NULL)
		OPENSSL_cleanse(pem, len);
	free(pem);
	return rc == RC_OK ? from_key(key, out) : rc;
}

static MUST_CHECK enum rc load_certs(
    const char *dir, const char *name, struct certs *list, struct fault *fault)
{
	char path[FS_PATH_MAX];
	uint8_t *pem = NULL;
	size_t len = 0;
	enum rc rc = make_path(path, dir, name, fault);

	if (rc == RC_OK)
		rc = fs_read_file(path, CERTS_PEM_MAX, &pem, &len, fault);
	if (rc == RC_OK) {
		rc = certs_add_pem(list, (const char *)pem, len, fault);
		if (rc != RC_OK)
			name_file(fault, path);
	}
	free(pem);
	return rc;
}

enum rc identity_load(
    const char *dir, struct identity **out, struct fault *fault)
{
	struct identity *id = NULL;
	struct certs chain, roots;
	enum rc rc;

	certs_init(&chain);
	certs_init(&roots);
	rc = load_key(dir, &id, fault);
	if (rc != RC_OK)
		goto out;
	rc = load_certs(dir, CHAIN_FILE, &chain, fault);
	if (rc == RC_OK) {
		rc = load_certs(dir, ROOTS_FILE, &roots, fault);
		if (rc == RC_NOTFOUND)
			rc = RC_PROTO; /* a certificate, but no roots */
	}
	if (rc == RC_OK) {
		rc = identity_enrol(id, &chain, &roots, fault);
		if (rc != RC_OK)
			name_file(fault, dir);
	}
	if (rc == RC_NOTFOUND) { /* not enrolled yet */
		fault_clear(fault);
		rc = RC_OK;
	}
	if (rc == RC_OK) {
		*out = id;
		id = NULL;
	}
out:
	identity_free(id);
	certs_fini(&roots);
	certs_fini(&chain);
	return rc;
}

static MUST_CHECK enum rc save_key(
    const struct identity *id, const char *dir, struct fault *fault)
{
	char path[FS_PATH_MAX], pem[KEY_PEM_MAX];
	size_t len = 0;
	enum rc rc = make_path(path, dir, KEY_FILE, fault);

	if (rc == RC_OK)
		rc = key_to_pem(id->key, pem, &len);
	if (rc == RC_OK)
		rc = fs_write_atomic(path, pem, len, 0600, fault);
	OPENSSL_cleanse(pem, sizeof(pem));
	return rc;
}

static MUST_CHECK enum rc save_certs(const struct certs *list, const char *dir,
    const char *name, struct fault *fault)
{
	char path[FS_PATH_MAX], *pem = NULL;
	size_t len = 0;
	enum rc rc = make_path(path, dir, name, fault);

	if (rc == RC_OK)
		rc = certs_pem(list, &pem, &len);
	if (rc == RC_OK)
		rc = fs_write_atomic(path, pem, len, 0644, fault);
	free(pem);
	return rc;
}

/* Open the directory that holds path; *name is path's last part. */
static MUST_CHECK enum rc open_parent(
    const char *path, int *fd, const char **name, struct fault *fault)
{
	char parent[FS_PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (strlen(path) >= sizeof(parent))
		return RC_LIMIT;
	if (slash == NULL)
		memcpy(parent, ".", 2);
	else if (slash == path)
		memcpy(parent, "/", 2);
	else
		(void)snprintf(
		    parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	*name = slash == NULL ? path : slash + 1;
	*fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd >= 0)
		return RC_OK;
	fault_set(fault, REASON_BAD_CONFIG, "", "%s: %s", parent,
	    strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
	return RC_IO;
}

enum rc identity_remove(const char *dir, struct fault *fault)
{
	const char *name = NULL;
	int fd = -1;
	enum rc rc = open_parent(dir, &fd, &name, fault);

	if (rc == RC_OK) {
		rc = fs_remove_tree(fd, name, fault);
		(void)close(fd);
	}
	return rc;
}

/* Put new in the place of dir in one step; dir's old content is in new then. */
static MUST_CHECK enum rc exchange(
    const char *new, const char *dir, struct fault *fault)
{
	const char *name = NULL;
	int fd = -1;
	enum rc rc;
	int failed = renameat2(AT_FDCWD, new, AT_FDCWD, dir, RENAME_EXCHANGE);

	if (failed != 0 && errno == ENOENT)
		failed = rename(new, dir);
	if (failed != 0) {
		fault_set(fault, REASON_INTERNAL, "",
		    "%s cannot be replaced: %s", dir,
		    strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
		return RC_IO;
	}
	rc = open_parent(dir, &fd, &name, fault);
	if (rc != RC_OK)
		return rc;
	if (fsync(fd) != 0) {
		fault_set(fault, REASON_INTERNAL, "",
		    "%s: its directory cannot be synced", dir);
		rc = RC_IO;
	}
	(void)close(fd);
	return rc;
}

enum rc identity_save(
    const struct identity *id, const char *dir, struct fault *fault)
{
	char new[FS_PATH_MAX];
	enum rc rc = make_path(new, dir, NULL, fault);

	if (rc == RC_OK)
		rc = identity_remove(new, fault); /* of a save cut short */
	if (rc == RC_OK)
		rc = fs_make_private_dir(new, fault);
	if (rc == RC_OK)
		rc = save_key(id, new, fault);
	if (rc == RC_OK && id->chain.count > 0)
		rc = save_certs(&id->chain, new, CHAIN_FILE, fault);
	if (rc == RC_OK && id->chain.count > 0)
		rc = save_certs(&id->roots, new, ROOTS_FILE, fault);
	failpoint("identity.written");
	if (rc == RC_OK)
		rc = exchange(new, dir, fault);
	failpoint("identity.exchanged");
	if (rc == RC_OK)
		rc = identity_remove(new, fault);
	return rc;
}

void identity_exchange(struct identity *a, struct identity *b)
{
	struct identity kept = *a;

	*a = *b;
	*b = kept;
}

bool identity_is_enrolled(const struct identity *id)
{
	return id->chain.count > 0;
}

const struct spiffe *identity_spiffe(const struct identity *id)
{
	return &id->spiffe;
}

const uint8_t *identity_key_hash(const struct identity *id)
{
	return id->key_hash;
}

int64_t identity_not_before_s(const struct identity *id)
{
	return id->not_before_s;
}

int64_t identity_not_after_s(const struct identity *id)
{
	return id->not_after_s;
}

EVP_PKEY *identity_key(const struct identity *id)
{
	return id->key;
}

const struct certs *identity_chain(const struct identity *id)
{
	return &id->chain;
}

const struct certs *identity_roots(const struct identity *id)
{
	return &id->roots;
}
