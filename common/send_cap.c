#include "common/send_cap.h"

#include "proto/frame.h"

#define LOOK_US       500 /* the kernel's figures are not newer than that */
#define WINDOW_MIN_US 10000
#define SLACK_US      500
#define SLACK_MAX_US  4000
#define FAR_US        2000
#define SPREAD_US     4000
#define FRAME_US      10000
#define FRAME_MIN     1024
#define LIMIT_MIN     ((size_t)8 * 1024)
#define LIMIT_START   ((size_t)64 * 1024)
#define LIMIT_MAX     ((size_t)8 * 1024 * 1024)
#define WRITE_MAX     ((size_t)4 * FRAME_LEN_MAX)
#define WAIT_MIN_US   100
#define WAIT_MAX_US   5000
#define WAIT_START_US 250 /* the rate is not known */

/* k, in quarters. */
#define K_STEADY        5
#define K_GROWING       8
#define GROWING_WINDOWS 2u

#define HIGH_WINDOWS 8    /* so many are no accident */
#define LONG_US      2000 /* a path whose round trips count, not our turns */
/* The first two still see what was under way before. */
#define TRIAL_WINDOWS     (2 + SEND_CAP_RECENT)
#define MORE_PAUSE_US     1000000
#define MORE_PAUSE_MAX_US 64000000
#define LEAST_EVERY_US    10000000

void send_cap_init(struct send_cap *c)
{
	*c = (struct send_cap){ .limit = LIMIT_START,
		.frame = FRAME_LEN_MAX,
		.slack_us = SLACK_US,
		.more_pause_us = MORE_PAUSE_US };
}

bool send_cap_is_due(const struct send_cap *c, uint64_t now_us)
{
	return now_us - c->looked_us >= LOOK_US;
}

/* Round trips differ; by how much does not depend on how long they are. */
static uint64_t spread_us(const struct send_cap *c)
{
	return c->base_us < SPREAD_US ? c->base_us : SPREAD_US;
}

/* The round trip that the limit aims at. */
static uint64_t planned_us(const struct send_cap *c)
{
	unsigned k = c->growing > 0 ? K_GROWING : K_STEADY;
	uint64_t more = (uint64_t)c->base_us * (k - 4) / 4;

	if (more < spread_us(c))
		more = spread_us(c);
	return c->base_us + more + c->slack_us;
}

static void set_limit(struct send_cap *c)
{
	uint64_t frame = c->rate * FRAME_US / 1000000, limit;

	if (frame < FRAME_MIN)
		frame = FRAME_MIN;
	c->frame = frame < FRAME_LEN_MAX ? (uint32_t)frame : FRAME_LEN_MAX;
	limit = c->rate * planned_us(c) / 1000000 + 2ull * c->frame;
	if (limit < LIMIT_MIN)
		limit = LIMIT_MIN;
	c->limit = limit < LIMIT_MAX ? (size_t)limit : LIMIT_MAX;
}

/* Far longer under way than the limit can explain? */
static bool is_far(const struct send_cap *c, const struct send_sample *s)
{
	return s->srtt_us > 2 * planned_us(c) + FAR_US;
}

/*
 * Is it perhaps the limit that holds us back?  The round trip is then what the
 * limit makes of it, as it also is when our own queue fills it: only a trial
 * tells.
 */
static bool may_hold_back(const struct send_cap *c, const struct send_sample *s)
{
	return c->base_us >= LONG_US && c->growing == 0 &&
	       s->srtt_us * 10ull >= planned_us(c) * 9;
}

/* --- Another base --------------------------------------------------------- */

static void begin_trial(
    struct send_cap *c, enum send_cap_state state, uint32_t base_us)
{
	c->state = state;
	c->base_before = c->base_us;
	c->rate_before = c->rate;
	c->base_us = base_us;
	c->left = TRIAL_WINDOWS;
	c->high = 0;
}

static void end_trial(struct send_cap *c, uint64_t now_us)
{
	bool more = c->state == SEND_CAP_TRYING_MORE;
	/* 10 % are more than noise. */
	bool keep = more ? c->rate * 10 >= c->rate_before * 11
	                 : c->rate * 10 >= c->rate_before * 9;

	if (!keep)
		c->base_us = c->base_before;
	if (more) {
		c->more_pause_us = keep ? MORE_PAUSE_US : c->more_pause_us * 2;
		if (c->more_pause_us > MORE_PAUSE_MAX_US)
			c->more_pause_us = MORE_PAUSE_MAX_US;
		c->more_at_us = keep ? now_us : now_us + c->more_pause_us;
	}
	if (keep || !more)
		c->least_at_us = now_us + LEAST_EVERY_US;
	c->state = SEND_CAP_STEADY;
}

static void review_base(
    struct send_cap *c, uint64_t now_us, const struct send_sample *s)
{
	if (c->state != SEND_CAP_STEADY) {
		if (--c->left == 0)
			end_trial(c, now_us);
		return;
	}
	if (c->base_us > s->min_rtt_us && now_us >= c->least_at_us) {
		begin_trial(c, SEND_CAP_TRYING_LEAST, s->min_rtt_us);
		return;
	}
	c->high = is_far(c, s) ? c->high + 1 : 0;
	if (now_us < c->more_at_us)
		return;
	if (c->high >= HIGH_WINDOWS)
		begin_trial(c, SEND_CAP_TRYING_MORE, s->srtt_us / 4 * 5);
	else if (may_hold_back(c, s))
		begin_trial(c, SEND_CAP_TRYING_MORE, c->base_us / 4 * 5);
}

/* --- Windows -------------------------------------------------------------- */

static void review_slack(struct send_cap *c)
{
	if (!c->dry)
		c->slack_us -= (c->slack_us - SLACK_US) / 8;
	else if (c->slack_us < SLACK_MAX_US)
		c->slack_us += c->slack_us / 8;
	c->dry = false;
}

void send_cap_see(struct send_cap *c, size_t held)
{
	/* What is less than a frame is on its way already. */
	if (c->waits && held < c->frame)
		c->dry = true;
}

static void begin_window(
    struct send_cap *c, uint64_t now_us, const struct send_sample *s)
{
	c->began_us = now_us;
	c->began_acked = s->acked;
	c->waited_us = 0;
}

/* A window in which the path showed what it can do. */
static void count_window(struct send_cap *c, uint64_t now_us, uint64_t rate,
    const struct send_sample *s)
{
	if (rate * 4 > c->rate * 5)
		c->growing = GROWING_WINDOWS;
	else if (c->growing > 0)
		c->growing--;
	c->recent[c->windows++ % SEND_CAP_RECENT] = rate;
	c->rate = 0;
	for (size_t i = 0; i < SEND_CAP_RECENT; i++)
		if (c->recent[i] > c->rate)
			c->rate = c->recent[i];
	review_base(c, now_us, s);
}

static void see_base(struct send_cap *c, const struct send_sample *s)
{
	/* It follows the least until a trial raised it. */
	if (c->base_us <= c->min_rtt_us || c->base_us < s->min_rtt_us)
		c->base_us = s->min_rtt_us;
	c->min_rtt_us = s->min_rtt_us;
}

void send_cap_measure(
    struct send_cap *c, uint64_t now_us, const struct send_sample *s)
{
	uint64_t elapsed, rate;

	send_cap_note(c, now_us, c->waits);
	c->looked_us = now_us;
	see_base(c, s);
	elapsed = now_us - c->began_us;
	if (c->began_us == 0 || s->acked < c->began_acked) {
		begin_window(c, now_us, s);
		return;
	}
	if (elapsed < WINDOW_MIN_US || elapsed < s->srtt_us)
		return;
	rate = (s->acked - c->began_acked) * 1000000 / elapsed;
	/* When we came late the rate is our own doing. */
	if (rate >= c->rate ||
	    (c->waited_us * 2 >= elapsed && (!c->dry || is_far(c, s))))
		count_window(c, now_us, rate, s);
	review_slack(c);
	begin_window(c, now_us, s);
	if (c->rate > 0)
		set_limit(c);
}

void send_cap_note(struct send_cap *c, uint64_t now_us, bool waits)
{
	if (c->waits && now_us > c->noted_us)
		c->waited_us += now_us - c->noted_us;
	c->noted_us = now_us;
	c->waits = waits;
}

/* --- What may be written ------------------------------------------------- */

static size_t least_write(const struct send_cap *c)
{
	size_t part = c->limit / 4;

	if (part < c->frame)
		return c->frame;
	return part < WRITE_MAX ? part : WRITE_MAX;
}

size_t send_cap_room(const struct send_cap *c, size_t held)
{
	size_t room = c->limit > held ? c->limit - held : 0;

	return room >= least_write(c) ? room : 0;
}

uint32_t send_cap_wait_us(const struct send_cap *c, size_t held)
{
	size_t wanted = held + least_write(c);
	uint64_t wait;

	if (c->rate == 0)
		return WAIT_START_US;
	if (wanted <= c->limit)
		return WAIT_MIN_US;
	wait = (wanted - c->limit) * 1000000 / c->rate;
	if (wait < WAIT_MIN_US)
		return WAIT_MIN_US;
	return wait < WAIT_MAX_US ? (uint32_t)wait : WAIT_MAX_US;
}
