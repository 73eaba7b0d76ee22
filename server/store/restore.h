/*
 * restore.h - a database that was put back from a copy.
 *
 * What was ordered after the copy was made is not in it.  Each time a server
 * begins to serve is a term, with a row; whoever shows one that has none has
 * been told more than this database knows.  SQL thread only.
 */
#ifndef SERVER_STORE_RESTORE_H
#define SERVER_STORE_RESTORE_H

#include "server/store/db.h"

#define TERM_ID_LEN 16 /* random bytes */

MUST_CHECK enum rc store_term_add(
    struct db *db, const uint8_t id[TERM_ID_LEN], uint64_t now_ms);
/* RC_NOTFOUND. */
MUST_CHECK enum rc store_term_find(
    struct db *db, const uint8_t id[TERM_ID_LEN]);

struct store_restore {
	uint64_t now_ms;
	const char *incarnation; /* the new one */
	/* Out. */
	uint64_t tasks, runs; /* that were ended; of the runs: as unknown */
};
/*
 * Begin another life: end all that is open, as what was done of it since is
 * not known, believe whatever instance each machine and relay shows next, and
 * forget terms and why nothing was ordered.
 */
MUST_CHECK enum rc store_restore(struct db *db, struct store_restore *r);

#endif
