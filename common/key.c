#include "common/key.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

enum rc key_generate(enum key_kind kind, EVP_PKEY **out)
{
	EVP_PKEY *key = kind == KEY_P256
	                    ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
	                    : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	if (key == NULL)
		return RC_CRYPTO;
	*out = key;
	return RC_OK;
}

bool key_is_allowed(const EVP_PKEY *key)
{
	char group[32] = "";
	size_t len = 0;

	if (EVP_PKEY_is_a(key, "ED25519"))
		return true;
	if (!EVP_PKEY_is_a(key, "EC") ||
	    EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME,
		group, sizeof(group), &len) != 1)
		return false;
	return strcmp(group, "prime256v1") == 0;
}

enum rc key_to_pem(const EVP_PKEY *key, char out[KEY_PEM_MAX], size_t *len)
{
	BIO *bio = NULL;
	char *data = NULL;
	enum rc rc = RC_CRYPTO;
	long size;

	if (!key_is_allowed(key))
		goto out;
	bio = BIO_new(BIO_s_secmem());
	if (bio == NULL ||
	    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		goto out;
	size = BIO_get_mem_data(bio, &data);
	if (size <= 0 || size >= KEY_PEM_MAX)
		goto out;
	memcpy(out, data, (size_t)size);
	out[size] = '\0';
	*len = (size_t)size;
	rc = RC_OK;
out:
	BIO_free(bio);
	return rc;
}

enum rc key_from_pem(
    const char *pem, size_t len, EVP_PKEY **out, struct fault *fault)
{
	char no_pass_phrase[] = ""; /* or OpenSSL would ask the terminal */
	BIO *bio = NULL;
	EVP_PKEY *key = NULL;
	enum rc rc = RC_CRYPTO;

	if (len < KEY_PEM_MAX)
		bio = BIO_new_mem_buf(pem, (int)len);
	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, NULL, no_pass_phrase);
	if (key == NULL)
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "not a private key in PEM without a pass phrase");
	else if (!key_is_allowed(key))
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "the key is neither Ed25519 nor P-256");
	else
		rc = RC_OK;
	if (rc == RC_OK) {
		*out = key;
		key = NULL;
	}
	EVP_PKEY_free(key);
	BIO_free(bio);
	return rc;
}

enum rc key_hash(const EVP_PKEY *key, uint8_t out[KEY_HASH_SIZE])
{
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(key, &der);
	bool ok = len > 0 && EVP_Digest(der, (size_t)len, out, NULL,
				 EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	return ok ? RC_OK : RC_CRYPTO;
}

enum rc key_make_csr(EVP_PKEY *key, uint8_t **out, size_t *len)
{
	const EVP_MD *md = EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();
	X509_REQ *request = X509_REQ_new();
	uint8_t *der = NULL, *p;
	enum rc rc = RC_CRYPTO;
	int size;

	if (request == NULL || X509_REQ_set_pubkey(request, key) != 1 ||
	    X509_REQ_sign(request, key, md) <= 0)
		goto out;
	size = i2d_X509_REQ(request, NULL);
	if (size <= 0 || size > KEY_CSR_MAX)
		goto out;
	der = malloc((size_t)size);
	if (der == NULL) {
		rc = RC_NOMEM;
		goto out;
	}
	p = der;
	(void)i2d_X509_REQ(request, &p);
	*out = der;
	*len = (size_t)size;
	rc = RC_OK;
out:
	X509_REQ_free(request);
	return rc;
}

enum rc key_from_csr(
    const uint8_t *der, size_t len, EVP_PKEY **out, struct fault *fault)
{
	const uint8_t *p = der;
	X509_REQ *request = NULL;
	EVP_PKEY *key = NULL;
	enum rc rc = RC_CRYPTO;

	if (len <= KEY_CSR_MAX)
		request = d2i_X509_REQ(NULL, &p, (long)len);
	if (request == NULL || p != der + len) {
		fault_set(fault, REASON_PROTOCOL, "",
		    "not one certificate request in DER of at most %d bytes",
		    KEY_CSR_MAX);
		rc = RC_PROTO;
		goto out;
	}
	key = X509_REQ_get_pubkey(request);
	if (key == NULL || !key_is_allowed(key)) {
		fault_set(fault, REASON_TLS, "",
		    "the key in the certificate request is neither Ed25519 nor "
		    "P-256");
		goto out;
	}
	if (X509_REQ_verify(request, key) != 1) {
		fault_set(fault, REASON_TLS, "",
		    "the certificate request does not prove that its sender "
		    "holds the private key");
		goto out;
	}
	*out = key;
	key = NULL;
	rc = RC_OK;
out:
	EVP_PKEY_free(key);
	X509_REQ_free(request);
	return rc;
}
