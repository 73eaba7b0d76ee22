#include "tentacle/executor.h"

#include "common/log.h"

#include <stdlib.h>
#include <string.h>

/* Between two lives that were begun because of a copy. */
#define CONTEST_MIN_US 1000000ULL
#define CONTEST_MAX_US 600000000ULL

/* --- What the network side asks for --------------------------------------- */

void executor_opened(void *executor, struct link *link, uint32_t stream,
    const struct msg_open *open)
{
	struct executor *e = executor;
	struct fault fault;

	/* Seals of class control are for relays. */
	if (open->kind == KIND_SEAL && open->service_class != CLASS_CONTROL) {
		session_accept(e, link, stream, open);
		return;
	}
	fault_set(&fault, REASON_NOT_PERMITTED, e->member->name,
	    "%s accepts only seals, not %s", e->member->name,
	    kind_name(open->kind));
	link_reset(link, stream, &fault, false);
}

/*
 * A relay or server has a link of another copy of us, or of a later start. With
 * a start that is later still it lets us in, and the succession token tells the
 * server which of us goes on.  Copies do so in turns, less and less often.
 */
void executor_contested(void *executor)
{
	struct executor *e = executor;
	uint64_t now = loop_now_us(e->loop);
	struct fault fault;

	if (now < e->contest_us)
		return;
	/* The other copy has gone, and this is another story. */
	if (now - e->contest_us > CONTEST_MAX_US)
		e->contest_wait_us = 0;
	if (e->contest_wait_us < CONTEST_MAX_US)
		e->contest_wait_us = 2 * e->contest_wait_us + CONTEST_MIN_US;
	e->contest_us = now + e->contest_wait_us;
	if (member_begin_again(e->member, &fault) != RC_OK) {
		log_warn("agent", e->member->name,
		    "cannot begin another life: %s", fault.text);
		return;
	}
	log_warn("agent", e->member->name,
	    "another copy of this machine is connected; coming again as start "
	    "%llu, so that the server sees both",
	    (unsigned long long)e->member->instance.start);
	if (e->carrier.life != NULL)
		e->carrier.life(e->carrier.arg);
}

/* --- Start and stop --------------------------------------------------------
 */

static void on_disk_failed(void *arg)
{
	struct executor *e = arg;

	log_error("agent", e->member->name,
	    "the disk failed; stopping so that nothing is promised falsely");
	e->failed = true;
	loop_stop(e->loop);
}

static MUST_CHECK enum rc open_operations(
    struct executor *e, struct fault *fault)
{
	const struct agent_settings *s = e->settings;
	struct operations_config config = {
		.state = s->state_dir,
		.apps = s->apps_dir,
		.machine = { member_id(e->member), e->member->name },
		.home = s->home,
		.guardian = s->guardian,
		OPERATIONS_CONFIG_DEFAULT,
		.output_max = s->log_max,
		.grace_ms = s->grace_ms,
		.lock = s->lock,
		.fatal = on_disk_failed,
		.fatal_arg = e,
	};
	enum rc rc;

	if (s->packages_max > 0)
		config.blobs_max = s->packages_max;
	if (s->packages_age_s > 0)
		config.blobs_age_s = s->packages_age_s;
	if (s->running_max > 0)
		config.running_max = s->running_max;
	if (s->open_max > 0)
		config.tickets.open_max = s->open_max;
	rc = operations_open(e->loop, e->pool, &config, &e->operations, fault);
	if (rc != RC_OK)
		return rc;
	if (operations_quarantine(e->operations) != NULL) {
		log_error("agent", e->member->name, "in quarantine: %s",
		    operations_quarantine(e->operations)->text);
		e->member->quarantine = true;
		return RC_OK;
	}
	memcpy(e->member->instance.journal, operations_journal(e->operations),
	    ID_SIZE);
	return RC_OK;
}

enum rc executor_new(struct loop *loop, const struct agent_settings *settings,
    struct executor **out, struct fault *fault)
{
	struct executor *e = calloc(1, sizeof(*e));
	enum rc rc;

	fault_set(fault, REASON_MEMORY, "", "out of memory");
	if (e == NULL)
		return RC_NOMEM;
	e->loop = loop;
	e->settings = settings;
	TAILQ_INIT(&e->sessions);
	rc = member_open(settings->state_dir, &e->member, fault);
	if (rc == RC_OK && settings->pool == NULL)
		rc = worker_pool_new(
		    loop, settings->workers, 1024, &e->own_pool);
	e->pool = settings->pool != NULL ? settings->pool : e->own_pool;
	if (rc == RC_OK)
		rc = open_operations(e, fault);
	if (rc != RC_OK) {
		executor_free(e);
		return rc;
	}
	*out = e;
	return RC_OK;
}

void executor_carry(struct executor *e, const struct executor_carrier *carrier)
{
	e->carrier = *carrier;
}

void executor_leave(struct executor *e)
{
	sessions_close(e);
	e->carrier = (struct executor_carrier){ .net = NULL };
}

void executor_free(struct executor *e)
{
	if (e == NULL)
		return;
	worker_pool_free(e->own_pool);
	operations_close(e->operations);
	member_close(e->member);
	free(e);
}
