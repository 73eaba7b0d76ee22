/*
 * hello.h - what the frames of a link carry that is not raw bytes: OPEN,
 * ACCEPT, RESET, GOAWAY, HELLO, TELL.
 *
 * Encoders and decoders as in proto/message.h.  Each fits one frame: give the
 * packbuf a max of FRAME_PAYLOAD_MAX (proto/frame.h).
 */
#ifndef PROTO_HELLO_H
#define PROTO_HELLO_H

#include "proto/kind.h"
#include "proto/message.h"

#define HELLO_PROTO_MIN    1
#define HELLO_PROTO_MAX    1
#define HELLO_FEATURES_MAX 32
/* Said to a stranger whose certificate counts no more: it may ask for another
 */
#define HELLO_EXPIRED "expired"
/* The dialler's: this link shall take the place of one that is alive. */
#define HELLO_BESIDE "beside"
#define TRACE_MAX    63 /* id that follows a stream through all logs */

/* Names a route entry that an opener used: slices are replaced as a whole by
 * a new incarnation, and entry by entry by a higher seq. */
struct msg_version {
	uint64_t incarnation; /* seconds of the incarnation; 0: no version */
	uint64_t seq;
};

struct msg_open {
	enum stream_kind kind;
	struct target to; /* chunks: TARGET_SERVER, ignored */
	struct path path; /* relays still to pass */
	enum stream_class service_class;
	struct msg_version version;
	uint32_t deadline_ms;      /* time left until ACCEPT; never 0 */
	char trace[TRACE_MAX + 1]; /* a name, or empty */
	struct path passed;        /* relays that an enrol has passed */
};

MSG_CODEC(open);

struct msg_accept {
	uint32_t credit;     /* bytes, added to the initial credit */
	char via[PATH_SIZE]; /* path text of where it went; may be empty */
};

MSG_CODEC(accept);

struct msg_reset {
	struct fault fault; /* REASON_NONE: ended without anything wrong */
	bool done;          /* false: the target never saw the stream */
};

MSG_CODEC(reset);

struct msg_goaway {
	uint32_t last; /* highest id opened by the receiver and taken up */
	struct fault fault;
	uint32_t retry_ms; /* come back then; 0: as you like */
};

MSG_CODEC(goaway);

struct msg_link_limits {
	uint32_t streams;      /* open at once by the receiver of this */
	uint32_t window_bytes; /* most credit of one stream */
};

struct msg_hello {
	uint32_t proto_min, proto_max; /* protocol versions spoken */
	struct bytes version;          /* of the program; MSG_VERSION_MAX */
	struct msg_text_list features; /* HELLO_FEATURES_MAX */
	bool has_instance;             /* false: anonymous */
	struct msg_instance instance;
	struct msg_link_limits limits;
	char boot_id[ID_SIZE]; /* of the host; may be empty */
	struct msg_revocations revocations;
	struct fault refused; /* REASON_NONE: accepted */
	uint32_t retry_ms;    /* refused: come again then; 0: as you like */
};

MSG_CODEC(hello);

enum tell_kind {
	TELL_NONE,    /* a hint of a newer peer: ignore it */
	TELL_DRAIN,   /* I shall go away soon: open nothing new here */
	TELL_BUDGET,  /* I can take this much more */
	TELL_REVOKED, /* I have these lists */
	TELL_RENEWED, /* my certificate is newer: dial me once more, beside this
	               */
	TELL_KIND_COUNT
};

struct msg_tell {
	enum tell_kind kind;
	uint64_t budget_bytes;              /* TELL_BUDGET */
	struct msg_revocations revocations; /* TELL_REVOKED */
};

MSG_CODEC(tell);

#endif
