/*
 * journal_record.h - the bytes of the journal.  Pure: no file is touched.
 *
 *     file   = header, frame, frame...
 *     header = "LGJRNL" 0x0a 0x00, u32 version, 16 bytes id, u64 counter at
 *              birth, u32 CRC of what is before
 *     frame  = "LgF1", u32 length of the records, u64 counter after the last
 *              of them, u32 CRC of counter and records, records
 *     record = u16 length of the rest, u8 type, fields
 *
 * All numbers are little-endian, CRC is CRC-32 of zlib.  One frame is what one
 * sync wrote: the tail of a file holds all of a frame or none.  A later version
 * may add fields at the end of a record (they are ignored) and record types:
 * those from JOURNAL_SKIPPABLE on are skipped, and lost when the file is
 * written anew; one below it means that only the newer program may go on with
 * this file.
 */
#ifndef TENTACLE_JOURNAL_RECORD_H
#define TENTACLE_JOURNAL_RECORD_H

#include "proto/message_standing.h"

#define JOURNAL_VERSION        1
#define JOURNAL_SKIPPABLE      128 /* record types */
#define JOURNAL_HEADER_LEN     40
#define JOURNAL_FRAME_HEAD     20
#define JOURNAL_FRAME_MAX      262144 /* bytes of records in one frame */
#define JOURNAL_SUPERSEDES_MAX 64
#define JOURNAL_RECORD_MAX     4096 /* bytes, with its length */

enum journal_type {
	JOURNAL_ACCEPTED = 1,   /* a ticket; its answer may go out after sync */
	JOURNAL_EXEC = 2,       /* last act before a script of it is started */
	JOURNAL_PASSED = 3,     /* that script ended well, more is to come */
	JOURNAL_ENDED = 4,      /* the result */
	JOURNAL_TOMBSTONE = 5,  /* never to be started, was never accepted */
	JOURNAL_FORGOTTEN = 6,  /* the server has its result */
	JOURNAL_EPOCH = 7,      /* floor of a task's epoch */
	JOURNAL_DEPLOYMENT = 8, /* floor of a project's deployment number */
	JOURNAL_INCARNATION = 9, /* newest life of the server's database */
	JOURNAL_SETTLED = 10,    /* tasks below this number are over */
	/* A person took its lock away: a program without locks needs not know.
	 */
	JOURNAL_UNLOCKED = JOURNAL_SKIPPABLE + 1
};

/* What of a ticket changes the machine; each has its own EXEC mark. */
enum run_phase {
	PHASE_NONE,
	PHASE_SCRIPT, /* the only one of an action script */
	PHASE_BEFORE, /* of an activation */
	PHASE_SWITCH, /* no script: may be done again */
	PHASE_AFTER,
	PHASE_COUNT
};

struct journal_accepted {
	char task[TASK_SIZE];
	uint64_t epoch;
	enum action_kind action;    /* not ACTION_NONE */
	char project[NAME_SIZE];    /* may be empty */
	uint64_t deployment;        /* 0: none */
	uint8_t spec[DIGEST_BYTES]; /* SHA-256 of the spec file */
	size_t supersedes_count;
	char supersedes[JOURNAL_SUPERSEDES_MAX][ID_SIZE];
};

struct journal_result {
	enum ticket_state state; /* exited, cancelled, refused or unknown */
	int32_t exit_code;       /* when signal is 0 */
	uint32_t signal;
	enum reason cause;             /* REASON_NONE: it did what was asked */
	char text[FAULT_TEXT_MAX];     /* one line; may be empty */
	uint64_t log_size;             /* bytes */
	char log_sha256[DIGEST_SIZE];  /* may be empty: no log */
	uint64_t started_ms, ended_ms; /* unix time; 0: never */
};

/* The type says which fields are used. */
struct journal_record {
	enum journal_type type;
	char ticket[ID_SIZE]; /* accepted to forgotten, unlocked */
	uint64_t at_ms;       /* unix time; for people and for expiry */
	union {
		struct journal_accepted accepted;
		enum run_phase phase; /* exec, passed */
		struct journal_result result;
		struct {
			char task[TASK_SIZE];
			uint64_t epoch;
		} epoch;
		struct {
			char project[NAME_SIZE];
			uint64_t number;
		} deployment;
		struct msg_incarnation incarnation;
		/* Of a tombstone; "": written by a version before 0.1. */
		char task[TASK_SIZE];
		uint64_t settled;
	};
};

struct journal_header {
	uint32_t version;
	char id[ID_SIZE];
	uint64_t counter; /* when the file was begun */
};

void journal_header_encode(
    const struct journal_header *h, uint8_t out[JOURNAL_HEADER_LEN]);
/* RC_PROTO with a fault: not a journal, broken, or of a newer version. */
MUST_CHECK enum rc journal_header_decode(
    struct bytes in, struct journal_header *h, struct fault *fault);

/*
 * One record into out, which has JOURNAL_RECORD_MAX bytes; *len says how many
 * were used.  RC_PROTO: a name in it is not one, or too many tickets.
 */
MUST_CHECK enum rc journal_record_encode(
    const struct journal_record *r, uint8_t *out, size_t *len);
/* The head of a frame around records that end at this counter. */
void journal_frame_encode(
    uint64_t counter, struct bytes records, uint8_t out[JOURNAL_FRAME_HEAD]);

/* Reads the frames of a whole file, record by record. */
struct journal_cursor {
	struct bytes file;
	size_t offset;      /* of the next frame */
	struct bytes frame; /* records not yet read */
	uint64_t counter;   /* after the last whole frame */
	unsigned newer;     /* type of a record that we must know; 0: none */
};

/* After the header, whose counter is given. */
void journal_cursor_init(
    struct journal_cursor *c, struct bytes file, uint64_t counter);
/*
 * RC_OK: a record.  RC_NOTFOUND: the end.  RC_AGAIN: the end, but a torn frame
 * begins at c->offset, which no answer ever rested on: cut it off.  RC_PROTO:
 * broken in the middle; trust nothing and ask a person (fault says where).
 */
MUST_CHECK enum rc journal_cursor_next(
    struct journal_cursor *c, struct journal_record *r, struct fault *fault);

#endif
