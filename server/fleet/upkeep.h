/*
 * upkeep.h - what every relay and machine is told so that trust stays fresh:
 * the trust bundle, the signed lists of revoked keys, a new certificate when
 * half of the life of the one that it shows is over, or its authority is
 * followed by another (proto/message_upkeep.h), and its peers: whom it dials,
 * and may accept (proto/message_control.h).
 *
 * Relays hear it on their control sessions, machines on standing seals, which
 * are opened for it.  Who is to be told something and is there waits in one
 * queue; a bounded number of machines is asked at a time.  What failed is tried
 * again after a while, and whenever its target comes back.
 */
#ifndef SERVER_FLEET_UPKEEP_H
#define SERVER_FLEET_UPKEEP_H

#include "common/revocations.h"
#include "common/trust.h"
#include "proto/message_seal.h"
#include "proto/message_upkeep.h"
#include "proto/pack.h"
#include "server/store/types.h"

#include <sys/queue.h>

struct db;
struct fleet;
struct fleet_ask;
struct station;

/* Part of a station. */
struct station_upkeep {
	TAILQ_ENTRY(station) next; /* in the queue */
	bool queued;
	bool unseen;           /* an instance is up that has not greeted yet */
	bool busy;             /* one request is out, or on its way */
	struct fleet_ask *ask; /* a machine's; NULL: none */
	uint64_t known[REVOKED_COUNT]; /* numbers of its lists, as it told */
	uint64_t trust; /* number of its trust bundle, as it told */
	uint8_t authority[STORE_SHA256_SIZE]; /* of its newest certificate */
	bool noted;                           /* these two are in its row: */
	uint64_t noted_trust;
	uint8_t noted_authority[STORE_SHA256_SIZE];
	int64_t not_after_s; /* of its newest certificate; 0: not seen yet */
	int64_t renewed_s;   /* when it took one from us; 0: never */
	unsigned failures;   /* since it greeted last, in a row */
	uint64_t wait_us;    /* not before this, on the loop's clock */
	/* Its peers: hash of the list that it has, as far as we know (0: not
	 * told in our life), and of the one that is out. */
	uint64_t peers_told, peers_sent;
	bool peers_changed; /* in our life: do not wait for a seal */
	/* The request that is out. */
	enum msg_op op; /* OP_COUNT: none was sent */
	enum revocation_kind list;
	uint64_t number; /* of the list that is being sent */
	size_t offset, sent;
};

TAILQ_HEAD(upkeep_queue, station);

/* Part of the fleet. */
struct fleet_upkeep {
	uint64_t number[REVOKED_COUNT]; /* of the signed lists; 0: none */
	struct packbuf list[REVOKED_COUNT];
	struct upkeep_queue queue;
	size_t busy; /* machines */
	struct loop_timer *pump, *walk;
	bool soon;                      /* the walk is pulled up */
	uint64_t raised[REVOKED_COUNT]; /* asked of the store, after a number
	                                   of others that was higher */
	int64_t started_s;              /* of this fleet */
};

MUST_CHECK enum rc upkeep_init(struct fleet *f);
void upkeep_fini(struct fleet *f);
/* The lists, as they are in the database now: when their numbers have risen
 * they are signed, and all are told.  kept: that of nodes as it was signed
 * last; may be empty. */
void upkeep_set_lists(struct fleet *f,
    const struct revocation_list lists[REVOKED_COUNT], struct bytes kept);
/* It is there (again), or told its numbers: is there anything to tell it? */
void upkeep_want(struct station *t);
/* An instance is up: it shall greet, if it is not the one that we know.
 * nonce may be NULL. */
void upkeep_saw_instance(struct station *t, uint64_t start, const char *nonce);
void upkeep_greeted(
    struct station *t, const struct msg_greet *greet, const struct peer *peer);
/* It goes; no callback comes any more. */
void upkeep_forget(struct station *t);
/* What a relay answered, and the end of its control session. */
void upkeep_answered(struct station *t, struct bytes message);
void upkeep_lost(struct station *t);

/* --- peers.c ---------------------------------------------------------------
 */

/* Fill STORE_ROUTES_MAX + 1 of room; how many. */
size_t peers_of(const struct station *t, struct msg_peer *peers);
bool peers_are_due(const struct station *t);
MUST_CHECK enum rc peers_encode(
    struct station *t, uint32_t id, struct packbuf *out);
/* It has what was sent last. */
void peers_told(struct station *t);
/* They came with its certificate. */
void peers_enrolled(struct station *t);
/* RC_DENIED: not taken; *why says why. */
MUST_CHECK enum rc peers_answered(
    struct station *t, struct bytes message, struct fault *why);
/* Where those behind a relay dial it, as it says; "": it does not say. */
void peers_greeted(struct station *relay, const char *listen);
/* The address under which those behind this relay find it has changed. */
void peers_moved(struct station *relay);

/* --- renewal.c -------------------------------------------------------------
 */

/* Is half of its certificate's life over? */
bool renewal_is_due(const struct station *t);
/* How often all are looked at. */
uint64_t renewal_period_ms(const struct fleet *f);
MUST_CHECK enum rc renewal_encode(
    const struct station *t, uint32_t id, struct packbuf *out);
/* RC_DENIED: not taken; *why says why. */
MUST_CHECK enum rc renewal_answered(
    struct station *t, struct bytes message, struct fault *why);

/* Is it of another authority than the one that issues now? */
bool renewal_is_of_another(const struct station *t);

/* --- kept_list.c -----------------------------------------------------------
 */

void kept_list_write(struct fleet *f, struct bytes list);
/* SQL thread; free(*data), NULL: there is none. */
MUST_CHECK enum rc kept_list_read(struct db *db, uint8_t **data, size_t *len);
/* Append it if it is the list of this number; else RC_STATE or others. */
MUST_CHECK enum rc kept_list_use(const struct fleet *f, struct bytes list,
    uint64_t number, struct packbuf *out);

/* --- authority.c -----------------------------------------------------------
 */

MUST_CHECK enum rc trust_push_encode(
    const struct station *t, uint32_t id, struct packbuf *out);
/* RC_DENIED: not taken; *why says why. */
MUST_CHECK enum rc trust_push_answered(
    struct station *t, struct bytes message, struct fault *why);
/* What it trusts and shows is written to its row. */
void trust_note(struct station *t);

#endif
