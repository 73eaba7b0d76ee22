/*
 * fault_proxy LISTEN TARGET - stand between two programs and do them harm.
 *
 *     fault_proxy 127.0.0.1:0 127.0.0.1:10943
 *     <- listening 127.0.0.1:40112
 *     -> cut up 1234 reset           (test/tools/fault_line.h has them all)
 *     <- ok
 *     -> stat
 *     <- ok open=1 accepted=2 up=1399 down=1204 trips=1 again_ms=52 back_ms=61
 *
 * Commands come on standard input, one a line, each with one line of answer;
 * its end ends the proxy.  again_ms and back_ms are from the last trip to the
 * next connection, and to the first one that has carried BACK_BYTES both ways
 * (as a TLS handshake of two certificates does); -1: not yet.
 */
#include "common/loop.h"
#include "test/tools/fault_line.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#define BUFFER     65536
#define BACK_BYTES 800
/* A line that is limited or was resumed is looked at so often. */
#define TICK_MS 5

/* Bytes on their way from side[from] to side[!from]. */
struct flow {
	size_t len;
	uint64_t carried;
	bool source_ended, end_sent, blocked;
	uint8_t bytes[BUFFER];
};

struct connection {
	TAILQ_ENTRY(connection) all;
	struct proxy *proxy;
	int fd[2]; /* 0: who dialled, 1: the target */
	struct loop_io *io[2];
	bool connected, frozen;
	unsigned trips; /* of the proxy, when this came */
	struct flow flow[FAULT_DIR_COUNT];
};

struct proxy {
	struct loop *loop;
	struct loop_io *accept, *commands;
	struct loop_timer *tick;
	int listen_fd;
	struct addrinfo *target;
	struct fault_line line[FAULT_DIR_COUNT];
	TAILQ_HEAD(, connection) connections;
	unsigned open, accepted, trips;
	uint64_t tripped_us;
	int64_t again_us, back_us; /* -1: not yet */
	char input[256];
	size_t input_len;
};

/* --- Connections ---------------------------------------------------------- */

static void connection_free(struct connection *c, bool reset)
{
	const struct linger hard = { .l_onoff = 1 };

	TAILQ_REMOVE(&c->proxy->connections, c, all);
	c->proxy->open--;
	for (int i = 0; i < 2; i++) {
		loop_io_free(c->io[i]);
		if (c->fd[i] < 0)
			continue;
		if (reset)
			(void)setsockopt(c->fd[i], SOL_SOCKET, SO_LINGER, &hard,
			    sizeof(hard));
		(void)close(c->fd[i]);
	}
	free(c);
}

static void want(struct connection *c)
{
	for (int i = 0; i < 2; i++) {
		const struct flow *out = &c->flow[i], *in = &c->flow[!i];
		bool read = c->connected && !c->frozen && !out->source_ended &&
		            out->len < BUFFER && !c->proxy->line[i].paused;
		bool write =
		    (i == 1 && !c->connected) || (in->blocked && !c->frozen);

		loop_io_want(c->io[i], (read ? (unsigned)LOOP_READ : 0) |
					   (write ? (unsigned)LOOP_WRITE : 0));
	}
}

/* false: the connection is broken. */
static bool take(struct connection *c, enum fault_dir dir)
{
	struct flow *f = &c->flow[dir];
	ssize_t n;

	if (f->source_ended || f->len == BUFFER || c->proxy->line[dir].paused)
		return true;
	n = recv(c->fd[dir], f->bytes + f->len, BUFFER - f->len, 0);
	if (n > 0)
		f->len += (size_t)n;
	else if (n == 0)
		f->source_ended = true;
	else
		return errno == EAGAIN || errno == EINTR;
	return true;
}

/* Give up to len bytes on; false: broken. */
static bool give(
    struct connection *c, enum fault_dir dir, size_t len, size_t *sent)
{
	struct flow *f = &c->flow[dir];
	ssize_t n = 0;

	*sent = 0;
	f->blocked = false;
	if (len == 0)
		return true;
	n = send(c->fd[!dir], f->bytes, len, MSG_NOSIGNAL);
	if (n < 0) {
		f->blocked = errno == EAGAIN;
		return f->blocked || errno == EINTR;
	}
	f->blocked = (size_t)n < len;
	f->len -= (size_t)n;
	memmove(f->bytes, f->bytes + n, f->len);
	f->carried += (uint64_t)n;
	*sent = (size_t)n;
	return true;
}

static void note_back(struct connection *c)
{
	struct proxy *p = c->proxy;

	if (p->trips > 0 && p->back_us < 0 && c->trips == p->trips &&
	    c->flow[FAULT_UP].carried >= BACK_BYTES &&
	    c->flow[FAULT_DOWN].carried >= BACK_BYTES)
		p->back_us = (int64_t)(loop_now_us(p->loop) - p->tripped_us);
}

/* false: the connection is gone. */
static bool trip(struct connection *c, enum fault_trip trip)
{
	struct proxy *p = c->proxy;

	if (trip == FAULT_TRIP_NONE)
		return true;
	p->trips++;
	p->tripped_us = loop_now_us(p->loop);
	p->again_us = p->back_us = -1;
	if (trip == FAULT_TRIP_FREEZE) {
		c->frozen = true;
		want(c);
		return true;
	}
	connection_free(c, trip == FAULT_TRIP_RESET);
	return false;
}

/* Move what may be moved one way; false: the connection is gone. */
static bool pump(struct connection *c, enum fault_dir dir)
{
	struct fault_line *line = &c->proxy->line[dir];
	struct flow *f = &c->flow[dir];
	size_t sent, may;

	if (c->frozen || !c->connected)
		return true;
	if (!take(c, dir))
		goto broken;
	may = fault_line_may(line, f->len, loop_now_us(c->proxy->loop));
	if (!give(c, dir, may, &sent))
		goto broken;
	note_back(c);
	if ((f->len > 0 || sent > 0) && !line->paused &&
	    !trip(c, fault_line_carried(line, sent)))
		return false;
	if (f->len > 0 && !f->blocked && line->limited)
		loop_timer_set(c->proxy->tick, TICK_MS);
	if (f->source_ended && f->len == 0 && !f->end_sent && !line->paused) {
		f->end_sent = true;
		(void)shutdown(c->fd[!dir], SHUT_WR);
	}
	if (c->flow[0].end_sent && c->flow[1].end_sent) {
		connection_free(c, false);
		return false;
	}
	return true;
broken:
	connection_free(c, true);
	return false;
}

static void pump_both(struct connection *c)
{
	if (pump(c, FAULT_UP) && pump(c, FAULT_DOWN))
		want(c);
}

static void on_ready(void *arg, unsigned ready)
{
	struct connection *c = arg;
	int error = 0;
	socklen_t len = sizeof(error);

	if (!c->connected && (ready & LOOP_WRITE) != 0) {
		if (getsockopt(c->fd[1], SOL_SOCKET, SO_ERROR, &error, &len) !=
			0 ||
		    error != 0) {
			connection_free(c, true);
			return;
		}
		c->connected = true;
	}
	pump_both(c);
}

static int dial(const struct addrinfo *to)
{
	int fd = socket(
	    to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, to->ai_addr, to->ai_addrlen) != 0 &&
	    errno != EINPROGRESS) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void on_connection(void *arg, unsigned ready)
{
	const int on = 1;
	struct proxy *p = arg;
	struct connection *c = calloc(1, sizeof(*c));

	(void)ready;
	if (c == NULL)
		return;
	c->proxy = p;
	c->trips = p->trips;
	c->fd[0] =
	    accept4(p->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	c->fd[1] = dial(p->target);
	TAILQ_INSERT_TAIL(&p->connections, c, all);
	p->open++;
	for (int i = 0; i < 2; i++) {
		if (c->fd[i] < 0 || loop_io_new(p->loop, c->fd[i], on_ready, c,
					&c->io[i]) != RC_OK) {
			connection_free(c, true);
			return;
		}
		(void)setsockopt(
		    c->fd[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	}
	p->accepted++;
	if (p->trips > 0 && p->again_us < 0)
		p->again_us = (int64_t)(loop_now_us(p->loop) - p->tripped_us);
	want(c);
}

static void on_tick(void *arg)
{
	struct proxy *p = arg;
	struct connection *c, *next;

	for (c = TAILQ_FIRST(&p->connections); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		pump_both(c);
	}
}

/* --- Commands ------------------------------------------------------------- */

static int64_t to_ms(int64_t us)
{
	return us < 0 ? -1 : us / 1000;
}

static void carry_out(struct proxy *p, const struct fault_command *c)
{
	struct connection *one, *next;

	for (int d = 0; d < FAULT_DIR_COUNT; d++)
		fault_line_apply(&p->line[d], (enum fault_dir)d, c);
	for (one = TAILQ_FIRST(&p->connections); one != NULL; one = next) {
		next = TAILQ_NEXT(one, all);
		if (c->verb == FAULT_CLOSE || c->verb == FAULT_RESET) {
			connection_free(one, c->verb == FAULT_RESET);
			continue;
		}
		if (c->verb == FAULT_PASS)
			one->frozen = false;
		pump_both(one);
	}
}

static void answer(struct proxy *p, const char *line)
{
	struct fault_command c;
	const char *why;

	if (fault_command_parse(line, &c, &why) != RC_OK) {
		(void)printf("error %s\n", why);
		return;
	}
	carry_out(p, &c);
	if (c.verb != FAULT_STAT) {
		(void)printf("ok\n");
		return;
	}
	(void)printf("ok open=%u accepted=%u up=%" PRIu64 " down=%" PRIu64
		     " trips=%u again_ms=%" PRId64 " back_ms=%" PRId64 "\n",
	    p->open, p->accepted, p->line[FAULT_UP].carried,
	    p->line[FAULT_DOWN].carried, p->trips, to_ms(p->again_us),
	    to_ms(p->back_us));
}

static void on_command(void *arg, unsigned ready)
{
	struct proxy *p = arg;
	size_t room = sizeof(p->input) - 1 - p->input_len;
	ssize_t n = read(STDIN_FILENO, p->input + p->input_len, room);
	char *line = p->input, *end;

	(void)ready;
	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			loop_stop(p->loop);
		return;
	}
	p->input_len += (size_t)n;
	p->input[p->input_len] = '\0';
	while ((end = strchr(line, '\n')) != NULL) {
		*end = '\0';
		answer(p, line);
		line = end + 1;
	}
	p->input_len = strlen(line);
	memmove(p->input, line, p->input_len + 1);
	if (p->input_len == sizeof(p->input) - 1) {
		(void)printf("error a command is too long\n");
		p->input_len = 0;
	}
	(void)fflush(stdout);
}

/* --- Beginning ------------------------------------------------------------ */

/* "127.0.0.1:10943" or "[::1]:10943"; NULL: it is not. */
static struct addrinfo *resolve(const char *text)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *found = NULL;
	char host[64] = { 0 };
	const char *colon = strrchr(text, ':');
	size_t len = colon != NULL ? (size_t)(colon - text) : 0;

	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(host))
		return NULL;
	memcpy(host, text, len);
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
		return NULL;
	return found;
}

static int listen_at(const struct addrinfo *at)
{
	struct address got = { .len = sizeof(got.sa) };
	char text[ADDRESS_TEXT_MAX];
	const int on = 1;
	int fd = socket(
	    at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 ||
	    listen(fd, 512) != 0 ||
	    getsockname(fd, (struct sockaddr *)&got.sa, &got.len) != 0) {
		(void)close(fd);
		return -1;
	}
	(void)printf("listening %s\n", address_text(&got, text, sizeof(text)));
	(void)fflush(stdout);
	return fd;
}

static int run(struct proxy *p)
{
	int exit_code = 1;

	if (loop_new(&p->loop) != RC_OK)
		return 1;
	if (loop_timer_new(p->loop, on_tick, p, &p->tick) != RC_OK ||
	    loop_io_new(p->loop, p->listen_fd, on_connection, p, &p->accept) !=
		RC_OK ||
	    loop_io_new(p->loop, STDIN_FILENO, on_command, p, &p->commands) !=
		RC_OK)
		goto out;
	loop_io_want(p->accept, LOOP_READ);
	loop_io_want(p->commands, LOOP_READ);
	loop_run(p->loop);
	exit_code = 0;
out:
	while (!TAILQ_EMPTY(&p->connections))
		connection_free(TAILQ_FIRST(&p->connections), true);
	loop_io_free(p->commands);
	loop_io_free(p->accept);
	loop_timer_free(p->tick);
	loop_free(p->loop);
	return exit_code;
}

int main(int argc, char **argv)
{
	struct proxy p = { .again_us = -1, .back_us = -1, .listen_fd = -1 };
	struct addrinfo *at = argc == 3 ? resolve(argv[1]) : NULL;
	int exit_code = 2;

	TAILQ_INIT(&p.connections);
	for (int d = 0; d < FAULT_DIR_COUNT; d++)
		fault_line_init(&p.line[d]);
	(void)signal(SIGPIPE, SIG_IGN);
	p.target = argc == 3 ? resolve(argv[2]) : NULL;
	if (at == NULL || p.target == NULL) {
		(void)fprintf(stderr,
		    "usage: fault_proxy ADDRESS:PORT TARGET_ADDRESS:PORT\n");
		goto out;
	}
	p.listen_fd = listen_at(at);
	if (p.listen_fd < 0) {
		(void)fprintf(stderr, "fault_proxy: cannot listen at %s: %s\n",
		    argv[1], strerrordesc_np(errno));
		goto out;
	}
	exit_code = run(&p);
	(void)close(p.listen_fd);
out:
	if (at != NULL)
		freeaddrinfo(at);
	if (p.target != NULL)
		freeaddrinfo(p.target);
	return exit_code;
}
