/*
 * rotation.h - let authorities be followed by new ones, step by step.
 *
 *     spreading: all learn of the new root          (kind root only)
 *     issuing:   certificates come from the new authorities
 *     done:      the old ones are retired
 *
 * State is one row and the files in DIR/ca/next that belong to it, so a server
 * that was killed anywhere goes on.  Everything here runs on the SQL thread, in
 * the transaction of its job; server/keys.c makes the node follow the row.
 */
#ifndef SERVER_CA_ROTATION_H
#define SERVER_CA_ROTATION_H

#include "common/wrap.h"
#include "proto/bytes.h"
#include "server/store/rotation.h"

struct rotation_order {
	const char *state; /* directory */
	const struct wrap_key *master;
	enum rotation_kind kind;
	struct bytes root_key; /* PEM; empty: DIR/ca/root.key */
	const char *who;
	uint64_t now_ms;
	/* One phase on, whoever is missing: they are noted as left out. */
	bool force;
};

/*
 * Begin a rotation; or, while one of this kind is under way, only force it.
 * RC_STATE: one of another kind is under way; RC_NOTFOUND: the root's key is
 * not there; others: *fault says why.
 */
MUST_CHECK enum rc rotation_order(
    struct db *db, const struct rotation_order *order, struct fault *fault);

/*
 * Go on when nobody is missing any more; to done only when the last one got
 * there settle_ms ago, so that links with the old certificates have been
 * replaced.  *moved: a phase has ended.
 */
MUST_CHECK enum rc rotation_tick(
    struct db *db, uint64_t now_ms, uint64_t settle_ms, bool *moved);

/* What members must show before the row's phase can end. */
struct rotation_goal rotation_goal(const struct store_rotation *r);
/* Who does not; nothing when the row is done or asks nothing of members. */
MUST_CHECK enum rc rotation_missing(struct db *db,
    const struct store_rotation *r, size_t limit, struct store_missing **rows,
    size_t *row_count, uint64_t *count);

#endif
