/*
 * Order of service from end to end: a health check overtakes a package on a
 * slow link behind a relay.  The slow link is a thread between two sockets.
 */
#include "test/support/relay_world.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

/* About 1 MB/s: one message of the bulk takes 16 ms. */
#define PIECE    8192
#define PIECE_US 8000

struct slow {
	int listener, near, far; /* near: the machine's side, far: the relay */
	pthread_t thread;
	char address[32];
};

static bool copy(int from, int to)
{
	uint8_t buf[PIECE];
	ssize_t got = recv(from, buf, sizeof(buf), 0), at = 0;

	while (got > 0 && at < got) {
		ssize_t sent =
		    send(to, buf + at, (size_t)(got - at), MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		at += sent;
	}
	return got > 0;
}

static void *carry(void *arg)
{
	struct slow *s = arg;
	const struct timespec pause = { .tv_nsec = PIECE_US * 1000L };
	bool open = true;

	s->near = accept(s->listener, NULL, NULL);
	while (open) {
		struct pollfd fds[2] = {
			{ .fd = s->near, .events = POLLIN },
			{ .fd = s->far, .events = POLLIN },
		};

		if (poll(fds, 2, -1) < 0)
			break;
		if (fds[0].revents != 0)
			open = copy(s->near, s->far);
		if (open && fds[1].revents != 0) {
			open = copy(s->far, s->near);
			(void)nanosleep(&pause, NULL);
		}
	}
	(void)shutdown(s->near, SHUT_RDWR);
	(void)shutdown(s->far, SHUT_RDWR);
	return NULL;
}

static void slow_new(struct slow *s, const char *relay)
{
	const int small = 16384;
	struct sockaddr_in to = { .sin_family = AF_INET };
	socklen_t len = sizeof(to);
	unsigned port;

	assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &to.sin_addr), 1);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
	    bind(s->listener, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(listen(s->listener, 1), 0);
	assert_int_equal(
	    getsockname(s->listener, (struct sockaddr *)&to, &len), 0);
	(void)snprintf(s->address, sizeof(s->address), "127.0.0.1:%u",
	    (unsigned)ntohs(to.sin_port));
	s->far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
	    setsockopt(s->far, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)),
	    0);
	assert_int_equal(sscanf(relay, "127.0.0.1:%u", &port), 1);
	to.sin_port = htons((uint16_t)port);
	assert_int_equal(
	    connect(s->far, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, carry, s), 0);
}

static void slow_free(struct slow *s)
{
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	(void)close(s->listener);
	(void)close(s->near);
	(void)close(s->far);
}

static bool under_way(struct world *w)
{
	return w->got >= 20;
}

static bool health_is_open(struct world *w)
{
	return w->health_open;
}

static void on_health(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct world *w = arg;

	(void)seal;
	if (event->type == SEAL_OPEN)
		w->health_open = true;
	check(w);
}

static struct seal *open_health(struct world *w)
{
	const struct msg_open open = {
		.kind = KIND_SEAL,
		.to = { .kind = TARGET_MACHINE, .name = MACHINE },
		.service_class = CLASS_HEALTH,
		.deadline_ms = 10000,
	};
	const struct seal_far far = {
		.kind = TLS_SEAL_CLIENT,
		.expect = { .roles = TRUST_ROLE(ROLE_TENTACLE),
		    .name = MACHINE },
	};
	const struct seal_user user = { .fn = on_health,
		.arg = w,
		.message_max = LENFRAME_STANDING_MAX,
		.open_ms = 10000 };
	struct seal *seal;

	assert_int_equal(
	    seal_dial(w->node.link, &open, &far, &user, &seal), RC_OK);
	return seal;
}

static void test_health_overtakes_a_package_on_a_slow_link_behind_a_relay(
    void **state)
{
	const struct fault bye = { .code = REASON_DRAINING };
	struct slow slow;
	struct world w;
	struct seal *health;
	size_t before, during;

	(void)state;
	start(&w);
	slow_new(&slow, listener_address(w.relay->listener));
	join_tentacle_at(&w, slow.address);
	run_until(&w, machine_is_up);
	w.secret = "";
	open_near(&w, CLASS_BULK);
	run_until(&w, under_way);
	before = w.got;
	health = open_health(&w);
	run_until(&w, health_is_open);
	during = w.got - before;
	/* Credit keeps the queue short, and what is in it is overtaken. */
	assert_true(w.sent - before > 8);
	assert_in_range(during, 0, 7);
	seal_close(health, &bye);
	world_free(&w);
	slow_free(&slow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_health_overtakes_a_package_on_a_slow_link_behind_a_relay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
