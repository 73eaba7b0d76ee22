/*
 * x509_build.h - put one certificate together and sign it.  For ca.c; tests use
 * it to make bad ones.  Any thread.
 */
#ifndef COMMON_X509_BUILD_H
#define COMMON_X509_BUILD_H

#include "proto/rc.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct x509_build {
	const char *organisation, *name; /* subject: for people's eyes only */
	const char *uri;                 /* alternative name; NULL: none */
	const char *second_uri;          /* NULL: none (tests) */
	const char *const *names;        /* DNS names and addresses */
	size_t name_count;
	int64_t not_before_s, not_after_s;
	EVP_PKEY *key; /* whose certificate; only the public half is used */
	X509 *issuer;  /* NULL: self-signed */
	EVP_PKEY *issuer_key;
	bool is_ca;
	int path_len;  /* of a CA: how many CAs may follow below */
	bool client;   /* a leaf: TLS client too, not only server */
	bool no_usage; /* a leaf without extended key usage (tests) */
};

/* The caller frees *out with X509_free.  RC_CRYPTO. */
MUST_CHECK enum rc x509_build(const struct x509_build *b, X509 **out);

/* A DNS name (letters, digits, '-', '.') or an IPv4 or IPv6 address. */
bool x509_name_is_valid(const char *name);

#endif
