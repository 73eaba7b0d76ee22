/*
 * sim.h - a whole installation in one thread, played from a seed.
 *
 * Real are the server's engine (server/engine), the tentacle's tickets
 * (tentacle/tickets.c) and the bytes of its journal
 * (tentacle/journal_record.c).  Played are the database, the disk of each
 * machine (what was not synced is lost with the power), the guardians (who
 * survive the agent, not the power), the network (which loses, delays, repeats
 * and reorders), the clocks, and the people who decide and cancel.
 *
 * Faults stop after a while.  Then every task must end, and what it says must
 * be what happened.  The same seed plays the same story: SEED=n tells it.
 *
 *     sim.c       dice, events in order of time, the story as a whole
 *     plan.c      tasks by chance
 *     machine.c   a machine: orders, journal, scripts, crashes
 *     server.c    the database, the engine's loop, people
 *     net.c       orders and facts on their way
 *     check.c     what must hold at the end
 */
#ifndef TEST_SIM_SIM_H
#define TEST_SIM_SIM_H

#include "server/engine/engine.h"
#include "tentacle/tickets.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_MACHINES  4u
#define SIM_TASKS     3u
#define SIM_BLOCKS    3u
#define SIM_ACTIONS   3u
#define SIM_RUNS      (SIM_BLOCKS * SIM_MACHINES * SIM_ACTIONS)
#define SIM_FOLLOWERS 64u
#define SIM_DECISIONS 400u

#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)

/* One safeguard switched off. */
enum mutant {
	MUTANT_NONE,
	MUTANT_NO_DEDUPE,    /* a known ticket that comes again is run */
	MUTANT_NO_EPOCH,     /* former owners are obeyed */
	MUTANT_NO_SYNC,      /* the journal stays in memory */
	MUTANT_TRUST_READ,   /* what is read at the start counts as synced */
	MUTANT_ACK_EARLY,    /* "accepted" goes out before the sync */
	MUTANT_NO_SUPERSEDE, /* earlier attempts are not looked at */
	MUTANT_RERUN_LOST,   /* a script that died with the power runs again */
	MUTANT_REAP_EARLY,   /* one without an exit record counts as done */
	MUTANT_SEND_EARLY,   /* commands go out before the commit */
	MUTANT_ANY_TICKET,   /* facts about an earlier attempt are taken */
	MUTANT_NO_MARK,      /* orders for tasks that are over are taken */
	MUTANT_COUNT
};
const char *mutant_name(enum mutant m);

struct sim_options {
	uint64_t seed;
	enum mutant mutant;
	bool tell; /* the story, to stderr */
};

struct sim_outcome {
	bool broken;
	char text[400]; /* which promise, when, and of what */
	uint64_t events, scripts, crashes, commits, decisions, unknowns,
	    attempts, lost_messages;
};

void sim_run(const struct sim_options *options, struct sim_outcome *out);

/* ---- what the parts share ---- */

struct dice {
	struct engine_random random; /* first */
	uint64_t state;
};

/* What became of a script, whoever knows of it: the truth. */
enum deed_state {
	DEED_NONE, /* accepted; never begun */
	DEED_RUNS,
	DEED_ENDED,
	DEED_LOST, /* died with the power */
};

struct deed {
	char ticket[TASK_TICKET_SIZE];
	struct run_key key;
	uint32_t machine, attempt;
	uint32_t executions;
	enum deed_state state;
	enum run_state truth; /* once ended */
	int32_t exit_code;
	bool stopping;
};

/* From the server to a machine. */
struct order {
	enum engine_command_type type;
	enum action_type action;
	uint32_t machine, server_life, attempt;
	struct run_key key;
	char ticket[TASK_TICKET_SIZE];
	uint64_t epoch, counter;
	uint64_t settled; /* with forget: tasks below it are over */
	bool copied;      /* it was taken before, and comes again */
	char journal[ID_SIZE];
	uint32_t former_count;
	char former[TASK_FORMER_MAX][TASK_TICKET_SIZE];
};

enum event_type {
	EVENT_ORDER,      /* reaches its machine */
	EVENT_FACT,       /* reaches the server */
	EVENT_BEGIN,      /* an accepted script's turn */
	EVENT_SCRIPT_END, /* by itself or killed */
	EVENT_AGENT_DIES,
	EVENT_POWER_FAILS,
	EVENT_MACHINE_UP,
	EVENT_SERVER_DIES,
	EVENT_SERVER_UP,
	EVENT_COMMIT,
	EVENT_TICK,
	EVENT_PERSON,
	EVENT_CANCEL,
	EVENT_CLOCK,
};

struct event {
	uint64_t at, seq;
	enum event_type type;
	uint32_t machine;
	uint32_t life; /* of whom it is about; old ones are dropped */
	size_t deed;
	bool killed;
	bool then_attach; /* a cancel was answered */
	uint64_t counter; /* of the journal, with a fact */
	uint64_t task;
	struct order order;
	struct engine_fact fact;
};

struct follower {
	char ticket[TASK_TICKET_SIZE];
	struct order order;
};

struct machine {
	uint32_t index;
	bool up;
	uint32_t life; /* of the agent */
	uint32_t boot; /* of the power */
	char journal[ID_SIZE];
	uint8_t *disk;
	size_t len, synced, room;
	uint64_t counter;
	struct tickets *tickets;
	int64_t skew_ms;
	struct follower followers[SIM_FOLLOWERS];
	size_t follower_count;
	uint64_t obeyed[SIM_TASKS + 1]; /* highest epoch, by task */
};

struct decision {
	struct run_key key;
	uint32_t attempt;
	enum task_verb verb;
};

/* What the database has of a task. */
struct book {
	struct task_plan plan;
	struct task_machine machines[SIM_MACHINES];
	struct task_block blocks[SIM_BLOCKS];
	struct task_action actions[SIM_BLOCKS][SIM_ACTIONS];
	uint32_t targets[SIM_BLOCKS][SIM_MACHINES];
	struct task_row row;
	struct run_row runs[SIM_RUNS];
	bool has[SIM_RUNS];
	bool cancelled;
	struct decision decisions[SIM_DECISIONS];
	size_t decision_count;
	/* For the checks. */
	uint32_t people_retried[SIM_RUNS];
	bool people_resolved[SIM_RUNS];
	bool gave_up[SIM_RUNS]; /* a machine did not confirm in time */
};

struct server {
	bool up;
	uint32_t life;
	struct engine *engine;
	int64_t skew_ms;
	uint64_t tick_at;
	bool committing;
	struct engine_change *changes;
	size_t change_count, change_room;
	struct order *orders;
	size_t order_count, order_room;
	uint64_t seen[SIM_MACHINES]; /* highest counter */
	char journals[SIM_MACHINES][ID_SIZE];
};

struct chances { /* percent, while there are faults */
	uint32_t lose, copy, slow, refuse, failpoint, silent;
	uint64_t agent_every, power_every, server_every; /* 0: never */
};

struct world {
	const struct sim_options *options;
	struct sim_outcome *out;
	struct dice dice;
	uint64_t now, quiet_at;
	struct chances chances;
	struct event **heap;
	size_t heap_count, heap_room;
	uint64_t seq;
	struct machine machines[SIM_MACHINES];
	uint32_t machine_count;
	struct deed *deeds;
	size_t deed_count, deed_room;
	struct book books[SIM_TASKS];
	uint32_t book_count;
	struct engine_limits limits;
	struct server server;
};

/* sim.c */
uint32_t roll(struct world *w, uint32_t sides); /* 0 .. sides - 1 */
bool chance(struct world *w, uint32_t percent);
/* The same, while there are faults. */
bool fault_chance(struct world *w, uint32_t percent);
uint64_t between(struct world *w, uint64_t least, uint64_t most);
/* Zeroed; type and at are set.  The caller fills in the rest at once. */
struct event *event_at(struct world *w, uint64_t at, enum event_type type);
void sim_break(struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sim_tell(const struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void *sim_grow(void *array, size_t count, size_t *room, size_t size);

/* plan.c */
void make_books(struct world *w);

/* machine.c */
void machine_open(struct world *w, struct machine *m);
void machine_close(struct machine *m);
void machine_order(struct world *w, const struct order *o);
void machine_event(struct world *w, const struct event *e);

/* server.c */
void server_open(struct world *w);
void server_close(struct world *w);
void server_fact(struct world *w, const struct event *e);
void server_event(struct world *w, const struct event *e);
void person_event(struct world *w, const struct event *e);
bool all_final(const struct world *w);
struct book *book_of(struct world *w, uint64_t number);
size_t run_index(const struct run_key *key);
bool is_same_run(const struct run_key *a, const struct run_key *b);

/* net.c */
void net_send(struct world *w, const struct order *o);
/* It was taken, and somebody who kept its bytes says it again. */
void net_again(struct world *w, const struct order *o);
/* fact's key and ticket are set here. */
void net_reply(struct world *w, const struct order *o, uint64_t counter,
    struct engine_fact fact);
/* The server hears that an order may have been lost. */
void net_break(struct world *w, const struct order *o, bool may_have_arrived);

/* check.c */
struct deed *deed_of(struct world *w, const char *ticket);
/* A script begins; what must be so. */
void check_begin(struct world *w, const struct deed *d);
void check_commit(struct world *w, struct book *b, const struct run_row *next);
void check_end(struct world *w);

#endif
