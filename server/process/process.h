/*
 * process.h - a process file: what a project does to deploy a release.
 *
 *     project: shop
 *     package: shop-web              # or packages: [shop-web, shop-jobs]
 *     guided: true                   # a failure waits for a person
 *     time_limit: 2h                 # of the whole task, from its start
 *     steps:
 *       - name: sign-off             # waits until a person approves
 *         approve: Are the backups done?
 *       - name: roll out             # a rolling block...
 *         roles: [web]
 *         rolling: 2                 # machines inside at a time; default 1
 *         max_failures: 0
 *         steps:
 *           - name: install
 *             deploy: shop-web
 *             configure: [config/x.json]
 *             before: ./stop.sh
 *             after: nginx -s reload
 *             timeout: 5m
 *           - name: smoke test
 *             run: curl -fsS http://localhost:8080/
 *             interpreter: /bin/bash # default: /bin/sh -e
 *             user: www-data         # default: as the tentacle
 *             memory: 256MiB         # of all that it starts
 *             processes: 64
 *             lock: lb               # or {name: lb, shared: true}
 *             package: shop-web      # whose live version is the directory
 *             rerun-safe: true       # again by itself when unknown
 *             retries: 2             # again by itself when it failed
 *       - name: tell everybody       # ...or one step: a block of its own,
 *         roles: [mail]              # on all its machines at once unless it
 *         run: ./mail.sh             # says `rolling`
 *     variables:
 *       Greeting: { value: hello, scope: { environment: prod } }
 *       Port: [ { value: 80 }, { value: 8080, scope: { role: test } } ]
 *       DbPassword: { sensitive: true }
 *
 * Unknown and repeated keys, aliases, tags of our own and anything above the
 * limits are refused with "FILE:LINE:COLUMN: ...".
 */
#ifndef SERVER_PROCESS_PROCESS_H
#define SERVER_PROCESS_PROCESS_H

#include "server/process/script_world.h"
#include "server/process/variables.h"

#define PROCESS_BYTES_MAX       ((size_t)256 * 1024)
#define PROCESS_DEPTH_MAX       12u
#define PROCESS_BLOCKS_MAX      32u
#define PROCESS_STEPS_MAX       32u /* in one block */
#define PROCESS_LIST_MAX        64u /* roles, packages, globs */
#define PROCESS_SCRIPT_MAX      ((size_t)64 * 1024)
#define PROCESS_HOOK_MAX        ((size_t)16 * 1024) /* before, after */
#define PROCESS_NODES_MAX       20000u
#define PROCESS_TEXT_MAX        255u /* a glob: bytes */
#define PROCESS_INTERPRETER_MAX 120u
#define PROCESS_ROLLING_MAX     100000u
#define PROCESS_NAME_MAX        63u /* project, package, role, step name: bytes */
#define PROCESS_RETRIES_MAX     10u
#define PROCESS_APPROVE_MAX     200u              /* bytes of what is asked */
#define PROCESS_TIMEOUT_MS      UINT64_C(1800000) /* when a step says none */
#define PROCESS_TIMEOUT_MAX_S   (UINT64_C(7) * 24 * 3600) /* 7 days */

struct text_list {
	char **items;
	size_t count;
};

enum process_step_type {
	PROCESS_STEP_RUN,
	PROCESS_STEP_DEPLOY
};

struct process_step {
	char *name;
	enum process_step_type type;
	uint32_t line;
	uint64_t timeout_ms;
	uint32_t retries; /* by itself after a failure */
	bool rerun_safe;  /* may run once more when nobody knows */
	struct script_world world;
	char *interpreter; /* NULL: /bin/sh -e */
	char *package;     /* RUN: its live version's directory is the script's
	                    * (a directory of the run while none is live); may
	                    * be NULL.
	                    * DEPLOY: what is installed, never NULL */
	char *run;         /* RUN only: script text as written */
	char *before, *after;       /* DEPLOY only; may be NULL */
	struct text_list configure; /* DEPLOY only: globs */
};

struct process_block {
	char *name;
	uint32_t line;
	struct text_list roles; /* any of these; empty: every machine */
	uint32_t rolling;       /* 0: all at once */
	uint32_t max_failures;
	char *approve; /* what a person is asked; NULL: it has steps */
	size_t step_count;
	struct process_step *steps; /* at least one, or `approve` */
};

struct process {
	char *project;
	struct text_list packages;
	size_t block_count;
	struct process_block *blocks; /* at least one */
	bool guided;                  /* a failure waits for a person */
	uint64_t time_limit_ms;       /* of the task; 0: none */
	struct variable_set variables;
};

/*
 * Parse len bytes of UTF-8 YAML.  file is only for messages.  RC_PROTO with a
 * fault that says "FILE:LINE:COLUMN: what"; RC_NOMEM.  On RC_OK the caller
 * owns *out.
 */
MUST_CHECK enum rc process_parse(const char *file, const char *text, size_t len,
    struct process **out, struct fault *fault);
void process_free(struct process *process); /* NULL is fine */

/*
 * The script as it is sent: with a first line "#!..." unless it has one.
 * interpreter NULL: /bin/sh -e.  The caller frees *out.  RC_NOMEM.
 */
MUST_CHECK enum rc process_script_body(
    const char *text, const char *interpreter, char **out);

/* "90", "90s", "5m", "2h", "1d" -> milliseconds; RC_PROTO. */
MUST_CHECK enum rc process_duration_parse(const char *text, uint64_t *out_ms);

#endif
