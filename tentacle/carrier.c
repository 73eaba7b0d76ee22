#include "tentacle/carrier.h"

#include "common/backoff.h"
#include "common/log.h"
#include "common/member_upkeep.h"
#include "common/settings.h"
#include "tentacle/port.h"
#include "tentacle/spawn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define REST_MIN_MS 50
#define REST_MAX_MS 10000
/* Who served for so long may fall once without having to wait for long. */
#define STEADY_US 60000000ULL
#define END_MS    5000

/*
 *   STARTING --port-ready--> SERVING
 *      ^  |                     |
 *      |  +----it has ended-----+--> RESTING --timer--+
 *      +-----------------------------------------------+
 */
enum carrier_state {
	CARRIER_STARTING,
	CARRIER_SERVING,
	CARRIER_RESTING,
};

struct carrier {
	enum carrier_state state;
	struct executor *executor;
	const char *const *args;
	int program;
	struct link_config config;
	struct link_net *net;
	struct link *link; /* NULL: none, or gone */
	struct port *port;
	struct spawned child; /* pid 0: none */
	struct loop_io *io;   /* of its end */
	struct loop_timer *timer;
	struct backoff backoff;
	uint64_t served_us; /* since then */
	bool served;        /* ever */
	bool failed;
};

static const char *who(const struct carrier *c)
{
	return c->executor->member->name;
}

static void end_it(const struct carrier *c, const char *why)
{
	if (c->child.pid <= 0)
		return;
	log_error("agent", who(c), "the network process is ended: %s", why);
	spawn_kill(&c->child);
}

/* --- What it says --------------------------------------------------------- */

static void on_ready(struct carrier *c)
{
	c->state = CARRIER_SERVING;
	c->served_us = loop_now_us(c->executor->loop);
	if (!c->served)
		daemon_notify("READY=1");
	c->served = true;
}

/* A certificate that it was given: judged as one that a server brings. */
static MUST_CHECK enum rc on_upkeep(struct carrier *c,
    const struct msg_head *head, struct bytes message, struct fault *fault)
{
	const struct member_user user = {
		.member = c->executor->member,
		.net = c->net,
	};

	return member_upkeep(&user, head, message, fault) == RC_PROTO ? RC_PROTO
	                                                              : RC_OK;
}

static void on_message(void *arg, struct bytes message)
{
	struct carrier *c = arg;
	struct port_word word;
	struct fault fault = { .text = "it has closed its port" };
	enum rc rc = RC_PROTO;

	if (message.p != NULL)
		rc = port_read(PORT_NET, message, &word, &fault);
	if (rc == RC_OK && word.kind == PORT_READY)
		on_ready(c);
	else if (rc == RC_OK && word.kind == PORT_CONTEST &&
		 word.u.contest.start == c->executor->member->instance.start)
		executor_contested(c->executor);
	else if (rc == RC_OK && word.kind == PORT_UPKEEP)
		rc = on_upkeep(c, &word.head, message, &fault);
	if (rc != RC_OK)
		end_it(c, fault.text);
}

static void on_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct carrier *c = owner;

	switch (event->type) {
	case LINK_OPENED:
		executor_opened(c->executor, link, event->stream, event->open);
		break;
	case LINK_DOWN:
		c->link = NULL;
		end_it(c, event->fault->text);
		break;
	case LINK_UP:
	case LINK_GOAWAY:
	case LINK_TELL:
		break;
	}
}

static const struct link_ops link_ops = {
	.hello = port_link_hello,
	.admit = port_link_admit,
	.event = on_link,
};

/* --- What we say ---------------------------------------------------------- */

static void say(struct carrier *c, enum rc sent)
{
	if (sent == RC_PROTO)
		end_it(c, "what we say is too long for its port");
	else if (sent != RC_OK)
		end_it(c, sent == RC_LIMIT ? "it does not read what we say"
					   : "out of memory");
}

static void say_life(void *arg)
{
	struct carrier *c = arg;
	const struct msg_port_life life = { c->executor->member->instance };
	struct packbuf pack;

	if (c->port == NULL)
		return; /* it learns it when it begins */
	packbuf_init(&pack, 1024);
	say(c, port_send_packed(
		   c->port, msg_port_life_encode(&life, &pack), &pack));
}

static void say_upkeep(void *arg, struct bytes message)
{
	struct carrier *c = arg;

	if (c->port != NULL)
		say(c, port_send(c->port, message));
}

/* --- Its life ------------------------------------------------------------- */

/* Both ends of both are ours until the child has its own. */
static MUST_CHECK enum rc connect_child(
    struct carrier *c, int link_fd, int port_fd, struct fault *fault)
{
	const struct member *m = c->executor->member;
	struct peer peer = { .role = ROLE_TENTACLE };
	enum rc rc;

	peer.id = *identity_spiffe(m->identity);
	rc = port_new(c->executor->loop, port_fd, on_message, c, &c->port);
	if (rc == RC_OK)
		rc = link_plain(c->net, link_fd, MUX_ACCEPTOR, &peer, &c->link);
	else
		(void)close(link_fd);
	if (rc == RC_OK)
		link_set_label(c->link, "the network process");
	else
		fault_set(fault, REASON_MEMORY, "", "out of memory");
	return rc;
}

static void forget_child(struct carrier *c)
{
	const struct fault gone = {
		.code = REASON_AGENT_DOWN,
		.text = "the network process of the machine has ended",
	};

	loop_io_free(c->io);
	c->io = NULL;
	spawn_forget(&c->child);
	port_free(c->port);
	c->port = NULL;
	if (c->link != NULL)
		link_close(c->link, &gone);
}

static void rest(struct carrier *c)
{
	uint64_t now = loop_now_us(c->executor->loop), ms;

	if (c->state == CARRIER_SERVING && now - c->served_us >= STEADY_US)
		backoff_reset(&c->backoff);
	c->state = CARRIER_RESTING;
	ms = backoff_next(&c->backoff, REST_MIN_MS, REST_MAX_MS);
	loop_timer_set(c->timer, ms);
}

static void on_end(void *arg, unsigned ready)
{
	struct carrier *c = arg;
	char how[64];

	(void)ready;
	if (!spawn_reap(&c->child, how, sizeof(how)))
		return;
	forget_child(c);
	if (!c->served) {
		c->failed = true;
		log_error("agent", who(c),
		    "the network process %s before it served", how);
		loop_stop(c->executor->loop);
		return;
	}
	log_error("agent", who(c),
	    "the network process %s; another is started, and what runs goes on",
	    how);
	rest(c);
}

static MUST_CHECK enum rc start(struct carrier *c, struct fault *fault)
{
	int link_fd, port_fd;
	enum rc rc = spawn_network(
	    c->program, c->args, &c->child, &link_fd, &port_fd, fault);

	if (rc != RC_OK)
		return rc;
	c->state = CARRIER_STARTING;
	rc = connect_child(c, link_fd, port_fd, fault);
	if (rc == RC_OK)
		rc = loop_io_new(
		    c->executor->loop, c->child.fd, on_end, c, &c->io);
	if (rc != RC_OK) {
		spawn_kill(&c->child);
		(void)spawn_wait(&c->child, END_MS);
		forget_child(c);
		return rc;
	}
	loop_io_want(c->io, LOOP_READ);
	say_life(c);
	return RC_OK;
}

static void on_timer(void *arg)
{
	struct carrier *c = arg;
	struct fault fault = { .text = "out of memory" };

	if (start(c, &fault) == RC_OK)
		return;
	log_error("agent", who(c), "the network process: %s", fault.text);
	rest(c);
}

static MUST_CHECK enum rc prepare(struct carrier *c, struct fault *fault)
{
	struct executor *e = c->executor;
	char name[96];
	enum rc rc = spawn_open_self(&c->program, fault);

	if (rc != RC_OK)
		return rc;
	port_link_config(&e->settings->link, &c->config);
	rc = link_net_new(e->loop, e->pool, &c->config, &link_ops, c, &c->net);
	if (rc == RC_OK)
		rc = loop_timer_new(e->loop, on_timer, c, &c->timer);
	if (rc != RC_OK)
		return rc;
	(void)snprintf(name, sizeof(name), "machine %s", who(c));
	link_net_set_name(c->net, name);
	link_net_set_contexts(c->net, e->member->contexts);
	return RC_OK;
}

enum rc carrier_new(struct executor *executor, const char *const *args,
    struct carrier **out, struct fault *fault)
{
	struct carrier *c = calloc(1, sizeof(*c));
	struct executor_carrier carrier = {
		.upkeep = say_upkeep,
		.life = say_life,
		.arg = c,
	};
	enum rc rc;

	fault_set(fault, REASON_MEMORY, "", "out of memory");
	if (c == NULL)
		return RC_NOMEM;
	/* Both are one user then, and may read each other's memory. */
	if (geteuid() != 0)
		(void)prctl(PR_SET_DUMPABLE, 0);
	c->executor = executor;
	c->args = args;
	c->program = c->child.fd = -1;
	rc = prepare(c, fault);
	if (rc == RC_OK) {
		carrier.net = c->net;
		executor_carry(executor, &carrier);
		rc = start(c, fault);
	}
	if (rc != RC_OK) {
		if (carrier.net != NULL)
			executor_leave(executor);
		carrier_free(c);
		return rc;
	}
	*out = c;
	return RC_OK;
}

bool carrier_has_failed(const struct carrier *c)
{
	return c->failed;
}

void carrier_free(struct carrier *c)
{
	struct link *link;
	struct spawned child;
	struct fault fault;

	if (c == NULL)
		return;
	/* From now on its end is no surprise. */
	child = c->child;
	c->child.pid = 0;
	link = c->link;
	fault_set(&fault, REASON_DRAINING, "", "shutting down");
	if (link != NULL)
		link_close(link, &fault);
	link_net_free(c->net);
	port_free(c->port);
	loop_io_free(c->io);
	loop_timer_free(c->timer);
	if (child.pid > 0 && !spawn_wait(&child, END_MS)) {
		spawn_kill(&child);
		(void)spawn_wait(&child, END_MS);
	}
	spawn_forget(&child);
	if (c->program >= 0)
		(void)close(c->program);
	free(c);
}
