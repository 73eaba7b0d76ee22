#include "tentacle/network.h"

#include "common/bridge.h"
#include "common/certs_wire.h"
#include "common/log.h"
#include "common/member_upkeep.h"
#include "tentacle/agent.h"
#include "tentacle/carrier.h"
#include "tentacle/confine.h"
#include "tentacle/port.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define USER "longarm"
/* Twice what the other side takes, so that it is the one to say no. */
#define BRIDGES_MAX ((uint32_t)2 * SESSIONS_MAX)
/* A port may still be held by one of us that is ending. */
#define LISTEN_TRIES   20
#define LISTEN_WAIT_MS 100

struct network {
	struct loop *loop;
	const struct network_settings *settings;
	struct agent_settings agent_settings;
	struct proxy_credentials credentials;
	struct member *member;
	struct link_config config; /* of the link to the other side */
	struct link_net *net;
	struct link *link; /* NULL: it is gone */
	struct port *port;
	struct bridges *bridges;
	struct agent *agent; /* NULL: our life is not known yet */
	struct loop_timer *timer;
	unsigned tries;
	bool becomes; /* another user */
	struct confine_user user;
	struct fault *fault;
	enum rc rc; /* of the beginning */
};

static void give_up(struct network *n, enum rc rc)
{
	n->rc = rc;
	loop_stop(n->loop);
}

/* --- What our peers ask for ----------------------------------------------- */

static void on_opened(
    void *arg, struct link *link, uint32_t stream, const struct msg_open *open)
{
	struct network *n = arg;
	struct fault fault;

	enum rc rc;

	if (n->link != NULL) {
		/* On an error it has reset the stream. */
		rc = bridge_new(
		    n->bridges, link, stream, n->link, n->member->name, open);
		if (rc != RC_OK)
			log_debug("agent", open->trace,
			    "a seal is not carried: "
			    "%s",
			    rc_name(rc));
		return;
	}
	fault_set(&fault, REASON_DRAINING, link_net_name(n->agent->net),
	    "%s is shutting down", n->member->name);
	link_reset(link, stream, &fault, false);
}

static void say(struct network *n, enum rc sent)
{
	if (sent == RC_OK)
		return;
	log_error(
	    "agent", n->member->name, "the other process: %s", rc_name(sent));
	loop_stop(n->loop);
}

static void on_contested(void *arg)
{
	struct network *n = arg;
	const struct msg_port_contest contest = { n->member->instance.start };
	struct packbuf pack;

	packbuf_init(&pack, 256);
	say(n, port_send_packed(
		   n->port, msg_port_contest_encode(&contest, &pack), &pack));
}

static void on_renewed(void *arg)
{
	struct network *n = arg;
	const struct certs *chain = identity_chain(n->member->identity);
	struct msg_certificate m = { .id = 1 };
	struct certs_blobs blobs;
	struct packbuf pack;
	enum rc rc = certs_to_blobs(chain, chain->count, &blobs);

	packbuf_init(&pack, PORT_MESSAGE_MAX);
	if (rc == RC_OK) {
		m.chain = blobs.list;
		rc = msg_certificate_encode(&m, &pack);
	}
	certs_blobs_fini(&blobs);
	say(n, port_send_packed(n->port, rc, &pack));
}

/* --- The beginning, once we know who we are ------------------------------- */

/* In this order: first what only root may do, and then never again. */
static MUST_CHECK enum rc confine(struct network *n)
{
	const char *name = n->member->name;
	enum rc rc = RC_OK;

	if (n->becomes)
		rc = confine_become(&n->user, n->fault);
	if (rc != RC_OK)
		return rc;
	/* Not before: who becomes another user loses it. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!n->becomes)
		log_warn("agent", name,
		    geteuid() == 0
			? "both processes run as root: there is no user " USER
			: "both processes run as one user: it takes root to "
			  "part them");
	rc = confine_calls(n->fault);
	if (rc == RC_NOTFOUND)
		log_warn(
		    "agent", name, "the network process: %s", n->fault->text);
	else if (rc == RC_OK)
		log_info("agent", name,
		    "the network process runs as user id %u, and may start no "
		    "program and write no file",
		    (unsigned)geteuid());
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static void say_ready(struct network *n)
{
	const struct listener *l = n->agent->listener;
	struct msg_port_ready ready = { .address = "" };
	struct packbuf pack;

	if (l != NULL)
		(void)snprintf(ready.address, sizeof(ready.address), "%s",
		    listener_address(l));
	log_info("agent", n->member->name, "listening at %s",
	    l != NULL ? listener_address(l) : "no address");
	packbuf_init(&pack, 1024);
	say(n, port_send_packed(
		   n->port, msg_port_ready_encode(&ready, &pack), &pack));
}

static void begin(void *arg)
{
	struct network *n = arg;
	const struct agent_inside inside = {
		.opened = on_opened,
		.contested = on_contested,
		.renewed = on_renewed,
		.arg = n,
	};
	enum rc rc = agent_new(n->loop, &n->agent_settings, n->member, &inside,
	    &n->agent, n->fault);

	if (rc == RC_IO && ++n->tries < LISTEN_TRIES) {
		loop_timer_set(n->timer, LISTEN_WAIT_MS);
		return;
	}
	if (rc == RC_OK)
		rc = confine(n);
	if (rc != RC_OK)
		give_up(n, rc);
	else
		say_ready(n);
}

/* --- What the other side says --------------------------------------------- */

static void on_life(struct network *n, const struct msg_port_life *life)
{
	n->member->instance = life->instance;
	if (n->agent == NULL && !loop_timer_pending(n->timer))
		begin(n);
}

static MUST_CHECK enum rc on_upkeep(struct network *n,
    const struct msg_head *head, struct bytes message, struct fault *fault)
{
	struct member_user user = { .member = n->member };

	if (n->agent == NULL) {
		fault_set(fault, REASON_PROTOCOL, "", "it came too early");
		return RC_PROTO;
	}
	user.net = n->agent->net;
	user.peers_changed = n->agent->peers_changed;
	return member_upkeep(&user, head, message, fault) == RC_PROTO ? RC_PROTO
	                                                              : RC_OK;
}

static void on_message(void *arg, struct bytes message)
{
	struct network *n = arg;
	struct port_word word;
	struct fault fault;
	enum rc rc;

	if (message.p == NULL) {
		loop_stop(n->loop);
		return;
	}
	rc = port_read(PORT_EXEC, message, &word, &fault);
	if (rc == RC_OK && word.kind == PORT_LIFE)
		on_life(n, &word.u.life);
	else if (rc == RC_OK)
		rc = on_upkeep(n, &word.head, message, &fault);
	if (rc == RC_OK)
		return;
	log_error("agent", n->member->name,
	    "a message of the other process: %s", fault.text);
	loop_stop(n->loop);
}

static void on_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct network *n = owner;
	struct fault fault;

	if (event->type == LINK_DOWN) {
		n->link = NULL;
		loop_stop(n->loop);
	} else if (event->type == LINK_OPENED) {
		fault_set(&fault, REASON_NOT_PERMITTED, "",
		    "the network process takes no streams");
		link_reset(link, event->stream, &fault, false);
	}
}

static const struct link_ops link_ops = {
	.hello = port_link_hello,
	.admit = port_link_admit,
	.event = on_link,
};

/* --- Start and stop ------------------------------------------------------- */

static MUST_CHECK enum rc find_user(struct network *n)
{
	const char *set = n->settings->user, *name = set != NULL ? set : USER;
	enum rc rc;

	if (geteuid() != 0)
		return RC_OK;
	rc = confine_find_user(name, &n->user);
	n->becomes = rc == RC_OK && n->user.uid != 0;
	if (n->becomes || (rc == RC_NOTFOUND && set == NULL))
		return RC_OK;
	/* As root it would be all that it is there to keep apart. */
	if (rc == RC_NOTFOUND)
		fault_set(n->fault, REASON_BAD_CONFIG, "",
		    "tentacle.net-user: there is no user '%s'", name);
	else if (rc == RC_OK)
		fault_set(n->fault, REASON_BAD_CONFIG, "",
		    "tentacle.net-user: '%s' is root", name);
	else
		fault_set(n->fault, REASON_INTERNAL, "",
		    "tentacle.net-user: '%s' cannot be looked up: %s", name,
		    strerrordesc_np(errno));
	return rc == RC_OK ? RC_DENIED : rc;
}

/* What cannot be read any more when it is needed. */
static MUST_CHECK enum rc read_files(struct network *n)
{
	struct proxy_settings *p = &n->agent_settings.link.proxy;
	struct fault fault;
	enum rc rc =
	    member_look(n->agent_settings.state_dir, &n->member, n->fault);

	if (rc != RC_OK)
		return rc;
	n->member->follows = true;
	if (p->credentials == NULL)
		return RC_OK;
	if (proxy_credentials_read(p->credentials, &n->credentials, &fault) ==
	    RC_OK)
		p->held = &n->credentials;
	else
		log_warn("agent", n->member->name, "%s", fault.text);
	return RC_OK;
}

static bool is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static MUST_CHECK enum rc connect_to_exec(struct network *n)
{
	struct peer peer = { .role = ROLE_TENTACLE };
	enum rc rc;

	port_link_config(&n->agent_settings.link, &n->config);
	peer.id = *identity_spiffe(n->member->identity);
	rc = link_net_new(n->loop, NULL, &n->config, &link_ops, n, &n->net);
	if (rc == RC_OK)
		rc = bridges_new(
		    n->loop, n->member->name, BRIDGES_MAX, &n->bridges);
	if (rc == RC_OK)
		rc = loop_timer_new(n->loop, begin, n, &n->timer);
	if (rc != RC_OK)
		return rc;
	bridges_hide(n->bridges);
	rc = link_plain(n->net, CARRIER_FD_LINK, MUX_DIALLER, &peer, &n->link);
	if (rc != RC_OK)
		return rc;
	link_set_label(n->link, "the other process");
	return port_new(n->loop, CARRIER_FD_PORT, on_message, n, &n->port);
}

static void finish(struct network *n)
{
	agent_free(n->agent);
	link_net_free(n->net);
	bridges_free(n->bridges);
	port_free(n->port);
	loop_timer_free(n->timer);
	member_close(n->member);
	proxy_credentials_fini(&n->credentials);
}

enum rc network_serve(struct loop *loop,
    const struct network_settings *settings, struct fault *fault)
{
	struct network n = {
		.loop = loop,
		.settings = settings,
		.agent_settings = settings->agent,
		.fault = fault,
	};

	if (!is_socket(CARRIER_FD_LINK) || !is_socket(CARRIER_FD_PORT)) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "this is a part of `longarm-tentacle run`, which starts "
		    "it");
		return RC_STATE;
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NAME, "longarm-net");
	fault_set(fault, REASON_MEMORY, "", "out of memory");
	n.rc = find_user(&n);
	if (n.rc == RC_OK)
		n.rc = read_files(&n);
	if (n.rc == RC_OK)
		n.rc = connect_to_exec(&n);
	if (n.rc == RC_OK)
		loop_run(loop);
	finish(&n);
	return n.rc;
}
