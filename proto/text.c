#include "proto/text.h"

/* Length of the character at p (left > 0), or 0: it may not be shown. */
static size_t char_len(const uint8_t *p, size_t left)
{
	uint32_t c = p[0], least;
	size_t len;

	if (c < 0x80)
		return c >= 0x20 && c != 0x7f ? 1 : 0;
	if (c >= 0xc2 && c <= 0xdf) {
		len = 2;
		c &= 0x1f;
		least = 0xa0; /* below: C1 controls */
	} else if (c >= 0xe0 && c <= 0xef) {
		len = 3;
		c &= 0x0f;
		least = 0x800;
	} else if (c >= 0xf0 && c <= 0xf4) {
		len = 4;
		c &= 0x07;
		least = 0x10000;
	} else {
		return 0;
	}
	if (left < len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fU);
	}
	if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return len;
}

bool text_is_line(struct bytes text)
{
	for (size_t i = 0; i < text.len;) {
		size_t len = char_len(text.p + i, text.len - i);

		if (len == 0)
			return false;
		i += len;
	}
	return true;
}

void text_scrub(char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len;) {
		size_t step = char_len((const uint8_t *)text + i, len - i);

		if (step == 0) {
			text[i] = '?';
			step = 1;
		}
		i += step;
	}
}
