#include "common/certs.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void certs_init(struct certs *list)
{
	memset(list, 0, sizeof(*list));
}

void certs_fini(struct certs *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		X509_free(list->cert[i]);
	certs_init(list);
}

enum rc certs_add(struct certs *list, X509 *cert)
{
	if (list->count == CERTS_MAX)
		return RC_LIMIT;
	if (X509_up_ref(cert) != 1)
		return RC_CRYPTO;
	list->cert[list->count++] = cert;
	return RC_OK;
}

enum rc certs_copy(struct certs *to, const struct certs *from)
{
	struct certs copy;
	enum rc rc = RC_OK;
	size_t i;

	certs_init(&copy);
	for (i = 0; i < from->count && rc == RC_OK; i++)
		rc = certs_add(&copy, from->cert[i]);
	if (rc == RC_OK) {
		certs_fini(to);
		*to = copy;
		certs_init(&copy);
	}
	certs_fini(&copy);
	return rc;
}

enum rc certs_add_der(
    struct certs *list, const uint8_t *der, size_t len, struct fault *fault)
{
	const uint8_t *p = der;
	X509 *cert = NULL;
	enum rc rc;

	if (len <= CERTS_DER_MAX)
		cert = d2i_X509(NULL, &p, (long)len);
	if (cert == NULL || p != der + len) {
		fault_set(fault, REASON_PROTOCOL, "",
		    "not one certificate in DER of at most %d bytes",
		    CERTS_DER_MAX);
		rc = RC_PROTO;
	} else {
		rc = certs_add(list, cert);
		if (rc == RC_LIMIT)
			fault_set(fault, REASON_PROTOCOL, "",
			    "more than %d certificates", CERTS_MAX);
	}
	X509_free(cert);
	return rc;
}

enum rc certs_add_pem(
    struct certs *list, const char *pem, size_t len, struct fault *fault)
{
	char no_pass_phrase[] = ""; /* or OpenSSL would ask the terminal */
	BIO *bio = NULL;
	X509 *cert = NULL;
	enum rc rc = RC_PROTO;

	if (len <= CERTS_PEM_MAX)
		bio = BIO_new_mem_buf(pem, (int)len);
	while (bio != NULL && (cert = PEM_read_bio_X509(
				   bio, NULL, NULL, no_pass_phrase)) != NULL) {
		rc = certs_add(list, cert);
		X509_free(cert);
		if (rc != RC_OK)
			break;
	}
	BIO_free(bio);
	if (rc == RC_PROTO)
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "no certificate in PEM (of at most %d bytes)",
		    CERTS_PEM_MAX);
	else if (rc == RC_LIMIT)
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "more than %d certificates", CERTS_MAX);
	return rc;
}

enum rc certs_der(
    const struct certs *list, size_t i, uint8_t **out, size_t *len)
{
	int size = i2d_X509(list->cert[i], NULL);
	uint8_t *der, *p;

	if (size <= 0)
		return RC_CRYPTO;
	der = malloc((size_t)size);
	if (der == NULL)
		return RC_NOMEM;
	p = der;
	(void)i2d_X509(list->cert[i], &p);
	*out = der;
	*len = (size_t)size;
	return RC_OK;
}

enum rc certs_pem(const struct certs *list, char **out, size_t *len)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL, *text;
	enum rc rc = RC_CRYPTO;
	long size;
	size_t i;

	if (bio == NULL)
		return RC_NOMEM;
	for (i = 0; i < list->count; i++)
		if (PEM_write_bio_X509(bio, list->cert[i]) != 1)
			goto out;
	size = BIO_get_mem_data(bio, &data);
	if (size < 0)
		goto out;
	text = malloc((size_t)size + 1);
	if (text == NULL) {
		rc = RC_NOMEM;
		goto out;
	}
	if (size > 0)
		memcpy(text, data, (size_t)size);
	text[size] = '\0';
	*out = text;
	*len = (size_t)size;
	rc = RC_OK;
out:
	BIO_free(bio);
	return rc;
}

enum rc certs_key_hash(const X509 *cert, uint8_t out[KEY_HASH_SIZE])
{
	/* As key_hash(), of the bytes that the certificate has: several times
	 * in each handshake, and 70 times as quick as encoding the key anew. */
	const X509_PUBKEY *key = X509_get_X509_PUBKEY(cert);
	unsigned char *der = NULL;
	int len = key != NULL ? i2d_X509_PUBKEY(key, &der) : 0;
	bool ok =
	    len > 0 && X509_get0_pubkey(cert) != NULL &&
	    EVP_Digest(der, (size_t)len, out, NULL, EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	return ok ? RC_OK : RC_CRYPTO;
}

/* Copy a URI whose every byte is printable ASCII. */
static MUST_CHECK enum rc copy_uri(
    const ASN1_IA5STRING *uri, char out[CERTS_URI_SIZE])
{
	const unsigned char *data = ASN1_STRING_get0_data(uri);
	int i, len = ASN1_STRING_length(uri);

	if (len <= 0 || len >= CERTS_URI_SIZE)
		return RC_PROTO;
	for (i = 0; i < len; i++)
		if (data[i] <= ' ' || data[i] > '~')
			return RC_PROTO;
	memcpy(out, data, (size_t)len);
	out[len] = '\0';
	return RC_OK;
}

enum rc certs_uri(
    const X509 *cert, char out[CERTS_URI_SIZE], struct fault *fault)
{
	GENERAL_NAMES *names;
	const GENERAL_NAME *name;
	enum rc rc = RC_PROTO;

	names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	if (names == NULL || sk_GENERAL_NAME_num(names) != 1) {
		fault_set(fault, REASON_WRONG_IDENTITY, "",
		    "the certificate has %d alternative names, not exactly one",
		    names == NULL ? 0 : sk_GENERAL_NAME_num(names));
		goto out;
	}
	name = sk_GENERAL_NAME_value(names, 0);
	if (name->type == GEN_URI)
		rc = copy_uri(name->d.uniformResourceIdentifier, out);
	if (rc != RC_OK)
		fault_set(fault, REASON_WRONG_IDENTITY, "",
		    "the certificate's alternative name is not a short URI");
out:
	GENERAL_NAMES_free(names);
	return rc;
}

enum rc certs_spiffe(const X509 *cert, struct spiffe *out, struct fault *fault)
{
	char uri[CERTS_URI_SIZE];
	enum rc rc = certs_uri(cert, uri, fault);

	if (rc != RC_OK)
		return rc;
	rc = spiffe_parse(uri, out, fault);
	if (rc != RC_OK)
		fault_set(fault, REASON_WRONG_IDENTITY, "",
		    "the certificate's name %s is not of the form "
		    "spiffe://<cluster>/<role>/<name>",
		    uri);
	return rc;
}

static MUST_CHECK enum rc to_seconds(const ASN1_TIME *time, int64_t *out)
{
	struct tm tm;

	memset(&tm, 0, sizeof(tm));
	if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1)
		return RC_PROTO;
	*out = (int64_t)timegm(&tm);
	return RC_OK;
}

enum rc certs_validity(
    const X509 *cert, int64_t *not_before_s, int64_t *not_after_s)
{
	int64_t from = 0, to = 0;

	if (to_seconds(X509_get0_notBefore(cert), &from) != RC_OK ||
	    to_seconds(X509_get0_notAfter(cert), &to) != RC_OK)
		return RC_PROTO;
	*not_before_s = from;
	*not_after_s = to;
	return RC_OK;
}

void certs_date(int64_t time_s, char out[CERTS_DATE_SIZE])
{
	time_t t = (time_t)time_s;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(out, CERTS_DATE_SIZE, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		memcpy(out, "?", 2);
}
