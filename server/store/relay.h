/*
 * relay.h - relays, where they stand, and the route table's numbers.
 *
 * SQL thread only.
 */
#ifndef SERVER_STORE_RELAY_H
#define SERVER_STORE_RELAY_H

#include "server/store/machine.h"

struct store_relay {
	char name[STORE_NAME_SIZE];
	/* As for a machine: ways to it, best first, and who dials on the last
	 * hop.  A direct one is reached by a link of the server's own. */
	struct store_route routes[STORE_ROUTES_MAX];
	size_t route_count;
	bool enabled;
	bool draining;
	enum store_presence presence;
	uint64_t presence_at_ms;
	char presence_text[STORE_TEXT_SIZE];
	uint64_t last_seen_ms;
	char version[STORE_NAME_SIZE];
	/* Where those that it serves find it: told to new tentacles; or "". */
	char listen[STORE_ENDPOINT_SIZE];
	char hold[STORE_NAME_SIZE];      /* "", "clone": carries nothing */
	uint8_t spki[STORE_SHA256_SIZE]; /* zeros: not enrolled */
	uint64_t route_seq;
	uint64_t created_ms;
};

MUST_CHECK enum rc store_relay_get(struct db *db, const char *name,
    struct store_relay *out, struct fault *fault);
/* Sorted by name; free(*rows). */
MUST_CHECK enum rc store_relay_list(struct db *db, const struct page *page,
    struct store_relay **rows, size_t *count);
/* Inserts name, routes, enabled, version, listen, spki, created_ms; sets
 * r->route_seq. */
MUST_CHECK enum rc store_relay_create(
    struct db *db, struct store_relay *r, struct fault *fault);
/* RC_STATE: routes still lead through it; the fault names one. */
MUST_CHECK enum rc store_relay_delete(
    struct db *db, const char *name, struct fault *fault);
/*
 * Replaces all routes.  RC_STATE: this would make a cycle, RC_NOTFOUND: a name
 * in a path is no relay.  *seq is the relay's new number; whatever is reached
 * through it gets one above.
 */
MUST_CHECK enum rc store_relay_set_routes(struct db *db,
    const struct store_relay *r, uint64_t *seq, struct fault *fault);
MUST_CHECK enum rc store_relay_set_flags(struct db *db, const char *name,
    bool enabled, bool draining, struct fault *fault);
/* Where those behind it find it; may be "". */
MUST_CHECK enum rc store_relay_set_listen(
    struct db *db, const char *name, const char *listen, struct fault *fault);
MUST_CHECK enum rc store_relay_set_presence(struct db *db, const char *name,
    enum store_presence presence, const char *text, uint64_t now_ms);
MUST_CHECK enum rc store_relay_set_version(
    struct db *db, const char *name, const char *version);
MUST_CHECK enum rc store_relay_set_spki(
    struct db *db, const char *name, const uint8_t spki[STORE_SHA256_SIZE]);

/* A target that left the route table at seq. */
struct store_gone {
	char target[STORE_NAME_SIZE + 8]; /* "machine/<id>", "relay/<name>" */
	uint64_t seq;
};
/* The newest number that any target has. */
MUST_CHECK enum rc store_route_seq(struct db *db, uint64_t *out);
/* Those with seq > after, by seq, at most limit; free(*rows). */
MUST_CHECK enum rc store_route_gone(struct db *db, uint64_t after,
    uint32_t limit, struct store_gone **rows, size_t *count);
/* The same of those that are there and whose number is above it. */
MUST_CHECK enum rc store_route_changed(struct db *db, uint64_t after,
    uint32_t limit, struct store_gone **rows, size_t *count);
/*
 * Others know numbers up to seq, and this database does not: it was set back.
 * From now on every target has a number above it.  Nothing when it has.
 */
MUST_CHECK enum rc store_route_raise(struct db *db, uint64_t seq);

#endif
