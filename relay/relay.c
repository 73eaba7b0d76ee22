#include "relay/relay.h"

#include "common/fs.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *relay_name(const struct relay *r)
{
	return member_id(r->member);
}

/* --- What links ask and tell --------------------------------------------- */

static void fill_hello(
    void *owner, const struct peer *peer, struct msg_hello *hello)
{
	const struct relay *r = owner;

	(void)peer;
	member_hello(r->member, hello);
}

static bool is_known_relay(const struct relay *r, const char *name)
{
	struct target target = { .kind = TARGET_RELAY };

	if (member_has_peer(r->member, ROLE_RELAY, name))
		return true;
	(void)snprintf(target.name, sizeof(target.name), "%s", name);
	return table_find(r->table, &target) != NULL;
}

static bool is_known_machine(const struct relay *r, const char *id)
{
	struct target target = { .kind = TARGET_MACHINE };

	(void)snprintf(target.name, sizeof(target.name), "%s", id);
	return table_find(r->table, &target) != NULL;
}

/* Somebody whom we dialled, and who dials us too: one link is enough, and two
 * would replace each other for ever. */
static bool is_crossing(
    const struct relay *r, const struct link *link, const struct msg_hello *h)
{
	const struct peer *peer = link_peer(link);
	const struct neighbour *n =
	    neighbour_find(r, peer->role, peer->id.name);

	return n != NULL && n->link != NULL && n->start == h->instance.start &&
	       link_role(link) == MUX_ACCEPTOR &&
	       link_role(n->link) == MUX_DIALLER;
}

/*
 * An older start, or the same one of somebody else: a copied or rolled back
 * disk.  Were it to replace the link that we have, both would do so for ever.
 */
static bool is_copy(
    const struct relay *r, const struct link *link, const struct msg_hello *h)
{
	const struct peer *peer = link_peer(link);
	const struct neighbour *n =
	    neighbour_find(r, peer->role, peer->id.name);

	if (n == NULL || n->link == NULL || peer->role == ROLE_SERVER)
		return false;
	return h->instance.start < n->start ||
	       (h->instance.start == n->start &&
		   strcmp(h->instance.nonce, n->nonce) != 0);
}

static enum rc admit(void *owner, struct link *link,
    const struct msg_hello *hello, struct fault *fault)
{
	const struct relay *r = owner;
	const struct peer *peer = link_peer(link);
	bool known = false;

	switch (peer->role) {
	case ROLE_ANONYMOUS:
		return RC_OK;
	case ROLE_SERVER:
		known = true;
		break;
	case ROLE_RELAY:
		known = is_known_relay(r, peer->id.name);
		break;
	case ROLE_TENTACLE:
		known = is_known_machine(r, peer->id.name);
		break;
	case ROLE_COUNT:
		break;
	}
	if (!known) {
		fault_set(fault, REASON_NO_ROUTE, relay_name(r),
		    "relay %s has no route that names %s", relay_name(r),
		    link_label(link));
		return RC_DENIED;
	}
	if (!hello->has_instance) {
		fault_set(fault, REASON_PROTOCOL, relay_name(r),
		    "%s did not tell its instance", link_label(link));
		return RC_DENIED;
	}
	if (is_copy(r, link, hello)) {
		fault_set(fault, REASON_CLONE, relay_name(r),
		    "another copy of %s, or a later start of it, is connected",
		    link_label(link));
		return RC_DENIED;
	}
	if (is_crossing(r, link, hello)) {
		fault_set(fault, REASON_CONFLICT, relay_name(r),
		    "%s is connected already, by a link that relay %s dialled",
		    link_label(link), relay_name(r));
		return RC_DENIED;
	}
	return RC_OK;
}

static void on_up(struct relay *r, struct link *link)
{
	const struct peer *peer = link_peer(link);
	struct neighbour *n;

	if (peer->role == ROLE_ANONYMOUS)
		return;
	n = neighbour_get(r, peer->role, peer->id.name);
	if (n != NULL)
		neighbour_link_up(n, link, link_hello(link));
	member_late_link_up(&r->late, link);
}

#define CONTEST_MIN_US 1000000
#define CONTEST_MAX_US 60000000

/*
 * Somebody has a link of another copy of us, or of a later start.  With a start
 * that is later still it lets us in, and the succession token tells the server
 * which of us goes on.  Copies do so in turns, less and less often.
 */
static void contested(struct relay *r)
{
	uint64_t now = loop_now_us(r->loop);
	struct fault fault;

	if (now < r->contest_us || r->stopping)
		return;
	if (r->contest_wait_us < CONTEST_MAX_US)
		r->contest_wait_us = 2 * r->contest_wait_us + CONTEST_MIN_US;
	r->contest_us = now + r->contest_wait_us;
	if (member_begin_again(r->member, &fault) != RC_OK) {
		log_warn("relay", relay_name(r),
		    "cannot begin another life: %s", fault.text);
		return;
	}
	log_warn("relay", relay_name(r),
	    "another copy of this relay is connected; coming again as start "
	    "%llu, so that the server sees both",
	    (unsigned long long)r->member->instance.start);
}

static void on_down(struct link *link, const struct fault *fault)
{
	struct neighbour *n = link_data(link);

	if (n != NULL)
		neighbour_link_down(n, link, fault);
	else
		log_info("relay", link_address(link), "%s", fault->text);
}

static void on_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct relay *r = owner;

	switch (event->type) {
	case LINK_UP:
		on_up(r, link);
		break;
	case LINK_OPENED:
		relay_opened(r, link, event->stream, event->open);
		break;
	case LINK_DOWN:
		on_down(link, event->fault);
		if (event->fault->code == REASON_CLONE &&
		    link_role(link) == MUX_DIALLER)
			contested(r);
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

static void record(void *arg, const uint8_t *data, size_t len)
{
	const struct relay *r = arg;

	if (fs_write_all(r->record_fd, data, len) != RC_OK)
		log_warn("relay", "record", "cannot write: %s",
		    strerrordesc_np(errno));
}

static MUST_CHECK enum rc open_record(struct relay *r, struct fault *fault)
{
	const char *path = r->settings->record;

	if (path == NULL)
		return RC_OK;
	r->record_fd =
	    open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (r->record_fd < 0) {
		fault_set(fault, REASON_BAD_CONFIG, "", "%s: %s", path,
		    strerrordesc_np(errno));
		return RC_IO;
	}
	log_warn("relay", relay_name(r), "every payload byte is recorded to %s",
	    path);
	bridges_tap(r->bridges, record, r);
	bridges_tap(r->enrols, record, r);
	return RC_OK;
}

static void on_gone(void *arg, struct table_entry *e)
{
	neighbour_unroute(arg, e);
}

static MUST_CHECK enum rc open_table(struct relay *r, struct fault *fault)
{
	char path[1100];
	enum rc rc = table_new(&r->table);

	if (rc != RC_OK)
		return rc;
	(void)snprintf(path, sizeof(path), "%s/table", r->settings->state_dir);
	rc = table_file_open(path, r->table, &r->table_file, fault);
	table_on_gone(r->table, on_gone, r);
	return rc;
}

static void on_peers_changed(void *arg)
{
	neighbours_follow_peers(arg);
}

static MUST_CHECK enum rc open_net(struct relay *r, struct fault *fault)
{
	const struct relay_settings *s = r->settings;
	char name[96];
	enum rc rc;

	rc = worker_pool_new(r->loop, s->workers, 8192, &r->pool);
	if (rc == RC_OK)
		rc = loop_timer_new(
		    r->loop, on_peers_changed, r, &r->peers_changed);
	if (rc == RC_OK)
		rc = link_net_new(
		    r->loop, r->pool, &s->link, &link_ops, r, &r->net);
	if (rc != RC_OK)
		return rc;
	(void)snprintf(name, sizeof(name), "relay %s", relay_name(r));
	link_net_set_name(r->net, name);
	link_net_set_contexts(r->net, r->member->contexts);
	member_late_init(&r->late, r->member, r->net);
	rc = bridges_new(r->loop, relay_name(r), s->streams_max, &r->bridges);
	if (rc == RC_OK)
		rc = bridges_new(
		    r->loop, relay_name(r), s->enrols_max, &r->enrols);
	if (rc == RC_OK)
		bridges_set_life(r->enrols, s->link.anonymous_ms);
	if (rc == RC_OK)
		rc = open_record(r, fault);
	if (rc == RC_OK && s->listens)
		rc = listener_new(r->net, &s->listen, &r->listener, fault);
	return rc;
}

enum rc relay_new(struct loop *loop, const struct relay_settings *settings,
    struct relay **out, struct fault *fault)
{
	struct relay *r = calloc(1, sizeof(*r));
	enum rc rc;

	if (r == NULL)
		return RC_NOMEM;
	r->loop = loop;
	r->settings = settings;
	r->record_fd = -1;
	r->started_us = loop_now_us(loop);
	TAILQ_INIT(&r->neighbours);
	TAILQ_INIT(&r->controls);
	TAILQ_INIT(&r->waits);
	fault_set(fault, REASON_MEMORY, "", "out of memory");
	rc = lookup_init(&r->neighbours_by_key);
	if (rc == RC_OK)
		rc = member_open(settings->state_dir, &r->member, fault);
	if (rc == RC_OK)
		memcpy(r->member->listen, settings->serves,
		    sizeof(r->member->listen));
	if (rc == RC_OK)
		rc = open_table(r, fault);
	if (rc == RC_OK)
		rc = open_net(r, fault);
	if (rc != RC_OK) {
		relay_free(r);
		return rc;
	}
	neighbours_follow_table(r);
	neighbours_follow_peers(r);
	*out = r;
	return RC_OK;
}

void relay_free(struct relay *r)
{
	struct neighbour *n;
	struct fault fault;

	if (r == NULL)
		return;
	r->stopping = true;
	listener_free(r->listener);
	if (r->net != NULL)
		link_net_leaving(r->net);
	if (r->member != NULL)
		fault_set(&fault, REASON_DRAINING, relay_name(r),
		    "relay %s is shutting down", relay_name(r));
	member_late_fini(&r->late);
	if (r->member != NULL)
		controls_close(r);
	while ((n = TAILQ_FIRST(&r->neighbours)) != NULL)
		neighbour_free(n, &fault);
	link_net_free(r->net);
	relay_waits_free(r);
	loop_timer_free(r->peers_changed);
	worker_pool_free(r->pool);
	bridges_free(r->bridges);
	bridges_free(r->enrols);
	lookup_fini(&r->neighbours_by_key);
	table_file_close(r->table_file);
	table_free(r->table);
	member_close(r->member);
	if (r->record_fd >= 0)
		(void)close(r->record_fd);
	free(r);
}
