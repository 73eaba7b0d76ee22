#include "server/fleet/expand.h"

#include <stdio.h>
#include <string.h>

/* Relays asked for one target: beyond, no more ways are looked for. */
#define LOOKS_MAX 128

struct work {
	const struct expand *how;
	unsigned looks;
};

struct paths {
	struct path at[EXPAND_MAX];
	size_t count;
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

static void paths_to(
    struct work *w, const struct expand_given *given, struct paths *out);

/* The ways of the last relay, each with that relay behind it. */
static void add_ways_of(struct work *w, const struct expand_given *given,
    const char *relay, size_t room, struct paths *out)
{
	const struct expand_given above = w->how->given(w->how->arg, relay);
	struct paths ways = { .count = 0 };

	if (above.count == 0 || w->looks >= LOOKS_MAX)
		return;
	w->looks++;
	paths_to(w, &above, &ways);
	for (size_t i = 0; i < ways.count && out->count < room; i++) {
		struct path *path = &ways.at[i];

		/* Too long, or a circle. */
		if (path_append(path, relay) != RC_OK)
			continue;
		if (!is_given(given, path) && !has_path(out, path))
			out->at[out->count++] = *path;
	}
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

static void paths_to(
    struct work *w, const struct expand_given *given, struct paths *out)
{
	size_t count = given->count < EXPAND_MAX ? given->count : EXPAND_MAX;

	for (size_t i = 0; i < count; i++) {
		const struct path *path = &given->routes[i].path;

		if (stands_for_itself(w, given, i) && !has_path(out, path))
			out->at[out->count++] = *path;
		/* Those that were given and follow have a place each. */
		if (path->count > 0)
			add_ways_of(w, given, path->names[path->count - 1],
			    EXPAND_MAX - (count - i - 1), out);
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
	struct paths all = { .count = 0 };

	paths_to(&w, given, &all);
	for (size_t i = 0; i < all.count; i++) {
		out[i].path = all.at[i];
		(void)snprintf(out[i].endpoint, sizeof(out[i].endpoint), "%s",
		    endpoint_of(given, &all.at[i]));
	}
	return all.count;
}
