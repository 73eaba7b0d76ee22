/*
 * floors.h - the lowest number that is still obeyed, by name: epochs of tasks,
 * deployment numbers of projects.  Floors only rise.  One thread.
 */
#ifndef TENTACLE_FLOORS_H
#define TENTACLE_FLOORS_H

#include "proto/name.h"

#include <stdbool.h>

#define FLOOR_BUCKETS 512

struct floor {
	char name[TASK_SIZE];
	uint64_t value;
	uint64_t at_ms; /* unix time of the last order with this name */
	bool kept;      /* the next floors_expire() leaves it */
	struct floor *next;
};

/* All zero is empty. */
struct floors {
	struct floor *buckets[FLOOR_BUCKETS];
};

void floors_free(struct floors *f);
/* 0: no floor. */
uint64_t floor_of(const struct floors *f, const char *name);
/* Never lowers.  RC_NOMEM. */
MUST_CHECK enum rc floor_raise(
    struct floors *f, const char *name, uint64_t value, uint64_t at_ms);
/* The next floors_expire() leaves this one, if there is one. */
void floor_keep(struct floors *f, const char *name);
/* Drop those that is_over() says so of, and that are not to be kept. */
void floors_expire(struct floors *f,
    bool (*is_over)(const char *name, uint64_t below), uint64_t below);
/* One after the other, in no order; begin with NULL. */
const struct floor *floor_next(
    const struct floors *f, const struct floor *after);

#endif
