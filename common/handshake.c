#include "common/handshake.h"

#include <stdlib.h>
#include <string.h>

struct handshake {
	struct worker_pool *pool;
	struct tls *tls;
	handshake_fn fn;
	void *arg;
	bool working; /* a worker has tls, input and out */
	bool orphan;  /* freed by its owner: nobody listens any more */
	bool ended;
	/* What waits for the next step, and what the running one reads. */
	uint8_t *waiting;
	size_t waiting_len;
	uint8_t *input;
	size_t input_len, input_used;
	struct tls_out out;
	enum rc rc;
};

static void destroy(struct handshake *h)
{
	tls_free(h->tls);
	free(h->waiting);
	free(h->input);
	free(h->out.p);
	free(h);
}

enum rc handshake_new(struct worker_pool *pool, struct tls *tls,
    handshake_fn fn, void *arg, struct handshake **out)
{
	struct handshake *h = calloc(1, sizeof(*h));

	if (h != NULL)
		h->out.p = malloc((size_t)2 * TLS_ROOM);
	if (h == NULL || h->out.p == NULL) {
		free(h);
		tls_free(tls);
		return RC_NOMEM;
	}
	h->out.cap = (size_t)2 * TLS_ROOM;
	h->pool = pool;
	h->tls = tls;
	h->fn = fn;
	h->arg = arg;
	*out = h;
	return RC_OK;
}

static void fail(struct handshake *h, enum reason code, const char *text)
{
	struct fault fault;
	const struct handshake_result result = {
		.rc = RC_LIMIT,
		.fault = &fault,
	};

	fault_set(&fault, code, "", "%s", text);
	h->ended = true;
	h->fn(h->arg, &result);
}

static void step(struct handshake *h);

static void work(void *arg)
{
	struct handshake *h = arg;
	struct tls_in in = { .p = h->input, .len = h->input_len };

	h->out.len = 0;
	h->rc = tls_handshake(h->tls, &in, &h->out);
	h->input_used = h->input_len - in.len;
}

/* Unused input goes in front of what came meanwhile. */
static MUST_CHECK enum rc collect(struct handshake *h)
{
	size_t left = h->input_len - h->input_used;
	uint8_t *all = NULL;

	if (left + h->waiting_len > 0) {
		all = malloc(left + h->waiting_len);
		if (all == NULL)
			return RC_NOMEM;
		if (left > 0)
			memcpy(all, h->input + h->input_used, left);
		if (h->waiting_len > 0)
			memcpy(all + left, h->waiting, h->waiting_len);
	}
	free(h->waiting);
	free(h->input);
	h->waiting = all;
	h->waiting_len += left;
	h->input = NULL;
	h->input_len = h->input_used = 0;
	return RC_OK;
}

static void worked(void *arg)
{
	struct handshake *h = arg;
	struct handshake_result result = { .rc = h->rc };
	bool full = h->out.cap - h->out.len < TLS_ROOM;
	size_t came = h->waiting_len;

	h->working = false;
	if (h->orphan) {
		destroy(h);
		return;
	}
	if (collect(h) != RC_OK) {
		fail(h, REASON_MEMORY, "out of memory");
		return;
	}
	result.out = bytes_of(h->out.p, h->out.len);
	if (h->rc == RC_AGAIN) {
		/* The owner may free us: hold on until it has returned. */
		h->working = true;
		if (result.out.len > 0)
			h->fn(h->arg, &result);
		h->working = false;
		if (h->orphan)
			destroy(h);
		else if (came > 0 || full)
			step(h);
		return;
	}
	h->ended = true;
	result.rest = bytes_of(h->waiting, h->waiting_len);
	result.fault = tls_fault(h->tls);
	if (h->rc == RC_OK) {
		result.tls = h->tls;
		h->tls = NULL;
	}
	h->working = true;
	h->fn(h->arg, &result);
	h->working = false;
	if (h->orphan)
		destroy(h);
}

/* The pool went first.  An owner that is still there frees us. */
static void dropped(void *arg)
{
	struct handshake *h = arg;

	h->working = false;
	if (h->orphan)
		destroy(h);
}

enum rc handshake_start(struct handshake *h)
{
	enum rc rc;

	if (h->working || h->ended)
		return RC_OK;
	h->input = h->waiting;
	h->input_len = h->waiting_len;
	h->input_used = 0;
	h->waiting = NULL;
	h->waiting_len = 0;
	h->working = true;
	rc = worker_submit_owned(h->pool, work, worked, dropped, h);
	if (rc != RC_OK)
		h->working = false;
	return rc;
}

static void step(struct handshake *h)
{
	if (handshake_start(h) != RC_OK)
		fail(h, REASON_TOO_MANY,
		    "too many handshakes wait for a worker");
}

void handshake_feed(struct handshake *h, const uint8_t *data, size_t len)
{
	uint8_t *grown;

	if (h->ended)
		return;
	if (h->waiting_len + len > HANDSHAKE_INPUT_MAX) {
		fail(h, REASON_PROTOCOL,
		    "more than 64 KiB before the handshake was over");
		return;
	}
	grown = realloc(h->waiting, h->waiting_len + len);
	if (grown == NULL) {
		fail(h, REASON_MEMORY, "out of memory");
		return;
	}
	memcpy(grown + h->waiting_len, data, len);
	h->waiting = grown;
	h->waiting_len += len;
	step(h);
}

bool handshake_is_busy(const struct handshake *h)
{
	return h->working;
}

void handshake_free(struct handshake *h)
{
	if (h == NULL)
		return;
	if (h->working)
		h->orphan = true;
	else
		destroy(h);
}
