/* fuzz: tentacle common proto */
/* about: tentacle/journal_record.c */
#include "tentacle/tickets.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Checksums would keep the fuzzer out: put right ones in first. */
static void mend(uint8_t *p, size_t len)
{
	struct journal_header h = { .version = JOURNAL_VERSION };
	uint64_t counter = 0;
	size_t at = JOURNAL_HEADER_LEN;

	if (len < JOURNAL_HEADER_LEN)
		return;
	for (size_t i = 0; i < ID_SIZE - 1; i++)
		h.id[i] = 'a';
	journal_header_encode(&h, p);
	while (len - at > JOURNAL_FRAME_HEAD) {
		size_t left = len - at - JOURNAL_FRAME_HEAD;
		size_t size = p[at + 4];

		if (size > left || size == 0)
			size = left;
		if (size > JOURNAL_FRAME_MAX)
			return;
		journal_frame_encode(++counter,
		    bytes_of(p + at + JOURNAL_FRAME_HEAD, size), p + at);
		at += JOURNAL_FRAME_HEAD + size;
	}
}

/* Read a whole file into the index, as a start of the program does. */
static void replay(struct bytes file)
{
	const struct ticket_limits limits = TICKET_LIMITS_DEFAULT;
	struct tickets *t = NULL;
	struct journal_header h;
	struct journal_cursor c;
	struct journal_record r;
	struct ticket_dump dump = { 0 };
	struct fault fault;

	if (tickets_new(&limits, &t) != RC_OK)
		abort();
	if (journal_header_decode(file, &h, &fault) == RC_OK) {
		journal_cursor_init(&c, file, h.counter);
		while (journal_cursor_next(&c, &r, &fault) == RC_OK) {
			if (tickets_apply(t, &r) == RC_NOMEM)
				abort();
		}
	}
	while (tickets_dump(t, &dump, &r) == RC_OK) {
		uint8_t raw[JOURNAL_RECORD_MAX];
		size_t used;

		/* What was read can be written. */
		if (journal_record_encode(&r, raw, &used) != RC_OK)
			abort();
	}
	tickets_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *copy;

	replay(bytes_of(data, len));
	copy = malloc(len + 1);
	if (copy == NULL)
		return 0;
	for (size_t i = 0; i < len; i++)
		copy[i] = data[i];
	mend(copy, len);
	replay(bytes_of(copy, len));
	free(copy);
	return 0;
}
