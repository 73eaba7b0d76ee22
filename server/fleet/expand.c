#include "server/fleet/expand.h"

#include <stdio.h>
#include <string.h>

/* Relays asked for one target: beyond, no more ways are looked for. */
#define LOOKS_MAX 128

/* A way that is longer than a path may be is none. */
#define LEVELS_MAX (PATH_NAMES_MAX + 1)

struct paths {
	struct path at[EXPAND_MAX];
	size_t count;
};

/* All ways to one relay or, on the first level, to the target. */
struct level {
	struct expand_given given;
	size_t at; /* the route that is looked at */
	const char *relay;
	size_t room;
	struct paths out;
};

struct work {
	const struct expand *how;
	unsigned looks;
	size_t depth;
	struct level levels[LEVELS_MAX];
};

static bool same_path(const struct path *a, const struct path *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->names[i], b->names[i]) != 0)
			return false;
	}
	return true;
}

static bool has_path(const struct paths *all, const struct path *path)
{
	for (size_t i = 0; i < all->count; i++) {
		if (same_path(&all->at[i], path))
			return true;
	}
	return false;
}

static bool is_given(const struct expand_given *given, const struct path *path)
{
	for (size_t i = 0; i < given->count; i++) {
		if (same_path(&given->routes[i].path, path))
			return true;
	}
	return false;
}

static bool has_direct(const struct expand_given *given)
{
	for (size_t i = 0; i < given->count; i++) {
		if (given->routes[i].path.count == 0)
			return true;
	}
	return false;
}

/* One relay alone says "by that relay, however it is reached". */
static bool stands_for_itself(
    const struct work *w, const struct expand_given *given, size_t i)
{
	const struct path *path = &given->routes[i].path;
	struct expand_given above;

	if (path->count != 1)
		return true;
	above = w->how->given(w->how->arg, path->names[0]);
	return above.count == 0 || has_direct(&above);
}

/* The ways of the last relay, each with that relay behind it. */
static void take_ways(struct level *to, const struct paths *ways)
{
	for (size_t i = 0; i < ways->count && to->out.count < to->room; i++) {
		struct path path = ways->at[i];

		/* Too long, or a circle. */
		if (path_append(&path, to->relay) != RC_OK)
			continue;
		if (!is_given(&to->given, &path) && !has_path(&to->out, &path))
			to->out.at[to->out.count++] = path;
	}
}

static void begin_level(struct work *w, const struct expand_given *given)
{
	struct level *level = &w->levels[w->depth++];

	*level = (struct level){ .given = *given };
	if (level->given.count > EXPAND_MAX)
		level->given.count = EXPAND_MAX;
}

/*
 * One of the given routes, and then, a level further, the ways to its last
 * relay; false: there are none, or no more are looked for.
 */
static bool take_route(struct work *w, struct level *level)
{
	const struct path *path = &level->given.routes[level->at].path;
	struct expand_given above;

	if (stands_for_itself(w, &level->given, level->at) &&
	    !has_path(&level->out, path))
		level->out.at[level->out.count++] = *path;
	if (path->count == 0 || w->looks >= LOOKS_MAX || w->depth >= LEVELS_MAX)
		return false;
	level->relay = path->names[path->count - 1];
	/* Those that were given and follow have a place each. */
	level->room = EXPAND_MAX - (level->given.count - level->at - 1);
	above = w->how->given(w->how->arg, level->relay);
	if (above.count == 0)
		return false;
	w->looks++;
	begin_level(w, &above);
	return true;
}

static void find_paths(struct work *w, const struct expand_given *given)
{
	begin_level(w, given);
	while (w->depth > 0) {
		struct level *level = &w->levels[w->depth - 1];

		if (level->at < level->given.count) {
			if (!take_route(w, level))
				level->at++;
			continue;
		}
		w->depth--;
		if (w->depth > 0) {
			take_ways(level - 1, &level->out);
			(level - 1)->at++;
		}
	}
}

/* Who dials on the last hop is the same for all ways by that hop. */
static const char *endpoint_of(
    const struct expand_given *given, const struct path *path)
{
	for (size_t i = 0; i < given->count; i++) {
		if (same_path(&given->routes[i].path, path))
			return given->routes[i].endpoint;
	}
	for (size_t i = 0; i < given->count; i++) {
		const struct path *other = &given->routes[i].path;

		if (other->count > 0 && path->count > 0 &&
		    strcmp(other->names[other->count - 1],
			path->names[path->count - 1]) == 0)
			return given->routes[i].endpoint;
	}
	return "";
}

size_t expand_routes(const struct expand *how, const struct expand_given *given,
    struct fleet_route out[EXPAND_MAX])
{
	struct work w = { .how = how };
	const struct paths *all = &w.levels[0].out;

	find_paths(&w, given);
	for (size_t i = 0; i < all->count; i++) {
		out[i].path = all->at[i];
		(void)snprintf(out[i].endpoint, sizeof(out[i].endpoint), "%s",
		    endpoint_of(given, &all->at[i]));
	}
	return all->count;
}
