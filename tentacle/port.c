#include "tentacle/port.h"

#include "common/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

/* The other process says something at least so often, or it hangs: together
 * under the 30 s in which a pause must be noticed. */
#define PING_MS  5000
#define DEAD_MS  15000
#define BEGIN_MS 30000
#define RATE_MAX 1000000

/* --- Words ---------------------------------------------------------------- */

#define SAYS(side) (1U << (side))

static const struct {
	unsigned who; /* may say it */
	enum port_kind kind;
} words[OP_COUNT] = {
	[OP_PORT_LIFE] = { SAYS(PORT_EXEC), PORT_LIFE },
	[OP_PORT_READY] = { SAYS(PORT_NET), PORT_READY },
	[OP_PORT_CONTEST] = { SAYS(PORT_NET), PORT_CONTEST },
	[OP_CERTIFICATE] = { SAYS(PORT_EXEC) | SAYS(PORT_NET), PORT_UPKEEP },
	[OP_REVOKED] = { SAYS(PORT_EXEC), PORT_UPKEEP },
	[OP_TRUST] = { SAYS(PORT_EXEC), PORT_UPKEEP },
	[OP_PEERS] = { SAYS(PORT_EXEC), PORT_UPKEEP },
};

enum rc port_read(enum port_side from, struct bytes message,
    struct port_word *out, struct fault *fault)
{
	enum rc rc = msg_peek(message, &out->head, fault);

	if (rc != RC_OK && rc != RC_NOTFOUND)
		return RC_PROTO;
	if (rc == RC_NOTFOUND || out->head.is_reply ||
	    !(words[out->head.op].who & SAYS(from))) {
		fault_set(fault, REASON_PROTOCOL, "",
		    "it said what it has not to say");
		return RC_PROTO;
	}
	out->kind = words[out->head.op].kind;
	switch (out->kind) {
	case PORT_LIFE:
		rc = msg_port_life_decode(message, &out->u.life, fault);
		break;
	case PORT_READY:
		rc = msg_port_ready_decode(message, &out->u.ready, fault);
		break;
	case PORT_CONTEST:
		rc = msg_port_contest_decode(message, &out->u.contest, fault);
		break;
	case PORT_UPKEEP:
		break;
	}
	return rc == RC_OK ? RC_OK : RC_PROTO;
}

/* --- The socket ----------------------------------------------------------- */

struct parcel {
	STAILQ_ENTRY(parcel) next;
	size_t len;
	uint8_t data[];
};

struct port {
	int fd;
	struct loop_io *io;
	port_fn fn;
	void *arg;
	STAILQ_HEAD(, parcel) unsent;
	size_t unsent_len;
	uint8_t in[PORT_MESSAGE_MAX];
};

static void want(struct port *p)
{
	loop_io_want(
	    p->io, LOOP_READ | (STAILQ_EMPTY(&p->unsent) ? 0U : LOOP_WRITE));
}

/* RC_AGAIN: not now; RC_PROTO: never.  What is wrong with the other end is
 * found by reading. */
static enum rc try_send(const struct port *p, struct bytes message)
{
	if (send(p->fd, message.p, message.len, MSG_NOSIGNAL) >= 0)
		return RC_OK;
	switch (errno) {
	case EAGAIN:
	case EINTR:
	case ENOBUFS:
	case ENOMEM:
		return RC_AGAIN;
	case EMSGSIZE:
		return RC_PROTO;
	default:
		return RC_OK;
	}
}

/* What waits and is too long for the socket holds nothing else up: it was
 * within PORT_MESSAGE_MAX, so this is a kernel with less room than that. */
static void flush(struct port *p)
{
	struct parcel *first;

	while ((first = STAILQ_FIRST(&p->unsent)) != NULL) {
		enum rc rc = try_send(p, bytes_of(first->data, first->len));

		if (rc == RC_AGAIN)
			break;
		if (rc != RC_OK)
			log_error("agent", "",
			    "a message of %zu bytes between the two processes "
			    "is lost: %s",
			    first->len, strerrordesc_np(errno));
		STAILQ_REMOVE_HEAD(&p->unsent, next);
		p->unsent_len -= first->len;
		free(first);
	}
	want(p);
}

static void receive(struct port *p)
{
	ssize_t n = recv(p->fd, p->in, sizeof(p->in), MSG_TRUNC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && (size_t)n <= sizeof(p->in)) {
		p->fn(p->arg, bytes_of(p->in, (size_t)n));
		return;
	}
	loop_io_want(p->io, 0);
	p->fn(p->arg, bytes_of(NULL, 0));
}

static void on_socket(void *arg, unsigned ready)
{
	struct port *p = arg;

	if (ready & LOOP_WRITE)
		flush(p);
	if (ready & LOOP_READ)
		receive(p);
}

enum rc port_new(
    struct loop *loop, int fd, port_fn fn, void *arg, struct port **out)
{
	struct port *p = calloc(1, sizeof(*p));
	enum rc rc;

	if (p == NULL) {
		(void)close(fd);
		return RC_NOMEM;
	}
	p->fd = fd;
	p->fn = fn;
	p->arg = arg;
	STAILQ_INIT(&p->unsent);
	rc = loop_io_new(loop, fd, on_socket, p, &p->io);
	if (rc != RC_OK) {
		port_free(p);
		return rc;
	}
	want(p);
	*out = p;
	return RC_OK;
}

void port_free(struct port *p)
{
	struct parcel *first;

	if (p == NULL)
		return;
	while ((first = STAILQ_FIRST(&p->unsent)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->unsent, next);
		free(first);
	}
	loop_io_free(p->io);
	(void)close(p->fd);
	free(p);
}

enum rc port_send(struct port *p, struct bytes message)
{
	struct parcel *parcel;

	enum rc rc = RC_AGAIN;

	if (message.len == 0 || message.len > PORT_MESSAGE_MAX)
		return RC_PROTO;
	if (STAILQ_EMPTY(&p->unsent))
		rc = try_send(p, message);
	if (rc != RC_AGAIN)
		return rc;
	if (message.len > PORT_UNSENT_MAX - p->unsent_len)
		return RC_LIMIT;
	parcel = malloc(sizeof(*parcel) + message.len);
	if (parcel == NULL)
		return RC_NOMEM;
	parcel->len = message.len;
	memcpy(parcel->data, message.p, message.len);
	STAILQ_INSERT_TAIL(&p->unsent, parcel, next);
	p->unsent_len += message.len;
	want(p);
	return RC_OK;
}

enum rc port_send_packed(struct port *p, enum rc encoded, struct packbuf *pack)
{
	enum rc rc = encoded;

	if (rc == RC_OK)
		rc = port_send(p, packbuf_bytes(pack));
	packbuf_fini(pack);
	return rc;
}

/* --- The link beside it --------------------------------------------------- */

void port_link_config(const struct link_config *others, struct link_config *out)
{
	*out = *others;
	out->ping_idle_ms = out->ping_busy_ms = PING_MS;
	out->dead_ms = DEAD_MS;
	out->handshake_ms = BEGIN_MS;
	out->unpaced = true;
	out->mux.opens_per_s = out->mux.resets_per_s = out->mux.control_per_s =
	    RATE_MAX;
}

void port_link_hello(
    void *owner, const struct peer *peer, struct msg_hello *hello)
{
	(void)owner;
	(void)peer;
	(void)hello;
}

enum rc port_link_admit(void *owner, struct link *link,
    const struct msg_hello *hello, struct fault *fault)
{
	(void)owner;
	(void)link;
	(void)hello;
	(void)fault;
	return RC_OK;
}
