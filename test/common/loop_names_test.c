/*
 * Names are resolved as the host's files say now, not as they said at the
 * start.
 */
#include "common/loop_base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/socket.h>

#include <event2/dns.h>

struct world {
	struct loop *loop;
	char dir[64], hosts[96], resolv[96];
	char found[LOOP_ADDRESSES_MAX][ADDRESS_TEXT_MAX];
	size_t count;
	bool answered;
};

static void put(const char *path, const char *text)
{
	char next[128];
	FILE *f;

	/* As an editor does: another file takes its place. */
	(void)snprintf(next, sizeof(next), "%s.new", path);
	f = fopen(next, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(next, path), 0);
}

static void on_found(
    void *arg, const struct address *addresses, size_t count, const char *error)
{
	struct world *w = arg;

	(void)error;
	w->answered = true;
	w->count = count;
	for (size_t i = 0; i < count; i++)
		(void)address_text(
		    &addresses[i], w->found[i], sizeof(w->found[i]));
	loop_stop(w->loop);
}

static void look_up(struct world *w, const char *name)
{
	struct loop_lookup *lookup;

	w->answered = false;
	assert_int_equal(
	    loop_lookup(w->loop, name, 10953, on_found, w, &lookup), RC_OK);
	if (!w->answered)
		loop_run(w->loop);
}

static int set_up(void **state)
{
	static struct world w;

	memset(&w, 0, sizeof(w));
	strcpy(w.dir, "/tmp/longarm-names-test-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	(void)snprintf(w.hosts, sizeof(w.hosts), "%s/hosts", w.dir);
	(void)snprintf(w.resolv, sizeof(w.resolv), "%s/resolv.conf", w.dir);
	assert_int_equal(loop_new(&w.loop), RC_OK);
	loop_names_use(w.loop, w.resolv, w.hosts);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	loop_free(w->loop);
	(void)unlink(w->hosts);
	(void)unlink(w->resolv);
	return rmdir(w->dir);
}

static void test_a_changed_hosts_file_counts_at_the_next_lookup(void **state)
{
	struct world *w = *state;

	put(w->hosts, "10.0.0.1 dc2-a.test\n");
	look_up(w, "dc2-a.test");
	assert_int_equal(w->count, 1);
	assert_string_equal(w->found[0], "10.0.0.1:10953");
	put(w->hosts, "10.0.0.2 dc2-a.test\n");
	look_up(w, "dc2-a.test");
	assert_int_equal(w->count, 1);
	assert_string_equal(w->found[0], "10.0.0.2:10953");
}

static void test_a_name_may_have_addresses_of_both_kinds(void **state)
{
	struct world *w = *state;
	bool v6 = false;

	put(w->hosts, "10.0.0.1 dc2-a.test\nfd00::1 dc2-a.test\n"
		      "10.0.0.2 dc2-a.test\n");
	look_up(w, "dc2-a.test");
	assert_int_equal(w->count, 3);
	for (size_t i = 0; i < w->count; i++)
		v6 = v6 || strcmp(w->found[i], "[fd00::1]:10953") == 0;
	assert_true(v6);
}

/* --- A name server of our own, which knows one answer ----------------------
 */

struct dns_server {
	struct loop_io *io;
	int fd;
	uint16_t port;
	unsigned asked;
};

/* Nobody at all: so every server must be asked. */
static void on_question(void *arg, unsigned ready)
{
	struct dns_server *s = arg;
	uint8_t packet[512];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(
	    s->fd, packet, sizeof(packet), 0, (struct sockaddr *)&from, &len);

	(void)ready;
	if (n < 12)
		return;
	s->asked++;
	packet[2] |= 0x80;                             /* an answer */
	packet[3] = (uint8_t)((packet[3] & 0xf0) | 3); /* no such name */
	assert_int_equal(
	    sendto(s->fd, packet, (size_t)n, 0, (struct sockaddr *)&from, len),
	    n);
}

static void serve_dns(struct world *w, struct dns_server *s, const char *at)
{
	struct sockaddr_in to = { .sin_family = AF_INET };

	assert_int_equal(inet_pton(AF_INET, at, &to.sin_addr), 1);
	to.sin_port = htons(s->port);
	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(s->fd >= 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&to, sizeof(to)), 0);
	if (s->port == 0) {
		socklen_t len = sizeof(to);

		assert_int_equal(
		    getsockname(s->fd, (struct sockaddr *)&to, &len), 0);
		s->port = ntohs(to.sin_port);
	}
	assert_int_equal(
	    loop_io_new(w->loop, s->fd, on_question, s, &s->io), RC_OK);
	loop_io_want(s->io, LOOP_READ);
}

static void test_other_name_servers_are_asked_when_the_file_says_so(
    void **state)
{
	struct world *w = *state;
	struct dns_server before = { .port = 0 }, after = { .port = 0 };
	char text[64];

	serve_dns(w, &before, "127.0.0.1");
	serve_dns(w, &after, "127.0.0.1");
	(void)snprintf(
	    text, sizeof(text), "nameserver 127.0.0.1:%u\n", before.port);
	put(w->resolv, text);
	look_up(w, "nowhere.test");
	assert_int_equal(w->count, 0);
	assert_true(before.asked > 0);
	assert_int_equal(after.asked, 0);
	before.asked = 0;
	(void)snprintf(
	    text, sizeof(text), "nameserver 127.0.0.1:%u\n", after.port);
	put(w->resolv, text);
	look_up(w, "nowhere.test");
	assert_int_equal(before.asked, 0);
	assert_true(after.asked > 0);
	loop_io_free(before.io);
	loop_io_free(after.io);
	(void)close(before.fd);
	(void)close(after.fd);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(test_a_changed_hosts_file_counts_at_the_next_lookup),
		EACH(test_a_name_may_have_addresses_of_both_kinds),
		EACH(test_other_name_servers_are_asked_when_the_file_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
