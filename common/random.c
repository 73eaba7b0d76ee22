#include "common/random.h"

#include "common/hex.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *out, size_t len)
{
	uint8_t *at = out;

	while (len > 0) {
		ssize_t n = getrandom(at, len, 0);

		if (n < 0 && errno != EINTR)
			abort();
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
}

uint64_t random_below(uint64_t bound)
{
	/* What is left above the last whole multiple would favour some. */
	uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
	uint64_t value;

	do
		random_bytes(&value, sizeof(value));
	while (value >= limit);
	return value % bound;
}

void random_hex(char *out, size_t len)
{
	uint8_t piece[32];

	*out = '\0';
	while (len > 0) {
		size_t n = len < sizeof(piece) ? len : sizeof(piece);

		random_bytes(piece, n);
		hex_encode(piece, n, out);
		out += 2 * n;
		len -= n;
	}
}
