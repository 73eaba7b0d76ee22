/*
 * route.h - the table of routes: what may be asked, by whom, with which input.
 *
 * The same table dispatches, checks bodies and queries, decides who may do it
 * and describes itself as OpenAPI.  What is not in it is 404; a route that
 * needs a key names the permission.  Pure, static const data; any thread.
 */
#ifndef SERVER_API_ROUTE_H
#define SERVER_API_ROUTE_H

#include "server/api/http_head.h"
#include "server/auth/permission.h"

#include <jansson.h>

struct api_call;
struct db;

#define ROUTE_PARAMS_MAX     4
#define ROUTE_PARAM_SIZE     128
#define ROUTE_JSON_MAX       (1u << 20) /* bytes of a JSON body */
#define ROUTE_PART_MAX       (8u << 20) /* bytes of one part of an upload */
#define ROUTE_JSON_DEPTH_MAX 8u

enum route_type {
	ROUTE_TEXT,   /* limit: bytes */
	ROUTE_NUMBER, /* 0 .. limit */
	ROUTE_BOOL,
	ROUTE_TEXTS,   /* array of texts; limit: how many */
	ROUTE_OBJECTS, /* array of objects as fields say; limit: how many */
	ROUTE_MAP      /* object: name -> text; limit: how many */
};

/* A member of a JSON body, or a parameter of the query. */
struct route_field {
	const char *name;
	enum route_type type;
	bool required;
	uint64_t limit;
	const char *help;
	const struct route_field *fields; /* ROUTE_OBJECTS: ends by NULL name */
};

enum route_access {
	ROUTE_OPEN = 1, /* no key: health endpoints and the description */
	ROUTE_KEY,      /* permission, for all environments */
	ROUTE_OBJECT    /* permission; the handler also asks api_may() for the
	                 * environments of what it loaded, else it is refused */
};

enum route_body {
	ROUTE_NO_BODY,
	ROUTE_JSON,
	ROUTE_PART /* application/octet-stream */
};

struct route {
	enum http_method method;
	const char *pattern;   /* "/api/v1/machines/{name}" */
	const char *operation; /* "machine.show": also the audit's action */
	const char *summary;
	enum route_access access; /* 0 is refused by the table's test */
	enum permission permission;
	enum route_body body;
	const struct route_field *fields; /* of the body; NULL: none */
	const struct route_field *query;  /* NULL: none */
	/* The answer holds a secret: never kept for Idempotency-Key. */
	bool secret_answer;
	bool paged; /* takes cursor and limit too */
	bool quiet; /* a step of something: not in the audit */
	/*
	 * On the SQL thread.  Not RC_OK: rolled back, answered by rc and the
	 * call's fault.  NULL: after() alone answers.
	 */
	enum rc (*handler)(struct api_call *call, struct db *db);
	/*
	 * On the HTTP thread after the commit.  RC_AGAIN: it took the call and
	 * will answer by api_finish(); else the answer goes out now.
	 */
	enum rc (*after)(struct api_call *call);
};

struct route_match {
	const struct route *route; /* NULL: no such path or method */
	bool path_known;           /* another method would do: 405 */
	size_t param_count;
	char params[ROUTE_PARAMS_MAX][ROUTE_PARAM_SIZE];
};

/* Route number i of all; NULL beyond the end. */
const struct route *route_at(size_t i);

/* HEAD finds the route of GET. */
void route_match(
    enum http_method method, const char *path, struct route_match *out);

/*
 * Parse a body: one JSON object, no key twice, no floating point, bounded
 * depth.  RC_PROTO and fault with the line.
 */
MUST_CHECK enum rc route_parse_body(
    const uint8_t *data, size_t len, json_t **out, struct fault *fault);
/*
 * Does the object have what the fields say, and nothing else?  RC_PROTO: the
 * fault names the member (and the nearest known one).
 */
MUST_CHECK enum rc route_check_body(
    const struct route_field *fields, json_t *body, struct fault *fault);
/*
 * The query as an object of texts; unknown and repeated names are refused.
 */
MUST_CHECK enum rc route_parse_query(const struct route *route,
    const char *query, json_t **out, struct fault *fault);

/* OpenAPI 3.1, made from the table; NULL: no memory. */
json_t *openapi_document(void);

#endif
