#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "server/fleet/fleet_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fleet_settings_default(struct fleet_settings *settings)
{
	*settings = (struct fleet_settings){
		.listen = { .port = 10943 },
		.open_ms = 20000,
		.request_ms = 30000,
		.idle_ms = 60000,
		.table_ms = 5000,
		.presence_ms = 200,
		.standing_max = 20000,
		.deploy_max = 5000,
		.asks_max = 50000,
		.enrols_max = 64,
		.approval_ms = 5000,
		.flap = { .falls = 3,
		    .window_ms = 300000,
		    .stable_ms = 120000 },
		.certificate_s = CA_AGENT_LIFE_S,
	};
	link_config_default(&settings->link);
}

uint64_t fleet_wall_ms(void)
{
	return (uint64_t)clock_wall_ms();
}

const char *fleet_listen_address(const struct fleet *f)
{
	return listener_address(f->listener);
}

/* --- Jobs ------------------------------------------------------------------
 */

static void job_done(struct store_job *job, enum rc rc)
{
	struct fleet_job *j = CONTAINER_OF(job, struct fleet_job, job);

	if (j->fleet == NULL) {
		j->drop(j);
		return;
	}
	LIST_REMOVE(j, all);
	j->done(j, rc);
}

enum rc fleet_submit(struct fleet *f, struct fleet_job *job,
    enum rc (*run)(struct db *db, struct store_job *job))
{
	enum rc rc;

	job->job.run = run;
	job->job.done = job_done;
	job->job.loop = f->parts.loop;
	job->fleet = f;
	rc = store_submit(f->parts.store, &job->job);
	if (rc == RC_OK)
		LIST_INSERT_HEAD(&f->jobs, job, all);
	return rc;
}

/* --- What links ask and tell -----------------------------------------------
 */

static void fill_hello(
    void *owner, const struct peer *peer, struct msg_hello *hello)
{
	const struct fleet *f = owner;

	(void)peer;
	hello->has_instance = true;
	hello->instance = f->instance;
	hello->revocations = fleet_revocations(f);
}

static struct station *station_of(
    const struct fleet *f, const struct link *link)
{
	const struct peer *peer = link_peer(link);

	if (peer->role != ROLE_RELAY && peer->role != ROLE_TENTACLE)
		return NULL;
	return station_find(f, peer->role, peer->id.name);
}

static bool key_is_right(const struct station *t, const struct peer *peer)
{
	static const uint8_t none[STORE_SHA256_SIZE];

	return memcmp(t->spki, none, sizeof(none)) == 0 ||
	       memcmp(t->spki, peer->key_hash, sizeof(t->spki)) == 0;
}

/* Somebody whom we dialled, and who dials us too: one link is enough, and two
 * would replace each other for ever. */
static bool is_crossing(const struct station *t, const struct link *link,
    const struct msg_hello *hello)
{
	return t->link != NULL &&
	       t->link_instance.start == hello->instance.start &&
	       link_role(link) == MUX_ACCEPTOR &&
	       link_role(t->link) == MUX_DIALLER;
}

/*
 * An older start than that of the link that we have, or the same one of
 * somebody else: a copied or rolled back disk.  Were it to replace that link,
 * both would do so for ever.  Told so, it begins a new life, and its greet
 * decides.
 */
static bool is_copy(const struct station *t, const struct msg_hello *hello)
{
	const struct msg_instance *have = &t->link_instance;

	if (t->link == NULL)
		return false;
	return hello->instance.start < have->start ||
	       (hello->instance.start == have->start &&
		   strcmp(hello->instance.nonce, have->nonce) != 0);
}

static MUST_CHECK enum rc judge(const struct fleet *f, struct link *link,
    const struct msg_hello *hello, struct fault *fault)
{
	const struct peer *peer = link_peer(link);
	const struct station *t = station_of(f, link);

	if (peer->role == ROLE_ANONYMOUS)
		return RC_OK; /* may open its enrol stream */
	if (t == NULL) {
		fault_set(fault, REASON_NOT_PERMITTED, f->at,
		    "%s is not known to server %s", link_label(link), f->node);
		return RC_DENIED;
	}
	if (!key_is_right(t, peer)) {
		fault_set(fault, REASON_REVOKED, f->at,
		    "%s: has joined again with another key; this one is not "
		    "valid any more",
		    t->name);
		return RC_DENIED;
	}
	if (!station_is_direct(t)) {
		fault_set(fault, REASON_NO_ROUTE, f->at,
		    "%s: has no direct route to server %s", t->name, f->node);
		return RC_DENIED;
	}
	if (!hello->has_instance) {
		fault_set(fault, REASON_PROTOCOL, f->at,
		    "%s: did not tell its instance", t->name);
		return RC_DENIED;
	}
	if (is_copy(t, hello)) {
		fault_set(fault, REASON_CLONE, f->at,
		    "another copy of %s, or a later start of it, is connected",
		    t->name);
		return RC_DENIED;
	}
	if (is_crossing(t, link, hello)) {
		fault_set(fault, REASON_CONFLICT, f->at,
		    "%s: is connected already, by a link that server %s "
		    "dialled",
		    t->name, f->node);
		return RC_DENIED;
	}
	return RC_OK;
}

static void tell_incident(struct fleet *f, const struct link *link,
    const char *action, const char *object, const struct fault *fault)
{
	const struct peer *peer = link_peer(link);
	const struct station *t = station_of(f, link);
	struct incident what = {
		.who = link_label(link),
		.from = link_address(link),
		.action = action,
		.object = object,
		.fault = fault,
	};
	char who[STORE_WHO_SIZE];

	if (t != NULL) {
		(void)snprintf(who, sizeof(who), "%s %s",
		    peer->role == ROLE_TENTACLE ? "machine" : "relay", t->name);
		what.who = who;
	}
	fleet_incident(f, &what);
}

static enum rc admit(void *owner, struct link *link,
    const struct msg_hello *hello, struct fault *fault)
{
	struct fleet *f = owner;
	enum rc rc = judge(f, link, hello, fault);

	/* The other refusals are everyday life. */
	if (rc == RC_DENIED && (fault->code == REASON_NOT_PERMITTED ||
				   fault->code == REASON_REVOKED))
		tell_incident(f, link, "link.refused", f->at, fault);
	return rc;
}

static void on_opened(
    struct fleet *f, struct link *link, const struct link_event *event)
{
	enum peer_role role = link_peer(link)->role;
	char to[TARGET_SIZE];
	struct fault fault;

	if (event->open->kind == KIND_ENROL &&
	    (role == ROLE_ANONYMOUS || role == ROLE_RELAY)) {
		enrol_accept(f, link, event->stream, event->open);
		return;
	}
	fault_set(&fault, REASON_NOT_PERMITTED, f->at,
	    "%s may not open a stream of kind %s at server %s",
	    link_label(link), kind_name(event->open->kind), f->node);
	log_info("fleet", link_label(link), "stream refused: %s", fault.text);
	target_format(&event->open->to, to);
	tell_incident(f, link, "stream.refused", to, &fault);
	link_reset(link, event->stream, &fault, false);
}

static void on_down(struct link *link, const struct fault *fault)
{
	struct station *t = link_data(link);

	if (t != NULL)
		station_link_down(t, link, fault);
	else if (link_was_up(link)) /* a joiner that is done */
		log_debug("fleet", link_address(link), "%s", fault->text);
	else
		log_info("fleet", link_address(link), "%s", fault->text);
}

static void on_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct fleet *f = owner;
	struct station *t;

	switch (event->type) {
	case LINK_UP:
		t = station_of(f, link);
		if (t != NULL)
			station_link_up(t, link);
		break;
	case LINK_OPENED:
		on_opened(f, link, event);
		break;
	case LINK_DOWN:
		on_down(link, event->fault);
		break;
	case LINK_GOAWAY:
	case LINK_TELL:
		break;
	}
}

static const struct link_ops link_ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_link,
};

/* --- Start and stop --------------------------------------------------------
 */

static MUST_CHECK enum rc make_timers(struct fleet *f)
{
	struct loop *loop = f->parts.loop;
	enum rc rc = loop_timer_new(loop, fleet_push_changes, f, &f->push);

	if (rc == RC_OK)
		rc = loop_timer_new(loop, fleet_tell_moved, f, &f->tell);
	if (rc == RC_OK)
		rc = loop_timer_new(loop, fleet_write_dirty, f, &f->write);
	if (rc == RC_OK)
		rc = loop_timer_new(loop, fleet_tell_ripe, f, &f->ripen);
	if (rc == RC_OK)
		rc = loop_timer_new(loop, fleet_read_again, f, &f->again);
	if (rc == RC_OK)
		rc = loop_timer_new(loop, fleet_tidy, f, &f->tidy);
	if (rc == RC_OK)
		rc = upkeep_init(f);
	return rc;
}

static MUST_CHECK enum rc make_net(struct fleet *f, struct fault *fault)
{
	const struct fleet_parts *p = &f->parts;
	enum rc rc;

	rc = tls_contexts_new(p->identity, p->trust, &f->contexts, fault);
	if (rc == RC_OK)
		rc = link_net_new(p->loop, p->pool, &f->settings->link,
		    &link_ops, f, &f->net);
	if (rc != RC_OK)
		return rc;
	link_net_set_name(f->net, f->at);
	link_net_set_contexts(f->net, f->contexts);
	return RC_OK;
}

/* The clock makes the start number rise from one process to the next. */
static void begin_life(struct fleet *f)
{
	memcpy(f->instance.journal, f->parts.incarnation.random,
	    sizeof(f->instance.journal));
	f->instance.start = fleet_wall_ms();
	random_hex(f->instance.nonce, ID_BYTES);
}

static void init_lists(struct fleet *f)
{
	TAILQ_INIT(&f->stations);
	TAILQ_INIT(&f->relays);
	TAILQ_INIT(&f->dirty);
	TAILQ_INIT(&f->moved);
	TAILQ_INIT(&f->changes);
	LIST_INIT(&f->jobs);
	TAILQ_INIT(&f->ripe);
	TAILQ_INIT(&f->idle);
	TAILQ_INIT(&f->waiting);
	TAILQ_INIT(&f->follows);
	TAILQ_INIT(&f->brings);
	TAILQ_INIT(&f->enrols);
	TAILQ_INIT(&f->traces);
}

enum rc fleet_new(
    const struct fleet_parts *parts, struct fleet **out, struct fault *fault)
{
	struct fleet *f = calloc(1, sizeof(*f));
	enum rc rc;

	fault_set(fault, REASON_MEMORY, "", "out of memory");
	if (f == NULL)
		return RC_NOMEM;
	f->parts = *parts;
	f->settings = parts->settings;
	memcpy(
	    f->node, identity_spiffe(parts->identity)->name, sizeof(f->node));
	(void)snprintf(f->at, sizeof(f->at), "server %.50s", f->node);
	begin_life(f);
	incidents_init(&f->incidents);
	init_lists(f);
	rc = lookup_init(&f->by_text);
	if (rc == RC_OK)
		rc = fleet_take_issuer(f, &parts->issuer);
	if (rc == RC_OK)
		rc = make_timers(f);
	if (rc == RC_OK)
		rc = make_net(f, fault);
	if (rc == RC_OK)
		rc = fleet_load(f, fault);
	if (rc == RC_OK)
		rc = listener_new(
		    f->net, &f->settings->listen, &f->listener, fault);
	if (rc != RC_OK) {
		fleet_free(f);
		return rc;
	}
	fleet_tidy(f);
	*out = f;
	return RC_OK;
}

/* They come back to a fleet that is no more, and free themselves. */
static void leave_jobs(struct fleet *f)
{
	struct fleet_job *j;

	while ((j = LIST_FIRST(&f->jobs)) != NULL) {
		LIST_REMOVE(j, all);
		j->fleet = NULL;
	}
}

static void free_changes(struct fleet *f)
{
	struct change *c;

	while ((c = TAILQ_FIRST(&f->changes)) != NULL) {
		TAILQ_REMOVE(&f->changes, c, all);
		free(c);
	}
}

void fleet_free(struct fleet *f)
{
	struct station *t;

	if (f == NULL)
		return;
	f->stopping = true;
	listener_free(f->listener);
	if (f->net != NULL)
		link_net_leaving(f->net);
	enrols_free(f);
	follows_free(f);
	brings_free(f);
	fleet_traces_free(f);
	while ((t = TAILQ_FIRST(&f->stations)) != NULL)
		station_free(t);
	asks_free(f);
	free_changes(f);
	link_net_free(f->net);
	tls_contexts_unref(f->contexts);
	leave_jobs(f);
	loop_timer_free(f->push);
	loop_timer_free(f->tell);
	loop_timer_free(f->write);
	loop_timer_free(f->ripen);
	loop_timer_free(f->again);
	loop_timer_free(f->tidy);
	upkeep_fini(f);
	lookup_fini(&f->by_text);
	free(f->bundle);
	free(f);
}
