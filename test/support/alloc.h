/*
 * alloc.h - make the n-th allocation of our own code fail.
 *
 *     for (n = 0;; n++) {
 *             alloc_fail_at(n);
 *             rc = thing_under_test();
 *             if (!alloc_failed())    // everything fitted: n was too large
 *                     break;
 *             assert(rc == RC_NOMEM); // and nothing leaked: ASan says so
 *     }
 *     alloc_never_fail();
 *
 * Works by -Wl,--wrap: libraries keep the real allocator.  One thread only.
 */
#ifndef TEST_SUPPORT_ALLOC_H
#define TEST_SUPPORT_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* The allocation number nth (0: the next one) fails, all others succeed. */
void alloc_fail_at(size_t nth);
void alloc_never_fail(void);
/* Has one failed since alloc_fail_at()? */
bool alloc_failed(void);

#endif
