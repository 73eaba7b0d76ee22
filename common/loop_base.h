/*
 * loop_base.h - the inside of a loop: for loop.c, loop_names.c only.
 */
#ifndef COMMON_LOOP_BASE_H
#define COMMON_LOOP_BASE_H

#include "common/loop.h"

#include <pthread.h>
#include <time.h>

struct event_base;
struct evdns_base;
struct posted;

/* A file as it was read last. */
struct loop_file {
	const char *path;
	bool there;
	uint64_t inode, size;
	struct timespec changed;
};

struct loop {
	struct event_base *base;
	struct evdns_base *dns; /* made at the first lookup of a name */
	struct loop_file resolv_conf, hosts;
	struct loop_io *wake;
	int wake_fd;
	pthread_mutex_t lock; /* guards the posted list */
	struct posted *first, **last;
};

void loop_names_free(struct loop *loop);
/* Read these two, not those in /etc; before the first lookup.  For tests. */
void loop_names_use(
    struct loop *loop, const char *resolv_conf, const char *hosts);

#endif
