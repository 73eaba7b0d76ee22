/*
 * restored.h - a server whose database was put back from a copy, and the terms
 * by which that is noticed (server/fleet/term.h).
 */
#ifndef SERVER_RESTORED_H
#define SERVER_RESTORED_H

#include "server/keys.h"

struct restored_report {
	uint64_t tasks; /* that were open, and have failed now */
	uint64_t runs;  /* of them: scripts whose end is unknown */
};

/*
 * The operator's word that it was: the database begins another life, and all
 * that was open in it has ended.  The server must not run: RC_STATE.
 */
MUST_CHECK enum rc server_restored(const struct server_settings *settings,
    struct restored_report *report, struct fault *fault);
/*
 * Begin a term; TERM_LEN bytes.  RC_STATE: the database was put back, and
 * nobody has said so yet.  Blocks on the store.
 */
MUST_CHECK enum rc server_term_begin(struct store *store,
    const struct server_keys *keys, uint8_t *term, struct fault *fault);

#endif
