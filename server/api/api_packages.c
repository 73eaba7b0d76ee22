/*
 * api_packages.c - packages: parts by offset into the blob store, then a row.
 *
 *     POST .../upload {digest, size}           -> where to go on
 *     PUT  .../upload?digest=&size=&offset=    -> one part, at most 8 MiB
 *     POST /api/v1/packages/{name}/{version}   -> it is a package
 *
 * Each step may be repeated; parts go to the disk on a worker.
 */
#include "server/api/api_base.h"
#include "server/api/routes.h"
#include "server/api/wire.h"
#include "server/store/package.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACKAGE_SIZE_MAX (64ULL << 30)

struct upload_part {
	struct api_call *call;
	struct blob_digest digest;
	uint64_t size, offset;
	/* Filled in by the worker. */
	uint64_t have;
	bool complete;
	enum rc rc;
};

void upload_part_free(struct upload_part *part)
{
	free(part);
}

static json_t *package_json(const struct store_package *p)
{
	return json_pack("{s:o, s:o, s:o, s:I, s:I, s:o}", "name",
	    json_safe(p->name), "version", json_safe(p->version), "digest",
	    json_safe(p->digest), "size", (json_int_t)p->size, "created_ms",
	    (json_int_t)p->created_ms, "who", json_safe(p->who));
}

static enum rc list(struct api_call *call, struct db *db)
{
	struct store_package *rows = NULL;
	char next[STORE_NAME_SIZE + STORE_VERSION_SIZE] = "";
	struct page page;
	size_t count = 0;
	json_t *items = json_array();
	enum rc rc = call_page(call, &page, 100);

	if (rc == RC_OK)
		rc = store_package_list(
		    db, call_query(call, "name"), &page, &rows, &count);
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (json_array_append_new(items, package_json(&rows[i])) != 0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK && count == page.limit)
		(void)snprintf(next, sizeof(next), "%s %s",
		    rows[count - 1].name, rows[count - 1].version);
	if (rc == RC_OK)
		rc = call_answer_list(
		    call, json_incref(items), *next != '\0' ? next : NULL);
	json_decref(items);
	free(rows);
	return rc;
}

static enum rc show(struct api_call *call, struct db *db)
{
	struct store_package p;
	enum rc rc = store_package_get(
	    db, call_param(call, 0), call_param(call, 1), &p, &call->fault);

	return rc == RC_OK ? call_answer(call, 200, package_json(&p)) : rc;
}

/* The blob that the request is about, from its body or query. */
static enum rc read_part(struct api_call *call)
{
	const char *digest = call_text(call, "digest");
	struct upload_part *part = calloc(1, sizeof(*part));

	if (part == NULL)
		return RC_NOMEM;
	upload_part_free(call->upload);
	call->upload = part;
	part->call = call;
	if (digest == NULL)
		digest = call_query(call, "digest");
	part->size = call_number(call, "size", 0);
	part->offset = call_number(call, "offset", 0);
	if (digest == NULL || blob_digest_parse(digest, &part->digest) != RC_OK)
		return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "digest must be a SHA-256: 64 lower-case hex digits");
	if (part->size == 0)
		return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "size must be at least 1");
	return RC_OK;
}

/* Is that version free, or the same already? */
static enum rc check_upload(struct api_call *call, struct db *db)
{
	const char *name = call_param(call, 0);
	const char *version = call_param(call, 1);
	char digest[BLOB_HEX_MAX];
	struct store_package p;
	struct fault ignored = { 0 };
	enum rc rc = name_check("package", name, &call->fault);

	if (rc != RC_OK)
		return rc;
	if (!version_is_valid(version))
		return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "version %.80s: 1 to 63 letters, digits, '.', '_', '-' "
		    "or '+'",
		    version);
	rc = read_part(call);
	if (rc != RC_OK)
		return rc;
	blob_digest_format(&call->upload->digest, digest);
	rc = store_package_get(db, name, version, &p, &ignored);
	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc == RC_OK && strcmp(p.digest, digest) != 0)
		return call_fail(call, RC_EXISTS, REASON_BAD_PACKAGE,
		    "package %s %s exists with other content; push it under "
		    "another version",
		    name, version);
	return rc;
}

/* On a worker: part_len 0 only asks how much is there. */
static void work_part(void *arg)
{
	struct upload_part *part = arg;
	struct api_call *call = part->call;
	struct blob_writer *w = NULL;
	enum rc rc = blob_write_begin(
	    call->options->blobs, &part->digest, part->size, &w, &call->fault);

	if (rc == RC_EXISTS) {
		part->rc = RC_OK;
		part->have = part->size;
		part->complete = true;
		return;
	}
	if (rc == RC_OK && call->part_len > 0)
		rc = blob_write_at(
		    w, part->offset, call->part, call->part_len, &call->fault);
	if (rc == RC_OK)
		part->have = blob_writer_offset(w);
	if (rc == RC_OK && part->have == part->size) {
		rc = blob_write_finish(w, NULL, NULL, &call->fault);
		part->complete = rc == RC_OK;
		if (rc == RC_CRYPTO)
			call->fault.code = REASON_BAD_PACKAGE;
	}
	blob_writer_free(w);
	part->rc = rc;
}

static void part_done(void *arg)
{
	struct upload_part *part = arg;
	struct api_call *call = part->call;
	enum rc rc = part->rc;

	if (rc == RC_OK)
		rc = call_answer(call, 200,
		    json_pack("{s:I, s:I, s:b, s:I}", "offset",
			(json_int_t)part->have, "size", (json_int_t)part->size,
			"complete", part->complete ? 1 : 0, "part_max",
			(json_int_t)ROUTE_PART_MAX));
	api_finish(call, rc);
}

static enum rc write_part(struct api_call *call)
{
	enum rc rc = worker_submit(
	    call->api->workers, work_part, part_done, call->upload);

	if (rc == RC_OK)
		return RC_AGAIN;
	return call_fail(
	    call, RC_LIMIT, REASON_TOO_MANY, "too many uploads at once");
}

static enum rc create(struct api_call *call, struct db *db)
{
	struct store_package p = { .created_ms = (uint64_t)call->now_ms };
	uint64_t size;
	enum rc rc = check_upload(call, db);

	if (rc != RC_OK)
		return rc;
	rc = blob_size(call->options->blobs, &call->upload->digest, &size);
	if (rc == RC_NOTFOUND)
		return call_fail(call, RC_STATE, REASON_BAD_PACKAGE,
		    "its content is not there yet; upload it first");
	if (rc != RC_OK)
		return rc;
	if (size != call->upload->size)
		return call_fail(call, RC_PROTO, REASON_BAD_PACKAGE,
		    "the content has %llu bytes, not %llu",
		    (unsigned long long)size,
		    (unsigned long long)call->upload->size);
	wire_copy(p.name, sizeof(p.name), call_param(call, 0));
	wire_copy(p.version, sizeof(p.version), call_param(call, 1));
	blob_digest_format(&call->upload->digest, p.digest);
	p.size = size;
	wire_copy(p.who, sizeof(p.who), call->caller.who);
	rc = store_package_create(db, &p, &call->fault);
	return rc == RC_OK ? call_answer(call, 201, package_json(&p)) : rc;
}

static enum rc drop(struct api_call *call, struct db *db)
{
	call->status = 204;
	return store_package_delete(
	    db, call_param(call, 0), call_param(call, 1), &call->fault);
}

static const struct route_field list_query[] = {
	{ "name", ROUTE_TEXT, false, LIMIT_NAME, "Only this package", NULL },
	{ .name = NULL },
};

static const struct route_field content_fields[] = {
	{ "digest", ROUTE_TEXT, true, 64, "SHA-256 of the file", NULL },
	{ "size", ROUTE_NUMBER, true, PACKAGE_SIZE_MAX, "Bytes", NULL },
	{ .name = NULL },
};

static const struct route_field part_query[] = {
	{ "digest", ROUTE_TEXT, true, 64, "SHA-256 of the whole file", NULL },
	{ "size", ROUTE_NUMBER, true, PACKAGE_SIZE_MAX, "Of the whole file",
	    NULL },
	{ "offset", ROUTE_NUMBER, true, PACKAGE_SIZE_MAX, "Of this part",
	    NULL },
	{ .name = NULL },
};

const struct route package_routes[] = {
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/packages",
	    .operation = "package.list",
	    .summary = "List packages",
	    .access = ROUTE_KEY,
	    .permission = PERM_PROJECT_VIEW,
	    .query = list_query,
	    .paged = true,
	    .handler = list },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/packages/{name}/{version}",
	    .operation = "package.show",
	    .summary = "Show one version of a package",
	    .access = ROUTE_KEY,
	    .permission = PERM_PROJECT_VIEW,
	    .handler = show },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/packages/{name}/{version}",
	    .operation = "package.push",
	    .summary = "Make a package of content that was uploaded",
	    .access = ROUTE_KEY,
	    .permission = PERM_PACKAGE_PUSH,
	    .body = ROUTE_JSON,
	    .fields = content_fields,
	    .handler = create },
	{ .method = HTTP_METHOD_DELETE,
	    .pattern = "/api/v1/packages/{name}/{version}",
	    .operation = "package.delete",
	    .summary = "Delete a version that no release uses",
	    .access = ROUTE_KEY,
	    .permission = PERM_PACKAGE_PUSH,
	    .handler = drop },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/packages/{name}/{version}/upload",
	    .operation = "package.upload",
	    .summary = "Begin or resume an upload: tells the offset",
	    .access = ROUTE_KEY,
	    .permission = PERM_PACKAGE_PUSH,
	    .body = ROUTE_JSON,
	    .fields = content_fields,
	    .quiet = true,
	    .handler = check_upload,
	    .after = write_part },
	{ .method = HTTP_METHOD_PUT,
	    .pattern = "/api/v1/packages/{name}/{version}/upload",
	    .operation = "package.part",
	    .summary = "Upload one part",
	    .access = ROUTE_KEY,
	    .permission = PERM_PACKAGE_PUSH,
	    .body = ROUTE_PART,
	    .query = part_query,
	    .quiet = true,
	    .handler = check_upload,
	    .after = write_part },
	{ .pattern = NULL },
};
