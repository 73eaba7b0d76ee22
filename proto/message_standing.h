/*
 * message_standing.h - requests on the standing seal, and their replies.
 *
 * The node asks, the tentacle answers in any order.  A message is at most
 * LENFRAME_STANDING_MAX bytes.  Every request has an id that the node chose;
 * its reply repeats it (struct msg_reply).  revoked and certificate are in
 * proto/message_upkeep.h.
 */
#ifndef PROTO_MESSAGE_STANDING_H
#define PROTO_MESSAGE_STANDING_H

#include "proto/message.h"

#define SCRIPT_BODY_MAX   32768 /* a longer one goes as a blob */
#define SCRIPT_VALUE_MAX  32768 /* of a variable */
#define HEALTH_OUTPUT_MAX 16384
#define HEALTH_DISKS_MAX  32
#define CONFIGURE_MAX     64 /* patterns */
#define SUPERSEDES_MAX    64
#define TICKETS_MAX       1000 /* in one tickets reply or forget request */

/* --- health */

struct msg_health {
	uint32_t id;
	struct bytes script; /* may be empty: none; SCRIPT_BODY_MAX */
	uint32_t timeout_ms;
	bool facts; /* asked for */
};

MSG_CODEC(health);

enum health_state {
	HEALTH_HEALTHY,
	HEALTH_WARNINGS,
	HEALTH_UNHEALTHY,
	HEALTH_STATE_COUNT
};

const char *health_state_name(enum health_state state);

struct msg_disk {
	struct bytes path;    /* 1 to MSG_TEXT_MAX */
	uint64_t total, free; /* bytes */
};

struct msg_facts {
	struct bytes os, kernel, arch, hostname, version; /* MSG_TEXT_MAX */
	uint64_t uptime_s;
	uint64_t clock_ms;      /* unix time */
	uint32_t load_milli[3]; /* 1, 5, 15 minutes; 1000 = one process */
	uint64_t memory_total, memory_available; /* bytes */
	struct msg_disk *disks;                  /* HEALTH_DISKS_MAX */
	size_t disk_count;
};

struct msg_health_reply {
	struct msg_reply reply;
	enum health_state state;
	int32_t exit_code;   /* of the script; 0 without one */
	struct bytes output; /* HEALTH_OUTPUT_MAX; any bytes */
	bool truncated;      /* there was more output */
	uint32_t ended;      /* tickets that have, and are not forgotten */
	bool has_facts;
	struct msg_facts facts;
};

MSG_CODEC(health_reply);

/* --- start */

enum action_kind {
	ACTION_NONE, /* never on the wire */
	ACTION_SCRIPT,
	ACTION_ACTIVATE
};

struct msg_script {
	struct bytes name;      /* for logs; 1 to MSG_TEXT_MAX */
	struct bytes body;      /* SCRIPT_BODY_MAX; empty: see blob */
	char blob[DIGEST_SIZE]; /* SHA-256 of a staged body; else empty */
	struct msg_pairs environment;
	struct msg_pairs secrets; /* files for the script, masked in output */
	char package[NAME_SIZE];  /* may be empty: run in its live directory */
	char project[NAME_SIZE];  /* may be empty: an ad-hoc script */
	uint64_t deployment;      /* 0: none */
};

struct msg_activate {
	char project[NAME_SIZE];
	uint64_t deployment;
	char package[NAME_SIZE];
	char version[NAME_SIZE];        /* version_is_valid() */
	char digest[DIGEST_SIZE];       /* SHA-256 of the package file */
	struct msg_text_list configure; /* patterns; CONFIGURE_MAX */
	struct msg_pairs variables, secrets;
	struct bytes before, after; /* script bodies, may be empty */
	uint32_t keep;              /* earlier versions to keep */
};

struct msg_start {
	uint32_t id;
	char ticket[ID_SIZE];
	char task[TASK_SIZE];
	uint64_t epoch;
	struct msg_incarnation incarnation;
	char journal[ID_SIZE]; /* may be empty: the server knows none yet */
	uint64_t counter;      /* highest of that journal the server saw */
	struct msg_id_list supersedes; /* tickets; SUPERSEDES_MAX */
	uint32_t timeout_ms;
	/* How its scripts run.  Empty, 0: as the tentacle, unlimited. */
	char user[USER_SIZE];
	uint64_t memory; /* bytes */
	uint32_t processes;
	char lock[NAME_SIZE]; /* held while it runs */
	bool lock_shared;
	enum action_kind action; /* says which of these is there */
	union {
		struct msg_script script;
		struct msg_activate activate;
	};
};

MSG_CODEC(start);

struct msg_start_reply {
	struct msg_reply reply;
	enum ticket_state state;
	bool has_result; /* it had ended already */
	struct msg_result result;
};

MSG_CODEC(start_reply);

/* --- cancel */

struct msg_cancel {
	uint32_t id;
	char ticket[ID_SIZE];
	char task[TASK_SIZE];
	uint64_t epoch;
};

MSG_CODEC(cancel);

struct msg_cancel_reply {
	struct msg_reply reply;
	enum ticket_state state; /* as it is now */
};

MSG_CODEC(cancel_reply);

/* --- tickets: the open ones, and those ended and not yet forgotten */

struct msg_tickets {
	uint32_t id;
};

MSG_CODEC(tickets);

struct msg_ticket {
	char ticket[ID_SIZE];
	enum ticket_state state;
	int32_t exit_code;
	enum reason cause;
	uint64_t log_size; /* bytes */
};

struct msg_tickets_reply {
	struct msg_reply reply;
	struct msg_ticket *items; /* TICKETS_MAX */
	size_t count;
};

MSG_CODEC(tickets_reply);

/* --- forget: the server has committed their results; answered by an empty
 * reply */

struct msg_forget {
	uint32_t id;
	struct msg_id_list tickets; /* TICKETS_MAX */
	char task[TASK_SIZE];       /* of all of them; "": of several */
	uint64_t epoch;             /* with a task: of its owner */
	uint64_t settled; /* tasks below this number are over; 0: not told */
};

MSG_CODEC(forget);

struct msg_forget_reply {
	struct msg_reply reply;
};

MSG_CODEC(forget_reply);

/* --- stage-query: how much of this blob is there already? */

struct msg_stage_query {
	uint32_t id;
	char digest[DIGEST_SIZE];
};

MSG_CODEC(stage_query);

struct msg_stage_query_reply {
	struct msg_reply reply;
	uint64_t have; /* bytes on disk, from the start */
	bool complete; /* and verified */
};

MSG_CODEC(stage_query_reply);

/* --- locks: who holds which, and who waits for it */

#define LOCKS_MAX 200 /* in one reply */

struct msg_locks {
	uint32_t id;
};

MSG_CODEC(locks);

struct msg_lock {
	char lock[NAME_SIZE];
	bool shared;
	bool held; /* else: waits for it */
	char ticket[ID_SIZE];
	char task[TASK_SIZE];
	uint64_t since_ms; /* unix time: accepted */
};

struct msg_locks_reply {
	struct msg_reply reply;
	struct msg_lock *items; /* LOCKS_MAX; in the order of their turns */
	size_t count;
};

MSG_CODEC(locks_reply);

/* --- lock-break: whoever holds it now holds it no more, and goes on */

struct msg_lock_break {
	uint32_t id;
	char lock[NAME_SIZE];
};

MSG_CODEC(lock_break);

struct msg_lock_break_reply {
	struct msg_reply reply;
	uint32_t broken; /* how many held it */
};

MSG_CODEC(lock_break_reply);

#endif
