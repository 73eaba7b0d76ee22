#include "server/ca/https_cert.h"

#include "common/fs.h"
#include "common/secret.h"
#include "common/trust.h"
#include "server/ca/ca_files.h"

#include <arpa/inet.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define NAME_TEXT_MAX 256

struct names {
	char text[CA_HTTPS_NAMES_MAX][NAME_TEXT_MAX];
	const char *list[CA_HTTPS_NAMES_MAX];
	size_t count;
};

static MUST_CHECK enum rc read_key(
    const char *state, EVP_PKEY **out, struct fault *fault)
{
	char path[FS_PATH_MAX];
	uint8_t *pem = NULL;
	size_t len = 0;
	enum rc rc = fs_join(path, sizeof(path), state, "https/key.pem");

	if (rc == RC_OK)
		rc = fs_read_file(path, KEY_PEM_MAX, &pem, &len, fault);
	if (rc == RC_OK)
		rc = key_from_pem((const char *)pem, len, out, fault);
	if (pem != NULL)
		secret_wipe(pem, len);
	free(pem);
	return rc;
}

static MUST_CHECK enum rc read_chain(
    const char *state, struct certs *out, struct fault *fault)
{
	char path[FS_PATH_MAX];
	uint8_t *pem = NULL;
	size_t len = 0;
	enum rc rc = fs_join(path, sizeof(path), state, "https/cert.pem");

	if (rc == RC_OK)
		rc = fs_read_file(path, CERTS_PEM_MAX, &pem, &len, fault);
	if (rc == RC_OK)
		rc = certs_add_pem(out, (const char *)pem, len, fault);
	free(pem);
	return rc;
}

static bool add_host(struct names *n, const ASN1_STRING *host)
{
	int len = ASN1_STRING_length(host);

	if (len <= 0 || len >= NAME_TEXT_MAX)
		return false;
	memcpy(n->text[n->count], ASN1_STRING_get0_data(host), (size_t)len);
	return true;
}

static bool add_address(struct names *n, const ASN1_OCTET_STRING *address)
{
	int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;

	return (family == AF_INET || ASN1_STRING_length(address) == 16) &&
	       inet_ntop(family, ASN1_STRING_get0_data(address),
		   n->text[n->count], NAME_TEXT_MAX) != NULL;
}

static void read_names(const X509 *cert, struct names *n)
{
	GENERAL_NAMES *all =
	    X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
		bool ok = false;

		if (n->count == CA_HTTPS_NAMES_MAX)
			break;
		if (g->type == GEN_DNS)
			ok = add_host(n, g->d.dNSName);
		else if (g->type == GEN_IPADD)
			ok = add_address(n, g->d.iPAddress);
		if (ok) {
			n->list[n->count] = n->text[n->count];
			n->count++;
		}
	}
	GENERAL_NAMES_free(all);
}

static bool is_ours(const struct certs *chain, const struct ca *root)
{
	return chain->count > 0 &&
	       X509_verify(chain->cert[0],
		   X509_get0_pubkey(ca_chain(root)->cert[0])) == 1;
}

static MUST_CHECK enum rc issue(const struct https_wish *w, const X509 *old,
    struct certs *out, struct fault *fault)
{
	struct names *names = calloc(1, sizeof(*names));
	struct ca_https request = { .now_s = w->now_s,
		.life_s = CA_HTTPS_LIFE_S };
	struct certs chain;
	enum rc rc;

	if (names == NULL)
		return RC_NOMEM;
	certs_init(&chain);
	read_names(old, names);
	request.names = names->list;
	request.name_count = names->count;
	rc = read_key(w->state, &request.key, fault);
	if (rc == RC_OK)
		rc = ca_issue_https(w->next, &request, &chain, fault);
	if (rc == RC_OK)
		rc = certs_add(out, chain.cert[0]);
	if (w->above == NULL && rc == RC_OK)
		rc = certs_add(out, chain.cert[1]);
	for (size_t i = 0; w->above != NULL && i < w->above->count; i++) {
		if (rc == RC_OK)
			rc = certs_add(out, w->above->cert[i]);
	}
	EVP_PKEY_free(request.key);
	certs_fini(&chain);
	free(names);
	return rc;
}

enum rc https_cert_issue(
    const struct https_wish *wish, struct certs *out, struct fault *fault)
{
	struct certs old;
	enum rc rc;

	certs_init(&old);
	rc = read_chain(wish->state, &old, fault);
	if (rc == RC_OK && !is_ours(&old, wish->root)) {
		fault_set(fault, REASON_NOT_FOUND, "",
		    "it is not signed by this cluster's root: replace it as it "
		    "was put there");
		rc = RC_NOTFOUND;
	}
	if (rc == RC_OK)
		rc = issue(wish, old.cert[0], out, fault);
	certs_fini(&old);
	return rc;
}

/* When the one in use ends; 0: nobody can read it. */
static int64_t end_of(const char *state, int64_t now_s, bool *half)
{
	struct fault fault;
	struct certs chain;
	int64_t from = 0, until = 0;

	certs_init(&chain);
	if (read_chain(state, &chain, &fault) != RC_OK ||
	    certs_validity(chain.cert[0], &from, &until) != RC_OK)
		until = 0;
	certs_fini(&chain);
	*half = until != 0 && now_s > from + (until - from) / 2;
	return until;
}

static MUST_CHECK enum rc renew(
    const char *state, int64_t now_s, struct fault *fault)
{
	struct https_wish wish = { .state = state,
		.now_s = now_s - TRUST_SKEW_S };
	struct certs chain;
	struct ca *root = NULL;
	enum rc rc = ca_files_load(state, "root", &root, fault);

	certs_init(&chain);
	wish.root = wish.next = root;
	if (rc == RC_OK)
		rc = https_cert_issue(&wish, &chain, fault);
	if (rc == RC_OK)
		rc = ca_files_replace(state, "https/cert.pem", &chain, fault);
	certs_fini(&chain);
	ca_free(root);
	return rc;
}

enum rc https_cert_renew(const char *state, int64_t now_s,
    struct https_renewal *out, struct fault *fault)
{
	bool half;
	enum rc rc;

	*out = (struct https_renewal){ .until_s = end_of(state, now_s, &half) };
	if (!half)
		return RC_OK;
	if (!ca_files_has_key(state, "root")) {
		fault_set(fault, REASON_NOT_FOUND, "",
		    "the root's key is not on this node");
		return RC_STATE;
	}
	rc = renew(state, now_s, fault);
	out->changed = rc == RC_OK;
	return rc;
}
