/*
 * https_cert.h - the certificate of the HTTPS port, anew for the same key and
 * names.  Blocks on the disk; any thread.
 */
#ifndef SERVER_CA_HTTPS_CERT_H
#define SERVER_CA_HTTPS_CERT_H

#include "common/ca.h"

struct https_wish {
	const char *state;
	/* Who signs the one that is there, and the next. */
	const struct ca *root, *next;
	const struct certs *above; /* shown instead of next itself; or NULL */
	int64_t now_s;
};

/*
 * Append the new chain to *out.  RC_NOTFOUND: the one that is there is not
 * signed by our root: an operator's own, which is left alone.
 */
MUST_CHECK enum rc https_cert_issue(
    const struct https_wish *wish, struct certs *out, struct fault *fault);

struct https_renewal {
	int64_t until_s; /* when the one in use ends; 0: it cannot be read */
	bool changed;
};

/*
 * Replace the one on the disk by a new one when half of its life is over.
 * Else, and when it cannot be read, RC_OK.  RC_STATE: the root's key is away;
 * RC_NOTFOUND as above; others: the disk.  *fault says why; *out is set in any
 * case.
 */
MUST_CHECK enum rc https_cert_renew(const char *state, int64_t now_s,
    struct https_renewal *out, struct fault *fault);

#endif
