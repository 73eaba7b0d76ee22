/*
 * probe.h - can a peer be reached, and is it who it should be?
 *
 * A link is dialled with the program's own settings and identity and given up
 * as soon as TLS is open, before HELLO: the peer learns nothing of an instance,
 * and a program that runs on the same identity keeps its link.  Blocks: it runs
 * a loop of its own.
 */
#ifndef COMMON_PROBE_H
#define COMMON_PROBE_H

#include "common/link.h"

/* How far it came, in order. */
enum probe_stage {
	PROBE_NAME,    /* resolving */
	PROBE_PROXY,   /* the proxy would not */
	PROBE_CONNECT, /* TCP */
	PROBE_TLS,     /* the handshake, and who answered */
	PROBE_DONE,
};

struct probe {
	const char *label; /* of the peer, begins most faults */
	struct endpoint endpoint;
	struct tls_expect expect;
	struct tls_contexts *contexts; /* borrowed */
	struct link_config link;
};

struct probe_result {
	enum probe_stage stage; /* the one that failed, or PROBE_DONE */
	bool by_proxy;
	/* What the name stands for: "10.0.0.3, fd00::3"; "" when it is an
	 * address, or left to the proxy. */
	char addresses[256];
	char address[ADDRESS_TEXT_MAX]; /* that answered */
	struct peer peer;               /* PROBE_DONE */
	struct fault fault;             /* otherwise */
};

void probe_run(const struct probe *probe, struct probe_result *out);

#endif
