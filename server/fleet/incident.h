/*
 * incident.h - what a member, or somebody in its place, tried and must not:
 * into the audit, where a person finds it.
 *
 * The same again within the hour is told once, and there is a rate for all
 * together: nobody fills the database by being refused.  Loop's thread.
 */
#ifndef SERVER_FLEET_INCIDENT_H
#define SERVER_FLEET_INCIDENT_H

#include "proto/bucket.h"
#include "proto/reason.h"
#include "server/store/types.h"

#include <stdint.h>

#define INCIDENTS_KNOWN 64

struct fleet;

struct incident {
	const char *who;    /* "machine web-01": whose identity, or "" */
	const char *from;   /* address, or the link that it came by */
	const char *action; /* "stream.refused": a literal */
	const char *object; /* what it was after */
	const struct fault *fault;
};

struct incident_memo {
	char who[STORE_WHO_SIZE];
	char object[STORE_TEXT_SIZE];
	const char *action;
	enum reason code;
	uint64_t at_s;
};

struct incidents {
	struct bucket rate;
	struct incident_memo memo[INCIDENTS_KNOWN];
};

void incidents_init(struct incidents *all);
/* A copy is made; never fails, but for memory nothing is recorded. */
void fleet_incident(struct fleet *f, const struct incident *what);

#endif
