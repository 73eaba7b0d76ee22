#include "test/tools/delay_queue.h"

#include <stdlib.h>
#include <string.h>

#define MILLION 1000000

struct packet {
	uint64_t at_us; /* when it comes out */
	uint64_t number;
	size_t len;
	uint8_t *bytes;
};

struct delay_queue {
	struct delay_rules rules;
	struct delay_stats stats;
	uint64_t random, number;
	uint64_t free_ns; /* the line has sent all that waits */
	uint64_t last_us; /* the latest time given out */
	uint8_t *popped;
	size_t count, capacity;
	struct packet *heap; /* earliest first */
};

/* splitmix64 */
static uint64_t draw(struct delay_queue *q)
{
	uint64_t z = (q->random += 0x9e3779b97f4a7c15U);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return z ^ (z >> 31);
}

static bool happens(struct delay_queue *q, uint32_t ppm)
{
	return ppm > 0 && draw(q) % MILLION < ppm;
}

enum rc delay_queue_new(
    const struct delay_rules *rules, struct delay_queue **out)
{
	struct delay_queue *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return RC_NOMEM;
	q->rules = *rules;
	q->random = rules->seed;
	*out = q;
	return RC_OK;
}

void delay_queue_change(struct delay_queue *q, const struct delay_rules *rules)
{
	q->rules = *rules;
}

void delay_queue_free(struct delay_queue *q)
{
	if (q == NULL)
		return;
	for (size_t i = 0; i < q->count; i++)
		free(q->heap[i].bytes);
	free(q->heap);
	free(q->popped);
	free(q);
}

static bool is_before(const struct packet *a, const struct packet *b)
{
	return a->at_us < b->at_us ||
	       (a->at_us == b->at_us && a->number < b->number);
}

static void swap(struct packet *a, struct packet *b)
{
	struct packet t = *a;

	*a = *b;
	*b = t;
}

static MUST_CHECK enum rc put(struct delay_queue *q, const struct packet *p)
{
	size_t i = q->count;

	if (q->count == q->capacity) {
		size_t more = q->capacity > 0 ? 2 * q->capacity : 64;
		struct packet *heap = realloc(q->heap, more * sizeof(*q->heap));

		if (heap == NULL)
			return RC_NOMEM;
		q->heap = heap;
		q->capacity = more;
	}
	q->heap[q->count++] = *p;
	for (; i > 0 && is_before(&q->heap[i], &q->heap[(i - 1) / 2]);
	     i = (i - 1) / 2)
		swap(&q->heap[i], &q->heap[(i - 1) / 2]);
	return RC_OK;
}

static void sink(struct delay_queue *q)
{
	size_t i = 0;

	for (;;) {
		size_t first = 2 * i + 1;

		if (first + 1 < q->count &&
		    is_before(&q->heap[first + 1], &q->heap[first]))
			first++;
		if (first >= q->count ||
		    !is_before(&q->heap[first], &q->heap[i]))
			return;
		swap(&q->heap[i], &q->heap[first]);
		i = first;
	}
}

/* Wait in the queue for the rate; false: there is no room. */
static bool send_at_rate(struct delay_queue *q, size_t len, uint64_t now_us)
{
	const struct delay_rules *r = &q->rules;
	uint64_t now_ns = now_us * 1000, waiting;

	if (q->free_ns < now_ns)
		q->free_ns = now_ns;
	if (r->rate == 0)
		return true;
	waiting = (q->free_ns - now_ns) / 1000 * r->rate / MILLION;
	if (r->queue_bytes > 0 && waiting + len > r->queue_bytes)
		return false;
	q->free_ns += (uint64_t)len * 1000000000 / r->rate;
	return true;
}

enum rc delay_queue_push(
    struct delay_queue *q, const uint8_t *packet, size_t len, uint64_t now_us)
{
	const struct delay_rules *r = &q->rules;
	struct packet p = { .number = q->number++, .len = len };
	enum rc rc;

	q->stats.in++;
	if (q->count >= DELAY_PACKETS_MAX || !send_at_rate(q, len, now_us)) {
		q->stats.dropped++;
		return RC_OK;
	}
	if (happens(q, r->loss_ppm)) {
		q->stats.lost++;
		return RC_OK;
	}
	p.at_us = q->free_ns / 1000;
	if (!happens(q, r->reorder_ppm)) {
		p.at_us += r->delay_us;
		if (r->jitter_us > 0)
			p.at_us += draw(q) % (r->jitter_us + 1U);
		if (p.at_us < q->last_us)
			p.at_us = q->last_us;
		q->last_us = p.at_us;
	}
	p.bytes = malloc(len > 0 ? len : 1);
	if (p.bytes == NULL)
		return RC_NOMEM;
	memcpy(p.bytes, packet, len);
	rc = put(q, &p);
	if (rc != RC_OK)
		free(p.bytes);
	return rc;
}

uint64_t delay_queue_next_us(const struct delay_queue *q)
{
	return q->count > 0 ? q->heap[0].at_us : UINT64_MAX;
}

const uint8_t *delay_queue_pop(
    struct delay_queue *q, uint64_t now_us, size_t *len)
{
	if (delay_queue_next_us(q) > now_us || q->count == 0)
		return NULL;
	free(q->popped);
	q->popped = q->heap[0].bytes;
	*len = q->heap[0].len;
	q->heap[0] = q->heap[--q->count];
	sink(q);
	q->stats.out++;
	return q->popped;
}

void delay_queue_stats(const struct delay_queue *q, struct delay_stats *out)
{
	*out = q->stats;
}

enum rc delay_rules_set(struct delay_rules *r, const char *word)
{
	const struct {
		const char *name;
		uint32_t *value;
	} names[] = {
		{ "delay_us=", &r->delay_us },
		{ "jitter_us=", &r->jitter_us },
		{ "loss_ppm=", &r->loss_ppm },
		{ "reorder_ppm=", &r->reorder_ppm },
		{ "rate=", &r->rate },
		{ "queue_bytes=", &r->queue_bytes },
	};
	const char *number = strchr(word, '=');
	unsigned long long value;
	char *end;

	if (number == NULL || number[1] < '0' || number[1] > '9')
		return RC_PROTO;
	value = strtoull(number + 1, &end, 10);
	if (*end != '\0')
		return RC_PROTO;
	if (strncmp(word, "seed=", 5) == 0) {
		r->seed = value;
		return RC_OK;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len = strlen(names[i].name);

		if (strncmp(word, names[i].name, len) == 0 &&
		    value <= UINT32_MAX) {
			*names[i].value = (uint32_t)value;
			return RC_OK;
		}
	}
	return RC_PROTO;
}
