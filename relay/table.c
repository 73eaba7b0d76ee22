#include "relay/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TAILQ_HEAD(entry_list, table_entry);

#define SEQ_NONE 0 /* real numbers begin at 1 */

struct table {
	struct lookup lookup;    /* by text */
	struct entry_list all;   /* in the order of their news */
	struct entry_list fresh; /* not taken yet */
	uint64_t news;           /* of the newest */
	struct msg_incarnation incarnation;
	uint64_t seq;
	uint64_t round; /* one more with each full table */
	/* While the pages of one set come in. */
	bool open;
	bool filling; /* a full table */
	uint32_t next_page;
	uint64_t next_seq;
	table_gone_fn gone;
	void *gone_arg;
};

enum rc table_new(struct table **out)
{
	struct table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return RC_NOMEM;
	TAILQ_INIT(&t->all);
	TAILQ_INIT(&t->fresh);
	if (lookup_init(&t->lookup) != RC_OK) {
		free(t);
		return RC_NOMEM;
	}
	*out = t;
	return RC_OK;
}

static void drop(struct table *t, struct table_entry *e)
{
	if (t->gone != NULL)
		t->gone(t->gone_arg, e);
	if (e->fresh)
		TAILQ_REMOVE(&t->fresh, e, fresh_next);
	TAILQ_REMOVE(&t->all, e, all);
	lookup_remove(&t->lookup, &e->item);
	free(e->from);
	free(e->also);
	free(e);
}

void table_clear(struct table *t)
{
	struct table_entry *e;

	while ((e = TAILQ_FIRST(&t->all)) != NULL)
		drop(t, e);
	t->seq = SEQ_NONE;
	t->open = false;
}

void table_free(struct table *t)
{
	if (t == NULL)
		return;
	t->gone = NULL;
	table_clear(t);
	lookup_fini(&t->lookup);
	free(t);
}

uint64_t table_seq(const struct table *t)
{
	return t->seq;
}

uint64_t table_life(const struct table *t)
{
	return t->incarnation.secs;
}

size_t table_count(const struct table *t)
{
	return lookup_count(&t->lookup);
}

static struct table_entry *find(const struct table *t, const char *text)
{
	return (struct table_entry *)lookup_find(&t->lookup, text);
}

struct table_entry *table_find(
    const struct table *t, const struct target *target)
{
	char text[TARGET_SIZE];

	target_format(target, text);
	return find(t, text);
}

void table_on_gone(struct table *t, table_gone_fn fn, void *arg)
{
	t->gone = fn;
	t->gone_arg = arg;
}

/* --- News ------------------------------------------------------------------
 */

void table_touch(struct table *t, struct table_entry *e)
{
	TAILQ_REMOVE(&t->all, e, all);
	TAILQ_INSERT_TAIL(&t->all, e, all);
	e->news = ++t->news;
}

/* From the newest back: there is most often little to tell. */
struct table_entry *table_news(const struct table *t, uint64_t after)
{
	struct table_entry *e = TAILQ_LAST(&t->all, entry_list);
	struct table_entry *found = NULL;

	if (after == 0)
		return TAILQ_FIRST(&t->all);
	while (e != NULL && e->news > after) {
		found = e;
		e = TAILQ_PREV(e, entry_list, all);
	}
	return found;
}

struct table_entry *table_first(const struct table *t)
{
	return TAILQ_FIRST(&t->all);
}

struct table_entry *table_next(const struct table_entry *e)
{
	return TAILQ_NEXT(e, all);
}

static void freshen(struct table *t, struct table_entry *e)
{
	table_touch(t, e);
	if (!e->fresh)
		TAILQ_INSERT_TAIL(&t->fresh, e, fresh_next);
	e->fresh = true;
}

struct table_entry *table_take_fresh(struct table *t)
{
	struct table_entry *e = TAILQ_FIRST(&t->fresh);

	if (e != NULL) {
		TAILQ_REMOVE(&t->fresh, e, fresh_next);
		e->fresh = false;
	}
	return e;
}

/* --- Entries ---------------------------------------------------------------
 */

/* What a message says of the target, its lists borrowed; nothing that is the
 * table's own. */
static MUST_CHECK enum rc read_entry(const struct msg_table_entry *m,
    struct table_entry *out, struct fault *fault)
{
	enum rc rc;

	*out = (struct table_entry){ .seq = m->seq, .how = m->how };
	if (m->from_count > TABLE_FROM_MAX || m->also_count > TABLE_ALSO_MAX)
		return RC_LIMIT;
	rc = target_parse(m->target, &out->target, fault);
	if (rc == RC_OK && m->how == ROUTE_DIAL)
		rc = endpoint_parse(m->endpoint, 0, &out->endpoint, fault);
	if (rc != RC_OK)
		return rc;
	(void)snprintf(out->text, sizeof(out->text), "%s", m->target);
	(void)snprintf(out->name, sizeof(out->name), "%s",
	    m->name[0] != '\0' ? m->name : out->target.name);
	(void)snprintf(out->via, sizeof(out->via), "%s", m->via);
	out->from = m->from;
	out->from_count = m->from_count;
	out->also = m->also;
	out->also_count = m->also_count;
	return RC_OK;
}

static bool same_list(const struct msg_neighbour *a, size_t a_count,
    const struct msg_neighbour *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++) {
		if (a[i].role != b[i].role || strcmp(a[i].name, b[i].name) != 0)
			return false;
	}
	return true;
}

static bool same_lists(const struct table_entry *a, const struct table_entry *b)
{
	return same_list(a->from, a->from_count, b->from, b->from_count) &&
	       same_list(a->also, a->also_count, b->also, b->also_count);
}

static bool leads_alike(
    const struct table_entry *a, const struct table_entry *b)
{
	return a->how == b->how && a->endpoint.port == b->endpoint.port &&
	       strcmp(a->endpoint.host, b->endpoint.host) == 0 &&
	       strcmp(a->via, b->via) == 0 && strcmp(a->name, b->name) == 0;
}

/* NULL for none. */
static MUST_CHECK enum rc copy_list(
    const struct msg_neighbour *list, size_t count, struct msg_neighbour **out)
{
	*out = NULL;
	if (count == 0)
		return RC_OK;
	*out = malloc(count * sizeof(*list));
	if (*out == NULL)
		return RC_NOMEM;
	memcpy(*out, list, count * sizeof(*list));
	return RC_OK;
}

/* Nothing is changed without memory. */
static MUST_CHECK enum rc take_lists(
    struct table_entry *e, const struct table_entry *said)
{
	struct msg_neighbour *from, *also;

	if (copy_list(said->from, said->from_count, &from) != RC_OK)
		return RC_NOMEM;
	if (copy_list(said->also, said->also_count, &also) != RC_OK) {
		free(from);
		return RC_NOMEM;
	}
	free(e->from);
	free(e->also);
	e->from = from;
	e->from_count = said->from_count;
	e->also = also;
	e->also_count = said->also_count;
	return RC_OK;
}

static MUST_CHECK enum rc take(
    struct table_entry *e, const struct table_entry *said)
{
	enum rc rc = take_lists(e, said);

	if (rc != RC_OK)
		return rc;
	e->how = said->how;
	e->endpoint = said->endpoint;
	memcpy(e->via, said->via, sizeof(e->via));
	memcpy(e->name, said->name, sizeof(e->name));
	return RC_OK;
}

static MUST_CHECK enum rc add(struct table *t, const struct table_entry *said)
{
	struct table_entry *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return RC_NOMEM;
	*e = *said;
	e->from = e->also = NULL;
	if (take_lists(e, said) != RC_OK) {
		free(e);
		return RC_NOMEM;
	}
	e->round = t->round;
	TAILQ_INSERT_TAIL(&t->all, e, all);
	lookup_add(&t->lookup, &e->item, e->text);
	freshen(t, e);
	return RC_OK;
}

static MUST_CHECK enum rc apply_entry(
    struct table *t, const struct msg_table_entry *m, struct fault *fault)
{
	struct table_entry *e = find(t, m->target);
	struct table_entry said;
	enum rc rc;

	if (m->gone) {
		if (e != NULL && e->seq <= m->seq)
			drop(t, e);
		return RC_OK;
	}
	if (e != NULL)
		e->round = t->round;
	if (e != NULL && e->seq > m->seq)
		return RC_OK;
	rc = read_entry(m, &said, fault);
	if (rc != RC_OK)
		return rc;
	if (e == NULL)
		return add(t, &said);
	if (!leads_alike(e, &said) || !same_lists(e, &said)) {
		rc = take(e, &said);
		if (rc != RC_OK)
			return rc;
		freshen(t, e);
	}
	e->seq = m->seq;
	return RC_OK;
}

/* --- Pages -----------------------------------------------------------------
 */

static bool same_incarnation(
    const struct msg_incarnation *a, const struct msg_incarnation *b)
{
	return a->secs == b->secs && strcmp(a->random, b->random) == 0;
}

uint64_t table_seq_of(const struct table *t, const struct msg_incarnation *life)
{
	return same_incarnation(&t->incarnation, life) ? t->seq : SEQ_NONE;
}

/* What a full table has not named is gone. */
static void drop_unnamed(struct table *t)
{
	struct table_entry *e, *next;

	for (e = TAILQ_FIRST(&t->all); e != NULL; e = next) {
		next = TAILQ_NEXT(e, all);
		if (e->round != t->round)
			drop(t, e);
	}
}

/* Another life of the database: its numbers say nothing about those before.
 * Until it names them, targets are reached as they were. */
static void begin_life(struct table *t, const struct msg_incarnation *life)
{
	struct table_entry *e;

	TAILQ_FOREACH(e, &t->all, all) e->seq = SEQ_NONE;
	t->seq = SEQ_NONE;
	t->incarnation = *life;
}

/* Of a database that was replaced: a copy of it, or one played again. */
static bool is_past(const struct table *t, const struct msg_incarnation *life)
{
	const struct msg_incarnation *known = &t->incarnation;

	return life->secs < known->secs ||
	       (life->secs == known->secs && known->secs > 0 &&
		   !same_incarnation(life, known));
}

static bool begins(struct table *t, const struct msg_table_page *page)
{
	bool same = same_incarnation(&page->incarnation, &t->incarnation);

	t->open = false;
	if (is_past(t, &page->incarnation))
		return false;
	if (page->from_seq > 0 && (!same || page->from_seq > t->seq))
		return false;
	if (same && page->seq < t->seq)
		return false;
	if (!same)
		begin_life(t, &page->incarnation);
	t->open = true;
	t->filling = page->from_seq == 0;
	t->next_page = 0;
	t->next_seq = page->seq;
	if (t->filling)
		t->round++;
	return true;
}

static bool goes_on(const struct table *t, const struct msg_table_page *page)
{
	return t->open && page->page == t->next_page &&
	       page->seq == t->next_seq &&
	       (page->from_seq == 0) == t->filling &&
	       same_incarnation(&page->incarnation, &t->incarnation);
}

static void explain(const struct table *t, const struct msg_table_page *page,
    struct fault *fault)
{
	if (is_past(t, &page->incarnation))
		fault_set(fault, REASON_SUPERSEDED, "",
		    "a table of the database of %llu, which that of %llu has "
		    "replaced",
		    (unsigned long long)page->incarnation.secs,
		    (unsigned long long)t->incarnation.secs);
	else
		fault_set(fault, REASON_STALE_ROUTE, "",
		    "table page %u of %llu, from %llu, does not follow %llu",
		    page->page, (unsigned long long)page->seq,
		    (unsigned long long)page->from_seq,
		    (unsigned long long)t->seq);
}

enum rc table_apply(struct table *t, const struct msg_table_page *page,
    bool *changed, struct fault *fault)
{
	enum rc rc = RC_OK;

	*changed = false;
	if (!(page->page == 0 ? begins(t, page) : goes_on(t, page))) {
		t->open = false;
		explain(t, page, fault);
		return RC_STATE;
	}
	for (size_t i = 0; i < page->entry_count && rc == RC_OK; i++)
		rc = apply_entry(t, &page->entries[i], fault);
	if (rc != RC_OK) {
		t->open = false;
		return rc;
	}
	t->next_page++;
	if (!page->last)
		return RC_OK;
	if (t->filling)
		drop_unnamed(t);
	t->open = false;
	t->seq = page->seq;
	*changed = true;
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

bool table_leads_by(const struct table_entry *entry, const char *relay)
{
	if (entry->how == ROUTE_VIA && strcmp(entry->via, relay) == 0)
		return true;
	for (size_t i = 0; i < entry->also_count; i++) {
		if (strcmp(entry->also[i].name, relay) == 0)
			return true;
	}
	return false;
}

/* --- As pages --------------------------------------------------------------
 */

#define PAGE_ENTRIES 100

/* Lists are shared: an encoder only reads them. */
static void export_entry(struct table_entry *e, struct msg_table_entry *m)
{
	*m = (struct msg_table_entry){
		.seq = e->seq,
		.how = e->how,
		.from = e->from,
		.from_count = e->from_count,
		.also = e->also,
		.also_count = e->also_count,
	};
	memcpy(m->target, e->text, sizeof(m->target));
	memcpy(m->name, e->name, sizeof(m->name));
	memcpy(m->via, e->via, sizeof(m->via));
	if (e->how == ROUTE_DIAL)
		endpoint_format(&e->endpoint, m->endpoint);
}

enum rc table_export_page(
    const struct table *t, struct table_export *x, struct packbuf *out)
{
	struct msg_table_entry entries[PAGE_ENTRIES];
	struct msg_table_page page = {
		.incarnation = t->incarnation,
		.seq = t->seq,
		.page = x->page,
		.entries = entries,
	};
	struct table_entry *e = x->page == 0 ? table_first(t) : x->next;

	while (e != NULL && page.entry_count < PAGE_ENTRIES) {
		export_entry(e, &entries[page.entry_count++]);
		e = table_next(e);
	}
	page.last = x->done = e == NULL;
	x->next = e;
	x->page++;
	return msg_table_page_encode(&page, out);
}
