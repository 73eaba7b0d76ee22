/*
 * scan.h - look over msgpack bytes before the library sees them.
 *
 * The library allocates what a header claims; this scan walks the bytes once,
 * without allocating and without recursion, and refuses what could hurt.
 */
#ifndef PROTO_SCAN_H
#define PROTO_SCAN_H

#include "proto/bytes.h"
#include "proto/rc.h"
#include "proto/reason.h"

#define SCAN_DEPTH_MAX   16    /* maps and arrays inside each other */
#define SCAN_OBJECTS_MAX 65536 /* values and keys together */
#define SCAN_PAIRS_MAX   512   /* in one map */
#define SCAN_KEYS_MAX    1024  /* in all the maps open at one point */

/*
 * RC_OK: exactly one map, nothing behind it; every length and count fits the
 * bytes that are there; keys are strings, none twice in one map; no
 * extension, no floating point; within the limits above.  RC_PROTO else, and
 * the fault (may be NULL) says what and at which offset.
 */
MUST_CHECK enum rc scan_message(struct bytes frame, struct fault *fault);

#endif
