/*
 * join.h - how a relay or tentacle becomes a member of a cluster.
 *
 *     token -> dial a server or relay -> enrol stream -> TLS to the server,
 *     proven by the token's pin -> secret and CSR -> certificate -> disk
 *
 * Relays on the way can neither read nor swap anything.  The key is kept in
 * DIR/joining until the certificate has come, so that a repeat is the same
 * request.  Blocks: it runs the loop itself.
 */
#ifndef COMMON_JOIN_H
#define COMMON_JOIN_H

#include "common/link.h"
#include "common/token.h"
#include "proto/name.h"

struct join {
	enum peer_role role; /* ROLE_RELAY or ROLE_TENTACLE */
	const char *state_dir;
	const struct token *token;
	const struct endpoint *endpoints; /* of servers or relays */
	size_t endpoint_count;
	const char *listen;   /* where it will listen: endpoint text, or "" */
	const char *hostname; /* to be called by; NULL: this host's own */
	uint32_t timeout_ms;  /* of one attempt */
	uint32_t wait_ms;     /* for approval; 0: as long as it takes */
	struct link_config link;
	/* Progress for a person; may be NULL. */
	void (*progress)(void *arg, const char *text);
	void *arg;
};

struct joined {
	char id[NAME_SIZE];
	char name[NAME_SIZE];
	char cluster[ID_SIZE];
	char via[NAME_SIZE + 8]; /* "server n1" or "relay dc2-a" */
	char via_address[ADDRESS_TEXT_MAX];
};

/*
 * Join, trying the endpoints in turn.  Waits while approval is pending.  On
 * RC_OK the member is on disk (common/member.h).  RC_AGAIN: not approved within
 * wait_ms; its key is kept for the next time.  RC_EXISTS: dir has one
 * already, or another process works on it; RC_DENIED and others: *fault says
 * what and where.
 */
MUST_CHECK enum rc join_run(
    const struct join *join, struct joined *out, struct fault *fault);

#endif
