#include "common/loop_base.h"

#include <event2/dns.h>
#include <event2/util.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

/* --- The files that say how names are resolved ------------------------------
 */

/* Has it changed since the last look? */
static bool has_changed(struct loop_file *f)
{
	struct loop_file now = { .path = f->path };
	struct stat st;
	bool same;

	if (stat(f->path, &st) == 0) {
		now.there = true;
		now.inode = (uint64_t)st.st_ino;
		now.size = (uint64_t)st.st_size;
		now.changed = st.st_mtim;
	}
	same = now.there == f->there && now.inode == f->inode &&
	       now.size == f->size && now.changed.tv_sec == f->changed.tv_sec &&
	       now.changed.tv_nsec == f->changed.tv_nsec;
	*f = now;
	return !same;
}

/* A host that moves to another network, or is told of another peer, need not
 * start us again.  Lookups under way go on with the new servers. */
static void read_files(struct loop *loop)
{
	const int flags =
	    DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC;
	bool servers = has_changed(&loop->resolv_conf);
	bool hosts = has_changed(&loop->hosts);

	if (servers) {
		(void)evdns_base_clear_nameservers_and_suspend(loop->dns);
		evdns_base_search_clear(loop->dns);
		/* A host without one still has its own hosts. */
		(void)evdns_base_resolv_conf_parse(
		    loop->dns, flags, loop->resolv_conf.path);
		(void)evdns_base_resume(loop->dns);
	}
	if (hosts) {
		evdns_base_clear_host_addresses(loop->dns);
		if (loop->hosts.there)
			(void)evdns_base_load_hosts(
			    loop->dns, loop->hosts.path);
	}
}

void loop_names_use(
    struct loop *loop, const char *resolv_conf, const char *hosts)
{
	loop->resolv_conf = (struct loop_file){ .path = resolv_conf };
	loop->hosts = (struct loop_file){ .path = hosts };
}

static MUST_CHECK enum rc open_dns(struct loop *loop)
{
	if (loop->dns != NULL)
		return RC_OK;
	if (loop->hosts.path == NULL)
		loop_names_use(loop, "/etc/resolv.conf", "/etc/hosts");
	loop->dns =
	    evdns_base_new(loop->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	return loop->dns != NULL ? RC_OK : RC_NOMEM;
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
	read_files(loop);
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
