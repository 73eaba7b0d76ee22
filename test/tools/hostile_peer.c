/*
 * hostile_peer HOST:PORT STATE FLOOD|claim:ID SECONDS [MACHINE] - a member gone
 * bad.
 *
 * With the identity of the machine in STATE it makes a link as any other, and
 * then sends nothing but one kind of frame, as fast as the line takes them
 * (test/tools/flood.h), until it is thrown out or the time is up.  One line:
 *
 *     frames=81920 ms=41 ended=1
 *
 * With the id of a MACHINE it opens a seal there by itself when it needs an
 * open stream; else it waits until the far end opens one.
 *
 * ms: from the first frame of the flood to the end of the link.  Exit code 0
 * also when it was thrown out; 1: it did not get as far as a link.
 *
 * With claim:ID it opens instead what only others may, and says how each
 * stream was answered:
 *
 *     asked=9 refused=9 permitted=0 otherwise=0
 */
#include "common/member.h"
#include "proto/frame.h"
#include "test/tools/claims.h"
#include "test/tools/flood.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WIRE    ((size_t)4 * TLS_ROOM)
#define WAIT_MS 5000

struct hostile {
	int fd;
	struct tls *tls;
	struct flood flood;
	struct claims claims; /* machine NULL: floods */
	const char *machine;  /* to open a seal to; may be NULL */
	bool hello_received, ended;
	uint8_t in[WIRE], out[WIRE], plain[WIRE];
	size_t in_len, out_len, plain_len;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int complain(const char *what, const char *why)
{
	(void)fprintf(stderr, "hostile_peer: %s: %s\n", what, why);
	return 1;
}

/* --- Bytes ---------------------------------------------------------------- */

/* Send and receive what is possible within wait_ms. */
static void exchange(struct hostile *h, int wait_ms)
{
	struct pollfd p = { .fd = h->fd,
		.events = (short)(POLLIN | (h->out_len > 0 ? POLLOUT : 0)) };
	ssize_t n;

	if (poll(&p, 1, wait_ms) <= 0)
		return;
	if ((p.revents & POLLOUT) != 0) {
		n = send(h->fd, h->out, h->out_len, MSG_NOSIGNAL);
		if (n > 0) {
			h->out_len -= (size_t)n;
			memmove(h->out, h->out + n, h->out_len);
		} else if (n < 0 && errno != EAGAIN) {
			h->ended = true;
		}
	}
	if ((p.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
		n = recv(h->fd, h->in + h->in_len, WIRE - h->in_len, 0);
		if (n > 0)
			h->in_len += (size_t)n;
		else if (n == 0 || errno != EAGAIN)
			h->ended = true;
	}
}

static void used(struct hostile *h, const struct tls_in *in)
{
	memmove(h->in, in->p, in->len);
	h->in_len = in->len;
}

static MUST_CHECK enum rc shake_hands(struct hostile *h, uint64_t until)
{
	enum rc rc = RC_AGAIN;

	while (rc == RC_AGAIN && !h->ended && now_ms() < until) {
		struct tls_in in = { h->in, h->in_len };
		struct tls_out out = { h->out, h->out_len, WIRE };

		rc = tls_handshake(h->tls, &in, &out);
		used(h, &in);
		h->out_len = out.len;
		if (rc == RC_AGAIN)
			exchange(h, 100);
	}
	return rc;
}

static void say(struct hostile *h, const uint8_t *data, size_t len)
{
	struct tls_out out = { h->out, h->out_len, WIRE };
	size_t taken;

	if (tls_send(h->tls, data, len, &out, &taken) != RC_OK || taken != len)
		h->ended = true;
	h->out_len = out.len;
}

/* --- Frames --------------------------------------------------------------- */

static void accept_stream(struct hostile *h, uint32_t id)
{
	const struct msg_accept accept = { 0 };
	struct packbuf pack;
	uint8_t frame[64];

	packbuf_init(&pack, sizeof(frame) - FRAME_HEADER_LEN);
	if (h->flood.stream == 0 &&
	    msg_accept_encode(&accept, &pack) == RC_OK) {
		const struct frame head = { .len = (uint16_t)pack.len,
			.type = FRAME_ACCEPT,
			.id = id };

		frame_encode(&head, frame);
		memcpy(frame + FRAME_HEADER_LEN, pack.data, pack.len);
		say(h, frame, FRAME_HEADER_LEN + pack.len);
		h->flood.stream = id;
	}
	packbuf_fini(&pack);
}

/* Only what is needed to get to the flood. */
static void read_frames(struct hostile *h)
{
	struct frame f;
	size_t at = 0;

	while (frame_decode(h->plain + at, h->plain_len - at, &f) == RC_OK) {
		if (f.type == FRAME_HELLO)
			h->hello_received = true;
		if (f.type == FRAME_OPEN)
			accept_stream(h, f.id);
		if (f.type == FRAME_ACCEPT && h->flood.stream == 0)
			h->flood.stream = f.id;
		claims_heard(&h->claims, &f, h->plain + at + FRAME_HEADER_LEN);
		at += (size_t)FRAME_HEADER_LEN + f.len;
	}
	h->plain_len -= at;
	memmove(h->plain, h->plain + at, h->plain_len);
}

static void listen_to(struct hostile *h)
{
	size_t got;

	do {
		struct tls_in in = { h->in, h->in_len };
		struct tls_out out = { h->out, h->out_len, WIRE };

		if (tls_recv(h->tls, &in, &out, h->plain + h->plain_len,
			WIRE - h->plain_len, &got) != RC_OK)
			h->ended = true;
		used(h, &in);
		h->out_len = out.len;
		h->plain_len += got;
		read_frames(h);
	} while (got > 0 && !h->ended);
	if (tls_state(h->tls) != TLS_OPEN)
		h->ended = true;
}

static MUST_CHECK enum rc say_hello(struct hostile *h, const struct member *m)
{
	struct msg_hello hello = {
		.proto_min = HELLO_PROTO_MIN,
		.proto_max = HELLO_PROTO_MAX,
		.version = bytes_text(LONGARM_VERSION),
		.limits = { .streams = 100, .window_bytes = 65536 },
	};
	uint8_t frame[FRAME_HEADER_LEN + 1024];
	struct packbuf pack;
	enum rc rc;

	member_hello(m, &hello);
	packbuf_init(&pack, 1024);
	rc = msg_hello_encode(&hello, &pack);
	if (rc == RC_OK) {
		const struct frame head = { .len = (uint16_t)pack.len,
			.type = FRAME_HELLO };

		frame_encode(&head, frame);
		memcpy(frame + FRAME_HEADER_LEN, pack.data, pack.len);
		say(h, frame, FRAME_HEADER_LEN + pack.len);
	}
	packbuf_fini(&pack);
	return rc;
}

/* --- The deed ------------------------------------------------------------- */

static void flood(struct hostile *h, unsigned seconds)
{
	static uint8_t batch[FRAME_LEN_MAX];
	uint64_t began = now_ms(), until = began + (uint64_t)seconds * 1000;

	while (!h->ended && now_ms() < until) {
		if (h->out_len + TLS_ROOM + TLS_ROOM < WIRE)
			say(h, batch,
			    flood_fill(&h->flood, batch, sizeof(batch)));
		exchange(h, 10);
		listen_to(h);
	}
	(void)printf("frames=%" PRIu64 " ms=%" PRIu64 " ended=%d\n",
	    h->flood.frames, now_ms() - began, h->ended);
}

static void claim(struct hostile *h, unsigned seconds)
{
	uint8_t frames[FRAME_LEN_MAX];
	uint64_t until = now_ms() + (uint64_t)seconds * 1000;
	struct claims *c = &h->claims;

	say(h, frames, claims_fill(c, frames, sizeof(frames)));
	while (!h->ended && now_ms() < until &&
	       c->refused + c->permitted + c->otherwise < c->asked) {
		exchange(h, 10);
		listen_to(h);
	}
	(void)printf("asked=%u refused=%u permitted=%u otherwise=%u\n",
	    c->asked, c->refused, c->permitted, c->otherwise);
}

static MUST_CHECK int dial(const char *text)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct endpoint e;
	struct fault fault;
	int fd;

	errno = EINVAL;
	if (endpoint_parse(text, 0, &e, &fault) != RC_OK ||
	    inet_pton(AF_INET, e.host, &to.sin_addr) != 1)
		return -1;
	to.sin_port = htons(e.port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void wait_for_stream(struct hostile *h, uint64_t until)
{
	uint8_t frame[FRAME_HEADER_LEN + FLOOD_OPEN_MAX];

	if (h->machine != NULL && h->hello_received)
		say(h, frame, flood_ask(&h->flood, frame));
	while (!h->ended && now_ms() < until && h->flood.stream == 0) {
		exchange(h, 50);
		listen_to(h);
	}
}

static int be_hostile(
    struct hostile *h, const struct member *m, unsigned seconds)
{
	uint64_t until = now_ms() + WAIT_MS;

	if (tls_new(m->contexts, TLS_LINK_DIAL, NULL, &h->tls) != RC_OK)
		return complain("TLS", "cannot begin");
	if (shake_hands(h, until) != RC_OK)
		return complain("handshake", tls_fault(h->tls)->text);
	if (say_hello(h, m) != RC_OK)
		return complain("HELLO", "cannot be encoded");
	while (!h->ended && now_ms() < until && !h->hello_received) {
		exchange(h, 50);
		listen_to(h);
	}
	if (flood_needs_stream(&h->flood))
		wait_for_stream(h, until);
	if (h->ended || !h->hello_received)
		return complain("link", "not let in");
	if (flood_needs_stream(&h->flood) && h->flood.stream == 0)
		return complain("link", "nobody opens a stream");
	if (h->claims.machine != NULL)
		claim(h, seconds);
	else
		flood(h, seconds);
	return 0;
}

static MUST_CHECK bool understand(struct hostile *h, const char *deed)
{
	if (strncmp(deed, "claim:", 6) != 0)
		return flood_init(&h->flood, deed, h->machine) == RC_OK;
	h->claims.machine = deed + 6;
	return id_is_valid(h->claims.machine) &&
	       flood_init(&h->flood, "open", NULL) == RC_OK;
}

int main(int argc, char **argv)
{
	struct hostile *h = calloc(1, sizeof(*h));
	struct member *m = NULL;
	struct fault fault = { 0 };
	int exit_code;

	(void)signal(SIGPIPE, SIG_IGN);
	if (h != NULL && argc == 6)
		h->machine = argv[5];
	if (h == NULL || argc < 5 || argc > 6 || !understand(h, argv[3])) {
		free(h);
		return complain("usage",
		    "HOST:PORT STATE FLOOD|claim:ID SECONDS [MACHINE]");
	}
	h->fd = dial(argv[1]);
	if (h->fd < 0)
		exit_code = complain(argv[1], strerrordesc_np(errno));
	else if (member_open(argv[2], &m, &fault) != RC_OK)
		exit_code = complain(argv[2], fault.text);
	else
		exit_code =
		    be_hostile(h, m, (unsigned)strtoul(argv[4], NULL, 10));
	if (h->fd >= 0)
		(void)close(h->fd);
	tls_free(h->tls);
	member_close(m);
	free(h);
	return exit_code;
}
