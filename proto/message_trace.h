/*
 * message_trace.h - what each hop says on a stream of kind trace.
 *
 *     node: OPEN {kind trace, to machine/<id>, path} -> relay, ... -> tentacle
 *     each hop, once it knows its next link: hop; and then what comes from
 *     beyond, unchanged; END when there is no more
 *     the target: hop without a link; END
 *
 * Messages are framed as inside seals (proto/lenframe.h), but nothing seals
 * them: they are the word of whoever has passed them on.
 */
#ifndef PROTO_MESSAGE_TRACE_H
#define PROTO_MESSAGE_TRACE_H

#include "proto/message.h"

#define TRACE_MESSAGE_MAX 2048 /* bytes of one hop */
/* Each relay says at most two, its link and why nobody answers beyond. */
#define TRACE_HOPS_MAX (2 * (PATH_NAMES_MAX + 1) + 1)

/* The link from who says it to the next hop. */
struct msg_hop_link {
	char to[TARGET_SIZE]; /* machine/<id> or relay/<name> */
	bool up;
	bool dialled;                 /* by who says it */
	char address[ENDPOINT_SIZE];  /* of the far end; may be empty */
	uint32_t rtt_us;              /* 0: not measured yet */
	uint64_t up_ms;               /* for so long */
	uint32_t queued[CLASS_COUNT]; /* bytes that wait to go out on it */
	uint64_t expires_s;           /* far end's certificate; 0: none */
	struct bytes version;         /* of the far end; MSG_VERSION_MAX */
};

struct msg_hop {
	char by[TARGET_SIZE]; /* who says this: relay/<name>, machine/<id> */
	struct bytes version; /* its own; MSG_VERSION_MAX */
	uint64_t expires_s;   /* its own certificate */
	bool has_link;
	struct msg_hop_link link;
	/* Why nothing passes here; REASON_NONE and no link: the target. */
	struct fault fault;
};

MSG_CODEC(hop);

#endif
