/*
 * fault_line.h - what a fault proxy does to bytes, and how it is told.  Pure:
 * no sockets, no clock.
 *
 *     "cut up 1234 reset" -> fault_command_parse() -> fault_line_apply()
 *     bytes that wait     -> fault_line_may()      -> so many may go on
 *     bytes that went     -> fault_line_carried()  -> is it now that it ends?
 *
 * A line is one direction of all connections together: up is from who dialled
 * to the target, down is back.
 *
 *     pass               no fault any more; what was held back goes on
 *     cut DIR N [reset]  after N more bytes end the connection that carried
 *                        the last of them, by FIN or by RST; once
 *     freeze DIR N       the same, but it goes silent both ways: half-open
 *     pause [DIR]        nothing moves on any connection, nothing closes
 *     resume [DIR]
 *     hold DIR N         the last N bytes of each connection wait
 *     rate DIR N         at most N bytes a second, all together; 0: no limit
 *     close, reset       all connections now
 *     stat               what was counted
 *
 * DIR is up, down or both (cut and freeze: not both).
 */
#ifndef TEST_TOOLS_FAULT_LINE_H
#define TEST_TOOLS_FAULT_LINE_H

#include "proto/bucket.h"
#include "proto/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULT_HOLD_MAX  32768
#define FAULT_BYTES_MAX 1000000000

enum fault_dir {
	FAULT_UP,
	FAULT_DOWN,
	FAULT_DIR_COUNT
};

enum fault_trip {
	FAULT_TRIP_NONE,
	FAULT_TRIP_CLOSE,
	FAULT_TRIP_RESET,
	FAULT_TRIP_FREEZE
};

enum fault_verb {
	FAULT_PASS,
	FAULT_CUT,
	FAULT_FREEZE,
	FAULT_PAUSE,
	FAULT_RESUME,
	FAULT_HOLD,
	FAULT_RATE,
	FAULT_CLOSE,
	FAULT_RESET,
	FAULT_STAT,
	FAULT_VERB_COUNT
};

struct fault_command {
	enum fault_verb verb;
	bool dir[FAULT_DIR_COUNT]; /* which are meant */
	uint32_t bytes;
	bool reset; /* cut: by RST */
};

/* RC_PROTO: not a command; *why is a static string. */
MUST_CHECK enum rc fault_command_parse(
    const char *text, struct fault_command *out, const char **why);

struct fault_line {
	uint64_t carried; /* bytes, ever */
	uint64_t trip_at; /* carried so many: trip */
	enum fault_trip trip;
	uint32_t hold;
	bool paused;
	bool limited;
	struct bucket rate;
};

void fault_line_init(struct fault_line *l);
/* What a command means for this line, when it is meant. */
void fault_line_apply(
    struct fault_line *l, enum fault_dir dir, const struct fault_command *c);
/*
 * How many of the bytes that wait on one connection may go on now.  0 and
 * l->limited: perhaps a little later.
 */
size_t fault_line_may(struct fault_line *l, size_t waiting, uint64_t now_us);
/*
 * So many went on (0: something waits).  Says once, and exactly at its byte,
 * that the connection must end.
 */
MUST_CHECK enum fault_trip fault_line_carried(struct fault_line *l, size_t len);

#endif
