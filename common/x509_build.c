#include "common/x509_build.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#define DNS_NAME_MAX 253

bool x509_name_is_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-.";
	struct in6_addr address;
	size_t len = strlen(name);

	if (inet_pton(AF_INET, name, &address) == 1 ||
	    inet_pton(AF_INET6, name, &address) == 1)
		return true;
	return len > 0 && len <= DNS_NAME_MAX && name[0] != '.' &&
	       name[0] != '-' && strspn(name, allowed) == len;
}

/* Append one alternative name of this type; the text is copied. */
static bool add_text(GENERAL_NAMES *names, int type, const char *text)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *value = ASN1_IA5STRING_new();

	if (name == NULL || value == NULL ||
	    ASN1_STRING_set(value, text, (int)strlen(text)) != 1) {
		ASN1_IA5STRING_free(value);
		GENERAL_NAME_free(name);
		return false;
	}
	GENERAL_NAME_set0_value(name, type, value);
	if (sk_GENERAL_NAME_push(names, name) > 0)
		return true;
	GENERAL_NAME_free(name);
	return false;
}

static bool add_address(GENERAL_NAMES *names, ASN1_OCTET_STRING *address)
{
	GENERAL_NAME *name = GENERAL_NAME_new();

	if (name == NULL)
		return false;
	GENERAL_NAME_set0_value(name, GEN_IPADD, address);
	if (sk_GENERAL_NAME_push(names, name) > 0)
		return true;
	name->d.iPAddress = NULL; /* stays the caller's */
	GENERAL_NAME_free(name);
	return false;
}

static bool add_host(GENERAL_NAMES *names, const char *host)
{
	ASN1_OCTET_STRING *address = a2i_IPADDRESS(host);

	if (address == NULL)
		return add_text(names, GEN_DNS, host);
	if (add_address(names, address))
		return true;
	ASN1_OCTET_STRING_free(address);
	return false;
}

static bool set_alternative_names(X509 *cert, const struct x509_build *b)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	bool ok = names != NULL;
	size_t i;

	if (ok && b->uri != NULL)
		ok = add_text(names, GEN_URI, b->uri);
	if (ok && b->second_uri != NULL)
		ok = add_text(names, GEN_URI, b->second_uri);
	for (i = 0; i < b->name_count && ok; i++)
		ok = add_host(names, b->names[i]);
	if (ok && sk_GENERAL_NAME_num(names) > 0)
		ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0,
			 X509V3_ADD_DEFAULT) == 1;
	GENERAL_NAMES_free(names);
	return ok;
}

/* value is one of our own constants, never input: OpenSSL parses it. */
static bool set_extension(
    X509 *cert, X509V3_CTX *context, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, context, nid, value);
	bool ok = e != NULL && X509_add_ext(cert, e, -1) == 1;

	X509_EXTENSION_free(e);
	return ok;
}

static const char *constraints(const struct x509_build *b)
{
	if (!b->is_ca)
		return "critical,CA:FALSE";
	if (b->path_len == 0)
		return "critical,CA:TRUE,pathlen:0";
	return b->path_len == 1 ? "critical,CA:TRUE,pathlen:1"
	                        : "critical,CA:TRUE,pathlen:2";
}

static bool set_extensions(X509 *cert, const struct x509_build *b)
{
	const char *usage =
	    b->client || b->is_ca ? "serverAuth,clientAuth" : "serverAuth";
	X509V3_CTX context;

	X509V3_set_ctx(&context, b->issuer != NULL ? b->issuer : cert, cert,
	    NULL, NULL, 0);
	return set_extension(
		   cert, &context, NID_basic_constraints, constraints(b)) &&
	       set_extension(cert, &context, NID_key_usage,
		   b->is_ca ? "critical,keyCertSign,cRLSign"
			    : "critical,digitalSignature") &&
	       (b->no_usage || (b->is_ca && b->issuer == NULL) ||
		   set_extension(cert, &context, NID_ext_key_usage, usage)) &&
	       set_extension(
		   cert, &context, NID_subject_key_identifier, "hash") &&
	       set_extension(cert, &context, NID_authority_key_identifier,
		   "keyid:always") &&
	       set_alternative_names(cert, b);
}

static bool set_serial(X509 *cert)
{
	unsigned char bytes[16];
	BIGNUM *number = NULL;
	bool ok = RAND_bytes(bytes, sizeof(bytes)) == 1;

	bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* never zero */
	if (ok)
		number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = number != NULL &&
	     BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
	BN_free(number);
	return ok;
}

static bool add_name(X509_NAME *subject, const char *field, const char *text)
{
	return X509_NAME_add_entry_by_txt(subject, field, MBSTRING_UTF8,
		   (const unsigned char *)text, -1, -1, 0) == 1;
}

enum rc x509_build(const struct x509_build *b, X509 **out)
{
	const EVP_MD *md =
	    EVP_PKEY_is_a(b->issuer_key, "ED25519") ? NULL : EVP_sha256();
	X509 *cert = X509_new();
	X509_NAME *subject;
	enum rc rc = RC_CRYPTO;

	if (cert == NULL || X509_set_version(cert, X509_VERSION_3) != 1 ||
	    !set_serial(cert))
		goto out;
	subject = X509_get_subject_name(cert);
	if (!add_name(subject, "O", b->organisation) ||
	    !add_name(subject, "CN", b->name) ||
	    X509_set_issuer_name(cert, b->issuer != NULL
					   ? X509_get_subject_name(b->issuer)
					   : subject) != 1)
		goto out;
	if (ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)b->not_before_s) ==
		NULL ||
	    ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)b->not_after_s) ==
		NULL ||
	    X509_set_pubkey(cert, b->key) != 1 || !set_extensions(cert, b) ||
	    X509_sign(cert, b->issuer_key, md) <= 0)
		goto out;
	*out = cert;
	cert = NULL;
	rc = RC_OK;
out:
	X509_free(cert);
	return rc;
}
