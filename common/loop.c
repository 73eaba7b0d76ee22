#include "common/loop.h"

#include <event2/event.h>
#include <event2/thread.h>
#include <event2/util.h>

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/loop_base.h"

struct posted {
	struct posted *next;
	loop_fn fn;
	void *arg;
};

struct loop_io {
	struct event *read, *write;
	unsigned want;
	loop_io_fn fn;
	void *arg;
};

struct loop_timer {
	struct event *event;
	loop_fn fn;
	void *arg;
};

struct loop_signal {
	struct event *event;
	loop_fn fn;
	void *arg;
};

/* --- The loop and its inbox --------------------------------------------- */

static struct posted *take_posted(struct loop *loop)
{
	struct posted *first;

	(void)pthread_mutex_lock(&loop->lock);
	first = loop->first;
	loop->first = NULL;
	loop->last = &loop->first;
	(void)pthread_mutex_unlock(&loop->lock);
	return first;
}

static void run_list(struct posted *p)
{
	while (p != NULL) {
		struct posted *next = p->next;

		p->fn(p->arg);
		free(p);
		p = next;
	}
}

static void run_posted(void *arg, unsigned ready)
{
	struct loop *loop = arg;
	uint64_t count;

	(void)ready;
	if (read(loop->wake_fd, &count, sizeof(count)) == sizeof(count))
		run_list(take_posted(loop));
}

static MUST_CHECK enum rc open_base(struct loop *loop)
{
	struct event_config *config = event_config_new();

	if (config == NULL)
		return RC_NOMEM;
	(void)event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	if (loop->base == NULL)
		return RC_NOMEM;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0)
		return RC_IO;
	return loop_io_new(loop, loop->wake_fd, run_posted, loop, &loop->wake);
}

enum rc loop_new(struct loop **out)
{
	struct loop *loop;
	enum rc rc;

	if (evthread_use_pthreads() != 0)
		return RC_NOMEM;
	loop = calloc(1, sizeof(*loop));
	if (loop == NULL)
		return RC_NOMEM;
	loop->wake_fd = -1;
	loop->last = &loop->first;
	(void)pthread_mutex_init(&loop->lock, NULL);
	rc = open_base(loop);
	if (rc != RC_OK) {
		loop_free(loop);
		return rc;
	}
	loop_io_want(loop->wake, LOOP_READ);
	*out = loop;
	return RC_OK;
}

void loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	loop_io_free(loop->wake);
	loop_names_free(loop);
	if (loop->base != NULL)
		event_base_free(loop->base);
	if (loop->wake_fd >= 0)
		(void)close(loop->wake_fd);
	while (loop->first != NULL) {
		struct posted *p = loop->first;

		loop->first = p->next;
		free(p);
	}
	(void)pthread_mutex_destroy(&loop->lock);
	free(loop);
}

void loop_run(struct loop *loop)
{
	(void)event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void loop_stop(struct loop *loop)
{
	(void)event_base_loopbreak(loop->base);
}

uint64_t loop_now_us(struct loop *loop)
{
	struct timespec now;

	(void)loop;
	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

enum rc loop_post(struct loop *loop, loop_fn fn, void *arg)
{
	struct posted *p = malloc(sizeof(*p));
	const uint64_t one = 1;
	ssize_t written;

	if (p == NULL)
		return RC_NOMEM;
	*p = (struct posted){ .fn = fn, .arg = arg };
	(void)pthread_mutex_lock(&loop->lock);
	*loop->last = p;
	loop->last = &p->next;
	/* Under the lock: the loop may end as soon as it has seen p.  Fails
	 * only when the counter is full, and then it is readable anyway. */
	written = write(loop->wake_fd, &one, sizeof(one));
	(void)written;
	(void)pthread_mutex_unlock(&loop->lock);
	return RC_OK;
}

/* --- Sockets ------------------------------------------------------------ */

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct loop_io *io = arg;

	(void)fd;
	io->fn(io->arg, what & EV_READ ? LOOP_READ : LOOP_WRITE);
}

enum rc loop_io_new(
    struct loop *loop, int fd, loop_io_fn fn, void *arg, struct loop_io **out)
{
	struct loop_io *io = calloc(1, sizeof(*io));

	if (io == NULL)
		return RC_NOMEM;
	io->fn = fn;
	io->arg = arg;
	io->read =
	    event_new(loop->base, fd, EV_READ | EV_PERSIST, on_ready, io);
	io->write =
	    event_new(loop->base, fd, EV_WRITE | EV_PERSIST, on_ready, io);
	if (io->read == NULL || io->write == NULL) {
		loop_io_free(io);
		return RC_NOMEM;
	}
	*out = io;
	return RC_OK;
}

static void want_one(struct event *event, bool had, bool want)
{
	if (want && !had)
		(void)event_add(event, NULL);
	else if (!want && had)
		(void)event_del(event);
}

void loop_io_want(struct loop_io *io, unsigned want)
{
	want_one(io->read, io->want & LOOP_READ, want & LOOP_READ);
	want_one(io->write, io->want & LOOP_WRITE, want & LOOP_WRITE);
	io->want = want;
}

void loop_io_free(struct loop_io *io)
{
	if (io == NULL)
		return;
	if (io->read != NULL)
		event_free(io->read);
	if (io->write != NULL)
		event_free(io->write);
	free(io);
}

/* --- Timers and signals ------------------------------------------------- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	(void)fd;
	(void)what;
	t->fn(t->arg);
}

enum rc loop_timer_new(
    struct loop *loop, loop_fn fn, void *arg, struct loop_timer **out)
{
	struct loop_timer *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return RC_NOMEM;
	t->fn = fn;
	t->arg = arg;
	t->event = evtimer_new(loop->base, on_timer, t);
	if (t->event == NULL) {
		free(t);
		return RC_NOMEM;
	}
	*out = t;
	return RC_OK;
}

void loop_timer_set_us(struct loop_timer *t, uint64_t us)
{
	const struct timeval after = {
		.tv_sec = (time_t)(us / 1000000),
		.tv_usec = (suseconds_t)(us % 1000000),
	};

	(void)evtimer_add(t->event, &after);
}

void loop_timer_set(struct loop_timer *t, uint64_t ms)
{
	loop_timer_set_us(t, ms * 1000);
}

void loop_timer_soon(struct loop_timer *t)
{
	(void)evtimer_del(t->event);
	event_active(t->event, EV_TIMEOUT, 1);
}

void loop_timer_stop(struct loop_timer *t)
{
	(void)evtimer_del(t->event);
}

bool loop_timer_pending(const struct loop_timer *t)
{
	return evtimer_pending(t->event, NULL) != 0;
}

void loop_timer_free(struct loop_timer *t)
{
	if (t == NULL)
		return;
	event_free(t->event);
	free(t);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct loop_signal *s = arg;

	(void)fd;
	(void)what;
	s->fn(s->arg);
}

enum rc loop_signal_new(struct loop *loop, int signo, loop_fn fn, void *arg,
    struct loop_signal **out)
{
	struct loop_signal *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return RC_NOMEM;
	s->fn = fn;
	s->arg = arg;
	s->event = evsignal_new(loop->base, signo, on_signal, s);
	if (s->event == NULL || event_add(s->event, NULL) != 0) {
		loop_signal_free(s);
		return RC_NOMEM;
	}
	*out = s;
	return RC_OK;
}

void loop_signal_free(struct loop_signal *s)
{
	if (s == NULL)
		return;
	if (s->event != NULL)
		event_free(s->event);
	free(s);
}
