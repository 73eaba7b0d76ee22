#include "server/dispatch/pace.h"

#include "common/lookup.h"
#include "proto/name.h"

#include <stdio.h>
#include <stdlib.h>

#define TURNS 4

TAILQ_HEAD(item_list, pace_item);

struct pace_hop {
	struct lookup_item item; /* first; by name */
	char name[NAME_SIZE];
	TAILQ_ENTRY(pace_hop) ring;
	bool in_ring; /* somebody waits, and there is room for him */
	struct item_list waiting[PACE_CLASS_COUNT];
	uint32_t items, running;
	unsigned turn;
};

struct pace {
	struct pace_limits limits;
	struct lookup hops;
	TAILQ_HEAD(, pace_hop) ring;
	uint32_t running;
};

enum rc pace_new(const struct pace_limits *limits, struct pace **out)
{
	struct pace *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return RC_NOMEM;
	p->limits = *limits;
	TAILQ_INIT(&p->ring);
	if (lookup_init(&p->hops) != RC_OK) {
		free(p);
		return RC_NOMEM;
	}
	*out = p;
	return RC_OK;
}

void pace_free(struct pace *p)
{
	if (p == NULL)
		return;
	lookup_fini(&p->hops);
	free(p);
}

static struct pace_hop *get_hop(struct pace *p, const char *name)
{
	struct pace_hop *hop = (struct pace_hop *)lookup_find(&p->hops, name);

	if (hop != NULL)
		return hop;
	hop = calloc(1, sizeof(*hop));
	if (hop == NULL)
		return NULL;
	(void)snprintf(hop->name, sizeof(hop->name), "%s", name);
	for (unsigned i = 0; i < PACE_CLASS_COUNT; i++)
		TAILQ_INIT(&hop->waiting[i]);
	lookup_add(&p->hops, &hop->item, hop->name);
	return hop;
}

static bool is_waited_for(const struct pace_hop *hop)
{
	return !TAILQ_EMPTY(&hop->waiting[PACE_ASKED]) ||
	       !TAILQ_EMPTY(&hop->waiting[PACE_PLANNED]);
}

/* Into the ring, or out of it, as it is now. */
static void place(struct pace *p, struct pace_hop *hop)
{
	bool wanted = is_waited_for(hop) && hop->running < p->limits.per_hop;

	if (wanted && !hop->in_ring)
		TAILQ_INSERT_TAIL(&p->ring, hop, ring);
	else if (!wanted && hop->in_ring)
		TAILQ_REMOVE(&p->ring, hop, ring);
	hop->in_ring = wanted;
}

enum rc pace_enter(struct pace *p, struct pace_item *item, const char *name,
    enum pace_class class)
{
	struct pace_hop *hop = get_hop(p, name);

	if (hop == NULL)
		return RC_NOMEM;
	hop->items++;
	item->hop = hop;
	item->class = class;
	item->state = PACE_WAITING;
	TAILQ_INSERT_TAIL(&hop->waiting[class], item, next);
	place(p, hop);
	return RC_OK;
}

static struct pace_item *choose(struct pace_hop *hop)
{
	struct pace_item *asked = TAILQ_FIRST(&hop->waiting[PACE_ASKED]);
	struct pace_item *planned = TAILQ_FIRST(&hop->waiting[PACE_PLANNED]);

	if (asked == NULL || planned == NULL)
		return asked != NULL ? asked : planned;
	return ++hop->turn % TURNS == 0 ? planned : asked;
}

struct pace_item *pace_next(struct pace *p)
{
	struct pace_hop *hop = TAILQ_FIRST(&p->ring);
	struct pace_item *item;

	if (hop == NULL || p->running >= p->limits.total)
		return NULL;
	item = choose(hop);
	TAILQ_REMOVE(&hop->waiting[item->class], item, next);
	item->state = PACE_RUNNING;
	hop->running++;
	p->running++;
	/* The others first, before it is its turn again. */
	TAILQ_REMOVE(&p->ring, hop, ring);
	hop->in_ring = false;
	place(p, hop);
	return item;
}

void pace_leave(struct pace *p, struct pace_item *item)
{
	struct pace_hop *hop = item->hop;

	if (item->state == PACE_OUT)
		return;
	if (item->state == PACE_WAITING) {
		TAILQ_REMOVE(&hop->waiting[item->class], item, next);
	} else {
		hop->running--;
		p->running--;
	}
	item->state = PACE_OUT;
	item->hop = NULL;
	place(p, hop);
	if (--hop->items > 0)
		return;
	lookup_remove(&p->hops, &hop->item);
	free(hop);
}

uint32_t pace_running(const struct pace *p)
{
	return p->running;
}
