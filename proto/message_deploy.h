/*
 * message_deploy.h - a deploy seal: follow one ticket, or bring one blob.
 *
 *     node: attach   -> tentacle: output..., result     node: ack, any time
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
