/* api_notes.c - what scripts said of themselves, and the files they kept. */
#include "server/api/routes.h"
#include "server/api/task_log.h"
#include "server/api/wire.h"
#include "server/store/note.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES (1u << 20) /* of a file, in one answer */

/* "0-12-1-3": a run and a number in it. */
static bool parse_place(const char *text, struct store_note_place *out)
{
	uint32_t *const to[] = { &out->key.block, &out->key.target,
		&out->key.action, &out->number };

	for (size_t i = 0; i < 4; i++) {
		char *end;
		unsigned long n = strtoul(text, &end, 10);

		if (*text < '0' || *text > '9' || n > TASK_RUNS_MAX ||
		    *end != (i < 3 ? '-' : '\0'))
			return false;
		*to[i] = (uint32_t)n;
		text = end + 1;
	}
	return true;
}

static void format_place(
    const struct run_key *key, uint32_t number, char *out, size_t size)
{
	(void)snprintf(out, size, "%u-%u-%u-%u", key->block, key->target,
	    key->action, number);
}

/* Any bytes as text; what is secret is not shown. */
static json_t *text_of(const struct store_note *n)
{
	char *text;
	json_t *json;

	if (n->sensitive)
		return json_null();
	text = malloc(n->text_len + 1);
	if (text == NULL)
		return NULL;
	memcpy(text, n->text, n->text_len);
	text[n->text_len] = '\0';
	json = json_safe(text);
	free(text);
	return json;
}

static json_t *note_json(const struct store_note *n)
{
	char id[64], run[48];

	format_place(&n->key, n->number, id, sizeof(id));
	(void)snprintf(run, sizeof(run), "%u-%u-%u", n->key.block,
	    n->key.target, n->key.action);
	return json_pack(
	    "{s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:b, s:I, s:s, s:I}", "id", id,
	    "run", run, "machine", json_safe(n->machine), "step",
	    json_safe(n->action), "kind", note_kind_name(n->kind), "name",
	    json_safe(n->name), "text", text_of(n), "sensitive",
	    n->sensitive ? 1 : 0, "size", (json_int_t)n->size, "sha256",
	    n->digest, "at_ms", (json_int_t)n->at_ms);
}

static enum rc read_kind(struct api_call *call, enum note_kind *out)
{
	const char *text = call_query(call, "kind");

	*out = NOTE_KIND_COUNT;
	if (text == NULL)
		return RC_OK;
	for (int i = NOTE_OUTPUT; i < NOTE_KIND_COUNT; i++) {
		if (strcmp(text, note_kind_name((enum note_kind)i)) == 0)
			*out = (enum note_kind)i;
	}
	return *out < NOTE_KIND_COUNT
	           ? RC_OK
	           : call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
			 "kind must be output, warning or artifact");
}

static enum rc list(struct api_call *call, struct db *db)
{
	const char *cursor = call_query(call, "cursor");
	struct store_note_place after = { .number = 0 };
	struct store_note_filter filter = { .after = NULL };
	struct store_note *rows = NULL;
	struct store_task task;
	struct page page;
	size_t count = 0;
	char next[64];
	json_t *items = json_array();
	enum rc rc = task_load(call, db, &task);

	if (rc == RC_OK)
		rc = read_kind(call, &filter.kind);
	if (rc == RC_OK)
		rc = call_page(call, &page, STORE_PAGE_MAX);
	if (rc == RC_OK && cursor != NULL && !parse_place(cursor, &after))
		rc = call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "cursor: not one of ours");
	if (rc == RC_OK) {
		filter.task = call->number;
		filter.after = cursor != NULL ? &after : NULL;
		filter.limit = page.limit;
		rc = store_note_list(db, &filter, &rows, &count);
	}
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (json_array_append_new(items, note_json(&rows[i])) != 0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK && count > 0)
		format_place(&rows[count - 1].key, rows[count - 1].number, next,
		    sizeof(next));
	if (rc == RC_OK)
		rc = call_answer_list(call, json_incref(items),
		    count == page.limit ? next : NULL);
	json_decref(items);
	store_notes_free(rows, count);
	return rc;
}

static enum rc cannot_read(struct api_call *call, const char *why)
{
	return call_fail(call, RC_IO, REASON_INTERNAL,
	    "the bytes of this file cannot be read: %s", why);
}

/* From a thread of HTTP's: reading keeps no transaction waiting. */
static enum rc read_piece(struct api_call *call)
{
	uint64_t size = 0, offset = call_number(call, "offset", 0);
	struct blob_digest digest;
	ssize_t got = -1;
	int fd = -1, error;
	enum rc rc = blob_digest_parse(call->digest, &digest);

	if (rc == RC_OK)
		rc = blob_open(call->options->blobs, &digest, &fd, &size);
	if (rc == RC_NOTFOUND)
		return call_fail(call, RC_NOTFOUND, REASON_NOT_FOUND,
		    "the bytes of this file are not on this server");
	if (rc != RC_OK)
		return cannot_read(call, rc_name(rc));
	call->bytes = malloc(PIECE_BYTES + 1);
	if (call->bytes != NULL)
		got = pread(fd, call->bytes, PIECE_BYTES, (off_t)offset);
	error = errno;
	(void)close(fd);
	if (call->bytes == NULL)
		return RC_NOMEM;
	if (got < 0)
		return cannot_read(call, strerrordesc_np(error));
	call->bytes_len = (size_t)got;
	return RC_OK;
}

static enum rc show(struct api_call *call, struct db *db)
{
	struct store_note_place place = { .number = 0 };
	struct store_task task;
	enum rc rc = task_load(call, db, &task);

	if (rc == RC_OK && !parse_place(call_param(call, 1), &place))
		rc = call_fail(call, RC_NOTFOUND, REASON_NOT_FOUND,
		    "%s: no artifact has such an id", call_param(call, 1));
	if (rc != RC_OK)
		return rc;
	place.key.task = call->number;
	rc = store_note_artifact(db, &place, call->digest);
	if (rc == RC_NOTFOUND)
		return call_fail(call, rc, REASON_NOT_FOUND,
		    "%s: no such artifact", call_param(call, 1));
	return rc;
}

static const struct route_field list_query[] = {
	{ "kind", ROUTE_TEXT, false, 16, "output, warning or artifact", NULL },
	{ .name = NULL },
};

static const struct route_field show_query[] = {
	{ "offset", ROUTE_NUMBER, false, UINT64_C(1) << 40,
	    "From this byte on; an answer has 1 MiB at most", NULL },
	{ .name = NULL },
};

const struct route note_routes[] = {
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/tasks/{id}/notes",
	    .operation = "task.notes",
	    .summary = "Outputs, warnings and artifacts of its scripts",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_TASK_VIEW,
	    .query = list_query,
	    .paged = true,
	    .handler = list },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/tasks/{id}/artifacts/{artifact}",
	    .operation = "task.artifact",
	    .summary = "Bytes of an artifact; the id is that of its note",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_TASK_VIEW,
	    .query = show_query,
	    .handler = show,
	    .after = read_piece },
	{ .pattern = NULL },
};
