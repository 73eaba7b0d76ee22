#include "common/hex.h"

#include <stdint.h>

void hex_encode(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

enum rc hex_decode(const char *text, void *out, size_t len)
{
	uint8_t *bytes = out;

	for (size_t i = 0; i < len; i++) {
		int high = digit_value(text[2 * i]);
		int low;

		if (high < 0)
			return RC_PROTO;
		low = digit_value(text[2 * i + 1]);
		if (low < 0)
			return RC_PROTO;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return text[2 * len] == '\0' ? RC_OK : RC_PROTO;
}
