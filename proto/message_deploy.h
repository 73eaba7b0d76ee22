/*
 * message_deploy.h - a deploy seal: follow one ticket, or bring one blob.
 *
 *     node: attach   -> tentacle: output..., note..., result
 *                                         node: ack, any time
 *     node: stage    -> tentacle: stage-from
 *     node: piece... -> tentacle: staged
 *
 * Instead of any answer: fault (struct msg_fault), and the seal closes.
 * A message is at most LENFRAME_DEPLOY_MAX bytes.
 */
#ifndef PROTO_MESSAGE_DEPLOY_H
#define PROTO_MESSAGE_DEPLOY_H

#include "proto/message.h"

#define PIECE_MAX 16000 /* one piece with its frame is one TLS record */

struct msg_attach {
	char ticket[ID_SIZE];
	uint64_t offset; /* of the log: send from here on */
	/* Who owns the task by now: an earlier owner is obeyed no more. */
	char task[TASK_SIZE]; /* may be empty: a server that does not tell */
	uint64_t epoch;
	uint32_t notes; /* so many are here already */
};

MSG_CODEC(attach);

struct msg_output {
	uint64_t offset;
	struct bytes data; /* 1 to PIECE_MAX */
	uint32_t crc32;    /* of data; crc32_of() */
};

/* RC_PROTO too when the checksum is wrong.  Encode computes it: the field is
 * only set by decode. */
MSG_CODEC(output);

/* What a script says of itself, beside its output. */
enum note_kind {
	NOTE_STATE,    /* how far it is; number 0, replaces the last one */
	NOTE_OUTPUT,   /* a variable that it sets for later steps */
	NOTE_WARNING,  /* a line for a person */
	NOTE_ARTIFACT, /* a file: its bytes follow as pieces, from 0 */
	NOTE_KIND_COUNT
};

#define NOTE_NAME_MAX 40   /* of an output variable */
#define NOTE_TEXT_MAX 8192 /* its value */

struct msg_note {
	uint32_t number; /* 1, 2, ... in a ticket */
	enum note_kind kind;
	struct bytes name; /* of a variable or file; MSG_TEXT_MAX */
	struct bytes text; /* any bytes; NOTE_TEXT_MAX */
	bool sensitive;    /* text is a secret */
	uint32_t percent;  /* state; at most 100 */
	uint32_t warnings; /* state: all that there were */
	uint64_t from;     /* where in the log it was said */
	uint64_t size;     /* artifact: bytes */
	char digest[DIGEST_SIZE];
};

MSG_CODEC(note);

const char *note_kind_name(enum note_kind kind);

/* The last message that follows a ticket. */
MSG_CODEC(result);

struct msg_ack {
	uint64_t offset; /* the server has committed the log up to here */
};

MSG_CODEC(ack);

struct msg_stage {
	char digest[DIGEST_SIZE]; /* SHA-256 of the whole */
	uint64_t size;            /* bytes */
	struct bytes name;        /* for logs; 0 to MSG_TEXT_MAX */
	struct bytes version;     /* for logs; 0 to MSG_VERSION_MAX */
};

MSG_CODEC(stage);

struct msg_stage_from {
	uint64_t offset; /* send from here on */
	bool complete;   /* it is there and verified: send nothing */
};

MSG_CODEC(stage_from);

struct msg_piece {
	uint64_t offset;
	struct bytes data; /* 1 to PIECE_MAX */
};

MSG_CODEC(piece);

struct msg_staged {
	char digest[DIGEST_SIZE];
};

MSG_CODEC(staged);

/* CRC-32 as in zlib and gzip. */
uint32_t crc32_of(struct bytes data);

#endif
