/*
 * dial.h - keep one link to a peer: resolve, connect, and again after a while.
 *
 * A dialler tries its endpoints in turn, each address of each.  Where the net's
 * settings name a proxy, what is resolved is the proxy, and each of its
 * addresses is asked for the endpoint (common/proxy.h).  Between rounds
 * it waits a random time up to a bound that doubles from backoff_min_ms to
 * backoff_max_ms (full jitter), so that a fleet does not return as a herd, and
 * only to a quarter of it while nobody answers; a link that was up for longer
 * than the bound resets it.  A peer that leaves may tell by when all shall have
 * tried again.
 *
 * After a renewal at either end it dials once more while its link is up; when
 * the newer one is up too, the old one takes no new streams (link_drain()).
 */
#ifndef COMMON_DIAL_H
#define COMMON_DIAL_H

#include "common/link.h"
#include "proto/name.h"

struct dialler;

#define DIAL_ENDPOINTS_MAX 16

typedef void (*dial_fn)(void *arg, struct dialler *d);

/* Copied. */
struct dial_spec {
	const char *label; /* what people call the peer: "web-03" */
	struct tls_expect expect;
	const struct endpoint *endpoints;
	size_t count; /* 1..DIAL_ENDPOINTS_MAX */
	/* Called after each failure and after a link went down; may be NULL.
	 * Must not free the dialler. */
	dial_fn changed;
	void *arg;
};

/*
 * Begin to dial, from the next turn of the loop on.  The links' events go to
 * the net's owner as those of any link.  RC_LIMIT, RC_NOMEM.
 */
MUST_CHECK enum rc dial_new(
    struct link_net *net, const struct dial_spec *spec, struct dialler **out);
/* Closes its link.  NULL is fine. */
void dial_free(struct dialler *d, const struct fault *fault);

/* Let go of its link, which lives on by itself, and rest; NULL: it has none
 * that is up. */
struct link *dial_take_link(struct dialler *d);

/* The link when there is one, up or not yet. */
struct link *dial_link(const struct dialler *d);
/* Why there is no link: of the last round, what came nearest to a link; code
 * NONE before the first. */
const struct fault *dial_fault(const struct dialler *d);
/* Do not wait for the back-off. */
void dial_now(struct dialler *d);
/* Who refused us last asked us to come again after so long; 0: nobody did. */
uint32_t dial_told_ms(const struct dialler *d);
/* How often it failed since it last was up. */
unsigned dial_failures(const struct dialler *d);

#endif
