/*
 * mux_limits.h - what a mux allows its peer, and what it has counted.
 *
 * Over a limit, one stream is reset and the violation counted; after
 * violations_max of them in a minute the link ends, with a text that names
 * the limit (mux_failure()).
 */
#ifndef PROTO_MUX_LIMITS_H
#define PROTO_MUX_LIMITS_H

#include "proto/bytes.h"
#include "proto/kind.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What several muxes of one thread may keep together.  What they grant is
 * counted beyond what every stream begins with, in shares of the classes as
 * within one link: most streams are idle.  What has come and not gone on is
 * counted from the first byte.
 */
struct mux_budget {
	uint64_t bytes;
	uint64_t used; /* granted by the muxes; begins with 0 */
	uint64_t held; /* came, and mux_consumed() is still due */
	/* Set when held is within bytes again; cleared by who watches. */
	bool was_relieved;
};

struct mux_limits {
	uint32_t max_streams;  /* opened by either side, 1..32767 */
	uint32_t opens_per_s;  /* by the peer; burst: 4 s' worth */
	uint32_t resets_per_s; /* by the peer; burst: 4 s' worth */
	/* PING, TELL, empty DATA, tiny CREDIT, unknown types; burst: 4 s' worth
	 */
	uint32_t control_per_s;
	uint32_t violations_max; /* a minute; the next one ends the link */
	uint32_t max_window;     /* receive window of a stream, bytes */
	uint64_t recv_budget;    /* windows beyond the initial, all streams */
	/* NULL: none; borrowed, and outlives the mux */
	struct mux_budget *shared_budget;
	uint32_t queue_max;     /* output queue of a stream, bytes */
	uint32_t control_max;   /* unread answers until the link ends, bytes */
	uint32_t control_rate;  /* class control goes first up to, bytes/s */
	uint32_t control_burst; /* ...and so many bytes at once */
	uint32_t hash_seed;     /* random bits, against chosen collisions */
	uint32_t first_id;      /* 0: from the beginning; else for tests */
	/* RESET payloads for what the mux itself refuses; borrowed for all its
	 * life, at most 1 KiB each, may be empty. */
	struct bytes protocol;
	struct bytes too_many;
	struct bytes memory;
};

/* The values that docs/protocol.md gives; hash_seed and payloads are 0. */
void mux_limits_default(struct mux_limits *limits);

struct mux_stats {
	uint64_t frames_in, frames_out, bytes_in, bytes_out;
	uint64_t late_frames;    /* for streams that were gone; dropped */
	uint64_t violations;     /* each also reset a stream, or was skipped */
	uint64_t refused;        /* OPENs over a limit */
	uint64_t recv_windows;   /* granted beyond the initial, bytes */
	uint32_t control_queued; /* bytes */
	uint64_t queued[CLASS_COUNT];  /* unsent payload, bytes */
	uint32_t streams[CLASS_COUNT]; /* without unanswered OPENs */
	uint32_t unanswered;           /* the peer's OPENs */
};

#endif
