/*
 * ca_files.h - the authorities' certificates and keys in DIR/ca of a node.
 *
 *     root.crt  root.key   may be taken offline
 *     nodes.crt nodes.key  may be taken offline too
 *     agents.crt           its key is in the database, wrapped
 *     next/                of a rotation, until it issues
 *
 * state is the state directory.  Blocks on the disk; any thread, one at a time.
 */
#ifndef SERVER_CA_CA_FILES_H
#define SERVER_CA_CA_FILES_H

#include "common/ca.h"
#include "common/wrap.h"

/*
 * name: "root" or "nodes".  RC_NOTFOUND: its key is not there, and *fault says
 * what to do; others: *fault says which file is wrong.  ca_free().
 */
MUST_CHECK enum rc ca_files_load(
    const char *state, const char *name, struct ca **out, struct fault *fault);
/* The same with a key from elsewhere (PEM). */
MUST_CHECK enum rc ca_files_load_with(const char *state, const char *name,
    struct bytes key_pem, struct ca **out, struct fault *fault);
bool ca_files_has_key(const char *state, const char *name);
/* file: "root.crt", "../https/cert.pem"; appended. */
MUST_CHECK enum rc ca_files_certs(const char *state, const char *file,
    struct certs *out, struct fault *fault);

/* Replace one file, "https/cert.pem". */
MUST_CHECK enum rc ca_files_replace(const char *state, const char *file,
    const struct certs *certs, struct fault *fault);

/* Forget what was prepared, and begin to prepare. */
MUST_CHECK enum rc ca_files_begin(const char *state, struct fault *fault);
/* Prepare NAME.crt, and NAME.key if with_key. */
MUST_CHECK enum rc ca_files_prepare(const char *state, const char *name,
    const struct ca *ca, bool with_key, struct fault *fault);
MUST_CHECK enum rc ca_files_prepare_certs(const char *state, const char *file,
    const struct certs *certs, struct fault *fault);
/*
 * Put what was prepared in its place, one file after the other; what was there
 * is gone.  Again after a crash: goes on.  RC_OK also when nothing is left.
 * It is not for us to know whether it shall be: see ca_files_prepared().
 */
MUST_CHECK enum rc ca_files_install(const char *state, struct fault *fault);

/* Is what was prepared NAME ("agents", "nodes") with this key? */
bool ca_files_prepared(
    const char *state, const char *name, const uint8_t key_hash[KEY_HASH_SIZE]);

#endif
