/*
 * trace.h - ask each hop on the way to a machine, now, how it goes on there.
 *
 * Unlike fleet_explain(), which tells what this server knows, a trace travels:
 * kind `trace` of docs/protocol.md, section 3, by each route in order of
 * preference.  What relays say is their word; nothing else depends on it.
 */
#ifndef SERVER_FLEET_TRACE_H
#define SERVER_FLEET_TRACE_H

#include "proto/message_trace.h"
#include "server/fleet/fleet.h"

/* Under way together; a person waits for each. */
#define FLEET_TRACES_MAX 16

struct fleet_trace;

/* One thing that one hop said. */
struct fleet_hop {
	unsigned route;         /* in order of preference, from 1 */
	char path[PATH_SIZE];   /* of that route */
	bool in_use;            /* the standing seal goes by it */
	char id[TRACE_MAX + 1]; /* the trace's, in the logs of all hops */
	char by[FAULT_AT_MAX];  /* who says this: "relay dc2-a" */
	uint64_t after_us;      /* since it was asked; 0: this server itself */
	bool arrived;           /* it is the machine itself */
	bool has_link;
	char to[FAULT_AT_MAX];    /* has_link: "machine web-03" */
	struct msg_hop_link link; /* has_link; version borrowed */
	struct bytes version;     /* of who says this; borrowed */
	uint64_t expires_s;       /* its own certificate; 0: not told */
	struct fault fault;       /* why it goes no further here; NONE */
};

struct fleet_trace_user {
	/* Must not cancel the trace. */
	void (*hop)(void *arg, const struct fleet_hop *hop);
	/* The last.  Code NONE: all routes were tried and the machine may be
	 * worked with; else why not (not-found, no-route, clone, journal). */
	void (*done)(void *arg, const struct fault *fault);
	void *arg;
};

/* RC_LIMIT: FLEET_TRACES_MAX; RC_NOMEM.  machine: id. */
MUST_CHECK enum rc fleet_trace(struct fleet *f, const char *machine,
    const struct fleet_trace_user *user, struct fleet_trace **out);
void fleet_trace_cancel(struct fleet_trace *t); /* NULL is fine */

#endif
