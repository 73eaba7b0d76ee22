#include "common/clock.h"
#include "common/link_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- In ----------------------------------------------------------------- */

static MUST_CHECK enum rc keep_rest(
    struct link *link, const uint8_t *data, size_t len)
{
	if (len == 0) {
		free(link->rest);
		link->rest = NULL;
		link->rest_len = 0;
		return RC_OK;
	}
	if (link->rest == NULL)
		link->rest = malloc(FRAME_LEN_MAX);
	if (link->rest == NULL)
		return RC_NOMEM;
	memcpy(link->rest, data, len);
	link->rest_len = len;
	return RC_OK;
}

void link_drain_events(struct link *link)
{
	struct mux_event event;

	while (
	    link->state != LINK_ST_CLOSED && mux_next_event(link->mux, &event))
		link_on_event(link, &event);
	if (link->state == LINK_ST_UP && link->draining && !link->closing &&
	    mux_next_stream(link->mux, 0) == 0)
		link_fail(link, REASON_DRAINING, "drained");
}

/* Frames of one decrypted batch. */
static void hand_out(struct link *link, const uint8_t *data, size_t len)
{
	/* The loop's clock is too coarse for how fast streams go. */
	uint64_t now = clock_monotonic_us();
	struct mux_event event;
	enum rc rc = RC_OK;

	while (link->state != LINK_ST_CLOSED && rc == RC_OK) {
		rc = mux_recv(link->mux, now, &data, &len, &event);
		if (rc == RC_OK)
			link_on_event(link, &event);
	}
	link_pass_flush(link->net, NULL);
	if (link->state == LINK_ST_CLOSED)
		return;
	link_feel_pressure(link->net);
	if (rc == RC_AGAIN)
		rc = keep_rest(link, data, len);
	if (rc != RC_OK)
		link_fail(link,
		    rc == RC_NOMEM ? REASON_MEMORY : REASON_PROTOCOL, "%s",
		    rc == RC_NOMEM ? "out of memory" : mux_failure(link->mux));
}

/* A machine that goes is away, whatever it says; of those in between it
 * matters whether they meant to. */
static enum reason why_gone(const struct link *link)
{
	if (link->peer.role == ROLE_TENTACLE)
		return REASON_AGENT_DOWN;
	return link->left ? REASON_DRAINING : REASON_RELAY_DOWN;
}

static void peer_gone(struct link *link)
{
	if (link->state == LINK_ST_UP)
		link_fail(link, why_gone(link), "closed the link%s%s",
		    link->farewell[0] != '\0' ? ": " : "", link->farewell);
	else
		link_fail(link, REASON_REFUSED,
		    "closed the connection during the handshake");
}

static void feed_plain(struct link *link, const uint8_t *data, size_t len)
{
	struct link_net *net = link->net;
	size_t before = link->rest_len;

	if (link->rest != NULL)
		memcpy(net->plain_buf, link->rest, before);
	memcpy(net->plain_buf + before, data, len);
	hand_out(link, net->plain_buf, before + len);
	if (link->state == LINK_ST_CLOSED)
		return;
	link_drain_events(link);
	link_kick(link);
}

void link_feed(struct link *link, const uint8_t *data, size_t len)
{
	struct link_net *net = link->net;
	struct tls_in in = { .p = data, .len = len };
	size_t got;
	enum rc rc;

	do {
		struct tls_out out = { .p = net->wire_buf,
			.cap = sizeof(net->wire_buf) };
		size_t before = link->rest_len;

		if (link->rest != NULL)
			memcpy(net->plain_buf, link->rest, before);
		/* An alert may be written: after what was passed before. */
		link_pass_flush(net, link);
		rc = tls_recv(link->tls, &in, &out, net->plain_buf + before,
		    sizeof(net->plain_buf) - before, &got);
		if (out.len > 0)
			link_write(link, out.p, out.len);
		if (got > 0 && link->state != LINK_ST_CLOSED)
			hand_out(link, net->plain_buf, before + got);
	} while (link->state != LINK_ST_CLOSED && rc == RC_OK && got > 0);
	if (link->state == LINK_ST_CLOSED)
		return;
	if (rc != RC_OK) {
		const struct fault *fault = tls_fault(link->tls);

		link_fail(link, fault->code, "%s", fault->text);
		return;
	}
	link_drain_events(link);
	if (link->state == LINK_ST_CLOSED)
		return;
	if (tls_state(link->tls) == TLS_PEER_CLOSED)
		peer_gone(link);
	else
		link_kick(link);
}

/* Much at once costs less; but nobody shall wait long for the others. */
static size_t read_max(const struct link_net *net)
{
	size_t share = LINK_READ_MAX / (net->was_busy > 0 ? net->was_busy : 1);

	return share > LINK_READ_MIN ? share : LINK_READ_MIN;
}

static void on_readable(struct link *link)
{
	struct link_net *net = link->net;
	size_t most = read_max(net);
	ssize_t got = recv(link->fd, net->recv_buf, most, 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0) {
		link_fail(link,
		    link->peer.role == ROLE_TENTACLE ? REASON_AGENT_DOWN
						     : REASON_RELAY_DOWN,
		    "connection lost: %s", strerrordesc_np(errno));
		return;
	}
	if (got == 0) {
		peer_gone(link);
		return;
	}
	if ((size_t)got == most)
		net->busy++;
	link->last_recv_us = loop_now_us(net->loop);
	if (link->state == LINK_ST_HANDSHAKE)
		link_handshake_input(link, net->recv_buf, (size_t)got);
	else if (link->plain)
		feed_plain(link, net->recv_buf, (size_t)got);
	else
		link_feed(link, net->recv_buf, (size_t)got);
}

/* --- Out ---------------------------------------------------------------- */

static void want(struct link *link)
{
	bool write = link->unsent != NULL;

	loop_io_want(link->io, LOOP_READ | (write ? LOOP_WRITE : 0U));
}

static MUST_CHECK enum rc keep_unsent(
    struct link *link, const uint8_t *data, size_t len)
{
	size_t left = link->unsent_len - link->unsent_at;
	uint8_t *grown;

	/* Frames wait in the mux: these are answers of TLS itself. */
	if (left + len > LINK_UNSENT_MAX)
		return RC_LIMIT;
	grown = malloc(left + len);
	if (grown == NULL)
		return RC_NOMEM;
	if (link->unsent != NULL)
		memcpy(grown, link->unsent + link->unsent_at, left);
	if (len > 0)
		memcpy(grown + left, data, len);
	free(link->unsent);
	link->unsent = grown;
	link->unsent_len = left + len;
	link->unsent_at = 0;
	return RC_OK;
}

static MUST_CHECK enum rc write_now(
    struct link *link, const uint8_t *data, size_t len)
{
	ssize_t sent = 0;

	if (link->unsent == NULL) {
		sent = send(link->fd, data, len, MSG_NOSIGNAL);
		/* An error shows again when the socket is read. */
		if (sent < 0)
			sent = 0;
	}
	if ((size_t)sent == len)
		return RC_OK;
	return keep_unsent(link, data + sent, len - (size_t)sent);
}

static void fail_unsent(struct link *link, enum rc rc)
{
	if (rc == RC_LIMIT)
		link_fail(link, REASON_PROTOCOL, "does not read our answers");
	else
		link_fail(link, REASON_MEMORY, "out of memory");
}

void link_write(struct link *link, const uint8_t *data, size_t len)
{
	enum rc rc;

	if (link->state == LINK_ST_CLOSED)
		return;
	link_pass_flush(link->net, link);
	rc = write_now(link, data, len);
	if (rc == RC_OK)
		want(link);
	else
		fail_unsent(link, rc);
}

void link_write_frames(struct link *link, const uint8_t *data, size_t len)
{
	if (write_now(link, data, len) != RC_OK) {
		link->lost = true;
		link_kick(link);
	}
	want(link);
}

bool link_put(
    struct link *link, const uint8_t *frames, size_t len, struct tls_out *out)
{
	size_t taken;

	if (!link->plain)
		return tls_send(link->tls, frames, len, out, &taken) == RC_OK &&
		       taken == len;
	if (len > out->cap - out->len)
		return false;
	memcpy(out->p + out->len, frames, len);
	out->len += len;
	return true;
}

/*
 * The next record: in the order of service while there is room for bulk, else
 * what goes out past it.
 */
static void pull(
    struct link *link, const struct link_room *room, struct mux_batch *batch)
{
	struct link_net *net = link->net;
	uint64_t now = clock_monotonic_us();

	batch->len = 0;
	if (room->bulk >= link->cap.frame)
		mux_pull(link->mux, now, CLASS_BULK, net->batch_buf,
		    room->bulk < FRAME_LEN_MAX ? room->bulk : FRAME_LEN_MAX,
		    batch);
	if (batch->len == 0)
		mux_pull(link->mux, now,
		    room->health > 0 ? CLASS_HEALTH : CLASS_CONTROL,
		    net->batch_buf, FRAME_LEN_MAX, batch);
}

static size_t less(size_t from, size_t amount)
{
	return amount < from ? from - amount : 0;
}

/*
 * One batch: at most LINK_BATCH_MAX of frames, each record either one full
 * frame or several small ones.  Returns how much was encrypted.
 */
static size_t fill(
    struct link *link, struct link_room *room, struct tls_out *out)
{
	size_t total = 0;

	while (total + FRAME_LEN_MAX <= LINK_BATCH_MAX) {
		struct mux_batch batch;

		pull(link, room, &batch);
		if (batch.len == 0)
			break;
		if (!link_put(link, link->net->batch_buf, batch.len, out))
			return 0; /* the session is dead: reading tells why */
		total += batch.len;
		room->bulk = less(room->bulk, batch.len);
		room->health = less(room->health, batch.len);
	}
	return total;
}

/*
 * The kernel's queue is kept short (send_cap.h): what is in it can be overtaken
 * by nothing.  Bulk and deploy wait here for room, health and control go out
 * past them.
 */
void link_flush(struct link *link)
{
	struct link_net *net = link->net;
	struct link_room room;

	if (link->state == LINK_ST_CLOSED || link->state == LINK_ST_HANDSHAKE)
		return;
	link_pass_flush(net, link);
	room = link_pace_room(link);
	while (link->unsent == NULL && !link->lost) {
		struct tls_out out = { .p = net->wire_buf,
			.cap = sizeof(net->wire_buf) };

		if (fill(link, &room, &out) == 0)
			break;
		room.held += out.len;
		link_write_frames(link, out.p, out.len);
	}
	if (link->lost) {
		fail_unsent(link, RC_NOMEM);
		return;
	}
	link_pace_wait(link, &room);
	want(link);
	link_drain_events(link);
	/* A mux may also die of what was queued. */
	if (link->state != LINK_ST_CLOSED && !link->closing &&
	    mux_failure(link->mux) != NULL)
		link_fail(link, REASON_PROTOCOL, "%s", mux_failure(link->mux));
}

static void on_room(void *arg)
{
	link_flush(arg);
}

static void on_writable(struct link *link)
{
	if (link->unsent != NULL) {
		size_t left = link->unsent_len - link->unsent_at;
		ssize_t sent = send(link->fd, link->unsent + link->unsent_at,
		    left, MSG_NOSIGNAL);

		if (sent < 0)
			return;
		link->unsent_at += (size_t)sent;
		if (link->unsent_at < link->unsent_len)
			return;
		free(link->unsent);
		link->unsent = NULL;
		link->unsent_len = link->unsent_at = 0;
	}
	if (link->state == LINK_ST_HANDSHAKE)
		want(link);
	else
		link_flush(link);
}

static void on_socket(void *arg, unsigned ready)
{
	struct link *link = arg;

	if (link->state == LINK_ST_CLOSED)
		return;
	if (ready & LOOP_READ)
		on_readable(link);
	else
		on_writable(link);
}

void link_kick(struct link *link)
{
	if (link->is_dirty || link->state == LINK_ST_CLOSED ||
	    link->state == LINK_ST_HANDSHAKE)
		return;
	if (TAILQ_EMPTY(&link->net->dirty))
		loop_timer_soon(link->net->flush);
	TAILQ_INSERT_TAIL(&link->net->dirty, link, dirty);
	link->is_dirty = true;
}

enum rc link_io_start(struct link *link)
{
	enum rc rc =
	    loop_io_new(link->net->loop, link->fd, on_socket, link, &link->io);

	if (rc == RC_OK)
		rc =
		    loop_timer_new(link->net->loop, on_room, link, &link->pace);
	if (rc == RC_OK)
		loop_io_want(link->io, LOOP_READ);
	send_cap_init(&link->cap);
	return rc;
}

void link_io_stop(struct link *link)
{
	link_pass_forget(link);
	loop_io_free(link->io);
	link->io = NULL;
	loop_timer_free(link->timer);
	link->timer = NULL;
	loop_timer_free(link->pace);
	link->pace = NULL;
	if (link->fd >= 0)
		(void)close(link->fd);
	link->fd = -1;
	tls_free(link->tls);
	link->tls = NULL;
	free(link->unsent);
	link->unsent = NULL;
	handshake_free(link->handshake);
	link->handshake = NULL;
}
