/*
 * port.h - whole messages between the two processes of a tentacle
 * (proto/message_port.h), over a socket pair of type SOCK_SEQPACKET; and how
 * the link beside it is set.
 *
 * The other end is not trusted: a message is at most PORT_MESSAGE_MAX bytes,
 * and what it does not read is held up to PORT_UNSENT_MAX.  Loop's thread.
 */
#ifndef TENTACLE_PORT_H
#define TENTACLE_PORT_H

#include "common/link.h"
#include "proto/message_port.h"

#define PORT_UNSENT_MAX ((size_t)4 << 20)

/* What one side may say, and the other does not. */
enum port_side {
	PORT_EXEC,
	PORT_NET
};

enum port_kind {
	PORT_LIFE,
	PORT_READY,
	PORT_CONTEST,
	PORT_UPKEEP, /* for member_upkeep(), which reads the message itself */
};

struct port_word {
	enum port_kind kind;
	struct msg_head head; /* PORT_UPKEEP */
	union {
		struct msg_port_life life;
		struct msg_port_ready ready;
		struct msg_port_contest contest;
	} u;
};

/* Pure.  RC_PROTO: *fault says what is wrong with it. */
MUST_CHECK enum rc port_read(enum port_side from, struct bytes message,
    struct port_word *out, struct fault *fault);

struct port;

/*
 * message: valid during the call; with p NULL the other end is gone, or broke
 * the rules, and nothing more comes.  May free the port.
 */
typedef void (*port_fn)(void *arg, struct bytes message);

/* Takes fd over (also on failure), which does not block. */
MUST_CHECK enum rc port_new(
    struct loop *loop, int fd, port_fn fn, void *arg, struct port **out);
void port_free(struct port *p); /* NULL is fine */
/* RC_PROTO: empty, or too long for a message; RC_LIMIT: the other end does not
 * read; RC_NOMEM. */
MUST_CHECK enum rc port_send(struct port *p, struct bytes message);
/* The same for what an encoder wrote, which returned rc; frees it. */
MUST_CHECK enum rc port_send_packed(
    struct port *p, enum rc encoded, struct packbuf *pack);

/*
 * The times and limits of the plain link between the processes, from those of
 * links to others: who hangs is given up in under 20 s, and limits of rates
 * leave room for what all peers together may do.
 */
void port_link_config(
    const struct link_config *others, struct link_config *out);
/* For struct link_ops: HELLO says nothing there, and is believed. */
void port_link_hello(
    void *owner, const struct peer *peer, struct msg_hello *hello);
MUST_CHECK enum rc port_link_admit(void *owner, struct link *link,
    const struct msg_hello *hello, struct fault *fault);

#endif
