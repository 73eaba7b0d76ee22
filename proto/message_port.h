/*
 * message_port.h - what the two processes of a tentacle say to each other,
 * beside the seals that one carries and the other ends (tentacle/port.h).
 *
 *     exec: port-life           the first message, and whenever it changes
 *     net:  port-ready          its links are served
 *     net:  port-contest        a later life of this machine is connected
 *     exec: revoked, certificate, trust, peers, as they came from a server
 *     net:  certificate         asked for when the old one had expired
 *
 * Nothing is answered; the last five are those of message_upkeep.h and
 * message_control.h.  No server sends the first three.  A message is at most
 * PORT_MESSAGE_MAX bytes.
 */
#ifndef PROTO_MESSAGE_PORT_H
#define PROTO_MESSAGE_PORT_H

#include "proto/message.h"

#define PORT_MESSAGE_MAX 65536

/* Who this machine is from now on, to its peers. */
struct msg_port_life {
	struct msg_instance instance;
};

MSG_CODEC(port_life);

struct msg_port_ready {
	char address[ENDPOINT_SIZE]; /* where it listens; may be empty */
};

MSG_CODEC(port_ready);

struct msg_port_contest {
	uint64_t start; /* of the life that is contested */
};

MSG_CODEC(port_contest);

#endif
