/*
 * remains.h - directories of tickets that are not needed any more.
 *
 * What a script left there may be large, deep, or still be written to by what
 * it left running: so a directory only gets another name at once, and workers
 * remove it in parts.  What stays (there is a bound to that, too) is removed by
 * the next remains_look() or after the next start.  The loop's thread.
 */
#ifndef TENTACLE_REMAINS_H
#define TENTACLE_REMAINS_H

#include "common/loop.h"
#include "common/worker.h"

/* What such a directory is called: no ticket is. */
#define REMAINS_BEGIN ".gone-"

struct remains; /* opaque */

/* For directories in these two; borrowed. */
MUST_CHECK enum rc remains_new(struct worker_pool *workers, const char *runs,
    const char *worlds, struct remains **out);
/* After the workers. */
void remains_free(struct remains *r); /* NULL is fine */

/* dir is one of the two; nothing there is fine.  What cannot be renamed stays,
 * and is told in the log. */
void remains_add(struct remains *r, const char *dir, const char *name);
/* Remove what there is, also of an earlier life. */
void remains_look(struct remains *r);

#endif
