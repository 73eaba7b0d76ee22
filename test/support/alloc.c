#include "test/support/alloc.h"

static bool armed, failed;
static size_t left;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool must_fail(void)
{
	if (!armed)
		return false;
	if (left > 0) {
		left--;
		return false;
	}
	armed = false;
	failed = true;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return must_fail() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return must_fail() ? NULL : __real_realloc(p, size);
}

void alloc_fail_at(size_t nth)
{
	armed = true;
	failed = false;
	left = nth;
}

void alloc_never_fail(void)
{
	armed = false;
	failed = false;
}

bool alloc_failed(void)
{
	return failed;
}
