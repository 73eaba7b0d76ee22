/*
 * bench_tcp DIR [NAME=VALUE...] - the same load as bench_link's, for other
 * relays: TLS connections go in at one end and come out at the other.
 *
 *     connect=HOST:PORT     the relay
 *     listen=HOST:PORT      where it, or nobody in between, connects to
 *     far_ns=FILE           network namespace of that end
 *     tls=0                 plain TCP; else TLS 1.3, mutual, with DIR's keys
 *     bulk=1 discard=1 ping_us=5000 warm_ms=500 run_ms=2000 watch=PID
 *                           as bench_link; requests have a connection of their
 *                           own
 *     conns=3000 idle=1     so many connections, one request on each, "ready";
 *                           the end of standard input ends it
 *     bulk_sh=COMMAND ping_sh=COMMAND
 *                           not a connection: what the command reads and writes
 *
 * One line of JSON.  bytes: of payload at the far end; with bulk_sh, what the
 * command has taken.
 */
#include "common/config.h"
#include "test/bench/meter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PING      64
#define PIECE     16384
#define PARALLEL  64
#define EVENTS    64
#define WIRE_READ (1 << 20)
/* TLS adds 22 bytes to a full record. */
#define WIRE_PIECE (PIECE + 22)
#define TURNS      4 /* pieces in a row, before others have theirs */

enum conn_kind {
	CONN_TICKER,
	CONN_INPUT,
	CONN_LISTENER,
	CONN_BULK,
	CONN_PING,
	CONN_NEW, /* accepted; its first byte says what it is for */
	CONN_SINK,
	CONN_DISCARD,
	CONN_ECHO
};

struct conn {
	enum conn_kind kind;
	int fd;
	SSL *ssl; /* NULL: plain */
	bool open;
	uint8_t part[PING];
	size_t part_len;
	/* Of bulk in TLS: several records, written at once. */
	BIO *out;
	size_t out_at;
};

struct sample {
	uint64_t at_us, watched_ns, own_ns, bytes;
};

struct bench {
	const char *dir, *connect, *listen, *far_ns, *bulk_sh, *ping_sh;
	SSL_CTX *client, *server;
	int epoll;
	bool tls, discard, idle;
	uint64_t bulk, conns, dialled, opened, answered, ping_us;
	struct conn *first_bulk, *ping, *ticker;
	uint64_t bytes, pings_sent;
	bool running;
	struct meter_list pings;
	long watch;
	uint8_t zeros[TURNS * PIECE], scratch[WIRE_READ];
};

static void die(const char *what)
{
	const unsigned long e = ERR_peek_error();

	(void)fprintf(stderr, "bench_tcp: %s: %s\n", what,
	    e != 0 ? ERR_reason_error_string(e) : strerrordesc_np(errno));
	exit(1);
}

static struct sample take_sample(const struct bench *b)
{
	return (struct sample){ .at_us = meter_now_us(),
		.watched_ns = b->watch > 0 ? meter_cpu_ns(b->watch) : 0,
		.own_ns = meter_cpu_ns(getpid()),
		.bytes = b->bytes };
}

/* --- TLS as the product has it -------------------------------------------- */

static SSL_CTX *make_context(const struct bench *b, bool server)
{
	char pem[1024], root[1024], group[] = "X25519", signature[] = "ed25519";
	SSL_CTX *ctx =
	    SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	(void)snprintf(
	    pem, sizeof(pem), "%s/%s.pem", b->dir, server ? "sink" : "client");
	(void)snprintf(root, sizeof(root), "%s/root.pem", b->dir);
	if (ctx == NULL ||
	    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") != 1 ||
	    SSL_CTX_set1_groups_list(ctx, group) != 1 ||
	    SSL_CTX_set1_sigalgs_list(ctx, signature) != 1 ||
	    SSL_CTX_set_num_tickets(ctx, 0) != 1 ||
	    SSL_CTX_use_certificate_chain_file(ctx, pem) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, pem, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_load_verify_file(ctx, root) != 1)
		die("TLS");
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
					SSL_MODE_ENABLE_PARTIAL_WRITE |
					SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(
	    ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return ctx;
}

/* --- Sockets -------------------------------------------------------------- */

static struct sockaddr_in address(const char *text)
{
	struct sockaddr_in out = { .sin_family = AF_INET };
	struct endpoint e;
	struct fault fault;

	if (text == NULL || endpoint_parse(text, 0, &e, &fault) != RC_OK ||
	    inet_pton(AF_INET, e.host, &out.sin_addr) != 1)
		die("an address");
	out.sin_port = htons(e.port);
	return out;
}

static struct conn *watch_fd(struct bench *b, enum conn_kind kind, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct epoll_event e = { .events = EPOLLIN };

	if (c == NULL || fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
		die("a connection");
	c->kind = kind;
	c->fd = fd;
	e.data.ptr = c;
	/* Standard input may be a file, which is always readable. */
	if (epoll_ctl(b->epoll, EPOLL_CTL_ADD, fd, &e) != 0 &&
	    kind != CONN_INPUT)
		die("epoll");
	return c;
}

static void want(struct bench *b, struct conn *c, uint32_t events)
{
	struct epoll_event e = { .events = events, .data = { .ptr = c } };

	if (epoll_ctl(b->epoll, EPOLL_CTL_MOD, c->fd, &e) != 0)
		die("epoll");
}

static void listen_far(struct bench *b)
{
	const struct sockaddr_in at = address(b->listen);
	const int on = 1;
	int fd = meter_socket(b->far_ns);

	if (fd < 0)
		die("a socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0 ||
	    listen(fd, 4096) != 0)
		die(b->listen);
	(void)watch_fd(b, CONN_LISTENER, fd);
}

static void set_socket(int fd)
{
	const int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int spawn(const char *command)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		die("socketpair");
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(pair[1], STDIN_FILENO);
		(void)dup2(pair[1], STDOUT_FILENO);
		(void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	(void)close(pair[1]);
	return pair[0];
}

static void start_tls(struct bench *b, struct conn *c, bool server)
{
	if (!b->tls)
		return;
	c->ssl = SSL_new(server ? b->server : b->client);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
		die("TLS");
	if (server)
		SSL_set_accept_state(c->ssl);
	else
		SSL_set_connect_state(c->ssl);
}

/* --- Bytes ---------------------------------------------------------------- */

/* -1: later; 0: the other end is gone. */
static ssize_t conn_read(struct conn *c, uint8_t *data, size_t len)
{
	size_t n = 0;
	int error;

	if (c->ssl == NULL) {
		ssize_t got = read(c->fd, data, len);

		return got < 0 && errno != EAGAIN ? 0 : got;
	}
	ERR_clear_error();
	if (SSL_read_ex(c->ssl, data, len, &n) == 1)
		return (ssize_t)n;
	error = SSL_get_error(c->ssl, 0);
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE
	           ? -1
	           : 0;
}

static ssize_t conn_write(struct conn *c, const uint8_t *data, size_t len)
{
	size_t n = 0;
	int error;

	if (c->ssl == NULL) {
		ssize_t sent = write(c->fd, data, len);

		return sent < 0 && errno != EAGAIN ? 0 : sent;
	}
	ERR_clear_error();
	if (SSL_write_ex(c->ssl, data, len, &n) == 1)
		return (ssize_t)n;
	error = SSL_get_error(c->ssl, 0);
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE
	           ? -1
	           : 0;
}

static void send_ping(struct bench *b, struct conn *c)
{
	uint8_t ping[PING] = { 0 };
	const uint64_t now = meter_now_us();

	memcpy(ping, &now, sizeof(now));
	if (conn_write(c, ping, PING) != PING)
		die("a request is not taken");
	b->pings_sent++;
}

/* --- The near end --------------------------------------------------------- */

static void dial_more(struct bench *b);

static void on_open(struct bench *b, struct conn *c)
{
	c->open = true;
	if (c->kind == CONN_BULK && b->bulk_sh == NULL &&
	    conn_write(c, (const uint8_t *)"b", 1) != 1)
		die("the first byte");
	if (c->kind == CONN_PING && b->ping_sh == NULL &&
	    conn_write(c, (const uint8_t *)"p", 1) != 1)
		die("the first byte");
	if (c->kind == CONN_BULK && c->ssl != NULL) {
		c->out = BIO_new(BIO_s_mem());
		if (c->out == NULL)
			die("memory");
		SSL_set0_wbio(c->ssl, c->out);
	}
	if (c->kind == CONN_BULK)
		want(b, c, EPOLLOUT); /* a ticket may wait to be read */
	else
		send_ping(b, c);
	b->opened++;
}

static void shake_hands(struct bench *b, struct conn *c)
{
	int error;

	if (c->ssl != NULL) {
		int result;

		ERR_clear_error();
		result = SSL_do_handshake(c->ssl);
		error = SSL_get_error(c->ssl, result);
		if (result != 1 && error != SSL_ERROR_WANT_READ &&
		    error != SSL_ERROR_WANT_WRITE)
			die("a handshake");
		if (result != 1)
			return;
	}
	c->open = true;
	if (c->kind == CONN_BULK || c->kind == CONN_PING)
		on_open(b, c);
}

static struct conn *dial_one(
    struct bench *b, enum conn_kind kind, const char *command)
{
	struct conn *c;

	if (command != NULL) {
		c = watch_fd(b, kind, spawn(command));
	} else {
		const struct sockaddr_in to = address(b->connect);
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0 ||
		    connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0)
			die(b->connect);
		set_socket(fd);
		c = watch_fd(b, kind, fd);
		start_tls(b, c, false);
	}
	shake_hands(b, c);
	return c;
}

static void dial_more(struct bench *b)
{
	while (b->dialled < b->conns && b->dialled < b->answered + PARALLEL) {
		b->dialled++;
		(void)dial_one(b, CONN_PING, NULL);
	}
}

static void on_pong(struct bench *b, struct conn *c)
{
	uint64_t sent;

	memcpy(&sent, c->part, sizeof(sent));
	if (b->running && meter_add(&b->pings, meter_now_us() - sent) != RC_OK)
		die("memory");
	b->answered++;
	if (b->idle)
		dial_more(b);
}

static void read_pongs(struct bench *b, struct conn *c)
{
	ssize_t n;

	while (
	    (n = conn_read(c, c->part + c->part_len, PING - c->part_len)) > 0) {
		c->part_len += (size_t)n;
		if (c->part_len == PING) {
			c->part_len = 0;
			on_pong(b, c);
		}
	}
	if (n == 0)
		die("the connection of the requests ended");
}

/* What is encrypted and not written yet; false: not all was taken. */
static bool write_out(struct conn *c)
{
	char *data = NULL;
	const long len = BIO_get_mem_data(c->out, &data);
	ssize_t n;

	if (len <= 0)
		return true;
	n = write(c->fd, data + c->out_at, (size_t)len - c->out_at);
	if (n < 0 && errno != EAGAIN)
		die("the bulk connection ended");
	c->out_at += n > 0 ? (size_t)n : 0;
	if (c->out_at < (size_t)len)
		return false;
	(void)BIO_reset(c->out);
	c->out_at = 0;
	return true;
}

static void write_bulk(struct bench *b, struct conn *c)
{
	size_t taken;
	ssize_t n;

	if (c->out == NULL) {
		n = write(c->fd, b->zeros, sizeof(b->zeros));
		if (n < 0 && errno != EAGAIN)
			die("the bulk connection ended");
		if (n > 0 && b->bulk_sh != NULL)
			b->bytes += (uint64_t)n;
		return;
	}
	if (!write_out(c))
		return;
	for (int i = 0; i < TURNS; i++)
		if (SSL_write_ex(c->ssl, b->zeros, PIECE, &taken) != 1)
			die("bulk");
	(void)write_out(c);
}

/* --- The far end ---------------------------------------------------------- */

static void accept_all(struct bench *b, struct conn *listener)
{
	int fd;

	while ((fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct conn *c;

		set_socket(fd);
		c = watch_fd(b, CONN_NEW, fd);
		start_tls(b, c, true);
		shake_hands(b, c);
	}
}

static void drop(struct conn *c)
{
	SSL_free(c->ssl);
	(void)close(c->fd);
	free(c);
}

static void echo(struct bench *b, struct conn *c)
{
	ssize_t n;

	while ((n = conn_read(c, b->scratch, PIECE)) > 0)
		if (conn_write(c, b->scratch, (size_t)n) != n)
			die("an answer is not taken");
	if (n == 0)
		drop(c);
}

static void sink(struct bench *b, struct conn *c)
{
	ssize_t n;

	for (int i = 0; i < TURNS; i++) {
		n = conn_read(c, b->scratch, PIECE);
		if (n > 0)
			b->bytes += (uint64_t)n;
		if (n == 0)
			drop(c);
		if (n <= 0)
			return;
	}
}

static void discard(struct bench *b, struct conn *c)
{
	ssize_t n = recv(c->fd, b->scratch, WIRE_READ, MSG_TRUNC);

	if (n > 0)
		b->bytes +=
		    b->tls ? (uint64_t)n * PIECE / WIRE_PIECE : (uint64_t)n;
	else if (n == 0 || errno != EAGAIN)
		drop(c);
}

static void on_first_byte(struct bench *b, struct conn *c)
{
	uint8_t what;
	ssize_t n = conn_read(c, &what, 1);

	if (n == 0)
		drop(c);
	if (n != 1)
		return;
	c->kind = what == 'p'  ? CONN_ECHO
	          : b->discard ? CONN_DISCARD
	                       : CONN_SINK;
	if (c->kind == CONN_ECHO)
		echo(b, c);
	if (c->kind == CONN_DISCARD)
		meter_read_in_bulk(c->fd);
}

/* --- Everything ----------------------------------------------------------- */

/* false: the end was asked for. */
static bool on_conn(struct bench *b, struct conn *c, uint32_t events)
{
	switch (c->kind) {
	case CONN_INPUT:
		return false;
	case CONN_TICKER:
		for (uint64_t n = meter_ticks(c->fd); n > 0; n--)
			send_ping(b, b->ping);
		return true;
	case CONN_LISTENER:
		accept_all(b, c);
		return true;
	case CONN_BULK:
	case CONN_PING:
	case CONN_NEW:
	case CONN_SINK:
	case CONN_DISCARD:
	case CONN_ECHO:
		break;
	}
	if (!c->open) {
		shake_hands(b, c);
		if (!c->open)
			return true;
	}
	if (c->kind == CONN_BULK && (events & EPOLLOUT) != 0)
		write_bulk(b, c);
	else if (c->kind == CONN_PING)
		read_pongs(b, c);
	else if (c->kind == CONN_NEW)
		on_first_byte(b, c);
	else if (c->kind == CONN_ECHO)
		echo(b, c);
	else if (c->kind == CONN_SINK)
		sink(b, c);
	else if (c->kind == CONN_DISCARD)
		discard(b, c);
	return true;
}

/* One wait; false: the end was asked for. */
static bool turn(struct bench *b, int wait_ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(b->epoll, events, EVENTS, wait_ms);
	bool more = true;

	for (int i = 0; i < n && more; i++)
		more = on_conn(b, events[i].data.ptr, events[i].events);
	return more;
}

static void run_for(struct bench *b, uint64_t ms)
{
	const uint64_t until = meter_now_us() + ms * 1000;
	uint64_t now;

	while ((now = meter_now_us()) < until)
		(void)turn(b, (int)((until - now) / 1000) + 1);
}

static void run_idle(struct bench *b)
{
	dial_more(b);
	while (b->answered < b->conns)
		(void)turn(b, 100);
	(void)printf("ready\n");
	(void)fflush(stdout);
}

static void wait_for_end(struct bench *b)
{
	(void)watch_fd(b, CONN_INPUT, STDIN_FILENO);
	while (turn(b, 1000))
		continue;
}

static void dial_load(struct bench *b)
{
	if (b->bulk > 0)
		b->first_bulk = dial_one(b, CONN_BULK, b->bulk_sh);
	for (uint64_t i = 1; i < b->bulk; i++)
		(void)dial_one(b, CONN_BULK, b->bulk_sh);
	if (b->ping_us > 0)
		b->ping = dial_one(b, CONN_PING, b->ping_sh);
	while (b->opened < b->bulk + (b->ping_us > 0) ||
	       (b->ping_us > 0 && b->answered == 0))
		(void)turn(b, 100);
	if (b->ping_us > 0)
		b->ticker = watch_fd(b, CONN_TICKER, meter_ticker(b->ping_us));
}

static void print(const struct bench *b, const struct sample all[4])
{
	const struct sample *s = &all[2], *e = &all[3];
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (b->first_bulk != NULL && b->bulk_sh == NULL)
		(void)getsockopt(
		    b->first_bulk->fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	(void)printf("{\"links_us\": %" PRIu64 ", \"links_cpu_ns\": %" PRIu64
		     ", \"us\": %" PRIu64 ", \"cpu_ns\": %" PRIu64
		     ", \"load_ns\": %" PRIu64 ", \"bytes\": %" PRIu64
		     ", \"sent\": %" PRIu64
		     ", \"rtt_us\": %u, \"min_rtt_us\": %u, \"pings_us\": ",
	    all[1].at_us - all[0].at_us, all[1].watched_ns - all[0].watched_ns,
	    e->at_us - s->at_us, e->watched_ns - s->watched_ns,
	    e->own_ns - s->own_ns, e->bytes - s->bytes, b->pings_sent,
	    info.tcpi_rtt, info.tcpi_min_rtt);
	meter_print(&b->pings);
	(void)printf("}\n");
}

static void read_words(struct bench *b, char **argv)
{
	char **words = argv + 2;

	b->dir = argv[1];
	b->connect = meter_text(words, "connect");
	b->listen = meter_text(words, "listen");
	b->far_ns = meter_text(words, "far_ns");
	b->bulk_sh = meter_text(words, "bulk_sh");
	b->ping_sh = meter_text(words, "ping_sh");
	b->tls = meter_setting(words, "tls", 1) != 0 && b->listen != NULL;
	b->bulk = meter_setting(words, "bulk", 0);
	b->discard = meter_setting(words, "discard", 0) != 0;
	b->idle = meter_setting(words, "idle", 0) != 0;
	b->conns = meter_setting(words, "conns", 0);
	b->ping_us = meter_setting(words, "ping_us", 0);
	b->watch = (long)meter_setting(words, "watch", 0);
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	static struct bench b;
	struct sample samples[4];

	if (argc < 2) {
		(void)fprintf(stderr, "usage: bench_tcp DIR [NAME=VALUE...]\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	raise_file_limit();
	read_words(&b, argv);
	b.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (b.tls) {
		b.client = make_context(&b, false);
		b.server = make_context(&b, true);
	}
	if (b.listen != NULL)
		listen_far(&b);
	samples[0] = take_sample(&b);
	if (b.idle)
		run_idle(&b);
	else
		dial_load(&b);
	samples[1] = samples[2] = samples[3] = take_sample(&b);
	if (b.idle) {
		wait_for_end(&b);
	} else {
		run_for(&b, meter_setting(argv + 2, "warm_ms", 500));
		b.running = true;
		samples[2] = take_sample(&b);
		run_for(&b, meter_setting(argv + 2, "run_ms", 2000));
		samples[3] = take_sample(&b);
	}
	print(&b, samples);
	return 0;
}
