/*
 * tls.h - TLS 1.3 over any ordered byte pipe: a link's socket, or a stream.
 *
 *     bytes from the peer -> tls_recv() -> plain bytes
 *     plain bytes         -> tls_send() -> bytes for the peer
 *
 * No socket, no callback, no copy of its own: ciphertext is read from and
 * written to the caller's buffers, many records per call.  At most one partial
 * record is kept inside.  Only TLS 1.3, only certificates that struct trust
 * believes, no resumption, no early data.  OpenSSL shakes hands; then its
 * session is freed and records are ours, with its ciphers (tls_keys.h): an idle
 * session is about a kilobyte, and nothing is copied to encrypt or decrypt it.
 *
 * A struct tls belongs to one thread at a time and may be handed over between
 * calls: the handshake may run on a worker.  A struct tls_contexts is shared
 * by threads and reference counted; make a new one when the identity is
 * renewed, sessions keep the one that they began with.
 */
#ifndef COMMON_TLS_H
#define COMMON_TLS_H

#include "common/identity.h"
#include "common/trust.h"
#include "proto/rc.h"
#include "proto/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Free room in an output buffer with which every call makes progress. */
#define TLS_ROOM 16640 /* the largest record and a little */
/* What one record adds to its content. */
#define TLS_OVERHEAD 22
/* Content of a link's record: one full frame. */
#define TLS_LINK_FRAGMENT 16384
/* Content of a seal's record: with its overhead it fills one DATA frame. */
#define TLS_SEAL_FRAGMENT 16354

enum tls_kind {
	TLS_LINK_DIAL,    /* a peer without a good certificate: anonymous */
	TLS_LINK_ACCEPT,  /* the same */
	TLS_SEAL_CLIENT,  /* a node; the peer is a relay or tentacle */
	TLS_SEAL_SERVER,  /* a relay or tentacle; the peer is a node */
	TLS_ENROL_CLIENT, /* a joiner, or one whose certificate has expired */
	TLS_ENROL_SERVER, /* a node; the peer may be anonymous */
	TLS_KIND_COUNT
};

struct tls_contexts;

/*
 * identity may be NULL or not enrolled: a joiner, which can only dial links
 * and be an enrol client.  trust is referenced, identity copied.
 */
MUST_CHECK enum rc tls_contexts_new(const struct identity *identity,
    struct trust *trust, struct tls_contexts **out, struct fault *fault);
struct tls_contexts *tls_contexts_ref(struct tls_contexts *contexts);
void tls_contexts_unref(struct tls_contexts *contexts); /* NULL is fine */

/* Input: advanced past what was taken. */
struct tls_in {
	const uint8_t *p;
	size_t len;
};

/* Output: p[0..len) is to be sent, p[len..cap) is free. */
struct tls_out {
	uint8_t *p;
	size_t len;
	size_t cap;
};

enum tls_state {
	TLS_HANDSHAKE,
	TLS_OPEN,
	TLS_PEER_CLOSED, /* the peer will send no more: close_notify came */
	TLS_FAILED       /* see tls_fault() */
};

/* Who must answer; beyond that the kind has its own rules. */
struct tls_expect {
	unsigned roles;   /* TRUST_ROLE()s; 0: any that the kind allows */
	const char *name; /* NULL or "": any; copied */
};

struct tls;

/* expect may be NULL.  RC_STATE: a joiner's contexts have no such kind. */
MUST_CHECK enum rc tls_new(struct tls_contexts *contexts, enum tls_kind kind,
    const struct tls_expect *expect, struct tls **out);
void tls_free(struct tls *t); /* NULL is fine; sends nothing */

/*
 * One step.  RC_OK: done, the peer is known (what is left in *in is for
 * tls_recv).  RC_AGAIN: send what is in *out, then call again with more input,
 * or at once when *out had less than TLS_ROOM free.  RC_DENIED: failed, see
 * tls_fault(); *out may hold an alert that is worth sending.
 */
MUST_CHECK enum rc tls_handshake(
    struct tls *t, struct tls_in *in, struct tls_out *out);

/*
 * Decrypt what is in *in to plain[0..cap); *got says how many bytes came.
 * Input is left over only when plain is full or *out has no room: call again
 * then, also without input, until *got is 0.  Something may be appended to *out
 * (an alert).  RC_OK also when the peer closed: tls_state() says
 * so.  RC_DENIED: failed, see tls_fault(); the *got bytes before it are good.
 */
MUST_CHECK enum rc tls_recv(struct tls *t, struct tls_in *in,
    struct tls_out *out, uint8_t *plain, size_t cap, size_t *got);

/*
 * Encrypt data[0..len), as much as fits *out; *taken says how much (records are
 * cut short to fit, but only below the largest size).  RC_STATE: not open;
 * RC_DENIED: failed.
 */
MUST_CHECK enum rc tls_send(struct tls *t, const uint8_t *data, size_t len,
    struct tls_out *out, size_t *taken);

/*
 * Nothing has come or gone for a while: free what is kept for records.  It
 * comes back with the next large one.
 */
void tls_rest(struct tls *t);
/* Append close_notify; nothing can be sent afterwards, receiving goes on. */
void tls_close(struct tls *t, struct tls_out *out);

enum tls_state tls_state(const struct tls *t);
/* Why it failed; code REASON_NONE while it has not.  Lives as long as t. */
const struct fault *tls_fault(const struct tls *t);
/* After the handshake; role ROLE_ANONYMOUS before.  Lives as long as t. */
const struct peer *tls_peer(const struct tls *t);
/* The public key that a seal's peer proved to have; NULL: none, or a link's.
 * Borrowed from t. */
EVP_PKEY *tls_peer_key(const struct tls *t);
/* Has the peer expired or been revoked meanwhile?  See trust_recheck(). */
MUST_CHECK enum rc tls_recheck(
    struct tls *t, int64_t now_s, struct fault *fault);

/* Do the first bytes of a connection (1 is enough) speak plain HTTP? */
bool tls_looks_like_http(const uint8_t *bytes, size_t len);

#endif
