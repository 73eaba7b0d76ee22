/*
 * network.h - the network process of a tentacle (tentacle/carrier.h): an agent
 * whose inside is the process that started it.
 */
#ifndef TENTACLE_NETWORK_H
#define TENTACLE_NETWORK_H

#include "tentacle/settings.h"

/* Its settings say whom to become: root only. */
struct network_settings {
	struct agent_settings agent; /* link.proxy.held is not used */
	const char *user;            /* NULL: the usual one, if it exists */
};

/*
 * Serve until the loop is stopped or the other process is gone.  Errors with
 * *fault: it could not begin.
 */
MUST_CHECK enum rc network_serve(struct loop *loop,
    const struct network_settings *settings, struct fault *fault);

#endif
