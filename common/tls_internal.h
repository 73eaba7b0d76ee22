/*
 * tls_internal.h - the inside of a session, for its own files only:
 *
 *     tls_contexts.c  what OpenSSL knows and calls; one context for each kind
 *     tls.c           the handshake, by OpenSSL; what is wrong, in words
 *     tls_open.c      afterwards: records, alerts, key updates
 *     tls_keys.c      the cryptography of those records
 */
#ifndef COMMON_TLS_INTERNAL_H
#define COMMON_TLS_INTERNAL_H

#include "common/tls.h"
#include "common/tls_keys.h"
#include "proto/name.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <stdatomic.h>

struct tls_contexts {
	atomic_uint refs;
	struct trust *trust;
	BIO_METHOD *pipe;
	EVP_CIPHER *aes, *chacha;       /* of the records */
	unsigned roles[TLS_KIND_COUNT]; /* TRUST_ROLE()s that may answer */
	SSL_CTX *ssl[TLS_KIND_COUNT];   /* NULL: a joiner has no such kind */
};

/* Only while hands are shaken. */
struct tls_shaking {
	SSL *ssl;            /* from the first step on */
	struct tls_in *in;   /* of the running call; NULL between calls */
	struct tls_out *out; /* the same */
	char name[NAME_SIZE];
	unsigned roles;
	struct peer shown; /* judged, but possession is not proven yet */
	bool knows_read, knows_write; /* the secrets */
};

/* A record that came in part, or content that found no room. */
struct tls_held {
	uint8_t head[TLS_HEADER_LEN];
	uint8_t *p;         /* a whole record; NULL: none */
	size_t len, cap;    /* what has come of it (also of head); room at p */
	size_t at, content; /* content that is left: p[at..at + content) */
};

struct tls {
	struct tls_contexts *contexts; /* a reference */
	enum tls_kind kind;
	enum tls_state state;
	bool closing;     /* we have sent close_notify */
	bool busy;        /* much has come: keep room for it */
	bool owes_update; /* the peer wants us to change our key */
	unsigned empty;   /* records without data, one after the other */
	struct tls_shaking *shaking; /* NULL when it is over */
	struct tls_keys read, write;
	struct tls_held held;
	EVP_PKEY *peer_key; /* of a seal */
	struct peer peer;   /* after the handshake */
	struct fault fault;
};

const char *tls_kind_protocol(enum tls_kind kind);
size_t tls_kind_fragment(enum tls_kind kind);
bool tls_kind_is_server(enum tls_kind kind);
bool tls_kind_needs_peer(enum tls_kind kind);

/* SSL_CTX_set_keylog_callback()'s: keeps the secrets in memory, nothing else.
 */
void tls_take_secret(const SSL *ssl, const char *line);

/* The only way into TLS_FAILED; a fault that is known already stays. */
MUST_CHECK enum rc tls_fail(struct tls *t);
/* The peer's alert, in words. */
void tls_set_alert_fault(struct tls *t, int number);

/* An OpenSSL error in words; never NULL. */
const char *tls_openssl_words(unsigned long error);

#endif
