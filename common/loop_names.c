#include "common/loop_base.h"

#include <event2/dns.h>
#include <event2/util.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct loop_lookup {
	struct evdns_getaddrinfo_request *request;
	loop_lookup_fn fn;
	void *arg;
	bool cancelled;
};

static size_t collect(
    const struct evutil_addrinfo *list, struct address *addresses)
{
	size_t count = 0;

	for (; list != NULL && count < LOOP_ADDRESSES_MAX;
	     list = list->ai_next) {
		if (list->ai_addrlen > sizeof(addresses[0].sa))
			continue;
		memcpy(&addresses[count].sa, list->ai_addr, list->ai_addrlen);
		addresses[count].len = list->ai_addrlen;
		count++;
	}
	return count;
}

static void on_lookup(int error, struct evutil_addrinfo *list, void *arg)
{
	struct loop_lookup *l = arg;
	struct address addresses[LOOP_ADDRESSES_MAX];
	size_t count = error == 0 ? collect(list, addresses) : 0;

	if (list != NULL)
		evutil_freeaddrinfo(list);
	if (!l->cancelled)
		l->fn(l->arg, addresses, count,
		    count > 0 ? NULL : evutil_gai_strerror(error));
	free(l);
}

static bool look_up_numeric(
    const char *host, const char *port, loop_lookup_fn fn, void *arg)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};
	struct address addresses[LOOP_ADDRESSES_MAX];
	struct addrinfo *list;
	size_t count;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		return false;
	count = collect(list, addresses);
	freeaddrinfo(list);
	fn(arg, addresses, count, NULL);
	return true;
}

static MUST_CHECK enum rc open_dns(struct loop *loop)
{
	if (loop->dns != NULL)
		return RC_OK;
	loop->dns =
	    evdns_base_new(loop->base, EVDNS_BASE_INITIALIZE_NAMESERVERS |
					   EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	/* A host without a resolv.conf still has /etc/hosts. */
	if (loop->dns == NULL)
		loop->dns = evdns_base_new(
		    loop->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (loop->dns == NULL)
		return RC_NOMEM;
	(void)evdns_base_load_hosts(loop->dns, "/etc/hosts");
	return RC_OK;
}

enum rc loop_lookup(struct loop *loop, const char *host, uint16_t port,
    loop_lookup_fn fn, void *arg, struct loop_lookup **out)
{
	const struct evutil_addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_protocol = IPPROTO_TCP,
	};
	char service[8];
	struct loop_lookup *l;
	struct evdns_getaddrinfo_request *request;
	enum rc rc;

	*out = NULL;
	(void)snprintf(service, sizeof(service), "%u", (unsigned)port);
	if (look_up_numeric(host, service, fn, arg))
		return RC_OK;
	rc = open_dns(loop);
	if (rc != RC_OK)
		return rc;
	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return RC_NOMEM;
	l->fn = fn;
	l->arg = arg;
	request =
	    evdns_getaddrinfo(loop->dns, host, service, &hints, on_lookup, l);
	/* NULL: answered already (from the hosts file), and l is freed. */
	if (request != NULL) {
		l->request = request;
		*out = l;
	}
	return RC_OK;
}

void loop_lookup_cancel(struct loop_lookup *l)
{
	if (l == NULL)
		return;
	l->cancelled = true;
	evdns_getaddrinfo_cancel(l->request);
}

void loop_names_free(struct loop *loop)
{
	if (loop->dns != NULL)
		evdns_base_free(loop->dns, 0);
}

const char *address_text(const struct address *a, char *buf, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "?";
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	bool mapped;

	if (a->sa.ss_family == AF_INET) {
		memcpy(&v4, &a->sa, sizeof(v4));
		(void)inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host));
		(void)snprintf(
		    buf, size, "%s:%u", host, (unsigned)ntohs(v4.sin_port));
	} else {
		memcpy(&v6, &a->sa, sizeof(v6));
		(void)inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host));
		/* Who came by IPv4 to a socket for both is shown as that. */
		mapped = IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr);
		(void)snprintf(buf, size, mapped ? "%s:%u" : "[%s]:%u",
		    mapped ? strrchr(host, ':') + 1 : host,
		    (unsigned)ntohs(v6.sin6_port));
	}
	return buf;
}
