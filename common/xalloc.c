#include "common/xalloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(void)
{
	(void)fputs("longarm: out of memory\n", stderr);
	abort();
}

void *xcalloc(size_t count, size_t size)
{
	void *p = calloc(count == 0 ? 1 : count, size == 0 ? 1 : size);

	if (p == NULL)
		die();
	return p;
}

void *xrealloc(void *p, size_t count, size_t size)
{
	void *q = reallocarray(p, count == 0 ? 1 : count, size == 0 ? 1 : size);

	if (q == NULL)
		die();
	return q;
}

char *xstrdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = xcalloc(1, size);

	memcpy(copy, text, size);
	return copy;
}

char *xprintf(const char *format, ...)
{
	va_list args;
	char *text = NULL;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0)
		die();
	return text;
}
