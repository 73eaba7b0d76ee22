/*
 * handshake.h - a TLS handshake that runs on workers, step by step.
 *
 * It owns the session until the end.  What arrives while a worker computes
 * waits here, bounded; handshake_free() is allowed at any time: a worker that
 * is busy then cleans up when it is done.  Loop's thread.
 */
#ifndef COMMON_HANDSHAKE_H
#define COMMON_HANDSHAKE_H

#include "common/tls.h"
#include "common/worker.h"
#include "proto/bytes.h"

struct handshake;

#define HANDSHAKE_INPUT_MAX ((size_t)64 * 1024)

struct handshake_result {
	/* RC_AGAIN: send out, more will come.  RC_OK: done, tls is yours and
	 * rest is its first input.  Else: failed, fault says why; out may be
	 * an alert.  After anything but RC_AGAIN the handshake has ended. */
	enum rc rc;
	struct bytes out;
	struct bytes rest;
	struct tls *tls;
	const struct fault *fault;
};

/* May call handshake_free(). */
typedef void (*handshake_fn)(void *arg, const struct handshake_result *result);

/* Takes tls over (also on failure). */
MUST_CHECK enum rc handshake_new(struct worker_pool *pool, struct tls *tls,
    handshake_fn fn, void *arg, struct handshake **out);
/*
 * Begin without input: a client.  RC_LIMIT: too many wait for a worker;
 * RC_NOMEM.  Then nothing was begun, and fn is not called.
 */
MUST_CHECK enum rc handshake_start(struct handshake *h);
void handshake_feed(struct handshake *h, const uint8_t *data, size_t len);
/* Is it we who are slow: does a step wait for a worker, or run? */
bool handshake_is_busy(const struct handshake *h);
void handshake_free(struct handshake *h); /* NULL is fine */

#endif
