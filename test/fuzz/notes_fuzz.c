/* fuzz: tentacle common proto */
/* about: tentacle/notes.c tentacle/note_line.c tentacle/mask.c */
#include "tentacle/notes.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
	struct mask *mask;
	struct notes *notes;
};

static void begin(struct reading *r)
{
	if (mask_new(&r->mask) != RC_OK ||
	    notes_new(r->mask, &r->notes) != RC_OK)
		abort();
}

static void end(struct reading *r)
{
	notes_free(r->notes);
	mask_free(r->mask);
}

static void feed(struct reading *r, struct bytes b)
{
	uint64_t was = notes_decided(r->notes);

	if (notes_feed(r->notes, b) != RC_OK ||
	    notes_decided(r->notes) > notes_offset(r->notes) ||
	    notes_decided(r->notes) < was)
		abort();
}

static void same(const struct reading *a, const struct reading *b)
{
	if (notes_count(a->notes) != notes_count(b->notes) ||
	    notes_file_count(a->notes) != notes_file_count(b->notes))
		abort();
	for (size_t i = 1; i <= notes_count(a->notes); i++) {
		struct msg_note x, y;
		struct packbuf pack;

		notes_get(a->notes, i, &x);
		notes_get(b->notes, i, &y);
		if (x.kind != y.kind || x.from != y.from ||
		    !bytes_equal(x.text, y.text))
			abort();
		/* Whatever a script says can be sent. */
		packbuf_init(&pack, 32768);
		if (msg_note_encode(&x, &pack) != RC_OK)
			abort();
		packbuf_fini(&pack);
	}
}

/* Whole or in pieces: the same, and the same is masked. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reading whole, pieces;
	uint8_t *x, *y;

	if (size > 65536)
		return 0;
	begin(&whole);
	begin(&pieces);
	feed(&whole, bytes_of(data, size));
	for (size_t at = 0; at < size;) {
		size_t n = 1 + (size_t)data[at] % 7;

		if (n > size - at)
			n = size - at;
		feed(&pieces, bytes_of(data + at, n));
		at += n;
	}
	if (notes_end(whole.notes) != RC_OK || notes_end(pieces.notes) != RC_OK)
		abort();
	same(&whole, &pieces);
	x = malloc(size + 1);
	y = malloc(size + 1);
	if (x == NULL || y == NULL)
		abort();
	(void)mask_copy_at(whole.mask, 0, bytes_of(data, size), x);
	(void)mask_copy_at(pieces.mask, 0, bytes_of(data, size), y);
	if (memcmp(x, y, size) != 0)
		abort();
	free(x);
	free(y);
	end(&whole);
	end(&pieces);
	return 0;
}
