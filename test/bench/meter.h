/*
 * meter.h - clocks, counters and plain settings of the load generators.
 */
#ifndef TEST_BENCH_METER_H
#define TEST_BENCH_METER_H

#include "proto/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t meter_now_us(void);
/* CPU that a process has used, with all its threads, ns; 0: it is gone.  What
 * threads used that have ended is in it only if the process reaped them. */
uint64_t meter_cpu_ns(long pid);

/* How long each request took. */
struct meter_list {
	uint32_t *us;
	size_t count, cap;
};

MUST_CHECK enum rc meter_add(struct meter_list *list, uint64_t us);
/* As JSON: [1,2,3] */
void meter_print(const struct meter_list *list);
void meter_free(struct meter_list *list);

/* The number of "NAME=NUMBER" among the words (NULL ends them), or other. */
uint64_t meter_setting(char **words, const char *name, uint64_t other);
/* The text of "NAME=TEXT", or NULL. */
const char *meter_text(char **words, const char *name);

/* A TCP socket in the network namespace of this file; NULL: in ours.  -1:
 * errno. */
int meter_socket(const char *ns);

/* For who throws away what comes: be woken only for much of it. */
void meter_read_in_bulk(int fd);

/* A timer that can be polled: every so many microseconds. */
int meter_ticker(uint64_t every_us);
/* How often it has ticked since it was last asked. */
uint64_t meter_ticks(int ticker);

#endif
