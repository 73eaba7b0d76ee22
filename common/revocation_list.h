/*
 * revocation_list.h - signed lists of revoked keys, as they travel and lie on
 * disks.
 *
 * A list is signed by the authority that it is about: `agents` signs the one
 * of relays and tentacles, `nodes` that of nodes.  Anyone may carry one;
 * everybody verifies it with the roots that it trusts, and keeps the one with
 * the highest number.  One thread at a time.
 */
#ifndef COMMON_REVOCATION_LIST_H
#define COMMON_REVOCATION_LIST_H

#include "common/ca.h"
#include "common/revocations.h"
#include "common/trust.h"
#include "proto/message_upkeep.h"

/*
 * Append the signed list to out.  list->number is not 0.  RC_STATE: this
 * authority does not sign that list; RC_LIMIT: over REVOCATIONS_MAX; RC_NOMEM.
 */
MUST_CHECK enum rc revocation_list_sign(const struct ca *ca,
    enum revocation_kind kind, const struct revocation_list *list,
    int64_t made_s, struct packbuf *out);

struct revocation_list_read {
	enum revocation_kind kind;
	int64_t made_s;
	struct revocation_list list; /* hashes borrow from the input */
};

/*
 * Hostile input.  RC_DENIED: not signed by this cluster's authority for that
 * list; RC_PROTO; RC_NOMEM.  *fault says what is wrong.
 */
MUST_CHECK enum rc revocation_list_verify(struct trust *trust,
    struct bytes bytes, int64_t now_s, struct revocation_list_read *out,
    struct fault *fault);

/* The newest list of each kind that was verified. */
struct revocation_book {
	struct {
		uint64_t number;
		uint8_t *hashes; /* owned */
		size_t count;
	} held[REVOKED_COUNT];
};

struct revocation_take {
	struct bytes bytes; /* a signed list; hostile */
	int64_t now_s;
	bool *changed; /* set: it is newer than the one before */
};

void revocation_book_fini(struct revocation_book *book);
/*
 * Verify a list, and let trust refuse what it names from now on.  *kind is
 * its kind.  RC_STATE: it is older,
 * and nothing has changed; others as revocation_list_verify().
 */
MUST_CHECK enum rc revocation_book_take(struct revocation_book *book,
    struct trust *trust, const struct revocation_take *take,
    enum revocation_kind *kind, struct fault *fault);

#endif
