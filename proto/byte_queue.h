/*
 * byte_queue.h - bytes in, the same bytes out, in chunks of one size.
 *
 * An empty queue holds no memory.  Chunks come from a pool, which keeps a few
 * free ones: no allocation per frame in steady traffic.
 */
#ifndef PROTO_BYTE_QUEUE_H
#define PROTO_BYTE_QUEUE_H

#include "proto/rc.h"

#include <stddef.h>
#include <stdint.h>

struct chunk; /* 4 KiB */

struct chunk_pool {
	struct chunk *free;
	uint32_t free_count;
};

struct byte_queue {
	struct chunk *first, *last;
	uint32_t start; /* of the bytes in first */
	uint32_t end;   /* of the bytes in last */
	size_t len;
};

/* RC_NOMEM: the first *taken bytes are in. */
MUST_CHECK enum rc byte_queue_put(struct byte_queue *q, struct chunk_pool *pool,
    const uint8_t *data, size_t len, size_t *taken);
/* Move the first len (at most q->len) bytes to out. */
void byte_queue_get(
    struct byte_queue *q, struct chunk_pool *pool, uint8_t *out, size_t len);
void byte_queue_clear(struct byte_queue *q, struct chunk_pool *pool);
/* Free the pool's free chunks. */
void chunk_pool_fini(struct chunk_pool *pool);

#endif
