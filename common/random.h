/* random.h - unpredictable bytes from the kernel.  Any thread. */
#ifndef COMMON_RANDOM_H
#define COMMON_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fills all of it; without a random source the program ends. */
void random_bytes(void *out, size_t len);
/* Evenly in 0 .. bound - 1; bound > 0.  For jitter. */
uint64_t random_below(uint64_t bound);
/* len random bytes as 2 * len digits and a NUL. */
void random_hex(char *out, size_t len);

#endif
