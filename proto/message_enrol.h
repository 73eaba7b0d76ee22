/*
 * message_enrol.h - how a relay or tentacle gets its certificate.
 *
 * Inside TLS with ALPN longarm-enrol/1; the joiner is the TLS client.
 *
 *     joiner: enrol -> node: enrolled, pending (ask again), or fault
 */
#ifndef PROTO_MESSAGE_ENROL_H
#define PROTO_MESSAGE_ENROL_H

#include "proto/message.h"

#define ENROL_CSR_MAX    8192
#define ENROL_CERT_MAX   8192
#define ENROL_CHAIN_MAX  4 /* certificates */
#define ENROL_ROOTS_MAX  8
#define ENROL_SECRET_LEN 32
#define PEERS_MAX        256

/* A node or relay that one may dial, or accept. */
struct msg_peer {
	enum peer_role role; /* server or relay */
	char name[NAME_SIZE];
	char endpoint[ENDPOINT_SIZE]; /* may be empty: see dial */
	/* The reader of this dials it: at endpoint, or where that is empty at
	 * the address under which it knows it. */
	bool dial;
};

struct msg_enrol {
	char token_id[NAME_SIZE];
	struct bytes secret; /* ENROL_SECRET_LEN, or empty: renewal */
	enum peer_role role; /* relay or tentacle */
	struct bytes csr;    /* DER, 1 to ENROL_CSR_MAX */
	struct bytes hostname, version, os; /* MSG_TEXT_MAX */
	char listen[ENDPOINT_SIZE]; /* may be empty: it does not listen */
};

MSG_CODEC(enrol);

struct msg_blob_list {
	struct bytes *items; /* freed by the message's clear */
	size_t count;
};

struct msg_enrolled {
	struct msg_blob_list chain; /* DER, own certificate first */
	struct msg_blob_list roots; /* DER */
	char id[NAME_SIZE];         /* machine id, or the relay's name */
	char name[NAME_SIZE];       /* display name */
	char cluster[ID_SIZE];
	struct msg_peer *peers; /* PEERS_MAX */
	size_t peer_count;
	struct bytes succession; /* SUCCESSION_LEN, or empty */
};

MSG_CODEC(enrolled);

struct msg_pending {
	uint32_t retry_ms;    /* keep the key and ask again then */
	char name[NAME_SIZE]; /* as operators see it; may be empty */
};

MSG_CODEC(pending);

#endif
