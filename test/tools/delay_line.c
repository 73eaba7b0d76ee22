/*
 * delay_line NETNS ADDRESS NETNS ADDRESS [SETTING=N...] - a long line between
 * two network namespaces.
 *
 *     delay_line /proc/self/ns/net 10.9.0.1 /proc/77/ns/net 10.9.0.2
 *         delay_us=50000 rate=12500000 queue_bytes=262144
 *
 * A TUN device "wire0" at each end carries every packet through this program;
 * test/tools/delay_queue.h says what happens there, and has the settings, which
 * hold for each direction.  Needs CAP_NET_ADMIN over both namespaces: root in
 * `unshare --user --map-root-user --net` has that.  The devices' own queues
 * (500 packets) should be longer than the line: `ip link set wire0 txqueuelen`.
 *
 * It says "ready".  A line of settings on standard input changes these, and it
 * answers to each line with what was counted; the end of it ends the line.
 */
#include "test/tools/delay_queue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define DEVICE     "wire0"
#define PACKET_MAX 65536
#define MTU        1500
/* Packets taken from one end before the other is looked at. */
#define BURST 256

struct end {
	int fd;
	struct delay_queue
	    *out; /* what came in here, on its way to the other */
};

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int complain(const char *what)
{
	(void)fprintf(
	    stderr, "delay_line: %s: %s\n", what, strerrordesc_np(errno));
	return -1;
}

static int set_address(
    int s, unsigned long request, const char *text, struct ifreq *r)
{
	struct sockaddr_in a = { .sin_family = AF_INET };

	if (inet_pton(AF_INET, text, &a.sin_addr) != 1) {
		errno = EINVAL;
		return -1;
	}
	memcpy(&r->ifr_addr, &a, sizeof(a));
	return ioctl(s, request, r);
}

/* Address, peer, up. */
static int configure(const char *address, const char *peer)
{
	struct ifreq r = { .ifr_name = DEVICE };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = -1;

	if (s < 0)
		return -1;
	if (set_address(s, SIOCSIFADDR, address, &r) == 0 &&
	    set_address(s, SIOCSIFDSTADDR, peer, &r) == 0) {
		r.ifr_mtu = MTU;
		rc = ioctl(s, SIOCSIFMTU, &r);
	}
	if (rc == 0) {
		r.ifr_flags = IFF_UP | IFF_RUNNING | IFF_POINTOPOINT;
		rc = ioctl(s, SIOCSIFFLAGS, &r);
	}
	(void)close(s);
	return rc;
}

static int end_open(int netns, const char *address, const char *peer)
{
	struct ifreq r = { .ifr_name = DEVICE,
		.ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd;

	if (setns(netns, CLONE_NEWNET) != 0)
		return complain("the network namespace");
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return complain("/dev/net/tun");
	if (ioctl(fd, TUNSETIFF, &r) != 0 || configure(address, peer) != 0) {
		(void)complain(DEVICE);
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void take(struct end *from)
{
	static uint8_t packet[PACKET_MAX];

	for (int i = 0; i < BURST; i++) {
		ssize_t n = read(from->fd, packet, sizeof(packet));

		if (n <= 0)
			return;
		/* Without memory it is lost, as on any line. */
		if (delay_queue_push(from->out, packet, (size_t)n, now_us()) !=
		    RC_OK)
			return;
	}
}

static void give(struct end *from, int to)
{
	const uint8_t *packet;
	size_t len;

	while ((packet = delay_queue_pop(from->out, now_us(), &len)) != NULL) {
		ssize_t sent = write(to, packet, len);

		(void)sent; /* a full device loses it, as any does */
	}
}

static void report(const struct end ends[2])
{
	for (int i = 0; i < 2; i++) {
		struct delay_stats s;

		delay_queue_stats(ends[i].out, &s);
		(void)printf("%sin=%" PRIu64 " out=%" PRIu64 " lost=%" PRIu64
			     " dropped=%" PRIu64 "%s",
		    i > 0 ? "back: " : "there: ", s.in, s.out, s.lost,
		    s.dropped, i > 0 ? "\n" : "; ");
	}
	(void)fflush(stdout);
}

static struct timespec until_next(const struct end ends[2])
{
	uint64_t now = now_us(), next = now + 1000000;

	for (int i = 0; i < 2; i++) {
		uint64_t at = delay_queue_next_us(ends[i].out);

		if (at < next)
			next = at > now ? at : now;
	}
	return (struct timespec){ .tv_sec = (time_t)((next - now) / 1000000),
		.tv_nsec = (long)((next - now) % 1000000) * 1000 };
}

/* What is wrong in a line is left as it was. */
static void change(struct end ends[2], struct delay_rules *rules, char *line)
{
	char *rest = NULL, *word;

	for (word = strtok_r(line, " \n", &rest); word != NULL;
	     word = strtok_r(NULL, " \n", &rest)) {
		if (delay_rules_set(rules, word) != RC_OK)
			(void)fprintf(
			    stderr, "delay_line: no setting: %s\n", word);
	}
	for (int i = 0; i < 2; i++)
		delay_queue_change(ends[i].out, rules);
	report(ends);
}

static void run(struct end ends[2], struct delay_rules *rules)
{
	char input[256];
	ssize_t got;

	for (;;) {
		struct pollfd p[3] = { { .fd = ends[0].fd, .events = POLLIN },
			{ .fd = ends[1].fd, .events = POLLIN },
			{ .fd = STDIN_FILENO, .events = POLLIN } };
		const struct timespec wait = until_next(ends);

		if (ppoll(p, 3, &wait, NULL) < 0 && errno != EINTR)
			return;
		if (p[2].revents != 0) {
			got = read(STDIN_FILENO, input, sizeof(input) - 1);
			if (got <= 0)
				return;
			input[got] = '\0';
			change(ends, rules, input);
		}
		for (int i = 0; i < 2; i++) {
			take(&ends[i]);
			give(&ends[i], ends[!i].fd);
		}
	}
}

static int usage(void)
{
	(void)fprintf(stderr,
	    "usage: delay_line NETNS ADDRESS NETNS ADDRESS [SETTING=N...]\n"
	    "settings: delay_us jitter_us loss_ppm reorder_ppm rate "
	    "queue_bytes seed\n");
	return 2;
}

/* words: namespace, address, namespace, address */
static int ends_open(struct end ends[2], char **words)
{
	/* Both before we leave our own: a path may mean where we are. */
	int near = open(words[0], O_RDONLY | O_CLOEXEC);
	int far = open(words[2], O_RDONLY | O_CLOEXEC);

	if (near < 0 || far < 0) {
		(void)complain(near < 0 ? words[0] : words[2]);
	} else {
		ends[0].fd = end_open(near, words[1], words[3]);
		if (ends[0].fd >= 0)
			ends[1].fd = end_open(far, words[3], words[1]);
	}
	if (near >= 0)
		(void)close(near);
	if (far >= 0)
		(void)close(far);
	return ends[1].fd >= 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct delay_rules rules = { .seed = 1 };
	struct end ends[2] = { { .fd = -1 }, { .fd = -1 } };
	int exit_code = 1;

	if (argc < 5)
		return usage();
	for (int i = 5; i < argc; i++) {
		if (delay_rules_set(&rules, argv[i]) != RC_OK)
			return usage();
	}
	for (int i = 0; i < 2; i++) {
		/* The other direction has other luck. */
		rules.seed += (uint64_t)i;
		if (delay_queue_new(&rules, &ends[i].out) != RC_OK)
			goto out;
	}
	if (ends_open(ends, argv + 1) != 0)
		goto out;
	(void)printf("ready\n");
	(void)fflush(stdout);
	run(ends, &rules);
	exit_code = 0;
out:
	for (int i = 0; i < 2; i++) {
		delay_queue_free(ends[i].out);
		if (ends[i].fd >= 0)
			(void)close(ends[i].fd);
	}
	return exit_code;
}
