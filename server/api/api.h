/*
 * api.h - the HTTP API of one server: what the rest of the server gives it,
 * and what it tells the rest.
 *
 *     HTTP thread: request -> strict check -> route -> body against its schema
 *     SQL thread:  key -> permission -> handler (one store job, one
 *                  transaction, with audit and Idempotency-Key)
 *     HTTP thread: hooks -> answer
 *
 * api_start() makes a thread with a loop of its own; all else here may be
 * called from any thread.  Stop the API before the store.
 */
#ifndef SERVER_API_API_H
#define SERVER_API_API_H

#include "common/blob.h"
#include "common/key.h"
#include "common/loop.h"
#include "common/wrap.h"
#include "proto/name.h"
#include "proto/reason.h"
#include "server/store/store.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct api; /* opaque; fields live in api.c */
struct api_sign;

enum api_live_kind {
	API_LIVE_STATUS,   /* links, presence counts, queues: an object */
	API_LIVE_ROUTE,    /* how `name` (a machine) is reached, hop by hop */
	API_LIVE_RELAY,    /* what the control session of relay `name` says */
	API_LIVE_MACHINE,  /* what is known of `name` now */
	API_LIVE_MACHINES, /* how each of `items` is reached */
	API_LIVE_RELAYS,   /* what is known of each of `items` */
	API_LIVE_TRACE_START, /* trace the ways to `name`: {"trace": id...} */
	API_LIVE_TRACE, /* what trace `trace` of `name` found after `after` */
	API_LIVE_LOCKS, /* who holds locks on `name`: {"items": [...]} */
	API_LIVE_LOCK_BREAK, /* `lock` on `name`: {"broken": n} */
	API_LIVE_SIGN /* let `sign` join: {"name": ..., "answer": text} */
};

/*
 * A question to the main loop.  The hook takes it (never blocking), fills
 * answer (an object, given away) or fault with rc, and calls
 * api_live_answer() exactly once, from any thread.
 */
struct api_live {
	enum api_live_kind kind;
	char name[NAME_SIZE];
	char trace[ID_SIZE];  /* API_LIVE_TRACE */
	char lock[NAME_SIZE]; /* API_LIVE_LOCK_BREAK */
	uint64_t after;       /* API_LIVE_TRACE: hops that are known already */
	/* API_LIVE_MACHINES, _RELAYS: objects to add to, which nobody else
	 * holds; they go into the answer. */
	json_t *items;
	struct api_sign *sign; /* API_LIVE_SIGN; the hook may take it (NULL) */
	json_t *answer;
	enum rc rc;
	struct fault fault;
	struct api_call *call; /* the API's own */
};

/*
 * Called on the HTTP thread after the commit; each only posts to its own
 * thread.  Any may be NULL.
 */
struct api_hooks {
	void *ctx;
	void (*task_created)(void *ctx, uint64_t number);
	/* The request to cancel is in the row (store_task_cancel). */
	void (*task_cancel)(void *ctx, uint64_t number, const char *who);
	/* A decision is in its rows (store_decide). */
	void (*task_decided)(void *ctx, uint64_t number);
	/* Added, removed, enabled, its routes or roles: id of the machine. */
	void (*machine_changed)(void *ctx, const char *id);
	void (*relay_changed)(void *ctx, const char *name);
	/* Rows of rotations of authorities. */
	void (*ca_changed)(void *ctx);
	void (*live)(void *ctx, struct api_live *question);
};

struct api_options {
	const char *address; /* "127.0.0.1", "::" */
	uint16_t port;       /* 0: the kernel chooses, see api_port() */
	const char *cert_file, *key_file; /* PEM; the chain, leaf first */
	struct store *store;              /* borrowed, as all below */
	struct blob_store *blobs;
	const char *log_dir;              /* <log_dir>/<task>/<run>.log */
	const char *state_dir;            /* with DIR/ca; NULL: no rotations */
	const struct wrap_key *master;    /* wraps sensitive variables */
	const char *cluster;              /* id, for tokens */
	uint8_t root_hash[KEY_HASH_SIZE]; /* see api_set_root() */
	struct api_hooks hooks;
	uint32_t max_connections; /* 0: 256 */
	uint32_t idle_ms;         /* 0: 30 s without a byte */
	uint32_t request_ms;      /* 0: 120 s for one whole request */
};

/*
 * How stored secrets of variables are bound to their place: wrap_seal() and
 * wrap_open() with this context; as text (release snapshots) in hex.
 */
#define API_VARIABLE_CONTEXT_SIZE (9 + 101)
void api_variable_context(
    const char *name, char out[API_VARIABLE_CONTEXT_SIZE]);

/*
 * Where the log of a run is: <log_dir>/task-7/0-12-1.log (block, target,
 * action).  RC_LIMIT: does not fit.
 */
struct run_key;
MUST_CHECK enum rc api_log_path(
    const char *log_dir, const struct run_key *key, char *out, size_t size);

/* Bind and start; *options is copied, what it points to is borrowed. */
MUST_CHECK enum rc api_start(
    const struct api_options *options, struct api **out, struct fault *fault);
/* Answers what is under way (5 s at most), closes, joins.  NULL is fine. */
void api_stop(struct api *api);
uint16_t api_port(const struct api *api);

/* Tokens name this root from now on. */
void api_set_root(struct api *api, const uint8_t hash[KEY_HASH_SIZE]);
/* The certificate's file has changed: for connections from now on. */
void api_reload_certificate(struct api *api);
/* Draining: /readyz says 503, everything else goes on. */
void api_set_draining(struct api *api, bool draining);
/* A task changed: who waits for its log hears at once.  Only a hint. */
void api_task_changed(struct api *api, uint64_t number);
void api_live_answer(struct api_live *question);
/* Instead of an answer, once api_stop() has returned. */
void api_live_drop(struct api_live *question);

#endif
