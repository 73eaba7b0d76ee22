/*
 * dispatch.c - from a request to a call, through the SQL thread, to an answer.
 */
#include "common/clock.h"
#include "common/log.h"
#include "common/secret.h"
#include "common/xalloc.h"
#include "server/api/api_base.h"
#include "server/api/sign.h"
#include "server/store/audit.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- answers ---- */

static void call_free(struct api_call *call)
{
	if (call->authorization != NULL)
		secret_wipe(call->authorization, strlen(call->authorization));
	free(call->authorization);
	free(call->idempotency);
	json_decref(call->query);
	json_decref(call->body);
	json_decref(call->answer);
	free(call->part);
	free(call->text);
	free(call->bytes);
	caller_clear(&call->caller);
	log_read_free(call->log);
	upload_part_free(call->upload);
	api_sign_free(call->sign);
	free(call);
}

struct answer {
	int status;
	char *body; /* wiped and freed when sent */
	size_t len;
	const char *type;
	char etag[32];
};

static void send_answer(
    struct http_request *http, const struct answer *a, bool head_only)
{
	struct http_header headers[4] = { { NULL, NULL } };
	size_t n = 0;
	struct http_reply reply = { .status = a->status, .headers = headers };

	if (a->status == 401)
		headers[n++] =
		    (struct http_header){ "WWW-Authenticate", "Bearer" };
	if (a->status == 503 || a->status == 429)
		headers[n++] = (struct http_header){ "Retry-After", "1" };
	if (a->etag[0] != '\0')
		headers[n++] = (struct http_header){ "ETag", a->etag };
	if (a->body != NULL) {
		reply.content_type = a->type;
		reply.body = a->body;
		reply.len = head_only ? 0 : a->len;
	}
	http_reply(http, &reply);
}

/* Given away; NULL: no memory. */
static void put_text(struct answer *a, char *text)
{
	a->body = text;
	a->len = text != NULL ? strlen(text) : 0;
}

static void problem(struct answer *a, int status, const struct fault *fault,
    const char *instance)
{
	json_t *document = problem_document(status, fault, instance);

	a->status = status;
	a->type = "application/problem+json";
	put_text(
	    a, document != NULL ? json_dumps(document, JSON_INDENT(1)) : NULL);
	json_decref(document);
}

/* An answer without a call: nothing more was found out about the request. */
static void reject(
    struct http_request *http, int status, const struct fault *fault)
{
	struct answer a = { 0 };

	problem(&a, status, fault, http_request_head(http)->path);
	send_answer(http, &a, false);
	free(a.body);
}

void api_finish(struct api_call *call, enum rc rc)
{
	struct answer a = { .status = call->status };
	int status = call->stranger ? 401 : status_of(rc, &call->fault);

	if (rc != RC_OK) {
		if (status >= 500)
			log_warn("api", call->route->operation, "%s: %s",
			    rc_name(rc), call->fault.text);
		problem(&a, status, &call->fault, call->route->pattern);
	} else if (call->text != NULL) {
		a.type = "text/plain; charset=utf-8";
		put_text(&a, call->text);
		call->text = NULL;
	} else if (call->bytes != NULL) {
		a.type = "application/octet-stream";
		a.body = (char *)call->bytes;
		a.len = call->bytes_len;
		call->bytes = NULL;
	} else if (call->answer != NULL) {
		a.type = "application/json";
		put_text(&a, json_dumps(call->answer, JSON_COMPACT));
		if (a.body == NULL)
			a.status = 503;
	}
	if (rc == RC_OK && call->etag != 0)
		(void)snprintf(a.etag, sizeof(a.etag), "\"%llu\"",
		    (unsigned long long)call->etag);
	send_answer(call->http, &a, call->head_only);
	if (a.body != NULL)
		secret_wipe(a.body, a.len);
	free(a.body);
	call_free(call);
}

/* ---- taking a request ---- */

static bool is_type(struct http_text type, const char *want)
{
	size_t len = strlen(want);

	return type.ptr != NULL && type.len >= len &&
	       strncasecmp(type.ptr, want, len) == 0 &&
	       (type.len == len || type.ptr[len] == ';' ||
		   type.ptr[len] == ' ');
}

/* What the route takes as body; returns the status, 0: fine. */
static int check_content(const struct route *route,
    const struct http_head *head, struct fault *fault)
{
	uint64_t limit = route->body == ROUTE_JSON   ? ROUTE_JSON_MAX
	                 : route->body == ROUTE_PART ? ROUTE_PART_MAX
	                                             : 0;
	const char *want = route->body == ROUTE_PART
	                       ? "application/octet-stream"
	                       : "application/json";

	if (head->content_length > limit) {
		fault_set(fault, REASON_TOO_MANY, "",
		    "the body is over %llu bytes", (unsigned long long)limit);
		return 413;
	}
	if (head->content_length > 0 && !is_type(head->content_type, want)) {
		fault_set(fault, REASON_PROTOCOL, "",
		    "the Content-Type must be %s", want);
		return 415;
	}
	return 0;
}

static enum rc read_body(struct api_call *call, struct http_request *request)
{
	size_t len;
	const uint8_t *data = http_request_body(request, &len);
	enum rc rc;

	if (call->route->body == ROUTE_PART) {
		call->part = malloc(len > 0 ? len : 1);
		if (call->part == NULL)
			return RC_NOMEM;
		if (len > 0)
			memcpy(call->part, data, len);
		call->part_len = len;
		return RC_OK;
	}
	if (call->route->body == ROUTE_NO_BODY)
		return RC_OK;
	if (len == 0) {
		data = (const uint8_t *)"{}";
		len = 2;
	}
	rc = route_parse_body(data, len, &call->body, &call->fault);
	if (rc != RC_OK)
		return rc;
	return route_check_body(call->route->fields, call->body, &call->fault);
}

static enum rc stranger(struct api_call *call, enum rc rc, const char *why)
{
	char text[FAULT_TEXT_MAX];

	(void)snprintf(text, sizeof(text), "%s", why);
	call->stranger = true;
	return call_fail(call, rc, REASON_NOT_PERMITTED, "%s", text);
}

/* "Bearer KEY" */
static enum rc read_key(struct api_call *call, const struct http_head *head)
{
	struct http_text text = head->authorization;

	if (call->route->access == ROUTE_OPEN)
		return RC_OK;
	if (text.ptr == NULL || text.len < 8 || text.len > 512 ||
	    strncasecmp(text.ptr, "Bearer ", 7) != 0)
		return stranger(call, RC_DENIED,
		    "send an API key: "
		    "Authorization: Bearer KEY");
	call->authorization = strndup(text.ptr + 7, text.len - 7);
	return call->authorization != NULL ? RC_OK : RC_NOMEM;
}

static enum rc read_idempotency(
    struct api_call *call, const struct http_head *head)
{
	struct http_text key = head->idempotency_key;

	if (key.ptr == NULL || call->route->method != HTTP_METHOD_POST)
		return RC_OK;
	if (key.len == 0 || key.len > STORE_IDEMPOTENCY_KEY_MAX)
		return call_fail(call, RC_PROTO, REASON_PROTOCOL,
		    "Idempotency-Key must have 1 to %d characters",
		    STORE_IDEMPOTENCY_KEY_MAX);
	if (call->route->secret_answer)
		return call_fail(call, RC_PROTO, REASON_PROTOCOL,
		    "this answer holds a secret, which is not kept: send no "
		    "Idempotency-Key");
	if (call->route->after != NULL)
		return call_fail(call, RC_PROTO, REASON_PROTOCOL,
		    "this answer comes from elsewhere and is not kept: send no "
		    "Idempotency-Key");
	call->idempotency = strndup(key.ptr, key.len);
	return call->idempotency != NULL ? RC_OK : RC_NOMEM;
}

/* If-Match: "7" */
static enum rc read_if_match(
    struct api_call *call, const struct http_head *head)
{
	struct http_text text = head->if_match;

	if (text.ptr == NULL)
		return RC_OK;
	if (text.len < 3 || text.len > 20 || text.ptr[0] != '"' ||
	    text.ptr[text.len - 1] != '"')
		return call_fail(call, RC_PROTO, REASON_PROTOCOL,
		    "If-Match must be one version in quotes");
	for (size_t i = 1; i < text.len - 1; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return call_fail(call, RC_PROTO, REASON_PROTOCOL,
			    "If-Match must be one version in quotes");
		call->if_version =
		    call->if_version * 10 + (uint64_t)(text.ptr[i] - '0');
	}
	return RC_OK;
}

static enum rc hash_request(struct api_call *call, const struct http_head *head,
    struct http_request *request)
{
	const char *method = http_method_name(head->method);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t len;
	const uint8_t *body = http_request_body(request, &len);
	/* The NULs keep the parts apart. */
	bool ok =
	    md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
	    EVP_DigestUpdate(md, method, strlen(method) + 1) == 1 &&
	    EVP_DigestUpdate(md, head->path, strlen(head->path) + 1) == 1 &&
	    EVP_DigestUpdate(md, head->query, strlen(head->query) + 1) == 1 &&
	    (len == 0 || EVP_DigestUpdate(md, body, len) == 1) &&
	    EVP_DigestFinal_ex(md, call->request_sha256, NULL) == 1;

	EVP_MD_CTX_free(md);
	return ok ? RC_OK : RC_CRYPTO;
}

static enum rc read_request(struct api_call *call, struct http_request *request)
{
	const struct http_head *head = http_request_head(request);
	enum rc rc = read_key(call, head);

	if (rc == RC_OK)
		rc = route_parse_query(
		    call->route, head->query, &call->query, &call->fault);
	if (rc == RC_OK)
		rc = read_body(call, request);
	if (rc == RC_OK)
		rc = read_idempotency(call, head);
	if (rc == RC_OK)
		rc = read_if_match(call, head);
	if (rc == RC_OK && call->idempotency != NULL)
		rc = hash_request(call, head, request);
	return rc;
}

static void after(struct api_call *call)
{
	enum rc rc = RC_OK;

	if (call->route->after != NULL)
		rc = call->route->after(call);
	if (rc != RC_AGAIN)
		api_finish(call, rc);
}

void api_take(struct http_handler *handler, struct http_request *request)
{
	struct api *api = (struct api *)(void *)handler;
	const struct http_head *head = http_request_head(request);
	struct route_match match;
	struct api_call *call;
	struct fault fault = { 0 };
	int status;
	enum rc rc;

	route_match(head->method, head->path, &match);
	if (match.route == NULL) {
		fault_set(&fault, REASON_NOT_FOUND, "",
		    match.path_known ? "%s cannot be used with this path"
				     : "%s: no such path; see "
				       "/api/openapi.json",
		    http_method_name(head->method));
		reject(request, match.path_known ? 405 : 404, &fault);
		return;
	}
	if (match.route->access != ROUTE_OPEN &&
	    head->authorization.ptr == NULL) {
		fault_set(&fault, REASON_NOT_PERMITTED, "",
		    "send an API key: Authorization: Bearer KEY");
		reject(request, 401, &fault);
		return;
	}
	status = check_content(match.route, head, &fault);
	if (status != 0) {
		reject(request, status, &fault);
		return;
	}
	call = xcalloc(1, sizeof(*call));
	call->api = api;
	call->options = &api->options;
	call->route = match.route;
	call->match = match;
	call->http = request;
	call->status = 200;
	call->now_ms = clock_wall_ms();
	call->head_only = head->method == HTTP_METHOD_HEAD;
	rc = read_request(call, request);
	if (rc != RC_OK)
		api_finish(call, rc);
	else if (match.route->handler == NULL)
		after(call);
	else
		api_submit(call);
}

/* ---- the job ---- */

void api_submit(struct api_call *call)
{
	enum rc rc;

	call->job.run = api_job_run;
	call->job.done = api_job_done;
	call->job.loop = call->api->loop;
	rc = store_submit(call->options->store, &call->job);
	if (rc != RC_OK)
		api_finish(call, call_fail(call, RC_AGAIN, REASON_TOO_MANY,
				     "the server is busy"));
}

/* Who is it, and may that be done at all? */
static enum rc authorise(struct api_call *call, struct db *db)
{
	const struct route *route = call->route;
	permission_set bit = PERM_BIT(route->permission);
	enum rc rc;

	if (route->access == ROUTE_OPEN)
		return RC_OK;
	caller_clear(&call->caller);
	rc = apikey_verify(db, call->authorization, (uint64_t)call->now_ms,
	    &call->caller, &call->fault);
	call->stranger = rc == RC_DENIED;
	if (rc != RC_OK)
		return rc;
	rc = store_apikey_used(db, call->caller.key_id, (uint64_t)call->now_ms);
	if (rc != RC_OK)
		return rc;
	if (route->access == ROUTE_KEY)
		return caller_may(
		    &call->caller, route->permission, NULL, &call->fault);
	if (route->access == ROUTE_OBJECT &&
	    (call->caller.permissions & bit) != 0)
		return RC_OK;
	return call_fail(call, RC_DENIED, REASON_NOT_PERMITTED,
	    "%s lacks the permission %s", call->caller.who,
	    permission_name(route->permission));
}

static enum rc audit(struct api_call *call, struct db *db)
{
	struct store_audit row = { .at_ms = (uint64_t)call->now_ms };
	const struct route_match *m = &call->match;

	(void)snprintf(row.who, sizeof(row.who), "%s", call->caller.who);
	(void)snprintf(
	    row.from, sizeof(row.from), "%s", http_request_peer(call->http));
	(void)snprintf(
	    row.action, sizeof(row.action), "%s", call->route->operation);
	if (call->object[0] != '\0')
		(void)snprintf(
		    row.object, sizeof(row.object), "%s", call->object);
	else
		(void)snprintf(row.object, sizeof(row.object), "%s%s%s",
		    m->param_count > 0 ? m->params[0] : "",
		    m->param_count > 1 ? " " : "",
		    m->param_count > 1 ? m->params[1] : "");
	return store_audit_add(db, &row);
}

/* RC_EXISTS: it was answered before, and so it is again. */
static enum rc replay(struct api_call *call, struct db *db)
{
	const struct store_idempotency k = { .who = call->caller.who,
		.key = call->idempotency,
		.request = call->request_sha256,
		.now_ms = (uint64_t)call->now_ms };
	char *text = NULL;
	enum rc rc;

	if (call->idempotency == NULL)
		return RC_NOTFOUND;
	rc = store_idempotency_find(db, &k, &call->status, &text, &call->fault);
	if (rc == RC_OK) {
		call->answer = json_loads(text, JSON_DECODE_ANY, NULL);
		call->event = API_EVENT_NONE;
	}
	free(text);
	return rc;
}

static enum rc keep(struct api_call *call, struct db *db)
{
	const struct store_idempotency k = { .who = call->caller.who,
		.key = call->idempotency,
		.request = call->request_sha256,
		.now_ms = (uint64_t)call->now_ms };
	char *text;
	enum rc rc;

	if (call->idempotency == NULL)
		return RC_OK;
	text = json_dumps(call->answer, JSON_COMPACT | JSON_ENCODE_ANY);
	rc = store_idempotency_keep(db, &k, call->status,
	    text != NULL ? text : "null", API_KEEP_KEY_MS);
	free(text);
	return rc;
}

enum rc api_job_run(struct db *db, struct store_job *job)
{
	struct api_call *call = CONTAINER_OF(job, struct api_call, job);
	enum rc rc = authorise(call, db);

	if (rc != RC_OK)
		return rc;
	rc = replay(call, db);
	if (rc != RC_NOTFOUND)
		return rc;
	rc = call->route->handler(call, db);
	if (rc != RC_OK)
		return rc;
	if (call->route->access == ROUTE_OBJECT && !call->asked_may)
		return call_fail(call, RC_DENIED, REASON_INTERNAL,
		    "%s forgot to ask who may", call->route->operation);
	if (call->route->method == HTTP_METHOD_GET || call->route->quiet)
		return RC_OK;
	rc = audit(call, db);
	if (rc != RC_OK)
		return rc;
	return keep(call, db);
}

static void tell(struct api_call *call)
{
	const struct api_hooks *h = &call->options->hooks;

	switch (call->event) {
	case API_EVENT_NONE:
		break;
	case API_EVENT_TASK_CREATED:
		if (h->task_created != NULL)
			h->task_created(h->ctx, call->number);
		break;
	case API_EVENT_TASK_CANCEL:
		if (h->task_cancel != NULL)
			h->task_cancel(h->ctx, call->number, call->caller.who);
		break;
	case API_EVENT_TASK_DECIDED:
		if (h->task_decided != NULL)
			h->task_decided(h->ctx, call->number);
		break;
	case API_EVENT_MACHINE_CHANGED:
		if (h->machine_changed != NULL)
			h->machine_changed(h->ctx, call->name);
		break;
	case API_EVENT_RELAY_CHANGED:
		if (h->relay_changed != NULL)
			h->relay_changed(h->ctx, call->name);
		break;
	case API_EVENT_CA_CHANGED:
		if (h->ca_changed != NULL)
			h->ca_changed(h->ctx);
		break;
	}
	call->event = API_EVENT_NONE;
}

/* What failed tells why by itself, mostly; not who only shared a commit. */
static enum rc explain_io(struct api_call *call)
{
	enum reason code = call->fault.code;

	if (code == REASON_NO_SPACE || (code != REASON_NONE && !call->job.full))
		return RC_IO;
	if (call->job.full)
		return call_fail(call, RC_IO, REASON_NO_SPACE,
		    "the server's disk is full: nothing was changed; ask again "
		    "when there is room");
	return call_fail(call, RC_IO, REASON_INTERNAL,
	    "nothing was changed: the server could not write its database; "
	    "its log says why");
}

void api_job_done(struct store_job *job, enum rc rc)
{
	struct api_call *call = CONTAINER_OF(job, struct api_call, job);

	/* Done or not, only the next start knows. */
	if (rc == RC_IO && store_broken(call->options->store))
		rc = call_fail(call, RC_AGAIN, REASON_INTERNAL,
		    "the server's disk failed, and it stops: ask again when it "
		    "is there");
	else if (rc == RC_IO)
		rc = explain_io(call);
	if (rc != RC_OK) {
		if (rc == RC_DENIED)
			log_warn("api", call->route->operation,
			    "denied to %s: %s", http_request_peer(call->http),
			    call->fault.text);
		api_finish(call, rc);
		return;
	}
	tell(call);
	after(call);
}
