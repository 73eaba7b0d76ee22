/*
 * loop.h - the event loop: readiness, timers, signals, names, and messages
 * from other threads.  A thin room around libevent: nothing else in the
 * project includes its headers but the HTTP server.
 *
 * One loop belongs to one thread.  Only loop_post() and loop_stop() may be
 * called from others.  A callback may free the object it was called for.
 */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include "proto/rc.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct loop;
struct loop_io;
struct loop_timer;
struct loop_signal;
struct loop_lookup;

MUST_CHECK enum rc loop_new(struct loop **out);
/* All timers, watchers and lookups must be gone.  What was posted and not yet
 * called is forgotten. */
void loop_free(struct loop *loop);
/* Runs until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop); /* any thread */

/* Monotonic time in microseconds (to the kernel's tick of 1 to 4 ms). */
uint64_t loop_now_us(struct loop *loop);

/* --- From other threads ------------------------------------------------- */

typedef void (*loop_fn)(void *arg);

/*
 * Have fn(arg) called on the loop's thread, in the order posted.  Any thread.
 * RC_NOMEM: it will not be called.
 */
MUST_CHECK enum rc loop_post(struct loop *loop, loop_fn fn, void *arg);

/* --- Sockets ------------------------------------------------------------ */

enum loop_want {
	LOOP_READ = 1,
	LOOP_WRITE = 2
};

typedef void (*loop_io_fn)(void *arg, unsigned ready);

/* Watch fd (borrowed) with nothing wanted yet. */
MUST_CHECK enum rc loop_io_new(
    struct loop *loop, int fd, loop_io_fn fn, void *arg, struct loop_io **out);
/* Level-triggered; want is a set of LOOP_READ and LOOP_WRITE, 0: nothing. */
void loop_io_want(struct loop_io *io, unsigned want);
void loop_io_free(struct loop_io *io); /* NULL is fine; does not close */

/* --- Timers ------------------------------------------------------------- */

MUST_CHECK enum rc loop_timer_new(
    struct loop *loop, loop_fn fn, void *arg, struct loop_timer **out);
/* Fire once, ms from now; an earlier setting is forgotten. */
void loop_timer_set(struct loop_timer *t, uint64_t ms);
void loop_timer_set_us(struct loop_timer *t, uint64_t us);
/* Fire once, at the end of this turn of the loop: after what is ready already,
 * and without asking the kernel again.  Not for who would do so for ever. */
void loop_timer_soon(struct loop_timer *t);
void loop_timer_stop(struct loop_timer *t);
bool loop_timer_pending(const struct loop_timer *t);
void loop_timer_free(struct loop_timer *t); /* NULL is fine */

/* --- Signals ------------------------------------------------------------ */

MUST_CHECK enum rc loop_signal_new(struct loop *loop, int signo, loop_fn fn,
    void *arg, struct loop_signal **out);
void loop_signal_free(struct loop_signal *s); /* NULL is fine */

/* --- Names -------------------------------------------------------------- */

#define LOOP_ADDRESSES_MAX 16
#define ADDRESS_TEXT_MAX   64

struct address {
	struct sockaddr_storage sa;
	socklen_t len;
};

/* Called once; count 0: failed, and error says why (static string). */
typedef void (*loop_lookup_fn)(void *arg, const struct address *addresses,
    size_t count, const char *error);

/*
 * Resolve host and port (1..65535).  May answer before it returns (a numeric
 * host always does); then *out is NULL.
 */
MUST_CHECK enum rc loop_lookup(struct loop *loop, const char *host,
    uint16_t port, loop_lookup_fn fn, void *arg, struct loop_lookup **out);
/* No callback follows.  NULL is fine. */
void loop_lookup_cancel(struct loop_lookup *l);

/* "10.0.0.3:10933" (also for ::ffff:10.0.0.3) or "[fd00::1]:10933"; returns
 * buf. */
const char *address_text(const struct address *a, char *buf, size_t size);

#endif
