#include "common/join.h"
#include "common/failpoint.h"
#include "common/join_private.h"

#include "common/clock.h"
#include "common/dial.h"
#include "common/hex.h"
#include "common/random.h"
#include "common/seal.h"
#include "proto/lenframe.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

/* How often a person's approval is asked for. */
#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 300000

/* So long for a place among others who join. */
#define FULL_MAX_MS 300000

#define KEY_DIGITS  16 /* of a key's hash, for people */
#define TRACE_BYTES 6  /* of an id that is found in the logs of all hops */

/* One attempt through one endpoint. */
struct attempt {
	const struct join *join;
	struct loop *loop;
	struct worker_pool *pool;
	struct link_net *net;
	struct dialler *dialler;
	struct loop_timer *timer;
	struct joining *joining; /* the key, and at last the certificate */
	struct trust *trust;
	struct tls_contexts *contexts;
	struct seal *seal;
	struct peer outer; /* who answered the link */
	char address[ADDRESS_TEXT_MAX];
	const struct endpoint *endpoint;
	struct joined *out;
	uint32_t retry_ms;        /* pending: ask again then; 0: not pending */
	uint32_t full_ms;         /* no room: come again then; 0: it has */
	char waits_as[NAME_SIZE]; /* as operators see it; may be empty */
	enum rc rc;               /* RC_AGAIN: still under way */
	struct fault fault;
};

static void progress(const struct join *join, const char *format, ...)
    PRINTF_LIKE(2, 3);

static void progress(const struct join *join, const char *format, ...)
{
	char text[FAULT_TEXT_MAX];
	va_list args;

	if (join->progress == NULL)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	join->progress(join->arg, text);
}

static void finish(struct attempt *a, enum rc rc)
{
	if (a->rc != RC_AGAIN)
		return;
	a->rc = rc;
	loop_stop(a->loop);
}

static void fail(struct attempt *a, const struct fault *fault)
{
	if (a->rc != RC_AGAIN)
		return;
	a->fault = *fault;
	finish(a, RC_DENIED);
}

/* --- The answer ----------------------------------------------------------- */

static struct msg_peer *find_outer(
    const struct attempt *a, struct msg_peer *peers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (peers[i].role == a->outer.role &&
		    strcmp(peers[i].name, a->outer.id.name) == 0)
			return &peers[i];
	}
	return NULL;
}

/*
 * The peer that answered our link is one to dial again, unless the server names
 * others only; where it does not say under which address, it is the one that we
 * used.  Who is dialled does not dial: two links of one pair would replace each
 * other for ever.
 */
static size_t add_outer(const struct attempt *a, const struct msg_enrolled *m,
    struct msg_peer *peers)
{
	size_t count = m->peer_count < PEERS_MAX ? m->peer_count : PEERS_MAX;
	struct msg_peer *outer;
	bool told = false;

	if (count > 0)
		memcpy(peers, m->peers, count * sizeof(*peers));
	for (size_t i = 0; i < count; i++)
		told = told || peers[i].dial;
	outer = find_outer(a, peers, count);
	if (outer == NULL && !told && count < PEERS_MAX) {
		outer = &peers[count++];
		*outer = (struct msg_peer){ .role = a->outer.role };
		memcpy(outer->name, a->outer.id.name, sizeof(outer->name));
	}
	if (outer != NULL && (outer->dial || !told) &&
	    outer->endpoint[0] == '\0')
		endpoint_format(a->endpoint, outer->endpoint);
	for (size_t i = 0; i < count && a->join->listen[0] != '\0'; i++)
		peers[i].endpoint[0] = '\0';
	return count;
}

static MUST_CHECK enum rc keep(
    struct attempt *a, const struct msg_enrolled *m, struct fault *fault)
{
	struct msg_peer *peers = calloc(PEERS_MAX, sizeof(*peers));
	enum rc rc;

	if (peers == NULL)
		return RC_NOMEM;
	rc = joining_keep(a->joining, m, peers, add_outer(a, m, peers), fault);
	free(peers);
	return rc;
}

static void on_enrolled(struct attempt *a, struct bytes message)
{
	struct joined *out = a->out;
	struct msg_enrolled m;
	struct fault fault;
	enum rc rc = msg_enrolled_decode(message, &m, &fault);

	if (rc != RC_OK) {
		fail(a, &fault);
		return;
	}
	fault_set(&fault, REASON_MEMORY, "", "out of memory");
	failpoint("join.answered");
	rc = keep(a, &m, &fault);
	failpoint("join.kept");
	if (rc != RC_OK) {
		msg_enrolled_clear(&m);
		fail(a, &fault);
		return;
	}
	memcpy(out->id, m.id, sizeof(out->id));
	memcpy(out->name, m.name, sizeof(out->name));
	memcpy(out->cluster, m.cluster, sizeof(out->cluster));
	(void)snprintf(out->via, sizeof(out->via), "%s %s",
	    role_name(a->outer.role), a->outer.id.name);
	memcpy(out->via_address, a->address, sizeof(out->via_address));
	msg_enrolled_clear(&m);
	finish(a, RC_OK);
}

static void on_message(struct attempt *a, struct bytes message)
{
	struct msg_head head;
	struct msg_pending pending;
	struct msg_fault refusal;
	struct fault fault;
	enum rc rc = msg_peek(message, &head, &fault);

	if (rc == RC_OK && head.op == OP_ENROLLED) {
		on_enrolled(a, message);
	} else if (rc == RC_OK && head.op == OP_PENDING &&
		   msg_pending_decode(message, &pending, &fault) == RC_OK) {
		a->retry_ms = pending.retry_ms < RETRY_MIN_MS ? RETRY_MIN_MS
		              : pending.retry_ms > RETRY_MAX_MS
		                  ? RETRY_MAX_MS
		                  : pending.retry_ms;
		memcpy(a->waits_as, pending.name, sizeof(a->waits_as));
		finish(a, RC_STATE);
	} else if (rc == RC_OK && head.op == OP_FAULT &&
		   msg_fault_decode(message, &refusal, &fault) == RC_OK) {
		fail(a, &refusal.fault);
	} else {
		fault_set(&fault, REASON_PROTOCOL, "",
		    "the server's answer is not understood");
		fail(a, &fault);
	}
}

/* --- The request ---------------------------------------------------------- */

static MUST_CHECK enum rc send_request(struct attempt *a)
{
	const struct token *token = a->join->token;
	struct msg_enrol m = {
		.secret = bytes_of(token->secret, sizeof(token->secret)),
		.role = a->join->role,
		.version = bytes_text(LONGARM_VERSION),
	};
	struct utsname host;
	struct packbuf pack;
	uint8_t *csr = NULL;
	enum rc rc;

	(void)uname(&host);
	(void)snprintf(m.token_id, sizeof(m.token_id), "%s", token->id);
	(void)snprintf(m.listen, sizeof(m.listen), "%s", a->join->listen);
	m.hostname = bytes_text(
	    a->join->hostname != NULL ? a->join->hostname : host.nodename);
	m.os = bytes_text(host.sysname);
	packbuf_init(&pack, LENFRAME_ENROL_MAX);
	rc = identity_csr(a->joining->identity, &csr, &m.csr.len);
	m.csr.p = csr;
	if (rc == RC_OK)
		rc = msg_enrol_encode(&m, &pack);
	if (rc == RC_OK)
		rc = seal_send(a->seal, packbuf_bytes(&pack));
	if (pack.data != NULL)
		OPENSSL_cleanse(pack.data, pack.len);
	packbuf_fini(&pack);
	free(csr);
	return rc;
}

static void on_seal(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct attempt *a = arg;
	struct fault fault;

	switch (event->type) {
	case SEAL_OPEN:
		progress(a->join, "server %s proved itself; asking to join",
		    seal_peer(seal)->id.name);
		if (send_request(a) != RC_OK) {
			fault_set(&fault, REASON_INTERNAL, "",
			    "cannot make the request");
			fail(a, &fault);
		}
		break;
	case SEAL_MESSAGE:
		on_message(a, event->message);
		break;
	case SEAL_WRITABLE:
		break;
	case SEAL_CLOSED:
		a->seal = NULL;
		fault = *event->fault;
		if (fault.code == REASON_NONE)
			fault_set(&fault, REASON_PROTOCOL, "",
			    "the server ended without an answer");
		fail(a, &fault);
		break;
	}
}

static void open_enrol(struct attempt *a, struct link *link)
{
	struct msg_open open = {
		.kind = KIND_ENROL,
		.to = { .kind = TARGET_SERVER },
		.service_class = CLASS_HEALTH,
		.deadline_ms = a->join->timeout_ms,
	};
	const struct seal_far far = {
		.kind = TLS_ENROL_CLIENT,
		.expect = { .roles = TRUST_ROLE(ROLE_SERVER) },
	};
	const struct seal_user user = {
		.fn = on_seal,
		.arg = a,
		.message_max = LENFRAME_ENROL_MAX,
		.open_ms = a->join->timeout_ms,
	};
	struct fault fault;

	random_hex(open.trace, TRACE_BYTES);
	a->outer = *link_peer(link);
	(void)snprintf(
	    a->address, sizeof(a->address), "%s", link_address(link));
	progress(a->join, "connected to %s at %s", link_label(link),
	    link_address(link));
	if (seal_dial(link, &open, &far, &user, &a->seal) != RC_OK) {
		fault_set(&fault, REASON_MEMORY, "", "cannot open a stream");
		fail(a, &fault);
	}
}

/* --- The link ------------------------------------------------------------- */

static void fill_hello(
    void *owner, const struct peer *peer, struct msg_hello *hello)
{
	(void)owner;
	(void)peer;
	hello->has_instance = false; /* nobody yet */
}

static enum rc admit(void *owner, struct link *link,
    const struct msg_hello *hello, struct fault *fault)
{
	(void)owner;
	(void)link;
	(void)hello;
	(void)fault;
	return RC_OK;
}

static void on_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct attempt *a = owner;

	if (event->type == LINK_UP)
		open_enrol(a, link);
	else if (event->type == LINK_DOWN && link_was_up(link))
		fail(a, event->fault);
	/* Else the dialler has other addresses to try. */
}

static const struct link_ops link_ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_link,
};

static void on_dial_failed(void *arg, struct dialler *d)
{
	struct attempt *a = arg;

	a->full_ms = dial_told_ms(d);
	fail(a, dial_fault(d));
}

static void on_timeout(void *arg)
{
	struct attempt *a = arg;
	char label[ENDPOINT_SIZE];
	struct fault fault;

	if (a->address[0] == '\0' &&
	    dial_fault(a->dialler)->code != REASON_NONE) {
		fail(a, dial_fault(a->dialler));
		return;
	}
	endpoint_format(a->endpoint, label);
	fault_set(&fault, REASON_DEADLINE, "", "%s: no answer within %u s",
	    label, a->join->timeout_ms / 1000);
	fail(a, &fault);
}

/* --- One attempt, and the next -------------------------------------------- */

static MUST_CHECK enum rc prepare(struct attempt *a, const char *label)
{
	const struct dial_spec spec = {
		.label = label,
		.expect = { .roles = TRUST_ROLE(ROLE_SERVER) |
		                     TRUST_ROLE(ROLE_RELAY) },
		.endpoints = a->endpoint,
		.count = 1,
		.changed = on_dial_failed,
		.arg = a,
	};
	enum rc rc = loop_new(&a->loop);

	if (rc == RC_OK)
		rc = worker_pool_new(a->loop, 1, 16, &a->pool);
	if (rc == RC_OK)
		rc = link_net_new(
		    a->loop, a->pool, &a->join->link, &link_ops, a, &a->net);
	if (rc == RC_OK)
		rc = trust_new_pinned(a->join->token->cluster,
		    a->join->token->root_hash, &a->trust);
	if (rc == RC_OK)
		rc = tls_contexts_new(NULL, a->trust, &a->contexts, &a->fault);
	if (rc != RC_OK)
		return rc;
	link_net_set_contexts(a->net, a->contexts);
	rc = loop_timer_new(a->loop, on_timeout, a, &a->timer);
	if (rc == RC_OK)
		rc = dial_new(a->net, &spec, &a->dialler);
	if (rc == RC_OK)
		loop_timer_set(a->timer, a->join->timeout_ms);
	return rc;
}

static void clean_up(struct attempt *a)
{
	const struct fault bye = { .code = REASON_NONE };

	if (a->rc == RC_AGAIN) {
		a->rc = RC_NOMEM;
		if (a->fault.code == REASON_NONE)
			fault_set(&a->fault, REASON_MEMORY, "",
			    "out of memory or descriptors");
	}
	seal_close(a->seal, NULL);
	dial_free(a->dialler, &bye);
	link_net_free(a->net);
	loop_timer_free(a->timer);
	tls_contexts_unref(a->contexts);
	trust_unref(a->trust);
	worker_pool_free(a->pool);
	loop_free(a->loop);
}

static void say_waiting(const struct attempt *a)
{
	char key[KEY_DIGITS + 1];

	hex_encode(
	    identity_key_hash(a->joining->identity), KEY_DIGITS / 2, key);
	progress(a->join, "waiting for approval of key %s", key);
	progress(a->join, "on the server: longarm %s approve %s",
	    a->join->role == ROLE_RELAY ? "relay" : "machine",
	    a->waits_as[0] != '\0' ? a->waits_as : key);
}

static void rest(uint32_t ms)
{
	(void)nanosleep(&(struct timespec){ .tv_sec = ms / 1000,
			    .tv_nsec = (long)(ms % 1000) * 1000000 },
	    NULL);
}

/* Connections may fail while it waits: the server remembers. */
static MUST_CHECK enum rc try_once(const struct join *join,
    const struct endpoint *endpoint, struct joining *joining,
    struct joined *out, struct fault *fault)
{
	uint64_t end_ms = clock_monotonic_ms() + join->wait_ms;
	uint64_t full_until_ms = clock_monotonic_ms() + FULL_MAX_MS;
	struct attempt a;
	char label[ENDPOINT_SIZE];
	bool told = false;
	enum rc rc;

	endpoint_format(endpoint, label);
	for (;;) {
		a = (struct attempt){
			.join = join,
			.joining = joining,
			.endpoint = endpoint,
			.out = out,
			.rc = RC_AGAIN,
		};
		rc = prepare(&a, label);
		if (rc == RC_OK)
			loop_run(a.loop);
		clean_up(&a);
		if (a.full_ms > 0 && clock_monotonic_ms() < full_until_ms) {
			progress(join, "%s", a.fault.text);
			rest(a.full_ms / 2 + (uint32_t)random_below(a.full_ms));
			continue;
		}
		if (a.retry_ms == 0)
			break;
		if (!told)
			say_waiting(&a);
		told = true;
		if (join->wait_ms > 0 &&
		    clock_monotonic_ms() + a.retry_ms > end_ms) {
			fault_set(fault, REASON_TIMED_OUT, "",
			    "nobody has approved this join yet; the key is "
			    "kept: run the same command again later");
			return RC_AGAIN;
		}
		rest(a.retry_ms);
	}
	*fault = a.fault;
	return a.rc;
}

static MUST_CHECK enum rc try_all(const struct join *join,
    struct joining *joining, struct joined *out, struct fault *fault)
{
	enum rc rc = RC_NOTFOUND;

	for (size_t i = 0;
	     i < join->endpoint_count && rc != RC_OK && rc != RC_AGAIN; i++) {
		rc = try_once(join, &join->endpoints[i], joining, out, fault);
		if (rc != RC_OK && rc != RC_AGAIN &&
		    i + 1 < join->endpoint_count)
			progress(join, "%s", fault->text);
	}
	return rc;
}

enum rc join_run(
    const struct join *join, struct joined *out, struct fault *fault)
{
	struct joining joining;
	enum rc rc =
	    joining_begin(join->state_dir, join->role, &joining, fault);

	if (rc == RC_OK)
		rc = try_all(join, &joining, out, fault);
	return joining_end(&joining, rc, fault);
}
