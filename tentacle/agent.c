#include "tentacle/agent.h"

#include "common/log.h"
#include "common/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- What links ask and tell ---------------------------------------------- */

static void fill_hello(
    void *owner, const struct peer *peer, struct msg_hello *hello)
{
	const struct agent *a = owner;

	(void)peer;
	member_hello(a->member, hello);
}

static enum rc admit(void *owner, struct link *link,
    const struct msg_hello *hello, struct fault *fault)
{
	const struct agent *a = owner;
	const struct peer *peer = link_peer(link);

	(void)hello;
	if (peer->role == ROLE_SERVER)
		return RC_OK;
	/* What a relay carries is sealed: any of our cluster's will do when it
	 * is the one that we dialled or that we know. */
	if (peer->role == ROLE_RELAY &&
	    (link_role(link) == MUX_DIALLER ||
		member_has_peer(a->member, ROLE_RELAY, peer->id.name)))
		return RC_OK;
	fault_set(fault, REASON_NOT_PERMITTED, link_net_name(a->net),
	    "%s takes links from servers and its own relays, not from %s",
	    a->member->name, link_label(link));
	return RC_DENIED;
}

/* A trace has come all the way: say who we are. */
static void answer_trace(struct agent *a, struct link *link, uint32_t stream)
{
	int64_t expires_s = identity_not_after_s(a->member->identity);
	struct msg_hop hop = {
		.version = bytes_text(LONGARM_VERSION),
		.expires_s = expires_s > 0 ? (uint64_t)expires_s : 0,
	};
	struct answer *answer;

	(void)snprintf(
	    hop.by, sizeof(hop.by), "machine/%s", member_id(a->member));
	if (answer_new(link, stream, NULL, NULL, &answer) != RC_OK)
		return;
	answer_say(answer, &hop);
	answer_end(answer);
}

static bool is_for_us(const struct agent *a, const struct msg_open *open)
{
	return open->to.kind == TARGET_MACHINE && open->path.count == 0 &&
	       strcmp(open->to.name, member_id(a->member)) == 0;
}

static void on_opened(struct agent *a, struct link *link, uint32_t stream,
    const struct msg_open *open)
{
	struct msg_open told = *open;
	struct fault fault;

	told.passed.count = 0;
	/* Seals of class control are for relays. */
	if (open->kind == KIND_SEAL && is_for_us(a, open) &&
	    open->service_class != CLASS_CONTROL &&
	    path_append(&told.passed, link_peer(link)->id.name) == RC_OK) {
		a->inside.opened(a->inside.arg, link, stream, &told);
		return;
	}
	if (open->kind == KIND_TRACE && is_for_us(a, open)) {
		answer_trace(a, link, stream);
		return;
	}
	fault_set(&fault, REASON_NOT_PERMITTED, link_net_name(a->net),
	    "%s accepts only seals and traces to itself, not %s",
	    a->member->name, kind_name(open->kind));
	log_warn_with("agent", open->trace,
	    LOG_FIELDS(LOG_TEXT("from", link_label(link))),
	    "stream refused: %s", fault.text);
	link_reset(link, stream, &fault, false);
}

static void on_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct agent *a = owner;

	switch (event->type) {
	case LINK_UP:
		log_info_with("agent", link_label(link),
		    LOG_FIELDS(LOG_TEXT("address", link_address(link))),
		    "connected");
		member_late_link_up(&a->late, link);
		break;
	case LINK_OPENED:
		on_opened(a, link, event->stream, event->open);
		break;
	case LINK_DOWN:
		/* Two places, so that strangers' noise hides no peer's end:
		 * each has its own limit of lines (common/log.h). */
		if (link_was_up(link))
			log_info("agent", link_label(link), "%s",
			    event->fault->text);
		else if (link_role(link) == MUX_ACCEPTOR)
			log_info("agent", link_label(link), "%s",
			    event->fault->text);
		if (event->fault->code == REASON_CLONE)
			a->inside.contested(a->inside.arg);
		break;
	case LINK_TELL:
		if (event->tell->kind == TELL_DRAIN)
			uplinks_hurry(a);
		break;
	case LINK_GOAWAY:
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

static MUST_CHECK enum rc open_net(struct agent *a, struct fault *fault)
{
	const struct agent_settings *s = a->settings;
	char name[96];
	enum rc rc =
	    link_net_new(a->loop, a->pool, &s->link, &link_ops, a, &a->net);

	if (rc != RC_OK)
		return rc;
	(void)snprintf(name, sizeof(name), "machine %s", a->member->name);
	link_net_set_name(a->net, name);
	link_net_set_contexts(a->net, a->member->contexts);
	member_late_init(&a->late, a->member, a->net);
	a->late.renewed = a->inside.renewed;
	a->late.arg = a->inside.arg;
	if (s->listens)
		rc = listener_new(a->net, &s->listen, &a->listener, fault);
	if (rc == RC_OK)
		rc = loop_timer_new(
		    a->loop, uplinks_follow, a, &a->peers_changed);
	if (rc == RC_OK)
		uplinks_follow(a);
	return rc;
}

enum rc agent_new(struct loop *loop, const struct agent_settings *settings,
    struct member *member, const struct agent_inside *inside,
    struct agent **out, struct fault *fault)
{
	struct agent *a = calloc(1, sizeof(*a));
	enum rc rc = RC_OK;

	fault_set(fault, REASON_MEMORY, "", "out of memory");
	if (a == NULL)
		return RC_NOMEM;
	a->loop = loop;
	a->settings = settings;
	a->member = member;
	a->inside = *inside;
	TAILQ_INIT(&a->uplinks);
	if (settings->pool == NULL)
		rc = worker_pool_new(
		    loop, settings->workers, 1024, &a->own_pool);
	a->pool = settings->pool != NULL ? settings->pool : a->own_pool;
	if (rc == RC_OK)
		rc = open_net(a, fault);
	if (rc != RC_OK) {
		agent_free(a);
		return rc;
	}
	*out = a;
	return RC_OK;
}

void agent_free(struct agent *a)
{
	struct fault fault;

	if (a == NULL)
		return;
	fault_set(&fault, REASON_DRAINING, "", "shutting down");
	listener_free(a->listener);
	member_late_fini(&a->late);
	uplinks_free(a, &fault);
	link_net_free(a->net);
	loop_timer_free(a->peers_changed);
	worker_pool_free(a->own_pool);
	free(a);
}
