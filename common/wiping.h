/*
 * wiping.h - malloc and free for libraries through whose buffers secrets go:
 * JSON, HTTP.  What they free is wiped first, whatever it was, since they do
 * not know and nobody else can reach it.
 *
 * Give these to json_set_alloc_funcs(), event_set_mem_functions() and
 * curl_global_init_mem() before anything else of the library is called.  Blocks
 * may also be freed by plain free(); then they are not wiped.  Any thread.
 */
#ifndef COMMON_WIPING_H
#define COMMON_WIPING_H

#include <stddef.h>

void wiping_free(void *block);
/* As realloc(), but no copy is left behind. */
void *wiping_realloc(void *block, size_t size);

#endif
