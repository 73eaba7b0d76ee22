/*
 * feature.h - what a tentacle can do that earlier ones could not.
 *
 * It names them in its greet, and the server asks for nothing that is not
 * there: an older tentacle would ignore what it does not know, and run a script
 * without its limits.  Whoever adds a field to an order that must not be
 * ignored adds a feature.
 */
#ifndef PROTO_FEATURE_H
#define PROTO_FEATURE_H

#include "proto/message.h"

enum feature {
	FEATURE_USER,   /* scripts as another user */
	FEATURE_LIMITS, /* of memory and processes */
	FEATURE_LOCKS,  /* named ones */
	FEATURE_COUNT
};

#define FEATURE_BIT(feature) (UINT32_C(1) << (feature))
#define FEATURE_ALL          (FEATURE_BIT(FEATURE_COUNT) - 1)

/* "user"...  Never NULL. */
const char *feature_name(enum feature feature);
/* FEATURE_BIT() of those named; names of newer programs are ignored. */
uint32_t features_read(const struct msg_text_list *names);
/* All of this program; they live for ever. */
void features_list(
    struct bytes names[FEATURE_COUNT], struct msg_text_list *out);

#endif
