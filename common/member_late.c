#include "common/member_late.h"

#include "common/certs_wire.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/seal.h"
#include "proto/lenframe.h"

#include <stdlib.h>

#define LATE_MS 60000 /* of one attempt */

void member_late_init(
    struct member_late *late, struct member *member, struct link_net *net)
{
	*late = (struct member_late){ .member = member, .net = net };
}

void member_late_fini(struct member_late *late)
{
	struct seal *seal = late->seal;
	struct fault fault;

	late->seal = NULL;
	if (seal == NULL)
		return;
	fault_set(&fault, REASON_DRAINING, "", "shutting down");
	seal_close(seal, &fault);
}

static void stop(struct member_late *late)
{
	struct seal *seal = late->seal;

	late->seal = NULL;
	seal_close(seal, NULL);
}

/* On this link we are a stranger, who asks but once: let another one come. */
static void leave_link(const struct member_late *late, const char *text)
{
	struct fault fault;

	fault_set(&fault, REASON_EXPIRED, link_net_name(late->net), "%s: %s",
	    late->member->name, text);
	link_drain(late->link, &fault);
}

static void give_up(struct member_late *late, const char *text)
{
	log_warn("member", late->member->name,
	    "the certificate has expired, and no new one came: %s", text);
	stop(late);
	leave_link(late, "its certificate has expired");
}

static MUST_CHECK enum rc send_request(struct member_late *late)
{
	const struct identity *identity = late->member->identity;
	struct msg_enrol m = {
		.token_id = "renewal", /* there is none of this name */
		.role = identity_spiffe(identity)->role,
		.version = bytes_text(LONGARM_VERSION),
	};
	struct packbuf pack;
	uint8_t *csr = NULL;
	enum rc rc = identity_csr(identity, &csr, &m.csr.len);

	m.csr.p = csr;
	packbuf_init(&pack, LENFRAME_ENROL_MAX);
	if (rc == RC_OK)
		rc = msg_enrol_encode(&m, &pack);
	if (rc == RC_OK)
		rc = seal_send(late->seal, packbuf_bytes(&pack));
	packbuf_fini(&pack);
	free(csr);
	return rc;
}

static MUST_CHECK enum rc take(struct member_late *late,
    const struct msg_enrolled *m, bool *changed, struct fault *fault)
{
	struct certs chain;
	enum rc rc;

	certs_init(&chain);
	rc = certs_from_blobs(&m->chain, &chain, fault);
	if (rc == RC_OK)
		rc = member_renew(late->member, &chain, clock_wall_ms() / 1000,
		    changed, fault);
	certs_fini(&chain);
	return rc;
}

static void on_enrolled(struct member_late *late, struct bytes message)
{
	struct msg_enrolled m;
	struct fault fault;
	bool changed = false;
	enum rc rc = msg_enrolled_decode(message, &m, &fault);

	if (rc == RC_OK) {
		fault_set(&fault, REASON_MEMORY, "", "out of memory");
		rc = take(late, &m, &changed, &fault);
		msg_enrolled_clear(&m);
	}
	if (rc != RC_OK || !changed) {
		give_up(late, rc != RC_OK ? fault.text : "it is no later one");
		return;
	}
	link_net_set_contexts(late->net, late->member->contexts);
	if (late->renewed != NULL)
		late->renewed(late->arg);
	stop(late);
	leave_link(late, "it has a new certificate now");
}

static void on_message(struct member_late *late, struct bytes message)
{
	struct msg_head head;
	struct msg_fault refusal;
	struct fault fault;
	enum rc rc = msg_peek(message, &head, &fault);

	if (rc == RC_OK && head.op == OP_ENROLLED) {
		on_enrolled(late, message);
	} else if (rc == RC_OK && head.op == OP_FAULT &&
		   msg_fault_decode(message, &refusal, &fault) == RC_OK) {
		give_up(late, refusal.fault.text);
		msg_fault_clear(&refusal);
	} else if (rc == RC_OK && head.op == OP_PENDING) {
		give_up(late,
		    "an operator must approve it first: longarm machine "
		    "approve, or relay approve");
	} else {
		give_up(late, "the server's answer is not understood");
	}
}

static void on_seal(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct member_late *late = arg;

	if (seal != late->seal)
		return;
	switch (event->type) {
	case SEAL_OPEN:
		if (send_request(late) != RC_OK)
			give_up(late, "the request cannot be made");
		break;
	case SEAL_MESSAGE:
		on_message(late, event->message);
		break;
	case SEAL_WRITABLE:
		break;
	case SEAL_CLOSED:
		late->seal = NULL;
		give_up(late, event->fault->code != REASON_NONE
				  ? event->fault->text
				  : "the server ended without an answer");
		break;
	}
}

static bool has_expired(const struct member *m)
{
	return clock_wall_ms() / 1000 >
	       identity_not_after_s(m->identity) + TRUST_SKEW_S;
}

void member_late_link_up(struct member_late *late, struct link *link)
{
	enum peer_role role = link_peer(link)->role;
	const struct msg_open open = {
		.kind = KIND_ENROL,
		.to = { .kind = TARGET_SERVER },
		.service_class = CLASS_HEALTH,
		.deadline_ms = LATE_MS,
	};
	const struct seal_far far = {
		.kind = TLS_ENROL_CLIENT,
		.expect = { .roles = TRUST_ROLE(ROLE_SERVER) },
	};
	const struct seal_user user = {
		.fn = on_seal,
		.arg = late,
		.message_max = LENFRAME_ENROL_MAX,
		.open_ms = LATE_MS,
	};

	if ((role != ROLE_SERVER && role != ROLE_RELAY) || late->seal != NULL)
		return;
	if (!has_expired(late->member) && !link_we_expired(link))
		return;
	late->link = link;
	if (seal_dial(link, &open, &far, &user, &late->seal) != RC_OK) {
		late->seal = NULL;
		return; /* the link will not live long, and another comes */
	}
	log_info("member", late->member->name,
	    "the certificate has expired; asking for another through %s",
	    link_label(link));
}
