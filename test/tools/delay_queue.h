/*
 * delay_queue.h - one direction of a long line: packets go in, and come out
 * later, or never.  Pure, and the same for the same seed.
 *
 *     queue (drop-tail) -> rate -> delay, jitter, loss, reorder -> out
 *
 * Times are microseconds of any clock that does not go back.
 */
#ifndef TEST_TOOLS_DELAY_QUEUE_H
#define TEST_TOOLS_DELAY_QUEUE_H

#include "proto/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* On the line at once; beyond that they are dropped. */
#define DELAY_PACKETS_MAX 65536

struct delay_rules {
	uint32_t delay_us;
	uint32_t jitter_us;   /* up to so much more; keeps the order */
	uint32_t loss_ppm;    /* of a million packets, so many are lost */
	uint32_t reorder_ppm; /* and so many overtake: they skip the delay */
	uint32_t rate;        /* bytes a second; 0: as fast as you like */
	uint32_t queue_bytes; /* that wait for the rate; 0: no limit */
	uint64_t seed;
};

struct delay_stats {
	uint64_t in, out, lost, dropped; /* packets; dropped: queue was full */
};

struct delay_queue;

MUST_CHECK enum rc delay_queue_new(
    const struct delay_rules *rules, struct delay_queue **out);
void delay_queue_free(struct delay_queue *q); /* NULL is fine */
/* From now on, for what is pushed; the seed stays. */
void delay_queue_change(struct delay_queue *q, const struct delay_rules *rules);
/* Copied.  RC_OK also when it is lost or dropped; RC_NOMEM. */
MUST_CHECK enum rc delay_queue_push(
    struct delay_queue *q, const uint8_t *packet, size_t len, uint64_t now_us);
/* When the next one comes out; UINT64_MAX: none is on its way. */
uint64_t delay_queue_next_us(const struct delay_queue *q);
/* The next one when its time has come, until the next call; else NULL. */
const uint8_t *delay_queue_pop(
    struct delay_queue *q, uint64_t now_us, size_t *len);
void delay_queue_stats(const struct delay_queue *q, struct delay_stats *out);

/* One setting, "delay_us=50000".  RC_PROTO: there is none like it. */
MUST_CHECK enum rc delay_rules_set(struct delay_rules *r, const char *word);

#endif
