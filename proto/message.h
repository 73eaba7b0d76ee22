/*
 * message.h - what the messages inside seals have in common.
 *
 * Each message is a plain struct msg_X, declared with MSG_CODEC(X), which
 * stands for three functions:
 *
 *     rc = msg_X_encode(&message, buf);          // appends to a packbuf
 *     rc = msg_X_decode(bytes, &message, &fault);
 *     ... use it while bytes live ...
 *     msg_X_clear(&message);                     // frees its lists, if any
 *
 * Encoders: RC_OK, RC_NOMEM, RC_LIMIT (the packbuf's max, or a field above
 * its bound), RC_PROTO (a field that the decoder would refuse).  A packbuf
 * whose encoder failed holds nothing of that message and stays usable.
 * Decoders: RC_OK; RC_PROTO with a fault that names the key (the fault may be
 * NULL); RC_NOMEM.  On failure *m is empty and needs no clear.  Fields of
 * type struct bytes borrow from the decoded bytes.  Unknown keys are skipped.
 * Clear leaves the message empty; harmless twice, and on a zeroed struct.
 * Only decoded messages are cleared: an encoder's caller owns its own lists.
 *
 * Bounds of single fields are beside them, in bytes.  Names, ids and targets
 * are valid (proto/name.h) or, where the comment says so, empty.  Text has no
 * control characters.  Optional numbers that are absent read as 0.
 *
 * A message says what it is by "op" (request, stream) or "re" (reply); read
 * that by msg_peek() and then call the decoder of that message.
 */
#ifndef PROTO_MESSAGE_H
#define PROTO_MESSAGE_H

#include "proto/bytes.h"
#include "proto/name.h"
#include "proto/pack.h"
#include "proto/rc.h"
#include "proto/reason.h"

#define MSG_TEXT_MAX    255 /* one line for a person */
#define MSG_VERSION_MAX 63  /* of a program */
#define SUCCESSION_LEN  32  /* a succession token */
#define TERM_LEN        32  /* proof of a server's term */

#define MSG_CODEC(X)                                                           \
	MUST_CHECK enum rc msg_##X##_encode(                                   \
	    const struct msg_##X *m, struct packbuf *out);                     \
	MUST_CHECK enum rc msg_##X##_decode(                                   \
	    struct bytes in, struct msg_##X *m, struct fault *fault);          \
	void msg_##X##_clear(struct msg_##X *m)

enum msg_op {
	/* every seal, first */
	OP_GREET,
	OP_WELCOME,
	OP_CONFIRM,
	/* standing seal: requests, each with its reply */
	OP_HEALTH,
	OP_START,
	OP_CANCEL,
	OP_TICKETS,
	OP_FORGET,
	OP_STAGE_QUERY,
	OP_LOCKS,
	OP_LOCK_BREAK,
	/* deploy seal */
	OP_ATTACH,
	OP_OUTPUT,
	OP_RESULT,
	OP_ACK,
	OP_STAGE,
	OP_STAGE_FROM,
	OP_PIECE,
	OP_STAGED,
	OP_NOTE,
	/* enrolment */
	OP_ENROL,
	OP_ENROLLED,
	OP_PENDING,
	/* control session */
	OP_TABLE_PAGE,
	OP_TABLE_ACK,
	OP_PRESENCE_SUB,
	OP_PRESENCE,
	OP_PEERS,
	OP_DRAIN,
	OP_STATUS,
	/* control session and standing seal: requests, each with its reply */
	OP_REVOKED,
	OP_CERTIFICATE,
	OP_TRUST,
	/* trace */
	OP_HOP,
	/* between the processes of a tentacle */
	OP_PORT_LIFE,
	OP_PORT_READY,
	OP_PORT_CONTEST,
	/* any seal: the fault that ends what was asked */
	OP_FAULT,
	OP_COUNT
};

/* "table-page"...  Never NULL. */
const char *msg_op_name(enum msg_op op);

struct msg_head {
	enum msg_op op;
	bool is_reply;
	uint32_t id; /* of the request; 0 where the message has none */
};

/* RC_NOTFOUND: a well-formed message of a kind that this program does not
 * know; head->id and is_reply are set, so that it can be answered. */
MUST_CHECK enum rc msg_peek(
    struct bytes frame, struct msg_head *head, struct fault *fault);

/* One life of a program that owns a journal. */
struct msg_instance {
	char journal[ID_SIZE]; /* id of the journal on disk */
	uint64_t start;        /* rises with each start of the program */
	char nonce[ID_SIZE];   /* random for each start */
};

/* One life of the server's database. */
struct msg_incarnation {
	uint64_t secs; /* unix time of its birth */
	char random[ID_SIZE];
};

/* Numbers of the newest signed revocation lists. */
struct msg_revocations {
	uint64_t agents;
	uint64_t nodes;
};

/* One line of a map from names to values, e.g. variables or environment. */
struct msg_pair {
	struct bytes name; /* variable_is_valid(); 1 to 100 */
	struct bytes value;
};

struct msg_pairs {
	struct msg_pair *items; /* freed by the message's clear */
	size_t count;           /* at most SCAN_PAIRS_MAX, no name twice */
};

struct msg_text_list {
	struct bytes *items; /* freed by the message's clear */
	size_t count;
};

struct msg_id {
	char text[ID_SIZE];
};

struct msg_id_list {
	struct msg_id *items; /* freed by the message's clear */
	size_t count;
};

/* At the front of every reply.  When fault.code is not REASON_NONE, the
 * reply's other fields are absent: zero or empty. */
struct msg_reply {
	uint32_t id;
	char journal[ID_SIZE]; /* of the one who answers; may be empty */
	uint64_t counter;      /* that journal's highest record */
	struct fault fault;
};

/* Any reply that is only a fault; op as in the request. */
MUST_CHECK enum rc msg_refusal_encode(
    enum msg_op op, const struct msg_reply *reply, struct packbuf *out);

/* The fault that ends a stream of messages (deploy, enrolment, control). */
struct msg_fault {
	struct fault fault; /* code is never REASON_NONE */
};

MSG_CODEC(fault);

enum ticket_state {
	TICKET_UNKNOWN, /* the journal does not know it, or not the outcome */
	TICKET_ACCEPTED,
	TICKET_RUNNING,
	TICKET_EXITED,
	TICKET_CANCELLED,
	TICKET_REFUSED,
	TICKET_STATE_COUNT
};

const char *ticket_state_name(enum ticket_state state);
MUST_CHECK enum rc ticket_state_parse(const char *name, enum ticket_state *out);
/* Exited, cancelled, refused: there is nothing more to come. */
bool ticket_state_has_ended(enum ticket_state state);

#define RESULT_OUTPUTS_MAX 16384

/* How a ticket ended. */
struct msg_result {
	enum ticket_state state;
	int32_t exit_code;             /* when signal is 0 */
	uint32_t signal;               /* 0: it exited by itself */
	struct fault cause;            /* REASON_NONE: it did what was asked */
	uint64_t log_size;             /* bytes */
	char log_sha256[DIGEST_SIZE];  /* may be empty: no log */
	uint64_t started_ms, ended_ms; /* unix time */
	struct msg_pairs outputs;
};

#endif
