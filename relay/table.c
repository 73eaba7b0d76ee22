#include "relay/table.h"

#include "common/fs.h"
#include "proto/lenframe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sorted by target text; look-ups by bisection. */
struct table {
	struct table_entry **entries;
	size_t count, capacity;
	struct msg_incarnation incarnation;
	uint64_t seq;
	/* While the pages of a full table come in. */
	bool filling;
	uint32_t next_page;
	table_gone_fn gone;
	void *gone_arg;
};

enum rc table_new(struct table **out)
{
	*out = calloc(1, sizeof(**out));
	return *out != NULL ? RC_OK : RC_NOMEM;
}

static void drop(struct table *t, size_t index)
{
	struct table_entry *e = t->entries[index];

	if (t->gone != NULL)
		t->gone(t->gone_arg, e);
	memmove(&t->entries[index], &t->entries[index + 1],
	    (t->count - index - 1) * sizeof(struct table_entry *));
	t->count--;
	free(e);
}

static void drop_all(struct table *t)
{
	while (t->count > 0)
		drop(t, t->count - 1);
}

void table_free(struct table *t)
{
	if (t == NULL)
		return;
	t->gone = NULL;
	drop_all(t);
	free(t->entries);
	free(t);
}

uint64_t table_seq(const struct table *t)
{
	return t->filling ? 0 : t->seq;
}

size_t table_count(const struct table *t)
{
	return t->count;
}

/* Where the text is, or would be. */
static size_t place(const struct table *t, const char *text, bool *found)
{
	size_t low = 0, high = t->count;

	*found = false;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(t->entries[mid]->text, text);

		if (order == 0) {
			*found = true;
			return mid;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct table_entry *table_find(
    const struct table *t, const struct target *target)
{
	char text[TARGET_SIZE];
	bool found;
	size_t index;

	target_format(target, text);
	index = place(t, text, &found);
	return found ? t->entries[index] : NULL;
}

struct table_entry *table_at(const struct table *t, size_t index)
{
	return index < t->count ? t->entries[index] : NULL;
}

void table_on_gone(struct table *t, table_gone_fn fn, void *arg)
{
	t->gone = fn;
	t->gone_arg = arg;
}

/* --- Pages ---------------------------------------------------------------- */

static MUST_CHECK enum rc insert(
    struct table *t, size_t index, struct table_entry **out)
{
	struct table_entry *e;

	if (t->count == t->capacity) {
		size_t capacity = t->capacity > 0 ? t->capacity * 2 : 64;
		struct table_entry **grown = realloc(
		    t->entries, capacity * sizeof(struct table_entry *));

		if (grown == NULL)
			return RC_NOMEM;
		t->entries = grown;
		t->capacity = capacity;
	}
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return RC_NOMEM;
	memmove(&t->entries[index + 1], &t->entries[index],
	    (t->count - index) * sizeof(struct table_entry *));
	t->entries[index] = e;
	t->count++;
	*out = e;
	return RC_OK;
}

static MUST_CHECK enum rc fill(
    struct table_entry *e, const struct msg_table_entry *m, struct fault *fault)
{
	enum rc rc = target_parse(m->target, &e->target, fault);

	if (rc == RC_OK && m->how == ROUTE_DIAL)
		rc = endpoint_parse(m->endpoint, 0, &e->endpoint, fault);
	if (rc != RC_OK)
		return rc;
	(void)snprintf(e->text, sizeof(e->text), "%s", m->target);
	(void)snprintf(e->name, sizeof(e->name), "%s",
	    m->name[0] != '\0' ? m->name : e->target.name);
	(void)snprintf(e->via, sizeof(e->via), "%s", m->via);
	e->seq = m->seq;
	e->how = m->how;
	e->from_count = m->from_count;
	memcpy(e->from, m->from, m->from_count * sizeof(*m->from));
	return RC_OK;
}

static MUST_CHECK enum rc apply_entry(
    struct table *t, const struct msg_table_entry *m, struct fault *fault)
{
	struct table_entry *e;
	bool found;
	size_t index = place(t, m->target, &found);
	enum rc rc = RC_OK;

	if (m->gone) {
		if (found && t->entries[index]->seq <= m->seq)
			drop(t, index);
		return RC_OK;
	}
	if (found && t->entries[index]->seq > m->seq)
		return RC_OK;
	if (m->from_count > TABLE_FROM_MAX)
		return RC_LIMIT;
	if (found)
		e = t->entries[index];
	else
		rc = insert(t, index, &e);
	if (rc == RC_OK)
		rc = fill(e, m, fault);
	if (rc != RC_OK && !found && rc != RC_NOMEM)
		drop(t, index);
	return rc;
}

static bool same_incarnation(
    const struct msg_incarnation *a, const struct msg_incarnation *b)
{
	return a->secs == b->secs && strcmp(a->random, b->random) == 0;
}

/* What a full table has not named since its first page is gone. */
static void drop_unnamed(struct table *t, uint64_t before)
{
	for (size_t i = t->count; i > 0; i--) {
		if (t->entries[i - 1]->seq == before)
			drop(t, i - 1);
	}
}

#define SEQ_STALE 0 /* real numbers begin at 1 */

static MUST_CHECK enum rc begin_page(
    struct table *t, const struct msg_table_page *page, struct fault *fault)
{
	if (page->from_seq == 0 && page->page == 0) {
		/* All entries become stale until they are named again. */
		for (size_t i = 0; i < t->count; i++)
			t->entries[i]->seq = SEQ_STALE;
		t->filling = true;
		t->next_page = 0;
		t->incarnation = page->incarnation;
		return RC_OK;
	}
	/* The session that brought the pages before this one may have ended. */
	if (page->page == 0 && !t->filling)
		t->next_page = 0;
	if (page->page == t->next_page &&
	    same_incarnation(&page->incarnation, &t->incarnation) &&
	    (page->from_seq == 0 ? t->filling
				 : !t->filling && page->from_seq <= t->seq))
		return RC_OK;
	fault_set(fault, REASON_STALE_ROUTE, "",
	    "table page %u from %llu does not follow %llu", page->page,
	    (unsigned long long)page->from_seq, (unsigned long long)t->seq);
	return RC_STATE;
}

enum rc table_apply(struct table *t, const struct msg_table_page *page,
    bool *changed, struct fault *fault)
{
	enum rc rc = begin_page(t, page, fault);

	*changed = false;
	for (size_t i = 0; i < page->entry_count && rc == RC_OK; i++)
		rc = apply_entry(t, &page->entries[i], fault);
	if (rc != RC_OK)
		return rc;
	t->next_page = page->last ? 0 : page->page + 1;
	if (page->last) {
		if (t->filling)
			drop_unnamed(t, SEQ_STALE);
		t->filling = false;
		t->seq = page->seq;
		*changed = true;
	}
	return RC_OK;
}

bool table_permits(
    const struct table_entry *entry, enum peer_role role, const char *neighbour)
{
	for (size_t i = 0; i < entry->from_count; i++) {
		if (entry->from[i].role == role &&
		    strcmp(entry->from[i].name, neighbour) == 0)
			return true;
	}
	return false;
}

/* --- On disk: the pages of a full table, each behind its length ----------- */

#define PAGE_ENTRIES  200
#define FILE_SIZE_MAX ((size_t)256 * 1024 * 1024)

static void export_entry(struct table_entry *e, struct msg_table_entry *m)
{
	*m = (struct msg_table_entry){
		.seq = e->seq,
		.how = e->how,
		.from = e->from,
		.from_count = e->from_count,
	};
	(void)snprintf(m->target, sizeof(m->target), "%s", e->text);
	(void)snprintf(m->name, sizeof(m->name), "%s", e->name);
	(void)snprintf(m->via, sizeof(m->via), "%s", e->via);
	if (e->how == ROUTE_DIAL)
		endpoint_format(&e->endpoint, m->endpoint);
}

static MUST_CHECK enum rc export_page(
    const struct table *t, uint32_t number, struct packbuf *out)
{
	struct msg_table_entry entries[PAGE_ENTRIES];
	struct msg_table_page page = {
		.incarnation = t->incarnation,
		.seq = t->seq,
		.page = number,
		.entries = entries,
	};
	size_t at = (size_t)number * PAGE_ENTRIES, mark = lenframe_begin(out);
	enum rc rc;

	while (at < t->count && page.entry_count < PAGE_ENTRIES)
		export_entry(t->entries[at++], &entries[page.entry_count++]);
	page.last = at == t->count;
	rc = msg_table_page_encode(&page, out);
	if (rc == RC_OK)
		rc = lenframe_end(out, mark, LENFRAME_CONTROL_MAX);
	return rc;
}

enum rc table_save(const struct table *t, const char *path, struct fault *fault)
{
	uint32_t pages = (uint32_t)(t->count / PAGE_ENTRIES + 1);
	struct packbuf out;
	enum rc rc = RC_OK;

	if (t->filling)
		return RC_OK; /* the old file is good until all is there */
	if (t->count > 0 && t->count % PAGE_ENTRIES == 0)
		pages--;
	packbuf_init(&out, FILE_SIZE_MAX);
	for (uint32_t i = 0; i < pages && rc == RC_OK; i++)
		rc = export_page(t, i, &out);
	if (rc == RC_OK)
		rc = fs_write_atomic(path, out.data, out.len, 0600, fault);
	packbuf_fini(&out);
	return rc;
}

static MUST_CHECK enum rc import(
    struct table *t, struct bytes input, struct fault *fault)
{
	struct lenframe frames;
	struct bytes message;
	bool changed;
	enum rc rc;

	lenframe_init(&frames, LENFRAME_CONTROL_MAX);
	do {
		struct msg_table_page page;

		rc = lenframe_feed(&frames, &input, fault);
		if (rc != RC_OK || lenframe_next(&frames, &message) != RC_OK)
			continue;
		rc = msg_table_page_decode(message, &page, fault);
		if (rc == RC_OK)
			rc = table_apply(t, &page, &changed, fault);
		msg_table_page_clear(&page);
	} while (rc == RC_OK && input.len > 0);
	if (rc == RC_OK && (t->filling || !lenframe_is_empty(&frames))) {
		fault_set(fault, REASON_BAD_CONFIG, "", "it is cut short");
		rc = RC_PROTO;
	}
	lenframe_fini(&frames);
	return rc;
}

enum rc table_load(struct table *t, const char *path, struct fault *fault)
{
	uint8_t *data;
	size_t len;
	enum rc rc = fs_read_file(path, FILE_SIZE_MAX, &data, &len, fault);

	if (rc != RC_OK)
		return rc;
	rc = import(t, bytes_of(data, len), fault);
	free(data);
	if (rc != RC_OK) {
		drop_all(t);
		t->seq = 0;
		t->filling = false;
	}
	return rc;
}
