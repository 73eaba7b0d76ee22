/*
 * tls_internal.h - what tls.c and tls_contexts.c share.  For nobody else.
 */
#ifndef COMMON_TLS_INTERNAL_H
#define COMMON_TLS_INTERNAL_H

#include "common/tls.h"
#include "proto/name.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <stdatomic.h>

struct tls_contexts {
	atomic_uint refs;
	struct trust *trust;
	BIO_METHOD *pipe;
	unsigned roles[TLS_KIND_COUNT]; /* TRUST_ROLE()s that may answer */
	SSL_CTX *ssl[TLS_KIND_COUNT];   /* NULL: a joiner has no such kind */
};

struct tls {
	struct tls_contexts *contexts; /* a reference */
	enum tls_kind kind;
	enum tls_state state;
	bool closing; /* we have sent close_notify */
	bool busy;    /* OpenSSL keeps its buffers between records */
	SSL *ssl;
	struct tls_in *in;   /* of the running call; NULL between calls */
	struct tls_out *out; /* the same */
	unsigned roles;
	char name[NAME_SIZE];
	struct peer shown; /* judged, but possession is not proven yet */
	struct peer peer;  /* after the handshake */
	struct fault fault;
};

const char *tls_kind_protocol(enum tls_kind kind);
size_t tls_kind_fragment(enum tls_kind kind);
bool tls_kind_is_server(enum tls_kind kind);
bool tls_kind_needs_peer(enum tls_kind kind);

/* An OpenSSL error in words; never NULL. */
const char *tls_openssl_words(unsigned long error);

#endif
