/* api_status.c - how the server is: for people, probes and Prometheus. */
#include "server/api/api_base.h"
#include "server/api/routes.h"
#include "server/api/wire.h"
#include "server/ca/ca_files.h"
#include "server/store/audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_MAX 8192
#define WARN_MS     (30LL * 24 * 3600 * 1000)

/* ---- status ---- */

/* Unix ms; 0: there is none. */
static json_int_t end_of(const struct api_call *call, const char *file)
{
	const char *state = call->options->state_dir;
	int64_t from_s = 0, until_s = 0;
	struct certs certs;
	struct fault fault;

	certs_init(&certs);
	if (state == NULL ||
	    ca_files_certs(state, file, &certs, &fault) != RC_OK ||
	    certs_validity(certs.cert[0], &from_s, &until_s) != RC_OK)
		until_s = 0;
	certs_fini(&certs);
	return (json_int_t)until_s * 1000;
}

/* What is not renewed by itself, for lack of a key, is told in good time. */
static const struct certificate {
	const char *name, *file, *member;
} certificates[] = {
	{ "this node", "../node/cert.pem", "node_certificate_ends_ms" },
	{ "the HTTPS port", "../https/cert.pem", "https_certificate_ends_ms" },
	{ "the authority agents", "agents.crt", NULL },
	{ "the authority nodes", "nodes.crt", NULL },
	{ "the root", "root.crt", NULL },
};

#define CERTIFICATES (sizeof(certificates) / sizeof(certificates[0]))
#define SOON_SIZE    128

/* False: not soon, or it is not there. */
static bool ends_soon(const struct api_call *call, const struct certificate *c,
    json_int_t end_ms, char out[SOON_SIZE])
{
	char date[CERTS_DATE_SIZE];

	if (end_ms == 0 || end_ms - call->now_ms >= WARN_MS)
		return false;
	certs_date(end_ms / 1000, date);
	(void)snprintf(
	    out, SOON_SIZE, "the certificate of %s ends %s", c->name, date);
	return true;
}

static enum rc add_certificates(struct api_call *call)
{
	json_t *warnings = json_array();

	for (size_t i = 0; i < CERTIFICATES; i++) {
		const struct certificate *c = &certificates[i];
		json_int_t end_ms = end_of(call, c->file);
		char soon[SOON_SIZE];

		if (end_ms != 0 && c->member != NULL)
			(void)json_object_set_new(
			    call->answer, c->member, json_integer(end_ms));
		if (ends_soon(call, c, end_ms, soon))
			(void)json_array_append_new(warnings,
			    json_sprintf("%s; see: longarm ca show", soon));
	}
	return json_object_set_new(call->answer, "attention", warnings) == 0
	           ? RC_OK
	           : RC_NOMEM;
}

static enum rc status(struct api_call *call, struct db *db)
{
	struct store_machine_counts c;
	enum rc rc = store_machine_count(db, &c);
	json_t *presence = json_object(), *health = json_object();

	for (int i = 0; i < STORE_PRESENCE_COUNT && rc == RC_OK; i++) {
		if (json_object_set_new(presence,
			store_presence_name((enum store_presence)i),
			json_integer((json_int_t)c.presence[i])) != 0)
			rc = RC_NOMEM;
	}
	for (int i = 0; i < MACHINE_HEALTH_COUNT && rc == RC_OK; i++) {
		if (json_object_set_new(health,
			machine_health_name((enum machine_health)i),
			json_integer((json_int_t)c.health[i])) != 0)
			rc = RC_NOMEM;
	}
	if (rc != RC_OK) {
		json_decref(presence);
		json_decref(health);
		return rc;
	}
	rc = call_answer(call, 200,
	    json_pack("{s:s, s:s, s:b, s:I, s:I, s:o, s:o}", "version",
		LONGARM_VERSION, "cluster",
		call->options->cluster != NULL ? call->options->cluster : "",
		"draining", atomic_load(&call->api->draining) ? 1 : 0,
		"machines", (json_int_t)c.all, "enabled", (json_int_t)c.enabled,
		"presence", presence, "health", health));
	return rc == RC_OK ? add_certificates(call) : rc;
}

static enum rc ask(struct api_call *call)
{
	enum rc rc = api_ask(call, API_LIVE_STATUS, "");

	return rc == RC_STATE ? RC_OK : rc;
}

/* ---- probes ---- */

static enum rc answer_text(struct api_call *call, const char *text)
{
	call->text = strdup(text);
	return call->text != NULL ? RC_OK : RC_NOMEM;
}

static enum rc livez(struct api_call *call)
{
	return answer_text(call, "ok\n");
}

/* They do not make it unready: who probes would take away the last one. */
static void tell_certificates(
    const struct api_call *call, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < CERTIFICATES && len < size; i++) {
		const struct certificate *c = &certificates[i];
		char soon[SOON_SIZE];

		if (ends_soon(call, c, end_of(call, c->file), soon))
			len += (size_t)snprintf(
			    out + len, size - len, "[!] %s\n", soon);
	}
	if (len == 0)
		(void)snprintf(out, size, "[+] certificates ok\n");
}

static enum rc readyz(struct api_call *call)
{
	bool draining = atomic_load(&call->api->draining);
	bool broken = store_broken(call->options->store);
	char soon[CERTIFICATES * (SOON_SIZE + 8)];
	char text[128 + sizeof(soon)];

	call->status = draining || broken ? 503 : 200;
	if (call_query(call, "verbose") == NULL)
		return answer_text(call, draining ? "draining\n"
					 : broken ? "not ready\n"
						  : "ok\n");
	tell_certificates(call, soon, sizeof(soon));
	(void)snprintf(text, sizeof(text),
	    "[%c] store %s\n[%c] drain %s\n%s%s\n", broken ? '-' : '+',
	    broken ? "failed: the disk" : "ok", draining ? '-' : '+',
	    draining ? "draining" : "ok", soon,
	    draining || broken ? "not ready" : "ready");
	return answer_text(call, text);
}

static enum rc description(struct api_call *call)
{
	return call_answer(call, 200, openapi_document());
}

/* ---- metrics ---- */

struct text {
	char *at;
	size_t len;
};

static void PRINTF_LIKE(2, 3) add(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(t->at + t->len, METRICS_MAX - t->len, format, args);
	va_end(args);
	if (n > 0 && (size_t)n < METRICS_MAX - t->len)
		t->len += (size_t)n;
}

static void add_one(struct text *t, const char *name, const char *type,
    const char *help, uint64_t value)
{
	add(t, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, type,
	    name, (unsigned long long)value);
}

static void add_machines(struct text *t, const struct store_machine_counts *c)
{
	add(t, "# HELP longarm_machines Machines by presence.\n"
	       "# TYPE longarm_machines gauge\n");
	for (int i = 0; i < STORE_PRESENCE_COUNT; i++)
		add(t, "longarm_machines{presence=\"%s\"} %llu\n",
		    store_presence_name((enum store_presence)i),
		    (unsigned long long)c->presence[i]);
	add(t, "# HELP longarm_machines_health Machines by health.\n"
	       "# TYPE longarm_machines_health gauge\n");
	for (int i = 0; i < MACHINE_HEALTH_COUNT; i++)
		add(t, "longarm_machines_health{health=\"%s\"} %llu\n",
		    machine_health_name((enum machine_health)i),
		    (unsigned long long)c->health[i]);
}

static enum rc metrics(struct api_call *call, struct db *db)
{
	struct store_machine_counts machines;
	struct text t = { calloc(1, METRICS_MAX), 0 };
	enum rc rc = store_machine_count(db, &machines);

	free(call->text);
	call->text = t.at;
	if (rc != RC_OK || t.at == NULL)
		return rc != RC_OK ? rc : RC_NOMEM;
	add(&t, "# HELP longarm_build_info Version of this server.\n"
		"# TYPE longarm_build_info gauge\n"
		"longarm_build_info{version=\"" LONGARM_VERSION "\"} 1\n");
	add_machines(&t, &machines);
	return RC_OK;
}

/* The counters of the HTTP thread are its own: added there. */
static enum rc add_counters(struct api_call *call)
{
	struct text t = { call->text, strlen(call->text) };
	struct http_counts http;
	struct store_counts store;

	http_server_count(call->api->http, &http);
	store_count(call->options->store, &store);
	add_one(&t, "longarm_http_connections", "gauge", "Open connections.",
	    http.connections);
	add_one(&t, "longarm_http_accepted_total", "counter",
	    "Connections accepted.", http.accepted);
	add_one(&t, "longarm_http_requests_total", "counter", "Requests read.",
	    http.requests);
	add_one(&t, "longarm_http_refused_total", "counter",
	    "Requests refused as malformed.", http.refused);
	add_one(&t, "longarm_http_waiting", "gauge",
	    "Requests not yet answered.", http.waiting);
	add_one(&t, "longarm_store_jobs_total", "counter", "Jobs of the store.",
	    store.jobs);
	add_one(&t, "longarm_store_failed_total", "counter",
	    "Jobs that were rolled back.", store.failed);
	add_one(&t, "longarm_store_commits_total", "counter",
	    "Transactions committed.", store.commits);
	add_one(&t, "longarm_store_queue", "gauge", "Jobs that wait.",
	    store.queued);
	return RC_OK;
}

/* ---- audit ---- */

static enum rc audit_list(struct api_call *call, struct db *db)
{
	struct store_audit *rows = NULL;
	struct page page;
	size_t count = 0;
	char next[32];
	json_t *items = json_array();
	enum rc rc = call_page(call, &page, 100);

	if (rc == RC_OK)
		rc = store_audit_list(db, &page, &rows, &count);
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		json_t *one = json_pack("{s:I, s:I, s:o, s:o, s:o, s:o}", "id",
		    (json_int_t)rows[i].id, "at_ms", (json_int_t)rows[i].at_ms,
		    "who", json_safe(rows[i].who), "from",
		    json_safe(rows[i].from), "action",
		    json_safe(rows[i].action), "object",
		    json_safe(rows[i].object));

		if (json_array_append_new(items, one) != 0)
			rc = RC_NOMEM;
		(void)snprintf(
		    next, sizeof(next), "%llu", (unsigned long long)rows[i].id);
	}
	if (rc == RC_OK)
		rc = call_answer_list(call, json_incref(items),
		    count > 0 && count == page.limit ? next : NULL);
	json_decref(items);
	store_audits_free(rows, count);
	return rc;
}

static const struct route_field ready_query[] = {
	{ "verbose", ROUTE_TEXT, false, 8, "List the checks", NULL },
	{ .name = NULL },
};

const struct route status_routes[] = {
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/status",
	    .operation = "status.show",
	    .summary = "Version, machines by presence and health, links",
	    .access = ROUTE_KEY,
	    .permission = PERM_STATUS_VIEW,
	    .handler = status,
	    .after = ask },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/audit",
	    .operation = "audit.list",
	    .summary = "Who did what, newest first",
	    .access = ROUTE_KEY,
	    .permission = PERM_AUDIT_VIEW,
	    .paged = true,
	    .handler = audit_list },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/openapi.json",
	    .operation = "openapi.show",
	    .summary = "This description",
	    .access = ROUTE_OPEN,
	    .after = description },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/livez",
	    .operation = "livez.show",
	    .summary = "Is the process alive?",
	    .access = ROUTE_OPEN,
	    .after = livez },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/readyz",
	    .operation = "readyz.show",
	    .summary = "May work be sent here?  503: no",
	    .access = ROUTE_OPEN,
	    .query = ready_query,
	    .after = readyz },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/metrics",
	    .operation = "metrics.show",
	    .summary = "Counters for Prometheus",
	    .access = ROUTE_KEY,
	    .permission = PERM_STATUS_VIEW,
	    .handler = metrics,
	    .after = add_counters },
	{ .pattern = NULL },
};
