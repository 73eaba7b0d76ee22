#include "proto/byte_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (4096 - sizeof(struct chunk *))
#define FREE_MAX    16 /* what an idle link may keep: 64 KiB */

struct chunk {
	struct chunk *next;
	uint8_t bytes[CHUNK_BYTES];
};

static struct chunk *pool_take(struct chunk_pool *pool)
{
	struct chunk *c = pool->free;

	if (c == NULL)
		return malloc(sizeof(*c));
	pool->free = c->next;
	pool->free_count--;
	return c;
}

static void pool_give(struct chunk_pool *pool, struct chunk *c)
{
	if (pool->free_count >= FREE_MAX) {
		free(c);
		return;
	}
	c->next = pool->free;
	pool->free = c;
	pool->free_count++;
}

static enum rc append_chunk(struct byte_queue *q, struct chunk_pool *pool)
{
	struct chunk *c = pool_take(pool);

	if (c == NULL)
		return RC_NOMEM;
	c->next = NULL;
	if (q->last == NULL) {
		q->first = c;
		q->start = 0;
	} else {
		q->last->next = c;
	}
	q->last = c;
	q->end = 0;
	return RC_OK;
}

enum rc byte_queue_put(struct byte_queue *q, struct chunk_pool *pool,
    const uint8_t *data, size_t len, size_t *taken)
{
	*taken = 0;
	while (*taken < len) {
		size_t n = len - *taken;

		if ((q->last == NULL || q->end == CHUNK_BYTES) &&
		    append_chunk(q, pool) != RC_OK)
			return RC_NOMEM;
		if (n > CHUNK_BYTES - q->end)
			n = CHUNK_BYTES - q->end;
		memcpy(q->last->bytes + q->end, data + *taken, n);
		q->end += (uint32_t)n;
		q->len += n;
		*taken += n;
	}
	return RC_OK;
}

static void drop_first(struct byte_queue *q, struct chunk_pool *pool)
{
	struct chunk *c = q->first;

	q->first = c->next;
	q->start = 0;
	if (q->first == NULL)
		q->last = NULL;
	pool_give(pool, c);
}

void byte_queue_get(
    struct byte_queue *q, struct chunk_pool *pool, uint8_t *out, size_t len)
{
	assert(len <= q->len);
	while (len > 0) {
		size_t there =
		    (q->first == q->last ? q->end : CHUNK_BYTES) - q->start;
		size_t n = len < there ? len : there;

		assert(q->first != NULL);
		memcpy(out, q->first->bytes + q->start, n);
		out += n;
		len -= n;
		q->len -= n;
		q->start += (uint32_t)n;
		if (n == there)
			drop_first(q, pool);
	}
}

void byte_queue_clear(struct byte_queue *q, struct chunk_pool *pool)
{
	while (q->first != NULL)
		drop_first(q, pool);
	q->len = 0;
}

void chunk_pool_fini(struct chunk_pool *pool)
{
	while (pool->free != NULL) {
		struct chunk *c = pool->free;

		pool->free = c->next;
		free(c);
	}
	pool->free_count = 0;
}
