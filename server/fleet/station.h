/*
 * station.h - a relay or machine as the fleet keeps it in memory.
 *
 * A station has routes, each with what is known of its last hop; perhaps a link
 * of our own; and its presence, which is computed from those.
 */
#ifndef SERVER_FLEET_STATION_H
#define SERVER_FLEET_STATION_H

#include "common/dial.h"
#include "common/lookup.h"
#include "server/fleet/flap.h"
#include "server/fleet/life.h"
#include "server/fleet/upkeep.h"
#include "server/fleet/way.h"
#include "server/store/instance.h"
#include "server/store/machine.h"
#include "server/store/relay.h"

struct control;
struct standing;

enum route_state {
	ROUTE_UNKNOWN, /* nobody who could know tells */
	ROUTE_UP,      /* its last hop has a link to the target */
	ROUTE_DOWN,    /* it has none; fault says why */
};

struct station_route {
	enum route_state state;
	struct fault fault;
	struct flap flap; /* of the last hop's link to the target */
	uint64_t link;    /* that link's number, as the hop tells; 0: unknown */
};

/* The lower is taken first; among equals the operator's order counts. */
enum route_rank {
	RANK_GOOD,
	RANK_AVOID, /* through what is drained, or comes and goes */
	RANK_DOWN,
	RANK_COUNT
};

/* A target that changed, or has gone, for tables of relays.  In the order of
 * mark, which is the fleet's own count of changes. */
struct change {
	TAILQ_ENTRY(change) all;
	uint64_t mark;
	struct station *station; /* NULL: gone, */
	uint64_t seq;            /* at this number of the table */
	char text[TARGET_SIZE];
};

TAILQ_HEAD(change_list, change);

/* What has to be written to its row. */
#define DIRTY_PRESENCE 1U
#define DIRTY_INSTANCE 2U /* counter, version; a relay's journal, start */
#define DIRTY_HOLD     4U

struct station {
	struct lookup_item item; /* first; by text */
	TAILQ_ENTRY(station) all, relay_next, dirty_next, moved_next;
	struct fleet *fleet;
	enum peer_role role;  /* relay or tentacle */
	char id[NAME_SIZE];   /* machine id, or relay name */
	char name[NAME_SIZE]; /* as people call it */
	char text[TARGET_SIZE];
	bool seen; /* while all rows are read: it has one */
	uint8_t spki[STORE_SHA256_SIZE];
	char listen[ENDPOINT_SIZE]; /* a relay's: for those behind it */
	bool draining;    /* a relay's: an operator wants streams to leave it */
	bool leaving;     /* a relay's: it said that it stops soon */
	struct flap flap; /* a relay's control session */
	uint64_t route_seq;
	/* A relay's, as given; what follows from them: expand.h. */
	struct fleet_route *given;
	size_t given_count;
	struct fleet_route *routes;
	struct station_route *route_states;
	size_t route_count;
	/* Behind those, routes that an operator has taken away: they still
	 * work until the machine knows its new peers, or for a while. */
	size_t route_total;
	struct loop_timer *farewell; /* to them; NULL: there were none yet */
	struct change *change;
	/* Our own link, if there is a direct route. */
	struct link *link;                 /* up */
	struct msg_instance link_instance; /* of its far end */
	struct dialler *dialler;
	char dialled[ENDPOINT_SIZE];
	/* Presence. */
	enum store_presence presence, told;
	struct fault fault; /* why it is not online */
	uint64_t last_seen_ms;
	unsigned dirty;  /* DIRTY_*; != 0: in the fleet's dirty list */
	bool has_moved;  /* in the fleet's moved list */
	bool tell_again; /* that it is there, though it never was away */
	bool lost_word;  /* what it had promised counts no more: tell */
	/* Its instance, as it greeted. */
	char version[NAME_SIZE], hold[NAME_SIZE];
	uint32_t features; /* FEATURE_BIT() of each; 0 until it greets */
	struct store_instance life; /* its row, but a counter that is newer */
	char life_via[STORE_TEXT_SIZE];
	uint64_t life_at_ms; /* when it was greeted last, there; 0: never */
	struct station_upkeep upkeep;
	/* Seals. */
	struct way_list ways;
	uint64_t relinked_us;      /* a hop has another link to it; 0: never */
	uint64_t better_ms;        /* a better route than one in use; 0: none */
	uint64_t better_wait_ms;   /* take it after so long; 0: as set */
	struct standing *standing; /* a machine's */
	struct control *control;   /* a relay's */
};

TAILQ_HEAD(station_list, station);

/* --- stations.c -------------------------------------------------------------
 */

/* NULL: unknown. */
struct station *station_find(
    const struct fleet *f, enum peer_role role, const char *id);
/* Take a row over: makes or changes the target, dials, tells relays.  NULL: no
 * memory. */
struct station *station_apply_machine(struct fleet *f,
    const struct store_machine *row, const struct store_instance *instance);
struct station *station_apply_relay(struct fleet *f,
    const struct store_relay *row, const struct store_instance *instance);
/*
 * Note a relay's routes, before any row is applied: what is reached through it
 * follows them, and comes with a number of its own.
 */
MUST_CHECK enum rc station_note_routes(
    struct fleet *f, const struct store_relay *row);
/* A target that had gone before this process began. */
MUST_CHECK enum rc station_add_gone(
    struct fleet *f, const char *text, uint64_t seq);
/* Its row is gone: what is under way ends, relays are told. */
void station_remove(struct station *t);
/* It knows its new peers: routes that were taken away end soon. */
void station_routes_told(struct station *t);
/* At the end of the fleet: nobody is told. */
void station_free(struct station *t);
bool station_is_direct(const struct station *t);
/* The relay that has the link to the target; NULL: direct. */
const char *station_last_hop(const struct station *t, size_t route);
/* "machine web-03", "relay dc2-a": for the `at` of its faults. */
void station_label(const struct station *t, char out[FAULT_AT_MAX]);
/* The same fault, for a person: begins with the target's name. */
void station_name_fault(
    const struct station *t, const struct fault *in, struct fault *out);

/* --- reach.c: links, which one a route begins with, who on it knows
 * -------------------- */

void station_link_up(struct station *t, struct link *link);
void station_link_down(
    struct station *t, struct link *link, const struct fault *fault);
/* Dial, or stop to dial, as its routes say. */
void station_dial(struct station *t);
/* The link that a route goes out on; NULL: fault says why there is none. */
struct link *station_route_link(
    const struct station *t, size_t route, struct fault *fault);
/* The same link, or NULL; nothing is done about it. */
struct link *station_linked(const struct station *t, size_t route);
/* The relays of one of its routes at least, and all others that are there, have
 * confirmed its change of this mark. */
bool station_is_told(const struct station *t, uint64_t mark);

/* --- prefer.c --------------------------------------------------------------
 */

/* why (may be NULL): of RANK_AVOID. */
enum route_rank station_route_rank(
    const struct station *t, size_t route, struct fault *why);
/* The preferred one of those that are good in all that is known; false: there
 * is none such. */
bool station_best_route(const struct station *t, size_t *out);
/* It, or one of its routes, was there and is not any more. */
void station_fell(struct station *t, struct flap *flap);
/* A relay is being drained, or stops: what can go another way does so. */
void station_leave(struct station *relay);
/* Seals of this server that go through a relay now. */
size_t station_streams(const struct station *relay);

/* --- presence.c ------------------------------------------------------------
 */

void station_route_state(struct station *t, size_t route,
    enum route_state state, const struct fault *fault);
/* Compute presence anew. */
void station_judge(struct station *t);
/*
 * A seal to it was lost.  If it is there all the same, by another route, the
 * owner is told so again: now is a time to go on.
 */
void station_lost_seal(struct station *t);
/* What it has promised counts no more: tell the owner, soon. */
void station_lost_word(struct station *t);
/* Write it soon. */
void station_dirty(struct station *t, unsigned what);

/* --- greet.c -------------------------------------------------------------- */

/*
 * Take a greet and answer welcome.  RC_AGAIN: it is at the store first, and
 * way_greeted() follows.  RC_DENIED: it must not be talked to; the fault says
 * why, and it may be held now.
 */
MUST_CHECK enum rc station_greeted(
    struct way *w, struct bytes message, struct fault *fault);
/* give: with the token that its life has now. */
MUST_CHECK enum rc station_welcome(
    const struct station *t, struct seal *seal, bool give);
/* Its disk was set back, or is another one; *fault says so. */
void station_hold_journal(
    struct station *t, const struct life_shown *shown, struct fault *fault);
/* It greeted there. */
void station_seen_by(struct station *t, const struct way *w);
/* It is held: end what is under way. */
void station_end_ways(struct station *t);
/* What a reply told of its journal. */
void station_saw_counter(
    struct station *t, const char *journal, uint64_t counter);
/* Reason and words when it is held; false: it is not. */
bool station_is_held(const struct station *t, struct fault *fault);

/* --- greeting.c: the store judges a greet ----------------------------------
 */

/* went_back: if it is no copy, it is held for its journal.
 * term: id of another term that it has been told of, which must be known too,
 * or NULL.  way_greeted() follows, unless greeting_leave() comes before.
 * RC_LIMIT, RC_NOMEM. */
MUST_CHECK enum rc greeting_begin(struct way *w, const struct life_shown *shown,
    bool went_back, const uint8_t *term);
void greeting_leave(struct way *w); /* none: fine */
/* What this seal gave is on the machine's disk. */
void greeting_confirmed(const struct way *w);

#endif
