#include "common/dial.h"

#include "common/backoff.h"
#include "common/log.h"
#include "common/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Who is there for so long is back, however long it was away. */
#define STEADY_MS 10000

/*
 *   RESTING --timer--> RESOLVING --addresses--> CONNECTING --socket--> LINKED
 *    ^   ^             |    ^                     ^    | |             ^   |
 *    |   |             +--> NEXT, another one ----+ <--+ +-> ASKING ---+   |
 *    |   +--- no more ------+ <-------------- refused -------+             |
 *    +------------------------------- link down ---------------------------+
 */
enum dial_state {
	DIAL_RESTING,
	DIAL_RESOLVING,
	DIAL_CONNECTING,
	DIAL_ASKING, /* the proxy, for a way to the endpoint */
	DIAL_NEXT,   /* one address failed: another, or rest */
	DIAL_LINKED,
};

struct dialler {
	struct link_net *net;
	enum dial_state state;
	char label[96];
	struct tls_expect expect;
	char expect_name[NAME_SIZE];
	struct endpoint endpoints[DIAL_ENDPOINTS_MAX];
	size_t endpoint_count, endpoint; /* the one being tried */
	struct address addresses[LOOP_ADDRESSES_MAX];
	size_t address_count, address;
	char address_text[ADDRESS_TEXT_MAX];
	bool by_proxy; /* the addresses are the proxy's */
	struct proxy_talk *talk;
	struct loop_lookup *lookup;
	struct loop_timer *timer; /* of the state: rest, or time limit */
	struct loop_io *io;
	int fd;
	struct link *link;
	struct link *former; /* alive until the next one is up; NULL: none */
	struct loop_timer *refresh;
	uint32_t told_ms; /* by who refused us in this round */
	struct fault fault;
	bool first_of_round; /* fault is still that of the last one */
	unsigned failures;
	struct backoff backoff;
	dial_fn changed;
	void *arg;
};

/* What gets further says more: a wrong identity before a lost packet. */
static unsigned telling(enum reason code)
{
	if (code == REASON_NONE)
		return 0;
	if (code == REASON_DNS || code == REASON_CONNECT_TIMEOUT)
		return 1;
	return code == REASON_REFUSED ? 2 : 3;
}

static void keep_fault(struct dialler *d, const struct fault *fault)
{
	if (d->first_of_round || telling(fault->code) >= telling(d->fault.code))
		d->fault = *fault;
	d->first_of_round = false;
}

static void drop_socket(struct dialler *d)
{
	loop_io_free(d->io);
	d->io = NULL;
	proxy_talk_free(d->talk);
	d->talk = NULL;
	if (d->fd >= 0)
		(void)close(d->fd);
	d->fd = -1;
}

/* Knocking where nobody opens costs them nothing, and it is they who decide
 * when we are back; a door that is shut in our face costs both. */
#define NOBODY_PART 4

static uint64_t longest_rest(const struct dialler *d)
{
	uint64_t most = link_net_config(d->net)->backoff_max_ms;
	enum reason code = d->fault.code;
	bool nobody = code == REASON_REFUSED ||
	              code == REASON_CONNECT_TIMEOUT ||
	              code == REASON_RELAY_DOWN || code == REASON_DRAINING;

	return nobody ? most / NOBODY_PART : most;
}

static void rest(struct dialler *d)
{
	d->state = DIAL_RESTING;
	loop_timer_set(d->timer,
	    backoff_next(&d->backoff, link_net_config(d->net)->backoff_min_ms,
		longest_rest(d)));
}

/* They told when: at some time until then, so that not all come at once. */
static void rest_as_told(struct dialler *d, uint64_t told_ms)
{
	uint64_t most = link_net_config(d->net)->backoff_max_ms;

	d->state = DIAL_RESTING;
	loop_timer_set(
	    d->timer, 1 + random_below(told_ms < most ? told_ms : most));
}

/* The address or name tried is no good: see advance(), from the loop. */
static void go_on(struct dialler *d)
{
	drop_socket(d);
	loop_lookup_cancel(d->lookup);
	d->lookup = NULL;
	d->state = DIAL_NEXT;
	loop_timer_set(d->timer, 0);
}

static void on_link_down(
    void *arg, struct link *link, const struct fault *fault)
{
	struct dialler *d = arg;
	bool lasted;

	d->link = NULL;
	if (!link_was_up(link)) {
		/* Perhaps it is somebody else's address. */
		keep_fault(d, fault);
		d->told_ms = link_retry_ms(link);
		go_on(d);
		return;
	}
	d->fault = *fault;
	/* Who takes us in and throws us out at once is not back yet. */
	lasted = link_up_ms(link) >= d->backoff.bound_ms;
	if (lasted)
		backoff_reset(&d->backoff);
	d->failures = 1;
	if (lasted && link_retry_ms(link) > 0)
		rest_as_told(d, link_retry_ms(link));
	else
		rest(d);
	log_info("dial", d->label, "%s", fault->text);
	if (d->changed != NULL)
		d->changed(d->arg, d);
}

/* --- A newer link beside the old one -------------------------------------- */

static void on_former_down(
    void *arg, struct link *link, const struct fault *fault)
{
	struct dialler *d = arg;

	(void)link;
	(void)fault;
	d->former = NULL;
}

/* What runs on the old one may end there; nothing new comes. */
static void on_risen(void *arg, struct link *link)
{
	struct dialler *d = arg;
	struct link *old = d->former;
	struct fault fault;

	(void)link;
	if (old == NULL)
		return;
	d->former = NULL;
	link_on_down(old, NULL, NULL);
	fault_set(&fault, REASON_NONE, link_net_name(d->net),
	    "%s: a link with a newer certificate takes its place", d->label);
	link_drain(old, &fault);
}

static void on_refresh(void *arg)
{
	struct dialler *d = arg;

	if (d->state != DIAL_LINKED || !link_is_up(d->link) ||
	    d->former != NULL)
		return; /* there will be a new one anyway */
	d->former = d->link;
	d->link = NULL;
	link_on_life(d->former, NULL, NULL, NULL);
	link_on_down(d->former, on_former_down, d);
	backoff_reset(&d->backoff);
	d->state = DIAL_RESTING;
	loop_timer_set(d->timer, 0);
}

/* Not all of a fleet at once, and nobody more often than this. */
static void on_renew(void *arg, struct link *link)
{
	struct dialler *d = arg;
	uint64_t most = link_net_config(d->net)->refresh_ms;

	(void)link;
	if (!loop_timer_pending(d->refresh))
		loop_timer_set(
		    d->refresh, most / 10 + random_below(most - most / 10));
}

static void link_socket(struct dialler *d)
{
	struct link *link;
	struct fault fault;
	int fd = d->fd;
	enum rc rc;

	d->fd = -1;
	drop_socket(d);
	loop_timer_stop(d->timer);
	rc = link_new(d->net, fd, &d->expect, d->address_text, &link);
	if (rc != RC_OK) {
		fault_set(&fault, REASON_TOO_MANY, link_net_name(d->net),
		    "%s: no link to %s: %s", d->label, d->address_text,
		    rc_name(rc));
		keep_fault(d, &fault);
		go_on(d);
		return;
	}
	d->state = DIAL_LINKED;
	d->link = link;
	if (d->expect_name[0] != '\0')
		link_set_label(link, d->label);
	link_on_down(link, on_link_down, d);
	link_on_life(link, on_risen, on_renew, d);
	if (d->former != NULL)
		link_set_beside(link);
}

/* Nothing is wrong out there. */
static bool is_ours(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM ||
	       error == ENOBUFS;
}

/* --- By a proxy ----------------------------------------------------------- */

static const struct proxy_settings *proxy_of(const struct dialler *d)
{
	return &link_net_config(d->net)->proxy;
}

static void proxy_failed(struct dialler *d, const char *what)
{
	char proxy[ENDPOINT_SIZE], target[ENDPOINT_SIZE];
	struct fault fault;

	endpoint_format(&proxy_of(d)->proxy.at, proxy);
	endpoint_format(&d->endpoints[d->endpoint], target);
	fault_set(&fault, REASON_PROXY, link_net_name(d->net),
	    "%s: proxy %s on the way to %s: %s", d->label, proxy, target, what);
	keep_fault(d, &fault);
	go_on(d);
}

/* It said no, or the talk broke. */
static void asked_in_vain(struct dialler *d, struct fault *fault)
{
	(void)snprintf(
	    fault->at, sizeof(fault->at), "%s", link_net_name(d->net));
	keep_fault(d, fault);
	go_on(d);
}

static void talk_broken(struct dialler *d, const char *what)
{
	struct fault fault;

	proxy_talk_broken(d->talk, what, &fault);
	asked_in_vain(d, &fault);
}

static void ask_proxy(struct dialler *d)
{
	const struct proxy_settings *p = proxy_of(d);
	struct proxy_credentials credentials = { .user = "" };
	struct fault fault;
	enum rc rc = RC_OK;

	/* Read anew each time: a password may change while we run. */
	if (p->credentials != NULL)
		rc = proxy_credentials_read(
		    p->credentials, &credentials, &fault);
	if (rc != RC_OK && p->held != NULL) {
		credentials = *p->held;
		rc = RC_OK;
	}
	if (rc != RC_OK) {
		proxy_failed(d, fault.text);
		return;
	}
	rc = proxy_talk_new(&p->proxy, &credentials, &d->endpoints[d->endpoint],
	    d->label, &d->talk);
	proxy_credentials_fini(&credentials);
	if (rc != RC_OK) {
		proxy_failed(d, "out of memory");
		return;
	}
	d->state = DIAL_ASKING;
	loop_io_want(d->io, LOOP_READ | LOOP_WRITE);
	loop_timer_set(d->timer, link_net_config(d->net)->connect_ms);
}

static void send_to_proxy(struct dialler *d)
{
	struct bytes out = proxy_talk_output(d->talk);
	ssize_t n = send(d->fd, out.p, out.len, MSG_NOSIGNAL);

	/* An error shows when we read. */
	if (n > 0)
		proxy_talk_sent(d->talk, (size_t)n);
	loop_io_want(d->io, proxy_talk_output(d->talk).len > 0 && n >= 0
				? LOOP_READ | LOOP_WRITE
				: LOOP_READ);
}

static void on_proxy(struct dialler *d, unsigned ready)
{
	struct endpoint *e = &d->endpoints[d->endpoint];
	char target[ENDPOINT_SIZE];
	uint8_t data[512];
	struct fault fault;
	ssize_t n = -1;
	enum rc rc = RC_AGAIN;

	if ((ready & LOOP_READ) != 0) {
		n = recv(d->fd, data, sizeof(data), 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			talk_broken(d, n == 0 ? "it closed the connection"
					      : strerrordesc_np(errno));
			return;
		}
	}
	if (n > 0)
		rc = proxy_talk_feed(d->talk, data, (size_t)n, &fault);
	if (rc == RC_DENIED) {
		asked_in_vain(d, &fault);
	} else if (rc == RC_OK) {
		/* To all the rest it looks as if we were there. */
		endpoint_format(e, target);
		(void)snprintf(d->address_text, sizeof(d->address_text), "%.*s",
		    ADDRESS_TEXT_MAX - 1, target);
		link_socket(d);
	} else if (proxy_talk_output(d->talk).len > 0) {
		send_to_proxy(d);
	}
}

/* --- Addresses ------------------------------------------------------------ */

static void connect_failed(struct dialler *d, int error)
{
	struct fault fault;
	enum reason code = error == ECONNREFUSED ? REASON_REFUSED
	                   : is_ours(error)      ? REASON_TOO_MANY
	                                         : REASON_CONNECT_TIMEOUT;
	const char *what = error == ECONNREFUSED ? "connection refused at"
	                   : error == ETIMEDOUT  ? "no answer from"
	                                         : "cannot reach";

	if (d->by_proxy) {
		proxy_failed(d, error == ETIMEDOUT ? "no answer"
				: error == ECONNREFUSED
				    ? "connection refused"
				    : strerrordesc_np(error));
		return;
	}
	if (error == ECONNREFUSED || error == ETIMEDOUT)
		fault_set(&fault, code, link_net_name(d->net), "%s: %s %s",
		    d->label, what, d->address_text);
	else
		fault_set(&fault, code, link_net_name(d->net), "%s: %s %s: %s",
		    d->label, what, d->address_text, strerrordesc_np(error));
	keep_fault(d, &fault);
	go_on(d);
}

static void on_ready(void *arg, unsigned ready)
{
	struct dialler *d = arg;
	int error = 0;
	socklen_t len = sizeof(error);

	if (d->state == DIAL_ASKING) {
		on_proxy(d, ready);
		return;
	}
	if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error != 0)
		connect_failed(d, error);
	else if (d->by_proxy)
		ask_proxy(d);
	else
		link_socket(d);
}

static void try_address(struct dialler *d)
{
	const struct address *a = &d->addresses[d->address];

	d->state = DIAL_CONNECTING;
	(void)address_text(a, d->address_text, sizeof(d->address_text));
	d->fd = socket(
	    a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->fd < 0 ||
	    (connect(d->fd, (const struct sockaddr *)&a->sa, a->len) != 0 &&
		errno != EINPROGRESS)) {
		connect_failed(d, errno);
		return;
	}
	if (loop_io_new(link_net_loop(d->net), d->fd, on_ready, d, &d->io) !=
	    RC_OK) {
		connect_failed(d, ENOMEM);
		return;
	}
	loop_io_want(d->io, LOOP_WRITE);
	loop_timer_set(d->timer, link_net_config(d->net)->connect_ms);
}

static void on_addresses(
    void *arg, const struct address *addresses, size_t count, const char *error)
{
	struct dialler *d = arg;
	struct fault fault;

	d->lookup = NULL;
	d->address = 0;
	d->address_count = count;
	if (count == 0 && d->by_proxy) {
		proxy_failed(d, error);
		return;
	}
	if (count == 0) {
		fault_set(&fault, REASON_DNS, link_net_name(d->net),
		    "%s: cannot resolve %s: %s", d->label,
		    d->endpoints[d->endpoint].host, error);
		keep_fault(d, &fault);
		go_on(d);
		return;
	}
	memcpy(d->addresses, addresses, count * sizeof(*addresses));
	try_address(d);
}

static void try_endpoint(struct dialler *d)
{
	const struct endpoint *e = &d->endpoints[d->endpoint];
	const struct proxy_settings *p = proxy_of(d);
	struct loop_lookup *lookup;

	d->by_proxy =
	    p->is_set && !proxy_is_exempt(p->exempt, p->exempt_count, e->host);
	if (d->by_proxy)
		e = &p->proxy.at;
	d->state = DIAL_RESOLVING;
	d->address = d->address_count = 0;
	loop_timer_set(d->timer, link_net_config(d->net)->connect_ms);
	if (loop_lookup(link_net_loop(d->net), e->host, e->port, on_addresses,
		d, &lookup) != RC_OK) {
		fault_set(&d->fault, REASON_MEMORY, link_net_name(d->net),
		    "%s: out of memory", d->label);
		go_on(d);
		return;
	}
	/* Not when it was answered on the spot. */
	if (lookup != NULL)
		d->lookup = lookup;
}

static void advance(struct dialler *d)
{
	if (++d->address < d->address_count) {
		try_address(d);
		return;
	}
	if (++d->endpoint < d->endpoint_count) {
		try_endpoint(d);
		return;
	}
	d->failures++;
	if (d->told_ms > 0)
		rest_as_told(d, d->told_ms);
	else
		rest(d);
	log_info("dial", d->label, "%s", d->fault.text);
	if (d->changed != NULL)
		d->changed(d->arg, d);
}

static void on_timer(void *arg)
{
	struct dialler *d = arg;
	struct fault fault;

	switch (d->state) {
	case DIAL_RESTING:
		d->first_of_round = true;
		d->told_ms = 0;
		d->endpoint = 0;
		try_endpoint(d);
		break;
	case DIAL_RESOLVING:
		if (d->by_proxy) {
			proxy_failed(d, "no answer when resolving its name");
			break;
		}
		fault_set(&fault, REASON_DNS, link_net_name(d->net),
		    "%s: no answer when resolving %s", d->label,
		    d->endpoints[d->endpoint].host);
		keep_fault(d, &fault);
		go_on(d);
		break;
	case DIAL_CONNECTING:
		connect_failed(d, ETIMEDOUT);
		break;
	case DIAL_ASKING:
		talk_broken(d, "no answer");
		break;
	case DIAL_NEXT:
		advance(d);
		break;
	case DIAL_LINKED:
		break;
	}
}

enum rc dial_new(
    struct link_net *net, const struct dial_spec *spec, struct dialler **out)
{
	struct dialler *d;
	enum rc rc;

	if (spec->count == 0 || spec->count > DIAL_ENDPOINTS_MAX)
		return RC_LIMIT;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return RC_NOMEM;
	d->net = net;
	d->fd = -1;
	(void)snprintf(d->label, sizeof(d->label), "%s", spec->label);
	d->expect.roles = spec->expect.roles;
	if (spec->expect.name != NULL)
		(void)snprintf(d->expect_name, sizeof(d->expect_name), "%s",
		    spec->expect.name);
	d->expect.name = d->expect_name;
	memcpy(d->endpoints, spec->endpoints,
	    spec->count * sizeof(*spec->endpoints));
	d->endpoint_count = spec->count;
	d->changed = spec->changed;
	d->arg = spec->arg;
	rc = loop_timer_new(link_net_loop(net), on_timer, d, &d->timer);
	if (rc == RC_OK)
		rc = loop_timer_new(
		    link_net_loop(net), on_refresh, d, &d->refresh);
	if (rc != RC_OK) {
		loop_timer_free(d->timer);
		free(d);
		return rc;
	}
	/* From the loop, so that the caller has its pointer first. */
	loop_timer_set(d->timer, 0);
	*out = d;
	return RC_OK;
}

void dial_free(struct dialler *d, const struct fault *fault)
{
	if (d == NULL)
		return;
	d->changed = NULL;
	if (d->former != NULL) {
		link_on_down(d->former, NULL, NULL);
		link_close(d->former, fault);
	}
	if (d->link != NULL) {
		link_on_down(d->link, NULL, NULL);
		link_on_life(d->link, NULL, NULL, NULL);
		link_close(d->link, fault);
	}
	loop_timer_free(d->refresh);
	loop_lookup_cancel(d->lookup);
	drop_socket(d);
	loop_timer_free(d->timer);
	free(d);
}

struct link *dial_take_link(struct dialler *d)
{
	struct link *link = d->link;

	if (link == NULL || !link_was_up(link))
		return NULL;
	link_on_down(link, NULL, NULL);
	link_on_life(link, NULL, NULL, NULL);
	d->link = NULL;
	rest(d);
	return link;
}

struct link *dial_link(const struct dialler *d)
{
	return d->link;
}

const struct fault *dial_fault(const struct dialler *d)
{
	return &d->fault;
}

void dial_now(struct dialler *d)
{
	if (d->state == DIAL_RESTING)
		loop_timer_set(d->timer, 0);
}

uint32_t dial_told_ms(const struct dialler *d)
{
	return d->told_ms;
}

unsigned dial_failures(const struct dialler *d)
{
	return d->failures;
}
