/*
 * message_upkeep.h - what keeps trust fresh: lists of revoked keys, new
 * certificates, and what there is to trust.
 *
 * The same requests on control sessions and on standing seals:
 *
 *     node: revoked (a piece of a signed list) -> revoked (a reply)
 *     node: certificate                        -> certificate (a reply)
 *     node: trust (a signed bundle)            -> trust (a reply)
 *
 * A list goes in pieces, in order, from offset 0; the reply tells the numbers
 * that the peer holds then.  Each request has an id that its reply repeats.
 *
 * A signed list is a struct msg_signed_list; its body is an encoded struct
 * msg_revocation_list, and exactly those bytes are signed.
 */
#ifndef PROTO_MESSAGE_UPKEEP_H
#define PROTO_MESSAGE_UPKEEP_H

#include "proto/message_enrol.h"

#define REVOCATIONS_MAX       100000 /* hashes in one list */
#define REVOKED_HASH_LEN      32
#define REVOKED_SIGNED_MAX    (REVOCATIONS_MAX * REVOKED_HASH_LEN + 65536)
#define REVOKED_PIECE_MAX     49152 /* fits a message of a standing seal */
#define REVOKED_SIGNATURE_MAX 128

enum revocation_kind {
	REVOKED_AGENTS, /* relays and tentacles */
	REVOKED_NODES,
	REVOKED_COUNT
};

/* "agents", "nodes" */
const char *revocation_kind_name(enum revocation_kind kind);

struct msg_revoked {
	uint32_t id;
	enum revocation_kind list;
	uint64_t number;    /* of the whole list */
	uint64_t size;      /* bytes of the whole signed list */
	uint64_t offset;    /* of this piece */
	struct bytes piece; /* 1 to REVOKED_PIECE_MAX */
};

MSG_CODEC(revoked);

struct msg_revoked_reply {
	struct msg_reply reply;
	struct msg_revocations revocations; /* verified, and on its disk */
};

MSG_CODEC(revoked_reply);

/* A later certificate for the key that the peer has. */
struct msg_certificate {
	uint32_t id;
	struct msg_blob_list chain; /* DER, the peer's own first */
};

MSG_CODEC(certificate);

struct msg_certificate_reply {
	struct msg_reply reply;
	uint64_t not_after_s; /* of the certificate that is in use now */
};

MSG_CODEC(certificate_reply);

/*
 * What is trusted from now on, signed by a root that the peer trusts already:
 * a struct msg_signed_list whose body is an encoded struct msg_trust_bundle.
 */
#define TRUST_BUNDLE_MAX  32768 /* bytes, signed */
#define TRUST_ROOTS_MAX   4
#define TRUST_RETIRED_MAX 64 /* hashes of authorities' keys */

struct msg_trust {
	uint32_t id;
	struct bytes bundle; /* 1 to TRUST_BUNDLE_MAX */
};

MSG_CODEC(trust);

struct msg_trust_reply {
	struct msg_reply reply;
	uint64_t number; /* of the bundle that is on its disk */
};

MSG_CODEC(trust_reply);

struct msg_trust_bundle {
	char cluster[ID_SIZE];
	uint64_t number;            /* rises with each change; never 0 */
	uint64_t made_s;            /* unix time */
	struct msg_blob_list roots; /* DER; 1 to TRUST_ROOTS_MAX */
	struct bytes retired;       /* REVOKED_HASH_LEN each; may be empty */
};

MSG_CODEC(trust_bundle);

struct msg_revocation_list {
	char cluster[ID_SIZE];
	enum revocation_kind list;
	uint64_t number;     /* rises with each change; never 0 */
	uint64_t made_s;     /* unix time */
	struct bytes hashes; /* REVOKED_HASH_LEN each; may be empty */
};

MSG_CODEC(revocation_list);

struct msg_signed_list {
	struct bytes body;
	struct bytes signature;     /* Ed25519, by the first of chain */
	struct msg_blob_list chain; /* the authority's, without the root */
};

MSG_CODEC(signed_list);

#endif
