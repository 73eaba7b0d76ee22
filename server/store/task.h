/*
 * task.h - tasks as rows: the plan, the state of each run, the facts.
 *
 * The plan is written once with the task and never changes; the engine's
 * changes and the facts that caused them are written together, guarded by
 * owner, incarnation and epoch.  SQL thread only.
 */
#ifndef SERVER_STORE_TASK_H
#define SERVER_STORE_TASK_H

#include "server/engine/engine.h"
#include "server/store/db.h"
#include "server/store/types.h"

#define STORE_PAYLOAD_MAX   (1u << 20) /* bytes of one payload */
#define STORE_PAYLOADS_MAX  4096u      /* of one task */
#define STORE_FACT_SIZE_MAX (16u << 10)
#define STORE_OWNER_SIZE    64

struct store_task {
	struct task_row row;
	enum task_kind kind;
	char title[STORE_TEXT_SIZE]; /* "shop 1.2.0 to prod", for people */
	char project[STORE_NAME_SIZE];
	char release[STORE_VERSION_SIZE];
	char environment[STORE_NAME_SIZE];
	uint64_t deployment; /* number per project and environment; 0: none */
	char who[STORE_WHO_SIZE];
	uint64_t created_ms;
	uint32_t machine_count;
	/* Asked to stop: by whom, "" when nobody did. */
	char cancel_who[STORE_WHO_SIZE];
	/* The life of the node that works on it; "" none yet. */
	char owner[STORE_OWNER_SIZE];
	char incarnation[STORE_OWNER_SIZE];
	uint64_t fact_seq; /* facts recorded so far */
	bool guided;       /* a failure waits for a person */
};

/*
 * Write a new task: t's kind, title, project, release, environment, who,
 * created_ms, the plan, and its payloads (texts that the actions' payload
 * indexes name; JSON by the planner, secrets in it wrapped).  Sets
 * t->row.number and plan->number; for TASK_DEPLOY also t->deployment.
 */
struct store_task_new {
	struct store_task *task;
	struct task_plan *plan;
	const char *const *payloads;
	uint32_t payload_count;
};
MUST_CHECK enum rc store_task_create(
    struct db *db, struct store_task_new *n, struct fault *fault);
/* The number that the next deployment of project to environment will have. */
MUST_CHECK enum rc store_deployment_next(
    struct db *db, const char *project, const char *environment, uint64_t *out);

/* Everything the engine and the dispatcher need to go on. */
struct store_task_rows {
	struct store_task task;
	struct task_plan *plan;
	char **payloads;
	uint32_t payload_count;
	struct run_row *runs;
	size_t run_count;
	uint64_t *log_sizes; /* per run: bytes of its log that are committed */
	uint64_t *log_bases; /* per run: where its last attempt begins there */
};
void store_task_rows_clear(struct store_task_rows *r);
/* Where the run of this key is; false: there is no row of it. */
bool store_task_rows_find(const struct store_task_rows *rows,
    const struct run_key *key, size_t *index);
MUST_CHECK enum rc store_task_load(struct db *db, uint64_t number,
    struct store_task_rows *out, struct fault *fault);

MUST_CHECK enum rc store_task_get(struct db *db, uint64_t number,
    struct store_task *out, struct fault *fault);

/* "" or NULL, COUNT for the enums: any. */
struct store_task_filter {
	const char *project;
	const char *environment;
	enum task_kind kind;
	enum task_state state;
	bool open_only;
};
/* Newest first; before 0: from the newest, else those with a lower number.
 * free(*rows). */
struct store_task_page {
	uint64_t before;
	uint32_t limit;
};
MUST_CHECK enum rc store_task_list(struct db *db,
    const struct store_task_filter *filter, const struct store_task_page *page,
    struct store_task **rows, size_t *count);
/* Numbers of the tasks that are not final, oldest first, above after. */
MUST_CHECK enum rc store_task_open(struct db *db, uint64_t after,
    uint32_t limit, uint64_t **numbers, size_t *count);

/* Who works on a task: every write of its state proves this. */
struct store_owner {
	const char *owner;       /* node id and life */
	const char *incarnation; /* of the database */
	uint64_t epoch;
};
/* Take a task that is not final: raises its epoch, told in *epoch. */
MUST_CHECK enum rc store_task_claim(struct db *db, uint64_t number,
    const struct store_owner *who, uint64_t *epoch);
/* Note who asked to stop it; RC_STATE and fault: it has ended. */
MUST_CHECK enum rc store_task_cancel(
    struct db *db, uint64_t number, const char *who, struct fault *fault);

struct store_fact {
	const char *type; /* "accepted", "ended", "log-end"... */
	bool of_run;      /* key names a run; else the whole task */
	struct run_key key;
	uint64_t at_ms;
	const char *json; /* details or NULL */
};
/* One task's facts and the changes that the engine made of them. */
struct store_batch {
	uint64_t number;
	struct store_owner who;
	const struct store_fact *facts;
	size_t fact_count;
	const struct engine_change *changes; /* all of this task */
	size_t change_count;
};
/* RC_STATE: the task is somebody else's now: let go of it. */
MUST_CHECK enum rc store_task_apply(
    struct db *db, const struct store_batch *batch);

/* All attempts of a run write into one log, each behind those before; ticket
 * names the attempt.  RC_NOTFOUND from all of these: it is not the last. */
struct store_log {
	struct run_key key;
	const char *ticket;
};
/* Where the attempt begins, and how much is committed. */
MUST_CHECK enum rc store_run_log_place(
    struct db *db, const struct store_log *log, uint64_t *base, uint64_t *size);
/*
 * The log of a run grew from old_size to new_size bytes that are synced.
 * RC_STATE: the row says another size (*now), read from there.
 */
MUST_CHECK enum rc store_run_log_grow(struct db *db,
    const struct store_log *log, uint64_t old_size, uint64_t new_size,
    uint64_t *now);
/* Its last byte is at size; kept with the SHA-256 of this attempt's part. */
MUST_CHECK enum rc store_run_log_end(struct db *db, const struct store_log *log,
    uint64_t size, const uint8_t sha256[STORE_SHA256_SIZE]);

/* A run for people. */
struct store_run {
	struct run_row row;
	char machine_id[TASK_MACHINE_SIZE];
	char machine[TASK_MACHINE_SIZE];
	char block[TASK_NAME_SIZE];
	char action[TASK_NAME_SIZE];
	enum action_type type;
	uint64_t log_size;
	bool log_ended;
	char log_sha256[STORE_SHA256_HEX]; /* "" until ended */
	/* What its script says of itself. */
	bool has_progress;
	uint32_t percent, warnings;
	char said[STORE_TEXT_SIZE];
};
/* Runs that have left waiting, by block, target, action; after NULL: from the
 * start.  free(*rows). */
MUST_CHECK enum rc store_run_list(struct db *db, uint64_t number,
    const struct run_key *after, uint32_t limit, struct store_run **rows,
    size_t *count);
MUST_CHECK enum rc store_run_get(
    struct db *db, const struct run_key *key, struct store_run *out);
/* RC_NOTFOUND: not one of ours. */
MUST_CHECK enum rc store_run_by_ticket(
    struct db *db, const char *ticket, struct run_key *out);

/* The recorded facts, oldest first, seq > after. */
struct store_fact_row {
	uint64_t seq;
	uint64_t at_ms;
	char type[STORE_NAME_SIZE];
	bool of_run;
	struct run_key key;
	char *json; /* "" */
};
void store_facts_free(struct store_fact_row *rows, size_t count);
MUST_CHECK enum rc store_fact_list(struct db *db, uint64_t number,
    uint64_t after, uint32_t limit, struct store_fact_row **rows,
    size_t *count);

/* All tasks below *below have ended, and no other will have such a number. */
MUST_CHECK enum rc store_task_settled(struct db *db, uint64_t *below);

#endif
