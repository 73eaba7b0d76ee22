/*
 * carrier.h - the network process, as the process that started it sees it.
 *
 * A tentacle is two processes.  The one that is started (exec) has the files,
 * the journal and the guardians, and ends the seals of servers; it is root
 * where scripts need it, and has no socket on a network.  It starts the other
 * one (net; tentacle/network.h), which has the network and nothing else: links,
 * TLS of links, frames.  Between them are
 *
 *     a plain link (common/link.h): each seal's stream, as it came, with the
 *     credit of the multiplexer, so that neither holds much for the other
 *     a port (tentacle/port.h): a few messages
 *
 * net starts as exec's user, reads key and certificate, becomes another user
 * and gives up most system calls (tentacle/confine.h), and only then hears
 * others.  What comes from it is judged as what comes from a stranger: only who
 * proves to be a server inside a seal is obeyed, and that proof is checked
 * here.  When net ends it is started again, after a while if it does so often;
 * scripts do not notice.  When exec ends, net does so at once.  Loop's thread.
 */
#ifndef TENTACLE_CARRIER_H
#define TENTACLE_CARRIER_H

#include "tentacle/executor.h"

#define CARRIER_FD_LINK 3
#define CARRIER_FD_PORT 4

struct carrier;

/*
 * Start it.  args, NULL-ended, are those of our own program for it; they and
 * the executor are borrowed.  The loop is stopped when it cannot begin even
 * once.
 */
MUST_CHECK enum rc carrier_new(struct executor *executor,
    const char *const *args, struct carrier **out, struct fault *fault);
/* Did it never begin?  It has logged why. */
bool carrier_has_failed(const struct carrier *c);
/* End it, and wait for that: after executor_leave().  NULL is fine. */
void carrier_free(struct carrier *c);

#endif
