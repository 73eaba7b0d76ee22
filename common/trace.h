/*
 * trace.h - streams of kind trace (proto/message_trace.h): the one who asks,
 * and the one who answers.
 *
 *     node:   tracer ---> answer :relay: tracer ---> answer :tentacle
 *
 * A relay answers for itself and passes on whole messages that come from
 * beyond, unread.  Loop's thread.
 */
#ifndef COMMON_TRACE_H
#define COMMON_TRACE_H

#include "common/link.h"
#include "proto/message_trace.h"

/* --- Asking --------------------------------------------------------------- */

struct tracer; /* opaque; common/trace.c */

/* No callback comes before tracer_open() has returned; hop() must not free the
 * tracer. */
struct tracer_user {
	/* One whole message, as it came. */
	void (*hop)(void *arg, struct bytes message);
	/* The last: code NONE when the peer said all that it had to say.  The
	 * tracer is gone.  at: who noticed. */
	void (*end)(void *arg, const struct fault *fault);
	void *arg;
};

/*
 * Open a stream of kind trace on the link and wait for answers as long as
 * open->deadline_ms says; then it ends with REASON_DEADLINE, and so it does
 * with REASON_PROTOCOL after more than TRACE_HOPS_MAX messages.  label is what
 * people call the next hop, for these faults.  RC_STATE: the link is going;
 * RC_LIMIT: too many streams; RC_NOMEM.
 */
MUST_CHECK enum rc tracer_open(struct link *link, const struct msg_open *open,
    const char *label, const struct tracer_user *user, struct tracer **out);
/* Ask no more; NULL is fine. */
void tracer_free(struct tracer *t);

/* --- Answering ------------------------------------------------------------ */

struct answer; /* opaque; common/trace.c */

/* The asker, or its link, is gone; the answer is, too. */
typedef void (*answer_gone_fn)(void *arg);

/*
 * Accept a stream of kind trace.  On failure it was reset.  RC_NOMEM,
 * RC_STATE.
 */
MUST_CHECK enum rc answer_new(struct link *link, uint32_t stream,
    answer_gone_fn gone, void *arg, struct answer **out);
/* Say one hop; what cannot be sent is left out. */
void answer_say(struct answer *a, const struct msg_hop *hop);
/* The same of a message that is encoded already. */
void answer_pass(struct answer *a, struct bytes message);
/* That was all: it frees itself once it has been sent; gone() is not called. */
void answer_end(struct answer *a);

/* --- What a hop says of a link ---------------------------------------------
 */

/* All but `to`; version borrows from the link. */
void hop_link_fill(struct link *link, struct msg_hop_link *out);

#endif
