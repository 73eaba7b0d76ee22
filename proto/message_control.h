/*
 * message_control.h - the control session, node to relay.
 *
 *     node: table-page...  -> relay: table-ack
 *     node: presence-sub   -> relay: presence, whenever something changes
 *     node: peers          -> relay: peers (a reply)
 *     node: drain
 *     node: status         -> relay: status (a reply)
 *     node: revoked, certificate: proto/message_upkeep.h
 *     relay: drain         (it is going to stop)
 *
 * A message is at most LENFRAME_CONTROL_MAX bytes.
 */
#ifndef PROTO_MESSAGE_CONTROL_H
#define PROTO_MESSAGE_CONTROL_H

#include "proto/message.h"
#include "proto/message_enrol.h"

#define TABLE_PAGE_ENTRIES_MAX 1000 /* keeps a page under 256 KiB, usually */
#define TABLE_PAGE_BYTES_MAX   262144
#define TABLE_FROM_MAX         16
#define TABLE_ALSO_MAX         8
#define PRESENCE_CHANGES_MAX   1000

/* How the next hop to a target is reached. */
enum route_how {
	ROUTE_DIAL,     /* dial endpoint */
	ROUTE_DIALS_ME, /* wait for its link */
	ROUTE_VIA,      /* by the relay in via */
	ROUTE_HOW_COUNT
};

const char *route_how_name(enum route_how how);
MUST_CHECK enum rc route_how_parse(const char *name, enum route_how *out);

/* A neighbour that may open to the target: the server (a node) or a relay. */
struct msg_neighbour {
	enum peer_role role; /* server or relay */
	char name[NAME_SIZE];
};

struct msg_table_entry {
	char target[TARGET_SIZE]; /* machine/<id> or relay/<name> */
	uint64_t seq;
	bool gone;            /* forget it; the rest is empty */
	char name[NAME_SIZE]; /* display name; may be empty */
	enum route_how how;
	char endpoint[ENDPOINT_SIZE]; /* ROUTE_DIAL, else empty */
	char via[NAME_SIZE];          /* ROUTE_VIA, else empty */
	struct msg_neighbour *from;   /* TABLE_FROM_MAX */
	size_t from_count;
	struct msg_neighbour *also; /* TABLE_ALSO_MAX: other relays by which
	                               it is reached; not in order */
	size_t also_count;
};

struct msg_table_page {
	struct msg_incarnation incarnation;
	uint64_t from_seq; /* the slice this builds on; 0: the whole, afresh */
	uint64_t seq;      /* the slice's number after the last page */
	uint32_t page;     /* 0, 1, 2... */
	bool last;
	struct msg_table_entry *entries; /* TABLE_PAGE_ENTRIES_MAX */
	size_t entry_count;
};

MSG_CODEC(table_page);

struct msg_table_ack {
	uint64_t seq; /* on the relay's disk */
};

MSG_CODEC(table_ack);

struct msg_presence_sub {
	uint64_t reserved; /* nothing to say yet; 0 */
};

MSG_CODEC(presence_sub);

struct msg_presence_change {
	char target[TARGET_SIZE];
	bool up;
	uint64_t start;      /* of the instance that is up */
	struct fault reason; /* why it is down; REASON_NONE: not known */
	uint64_t link;       /* rises with each link to it; 0: not told */
};

struct msg_presence {
	bool whole; /* the full list: what is not in it is down */
	struct msg_presence_change *changes; /* PRESENCE_CHANGES_MAX */
	size_t change_count;
};

MSG_CODEC(presence);

/* Also on standing seals. */
struct msg_peers {
	uint32_t id;            /* 0: no reply is wanted */
	struct msg_peer *peers; /* PEERS_MAX; the whole list */
	size_t peer_count;
};

MSG_CODEC(peers);

struct msg_peers_reply {
	struct msg_reply reply; /* without a fault: they are on its disk */
	uint32_t undialled; /* peers that it would dial, had it an address */
};

MSG_CODEC(peers_reply);

/* From a node: streams leave this relay, as an operator asked.  From a relay:
 * it stops soon, and its streams shall leave it. */
struct msg_drain {
	bool stop; /* true: take new streams again */
};

MSG_CODEC(drain);

struct msg_status {
	uint32_t id;
};

MSG_CODEC(status);

struct msg_status_reply {
	struct msg_reply reply;
	uint32_t links, streams;
	uint64_t uptime_s;
	struct bytes version; /* MSG_VERSION_MAX */
	uint64_t table_seq;
};

MSG_CODEC(status_reply);

#endif
