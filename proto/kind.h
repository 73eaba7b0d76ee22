/*
 * kind.h - what a stream is for and in which order it is served.
 */
#ifndef PROTO_KIND_H
#define PROTO_KIND_H

#include "proto/rc.h"

/* Order of service on every hop; see docs/protocol.md, "Order of service". */
enum stream_class {
	CLASS_CONTROL,
	CLASS_HEALTH,
	CLASS_DEPLOY,
	CLASS_BULK,
	CLASS_COUNT
};

enum stream_kind {
	KIND_SEAL,   /* end-to-end TLS between a node and a relay or tentacle */
	KIND_CHUNKS, /* sealed chunks; the neighbour answers */
	KIND_ENROL,  /* TLS of a joiner to a node, through any relays */
	KIND_TRACE,  /* answered per hop */
	KIND_PEER,   /* node to node, one hop */
	KIND_COUNT
};

/* Who is at the far end of a link; read from its certificate only. */
enum peer_role {
	ROLE_ANONYMOUS, /* no certificate: may open one enrol stream */
	ROLE_SERVER,
	ROLE_RELAY,
	ROLE_TENTACLE,
	ROLE_COUNT
};

const char *class_name(enum stream_class c);
const char *kind_name(enum stream_kind kind);
const char *role_name(enum peer_role role);
/* RC_NOTFOUND when the text names none. */
MUST_CHECK enum rc role_parse(const char *name, enum peer_role *out);

#endif
