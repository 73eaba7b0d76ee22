#include "tentacle/executor.h"

#include "common/log.h"
#include "common/member_upkeep.h"
#include "proto/lenframe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Limits of what the far end may take its time with. */
#define OPEN_MS_MAX 60000
#define WELCOME_MS  30000

static void drop(struct session *s)
{
	struct executor *e = s->executor;

	operations_caller_gone(e->operations, s);
	follow_free(s->follow);
	staging_free(s->staging);
	loop_timer_free(s->deadline);
	TAILQ_REMOVE(&e->sessions, s, all);
	e->session_count--;
	free(s);
}

void session_expect(struct session *s, uint32_t ms)
{
	if (ms > 0)
		loop_timer_set(s->deadline, ms);
	else
		loop_timer_stop(s->deadline);
}

static void on_deadline(void *arg)
{
	struct session *s = arg;
	struct fault fault;

	fault_set(&fault, REASON_DEADLINE,
	    link_net_name(s->executor->carrier.net),
	    "%s: server %s said nothing for too long",
	    s->executor->member->name, s->node);
	log_warn("session", s->node, "%s", fault.text);
	session_end(s, &fault);
}

void session_end(struct session *s, const struct fault *fault)
{
	seal_close(s->seal, fault);
	drop(s);
}

enum rc session_send(struct session *s, enum rc encoded, struct packbuf *pack)
{
	enum rc rc = encoded;

	if (rc == RC_OK)
		rc = seal_send(s->seal, packbuf_bytes(pack));
	packbuf_fini(pack);
	return rc;
}

void session_refuse(struct session *s, const struct fault *fault)
{
	const struct msg_fault message = { .fault = *fault };
	struct packbuf pack;

	packbuf_init(&pack, 4096);
	/* Told or not, the seal ends with the reason. */
	if (session_send(s, msg_fault_encode(&message, &pack), &pack) != RC_OK)
		log_debug("session", s->node, "refusal not sent");
	session_end(s, NULL);
}

static void on_welcome(struct session *s, struct bytes message)
{
	struct executor *e = s->executor;
	struct msg_welcome welcome;
	struct fault fault;
	enum rc rc = msg_welcome_decode(message, &welcome, &fault);

	if (rc == RC_OK)
		rc = operations_welcome(
		    e->operations, &welcome.incarnation, &fault);
	if (rc == RC_OK)
		rc = member_welcomed(e->member, s->seal, message, &welcome,
		    operations_counter(e->operations), &fault);
	if (rc != RC_OK) {
		log_warn("session", s->node, "server refused: %s", fault.text);
		session_end(s, &fault);
		return;
	}
	s->incarnation = welcome.incarnation;
	s->state = SESSION_OPEN;
	session_expect(s, 0);
}

static void send_reply(void *arg, struct bytes message)
{
	struct session *s = arg;

	/* A server that reads no answers loses them; it asks again. */
	if (seal_send(s->seal, message) != RC_OK)
		log_warn("session", s->node, "an answer was not taken");
}

/* RC_NOTFOUND: it is something else. */
static MUST_CHECK enum rc on_upkeep(struct session *s,
    const struct msg_head *head, struct bytes message, struct fault *fault)
{
	const struct executor_carrier *carrier = &s->executor->carrier;
	const struct member_user user = {
		.member = s->executor->member,
		.net = carrier->net,
		.seal = s->seal,
		.peers_changed = carrier->peers_changed,
	};
	enum rc rc = member_upkeep(&user, head, message, fault);

	/* Also what was refused, or has not reached the disk: the other side
	 * judges for itself. */
	if (rc != RC_NOTFOUND && rc != RC_PROTO && carrier->upkeep != NULL)
		carrier->upkeep(carrier->arg, message);
	return rc;
}

static void on_request(
    struct session *s, const struct msg_head *head, struct bytes message)
{
	const struct operations_caller caller = {
		.send = send_reply,
		.arg = s,
	};
	struct fault fault;
	enum rc rc = on_upkeep(s, head, message, &fault);

	if (rc == RC_PROTO) {
		log_warn("session", s->node, "not understood: %s", fault.text);
		session_end(s, &fault);
	} else if (rc != RC_NOTFOUND) {
		if (rc != RC_OK)
			log_warn("session", s->node, "an answer was not sent");
	} else if (head->op == OP_ATTACH) {
		follow_begin(s, message);
	} else if (head->op == OP_STAGE) {
		staging_begin(s, message);
	} else if (head->op == OP_PIECE) {
		staging_piece(s, message);
	} else if (head->op == OP_ACK) {
		return; /* the server's committed offset: nothing to do yet */
	} else if (operations_request(s->executor->operations, message, caller,
		       &fault) != RC_OK) {
		session_end(s, &fault);
	}
}

static void on_message(struct session *s, struct bytes message)
{
	struct msg_head head;
	struct fault fault;
	enum rc rc = msg_peek(message, &head, &fault);

	if (s->state == SESSION_GREETED && rc == RC_OK &&
	    head.op == OP_WELCOME) {
		on_welcome(s, message);
		return;
	}
	if (s->state == SESSION_OPEN &&
	    !operations_obey(s->executor->operations, &s->incarnation)) {
		fault_set(&fault, REASON_SUPERSEDED, s->executor->member->name,
		    "%s: a newer life of the database has been here",
		    s->executor->member->name);
		session_end(s, &fault);
		return;
	}
	/* An op that is not known is answered by the operations. */
	if (s->state == SESSION_OPEN && (rc == RC_OK || rc == RC_NOTFOUND)) {
		on_request(s, &head, message);
		return;
	}
	if (rc == RC_OK || rc == RC_NOTFOUND)
		fault_set(&fault, REASON_PROTOCOL, "",
		    "a message before its welcome");
	session_end(s, &fault);
}

static void on_open(struct session *s)
{
	struct executor *e = s->executor;
	struct fault fault;

	memcpy(s->node, seal_peer(s->seal)->id.name, sizeof(s->node));
	s->state = SESSION_GREETED;
	session_expect(s, WELCOME_MS);
	if (member_greet(e->member, s->seal, operations_counter(e->operations),
		0) != RC_OK) {
		fault_set(&fault, REASON_MEMORY, "", "cannot greet");
		session_end(s, &fault);
		return;
	}
	log_debug_with("session", s->trace,
	    LOG_FIELDS(LOG_TEXT("node", s->node)), "server proved itself");
}

static void on_seal(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct session *s = arg;

	(void)seal;
	switch (event->type) {
	case SEAL_OPEN:
		on_open(s);
		break;
	case SEAL_MESSAGE:
		on_message(s, event->message);
		break;
	case SEAL_WRITABLE:
		if (s->follow != NULL)
			follow_writable(s);
		break;
	case SEAL_CLOSED:
		if (event->fault->code != REASON_NONE)
			log_info_with("session", s->trace,
			    LOG_FIELDS(LOG_TEXT("node", s->node)),
			    "seal closed: %s", event->fault->text);
		drop(s);
		break;
	}
}

/* A relay could otherwise fill all places with streams where nobody proves
 * anything. */
static bool has_room(const struct executor *e, const char *from)
{
	const struct session *s;
	unsigned opening = 0;

	TAILQ_FOREACH(s, &e->sessions, all)
	{
		if (s->state == SESSION_OPENING && strcmp(s->from, from) == 0)
			opening++;
	}
	return e->session_count < SESSIONS_MAX &&
	       opening < SESSIONS_OPENING_MAX;
}

void session_accept(struct executor *e, struct link *link, uint32_t stream,
    const struct msg_open *open)
{
	const char *from = open->passed.count > 0 ? open->passed.names[0] : "";
	struct session *s = NULL;
	struct seal_user user = {
		.fn = on_seal,
		.message_max = LENFRAME_STANDING_MAX,
		.open_ms = open->deadline_ms < OPEN_MS_MAX ? open->deadline_ms
		                                           : OPEN_MS_MAX,
	};
	struct fault fault;

	if (has_room(e, from))
		s = calloc(1, sizeof(*s));
	if (s != NULL &&
	    loop_timer_new(e->loop, on_deadline, s, &s->deadline) != RC_OK) {
		free(s);
		s = NULL;
	}
	if (s == NULL) {
		fault_set(&fault, REASON_TOO_MANY,
		    link_net_name(e->carrier.net),
		    "%s serves %zu seals already", e->member->name,
		    e->session_count);
		link_reset(link, stream, &fault, false);
		return;
	}
	s->executor = e;
	(void)snprintf(s->from, sizeof(s->from), "%s", from);
	s->class = open->service_class;
	memcpy(s->trace, open->trace, sizeof(s->trace));
	user.arg = s;
	TAILQ_INSERT_TAIL(&e->sessions, s, all);
	e->session_count++;
	if (seal_accept(link, stream, s->class, TLS_SEAL_SERVER, &user,
		&s->seal) != RC_OK)
		drop(s);
}

void sessions_close(struct executor *e)
{
	struct session *s, *next;
	struct fault fault;

	fault_set(&fault, REASON_DRAINING, link_net_name(e->carrier.net),
	    "%s is shutting down", e->member->name);
	for (s = TAILQ_FIRST(&e->sessions); s != NULL; s = next) {
		next = TAILQ_NEXT(s, all);
		session_end(s, &fault);
	}
}
