/*
 * loop_base.h - the inside of a loop: for loop.c, loop_names.c only.
 */
#ifndef COMMON_LOOP_BASE_H
#define COMMON_LOOP_BASE_H

#include "common/loop.h"

#include <pthread.h>

struct event_base;
struct evdns_base;
struct posted;

struct loop {
	struct event_base *base;
	struct evdns_base *dns; /* made at the first lookup of a name */
	struct loop_io *wake;
	int wake_fd;
	pthread_mutex_t lock; /* guards the posted list */
	struct posted *first, **last;
};

void loop_names_free(struct loop *loop);

#endif
