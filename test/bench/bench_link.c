/*
 * bench_link DIR HOST:PORT [NAME=VALUE...] - load for a relay, from both sides.
 *
 *     machines=1      dialled=0    how many; of them dialled by the relay
 *     far_ns=FILE     far=HOST:PORT  their network, and the relay in it
 *     bulk=1          streams of class bulk to the first machine
 *     spread=1        each to another machine
 *     down=1          from the machines to the node
 *     frame=16384     largest frame of the node's
 *     discard=1       the first machine throws ciphertext away unread, so that
 *                     the load costs less than what is measured
 *     ping_us=5000    a request of 64 bytes so often, on a stream of class
 *                     health to the first machine; echoed there
 *     warm_ms=500 run_ms=2000
 *     watch=PID       whose CPU is counted
 *     idle=1          instead of a load: a health stream to each, one request
 *                     on each, then "ready"; the end of standard input ends it
 *
 * One line of JSON.  bytes: of payload, as they came to the machine.
 */
#include "common/link_internal.h"
#include "common/log.h"
#include "test/bench/fleet.h"
#include "test/bench/meter.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PING        64
#define PIECES      16 /* full frames that wait */
#define PIECE       (FRAME_LEN_MAX - FRAME_HEADER_LEN)
#define WIRE_READ   (1 << 20)
#define FULL_CREDIT (0x7fffffff - 2 * MUX_INITIAL_CREDIT)
/* A full frame in a record: TLS adds 22 bytes, our header is 8. */
#define WIRE_FRAME (FRAME_LEN_MAX + 22)

struct bench;

/* The node's end of a stream. */
struct near {
	struct stream_user user; /* first */
	struct bench *bench;
	uint32_t stream;
	uint8_t part[PING];
	size_t part_len;
};

/* The machine's. */
struct far {
	struct stream_user user; /* first */
	struct bench *bench;
	enum stream_class class;
};

struct sample {
	uint64_t at_us, watched_ns, own_ns, bytes;
};

struct bench {
	struct loop *loop;
	struct fleet *fleet;
	struct fleet_settings settings;
	uint64_t bulk, frame, ping_us, warm_ms, run_ms;
	long watch;
	bool discard, idle, spread, down, failed, running;
	uint32_t accepted, answered;
	struct near *near;
	uint32_t near_count;
	struct loop_timer *timer, *discarding;
	struct loop_io *ticker, *input, *drain;
	int ticker_fd;
	uint64_t bytes; /* that have come to the machine */
	uint64_t ready_us;
	struct sample start, linked, from, till;
	struct meter_list pings;
	uint64_t pings_sent;
};

static void finish(struct bench *b)
{
	loop_stop(b->loop);
}

static void on_failed(void *owner, const char *what, const char *why)
{
	struct bench *b = owner;

	if (!b->failed)
		(void)fprintf(stderr, "bench_link: %s: %s\n", what, why);
	b->failed = true;
	finish(b);
}

static struct sample take_sample(const struct bench *b)
{
	return (struct sample){ .at_us = meter_now_us(),
		.watched_ns = b->watch > 0 ? meter_cpu_ns(b->watch) : 0,
		.own_ns = meter_cpu_ns(getpid()),
		.bytes = b->bytes };
}

/* --- The node's streams --------------------------------------------------- */

static void send_bulk(struct link *link, uint32_t stream)
{
	static const uint8_t zeros[PIECE];
	size_t taken = PIECE;

	while (taken == PIECE)
		if (link_send(link, stream, zeros, PIECE, &taken) != RC_OK)
			taken = 0;
}

static void begin_bulk(struct link *link, uint32_t stream)
{
	mux_set_queue_max(link_mux(link), stream, PIECES * PIECE, false);
	send_bulk(link, stream);
}

static void send_ping(struct near *n)
{
	uint8_t ping[PING] = { 0 };
	const uint64_t now = meter_now_us();
	size_t taken;

	memcpy(ping, &now, sizeof(now));
	if (link_send(n->bench->fleet->link, n->stream, ping, PING, &taken) !=
		RC_OK ||
	    taken != PING)
		on_failed(n->bench, "a request", "does not fit the queue");
	n->bench->pings_sent++;
}

static void say_ready(struct bench *b)
{
	(void)printf("ready\n");
	(void)fflush(stdout);
	if (b->fleet->link != NULL)
		loop_io_want(b->input, LOOP_READ);
}

static void on_pong(struct near *n, const uint8_t *pong)
{
	struct bench *b = n->bench;
	uint64_t sent;

	memcpy(&sent, pong, sizeof(sent));
	if (b->running && meter_add(&b->pings, meter_now_us() - sent) != RC_OK)
		on_failed(b, "memory", "used up");
	if (b->idle && ++b->answered == b->near_count)
		say_ready(b);
}

static void on_answer(struct near *n, const struct mux_event *event)
{
	const uint8_t *p = event->data.p;
	size_t len = event->data.len;

	link_consumed(n->bench->fleet->link, n->stream, len);
	while (len > 0) {
		size_t piece = PING - n->part_len;

		if (piece > len)
			piece = len;
		memcpy(n->part + n->part_len, p, piece);
		n->part_len += piece;
		p += piece;
		len -= piece;
		if (n->part_len == PING) {
			n->part_len = 0;
			on_pong(n, n->part);
		}
	}
}

static void warm_up(struct bench *b)
{
	loop_timer_set(b->timer, b->warm_ms);
	if (b->ticker == NULL)
		return;
	(void)meter_ticks(b->ticker_fd); /* those of the time before */
	loop_io_want(b->ticker, LOOP_READ);
}

static void on_near(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct near *n = (struct near *)user;
	struct bench *b = n->bench;
	bool is_bulk = n < b->near + b->bulk, done;
	struct fault fault;

	if (event->type == MUX_DATA && is_bulk) {
		b->bytes += event->data.len;
		link_consumed(link, event->stream, event->data.len);
	} else if (event->type == MUX_DATA) {
		on_answer(n, event);
	} else if (event->type == MUX_WRITABLE) {
		if (is_bulk)
			send_bulk(link, n->stream);
	} else if (event->type == MUX_ACCEPTED) {
		b->accepted++;
		if (is_bulk && !b->down)
			begin_bulk(link, n->stream);
		else if (b->idle)
			send_ping(n);
		if (b->accepted == b->near_count && !b->idle)
			warm_up(b);
	} else if (event->type == MUX_RESET || event->type == MUX_BROKEN) {
		link_stream_fault(link, event, &fault, &done);
		on_failed(b, "a stream", fault.text);
	}
}

static MUST_CHECK enum rc open_near(
    struct bench *b, uint32_t i, uint32_t machine, enum stream_class class)
{
	struct near *n = &b->near[i];

	n->user.event = on_near;
	n->bench = b;
	return fleet_open(b->fleet, machine, class, &n->user, &n->stream);
}

static void on_ready(void *owner)
{
	struct bench *b = owner;
	struct mux *mux = link_mux(b->fleet->link);
	enum rc rc = RC_OK;

	b->ready_us = meter_now_us();
	b->linked = take_sample(b);
	b->near_count = b->idle ? b->settings.machines
	                        : (uint32_t)b->bulk + (b->ping_us > 0);
	b->near = calloc(b->near_count + 1, sizeof(*b->near));
	if (b->near == NULL)
		rc = RC_NOMEM;
	mux_set_frame_max(mux, (uint32_t)b->frame);
	for (uint32_t i = 0; i < b->near_count && rc == RC_OK; i++)
		rc = open_near(b, i,
		    b->idle || (b->spread && i < b->bulk) ? i : 0,
		    i < b->bulk ? CLASS_BULK : CLASS_HEALTH);
	if (rc != RC_OK)
		on_failed(b, "a stream", rc_name(rc));
	else if (b->near_count == 0)
		finish(b);
}

/* --- The machine's streams ------------------------------------------------ */

static void on_far(
    struct stream_user *user, struct link *link, const struct mux_event *event)
{
	struct far *far = (struct far *)user;
	size_t taken;

	if (event->type == MUX_DATA) {
		if (far->class == CLASS_BULK)
			far->bench->bytes += event->data.len;
		else if (link_send(link, event->stream, event->data.p,
			     event->data.len, &taken) != RC_OK)
			on_failed(far->bench, "an answer", "not taken");
		link_consumed(link, event->stream, event->data.len);
	} else if (event->type == MUX_WRITABLE) {
		if (far->class == CLASS_BULK)
			send_bulk(link, event->stream);
	} else if (event->type == MUX_RESET || event->type == MUX_BROKEN ||
		   event->type == MUX_CLOSED) {
		free(far);
	}
}

/* What comes is counted and thrown away by the kernel. */
static void on_wire(void *arg, unsigned ready)
{
	struct bench *b = arg;
	static uint8_t nowhere[WIRE_READ];
	ssize_t n;

	(void)ready;
	n = recv(b->fleet->machines[0].link->fd, nowhere, WIRE_READ, MSG_TRUNC);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		on_failed(b, "the machine's connection", "ended");
	if (n > 0)
		b->bytes += (uint64_t)n * (FRAME_LEN_MAX - FRAME_HEADER_LEN) /
		            WIRE_FRAME;
}

static void on_discard(void *arg)
{
	struct bench *b = arg;
	struct link *link = b->fleet->machines[0].link;

	/* Its answer has to be written first. */
	link_flush(link);
	loop_io_free(link->io);
	link->io = NULL;
	loop_timer_stop(link->timer);
	meter_read_in_bulk(link->fd);
	link->state = LINK_ST_HANDSHAKE; /* it lets the socket alone now */
	if (loop_io_new(b->loop, link->fd, on_wire, b, &b->drain) != RC_OK)
		on_failed(b, "memory", "used up");
	else
		loop_io_want(b->drain, LOOP_READ);
}

static void on_opened(
    void *owner, struct fleet_machine *m, const struct link_event *event)
{
	struct bench *b = owner;
	struct far *far = calloc(1, sizeof(*far));
	struct msg_accept accept = { .credit = b->discard ? FULL_CREDIT : 0 };

	if (far == NULL) {
		on_failed(b, "memory", "used up");
		return;
	}
	far->user.event = on_far;
	far->bench = b;
	far->class = event->open->service_class;
	if (link_accept(m->link, event->stream, far->class, &accept,
		&far->user) != RC_OK)
		on_failed(b, "a stream", "cannot be accepted");
	else if (b->down && far->class == CLASS_BULK)
		begin_bulk(m->link, event->stream);
	if (b->discard && ++b->answered == b->bulk)
		loop_timer_set(b->discarding, 0);
}

/* --- Times ---------------------------------------------------------------- */

static void on_tick(void *arg, unsigned ready)
{
	struct bench *b = arg;

	(void)ready;
	for (uint64_t n = meter_ticks(b->ticker_fd); n > 0 && !b->failed; n--)
		send_ping(&b->near[b->near_count - 1]);
}

static void on_timer(void *arg)
{
	struct bench *b = arg;

	if (b->running) {
		b->till = take_sample(b);
		finish(b);
		return;
	}
	b->running = true;
	b->from = take_sample(b);
	loop_timer_set(b->timer, b->run_ms);
}

static void on_input(void *arg, unsigned ready)
{
	(void)ready;
	finish(arg);
}

static MUST_CHECK enum rc prepare(struct bench *b)
{
	enum rc rc = loop_timer_new(b->loop, on_timer, b, &b->timer);

	if (rc == RC_OK)
		rc = loop_timer_new(b->loop, on_discard, b, &b->discarding);
	if (rc == RC_OK)
		rc = loop_io_new(b->loop, STDIN_FILENO, on_input, b, &b->input);
	if (rc != RC_OK || b->ping_us == 0)
		return rc;
	b->ticker_fd = meter_ticker(b->ping_us);
	if (b->ticker_fd < 0)
		return RC_IO;
	return loop_io_new(b->loop, b->ticker_fd, on_tick, b, &b->ticker);
}

static void print(const struct bench *b)
{
	const struct sample *s = &b->from, *e = &b->till;

	(void)printf("{\"links_us\": %" PRIu64 ", \"links_cpu_ns\": %" PRIu64
		     ", \"us\": %" PRIu64 ", \"cpu_ns\": %" PRIu64
		     ", \"load_ns\": %" PRIu64 ", \"bytes\": %" PRIu64
		     ", \"sent\": %" PRIu64 ", \"pings_us\": ",
	    b->ready_us - b->start.at_us,
	    b->linked.watched_ns - b->start.watched_ns, e->at_us - s->at_us,
	    e->watched_ns - s->watched_ns, e->own_ns - s->own_ns,
	    e->bytes - s->bytes, b->pings_sent);
	meter_print(&b->pings);
	(void)printf("}\n");
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void read_words(struct bench *b, char **argv)
{
	char **words = argv + 3;

	b->settings = (struct fleet_settings){ .keys = argv[1],
		.relay = argv[2],
		.relay_far = meter_text(words, "far"),
		.far_ns = meter_text(words, "far_ns"),
		.machines = (uint32_t)meter_setting(words, "machines", 1),
		.dialled = (uint32_t)meter_setting(words, "dialled", 0) };
	if (b->settings.relay_far == NULL)
		b->settings.relay_far = argv[2];
	b->bulk = meter_setting(words, "bulk", 0);
	b->frame = meter_setting(words, "frame", FRAME_LEN_MAX);
	b->ping_us = meter_setting(words, "ping_us", 0);
	b->warm_ms = meter_setting(words, "warm_ms", 500);
	b->run_ms = meter_setting(words, "run_ms", 2000);
	b->watch = (long)meter_setting(words, "watch", 0);
	b->idle = meter_setting(words, "idle", 0) != 0;
	b->spread = meter_setting(words, "spread", 0) != 0;
	b->down = meter_setting(words, "down", 0) != 0;
	b->discard = meter_setting(words, "discard", 0) != 0;
	b->settings.greedy = b->discard;
}

static const struct fleet_events events = {
	.ready = on_ready,
	.opened = on_opened,
	.failed = on_failed,
};

int main(int argc, char **argv)
{
	struct log_options log = LOG_OPTIONS_DEFAULT;
	static struct bench b;
	struct fault fault = { .text = "out of memory" };
	enum rc rc;

	if (argc < 3) {
		(void)fprintf(stderr,
		    "usage: bench_link DIR HOST:PORT [NAME=VALUE...]\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	log.level = LOG_LEVEL_ERROR;
	log_setup(&log);
	raise_file_limit();
	read_words(&b, argv);
	rc = loop_new(&b.loop);
	if (rc == RC_OK)
		rc = prepare(&b);
	if (rc == RC_OK)
		rc = fleet_new(
		    b.loop, &b.settings, &events, &b, &b.fleet, &fault);
	if (rc != RC_OK) {
		(void)fprintf(
		    stderr, "bench_link: %s (%s)\n", fault.text, rc_name(rc));
		return 1;
	}
	b.start = take_sample(&b);
	loop_run(b.loop);
	if (b.failed)
		return 1;
	print(&b);
	return 0;
}
