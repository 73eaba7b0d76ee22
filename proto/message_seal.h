/*
 * message_seal.h - the first three messages in every seal.
 *
 *     acceptor -> greet    who I am, how far my journal is
 *     node     -> welcome  whose order this is, token for a new instance
 *     acceptor -> confirm  both are on my disk
 */
#ifndef PROTO_MESSAGE_SEAL_H
#define PROTO_MESSAGE_SEAL_H

#include "proto/message.h"

#define GREET_FEATURES_MAX 32

struct msg_greet {
	struct msg_instance instance;
	uint64_t counter;        /* the journal's highest record */
	struct bytes succession; /* SUCCESSION_LEN, or empty */
	struct msg_revocations revocations;
	struct bytes version;          /* 1 to MSG_VERSION_MAX */
	struct msg_text_list features; /* proto/feature.h; GREET_FEATURES_MAX */
	uint64_t table_version; /* a relay's: last seq of its slice; else 0 */
	uint64_t trust; /* number of its trust bundle; 0: as it was joined */
	/* A relay's: where those behind it dial it; may be empty. */
	char listen[ENDPOINT_SIZE];
	/* Its journal cannot be read: instance.journal and counter say nothing.
	 */
	bool quarantine;
	/* The newest that a welcome has told: TERM_LEN, or empty. */
	struct bytes term;
};

MSG_CODEC(greet);

struct msg_welcome {
	char node[NAME_SIZE];
	struct msg_incarnation incarnation;
	struct msg_revocations revocations;
	struct bytes succession; /* new: SUCCESSION_LEN, or empty: keep yours */
	/* Of the server's term, to be shown again: TERM_LEN, or empty. */
	struct bytes term;
};

MSG_CODEC(welcome);

struct msg_confirm {
	uint64_t counter; /* the journal's highest record, after the sync */
};

MSG_CODEC(confirm);

#endif
