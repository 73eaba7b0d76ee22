/*
 * floors.h - the lowest number that is still obeyed, by name: epochs of tasks,
 * deployment numbers of projects.  Floors only rise.  One thread.
 */
#ifndef TENTACLE_FLOORS_H
#define TENTACLE_FLOORS_H

#include "proto/name.h"

#define FLOOR_BUCKETS 512

struct floor {
	char name[TASK_SIZE];
	uint64_t value;
	uint64_t at_ms; /* unix time of the last order with this name */
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
/* Drop those not mentioned since. */
void floors_expire(struct floors *f, uint64_t before_ms);
/* One after the other, in no order; begin with NULL. */
const struct floor *floor_next(
    const struct floors *f, const struct floor *after);

#endif
