/*
 * samples.h - one filled-in message of each kind, in the order of recoders[].
 */
#ifndef TEST_SUPPORT_SAMPLES_H
#define TEST_SUPPORT_SAMPLES_H

#include "proto/pack.h"

#include <stddef.h>

struct sample {
	const char *name; /* of the message, e.g. "start"; may come twice */
	enum rc (*encode)(struct packbuf *out);
};

extern const struct sample samples[];
extern const size_t sample_count;

#endif
