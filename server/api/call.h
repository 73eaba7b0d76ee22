/*
 * call.h - one request on its way through the API.
 *
 * Belongs to the HTTP thread until it is handed to the SQL thread as a store
 * job, and again after that.  A handler reads input by the functions here and
 * sets the answer; it never touches the HTTP connection.
 */
#ifndef SERVER_API_CALL_H
#define SERVER_API_CALL_H

#include "server/api/api.h"
#include "server/api/route.h"
#include "server/auth/apikey.h"

#include <sys/queue.h>

struct http_request;
struct log_read;
struct upload_part;

/* What a call on the HTTP thread waits for. */
enum api_parked {
	API_NOT_PARKED,
	API_PARKED_LOG, /* more output: asked again now and then */
	API_PARKED_LIVE /* an answer of the main loop */
};

enum api_event {
	API_EVENT_NONE,
	API_EVENT_TASK_CREATED,    /* number */
	API_EVENT_TASK_CANCEL,     /* number */
	API_EVENT_TASK_DECIDED,    /* number */
	API_EVENT_MACHINE_CHANGED, /* name: its id */
	API_EVENT_RELAY_CHANGED,   /* name */
	API_EVENT_CA_CHANGED
};

struct api_call {
	struct store_job job;
	struct api *api;
	const struct api_options *options;
	const struct route *route;
	struct http_request *http;
	struct route_match match;
	bool head_only; /* HEAD: no body in the answer */
	json_t *query;  /* object of texts */
	json_t *body;   /* ROUTE_JSON only */
	uint8_t *part;  /* ROUTE_PART only */
	size_t part_len;
	char *authorization;        /* wiped when done */
	char *idempotency;          /* key, or NULL */
	uint64_t if_version;        /* If-Match: "7"; 0: none */
	uint8_t request_sha256[32]; /* method, path, query and body */
	int64_t now_ms;
	struct caller caller; /* after authorisation */
	bool asked_may;       /* ROUTE_OBJECT: api_may() was called */
	bool stranger;        /* no valid key: 401 */

	int status;     /* 200 unless the handler says more */
	json_t *answer; /* NULL with status 204 */
	char *text;     /* instead of answer: text/plain */
	uint8_t *bytes; /* instead of both: octets */
	size_t bytes_len;
	uint64_t etag; /* 0: none */
	struct fault fault;

	enum api_event event;
	uint64_t number;
	char name[ROUTE_PARAM_SIZE];
	char object[STORE_TEXT_SIZE]; /* for the audit; "": the parameters */

	/* For routes that answer later. */
	enum api_parked parked;
	TAILQ_ENTRY(api_call) link; /* when parked */
	uint64_t again_ms;          /* monotonic: look again */
	uint64_t deadline_ms;       /* monotonic: then answer what there is */
	struct log_read *log;       /* see log_read.h */
	struct upload_part *upload; /* see api_packages.c */
	struct api_live *live;
	struct api_sign *sign;    /* between handler and after() */
	char digest[DIGEST_SIZE]; /* the same, of a blob */
};

/* Path parameter i; never NULL. */
const char *call_param(const struct api_call *call, size_t i);
/* Members of the query and the body; NULL: not given. */
const char *call_query(const struct api_call *call, const char *name);
const char *call_text(const struct api_call *call, const char *name);
/* The value given, or the default. */
uint64_t call_number(
    const struct api_call *call, const char *name, uint64_t otherwise);
bool call_bool(const struct api_call *call, const char *name, bool otherwise);
/* Array or map; NULL: not given. */
json_t *call_member(const struct api_call *call, const char *name);
/* RC_PROTO: cursor or limit do not suit. */
MUST_CHECK enum rc call_page(
    struct api_call *call, struct page *out, uint32_t standard);

/* May the caller do what the route is about, here?  See caller_may(). */
MUST_CHECK enum rc api_may(struct api_call *call, const char *environment);
/* In all of these (none: nowhere in particular). */
MUST_CHECK enum rc api_may_all(
    struct api_call *call, const struct names *environments);
/* For lists: in one of these; none: only who is not confined. */
bool api_sees(const struct api_call *call, const struct names *environments);

/* Set the answer (given away; NULL: RC_NOMEM). */
MUST_CHECK enum rc call_answer(
    struct api_call *call, int status, json_t *answer);
/*
 * {"items": [...], "next": "..."}; next NULL: that was all.  items is given
 * away.
 */
MUST_CHECK enum rc call_answer_list(
    struct api_call *call, json_t *items, const char *next);
/* fault_set() on the call's fault; returns rc. */
enum rc call_fail(struct api_call *call, enum rc rc, enum reason code,
    const char *format, ...) PRINTF_LIKE(4, 5);

/* A JSON text whatever the bytes are: what is not UTF-8 becomes '?'. */
json_t *json_safe(const char *text);
json_t *json_names(const struct names *names);
/* Members of a JSON array of texts.  RC_PROTO: one is no name. */
MUST_CHECK enum rc names_from_json(const char *what, const json_t *array,
    struct names *out, struct fault *fault);

/* The HTTP status for a failure. */
int status_of(enum rc rc, const struct fault *fault);
/* problem+json; NULL: no memory. */
json_t *problem_document(
    int status, const struct fault *fault, const char *instance);

/* HTTP thread.  Answers and frees the call. */
void api_finish(struct api_call *call, enum rc rc);
/*
 * Ask the main loop and answer with the members of its answer added to
 * call->answer.  RC_AGAIN: on the way; RC_STATE: nobody to ask.
 */
MUST_CHECK enum rc api_ask(
    struct api_call *call, enum api_live_kind kind, const char *name);
/* The same with more than a name; about->items and about->sign are given away.
 */
MUST_CHECK enum rc api_ask_about(
    struct api_call *call, const struct api_live *about);
/* Let the main loop add to each member of "items" of a list. */
MUST_CHECK enum rc api_ask_items(
    struct api_call *call, enum api_live_kind kind);
bool api_can_ask(const struct api_call *call);
/* Wait until the task (call->number) changes or `ms` have passed. */
void api_park(struct api_call *call, enum api_parked why, uint64_t ms);
/* Go through the SQL thread (again): the route's handler runs there. */
void api_submit(struct api_call *call);

#endif
