/*
 * claims.h - streams that only somebody else may open, and how each was
 * answered.  Pure.
 */
#ifndef TEST_TOOLS_CLAIMS_H
#define TEST_TOOLS_CLAIMS_H

#include "proto/frame.h"
#include "proto/rc.h"

#include <stddef.h>
#include <stdint.h>

struct claims {
	const char *machine; /* the id that is claimed; borrowed */
	uint32_t asked, refused, permitted, otherwise;
};

/* All of them as OPEN frames; bytes.  cap of 8 KiB is enough. */
size_t claims_fill(struct claims *c, uint8_t *out, size_t cap);
/* Count what the peer says of them; others are left alone. */
void claims_heard(
    struct claims *c, const struct frame *f, const uint8_t *payload);

#endif
