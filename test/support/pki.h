/*
 * pki.h - a cluster's authorities and identities for tests.  In a header, all
 * static, because it uses common.
 */
#ifndef TEST_SUPPORT_PKI_H
#define TEST_SUPPORT_PKI_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/ca.h"
#include "common/identity.h"
#include "common/trust.h"
#include "common/x509_build.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define UNUSED    __attribute__((unused))
#define CLUSTER   "00112233445566778899aabbccddeeff"
#define CLUSTER_2 "ffeeddccbbaa99887766554433221100"
#define MACHINE   "7f000000000000000000000000000001"
#define DAY       (24 * 3600)

struct pki {
	struct ca *root, *nodes, *agents;
	struct trust *trust;
	int64_t now_s;
};

static UNUSED void pki_init(struct pki *p, const char *cluster)
{
	p->now_s = (int64_t)time(NULL);
	assert_int_equal(
	    ca_create_root(cluster, p->now_s - 400 * DAY, &p->root), RC_OK);
	assert_int_equal(
	    ca_create_sub(p->root, CA_NODES, p->now_s - 400 * DAY, &p->nodes),
	    RC_OK);
	assert_int_equal(
	    ca_create_sub(p->root, CA_AGENTS, p->now_s - 400 * DAY, &p->agents),
	    RC_OK);
	assert_int_equal(
	    trust_new(cluster, ca_chain(p->root), &p->trust), RC_OK);
}

static UNUSED void pki_fini(struct pki *p)
{
	ca_free(p->root);
	ca_free(p->nodes);
	ca_free(p->agents);
	trust_unref(p->trust);
}

/* Issue for the identity's key, valid from now + start_s for life_s. */
static UNUSED void pki_enrol(struct pki *p, struct identity *id,
    const struct spiffe *name, int64_t start_s, int64_t life_s)
{
	const struct ca *ca = name->role == ROLE_SERVER ? p->nodes : p->agents;
	struct ca_request request = {
		.id = *name, .now_s = p->now_s + start_s, .life_s = life_s
	};
	struct certs chain;
	struct fault fault = { 0 };
	uint8_t *csr = NULL;

	certs_init(&chain);
	assert_int_equal(identity_csr(id, &csr, &request.csr_len), RC_OK);
	request.csr = csr;
	assert_int_equal(ca_issue(ca, &request, &chain, &fault), RC_OK);
	assert_int_equal(
	    identity_enrol(id, &chain, ca_chain(p->root), &fault), RC_OK);
	free(csr);
	certs_fini(&chain);
}

static UNUSED struct identity *pki_identity_at(struct pki *p,
    enum peer_role role, const char *name, int64_t start_s, int64_t life_s)
{
	struct identity *id = NULL;
	struct spiffe spiffe = { .role = role };

	strcpy(spiffe.cluster, ca_cluster(p->root));
	strcpy(spiffe.name, name);
	assert_int_equal(identity_generate(&id), RC_OK);
	pki_enrol(p, id, &spiffe, start_s, life_s);
	return id;
}

static UNUSED struct identity *pki_identity(
    struct pki *p, enum peer_role role, const char *name)
{
	return pki_identity_at(p, role, name, -3600, DAY);
}

/* The parts of an authority that x509_build() needs. */
static UNUSED EVP_PKEY *pki_ca_key(const struct ca *ca)
{
	char pem[KEY_PEM_MAX];
	size_t len = 0;
	EVP_PKEY *key = NULL;

	assert_int_equal(ca_key_pem(ca, pem, &len), RC_OK);
	assert_int_equal(key_from_pem(pem, len, &key, NULL), RC_OK);
	return key;
}

/*
 * A chain that ca_issue() would not issue: *b with its issuer fields filled in,
 * for a fresh key of this kind, which the caller frees.
 */
static UNUSED EVP_PKEY *pki_forge(const struct ca *ca,
    const struct x509_build *wanted, enum key_kind kind, struct certs *chain)
{
	struct x509_build b = *wanted;
	EVP_PKEY *key = NULL, *ca_key = pki_ca_key(ca);
	X509 *cert = NULL;
	size_t i;

	assert_int_equal(key_generate(kind, &key), RC_OK);
	b.organisation = "forged";
	b.name = "forged";
	b.key = key;
	b.issuer = ca_chain(ca)->cert[0];
	b.issuer_key = ca_key;
	assert_int_equal(x509_build(&b, &cert), RC_OK);
	assert_int_equal(certs_add(chain, cert), RC_OK);
	for (i = 0; i < ca_chain(ca)->count; i++)
		assert_int_equal(
		    certs_add(chain, ca_chain(ca)->cert[i]), RC_OK);
	X509_free(cert);
	EVP_PKEY_free(ca_key);
	return key;
}

#endif
