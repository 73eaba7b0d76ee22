/*
 * link_watch.h - who on a link's net wants to hear that trust has changed: for
 * seals, which have peers of their own.  Loop's thread.
 */
#ifndef COMMON_LINK_WATCH_H
#define COMMON_LINK_WATCH_H

#include <stdint.h>
#include <sys/queue.h>

struct link_net;

/* Embedded in its owner. */
struct link_watch {
	TAILQ_ENTRY(link_watch) all;
	uint64_t round;
	/* Look at your peer again.  May unwatch itself and others. */
	void (*recheck)(struct link_watch *watch);
};

void link_net_watch(struct link_net *net, struct link_watch *watch);
void link_net_unwatch(struct link_net *net, struct link_watch *watch);

#endif
