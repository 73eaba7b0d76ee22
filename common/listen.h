/*
 * listen.h - accept connections and make links of them.
 */
#ifndef COMMON_LISTEN_H
#define COMMON_LISTEN_H

#include "common/config.h"
#include "common/link.h"

struct listener;

/*
 * Listen at an endpoint (host "": every address, IPv6 and IPv4; port 0: the
 * kernel chooses).  RC_IO: *fault says what could not be bound and why.
 */
MUST_CHECK enum rc listener_new(struct link_net *net,
    const struct config_endpoint *where, struct listener **out,
    struct fault *fault);
void listener_free(struct listener *l); /* NULL is fine */
/* "0.0.0.0:10953": what it really got. */
const char *listener_address(const struct listener *l);

#endif
