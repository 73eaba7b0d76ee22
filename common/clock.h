/*
 * clock.h - the clocks of this machine.  Any thread.
 *
 * Intervals and deadlines use the monotonic clock (boottime when time asleep
 * counts); the wall clock is only for people, certificates and other machines.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include "proto/rc.h"

#include <stddef.h>
#include <stdint.h>

#define CLOCK_TEXT_MAX 32

uint64_t clock_monotonic_us(void);
uint64_t clock_monotonic_ms(void);
uint64_t clock_boottime_us(void);
/* Milliseconds since 1970. */
int64_t clock_wall_ms(void);
/* "2026-07-01T09:30:00.125Z"; out has CLOCK_TEXT_MAX bytes.  Years 0-9999. */
void clock_format(int64_t wall_ms, char *out);
/* RFC 3339 with any zone and fraction.  RC_PROTO: not that. */
MUST_CHECK enum rc clock_parse(const char *text, int64_t *wall_ms);

#endif
