/*
 * flap.h - does something come and go too often to be relied upon?
 *
 * Falls are noted with their times; who fell so often within a window is not
 * preferred until it has been quiet for a while.  Pure; any clock in
 * milliseconds that does not go back.
 */
#ifndef SERVER_FLEET_FLAP_H
#define SERVER_FLEET_FLAP_H

#include <stdint.h>

#define FLAP_FALLS_MAX 8

struct flap_settings {
	uint32_t falls;     /* so often, 2 to FLAP_FALLS_MAX; 0: never mind */
	uint32_t window_ms; /* within this time */
	uint32_t stable_ms; /* counts until it was quiet so long */
};

struct flap {
	uint64_t fell_ms[FLAP_FALLS_MAX]; /* a ring */
	uint64_t falls;                   /* ever */
	uint64_t until_ms;                /* not preferred before; 0: never */
};

/* It was there, and is not any more. */
void flap_fell(
    struct flap *flap, const struct flap_settings *settings, uint64_t now_ms);
/* 0: it may be relied upon; else until when not, if it stays quiet. */
uint64_t flap_until(const struct flap *flap, uint64_t now_ms);

#endif
