#include "server/fleet/fleet_private.h"

#include <stdlib.h>

/* Keeps a page well under TABLE_PAGE_BYTES_MAX, whatever is in it. */
#define PAGE_ENTRIES   100
#define PAGE_BYTES_MAX TABLE_PAGE_BYTES_MAX

struct encoded {
	STAILQ_ENTRY(encoded) all;
	struct packbuf pack;
};

struct pages {
	STAILQ_HEAD(, encoded) all;
};

/* The page that is being filled. */
struct filling {
	const struct pages_want *want;
	struct pages *pages;
	struct msg_table_page page;
	struct msg_table_entry entries[PAGE_ENTRIES];
	struct slice_entry room[PAGE_ENTRIES]; /* what entries point to */
};

void pages_free(struct pages *p)
{
	struct encoded *e;

	if (p == NULL)
		return;
	while ((e = STAILQ_FIRST(&p->all)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->all, all);
		packbuf_fini(&e->pack);
		free(e);
	}
	free(p);
}

struct bytes pages_next(const struct pages *p)
{
	const struct encoded *e = STAILQ_FIRST(&p->all);

	return e != NULL ? packbuf_bytes(&e->pack) : bytes_of(NULL, 0);
}

void pages_sent(struct pages *p)
{
	struct encoded *e = STAILQ_FIRST(&p->all);

	if (e == NULL)
		return;
	STAILQ_REMOVE_HEAD(&p->all, all);
	packbuf_fini(&e->pack);
	free(e);
}

static MUST_CHECK enum rc finish_page(struct filling *f, bool last)
{
	struct encoded *e = calloc(1, sizeof(*e));
	enum rc rc;

	if (e == NULL)
		return RC_NOMEM;
	f->page.last = last;
	packbuf_init(&e->pack, PAGE_BYTES_MAX);
	rc = msg_table_page_encode(&f->page, &e->pack);
	if (rc != RC_OK) {
		packbuf_fini(&e->pack);
		free(e);
		return rc;
	}
	STAILQ_INSERT_TAIL(&f->pages->all, e, all);
	f->page.page++;
	f->page.entry_count = 0;
	return RC_OK;
}

/* Room for one entry; a full page is closed first, as more follows. */
static MUST_CHECK enum rc next_room(struct filling *f, struct slice_entry **out)
{
	enum rc rc = RC_OK;

	if (f->page.entry_count == PAGE_ENTRIES)
		rc = finish_page(f, false);
	if (rc == RC_OK)
		*out = &f->room[f->page.entry_count];
	return rc;
}

static void use_room(struct filling *f, const struct slice_entry *room)
{
	f->entries[f->page.entry_count++] = room->entry;
}

static MUST_CHECK enum rc add_target(
    struct filling *f, const struct station *t, bool also_gone)
{
	const struct slice_target target = {
		.text = t->text,
		.name = t->name,
		.seq = t->route_seq,
		.routes = t->routes,
		.route_count = t->route_total,
	};
	struct slice_entry *room;
	enum rc rc = next_room(f, &room);

	if (rc != RC_OK)
		return rc;
	if (slice_make(&target, f->want->relay, f->want->fleet->node, room) ||
	    also_gone)
		use_room(f, room);
	return RC_OK;
}

static MUST_CHECK enum rc add_gone(struct filling *f, const struct change *c)
{
	const struct slice_target target = {
		.text = c->text,
		.name = "",
		.seq = c->seq,
	};
	struct slice_entry *room;
	enum rc rc = next_room(f, &room);

	if (rc == RC_OK &&
	    !slice_make(&target, f->want->relay, f->want->fleet->node, room))
		use_room(f, room);
	return rc;
}

static MUST_CHECK enum rc add_all(struct filling *f)
{
	const struct station *t;
	enum rc rc = RC_OK;

	TAILQ_FOREACH(t, &f->want->fleet->stations, all)
	{
		if (rc == RC_OK)
			rc = add_target(f, t, false);
	}
	return rc;
}

static MUST_CHECK enum rc add_changes(struct filling *f)
{
	const struct change *c =
	    TAILQ_LAST(&f->want->fleet->changes, change_list);
	const struct change *before;
	enum rc rc = RC_OK;

	while (c != NULL && c->mark > f->want->mark &&
	       (before = TAILQ_PREV(c, change_list, all)) != NULL)
		c = before;
	if (c != NULL && c->mark <= f->want->mark)
		c = TAILQ_NEXT(c, all);
	for (; c != NULL && rc == RC_OK; c = TAILQ_NEXT(c, all))
		rc = c->station != NULL ? add_target(f, c->station, true)
		                        : add_gone(f, c);
	return rc;
}

static bool is_newer(const struct pages_want *want, const struct change *c)
{
	uint64_t seq = c->station != NULL ? c->station->route_seq : c->seq;

	return seq > want->from_seq || (want->mark > 0 && c->mark > want->mark);
}

/* Once in a session: what marks this process has told it, or none. */
static MUST_CHECK enum rc add_newer(struct filling *f)
{
	const struct change *c;
	enum rc rc = RC_OK;

	TAILQ_FOREACH(c, &f->want->fleet->changes, all)
	{
		if (rc != RC_OK)
			break;
		if (!is_newer(f->want, c))
			continue;
		rc = c->station != NULL ? add_target(f, c->station, true)
		                        : add_gone(f, c);
	}
	return rc;
}

static MUST_CHECK enum rc add_wanted(struct filling *f)
{
	if (f->want->full)
		return add_all(f);
	return f->want->by_seq ? add_newer(f) : add_changes(f);
}

enum rc pages_make(const struct pages_want *want, struct pages **out)
{
	struct filling *f = calloc(1, sizeof(*f));
	struct pages *pages = calloc(1, sizeof(*pages));
	enum rc rc = RC_NOMEM;

	if (f == NULL || pages == NULL)
		goto out;
	STAILQ_INIT(&pages->all);
	f->want = want;
	f->pages = pages;
	f->page.incarnation = want->fleet->parts.incarnation;
	f->page.from_seq = want->full ? 0 : want->from_seq;
	f->page.seq = want->fleet->route_seq;
	f->page.entries = f->entries;
	rc = add_wanted(f);
	if (rc == RC_OK && !want->full && !want->by_seq &&
	    f->page.entry_count == 0 && STAILQ_EMPTY(&pages->all))
		rc = RC_NOTFOUND;
	if (rc == RC_OK)
		rc = finish_page(f, true);
	if (rc != RC_OK)
		goto out;
	*out = pages;
	pages = NULL;
out:
	if (pages != NULL && f != NULL)
		pages_free(pages);
	else
		free(pages);
	free(f);
	return rc;
}
