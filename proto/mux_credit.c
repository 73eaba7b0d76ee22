#include "proto/mux_internal.h"

/*
 * For each stream that we receive:
 *
 *     window = what the peer has (recv_credit)
 *            + what came and has not gone on (recv_held)
 *            + what can be granted again
 *
 * The header of a DATA frame costs credit, but has gone on as soon as it is
 * read.  Grants are made when half the window can be granted; when that
 * happens within two round trips of the last one, the window is what holds
 * the stream back, and it is doubled as the budget allows.
 *
 * But where it is our own processor that holds the stream back, a larger window
 * is only a longer queue in our kernel, with the peer's next health check
 * behind it.  So it grows no further than what goes on in four round trips, or
 * in some turns, as measured, and shrinks when it is twice that.
 */

#define RTT_MIN_US   1000 /* below it our own turns count for more */
#define MEASURE_US   4000
#define AHEAD_US     1000 /* some turns of a busy loop */
#define USEFUL_START (1u << 18)

/* Bulk must not take what deploys and health checks need. */
static uint64_t share_of(uint64_t budget, enum stream_class class)
{
	switch (class) {
	case CLASS_BULK:
		return budget / 2;
	case CLASS_DEPLOY:
		return budget / 4 * 3;
	case CLASS_CONTROL:
	case CLASS_HEALTH:
	case CLASS_COUNT:
		break;
	}
	return budget;
}

/* May so much more be granted, by this link and by all together? */
static bool fits(const struct mux *m, enum stream_class class, uint32_t more)
{
	const struct mux_budget *all = m->limits.shared_budget;

	return m->stats.recv_windows + more <=
	           share_of(m->recv_budget, class) &&
	       (all == NULL || all->used + more <= share_of(all->bytes, class));
}

static bool is_overdrawn(const struct mux *m)
{
	const struct mux_budget *all = m->limits.shared_budget;

	return m->stats.recv_windows > m->recv_budget ||
	       (all != NULL &&
		   (all->used > all->bytes || all->held > all->bytes));
}

static void set_window(struct mux *m, struct mux_stream *s, uint32_t window)
{
	m->stats.recv_windows += window;
	m->stats.recv_windows -= s->window;
	if (m->limits.shared_budget != NULL) {
		m->limits.shared_budget->used += window;
		m->limits.shared_budget->used -= s->window;
	}
	s->window = window;
}

void mux_credit_start(struct mux *m, struct mux_stream *s)
{
	s->window = MUX_INITIAL_CREDIT;
	s->recv_credit = MUX_INITIAL_CREDIT;
	s->useful = USEFUL_START;
	s->granted_us = s->measured_us = m->now_us;
}

void mux_credit_release(struct mux *m, struct mux_stream *s, size_t len)
{
	struct mux_budget *all = m->limits.shared_budget;
	uint32_t less = len < s->recv_held ? (uint32_t)len : s->recv_held;

	s->recv_held -= less;
	if (all == NULL)
		return;
	all->held -= less;
	if (all->held <= all->bytes)
		all->was_relieved = true;
}

void mux_credit_stop(struct mux *m, struct mux_stream *s)
{
	mux_credit_release(m, s, s->recv_held);
	set_window(m, s, MUX_INITIAL_CREDIT);
}

static uint32_t grantable(const struct mux_stream *s)
{
	uint64_t out = (uint64_t)s->recv_credit + s->recv_held;

	/* A window that was made smaller is overdrawn for a while. */
	return out >= s->window ? 0 : (uint32_t)(s->window - out);
}

bool mux_credit_charge(struct mux *m, struct mux_stream *s, uint32_t payload)
{
	uint32_t cost = payload + FRAME_HEADER_LEN;

	if (cost > s->recv_credit)
		return false;
	s->recv_credit -= cost;
	s->recv_held += payload;
	if (m->limits.shared_budget != NULL)
		m->limits.shared_budget->held += payload;
	return true;
}

void mux_credit_review(struct mux *m, struct mux_stream *s)
{
	/* Before ACCEPT nothing else may be said about a stream. */
	if (s->phase != PHASE_OPEN || s->remote != HALF_OPEN ||
	    s->credit.queued)
		return;
	if (grantable(s) >= s->window / 2)
		mux_control_push(m, &s->credit);
}

static void measure(struct mux *m, struct mux_stream *s)
{
	uint64_t elapsed = m->now_us - s->measured_us;
	uint64_t rtt_us = m->rtt_us, ahead_us, useful;

	s->gone += grantable(s);
	if (elapsed < MEASURE_US || elapsed < 2 * rtt_us)
		return;
	ahead_us = 4 * rtt_us > AHEAD_US ? 4 * rtt_us : AHEAD_US;
	useful = s->gone * ahead_us / elapsed;
	if (useful < USEFUL_START)
		useful = USEFUL_START;
	s->useful = useful < m->limits.max_window ? (uint32_t)useful
	                                          : m->limits.max_window;
	s->gone = 0;
	s->measured_us = m->now_us;
}

static void resize(struct mux *m, struct mux_stream *s)
{
	uint64_t rtt_us = m->rtt_us < RTT_MIN_US ? RTT_MIN_US : m->rtt_us;
	uint32_t more = s->window;

	if (is_overdrawn(m)) {
		uint32_t half = s->window / 2;

		set_window(m, s,
		    half > MUX_INITIAL_CREDIT ? half : MUX_INITIAL_CREDIT);
		return;
	}
	if (s->window / 2 > s->useful)
		set_window(m, s, s->window / 2);
	if (m->now_us - s->granted_us >= 2 * rtt_us || s->window >= s->useful)
		return;
	if (more > s->useful - s->window)
		more = s->useful - s->window;
	if (fits(m, s->class, more))
		set_window(m, s, s->window + more);
}

uint32_t mux_credit_grant(struct mux *m, struct mux_stream *s)
{
	uint32_t grant;

	if (s->remote != HALF_OPEN)
		return 0;
	measure(m, s);
	resize(m, s);
	grant = grantable(s);
	s->recv_credit += grant;
	s->granted_us = m->now_us;
	return grant;
}

enum rc mux_credit_add_window(
    struct mux *m, struct mux_stream *s, uint32_t credit)
{
	if (credit == 0)
		return RC_OK;
	if (credit > m->limits.max_window - s->window ||
	    !fits(m, s->class, credit))
		return RC_LIMIT;
	set_window(m, s, s->window + credit);
	s->recv_credit += credit;
	return RC_OK;
}
