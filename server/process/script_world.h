/*
 * script_world.h - how the scripts of a step run: as whom, within which limits,
 * beside whom.  A value, copied freely.
 */
#ifndef SERVER_PROCESS_SCRIPT_WORLD_H
#define SERVER_PROCESS_SCRIPT_WORLD_H

#include "proto/name.h"
#include "proto/reason.h"

#include <jansson.h>

#include <stdbool.h>
#include <stdint.h>

#define WORLD_MEMORY_MIN    (UINT64_C(4) << 20)
#define WORLD_MEMORY_MAX    (UINT64_C(1) << 50)
#define WORLD_PROCESSES_MAX 1000000u

struct script_world {
	char user[USER_SIZE]; /* "": as the tentacle */
	uint64_t memory;      /* bytes; 0: no limit */
	uint32_t processes;   /* 0: no limit */
	char lock[NAME_SIZE]; /* "": none */
	bool lock_shared;
};

/* RC_PROTO with a fault that names what cannot be meant. */
MUST_CHECK enum rc script_world_check(
    const struct script_world *w, struct fault *fault);
/* FEATURE_BIT() of what a tentacle needs for it: proto/feature.h. */
uint32_t script_world_needs(const struct script_world *w);
/* Keys for what is set; false: no memory. */
bool script_world_to_json(const struct script_world *w, json_t *object);
/* What is absent is not set. */
MUST_CHECK enum rc script_world_from_json(
    const json_t *object, struct script_world *out, struct fault *fault);

#endif
