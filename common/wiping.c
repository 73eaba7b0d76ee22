#include "common/wiping.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

void wiping_free(void *block)
{
	if (block != NULL)
		OPENSSL_cleanse(block, malloc_usable_size(block));
	free(block);
}

void *wiping_realloc(void *block, size_t size)
{
	size_t old = block != NULL ? malloc_usable_size(block) : 0;
	void *moved = malloc(size);

	if (moved == NULL)
		return NULL;
	if (block != NULL)
		memcpy(moved, block, old < size ? old : size);
	wiping_free(block);
	return moved;
}
