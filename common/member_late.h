/*
 * member_late.h - a relay or tentacle whose certificate has expired, or is of
 * an authority that was retired meanwhile, asks for another, with the key that
 * it has and without a token.
 *
 * To its peers it is a stranger then, who may open one enrol stream on a link;
 * that goes to a server, through relays as any enrolment does.  The server
 * refuses keys that were revoked, or seen too long ago.  Loop's thread.
 */
#ifndef COMMON_MEMBER_LATE_H
#define COMMON_MEMBER_LATE_H

#include "common/link.h"
#include "common/member.h"

struct seal;

/* A value; zeroed is idle. */
struct member_late {
	struct member *member;
	struct link_net *net;
	struct link *link; /* that the seal is on */
	struct seal *seal; /* NULL: nothing is asked */
	/* member has another certificate, and the net its contexts; may be NULL
	 */
	void (*renewed)(void *arg);
	void *arg;
};

/* Both are borrowed until member_late_fini(). */
void member_late_init(
    struct member_late *late, struct member *member, struct link_net *net);
void member_late_fini(struct member_late *late); /* before the net ends */
/* A link to a server or relay is up: ask on it, if there is reason to. */
void member_late_link_up(struct member_late *late, struct link *link);

#endif
