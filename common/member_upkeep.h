/*
 * member_upkeep.h - what servers ask of every relay and tentacle, so that
 * trust stays fresh (proto/message_upkeep.h): to know lists of revoked keys,
 * to take later certificates, and to know their peers.  Loop's thread.
 */
#ifndef COMMON_MEMBER_UPKEEP_H
#define COMMON_MEMBER_UPKEEP_H

#include "common/link.h"
#include "common/member.h"
#include "proto/message_control.h"
#include "proto/message_upkeep.h"

struct seal;

/* Read the lists that are on the disk; a bad one is logged and left out. */
void member_load_revoked(struct member *m);
void member_upkeep_fini(struct member *m);
/*
 * Take one piece of a list; with the last one the list is verified, counts,
 * and is on the disk.  *changed: keys may be revoked now that were not.
 * RC_STATE: not the piece that was expected; RC_DENIED, RC_PROTO: no good list;
 * RC_IO, RC_LIMIT: the disk.  *fault says why.
 */
MUST_CHECK enum rc member_revoked(struct member *m,
    const struct msg_revoked *piece, bool *changed, struct fault *fault);
/* The numbers of the lists that count here. */
struct msg_revocations member_revocations(const struct member *m);

/*
 * Take a server's list of peers, and keep it on the disk.  One that is to be
 * dialled at an address that the server does not know keeps the one that it
 * has here; *undialled counts those that have none.  *changed: it is another
 * list than before.
 */
MUST_CHECK enum rc member_take_peers(struct member *m,
    const struct msg_peers *peers, uint32_t *undialled, bool *changed,
    struct fault *fault);

/* Who asks: an open seal whose far end is a server. */
struct member_user {
	struct member *member;
	struct link_net *net; /* of the program: links are looked at again */
	struct seal *seal;    /* NULL: nobody wants an answer */
	/* Its peers are others now: from the next turn of the loop on; may be
	 * NULL. */
	struct loop_timer *peers_changed;
};

/*
 * Carry out a request and answer it.  RC_NOTFOUND: it is not one of these;
 * RC_PROTO: it is broken, and *fault says how; others: the answer was not sent.
 */
MUST_CHECK enum rc member_upkeep(const struct member_user *u,
    const struct msg_head *head, struct bytes message, struct fault *fault);

#endif
