/*
 * fleet_private.h - the fleet's own parts.
 *
 *     fleet.c       start, stop, links
 *     stations.c     relays and machines in memory, their routes
 *     reload.c      rows become targets
 *     reach.c       our own links to targets
 *     prefer.c      which route first; away from relays that are drained
 *     tidy.c        back to what is preferred, and on to newer links
 *     flap.c        what comes and goes too often (pure)
 *     peers.c       whom targets dial, told to them
 *     presence.c    who is online; what is written back
 *     way.c         a seal to a target by one of its routes
 *     greet.c       greet and welcome; journals that go back
 *     greeting.c    greets at the store: copies; life.c judges (pure)
 *     control.c     sessions to relays: tables, presence
 *     pages.c       what a relay has to be told
 *     expand.c      all ways, from the routes that were given (pure)
 *     slices.c      a target as one relay sees it (pure)
 *     standing.c    requests; follow.c: tickets; bring.c: blobs
 *     trace.c       asks each hop (trace.h)
 *     upkeep.c      lists of revoked keys for all; renewal.c: certificates
 *     authority.c   authorities and trust that change
 *     enrolment.c   joiners; enrolment_rows.c: what becomes of them
 *     view.c        states for people
 */
#ifndef SERVER_FLEET_FLEET_PRIVATE_H
#define SERVER_FLEET_FLEET_PRIVATE_H

#include "common/listen.h"
#include "server/fleet/fleet.h"
#include "server/fleet/incident.h"
#include "server/fleet/station.h"
#include "server/fleet/upkeep.h"

/* Targets that have gone are remembered for deltas; beyond: full tables. */
#define FLEET_GONE_MAX 4096U

TAILQ_HEAD(ask_list, fleet_ask);
TAILQ_HEAD(follow_list, fleet_follow);
TAILQ_HEAD(bring_list, fleet_bring);
TAILQ_HEAD(standing_list, standing);
TAILQ_HEAD(enrol_list, enrol);
TAILQ_HEAD(fleet_trace_list, fleet_trace);
LIST_HEAD(fleet_job_list, fleet_job);

/* A job on the SQL thread.  When the fleet has ended meanwhile, only drop() is
 * called. */
struct fleet_job {
	struct store_job job; /* run is the user's */
	LIST_ENTRY(fleet_job) all;
	struct fleet *fleet; /* NULL: it has ended */
	void (*done)(struct fleet_job *job, enum rc rc);
	void (*drop)(struct fleet_job *job); /* frees it */
};

struct fleet {
	struct fleet_parts parts;
	const struct fleet_settings *settings;
	char node[NAME_SIZE];
	char at[FAULT_AT_MAX];        /* "server n1", of faults noticed here */
	struct msg_instance instance; /* of this process */
	struct tls_contexts *contexts;
	uint8_t agents_hash[STORE_SHA256_SIZE]; /* of the key that issues */
	uint8_t *bundle; /* of parts.issuer, a copy; NULL: none */
	struct link_net *net;
	struct listener *listener;
	bool stopping;
	/* Targets. */
	struct lookup by_text;
	struct station_list stations, relays; /* relays are in both */
	struct station_list dirty, moved;
	struct change_list changes;
	size_t gone_count;
	uint64_t mark;       /* of the newest change */
	uint64_t mark_floor; /* changes up to here are forgotten, */
	uint64_t seq_floor;  /* and who has gone up to this number */
	uint64_t route_seq; /* of the route table: all up to it is known here */
	struct loop_timer *push;  /* tell relays, this turn */
	struct loop_timer *tell;  /* tell the owner, this turn */
	struct loop_timer *write; /* rows */
	struct loop_timer *tidy;  /* ways that would go better otherwise */
	bool writing;
	/* Store. */
	struct fleet_job_list jobs;
	struct loop_timer *again; /* read all rows again, after a failure */
	/* Requests. */
	struct ask_list ripe; /* failed; told from the loop */
	struct loop_timer *ripen;
	size_t ask_count;
	struct standing_list idle;    /* READY and unused, oldest first */
	struct standing_list waiting; /* want to open, budget is used up */
	size_t standing_count;        /* not closed */
	/* Deploy seals. */
	struct follow_list follows;
	struct bring_list brings;
	/* Each has its bound: packages on slow lines must not keep scripts from
	 * being followed to their end. */
	size_t follow_count, bring_count;
	struct fleet_trace_list traces;
	size_t trace_count;
	struct fleet_upkeep upkeep;
	struct incidents incidents;
	/* Joiners. */
	struct enrol_list enrols;
	size_t enrol_count;
};

/* --- fleet.c */
/* RC_OK: done() or drop() will be called.  Else the job is still yours. */
MUST_CHECK enum rc fleet_submit(struct fleet *f, struct fleet_job *job,
    enum rc (*run)(struct db *db, struct store_job *job));
uint64_t fleet_wall_ms(void);

/* --- authority.c */
/* Take over what shall be signed by and told; copies the bundle. */
MUST_CHECK enum rc fleet_take_issuer(
    struct fleet *f, const struct fleet_issuer *issuer);

/* --- greet.c */
/* The numbers of the signed lists: what all others can have. */
struct msg_revocations fleet_revocations(const struct fleet *f);

/* --- reload.c */
MUST_CHECK enum rc fleet_load(struct fleet *f, struct fault *fault);
void fleet_read_again(void *fleet); /* timer */
/* Somebody has a higher number of the table than this: read what is newer; if
 * the database has none, raise all its numbers above it. */
void fleet_catch_up(struct fleet *f, uint64_t seq);

/* --- control.c */
MUST_CHECK enum rc control_new(struct station *relay, struct control **out);
void control_free(struct control *c, const struct fault *fault);
bool control_is_open(const struct control *c);
/* Not open for a moment, on its way to another route or link. */
bool control_is_moving(const struct control *c);
/* Has the relay confirmed this change? */
bool control_has(const struct control *c, uint64_t mark);
uint64_t control_acked_seq(const struct control *c);
const struct way *control_way(const struct control *c);   /* NULL: none */
const struct seal *control_seal(const struct control *c); /* NULL: none */
/* Send what rc = encode(&pack) made, and free it.  RC_STATE: no session. */
MUST_CHECK enum rc control_send(
    struct control *c, enum rc rc, struct packbuf *pack);
/* It refused as stale what it has confirmed: once in a session, send all. */
void control_doubt(struct control *c);
/* Tell it whether an operator drains it. */
void control_drain(struct control *c);
/* A link or an entry on the way to the relay has come: try now. */
void control_kick(struct control *c);
/* Those of all relays behind this one, and its own. */
void controls_kick(struct fleet *f, const char *relay);
/* Tell all relays what has changed, this turn. */
void controls_push(struct fleet *f);

/* --- pages.c */
struct pages; /* encoded table pages, in order */
struct pages_want {
	const struct fleet *fleet;
	const char *relay;
	bool full;
	/* Not full: what the relay has.  Told are changes after this mark; or,
	 * by_seq, numbers above from_seq, and changes after the mark if it is
	 * not 0. */
	bool by_seq;
	uint64_t mark;
	uint64_t from_seq;
};
/* RC_NOTFOUND: there is nothing to tell (never by_seq: then an empty page asks
 * whether the relay's table is of this database at all). */
MUST_CHECK enum rc pages_make(
    const struct pages_want *want, struct pages **out);
void pages_free(struct pages *p); /* NULL is fine */
/* The next page to send; empty: no more. */
struct bytes pages_next(const struct pages *p);
void pages_sent(struct pages *p);

/* --- standing.c */
void standing_free(struct station *machine, const struct fault *fault);
size_t standing_asks(const struct station *machine);
/* The open one's way; NULL. */
const struct way *standing_way(const struct station *machine);
void asks_free(struct fleet *f);

/* --- follow.c, bring.c */
void follows_free(struct fleet *f);
void brings_free(struct fleet *f);

/* --- tidy.c */
void fleet_tidy(void *fleet); /* timer */

/* --- trace.c */
void fleet_traces_free(struct fleet *f);

/* --- enrolment.c */
void enrol_accept(struct fleet *f, struct link *link, uint32_t stream,
    const struct msg_open *open);
/* A relay confirmed something: those that wait for it go on. */
void enrols_check(struct fleet *f);
void enrols_free(struct fleet *f);

/* --- presence.c */
void fleet_tell_moved(void *fleet);   /* timer */
void fleet_write_dirty(void *fleet);  /* timer */
void fleet_push_changes(void *fleet); /* timer; control.c */
void fleet_tell_ripe(void *fleet);    /* timer; standing.c */

#endif
