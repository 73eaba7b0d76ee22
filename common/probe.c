#include "common/probe.h"

#include "common/dial.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

/* A peer that does not like our certificate says so after its own handshake
 * is over; so long we listen. */
#define LISTEN_MS 500
/* Names, addresses and handshake all together. */
#define LIMIT_MS 30000

struct probing {
	struct loop *loop;
	struct worker_pool *pool;
	struct link_net *net;
	struct dialler *dialler;
	struct loop_timer *timer;
	struct loop_lookup *lookup;
	struct probe_result *out;
	bool is_open; /* TLS is */
	bool linked;
};

static void finish(struct probing *p, enum probe_stage stage)
{
	p->out->stage = stage;
	loop_stop(p->loop);
}

static enum probe_stage stage_of(const struct probing *p, enum reason code)
{
	if (p->linked)
		return PROBE_TLS;
	return code == REASON_DNS     ? PROBE_NAME
	       : code == REASON_PROXY ? PROBE_PROXY
	                              : PROBE_CONNECT;
}

/* --- The link ------------------------------------------------------------- */

static void on_known(void *owner, struct link *link)
{
	struct probing *p = owner;

	p->is_open = true;
	p->out->peer = *link_peer(link);
	(void)snprintf(
	    p->out->address, sizeof(p->out->address), "%s", link_address(link));
	loop_timer_set(p->timer, LISTEN_MS);
}

static void fill_hello(
    void *owner, const struct peer *peer, struct msg_hello *hello)
{
	(void)owner;
	(void)peer;
	(void)hello;
}

static enum rc admit(void *owner, struct link *link,
    const struct msg_hello *hello, struct fault *fault)
{
	(void)owner;
	(void)link;
	(void)hello;
	fault_set(fault, REASON_NOT_PERMITTED, "", "only probing");
	return RC_DENIED;
}

static void on_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct probing *p = owner;

	if (event->type != LINK_DOWN)
		return;
	p->linked = true;
	p->is_open = false; /* another address may follow */
	loop_timer_set(p->timer, LIMIT_MS);
	(void)snprintf(
	    p->out->address, sizeof(p->out->address), "%s", link_address(link));
}

static const struct link_ops ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_link,
	.known = on_known,
};

static void on_failed(void *arg, struct dialler *d)
{
	struct probing *p = arg;

	p->out->fault = *dial_fault(d);
	finish(p, stage_of(p, p->out->fault.code));
}

static void on_timer(void *arg)
{
	struct probing *p = arg;

	if (p->is_open) {
		finish(p, PROBE_DONE);
		return;
	}
	fault_set(&p->out->fault, REASON_CONNECT_TIMEOUT, "",
	    "no answer within %d s", LIMIT_MS / 1000);
	finish(p, dial_link(p->dialler) != NULL ? PROBE_TLS : PROBE_CONNECT);
}

/* --- The name ------------------------------------------------------------- */

static void host_text(const struct address *a, char out[INET6_ADDRSTRLEN + 1])
{
	if (getnameinfo((const struct sockaddr *)&a->sa, a->len, out,
		INET6_ADDRSTRLEN + 1, NULL, 0, NI_NUMERICHOST) != 0)
		(void)snprintf(out, INET6_ADDRSTRLEN + 1, "?");
}

/* Some resolvers give an address more than once. */
static bool is_among(
    const struct address *addresses, size_t count, const char *text)
{
	char other[INET6_ADDRSTRLEN + 1];

	for (size_t i = 0; i < count; i++) {
		host_text(&addresses[i], other);
		if (strcmp(other, text) == 0)
			return true;
	}
	return false;
}

static void on_addresses(
    void *arg, const struct address *addresses, size_t count, const char *error)
{
	struct probing *p = arg;
	char *out = p->out->addresses, text[INET6_ADDRSTRLEN + 1];
	size_t len = 0, size = sizeof(p->out->addresses);

	(void)error; /* the dialler will say so */
	p->lookup = NULL;
	for (size_t i = 0; i < count && len < size; i++) {
		host_text(&addresses[i], text);
		if (is_among(addresses, i, text))
			continue;
		len += (size_t)snprintf(
		    out + len, size - len, "%s%s", len > 0 ? ", " : "", text);
	}
}

static bool is_address(const char *host)
{
	uint8_t bytes[16];

	return inet_pton(AF_INET, host, bytes) == 1 ||
	       inet_pton(AF_INET6, host, bytes) == 1;
}

/* --- All ------------------------------------------------------------------ */

static MUST_CHECK enum rc begin(struct probing *p, const struct probe *probe)
{
	const struct dial_spec spec = {
		.label = probe->label,
		.expect = probe->expect,
		.endpoints = &probe->endpoint,
		.count = 1,
		.changed = on_failed,
		.arg = p,
	};
	const struct endpoint *e = &probe->endpoint;
	enum rc rc = loop_new(&p->loop);

	if (rc == RC_OK)
		rc = worker_pool_new(p->loop, 1, 16, &p->pool);
	if (rc == RC_OK)
		rc = link_net_new(
		    p->loop, p->pool, &probe->link, &ops, p, &p->net);
	if (rc == RC_OK)
		rc = loop_timer_new(p->loop, on_timer, p, &p->timer);
	if (rc != RC_OK)
		return rc;
	link_net_set_contexts(p->net, probe->contexts);
	rc = dial_new(p->net, &spec, &p->dialler);
	if (rc == RC_OK && !p->out->by_proxy && !is_address(e->host))
		rc = loop_lookup(
		    p->loop, e->host, e->port, on_addresses, p, &p->lookup);
	if (rc == RC_OK)
		loop_timer_set(p->timer, LIMIT_MS);
	return rc;
}

void probe_run(const struct probe *probe, struct probe_result *out)
{
	const struct proxy_settings *proxy = &probe->link.proxy;
	const struct fault bye = { .code = REASON_NONE };
	struct probing p = { .out = out };

	*out = (struct probe_result){
		.stage = PROBE_NAME,
		.by_proxy = proxy->is_set &&
		            !proxy_is_exempt(proxy->exempt, proxy->exempt_count,
				probe->endpoint.host),
		.fault = { .code = REASON_MEMORY, .text = "out of memory" },
	};
	if (begin(&p, probe) == RC_OK)
		loop_run(p.loop);
	loop_lookup_cancel(p.lookup);
	dial_free(p.dialler, &bye);
	link_net_free(p.net);
	loop_timer_free(p.timer);
	worker_pool_free(p.pool);
	loop_free(p.loop);
}
