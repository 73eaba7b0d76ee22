/*
 * tarball.h - tar files for tests, byte by byte: also those that no honest
 * program writes.
 */
#ifndef TEST_TENTACLE_TARBALL_H
#define TEST_TENTACLE_TARBALL_H

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

struct tarball {
	uint8_t data[256 * 1024];
	size_t len;
};

static inline void tarball_octal(uint8_t *out, int digits, size_t value)
{
	for (int i = digits - 1; i >= 0; i--) {
		out[i] = (uint8_t)('0' + (value & 7));
		value >>= 3;
	}
}

/* type as in ustar: '0' file, '1' hard link, '2' symbolic link, '3' device,
 * '5' directory, '6' pipe.  target: of links, else "". */
static inline void tarball_add(struct tarball *t, char type, const char *name,
    const char *target, const char *content, unsigned mode)
{
	uint8_t *h = t->data + t->len;
	size_t size = strlen(content);
	unsigned sum = 0;

	assert(t->len + 2048 + size < sizeof(t->data));
	memset(h, 0, 512);
	(void)snprintf((char *)h, 100, "%s", name);
	tarball_octal(h + 100, 7, mode);
	tarball_octal(h + 108, 7, 0);
	tarball_octal(h + 116, 7, 0);
	tarball_octal(h + 124, 11, size);
	tarball_octal(h + 136, 11, 0);
	memset(h + 148, ' ', 8);
	h[156] = (uint8_t)type;
	(void)snprintf((char *)h + 157, 100, "%s", target);
	memcpy(h + 257,
	    "ustar\0"
	    "00",
	    8);
	for (size_t i = 0; i < 512; i++)
		sum += h[i];
	tarball_octal(h + 148, 6, sum);
	h[154] = 0;
	memcpy(h + 512, content, size);
	memset(h + 512 + size, 0, (512 - size % 512) % 512);
	t->len += 512 + (size + 511) / 512 * 512;
}

static inline void tarball_file(
    struct tarball *t, const char *name, const char *content)
{
	tarball_add(t, '0', name, "", content, 0644);
}

static inline void tarball_end(struct tarball *t)
{
	memset(t->data + t->len, 0, 1024);
	t->len += 1024;
}

#endif
